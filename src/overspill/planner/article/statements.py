"""What an article states, as it is written down in YAML."""

from __future__ import annotations

import datetime as dt
from importlib import resources
from pathlib import Path

import msgspec
import yaml

from overspill.errors import ConfigError

_BUNDLED = "deepseek_busy_2025.yaml"


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Figures with the words that they were taken from."""

    quote: str = ""


class ModelStatement(Statement, frozen=True, kw_only=True):
    """The model that is to be served."""

    params: float
    bits: float
    layers: int
    hidden: int
    source: str = ""


class MachineStatement(Statement, frozen=True, kw_only=True):
    """The machine that is recommended."""

    node: str
    """A machine to buy, by its name in the catalogue."""


class QuantisationStatement(Statement, frozen=True, kw_only=True):
    """What a smaller number format is said to save."""

    name: str
    bits: float
    stated_share: float
    """Of the original size."""
    code_backend: str = ""
    code_quote: str = ""


class RateStatement(Statement, frozen=True, kw_only=True):
    """A rented machine and its price."""

    platform: str
    name: str
    usd_per_hour: float
    readings: tuple[str, ...] = ()
    """Instances of the catalogue that the name can mean."""
    gpu: str = ""
    """Where the name says no more than the GPU."""
    gpu_mem_gib: float | None = None


class FormulaStatement(Statement, frozen=True, kw_only=True):
    """The formula of total cost."""

    electricity_has_power: bool
    has_residual: bool
    has_cost_of_capital: bool


class LocalStatement(Statement, frozen=True, kw_only=True):
    """What owning costs."""

    capex_usd: float
    years: float
    usd_per_year: float


class CloudStatement(Statement, frozen=True, kw_only=True):
    """What renting costs a year."""

    on_demand_usd_per_year: float
    reserved_usd_per_year: float | None = None


class BreakEvenStatement(Statement, frozen=True, kw_only=True):
    """From when on owning is cheaper."""

    hours: float
    days: float | None = None


class SpotStatement(Statement, frozen=True, kw_only=True):
    """What spot is said to save."""

    discount: float


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What such a machine was measured to do."""

    model: str
    output_tokens_per_s: float
    batch: int
    node: str
    source: str


class Article(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is checked of an article; ``None`` is not stated."""

    title: str
    date: dt.date
    model: ModelStatement | None = None
    machine: MachineStatement | None = None
    quantisation: QuantisationStatement | None = None
    rates: tuple[RateStatement, ...] = ()
    formula: FormulaStatement | None = None
    local: LocalStatement | None = None
    cloud: CloudStatement | None = None
    break_even: BreakEvenStatement | None = None
    spot: SpotStatement | None = None
    measured: Measured | None = None


def load_article(file: Path | None = None) -> Article:
    """Read an article's statements, the bundled ones if no file is given; raise ``ConfigError`` for what is none."""
    name = _BUNDLED if file is None else str(file)
    try:
        text = (resources.files(__package__) / _BUNDLED if file is None else file).read_text(encoding="utf-8")
        article = msgspec.convert(yaml.safe_load(text), Article)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"these statements of an article cannot be read: {error}", file=name) from error
    _check(article, name)
    return article


def _check(article: Article, name: str) -> None:
    figures: list[tuple[str, float]] = [(f"rates {rate.name}", rate.usd_per_hour) for rate in article.rates]
    if article.model is not None:
        figures += [("model.params", article.model.params), ("model.bits", article.model.bits)]
        figures += [("model.layers", article.model.layers), ("model.hidden", article.model.hidden)]
    if article.quantisation is not None:
        figures += [("quantisation.bits", article.quantisation.bits)]
        figures += [("quantisation.stated_share", article.quantisation.stated_share)]
    if article.local is not None:
        figures += [("local.capex_usd", article.local.capex_usd), ("local.years", article.local.years)]
        figures += [("local.usd_per_year", article.local.usd_per_year)]
    if article.cloud is not None:
        figures += [("cloud.on_demand_usd_per_year", article.cloud.on_demand_usd_per_year)]
    if article.break_even is not None:
        figures += [("break_even.hours", article.break_even.hours)]
        figures += [("break_even.days", 1.0 if article.break_even.days is None else article.break_even.days)]
    if article.measured is not None:
        figures += [("measured.output_tokens_per_s", article.measured.output_tokens_per_s)]
    for key, value in figures:
        if not value > 0:
            raise ConfigError(f"{key} must be above 0, not {value}", file=name)
