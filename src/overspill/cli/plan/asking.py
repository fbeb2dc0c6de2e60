"""The options that describe a case, and the case that they make: a workload, what a unit carries, what is offered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console

from overspill.catalog.hardware_prices import Finance, HardwarePrices, load_hardware_prices
from overspill.cli.numbers import Finite
from overspill.cli.plan.offering import numbers, offer_of, purchase_of, rental_of
from overspill.cli.plan.sized import SizedUnit, read_sized, sized_from
from overspill.cli.plan.watching import bar
from overspill.planner.capacity_units import UnitCapacity
from overspill.planner.case import Case, Purchase, Rental, TokenOffer, build_case
from overspill.planner.demand import DemandSeries
from overspill.planner.remarks import Remark, length_zh
from overspill.planner.workloads.reading import FORMATS, Workload, open_workload
from overspill.planner.workloads.rows import Options
from overspill.units import format_duration, parse_duration_s

F = TypeVar("F", bound=Callable[..., Any])
_CARRIES = ("rps", "in", "out")
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


def window_s(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Read the length of a window, which is a second at least."""
    length_s = duration_s(ctx, param, text)
    if length_s is not None and not length_s >= 1:
        raise click.BadParameter(f"{text!r} is shorter than a second, in which nothing can be planned")
    return length_s


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
    click.option("--window", default="10m", callback=window_s, help="Windows that it is summed into.  [10m]"),
    click.option("--load", default=1.0, type=Finite(0.0001, 100_000), help="Multiplies the requests.  [1]"),
    click.option("--unit", metavar="RATES|FILE", help="in=9000,out=1800, rps=2, or plan size --json's."),
    click.option("--model-config", metavar="NAME|FILE", help="Instead: the model, for which a unit is sized here."),
    click.option("--gpu", help="To size it for.  [that of --own or --rent]"),
    click.option("--gpus", metavar="YAML", help="A catalogue of GPUs of your own, to size it with."),
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
    _refuse_idle(given)
    prices = _with_own(load_hardware_prices([Path(file) for file in given["prices"]]), given)
    options = Options(
        model=given["model"], seed=given["seed"], starts_at_unix_s=given["starts_at"], rate_factor=given["load"]
    )
    purchase, rental, offer = purchase_of(given, prices), rental_of(given, prices), offer_of(given)
    with bar(console, f"reading {given['workload']}") as progress:
        workload = open_workload(given["workload"], given["form"], options, progress)
        demand = workload.demand(given["window"])
    if given["load"] != 1 and workload.format not in _SCALED:
        demand = demand.scaled(given["load"])
    notes = _length_notes(demand, given, workload)
    with contextlib.nullcontext() if given["model_config"] is None else bar(console, "sizing a unit"):
        sized = _sized(given, workload, demand, purchase, rental)
    if sized is not None:
        notes += sized.notes(*_mean_lengths(demand))
        if purchase is not None:
            purchase = msgspec.structs.replace(purchase, machines=sized.machines(purchase.node.gpus))
        if rental is not None:
            rental = msgspec.structs.replace(rental, machines=sized.machines(rental.instance.gpus))
    case = build_case(
        demand,
        _capacity(given["unit"]) if sized is None else sized.capacity,
        _cited(prices.finance, given),
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
    if unit is not None and not _is_file(unit):
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
    rates = numbers(text, _CARRIES, "--unit")
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
    for option, name in (("staff", "staff_usd_per_year"), ("cost_of_capital", "cost_of_capital")):
        if given[option] is not None:
            finance = msgspec.structs.replace(finance, **{name: given[option]})
    return msgspec.structs.replace(prices, finance=finance)


def _cited(finance: Finance, given: dict[str, Any]) -> Finance:
    """Let the costs of capital cite the option that set its rate."""
    rate = given["cost_of_capital"]
    if rate is None:
        return finance
    return msgspec.structs.replace(finance, source=f"--cost-of-capital {rate:g}; {finance.source}")


_NEEDS: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (("site", "capex", "staff", "cost_of_capital"), "a machine to buy: add --own NODE", ("own",)),
    (("reserved", "spot_zones", "start"), "a machine to rent: add --rent INSTANCE", ("rent",)),
    (("machines",), "a machine: add --own NODE or --rent INSTANCE", ("own", "rent")),
    (("slo", "precision", "engine", "observed", "gpus"), "a model to size here: add --model-config", ("model_config",)),
)
"""Options that say more of another one, which one that is, and any of which must be there."""


def _refuse_idle(given: dict[str, Any]) -> None:
    """Refuse options that would do nothing, rather than pass over them in silence."""
    for names, what, needed in _NEEDS:
        idle = [name for name in names if _is_given(name)]
        if idle and all(given[other] is None for other in needed):
            raise click.UsageError(f"{_options(idle)} says more of {what}")
    is_sized = given["model_config"] is not None or _is_file(given["unit"])
    if is_sized and _is_given("machines"):
        raise click.UsageError("--machines is for units whose rates are given; a sized unit says itself what makes it")
    if not is_sized and (idle := [name for name in ("gpu", "headroom") if _is_given(name)]):
        raise click.UsageError(f"{_options(idle)} is for units that are sized: --model-config, or --unit size.json")


def _options(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _is_given(name: str) -> bool:
    found = click.get_current_context().get_parameter_source(name)
    return found not in {None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP}


def _is_file(unit: str | None) -> bool:
    return unit is not None and Path(unit).suffix == ".json"


def _length_notes(demand: DemandSeries, given: dict[str, Any], workload: Workload) -> tuple[Remark, ...]:
    """Return what to say of a log that is shorter than a window, or has dates of its own."""
    notes = []
    if demand.window_s < given["window"]:
        asked_s, is_s = given["window"], demand.window_s
        notes.append(
            Remark(
                f"the log is shorter than a window of {format_duration(asked_s)}: it counts as one of "
                f"{format_duration(is_s)}",
                f"日志不足一个 {length_zh(asked_s)}的窗口：按一个 {length_zh(is_s)}的窗口计算",
            )
        )
    if given["starts_at"] is not None and workload.starts_at_unix_s != given["starts_at"]:
        notes.append(Remark("--starts-at is not used: the log has dates", "未使用 --starts-at：日志自带日期"))
    return tuple(notes)
