"""Expected ends in order, against a list that is made and sorted each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overspill.core.ends import ExpectedEnds

seconds = st.floats(0.001, 1000.0)


@given(
    runs=st.lists(st.tuples(seconds, seconds), min_size=1, max_size=40),
    gone=st.sets(st.integers(0, 38)),
    now=st.floats(0.0, 2500.0),
)
def test_the_rank_th_end_is_that_of_a_sorted_list(runs: list[tuple[float, float]], gone: set[int], now: float) -> None:
    ends = ExpectedEnds()
    for number, (start, expected_s) in enumerate(runs):
        ends.add(start + expected_s, number, expected_s)
    kept = [run for number, run in enumerate(runs) if number not in gone or number == len(runs) - 1]
    for number, (start, expected_s) in enumerate(runs):
        if number in gone and number != len(runs) - 1:
            ends.remove(start + expected_s, number, expected_s)
    assert len(ends) == len(kept)
    left = sorted(max(start + expected_s - now, 0.25 * expected_s) for start, expected_s in kept)
    assert [ends.left_s(rank, now) for rank in range(len(kept))] == left
    mean_s = ends.mean_s
    assert abs(mean_s - sum(expected_s for _, expected_s in kept) / len(kept)) <= 1e-9 * mean_s
    assert ends.mean_s == mean_s


@given(
    runs=st.lists(st.tuples(seconds, seconds), min_size=1, max_size=90),
    gone=st.lists(st.integers(0, 200), max_size=60),
    steps=st.lists(st.floats(0.0, 200.0), min_size=1, max_size=6),
)
def test_it_stays_so_while_time_passes_and_attempts_come_and_go(
    runs: list[tuple[float, float]], gone: list[int], steps: list[float]
) -> None:
    ends = ExpectedEnds()
    kept: dict[int, tuple[float, float]] = {}
    now = 0.0
    waiting = list(enumerate(runs))
    for step_s in steps:
        now += step_s
        for number, (start, expected_s) in waiting[: 1 + len(runs) // len(steps)]:
            ends.add(start + expected_s, number, expected_s)
            kept[number] = start + expected_s, expected_s
        waiting = waiting[1 + len(runs) // len(steps) :]
        left = sorted(max(end_at - now, 0.25 * expected_s) for end_at, expected_s in kept.values())
        assert [ends.left_s(rank, now) for rank in range(len(kept))] == left
        in_order = sorted((end_at, number, expected_s) for number, (end_at, expected_s) in kept.items())
        assert ends.mean_s == sum([expected_s for _, _, expected_s in in_order], 0.0) / len(kept)
        for place in gone[: len(gone) // len(steps) + 1]:
            if len(kept) > 1:
                number = sorted(kept)[place % len(kept)]
                end_at, expected_s = kept.pop(number)
                ends.remove(end_at, number, expected_s)
        gone = gone[len(gone) // len(steps) + 1 :]
        assert len(ends) == len(kept)


def test_what_has_ended_is_not_kept_for_ever() -> None:
    ends = ExpectedEnds()
    for number in range(2000):
        ends.add(number + 5.0, number, 5.0)
        if number >= 3:
            ends.remove(number + 2.0, number - 3, 5.0)
    assert len(ends._late_at) < 100
    assert ends.left_s(0, 2000.0) == 2.0


def test_one_that_is_late_but_for_a_rounding_is_looked_at_again() -> None:
    ends = ExpectedEnds()
    ends.add(10.0, 1, 4.0)  # late after 9.0
    assert ends.left_s(0, 9.0 - 1e-7) == 10.0 - (9.0 - 1e-7)
    assert ends.left_s(0, 9.5) == 1.0
