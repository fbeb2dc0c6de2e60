"""The breaker of one target, or of one model on it: what its failures say, and when it may be tried again.

Only evidence counts. A client's own 4xx and a client that left say nothing; a 429 is a pause that the target asked for;
a bad key, an empty account and a missing model are states of their own, because time alone does not heal them. What is
left is a failure rate over a window with a minimum count, in which an attempt that never spoke counts like one that
broke. The verdict falls when an attempt ends: a stream that began well and broke is a failure. After the rest, one
probe at a time is let through.

``TRANSITIONS`` is the whole policy; this picture is a part of it::

    CLOSED ──failure rate──▶ OPEN ──rest passed, probe──▶ HALF_OPEN ──ok──▶ CLOSED
                              ▲                              │
                              └───────────failure────────────┘  (the rest doubles, up to open_max_s)
    CLOSED, HALF_OPEN ──429──▶ COOLING_DOWN ──time passed──▶ CLOSED
    CLOSED, COOLING_DOWN, HALF_OPEN ──401/402/404──▶ BAD_KEY / NO_MONEY / NO_MODEL ──time passed, probe──▶ HALF_OPEN
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping

from overspill.core.types import BreakerPolicy, FailureKind, Refusal


class BreakerState(enum.StrEnum):
    """See the module's diagram."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    COOLING_DOWN = "cooling_down"
    BAD_KEY = "bad_key"
    NO_MONEY = "no_money"
    NO_MODEL = "no_model"


class Evidence(enum.Enum):
    """What an attempt says about its target when it ends, or starts."""

    START = enum.auto()
    OK = enum.auto()
    FAILURE = enum.auto()
    TOO_MANY = enum.auto()  # a failure with which the failure rate is too high
    LIMITED = enum.auto()
    BAD_KEY = enum.auto()
    NO_MONEY = enum.auto()
    NO_MODEL = enum.auto()
    NONE = enum.auto()


