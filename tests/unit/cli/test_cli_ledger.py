from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.unit.cli.calling import one_line, overspill
from tests.unit.ledger.sample_records import SPILLED, a_request, an_attempt

from overspill.core.types import Outcome, RejectReason
from overspill.ledger.records import AttemptOutcome
from overspill.ledger.store import LedgerStore


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A ledger of four requests: two at home, one spilled, one rejected; they came at 1000, 1001, 1002 and 1003."""
    place = tmp_path / "ledger.db"
    store = LedgerStore.open(place)
    away = {"spill": SPILLED["spill"], "target_id": SPILLED["target_id"], "cost_usd": None}
    refused = {
        "outcome": Outcome.REJECTED,
        "reason": RejectReason.QUEUE_FULL,
        "target_id": None,
        "attempts": 0,
        "ttft_s": None,
        "tpot_s": None,
        "output_tokens": None,
        "client_status": 503,
    }
    store.write(
        [a_request(0), a_request(1), a_request(2, **SPILLED), a_request(3, **refused)],
        [an_attempt(0), an_attempt(1), an_attempt(2, outcome=AttemptOutcome.FINISHED, **away)],
    )
    store.close()
    return str(place)


def test_the_summary_says_what_was_answered_where_and_for_how_much(path: str) -> None:
    called = overspill("ledger", "summary", "--path", path)
    assert (called.code, called.err) == (0, "")
    assert "4 requests: 3 completed, 1 rejected" in called.out
    assert "spilled: 1 local_full" in called.out
    assert "TTFT at home 300 ms / 300 ms, spilled 300 ms / 300 ms (p50 / p99)" in called.out
    assert "1 attempts of unknown price" in called.out
    assert "local-0" in called.out
    assert "deepseek-1" in called.out


def test_the_summary_as_json_has_the_same_figures(path: str) -> None:
    found = json.loads(overspill("ledger", "summary", "--path", path, "--json").out)
    assert found["requests"] == 4
    assert found["by_outcome"] == {"completed": 3, "rejected": 1}
    assert found["by_spill"] == {"local_full": 1}
    assert found["unpriced_attempts"] == 1
    assert {target["target_id"] for target in found["targets"]} == {"local-0", "deepseek-1"}


def test_the_summary_of_nothing_says_so(path: str) -> None:
    called = overspill("ledger", "summary", "--path", path, "--since", "2020-01-01")
    assert called.code == 0
    assert "0 requests: none" in called.out
    assert "TTFT at home -, spilled -" in called.out


@pytest.mark.parametrize(
    ("times", "count"),
    [
        (("--since", "1970-01-01T00:16:41"), 3),
        (("--since", "1970-01-01T01:16:41+01:00"), 3),
        (("--until", "1970-01-01T00:16:41Z"), 1),
        (("--since", "1970-01-01T00:16:41", "--until", "1970-01-01T00:16:43"), 2),
        (("--since", "1970-01-01"), 4),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(path: str, times: tuple[str, ...], count: int) -> None:
    assert json.loads(overspill("ledger", "summary", "--path", path, "--json", *times).out)["requests"] == count


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "1732400000"])
def test_what_is_no_time_is_a_wrong_call_whatever_the_ledger(option: str, text: str) -> None:
    called = overspill("ledger", "summary", "--path", "nowhere.db", option, text)
    assert called.code == 2
    assert f"Invalid value for '{option}': {text!r} is not a time; write 2026-11-23" in called.err


def test_rows_are_exported_in_the_form_of_the_files_ending(path: str, tmp_path: Path) -> None:
    destination = tmp_path / "rows.csv"
    called = overspill("ledger", "export", "--path", path, str(destination))
    assert called.code == 0
    assert called.out == f"4 rows of requests written to {destination}\n"
    rows = list(csv.DictReader(destination.read_text(encoding="utf-8").splitlines()))
    assert [row["request_id"] for row in rows] == ["req_0", "req_1", "req_2", "req_3"]


def test_a_form_that_is_named_goes_before_the_files_ending(path: str, tmp_path: Path) -> None:
    destination = tmp_path / "rows.txt"
    called = overspill("ledger", "export", "--path", path, "--format", "jsonl", "--table", "attempts", str(destination))
    assert called.code == 0
    rows = [json.loads(line) for line in destination.read_text(encoding="utf-8").splitlines()]
    assert [row["target_id"] for row in rows] == ["local-0", "local-0", "deepseek-1"]
    assert rows[2]["cost_usd"] is None


def test_a_file_whose_form_nobody_says_is_a_wrong_call(path: str, tmp_path: Path) -> None:
    called = overspill("ledger", "export", "--path", path, str(tmp_path / "rows.txt"))
    assert called.code == 2
    assert "add --format csv, jsonl or parquet" in called.err


def test_an_export_to_a_folder_that_is_not_there_is_one_line(path: str, tmp_path: Path) -> None:
    called = overspill("ledger", "export", "--path", path, str(tmp_path / "nowhere" / "rows.csv"))
    assert called.code == 3
    assert "cannot be written" in called.err
    assert "check the folder" in called.err


def test_a_ledger_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    called = overspill("ledger", "summary")
    assert called.code == 3
    place = tmp_path / "overspill" / "ledger.db"
    assert one_line(called) == f"error: there is no ledger at {place}; name one with --path, or serve something first"


def test_a_file_that_is_no_ledger_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all, but long enough to be one" * 10, encoding="utf-8")
    called = overspill("ledger", "summary", "--path", str(tmp_path / "text.db"))
    assert called.code == 3
    assert "file is not a database" in one_line(called)
