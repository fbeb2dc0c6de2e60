"""Surfaces by their names."""

from __future__ import annotations

import msgspec
import pytest

from overspill.wire.chat import write_fields
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
