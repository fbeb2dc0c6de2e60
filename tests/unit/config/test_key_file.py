"""The keys' file: what is written is read again, others' changes are not lost, and a damaged file says so."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overspill.config.allowance import KeyEntry, KeyRecord
from overspill.config.key_file import change_key_file, read_key_file, with_records, without_budgets
from overspill.config.key_text import PREFIX, digest_of, hint_of, is_damaged, is_ours, new_key
from overspill.config.keys import keys_of
from overspill.config.scalars import KeyRef, dec_hook
from overspill.config.schema import Config, ServerConfig
from overspill.errors import ConfigError

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def record(name: str, **more: Any) -> KeyRecord:
    value = {"key": f"sha256:{digest_of(name)}", "name": name, **more}
    return msgspec.convert(value, KeyRecord, dec_hook=dec_hook)


def test_a_key_can_be_told_by_its_beginning_and_checked_by_its_end() -> None:
    key = new_key()
    assert key.startswith(PREFIX)
    assert len(key) == len(PREFIX) + 38
    assert key != new_key()
    assert hint_of(key) == key[:11]
    assert is_ours(key)
    assert not is_damaged(key)
    assert all(is_damaged(bad) for bad in (key[:-1], key + "x", key[:20] + "!" + key[21:], PREFIX, PREFIX + "é"))
    assert not is_damaged("sk-somebody-elses")


def test_what_is_written_is_read_again_and_only_its_owner_may(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    assert read_key_file(path) == ()
    made = record("alice", limits={"requests_per_minute": 3, "burst": "5s"}, budget={"day": 2.5}, expires_at=NOW)
    assert change_key_file(path, lambda keys: (*keys, made)) == (made,)
    assert read_key_file(path) == (made,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {one.name for one in path.parent.iterdir()} == {"keys.json", "keys.json.lock"}


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    def add(number: int) -> None:
        for turn in range(5):
            change_key_file(path, lambda keys, turn=turn: (*keys, record(f"w{number}-{turn}")))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_key_file(path)) == 20


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    change_key_file(path, lambda keys: (record("alice"),))

    def refuse(keys: tuple[KeyRecord, ...]) -> tuple[KeyRecord, ...]:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        change_key_file(path, refuse)
    assert [key.name for key in read_key_file(path)] == ["alice"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "keys.json"
    link.symlink_to(tmp_path / "real" / "keys.json")
    change_key_file(link, lambda keys: (record("alice"),))
    assert link.is_symlink()
    assert len(read_key_file(link)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "this is no file of keys"),
        ('{"keys": [{"key": "sk-secret", "name": "a"}]}', "this is no file of keys"),
        ('{"keys": [{"key": "env:NAME", "name": "a"}]}', "something else than its sha256:HEX"),
        ('{"keys": [{"key": "sha256:' + "0" * 64 + '"}]}', "has no name"),
        ('{"version": 2}', "version 2, this Overspill reads 1; upgrade"),
        ('{"keyz": []}', "unknown field `keyz`"),
        ('{"keys": [{"key": "sha256:' + "0" * 64 + '", "name": "a", "expires_at": "2026-01-01"}]}', "no file of keys"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_never_quotes_a_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        read_key_file(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)
    assert "sk-secret" not in str(raised.value)


def test_a_file_that_is_none_or_too_large_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key_file(tmp_path)
    (tmp_path / "keys.json").write_bytes(b" " * 100)
    monkeypatch.setattr("overspill.config.key_file.MAX_BYTES", 99)
    with pytest.raises(ConfigError, match="too large"):
        read_key_file(tmp_path / "keys.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        change_key_file(tmp_path / "file" / "keys.json", lambda keys: keys)


def test_live_keys_join_those_of_the_configuration(tmp_path: Path) -> None:
    own = (KeyRef("env:A"), KeyEntry(key=KeyRef("env:B"), name="bob"))
    config = Config(server=ServerConfig(api_keys=own))
    records = (
        record("alice", team="old"),
        record("alice", team="new"),
        record("bob"),
        record("gone", revoked_at=NOW - timedelta(days=1)),
        record("late", expires_at=NOW),
        record("soon", expires_at=NOW + timedelta(seconds=1), budget={"day": 1.0}),
    )
    joined = with_records(config, records, tmp_path, NOW)
    assert [(key_id, entry.team) for key_id, entry in keys_of(joined)] == [
        ("key-1", None),
        ("bob", None),
        ("alice", "new"),
        ("soon", None),
    ]
    assert [key_id for key_id, _ in keys_of(without_budgets(joined))] == ["key-1", "bob", "alice"]
