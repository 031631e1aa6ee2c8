"""A state that is kept in another engine: exact values, a warehouse that is only read, nothing left behind."""

from __future__ import annotations

import json
import sys
import tracemalloc
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from revetl.contracts import Initial
from revetl.elsewhere import open_elsewhere, placed
from revetl.engine import CompiledSync
from revetl.errors import ConfigError, ContractBroken, ExitCode, WarehouseError
from revetl.profiles import Elsewhere
from revetl.warehouse import open_warehouse
from tests.suites.conftest import SPLIT
from tests.suites.world import SCHEMA, World, attribute, orders_sync, people_sync

both = pytest.mark.parametrize("world", SPLIT, indirect=True)
from_snowflake = pytest.mark.parametrize("world", ["snowflake > duckdb", "snowflake > postgres"], indirect=True)
ODD = "a \"quote\", it''s, a \\ and\na line ü é 😀"


@both
def test_types_arrive_as_they_are_in_one_engine(world: World) -> None:
    world.sql(
        "DROP TABLE people",
        "CREATE TABLE people (id bigint, email text, empty text, plan decimal(38,9), d double precision, "
        "f real, b boolean, day date, moment timestamp with time zone, naive timestamp, j json, unused text)",
        f"INSERT INTO people VALUES (9007199254740993, '{ODD}', '', 0.123456789, 0.1, "
        "0.1, true, DATE '2024-02-29', TIMESTAMP WITH TIME ZONE '2024-01-01 00:00:00.999999+02', "
        "TIMESTAMP '2024-02-03 23:59:59.5', '{\"a\": [1, 2.50, null]}', 'x')",
        "INSERT INTO people VALUES (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    world.syncs[0] = people_sync(fields=(
        attribute("email"), attribute("empty"), attribute("plan", "number"), attribute("d", "number"),
        attribute("f", "number"), attribute("b", "boolean"), attribute("day", "date"), attribute("moment", "timestamp"),
        attribute("naive", "timestamp", zone="Europe/Berlin"), attribute("j", "object"),
    ))  # fmt: skip

    result = world.run("people")

    assert result.syncs[0].reasons == ()
    assert result.exit_code == ExitCode.OK
    [row] = world.ask(
        f'SELECT email, "empty", plan, d, f, b, day, moment, naive, j FROM {SCHEMA}.state__people01 '
        "WHERE _key = '9007199254740993'"
    )
    assert row[0] == ODD.replace("''", "'")
    assert row[1] == ""
    assert str(row[2]) == "0.123456789"
    assert row[3] == 0.1
    assert row[4] == float.fromhex("0x1.99999a0000000p-4")  # a single, as it is as a double
    assert row[5] is True
    assert row[6] == "2024-02-29"
    assert row[7] == 1_704_060_000  # 22:00 UTC, cut
    assert row[8] == 1707001199  # an hour east of UTC, cut
    assert row[9] == '{"a": [1, 2.50, null]}'
    assert world.ask(f"SELECT email, plan, moment FROM {SCHEMA}.state__people01 WHERE _key = '2'") == [(None, None, None)]
    assert world.run("people").syncs[0].counts.unchanged == 2


