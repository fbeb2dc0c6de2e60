"""What binds an answer's form is written where each server reads it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from overspill.wire.bounds import write_bounds
from overspill.wire.form import ChatForm

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
WRITTEN = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
ANY = {"type": "json_schema", "json_schema": {"name": "object", "schema": {"type": "object"}}}
PLAIN, GUIDED, STUDIO = ChatForm(), ChatForm(is_guided=True), ChatForm(needs_json_schema=True)


def write(fields: dict[str, Any], form: ChatForm = PLAIN) -> tuple[dict[str, Any], list[str]]:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    said, gone = write_bounds(raw, form)
    return msgspec.json.decode(msgspec.json.encode(said)), gone


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({"guided_json": SCHEMA}, ["guided_json"]),
        ({"guided_json": msgspec.json.encode(SCHEMA).decode()}, ["guided_json"]),
        ({"json_schema": SCHEMA}, ["json_schema"]),
        ({"format": SCHEMA}, ["format"]),
        ({"structured_outputs": {"json": SCHEMA}}, ["structured_outputs"]),
    ],
)
def test_a_schema_in_another_field_is_written_as_all_servers_read_it(fields: dict[str, Any], gone: list[str]) -> None:
    assert write(fields) == ({"response_format": WRITTEN}, gone)


def test_ollamas_word_for_any_object() -> None:
    assert write({"format": "json"}) == ({"response_format": {"type": "json_object"}}, ["format"])
    assert write({"format": "json"}, STUDIO) == ({"response_format": ANY}, ["format"])


def test_what_the_client_said_in_openais_way_stays() -> None:
    assert write({"response_format": WRITTEN, "guided_json": SCHEMA}) == ({}, [])
    assert write({"response_format": {"type": "json_object"}}) == ({}, [])
    assert write({"response_format": None}, STUDIO) == ({}, [])


def test_a_server_that_knows_only_schemas_gets_one_that_any_object_follows() -> None:
    assert write({"response_format": {"type": "json_object"}}, STUDIO) == ({"response_format": ANY}, [])


def test_vllm_gets_other_bounds_in_the_words_of_all_its_versions() -> None:
    assert write({"guided_regex": "a+"}, GUIDED) == ({"structured_outputs": {"regex": "a+"}}, [])
    assert write({"guided_choice": ["a"], "guided_grammar": ""}, GUIDED) == (
        {"structured_outputs": {"choice": ["a"]}},
        [],
    )
    assert write({"structured_outputs": {"choice": ["a"]}}, GUIDED) == ({"guided_choice": ["a"]}, [])
    both = {"structured_outputs": {"regex": "b"}, "guided_regex": "a"}
    assert write(both, GUIDED) == ({}, [])
    assert write({"guided_regex": "a+"}) == ({}, [])
    assert write({"structured_outputs": {}}, GUIDED) == ({}, [])


@pytest.mark.parametrize("raw", [b'"x"', b'"{"', b"[1]", b"7"])
def test_what_cannot_be_read_is_the_targets_to_refuse(raw: bytes) -> None:
    said, gone = write_bounds({"structured_outputs": msgspec.Raw(raw)}, GUIDED)
    assert (said, gone) == ({}, [])
    assert write_bounds({"guided_json": msgspec.Raw(b'"{"')}, PLAIN) == ({}, [])
