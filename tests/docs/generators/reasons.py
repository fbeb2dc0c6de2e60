"""The reference of reasons: one vocabulary for headers, ledger, metrics, logs and ``/debug/route``."""

from __future__ import annotations

from tests.docs.generators.source import member_comments, page, table

from overspill.core.breaker import BreakerState
from overspill.core.commands import Reject
from overspill.core.types import FailureKind, LocalOnly, Outcome, Refusal, RejectReason, RescueRefusal, Spill
from overspill.gateway.answer_lines import CACHED
from overspill.gateway.refusals import FAILURE_WORDS, answer
from overspill.gateway.screening import TextVerdict
from overspill.ledger.records import AttemptOutcome

_INTRODUCTION = """
A reason has one spelling wherever it shows: in the response header `x-overspill-reason`, in the ledger's columns, in
the labels of metrics, and in `GET /debug/route`.
"""
_BREAKER = {
    BreakerState.CLOSED: "it may be used",
    BreakerState.OPEN: "too many failures in the window; it rests, longer each time its probe fails",
    BreakerState.HALF_OPEN: "one probe runs on it",
    BreakerState.COOLING_DOWN: "it said 429; no failure, only a pause",
    BreakerState.BAD_KEY: "it refused our key",
    BreakerState.NO_MONEY: "its account has no balance",
    BreakerState.NO_MODEL: "it does not have the model",
}
_RETRY = {
    FailureKind.OVERLOADED: ("yes, until the deadline", "counts"),
    FailureKind.RATE_LIMITED: ("yes, until the deadline", "cooling down"),
    FailureKind.NO_MONEY: ("yes", "no money"),
    FailureKind.BAD_KEY: ("yes", "bad key"),
    FailureKind.NO_MODEL: ("yes, not there again", "no model, if it is asked for no other"),
    FailureKind.CONTEXT_TOO_LONG: ("yes, not there again", "nothing"),
    FailureKind.HISTORY: ("once, at once, with the history as it wants it", "nothing"),
    FailureKind.BAD_REQUEST: ("no: the client gets it", "nothing"),
    FailureKind.MODERATION: ("no: the client gets it", "nothing"),
    FailureKind.SERVER_ERROR: ("yes", "counts"),
    FailureKind.CONNECT: ("yes", "counts"),
    FailureKind.CUT: ("yes", "counts"),
    FailureKind.TIMEOUT: ("yes", "counts"),
    FailureKind.HOLLOW: ("yes", "counts"),
    FailureKind.MALFORMED: ("yes", "counts"),
    FailureKind.DIVERGED: ("no", "nothing"),
}


def reasons_page() -> str:
    spills = [
        ("`home`", "it ran in the first tier of its route"),
        (f"`{CACHED}`", "it ran nowhere: its answer was kept from an earlier request (no spill, only in the header)"),
        *_rows(member_comments(Spill)),
    ]
    rejects = []
    for reason in RejectReason:
        said = answer(Reject(request_id="", reason=reason, outcome=Outcome.REJECTED), "MODEL", "")
        cells = (f"`{reason}`", str(said.status), f"`{said.code}`", f"`{said.kind}`")
        rejects.append((*cells, member_comments(RejectReason)[reason.value]))
    failures = [
        (f"`{kind}`", member_comments(FailureKind)[kind.value], FAILURE_WORDS[kind], *_RETRY[kind])
        for kind in FailureKind
    ]
    return page(
        "Reasons",
        _INTRODUCTION,
        "## Spill: why a request left the first tier of its route",
        "In `x-overspill-reason` of an answer, in the ledger's `spill`, in `overspill_spills_total`.",
        table(("value", "meaning"), spills),
        "## RejectReason: why a request got no answer",
        "In `x-overspill-reason` of an error, in the ledger's `reason`, in `overspill_rejections_total`. Where it is "
        "worth asking again, `retry-after` says when.",
        table(("value", "status", "`code`", "`type`", "meaning"), rejects),
        "## Outcome: how a request ended",
        "In the ledger's `outcome` and in `overspill_requests_total`.",
        table(("value", "meaning"), _rows(member_comments(Outcome))),
        "An attempt ends as one of " + ", ".join(f"`{outcome}`" for outcome in AttemptOutcome) + " (the ledger's "
        "`attempts.outcome`, `overspill_attempts_total`).",
        "## FailureKind: what went wrong with an attempt",
        "In the ledger's `attempts.failure`, in `reason` of a request that broke, and behind `stream_` in the `code` "
        "of an error event in a stream. *Another target*: whether another may try, before anything has reached the "
        "client. *Breaker*: what the target's breaker makes of it.",
        table(("value", "meaning", "in words to a client: “the target …”", "another target", "breaker"), failures),
        "## RescueRefusal: why a broken stream was not continued",
        "In the ledger's `unrescued`, in `overspill_rescues_total`, and in words in the error that ends a stream.",
        table(("value", "meaning"), _rows(member_comments(RescueRefusal))),
        "## Refusal: why a target was no candidate",
        "In `refusal` of `GET /debug/route`.",
        table(("value", "meaning"), _rows(member_comments(Refusal))),
        "## LocalOnly: what bound a request to local targets",
        "In `x-overspill-local-only` of an answer and in the ledger's `local_only_by`.",
        table(("value", "meaning"), _rows(member_comments(LocalOnly))),
        "## TextVerdict: what detectors made of a request's text",
        "In `overspill_screenings_total`. All but `clean` bind a request, unless its route says otherwise.",
        table(("value", "meaning"), _rows(member_comments(TextVerdict))),
        "## Breaker states",
        "In `breaker` of `GET /debug/route` and in `overspill_breaker_state`.",
        table(("value", "meaning"), [(f"`{state}`", text) for state, text in _BREAKER.items()]),
    )


def _rows(comments: dict[str, str]) -> list[tuple[str, ...]]:
    return [(f"`{value}`", text) for value, text in comments.items()]
