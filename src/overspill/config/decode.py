"""Turns plain values into ``Config``, and msgspec's complaints into sentences that say where and what instead."""

from __future__ import annotations

import enum
import re
import types
import typing
from typing import Any

import msgspec

from overspill.config.scalars import dec_hook, enc_hook
from overspill.config.schema import AttachPool, Config, EnginePool, Pool, UpstreamPool
from overspill.config.section import Section
from overspill.config.yaml_source import Path
from overspill.errors import ConfigError, did_you_mean

POOL_ROLES: dict[str, type[EnginePool | AttachPool | UpstreamPool]] = {
    "engine": EnginePool,
    "attach": AttachPool,
    "upstream": UpstreamPool,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_WHERE = re.compile(r"(?s)(.*) - at (?:`key` in )?`\$([^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_WORDS = {
    "`object`": "a mapping",
    "`array`": "a list",
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`null`": "nothing",
    "`str | object`": "text or a mapping",
}


class Invalid(ConfigError):  # noqa: N818 - reads as the state it reports
    """A value that cannot be used, and its path; whoever knows the file and its lines adds them."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        self.message = f"{dotted(path)}: {message}" if path else message
        super().__init__(self.message)


def dotted(path: Path) -> str:
    """Write a path as people do: ``routes[0].slo.ttft``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def decode(value: Any) -> Config:
    """Convert plain values into a ``Config``; raise ``Invalid``."""
    if not isinstance(value, dict):
        raise Invalid((), "the configuration must be a mapping with keys such as server, pools and routes")
    value = _without_empty(value)
    named = value.get("pools")
    if named is not None and not isinstance(named, dict):
        raise Invalid(("pools",), "expected a mapping from a pool's name to what it is")
    config = _convert({key: item for key, item in value.items() if key != "pools"}, Config, ())
    # Pools one by one: msgspec does not say in which entry of a mapping it stumbled.
    pools = {name: _pool(name, pool) for name, pool in (named or {}).items()}
    return msgspec.structs.replace(config, pools=pools)


def _without_empty(value: Any) -> Any:
    """Drop keys without a value: what is left of a section when all its lines are comments."""
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item is not None}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def plain(section: Section) -> dict[str, Any]:
    """Convert a ``Config``, or a part of one, into plain values, as one would write them; defaults are left out."""
    return typing.cast("dict[str, Any]", _stripped(section))


def _stripped(value: Any) -> Any:
    if isinstance(value, Section):
        fields = msgspec.structs.fields(value)
        shown = {f.name: getattr(value, f.name) for f in fields}
        return {f.name: _stripped(shown[f.name]) for f in fields if f.required or shown[f.name] != default_of(f)}
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_stripped(item) for item in value]
    return msgspec.to_builtins(value, enc_hook=enc_hook)


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """Return what a field holds when it is not written; ``msgspec.NODEFAULT`` if it must be."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _pool(name: str, value: Any) -> Pool:
    path: Path = ("pools", name)
    if not _NAME.fullmatch(name):
        raise Invalid(path, f"{name!r} is no name for a pool: letters, digits, '-', '_' and '.', at most 64")
    if not isinstance(value, dict):
        raise Invalid(path, "expected a mapping with one of the keys engine, attach and upstream")
    roles = [role for role in POOL_ROLES if role in value]
    if len(roles) != 1:
        said = "has none" if not roles else f"has {' and '.join(roles)}"
        near = next((did_you_mean(key, POOL_ROLES) for key in value if did_you_mean(key, POOL_ROLES)), "")
        raise Invalid(
            path,
            f"a pool has exactly one of the keys engine (Overspill starts it), attach (it already runs) and upstream "
            f"(somebody else's API); this one {said}{near if not roles else ''}",
        )
    if "role" in value:
        raise Invalid((*path, "role"), "unknown key 'role'")
    return _convert(value, POOL_ROLES[roles[0]], path)


T = typing.TypeVar("T")


def _convert(value: Any, kind: type[T], prefix: Path) -> T:
    try:
        return msgspec.convert(value, kind, dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        path, message = _read_complaint(str(error))
        raise Invalid((*prefix, *_key_of(path, message)), _sentence(kind, path, message)) from error


def _read_complaint(text: str) -> tuple[Path, str]:
    match = _WHERE.fullmatch(text)
    if match is None:
        return (), text
    steps = [(name or int(index)) for name, index in _STEP.findall(match[2]) if name or index]
    return tuple(steps), match[1]


def _key_of(path: Path, message: str) -> Path:
    """Point at the unknown key itself, not at the mapping around it."""
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    return path if unknown is None else (*path, unknown[1])


def _sentence(kind: Any, path: Path, message: str) -> str:
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    if unknown is not None:
        known = _keys_at(kind, path)
        return f"unknown key {unknown[1]!r}{did_you_mean(unknown[1], known)}; known here: {', '.join(known)}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", message)
    if missing is not None:
        return f"the key {missing[1]!r} is missing"
    choice = re.fullmatch(r"Invalid enum value '(.*)'", message)
    if choice is not None:
        known = _choices_at(kind, path)
        return f"{choice[1]!r} is not possible here{did_you_mean(choice[1], known)}; choose {', '.join(known)}"
    for word, plainer in _WORDS.items():
        message = message.replace(word, plainer)
    return message.replace("Expected", "expected", 1)


def _keys_at(kind: Any, path: Path) -> list[str]:
    section = _type_at(kind, path)
    assert issubclass(section, msgspec.Struct)  # only a struct has unknown keys
    return sorted(field.encode_name for field in msgspec.structs.fields(section))


def _choices_at(kind: Any, path: Path) -> list[str]:
    leaf = _type_at(kind, path)
    if typing.get_origin(leaf) is typing.Literal:
        return [str(choice) for choice in typing.get_args(leaf)]
    assert issubclass(leaf, enum.StrEnum)  # only a choice has a wrong one
    return [str(choice) for choice in leaf]


def _type_at(kind: Any, path: Path) -> Any:
    """Walk from a type along ``path``; of a union, the member that can hold something is taken."""
    kind = _bare(kind)
    for step in path:
        if isinstance(step, int):
            kind = next((a for a in typing.get_args(kind) if a is not Ellipsis), Any)
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = next((f.type for f in msgspec.structs.fields(kind) if f.encode_name == step), Any)
        kind = _bare(kind)
    while typing.get_origin(kind) is dict:  # msgspec does not say in which entry of a mapping it stumbled
        kind = _bare(typing.get_args(kind)[1])
    return kind


def _bare(kind: Any) -> Any:
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        members = [_bare(member) for member in typing.get_args(kind)]
        plainest = {str, type(None), bool, int, float}
        return next((member for member in members if member not in plainest), members[0])
    return kind
