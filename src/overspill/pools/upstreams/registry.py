"""The upstream adapters by their names, our own and those of other packages; ``plugins`` finds them."""

from __future__ import annotations

from typing import cast

from overspill import plugins
from overspill.pools.upstreams.protocol import Upstream

GROUP = "overspill.upstreams"
_OWN = {
    "anthropic": "overspill.pools.upstreams.anthropic:Anthropic",
    "bailian": "overspill.pools.upstreams.bailian:Bailian",
    "deepseek": "overspill.pools.upstreams.deepseek:DeepSeek",
    "openai": "overspill.pools.upstreams.openai:OpenAI",
    "openai_compatible": "overspill.pools.upstreams.openai_compat:OpenAICompatible",
}


def names() -> tuple[str, ...]:
    """List every adapter's name, our own and installed ones."""
    return plugins.names(_OWN, GROUP)


def create(kind: str) -> Upstream:
    """Return the upstream called ``kind``; raise ``OverspillError`` if there is none that works."""
    return cast("Upstream", plugins.create("upstream", kind, _OWN, GROUP, Upstream))
