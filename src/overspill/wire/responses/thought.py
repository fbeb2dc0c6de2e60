"""A model's thought as a client carries it from one request to the next.

Clients that keep nothing on a server ask for ``reasoning.encrypted_content`` and send it back with the conversation.
Here it is the thought itself, packed and not encrypted: the client has it in plain text as well, and a gateway that
keeps no conversation must get it back from whichever client and whichever process.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

_MARK = "overspill-thought-1:"


def pack(thought: str) -> str:
    """Return the thought as ``encrypted_content``."""
    return _MARK + b64encode(thought.encode()).decode()


def unpack(packed: str) -> str | None:
    """Return the thought that ``pack`` packed; ``None`` if it was another's to pack, or is damaged."""
    if not packed.startswith(_MARK):
        return None
    try:
        return b64decode(packed[len(_MARK) :], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
