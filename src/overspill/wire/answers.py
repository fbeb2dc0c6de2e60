"""The values that a target's answer is read into; ``chunks`` reads them."""

from __future__ import annotations

from typing import Any

import msgspec


class MalformedChunk(ValueError):  # noqa: N818 - reads as the state it reports
    """An event or a body that is no answer: not JSON, or not of the shape of one."""


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Token counts of one answer; what the target did not report is ``None``, never 0."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


class ErrorBody(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An error that came as an answer. A numeric ``code`` is given as text."""

    message: str
    kind: str | None = None
    code: str | None = None
    param: str | None = None


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """One event of a streamed answer."""

    has_token: bool = False
    """True if any choice brings content, reasoning, a refusal or a part of a tool call; a role alone is nothing."""
    finish_reason: str | None = None
    """The first that any choice names."""
    usage: Usage | None = None
    error: ErrorBody | None = None
    has_choices: bool = False


class Whole(msgspec.Struct, frozen=True, gc=False):
    """One answer that came in one piece."""

    has_choices: bool = False
    """True if there is a choice, or an embedding."""
    has_content: bool = False
    """False for the hollow success: 200, choices, and nothing in them."""
    finish_reason: str | None = None
    usage: Usage | None = None
    error: ErrorBody | None = None
    model: str | None = None
    """What it says that it came from."""
    has_thought: bool = False
    """True if there is a thought in another form than the normal one, as far as a field or a tag tells."""


class Text(msgspec.Struct, gc=False):
    """A delta or a message. ``Any``: content may be a list of parts, and a server's slip must not cut a stream."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None


class ChunkChoice(msgspec.Struct, gc=False):
    """One choice of an event."""

    delta: Text | None = None
    text: Any = None
    finish_reason: str | None = None
    usage: Any = None  # Moonshot's place for it


class ChunkHead(msgspec.Struct, gc=False):
    """One event, as far as it is read."""

    choices: list[ChunkChoice] | None = None
    usage: Any = None
    error: Any = None


class WholeChoice(msgspec.Struct, gc=False):
    """One choice of a whole answer."""

    message: Text | None = None
    text: Any = None
    finish_reason: str | None = None


class WholeHead(msgspec.Struct, gc=False):
    """A whole answer, as far as it is read."""

    choices: list[WholeChoice] | None = None
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None
    model: Any = None
