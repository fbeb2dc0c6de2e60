"""Random lives of a controller, made from bytes: policies, and scripts of events that obey what a driver promises.

Bytes and not strategies, because the same script then comes from Hypothesis (which shrinks it) and from a seed (for a
second process). An exhausted script reads zeros, and zeros are the dullest choice everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from tests.property.limit_scripts import (
    KEYS,
    check_nothing_is_held,
    check_places,
    is_bound,
    with_limits,
    world_event,
)

from overspill.core.commands import AnyCommand, CancelAttempt, Complete, Reject, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import (
    AnyEvent,
    Arrived,
    ClientGone,
    Cut,
    DrainStarted,
    Failed,
    Finished,
    FirstToken,
    PolicyChanged,
    Progress,
    Queued,
    TargetChanged,
    TargetReported,
    TargetVerified,
    Tick,
)
from overspill.core.queueing import is_bound as is_bound_by_route
from overspill.core.recording import encode_header, encode_step
from overspill.core.types import (
    BreakerPolicy,
    Continues,
    FailureKind,
    Health,
    Lack,
    LatencyPrior,
    Outcome,
    Policy,
    Price,
    RescuePolicy,
    RescueRefusal,
    Route,
    RouteTarget,
    Slo,
    Surface,
    TargetSpec,
)
from overspill.features import Feature, mask

T = TypeVar("T")
TARGETS = ("gpu0", "gpu1", "api0", "api1")
MODELS = ("alpha", "alpha", "alpha", "alpha-mini", "alpha-mini", "beta", "beta", "nobody's")
GAPS_S = (0.0, 0.0, 0.01, 0.1, 0.3, 1.0, 4.0, 70.0)
LACKS = tuple(Lack(feature=feature, why=f"it has no {feature}") for feature in (Feature.IMAGES, Feature.TOOLS))
_EVENT = msgspec.json.Decoder(AnyEvent)
_COMMAND = msgspec.json.Decoder(AnyCommand)


class Choices:
    """Reads choices from bytes; zeros after the end."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._at = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._source)

    def below(self, count: int) -> int:
        at = self._at
        self._at += 1
        return self._source[at] % count if at < len(self._source) else 0

    def of(self, values: tuple[T, ...] | list[T]) -> T:
        return values[self.below(len(values))]


def make_policy(choose: Choices) -> Policy:
    """Make 1 to 4 targets and 1 to 3 routes over them; a route may name a target that does not exist."""
    targets = tuple(_target(choose, name) for name in TARGETS if name == "gpu0" or choose.below(3))
    patterns = (("*",), ("alpha", "alpha*"), ("alpha", "*", "beta"))[choose.below(3)]
    policy = Policy(
        targets=targets,
        routes=tuple(_route(choose, pattern) for pattern in patterns),
        breaker=BreakerPolicy(min_count=1 + choose.below(5), open_s=choose.of((5.0, 1.0, 20.0))),
        default_output_tokens=choose.of((100, 10, 2000)),
    )
    return with_limits(choose, policy)


def _target(choose: Choices, name: str) -> TargetSpec:
    is_local = name.startswith("gpu")
    slots = choose.of((1, 2, 3, 4) if is_local else (None, 1, 2, 4))
    usd = choose.of((None, 1.0, 1.0, 0.2))
    return TargetSpec(
        target_id=name,
        pool="local" if is_local else "cloud",
        is_local=is_local,
        slots=slots,
        context_tokens=choose.of((None, None, None, 300, 3000)),
        surfaces=choose.of(((Surface.CHAT, Surface.EMBEDDINGS), (Surface.CHAT,))),
        prior=LatencyPrior(
            ttft_base_s=choose.of((0.2, 0.2, 0.9, 3.0)),
            prefill_s_per_token=choose.of((0.0, 0.001)),
            tpot_base_s=choose.of((0.01, 0.05)),
            tpot_s_per_running=choose.of((0.0, 0.01)),
        ),
        price=None if usd is None else Price(input_usd_per_mtok=usd, output_usd_per_mtok=4 * usd),
        lacks=choose.of(((), (), (), LACKS, LACKS[:1])),
        streams_whole=choose.below(4) < 3,
        ready_at_start=choose.below(8) < 7,
    )


