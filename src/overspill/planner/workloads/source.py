"""A log as a file: unpacked, line by line with numbers, however long it is; one error for all that can be wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from overspill.errors import TraceError

Progress = Callable[[float], None]
"""Is told which part of a file has been read, from 0 to 1."""

_GZIP = b"\x1f\x8b"
_PACKED = {b"PK\x03\x04": "a zip archive", b"\x28\xb5\x2f\xfd": "packed with zstd", b"BZh": "packed with bzip2"}
_HEAD_BYTES = 65_536
_LINES_PER_REPORT = 8192


class Source:
    """A file that can be read from its beginning as often as one likes."""

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        self.path = path
        self._progress = progress

    @property
    def name(self) -> str:
        """The file's name, for reports."""
        return self.path.name

    def head(self) -> bytes:
        """Return the first bytes of the file, unpacked."""
        with self._reading(), self._opened() as (file, _):
            return file.read(_HEAD_BYTES)

    def first_line(self) -> str:
        """Return the first line that is not empty, without blanks around it; empty if there is none."""
        with contextlib.closing(self.lines()) as lines:
            return next((text for _, text in lines), "")

    def text(self) -> str:
        """Return the whole text."""
        with self._reading(), self._opened() as (file, _):
            return file.read().decode("utf-8-sig")

    def lines(self) -> Generator[tuple[int, str], None, None]:
        """Yield each line that is not empty with its number, from 1; blanks around it are gone."""
        with (
            self._reading(),
            self._opened() as (file, raw),
            io.TextIOWrapper(file, encoding="utf-8-sig") as unpacked,
        ):
            total = self.path.stat().st_size or 1
            for number, line in enumerate(unpacked, start=1):
                if self._progress is not None and number % _LINES_PER_REPORT == 0:
                    self._progress(min(1.0, raw.tell() / total))
                if text := line.strip():
                    yield number, text
        if self._progress is not None:
            self._progress(1.0)

    def bad_row(self, number: int, text: str, why: str) -> TraceError:
        """Return the error of a row that cannot be used."""
        return TraceError(f"{self.path}:{number}: this row is no request: {why}; got {text[:80]!r}")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """Give the unpacked file, and the one on disk that it is read from."""
        with self.path.open("rb") as raw:
            start = raw.read(4)
            for magic, what in _PACKED.items():
                if start.startswith(magic):
                    raise TraceError(f"{self.path} is {what}; unpack it first (only gzip is read as it is)")
            raw.seek(0)
            if start.startswith(_GZIP):
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield io.BufferedReader(unpacked), raw
            else:
                yield raw, raw

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise TraceError(
                f"{self.path}: this trace is no UTF-8 text ({error.reason}); save it as UTF-8, or unpack it"
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            raise TraceError(f"{self.path}: cannot read this trace: {error}") from error
