"""A project's files as one frozen, typed value; every problem of every file is found in one pass.

Settings stand in `pyproject.toml [tool.revetl]` and are all optional; connections in profiles.yml (`profiles.py`),
syncs in `syncs/` (`syncfile.py`), models in `models/`. Nothing here opens a connection or imports a driver.

Codes of problems: RV001-RV004 files, RV010-RV019 keys and values, RV020-RV028 profiles, RV030-RV045 syncs,
RV050-RV056 models and settings, RV060-RV067 templates, RV200-RV220 found while planning.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revetl.contracts import Sync
from revetl.errors import ConfigError, ProjectErrors, Where
from revetl.profiles import Destination, Profile, Secret, Target, find, load_profile, rendered
from revetl.syncfile import SyncReader, near, schema
from revetl.yamlfile import Node, read

__all__ = ["Destination", "Model", "Project", "Secret", "Source", "Target", "load", "schema"]

SETTINGS = {
    "name": str, "profile": str, "model_paths": list, "sync_paths": list, "macro_paths": list, "target_path": str,
    "log_path": str, "vars": dict, "state_schema": str,
}  # fmt: skip


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


def find_root(start: Path) -> Path:
    """The project's folder: here or the nearest parent with `[tool.revetl]` in pyproject.toml, or with `syncs/`.

    Raises:
        ConfigError: there is none.
    """
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if (folder / "syncs").is_dir():
            return folder
        if file.is_file() and "[tool.revetl" in file.read_text(errors="replace"):
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
    """Read a project.

    Raises:
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
    sources = _sources(root, settings, environ, problems)
    reader = SyncReader({*models, *sources}, problems)
    for path in _files(root, settings["sync_paths"], ("*.yml", "*.yaml")):
        try:
            document = read(path, _name(root, path))
            if document is not None:
                reader.read(document)
        except ConfigError as problem:
            problems.append(problem)
    reader.cross_check()
    # a project named by --project-dir comes with its own profiles.yml, whatever lies where one stands
    chosen = _profile(root, root if project_dir is not None else here, settings, profiles_dir, profile, target, environ, problems)
    if problems or chosen is None:
        raise ProjectErrors(sorted(problems, key=_place))
    return Project(
        root=root, name=settings["name"], target=chosen.target, destination=chosen.destination, models=models,
        macros=macros, sources=sources, syncs=reader.syncs, vars={**settings["vars"], **(cli_vars or {})},
        target_path=root / settings["target_path"], log_path=root / settings["log_path"],
        state_schema=chosen.target.state_schema or settings["state_schema"] or f"revetl_{chosen.target.name}",
        warnings=chosen.warnings,
    )  # fmt: skip


def _place(problem: ConfigError) -> tuple[str, int, int]:
    where = problem.where or Where(file="")
    return where.file, where.line, where.column


def _profile(  # noqa: PLR0913 what decides which profile counts
    root: Path, here: Path, settings: Mapping[str, Any], profiles_dir: Path | None, profile: str | None,
    target: str | None, environ: Mapping[str, str], problems: list[ConfigError],
) -> Profile | None:  # fmt: skip
    try:
        path = find(profiles_dir, environ, here, root)
    except ConfigError as problem:
        problems.append(problem)
        return None
    return load_profile(path, profile or settings["profile"], target, environ, problems)


def _settings(root: Path, problems: list[ConfigError]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    file = root / "pyproject.toml"
    if file.is_file():
        try:
            found = tomllib.loads(file.read_text()).get("tool", {}).get("revetl", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            problems.append(ConfigError(f"is no valid TOML: {error}", where=Where(file="pyproject.toml"), code="RV051"))
    given = {key.replace("-", "_"): value for key, value in found.items()}
    for key, value in given.items():
        place = Where(file="pyproject.toml", line=_toml_line(file, key))
        if key not in SETTINGS:
            problems.append(
                ConfigError(f"unknown setting {key!r} in [tool.revetl]{near(key, SETTINGS)}", where=place, code="RV010",
                            hint=f"known: {', '.join(SETTINGS)}")
            )  # fmt: skip
        elif not isinstance(value, SETTINGS[key]):
            problems.append(ConfigError(f"{key!r} must be a {SETTINGS[key].__name__}", where=place, code="RV011"))
    fine = {k: v for k, v in given.items() if k in SETTINGS and isinstance(v, SETTINGS[k])}
    name = fine.get("name") or root.name
    return {
        "name": name, "profile": name, "model_paths": ["models"], "sync_paths": ["syncs"], "macro_paths": ["macros"],
        "target_path": "target", "log_path": "logs", "vars": {}, "state_schema": "", **fine,
    }  # fmt: skip


def _toml_line(file: Path, key: str) -> int:
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if line.split("=")[0].strip().replace("-", "_") == key:
            return number
    return 0


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


def _sources(
    root: Path, settings: Mapping[str, Any], environ: Mapping[str, str], problems: list[ConfigError]
) -> dict[str, Source]:
    """`sources:` of dbt's schema files; other keys of those files are dbt's business."""
    found: dict[str, Source] = {}
    for path in _files(root, settings["model_paths"], ("*.yml", "*.yaml")):
        try:
            document = read(path, _name(root, path))
        except ConfigError as problem:
            problems.append(problem)
            continue
        group = document.get("sources") if document is not None else None
        for source in group.value if group is not None and isinstance(group.value, list) else []:
            name = _plain(source, "name")
            tables = source.get("tables")
            for table in tables.value if tables is not None and isinstance(tables.value, list) else []:
                made = _source(root, source, table, environ, problems)
                found[f"{name}.{made.name}"] = made
    return found


def _source(
    root: Path, source: Node, table: Node, environ: Mapping[str, str], problems: list[ConfigError]
) -> Source:
    name = _plain(table, "name")
    place = ""
    for holder in (table, table.get("meta"), table.get("config"), source.get("meta"), source.get("config")):
        if holder is not None and not place:
            place = _plain(holder, "external_location")
    if "{{" in place:
        try:
            place = str(rendered(place, environ))
        except Exception as error:  # noqa: BLE001 whatever a template can raise; its text may hold a value
            variable = getattr(error, "name", "")
            problems.append(
                ConfigError(
                    f"the location of source table {name!r} cannot be rendered"
                    + (f": the environment variable {variable} is not set" if variable else ""),
                    where=table.where, code="RV027", hint=f"export {variable}=…" if variable else "",
                )
            )  # fmt: skip
    if place and "://" not in place:
        place = str((root / place.replace("{name}", name)).resolve())
    return Source(
        name=name, schema=_plain(source, "schema") or _plain(source, "name"),
        identifier=_plain(table, "identifier") or name, database=_plain(source, "database"),
        external_location=place, where=table.where,
    )  # fmt: skip


def _plain(node: Node, name: str) -> str:
    found = node.get(name)
    return str(found.value) if found is not None and found.value is not None else ""
