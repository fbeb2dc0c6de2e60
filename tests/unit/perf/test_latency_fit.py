"""Fitting an engine's scalars: exact on exact figures, close on a simulated engine, unmoved by wild observations."""

from __future__ import annotations

import random

import msgspec
import pytest

from overspill.perf.batching import Batch
from overspill.perf.engine_model import EngineModel
from overspill.perf.latency import DecodeObservation, PrefillObservation, fit_engine_model, theil_sen


def decode(*points: tuple[float, float]) -> list[DecodeObservation]:
    return [DecodeObservation(concurrency=concurrency, tpot_s=tpot_s) for concurrency, tpot_s in points]


def test_points_on_a_line_give_the_line() -> None:
    fit = fit_engine_model(decode(*((count, 0.02 + 0.001 * count) for count in (1, 2, 4, 8, 16))))
    assert fit.step_base_s == pytest.approx(0.02)
    assert fit.step_s_per_running == pytest.approx(0.001)
    assert fit.tpot_error == pytest.approx(0, abs=1e-12)
    assert (fit.prefill_s_per_token, fit.ttft_overhead_s, fit.ttft_error) == (0.0, 0.0, None)
    assert (fit.decode_count, fit.prefill_count) == (5, 0)


def test_the_published_decode_times_of_bloom_176b_are_between_its_two_measured_batches() -> None:
    """47.6 ms per token at batch 1 and 96.6 ms at batch 64 (8 x A100-80GB, FP16)."""
    fit = fit_engine_model(decode((1, 0.0476), (64, 0.0966)))
    assert fit.step_s_per_running == pytest.approx((0.0966 - 0.0476) / 63)
    assert 64 / (fit.step_base_s + 64 * fit.step_s_per_running) == pytest.approx(662, rel=0.002)


def test_a_quarter_of_wild_observations_moves_nothing_much() -> None:
    dice = random.Random(5)
    points = [(float(count), 0.02 + 0.001 * count) for count in range(1, 33) for _ in range(3)]
    wild = [(float(dice.randint(1, 32)), dice.uniform(0.5, 30.0)) for _ in range(24)]
    fit = fit_engine_model(decode(*points, *wild))
    assert fit.step_base_s == pytest.approx(0.02, rel=0.1)
    assert fit.step_s_per_running == pytest.approx(0.001, rel=0.1)


def test_one_concurrency_tells_no_slope() -> None:
    fit = fit_engine_model(decode((4, 0.03), (4, 0.05), (4, 0.04)))
    assert (fit.step_base_s, fit.step_s_per_running) == (0.04, 0.0)


def test_who_was_given_up_in_silence_would_have_taken_longer() -> None:
    """All that takes more than 0.4 s is given up then: left out, the long prompts would look half as slow."""
    true = [(tokens, 0.05 + 0.001 * tokens) for tokens in range(50, 800, 25)]
    seen = [
        PrefillObservation(prompt_tokens=n, ttft_s=min(0.4, s), is_censored=s > 0.4) for n, s in true for _ in range(2)
    ]
    fit = fit_engine_model(decode((1, 1e-5)), seen)
    assert fit.prefill_s_per_token == pytest.approx(0.001, rel=0.1)
    assert fit.prefill_count == sum(not one.is_censored for one in seen)
    as_told = fit_engine_model(decode((1, 1e-5)), [msgspec.structs.replace(one, is_censored=False) for one in seen])
    assert as_told.prefill_s_per_token < 0.0006


def test_each_scalar_comes_with_the_interval_in_which_it_lies() -> None:
    """Of 24 logs of one engine nine tenths of the intervals hold the true scalar; few answers tell none."""
    held: list[bool] = []
    for seed in range(24):
        dice = random.Random(seed)
        seen = [(float(dice.randint(1, 16)), dice.randint(50, 500), dice.gauss(1.0, 0.1)) for _ in range(40)]
        tpots = [DecodeObservation(concurrency=b, tpot_s=(0.02 + 0.001 * b) * noise) for b, _, noise in seen]
        ttfts = [PrefillObservation(prompt_tokens=n, ttft_s=(0.05 + 0.0005 * n) * noise) for _, n, noise in seen]
        fit = fit_engine_model(tpots, ttfts)
        for name, true in (("step_base_s", 0.02), ("step_s_per_running", 0.001), ("prefill_s_per_token", 0.0005)):
            low, high = fit.intervals[name]
            held.append(low <= true <= high)
    assert 0.8 <= sum(held) / len(held) <= 0.99
    assert not fit_engine_model(tpots[:15], ttfts[:15]).intervals
    assert not fit_engine_model(tpots).intervals


@pytest.mark.parametrize(
    ("company", "slope"), [((7.9, 7.95, 8.0), 0.0), ((7.0, 7.5, 8.0), 0.0), ((4.0, 6.0, 8.0), 0.001)]
)
def test_a_slope_is_looked_for_only_where_the_company_differed(company: tuple[float, ...], slope: float) -> None:
    fit = fit_engine_model(decode(*((count, 0.02 + 0.001 * count) for count in company)))
    assert fit.step_s_per_running == pytest.approx(slope)
    assert fit.step_base_s + fit.step_s_per_running * 8 == pytest.approx(0.028, rel=0.02)


