"""Merging people: one person with one timeline in Customer.io, who never comes back as two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from revetl import upkeep
from revetl.contracts import Guards, IdentifierKind, OnNull, Sync, SyncType, WhenMissing
from revetl.errors import ContractBroken, ExitCode, GuardTripped, Where
from revetl.plan import Confirmations
from tests.suites.test_forget import Counting, forgetting, rows_of
from tests.suites.test_protocol import ONE_TRY, applied_but_not_answered, fault
from tests.suites.world import SCHEMA, World, attribute, orders_sync, people_sync

PAIR = Confirmations(merges=1)


def merges_sync(**changes: Any) -> Sync:
    """Table `merges` (primary_id, secondary_id)."""
    facts: dict[str, Any] = {
        "name": "merges", "uid": "merges01", "type": SyncType.MERGE, "model": "merges", "relation": "ref('merges')",
        "identifier": IdentifierKind.ID, "key": "secondary_id", "person": "primary_id", "person_sync": "people", "fields": (),
        "where": Where(file="syncs/merges.yml", line=3),
    }  # fmt: skip
    return Sync(**facts | changes)


@pytest.fixture(autouse=True)
def _syncs(world: World) -> None:
    world.syncs = [people_sync(), merges_sync(), orders_sync()]
    pairs(world)


def pairs(world: World, *rows: Sequence[str | None]) -> None:
    """(Re)create `merges`: (primary, secondary)."""
    world.sql("DROP TABLE IF EXISTS merges", "CREATE TABLE merges (primary_id text, secondary_id text)")
    for row in rows:
        world.sql("INSERT INTO merges VALUES (" + ", ".join("NULL" if v is None else f"'{v}'" for v in row) + ")")


def people(world: World, *keys: str) -> None:
    """(Re)create `people` with these keys and run until Customer.io has them."""
    world.people_table(*((key, f"{key}@example.com", "free", 0) for key in keys))
    world.run("people")


def events_of(world: World, person: str) -> list[str]:
    """Orders on the timeline of a person."""
    found = world.api("/sandbox/events")["events"]
    return sorted(event["attributes"]["order_id"] for event in found if event["id"] == person)


def known(world: World) -> set[str]:
    """Ids of everybody in the workspace."""
    return {person["id"] for person in world.api("/sandbox/people?limit=100")["people"]}


def test_a_pair_is_merged_once_and_the_model_may_go_on_listing_the_secondary(world: World) -> None:
    world.run(backfill=True)
    pairs(world, ("a", "b"))
    asked = world.run(backfill=True)
    assert isinstance(asked.syncs[1].error, GuardTripped)
    assert (asked.syncs[1].error.code, "--confirm-merges 1" in asked.syncs[1].error.hint) == ("RV251", True)
    assert known(world) == {"a", "b"}

    result = world.run(backfill=True, confirmed=PAIR)

    assert result.exit_code == ExitCode.OK
    assert (result.syncs[1].acknowledged, result.syncs[1].status) == (1, "success")
    assert known(world) == {"a"}
    assert events_of(world, "a") == ["o1", "o2"], "the secondary's history went along"
    Counting.bodies = []
    for number in range(4):
        world.sql(f"UPDATE people SET plan = 'v{number}'")
        again = world.run(backfill=True, full_refresh=number == 3, destination=lambda: Counting(world.box))
        assert again.exit_code == ExitCode.OK
        assert again.syncs[0].counts.merged == 1
        assert again.syncs[1].counts.unchanged == 1
    assert not any(b'"b"' in body for body in Counting.bodies)
    assert known(world) == {"a"}
    assert world.run(backfill=True).requests == 0


def test_new_events_of_the_secondary_go_to_the_primary(world: World) -> None:
    world.run(backfill=True)
    pairs(world, ("a", "b"))
    world.run(backfill=True, confirmed=PAIR)
    world.order("o3", "b", 1, 5)

    [diff] = world.diff("orders").syncs
    result = world.run(backfill=True)

    assert (diff.counts.created, diff.counts.drifted) == (1, 0)
    assert result.exit_code == ExitCode.OK
    assert (result.syncs[2].acknowledged, result.syncs[2].counts.drifted) == (1, 0)
    assert known(world) == {"a"}
    assert events_of(world, "a") == ["o1", "o2", "o3"]


def test_an_event_of_the_same_run_goes_to_the_primary(world: World) -> None:
    world.run(backfill=True)
    pairs(world, ("a", "b"))
    world.order("o3", "b", 1, 5)

    world.run(backfill=True, confirmed=PAIR)

    assert (known(world), events_of(world, "a")) == ({"a"}, ["o1", "o2", "o3"])


def test_a_primary_that_comes_in_the_same_run_is_made_first(world: World) -> None:
    world.run()
    world.sql("INSERT INTO people VALUES ('c', 'c@example.com', 'free', 0)")
    pairs(world, ("c", "b"))

    [diff] = [one for one in world.diff().syncs if one.sync.name == "merges"]
    result = world.run(confirmed=PAIR)

    assert (diff.counts.sendable, result.syncs[1].acknowledged) == (1, 1)
    assert known(world) == {"a", "c"}


def test_a_pair_waits_for_a_primary_and_is_skipped_without_a_secondary(world: World) -> None:
    world.run("people")
    pairs(world, ("x", "b"), ("a", "y"))

    result = world.run("merges", confirmed=PAIR)

    assert (result.syncs[0].counts.waiting, result.syncs[0].counts.skipped, result.requests) == (1, 1, 0)
    assert known(world) == {"a", "b"}


@pytest.mark.parametrize("gone_on", [False, True])
def test_a_merge_without_an_answer_is_sent_again(world: World, *, gone_on: bool) -> None:
    """Applied, and the answer lost: nobody makes the secondary again while it is not known, nor afterwards."""
    world.run(backfill=True)
    pairs(world, ("a", "b"))
    applied_but_not_answered(world)
    lost = world.run("people", "merges", settings=ONE_TRY, confirmed=PAIR)
    assert (lost.syncs[1].acknowledged, lost.syncs[1].unsent) == (0, 1)
    assert known(world) == {"a"}
    world.sql("UPDATE people SET plan = 'changed'")
    world.order("o3", "b", 1, 5)
    if gone_on:  # the model has another idea of the primary meanwhile
        world.sql("INSERT INTO people VALUES ('c', 'c@example.com', 'free', 0)")
        pairs(world, ("c", "b"))
    world.forget_drain()

    between = world.run("people", "orders", backfill=True)
    assert known(world) - {"c"} == {"a"}
    assert between.syncs[0].counts.merged == 1
    assert between.syncs[1].counts.waiting == 1
    result = world.run(backfill=True, confirmed=PAIR)

    assert result.exit_code == ExitCode.OK
    assert result.syncs[1].acknowledged == 1
    assert known(world) - {"c"} == {"a"}
    assert events_of(world, "a") == ["o1", "o2", "o3"]
    assert world.run(backfill=True).syncs[1].counts.drifted == int(gone_on)


def test_a_merge_that_was_not_applied_is_sent_again(world: World) -> None:
    world.run("people")
    pairs(world, ("a", "b"))
    fault(world, kind="reset", times=1)
    world.run("people", "merges", settings=ONE_TRY, confirmed=PAIR)
    assert known(world) == {"a", "b"}
    world.forget_drain()

    assert world.run("people", "merges", confirmed=PAIR).exit_code == ExitCode.OK
    assert known(world) == {"a"}


def test_a_refused_merge_leaves_the_secondary_a_person(world: World) -> None:
    world.run("people")
    pairs(world, ("a", "b"))
    fault(world, kind="reject", key="a", times=1)

    result = world.run("people", "merges", confirmed=PAIR)

    assert (result.syncs[1].refused, result.syncs[1].unsent) == (1, 0)
    world.sql("UPDATE people SET plan = 'new'")
    assert world.run("people").syncs[0].counts.merged == 0
    assert (world.person("b") or {})["plan"] == "new"
    assert world.diff("merges").syncs[0].counts.refused == 1


def test_a_chain_is_merged_link_by_link(world: World) -> None:
    """c into b, b into a: the first run merges c into b, the next b into a; c's events go to a."""
    people(world, "a", "b", "c")
    pairs(world, ("b", "c"), ("a", "b"))

    first = world.run("people", "merges", confirmed=PAIR)
    assert (first.syncs[1].acknowledged, first.syncs[1].counts.waiting) == (1, 1)
    assert known(world) == {"a", "b"}
    second = world.run("people", "merges", confirmed=PAIR)
    assert (second.exit_code, second.syncs[1].acknowledged) == (ExitCode.OK, 1)
    assert known(world) == {"a"}

    world.orders_table(("o1", "c", 1, 3), ("o2", "b", 1, 3), ("o3", "a", 1, 3))
    world.run(backfill=True)
    assert (known(world), events_of(world, "a")) == ({"a"}, ["o1", "o2", "o3"])


