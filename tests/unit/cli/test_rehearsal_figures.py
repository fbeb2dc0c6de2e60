"""What a rehearsal makes of its measurements: figures, the file, the models for the simulation, the tables."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from rich.console import Console
from tests.unit.cli.calling import overspill
from tests.unit.cli.outcomes import FIT, TRACE, a_result, a_scene, a_summary, an_outcome, figures

from overspill.cli.rehearsal.measure import LOCAL_TARGET, Capacity, _tpot_s, mode_figures
from overspill.cli.rehearsal.outcome import (
    CLOUD_TARGET,
    describe_machine,
    models_of,
    played_fit,
    policy_of,
    probed_engine,
    read_outcome,
    simulate_modes,
    write_outcome,
)
from overspill.cli.rehearsal.stage import gateway_config
from overspill.cli.rehearsal.tables import compare, mode_table
from overspill.cli.rehearse import _fit_load
from overspill.config.compile import compile_config
from overspill.config.load import load_text
from overspill.core.types import Spill, Surface
from overspill.errors import ConfigError, TraceError
from overspill.ledger.records import AttemptOutcome
from overspill.perf.batching import Batch
from overspill.perf.engine_model import EngineModel
from overspill.planner.simulated import SimulatedRequest
from overspill.planner.simulator import simulate
from overspill.planner.workload import Trace, TraceRequest
from overspill.pools.facts import load_facts


def request(arrived_at: float) -> dict[str, Any]:
    return {"arrived_at": arrived_at}


def attempt(
    started_at: float, duration_s: float, target_id: str = LOCAL_TARGET, cost_usd: float | None = 0.0, tokens: Any = 10
) -> dict[str, Any]:
    return {
        "target_id": target_id,
        "started_at": started_at,
        "duration_s": duration_s,
        "cost_usd": cost_usd,
        "output_tokens": tokens,
        "prompt_tokens": 20,
        "cached_tokens": None,
        "outcome": AttemptOutcome.FINISHED,
        "ttft_s": 0.25 * duration_s,
        "tpot_s": 0.75 * duration_s / 9,
    }


def test_the_probed_engine_is_judged_while_requests_arrive_and_not_by_the_tail() -> None:
    requests = [request(100.0), request(110.0)]
    attempts = [attempt(100.0, 10.0), attempt(105.0, 95.0), attempt(112.0, 5.0), attempt(100.0, 10.0, CLOUD_TARGET)]
    found = mode_figures(a_summary(), requests, attempts, a_scene(max_batch_size=2))
    assert found.local_busy == pytest.approx((10.0 + 5.0) / (2 * 10.0))


def test_a_probed_engine_whose_every_slot_is_used_is_wholly_busy() -> None:
    requests = [request(float(n)) for n in range(11)]
    attempts = [attempt(-1.0 + 3.0 * n, 3.0) for n in range(5)] * 2
    assert mode_figures(a_summary(), requests, attempts, a_scene(max_batch_size=2)).local_busy == pytest.approx(1.0)


@pytest.mark.parametrize("requests", [[], [request(5.0)], [request(5.0), request(5.0)]])
def test_without_any_time_between_arrivals_nothing_is_said_to_be_busy(requests: list[dict[str, Any]]) -> None:
    assert mode_figures(a_summary(), requests, [attempt(5.0, 1.0)], a_scene(max_batch_size=1)).local_busy == 0.0


def test_tokens_and_costs_are_counted_where_they_were_made() -> None:
    attempts = [
        attempt(0.0, 1.0, tokens=7),
        attempt(0.0, 1.0, tokens=None),
        attempt(0.0, 1.0, CLOUD_TARGET, cost_usd=0.25, tokens=30),
        attempt(0.0, 1.0, CLOUD_TARGET, cost_usd=None, tokens=3),
    ]
    found = mode_figures(a_summary(), [request(0.0), request(1.0)], attempts, a_scene(max_batch_size=1))
    assert (found.local_output_tokens, found.cloud_output_tokens, found.cost_usd) == (7, 33, 0.25)


@pytest.mark.parametrize(
    ("ttft_s", "e2e_s", "tokens", "tpot_s"),
    [(0.1, 1.1, 11, 0.1), (0.9, 1.0, 10, 0.1), (1.0, 1.0, 10, 0.1), (None, 1.0, 0, 0.0), (0.1, 0.1, 1, 0.0)],
)
def test_tokens_that_all_come_at_the_end_are_still_timed(
    ttft_s: float | None, e2e_s: float, tokens: int, tpot_s: float
) -> None:
    result = a_result(0, ttft_s=ttft_s, e2e_s=e2e_s, output_tokens=tokens)
    assert _tpot_s(result) == pytest.approx(tpot_s)


def test_an_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "outcome.json"
    write_outcome(an_outcome(), path)
    assert read_outcome(path) == an_outcome()
    assert json.loads(path.read_text(encoding="utf-8"))["overspill_rehearsal"] == 1


def test_an_outcome_that_cannot_be_written_or_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be written"):
        write_outcome(an_outcome(), tmp_path / "nowhere" / "outcome.json")
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_outcome(tmp_path / "nowhere.json")


def test_the_machine_is_described_by_its_cores_and_the_python() -> None:
    assert "cores, Python 3." in describe_machine()


def burst_s(engine: EngineModel, count: int) -> float:
    batch = Batch(engine)
    for number, one in enumerate(TRACE[:count]):
        batch.admit(number, one.prompt_tokens, one.output_tokens, 0.0)
    return batch.advance(1e9)[-1].at_s


@pytest.mark.parametrize("requests_per_s", [1.0, 5.0, 20.0])
def test_the_modelled_engine_carries_what_the_real_one_was_measured_to_carry(requests_per_s: float) -> None:
    capacity = Capacity(requests_per_s=requests_per_s, output_tokens_per_s=1.0, sample=24)
    engine = probed_engine(an_outcome(capacity=capacity))
    assert 24 / burst_s(engine, 24) == pytest.approx(requests_per_s)
    assert engine.step_s_per_running / engine.step_base_s == pytest.approx(FIT.step_s_per_running / FIT.step_base_s)


def test_the_modelled_engine_takes_prompts_in_pieces_as_the_real_one_does() -> None:
    assert probed_engine(an_outcome()).prefill_chunk_tokens == 2048
    scene = a_scene(engine_options={"engine": {"prefill_chunk_tokens": 512}})
    assert probed_engine(an_outcome(scene=scene)).prefill_chunk_tokens == 512


def test_the_engine_is_as_fast_as_it_was_while_the_trace_was_played_to_it_alone(tmp_path: Path) -> None:
    attempts = [attempt(0.5 * number, 1.0) for number in range(40)]
    alone = mode_figures(a_summary(4, 0, 2), [request(0.0), request(9.0)], attempts, a_scene())
    assert alone.local_fit is not None
    assert (alone.local_fit.decode_count, alone.local_fit.prefill_count) == (40, 40)
    outcome = an_outcome(modes={**an_outcome().modes, "local-only": alone})
    assert played_fit(outcome) == alone.local_fit
    local = models_of(outcome)[LOCAL_TARGET]
    assert (local.engine.step_base_s, local.engine.slots) == (alone.local_fit.step_base_s, 4)
    assert local.delay_s == alone.local_fit.ttft_overhead_s
    path = tmp_path / "outcome.json"
    write_outcome(outcome, path)
    assert "as its 40 attempts in local-only say" in overspill("simulate", "--rehearsal", str(path)).out
    assert json.loads(overspill("simulate", "--rehearsal", str(path), "--json").out)["local_speed_from"] == "local-only"


def test_with_too_few_attempts_it_is_as_fast_as_it_was_probed() -> None:
    few = mode_figures(a_summary(4, 0, 2), [request(0.0)], [attempt(0.0, 1.0)] * 11, a_scene())
    outcome = an_outcome(modes={"local-only": few})
    assert played_fit(outcome) is None
    assert models_of(outcome)[LOCAL_TARGET].engine == probed_engine(outcome)


def test_a_trace_shorter_than_the_capacity_probe_leaves_the_fit_as_it_is() -> None:
    engine = probed_engine(an_outcome(trace=TRACE[:5]))
    assert (engine.step_base_s, engine.prefill_s_per_token) == (FIT.step_base_s, FIT.prefill_s_per_token)


def test_the_simulated_policy_is_the_rehearsed_one() -> None:
    outcome = an_outcome()
    scene = outcome.scene
    written = yaml.safe_dump(gateway_config(scene, 9, Path("ledger.db")))
    facts = load_facts()
    rehearsed = compile_config(load_text(written, facts), facts).policy
    simulated = policy_of(outcome)
    *modes, probe = rehearsed.routes
    assert simulated.routes == tuple(modes)
    assert (probe.pattern, probe.local_only, probe.deadline_s) == ("probe", True, 3600.0)
    local, cloud = rehearsed.targets
    # A rehearsal's requests are chats, and need nothing that a target might lack.
    plain = {"surfaces": (Surface.CHAT, Surface.COMPLETIONS), "lacks": ()}
    assert simulated.targets[0] == msgspec.structs.replace(local, ready_at_start=True, price=None, **plain)
    assert simulated.targets[1] == msgspec.structs.replace(cloud, lacks=())


@pytest.mark.parametrize("mode", ["local-only", "cloud-only", "hybrid"])
def test_every_mode_can_be_simulated(mode: str) -> None:
    outcome = an_outcome()
    rows = simulate(outcome.trace, policy_of(outcome), models_of(outcome), mode)
    targets = {row.target_id for row in rows}
    assert targets == {"local-only": {LOCAL_TARGET}, "cloud-only": {CLOUD_TARGET}}.get(
        mode, {LOCAL_TARGET, CLOUD_TARGET}
    )


def test_what_a_gateway_learned_in_one_mode_it_knows_in_the_next() -> None:
    """The engine is far slower than a new gateway believes: it starts a few at home in vain until it has learned."""
    slow = msgspec.structs.replace(FIT, prefill_s_per_token=0.02)
    outcome = an_outcome(engine_fit=slow, trace=TRACE[:20])  # a trace shorter than the probe leaves the fit as it is
    hybrid = simulate_modes(outcome)["hybrid"]
    alone = simulate(outcome.trace, policy_of(outcome), models_of(outcome), "hybrid")

    def late(rows: list[SimulatedRequest]) -> int:
        return sum(row.spill is Spill.SILENT for row in rows)

    assert late(hybrid) < late(alone)
    assert [row.at_s for row in hybrid] == pytest.approx([request.at_s for request in outcome.trace])
    assert all(row.outcome is not None for row in hybrid)


def test_the_configuration_of_a_stage_names_threads_only_where_they_are_asked_for() -> None:
    assert "threads" not in gateway_config(a_scene(), 9, Path("l.db"))["pools"]["local"]
    assert gateway_config(a_scene(threads=3), 9, Path("l.db"))["pools"]["local"]["threads"] == 3


def test_shares_are_compared_in_points_and_the_rest_in_per_cent() -> None:
    rows = {name: (seen, told, error) for name, seen, told, error in compare(a_summary(4, 2, 0), a_summary(3, 2, 1))}
    assert rows["answered"] == ("100.0%", "83.3%", "-16.7 points")
    assert rows["spilled"] == ("33.3%", "33.3%", "+0.0 points")
    assert rows["TTFT at home p50, s"] == ("0.1", "0.1", "+0.0%")
    assert rows["goodput, requests/s"][2].startswith("-1")


def test_what_only_one_side_has_is_not_compared() -> None:
    names = [row[0] for row in compare(a_summary(4, 0, 0), a_summary(3, 2, 1))]
    assert not [name for name in names if name.startswith("TTFT spilled")]
    nothing = msgspec.structs.replace(a_summary(), goodput_per_s=0.0)
    assert {row[0]: row[3] for row in compare(nothing, a_summary())}["goodput, requests/s"] == "-"


def test_the_table_has_a_column_for_each_mode() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(mode_table(an_outcome()))
    text = out.getvalue()
    for words in ("local-only", "cloud-only", "hybrid", "2: 503", "local_full", "90%", "$0.50", "100 ms / 100 ms"):
        assert words in text


def test_a_rehearsal_is_compared_with_its_simulation(tmp_path: Path) -> None:
    path = tmp_path / "outcome.json"
    write_outcome(an_outcome(), path)
    called = overspill("simulate", "--rehearsal", str(path))
    assert (called.code, called.err) == (0, "")
    assert "Simulated beside measured" in called.out
    assert "180 requests simulated in" in called.out
    assert "as it was probed before the trace" in called.out
    found = json.loads(overspill("simulate", "--rehearsal", str(path), "--json").out)
    assert set(found) == {"measured", "simulated", "local_speed_from", "cpu_s"}
    assert found["local_speed_from"] == "probe"
    assert set(found["measured"]) == set(found["simulated"]) == {"local-only", "cloud-only", "hybrid"}
    assert found["measured"]["hybrid"] == msgspec.to_builtins(figures(a_summary(4, 2, 0)).summary, str_keys=True)


def test_the_load_is_cut_to_the_time_and_squeezed_to_the_rate() -> None:
    trace = Trace(source="made up", requests=TRACE)
    played = _fit_load(trace, 3.0, 10.0)
    assert len(played.requests) == 30
    assert played.length_s == pytest.approx(3.0)
    assert [r.at_s for r in played.requests] == pytest.approx([r.at_s * 3.0 / 2.9 for r in TRACE[:30]])


def test_requests_that_all_come_at_once_are_played_so() -> None:
    trace = Trace(source="made up", requests=(TraceRequest(0.0, 1, 1),) * 5)
    assert [r.at_s for r in _fit_load(trace, 3.0, 1.0).requests] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("seconds", "rate", "says"),
    [
        (3.0, 100.0, "the trace has 60 requests and 300 are needed"),
        (3600.0, 100.0, "360000 requests in 3600 s are too many"),
        (1.0, 0.1, "too slow for even one request"),
    ],
)
def test_a_load_that_cannot_be_made_says_what_to_change(seconds: float, rate: float, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _fit_load(Trace(source="made up", requests=TRACE), seconds, rate)
