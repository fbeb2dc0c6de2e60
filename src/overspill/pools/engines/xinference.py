"""Xinference, attached: one address in front of models that it runs on other engines (read in 4.1.0).

It refuses (429, "Rate limit reached") what is over the limit of requests that a model was launched with, and without
one it queues. Its supervisor's metrics count requests that have ended, so only our own count says how full it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from overspill.core.types import Surface
from overspill.pools.engines.openai_server import AttachedServer, list_entries, positive
from overspill.pools.engines.protocol import Probe, ServedModel

_TEXT = {"LLM", None}
"""Values of ``model_type`` that can generate text; other models are in the same list."""


class Xinference(AttachedServer):
    """An Xinference supervisor."""

    kind = "xinference"
    owner: ClassVar[str] = "xinference"
    probe: Probe | None = Probe(port=9997, path=b"/v1/models")
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)
    default_slots: int | None = 32  # its engines differ in that; `slots` in the pool says it exactly

    def parse_models(self, body: bytes) -> tuple[ServedModel, ...]:
        """Read what can generate text; embeddings, rerankers and pictures are in the same list."""
        return tuple(
            ServedModel(model_id=entry["id"], context_tokens=self.context_of(entry))
            for entry in list_entries(body)
            if entry.get("model_type") in _TEXT
        )

    def context_of(self, entry: Mapping[str, Any]) -> int | None:
        """Read one model's context window."""
        return positive(entry.get("context_length"))
