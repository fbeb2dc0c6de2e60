"""Fair queueing on its own: any keys, weights and sizes of requests, at any number of slots."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.core.making import arrived, route

from overspill.core.fairness import Fairness, Share
from overspill.core.lanes import Lane
from overspill.core.queueing import Request

ROUTE = route(("gpu",), deadline_s=1e9)
Sizes = list[float]


@dataclass
class Server:
    """Slots that hold requests for as long as they take, which the queue only guesses."""

    slots: int
    guess_s: float
    weights: dict[str, float]
    sizes: dict[str, Sizes]
    now: float = 0.0
    held_s: dict[str, float] = field(default_factory=dict)
    fairness: Fairness = field(default_factory=Fairness)
    _running: list[tuple[float, int, str, float, Share | None]] = field(default_factory=list)
    _count: dict[str, int] = field(default_factory=dict)
    _ticket: int = 0

    def __post_init__(self) -> None:
        self.fairness.adopt(self.weights)
        self.lane = Lane(("m", False), self.fairness)
        self.held_s = dict.fromkeys(self.weights, 0.0)

    def ask(self, key: str) -> None:
        self._ticket += 1
        self.lane.push(Request(arrived(f"{key}-{self._ticket}", key_id=key), ROUTE, 1.0, 1, self.now), self._ticket)

    def fill(self) -> None:
        """Start whoever's turn it is until the slots are full; each that starts asks for another."""
        while len(self._running) < self.slots and (first := self.lane.first()) is not None:
            key = first.key_id
            self.lane.leave(first)
            self.ask(key)
            share = self.fairness.charge(1, key, self.guess_s)
            number = self._count[key] = self._count.get(key, 0) + 1
            size_s = self.sizes[key][number % len(self.sizes[key])]
            heapq.heappush(self._running, (self.now + size_s, self._ticket, key, size_s, share))

    def run(self, until_s: float) -> None:
        self.fill()
        while self._running[0][0] <= until_s:
            self.now, _, key, size_s, share = heapq.heappop(self._running)
            self.held_s[key] += size_s
            if share is not None:
                self.fairness.settle(share, size_s - self.guess_s)
            self.fill()


sizes = st.lists(st.floats(0.5, 4.0), min_size=1, max_size=5)
keys = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.sampled_from((0.5, 1.0, 2.0, 4.0)), sizes), min_size=2, max_size=5
)


@settings(max_examples=25, deadline=None)
@given(keys, st.sampled_from((1, 2, 4)), st.floats(0.2, 5.0))
def test_keys_that_always_wait_get_their_shares_of_the_slots_time(
    keys: dict[str, tuple[float, Sizes]], slots: int, guess_s: float
) -> None:
    weights = {key: weight for key, (weight, _) in keys.items()}
    server = Server(slots, guess_s, weights, {key: sizes for key, (_, sizes) in keys.items()})
    for key in [*keys, *keys]:  # so that one waits while another is about to start
        server.ask(key)
    server.run(300.0)
    total_s, total_weight = sum(server.held_s.values()), sum(weights.values())
    longest_s = max(max(sizes) for _, sizes in keys.values())
    for key, held_s in server.held_s.items():
        expected_s = total_s * weights[key] / total_weight
        assert abs(held_s - expected_s) <= 0.05 * expected_s + 2 * slots * longest_s  # whole requests, at both ends


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.floats(1.0, 100.0), st.floats(0.5, 3.0))
def test_a_key_that_comes_late_has_saved_nothing_up_and_owes_nothing(slots: int, idle_s: float, size_s: float) -> None:
    server = Server(slots, size_s, {"early": 1.0, "late": 1.0}, {"early": [size_s], "late": [size_s]})
    server.ask("early")
    server.ask("early")
    server.run(idle_s)
    before = server.held_s["early"]
    server.ask("late")
    server.run(idle_s + 100.0)
    early, late = server.held_s["early"] - before, server.held_s["late"]
    assert late == pytest.approx(early, abs=(2 * slots + 2) * size_s)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.floats(1.0, 50.0)), min_size=1, max_size=40),
    st.lists(st.integers(0, 1000), max_size=30),
)
def test_whoever_comes_and_goes_the_lane_keeps_count_and_everyone_has_a_place(
    requests: list[tuple[str, int, float]], leavers: list[int]
) -> None:
    fairness = Fairness()
    lane = Lane(("m", False), fairness)
    waiting: list[Request] = []
    for ticket, (key, priority, deadline_s) in enumerate(requests, start=1):
        event = arrived(f"r{ticket}", key_id=key, deadline_s=deadline_s)
        waiting.append(Request(event, ROUTE, 1.0, priority, 0.0))
        lane.push(waiting[-1], ticket)
    for number in leavers:
        if waiting:
            lane.leave(waiting.pop(number % len(waiting)))
        if waiting and number % 3 == 0:
            late = waiting[number % len(waiting)]
            if not late.is_late:
                lane.turn_late(late)
    order = lane.waiting()
    assert sorted(r.ticket for r in order) == sorted(r.ticket for r in waiting)
    assert [r.priority for r in order] == sorted(r.priority for r in order)
    for request in waiting:
        assert 0 <= lane.behind(request) < len(waiting)
    served = []
    while (first := lane.first()) is not None:
        assert lane.turn()[0] == min(r.priority for r in lane.waiting())
        lane.leave(first)
        fairness.charge(first.priority, first.key_id, 1.0)
        served.append(first)
    assert len(served) == len(waiting)
    for key in "abc":
        for priority in range(3):
            mine = [r for r in served if (r.key_id, r.priority) == (key, priority)]
            assert mine == sorted(mine, key=lambda r: (r.is_late, r.deadline_at, r.ticket))
