"""The list of models for clients of Anthropic's API."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from overspill.gateway.http.exchange import Exchange
from overspill.wire.messages.models import models_body


def list_models(exchange: Exchange, model_ids: Sequence[str]) -> None:
    """Answer ``GET /v1/models``; raise ``WireError`` for a page that there is not."""
    query = parse_qs(exchange.request.query.decode("latin-1"))
    limit, after, before = (query.get(name, [None])[-1] for name in ("limit", "after_id", "before_id"))
    body = models_body(model_ids, limit=limit, after=after, before=before)
    exchange.reply(200, ((b"content-type", b"application/json"),), body)
