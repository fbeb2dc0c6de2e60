"""The pipe to the detectors' process: what is no answer is a failure, and a process never stays behind."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from tests.support.loops import LOOPS, run
from tests.support.scripted_engine import is_alive

from overspill.detectors.frames import Hello, Plan, encode
from overspill.gateway import detector_process
from overspill.gateway.detector_process import DetectorFailed, DetectorProcess

HUSH = {"d": Plan("patterns", {"keywords": ["hush"]})}


def program(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Run this in place of the worker: another program, as a broken installation has it."""
    monkeypatch.setattr(detector_process, "_COMMAND", (sys.executable, "-I", "-c", source))


async def failing(words: str, load_timeout_s: float = 20.0) -> None:
    with pytest.raises(DetectorFailed, match=words):
        await DetectorProcess.launch(HUSH, load_timeout_s)


@pytest.mark.parametrize("loop", LOOPS)
def test_questions_are_answered_in_turn_until_it_is_killed(loop: str) -> None:
    async def main() -> None:
        process = await DetectorProcess.launch(HUSH, 20.0)
        answers = [
            await process.ask(["d"], texts, 20.0) for texts in (["loud"], ["loud", "hush"], ["字" * 100_000], [])
        ]
        assert answers == [False, True, False, False]
        await process.kill()
        with pytest.raises(DetectorFailed, match="has gone"):
            await process.ask(["d"], ["hush"], 20.0)
        await process.kill()  # once more does no harm

    run(main(), loop=loop)


def test_a_question_for_a_detector_that_was_not_loaded_is_a_failure_and_the_process_goes_on() -> None:
    async def main() -> None:
        process = await DetectorProcess.launch(HUSH, 20.0)
        with pytest.raises(DetectorFailed, match="a detector raised KeyError") as caught:
            await process.ask(["other"], ["x"], 20.0)
        assert not caught.value.is_over
        assert await process.ask(["d"], ["hush"], 20.0)
        await process.kill()

    run(main())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("pass", "has gone"),
        ("import sys; sys.stdout.write('hello, world, this is a log line')", "something else than answers"),
        ("import sys; sys.stdout.buffer.write(bytes([0, 0, 0, 3]) + b'abc')", "something else than answers"),
    ],
)
def test_a_process_that_says_something_else_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    program(monkeypatch, source)
    run(failing(words))


def test_a_process_that_does_not_get_ready_is_given_up_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(
        monkeypatch, f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )

    async def main() -> None:
        await failing("did not load in 1 s", load_timeout_s=1.0)

    run(main())
    assert not is_alive(int((tmp_path / "pid").read_text(encoding="ascii")))


def test_a_program_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_process, "_COMMAND", ("/no/such/program",))
    run(failing("cannot be started: No such file"))


def test_one_whose_limit_passed_ends_itself_if_nobody_is_left_to_end_it() -> None:
    """As after the gateway was killed while a pattern ran away."""

    async def main() -> None:
        plan = {"d": Plan("patterns", {"patterns": {"bad": "(a+)+b"}})}
        process = await DetectorProcess.launch(plan, 20.0)
        with pytest.raises(DetectorFailed, match="has gone"):
            await process.ask(["d"], ["a" * 64], -0.9)  # plus the second of grace
        await process.kill()
        # It had ended by then, by its alarm; 255 says that the loop did not learn how.
        assert process._process.returncode in (-signal.SIGALRM, 255)

    run(main())


def test_a_wait_that_is_cancelled_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "import time; time.sleep(600)")

    async def main() -> None:
        launching = asyncio.create_task(DetectorProcess.launch(HUSH, 600.0))
        await asyncio.sleep(0)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching

    run(main())


def test_a_frame_says_how_long_it_is() -> None:
    raw = encode(Hello())
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4
