"""Durations, sizes and references to secrets as people write them."""

from __future__ import annotations

import re

import pytest

from overspill.config.scalars import Duration, KeyRef, SecretRef, Size, dec_hook, enc_hook


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(7200, "2h"), (90, "90s"), (120, "2m"), (1, "1s"), (1.5, "1.5s"), (0.25, "250ms"), (0.0005, "0.5ms")],
)
def test_a_duration_is_written_short_and_read_back_the_same(seconds: float, written: str) -> None:
    assert Duration(seconds).written() == written
    assert Duration.read(written) == seconds


@pytest.mark.parametrize(("count", "written"), [(0, "0"), (1024, "1KiB"), (1536, "1536"), (3 * 1024**3, "3GiB")])
def test_a_size_is_written_in_the_unit_that_divides_it(count: int, written: str) -> None:
    assert Size(count).written() == written
    assert Size.read(written) == count


@pytest.mark.parametrize("value", [0, -1, "0s", "-1s", "1 year", "", True, None, float("nan"), float("inf"), [1]])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError), match="duration"):
        Duration.read(value)


@pytest.mark.parametrize("value", [-1, "-1", "1.5.5", 1.5, True, None, "x"])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError), match="size"):
        Size.read(value)


@pytest.mark.parametrize("kind", [Duration, Size, SecretRef, KeyRef])
def test_the_published_pattern_fits_what_is_read(kind: type[Duration | Size | SecretRef | KeyRef]) -> None:
    for example in kind.json_schema["examples"]:
        assert re.search(kind.json_schema["pattern"], example)
        assert kind.read(example).written()


def test_types_of_others_are_not_ours_to_convert() -> None:
    with pytest.raises(NotImplementedError):
        dec_hook(complex, 1)
    with pytest.raises(NotImplementedError):
        enc_hook(1j)
