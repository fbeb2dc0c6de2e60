"""Every reason for a refusal has a status, a code and words."""

from __future__ import annotations

import pytest

from overspill.core.commands import Reject
from overspill.core.types import FailureKind, LimitHit, Missing, Outcome, RejectReason, Resource, Scope, Window
from overspill.features import Feature
from overspill.gateway.refusals import FAILURE_WORDS, answer, headers_of, param_of

R = RejectReason
STATUSES = {
    R.UNKNOWN_MODEL: (404, "invalid_request_error", "model_not_found"),
    R.PROMPT_TOO_LONG: (400, "invalid_request_error", "context_length_exceeded"),
    R.UNSUPPORTED: (400, "invalid_request_error", "unsupported_endpoint"),
    R.LACKS_FEATURE: (400, "invalid_request_error", "unsupported_feature"),
    R.QUEUE_FULL: (503, "overloaded_error", "queue_full"),
    R.NO_TARGET: (503, "overloaded_error", "no_target"),
    R.DRAINING: (503, "overloaded_error", "draining"),
    R.DEADLINE_EVICTED: (503, "overloaded_error", "deadline_evicted"),
    R.RATE_LIMITED: (429, "rate_limit_error", "rate_limit_exceeded"),
    R.BUDGET_EXCEEDED: (429, "insufficient_quota", "budget_exceeded"),
    R.MODEL_NOT_ALLOWED: (403, "permission_error", "model_not_allowed"),
    R.ATTEMPTS_EXHAUSTED: (502, "upstream_error", "attempts_exhausted"),
}


@pytest.mark.parametrize("reason", RejectReason)
def test_every_reason_is_put_into_words(reason: RejectReason) -> None:
    said = answer(Reject(request_id="r", reason=reason, outcome=Outcome.REJECTED), "big", "; known: small")
    assert (said.status, said.kind, said.code) == STATUSES[reason]
    assert "big" in said.message or reason in (R.DRAINING, R.RATE_LIMITED)
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


def limited(resource: Resource, **rest: object) -> Reject:
    hit = LimitHit(scope=Scope.KEY, name="alice", resource=resource, amount=60, **rest)  # type: ignore[arg-type]
    return Reject(request_id="r", reason=R.RATE_LIMITED, outcome=Outcome.REJECTED, retry_after_s=1.25, limit=hit)


@pytest.mark.parametrize(
    ("reject", "words"),
    [
        (limited(Resource.REQUESTS), "the limit of key 'alice' is reached: 60 requests per minute"),
        (limited(Resource.TOKENS), "the limit of key 'alice' is reached: 60 tokens per minute"),
        (limited(Resource.CONCURRENCY), "the limit of key 'alice' is reached: 60 requests at once"),
        (
            limited(Resource.MONEY, window=Window.DAY, left=0.5),
            "the budget of key 'alice' has $0.5000 left of $60 per day",
        ),
    ],
)
def test_a_limit_is_named_with_whose_it_is_and_how_much(reject: Reject, words: str) -> None:
    assert answer(reject, "m", "").message.startswith(words)


def test_a_limit_of_a_gateway_without_keys_is_everybodys() -> None:
    reject = Reject(
        request_id="r",
        reason=R.RATE_LIMITED,
        outcome=Outcome.REJECTED,
        limit=LimitHit(scope=Scope.KEY, name="", resource=Resource.REQUESTS, amount=5),
    )
    assert "the limit of this gateway's clients is reached: 5 requests" in answer(reject, "m", "").message


def test_the_headers_say_when_to_come_back_and_never_too_soon() -> None:
    assert headers_of(limited(Resource.REQUESTS, left=0.0)) == [
        (b"x-overspill-reason", b"rate_limited"),
        (b"retry-after", b"2"),
        (b"x-overspill-limit", b"key/requests"),
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"1.250s"),
    ]
    assert (b"x-ratelimit-remaining-tokens", b"7") in headers_of(limited(Resource.TOKENS, left=7.9))
    assert [name for name, _ in headers_of(limited(Resource.CONCURRENCY))][2:] == [b"x-overspill-limit"]
    never = Reject(request_id="r", reason=R.BUDGET_EXCEEDED, outcome=Outcome.REJECTED)
    assert headers_of(never) == [(b"x-overspill-reason", b"budget_exceeded")]


def test_what_is_missing_is_named_with_the_targets_and_each_reason_once() -> None:
    blind = [Missing(target_id=f"gpu/{n}", feature=Feature.IMAGES, why="it sees nothing") for n in range(6)]
    schema = Missing(target_id="ark", feature=Feature.JSON_SCHEMA, why="it accepts one and does not keep to it")
    missing = (schema, *blind)
    reject = Reject(request_id="r", reason=R.LACKS_FEATURE, outcome=Outcome.REJECTED, missing=missing)
    assert answer(reject, "m", "").message == (
        "no target of 'm' that may run this request can do all it asks for (json_schema, images): json_schema: ark "
        "(it accepts one and does not keep to it); images: gpu/0, gpu/1, gpu/2, gpu/3 and more (it sees nothing). "
        "Ask without, or add a target that can to the route (`features` of a pool says what its model can do)"
    )
    assert param_of(reject) == "response_format"


@pytest.mark.parametrize(("reason", "param"), [(R.UNKNOWN_MODEL, "model"), (R.NO_TARGET, None)])
def test_a_refusal_names_the_field_that_it_is_about_if_there_is_one(reason: RejectReason, param: str | None) -> None:
    assert param_of(Reject(request_id="r", reason=reason, outcome=Outcome.REJECTED)) == param
