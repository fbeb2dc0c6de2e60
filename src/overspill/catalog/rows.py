"""The rows of the catalogue: providers, their models and prices, tariffs and the calendars that these follow.

Each row says when it was read, where, and how sure that is. Values only; ``load`` reads them, ``registry`` puts the
shipped ones, newer ones and the user's own together.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from overspill.core.types import Price, Surface
from overspill.features import Feature
from overspill.wire.form import ChatForm, History, ReasoningForm, ThinkingForm

Confidence = Literal["seen", "recall"]
"""``seen``: read in the named source. ``recall``: from general knowledge; used only where a file names the provider."""
Auth = Literal["bearer", "api-key", "x-api-key"]
"""Which header carries the key: ``authorization: Bearer``, ``api-key`` or ``x-api-key``."""
LimitKind = Literal["concurrency", "rates", "adaptive", "unpublished"]
Quantization = str
"""A number format as engines write it, lower case: ``fp8``, ``q4_k_m``, ``bf16``."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all rows: immutable, and an unknown key is an error."""


class TokenPrice(Row, frozen=True, kw_only=True):
    """Money per million tokens as a provider lists it; ``None`` and 0 are unknown, never free."""

    miss: float | None = None
    out: float | None = None
    hit: float | None = None
    currency: str = "USD"

    def in_dollars(self, usd: float) -> TokenPrice:
        """Return the same price in US dollars, of which one unit of ``currency`` costs so many."""
        miss, out, hit = (None if amount is None else amount * usd for amount in (self.miss, self.out, self.hit))
        return TokenPrice(miss=miss, out=out, hit=hit)

    def known(self) -> Price | None:
        """Return a price in US dollars in the core's form, or ``None`` if input or output is unknown."""
        assert self.currency == "USD"  # the catalogue has turned it into dollars
        if not self.miss or not self.out:
            return None
        return Price(
            input_usd_per_mtok=self.miss, output_usd_per_mtok=self.out, cached_input_usd_per_mtok=self.hit or None
        )


class OfferedModel(Row, frozen=True, kw_only=True):
    """One model id at one provider."""

    id: str
    model: str
    """The name of the ``KnownModel`` that it stands for."""
    aliases: tuple[str, ...] = ()
    """Other ids under which the provider's adapter accepts it; they share its limits and price."""
    max_concurrency: int | None = None
    """Requests in flight per account; ``None`` is not published."""
    quantization: Quantization | None = None
    """In which number format it is served, where the provider says so."""
    price: TokenPrice = TokenPrice()
    """In peak hours, where there is a tariff."""
    off_peak: TokenPrice | None = None
    retires: dt.date | None = None
    """When the provider takes it down, if that was announced."""
    as_of: dt.date | None = None
    """When id and price were read; the provider's ``as_of`` if left out. ``source`` and ``confidence`` likewise."""
    source: str | None = None
    confidence: Confidence | None = None

    @property
    def known_price(self) -> Price | None:
        """The price in US dollars to reckon with, or ``None`` if unknown."""
        return self.price.known()

    @property
    def known_off_peak(self) -> Price | None:
        """The cheaper price outside of peak hours, or ``None`` if there is none."""
        return None if self.off_peak is None else self.off_peak.known()


class PublishedLimits(Row, frozen=True, kw_only=True):
    """What a provider says of its limits."""

    kind: LimitKind = "unpublished"
    """``concurrency``: requests at once. ``rates``: requests and tokens per minute. ``adaptive``: it moves them."""
    scope: str = ""
    """Whose limit it is, in words: per account and model, per organisation."""
    headers: tuple[str, ...] = ()
    """Headers of an answer that tell what is left."""


_FORM = ("reasoning", "reasoning_field", "history", "thinking", "takes_details", "user_field")


