"""The detectors' process: loads them, then reads texts from standard input and says whether there is something.

Frames are a length of four bytes and msgpack. It says how loading went, then answers one question after another, and
ends with its input. Neither what it reads nor what it finds is written anywhere: an error is told by its type alone,
because its message might quote the text.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from overspill.detectors import registry
from overspill.detectors.frames import Answer, Hello, Question, Setup, encode, read
from overspill.detectors.protocol import Finds
from overspill.errors import OverspillError

_WARM_UP = "Call +1 202 555 0143 or write to a@example.com; the card is 4111 1111 1111 1111."
"""Asked once while loading: libraries load the rest of themselves at the first question."""


def main() -> None:
    """Serve standard input; the command of the process."""
    answers = _claim_stdout()
    setup = read(sys.stdin.buffer, Setup)
    if setup is None:
        return
    finds = _load(setup, answers)
    if finds is None:
        return
    while (question := read(sys.stdin.buffer, Question)) is not None:
        # By the kernel, since a regular expression that runs away listens to nobody: unhandled, the signal ends us.
        signal.setitimer(signal.ITIMER_REAL, question.limit_s)
        answer = _answer(question, finds)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(answers, answer)


def _load(setup: Setup, answers: BinaryIO) -> Mapping[str, Finds] | None:
    try:
        finds = {name: registry.create(plan.kind).load(plan.options) for name, plan in setup.detectors.items()}
        for find in finds.values():
            find(_WARM_UP)
    except Exception as error:  # noqa: BLE001 - other people's code runs; whatever it raises is why it cannot be used
        message = str(error) if isinstance(error, OverspillError) else repr(error)
        _write(answers, Hello(error=message))
        return None
    _write(answers, Hello())
    return finds


def _answer(question: Question, finds: Mapping[str, Finds]) -> Answer:
    try:
        found = any(finds[name](text) for name in question.detectors for text in question.texts)
    except Exception as error:  # noqa: BLE001 - other people's code runs; the request then stays local
        return Answer(error=type(error).__name__)
    return Answer(found=found)


def _write(answers: BinaryIO, frame: msgspec.Struct) -> None:
    answers.write(encode(frame))
    answers.flush()


def _claim_stdout() -> BinaryIO:
    """Keep the real standard output for answers; what a library prints goes where the errors go: nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):  # the gateway has gone
        main()
