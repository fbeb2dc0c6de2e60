"""A provider's key in a file that somebody renews, such as an access token that expires within the hour.

Read again when the file has changed: before each call where the provider's keys expire, and for any other key when the
provider refuses it. Only the file's times and size are looked at, which takes two microseconds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from overspill.config.scalars import SecretRef
from overspill.config.secrets import resolve
from overspill.errors import OverspillError

log = logging.getLogger("overspill.keys")


class KeyFile:
    """Where a key is, and what it was when it was last read."""

    __slots__ = ("_path", "_reference", "_seen", "_what", "key")

    def __init__(self, reference: SecretRef, key: str, *, what: str) -> None:
        self._reference = reference
        self._path = Path(reference.partition(":")[2]).expanduser()
        self._what = what
        self._seen = self._look()
        self.key = key

    def reread(self) -> bool:
        """Read the key again if its file has changed; return whether it is another one now."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            key = resolve(self._reference, _NO_ENVIRONMENT, what=self._what)
        except OverspillError as error:
            log.warning("the key of %s stays as it was: %s", self._what, error)
            return False
        is_new, self.key = key != self.key, key
        return is_new

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


_NO_ENVIRONMENT: Mapping[str, str] = {}


def key_file(reference: SecretRef | None, key: str, *, what: str) -> KeyFile | None:
    """Return the file of a key that is in one, or ``None``."""
    if reference is None or not reference.startswith("file:"):
        return None
    return KeyFile(reference, key, what=what)
