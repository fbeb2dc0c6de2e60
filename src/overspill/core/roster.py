"""The targets and routes that a policy names, and those it no longer names but on which attempts still run."""

from __future__ import annotations

from overspill.core.limits import Limiter
from overspill.core.rescue import rescuers
from overspill.core.routing import RouteTable
from overspill.core.target import TargetState
from overspill.core.types import Policy


class Roster:
    """What the controller can choose from. Targets keep what was learned of them from one policy to the next."""

    __slots__ = ("has_tariffs", "leaving", "routes", "targets")

    def __init__(self) -> None:
        self.targets: dict[str, TargetState] = {}
        """Of the current policy, by id."""
        self.leaving: dict[str, TargetState] = {}
        """Of earlier policies, until their last attempt has ended."""
        self.routes = RouteTable(())
        self.has_tariffs = False
        """True if the price of a target follows the time of day."""

    def adopt(self, policy: Policy, limiter: Limiter) -> None:
        """Take over a new policy, whose limits the limiter has taken over."""
        known = {**self.leaving, **self.targets}
        self.targets = {}
        for spec in policy.targets:
            target = known.pop(spec.target_id, None)
            if target is None:
                target = TargetState(spec, policy.breaker)
            else:
                target.respecify(spec, policy.breaker)
            self.targets[spec.target_id] = target
        self.leaving = {name: target for name, target in known.items() if target.running}
        self.routes = RouteTable(policy.routes)
        self.has_tariffs = any(spec.tariff is not None for spec in policy.targets)
        self.note_rescuers()
        for target_id, target in self.targets.items():
            spec = target.spec
            target.equip(
                limiter.meter_of_target(target_id),
                limiter.purses_of_account(spec.account),
                target_id in self.routes.of_many_models,
                limiter.clock,
            )

    def note_rescuers(self) -> None:
        """Find out from which targets, on which routes, a broken answer could be continued somewhere."""
        for target in self.targets.values():
            target.kept_for = set()
        for route in self.routes.all:
            seen = rescuers(route, self.targets)
            for place in (place for tier in route.tiers for place in tier):
                found = self.targets.get(place.target_id)
                if found is not None and place.weights in seen:
                    found.kept_for.add(route.pattern)

    def find(self, target_id: str) -> TargetState | None:
        """Return a target, be it one that leaves; ``None`` if it is unknown."""
        return self.targets.get(target_id) or self.leaving.get(target_id)

    def emptied(self, target: TargetState) -> None:
        """Forget a target without attempts, if no policy names it any more."""
        self.leaving.pop(target.spec.target_id, None)
