"""Writes a recording: the events and commands of a run, one JSON line each, for ``overspill replay``."""

from __future__ import annotations

from pathlib import Path

from overspill.core.commands import AnyCommand
from overspill.core.events import AnyEvent
from overspill.core.recording import encode_header, encode_step
from overspill.core.types import Policy
from overspill.errors import OverspillError


class Recording:
    """An open recording. Buffered: a crash may lose the last lines, and a replay then ends there."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("wb", buffering=1024 * 1024)
        except OSError as error:
            raise OverspillError(f"the recording {path} cannot be written: {error.strerror}") from error

    def begin(self, policy: Policy) -> None:
        """Write the header: the policy that the run starts with."""
        self._file.write(encode_header(policy))

    def write(self, now: float, event: AnyEvent, commands: list[AnyCommand]) -> None:
        """Write one step."""
        self._file.write(encode_step(now, event, commands))

    def close(self) -> None:
        """Write what is buffered and close."""
        self._file.close()
