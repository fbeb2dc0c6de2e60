from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from overspill.wire.aggregate import Aggregator
from overspill.wire.answers import Chunk, MalformedChunk, Whole
from overspill.wire.chunks import read_chunk, read_whole

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def cut(text: str, at: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw whole choices, and the deltas that a server would stream for them in an order it might choose."""
    choices: list[dict[str, Any]] = []
    lanes: list[list[dict[str, Any]]] = []
    for index in range(draw(st.integers(1, 3))):
        message: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | TEXT)}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
        for name in ("reasoning_content", "content"):
            text = draw(TEXT) if name == "reasoning_content" else message["content"]
            if text is not None:
                message[name] = text
                deltas += [{name: piece} for piece in cut(text, draw(st.lists(st.integers(0, 50), max_size=4)))]
        calls = draw(st.lists(st.tuples(TEXT.filter(bool), TEXT.filter(bool), TEXT), max_size=2))
        for number, (call_id, name, arguments) in enumerate(calls):
            function = {"name": name, "arguments": arguments}
            message.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
            start = {"index": number, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
            deltas.append({"tool_calls": [start]})
            for piece in cut(arguments, draw(st.lists(st.integers(0, 50), max_size=3))):
                deltas.append({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length"]))
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
        lanes.append([{"index": index, "delta": delta, "finish_reason": None} for delta in deltas])
        lanes[-1].append({"index": index, "delta": {}, "finish_reason": finish})
    stream: list[dict[str, Any]] = []
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        stream.append(lane.pop(0))
    return choices, stream


@settings(max_examples=150, deadline=None)
@given(answers(), st.booleans())
def test_a_streamed_answer_put_together_is_the_answer(
    answer: tuple[list[dict[str, Any]], list[dict[str, Any]]], has_usage: bool
) -> None:
    choices, stream = answer
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    aggregator = Aggregator("chat")
    for choice in stream:
        aggregator.add(json.dumps({**head, "choices": [choice], "usage": None}).encode())
    if has_usage:
        aggregator.add(json.dumps({**head, "choices": [], "usage": usage}).encode())
    body = aggregator.finish()
    ChatCompletion.model_validate_json(body, strict=True)
    expected = {**head, "object": "chat.completion", "choices": choices, "usage": usage if has_usage else None}
    assert json.loads(body) == expected
    read = read_whole(body)
    assert read.has_choices
    assert read.finish_reason == choices[0]["finish_reason"]
    # A token was seen in the stream exactly if the whole answer has content.
    chunks = [read_chunk(json.dumps({"choices": [choice]}).encode()) for choice in stream]
    assert any(chunk.has_token for chunk in chunks) == read.has_content


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "tool_calls", "index", "usage", "error", "message", "data", "logprobs"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    for read, kind in ((read_chunk, Chunk), (read_whole, Whole)):
        try:
            found = read(data)
        except MalformedChunk:
            continue
        assert isinstance(found, kind)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(JSON.map(lambda value: json.dumps(value).encode()), max_size=3), st.sampled_from(["chat", "completions"])
)
def test_any_chunks_make_json_or_are_malformed(chunks: list[bytes], surface: Any) -> None:
    aggregator = Aggregator(surface)
    try:
        for chunk in chunks:
            aggregator.add(chunk)
        body = aggregator.finish()
    except MalformedChunk:
        return
    assert isinstance(json.loads(body), dict)
