"""What a unit carries, from the answer of ``overspill plan size --json``: a unit is a machine full of replicas."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from overspill.errors import ConfigError
from overspill.planner.capacity_units import UnitCapacity
from overspill.planner.remarks import Remark
from overspill.planner.report.latency import Interval, PredictedSpeed


class SizedUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit, and how many machines of each offer make one."""

    capacity: UnitCapacity
    gpus: int
    prompt_tokens: int
    answer_tokens: int
    predicted: PredictedSpeed | None = None
    """Of a replica."""

    def machines(self, gpus_of_machine: int) -> float:
        """Return how many machines with as many GPUs make a unit."""
        return self.gpus / gpus_of_machine

    def notes(self, mean_prompt: float, mean_answer: float) -> tuple[Remark, ...]:
        """Return what to beware of where a workload's lengths are not those that were sized for."""
        if math.isclose(mean_prompt, self.prompt_tokens, rel_tol=0.2) and math.isclose(
            mean_answer, self.answer_tokens, rel_tol=0.2
        ):
            return ()
        said = Remark(
            f"units were sized for prompts of {self.prompt_tokens:,} and answers of {self.answer_tokens:,} tokens; "
            f"this workload has {mean_prompt:,.0f} and {mean_answer:,.0f} on average: size again with it",
            f"单元按输入 {self.prompt_tokens:,}、输出 {self.answer_tokens:,} token 估算；本负载平均为 "
            f"{mean_prompt:,.0f} 与 {mean_answer:,.0f}：请据此重新估算",
        )
        return (said,)


def read_sized(path: Path, gpu: str | None, machine_gpus: list[int], headroom: float) -> SizedUnit:
    """Read the plan for ``gpu``, or the only one; raise ``ConfigError`` if there is none that works."""
    try:
        answer = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read this answer of plan size --json: {error.strerror}", file=str(path)) from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"this is no answer of plan size --json: {error}", file=str(path)) from error
    return sized_from(answer, gpu, machine_gpus, headroom, str(path))


def sized_from(answer: Any, gpu: str | None, machine_gpus: list[int], headroom: float, file: str) -> SizedUnit:
    """Read the same from an answer that is at hand; ``file`` is where it came from, for errors."""
    try:
        plans, lengths = answer["plans"], answer["workload"]["lengths"]
        working = [plan for plan in plans if plan["replica"] is not None]
        found = [plan for plan in working if gpu is None or plan["gpu"] == gpu]
        if not found:
            known = ", ".join(sorted({plan["gpu"] for plan in working})) or "none"
            raise ConfigError(f"no plan for {gpu or 'any GPU'} that works is in it; it has {known}", file=file)
        unit = _unit(found[0], lengths, machine_gpus, headroom, Path(file).name)
        return msgspec.structs.replace(unit, predicted=_predicted(answer, found[0], Path(file).name))
    except (KeyError, TypeError) as error:
        raise ConfigError(f"this is no answer of plan size --json: {error} is not as it must be", file=file) from error


def _unit(plan: Any, lengths: Any, machine_gpus: list[int], headroom: float, name: str) -> SizedUnit:
    replica_gpus = round(plan["gpus"] / plan["replicas"])
    gpus = max([replica_gpus, *machine_gpus])
    gpus = math.ceil(gpus / max(machine_gpus, default=gpus)) * max(machine_gpus, default=gpus)
    replicas = gpus // replica_gpus
    wrong = [size for size in machine_gpus if gpus % size]
    if wrong:
        raise ConfigError(f"machines of {machine_gpus} GPUs do not make equal units; plan with one kind at a time")
    each = plan["replica"]["requests_per_s"] * (1 - headroom)
    if plan["burst_limited_per_s"] is not None:
        each = min(each, plan["burst_limited_per_s"])
    rate = each * replicas
    return SizedUnit(
        capacity=UnitCapacity(
            requests_per_s=rate,
            source=f"{name}: {replicas} replicas of {replica_gpus} × {plan['gpu']} ({plan['precision']}), "
            f"{headroom:.0%} kept free for bursts",
        ),
        gpus=gpus,
        prompt_tokens=lengths["prompt_tokens"],
        answer_tokens=lengths["answer_tokens"],
    )


def _predicted(answer: Any, plan: Any, name: str) -> PredictedSpeed:
    speed, slo, observed = plan["replica"]["prediction"], answer["slo"], answer["observed"]

    def interval(measure: str) -> Interval:
        return Interval(
            expected_s=speed[f"{measure}_s"],
            low_s=speed[f"{measure}_low_s"],
            high_s=speed[f"{measure}_high_s"],
            limit_s=slo[f"{measure}_s"],
        )

    return PredictedSpeed(
        model=answer["model"]["name"],
        gpu=plan["gpu"],
        precision=plan["precision"],
        layout=plan["layout"],
        concurrency=plan["replica"]["concurrency"],
        ttft=interval("ttft"),
        tpot=interval("tpot"),
        observed_ttft_rows=observed["ttft"],
        observed_tpot_rows=observed["tpot"],
        source=f"{name}; {answer['model']['source']}; {plan['gpu_source']}",
    )