def _route(choose: Choices, pattern: str) -> Route:
    tiers: list[list[RouteTarget]] = [[], [], []]
    for name in TARGETS:
        tier = choose.below(4)
        if tier < 3:
            weights = choose.of(("w", "w", "v", ""))
            tiers[tier].append(RouteTarget(target_id=name, model=f"{name}:{pattern}", weights=weights))
    return Route(
        pattern=pattern,
        tiers=tuple(tuple(tier) for tier in tiers),
        slo=Slo(ttft_s=choose.of((2.0, 0.5, 10.0, 0.1)), tpot_s=choose.of((None, None, 0.03, 0.005))),
        deadline_s=choose.of((60.0, 5.0, 300.0)),
        queue_limit=choose.of((256, 256, 256, 256, 12, 3, 1, 0)),
        max_attempts=choose.of((4, 4, 1, 2)),
        local_only=choose.below(4) == 3,
        hedge_after_s=choose.of((None, None, None, 0.3)),
        screening=choose.of((0, 0, 0, 7, 8)),
        rescue=choose.of((*(3 * [RescuePolicy.SAME_WEIGHTS]), RescuePolicy.OFF)),
        rescue_wait_s=choose.of((30.0, 1.0, 0.0)),
    )


@dataclass
class Life:
    """One controller, everything it was told and said, and what must be true of it after each step."""

    policy: Policy
    watch: Callable[[Life, AnyEvent], None] | None = None
    """Called before each event."""
    now: float = 0.0
    controller: Controller = field(init=False)
    lines: list[bytes] = field(default_factory=list)
    arrivals: dict[str, Arrived] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    running: dict[int, StartAttempt] = field(default_factory=dict)
    spoken: set[int] = field(default_factory=set)
    """Attempts that have had their first token."""
    ended: list[int] = field(default_factory=list)
    known: dict[str, TargetSpec] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    half_answered: set[str] = field(default_factory=set)
    """Requests whose clients have a part of their answer, from an attempt that has ended."""

    def __post_init__(self) -> None:
        self.controller = Controller(self.policy)
        self.lines.append(encode_header(self.policy))
        self.known = {spec.target_id: spec for spec in self.policy.targets}

    def tell(self, event: AnyEvent) -> list[AnyCommand]:
        """Give one event and check what holds after every one."""
        assert _EVENT.decode(msgspec.json.encode(event)) == event
        match event:
            case Arrived():
                self.arrivals[event.request_id] = event
                self._bind(event)
            case Finished() | Failed() if event.attempt_id in self.running:
                start = self.running.pop(event.attempt_id)
                if isinstance(event, Failed) and event.output_tokens:
                    self.half_answered.add(start.request_id)
                self.ended.append(event.attempt_id)
            case FirstToken() if event.attempt_id in self.running:
                self.spoken.add(event.attempt_id)
        if self.watch is not None:
            self.watch(self, event)
        commands = self.controller.handle(event, self.now)
        self.lines.append(encode_step(self.now, event, commands))
        if isinstance(event, PolicyChanged):
            self.known = {spec.target_id: spec for spec in event.policy.targets}
            for request_id in self.arrivals.keys() - self.answered:
                self._bind(self.arrivals[request_id])
        for command in commands:
            assert _COMMAND.decode(msgspec.json.encode(command)) == command
            self._check(command)
        self._check_counters()
        if isinstance(event, Tick):
            following = self.controller.next_wakeup(self.now)
            assert following is None or following > self.now
        return commands

    def _bind(self, event: Arrived) -> None:
        """Remember who is bound to local targets: what was bound once stays so, whatever policy comes."""
        route = self.controller.find_route(event.model)
        by_route = route is not None and is_bound_by_route(route, event.screening)
        if event.local_only or by_route or is_bound(self.controller.policy, event):
            self.bound.add(event.request_id)

    def _check(self, command: AnyCommand) -> None:
        match command:
            case StartAttempt():
                self._check_start(command)
            case CancelAttempt():
                assert command.attempt_id in self.running
                del self.running[command.attempt_id]
                self.ended.append(command.attempt_id)
            case Complete() | Reject():
                if command.request_id in self.half_answered:
                    assert isinstance(command, Complete)  # nobody who has half an answer is told that he is refused
                    assert (command.outcome is Outcome.BROKEN) == (command.unrescued is not None)
                assert command.request_id in self.arrivals
                assert command.request_id not in self.answered
                assert command.request_id not in {s.request_id for s in self.running.values()}
                self.answered.add(command.request_id)

    def _check_start(self, start: StartAttempt) -> None:
        assert start.request_id in self.arrivals
        assert start.request_id not in self.answered
        beside = [s for s in self.running.values() if s.request_id == start.request_id]
        assert len(beside) <= 1
        assert all(s.attempt_id not in self.spoken and s.target_id != start.target_id for s in beside)
        assert start.attempt_id not in self.running
        assert start.attempt_id not in self.ended
        assert start.target_id in self.known
        assert start.queue_wait_s >= 0.0
        assert start.predicted_ttft_s >= 0.0
        spec = self.known[start.target_id]
        event = self.arrivals[start.request_id]
        assert spec.is_local or event.request_id not in self.bound
        assert event.surface in spec.surfaces
        assert not event.needs & mask(lack.feature for lack in spec.lacks)
        assert start.resumes == (start.request_id in self.half_answered)
        if start.resumes:
            seen = self.controller.targets[start.target_id].continues
            assert seen[start.model] is not Continues.NOTHING
        self.running[start.attempt_id] = start
        slots = self.controller.targets[start.target_id].slots
        used = sum(1 for s in self.running.values() if s.target_id == start.target_id)
        assert slots is None or used <= slots

    def _check_counters(self) -> None:
        check_places(self.controller)
        assert self.controller.open_requests == len(self.arrivals) - len(self.answered)
        running = {s.request_id for s in self.running.values()}
        waiting = sum(self.controller.waiting_by_lane().values())
        assert waiting == self.controller.open_requests - len(running)
        for name, target in self.controller.targets.items():
            assert set(target.running) == {a for a, s in self.running.items() if s.target_id == name}
            assert target.prefill_tokens >= 0
            assert 0 <= target.holding <= waiting
        requests = [s.request_id for s in self.running.values() if s.attempt_id in self.spoken]
        assert len(requests) == len({*requests})  # of two, the first that speaks is the only one then
        if waiting == 0 and all(attempt_id in self.spoken for attempt_id in self.running):
            assert self.controller.next_wakeup(self.now) is None
        elif waiting:  # whoever waits is looked at again, whatever happens
            assert self.controller.next_wakeup(self.now) is not None

    def run_out(self) -> None:
        """End every attempt and ring every alarm, until nothing is left; then nothing may be counted anywhere."""
        for _ in range(5000):
            if self.running:
                self.now += 0.05
                self.tell(Finished(attempt_id=next(iter(self.running)), output_tokens=5))
                continue
            at = self.controller.next_wakeup(self.now)
            if at is None:
                break
            self.now = max(self.now, at)
            self.tell(Tick())
        assert self.answered == set(self.arrivals)
        assert self.controller.open_requests == 0
        assert all(count == 0 for count in self.controller.waiting_by_lane().values())
        for target in self.controller.targets.values():
            assert (target.running, target.prefill_tokens, target.holding) == ({}, 0, 0)
        assert self.controller._dispatch.roster.leaving == {}
        check_nothing_is_held(self.controller)


