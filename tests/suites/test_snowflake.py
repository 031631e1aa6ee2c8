"""Snowflake's own: the SQL of whole runs for review, statements counted, types, names, and what a read-only session refuses."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from revetl.contracts import Guards, Limit
from revetl.delivery import RealClock
from revetl.engine import CompiledSync
from revetl.errors import ExitCode, WarehouseError, Where
from revetl.sandbox import Sandbox
from revetl.warehouse import Warehouse, open_warehouse
from tests.suites.world import SCHEMA, SandboxDestination, World, attribute, people_sync, snowflake_world

GOLDEN = Path(__file__).parent.parent / "golden" / "sql" / "snowflake"
WRITE = os.environ.get("REVETL_GOLDEN") == "write"  # the tests themselves see no such variable
UNCHANGED_WRITES, CHANGED_WRITES = 4, 25  # of a run of people: INSERT, UPDATE, DELETE and MERGE
UNCHANGED, CHANGED = 20, 75  # statements of a run of people and events; the first as on every other warehouse


@pytest.fixture
def snow(snowflake_target: dict[str, Any], box: Sandbox) -> Iterator[World]:
    """A Snowflake with the scenarios' two tables."""
    with snowflake_world(snowflake_target, f"T_{uuid.uuid4().hex[:12]}".upper()) as connect:
        world = World(connect=connect, box=box, kind="snowflake")
        world.people_table(("a", "ann@example.com", "free", 0), ("b", "bob@example.com", "pro", 12.5))
        world.orders_table(("o1", "a", 2, 30), ("o2", "b", 1, 12.5))
        yield world


class Calm(RealClock):
    """Hardly any time passes, so that no slow machine makes the statements that a run makes every few seconds."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic(self) -> float:
        """A millisecond later than the last look."""
        self.looks += 1
        return self.looks / 1000


class Written:
    """Every statement of a run as SQLAlchemy gives it to the driver."""

    def __init__(self, world: World) -> None:
        self.statements: list[str] = []
        self.world, self.connect = world, world.connect
        world.connect = self.open

    def open(self, **options: Any) -> Warehouse:
        """A connection whose statements are kept."""
        warehouse = self.connect(**options)

        def keep(_c: object, _k: object, statement: str, *_: object) -> None:
            self.statements.append(statement)

        sa.event.listen(warehouse.engine, "before_cursor_execute", keep)
        return warehouse

    def text(self) -> str:
        """Numbered, without what is another in every run."""
        found = []
        for number, statement in enumerate(self.statements, 1):
            plain = re.sub(r"\b1\d{9}(\d{3})?\b", "<time>", statement)
            plain = re.sub(r"[ \t]+\n", "\n", plain).strip().replace("%%", "%")
            found.append(f"-- {number}\n{plain};\n")
        return "\n".join(found)


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if WRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path} is another; REVETL_GOLDEN=write writes it anew"


def test_the_sql_of_a_first_load_of_an_unchanged_run_and_of_one_with_changes(snow: World) -> None:
    written = Written(snow)
    runs = {}
    for name in ("first_load", "unchanged", "changes"):
        if name == "changes":
            snow.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'")
            snow.sql("INSERT INTO people VALUES ('c', 'cem@example.com', NULL, 1)")
            snow.order("o3", "c", 1, 5)
        written.statements.clear()
        result = snow.run(backfill=name == "first_load", clock=Calm())
        assert result.exit_code == ExitCode.OK, result
        runs[name] = len(written.statements)
        golden(f"{name}.sql", written.text())
        if name == "unchanged":
            assert snow.statements == UNCHANGED
    written.statements.clear()
    snow.diff()
    golden("diff.sql", written.text())
    assert all(re.match(r"SELECT|WITH", statement) for statement in written.statements)
    assert runs["unchanged"] == UNCHANGED <= 2 * 8 + 6
    assert runs["changes"] <= CHANGED
    for name in ("first_load.sql", "changes.sql"):
        text = (GOLDEN / name).read_text(encoding="utf-8")
        assert "CREATE TABLE" not in text, "every table is transient"
        # DDL commits what is open: none stands between BEGIN and COMMIT
        for inside in re.findall(r"\nBEGIN;\n(.*?)\nCOMMIT;\n", text, re.DOTALL):
            assert not re.search(r"\n(CREATE|ALTER|DROP) ", inside)
        assert not re.search(r"\(\([^)]*,[^)]*\), \(", text), "no lists of row values"
    assert snow.person("c") == {"email": "cem@example.com", "spent": "1"}


def test_the_number_of_statements_does_not_depend_on_the_number_of_rows(snow: World) -> None:
    """And of those that write there are few: each keeps a table's rows for itself while it runs."""
    written = Written(snow)
    snow.syncs = [people_sync(guards=Guards(max_changes=Limit(share=1.0)))]
    found: dict[int, list[tuple[int, int]]] = {}
    for rows in (2, 400):
        snow.sql("DELETE FROM people", f"INSERT INTO people SELECT 'p' || i, 'p' || i, 'free', i FROM {snow.numbers(rows)}")
        snow.run("people", baseline=True, clock=Calm(), full_refresh=True)
        snow.sql(f"UPDATE people SET plan = 'v{rows}'")
        written.statements.clear()
        assert snow.run("people", clock=Calm()).syncs[0].acknowledged == rows
        found[rows] = [counted(written.statements)]
        written.statements.clear()
        assert snow.run("people", clock=Calm()).syncs[0].counts.unchanged == rows
        found[rows].append(counted(written.statements))
    assert found[2] == found[400]
    [(_, changed), (_, unchanged)] = found[2]
    assert unchanged <= UNCHANGED_WRITES
    assert changed <= CHANGED_WRITES


