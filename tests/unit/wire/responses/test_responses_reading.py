"""Requests of ``/v1/responses`` as chat requests: field by field, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.responses import WEATHER, ask, field_of, messages_of

from overspill.errors import WireError
from overspill.wire.responses.packed import Packed, pack
from overspill.wire.responses.reading import read_count, read_responses
from overspill.wire.tokens import estimate_tokens

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def refusal(said: Any = "hi", **fields: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        ask(said, **fields)
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request_error")
    return caught.value


def test_a_whole_number_in_the_form_of_a_fraction_is_one() -> None:
    assert ask("hi", max_output_tokens=16.0).max_tokens == 16


def test_a_text_is_one_message_of_the_user() -> None:
    request = ask("hello")
    assert (request.surface, request.model, request.stream, request.max_tokens) == ("responses", "m", False, None)
    assert (request.include_usage, request.has_tools, request.n, request.dropped) == (False, False, 1, ())
    assert list(request.fields) == ["model", "messages"]
    assert messages_of(request) == [{"role": "user", "content": "hello"}]
    assert request.prompt_tokens == estimate_tokens(bytes(request.fields["messages"]))
    assert request.native is not None
    assert {name: json.loads(bytes(raw)) for name, raw in request.native.items()} == {"model": "m", "input": "hello"}


def test_a_stream_is_asked_for_with_its_usage() -> None:
    request = ask(stream=True, stream_options={"include_obfuscation": False})
    assert (request.stream, request.include_usage, request.dropped) == (True, True, ())
    assert field_of(request, "stream") is True
    assert field_of(request, "stream_options") == {"include_usage": True}


def test_settings_have_their_chat_names() -> None:
    request = ask(
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=1,
        frequency_penalty=-1,
        reasoning={"effort": "high", "summary": "auto"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        service_tier="flex",
        text={"verbosity": "low", "format": {"type": "json_object"}},
        top_logprobs=3,
        tools=[WEATHER],
        parallel_tool_calls=False,
        store=False,
        metadata={"a": "b"},
        truncation="disabled",
        include=["reasoning.encrypted_content"],
        background=False,
    )
    shown = {name: json.loads(bytes(raw)) for name, raw in request.fields.items()}
    assert {name: shown[name] for name in shown if name not in ("model", "messages", "tools")} == {
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "reasoning_effort": "high",
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "verbosity": "low",
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "top_logprobs": 3,
        "parallel_tool_calls": False,
    }
    assert (request.max_tokens, request.has_tools, request.dropped) == (50, True, ())
    assert request.prompt_tokens > ask().prompt_tokens


def test_a_schema_of_the_text_becomes_a_response_format() -> None:
    form = {"type": "json_schema", "name": "sum", "schema": SCHEMA, "strict": True, "description": "A sum."}
    request = ask(text={"format": form})
    described = {"name": "sum", "schema": SCHEMA, "description": "A sum.", "strict": True}
    assert field_of(request, "response_format") == {"type": "json_schema", "json_schema": described}
    bare = ask(text={"format": {"type": "json_schema", "name": "sum", "schema": SCHEMA, "strict": None}})
    assert field_of(bare, "response_format")["json_schema"] == {"name": "sum", "schema": SCHEMA}
    assert "response_format" not in ask(text={"format": {"type": "text"}}).fields
    assert "response_format" not in ask(text={"format": None}).fields
    assert "response_format" not in ask(text={}).fields


def test_log_probabilities_can_be_asked_for_in_either_way() -> None:
    request = ask(include=["message.output_text.logprobs"])
    assert field_of(request, "logprobs") is True
    assert "top_logprobs" not in request.fields
    assert "logprobs" not in ask(top_logprobs=0).fields


def test_null_is_as_good_as_nothing() -> None:
    names = ["instructions", "max_output_tokens", "temperature", "tools", "tool_choice", "reasoning", "text"]
    names += ["previous_response_id", "conversation", "prompt", "stream", "background", "store", "include", "user"]
    request = ask(**dict.fromkeys([*names, "truncation", "parallel_tool_calls", "top_logprobs"]))
    assert list(request.fields) == ["model", "messages"]


def test_instructions_and_what_the_system_says_first_are_one_message() -> None:
    said = [
        {"role": "developer", "content": "Be kind."},
        {"role": "system", "content": [{"type": "input_text", "text": "Be short."}]},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": "Now be long."},
    ]
    assert messages_of(ask(said, instructions="You are a pirate.")) == [
        {"role": "system", "content": "You are a pirate.\n\nBe kind.\n\nBe short."},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "Now be long."},
    ]
    assert messages_of(ask("hi", instructions=""))[0]["role"] == "user"


def test_a_picture_for_the_system_keeps_its_message_apart() -> None:
    picture = {"type": "input_image", "image_url": "data:,x"}
    said = [
        {"role": "system", "content": "a"},
        {"role": "system", "content": [picture]},
        {"role": "user", "content": "b"},
    ]
    assert [message["role"] for message in messages_of(ask(said))] == ["system", "system", "user"]


def test_what_has_no_place_in_a_chat_is_named() -> None:
    request = ask(truncation="auto", client_metadata={"a": 1}, moderation={}, frobnicate=1)
    assert request.dropped == ("client_metadata", "moderation", "frobnicate", "truncation")


def test_hosted_tools_that_agents_always_offer_are_left_out_and_named() -> None:
    request = ask(tools=[{"type": "web_search"}, WEATHER, {"type": "web_search_preview_2025_03_11"}])
    assert [tool["function"]["name"] for tool in field_of(request, "tools")] == ["weather"]
    assert request.dropped == ("tools.web_search", "tools.web_search_preview_2025_03_11")
    alone = ask(tools=[{"type": "image_generation"}], tool_choice="auto", parallel_tool_calls=True)
    assert list(alone.fields) == ["model", "messages", "parallel_tool_calls"]


@pytest.mark.parametrize(
    ("tools", "needed"),
    [
        ([{"type": "file_search", "vector_store_ids": ["v"]}], "tools[0], a tool of type 'file_search'"),
        ([WEATHER, {"type": "mcp", "server_label": "x"}], "tools[1], a tool of type 'mcp'"),
        ([{"type": "code_interpreter", "container": {"type": "auto"}}], "tools[0], a tool of type 'code_interpreter'"),
    ],
)
def test_other_hosted_tools_make_it_a_request_for_native_targets_only(tools: list[Any], needed: str) -> None:
    request = ask(tools=[*tools, {"type": "web_search"}])
    assert request.native_only == (needed,)
    assert request.dropped == ("tools.web_search",)


def test_thoughts_packed_here_do_not_go_to_those_who_pack_their_own() -> None:
    said = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": pack(Packed.THOUGHT, "hm")},
        {"type": "reasoning", "id": "rs_ovs_a_0", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAA"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "go on"},
    ]
    request = ask(said)
    assert request.native is not None
    assert json.loads(bytes(request.native["input"])) == [said[0], *said[3:]]
    compacted = {"type": "compaction", "id": "cmp_1", "encrypted_content": pack(Packed.SUMMARY, "They agreed.")}
    native = ask([compacted, said[0]]).native
    assert native is not None
    summary, user = json.loads(bytes(native["input"]))
    assert (summary["role"], summary["content"].rpartition("\n\n")[2], user) == ("user", "They agreed.", said[0])
    plain = ask(said[3:])
    assert plain.native is not None
    assert json.loads(bytes(plain.native["input"])) == said[3:]


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt"])
def test_what_needs_a_kept_conversation_is_refused(name: str) -> None:
    error = refusal(**{name: "x_1"})
    assert (error.param, error.code) == (name, "unsupported_parameter")
    assert "send the whole conversation in 'input'" in error.message


def test_a_background_answer_is_refused() -> None:
    error = refusal(background=True)
    assert (error.param, error.code) == ("background", "unsupported_parameter")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": ...}, "model", "missing_required_parameter"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": 3}, "model", "invalid_type"),
        ({"input": ...}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "empty_array"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": ["x"]}, "input[0]", "invalid_type"),
        ({"input": [{}]}, "input[0].type", "missing_required_parameter"),
        ({"input": [{"type": "frob"}]}, "input[0].type", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"store": 1}, "store", "invalid_type"),
        ({"instructions": ["x"]}, "instructions", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"max_output_tokens": 2**40}, "max_output_tokens", "integer_above_max_value"),
        ({"max_output_tokens": 1.5}, "max_output_tokens", "invalid_type"),
        ({"max_output_tokens": True}, "max_output_tokens", "invalid_type"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"temperature": 2.5}, "temperature", "decimal_above_max_value"),
        ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"reasoning": "high"}, "reasoning", "invalid_type"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort", "invalid_type"),
        ({"reasoning": {"effort": "x" * 33}}, "reasoning.effort", "invalid_value"),
        ({"text": {"format": {}}}, "text.format.type", "missing_required_parameter"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "text.format.schema",
            "missing_required_parameter",
        ),
        (
            {"text": {"format": {"type": "json_schema", "schema": {}}}},
            "text.format.name",
            "missing_required_parameter",
        ),
        ({"truncation": "half"}, "truncation", "invalid_value"),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": [3]}, "tools[0]", "invalid_type"),
        ({"include": "all"}, "include", "invalid_type"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(fields: dict[str, Any], param: str, code: str) -> None:
    error = refusal(**{"said": fields.pop("input", "hi"), **fields})
    assert (error.param, error.code) == (param, code)
    assert f"'{param}" in error.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"model": "m", "input": "\\ud800"}'])
def test_a_body_that_is_no_object_of_json_is_refused(body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        read_responses(body)
    assert caught.value.status == 400


def test_a_number_too_large_to_read_is_refused_with_its_field() -> None:
    with pytest.raises(WireError) as caught:
        read_responses(b'{"model": "m", "input": "x", "temperature": 1e999}')
    assert (caught.value.param, caught.value.code) == ("temperature", "invalid_value")


def test_what_is_shown_of_a_wrong_value_is_short() -> None:
    error = refusal(temperature="x" * 200)
    assert len(error.message) < 120


def test_an_input_is_counted_as_it_would_be_asked() -> None:
    request = ask("hello", tools=[WEATHER])
    assert read_count(json.dumps({"model": "m", "input": "hello", "tools": [WEATHER]}).encode()) == (
        "m",
        request.prompt_tokens,
    )
    assert read_count(b"{}") == (None, 1)
