"""Which paths there are and what each takes; the OpenAPI document and the reference of the HTTP API follow it."""

from __future__ import annotations

from overspill.core.types import Surface
from overspill.gateway.kept_responses import methods_of_kept
from overspill.wire.request import SurfaceName

SURFACES: dict[str, tuple[Surface, SurfaceName]] = {
    "/v1/chat/completions": (Surface.CHAT, "chat"),
    "/chat/completions": (Surface.CHAT, "chat"),
    "/v1/completions": (Surface.COMPLETIONS, "completions"),
    "/completions": (Surface.COMPLETIONS, "completions"),
    "/v1/embeddings": (Surface.EMBEDDINGS, "embeddings"),
    "/embeddings": (Surface.EMBEDDINGS, "embeddings"),
    "/v1/messages": (Surface.CHAT, "messages"),
    "/anthropic/v1/messages": (Surface.CHAT, "messages"),
    "/v1/responses": (Surface.CHAT, "responses"),
    "/responses": (Surface.CHAT, "responses"),
    "/v1/responses/compact": (Surface.CHAT, "compaction"),
    "/responses/compact": (Surface.CHAT, "compaction"),
}
"""Clients of DeepSeek's own API leave the version out of their base URL; its Messages API stands below /anthropic."""
COUNTS = ("/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens")
INPUT_COUNTS = ("/v1/responses/input_tokens", "/responses/input_tokens")
LISTS = ("/v1/chat/completions", "/chat/completions")
"""What may also be asked with GET: the list of what is kept, which is empty."""
MODELS = ("/v1/models", "/models", "/anthropic/v1/models")
PAGES = ("/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/debug/route", *MODELS)
OPEN_PAGES = frozenset(("/healthz", "/readyz", "/metrics", "/openapi.json"))
"""Without a key: probes, scrapers, and a document that says nothing of this gateway but its version."""
PATHS = (*SURFACES, *COUNTS, *INPUT_COUNTS, *PAGES)
POST, GET, ANY = ("POST", "OPTIONS"), ("GET", "HEAD", "OPTIONS"), ("GET", "HEAD", "POST", "OPTIONS")
_BELOW_MODELS = tuple(f"{path}/" for path in MODELS)


def methods_of(path: str) -> tuple[str, ...] | None:
    """Return what a path takes; ``None`` if there is nothing there."""
    if path in LISTS:
        return ANY
    if path in SURFACES or path in COUNTS or path in INPUT_COUNTS:
        return POST
    if path in PAGES or is_model(path):
        return GET
    return methods_of_kept(path)


def is_model(path: str) -> bool:
    """Say whether a path is that of one model, whose name may have slashes."""
    return path.startswith(_BELOW_MODELS) and path not in _BELOW_MODELS


def model_of(path: str) -> str:
    """Return the model's name in such a path."""
    return path.split("/models/", 1)[1]
