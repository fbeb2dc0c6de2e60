"""Correcting estimates by observed rows: few rows move little, wrong ones nothing, and the interval says how sure."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from overspill.perf.calibration import Calibration, Point, group_shares
from overspill.planner.prediction import DECODE_KERNEL, PREFILL_KERNEL

HERE = Point(
    shares={"weights": 0.5, "cache": 0.1, "arithmetic": 0.2, "overhead": 0.2},
    logs=(3.0, 7.0, 6.0, 1.0),
    run="1.0",
    engine="vllm",
    gpu="H100",
    precision="fp8",
)


def at(concurrency: float, **changes: object) -> Point:
    return msgspec.structs.replace(HERE, logs=(math.log(concurrency), 7.0, 6.0, 1.0), **changes)


def learned(points: list[Point], ratios: list[float]) -> Calibration:
    return Calibration(DECODE_KERNEL, points, ratios)


def test_nothing_observed_leaves_the_estimate() -> None:
    prior = learned([], []).correct(HERE)
    assert prior.factor == 1
    low, high = prior.interval(1.645)
    assert low * high == pytest.approx(1)
    assert high > 1.4


def test_each_observation_moves_the_estimate_and_narrows_the_interval() -> None:
    seen = [at(count) for count in (1, 4, 16, 64)]
    corrections = [learned(seen[:number], [1.5] * number).correct(at(8)) for number in range(5)]
    factors = [correction.factor for correction in corrections]
    deviations = [correction.log_deviation for correction in corrections]
    assert factors[0] == 1
    assert 1.2 < factors[1] < 1.5
    assert factors[4] == pytest.approx(1.5, rel=0.05)
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[4] < deviations[0] / 2


def test_an_observed_load_is_met_nearly() -> None:
    ratios = [1.2, 1.3, 1.25, 1.4, 1.35, 1.3]
    points = [at(2**power) for power in range(6)]
    calibration = learned(points, ratios)
    for point, ratio in zip(points, ratios, strict=True):
        assert calibration.correct(point).factor == pytest.approx(ratio, rel=0.08)
    assert (calibration.size, calibration.trusted) == (6, 6)


def test_one_wild_observation_is_distrusted() -> None:
    points = [at(2**power) for power in range(8)]
    good = learned(points, [1.2] * 8).correct(at(6)).factor
    calibration = learned(points, [1.2] * 4 + [30.0] + [1.2] * 3)
    assert calibration.trusted == 7
    assert calibration.correct(at(6)).factor == pytest.approx(good, rel=0.05)


def test_a_part_that_is_slow_is_slow_wherever_it_counts() -> None:
    """Overheads are twice as long as estimated: loads of much overhead suffer, the others do not."""

    def load(overhead: float, concurrency: float) -> Point:
        rest = (1 - overhead) / 3
        return at(concurrency, shares={"weights": rest, "cache": rest, "arithmetic": rest, "overhead": overhead})

    overheads = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8)
    points = [load(overhead, 2**index) for index, overhead in enumerate(overheads)]
    calibration = learned(points, [1 + overhead for overhead in overheads])
    much, little = (calibration.correct(load(overhead, 12)).factor for overhead in (0.7, 0.1))
    assert much == pytest.approx(1.7, rel=0.08)
    assert little < 1.3


def test_a_part_may_be_many_times_as_long_as_estimated() -> None:
    """Others' prompts take six times as long: where they are a tenth that is +50 %, where they are half +250 %."""

    def load(ahead: float, concurrency: float) -> Point:
        rest = (1 - ahead) / 5
        groups = ("overhead", "prompt", "weights", "step", "room")
        return at(concurrency, shares={**dict.fromkeys(groups, rest), "ahead": ahead})

    aheads = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55)
    kernel = msgspec.structs.replace(PREFILL_KERNEL, shares={**PREFILL_KERNEL.shares, "ahead": 3.0})
    points = [load(ahead, 2**index) for index, ahead in enumerate(aheads)]
    calibration = Calibration(kernel, points, [1 + 5 * ahead for ahead in aheads])
    assert calibration.correct(load(0.7, 64)).factor == pytest.approx(4.5, rel=0.12)
    assert calibration.correct(load(0.1, 2)).factor == pytest.approx(1.5, rel=0.12)


