"""People: what Customer.io holds after runs, changes and runs again; on every warehouse."""

from __future__ import annotations

from dataclasses import replace

from revetl.contracts import Guards, Initial, Limit, OnNull, WhenMissing
from revetl.errors import ExitCode
from tests.suites.world import World, attribute, orders_sync, people_sync


def test_the_first_run_creates_every_person_with_the_attributes_of_the_contract_only(world: World) -> None:
    result = world.run("people")

    assert result.exit_code == ExitCode.OK
    assert world.person("a") == {"email": "ann@example.com", "plan": "free", "spent": "0"}
    assert world.person("b") == {"email": "bob@example.com", "plan": "pro", "spent": "12.5"}


def test_a_second_run_sends_nothing_and_needs_few_statements(world: World) -> None:
    world.run("people")

    result = world.run("people")

    assert result.requests == 0
    assert result.syncs[0].counts.unchanged == 2
    assert world.statements <= 8 + 6 + world.staging


def test_only_changed_attributes_are_sent_so_that_other_writers_are_not_overwritten(world: World) -> None:
    world.run("people")
    world.track("/api/v2/entity", {
        "type": "person", "action": "identify", "identifiers": {"id": "a"}, "attributes": {"plan": "set by support"},
    })  # fmt: skip
    world.sql("UPDATE people SET spent = 99.5 WHERE id = 'a'")

    result = world.run("people")

    assert result.syncs[0].counts.changed == {"email": 0, "plan": 0, "spent": 1}
    assert world.person("a") == {"email": "ann@example.com", "plan": "set by support", "spent": "99.5"}


def test_a_null_leaves_the_value_alone_and_is_no_change(world: World) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = NULL WHERE id = 'b'")

    assert world.run("people").requests == 0
    assert world.person("b") == {"email": "bob@example.com", "plan": "pro", "spent": "12.5"}

    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'b'")
    assert world.run("people").requests == 0, "the state kept the old value, so its return is no change either"


def test_a_null_beside_a_change_keeps_what_the_state_knows(world: World) -> None:
    """The row is sent for another attribute: what was acknowledged of the null one is still true afterwards."""
    world.run("people")
    world.sql("UPDATE people SET plan = NULL, spent = 20 WHERE id = 'b'")
    assert world.run("people").syncs[0].counts.changed == {"email": 0, "plan": 0, "spent": 1}
    assert world.person("b") == {"email": "bob@example.com", "plan": "pro", "spent": "20"}

    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'b'")
    assert world.run("people").requests == 0


def test_a_null_clears_the_value_where_the_contract_says_so(world: World) -> None:
    fields = (attribute("email"), attribute("plan", on_null=OnNull.CLEAR), attribute("spent", "number"))
    world.syncs = [people_sync(fields=fields)]
    world.run()
    world.sql("UPDATE people SET plan = NULL WHERE id = 'b'")

    assert world.run().requests == 1
    assert world.person("b") == {"email": "bob@example.com", "spent": "12.5"}
    assert world.run().requests == 0


def test_a_vanished_row_is_left_alone_by_default(world: World) -> None:
    world.run("people")
    world.sql("DELETE FROM people WHERE id = 'b'")

    result = world.run("people")

    assert result.requests == 0
    assert result.syncs[0].counts.gone == 1
    assert world.person("b") is not None


def test_a_vanished_row_deletes_the_person_where_the_sync_says_so_and_its_return_creates_it_again(world: World) -> None:
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE)]
    world.run()
    world.sql("DELETE FROM people WHERE id = 'b'")

    assert world.run().syncs[0].acknowledged == 1
    assert world.person("b") is None

    world.sql("INSERT INTO people VALUES ('b', 'bob@example.com', 'back', 1)")
    assert world.run().syncs[0].counts.created == 1
    assert world.person("b") == {"email": "bob@example.com", "plan": "back", "spent": "1"}


