"""Train the tiny reasoner: ``DeepseekV3ForCausalLM`` of transformers, from nothing, on data that is made as it goes.

    python train.py --out run --steps 6000

It stops at ``--minutes`` with a checkpoint, and goes on from there when it is called again. On a GPU it computes in
bfloat16 (parameters and optimizer stay in float32) and compiles; on a CPU it does so if asked. The learning rate
rises, stays and falls to nothing over the last ``--decay`` steps. The routers' correction biases follow the experts'
loads, as in DeepSeek-V3 (no auxiliary loss), and are left alone while the learning rate falls.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, Dataset
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

import torch
from lessons.mixture import SHARES
from lessons.split import TRAIN
from trainer import checkpoint
from trainer.forward import Forward
from trainer.measuring import exact_replies
from trainer.packing import Batch, Shape, make_batch

HERE = Path(__file__).parent
LONG_EVERY, LONG_FACTOR = 8, 4
BALANCING = 1e-3
BETAS, WEIGHT_DECAY, MAX_NORM = (0.9, 0.95), 0.05, 1.0


class Batches(Dataset[Batch]):
    """The batch of each step; every eighth has rows four times as long, and conversations of many turns."""

    def __init__(self, tokenizer_file: Path, seed: int, rows: int, length: int, shares: Mapping[str, float]) -> None:
        self._shares = shares
        self._file, self._seed, self._rows, self._length = str(tokenizer_file), seed, rows, length
        self._tokenizer: Tokenizer | None = None

    def __getitem__(self, step: int) -> Batch:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.from_file(self._file)
        shape = Shape(self._rows, self._length)
        if step % LONG_EVERY == LONG_EVERY - 1:
            shape = Shape(max(1, self._rows // LONG_FACTOR), self._length * LONG_FACTOR, is_long=True)
        return make_batch(self._tokenizer, self._seed, TRAIN, step, shape, self._shares)


def build_model(seed: int, config_file: Path = HERE / "config.json") -> DeepseekV3ForCausalLM:
    """Make the model with random parameters, the same for the same seed."""
    settings = json.loads(config_file.read_text(encoding="utf-8"))
    torch.manual_seed(seed)
    model = DeepseekV3ForCausalLM(
        DeepseekV3Config(**{key: value for key, value in settings.items() if key != "architectures"})
    )
    return model.float()


def read_weights(folder: Path) -> DeepseekV3ForCausalLM:
    """Read a model in Hugging Face's format, such as ``weights/``."""
    return DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32)


