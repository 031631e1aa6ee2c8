"""People who may be one person: found by rules in the models, and counted run by run."""

from __future__ import annotations

import pytest

from revetl.contracts import Alike, DuplicateRule
from revetl.duplicates import Candidates
from revetl.errors import ContractBroken, ExitCode
from tests.suites.world import SCHEMA, World, attribute, people_sync

FIELDS = (attribute("email", format="email"), attribute("phone", format="e164"), attribute("first"), attribute("last"))
NAMES = DuplicateRule(name="same name", columns=("first", "last"), normalize=Alike.LOWER)


def shoppers(world: World, *rows: tuple[str, str | None, str | None, str | None, str | None]) -> None:
    """(Re)create `people` (id, email, phone, first, last)."""
    world.sql("DROP TABLE IF EXISTS people", "CREATE TABLE people (id text, email text, phone text, first text, last text)")
    cells = [", ".join("NULL" if v is None else f"'{v}'" for v in row) for row in rows]
    world.sql("INSERT INTO people VALUES " + ", ".join(f"({row})" for row in cells))


def report(world: World, *, show: int = 9) -> Candidates:
    """What `revetl identity report` reads, in a read-only session."""
    warehouse = world.connect(read_only=True)
    try:
        [found] = world.engine(warehouse).candidates(world.compiled(["people"]), show=show)
        return found
    finally:
        warehouse.close()


def counts(found: Candidates) -> dict[str, tuple[int, int]]:
    return {one.rule.name: (one.groups, one.people) for one in found.found}


def test_rules_that_follow_from_the_contract(world: World) -> None:
    world.syncs = [people_sync(fields=FIELDS)]
    shoppers(
        world,
        ("17850", "Ann@Example.com", "+1 (555) 0100", None, None),
        ("17850.0", " ann@example.com", "001-555-0100", None, None),
        ("c", "ann@example.com ", "+1999", None, None),
        ("C ", "", "1999", None, None),
        ("d", None, "", None, None),
        ("e", None, None, None, None),
    )

    found = report(world)

    assert counts(found) == {"id in another form": (2, 4), "same email": (1, 3), "same phone": (1, 2)}
    [forms, email, phone] = found.found
    assert {(group.first, group.last) for group in forms.largest} == {("17850", "17850.0"), ("C ", "c")}
    assert [(group.people, group.first, group.last) for group in email.largest] == [(3, "17850", "c")]
    assert [(group.first, group.last) for group in phone.largest] == [("17850", "17850.0")]


def test_a_declared_rule_of_several_columns_needs_all_of_them(world: World) -> None:
    world.syncs = [people_sync(fields=FIELDS, duplicates=(NAMES,))]
    shoppers(
        world, ("1", None, None, "Ann", "Lee"), ("2", None, None, "ann ", "LEE"), ("3", None, None, "Ann", None),
        ("4", None, None, "Ann", None), ("5", None, None, "AnnL", "ee"), ("6", None, None, "Ann", ""),
    )  # fmt: skip

    found = report(world)

    assert counts(found)["same name"] == (1, 2)
    assert (found.found[0].largest[0].first, found.found[0].largest[0].last) == ("1", "2")


def test_a_declared_rule_takes_the_place_of_the_one_for_the_same_column() -> None:
    rule = DuplicateRule(name="exactly the same e-mail", columns=("email",))
    sync = people_sync(fields=FIELDS, duplicates=(rule,))
    assert [one.name for one in sync.duplicate_rules()] == [rule.name, "id in another form", "same phone"]


def test_runs_count_what_they_saw_and_the_report_shows_it_over_time(world: World) -> None:
    world.syncs = [people_sync(fields=FIELDS, duplicates=())]
    twins = [(f"{i}", f"p{i % 3}@example.com", None, None, None) for i in range(6)]
    for size in (6, 5, 4, 3):
        shoppers(world, *twins[:size])
        # two with one address are held back (docs/identity.md), and counted all the same
        assert world.run("people").exit_code in {ExitCode.OK, ExitCode.ROWS_REFUSED}

    email = next(one for one in report(world).found if one.rule.name == "same email")

    assert email.before == ((3, 6), (2, 4), (1, 2), (0, 0))
    assert (email.groups, email.largest) == (0, ())
    stored = world.ask(f"SELECT * FROM {SCHEMA}.identity_log")
    assert "example" not in str(stored), "counts only"


def test_a_project_that_declares_nothing_makes_no_table_and_no_statement(world: World) -> None:
    world.syncs = [people_sync()]
    world.run("people")
    world.run("people")
    before = world.statements
    assert "identity_log" not in world.state_tables()

    world.syncs = [people_sync(duplicates=())]
    world.run("people")
    world.run("people")
    assert world.statements == before + 2, "one to count, one to remember"


def test_a_column_that_the_model_lacks_is_found_before_anything_is_sent(world: World) -> None:
    rule = DuplicateRule(name="same card", columns=("emial",))
    world.syncs = [people_sync(duplicates=(rule,))]

    [result] = world.run("people").syncs

    assert isinstance(result.error, ContractBroken)
    assert "the rule for duplicates 'same card' needs column 'emial'" in result.error.message
    assert "did you mean 'email'?" in result.error.message
    assert world.held()["people"] == 0


@pytest.mark.parametrize("show", [1, 2])
def test_the_largest_groups_come_first(world: World, show: int) -> None:
    world.syncs = [people_sync(fields=FIELDS)]
    shoppers(
        world, ("a", "x@example.com", None, None, None), ("b", "x@example.com", None, None, None),
        *((f"n{i}", "y@example.com", None, None, None) for i in range(5)),
    )  # fmt: skip

    found = next(one for one in report(world, show=show).found if one.rule.name == "same email")

    assert (found.groups, found.people) == (2, 7)
    assert [group.people for group in found.largest] == [5, 2][:show]
