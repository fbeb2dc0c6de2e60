"""Small scripted worlds whose recordings are golden: virtual time, and nothing that differs from run to run.

A world answers each ``StartAttempt`` with events at later times, from a table of how each target behaves. It models
nothing; it only has to be the same every time and to lead the controller through everything it can decide.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from zlib import crc32

import msgspec

from overspill.core.commands import AnyCommand, CancelAttempt, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import (
    AnyEvent,
    Arrived,
    ClientGone,
    ClockRead,
    Cut,
    DrainStarted,
    Failed,
    Finished,
    FirstToken,
    PolicyChanged,
    Progress,
    Queued,
    SpentBefore,
    TargetChanged,
    TargetReported,
    TargetVerified,
    Tick,
)
from overspill.core.recording import encode_header, encode_step
from overspill.core.types import (
    Budget,
    Client,
    Continues,
    FailureKind,
    Health,
    Lack,
    LatencyPrior,
    Limits,
    Policy,
    Price,
    RescueRefusal,
    Route,
    RouteTarget,
    Scope,
    Shared,
    Slo,
    Surface,
    TargetSpec,
    Window,
)
from overspill.features import Feature, mask

Behaviour = Callable[["World", StartAttempt], None]


@dataclass
class World:
    """Runs one controller over a heap of events, and writes down what happens."""

    policy: Policy
    behaviours: dict[str, Behaviour]
    now: float = 0.0
    lines: list[bytes] = field(default_factory=list)
    prompts: dict[str, int] = field(default_factory=dict)
    _due: list[tuple[float, int, AnyEvent]] = field(default_factory=list)
    _sequence: int = 0
    _gone: set[int] = field(default_factory=set)

    def at(self, when: float, event: AnyEvent) -> None:
        """Plan an event."""
        self._sequence += 1
        heapq.heappush(self._due, (when, self._sequence, event))

    def run(self) -> bytes:
        """Play everything, and return the recording."""
        controller = Controller(self.policy)
        self.lines.append(encode_header(self.policy))
        while True:
            wake = controller.next_wakeup(self.now)
            if wake is None and not self._due:
                return b"".join(self.lines)
            if wake is not None and (not self._due or wake < self._due[0][0]):
                self._tell(controller, Tick(), max(wake, self.now))
            else:
                when, _, event = heapq.heappop(self._due)
                self._tell(controller, event, when)

    def _tell(self, controller: Controller, event: AnyEvent, when: float) -> None:
        if getattr(event, "attempt_id", None) in self._gone:
            return
        self.now = when
        if isinstance(event, Arrived):
            self.prompts[event.request_id] = event.prompt_tokens
        commands = controller.handle(event, when)
        self.lines.append(encode_step(when, event, commands))
        for command in commands:
            self._obey(command)

    def _obey(self, command: AnyCommand) -> None:
        if isinstance(command, StartAttempt):
            self.behaviours[command.target_id](self, command)
        elif isinstance(command, CancelAttempt):
            self._gone.add(command.attempt_id)


def chance(*names: object) -> float:
    """Return a number from 0 to 1 that only depends on the names."""
    return crc32("/".join(map(str, names)).encode()) / 2**32


def answers(ttft_s: float, tpot_s: float, tokens: int = 60) -> Behaviour:
    """Answer everything, with lengths around ``tokens``."""

    def behave(world: World, start: StartAttempt) -> None:
        length = max(2, round(tokens * (0.4 + 1.2 * chance("length", start.request_id))))
        first = world.now + ttft_s * (0.8 + 0.4 * chance("ttft", start.request_id))
        end = first + tpot_s * length
        prompt = world.prompts[start.request_id]
        world.at(first, FirstToken(attempt_id=start.attempt_id))
        world.at((first + end) / 2, Progress(attempt_id=start.attempt_id, output_tokens=length // 2))
        done = Finished(attempt_id=start.attempt_id, prompt_tokens=round(prompt * 1.2), output_tokens=length)
        world.at(end, done)

    return behave


def queues(ttft_s: float) -> Behaviour:
    """Keep the connection alive at first, and answer after ``ttft_s``."""

    def behave(world: World, start: StartAttempt) -> None:
        world.at(world.now + 0.1, Queued(attempt_id=start.attempt_id))
        answers(ttft_s, 0.02)(world, start)

    return behave


def fails(kind: FailureKind, after_s: float = 0.05, **rest: float) -> Behaviour:
    """Fail everything."""

    def behave(world: World, start: StartAttempt) -> None:
        world.at(world.now + after_s, Failed(attempt_id=start.attempt_id, kind=kind, **rest))  # type: ignore[arg-type]

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave as each of these once, and then as the last for ever."""
    left = list(behaviours)

    def behave(world: World, start: StartAttempt) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(world, start)

    return behave


