"""Repairing a damaged state, deciding about held events, and taking over a workspace that has everything."""

from __future__ import annotations

import pytest

from revetl import repair, upkeep
from revetl.errors import ExitCode
from revetl.plan import Confirmations
from tests.bars import Bar
from tests.suites.test_damage import AT_REST, execute
from tests.suites.test_protocol import ONE_TRY, applied_but_not_answered
from tests.suites.world import SCHEMA, World, people_sync

CURABLE = [kind for kind in AT_REST if "newer" not in kind and "workspace" not in kind]


def cure(world: World, name: str) -> tuple[repair.Findings, int]:
    warehouse = world.connect()
    try:
        [compiled] = world.compiled((name,))
        shape, tables = world.engine(warehouse).described(compiled)
        found = repair.examine(warehouse, tables, compiled.sync)
        return found, repair.repair(warehouse, shape, compiled.sql, tables) if found.problem else 0
    finally:
        warehouse.close()


@pytest.mark.parametrize("kind", CURABLE)
def test_a_repaired_state_of_people_converges_with_one_run(world: World, kind: str, bar: Bar) -> None:
    world.run("people")
    world.sql(f"CREATE TABLE {SCHEMA}.older AS SELECT * FROM {SCHEMA}.state__people01")
    world.sql("UPDATE people SET plan = 'second' WHERE id = 'b'")
    world.run("people")
    execute(world, AT_REST[kind].format(s=SCHEMA))
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    assert world.run("people").exit_code == ExitCode.STATE

    found, _ = cure(world, "people")
    assert found.problem
    assert found.steps
    assert cure(world, "people")[0].problem == "", "it is whole now"
    world.forget_drain()
    result = world.run("people")

    assert result.exit_code == ExitCode.OK, result.syncs[0].error
    assert ((world.person("a") or {})["plan"], (world.person("b") or {})["plan"]) == ("B", "second")
    assert world.run("people").requests == 0
    bar(24, f"runs to converge after a repair: {kind}", found=1, goal="1")


def test_a_repair_sends_every_value_again_and_clears_what_an_edit_hid(world: World) -> None:
    """The state was edited to say what the model says, so that the change was never sent."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'", f"UPDATE {SCHEMA}.state__people01 SET plan = 'B'")

    cure_first = cure(world, "people")[0]
    world.forget_drain()
    world.run("people", confirmed=Confirmations(changes=2))

    assert cure_first.problem
    assert (world.person("a") or {})["plan"] == "B"
    assert (world.person("b") or {})["plan"] == "B"


def test_a_repaired_ledger_holds_what_it_does_not_know_and_sends_nothing_twice(world: World) -> None:
    world.run(backfill=True)
    world.sql(f"DELETE FROM {SCHEMA}.state__orders01 WHERE _key = 'o1'")
    world.order("o3", "b", 1, 7)
    assert world.run("orders").exit_code == ExitCode.STATE

    found, held = cure(world, "orders")
    assert (bool(found.problem), held) == (True, 2), "o1 was sent and o3 was not; nobody can know"
    world.forget_drain()
    assert world.run("orders").exit_code == ExitCode.ROWS_REFUSED
    assert world.held()["events"] == {"Order Completed": 2}

    warehouse = world.connect()
    assert upkeep.mark_sent(warehouse, SCHEMA, "orders", "orders01") == 2
    warehouse.close()
    after = world.run("orders")
    assert (after.exit_code, after.requests) == (ExitCode.OK, 0)


def test_held_events_are_resent_under_their_ids_or_taken_for_sent(world: World) -> None:
    world.run("people")
    applied_but_not_answered(world)
    world.run("orders", settings=ONE_TRY, backfill=True)
    world.forget_drain()
    world.sql(f"UPDATE {SCHEMA}.open__orders01 SET _first_at = _first_at - 21 * 3600 * 1000")
    assert world.run("orders", backfill=True).syncs[0].counts.held == 2

    warehouse = world.connect()
    assert upkeep.resend_held(warehouse, SCHEMA, "orders", "orders01") == 2
    warehouse.close()
    again = world.run("orders", backfill=True)

    assert (again.exit_code, again.syncs[0].acknowledged) == (ExitCode.OK, 2)
    assert world.held()["events"] == {"Order Completed": 2}, "the ids are the same, so each has one effect"


def test_a_baseline_records_and_sends_nothing(world: World) -> None:
    """A workspace that another tool has filled: from now on, changes are sent."""
    world.syncs[0] = people_sync()

    result = world.run(baseline=True)

    assert [(s.acknowledged, s.status) for s in result.syncs] == [(2, "success"), (2, "success")]
    assert world.held()["operations"] == 0
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    world.order("o9", "a", 1, 5)
    after = world.run()
    assert [s.acknowledged for s in after.syncs] == [1, 1]


def test_a_baseline_over_an_old_state_takes_todays_values(world: World) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'")
    operations = world.held()["operations"]

    assert world.run("people", baseline=True).syncs[0].acknowledged == 2
    assert world.run("people").requests == 0
    assert world.held()["operations"] == operations
