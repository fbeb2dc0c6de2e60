"""Reads an error body, whatever shape the host gave it. Used by ``classify`` and by every adapter.

Shapes seen in the wild (provider documentation and public issue trackers, 2025-2026):

``{"error": {"message", "type", "code"}}`` (OpenAI, DeepSeek, Ark, Qianfan; OpenRouter with a number as ``code``) ·
``{"error": "text"}`` (Ollama) · ``{"code", "message", "data"}`` (SiliconFlow) · ``{"error_code", "error_msg"}``
(Huawei) · ``{"object": "error", "message", "type", "code"}`` (vLLM, Huawei) · ``{"detail": ...}`` (FastAPI servers) ·
``[{"error": {...}}]`` (Google) · a JSON string, plain text, or HTML from a proxy in between.
"""

from __future__ import annotations

from typing import Any

import msgspec

_MAX_BODY_BYTES = 256 * 1024
_MAX_MESSAGE_CHARS = 500


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What an error body says. Empty strings are "not said"."""

    codes: tuple[str, ...] = ()
    """The values of ``code``, ``type``, ``error_code`` and the like, lower case, most specific first."""
    message: str = ""
    is_html: bool = False
    is_blank: bool = False
    is_error: bool = False
    """True if the JSON has the form of an error; a good answer read by mistake has not."""

    @property
    def status(self) -> int | None:
        """The HTTP status that the body itself names, as OpenRouter does under a status of 200."""
        for code in self.codes:
            if len(code) == 3 and code.isdigit() and code[0] in "45":
                return int(code)
        return None


def read_error(body: bytes, code: str = "") -> ErrorBody:
    """Read ``body``; never raises. Long bodies and messages are cut. ``code`` is one that stood elsewhere."""
    error = _read(body)
    return msgspec.structs.replace(error, codes=(code, *error.codes)) if code else error


def _read(body: bytes) -> ErrorBody:
    text = body[:_MAX_BODY_BYTES].decode("utf-8", "replace").strip()
    if not text:
        return ErrorBody(is_blank=True)
    if text[0] == "<":
        return ErrorBody(message=_html_title(text), is_html=True)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return ErrorBody(message=text[:_MAX_MESSAGE_CHARS])
    return _from_json(value)


def _from_json(value: Any) -> ErrorBody:
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return ErrorBody(message=value[:_MAX_MESSAGE_CHARS])
    if not isinstance(value, dict):
        return ErrorBody()
    inner = value.get("error")
    while isinstance(inner, dict) and isinstance(inner.get("error"), dict):
        inner = inner["error"]
    if isinstance(inner, dict):
        return _from_fields(inner, is_error=True)
    if isinstance(inner, str):
        return _from_fields(value | {"message": inner}, is_error=True)
    is_error = not value.get("choices") and any(
        key in value for key in ("error_code", "error_msg", "message", "detail", "code")
    )
    return _from_fields(value, is_error=is_error)


def _from_fields(fields: dict[str, Any], *, is_error: bool) -> ErrorBody:
    names = ("code", "error_code", "type", "error_type", "status")
    codes = [str(fields[name]).lower() for name in names if isinstance(fields.get(name), str | int) and fields[name]]
    message = next((fields[name] for name in ("message", "error_msg", "detail") if fields.get(name)), "")
    if not isinstance(message, str):
        message = msgspec.json.encode(message).decode()
    return ErrorBody(codes=tuple(codes), message=message[:_MAX_MESSAGE_CHARS], is_error=is_error)


def _html_title(text: str) -> str:
    lowered = text.lower()
    start, end = lowered.find("<title>"), lowered.find("</title>")
    return text[start + 7 : end].strip()[:_MAX_MESSAGE_CHARS] if 0 <= start < end else "an HTML page"
