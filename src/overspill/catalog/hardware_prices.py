"""Reads what machines cost: rented by the hour (``instances.yaml``) or bought (``onprem.yaml``).

Every row is dated and names its source. A file of the user's has the same sections; its rows replace those of the same
name and add others, so that a quotation of one's own is one row.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from overspill.catalog.load import read_yaml
from overspill.catalog.rows import Confidence, Row
from overspill.errors import ConfigError, UnknownName

_FILES = ("instances.yaml", "onprem.yaml")
_TERM = re.compile(r"([1-9]\d?)([ym])")
_HOURS_A_YEAR = 8760.0
V = TypeVar("V")


class Fact(Row, frozen=True, kw_only=True):
    """A row with its date and source."""

    as_of: dt.date
    source: str
    confidence: Confidence = "seen"
    note: str = ""


class Instance(Fact, frozen=True, kw_only=True):
    """A machine that can be rented; prices in US dollars per hour for all of it, ``None`` if unknown."""

    name: str
    """``cloud/type``."""
    gpu: str
    gpus: int
    gpu_mem_gib: float
    region: str
    on_demand: float | None = None
    spot: tuple[float, float] | None = None
    """Lowest and highest of the zones that were seen."""
    reserved: dict[str, float] = msgspec.field(default_factory=dict)
    """Term (``1y``, ``3y``, ``6m``) → effective price per hour, paid all the time."""

    @property
    def memory_gib(self) -> float:
        """GPU memory of all GPUs."""
        return self.gpus * self.gpu_mem_gib


class SpotStatistics(Fact, frozen=True, kw_only=True):
    """How much of the time a spot machine can be had, and for how long."""

    gpus: int
    zones: int
    """In how many zones one looks for it."""
    availability: float
    mean_up_h: float


class Node(Fact, frozen=True, kw_only=True):
    """A machine to buy."""

    name: str
    gpu: str
    gpus: int
    gpu_mem_gib: float
    usd: float
    years: float
    kw_max: float
    kw_idle: float
    residual: float = 0.0
    support: float = 0.0

    @property
    def memory_gib(self) -> float:
        """GPU memory of all GPUs."""
        return self.gpus * self.gpu_mem_gib


class Site(Fact, frozen=True, kw_only=True):
    """Where bought machines stand."""

    name: str
    usd_per_kw_month: float
    """Rent, by the power that is kept ready."""
    has_power: bool
    """True if the rent pays for electricity too."""
    pue: float
    usd_per_kwh: float
    operations_usd_per_node_year: float


class Finance(Fact, frozen=True, kw_only=True):
    """What money, people and traffic cost."""

    cost_of_capital: float
    """A year, as a share."""
    staff_usd_per_year: float
    """For all machines together."""
    spare_share: float
    """Spare machines or parts, as a share of the machines' price."""
    egress_usd_per_gb: float
    bytes_per_output_token: float


