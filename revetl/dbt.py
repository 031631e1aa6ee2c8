"""What dbt built, read from its files: `manifest.json` (v10 to v12), `run_results.json`, `sources.json`. Pure but for `read`.

`Names` says what `ref()` and `source()` mean, and why some of them cannot be read; it is small, so that the process
that renders templates gets it too. `Dbt` has the rest: columns, owners, tests, ages of sources.

A node has dbt's `unique_id` as its name everywhere, so that it is never taken for a model of the project itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from revetl.errors import ConfigError
from revetl.nearest import near

OLDEST, NEWEST = 10, 12
KINDS = ("model", "seed", "snapshot")
BUILDS = frozenset({"build", "run", "test", "seed", "snapshot", "retry", "clone"})  # whose results are outcomes
_VERSION = re.compile(r"/manifest/v(\d+)\.json$")
_PII = re.compile(r"(is_|has_|contains_)?(pii|personal|personal_data)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a name cannot be read, in the parts of a `ConfigError`."""

    message: str
    hint: str = ""
    code: str = ""

    def error(self) -> ConfigError:
        """To be raised, or noted with a place."""
        return ConfigError(self.message, hint=self.hint, code=self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing of dbt that a model may read.

    Attributes:
        id: dbt's `unique_id`.
        relation: as dbt wrote it, quoted; empty for an ephemeral model, which becomes a CTE.
        version: of a versioned model.
        latest: whether a `ref` without a version means it.
        problem: why it cannot be read.
    """

    id: str
    name: str
    package: str
    relation: str = ""
    version: str = ""
    latest: bool = True
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What `ref()` and `source()` mean in the dbt project.

    Attributes:
        project: dbt's root project: its models come before those of packages, as in dbt.
        home: how commands name the dbt project: ` --project-dir ../dbt`, or nothing.
        models: enabled ones by name, all versions and packages.
        disabled: names of disabled models and sources, with their files.
    """

    project: str
    home: str
    models: Mapping[str, tuple[Entry, ...]]
    sources: Mapping[str, Entry]
    disabled: Mapping[str, str]

    def build(self, name: str) -> str:
        """The command that builds something."""
        return f"dbt build --select {name}{self.home}"

    def ref(self, name: str, package: str = "", version: str = "") -> Entry:
        """What a `ref` means.

        Raises:
            ConfigError: nothing that can be read.
        """
        said = _said(name, package, version)
        found = [one for one in self.models.get(name, ()) if package in {"", one.package}]
        if not package and any(one.package == self.project for one in found):
            found = [one for one in found if one.package == self.project]
        if not found:
            raise self._missing(name, package, said)
        if len(packages := {one.package for one in found}) > 1:
            raise ConfigError(f"{said}: the packages {', '.join(sorted(packages))} each have such a model in dbt", code="RV445",
                              hint=f"say which: ref({min(packages)!r}, {name!r})")  # fmt: skip
        if version:
            chosen = [one for one in found if one.version == version]
            if not chosen:
                there = sorted(one.version for one in found if one.version)
                hint = f"it has: {', '.join(there)}" if there else f"it has no versions: ref({name!r})"
                raise ConfigError(f"{said}: dbt's model {name!r} has no version {version}", code="RV446", hint=hint)
        else:
            chosen = [one for one in found if one.latest] or found[-1:]
        if chosen[0].problem is not None:
            raise chosen[0].problem.error()
        return chosen[0]

    def _missing(self, name: str, package: str, said: str) -> ConfigError:
        if name in self.disabled and not package:
            return self._disabled(f"dbt's model {name!r}", name)
        known = {one.name for many in self.models.values() for one in many if package in {"", one.package}}
        meant = near(name, known)
        there = f"there is no such model{f' of package {package!r}' if package else ''}, neither here nor in dbt's manifest.json"
        return ConfigError(f"{said}: {there}{meant}", code="RV442",
                           hint=f"if dbt has it by now: {self.build(name)}")  # fmt: skip

    def _disabled(self, what: str, name: str) -> ConfigError:
        return ConfigError(f"{what} is disabled ({self.disabled[name]})", code="RV443",
                           hint=f"take `enabled: false` away, then: {self.build(name.rpartition('.')[2])}")  # fmt: skip

    def source(self, group: str, table: str) -> Entry:
        """What a `source` means.

        Raises:
            ConfigError: nothing that can be read.
        """
        name = f"{group}.{table}"
        if name in self.sources:
            return self.sources[name]
        if name in self.disabled:
            raise self._disabled(f"dbt's source {name!r}", name)
        raise ConfigError(
            f"source({group!r}, {table!r}) is declared neither here nor in dbt{near(name, self.sources)}", code="RV449",
            hint=f"if dbt declares it by now: dbt parse{self.home}",
        )  # fmt: skip


def _said(name: str, package: str, version: str) -> str:
    parts = [repr(part) for part in (package, name) if part] + ([f"v={version}"] if version else [])
    return f"ref({', '.join(parts)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What dbt's files say of a column; `type` is the declared `data_type`."""

    name: str
    type: str = ""
    description: str = ""
    pii: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A model, seed, snapshot or source of dbt.

    Attributes:
        file: relative to the dbt project.
        code: of an ephemeral model: its SQL, compiled by dbt.
        columns: by name in small letters.
        contract: whether dbt enforces the columns and their types.
        owner: of its `meta`, else of its group.
        key: the columns that dbt takes for its key.
        deprecated: the day from which it must not be used.
    """

    id: str
    name: str
    kind: str
    package: str
    file: str
    relation: str
    database: str
    schema: str
    identifier: str
    materialized: str
    code: str
    columns: Mapping[str, Column]
    contract: bool
    description: str
    owner: str
    tags: tuple[str, ...]
    meta: Mapping[str, Any]
    key: tuple[str, ...]
    version: str
    latest: str
    deprecated: date | None
    parents: tuple[str, ...]

    @property
    def selector(self) -> str:
        """As dbt's `--select` takes it."""
        if self.kind == "source":
            return f"source:{'.'.join(self.id.split('.')[2:])}"
        return f"{self.name}.v{self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a node or a test in dbt's last run."""

    status: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """How fresh a source was: pass, warn, error, runtime error."""

    status: str
    loaded_at: str = ""
    checked_at: str = ""


@dataclass(frozen=True, slots=True)
class Dbt:
    """A dbt project as it was when it was last built or parsed.

    Attributes:
        raw: the manifest as dbt wrote it.
        names: what can be read.
        outcomes: of the last `dbt build`, `run` or `test`, by `unique_id`; empty if it is not known.
        fresh: of sources, by `unique_id`.
        command: what wrote the outcomes.
        on_tests, on_freshness: stop | warn | ignore.
        where: the folder with the files.
        deferred: relations that stand in for those which are not built, by `unique_id`.
        warnings: about the files themselves.
    """

    raw: Mapping[str, Any]
    names: Names
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    fresh: Mapping[str, Fresh] = field(default_factory=dict)
    command: str = ""
    on_tests: str = "stop"
    on_freshness: str = "stop"
    where: Path = Path()
    deferred: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def adapter(self) -> str:
        """The kind of warehouse that it was built for."""
        return str(_of(self.raw, "metadata").get("adapter_type") or "")

    def __contains__(self, node: object) -> bool:
        """Whether something is a model, seed, snapshot or source of dbt."""
        name = str(node)
        return name in _of(self.raw, "sources") or _of(_of(self.raw, "nodes"), name).get("resource_type") in KINDS

    def entries(self) -> Iterator[Entry]:
        """Everything that has a name, models first."""
        for many in self.names.models.values():
            yield from many
        yield from self.names.sources.values()

    def node(self, name: str) -> Node:
        """A node by its `unique_id`."""
        raw = _of(self.raw, "nodes").get(name) or _of(self.raw, "sources")[name]
        config, kind = _of(raw, "config"), str(raw.get("resource_type") or "model")
        meta = {**_of(raw, "source_meta"), **_of(config, "meta"), **_of(raw, "meta")}
        return Node(
            id=name, name=str(raw.get("name") or ""), kind=kind, package=str(raw.get("package_name") or ""),
            file=str(raw.get("original_file_path") or ""), relation=self.deferred.get(name) or _relation(raw),
            database=str(raw.get("database") or ""), schema=str(raw.get("schema") or ""),
            identifier=str(raw.get("identifier") or raw.get("alias") or raw.get("name") or ""),
            materialized=str(config.get("materialized") or ""), code=str(raw.get("compiled_code") or ""),
            columns=MappingProxyType({key.lower(): _column(key, value) for key, value in _of(raw, "columns").items()}),
            contract=bool(_of(raw, "contract").get("enforced") or _of(config, "contract").get("enforced")),
            description=str(raw.get("description") or "").strip(), owner=self._owner(raw, config, meta),
            tags=tuple(map(str, raw.get("tags") or ())), meta=MappingProxyType(meta),
            key=_key(raw, config) or self._tested_key(name),
            version=_number(raw.get("version")), latest=_number(raw.get("latest_version")),
            deprecated=_day(raw.get("deprecation_date")), parents=_parents(raw),
        )  # fmt: skip

    def _owner(self, raw: Mapping[str, Any], config: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
        """`meta: {owner: …}`, else the owner of the group."""
        group = str(raw.get("group") or config.get("group") or "")
        groups = _of(self.raw, "groups").values()
        found = meta.get("owner") or next((g.get("owner") for g in groups if group and g.get("name") == group), None)
        if isinstance(found, Mapping):
            found = found.get("email") or found.get("name")
        if isinstance(found, list):
            found = found[0] if found else None
        return str(found or "").strip()

    def _tested_key(self, name: str) -> tuple[str, ...]:
        """The column that is tested as unique and not null: manifests before version 12 do not say it otherwise."""
        tested: dict[str, set[str]] = {}
        for raw in _of(self.raw, "nodes").values():
            kind = str(_of(raw, "test_metadata").get("name") or "")
            if raw.get("attached_node") == name and raw.get("column_name") and kind in {"unique", "not_null"}:
                tested.setdefault(str(raw["column_name"]), set()).add(kind)
        return tuple(column for column, kinds in tested.items() if len(kinds) > 1)[:1]

    def above(self, names: Iterable[str]) -> tuple[str, ...]:
        """Nodes and everything that they are made of, sources included."""
        seen: dict[str, None] = {}
        front = [name for name in names if name in self]
        while front:
            seen |= dict.fromkeys(front)
            raws = (_of(self.raw, "nodes").get(name) or {} for name in front)
            front = [up for raw in raws for up in _parents(raw) if up in self and up not in seen]
        return tuple(seen)

    def stored(self, names: Iterable[str]) -> tuple[str, ...]:
        """The relations behind some nodes: themselves, or what an ephemeral model is made of."""
        seen: dict[str, None] = {}

        def visit(name: str) -> None:
            node = self.node(name)
            if node.materialized != "ephemeral":
                seen[name] = None
            for parent in node.parents if node.materialized == "ephemeral" else ():
                if parent in self and parent not in seen:
                    visit(parent)

        for name in names:
            visit(name)
        return tuple(seen)

    def reference(self, name: str) -> str:
        """A node as dbt's YAML names it."""
        node = self.node(name)
        if node.kind == "source":
            group, _, table = ".".join(name.split(".")[2:]).partition(".")
            return f"source('{group}', '{table}')"
        package = "" if node.package == self.names.project else f"'{node.package}', "
        return f"ref({package}'{node.name}'{f', v={node.version}' if node.version else ''})"

    def tests(self, name: str) -> tuple[str, ...]:
        """The tests of a node, unit tests included."""
        found = []
        for one, raw in _of(self.raw, "nodes").items():
            if raw.get("resource_type") == "test" and name == (raw.get("attached_node") or name) and name in _parents(raw):
                found.append(one)
        found += [one for one, raw in _of(self.raw, "unit_tests").items() if name in _parents(raw)]
        return tuple(found)

    def digest(self, name: str) -> str:
        """Changes when what a node gives may change: its text before Jinja, its settings as written, its macros.

        Nothing of a target is in it, so that development and production are not told apart.
        """
        raw = _of(self.raw, "nodes").get(name) or _of(self.raw, "sources").get(name) or {}
        dropped = {"meta", "tags", "docs", "group", "access"}
        settings = {key: value for key, value in _of(raw, "unrendered_config").items() if key not in dropped}
        facts = [
            _of(raw, "checksum"), settings, _of(raw, "config").get("materialized"), _of(raw, "contract").get("checksum"),
            raw.get("identifier"), raw.get("source_name"), [self._macro(one) for one in self._macros(raw)],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def _macros(self, raw: Mapping[str, Any]) -> list[str]:
        """The macros that a node uses, and those that they use; not dbt's own, which change with its version."""
        own = {"dbt", f"dbt_{self.adapter}", "dbt_postgres", "dbt_spark"}
        seen: set[str] = set()
        front = list(_of(raw, "depends_on").get("macros") or ())
        while front:
            seen |= set(front)
            used = (_of(_of(self.raw, "macros"), one) for one in front)
            front = [up for one in used for up in _of(one, "depends_on").get("macros") or () if up not in seen]
        return sorted(one for one in seen if str(one).split(".")[1:2] and str(one).split(".")[1] not in own)

    def _macro(self, name: str) -> str:
        return str(_of(_of(self.raw, "macros"), name).get("macro_sql") or "")

    def defer(self, relations: Mapping[str, str]) -> Dbt:
        """The same with some relations of another target."""
        def moved(entry: Entry) -> Entry:
            return replace(entry, relation=relations[entry.id], problem=None) if entry.id in relations else entry

        names = replace(
            self.names, models={key: tuple(map(moved, many)) for key, many in self.names.models.items()},
            sources={key: moved(one) for key, one in self.names.sources.items()},
        )  # fmt: skip
        return replace(self, names=names, deferred={**self.deferred, **relations})


# --- files -----------------------------------------------------------------------------------------------------------


def document(path: Path, *, hint: str) -> Mapping[str, Any]:
    """A JSON file of dbt's.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    import orjson  # noqa: PLC0415 a project without dbt does not wait for it

    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}: dbt has not written it yet", hint=hint, code="RV440") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON, or cut off"
        raise ConfigError(f"{path} cannot be read: {reason}", hint=hint, code="RV440") from None
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise ConfigError(f"{path} is no file of dbt's: it has no `metadata`", hint=hint, code="RV440")
    return found


def read(
    folder: Path, *, project: Path | None = None, home: str = "", on_tests: str = "stop", on_freshness: str = "stop"
) -> Dbt:
    """Read what dbt wrote into a folder.

    Args:
        folder: dbt's target folder.
        project: the folder with the files that it was made of.
        home: how commands name the dbt project: ` --project-dir ../dbt`.
        on_tests, on_freshness: stop | warn | ignore.

    Raises:
        ConfigError: there is no manifest.json, or of a version that is not read.
    """
    raw = document(folder / "manifest.json", hint=f"dbt build{home}")
    warnings = manifest_version(raw, folder / "manifest.json", home)
    raw = raw if project is None else _with_compiled(raw, folder / "compiled", project)
    made = Dbt(raw=raw, names=names_of(raw, home), on_tests=on_tests, on_freshness=on_freshness, where=folder, warnings=warnings)
    if on_tests != "ignore" and (folder / "run_results.json").is_file():
        results = document(folder / "run_results.json", hint=f"dbt build{home}")
        command = str(_of(results, "args").get("which") or "")
        found = {str(one.get("unique_id")): Outcome(status=str(one.get("status")), message=str(one.get("message") or ""))
                 for one in _list(results, "results")}  # fmt: skip
        made = replace(made, outcomes=found if command in BUILDS else {}, command=command)
    if on_freshness != "ignore" and (folder / "sources.json").is_file():
        sources = document(folder / "sources.json", hint=f"dbt source freshness{home}")
        made = replace(made, fresh={
            str(one.get("unique_id")): Fresh(
                status=str(one.get("status")), loaded_at=str(one.get("max_loaded_at") or ""),
                checked_at=str(one.get("snapshotted_at") or _of(sources, "metadata").get("generated_at") or ""),
            )
            for one in _list(sources, "results")
        })  # fmt: skip
    return made


def _with_compiled(raw: Mapping[str, Any], folder: Path, project: Path) -> Mapping[str, Any]:
    """The manifest with the compiled SQL of ephemeral models that dbt left out of it.

    Each command writes a manifest with the SQL of what it selected only; that of the others is still in `compiled/`. It is taken
    if it is newer than all that it was made of, and reads the relations that the manifest says: those of this target.
    """
    nodes = _of(raw, "nodes")
    found = {}
    for name, node in nodes.items():
        if _of(node, "config").get("materialized") != "ephemeral" or node.get("compiled_code"):
            continue
        file = folder / str(node.get("package_name")) / str(node.get("original_file_path"))
        inside, relations = _inlined(raw, name)
        used = [nodes[one] for one in inside]
        macros = {one for each in used for one in _of(each, "depends_on").get("macros") or ()}
        macros |= {key for key, one in _of(raw, "macros").items() if one.get("package_name") == node.get("package_name")}
        parts = [project / str(one.get("original_file_path")) for one in used]
        parts += [project / str(_of(_of(raw, "macros"), one).get("original_file_path")) for one in sorted(macros)]
        try:
            text, made = file.read_text(encoding="utf-8"), file.stat().st_mtime
            last = max(part.stat().st_mtime for part in parts if part in parts[: len(used)] or part.is_file())
        except (OSError, UnicodeDecodeError):
            continue
        if text.strip() and last <= made and all(relation in text for relation in relations):
            found[name] = {**node, "compiled_code": text}
    return {**raw, "nodes": {**nodes, **found}} if found else raw


def _inlined(raw: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ephemeral models that one is made of, itself first, and the relations that they read."""
    nodes, relations = _of(raw, "nodes"), []
    seen: dict[str, None] = {name: None}
    front = [name]
    while front:
        above = [up for one in front for up in _parents(nodes[one])]
        relations += [_relation(_of(nodes, up) or _of(_of(raw, "sources"), up)) for up in above]
        front = [up for up in above if _of(_of(nodes, up), "config").get("materialized") == "ephemeral" and up not in seen]
        seen |= dict.fromkeys(front)
    return tuple(seen), tuple(one for one in relations if one)


def manifest_version(raw: Mapping[str, Any], path: Path, home: str = "") -> tuple[str, ...]:
    """Warnings about a manifest's version.

    Raises:
        ConfigError: it is too old, or no manifest.
    """
    meta = _of(raw, "metadata")
    match = _VERSION.search(str(meta.get("dbt_schema_version") or ""))
    if match is None or not isinstance(raw.get("nodes"), dict):
        raise ConfigError(f"{path} is no manifest of dbt's", hint=f"dbt parse{home}", code="RV441")
    number = int(match[1])
    if number < OLDEST:
        raise ConfigError(
            f"{path} has version {number}, of dbt {meta.get('dbt_version') or '?'}; versions {OLDEST} to {NEWEST} are read",
            hint="upgrade dbt to 1.6 or later, then: dbt build", code="RV441",
        )  # fmt: skip
    if number > NEWEST:
        return (f"{path} has version {number}, which is newer than {NEWEST}: what is new in it is not seen",)
    return ()


def names_of(raw: Mapping[str, Any], home: str = "") -> Names:
    """What `ref()` and `source()` mean by a manifest."""
    models: dict[str, tuple[Entry, ...]] = {}
    for one, node in _of(raw, "nodes").items():
        if node.get("resource_type") not in KINDS:
            continue
        name = str(node.get("name"))
        version, latest = _number(node.get("version")), _number(node.get("latest_version"))
        entry = Entry(
            id=one, name=name, package=str(node.get("package_name")), relation=_relation(node), version=version,
            latest=not version or version == latest, problem=_problem(node, home),
        )  # fmt: skip
        models[name] = (*models.get(name, ()), entry)
    sources = {
        f"{node.get('source_name')}.{node.get('name')}":
            Entry(id=one, name=str(node.get("name")), package=str(node.get("package_name")), relation=_relation(node))
        for one, node in _of(raw, "sources").items()
    }  # fmt: skip
    disabled: dict[str, str] = {}
    for many in _of(raw, "disabled").values():
        for node in many if isinstance(many, list) else [many]:
            name, kind = str(node.get("name")), node.get("resource_type")
            if kind == "source":
                disabled[f"{node.get('source_name')}.{name}"] = str(node.get("original_file_path"))
            elif kind in KINDS:
                disabled[name] = str(node.get("original_file_path"))
    project = str(_of(raw, "metadata").get("project_name") or "")
    return Names(project=project, home=home, models=models, sources=sources, disabled=disabled)


def _problem(node: Mapping[str, Any], home: str) -> Problem | None:
    """Why a node of the manifest cannot be read."""
    name, config = str(node.get("name")), _of(node, "config")
    access = str(node.get("access") or config.get("access") or "")
    if access == "private":
        group = str(node.get("group") or config.get("group") or "")
        return Problem(
            message=f"dbt's model {name!r} is private{f' to the group {group!r}' if group else ''}", code="RV447",
            hint=f"read a public model, or set `access: protected` in dbt, then: dbt parse{home}",
        )  # fmt: skip
    if config.get("materialized") == "ephemeral":
        if str(node.get("language") or "sql") != "sql" or not node.get("compiled_code"):
            return Problem(
                message=f"dbt's model {name!r} is ephemeral, and manifest.json does not have its compiled SQL", code="RV444",
                hint=f"dbt compile{home}",
            )  # fmt: skip
    elif not _relation(node):
        return Problem(message=f"dbt's manifest.json does not say where {name!r} is", code="RV444",
                       hint=f"dbt build --select {name}{home}")  # fmt: skip
    return None


# --- parts of a manifest -----------------------------------------------------------------------------------------------


def _of(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping inside, or an empty one: keys come and go with the versions."""
    found = raw.get(key)
    return found if isinstance(found, Mapping) else {}


def _list(raw: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = raw.get(key)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _relation(raw: Mapping[str, Any]) -> str:
    """As dbt wrote it; else by the parts of its name."""
    if _of(raw, "config").get("materialized") == "ephemeral":
        return ""
    if raw.get("relation_name"):
        return str(raw["relation_name"])
    parts = (raw.get("database"), raw.get("schema"), raw.get("identifier") or raw.get("alias"))
    return ".".join('"' + str(part).replace('"', '""') + '"' for part in parts if part)


def _parents(raw: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, _of(raw, "depends_on").get("nodes") or ()))


def _number(value: Any) -> str:  # noqa: ANN401 a number or a text
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _day(value: Any) -> date | None:  # noqa: ANN401 a text, or nothing
    try:
        return date.fromisoformat(str(value)[:10]) if value else None
    except ValueError:
        return None


def _key(raw: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    found = raw.get("primary_key") or config.get("unique_key") or ()
    return (found,) if isinstance(found, str) else tuple(map(str, found))


def _column(name: str, raw: Mapping[str, Any]) -> Column:
    config = _of(raw, "config")
    meta = {**_of(config, "meta"), **_of(raw, "meta")}
    tags = [*(raw.get("tags") or ()), *(config.get("tags") or ())]
    marked = any(_PII.fullmatch(str(tag)) for tag in tags)
    marked = marked or any(_PII.fullmatch(str(key)) and _true(value) for key, value in meta.items())
    said = str(raw.get("description") or "").strip()
    return Column(name=name, type=str(raw.get("data_type") or ""), description=said, pii=marked)


def _true(value: Any) -> bool:  # noqa: ANN401 any YAML value
    return bool(value) and str(value).lower() not in {"false", "no", "none", "0"}

