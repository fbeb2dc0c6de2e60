"""Whose key it is, from which header, and what a key that is not good is told."""

from __future__ import annotations

import pytest

from overspill.config.key_text import new_key
from overspill.gateway.auth import ANONYMOUS, Keyring, digest

RING = Keyring.of_secrets({"key-1": "sk-one", "key-2": "sk-two", "key-3": "sk-three"})


def test_without_keys_everybody_may_ask() -> None:
    ring = Keyring({})
    assert ring.is_open
    assert ring.identify([]) == ANONYMOUS
    assert ring.identify([(b"authorization", b"Bearer whatever")]) == ANONYMOUS


@pytest.mark.parametrize(
    ("header", "key_id"),
    [
        ((b"authorization", b"Bearer sk-one"), "key-1"),
        ((b"authorization", b"bearer sk-two"), "key-2"),
        ((b"authorization", b"BEARER   sk-three "), "key-3"),
        ((b"x-api-key", b"sk-two"), "key-2"),
        ((b"authorization", b"Bearer sk-on"), None),
        ((b"authorization", b"Bearer "), None),
        ((b"authorization", b"sk-one"), None),
        ((b"authorization", b"Basic c2stb25l"), None),
        ((b"x-api-key", b"\xff\xfe"), None),
        ((b"cookie", b"sk-one"), None),
    ],
)
def test_a_key_is_found_in_either_header(header: tuple[bytes, bytes], key_id: str | None) -> None:
    assert not RING.is_open
    assert RING.identify([(b"host", b"x"), header]) == key_id


def test_without_a_key_nobody_is_found() -> None:
    assert RING.identify([]) is None


def test_another_scheme_does_not_hide_the_other_header() -> None:
    assert RING.identify([(b"authorization", b"Basic x"), (b"x-api-key", b"sk-one")]) == "key-1"


def test_no_key_is_kept_in_the_clear() -> None:
    assert "sk-one" not in repr(vars(RING))


def test_a_key_may_be_bound_to_local_pools() -> None:
    ring = Keyring({b"1": "a", b"2": "b"}, local_only=frozenset({"b"}))
    assert [ring.is_local_only(key_id) for key_id in ("a", "b", ANONYMOUS)] == [False, True, False]


def test_a_keyring_without_keys_may_still_ask_for_one() -> None:
    ring = Keyring({}, is_required=True)
    assert not ring.is_open
    assert ring.identify([]) is None
    assert ring.identify([(b"x-api-key", b"sk-one")]) is None


def test_several_keys_may_go_by_one_name() -> None:
    ring = Keyring({digest(b"old"): "alice", digest(b"new"): "alice"})
    assert [ring.identify([(b"x-api-key", key)]) for key in (b"old", b"new", b"none")] == ["alice", "alice", None]


WHOLE = new_key()


@pytest.mark.parametrize(
    ("key", "code", "said"),
    [
        (None, "invalid_api_key", "needs a key"),
        ("sk-other", "invalid_api_key", "does not know this key"),
        (WHOLE, "invalid_api_key", "does not know this key"),
        (WHOLE[:-1], "invalid_api_key", "checksum"),
        ("dead-1", "revoked_api_key", "was revoked"),
        ("dead-2", "expired_api_key", "has expired"),
    ],
    ids=["none", "foreign", "unknown", "cut", "revoked", "expired"],
)
def test_a_key_that_is_not_good_is_told_why(key: str | None, code: str, said: str) -> None:
    ring = Keyring({digest(b"live"): "a"}, dead={digest(b"dead-1"): "revoked", digest(b"dead-2"): "expired"})
    headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    assert ring.identify(headers) is None
    refusal = ring.refusal(headers)
    assert refusal.code == code
    assert said in refusal.message
    assert key is None or key not in refusal.message
