"""The reference of adapters: engines that are started, servers that are attached, and providers' dialects."""

from __future__ import annotations

from collections.abc import Mapping

from tests.docs.generators.source import page, table

from overspill.detectors import registry as detectors
from overspill.detectors.known import KNOWN
from overspill.pools.engines import registry as engines
from overspill.pools.upstreams import registry as upstreams
from overspill.wire.contract import Contract, Mode

_INTRODUCTION = """
An adapter translates between Overspill and one kind of target; it does no I/O. What is listed under *not supported* is
so on purpose, with the reason. Other packages can offer adapters by entry points in the groups named below; a
configuration names them like those listed here. Such a package is imported only when a pool names it, and a name of
Overspill's own cannot be taken over.
"""
_MANAGED = f"""
Written as `engine:` in a pool. Overspill starts the process, watches it and starts it again. Entry points:
`{engines.MANAGED_GROUP}`.
"""
_ATTACHED = f"""
Written as `attach:` in a pool. Without a configuration, the default port on 127.0.0.1 is asked and the answer must be
one that only this kind of server gives. Entry points: `{engines.ATTACHED_GROUP}`.

*Slots* is how many requests it is sent at once where neither the configuration nor the server itself says it.
"""
_UPSTREAMS = f"""
Chosen by the provider ([providers](providers.md)); `openai_compatible` is for any API that is in no catalogue. Those of
other packages are written as `upstream:` in a pool, with a `base_url`. Entry points: `{upstreams.GROUP}`.
"""
_DETECTORS = f"""
Written as `detector:` under `screening.detectors`, with `options`. They look at the text of requests in a process of
their own ([detectors](../explanation/detectors.md)). Entry points: `{detectors.GROUP}`.
"""
_PATTERNS = """
Options: `patterns` (a name to a regular expression in Python's syntax), `keywords` (in any case; ASCII words only as
whole words), `known` (names of the table). Text is looked at as it is, and once more in Unicode's compatibility form
without invisible characters, so that full-width digits and zero-width spaces hide nothing.
"""
_PRESIDIO = """
Options: `entities` (Presidio's names; all it has for the language but dates, web addresses, UUIDs and nationalities if
left out), `language` (`en`), `min_score` (0.4), `model` (a spaCy model that is installed, such as `en_core_web_sm`; it
finds names and places too). Without a model nothing is downloaded, and nothing is ever sent.
"""


def adapters_page() -> str:
    parts: list[str | list[str]] = ["## Engines that Overspill starts", _MANAGED]
    for name in engines.managed_names():
        managed = engines.create_managed(name)
        rows = [
            ("endpoints", ", ".join(f"`{surface}`" for surface in managed.surfaces)),
            ("statistics", f"`GET {managed.stats_path.decode()}`" if managed.stats_path else "none"),
            ("called as a stream even for a client that wants one body", _yes(managed.cancels_only_streams)),
            ("connections used again", _yes(managed.reuses_connections)),
            ("goes on with a broken answer", _continues(managed.contract)),
        ]
        parts += [f"### `{name}`", table(("", ""), rows), _unsupported(managed.unsupported)]
    parts += ["## Servers that already run", _ATTACHED]
    for name in engines.attached_names():
        attached = engines.create_attached(name)
        probe = attached.probe
        rows = [
            ("endpoints", ", ".join(f"`{surface}`" for surface in attached.surfaces)),
            ("default port", "none: it is not looked for" if probe is None else str(probe.port)),
            ("recognised by", "" if probe is None else f"`GET {probe.path.decode()}`"),
            ("models", f"`GET {attached.models_path.decode()}`"),
            ("statistics", f"`GET {attached.stats_path.decode()}`" if attached.stats_path else "none: our count only"),
            ("slots", str(attached.default_slots)),
            ("says its slots itself", f"`GET {attached.slots_path.decode()}`" if attached.slots_path else "no"),
            ("called as a stream even for a client that wants one body", _yes(attached.cancels_only_streams)),
            ("connections used again", _yes(attached.reuses_connections)),
            ("goes on with a broken answer", _continues(attached.contract)),
        ]
        rows = [row for row in rows if row[1]]
        parts += [f"### `{name}`", table(("", ""), rows), _unsupported(attached.unsupported)]
    parts += ["## Dialects of providers", _UPSTREAMS]
    for name in upstreams.names():
        upstream = upstreams.create(name)
        rows = [
            ("endpoints", ", ".join(f"`{surface}`" for surface in upstream.surfaces)),
            ("goes on with a broken answer", _continues(upstream.contract)),
        ]
        parts += [f"### `{name}`", table(("", ""), rows), _unsupported(upstream.unsupported)]
    parts += ["## Detectors", _DETECTORS]
    parts.append(
        table(("name", "what it finds"), [(f"`{n}`", detectors.create(n).description) for n in detectors.names()])
    )
    parts += ["### `patterns`", _PATTERNS]
    parts.append(table(("`known`", "what it finds"), [(f"`{n}`", known.description) for n, known in KNOWN.items()]))
    parts += ["### `presidio`", _PRESIDIO]
    return page("Adapters", _INTRODUCTION, *[part for part in parts if part])


def _continues(contract: Contract) -> str:
    if contract.mode is Mode.NONE:
        return "not known"
    return (
        "content and thoughts, once it was seen to" if contract.continues_reasoning else "content, once it was seen to"
    )


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"


def _unsupported(reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    return ["Not supported:", "", *(f"- {feature}: {reason}." for feature, reason in reasons.items())]
