"""A state that was changed from outside is found before the first request; what was legal is not taken for damage."""

from __future__ import annotations

from itertools import count

import pytest

from revetl import upkeep
from revetl.errors import ExitCode
from revetl.tables import SCHEMA_VERSION
from tests.bars import Bar
from tests.suites.test_protocol import ONE_TRY, applied_but_not_answered
from tests.suites.world import SCHEMA, SandboxDestination, World, attribute, people_sync

# after a finished run; {s} is the schema
AT_REST = {
    "the state is dropped": "DROP TABLE {s}.state__people01",
    "the open rows are dropped": "DROP TABLE {s}.open__people01",
    "the acknowledgements are dropped": "DROP TABLE {s}.ack__people01",
    "the control row's table is dropped": "DROP TABLE {s}.ctl__people01",
    "the control row is deleted": "DELETE FROM {s}.ctl__people01",
    "the control row is doubled": "INSERT INTO {s}.ctl__people01 SELECT * FROM {s}.ctl__people01",
    "all of a stream's tables are dropped": "DROP TABLE {s}.state__people01; DROP TABLE {s}.ctl__people01; "
    "DROP TABLE {s}.ack__people01; DROP TABLE {s}.open__people01",
    "a row is deleted": "DELETE FROM {s}.state__people01 WHERE _key = 'a'",
    "a row is doubled": "INSERT INTO {s}.state__people01 SELECT * FROM {s}.state__people01 WHERE _key = 'a'",
    "a value is edited": "UPDATE {s}.state__people01 SET plan = 'x' WHERE _key = 'a'",
    "a value is set to null": "UPDATE {s}.state__people01 SET email = NULL WHERE _key = 'b'",
    "two values are exchanged": "UPDATE {s}.state__people01 SET plan = CASE plan WHEN 'pro' THEN 'free' ELSE 'pro' END",
    "a key is edited": "UPDATE {s}.state__people01 SET _key = 'z' WHERE _key = 'a'",
    "a row is replaced by another one": "UPDATE {s}.state__people01 SET _key = 'z', email = 'z@example.com' "
    "WHERE _key = 'b'",
    "an open row is added": "INSERT INTO {s}.open__people01 (_key, _variant, _outcome) VALUES ('q', '', 'refused')",
    "the state is an older copy": "DROP TABLE {s}.state__people01; "
    "CREATE TABLE {s}.state__people01 AS SELECT * FROM {s}.older; DROP TABLE {s}.older",
    "the control row is an older copy": "UPDATE {s}.ctl__people01 SET fence = 1",
    "it was written by a newer revetl": "UPDATE {s}.ctl__people01 SET schema_version = 99",
    "it belongs to another workspace": "UPDATE {s}.ctl__ws SET workspace_id = '1'",
}
# after a run that was cut off in the middle
UNFINISHED = {
    "the unfinished plan is dropped": "DROP TABLE {s}.{plan}",
    "rows of the unfinished plan are deleted": "DELETE FROM {s}.{plan} WHERE _seq = 1",
    "an acknowledgement is forged": "INSERT INTO {s}.ack__people01 (fence, seq_from, seq_to, outcome) "
    "VALUES ({fence}, 1, 2, 'accepted')",
}


def execute(world: World, script: str) -> None:
    world.sql(*script.split("; "))


@pytest.mark.parametrize("kind", AT_REST)
def test_damage_at_rest_is_found_before_the_first_request(world: World, kind: str, bar: Bar) -> None:
    world.run("people")
    # a copy of the state as an earlier run left it: same rows, other values
    world.sql(f"CREATE TABLE {SCHEMA}.older AS SELECT * FROM {SCHEMA}.state__people01")
    world.sql("UPDATE people SET plan = 'second' WHERE id = 'b'")
    world.run("people")
    operations = world.held()["operations"]
    world.sql("UPDATE people SET plan = 'B'")
    execute(world, AT_REST[kind].format(s=SCHEMA))

    result = world.run("people")

    assert result.exit_code == ExitCode.STATE
    assert world.held()["operations"] == operations
    problem = result.error or result.syncs[0].error
    assert problem is not None
    assert problem.hint
    bar(24, f"operations sent after: {kind}", found=world.held()["operations"] - operations, goal="0")


@pytest.mark.parametrize("kind", UNFINISHED)
def test_damage_of_an_unfinished_run_is_found_before_the_first_request(world: World, kind: str, bar: Bar) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'")

    class Cut(BaseException):
        """The process is gone."""

    inserts = count(1)

    def cut(when: str, word: str) -> None:
        # the first one asks for a part of the rate, the second one acknowledges
        if (when, word.upper()) == ("before", "INSERT") and next(inserts) == 2 + world.pages:
            raise Cut

    with pytest.raises(Cut):
        world.run("people", probe=cut)
    [(fence,)] = world.ask(f"SELECT plan_fence FROM {SCHEMA}.ctl__people01")
    operations = world.held()["operations"]
    world.forget_drain()
    execute(world, UNFINISHED[kind].format(s=SCHEMA, plan=f"plan__people01__{fence}", fence=fence))

    result = world.run("people")

    assert result.exit_code == ExitCode.STATE
    assert world.held()["operations"] == operations
    bar(24, f"operations sent after: {kind}", found=world.held()["operations"] - operations, goal="0")


