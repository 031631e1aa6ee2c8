"""Redshift for the scenarios: its SQL on a PostgreSQL server, or a live account.

The first shows that the protocol holds in the statements that revetl writes for Redshift. It does not show that Redshift takes
them. The second does, and nobody has done it yet: `make test-redshift ENV=redshift.env`, made from
`tests/redshift.env.example`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from revetl.dialects import driver_problem
from revetl.on_redshift import NAME, REDSHIFT, Forms, Types
from revetl.warehouse import Probe, Warehouse, open_warehouse
from tests.suites.world import SCHEMA, World, postgres_world

Connect = Callable[..., Warehouse]
# functions of Redshift that PostgreSQL lacks, by what Amazon's manual says of them
FUNCTIONS = (
    "CREATE FUNCTION getdate() RETURNS timestamp LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() AT TIME ZONE 'UTC' $$",
    "CREATE FUNCTION sha2(text, int) RETURNS text LANGUAGE sql IMMUTABLE AS "
    "$$ SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex') $$",
    "CREATE FUNCTION strtol(text, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS "
    "$$ SELECT ('x' || lpad($1, 16, '0'))::bit(64)::bigint $$",
)


class Compiler(Forms, PGDialect_psycopg.statement_compiler):  # type: ignore[valid-type,misc]  # an attribute
    """Redshift's statements with this driver's parameters."""


class TypeNames(Types, PGDialect_psycopg.type_compiler_cls):  # type: ignore[valid-type,misc]
    """Redshift's types."""


def with_digits(cursor: Any) -> list[tuple[str, str]]:
    """Every decimal of Redshift has a number of digits, which the scenarios' tables leave out."""
    return [(c.name, "numeric(38,9)" if c.type_display == "numeric" else c.type_display) for c in cursor.description]


@contextmanager
def on_postgres(uri: str, name: str) -> Iterator[Connect]:
    """What revetl writes for Redshift, on a real PostgreSQL server."""
    with postgres_world(uri, name) as plain:
        warehouse = plain()
        for statement in FUNCTIONS:
            warehouse.execute(sa.text(statement.replace(":", r"\:")))
        warehouse.close()

        def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
            made = plain(read_only=read_only)
            dialect = made.engine.dialect
            dialect.name = NAME
            dialect.statement_compiler = Compiler
            dialect.type_compiler_instance = dialect.type_compiler = TypeNames(dialect)
            return Warehouse(made.engine, replace(REDSHIFT, describe=with_digits, problem=driver_problem), probe=probe)

        yield connect


@contextmanager
def live(file: str, name: str) -> Iterator[Connect]:
    """A schema of its own in the database that a file of `REDSHIFT_<FIELD>=value` names; the role may create schemas."""
    fields = target_of(Path(file).read_text(encoding="utf-8"))

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        warehouse = open_warehouse("redshift", fields, root=Path(), read_only=read_only, probe=probe)
        here = f"SET search_path TO {name}"
        sa.event.listen(warehouse.engine, "connect", lambda connection, _: connection.cursor().execute(here))
        return warehouse

    warehouse = connect()
    try:
        warehouse.execute(sa.text(f"CREATE SCHEMA {name}"))
        yield connect
    finally:
        for schema in (name, SCHEMA):
            warehouse.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        warehouse.close()


def target_of(text: str) -> Mapping[str, Any]:
    """The fields of a target by dbt's names."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    found = {name.strip().removeprefix("REDSHIFT_").lower(): value.strip() for name, _, value in pairs if value.strip()}
    return {**found, "is_serverless": found["is_serverless"] == "true"} if "is_serverless" in found else found


def filled(world: World) -> World:
    """The scenarios' two tables."""
    world.people_table(("a", "ann@example.com", "free", 0), ("b", "bob@example.com", "pro", 12.5))
    world.orders_table(("o1", "a", 2, 30), ("o2", "b", 1, 12.5))
    return world