def test_prompts_that_wait_for_one_another_are_no_overhead() -> None:
    seen = [
        PrefillObservation(prompt_tokens=100, ttft_s=0.02 + 0.001 * (100 + beside), beside_tokens=beside)
        for beside in (0.0, 100.0, 250.0, 600.0)
    ]
    fit = fit_engine_model(decode((1, 0.02)), seen)
    assert fit.prefill_s_per_token == pytest.approx(0.001)
    assert fit.ttft_overhead_s == pytest.approx(0.0, abs=1e-9)
    assert fit.ttft_error == pytest.approx(0.0, abs=1e-9)


def test_a_step_that_seems_to_get_cheaper_with_company_is_taken_as_flat() -> None:
    fit = fit_engine_model(decode((1, 0.05), (8, 0.04), (16, 0.03)))
    assert (fit.step_base_s, fit.step_s_per_running) == (0.04, 0.0)


def test_an_engine_whose_throughput_does_not_grow_with_its_batch_has_almost_no_base() -> None:
    fit = fit_engine_model(decode((1, 0.0006), (8, 0.0055), (32, 0.0224)))
    assert fit.step_base_s == 1e-6
    assert fit.step_s_per_running == pytest.approx(0.0007, rel=0.05)


def test_prompts_are_told_apart_from_what_every_request_pays() -> None:
    seen = [
        PrefillObservation(prompt_tokens=count, ttft_s=0.005 + 0.02 * -(-count // 512) + 0.0001 * count)
        for count in (10, 200, 512, 513, 900, 2000)
    ]
    fit = fit_engine_model(decode((1, 0.02)), seen, prefill_chunk_tokens=512)
    assert fit.prefill_s_per_token == pytest.approx(0.0001)
    assert fit.ttft_overhead_s == pytest.approx(0.005)
    assert fit.ttft_error == pytest.approx(0, abs=1e-9)


def test_the_scalars_of_a_simulated_engine_are_found_from_its_answers() -> None:
    model = EngineModel(
        slots=16, step_base_s=0.02, step_s_per_running=0.0008, prefill_s_per_token=0.00008, prefill_chunk_tokens=512
    )
    tpots, ttfts = observe(model, seed=3)
    fit = fit_engine_model(tpots, ttfts, prefill_chunk_tokens=512)
    assert fit.step_base_s == pytest.approx(model.step_base_s, rel=0.05)
    assert fit.step_s_per_running == pytest.approx(model.step_s_per_running, rel=0.15)
    assert fit.prefill_s_per_token == pytest.approx(model.prefill_s_per_token, rel=0.1)
    assert fit.ttft_overhead_s < 0.01
    assert fit.tpot_error < 0.03
    assert fit.ttft_error is not None
    assert fit.ttft_error < 0.1


def observe(model: EngineModel, seed: int) -> tuple[list[DecodeObservation], list[PrefillObservation]]:
    """Send random traffic below saturation and note what a gateway could: times, lengths, requests beside."""
    dice = random.Random(seed)
    batch = Batch(model)
    now_s, first_s, last_s = 0.0, {}, {}
    jobs: dict[int, tuple[float, int, int, int]] = {}

    def go_to(until_s: float) -> None:
        while (wakeup_s := batch.next_wakeup_s()) is not None and wakeup_s <= until_s:
            for event in batch.advance(wakeup_s):
                (last_s if event.is_last else first_s)[event.request_id] = event.at_s
        batch.advance(until_s)

    for number in range(400):
        now_s += dice.expovariate(1.2 if number % 100 < 50 else 3.0)
        go_to(now_s)
        prompt, output = dice.randint(20, 2000), dice.randint(20, 200)
        beside = batch.running + batch.waiting + 1
        batch.admit(number, prompt, output, now_s)
        jobs[number] = (now_s, prompt, output, beside)
    go_to(now_s + 1000)
    tpots, ttfts = [], []
    for number, (at_s, prompt, output, beside) in jobs.items():
        start_s, end_s = first_s[number], last_s[number]
        shared = sum(max(0.0, min(end_s, last_s[one]) - max(start_s, first_s[one])) for one in jobs)
        others = sum(jobs[one][1] for one in jobs if start_s < first_s[one] <= end_s)
        tpots.append(
            DecodeObservation(
                concurrency=max(1.0, shared / (end_s - start_s)),
                tpot_s=(end_s - start_s) / (output - 1),
                prefill_per_token=others / (output - 1),
            )
        )
        if beside <= model.slots:
            ttfts.append(PrefillObservation(prompt_tokens=prompt, ttft_s=start_s - at_s, concurrency=beside))
    return tpots, ttfts


def test_many_points_are_merged_without_losing_the_line() -> None:
    points = [(float(index), 3.0 + 2.0 * index) for index in range(5000)]
    assert theil_sen(points) == pytest.approx((3.0, 2.0))


@pytest.mark.parametrize("bad", [(1, 0.0), (0.5, 0.1), (1, float("nan"))])
def test_an_impossible_tpot_is_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="TPOT needs"):
        fit_engine_model(decode((1, 0.1), bad))


def test_an_impossible_ttft_or_no_tpot_is_refused() -> None:
    with pytest.raises(ValueError, match="TTFT needs"):
        fit_engine_model(decode((1, 0.1)), [PrefillObservation(prompt_tokens=0, ttft_s=1.0)])
    with pytest.raises(ValueError, match="beside_tokens >= 0"):
        fit_engine_model(decode((1, 0.1)), [PrefillObservation(prompt_tokens=1, ttft_s=1.0, beside_tokens=-1.0)])
    with pytest.raises(ValueError, match="no TPOT"):
        fit_engine_model([])
