from __future__ import annotations

import pytest
from tests.support.scripted_upstream import delta, event

from overspill.wire.chunks import PLAIN_TOKEN, read_chunk
from overspill.wire.plain import is_plain_text, learn_shape


def choices(*rows: dict[str, object], **more: object) -> bytes:
    return event({"choices": list(rows), **more})


@pytest.mark.parametrize(
    "raw",
    [
        delta("TEXT"),
        delta(reasoning_content="TEXT"),
        delta("", reasoning="TEXT"),
        delta(None, thinking="TEXT", role="assistant"),
        choices({"text": "TEXT"}),
        choices({"text": "TEXT", "delta": None}, usage=None),
        choices({"delta": {"content": "TEXT"}}, id="text", TEX="T", created=1.5),
        delta("TEXT").replace(b":", b" : ").replace(b"data : ", b"data: "),
    ],
)
def test_the_shape_of_a_plain_token_is_what_stands_around_its_text(raw: bytes) -> None:
    shape = learn_shape(raw)
    assert shape is not None
    before, _, behind = raw.partition(b"TEXT")
    assert (shape.before, shape.behind) == (before, behind)
    assert shape.field == before.rpartition(b'"')[0].rstrip(b' :"').rpartition(b'"')[2].decode()


@pytest.mark.parametrize(
    "raw",
    [
        delta("a").replace(b"data: ", b"data:"),
        b": hi\n" + delta("a"),
        b"event: x\n" + delta("a"),
        delta("a")[:-1] + b"\r",
        delta("a")[:-2] + b"\r\n\r\n",
        delta("a").replace(b"data: ", b"data: \r"),
        delta("a").replace(b",", b",\ndata: "),
    ],
    ids=["no space", "comment", "event", "cr", "crlf", "cr inside", "two lines"],
)
def test_an_event_that_is_more_than_one_line_of_data_has_no_shape(raw: bytes) -> None:
    assert learn_shape(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        delta(""),
        delta(finish="stop"),
        delta("a", finish="stop"),
        delta("a").replace(b"null}]", b'null}],"usage":{"completion_tokens":1}'),
        choices(),
        event({"error": {"message": "a"}}),
    ],
)
def test_an_event_that_says_more_or_less_than_a_token_has_no_shape(raw: bytes) -> None:
    assert learn_shape(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        choices({"delta": {"content": "a"}}, {"delta": {"content": "b"}}),
        delta("a", reasoning_content="b"),
        delta("a", tool_calls=[{"index": 0}]).replace(b'"content":"a"', b'"content":null'),
        choices({"delta": {"content": [{"type": "text", "text": "a"}]}}),
        choices({"text": "a", "delta": {"content": "b"}}),
        choices({"delta": {"refusal": "a"}}),
    ],
    ids=["two choices", "two texts", "tool call", "parts", "text and delta", "refusal"],
)
def test_an_event_without_one_text_has_no_shape(raw: bytes) -> None:
    assert learn_shape(raw) is None


@pytest.mark.parametrize("text", ['"', "\\", "\n", "a\tb", "\x00", "\x7f", "\u2028"])
def test_a_text_that_could_mean_something_else_teaches_no_shape(text: str) -> None:
    assert learn_shape(delta(text)) is None


def test_a_text_that_stands_twice_teaches_no_shape() -> None:
    assert learn_shape(delta("c1")) is None  # it is the answer's id too
    assert learn_shape(delta("index")) is None  # and here a key


def test_a_text_that_is_written_with_escapes_is_not_taken_for_another_that_looks_like_it() -> None:
    raw = delta("id").replace(b'"content":"id"', b'"content":"\\u0069d"')
    assert raw.count(b'"id"') == 1
    assert learn_shape(raw) is None


def test_an_event_with_a_number_that_is_too_large_to_read_has_no_shape() -> None:
    raw = delta("a").replace(b'"created":1', b'"created":1e999')
    assert read_chunk(raw[6:-2]) is PLAIN_TOKEN
    assert learn_shape(raw) is None


def test_of_a_key_that_comes_twice_the_last_one_is_the_text() -> None:
    raw = delta("b").replace(b'"content":"b"', b'"content":"a","content":"b"')
    shape = learn_shape(raw)
    assert shape is not None
    assert shape.before.endswith(b'"content":"a","content":"')


@pytest.mark.parametrize("text", ["a", " the", "中文", "🙂", "'", "{}", "&<>/"])
def test_a_text_that_means_what_it_shows_is_plain(text: str) -> None:
    assert is_plain_text(text.encode())


@pytest.mark.parametrize(
    "raw", [b"", b'"', b"\\", b"\n", b"\x00", b"\x7f", b"\xff", b"\xe4\xb8", b"\xed\xa0\x80", "\u2028".encode()]
)
def test_a_text_that_needs_escapes_or_shows_nothing_is_not_plain(raw: bytes) -> None:
    assert not is_plain_text(raw)
