"""What the configuration wants to know of providers, models and adapters, whoever provides it.

The catalogue stands beside the configuration in the layers and the adapters above it, so it may import neither. Their
values have these forms, and the callers above hand them in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from overspill.core.types import Price, Surface, Tariff
from overspill.features import Feature
from overspill.wire.form import ChatForm


class Offer(Protocol):
    """One model id at one provider."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def aliases(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def max_concurrency(self) -> int | None: ...  # noqa: D102
    @property
    def known_price(self) -> Price | None: ...  # noqa: D102
    @property
    def confidence(self) -> str | None: ...  # noqa: D102


class ProviderFacts(Protocol):
    """Somebody else's API."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def adapter(self) -> str: ...  # noqa: D102
    @property
    def base_url(self) -> str: ...  # noqa: D102
    @property
    def other_urls(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def auth(self) -> str: ...  # noqa: D102
    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def key_env(self) -> str | None: ...  # noqa: D102
    @property
    def key_expires(self) -> bool: ...  # noqa: D102
    @property
    def allowed_fields(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def is_adaptive(self) -> bool: ...  # noqa: D102
    @property
    def is_used_unasked(self) -> bool: ...  # noqa: D102
    @property
    def makes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def surfaces(self) -> tuple[Surface, ...]: ...  # noqa: D102
    @property
    def patterns(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def models(self) -> Sequence[Offer]: ...  # noqa: D102
    @property
    def lacks(self) -> Mapping[Feature, str]: ...  # noqa: D102
    def form(self, adapters: ChatForm) -> ChatForm: ...  # noqa: D102
    def offer(self, name: str) -> Offer | None: ...  # noqa: D102


class ModelFacts(Protocol):
    """A model, whoever hosts it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def family(self) -> str | None: ...  # noqa: D102
    @property
    def retired(self) -> Mapping[str, bool]: ...  # noqa: D102
    @property
    def versions(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def context_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def lacks(self) -> Mapping[Feature, str]: ...  # noqa: D102


class IdentityFacts(Protocol):
    """Which model a name means; a field is ``None`` where that is not known."""

    @property
    def model(self) -> str | None: ...  # noqa: D102
    @property
    def family(self) -> str | None: ...  # noqa: D102
    @property
    def quantization(self) -> str | None: ...  # noqa: D102


class UpstreamFacts(Protocol):
    """A provider's dialect."""

    surfaces: tuple[Surface, ...]
    unsupported: Mapping[str, str]
    form: ChatForm
    native: tuple[str, ...]


class EngineFacts(Protocol):
    """An engine that Overspill can start."""

    needs_model: bool
    surfaces: tuple[Surface, ...]
    form: ChatForm

    def lacks(self, model: str | None, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the features that it does not have with this model and options of its own → why, in words."""
        ...


class AttachedFacts(Protocol):
    """A kind of server that somebody else started."""

    surfaces: tuple[Surface, ...]
    unsupported: Mapping[str, str]
    form: ChatForm
    default_slots: int | None


class DetectorFacts(Protocol):
    """Something that looks at text."""

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ``OverspillError`` if it could not work with ``options``."""
        ...


class Facts(Protocol):
    """All that is known of providers, models and adapters.

    An adapter may be another package's, and is loaded when it is asked for: ``OverspillError`` says that there is none
    of this name, or why it cannot be loaded.
    """

    @property
    def providers(self) -> Sequence[ProviderFacts]: ...  # noqa: D102
    @property
    def models(self) -> Sequence[ModelFacts]: ...  # noqa: D102
    def provider(self, name: str) -> ProviderFacts | None: ...  # noqa: D102
    def model(self, name: str) -> ModelFacts | None: ...  # noqa: D102
    def identify(self, provider: str | None, name: str) -> IdentityFacts: ...  # noqa: D102
    def tariff(self, provider: str, offer: str) -> Tariff | None: ...  # noqa: D102
    def engine(self, kind: str) -> EngineFacts: ...  # noqa: D102
    def attached(self, kind: str) -> AttachedFacts: ...  # noqa: D102
    def upstream(self, kind: str) -> UpstreamFacts: ...  # noqa: D102
    def detector(self, kind: str) -> DetectorFacts: ...  # noqa: D102
    def upstream_names(self) -> Sequence[str]: ...  # noqa: D102
