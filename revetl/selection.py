"""dbt's selection grammar over models, sources and syncs; the result is syncs.

- `people`: a sync, model or source by name; `*` is a wildcard.
- `+x`, `x+`, `2+x`, `x+1`, `@x`: with what it reads, with what reads it, to a depth, with its children's parents.
- `tag:`, `path:`, `file:`, `sync:`, `source:`, `type:person`: by property.
- `state:modified`, `state:new`, `state:unmodified`: by what has changed since another state.
- `a,b`: both; `a b`, or two flags: either; `--exclude` takes away.

A model or source stands for the syncs that read it directly; a name that is a sync's means that sync.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from revetl.compiler import DBT, Compiled
from revetl.contracts import SyncType
from revetl.dbt import Node
from revetl.errors import ConfigError
from revetl.nearest import near
from revetl.previous import STATES

METHODS = ("sync", "source", "tag", "path", "file", "type", "resource_type", "state", "fqn")
_WILD = re.compile(r"[*?\[]")
_TERM = re.compile(
    r"(?P<at>@)?(?:(?P<up>\d*)\+)?(?:(?P<method>[a-z_]+):)?(?P<value>[^+@]+?)(?:\+(?P<down>\d{0,6}))?"
)


def select(
    compiled: Compiled, chosen: Sequence[str] = (), excluded: Sequence[str] = (), states: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Names of the selected syncs, in the order of work; all enabled ones without `chosen`.

    Args:
        states: what has changed since another state, by node of the graph; None where there is no other state.

    A wildcard or a property that fits nothing gives nothing; what is written out and does not exist is a mistake.

    Raises:
        ConfigError: an empty selector, or a literal name, tag or path that matches nothing, with the nearest one.
    """
    graph = _Graph(compiled, states)
    nodes = graph.union(chosen) if chosen else set(graph.parents)
    nodes -= graph.union(excluded) if excluded else set()
    return tuple(name for name in compiled.order if f"sync.{name}" in nodes)


def nodes(compiled: Compiled, chosen: Sequence[str], excluded: Sequence[str] = ()) -> dict[str, bool]:
    """The selected models, sources and syncs; with True those that are syncs.

    Raises:
        ConfigError: as `select`.
    """
    graph = _Graph(compiled)
    found = graph.named(chosen) if chosen else set(graph.parents)
    found -= graph.named(excluded) if excluded else set()
    return {node: node.startswith("sync.") for node in sorted(found)}


