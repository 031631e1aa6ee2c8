"""The script of `revetl grants`, run on a real PostgreSQL: each role can do its work, and nothing else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from revetl import api
from revetl.cli import cli
from revetl.engine import RunOptions, RunResult
from revetl.grants import Needs, script
from revetl.project import Project, Source, load
from revetl.sandbox import Sandbox
from tests.bars import Bar
from tests.security.hostile import NAMES
from tests.suites.world import World
from tests.unit.project_files import SHOP, write

JOBS = ("plan", "run", "admin")
LONGEST = 60  # bytes of a name with two letters before it; PostgreSQL cuts it at 63
FILES = {
    **SHOP,
    "models/sources.yml": "sources: [{name: raw, tables: [{name: people}, {name: orders}]}]\n",
    "models/people.sql": "select customer_id, email, orders_count from {{ source('raw', 'people') }}\n",
    "models/orders.sql": "select order_id, customer_id, ordered_at from {{ source('raw', 'orders') }}\n",
}  # fmt: skip
BUILT = {
    "models/people.sql": "{{ config(materialized='table') }}\n" + FILES["models/people.sql"],
    "models/orders.sql": "{{ config(materialized='view') }}\n" + FILES["models/orders.sql"],
}
# what belongs to others: what the models read, what they do not, and a table of another schema
THEIRS = (
    "CREATE SCHEMA raw", "CREATE SCHEMA marts", "CREATE SCHEMA private",
    "CREATE TABLE raw.people (customer_id int, email text, orders_count int)",
    "CREATE TABLE raw.orders (order_id int, customer_id int, ordered_at timestamptz)",
    "CREATE TABLE raw.salaries (customer_id int, pay int)", "CREATE TABLE marts.dim (a int)",
    "CREATE TABLE private.notes (a int)",
    "CREATE VIEW raw.view_of_all AS SELECT * FROM raw.people",
    "INSERT INTO raw.people VALUES (1, 'ann@example.com', 2), (2, 'bob@example.com', 0)",
    "INSERT INTO raw.orders VALUES (7, 1, now()), (8, 1, now())",
    "INSERT INTO raw.salaries VALUES (1, 9)", "INSERT INTO marts.dim VALUES (1)", "INSERT INTO private.notes VALUES (1)",
)  # fmt: skip
TABLES = {"raw.people": "email", "raw.orders": "order_id", "raw.salaries": "pay", "marts.dim": "a", "private.notes": "a"}


def quoted(name: str) -> str:
    """A name in SQL, written here and not by the code under test."""
    return '"' + name.replace('"', '""') + '"'


def changes(table: str, column: str) -> tuple[str, ...]:
    """Every way to change a table or what stands around it."""
    schema = table.split(".", maxsplit=1)[0]
    return (
        f"INSERT INTO {table} DEFAULT VALUES", f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"DROP TABLE {table}", f"DROP TABLE {table} CASCADE", f"ALTER TABLE {table} ADD COLUMN z int",
        f"ALTER TABLE {table} RENAME TO gone", f"ALTER TABLE {table} OWNER TO CURRENT_USER", f"CREATE INDEX ON {table} ((1))",
        f"COMMENT ON TABLE {table} IS 'x'", f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
        f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        f"CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING", f"DROP SCHEMA {schema} CASCADE",
        f"ALTER SCHEMA {schema} RENAME TO gone", f"SELECT * FROM {table} FOR UPDATE",
    )  # fmt: skip


@dataclass
class Database:
    """A database with tables of others, and users of three jobs with what the script gives them."""

    url: sa.URL
    prefix: str
    root: Path
    box: Sandbox

    def sql(self, *statements: str, user: str = "") -> list[tuple[Any, ...]]:
        """As this job's user, in a session that nothing restrains but its rights; the last result."""
        url = self.url if not user else self.url.set(username=f"{self.prefix}_job_{user}")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        found: list[tuple[Any, ...]] = []
        with engine.connect() as connection:
            if user:
                connection.exec_driver_sql(f"SET ROLE {self.prefix}_{user}")
            for statement in statements:
                result = connection.exec_driver_sql(statement.replace("%", "%%"))
                found = [tuple(row) for row in result] if result.returns_rows else []
        return found

    def allowed(self, statements: Sequence[str], user: str) -> list[str]:
        """Those statements that this job's user is not refused for want of a right; each is rolled back."""
        allowed = []
        for statement in statements:
            try:
                self.sql("BEGIN", statement, "ROLLBACK", user=user)
                allowed.append(statement)
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", "") != "42501":
                    allowed.append(f"{statement}: {error.orig}")
        return allowed

    def project(self, user: str, more: dict[str, str] | None = None, *, role: bool = True) -> Project:
        """The project with this job's user in the profile."""
        host, name = self.url.query["host"], self.url.database
        as_role = f", role: {self.prefix}_{user}" if role else ""
        write(self.root, {**FILES, **(more or {}), "profiles.yml":
            "shop:\n  target: prod\n  outputs:\n    prod: {type: postgres, " + f"host: '{host}', user: {self.prefix}_job_{user}, "
            f"dbname: {name}, schema: marts, state_schema: revetl_prod{as_role}}}\n  destinations:\n    prod: {{type: sandbox, "
            f"url: '{self.box.url}', site_id: \"{{{{ env_var('S') }}}}\", api_key: \"{{{{ env_var('K') }}}}\"}}\n"})  # fmt: skip
        return load(self.root, environ=self.environ, cwd=self.root)

    @property
    def environ(self) -> dict[str, str]:
        return {"HOME": str(self.root), "S": self.box.site_id, "K": self.box.api_key}

    def given(self, more: dict[str, str] | None = None) -> str:
        """Run the script that the command prints, as an administrator, twice; the script."""
        self.project("run", more)
        printed = CliRunner().invoke(
            cli, ["grants", "--roles", self.prefix, "--project-dir", str(self.root)], env=self.environ, catch_exceptions=False
        )
        assert printed.exit_code == 0, printed.output
        for _ in range(2):  # "It may be run again."
            self.sql(printed.stdout)
        for job in JOBS:
            user = f"{self.prefix}_job_{job}"
            self.sql(f"CREATE ROLE {user} LOGIN; GRANT {self.prefix}_{job} TO {user}")
        return printed.stdout

    def run(self, user: str = "run", more: dict[str, str] | None = None, **options: Any) -> RunResult:
        return api.run(self.project(user, more), environ=self.environ, options=RunOptions(backfill=True, **options))


