"""dbt's selection grammar over models, sources and syncs; the result is syncs.

    people            a sync or model by name; * is a wildcard
    +x  x+  2+x  @x   with what it reads, with what reads it, to a depth, with its children's parents
    tag:  path:  file:  sync:  type:      by property
    a,b               both;  a b or two flags: either;  --exclude takes away
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from revetl.compiler import Compiled
from revetl.errors import ConfigError
from revetl.syncfile import near

_TERM = re.compile(r"(?P<at>@)?(?:(?P<up>\d*)\+)?(?:(?P<method>[a-z_]+):)?(?P<value>[^+@]+?)(?:\+(?P<down>\d*))?")


def select(compiled: Compiled, chosen: Sequence[str] = (), excluded: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the selected syncs, in the order of work; all of them without `chosen`.

    Raises:
        ConfigError: a literal name, tag or path that matches nothing, with the nearest one (exit 2).
    """
    graph = _Graph(compiled)
    nodes = graph.union(chosen) if chosen else set(graph.parents)
    nodes -= graph.union(excluded) if excluded else set()
    return tuple(name for name in compiled.order if f"sync.{name}" in nodes)


class _Graph:
    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
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
        for text in (part for term in terms for part in term.split()):
            parts = [self.one(term) for term in text.split(",") if term]
            found |= set.intersection(*parts) if parts else set()
        return found

    def one(self, term: str) -> set[str]:
        match = _TERM.fullmatch(term)
        if match is None:
            raise ConfigError(f"{term!r} is no selector", hint="see: revetl ls --help", code="RV070")
        found = self.matching(match["method"] or "", match["value"], term)
        # a model stands for the syncs that read it
        wanted = set(found)
        if match["at"]:
            for node in self.reach(found, self.children, None):
                wanted |= self.reach({node}, self.parents, None)
        if match["up"] is not None:
            wanted |= self.reach(found, self.parents, int(match["up"]) if match["up"] else None)
        if match["down"] is not None:
            wanted |= self.reach(found, self.children, int(match["down"]) if match["down"] else None)
        if match["down"] is None and not any(node.startswith("sync.") for node in found):
            direct = {c for node in found for c in self.children.get(node, ()) if c.startswith("sync.")}
            wanted |= direct
        return wanted

    def reach(self, start: set[str], edges: Mapping[str, Sequence[str]], depth: int | None) -> set[str]:
        found, front = set(start), set(start)
        while front and depth != 0:
            front = {n for node in front for n in edges.get(node, ()) if n not in found}
            found |= front
            depth = None if depth is None else depth - 1
        return found

    def matching(self, method: str, value: str, term: str) -> set[str]:
        compiled = self.compiled
        if method in {"", "fqn", "sync"}:
            kinds = ("sync",) if method == "sync" else ("sync", "model", "source")
            names = {node: node.split(".", 1)[1] for node in self.parents if node.split(".", 1)[0] in kinds}
            if not method and "/" in value:
                return self.matching("path", value, term)
            found = {node for node, name in names.items() if fnmatchcase(name, value)}
            known: Iterable[str] = names.values()
        elif method == "tag":
            tags = {f"sync.{s.name}": s.tags for s in compiled.syncs.values()}
            tags |= {f"model.{name}": r.tags for name, r in compiled.models.items()}
            found = {node for node, mine in tags.items() if any(fnmatchcase(tag, value) for tag in mine)}
            known = {tag for mine in tags.values() for tag in mine}
        elif method in {"path", "file"}:
            paths = {f"model.{name}": r.model.path for name, r in compiled.models.items()}
            paths |= {f"sync.{s.name}": s.where.file for s in compiled.syncs.values()}
            clean = value.removeprefix("./").rstrip("/")
            if method == "file":
                found = {node for node, path in paths.items() if fnmatchcase(path.rsplit("/", 1)[-1], clean)
                         or fnmatchcase(path.rsplit("/", 1)[-1].rsplit(".", 1)[0], clean)}  # fmt: skip
            else:
                found = {node for node, path in paths.items() if fnmatchcase(path, clean) or path.startswith(clean + "/")}
            known = paths.values()
        elif method in {"type", "resource_type"}:
            found = {f"sync.{s.name}" for s in compiled.syncs.values() if s.type == value}
            known = {str(s.type) for s in compiled.syncs.values()}
        else:
            methods = ("sync", "tag", "path", "file", "type")
            raise ConfigError(f"{term!r}: there is no method {method!r}{near(method, methods)}",
                              hint=f"methods: {', '.join(methods)}", code="RV070")  # fmt: skip
        if not found:
            raise ConfigError(f"the selector {term!r} matches nothing{near(value, list(known))}",
                              hint="revetl ls shows what there is", code="RV071")  # fmt: skip
        return found
