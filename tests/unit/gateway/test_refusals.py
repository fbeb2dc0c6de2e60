"""Every reason for a refusal has a status, a code and words."""

from __future__ import annotations

import pytest

from overspill.core.commands import Reject
from overspill.core.types import FailureKind, Outcome, RejectReason
from overspill.gateway.refusals import FAILURE_WORDS, answer

R = RejectReason
STATUSES = {
    R.UNKNOWN_MODEL: (404, "invalid_request_error", "model_not_found"),
    R.PROMPT_TOO_LONG: (400, "invalid_request_error", "context_length_exceeded"),
    R.UNSUPPORTED: (400, "invalid_request_error", "unsupported_endpoint"),
    R.QUEUE_FULL: (503, "overloaded_error", "queue_full"),
    R.NO_TARGET: (503, "overloaded_error", "no_target"),
    R.DRAINING: (503, "overloaded_error", "draining"),
    R.DEADLINE_EVICTED: (503, "overloaded_error", "deadline_evicted"),
    R.ATTEMPTS_EXHAUSTED: (502, "upstream_error", "attempts_exhausted"),
}


@pytest.mark.parametrize("reason", RejectReason)
def test_every_reason_is_put_into_words(reason: RejectReason) -> None:
    said = answer(Reject(request_id="r", reason=reason, outcome=Outcome.REJECTED), "big", "; known: small")
    assert (said.status, said.kind, said.code) == STATUSES[reason]
    assert "big" in said.message or reason is R.DRAINING
    assert ("known: small" in said.message) is (reason is R.UNKNOWN_MODEL)


def test_a_refusal_after_attempts_says_what_the_last_one_failed_of() -> None:
    reject = Reject(
        request_id="r",
        reason=R.ATTEMPTS_EXHAUSTED,
        outcome=Outcome.FAILED,
        failure=FailureKind.OVERLOADED,
        status=503,
    )
    assert answer(reject, "m", "").message.endswith("failed; the last one: it is overloaded (HTTP 503)")
    cut = Reject(request_id="r", reason=R.NO_TARGET, outcome=Outcome.FAILED, failure=FailureKind.CUT)
    assert answer(cut, "m", "").message.endswith("now; the last one: its answer broke off")


def test_a_refusal_without_attempts_points_to_the_explanation() -> None:
    reject = Reject(request_id="r", reason=R.NO_TARGET, outcome=Outcome.REJECTED)
    assert "GET /debug/route?model=" in answer(reject, "m", "").message


def test_every_failure_has_words() -> None:
    assert set(FAILURE_WORDS) == set(FailureKind)
