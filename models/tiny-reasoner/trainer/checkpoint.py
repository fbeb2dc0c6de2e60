"""Checkpoints: safetensors in pieces, written beside the old one and put in its place at once.

A checkpoint has the model's parameters, both moments of the optimizer and the number of steps taken. Data is a function
of seed and step, so nothing else is needed to go on exactly as if there had been no break.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

import torch
from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq")
PIECE_BYTES = 15 * 2**20


def save(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, *, half_moments: bool
) -> None:
    """Write a checkpoint; ``half_moments`` stores the moments in bfloat16, which is half the size and not exact."""
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for moment in MOMENTS:
            if parameter in optimizer.state:
                value = optimizer.state[parameter][moment]
                tensors[f"{moment}/{name}"] = value.bfloat16() if half_moments else value
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for number, piece in enumerate(_pieces(tensors)):
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in piece.items()},
            fresh / f"part-{number}.safetensors",
        )
    (fresh / "state.json").write_text(json.dumps({"step": step}) + "\n", encoding="utf-8")
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    fresh.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def _pieces(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    pieces: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in tensors.items():
        size += value.nbytes
        if size > PIECE_BYTES:
            pieces.append({})
            size = value.nbytes
        pieces[-1][name] = value
    return pieces


def newest(folder: Path) -> Path | None:
    """Return the checkpoint, or what a break in the middle of replacing it left."""
    for candidate in (folder, folder.with_name(f".{folder.name}.old")):
        if (candidate / "state.json").exists():
            return candidate
    return None


def load(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Read a checkpoint into model and optimizer; return how many steps were taken."""
    state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    tensors: dict[str, Tensor] = {}
    for piece in sorted(folder.glob("part-*.safetensors")):
        tensors |= load_file(piece)
    model.load_state_dict(
        {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
    )
    if optimizer is not None:
        for name, parameter in model.named_parameters():
            moments = {moment: tensors[f"{moment}/{name}"].float().to(parameter.device) for moment in MOMENTS}
            optimizer.state[parameter] = {
                "step": torch.tensor(float(state["step"]), device=parameter.device),
                **moments,
            }
    return int(state["step"])
