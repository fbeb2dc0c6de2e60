from __future__ import annotations

from typing import Any

import msgspec
import pytest

from overspill.wire.chat import parse_request
from overspill.wire.request import SurfaceName
from overspill.wire.texts import Texts, read_texts


def texts_of(surface: SurfaceName = "chat", **fields: Any) -> Texts:
    body = msgspec.json.encode({"model": "the-model", **fields})
    return read_texts(parse_request(surface, body).fields)


def said(content: Any, **more: Any) -> Texts:
    return texts_of(messages=[{"role": "user", "content": content, **more}])


def test_every_message_and_every_part_of_it_is_read_in_order() -> None:
    texts = texts_of(
        messages=[
            {"role": "system", "content": "be kind"},
            {
                "role": "user",
                "name": "alice",
                "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
            },
        ]
    )
    assert texts == (["be kind", "alice", "one", "two"], False, False)


def test_tools_calls_metadata_and_unknown_fields_are_read_too() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"name": "Bob"}'}}
    texts = texts_of(
        messages=[{"role": "assistant", "content": None, "tool_calls": [call]}],
        tools=[{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "Project X": {}}}}],
        metadata={"patient": "Carol"},
        Surprise={"deep": [["Dave", True, 0.5, None]]},
        temperature=0.5,
        stream=True,
    )
    for word in ('{"name": "Bob"}', "c1", "find", "Project X", "patient", "Carol", "Surprise", "deep", "Dave"):
        assert word in texts.strings
    assert not {"user", "object", "function", "the-model", "messages", "temperature", "role"} & set(texts.strings)
    assert not texts.has_unseen


def test_long_numbers_are_text_and_short_ones_are_not() -> None:
    texts = texts_of(
        messages=[{"role": "user", "content": "x"}], metadata={"id": 6222021001116245702, "n": -7, "k": 99999}
    )
    assert "6222021001116245702" in texts.strings
    assert not {"-7", "99999"} & set(texts.strings)


def test_a_type_or_a_role_that_is_no_word_of_the_api_is_read() -> None:
    texts = texts_of(messages=[{"role": "Alice's friend", "content": "x"}])
    assert "Alice's friend" in texts.strings


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
        [{"type": "text", "text": "look"}, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
        [{"type": "file", "file": {"file_id": "f"}}],
        [{"type": "something_new"}],
        [{"type": ["text"]}],
        "data:image/png;base64,AAAA",
        "QUJD" * 512,
    ],
)
def test_what_is_no_text_is_unseen(content: Any) -> None:
    assert said(content).has_unseen


def test_audio_of_an_earlier_answer_is_unseen() -> None:
    assert said(None, audio={"id": "audio_1"}).has_unseen
    assert not said("x", audio=None).has_unseen


@pytest.mark.parametrize("content", ["word " * 1000, "字" * 5000, "line\n" * 1000, "A" * 2047])
def test_long_text_is_still_text(content: str) -> None:
    assert said(content) == ([content], False, False)


@pytest.mark.parametrize(
    ("prompt", "unseen"),
    [("Once", False), (["Once", "twice"], False), ([1, 2, 3], True), ([[1, 2], [3]], True)],
)
def test_token_ids_are_unseen(prompt: Any, unseen: bool) -> None:
    assert texts_of("completions", prompt=prompt).has_unseen is unseen
    assert texts_of("embeddings", input=prompt).has_unseen is unseen


def test_what_cannot_be_decoded_is_unreadable_and_the_rest_is_read() -> None:
    body = b'{"model": "m", "seed": 1e999, "messages": [{"role": "user", "content": "hi"}]}'
    assert read_texts(parse_request("chat", body).fields) == (["hi"], False, True)


def test_depth_is_no_matter() -> None:
    value: Any = "deep"
    for _ in range(500):
        value = [value]
    assert said(value).strings == ["deep"]
