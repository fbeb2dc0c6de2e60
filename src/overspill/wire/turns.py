"""What every chat request has, as the usual one has it: the values that ``chat`` checks it with."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, gc=False):
    """One turn of a conversation, as far as it is checked."""

    role: str


class Chat(msgspec.Struct, gc=False):
    """A whole request."""

    model: str
    messages: list[Message]
    stream: bool = False
