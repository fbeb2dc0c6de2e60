"""Reading a log whatever it is: formats by their content, rows in order, errors by file and line."""

from __future__ import annotations

import gzip
import hashlib
from importlib import resources
from pathlib import Path

import pytest

from overspill.errors import TraceError, UnknownName
from overspill.planner.workload import Dropped, TraceRequest, offered_load
from overspill.planner.workloads.reading import BUNDLED, bundled_trace, open_workload, read_trace
from overspill.planner.workloads.rows import Options

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
        read_trace(written(tmp_path, '{"a": 1}\n'))
    with pytest.raises(TraceError, match="no bucket in this usage export"):
        read_trace(written(tmp_path, '{"object": "page", "data": [], "has_more": false}'))
    with pytest.raises(TraceError, match="is empty"):
        read_trace(written(tmp_path, "\n \n"))
    with pytest.raises(TraceError, match=r"no request is left .* \(1 rows left out: 1 no_prompt\)"):
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
    path = tmp_path / "trace.bin"
    path.write_bytes(b"\x00\x01\xff\xfe")
    with pytest.raises(TraceError, match="no UTF-8 text"):
        read_trace(path)


@pytest.mark.parametrize(("raw", "what"), [(b"PK\x03\x04....", "zip"), (b"\x28\xb5\x2f\xfd....", "zstd")])
def test_a_packed_file_says_to_unpack_it(tmp_path: Path, raw: bytes, what: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes(raw)
    with pytest.raises(TraceError, match=f"{what}.*unpack it first"):
        read_trace(path)


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


def test_stamps_of_2024_name_their_zone_and_mean_the_same(tmp_path: Path) -> None:
    text = (
        AZURE.splitlines()[0] + "\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:02.509930+00:00,2399,6\n"
    )
    workload = open_workload(written(tmp_path, text))
    assert list(workload.requests()) == [TraceRequest(0.0, 2162, 5), TraceRequest(2.5, 2399, 6)]
    assert workload.starts_at_unix_s == pytest.approx(1715299200.00993)


def test_our_own_form_keeps_who_asked_and_what_was_cached(tmp_path: Path) -> None:
    text = '{"at_s": 0, "prompt_tokens": 9, "output_tokens": 2, "key_id": "team", "cached_tokens": 40}\n'
    assert read_trace(written(tmp_path, text)).requests == (TraceRequest(0.0, 9, 2, "team", 9),)


def test_a_workload_reads_the_same_each_time(tmp_path: Path) -> None:
    workload = open_workload(written(tmp_path, AZURE))
    assert list(workload.requests()) == list(workload.requests())
    assert workload.dropped == {Dropped.NO_PROMPT: 1, Dropped.NO_OUTPUT: 1}


def test_progress_is_told_up_to_the_end(tmp_path: Path) -> None:
    rows = "".join(f'{{"at_s": {n}, "prompt_tokens": 1, "output_tokens": 1}}\n' for n in range(20_000))
    heard: list[float] = []
    workload = open_workload(written(tmp_path, rows), progress=heard.append)
    assert len(list(workload.requests())) == 20_000
    assert heard[-1] == 1.0
    assert len(heard) >= 3
    assert heard == sorted(heard)


def test_a_row_that_is_late_by_more_than_is_held_back_is_an_error(tmp_path: Path) -> None:
    rows = "".join(f'{{"at_s": {n}, "prompt_tokens": 1, "output_tokens": 1}}\n' for n in range(1, 66_000))
    with pytest.raises(TraceError, match="sort the file by time"):
        read_trace(written(tmp_path, rows + '{"at_s": 0, "prompt_tokens": 1, "output_tokens": 1}\n'))


def test_mooncake_hashes_say_how_much_of_each_prompt_was_cached(tmp_path: Path) -> None:
    text = (
        '{"timestamp": 0, "input_length": 1500, "output_length": 5, "hash_ids": [1, 2, 3]}\n'
        '{"timestamp": 10, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 9]}\n'
        '{"timestamp": 20, "input_length": 700, "output_length": 5, "hash_ids": [7, 2]}\n'
        '{"timestamp": 30, "input_length": 500, "output_length": 5, "hash_ids": [1]}\n'
    )
    path = written(tmp_path, text)
    assert [r.cached_tokens for r in open_workload(path).requests()] == [0, 1024, 0, 500]
    small = open_workload(path, options=Options(cache_blocks=2))
    assert [r.cached_tokens for r in small.requests()] == [0, 1024, 0, 0]
    assert "of 2 blocks" in small.assumptions[0]


def test_an_excerpt_of_the_real_mooncake_trace_has_its_hits() -> None:
    workload = open_workload(Path(__file__).parent / "excerpts" / "mooncake_conversation.jsonl")
    requests = list(workload.requests())
    assert workload.format == "mooncake"
    assert len(requests) == 140
    assert sum(r.prompt_tokens for r in requests) / len(requests) == pytest.approx(12_000, rel=0.5)
    assert 0 < sum(r.cached_tokens for r in requests) < sum(r.prompt_tokens for r in requests) / 3


BURST_1 = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,230,1317,Conversation log
118,GPT-4,417,276,693,Conversation log
120,ChatGPT,100,0,100,API log
"""
BURST_3 = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
19440110.0,1722ac82,43,GPT-4,906,446,1352,Conversation log
19440161.0,d5983bf9,2,ChatGPT,36,29,65,Conversation log
"""


def test_burstgpt_of_all_releases_and_its_failed_requests_by_name(tmp_path: Path) -> None:
    first = read_trace(written(tmp_path, BURST_1, "one"))
    assert first.requests[0] == TraceRequest(0.0, 472, 18)
    assert [r.at_s for r in first.requests] == [0, 40, 113]
    assert first.dropped == {Dropped.NO_OUTPUT: 1}
    third = read_trace(written(tmp_path, BURST_3, "three"))
    assert third.requests == (TraceRequest(0.0, 906, 446, "1722ac82"), TraceRequest(51.0, 36, 29, "d5983bf9"))
    only = open_workload(written(tmp_path, BURST_1, "only"), options=Options(model="GPT-4"))
    assert list(only.requests()) == [TraceRequest(0.0, 417, 276)]
    assert only.dropped == {Dropped.OTHER_MODEL: 3}
    with pytest.raises(TraceError, match=r"/bad:6: this row is no request"):
        read_trace(written(tmp_path, BURST_1 + "130,ChatGPT,many,1,2,API log\n", "bad"))


@pytest.mark.parametrize("name", BUNDLED)
def test_what_is_bundled_can_be_read_and_is_described(name: str) -> None:
    folder = resources.files("overspill.planner") / "traces"
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")
    assert hashlib.sha256((folder / BUNDLED[name]).read_bytes()).hexdigest() in sources
    assert open_workload(f"bundled:{name}").name


def test_an_unknown_bundled_name_lists_the_right_ones() -> None:
    with pytest.raises(UnknownName, match="did you mean 'azure-conv-2023'"):
        open_workload("bundled:azure-conv-2024")
