"""Databricks for the scenarios: Apache Spark on this machine, or a live warehouse.

What runs is what revetl writes for Databricks, by Databricks' own SQLAlchemy dialect, in the parser, analyzer and functions of
Spark, which are those of Databricks as far as Spark has them. It shows nothing of Unity Catalog, of Delta, or of Databricks'
driver. A live warehouse would, and nobody has tried it yet: `make test-databricks ENV=databricks.env`, made from
`tests/databricks.env.example`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from revetl import databricks_sql, on_databricks
from revetl.dialects import refuse_writes
from revetl.elsewhere import StateElsewhere, open_elsewhere
from revetl.profiles import Elsewhere
from revetl.warehouse import Probe, Warehouse, open_warehouse
from tests.suites.world import SCHEMA, World

Connect = Callable[..., Warehouse]
TYPES = {"VARCHAR": "STRING", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIMESTAMP": "TIMESTAMP_NTZ", "INTEGER": "INT"}


@cache
def spark() -> Any:
    """A session of Spark, as Databricks' are: ANSI, and in UTC as `on_databricks` asks for."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 heavy

    made = (
        SparkSession.builder.master("local[1]").appName("revetl")
        .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "1").config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.session.timeZone", "UTC").config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1").config("spark.log.level", "ERROR").config("spark.driver.memory", "1g")
        # small questions: compiling each of them takes longer than answering it
        .config("spark.sql.codegen.wholeStage", "false").config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.adaptive.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    )  # fmt: skip
    return made.getOrCreate()


class Cursor:
    """A cursor over Spark."""

    rowcount = -1

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self.description: Any = None
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, operation: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Ask."""
        self._told(operation)
        found = spark().sql(operation, args=dict(parameters)) if parameters else spark().sql(operation)
        self.description = [(field.name, field.dataType.simpleString(), *[None] * 5) for field in found.schema]
        self._rows = [tuple(row) for row in found.collect()]

    def fetchmany(self, size: int = 1) -> list[Any]:
        """Some rows."""
        found, self._rows = self._rows[:size], self._rows[size:]
        return found

    def fetchone(self) -> Any:
        """One row."""
        return next(iter(self.fetchmany(1)), None)

    def fetchall(self) -> list[Any]:
        """All rows."""
        return self.fetchmany(len(self._rows))

    def close(self) -> None:
        """Nothing is kept."""


class Connection:
    """What SQLAlchemy takes for a connection."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self._told)

    def commit(self) -> None:
        """Nothing."""

    def rollback(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def on_spark(told: Callable[[str], None] = lambda _: None) -> Warehouse:
    """A warehouse whose statements are Spark's to answer."""
    engine = sa.create_engine("databricks+revetl://", creator=lambda: Connection(told), poolclass=StaticPool)
    sa.event.listen(engine, "before_cursor_execute", refuse_writes)
    dialect = replace(on_databricks.DATABRICKS, problem=on_databricks.problem, describe=databricks_sql.described)
    return Warehouse(engine, dialect)


def constant(value: Any) -> str:
    """A value as Spark writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, datetime.datetime):
        plain = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
        return f"'{plain.isoformat(sep=' ')}'"
    if isinstance(value, str):
        return databricks_sql.written(value)
    return str(value) if isinstance(value, int | float | Decimal | bool) else f"'{value}'"


class Mirrored(World):
    """A world whose tables are kept in DuckDB and shown to Spark; the state is in another DuckDB file."""

    file: Path

    def sql(self, *statements: str) -> None:
        """Change the tables."""
        with duckdb.connect(str(self.place(*statements))) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for statement in statements:
                connection.execute(statement)
            if not any(SCHEMA in statement for statement in statements):
                self.show(connection)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Read the state, or a table."""
        with duckdb.connect(str(self.place(query))) as connection:
            return connection.execute(query).fetchall()

    def place(self, *statements: str) -> Path:
        """The state's file, or that of the tables."""
        of_state = any(SCHEMA in one or "information_schema" in one for one in statements)
        return self.file.parent / "state.duckdb" if of_state else self.file

    def show(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Every table as a view of Spark's."""
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            columns = [(name, TYPES.get(kind, kind)) for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall()]
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            made = [
                ", ".join(f"CAST({constant(v)} AS {kind}) AS `{name}`" for v, (name, kind) in zip(row, columns, strict=True))
                for row in rows or [(None,) * len(columns)]
            ]
            text = " UNION ALL ".join(f"SELECT {one}" for one in made)
            spark().sql(f"CREATE OR REPLACE TEMPORARY VIEW {table} AS SELECT * FROM ({text})" + ("" if rows else " WHERE false"))


def mirrored(folder: Path, box: Any, told: Callable[[str], None] = lambda _: None) -> Mirrored:
    """A world on Spark."""
    state = Elsewhere(kind="duckdb", fields={"path": "state.duckdb"})

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> StateElsewhere:
        opened: StateElsewhere = world.adopted(  # type: ignore[assignment]  # as it was given
            open_elsewhere(on_spark(told), state, root=folder, read_only=read_only, probe=probe)
        )
        return opened

    world = Mirrored(connect=connect, box=box)
    world.source = lambda: on_spark(told)
    world.file = folder / "tables.duckdb"
    return world


class Live(World):
    """A world on a live warehouse, its state in a DuckDB file."""

    def sql(self, *statements: str) -> None:
        """Change the warehouse."""
        super().sql(*(sparksql(one) if SCHEMA not in one else one for one in statements))


def sparksql(sql: str) -> str:
    """A scenario's statement, which is written for PostgreSQL and DuckDB, in Databricks' words."""
    import sqlglot  # noqa: PLC0415

    (text,) = sqlglot.transpile(sql, read="duckdb", write="databricks")
    return str(text)


@contextmanager
def live(file: str, name: str, world: Callable[..., World], folder: Path) -> Iterator[World]:
    """A schema of its own in the catalog that a file of `DATABRICKS_<FIELD>=value` names."""
    pairs = (line.partition("=") for line in Path(file).read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    found: dict[str, Any] = {n.strip().removeprefix("DATABRICKS_").lower(): v.strip() for n, _, v in pairs if v.strip()}
    fields = {**found, "schema": name}
    state = Elsewhere(kind="duckdb", fields={"path": "state.duckdb"})

    def source() -> Warehouse:  # the only one that writes: the tables of the scenarios
        opened = open_warehouse("databricks", fields, root=Path(), read_only=True)
        sa.event.remove(opened.engine, "before_cursor_execute", refuse_writes)
        return opened

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        opened = open_warehouse("databricks", fields, root=Path(), read_only=True)
        return made.adopted(open_elsewhere(opened, state, root=folder, read_only=read_only, probe=probe))

    made = world(connect=connect, kind="databricks")
    made.source = source
    writer = open_warehouse("databricks", {**fields, "schema": "default"}, root=Path(), read_only=True)
    sa.event.remove(writer.engine, "before_cursor_execute", refuse_writes)
    try:
        writer.execute(sa.text(f"CREATE SCHEMA {name}"))
        yield made
    finally:
        writer.execute(sa.text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
        writer.close()


def values(expressions: Sequence[str]) -> list[Any]:
    """What Spark gives."""
    text = ", ".join(f"{one} AS c{i}" for i, one in enumerate(expressions))
    return list(spark().sql(f"SELECT {text}").collect()[0])


def parse(sql: str) -> None:
    """Parse a statement by Spark's own parser; an error is one."""
    spark()._jsparkSession.sessionState().sqlParser().parsePlan(sql)
