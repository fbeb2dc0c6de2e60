from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.errors import WireError
from overspill.wire.messages.outgoing import Outgoing, to_messages

HELLO = {"role": "user", "content": "hello"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {}}}}}
CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.50}'}}
SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "EqQB"}


OLDER = "claude-sonnet-4-5"
NEW = "claude-opus-5"


def outgoing(*messages: dict[str, Any], **fields: Any) -> Outgoing:
    body = {"model": "claude-sonnet-4-6", "messages": list(messages) or [HELLO], **fields}
    return to_messages(json.dumps(body).encode())


def sent(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(outgoing(*messages, **fields).body)
    return body


def turns(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(*messages)["messages"]
    return found


def refused(*messages: dict[str, Any], **fields: Any) -> str | None:
    with pytest.raises(WireError) as caught:
        outgoing(*messages, **fields)
    return caught.value.param


def test_a_plain_chat_request_becomes_a_messages_request() -> None:
    assert outgoing(stream=True, stream_options={"include_usage": True}, n=1, user="u", seed=None) == Outgoing(
        json.dumps(
            {
                "model": "claude-sonnet-4-6",
                "max_tokens": 32_000,
                "messages": [HELLO],
                "stream": True,
                "metadata": {"user_id": "u"},
            },
            separators=(",", ":"),
        ).encode(),
        (),
    )


def test_the_limit_is_the_clients_and_stops_are_sequences() -> None:
    assert sent(model="claude-3-haiku-20240307")["max_tokens"] == 4096
    assert sent(max_tokens=5)["max_tokens"] == 5
    assert sent(max_tokens=5, max_completion_tokens=6)["max_tokens"] == 6
    assert sent(stop="END")["stop_sequences"] == ["END"]
    found = outgoing(stop=["END", "\n"])
    assert json.loads(found.body)["stop_sequences"] == ["END"]
    assert found.dropped == ("stop",)
    assert "stop_sequences" not in sent(stop=["\n"])


def test_system_messages_in_front_are_the_system_prompt_and_later_ones_stay() -> None:
    system = {"role": "system", "content": "a"}
    developer = {"role": "developer", "content": [{"type": "text", "text": "b"}]}
    assert sent(system, HELLO)["system"] == "a"
    body = sent(system, developer, HELLO, {"role": "assistant", "content": "hi"}, system, HELLO)
    assert body["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "system", "user"]
    assert body["messages"][2]["content"] == "a"


def test_parts_become_blocks() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG"}},
        {"type": "image_url", "image_url": "https://example.com/a.png"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "https://example.com/b.pdf"}},
    ]
    assert turns({"role": "user", "content": parts})[0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}},
    ]


def test_calls_and_results_become_blocks_and_all_results_are_one_turn() -> None:
    found = turns(
        HELLO,
        {"role": "assistant", "content": "let me", "tool_calls": [CALL, {**CALL, "id": "functions.f:1"}]},
        {"role": "tool", "tool_call_id": "t", "content": "sun"},
        {"role": "tool", "tool_call_id": "functions.f:1", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "so?"},
    )
    other = found[1]["content"][2]["id"]
    assert found[1]["content"] == [
        {"type": "text", "text": "let me"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.5}},
        {"type": "tool_use", "id": other, "name": "f", "input": {"a": 1.5}},
    ]
    assert found[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": "sun"},
            {"type": "tool_result", "tool_use_id": other, "content": [{"type": "text", "text": "rain"}]},
            {"type": "text", "text": "so?"},
        ],
    }


def test_the_arguments_of_a_call_stay_as_they_were_written() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert b'"input":{"a": 1.50}' in outgoing(HELLO, call).body


@pytest.mark.parametrize("arguments", ["", None, "{}", {}])
def test_a_call_without_arguments_has_an_empty_input(arguments: Any) -> None:
    call = {"id": "t", "function": {"name": "f", "arguments": arguments}}
    assert turns(HELLO, {"role": "assistant", "tool_calls": [call]})[1]["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ['{"a', "[1]", 5])
def test_arguments_that_are_no_object_are_shown_as_the_model_wrote_them(arguments: Any) -> None:
    call = {"id": "t", "function": {"name": "f", "arguments": arguments}}
    found = turns(HELLO, {"role": "assistant", "tool_calls": [call]})[1]["content"][0]["input"]
    assert found == {"arguments": arguments}


def test_arguments_may_be_the_object_itself() -> None:
    call = {"id": "t", "function": {"name": "f", "arguments": {"a": 1}}}
    assert turns(HELLO, {"role": "assistant", "tool_calls": [call]})[1]["content"][0]["input"] == {"a": 1}


def test_the_older_form_of_a_call_is_known() -> None:
    found = turns(
        HELLO,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "sun"},
    )
    assert found[1]["content"] == [{"type": "tool_use", "id": "f", "name": "f", "input": {"a": 1}}]
    assert found[2]["content"] == [{"type": "tool_result", "tool_use_id": "f", "content": "sun"}]
    body = sent(functions=[{"name": "f"}], function_call={"name": "f"})
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "tool", "name": "f"}


