"""What stops a run before the first request, and the exact flag that lets it go on; on every warehouse."""

from __future__ import annotations

import json

import pytest

from revetl.contracts import Guards, Limit, WhenMissing
from revetl.errors import ExitCode, RevetlError
from revetl.plan import Confirmations
from revetl.report import error_json
from tests.suites.world import World, attribute, people_sync


def stopped(world: World, code: ExitCode) -> RevetlError:
    before = world.held()["requests"]
    result = world.run("people")
    assert result.exit_code == code
    assert world.held()["requests"] == before, "nothing may be sent"
    error = result.syncs[0].error
    assert error is not None
    assert error.where is not None
    assert error.hint
    return error


@pytest.mark.parametrize("key", ["NULL", "''", "'  '", "'\u200b'"])
def test_null_and_blank_keys(world: World, key: str) -> None:
    world.sql(f"INSERT INTO people VALUES ({key}, 'c@example.com', 'free', 0)")

    assert "1 rows have a null or blank key" in stopped(world, ExitCode.CONTRACT).message


def test_duplicate_keys_of_new_rows(world: World) -> None:
    world.sql("INSERT INTO people VALUES ('a', 'other@example.com', 'free', 0)")

    assert "1 rows repeat the key" in stopped(world, ExitCode.CONTRACT).message


def test_a_key_that_repeats_is_shown_masked_in_text_only(world: World) -> None:
    """The message goes into comments, artifacts and the warehouse; the text to a terminal and its log."""
    world.sql("INSERT INTO people VALUES ('customer-17', NULL, 'x', 0), ('customer-17', NULL, 'y', 0)")

    error = stopped(world, ExitCode.CONTRACT)

    assert "(such as cu…7 (11 characters))" in str(error)
    assert "cu…7" not in error.message + error.hint
    assert "cu…7" not in json.dumps(error_json(error))
    said = world.ask("SELECT count(*) FROM revetl_test.runs WHERE message LIKE '%cu%7 (11%'")
    assert said == [(0,)]


def test_duplicate_keys_where_both_rows_equal_the_state(world: World) -> None:
    world.run("people")
    world.sql("INSERT INTO people SELECT * FROM people WHERE id = 'a'")

    assert "1 rows repeat the key" in stopped(world, ExitCode.CONTRACT).message


def test_duplicate_keys_where_one_row_equals_the_state_and_one_differs(world: World) -> None:
    world.run("people")
    world.sql("INSERT INTO people VALUES ('a', 'other@example.com', 'free', 0)")

    assert "1 rows repeat the key" in stopped(world, ExitCode.CONTRACT).message


def test_a_key_that_changes_its_type(world: World) -> None:
    world.people_table(("1", "ann@example.com", "free", 0))
    world.run("people")
    world.sql("ALTER TABLE people ADD COLUMN n bigint", "UPDATE people SET n = 1")
    world.syncs = [people_sync(key="n")]

    assert "was text and is integer now" in stopped(world, ExitCode.CONTRACT).message


def test_a_fractional_key(world: World) -> None:
    world.syncs = [people_sync(key="spent")]

    assert "17850.0 and 17850 would be two people" in stopped(world, ExitCode.CONTRACT).message


def test_a_vanished_column_is_not_read_as_null(world: World) -> None:
    world.run("people")
    world.sql("ALTER TABLE people RENAME COLUMN plan TO plans")

    error = stopped(world, ExitCode.CONTRACT)
    assert "'plan'" in error.message
    assert "did you mean 'plans'?" in error.message


def test_a_column_that_cannot_give_the_type(world: World) -> None:
    world.syncs = [people_sync(fields=(attribute("email", "boolean"), attribute("plan", "timestamp")))]

    message = stopped(world, ExitCode.CONTRACT).message
    native = {"VARCHAR", "text", "TEXT"}
    assert any(f"'email' is declared boolean, but column 'email' is {name}, which is no boolean" in message for name in native)
    assert "'plan' is declared timestamp" in message
    assert "declare it string or array or object, or cast it in the model" in message
    assert message.endswith("; the model: m.sql:1")


def test_a_naive_timestamp_needs_a_zone(world: World) -> None:
    world.sql("ALTER TABLE people ADD COLUMN seen timestamp")
    world.syncs = [people_sync(fields=(attribute("seen", "timestamp"),))]

    assert "no `zone` is declared" in stopped(world, ExitCode.CONTRACT).message


def test_an_empty_model(world: World) -> None:
    world.run("people")
    world.sql("DELETE FROM people")

    error = stopped(world, ExitCode.GUARD)
    assert "--allow-empty" in error.hint
    assert world.run("people", confirmed=Confirmations(empty=True)).exit_code == ExitCode.OK


def test_too_many_deletes_need_their_exact_number(world: World) -> None:
    world.people_table(*((f"p{i}", f"p{i}@example.com", "y", i) for i in range(100)))
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE, guards=Guards(max_deletes=Limit(share=0.2)))]
    world.run()
    world.sql("DELETE FROM people WHERE spent < 21")

    assert "--confirm-deletes 21" in stopped(world, ExitCode.GUARD).hint
    assert world.run(confirmed=Confirmations(deletes=20)).exit_code == ExitCode.GUARD
    assert world.run(confirmed=Confirmations(deletes=21)).exit_code == ExitCode.OK
    assert world.held()["people"] == 79


def test_exactly_the_limit_is_allowed(world: World) -> None:
    world.people_table(*((f"p{i}", f"p{i}@example.com", "y", i) for i in range(100)))
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE, guards=Guards(max_deletes=Limit(share=0.2)))]
    world.run()
    world.sql("DELETE FROM people WHERE spent < 20")

    assert world.run().exit_code == ExitCode.OK
    assert world.held()["people"] == 80


def test_a_mass_change_names_the_attributes(world: World) -> None:
    world.people_table(*((f"p{i}", f"p{i}@example.com", "y", i) for i in range(100)))
    world.run("people")
    world.sql("UPDATE people SET plan = 'z'")

    error = stopped(world, ExitCode.GUARD)
    assert "plan in 100" in error.message
    assert "--confirm-changes 100" in error.hint


def test_a_first_run_can_be_limited(world: World) -> None:
    world.syncs = [people_sync(guards=Guards(max_first_run=1))]

    assert "--confirm-first-run 2" in stopped(world, ExitCode.GUARD).hint
    assert world.run(confirmed=Confirmations(first_run=2)).exit_code == ExitCode.OK


def test_bad_sql_names_the_model_and_the_line(world: World) -> None:
    world.syncs = [people_sync(model="people WHERE\n nonsense =")]

    error = stopped(world, ExitCode.USAGE)
    assert str(error.where).startswith("m.sql:")


def test_a_guard_on_people_skips_their_events(world: World) -> None:
    world.sql("DELETE FROM people")

    result = world.run(backfill=True)

    assert [s.status for s in result.syncs] == ["error", "skipped"]
