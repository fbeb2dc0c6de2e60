"""How the program logs: one line per event on one stream, as JSON for programs or as text for people.

Set up once by the command line. Modules use ``logging.getLogger(__name__)`` and pass facts as ``extra={...}``. Bodies
and header values are never handed to a logger; should a key get into a message all the same (an exception's text, an
upstream's error), it is taken out of the finished line.
"""

from __future__ import annotations

import enum
import json
import logging
import math
import re
from datetime import UTC, datetime
from typing import IO

SECRET = "[secret]"  # noqa: S105 - what stands in a key's place

_SECRET_FIELD = re.compile(
    r"(?i)(?:^|[_-])(?:authorization|cookie|password|secret|api[_-]?key|access[_-]?token|auth[_-]?token)$"
)
_VALUE = r"[A-Za-z0-9._~+/=-]"
_SECRETS = (
    re.compile(rf"(?i)\b(?P<kept>(?:bearer|basic)\s+){_VALUE}{{6,}}"),
    re.compile(
        rf"(?i)(?P<kept>(?:authorization|api[_-]?key|access[_-]?token|auth[_-]?token|password|secret)"
        rf"\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!(?:bearer|basic)\s){_VALUE}{{4,}}"
    ),
    # Keys known by how they begin: OpenAI, DeepSeek, Anthropic and kin (sk-), Groq, xAI, Hugging Face, Google, AWS.
    re.compile(r"\b(?P<kept>)(?:sk-|gsk_|xai-|hf_|nvapi-|AIza|AKIA)[A-Za-z0-9_-]{8,}"),
)
# Text of a client must not be able to forge a line.
_LINE_BREAKING = (*range(32), *range(127, 160), 0x2028, 0x2029)
_CONTROL = {code: f"\\u{code:04x}" for code in _LINE_BREAKING} | {9: "\\t", 10: "\\n", 13: "\\r"}
_STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class LogFormat(enum.StrEnum):
    """What a line looks like."""

    JSON = "json"
    TEXT = "text"


def configure(log_format: LogFormat, level: str, stream: IO[str]) -> None:
    """Send all logging of this process to ``stream``, from ``level`` (``debug`` to ``critical``) on.

    Called again, it replaces what it did before and leaves handlers of others alone. Raise ``ValueError`` for an
    unknown level.
    """
    root = logging.getLogger()
    root.setLevel(level.upper())
    for handler in [handler for handler in root.handlers if isinstance(handler, _LineHandler)]:
        root.removeHandler(handler)
    handler = _LineHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    root.addHandler(handler)


def redact(text: str) -> str:
    """Put ``[secret]`` in the place of everything in ``text`` that looks like a key."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<kept>{SECRET}", text)
    return text


class _LineHandler(logging.StreamHandler[IO[str]]):
    """The handler that ``configure`` adds; the class is how it is found again."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``ts`` (RFC 3339, UTC), ``level``, ``logger``, ``msg``, the extra fields, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        fields: dict[str, object] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for name, value in _extra(record).items():
            fields.setdefault(name, value)
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        line = json.dumps(fields, default=str, ensure_ascii=False)
        # JSON's own escapes, for what its encoder leaves as it is: C1 controls here, a lone surrogate (\udcxx) below.
        line = redact(line.translate(_CONTROL))
        return line.encode("utf-8", "backslashreplace").decode()


class TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, message, ``name=value`` of the extra fields; then the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        message = f"{record.getMessage()}{extra}".translate(_CONTROL)
        line = f"{_timestamp(record)} {record.levelname:<7} {record.name}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redact(line).encode("utf-8", "backslashreplace").decode()


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, object]:
    """Return what was passed as ``extra``, fields named like a secret emptied."""
    fields = {name: value for name, value in record.__dict__.items() if name not in _STANDARD_FIELDS}
    return {name: SECRET if _SECRET_FIELD.search(name) else _finite(value) for name, value in fields.items()}


def _finite(value: object) -> object:
    """JSON has no NaN and no infinity: write those as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
