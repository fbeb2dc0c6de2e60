"""The short ways to a decision decide what the long way would, in every life of a controller."""

from __future__ import annotations

import random
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.controller_scripts import Life, live

from overspill.core.events import AnyEvent, Arrived
from overspill.core.options import Start
from overspill.core.queueing import Request
from overspill.core.routing import Survey, decide
from overspill.core.short_way import start_at_home, start_or_hold
from overspill.core.types import Refusal

scripts = st.integers(0, 1500).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def ask_both(life: Life, event: AnyEvent, found: set[tuple[str, bool]]) -> None:
    """Ask every way for a request that arrives, and for all that wait, before the controller does."""
    controller, now = life.controller, life.now
    for request in controller._dispatch.requests.values():
        if request.lane is not None:
            ask_of(life, request, request.lane.behind(request), found)
    route = controller.find_route(event.model) if isinstance(event, Arrived) else None
    if route is None or not isinstance(event, Arrived):
        return
    request = controller._admit(event, route, now)
    ask_of(life, request, 0, found)
    start = start_at_home(request, controller.targets, now)
    for may_wait in (True, False):
        survey = Survey(request, controller.targets, 0, now)
        decision = decide(request, survey, may_wait, now)
        if start is not None:
            assert decision == start
            assert isinstance(decision, Start)
            assert decision.target is start.target
        elif isinstance(decision, Start) and decision.tier == 0 and is_plain(request, survey):
            option = next(o for o in survey.seen if o.target is decision.target)
            assert option.risk is not None  # the short way takes nobody who may break a promise


def ask_of(life: Life, request: Request, behind: int, found: set[tuple[str, bool]]) -> None:
    """Compare what a request that may wait would do, by both ways, and note what the short one said."""
    targets, now = life.controller.targets, life.now
    short = start_or_hold(request, targets, behind, now)
    survey = Survey(request, targets, behind, now)
    decision = decide(request, survey, True, now)
    if short is not None:
        assert decision == short
        found.add((type(short).__name__, isinstance(short, Start) and short.tier > 0))
    elif request.is_plain:  # what it leaves to the long way has something that is out of the way
        seen = survey.all()
        are_plain = all(option.target.is_plain and option.refusal in (None, Refusal.NO_SLOT) for option in seen)
        assert not seen or not are_plain or any(option.risk is not None for option in seen)


def is_plain(request: Request, survey: Survey) -> bool:
    """Say whether no limit bears on the decision: of those the short way knows nothing."""
    return not request.headroom and all(option.target.is_plain for option in survey.seen)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts)
def test_the_short_ways_decide_what_the_long_way_would_and_looking_changes_nothing(source: bytes) -> None:
    assert live(source, partial(ask_both, found=set())).lines == live(source).lines


def test_so_it_is_in_long_lives() -> None:
    starts = 0
    found: set[tuple[str, bool]] = set()
    for seed in range(12):
        lines = live(random.Random(seed).randbytes(3000), partial(ask_both, found=found)).lines
        starts += sum(line.count(b"StartAttempt") for line in lines)
    assert starts > 200
    assert found == {("Start", False), ("Start", True), ("Wait", False)}
