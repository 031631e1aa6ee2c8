"""Models and syncs to SQL: ephemeral models as CTEs, one SELECT for each sync, and a map back to lines.

Nothing here knows a warehouse, and no template runs here (`render.py`). A model is ephemeral unless it says
`config(materialized='view'|'table')`: then its relation is built by the run, in the order of `Compiled.builds`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from revetl.contracts import Sync
from revetl.dbt import Dbt
from revetl.errors import ConfigError, ProjectErrors, Where
from revetl.folding import in_quotes, named
from revetl.profiles import keys_of
from revetl.project import Model, Project, Source
from revetl.render import Job, Rendering, Text, cte, loose_end, readable, render
from revetl.sourcefiles import CALL, absent, places

DBT = "dbt."  # before an id of dbt's, in the graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A model's SQL after Jinja.

    Attributes:
        parents: models and sources it names, in order: `people`, `raw.orders`.
        materialized: ephemeral | view | table.
    """

    model: Model
    sql: str
    parents: tuple[str, ...]
    materialized: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A view or table that a run makes before it plans."""

    name: str
    relation: str
    materialized: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A compiled project.

    Attributes:
        order: enabled syncs in the order of work: people first.
        parents: node → nodes it reads, by `model.x`, `source.x.y`, `sync.x`, and `dbt.` with an id of dbt's.
        dbt: what a dbt project built, where the project reads one.
        files: that sources declare, with these sources and their places.
    """

    models: Mapping[str, Rendered]
    syncs: Mapping[str, Sync]
    order: tuple[str, ...]
    builds: tuple[Build, ...]
    parents: Mapping[str, tuple[str, ...]]
    statements: Mapping[str, str]
    lines: Mapping[str, tuple[tuple[int, str], ...]]
    dbt: Dbt | None = None
    files: Mapping[str, Sequence[tuple[str, Where]]] = field(default_factory=dict)

    def absent(self, message: str) -> ConfigError | None:
        """The file of a source that a warehouse misses, by what it says."""
        return absent(self.files, message)

    def upstream(self, sync: str) -> tuple[str, ...]:
        """The nodes of dbt that a sync reads, by models of the project or directly; not what these are made of."""
        if self.dbt is None:
            return ()
        seen: dict[str, None] = {}
        front = [f"sync.{sync}"]
        while front:
            seen |= dict.fromkeys(front)
            # an event waits for its people, and reads nothing of theirs
            own = [one for one in front if not one.startswith(DBT)]
            above = (up for one in own for up in self.parents.get(one, ()) if not up.startswith("sync."))
            front = [one for one in above if one not in seen]
        return tuple(one.removeprefix(DBT) for one in seen if one.startswith(DBT))

    def sql(self, sync: str) -> str:
        """The one SELECT of a sync."""
        return self.statements[sync]

    def model_sql(self, model: str) -> str:
        """A model's own SQL after Jinja."""
        return self.models[model].sql

    def locate(self, sync: str, line: int) -> Where | None:
        """The model's file and line of a line of `sql(sync)`, both from 1; None for lines that are nobody's.

        Exact where a line was rendered as it is written; else the line of the template that made it, by what stands
        around it.
        """
        for first, name in self.lines.get(sync, ()):
            text = self.models[name].sql.split("\n")
            if first <= line < first + len(text):
                model = self.models[name].model
                return Where(file=model.path, line=_source_line(model.sql.split("\n"), text, line - first) + 1)
        return None


def _source_line(source: list[str], rendered: list[str], number: int) -> int:
    """Which line of a template made a line of its text; both from 0."""
    aligned = difflib.SequenceMatcher(None, [s.strip() for s in source], [r.strip() for r in rendered], autojunk=False)
    for kind, a, z, first, last in aligned.get_opcodes():
        if first <= number < last:
            inside = number - first
            return a + inside if kind == "equal" else max(0, min(a + inside, max(z - 1, a), len(source) - 1))
    return 0


def compile_project(project: Project, *, environ: Mapping[str, str] | None = None) -> Compiled:
    """Render every model and put each sync's SELECT together.

    Raises:
        ProjectErrors: with every problem of every model: file, line, and the nearest name.
    """
    rendering = render(_job(project, os.environ if environ is None else environ))
    models = _rendered(project, rendering)
    problems = [*rendering.problems, *_loose(models)]
    problems += _circles(models)
    if problems:
        places = [(p.where or Where(file=""), p) for p in problems]
        raise ProjectErrors([p for where, p in sorted(places, key=lambda x: (x[0].file, x[0].line, x[0].column))])
    # a refund waits for its purchase
    ranked = sorted(project.syncs.values(), key=lambda s: (s.type.phase, bool(s.refund_of)))
    order = tuple(s.name for s in ranked if s.enabled)
    read = {*(up for one in models.values() for up in one.parents), *(sync.model for sync in project.syncs.values())}
    texts = {**models, **_ephemeral(project, read)}
    statements, lines = {}, {}
    for name in order:
        statements[name], lines[name] = _statement(project, texts, project.syncs[name].model)
    parents = {
        **{f"model.{n}": tuple(map(_node(project), r.parents)) for n, r in models.items()},
        # an event follows its person: `people+` means the events of these people, too
        **{f"sync.{n}": (_node(project)(s.model), *(f"sync.{owner}" for owner in (*s.owners, s.refund_of) if owner))
           for n, s in project.syncs.items()},
    }
    parents |= _above(project, parents)
    return Compiled(
        models=models, syncs=project.syncs, order=order, builds=_builds(project, models, texts), parents=parents,
        statements=statements, lines=lines, dbt=project.dbt, files=_declared_files(project),
    )  # fmt: skip


