"""Turns a checked configuration into the core's ``Policy`` and into what the gateway must wire: adapters and addresses.

It decides what a *target* is. A replica of an engine and an attached server are one target each, whatever models they
serve, because those share their slots. At an upstream, each model of each account is a target of its own, because
providers limit and price by account and model, and because a model that is missing there says nothing about the others.

A ``RouteTarget.model`` of ``""`` means: send the name that the client used.
"""

from __future__ import annotations

from typing import Any, Literal, assert_never

import msgspec

from overspill.config.addresses import parse_origin
from overspill.config.base_urls import base_url
from overspill.config.check import GENERIC_UPSTREAM, as_target, is_local, require_sound, urls_of
from overspill.config.decode import Invalid
from overspill.config.equivalence import Served, served_by
from overspill.config.facts import Facts, ModelFacts, Offer, ProviderFacts
from overspill.config.features import form_of, lacks_of
from overspill.config.keys import patterns_of
from overspill.config.scalars import SecretRef
from overspill.config.schema import (
    AccountConfig,
    AttachPool,
    Config,
    EnginePool,
    Pool,
    RouteConfig,
    TierTarget,
    UpstreamPool,
)
from overspill.config.screening import ScreeningPlan, fingerprint, plan_of
from overspill.config.values import (
    breaker_of,
    budgets_of,
    clients_of,
    limits_of,
    patience_of,
    price_of,
    prior_of,
    rates_of,
    retry_of,
    teams_of,
)
from overspill.core.cost import billing_price
from overspill.core.names import is_glob
from overspill.core.types import (
    Lack,
    LatencyPrior,
    Limits,
    Policy,
    Price,
    RescuePolicy,
    Route,
    RouteTarget,
    Shared,
    Slo,
    Surface,
    TargetSpec,
)
from overspill.features import NATIVE
from overspill.units import MIB
from overspill.wire.form import ChatForm
from overspill.wire.http import Origin

_TEXT = (Surface.CHAT, Surface.COMPLETIONS)


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to start one replica, in the engine-neutral words of the configuration."""

    name: str
    model: str | None
    """``None`` for an engine that has none."""
    served_name: str
    max_batch_size: int
    context_tokens: int
    threads: int | None
    cache_ram_mib: int
    kv_cache_type: str
    gpu_layers: int | None
    sha256: str | None
    load_timeout_s: float
    surfaces: tuple[Surface, ...]
    extra: dict[str, Any]


class HostDialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a host differs from others that its adapter serves too."""

    auth: str = "bearer"
    """Which header carries the key: ``bearer``, ``api-key`` or ``x-api-key``."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Sent with each call."""
    allowed_fields: frozenset[str] = frozenset()
    """The fields of a body that it takes, where it refuses all others; empty if it takes any."""
    key_expires: bool = False
    """True if its key is a token that somebody renews in its file."""


class CompiledTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway must know of one target beyond its ``TargetSpec``. Holds no secret, only where it is."""

    target_id: str
    pool: str
    role: Literal["engine", "attach", "upstream"]
    kind: str
    """The name of its adapter in the registry of engines, or of upstreams."""
    origin: Origin | None = None
    """``None`` for an engine that is still to be started."""
    account: str = ""
    key: SecretRef | None = None
    dialect: HostDialect = HostDialect()
    engine: EngineOptions | None = None
    asks_for_slots: bool = False
    """True if an attached server is to say itself how many requests it takes: the configuration does not."""
    streams_whole: bool = True
    """See ``TargetSpec``."""
    form: ChatForm = ChatForm()
    """In which form of chat it is asked, and answers."""
    verifies: tuple[str, ...] = ()
    """Models for which it is to be seen how it goes on with an answer that broke off."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration, ready to run."""

    policy: Policy
    targets: tuple[CompiledTarget, ...]
    """In the order of ``policy.targets``."""
    screening: dict[int, ScreeningPlan] = {}
    """What the numbers in ``Route.screening`` stand for."""
    served: dict[tuple[str, str], Served] = {}
    """Target and the name that it is sent → which model that is, as far as it is known."""


