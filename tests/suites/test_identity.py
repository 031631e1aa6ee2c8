"""Two rows, one person: what Customer.io holds when addresses collide, move, are swapped and become free; on every warehouse.

Each scenario ends with the same question: does the workspace equal the model, but for the rows that are held back, and did
Customer.io drop nothing that it had answered with 200?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from revetl.contracts import (
    IdentifierKind,
    Identity,
    Late,
    NoPerson,
    OnChange,
    OnMoved,
    OnShared,
    WhenMissing,
)
from revetl.errors import ContractBroken, ExitCode
from revetl.persons import Visitors
from revetl.plan import Confirmations
from tests.suites.world import FAST, World, attribute, orders_sync, people_sync

FIELDS = (attribute("email", format="email", normalize="email"), attribute("plan"), attribute("spent", "number"))
SENDS = Identity(declared=True, on_change=OnChange.SEND)
RELEASES = Identity(declared=True, on_change=OnChange.SEND, on_moved=OnMoved.RELEASE)


def people(world: World, identity: Identity | None = None, **changes: Any) -> None:
    world.syncs = [people_sync(**{"fields": FIELDS, "identity": identity or Identity(), **changes})]


def model(world: World, **addresses: str | None) -> None:
    """The model says exactly this now."""
    world.people_table(*((key, address, "free", 1) for key, address in addresses.items()))


def addresses(world: World, *keys: str) -> dict[str, str | None]:
    """What Customer.io has."""
    return {key: (world.person(key) or {}).get("email") for key in keys}


def dropped(world: World) -> int:
    """What Customer.io answered with 200 and did not do."""
    return int(world.held()["activities"].get("failed_attribute_change", 0))


def quarantined(world: World, **options: Any) -> Mapping[str, int]:
    """Run, with the diff saying the same before."""
    said = world.diff(**options).syncs[0].counts
    result = world.run(**options)
    found = result.syncs[0].counts
    assert said.quarantined == found.quarantined
    assert (said.sendable, said.model_rows) == (found.sendable, found.model_rows)
    assert found.model_rows == (found.unchanged + found.created + found.updated + found.redriven + found.forgotten
                                + sum(found.quarantined.values()))  # fmt: skip
    assert result.exit_code == (ExitCode.ROWS_REFUSED if found.quarantined else ExitCode.OK), result.syncs[0].error
    assert dropped(world) == 0
    return found.quarantined


def test_two_new_rows_with_one_address_are_held_back_and_everybody_else_arrives(world: World) -> None:
    people(world)
    model(world, a="one@x.com", b=" ONE@x.com", c="c@x.com")

    assert quarantined(world) == {"shared": 2}
    assert (world.held()["people"], addresses(world, "a", "b", "c")) == (1, {"a": None, "b": None, "c": "c@x.com"})
    assert quarantined(world) == {"shared": 2}, "and again, as long as the model says so"

    model(world, a="one@x.com", c="c@x.com")
    assert quarantined(world) == {}
    assert addresses(world, "a", "b", "c") == {"a": "one@x.com", "b": None, "c": "c@x.com"}


def test_of_two_rows_with_one_address_the_newest_may_win(world: World) -> None:
    people(world, Identity(declared=True, on_shared=OnShared.NEWEST, newest_by="spent"))
    world.people_table(("a", "one@x.com", "old", 1), ("b", "one@x.com", "new", 5), ("c", "one@x.com", "none", None))

    assert quarantined(world) == {"shared": 2}
    assert addresses(world, "a", "b", "c") == {"a": None, "b": "one@x.com", "c": None}
    assert quarantined(world) == {"shared": 1, "taken": 1}, "who has it keeps it, whoever is newer"


def test_a_run_may_fail_instead(world: World) -> None:
    people(world, Identity(declared=True, on_shared=OnShared.FAIL))
    model(world, a="one@x.com", b="one@x.com", c="c@x.com")

    [problem] = world.diff().syncs[0].problems
    result = world.run()
    assert isinstance(result.syncs[0].error, ContractBroken)
    assert (problem.code, result.syncs[0].error.code, result.requests) == ("RV240", "RV240", 0)


def test_a_new_row_does_not_get_an_address_that_somebody_has(world: World) -> None:
    people(world)
    model(world, a="one@x.com")
    assert quarantined(world) == {}

    model(world, a="one@x.com", b="one@x.com")
    assert quarantined(world) == {"taken": 1}
    assert addresses(world, "a", "b") == {"a": "one@x.com", "b": None}


def test_the_same_address_under_a_new_id_is_held_back_while_the_old_profile_stays(world: World) -> None:
    """Customer.io would give the old profile the new id, or drop the address; which of the two depends on the workspace."""
    people(world)
    model(world, a="one@x.com")
    quarantined(world)

    model(world, b="one@x.com")
    assert quarantined(world) == {"taken": 1}
    assert (world.held()["people"], addresses(world, "a", "b")) == (1, {"a": "one@x.com", "b": None})


def test_another_address_of_a_known_person_is_held_back_unless_the_workspace_takes_it(world: World) -> None:
    people(world)
    model(world, a="one@x.com", b=None)
    quarantined(world)

    model(world, a="two@x.com", b="b@x.com")
    assert quarantined(world) == {"changed": 1}, "a first address is no change"
    assert addresses(world, "a", "b") == {"a": "one@x.com", "b": "b@x.com"}

    people(world, SENDS)
    assert quarantined(world) == {}
    assert addresses(world, "a") == {"a": "two@x.com"}


def test_the_old_address_of_one_person_goes_to_another_in_the_same_run(world: World) -> None:
    people(world, SENDS)
    model(world, a="one@x.com", b="b@x.com")
    quarantined(world)

    model(world, a="two@x.com", b="one@x.com", c="b@x.com")
    assert quarantined(world) == {"taken": 1}, "c waits for b, who waited for a"
    assert addresses(world, "a", "b", "c") == {"a": "two@x.com", "b": "one@x.com", "c": None}

    assert quarantined(world) == {}
    assert addresses(world, "a", "b", "c") == {"a": "two@x.com", "b": "one@x.com", "c": "b@x.com"}
    assert world.run().requests == 0


def test_a_swap_is_held_back_by_default(world: World) -> None:
    people(world, SENDS)
    model(world, a="one@x.com", b="two@x.com", c="c@x.com")
    quarantined(world)

    model(world, a="two@x.com", b="one@x.com", c="c2@x.com")
    assert quarantined(world) == {"taken": 2}
    assert addresses(world, "a", "b", "c") == {"a": "one@x.com", "b": "two@x.com", "c": "c2@x.com"}


def test_swaps_and_chains_are_done_in_one_run_where_addresses_are_released_first(world: World) -> None:
    people(world, RELEASES)
    model(world, a="one@x.com", b="two@x.com", c="c@x.com", d="d@x.com", e="e@x.com")
    quarantined(world)

    model(world, a="two@x.com", b="one@x.com", c="new@x.com", d="c@x.com", e="d@x.com", f="e@x.com")
    assert quarantined(world) == {}
    assert addresses(world, *"abcdef") == {"a": "two@x.com", "b": "one@x.com", "c": "new@x.com", "d": "c@x.com",
                                           "e": "d@x.com", "f": "e@x.com"}  # fmt: skip
    assert world.run().requests == 0


def test_nobody_gives_up_an_address_for_a_row_that_is_held_back_itself(world: World) -> None:
    people(world, RELEASES)
    model(world, a="one@x.com", b="two@x.com", c="c@x.com")
    quarantined(world)

    # b wants c's, who stays; so a does not get b's; so d does not get a's
    model(world, a="two@x.com", b="c@x.com", c="c@x.com", d="one@x.com")
    assert quarantined(world) == {"taken": 3}
    assert addresses(world, *"abcd") == {"a": "one@x.com", "b": "two@x.com", "c": "c@x.com", "d": None}


@pytest.mark.parametrize("rules", [SENDS, RELEASES])
def test_the_address_of_somebody_who_is_deleted_goes_to_another(world: World, rules: Identity) -> None:
    people(world, rules, when_missing=WhenMissing.DELETE)
    model(world, a="one@x.com", b="b@x.com")
    quarantined(world)

    model(world, b="b@x.com", c="one@x.com")
    if rules is SENDS:
        assert quarantined(world) == {"leaving": 1}, "deletes come last"
        assert world.person("a") is None
    assert quarantined(world) == {}
    assert addresses(world, "b", "c") == {"b": "b@x.com", "c": "one@x.com"}
    assert world.person("a") is None
    assert world.run().requests == 0


def test_who_left_the_model_and_stays_keeps_the_address(world: World) -> None:
    people(world, RELEASES)
    model(world, a="one@x.com")
    quarantined(world)
    model(world, b="one@x.com")
    assert quarantined(world) == {"taken": 1}


def test_nobody_takes_an_address_whose_holder_was_refused(world: World) -> None:
    people(world, SENDS)
    model(world, a="one@x.com", b="b@x.com")
    quarantined(world)
    world.api("/sandbox/faults", {"faults": [{"kind": "reject", "key": "a", "times": 1}]})

    model(world, a="two@x.com", b="one@x.com", c="c@x.com")
    result = world.run()
    assert (result.exit_code, result.syncs[0].refused_now, result.syncs[0].unsent) == (ExitCode.ROWS_REFUSED, 1, 1)
    assert addresses(world, *"abc") == {"a": "one@x.com", "b": "b@x.com", "c": "c@x.com"}
    assert dropped(world) == 0

    assert quarantined(world, retry_refused=True) == {}
    assert addresses(world, *"ab") == {"a": "two@x.com", "b": "one@x.com"}
    assert world.run().requests == 0


@pytest.mark.parametrize("at", [2, 3])
def test_a_run_that_dies_while_addresses_change_hands_leaves_nothing_for_ever(world: World, at: int) -> None:
    """It dies before the checkpoint of what was released, or of who got it: the next run knows neither."""
    people(world, RELEASES)
    model(world, a="one@x.com", b="two@x.com", c="c@x.com")
    quarantined(world)
    model(world, a="two@x.com", b="one@x.com", c="new@x.com", d="c@x.com")

    class Died(BaseException):
        """The process is gone."""

    def die(when: str, word: str) -> None:
        if (when, word.upper()) == ("before", "INSERT") and next(inserts) == at + world.pages:
            raise Died

    inserts = count(1)
    with pytest.raises(Died):
        world.run(probe=die)
    world.forget_drain()

    assert quarantined(world) == {}
    assert addresses(world, *"abcd") == {"a": "two@x.com", "b": "one@x.com", "c": "new@x.com", "d": "c@x.com"}
    assert world.run().requests == 0


def test_addresses_that_name_people_collide_in_other_spellings(world: World) -> None:
    people(world, Identity(declared=True, primary=IdentifierKind.EMAIL), identifier=IdentifierKind.EMAIL, key="email",
           fields=FIELDS[1:])  # fmt: skip
    world.people_table(("1", "Ann@x.com", "a", 1), ("2", "bob@x.com", "b", 1), ("3", "ann@x.com ", "c", 1))
    assert quarantined(world) == {"collision": 2}
    assert world.held()["people"] == 1

    world.people_table(("2", "bob@x.com", "b", 1), ("3", "ann@x.com ", "c", 1))
    assert quarantined(world) == {}
    world.people_table(("1", "Ann@x.com", "c", 1), ("2", "bob@x.com", "z", 1), ("3", "ann@x.com ", "c", 1))
    assert quarantined(world) == {"collision": 2}, "equal rows too: which of them is right tomorrow?"
    assert world.held()["people"] == 2

    world.people_table(("1", "ann@x.com", "c", 1), ("2", "bob@x.com", "z", 1), ("3", "ann@x.com", "c", 1))
    error = world.run().syncs[0].error
    assert error is not None
    assert error.code == "RV201", "the same spelling twice is a model that is wrong"


def test_a_plan_of_many_rows_is_read_in_the_order_in_which_it_is_sent(world: World) -> None:
    """An engine may write what it has joined in another order than it was numbered in."""
    people(world, SENDS)
    model(world)
    world.sql(f"INSERT INTO people SELECT CAST(i AS text), 'u' || i || '@x.com', 'free', 1 FROM {world.numbers(40_000)}")
    assert world.run(baseline=True).exit_code == ExitCode.OK

    result = world.run(settings=replace(FAST, max_batch_operations=1_000), full_refresh=True)
    assert (result.syncs[0].error, result.syncs[0].acknowledged) == (None, 40_000)


# --- people who leave -------------------------------------------------------------------------------------------


def test_the_attributes_of_a_person_who_left_are_cleared_once_and_the_profile_stays(world: World) -> None:
    fields = (*FIELDS, attribute("unsubscribed", "boolean", column="gone"))
    world.syncs = [people_sync(fields=fields, when_missing=WhenMissing.CLEAR)]
    world.sql("ALTER TABLE people ADD COLUMN gone boolean", "UPDATE people SET gone = true")
    world.run()
    world.track("/api/v2/entity", {
        "type": "person", "action": "identify", "identifiers": {"id": "b"}, "attributes": {"nick": "of another writer"},
    })  # fmt: skip
    world.sql("DELETE FROM people WHERE id = 'b'")

    planned = world.diff().syncs[0].counts
    result = world.run()
    assert (planned.deleted, planned.cleared, result.syncs[0].acknowledged) == (1, 1, 1)
    assert world.person("b") == {"nick": "of another writer", "unsubscribed": "true"}, "a null would subscribe them again"
    again = world.run()
    assert (again.requests, again.syncs[0].counts.gone) == (0, 1), world.ask("SELECT * FROM revetl_test.state__people01")

    world.sql("INSERT INTO people VALUES ('b', 'bob@example.com', 'pro', 12.5, true)")
    assert world.run().syncs[0].counts.updated == 1
    assert world.person("b") == {"email": "bob@example.com", "plan": "pro", "spent": "12.5", "nick": "of another writer",
                                 "unsubscribed": "true"}  # fmt: skip
    assert world.run().requests == 0


def test_clearing_makes_nobody_who_is_not_there(world: World) -> None:
    world.syncs = [people_sync(when_missing=WhenMissing.CLEAR)]
    world.run()
    world.track("/api/v2/entity", {"type": "person", "action": "delete", "identifiers": {"id": "b"}})
    world.sql("DELETE FROM people WHERE id = 'b'")
    assert world.run().exit_code == ExitCode.OK
    assert world.person("b") is None


def test_clearing_many_is_guarded_like_deleting(world: World) -> None:
    world.people_table(*((f"p{i}", f"p{i}@example.com", "x", i) for i in range(40)))
    world.syncs = [people_sync(when_missing=WhenMissing.CLEAR)]
    world.run()
    world.sql("DELETE FROM people WHERE spent < 30")

    result = world.run()
    assert result.syncs[0].error is not None
    assert (result.syncs[0].error.code, result.requests) == ("RV211", 0)
    assert world.run(confirmed=Confirmations(deletes=30)).syncs[0].acknowledged == 30
    assert (world.held()["people"], world.person("p1")) == (40, {})


def test_the_address_of_a_cleared_person_goes_to_another(world: World) -> None:
    people(world, SENDS, when_missing=WhenMissing.CLEAR)
    model(world, a="one@x.com", b="b@x.com")
    quarantined(world)
    model(world, b="b@x.com", c="one@x.com")
    assert quarantined(world) == {}
    assert addresses(world, "a", "b", "c") == {"a": None, "b": "b@x.com", "c": "one@x.com"}
    assert world.held()["people"] == 3


# --- visitors who become known ------------------------------------------------------------------------------------


VISITS = Identity(declared=True, moment="checkout")


def visited(world: World, *rows: tuple[str, str | None]) -> None:
    """The people with the anonymous id that they bring; and events of nobody with theirs."""
    fields = (attribute("email"), attribute("anonymous_id", column="plan"))
    orders = orders_sync(no_person=NoPerson.ANONYMOUS, anonymous="visit", late=Late.SEND, identity=VISITS)
    world.syncs = [people_sync(fields=fields, identity=VISITS), orders]
    world.people_table(*((key, f"{key}@x.com", visit, 1) for key, visit in rows))


def seen(world: World, *events: tuple[str, str | None, str | None, float]) -> None:
    """Events: key, person, anonymous id, hours ago."""
    world.orders_table(*((key, person, hours, 1) for key, person, _, hours in events))
    visits = [f"UPDATE orders SET visit = '{visit}' WHERE order_id = '{key}'" for key, _, visit, _ in events if visit]
    world.sql("ALTER TABLE orders ADD COLUMN visit text", *visits)


def of(world: World, person: str) -> list[str]:
    """Names of the events in somebody's history."""
    found = world.api(f"/v1/customers/{person}/activities?id_type=id&type=event")["activities"]
    return sorted(str(one["id"]) for one in found)