def test_a_pair_whose_primary_was_merged_goes_to_the_one_it_lives_on_in(world: World) -> None:
    people(world, "a", "b", "c")
    pairs(world, ("a", "b"))
    world.run("people", "merges", confirmed=PAIR)
    pairs(world, ("a", "b"), ("b", "c"))

    result = world.run("people", "merges")

    assert (result.exit_code, result.syncs[1].acknowledged) == (ExitCode.OK, 1)
    assert known(world) == {"a"}
    assert world.ask(f"SELECT DISTINCT {world.own('primary')} FROM {SCHEMA}.merged__all") == [("a",)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "a")], "1 rows merge a person with itself"),
        ([("a", "b"), ("b", "a")], "2 rows lead back to where they began"),
        ([("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("a", "e")], "4 rows lead back to where they began"),
        ([("a", "c"), ("b", "c")], "2 rows give a secondary that another row gives too"),
        ([("a", "c"), ("nobody", "c")], "2 rows give a secondary that another row gives too"),
    ],
)
def test_contradictions_stop_the_sync(world: World, rows: list[tuple[str, str]], said: str) -> None:
    people(world, "a", "b", "c", "d", "e")
    pairs(world, *rows)

    [diff] = world.diff("merges").syncs
    [result] = world.run("merges", confirmed=Confirmations(merges=len(rows))).syncs

    [problem] = [one for one in diff.problems if isinstance(one, ContractBroken)]
    assert (problem.code, said in problem.message) == ("RV250", True), problem.message
    assert isinstance(result.error, ContractBroken)
    assert result.error.keys
    assert known(world) == {"a", "b", "c", "d", "e"}


def test_merging_back_what_was_merged_is_a_contradiction(world: World) -> None:
    people(world, "a", "b")
    pairs(world, ("a", "b"))
    world.run("merges", confirmed=PAIR)
    pairs(world, ("a", "b"), ("b", "a"))

    [result] = world.run("merges").syncs

    assert "merge a person with itself" in str(result.error)
    assert known(world) == {"a"}


def test_blank_sides_break_the_contract(world: World) -> None:
    world.run("people")
    pairs(world, ("a", ""), (None, "b"))

    [result] = world.run("merges").syncs

    assert "2 rows have a null or blank key" in str(result.error)


@pytest.mark.parametrize("forgotten", ["a", "b"])
def test_a_forgotten_person_is_never_merged(world: World, forgotten: str) -> None:
    world.run("people")
    forgetting(world, "forget", forgotten)
    pairs(world, ("a", "b"))

    result = world.run("people", "merges", confirmed=PAIR)

    assert (result.syncs[1].counts.forgotten, result.requests) == (1, 0)
    assert known(world) == {"a", "b"} - {forgotten}


@pytest.mark.parametrize("key", ["alive-4711", "gone-4711"])
def test_whoever_is_forgotten_is_forgotten_with_all_that_was_merged(world: World, key: str) -> None:
    """The secondary lives on in the primary, so forgetting one of them must forget the other, too."""
    people(world, "alive-4711", "gone-4711", "b")
    world.orders_table(("o1", "gone-4711", 2, 30), ("o2", "b", 1, 12.5))
    world.run(backfill=True)
    pairs(world, ("alive-4711", "gone-4711"))
    world.run(backfill=True, confirmed=PAIR)
    world.order("o3", "gone-4711", 1, 5)
    world.run(backfill=True)

    assert forgetting(world, "forget", key).people == 2

    assert known(world) == {"b"}
    assert rows_of(world, "alive-4711") == rows_of(world, "gone-4711") == 0
    world.sql("UPDATE people SET plan = 'again'")
    world.order("o4", "gone-4711", 1, 5)
    result = world.run(backfill=True)
    assert (result.syncs[0].counts.forgotten, result.syncs[1].counts.forgotten) == (2, 1)
    assert known(world) == {"b"}


def test_the_secondary_is_not_made_again_after_the_states_are_lost(world: World) -> None:
    world.run(backfill=True)
    pairs(world, ("a", "b"))
    world.run(backfill=True, confirmed=PAIR)
    warehouse = world.connect()
    for name in ("people", "merges", "orders"):
        upkeep.reset(warehouse, SCHEMA, name, f"{name}01")
    warehouse.close()
    world.order("o3", "b", 1, 5)

    result = world.run(backfill=True)

    assert result.exit_code == ExitCode.OK
    assert [r.counts.merged for r in result.syncs] == [1, 0, 0]
    assert (result.syncs[1].counts.skipped, result.syncs[1].acknowledged) == (1, 0)
    assert (known(world), events_of(world, "a")) == ({"a"}, ["o1", "o2", "o3"])
    assert world.run(backfill=True).requests == 0


def test_a_secondary_whose_row_left_the_model_is_not_deleted_but_merged(world: World) -> None:
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE), merges_sync(), orders_sync()]
    world.run(backfill=True)
    pairs(world, ("a", "b"))
    world.sql("DELETE FROM people WHERE id = 'b'")

    result = world.run(backfill=True, confirmed=PAIR)

    assert result.exit_code == ExitCode.OK
    assert (known(world), events_of(world, "a")) == ({"a"}, ["o1", "o2"])
    assert world.run(backfill=True).requests == 0


