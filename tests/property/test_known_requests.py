"""Requests whose heads come again are served as if each head were read: two connections, one of which never knows one.

Both get the same bytes in the same reads. After each, the handler must have seen the same and the client the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.wires import Wire

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.limits import Limits
from overspill.gateway.http.request import Request
from overspill.gateway.http.server import Server
from overspill.gateway.http.server_connection import ServerConnection
from overspill.wire.http import Headers

Step = bytes | str
"""A read, or what happens between two: ``answer``, ``revoke``, ``restore``, ``drain``."""
PLAIN = b"POST /v1/x?q=1 HTTP/1.1\r\nHost: a\r\nAuthorization: k1\r\nContent-Length: %b\r\nAccept: */*\r\n\r\n"
SHORT = b"POST /y HTTP/1.1\r\nhost: a\r\ncontent-length: %b\r\n\r\n"
HEADS = (
    PLAIN,
    SHORT,
    PLAIN.replace(b"k1", b"k2"),
    PLAIN.replace(b"POST", b"PUT"),
    PLAIN.replace(b"Length: ", b"length:\t "),
    PLAIN.replace(b"%b", b"%b "),
    PLAIN.replace(b"Accept", b"X-Content-Length: 1\r\nAccept"),
    PLAIN.replace(b"*/*", b"content-length: 7"),
    PLAIN.replace(b"Accept", b"Content-Length: 3\r\nAccept"),
    PLAIN.replace(b"*/*", b"x" * 5000),
    PLAIN.replace(b"*/*", b"x" * 3990),
    PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Accept: */*", b"Connection: keep-alive"),
    PLAIN.replace(b"Accept: */*", b"Expect: 100-continue"),
    PLAIN.replace(b"Accept: */*", b"Connection: close"),
    PLAIN.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
    PLAIN.replace(b"\r\nA", b"\nA"),
    SHORT.replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"),
    b"\r\n" + PLAIN,
    b"\r\n\r\n" + SHORT,
)
WITHOUT_LENGTH = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nA: b\r\n\r\n",
    b"\r\n",
    b"POST",
    b"\0",
)
BODIES = st.one_of(
    st.sampled_from([b"", b"{}", b"x" * 9, b"x" * 40, b"x" * 41, SHORT % b"0", b"\r\n", b"0\r\n\r\n"]),
    st.binary(max_size=45),
)
LENGTHS: tuple[Callable[[int], bytes], ...] = (
    *(5 * [lambda n: b"%d" % n]),
    lambda n: b"%03d" % n,
    lambda n: b"%010d" % n,
    lambda n: b"%d" % (n + 1),
    lambda n: b"%d" % max(0, n - 1),
    lambda n: b"+%d" % n,
    lambda n: b"",
    lambda n: b"99999999999999999999",
    lambda n: b"0x%x" % n,
)


class Side:
    """One server with one connection; what was asked of it and what it answered."""

    def __init__(self, *, knows: bool = True, answers_at_once: bool = True, max_header_bytes: int = 32768) -> None:
        """Make it; one that never ``knows`` a head reads each, which is the way of a request that is no repetition."""
        self._knows = knows
        self.keys = {b"k1", b"k2"}
        self.read = 0
        """Heads that were read in full."""
        self.seen: list[tuple[object, ...]] = []
        self.waiting: list[Exchange] = []
        self.gone = 0
        self._answers_at_once = answers_at_once
        limits = Limits(max_body_bytes=40, max_pipelined=3, max_header_bytes=max_header_bytes)
        self.server = Server(self._handle, limits=limits, head_check=self._check, clock=lambda: 0.0)
        self.server.date_line = b"date: today\r\n"
        self.connection = ServerConnection(self.server)
        self.wire = Wire(self.connection)

    def _check(self, request: Request) -> tuple[int, Headers, bytes] | None:
        self.read += 1
        key = request.header(b"authorization")
        if key is not None and key not in self.keys:
            return 401, ((b"x-key", key),), b"no"
        request.caller = key
        return None

    def _handle(self, exchange: Exchange) -> None:
        r = exchange.request
        headers = tuple(h for h in r.headers if h[0] != b"content-length")
        self.seen.append(
            (r.method, r.path, r.query, headers, r.body, r.peer, r.http_version, r.is_kept_alive,
             r.content_length, r.is_chunked, r.expects_continue, r.answer, r.caller)
        )  # fmt: skip
        exchange.on_gone = self._lost
        self.waiting.append(exchange)
        if self._answers_at_once:
            self.answer()

    def _lost(self) -> None:
        self.gone += 1

    def answer(self) -> None:
        if self.waiting:
            exchange = self.waiting.pop(0)
            exchange.reply(200, [], b"%d:%b" % (len(self.seen), exchange.request.body))

    def act(self, step: Step) -> None:
        match step:
            case bytes():
                if not self._knows:
                    self.connection.forget_head()
                if self.wire.is_reading:
                    self.wire.receive(step)
            case "answer":
                self.answer()
            case "revoke" | "restore":
                self.keys = {b"k2"} if step == "revoke" else {b"k1", b"k2"}
                self.server.forget_heads()
            case "drain":
                self.server.is_draining = True
                self.connection.drain()

    def state(self) -> tuple[object, ...]:
        return self.wire.sent, self.wire.is_closed, self.wire.has_ended, self.wire.is_reading, self.seen, self.gone


async def compare(steps: list[Step], answers_at_once: bool, max_header_bytes: int) -> None:
    known, full = (
        Side(knows=knows, answers_at_once=answers_at_once, max_header_bytes=max_header_bytes) for knows in (True, False)
    )
    for step in [*steps, *(4 * ["answer"])]:
        known.act(step)
        full.act(step)
        assert known.state() == full.state()
        await asyncio.sleep(0)
        assert known.state() == full.state()
    for side in (known, full):
        await side.server.close()


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 7)) == 0:
        return draw(st.sampled_from(WITHOUT_LENGTH))
    body = draw(BODIES)
    length = LENGTHS[max(0, draw(st.integers(-20, len(LENGTHS) - 1)))](len(body))
    return HEADS[max(0, draw(st.integers(-30, len(HEADS) - 1)))].replace(b"%b", length) + body


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Requests, most of them alike and most in a read of their own."""
    steps: list[Step] = []
    held = b""
    for request in draw(st.lists(requests(), min_size=2, max_size=7)):
        how = draw(st.sampled_from(["whole", "whole", "whole", "joined", "cut", "late"]))
        held += request
        if how == "joined":
            continue
        if how == "cut":
            at = draw(st.integers(1, len(held)))
            steps.append(held[:at])
            held = held[at:]
        if held:
            steps.append(held)
        held = b""
        if how != "late":
            steps.append("answer")
        steps += draw(st.sampled_from([(), (), (), (), (), ("revoke",), ("restore",), ("drain",)]))
    return [*steps, held] if held else steps