def live(source: bytes, watch: Callable[[Life, AnyEvent], None] | None = None) -> Life:
    """Make a policy from the bytes, act out the rest of them, and let everything run out."""
    choose = Choices(source)
    life = Life(make_policy(choose), watch)
    while choose.has_more:
        _step(life, choose)
    life.run_out()
    return life


def _step(life: Life, choose: Choices) -> None:
    """Do one thing; arrivals and what attempts tell come often, changes of the world seldom."""
    kind = choose.below(32)
    if kind < 6:
        life.now += choose.of(GAPS_S)
        at = life.controller.next_wakeup(life.now)
        if choose.below(2) and at is not None:
            life.now = max(life.now, at)
        life.tell(Tick())
    elif kind < 16:
        life.tell(_arrival(choose, len(life.arrivals)))
    elif kind < 26:
        life.now += choose.of(GAPS_S[:5])
        life.tell(_of_an_attempt(life, choose))
    elif kind == 26 and life.arrivals:
        life.tell(ClientGone(request_id=f"r{choose.below(len(life.arrivals))}"))
    elif kind == 27:
        life.tell(_report(choose))
    elif kind == 28 and choose.below(4) == 3:
        life.tell(PolicyChanged(policy=make_policy(choose)))
    elif kind == 29 and choose.below(32) == 31:
        life.tell(DrainStarted())
    elif kind == 30 and choose.below(4) == 3:
        life.tell(world_event(choose, life.now))
    elif kind == 30 and choose.below(2):
        life.tell(_verification(life, choose))
    else:
        life.tell(_change(choose))


