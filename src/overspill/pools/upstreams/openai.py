"""OpenAI's own API: chat, and Responses in its own form.

A client of Responses is passed on natively, because a chat would lose what only OpenAI runs or reads: hosted tools, its
models' packed thoughts, the phases of messages. What chat calls ``max_tokens`` is refused by its reasoning models and
deprecated for the others; all of them take ``max_completion_tokens``. Source: the types of openai-python 3.57.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.core.types import Surface
from overspill.pools.upstreams.openai_compat import OpenAICompatible, post
from overspill.pools.upstreams.protocol import Account, Failure
from overspill.wire.form import ChatForm, History, ReasoningForm
from overspill.wire.http import Headers, HttpCall

_NATIVE_PATHS = {"responses": b"/responses"}
_SUCCESS = 300


class _Event(msgspec.Struct):
    """What a failed response says of its error, in a stream or as a whole."""

    response: _Event | None = None
    error: dict[str, Any] | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class OpenAI(OpenAICompatible):
    """``api.openai.com``."""

    kind = "openai"
    unsupported: Mapping[str, str] = {
        "video": "OpenAI's chat takes no films",
        "grammar": "OpenAI's chat binds an answer to JSON or to a schema of it, and to nothing else",
    }
    # Its chat tells no thoughts, and takes no field in a message that it does not know.
    form: ChatForm = ChatForm(reasoning=ReasoningForm.REASONING_CONTENT, history=History.STRIP)
    native: tuple[str, ...] = ("responses",)

    def call(self, surface: Surface, body: bytes, account: Account) -> HttpCall:
        """Build the call; the limit of a chat goes by the name that all models take."""
        if surface is Surface.CHAT and b'"max_tokens"' in body:
            body = _with_limit_renamed(body)
        return super().call(surface, body, account)

    def call_native(self, surface: str, body: bytes, account: Account) -> HttpCall:
        """Build ``POST <prefix>/responses``."""
        return post(account, account.origin.prefix + _NATIVE_PATHS[surface], body)

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error means; that of a failed response stands inside of it."""
        if status < _SUCCESS:
            body = _error_of_response(body)
        return super().classify(status, headers, body)


def _with_limit_renamed(body: bytes) -> bytes:
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    limit = fields.pop("max_tokens", None)
    if limit is None:
        return body
    fields.setdefault("max_completion_tokens", limit)
    return msgspec.json.encode(fields)


def _error_of_response(body: bytes) -> bytes:
    try:
        event = _decode_event(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if event.response is None or not event.response.error:
        return body
    return msgspec.json.encode({"error": event.response.error})
