from __future__ import annotations

from collections.abc import Callable

import pytest

from overspill.core.breaker import Breaker, BreakerState
from overspill.core.types import BreakerPolicy, FailureKind, Refusal

POLICY = BreakerPolicy(window_s=30.0, min_count=4, failure_rate=0.5, open_s=5.0, open_max_s=12.0, cooldown_s=2.0)
S = BreakerState
K = FailureKind
EVIDENCE = (K.OVERLOADED, K.SERVER_ERROR, K.CONNECT, K.CUT, K.TIMEOUT, K.HOLLOW, K.MALFORMED)
NO_EVIDENCE = (K.HISTORY, K.BAD_REQUEST, K.MODERATION, K.CONTEXT_TOO_LONG, K.DIVERGED)
STICKY = {K.BAD_KEY: S.BAD_KEY, K.NO_MONEY: S.NO_MONEY, K.NO_MODEL: S.NO_MODEL}
NOW = 100.0
PROBE = 50


def breaker_in(state: BreakerState) -> Breaker:
    """Bring a breaker into a state the way it gets there; half-open has its probe running."""
    breaker = Breaker(POLICY)
    if state in (S.OPEN, S.HALF_OPEN):
        for attempt in range(4):
            breaker.failed(attempt, K.CUT, None, NOW - 5.0)
    for kind, sticky in STICKY.items():
        if state is sticky:
            breaker.failed(1, kind, None, NOW - 5.0)
    if state is S.COOLING_DOWN:
        breaker.failed(1, K.RATE_LIMITED, 7.0, NOW - 5.0)
    if state is S.HALF_OPEN:
        breaker.started(PROBE, NOW)
    assert breaker.state is state
    return breaker


def fail(kind: FailureKind, attempt_id: int = 7) -> Callable[[Breaker], None]:
    return lambda b: b.failed(attempt_id, kind, None, NOW)


def succeed(attempt_id: int = 7) -> Callable[[Breaker], None]:
    return lambda b: b.succeeded(attempt_id, NOW)


def leave(attempt_id: int = 7) -> Callable[[Breaker], None]:
    return lambda b: b.no_evidence(attempt_id)


RESTS = (S.OPEN, S.BAD_KEY, S.NO_MONEY, S.NO_MODEL)
TABLE: list[tuple[BreakerState, Callable[[Breaker], None], BreakerState]] = [
    *[(S.CLOSED, fail(kind), S.CLOSED) for kind in (*EVIDENCE, *NO_EVIDENCE)],
    (S.CLOSED, succeed(), S.CLOSED),
    (S.CLOSED, leave(), S.CLOSED),
    (S.CLOSED, fail(K.RATE_LIMITED), S.COOLING_DOWN),
    *[(S.CLOSED, fail(kind), state) for kind, state in STICKY.items()],
    *[(S.COOLING_DOWN, fail(kind), S.COOLING_DOWN) for kind in (*EVIDENCE, *NO_EVIDENCE, K.RATE_LIMITED)],
    *[(S.COOLING_DOWN, fail(kind), state) for kind, state in STICKY.items()],
    (S.COOLING_DOWN, succeed(), S.COOLING_DOWN),
    (S.COOLING_DOWN, leave(), S.COOLING_DOWN),
    *[(state, fail(kind), state) for state in RESTS for kind in FailureKind],
    *[(state, succeed(), state) for state in RESTS],
    *[(state, leave(), state) for state in RESTS],
    *[(S.HALF_OPEN, fail(kind), S.HALF_OPEN) for kind in FailureKind],
    (S.HALF_OPEN, succeed(), S.HALF_OPEN),
    (S.HALF_OPEN, leave(), S.HALF_OPEN),
    *[(S.HALF_OPEN, fail(kind, PROBE), S.OPEN) for kind in EVIDENCE],
    *[(S.HALF_OPEN, fail(kind, PROBE), S.HALF_OPEN) for kind in NO_EVIDENCE],
    (S.HALF_OPEN, fail(K.RATE_LIMITED, PROBE), S.COOLING_DOWN),
    *[(S.HALF_OPEN, fail(kind, PROBE), state) for kind, state in STICKY.items()],
    (S.HALF_OPEN, succeed(PROBE), S.CLOSED),
    (S.HALF_OPEN, leave(PROBE), S.HALF_OPEN),
]


@pytest.mark.parametrize(("before", "event", "after"), TABLE)
def test_an_event_leads_to_the_state_of_the_table(
    before: BreakerState, event: Callable[[Breaker], None], after: BreakerState
) -> None:
    breaker = breaker_in(before)
    event(breaker)
    assert breaker.state is after


def test_every_failure_kind_is_in_the_table_once() -> None:
    assert sorted([*EVIDENCE, *NO_EVIDENCE, K.RATE_LIMITED, *STICKY]) == sorted(FailureKind)


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (S.CLOSED, None),
        (S.OPEN, None),  # its 5 s have passed
        (S.HALF_OPEN, Refusal.BREAKER_OPEN),
        (S.COOLING_DOWN, Refusal.COOLING_DOWN),
        (S.BAD_KEY, Refusal.BAD_KEY),
        (S.NO_MONEY, Refusal.NO_MONEY),
        (S.NO_MODEL, Refusal.NO_MODEL),
    ],
)
def test_each_state_has_its_own_refusal(state: BreakerState, refusal: Refusal | None) -> None:
    assert breaker_in(state).refusal(NOW) is refusal


