from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.errors import WireError
from overspill.wire.messages.blocks import UNSIGNED, unsigned, wrong
from overspill.wire.messages.request import read_count, read_messages
from overspill.wire.request import Request

HELLO = [{"role": "user", "content": "hello"}]
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def read(**fields: Any) -> Request:
    return read_messages(json.dumps({"model": "m", "max_tokens": 100, "messages": HELLO, **fields}).encode())


def said(request: Request, name: str) -> Any:
    raw = request.fields.get(name)
    return None if raw is None else json.loads(bytes(raw))


def chat(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = said(read(messages=list(messages), **fields), "messages")
    return found


def refused(**fields: Any) -> str:
    with pytest.raises(WireError) as caught:
        read(**fields)
    assert caught.value.status == 400
    assert caught.value.message.startswith(f"{caught.value.param}: ")
    return caught.value.message


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def test_a_plain_request_becomes_a_chat_request_that_does_not_think_and_keeps_its_own_fields() -> None:
    request = read(stream=True, temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["END"])
    assert {name: json.loads(bytes(raw)) for name, raw in request.fields.items()} == {
        "model": "m",
        "messages": HELLO,
        "max_tokens": 100,
        "stream": True,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "thinking": {"type": "disabled"},
    }
    assert (request.surface, request.model, request.max_tokens) == ("messages", "m", 100)
    assert request.stream
    assert request.include_usage
    assert not request.has_tools
    assert (request.dropped, request.native_only) == ((), ())
    assert request.native is not None
    assert set(request.native) == {
        "model",
        "max_tokens",
        "messages",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
    }


def test_a_request_that_is_not_streamed_asks_for_no_usage_of_its_own() -> None:
    request = read(stream=False)
    assert not request.stream
    assert not request.include_usage
    assert "stream" not in request.fields
    assert read(stream=None).stream is False


def test_the_system_prompt_may_be_a_text_or_blocks_and_joins_system_messages_in_front() -> None:
    assert chat(*HELLO, system="be brief")[0] == {"role": "system", "content": "be brief"}
    blocks = [text("one", cache_control={"type": "ephemeral"}), text(""), text("two")]
    assert chat(*HELLO, system=blocks)[0]["content"] == "one\n\ntwo"
    assert chat({"role": "system", "content": "b"}, *HELLO, system="a")[0]["content"] == "a\n\nb"
    assert chat(*HELLO, system="") == HELLO
    assert chat(*HELLO, system=None) == HELLO


def test_a_system_message_between_turns_stays_where_it_is() -> None:
    later = {"role": "system", "content": [text("now in French")]}
    messages = chat(*HELLO, {"role": "assistant", "content": "hi"}, later, {"role": "user", "content": "go"})
    assert [message["role"] for message in messages] == ["user", "assistant", "system", "user"]
    assert messages[2]["content"] == "now in French"


def test_neighbours_of_one_role_are_one_turn() -> None:
    messages = chat(*HELLO, user(text("and"), text(""), text("more")), {"role": "assistant", "content": "a"})
    assert messages[0] == {"role": "user", "content": "hello\n\nand\n\nmore"}
    both = chat(*HELLO, assistant(text("a")), assistant(text("b")))
    assert both[1] == {"role": "assistant", "content": "ab"}


def test_images_documents_and_audio_become_parts() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    shown = chat(
        user(
            text("look"),
            text(""),
            {"type": "image", "source": PNG},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "document", "source": pdf, "title": "a.pdf", "context": "the bill"},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}},
            {"type": "audio", "source": {"type": "base64", "media_type": "audio/mpeg", "data": "SUQz"}},
        )
    )[0]["content"]
    assert shown == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "the bill"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "https://example.com/b.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
    ]


def test_documents_that_are_text_become_text() -> None:
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "T"}
    nested = {"type": "document", "source": {"type": "content", "content": [text("x"), text("y")]}, "title": "N"}
    bare = {"type": "document", "source": {"type": "content", "content": "z"}}
    assert chat(user(plain, nested, bare))[0]["content"] == "T\nwords\n\nN\n\nx\n\ny\n\nz"
    untitled = {"type": "document", "source": {"type": "content", "content": [text("x")]}}
    assert chat(user(untitled))[0]["content"] == "x"
    found = {"type": "search_result", "source": "https://example.com", "title": "T", "content": [text("words")]}
    sourceless = {"type": "search_result", "title": "U", "content": "more"}
    assert chat(user(found, sourceless))[0]["content"] == "T\nhttps://example.com\nwords\n\nU\nmore"


