"""What an attempt cost, from its token counts and the target's price at the time when it started.

Called when an attempt ends, by the controller for budgets and by the driver for the ledger. Three kinds of answer are
kept apart: 0.0 (it costs nothing by the token), an amount, and ``None`` (unknown). Unknown is never shown or summed as
free.
"""

from __future__ import annotations

from bisect import bisect_right

from overspill.core.types import Price, Surface, TargetSpec, Tariff

_MTOK = 1e6
_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S
_THURSDAY_S = 3 * _DAY_S
"""Where in a week that begins on Monday the first of January 1970 began."""


class PeakHours:
    """When the dearer price of a tariff holds."""

    __slots__ = ("_days_off", "_edges", "_utc_offset_s")

    def __init__(self, tariff: Tariff) -> None:
        self._days_off = frozenset(tariff.off_peak_days)
        self._edges = [edge for window in tariff.peak_s for edge in window]
        self._utc_offset_s = tariff.utc_offset_s

    def hold_at(self, unix_s: float) -> bool:
        """Tell whether the dearer price holds at a time."""
        local_s = unix_s + self._utc_offset_s
        if local_s // _DAY_S in self._days_off:
            return False
        # Behind an odd number of edges is within a window.
        return bisect_right(self._edges, (local_s + _THURSDAY_S) % _WEEK_S) % 2 == 1


class Billing:
    """What a target's tokens are billed at, by the time of day; made once per target."""

    __slots__ = ("_off_peak", "_peak", "dearest")

    def __init__(self, spec: TargetSpec) -> None:
        self.dearest = billing_price(spec)
        """What to reckon with where the time is not known yet, or where it is enough that no bill is higher."""
        self._peak = None if spec.tariff is None else PeakHours(spec.tariff)
        self._off_peak = None if spec.tariff is None else _sound(spec.tariff.off_peak, spec)

    def at(self, unix_s: float | None) -> Price | None:
        """Return the price of a request that starts then, or ``None`` if it is unknown."""
        peak = self._peak
        if peak is None or unix_s is None or self._off_peak is None or peak.hold_at(unix_s):
            return self.dearest
        return self._off_peak


def is_peak(tariff: Tariff, unix_s: float) -> bool:
    """Tell whether the dearer price of a tariff holds at a time."""
    return PeakHours(tariff).hold_at(unix_s)


def billing_price(spec: TargetSpec) -> Price | None:
    """Return the price to bill a target's tokens at, or ``None`` if it is unknown; work it out once per target.

    A local target without a price costs 0.0 by the token: it is owned, and a request more does not change what is
    paid for it. Energy and depreciation are not in the ledger's cost. A local target that is rented by the token, or
    charged for inside a company, has a price and is billed at it.

    For any other target a price of 0 is what public tables print for "unknown". So a zero input price makes the
    price unknown, and so does a zero output price unless the target makes embeddings only, which have no output. A
    zero price for cached input means that no discount is known.
    """
    if spec.is_local and spec.price is None:
        return Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)
    return _sound(spec.price, spec)


def _sound(price: Price | None, spec: TargetSpec) -> Price | None:
    if spec.is_local:
        return price
    if price is None or price.input_usd_per_mtok <= 0.0:
        return None
    if price.output_usd_per_mtok <= 0.0 and set(spec.surfaces) != {Surface.EMBEDDINGS}:
        return None
    if price.cached_input_usd_per_mtok == 0.0:
        return Price(input_usd_per_mtok=price.input_usd_per_mtok, output_usd_per_mtok=price.output_usd_per_mtok)
    return price


def cost_usd(
    price: Price | None,
    prompt_tokens: int | None,
    cached_tokens: int | None,
    output_tokens: int | None,
) -> float | None:
    """Return what these tokens cost in US dollars, or ``None`` if the price or a count that it needs is unknown.

    ``prompt_tokens`` includes ``cached_tokens``, as the providers report them. Cached tokens that were not reported,
    or that have no price of their own, are billed as fresh input, so the amount is an upper bound there.
    ``price`` comes from ``billing_price``, or from ``Billing.at``.
    """
    if price is None:
        return None
    input_usd = _input_usd(price, prompt_tokens, cached_tokens)
    if input_usd is None:
        return None
    if not price.output_usd_per_mtok:
        return input_usd
    if output_tokens is None:
        return None
    return input_usd + output_tokens * price.output_usd_per_mtok / _MTOK


def _input_usd(price: Price, prompt_tokens: int | None, cached_tokens: int | None) -> float | None:
    fresh = price.input_usd_per_mtok
    cached = price.cached_input_usd_per_mtok
    if not fresh and not cached:
        return 0.0
    if prompt_tokens is None:
        return None
    if cached is None or not cached_tokens:
        return prompt_tokens * fresh / _MTOK
    hits = min(cached_tokens, prompt_tokens)
    return ((prompt_tokens - hits) * fresh + hits * cached) / _MTOK
