"""Engines that go on with an answer as their contract says, or otherwise; and one rescue from end to end, without I/O.

An engine here "generates" a text that is known: given the beginning of it, it writes the rest, in pieces that are cut
anywhere. Everything is drawn from one source of randomness, so that Hypothesis can shrink it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from overspill.wire.chat import parse_request
from overspill.wire.continuation import CannotContinue, Continuation, continue_answer
from overspill.wire.contract import REASONING_FIELDS, Contract, Mode
from overspill.wire.splice import Diverged, Splicer
from overspill.wire.transcript import Transcript

_WORDS = (
    *("ha", "haha", "the", "The", "answer", "is", "4", "42", "2024", "na", "a", "I", "don't", "naïve", "ﬁne", "x_1"),
    *("我", "我们", "小溪和大河", "的", "，", "。", "，我们", "ありがとう", "한국어", "да", "नमस्ते", "e\u0301"),
    *("🙂", "👩‍👩‍👧", "🇩🇪", "\U0001f9d1\u200d\U0001f680", "�", "\u200b", "\ufeff"),
    *(".", ",", "!", "\\n", '"', "\\", "{", "}", "<", "</think>", "<think>", "```", "**", "|", "==", "->"),
)
_SPACES = ("", " ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000")
PREFILL = Contract(
    mode=Mode.TEXT,
    continues_reasoning=True,
    body_fields={"continue_final_message": True, "add_generation_prompt": False},
    reasoning_body_fields={"continue_final_message": "reasoning_content", "add_generation_prompt": False},
)

Answer = tuple[str, str]
"""Reasoning and content."""
Given = tuple[str, str | None]
"""What an engine is to go on with; content of ``None`` is an open thought."""


class Case(NamedTuple):
    """One stream, cut, and how its end would have been."""

    contract: Contract
    answer: Answer
    request: dict[str, Any]
    sent: list[bytes]
    """The events that the client has."""
    is_chat: bool


def draw_text(random: Random, *, most: int = 12) -> str:
    """Make a text of words, repeated syllables, white space and whole characters of several bytes."""
    if random.random() < 0.15:
        return random.choice(_WORDS) * random.randint(1, 6)
    pieces = [random.choice(_WORDS) + random.choice(_SPACES) for _ in range(random.randint(1, most))]
    return ("\n" if random.random() < 0.05 else "") + "".join(pieces)


def cut_up(random: Random, text: str) -> list[str]:
    """Cut a text into tokens anywhere between two characters, as no tokenizer would."""
    pieces, start = [], 0
    while start < len(text):
        end = start + (1 if random.random() < 0.3 else random.randint(1, 9))
        pieces.append(text[start:end])
        start = end
    return pieces


class Dialect(NamedTuple):
    """How one server writes its events."""

    is_chat: bool
    identity: dict[str, Any]
    reasoning_field: str

    def event(self, *, reasoning: str = "", content: str = "", role: str = "", finish: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        if self.is_chat:
            delta: dict[str, Any] = {}
            if role:
                delta = {"role": role, "content": None}
            if reasoning:
                delta[self.reasoning_field] = reasoning
            if content:
                delta["content"] = content
            choice["delta"] = delta
        else:
            choice["text"] = content
        return json.dumps({**self.identity, "choices": [choice]}, ensure_ascii=False).encode()


def draw_dialect(random: Random, name: str, *, is_chat: bool) -> Dialect:
    identity = {"id": f"chatcmpl-{name}", "created": random.randint(1, 9), "model": name, "object": "x.chunk"}
    if random.random() < 0.5:
        identity["system_fingerprint"] = f"fp-{name}"
    return Dialect(is_chat, identity, random.choice(REASONING_FIELDS))


def events_of(random: Random, dialect: Dialect, answer: Answer) -> list[bytes]:
    """Write an answer as a stream without its end."""
    events = [dialect.event(role="assistant")] if dialect.is_chat and random.random() < 0.9 else []
    for piece in cut_up(random, answer[0]):
        events.append(dialect.event(reasoning=piece))
    for piece in cut_up(random, answer[1]):
        if random.random() < 0.05:
            events.append(dialect.event())  # an empty delta
        events.append(dialect.event(content=piece))
    return events


def draw_case(random: Random) -> Case:
    """Draw an answer, how far it came, and a contract under which it is to be continued."""
    is_chat = random.random() < 0.8
    reasoning = draw_text(random) if is_chat and random.random() < 0.5 else ""
    answer = (reasoning, draw_text(random, most=30))
    contract = PREFILL
    if random.random() < 0.6:
        contract = Contract(
            mode=Mode.TEXT,
            echo=random.random() < 0.5,
            strips_whitespace=random.random() < 0.5,
            continues_reasoning=random.random() < 0.8,
            message_fields={"prefix": True},
        )
    dialect = draw_dialect(random, "first", is_chat=is_chat)
    events = events_of(random, dialect, answer)
    sent = events[: random.randint(1, len(events))]
    request: dict[str, Any] = {"model": "m", "stream": True}
    request |= {"messages": [{"role": "user", "content": "q"}]} if is_chat else {"prompt": "Once. "}
    return Case(contract, answer, request, sent, is_chat)


def given_of(case: Case, body: dict[str, Any]) -> Given:
    """Read from a continuation what the engine is given of its answer."""
    if not case.is_chat:
        return "", body["prompt"].removeprefix(case.request["prompt"])
    message = body["messages"][-1]
    if message["role"] == "user":
        return "", None
    thought = message.get(case.contract.reasoning_field, "")
    is_open = thought and not message["content"]
    return (thought, None) if is_open else (thought, message["content"])


def honest(case: Case, given: Given) -> Answer:
    """Return what an engine generates that keeps its contract: what is left of the answer."""
    thought, content = given
    if case.contract.strips_whitespace:
        thought, content = (thought.rstrip(), None) if content is None else (thought, content.rstrip())
    if content is None:
        assert case.answer[0].startswith(thought), "a beginning that is none"
        rest, echo = (case.answer[0][len(thought) :], case.answer[1]), (thought, "")
    else:
        assert thought == case.answer[0]
        assert case.answer[1].startswith(content), "a beginning that is none"
        rest, echo = ("", case.answer[1][len(content) :]), ("", content)
    return (echo[0] + rest[0], echo[1] + rest[1]) if case.contract.echo else rest


Engine = Callable[[Case, Given], Answer]


def text_of(events: list[bytes]) -> Answer:
    """Return what a client reads."""
    reasoning = content = ""
    for event in events:
        for choice in json.loads(event)["choices"]:
            delta = choice.get("delta") or {}
            reasoning += next((delta[name] for name in REASONING_FIELDS if delta.get(name)), "")
            content += delta.get("content") or choice.get("text") or ""
    return reasoning, content


def transcript_of(case: Case) -> Transcript:
    transcript = Transcript(is_chat=case.is_chat)
    for event in case.sent:
        transcript.add(event)
    return transcript


def plan(case: Case, transcript: Transcript) -> Continuation:
    request = parse_request("chat" if case.is_chat else "completions", json.dumps(case.request).encode())
    return continue_answer(request, transcript, case.contract, model="m", is_chat=case.is_chat)


def rescue(random: Random, case: Case, engine: Engine = honest) -> list[bytes]:
    """Continue the cut stream on ``engine`` and return all events that the client has at the end.

    Raise ``CannotContinue`` or ``Diverged`` where the rescue is refused.
    """
    transcript = transcript_of(case)
    if transcript.is_empty:
        raise CannotContinue("nothing to rescue")
    continuation = plan(case, transcript)
    generated = engine(case, given_of(case, json.loads(continuation.body)))
    dialect = draw_dialect(random, "second", is_chat=case.is_chat)
    events = [*events_of(random, dialect, generated), dialect.event(finish="stop")]
    splicer = Splicer(continuation.seam, transcript)
    joined = [out for event in events if (out := splicer.feed(event)) is not None]
    if not splicer.is_aligned:
        raise Diverged("the stream ended before the seam")
    return [*case.sent, *joined]
