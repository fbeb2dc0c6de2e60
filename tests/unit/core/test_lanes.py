"""One lane: who goes first, who is behind whom, who gives way; and shares between keys, one request at a time."""

from __future__ import annotations

from tests.unit.core.making import arrived, route

from overspill.core.fairness import Fairness
from overspill.core.lanes import Lane
from overspill.core.queueing import Request

ROUTE = route(("gpu",), deadline_s=100.0)


def request(
    name: str, *, priority: int = 1, deadline_s: float | None = None, at: float = 0.0, key: str = ""
) -> Request:
    return Request(arrived(name, deadline_s=deadline_s, key_id=key), ROUTE, 100.0, priority, at)


def lane_of(*requests: Request, fairness: Fairness | None = None) -> Lane:
    lane = Lane(("m", False), fairness or Fairness())
    for ticket, each in enumerate(requests, start=1):
        lane.push(each, ticket)
    return lane


def names(requests: list[Request]) -> list[str]:
    return [r.request_id for r in requests]


def head_name(lane: Lane) -> str | None:
    head = lane.first()
    return None if head is None else head.request_id


def serve(lane: Lane, fairness: Fairness, count: int, held_s: float = 1.0) -> list[str]:
    """Let the first start, again and again, each holding a slot for as long as expected."""
    served = []
    for _ in range(count):
        first = lane.first()
        assert first is not None
        lane.leave(first)
        fairness.charge(first.priority, first.key_id, held_s)
        served.append(first.request_id)
    return served


def test_the_turn_is_by_priority_then_deadline_then_arrival() -> None:
    lane = lane_of(
        request("later", deadline_s=50.0),
        request("low", priority=2, deadline_s=1.0),
        request("first of equals", deadline_s=20.0),
        request("second of equals", deadline_s=20.0),
        request("high", priority=0),
    )
    assert names(lane.waiting()) == ["high", "first of equals", "second of equals", "later", "low"]
    assert head_name(lane) == "high"


def test_one_that_left_is_skipped_when_it_comes_up() -> None:
    a, b = request("a"), request("b")
    lane = lane_of(a, b)
    lane.leave(a)
    assert lane.live == 1
    assert names(lane.waiting()) == ["b"]
    assert head_name(lane) == "b"


def test_an_empty_lane_has_no_head() -> None:
    a = request("a")
    lane = lane_of(a)
    lane.leave(a)
    assert lane.first() is None
    assert lane.waiting() == []


def test_the_ticket_of_before_is_stale_when_a_request_comes_back() -> None:
    a, b = request("a"), request("b")
    lane = lane_of(a, b)
    lane.leave(a)
    a.deadline_at = 500.0  # whatever its first entry says, its turn is that of the second
    lane.push(a, 3)
    assert names(lane.waiting()) == ["b", "a"]
    assert lane.live == 2


def test_an_entry_is_stale_when_its_request_waits_in_another_lane() -> None:
    a, b = request("a"), request("b")
    here, there = lane_of(a, b), Lane(("m", True), Fairness())
    here.leave(a)
    there.push(a, 3)
    assert names(here.waiting()) == ["b"]
    assert names(there.waiting()) == ["a"]


def test_behind_counts_those_that_come_after() -> None:
    first, second, third = (request(str(i), deadline_s=i) for i in (1.0, 2.0, 3.0))
    lane = lane_of(first, second, third)
    assert [lane.behind(r) for r in (first, second, third)] == [2, 1, 0]
    assert lane.behind(request("newcomer", deadline_s=2.0)) == 1
    assert lane.behind(request("urgent", priority=0)) == 3
    assert lane.behind(request("last")) == 0


def test_behind_knows_the_order_of_equals_and_leaves_out_who_left() -> None:
    first, second, third = (request(str(i)) for i in range(3))
    lane = lane_of(first, second, third)
    assert [lane.behind(r) for r in (first, second, third)] == [2, 1, 0]
    lane.leave(third)
    assert lane.behind(first) == 1


