"""What passes straight from a target to a client, what does not, and what that does to the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.scripted_upstream import DONE, ROLE, delta, usage
from tests.support.streams import STREAM_HEAD, Chain

from overspill.core.events import ClientGone, Failed, Finished, Progress
from overspill.core.types import FailureKind
from overspill.gateway.passage import StraightPassage

WHOLE = b"0\r\n\r\n"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def played(scenario: Callable[[Chain], Awaitable[None]], *, is_slow: bool = False, buffer_bytes: int = 65536) -> None:
    """Run a scenario on a stream whose tokens pass from the next on."""

    async def main() -> None:
        chain = Chain(write_buffer_bytes=buffer_bytes)
        chain.target.receive(STREAM_HEAD)
        for event in (ROLE, delta("He"), delta("l")):
            chain.target.receive(framed(event))
            await asyncio.sleep(0)
        chain.out.is_slow = is_slow
        await scenario(chain)
        await chain.close()

    asyncio.run(main())


def test_tokens_pass_as_the_chunks_they_came_in_and_are_counted() -> None:
    async def scenario(chain: Chain) -> None:
        sent = chain.out.sent
        chunks = [framed(delta(text)) for text in ("lo", " 世界", " 🙂", "'", "x" * 300)]
        for chunk in chunks:
            chain.target.receive(chunk)
        assert chain.out.sent == sent + b"".join(chunks)
        assert chain.passed == 5
        chain.look()
        assert chain.events[-1] == Progress(1, 7)
        for event in (delta(finish="stop"), usage(5, 7), DONE):
            chain.target.receive(framed(event))
        chain.target.receive(WHOLE)
        assert chain.events[-1] == Finished(attempt_id=1, prompt_tokens=5, cached_tokens=0, output_tokens=7)
        assert chain.payload.endswith(framed(delta("x" * 300))[5:-2] + delta(finish="stop") + DONE)
        assert len(chain.pool.idle) == 1

    played(scenario)


def test_tokens_that_passed_are_counted_where_the_target_reports_no_usage() -> None:
    async def scenario(chain: Chain) -> None:
        for event in (delta("lo"), delta("!"), delta(finish="stop"), DONE):
            chain.target.receive(framed(event))
        end = chain.events[-1]
        assert isinstance(end, Finished)
        assert (end.output_tokens, chain.passed) == (4, 2)

    played(scenario)


@pytest.mark.parametrize("text", ['"', "\\", "\n", "", "\x7f", "\u2028"])
def test_a_text_that_is_not_what_it_shows_is_read(text: str) -> None:
    async def scenario(chain: Chain) -> None:
        chain.target.receive(framed(delta(text)))
        assert chain.passed == 0
        assert chain.payload.endswith(delta(text))
        chain.target.receive(framed(delta("plain")))
        assert chain.passed == 1

    played(scenario)


def test_another_shape_is_read_once_and_passes_from_then_on() -> None:
    async def scenario(chain: Chain) -> None:
        def thought(text: str) -> bytes:
            return framed(delta(reasoning_content=text))

        for count, chunk in ((0, thought("a")), (1, thought("b")), (1, framed(delta("c"))), (2, framed(delta("d")))):
            chain.target.receive(chunk)
            assert chain.passed == count
        assert chain.payload.count(b"data: ") == 7

    played(scenario)


def test_a_target_whose_events_are_never_alike_is_given_up_until_a_shape_was_worthwhile() -> None:
    def numbered(number: int) -> bytes:
        return delta("a").replace(b'"created":1', b'"created":%d' % number)

    sent: list[bytes] = []
    passage = StraightPassage(sent.append)
    assert not passage.has_shape
    for number in range(6):
        passage.learn(numbered(number))
        assert passage.take(framed(numbered(number)))
        assert not passage.take(framed(numbered(number + 1)))
    passage.learn(numbered(6))
    assert not passage.take(framed(numbered(6)))
    assert passage.passed == 6
    for _ in range(16):
        assert passage.take(framed(numbered(5)))
    passage.learn(numbered(7))
    assert passage.take(framed(numbered(7)))
    assert len(sent) == passage.passed == 23
    for number in range(8, 13):
        passage.learn(numbered(number))
    passage.learn(numbered(13))  # what was worthwhile once has paid for so many lessons and no more
    assert passage.take(framed(numbered(12)))
    assert not passage.take(framed(numbered(13)))


@pytest.mark.parametrize("size", [160, 254, 255, 256, 257, 258, 4094, 4095])
def test_only_a_chunk_that_is_as_long_as_it_says_passes(size: int) -> None:
    event = delta("x" * (size - len(delta(""))))
    assert len(event) == size
    sent: list[bytes] = []
    passage = StraightPassage(sent.append)
    passage.learn(delta("a"))
    for lie in (-2, -1, 1, 2, 0x100):
        assert not passage.take(b"%x\r\n%b\r\n" % (size + lie, event))
    assert not passage.take(b"0%x\r\n%b\r\n" % (size, event))
    assert not passage.take(framed(event) + b"\r\n")
    assert not passage.take(framed(event)[:-1])
    assert not sent
    assert passage.take(framed(event))


@pytest.mark.parametrize("size", [4096, 4097, 65536])
def test_a_chunk_of_four_digits_is_left_to_the_parser(size: int) -> None:
    event = delta("x" * (size - len(delta(""))))
    passage = StraightPassage(pytest.fail)
    passage.learn(delta("a"))
    for lie in (-1, 0, 1):
        assert not passage.take(b"%x\r\n%b\r\n" % (size + lie, event))


def test_nothing_overtakes_an_event_that_has_begun() -> None:
    async def scenario(chain: Chain) -> None:
        before = chain.payload
        chain.target.receive(framed(b"event: message\n"))
        chain.target.receive(framed(delta("a")))
        assert chain.payload == before + b"event: message\n" + delta("a")
        chain.target.receive(framed(delta("b")))
        assert chain.passed == 1

    played(scenario)


def test_an_event_that_breaks_off_in_the_middle_breaks_the_stream() -> None:
    async def scenario(chain: Chain) -> None:
        before = chain.payload
        chain.target.receive(framed(delta("a")[:40]))
        chain.target.receive(framed(delta("b")))
        assert chain.passed == 0
        assert chain.relay is not None
        assert chain.relay.failure is FailureKind.MALFORMED
        assert chain.payload.startswith(before + b"data: {")
        assert b"stream_malformed" in chain.payload

    played(scenario)


def test_nothing_passes_behind_the_end() -> None:
    async def scenario(chain: Chain) -> None:
        for event in (delta("a"), delta(finish="stop"), DONE):
            chain.target.receive(framed(event))
        sent = chain.out.sent
        chain.target.receive(framed(delta("b")))
        chain.target.receive(WHOLE)
        assert chain.out.sent == sent
        assert chain.passed == 1
        assert len(chain.pool.idle) == 1

    played(scenario)


def test_a_target_that_is_cut_after_tokens_passed_never_looks_whole() -> None:
    async def scenario(chain: Chain) -> None:
        chain.target.receive(framed(delta("a")))
        chain.target.end()
        await asyncio.sleep(0)
        failed = chain.events[-1]
        assert isinstance(failed, Failed)
        assert (failed.kind, failed.output_tokens) == (FailureKind.CUT, 3)
        assert b"stream_cut" in chain.payload
        assert b"[DONE]" not in chain.payload

    played(scenario)


def test_a_slow_client_holds_a_target_back_whose_tokens_pass() -> None:
    async def scenario(chain: Chain) -> None:
        while chain.target.is_reading:
            chain.target.receive(framed(delta("x" * 40)))
        assert 600 < chain.out.get_write_buffer_size() < 600 + 300
        assert chain.passed > 1
        assert chain.relay is not None
        assert chain.relay.is_paused
        chain.out.drain(200)
        assert not chain.target.is_reading
        chain.out.drain()
        assert chain.target.is_reading
        chain.target.receive(framed(delta("y")))
        assert chain.payload.endswith(delta("y"))

    played(scenario, is_slow=True, buffer_bytes=600)


def test_a_client_that_falls_behind_at_the_very_end_does_not_keep_the_target_s_connection() -> None:
    async def scenario(chain: Chain) -> None:
        chain.target.receive(framed(delta("x" * 340)))
        chain.target.receive(framed(delta(finish="stop")))
        assert chain.target.is_reading
        chain.target.receive(framed(DONE))
        assert not chain.out.is_closed
        assert chain.out.get_write_buffer_size() > 640
        assert chain.target.is_reading  # nobody would say when to read on
        chain.target.receive(WHOLE)
        assert len(chain.pool.idle) == 1

    played(scenario, is_slow=True, buffer_bytes=640)


def test_a_client_that_leaves_while_tokens_pass_cancels_the_call() -> None:
    async def scenario(chain: Chain) -> None:
        chain.target.receive(framed(delta("a")))
        chain.out.end()
        await asyncio.sleep(0)
        assert chain.events[-1] == ClientGone(request_id="r1")
        assert chain.target.is_closed
        sent = chain.out.sent
        chain.target.receive(framed(delta("b")))
        assert chain.out.sent == sent

    played(scenario)


def test_where_answers_are_stored_nothing_passes_by() -> None:
    async def main() -> None:
        chain = Chain(passes=False)
        chain.target.receive(STREAM_HEAD)
        for event in (ROLE, delta("He"), delta("l"), delta("lo"), delta(finish="stop"), DONE):
            chain.target.receive(framed(event))
            await asyncio.sleep(0)
        assert chain.session is not None
        assert chain.session.answer == chain.payload
        assert chain.passed == 0
        await chain.close()

    asyncio.run(main())


def test_a_connection_that_is_used_again_lets_nothing_of_the_next_answer_pass() -> None:
    async def scenario(chain: Chain) -> None:
        for event in (delta("a"), delta(finish="stop"), DONE):
            chain.target.receive(framed(event))
        chain.target.receive(WHOLE)
        before = chain.out.sent
        chain.ask()
        chain.target.receive(STREAM_HEAD)
        for event in (ROLE, delta("He")):
            chain.target.receive(framed(event))
        await asyncio.sleep(0)
        assert len(chain.wires) == 1
        assert chain.out.sent.startswith(before)
        assert chain.passed == 0
        assert chain.out.sent.endswith(framed(ROLE + delta("He")))

    played(scenario)
