"""The paths of the OpenAPI document. Those that a surface has twice are described twice, under the same operation."""

from __future__ import annotations

from typing import Any

from overspill.core.types import Surface
from overspill.gateway.openapi.parts import (
    ANSWER_HEADERS,
    NO_CONTROL,
    WISHES,
    Json,
    errors,
    json_content,
    ref,
    response,
)
from overspill.gateway.routes import COUNTS, INPUT_COUNTS, LISTS, MODELS, OPEN_PAGES, SURFACES
from overspill.wire.request import SurfaceName

_STREAM: Json = {"text/event-stream": {"schema": ref("Event")}}
_ABOUT: dict[SurfaceName, tuple[str, str, str, bool]] = {
    "chat": ("Chat Completions", "ChatRequest", "ChatCompletion", True),
    "completions": ("Completions", "CompletionRequest", "Completion", True),
    "embeddings": ("Embeddings", "EmbeddingsRequest", "Embeddings", False),
    "messages": ("Anthropic's Messages", "MessagesRequest", "Message", True),
    "responses": ("OpenAI's Responses", "ResponsesRequest", "Response", True),
    "compaction": ("Shorten a conversation of Responses", "CompactRequest", "CompactedResponse", False),
}
"""Surface → title, request, answer, whether it can be streamed."""


def _operation(title: str, name: str, tag: str, responses: Json, **more: Any) -> Json:
    return {"summary": title, "operationId": name, "tags": [tag], **more, "responses": responses}


def _name(prefix: str, path: str) -> str:
    """Return an operation's id, which must be its own: ``chat_v1_chat_completions``."""
    return prefix + path.replace("{model}", "model").replace("{response_id}", "id").replace("/", "_").replace(".", "_")


def _surface(path: str, surface: SurfaceName) -> Json:
    title, request, answer, can_stream = _ABOUT[surface]
    content = json_content(ref(answer)) | (_STREAM if can_stream else {})
    streamed = " As events if `stream` is true." if can_stream else ""
    error = "AnthropicError" if surface == "messages" else "Error"
    responses = {
        "200": response(f"The answer.{streamed}", content, ANSWER_HEADERS),
        **errors(error, has_body=True, is_answer=True),
    }
    body = {"required": True, "content": json_content(ref(request))}
    return {"post": _operation(title, _name(surface, path), surface, responses, parameters=WISHES, requestBody=body)}


def _count(path: str) -> Json:
    responses = {
        "200": response("An estimate.", json_content(ref("TokenCount"))),
        **errors("AnthropicError", has_body=True),
    }
    body = {"required": True, "content": json_content(ref("CountRequest"))}
    title = "Count the tokens of a Messages request"
    return {"post": _operation(title, _name("count", path), "messages", responses, requestBody=body)}


def _count_input(path: str) -> Json:
    responses = {"200": response("An estimate.", json_content(ref("InputTokens"))), **errors("Error", has_body=True)}
    body = {"required": True, "content": json_content(ref("InputCountRequest"))}
    title = "Count the tokens of an input of Responses"
    return {"post": _operation(title, _name("count", path), "responses", responses, requestBody=body)}


def _get(title: str, name: str, responses: Json, *, is_open: bool = False, **more: Any) -> Json:
    if is_open:
        more["security"] = []
    head = {"200": response("As with GET, without the body."), "default": response("As with GET, without the body.")}
    return {
        "get": _operation(title, name, "pages", responses, **more),
        "head": _operation(f"{title}: the head alone", f"{name}_head", "pages", head, **more),
    }


def _page(path: str, title: str, schema: str, *, other: Json | None = None, **more: Any) -> Json:
    responses = {"200": response(title, json_content(ref(schema))), **(other or {}), **errors("AnyError")}
    return _get(title, _name("page", path), responses, is_open=path in OPEN_PAGES, **more)


def _parameter(name: str, where: str, description: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": where, "required": required, "description": description, "schema": schema}


_WHOLE = {"type": "string", "pattern": "^[0-9]{1,9}$"}
_ROUTE_QUERY = [
    _parameter("model", "query", "The model to be asked for.", {"type": "string", "minLength": 1}, required=True),
    _parameter(
        "surface", "query", "What is asked.", {"type": "string", "enum": [surface.value for surface in Surface]}
    ),
    _parameter("prompt_tokens", "query", "100 if left out.", _WHOLE),
    _parameter("max_tokens", "query", "No limit if left out.", _WHOLE),
    _parameter("priority", "query", "1 if left out.", _WHOLE),
    _parameter("local_only", "query", "Whether it may leave.", {"type": "string", "enum": ["true", "false", "1", "0"]}),
    _parameter("key", "query", "A key's name, to see what limits hold it.", {"type": "string"}),
]
_VERSION = _parameter("anthropic-version", "header", "Who sends it gets the answer in Anthropic's form.", {})
_MODEL = _parameter(
    "model", "path", "The model's name; it may have slashes.", {"type": "string", "pattern": NO_CONTROL}, required=True
)
_RESPONSE_ID = _parameter(
    "response_id", "path", "Of an answer.", {"type": "string", "pattern": NO_CONTROL}, required=True
)


def _listed(path: str) -> Json:
    """Describe the list of what is kept of a surface: nothing is."""
    return _page(path, "The completions that are kept: none", "NoCompletions") if path in LISTS else {}


def _metrics() -> Json:
    content = {
        "text/plain": {"schema": {"type": "string"}},
        "application/openmetrics-text": {"schema": {"type": "string"}},
    }
    responses = {"200": response("The metrics, for Prometheus.", content), **errors("AnyError")}
    return _get("Metrics", "page_metrics", responses, is_open=True)


def _kept(path: str) -> Json:
    """Describe what is about an answer that a server keeps: this one keeps none, so it is always 404."""
    refused = errors("AnyError")
    if path.endswith("/cancel"):
        return {
            "post": _operation("Never kept", _name("cancel", path), "responses", refused, parameters=[_RESPONSE_ID])
        }
    found = _get("Never kept", _name("kept", path), refused, parameters=[_RESPONSE_ID])
    if path.endswith("{response_id}"):
        found["delete"] = _operation(
            "Never kept", _name("delete", path), "responses", refused, parameters=[_RESPONSE_ID]
        )
    return found


PATHS: Json = {
    **{path: _surface(path, surface) | _listed(path) for path, (_, surface) in SURFACES.items()},
    **{path: _count(path) for path in COUNTS},
    **{path: _count_input(path) for path in INPUT_COUNTS},
    **{path: _page(path, "The models that can be asked for", "ModelList", parameters=[_VERSION]) for path in MODELS},
    **{
        f"{path}/{{model}}": _page(f"{path}/{{model}}", "One model", "AnyModel", parameters=[_MODEL, _VERSION])
        for path in MODELS
    },
    **{
        f"{prefix}/responses/{{response_id}}{end}": _kept(f"{prefix}/responses/{{response_id}}{end}")
        for prefix in ("/v1", "")
        for end in ("", "/input_items", "/cancel")
    },
    "/": _page("/", "The version and the paths", "Index"),
    "/healthz": _page("/healthz", "Whether the process answers", "Health"),
    "/readyz": _page(
        "/readyz",
        "Whether a target takes requests",
        "Readiness",
        other={"503": response("No target takes requests.", json_content(ref("Readiness")))},
    ),
    "/metrics": _metrics(),
    "/openapi.json": _page("/openapi.json", "This document", "Document"),
    "/debug/route": _page(
        "/debug/route", "Why a request would go where it would go", "Explanation", parameters=_ROUTE_QUERY
    ),
}
