"""Writes the annotated example from the schema and the sample values: every key, in use or as a comment."""

from __future__ import annotations

import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from overspill.config.allowance import KeyEntry
from overspill.config.decode import default_of
from overspill.config.introspect import POOL_ROLES, bare, description, flow, ordered
from overspill.config.samples import SAMPLE
from overspill.config.schema import Config, RouteConfig
from overspill.config.section import Section

_WIDTH = 100
_LISTED = (RouteConfig, KeyEntry)
"""Sections that stand in lists and have too many keys for one line."""


def example_yaml() -> str:
    """Return a configuration that loads as it stands and shows every key: those in use, and the others as comments."""
    lines = [
        "# An Overspill configuration that shows every key. Lines that begin with '#' and a key show its default.",
        "# Check it with `overspill config check FILE`; see what it does with `overspill config explain FILE`.",
        "# Generated from the schema: do not edit this copy, it is overwritten.",
        *_mapping(Config, SAMPLE, 0),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _mapping(section: type[Section], sample: Mapping[str, Any], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for field in ordered(section):
        if depth == 0:
            yield ""
        for line in textwrap.wrap(description(field), _WIDTH - len(pad)):
            yield f"{pad}# {line}"
        name = field.encode_name
        if name in sample:
            yield from _written(name, field.type, sample[name], depth)
        elif isinstance(default_of(field), Section):
            inner = typing.cast("type[Section]", type(default_of(field)))
            yield f"{pad}{name}:"
            yield from _mapping(inner, {}, depth + 1)
        else:
            yield f"{pad}# {name}: {flow(default_of(field))}".removesuffix(" null")


def _written(name: str, kind: Any, value: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    section = _section_in(kind, value)
    if section is not None and isinstance(value, Mapping) and _is_named_sections(kind):
        yield f"{pad}{name}:"
        for number, (key, item) in enumerate(value.items()):
            yield from [""] * (number > 0)
            yield f"{pad}  {key}:"
            yield from _mapping(typing.cast("type[Section]", _section_in(kind, item)), item, depth + 2)
    elif section is not None and isinstance(value, Mapping):
        yield f"{pad}{name}:"
        yield from _mapping(section, value, depth + 1)
    elif section in _LISTED and isinstance(value, list):
        yield f"{pad}{name}:"
        for number, item in enumerate(value):
            yield from [""] * (number > 0)
            yield from _item(typing.cast("type[Section]", section), item, depth + 1, is_full=number == 0)
    else:
        yield f"{pad}{name}: {flow(value)}"


def _item(section: type[Section], item: Mapping[str, Any], depth: int, *, is_full: bool) -> Iterator[str]:
    """Write a list's entry: the first with every key explained, the others with what they set."""
    pad = "  " * depth
    lines = (
        list(_mapping(section, item, depth + 1))
        if is_full
        else [f"{pad}  {key}: {flow(value)}" for key, value in item.items()]
    )
    first = next(index for index, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line.replace("  ", "", 1) for line in lines[:first])
    yield f"{pad}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _is_named_sections(kind: Any) -> bool:
    return typing.get_origin(bare(kind)) is dict


def _section_in(kind: Any, value: Any) -> type[Section] | None:
    """Return the section that ``value`` is, or that its entries are."""
    kind = bare(kind)
    members = typing.get_args(kind) if typing.get_origin(kind) in {typing.Union, types.UnionType} else (kind,)
    sections = [member for member in map(bare, members) if isinstance(member, type) and issubclass(member, Section)]
    if len(sections) > 1 and isinstance(value, Mapping):
        return next((section for section in sections if POOL_ROLES.get(section.__name__, "") in value), sections[0])
    if sections:
        return sections[0]
    args = [arg for arg in typing.get_args(kind) if arg is not Ellipsis]
    return _section_in(args[-1], value) if args and typing.get_origin(kind) in {dict, tuple} else None
