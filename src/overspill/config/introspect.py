"""Reads the schema's structs for the documentation: fields, descriptions, and values as they are written."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import yaml

from overspill.config.scalars import enc_hook
from overspill.config.section import Section

POOL_ROLES = {"EnginePool": "engine", "AttachPool": "attach", "UpstreamPool": "upstream"}
"""The struct of each kind of pool → the key that makes a pool one."""


def ordered(section: type[Section]) -> list[msgspec.structs.FieldInfo]:
    """Return a section's fields: what must be written first, then the rest in the schema's order."""
    return sorted(msgspec.structs.fields(section), key=lambda field: not field.required)


def description(field: msgspec.structs.FieldInfo) -> str:
    """Return what the schema says that a key means."""
    metas = getattr(field.type, "__metadata__", ())
    return next((meta.description for meta in metas if isinstance(meta, msgspec.Meta) and meta.description), "")


def bare(kind: Any) -> Any:
    """Return a type without its annotations."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def flow(value: Any) -> str:
    """Write a value as YAML on one line."""
    text = yaml.safe_dump(
        msgspec.to_builtins(value, enc_hook=enc_hook),
        default_flow_style=True,
        sort_keys=False,
        width=10_000,
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")
