"""Items of a conversation as messages of a chat."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.responses import PATCH, TEAM, WEATHER, ask, messages_of

from overspill.errors import WireError
from overspill.wire.responses.packed import Packed, pack, unpack

USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": "{}"}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


def said(*items: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return messages_of(ask([USER, *items], **fields))[1:]


def refused(*items: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        ask([USER, *items])
    assert caught.value.status == 400
    return caught.value


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": value}], **more}


def thought(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": value}], **more}


def result(value: Any, call_id: str = "c1", kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": call_id, "output": value}


def test_a_thought_a_text_and_calls_of_one_answer_are_one_message() -> None:
    second = {**CALL, "call_id": "c2"}
    assert said(thought("hm"), text("Let me see."), CALL, second, result("sunny"), result("rainy", "c2")) == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "rainy"},
    ]


def test_texts_of_their_own_stay_messages_of_their_own() -> None:
    first, second = text("I will look.", phase="commentary"), text("It is four.", phase="final_answer")
    assert said(first, thought("hm"), second) == [
        {"role": "assistant", "content": "I will look."},
        {"role": "assistant", "content": "It is four.", "reasoning_content": "hm"},
    ]
    assert ask([USER, first]).dropped == ("input.phase",)


def test_texts_of_one_answer_of_ours_are_put_together() -> None:
    first, second = text("I will", id="msg_ovs_abc_0"), text(" look.", id="msg_ovs_abc_2")
    assert said(first, thought("hm"), second) == [
        {"role": "assistant", "content": "I will look.", "reasoning_content": "hm"}
    ]
    assert len(said(first, text("x", id="msg_ovs_def_0"))) == 2
    assert len(said(first, text("x", id="msg_other"))) == 2


def test_a_text_behind_a_call_belongs_to_the_message_of_the_call() -> None:
    messages = said(text("Look."), CALL, text("Looking."), thought("hm"), result("sunny"))
    assert [message["role"] for message in messages] == ["assistant", "tool"]
    assert (messages[0]["content"], messages[0]["reasoning_content"]) == ("Look.\n\nLooking.", "hm")


def test_a_thought_behind_a_text_belongs_to_the_call_behind_it() -> None:
    assert said(text("Look."), thought("hm"), CALL, result(""))[0]["reasoning_content"] == "hm"


def test_a_thought_alone_is_a_message_without_text() -> None:
    assert said(thought("hm"), USER) == [{"role": "assistant", "content": "", "reasoning_content": "hm"}, USER]
    assert said(text("a"), thought("hm")) == [{"role": "assistant", "content": "a", "reasoning_content": "hm"}]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"summary": [], "encrypted_content": pack(Packed.THOUGHT, "packed")}, "packed"),
        (
            {
                "summary": [{"type": "summary_text", "text": "short"}],
                "encrypted_content": pack(Packed.THOUGHT, "packed"),
            },
            "packed",
        ),
        ({"summary": [{"type": "summary_text", "text": "short"}], "encrypted_content": "gAAAA"}, "short"),
        (
            {
                "summary": [{"type": "summary_text", "text": "short"}],
                "content": [{"type": "reasoning_text", "text": "all"}],
            },
            "all",
        ),
        ({"summary": [], "content": None}, ""),
        ({"summary": [], "content": "all"}, "all"),
    ],
)
def test_a_thought_is_read_from_where_most_of_it_is(item: dict[str, Any], expected: str) -> None:
    assert said({"type": "reasoning", "id": "rs_1", **item})[0]["reasoning_content"] == expected


def test_a_thought_that_somebody_else_packed_is_lost_and_that_is_told() -> None:
    request = ask([USER, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}])
    assert request.dropped == ("input.encrypted_content",)


@pytest.mark.parametrize("packed", ["gAAAA", "overspill-thought-1:!", "overspill-thought-1:/w=="])
def test_what_was_not_packed_here_is_not_unpacked(packed: str) -> None:
    assert unpack(Packed.THOUGHT, packed) is None
    assert unpack(Packed.THOUGHT, pack(Packed.SUMMARY, "x")) is None


def test_a_compacted_conversation_is_its_summary() -> None:
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": pack(Packed.SUMMARY, "They agreed.")}
    messages = messages_of(ask([item, USER], instructions="Be kind."))
    assert [message["role"] for message in messages] == ["system", "user", "user"]
    assert messages[1]["content"].endswith("to go on from:\n\nThey agreed.")


def test_what_only_openai_can_read_makes_it_a_request_for_native_targets_only() -> None:
    request = ask([USER, {"type": "compaction", "encrypted_content": "gAAAA"}, {"type": "computer_call", "id": "c"}])
    assert request.native_only == (
        "input[1], an item of type 'compaction'",
        "input[2], an item of type 'computer_call'",
    )


def test_calls_have_the_names_that_their_tools_have_in_the_chat() -> None:
    spawn = {"type": "function_call", "call_id": "c1", "namespace": "team", "name": "spawn", "arguments": "{}"}
    patch = {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": 'a "b"\n'}
    outputs = [result("ok"), result("done", "c2", "custom_tool_call_output")]
    messages = said(spawn, patch, *outputs, tools=[WEATHER, PATCH, TEAM])
    assert [call["function"] for call in messages[0]["tool_calls"]] == [
        {"name": "team__spawn", "arguments": "{}"},
        {"name": "patch", "arguments": '{"input":"a \\"b\\"\\n"}'},
    ]
    assert messages[0]["content"] is None
    assert [message["content"] for message in messages[1:]] == ["ok", "done"]
    assert said(spawn, result(""))[0]["tool_calls"][0]["function"]["name"] == "team__spawn"


def test_what_a_tool_shows_follows_all_the_outputs_of_the_turn() -> None:
    shown = [{"type": "input_text", "text": "A cat."}, PICTURE]
    messages = said(CALL, {**CALL, "call_id": "c2"}, result(shown), result([PICTURE], "c2"), text("Two cats."))
    picture = {"type": "image_url", "image_url": {"url": PICTURE["image_url"]}}
    assert messages[1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "A cat.\n(attached below)"},
        {"role": "tool", "tool_call_id": "c2", "content": "(attached below)"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Output of the tool call c1:"},
                picture,
                {"type": "text", "text": "Output of the tool call c2:"},
                picture,
            ],
        },
        {"role": "assistant", "content": "Two cats."},
    ]
    assert said(CALL, result([PICTURE]))[-1]["role"] == "user"
    assert [message["role"] for message in said(CALL, result([PICTURE]), USER)[-2:]] == ["user", "user"]


def test_parts_have_their_chat_forms() -> None:
    parts = [
        {"type": "input_text", "text": "Look:"},
        {**PICTURE, "detail": "auto"},
        {**PICTURE, "detail": "original"},
        {**PICTURE, "detail": "low"},
        {"type": "input_file", "file_data": "data:,x", "filename": "x.pdf", "file_id": None},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    url = PICTURE["image_url"]
    assert said({"type": "message", "role": "user", "content": parts})[0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:,x", "filename": "x.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]


def test_parts_that_are_all_text_are_one_string() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]
    assert said({"role": "user", "content": parts}) == [{"role": "user", "content": "a\nb"}]
    assert said({"role": "assistant", "content": [{"type": "output_text", "text": "a"}] * 2}) == [
        {"role": "assistant", "content": "aa"}
    ]


def test_a_refusal_stays_one() -> None:
    content = [{"type": "refusal", "refusal": "No."}]
    assert said({"role": "assistant", "content": content}) == [{"role": "assistant", "content": None, "refusal": "No."}]


def test_what_hosted_tools_did_is_left_out_and_named() -> None:
    request = ask([USER, {"type": "web_search_call", "id": "ws_1"}, {"type": "mcp_call"}, text("Found it.")])
    assert request.dropped == ("input.mcp_call", "input.web_search_call")
    assert messages_of(request)[1:] == [{"role": "assistant", "content": "Found it."}]


@pytest.mark.parametrize(
    ("item", "param", "code"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "input[1].type", "unsupported_parameter"),
        ({"type": "compaction"}, "input[1].encrypted_content", "missing_required_parameter"),
        ({"role": "robot", "content": "x"}, "input[1].role", "invalid_value"),
        ({"type": "message", "content": "x"}, "input[1].role", "missing_required_parameter"),
        ({"role": "user"}, "input[1].content", "missing_required_parameter"),
        ({"role": "user", "content": 3}, "input[1].content", "invalid_type"),
        ({"role": "user", "content": [{"type": "smell"}]}, "input[1].content[0].type", "invalid_value"),
        (
            {"role": "user", "content": [{"type": "input_text"}]},
            "input[1].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
            "input[1].content[0].file_id",
            "unsupported_parameter",
        ),
        (
            {"role": "user", "content": [{"type": "input_image"}]},
            "input[1].content[0].image_url",
            "missing_required_parameter",
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_url": "http://x"}]},
            "input[1].content[0].file_url",
            "unsupported_parameter",
        ),
        (
            {"role": "user", "content": [{"type": "input_file"}]},
            "input[1].content[0].file_data",
            "missing_required_parameter",
        ),
        (
            {"role": "user", "content": [{"type": "input_audio"}]},
            "input[1].content[0].input_audio",
            "missing_required_parameter",
        ),
        ({"role": "assistant", "content": [PICTURE]}, "input[1].content", "invalid_value"),
        ({"role": "assistant", "content": "x", "phase": "middle"}, "input[1].phase", "invalid_value"),
        ({"type": "reasoning", "summary": 3}, "input[1].summary", "invalid_type"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "input[1].arguments", "missing_required_parameter"),
        ({"type": "function_call", "call_id": "", "name": "f", "arguments": ""}, "input[1].call_id", "invalid_value"),
        (result("x", "nobody"), "input[1].call_id", "invalid_value"),
    ],
)
def test_what_is_wrong_with_an_item_is_named_by_its_place(item: dict[str, Any], param: str, code: str) -> None:
    error = refused(item)
    assert (error.param, error.code) == (param, code)