@pytest.fixture
def database(postgres_uri: str, tmp_path: Path) -> Iterator[Database]:
    name = f"grants_{uuid.uuid4().hex[:8]}"
    server = sa.create_engine(postgres_uri, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    with Sandbox() as box:
        made = Database(url=sa.make_url(postgres_uri).set(database=name), prefix=name, root=tmp_path, box=box)
        made.sql(*THEIRS)
        yield made
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        for (role,) in connection.exec_driver_sql(f"SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{name}')").all():
            connection.exec_driver_sql(f'DROP ROLE "{role}"')


def fingerprint(database: Database) -> list[list[tuple[Any, ...]]]:
    """Rows, owners, rights and columns of what belongs to others."""
    return [
        *(database.sql(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES),
        database.sql("SELECT c.oid::regclass::text, relowner::regrole::text, relacl::text, relnatts FROM pg_class c "
                     "JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('raw', 'private') OR relname = 'dim' "
                     "ORDER BY 1"),
    ]  # fmt: skip


@pytest.mark.parametrize("more", [{}, BUILT], ids=["read", "built"])
def test_each_job_can_do_its_work(database: Database, more: dict[str, str]) -> None:
    """A first run, a change, a run that settles it, with diffs by the role that only reads between them."""
    database.given(more)
    if not more:  # what is built is built by the first run; before it a diff has nothing to read
        diff = api.diff(database.project("plan", more), environ=database.environ)
        assert [(d.counts.created, d.first_run) for d in diff.syncs] == [(2, True), (2, True)]
    checks = api.checks(database.project("run", more), database.environ)
    assert {check.name: check.text for check in checks if check.ok is False} == {}
    first = database.run(more=more)
    assert [(r.error, r.acknowledged) for r in first.syncs] == [(None, 2), (None, 2)]
    database.sql("UPDATE raw.people SET orders_count = 3 WHERE customer_id = 1", "INSERT INTO raw.orders VALUES (9, 2, now())")
    if not more:
        diff = api.diff(database.project("plan"), environ=database.environ)
        assert [(d.counts.updated, d.counts.created, d.first_run) for d in diff.syncs] == [(1, 0, False), (0, 1, False)]
    second = database.run(more=more)
    assert [(r.error, r.acknowledged) for r in second.syncs] == [(None, 1), (None, 1)]
    diff = api.diff(database.project("plan", more), environ=database.environ)
    assert [(d.counts.planned, d.counts.unchanged) for d in diff.syncs] == [(0, 2), (0, 3)]
    held = World(connect=None, box=database.box).person("1")  # type: ignore[arg-type]  # it only asks the workspace
    assert held == {"email": "ann@example.com", "orders_count": "3"}
    assert [stream.rows for stream in api.status(database.project("plan", more)).streams] == [2, 3]


@pytest.mark.parametrize("more", [{}, BUILT], ids=["read", "built"])
def test_nobody_changes_what_is_not_theirs(database: Database, bar: Bar, more: dict[str, str]) -> None:
    database.given(more)
    assert database.run(more=more).exit_code == 0
    before = fingerprint(database)
    wrong: list[str] = []
    tried = 0
    for job in JOBS:
        statements = [statement for table, column in TABLES.items() for statement in changes(table, column)]
        statements += ["SELECT * FROM raw.salaries", "SELECT * FROM private.notes", "SELECT * FROM raw.view_of_all",
                       "CREATE TABLE raw.more (a int)", "CREATE TABLE private.more (a int)", "CREATE VIEW raw.v AS SELECT 1",
                       "DROP VIEW raw.view_of_all",
                       "CREATE FUNCTION raw.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                       "CREATE ROLE somebody", f"ALTER DATABASE {database.url.database} RESET ALL",
                       "SELECT pg_read_file('/etc/passwd')",
                       f"ALTER ROLE {database.prefix}_plan SUPERUSER", "COPY raw.people FROM PROGRAM 'true'"]  # fmt: skip
        statements += [] if more and job != "plan" else ["CREATE TABLE marts.more (a int)"]
        statements += [] if job == "admin" else ["CREATE SCHEMA more", "DROP SCHEMA revetl_prod CASCADE",
                                                 "ALTER SCHEMA revetl_prod RENAME TO gone"]  # fmt: skip
        wrong += [f"{job}: {statement}" for statement in database.allowed(statements, job)]
        for table in TABLES:  # where one may read, this is a warning only
            with suppress(sa.exc.ProgrammingError):
                database.sql(f"GRANT ALL ON {table} TO PUBLIC", user=job)
        others = {"plan": ("run", "admin"), "run": ("plan", "admin"), "admin": ("plan",)}[job]
        roles = [*(f"SET SESSION AUTHORIZATION {database.prefix}_job_{other}" for other in others),
                 *(f"SET ROLE {database.prefix}_{other}" for other in others), f"SET ROLE {database.url.username}"]  # fmt: skip
        wrong += [f"{job}: {statement}" for statement in database.allowed(roles, job)]
        tried += len(statements) + len(roles) + len(TABLES)
    assert wrong == []
    assert fingerprint(database) == before
    assert tried > 200
    bar(39, "statements that a role of `revetl grants` was allowed against its purpose", found=len(wrong), goal="0",
        of=f"{tried} statements of 3 roles on PostgreSQL, models {'built by runs' if more else 'only read'}")  # fmt: skip


def test_who_only_looks_writes_no_state(database: Database) -> None:
    """In a session that is not read-only: by its rights alone."""
    text = database.given()
    assert database.run().exit_code == 0
    database.sql(text)  # once more, now that there are tables
    state = dict(database.sql("SELECT table_name, min(column_name) FROM information_schema.columns "
                              "WHERE table_schema = 'revetl_prod' GROUP BY 1"))  # fmt: skip
    assert len(state) > 8
    statements = [one for name, column in state.items() for one in changes(f"revetl_prod.{name}", str(column))]
    assert database.allowed([*statements, "CREATE TABLE revetl_prod.more (a int)"], "plan") == []
    assert database.allowed([f"SELECT * FROM revetl_prod.{name}" for name in state], "plan") == [
        f"SELECT * FROM revetl_prod.{name}" for name in state
    ]
    refused = api.run(database.project("plan"), environ=database.environ, options=RunOptions())
    assert int(refused.exit_code) == 30
    assert "revetl grants" in str(refused.error or refused.syncs[0].error)


def test_what_an_administrator_makes_the_runs_can_use(database: Database) -> None:
    """A list of forgotten people that a run cannot read would bring them back."""
    database.given()
    assert database.run().exit_code == 0
    forgotten = CliRunner().invoke(
        cli, ["forget", "2", "--reason", "asked", "--yes", "--project-dir", str(database.project("admin").root)],
        env=database.environ, catch_exceptions=False,
    )  # fmt: skip
    assert forgotten.exit_code == 0, forgotten.output
    ((owner,),) = database.sql("SELECT tableowner FROM pg_tables WHERE schemaname = 'revetl_prod' AND tablename = 'tomb__all'")
    assert owner == f"{database.prefix}_admin"
    assert database.run(full_refresh=True).syncs[0].acknowledged == 1
    assert World(connect=None, box=database.box).person("2") is None  # type: ignore[arg-type]  # it only asks the workspace
    changed = "BEGIN", "ALTER TABLE revetl_prod.runs ADD COLUMN z int", "DROP TABLE revetl_prod.rates", "ROLLBACK"
    database.sql(*changed, user="admin")


def test_the_server_can_give_the_role_to_a_session(database: Database) -> None:
    """As the script's head says, without `role:` in the profile: what one job makes the other one sees."""
    text = database.given()
    (example,) = [line for line in text.split("\n") if "ALTER ROLE" in line]
    for job in ("run", "plan"):
        statement = example.removeprefix("--").replace(f"{database.prefix}_run", f"{database.prefix}_{job}")
        database.sql(re.sub(r"\bjob\b", f"{database.prefix}_job_{job}", statement))
    first = api.run(database.project("run", role=False), environ=database.environ, options=RunOptions(backfill=True))
    assert [r.acknowledged for r in first.syncs] == [2, 2]
    diff = api.diff(database.project("plan", role=False), environ=database.environ)
    assert [(d.counts.planned, d.counts.unchanged) for d in diff.syncs] == [(0, 2), (0, 2)]


def test_names_in_the_script_are_names(database: Database) -> None:
    """Schemas and tables with every hostile name; what belongs to others stays."""
    names = [name for name in NAMES if len(name.encode()) <= LONGEST]
    before = fingerprint(database)
    for name in names:
        database.sql(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}", f"CREATE TABLE {quoted(name)}.{quoted(name)} (a int)")
    found = Needs(
        database=str(database.url.database), schema="marts", state_schema="x", unknown=tuple(names), built=(),
        sources=tuple(Source(name="t", schema=name, identifier=name) for name in names),
    )  # fmt: skip
    database.sql(script(found, "postgres", prefix=database.prefix))
    for name in names[::10]:
        one = replace(found, state_schema=f"s {name}", schema=f"m {name}", sources=(), built=tuple(names))
        database.sql(script(one, "postgres", prefix=database.prefix))
    rights = f"SELECT table_name FROM information_schema.table_privileges WHERE grantee = '{database.prefix}_plan'"
    assert sorted(name for (name,) in database.sql(rights)) == sorted(names)
    schemas = {name for (name,) in database.sql("SELECT schema_name FROM information_schema.schemata")}
    assert {f"{letter} {name}" for letter in "sm" for name in names[::10]} <= schemas
    assert fingerprint(database) == before