def test_stale_entries_are_dropped_when_they_prevail() -> None:
    requests = [request(str(i)) for i in range(1000)]
    lane = lane_of(*requests)
    for each in requests[10:]:
        lane.leave(each)
    assert names(lane.waiting()) == [str(i) for i in range(10)]
    assert sum(len(f._on_time._heap) for c in lane._classes.values() for f in c.flows.values()) <= 64
    assert head_name(lane) == "0"


def backlog(key: str, count: int, first_ticket: int, lane: Lane, **rest: float) -> None:
    for i in range(count):
        lane.push(request(f"{key}{i}", key=key, **rest), first_ticket + i)  # type: ignore[arg-type]


def test_keys_take_turns_whatever_came_first() -> None:
    fairness = Fairness()
    lane = lane_of(fairness=fairness)
    backlog("a", 4, 1, lane)
    backlog("b", 2, 5, lane)
    assert serve(lane, fairness, 6) == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_a_heavier_key_takes_more_turns() -> None:
    fairness = Fairness()
    fairness.adopt({"b": 3.0})
    lane = lane_of(fairness=fairness)
    backlog("a", 20, 1, lane)
    backlog("b", 20, 21, lane)
    served = serve(lane, fairness, 20)
    assert sum(name.startswith("b") for name in served) == 15
    fairness.adopt({})
    assert sum(name.startswith("b") for name in serve(lane, fairness, 10)) == 5


def test_the_predicted_order_is_the_one_that_comes() -> None:
    fairness = Fairness()
    fairness.adopt({"b": 2.0})
    lane = lane_of(fairness=fairness)
    backlog("a", 5, 1, lane)
    backlog("b", 5, 6, lane)
    backlog("c", 3, 11, lane)
    backlog("vip", 2, 14, lane, priority=0)
    serve(lane, fairness, 5)  # from now on each has held a slot once
    order = lane.waiting()
    assert [lane.behind(each) for each in order] == list(range(len(order) - 1, -1, -1))
    assert lane.behind(request("new", key="c")) == lane.behind(order[names(order).index("c2")]) - 1
    assert serve(lane, fairness, len(order)) == names(order)


def test_a_newcomer_of_a_new_key_is_ahead_of_a_backlog() -> None:
    fairness = Fairness()
    lane = lane_of(fairness=fairness)
    backlog("a", 10, 1, lane)
    serve(lane, fairness, 2)
    assert lane.behind(request("new", key="b")) == 8
    assert lane.behind(request("new", key="a")) == 0
    lane.push(request("b0", key="b"), 50)
    lane.push(request("b1", key="b"), 51)
    lane.push(request("b2", key="b"), 52)
    assert serve(lane, fairness, 5) == ["b0", "a2", "b1", "a3", "b2"]


def test_an_idle_key_banks_no_credit() -> None:
    fairness = Fairness()
    lane = lane_of(fairness=fairness)
    backlog("a", 100, 1, lane)
    backlog("b", 1, 101, lane)
    serve(lane, fairness, 50)  # b had one and then nothing for 48 turns
    backlog("c", 10, 102, lane)
    for i in range(10):
        lane.push(request(f"b{i}", key="b"), 120 + i)
    served = serve(lane, fairness, 12)
    assert [sum(name.startswith(key) for name in served) for key in "abc"] == [4, 4, 4]


def test_a_request_that_held_its_slot_for_longer_is_charged_for_that() -> None:
    fairness = Fairness()
    lane = lane_of(fairness=fairness)
    backlog("a", 500, 1, lane)
    backlog("b", 500, 501, lane)
    served = []
    for _ in range(500):
        first = lane.first()
        assert first is not None
        lane.leave(first)
        share = fairness.charge(1, first.key_id, 1.0)
        assert share is not None
        fairness.settle(share, 2.0 if first.key_id == "a" else -0.5)  # a's hold three seconds, b's half a one
        served.append(first.key_id)
    held = {"a": 3.0 * served.count("a"), "b": 0.5 * served.count("b")}
    assert abs(held["a"] - held["b"]) <= 2 * 3.0
    assert served.count("b") > 5 * served.count("a")


