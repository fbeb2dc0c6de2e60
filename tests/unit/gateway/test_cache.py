from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overspill.config.scalars import Duration, Size
from overspill.config.schema import CacheConfig
from overspill.core.types import Surface
from overspill.gateway.cache import AnswerCache, CacheCounts, Keeping, KeptAnswer, Scope, is_repeatable
from overspill.wire.chat import parse_request
from overspill.wire.messages.request import read_messages
from overspill.wire.request import Request

CHAT = Surface.CHAT


def cache_of(scope: str = "key", **more: Any) -> AnswerCache:
    config = CacheConfig(enabled=True, **more)
    return AnswerCache(config, Scope(scope, {"ann": "red", "bob": "red", "cid": "blue"}), CacheCounts())


def request_of(body: bytes | None = None, **fields: Any) -> Request:
    fields = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_request("chat", body or msgspec.json.encode(fields))


def answer_of(body: bytes = b"answer", at: float = 0.0) -> KeptAnswer:
    return KeptAnswer(body, False, None, "stop", at)


def test_the_same_request_has_the_same_key_whatever_the_order_of_its_fields() -> None:
    cache = cache_of()
    first = request_of(b'{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0}')
    second = request_of(b'{"temperature":0, "messages":[{"role":"user","content":"hi"}], "model":"m"}')
    assert cache.key("m", first, "ann", False) == cache.key("m", second, "ann", False)


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0},
        {"stream": True},
        {"model": "n"},
        {"unknown": 1},
        {"messages": [{"role": "user", "content": "hi "}]},
    ],
)
def test_any_other_field_is_another_key(other: dict[str, Any]) -> None:
    cache = cache_of()
    assert cache.key("m", request_of(), "ann", False) != cache.key("m", request_of(**other), "ann", False)


def test_what_a_translation_leaves_out_is_another_key_too() -> None:
    cache = cache_of()
    keys = set()
    for display in ("summarized", "omitted"):
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        body["thinking"] = {"type": "adaptive", "display": display}
        request = read_messages(msgspec.json.encode(body))
        keys.add((msgspec.json.encode(request.fields), cache.key("m", request, "ann", False)))
    assert len({fields for fields, _ in keys}) == 1
    assert len({key for _, key in keys}) == 2


def test_a_boundary_between_fields_cannot_be_moved() -> None:
    cache = cache_of()
    first, second = request_of(a="b", c="d"), request_of(a='b","c":"d')
    assert cache.key("m", first, "", False) != cache.key("m", second, "", False)


def test_surface_route_and_binding_are_part_of_the_key() -> None:
    cache, fields = cache_of("all"), request_of().fields
    keys = {
        cache.key(
            route,
            Request(fields=fields, model="m", prompt_tokens=1, text_prefix_crc=0, surface=surface),
            "ann",
            bound,
        )
        for surface in ("chat", "messages")  # a kept answer is in its client's form
        for route in ("m", "*")
        for bound in (True, False)
    }
    assert len(keys) == 8


@pytest.mark.parametrize(
    ("scope", "sharing"),
    [
        ("key", [{"ann"}, {"bob"}, {"cid"}, {"dan"}]),
        ("team", [{"ann", "bob"}, {"cid"}, {"dan"}]),
        ("all", [{"ann", "bob", "cid", "dan"}]),
    ],
)
def test_who_shares_answers_is_configured(scope: str, sharing: list[set[str]]) -> None:
    cache, request = cache_of(scope), request_of()
    groups: dict[bytes, set[str]] = {}
    for key_id in ("ann", "bob", "cid", "dan"):
        groups.setdefault(cache.key("m", request, key_id, False), set()).add(key_id)
    assert list(groups.values()) == sharing
    bound = {cache.key("m", request, key_id, True) for key_id in ("ann", "bob", "cid", "dan")}
    assert len(bound) == 4  # what must stay local is nobody else's