def test_only_thoughts_that_are_signed_go_out() -> None:
    details = [
        {"type": "reasoning.text", "text": "h"},
        {"type": "reasoning.text", "text": "m", "signature": "EqQB"},
        {"type": "reasoning.encrypted", "data": "zzz"},
        {"type": "reasoning.text", "text": "no", "signature": "b3ZlcnNwaWxsOnVuc2lnbmVk"},
        "odd",
    ]
    said = {"role": "assistant", "content": "yes", "reasoning_content": "hm", "reasoning_details": details}
    assert sent(HELLO, said, HELLO, reasoning_effort="low")["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "text", "text": "yes"},
    ]
    unsigned = {"role": "assistant", "content": "yes", "reasoning_content": "hm", "reasoning_details": 1}
    assert turns(HELLO, unsigned, HELLO)[1]["content"] == "yes"


def test_empty_turns_are_left_out_and_a_last_answer_ends_without_white_space() -> None:
    empty = {"role": "user", "content": ""}
    assert turns(empty, HELLO, {"role": "assistant", "content": "so \n"}) == [
        HELLO,
        {"role": "assistant", "content": "so"},
    ]
    assert turns(HELLO, {"role": "assistant", "content": " "}) == [HELLO]
    assert turns(HELLO, {"role": "assistant", "content": "no", "refusal": "never"})[1]["content"] == [
        {"type": "text", "text": "no"},
        {"type": "text", "text": "never"},
    ]


def test_tools_and_their_choice_are_translated() -> None:
    strict = {"type": "function", "function": {"name": "g", "description": "does", "strict": True, "parameters": None}}
    body = sent(tools=[FUNCTION, strict], tool_choice="required", parallel_tool_calls=False)
    assert body["tools"] == [
        {"name": "f", "input_schema": FUNCTION["function"]["parameters"]},  # type: ignore[index]
        {"name": "g", "description": "does", "strict": True, "input_schema": {"type": "object", "properties": {}}},
    ]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert "tool_choice" not in sent(tools=[FUNCTION])
    assert sent(tools=[FUNCTION], parallel_tool_calls=False)["tool_choice"]["type"] == "auto"
    assert sent(tools=[FUNCTION], tool_choice="none", parallel_tool_calls=False)["tool_choice"] == {"type": "none"}
    named = {"type": "function", "function": {"name": "f"}}
    assert sent(tools=[FUNCTION], tool_choice=named)["tool_choice"] == {"type": "tool", "name": "f"}
    assert "tool_choice" not in sent(tools=[], tool_choice="auto")


ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OFF = {"type": "disabled"}


