from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pytest

from overspill.wire.answers import Chunk, ErrorBody, MalformedChunk, Usage, Whole
from overspill.wire.chunks import has_tool_call, is_done, read_chunk, read_whole


def delta(fields: Any, **choice: Any) -> Chunk:
    return read_chunk(json.dumps({"choices": [{"index": 0, "delta": fields, **choice}]}).encode())


def chunk(**fields: Any) -> Chunk:
    return read_chunk(json.dumps(fields).encode())


def whole(**fields: Any) -> Whole:
    return read_whole(json.dumps(fields).encode())


@pytest.mark.parametrize("name", ["content", "reasoning_content", "reasoning", "thinking", "refusal"])
def test_each_kind_of_text_is_a_token(name: str) -> None:
    assert delta({name: " "}).has_token
    assert not delta({name: ""}).has_token
    assert not delta({name: None}).has_token


def test_a_tool_call_is_told_from_other_tokens() -> None:
    def event(*choices: Any) -> bytes:
        return json.dumps({"choices": choices}).encode()

    assert has_tool_call(event({"delta": {"tool_calls": [{"index": 0}]}}))
    assert has_tool_call(event({"delta": None}, {"delta": {"function_call": {"name": "f"}}}))
    assert not has_tool_call(event({"delta": {"content": "tool_calls"}}))
    assert not has_tool_call(event({"delta": {"content": "a", "tool_calls": None}}))
    assert not has_tool_call(event({"delta": {"content": "a"}}))
    assert not has_tool_call(b'{"usage":{"tool_calls":0}}')


def test_parts_of_a_tool_call_are_tokens() -> None:
    assert delta({"content": None, "tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}).has_token
    assert delta({"function_call": {"name": "f"}}).has_token
    assert not delta({"tool_calls": []}).has_token


def test_content_as_a_list_of_parts_is_a_token() -> None:
    assert delta({"content": [{"type": "thinking", "thinking": "hm"}]}).has_token


@pytest.mark.parametrize("fields", [{"role": "assistant"}, {"role": "assistant", "content": ""}, {}, None])
def test_a_role_or_an_empty_delta_is_no_token(fields: Any) -> None:
    assert delta(fields) == Chunk(has_choices=True)


def test_the_text_of_a_completion_is_a_token() -> None:
    assert chunk(object="text_completion", choices=[{"index": 0, "text": "a"}]).has_token
    assert not chunk(object="text_completion", choices=[{"index": 0, "text": ""}]).has_token


def test_a_token_in_any_choice_counts() -> None:
    assert chunk(choices=[{"index": 0, "delta": {}}, {"index": 1, "delta": {"content": "a"}}]).has_token


def test_the_first_finish_reason_is_taken_and_an_empty_one_is_none() -> None:
    assert delta({}, finish_reason="stop").finish_reason == "stop"
    assert delta({"content": "a"}, finish_reason="length") == Chunk(True, "length", has_choices=True)
    assert delta({}, finish_reason="").finish_reason is None
    choices = [{"finish_reason": None}, {"finish_reason": "stop"}, {"finish_reason": "length"}]
    assert chunk(choices=choices).finish_reason == "stop"


def test_a_usage_chunk_without_choices_is_read() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}
    assert chunk(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 7, **details}) == Chunk(
        usage=Usage(prompt_tokens=5, cached_tokens=3, output_tokens=7, reasoning_tokens=2)
    )


def test_deepseek_s_name_for_cached_tokens_is_read() -> None:
    usage = chunk(choices=[], usage={"prompt_cache_hit_tokens": 4, "prompt_tokens_details": None}).usage
    assert usage == Usage(cached_tokens=4)
    both = chunk(choices=[], usage={"prompt_cache_hit_tokens": 4, "prompt_tokens_details": {"cached_tokens": 0}}).usage
    assert both == Usage(cached_tokens=0)


def test_usage_beside_a_choice_and_inside_one_are_read() -> None:
    usage = {"prompt_tokens": 5}
    assert chunk(choices=[{"delta": {}}], usage=usage).usage == Usage(prompt_tokens=5)
    assert chunk(choices=[{"delta": {}, "usage": usage}], usage=None).usage == Usage(prompt_tokens=5)


@pytest.mark.parametrize(
    "usage",
    [
        None, {}, [], "none", {"prompt_tokens": None}, {"prompt_tokens": "5"}, {"prompt_tokens": -1},
        {"prompt_tokens": 1.5}, {"prompt_tokens": True}, {"prompt_tokens": 10**30},
        {"prompt_tokens_details": [], "completion_tokens_details": "x"},
    ],
)  # fmt: skip
def test_what_is_no_count_is_not_reported_and_does_not_break_the_answer(usage: Any) -> None:
    assert chunk(choices=[{"delta": {"content": "a"}}], usage=usage) == Chunk(True, has_choices=True)
    assert chunk(choices=[], usage=usage).usage is None


def test_nulls_and_unknown_fields_are_tolerated() -> None:
    assert read_chunk(b'{"choices":null,"usage":null,"error":null,"timings":{"a":1}}') == Chunk()
    assert delta({"content": "a", "audio": {"x": 1}}, logprobs=None, stop_reason=7).has_token


