"""Surfaces by their names."""

from __future__ import annotations

import msgspec
import pytest

from overspill.wire.chat import write_fields
from overspill.wire.sse import Event
from overspill.wire.surfaces import answer_writer, native_reader, read_request, write_error


@pytest.mark.parametrize(
    ("surface", "body"),
    [
        ("chat", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'),
        ("chat", b'{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[]}'),
        ("completions", b'{"model":"m","prompt":"hi"}'),
        ("embeddings", b'{"model":"m","input":[1, 2]}'),
    ],
)
def test_a_request_knows_its_surface_and_openais_own_need_no_writer(surface: str, body: bytes) -> None:
    request = read_request(surface, body)
    assert request.surface == surface
    assert request.native is None
    assert answer_writer(request, "req-1", 0) is None


def test_nobody_speaks_completions_natively() -> None:
    with pytest.raises(ValueError, match="no target speaks completions"):
        native_reader("completions")


def test_a_messages_request_is_read_and_answered_in_anthropics_form() -> None:
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    request = read_request("messages", body)
    assert request.surface == "messages"
    writer = answer_writer(request, "req-1", 0)
    assert writer is not None
    assert msgspec.json.decode(writer.error(404, "no", kind="k"))["request_id"] == "req-1"
    event = Event(b"", b'{"type":"message_stop"}')
    assert native_reader("messages").read(event)[1]
    error = msgspec.json.decode(write_error("messages", 404, "no", kind="k", code="c", param="p", request_id="r"))
    assert error == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no", "code": "c", "param": "p"},
        "request_id": "r",
    }


def test_a_request_of_responses_becomes_a_chat_and_keeps_its_own_form() -> None:
    request = read_request("responses", b'{"model":"m","input":"hi"}')
    assert request.surface == "responses"
    assert request.native is not None
    assert answer_writer(request, "req-1", 0) is not None


def test_an_error_in_openais_form() -> None:
    body = msgspec.json.decode(write_error("chat", 400, "no", kind="k", code="c", param="p"))
    assert body == {"error": {"message": "no", "type": "k", "param": "p", "code": "c"}}


def test_a_clients_own_fields_are_written_with_another_model() -> None:
    fields = {"model": msgspec.Raw(b'"mine"'), "x": msgspec.Raw(b"[1.0]")}
    assert write_fields(fields, model="theirs") == b'{"model":"theirs","x":[1.0]}'