def _job(project: Project, environ: Mapping[str, str]) -> Job:
    """What templates may know; no secret of the profile is in it."""
    kept, denied = readable(environ, keys_of(project.target, project.destination))
    return Job(
        models={name: (model.path, model.sql) for name, model in project.models.items()}, macros=project.macros,
        sources={name: relation_of(source, project.target.type) for name, source in project.sources.items()},
        relations={name: _built_relation(project, name) for name in project.models}, vars=dict(project.vars),
        target=project.target.shown(), environ=kept, denied=denied, project=project.name,
        dbt=project.dbt.names if project.dbt else None,
    )  # fmt: skip


def _rendered(project: Project, rendering: Rendering) -> dict[str, Rendered]:
    """In the order of the project's files."""
    made: dict[str, Rendered] = {}
    for name, model in project.models.items():
        text: Text | None = rendering.texts.get(name)
        if text is not None:
            made[name] = Rendered(
                model=model, sql=text.sql, parents=text.parents, materialized=text.materialized, tags=text.tags
            )
    return made


def _loose(models: Mapping[str, Rendered]) -> list[ConfigError]:
    """Models that are not one SELECT: what follows it would be a statement of its own."""
    found = []
    for one in models.values():
        loose = loose_end(one.sql)
        if loose is not None:
            line = _source_line(one.model.sql.split("\n"), one.sql.split("\n"), loose[1] - 1) + 1
            found.append(
                ConfigError(f"the model is not one SELECT: it has {loose[0]}", hint="one file, one SELECT",
                            where=Where(file=one.model.path, line=line), code="RV073")
            )  # fmt: skip
    return found


def _circles(models: Mapping[str, Rendered]) -> list[ConfigError]:
    """Each circle of models, as a path."""
    found: list[ConfigError] = []
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            found.append(
                ConfigError(f"models read each other in a circle: {circle}", code="RV063",
                            where=Where(file=models[name].model.path, line=1))
            )  # fmt: skip
            done.update(path)
            return
        if name in done or name not in models:
            return
        for parent in models[name].parents:
            visit(parent, (*path, name))
        done.add(name)

    for name in models:
        visit(name, ())
    return found


def _node(project: Project) -> Callable[[str], str]:
    dbt = project.dbt

    def node(name: str) -> str:
        if name in project.models:
            return f"model.{name}"
        if name in project.sources:
            return f"source.{name}"
        return f"{DBT}{name}" if dbt is not None and name in dbt else f"model.{name}"

    return node


def _ephemeral(project: Project, read: set[str]) -> dict[str, Rendered]:
    """The ephemeral models of dbt that are read, as it compiled them; what they read stands in their text already."""
    dbt, found = project.dbt, {}
    for entry in dbt.entries() if dbt else ():
        if dbt is not None and entry.id in read and not entry.relation:
            node = dbt.node(entry.id)
            model = Model(name=entry.id, path=node.file, sql=node.code)
            loose = loose_end(node.code.strip().removesuffix(";"))
            if loose is not None:
                raise ConfigError(f"dbt's model {node.name!r} is not one SELECT: it has {loose[0]}", code="RV073",
                                  where=Where(file=node.file))  # fmt: skip
            found[entry.id] = Rendered(model=model, sql=node.code.strip().removesuffix(";"), parents=(), materialized="ephemeral")
    return found


