"""Fetching keys from where the configuration says they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from overspill.config.scalars import KeyRef, SecretRef
from overspill.config.secrets import key_digest, resolve
from overspill.errors import ConfigError


def test_a_key_comes_from_the_environment_or_a_file_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-2\n", encoding="utf-8")
    assert resolve(SecretRef("env:K"), {"K": "sk-1\n"}, what="x") == "sk-1"
    assert resolve(SecretRef(f"file:{path}"), {}, what="x") == "sk-2"


@pytest.mark.parametrize("environ", [{}, {"K": ""}, {"K": "  "}])
def test_an_unset_variable_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="the key of ds should be in the environment variable K, which is not set"):
        resolve(SecretRef("env:K"), environ, what="ds")


def test_a_file_that_is_missing_empty_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        resolve(SecretRef(f"file:{path}"), {}, what="ds")
    path.write_bytes(b"\n")
    with pytest.raises(ConfigError, match="which is empty"):
        resolve(SecretRef(f"file:{path}"), {}, what="ds")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is not text"):
        resolve(SecretRef(f"file:{path}"), {}, what="ds")


@pytest.mark.parametrize("secret", ["sk 1", "sk-1\r\nx-evil: 1", "sk-\x00", "schlüssel"])
def test_a_key_that_could_break_a_header_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigError, match="signs that no key has") as caught:
        resolve(SecretRef("env:K"), {"K": secret}, what="ds")
    assert secret not in str(caught.value)


def test_a_client_key_is_kept_as_its_digest() -> None:
    digest = hashlib.sha256(b"sk-1").hexdigest()
    assert key_digest(KeyRef("env:K"), {"K": "sk-1"}) == digest
    assert key_digest(KeyRef(f"sha256:{digest}"), {}) == digest
