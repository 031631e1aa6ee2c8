"""Models and syncs to SQL: sandboxed Jinja with dbt's functions, ephemeral models as CTEs, and a map back to lines.

Nothing here knows a warehouse. A model is ephemeral unless it says `config(materialized='view'|'table')`: then its
relation is built by the run, in the order of `Compiled.builds`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revetl.contracts import Sync
from revetl.errors import ConfigError, ProjectErrors, Where
from revetl.profiles import SECRET_PREFIXES
from revetl.project import Model, Project, Source
from revetl.syncfile import near

CTE = "__revetl__cte__"
MAX_RENDERED = 16_000_000


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
        parents: node → nodes it reads, by `model.x`, `source.x.y`, `sync.x`.
    """

    models: Mapping[str, Rendered]
    syncs: Mapping[str, Sync]
    order: tuple[str, ...]
    builds: tuple[Build, ...]
    parents: Mapping[str, tuple[str, ...]]
    statements: Mapping[str, str]
    lines: Mapping[str, tuple[tuple[int, str], ...]]

    def sql(self, sync: str) -> str:
        """The one SELECT of a sync."""
        return self.statements[sync]

    def model_sql(self, model: str) -> str:
        """A model's own SQL after Jinja."""
        return self.models[model].sql

    def locate(self, sync: str, line: int) -> Where | None:
        """The model's file and line of a line of `sql(sync)`; lines of a template move, so the nearest that is equal."""
        inside = None
        for first, model in self.lines.get(sync, ()):
            if first > line:
                break
            inside = (first, model)
        if inside is None:
            return None
        first, name = inside
        rendered = self.models[name]
        number = line - first + 1
        text = rendered.sql.split("\n")
        wanted = text[number - 1].strip() if number <= len(text) else ""
        source = rendered.model.sql.split("\n")
        same = [i for i, candidate in enumerate(source, 1) if candidate.strip() == wanted]
        best = min(same, key=lambda i: abs(i - number), default=min(number, len(source)))
        return Where(file=rendered.model.path, line=best)


def compile_project(project: Project, *, environ: Mapping[str, str] | None = None) -> Compiled:
    """Render every model and put each sync's SELECT together.

    Raises:
        ProjectErrors: with every problem of every model: file, line, and the nearest name.
    """
    compiler = _Compiler(project, os.environ if environ is None else environ)
    models = {name: found for name in project.models if (found := compiler.model(name)) is not None}
    compiler.cycles(models)
    if compiler.problems:
        raise ProjectErrors(compiler.problems)
    order = tuple(s.name for person in (True, False) for s in project.syncs.values() if s.enabled and s.is_person is person)
    statements, lines = {}, {}
    for name in order:
        statements[name], lines[name] = _statement(project, models, project.syncs[name].model)
    parents = {
        **{f"model.{n}": tuple(map(_node(project), r.parents)) for n, r in models.items()},
        **{f"sync.{n}": (_node(project)(s.model),) for n, s in project.syncs.items()},
    }
    return Compiled(
        models=models, syncs=project.syncs, order=order, builds=_builds(project, models), parents=parents,
        statements=statements, lines=lines,
    )  # fmt: skip


def _node(project: Project) -> Callable[[str], str]:
    return lambda name: f"source.{name}" if name in project.sources and name not in project.models else f"model.{name}"


def relation_of(source: Source) -> str:
    """How a source is written in SQL; a file on DuckDB by the function that reads it."""
    if source.external_location:
        place = source.external_location.replace("'", "''")
        suffix = place.removesuffix(".gz").rsplit(".", 1)[-1].lower()
        reader = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json", "jsonl": "read_json"}.get(suffix)
        return f"{reader}('{place}')" if reader else f"'{place}'"
    parts = [source.database, source.schema, source.identifier]
    return ".".join(_quoted(part) for part in parts if part)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _built_relation(project: Project, name: str) -> str:
    return f"{_quoted(project.target.schema)}.{_quoted(name)}"


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
        return f"SELECT * FROM {relation_of(project.sources[name])}", ()
    if models[name].materialized != "ephemeral":
        return f"SELECT * FROM {_built_relation(project, name)}", ()
    text, places = "WITH ", []
    for i, one in enumerate(_needed(models, name)):
        text += (",\n" if i else "") + f"{CTE}{one} AS (\n"
        places.append((text.count("\n") + 1, one))
        text += models[one].sql + "\n)"
    return f"{text}\nSELECT * FROM {CTE}{name}", tuple(places)


