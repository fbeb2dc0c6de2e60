"""The options that describe a case, and the case that they make: a workload, what a unit carries, what is offered."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from overspill.catalog.hardware_prices import HardwarePrices, load_hardware_prices
from overspill.catalog.registry import load_catalog
from overspill.cli.numbers import Finite
from overspill.cli.plan.sized import SizedUnit, read_sized, sized_from
from overspill.core.cost import is_peak
from overspill.core.types import Price, Tariff
from overspill.errors import ConfigError, UnknownName
from overspill.gateway.places import config_dir
from overspill.planner.capacity_units import UnitCapacity
from overspill.planner.case import Case, Purchase, Rental, TokenOffer, build_case
from overspill.planner.demand import DemandSeries
from overspill.planner.workloads.reading import FORMATS, Workload, open_workload
from overspill.planner.workloads.rows import Options
from overspill.units import parse_duration_s

F = TypeVar("F", bound=Callable[..., Any])
_CARRIES = ("rps", "in", "out")
_PRICE = ("in", "out", "hit")
_DRAWN = ("servegen", "synthetic")
_SCALED = (*_DRAWN, "openai_usage", "rates")
"""Formats that take a factor of their own."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A case and what it was made from."""

    case: Case
    workload: Workload
    prices: HardwarePrices
    purchase: Purchase | None = None
    rental: Rental | None = None
    offer: TokenOffer | None = None
    sized: SizedUnit | None = None
    """What a unit carries, where it was sized."""

    @property
    def is_drawn(self) -> bool:
        """True if the requests themselves are not in the log."""
        return self.workload.format in _DRAWN


