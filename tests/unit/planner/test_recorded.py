"""What a ledger recorded, beside a simulation of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.core.making import policy, route
from tests.unit.ledger.sample_records import a_request, an_attempt
from tests.unit.planner.ledgers import STARTS_AT, write_ledger, write_records
from tests.unit.planner.worlds import CLOUD, ENGINE, away, home

from overspill.core.types import FailureKind, Outcome, RejectReason, Surface
from overspill.errors import TraceError
from overspill.ledger.records import AttemptOutcome
from overspill.perf.batching import Batch
from overspill.perf.engine_model import EngineModel
from overspill.planner.attempts import Attempts
from overspill.planner.checking import Checked, check
from overspill.planner.recorded import measure, read_recorded
from overspill.planner.scenario import scenario
from overspill.planner.simulated import TargetModel
from overspill.planner.workload import TraceRequest

WORLD = policy(home(), away(), routes=(route(("gpu",), ("api",), ttft_s=1.0),))
MODELS = {"gpu": TargetModel(engine=ENGINE, delay_s=0.01), "api": TargetModel(engine=CLOUD, delay_s=0.2)}
TRACE = [TraceRequest(0.12 * n, 20 + 37 * n % 400, 10 + 7 * n % 60) for n in range(700)]


def test_a_simulation_of_what_was_recorded_has_its_figures_within_a_point_or_a_few_per_cent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    rows = write_ledger(path, TRACE, WORLD, MODELS, "m")
    recorded = read_recorded(path, None)
    assert (recorded.model, len(recorded.rows), recorded.tells_lengths) == ("m", 700, True)
    assert recorded.starts_at_unix_s == STARTS_AT
    measured = measure(path, WORLD.targets)
    gpu = measured[0]
    assert gpu.fit is not None
    # It is full nearly always: what a step costs then is known, not how much of that a single request would pay.
    full_s = ENGINE.step_base_s + ENGINE.step_s_per_running * ENGINE.slots
    assert gpu.model.engine.step_base_s == pytest.approx(full_s, rel=0.05)
    assert gpu.model.engine.step_s_per_running == 0.0
    assert gpu.model.engine.prefill_s_per_token == pytest.approx(ENGINE.prefill_s_per_token, rel=0.2)
    world = scenario("c.yaml", WORLD, "m", models={one.target_id: one.model for one in measured})
    seen, told = world.tally(60.0), world.tally(60.0)
    for row, usd in zip(recorded.rows, recorded.usd, strict=True):
        seen.add(row, usd)
    world.play(recorded.trace(), told.add, starts_at_unix_s=STARTS_AT, tells_lengths=True)
    assert 0.2 < sum(row.spill is not None for row in rows) / len(rows) < 0.8
    errors = {one.name: one.error for one in check(seen.total(), told.total())}
    assert abs(errors["spilled"] or 0.0) < 0.03
    assert abs(errors["slo_met"] or 0.0) < 0.01
    assert abs(errors["usd_per_hour"] or 0.0) < 0.06
    assert abs(errors["tpot_s.p50"] or 0.0) < 0.1


def test_what_a_simulation_cannot_have_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write_records(
        path,
        [
            a_request(
                0, outcome=Outcome.EVICTED, reason=RejectReason.DEADLINE_EVICTED, output_tokens=None, cost_usd=None
            ),
            a_request(1, output_tokens=128),
            a_request(2, outcome=Outcome.FAILED, reason=FailureKind.SERVER_ERROR, output_tokens=None),
            a_request(3, outcome=Outcome.CLIENT_GONE),
            a_request(4, attempts=0),
            a_request(5, surface=Surface.EMBEDDINGS),
            a_request(6, model="other"),
            a_request(7, output_tokens=None),
            a_request(8, outcome=Outcome.REJECTED, prompt_tokens=0),
        ],
    )
    found = read_recorded(path, "deepseek-chat")
    assert dict(found.left_out) == {
        "client_gone": 1, "embeddings": 1, "from_the_cache": 1, "other_model": 1, "without_tokens": 2,
    }  # fmt: skip
    assert [(row.at_s, row.outcome, row.reason) for row in found.rows] == [
        (0.0, Outcome.EVICTED, "deadline_evicted"),
        (1.0, Outcome.COMPLETED, None),
        (2.0, Outcome.FAILED, None),
    ]
    assert (found.unknown_lengths, found.tells_lengths) == (2, False)
    assert [request.output_tokens for request in found.trace()] == [128, 128, 128]
    with pytest.raises(TraceError, match=r"name one of its models with --model; .*: deepseek-chat \(7\)"):
        read_recorded(path, None)
    gone = tmp_path / "gone.db"
    write_records(gone, [a_request(0, model="other", outcome=Outcome.CLIENT_GONE)])
    with pytest.raises(TraceError, match="no request for other was answered or refused"):
        read_recorded(gone, "other")


def test_too_few_attempts_leave_a_target_as_its_prior_says(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    attempts = [an_attempt(n, target_id="gpu", output_tokens=2) for n in range(20)]
    attempts += [an_attempt(50, target_id="gpu", outcome=AttemptOutcome.FAILED, ttft_s=None)]
    write_records(path, [a_request(0)], attempts)
    (found,) = measure(path, [home()])
    assert (found.fit, found.attempts) == (None, 21)
    assert found.model.engine.step_base_s == ENGINE.step_base_s


def log_of_a_full_engine(engine: EngineModel, count: int) -> list[dict[str, Any]]:
    """Return the attempts on an engine whose slots are taken again some milliseconds after they are free."""
    dice = random.Random(3)
    batch, rows, coming, now_s = Batch(engine), [], [0.0] * engine.slots, 0.0
    while len(rows) < count or batch.running or batch.waiting:
        now_s = min(batch.next_wakeup_s() or 1e9, min(coming, default=1e9))
        for told in batch.advance(now_s):
            row = rows[told.request_id]
            if not told.is_last:
                row["ttft_s"] = told.at_s - row["started_at"]
                continue
            row["duration_s"] = told.at_s - row["started_at"]
            row["tpot_s"] = (row["duration_s"] - row["ttft_s"]) / (row["output_tokens"] - 1)
            coming.append(now_s + dice.uniform(0.001, 0.02))
        for at_s in [at_s for at_s in coming if at_s <= now_s]:
            coming.remove(at_s)
            if len(rows) < count:
                prompt, output = dice.randrange(20, 500), dice.randrange(10, 120)
                batch.admit(len(rows), prompt, output, now_s)
                rows.append({"started_at": now_s, "prompt_tokens": prompt, "cached_tokens": None})
                rows[-1] |= {"output_tokens": output, "outcome": AttemptOutcome.FINISHED, "ttft_s": None}
    return rows


@pytest.mark.parametrize(("slots", "prefill_s"), [(4, 0.0004), (16, 0.0004), (16, 0.0001), (64, 0.0001)])
def test_an_engine_that_was_always_full_is_known_by_its_log(slots: int, prefill_s: float) -> None:
    """Several slots free up within one step, so prompts wait for one another: that is no overhead of each request."""
    engine = EngineModel(slots=slots, step_base_s=0.008, prefill_s_per_token=prefill_s)
    fit = Attempts(log_of_a_full_engine(engine, 600)).fit(prefill_chunk_tokens=engine.prefill_chunk_tokens)
    assert fit is not None
    assert fit.step_base_s + fit.step_s_per_running * slots == pytest.approx(engine.step_base_s, rel=0.15)
    assert fit.prefill_s_per_token == pytest.approx(prefill_s, rel=0.1)
    assert fit.ttft_overhead_s < 0.015


def test_attempts_that_lost_a_race_in_silence_count() -> None:
    """Their targets never counted their prompts: the gateway did, in tokens of which the target makes two."""
    engine = EngineModel(slots=8, step_base_s=0.008, prefill_s_per_token=0.001)
    heard = [{**row, "asked_tokens": row["prompt_tokens"] // 2} for row in log_of_a_full_engine(engine, 500)]
    limit_s = 0.5
    raced = [
        {**row, "ttft_s": None, "tpot_s": None, "duration_s": limit_s, "prompt_tokens": None, "output_tokens": None,
         "outcome": AttemptOutcome.CANCELLED}
        if row["ttft_s"] > limit_s else row
        for row in heard
    ]  # fmt: skip
    silent = [row for row in raced if row["ttft_s"] is None]
    assert 0.1 < len(silent) / len(raced) < 0.6
    known = Attempts(raced).fit(prefill_chunk_tokens=2048)
    without = Attempts([row for row in raced if row["ttft_s"] is not None]).fit(prefill_chunk_tokens=2048)
    assert known is not None
    assert without is not None
    assert abs(known.prefill_s_per_token - 0.001) < abs(without.prefill_s_per_token - 0.001)
    assert known.prefill_s_per_token == pytest.approx(0.001, rel=0.15)


def test_prompts_have_one_length_whichever_tokenizer_counted_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    asked = {"model": "m", "prompt_tokens": 100, "output_tokens": 10}
    write_records(
        path,
        [
            a_request(0, prompt_tokens_reported=180, cached_tokens=90, cost_usd=0.0, **asked),
            a_request(1, prompt_tokens_reported=120, cached_tokens=None, cost_usd=0.1, **asked),
            a_request(2, prompt_tokens_reported=None, cached_tokens=None, outcome=Outcome.FAILED, **asked),
        ],
    )
    found = read_recorded(path, "m")
    assert found.tokens_per_asked == pytest.approx(1.2)
    assert [(row.prompt_tokens, row.cached_tokens) for row in found.rows] == [(120, 60), (120, 0), (120, 0)]


def test_an_error_is_in_points_or_in_parts_of_what_was_recorded() -> None:
    assert Checked(name="spilled", kind="share", recorded=0.5, simulated=0.55).error == pytest.approx(0.05)
    assert Checked(name="ttft", kind="ratio", recorded=2.0, simulated=1.0).error == -0.5
    assert Checked(name="cost", kind="ratio", recorded=0.0, simulated=1.0).error is None
    assert msgspec.to_builtins(Checked(name="x", kind="share", recorded=0.0, simulated=0.0))["kind"] == "share"
