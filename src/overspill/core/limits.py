"""What clients may use: each request is held to the limits of its key, its team and its model, all or nothing.

Requests, tokens and places are reserved when a request is admitted and settled when it has its answer. Money is
reserved when an attempt starts on a target that has a price, since only then is it known that it costs any; so a client
without money is still served by what is owned. Where a policy limits nothing and has no
special keys, nothing here is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from overspill.core.names import Names
from overspill.core.rates import Clock, Meter, Purse, Rate, Slots
from overspill.core.types import Client, LimitHit, Limits, Policy, Resource, Route, Scope, Shared, Window

_NEVER = float("inf")
Holder = tuple[Scope, str]


class Allowance:
    """The meters that the requests of one key for one route are held to; made once for both."""

    __slots__ = ("holders", "purses")

    def __init__(self, holders: Sequence[tuple[Scope, str, Meter]]) -> None:
        self.holders = tuple(holders)
        self.purses = tuple((scope, name, purse) for scope, name, meter in holders for purse in meter.purses)


class Reservation:
    """What one request has taken from the meters; kept until it has its answer."""

    __slots__ = ("_at", "_rates", "_slots", "_tokens", "used_tokens")

    def __init__(self, rates: tuple[Rate, ...], slots: tuple[Slots, ...], tokens: float, now: float) -> None:
        self._rates = rates
        self._slots = slots
        self._tokens = tokens
        self._at = now
        self.used_tokens = 0
        """Of the attempt that used most: a client is not charged for our retries."""

    def settle(self, now: float) -> None:
        """Give the places back, and correct the tokens by what was used."""
        for rate in self._rates:
            rate.settle(self._tokens, self.used_tokens, now)
        for slots in self._slots:
            slots.leave(now - self._at)


class Denial:
    """Which limit refuses a request, and from when it would not."""

    __slots__ = ("hit", "ready_at")

    def __init__(self, hit: LimitHit, ready_at: float) -> None:
        self.hit = hit
        self.ready_at = ready_at


class Limiter:
    """The meters of one policy. Not a value: it changes in place, and only the controller holds it."""

    __slots__ = ("_allowances", "_clients", "_meters", "_models", "clock", "has_budgets", "is_used")

    def __init__(self) -> None:
        self.clock = Clock()
        self._meters: dict[Holder, Meter] = {}
        self._clients: dict[str, Client] = {}
        self._models: dict[str, Names] = {}
        self._allowances: dict[tuple[str, str], Allowance | None] = {}
        self.is_used = False
        """False if nothing limits any request, and no key is special."""
        self.has_budgets = False

    def adopt(self, policy: Policy) -> None:
        """Take a new policy; what has been used of a limit that stays is not forgotten."""
        before, self._meters = self._meters, {}
        for scope, name, limits in _limits_of(policy):
            meter = before.get((scope, name))
            if meter is None:
                meter = Meter(limits, self.clock)
            elif meter.limits != limits:
                meter.respecify(limits, self.clock)
            self._meters[scope, name] = meter
        self._clients = {client.key_id: client for client in policy.clients}
        self._models = {client.key_id: Names(client.models) for client in policy.clients if client.models}
        self._allowances = {}
        self.is_used = bool(self._meters or self._clients)
        self.has_budgets = any(meter.purses for meter in self._meters.values())

    def set_clock(self, unix_s: float, now: float) -> None:
        """Learn the time of day: the windows of budgets are those of the calendar."""
        self.clock.set(unix_s, now)

    def client(self, key_id: str) -> Client | None:
        """Return what is special about a key, or ``None``."""
        return self._clients.get(key_id)

    def may_ask_for(self, key_id: str, model: str) -> bool:
        """Tell whether a key may ask for a model; one without a list may ask for all."""
        names = self._models.get(key_id)
        return names is None or model in names

    def weights(self) -> dict[str, float]:
        """Return what each key weighs that does not weigh 1."""
        return {key_id: client.weight for key_id, client in self._clients.items()}

    def allowance_of(self, key_id: str, route: Route) -> Allowance | None:
        """Return what the requests of this key for this route are held to; ``None`` if to nothing."""
        key = (key_id, route.pattern)
        if key not in self._allowances:
            self._allowances[key] = self._find(*key)
        return self._allowances[key]

    def _find(self, key_id: str, pattern: str) -> Allowance | None:
        client = self._clients.get(key_id)
        team = "" if client is None else client.team
        names = ((Scope.KEY, key_id), (Scope.TEAM, team), (Scope.MODEL, pattern))
        holders = [(*name, self._meters[name]) for name in names if name in self._meters]
        return Allowance(holders) if holders else None

    def meter_of_target(self, target_id: str) -> Meter | None:
        """Return the rates that a target's host allows, or ``None`` if it names none."""
        return self._meters.get((Scope.TARGET, target_id))

    def purses_of_account(self, account: str) -> tuple[tuple[Scope, str, Purse], ...]:
        """Return the budgets of an account at a provider."""
        meter = self._meters.get((Scope.ACCOUNT, account))
        return () if meter is None else tuple((Scope.ACCOUNT, account, purse) for purse in meter.purses)

    def levels(self, key_id: str, route: Route, now: float) -> list[LimitHit]:
        """Return what the requests of a key for a route are held to, and what is left of each."""
        allowance = self.allowance_of(key_id, route)
        if allowance is None:
            return []
        rates = [
            _hit(scope, name, resource, meter, now)
            for scope, name, meter in allowance.holders
            for resource, _ in _ready(meter, 0.0, now)
        ]
        return rates + [_budget_hit(scope, name, purse, now) for scope, name, purse in allowance.purses]

    def spent_before(self, scope: Scope, name: str, window: Window, usd: float, now: float) -> None:
        """Learn what had been spent before; nothing happens where no budget is."""
        meter = self._meters.get((scope, name))
        for purse in () if meter is None else meter.purses:
            if purse.budget.window is window:
                purse.spent_before(usd, now)


