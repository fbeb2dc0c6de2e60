"""Says in words how requests will flow: for the start banner and for ``overspill config explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from overspill.config.allowance import Budget, Rates
from overspill.config.check import as_target, is_local, urls_of
from overspill.config.facts import Facts
from overspill.config.keys import keys_of, patterns_of
from overspill.config.schema import AttachPool, Config, EnginePool, Pool, RouteConfig, TierTarget, UpstreamPool
from overspill.config.screening import plan_of

_NOTHING = (
    "no model can be served: nothing to run and nowhere to send",
    "  install the built-in engine (pip install 'overspill[local]'), or start a local server such as Ollama,",
    "  or set a provider's key such as DEEPSEEK_API_KEY, or write a configuration (overspill config schema)",
)


def explain(config: Config, facts: Facts) -> tuple[str, ...]:
    """Return lines of text: for each route where its requests run, where they spill to, and when."""
    if not config.routes:
        return _NOTHING
    lines = [line for route in config.routes for line in _route(route, config, facts)]
    return (*lines, *_keys(config))


def describe_pool(name: str, pool: Pool, facts: Facts) -> str:
    """Return a pool in a few words: ``gpu: vllm at http://10.0.0.5:8000, local``."""
    match pool:
        case EnginePool():
            times = f"{pool.replicas} replicas of " if pool.replicas > 1 else ""
            model = "" if pool.model is None else f" with {pool.model}"
            what = f"{times}{pool.engine}{model}, {pool.max_batch_size} requests at once"
        case AttachPool():
            what = f"{pool.attach} at {', '.join(urls_of(pool))}"
        case UpstreamPool():
            known = facts.provider(pool.upstream)
            what = f"{known.title if known else pool.base_url}"
            if len(pool.accounts) > 1:
                what += f", {len(pool.accounts)} accounts"
        case _:
            assert_never(pool)
    return f"{name}: {what}, {'local' if is_local(pool) else 'leaves this network'}"


def _route(route: RouteConfig, config: Config, facts: Facts) -> Iterator[str]:
    yield f"model {', '.join(patterns_of(route))}"
    for number, tier in enumerate(route.tiers):
        verb = "runs on" if number == 0 else "spills to" if number == 1 else "then to"
        for index, item in enumerate(tier):
            joined = verb if index == 0 else "or"
            yield f"  {joined:<9} {_place(as_target(item), route, config, facts)}"
    if len(route.tiers) > 1:
        pace = "" if route.slo.tpot is None else f", others would come more than {route.slo.tpot.written()} apart"
        yield (
            f"  it spills when the first token would take longer than {route.slo.ttft.written()}{pace}, no slot frees "
            "soon enough, or the target fails before its first token"
        )
    for pattern in patterns_of(route):
        limited = config.limits.models.get(pattern)
        if limited is not None:
            whose = "together" if patterns_of(route) == (pattern,) else f"as {pattern} together"
            yield f"  all requests {whose}: {describe_limits(limited, limited.budget)}"
    plan = plan_of(config.screening, route.screening)
    if route.local_only:
        yield "  local only: it never leaves local pools"
    elif plan is not None:
        judged = "find" if plan.lets_unseen or plan.lets_failed else "find or cannot judge"
        yield f"  looked at first by {', '.join(plan.detectors)}: what they {judged} stays in local pools"
    if route.note:
        yield f"  note: {route.note}"


def _keys(config: Config) -> Iterator[str]:
    """Say who may use how much, where anybody is limited."""
    each = config.limits.each_key
    if each is not None and not config.server.api_keys and config.server.keys_file is None:
        yield f"all clients together: {describe_limits(each, each.budget)}"
    for key_id, entry in keys_of(config):
        rates, budget = entry.limits or each, entry.budget or (None if each is None else each.budget)
        said = [f"team {entry.team}"] if entry.team is not None else []
        said += [f"weight {entry.weight:g}"] if entry.weight != 1 else []
        said += ["local pools only"] if entry.local_only else []
        said += [f"models {', '.join(entry.models)}"] if entry.models else []
        said += [describe_limits(rates, budget)] if rates is not None or budget is not None else []
        if said:
            yield f"key {key_id}: {'; '.join(said)}"
    if config.server.keys_file is not None:
        rest = (
            ""
            if each is None
            else f", each held to {describe_limits(each, each.budget)} if it has no limits of its own"
        )
        yield f"keys of {config.server.keys_file}: `overspill keys list` shows them{rest}"
    for name, team in config.limits.teams.items():
        yield f"team {name}: {describe_limits(team, team.budget)}"


def describe_limits(rates: Rates | None, budget: Budget | None) -> str:
    """Put rates and budgets into words."""
    said: list[str] = []
    if rates is not None:
        amounts = (
            (rates.requests_per_minute, "requests per minute"),
            (rates.tokens_per_minute, "tokens per minute"),
            (rates.concurrency, "requests at once"),
        )
        said += [f"{amount} {what}" for amount, what in amounts if amount is not None]
    if budget is not None:
        amounts_usd = ((budget.hour, "hour"), (budget.day, "day"), (budget.month, "month"))
        said += [f"${usd:g} per {window}" for usd, window in amounts_usd if usd is not None]
    return ", ".join(said) or "no limits"


def _place(target: TierTarget, route: RouteConfig, config: Config, facts: Facts) -> str:
    shown = describe_pool(target.pool, config.pools[target.pool], facts)
    renamed = target.model is not None and patterns_of(route) != (target.model,)
    return f"{shown}, as {target.model}" if renamed else shown