def until(when: float, before: Behaviour, after: Behaviour) -> Behaviour:
    """Behave one way before a time and another from it on."""

    def behave(world: World, start: StartAttempt) -> None:
        (before if world.now < when else after)(world, start)

    return behave


def arrivals(count: int, every_s: float, **rest: object) -> Iterable[tuple[float, Arrived]]:
    """Make arrivals of model ``m`` with prompts of 20 to 400 tokens, at slightly uneven distances."""
    model = rest.pop("model", "m")
    prefix = rest.pop("prefix", "r")
    begin = float(rest.pop("begin", 0.0))  # type: ignore[arg-type]
    for i in range(count):
        when = begin + every_s * (i + 0.5 * chance("gap", prefix, i))
        tokens = rest.get("prompt_tokens") or 20 + int(380 * chance("prompt", prefix, i))
        fixed = {**rest, "prompt_tokens": tokens}
        yield round(when, 6), Arrived(request_id=f"{prefix}{i}", model=model, **fixed)  # type: ignore[arg-type]


GPU = TargetSpec(
    target_id="gpu",
    pool="local",
    is_local=True,
    slots=2,
    context_tokens=4096,
    prior=LatencyPrior(ttft_base_s=0.1, prefill_s_per_token=0.0005, tpot_base_s=0.02),
)
CHEAP = TargetSpec(
    target_id="cheap",
    pool="cloud",
    is_local=False,
    prior=LatencyPrior(ttft_base_s=0.8),
    price=Price(input_usd_per_mtok=0.3, output_usd_per_mtok=1.1),
)
QUICK = TargetSpec(
    target_id="quick",
    pool="cloud",
    is_local=False,
    prior=LatencyPrior(ttft_base_s=0.3),
    price=Price(input_usd_per_mtok=2.0, output_usd_per_mtok=8.0),
)
NORMAL: dict[str, Behaviour] = {
    "gpu": answers(0.15, 0.02),
    "gpu2": answers(0.2, 0.02),
    "cheap": answers(0.7, 0.01),
    "quick": answers(0.3, 0.01),
}


def places(*names: str) -> tuple[RouteTarget, ...]:
    """Name targets as a tier."""
    return tuple(RouteTarget(target_id=name, model=f"{name}-model") for name in names)


ROUTE = Route(pattern="m", tiers=(places("gpu"), places("cheap", "quick")), slo=Slo(ttft_s=1.5), deadline_s=20.0)
POLICY = Policy(targets=(GPU, CHEAP, QUICK), routes=(ROUTE,), default_output_tokens=60)


def burst() -> World:
    """Three times what home can carry: run, hold, spill to the cheapest, and come back as it gets quiet."""
    world = World(POLICY, NORMAL)
    for when, event in [*arrivals(30, 0.2), *arrivals(6, 2.0, prefix="late", begin=8.0)]:
        world.at(when, event)
    world.at(3.0, ClientGone(request_id="r14"))
    world.at(3.5, ClientGone(request_id="r17"))
    return world


def crash() -> World:
    """The engine dies in the middle: what has tokens breaks, what has none runs elsewhere; later it is back."""
    world = World(POLICY, {**NORMAL, "gpu": until(2.0, NORMAL["gpu"], fails(FailureKind.CONNECT))})
    for when, event in arrivals(24, 0.25):
        world.at(when, event)
    for when, event in arrivals(4, 0.5, prefix="mine", local_only=True):
        world.at(when, event)
    world.at(2.5, TargetChanged(target_id="gpu", health=Health.DOWN))
    world.at(4.0, TargetChanged(target_id="gpu", health=Health.READY))
    world.behaviours["gpu"] = until(2.0, NORMAL["gpu"], until(4.0, fails(FailureKind.CUT, 0.3), NORMAL["gpu"]))
    world.at(2.2, Failed(attempt_id=5, kind=FailureKind.CUT, output_tokens=9))
    return world


