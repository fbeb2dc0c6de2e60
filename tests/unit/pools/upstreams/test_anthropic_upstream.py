from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from overspill.core.types import FailureKind, Surface
from overspill.errors import WireError
from overspill.pools.upstreams.anthropic import Anthropic
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import HttpCall, Origin
from overspill.wire.messages.blocks import UNSIGNED
from overspill.wire.messages.native import BETAS, with_betas
from overspill.wire.messages.request import read_messages
from overspill.wire.sse import Event

CHAT = {"model": "claude-opus-4-6", "messages": [{"role": "user", "content": "hi"}], "stream": True}
NATIVE = {"model": "claude-opus-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def account(key: str = "sk-ant-api03-x", prefix: bytes = b"") -> Account:
    origin = Origin(scheme="https", host="api.anthropic.com", port=443, prefix=prefix)
    return Account(account_id="main", origin=origin, api_key=key, extra_headers=((b"x-more", b"1"),))


def called(body: dict[str, Any], **of_account: Any) -> HttpCall:
    return Anthropic().call(Surface.CHAT, json.dumps(body).encode(), account(**of_account))


def passed_on(body: dict[str, Any]) -> HttpCall:
    return Anthropic().call_native("messages", json.dumps(body).encode(), account())


def test_a_chat_is_asked_as_messages_with_the_key_in_its_own_header() -> None:
    call = called(CHAT)
    assert (call.method, call.path) == (b"POST", b"/v1/messages")
    headers = dict(call.headers)
    assert headers[b"x-api-key"] == b"sk-ant-api03-x"
    assert headers[b"anthropic-version"] == b"2023-06-01"
    assert headers[b"host"] == b"api.anthropic.com"
    assert headers[b"x-more"] == b"1"
    assert b"authorization" not in headers
    assert json.loads(call.body) == {**NATIVE, "max_tokens": 32_000, "stream": True}
    assert call.dropped == ()


def test_what_a_chat_says_and_messages_cannot_is_told() -> None:
    assert called({**CHAT, "seed": 1}).dropped == ("seed",)
    with pytest.raises(WireError, match="'n'"):
        called({**CHAT, "n": 2})


@pytest.mark.parametrize(
    ("prefix", "path"),
    [(b"/v1", b"/v1/messages"), (b"/anthropic", b"/anthropic/v1/messages"), (b"", b"/v1/messages")],
)
def test_a_base_url_may_end_with_the_version_or_before_it(prefix: bytes, path: bytes) -> None:
    assert called(CHAT, prefix=prefix).path == path


def test_the_version_is_said_once() -> None:
    newer = msgspec.structs.replace(account(), extra_headers=((b"anthropic-version", b"2027-01-01"),))
    call = Anthropic().call(Surface.CHAT, json.dumps(CHAT).encode(), newer)
    assert [value for name, value in call.headers if name == b"anthropic-version"] == [b"2027-01-01"]


def test_a_login_goes_as_a_bearer_token_and_no_key_as_nothing() -> None:
    assert dict(called(CHAT, key="sk-ant-oat01-x").headers)[b"authorization"] == b"Bearer sk-ant-oat01-x"
    assert {b"x-api-key", b"authorization"}.isdisjoint(dict(called(CHAT, key="").headers))


def test_a_messages_request_is_passed_on_as_it_came() -> None:
    call = passed_on({**NATIVE, "cache_control": {"type": "ephemeral"}})
    assert json.loads(call.body) == {**NATIVE, "cache_control": {"type": "ephemeral"}}
    assert call.path == b"/v1/messages"
    assert b"anthropic-beta" not in dict(call.headers)


def test_the_clients_betas_go_into_their_header() -> None:
    request = with_betas(read_messages(json.dumps(NATIVE).encode()), b"a-2025-01-01, b-2025-01-01 ,bad\rname,")
    assert request.native is not None
    call = passed_on({name: json.loads(bytes(raw)) for name, raw in request.native.items()})
    assert call.path == b"/v1/messages?beta=true"
    assert dict(call.headers)[b"anthropic-beta"] == b"a-2025-01-01,b-2025-01-01"
    assert json.loads(call.body) == NATIVE
    quoted = {**NATIVE, "system": f'"{BETAS}"'}
    assert json.loads(passed_on(quoted).body) == quoted
    assert json.loads(passed_on({**NATIVE, "metadata": {BETAS: 1}}).body)["metadata"] == {BETAS: 1}


def test_thoughts_that_anthropic_did_not_sign_are_not_passed_on() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": UNSIGNED}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "yes"}]}
    body = json.loads(passed_on({**NATIVE, "messages": [*NATIVE["messages"], said]}).body)  # type: ignore[misc]
    assert body["messages"][1]["content"] == [{"type": "text", "text": "yes"}]


def test_its_answers_are_read_into_chat_chunks_of_now() -> None:
    reader = Anthropic(clock=lambda: 1_700_000_000.9).reader(Surface.CHAT)
    assert reader is not None
    data = b'{"type":"message_start","message":{"id":"msg_1","model":"claude-x"}}'
    assert json.loads(reader.read(Event(b"", data))[0])["created"] == 1_700_000_000


LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"Rate limited"}}'
DATE = (b"date", b"Fri, 27 Nov 2026 05:00:00 GMT")
EMPTY = (b"anthropic-ratelimit-tokens-remaining", b"0")


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ((DATE, EMPTY, (b"anthropic-ratelimit-tokens-reset", b"2026-11-27T05:00:30Z")), 30.0),
        ((DATE, EMPTY, (b"anthropic-ratelimit-tokens-reset", b"2026-11-27T04:00:00Z")), 0.0),
        ((DATE, EMPTY, (b"anthropic-ratelimit-tokens-reset", b"2026-11-29T05:00:00Z")), 3600.0),
        ((DATE, EMPTY, (b"anthropic-ratelimit-tokens-reset", b"soon")), None),
        ((DATE, EMPTY), None),
        ((EMPTY, (b"anthropic-ratelimit-tokens-reset", b"2026-11-27T05:00:30Z")), None),
        (((b"date", b"today"), EMPTY, (b"anthropic-ratelimit-tokens-reset", b"2026-11-27T05:00:30Z")), None),
        ((DATE, EMPTY, (b"retry-after", b"7"), (b"anthropic-ratelimit-tokens-reset", b"2026-11-27T05:00:30Z")), 7.0),
    ],
)
def test_a_limit_says_when_it_is_full_again(headers: tuple[tuple[bytes, bytes], ...], wait_s: float | None) -> None:
    failure = Anthropic().classify(429, headers, LIMITED)
    assert (failure.kind, failure.retry_after_s) == (FailureKind.RATE_LIMITED, wait_s)
