from __future__ import annotations

import pytest

from overspill.wire.sse import Event, SseDecoder, SseTooLong


def events_of(*pieces: bytes) -> list[Event]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    assert decoder.close() == b""
    return events


def test_one_event_keeps_its_exact_bytes() -> None:
    assert events_of(b'data: {"a":1}\n\n') == [Event(b'data: {"a":1}\n\n', b'{"a":1}')]


def test_several_events_in_one_chunk_come_out_in_order() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: 0\n\n")
    assert decoder.feed(b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n") == [
        Event(b"data: 1\n\n", b"1"),
        Event(b"data: 2\n\n", b"2"),
        Event(b"data: [DONE]\n\n", b"[DONE]"),
    ]
    assert decoder.close() == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_every_line_end_gives_the_same_fields(end: bytes) -> None:
    text = b"event: delta\ndata: 1\ndata: 2\n\n: keep-alive\n\ndata: 3\n\n".replace(b"\n", end)
    assert [(event.name, event.data) for event in events_of(text)] == [
        (b"delta", b"1\n2"),
        (b"", None),
        (b"", b"3"),
    ]


def test_a_stream_that_ends_its_lines_with_cr_gives_its_last_event_without_waiting() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: 1\r\rdata: 2\r\r") == [Event(b"data: 1\r\r", b"1"), Event(b"data: 2\r\r", b"2")]


def test_mixed_line_ends_end_an_event() -> None:
    assert [event.data for event in events_of(b"data: 1\r\n\ndata: 2\n\r\ndata: 3\ndata: 4\r\n\r\n")] == [
        b"1",
        b"2",
        b"3\n4",
    ]


def test_a_line_feed_behind_two_carriage_returns_is_a_blank_block() -> None:
    assert events_of(b"data: 1\r\r\ndata: 2\n\n") == [
        Event(b"data: 1\r\r", b"1"),
        Event(b"\n", None),
        Event(b"data: 2\n\n", b"2"),
    ]


def test_a_split_between_cr_and_lf_keeps_the_line_feed_with_its_event() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: 1\r\n\r") == []
    assert decoder.feed(b"\ndata: 2\r\n\r\n") == [
        Event(b"data: 1\r\n\r\n", b"1"),
        Event(b"data: 2\r\n\r\n", b"2"),
    ]


def test_a_split_utf8_character_survives() -> None:
    text = "data: 你好\n\n".encode()
    for cut in range(len(text)):
        assert events_of(text[:cut], text[cut:]) == [Event(text, "你好".encode())]


def test_data_without_a_space_and_data_with_two_keep_what_the_standard_says() -> None:
    assert [event.data for event in events_of(b"data:x\n\ndata:  y\n\n")] == [b"x", b" y"]


def test_a_data_line_without_a_value_is_empty_data() -> None:
    assert [event.data for event in events_of(b"data\n\ndata:\n\n")] == [b"", b""]


def test_several_lines_of_data_are_joined_also_where_all_lines_end_in_lf() -> None:
    decoder = SseDecoder()
    decoder.feed(b"\n")
    assert decoder.feed(b"data: 1\ndata: 2\n\n") == [Event(b"data: 1\ndata: 2\n\n", b"1\n2")]


def test_a_comment_has_no_data() -> None:
    assert events_of(b": keep-alive\n\n") == [Event(b": keep-alive\n\n", None)]


def test_a_comment_before_data_does_not_hide_it() -> None:
    decoder = SseDecoder()
    decoder.feed(b"\n")
    assert decoder.feed(b": note\ndata: 1\nid: 7\nretry: 10\n\n") == [
        Event(b": note\ndata: 1\nid: 7\nretry: 10\n\n", b"1")
    ]


def test_an_event_name_is_read_with_and_without_data() -> None:
    assert [(event.name, event.data) for event in events_of(b"event: ping\n\nevent: error\ndata: {}\n\n")] == [
        (b"ping", None),
        (b"error", b"{}"),
    ]


def test_blank_lines_are_events_of_their_own() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: 0\n\n")
    events = decoder.feed(b"\n\ndata: 1\n\n\ndata: 2\n\n\n")
    assert [event.raw for event in events] == [b"\n", b"\n", b"data: 1\n\n", b"\n", b"data: 2\n\n", b"\n"]
    assert decoder.close() == b""


def test_blank_lines_of_every_kind_are_events_without_data() -> None:
    assert [event.raw for event in events_of(b"\r\n", b"\n", b"\r", b"data: 1\n\n")] == [
        b"\r\n",
        b"\n",
        b"\r",
        b"data: 1\n\n",
    ]


def test_a_byte_order_mark_at_the_start_is_skipped_and_forwarded() -> None:
    bom = b"\xef\xbb\xbf"
    for cut in range(4):
        text = bom + b"data: 1\n\n"
        assert events_of(text[:cut], text[cut:]) == [Event(text, b"1")]


def test_a_byte_order_mark_later_is_an_unknown_field() -> None:
    bom = b"\xef\xbb\xbf"
    assert [event.data for event in events_of(b"data: 0\n\n" + bom + b"data: 1\n\n")] == [b"0", None]


def test_what_follows_an_event_waits_for_its_end() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: 0\n\n")
    assert decoder.feed(b"data: 1\n\ndata: ") == [Event(b"data: 1\n\n", b"1")]
    assert decoder.feed(b"") == []
    assert decoder.feed(b"2\n\n") == [Event(b"data: 2\n\n", b"2")]


def test_a_cut_stream_leaves_its_rest_to_close_once() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b'data: 1\n\ndata: {"a":') == [Event(b"data: 1\n\n", b"1")]
    assert decoder.close() == b'data: {"a":'
    assert decoder.close() == b""


def test_a_long_event_in_small_pieces_is_put_together() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: 0\n\n")
    text = b"data: " + b"x" * 200_000 + b"\n\ndata: 2\n\n"
    pieces = [text[start : start + 50_000] for start in range(0, len(text), 50_000)]
    events = [event for piece in pieces for event in decoder.feed(piece)]
    assert [event.data for event in events] == [b"x" * 200_000, b"2"]


def test_a_long_event_cut_inside_its_terminator_ends_where_it_should() -> None:
    text = b"data: " + b"x" * 100_000 + b"\r\n\r\n"
    for cut in range(1, 5):
        assert events_of(text[:-cut], text[-cut:]) == [Event(text, b"x" * 100_000)]


def test_an_event_of_exactly_the_bound_passes() -> None:
    decoder = SseDecoder(max_event_bytes=16)
    assert decoder.feed(b"data: 12345678\n\n" * 3) == [Event(b"data: 12345678\n\n", b"12345678")] * 3


@pytest.mark.parametrize("pieces", [(b"data: 123456789\n\n",), (b"data: 123", b"456789\n\n"), (b"data: 12345678901",)])
def test_an_event_over_the_bound_is_an_error_that_names_the_bound(pieces: tuple[bytes, ...]) -> None:
    decoder = SseDecoder(max_event_bytes=16)
    decoder.feed(b"data: 0\n\n")
    *first, last = pieces
    for piece in first:
        assert decoder.feed(piece) == []
    with pytest.raises(SseTooLong, match="longer than 16 bytes"):
        decoder.feed(last)


def test_it_is_told_whether_an_event_has_begun() -> None:
    decoder = SseDecoder()
    assert not decoder.is_within_event
    assert list(decoder.feed(b"data: a")) == []
    assert decoder.is_within_event
    assert [event.data for event in decoder.feed(b"\n\n")] == [b"a"]
    assert not decoder.is_within_event