class HardwarePrices(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    instances: tuple[Instance, ...]
    spot_statistics: tuple[SpotStatistics, ...]
    nodes: tuple[Node, ...]
    sites: tuple[Site, ...]
    finance: Finance

    def instance(self, name: str) -> Instance:
        """Return the machine to rent with this name; raise ``UnknownName`` if there is none."""
        return _found("instance", name, self.instances)

    def node(self, name: str) -> Node:
        """Return the machine to buy with this name; raise ``UnknownName`` if there is none."""
        return _found("machine to buy", name, self.nodes)

    def site(self, name: str) -> Site:
        """Return the place with this name; raise ``UnknownName`` if there is none."""
        return _found("site", name, self.sites)

    def spot(self, gpus: int, zones: int) -> SpotStatistics:
        """Return what was seen of machines of this size in that many zones, or the nearest that is no better."""
        size = min((row.gpus for row in self.spot_statistics if row.gpus >= gpus), default=None)
        rows = [row for row in self.spot_statistics if row.gpus == size and row.zones <= zones]
        if not rows:
            raise ConfigError(
                f"nothing is known of how often spot machines of {gpus} GPUs in {zones} zones can be had; add a row to "
                "spot_statistics in a file for --prices"
            )
        return max(rows, key=lambda row: row.zones)


def term_h(term: str) -> float:
    """Return the hours of a reserved term, ``1y`` or ``6m``; raise ``ValueError`` if it is none."""
    match = _TERM.fullmatch(term)
    if match is None:
        raise ValueError(f"{term!r} is no reserved term; write years or months, as in 1y or 6m")
    return int(match[1]) * _HOURS_A_YEAR / (1 if match[2] == "y" else 12)


class _Part(Row, frozen=True, kw_only=True):
    """One file: any of the sections."""

    schema: Literal[1] = 1
    instances: tuple[Instance, ...] = ()
    spot_statistics: tuple[SpotStatistics, ...] = ()
    nodes: tuple[Node, ...] = ()
    sites: tuple[Site, ...] = ()
    finance: Finance | None = None


def load_hardware_prices(files: Sequence[Path] = ()) -> HardwarePrices:
    """Read the shipped rows, then those of ``files`` over them; raise ``ConfigError`` for what cannot be used."""
    parts = [parse(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"), name) for name in _FILES]
    for file in files:
        try:
            parts.append(_named(parse(file.read_text(encoding="utf-8"), str(file)), file.name))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read these prices: {error}", file=str(file)) from error
    finance = next(part.finance for part in reversed(parts) if part.finance is not None)
    return HardwarePrices(
        instances=_over(*(part.instances for part in parts)),
        spot_statistics=tuple(row for part in reversed(parts) for row in part.spot_statistics),
        nodes=_over(*(part.nodes for part in parts)),
        sites=_over(*(part.sites for part in parts)),
        finance=finance,
    )


def parse(text: str, file: str) -> _Part:
    """Read one file of prices."""
    try:
        part = msgspec.convert(read_yaml(text, file) or {}, _Part)
    except msgspec.ValidationError as error:
        raise ConfigError(f"these prices cannot be read: {error}", file=file) from error
    _check(part, file)
    return part


def _named(part: _Part, name: str) -> _Part:
    """Let each row's source name the file that it stands in."""

    def named(row: V) -> V:
        return msgspec.structs.replace(row, source=f"{row.source}; {name}")  # type: ignore[attr-defined, type-var]

    return _Part(
        instances=tuple(named(row) for row in part.instances),
        spot_statistics=tuple(named(row) for row in part.spot_statistics),
        nodes=tuple(named(row) for row in part.nodes),
        sites=tuple(named(row) for row in part.sites),
        finance=None if part.finance is None else named(part.finance),
    )


def _check(part: _Part, file: str) -> None:
    for row in part.instances:
        for term in row.reserved:
            try:
                term_h(term)
            except ValueError as error:
                raise ConfigError(f"instance {row.name!r}: {error}", file=file) from None
        amounts = [row.on_demand, *(row.spot or ()), *row.reserved.values()]
        if row.gpus < 1 or any(amount is not None and amount <= 0 for amount in amounts):
            raise ConfigError(f"instance {row.name!r}: a price of 0 is unknown, never free; leave it out", file=file)
    for node in part.nodes:
        if node.usd < 0 or node.years <= 0 or not 0 <= node.residual < 1 or not 0 <= node.kw_idle <= node.kw_max:
            raise ConfigError(
                f"machine {node.name!r}: needs usd >= 0, years > 0, 0 <= residual < 1 and kw_idle <= kw_max", file=file
            )
    for statistics in part.spot_statistics:
        if not 0 < statistics.availability <= 1 or statistics.mean_up_h <= 0:
            raise ConfigError("spot_statistics: availability is a share above 0, mean_up_h above 0", file=file)


def _over(*layers: tuple[V, ...]) -> tuple[V, ...]:
    rows = {row.name: row for layer in layers for row in layer}  # type: ignore[attr-defined]
    return tuple(rows.values())


def _found(kind: str, name: str, rows: Sequence[V]) -> V:
    by_name = {row.name: row for row in rows}  # type: ignore[attr-defined]
    if name not in by_name:
        raise UnknownName(kind, name, by_name)
    return by_name[name]
