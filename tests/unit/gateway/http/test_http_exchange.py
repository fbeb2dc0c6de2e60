from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.request import Request


class Owner:
    """A connection that keeps what it is given."""

    is_writable = True
    is_draining = False
    date_line = b""
    write_buffer_bytes = 1000
    compress_from_bytes = 1 << 20

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ended: list[str] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def end_exchange(self, *, closes: bool) -> None:
        self.ended.append("close" if closes else "keep")

    def break_off(self, *, resets: bool) -> None:
        self.ended.append("reset" if resets else "broken")


def made(owner: Owner, version: str = "1.1") -> Exchange:
    request = Request("GET", "/", b"", [])
    request.http_version = version
    return Exchange(request, owner, asyncio.get_running_loop())


def test_pieces_of_one_loop_iteration_leave_in_one_write() -> None:
    async def main() -> None:
        owner = Owner()
        exchange = made(owner)
        exchange.start(200, [], length=None)
        exchange.write(b"ab")
        exchange.write(b"c")
        assert owner.sent == []
        await asyncio.sleep(0)
        assert owner.sent == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n"]
        exchange.write(b"d")
        exchange.finish()
        assert owner.sent[1:] == [b"1\r\nd\r\n0\r\n\r\n"]
        assert owner.ended == ["keep"]
        await asyncio.sleep(0)
        assert len(owner.sent) == 2

    asyncio.run(main())


def test_a_reply_is_one_write() -> None:
    async def main() -> None:
        owner = Owner()
        exchange = made(owner)
        exchange.reply(200, [], b"body")
        assert owner.sent == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"]
        assert owner.ended == ["keep"]
        assert exchange.is_started
        assert exchange.is_finished

    asyncio.run(main())


def test_more_than_a_buffer_is_not_held_back_until_the_next_iteration() -> None:
    async def main() -> None:
        owner = Owner()
        exchange = made(owner)
        exchange.start(200, [], length=3000)
        exchange.write(b"x" * 3000)
        assert len(owner.sent) == 1
        exchange.finish()
        assert owner.ended == ["keep"]

    asyncio.run(main())


def test_a_draining_connection_says_that_it_closes() -> None:
    async def main() -> None:
        owner = Owner()
        owner.is_draining = True
        exchange = made(owner)
        exchange.reply(200, [], b"")
        assert owner.sent == [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]
        assert owner.ended == ["close"]

    asyncio.run(main())


def test_misuse_is_an_error_and_sends_nothing() -> None:
    async def main() -> None:
        owner = Owner()
        exchange = made(owner)
        with pytest.raises(RuntimeError, match="not been started"):
            exchange.write(b"x")
        with pytest.raises(RuntimeError, match="not been started"):
            exchange.finish()
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            exchange.reply(200, [(b"a", b"b\r\nc: d")], b"")
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            exchange.start(200, [(b"a", b"b\r\nc: d")], length=None)
        assert not exchange.is_started
        assert owner.sent == []
        exchange.start(200, [], length=2)
        with pytest.raises(RuntimeError, match="already started"):
            exchange.reply(200, [], b"")
        with pytest.raises(ValueError, match="of the announced length remained"):
            exchange.write(b"123")
        exchange.abort()
        assert owner.ended == ["broken"]

    asyncio.run(main())


def test_a_stream_to_http_1_0_is_broken_by_a_reset() -> None:
    async def main() -> None:
        owner = Owner()
        exchange = made(owner, "1.0")
        exchange.start(200, [], length=None)
        exchange.write(b"half")
        exchange.abort()
        assert owner.ended == ["reset"]
        assert owner.sent == [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf"]

    asyncio.run(main())


class PassageOwner(Owner):
    """A connection that lets one send past it."""

    @property
    def passage(self) -> Callable[[bytes], None]:
        return self.send


def test_chunks_may_pass_once_the_head_has_been_sent_and_until_the_end() -> None:
    async def main() -> None:
        owner = PassageOwner()
        exchange = made(owner)
        assert exchange.passage is None
        exchange.start(200, [], length=None)
        assert exchange.passage is None  # or they would overtake the head
        exchange.send(b"a")
        assert exchange.passage is not None
        exchange.write(b"b")
        assert exchange.passage is None
        await asyncio.sleep(0)
        assert exchange.passage is not None
        exchange.passage(b"1\r\nc\r\n")
        exchange.finish()
        assert exchange.passage is None
        assert b"".join(owner.sent).endswith(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")

    asyncio.run(main())


def test_nothing_passes_where_the_body_is_not_chunks_or_nobody_reads_it() -> None:
    async def main() -> None:
        for version, method, length in (("1.1", "GET", 5), ("1.0", "GET", None), ("1.1", "HEAD", None)):
            exchange = made(PassageOwner(), version)
            exchange.request.method = method
            exchange.start(200, [], length=length)
            await asyncio.sleep(0)
            assert exchange.passage is None
        gone = made(PassageOwner())
        gone.start(200, [], length=None)
        await asyncio.sleep(0)
        assert gone.passage is not None
        gone.lose_client()
        assert gone.passage is None

    asyncio.run(main())