def test_it_opens_at_the_failure_rate_and_not_before_the_minimum_count() -> None:
    breaker = Breaker(POLICY)
    breaker.succeeded(1, NOW)
    breaker.succeeded(2, NOW)
    breaker.failed(3, K.CUT, None, NOW)
    assert breaker.state is S.CLOSED
    breaker.failed(4, K.CUT, None, NOW)
    assert breaker.state is S.OPEN
    assert breaker.refusal(NOW + 4.999) is Refusal.BREAKER_OPEN
    assert breaker.retry_at_s() == NOW + 5.0
    assert breaker.refusal(NOW + 5.0) is None


def test_failures_older_than_the_window_do_not_count() -> None:
    breaker = Breaker(POLICY)
    for attempt in range(3):
        breaker.failed(attempt, K.CUT, None, NOW)
    breaker.failed(4, K.CUT, None, NOW + 31.0)
    assert breaker.state is S.CLOSED


def test_the_rest_doubles_with_each_failed_probe_up_to_the_longest() -> None:
    breaker = breaker_in(S.OPEN)
    now = NOW
    for rest_s in (10.0, 12.0, 12.0):
        now = breaker.retry_at
        breaker.started(PROBE, now)
        breaker.failed(PROBE, K.CONNECT, None, now)
        assert breaker.retry_at == now + rest_s


def test_a_probe_that_succeeds_makes_the_next_rest_short_again() -> None:
    breaker = breaker_in(S.HALF_OPEN)
    breaker.failed(PROBE, K.CUT, None, NOW)
    breaker.started(PROBE + 1, NOW + 10.0)
    breaker.succeeded(PROBE + 1, NOW + 11.0)
    for attempt in range(4):
        breaker.failed(attempt, K.CUT, None, NOW + 20.0)
    assert breaker.retry_at == NOW + 25.0


def test_one_probe_at_a_time_and_its_place_is_free_when_its_client_leaves() -> None:
    breaker = breaker_in(S.HALF_OPEN)
    assert breaker.refusal(NOW + 1000.0) is Refusal.BREAKER_OPEN
    assert breaker.retry_at_s() is None
    breaker.no_evidence(PROBE)
    assert breaker.refusal(NOW) is None


def test_a_sticky_state_is_left_by_a_probe_too() -> None:
    breaker = breaker_in(S.NO_MONEY)
    later = breaker.retry_at
    assert later == NOW - 5.0 + POLICY.no_money_s
    breaker.started(PROBE, later)
    assert breaker.state is S.HALF_OPEN
    breaker.succeeded(PROBE, later)
    assert breaker.state is S.CLOSED


def test_after_a_cool_down_requests_flow_again_without_a_probe() -> None:
    breaker = breaker_in(S.COOLING_DOWN)
    assert breaker.refusal(NOW + 1.999) is Refusal.COOLING_DOWN
    breaker.started(8, NOW + 2.0)
    breaker.started(9, NOW + 2.0)
    assert breaker.state is S.CLOSED
    assert breaker.refusal(NOW + 2.0) is None


def test_a_cool_down_lasts_as_long_as_the_target_asks_and_a_default_without() -> None:
    asked, silent = Breaker(POLICY), Breaker(POLICY)
    asked.failed(1, K.RATE_LIMITED, 30.0, NOW)
    silent.failed(1, K.RATE_LIMITED, None, NOW)
    assert asked.retry_at == NOW + 30.0
    assert silent.retry_at == NOW + 2.0


def test_a_second_429_does_not_shorten_the_pause_that_the_first_asked_for() -> None:
    breaker = Breaker(POLICY)
    breaker.failed(1, K.RATE_LIMITED, 30.0, NOW)
    breaker.failed(2, K.RATE_LIMITED, None, NOW + 1.0)
    assert breaker.retry_at == NOW + 30.0


@pytest.mark.parametrize("retry_after_s", [0.0, -5.0])
def test_a_pause_is_never_nothing(retry_after_s: float) -> None:
    breaker = Breaker(POLICY)
    breaker.failed(1, K.RATE_LIMITED, retry_after_s, NOW)
    assert breaker.retry_at > NOW


def test_an_overloaded_target_rests_as_long_as_it_asks() -> None:
    breaker = Breaker(POLICY)
    for attempt in range(4):
        breaker.failed(attempt, K.OVERLOADED, 40.0, NOW)
    assert breaker.state is S.OPEN
    assert breaker.retry_at == NOW + 40.0


def test_a_reset_forgets_everything() -> None:
    breaker = breaker_in(S.NO_MONEY)
    breaker.reset()
    assert breaker.state is S.CLOSED
    assert breaker.refusal(NOW) is None
    for attempt in range(3):
        breaker.failed(attempt, K.CUT, None, NOW)
    assert breaker.state is S.CLOSED
    breaker.failed(4, K.CUT, None, NOW)
    assert breaker.retry_at == NOW + 5.0  # and not the long rest of before
