from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion

from overspill.wire.aggregate import Aggregator, AnswerTooLong
from overspill.wire.answers import MalformedChunk

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
TEXT_HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": "m"}


def chat(*chunks: dict[str, Any]) -> dict[str, Any]:
    aggregator = Aggregator("chat")
    for chunk in chunks:
        aggregator.add(json.dumps({**HEAD, **chunk}).encode())
    body = aggregator.finish()
    ChatCompletion.model_validate_json(body, strict=True)
    whole: dict[str, Any] = json.loads(body)
    return whole


def delta(index: int = 0, finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish_reason}]}


def message(*chunks: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = chat(*chunks, delta(finish_reason="stop"))["choices"][0]["message"]
    return found


def text(*chunks: dict[str, Any]) -> dict[str, Any]:
    aggregator = Aggregator("completions")
    for chunk in chunks:
        aggregator.add(json.dumps({**TEXT_HEAD, **chunk}).encode())
    body = aggregator.finish()
    Completion.model_validate_json(body, strict=True)
    whole: dict[str, Any] = json.loads(body)
    return whole


def test_a_plain_answer_has_exactly_the_form_of_one() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert chat(
        delta(role="assistant", content=""),
        delta(content="Hel"),
        delta(content="lo"),
        delta(finish_reason="stop"),
        {"choices": [], "usage": usage},
    ) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage,
    }


def test_content_is_null_where_it_never_came_and_empty_where_it_was_empty() -> None:
    assert message(delta(role="assistant"))["content"] is None
    assert message(delta(role="assistant", content=None))["content"] is None
    assert message(delta(role="assistant", content=""))["content"] == ""
    assert message(delta(role="assistant", content=None), delta(content="a"))["content"] == "a"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "refusal", "thinking"])
def test_each_kind_of_text_is_put_together_under_its_own_name(name: str) -> None:
    found = message(delta(**{name: "a"}), delta(**{name: None}), delta(**{name: "b"}), delta(content="c"))
    assert (found[name], found["content"]) == ("ab", "c")


def test_a_role_said_in_every_chunk_is_said_once() -> None:
    assert message(delta(role="assistant", content="a"), delta(role="assistant", content="b"))["role"] == "assistant"
    assert message(delta(role=None, content="a"))["role"] == "assistant"


def test_several_choices_are_kept_apart_and_sorted() -> None:
    whole = chat(
        delta(1, content="b"),
        delta(0, content="a"),
        {"choices": [*delta(1, content="B")["choices"], *delta(0, content="A")["choices"]]},
        delta(0, finish_reason="stop"),
        delta(1, finish_reason="length"),
    )
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in whole["choices"]] == [
        (0, "aA", "stop"),
        (1, "bB", "length"),
    ]


