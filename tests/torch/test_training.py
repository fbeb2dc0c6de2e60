"""Training: the fast forward pass is transformers', and a run that was broken off ends as one that was not."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import export  # noqa: E402
import train  # noqa: E402
from trainer import checkpoint  # noqa: E402
from trainer.forward import Forward  # noqa: E402


def asked(out: Path, **more: object) -> argparse.Namespace:
    torch.set_num_threads(1)
    arguments = ["--out", str(out), "--rows", "4", "--length", "256", "--workers", "0", "--device", "cpu"]
    arguments += ["--no-compile", "--no-bfloat16", "--log-every", "1", "--measure-every", "1000", "--measure", "0"]
    found = train.read_arguments(arguments)
    for name, value in more.items():
        setattr(found, name, value)
    return found


def parameters(out: Path) -> dict[str, torch.Tensor]:
    model = train.build_model(0)
    checkpoint.load(out / "checkpoint", model)
    return dict(model.state_dict())


def test_the_fast_forward_pass_gives_the_numbers_of_transformers() -> None:
    model = train.build_model(1)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.08, generator=generator)
    for layer in model.model.layers[1:]:
        layer.mlp.gate.e_score_correction_bias += torch.randn(8, generator=generator) * 0.05
    ids = torch.randint(0, 2048, (2, 60), generator=generator)
    positions, segments = torch.arange(60).expand(2, -1), torch.ones(2, 60, dtype=torch.int32)
    forward = Forward(model)
    with torch.no_grad():
        fast = forward.logits(forward.hidden(ids, positions, segments)).log_softmax(-1)
        slow = model(input_ids=ids).logits.log_softmax(-1)
    assert (fast - slow).abs().max() < 1e-4


def test_rows_that_are_packed_do_not_see_each_other() -> None:
    forward = Forward(train.build_model(1))
    ids = torch.randint(0, 2048, (1, 40), generator=torch.Generator().manual_seed(3))
    alone = torch.ones(1, 20, dtype=torch.int32), torch.arange(20)[None]
    packed = torch.tensor([[1] * 20 + [2] * 20], dtype=torch.int32), torch.cat([alone[1], alone[1]], dim=1)
    with torch.no_grad():
        together = forward.hidden(ids, packed[1], packed[0])[:, 20:]
        apart = forward.hidden(ids[:, 20:], alone[1], alone[0])
    assert (together - apart).abs().max() < 1e-5


def test_a_run_that_was_broken_off_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    settings = {"steps": 6, "decay": 2, "warmup": 2, "save_every": 1000, "measure_every": 1000}
    assert train.train(asked(whole, **settings)) == 6
    assert train.train(asked(broken, **settings, until=3)) == 3
    assert train.train(asked(broken, **settings)) == 6
    first, second = parameters(whole), parameters(broken)
    assert all(torch.equal(first[name], second[name]) for name in first)
    fresh = train.build_model(20261126).state_dict()
    assert not torch.equal(first["lm_head.weight"], fresh["lm_head.weight"])


def test_a_checkpoint_is_replaced_at_once_and_an_interrupted_replacement_keeps_the_old_one(tmp_path: Path) -> None:
    model = train.build_model(1)
    optimizer = train.build_optimizer(model, 1e-3)
    folder = tmp_path / "checkpoint"
    checkpoint.save(folder, model, optimizer, 1, half_moments=False)
    checkpoint.save(folder, model, optimizer, 2, half_moments=False)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    folder.rename(tmp_path / ".checkpoint.old")  # as if killed between the two renames
    found = checkpoint.newest(folder)
    assert found is not None
    assert checkpoint.load(found, train.build_model(2)) == 2


def test_the_mean_of_two_checkpoints_is_exported(tmp_path: Path) -> None:
    models = [train.build_model(seed) for seed in (1, 2)]
    for number, model in enumerate(models):
        checkpoint.save(tmp_path / str(number), model, train.build_optimizer(model, 1e-3), 1, half_moments=False)
    export.save_weights([tmp_path / "0", tmp_path / "1"], tmp_path / "weights")
    found = train.read_weights(tmp_path / "weights").state_dict()
    for name, value in found.items():
        mean = (models[0].state_dict()[name] + models[1].state_dict()[name]) / 2
        assert torch.allclose(value, mean, atol=1e-3), name


def test_a_run_can_begin_with_weights(tmp_path: Path) -> None:
    model = train.build_model(3)
    model.save_pretrained(tmp_path / "weights")
    begun = asked(tmp_path / "run", steps=1, decay=1, warmup=10**9, save_every=1, weights=tmp_path / "weights")
    assert train.train(begun) == 1
    assert torch.allclose(parameters(tmp_path / "run")["lm_head.weight"], model.lm_head.weight, atol=1e-6)
