"""Bodies that the gateway writes itself: errors, model lists and heartbeats, in OpenAI's form.

Which reason becomes which status and code is the gateway's to say; here is only how it looks on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

SSE_HEARTBEAT = b": keep-alive\n\n"
"""A comment: keeps proxies and clients from giving up, and every SSE client skips it."""
JSON_HEARTBEAT = b"\n"
"""White space before a JSON body, for the same end."""


class ModelCard(NamedTuple):
    """One entry of the model list."""

    model_id: str
    owned_by: str
    created: int = 0
    """Seconds since 1970; 0 is unknown."""
    extra: Mapping[str, Any] = {}
    """Further fields, beside OpenAI's own, which win."""


def error_body(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> bytes:
    """Write ``{"error": {"message", "type", "param", "code"}}``."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def stream_error_event(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> bytes:
    """Write the error as an event of a stream that has begun. No ``[DONE]`` follows: the answer is not whole."""
    return b"data: " + error_body(message, kind=kind, code=code, param=param) + b"\n\n"


def model_body(card: ModelCard) -> bytes:
    """Write the answer to ``GET /v1/models/{id}``."""
    return msgspec.json.encode(_model(card))


def models_body(cards: Iterable[ModelCard]) -> bytes:
    """Write the answer to ``GET /v1/models``, in the order given."""
    return msgspec.json.encode({"object": "list", "data": [_model(card) for card in cards]})


def _model(card: ModelCard) -> dict[str, Any]:
    return {**card.extra, "id": card.model_id, "object": "model", "created": card.created, "owned_by": card.owned_by}
