"""Each request is written as its target wants it, and one that is right already is the very same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from overspill.gateway.asking import DIFFERING, Asking
from overspill.gateway.live_target import LiveUpstream
from overspill.gateway.pseudonyms import Pseudonyms
from overspill.gateway.thoughts import Thoughts
from overspill.pools.upstreams.openai_compat import OpenAICompatible
from overspill.pools.upstreams.protocol import Account
from overspill.wire.chat import USUAL_FIELDS, parse_request
from overspill.wire.form import ChatForm, History, ThinkingForm
from overspill.wire.history import thought_of_answer
from overspill.wire.http import Origin

NAMES = Pseudonyms(b"salt")
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]


def target(**form: Any) -> LiveUpstream:
    account = Account(account_id="a", origin=Origin(), api_key="k")
    return LiveUpstream("t", OpenAICompatible(), account, form=ChatForm(**form))


def write(
    asked: dict[str, Any],
    live: LiveUpstream,
    *,
    asking: Asking | None = None,
    is_outside: bool = True,
    model: str = "m",
) -> dict[str, Any] | None:
    """Return the fields that changed, ``None`` for one that went; ``None`` if the request is the very same."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **asked}
    request = parse_request("chat", msgspec.json.encode(body))
    asking = asking or Asking(Thoughts(), NAMES)
    written = asking.write(request, live, model, "key", is_outside)
    if written is request:
        return None
    fields = {name: msgspec.json.decode(raw) for name, raw in written.fields.items()}
    assert [name for name in fields if name in body] == [name for name in body if name in fields]
    names = [*fields, *(name for name in body if name not in fields)]
    return {name: fields.get(name) for name in names if fields.get(name) != body.get(name)}


@pytest.mark.parametrize("form", [{}, {"thinking": ThinkingForm.DEEPSEEK, "history": History.KEEP_WITH_TOOLS}])
def test_a_plain_request_is_not_touched(form: dict[str, Any]) -> None:
    assert write({"temperature": 0.5, "stream": True, "max_tokens": 5}, target(**form)) is None


def test_thinking_is_said_in_the_targets_way() -> None:
    live = target(thinking=ThinkingForm.ENABLE_THINKING)
    said = write({"thinking": {"type": "disabled"}, "reasoning_effort": "low"}, live)
    assert said == {"enable_thinking": False, "thinking": None, "reasoning_effort": None}
    assert write({"enable_thinking": False}, live) == {}
    assert write({"reasoning_effort": "sometimes"}, live) is None


@pytest.mark.parametrize(("name", "kind"), [("deepseek-chat", "disabled"), ("deepseek-reasoner", "enabled")])
def test_a_retired_name_keeps_its_meaning_at_every_host(name: str, kind: str) -> None:
    assert write({"model": name}, target(thinking=ThinkingForm.DEEPSEEK)) == {"thinking": {"type": kind}}
    assert write({"model": name}, target()) is None
    by_effort = target(thinking=ThinkingForm.REASONING_EFFORT)
    assert write({"model": name}, by_effort, model="gpt-4o") is None
    assert write({"model": name}, by_effort, model="DeepSeek-V4-Flash") is not None


@pytest.mark.parametrize(
    "said",
    [
        {"user": "ann"},
        {"safety_identifier": "ann"},
        {"user_id": "ann"},
        {"metadata": {"user_id": "ann"}},
        {"user": "", "metadata": {"user_id": "ann"}},
    ],
)
def test_a_users_id_goes_out_as_a_pseudonym_in_the_targets_field(said: dict[str, Any]) -> None:
    changed = write(said, target(user_field="user_id"))
    assert changed is not None
    assert changed.pop("user_id") == NAMES.of("ann", "key")
    assert changed == {name: None for name in said if name != "user_id"}


def test_what_else_is_in_metadata_stays() -> None:
    changed = write({"metadata": {"user_id": "ann", "run": "7"}}, target())
    assert changed == {"metadata": {"run": "7"}, "user": NAMES.of("ann", "key")}
    assert write({"metadata": {"run": "7"}}, target()) is None


