"""What a client asks for in ``x-overspill-*`` headers, and that nothing unreadable is ignored."""

from __future__ import annotations

import pytest

from overspill.errors import WireError
from overspill.gateway.wishes import NO_WISHES, PREFIX, CacheWish, Wishes, read_wishes
from overspill.wire.form import ReasoningForm

Pair = tuple[bytes, bytes]


def test_a_client_without_wishes_has_the_defaults() -> None:
    assert read_wishes([(b"authorization", b"Bearer x"), (b"x-request-id", b"7")]) is NO_WISHES
    assert Wishes(local_only=False, priority=1, ttft_slo_s=None, deadline_s=None) == NO_WISHES


def test_all_wishes_are_read() -> None:
    headers: list[Pair] = [
        (b"x-overspill-local-only", b"True"),
        (b"x-overspill-priority", b"interactive"),
        (b"x-overspill-ttft-slo", b"250ms"),
        (b"x-overspill-deadline", b"5m"),
        (b"x-overspill-cache", b"Refresh"),
        (b"x-overspill-reasoning", b"Think"),
    ]
    wished = Wishes(local_only=True, priority=0, ttft_slo_s=0.25, deadline_s=300.0, cache=CacheWish.REFRESH)
    wished = wished._replace(reasoning=ReasoningForm.THINK)
    assert read_wishes(headers) == wished


@pytest.mark.parametrize(
    ("value", "wanted"), [(b"1", True), (b"yes", True), (b"ON", True), (b"0", False), (b"false", False), (b"no", False)]
)
def test_a_flag_has_several_spellings(value: bytes, wanted: bool) -> None:
    assert read_wishes([(b"x-overspill-local-only", value)]).local_only is wanted


@pytest.mark.parametrize(("value", "wanted"), [(b"0", 0), (b"2", 2), (b"bulk", 2), (b"Default", 1), (b"999", 999)])
def test_a_priority_is_a_name_or_a_number(value: bytes, wanted: int) -> None:
    assert read_wishes([(b"x-overspill-priority", value)]).priority == wanted


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ((b"x-overspill-local-only", b"maybe"), "'maybe' is neither true nor false"),
        ((b"x-overspill-local-only", b""), "'' is neither true nor false"),
        ((b"x-overspill-local-only", b"\xff"), "neither true nor false"),
        ((b"x-overspill-priority", b"urgent"), "'urgent' is none of interactive, default, bulk and no number"),
        ((b"x-overspill-priority", b"-1"), "no number"),
        ((b"x-overspill-priority", b"9999"), "no number"),
        ((b"x-overspill-priority", "²".encode()), "no number"),
        ((b"x-overspill-ttft-slo", b"soon"), "'soon' is not a duration"),
        ((b"x-overspill-deadline", b"1 week"), "is not a duration"),
        ((b"x-overspill-cache", b"yes"), "'yes' is none of auto, on, off, refresh"),
        ((b"x-overspill-reasoning", b"auto"), "none of reasoning_content, reasoning, thinking, think, none"),
        ((b"x-overspill-localonly", b"true"), "there is no such header (did you mean 'local-only'?)"),
        ((b"x-overspill-\xff", b"1"), "there is no such header"),
    ],
)
def test_a_wish_that_cannot_be_read_is_refused(header: Pair, words: str) -> None:
    with pytest.raises(WireError) as caught:
        read_wishes([header])
    assert words in caught.value.message
    assert (caught.value.status, caught.value.code) == (400, "invalid_header")
    assert caught.value.param is not None
    assert caught.value.param.startswith("x-overspill-")


def test_a_wish_that_is_sent_twice_is_refused() -> None:
    with pytest.raises(WireError, match="it is sent twice"):
        read_wishes([(b"x-overspill-local-only", b"true"), (b"x-overspill-local-only", b"false")])


@pytest.mark.parametrize("wish", [b"ttft-slo", b"deadline"])
@pytest.mark.parametrize("value", [b"0", b"0s", b"0.0ms"])
def test_no_time_at_all_is_refused(wish: bytes, value: bytes) -> None:
    with pytest.raises(WireError, match="no time at all"):
        read_wishes([(PREFIX + wish, value)])
