"""The short way to a start in the first tier decides what the long way would, in every life of a controller."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.controller_scripts import Life, live

from overspill.core.events import AnyEvent, Arrived
from overspill.core.options import Start
from overspill.core.queueing import Request
from overspill.core.routing import Survey, decide, start_at_home

scripts = st.integers(0, 1500).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def ask_both(life: Life, event: AnyEvent) -> None:
    """Ask both ways where a request that arrives would start, before the controller does."""
    controller, now = life.controller, life.now
    route = controller.find_route(event.model) if isinstance(event, Arrived) else None
    if route is None or not isinstance(event, Arrived):
        return
    request = controller._admit(event, route, now)
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


def is_plain(request: Request, survey: Survey) -> bool:
    """Say whether no limit bears on the decision: of those the short way knows nothing."""
    return not request.headroom and all(option.target.is_plain for option in survey.seen)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts)
def test_the_short_way_decides_what_the_long_way_would_and_looking_changes_nothing(source: bytes) -> None:
    assert live(source, ask_both).lines == live(source).lines


def test_so_it_is_in_long_lives() -> None:
    starts = 0
    for seed in range(12):
        lines = live(random.Random(seed).randbytes(3000), ask_both).lines
        starts += sum(line.count(b"StartAttempt") for line in lines)
    assert starts > 200
