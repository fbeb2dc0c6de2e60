"""The keys' file of a running gateway: watched, so that a new key may ask and a revoked one may not, without a restart.

The file's live keys stand among those of the configuration, so what is decided by keys (limits, teams, budgets) takes a
change up as one ``PolicyChanged``. A file that cannot be read changes nothing. Once a gateway asks for keys it goes on
to, whatever becomes of the file.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from overspill.config.allowance import KeyRecord
from overspill.config.key_file import read_key_file, with_records
from overspill.config.keys import keys_of
from overspill.config.schema import Config
from overspill.config.secrets import key_digest
from overspill.errors import ConfigError
from overspill.gateway.auth import Keyring
from overspill.wire.form import ReasoningForm

log = logging.getLogger("overspill.keys")

_POLL_S = 0.5
Signature = tuple[int, int, int]


class Held(NamedTuple):
    """What was read of a keys' file."""

    path: Path | None = None
    signature: Signature | None = None
    records: tuple[KeyRecord, ...] = ()
    is_required: bool = False
    """Whether a key is asked for even if there is none."""


_NOTHING = Held()


class KeyWatch:
    """Looks after the keys' file: ``read`` it for a configuration, set ``held`` to take that, ``run`` for the rest."""

    def __init__(self, usual: Path | None = None, wall_clock: Callable[[], float] = time.time) -> None:
        """Make it; ``usual`` is the file where a configuration names none."""
        self._usual = usual
        self._wall_clock = wall_clock
        self.held = Held()

    def read(self, config: Config) -> Held:
        """Read the file that the configuration names, else the usual one; raise ``ConfigError``."""
        named = config.server.keys_file
        path = self._usual if named is None else Path(named).expanduser()
        if path is None:
            return Held(is_required=self.held.is_required)
        signature = signature_of(path)
        records = read_key_file(path)
        is_required = self.held.is_required or named is not None or bool(records)
        own = {entry.name for entry in config.server.api_keys if not isinstance(entry, str)}
        for name in sorted({record.key_id for record in records} & own):
            log.error("the key %r of %s is not used: the configuration has one of that name", name, path)
        if is_required and not config.server.api_keys and not any(r.is_live(self.now()) for r in records):
            log.warning("no key in %s is valid, so nobody may ask: make one with 'overspill keys create'", path)
        return Held(path, signature, records, is_required)

    def now(self) -> datetime:
        """Return the time of day by which keys expire."""
        return datetime.fromtimestamp(self._wall_clock(), UTC)

    def joined(self, config: Config, held: Held) -> Config:
        """Return the configuration with the file's live keys among its own."""
        if held.path is None or not held.is_required:
            return config
        return with_records(config, held.records, held.path, self.now())

    async def run(self, changed: Callable[[], None]) -> None:
        """Look after the file until cancelled; call ``changed`` when other keys than before may ask."""
        while True:
            now = self.now()
            ends = [record.expires_at for record in self.held.records if record.expires_at and record.is_live(now)]
            pauses = [(end - now).total_seconds() for end in ends]
            await asyncio.sleep(max(0.0, min([_POLL_S, *pauses])))
            if await self._look() or any(end <= self.now() for end in ends):
                changed()

    async def _look(self) -> bool:
        held = self.held
        if held.path is None:
            return False
        signature = await asyncio.to_thread(signature_of, held.path)
        if signature == held.signature:
            return False
        try:
            records = await asyncio.to_thread(read_key_file, held.path)
        except ConfigError as error:
            log.error("the keys stay what they were: %s", error)  # noqa: TRY400 - the text is it
            records = held.records
        if self.held is not held:  # a reload came between
            return False
        self.held = Held(held.path, signature, records, held.is_required or bool(records))
        return records != held.records


def signature_of(path: Path) -> Signature | None:
    """Return what changes when the file is replaced or written; ``None`` if it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def keyring(config: Config, environ: Mapping[str, str], held: Held = _NOTHING, now: datetime | None = None) -> Keyring:
    """Return the keys that clients may use: those of ``config``, and all of the file that go by a name in it."""
    keys = keys_of(config)
    digests = {bytes.fromhex(key_digest(entry.key, environ)): key_id for key_id, entry in keys}
    dead: dict[bytes, str] = {}
    usable = {key_id for key_id, entry in keys if isinstance(entry, KeyRecord)}
    for record in held.records:  # also the older ones of a name, and those that were
        digest = bytes.fromhex(record.key.removeprefix("sha256:"))
        if now is not None and not record.is_live(now):
            dead[digest] = "revoked" if record.revoked_at is not None else "expired"
        elif record.key_id in usable:
            digests[digest] = record.key_id
    local_only = frozenset(key_id for key_id, entry in keys if entry.local_only)
    reasoning = {key_id: ReasoningForm(e.reasoning) for key_id, e in keys if e.reasoning != "reasoning_content"}
    return Keyring(digests, local_only=local_only, dead=dead, is_required=held.is_required, reasoning=reasoning)
