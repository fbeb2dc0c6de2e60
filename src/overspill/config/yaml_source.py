"""Reads YAML into plain values and remembers the line of each, so that an error can say where it is.

Stricter than YAML: a key that stands twice is an error, keys are text, and only the safe types exist.
"""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from overspill.errors import ConfigError

Path = tuple[str | int, ...]
_MAX_DEPTH = 32
_MAX_NODES = 100_000


class Source(msgspec.Struct, frozen=True):
    """What a document says, and the line (from 1) on which each part of it begins."""

    value: Any
    lines: dict[Path, int]

    def line(self, path: Path) -> int | None:
        """Return the line of ``path``, or of the nearest thing around it that has one."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def read_yaml(text: str, *, file: str) -> Source:
    """Read one YAML document; an empty one is an empty mapping. Raise ``ConfigError`` if it cannot be read."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Source({}, {})
        reader = _Reader(loader, file)
        return Source(reader.read(node, ()), reader.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "it is not YAML"
        raise ConfigError(f"not YAML: {said}", file=file, line=mark.line + 1 if mark else None) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not YAML: {error}", file=file) from error


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self.loader = loader
        self.file = file
        self.lines: dict[Path, int] = {}
        self._nodes = 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        # An alias may refer to what contains it, or multiply; neither has a use here.
        if len(path) > _MAX_DEPTH or self._nodes > _MAX_NODES:
            raise self._error("nested too deeply, or too large", node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise self._error("merging with << is not supported; write the keys out", key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error("a key must be text", key_node)
            key = key_node.value
            if key in found:
                first = self.lines[(*path, key)]
                raise self._error(f"the key {key!r} stands twice, first on line {first}; remove one", key_node)
            self.lines[*path, key] = key_node.start_mark.line + 1
            found[key] = self.read(value_node, (*path, key))
        return found

    def _error(self, message: str, node: yaml.Node) -> ConfigError:
        return ConfigError(message, file=self.file, line=node.start_mark.line + 1)