ONE = SHORT % b"1" + b"a"
NOTHING = PLAIN % b"0"
EMPTY = SHORT % b"0"
OFFER = EMPTY.replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
OLD = HEADS[12] % b"1" + b"x"
CLOSING = HEADS[14] % b"1" + b"x"
HEADER_LIMITS = st.sampled_from([*(5 * [32768]), *range(66, 78)])
"""The plain head is about as long as the last ones say."""
UPGRADE = (HEADS[17] % b"1") + b"b"


@settings(max_examples=250, deadline=None)
@given(scripts(), st.booleans(), HEADER_LIMITS)
@example([ONE, "answer", ONE + UPGRADE], True, 32768)
@example([ONE, "answer", ONE, ONE, "answer", "answer", ONE], False, 32768)
@example([EMPTY, "answer", OFFER[:6], OFFER[6:], "answer", b"\r\n", "answer", "drain"], True, 32768)
@example(["revoke", NOTHING, NOTHING, NOTHING], True, 32768)
@example([OLD, "answer", OLD, "answer", OLD], False, 32768)
@example([CLOSING, "answer", CLOSING], False, 32768)
@example([PLAIN % b"1" + b"x", "answer", PLAIN % b"10" + b"x" * 10], False, 69)
def test_a_head_that_comes_again_is_served_as_if_it_were_read(
    script: list[Step], answers_at_once: bool, max_header_bytes: int
) -> None:
    with asyncio.Runner() as runner:
        runner.run(compare(script, answers_at_once, max_header_bytes))


