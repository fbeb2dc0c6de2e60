"""Reading, cutting and scaling traces."""

from __future__ import annotations

import gzip
import hashlib
from importlib import resources
from pathlib import Path

import pytest

from overspill.errors import TraceError, UnknownName
from overspill.planner.workload import (
    Dropped,
    Trace,
    TraceRequest,
    bundled_trace,
    cut,
    offered_load,
    read_trace,
    scale_time,
    scale_tokens,
)

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9305900,396,109
2023-11-16 18:15:51.1805900,0,7
2023-11-16 18:15:51.4305900,12,0
2023-11-16 18:15:51.6805900,13,1
"""
MOONCAKE = """{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46, 2353]}
"""
OWN = """{"at_s": 1.5, "prompt_tokens": 10, "output_tokens": 3}

{"at_s": 0.5, "prompt_tokens": 20, "output_tokens": 4}
"""


def written(folder: Path, text: str, name: str = "trace") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def trace(*requests: tuple[float, int, int]) -> Trace:
    return Trace(source="made", requests=tuple(TraceRequest(*request) for request in requests))


def test_an_azure_trace_is_recognised_and_empty_calls_are_dropped_by_reason(tmp_path: Path) -> None:
    read = read_trace(written(tmp_path, AZURE, "conv.csv"))
    assert read.source == "conv.csv"
    assert read.requests == (TraceRequest(0.0, 374, 44), TraceRequest(4.25, 396, 109), TraceRequest(5.0, 13, 1))
    assert read.dropped == {Dropped.NO_PROMPT: 1, Dropped.NO_OUTPUT: 1}


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_data(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "conv.csv"
    path.write_bytes(b"\xef\xbb\xbf" + AZURE.replace("\n", newline).encode())
    assert len(read_trace(path).requests) == 3


def test_a_mooncake_trace_is_in_milliseconds_and_starts_at_its_first_row(tmp_path: Path) -> None:
    read = read_trace(written(tmp_path, MOONCAKE))
    assert [request.at_s for request in read.requests] == [0.0, pytest.approx(3.053)]
    assert read.requests[0].prompt_tokens == 6955
    assert read.dropped == {}


def test_a_gzipped_trace_reads_like_the_plain_one(tmp_path: Path) -> None:
    packed = tmp_path / "trace"
    packed.write_bytes(gzip.compress(MOONCAKE.encode()))
    assert read_trace(packed) == read_trace(written(tmp_path / "..", MOONCAKE, "trace"), "mooncake")


def test_rows_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    assert read_trace(written(tmp_path, OWN)).requests == (TraceRequest(0.0, 20, 4), TraceRequest(1.0, 10, 3))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (AZURE + "2023-11-16 18:15:59.0,5\n", 7),
        (AZURE.replace("396", "many"), 3),
        (AZURE.replace("396", "-396"), 3),
        (AZURE.replace("2023-11-16 18:15:46", "yesterday"), 2),
        (MOONCAKE + '{"timestamp": 3, "input_length": 5}\n', 3),
        (MOONCAKE.replace("6955", '"6955"'), 1),
        (OWN.replace("20", "20.5"), 3),
        (OWN + "}\n", 4),
    ],
)
def test_a_damaged_row_is_named_by_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(TraceError, match=rf"/broken:{line}: this row is no request"):
        read_trace(written(tmp_path, text, "broken"))


def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no known trace: expected the header"):
        read_trace(written(tmp_path, "time,tokens\n1,2\n"))
    with pytest.raises(TraceError, match="no known trace"):
        read_trace(written(tmp_path, ""))
    with pytest.raises(TraceError, match=r"no request is left .* \(1 rows without tokens\)"):
        read_trace(written(tmp_path, '{"at_s": 1, "prompt_tokens": 0, "output_tokens": 3}'))
    with pytest.raises(TraceError, match=r"cannot read this trace: .*No such file"):
        read_trace(tmp_path / "absent.csv")
    with pytest.raises(UnknownName, match="did you mean 'azure'"):
        read_trace(written(tmp_path, AZURE), "azur")  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [b"\x1f\x8b damaged", gzip.compress(AZURE.encode())[:-12]])
def test_a_damaged_archive_is_an_error_of_the_trace(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "trace.gz"
    path.write_bytes(raw)
    with pytest.raises(TraceError, match="cannot read this trace"):
        read_trace(path)


def test_a_binary_file_is_an_error_of_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    path.write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(TraceError, match="no UTF-8 text"):
        read_trace(path)


def test_cutting_keeps_the_time_before_the_first_request_of_the_cut() -> None:
    whole = trace((0, 1, 1), (10, 2, 2), (19.5, 3, 3), (20, 4, 4))
    assert cut(whole, 5, 15).requests == (TraceRequest(5, 2, 2), TraceRequest(14.5, 3, 3))
    assert cut(whole, 100, 5).requests == ()


def test_scaling_time_by_a_half_doubles_the_load() -> None:
    whole = trace((0, 100, 10), (10, 100, 10), (20, 100, 10))
    assert [request.at_s for request in scale_time(whole, 0.5).requests] == [0, 5, 10]
    assert offered_load(scale_time(whole, 0.5)).requests_per_s == 2 * offered_load(whole).requests_per_s
    for factor in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            scale_time(whole, factor)


def test_scaling_tokens_multiplies_then_limits_and_never_reaches_zero() -> None:
    whole = trace((0, 1000, 3), (1, 10, 400))
    scaled = scale_tokens(whole, max_prompt=64, max_output=32, factor=0.1)
    assert scaled.requests == (TraceRequest(0, 64, 1), TraceRequest(1, 1, 32))
    assert scale_tokens(whole) == whole
    for wrong in ({"factor": 0}, {"max_prompt": -1}, {"max_output": -5}):
        with pytest.raises(ValueError, match="must be"):
            scale_tokens(whole, **wrong)  # type: ignore[arg-type]


def test_offered_load_adds_up() -> None:
    load = offered_load(trace((0, 100, 10), (4, 300, 30)))
    assert (load.requests, load.length_s, load.requests_per_s) == (2, 4, 0.5)
    assert (load.prompt_tokens_per_s, load.output_tokens_per_s) == (100, 10)
    assert (load.mean_prompt_tokens, load.mean_output_tokens) == (200, 20)
    assert offered_load(trace()).requests_per_s == 0
    assert offered_load(trace((0, 5, 5))).mean_prompt_tokens == 5


def test_the_bundled_trace_is_the_one_its_sources_describe() -> None:
    folder = resources.files("overspill.planner") / "traces"
    raw = (folder / "azure_conv_2023_slice.csv").read_bytes()
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")
    assert hashlib.sha256(raw).hexdigest() in sources
    assert len(raw) < 120_000
    assert "Attribution 4.0 International" in (folder / "LICENSE-CC-BY-4.0.txt").read_text(encoding="utf-8-sig")
    load = offered_load(bundled_trace())
    assert load.requests == 3057
    assert 590 < load.length_s < 600
    assert load.mean_prompt_tokens == pytest.approx(1126, abs=1)
    assert load.mean_output_tokens == pytest.approx(220, abs=1)