def test_tool_calls_are_merged_by_index() -> None:
    found = message(
        delta(role="assistant", content=None),
        delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}}]),
        delta(
            tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}, {"index": 1, "function": {"arguments": "}"}}]
        ),
    )
    assert found == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_a_call_s_name_and_id_said_again_are_not_doubled() -> None:
    found = message(
        delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]),
        delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "}"}}]),
        delta(tool_calls=[{"index": 0, "id": "", "type": None, "function": {"name": "", "arguments": None}}]),
    )
    assert found["tool_calls"] == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_calls_without_an_index_begin_with_an_id_and_go_on_without() -> None:
    found = message(
        delta(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": "{"}}]),
        delta(tool_calls=[{"function": {"arguments": "}"}}]),
        delta(tool_calls=[{"index": None, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
    )
    assert [(c["id"], c["type"], c["function"]["arguments"]) for c in found["tool_calls"]] == [
        ("a", "function", "{}"),
        ("b", "function", "{}"),
    ]


def test_a_first_call_without_index_and_id_is_still_a_call() -> None:
    found = message(delta(tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]))
    assert found["tool_calls"] == [{"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_a_function_call_is_put_together() -> None:
    found = message(
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": "{"}),
        delta(function_call={"arguments": "}"}),
    )
    assert found["function_call"] == {"name": "f", "arguments": "{}"}


def test_the_log_probabilities_of_a_chat_are_concatenated() -> None:
    def token(text: str) -> dict[str, Any]:
        return {"token": text, "logprob": -0.5, "bytes": [97], "top_logprobs": []}

    def chunk(**logprobs: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": logprobs or None}]}

    whole = chat(
        chunk(content=[token("a")], refusal=None),
        chunk(),
        chunk(content=[token("b"), token("c")], refusal=None),
        delta(finish_reason="stop"),
    )
    logprobs = whole["choices"][0]["logprobs"]
    assert [row["token"] for row in logprobs["content"]] == ["a", "b", "c"]
    assert logprobs["refusal"] is None


def test_the_log_probabilities_of_a_completion_are_concatenated() -> None:
    def chunk(piece: str, offset: int, finish_reason: str | None = None) -> dict[str, Any]:
        logprobs = {
            "tokens": [piece],
            "token_logprobs": [-0.1],
            "top_logprobs": [{piece: -0.1}],
            "text_offset": [offset],
        }
        return {"choices": [{"index": 0, "text": piece, "logprobs": logprobs, "finish_reason": finish_reason}]}

    assert text(chunk("a", 0), chunk("b", 1, "stop"))["choices"] == [
        {
            "index": 0,
            "text": "ab",
            "logprobs": {
                "tokens": ["a", "b"],
                "token_logprobs": [-0.1, -0.1],
                "top_logprobs": [{"a": -0.1}, {"b": -0.1}],
                "text_offset": [0, 1],
            },
            "finish_reason": "stop",
        }
    ]


def test_a_completion_has_its_own_object_and_empty_text_rather_than_null() -> None:
    whole = text({"choices": [{"index": 0, "text": None, "finish_reason": "stop"}]})
    assert (whole["object"], whole["choices"][0]["text"]) == ("text_completion", "")


def test_fields_that_a_server_adds_are_kept_from_the_last_chunk_that_had_them() -> None:
    whole = chat(
        {**delta(content="a"), "timings": {"n": 1}, "system_fingerprint": None, "service_tier": "auto"},
        {**delta(content="b"), "timings": {"n": 2}, "system_fingerprint": "fp", "service_tier": None},
        {**delta(finish_reason="stop"), "timings": None},
    )
    assert whole["timings"] == {"n": 2}
    assert whole["system_fingerprint"] == "fp"
    assert whole["service_tier"] == "auto"


def test_an_empty_first_identity_is_replaced_and_the_first_real_one_stays() -> None:
    whole = chat(
        {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": []},
        {**delta(content="a"), "id": "real", "created": 5, "model": "m-2024"},
        {**delta(finish_reason="stop"), "id": "other", "created": 6},
    )
    assert (whole["id"], whole["created"], whole["model"]) == ("real", 5, "m-2024")


def test_what_no_chunk_had_is_empty_rather_than_made_up() -> None:
    aggregator = Aggregator("chat")
    aggregator.add(b'{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}')
    body = aggregator.finish()
    whole = ChatCompletion.model_validate_json(body, strict=True)
    assert (whole.id, whole.created, whole.model, whole.usage) == ("", 0, "", None)


def test_a_choice_s_own_extra_fields_are_kept() -> None:
    whole = chat(
        {"choices": [{"index": 0, "delta": {"content": "a"}, "token_ids": [1], "stop_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": "b"}, "token_ids": [2, 3], "stop_reason": 7}]},
        {"choices": [{"index": 0, "delta": {}, "token_ids": None, "stop_reason": None, "finish_reason": "stop"}]},
    )
    choice = whole["choices"][0]
    assert (choice["token_ids"], choice["stop_reason"]) == ([1, 2, 3], 7)


def test_the_first_finish_reason_stays_and_its_absence_is_null() -> None:
    assert chat(delta(finish_reason="length"), delta(finish_reason="stop"))["choices"][0]["finish_reason"] == "length"
    aggregator = Aggregator("chat")
    aggregator.add(json.dumps(delta(content="a", finish_reason="")).encode())
    assert json.loads(aggregator.finish())["choices"][0]["finish_reason"] is None


def test_usage_inside_a_choice_moves_to_where_a_client_looks() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    whole = chat(delta(content="a"), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]})
    assert whole["usage"] == usage
    assert "usage" not in whole["choices"][0]


def test_content_as_a_list_of_parts_is_a_longer_list() -> None:
    aggregator = Aggregator("chat")
    for part in ("a", "b"):
        aggregator.add(json.dumps(delta(content=[{"type": "text", "text": part}])).encode())
    assert [part["text"] for part in json.loads(aggregator.finish())["choices"][0]["message"]["content"]] == ["a", "b"]


def test_of_a_field_whose_kind_changes_the_last_value_is_kept() -> None:
    assert message(delta(odd="a"), delta(odd=3))["odd"] == 3


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{", b"[DONE]", b'{"\xff":1}', b'{"choices":{}}', b'{"choices":[1]}',
        b'{"choices":[{"index":"0"}]}', b'{"choices":[{"delta":"a"}]}', b'{"choices":[{"delta":{"tool_calls":{}}}]}',
        b'{"choices":[{"delta":{"tool_calls":[1]}}]}', b'{"choices":[{"logprobs":[1]}]}',
    ],
)  # fmt: skip
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedChunk):
        Aggregator("chat").add(data)


@pytest.mark.parametrize("data", [b'{"choices":[null]}', b'{"choices":[{"delta":null}]}', b'{"choices":[{}]}'])
def test_nulls_are_an_empty_choice(data: bytes) -> None:
    aggregator = Aggregator("chat")
    aggregator.add(data)
    assert json.loads(aggregator.finish())["choices"][0]["message"] == {"role": "assistant", "content": None}


def test_a_stream_without_a_choice_is_no_answer() -> None:
    aggregator = Aggregator("chat")
    aggregator.add(b'{"choices":[],"usage":null}')
    with pytest.raises(MalformedChunk, match="without a choice"):
        aggregator.finish()


def test_an_answer_over_the_bound_is_refused() -> None:
    chunk = b'{"choices":[]}'
    aggregator = Aggregator("chat", max_bytes=len(chunk) * 2)
    aggregator.add(chunk)
    aggregator.add(chunk)
    with pytest.raises(AnswerTooLong, match="28 bytes"):
        aggregator.add(chunk)


def test_embeddings_have_no_stream_to_aggregate() -> None:
    with pytest.raises(ValueError, match="embeddings are not streamed"):
        Aggregator("embeddings")


def test_deep_nesting_is_malformed_and_not_a_crash() -> None:
    limit = sys.getrecursionlimit()
    outcomes = set()
    for depth in (100, *range(limit - 200, limit + 20), 200_000):
        aggregator = Aggregator("chat")
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        try:
            aggregator.add(b'{"choices":[{"delta":{"odd":' + nested + b"}}]}")
            outcomes.add(nested in aggregator.finish())
        except MalformedChunk:
            outcomes.add(None)
    assert outcomes == {True, None}
