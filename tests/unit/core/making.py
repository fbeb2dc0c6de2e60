"""Short ways to write down targets, routes and events, for the tests of the core."""

from __future__ import annotations

from typing import Any

from overspill.core.commands import AnyCommand, Complete, Reject, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, Arrived, Failed, Finished, FirstToken, Tick
from overspill.core.types import (
    FailureKind,
    LatencyPrior,
    Policy,
    Price,
    Route,
    RouteTarget,
    Slo,
    TargetSpec,
)

FAST = LatencyPrior(ttft_base_s=0.2, tpot_base_s=0.01)


def local(target_id: str = "gpu", slots: int | None = 1, ttft_s: float = 0.2, **rest: Any) -> TargetSpec:
    """Make a local target that answers after ``ttft_s`` and then makes 100 tokens a second."""
    prior = LatencyPrior(ttft_base_s=ttft_s, tpot_base_s=0.01)
    return TargetSpec(target_id=target_id, pool="local", is_local=True, slots=slots, prior=prior, **rest)


def cloud(target_id: str = "api", usd: float | None = 1.0, ttft_s: float = 0.5, **rest: Any) -> TargetSpec:
    """Make a rented target at ``usd`` per million tokens; ``None`` is an unknown price."""
    price = None if usd is None else Price(input_usd_per_mtok=usd, output_usd_per_mtok=usd)
    prior = LatencyPrior(ttft_base_s=ttft_s, tpot_base_s=0.01)
    return TargetSpec(target_id=target_id, pool="cloud", is_local=False, prior=prior, price=price, **rest)


def route(*tiers: tuple[str, ...], pattern: str = "m", ttft_s: float = 2.0, **rest: Any) -> Route:
    """Make a route over tiers of target ids; each target is called under the name ``<id>-model``."""
    rows = tuple(tuple(RouteTarget(target_id=name, model=f"{name}-model") for name in tier) for tier in tiers)
    return Route(pattern=pattern, tiers=rows, slo=Slo(ttft_s=ttft_s), **rest)


def any_model(*tiers: tuple[str, ...]) -> Route:
    """Make a route for every model name, which each target is called by as the client wrote it."""
    rows = tuple(tuple(RouteTarget(target_id=name, model="") for name in tier) for tier in tiers)
    return Route(pattern="*", tiers=rows)


def policy(*targets: TargetSpec, routes: tuple[Route, ...] = (), **rest: Any) -> Policy:
    """Make a policy; without routes, ``m`` goes to the local targets first and then to the others."""
    if not routes:
        home = tuple(t.target_id for t in targets if t.is_local)
        away = tuple(t.target_id for t in targets if not t.is_local)
        routes = (route(home, away),)
    return Policy(targets=targets, routes=routes, default_output_tokens=100, **rest)


def arrived(request_id: str = "r1", model: str = "m", prompt_tokens: int = 10, **rest: Any) -> Arrived:
    """Make an arrival."""
    return Arrived(request_id=request_id, model=model, prompt_tokens=prompt_tokens, **rest)


class World:
    """A controller with a clock of its own, and short ways to tell it things."""

    def __init__(self, *targets: TargetSpec, routes: tuple[Route, ...] = (), **rest: Any) -> None:
        self.controller = Controller(policy(*targets, routes=routes, **rest))
        self.now = 100.0

    def tell(self, event: AnyEvent, after_s: float = 0.0) -> list[AnyCommand]:
        """Let time pass and give the event."""
        self.now += after_s
        return self.controller.handle(event, self.now)

    def arrive(self, request_id: str = "r1", **rest: Any) -> list[AnyCommand]:
        """Let a request arrive now."""
        return self.tell(arrived(request_id, **rest))

    def start(self, request_id: str = "r1", **rest: Any) -> StartAttempt:
        """Let a request arrive that starts at once."""
        return only_start(self.arrive(request_id, **rest))

    def fail(self, attempt_id: int, kind: FailureKind = FailureKind.CUT, **rest: Any) -> list[AnyCommand]:
        """Let an attempt fail now."""
        return self.tell(Failed(attempt_id=attempt_id, kind=kind, **rest))

    def finish(self, attempt_id: int, after_s: float = 0.0, **rest: Any) -> list[AnyCommand]:
        """Let an attempt end whole."""
        return self.tell(Finished(attempt_id=attempt_id, **rest), after_s)

    def first_token(self, attempt_id: int, after_s: float = 0.0) -> None:
        """Let an attempt's first token come; nothing follows from it."""
        assert self.tell(FirstToken(attempt_id=attempt_id), after_s) == []

    def tick(self) -> list[AnyCommand]:
        """Go to the next wake-up and ring."""
        at = self.controller.next_wakeup(self.now)
        assert at is not None
        self.now = max(self.now, at)
        out = self.controller.handle(Tick(), self.now)
        following = self.controller.next_wakeup(self.now)
        assert following is None or following > self.now
        return out

    def tick_until_something_happens(self, most: int = 100) -> list[AnyCommand]:
        """Ring until a command comes out."""
        for _ in range(most):
            out = self.tick()
            if out:
                return out
        raise AssertionError(f"nothing happened in {most} wake-ups")


def only_start(commands: list[AnyCommand]) -> StartAttempt:
    """Return the one command there is, which starts an attempt."""
    (command,) = commands
    assert isinstance(command, StartAttempt)
    return command


def starts(commands: list[AnyCommand]) -> list[StartAttempt]:
    """Return the attempts that start, in order."""
    return [c for c in commands if isinstance(c, StartAttempt)]


def only_end(commands: list[AnyCommand]) -> Complete | Reject:
    """Return the one final answer among the commands."""
    (command,) = [c for c in commands if isinstance(c, Complete | Reject)]
    return command
