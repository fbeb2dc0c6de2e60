"""Reads the catalogue of providers and models: the facts that a configuration may leave out.

Read once at start and at reload, never on the path of a request. The configuration takes the result as an argument;
this module knows nothing of it. The shipped rows are in several files of one form; they are read as one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from importlib import resources
from pathlib import PurePath
from typing import Any, Literal

import msgspec
import yaml

from overspill.catalog.identity import Identity, Names
from overspill.catalog.rows import (
    CalendarRow,
    CurrencyRow,
    KnownModel,
    OfferedModel,
    Provider,
    Row,
    TariffRow,
    TokenPrice,
)
from overspill.catalog.tariffs import compile_tariff, read_peak, read_utc_offset
from overspill.core.types import Tariff
from overspill.errors import ConfigError

_FOLDER = "registry"


class CatalogFile(Row, frozen=True, kw_only=True):
    """One file of rows; the shipped ones, a newer one and a user's own have this form."""

    schema: Literal[2]
    as_of: dt.date | None = None
    models: tuple[KnownModel, ...] = ()
    providers: tuple[Provider, ...] = ()
    tariffs: tuple[TariffRow, ...] = ()
    calendars: tuple[CalendarRow, ...] = ()
    currencies: tuple[CurrencyRow, ...] = ()


class Catalog:
    """All providers and models known, and when and what their prices are. Immutable by convention."""

    def __init__(self, rows: CatalogFile, file: str) -> None:
        """Put rows together; raise ``ConfigError`` that names ``file`` if they contradict each other."""
        _check(rows, file)
        self.models = rows.models
        self.tariffs = rows.tariffs
        self.calendars = rows.calendars
        self.currencies = rows.currencies
        self.usd_per = {row.code: row.usd for row in rows.currencies}
        self.providers = tuple(self._in_dollars(provider) for provider in rows.providers)
        self.as_of = max((row.as_of for row in rows.providers), default=dt.date.min)
        self._names = Names(self.models)
        self._tariffs = {row.name: compile_tariff(row, self.calendars) for row in self.tariffs}

    def provider(self, name: str) -> Provider | None:
        """Return the provider called ``name``, or ``None``."""
        return next((provider for provider in self.providers if provider.name == name), None)

    def model(self, name: str) -> KnownModel | None:
        """Return the model whose own name is ``name``, or ``None``."""
        return next((model for model in self.models if model.name == name), None)

    def identify(self, provider: str | None, name: str) -> Identity:
        """Say which model is called ``name`` at a provider, or anywhere else; its fields are ``None`` if unknown."""
        row = None if provider is None else self.provider(provider)
        offer = None if row is None else row.offer(name)
        if offer is None:
            return self._names.identify(name)
        return self._names.of_model(offer.model, offer.quantization)

    def tariff(self, provider: str, model: str) -> Tariff | None:
        """Return when a model is cheaper at a provider, or ``None`` if it costs the same all day."""
        row = self.provider(provider)
        offer = None if row is None else row.offer(model)
        off_peak = None if offer is None else offer.known_off_peak
        if row is None or row.tariff is None or off_peak is None:
            return None
        return msgspec.structs.replace(self._tariffs[row.tariff], off_peak=off_peak)

    def _in_dollars(self, provider: Provider) -> Provider:
        offers = tuple(_in_dollars(offer, self.usd_per) for offer in provider.models)
        return provider if offers == provider.models else msgspec.structs.replace(provider, models=offers)


def _in_dollars(offer: OfferedModel, usd_per: dict[str, float]) -> OfferedModel:
    for field in ("price", "off_peak"):
        listed: TokenPrice | None = getattr(offer, field)
        if listed is not None and listed.currency != "USD":
            price = listed.in_dollars(usd_per[listed.currency])
            offer = msgspec.structs.replace(offer, **{field: price})
    return offer


def shipped() -> CatalogFile:
    """Read the rows that are shipped with Overspill."""
    folder = resources.files(__package__).joinpath(_FOLDER)
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return join(parse(folder.joinpath(name).read_text(encoding="utf-8"), name) for name in files)


def load() -> Catalog:
    """Read the catalogue that is shipped with Overspill, as it is."""
    return Catalog(shipped(), f"{_FOLDER}/")


