"""The values that a client's request is read into; ``chat`` reads them."""

from __future__ import annotations

from typing import Literal

import msgspec

SurfaceName = Literal["chat", "completions", "embeddings", "messages", "responses", "compaction"]
"""What a client speaks: the names of ``core.Surface``, which this layer may not import, and those that become chat."""


class Request(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A checked request."""

    fields: dict[str, msgspec.Raw]
    """Every top-level field in the client's order, its value verbatim."""
    model: str
    prompt_tokens: int
    """Estimated; tools are part of the prompt."""
    text_prefix_crc: int
    """CRC-32 of the first KiB of the raw messages, prompt or input: requests that share it may share a KV cache."""
    stream: bool = False
    max_tokens: int | None = None
    """The client's limit per choice; ``max_completion_tokens`` wins over ``max_tokens``."""
    n: int = 1
    include_usage: bool = False
    has_tools: bool = False
    needs: int = 0
    """What not every target does: bits of ``features``."""
    surface: SurfaceName = "chat"
    """What the client speaks; ``fields`` are chat's for ``messages`` and ``responses`` too."""
    native: dict[str, msgspec.Raw] | None = None
    """The client's own fields where ``fields`` are a translation, for targets that speak its surface themselves."""
    dropped: tuple[str, ...] = ()
    """Names of the client's fields that have no place in ``fields``."""
    native_only: tuple[str, ...] = ()
    """What it asks for that has no place there and cannot be left out, in words: only ``native`` says it."""


class Message(msgspec.Struct, gc=False):
    """One turn of a conversation, as far as it is checked."""

    role: str


class Chat(msgspec.Struct, gc=False):
    """What every chat request has, as the usual one has it."""

    model: str
    messages: list[Message]
    stream: bool = False