_S = BreakerState
_E = Evidence
EVIDENCE: Mapping[FailureKind, Evidence] = {
    FailureKind.OVERLOADED: _E.FAILURE,
    FailureKind.RATE_LIMITED: _E.LIMITED,
    FailureKind.NO_MONEY: _E.NO_MONEY,
    FailureKind.BAD_KEY: _E.BAD_KEY,
    FailureKind.NO_MODEL: _E.NO_MODEL,
    FailureKind.CONTEXT_TOO_LONG: _E.NONE,
    FailureKind.HISTORY: _E.NONE,
    FailureKind.BAD_REQUEST: _E.NONE,
    FailureKind.MODERATION: _E.NONE,
    FailureKind.SERVER_ERROR: _E.FAILURE,
    FailureKind.CONNECT: _E.FAILURE,
    FailureKind.CUT: _E.FAILURE,
    FailureKind.TIMEOUT: _E.FAILURE,
    FailureKind.HOLLOW: _E.FAILURE,
    FailureKind.MALFORMED: _E.FAILURE,
    FailureKind.DIVERGED: _E.NONE,  # a draw of chance, as often as not
}
"""What each failure of an attempt says."""
_STICKY = {_E.BAD_KEY: _S.BAD_KEY, _E.NO_MONEY: _S.NO_MONEY, _E.NO_MODEL: _S.NO_MODEL}
_TAKES_NEWS = (_S.CLOSED, _S.COOLING_DOWN, _S.HALF_OPEN)
TRANSITIONS: Mapping[tuple[BreakerState, Evidence], BreakerState] = {
    # An attempt that starts in any other state than these two is the probe.
    (_S.CLOSED, _E.START): _S.CLOSED,
    (_S.COOLING_DOWN, _E.START): _S.CLOSED,
    **{(state, _E.START): _S.HALF_OPEN for state in (_S.OPEN, _S.HALF_OPEN, *_STICKY.values())},
    (_S.CLOSED, _E.OK): _S.CLOSED,
    (_S.CLOSED, _E.FAILURE): _S.CLOSED,
    (_S.CLOSED, _E.TOO_MANY): _S.OPEN,
    (_S.COOLING_DOWN, _E.FAILURE): _S.COOLING_DOWN,
    (_S.COOLING_DOWN, _E.TOO_MANY): _S.OPEN,
    (_S.HALF_OPEN, _E.OK): _S.CLOSED,
    (_S.HALF_OPEN, _E.FAILURE): _S.OPEN,
    **{(state, _E.LIMITED): _S.COOLING_DOWN for state in _TAKES_NEWS},
    **{(state, evidence): sticky for state in _TAKES_NEWS for evidence, sticky in _STICKY.items()},
}
"""(State, evidence) → state; what is not here changes nothing.

In ``HALF_OPEN`` only the probe is heard. Whatever else ends there, or in a state of rest, began before the target was
given its rest and says nothing new.
"""
_REFUSAL = {
    _S.OPEN: Refusal.BREAKER_OPEN,
    _S.HALF_OPEN: Refusal.BREAKER_OPEN,
    _S.COOLING_DOWN: Refusal.COOLING_DOWN,
    _S.BAD_KEY: Refusal.BAD_KEY,
    _S.NO_MONEY: Refusal.NO_MONEY,
    _S.NO_MODEL: Refusal.NO_MODEL,
}
OF_THE_MODEL = frozenset(
    {
        FailureKind.NO_MODEL,
        FailureKind.SERVER_ERROR,
        FailureKind.CUT,
        FailureKind.TIMEOUT,
        FailureKind.HOLLOW,
        FailureKind.MALFORMED,
    }
)
"""Failures that concern the model that was asked, where a target has several; any other concerns the whole target."""
_MOST_MODELS = 64
"""Models of one target that are kept apart. With a route for any name, clients choose the names."""
CLOSED = BreakerState.CLOSED  # looked up at every decision; in Python 3.11 a member of an enum costs 90 ns
_HALF_OPEN = BreakerState.HALF_OPEN
_OPEN = BreakerState.OPEN
_FAILURE = Evidence.FAILURE