def compile_config(config: Config, facts: Facts) -> Wiring:
    """Compile ``config``; raise ``ConfigError`` if it contradicts itself."""
    require_sound(config, facts)
    build = _Build(config, facts)
    routes = tuple(build.route(route, pattern) for route in config.routes for pattern in patterns_of(route))
    policy = Policy(
        targets=tuple(spec for spec, _ in build.targets.values()),
        routes=routes,
        breaker=breaker_of(config.breaker),
        retry=retry_of(config.scheduling.retry),
        priorities=config.scheduling.priorities,
        reserved=config.scheduling.reserved,
        clients=clients_of(config),
        teams=teams_of(config),
        accounts=tuple(build.accounts.values()),
        default_output_tokens=config.scheduling.default_output_tokens,
    )
    _require_prices(policy)
    asked = _asked(config, routes)
    targets = tuple(
        msgspec.structs.replace(target, verifies=asked.get(target.target_id, ()))
        for _, target in build.targets.values()
    )
    return Wiring(policy=policy, targets=targets, screening=build.plans, served=build.served)


def _asked(config: Config, routes: tuple[Route, ...]) -> dict[str, tuple[str, ...]]:
    """Return the models, by target, whose broken streams may be continued there; a name that is not known is none."""
    asked: dict[str, tuple[str, ...]] = {}
    for route in routes:
        for place in (place for tier in route.tiers for place in tier):
            pool = config.pools[place.target_id.split("/")[0]]
            wanted = isinstance(pool, EnginePool) if pool.verify_continuation is None else pool.verify_continuation
            known = asked.get(place.target_id, ())
            may = route.rescue is not RescuePolicy.OFF and wanted and place.weights and place.model
            if may and place.model not in known:
                asked[place.target_id] = (*known, place.model)
    return asked