def counted(statements: list[str]) -> tuple[int, int]:
    """How many there are, and how many of them change rows."""
    return len(statements), sum(1 for statement in statements if re.match("INSERT|UPDATE|DELETE|MERGE", statement))


def test_no_transaction_is_open_while_a_request_is_on_its_way(snow: World) -> None:
    written = Written(snow)
    seen: list[int] = []

    class Watching(SandboxDestination):
        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
            """Post a batch."""
            words = [statement.split(None, 1)[0] for statement in written.statements]
            seen.append(words.count("BEGIN") - words.count("COMMIT") - words.count("ROLLBACK"))
            return super().send(body, deadline_s=deadline_s, path=path)

    assert snow.run(backfill=True, destination=lambda: Watching(snow.box)).exit_code == ExitCode.OK
    assert seen
    assert set(seen) == {0}
    assert "BEGIN" in written.statements


def test_a_read_only_session_sends_no_other_statement_than_select(snow: World) -> None:
    warehouse = snow.connect(read_only=True)
    try:
        with pytest.raises(WarehouseError, match=r"RV405"):
            warehouse.execute(sa.text("DELETE FROM people"))
        assert warehouse.fetch(sa.text("SELECT count(*) FROM people")) == [(2,)]
    finally:
        warehouse.close()


def test_the_schema_of_the_session_stays_when_the_state_schema_is_made(snow: World) -> None:
    """CREATE SCHEMA makes the new schema the session's, and `people` would be looked for there."""
    warehouse = snow.connect()
    try:
        before = warehouse.fetch(sa.text("SELECT current_schema()"))
        warehouse.execute(sa.schema.CreateSchema(sa.quoted_name("another", quote=True), if_not_exists=True))
        assert warehouse.fetch(sa.text("SELECT current_schema()")) == before
        assert warehouse.fetch(sa.text("SELECT count(*) FROM people")) == [(2,)]
    finally:
        warehouse.close()


