from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.errors import WireError
from overspill.wire.chat import parse_request, rewrite
from overspill.wire.request import Request, SurfaceName

SURFACES: st.SearchStrategy[SurfaceName] = st.sampled_from(["chat", "completions", "embeddings"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["model", "messages", "prompt", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens",
     "n", "tools", "functions", "temperature"]
)  # fmt: skip
NEARLY = st.one_of(
    JSON,
    st.sampled_from(["m", True, 1, 1.0, -1, 2**40, [], {}, ["a"], [1], [[1]], {"include_usage": True}]),
    st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXT}), max_size=3),
)
UNKNOWN = TEXT.filter(lambda name: name not in ("model", "messages", "stream", "stream_options", "n", "max_tokens"))


def outcome_of(surface: SurfaceName, body: bytes) -> Request | WireError:
    try:
        return parse_request(surface, body)
    except WireError as error:
        return error


def check(surface: SurfaceName, body: bytes) -> None:
    """Parse; a refusal must be a client's error, a success must write JSON that parses to the same again."""
    request = outcome_of(surface, body)
    if isinstance(request, WireError):
        assert request.status == 400
        assert request.message
        return
    assert request.model
    assert request.prompt_tokens >= 1
    again = parse_request(surface, rewrite(request, model=request.model))
    assert (again.model, again.stream, again.max_tokens, again.n, again.prompt_tokens, again.text_prefix_crc) == (
        request.model, request.stream, request.max_tokens, request.n, request.prompt_tokens, request.text_prefix_crc,
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(SURFACES, st.binary(max_size=120))
def test_any_bytes_are_refused_in_words(surface: SurfaceName, body: bytes) -> None:
    check(surface, body)


@settings(max_examples=200, deadline=None)
@given(SURFACES, JSON)
def test_any_json_is_refused_in_words(surface: SurfaceName, value: Any) -> None:
    check(surface, json.dumps(value).encode())


@settings(max_examples=600, deadline=None)
@given(SURFACES, st.dictionaries(NAMES, NEARLY, max_size=6), st.booleans())
def test_any_fields_are_served_or_refused_in_words(
    surface: SurfaceName, fields: dict[str, Any], ascii_only: bool
) -> None:
    fields = {"model": "m", "messages": [{"role": "user"}], "prompt": "p", "input": "i", **fields}
    check(surface, json.dumps(fields, ensure_ascii=ascii_only).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=10), st.integers(0, 200), st.integers(0, 10))
def test_a_damaged_request_is_served_or_refused_in_words(noise: bytes, at: int, cut: int) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"h\\u00e9"}],"stream":true,"max_tokens":5,"n":1}'
    at %= len(body)
    check("chat", body[:at] + noise + body[at + cut :])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(UNKNOWN, JSON, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_unknown_fields_survive_byte_for_byte(extra: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    values = {name: json.dumps(value, indent=indent, ensure_ascii=ascii_only) for name, value in extra.items()}
    pairs = ['"model":"m"', '"messages": [{"role": "user"} ]']
    pairs += [f"{json.dumps(name)} : {value}" for name, value in values.items() if name != "max_completion_tokens"]
    request = parse_request("chat", ("{" + " ,\n".join(pairs) + "}").encode())
    sent = rewrite(request, model="other", stream=True)
    kept = parse_request("chat", sent).fields
    assert list(kept) == ["model", "messages", *(name for name in values if name != "max_completion_tokens"), "stream"]
    for name, raw in kept.items():
        if name in values:
            assert bytes(raw).decode() == values[name]
    assert bytes(kept["messages"]) == b'[{"role": "user"} ]'
