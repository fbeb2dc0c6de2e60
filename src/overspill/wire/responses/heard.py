"""A chat's chunk or whole answer, as far as a response is made of it.

It is read as leniently as ``wire.chunks`` reads it for decisions, and no field more strictly: what passed there is a
part of somebody's answer already, and must not fail here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk, Text

_NULL = msgspec.Raw(b"null")


class Choice(msgspec.Struct, gc=False):
    """One choice of a chunk or of a whole answer."""

    delta: Text | None = None
    message: Text | None = None
    text: Any = None
    finish_reason: str | None = None
    usage: Any = None  # Moonshot's place for it
    logprobs: msgspec.Raw = _NULL

    @property
    def said(self) -> Text:
        """What it says, wherever that stands."""
        return self.delta or self.message or Text(content=self.text)


class Heard(msgspec.Struct, gc=False):
    """A chunk or a whole answer."""

    choices: list[Choice] | None = None
    usage: Any = None
    model: msgspec.Raw = _NULL

    @property
    def named_model(self) -> str | None:
        """The model that says it answers."""
        name = lenient(self.model)
        return name if isinstance(name, str) and name else None


_decode = msgspec.json.Decoder(Heard).decode


def hear(data: bytes) -> Heard:
    """Read it; raise ``MalformedChunk`` if it is none."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedChunk(f"{len(data)} bytes that are no answer: {error}") from None


def lenient(raw: msgspec.Raw) -> Any:
    """Read a value that decides nothing; ``None`` if it cannot be read, such as a number that is too large."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def logprobs_of(raw: msgspec.Raw) -> list[dict[str, Any]]:
    """Read a choice's log-probabilities and show them as Responses do."""
    logprobs = lenient(raw)
    return _tokens(logprobs.get("content"), is_chosen=True) if isinstance(logprobs, dict) else []


def _tokens(tokens: Any, *, is_chosen: bool) -> list[dict[str, Any]]:
    """Show tokens with all fields that OpenAI's types want; what is none is left out."""
    shown = []
    for fields in tokens if isinstance(tokens, list) else ():
        token, logprob = (fields.get("token"), fields.get("logprob")) if isinstance(fields, dict) else (None, None)
        if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
            continue
        made: dict[str, Any] = {"token": token, "logprob": logprob, "bytes": list(token.encode())}
        if is_chosen:
            made["top_logprobs"] = _tokens(fields.get("top_logprobs"), is_chosen=False)
        shown.append(made)
    return shown
