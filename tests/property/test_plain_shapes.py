"""Whatever a learned shape lets pass is a token, and is the event it was learned from with another text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.gateway.passage import StraightPassage
from overspill.wire.chunks import PLAIN_TOKEN, MalformedChunk, read_chunk
from overspill.wire.plain import is_plain_text, learn_shape

WORDS = st.sampled_from(["a", "b", "content", "delta", "中", "🙂", '"', "\\", "\n", "", "a b"])
VALUES: st.SearchStrategy[Any] = st.one_of(
    WORDS, WORDS, WORDS, st.none(), st.integers(0, 9), st.just([]), st.just(["a"])
)
DELTAS = st.dictionaries(
    st.sampled_from(["content", "content", "reasoning_content", "reasoning", "thinking", "role", "refusal", "x"]),
    VALUES,
    max_size=3,
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={"delta": DELTAS, "text": VALUES, "finish_reason": st.sampled_from([None, "", "stop"]), "index": VALUES},
)
EVENTS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, min_size=1, max_size=2)},
    optional={"id": VALUES, "a": VALUES, "usage": st.none(), "error": st.sampled_from([None, {}, "a"])},
)
TEXTS = st.one_of(
    WORDS.map(str.encode), st.text(max_size=4).map(lambda t: t.encode("utf-8", "surrogatepass")), st.binary(max_size=4)
)


def written(value: dict[str, Any], ascii_only: bool, repeats: bool) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only)
    if repeats:  # an object that says two things of one name
        text = text.replace('"delta": {', '"delta": {"content": "b", ', 1)
    return b"data: " + text.encode() + b"\n\n"


@settings(max_examples=400, deadline=None)
@given(EVENTS, st.booleans(), st.booleans(), st.lists(TEXTS, min_size=1, max_size=3))
def test_only_the_text_changes(value: dict[str, Any], ascii_only: bool, repeats: bool, texts: list[bytes]) -> None:
    raw = written(value, ascii_only, repeats)
    try:
        read_chunk(raw[6:-2])
    except MalformedChunk:
        return
    shape = learn_shape(raw)
    if shape is None:
        return
    assert raw.startswith(shape.before)
    assert raw.endswith(shape.behind)
    known = raw[len(shape.before) : -len(shape.behind)]
    assert is_plain_text(known)
    passage = StraightPassage(lambda chunk: None)
    passage.learn(raw)
    marked = json.dumps(json.loads(shape.before[6:] + b"\xf3\xb0\x80\x80" + shape.behind), ensure_ascii=False)
    for text in texts:
        other = shape.before + text + shape.behind
        passes = passage.take(b"%x\r\n%b\r\n" % (len(other), other))
        assert passes == is_plain_text(text)
        if passes:
            assert read_chunk(other[6:-2]) is PLAIN_TOKEN
            assert json.dumps(json.loads(other[6:-2]), ensure_ascii=False) == marked.replace(
                "\U000f0000", text.decode()
            )


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_plain_text_is_one_that_json_reads_as_it_stands(raw: bytes) -> None:
    if is_plain_text(raw):
        assert json.loads(b'"' + raw + b'"') == raw.decode() != ""
