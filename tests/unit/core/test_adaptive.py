from __future__ import annotations

from overspill.core.adaptive import FIRST_SLOTS, AdaptiveSlots


def grown(most: int | None = None, to: int = 16) -> AdaptiveSlots:
    slots = AdaptiveSlots(most)
    for _ in range(100_000):
        if slots.slots == to:
            return slots
        slots.succeeded(slots.slots)
    raise AssertionError(slots.slots)


def test_a_full_window_of_successes_adds_about_one_slot() -> None:
    slots = AdaptiveSlots(None)
    assert slots.slots == FIRST_SLOTS
    for _ in range(FIRST_SLOTS + 1):
        slots.succeeded(FIRST_SLOTS)
    assert slots.slots == FIRST_SLOTS + 1


def test_it_does_not_grow_while_it_is_not_used() -> None:
    slots = AdaptiveSlots(None)
    for _ in range(1000):
        slots.succeeded(FIRST_SLOTS // 2 - 1)
    assert slots.slots == FIRST_SLOTS


def test_it_never_grows_above_what_is_known_to_be_the_most() -> None:
    assert AdaptiveSlots(3).slots == 3
    slots = grown(16)
    for _ in range(1000):
        slots.succeeded(16)
    assert slots.slots == 16
    slots.set_most(5)
    assert slots.slots == 5
    slots.set_most(None)
    assert grown(None, 20).slots == 20


def test_busy_halves_it_once_for_all_that_were_in_flight() -> None:
    slots = grown(to=16)
    for _ in range(10):
        slots.pushed_back(started_at=9.0, now=10.0)
    assert slots.slots == 8
    slots.pushed_back(started_at=9.5, now=11.0)  # sent before the cut
    assert slots.slots == 8
    slots.pushed_back(started_at=10.5, now=11.0)
    assert slots.slots == 4


def test_one_slot_is_always_left() -> None:
    slots = AdaptiveSlots(None)
    for second in range(20):
        slots.pushed_back(started_at=second + 0.5, now=second + 1.0)
    assert slots.slots == 1


def test_it_finds_a_hosts_limit_and_stays_near_it() -> None:
    """A host that takes 40 at once: the window saws between half of that and just above it."""
    slots = AdaptiveSlots(None)
    seen = []
    for second in range(1, 400):
        sent = slots.slots
        for _ in range(min(sent, 40)):
            slots.succeeded(sent)
        if sent > 40:
            slots.pushed_back(started_at=second - 0.5, now=float(second))
        seen.append(slots.slots)
    assert max(seen) <= 42
    assert min(seen[100:]) >= 20
    assert sum(seen[100:]) / len(seen[100:]) > 27