@both
def test_the_warehouse_is_only_read_and_no_stage_is_left(world: World) -> None:
    listed = ("SELECT table_schema, table_name FROM information_schema.tables "
              "WHERE table_name LIKE '%stage%' OR table_schema = 'S'")  # fmt: skip

    assert world.diff().syncs[0].counts.created == 2
    left_by_diff = world.ask(listed.replace("'S'", f"'{SCHEMA}'"))
    assert world.run("people").exit_code == ExitCode.OK

    assert left_by_diff == []
    assert ("state__people01",) in world.ask(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'")
    assert world.source is not None
    with closing(world.source()) as warehouse:
        assert warehouse.fetch(sa.text(listed.replace("'S'", f"'{SCHEMA}'"))) == []


@both
def test_people_events_and_their_owners_meet_in_the_states_engine(world: World) -> None:
    world.syncs[1] = orders_sync(initial=Initial.SEND)
    world.order("o3", "nobody", 1, 5)

    first = world.run(backfill=True)
    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'")
    second = world.run(backfill=True)

    assert [s.acknowledged for s in first.syncs] == [2, 2]
    assert [s.acknowledged for s in second.syncs] == [1, 0]
    assert world.person("a") == {"email": "ann@example.com", "plan": "pro", "spent": "0"}


@both
def test_an_error_in_the_model_names_its_line(world: World) -> None:
    world.sql("DROP TABLE people")

    error = world.run("people").syncs[0].error

    assert error is not None
    assert str(error.where).startswith("m.sql:1")


@pytest.mark.parametrize("world", ["postgres > duckdb"], indirect=True)
def test_a_decimal_that_would_be_rounded_stops_its_sync(world: World) -> None:
    world.sql("DROP TABLE people", "CREATE TABLE people (id text, email text, plan text, spent numeric)",
              "INSERT INTO people VALUES ('a', 'a@example.com', 'free', 1.5), ('b', NULL, 'free', -0.123456789)")  # fmt: skip

    fine = world.run("people")
    world.sql("UPDATE people SET spent = 0.12345678901234567890123 WHERE id = 'b'")
    stopped = world.run("people").syncs[0].error

    assert fine.exit_code == ExitCode.OK
    assert (world.person("b") or {})["spent"] == "-0.123456789"
    assert isinstance(stopped, ContractBroken)
    assert stopped.code == "RV484"
    assert "0.1234" not in str(stopped)


@from_snowflake
@pytest.mark.parametrize("columnar", [True, False])
def test_types_of_snowflake_arrive_as_they_are(world: World, columnar: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the connector's Arrow batches into DuckDB, and row by row where there is no pyarrow."""
    if not columnar:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    wide = 12345678901234567890123456789012345678
    world.sql(
        "DROP TABLE people",
        "CREATE OR REPLACE TABLE raw (id number(38,0), email text, empty text, plan number(38,9), d float, small number(9,0), "
        "b boolean, day date, moment timestamp_tz, kept timestamp_ltz, naive timestamp_ntz, j variant, "
        "unused text)",
        f"INSERT INTO raw SELECT 9007199254740993, '{ODD.replace(chr(92), chr(92) * 2)}', '', 0.123456789, 0.1::float / 3, "
        "-7, true, '2024-02-29'::date, '2024-01-01 00:00:00.999999 +02:00'::timestamp_tz, "
        "'2023-12-31 22:00:00.5 +00:00'::timestamp_tz::timestamp_ltz, '2024-02-03 23:59:59.5'::timestamp_ntz, "
        "parse_json('{\"a\": [1, 2.5, null], \"b\": \"x\"}'), 'x'",
        "INSERT INTO raw (id) VALUES (2)",
        f"CREATE VIEW people AS SELECT *, CASE WHEN b THEN {wide} END AS wide FROM raw",  # fakesnow's tables keep 64 bits
    )
    world.syncs[0] = people_sync(fields=(
        attribute("email"), attribute("empty"), attribute("plan", "number"), attribute("d", "number"),
        attribute("small", "integer"), attribute("wide"), attribute("b", "boolean"), attribute("day", "date"),
        attribute("moment", "timestamp"), attribute("kept", "timestamp"), attribute("naive", "timestamp", zone="Europe/Berlin"),
        attribute("j", "object"),
    ))  # fmt: skip

    result = world.run("people")

    assert result.syncs[0].reasons == ()
    assert result.exit_code == ExitCode.OK
    [row] = world.ask(
        f'SELECT email, "empty", plan, d, small, wide, b, day, moment, kept, naive, j FROM {SCHEMA}.state__people01 '
        "WHERE _key = '9007199254740993'"
    )
    assert row[0] == ODD.replace("''", "'")
    assert row[1] == ""
    assert str(row[2]) == "0.123456789"
    assert row[3] == 0.1 / 3
    assert row[4] == -7
    assert row[5] == str(wide)
    assert row[6] is True
    assert row[7] == "2024-02-29"
    assert row[8] == 1_704_060_000  # 22:00 UTC, cut
    assert row[9] == 1_704_060_000
    assert row[10] == 1707001199
    assert json.loads(row[11]) == {"a": [1, 2.5, None], "b": "x"}
    assert world.ask(f"SELECT email, plan, d, moment, j FROM {SCHEMA}.state__people01 WHERE _key = '2'") == [(None,) * 5]
    sent = world.api("/v1/customers/attributes", {"ids": ["9007199254740993"]})["customers"][0]["attributes"]
    assert sent["wide"] == str(wide)
    assert world.run("people").syncs[0].counts.unchanged == 2


@from_snowflake
def test_people_and_events_of_snowflake_change_and_the_warehouse_is_only_read(world: World) -> None:
    first = world.run(backfill=True)
    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'", "DELETE FROM people WHERE id = 'b'")
    world.order("o3", "a", 1, 5)
    planned = world.diff()
    second = world.run(backfill=True)

    assert [s.acknowledged for s in first.syncs] == [2, 2]
    assert [s.counts.planned for s in planned.syncs] == [1, 1]
    assert [s.acknowledged for s in second.syncs] == [1, 1]
    assert (world.person("a") or {})["plan"] == "pro"
    assert world.source is not None
    with closing(world.source()) as warehouse:
        schemas = {name for (name,) in warehouse.fetch(sa.text("SELECT DISTINCT table_schema FROM information_schema.tables"))}
    assert SCHEMA.upper() not in schemas


@from_snowflake
def test_many_rows_of_snowflake_arrive_whole(world: World) -> None:
    """More than a page of them."""
    world.sql("CREATE OR REPLACE TABLE people AS SELECT seq AS id, 'p' || seq || '@example.com' AS email, 'x' AS plan, "
              "1.5 AS spent FROM (SELECT row_number() OVER (ORDER BY 1) AS seq FROM table(generator(rowcount => 50000)))")

    assert [s.counts.created for s in world.diff("people").syncs] == [50_000]


@pytest.mark.parametrize("world", ["duckdb > postgres"], indirect=True)
def test_a_value_that_stops_the_model_after_many_pages_is_an_error_of_the_warehouse(world: World) -> None:
    """The driver says so while the rows are read, when the other engine stands in a COPY; and nothing of them stays."""
    world.sql("CREATE TABLE raw AS SELECT i AS id, CASE WHEN i = 899999 THEN 'x' ELSE '1' END AS text FROM range(900000) t(i)",
              "DROP TABLE people",
              "CREATE VIEW people AS SELECT id, text AS email, 'free' AS plan, text::INT AS spent FROM raw")  # fmt: skip

    stopped = world.run("people")
    world.sql("CREATE OR REPLACE VIEW people AS SELECT id, text AS email, 'free' AS plan, 1 AS spent FROM raw WHERE id < 3")
    fine = world.run("people")

    assert isinstance(stopped.syncs[0].error, WarehouseError)
    assert "the warehouse refused Select: " in stopped.syncs[0].error.message
    assert fine.syncs[0].acknowledged == 3


def test_rows_pass_through_little_memory(tmp_path: Path) -> None:
    """Neither all of them in Python, nor more in DuckDB than it is allowed."""
    source = open_warehouse("duckdb", {"path": ":memory:"}, root=tmp_path)
    state = Elsewhere(kind="duckdb", fields={"path": "kept.duckdb", "settings": {"memory_limit": "100MB"}})
    sql = "SELECT i AS id, 'p' || i || '@example.com' AS email, repeat('x', 40) AS plan, i * 0.5 AS spent FROM range(100000) t(i)"
    with closing(open_elsewhere(source, state, root=tmp_path, read_only=False)) as warehouse:
        made = warehouse.adopt(CompiledSync(sync=people_sync(), sql=sql))
        tracemalloc.start()
        try:
            warehouse.columns(made.sql)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        rows = warehouse.fetch(sa.text(f"SELECT count(*), sum(spent) FROM ({made.sql}) AS s"))

    assert rows == [(100_000, 2_499_975_000)]
    assert peak < 30_000_000  # a list of all rows takes 50 MB


@pytest.mark.parametrize("kind", ["redshift", "bigquery"])
def test_a_warehouse_whose_values_were_never_tried_on_the_way_is_refused(kind: str, tmp_path: Path) -> None:
    source = open_warehouse("duckdb", {"path": ":memory:"}, root=tmp_path)
    source.dialect = replace(source.dialect, name=kind)

    with pytest.raises(ConfigError) as refused:
        open_elsewhere(source, Elsewhere(kind="duckdb", fields={"path": "s.duckdb"}), root=tmp_path, read_only=True)

    assert refused.value.code == "RV485"
    assert kind in refused.value.message
    assert "take `state:` out" in refused.value.hint


def test_another_model_is_another_plan() -> None:
    """What `--expect` compares holds the model, though its SQL is no part of the statement."""
    one = CompiledSync(sync=people_sync(), sql="SELECT 1")

    assert placed(one) == placed(one)
    assert placed(one).sql != placed(replace(one, sql="SELECT 2")).sql
    assert placed(one).source == "SELECT 1"
