from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.errors import WireError
from overspill.wire.chat import parse_request, rewrite
from overspill.wire.request import Request, SurfaceName

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> Request:
    return parse_request("chat", json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode())


def refusal(body: bytes | dict[str, Any], surface: SurfaceName = "chat") -> WireError:
    with pytest.raises(WireError) as caught:
        parse_request(surface, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert caught.value.status == 400
    assert caught.value.kind == "invalid_request_error"
    return caught.value


def refused_field(**fields: Any) -> WireError:
    return refusal({"model": "m", "messages": MESSAGES, **fields})


def test_a_plain_request_has_the_defaults_of_the_api() -> None:
    request = chat()
    assert request.model == "m"
    assert (request.stream, request.max_tokens, request.n, request.include_usage, request.has_tools) == (
        False, None, 1, False, False,
    )  # fmt: skip
    assert list(request.fields) == ["model", "messages"]


def test_every_field_that_a_decision_needs_is_read() -> None:
    request = chat(stream=True, max_tokens=7, n=2, stream_options={"include_usage": True}, tools=[{"type": "function"}])
    assert (request.stream, request.max_tokens, request.n, request.include_usage, request.has_tools) == (
        True, 7, 2, True, True,
    )  # fmt: skip


def test_null_is_the_same_as_absent() -> None:
    request = chat(
        stream=None,
        max_tokens=None,
        max_completion_tokens=None,
        n=None,
        stream_options=None,
        tools=None,
        functions=None,
    )
    assert (request.stream, request.max_tokens, request.n, request.include_usage, request.has_tools) == (
        False, None, 1, False, False,
    )  # fmt: skip


def test_max_completion_tokens_wins_over_max_tokens() -> None:
    assert chat(max_tokens=5, max_completion_tokens=9).max_tokens == 9
    assert chat(max_completion_tokens=9).max_tokens == 9


def test_stream_options_without_usage_ask_for_none() -> None:
    assert not chat(stream=True, stream_options={}).include_usage
    assert not chat(stream=True, stream_options={"include_usage": False}).include_usage


def test_functions_are_tools_and_an_empty_list_is_none() -> None:
    assert chat(functions=[{"name": "f"}]).has_tools
    assert not chat(tools=[]).has_tools


def test_tools_count_as_part_of_the_prompt() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "x" * 400}}
    assert chat(tools=[tool]).prompt_tokens >= chat().prompt_tokens + 100


def test_the_prefix_hash_sees_the_first_kibibyte_only() -> None:
    def prefix(text: str) -> int:
        return chat(messages=[{"role": "user", "content": text}]).text_prefix_crc

    assert prefix("x" * 2000 + "a") == prefix("x" * 2000 + "b")
    assert prefix("a" + "x" * 2000) != prefix("b" + "x" * 2000)


@pytest.mark.parametrize("prompt", ["hi", ["hi", "you"], [1, 2], [[1], [2, 3]]])
def test_a_prompt_may_have_each_of_its_four_forms(prompt: Any) -> None:
    body = json.dumps({"model": "m", "prompt": prompt, "max_tokens": 3, "stream": True}).encode()
    request = parse_request("completions", body)
    assert (request.max_tokens, request.stream) == (3, True)
    embedded = parse_request("embeddings", json.dumps({"model": "m", "input": prompt}).encode())
    assert (embedded.prompt_tokens, embedded.stream) == (request.prompt_tokens, False)


def test_an_embedding_request_has_no_limit_and_no_stream_to_read() -> None:
    request = parse_request("embeddings", b'{"model":"m","input":"hi","stream":"what","n":"ever"}')
    assert (request.max_tokens, request.stream, request.n) == (None, False, 1)


def test_other_fields_are_the_target_s_business() -> None:
    assert bytes(chat(temperature="hot").fields["temperature"]) == b'"hot"'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ends too early, after 0 bytes"),
        (b'{"model": "m"', "ends too early, after 13 bytes"),
        (b'{"model": m}', "byte 10"),
        (b'{"model": "m",}', "trailing comma in object (byte 14)"),
        (b'{"model": "m"} x', "trailing characters"),
        (b'{"model": NaN}', "byte 10"),
        (b'{"model": 01}', "byte 11"),
        (b'\xef\xbb\xbf{"model": "m"}', "byte 0"),
        (b'{"model": "\\ud800"}', "surrogate"),
    ],
)
def test_malformed_json_is_refused_with_the_place(body: bytes, words: str) -> None:
    error = refusal(body)
    assert "not valid JSON" in error.message
    assert words in error.message


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert "must be a JSON object" in refusal(body).message


