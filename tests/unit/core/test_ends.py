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
