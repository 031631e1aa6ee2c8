"""The shape of the package: imports point one way, seams stay seams, and no module keeps state.

A module that is new gets its place in `LAYERS`, from the bottom up; it may import from lower layers only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "revetl"
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        "errors destination ids nearest formats outline rules folding pages",
        "contracts yamlfile render ci adapters sourcefiles",
        "taxonomy versions renames dbt",
        "taxonomyfile dbtchecks previous datatests",
        "tables syncfile profiles values customerio sample identity",
        "dialects project fromdbt delivery connect encode shopify_sample",
        "snowflake_sql bigquery_sql databricks_sql",
        "on_duckdb on_postgres on_snowflake on_redshift on_bigquery on_databricks",
        "redshift_dialect",
        "diffsql warehouse entities compiler lint carried",
        "seal checklist",
        "plan state selection grants reasons purchases drift gates",
        "rates duplicates merges latency history persons",
        "engine upkeep repair",
        "forget reconcile unsent elsewhere",
        "report",
        "markdown artifacts candidates findings reconciled exposures tested",
        "console",
        "api",
        "cli",
        "__init__ __main__",
    )
)
SANDBOX = "sandbox"
SQLALCHEMY = {
    *("tables", "identity", "dialects", "diffsql", "warehouse", "seal", "state", "rates", "upkeep", "engine", "repair", "forget"),
    *("duplicates", "merges", "persons", "purchases", "reconcile", "unsent", "latency", "history", "drift"),
    *("on_duckdb", "on_postgres", "on_snowflake", "snowflake_sql", "on_redshift", "gates", "elsewhere", "carried"),
    *("on_bigquery", "bigquery_sql", "on_databricks", "databricks_sql"),
}
# beside the sender: two ask for access tokens, two know the errors of their driver
HTTP = {"customerio", "on_snowflake", "on_databricks", "bigquery_sql", "databricks_sql"}
DRIVERS = {"duckdb", "psycopg", "snowflake", "redshift_connector", "sqlalchemy_redshift", "google", "sqlalchemy_bigquery",
           "databricks"}  # fmt: skip
# what `revetl --help` must not wait for
HEAVY = {"sqlalchemy", "duckdb", "psycopg", "snowflake", "requests", "customerio", "orjson", "jinja2", "yaml", "tenacity", "http"}
MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear"}


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"))


def module(path: Path) -> str:
    """`revetl/sandbox/store.py` is part of `sandbox`."""
    inside = path.relative_to(PACKAGE)
    return SANDBOX if inside.parts[0] == SANDBOX else inside.stem


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Names of imported modules, without those for types only."""
    tree = parsed(path)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree) if lazy else tree.body:
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where something comes from"
            if node.module == "revetl":
                yield from (f"revetl.{alias.name}" for alias in node.names if alias.name != "__version__")
            else:
                yield node.module or ""


def ours(path: Path) -> set[str]:
    """Modules of the package that a module imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("revetl.")}


def foreign(path: Path, *, lazy: bool = True) -> set[str]:
    """Top-level names of everything else that it imports."""
    return {name.split(".")[0] for name in imports(path, lazy=lazy)} - {"revetl"}


FILES = sorted(PACKAGE.rglob("*.py"))
FLAT = [path for path in FILES if module(path) != SANDBOX]
BY_NAME = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
rank = {name: level for level, names in enumerate(LAYERS) for name in names}


def test_every_module_has_its_layer() -> None:
    unplaced = {module(path) for path in FLAT} - set(rank)
    assert not unplaced, f"give them a layer in LAYERS: {sorted(unplaced)}"


@pytest.mark.parametrize("path", FLAT, ids=lambda path: path.stem)
def test_imports_point_down(path: Path) -> None:
    """Strictly, so there can be no cycle."""
    up = {name for name in ours(path) if rank.get(name, 99) >= rank[path.stem]}
    assert not up, f"{path.stem} is in layer {rank[path.stem]} and must not import {sorted(up)}"


def test_the_sandbox_knows_nothing_of_the_rest_and_the_rest_nothing_of_it() -> None:
    """Client and server cannot share a mistake; they meet over HTTP only."""
    for path in FILES:
        if module(path) == SANDBOX:
            assert ours(path) <= {SANDBOX}, path
        else:
            assert SANDBOX not in ours(path), path


def test_sqlalchemy_stays_behind_its_seam() -> None:
    users = {module(path) for path in FILES if "sqlalchemy" in foreign(path)}
    assert users <= SQLALCHEMY, sorted(users - SQLALCHEMY)


def test_http_goes_out_of_one_module() -> None:
    users = {module(path) for path in FLAT if foreign(path) & {"requests", "urllib3", "customerio", "http"}}
    assert users <= HTTP, sorted(users - HTTP)


def test_drivers_are_imported_by_the_one_that_connects() -> None:
    users = {module(path) for path in FLAT if foreign(path) & DRIVERS}
    here = {"on_duckdb", "on_postgres", "snowflake_sql", "on_redshift", "redshift_dialect", "sample", "shopify_sample",
            "on_bigquery", "bigquery_sql", "databricks_sql"}  # fmt: skip
    assert users <= here, sorted(users)


@pytest.mark.parametrize("name", ["__init__", "__main__", "cli", "errors"])
def test_help_is_quick_because_nothing_heavy_is_imported(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    assert not foreign(path, lazy=False) & HEAVY
    at_once = {n.split(".")[1] for n in imports(path, lazy=False) if n.startswith("revetl.")}
    assert at_once <= {"errors", "cli"}


@BY_NAME
def test_modules_keep_no_state(path: Path) -> None:
    """A container at the top of a module is a constant: nothing in the module changes it."""
    tree = parsed(path)
    top = {
        target.id
        for node in tree.body
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else [])
        if isinstance(target, ast.Name)
    }  # fmt: skip
    changed = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            changed += node.names
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            owner = node.func.value
            changed += [owner.id] if isinstance(owner, ast.Name) and owner.id in top else []
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            changed += [node.value.id] if isinstance(node.value, ast.Name) and node.value.id in top else []
    assert not changed, f"module-level state: {sorted(set(changed))}"


@BY_NAME
def test_what_is_public_says_what_it_gives(path: Path) -> None:
    """Modules, classes, functions and methods without an underscore have a docstring."""
    silent: list[str] = []
    assert ast.get_docstring(parsed(path)), f"{path}: say what the module decides"
    owners: list[ast.Module | ast.ClassDef] = [parsed(path)]
    owners += [node for node in parsed(path).body if isinstance(node, ast.ClassDef)]
    for owner in owners:
        if isinstance(owner, ast.ClassDef) and owner.name.startswith("_"):
            continue
        for node in owner.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                handler = node.name.startswith("do_")  # named by http.server
                silent += [] if handler or ast.get_docstring(node) else [f"{node.name} (line {node.lineno})"]
    assert not silent