def test_full_refresh_sends_every_person_again_with_all_attributes(world: World) -> None:
    world.run("people")
    world.track("/api/v2/entity", {
        "type": "person", "action": "identify", "identifiers": {"id": "a"}, "attributes": {"plan": "wrong"},
    })  # fmt: skip

    result = world.run("people", full_refresh=True)

    assert result.syncs[0].counts.redriven == 2
    assert world.person("a") == {"email": "ann@example.com", "plan": "free", "spent": "0"}


def test_a_new_attribute_goes_to_everybody_who_has_a_value_and_does_not_trip_the_guard(world: World) -> None:
    guards = Guards(max_changes=Limit(rows=0))
    world.people_table(*((f"p{i}", f"p{i}@example.com", "x", i) for i in range(40)))
    world.syncs = [people_sync(fields=(attribute("email"), attribute("spent", "number")), guards=guards)]
    world.run()
    world.sql("UPDATE people SET plan = NULL WHERE id = 'p1'")
    world.syncs = [people_sync(guards=guards)]

    result = world.run()

    assert result.exit_code == ExitCode.OK
    assert result.syncs[0].counts.updated == result.syncs[0].counts.fresh == 39
    assert world.person("p0") == {"email": "p0@example.com", "plan": "x", "spent": "0"}
    assert world.run().requests == 0


def test_an_attribute_that_left_the_contract_and_came_back_is_sent_again(world: World) -> None:
    """While it was out of the contract nobody kept it up to date, so what the state says of it is not trusted."""
    world.run("people")
    world.syncs[0] = people_sync(fields=(attribute("email"), attribute("spent", "number")))
    world.sql("UPDATE people SET spent = 77 WHERE id = 'a'")
    world.run("people")
    world.syncs[0] = people_sync()

    result = world.run("people")

    assert result.syncs[0].counts.changed["plan"] == 1, "only the row that was kept under the smaller contract"
    assert world.run("people").requests == 0


def test_a_changed_type_of_an_attribute_sends_the_rows_that_have_it(world: World) -> None:
    world.run("people")
    world.retype("people", "spent", "double precision")

    result = world.run("people")

    assert result.syncs[0].counts.changed == {"email": 0, "plan": 0, "spent": 2}
    assert world.run("people").requests == 0


def test_more_digits_behind_the_point_are_no_change_until_they_are_used(world: World) -> None:
    world.run("people")
    world.retype("people", "spent", "decimal(20,4)")
    assert world.run("people").requests == 0

    world.sql("UPDATE people SET spent = 12.5001 WHERE id = 'b'")
    assert world.run("people").syncs[0].counts.updated == 1
    assert (world.person("b") or {})["spent"] == "12.5001"
    assert world.run("people").requests == 0


def test_a_baseline_records_everything_and_sends_nothing(world: World) -> None:
    world.syncs = [people_sync(initial=Initial.BASELINE)]

    result = world.run()

    assert (result.requests, result.syncs[0].baseline, result.syncs[0].acknowledged) == (0, True, 2)
    assert world.held()["people"] == 0
    world.sql("UPDATE people SET plan = 'new' WHERE id = 'a'")
    assert world.run().syncs[0].acknowledged == 1
    assert world.person("a") == {"plan": "new"}


def test_a_renamed_sync_keeps_its_state_because_the_uid_names_it(world: World) -> None:
    world.run("people")
    world.syncs = [replace(people_sync(), name="customers")]

    assert world.run("customers").requests == 0


def test_a_broken_row_is_refused_by_field_and_the_others_arrive(world: World) -> None:
    world.sql(f"INSERT INTO people VALUES ('c', '{'x' * 1001}', 'pro', 1)")

    result = world.run("people")

    assert result.exit_code == ExitCode.ROWS_REFUSED
    [reason] = result.syncs[0].reasons
    assert (reason.field, reason.rows) == ("email", 1)
    assert "xxx" not in reason.message
    assert (result.syncs[0].acknowledged, result.syncs[0].refused) == (2, 1)
    assert world.person("a") is not None
    assert world.person("c") is None


