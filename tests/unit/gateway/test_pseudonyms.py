"""What providers get in place of a user's id."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from overspill.gateway.pseudonyms import Pseudonyms, find_salt


def test_a_user_has_one_name_that_says_nothing() -> None:
    names = Pseudonyms(b"salt")
    name = names.of("ann@example.com", "key")
    assert name == Pseudonyms(b"salt").of("ann@example.com", "key")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
    assert "ann" not in name


@pytest.mark.parametrize(
    "other",
    [
        Pseudonyms(b"another").of("ann", "key"),
        Pseudonyms(b"salt").of("bob", "key"),
        Pseudonyms(b"salt").of("ann", "yek"),
        Pseudonyms(b"salt").of("yann", "ke"),
        Pseudonyms(b"salt").of('{"a": "\ud800"}', "key"),
        Pseudonyms(b"").of("ann", "key"),
    ],
)
def test_another_user_key_or_installation_is_another_name(other: str) -> None:
    assert other != Pseudonyms(b"salt").of("ann", "key")


def test_a_salt_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "overspill"
    salt = find_salt(folder)
    assert len(salt) == 32
    assert find_salt(folder) == salt
    assert (folder / "user-salt").stat().st_mode & 0o077 == 0
    (folder / "user-salt").write_bytes(b"")
    assert len(find_salt(folder)) == 32


def test_without_a_place_for_it_a_salt_is_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_salt(None) != find_salt(None)
    file = tmp_path / "file"
    file.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert find_salt(file) != find_salt(file)  # a file is no folder
        assert find_salt(file / "deeper") != find_salt(file / "deeper")
    assert "users have other names at providers after each start" in caplog.text
