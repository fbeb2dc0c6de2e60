"""What a Messages request and its answer say survives the way through chat, wherever chat can say it."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.messages_events import accumulate

from overspill.errors import WireError
from overspill.wire.aggregate import Aggregator
from overspill.wire.answers import MalformedChunk
from overspill.wire.messages.native import NativeMessages, fit_history
from overspill.wire.messages.outgoing import to_messages
from overspill.wire.messages.reader import MessagesReader
from overspill.wire.messages.request import read_messages
from overspill.wire.messages.writer import MessagesWriter
from overspill.wire.sse import Event, SseDecoder

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.strip())
IDS = st.text("abcXYZ019_-", min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | WORDS
INPUTS = st.dictionaries(
    WORDS, st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5), max_size=3
)
TEXTS = st.builds(lambda text: {"type": "text", "text": text}, WORDS)
THOUGHTS = st.builds(lambda text, name: {"type": "thinking", "thinking": text, "signature": name}, WORDS, IDS)
REDACTED = st.builds(lambda data: {"type": "redacted_thinking", "data": data}, IDS)
CALLS = st.builds(lambda name, given: {"type": "tool_use", "name": name, "input": given}, IDS, INPUTS)
IMAGES = st.builds(
    lambda data: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
    st.binary(min_size=1, max_size=6).map(lambda raw: raw.hex()),
) | st.builds(lambda name: {"type": "image", "source": {"type": "url", "url": f"https://example.com/{name}"}}, IDS)


@st.composite
def assistants(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """Draw what a model says: thoughts, then text, then calls, for chat knows no other order."""
    calls = draw(st.lists(CALLS, max_size=2))
    for index, call in enumerate(calls):
        call["id"] = f"toolu_{number}_{index}"
    text = draw(st.lists(TEXTS, max_size=1))
    thoughts = draw(st.lists(THOUGHTS | REDACTED, max_size=2))
    blocks: list[dict[str, Any]] = [*thoughts, *text, *calls]
    return blocks or [draw(TEXTS)]


@st.composite
def users(draw: st.DrawFn, call_ids: list[str]) -> list[dict[str, Any]]:
    """Draw what a user says: the results of all calls first, then one text, or pictures between texts."""
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": draw(WORDS)} for call_id in call_ids]
    said = draw(st.lists(TEXTS, max_size=1) | st.lists(TEXTS | IMAGES, max_size=4).filter(has_image))
    blocks: list[dict[str, Any]] = [*results, *said]
    return blocks or [draw(TEXTS)]


def has_image(blocks: list[dict[str, Any]]) -> bool:
    return any(block["type"] == "image" for block in blocks)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    turns: list[dict[str, Any]] = [{"role": "user", "content": draw(users([]))}]
    for number in range(draw(st.integers(0, 2))):
        said = draw(assistants(number))
        turns.append({"role": "assistant", "content": said})
        turns.append({"role": "user", "content": draw(users([block["id"] for block in said if "id" in block]))})
    body: dict[str, Any] = {"model": "claude-opus-4-6", "max_tokens": draw(st.integers(1, 10**6)), "messages": turns}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "system": WORDS,
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=2),
        "stream": st.just(True),
        "metadata": st.builds(lambda name: {"user_id": name}, IDS),
        "top_k": st.integers(1, 100),
        "output_config": st.builds(lambda schema: {"format": {"type": "json_schema", "schema": schema}}, INPUTS),
    }
    for name, strategy in optional.items():
        if draw(st.booleans()):
            body[name] = draw(strategy)
    if draw(st.booleans()):
        schemas = st.just({"type": "object", "properties": {"x": {"type": "integer"}}})
        tools = st.fixed_dictionaries(
            {"name": IDS, "input_schema": schemas}, optional={"description": WORDS, "strict": st.booleans()}
        )
        body["tools"] = draw(st.lists(tools, min_size=1, max_size=2))
        choices = [{"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "f"}]
        body["tool_choice"] = {**draw(st.sampled_from(choices))}
        if body["tool_choice"]["type"] != "none" and draw(st.booleans()):
            body["tool_choice"]["disable_parallel_tool_use"] = True
    if not draw(st.booleans()):  # then no thoughts go out, and nothing must be lost here
        without_thoughts(turns)
        body["thinking"] = {"type": "disabled"}
    else:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        body.pop("top_k", None)
        if body.get("tool_choice", {}).get("type") in ("any", "tool"):
            del body["tool_choice"]
        if draw(st.booleans()):
            body.setdefault("output_config", {})["effort"] = draw(st.sampled_from(["low", "medium", "high", "max"]))
    return body


def without_thoughts(turns: list[dict[str, Any]]) -> None:
    for turn in turns:
        kept = [block for block in turn["content"] if "thinking" not in block["type"]]
        turn["content"] = kept or [{"type": "text", "text": "x"}]


def as_blocks(body: dict[str, Any]) -> dict[str, Any]:
    """Write every content as blocks, so that the two ways to say the same are the same."""
    for turn in body["messages"]:
        if isinstance(turn["content"], str):
            turn["content"] = [{"type": "text", "text": turn["content"]}]
    return body


@settings(max_examples=100, deadline=None)
@given(requests())
def test_a_request_comes_back_from_chat_as_it_was(body: dict[str, Any]) -> None:
    request = read_messages(json.dumps(body).encode())
    assert (request.dropped, request.native_only) == ((), ())
    chat = json.dumps({name: json.loads(bytes(raw)) for name, raw in request.fields.items()}).encode()
    back = to_messages(chat)
    assert as_blocks(json.loads(back.body)) == body
    assert back.dropped == ()


def cut(text: str, at: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [piece for start, end in itertools.pairwise(edges) if (piece := text[start:end])]


PLACES = st.lists(st.integers(0, 30), max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw a chat answer, and the chunks that a server would stream for it."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    if draw(st.booleans()):
        message["reasoning_content"] = draw(WORDS)
        deltas += [{"reasoning_content": piece} for piece in cut(message["reasoning_content"], draw(PLACES))]
    if draw(st.booleans()):
        message["content"] = draw(WORDS)
        deltas += [{"content": piece} for piece in cut(message["content"], draw(PLACES))]
    lanes = []
    for index, block in enumerate(draw(st.lists(CALLS, max_size=3))):
        call_id, arguments = f"call_{index}", json.dumps(block["input"])
        function = {"name": block["name"], "arguments": arguments}
        message.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
        lane = [{"index": index, "id": call_id, "type": "function", "function": {"name": block["name"]}}]
        lane += [{"index": index, "function": {"arguments": piece}} for piece in cut(arguments, draw(PLACES))]
        lanes.append(lane)
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        deltas.append({"tool_calls": [lane.pop(0)]})
    finish = "tool_calls" if "tool_calls" in message else draw(st.sampled_from(["stop", "length", "content_filter"]))
    counts = {"prompt_tokens": draw(st.integers(0, 9999)), "completion_tokens": draw(st.integers(0, 9999))}
    cached = draw(st.integers(0, counts["prompt_tokens"]))
    usage = {
        **counts,
        "total_tokens": sum(counts.values()),
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
    }
    choice = {"index": 0, "message": message, "finish_reason": finish}
    whole = {"id": "c", "model": "m", "choices": [choice], "usage": usage}
    chunks = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({"id": "c", "model": "m", "choices": [], "usage": usage})
    return whole, chunks


def writer(thinking: str = "adaptive") -> MessagesWriter:
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": thinking},
    }
    return MessagesWriter(read_messages(json.dumps(body).encode()), "req-1")


def sse(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def joined(chunks: list[bytes]) -> dict[str, Any]:
    assert chunks[-1] == b"[DONE]"
    aggregator = Aggregator("chat")
    for chunk in chunks[:-1]:
        aggregator.add(chunk)
    whole: dict[str, Any] = json.loads(aggregator.finish())
    return whole


@settings(max_examples=100, deadline=None)
@given(answers())
def test_a_streamed_answer_is_the_same_message_as_the_whole_one(
    answer: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    whole, chunks = answer
    streamed = accumulate(writer().feed(sse(chunks)))
    assert streamed.is_over
    # Whichever call begins first in a stream is the first block.
    streamed.message["content"].sort(key=lambda block: block.get("id", ""))
    assert streamed.message == json.loads(writer().whole(json.dumps(whole).encode()))


@settings(max_examples=100, deadline=None)
@given(answers(), st.lists(st.integers(1, 200), max_size=8))
def test_an_answer_comes_back_from_messages_as_it_was_wherever_it_was_cut(
    answer: tuple[dict[str, Any], list[dict[str, Any]]], sizes: list[int]
) -> None:
    whole, chunks = answer
    stream = writer().feed(sse(chunks))
    reader, native, decoder = MessagesReader(0), NativeMessages(), SseDecoder()
    back: list[bytes] = []
    seen = []
    for size in [*sizes, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        for event in decoder.feed(piece):
            back += reader.read(event)
            seen.append(native.read(event))
    found = joined(back)
    message = found["choices"][0]["message"]
    expected = whole["choices"][0]["message"]
    assert (message.get("content") or None) == expected["content"]
    assert message.get("reasoning_content") == expected.get("reasoning_content")
    assert calls_of(message) == calls_of(expected)
    assert found["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert found["usage"] == whole["usage"]
    assert [is_last for _, is_last in seen] == [False] * (len(seen) - 1) + [True]
    usage = next(chunk.usage for chunk, _ in reversed(seen) if chunk.usage is not None)
    assert (usage.prompt_tokens, usage.output_tokens) == (
        whole["usage"]["prompt_tokens"],
        whole["usage"]["completion_tokens"],
    )
    again = json.loads(MessagesReader(0).whole(writer().whole(json.dumps(whole).encode())))
    assert (again["choices"][0]["message"].get("content") or None) == expected["content"]
    assert calls_of(again["choices"][0]["message"]) == calls_of(expected)


def calls_of(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted(
        (call["id"], call["function"]["name"], json.dumps(json.loads(call["function"]["arguments"])))
        for call in message.get("tool_calls", ())
    )


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "content",
                    "text",
                    "source",
                    "id",
                    "name",
                    "input",
                    "tool_use_id",
                    "thinking",
                    "signature",
                    "delta",
                    "message",
                    "usage",
                    "choices",
                    "index",
                    "tool_calls",
                    "function",
                    "arguments",
                    "error",
                ]
            ),
            inner | st.sampled_from(["text", "user", "assistant", "tool_use", "tool_result", "image", "document"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)
FIELDS = ["messages", "system", "tools", "tool_choice", "thinking", "output_config", "metadata", "stop_sequences"]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JUNK))
def test_any_request_is_read_or_refused_with_a_place(fields: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields})
    try:
        request = read_messages(body.encode())
    except WireError as error:
        refusal = error
    else:
        json.loads(fit_history(body.encode()))
        chat = json.dumps({name: json.loads(bytes(raw)) for name, raw in request.fields.items()}).encode()
        with contextlib.suppress(WireError):
            to_messages(chat)
        return
    assert refusal.status == 400
    assert refusal.param is not None
    assert refusal.message.startswith(refusal.param)


@settings(max_examples=100, deadline=None)
@given(JUNK, st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta", "error"]))
def test_any_event_is_read_or_malformed(fields: Any, kind: str) -> None:
    data = json.dumps({**fields, "type": kind} if isinstance(fields, dict) else fields).encode()
    for read in (MessagesReader(0).read, NativeMessages().read):
        with contextlib.suppress(MalformedChunk):
            read(Event(b"", data))
    for take in (writer().whole, MessagesReader(0).whole, NativeMessages().whole):
        with contextlib.suppress(MalformedChunk):
            take(data)
    with contextlib.suppress(MalformedChunk):
        writer().feed(b"data: %b\n\n" % data)