def duration_s(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:  # noqa: ARG001 - click's
    """Read a length of time, such as 10m."""
    if text is None:
        return None
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment_s(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:  # noqa: ARG001
    """Read a date or a time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time; write 2026-11-23 or 2026-11-23T08:00:00+08:00") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


_OPTIONS = (
    click.option("--workload", "-w", required=True, metavar="LOG", help="A log, bundled:NAME, rps=2,in=1200,out=300."),
    click.option("--format", "form", type=click.Choice(FORMATS), default="auto", help="What the log is.  [auto]"),
    click.option("--model", help="Only requests for this model, where the log names models."),
    click.option("--starts-at", callback=moment_s, help="When it begins, for logs that tell no date."),
    click.option("--window", default="10m", callback=duration_s, help="Windows that it is summed into.  [10m]"),
    click.option("--load", default=1.0, type=Finite(0.0001, 100_000), help="Multiplies the requests.  [1]"),
    click.option("--unit", metavar="RATES|FILE", help="in=9000,out=1800, rps=2, or plan size --json's."),
    click.option("--model-config", metavar="NAME|FILE", help="Instead: the model, for which a unit is sized here."),
    click.option("--gpu", help="To size it for.  [that of --own or --rent]"),
    click.option("--slo", default="ttft=2s,tpot=50ms", help="To size it for.  [ttft=2s,tpot=50ms]"),
    click.option("--precision", help="To size it for.  [checkpoint]"),
    click.option("--engine", default="vllm", help="To size it for.  [vllm]"),
    click.option("--observed", metavar="CSV", help="Measured rows that calibrate its size, as for plan predict."),
    click.option("--headroom", default=0.2, type=Finite(0, 0.9), help="Of a sized unit, kept for bursts.  [0.2]"),
    click.option("--own", metavar="NODE", help="A machine to buy, such as 8xH100."),
    click.option("--site", default="colocation", help="Where it stands.  [colocation]"),
    click.option("--rent", metavar="INSTANCE", help="A machine to rent, such as nebius/gpu-h200-sxm_8gpu."),
    click.option("--machines", default=1.0, type=Finite(0.001, 1000), help="Machines that make a unit.  [1]"),
    click.option("--reserved", multiple=True, metavar="TERM=USD", help="Price per hour of a reserved term: 1y=14.20."),
    click.option("--spot-zones", type=click.IntRange(1, 100), help="Also take spot machines, sought in as many zones."),
    click.option("--start", default="390s", callback=duration_s, help="How long a rented machine starts.  [390s]"),
    click.option("--tokens", metavar="PROVIDER/MODEL", help="Tokens to buy, at the catalogue's prices and tariffs."),
    click.option("--token-price", metavar="PRICES", help="Or by million tokens: in=0.28,out=0.40,hit=0.03."),
    click.option("--capex", type=Finite(0), help="Price of the machine to buy, instead of the catalogue's."),
    click.option("--staff", type=Finite(0), help="$ a year for people, for all own machines together.  [0]"),
    click.option("--cost-of-capital", type=Finite(0, 1), help="A year, as a share.  [0.08]"),
    click.option("--prices", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Rows over ours."),
    click.option("--divisible", is_flag=True, help="Let units be of any size: the textbook's bound, and no plan."),
    click.option("--seed", default=1, help="Of what is drawn.  [1]"),
)  # fmt: skip


def case_options(command: F) -> F:
    """Add the options that describe a case."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ask(console: Console, **given: Any) -> Asked:
    """Make the case that the options describe; progress is shown where somebody watches."""
    prices = _with_own(load_hardware_prices([Path(file) for file in given["prices"]]), given)
    options = Options(
        model=given["model"], seed=given["seed"], starts_at_unix_s=given["starts_at"], rate_factor=given["load"]
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"reading {given['workload']}", total=1.0)
        workload = open_workload(
            given["workload"], given["form"], options, lambda part: progress.update(task, completed=part)
        )
        demand = workload.demand(given["window"])
    if given["load"] != 1 and workload.format not in _SCALED:
        demand = demand.scaled(given["load"])
    purchase, rental = _purchase(given, prices), _rental(given, prices)
    offer = _offer(given)
    notes: tuple[str, ...] = ()
    sized = _sized(given, workload, demand, purchase, rental)
    if sized is not None:
        notes = sized.notes(*_mean_lengths(demand))
        if purchase is not None:
            purchase = msgspec.structs.replace(purchase, machines=sized.machines(purchase.node.gpus))
        if rental is not None:
            rental = msgspec.structs.replace(rental, machines=sized.machines(rental.instance.gpus))
    case = build_case(
        demand,
        _capacity(given["unit"]) if sized is None else sized.capacity,
        prices.finance,
        purchase=purchase,
        rental=rental,
        offer=offer,
        is_divisible=given["divisible"],
    )
    case = msgspec.structs.replace(case, notes=(*case.notes, *notes))
    return Asked(
        case=case, workload=workload, prices=prices, purchase=purchase, rental=rental, offer=offer, sized=sized
    )


def _sized(
    given: dict[str, Any],
    workload: Workload,
    demand: DemandSeries,
    purchase: Purchase | None,
    rental: Rental | None,
) -> SizedUnit | None:
    """Return the unit that was sized before or is sized here, or ``None`` where rates are given instead."""
    unit, model = given["unit"], given["model_config"]
    if (unit is None) == (model is None):
        raise click.UsageError(
            "say what a unit carries: --unit RATES or size.json; or --model-config NAME, which sizes it here"
        )
    if unit is not None and Path(unit).suffix != ".json":
        return None
    gpus = [purchase.node.gpus] if purchase is not None else []
    gpus += [rental.instance.gpus] if rental is not None else []
    kinds = {purchase.node.gpu} if purchase is not None else set()
    kinds |= {rental.instance.gpu} if rental is not None else set()
    if len(kinds) > 1:
        raise click.UsageError(
            f"{' and '.join(sorted(kinds))} carry different loads, so they make no equal units; plan with one at a time"
        )
    kind = given["gpu"] or next(iter(kinds), None)
    if unit is not None:
        return read_sized(Path(unit), kind, gpus, given["headroom"])
    if kind is None:
        raise click.UsageError("--model-config needs to know the GPU: give --gpu, --own or --rent")
    from overspill.cli.plan.self_sized import size_for

    return sized_from(size_for(given, workload, demand, kind), kind, gpus, given["headroom"], "plan size")


def _mean_lengths(demand: DemandSeries) -> tuple[float, float]:
    count = sum(demand.requests) or 1.0
    return sum(demand.prompt_tokens) / count, sum(demand.output_tokens) / count


def _capacity(text: str) -> UnitCapacity:
    rates = _numbers(text, _CARRIES, "--unit")
    capacity = UnitCapacity(
        requests_per_s=rates.get("rps"),
        prompt_tokens_per_s=rates.get("in"),
        output_tokens_per_s=rates.get("out"),
        source=f"--unit {text}",
    )
    capacity.check()
    return capacity


def _with_own(prices: HardwarePrices, given: dict[str, Any]) -> HardwarePrices:
    finance = prices.finance
    if given["staff"] is not None:
        finance = msgspec.structs.replace(finance, staff_usd_per_year=given["staff"])
    if given["cost_of_capital"] is not None:
        finance = msgspec.structs.replace(finance, cost_of_capital=given["cost_of_capital"])
    return msgspec.structs.replace(prices, finance=finance)


def _purchase(given: dict[str, Any], prices: HardwarePrices) -> Purchase | None:
    if given["own"] is None:
        return None
    node = prices.node(given["own"])
    if given["capex"] is not None:
        node = msgspec.structs.replace(node, usd=given["capex"], source=f"--capex {given['capex']:g}; {node.source}")
    return Purchase(node=node, site=prices.site(given["site"]), machines=given["machines"])


def _rental(given: dict[str, Any], prices: HardwarePrices) -> Rental | None:
    if given["rent"] is None:
        if given["reserved"] or given["spot_zones"]:
            raise click.UsageError("--reserved and --spot-zones need --rent INSTANCE")
        return None
    instance = prices.instance(given["rent"])
    terms = dict(instance.reserved)
    for text in given["reserved"]:
        term, _, amount = text.partition("=")
        terms[term.strip()] = _number(amount, f"--reserved {text}", "1y=14.20")
    zones = given["spot_zones"]
    return Rental(
        instance=msgspec.structs.replace(instance, reserved=terms),
        machines=given["machines"],
        spot_statistics=None if zones is None else prices.spot(instance.gpus, zones),
        start_h=given["start"] / 3600,
    )


def _offer(given: dict[str, Any]) -> TokenOffer | None:
    if given["token_price"] is not None:
        if given["tokens"] is not None:
            raise click.UsageError("give either --tokens or --token-price")
        numbers = _numbers(given["token_price"], _PRICE, "--token-price")
        if not {"in", "out"} <= set(numbers):
            raise click.UsageError("--token-price needs in= and out=, in $ by million tokens")
        price = Price(
            input_usd_per_mtok=numbers["in"],
            output_usd_per_mtok=numbers["out"],
            cached_input_usd_per_mtok=numbers.get("hit"),
        )
        return TokenOffer(name="given", price_at=lambda _: price, source=f"--token-price {given['token_price']}")
    return None if given["tokens"] is None else _catalogue_offer(given["tokens"])


def _catalogue_offer(name: str) -> TokenOffer:
    catalog = load_catalog(config_dir(os.environ))
    provider_name, _, model = name.partition("/")
    provider = catalog.provider(provider_name)
    if provider is None:
        raise UnknownName("provider", provider_name, [row.name for row in catalog.providers])
    offer = provider.offer(model)
    if offer is None:
        raise UnknownName(f"model of {provider_name}", model, [row.id for row in provider.models])
    price = offer.known_price
    if price is None:
        raise ConfigError(f"the price of {name} is unknown, which is never free; give one with --token-price")
    tariff = catalog.tariff(provider_name, model)
    return TokenOffer(
        name=name,
        price_at=_price_at(price, tariff),
        source=f"{name}: {offer.source or provider.source} ({offer.as_of or provider.as_of})",
        as_of=offer.as_of or provider.as_of,
        tariff=None if tariff is None else next(row for row in catalog.tariffs if row.name == provider.tariff),
    )


def _price_at(price: Price, tariff: Tariff | None) -> Callable[[float | None], Price | None]:
    def at(unix_s: float | None) -> Price | None:
        if tariff is None or unix_s is None or is_peak(tariff, unix_s):
            return price
        return tariff.off_peak

    return at


def _numbers(text: str, keys: tuple[str, ...], option: str) -> dict[str, float]:
    found = {}
    for part in text.split(","):
        key, _, number = (piece.strip() for piece in part.partition("="))
        if key not in keys:
            raise click.UsageError(str(UnknownName(f"number of {option}", key, keys)))
        found[key] = _number(number, f"{option} {text}", f"{key}=2")
    return found


def _number(text: str, where: str, example: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise click.UsageError(f"{where}: {text.strip()!r} must be a number above 0, as in {example}")
    return value