def test_what_a_null_clears_is_cleared_again_after_the_primary_gained_it(world: World) -> None:
    """Customer.io fills what is empty at the primary; where the model says that it is to be empty, it is again."""
    fields = (attribute("email"), attribute("plan", on_null=OnNull.CLEAR), attribute("spent", "number"))
    world.syncs = [people_sync(fields=fields), merges_sync()]
    world.people_table(("a", "ann@example.com", None, None), ("b", "bob@example.com", "pro", 12.5))
    world.run()
    pairs(world, ("a", "b"))
    world.run(confirmed=PAIR)
    assert (world.person("a") or {})["plan"] == "pro"

    result = world.run()

    assert (result.syncs[0].counts.redriven, result.exit_code) == (1, ExitCode.OK)
    assert world.person("a") == {"email": "ann@example.com", "spent": "12.5"}, "a skipped null leaves what came along"
    assert world.run().requests == 0


def test_the_state_forgets_the_secondary(world: World) -> None:
    world.run("people")
    pairs(world, ("a", "b"))
    world.run("people", "merges", confirmed=PAIR)

    world.run("people", "merges")

    assert world.ask(f"SELECT _key FROM {SCHEMA}.state__people01") == [("a",)]
    assert world.run("people", "merges").exit_code == ExitCode.OK, "its seal is that of what is left"


