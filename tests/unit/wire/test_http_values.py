from __future__ import annotations

import pytest

from overspill.wire.http import HttpCall, Origin


def test_a_call_cannot_be_changed_on_its_way() -> None:
    call = HttpCall(b"POST", b"/v1/chat/completions", ((b"accept", b"*/*"),), b"{}")
    with pytest.raises(AttributeError):
        call.body = b""  # type: ignore[misc]


def test_an_origin_is_on_loopback_unless_told_otherwise() -> None:
    assert (Origin().scheme, Origin().host, Origin().uds_path) == ("http", "127.0.0.1", None)
