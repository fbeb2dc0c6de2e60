"""The rehearsal engine answers requests for embeddings, in both encodings and for every form of input."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest
from tests.support.gateways import fake_engine
from tests.support.loops import run

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fetch import Fetched, fetch
from overspill.gateway.rehearsal.embeddings import vector_of
from overspill.gateway.rehearsal.faults import ErrorStatus, Fault, SlowStart
from overspill.wire.http import HttpCall


def answered(*faults: Fault, api_key: str | None = None, **fields: Any) -> tuple[int, Any]:
    got: list[tuple[int, Any]] = []

    async def main() -> None:
        async with fake_engine(faults=faults, api_key=api_key) as engine:
            client = HttpClient()
            call = HttpCall(b"POST", b"/v1/embeddings", (), msgspec.json.encode({"model": "m", **fields}))
            answer = await fetch(client, engine.origin, call, timeout_s=20.0)
            assert isinstance(answer, Fetched)
            got.append((answer.status, msgspec.json.decode(answer.body)))
            await client.close()

    run(main())
    return got[0]


@pytest.mark.parametrize(
    ("given", "each"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
    ],
    ids=["text", "texts", "tokens", "lists of tokens"],
)
def test_each_input_has_a_vector_of_its_own(given: Any, each: list[Any]) -> None:
    status, body = answered(input=given)
    assert status == 200
    assert [row["embedding"] for row in body["data"]] == [vector_of(one) for one in each]
    assert [row["index"] for row in body["data"]] == list(range(len(each)))
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


def test_a_vector_has_the_length_1_and_depends_on_the_input() -> None:
    assert sum(number**2 for number in vector_of("one")) == pytest.approx(1)
    assert vector_of("one") == vector_of("one") != vector_of("two")


def test_dimensions_and_encoding_are_as_asked_for() -> None:
    _, body = answered(input="one", dimensions=3, encoding_format="base64")
    packed = base64.b64decode(body["data"][0]["embedding"])
    assert struct.unpack("<3f", packed) == pytest.approx(vector_of("one", 3))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"encoding_format": 1}, "encoding_format"),
        ({"input": []}, "input"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], param: str) -> None:
    status, body = answered(**{"input": "one", **fields})
    assert (status, body["error"]["param"]) == (400, param)


def test_faults_and_keys_hold_here_too() -> None:
    assert answered(ErrorStatus(every=1, status=503), input="one")[0] == 503
    assert answered(SlowStart(every=1, seconds=0.01), input="one")[0] == 200
    assert answered(api_key="secret", input="one")[0] == 401


def test_an_input_of_no_known_form_is_refused() -> None:
    assert answered(input=[None])[0] == 400