def test_more_merges_than_max_merges_need_a_word(world: World) -> None:
    world.syncs = [people_sync(), merges_sync(guards=Guards(max_merges=2))]
    people(world, *"abcdefg")
    pairs(world, ("a", "b"))
    assert world.run("merges", confirmed=Confirmations(merges=2)).exit_code == ExitCode.GUARD
    assert world.run("merges", confirmed=PAIR).exit_code == ExitCode.OK
    pairs(world, ("a", "b"), ("a", "c"), ("a", "d"))
    assert world.run("merges").exit_code == ExitCode.OK, "two are within the bound"
    pairs(world, ("a", "b"), ("a", "c"), ("a", "d"), ("a", "e"), ("a", "f"), ("a", "g"))
    stopped = world.run("merges")
    assert "3 people would be merged into others, which cannot be undone (max_merges 2)" in str(stopped.syncs[0].error)
    assert world.run("merges", confirmed=Confirmations(merges=3)).exit_code == ExitCode.OK
    assert known(world) == {"a"}


def test_merges_wait_for_a_run_that_sends_these_people(world: World) -> None:
    world.run("people")
    pairs(world, ("a", "b"))
    world.run("merges")
    done: list[Any] = []

    def during(when: str, word: str) -> None:
        if (when, word) == ("after", "CreateTableAs") and not done:
            done.append(None)
            done.append(world.run("merges", confirmed=PAIR, seed=8))

    world.sql("UPDATE people SET plan = 'B' WHERE id = 'b'")
    world.run("people", probe=during)

    assert (done[1].syncs[0].acknowledged, done[1].syncs[0].unsent, done[1].requests) == (0, 1, 0)
    assert (world.person("b") or {})["plan"] == "B"
    assert world.run("people", "merges", confirmed=PAIR).exit_code == ExitCode.OK
    assert known(world) == {"a"}


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", [*range(10, 60, 7), *(pytest.param(at, marks=pytest.mark.soak) for at in range(60))])
def test_a_run_that_dies_anywhere_leaves_one_person(world: World, at: int) -> None:
    """Killed before any of its statements: later runs finish it, and the secondary never comes back."""
    world.run(backfill=True)
    pairs(world, ("a", "b"))
    world.sql("UPDATE people SET plan = 'new'")
    world.order("o3", "b", 1, 5)
    seen = [0]

    def die(when: str, word: str) -> None:
        del word
        if when == "before":
            seen[0] += 1
            if seen[0] > at:
                raise Killed

    try:
        world.run("merges", confirmed=PAIR, probe=die)
    except Killed:
        pass
    else:
        pytest.skip(f"a run has {seen[0]} statements")
    world.forget_drain()
    world.sql("UPDATE people SET plan = 'newer'")
    world.order("o4", "b", 1, 5)

    for _ in range(3):
        world.run(backfill=True, confirmed=PAIR)

    assert known(world) == {"a"}
    assert events_of(world, "a") == ["o1", "o2", "o3", "o4"]
    assert (world.person("a") or {})["plan"] == "newer"
    assert world.ask(f"SELECT count(*) FROM {SCHEMA}.merged__all WHERE done_at IS NULL") == [(0,)]
    assert world.run(backfill=True).requests == 0


