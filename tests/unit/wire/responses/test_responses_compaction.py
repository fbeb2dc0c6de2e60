"""A conversation that its own model makes short."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import CompactedResponse
from tests.support.responses import CREATED_S, HEAD, REQUEST_ID, ask, messages_of

from overspill.errors import WireError
from overspill.wire.answers import MalformedChunk
from overspill.wire.responses.compaction import CompactionWriter, read_compaction
from overspill.wire.surfaces import answer_writer, read_request

SAID = [{"role": "user", "content": "We launch on Tuesday."}, {"role": "assistant", "content": "Understood."}]
WRITER = CompactionWriter(request_id=REQUEST_ID, created_s=CREATED_S)


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": SAID, **fields}).encode()


def written(message: Any, **more: Any) -> dict[str, Any]:
    answer = WRITER.whole(json.dumps({**HEAD, "choices": [{"message": message}], **more}).encode())
    CompactedResponse.model_validate_json(answer, strict=True)
    found: dict[str, Any] = json.loads(answer)
    return found


def test_the_conversation_goes_to_its_model_with_the_wish_for_a_summary() -> None:
    request = read_compaction(body(instructions="Be kind.", prompt_cache_key="k", frobnicate=1))
    assert (request.surface, request.model, request.stream, request.has_tools) == ("compaction", "m", False, False)
    assert request.dropped == ("frobnicate",)
    messages = messages_of(request)
    assert messages[:3] == [{"role": "system", "content": "Be kind."}, *SAID]
    assert messages[3]["role"] == "user"
    assert messages[3]["content"].startswith("Summarise this conversation")
    assert len(messages) == 4


def test_what_comes_of_it_can_be_sent_instead_of_the_conversation() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 7}
    compacted = written({"content": "Launch: Tuesday."}, usage=usage)
    assert (compacted["id"], compacted["created_at"]) == ("resp_ovs_00c0ffee7", CREATED_S)
    assert compacted["usage"]["total_tokens"] == 12
    (item,) = compacted["output"]
    assert (item["type"], item["id"]) == ("compaction", "cmp_ovs_00c0ffee7_0")
    messages = messages_of(ask([*compacted["output"], {"role": "user", "content": "When?"}]))
    assert [message["role"] for message in messages] == ["user", "user"]
    assert messages[0]["content"].endswith("Launch: Tuesday.")


@pytest.mark.parametrize(
    ("message", "summary"),
    [({"content": None, "reasoning_content": "hm"}, "hm"), ({"content": ["x"], "refusal": "No."}, "No."), ({}, "")],
)
def test_a_summary_is_what_the_model_wrote_wherever_it_did(message: dict[str, Any], summary: str) -> None:
    compacted = written(message)
    assert compacted["usage"]["total_tokens"] == 0
    assert messages_of(ask(compacted["output"]))[0]["content"].endswith(f":\n\n{summary}")


@pytest.mark.parametrize("answer", [b"x", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}]}'])
def test_what_is_no_answer_is_malformed(answer: bytes) -> None:
    with pytest.raises(MalformedChunk):
        WRITER.whole(answer)


def test_it_is_never_streamed_and_its_errors_are_those_of_openai() -> None:
    with pytest.raises(NotImplementedError):
        WRITER.feed(b"data: {}\n\n")
    assert WRITER.heartbeat().isspace()
    assert json.loads(WRITER.broken("no", kind="k", code="c"))["error"]["code"] == "c"
    assert json.loads(WRITER.error(503, "no", kind="k", param="p"))["error"]["param"] == "p"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": [{"type": "compaction", "encrypted_content": "gAAAA"}]}, "input"),
        ({"previous_response_id": "r"}, None),
    ],
)
def test_what_cannot_be_compacted_is_refused(fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(WireError) as caught:
        read_compaction(body(**fields))
    assert caught.value.param == (param or "previous_response_id")


def test_the_surface_is_known_by_its_name() -> None:
    request = read_request("compaction", body())
    assert isinstance(answer_writer(request, REQUEST_ID, CREATED_S), CompactionWriter)