@pytest.mark.parametrize(
    ("change", "gone"),
    [("DROP TABLE {s}.state__people01", "the table state__people01 is gone"),
     ("ALTER TABLE {s}.state__people01 DROP COLUMN plan", "the column 'plan' of state__people01 is gone"),
     ("DROP TABLE {s}.ack__people01", "the table ack__people01 is gone")],
)  # fmt: skip
def test_a_table_that_is_changed_while_a_run_sends_is_named(world: World, change: str, gone: str) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'team'")

    class Meddling(SandboxDestination):
        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> object:
            answer = super().send(body, deadline_s=deadline_s, path=path)
            world.sql(change.format(s=SCHEMA))
            return answer

    stopped = world.run("people", destination=lambda: Meddling(world.box))

    problem = stopped.syncs[0].error
    assert problem is not None
    assert (stopped.exit_code, gone in problem.message) == (ExitCode.STATE, True), problem.message
    assert "revetl state repair --select people" in problem.hint
    if "COLUMN" in change:  # the acknowledgements are there, and the next run goes on
        world.forget_drain()
        assert world.run("people").exit_code == ExitCode.OK
        assert world.run("people").requests == 0


def test_a_model_that_changes_while_a_run_sends_changes_nothing_of_it(world: World) -> None:
    if world.source is not None and world.kind == "duckdb":
        pytest.skip("one process cannot write a DuckDB file that it has open to read")
    world.run("people")
    world.sql("UPDATE people SET plan = 'team'")

    class Meddling(SandboxDestination):
        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> object:
            world.sql("ALTER TABLE people DROP COLUMN plan")
            return super().send(body, deadline_s=deadline_s, path=path)

    sent = world.run("people", destination=lambda: Meddling(world.box))

    assert (sent.exit_code, sent.syncs[0].acknowledged) == (ExitCode.OK, 2)
    assert [(world.person(one) or {})["plan"] for one in ("a", "b")] == ["team", "team"]


def test_a_diff_says_that_the_state_is_damaged(world: World) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'", f"UPDATE {SCHEMA}.state__people01 SET plan = 'B' WHERE _key = 'a'")

    [diff] = world.diff("people").syncs

    assert [p.exit_code for p in diff.problems] == [ExitCode.STATE]


def test_an_edit_that_suppresses_a_message_is_found_within_a_day(world: World) -> None:
    """Where nothing is to be sent, the rows are compared once a day only."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'", f"UPDATE {SCHEMA}.state__people01 SET plan = 'B'")
    world.sql(f"UPDATE {SCHEMA}.ctl__people01 SET verified_at = verified_at - 25 * 3600 * 1000")

    assert world.run("people").exit_code == ExitCode.STATE


def test_runs_changes_of_the_contract_and_unknown_rows_are_no_damage(world: World) -> None:
    """All that revetl itself does to its tables keeps the seal whole."""
    world.run()
    world.sql("UPDATE people SET spent = 1.5 WHERE id = 'a'")
    applied_but_not_answered(world)
    world.run("people", settings=ONE_TRY)
    world.forget_drain()
    world.run("people")
    world.syncs[0] = people_sync(fields=(attribute("email"), attribute("spent", "string"), attribute("city")))
    world.sql("ALTER TABLE people ADD COLUMN city text", "UPDATE people SET city = 'Turin' WHERE id = 'a'")
    world.retype("people", "spent", "text")

    def next_day() -> None:
        world.sql(f"UPDATE {SCHEMA}.ctl__people01 SET verified_at = 1")

    for change in ("UPDATE people SET city = 'Rome'", "DELETE FROM people WHERE id = 'b'", "SELECT 1"):
        world.sql(change)
        next_day()
        result = world.run("people")
        assert result.exit_code == ExitCode.OK, (change, result.syncs[0].error)


def test_a_state_of_the_first_schema_is_brought_up_to_date_without_a_send(world: World, bar: Bar) -> None:
    """What 0.1 of this tool wrote before the seals: the same tables without the newer columns."""
    world.run("people")
    newer = ("plan_rows", "ack_rows", "state_seal", "open_seal", "verified_at")
    world.sql(*(f"ALTER TABLE {SCHEMA}.ctl__{uid} DROP COLUMN {name}" for uid in ("people01", "ws") for name in newer),
              f"UPDATE {SCHEMA}.ctl__people01 SET schema_version = 1", f"UPDATE {SCHEMA}.ctl__ws SET schema_version = 1",
              *(f"ALTER TABLE {SCHEMA}.{table}__people01 DROP COLUMN {name}" for table, name in (
                  ("ack", "rule"), ("ack", "outline"), ("open", "_rule"), ("open", "_outline"))))  # fmt: skip
    operations = world.held()["operations"]
    assert world.diff("people").syncs[0].problems == (), "a diff reads it as it is"

    result = world.run("people")

    assert (result.exit_code, world.held()["operations"]) == (ExitCode.OK, operations)
    [(version, sealed)] = world.ask(f"SELECT schema_version, state_seal FROM {SCHEMA}.ctl__people01")
    assert version == SCHEMA_VERSION
    assert sealed
    world.sql(f"INSERT INTO people VALUES ('c', '{'x' * 1001}', 'B', 1)")
    assert world.run("people").syncs[0].refused == 1
    assert world.ask(f"SELECT _rule, _outline FROM {SCHEMA}.open__people01") == [("", "a" * 20 + "… (1,001 characters)")]
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'", f"DELETE FROM {SCHEMA}.state__people01 WHERE _key = 'b'")
    assert world.run("people").exit_code == ExitCode.STATE
    bar(33, "operations sent by the migration from schema 1 to 2", found=world.held()["operations"] - operations, goal="0")


def test_after_a_reset_the_missing_tables_are_no_damage(world: World) -> None:
    world.run("people")
    warehouse = world.connect()
    upkeep.reset(warehouse, SCHEMA, "people", "people01")
    warehouse.close()

    result = world.run("people")

    assert result.exit_code == ExitCode.OK
    assert result.syncs[0].counts.created == 2
    assert result.syncs[0].fence > 1, "fences go on after a reset"
