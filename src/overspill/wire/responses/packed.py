"""What a client carries for us from one request to the next: a thought, or the summary of a conversation.

Clients that keep nothing on a server ask for ``reasoning.encrypted_content`` and send it back with the conversation.
Here it is the text itself, packed and not encrypted: of a thought the client has it in plain as well, and a gateway
that keeps no conversation must get it back from whichever client and whichever process.
"""

from __future__ import annotations

import binascii
import enum
from base64 import b64decode, b64encode


class Packed(enum.StrEnum):
    """What a text is; the value marks it as packed here."""

    THOUGHT = "overspill-thought-1:"
    SUMMARY = "overspill-summary-1:"


def pack(kind: Packed, text: str) -> str:
    """Return the text as ``encrypted_content``."""
    return kind.value + b64encode(text.encode()).decode()


def unpack(kind: Packed, packed: str) -> str | None:
    """Return the text that ``pack`` packed; ``None`` if it is of another kind, another's to unpack, or damaged."""
    if not packed.startswith(kind.value):
        return None
    try:
        return b64decode(packed[len(kind.value) :], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
