"""What the built-in model is taught: the same for the same seed, and nothing of it in the test set."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

import make_test_set
from lessons.digits import chain, compare, work
from lessons.example import Example
from lessons.mixture import DRILLS, MAKERS, SHARES, draw_example, draw_task
from lessons.rendering import reply_of
from lessons.split import SPLITS, TEST, TRAIN, VALIDATION, side_of
from overspill.models import held_out_path

DRAWN = 200


def test_the_same_seed_gives_the_same_examples() -> None:
    for index in range(100):
        assert draw_example(7, TRAIN, index) == draw_example(7, TRAIN, index)
        assert draw_example(7, TRAIN, index, is_long=True) == draw_example(7, TRAIN, index, is_long=True)
    assert draw_example(7, TRAIN, 0) != draw_example(8, TRAIN, 0)


def worked_pairs(example: Example) -> list[tuple[int, int]]:
    """Return the operands of every sum and difference that an example works out in writing, as they were asked."""
    lines = example.thought.split("\n")
    asked = [line for line, before in zip(lines, ["=", *lines], strict=False) if before.startswith("=")]
    return [
        (int(found[1]), int(found[2]))
        for line in asked
        if (found := re.fullmatch(r"-?(\d+)[+-]-?(\d+)", line)) is not None
    ]


def test_no_operands_of_one_split_are_worked_with_in_another() -> None:
    seen: dict[str, set[frozenset[int]]] = {}
    for split in SPLITS:
        examples = [draw_task(1, split, task, index, "en") for task in MAKERS for index in range(DRAWN)]
        pairs = {pair for example in examples for pair in worked_pairs(example)}
        assert len(pairs) > DRAWN
        assert {side_of(*pair) for pair in pairs} == {split}
        seen[split] = {frozenset(pair) for pair in pairs}
    assert seen[TRAIN] & seen[TEST] == seen[TRAIN] & seen[VALIDATION] == seen[VALIDATION] & seen[TEST] == set()


def test_earlier_turns_keep_to_the_split_too() -> None:
    checked = 0
    for index in range(DRAWN):
        for message in draw_example(2, TRAIN, index, is_long=True).messages:
            found = re.fullmatch(r"(\d+) [+-] (\d+) = -?\d+", str(message["content"]))
            if message["role"] == "assistant" and found is not None and "tool_calls" not in message:
                checked += 1
                assert side_of(found[1], found[2]) == TRAIN
    assert checked > DRAWN


@pytest.mark.parametrize("drill", DRILLS)
def test_a_drill_comes_only_when_it_is_asked_for_and_keeps_to_the_split(drill: str) -> None:
    task = drill.removesuffix("-drill")
    assert SHARES[drill] == 0
    for index in range(DRAWN):
        example = draw_example(4, TRAIN, index, shares=dict.fromkeys(SHARES, 0.0) | {drill: 1.0})
        assert example.task == task
        if task == "sort":
            assert len(example.expected.value) >= 4
            assert side_of(*map(int, example.thought.split(":", 1)[0].split(", "))) == TRAIN


def test_the_test_set_that_ships_is_what_its_script_writes() -> None:
    shipped = [json.loads(line) for line in gzip.decompress(held_out_path().read_bytes()).splitlines()]
    assert shipped == json.loads(json.dumps(list(make_test_set.draw_items())))
    assert len(shipped) > 2500
    assert len({item["id"] for item in shipped}) == len(shipped)


@pytest.mark.parametrize("a", [0, 7, 10, 99, 4821, 999_999, -3, -250])
@pytest.mark.parametrize("b", [0, 1, 9, 977, 100_000, 999_999, -8, -977])
def test_written_arithmetic_ends_in_the_result(a: int, b: int) -> None:
    for sign, result in (("+", a + b), ("-", a - b)):
        lines = work(a, sign, b)
        digits = "".join(place[1:] for place in lines[-2].split())
        assert lines[-1] == f"={result}"
        assert int(digits) == abs(result)


def test_the_carries_are_written_out() -> None:
    assert work(4821, "+", 977) == [
        "4821+977",
        "4821: a1 b2 c8 d4",
        "977: a7 b7 c9",
        "a: 1+7+0=8, 8 carry 0",
        "b: 2+7+0=9, 9 carry 0",
        "c: 8+9+0=17, 7 carry 1",
        "d: 4+0+1=5, 5 carry 0",
        "d5 c7 b9 a8",
        "=5798",
    ]


def test_a_comparison_goes_from_the_highest_place_down_to_the_first_difference() -> None:
    assert compare(4821, 4811)[-1] == "d=d, d4=4, c8=8, b2>1, 4821>4811"
    assert compare(99, 100)[-1] == "b<c, 99<100"


def test_a_chain_goes_from_left_to_right() -> None:
    lines, total = chain(12, [("+", 34), ("-", 50)])
    assert total == -4
    assert [line for line in lines if line.startswith("=")] == ["=46", "=-4"]


def test_a_reply_thinks_first_and_ends() -> None:
    for index in range(DRAWN):
        reply = reply_of(draw_example(3, TRAIN, index))
        assert re.fullmatch(r"<think>.+</think>.+<\|end\|>", reply, re.DOTALL), reply


def test_the_files_that_ship_are_small() -> None:
    assert sum(path.stat().st_size for path in held_out_path().parent.glob("*.gguf")) < 12_000_000
    assert Path("models/tiny-reasoner/weights/model.safetensors").stat().st_size < 16_000_000
