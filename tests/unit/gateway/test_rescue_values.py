"""What is reckoned at a seam: who may go on, what the client has, and what the whole answer used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.continuing import PREFILL

from overspill.core.commands import StartAttempt
from overspill.core.events import Cut
from overspill.core.types import RescueRefusal, Surface
from overspill.gateway.asking import body_of
from overspill.gateway.kept import Kept
from overspill.gateway.live_target import LiveEngine
from overspill.gateway.rescue import cut_of, resume, whole_usage
from overspill.pools.engines.llamacpp import LlamaServer
from overspill.wire.answers import Usage
from overspill.wire.chat import parse_request
from overspill.wire.continuation import CannotContinue
from overspill.wire.http import Origin
from overspill.wire.request import Request

START = StartAttempt(request_id="r", attempt_id=2, target_id="b", model="there", resumes=True)


def asked(**fields: Any) -> Request:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "q"}], **fields}
    return parse_request("chat", json.dumps(body).encode())


def kept(request: Request, *texts: str) -> Kept:
    keep = Kept(request, is_chat=True)
    keep.texts += texts
    return keep


def target(**contracts: Any) -> LiveEngine:
    live = LiveEngine("b", LlamaServer(), Origin(), "")
    live.contracts.update(contracts)
    return live


def test_an_attempt_goes_on_by_the_contract_that_was_seen_for_its_model() -> None:
    request = asked()
    found = resume(START, kept(request, "One", " two"), request, Surface.CHAT, target(there=PREFILL), "a")
    assert json.loads(found.continuation.body)["messages"][-1]["content"] == "One"
    assert found.label == b": overspill rescued at=7 from=a"
    assert body_of(request, Surface.CHAT, "x", is_stream=True, resumption=found) == found.continuation.body
    for live, keep in ((target(other=PREFILL), kept(request, "One", " two")), (target(there=PREFILL), None)):
        with pytest.raises(CannotContinue) as caught:
            resume(START, keep, request, Surface.CHAT, live, "a")
        assert caught.value.reason == RescueRefusal.UNVERIFIED


def test_every_reason_not_to_continue_is_a_word_of_the_core() -> None:
    assert cut_of(kept(asked(), "One"), asked()) == Cut(output_tokens=1)
    request = asked(n=2)
    assert cut_of(kept(request, "a", "b"), request) == Cut(output_tokens=2, refusal=RescueRefusal.SEVERAL_CHOICES)


def test_the_usage_of_the_whole_answer_is_reckoned_from_its_last_part() -> None:
    request = asked()
    seam = resume(START, kept(request, "One", " two", " three"), request, Surface.CHAT, target(there=PREFILL), "a")
    usage = Usage(prompt_tokens=12, cached_tokens=10, output_tokens=5, reasoning_tokens=0)
    assert whole_usage(usage, seam) == Usage(prompt_tokens=10, cached_tokens=10, output_tokens=7, reasoning_tokens=0)
    assert whole_usage(Usage(cached_tokens=1), seam) == Usage(cached_tokens=1)
    assert whole_usage(usage, None) is usage
    assert whole_usage(None, seam) is None
