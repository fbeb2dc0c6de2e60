"""Reading rows of a benchmark and predicting them: layouts, formats, what is missing, and what observing brings."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from statistics import median

import msgspec
import pytest
from tests.unit.planner.ledgers import write_records

from overspill.catalog.gpus import load_gpus
from overspill.catalog.latency import load_prior
from overspill.catalog.models import find_model
from overspill.errors import ConfigError, UnknownName
from overspill.perf.architecture import Role
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.memory import Layout
from overspill.perf.model_config import read_model
from overspill.planner.measured_rows import ReadRows, Row
from overspill.planner.prediction import Predictor, relative_errors, tpot_reach, ttft_reach

DATA = Path("benchmarks/planner/data/silicon_sample.csv.gz")


def reader(name: str = "Llama-3.1-8B", **changes: str) -> ReadRows:
    config = find_model(name).config
    return ReadRows(
        model=read_model(config, name), checkpoint=checkpoint_recipe(config, name), gpus=load_gpus(), **changes
    )


def one(text: str, name: str = "Llama-3.1-8B", **changes: str) -> Row:
    (row,) = reader(name, **changes).from_text(text, "rows.csv")
    return row


def test_only_lengths_must_be_there() -> None:
    row = one("isl,osl\n100,20\n", default_gpu="h100")
    assert (row.deployment.gpu.name, row.deployment.engine, row.deployment.layout) == ("H100-SXM", "vllm", Layout())
    assert row.load.concurrency == 1
    assert row.notes == ("no batch_size: taken as 1 request in flight",)
    assert row.deployment.recipe.name == "bf16"
    assert (row.ttft_s, row.tpot_s) == (None, None)
    assert row.id == "line 2"


def test_all_columns_of_the_silicon_sample_are_read() -> None:
    row = one(
        "id,silicon_data_source,backend,backend_version,system,precision,mode,isl,osl,gemm_quant_mode,moe_quant_mode,"
        "batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms\n"
        "a,source_file=x.csv; measured=2026-01-14T00:00,TensorRT-LLM,1.1,h200_sxm,fp8,agg,1024,512,fp8,fp8_block,"
        "16,1,2,8,1,8,300,20\n",
        "DeepSeek-R1",
    )
    assert row.deployment.layout == Layout(tp=8, pp=2, dp_attention=8, ep=8)
    assert (row.deployment.engine, row.run) == ("trtllm", "1.1 2026-01-14")
    assert row.deployment.recipe.formats[Role.EXPERTS] == "fp8_block"
    assert row.deployment.cache_element_bytes == 1.0
    assert (row.load.prompt_tokens, row.load.answer_tokens, row.load.concurrency) == (1024, 512, 16)
    assert (row.ttft_s, row.tpot_s) == (0.3, 0.02)


def test_shorter_names_of_columns_are_read_too() -> None:
    row = one("gpu,engine,prompt_tokens,answer_tokens,concurrency,tp,ttft_s,tpot_ms\nB200,sglang,10,5,3,2,0.5,7\n")
    assert (row.deployment.gpu.name, row.deployment.layout.tp, row.load.concurrency) == ("B200", 2, 3)
    assert (row.ttft_s, row.tpot_s) == (0.5, 0.007)


@pytest.mark.parametrize(
    "text", ["ISL;OSL; Batch_Size ;GPU\n10;5;3;h100\n", "isl\tosl\tbatch_size\tgpu\n10\t5\t3\th100\n"]
)
def test_headers_in_capitals_and_other_signs_between_cells_are_read(text: str) -> None:
    row = one(text)
    assert (row.load.prompt_tokens, row.load.answer_tokens, row.load.concurrency) == (10, 5, 3)
    assert row.deployment.gpu.name == "H100-SXM"


def test_a_table_of_several_models_says_that_they_are_taken_for_one() -> None:
    head = "model_path,isl,osl,batch_size,gpu\n"
    rows = reader().from_text(head + "x/A,5,5,1,h100\nx/B,5,5,1,h100\n", "rows.csv")
    assert [row.notes for row in rows] == [
        ("the table is of 2 models (x/A, x/B): all rows are reckoned as the given one",)
    ] * 2
    assert not one(head + "x/A,5,5,1,h100\n").notes


def test_a_checkpoint_of_as_many_bits_keeps_its_own_formats() -> None:
    head = "system,isl,osl,batch_size,gemm_quant_mode,moe_quant_mode\nh100_sxm,10,5,1,"
    own = one(head + "nvfp4,nvfp4\n", "gpt-oss-120b").deployment.recipe
    assert (own.formats[Role.EXPERTS], own.formats[Role.ATTENTION]) == ("mxfp4", "bf16")
    other = one(head + "fp8,nvfp4\n", "DeepSeek-R1").deployment.recipe
    assert (other.formats[Role.EXPERTS], other.formats[Role.ATTENTION]) == ("nvfp4", "fp8")
    plain = one(head + "bfloat16,\n").deployment
    assert plain.recipe.formats[Role.DENSE] == "bf16"
    assert plain.cache_element_bytes == 2.0
    cached = one("system,isl,osl,precision,kv_cache_dtype\nh100,10,5,fp8,bf16\n").deployment
    assert (cached.recipe.formats[Role.DENSE], cached.cache_element_bytes) == ("fp8", 2.0)


@pytest.mark.parametrize(
    ("name", "found"),
    [("fp8_e4m3", "fp8"), ("compressed-tensors-w8a8", "int8"), ("gptq-4bit", "int4_g128"), ("NVFP4-v2", "nvfp4")],
)
def test_odd_names_of_formats_are_read_by_what_they_contain(name: str, found: str) -> None:
    kept = one(f"system,isl,osl,precision\nh100,10,5,{name}\n").deployment.recipe
    assert kept.formats[Role.DENSE] == found


def test_recipes_of_llama_cpp_are_precisions_too() -> None:
    row = one("system,isl,osl,precision\nL40S,10,5,Q4_K_M\n")
    assert (row.deployment.recipe.name, row.precision) == ("q4_K_M", "q4_k_m")


@pytest.mark.parametrize(
    ("name", "found"),
    [("dynamo-vllm", "vllm"), ("SGLang", "sglang"), ("trt-llm", "trtllm"), ("llama.cpp", "llamacpp"), ("tgi", "tgi"),
     ("vllm-2023", "vllm-2023")],
)  # fmt: skip
def test_engines_go_by_many_names(name: str, found: str) -> None:
    assert one(f"system,isl,osl,backend\nh100,10,5,{name}\n").deployment.engine == found


def test_tp_and_ep_of_the_same_gpus_are_not_multiplied() -> None:
    head = "system,isl,osl,batch_size,tp_size,attention_dp_size,moe_tp_size,moe_ep_size\nb200_sxm,10,5,"
    mixed = one(head + "4,64,1,8,8\n", "DeepSeek-R1")
    assert (mixed.deployment.layout, mixed.load.concurrency) == (Layout(tp=8, ep=8), 4)
    assert "64 GPUs are read as 8" in mixed.notes[0]
    apart = one(head + "2,1,64,8,8\n", "DeepSeek-R1")
    assert (apart.deployment.layout, apart.load.concurrency) == (Layout(tp=8, dp_attention=8, ep=8), 16)


def test_disaggregated_rows_are_reckoned_by_their_decoding_side() -> None:
    row = one(
        "system,mode,isl,osl,batch_size,decode_batch_size,decode_tp_size,decode_attention_dp_size\n"
        "b200_sxm,disagg,1024,512,,32,1,8\n",
        "DeepSeek-R1",
    )
    assert row.is_disaggregated
    assert (row.deployment.layout, row.load.concurrency) == (Layout(tp=8, dp_attention=8), 32)
    assert (row.load.is_apart, row.load.is_static) == (True, False)
    assert row.notes == ("disaggregated: TTFT is reckoned as if the decoding GPUs did the prefill",)


def test_requests_in_flight_are_read_from_the_source_where_the_column_is_empty() -> None:
    head = "system,mode,silicon_data_source,isl,osl,decode_num_workers,decode_tp_size,decode_attention_dp_size\n"
    row = one(f"{head}b200_sxm,disagg,x.csv; silicon_concurrency=128; measured=2026-02-05,8,8,4,1,8\n", "DeepSeek-R1")
    assert row.load.concurrency == 4
    assert len(row.notes) == 1
    assert one("system,isl,osl,source,dp_size\nh100,8,8,concurrency=3,8\n").load.concurrency == 1


BAD = [
    ("isl\n5\n", "rows.csv:1: has no column osl or answer_tokens"),
    ("isl,osl\n", "rows.csv: has no rows below its header"),
    ("isl,osl\n5,5\n", "rows.csv:2: column system is missing: say it with --gpu NAME"),
    ("isl,osl,gpu\n,5,h100\n", "rows.csv:2: column isl is missing"),
    ("isl,osl,gpu\nmany,5,h100\n", "rows.csv:2: column isl must be a number, not 'many'"),
    ("isl,osl,gpu\n1.5,5,h100\n", "rows.csv:2: column isl must be a whole number from 0 to 100,000,000, not '1.5'"),
    ("isl,osl,gpu\nnan,5,h100\n", "rows.csv:2: column isl must be a finite number, not 'nan'"),
    ("isl,osl,gpu\n5,5,h100\n5,-1,h100\n", "rows.csv:3: column osl must be a whole number"),
    ("isl,osl,gpu,ttft_ms\n5,5,h100,0\n", "rows.csv:2: column ttft_ms must be above 0, not 0"),
    ("isl,osl,gpu,gemm_quant_mode\n5,5,h100,odd\n", "rows.csv:2: column gemm_quant_mode has 'odd'; known: fp8, "),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_wrong_is_named_with_line_and_column(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reader().from_text(text, "rows.csv")
    assert message in str(caught.value)


def test_files_that_cannot_be_read_and_unknown_gpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        reader().from_file(str(tmp_path / "none.csv"))
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not a CSV file in UTF-8"):
        reader().from_file(str(binary))
    ledger = tmp_path / "ledger.db"
    write_records(ledger, [])
    with pytest.raises(ConfigError, match="is a ledger; make rows of it with: overspill plan observe"):
        reader().from_file(str(ledger))
    with pytest.raises(ConfigError, match=r"rows.csv:2: column gpu has an unknown GPU 'tpu'.*--gpus FILE"):
        one("isl,osl,gpu\n5,5,tpu\n")
    with pytest.raises(UnknownName, match="unknown GPU 'tpu'"):
        one("isl,osl\n5,5\n", default_gpu="tpu")


def test_observed_rows_must_have_measured_something(tmp_path: Path) -> None:
    table = tmp_path / "observed.csv"
    table.write_text("isl,osl,gpu,ttft_ms,tpot_ms\n5,5,h100,,\n5,6,h100,,7\n", encoding="utf-8")
    assert [row.load.answer_tokens for row in reader().observed_from_file(str(table))] == [6]
    table.write_text("isl,osl,gpu\n5,5,h100\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no row with a ttft_ms or tpot_ms: nothing was observed"):
        reader().observed_from_file(str(table))


@pytest.fixture(scope="module")
def qwen() -> list[Row]:
    """Return 90 measured rows of Qwen3-32B under vLLM on H100."""
    head, *lines = gzip.decompress(DATA.read_bytes()).decode().splitlines()
    text = "\n".join([head, *(line for line in lines if "Qwen/Qwen3-32B,h100_sxm,," in line and ",vllm," in line)])
    rows = reader("Qwen3-32B").from_text(text, "sample.csv")
    assert len(rows) == 90
    return rows


def test_observed_rows_make_the_others_better_and_surer(qwen: list[Row]) -> None:
    observed, left = qwen[::17], [row for index, row in enumerate(qwen) if index % 17]
    errors, widths = {}, {}
    for number in (0, 6):
        predictor = Predictor(load_prior(), observed[:number])
        assert predictor.observed == (number, number)
        seen = [predictor.predict(row) for row in left]
        errors[number] = median(relative_errors([one.ttft_s for one in seen], [row.ttft_s or 0 for row in left]))
        widths[number] = median(one.ttft_high_s / one.ttft_low_s for one in seen)
        tpot = median(relative_errors([one.tpot_s for one in seen], [row.tpot_s or 0 for row in left]))
        assert tpot < 0.08
        assert all(one.tpot_low_s < one.tpot_s < one.tpot_high_s for one in seen)
    assert errors[6] < 0.15
    assert widths[6] < widths[0]


def test_what_a_row_measured_is_not_used_to_predict_it(qwen: list[Row]) -> None:
    predictor = Predictor(load_prior())
    first = predictor.predict(qwen[0])
    load, tp = qwen[0].load, qwen[0].deployment.layout.tp
    cells = f"h100_sxm,{load.prompt_tokens},{load.answer_tokens},{load.concurrency},{tp},vllm"
    text = f"system,isl,osl,batch_size,tp_size,backend\n{cells}\n"
    assert predictor.predict(one(text, "Qwen3-32B")).tpot_s == pytest.approx(first.tpot_s)


def test_a_row_without_a_version_is_of_the_run_that_was_observed() -> None:
    head = "system,backend,backend_version,isl,osl,batch_size,tp_size,ttft_ms,tpot_ms\n"
    lines = [f"h100,vllm,{version},1024,256,{2**index},2,300,30\n" for index, version in enumerate("aab")]
    observed = reader().from_text(head + "".join(lines), "rows.csv")
    predictor = Predictor(load_prior(), observed)
    times = {
        version: predictor.predict(one(f"{head}h100,vllm,{version},1024,256,2,2,,\n")).ttft_high_s
        for version in ("", "a", "b", "c")
    }
    assert times[""] == times["a"] < times["c"]
    assert times["b"] != times["a"]
    elsewhere = predictor.predict(one(f"{head}h100,sglang,,1024,256,2,2,,\n"))
    assert elsewhere.ttft_high_s / elsewhere.ttft_low_s > times["a"] / predictor.predict(observed[0]).ttft_low_s


def test_a_row_that_calibrates_is_known_as_such(qwen: list[Row]) -> None:
    predictor = Predictor(load_prior(), qwen[:6])
    assert [predictor.has_seen(row) for row in qwen[:8]] == [True] * 6 + [False] * 2


def test_intervals_of_ttft_grow_wider_against_the_deviation_with_more_rows() -> None:
    assert [ttft_reach(number) for number in (0, 1, 6, 12, 100)] == pytest.approx([0.8, 1.42, 1.77, 2.19, 2.2])
    assert tpot_reach(0) < tpot_reach(1) == tpot_reach(50)


def test_six_rows_of_several_layouts_tell_of_all_of_them(qwen: list[Row]) -> None:
    """One of them wrong by a factor of five does little harm."""
    observed = random.Random(2).sample(qwen, 6)
    assert len({row.deployment.layout for row in observed}) == 3
    wrong = msgspec.structs.replace(observed[2], ttft_s=5 * (observed[2].ttft_s or 0))
    left = [row for row in qwen if row not in observed]

    def error(rows: list[Row]) -> float:
        predictor = Predictor(load_prior(), rows)
        return median(
            relative_errors([predictor.predict(row).ttft_s for row in left], [row.ttft_s or 0 for row in left])
        )

    assert error(observed) < 0.12
    assert error([*observed[:2], wrong, *observed[3:]]) < 0.2
