"""Models and syncs to SQL: sandboxed Jinja with dbt's functions, ephemeral models as CTEs, and a map back to lines.

Nothing here knows a warehouse. A model is ephemeral unless it says `config(materialized='view'|'table')`: then its
relation is built by the run, in the order of `Compiled.builds`.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import TYPE_CHECKING, Any

from revetl.contracts import Sync
from revetl.errors import ConfigError, ProjectErrors, Where
from revetl.profiles import SECRET_PREFIXES
from revetl.project import CALL, UNSET, Model, Project, Source, value_of
from revetl.syncfile import near

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

CTE = "__revetl__cte__"
KINDS = ("ephemeral", "view", "table")
MAX_RENDERED = 16_000_000
_MACRO = re.compile(r"\{%[-+]?\s*macro\s+(\w+)")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_ENDING = re.compile(r";(\s|--[^\n]*(\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)


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
    compiler = _Compiler(project, os.environ if environ is None else environ)
    models = compiler.models()
    compiler.cycles(models)
    if compiler.problems:
        places = [(p.where or Where(file=""), p) for p in compiler.problems]
        raise ProjectErrors([p for where, p in sorted(places, key=lambda x: (x[0].file, x[0].line, x[0].column))])
    order = tuple(s.name for person in (True, False) for s in project.syncs.values() if s.enabled and s.is_person is person)
    statements, lines = {}, {}
    for name in order:
        statements[name], lines[name] = _statement(project, models, project.syncs[name].model)
    parents = {
        **{f"model.{n}": tuple(map(_node(project), r.parents)) for n, r in models.items()},
        # an event follows its person: `people+` means the events of these people, too
        **{f"sync.{n}": (_node(project)(s.model), *([f"sync.{s.person_sync}"] if s.person_sync else []))
           for n, s in project.syncs.items()},
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
        if CALL.fullmatch(source.external_location):
            return source.external_location
        place = source.external_location.replace("'", "''")
        suffix = place.removesuffix(".gz").rsplit(".", 1)[-1].lower()
        reader = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json", "jsonl": "read_json"}.get(suffix)
        return f"{reader}('{place}')" if reader else f"'{place}'"
    parts = [source.database, source.schema, source.identifier]
    return ".".join(_quoted(part) for part in parts if part)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cte(name: str) -> str:
    return _quoted(CTE + name) if "-" in name else CTE + name


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
        return f"SELECT * FROM {relation_of(project.sources[name])}", ()  # noqa: S608 quoted
    if models[name].materialized != "ephemeral":
        return f"SELECT * FROM {_built_relation(project, name)}", ()  # noqa: S608 quoted
    text, places = "WITH ", []
    for i, one in enumerate(_needed(models, name)):
        text += (",\n" if i else "") + f"{_cte(one)} AS (\n"
        places.append((text.count("\n") + 1, one))
        text += models[one].sql + "\n)"
    return f"{text}\nSELECT * FROM {_cte(name)}", tuple(places)


def _builds(project: Project, models: Mapping[str, Rendered]) -> tuple[Build, ...]:
    made: dict[str, Build] = {}

    def visit(name: str) -> None:
        for parent in models[name].parents:
            if parent in models:
                visit(parent)
        found = models[name]
        if found.materialized != "ephemeral" and name not in made:
            needed = [one for one in _needed(models, name) if one != name]
            ctes = ",\n".join(f"{_cte(one)} AS (\n{models[one].sql}\n)" for one in needed)
            body = f"WITH {ctes}\nSELECT * FROM (\n{found.sql}\n) AS model" if ctes else found.sql
            made[name] = Build(name=name, relation=_built_relation(project, name), materialized=found.materialized, sql=body)

    for name in models:
        visit(name)
    return tuple(made.values())


@dataclass(frozen=True, slots=True)
class _MacroFile:
    """A file of macros; `code` is None if it is no template: then its macros fail without another word."""

    path: str
    names: tuple[str, ...]
    code: CodeType | None


class _Compiler:
    """Renders templates; notes problems and goes on."""

    def __init__(self, project: Project, environ: Mapping[str, str]) -> None:
        self.project = project
        self.environ = environ
        self.problems: list[ConfigError] = []
        self.jinja = _sandbox()
        self.macros: tuple[_MacroFile, ...] = ()
        self.macros = self._macro_files()

    def _macro_files(self) -> tuple[_MacroFile, ...]:
        owners: dict[str, str] = {}
        found = []
        for path, text in self.project.macros:
            code = self._code(path, text)
            names = tuple(_MACRO.findall(text))
            for name in names:
                if owners.setdefault(name, path) != path:
                    self.problems.append(
                        ConfigError(f"macro {name!r} exists already in {owners[name]}", where=Where(file=path), code="RV054")
                    )
            found.append(_MacroFile(path, names, code))
        return tuple(found)

    def _code(self, path: str, text: str) -> CodeType | None:
        """A template's code, whose tracebacks name its file."""
        try:
            # typed as code or text: text only with `raw=True`
            return self.jinja.compile(text, name=path, filename=path)  # type: ignore[no-any-return,unused-ignore]
        except Exception as error:  # noqa: BLE001 whatever a parser can raise
            self.problems.append(self._template_problem(path, error, ()))
            return None

    def models(self) -> dict[str, Rendered]:
        """Every model, rendered.

        What `ref` gives depends on how the other model is built, which its own config() says: so all are rendered as
        if all were ephemeral, and those that read one that is not, once more.
        """
        codes = {name: self._code(model.path, model.sql) for name, model in self.project.models.items()}
        found = {
            name: made for name, code in codes.items() if code is not None and (made := self._model(name, code, {})) is not None
        }
        built = {name: one.materialized for name, one in found.items() if one.materialized != "ephemeral"}
        if self.problems or not built:
            return found
        for name, one in list(found.items()):
            code = codes[name]
            if code is not None and built.keys() & set(one.parents):
                found[name] = self._model(name, code, built) or one
        return found

    def _model(self, name: str, code: CodeType, built: Mapping[str, str]) -> Rendered | None:
        """One model rendered, or None with the problem noted."""
        model = self.project.models[name]
        parents: list[str] = []
        config: dict[str, Any] = {}
        scope = self._functions(model, parents, config, built)
        scope.update(self._late_macros(scope))
        try:
            parts, size = [], 0
            for part in _template(self.jinja, code, scope).generate():
                size += len(part)
                _bounded(size)
                parts.append(part)
        except _Silent:
            return None
        except Exception as error:  # noqa: BLE001 whatever a template can raise
            self.problems.append(self._template_problem(model.path, error, tuple(scope)))
            return None
        made = Rendered(
            model=model, sql=_ENDING.sub("", "".join(parts)).rstrip(), parents=tuple(dict.fromkeys(parents)),
            materialized=str(config.get("materialized", "ephemeral")), tags=_texts(config.get("tags", [])),
        )  # fmt: skip
        return made if self._fits(made, config) else None

    def _fits(self, made: Rendered, config: Mapping[str, Any]) -> bool:
        """Whether a model can be used as it is."""
        place, kind = Where(file=made.model.path, line=1), made.materialized
        problem = None
        if kind not in KINDS:
            problem = ConfigError(
                f"materialized={kind!r} is not supported{near(kind, KINDS)}", where=place, code="RV062",
                hint=f"one of: {', '.join(KINDS)}; a table that dbt builds is read as a source",
            )  # fmt: skip
        elif kind != "ephemeral" and (other := [key for key in ("schema", "alias", "database") if config.get(key)]):
            problem = ConfigError(
                f"config({other[0]}=…) is not supported: a {kind} is built in the target's schema under its own name",
                where=place, code="RV062",
            )  # fmt: skip
        elif not _COMMENT.sub("", made.sql).strip():
            problem = ConfigError("the model gives no SQL", where=place, code="RV068")
        if problem is not None:
            self.problems.append(problem)
        return problem is None

    def _late_macros(self, scope: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
        """The project's macros for one model.

        They see that model's `ref`, `config` and `this`, and each other, whatever their files' order. A file is run
        when the first of its macros is called.
        """
        loaded: dict[str, Mapping[str, Any]] = {}

        def macro(file: _MacroFile, name: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 a template's values
                if file.code is None:
                    raise _Silent
                if file.path not in loaded:
                    template = _template(self.jinja, file.code, scope)
                    context = template.new_context()
                    for _ in template.root_render_func(context):
                        pass
                    loaded[file.path] = context.vars
                return loaded[file.path][name](*args, **kwargs)

            return call

        return {name: macro(file, name) for file in self.macros for name in file.names}

    def cycles(self, models: Mapping[str, Rendered]) -> None:
        """Note a circle of models as a path."""
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                circle = " -> ".join([*path[path.index(name) :], name])
                self.problems.append(
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

    def _template_problem(self, path: str, error: Exception, known: Collection[str]) -> ConfigError:
        from jinja2 import TemplateSyntaxError, UndefinedError  # noqa: PLC0415 loaded by now

        where = self._place(path, error)
        hint, code = "", "RV060"
        if isinstance(error, ConfigError):
            text, hint, code = error.message, error.hint, error.code
        elif isinstance(error, TemplateSyntaxError):
            text, where = f"the template is wrong: {error.message}", Where(file=path, line=error.lineno)
        elif isinstance(error, UndefinedError):
            name = (re.findall(r"'([^']+)' is undefined", str(error)) or [""])[0]
            text = f"{name!r} is not defined{near(name, known)}" if name else f"the template fails: {error.message}"
        elif isinstance(error, _Returned):
            text = "return() belongs into a macro"
        else:
            text = f"the template fails: {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        if where.file != path:
            outer = self._place(path, error, files={path})
            text += f" (called in {outer})"
        return ConfigError(text, hint=hint, where=where, code=code)

    def _place(self, path: str, error: BaseException, files: Collection[str] = ()) -> Where:
        """The innermost line of our templates in which an exception arose."""
        files = files or {path, *(file.path for file in self.macros)}
        where, trace = Where(file=path), error.__traceback__
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            if file in files:
                where = Where(file=file, line=trace.tb_lineno)
            trace = trace.tb_next
        return where

    def _functions(
        self, model: Model, parents: list[str], config: dict[str, Any], built: Mapping[str, str]
    ) -> dict[str, Any]:
        project = self.project

        def ref(*names: str, v: Any = None, version: Any = None) -> str:  # noqa: ANN401 a number or text
            if len(names) not in {1, 2}:
                raise ConfigError("ref() takes a model, or a project and a model", code="RV064")
            name, number = names[-1], v if v is not None else version
            if number is not None and f"{name}_v{number}" in project.models:
                name = f"{name}_v{number}"
            if name not in project.models:
                raise ConfigError(f"ref({name!r}): there is no such model{near(name, project.models)}", code="RV064")
            parents.append(name)
            return _built_relation(project, name) if name in built else _cte(name)

        def source(group: str, table: str) -> str:
            name = f"{group}.{table}"
            if name not in project.sources:
                raise ConfigError(
                    f"source({group!r}, {table!r}) is not declared{near(name, project.sources)}",
                    hint="declare it under `sources:` in a YAML file beside the models", code="RV065",
                )  # fmt: skip
            parents.append(name)
            return relation_of(project.sources[name])

        def var(name: str, default: Any = UNSET) -> Any:  # noqa: ANN401 any YAML value
            return value_of(project.vars, name, default)

        def configure(**values: Any) -> str:  # noqa: ANN401 dbt's settings
            config.update(values)
            return ""

        return {
            **_PLAIN_FUNCTIONS, "ref": ref, "source": source, "var": var, "env_var": self._env_var, "config": configure,
            "target": project.target.shown(), "this": _built_relation(project, model.name),
        }  # fmt: skip

    def _env_var(self, name: str, default: str | None = None) -> str:
        if name.startswith(SECRET_PREFIXES):
            raise ConfigError(f"env_var({name!r}): a secret may be used in profiles.yml only", code="RV067")
        if name in self.environ:
            return self.environ[name]
        if default is None:
            raise ConfigError(f"the environment variable {name} is not set", hint=f"export {name}=…", code="RV027")
        return default


class _Returned(Exception):  # noqa: N818 no error: dbt's return()
    """Carries the value of a macro that returns."""

    def __init__(self, value: Any) -> None:  # noqa: ANN401 a template's value
        super().__init__()
        self.value = value


class _Silent(Exception):  # noqa: N818 named by what it does
    """What went wrong has been noted already."""


def _stop(message: str = "") -> str:
    raise ConfigError(f"the model stops: {message}", code="RV060")


def _return(value: Any = "") -> str:  # noqa: ANN401 a template's value
    raise _Returned(value)


def _quiet(*_: Any, **__: Any) -> str:  # noqa: ANN401 whatever is logged
    return ""


_PLAIN_FUNCTIONS: Mapping[str, Any] = MappingProxyType({
    "log": _quiet, "print": _quiet, "return": _return, "is_incremental": lambda: False, "execute": False,
    "fromjson": json.loads, "tojson": json.dumps,
    "exceptions": MappingProxyType({"raise_compiler_error": _stop, "warn": _quiet}),
})  # fmt: skip


def _sandbox() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined  # noqa: PLC0415 commands that compile nothing stay fast
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    # not the immutable sandbox: dbt's macros build lists with `do list.append(x)`
    made = SandboxedEnvironment(
        undefined=StrictUndefined, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], autoescape=False,
        keep_trailing_newline=False,
    )  # fmt: skip
    made.intercepted_binops = frozenset({"*", "**"})  # of this one environment
    made.binop_table.update({"*": _product, "**": _power})
    return made


def _template(jinja: SandboxedEnvironment, code: CodeType, scope: Mapping[str, Any]) -> Template:
    """A template whose macros can return values: dbt's `return` leaves the innermost macro with any value."""
    from jinja2 import Template  # noqa: PLC0415 loaded by now
    from jinja2.runtime import Macro  # noqa: PLC0415

    def macro(environment: Any, function: Callable[..., Any], *facts: Any) -> Macro:  # noqa: ANN401 Jinja's business
        def returning(*args: Any) -> Any:  # noqa: ANN401 a template's values
            try:
                return function(*args)
            except _Returned as returned:
                return returned.value

        return Macro(environment, returning, *facts)

    made = Template.from_code(jinja, code, jinja.make_globals(dict(scope)))
    made.root_render_func.__globals__["Macro"] = macro
    return made


def _bounded(size: float) -> None:
    if size > MAX_RENDERED:
        raise ConfigError(f"the template gives more than {MAX_RENDERED:,} characters", code="RV061")


def _product(left: Any, right: Any) -> Any:  # noqa: ANN401 a template's values
    """`'x' * n`, within bounds."""
    for value, count in ((left, right), (right, left)):
        if isinstance(value, str | bytes | list | tuple) and isinstance(count, int):
            _bounded(len(value) * count)
        elif isinstance(value, int):
            _bounded(value.bit_length())
    return left * right


def _power(left: Any, right: Any) -> Any:  # noqa: ANN401 a template's values
    """`x ** n`, within bounds."""
    if isinstance(left, int) and isinstance(right, int):
        _bounded(left.bit_length() * float(right) * 100)
    return left**right


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 what a model gives
    return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)


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
