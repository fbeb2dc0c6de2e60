"""GPUStack, attached: one address in front of the engines of a cluster (read in 2.3.0).

Its list of models asks for a key, so it is not looked for on this machine: without one nothing could be asked of it. It
spreads requests over its own replicas and does not tell how many there are room for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from overspill.core.types import Surface
from overspill.pools.engines.openai_server import AttachedServer, positive


class GpuStack(AttachedServer):
    """A GPUStack server; it listens on port 80, or 30080 without its gateway."""

    kind = "gpustack"
    owner: ClassVar[str] = "gpustack"
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)
    models_path: bytes = b"/v1/models?with_meta=true"

    def context_of(self, entry: Mapping[str, Any]) -> int | None:
        """Read one model's context window, which only some of its engines tell."""
        meta = entry.get("meta")
        return (
            None if not isinstance(meta, dict) else positive(meta.get("n_ctx")) or positive(meta.get("max_model_len"))
        )