TYPES = {
    # field: (contract, the model's expression, rules, what Customer.io has)
    "whole": ("integer", "42::number(38,0)", {}, "42"),
    "large": ("integer", "9007199254740993::number(38,0)", {}, "9007199254740993"),
    "exact": ("number", "0.1000::number(20,4)", {}, "0.1"),
    "wide": ("number", "12345678901234567890.12::number(38,2)", {}, "12345678901234567890.12"),
    "double": ("number", "0.30000000000000004::float", {}, "0.30000000000000004"),
    "words": ("string", "'it''s 100% \\\\ \"ü\"'::varchar", {}, "it's 100% \\ \"ü\""),
    "yes": ("boolean", "true", {}, "true"),
    "day": ("date", "'2024-02-29'::date", {}, "2024-02-29"),
    "naive": ("timestamp", "'2024-07-01 12:00:00'::timestamp_ntz", {"zone": "Europe/Berlin"}, "1719828000"),
    "moment": ("timestamp", "'2024-07-01 12:00:00.9 +02:00'::timestamp_tz", {}, "1719828000"),
    "local": ("timestamp", "'2024-07-01 12:00:00 +02:00'::timestamp_tz::timestamp_ltz", {}, "1719828000"),
    "nested": ("object", "parse_json('{\"a\": [1, \"x\"]}')", {}, '{"a":[1,"x"]}'),
    "list": ("array", "parse_json('[1, 2]')", {}, "[1,2]"),
}  # fmt: skip


def typed(snow: World, *names: str) -> None:
    fields = [attribute(name, TYPES[name][0], column=name.upper(), **TYPES[name][2]) for name in names]
    columns = ", ".join(f"{TYPES[name][1]} AS {name}" for name in names)
    snow.syncs = [people_sync(name="typed", uid="typed", model="typed", fields=tuple(fields))]
    snow.sql(f"CREATE OR REPLACE TABLE typed AS SELECT 'a' AS id, {columns}")


def test_types_of_snowflake_arrive_as_they_are(snow: World) -> None:
    typed(snow, *TYPES)
    assert snow.run().exit_code == ExitCode.OK
    found = snow.person("a")
    assert found is not None
    assert {name: found.get(name) for name in TYPES} == {name: expected for name, (*_, expected) in TYPES.items()}
    again = snow.run()
    assert again.syncs[0].counts is not None
    assert again.syncs[0].counts.unchanged == 1, "what was read back from the state is the same"


def test_a_column_is_found_in_capital_letters_and_exactly_where_it_has_quotes(snow: World) -> None:
    fields = (attribute("email"), attribute("firstName", column="firstName"))
    snow.syncs = [people_sync(name="named", uid="named", model="named", key="customer_id", fields=fields)]
    snow.sql("""CREATE TABLE named AS SELECT 'a' AS customer_id, 'x@example.com' AS email, 'Ann' AS "firstName" """)
    assert snow.run().exit_code == ExitCode.OK
    assert snow.person("a") == {"email": "x@example.com", "firstName": "Ann"}
    # the state is found without quotes, but for what has both cases
    assert snow.ask(f'SELECT _key, email, "firstName" FROM {SCHEMA}.state__named') == [("a", "x@example.com", "Ann")]


def test_a_wider_decimal_keeps_the_state(snow: World) -> None:
    """Snowflake changes no scale: the table is made anew in one statement, and nobody is sent again."""
    assert snow.run("people").exit_code == ExitCode.OK
    snow.sql("CREATE OR REPLACE TABLE people AS SELECT id, email, plan, spent::number(18,4) AS spent FROM people",
             "UPDATE people SET spent = 12.5001 WHERE id = 'b'")  # fmt: skip
    result = snow.run("people")
    assert result.exit_code == ExitCode.OK
    assert result.syncs[0].counts is not None
    assert (result.syncs[0].counts.updated, result.syncs[0].counts.unchanged) == (1, 1)
    assert snow.person("b") == {"email": "bob@example.com", "plan": "pro", "spent": "12.5001"}
    assert snow.run("people").syncs[0].counts.unchanged == 2


