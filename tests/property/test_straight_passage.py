"""Tokens that pass straight on arrive as if each had been read: two chains, one of which lets nothing pass by.

Both targets send the same bytes in the same reads. After each, both clients must have the same bytes, both controllers
the same events, and both targets be read or held back alike.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.streams import STREAM_HEAD, Chain

Read = bytes | str
"""What one read of the target's connection brings; or ``end``, ``look``, ``leave``, or ``take`` of some bytes."""
FRONT = b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{'
BACK = b'},"finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"


def token(text: bytes, field: bytes = b"content") -> bytes:
    """Return a token's event, its text as it stands between the quotes."""
    return FRONT + b'"%b":"%b"' % (field, text) + BACK


def sized(size: int) -> bytes:
    """Return a token's event of so many bytes."""
    return token(b"x" * (size - len(token(b""))))


def framed(data: bytes, form: bytes = b"%x", lie: int = 0) -> bytes:
    return form % (len(data) + lie) + b"\r\n" + data + b"\r\n"


ROLE = FRONT + b'"role":"assistant","content":""' + BACK
STOP = FRONT + BACK.replace(b"null", b'"stop"')
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n'
TEXTS = st.one_of(
    st.sampled_from([b"a", b" the", b"1", b"", "中文".encode(), "🙂".encode(), b'\\"', b"\\n", b"\\\\", b"\\u4e2d"]),
    st.sampled_from(
        [b"\x01", b"\n", b"\r", b"\xff", b"\xe4\xb8", b"\x7f", "\u2028".encode(), "\u00a0".encode(), b"\\"]
    ),
    st.sampled_from([b'","content":"', b'"},"finish_reason":"stop","x":{"y":"', b"[DONE]", b"assistant", b"c1", b"m"]),
    st.text(max_size=3).map(lambda text: json.dumps(text)[1:-1].encode()),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3).map(str.encode),
)
SIZES = st.sampled_from([254, 255, 256, 257, 258, 259, 260, 4094, 4095, 4096, 4097, 4098, 65535, 65536])
SHAPES = (
    lambda text: token(text, b"reasoning_content"),
    lambda text: token(text).replace(b'"created":1', b'"created":2'),
    lambda text: token(text).replace(b'"content"', b'"role":"assistant","content"'),
    lambda text: token(text).replace(b'"finish_reason"', b'"logprobs":null,"finish_reason"'),
    lambda text: token(text).replace(b":", b": ").replace(b"data: : ", b"data: "),
    lambda text: token(text).replace(b'"delta":{"content":', b'"text":').replace(b"},", b",", 1),
    lambda text: token(text).replace(b'"content"', b'"tool_calls":[{"index":0}],"content"'),
    lambda text: token(text).replace(b"null}]", b'null},{"index":1,"delta":{"content":"b"}}]'),
    lambda text: token(text).replace(b"null}]", b'null}],"usage":null'),
    lambda text: token(text).replace(b"null}]", b'null}],"usage":{"completion_tokens":3}'),
    lambda text: token(text).replace(b"data: ", b"data:"),
    lambda text: token(text).replace(b"data: ", b"event: x\ndata: "),
    lambda text: token(text).replace(b"data: ", b": hi\n\ndata: "),
    lambda text: token(text)[:-2] + b"\r\n\r\n",
    lambda text: token(text)[:-1] + b"\r",
    lambda text: token(text)[:-2],
    lambda text: token(text)[:-9],
    lambda text: token(text)[30:],
)  # fmt: skip
OTHERS = (
    ROLE, STOP, USAGE, DONE, FRONT + BACK, b": keep-alive\n\n", b"\n", b": half a comment\n", b"event: x\n", b"data: ",
    b'data: {"error":{"message":"broke","code":500}}\n\n', b"data: {}\n\n", b"data: no json\n\n",
    STOP.replace(b"stop", b"insufficient_system_resource"),
    FRONT + b'"tool_calls":[{"index":0,"function":{"arguments":"{"}}]' + BACK,
)  # fmt: skip
FORMS = (b"%x", b"%X", b"0%x", b"000%x", b"%x;a=b", b"%x ")


@st.composite
def events(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 11))
    if kind == 0:
        return draw(st.sampled_from(OTHERS))
    if kind == 1:
        return draw(st.sampled_from(SHAPES))(draw(TEXTS))
    if kind == 2:
        return sized(draw(SIZES))
    return token(draw(TEXTS)) if kind < 7 else token(draw(st.sampled_from([b"a", b" the", "中".encode()])))


