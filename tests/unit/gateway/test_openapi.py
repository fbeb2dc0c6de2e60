"""The OpenAPI document says of each path what the gateway does there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.gateways import address_of, serving
from tests.support.loops import run
from tests.support.raw_client import get

from overspill import __version__
from overspill.gateway.openapi import document
from overspill.gateway.openapi.parts import PARAMETERS
from overspill.gateway.routes import OPEN_PAGES, PATHS, methods_of
from overspill.gateway.wishes import PREFIX, read_wishes

DOCUMENT = document(__version__)
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]


def parts_of(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from parts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts_of(inner)


def test_each_path_is_described_with_the_methods_that_it_takes() -> None:
    assert set(PATHS) <= set(DOCUMENT["paths"])
    for path, item in DOCUMENT["paths"].items():
        taken = methods_of(re.sub(r"\{\w+\}", "one", path))
        assert taken is not None, path
        assert {method.upper() for method in item} == set(taken) - {"OPTIONS"}, path


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    used = {part["$ref"] for part in parts_of(DOCUMENT) if isinstance(part.get("$ref"), str)}
    for reference in used:
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    kinds = ("schemas", "parameters", "responses")
    there = {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}
    assert {name for name in there - used if "/responses/" not in name} == set()


def test_every_operation_has_an_id_of_its_own_and_says_how_it_fails() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    for path, method, operation in OPERATIONS:
        if method == "head":
            assert "default" in operation["responses"]
        else:
            assert {"401", "404", "405", "500"} <= set(operation["responses"]), (path, method)
        if method == "post" and "requestBody" in operation:
            assert {"413", "415"} <= set(operation["responses"])


def test_only_open_pages_need_no_key() -> None:
    free = {path for path, _, operation in OPERATIONS if operation.get("security") == []}
    assert free == OPEN_PAGES


def test_every_path_parameter_is_described() -> None:
    for path, _, operation in OPERATIONS:
        named = {one["name"] for one in operation.get("parameters", ()) if one.get("in") == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))


def test_every_wish_is_described_and_what_is_described_is_taken() -> None:
    names = {parameter["name"] for parameter in PARAMETERS.values()}
    with pytest.raises(Exception, match="known: ") as raised:
        read_wishes([(PREFIX + b"nothing", b"1")])
    known = str(raised.value).rpartition("known: ")[2].split(", ")
    assert {f"x-overspill-{wish}" for wish in known} | {"x-request-id"} == names
    for parameter in PARAMETERS.values():
        for value in parameter["schema"].get("enum", ()):
            read_wishes([(parameter["name"].encode(), value.encode())])


def test_every_example_has_what_is_required() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            assert set(schema["required"]) <= set(example)


def test_it_is_served_without_a_key() -> None:
    async def main() -> None:
        async with serving(
            '{"server": {"port": 0, "api_keys": ["env:GATE_KEY"]}, "ledger": {"enabled": false}}'
        ) as gateway:
            for _ in range(2):
                reply = await get(address_of(gateway), "/openapi.json")
                assert reply.status == 200
                assert reply.json() == DOCUMENT

    run(main())
