from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.calling import one_line, overspill

GOLDEN = sorted((Path(__file__).parents[2] / "replay" / "golden").glob("*.jsonl"))
BURST = next(path for path in GOLDEN if path.stem == "burst")


def tampered(tmp_path: Path, *, at: int = -1) -> str:
    """Write a copy of a recording in which one command is another: by default the last that starts an attempt."""
    lines = BURST.read_bytes().splitlines(keepends=True)
    number = [n for n, line in enumerate(lines) if b'"StartAttempt"' in line][at]
    lines[number] = lines[number].replace(b'"target_id":"', b'"target_id":"not-')
    path = tmp_path / "tampered.jsonl"
    path.write_bytes(b"".join(lines))
    return str(path)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_recording_that_is_true_ends_with_0(path: Path) -> None:
    called = overspill("replay", str(path))
    assert (called.code, called.err) == (0, "")
    steps = len(path.read_bytes().splitlines()) - 1
    assert called.out == f"{steps} steps replayed, every command is the same\n"


def test_a_recording_that_was_changed_ends_with_1_and_shows_where(tmp_path: Path) -> None:
    called = overspill("replay", tampered(tmp_path))
    assert (called.code, called.err) == (1, "")
    assert "1 differ; the first:" in called.out
    assert "not-" in called.out


def test_the_report_as_json_has_the_first_difference(tmp_path: Path) -> None:
    called = overspill("replay", tampered(tmp_path), "--json")
    assert called.code == 1
    report = json.loads(called.out)
    assert report["differing"] == 1
    assert report["first_difference"]["expected"] != report["first_difference"]["actual"]
    whole = overspill("replay", str(BURST), "--json")
    assert whole.code == 0
    assert json.loads(whole.out)["first_difference"] is None


def test_another_policy_ends_with_1_at_its_first_other_decision(tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("pools: {p: {engine: fake, model: m}}\nroutes: [{model: other, tiers: [[p]]}]", encoding="utf-8")
    called = overspill("replay", str(BURST), "--config", str(config))
    assert called.code == 1
    assert "unknown_model" in called.out


def test_a_policy_that_cannot_be_read_is_a_wrong_call() -> None:
    assert overspill("replay", str(BURST), "--config", "nowhere.yaml").code == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the first line is no header of a recording"),
        (b"\x00\xff garbage", "the first line is no header of a recording"),
        (b"{}\n", "the recording has format None and this version reads 1"),
        (b'{"overspill_recording":99,"policy":{}}\n', "the recording has format 99"),
        (b'{"overspill_recording":1,"policy":{}}\n', "the first line is no header of a recording"),
        (b"[]\n", "the first line is no header of a recording"),
    ],
)
def test_garbage_is_one_line_and_ends_with_3(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "garbage.jsonl"
    path.write_bytes(content)
    called = overspill("replay", str(path))
    assert called.code == 3
    assert says in one_line(called)


def test_damage_in_the_middle_is_told_with_its_line_and_a_torn_end_is_left_out(tmp_path: Path) -> None:
    lines = BURST.read_bytes().splitlines(keepends=True)
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"".join([*lines[:5], b"{torn\n", *lines[5:]]))
    called = overspill("replay", str(path))
    assert called.code == 3
    assert "line 6 of the recording cannot be read" in one_line(called)
    path.write_bytes(b"".join(lines)[:-10])
    called = overspill("replay", str(path))
    assert (called.code, called.out) == (0, f"{len(lines) - 2} steps replayed, every command is the same\n")


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    called = overspill("replay", str(tmp_path))
    assert called.code == 2
    assert "is a directory" in called.err