PROFILES = """\
shop:
  target: dev
  outputs:
    dev:
      {{type: snowflake, account: fake, user: job, password: "{{{{ env_var('SNOW_PASSWORD') }}}}", role: R, warehouse: W,
       database: {database}, schema: public, host: 127.0.0.1, port: {port}, protocol: http, network_timeout: 300}}
  destinations:
    dev: {{type: sandbox}}
"""


SYNC = """\
version: 1
syncs:
  - name: people
    uid: people01
    model: ref('people')
    type: person
    identify_by: {id: customer_id}
    attributes: {email: string}
"""


@pytest.mark.more
@pytest.mark.skipif(bool(os.environ.get("SNOWFLAKE_TEST_ENV")), reason="a password in a file is fakesnow's only")
def test_the_commands_from_profiles_to_the_sandbox(snowflake_target: dict[str, Any], tmp_path: Path) -> None:
    """A source in small letters, two diffs and two runs."""
    database = f"T_{uuid.uuid4().hex[:12]}".upper()
    files = {
        "pyproject.toml": '[tool.revetl]\nname = "shop"\n',
        "profiles.yml": PROFILES.format(database=database, port=snowflake_target["port"]),
        "models/sources.yml": "version: 2\nsources:\n  - {name: raw, schema: raw, tables: [{name: customers}]}\n",
        "models/people.sql": "select customer_id, email from {{ source('raw', 'customers') }} -- it's 100% mine",
        "syncs/people.yml": SYNC,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    def revetl(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "revetl", *words], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "SNOW_PASSWORD": "hunter-2222"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "hunter-2222" not in done.stdout + done.stderr
        return done.stdout

    with snowflake_world(snowflake_target, database) as connect:
        warehouse = connect()
        warehouse.execute(sa.text("CREATE SCHEMA raw"))
        warehouse.execute(sa.text("CREATE TABLE raw.customers AS SELECT 'a' AS customer_id, 'a@example.com' AS email"))
        assert "tried and rolled back" in revetl("debug")
        there = sa.text("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'REVETL_DEV'")
        assert warehouse.fetch(there) == [(0,)], "debug leaves nothing"
        assert re.search(r"people\D+1 ", revetl("diff"))
        revetl("run")
        assert "0 acknowledged" in revetl("run")
        assert "would send nothing" in revetl("diff")
        assert warehouse.fetch(sa.text("SELECT _key, email FROM revetl_dev.state__people01")) == [("a", "a@example.com")]
        warehouse.close()


def test_a_host_that_does_not_answer_is_told_and_not_waited_for() -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))  # and nobody listens
        fields = {"account": "fake", "user": "u", "password": "p", "host": "127.0.0.1", "port": listener.getsockname()[1],
                  "protocol": "http", "connect_timeout": 2}  # fmt: skip
        warehouse = open_warehouse("snowflake", fields, root=Path())
        with pytest.raises(WarehouseError) as raised:
            warehouse.fetch(sa.text("SELECT 1"))
        warehouse.close()
    assert "is `account` right" in str(raised.value)


def test_a_result_is_read_in_pages(snow: World) -> None:
    warehouse = snow.connect()
    try:
        sql = sa.text("SELECT seq4() AS i FROM table(generator(rowcount => 2500))")
        assert [len(page) for page in warehouse.pages(sql, 1000)] == [1000, 1000, 500]
        # the connector's own batches of Arrow, each opened when its rows are asked for
        cursor = warehouse.connection.execute(sql).cursor
        assert [type(batch).__name__ for batch in cursor.get_result_batches()] == ["ArrowResultBatch"]
    finally:
        warehouse.close()


def test_a_model_that_does_not_compile_is_told_with_its_place(snow: World) -> None:
    warehouse = snow.connect(read_only=True)
    try:
        broken = CompiledSync(
            sync=snow.syncs[0], sql="SELECT id, emial FROM people", locate=lambda line: Where(file="models/people.sql", line=line)
        )
        with pytest.raises(WarehouseError, match=r"(?i)emial"):
            warehouse.columns(broken.sql)
    finally:
        warehouse.close()