def test_no_factor_runs_away() -> None:
    few = {"weights": 0.01, "cache": 0.01, "arithmetic": 0.01, "overhead": 0.97}
    calibration = learned([at(2**power, shares=few) for power in range(6)], [1e6] * 6)
    assert calibration.correct(at(4, shares=few)).factor < 1e6
    assert calibration.correct(at(4)).factor < 1e4


def test_observations_elsewhere_count_less() -> None:
    ratios = [1.6] * 3
    here = learned([at(1), at(4), at(16)], ratios).correct(at(8)).factor
    other_gpu = learned([at(1, gpu="A"), at(4, gpu="A"), at(16, gpu="A")], ratios).correct(at(8)).factor
    elsewhere = {"gpu": "A", "engine": "sglang", "precision": "bf16"}
    far = learned([at(1, **elsewhere), at(4, **elsewhere), at(16, **elsewhere)], ratios).correct(at(8)).factor
    assert 1 < far < other_gpu < here
    other_precision = learned([at(1, precision="a"), at(4, precision="a"), at(16, precision="a")], ratios)
    assert far < other_precision.correct(at(8)).factor < here


def test_runs_of_other_days_are_less_alike() -> None:
    points, ratios = [at(1), at(4), at(16)], [1.6] * 3
    same = learned(points, ratios).correct(at(8))
    other = learned(points, ratios).correct(at(8, run="2.0"))
    assert other.factor < same.factor
    assert other.log_deviation > same.log_deviation


def test_a_run_is_of_one_engine_and_one_kind_of_gpu() -> None:
    """Versions of different engines may bear one number, and one day may see many GPUs."""
    strong = msgspec.structs.replace(DECODE_KERNEL, run=5.0)
    same = Calibration(strong, [at(1), at(16)], [2.0, 2.0]).correct(at(4)).factor
    for changes in ({"engine": "sglang"}, {"gpu": "A"}):
        other = Calibration(strong, [at(1, **changes), at(16, **changes)], [2.0, 2.0]).correct(at(4)).factor
        assert 1 < other < 1.5 < same


def test_repeated_loads_are_merged_to_their_median() -> None:
    calibration = learned([at(4)] * 3, [1.1, 1.2, 9.0])
    assert calibration.size == 1
    assert calibration.correct(at(4)).factor < 1.2
    other_layout = at(4, shares={"weights": 0.1, "cache": 0.1, "arithmetic": 0.2, "overhead": 0.6})
    assert learned([at(4), other_layout], [1.1, 1.2]).size == 2


def test_repetitions_that_contradict_each_other_say_little() -> None:
    agreed = learned([at(4)] * 3, [1.99, 2.0, 2.01]).correct(at(4))
    torn = learned([at(4)] * 3, [0.02, 2.0, 200.0]).correct(at(4))
    assert agreed.factor == pytest.approx(2.0, rel=0.05)
    assert torn.factor < 1.1
    assert torn.log_deviation > 3 * agreed.log_deviation


def test_many_observations_are_thinned_and_still_help() -> None:
    rng = random.Random(3)
    points = [at(rng.uniform(1, 200)) for _ in range(300)]
    calibration = learned(points, [1.5 * math.exp(rng.gauss(0, 0.03)) for _ in points])
    assert calibration.size == 80
    assert calibration.correct(at(50)).factor == pytest.approx(1.5, rel=0.05)


def test_a_ratio_must_be_above_0_and_there_for_each_point() -> None:
    with pytest.raises(ValueError, match="a ratio above 0 for each point"):
        learned([at(1)], [0.0])
    with pytest.raises(ValueError, match="a ratio above 0 for each point"):
        learned([at(1)], [])


def test_parts_are_summed_by_group() -> None:
    assert group_shares({"a": 0.2, "b": 0.3, "c": 0.5}, {"first": ("a", "b"), "second": ("c",)}) == {
        "first": 0.5,
        "second": 0.5,
    }
