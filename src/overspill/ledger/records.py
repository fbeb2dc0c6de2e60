"""What the ledger remembers: one record per request, one per attempt, and, only if asked for, the texts.

The driver makes these when a request or an attempt ends and hands them to ``writer``. Fields are in the order of the
table's columns. Make them with positional arguments on the hot path: for the 27 fields of a request that costs 0.2 µs,
keyword arguments cost 2.7 µs (msgspec 0.22, 2026-11).

A number that nobody reported is ``None`` and becomes NULL, never 0.
"""

from __future__ import annotations

import enum

import msgspec

from overspill.core.types import FailureKind, LocalOnly, Outcome, RejectReason, RescueRefusal, Spill


class AttemptOutcome(enum.StrEnum):
    """How one attempt ended."""

    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RequestRecord(msgspec.Struct, frozen=True, gc=False):
    """One client's request, from its arrival to its one final answer."""

    request_id: str
    """The answer's ``x-request-id``; its ``x-overspill-request-id`` where the client sent one of its own."""
    arrived_at: float
    """Unix seconds, wall clock."""
    model: str
    """As the client wrote it."""
    route: str
    """Pattern of the route that matched; empty if none did."""
    surface: str
    """Which endpoint was called."""
    key_id: str
    """Which of the gateway's keys asked; never the key."""
    stream: bool
    """Whether the client asked for a stream."""
    priority: int
    """As the client asked; 0 goes first."""
    local_only: bool
    """Whether it was bound to local targets."""
    prompt_tokens: int
    """Estimated on arrival from the text's length."""
    prompt_tokens_reported: int | None
    """Counted by the target that answered."""
    cached_tokens: int | None
    """Prompt tokens that it read from its cache."""
    output_tokens: int | None
    """Counted by the target, else by the events with a token."""
    reasoning_tokens: int | None
    """Those of them that were thinking."""
    max_tokens: int | None
    """The client's limit."""
    outcome: Outcome
    """How it ended."""
    reason: RejectReason | FailureKind | None
    """Why it was not completed."""
    spill: Spill | None
    """Why it left the first tier; ``None`` if it did not."""
    target_id: str | None
    """Who gave the answer that the client has."""
    attempts: int
    """Attempts that were started."""
    queue_wait_s: float
    """From arrival to the first attempt; to the end if there was none."""
    ttft_s: float | None
    """From arrival to the first meaningful token."""
    tpot_s: float | None
    """Mean seconds per output token after the first."""
    e2e_s: float
    """From arrival to the end."""
    cost_usd: float | None
    """Sum over all attempts; ``None`` is unknown, never free."""
    finish_reason: str | None
    """As the target gave it."""
    client_status: int | None
    """HTTP status that the client saw; ``None`` if it left before one was sent."""
    local_only_by: LocalOnly | None = None
    """What made it ``local_only``."""
    rescues: int = 0
    """Times that the stream broke and another attempt went on with it: seams in the answer."""
    unrescued: RescueRefusal | None = None
    """Why a stream that broke was not continued."""
    client_request_id: str | None = None
    """What the client called it, in ``x-request-id``."""
    client_address: str | None = None
    """Where it came from: the peer, or whom a trusted proxy named."""


class AttemptRecord(msgspec.Struct, frozen=True, gc=False):
    """One try on one target. Usage is what *this* target did, so the sum over attempts is what was consumed."""

    request_id: str
    """Whose attempt it is."""
    attempt_id: int
    """Unique within one run of the gateway."""
    target_id: str
    """Where it ran."""
    model: str
    """The name it was called under at the target."""
    started_at: float
    """Unix seconds, wall clock."""
    spill: Spill | None
    """Why it ran outside the first tier; ``None`` if it did not."""
    predicted_ttft_s: float | None
    """What the controller believed when it started the attempt; beside ``ttft_s`` it is the estimate's error."""
    ttft_s: float | None
    """From the start of this attempt to its first meaningful token."""
    tpot_s: float | None
    """Mean seconds per output token after the first."""
    duration_s: float
    """From its start to its end."""
    outcome: AttemptOutcome
    """How it ended."""
    failure: FailureKind | None
    """What went wrong."""
    status: int | None
    """HTTP status of the target's answer."""
    prompt_tokens: int | None
    """Counted by the target."""
    cached_tokens: int | None
    """Prompt tokens that it read from its cache."""
    output_tokens: int | None
    """Counted by the target, else by the events with a token."""
    cost_usd: float | None
    """``None`` is unknown, never free."""
    resumed_at: int | None = None
    """Characters that the client had of an answer that broke off when this attempt went on with it."""
    answered_model: str | None = None
    """The model that the answer itself names: another than ``model`` where a name leads to a version."""


class BodyRecord(msgspec.Struct, frozen=True, gc=False):
    """The texts of one request; written only where ``store_bodies`` is on.

    The one who fills it leaves out requests marked ``local_only`` if the ledger's file does not stay in the building.
    """

    request_id: str
    """Whose texts they are."""
    prompt: bytes
    """The request's body as received."""
    answer: bytes
    """The answer's body as sent."""