def test_a_visitor_becomes_known_and_brings_what_is_not_older_than_thirty_days(world: World) -> None:
    visited(world)
    seen(world, ("e1", None, "v1", 1), ("e2", None, "v1", 100), ("e3", None, "v1", 31 * 24), ("e4", None, "v2", 1))
    assert world.run(backfill=True, confirmed=Confirmations(empty=True)).exit_code == ExitCode.OK
    assert world.held()["people"] == 0

    visited(world, ("ann", "v1"), ("bob", None))
    planned = world.diff(backfill=True)
    assert planned.syncs[1].visitors == Visitors(tied=2, stale=1, hot=1, known=0)
    assert world.run(backfill=True).exit_code == ExitCode.OK
    assert (len(of(world, "ann")), len(of(world, "bob"))) == (2, 0)
    assert world.held()["activities"]["anon_merge"] == 1

    seen(world, ("e1", None, "v1", 1), ("e2", None, "v1", 100), ("e3", None, "v1", 31 * 24), ("e4", None, "v2", 1),
         ("e5", None, "v1", 0.1), ("e6", "ann", "v1", 0.1))  # fmt: skip
    assert world.diff().syncs[1].visitors == Visitors(known=2 - 1), "e5 names nobody, and ann was identified before"


def test_an_anonymous_id_belongs_to_one_person_only(world: World) -> None:
    seen(world)
    visited(world, ("ann", "v1"), ("bob", "v2"), ("cem", "v2"), ("dan", None))
    assert world.run("people").syncs[0].counts.quarantined == {"anonymous_shared": 2}

    visited(world, ("ann", "v9"), ("bob", "v2"), ("dan", "v1"))
    again = world.run("people")
    assert again.syncs[0].counts.quarantined == {"anonymous_taken": 1}, "dan's was ann's"
    assert (world.person("bob") or {})["anonymous_id"] == "v2"
    assert "anonymous_id" not in (world.person("dan") or {})
    assert dropped(world) == 0

    world.syncs[0] = replace(world.syncs[0], identity=replace(VISITS, on_anonymous=OnShared.FAIL))
    visited_again = world.run("people").syncs[0].error
    assert visited_again is None or visited_again.code == "RV240"


# --- ids that look like other ids -----------------------------------------------------------------------------------


def test_ids_in_other_forms_are_sent_as_they_are_and_reported(world: World) -> None:
    people(world)
    model(world, **{"17850": "a@x.com", "Ab1": "b@x.com", "000123": "c@x.com", "x1": "d@x.com"})
    assert world.run().syncs[0].lookalikes == ()

    model(world, **{"17850": "a@x.com", "Ab1": "b@x.com", "000123": "c@x.com", "x1": "d@x.com",
                    "17850.0": "a2@x.com", "aB1": "b2@x.com", "123": "c2@x.com",
                    "x1\u200b": "d2@x.com", "y": "e@x.com"})  # fmt: skip
    planned, done = world.diff().syncs[0].lookalikes, world.run().syncs[0].lookalikes
    assert planned == done
    assert {one.reason: one.rows for one in done} == {"float": 1, "case": 1, "zeros": 1, "blanks": 1}
    assert all("beside" in one.example and "17850" not in one.example for one in done)
    assert world.held()["people"] == 9
