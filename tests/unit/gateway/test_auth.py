"""Whose key it is, from which header, and that every key is compared."""

from __future__ import annotations

import hmac

import pytest

from overspill.gateway import auth
from overspill.gateway.auth import ANONYMOUS, Keyring

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


def test_all_keys_are_compared_in_constant_time_whatever_matched_before(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare_digest = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare_digest(a, b)

    monkeypatch.setattr(auth.hmac, "compare_digest", compare)
    assert RING.identify([(b"x-api-key", b"sk-one")]) == "key-1"
    assert len(compared) == 3
    assert all(len(a) == len(b) == 32 for a, b in compared)


def test_no_key_is_kept_in_the_clear() -> None:
    assert "sk-one" not in repr(vars(RING))


def test_a_key_may_be_bound_to_local_pools() -> None:
    ring = Keyring({"a": b"", "b": b""}, local_only=frozenset({"b"}))
    assert [ring.is_local_only(key_id) for key_id in ("a", "b", ANONYMOUS)] == [False, True, False]
