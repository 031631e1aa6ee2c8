"""A project's files as one frozen, typed value; every problem of every file is found in one pass.

Settings stand in `pyproject.toml [tool.revetl]` and are all optional; connections in profiles.yml (`profiles.py`),
syncs in `syncs/` (`syncfile.py`), models in `models/`. Nothing here opens a connection or imports a driver.

`CODES` lists the codes of problems; they do not change their meaning.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from revetl.contracts import Sync
from revetl.datatests import MODES, DataTest, DataTestReader, Freshness
from revetl.dbt import Dbt
from revetl.dbt import read as read_dbt
from revetl.dbtchecks import inherited
from revetl.errors import ConfigError, ProjectErrors, Where
from revetl.folding import folded
from revetl.nearest import near
from revetl.previous import Previous
from revetl.profiles import (
    Destination,
    MissingVariable,
    Profile,
    Secret,
    Target,
    find_all,
    keys_of,
    load_profile,
    rendered,
)
from revetl.render import SECRET_PREFIXES, UNSET, readable, value_of
from revetl.rules import CHECKS, RULES
from revetl.sourcefiles import CALL, in_folder
from revetl.syncfile import NAME, SyncReader, schema
from revetl.taxonomy import Taxonomy
from revetl.yamlfile import Node, read

__all__ = ["Destination", "Model", "Project", "Secret", "Source", "Target", "load", "schema"]

CODES: Mapping[str, str] = MappingProxyType({
    "RV001": "a file cannot be read", "RV002": "a YAML file is too large or too deep", "RV003": "no valid YAML",
    "RV004": "a key occurs twice", "RV010": "unknown key", "RV011": "a value of the wrong kind",
    "RV013": "something required is missing", "RV014": "a name is used twice", "RV015": "a uid is used twice",
    "RV016": "an event sync without a person sync", "RV017": "an event sync with another identifier than its people",
    "RV018": "two syncs send one event", "RV019": "no uid", "RV020": "no profiles.yml", "RV021": "no such profile",
    "RV022": "no such target", "RV023": "unknown type of warehouse or destination", "RV024": "a field of a connection is missing",
    "RV025": "no such destination", "RV026": "a secret is written in a file", "RV027": "an environment variable is not set",
    "RV028": "a value of profiles.yml cannot be rendered", "RV029": "a field has two names", "RV030": "not supported yet",
    "RV031": "a key of another type of sync", "RV032": "no ref() or source()", "RV033": "no such model or source",
    "RV034": "not exactly one identifier", "RV035": "no such time zone", "RV036": "a wrong event name",
    "RV037": "a wrong or too long name, or too many", "RV038": "two names differ only in case", "RV039": "a reserved name",
    "RV040": "no known type", "RV041": "no such definition", "RV042": "rules that do not fit", "RV043": "no regular expression",
    "RV044": "a null rule that cannot apply", "RV045": "`unsubscribed` is no boolean", "RV046": "a wrong name of a sync",
    "RV050": "no project", "RV051": "no valid TOML", "RV052": "two models with one name", "RV053": "two sources with one name",
    "RV054": "two macros with one name",
    "RV060": "a template fails", "RV061": "a template gives too much", "RV062": "a wrong config()", "RV063": "models in a circle",
    "RV064": "ref() of no model", "RV065": "source() of no source", "RV066": "var() without a value",
    "RV067": "a secret in a model", "RV068": "a model without SQL", "RV069": "a template takes too much time or memory",
    "RV070": "no selector", "RV071": "a selector matches nothing",
    "RV072": "files cannot be written", "RV073": "a model is not one SELECT",
    "RV074": "two declarations of identity", "RV075": "a sync with another identifier than the project's",
    "RV076": "person syncs with different identifiers", "RV077": "policies of identity that do not fit together",
    "RV078": "a moment without anonymous ids", "RV079": "anonymous ids without a moment",
    "RV080": "models of a pull request where secrets are", "RV081": "sending for a pull request",
    "RV082": "a wrong rule for duplicates", "RV083": "a merge whose sides are not named as their people are",
    "RV084": "a guard of another type of sync", "RV250": "pairs to merge that cannot be right", "RV251": "merges to confirm",
    "RV085": "a rule of another type than its field", "RV086": "a nested field that cannot be", "RV087": "a policy for no rule",
    "RV090": "an old name that is the new one", "RV091": "an old name that is taken", "RV092": "a rename of no attribute",
    "RV093": "a wrong last day of a rename",
    "RV200": "a model does not give what its sync reads", "RV201": "keys that are missing or not unique",
    "RV202": "a key column of another type", "RV210": "a model without rows", "RV211": "max_deletes", "RV212": "max_changes",
    "RV264": "a column of another type", "RV265": "a column that is gone", "RV266": "values that are new",
    "RV267": "more nulls than usual", "RV268": "more or fewer rows than usual", "RV269": "drift that stops",
    "RV095": "a wrong policy for late events", "RV096": "no such property", "RV097": "a refund that undoes no purchase",
    "RV098": "a window that is too short",
    "RV217": "a plan that is another one", "RV255": "a rule that stops the sync", "RV270": "a purchase of two syncs",
    "RV271": "no money to reconcile", "RV273": "events that are not sent in time", "RV274": "max_triggering",
    "RV275": "no time to backfill before", "RV276": "a backfill of what is only recorded",
    "RV260": "an old name that would end before its day", "RV262": "an old name ends soon", "RV263": "an old name has ended",
    "RV213": "max_first_run", "RV214": "events of the past", "RV215": "no success for too long", "RV216": "max_growth",
    "RV340": "an `ignore` of no known finding", "RV341": "an `ignore` without a reason", "RV342": "a name with two meanings",
    **{code: rule.title for code, rule in RULES.items()}, **{code: line.title for code, line in CHECKS.items()},
    "RV240": "rows that would collide in Customer.io",
    "RV220": "a model's SQL does not run", "RV221": "a view or table cannot be built",
    "RV230": "too many suppressions", "RV231": "a relationship without an object sync",
    "RV232": "two syncs with one list", "RV233": "a wrong `when_missing`", "RV234": "a row that cannot be anonymous",
    "RV235": "no type of object", "RV236": "an event's name in a column", "RV237": "no platform",
    "RV238": "a preference that is no boolean", "RV239": "`unsubscribed` without `may_resubscribe`",
    "RV280": "no such starter of `init`",
    "RV403": "no private key", "RV404": "no access token", "RV405": "a write where only reading was asked for",
    "RV420": "no such way to authenticate", "RV421": "a way to authenticate lacks a field",
    "RV422": "two fields of which one can count", "RV423": "a field that only dbt reads",
    "RV424": "the driver of a warehouse is not installed", "RV425": "a warehouse that cannot keep what was acknowledged",
    "RV440": "a file of dbt's cannot be read", "RV441": "a manifest.json of another version", "RV442": "ref() of no model of dbt",
    "RV443": "disabled in dbt", "RV444": "an ephemeral model without its SQL", "RV445": "a model of two packages",
    "RV446": "no such version of a model", "RV447": "a private model", "RV448": "dbt built it on another warehouse",
    "RV449": "source() of no source of dbt", "RV450": "dbt has not built it", "RV451": "failed tests in dbt",
    "RV452": "a model that dbt could not build", "RV453": "a source that is not fresh", "RV454": "deprecated in dbt",
    "RV455": "a column that dbt's contract does not have", "RV456": "another type than in dbt's contract",
    "RV458": "no other state", "RV459": "nothing to defer to",
    "RV460": "no dbt project", "RV461": "one target folder for revetl and dbt", "RV462": "tests that dbt did not try",
    "RV470": "no such test", "RV471": "a wrong test", "RV472": "tests of no model", "RV473": "tests that fail",
    "RV474": "tests that warn", "RV475": "a source that is too old", "RV476": "a source that gets old",
    "RV477": "a test's SQL does not run", "RV478": "a wrong freshness",
    "RV480": "no place for the state", "RV481": "a view or table where the state is elsewhere",
    "RV482": "a state that would vanish", "RV484": "a number with too many digits", "RV485": "state elsewhere, not tried yet",
    "RV495": "a source's file that is not there",
    "RV500": "what an experimental warehouse cannot do", "RV501": "no key or login of a warehouse",
})  # fmt: skip
SECTION = re.compile(r"^\s*\[tool\.revetl(\.[^\]]*)?\]", re.MULTILINE)
SETTINGS = {
    "name": str, "profile": str, "model_paths": list, "sync_paths": list, "macro_paths": list, "target_path": str,
    "log_path": str, "vars": dict, "state_schema": str, "tests": str, "dbt": dict,
}  # fmt: skip
DBT: Mapping[str, str] = MappingProxyType({"project": "", "target_path": "target", "tests": "stop", "freshness": "stop"})
ON_DBT = ("stop", "warn", "ignore")
BESIDE_DBT: Mapping[str, Any] = MappingProxyType({
    "model_paths": ["syncs/models"], "macro_paths": ["syncs/macros"], "target_path": "target/revetl",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One SQL file.

    Attributes:
        path: relative to the project's root.
    """

    name: str
    path: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table that a project reads and does not build (dbt's `sources:`)."""

    name: str
    schema: str
    identifier: str
    database: str = ""
    external_location: str = ""
    freshness: Freshness | None = None
    where: Where = field(default=Where(file=""), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Everything that a command needs to know, without a connection.

    Attributes:
        models: by name.
        macros: (path, text) of each file.
        sources: by `source.table`.
        syncs: by name, in the order of files.
        vars: of the project, with those of the command line above them.
        warnings: for a person; nothing that stops a run.
        tests: of models and sources.
        tests_mode: what failing ones do where a sync says nothing: gate | warn | off.
        taxonomy: what the files declare of the names of events, properties and attributes.
        dbt: what a dbt project built, where the project reads one.
        state: another state to compare with (`--state`).
    """

    root: Path
    name: str
    target: Target
    destination: Destination
    models: Mapping[str, Model]
    macros: tuple[tuple[str, str], ...]
    sources: Mapping[str, Source]
    syncs: Mapping[str, Sync]
    vars: Mapping[str, Any]
    target_path: Path
    log_path: Path
    state_schema: str
    warnings: tuple[str, ...] = ()
    tests: tuple[DataTest, ...] = ()
    tests_mode: str = "gate"
    taxonomy: Taxonomy = field(default_factory=Taxonomy)
    dbt: Dbt | None = None
    state: Previous | None = None


def find_root(start: Path) -> Path:
    """The project's folder: here or the nearest parent with `[tool.revetl]` in pyproject.toml, or with `syncs/`.

    Raises:
        ConfigError: there is none.
    """
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if (folder / "syncs").is_dir():
            return folder
        if file.is_file() and SECTION.search(file.read_text(encoding="utf-8", errors="replace")):
            return folder
    raise ConfigError(
        f"no project was found in {start} or above: neither a folder syncs/ nor [tool.revetl] in a pyproject.toml",
        hint="start one with: revetl init", code="RV050",
    )  # fmt: skip


def load(  # noqa: PLR0913 dbt's flags
    project_dir: Path | None = None,
    *,
    profiles_dir: Path | None = None,
    profile: str | None = None,
    target: str | None = None,
    cli_vars: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Project:
    """Read a project. Opens nothing but its files.

    Args:
        project_dir: the project's folder; otherwise `find_root` looks for it from `cwd` upwards.
        profiles_dir: the one folder to look for profiles.yml in.
        profile: instead of the project's own profile.
        target: instead of the profile's own target.
        cli_vars: win over the project's `vars`.
        environ: instead of `os.environ`.
        cwd: instead of the current folder.

    Raises:
        ConfigError: there is no project.
        ProjectErrors: with every problem, in the order of files and lines.
    """
    environ = os.environ if environ is None else environ
    here = (cwd or Path.cwd()).resolve()
    root = project_dir.resolve() if project_dir is not None else find_root(here)
    if not root.is_dir():
        raise ConfigError(f"there is no folder {root}", hint="check --project-dir", code="RV050")
    problems: list[ConfigError] = []
    settings = _settings(root, problems)
    models = _models(root, settings, problems)
    macros = _macros(root, settings, problems)
    # a project named by --project-dir comes with its own profiles.yml, whatever lies where one stands
    chosen = _profile(root, root if project_dir is not None else here, settings, profiles_dir, profile, target, environ, problems)
    values = {**settings["vars"], **(cli_vars or {})}
    # the files of models and sources come with a pull request: they see no key, as the models do not
    plain = readable(environ, keys_of(chosen.target, chosen.destination) if chosen else ())
    said: list[str] = []
    schemas = _documents(root, settings["model_paths"], problems)
    reading = _Sources(root, plain, values, chosen.target if chosen else None, problems, said)
    sources = reading.read(schemas)
    tests = DataTestReader(models, sources, text=reading.text, problems=problems, warnings=said).read(schemas)
    dbt = _dbt(root, settings, chosen.target if chosen else None, problems)
    if dbt is None and settings["dbt"]["project"]:
        raise ProjectErrors(sorted(problems, key=_place))  # without it, nobody knows what a ref() means
    reader = SyncReader({*models, *sources}, problems, project=settings["name"], dbt=dbt.names if dbt else None)
    documents = _documents(root, settings["sync_paths"], problems)
    for document in documents:
        reader.define(document)
    for document in documents:
        reader.read(document)
    reader.cross_check()
    syncs = reader.syncs
    if dbt is not None:
        syncs = inherited(dbt, syncs, problems)
    if problems or chosen is None:
        raise ProjectErrors(sorted(problems, key=_place))
    return Project(
        root=root, name=settings["name"], target=chosen.target, destination=chosen.destination, models=models,
        macros=macros, sources=sources, syncs=syncs, vars=values, dbt=dbt,
        target_path=root / settings["target_path"], log_path=root / settings["log_path"],
        warnings=(*chosen.warnings, *(dbt.warnings if dbt else ()), *said), taxonomy=reader.taxonomy, tests=tests,
        tests_mode=settings["tests"],
        state_schema=folded(
            chosen.target.state_schema or settings["state_schema"] or f"revetl_{chosen.target.name}", chosen.target.type
        ),
    )  # fmt: skip


def _place(problem: ConfigError) -> tuple[str, int, int]:
    where = problem.where or Where(file="")
    return where.file, where.line, where.column


def _dbt(root: Path, settings: Mapping[str, Any], target: Target | None, problems: list[ConfigError]) -> Dbt | None:
    """What a dbt project built; None where there is none, or it cannot be read."""
    given: Mapping[str, Any] = settings["dbt"]
    if not given.get("project"):
        return None
    folder = root / given["project"]
    home = "" if given["project"] == "." else f" --project-dir {shlex.quote(given['project'])}"
    place = Where(file="pyproject.toml", line=_toml_line(root / "pyproject.toml", "dbt"))
    if (folder / given["target_path"]).resolve() == (root / settings["target_path"]).resolve():
        problems.append(ConfigError(
            "revetl and dbt would write one manifest.json: their target folders are the same", code="RV461", where=place,
            hint='set another one in [tool.revetl]: target_path = "target/revetl"',
        ))  # fmt: skip
        return None
    try:
        found = read_dbt(
            folder / given["target_path"], project=folder, home=home, on_tests=given["tests"], on_freshness=given["freshness"]
        )
    except ConfigError as problem:
        problem.where = place
        problems.append(problem)
        return None
    if target is not None and found.adapter and found.adapter != target.type:
        problems.append(ConfigError(
            f"dbt built it on {found.adapter}, and target {target.name!r} is {target.type}", code="RV448", where=place,
            hint=f"choose the target that dbt has: --target NAME; or: dbt build{home} --target {target.name}",
        ))  # fmt: skip
    return found


def _profile(  # noqa: PLR0913 what decides which profile counts
    root: Path, here: Path, settings: Mapping[str, Any], profiles_dir: Path | None, profile: str | None,
    target: str | None, environ: Mapping[str, str], problems: list[ConfigError],
) -> Profile | None:  # fmt: skip
    dbt = (root / settings["dbt"]["project"]).resolve() if settings["dbt"]["project"] else None
    try:
        path, *more = find_all(profiles_dir, environ, here, root, dbt=dbt)
    except ConfigError as problem:
        problems.append(problem)
        return None
    found = load_profile(
        path, profile or settings["profile"], target, environ, problems, name=_name(root, path),
        others={_name(root, other): other for other in more},
    )  # fmt: skip
    if found is None or dbt is None or found.target.where.file in {_name(root, own / "profiles.yml") for own in (root, here)}:
        return found
    place = found.target.fields.get("path")
    if found.target.type != "duckdb" or not isinstance(place, str) or place.startswith((":memory:", "md:", "motherduck:")):
        return found
    # a file of dbt's own profile is where dbt finds it from its own folder
    fields = {**found.target.fields, "path": str(dbt / place)}
    return replace(found, target=replace(found.target, fields=fields))


def _settings(root: Path, problems: list[ConfigError]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    file = root / "pyproject.toml"
    if file.is_file():
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            said = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
            line, column = (int(said[1]), int(said[2])) if said else (0, 0)
            text = str(error)[: said.start()] if said else str(error)
            where = Where(file="pyproject.toml", line=line, column=column)
            # without it, nobody knows where the rest is
            raise ProjectErrors([ConfigError(f"is no valid TOML: {text}", where=where, code="RV051")]) from None
        except OSError as error:
            problems.append(ConfigError(f"cannot be read: {error.strerror}", where=Where(file="pyproject.toml"), code="RV001"))
    for table in ("tool", "revetl"):
        inner = found.get(table, {})
        found = inner if isinstance(inner, dict) else {}
    given = {key.replace("-", "_"): value for key, value in found.items()}
    for key, value in given.items():
        place = Where(file="pyproject.toml", line=_toml_line(file, key))
        if key not in SETTINGS:
            meant = near(key, SETTINGS)
            problems.append(
                ConfigError(f"unknown setting {key!r} in [tool.revetl]{meant}", where=place, code="RV010",
                            hint="" if meant else f"known: {', '.join(SETTINGS)}")
            )  # fmt: skip
        elif problem := _wrong_setting(key, value):
            problems.append(ConfigError(f"{key!r} {problem}", where=place, code="RV011"))
    fine = {k: v for k, v in given.items() if k in SETTINGS and not _wrong_setting(k, v)}
    name = fine.get("name") or root.name
    return {
        "name": name, "profile": name, "model_paths": ["models"], "sync_paths": ["syncs"], "macro_paths": ["macros"],
        "target_path": "target", "log_path": "logs", "vars": {}, "state_schema": "", "tests": "gate",
        # the folder of a dbt project has models, macros and a target folder of dbt's own
        **(BESIDE_DBT if (root / "dbt_project.yml").is_file() else {}), **fine, "dbt": {**DBT, **fine.get("dbt", {})},
    }  # fmt: skip


def _wrong_setting(key: str, value: Any) -> str:  # noqa: ANN401 any TOML value
    """How a setting's value is wrong, or an empty string."""
    kind = SETTINGS[key]
    if kind is list:
        fine = isinstance(value, list) and value and all(isinstance(one, str) and one for one in value)
        return "" if fine else "must be a list of texts"
    if key == "dbt":
        return _wrong_dbt(value)
    if kind is dict:
        return "" if isinstance(value, dict) else "must be a table"
    if not isinstance(value, str) or not value:
        return "must be a text"
    if key == "tests" and value not in MODES:
        return f"is {', '.join(MODES[:-1])} or {MODES[-1]}"
    # it names a folder of target/
    return "has letters, digits, `_`, `-` and `.` only" if key == "name" and not NAME.fullmatch(value) else ""


def _wrong_dbt(value: Any) -> str:  # noqa: ANN401 any TOML value
    if not isinstance(value, dict) or not all(isinstance(one, str) and one for one in value.values()):
        return 'must be a table of texts: {project = "../dbt"}'
    for key, given in value.items():
        if key not in DBT:
            return f"has an unknown key {key!r}{near(key, DBT)}"
        if key in {"tests", "freshness"} and given not in ON_DBT:
            return f"has {key} = {given!r}; one of: {', '.join(ON_DBT)}"
    return "" if value.get("project") else "needs `project`: the folder with dbt_project.yml"


def _toml_line(file: Path, key: str) -> int:
    """The line of a setting: the parser gives none."""
    inside = False
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().startswith("["):
            inside = bool(SECTION.match(line))
            if line.strip() in {f"[tool.revetl.{key}]", f"[tool.revetl.{key.replace('_', '-')}]"}:
                return number
        elif inside and line.split("=")[0].strip().strip("'\"").replace("-", "_") == key:
            return number
    return 0


def _documents(root: Path, folders: list[str], problems: list[ConfigError]) -> list[Node]:
    """The YAML files of some folders that can be read and are not empty."""
    found = []
    for path in _files(root, folders, ("*.yml", "*.yaml")):
        try:
            found.append(read(path, _name(root, path), problems))
        except ConfigError as problem:
            problems.append(problem)
    return [document for document in found if document is not None]


def _files(root: Path, folders: list[str], patterns: tuple[str, ...]) -> list[Path]:
    found = {path for folder in folders for pattern in patterns for path in (root / folder).rglob(pattern)}
    return sorted(path for path in found if path.is_file())


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _text(root: Path, path: Path, problems: list[ConfigError]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        problems.append(ConfigError(reason, where=Where(file=_name(root, path)), code="RV001"))
        return ""


def _models(root: Path, settings: Mapping[str, Any], problems: list[ConfigError]) -> dict[str, Model]:
    found: dict[str, Model] = {}
    for path in _files(root, settings["model_paths"], ("*.sql",)):
        name = _name(root, path)
        if not NAME.fullmatch(path.stem) or "." in path.stem:
            problems.append(
                ConfigError("a model's file has letters, digits, `_` and `-` in its name, and begins with a letter",
                            where=Where(file=name, line=1), code="RV037")
            )  # fmt: skip
            continue
        if path.stem in found:
            problems.append(
                ConfigError(f"model {path.stem!r} exists already as {found[path.stem].path}", where=Where(file=name, line=1),
                            code="RV052")
            )  # fmt: skip
            continue
        found[path.stem] = Model(name=path.stem, path=name, sql=_text(root, path, problems))
    return found


def _macros(root: Path, settings: Mapping[str, Any], problems: list[ConfigError]) -> tuple[tuple[str, str], ...]:
    files = _files(root, settings["macro_paths"], ("*.sql",))
    return tuple((_name(root, path), _text(root, path, problems)) for path in files)


class _Sources:
    """`sources:` of dbt's schema files; other keys of those files are dbt's business."""

    def __init__(  # noqa: PLR0913 what a source may need
        self, root: Path, environ: tuple[Mapping[str, str], tuple[str, ...]], values: Mapping[str, Any],
        target: Target | None, problems: list[ConfigError], warnings: list[str],
    ) -> None:  # fmt: skip
        self.root = root
        self.tests = DataTestReader((), (), text=self.text, problems=problems, warnings=warnings)
        self.environ, self.denied = environ
        self.values = values
        self.target = target
        self.problems = problems

    def read(self, documents: Iterable[Node]) -> dict[str, Source]:
        """By `source.table`."""
        found: dict[str, Source] = {}
        for document in documents:
            for source in _listed(document, "sources"):
                for table in _listed(source, "tables"):
                    name = f"{_plain(source, 'name')}.{_plain(table, 'name')}"
                    if name in found:
                        self.bad(f"source table {name!r} exists already at {found[name].where}", table, "RV053")
                    else:
                        found[name] = self.source(source, table)
        return found

    def bad(self, message: str, node: Node, code: str, hint: str = "") -> None:
        self.problems.append(ConfigError(message, where=node.where, code=code, hint=hint))

    def source(self, source: Node, table: Node) -> Source:
        name = _plain(table, "name")
        for key, node in (("name", source), ("name", table)):
            if not _plain(node, key):
                self.bad("a source and each of its tables need a name", node, "RV013")
        return Source(
            name=name, schema=self.text(source, "schema") or _plain(source, "name"),
            identifier=self.text(table, "identifier") or name, database=self.text(source, "database"),
            external_location=self.location(source, table, name), freshness=self.tests.freshness(source, table),
            where=table.where,
        )  # fmt: skip

    def location(self, source: Node, table: Node, name: str) -> str:
        """A file, absolute; an address, or a call of a function of DuckDB, as it is written."""
        for node in (table, source):
            config = node.get("config")
            for holder in (node, node.get("meta"), config, config.get("meta") if config is not None else None):
                place = self.text(holder, "external_location") if holder is not None else ""
                place = place.replace("{name}", name).replace("{identifier}", _plain(table, "identifier") or name)
                if place:
                    if CALL.fullmatch(place):
                        return in_folder(place, self.root.resolve())
                    return place if "://" in place else str((self.root / place).resolve())
        return ""

    def text(self, node: Node, key: str) -> str:
        """A value, with its Jinja rendered; the target's own values are there once a target was found."""
        text, place = _plain(node, key), node.get(key) or node
        if "{{" not in text or self.target is None:
            return text
        try:
            return str(rendered(text, self.environ, {"var": self.var, "target": self.target.shown()}))
        except MissingVariable as missing:
            if missing.name in self.denied or missing.name.startswith(SECRET_PREFIXES):
                self.bad(f"env_var({missing.name!r}): a secret may be used in profiles.yml only", place, "RV067")
                return ""
            self.bad(f"{key!r} needs the environment variable {missing.name}, which is not set", place, "RV027",
                     hint=f"export {missing.name}=…")  # fmt: skip
        except ConfigError as problem:
            if not problem.code:  # of the value itself, not of a var() in it
                problem = ConfigError(f"{key!r} {problem.message}", hint=problem.hint, code="RV060")
            problem.where = place.where
            self.problems.append(problem)
        except Exception as error:  # noqa: BLE001 whatever a template can raise; its text may hold a value
            self.bad(f"{key!r} cannot be rendered ({type(error).__name__})", place, "RV060")
        return ""

    def var(self, name: str, default: Any = UNSET) -> Any:  # noqa: ANN401 any YAML value
        return value_of(self.values, name, default)


def _listed(node: Node, name: str) -> list[Node]:
    found = node.get(name)
    return list(found.value) if found is not None and isinstance(found.value, list) else []


def _plain(node: Node, name: str) -> str:
    found = node.get(name)
    return str(found.value) if found is not None and found.value is not None else ""