def test_bad_utf8_is_refused_with_the_place_even_in_a_field_that_is_only_forwarded() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"user":"\xff"}'
    assert f"UTF-8 at byte {body.index(0xFF)}" in refusal(body).message
    assert "UTF-8 at byte 2" in refusal(b'{"\xff":1}').message


def test_valid_utf8_passes() -> None:
    assert parse_request(
        "chat", json.dumps({"model": "m", "messages": MESSAGES, "user": "你"}, ensure_ascii=False).encode()
    )


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    depth = 200_000
    body = b'{"model":"m","messages":' + b"[" * depth + b"]" * depth + b"}"
    assert "nested too deeply" in refusal(body).message


@pytest.mark.parametrize("depth", [*range(900, 1010, 3), *range(960, 1000)])
def test_nesting_near_the_limit_is_served_or_refused(depth: int) -> None:
    content = b"[" * depth + b"]" * depth
    body = b'{"model":"m","messages":[{"role":"user","content":' + content + b"}]}"
    try:
        request = parse_request("chat", body)
    except WireError as error:
        words = error.message
    else:
        words = rewrite(request, model="x").decode()
    assert content.decode() in words or "nested too deeply" in words


def test_a_missing_model_is_named() -> None:
    for body in ({"messages": MESSAGES}, {"model": None, "messages": MESSAGES}):
        error = refusal(body)
        assert (error.param, error.code) == ("model", "missing_required_parameter")


@pytest.mark.parametrize(("model", "code"), [(1, "invalid_type"), (["m"], "invalid_type"), ("", "invalid_value")])
def test_a_model_that_is_no_name_is_refused(model: Any, code: str) -> None:
    error = refusal({"model": model, "messages": MESSAGES})
    assert (error.param, error.code) == ("model", code)


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        (None, "messages", "missing_required_parameter"),
        ([], "messages", "empty_array"),
        ("hi", "messages", "invalid_type"),
        ({"role": "user"}, "messages", "invalid_type"),
        (["hi"], "messages[0]", "invalid_type"),
        ([*MESSAGES, None], "messages[1]", "invalid_type"),
        ([{"content": "hi"}], "messages[0]", "invalid_type"),
        ([*MESSAGES, {"role": 1}], "messages[1].role", "invalid_type"),
    ],
)
def test_messages_of_a_wrong_shape_are_refused_with_their_place(messages: Any, param: str, code: str) -> None:
    error = refusal({"model": "m", "messages": messages})
    assert (error.param, error.code) == (param, code)
    assert param in error.message


@pytest.mark.parametrize("surface", ["completions", "embeddings"])
@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        (None, "missing_required_parameter"),
        ([], "empty_array"),
        (1, "invalid_type"),
        ({"text": "hi"}, "invalid_type"),
        ([1.5], "invalid_type"),
        ([True], "invalid_type"),
        ([1, "a"], "invalid_type"),
        ([[1], 2], "invalid_type"),
        ([["a"]], "invalid_type"),
    ],
)
def test_a_prompt_of_a_wrong_shape_is_refused(surface: SurfaceName, prompt: Any, code: str) -> None:
    name = "prompt" if surface == "completions" else "input"
    error = refusal({"model": "m", name: prompt}, surface)
    assert (error.param or "").startswith(name)
    assert error.code == code


@pytest.mark.parametrize("value", ["true", 1, 0, [], {}])
def test_a_stream_flag_that_is_no_boolean_is_refused(value: Any) -> None:
    error = refused_field(stream=value)
    assert (error.param, error.code) == ("stream", "invalid_type")


def test_stream_options_of_a_wrong_shape_are_refused() -> None:
    assert refused_field(stream_options=[]).param == "stream_options"
    assert refused_field(stream_options={"include_usage": 1}).param == "stream_options.include_usage"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (-1, "integer_below_min_value"),
        (2**31, "integer_above_max_value"),
        (10**30, "integer_above_max_value"),
        (1.5, "invalid_type"),
        (-1.0, "integer_below_min_value"),
        ("5", "invalid_type"),
        (True, "invalid_type"),
        ([1], "invalid_type"),
    ],
)
def test_a_count_out_of_its_range_is_refused(name: str, value: Any, code: str) -> None:
    error = refused_field(**{name: value})
    assert (error.param, error.code) == (name, code)
    assert f"'{name}'" in error.message