def test_recorded_merges_are_never_sent_and_their_secondaries_neither(world: World) -> None:
    """`revetl state baseline`: the people were merged by hand before."""
    world.people_table(("a", "ann@example.com", "free", 0))
    world.run()
    world.sql("INSERT INTO people VALUES ('b', 'bob@example.com', 'pro', 1)")
    pairs(world, ("a", "b"))

    recorded = world.run("merges", baseline=True)

    assert (recorded.syncs[0].acknowledged, recorded.requests) == (1, 0)
    world.run(backfill=True)
    assert (known(world), events_of(world, "a")) == ({"a"}, ["o1", "o2"])


def test_addresses_are_compared_as_they_are_sent(world: World) -> None:
    by_mail = {"identifier": IdentifierKind.EMAIL}
    world.syncs = [people_sync(key="email", fields=(attribute("plan"),), **by_mail), merges_sync(**by_mail)]
    world.run("people")
    pairs(world, (" ANN@example.com", "Bob@Example.com "))

    assert world.run("people", "merges", confirmed=PAIR).exit_code == ExitCode.OK
    assert world.held()["people"] == 1
    assert world.run("people", "merges").syncs[0].counts.merged == 1


def test_a_project_without_merges_makes_no_table(world: World) -> None:
    world.syncs = [people_sync(), orders_sync()]
    world.run(backfill=True)
    assert "merged__all" not in world.state_tables()