def broken_streams() -> World:
    """Answers that break off: some go on elsewhere or at home once it is back, the others end as broken."""
    tiers = (
        (RouteTarget(target_id="gpu", model="m", weights="w"),),
        (RouteTarget(target_id="cheap", model="m", weights="w"),),
    )
    route = Route(pattern="m", tiers=tiers, slo=Slo(ttft_s=1.0), deadline_s=20.0, rescue_wait_s=4.0)
    world = World(Policy(targets=(GPU, CHEAP), routes=(route,), default_output_tokens=60), {**NORMAL})
    for when, event in arrivals(6, 0.2):
        world.at(when, event)
    for when, event in arrivals(2, 0.1, prefix="mine", local_only=True):
        world.at(when, event)
    world.at(0.0, TargetVerified(target_id="gpu", model="m", continues=Continues.REASONING))
    world.at(0.05, TargetVerified(target_id="cheap", model="m", continues=Continues.CONTENT))
    world.at(1.0, TargetChanged(target_id="gpu", health=Health.DOWN))
    cuts = (
        Cut(output_tokens=9),
        Cut(output_tokens=9, has_reasoning=True),
        Cut(output_tokens=9, refusal=RescueRefusal.TOOL_CALL),
        None,
        Cut(output_tokens=20),
        Cut(output_tokens=20, has_reasoning=True),
    )
    for attempt_id, cut in enumerate(cuts, start=1):
        world.at(1.0 + attempt_id / 100, Failed(attempt_id=attempt_id, kind=FailureKind.CUT, output_tokens=9, cut=cut))
    world.at(3.0, TargetChanged(target_id="gpu", health=Health.READY))
    return world


def troubled_upstreams() -> World:
    """No home: rate limits, overload, an empty account, a hollow answer, a client's own error."""
    limited = fails(FailureKind.RATE_LIMITED, status=429, retry_after_s=1.5)
    overloaded = fails(FailureKind.OVERLOADED, status=529)
    rude = fails(FailureKind.BAD_REQUEST, status=422)
    behaviours = {
        "cheap": in_turn(limited, overloaded, fails(FailureKind.HOLLOW, 0.4), overloaded, rude, NORMAL["cheap"]),
        "quick": in_turn(NORMAL["quick"], overloaded, limited, overloaded, fails(FailureKind.NO_MONEY, status=402)),
    }
    route = msgspec.structs.replace(ROUTE, max_attempts=2)
    hollow = msgspec.structs.replace(CHEAP, target_id="hollow")
    behaviours["hollow"] = fails(FailureKind.HOLLOW, status=200)
    vain = msgspec.structs.replace(ROUTE, pattern="vain", tiers=((), places("hollow")), max_attempts=2)
    world = World(Policy(targets=(CHEAP, QUICK, hollow), routes=(route, vain), default_output_tokens=60), behaviours)
    for when, event in [*arrivals(16, 0.4), *arrivals(2, 1.0, model="vain", prefix="v")]:
        world.at(when, event)
    return world


def narrow() -> World:
    """One small home and nothing else: queue bounds, priorities, deadlines, context, surfaces, others' load, drain."""
    route = Route(pattern="m", tiers=(places("gpu"),), slo=Slo(ttft_s=1.0), deadline_s=4.0, queue_limit=4)
    gpu = msgspec.structs.replace(GPU, slots=1, context_tokens=500, ready_at_start=False)
    world = World(Policy(targets=(gpu,), routes=(route,), default_output_tokens=60), {"gpu": answers(0.2, 0.02)})
    for when, event in arrivals(12, 0.3):
        world.at(when, msgspec.structs.replace(event, priority=int(3 * chance("priority", event.request_id))))
    world.at(1.0, TargetChanged(target_id="gpu", health=Health.READY, slots=1))
    world.at(2.0, Arrived(request_id="long", model="m", prompt_tokens=501))
    world.at(2.1, Arrived(request_id="vector", model="m", surface=Surface.EMBEDDINGS, prompt_tokens=5))
    world.at(2.2, Arrived(request_id="who", model="nobody", prompt_tokens=5))
    world.at(3.0, TargetReported(target_id="gpu", running=1, waiting=2))
    world.at(5.0, TargetReported(target_id="gpu", running=0, waiting=0))
    world.at(5.9, Arrived(request_id="last", model="m", prompt_tokens=5))
    world.at(6.0, DrainStarted())
    world.at(6.1, Arrived(request_id="late", model="m", prompt_tokens=5))
    world.at(6.2, ClientGone(request_id="last", is_shutdown=True))
    return world


