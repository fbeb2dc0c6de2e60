"""The parts of a Messages request as they are decoded, and errors about them in Anthropic's words.

A block is read as far as any kind of it is known; what only one kind has and only a native target needs stays raw.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import Any, TypeVar

import msgspec

from overspill.errors import WireError

NOTHING = msgspec.Raw(b"")
_OURS = b"overspill:unsigned"
UNSIGNED = b64encode(_OURS).decode()
"""How the signature of thinking begins that no Claude model signed; behind it may be the thought itself, in base64.

Clients need one to keep the block, and Anthropic refuses one that it did not make; so it must be known again. A client
that does not want to see thoughts, but have them go on, gets them in it, as it does from Anthropic.
"""
_T = TypeVar("_T")
_AT = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_WORDS = {
    "str": "Input should be a valid string",
    "int": "Input should be a valid integer",
    "float": "Input should be a valid number",
    "bool": "Input should be a valid boolean",
    "array": "Input should be a valid list",
    "object": "Input should be a valid dictionary",
    "str | array": "Input should be a valid string or a list of content blocks",
}


class Block(msgspec.Struct, gc=False):
    """One block of content; which fields count depends on ``type``."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = NOTHING
    tool_use_id: str | None = None
    content: msgspec.Raw = NOTHING
    is_error: bool | None = None
    source: msgspec.Raw = NOTHING
    title: str | None = None
    context: str | None = None
    cache_control: msgspec.Raw = NOTHING
    tool_name: str | None = None


class Source(msgspec.Struct, gc=False):
    """Where an image or a document is."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: msgspec.Raw = NOTHING


class Turn(msgspec.Struct, gc=False):
    """One message."""

    role: str
    content: str | list[Block]


decode_turns = msgspec.json.Decoder(list[Turn]).decode
decode_content = msgspec.json.Decoder(str | list[Block]).decode
_decode_source = msgspec.json.Decoder(Source).decode


def unsigned(thought: str = "") -> str:
    """Return the signature of a thought that no model signed; ``thought`` if the block itself does not show it."""
    return b64encode(_OURS + thought.encode()).decode()


def is_signed(signature: str | None) -> bool:
    """Tell whether a Claude model made a signature."""
    return bool(signature) and not str(signature).startswith(UNSIGNED)


def thought_in(signature: str | None) -> str:
    """Return the thought that one of our own signatures has in it."""
    if signature is None or not signature.startswith(UNSIGNED):
        return ""
    try:
        return b64decode(signature, validate=True)[len(_OURS) :].decode()
    except (binascii.Error, UnicodeDecodeError):  # somebody changed it
        return ""


def is_absent(raw: msgspec.Raw | None) -> bool:
    """Tell whether a field is left out, or ``null``."""
    return raw is None or bytes(raw) in (b"", b"null")


def read_content(raw: msgspec.Raw, path: str) -> str | list[Block]:
    """Read a text or a list of blocks; ``path`` is where it stands, as ``messages.0.content.1``."""
    content: str | list[Block] = decoded(decode_content, raw, path)
    return content


def read_source(block: Block, path: str) -> Source:
    """Read where a block's image or document is."""
    if is_absent(block.source):
        raise bad(f"{path}.source", "Field required")
    source: Source = decoded(_decode_source, block.source, f"{path}.source")
    return source


def needed(value: _T | None, path: str) -> _T:
    """Return a field's value; without one the request cannot be served."""
    if value is None:
        raise bad(path, "Field required")
    return value


def decoded(decode: Any, raw: msgspec.Raw, path: str) -> Any:
    """Decode a field; say where and what is wrong with it if that fails."""
    try:
        return decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise wrong(path, error) from None


def bad(path: str, what: str, *, code: str | None = None) -> WireError:
    """Make an error as Anthropic words it: ``messages.0.role: what``."""
    return WireError(f"{path}: {what}", param=path, code=code)


def wrong(path: str, error: Exception) -> WireError:
    """Turn what a decoder says, "Expected `str`, got `int` - at `$[1].role`", into Anthropic's words."""
    if isinstance(error, RecursionError):
        return bad(path, "Input is nested too deeply; flatten its objects and arrays")
    match = _AT.fullmatch(str(error))
    assert match is not None
    what, place = match.groups()
    if place:
        path += re.sub(r"\[(\d+|\.\.\.)\]", r".\1", place)
    missing = _MISSING.match(what)
    if missing:
        return bad(f"{path}.{missing[1]}", "Field required")
    expected = what.removeprefix("Expected `").partition("`")[0].removesuffix(" | null")
    return bad(path, _WORDS.get(expected, what))
