"""Answers whose heads come again are heard as if each head were read: two clients, one of which never knows a head.

Both are sent the same bytes in the same reads. After each, the receivers must have heard the same, and the same
connections must stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.wires import Line, Wire, connection_of

from overspill.gateway.http.client import ConnectionPool, HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.limits import ClientLimits
from overspill.gateway.http.repeat import AnswerHeads
from overspill.wire.http import HttpCall, Origin

ORIGIN = Origin(port=1)
PLAIN = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2029 00:00:01 GMT\r\nContent-Length: %b\r\nContent-Type: text/plain\r\n\r\n"
)
HEADS = (
    PLAIN,
    PLAIN.replace(b"00:01", b"00:02"),
    PLAIN.replace(b"200 OK", b"503 No"),
    PLAIN.replace(b"200 OK", b"204 None"),
    PLAIN.replace(b"Date", b"Connection: close\r\nDate"),
    PLAIN.replace(b"1.1", b"1.0"),
    PLAIN.replace(b"1.1", b"1.0").replace(b"Date", b"Connection: keep-alive\r\nDate"),
    PLAIN.replace(b"Content-L", b"X-L"),
    PLAIN.replace(b"Date", b"Content-Length: 1\r\nDate"),
    PLAIN.replace(b"Date", b"Transfer-Encoding: chunked\r\nDate"),
    PLAIN.replace(b"%b\r\n", b"%b \r\n"),
    PLAIN.replace(b"text/plain", b"x" * 5000),
    PLAIN.replace(b"Content-Length: %b", b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    b"HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\n" + PLAIN,
    b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"\r\n" + PLAIN,
    b"HTTP/1.1 100 Continue\r\n\r\n",
)
BODIES = st.one_of(st.sampled_from([b"", b"{}", b"x" * 9, b"\r\n", PLAIN % b"0"]), st.binary(max_size=12))
LENGTHS = (0, 0, 0, 0, 0, 0, 1, -1)
METHODS = (b"POST", b"POST", b"POST", b"POST", b"HEAD")


class Heard:
    """A receiver that keeps what it hears, and may cancel."""

    def __init__(self, leaves_at: str = "") -> None:
        self.log: list[tuple[object, ...]] = []
        self.call: ClientCall | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self._leaves_at = leaves_at

    def _note(self, what: str, *more: object) -> None:
        self.log.append((what, *more))
        if what == self._leaves_at and self.call is not None:
            self.call.cancel()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.headers = headers
        self._note("head", status, [h for h in headers if h[0] != b"content-length"])

    def on_body(self, data: bytes) -> None:
        self._note("body", data)

    def on_end(self) -> None:
        self._note("end")

    def on_fault(self, fault: TransportFault) -> None:
        self._note("fault", fault.kind, fault.message, fault.bytes_received, fault.is_before_response)


class Side:
    """One client; its calls to one origin, one after another."""

    def __init__(self, *, knows: bool = True) -> None:
        """Make it; one that never ``knows`` a head reads each."""
        self._knows = knows
        self.client = HttpClient(limits=ClientLimits(max_header_bytes=8000), clock=lambda: 0.0)
        self.pool = ConnectionPool(self.client, ORIGIN)
        self.line = Line(self.pool)
        self.calls: list[Heard] = []
        self._used: Wire | None = None

    def ask(self, method: bytes = b"POST", *, reuse: bool = True, leaves_at: str = "") -> Heard:
        heard = Heard(leaves_at)
        self.calls.append(heard)
        heard.call = self.line.request(ORIGIN, HttpCall(method, b"/", (), b"?"), heard, reuse=reuse)
        self._used = None
        return heard

    def receive(self, piece: bytes) -> None:
        """Take one read; an empty one is the end of file, which says the most once something has come."""
        wire = self.line.wire
        if not self._knows:
            self.pool.answers = AnswerHeads()
        if piece and not wire.is_closed:
            self._used = wire
            wire.receive(piece)
        elif self._used is wire:
            wire.end()

    @property
    def read(self) -> int:
        """Heads that were read; one that is known comes with the same list."""
        return len({id(heard.headers) for heard in self.calls})

    @property
    def known(self) -> int:
        return len(self.calls) - self.read

    def state(self) -> tuple[object, ...]:
        wires = [(wire.sent, wire.is_closed, wire.is_reading) for wire in self.line.wires]
        idle = [connection_of(wire) in self.pool.idle for wire in self.line.wires]
        return [heard.log for heard in self.calls], wires, idle, self.pool.open_count


EARLY = b"HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\n"
CLOSING = HEADS[4] % b"1" + b"a"
Answer = tuple[bytes, bool, str, list[bytes], bool]
"""Of one call: its method, ``reuse``, where its receiver cancels, the reads, and whether a sweep follows."""


async def compare(answers: list[Answer]) -> None:
    known, full = Side(), Side(knows=False)
    for method, reuse, leaves_at, pieces, sweeps in answers:
        for side in (known, full):
            side.ask(method, reuse=reuse, leaves_at=leaves_at)
        for piece in pieces:
            known.receive(piece)
            full.receive(piece)
            assert known.state() == full.state()
            await asyncio.sleep(0)
            assert known.state() == full.state()
        for side in (known, full):
            if not side.calls[-1].log or side.calls[-1].log[-1][0] not in ("end", "fault"):
                assert side.calls[-1].call is not None
                side.calls[-1].call.cancel()
            if sweeps:
                side.pool.sweep(0.0)
        await asyncio.sleep(0)
        assert known.state() == full.state()
    for side in (known, full):
        await side.client.close()


@st.composite
def answered(draw: st.DrawFn) -> Answer:
    body = draw(BODIES)
    length = max(0, len(body) + draw(st.sampled_from(LENGTHS)))
    form = draw(st.sampled_from([b"%d", b"%d", b"%d", b"%d", b"%03d", b"+%d", b"%012d"]))
    data = HEADS[max(0, draw(st.integers(-30, len(HEADS) - 1)))].replace(b"%b", form % length) + body
    extra = draw(st.sampled_from([b"", b"", b"", b"", b"\r\n", b"x", PLAIN % b"0"]))
    pieces = [data + extra]
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(1, len(data)))
        pieces = [data[:at], *([data[at:] + extra] if data[at:] + extra else [])]
    if draw(st.integers(0, 5)) == 0:
        pieces.append(draw(st.sampled_from([b"", b"x", PLAIN % b"1" + b"y"])))
    leaves_at = draw(st.sampled_from(["", "", "", "", "", "head", "body"]))
    return draw(st.sampled_from(METHODS)), draw(st.integers(0, 5)) > 0, leaves_at, pieces, draw(st.booleans())


@settings(max_examples=250, deadline=None)
@given(st.lists(answered(), min_size=2, max_size=8))
@example(2 * [(b"POST", True, "", [CLOSING], False)])
@example([(b"POST", True, "", [EARLY + PLAIN % b"0"], False), (b"POST", True, "", [EARLY + b"abc"], False)])
@example([(b"POST", True, "", [PLAIN % b"1" + b"a"], False), (b"HEAD", True, "", [PLAIN % b"1" + b"a"], False)])
def test_an_answer_whose_head_comes_again_is_heard_as_if_it_were_read(answers: list[Answer]) -> None:
    with asyncio.Runner() as runner:
        runner.run(compare(answers))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=12, max_size=30), st.sets(st.integers(0, 29), max_size=3))
def test_numbered_heads_are_heard_as_if_they_were_read(is_numbered: list[bool], sweeps: set[int]) -> None:
    heads = [PLAIN.replace(b"Date", b"X-Id: %d\r\nDate" % n) if new else PLAIN for n, new in enumerate(is_numbered)]
    answers = [(b"POST", True, "", [head.replace(b"%b", b"1") + b"x"], n in sweeps) for n, head in enumerate(heads)]
    with asyncio.Runner() as runner:
        runner.run(compare(answers))


# -- what the lane is for: the parser is not asked


def sides(play: Callable[[Side], None]) -> None:
    async def main() -> None:
        side = Side()
        play(side)
        await side.client.close()

    asyncio.run(main())


def answer(side: Side, body: bytes = b"x", head: bytes = PLAIN) -> Heard:
    heard = side.ask()
    side.receive(head.replace(b"%b", b"%d" % len(body)) + body)
    return heard


def test_only_the_first_of_many_equal_heads_is_read() -> None:
    def play(side: Side) -> None:
        bodies = (b"a", b"", b"x" * 70000, b"b")
        heard = [answer(side, body) for body in bodies]
        assert [b"".join(piece for what, piece, *_ in h.log[1:-1] if what == "body") for h in heard] == list(bodies)
        assert (side.read, side.known, len(side.line.wires)) == (1, 3, 1)

    sides(play)


def test_a_head_that_one_connection_has_read_is_known_to_all_of_its_origin() -> None:
    def play(side: Side) -> None:
        answer(side)
        heard = side.ask(reuse=False)
        side.receive(PLAIN % b"1" + b"y")
        assert [what for what, *_ in heard.log] == ["head", "body", "end"]
        assert (side.known, len(side.line.wires)) == (1, 2)
        assert side.line.wire.is_closed

    sides(play)


def test_the_time_of_day_costs_a_reading_when_it_changes() -> None:
    def play(side: Side) -> None:
        for second in (1, 1, 1, 2, 2, 3):
            answer(side, head=PLAIN.replace(b"00:01", b"00:%02d" % second))
        assert (side.read, side.known) == (3, 3)

    sides(play)


def test_a_server_that_numbers_its_answers_is_given_up_and_tried_again_after_a_sweep() -> None:
    def numbered(side: Side, first: int, count: int) -> None:
        for number in range(first, first + count):
            answer(side, head=PLAIN.replace(b"Date", b"X-Id: %d\r\nDate" % number))

    def play(side: Side) -> None:
        numbered(side, 0, 9)
        answer(side)
        answer(side)
        assert side.known == 0  # the lessons were over, so the first of the two was not kept
        side.pool.sweep(0.0)
        answer(side)
        answer(side)
        assert side.known == 1
        numbered(side, 100, 7)  # one that was known has paid for as many lessons as at the start
        answer(side)
        answer(side)
        assert side.known == 2

    sides(play)


def test_a_call_that_is_cancelled_at_a_known_head_hears_nothing_more() -> None:
    def play(side: Side) -> None:
        answer(side)
        heard = side.ask(leaves_at="head")
        side.receive(PLAIN % b"1" + b"y")
        assert side.known == 1
        assert [what for what, *_ in heard.log] == ["head"]
        assert side.line.wire.is_closed

    sides(play)


def test_a_paused_call_whose_known_answer_was_on_its_way_leaves_a_connection_that_reads() -> None:
    def play(side: Side) -> None:
        answer(side)
        heard = side.ask()
        assert heard.call is not None
        heard.call.is_paused = True  # paused by what came in the same turn of the loop
        side.receive(PLAIN % b"1" + b"y")
        assert side.line.wire.is_reading
        assert answer(side).log[-1] == ("end",)

    sides(play)
