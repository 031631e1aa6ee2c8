"""YAML with the place of every value: strict, bounded, and without the surprises of YAML 1.1.

Only `true` and `false` are booleans (`on`, `NO` and `12:30:45` stay text), a key may occur once, and documents
that unfold into bombs are refused before they are built. `<<: *name` merges mappings, as dbt's files do.
"""

from __future__ import annotations

import math
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
MAX_NODES = 100_000  # counted where an alias unfolds, too: a few that name each other make millions
MAX_DIGITS = 400
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


def read(path: Path, name: str, problems: list[ConfigError] | None = None) -> Node | None:
    """The document of a file; None if it is empty.

    Args:
        name: how the file is called in messages.
        problems: where repeated keys are noted, so that the rest of the file can be checked too.

    Raises:
        ConfigError: not readable, not YAML, or too large or deep; with the place. Without `problems`, the first
            repeated key as well.
    """
    found: list[ConfigError] = []
    node = _read(path, name, found)
    if found and problems is None:
        raise found[0]
    (problems if problems is not None else found).extend(found)
    return node


def _read(path: Path, name: str, problems: list[ConfigError]) -> Node | None:
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
        return None if node is None else _Converter(name, problems).node(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = Where(file=name, line=mark.line + 1, column=mark.column + 1) if mark else Where(file=name)
        if isinstance(error, yaml.reader.ReaderError):  # it knows how far it came, and no line
            place = Where(file=name, line=data.count(b"\n", 0, int(error.position)) + 1)
        # what follows is the file's own text, which may be a password without quotes
        problem = re.sub(r"(alias|handle) .*", r"\1", getattr(error, "problem", None) or type(error).__name__)
        raise ConfigError(f"is no valid YAML: {problem}", where=place, code="RV003") from None
    except (RecursionError, UnicodeDecodeError):
        raise ConfigError("is no valid YAML", where=Where(file=name), code="RV003") from None
    finally:
        if loader is not None:
            loader.dispose()


def _bounded(data: bytes, name: str) -> None:
    """Depth and aliases are counted on the stream of events, before anything is built."""
    depth = aliases = 0
    event: Any
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        place = Where(file=name, line=event.start_mark.line + 1, column=event.start_mark.column + 1)
        if getattr(event, "tag", None):  # not shown: `password: !x` is one
            raise ConfigError("a tag (`!…`) has no meaning here; put a text in quotes", where=place, code="RV003")
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            raise ConfigError(
                f"is nested deeper than {MAX_DEPTH} levels or has more than {MAX_ALIASES} aliases",
                where=place, code="RV002",
            )  # fmt: skip


class _Converter:
    """Nodes of the parser to nodes with places."""

    def __init__(self, name: str, problems: list[ConfigError]) -> None:
        self.name = name
        self.problems = problems
        self.count = 0

    def place(self, node: Any) -> Where:  # noqa: ANN401 a yaml node
        return Where(file=self.name, line=node.start_mark.line + 1, column=node.start_mark.column + 1)

    def step(self, where: Where, depth: int) -> None:
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise ConfigError(
                f"has more than {MAX_NODES:,} values or {MAX_DEPTH} levels where its aliases unfold",
                where=where, code="RV002",
            )  # fmt: skip

    def node(self, node: Any, depth: int = 0) -> Node:  # noqa: ANN401 a yaml node
        where = self.place(node)
        self.step(where, depth)
        if isinstance(node, yaml.MappingNode):
            return Node(self.mapping(node, depth), where)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.node(item, depth + 1) for item in node.value], where)
        return Node(node.value if node.style else _scalar(node.value), where, node.value)

    def mapping(self, node: Any, depth: int) -> dict[str, tuple[Node, Node]]:  # noqa: ANN401 a yaml node
        found: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        self.step(self.place(node), depth)
        for key, value in node.value:
            place = self.place(key)
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError("a key must be a text", where=place, code="RV003")
            if key.value == "<<" and not key.style:
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if not isinstance(part, yaml.MappingNode):
                        raise ConfigError("`<<` takes a mapping, or a list of them", where=place, code="RV003")
                    merged = self.mapping(part, depth + 1) | merged
                continue
            if key.value in found:
                first = found[key.value][0].where.line
                self.problems.append(
                    ConfigError(
                        f"key {key.value!r} occurs twice (first in line {first})", where=place, code="RV004"
                    )
                )
                continue
            found[key.value] = (Node(key.value, place, key.value), self.node(value, depth + 1))
        return {**merged, **found}


def _scalar(text: str) -> Any:  # noqa: ANN401 any YAML scalar
    """YAML 1.2's core schema, without numbers that no one means."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return text.lower() == "true"
    if len(text) > MAX_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text
