"""What operations share: keys, headers, and how errors are described."""

from __future__ import annotations

from typing import Any

from overspill.gateway.wishes import PRIORITIES, CacheWish
from overspill.wire.form import SHOWN

Json = dict[str, Any]

SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of the gateway."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same, as Anthropic has it."},
}
_DURATION = r"^(?=.*[1-9])[0-9]{1,15}(\.[0-9]{1,15})?(us|ms|s|m|h|d)?$"
NO_CONTROL = "^[^\\x00-\\x1f\\x7f]+$"
"""Of a part of a path: what the HTTP edge lets through."""


def _header(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


PARAMETERS: Json = {
    "local-only": _header(
        "x-overspill-local-only",
        "The request must not leave local targets; it is refused rather than sent.",
        {"type": "string", "enum": ["true", "false", "1", "0", "yes", "no", "on", "off"]},
    ),
    "priority": _header(
        "x-overspill-priority",
        f"Which waits first: {', '.join(PRIORITIES)}, or a number; 0 goes first.",
        {"type": "string", "pattern": f"^({'|'.join(PRIORITIES)}|[0-9]{{1,3}})$"},
    ),
    "ttft-slo": _header(
        "x-overspill-ttft-slo",
        "Its own time to the first token, such as 500ms.",
        {"type": "string", "pattern": _DURATION},
    ),
    "deadline": _header(
        "x-overspill-deadline",
        "Its own longest wait in the queue, such as 10s; never longer than the route's.",
        {"type": "string", "pattern": _DURATION},
    ),
    "cache": _header(
        "x-overspill-cache",
        "What it wants of the cache.",
        {"type": "string", "enum": [wish.value for wish in CacheWish]},
    ),
    "reasoning": _header(
        "x-overspill-reasoning", "In which form to show thinking.", {"type": "string", "enum": list(SHOWN)}
    ),
    "request-id": _header("x-request-id", "What the client calls the request; it comes back in the answer.", {}),
}
WISHES = [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS]


def ref(name: str) -> Json:
    """Refer to a schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_content(schema: Json) -> Json:
    """Describe a body of JSON."""
    return {"application/json": {"schema": schema}}


def response(description: str, content: Json | None = None, headers: Json | None = None) -> Json:
    """Describe one answer."""
    found: Json = {"description": description}
    if content is not None:
        found["content"] = content
    if headers is not None:
        found["headers"] = headers
    return found


_TEXT = {"schema": {"type": "string"}}
_COUNT = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
ID_HEADERS: Json = {
    "x-request-id": {"description": "The request's id; the client's own if it sent one.", **_TEXT},
}
ANSWER_HEADERS: Json = {
    **ID_HEADERS,
    "x-overspill-reason": {"description": "`home`, or why it spilled.", **_TEXT},
    "x-overspill-target": {"description": "The target that gave the answer.", **_TEXT},
    "x-overspill-attempts": {"description": "How many attempts were started.", **_COUNT},
}
_ALLOW: Json = {"allow": {"description": "The methods that the path takes.", "required": True, **_TEXT}}
_RETRY: Json = {"retry-after": {"description": "In how many seconds to ask again.", **_COUNT}}
_CHALLENGE: Json = {"www-authenticate": {"description": "How to send a key.", "required": True, **_TEXT}}
_ERRORS: dict[int, tuple[str, Json | None]] = {
    400: ("The request cannot be served as it was sent.", None),
    401: ("No key, or one that is unknown, revoked or expired.", _CHALLENGE),
    403: ("The key may not ask for the model, or a web page may not ask at all.", None),
    404: ("No route takes the model name, or there is nothing at the path.", None),
    405: ("The path takes another method.", _ALLOW),
    408: ("It arrived too slowly.", None),
    413: ("The body is too large, as it is or once decompressed.", None),
    414: ("Path and query are too long.", None),
    415: ("A content-encoding that cannot be undone.", None),
    417: ("An expectation other than 100-continue.", None),
    429: ("A limit of the key, its team or the model is reached.", _RETRY),
    431: ("The head is too large.", None),
    500: ("The gateway failed on this request; its log says why.", None),
    501: ("A method that no HTTP API uses.", None),
    502: ("Every attempt failed before a token had reached the client.", _RETRY),
    503: ("Every target is busy or down, and stayed so until the deadline.", _RETRY),
    505: ("HTTP/1.0 and HTTP/1.1 are served.", None),
}
_OF_PAGES = (400, 401, 403, 404, 405, 408, 414, 417, 431, 500, 501, 505)
_OF_BODIES = (413, 415)
_OF_ANSWERS = (429, 502, 503)


def errors(schema: str, *, has_body: bool = False, is_answer: bool = False) -> Json:
    """Describe the errors of an operation, whose bodies have the form of ``schema``."""
    statuses = sorted((*_OF_PAGES, *(_OF_BODIES if has_body else ()), *(_OF_ANSWERS if is_answer else ())))
    return {str(status): {"$ref": f"#/components/responses/{schema}{status}"} for status in statuses}


ERRORS: Json = {
    f"{schema}{status}": response(description, json_content(ref(schema)), headers)
    for schema in ("Error", "AnthropicError", "AnyError")
    for status, (description, headers) in _ERRORS.items()
}