def test_a_tool_round_trip_becomes_calls_and_tool_messages() -> None:
    messages = chat(
        *HELLO,
        assistant(
            text("let me see"),
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1.50}},
            {"type": "tool_use", "id": "toolu_2", "name": "rest"},
            text("and then"),
        ),
        user(
            text("here"),
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"},
            {"type": "tool_result", "tool_use_id": "toolu_2"},
        ),
    )
    assert messages[1]["content"] == "let me see\n\nand then"
    assert [call["function"] for call in messages[1]["tool_calls"]] == [
        {"name": "look", "arguments": '{"at": 1.5}'},
        {"name": "rest", "arguments": "{}"},
    ]
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "sun"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": ""},
        {"role": "user", "content": "here"},
    ]


def test_a_turn_of_results_alone_has_no_user_message() -> None:
    results = user({"type": "tool_result", "tool_use_id": "t", "content": [text("a"), text("b")]})
    calls = assistant({"type": "tool_use", "id": "t", "name": "f", "input": {}})
    messages = chat(*HELLO, calls, results)
    assert messages[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert messages[2:] == [{"role": "tool", "tool_call_id": "t", "content": "a\n\nb"}]


def test_the_arguments_of_a_call_stay_as_they_were_written() -> None:
    body = (
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":'
        b'[{"type":"tool_use","id":"t","name":"f","input":{"big":12345678901234567890123,"odd": 1.10}}]}]}'
    )
    call = said(read_messages(body), "messages")[1]["tool_calls"][0]
    assert call["function"]["arguments"] == '{"big":12345678901234567890123,"odd": 1.10}'


def test_an_image_that_a_tool_returned_is_shown_by_the_user_right_behind() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": PNG}]}
    messages = chat(user(result, text("see?")))
    assert messages[0]["role"] == "tool"
    assert messages[0]["content"] == "(see what the user shows next)"
    assert [part["type"] for part in messages[1]["content"]] == ["text", "image_url", "text"]
    assert "tool call t" in messages[1]["content"][0]["text"]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("no such file", "Error: no such file"),
        ("<tool_use_error>gone</tool_use_error>", "<tool_use_error>gone</tool_use_error>"),
        ("", "Error: the tool failed and did not say why."),
    ],
)
def test_a_tool_that_failed_says_so_in_its_text(content: str, shown: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": True}
    assert chat(user(result))[0]["content"] == shown


def test_thinking_is_carried_with_its_signature_and_without_where_nobody_signed_it() -> None:
    signed = assistant(
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "thinking", "thinking": "so", "signature": "EqQC"},
        text("yes"),
    )
    message = chat(*HELLO, signed)[1]
    assert message["reasoning_content"] == "hm\nso"
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "signature": "EqQB"},
        {"type": "reasoning.encrypted", "data": "zzz", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "so", "format": "anthropic-claude-v1", "signature": "EqQC"},
    ]
    unsigned_thought = assistant({"type": "thinking", "thinking": "hm", "signature": UNSIGNED}, text("yes"))
    assert chat(*HELLO, unsigned_thought)[1] == {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    hidden = assistant({"type": "thinking", "thinking": "", "signature": unsigned("hm")}, text("yes"))
    assert chat(*HELLO, hidden)[1] == chat(*HELLO, unsigned_thought)[1]
    omitted = assistant({"type": "thinking", "thinking": "", "signature": "EqQB"}, text("yes"))
    assert set(chat(*HELLO, omitted)[1]) == {"role", "content", "reasoning_details"}


def test_what_server_tools_left_in_the_history_is_dropped_and_told() -> None:
    request = read(
        messages=[
            *HELLO,
            assistant(
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "error"}},
                text("found", cache_control={"type": "ephemeral"}),
            ),
        ]
    )
    assert said(request, "messages")[1] == {"role": "assistant", "content": "found"}
    assert request.dropped == (
        "cache_control",
        "messages.content.server_tool_use",
        "messages.content.web_search_tool_result",
    )
    assert request.native_only == ()


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (user({"type": "container_upload", "file_id": "f"}), "content of type 'container_upload'"),
        (user({"type": "image", "source": {"type": "file"}}), "an image whose source is of type 'file'"),
        (user({"type": "document", "source": {"type": "file"}}), "a document whose source is of type 'file'"),
        (assistant({"type": "hologram"}), "content of type 'hologram'"),
    ],
)
def test_what_a_model_would_have_to_see_and_chat_cannot_show_is_for_native_targets(
    message: dict[str, Any], why: str
) -> None:
    assert read(messages=[message]).native_only == (why,)