def _above(project: Project, parents: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """What is above the nodes of dbt that the project reads, so that `+` reaches it."""
    dbt = project.dbt
    if dbt is None:
        return {}
    used = {up.removeprefix(DBT) for many in parents.values() for up in many if up.startswith(DBT)}
    return {f"{DBT}{one}": tuple(f"{DBT}{up}" for up in dbt.node(one).parents if up in dbt) for one in dbt.above(sorted(used))}


def relation_of(source: Source, kind: str = "") -> str:
    """How a source is written in SQL for a kind of warehouse; a file on DuckDB by the function that reads it."""
    if source.external_location:
        if CALL.fullmatch(source.external_location):
            return source.external_location
        place = source.external_location.replace("'", "''")
        suffix = place.removesuffix(".gz").rsplit(".", 1)[-1].lower()
        reader = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json", "jsonl": "read_json"}.get(suffix)
        return f"{reader}('{place}')" if reader else f"'{place}'"
    parts = [source.database, source.schema, source.identifier]
    return ".".join(in_quotes(named(part, kind), kind) for part in parts if part)


def external_files(project: Project) -> tuple[str, ...]:
    """The files and addresses that a project's sources declare: all that its models may read beside the warehouse.

    Of a call like `read_csv(['a.csv', 'b.csv'], header=true)` the first argument counts.
    """
    return tuple(_declared_files(project))


def _declared_files(project: Project) -> dict[str, list[tuple[str, Where]]]:
    found: dict[str, list[tuple[str, Where]]] = {}
    for name, source in project.sources.items():
        for place in places(source.external_location):
            kept = place if "://" in place else os.path.abspath(place)  # noqa: PTH100 keeps patterns
            found.setdefault(kept, []).append((name, source.where))
    return found


def _built_relation(project: Project, name: str) -> str:
    kind = project.target.type
    return ".".join(in_quotes(named(part, kind), kind) for part in (project.target.schema, name))


def _needed(models: Mapping[str, Rendered], name: str) -> list[str]:
    """Ephemeral models that a model needs, itself last."""
    found: dict[str, None] = {}

    def visit(one: str) -> None:
        for parent in models[one].parents:
            if parent in models and parent not in found and models[parent].materialized == "ephemeral":
                visit(parent)
        found[one] = None

    visit(name)
    return list(found)


def _statement(project: Project, models: Mapping[str, Rendered], name: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """A SELECT over a model or source, and the first line of each model in it."""
    if name not in models:
        return f"SELECT * FROM {_stored(project, name)}", ()  # noqa: S608 quoted
    if models[name].materialized != "ephemeral":
        return f"SELECT * FROM {_built_relation(project, name)}", ()  # noqa: S608 quoted
    text, places = "WITH ", []
    for i, one in enumerate(_needed(models, name)):
        text += (",\n" if i else "") + f"{cte(one)} AS (\n"
        if one in project.models:  # dbt's lines are not those of a file
            places.append((text.count("\n") + 1, one))
        text += models[one].sql + "\n)"
    return f"{text}\nSELECT * FROM {cte(name)}", tuple(places)


def _stored(project: Project, name: str) -> str:
    """A source, or what dbt built."""
    if project.dbt is not None and name in project.dbt and name not in project.sources:
        return project.dbt.node(name).relation
    return relation_of(project.sources[name], project.target.type)


def reads(project: Project, compiled: Compiled, nodes: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """How SQL reads models and sources: the `WITH` that it begins with, if any, and the name of each in `FROM`.

    Args:
        nodes: `model.x` and `source.x.y`.
    """
    needed: dict[str, None] = {}
    found = []
    for node in nodes:
        kind, _, name = node.partition(".")
        if kind == "source":
            found.append(_stored(project, name))
        elif compiled.models[name].materialized != "ephemeral":
            found.append(_built_relation(project, name))
        else:
            needed |= dict.fromkeys(_needed(compiled.models, name))
            found.append(cte(name))
    ctes = ",\n".join(f"{cte(one)} AS (\n{compiled.models[one].sql}\n)" for one in needed)
    return (f"WITH {ctes}\n" if ctes else ""), tuple(found)


def write_sql(project: Project, file: str, sql: str) -> Path:
    """Write one more file into `target/compiled/<project>/`.

    Raises:
        ConfigError: the folder cannot be written.
    """
    path = project.target_path / "compiled" / project.name / file
    _write(path, sql)
    return path


def _builds(project: Project, models: Mapping[str, Rendered], texts: Mapping[str, Rendered]) -> tuple[Build, ...]:
    made: dict[str, Build] = {}

    def visit(name: str) -> None:
        for parent in models[name].parents:
            if parent in models:
                visit(parent)
        found = models[name]
        if found.materialized != "ephemeral" and name not in made:
            needed = [one for one in _needed(texts, name) if one != name]
            ctes = ",\n".join(f"{cte(one)} AS (\n{texts[one].sql}\n)" for one in needed)
            body = f"WITH {ctes}\nSELECT * FROM (\n{found.sql}\n) AS model" if ctes else found.sql
            made[name] = Build(name=name, relation=_built_relation(project, name), materialized=found.materialized, sql=body)

    for name in models:
        visit(name)
    return tuple(made.values())


def write_compiled(compiled: Compiled, project: Project) -> None:
    """Write `target/compiled/<project>/`: each model after Jinja, and each sync's whole SELECT. Each file atomically.

    Raises:
        ConfigError: the folder cannot be written.
    """
    base = project.target_path / "compiled" / project.name
    for name, rendered in compiled.models.items():
        path = Path(rendered.model.path)
        _write(base / "models" / path.relative_to(path.parts[0]), compiled.model_sql(name))
    for name in compiled.order:
        _write(base / "syncs" / f"{name}.sql", compiled.sql(name))


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            hint="choose a folder that can be written: --target-path DIR (or REVETL_TARGET_PATH)", code="RV072",
        ) from None  # fmt: skip
