"""The last lines of an engine's log, and what they say about its death. Filled by the supervisor, bounded in size."""

from __future__ import annotations

import re
import signal
from collections import deque

_KEPT_LINES = 200
_LINE_CHARS = 500
_ERROR = re.compile(r"^[\d.]+ E (?:\S+ +)?(.+)$")
"""llama.cpp: ``0.00.003.193 E gguf_init_from_reader: invalid magic characters: '<!DO'``."""
_FATAL = re.compile(
    r"GGML_ASSERT|GGML_ABORT|ggml_abort|terminate called|what\(\):|CUDA error|out of memory", re.IGNORECASE
)
_SAID_OF_SIGNALS = {
    signal.SIGKILL: "was killed (SIGKILL)",
    signal.SIGILL: "used an instruction that this CPU does not have (SIGILL)",
    signal.SIGSEGV: "crashed (SIGSEGV)",
    signal.SIGABRT: "aborted (SIGABRT)",
    signal.SIGBUS: "lost its memory-mapped model file (SIGBUS)",
}
_ADVICE: dict[int, str] = {
    signal.SIGKILL: "if nobody did that, memory ran out: lower max_batch_size, context_tokens or cache_ram, or choose a"
    " smaller model",
    signal.SIGILL: "run it on another CPU and attach it, or build xllamacpp from source here",
    signal.SIGBUS: "do not change the file of a running engine; put a new one beside it and rename it",
}


class EngineLog:
    """A ring of lines."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._first_error: str | None = None
        self._last_fatal: str | None = None
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Take bytes as they come; a line without an end is cut at a bound."""
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._add(line)
        self._rest = rest[:_LINE_CHARS]

    def close(self) -> None:
        """Take note that no more comes: a last line may lack its end."""
        self._add(self._rest)
        self._rest = b""

    def tail(self) -> list[str]:
        """Return the lines kept, oldest first."""
        return list(self._lines)

    def explain(self, reason: str) -> str:
        """Add the log's first error, which is the cause; the later ones only pass it on."""
        return reason if self._first_error is None else f"{reason}: {self._first_error}"

    def explain_death(self, returncode: int, *, was_ready: bool) -> str:
        """Say why a process died that did not say so itself.

        Once it was ready, its error lines are about requests; only an abort's own words are about its death.
        """
        detail = self._last_fatal
        if detail is None and not was_ready:
            detail = self._first_error or (self._lines[-1] if self._lines else None)
        when = "while it served" if was_ready else "while it loaded"
        advice = _ADVICE.get(-returncode)
        parts = (f"the engine {say_exit(returncode)} {when}", detail and f": {detail}", advice and f"; {advice}")
        return "".join(part for part in parts if part)

    def _add(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()[:_LINE_CHARS]
        if not text:
            return
        self._lines.append(text)
        error = _ERROR.match(text)
        if error is not None and self._first_error is None:
            self._first_error = error[1]
        if _FATAL.search(text):
            self._last_fatal = text


def say_exit(returncode: int) -> str:
    """Say how a process ended, as the rest of the sentence "the engine …"."""
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        number = signal.Signals(-returncode)
    except ValueError:
        return f"was ended by signal {-returncode}"
    return _SAID_OF_SIGNALS.get(number, f"was ended by {number.name}")