def _arrival(choose: Choices, number: int) -> Arrived:
    return Arrived(
        request_id=f"r{number}",
        model=choose.of(MODELS),
        surface=Surface.EMBEDDINGS if choose.below(8) == 7 else Surface.CHAT,
        prompt_tokens=choose.of((10, 10, 50, 50, 200, 200, 0, 2000, 100_000)),
        max_tokens=choose.of((None, 1, 50, 4000)),
        is_stream=choose.below(4) < 3,
        key_id=choose.of(KEYS),
        priority=choose.below(5) - 1,
        local_only=choose.below(5) == 4,
        screening=choose.of((0, 0, 7, 7, 8)),
        needs=choose.of((0, 0, 0, mask([Feature.TOOLS]), mask([Feature.IMAGES]), mask([Feature.AUDIO, Feature.TOOLS]))),
        ttft_slo_s=choose.of((None, None, None, None, 0.0, 1.0, 30.0)),
        deadline_s=choose.of((None, None, None, None, 0.0, 2.0, 600.0)),
    )


def _of_an_attempt(life: Life, choose: Choices) -> AnyEvent:
    """Let an attempt tell something: most often one that runs, now and then one that has ended or never was."""
    pool = [*life.running] if choose.below(8) < 7 else [*life.ended, 10_000]
    if not pool:
        return Progress(attempt_id=10_000, output_tokens=1)
    attempt_id = choose.of(pool)
    what = choose.below(7)
    if what == 6:
        return Queued(attempt_id=attempt_id)
    if what == 0:
        return FirstToken(attempt_id=attempt_id)
    if what == 1:
        return Progress(attempt_id=attempt_id, output_tokens=choose.below(200))
    if what < 4:
        return Finished(
            attempt_id=attempt_id,
            prompt_tokens=choose.of((None, 0, 10, 300)),
            output_tokens=choose.of((None, 0, 1, 60, 3000)),
        )
    return Failed(
        attempt_id=attempt_id,
        kind=choose.of(tuple(FailureKind)),
        status=choose.of((None, 429, 500)),
        retry_after_s=choose.of((None, None, 0.0, 1.5, 90.0)),
        output_tokens=(tokens := choose.of((0, 0, 0, 7)) if attempt_id in life.spoken else 0),
        cut=_cut(choose) if tokens and choose.below(4) else None,
    )


def _cut(choose: Choices) -> Cut:
    refusal = choose.of((*(6 * [None]), *RescueRefusal))
    return Cut(output_tokens=choose.of((7, 40)), has_reasoning=choose.below(4) == 3, refusal=refusal)


def _verification(life: Life, choose: Choices) -> TargetVerified:
    places = [place for route in life.controller.policy.routes for tier in route.tiers for place in tier]
    if not places:
        return TargetVerified(target_id="gpu0", model="m", continues=Continues.CONTENT)
    place = choose.of(places)
    continues = choose.of((*(2 * [Continues.REASONING]), *Continues))
    return TargetVerified(target_id=place.target_id, model=place.model, continues=continues)


def _report(choose: Choices) -> TargetReported:
    return TargetReported(
        target_id=choose.of(TARGETS),
        running=choose.of((None, 0, 1, 3, 9)),
        waiting=choose.of((None, 0, 2)),
        kv_usage=choose.of((None, 0.5)),
    )


def _change(choose: Choices) -> TargetChanged:
    return TargetChanged(
        target_id=choose.of(TARGETS),
        health=choose.of((*(5 * [Health.READY]), *Health)),
        slots=choose.of((None, None, 1, 2, 5, 0)),
        context_tokens=choose.of((None, None, 100, 1000)),
    )
