"""What a model is made of, as far as memory and time go: its layers' shapes, and how many weights of which role.

Read from a Hugging Face ``config.json`` by ``perf.model_config``. Vision and audio towers are not part of it; weights
of multi-token prediction (MTP) are counted apart, since most engines do not load them unless asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from overspill.perf.attention import Mixer


class Role(StrEnum):
    """What weights are for: formats treat the roles differently."""

    EMBEDDING = "embedding"
    HEAD = "head"
    """The output projection; 0 where it is the embedding."""
    ATTENTION = "attention"
    DENSE = "dense"
    """Feed-forward layers that every token passes."""
    SHARED = "shared"
    """Experts that every token passes."""
    EXPERTS = "experts"
    """Routed experts."""
    ROUTER = "router"
    SMALL = "small"
    """Norms, biases and other vectors."""


class DenseFeedForward(msgspec.Struct, frozen=True, kw_only=True):
    """Two matrices, or three with a gate."""

    width: int
    is_gated: bool = True
    small_params: int = 0


class ExpertFeedForward(msgspec.Struct, frozen=True, kw_only=True):
    """Routed experts of which each token passes ``top_k``, beside shared ones that all pass."""

    experts: int
    top_k: int
    width: int
    shared_width: int = 0
    """Width of the shared experts together."""
    is_gated: bool = True
    latent: int | None = None
    """The routed experts work in this width instead of the hidden size."""
    has_shared_gate: bool = False
    small_params: int = 0


FeedForward = DenseFeedForward | ExpertFeedForward


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One block: something that mixes tokens, something that works on each; hybrids have blocks of one alone."""

    mixer: Mixer | None
    feed_forward: FeedForward | None
    small_params: int = 0
    """Norms, and whatever else is neither mixer nor feed-forward."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder-only language model."""

    model_type: str
    hidden: int
    vocabulary: int
    layers: tuple[Layer, ...]
    ties_embeddings: bool
    context_tokens: int | None = None
    extra_params: int = 0
    """Position embeddings and final norm."""
    mtp_layers: tuple[Layer, ...] = ()
    mtp_extra_params: int = 0
    """Projections and norms of the MTP modules, beyond their layers."""
    leaves_out: tuple[str, ...] = ()
    """Parts of the checkpoint that are not counted, in words."""
    unread_fields: tuple[str, ...] = ()
    """Fields of its configuration that look like shapes and that nothing was made of."""

    @property
    def attention_heads(self) -> int:
        """Query heads of the first layer that has attention: what tensor parallelism divides."""
        return next((layer.mixer.heads for layer in self.layers if layer.mixer is not None), 1)

    @property
    def kv_heads(self) -> int | None:
        """Key-value heads of the first layer that has some; ``None`` with a latent cache."""
        for layer in self.layers:
            heads: int | None = getattr(layer.mixer, "kv_heads", None)
            if heads is not None:
                return heads
        return None

    @property
    def experts(self) -> ExpertFeedForward | None:
        """The first layer's routed experts, or ``None`` for a dense model."""
        found = (layer.feed_forward for layer in self.layers)
        return next((part for part in found if isinstance(part, ExpertFeedForward)), None)

    @property
    def head_columns(self) -> int:
        """Width of all query heads together; the hidden size where no attention tells another."""
        for layer in self.layers:
            dim: int | None = getattr(layer.mixer, "head_dim", None) or getattr(layer.mixer, "v_head_dim", None)
            if layer.mixer is not None and dim is not None:
                return layer.mixer.heads * dim
        return self.hidden


class ParameterCount(msgspec.Struct, frozen=True, kw_only=True):
    """Weights by role, and how many of them a token meets."""

    by_role: dict[Role, int]
    """MTP modules not included."""
    mtp: int
    active: int
    """What one token is multiplied with: all but the input embedding and the experts not chosen."""

    @property
    def total(self) -> int:
        """All weights without the MTP modules."""
        return sum(self.by_role.values())

    @property
    def total_with_mtp(self) -> int:
        """All weights of the checkpoint's language model."""
        return self.total + self.mtp


def count_parameters(model: Architecture) -> ParameterCount:
    """Count a model's weights."""
    roles = count_layers(model.layers, model.hidden)
    embedding = model.vocabulary * model.hidden
    roles[Role.EMBEDDING] = embedding
    roles[Role.HEAD] = 0 if model.ties_embeddings else embedding
    roles[Role.SMALL] += model.extra_params
    mtp = sum(count_layers(model.mtp_layers, model.hidden).values()) + model.mtp_extra_params
    chosen = sum(_expert_params(layer, model.hidden, chosen_only=True) for layer in model.layers)
    total = sum(roles.values())
    looked_up = 0 if model.ties_embeddings else embedding
    return ParameterCount(
        by_role={role: roles[role] for role in Role},
        mtp=mtp,
        active=total - looked_up - roles[Role.EXPERTS] + chosen,
    )


def count_layers(layers: Iterable[Layer], hidden: int) -> Counter[Role]:
    """Count the weights of some layers by role."""
    roles: Counter[Role] = Counter()
    for layer, times in Counter(layers).items():
        for role, count in _count_layer(layer, hidden).items():
            roles[role] += count * times
    return roles


def _count_layer(layer: Layer, hidden: int) -> dict[Role, int]:
    counts = dict.fromkeys(Role, 0)
    counts[Role.SMALL] = layer.small_params
    if layer.mixer is not None:
        counts[Role.ATTENTION] = layer.mixer.matrix_params(hidden)
        counts[Role.SMALL] += layer.mixer.small_params
    part = layer.feed_forward
    if isinstance(part, DenseFeedForward):
        counts[Role.DENSE] = (3 if part.is_gated else 2) * hidden * part.width
        counts[Role.SMALL] += part.small_params
    elif part is not None:
        counts[Role.EXPERTS] = _expert_params(layer, hidden, chosen_only=False)
        counts[Role.SHARED] = (3 if part.is_gated else 2) * hidden * part.shared_width
        counts[Role.ROUTER] = hidden * (part.experts + part.has_shared_gate)
        counts[Role.ROUTER] += 0 if part.latent is None else 2 * hidden * part.latent
        counts[Role.SMALL] += part.small_params
    return counts


def _expert_params(layer: Layer, hidden: int, *, chosen_only: bool) -> int:
    routed = layer.feed_forward
    if not isinstance(routed, ExpertFeedForward):
        return 0
    rows = hidden if routed.latent is None else routed.latent
    each = (3 if routed.is_gated else 2) * rows * routed.width
    return each * (routed.top_k if chosen_only else routed.experts)
