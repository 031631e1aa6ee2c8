"""The contract: what Customer.io holds after rows broke it, by what the contract says of them; on every warehouse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from revetl.contracts import Initial, OnNull, OnViolation, Sync, WhenMissing
from revetl.errors import ContractBroken, ExitCode
from tests.suites.world import FAST, SCHEMA, World, attribute, orders_sync, people_sync

REFUSE, FAIL, WARN = OnViolation.REFUSE, OnViolation.FAIL, OnViolation.WARN
EMAIL = "ann@example.com"


def people(plan: dict[str, Any] | None = None, **email: Any) -> Sync:
    """The people with rules for their e-mail and, if asked, their plan."""
    # not the attribute `email`: what is no address Customer.io does not keep there
    mail = attribute("mail", column="email", format="email", **email)
    return people_sync(fields=(mail, attribute("plan", **(plan or {})), attribute("spent", "number")))


def open_rows(world: World) -> list[tuple[Any, ...]]:
    return world.ask(f"SELECT _key, _reason, _rule, _field, _outline FROM {SCHEMA}.open__people01 ORDER BY _key")


@pytest.fixture
def broken(world: World) -> World:
    """Three people; one has no e-mail address where one should be."""
    world.people_table(("a", EMAIL, "free", 0), ("b", "bob at Example", "pro", 12.5), ("c", "cy@example.com", "free", 1))
    world.syncs = [people()]
    return world


def test_a_row_that_breaks_a_rule_is_refused_by_rule_and_sent_once_it_is_corrected(broken: World) -> None:
    first = broken.run()

    assert (first.exit_code, first.syncs[0].acknowledged, first.syncs[0].refused) == (ExitCode.ROWS_REFUSED, 2, 1)
    [reason] = first.syncs[0].reasons
    assert (reason.rule, reason.field, reason.rows, reason.policy, reason.outline) == (
        "format", "mail", 1, REFUSE, "aaa aa Aaaaaaa",
    )  # fmt: skip
    assert open_rows(broken) == [("b", "format", "format", "mail", "aaa aa Aaaaaaa")]
    assert broken.person("b") is None

    assert broken.run().requests == 0, "as it was: not tried again"
    broken.sql("UPDATE people SET email = 'bob@example.com' WHERE id = 'b'")
    cured = broken.run()
    assert (cured.exit_code, cured.syncs[0].acknowledged) == (ExitCode.OK, 1)
    assert broken.person("b") == {"mail": "bob@example.com", "plan": "pro", "spent": "12.5"}
    assert open_rows(broken) == []


def test_a_rule_that_warns_sends_the_row_and_counts_it(broken: World) -> None:
    broken.syncs = [people({"enum": ("free",), "by_rule": (("enum", WARN),)}, on_violation=WARN)]

    result = broken.run()

    assert (result.exit_code, result.syncs[0].acknowledged, result.syncs[0].warned) == (ExitCode.OK, 3, 1)
    assert {(r.rule, r.field, r.rows, r.policy, r.outline) for r in result.syncs[0].reasons} == {
        ("format", "mail", 1, WARN, "aaa aa Aaaaaaa"), ("enum", "plan", 1, WARN, "aaa"),
    }  # fmt: skip
    assert broken.person("b") == {"mail": "bob at Example", "plan": "pro", "spent": "12.5"}
    assert open_rows(broken) == []
    again = broken.run()
    assert (again.requests, again.syncs[0].warned) == (0, 0), "an unchanged row is not checked again"


def test_what_customer_io_cannot_take_is_refused_whatever_the_contract_says(broken: World) -> None:
    broken.sql(f"UPDATE people SET email = '{'x' * 1001}' WHERE id = 'b'")
    broken.syncs = [people(on_violation=WARN)]

    result = broken.run()

    assert (result.syncs[0].refused, result.syncs[0].warned, result.syncs[0].acknowledged) == (1, 0, 2)
    [reason] = result.syncs[0].reasons
    assert (reason.reason, reason.rule, reason.policy) == ("too_long", "", REFUSE)


def test_a_rule_that_fails_sends_nothing_at_all(broken: World) -> None:
    broken.syncs = [people(on_violation=FAIL), orders_sync(fields=(), initial=Initial.BASELINE)]
    broken.orders_table(("o1", "a", 1, 5))

    result = broken.run()

    assert (result.exit_code, result.requests) == (ExitCode.CONTRACT, 0)
    assert (broken.held()["people"], result.syncs[1].status) == (0, "skipped")
    error = result.syncs[0].error
    assert isinstance(error, ContractBroken)
    assert error.code == "RV255"
    assert "mail: format in 1 row" in error.message
    assert "bob" not in str(error)
    [reason] = result.syncs[0].reasons
    assert (reason.policy, reason.rows) == (FAIL, 1)

    assert broken.run().exit_code == ExitCode.CONTRACT, "it stays so until the rows are corrected"
    assert broken.ask(f"SELECT owner, plan_fence FROM {SCHEMA}.ctl__people01") == [(None, 0)]
    broken.sql("UPDATE people SET email = 'bob@example.com' WHERE id = 'b'")
    assert (broken.run().exit_code, broken.held()["people"]) == (ExitCode.OK, 3)


def test_a_rule_that_fails_keeps_deletes_back_too_and_is_asked_of_changed_rows_only(broken: World) -> None:
    broken.sql("UPDATE people SET email = 'bob@example.com' WHERE id = 'b'")
    broken.syncs = [replace(people(on_violation=FAIL), when_missing=WhenMissing.DELETE)]
    assert broken.run().exit_code == ExitCode.OK
    broken.sql("DELETE FROM people WHERE id = 'c'", "UPDATE people SET email = 'nobody' WHERE id = 'b'")

    stopped = broken.run()
    assert (stopped.exit_code, stopped.requests, broken.held()["people"]) == (ExitCode.CONTRACT, 0, 3)

    broken.sql("UPDATE people SET email = 'bob@example.com' WHERE id = 'b'")
    assert (broken.run().exit_code, broken.held()["people"]) == (ExitCode.OK, 2)


def test_one_rule_stops_and_the_others_refuse(broken: World) -> None:
    broken.syncs = [people({"required": True, "by_rule": (("required", FAIL),)})]
    assert broken.run().syncs[0].refused == 1

    broken.sql("UPDATE people SET plan = NULL, email = 'also wrong' WHERE id = 'c'")
    result = broken.run()
    assert (result.exit_code, result.requests) == (ExitCode.CONTRACT, 0)
    assert [(r.rule, r.field, r.rows) for r in result.syncs[0].reasons] == [("required", "plan", 1)]


def test_a_tighter_rule_asks_nothing_of_rows_that_customer_io_has(broken: World) -> None:
    broken.syncs = [people(on_violation=WARN)]
    broken.run()
    broken.syncs = [people()]

    assert broken.run().requests == 0, "what was acknowledged under the looser rule stays"
    broken.sql("UPDATE people SET spent = 99 WHERE id = 'b'")
    changed = broken.run()
    assert (changed.syncs[0].refused, changed.requests) == (1, 0), "the row is checked once it is to be sent again"
    assert (broken.person("b") or {})["spent"] == "12.5"


def test_a_looser_rule_sends_the_rows_that_were_refused(broken: World) -> None:
    broken.run()
    broken.syncs = [people(on_violation=WARN)]

    result = broken.run()

    assert (result.exit_code, result.syncs[0].acknowledged, result.syncs[0].warned) == (ExitCode.OK, 1, 1)
    assert (broken.person("b") or {})["mail"] == "bob at Example"


def test_a_retried_row_is_checked_again(broken: World) -> None:
    broken.run()
    again = broken.run(retry_refused=True)
    assert (again.requests, again.syncs[0].refused_now, again.syncs[0].reasons[0].rule) == (0, 1, "format")


def test_a_row_that_warns_and_is_refused_by_customer_io_is_not_counted_as_sent(broken: World) -> None:
    broken.syncs = [people(on_violation=WARN)]
    broken.api("/sandbox/faults", {"faults": [{"kind": "reject", "key": "b", "times": 1}]})

    result = broken.run()

    assert (result.syncs[0].refused, result.syncs[0].warned) == (1, 0)
    [reason] = result.syncs[0].reasons
    assert (reason.policy, reason.rule, reason.outline) == (REFUSE, "", "")


def test_warnings_of_many_chunks_are_counted_by_row(world: World) -> None:
    world.people_table(*((f"p{i}", "x" if i % 3 else EMAIL, "free", i) for i in range(50)))
    world.syncs = [people({"enum": ("pro",), "on_violation": WARN}, on_violation=WARN)]

    result = world.run(settings=replace(FAST, max_batch_operations=7))

    assert (result.syncs[0].acknowledged, result.syncs[0].warned) == (50, 50)
    assert {(r.field, r.rows) for r in result.syncs[0].reasons} == {("plan", 50), ("mail", 33)}


def test_nested_values_arrive_with_what_the_contract_names_and_are_refused_by_path(world: World) -> None:
    inner = (attribute("city", required=True), attribute("geo", "object", items=(attribute("lat", "number", minimum=-90),)))
    world.sql(
        "CREATE TABLE homes (id text, address text)",
        """INSERT INTO homes VALUES ('a', '{"city":"Ulm","secret":1,"geo":{"lat":48.4,"alt":7}}'), ('b', '{"geo":{"lat":1}}'),
        ('c', '{"city":"Far","geo":{"lat":-91.5}}'), ('d', '[]')""",
    )
    world.syncs = [people_sync(name="homes", model="homes", fields=(attribute("address", "object", items=inner),))]

    result = world.run()

    assert world.person("a") == {"address": '{"city":"Ulm","geo":{"lat":48.4}}'}
    assert {(r.reason, r.rule, r.field, r.outline) for r in result.syncs[0].reasons} == {
        ("required", "required", "address.city", "null"), ("minimum", "minimum", "address.geo.lat", "-10^1"),
        ("type", "type", "address", "[]"),
    }  # fmt: skip


def test_events_are_checked_like_people(world: World) -> None:
    world.people_table(("a", EMAIL, "free", 0))
    world.orders_table(("o1", "a", 1, 5), ("o2", "a", 1, -3), ("o3", "a", 1, 900))
    value = attribute("value", "number", minimum=0, maximum=100, by_rule=(("maximum", WARN),))
    world.syncs = [people_sync(), orders_sync(fields=(value,))]

    result = world.run(backfill=True)

    orders = result.syncs[1]
    assert (orders.acknowledged, orders.refused, orders.warned) == (2, 1, 1)
    assert {(r.rule, r.policy, r.outline) for r in orders.reasons} == {("minimum", REFUSE, "-10^0"), ("maximum", WARN, "10^2")}
    assert sum(world.held()["events"].values()) == 2

    world.syncs = [people_sync(), orders_sync(fields=(replace(value, on_violation=FAIL),))]
    world.order("o4", "a", 1, -1)
    stopped = world.run(backfill=True)
    assert (stopped.exit_code, sum(world.held()["events"].values())) == (ExitCode.CONTRACT, 2)


def test_a_time_in_the_future_is_found_by_the_bound_now(world: World) -> None:
    world.sql(
        "CREATE TABLE seen (id text, seen_at timestamp with time zone)",
        "INSERT INTO seen VALUES ('a', current_timestamp - interval '1 hour'), ('b', current_timestamp + interval '1 hour')",
    )
    world.syncs = [people_sync(name="seen", model="seen", fields=(attribute("seen_at", "timestamp", maximum="now"),))]

    result = world.run()

    assert (result.syncs[0].acknowledged, result.syncs[0].refused) == (1, 1)
    assert (result.syncs[0].reasons[0].rule, result.syncs[0].reasons[0].message) == ("maximum", "the time is after now")


@pytest.mark.parametrize("rules", [{"required": True}, {"on_null": OnNull.REFUSE}])
def test_a_value_that_is_needed_and_vanishes_keeps_its_row_back(world: World, rules: dict[str, Any]) -> None:
    world.syncs = [people_sync(fields=(attribute("email"), attribute("plan", **rules)))]
    world.run()
    world.sql("UPDATE people SET plan = NULL, email = 'new@example.com' WHERE id = 'b'")

    result = world.run()
    assert (result.requests, result.syncs[0].refused, result.syncs[0].reasons[0].field) == (0, 1, "plan")
    assert world.person("b") == {"email": "bob@example.com", "plan": "pro"}

    world.sql("UPDATE people SET plan = 'pro' WHERE id = 'b'")
    assert world.run().exit_code == ExitCode.OK
    assert world.person("b") == {"email": "new@example.com", "plan": "pro"}


# --- before anything is sent -------------------------------------------------------------------------------------


def test_a_diff_that_checks_counts_what_the_run_then_does(broken: World) -> None:
    plan = {"enum": ("free",), "by_rule": (("enum", WARN),)}
    broken.syncs = [people(plan)]

    before = broken.diff(check=True)
    result = broken.run()

    found = before.syncs[0].checked
    assert found is not None
    assert (found.rows, found.refused, found.warned, before.syncs[0].problems) == (3, 1, 0, ())
    assert found.reasons == result.syncs[0].reasons
    assert found.reasons[0].example == "…"
    broken.sql("UPDATE people SET email = 'bob@example.com' WHERE id = 'b'")
    after = broken.diff(check=True).syncs[0].checked
    assert after is not None
    assert (after.rows, after.refused, after.warned) == (1, 0, 1)
    assert "bob" not in repr(after)


def test_a_diff_says_that_a_run_would_stop_without_being_asked_to_check(broken: World) -> None:
    broken.syncs = [people({"enum": ("free",), "by_rule": (("enum", FAIL),)})]

    [diff] = broken.diff().syncs

    [problem] = diff.problems
    assert (problem.code, diff.checked is not None and diff.checked.whole) == ("RV255", False)
    assert "plan: enum in 1 row" in problem.message


def test_only_syncs_that_may_stop_are_read_before_they_send(broken: World) -> None:
    broken.sql("UPDATE people SET email = 'bob@example.com' WHERE id = 'b'")
    broken.run()
    broken.sql("UPDATE people SET spent = 5")
    broken.run()
    plain = broken.statements
    broken.syncs = [people(on_violation=FAIL)]
    broken.sql("UPDATE people SET spent = 6")
    broken.run()  # which also keeps the new contract
    broken.sql("UPDATE people SET spent = 7")
    broken.run()
    assert 0 < broken.statements - plain <= 3
