"""``overspill plan predict`` and ``overspill plan size``: tables, JSON and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.calling import one_line, overspill

ROWS = """\
id,system,backend,isl,osl,batch_size,tp_size,silicon_ttft_ms,silicon_tpot_ms
a,h100_sxm,vllm,1024,256,8,2,180,13
b,h100_sxm,vllm,1024,256,32,2,300,18
c,h100_sxm,vllm,4096,256,4000,2,,
d,h100_sxm,vllm,2048,256,16,4,220,11
"""


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, encoding="utf-8")
    return str(path)


def values(*arguments: str) -> dict[str, Any]:
    called = overspill("plan", *arguments, "--json")
    assert (called.code, called.err) == (0, "")
    found: dict[str, Any] = json.loads(called.out)
    return found


def test_every_row_is_predicted_in_order(rows: str) -> None:
    found = values("predict", "--model-config", "Qwen3-32B", "--rows", rows)
    assert [row["id"] for row in found["rows"]] == ["a", "b", "c", "d"]
    for row in found["rows"]:
        assert row["ttft_low_ms"] < row["ttft_ms"] < row["ttft_high_ms"]
        assert row["tpot_low_ms"] < row["tpot_ms"] < row["tpot_high_ms"]
        assert row["tpot_s"] == pytest.approx(row["tpot_ms"] / 1e3)
    assert [row["has_room"] for row in found["rows"]] == [True, True, False, True]
    assert found["observed"] == {"tpot": 0, "ttft": 0}
    assert found["prior"]["source"]
    assert found["median_error"]["tpot"] < 0.5


def test_observed_rows_calibrate(rows: str) -> None:
    before = values("predict", "--model", "Qwen3-32B", "--rows", rows)
    after = values("predict", "--model", "Qwen3-32B", "--rows", rows, "--observed", rows)
    assert after["observed"] == {"tpot": 3, "ttft": 3}
    assert [row["tpot_ms"] for row in after["rows"]] == pytest.approx(
        [13, 18, after["rows"][2]["tpot_ms"], 11], rel=0.03
    )
    assert after["rows"][0]["tpot_ms"] != before["rows"][0]["tpot_ms"]
    assert after["rows"][0]["prior_tpot_ms"] == before["rows"][0]["prior_tpot_ms"]


def test_rows_that_calibrate_do_not_count_as_predicted(rows: str, tmp_path: Path) -> None:
    observed = tmp_path / "observed.csv"
    observed.write_text("".join(ROWS.splitlines(keepends=True)[:3]), encoding="utf-8")
    found = values("predict", "--model", "Qwen3-32B", "--rows", rows, "--observed", str(observed))
    assert [row["is_observed"] for row in found["rows"]] == [True, True, False, False]
    last = found["rows"][3]
    assert found["median_error"]["tpot"] == pytest.approx(abs(last["tpot_ms"] - 11) / 11)
    all_seen = values("predict", "--model", "Qwen3-32B", "--rows", str(observed), "--observed", str(observed))
    assert all_seen["median_error"] == {"ttft": None, "tpot": None}
    called = overspill("plan", "predict", "--model", "Qwen3-32B", "--rows", rows, "--observed", str(observed))
    assert "against 1 measured row not observed" in called.out


def test_an_engine_without_measurements_is_named(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("system,backend,isl,osl,batch_size\nh100,tgi,100,10,1\n", encoding="utf-8")
    (row,) = values("predict", "--model", "Qwen3-8B", "--rows", str(table))["rows"]
    assert row["notes"] == ["no measurement of tgi is behind its speed: that of an average engine is taken"]


def test_predictions_are_shown_as_a_table(rows: str, tmp_path: Path) -> None:
    called = overspill("plan", "predict", "--model", "Qwen3-32B", "--rows", rows, "--precision", "fp8")
    assert called.code == 0
    assert "qwen3: 32.8 B parameters" in called.out
    assert "* requests wait for room in the KV cache" in called.out
    assert "TPOT: median error" in called.out
    many = tmp_path / "many.csv"
    many.write_text("isl,osl\n" + "100,10\n" * 50, encoding="utf-8")
    shown = overspill("plan", "predict", "--model", "Qwen3-8B", "--rows", str(many), "--gpu", "L40S")
    assert "and 10 more; --json prints all" in shown.out
    assert "note: no batch_size: taken as 1 request in flight" in shown.out


def test_an_unknown_gpu_or_model_is_one_line_of_error(rows: str, tmp_path: Path) -> None:
    assert "unknown model 'Qwen4'" in one_line(overspill("plan", "predict", "--model", "Qwen4", "--rows", rows))
    bad = tmp_path / "bad.csv"
    bad.write_text("isl,osl,system\n1,1,tpu_v9\n", encoding="utf-8")
    said = one_line(overspill("plan", "predict", "--model", "Qwen3-8B", "--rows", str(bad)))
    assert "unknown GPU 'tpu_v9'" in said
    assert "H100-SXM" in said


def test_gpus_are_compared_with_reasons() -> None:
    called = overspill(
        "plan", "size", "--model", "BLOOM-176B", "--precision", "fp16", "--gpu", "a100-80", "--gpu", "a100-40",
        "--workload", "rps=0.5,in=512,out=128", "--slo", "ttft=5s,tpot=200ms",
    )  # fmt: skip
    assert called.code == 0
    assert "4 GPUs (TP 4): weights do not fit: 328 GiB > 320 GiB" in called.out
    assert "8 GPUs (TP 8): weights do not fit: 328 GiB > 320 GiB" in called.out
    assert "--unit rps=" in called.out


def test_a_plan_as_json_has_stable_keys() -> None:
    found = values(
        "size", "--model", "gpt-oss-120b", "--gpu", "h100", "--workload", "rps=2,in=1000,out=300,longest=8000"
    )
    (plan,) = found["plans"]
    assert plan["fits"]
    assert {"gpu", "gpus", "replicas", "layout", "precision", "replica", "needs", "failures", "gpu_source"} <= set(plan)
    assert {"concurrency", "cache_sequences", "requests_per_s", "output_tokens_per_s", "prediction"} <= set(
        plan["replica"]
    )
    assert found["workload"]["lengths"]["longest_tokens"] == 8000
    assert found["model"]["parameters"] == pytest.approx(116.8e9, rel=0.001)


def test_what_fits_nowhere_is_said_in_one_line() -> None:
    called = overspill("plan", "size", "--model", "Llama-3.1-8B", "--precision", "fp8", "--gpu", "v100", "--workload",
                       "rps=1,in=10,out=10")  # fmt: skip
    assert "none fits" in called.out
    assert "1 to 64 GPUs: V100-32GB has no units for fp8, and no kernels unpack it there" in called.out


def test_the_busiest_minutes_of_a_trace_are_planned_for(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    lines = [f"2023-11-16 18:{minute:02d}:{second:02d}.0000000,500,100" for minute in range(3) for second in range(30)]
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(lines) + "\n", encoding="utf-8")
    found = values("size", "--model", "Qwen3-8B", "--gpu", "L4", "--workload", str(trace), "--kv-precision", "bf16")
    assert found["workload"]["requests_per_s"] == 0.5
    assert found["workload"]["lengths"] == {"prompt_tokens": 500, "answer_tokens": 100, "longest_tokens": 600}


def test_all_gpus_can_be_compared_and_observed_rows_calibrate(rows: str) -> None:
    asked = ("size", "--model", "Qwen3-32B", "--workload", "rps=1,in=1024,out=256")
    assert len(values(*asked, "--gpu", "all")["plans"]) > 20
    assert values(*asked, "--gpu", "h100", "--observed", rows)["observed"] == {"tpot": 3, "ttft": 3}


@pytest.mark.parametrize(
    ("option", "text", "code", "message"),
    [
        ("--workload", "rps=1,in=10", 3, "lacks out= (mean answer tokens); write it as rps=2,in=1200,out=300"),
        ("--workload", "rps=0,in=10,out=1", 3, "'rps=0': mean requests per second must be a number above 0"),
        ("--workload", "rps=x,in=10,out=1", 3, "'rps=x': mean requests per second must be a number above 0"),
        ("--workload", "rps=1,tokens=10", 2, "unknown number of a workload 'tokens'; known: cached, cv, hours, in"),
        ("--workload", "rps=1,in=10,out=1,longest=x", 2, "longest must be a number above 0, not 'x'"),
        ("--workload", "rps=1,in=1,out=1,longest=9,tokens=1", 2, "'tokens=1' is none of cached=…, cv=…, hours=…"),
        ("--workload", "nowhere.csv", 3, "nowhere.csv"),
        ("--slo", "ttft=fast", 2, "'fast' is not a duration"),
        ("--slo", "ttft", 2, "'ttft' is none of tpot=…, ttft=…"),
        ("--slo", "ttft=0s", 2, "a time must be above 0"),
        ("--slo", "e2e=1s", 2, "'e2e=1s' is none of tpot=…, ttft=…"),
    ],
)
def test_bad_numbers_are_refused(option: str, text: str, code: int, message: str) -> None:
    given = {"--workload": "rps=1,in=10,out=1", "--slo": "ttft=1s", option: text}
    called = overspill(
        "plan", "size", "--model", "Qwen3-8B", "--gpu", "L4", *(word for pair in given.items() for word in pair)
    )
    assert called.code == code
    assert message in " ".join(called.err.split())


def test_a_trace_without_requests_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00.0000000,0,0\n", encoding="utf-8")
    called = overspill("plan", "size", "--model", "Qwen3-8B", "--gpu", "L4", "--workload", str(trace))
    assert called.code != 0


def test_a_plan_holds_in_the_simulator_and_one_replica_less_does_not(tmp_path: Path) -> None:
    """The same workload, the gateway's own controller, targets as the plan says they are."""
    workload = ("--workload", "bundled:azure-conv-2023")
    slo = {"ttft": "1s", "tpot": "60ms"}
    found = values("size", "--model", "Llama-3.1-8B", "--gpu", "L4", *workload, "--slo", "ttft=1s,tpot=60ms")
    (plan,) = found["plans"]
    assert plan["attainment"]["met"] >= 0.95
    engine, delay_s = plan["engine"]["engine"], plan["engine"]["delay_s"]

    def met(replicas: int) -> float:
        prior = {
            "ttft_base": f"{(engine['step_base_s'] + delay_s) * 1e6:.3f}us",
            "prefill_per_token": f"{engine['prefill_s_per_token'] * 1e6:.3f}us",
            "tpot_base": f"{engine['step_base_s'] * 1e6:.3f}us",
            "tpot_per_running": f"{engine['step_s_per_running'] * 1e6:.3f}us",
        }
        pool = {
            "engine": "fake", "replicas": replicas, "max_batch_size": engine["slots"],
            "context_tokens": engine["kv_capacity_tokens"], "prior": prior,
        }  # fmt: skip
        config = tmp_path / f"{replicas}.json"
        routes = [{"model": "chat", "tiers": [["local"]], "slo": slo}]
        config.write_text(json.dumps({"pools": {"local": pool}, "routes": routes}), encoding="utf-8")
        return float(values("simulate", "--config", str(config), "--trace", workload[1])["total"]["slo_met"])

    assert met(plan["replicas"]) >= 0.95
    assert met(plan["replicas"] - 1) < 0.9


