from __future__ import annotations

import math

import pytest

from overspill.core.estimate import Line, Mean, Speed
from overspill.core.types import LatencyPrior


def shown(base: float, slope: float, count: int = 200, *, prior: tuple[float, float] = (0.5, 0.0)) -> Line:
    """A line that was shown points of ``base + slope · x`` for x from 0 to 3,900, ten a second."""
    line = Line(*prior, x_scale=1000.0)
    for i in range(count):
        x = (i * 7) % 40 * 100.0
        line.observe(x, base + slope * x, i / 10)
    return line


def test_a_fresh_line_is_its_prior() -> None:
    line = Line(0.5, 0.001, x_scale=1000.0)
    assert line.at(0.0, 0.0) == 0.5
    assert line.at(1000.0, 0.0) == pytest.approx(1.5)


@pytest.mark.parametrize(("base", "slope"), [(0.1, 0.0), (0.2, 0.0005), (2.0, 0.002), (0.0, 0.001)])
def test_a_line_recovers_the_line_that_it_is_shown(base: float, slope: float) -> None:
    line = shown(base, slope)
    for x in (0.0, 1000.0, 4000.0):
        assert line.at(x, 20.0) == pytest.approx(base + slope * x, rel=0.15, abs=0.05)  # the prior is worth 2 of its 50


def test_a_line_follows_a_target_that_has_changed() -> None:
    line = shown(0.2, 0.0001)
    for i in range(300):
        x = (i * 7) % 40 * 100.0
        line.observe(x, 1.0 + 0.002 * x, 20.0 + i / 10)
    assert line.at(2000.0, 50.0) == pytest.approx(5.0, rel=0.05)


def test_an_unobserved_line_drifts_back_to_its_prior() -> None:
    line = shown(5.0, 0.0)
    after_20_s = line.at(0.0, 20.0)
    assert after_20_s > 4.0
    distances = [after_20_s - 0.5]
    assert 0.5 < line.at(0.0, 40.0) < after_20_s
    for age_s in (60.0, 300.0, 900.0, 3600.0):
        distances.append(abs(line.at(0.0, 20.0 + age_s) - 0.5))
    assert distances == sorted(distances, reverse=True)
    assert line.at(0.0, 3620.0) == pytest.approx(0.5, abs=0.01)


def test_asking_soon_or_with_nothing_seen_changes_nothing() -> None:
    fresh = Line(0.5, 0.001, x_scale=1000.0)
    assert fresh.at(1000.0, 1e6) == pytest.approx(1.5)
    assert (fresh.base, fresh.slope) == (0.5, 0.001)
    line = shown(5.0, 0.0)
    before = line.at(500.0, 20.0)
    for now in (20.5, 29.0, math.nextafter(29.9, 0.0)):  # last seen at 19.9 s
        assert line.at(500.0, now) == before
    assert line.at(500.0, 29.9) != before


def test_what_is_asked_depends_on_the_time_alone_and_not_on_how_often_it_was_asked() -> None:
    often, once = shown(5.0, 0.001), shown(5.0, 0.001)
    for at in range(30, 300):
        often.at(0.0, float(at))
    assert often.at(1000.0, 300.0) == once.at(1000.0, 300.0)
    assert (often.base, often.slope) == (once.base, once.slope)


def test_asking_between_two_observations_changes_nothing() -> None:
    asked, unasked = Line(0.5, 0.0, x_scale=1000.0), Line(0.5, 0.0, x_scale=1000.0)
    for i in range(200):
        for line in (asked, unasked):
            line.observe(i * 7 % 40 * 100.0, 0.1 + i / 1000, i * 0.7)
        asked.at(500.0, i * 0.7)
        asked.at(500.0, i * 0.7 + 0.5)
    assert asked.at(500.0, 140.0) == unasked.at(500.0, 140.0)


def test_an_observation_after_a_long_silence_outweighs_all_before() -> None:
    line = shown(5.0, 0.0)
    for i in range(50):
        line.observe(0.0, 0.1, 1e5 + i)
    assert line.at(0.0, 1e5 + 50) == pytest.approx(0.1, abs=0.05)


def test_a_line_that_would_fall_is_made_flat() -> None:
    line = shown(4.0, -0.001)
    assert line.at(0.0, 20.0) == line.at(4000.0, 20.0)
    assert line.slope == 0.0
    assert line.base > 0.0


def test_a_line_that_would_start_below_zero_goes_through_the_origin() -> None:
    line = shown(-0.4, 0.001)
    assert line.at(0.0, 20.0) == 0.0
    assert line.base == 0.0
    assert line.slope > 0.0


@pytest.mark.parametrize("x", [0.0, 1.0, 500.0, 1e6, 1e9])
def test_many_equal_points_never_make_it_singular(x: float) -> None:
    line = Line(0.5, 0.0, x_scale=1000.0)
    for i in range(500):
        line.observe(x, 0.25, i * 0.001)
    assert math.isfinite(line.at(x, 0.5))
    assert line.at(x, 0.5) == pytest.approx(0.25, abs=0.03)


def test_a_mean_starts_at_its_prior_and_forgets_it() -> None:
    mean = Mean(256.0)
    assert mean.value == 256.0
    for _ in range(500):
        mean.observe(10.0)
    assert mean.value == pytest.approx(10.0, abs=0.1)


def test_a_speed_starts_with_both_priors() -> None:
    speed = Speed(LatencyPrior(ttft_base_s=0.3, prefill_s_per_token=0.001, tpot_base_s=0.02, tpot_s_per_running=0.005))
    assert speed.ttft.at(100, 0.0) == pytest.approx(0.4)
    assert speed.tpot.at(4, 0.0) == pytest.approx(0.04)