def test_a_request_that_found_a_slot_while_others_waited_is_charged_too() -> None:
    fairness = Fairness()
    lane = lane_of(fairness=fairness)
    backlog("a", 3, 1, lane)
    backlog("b", 3, 4, lane)
    fairness.charge(1, "a", 1.0)
    assert fairness.charge(1, "nobody", 1.0) is None
    assert serve(lane, fairness, 3) == ["b0", "a0", "b1"]


def test_when_nobody_waits_everybody_begins_anew() -> None:
    fairness = Fairness()
    lane = lane_of(fairness=fairness)
    backlog("a", 3, 1, lane)
    backlog("b", 1, 9, lane)
    serve(lane, fairness, 4)
    fairness.forget()
    backlog("b", 1, 20, lane)
    backlog("a", 1, 21, lane)
    assert serve(lane, fairness, 2) == ["b0", "a0"]


def test_keys_take_turns_over_all_lanes() -> None:
    fairness = Fairness()
    one, other = lane_of(fairness=fairness), Lane(("m", True), fairness)
    backlog("a", 3, 1, one)
    backlog("a", 3, 4, other)
    backlog("b", 3, 7, other)
    served = []
    for _ in range(6):
        lane = min((lane for lane in (one, other) if lane.live), key=Lane.turn)
        served += serve(lane, fairness, 1)
    assert [name[0] for name in served] == ["a", "b", "a", "b", "a", "b"]


def test_one_that_is_late_goes_behind_those_of_its_key_that_are_not() -> None:
    first, second, other = request("1", key="a"), request("2", key="a"), request("3", key="b")
    lane = lane_of(first, second, other)
    lane.turn_late(first)
    assert names(lane.waiting()) == ["2", "3", "1"]
    assert head_name(lane) == "2"
    assert lane.behind(first) == 0
    assert lane.behind(request("4", key="a")) == 1
    lane.leave(second)
    assert head_name(lane) == "1"
    assert lane.live == 2


def test_a_full_lane_keeps_the_better_class() -> None:
    lane = lane_of(request("1", priority=1), request("2", priority=2), request("3", priority=2, deadline_s=5.0))
    assert lane.gives_way(request("x", priority=1)) is lane.waiting()[2]
    assert lane.gives_way(request("x", priority=0)) is lane.waiting()[2]
    assert lane.gives_way(request("x", priority=2, deadline_s=1.0)) is lane.waiting()[2]
    assert lane.gives_way(request("x", priority=2)) is None
    assert lane.gives_way(request("x", priority=3)) is None


def test_a_full_lane_keeps_who_has_fewer_waiting_for_its_weight() -> None:
    fairness = Fairness()
    fairness.adopt({"b": 4.0})
    lane = lane_of(fairness=fairness)
    backlog("a", 4, 1, lane)
    backlog("b", 4, 5, lane)
    victim = lane.gives_way(request("x", key="c"))
    assert victim is not None
    assert victim.request_id == "a3"
    victim = lane.gives_way(request("x", key="b"))
    assert victim is not None
    assert victim.request_id == "a3"
    assert lane.gives_way(request("x", key="a")) is None
    for each in [r for r in lane.waiting() if r.key_id == "b"]:
        lane.leave(each)
    for each in lane.waiting()[1:]:
        lane.leave(each)
    assert lane.gives_way(request("x", key="b")) is not None
    assert lane.gives_way(request("x", key="c")) is None


def test_one_that_is_late_gives_way_to_one_that_is_not() -> None:
    first, second = request("1"), request("2")
    lane = lane_of(first, second)
    lane.turn_late(first)
    assert lane.gives_way(request("x")) is first
    late = request("x")
    late.is_late = True
    assert lane.gives_way(late) is None
