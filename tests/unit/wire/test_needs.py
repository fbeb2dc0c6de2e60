"""What a request needs of its target is read from its fields and the parts of its messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from overspill.features import Feature, features_of, mask
from overspill.wire.chat import parse_request
from overspill.wire.needs import needs_of, needs_of_parts

F = Feature
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def needs(**fields: Any) -> set[Feature]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return set(features_of(parse_request("chat", msgspec.json.encode(body)).needs))


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, set()),
        ({"temperature": 0.5, "stop": ["x"]}, set()),
        ({"tools": TOOLS}, {F.TOOLS}),
        ({"tools": []}, set()),
        ({"functions": [{"name": "f"}]}, {F.TOOLS}),
        ({"tools": TOOLS, "tool_choice": "auto"}, {F.TOOLS}),
        ({"tools": TOOLS, "tool_choice": "required"}, {F.TOOLS, F.TOOL_CHOICE}),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}}, {F.TOOLS, F.TOOL_CHOICE}),
        ({"functions": TOOLS, "function_call": {"name": "f"}}, {F.TOOLS, F.TOOL_CHOICE}),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}}, {F.TOOLS}),
        (
            {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required"}}},
            {F.TOOLS, F.TOOL_CHOICE},
        ),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": 1}}, {F.TOOLS}),
        ({"tool_choice": "required"}, set()),
        ({"n": 1}, set()),
        ({"n": 2}, {F.CHOICES}),
        ({"best_of": 2}, {F.CHOICES}),
        ({"logprobs": False, "top_logprobs": 0}, set()),
        ({"logprobs": True}, {F.LOGPROBS}),
        ({"top_logprobs": 3}, {F.LOGPROBS}),
        ({"modalities": ["text"]}, set()),
        ({"modalities": ["text", "audio"]}, {F.AUDIO}),
        ({"response_format": None}, set()),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": {"type": "json_object"}}, {F.JSON_OBJECT}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {F.JSON_SCHEMA}),
        ({"response_format": {"type": "structural_tag"}}, {F.GRAMMAR}),
        ({"response_format": {"type": 7}}, set()),
        ({"response_format": 7}, set()),
        ({"structured_outputs": {"json": {}}}, {F.JSON_SCHEMA}),
        ({"structured_outputs": {"regex": "a"}}, {F.GRAMMAR}),
        ({"guided_json": {"type": "object"}}, {F.JSON_SCHEMA}),
        ({"json_schema": {"type": "object"}}, {F.JSON_SCHEMA}),
        ({"format": {"type": "object"}}, {F.JSON_SCHEMA}),
        ({"format": "json"}, {F.JSON_OBJECT}),
        ({"guided_regex": "a+"}, {F.GRAMMAR}),
        ({"grammar": 'root ::= "a"'}, {F.GRAMMAR}),
    ],
)
def test_fields_say_what_is_needed(fields: dict[str, Any], wanted: set[Feature]) -> None:
    assert needs(**fields) == wanted


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ({"type": "text", "text": "image_url"}, set()),
        ({"type": "image_url", "image_url": {"url": "data:"}}, {F.IMAGES}),
        ({"type": "input_audio", "input_audio": {}}, {F.AUDIO}),
        ({"type": "video_url", "video_url": {}}, {F.VIDEO}),
        ({"type": "file", "file": {}}, {F.FILES}),
        ({"type": "refusal", "file": "x"}, set()),
        ({"file": "x"}, set()),
    ],
)
@pytest.mark.parametrize("rest", [{}, {"n": 1}])
def test_parts_say_what_is_needed(part: dict[str, Any], wanted: set[Feature], rest: dict[str, Any]) -> None:
    content = [{"type": "text", "text": "what is this?"}, part, "text"]
    messages = [{"role": "system", "content": "x"}, {"role": "assistant"}, {"role": "user", "content": content}]
    assert needs(messages=messages, **rest) == wanted


def test_a_text_that_speaks_of_parts_needs_none() -> None:
    said = '[{"type": "image_url", "image_url": {}}, {"type": "file"}]'
    assert needs(messages=[{"role": "user", "content": said}]) == set()


def test_what_cannot_be_read_needs_nothing_here() -> None:
    assert needs_of_parts(b'[{"content": {"type": "image_url"}}]') == 0
    assert needs_of_parts(b'[{"content": [{"type": "image_url"}, {"type":') == 0
    deep = msgspec.Raw(b"[" * 5000 + b"]" * 5000)
    tools = msgspec.Raw(b"[1]")
    assert set(features_of(needs_of({"tools": tools, "tool_choice": deep}))) == {F.TOOLS, F.TOOL_CHOICE}
    assert needs_of({"response_format": deep}) == 0


def test_a_completion_says_it_too() -> None:
    body = {"model": "m", "prompt": ['"type"', "image_url"], "logprobs": 2, "best_of": 3}
    needed = {F.LOGPROBS, F.CHOICES, F.PROMPTS}
    assert set(features_of(parse_request("completions", msgspec.json.encode(body)).needs)) == needed


@pytest.mark.parametrize(
    ("prompt", "several"),
    [
        (b'"a"', False),
        (b'["a"]', False),
        (b'["a","b"]', True),
        (b"[1,2]", False),
        (b"[[1,2]]", False),
        (b"[[1],[2]]", True),
        (b"[1", False),
    ],
)
def test_several_prompts_are_a_need(prompt: bytes, several: bool) -> None:
    assert needs_of({"prompt": msgspec.Raw(prompt)}) == (mask([F.PROMPTS]) if several else 0)
