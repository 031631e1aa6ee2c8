"""BigQuery for the scenarios: its own SQLAlchemy dialect and parameters, or a live account.

There is no BigQuery here. What runs is what revetl writes for it, brought into DuckDB's words by sqlglot: this shows that the
protocol holds in those statements, and nothing of what BigQuery does with them. That they are GoogleSQL, with the right names and
types, is shown by Google's own analyzer (`googlesql.py`). A live account would show the rest, and nobody has done it yet:
`make test-bigquery ENV=bigquery.env`, made from `tests/bigquery.env.example`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import sqlalchemy as sa
import sqlglot
from google.cloud.bigquery import dbapi
from google.cloud.bigquery.dbapi.cursor import _format_operation
from sqlglot import exp

from revetl import bigquery_sql, on_bigquery
from revetl.warehouse import Probe, Warehouse, open_warehouse
from tests.suites.world import SCHEMA, World

Connect = Callable[..., Warehouse]
HOME = "warehouse"
# functions of GoogleSQL that DuckDB has under another name
MACROS = (
    "CREATE MACRO farm_fingerprint(t) AS CAST(hash(t) // 2 AS BIGINT)",
    "CREATE MACRO octet_length(t) AS strlen(t)",
    "CREATE MACRO normalize(t, form) AS nfc_normalize(t)",
    # a decimal of GoogleSQL has no zeros at its end
    "CREATE MACRO as_text(v) AS CASE WHEN typeof(v) LIKE 'DECIMAL%' AND contains(CAST(v AS VARCHAR), '.') "
    "THEN rtrim(rtrim(CAST(v AS VARCHAR), '0'), '.') ELSE CAST(v AS VARCHAR) END",
)
COLUMNS = """SELECT table_name, column_name, data_type, NULL FROM information_schema.columns
    WHERE table_schema = '{}' ORDER BY table_name, ordinal_position"""
TYPES = {"VARCHAR": "STRING", "BIGINT": "INT64", "INTEGER": "INT64", "DOUBLE": "FLOAT64", "BOOLEAN": "BOOL",
         "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIMESTAMP": "DATETIME", "HUGEINT": "BIGNUMERIC"}  # fmt: skip


def named(duck: str) -> str:
    """A type of DuckDB by its GoogleSQL name."""
    if duck.startswith("DECIMAL"):
        return "BIGNUMERIC"
    if duck.endswith("]"):
        return f"ARRAY<{named(duck[:-2])}>"
    return "STRUCT" if duck.startswith("STRUCT") else TYPES.get(duck, duck)


def duck(sql: str) -> str:
    """A statement of GoogleSQL in DuckDB's words, as far as sqlglot knows both."""
    def changed(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.DataType) and node.this in {exp.DataType.Type.BIGDECIMAL, exp.DataType.Type.BIGNUM}:
            return sqlglot.parse_one("CAST(1 AS DECIMAL(38, 9))").find(exp.DataType) or node
        if isinstance(node, exp.UnixSeconds):
            return exp.cast(exp.Floor(this=exp.Anonymous(this="epoch", expressions=[node.this])), "BIGINT")
        if isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.TEXT:
            return exp.Anonymous(this="as_text", expressions=[node.this])
        if isinstance(node, exp.Column) and node.name == "NFC":
            return exp.Literal.string("NFC")
        return node

    (tree,) = sqlglot.parse(sql, read="bigquery", error_level=sqlglot.ErrorLevel.RAISE)
    assert tree is not None
    text: str = tree.transform(changed).sql("duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE)
    return text.replace("DECIMAL(38, 5)", "DECIMAL(38, 9)")


class Cursor:
    """A cursor like the driver's: its own way with parameters and percent signs."""

    arraysize: int | None = None

    def __init__(self, connection: duckdb.DuckDBPyConnection, told: Callable[[str], None]) -> None:
        self._of = connection
        self._told = told
        self.rowcount = -1
        self.description: Any = None
        self._query_rows: Any = None

    def execute(self, operation: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement."""
        sql, _ = _format_operation(operation, parameters)
        self._told(sql)
        word = sql.split(None, 1)[0]
        if found := re.search(r"FROM `\w+`\.`(\w+)`\.INFORMATION_SCHEMA", sql):
            there = self._of.execute(f"SELECT 1 FROM information_schema.schemata WHERE schema_name = '{found[1]}'").fetchone()
            if not there:
                raise dbapi.DatabaseError(_missing(found[1]))
            sql = COLUMNS.format(found[1])
        else:
            sql = word if word in {"BEGIN", "COMMIT", "ROLLBACK"} else duck(sql)
        try:
            self._of.execute(sql, dict(parameters or {}))
        except duckdb.Error as error:
            raise dbapi.DatabaseError(error) from error
        if word in {"INSERT", "UPDATE", "DELETE", "MERGE"}:
            self.rowcount = int((self._of.fetchone() or (0,))[0])
            self.description = None
            return
        self.description = self._of.description
        fields = [SimpleNamespace(name=one[0], field_type=named(str(one[1])), mode="NULLABLE") for one in self.description or ()]
        self._query_rows = SimpleNamespace(schema=fields)
        if found_columns := re.search(r"information_schema\.columns", sql):
            self._rows: list[Any] = [(t, c, named(k), s) for t, c, k, s in self._of.fetchall()]
            self._fixed = bool(found_columns)
        else:
            self._fixed = False

    def fetchmany(self, size: int = 1) -> list[Any]:
        """Some rows."""
        return self._of.fetchmany(size)

    def fetchone(self) -> Any:
        """One row."""
        return self._of.fetchone()

    def fetchall(self) -> list[Any]:
        """All rows."""
        return self._rows if self._fixed else self._of.fetchall()

    def close(self) -> None:
        """Nothing is kept."""


def _missing(schema: str) -> Exception:
    from google.api_core.exceptions import NotFound  # noqa: PLC0415

    found: Exception = NotFound(f"Not found: Dataset {HOME}:{schema} was not found in location EU")
    return found


class Connection:
    """What `bigquery_sql.engine` takes for a connection."""

    def __init__(self, path: Path, *, read_only: bool, told: Callable[[str], None]) -> None:
        self._of = duckdb.connect(str(path), read_only=read_only)
        self._of.execute("SET TimeZone = 'UTC'")
        self._told = told

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self._of, self._told)

    def commit(self) -> None:
        """Nothing."""

    def rollback(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Close it."""
        self._of.close()


class Told(World):
    """A world whose tables are changed in DuckDB's own words."""

    file: Path

    def _plain(self, statements: Sequence[str]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for statement in statements:
                found = connection.execute(statement).fetchall()
        return found

    def sql(self, *statements: str) -> None:
        """Change the warehouse."""
        self._plain(statements)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Read the warehouse."""
        return self._plain([query])


def transpiled(folder: Path, told: Callable[[str], None] = lambda _: None) -> tuple[Connect, Path]:
    """Opens what stands in for BigQuery; and the file behind it."""
    path = folder / f"{HOME}.duckdb"
    with duckdb.connect(str(path)) as connection:
        for macro in MACROS:
            connection.execute(macro)

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        opened: Any = lambda: Connection(path, read_only=read_only, told=told)  # noqa: E731
        engine = bigquery_sql.engine(opened, home=HOME, read_only=read_only)
        dialect = replace(on_bigquery.BIGQUERY, problem=on_bigquery.problem, describe=bigquery_sql.described)
        return Warehouse(engine, dialect, probe=probe)

    return connect, path


def told_world(folder: Path, box: Any, told: Callable[[str], None] = lambda _: None) -> Told:
    """A world that writes for BigQuery, on DuckDB."""
    connect, path = transpiled(folder, told)
    world = Told(connect=connect, box=box)
    world.file = path
    return world


class Live(World):
    """A world on a live account: the scenarios' own statements are brought into GoogleSQL."""

    def sql(self, *statements: str) -> None:
        """Change the warehouse."""
        super().sql(*(googlesql(one) for one in statements))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Read the warehouse."""
        return super().ask(googlesql(query))

    def forget_drain(self) -> None:
        """Let the drain wait and every lease pass, as time would."""
        names = super().ask(f"SELECT table_name FROM {SCHEMA}.INFORMATION_SCHEMA.TABLES WHERE table_name LIKE 'ctl%'")
        super().sql(
            *(f"UPDATE {SCHEMA}.{name} SET lease_until = 1, drain_until = 1 WHERE true" for (name,) in names),
            f"DELETE FROM {SCHEMA}.rates WHERE true",
        )


def googlesql(sql: str) -> str:
    """A scenario's statement, which is written for PostgreSQL and DuckDB, in GoogleSQL."""
    (tree,) = sqlglot.parse(sql, read="duckdb")
    assert tree is not None
    text = tree.sql("bigquery")
    needs_where = isinstance(tree, exp.Update | exp.Delete) and tree.args.get("where") is None
    return f"{text} WHERE true" if needs_where else text


@contextmanager
def live(file: str, name: str) -> Iterator[Connect]:
    """A dataset of its own in the project that a file of `BIGQUERY_<FIELD>=value` names."""
    pairs = (line.partition("=") for line in Path(file).read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    found: dict[str, Any] = {n.strip().removeprefix("BIGQUERY_").lower(): v.strip() for n, _, v in pairs if v.strip()}
    fields = {**found, "schema": name, "location": found.get("location") or "US"}

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        return open_warehouse("bigquery", fields, root=Path(), read_only=read_only, probe=probe)

    warehouse = connect()
    try:
        warehouse.execute(sa.text(f"CREATE SCHEMA {name}"))
        yield connect
    finally:
        for schema in (name, SCHEMA):
            warehouse.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        warehouse.close()
