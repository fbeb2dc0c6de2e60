"""One account at a provider, while it is used: fields its host refuses stay here, and its key may be renewed."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from overspill.config.scalars import SecretRef
from overspill.core.types import FailureKind, Surface
from overspill.gateway.key_file import KeyFile, key_file
from overspill.gateway.live_target import LiveUpstream
from overspill.pools.upstreams import registry
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import HttpCall, Origin

ORIGIN = Origin(scheme="https", host="api.example.com", port=443, prefix=b"/v1")
REFUSED = b'{"error":{"message":"token expired","code":"invalid_api_key"}}'


def live(key: str = "sk-1", *, file: KeyFile | None = None, expires: bool = False, allowed: str = "") -> LiveUpstream:
    account = Account(account_id="a", origin=ORIGIN, api_key=key, allowed_fields=frozenset(allowed.split()))
    upstream = registry.create("openai_compatible")
    return LiveUpstream("p/a", upstream, account, key_file=file, key_expires=expires)


def sent_key(call: HttpCall) -> bytes:
    return dict(call.headers)[b"authorization"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("sk-1\n")
    return path


def renewed(path: Path, key: str) -> None:
    """Write another key, surely at another time than the one before."""
    before = path.stat().st_mtime_ns
    path.write_text(key)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def test_a_key_that_expires_is_read_again_when_its_file_has_changed(place: Path) -> None:
    target = live(file=key_file(SecretRef(f"file:{place}"), "sk-1", what="p"), expires=True)
    assert sent_key(target.call(Surface.CHAT, b"{}")) == b"Bearer sk-1"
    renewed(place, "sk-2\n")
    assert sent_key(target.call(Surface.CHAT, b"{}")) == b"Bearer sk-2"


def test_any_key_in_a_file_is_read_again_when_it_is_refused(place: Path) -> None:
    target = live(file=key_file(SecretRef(f"file:{place}"), "sk-1", what="p"))
    assert target.classify(401, (), REFUSED).kind is FailureKind.BAD_KEY  # the same key is still there
    renewed(place, "sk-2")
    assert sent_key(target.call(Surface.CHAT, b"{}")) == b"Bearer sk-1"
    failure = target.classify(401, (), REFUSED)
    assert failure.kind is FailureKind.SERVER_ERROR  # it says nothing of the account: another try is worth it
    assert failure.message == "token expired; its file has another key by now, which is used from now on"
    assert sent_key(target.call(Surface.CHAT, b"{}")) == b"Bearer sk-2"


@pytest.mark.parametrize("spoil", ["gone", "empty", "two words", "same"])
def test_a_file_that_has_no_other_key_changes_nothing(
    place: Path, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = live(file=key_file(SecretRef(f"file:{place}"), "sk-1", what="pool 'p'"), expires=True)
    if spoil == "gone":
        place.unlink()
    else:
        renewed(place, {"empty": "", "two words": "a b", "same": "sk-1"}[spoil])
    with caplog.at_level(logging.WARNING):
        assert sent_key(target.call(Surface.CHAT, b"{}")) == b"Bearer sk-1"
    assert ("the key of pool 'p' stays as it was" in caplog.text) is (spoil != "same")
    assert target.classify(401, (), REFUSED).kind is FailureKind.BAD_KEY


def test_a_key_that_is_in_no_file_is_what_it_is() -> None:
    assert key_file(SecretRef("env:K"), "sk-1", what="p") is None
    assert key_file(None, "", what="p") is None
    target = live()
    assert target.classify(401, (), REFUSED).kind is FailureKind.BAD_KEY
    assert target.classify(503, (), b"").kind is FailureKind.OVERLOADED


def test_fields_that_the_host_refuses_are_left_out_and_the_log_tells_once(caplog: pytest.LogCaptureFixture) -> None:
    target = live(allowed="model messages")
    body = json.dumps({"model": "m", "messages": [], "user": "u", "seed": 1}).encode()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert json.loads(target.call(Surface.CHAT, body).body) == {"model": "m", "messages": []}
    assert [record.message for record in caplog.records] == [
        "p/a refuses fields that it does not know; left out: user, seed"
    ]
    caplog.clear()
    many = json.dumps({"model": "m", **{f"f{n}": n for n in range(100)}}).encode()
    target.call(Surface.CHAT, many)
    target.call(Surface.CHAT, json.dumps({"model": "m", "another": 1}).encode())
    assert len(caplog.records) == 1  # names that a client makes up do not fill the log
