"""What goes out to a provider: path, headers and body."""

from __future__ import annotations

import json

import msgspec
import pytest

from overspill.core.types import Surface
from overspill.pools.upstreams.deepseek import DeepSeek
from overspill.pools.upstreams.openai_compat import OpenAICompatible, host_header
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import Origin

KEY = "sk-very-secret"
BODY = b'{"model":"m","messages":[],"unknown_field":1e400}'


def _account(**origin: object) -> Account:
    values = {"scheme": "https", "host": "api.example.com", "port": 443, "prefix": b"/v1"} | origin
    return Account(account_id="a", origin=msgspec.convert(values, Origin), api_key=KEY)


@pytest.mark.parametrize(
    ("surface", "path"),
    [
        (Surface.CHAT, b"/v1/chat/completions"),
        (Surface.COMPLETIONS, b"/v1/completions"),
        (Surface.EMBEDDINGS, b"/v1/embeddings"),
    ],
)
def test_a_call_goes_to_the_surfaces_path_below_the_prefix(surface: Surface, path: bytes) -> None:
    call = OpenAICompatible().call(surface, BODY, _account())
    assert (call.method, call.path) == (b"POST", path)


def test_a_call_carries_key_host_and_type_and_the_body_untouched() -> None:
    call = OpenAICompatible().call(Surface.CHAT, BODY, _account())
    headers = dict(call.headers)
    assert headers[b"authorization"] == b"Bearer sk-very-secret"
    assert headers[b"host"] == b"api.example.com"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"accept-encoding"] == b"identity"
    assert call.body is BODY
    assert len(headers) == len(call.headers)


def test_an_account_without_a_key_sends_no_authorization_and_extra_headers_are_added() -> None:
    account = Account(
        account_id="a", origin=Origin(host="10.0.0.9", port=8000), api_key="", extra_headers=((b"x-title", b"t"),)
    )
    headers = dict(OpenAICompatible().call(Surface.CHAT, BODY, account).headers)
    assert b"authorization" not in headers
    assert headers[b"x-title"] == b"t"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (Origin(scheme="https", host="a.b", port=443), b"a.b"),
        (Origin(scheme="https", host="a.b", port=8443), b"a.b:8443"),
        (Origin(scheme="http", host="a.b", port=80), b"a.b"),
        (Origin(scheme="http", host="::1", port=8000), b"[::1]:8000"),
    ],
)
def test_the_host_header_names_the_port_only_where_it_is_unusual(origin: Origin, host: bytes) -> None:
    assert host_header(origin) == host


def test_no_key_is_shown_when_an_account_is_printed() -> None:
    assert KEY not in repr(_account())
    assert KEY not in str(_account())


@pytest.mark.parametrize(("name", "thinking"), [("deepseek-chat", "disabled"), ("deepseek-reasoner", "enabled")])
def test_a_retired_deepseek_name_becomes_flash_with_thinking_said_explicitly(name: str, thinking: str) -> None:
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "hé"}], "x": 1}).encode()
    sent = json.loads(DeepSeek().call(Surface.CHAT, body, _account(prefix=b"")).body)
    assert sent == {
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": "hé"}],
        "x": 1,
        "thinking": {"type": thinking},
    }


def test_a_client_that_chose_its_thinking_keeps_it_under_a_retired_name() -> None:
    body = b'{"model":"deepseek-chat","thinking":{"type":"enabled"},"messages":[]}'
    sent = json.loads(DeepSeek().call(Surface.CHAT, body, _account(prefix=b"")).body)
    assert sent["thinking"] == {"type": "enabled"}


@pytest.mark.parametrize("body", [b'{"model":"deepseek-flash"}', b'{"model":"deepseek-v4-pro","n":1e999}', b"{}"])
def test_todays_names_pass_byte_for_byte(body: bytes) -> None:
    assert DeepSeek().call(Surface.CHAT, body, _account(prefix=b"")).body is body


@pytest.mark.parametrize("prefix", [b"", b"/v1", b"/beta"])
def test_deepseeks_completions_go_to_the_beta_path_without_thinking(prefix: bytes) -> None:
    call = DeepSeek().call(Surface.COMPLETIONS, b'{"model":"deepseek-chat","prompt":"a"}', _account(prefix=prefix))
    assert call.path == b"/beta/completions"
    assert json.loads(call.body) == {"model": "deepseek-flash", "prompt": "a"}


def test_deepseek_continues_a_message_on_the_beta_path_only() -> None:
    def path_of(*messages: dict[str, object]) -> bytes:
        body = json.dumps({"model": "deepseek-flash", "messages": messages}).encode()
        return DeepSeek().call(Surface.CHAT, body, _account()).path

    assert path_of({"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "prefix": True}) == (
        b"/beta/chat/completions"
    )
    assert path_of({"role": "user", "content": "a"}) == b"/v1/chat/completions"
    assert path_of({"role": "user", "content": "a", "prefix": False}) == b"/v1/chat/completions"
    assert path_of({"role": "user", "content": 'say "prefix"'}) == b"/v1/chat/completions"
    assert DeepSeek().call(Surface.CHAT, b'{"model":"m","x":"prefix"}', _account()).path == b"/v1/chat/completions"


def test_deepseek_chat_keeps_the_prefix() -> None:
    assert DeepSeek().call(Surface.CHAT, b"{}", _account()).path == b"/v1/chat/completions"
