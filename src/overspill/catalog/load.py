"""Reads the catalogue of providers and models: the facts that a configuration may leave out.

Read once at start and at reload, never on the path of a request. The configuration takes the result as an argument;
this module knows nothing of it.
"""

from __future__ import annotations

import datetime as dt
from importlib import resources
from typing import Literal

import msgspec
import yaml

from overspill.core.types import Price, Surface
from overspill.errors import ConfigError

_OWN_FILE = "providers.yaml"


class TokenPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars per million tokens as a provider lists them; ``None`` and 0 are unknown."""

    miss: float | None = None
    out: float | None = None
    hit: float | None = None

    def known(self) -> Price | None:
        """Return the price in the core's form, or ``None`` if input or output is unknown."""
        if not self.miss or not self.out:
            return None
        return Price(
            input_usd_per_mtok=self.miss, output_usd_per_mtok=self.out, cached_input_usd_per_mtok=self.hit or None
        )


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When peak prices hold. Kept for the planner; today's estimates always use the peak price."""

    timezone: str
    peak: tuple[str, ...]
    not_on: str
    since: dt.date


class OfferedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model id at one provider."""

    id: str
    model: str
    """The name of the ``KnownModel`` that it stands for."""
    aliases: tuple[str, ...] = ()
    """Other ids under which the provider's adapter accepts it; they share its limits and price."""
    max_concurrency: int | None = None
    """Requests in flight per account; ``None`` is not published."""
    price: TokenPrice = TokenPrice()
    """The peak price where there is a schedule."""
    off_peak: TokenPrice | None = None

    @property
    def known_price(self) -> Price | None:
        """The price to reckon with, or ``None`` if unknown."""
        return self.price.known()


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody else's API."""

    name: str
    title: str
    base_url: str
    source: str
    confidence: Literal["seen", "recall"]
    adapter: str = "openai_compatible"
    key_env: str | None = None
    """Where its key is customarily found; ``None`` if no custom was found."""
    is_adaptive: bool = False
    """True if it publishes no fixed limit and moves the one it has with its load and one's traffic."""
    needs_consent: bool = False
    """True if finding the key is no sign that its owner wants to pay for tokens with it."""
    makes: tuple[str, ...] = ()
    """Models that it trained: asked first, before others that host them."""
    surfaces: tuple[Surface, ...] = (Surface.CHAT,)
    patterns: tuple[str, ...] = ()
    """Globs of model names that are this provider's, beyond the ids listed."""
    models: tuple[OfferedModel, ...] = ()
    schedule: Schedule | None = None

    @property
    def is_used_unasked(self) -> bool:
        """True if ``overspill serve`` may use it without a file, given its key."""
        return self.confidence == "seen" and self.key_env is not None and not self.needs_consent

    def offer(self, name: str) -> OfferedModel | None:
        """Return the model that this provider calls ``name``, or accepts under that name."""
        return next((model for model in self.models if name == model.id or name in model.aliases), None)


class KnownModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model, whoever hosts it."""

    name: str
    names: tuple[str, ...] = ()
    """Other spellings of the same."""
    retired: tuple[str, ...] = ()
    """Names that its maker no longer serves and applications still send."""
    versions: tuple[str, ...] = ()
    """For an unversioned name: the models that may be served under it, newest first."""
    context_tokens: int | None = None


class Catalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All providers and models known."""

    schema: Literal[1]
    as_of: dt.date
    models: tuple[KnownModel, ...]
    providers: tuple[Provider, ...]

    def provider(self, name: str) -> Provider | None:
        """Return the provider called ``name``, or ``None``."""
        return next((provider for provider in self.providers if provider.name == name), None)

    def model(self, name: str) -> KnownModel | None:
        """Return the model whose own name is ``name``, or ``None``."""
        return next((model for model in self.models if model.name == name), None)


def load() -> Catalog:
    """Read the catalogue that is shipped with Overspill."""
    text = resources.files(__package__).joinpath(_OWN_FILE).read_text(encoding="utf-8")
    return parse(text, _OWN_FILE)


def parse(text: str, file: str) -> Catalog:
    """Read a catalogue; raise ``ConfigError`` if it is malformed or contradicts itself."""
    try:
        catalog = msgspec.convert(yaml.load(text, Loader=_loader()), Catalog)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"the catalogue of providers cannot be read: {error}", file=file) from error
    _check(catalog, file)
    return catalog


def _loader() -> type[yaml.SafeLoader]:
    # The C loader reads the file ten times faster; PyYAML's wheels have it, a source build may not.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check(catalog: Catalog, file: str) -> None:
    models = {model.name for model in catalog.models}
    for model in catalog.models:
        for version in model.versions:
            if version not in models:
                raise ConfigError(f"model {model.name!r} names the version {version!r}, which is not listed", file=file)
    seen: set[str] = set()
    for provider in catalog.providers:
        if provider.name in seen:
            raise ConfigError(f"provider {provider.name!r} is listed twice", file=file)
        seen.add(provider.name)
        for offer in provider.models:
            if offer.model not in models:
                raise ConfigError(
                    f"provider {provider.name!r} offers {offer.id!r} as {offer.model!r}, which is not listed", file=file
                )
