"""The retry budget: what is earned, what is granted, and when it is gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overspill.core.budget import RetryBudget
from overspill.core.types import RetryPolicy


def drawn(budget: RetryBudget, now: float) -> int:
    count = 0
    while budget.withdraw(now):
        count += 1
    return count


def test_some_retries_are_granted_without_any_request() -> None:
    assert drawn(RetryBudget(RetryPolicy(share=0.2, min_per_s=2.0, window_s=10.0)), 5.0) == 20


def test_requests_earn_their_share() -> None:
    budget = RetryBudget(RetryPolicy(share=0.25, min_per_s=0.0, window_s=10.0))
    for n in range(40):
        budget.deposit(100.0 + n / 10)
    assert drawn(budget, 104.0) == 10
    assert not budget.withdraw(104.5)


def test_what_is_not_spent_within_the_window_is_gone_and_so_are_spendings() -> None:
    budget = RetryBudget(RetryPolicy(share=1.0, min_per_s=0.1, window_s=10.0))
    budget.deposit(0.5)
    assert budget.withdraw(1.5)
    assert budget.withdraw(2.5)
    assert not budget.withdraw(2.6)
    assert not budget.withdraw(11.4)  # what was spent at 1.5 still counts, what was earned at 0.5 does not
    assert budget.withdraw(12.6)
    assert drawn(budget, 60.0) == 1


@given(
    st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=200),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.sampled_from([0.0, 0.5, 3.0]),
)
def test_no_window_ever_sees_more_than_was_granted_and_earned(
    steps: list[tuple[float, bool]], share: float, min_per_s: float
) -> None:
    budget = RetryBudget(RetryPolicy(share=share, min_per_s=min_per_s, window_s=10.0))
    now, earned, spent = 0.0, 0, 0
    times: list[float] = []
    for gap_s, is_request in steps:
        now += gap_s
        if is_request:
            budget.deposit(now)
            earned += 1
        elif budget.withdraw(now):
            spent += 1
            times.append(now)
    assert spent <= share * earned + min_per_s * (now + 10.0) * 1.2 + 1e-9
    for end in times:
        assert sum(end - 8.9 <= t <= end for t in times) <= share * earned + min_per_s * 10.0 + 1e-9