def test_a_tool_reference_becomes_text() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "tool_reference", "tool_name": "look_up"}],
    }
    assert chat(user(result))[0]["content"] == "Tool: look_up"


def test_tools_become_functions() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    request = read(
        tools=[
            {"name": "f", "description": "does", "input_schema": schema, "strict": True},
            {"type": "custom", "name": "g", "input_schema": {}, "cache_control": {"type": "ephemeral"}},
            {"name": "h", "input_schema": schema, "defer_loading": True, "eager_input_streaming": None},
        ],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    assert said(request, "tools") == [
        {"type": "function", "function": {"name": "f", "description": "does", "parameters": schema, "strict": True}},
        {"type": "function", "function": {"name": "g", "parameters": {}}},
        {"type": "function", "function": {"name": "h", "parameters": schema}},
    ]
    assert said(request, "tool_choice") == "required"
    assert said(request, "parallel_tool_calls") is False
    assert request.has_tools
    assert request.dropped == ("cache_control", "tools.defer_loading")
    assert request.prompt_tokens > read().prompt_tokens


@pytest.mark.parametrize(
    ("choice", "shown"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_the_choice_of_tools_is_translated(choice: dict[str, Any], shown: Any) -> None:
    request = read(tools=[{"name": "f", "input_schema": {}}], tool_choice=choice)
    assert said(request, "tool_choice") == shown
    assert "parallel_tool_calls" not in request.fields
    assert "tool_choice" not in read(tool_choice=choice).fields


def test_tools_that_anthropic_runs_are_for_native_targets() -> None:
    request = read(tools=[{"type": "web_search_20250305", "name": "web_search"}, {"type": "mcp_toolset"}])
    assert request.native_only == ("a tool of type 'web_search_20250305'", "a tool of type 'mcp_toolset'")
    assert "tools" not in request.fields
    unused = read(mcp_servers=[{"url": "x"}], container="c")
    assert (unused.native_only, unused.dropped) == ((), ("container", "mcp_servers"))
    assert read(max_tokens=0).native_only == ("'max_tokens' of 0, which fills Anthropic's cache and no other",)
    assert read(max_tokens=0).max_tokens == 1


@pytest.mark.parametrize(
    ("fields", "thinking", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "enabled", "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "enabled", "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "enabled", "high"),
        ({"thinking": {"type": "enabled"}}, "enabled", None),
        ({"thinking": {"type": "adaptive"}}, "enabled", None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "enabled", "max"),
        ({"thinking": {"type": "between_tools"}}, "enabled", None),
        ({"thinking": {"type": "disabled"}}, "disabled", None),
        ({"thinking": None, "output_config": {"effort": "low"}}, "disabled", None),
        ({}, "disabled", None),
    ],
)
def test_thinking_is_asked_for_in_chat_as_the_client_asked_for_it(
    fields: dict[str, Any], thinking: str, effort: str | None
) -> None:
    request = read(**fields)
    assert said(request, "thinking") == {"type": thinking}
    assert said(request, "reasoning_effort") == effort
    unheard = "output_config" in fields and thinking == "disabled"
    assert request.dropped == (("output_config.effort",) if unheard else ())


def test_a_schema_for_the_output_becomes_a_response_format() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    expected = {"type": "json_schema", "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": True}}
    assert said(read(output_config={"format": form}), "response_format") == expected
    assert said(read(output_format=form), "response_format") == expected


def test_the_user_is_told_to_the_target() -> None:
    assert said(read(metadata={"user_id": '{"device":"d"}'}), "user") == '{"device":"d"}'
    assert "user" not in read(metadata={}).fields


def test_fields_without_a_place_are_told_unless_they_say_nothing() -> None:
    request = read(context_management={"edits": []}, service_tier="auto", inference_geo=None, speed="fast", newest=1)
    assert request.dropped == ("context_management", "newest", "speed")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": None}, "model: Field required"),
        ({"model": 3}, "model: Input should be a valid string"),
        ({"model": ""}, "model: String should have at least 1 character"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"max_tokens": 10**30}, "max_tokens: Input should be less than or equal to 2147483647"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": {}}, "messages: Input should be a valid list"),
        ({"messages": ["hi"]}, "messages.0: Input should be a valid dictionary"),
        ({"messages": [{"content": "x"}]}, "messages.0.role: Field required"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages.0.role: Input should be 'user', 'assistant' or 'system', not 'tool'",
        ),
        (
            {"messages": [*HELLO, {"role": "user", "content": 5}]},
            "messages.1.content: Input should be a valid string or a list of content blocks",
        ),
        ({"messages": [user({"text": "x"})]}, "messages.0.content.0.type: Field required"),
        ({"messages": [user({"type": "text"})]}, "messages.0.content.0.text: Field required"),
        ({"messages": [user({"type": "image"})]}, "messages.0.content.0.source: Field required"),
        (
            {"messages": [user({"type": "image", "source": {"type": "base64", "data": 1}})]},
            "messages.0.content.0.source.data: Input should be a valid string",
        ),
        ({"messages": [user({"type": "tool_result"})]}, "messages.0.content.0.tool_use_id: Field required"),
        (
            {"messages": [user({"type": "thinking", "thinking": "x"})]},
            "messages.0.content.0.type: 'thinking' blocks can only be in 'assistant' messages",
        ),
        (
            {"messages": [assistant({"type": "tool_use", "id": "t", "name": "f", "input": []})]},
            "messages.0.content.0.input: Input should be a valid dictionary",
        ),
        ({"messages": [assistant({"type": "tool_use", "id": "t"})]}, "messages.0.content.0.name: Field required"),
        ({"system": 1}, "system: Input should be a valid string or a list of content blocks"),
        ({"system": [{"type": "image"}]}, "system.0.type: Input should be 'text', not 'image'"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number"),
        ({"top_k": 1.5}, "top_k: Input should be a valid integer"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1.5}},
            "thinking.budget_tokens: Input should be a valid integer",
        ),
        ({"stop_sequences": "END"}, "stop_sequences: Input should be a valid list"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id: Input should be a valid string"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name: Field required"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema: Field required"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools.0.input_schema: Input should be a valid dictionary"),
        (
            {"tools": [{"name": "f", "input_schema": {"type": 5}}]},
            "tools.0.input_schema.type: Input should be 'object'",
        ),
        ({"tools": [{"name": 1, "input_schema": {}}]}, "tools.0.name: Input should be a valid string"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name: Field required"),
        ({"tool_choice": {"type": "x"}}, "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none', not 'x'"),
        (
            {"thinking": {"type": "much"}},
            "thinking.type: Input should be 'enabled', 'adaptive', 'between_tools' or 'disabled', not 'much'",
        ),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: Field required"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": 1}}},
            "output_config.format.schema: Input should be a valid dictionary",
        ),
        ({"output_format": {"type": "xml"}}, "output_format.type: Input should be 'json_schema', not 'xml'"),
    ],
)
def test_a_bad_request_is_refused_in_anthropics_words(fields: dict[str, Any], message: str) -> None:
    assert refused(**fields) == message


