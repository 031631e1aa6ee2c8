"""Two rows, one person: what Customer.io holds when addresses collide, move, are swapped and become free; on every warehouse.

Each scenario ends with the same question: does the workspace equal the model, but for the rows that are held back, and did
Customer.io drop nothing that it had answered with 200?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from revetl.contracts import IdentifierKind, Identity, OnChange, OnMoved, OnShared, WhenMissing
from revetl.errors import ContractBroken, ExitCode
from tests.suites.world import FAST, World, attribute, people_sync

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
    world.sql("INSERT INTO people SELECT CAST(i AS text), 'u' || i || '@x.com', 'free', 1 FROM generate_series(1, 40000) AS t(i)")
    assert world.run(baseline=True).exit_code == ExitCode.OK

    result = world.run(settings=replace(FAST, max_batch_operations=1_000), full_refresh=True)
    assert (result.syncs[0].error, result.syncs[0].acknowledged) == (None, 40_000)
