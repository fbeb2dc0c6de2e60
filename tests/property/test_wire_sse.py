from __future__ import annotations

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.wire.sse import Event, SseDecoder

LINE = st.sampled_from(
    [
        "data: {}",
        "data:x",
        "data",
        "data:  y",
        ": keep-alive",
        "event: ping",
        "id: 1",
        "other",
        "\ufeffdata: z",
        "data: 你🙂",
        "",
    ]
)
END = st.sampled_from(["\n", "\r\n", "\r"])
STREAM = st.one_of(
    st.lists(st.tuples(LINE, END).map("".join), max_size=30).map(lambda lines: "".join(lines).encode()),
    st.lists(LINE, max_size=30).map(lambda lines: "".join(line + "\n" for line in lines).encode()),
    st.lists(LINE, max_size=30).map(lambda lines: "".join(line + "\n\n" for line in lines).encode()),
    st.binary(max_size=200),
    st.text("d:a\r\n \ufeff", max_size=60).map(str.encode),
)


def pieces_of(text: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


def decode(pieces: list[bytes]) -> tuple[list[Event], bytes]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)], decoder.close()


def reference(text: bytes) -> list[tuple[bytes, bytes | None]]:
    """Read a whole stream as the standard's own algorithm does: line by line, dispatch at each empty line."""
    lines = re.split(rb"\r\n|\r|\n", text.removeprefix(b"\xef\xbb\xbf"))[:-1]
    found: list[tuple[bytes, bytes | None]] = []
    name, data = b"", []
    for line in lines:
        if not line:
            if data:
                found.append((name, b"\n".join(data)))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return found


@settings(max_examples=400, deadline=None)
@given(STREAM, st.lists(st.integers(0, 1000), max_size=12))
def test_the_events_do_not_depend_on_the_chunks(text: bytes, cuts: list[int]) -> None:
    assert decode(pieces_of(text, cuts)) == decode([text])


@settings(max_examples=200, deadline=None)
@given(STREAM)
def test_byte_by_byte_gives_the_same_events(text: bytes) -> None:
    assert decode([text[at : at + 1] for at in range(len(text))]) == decode([text])


@settings(max_examples=200, deadline=None)
@given(STREAM, st.lists(st.integers(0, 1000), max_size=12))
def test_behind_a_long_unfinished_event_the_chunks_do_not_matter_either(text: bytes, cuts: list[int]) -> None:
    long = b"data: " + b"x" * 70_000
    assert decode([long, *pieces_of(text, cuts)]) == decode([long + text])


@settings(max_examples=300, deadline=None)
@given(STREAM, st.lists(st.integers(0, 1000), max_size=12))
def test_no_byte_is_lost_or_added(text: bytes, cuts: list[int]) -> None:
    events, rest = decode(pieces_of(text, cuts))
    assert b"".join(event.raw for event in events) + rest == text


@settings(max_examples=400, deadline=None)
@given(STREAM)
def test_the_data_is_what_the_standard_s_algorithm_finds(text: bytes) -> None:
    # The decoder waits for the byte after a final CR; a comment gives it one without changing the meaning.
    first, rest = text[:1], text[1:] + (b":" if text.endswith(b"\r") else b"")
    for pieces in ([first + rest], [b"\n", first + rest] if not text.startswith(b"\xef") else [first, rest]):
        events, _ = decode(pieces)
        found = [(event.name, event.data) for event in events if event.data is not None]
        assert found == reference(text)
