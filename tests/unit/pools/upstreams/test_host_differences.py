"""What differs from host to host below one dialect: where the key goes, and which fields are taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.core.types import Surface
from overspill.pools.upstreams import registry
from overspill.pools.upstreams.allowed import only_allowed
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import Origin

ORIGIN = Origin(scheme="https", host="api.example.com", port=443, prefix=b"/v1")


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ("bearer", (b"authorization", b"Bearer sk-1")),
        ("api-key", (b"api-key", b"sk-1")),
        ("x-api-key", (b"x-api-key", b"sk-1")),
    ],
)
def test_the_key_goes_where_the_host_reads_it(auth: str, header: tuple[bytes, bytes]) -> None:
    account = Account(account_id="a", origin=ORIGIN, api_key="sk-1", auth=auth, extra_headers=((b"x-more", b"1"),))
    call = registry.create("openai_compatible").call(Surface.CHAT, b"{}", account)
    assert header in call.headers
    assert sum(value.endswith(b"sk-1") for _, value in call.headers) == 1
    assert call.headers[-1] == (b"x-more", b"1")
    assert "sk-1" not in repr(account)


def test_without_a_key_no_header_is_sent() -> None:
    call = registry.create("openai_compatible").call(
        Surface.CHAT, b"{}", Account(account_id="a", origin=ORIGIN, api_key="")
    )
    assert b"authorization" not in dict(call.headers)


@pytest.mark.parametrize(
    ("body", "kept", "dropped"),
    [
        ({"model": "m", "messages": []}, {"model": "m", "messages": []}, ()),
        ({"model": "m", "user": "u", "seed": 1}, {"model": "m"}, ("user", "seed")),
        ({"max_completion_tokens": 5}, {"max_tokens": 5}, ()),
        ({"max_completion_tokens": 5, "max_tokens": 9}, {"max_tokens": 9}, ()),
        ({"max_completion_tokens": 5, "user": "u"}, {"max_tokens": 5}, ("user",)),
    ],
)
def test_only_fields_that_the_host_knows_are_sent(
    body: dict[str, Any], kept: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    allowed = frozenset({"model", "messages", "max_tokens"})
    sent, left_out = only_allowed(json.dumps(body).encode(), allowed)
    assert json.loads(sent) == kept
    assert left_out == dropped


def test_a_limit_is_not_renamed_where_neither_name_is_known() -> None:
    assert only_allowed(b'{"max_completion_tokens":5,"a":1}', frozenset({"a"})) == (
        b'{"a":1}',
        ("max_completion_tokens",),
    )
