from __future__ import annotations

from tests.unit.core.making import arrived, route

from overspill.core.fairness import Fairness
from overspill.core.lanes import Lane
from overspill.core.queueing import Alarms, Request

ROUTE = route(("gpu",), deadline_s=100.0)


def request(name: str, *, priority: int = 1, deadline_s: float | None = None, at: float = 0.0) -> Request:
    return Request(arrived(name, deadline_s=deadline_s), ROUTE, 100.0, priority, at)


def lane_of(*requests: Request) -> Lane:
    lane = Lane(("m", False), Fairness())
    for ticket, each in enumerate(requests, start=1):
        lane.push(each, ticket)
    return lane


def test_the_clients_deadline_cannot_be_later_than_the_routes() -> None:
    assert request("r", deadline_s=500.0).deadline_at == 100.0
    assert request("r", deadline_s=5.0).deadline_at == 5.0
    assert request("r").deadline_at == 100.0


def test_an_alarm_rings_at_its_time_and_once() -> None:
    a = request("a")
    lane_of(a)
    alarms = Alarms()
    alarms.set(a, 5.0)
    assert alarms.next_at() == 5.0
    assert alarms.pop_due(4.999) is None
    assert alarms.pop_due(5.0) is a
    assert alarms.pop_due(5.0) is None
    assert alarms.next_at() == float("inf")


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
    assert alarms.next_at() == float("inf")


def test_equal_alarms_ring_in_the_order_they_were_set() -> None:
    requests = [request(str(i)) for i in range(5)]
    lane_of(*requests)
    alarms = Alarms()
    for each in requests:
        alarms.set(each, 5.0)
    rung = []
    while (due := alarms.pop_due(5.0)) is not None:
        rung.append(due)
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
