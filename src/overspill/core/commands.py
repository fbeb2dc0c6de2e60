"""What the controller tells its driver to do. Every command carries its reason; the driver adds none of its own."""

from __future__ import annotations

from typing import final

from overspill.core.types import FailureKind, LimitHit, Missing, Outcome, RejectReason, RescueRefusal, Spill, Value


class Command(Value, frozen=True, tag=True):
    """Base of all commands."""


@final
class StartAttempt(Command, frozen=True):
    """Send the request to this target now."""

    request_id: str
    attempt_id: int
    target_id: str
    model: str
    """The name to send as ``model``."""
    spill: Spill | None = None
    """Why it leaves the first tier; ``None`` if it does not."""
    queue_wait_s: float = 0.0
    """Seconds from arrival to this command."""
    predicted_ttft_s: float = 0.0
    """From this command to the first token, as believed now."""
    resumes: bool = False
    """Go on with the answer that broke off, instead of beginning one."""
    is_kept: bool = False
    """Remember what the client gets: a target was seen that could go on with it."""


@final
class CancelAttempt(Command, frozen=True):
    """Stop this attempt and free what it holds on the target."""

    attempt_id: int


@final
class Complete(Command, frozen=True):
    """The request has its final answer, or its client no longer wants one: settle it and write its ledger row."""

    request_id: str
    outcome: Outcome
    attempt_id: int | None = None
    """The attempt whose answer the client has; ``None`` if there was none."""
    failure: FailureKind | None = None
    status: int | None = None
    unrescued: RescueRefusal | None = None
    """Why a broken answer is not continued."""


@final
class Reject(Command, frozen=True):
    """The request is refused: answer it with an error."""

    request_id: str
    reason: RejectReason
    outcome: Outcome
    retry_after_s: float | None = None
    """When it is worth asking again; ``None`` if never."""
    failure: FailureKind | None = None
    """What the last attempt failed of, where one was made."""
    status: int | None = None
    """The HTTP status of that failure."""
    limit: LimitHit | None = None
    """The limit of the client's that refused it, where one did."""
    missing: tuple[Missing, ...] = ()
    """What it needs and targets do not do, where that is the reason."""


AnyCommand = StartAttempt | CancelAttempt | Complete | Reject
