"""YAML with the place of every value: strict, bounded, and without the surprises of YAML 1.1.

Only `true` and `false` are booleans (`on`, `NO` and `12:30:45` stay text), a key may occur once, and documents
that unfold into bombs are refused before they are built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from revetl.errors import ConfigError, Where

MAX_BYTES = 2_000_000
MAX_DEPTH = 40
MAX_ALIASES = 50
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+)")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file.

    Attributes:
        value: text, integer, float, boolean, None, a list of nodes, or a dict of key text to (key node, node).
        where: of its first character.
        raw: a scalar as it was written.
    """

    value: Any
    where: Where
    raw: str = ""

    def plain(self) -> Any:  # noqa: ANN401 any YAML value
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, (_, node) in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def get(self, name: str) -> Node | None:
        """The value of a key of a mapping, or None."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        return found[1] if found else None

    def items(self) -> Iterator[tuple[Node, Node]]:
        """Keys and values of a mapping."""
        yield from self.value.values()


def read(path: Path, name: str) -> Node | None:
    """The document of a file; None if it is empty.

    Args:
        name: how the file is called in messages.

    Raises:
        ConfigError: not readable, not YAML, a repeated key, or too large or deep; with the place.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=Where(file=name), code="RV001") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"is larger than {MAX_BYTES:,} bytes", where=Where(file=name), code="RV002")
    loader = None
    try:
        _bounded(data, name)
        loader = _LOADER(data)
        node = loader.get_single_node()
        return None if node is None else _converted(node, name, 0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = Where(file=name, line=mark.line + 1, column=mark.column + 1) if mark else Where(file=name)
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(f"is no valid YAML: {problem}", where=place, code="RV003") from None
    except (RecursionError, UnicodeDecodeError):
        raise ConfigError("is no valid YAML", where=Where(file=name), code="RV003") from None
    finally:
        if loader is not None:
            loader.dispose()


def _bounded(data: bytes, name: str) -> None:
    """Depth and aliases are counted on the stream of events, before anything is built."""
    depth = aliases = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            mark = event.start_mark
            place = Where(file=name, line=mark.line + 1, column=mark.column + 1)
            raise ConfigError(
                f"is nested deeper than {MAX_DEPTH} levels or has more than {MAX_ALIASES} aliases",
                where=place, code="RV002",
            )  # fmt: skip


def _converted(node: Any, name: str, depth: int) -> Node:  # noqa: ANN401 a yaml node
    where = Where(file=name, line=node.start_mark.line + 1, column=node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            place = Where(file=name, line=key.start_mark.line + 1, column=key.start_mark.column + 1)
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError("a key must be a text", where=place, code="RV003")
            if key.value in found:
                first = found[key.value][0].where.line
                raise ConfigError(
                    f"key {key.value!r} occurs twice (first in line {first})", where=place, code="RV004"
                )
            found[key.value] = (Node(key.value, place, key.value), _converted(value, name, depth + 1))
        return Node(found, where)
    if isinstance(node, yaml.SequenceNode):
        return Node([_converted(item, name, depth + 1) for item in node.value], where)
    if node.style or not _is_plain(node.tag):
        return Node(node.value, where, node.value)
    return Node(_scalar(node.value), where, node.value)


def _is_plain(tag: str) -> bool:
    return tag.startswith("tag:yaml.org,2002:")


def _scalar(text: str) -> Any:  # noqa: ANN401 any YAML scalar
    """YAML 1.2's core schema."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
