"""Where files go."""

from __future__ import annotations

from pathlib import Path

import pytest

from overspill.gateway.places import cache_dir, state_dir


def test_the_base_directories_of_the_environment_are_used() -> None:
    environ = {"XDG_STATE_HOME": "/var/state", "XDG_CACHE_HOME": "/var/cache"}
    assert state_dir(environ) == Path("/var/state/overspill")
    assert cache_dir(environ) == Path("/var/cache/overspill")


@pytest.mark.parametrize("value", ["", "relative/state"])
def test_what_is_no_absolute_path_is_ignored(value: str) -> None:
    assert state_dir({"XDG_STATE_HOME": value}) == Path.home() / ".local/state/overspill"
    assert cache_dir({"XDG_CACHE_HOME": value}) == Path.home() / ".cache/overspill"