def _builds(project: Project, models: Mapping[str, Rendered]) -> tuple[Build, ...]:
    made: dict[str, Build] = {}

    def visit(name: str) -> None:
        for parent in models[name].parents:
            if parent in models:
                visit(parent)
        found = models[name]
        if found.materialized != "ephemeral" and name not in made:
            needed = [one for one in _needed(models, name) if one != name]
            ctes = ",\n".join(f"{CTE}{one} AS (\n{models[one].sql}\n)" for one in needed)
            body = f"WITH {ctes}\nSELECT * FROM (\n{found.sql}\n) AS model" if ctes else found.sql
            made[name] = Build(name=name, relation=_built_relation(project, name), materialized=found.materialized, sql=body)

    for name in models:
        visit(name)
    return tuple(made.values())


class _Compiler:
    def __init__(self, project: Project, environ: Mapping[str, str]) -> None:
        from jinja2 import StrictUndefined  # noqa: PLC0415 commands that compile nothing stay fast
        from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

        self.project = project
        self.environ = environ
        self.problems: list[ConfigError] = []
        # not the immutable sandbox: dbt's macros build lists with `do list.append(x)`
        self.jinja = SandboxedEnvironment(
            undefined=StrictUndefined, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], autoescape=False,
            keep_trailing_newline=False,
        )  # fmt: skip
        self.macros = self._load_macros()

    def _load_macros(self) -> dict[str, Any]:
        """Every macro of the project by name; they may call each other whatever their files' order."""
        found: dict[str, Any] = {}
        base = self._functions(None, [], {})
        base.update(found)
        for path, text in self.project.macros:
            try:
                # one shared dict, so that a macro sees those of later files when it runs
                self.jinja.globals.update({k: v for k, v in base.items() if k not in self.jinja.globals})
                module = self.jinja.from_string(text).make_module(dict(base))
                exported = {k: v for k, v in vars(module).items() if not k.startswith("_")}
                found.update(exported)
                self.jinja.globals.update(exported)
            except Exception as error:  # noqa: BLE001 whatever a template can raise
                self.problems.append(self._template_problem(path, error))
        return found

    def model(self, name: str) -> Rendered | None:
        """One model rendered, or None with the problem noted."""
        model = self.project.models[name]
        parents: list[str] = []
        config: dict[str, Any] = {}
        functions = self._functions(model, parents, config)
        try:
            template = self.jinja.from_string(model.sql, globals={**self.jinja.globals, **self.macros, **functions})
            parts, size = [], 0
            for part in template.generate():
                size += len(part)
                if size > MAX_RENDERED:
                    raise ConfigError(
                        f"renders to more than {MAX_RENDERED:,} characters", where=Where(file=model.path), code="RV061"
                    )
                parts.append(part)
        except ConfigError as problem:
            problem.where = problem.where or Where(file=model.path, line=_template_line(problem))
            self.problems.append(problem)
            return None
        except Exception as error:  # noqa: BLE001 whatever a template can raise
            self.problems.append(self._template_problem(model.path, error))
            return None
        kind = str(config.get("materialized", "ephemeral"))
        if kind not in {"ephemeral", "view", "table"}:
            self.problems.append(
                ConfigError(f"materialized={kind!r} is not supported{near(kind, ['ephemeral', 'view', 'table'])}",
                            where=Where(file=model.path, line=1), code="RV062")
            )  # fmt: skip
        tags = config.get("tags", [])
        return Rendered(
            model=model, sql=re.sub(r";\s*\Z", "", "".join(parts)).rstrip(), parents=tuple(dict.fromkeys(parents)),
            materialized=kind, tags=tuple([tags] if isinstance(tags, str) else tags),
        )  # fmt: skip

    def cycles(self, models: Mapping[str, Rendered]) -> None:
        """Note a circle of models as a path."""
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                circle = " -> ".join([*path[path.index(name) :], name])
                self.problems.append(
                    ConfigError(f"models read each other in a circle: {circle}", where=Where(file=models[name].model.path, line=1),
                                code="RV063")
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

    def _template_problem(self, path: str, error: Exception) -> ConfigError:
        from jinja2 import TemplateSyntaxError, UndefinedError  # noqa: PLC0415 loaded by now

        line = getattr(error, "lineno", None) or _template_line(error)
        text = f"the template fails: {type(error).__name__}"
        if isinstance(error, TemplateSyntaxError):
            text = f"the template is wrong: {error.message}"
        elif isinstance(error, UndefinedError):
            name = (re.findall(r"'([^']+)' is undefined", str(error)) or [""])[0]
            known = [*self.macros, *self._functions(None, [], {})]
            text = f"{name!r} is not defined{near(name, known)}" if name else f"the template fails: {error.message}"
        return ConfigError(text, where=Where(file=path, line=line), code="RV060")

    def _functions(self, model: Model | None, parents: list[str], config: dict[str, Any]) -> dict[str, Any]:
        project = self.project

        def ref(*names: str, **_: Any) -> str:  # noqa: ANN401 dbt's v= and version=
            name = names[-1]
            if name not in project.models:
                raise ConfigError(f"ref({name!r}): there is no such model{near(name, project.models)}", code="RV064")
            parents.append(name)
            kind = self._materialized(name)
            return f"{CTE}{name}" if kind == "ephemeral" else _built_relation(project, name)

        def source(group: str, table: str) -> str:
            name = f"{group}.{table}"
            if name not in project.sources:
                raise ConfigError(
                    f"source({group!r}, {table!r}) is not declared{near(name, project.sources)}",
                    hint="declare it under `sources:` in a YAML file beside the models", code="RV065",
                )  # fmt: skip
            parents.append(name)
            return relation_of(project.sources[name])

        def var(name: str, default: Any = None) -> Any:  # noqa: ANN401 any YAML value
            if name in project.vars:
                return project.vars[name]
            if default is None:
                raise ConfigError(
                    f"var({name!r}) has no value and no default{near(name, project.vars)}",
                    hint=f"--vars '{name}: …', or `vars` in [tool.revetl]", code="RV066",
                )  # fmt: skip
            return default

        def env_var(name: str, default: str | None = None) -> str:
            if name.startswith(SECRET_PREFIXES):
                raise ConfigError(f"env_var({name!r}): a secret may be used in profiles.yml only", code="RV067")
            if name in self.environ:
                return self.environ[name]
            if default is None:
                raise ConfigError(f"the environment variable {name} is not set", hint=f"export {name}=…", code="RV027")
            return default

        def configure(**values: Any) -> str:  # noqa: ANN401 dbt's settings
            config.update(values)
            return ""

        def stop(message: str = "") -> str:
            raise ConfigError(f"the model stops: {message}", code="RV060")

        quiet: Callable[..., str] = lambda *_, **__: ""  # noqa: E731 a template's function
        target = project.target
        shown = {
            "name": target.name, "target_name": target.name, "profile_name": target.profile_name, "type": target.type,
            "schema": target.schema, "database": target.database, "threads": target.threads,
        }  # fmt: skip
        return {
            "ref": ref, "source": source, "var": var, "env_var": env_var, "config": configure, "target": shown,
            "this": _built_relation(project, model.name) if model is not None else "", "log": quiet, "print": quiet,
            "return": lambda value: value, "is_incremental": lambda: False, "execute": False, "fromjson": json.loads,
            "tojson": json.dumps, "exceptions": {"raise_compiler_error": stop, "warn": quiet},
        }  # fmt: skip

    def _materialized(self, name: str) -> str:
        """How a referenced model is built; read from its text, as its own config() may not have run yet."""
        found = re.search(r"config\([^)]*materialized\s*=\s*['\"](\w+)['\"]", self.project.models[name].sql, re.DOTALL)
        return found[1] if found else "ephemeral"


def _template_line(error: BaseException) -> int:
    """The line of a template in which an exception arose."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def write_compiled(compiled: Compiled, project: Project) -> None:
    """Write `target/compiled/<project>/`: each model after Jinja, and each sync's whole SELECT."""
    base = project.target_path / "compiled" / project.name
    for name, rendered in compiled.models.items():
        _write(base / "models" / Path(rendered.model.path).relative_to(Path(rendered.model.path).parts[0]), compiled.model_sql(name))
    for name in compiled.order:
        _write(base / "syncs" / f"{name}.sql", compiled.sql(name))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