class Provider(Row, frozen=True, kw_only=True):
    """Somebody else's API."""

    name: str
    title: str
    base_url: str
    """May have placeholders such as ``{region}``, which a configuration fills."""
    as_of: dt.date
    source: str
    confidence: Confidence
    other_urls: dict[str, str] = {}
    """Further base URLs by a name for each: regions, backup domains. A configuration may write the name."""
    adapter: str = "openai_compatible"
    auth: Auth = "bearer"
    headers: dict[str, str] = {}
    """Sent with each call, such as the version of its API."""
    key_env: str | None = None
    """Where its key is customarily found; ``None`` if no custom was found."""
    key_expires: bool = False
    """True if what it takes is a token that expires soon, so that it must come from a file that something renews."""
    limits: PublishedLimits = PublishedLimits()
    needs_consent: bool = False
    """True if finding the key is no sign that its owner wants to pay for tokens with it."""
    makes: tuple[str, ...] = ()
    """Models that it trained: asked first, before others that host them."""
    surfaces: tuple[Surface, ...] = (Surface.CHAT,)
    patterns: tuple[str, ...] = ()
    """Globs of model names that are this provider's, beyond the ids listed."""
    models_path: str | None = "/models"
    """Below the base URL; ``None`` if it has no list of models."""
    lacks: dict[Feature, str] = {}
    """What it is known not to do → why, in words."""
    thinking: ThinkingForm | None = None
    """By which fields thinking is switched. This and what follows is as the adapter says if left out."""
    reasoning: ReasoningForm | None = None
    """Where it says its thoughts."""
    reasoning_field: str | None = None
    """The field of an earlier turn that it reads a thought from."""
    takes_details: bool | None = None
    """True if it reads ``reasoning_details``, with the signatures of its thoughts."""
    history: History | None = None
    """What becomes of the thoughts of earlier turns."""
    user_field: str | None = None
    """The field that tells it one user from another."""
    allowed_fields: tuple[str, ...] = ()
    """The fields of a body that it takes, where it refuses all others; empty if it takes any."""
    models: tuple[OfferedModel, ...] = ()
    tariff: str | None = None
    """The ``TariffRow`` of its models that have an ``off_peak`` price."""

    @property
    def is_adaptive(self) -> bool:
        """True if it publishes no fixed limit and moves the one it has with its load and one's traffic."""
        return self.limits.kind == "adaptive"

    @property
    def is_used_unasked(self) -> bool:
        """True if ``overspill serve`` may use it without a file, given its key."""
        is_complete = "{" not in self.base_url and not self.key_expires
        return self.confidence == "seen" and self.key_env is not None and not self.needs_consent and is_complete

    def form(self, adapters: ChatForm) -> ChatForm:
        """Return in which form of chat it is asked, where ``adapters`` is that of its adapter."""
        said = {name: getattr(self, name) for name in _FORM}
        return msgspec.structs.replace(adapters, **{name: value for name, value in said.items() if value is not None})

    def offer(self, name: str) -> OfferedModel | None:
        """Return the model that this provider calls ``name``, or accepts under that name."""
        return next((model for model in self.models if name == model.id or name in model.aliases), None)


class KnownModel(Row, frozen=True, kw_only=True):
    """A model, whoever hosts it. Ids that stand for the same one have the same weights."""

    name: str
    as_of: dt.date
    source: str
    confidence: Confidence = "seen"
    family: str | None = None
    """Models of one family are versions or sizes of the same; a spill may go from one to another if a route says so."""
    names: tuple[str, ...] = ()
    """Other spellings of the same."""
    retired: dict[str, bool] = {}
    """Names that its maker no longer serves and applications still send → whether the model thought under it."""
    versions: tuple[str, ...] = ()
    """For an unversioned name: the models that may be served under it, newest first."""
    context_tokens: int | None = None
    lacks: dict[Feature, str] = {}
    """What it is known not to do, whoever hosts it → why, in words."""


class TariffRow(Row, frozen=True, kw_only=True):
    """When a provider's peak prices hold."""

    name: str
    utc_offset: str
    """``+08:00``: fixed, since what a provider bills by has no daylight saving."""
    peak: tuple[str, ...]
    """Such as ``mon-fri 09:00-12:00``."""
    calendar: str | None = None
    """The ``CalendarRow`` on whose days there are no peak hours."""
    since: dt.date
    as_of: dt.date
    source: str
    confidence: Confidence = "seen"


class Holiday(Row, frozen=True, kw_only=True):
    """Days off in a row, first and last included."""

    name: str
    first: dt.date
    last: dt.date


class CalendarRow(Row, frozen=True, kw_only=True):
    """The public holidays of one year, as they were announced."""

    name: str
    year: int
    as_of: dt.date
    source: str
    confidence: Confidence = "seen"
    holidays: tuple[Holiday, ...]
    """Empty where the year has not been announced: its days are reckoned as days like any other, so at the dearer
    price."""


class CurrencyRow(Row, frozen=True, kw_only=True):
    """What a unit of another currency is worth in US dollars, for prices that are listed in it."""

    code: str
    usd: float
    as_of: dt.date
    source: str
    confidence: Confidence = "seen"