def join(files: Iterable[CatalogFile]) -> CatalogFile:
    """Return the rows of all files as one."""
    every = tuple(files)
    return CatalogFile(
        schema=2,
        models=tuple(row for file in every for row in file.models),
        providers=tuple(row for file in every for row in file.providers),
        tariffs=tuple(row for file in every for row in file.tariffs),
        calendars=tuple(row for file in every for row in file.calendars),
        currencies=tuple(row for file in every for row in file.currencies),
    )


def parse(text: str | bytes, file: str) -> CatalogFile:
    """Read one file; raise ``ConfigError`` if it is malformed. Whether it fits others is seen by ``Catalog``."""
    return convert(read_yaml(text, file), file)


def read_yaml(text: str | bytes, file: str) -> Any:
    """Read YAML as plain values; raise ``ConfigError`` if it is none."""
    try:
        # The C loader reads the files ten times faster; PyYAML's wheels have it, a source build may not.
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"it is no YAML: {error}", file=file) from error


def convert(value: Any, file: str) -> CatalogFile:
    """Read plain values as rows; raise ``ConfigError`` that names the row and the field that are wrong."""
    try:
        return msgspec.convert(value, CatalogFile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{_place(str(error), value)}", file=file) from error


def _place(message: str, value: Any) -> str:
    """Say ``providers: deepseek`` where msgspec says ``$.providers[0]``: rows are known by name, not by number."""
    said, _, path = message.rpartition(" - at `$.")
    section, _, rest = path.rstrip("`").partition("[")
    number, _, field = rest.partition("]")
    try:
        row = value[section][int(number)]
        return f"{section}: {row.get('name') or row.get('code')}: {said}{f' (at {field[1:]})' if field else ''}"
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        return f"the catalogue of providers cannot be read: {message}"


def _check(rows: CatalogFile, file: str) -> None:
    for problem in (*_doubles(rows), *_models(rows), *_providers(rows), *_tariffs(rows)):
        raise ConfigError(problem, file=file)


def _doubles(rows: CatalogFile) -> Iterable[str]:
    for what, names in (
        ("model", [row.name for row in rows.models]),
        ("provider", [row.name for row in rows.providers]),
        ("tariff", [row.name for row in rows.tariffs]),
        ("calendar", [f"{row.name} {row.year}" for row in rows.calendars]),
        ("currency", [row.code for row in rows.currencies]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield f"{what} {name!r} is listed twice"


def _models(rows: CatalogFile) -> Iterable[str]:
    names = {model.name for model in rows.models}
    for model in rows.models:
        for version in model.versions:
            if version not in names:
                yield f"model {model.name!r} names the version {version!r}, which is not listed"


def _providers(rows: CatalogFile) -> Iterable[str]:
    names = {model.name for model in rows.models}
    tariffs = {tariff.name for tariff in rows.tariffs}
    currencies = {"USD", *(row.code for row in rows.currencies)}
    for provider in rows.providers:
        if PurePath(provider.name).name != provider.name:
            yield f"provider {provider.name!r} has a name that cannot be that of a pool"
        if provider.tariff is not None and provider.tariff not in tariffs:
            yield f"provider {provider.name!r} has the tariff {provider.tariff!r}, which is not listed"
        ids: set[str] = set()
        for offer in provider.models:
            if offer.id in ids:
                yield f"provider {provider.name!r} lists the model {offer.id!r} twice"
            ids.add(offer.id)
            if offer.model not in names:
                yield f"provider {provider.name!r} offers {offer.id!r} as {offer.model!r}, which is not listed"
            if offer.off_peak is not None and provider.tariff is None:
                yield f"provider {provider.name!r} has an off-peak price for {offer.id!r} but no tariff"
            for price in (offer.price, offer.off_peak):
                if price is not None and price.currency not in currencies:
                    yield f"the price of {offer.id!r} at {provider.name!r} is in {price.currency}, which is not listed"


def _tariffs(rows: CatalogFile) -> Iterable[str]:
    calendars = {row.name for row in rows.calendars}
    for tariff in rows.tariffs:
        if tariff.calendar is not None and tariff.calendar not in calendars:
            yield f"tariff {tariff.name!r} follows the calendar {tariff.calendar!r}, which is not listed"
        try:
            read_utc_offset(tariff.utc_offset)
            read_peak(tariff.peak)
        except ValueError as error:
            yield f"tariff {tariff.name!r}: {error}"
    for calendar in rows.calendars:
        for holiday in calendar.holidays:
            if holiday.last < holiday.first:
                yield f"calendar {calendar.name} {calendar.year}: {holiday.name} ends before it begins"
