"""Sections of the configuration as values of the core: the same facts, with units and defaults settled."""

from __future__ import annotations

from overspill.config.schema import BreakerConfig, PriceConfig, PriorConfig, RetryConfig, RouteConfig
from overspill.core.types import BreakerPolicy, LatencyPrior, Patience, Price, RetryPolicy


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