def test_nesting_without_end_is_refused() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for field in (b'"content":%b' % deep, b'"content":[{"type":"text","id":%b}]' % deep):
        body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user",%b}]}' % field
        with pytest.raises(WireError) as caught:
            read_messages(body)
        assert caught.value.status == 400


def test_a_value_that_only_its_decoder_finds_too_deep_is_refused() -> None:
    assert (
        wrong("tools", RecursionError()).message == "tools: Input is nested too deeply; flatten its objects and arrays"
    )


def test_a_count_needs_no_limit_and_reads_the_same_prompt() -> None:
    body = json.dumps({"model": "m", "messages": HELLO, "system": "be brief", "max_tokens": "any"}).encode()
    counted = read_count(body)
    assert counted.prompt_tokens == read(system="be brief").prompt_tokens
    assert counted.max_tokens is None
    assert "max_tokens" not in counted.fields


def test_a_whole_number_in_the_form_of_a_fraction_is_one() -> None:
    request = read(max_tokens=16.0, top_k=40.0, thinking={"type": "enabled", "budget_tokens": 2000.0})
    assert request.max_tokens == 16
    assert (bytes(request.fields["max_tokens"]), bytes(request.fields["top_k"])) == (b"16", b"40")
    assert bytes(request.fields["reasoning_effort"]) == b'"low"'