# -- what the lane is for: the parser is not asked


def heads_read(*pieces: Step) -> list[int]:
    """Return how many heads the parser had read after each piece."""
    counts: list[int] = []

    async def main() -> None:
        side = Side()
        for piece in pieces:
            side.act(piece)
            counts.append(side.read)
        await side.server.close()

    asyncio.run(main())
    return counts


def asked(body: bytes) -> bytes:
    return PLAIN % (b"%d" % len(body)) + body


def test_only_the_first_of_many_equal_heads_is_read() -> None:
    assert heads_read(*[asked(b"x" * n) for n in (3, 0, 12, 3, 40)]) == [1, 1, 1, 1, 1]


def test_a_head_that_was_cut_or_joined_is_read_and_the_next_is_known_once_one_came_whole() -> None:
    one, both = asked(b"x"), asked(b"x") + asked(b"y")
    assert heads_read(one[:9], one[9:], one, one) == [0, 1, 2, 2]
    assert heads_read(both, one, one) == [2, 3, 3]
    assert heads_read(one, both, one[:-1], one[-1:], one)  # it came in one read up to its body == [1, 3, 4, 4, 4]


def test_a_changed_head_is_read_and_known_from_then_on() -> None:
    other = asked(b"x").replace(b"*/*", b"a/b")
    assert heads_read(asked(b"x"), other, other, asked(b"x")) == [1, 2, 2, 3]


def test_a_body_over_the_limit_is_refused_though_its_head_is_known() -> None:
    async def main() -> None:
        side = Side()
        side.act(asked(b"x"))
        side.act(asked(b"x" * 41))
        assert len(side.seen) == 1
        assert side.wire.sent.count(b"HTTP/1.1 413 ") == 1
        await side.server.close()

    asyncio.run(main())


def test_a_key_that_is_revoked_is_refused_on_a_connection_that_knows_its_head() -> None:
    async def main() -> None:
        side = Side()
        for step in (asked(b"x"), asked(b"y"), "revoke", asked(b"z")):
            side.act(step)
        assert len(side.seen) == 2
        assert side.wire.sent.count(b"HTTP/1.1 401 ") == 1
        await side.server.close()

    asyncio.run(main())


@pytest.mark.parametrize("late", [asked(b"y"), CLOSING], ids=["the head before", "its own head"])
def test_nothing_is_served_behind_a_request_that_closes_even_if_its_head_is_known(late: bytes) -> None:
    """TLS still hands on what comes while a close waits for the client to read."""

    async def main() -> None:
        side = Side()
        side.act(asked(b"x"))
        side.act(CLOSING)
        assert side.wire.is_closed
        side.connection.data_received(late)
        assert len(side.seen) == 2
        await side.server.close()

    asyncio.run(main())


def test_a_handler_that_fails_on_a_known_head_costs_one_answer_only(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        side = Side()
        side.act(asked(b"x"))
        side.server.handler = unable
        side.act(asked(b"y"))
        side.server.handler = side._handle
        side.act(asked(b"z"))
        assert side.wire.sent.count(b"HTTP/1.1 500 ") == 1
        assert side.seen[-1][4] == b"z"
        await side.server.close()

    asyncio.run(main())
    assert "the handler failed" in caplog.text


def unable(exchange: Exchange) -> None:
    raise RuntimeError("unable")
