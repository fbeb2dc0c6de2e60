"""Writes the documentation of the configuration from its schema: the JSON schema and the reference page.

All functions return text; the CLI writes it. A test fails when the copy in ``docs`` is out of date.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.config import allowance, features, scheduling, schema, screening
from overspill.config.decode import default_of
from overspill.config.introspect import POOL_ROLES, bare, description, flow, ordered
from overspill.config.overrides import VARIABLES
from overspill.config.scalars import SCALARS
from overspill.config.schema import Config
from overspill.config.section import Section

_SECTIONS: Mapping[str, tuple[str, type[Section]]] = {
    "server": ("server", schema.ServerConfig),
    "keys": ("server.api_keys[]", allowance.KeyEntry),
    "rates": ("server.api_keys[].limits", allowance.Rates),
    "budget": ("budget", allowance.Budget),
    "server.limits": ("server.limits", schema.LimitsConfig),
    "engine": ("pools.NAME with `engine`", schema.EnginePool),
    "attach": ("pools.NAME with `attach`", schema.AttachPool),
    "upstream": ("pools.NAME with `upstream`", schema.UpstreamPool),
    "accounts": ("pools.NAME.accounts[]", schema.AccountConfig),
    "price": ("pools.NAME.price, pools.NAME.prices.MODEL", schema.PriceConfig),
    "prior": ("pools.NAME.prior", schema.PriorConfig),
    "features": ("pools.NAME.features", features.Features),
    "routes": ("routes[]", schema.RouteConfig),
    "tiers": ("routes[].tiers[][]", schema.TierTarget),
    "slo": ("routes[].slo", schema.SloConfig),
    "route_screening": ("routes[].screening", screening.RouteScreening),
    "limits": ("limits", allowance.Limits),
    "allowance": ("limits.each_key, limits.teams.NAME, limits.models.NAME", allowance.Allowance),
    "upstream_rates": ("pools.NAME.limits", allowance.UpstreamRates),
    "scheduling": ("scheduling", scheduling.SchedulingConfig),
    "retry": ("scheduling.retry", scheduling.RetryConfig),
    "breaker": ("breaker", scheduling.BreakerConfig),
    "screening": ("screening", screening.ScreeningConfig),
    "detectors": ("screening.detectors.NAME", screening.DetectorConfig),
    "reasoning": ("reasoning", features.ReasoningConfig),
    "cache": ("cache", schema.CacheConfig),
    "ledger": ("ledger", schema.LedgerConfig),
    "log": ("log", schema.LogConfig),
}
_PARTS = (schema, allowance, features, scheduling, screening)
_PLAIN_TYPES = {str: "text", bool: "true or false", int: "whole number", float: "number", Any: "anything"}
_INTRODUCTION = """\
# Configuration

<!-- Generated from the schema: do not edit, it is overwritten. -->

`overspill serve --config overspill.yaml` reads one YAML file. Without a file, a configuration is made from what is
found: local servers, providers' keys in the environment, and the built-in engine; `overspill config explain` shows it.

- An unknown key, a key that stands twice and a value of the wrong kind are errors with file and line. A key without a
  value counts as not written.
- A duration is written `250ms`, `2s`, `5m`, `1h`, or as a number of seconds. A size is written `64KiB`, `512MiB`,
  `8GB`, or as a number of bytes.
- A secret never stands in the file: write `env:NAME` or `file:PATH`.
- Later sources win: the file; then {variables}; then
  `--set a.b.c=value`. A number in such a path is an entry of a list: `routes.0.slo.ttft=500ms`.
- Every key is shown in `examples/overspill.yaml`.
"""


def json_schema() -> str:
    """Return the JSON schema (draft 2020-12) of a configuration file, for editors."""
    document = msgspec.json.schema(Config, schema_hook=_scalar_schema)
    for name, definition in document["$defs"].items():
        section = next((found for part in _PARTS if (found := getattr(part, name, None)) is not None), None)
        if isinstance(section, type) and issubclass(section, Section):
            _add_defaults(definition, section)
        if name in POOL_ROLES:
            # The tag by which msgspec tells pools apart is not written; the key of the same name is.
            del definition["properties"]["role"]
            definition["required"].remove("role")
    pools = document["$defs"]["Config"]["properties"]["pools"]["additionalProperties"]
    pools.pop("discriminator", None)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Overspill configuration"}
    return msgspec.json.format(msgspec.json.encode(head | document), indent=2).decode() + "\n"


def _scalar_schema(kind: type) -> dict[str, Any]:
    assert issubclass(kind, SCALARS)
    return dict(kind.json_schema)


def _add_defaults(definition: dict[str, Any], section: type[Section]) -> None:
    for field in msgspec.structs.fields(section):
        default = default_of(field)
        if isinstance(default, SCALARS):
            definition["properties"][field.encode_name]["default"] = default.written()


def reference_markdown() -> str:
    """Return the reference page: every key with its type, default and meaning."""
    variables = " and ".join(f"`{name}` (`{key}`)" for name, key in VARIABLES.items())
    lines = [*_INTRODUCTION.format(variables=variables).splitlines(), ""]
    for title, section in _SECTIONS.values():
        lines += [f"## {title}", "", section.__doc__.splitlines()[0] if section.__doc__ else "", ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [_row(field) for field in ordered(section)]
        lines.append("")
    return "\n".join(lines)


def _row(field: msgspec.structs.FieldInfo) -> str:
    default = default_of(field)
    if field.required:
        shown = "**required**"
    elif default is None or isinstance(default, Section):
        shown = ""
    else:
        shown = f"`{flow(default)}`"
    cells = (f"`{field.encode_name}`", _type_words(field.type), shown, description(field))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type_words(kind: Any) -> str:
    metas = [meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    return _words(bare(kind)) + "".join(_bounds(meta) for meta in metas)


def _words(kind: Any) -> str:
    origin, args = typing.get_origin(kind), [arg for arg in typing.get_args(kind) if arg is not Ellipsis]
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_type_words(arg) for arg in args if arg is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{arg}`" for arg in args)
    if origin is tuple:
        return f"list of {_type_words(args[0])}"
    if origin is dict:
        return f"mapping to {_type_words(args[1])}"
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        return " / ".join(f"`{member}`" for member in kind)
    if isinstance(kind, type) and issubclass(kind, SCALARS):
        return kind.kind
    if isinstance(kind, type) and issubclass(kind, Section):
        title = next((title for title, section in _SECTIONS.values() if section is kind), kind.__name__)
        return f"mapping, see {title}"
    return _PLAIN_TYPES[kind]


def _bounds(meta: msgspec.Meta) -> str:
    signs = (("≥", meta.ge), (">", meta.gt), ("≤", meta.le), ("<", meta.lt))
    return "".join(f" {sign} {bound:g}" for sign, bound in signs if bound is not None)
