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


KEYS = st.sampled_from(
    ["model", "messages", "messages", "stream", "max_tokens", "max_tokens", "temperature", "tools", "functions",
     "stream_options", "max_completion_tokens", "\\u006dodel", "mess\\u0061ges", "strea\\u006d", "role"]
)  # fmt: skip
ROLES = st.sampled_from(['"user"', '"us\\u0065r"', "null", "1", '"user","role":2', '"user","content":"\\ud83d\\ude42"'])
RAW_MESSAGES = st.lists(
    st.one_of(ROLES.map('{{"role":{}}}'.format), st.sampled_from(["{}", "null", '"x"'])), max_size=3
)
RAW_VALUES = st.one_of(
    st.sampled_from(["null", "true", "false", "0", "1", "-1", "1.0", "1e3", "5", "2147483648", "2147483649", "9" * 30]),
    st.sampled_from(
        ['"m"', '""', '"\\u006d"', "[]", "{}", "[1]", '{"include_usage":true}', '[{"role":"user"}]', "{ }"]
    ),
    RAW_MESSAGES.map(", ".join).map("[{}]".format),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(KEYS, RAW_VALUES), max_size=4), st.sampled_from([",", " ,\n"]), st.randoms())
def test_a_plain_request_is_read_as_field_by_field(pairs: list[tuple[str, str]], comma: str, shuffle: Any) -> None:
    """A field that says nothing but asks for a closer look must change nothing: not the request, nor the refusal."""
    pairs = [("model", '"m"'), ("messages", '[{"role":"user","content":"hi"}]'), *pairs]
    if len(pairs) < 5:
        shuffle.shuffle(pairs)
    fields = [f'"{name}":{value}' for name, value in pairs]
    plain = outcome_of("chat", ("{" + comma.join(fields) + "}").encode())
    closer = outcome_of("chat", ("{" + comma.join([*fields, '"n":null']) + "}").encode())
    if isinstance(plain, WireError) or isinstance(closer, WireError):
        assert isinstance(plain, WireError)
        assert isinstance(closer, WireError)
        assert (plain.message, plain.param, plain.code) == (closer.message, closer.param, closer.code)
        return
    assert [*map(bytes, plain.fields.values())] == [*map(bytes, closer.fields.values())][:-1]
    for name in (
        "model",
        "prompt_tokens",
        "text_prefix_crc",
        "stream",
        "max_tokens",
        "n",
        "include_usage",
        "has_tools",
    ):
        assert getattr(plain, name) == getattr(closer, name)
