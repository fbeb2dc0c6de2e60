from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.calling import one_line, overspill

from overspill.cli.evaluation.asking import Result
from overspill.cli.evaluation.report import read_runs, summarise, table_of, write_runs
from overspill.cli.evaluation.test_set import Expected, Reply, choose, is_right, numbers_in, read_items
from overspill.errors import ConfigError, UnknownName


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("977 - 4821 = -3844", [977, 4821, -3844]),
        ("12-5=7", [12, 5, 7]),
        ("The answer is **5,798**.", [5798]),
        ("−3 degrees", [-3]),
        ("1, 2, 3", [1, 2, 3]),
        ("答案是42。", [42]),
        ("it is 3.5", [3.5]),
        ("none", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: list[float]) -> None:
    assert numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("kind", "value", "right", "wrong"),
    [
        ("number", 42, "So 40 + 2 = 42.", "42 is not it, 43"),
        ("first", 54, "54 is larger than 45.", "45 is smaller than 54."),
        ("numbers", [1, 2, 3], "Sorted: 1, 2, 3", "1, 3, 2"),
        ("contains", ["Yes"], "yes, 5 > 3", "No."),
        ("any", ["Yes", "是"], "是的", "No."),
        ("text", "A poem.", "A poem.\n", "A poem. And more."),
    ],
)
def test_a_reply_is_judged_by_what_it_says(kind: Any, value: Any, right: str, wrong: str) -> None:
    assert is_right(Expected(kind, value), Reply(right))
    assert not is_right(Expected(kind, value), Reply(wrong))
    assert not is_right(Expected(kind, value), Reply(""))


def test_calls_of_tools_are_judged_by_name_and_arguments() -> None:
    expected = Expected("calls", [{"name": "f", "arguments": {"x": "1"}}])
    assert is_right(expected, Reply(calls=(("f", '{"x":"1"}'),)))
    for calls in ((), (("f", '{"x": 1}'),), (("g", '{"x":"1"}'),), (("f", "{"),), (("f", '{"x":"1"}'),) * 2):
        assert not is_right(expected, Reply(calls=calls))


def test_the_set_that_ships_has_every_task_in_both_languages() -> None:
    items = read_items()
    strata = {(item.task, item.language) for item in items}
    assert len(items) > 2500
    assert {language for _, language in strata} == {"en", "zh"}
    assert {"sums-4", "sums-6", "compare", "count", "sort", "story", "tools", "recite"} <= {task for task, _ in strata}
    assert len(strata) % 2 == 0


def test_a_limit_takes_its_share_of_every_task_and_language() -> None:
    chosen = choose(read_items(), ["sort", "count"], 10)
    assert len(chosen) == 10
    counts = [
        sum((item.task, item.language) == key for item in chosen) for key in {(i.task, i.language) for i in chosen}
    ]
    assert sorted(counts) == [2, 2, 3, 3]
    with pytest.raises(UnknownName, match=r"unknown task 'sorts' \(did you mean 'sort'\?\)"):
        choose(read_items(), ["sorts"], None)


def result(task: str, *, right: bool, error: str | None = None, ttft_s: float = 0.1) -> Result:
    return Result(
        id=f"{task}-1",
        task=task,
        language="en",
        is_right=right,
        output_tokens=11,
        ttft_s=ttft_s,
        e2e_s=1.1,
        error=error,
    )


def test_results_are_added_up_by_task_and_what_failed_is_wrong(tmp_path: Path) -> None:
    results = [
        result("sort", right=True),
        result("sort", right=False),
        result("count", right=False, error="HTTP 503: x"),
    ]
    run = summarise("m at h:1", "2026-11-26T00:00:00+00:00", 4, results, 2.0)
    assert (run.total.right, run.total.asked, run.failed, run.first_error) == (1, 3, 1, "HTTP 503: x")
    assert run.tasks["sort"].accuracy == 0.5
    assert run.tokens_per_s == 16.5
    assert run.stream_tokens_per_s == pytest.approx(10.0)
    assert len(run.wrong) == 2
    write_runs([run, run], tmp_path / "runs.json")
    assert read_runs(tmp_path / "runs.json") == [run, run]
    assert table_of([run, run]).row_count > 8


def test_a_file_that_is_no_outcome_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": 1}))
    assert "is no outcome of overspill eval" in one_line(overspill("eval", "--compare", str(path)))
    assert "cannot be read" in one_line(overspill("eval", "--compare", str(tmp_path / "gone.json")))


def test_a_damaged_test_set_is_refused(tmp_path: Path) -> None:
    for content in (b"no gzip", gzip.compress(b'{"id": 1}\n')):
        (tmp_path / "set.gz").write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read"):
            read_items(tmp_path / "set.gz")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--url", "ftp://x"), "--url cannot be used: 'ftp://x' must begin with http://"),
        (("--api-key-env", "NO_SUCH_VARIABLE"), "environment variable NO_SUCH_VARIABLE of --api-key-env is not set"),
        (("--tasks", "sort,sums"), "unknown task 'sums'"),
        (("--out", "/no/such/folder/x.json"), "cannot be written: its folder is missing"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(arguments: tuple[str, ...], complaint: str) -> None:
    called = overspill("eval", "--limit", "1", *arguments)
    assert called.code == 2
    assert complaint in one_line(called)


def test_a_target_that_is_not_there_answers_nothing_and_ends_with_1() -> None:
    called = overspill("eval", "--url", "http://127.0.0.1:9", "--limit", "2", "--json")
    assert called.code == 1
    (outcome,) = json.loads(called.out)
    assert outcome["failed"] == outcome["total"]["asked"] == 2
