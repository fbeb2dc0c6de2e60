"""The reference of the catalogue: providers, their models and prices, each with its source."""

from __future__ import annotations

from tests.docs.generators.source import page, table

from overspill.catalog.load import OfferedModel, Provider, TokenPrice, load

_INTRODUCTION = """
What Overspill knows of providers before you say anything, as of {as_of}. Every value can be overridden in a pool
([configuration](configuration.md)). Check prices with the provider: they move.

- **Confidence** `seen`: read in the named source on that date. `recall`: from general knowledge and not read again;
  used only where a configuration names the provider.
- **Used unasked**: whether `overspill serve` without a file uses the provider when its key is in the environment.
- **Prices** are US dollars per million tokens: input, output, and input that the provider had in its cache. A missing
  price is unknown, never free. Where prices change with the time of day, the higher one is shown and reckoned with.
- **Requests at once** is per account; empty where the provider publishes none.
"""


def providers_page() -> str:
    catalog = load()
    parts: list[str | list[str]] = []
    for provider in catalog.providers:
        parts += [f"## {provider.title}", table(("", ""), _facts(provider))]
        if provider.models:
            head = ("model id", "stands for", "other ids", "at once", "input", "output", "cached input")
            parts.append(table(head, [_model(model) for model in provider.models]))
    models = [
        (
            f"`{model.name}`",
            ", ".join(f"`{name}`" for name in model.names),
            ", ".join(f"`{name}`" for name in model.versions),
            ", ".join(f"`{name}`" for name in model.retired),
            f"{model.context_tokens:,}" if model.context_tokens else "",
        )
        for model in catalog.models
    ]
    return page(
        "Providers",
        _INTRODUCTION.format(as_of=catalog.as_of),
        *parts,
        "## Models",
        "Ids of the same model may stand in for each other. A name without a version may be served by any of its "
        "versions, newest first. Retired names still work at hosts that accept them.",
        table(("model", "other spellings", "versions", "retired names", "context, tokens"), models),
    )


def _facts(provider: Provider) -> list[tuple[str, ...]]:
    rows = [
        ("`upstream:`", f"`{provider.name}`"),
        ("base URL", f"`{provider.base_url}`"),
        ("key", f"`{provider.key_env}`" if provider.key_env else "no customary variable: name one under `accounts`"),
        ("used unasked", "yes" if provider.is_used_unasked else "no"),
        ("adapter", f"`{provider.adapter}`"),
        ("endpoints", ", ".join(f"`{surface}`" for surface in provider.surfaces)),
        ("other names taken", ", ".join(f"`{pattern}`" for pattern in provider.patterns)),
        ("confidence", f"`{provider.confidence}`"),
        ("source", provider.source),
    ]
    if provider.schedule is not None:
        schedule = provider.schedule
        rows.insert(-2, ("peak prices", f"{', '.join(schedule.peak)} ({schedule.timezone}), not on {schedule.not_on}"))
    return [row for row in rows if row[1]]


def _model(model: OfferedModel) -> tuple[str, ...]:
    return (
        f"`{model.id}`",
        f"`{model.model}`",
        ", ".join(f"`{name}`" for name in model.aliases),
        f"{model.max_concurrency:,}" if model.max_concurrency else "",
        *_price(model.price),
    )


def _price(price: TokenPrice) -> tuple[str, str, str]:
    miss, out, hit = (f"{usd:g}" if usd else "unknown" for usd in (price.miss, price.out, price.hit))
    return miss, out, hit
