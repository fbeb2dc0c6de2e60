"""Ollama, attached. It publishes no metrics, so only our own count of requests in flight says how full it is."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from overspill.core.types import Surface
from overspill.pools.engines.openai_server import AttachedServer
from overspill.pools.engines.protocol import Probe
from overspill.wire.form import ChatForm, ReasoningForm, ThinkingForm


class _Version(msgspec.Struct):
    version: str


class Ollama(AttachedServer):
    """An Ollama server."""

    kind = "ollama"
    owner: ClassVar[str] = "library"
    probe: Probe | None = Probe(port=11434, path=b"/api/version")
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)
    default_slots: int | None = 1  # OLLAMA_NUM_PARALLEL's default; beyond it Ollama queues, up to 512, then says 503
    # openai/openai.go: delta.reasoning and message.reasoning, both ways; reasoning_effort, with "none".
    form: ChatForm = ChatForm(
        system_first=True,
        reasoning=ReasoningForm.REASONING,
        thinking=ThinkingForm.REASONING_EFFORT,
        reasoning_field="reasoning",
    )

    def recognises(self, status: int, body: bytes) -> bool:
        """Say whether this is ``{"version": …}``; no other server has that path."""
        try:
            return status == 200 and bool(msgspec.json.decode(body, type=_Version).version)
        except msgspec.DecodeError:
            return False