def reload() -> World:
    """The policy changes three times under load: a second engine, a route that turns ``local_only``, a target gone."""
    world = World(POLICY, NORMAL)
    for when, event in arrivals(28, 0.2):
        world.at(when, event)
    gpu2 = msgspec.structs.replace(GPU, target_id="gpu2", slots=1)
    two = msgspec.structs.replace(ROUTE, tiers=(places("gpu", "gpu2"), places("cheap", "quick")))
    world.at(1.5, PolicyChanged(policy=Policy(targets=(GPU, gpu2, CHEAP, QUICK), routes=(two,))))
    strict = msgspec.structs.replace(two, local_only=True, queue_limit=3)
    world.at(3.0, PolicyChanged(policy=Policy(targets=(GPU, gpu2, CHEAP, QUICK), routes=(strict,))))
    last = msgspec.structs.replace(ROUTE, tiers=(places("gpu"), places("quick")))
    world.at(4.5, PolicyChanged(policy=Policy(targets=(GPU, QUICK), routes=(last,))))
    return world


def odd_requests() -> World:
    """Each reason to leave home that load does not give: too long, a surface not served, no home, home too slow."""
    slow = msgspec.structs.replace(GPU, target_id="gpu2", prior=LatencyPrior(ttft_base_s=5.0))
    everything = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)
    cheap = msgspec.structs.replace(CHEAP, surfaces=everything)
    routes = (
        ROUTE,
        msgspec.structs.replace(ROUTE, pattern="slow-*", tiers=(places("gpu2"), places("cheap"))),
        msgspec.structs.replace(ROUTE, pattern="rented", tiers=((), places("cheap"))),
    )
    world = World(Policy(targets=(GPU, slow, cheap, QUICK), routes=routes, default_output_tokens=60), dict(NORMAL))
    world.behaviours["gpu"] = in_turn(
        fails(FailureKind.CONTEXT_TOO_LONG, status=400), fails(FailureKind.HOLLOW), NORMAL["gpu"]
    )
    for when, event in arrivals(4, 1.0, prompt_tokens=2000):
        world.at(when, event)
    world.at(0.5, Arrived(request_id="book", model="m", prompt_tokens=9000))
    world.at(1.5, Arrived(request_id="vector", model="m", surface=Surface.EMBEDDINGS, prompt_tokens=20))
    for when, event in [*arrivals(3, 1.0, model="slow-one", prefix="s"), *arrivals(3, 1.0, model="rented", prefix="x")]:
        world.at(when, event)
    world.at(2.6, Arrived(request_id="secret", model="rented", prompt_tokens=20, local_only=True))
    world.at(3.2, Arrived(request_id="hurry", model="m", prompt_tokens=20, ttft_slo_s=0.05))
    return world


def slow_tokens() -> World:
    """Home makes tokens more slowly the more run there, and the route promises a pace that only some targets keep."""
    prior = LatencyPrior(ttft_base_s=0.1, prefill_s_per_token=0.0005, tpot_base_s=0.01, tpot_s_per_running=0.01)
    gpu = msgspec.structs.replace(GPU, slots=4, prior=prior)
    slow = msgspec.structs.replace(CHEAP, prior=LatencyPrior(ttft_base_s=0.8, tpot_base_s=0.06))
    route = msgspec.structs.replace(ROUTE, slo=Slo(ttft_s=1.5, tpot_s=0.035))
    vain = msgspec.structs.replace(ROUTE, pattern="vain", slo=Slo(ttft_s=1.5, tpot_s=0.002))
    policy = Policy(targets=(gpu, slow, QUICK), routes=(route, vain), default_output_tokens=60)
    world = World(policy, {**NORMAL, "gpu": answers(0.15, 0.03), "cheap": answers(0.7, 0.06)})
    for when, event in [*arrivals(20, 0.25), *arrivals(6, 0.8, model="vain", prefix="v")]:
        world.at(when, event)
    return world


def silence() -> World:
    """Home queues what it is sent: rivals start in time and win or lose, a third takes over, one route hedges."""
    hedged = msgspec.structs.replace(ROUTE, pattern="hedged", hedge_after_s=0.3)
    behaviours = {
        "gpu": in_turn(queues(1.4), queues(3.0), queues(60.0)),
        "cheap": in_turn(queues(60.0), NORMAL["cheap"]),
    }
    policy = Policy(targets=(GPU, CHEAP, QUICK), routes=(ROUTE, hedged), default_output_tokens=60)
    world = World(policy, {**NORMAL, **behaviours})
    for when, event in [*arrivals(8, 1.5), *arrivals(4, 2.0, model="hedged", prefix="h")]:
        world.at(when, event)
    return world


