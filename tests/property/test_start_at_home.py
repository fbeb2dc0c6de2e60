"""The short way to a start in the first tier decides what the long way would, in every life of a controller."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.controller_scripts import live

from overspill.core.commands import AnyCommand
from overspill.core.controller import Controller
from overspill.core.options import Start
from overspill.core.queueing import Request
from overspill.core.routing import Survey, decide, start_at_home

scripts = st.integers(0, 1500).flatmap(lambda size: st.binary(min_size=size, max_size=size))


class AsksBoth(Controller):
    """Asks both before it places a request."""

    def _place(self, request: Request, out: list[AnyCommand], now: float) -> None:
        targets = self._targets
        start = start_at_home(request, targets, now) if request.backoff is None else None
        for may_wait in (True, False):
            survey = Survey(request, targets, 0, now)
            decision = decide(request, survey, may_wait, now)
            if start is not None:
                assert decision == start
                assert isinstance(decision, Start)
                assert decision.target is start.target
            elif isinstance(decision, Start) and decision.tier == 0 and request.backoff is None:
                option = next(o for o in survey.seen if o.target is decision.target)
                assert option.risk is not None  # the short way takes nobody who may break a promise
        super()._place(request, out, now)


class TakesTheLongWay(Controller):
    """Places each request as if it had failed somewhere before: then everything is looked at."""

    def _place(self, request: Request, out: list[AnyCommand], now: float) -> None:
        if request.backoff is None:
            request.backoff = {}
        super()._place(request, out, now)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts)
def test_the_short_way_decides_what_the_long_way_would(source: bytes) -> None:
    live(source, AsksBoth)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts)
def test_a_life_on_the_long_way_is_the_same(source: bytes) -> None:
    assert live(source).lines == live(source, TakesTheLongWay).lines


def test_long_lives_are_the_same_on_both_ways() -> None:
    starts = 0
    for seed in range(6):
        source = random.Random(seed).randbytes(3000)
        lines = live(source, AsksBoth).lines
        assert lines == live(source, TakesTheLongWay).lines
        starts += sum(line.count(b"StartAttempt") for line in lines)
    assert starts > 100
