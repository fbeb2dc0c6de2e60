"""How much to think: read from every form and written in every other."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overspill.wire.effort import FIELDS, Effort, Thinking, read_thinking, write_thinking
from overspill.wire.form import ThinkingForm

T = ThinkingForm
ON, OFF = Thinking(is_on=True), Thinking(is_on=False)
Fields = dict[str, Any]


def raw(fields: Fields) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def on(effort: str | None = None, budget: int | None = None) -> Thinking:
    return Thinking(is_on=True, effort=None if effort is None else Effort(effort), budget_tokens=budget)


@pytest.mark.parametrize(
    ("fields", "meaning"),
    [
        ({}, None),
        ({"temperature": 1}, None),
        ({"thinking": {"type": "enabled"}}, ON),
        ({"thinking": {"type": "adaptive"}}, ON),
        ({"thinking": {"type": "disabled"}}, OFF),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, on(budget=4096)),
        ({"thinking": True}, ON),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, on("max")),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "max"}, OFF),
        ({"reasoning_effort": "none"}, OFF),
        ({"reasoning_effort": "minimal"}, on("low")),
        ({"reasoning_effort": "medium"}, on("medium")),
        ({"reasoning_effort": "xhigh"}, on("max")),
        ({"reasoning_effort": None}, None),
        ({"reasoning_effort": "sometimes"}, None),
        ({"enable_thinking": False}, OFF),
        ({"enable_thinking": True, "thinking_budget": 100}, on(budget=100)),
        ({"thinking_budget": 100}, on(budget=100)),
        ({"thinking_budget": 0}, None),
        ({"enable_thinking": False, "thinking_budget": 100}, OFF),
        ({"chat_template_kwargs": {"thinking": True}}, ON),
        ({"chat_template_kwargs": {"enable_thinking": False, "x": 1}}, OFF),
        ({"chat_template_kwargs": {"reasoning_effort": "high"}}, on("high")),
        ({"chat_template_kwargs": {"x": 1}}, None),
        ({"chat_template_kwargs": {"thinking": True}, "thinking": {"type": "disabled"}}, OFF),
        ({"reasoning": {"effort": "low"}}, on("low")),
        ({"reasoning": {"effort": "none"}}, OFF),
        ({"reasoning": {"enabled": True}}, ON),
        ({"reasoning": {"enabled": False, "effort": "high"}}, OFF),
        ({"reasoning": {"max_tokens": 2000}}, on(budget=2000)),
        ({"reasoning": {"exclude": True}}, None),
        ({"reasoning": "yes"}, None),
    ],
)
def test_every_form_is_read(fields: Fields, meaning: Thinking | None) -> None:
    assert read_thinking(raw(fields)) == meaning


@pytest.mark.parametrize(
    ("model", "fields", "meaning"),
    [
        ("deepseek-chat", {}, OFF),
        ("deepseek-reasoner", {}, ON),
        ("deepseek-flash", {}, None),
        ("deepseek-chat", {"thinking": {"type": "enabled"}}, ON),
        ("deepseek-reasoner", {"reasoning_effort": "none"}, OFF),
    ],
)
def test_a_retired_name_says_it_where_the_client_does_not(model: str, fields: Fields, meaning: Thinking | None) -> None:
    assert read_thinking(raw(fields), model) == meaning


def test_what_cannot_be_read_says_nothing() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert read_thinking({"thinking": msgspec.Raw(deep)}) is None


@pytest.mark.parametrize(
    ("form", "thinking", "said"),
    [
        (T.DEEPSEEK, OFF, {"thinking": {"type": "disabled"}}),
        (T.DEEPSEEK, ON, {"thinking": {"type": "enabled"}}),
        (T.DEEPSEEK, on("medium"), {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        (T.DEEPSEEK, on("max"), {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
        (T.TYPE, on("low"), {"thinking": {"type": "enabled"}}),
        (T.TYPE, OFF, {"thinking": {"type": "disabled"}}),
        (T.ENABLE_THINKING, on("low"), {"enable_thinking": True}),
        (T.ENABLE_THINKING, on(budget=9), {"enable_thinking": True, "thinking_budget": 9}),
        (T.ENABLE_THINKING, OFF, {"enable_thinking": False}),
        (T.CHAT_TEMPLATE_KWARGS, OFF, {"chat_template_kwargs": {"thinking": False, "enable_thinking": False}}),
        (
            T.CHAT_TEMPLATE_KWARGS,
            on("max"),
            {"chat_template_kwargs": {"thinking": True, "enable_thinking": True}, "reasoning_effort": "high"},
        ),
        (T.REASONING_EFFORT, OFF, {"reasoning_effort": "none"}),
        (T.REASONING_EFFORT, ON, {"reasoning_effort": "medium"}),
        (T.REASONING_EFFORT, on("max"), {"reasoning_effort": "high"}),
        (T.OPENROUTER, OFF, {"reasoning": {"enabled": False}}),
        (T.OPENROUTER, ON, {"reasoning": {"enabled": True}}),
        (T.OPENROUTER, on("max"), {"reasoning": {"effort": "xhigh"}}),
        (T.OPENROUTER, on(budget=7), {"reasoning": {"max_tokens": 7}}),
    ],
)
def test_every_form_is_written(form: ThinkingForm, thinking: Thinking, said: Fields) -> None:
    assert write_thinking(thinking, form, {}) == (said, [])


def test_what_the_client_said_in_another_form_goes() -> None:
    fields = raw({"enable_thinking": True, "reasoning_effort": "high", "temperature": 1})
    said, gone = write_thinking(on("high"), T.OPENROUTER, fields)
    assert said == {"reasoning": {"effort": "high"}}
    assert sorted(gone) == ["enable_thinking", "reasoning_effort"]


def test_what_a_template_is_given_besides_stays() -> None:
    fields = raw({"chat_template_kwargs": {"thinking": True, "date": "today"}})
    assert write_thinking(ON, T.DEEPSEEK, fields) == (
        {"thinking": {"type": "enabled"}, "chat_template_kwargs": {"date": "today"}},
        [],
    )
    said, gone = write_thinking(OFF, T.CHAT_TEMPLATE_KWARGS, fields)
    assert said == {"chat_template_kwargs": {"date": "today", "thinking": False, "enable_thinking": False}}
    assert gone == []
    only = raw({"chat_template_kwargs": {"thinking": True}})
    assert write_thinking(ON, T.DEEPSEEK, only) == ({"thinking": {"type": "enabled"}}, ["chat_template_kwargs"])
    odd = raw({"chat_template_kwargs": 7, "enable_thinking": True})
    assert sorted(write_thinking(ON, T.TYPE, odd)[1]) == ["chat_template_kwargs", "enable_thinking"]


def test_whether_a_thought_is_shown_stays_openrouters_own() -> None:
    fields = raw({"reasoning": {"exclude": True, "effort": "low"}})
    assert write_thinking(on("low"), T.OPENROUTER, fields)[0] == {"reasoning": {"exclude": True, "effort": "low"}}


def test_a_form_that_is_none_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="none"):
        write_thinking(ON, T.NONE, {})


EXACT = [form for form in T if form not in (T.NONE, T.TYPE)]


@given(st.sampled_from(EXACT), st.booleans(), st.sampled_from([None, *Effort]))
def test_what_is_written_means_what_was_meant(form: ThinkingForm, is_on: bool, effort: Effort | None) -> None:
    meant = Thinking(is_on=is_on, effort=effort if is_on else None)
    said, gone = write_thinking(meant, form, raw({"thinking": {"type": "enabled"}}))
    assert set(said) <= FIELDS
    assert gone == ([] if "thinking" in said else ["thinking"])
    found = read_thinking(raw(said))
    assert found is not None
    assert found.is_on is is_on
    if effort in (Effort.LOW, Effort.HIGH) and form is not T.ENABLE_THINKING:
        assert found.effort == meant.effort