def test_the_bounds_themselves_are_allowed() -> None:
    assert chat(max_tokens=2**31 - 1).max_tokens == 2**31 - 1
    assert chat(max_tokens=0).max_tokens == 0
    assert chat(n=128).n == 128
    assert refused_field(n=0).message == "'n' is 0; it must be at least 1."
    assert refused_field(n=129).code == "integer_above_max_value"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
def test_a_whole_number_in_the_form_of_a_fraction_is_passed_on_as_one(name: str) -> None:
    request = chat(**{name: 7.0})
    assert bytes(request.fields[name]) == b"7"
    assert 7 in (request.max_tokens, request.n)


@pytest.mark.parametrize(("surface", "name"), [("completions", "prompt"), ("embeddings", "input")])
@pytest.mark.parametrize("prompt", ["", ["a", ""], [[1], []]])
def test_an_empty_prompt_or_element_is_refused(surface: SurfaceName, name: str, prompt: Any) -> None:
    with pytest.raises(WireError) as refused:
        parse_request(surface, json.dumps({"model": "m", name: prompt}).encode())
    assert (refused.value.param, refused.value.code) == (name, "invalid_value")


def test_an_absurdly_long_number_is_refused_in_short_words() -> None:
    body = b'{"model":"m","messages":[{"role":"user"}],"max_tokens":' + b"9" * 1_000_000 + b"}"
    assert len(refusal(body).message) < 120


def test_a_rewrite_changes_only_what_it_names() -> None:
    body = b'{"z": {"a": 1.50}, "model": "m", "messages":[ {"role":"user","content":"\\u00e9"} ], "seed":1e999}'
    assert rewrite(parse_request("chat", body), model="other") == (
        b'{"z":{"a": 1.50},"model":"other","messages":[ {"role":"user","content":"\\u00e9"} ],"seed":1e999}'
    )


def test_a_rewrite_sets_the_stream_flag_where_it_stood_or_at_the_end() -> None:
    assert list(json.loads(rewrite(chat(stream=False, user="u"), model="m", stream=True)))[2:] == ["stream", "user"]
    assert json.loads(rewrite(chat(), model="m", stream=True))["stream"] is True


def test_a_rewrite_that_asks_for_usage_keeps_the_other_stream_options() -> None:
    request = chat(stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
    assert json.loads(rewrite(request, model="m", include_usage=True))["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert json.loads(rewrite(chat(stream=True), model="m", include_usage=True))["stream_options"] == {
        "include_usage": True
    }


def test_a_rewrite_without_usage_adds_no_stream_options() -> None:
    assert "stream_options" not in json.loads(rewrite(chat(stream=True), model="m", include_usage=False))
    asked = chat(stream=True, stream_options={"include_usage": True})
    assert json.loads(rewrite(asked, model="m", include_usage=False))["stream_options"] == {"include_usage": False}
    assert json.loads(rewrite(asked, model="m"))["stream_options"] == {"include_usage": True}


def test_a_rewrite_without_a_stream_drops_its_options() -> None:
    request = chat(stream=True, stream_options={"include_usage": True})
    fields = json.loads(rewrite(request, model="m", stream=False, include_usage=True))
    assert fields["stream"] is False
    assert "stream_options" not in fields


def test_a_rewrite_drops_and_adds_what_an_adapter_names() -> None:
    fields = json.loads(rewrite(chat(user="u"), model="m", drop=("user", "absent"), extra={"user_id": "h", "n": 1}))
    assert fields == {"model": "m", "messages": MESSAGES, "user_id": "h", "n": 1}


def test_a_rewrite_leaves_the_request_as_it_was() -> None:
    request = chat(user="u")
    rewrite(request, model="x", stream=True, drop=("user",), extra={"a": 1})
    assert rewrite(request, model="m") == rewrite(chat(user="u"), model="m")


@pytest.mark.parametrize("key", [b'"model"', b'"\\u006dodel"', b'"mod\\u0065l"'])
def test_of_a_key_that_comes_twice_the_target_gets_the_one_that_was_checked(key: bytes) -> None:
    body = b'{"model":"allowed","messages":[{"role":"user"}],' + key + b':"forbidden"}'
    request = parse_request("chat", body)
    assert request.model == "forbidden"
    sent = rewrite(request, model=request.model)
    assert sent == b'{"model":"forbidden","messages":[{"role":"user"}]}'
