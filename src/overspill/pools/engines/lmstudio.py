"""LM Studio, attached. It publishes no metrics; its own REST API says which models can chat and how long they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overspill.core.types import Surface
from overspill.pools.engines.openai_server import AttachedServer, list_entries, positive
from overspill.pools.engines.protocol import Probe, ServedModel
from overspill.wire.form import ChatForm, ThinkingForm


class LMStudio(AttachedServer):
    """An LM Studio server."""

    kind = "lmstudio"
    probe: Probe | None = Probe(port=1234, path=b"/api/v0/models")
    models_path = b"/api/v0/models"
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)
    default_slots: int | None = 4
    form: ChatForm = ChatForm(thinking=ThinkingForm.REASONING_EFFORT, needs_json_schema=True, system_first=True)

    def recognises(self, status: int, body: bytes) -> bool:
        """Say whether this is a list of models that have a ``type``, at a path that no other server has."""
        try:
            return status == 200 and all("type" in entry for entry in list_entries(body))
        except ValueError:
            return False

    def parse_models(self, body: bytes) -> tuple[ServedModel, ...]:
        """Read what can generate text; embedding models are in the same list."""
        return tuple(
            ServedModel(model_id=entry["id"], context_tokens=self.context_of(entry))
            for entry in list_entries(body)
            if entry.get("type") != "embeddings"
        )

    def context_of(self, entry: Mapping[str, Any]) -> int | None:
        """Read the window it is loaded with; of a model that is not loaded only the upper limit is known."""
        return positive(entry.get("loaded_context_length"))