class _Build:
    """Collects targets while routes are compiled: an upstream's targets exist as far as routes name its models."""

    def __init__(self, config: Config, facts: Facts) -> None:
        self.config = config
        self.facts = facts
        self.targets: dict[str, tuple[TargetSpec, CompiledTarget]] = {}
        self.accounts: dict[str, Shared] = {}
        """The accounts that have a budget, by name."""
        self.plans: dict[int, ScreeningPlan] = {}
        self.served: dict[tuple[str, str], Served] = {}
        for name, pool in config.pools.items():
            if isinstance(pool, EnginePool):
                self._add_engine(name, pool)
            elif isinstance(pool, AttachPool):
                self._add_attached(name, pool)

    def route(self, route: RouteConfig, pattern: str) -> Route:
        tiers = tuple(
            tuple(place for item in tier for place in self._places(as_target(item), pattern)) for tier in route.tiers
        )
        return Route(
            pattern=pattern,
            tiers=tiers,
            slo=Slo(ttft_s=float(route.slo.ttft), tpot_s=None if route.slo.tpot is None else float(route.slo.tpot)),
            deadline_s=float(route.deadline),
            queue_limit=route.queue_limit,
            max_attempts=route.max_attempts,
            local_only=route.local_only,
            limits=self._limits_of(pattern),
            patience=patience_of(route),
            hedge_after_s=None if route.hedge_after is None else float(route.hedge_after),
            screening=self._screening(route),
            rescue=RescuePolicy(route.rescue),
            rescue_wait_s=float(route.rescue_wait),
        )

    def _limits_of(self, pattern: str) -> Limits | None:
        limits = self.config.limits.models.get(pattern)
        return None if limits is None else limits_of(limits, limits.budget)

    def _screening(self, route: RouteConfig) -> int:
        """Return the number of what the route wants of the detectors; a ``local_only`` one wants nothing."""
        plan = None if route.local_only else plan_of(self.config.screening, route.screening)
        if plan is None:
            return 0
        number = fingerprint(self.config.screening, plan)
        self.plans[number] = plan
        return number

    def _places(self, item: TierTarget, pattern: str) -> list[RouteTarget]:
        places = self._targets_of(item, pattern)
        for place in places:
            served = served_by(self.config.pools[item.pool], place.model, self.facts)
            if served.model is not None or served.quantization is not None:
                self.served[place.target_id, place.model] = served
        return places

    def _targets_of(self, item: TierTarget, pattern: str) -> list[RouteTarget]:
        pool: Pool = self.config.pools[item.pool]
        sent = item.model or ("" if is_glob(pattern) else pattern)
        match pool:
            case EnginePool():
                model = item.model or pool.served_name or item.pool
                weights = pool.weights or engine_weights(pool.model, pool.sha256)
                ids = [f"{item.pool}/{n}" for n in range(pool.replicas)]
                return [RouteTarget(target_id=target_id, model=model, weights=weights) for target_id in ids]
            case AttachPool():
                weights = pool.weights or f"{item.pool}:{sent}"
                ids = [f"{item.pool}/{n}" for n in range(len(urls_of(pool)))]
                return [RouteTarget(target_id=target_id, model=sent, weights=weights) for target_id in ids]
            case UpstreamPool():
                ids = [self._upstream(item.pool, pool, account, sent) for account in self._accounts(pool)]
                weights = pool.weights or ""  # what somebody else runs may be another tomorrow
                return [RouteTarget(target_id=target_id, model=sent, weights=weights) for target_id in ids]
            case _:
                assert_never(pool)

    def _accounts(self, pool: UpstreamPool) -> tuple[AccountConfig | None, ...]:
        if pool.accounts:
            return pool.accounts
        known = self.facts.provider(pool.upstream)
        if known is None or known.key_env is None:
            return (None,)
        return (AccountConfig(name="default", api_key=SecretRef(f"env:{known.key_env}")),)

    def _add_engine(self, name: str, pool: EnginePool) -> None:
        adapter = self.facts.engine(pool.engine)
        lacks, form = lacks_of(pool, adapter.lacks(pool.model, pool.options)), form_of(pool, adapter.form)
        for n in range(pool.replicas):
            target_id = f"{name}/{n}"
            spec = _spec(target_id, name, pool, slots=pool.max_batch_size, surfaces=adapter.surfaces, lacks=lacks)
            replica = name if pool.replicas == 1 else f"{name}-{n}"
            options = _engine_options(replica, name, pool, adapter.needs_model, spec.surfaces)
            self.targets[target_id] = (
                msgspec.structs.replace(spec, ready_at_start=False),
                CompiledTarget(
                    target_id=target_id, pool=name, role="engine", kind=pool.engine, engine=options, form=form
                ),
            )

    def _add_attached(self, name: str, pool: AttachPool) -> None:
        adapter = self.facts.attached(pool.attach)
        slots = pool.slots or adapter.default_slots
        lacks, form = lacks_of(pool, adapter.unsupported), form_of(pool, adapter.form)
        for n, url in enumerate(urls_of(pool)):
            target_id = f"{name}/{n}"
            origin = parse_origin(url)
            # Engines' adapters write whole paths, so a base URL in the style of SDKs is cut back to the server.
            origin = msgspec.structs.replace(origin, prefix=origin.prefix.removesuffix(b"/v1"))
            self.targets[target_id] = (
                _spec(target_id, name, pool, slots=slots, surfaces=adapter.surfaces, lacks=lacks),
                CompiledTarget(
                    target_id=target_id,
                    pool=name,
                    role="attach",
                    kind=pool.attach,
                    origin=origin,
                    key=pool.api_key,
                    asks_for_slots=pool.slots is None,
                    streams_whole=pool.stream_whole_answers,
                    form=form,
                ),
            )

    def _upstream(self, name: str, pool: UpstreamPool, account: AccountConfig | None, model: str) -> str:
        known = self.facts.provider(pool.upstream)
        offer = known.offer(model) if known is not None and model else None
        account_name = "default" if account is None else account.name
        target_id = "/".join(part for part in (name, account_name, offer.id if offer else model) if part)
        if target_id not in self.targets:
            own = _own_price(pool, offer, model)
            kind = known.adapter if known else pool.upstream
            adapter, of_model = self.facts.upstream(kind), self._model_of(offer)
            spec = _spec(
                target_id,
                name,
                pool,
                slots=_upstream_slots(pool, offer),
                surfaces=known.surfaces if known else self._surfaces_of(pool.upstream),
                price=own or (None if offer is None else offer.known_price),
                context_tokens=None if of_model is None else of_model.context_tokens,
                lacks=lacks_of(
                    pool,
                    adapter.unsupported,
                    {} if known is None else known.lacks,
                    {} if of_model is None else of_model.lacks,
                ),
            )
            said = None if pool.limits is None else pool.limits.adaptive
            spec = msgspec.structs.replace(
                spec,
                tariff=None if own is not None or offer is None else self.facts.tariff(pool.upstream, offer.id),
                account=self._account(name, account_name, pool),
                limits=rates_of(pool.limits),
                is_adaptive=said if said is not None else known is not None and known.is_adaptive,
                native=tuple(NATIVE[surface] for surface in adapter.native if surface in NATIVE),
            )
            target = CompiledTarget(
                target_id=target_id,
                pool=name,
                role="upstream",
                kind=kind,
                origin=parse_origin(base_url(pool, self.facts)),
                account=account_name,
                key=None if account is None else account.api_key,
                dialect=HostDialect() if known is None else _dialect(known),
                streams_whole=pool.stream_whole_answers,
                form=form_of(pool, adapter.form if known is None else known.form(adapter.form)),
            )
            self.targets[target_id] = (spec, target)
        return target_id

    def _account(self, pool_name: str, account_name: str, pool: UpstreamPool) -> str:
        name = f"{pool_name}/{account_name}"
        budgets = budgets_of(pool.budget)
        if budgets:
            self.accounts[name] = Shared(name=name, limits=Limits(budgets=budgets))
        return name

    def _surfaces_of(self, adapter: str) -> tuple[Surface, ...]:
        # The generic dialect could carry embeddings too, but most servers that nothing is known of have none.
        return _TEXT if adapter == GENERIC_UPSTREAM else self.facts.upstream(adapter).surfaces

    def _model_of(self, offer: Offer | None) -> ModelFacts | None:
        return None if offer is None else self.facts.model(offer.model)


