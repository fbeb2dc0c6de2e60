"""How a refusal reads to a client: status, error code and words for every reason the controller has.

429 means "you": a limit of the client's own. What is "us" is 5xx, except where the request itself is wrong.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, assert_never

from overspill.core.commands import Reject
from overspill.core.types import FailureKind, RejectReason, RescueRefusal, Resource
from overspill.features import PARAMS, Feature

_MOST_NAMES = 4
"""Targets that a message names for one reason."""


class Answer(NamedTuple):
    """An error for a client: HTTP status, and OpenAI's ``type``, ``code`` and ``message``."""

    status: int
    kind: str
    code: str
    message: str


def answer(reject: Reject, model: str, known_models: str, native_only: tuple[str, ...] = ()) -> Answer:
    """Put a refusal into words.

    ``known_models`` is the list for "model not found", with a did-you-mean; ``native_only`` what the request asks for
    that only its own surface can say.
    """
    reason = reject.reason
    match reason:
        case RejectReason.UNKNOWN_MODEL:
            return Answer(
                404, "invalid_request_error", "model_not_found", f"no route for model {model!r}{known_models}"
            )
        case RejectReason.PROMPT_TOO_LONG:
            return Answer(
                400,
                "invalid_request_error",
                "context_length_exceeded",
                f"the prompt does not fit the context window of any target of {model!r}; shorten it, "
                "or add a target with a longer context to the route",
            )
        case RejectReason.UNSUPPORTED:
            return Answer(
                400,
                "invalid_request_error",
                "unsupported_endpoint",
                f"no target of {model!r} that may run this request serves this endpoint; ask for a model that has one, "
                "or add a pool that serves it to the route (`surfaces` says what a pool serves)",
            )
        case RejectReason.LACKS_FEATURE:
            return Answer(400, "invalid_request_error", "unsupported_feature", _missing(reject, model, native_only))
        case RejectReason.QUEUE_FULL:
            return _busy(reason, f"every target of {model!r} is full and so is its queue; ask again later")
        case RejectReason.DEADLINE_EVICTED:
            return _busy(reason, f"no target of {model!r} became free before the request's deadline; ask again later")
        case RejectReason.NO_TARGET if reject.failure is FailureKind.NO_MODEL:
            message = f"the targets of {model!r} do not have that model{known_models}"
            return Answer(404, "invalid_request_error", "model_not_found", message)
        case RejectReason.NO_TARGET:
            return _busy(reason, f"no target of {model!r} can take the request now{_because(reject)}")
        case RejectReason.ATTEMPTS_EXHAUSTED:
            return Answer(
                502,
                "upstream_error",
                reason.value,
                f"every attempt on the targets of {model!r} failed{_because(reject)}",
            )
        case RejectReason.RATE_LIMITED | RejectReason.BUDGET_EXCEEDED | RejectReason.MODEL_NOT_ALLOWED:
            return _yours(reject, reason, model)
        case RejectReason.DRAINING:
            return _busy(reason, "this gateway is shutting down; ask again in a moment")
        case _:
            assert_never(reason)


def _yours(
    reject: Reject,
    reason: Literal[RejectReason.RATE_LIMITED, RejectReason.BUDGET_EXCEEDED, RejectReason.MODEL_NOT_ALLOWED],
    model: str,
) -> Answer:
    match reason:
        case RejectReason.RATE_LIMITED:
            return Answer(429, "rate_limit_error", "rate_limit_exceeded", f"{_limit(reject)}; ask again later")
        case RejectReason.BUDGET_EXCEEDED:
            return Answer(
                429,
                "insufficient_quota",
                "budget_exceeded",
                f"{_limit(reject)}, and no target of {model!r} that costs nothing can take the request in time",
            )
        case RejectReason.MODEL_NOT_ALLOWED:
            return Answer(403, "permission_error", "model_not_allowed", f"this key may not ask for model {model!r}")
        case _:
            assert_never(reason)


def headers_of(reject: Reject) -> list[tuple[bytes, bytes]]:
    """Return what a refusal says in headers: the reason, when to come back, and which limit it was, as OpenAI does."""
    found = [(b"x-overspill-reason", reject.reason.value.encode())]
    after_s = reject.retry_after_s
    if after_s is not None:
        found.append((b"retry-after", b"%d" % max(1, math.ceil(after_s))))
    hit = reject.limit
    if hit is None:
        return found
    found.append((b"x-overspill-limit", f"{hit.scope.value}/{hit.resource.value}".encode()))
    if hit.resource in (Resource.REQUESTS, Resource.TOKENS):
        what = hit.resource.value.encode()
        found.append((b"x-ratelimit-limit-" + what, b"%d" % hit.amount))
        found.append((b"x-ratelimit-remaining-" + what, b"%d" % hit.left))
        if after_s is not None:
            found.append((b"x-ratelimit-reset-" + what, f"{after_s:.3f}s".encode()))
    return found


