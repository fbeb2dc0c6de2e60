"""The shape of a stream's plain tokens: what is the same in all of them, learned from one.

Nearly all events of a stream are alike but for their text. Once one of them has been read in full, another that has the
same bytes before and behind its text, and a text that needs no escapes, says the same with another text: JSON leaves no
other reading. So the relay may pass it on without decoding it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.chunks import PLAIN_TOKEN, read_chunk

_FIELD = b"data: "
_END = b"\n\n"
_TEXTS = ("content", "reasoning_content", "reasoning", "thinking")
_PROBE = "x"

_decode = msgspec.json.Decoder().decode


class PlainShape(msgspec.Struct, frozen=True, gc=False):
    """What stands before and behind the text of a plain token's event."""

    before: bytes
    behind: bytes
    """With the empty line that ends the event."""
    field: str
    """The name of the text: ``text`` of a completion, or what a chat calls its content or its reasoning."""


def is_plain_text(raw: bytes) -> bool:
    """Tell whether these bytes are the inside of a JSON string that means what it shows, and not the empty one."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable() and '"' not in text and "\\" not in text and text != ""


def learn_shape(raw: bytes) -> PlainShape | None:
    """Learn from the event ``raw``, terminator included; ``None`` if it is no plain token or leaves any doubt.

    The doubt is put to the test: the event is written with a text one letter longer and read again, and nothing but
    that text may have changed.
    """
    data = raw[len(_FIELD) : -len(_END)]
    if not (raw.startswith(_FIELD) and raw.endswith(_END)) or b"\n" in data or b"\r" in data:
        return None
    if read_chunk(data) is not PLAIN_TOKEN:
        return None
    try:
        value = _decode(data)
    except (msgspec.DecodeError, RecursionError):  # such as a number that is too large, in a field that nobody reads
        return None
    place = _text_place(value)
    if place is None:
        return None
    holder, name = place
    text = holder[name].encode()
    quoted = b'"%b"' % text
    if data.count(quoted) != 1 or not is_plain_text(text):
        return None
    start = raw.index(quoted) + 1
    shape = PlainShape(raw[:start], raw[start + len(text) :], name)
    holder[name] += _PROBE
    longer = shape.before + text + _PROBE.encode() + shape.behind
    return shape if _decode(longer[len(_FIELD) :]) == value else None


def _text_place(value: Any) -> tuple[dict[str, Any], str] | None:
    """Find the one text of an answer's only choice: the object that holds it, and its name there."""
    choices = value["choices"]
    if len(choices) != 1:
        return None
    choice = choices[0]
    places = [(choice, "text")]
    delta = choice.get("delta")
    if delta is not None:
        places += [(delta, name) for name in _TEXTS]
    found = [(holder, name) for holder, name in places if holder.get(name)]
    if len(found) != 1 or not isinstance(found[0][0][found[0][1]], str):
        return None
    return found[0]