def test_an_id_that_is_no_text_is_one_all_the_same_and_an_empty_one_is_none() -> None:
    assert write({"user": 7}, target()) == {"user": NAMES.of("7", "key")}
    assert write({"user": {"a": 1}}, target()) == {"user": NAMES.of('{"a":1}', "key")}
    assert write({"user": ""}, target()) == {"user": None}
    assert write({"user": None}, target(user_field="user_id")) == {}
    assert write({"user": "ann"}, target(user_field=None)) == {"user": None}
    assert write({"metadata": "odd"}, target()) is None


def test_at_home_a_users_id_stays_as_it_is() -> None:
    assert write({"user": "ann", "metadata": {"user_id": "ann"}}, target(), is_outside=False) is None


def test_bounds_are_written_as_the_target_reads_them() -> None:
    changed = write({"guided_json": {"type": "object"}}, target())
    assert changed is not None
    assert changed["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert changed["guided_json"] is None


def test_a_thought_is_put_back_by_the_rule_of_the_models_name() -> None:
    asking = Asking(Thoughts(), NAMES)
    answer = {"choices": [{"message": {"reasoning_content": "hm", "tool_calls": [CALL]}}]}
    thought = thought_of_answer(msgspec.json.encode(answer))
    assert thought is not None
    asking.thoughts.remember("key", thought, is_bound=True)
    for is_outside, text in ((False, "hm"), (True, "")):
        changed = write({"messages": TURNS}, target(), asking=asking, is_outside=is_outside, model="deepseek-v4-pro")
        assert changed is not None
        assert changed["messages"][1]["reasoning_content"] == text
    assert write({"messages": TURNS}, target(), asking=asking) is None


def test_a_rule_that_was_learned_goes_before_the_name() -> None:
    live = target()
    said = [{"role": "assistant", "content": "x", "reasoning_content": "hm"}]
    assert write({"messages": said}, live) is None
    live.rules["m"] = History.STRIP
    assert write({"messages": said}, live) == {"messages": [{"role": "assistant", "content": "x"}]}


def test_names_that_clients_make_up_do_not_fill_the_memory() -> None:
    live = target()
    for number in range(2000):
        assert live.history_of(f"deepseek-r1-{number}") is History.STRIP
    assert len(live.rules) == 1024


def test_a_native_request_goes_out_as_it_came_but_for_its_users() -> None:
    asking = Asking(Thoughts(), NAMES)
    native = {"model": "m", "metadata": {"user_id": "ann", "run": "7"}, "safety_identifier": "bob", "x": 1.50}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in native.items()}
    plain = parse_request("chat", b'{"model":"m","messages":[{"role":"user"}]}')
    request = plain.saying(native=raw)
    written = asking.write_native(request, "key", True).native
    assert written is not None
    said = {name: msgspec.json.decode(value) for name, value in written.items()}
    assert said == {
        **native,
        "metadata": {"user_id": NAMES.of("ann", "key"), "run": "7"},
        "safety_identifier": NAMES.of("bob", "key"),
    }
    assert list(said) == list(native)
    assert asking.write_native(request, "key", False) is request
    assert asking.write_native(plain, "key", True) is plain
    nobody = plain.saying(native={"model": raw["model"]})
    assert asking.write_native(nobody, "key", True) is nobody


def test_only_what_is_put_in_may_be_more_than_the_client_sent() -> None:
    asking = Asking(Thoughts(), NAMES)
    request = parse_request("chat", msgspec.json.encode({"model": "m", "messages": TURNS, "user": "ann"}))
    for rule, may in ((History.KEEP_WITH_TOOLS, True), (History.STRIP, False), (History.AS_IS, False)):
        live = target(history=rule)
        asked = asking.write(request, live, "m", "key", True)
        assert asking.has_recalled(request, asked, live, "m") is may


def test_what_is_usual_differs_from_no_target_to_another() -> None:
    assert DIFFERING.isdisjoint(USUAL_FIELDS)