def test_a_chunk_with_filter_results_only_has_no_choices() -> None:
    assert chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}]) == Chunk()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"error": {"message": "no", "type": "server_error", "code": 503, "param": "model"}},
            ErrorBody(message="no", kind="server_error", code="503", param="model"),
        ),
        ({"error": "server busy"}, ErrorBody(message="server busy")),
        ({"error": {"code": 7}}, ErrorBody(message='{"code":7}')),
        ({"error": ["a"]}, ErrorBody(message='["a"]')),
        ({"error": {"status": "UNAVAILABLE", "message": {"a": 1}}}, ErrorBody(message='{"a":1}', kind="UNAVAILABLE")),
        ({"code": 20015, "message": "bad", "data": None}, ErrorBody(message="bad", code="20015")),
        (
            {"object": "error", "message": "bad", "type": "BadRequestError"},
            ErrorBody(message="bad", kind="BadRequestError"),
        ),
        ({"error_code": "APIG.0101", "error_msg": "no api"}, ErrorBody(message="no api", code="APIG.0101")),
        ({"detail": "Not Found"}, ErrorBody(message="Not Found")),
    ],
)
def test_every_known_form_of_an_error_is_read(fields: dict[str, Any], error: ErrorBody) -> None:
    assert chunk(**fields) == Chunk(error=error)
    assert whole(**fields) == Whole(error=error)


def test_an_error_beside_choices_is_read() -> None:
    fields = {
        "choices": [{"delta": {"content": ""}, "finish_reason": "error"}],
        "error": {"message": "cut", "code": 502},
    }
    assert chunk(**fields) == Chunk(False, "error", None, ErrorBody(message="cut", code="502"), has_choices=True)


def test_a_message_beside_usage_is_no_error() -> None:
    assert chunk(message="fine", usage={"prompt_tokens": 1}).error is None


MALFORMED = [
    b"", b"{", b"[]", b"null", b"<html>", b'{"choices":{}}', b'{"choices":[1]}', b'{"error":{"\xff":1}}',
    b'{"choices":[{"finish_reason":1}]}',
]  # fmt: skip


@pytest.mark.parametrize(
    "data", [*MALFORMED, b'{"choices":[{"delta":"a"}]}', b'{"choices":[{"delta":{"content":"\xff"}}]}']
)
def test_a_malformed_chunk_is_an_error_that_does_not_repeat_it(data: bytes) -> None:
    with pytest.raises(MalformedChunk, match=f"{len(data)} bytes") as caught:
        read_chunk(data)
    assert "html" not in str(caught.value)


@pytest.mark.parametrize("data", [*MALFORMED, b'{"choices":[{"message":"a"}]}', b'{"data":{}}'])
def test_a_malformed_body_is_an_error_that_does_not_repeat_it(data: bytes) -> None:
    with pytest.raises(MalformedChunk, match=f"{len(data)} bytes") as caught:
        read_whole(data)
    assert "html" not in str(caught.value)


def nested(depth: int) -> bytes:
    return b'{"error":' + b"[" * depth + b"]" * depth + b"}"


def test_deep_nesting_is_malformed_and_not_a_crash() -> None:
    with pytest.raises(MalformedChunk):
        read_chunk(nested(200_000))


def test_nesting_near_the_limit_is_read_or_malformed() -> None:
    limit = sys.getrecursionlimit()
    for depth in range(limit - 100, limit + 20, 3):
        with contextlib.suppress(MalformedChunk):
            assert read_chunk(nested(depth)).error == ErrorBody(message="[" * depth + "]" * depth)


@pytest.mark.parametrize(
    ("data", "done"), [(b"[DONE]", True), (b"[DONE] ", True), (b"", False), (b'{"a":"[DONE]"}', False)]
)
def test_only_the_done_mark_is_done(data: bytes, done: bool) -> None:
    assert is_done(data) is done


def test_a_whole_answer_is_read() -> None:
    answer = whole(
        choices=[{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        usage={"prompt_tokens": 1, "completion_tokens": 2},
    )
    assert answer == Whole(True, True, "stop", Usage(prompt_tokens=1, output_tokens=2))


def test_a_whole_completion_is_read() -> None:
    assert whole(choices=[{"text": "hi", "finish_reason": "length"}]) == Whole(True, True, "length")


def test_a_whole_answer_of_tool_calls_only_has_content() -> None:
    assert whole(choices=[{"message": {"content": None, "tool_calls": [{"id": "a"}]}}]).has_content


@pytest.mark.parametrize("choice", [{"message": {"content": ""}}, {"message": None}, {"text": ""}, {}])
def test_an_answer_with_nothing_in_it_is_hollow(choice: dict[str, Any]) -> None:
    assert whole(choices=[choice]) == Whole(has_choices=True)


def test_embeddings_are_an_answer_and_none_are_not() -> None:
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    assert whole(object="list", data=[{"embedding": [0.1]}], usage=usage) == Whole(
        True, True, None, Usage(prompt_tokens=3)
    )
    assert whole(object="list", data=[], usage=usage) == Whole(usage=Usage(prompt_tokens=3))
    assert whole(object="list", data=[]) == Whole()


def test_blank_lines_before_a_whole_answer_are_skipped() -> None:
    assert read_whole(b'\n\n\n{"choices":[{"text":"a"}]}').has_content


def test_blank_lines_alone_are_no_answer() -> None:
    with pytest.raises(MalformedChunk):
        read_whole(b"\n\n\n")


@pytest.mark.parametrize(
    ("message", "has_thought"),
    [
        ({"content": "x"}, False),
        ({"content": "a <think>"}, False),
        ({"content": "x", "reasoning_content": "hm"}, False),
        ({"content": "x", "reasoning": None, "thinking": ""}, False),
        ({"content": " \n<think>hm</think>x"}, True),
        ({"content": "x", "reasoning": "hm"}, True),
        ({"content": [], "thinking": "hm"}, True),
        (None, False),
    ],
)
def test_a_thought_in_another_form_than_the_normal_one_is_seen(message: Any, has_thought: bool) -> None:
    choice = {"message": message, "text": "x"}
    assert whole(choices=[choice]).has_thought == has_thought
    assert whole(choices=[{"message": {"content": "x"}}, choice]).has_thought == has_thought
