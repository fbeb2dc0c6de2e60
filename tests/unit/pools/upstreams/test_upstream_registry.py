"""Finding an adapter by its name."""

from __future__ import annotations

import pytest

from overspill.errors import UnknownName
from overspill.pools.upstreams import registry


def test_every_own_adapter_can_be_made_and_knows_its_name() -> None:
    assert registry.names()
    for name in registry.names():
        assert registry.create(name).kind == name


def test_a_wrong_name_is_answered_with_the_nearest_right_one() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown upstream 'deepsek' \(did you mean 'deepseek'\?\); known: anthropic, bailian"
    ):
        registry.create("deepsek")
