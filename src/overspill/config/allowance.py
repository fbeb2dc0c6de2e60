"""The part of the schema that says who may use how much: the gateway's own keys, rates, slots and budgets.

Read like the rest of the schema; ``compile`` turns it into the core's ``Client``, ``Limits`` and ``Budget``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from overspill.config.scalars import Duration, KeyRef
from overspill.config.section import Count, CountOrZero, Money, Section, duration


class Rates(Section, frozen=True, kw_only=True):
    """How much may be used by one key, team or model. What is left out is not limited."""

    requests_per_minute: Annotated[Count | None, Meta(description="Requests per minute.")] = None
    tokens_per_minute: Annotated[
        Count | None,
        Meta(
            description="Prompt and answer tokens per minute: estimated when a request comes, settled by what it used."
        ),
    ] = None
    burst: Annotated[
        Duration, Meta(description="How much of the two may come at once: what builds up in this time without use.")
    ] = duration(60)
    concurrency: Annotated[Count | None, Meta(description="Requests at once, those that wait included.")] = None


class UpstreamRates(Section, frozen=True, kw_only=True):
    """What a provider allows one account for one model. Requests above it wait or go elsewhere."""

    requests_per_minute: Annotated[Count | None, Meta(description="Requests per minute.")] = None
    tokens_per_minute: Annotated[Count | None, Meta(description="Prompt and answer tokens per minute.")] = None
    burst: Annotated[
        Duration, Meta(description="How much of the two may be sent at once: what builds up in this time without use.")
    ] = duration(10)
    concurrency: Annotated[
        Count | None, Meta(description="Requests in flight; the same as the pool's `max_concurrency`.")
    ] = None
    adaptive: Annotated[
        bool | None,
        Meta(
            description="Let requests in flight grow while the provider accepts them and halve when it says that it is "
            "busy, up to `concurrency` if given. The catalogue's if left out."
        ),
    ] = None


class Budget(Section, frozen=True, kw_only=True):
    """US dollars that may be spent in each hour, day and month of the calendar, in UTC. Local tokens are free."""

    hour: Annotated[Money | None, Meta(description="In each hour; not limited if left out.")] = None
    day: Annotated[Money | None, Meta(description="In each day; not limited if left out.")] = None
    month: Annotated[Money | None, Meta(description="In each month; not limited if left out.")] = None


class Allowance(Rates, frozen=True, kw_only=True):
    """How much may be used and spent. What is left out is not limited."""

    budget: Annotated[Budget | None, Meta(description="US dollars that may be spent on rented tokens.")] = None


class KeyEntry(Section, frozen=True, kw_only=True):
    """A key that clients may use, and what it may."""

    key: Annotated[KeyRef, Meta(description="env:NAME, file:PATH or sha256:HEX; never the key itself.")]
    name: Annotated[
        Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")] | None,
        Meta(description="Shown in the ledger; key-1, key-2, … by its place if left out."),
    ] = None
    team: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Keys of one team share the limits that `limits.teams` names for it."),
    ] = None
    weight: Annotated[
        float, Meta(description="Its share of a full engine, against those of the other keys that wait.", gt=0, le=1000)
    ] = 1.0
    local_only: Annotated[bool, Meta(description="Its requests never leave local pools, whatever happens.")] = False
    reasoning: Annotated[
        Literal["reasoning_content", "reasoning", "thinking", "think", "none"],
        Meta(
            description="Where its clients want thoughts in answers of chat, unless they say so themselves: a field of "
            "this name, think for <think> tags in the text, none to leave them out."
        ),
    ] = "reasoning_content"
    models: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description="Model names it may ask for, or globs with * and ?. Empty: all."),
    ] = ()
    limits: Annotated[
        Rates | None, Meta(description="How much it may use; what `limits.each_key` says if left out.")
    ] = None
    budget: Annotated[
        Budget | None, Meta(description="What it may spend; what `limits.each_key` says if left out.")
    ] = None


Moment = Annotated[datetime, Meta(tz=True)]


class KeyRecord(KeyEntry, frozen=True, kw_only=True):
    """A key that `overspill keys` made, as it stands in the keys' file; its `key` is always a digest."""

    hint: Annotated[str, Meta(description="How the key begins, to tell it by.")] = ""
    created_at: Annotated[Moment | None, Meta(description="When it was made.")] = None
    expires_at: Annotated[Moment | None, Meta(description="From when on it is refused.")] = None
    revoked_at: Annotated[Moment | None, Meta(description="Since when it is refused.")] = None
    note: Annotated[str, Meta(description="For people; nothing reads it.", max_length=1000)] = ""

    @property
    def key_id(self) -> str:
        """The name that the ledger and the limits know it by."""
        return self.name or ""

    def is_live(self, now: datetime) -> bool:
        """Say whether it may be used at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


Key = Annotated[str, Meta(extra_json_schema=KeyRef.json_schema)]
"""A key's short form: checked by ``check``, since msgspec takes no type of ours in a union."""


class Limits(Section, frozen=True, kw_only=True):
    """How much clients may use. 429 tells a client which of these it has reached, and when to come back."""

    each_key: Annotated[
        Allowance | None,
        Meta(description="Each key that has none of its own; without keys, all clients together."),
    ] = None
    teams: Annotated[dict[str, Allowance], Meta(description="All keys of a team together, by its name.")] = (
        msgspec.field(default_factory=dict)
    )
    models: Annotated[
        dict[str, Allowance], Meta(description="All requests for a route together, by its `model` as it is written.")
    ] = msgspec.field(default_factory=dict)


Reserved = Annotated[
    tuple[CountOrZero, ...],
    Meta(
        description="Slots of each target that are kept for class 0, for classes 0 and 1, and so on: [2, 1] keeps 2 "
        "for class 0 and 1 more for classes 0 and 1. Every class may use at least one slot."
    ),
]
