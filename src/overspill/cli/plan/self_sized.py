"""Sizes a unit for a workload on the spot: what ``plan size`` would answer for its mean lengths and busiest window."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import msgspec

from overspill.catalog.gpus import load_gpus
from overspill.catalog.models import read_config
from overspill.cli.plan.size import answer_values, read_slo, sized
from overspill.errors import ConfigError
from overspill.perf.model_config import read_model
from overspill.planner.capacity import Lengths
from overspill.planner.demand import DemandSeries
from overspill.planner.peak import Peak, busiest_stretch
from overspill.planner.sizing import Demand
from overspill.planner.workloads.reading import Workload

_SUMS = ("openai_usage", "rates")
"""Formats that tell nothing of single requests, so that the longest one is unknown."""
_DRAWN = ("servegen", "synthetic")
_MOST_SEEN = 1_000_000
"""Requests among which the longest of a drawn workload is looked for: it may have any number."""


def size_for(given: dict[str, Any], workload: Workload, demand: DemandSeries, gpu: str) -> Any:
    """Return the answer of ``plan size --json`` for a workload on a kind of GPU."""
    found = read_config(given["model_config"])
    model, gpus = read_model(found.config, found.name), load_gpus(given["gpus"])
    wanted = _demand(workload, demand)
    peak = Peak(demand=wanted, arrivals=busiest_stretch(workload))
    slo = read_slo(given["slo"])
    asked = {
        "gpu_names": (gpu,),
        "precisions": () if given["precision"] is None else (given["precision"],),
        "kv_precision": None,
        "engine": given["engine"],
        "headroom": given["headroom"],
        "cautious": False,
        "attainment": 0.95,
        "observed_path": given["observed"],
    }
    predictor, sizings = sized(found, model, gpus, peak, slo, asked)
    if sizings[0].replica is None:
        reasons = "; ".join(dict.fromkeys(failure.why for failure in sizings[0].failures)) or "no layout fits"
        raise ConfigError(f"{found.name} does not keep {given['slo']} on {gpu}: {reasons}")
    return msgspec.json.decode(msgspec.json.encode(answer_values(found, model, wanted, slo, predictor, sizings)))


def _demand(workload: Workload, demand: DemandSeries) -> Demand:
    count = sum(demand.requests) or 1.0
    prompt, answer = sum(demand.prompt_tokens) / count, sum(demand.output_tokens) / count
    if not prompt or not answer:
        raise ConfigError(f"{workload.name} has no token counts, so no unit can be sized for it; give --unit")
    mean = math.ceil(prompt) + math.ceil(answer)
    longest = mean
    if workload.format not in _SUMS:
        seen = islice(workload.requests(), _MOST_SEEN if workload.format in _DRAWN else None)
        longest = max(request.prompt_tokens + request.output_tokens for request in seen)
    return Demand(
        requests_per_s=max(demand.requests) / demand.window_s,
        lengths=Lengths(
            prompt_tokens=math.ceil(prompt), answer_tokens=math.ceil(answer), longest_tokens=max(mean, longest)
        ),
        source=f"{workload.name}: mean lengths, rate of the busiest window",
    )
