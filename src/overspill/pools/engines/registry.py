"""The engine adapters by their names, our own and those of other packages; ``plugins`` finds them.

An engine can be had twice under one name: started by Overspill (managed), or found running (attached).
"""

from __future__ import annotations

from typing import cast

from overspill import plugins
from overspill.pools.engines.protocol import AttachedEngine, ManagedEngine

MANAGED_GROUP = "overspill.engines"
ATTACHED_GROUP = "overspill.attached_engines"
_MANAGED = {
    "fake": "overspill.pools.engines.fake:FakeEngine",
    "llamacpp": "overspill.pools.engines.llamacpp:EmbeddedLlamaCpp",
}
_ATTACHED = {
    "gpustack": "overspill.pools.engines.gpustack:GpuStack",
    "llamacpp": "overspill.pools.engines.llamacpp:LlamaServer",
    "lmstudio": "overspill.pools.engines.lmstudio:LMStudio",
    "ollama": "overspill.pools.engines.ollama:Ollama",
    "openai": "overspill.pools.engines.openai_server:AttachedServer",
    "sglang": "overspill.pools.engines.sglang:SGLang",
    "vllm": "overspill.pools.engines.vllm:Vllm",
    "xinference": "overspill.pools.engines.xinference:Xinference",
}


def managed_names() -> tuple[str, ...]:
    """List the engines that Overspill can start, our own and installed ones."""
    return plugins.names(_MANAGED, MANAGED_GROUP)


def attached_names() -> tuple[str, ...]:
    """List the kinds of running servers that Overspill can use."""
    return plugins.names(_ATTACHED, ATTACHED_GROUP)


def create_managed(kind: str) -> ManagedEngine:
    """Return the adapter of an engine to start; raise ``OverspillError`` if there is none that works."""
    return cast("ManagedEngine", plugins.create("engine", kind, _MANAGED, MANAGED_GROUP, ManagedEngine))


def create_attached(kind: str) -> AttachedEngine:
    """Return the adapter of a running server; raise ``OverspillError`` if there is none that works."""
    return cast(
        "AttachedEngine", plugins.create("kind of server to attach", kind, _ATTACHED, ATTACHED_GROUP, AttachedEngine)
    )


def discoverable() -> tuple[AttachedEngine, ...]:
    """Return one adapter for each kind of server that is looked for on this machine; only our own kinds are."""
    adapters = (cast("AttachedEngine", plugins.make(path)) for path in _ATTACHED.values())
    return tuple(adapter for adapter in adapters if adapter.probe is not None)
