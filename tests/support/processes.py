"""``overspill serve`` as a process of its own, as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.support.loops import until


class Served:
    """A running process, its address and what it has written to standard error."""

    def __init__(self, process: asyncio.subprocess.Process, address_file: Path) -> None:
        self.process = process
        self.log = ""
        self._address_file = address_file
        self._reading = asyncio.ensure_future(self._read())

    @property
    def address(self) -> str:
        return self._address_file.read_text().strip()

    async def listening(self) -> None:
        """Wait until it listens; fail if it ends instead."""
        await until(lambda: self.process.returncode is not None or self._has_address())
        assert self.process.returncode is None, self.log

    def _has_address(self) -> bool:
        return self._address_file.exists() and self._address_file.read_text().endswith("\n")

    async def logged(self, words: str, *, times: int = 1) -> None:
        await until(lambda: self.log.count(words) >= times or self.process.returncode is not None)
        assert self.log.count(words) >= times, self.log

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Return the exit code once it has ended and all it wrote was read."""
        code = await self.process.wait()
        await self._reading
        return code

    async def _read(self) -> None:
        stderr = self.process.stderr
        assert stderr is not None
        while line := await stderr.readline():
            self.log += line.decode()


@contextlib.asynccontextmanager
async def served(
    folder: Path, *arguments: str, config: str | None = None, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Served]:
    """Start ``overspill serve``; ``config`` is written to ``overspill.yaml`` in ``folder``, where all its files go."""
    if config is not None:
        (folder / "overspill.yaml").write_text(config)
        arguments = ("--config", str(folder / "overspill.yaml"), *arguments)
    address_file = folder / "address"
    own = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CACHE_HOME": str(folder / "cache")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "overspill", "serve", "--quiet", "--address-file", str(address_file), *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **own, **(environ or {})},
    )
    running = Served(process, address_file)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.ended()