class Breaker:
    """One breaker. Not a value: it changes in place, and only the controller holds it."""

    __slots__ = ("_open_s", "_outcomes", "_probe", "policy", "retry_at", "state")

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=256)
        self._open_s = policy.open_s
        self._probe: int | None = None
        self.state = BreakerState.CLOSED
        self.retry_at = 0.0
        """When the state may change by itself; meaningless while closed."""

    def refusal(self, now: float) -> Refusal | None:
        """Say why the target may not be tried now, or ``None`` if it may."""
        if self.state is CLOSED:
            return None
        if now >= self.retry_at and self._probe is None:
            return None
        return _REFUSAL[self.state]

    def retry_at_s(self) -> float | None:
        """Return the time at which a refused target may be tried, or ``None`` if an event will say (a probe runs)."""
        return None if self._probe is not None else self.retry_at

    def started(self, attempt_id: int, now: float) -> None:
        """Note that an attempt starts; in a state of rest it is the probe."""
        if self.state is CLOSED:
            return
        self.state = TRANSITIONS[self.state, Evidence.START]
        if self.state is _HALF_OPEN:
            self._probe = attempt_id
            self.retry_at = now

    def succeeded(self, attempt_id: int, now: float) -> None:
        """Note a whole answer. Only the probe closes a breaker that is not closed."""
        if self.state is CLOSED:
            self._outcomes.append((now, True))
        elif attempt_id == self._probe:
            self._close()

    def no_evidence(self, attempt_id: int) -> None:
        """Note that an attempt ended without saying anything about the target; a probe's place is free again."""
        if attempt_id == self._probe:
            self._probe = None

    def failed(self, attempt_id: int, kind: FailureKind, retry_after_s: float | None, now: float) -> None:
        """Note a failed attempt; one that was given up on before it spoke is a ``TIMEOUT``, whatever else it sent."""
        was_probe = attempt_id == self._probe
        if was_probe:
            self._probe = None
        elif self.state is _HALF_OPEN:
            return
        evidence = EVIDENCE[kind]
        if evidence is _FAILURE and not was_probe and self._counts_too_many(now):
            evidence = Evidence.TOO_MANY
        following = TRANSITIONS.get((self.state, evidence))
        if following is None or (evidence is _FAILURE and not was_probe):
            return
        if was_probe and following is _OPEN:
            self._open_s = min(self._open_s * 2, self.policy.open_max_s)
        self.state = following
        # Never sooner than an earlier failure said: attempts in flight end one after the other.
        self.retry_at = max(self.retry_at, now + max(self._pause_s(following, retry_after_s), 0.001))

    def _pause_s(self, state: BreakerState, retry_after_s: float | None) -> float:
        policy = self.policy
        match state:
            case BreakerState.OPEN:
                return max(self._open_s, retry_after_s or 0.0)
            case BreakerState.COOLING_DOWN:
                return policy.cooldown_s if retry_after_s is None else retry_after_s
            case BreakerState.BAD_KEY:
                return policy.bad_key_s
            case BreakerState.NO_MONEY:
                return policy.no_money_s
            case _:
                return policy.no_model_s

    def _counts_too_many(self, now: float) -> bool:
        """Count a failure, where failures count, and tell whether the rate is too high with it."""
        if (self.state, _FAILURE) not in TRANSITIONS:
            return False
        outcomes = self._outcomes
        outcomes.append((now, False))
        oldest = now - self.policy.window_s
        while outcomes[0][0] < oldest:
            outcomes.popleft()
        if len(outcomes) < self.policy.min_count:
            return False
        failures = sum(1 for _, ok in outcomes if not ok)
        return failures >= self.policy.failure_rate * len(outcomes)

    def is_clean(self, now: float) -> bool:
        """Tell whether nothing that it remembers would count against the target."""
        oldest = now - self.policy.window_s
        return self.state is CLOSED and all(ok or at < oldest for at, ok in self._outcomes)

    def _close(self) -> None:
        self.state = CLOSED
        self.retry_at = 0.0
        self._probe = None
        self._open_s = self.policy.open_s
        self._outcomes.clear()

    def reset(self) -> None:
        """Forget everything: the target is a new process."""
        self._close()


class ModelBreakers:
    """The breakers of the models that one target has, as far as they have failed: others are not kept."""

    __slots__ = ("_breakers", "_policy")

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._breakers: dict[str, Breaker] = {}

    def __len__(self) -> int:
        return len(self._breakers)

    def set_policy(self, policy: BreakerPolicy) -> None:
        """Take a new policy."""
        self._policy = policy
        for breaker in self._breakers.values():
            breaker.policy = policy

    def find(self, model: str) -> Breaker | None:
        """Return the breaker of a model that has failed, or ``None``."""
        return self._breakers.get(model)

    def of(self, model: str) -> Breaker:
        """Return the breaker of a model that has now failed. Of too many, the one that failed first is forgotten."""
        breaker = self._breakers.get(model)
        if breaker is None:
            if len(self._breakers) >= _MOST_MODELS:
                del self._breakers[next(iter(self._breakers))]
            breaker = self._breakers[model] = Breaker(self._policy)
        return breaker

    def succeeded(self, model: str, attempt_id: int, now: float) -> None:
        """Note a whole answer of a model; once nothing counts against it, its breaker is not kept."""
        breaker = self._breakers.get(model)
        if breaker is not None:
            breaker.succeeded(attempt_id, now)
            if breaker.is_clean(now):
                del self._breakers[model]

    def reset(self) -> None:
        """Forget everything: the target is a new process."""
        self._breakers.clear()
