"""The breaker against its own table, over any life: a state machine that starts, ends and forgets attempts."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from overspill.core.breaker import EVIDENCE, TRANSITIONS, Breaker, BreakerState, Evidence
from overspill.core.types import BreakerPolicy, FailureKind, Refusal

POLICY = BreakerPolicy(window_s=10.0, min_count=3, failure_rate=0.5, open_s=5.0, open_max_s=15.0, cooldown_s=2.0)
RESTS = {BreakerState.OPEN, BreakerState.BAD_KEY, BreakerState.NO_MONEY, BreakerState.NO_MODEL}
PAUSES = st.sampled_from((None, None, 0.0, 1.0, 30.0))


class BreakerLife(RuleBasedStateMachine):
    """Obeys what the controller does: only what is not refused starts, and each attempt ends once."""

    @initialize()
    def be_born(self) -> None:
        self.breaker = Breaker(POLICY)
        self.now = 100.0
        self.running: list[int] = []
        self.next = 1
        self.probe: int | None = None
        self.failures: list[tuple[float, bool]] = []

    @rule(gap_s=st.sampled_from((0.0, 0.5, 2.0, 5.0, 11.0, 400.0)))
    def time_passes(self, gap_s: float) -> None:
        self.now += gap_s

    @rule()
    def one_starts_if_it_may(self) -> None:
        if self.breaker.refusal(self.now) is not None:
            return
        before = self.breaker.state
        self.breaker.started(self.next, self.now)
        assert self.breaker.state is TRANSITIONS[before, Evidence.START]
        if self.breaker.state is BreakerState.HALF_OPEN:
            assert self.probe is None  # one at a time
            self.probe = self.next
        self.running.append(self.next)
        self.next += 1

    def _end(self, data: st.DataObject) -> tuple[int, bool]:
        attempt_id = data.draw(st.sampled_from(self.running))
        self.running.remove(attempt_id)
        was_probe = attempt_id == self.probe
        if was_probe:
            self.probe = None
        return attempt_id, was_probe

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def one_answers(self, data: st.DataObject) -> None:
        attempt_id, was_probe = self._end(data)
        before = self.breaker.state
        self.breaker.succeeded(attempt_id, self.now)
        assert self.breaker.state is (TRANSITIONS[before, Evidence.OK] if was_probe else before)
        if was_probe:
            self.failures.clear()
        elif before is BreakerState.CLOSED:
            self.failures.append((self.now, True))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def one_says_nothing(self, data: st.DataObject) -> None:
        attempt_id, _ = self._end(data)
        before = self.breaker.state, self.breaker.retry_at
        self.breaker.no_evidence(attempt_id)
        assert (self.breaker.state, self.breaker.retry_at) == before

    @precondition(lambda self: self.running)
    @rule(data=st.data(), kind=st.sampled_from(FailureKind), pause_s=PAUSES)
    def one_fails(self, data: st.DataObject, kind: FailureKind, pause_s: float | None) -> None:
        attempt_id, was_probe = self._end(data)
        before, rested_until = self.breaker.state, self.breaker.retry_at
        self.breaker.failed(attempt_id, kind, pause_s, self.now)
        expected = self._expected(before, EVIDENCE[kind], was_probe)
        assert self.breaker.state is expected
        assert self.breaker.retry_at >= rested_until  # a pause is never shortened
        if expected is BreakerState.COOLING_DOWN and EVIDENCE[kind] is Evidence.LIMITED:
            assert self.breaker.retry_at >= self.now + (POLICY.cooldown_s if pause_s is None else pause_s)
        if expected is BreakerState.OPEN and before is not BreakerState.OPEN:
            assert POLICY.open_s <= self.breaker.retry_at - self.now

    def _expected(self, before: BreakerState, evidence: Evidence, was_probe: bool) -> BreakerState:
        if before is BreakerState.HALF_OPEN and not was_probe:
            return before
        if evidence is Evidence.FAILURE and not was_probe and before not in RESTS:
            self.failures = [f for f in (*self.failures, (self.now, False)) if f[0] >= self.now - POLICY.window_s]
            failed = sum(not ok for _, ok in self.failures)
            if len(self.failures) >= POLICY.min_count and failed >= POLICY.failure_rate * len(self.failures):
                evidence = Evidence.TOO_MANY
        return TRANSITIONS.get((before, evidence), before)

    @rule()
    def it_is_a_new_process(self) -> None:
        self.breaker.reset()
        self.probe = None
        self.failures.clear()
        assert self.breaker.refusal(self.now) is None

    @invariant()
    def it_refuses_only_while_it_rests_or_a_probe_runs(self) -> None:
        refusal = self.breaker.refusal(self.now)
        state = self.breaker.state
        if state is BreakerState.CLOSED:
            assert refusal is None
        elif self.probe is not None:
            assert refusal is Refusal.BREAKER_OPEN
            assert self.breaker.retry_at_s() is None
        else:
            assert (refusal is None) == (self.now >= self.breaker.retry_at)
            assert self.breaker.retry_at_s() == self.breaker.retry_at
        assert (self.probe is None) or state is BreakerState.HALF_OPEN


BreakerLife.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestBreakerLife = BreakerLife.TestCase


def test_every_kind_of_failure_says_something_or_nothing_and_every_state_can_be_left() -> None:
    assert set(EVIDENCE) == set(FailureKind)
    left = {before for (before, _), after in TRANSITIONS.items() if before is not after}
    assert left == set(BreakerState)
    reached = {after for (before, _), after in TRANSITIONS.items() if before is not after}
    assert reached == set(BreakerState)