def _spec(
    target_id: str,
    name: str,
    pool: Pool,
    *,
    slots: int | None,
    surfaces: tuple[Surface, ...],
    price: Price | None = None,
    context_tokens: int | None = None,
    lacks: tuple[Lack, ...] = (),
) -> TargetSpec:
    return TargetSpec(
        target_id=target_id,
        pool=name,
        is_local=is_local(pool),
        slots=slots,
        context_tokens=pool.context_tokens or context_tokens,
        surfaces=pool.surfaces or surfaces,
        lacks=lacks,
        prior=LatencyPrior() if pool.prior is None else prior_of(pool.prior),
        price=price or (None if pool.price is None else price_of(pool.price)),
        streams_whole=isinstance(pool, EnginePool) or pool.stream_whole_answers,
    )


def engine_weights(model: str | None, sha256: str | None) -> str:
    """Name an engine's weights by where they come from: pools with the same file have the same."""
    return "" if model is None else f"{model}#{sha256 or ''}"


def _engine_options(
    replica: str, name: str, pool: EnginePool, needs_model: bool, surfaces: tuple[Surface, ...]
) -> EngineOptions:
    return EngineOptions(
        name=replica,
        model=pool.model if needs_model else None,
        served_name=pool.served_name or name,
        max_batch_size=pool.max_batch_size,
        context_tokens=pool.context_tokens,
        threads=pool.threads,
        cache_ram_mib=pool.cache_ram // MIB,
        kv_cache_type=pool.kv_cache_type,
        gpu_layers=pool.gpu_layers,
        sha256=pool.sha256,
        load_timeout_s=float(pool.load_timeout),
        surfaces=surfaces,
        extra=pool.options,
    )


def _upstream_slots(pool: UpstreamPool, offer: Offer | None) -> int | None:
    named = pool.max_concurrency or (None if pool.limits is None else pool.limits.concurrency)
    return named or (None if offer is None else offer.max_concurrency)


def _limits_of_clients(policy: Policy) -> list[Limits | None]:
    return [*(client.limits for client in policy.clients), *(team.limits for team in policy.teams)]


def _require_prices(policy: Policy) -> None:
    """Raise ``ConfigError`` if a budget bears on a target whose tokens have no known price."""
    everywhere = any(_has_budget(limits) for limits in _limits_of_clients(policy))
    routed = {
        place.target_id
        for route in policy.routes
        if _has_budget(route.limits)
        for tier in route.tiers
        for place in tier
    }
    accounts = {account.name for account in policy.accounts}
    for spec in policy.targets:
        is_held = everywhere or spec.target_id in routed or spec.account in accounts
        if is_held and billing_price(spec) is None:
            raise Invalid(
                ("pools", spec.pool),
                f"the price of {spec.target_id} is not known, so no budget could be kept; write price or prices for "
                "it, or take the budget out",
            )


def _has_budget(limits: Limits | None) -> bool:
    return limits is not None and bool(limits.budgets)


def _own_price(pool: UpstreamPool, offer: Offer | None, model: str) -> Price | None:
    """Return the file's price of the model, else the file's of the pool, which hold at all times."""
    names = (model,) if offer is None else (model, offer.id, *offer.aliases)
    own = next((pool.prices[name] for name in names if name in pool.prices), pool.price)
    return None if own is None else price_of(own)


def _dialect(known: ProviderFacts) -> HostDialect:
    return HostDialect(
        auth=known.auth,
        headers=tuple((name.lower().encode(), value.encode()) for name, value in known.headers.items()),
        allowed_fields=frozenset(known.allowed_fields),
        key_expires=known.key_expires,
    )