def test_a_refused_row_waits_until_the_row_changes_and_then_arrives(world: World) -> None:
    world.sql(f"INSERT INTO people VALUES ('c', '{'x' * 1001}', 'pro', 1)")
    world.run("people")

    again = world.run("people")
    assert (again.requests, again.syncs[0].counts.refused, again.exit_code) == (0, 1, ExitCode.ROWS_REFUSED)

    world.sql("UPDATE people SET email = 'c@example.com' WHERE id = 'c'")
    cured = world.run("people")
    assert (cured.syncs[0].acknowledged, cured.exit_code) == (1, ExitCode.OK)
    assert world.person("c") == {"email": "c@example.com", "plan": "pro", "spent": "1"}
    assert world.ask("SELECT count(*) FROM revetl_test.open__people01") == [(0,)]


def test_what_customerio_refuses_is_kept_by_reason_while_the_rest_of_the_batch_is_acknowledged(world: World) -> None:
    """The sandbox is told to refuse one key with a 207; the contract could not have known."""
    world.api("/sandbox/faults", {"faults": [{"kind": "reject", "key": "b", "times": 1}]})

    result = world.run("people")

    assert (result.syncs[0].acknowledged, result.syncs[0].refused) == (1, 1)
    assert world.person("b") is None
    assert world.run("people", retry_refused=True).exit_code == ExitCode.OK
    assert world.person("b") is not None


def test_numbers_arrive_exactly(world: World) -> None:
    world.people_table()
    world.retype("people", "spent", "decimal(38,9)")
    world.sql(
        "INSERT INTO people VALUES ('big', 'b1@example.com', 'y', 12345678901234567890.123456789)",
        "INSERT INTO people VALUES ('tiny', 't1@example.com', 'y', 0.000000001)",
    )

    assert world.run("people").exit_code == ExitCode.OK
    assert (world.person("big") or {})["spent"] == "12345678901234567890.123456789"
    assert float((world.person("tiny") or {})["spent"]) == 1e-9


def test_every_type_of_the_contract_arrives_on_people_and_on_events(world: World) -> None:
    nested = {"duckdb": "['a', 'b']", "snowflake": "array_construct('a', 'b')"}.get(world.kind, "ARRAY['a', 'b']")
    world.sql(
        "CREATE TABLE wide AS SELECT 'k1' AS id, 'a' AS person, 'text' AS s, 7 AS i, 12.5 AS n, 0.25::double precision AS f, "
        "true AS b, TIMESTAMP '2024-07-01 12:00:00' AS naive, "
        "CAST('2024-07-01 12:00:00+02:00' AS timestamp with time zone) AS zoned, "
        f"DATE '2024-07-01' AS d, {nested} AS l, '{{\"x\": 1}}' AS j, current_timestamp AS now"
    )
    fields = (
        attribute("s"), attribute("i", "integer"), attribute("n", "number"), attribute("f", "number"), attribute("b", "boolean"),
        attribute("naive", "timestamp", zone="Europe/London"), attribute("zoned", "timestamp"), attribute("d", "date"),
        attribute("l", "array"), attribute("j", "object"),
    )  # fmt: skip
    people = people_sync(name="wide_people", uid="wide0001", model="wide", fields=fields)
    events = orders_sync(
        name="wide_events", uid="wide0002", model="wide", key="id", event="Wide", occurred_at="now", fields=fields
    )
    world.syncs = [people_sync(), people, events]

    result = world.run(backfill=True)

    assert result.exit_code == ExitCode.OK, [s.error for s in result.syncs]
    assert world.person("k1") == {
        "s": "text", "i": "7", "n": "12.5", "f": "0.25", "b": "true", "naive": "1719831600", "zoned": "1719828000",
        "d": "2024-07-01", "l": '["a","b"]', "j": '{"x":1}',
    }  # fmt: skip
    [event] = world.api("/sandbox/events")["events"]
    assert event["attributes"] == {
        "s": "text", "i": 7, "n": 12.5, "f": 0.25, "b": True, "naive": 1719831600, "zoned": 1719828000,
        "d": "2024-07-01", "l": ["a", "b"], "j": {"x": 1},
    }  # fmt: skip
    assert world.run().requests == 0
