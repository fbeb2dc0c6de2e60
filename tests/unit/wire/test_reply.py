from __future__ import annotations

import json

from openai.types import Model

from overspill.wire.chunks import read_chunk
from overspill.wire.reply import (
    JSON_HEARTBEAT,
    SSE_HEARTBEAT,
    ModelCard,
    error_body,
    model_body,
    models_body,
    stream_error_event,
)
from overspill.wire.sse import SseDecoder


def test_an_error_has_all_four_fields_even_when_they_are_null() -> None:
    assert json.loads(error_body("no such model", kind="invalid_request_error")) == {
        "error": {"message": "no such model", "type": "invalid_request_error", "param": None, "code": None}
    }


def test_an_error_names_its_code_and_parameter() -> None:
    body = json.loads(error_body("too long", kind="invalid_request_error", code="context_length", param="messages"))
    assert body["error"]["code"] == "context_length"
    assert body["error"]["param"] == "messages"


def test_a_stream_error_is_one_event_that_reads_as_an_error_and_is_followed_by_nothing() -> None:
    (event,) = SseDecoder().feed(stream_error_event('the "stream"\nbroke', kind="server_error", code="cut"))
    assert event.data is not None
    error = read_chunk(event.data).error
    assert error is not None
    assert (error.message, error.kind, error.code) == ('the "stream"\nbroke', "server_error", "cut")


def test_a_model_list_validates_as_the_client_s_types() -> None:
    body = json.loads(models_body([ModelCard("a", "local", 1700000000), ModelCard("b", "deepseek")]))
    assert body["object"] == "list"
    assert [Model.model_validate(row, strict=True).id for row in body["data"]] == ["a", "b"]
    assert body["data"][1]["created"] == 0


def test_an_empty_model_list_is_a_list() -> None:
    assert json.loads(models_body([])) == {"object": "list", "data": []}


def test_extra_fields_of_a_model_cannot_replace_its_identity() -> None:
    body = json.loads(model_body(ModelCard("a", "local", 5, {"context_tokens": 4096, "id": "forged"})))
    assert body == {"context_tokens": 4096, "id": "a", "object": "model", "created": 5, "owned_by": "local"}


def test_heartbeats_change_nothing_for_a_reader() -> None:
    (event,) = SseDecoder().feed(SSE_HEARTBEAT)
    assert event.data is None
    assert json.loads(JSON_HEARTBEAT + b"{}") == {}