def _limit(reject: Reject) -> str:
    """Say which limit it is: ``the limit of key 'alice' is reached: 60 requests per minute``."""
    hit = reject.limit
    if hit is None:
        return "a limit is reached"
    if hit.resource is Resource.MONEY:
        window = "window" if hit.window is None else hit.window.value
        return f"the budget of {hit.scope.value} {hit.name!r} has ${hit.left:.4f} left of ${hit.amount:g} per {window}"
    unit = "at once" if hit.resource is Resource.CONCURRENCY else "per minute"
    what = "requests" if hit.resource is Resource.CONCURRENCY else hit.resource.value
    whose = f"{hit.scope.value} {hit.name!r}" if hit.name else "this gateway's clients"
    return f"the limit of {whose} is reached: {hit.amount:g} {what} {unit}"


def _missing(reject: Reject, model: str, native_only: tuple[str, ...]) -> str:
    """Say which features are missing where and why, each reason once: ``json_schema (a/0, b/0: it has none)``."""
    targets: dict[tuple[Feature, str], list[str]] = {}
    for missing in reject.missing:
        targets.setdefault((missing.feature, missing.why), []).append(missing.target_id)
    features = sorted({feature for feature, _ in targets}, key=list(Feature).index)
    why = "; ".join(
        f"{feature}: {', '.join(names[:_MOST_NAMES])}{' and more' if len(names) > _MOST_NAMES else ''} ({words})"
        for (feature, words), names in targets.items()
    )
    return (
        f"no target of {model!r} that may run this request can do all it asks for ({', '.join(features)}"
        f"{': ' if native_only else ''}{', '.join(native_only)}): {why}. "
        "Ask without, or add a target that can to the route (`features` of a pool says what its model can do)"
    )


def param_of(reject: Reject) -> str | None:
    """Return the field of the request that it is refused for, where it is one."""
    if reject.reason is RejectReason.UNKNOWN_MODEL:
        return "model"
    return PARAMS.get(reject.missing[0].feature) if reject.missing else None


def _busy(reason: RejectReason, message: str) -> Answer:
    return Answer(503, "overloaded_error", reason.value, message)


def _because(reject: Reject) -> str:
    if reject.failure is None:
        return "; GET /debug/route?model=… says why"
    words = FAILURE_WORDS[reject.failure]
    status = "" if reject.status is None else f" (HTTP {reject.status})"
    return f"; the last one: {words}{status}"


FAILURE_WORDS = {
    FailureKind.OVERLOADED: "it is overloaded",
    FailureKind.RATE_LIMITED: "it limits our rate",
    FailureKind.NO_MONEY: "its account has no balance",
    FailureKind.BAD_KEY: "it refused our key",
    FailureKind.NO_MODEL: "it does not have the model",
    FailureKind.CONTEXT_TOO_LONG: "the prompt is too long for it",
    FailureKind.HISTORY: "it wants the thoughts of earlier turns in the history otherwise",
    FailureKind.BAD_REQUEST: "it called the request malformed",
    FailureKind.MODERATION: "it refused the content",
    FailureKind.SERVER_ERROR: "it answered with a server error",
    FailureKind.CONNECT: "it could not be reached",
    FailureKind.CUT: "its answer broke off",
    FailureKind.TIMEOUT: "it did not answer in time",
    FailureKind.HOLLOW: "it answered without content",
    FailureKind.MALFORMED: "its answer could not be read",
    FailureKind.DIVERGED: "it did not go on where the answer had broken off",
}

RESCUE_WORDS = {
    RescueRefusal.OFF: "its route does not want that",
    RescueRefusal.UNVERIFIED: "no target was seen to go on exactly where an answer ends",
    RescueRefusal.OTHER_WEIGHTS: "no other target is known to have the same weights and to go on exactly",
    RescueRefusal.REASONING: "the target cannot go on with a thought",
    RescueRefusal.TOOL_CALL: "a tool call had begun",
    RescueRefusal.NATIVE: "it came in the client's own form from a target that speaks it",
    RescueRefusal.SEVERAL_CHOICES: "several choices were asked for",
    RescueRefusal.LOGPROBS: "log-probabilities were asked for",
    RescueRefusal.GRAMMAR: "its form was bound to a grammar or a schema, which cannot begin in the middle",
    RescueRefusal.SEED: "a seed was given, and the draw would begin anew",
    RescueRefusal.PREFILLED: "the request was itself the continuation of a message, or wanted an echo or a suffix",
    RescueRefusal.TOKEN_PROMPT: "the prompt is not one text",
    RescueRefusal.NO_TOKEN_IDS: "the target goes on by tokens only, and they are not known",
    RescueRefusal.NO_TOKENS_LEFT: "it had reached the limit of tokens",
    RescueRefusal.ANSWER_TOO_LONG: "it is longer than what is remembered of an answer",
    RescueRefusal.NOT_UNDERSTOOD: "it had parts that cannot be joined",
    RescueRefusal.MODERATION: "it was stopped for its content",
    RescueRefusal.REFUSED: "the target refused to go on with it",
    RescueRefusal.DIVERGED: "the continuation did not begin with what had been sent already",
    RescueRefusal.CONTEXT_TOO_LONG: "prompt and answer so far do not fit the context window",
    RescueRefusal.NO_TARGET: "no target that could have done so became free in time",
    RescueRefusal.ATTEMPTS_EXHAUSTED: "every attempt to do so failed",
}
