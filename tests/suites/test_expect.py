"""A run that sends what a diff has shown, or nothing; and what `revetl status` says of keys and plans that grew old."""

from __future__ import annotations

from dataclasses import replace

import pytest

from revetl.contracts import WhenMissing
from revetl.engine import RunOptions
from revetl.errors import ExitCode, GuardTripped
from revetl.report import Style, status_text
from revetl.upkeep import WORKSPACE, StreamHealth, health
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World, people_sync


def plan_of(world: World) -> str:
    found = world.diff().fingerprint
    assert len(found) == 12
    return found


def expect(world: World, plan: str) -> None:
    warehouse = world.connect()
    try:
        world.engine(warehouse).expect(world.compiled(), RunOptions(expect=plan), settings=FAST)
    finally:
        warehouse.close()


def test_the_same_plan_has_the_same_number_and_is_expected(world: World) -> None:
    plan = plan_of(world)
    assert plan_of(world) == plan
    expect(world, plan)
    assert world.run(backfill=True).exit_code == ExitCode.OK
    assert plan_of(world) != plan


@pytest.mark.parametrize("change", [
    "UPDATE people SET plan = 'pro' WHERE id = 'a'",
    "INSERT INTO people VALUES ('c', NULL, 'free', 0)",
    "DELETE FROM people WHERE id = 'b'",
    "UPDATE orders SET value = value + 0.01 WHERE order_id = 'o1'",
    "UPDATE people SET spent = 12.51 WHERE id = 'b'",
    "UPDATE people SET id = 'B' WHERE id = 'b'",
])  # fmt: skip
def test_one_changed_row_is_another_plan(world: World, change: str) -> None:
    plan = plan_of(world)
    world.sql(change)
    with pytest.raises(GuardTripped, match="nothing was sent") as caught:
        expect(world, plan)
    assert caught.value.exit_code == ExitCode.GUARD
    assert caught.value.hint
    assert world.held()["requests"] == 0


def test_a_row_that_nothing_is_sent_of_does_not_matter(world: World) -> None:
    world.run(backfill=True)
    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'")
    plan = plan_of(world)
    world.sql("ALTER TABLE people ADD COLUMN note text", "UPDATE people SET note = 'of no interest'")
    assert plan_of(world) == plan


def test_a_contract_a_model_and_a_state_are_part_of_it(world: World) -> None:
    plan = plan_of(world)
    world.syncs[0] = people_sync(fields=(*people_sync().fields[:2], replace(people_sync().fields[2], minimum=0)))
    assert plan_of(world) != plan
    world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    assert plan_of(world) == plan, "nobody is missing"
    world.run(backfill=True)
    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'")
    before = plan_of(world)
    world.run()
    world.sql("UPDATE people SET plan = 'free' WHERE id = 'a'")
    world.run()
    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'")
    assert plan_of(world) != before, "the same rows, of a state that has moved on"


def test_a_sync_that_cannot_be_planned_gives_no_plan_to_expect(world: World) -> None:
    world.sql("ALTER TABLE people DROP COLUMN plan")
    assert world.diff().fingerprint == ""
    with pytest.raises(GuardTripped, match="not known"):
        expect(world, "0123456789ab")


# --- what has grown old --------------------------------------------------------------------------------------


def status(world: World) -> tuple[StreamHealth, StreamHealth]:
    warehouse = world.connect(read_only=True)
    try:
        people, workspace = health(warehouse, SCHEMA, [("people", "people01"), ("the workspace", WORKSPACE)])
        return people, workspace
    finally:
        warehouse.close()


def test_status_tells_for_how_long_a_key_is_in_use(world: World) -> None:
    world.run("people", key_print="abc")
    world.sql(f"UPDATE {SCHEMA}.ctl__ws SET key_since = key_since - 34560000000")
    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'")
    world.run("people", key_print="abc")
    people, workspace = status(world)
    assert 399 < workspace.key_age_s / 86_400 < 401
    said = status_text([people], [], Style(), workspace)
    assert "the API key is in use for 400 d" in said
    assert "make a new one" in said

    world.sql("UPDATE people SET plan = 'max' WHERE id = 'a'")
    world.run("people", key_print="def")
    assert 0 <= status(world)[1].key_age_s < 600
    assert "make a new one" not in status_text([people], [], Style(), status(world)[1])


def test_a_key_that_is_replaced_in_the_middle_costs_a_run_and_no_row(world: World) -> None:
    """Rotation: the old key is refused after the first answer; a run with the new one goes on from there."""
    world.people_table(*((f"p{n}", None, "free", n) for n in range(1_000)))
    old = world.box.api_key

    class Revoked(SandboxDestination):
        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> object:
            reply = super().send(body, deadline_s=deadline_s, path=path)
            world.box.api_key = "rotated"
            return reply

    stopped = world.run("people", destination=lambda: Revoked(world.box), key_print="old")
    assert stopped.exit_code == ExitCode.CREDENTIALS
    accepted = stopped.syncs[0].acknowledged
    assert 0 < accepted == world.held()["people"] < 1_000
    assert world.box.api_key != old

    done = world.run("people", key_print="new")
    assert (done.exit_code, done.syncs[0].acknowledged) == (ExitCode.OK, 1_000 - accepted)
    assert world.held()["people"] == 1_000


def test_status_tells_of_a_plan_that_nobody_settled(world: World) -> None:
    world.run("people")
    world.sql(
        f"CREATE TABLE {SCHEMA}.plan__people01__1 AS SELECT 1 AS _seq",
        f"UPDATE {SCHEMA}.ctl__people01 SET intent_at = intent_at - 172800000",
    )
    people, _ = status(world)
    assert 1.9 < people.plan_age_s / 86_400 < 2.1
    assert "holds values of rows for 2 d" in status_text([people], [], Style())
    world.run("people")
    assert status(world)[0].plan_age_s < 0