class _Graph:
    def __init__(self, compiled: Compiled, states: Mapping[str, str] | None = None) -> None:
        self.compiled = compiled
        self.states = states
        self.parents: dict[str, tuple[str, ...]] = dict(compiled.parents)
        for parents in compiled.parents.values():
            for parent in parents:
                self.parents.setdefault(parent, ())
        self.children: dict[str, list[str]] = {}
        for node, parents in self.parents.items():
            for parent in parents:
                self.children.setdefault(parent, []).append(node)

    def union(self, terms: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for term in terms:
            parts = term.split()
            if not parts:
                raise ConfigError("the selector is empty", hint="leave the flag away to select everything", code="RV070")
            for text in parts:
                sets = [self.one(one) for one in text.split(",") if one]
                found |= set.intersection(*sets) if sets else set()
        return found

    def named(self, terms: Iterable[str]) -> set[str]:
        """As `union`, without the syncs that only read what is meant."""
        meant: set[str] = set()
        for term in terms:
            found = self.union([term])
            plain = {node for node in found if not node.startswith("sync.")}
            meant |= found if "+" in term or "@" in term or not plain else plain
        return meant

    def one(self, term: str) -> set[str]:
        match = _TERM.fullmatch(term)
        if match is None:
            raise ConfigError(f"{term!r} is no selector", hint="see: revetl ls --help", code="RV070")
        method, value = match["method"] or "fqn", match["value"]
        if method == "fqn" and "/" in value:
            method = "path"
        found, known = self.matching(method, value, term)
        if not found and not _WILD.search(value) and value not in known:
            raise ConfigError(f"the selector {term!r} matches nothing{near(value, list(known))}",
                              hint="revetl ls shows what there is", code="RV071")  # fmt: skip
        if f"sync.{value}" in found and value not in self.compiled.order:
            raise ConfigError(f"the sync {value!r} is not enabled", hint="`enabled: true` in its file", code="RV071",
                              where=self.compiled.syncs[value].where)  # fmt: skip
        wanted = set(found)
        if match["at"]:
            for node in self.reach(found, self.children, None):
                wanted |= self.reach({node}, self.parents, None)
        if match["up"] is not None:
            wanted |= self.reach(found, self.parents, int(match["up"]) if match["up"] else None)
        if match["down"] is not None:
            wanted |= self.reach(found, self.children, int(match["down"]) if match["down"] else None)
        named = method in {"fqn", "sync"} and any(node.startswith("sync.") for node in found)
        if match["down"] is None and not named:
            # a sync's own followers are no readers: `type:person` sends no events
            read = {node for node in found if not node.startswith("sync.")}
            wanted |= {c for node in read for c in self.children.get(node, ()) if c.startswith("sync.")}
        return wanted

    def reach(self, start: set[str], edges: Mapping[str, Sequence[str]], depth: int | None) -> set[str]:
        found, front = set(start), set(start)
        while front and depth != 0:
            front = {n for node in front for n in edges.get(node, ()) if n not in found}
            found |= front
            depth = None if depth is None else depth - 1
        return found

    def matching(self, method: str, value: str, term: str) -> tuple[set[str], set[str]]:
        """Nodes with a property, and the values that there are."""
        clean = value.removeprefix("./").rstrip("/") if method == "path" else value
        facts = self.facts(method, term)
        found = {
            node for node, mine in facts.items()
            if any(fnmatchcase(one, clean) or (method == "path" and one.startswith(clean + "/")) for one in mine)
        }  # fmt: skip
        known = {one for mine in facts.values() for one in mine}
        return found, known | set({"type": SyncType, "state": STATES}.get(method, ()))

    def facts(self, method: str, term: str) -> dict[str, tuple[str, ...]]:
        """What a method looks at, by node."""
        syncs, models = self.compiled.syncs, self.compiled.models
        if method in {"fqn", "sync", "source"}:
            wanted = {"fqn": ("sync", "model", "source", "dbt")}.get(method, (method,))
            found = {node: self.names(node) for node in self.parents if node.split(".", 1)[0] in wanted}
            if method == "source":
                found |= {node: self.names(node) for node, one in self.of_dbt().items() if one.kind == "source"}
            return found
        if method == "tag":
            own = {f"sync.{s.name}": s.tags for s in syncs.values()} | {f"model.{m}": r.tags for m, r in models.items()}
            return own | {node: found.tags for node, found in self.of_dbt().items()}
        if method in {"path", "file"}:
            paths = {f"sync.{s.name}": s.where.file for s in syncs.values()}
            paths |= {f"model.{m}": r.model.path for m, r in models.items()}
            paths |= {node: found.file for node, found in self.of_dbt().items()}
            if method == "path":
                return {node: (path,) for node, path in paths.items()}
            last = {node: path.rsplit("/", 1)[-1] for node, path in paths.items()}
            return {node: (name, name.rsplit(".", 1)[0]) for node, name in last.items()}
        if method == "type":
            return {f"sync.{s.name}": (str(s.type),) for s in syncs.values()}
        if method == "state":
            if self.states is None:
                raise ConfigError(f"{term!r} needs another state to compare with", hint="--state DIR", code="RV458")
            means = {"new": ("new", "modified"), "modified": ("modified", "old"), "unmodified": ("unmodified", "old")}
            return {node: means[state] for node, state in self.states.items()}
        if method == "resource_type":
            of_dbt = self.of_dbt()
            return {node: (of_dbt[node].kind if node in of_dbt else node.split(".", 1)[0],) for node in self.parents}
        raise ConfigError(f"{term!r}: there is no method {method!r}{near(method, METHODS)}",
                          hint=f"methods: {', '.join(METHODS)}", code="RV070")  # fmt: skip

    def of_dbt(self) -> dict[str, Node]:
        """The nodes of dbt in the graph."""
        dbt = self.compiled.dbt
        found = (node for node in self.parents if node.startswith(DBT)) if dbt is not None else ()
        return {node: dbt.node(node.removeprefix(DBT)) for node in found if dbt is not None}

    def names(self, node: str) -> tuple[str, ...]:
        """A node's name, its name with its folders, and each folder: `people`, `marts.people`, `marts`."""
        kind, name = node.split(".", 1)
        if kind == "dbt" and self.compiled.dbt is not None:
            one = self.compiled.dbt.node(name)
            inner = name.split(".", 2)[2]  # `customers`, `customers.v2`, `raw.orders`
            return name, inner, f"{one.package}.{inner}", *((inner.split(".")[0],) if "." in inner else ())
        if kind == "source":
            return name, name.split(".", 1)[0]
        if kind == "sync":
            return (name,)
        folders = self.compiled.models[name].model.path.split("/")[1:-1]
        return name, *(".".join([*folders[:i]]) for i in range(1, len(folders) + 1)), ".".join([*folders, name])
