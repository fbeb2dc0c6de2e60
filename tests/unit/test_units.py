from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.units import GIB, MIB, format_bytes, format_duration, format_usd, parse_duration_s, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("2", 2.0),
        ("2.5s", 2.5),
        (" 250 ms ", 0.25),
        ("40us", 4e-5),
        ("5m", 300.0),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
    ],
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1e3", "1 week", "1,5s", "nan", "inf", "1s 2", ".5s", "1S"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write a number and a unit, like 250ms") as caught:
        parse_duration_s(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17", 17), ("64KiB", 65536), ("1.5 GiB", 3 * GIB // 2), ("8GB", 8_000_000_000), ("2kB", 2000),
     ("2KB", 2000), ("3MB", 3_000_000), ("1TiB", 1024**4), ("1TB", 10**12), (" 512 MiB ", 512 * MIB), ("9B", 9)],
)  # fmt: skip
def test_a_size_is_read_with_its_unit(text: str, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 gb", "1e9", "1Mb", "0x10", "1GiB2"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write a number and a unit, like 64KiB") as caught:
        parse_size_bytes(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (1.2345, "1.23 s"),
        (0.0456, "45.6 ms"),
        (1e-3, "1 ms"),
        (12e-6, "12 µs"),
        (90.0, "1.5 min"),
        (5400.0, "1.5 h"),
        (-0.002, "-2 ms"),
        (-0.0000005, "-0.5 µs"),
    ],
)
def test_a_duration_is_shown_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2 KiB"), (512 * MIB, "512 MiB"), (1.5 * GIB, "1.5 GiB"), (-2048, "-2 KiB")],
)
def test_a_size_is_shown_in_binary_units(count: float, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0.0, "$0.00"),
        (0.01, "$0.01"),
        (0.00123, "$0.00123"),
        (1234567.891, "$1,234,567.89"),
        (-3.0, "$-3.00"),
    ],
)
def test_unknown_money_is_not_free_and_small_money_is_not_nothing(amount: float | None, text: str) -> None:
    assert format_usd(amount) == text


@pytest.mark.parametrize("text", ["9" * 400, "1" * 16, "٣", "1." + "0" * 400])
def test_no_number_is_so_long_that_it_becomes_infinite(text: str) -> None:
    for read in (parse_duration_s, parse_size_bytes):
        with pytest.raises(ValueError, match="write a number and a unit"):
            read(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12) | st.from_regex(r"[0-9.]{1,40}(s|GB)?"))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    for read in (parse_duration_s, parse_size_bytes):
        with contextlib.suppress(ValueError):
            assert 0 <= read(text) < math.inf


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**14), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB", "kB", "MB", "GB", "TB"]))
def test_a_whole_number_of_any_unit_is_read_exactly_enough(number: int, unit: str) -> None:
    scale = parse_size_bytes(f"1{unit}")
    assert parse_size_bytes(f"{number}{unit}") == pytest.approx(number * scale, rel=1e-12)
