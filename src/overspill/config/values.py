"""Sections of the configuration as values of the core: the same facts, with units and defaults settled."""

from __future__ import annotations

from overspill.config.allowance import Budget as BudgetConfig
from overspill.config.allowance import Rates, UpstreamRates
from overspill.config.keys import keys_of
from overspill.config.scheduling import BreakerConfig, RetryConfig
from overspill.config.schema import Config, PriceConfig, PriorConfig, RouteConfig
from overspill.core.types import (
    BreakerPolicy,
    Budget,
    Client,
    LatencyPrior,
    Limits,
    Patience,
    Price,
    RetryPolicy,
    Shared,
    Window,
)


def price_of(price: PriceConfig) -> Price:
    """Return a pool's price of its tokens."""
    return Price(
        input_usd_per_mtok=price.input,
        output_usd_per_mtok=price.output,
        cached_input_usd_per_mtok=price.cached_input,
    )


def prior_of(prior: PriorConfig) -> LatencyPrior:
    """Return what is believed of a pool's speed at first."""
    return LatencyPrior(
        ttft_base_s=float(prior.ttft_base),
        prefill_s_per_token=float(prior.prefill_per_token or 0.0),
        tpot_base_s=float(prior.tpot_base),
        tpot_s_per_running=float(prior.tpot_per_running or 0.0),
    )


def retry_of(retry: RetryConfig) -> RetryPolicy:
    """Return the retry budget."""
    return RetryPolicy(share=retry.share, min_per_s=retry.min_per_s, window_s=float(retry.window))


def patience_of(route: RouteConfig) -> Patience:
    """Return how long a route's attempts may go without progress."""
    return Patience(
        first_token_s=float(route.first_token_timeout),
        stall_s=float(route.stall_timeout),
        floor_tokens_per_s=route.floor_tokens_per_s,
        whole_s=float(route.whole_timeout),
    )


def breaker_of(breaker: BreakerConfig) -> BreakerPolicy:
    """Return when targets are given a rest."""
    return BreakerPolicy(
        window_s=float(breaker.window),
        min_count=breaker.min_count,
        failure_rate=breaker.failure_rate,
        open_s=float(breaker.open),
        open_max_s=float(breaker.open_max),
        cooldown_s=float(breaker.cooldown),
        no_money_s=float(breaker.no_money),
        bad_key_s=float(breaker.bad_key),
        no_model_s=float(breaker.no_model),
    )


def clients_of(config: Config) -> tuple[Client, ...]:
    """Return the keys that are more than keys; without keys, everybody, if that is limited."""
    each = config.limits.each_key
    if not config.server.api_keys and config.server.keys_file is None:
        limits = None if each is None else limits_of(each, each.budget)
        return () if limits is None else (Client(key_id="", limits=limits),)
    clients: list[Client] = []
    for key_id, entry in keys_of(config):
        rates = each if entry.limits is None else entry.limits
        budget = (None if each is None else each.budget) if entry.budget is None else entry.budget
        client = Client(
            key_id=key_id,
            team=entry.team or "",
            weight=entry.weight,
            local_only=entry.local_only,
            models=entry.models,
            limits=limits_of(rates, budget),
        )
        if client != Client(key_id=key_id):
            clients.append(client)
    return tuple(clients)


def teams_of(config: Config) -> tuple[Shared, ...]:
    """Return the teams that are limited."""
    limited = ((name, limits_of(team, team.budget)) for name, team in config.limits.teams.items())
    return tuple(Shared(name=name, limits=limits) for name, limits in limited if limits is not None)


def limits_of(rates: Rates | None, budget: BudgetConfig | None) -> Limits | None:
    """Return limits, or ``None`` if nothing is limited."""
    limits = Limits(budgets=budgets_of(budget))
    if rates is not None:
        limits = Limits(
            requests_per_minute=rates.requests_per_minute,
            tokens_per_minute=rates.tokens_per_minute,
            burst_s=float(rates.burst),
            concurrency=rates.concurrency,
            budgets=limits.budgets,
        )
    is_limited = limits.requests_per_minute or limits.tokens_per_minute or limits.concurrency or limits.budgets
    return limits if is_limited else None


def rates_of(rates: UpstreamRates | None) -> Limits | None:
    """Return a host's rates, or ``None`` if it has none; requests in flight are slots and no rate."""
    if rates is None or (rates.requests_per_minute is None and rates.tokens_per_minute is None):
        return None
    return Limits(
        requests_per_minute=rates.requests_per_minute,
        tokens_per_minute=rates.tokens_per_minute,
        burst_s=float(rates.burst),
    )


def budgets_of(budget: BudgetConfig | None) -> tuple[Budget, ...]:
    """Return the budget of each window that has one."""
    if budget is None:
        return ()
    amounts = ((Window.HOUR, budget.hour), (Window.DAY, budget.day), (Window.MONTH, budget.month))
    return tuple(Budget(usd=usd, window=window) for window, usd in amounts if usd is not None)