def build_optimizer(model: torch.nn.Module, rate: float) -> torch.optim.AdamW:
    """Make AdamW; only matrices decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=next(model.parameters()).is_cuda)


def rate_at(step: int, asked: argparse.Namespace) -> float:
    """Return the learning rate: up over the warm-up, level, and down to nothing at the end."""
    rising = min(1.0, (step + 1) / asked.warmup)
    falling = min(1.0, (asked.steps - step) / max(1, asked.decay))
    return float(asked.rate * rising * falling)


def train(asked: argparse.Namespace) -> int:
    """Train until the steps are done or the time is up; return how many were taken in all."""
    started = time.monotonic()
    device = torch.device(asked.device)
    model = (build_model(asked.seed) if asked.weights is None else read_weights(asked.weights)).to(device)
    optimizer = build_optimizer(model, asked.rate)
    folder = asked.out / "checkpoint"
    found = checkpoint.newest(folder)
    step = 0 if found is None else checkpoint.load(found, model, optimizer)
    forward = Forward(model, is_compiled=asked.compile)
    precision = torch.autocast(device.type, torch.bfloat16) if asked.bfloat16 else contextlib.nullcontext()
    asked.out.mkdir(parents=True, exist_ok=True)
    log = _Log(asked.out / "log.jsonl")
    seen, since = 0, time.monotonic()
    for batch in _load(asked, step):
        loss, tokens = _step(
            forward, optimizer, batch, rate_at(step, asked), precision, balances=asked.steps - step > asked.decay
        )
        step += 1
        seen += tokens
        if step % asked.log_every == 0:
            speed = seen / (time.monotonic() - since)
            log.write(
                step=step,
                loss=round(loss.item(), 5),
                tokens_per_s=round(speed),
                minutes=round((time.monotonic() - started) / 60, 2),
            )
            seen, since = 0, time.monotonic()
        is_late = time.monotonic() - started > asked.minutes * 60
        if step % asked.save_every == 0 or step in (asked.steps, asked.until) or is_late:
            checkpoint.save(folder, model, optimizer, step, half_moments=asked.half_moments)
        if step % asked.measure_every == 0 or step == asked.steps or is_late:
            shares = exact_replies(
                forward, Tokenizer.from_file(str(asked.tokenizer)), asked.seed, asked.measure, 768, precision
            )
            log.write(step=step, exact=shares, loads=_spread(forward))
        if is_late:
            break
    return step


def _load(asked: argparse.Namespace, step: int) -> Iterator[Batch]:
    batches = Batches(asked.tokenizer, asked.seed, asked.rows, asked.length, SHARES | asked.shares)
    steps = range(step, min(asked.steps, asked.until or asked.steps))
    workers: dict[str, Any] = {"num_workers": asked.workers}
    if asked.workers:
        workers |= {"prefetch_factor": 4, "multiprocessing_context": "spawn"}
    return iter(DataLoader(batches, batch_size=None, sampler=list(steps), **workers))


def _step(
    forward: Forward,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rate: float,
    precision: AbstractContextManager[object],
    *,
    balances: bool,
) -> tuple[torch.Tensor, int]:
    """Take one step of the optimizer; return the mean loss of a target token, and how many tokens the batch had."""
    model = forward.model
    device = model.lm_head.weight.device
    ids, positions, segments, is_target = (
        torch.as_tensor(each).to(device, non_blocking=True)
        for each in (batch.ids, batch.positions, batch.segments, batch.is_target)
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    with precision:
        hidden = forward.hidden(ids, positions, segments)[:, :-1][is_target[:, :-1]]
        logits = forward.logits(hidden)
    loss = F.cross_entropy(logits.float(), ids[:, 1:][is_target[:, :-1]])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
    optimizer.step()
    if balances:
        with torch.no_grad():
            for number, load in forward.loads.items():
                if load.numel():
                    bias = model.model.layers[number].mlp.gate.e_score_correction_bias
                    bias += BALANCING * torch.sign(load.mean() - load)
    return loss.detach(), int((batch.segments > 0).sum())


def _spread(forward: Forward) -> list[list[float]]:
    return [[round(share, 3) for share in load.tolist()] for load in forward.loads.values() if load.numel()]


class _Log:
    """One JSON line for each entry, also on standard output."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def write(self, **entry: Any) -> None:
        line = json.dumps(entry)
        print(line, flush=True)
        with self._file.open("a", encoding="utf-8") as out:
            out.write(line + "\n")


def _shares(text: str) -> dict[str, float]:
    shares = {name: float(share) for name, _, share in (each.partition("=") for each in text.split(","))}
    if unknown := shares.keys() - SHARES.keys():
        raise argparse.ArgumentTypeError(
            f"there is no task {', '.join(sorted(unknown))}; there are {', '.join(SHARES)}"
        )
    return shares


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; the defaults are those that the shipped weights were trained with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--tokenizer", type=Path, default=HERE / "weights" / "tokenizer.json")
    parser.add_argument("--weights", type=Path, help="folder of weights to begin with, instead of random ones")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--until", type=int, help="stop at this step as if broken off")
    parser.add_argument("--decay", type=int, default=2000, help="last steps, in which the learning rate falls")
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--length", type=int, default=512, help="tokens in a row")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--shares", type=_shares, default={}, help="how often a task comes, such as sort=0.2,count=0.2")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--workers", type=int, default=14 if on_gpu else 0, help="processes that make data")
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--measure-every", type=int, default=1000)
    parser.add_argument("--measure", type=int, default=300, help="validation examples of each task")
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--half-moments", action="store_true", help="smaller checkpoints, not exact")
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=on_gpu)
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=on_gpu)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    train(read_arguments())
    os._exit(0)  # the processes that make data may wait for a queue that nobody reads any more