@st.composite
def reads(draw: st.DrawFn) -> list[Read]:
    """Most events in a chunk of their own in a read of its own, as a target sends them that does not hurry."""
    out: list[Read] = [STREAM_HEAD, framed(ROLE), framed(token(b"Hel")), framed(token(b"lo"))]
    held = same = b""
    for event in [*draw(st.lists(events(), min_size=1, max_size=9)), *draw(st.sampled_from([(), (STOP, USAGE, DONE)]))]:
        how = draw(st.sampled_from([*(12 * ["one"]), "join", "same", "split", "cut", "torn", "form", "more", "less"]))
        if how == "same":
            same += event
            continue
        data, same = same + event, b""
        if how == "split" and len(data) > 1:
            at = draw(st.integers(1, len(data) - 1))
            out.append(held + framed(data[:at]))
            held, data = b"", data[at:]
        form = draw(st.sampled_from(FORMS)) if how == "form" else b"%x"
        chunk = held + framed(data, form, {"more": 1, "less": -1}.get(how, 0))
        held = b""
        if how == "join":
            held = chunk
        elif how in ("cut", "torn"):
            at = draw(st.integers(1, len(chunk) - 1)) if how == "cut" else len(chunk) - draw(st.integers(1, 3))
            out += [chunk[:at], chunk[at:]]
        else:
            out.append(chunk)
        out += draw(st.sampled_from([*(9 * [()]), ("look",), ("take",), ("leave",)]))
    out += [held] if held else []
    return [*out, *draw(st.sampled_from([(b"0\r\n\r\n",), (b"0\r\nx: y\r\n\r\n",), ("end",), (framed(token(b"z")),)]))]


def act(chain: Chain, step: Read) -> None:
    match step:
        case bytes():
            if not chain.target.is_reading:
                chain.out.drain()
            if not chain.target.is_closed:
                chain.target.receive(step)
        case "end":
            chain.target.end()
        case "leave":
            chain.out.end()
        case "look":
            chain.look()
        case "take":
            chain.out.drain(300)


def same(one: Chain, other: Chain, step: Any) -> None:
    first, second = one.state(), other.state()
    assert first == second, {
        name: (step, value, second[name]) for name, value in first.items() if value != second[name]
    }


async def compare(steps: list[Read], buffer_bytes: int, version: str) -> None:
    chains = [Chain(passes=p, write_buffer_bytes=buffer_bytes, version=version) for p in (True, False)]
    for chain in chains:
        chain.out.is_slow = buffer_bytes < 64 * 1024
    largest = max(len(step) for step in steps)
    for step in [*steps, "look", "take"]:
        for chain in chains:
            act(chain, step)
        same(*chains, step)
        await asyncio.sleep(0)
        same(*chains, step)
        if version == "1.1" and chains[0].out.sent:
            assert chains[0].payload is not None  # it is chunks, each as long as it says
        assert chains[0].out.get_write_buffer_size() <= buffer_bytes + 2 * largest + 1000
    full = chains[1].session
    assert full is not None
    assert full.answer is not None
    if full.client_status == 200 and version == "1.1":
        assert chains[0].payload == bytes(full.answer)
    for chain in chains:
        chain.out.drain()
        await chain.close()
    assert chains[1].passed == 0


INSIDE = token(b"a") + framed(token(b"b")) + b"\n\n"
"""What one chunk brings in three reads, of which the second looks like a chunk."""
START: list[Read] = [STREAM_HEAD, framed(ROLE), framed(token(b"Hel")), framed(token(b"lo"))]


@settings(max_examples=250, deadline=None)
@given(reads(), st.sampled_from([64 * 1024, 64 * 1024, 600]), st.sampled_from([*(7 * ["1.1"]), "1.0"]))
@example([*START, framed(token(b"a") + b"event: x\n"), framed(token(b"b")), framed(STOP), "end"], 65536, "1.1")
@example([*START, framed(token(b"a") + token(b"b")[:50]), framed(token(b"c")), "look", "end"], 65536, "1.1")
@example([*START, b"%x\r\n" % len(INSIDE) + token(b"a"), framed(token(b"b")), b"\n\n\r\n"], 65536, "1.1")
@example([*START, b"%x\r\n" % len(framed(token(b"b"))), framed(token(b"b")), b"\r\n"], 65536, "1.1")
@example([*START, framed(token(b"a")) + b"9", framed(token(b"b")), framed(token(b"c"))], 65536, "1.1")
@example([*START, framed(sized(4096), lie=1), framed(token(b"c"))], 65536, "1.1")
@example([*START, framed(sized(255), lie=1), framed(token(b"c"))], 65536, "1.1")
def test_a_stream_arrives_as_if_each_of_its_events_were_read(
    steps: list[Read], buffer_bytes: int, version: str
) -> None:
    with asyncio.Runner() as runner:
        runner.run(compare(steps, buffer_bytes, version))
