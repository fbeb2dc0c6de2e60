"""Finding an adapter by its name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from overspill.errors import OverspillError, UnknownName
from overspill.pools.upstreams import registry


def test_every_own_adapter_can_be_made_and_knows_its_name() -> None:
    assert registry.names()
    for name in registry.names():
        assert registry.create(name).kind == name


def test_a_wrong_name_is_answered_with_the_nearest_right_one() -> None:
    with pytest.raises(UnknownName, match=r"unknown upstream 'deepsek' \(did you mean 'deepseek'\?\); known: bailian"):
        registry.create("deepsek")


def test_another_packages_adapter_is_found_but_cannot_take_our_names(monkeypatch: pytest.MonkeyPatch) -> None:
    target = "overspill.pools.upstreams.bailian:Bailian"
    points = [EntryPoint(name, target, registry.GROUP) for name in ("acme", "deepseek")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    assert registry.create("acme").kind == "bailian"
    assert registry.create("deepseek").kind == "deepseek"
    assert "acme" in registry.names()


def test_a_broken_plugin_is_named_and_not_raised_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("acme", "overspill.no_such_module:X", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(OverspillError, match=r"'acme' of an unknown package cannot be loaded.*update or remove"):
        registry.create("acme")