def test_what_is_not_in_the_figures_is_said_and_what_would_do() -> None:
    asked = ("plan", "size", "--gpu", "H100", "--workload", "rps=1,in=1000,out=100")
    mtp = overspill(*asked, "--model", "DeepSeek-V3", "--slo", "tpot=50ms")
    assert "note: not counted: MTP modules, 11.6 B parameters, which speculative decoding loads" in mtp.out
    assert "note: not counted: the vision and audio towers" in overspill(*asked, "--model", "Qwen3.5-27B").out
    never = overspill(*asked, "--model", "Qwen3-32B", "--slo", "ttft=1ms,tpot=1ms")
    assert "what would do: an SLO above ttft=" in never.out
    assert "gives one request alone; a faster GPU; a smaller --precision" in " ".join(never.out.split())
    large = overspill("plan", "size", "--gpu", "V100-16GB", "--workload", "rps=1,in=1000,out=100", "--model", "Kimi-K2",
                      "--precision", "bf16")  # fmt: skip
    assert "what would do: a smaller --precision or --kv-precision, shorter requests, a GPU with more" in large.out


def test_fields_that_nothing_was_made_of_are_said(tmp_path: Path) -> None:
    shape = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
             "intermediate_size": 128, "vocab_size": 1000, "memory_dim": 7}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    shown = overspill("plan", "size", "--model", str(tmp_path), "--gpu", "L4", "--workload", "rps=1,in=10,out=10")
    assert "note: fields of config.json that nothing was made of: memory_dim" in shown.out