def limits() -> World:
    """Keys with rates, places, budgets, models and weights; a host with a rate; a home that is rented too."""
    cheap = msgspec.structs.replace(
        CHEAP, account="cloud/main", limits=Limits(requests_per_minute=60.0, tokens_per_minute=9000.0, burst_s=2.0)
    )
    clients = (
        Client(key_id="alice", team="red", weight=3.0, limits=Limits(requests_per_minute=120.0, burst_s=2.0)),
        Client(key_id="bob", team="red", limits=Limits(concurrency=3)),
        Client(key_id="dan", limits=Limits(budgets=(Budget(usd=0.004, window=Window.HOUR),))),
        Client(key_id="carol", local_only=True, models=("m",)),
    )
    policy = Policy(
        targets=(GPU, cheap, QUICK),
        routes=(
            ROUTE,
            msgspec.structs.replace(ROUTE, pattern="rented", tiers=(places("quick"), places("cheap"))),
            msgspec.structs.replace(ROUTE, pattern="narrow", tiers=(places("cheap"),)),
        ),
        clients=clients,
        teams=(Shared(name="red", limits=Limits(tokens_per_minute=30_000.0, burst_s=10.0)),),
        accounts=(Shared(name="cloud/main", limits=Limits(budgets=(Budget(usd=5.0, window=Window.MONTH),))),),
        reserved=(1,),
        default_output_tokens=60,
    )
    world = World(policy, NORMAL)
    world.at(0.0, ClockRead(unix_s=1_700_049_600.0))
    world.at(0.0, SpentBefore(scope=Scope.KEY, name="dan", window=Window.HOUR, usd=0.001))
    for key, every_s in (("alice", 0.2), ("bob", 0.25), ("carol", 0.5)):
        for when, event in arrivals(20, every_s, prefix=key, key_id=key):
            world.at(when, event)
    for when, event in arrivals(8, 0.4, prefix="rent", model="rented", key_id="dan", prompt_tokens=400):
        world.at(when, event)
    for when, event in arrivals(6, 0.2, prefix="n", model="narrow"):
        world.at(when, event)
    world.at(1.0, Arrived(request_id="not hers", model="rented", prompt_tokens=5, key_id="carol"))
    world.at(1.1, Arrived(request_id="huge", model="rented", prompt_tokens=100_000, key_id="dan"))
    return world


def features() -> World:
    """Targets that are known not to do everything, and one that wants the history otherwise, once and again."""
    blind = Lack(feature=Feature.IMAGES, why="it sees nothing")
    gpu = msgspec.structs.replace(GPU, lacks=(blind, Lack(feature=Feature.TOOL_CHOICE, why="it calls what it likes")))
    cheap = msgspec.structs.replace(CHEAP, lacks=(blind,))
    policy = Policy(
        targets=(gpu, cheap, QUICK),
        routes=(ROUTE, msgspec.structs.replace(ROUTE, pattern="blind", tiers=(places("gpu"), places("cheap")))),
        default_output_tokens=60,
    )
    wants_thoughts = fails(FailureKind.HISTORY, status=400)
    gpu_does = in_turn(wants_thoughts, wants_thoughts, wants_thoughts, NORMAL["gpu"])
    world = World(policy, {**NORMAL, "gpu": gpu_does})
    images, choice = mask([Feature.IMAGES]), mask([Feature.TOOLS, Feature.TOOL_CHOICE])
    for number, needs in enumerate((0, images, choice, images | choice)):
        for model in ("m", "blind"):
            request_id = f"{model}{number}"
            world.at(0.5 * number, Arrived(request_id=request_id, model=model, prompt_tokens=50, needs=needs))
    world.at(3.0, Arrived(request_id="kept", model="m", prompt_tokens=50, needs=images, local_only=True))
    return world


SCENARIOS: dict[str, Callable[[], World]] = {
    scenario.__name__: scenario
    for scenario in (
        burst,
        crash,
        broken_streams,
        troubled_upstreams,
        narrow,
        reload,
        odd_requests,
        slow_tokens,
        silence,
        limits,
        features,
    )
}
