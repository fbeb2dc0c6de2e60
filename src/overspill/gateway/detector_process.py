"""The detectors' process as the gateway sees it: started, asked one question at a time, killed when it is too slow.

Why a process: a detector may hold the interpreter's lock for as long as it likes (a regular expression that runs away
does), may crash it, and may be another package's. Here that costs a request its wait, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence

import msgspec

from overspill.detectors.frames import HEAD_BYTES, Answer, F, Hello, Plan, Question, Setup, decode, encode
from overspill.errors import OverspillError

_COMMAND = (sys.executable, "-P", "-m", "overspill.detectors.worker")  # -P: no module may be shadowed by the folder
_ENVIRONMENT = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
"""All that it gets of the gateway's environment, where the keys are."""
_LARGEST_FRAME = 64 * 1024
_GRACE_S = 1.0
"""After its limit a process has this long to be killed by us before it ends itself."""


class DetectorFailed(OverspillError):  # noqa: N818 - reads as the state it reports
    """A detector could not be loaded, raised, or its process has gone. The message holds nothing of any text."""

    def __init__(self, message: str, *, is_over: bool = True) -> None:
        super().__init__(message)
        self.is_over = is_over
        """False if its process can be asked again."""


class DetectorProcess:
    """One process with all detectors. Make it with ``launch``; ``ask`` one question at a time; ``kill`` once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def launch(cls, detectors: dict[str, Plan], load_timeout_s: float) -> DetectorProcess:
        """Start it and have it load; raise ``DetectorFailed`` if it does not get ready."""
        pipe = asyncio.subprocess.PIPE
        try:
            # Its standard error goes nowhere: what a library writes there may quote a text.
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=pipe,
                stdout=pipe,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        except OSError as error:
            raise DetectorFailed(f"the detectors' process cannot be started: {error.strerror}") from error
        it = cls(process)
        try:
            async with asyncio.timeout(load_timeout_s):
                hello = await it._exchange(Setup(detectors), Hello)
        except BaseException as error:
            await it.kill()
            if isinstance(error, TimeoutError):
                raise DetectorFailed(f"the detectors did not load in {load_timeout_s:g} s") from None
            raise
        if hello.error is not None:
            await it.kill()
            raise DetectorFailed(hello.error)
        return it

    async def ask(self, detectors: Sequence[str], texts: list[str], limit_s: float) -> bool:
        """Return whether one of ``detectors`` finds something; raise ``DetectorFailed`` if that is not known.

        The caller ends the wait at its limit, and then kills the process: it may still be busy.
        """
        answer = await self._exchange(Question(tuple(detectors), texts, limit_s + _GRACE_S), Answer)
        if answer.error is not None:
            raise DetectorFailed(f"a detector raised {answer.error}", is_over=False)
        return answer.found

    async def _exchange(self, frame: msgspec.Struct, kind: type[F]) -> F:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None
        if stdin.is_closing():
            raise DetectorFailed("the detectors' process has gone")
        try:
            stdin.write(encode(frame))
            await stdin.drain()
            size = int.from_bytes(await stdout.readexactly(HEAD_BYTES), "big")
            if size > _LARGEST_FRAME:
                raise DetectorFailed("the detectors' process says something else than answers")
            return decode(await stdout.readexactly(size), kind)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise DetectorFailed("the detectors' process has gone") from error
        except msgspec.DecodeError as error:
            raise DetectorFailed("the detectors' process says something else than answers") from error

    async def kill(self) -> None:
        """End it now, and wait until it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            await ended  # soon: it was killed
            raise
