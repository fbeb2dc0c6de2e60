"""Reading rows of a benchmark and predicting them: layouts, formats, what is missing, and what observing brings."""

from __future__ import annotations

import gzip
from pathlib import Path
from statistics import median

import pytest

from overspill.catalog.gpus import load_gpus
from overspill.catalog.latency import load_prior
from overspill.catalog.models import find_model
from overspill.errors import ConfigError, UnknownName
from overspill.perf.architecture import Role
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.memory import Layout
from overspill.perf.model_config import read_model
from overspill.planner.measured_rows import ReadRows, Row, with_ttft_or_tpot
from overspill.planner.prediction import Predictor, relative_errors

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
    assert row.load.is_static
    assert row.notes[0].startswith("disaggregated")


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
    with pytest.raises(UnknownName, match="unknown GPU 'tpu'"):
        one("isl,osl,gpu\n5,5,tpu\n")


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
    assert with_ttft_or_tpot([one(text, "Qwen3-32B"), qwen[0]]) == [qwen[0]]