@pytest.mark.parametrize(
    ("asked", "thinking", "effort"),
    [
        ({"reasoning_effort": "low"}, ADAPTIVE, "low"),
        ({"reasoning_effort": "minimal"}, ADAPTIVE, "low"),
        ({"reasoning_effort": "max"}, ADAPTIVE, "max"),
        ({"reasoning_effort": "xhigh"}, ADAPTIVE, "high"),
        ({"reasoning_effort": "xhigh", "model": NEW}, ADAPTIVE, "xhigh"),
        ({"thinking": {"type": "enabled"}}, ADAPTIVE, None),
        ({"reasoning_effort": "none"}, OFF, None),
        ({"thinking": OFF, "reasoning_effort": "low"}, OFF, None),
        ({"reasoning_effort": "none", "model": "claude-opus-5-5"}, None, None),
        ({"reasoning_effort": "low", "model": OLDER}, {"type": "enabled", "budget_tokens": 1024}, None),
        ({"reasoning_effort": "high", "model": OLDER}, {"type": "enabled", "budget_tokens": 24_576}, None),
        ({"thinking": {"type": "enabled"}, "model": OLDER}, {"type": "enabled", "budget_tokens": 8192}, None),
        (
            {"reasoning_effort": "high", "max_tokens": 4000, "model": OLDER},
            {"type": "enabled", "budget_tokens": 3999},
            None,
        ),
        ({}, None, None),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(asked: dict[str, Any], thinking: Any, effort: str | None) -> None:
    body = sent(**asked)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_thinking_is_left_out_where_anthropics_rules_forbid_it() -> None:
    forced = outgoing(reasoning_effort="low", tools=[FUNCTION], tool_choice="required")
    short = outgoing(reasoning_effort="low", max_tokens=1000, model=OLDER)
    called = [HELLO, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "t", "content": "x"}]
    unsigned = outgoing(*called, reasoning_effort="low", model=OLDER)
    always = outgoing(reasoning_effort="none", model="claude-fable-5")
    for found in (forced, short, unsigned, always):
        assert "thinking" not in json.loads(found.body)
        assert found.dropped == ("thinking",)
    called[1]["reasoning_details"] = [SIGNED]
    assert sent(*called, reasoning_effort="low", model=OLDER)["thinking"]["type"] == "enabled"
    assert outgoing(reasoning_effort="odd").dropped == ("reasoning_effort",)


def test_a_history_has_no_thoughts_where_the_model_does_not_think() -> None:
    said = [
        HELLO,
        {"role": "assistant", "content": "yes", "reasoning_details": [SIGNED]},
        HELLO,
        {"role": "assistant", "content": "", "reasoning_details": [SIGNED]},
        HELLO,
    ]
    told_not_to = sent(*said, thinking=OFF, model=NEW)
    assert [turn["content"] for turn in told_not_to["messages"]] == ["hello", "yes", "hello", "hello"]
    assert sent(*said)["messages"] == told_not_to["messages"]
    assert sent(*said, model=NEW)["messages"][1]["content"][0]["type"] == "thinking"


def test_sampling_goes_out_as_far_as_anthropic_has_it() -> None:
    assert sent(temperature=0.5, top_k=3).items() >= {"temperature": 0.5, "top_k": 3}.items()
    assert sent(top_p=0.5)["top_p"] == 0.5
    hot = outgoing(temperature=1.5, top_p=0.5)
    assert json.loads(hot.body)["temperature"] == 1
    assert "top_p" not in json.loads(hot.body)
    assert hot.dropped == ("temperature", "top_p")
    for none in (outgoing(temperature=0.5, reasoning_effort="low"), outgoing(temperature=0.5, model=NEW)):
        assert "temperature" not in json.loads(none.body)
        assert none.dropped == ("temperature",)
    assert sent(temperature=0.5, thinking={"type": "disabled"})["temperature"] == 0.5


def test_the_form_of_the_output_is_asked_for() -> None:
    schema = {"type": "object", "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = sent(response_format=form, reasoning_effort="low")
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}, "effort": "low"}
    loose = outgoing(response_format={"type": "json_object"})
    assert "JSON" in json.loads(loose.body)["system"]
    assert loose.dropped == ("response_format",)
    assert "output_config" not in sent(response_format={"type": "text"})


def test_fields_without_a_place_are_told_unless_they_say_nothing() -> None:
    found = outgoing(seed=1, logprobs=False, presence_penalty=0, frequency_penalty=0.5, modalities=["text"], store=None)
    assert found.dropped == ("frequency_penalty", "seed")


@pytest.mark.parametrize(
    ("messages", "fields", "param"),
    [
        ([HELLO], {"n": 2}, "n"),
        ([{"role": "user", "content": ""}], {}, "messages"),
        ([{"role": "user", "content": 5}], {}, "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], {}, "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], {}, "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], {}, "messages[0].content[0].image_url.url"),
        (
            [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}],
            {},
            "messages[0].content[0].file.file_data",
        ),
        ([HELLO, {"role": "oracle", "content": "x"}], {}, "messages[1].role"),
        ([{"role": "tool", "content": "x"}], {}, "messages[0].tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"type": "custom"}]}], {}, "messages[0].tool_calls[0]"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], {}, "messages[0].tool_calls[0]"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": "https://example.com"}]}],
            {},
            "messages[0].content",
        ),
        ([HELLO], {"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type"),
        ([HELLO], {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ([HELLO], {"tools": "f"}, "tools"),
        ([HELLO], {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ([HELLO], {"response_format": {"type": "grammar"}}, "response_format.type"),
        ([HELLO], {"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    ],
)
def test_what_messages_cannot_say_is_refused(
    messages: list[dict[str, Any]], fields: dict[str, Any], param: str
) -> None:
    assert refused(*messages, **fields) == param


def test_messages_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(WireError, match="cannot be read"):
        to_messages(b'{"model":"m","messages":[1]}')
