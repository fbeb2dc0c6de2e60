from __future__ import annotations

from tests.unit.core.making import arrived, route

from overspill.core.queueing import Alarms, Lane, Request

ROUTE = route(("gpu",), deadline_s=100.0)


def request(name: str, *, priority: int = 1, deadline_s: float | None = None, at: float = 0.0) -> Request:
    return Request(arrived(name, deadline_s=deadline_s), ROUTE, 100.0, priority, at)


def lane_of(*requests: Request) -> Lane:
    lane = Lane(("m", False))
    for ticket, each in enumerate(requests, start=1):
        lane.push(each, ticket)
    return lane


def names(requests: list[Request]) -> list[str]:
    return [r.request_id for r in requests]


def head_name(lane: Lane) -> str | None:
    head = lane.head()
    return None if head is None else head[3].request_id


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


def test_the_clients_deadline_cannot_be_later_than_the_routes() -> None:
    assert request("r", deadline_s=500.0).deadline_at == 100.0
    assert request("r", deadline_s=5.0).deadline_at == 5.0
    assert request("r").deadline_at == 100.0


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
    assert lane.head() is None
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
    here, there = lane_of(a, b), Lane(("m", True))
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
    assert len(lane._heap) <= 64
    assert head_name(lane) == "0"


def test_an_alarm_rings_at_its_time_and_once() -> None:
    a = request("a")
    lane_of(a)
    alarms = Alarms()
    alarms.set(a, 5.0)
    assert alarms.next_at() == 5.0
    assert alarms.pop_due(4.999) is None
    assert alarms.pop_due(5.0) is a
    assert alarms.pop_due(5.0) is None
    assert alarms.next_at() is None


def test_a_new_alarm_makes_the_old_one_void() -> None:
    a, b = request("a"), request("b")
    lane_of(a, b)
    alarms = Alarms()
    alarms.set(a, 5.0)
    alarms.set(b, 6.0)
    alarms.set(a, 7.0)
    assert alarms.next_at() == 6.0
    assert alarms.pop_due(10.0) is b
    assert alarms.pop_due(10.0) is a
    assert alarms.pop_due(10.0) is None


def test_the_alarm_of_one_that_no_longer_waits_is_void() -> None:
    a = request("a")
    lane = lane_of(a)
    alarms = Alarms()
    alarms.set(a, 5.0)
    lane.leave(a)
    assert alarms.next_at() is None


def test_equal_alarms_ring_in_the_order_they_were_set() -> None:
    requests = [request(str(i)) for i in range(5)]
    lane_of(*requests)
    alarms = Alarms()
    for each in requests:
        alarms.set(each, 5.0)
    rung = []
    while (due := alarms.pop_due(5.0)) is not None:
        rung.append(due)
        due.lane = None
    assert rung == requests


def test_asking_for_the_next_alarm_never_changes_the_order_in_which_they_ring() -> None:
    rung = []
    for asks in (False, True):
        a, b = request("a"), request("b")
        lane_of(a, b)
        alarms = Alarms()
        alarms.set(a, 5.0)
        alarms.set(a, 3.0)  # the one at 5 is void,
        alarms.set(a, 7.0)
        if asks:
            assert alarms.next_at() == 7.0
        alarms.set(b, 5.0)
        alarms.set(a, 5.0)  # and stays so
        rung.append([alarms.pop_due(5.0) is b, alarms.pop_due(5.0) is a, alarms.pop_due(5.0) is None])
        assert rung[-1] == [True, True, True]


def test_void_alarms_do_not_pile_up() -> None:
    a, b = request("a"), request("b")
    lane_of(a, b)
    alarms = Alarms()
    alarms.set(b, 1e9)
    for i in range(10_000):
        alarms.set(a, 1000.0 + i)
    assert len(alarms._heap) <= 65
    assert alarms.pop_due(20_000.0) is a
    assert alarms.next_at() == 1e9