def test_a_team_named_like_a_key_is_not_that_key() -> None:
    cache = AnswerCache(CacheConfig(), Scope("team", {"ann": "bob"}), CacheCounts())
    request = request_of()
    assert cache.key("m", request, "ann", False) != cache.key("m", request, "bob", False)


def test_an_answer_is_given_again_until_it_is_too_old() -> None:
    cache = cache_of(ttl=Duration(10))
    cache.put(b"k", answer_of(at=5.0))
    assert cache.get(b"k", 15.0) == answer_of(at=5.0)
    assert cache.get(b"k", 15.1) is None
    assert (len(cache), cache.size_bytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5000), st.booleans()), max_size=60))
def test_the_memory_stays_within_its_bound_and_what_was_used_last_stays(steps: list[tuple[int, int, bool]]) -> None:
    cache = cache_of(max_bytes=Size(12_000))
    order: list[int] = []
    for number, size, asks in steps:
        key = bytes([number])
        if asks:
            found = cache.get(key, 0.0)
            assert (found is not None) == (number in order)
            if found is not None:
                order.remove(number)
                order.append(number)
            continue
        cache.put(key, answer_of(b"x" * size))
        if number in order:
            order.remove(number)
        order.append(number)
        order = order[-len(cache) :] if len(cache) else []
        assert cache.size_bytes <= 12_000
        assert cache.size_bytes == sum(len(a.body) + 600 for a in cache._answers.values())
        assert list(cache._answers) == [bytes([n]) for n in order]


def test_an_answer_larger_than_all_memory_is_not_kept() -> None:
    cache = cache_of(max_bytes=Size(1000))
    cache.put(b"k", answer_of(b"old"))
    cache.put(b"k", answer_of(b"x" * 1000))
    assert (len(cache), cache.size_bytes) == (0, 0)


def kept(
    *pieces: bytes, finish: str | None, limited: bool = False, surface: Surface = CHAT, **more: Any
) -> bytes | None:
    cache = cache_of(**more)
    keeping = Keeping(cache, b"k", surface, is_limited=limited)
    for piece in pieces:
        keeping.add(piece)
    keeping.whole(is_stream=True, usage=None, finish_reason=finish, now=0.0)
    found = cache.get(b"k", 0.0)
    return None if found is None else found.body


@pytest.mark.parametrize(
    ("finish", "limited", "is_kept"),
    [
        ("stop", False, True),
        ("tool_calls", False, True),
        ("function_call", True, True),
        ("length", True, True),  # where the client wanted it to end
        ("length", False, False),  # where the context ended
        ("content_filter", False, False),
        ("insufficient_system_resource", True, False),
        (None, False, False),
    ],
)
def test_only_an_answer_that_ended_by_itself_is_kept(finish: str | None, limited: bool, is_kept: bool) -> None:
    assert kept(b"ab", b"cd", finish=finish, limited=limited) == (b"abcd" if is_kept else None)


def test_an_embedding_has_no_end_and_is_kept() -> None:
    assert kept(b"[1]", finish=None, surface=Surface.EMBEDDINGS) == b"[1]"


def test_an_answer_that_gets_too_long_is_let_go_and_stays_so() -> None:
    assert kept(b"x" * 60, b"y" * 60, b"z", finish="stop", max_entry=Size(100)) is None
    assert kept(b"x" * 60, b"y" * 40, finish="stop", max_entry=Size(100)) == b"x" * 60 + b"y" * 40
    assert kept(finish="stop") is None


@pytest.mark.parametrize(
    ("fields", "repeatable"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": 1e-9}, False),
        ({"temperature": 1}, False),
        ({"temperature": None}, False),
        ({"temperature": "0"}, False),
        ({"temperature": []}, False),
        ({}, False),
    ],
)
def test_only_temperature_0_comes_out_the_same_each_time(fields: dict[str, Any], repeatable: bool) -> None:
    assert is_repeatable(CHAT, request_of(**fields)) is repeatable


def test_an_embedding_comes_out_the_same_each_time() -> None:
    assert is_repeatable(Surface.EMBEDDINGS, parse_request("embeddings", b'{"model": "m", "input": "x"}'))
