"""The reference of the catalogue: providers, their models and prices, each with its source."""

from __future__ import annotations

from tests.docs.generators.source import page, table

from overspill.catalog.load import Catalog, load
from overspill.catalog.rows import OfferedModel, Provider, TokenPrice

_INTRODUCTION = """
What Overspill knows of providers before you say anything, as of {as_of}. Every value can be overridden, in a pool
([configuration](configuration.md)) or for all pools ([prices and providers](../how-to/keep-prices-right.md)). Check
prices with the provider: they move. `overspill providers list` shows what holds on your machine.

- **Confidence** `seen`: read in the named source on that date. `recall`: from general knowledge and not read again;
  used only where a configuration names the provider.
- **Used unasked**: whether `overspill serve` without a file uses the provider when its key is in the environment.
- **Prices** are US dollars per million tokens: input, output, and input that the provider had in its cache. A missing
  price is unknown, never free. Where prices follow the clock, the one of peak hours stands before that of the others.
- **Requests at once** is per account; empty where the provider publishes none.
- **Thinking** is by which field of a request it is switched; `none` where that is not known.
"""
_SWITCHES = {
    "deepseek": '`thinking: {"type": …}` and `reasoning_effort`',
    "type": '`thinking: {"type": …}`',
    "enable_thinking": "`enable_thinking`",
    "chat_template_kwargs": "`chat_template_kwargs`",
    "reasoning_effort": "`reasoning_effort`",
    "openrouter": '`reasoning: {"enabled": …, "effort": …}`',
    "none": "",
}


def providers_page() -> str:
    catalog = load()
    parts: list[str | list[str]] = []
    for provider in catalog.providers:
        parts += [f"## {provider.title}", table(("", ""), _facts(provider, catalog))]
        if provider.models:
            head = ("model id", "stands for", "other ids", "at once", "input", "output", "cached input", "")
            parts.append(table(head, [_model(model) for model in provider.models]))
    models = [
        (
            f"`{model.name}`",
            ", ".join(f"`{name}`" for name in model.names),
            ", ".join(f"`{name}`" for name in model.versions),
            ", ".join(f"`{name}`" for name in model.retired),
            model.family or "",
            f"{model.context_tokens:,}" if model.context_tokens else "",
        )
        for model in catalog.models
    ]
    return page(
        "Providers",
        _INTRODUCTION.format(as_of=catalog.as_of),
        *parts,
        "## Models",
        "Ids of the same model have the same weights and may stand in for each other. A name without a version may be "
        "served by any of its versions, newest first. Retired names still work. `equivalence` of a route goes by model "
        "and family.",
        table(("model", "other spellings", "versions", "retired names", "family", "context, tokens"), models),
        "## Tariffs and holidays",
        "Peak prices hold at these hours; on the days of the calendar they do not. A year that has not been announced "
        "is reckoned as if it had no holidays, so at the dearer price.",
        table(("tariff", "peak hours", "UTC", "calendar", "as of", "source"), _tariffs(catalog)),
        table(("calendar", "days", "as of", "source"), _calendars(catalog)),
        "## Currencies",
        table(("currency", "US dollars", "as of", "source"), _currencies(catalog)),
    )


def _tariffs(catalog: Catalog) -> list[tuple[str, ...]]:
    return [
        (f"`{row.name}`", ", ".join(row.peak), row.utc_offset, row.calendar or "", str(row.as_of), row.source)
        for row in catalog.tariffs
    ]


def _calendars(catalog: Catalog) -> list[tuple[str, ...]]:
    return [
        (
            f"`{row.name}` {row.year}",
            ", ".join(f"{day.name} {day.first:%m-%d} to {day.last:%m-%d}" for day in row.holidays) or "not known yet",
            str(row.as_of),
            row.source,
        )
        for row in catalog.calendars
    ]


def _currencies(catalog: Catalog) -> list[tuple[str, ...]]:
    return [(row.code, f"{row.usd:g}", str(row.as_of), row.source) for row in catalog.currencies]


def _facts(provider: Provider, catalog: Catalog) -> list[tuple[str, ...]]:
    limits = provider.limits
    kinds = {
        "concurrency": "requests at once",
        "rates": "requests and tokens per minute",
        "adaptive": "moves with the load and with your traffic",
        "unpublished": "none published",
    }
    key = f"`{provider.key_env}`" if provider.key_env else "no customary variable: name one under `accounts`"
    if provider.key_expires:
        key = "a token that expires: `file:PATH` of a file that something renews"
    rows = [
        ("`upstream:`", f"`{provider.name}`"),
        ("base URL", f"`{provider.base_url}`"),
        ("other base URLs", ", ".join(f"`{name}`: `{url}`" for name, url in provider.other_urls.items())),
        ("key", key if provider.auth == "bearer" else f"{key}, in the header `{provider.auth}`"),
        ("used unasked", "yes" if provider.is_used_unasked else "no"),
        ("adapter", f"`{provider.adapter}`"),
        ("endpoints", ", ".join(f"`{surface}`" for surface in provider.surfaces)),
        ("list of models", f"`{provider.models_path}`" if provider.models_path else "none"),
        ("limits", kinds[limits.kind] + (f", {limits.scope}" if limits.scope else "")),
        ("headers with what is left", ", ".join(f"`{name}`" for name in limits.headers)),
        ("thinking", _SWITCHES[provider.thinking or "none"]),
        ("thoughts in", f"`{provider.reasoning_field}`" if provider.reasoning_field else ""),
        ("cannot", "; ".join(f"`{feature}`: {why}" for feature, why in provider.lacks.items())),
        ("takes only the fields", ", ".join(f"`{name}`" for name in provider.allowed_fields)),
        ("other names taken", ", ".join(f"`{pattern}`" for pattern in provider.patterns)),
        ("tariff", f"`{provider.tariff}`" if provider.tariff else ""),
        ("as of", str(provider.as_of)),
        ("confidence", f"`{provider.confidence}`"),
        ("source", provider.source),
    ]
    return [row for row in rows if row[1]]


def _model(model: OfferedModel) -> tuple[str, ...]:
    prices = [_price(model.price)] + ([_price(model.off_peak)] if model.off_peak else [])
    notes = [f"until {model.retires}"] if model.retires else []
    notes += [f"{model.quantization}"] if model.quantization else []
    notes += [f"`{model.confidence}`"] if model.confidence else []
    notes += [f"{model.source}"] if model.source else []
    return (
        f"`{model.id}`",
        f"`{model.model}`",
        ", ".join(f"`{name}`" for name in model.aliases),
        f"{model.max_concurrency:,}" if model.max_concurrency else "",
        *(" / ".join(column) for column in zip(*prices, strict=True)),
        "; ".join(notes),
    )


def _price(price: TokenPrice) -> tuple[str, str, str]:
    miss, out, hit = (f"{usd:g}" if usd else "unknown" for usd in (price.miss, price.out, price.hit))
    return miss, out, hit
