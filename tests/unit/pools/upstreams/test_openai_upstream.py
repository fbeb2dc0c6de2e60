"""What goes out to OpenAI's own API, and what its failed responses mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.core.types import FailureKind, Surface
from overspill.pools.upstreams import registry
from overspill.pools.upstreams.openai import OpenAI
from overspill.pools.upstreams.protocol import Account
from overspill.wire.form import History
from overspill.wire.http import Origin

ACCOUNT = Account(
    account_id="a",
    origin=Origin(scheme="https", host="api.openai.com", port=443, prefix=b"/v1"),
    api_key="sk-1",
)


def sent(surface: Surface = Surface.CHAT, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"model": "gpt-6", "messages": [], **fields}).encode()
    found: dict[str, Any] = json.loads(OpenAI().call(surface, body, ACCOUNT).body)
    return found


def test_the_limit_of_a_chat_goes_by_the_name_that_all_models_take() -> None:
    assert sent(max_tokens=5) == {"model": "gpt-6", "messages": [], "max_completion_tokens": 5}
    assert sent(max_tokens=5, max_completion_tokens=7)["max_completion_tokens"] == 7
    assert "max_tokens" not in sent(max_tokens=5, max_completion_tokens=7)
    assert sent(Surface.COMPLETIONS, max_tokens=5)["max_tokens"] == 5


def test_a_body_without_the_limit_stays_as_it_is() -> None:
    for body in (b'{"model":"m"}', b'{"model":"m","user":"\\"max_tokens\\""}', b'{"tools":[{"max_tokens": 1}]}'):
        assert OpenAI().call(Surface.CHAT, body, ACCOUNT).body is body
    quoted = b'{"tools": [{"max_tokens": 1}], "model": "m"}'
    assert OpenAI().call(Surface.CHAT, quoted, ACCOUNT).body is quoted


def test_a_request_of_responses_goes_to_their_own_path_as_it_came() -> None:
    body = b'{"model": "gpt-6", "input": "hi"}'
    call = OpenAI().call_native("responses", body, ACCOUNT)
    assert (call.method, call.path) == (b"POST", b"/v1/responses")
    assert call.body is body
    assert dict(call.headers)[b"authorization"] == b"Bearer sk-1"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, FailureKind.RATE_LIMITED),
        ({"type": "response.failed", "response": {"error": None}}, FailureKind.MALFORMED),
        ({"response": {"error": "oops"}}, FailureKind.MALFORMED),
        ({"error": {"message": "oops", "code": "insufficient_quota"}}, FailureKind.NO_MONEY),
    ],
)
def test_the_error_of_a_failed_response_is_found(body: dict[str, Any], kind: FailureKind) -> None:
    assert OpenAI().classify(200, (), json.dumps(body).encode()).kind is kind


def test_it_is_there_by_its_name() -> None:
    adapter = registry.create("openai")
    assert (adapter.kind, adapter.native) == ("openai", ("responses",))
    assert adapter.form.history is History.STRIP
