"""Another state of the project (`--state DIR`): what has changed since, and where dbt built things there.

The folder holds the manifest.json of revetl, of dbt, or both: each is known by its `metadata`, and each may stand in a
folder of its own (`revetl/`, `dbt/`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revetl import dbt
from revetl.contracts import NOWHERE, Field, Sync
from revetl.errors import ConfigError

if TYPE_CHECKING:
    from revetl.compiler import Compiled
    from revetl.project import Project

PLACES = ("", "revetl", "dbt")
STATES = ("new", "modified", "unmodified", "old")
_MACRO = re.compile(r"\{%[-+]?\s*macro\s+(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """What a state folder holds.

    Attributes:
        own: revetl's manifest; empty if there is none.
        dbt: what dbt's manifest says; None if there is none.
    """

    folder: str
    own: Mapping[str, Any] = field(default_factory=dict)
    dbt: dbt.Dbt | None = None

    def relation(self, node: str) -> str:
        """Where a node of dbt is in that state; empty if nothing says so."""
        if self.dbt is not None and node in self.dbt:
            return self.dbt.node(node).relation
        return str((self.own.get("nodes") or {}).get(node, {}).get("relation_name") or "")

    def digest(self, node: str) -> str:
        """What was to be built there; empty for what was not there."""
        if self.dbt is not None:
            return self.dbt.digest(node) if node in self.dbt else ""
        return str((self.own.get("nodes") or {}).get(node, {}).get("checksum", {}).get("checksum") or "")


def read(folder: Path) -> Previous:
    """The manifests of a folder.

    Raises:
        ConfigError: there is none, or one cannot be read.
    """
    found = Previous(folder=str(folder))
    for path in (folder / place / "manifest.json" for place in PLACES):
        if not path.is_file():
            continue
        raw = dbt.document(path, hint="take the files of a whole run")
        if "revetl_schema_version" in raw["metadata"]:
            found = replace(found, own=raw)
        else:
            dbt.manifest_version(raw, path)
            found = replace(found, dbt=dbt.Dbt(raw=raw, names=dbt.names_of(raw)))
    if not found.own and found.dbt is None:
        hint = "keep target/manifest.json of the state to compare with; dbt's in a folder dbt/ beside it"
        raise ConfigError(f"--state {folder}: there is no manifest.json of revetl or dbt", code="RV458", hint=hint)
    return found


# --- what has changed --------------------------------------------------------------------------------------------------


def sync_digest(sync: Sync) -> str:
    """Changes when what a sync sends, or how, may change: descriptions, owners and places are no part of it."""
    plain = replace(sync, where=NOWHERE, description="", owner="", tags=(), fields=tuple(map(_plain, sync.fields)))
    return _hash(repr(plain))


def _plain(one: Field) -> Field:
    item = _plain(one.item) if one.item else None
    return replace(one, where=NOWHERE, description="", items=tuple(map(_plain, one.items)), item=item)


def model_digest(project: Project, name: str) -> str:
    """Of a model's text before Jinja, and of the macros that it may call."""
    texts = {macro: text for _, text in project.macros for macro in _MACRO.findall(text)}
    seen: dict[str, str] = {}
    front = [project.models[name].sql]
    while front:
        words = {word for text in front for word in re.findall(r"\w+", text)}
        front = [texts[word] for word in sorted(words & texts.keys() - seen.keys())]
        seen |= {word: texts[word] for word in words & texts.keys()}
    return _hash("\0".join([project.models[name].sql, *(seen[word] for word in sorted(seen))]))


def source_digest(project: Project, name: str) -> str:
    """Of a source's place."""
    return _hash(repr(replace(project.sources[name], where=NOWHERE)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def states(project: Project, compiled: Compiled, before: Previous) -> dict[str, str]:
    """new, modified or unmodified, by node of the graph; a sync has changed if anything has that its rows are made of.

    Raises:
        ConfigError: the state has no manifest of revetl.
    """
    if not before.own:
        raise ConfigError(f"--state {before.folder}: there is no manifest.json of revetl, which knows the syncs", code="RV458",
                          hint="revetl parse writes target/manifest.json: keep it with dbt's")  # fmt: skip
    syncs = {str(one.get("uid")): str(one.get("digest") or "") for one in (before.own.get("syncs") or {}).values()}
    nodes = {str(key): str(one.get("digest") or "") for key, one in (before.own.get("nodes") or {}).items()}
    own: dict[str, tuple[str | None, str]] = {}
    for name, sync in project.syncs.items():
        own[f"sync.{name}"] = (syncs.get(sync.uid), sync_digest(sync))
    for name in project.models:
        own[f"model.{name}"] = (nodes.get(f"model.{project.name}.{name}"), model_digest(project, name))
    for name in project.sources:
        own[f"source.{name}"] = (nodes.get(f"source.{project.name}.{name}"), source_digest(project, name))
    for node in compiled.parents:
        if node.startswith("dbt.") and compiled.dbt is not None:
            name = node.removeprefix("dbt.")
            own[node] = (before.digest(name) or None, compiled.dbt.digest(name))
    found = {node: "new" if old is None else "unmodified" if old == now else "modified" for node, (old, now) in own.items()}
    same = [node for node, state in found.items() if node.startswith("sync.") and state == "unmodified"]
    return found | {node: "modified" for node in same if any(found.get(up) != "unmodified" for up in _made_of(compiled, node))}


def _made_of(compiled: Compiled, node: str) -> set[str]:
    """The models, sources and nodes of dbt above a sync, not the people it waits for."""
    seen: set[str] = set()
    front = [node]
    while front:
        front = [up for one in front for up in compiled.parents.get(one, ()) if up not in seen and not up.startswith("sync.")]
        seen |= set(front)
    return seen
