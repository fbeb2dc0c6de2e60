"""Every exception that Overspill raises on purpose, in one tree.

An expected outcome (a request rejected, a target refused) is a value in ``core``, never an exception. Exceptions are
for a human who must do something; each message says what happened, to what, and what to do next.

::

    OverspillError
    ├── ConfigError          a configuration that cannot be used (file, line, what to write instead)
    ├── WireError            a client's request that cannot be served as sent (becomes an HTTP 4xx body)
    ├── EngineError          a local engine that cannot be started or used
    │   ├── EngineMissing      its software is not installed, or this CPU cannot run it
    │   └── ModelUnusable      the model file is missing, damaged or of an unknown architecture
    ├── LedgerError          the ledger cannot be opened, read or exported
    ├── TraceError           a trace or recording that cannot be read
    ├── ExtraMissing         an optional package that is not installed (names the extra to install)
    └── UnknownName          a name that is in no registry (lists the right ones)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OverspillError(Exception):
    """Base of every error raised on purpose; its text is fit for a user's eyes."""


class ConfigError(OverspillError):
    """A configuration that cannot be used."""

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        self.file = file
        self.line = line
        where = "" if file is None else f"{file}:{line}: " if line is not None else f"{file}: "
        super().__init__(where + message)


class WireError(OverspillError):
    """A request that cannot be served as the client sent it.

    ``status`` is the HTTP status; ``code`` and ``param`` go into the error body (OpenAI's form), ``kind`` is its
    ``type``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.kind = kind


class EngineError(OverspillError):
    """A local engine that cannot be started or used."""


class EngineMissing(EngineError):  # noqa: N818 - reads as the state it reports
    """The engine's software is not installed, or this machine's CPU cannot run it."""


class ModelUnusable(EngineError):  # noqa: N818
    """The model file is missing, damaged, or of an architecture the engine does not know."""


class LedgerError(OverspillError):
    """The ledger cannot be opened, read or exported."""


class TraceError(OverspillError):
    """A trace or a recording that cannot be read."""


class ExtraMissing(OverspillError):  # noqa: N818
    """An optional package that something needs and that is not installed; the message names the extra."""


class UnknownName(OverspillError):  # noqa: N818
    """A name that is in no registry; the message lists the right ones and the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, names)}; known: {', '.join(names) or 'none'}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest of ``known``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