def _limits_of(policy: Policy) -> list[tuple[Scope, str, Limits]]:
    found = [(Scope.KEY, client.key_id, client.limits) for client in policy.clients]
    found += [(scope, s.name, s.limits) for scope, all_ in _shared(policy) for s in all_]
    found += [(Scope.MODEL, route.pattern, route.limits) for route in policy.routes]
    found += [(Scope.TARGET, spec.target_id, spec.limits) for spec in policy.targets]
    return [(scope, name, limits) for scope, name, limits in found if limits is not None]


def _shared(policy: Policy) -> tuple[tuple[Scope, tuple[Shared, ...]], ...]:
    return (Scope.TEAM, policy.teams), (Scope.ACCOUNT, policy.accounts)


def denial(allowance: Allowance, tokens: float, now: float) -> Denial | None:
    """Return the limit that would refuse a request of so many tokens the longest, or ``None`` if all let it in."""
    worst: Denial | None = None
    for scope, name, meter in allowance.holders:
        for resource, ready_at in _ready(meter, tokens, now):
            if ready_at > now and (worst is None or ready_at > worst.ready_at):
                worst = Denial(_hit(scope, name, resource, meter, now), ready_at)
    return worst


def _ready(meter: Meter, tokens: float, now: float) -> list[tuple[Resource, float]]:
    ready: list[tuple[Resource, float]] = []
    if meter.requests is not None:
        ready.append((Resource.REQUESTS, meter.requests.ready_at(1.0)))
    if meter.tokens is not None:
        ready.append((Resource.TOKENS, meter.tokens.ready_at(tokens)))
    if meter.slots is not None:
        ready.append((Resource.CONCURRENCY, meter.slots.ready_at(now)))
    return ready


def _hit(scope: Scope, name: str, resource: Resource, meter: Meter, now: float) -> LimitHit:
    if resource is Resource.CONCURRENCY:
        assert meter.slots is not None  # it is what refused
        left = max(0, meter.slots.limit - meter.slots.used)
        return LimitHit(scope=scope, name=name, resource=resource, amount=meter.slots.limit, left=left)
    rate = meter.requests if resource is Resource.REQUESTS else meter.tokens
    assert rate is not None  # it is what refused
    return LimitHit(scope=scope, name=name, resource=resource, amount=rate.per_minute, left=rate.left(now))


def reserve(allowance: Allowance, tokens: float, now: float) -> Reservation:
    """Take a request and its expected tokens from every meter; ``denial`` has said that all let it in."""
    rates: list[Rate] = []
    slots: list[Slots] = []
    for _, _, meter in allowance.holders:
        if meter.requests is not None:
            meter.requests.take(1.0, now)
        if meter.tokens is not None:
            meter.tokens.take(tokens, now)
            rates.append(meter.tokens)
        if meter.slots is not None:
            meter.slots.used += 1
            slots.append(meter.slots)
    return Reservation(tuple(rates), tuple(slots), tokens, now)


def money_denial(purses: Sequence[tuple[Scope, str, Purse]], usd: float, now: float) -> Denial | None:
    """Return the budget that would refuse this expense the longest, or ``None`` if all have it left."""
    worst: Denial | None = None
    for scope, name, purse in purses:
        ready_at = purse.ready_at(usd, now)
        if ready_at > now and (worst is None or ready_at > worst.ready_at):
            worst = Denial(_budget_hit(scope, name, purse, now), ready_at)
    return worst


def _budget_hit(scope: Scope, name: str, purse: Purse, now: float) -> LimitHit:
    budget, left = purse.budget, max(0.0, purse.left_usd(now))
    return LimitHit(scope=scope, name=name, resource=Resource.MONEY, amount=budget.usd, window=budget.window, left=left)
