"""People who asked to be forgotten: gone from Customer.io and from revetl's tables, and never sent again."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from revetl import upkeep
from revetl.contracts import IdentifierKind
from revetl.delivery import RealClock
from revetl.errors import DestinationDown, ExitCode, LeaseHeld
from revetl.forget import Forgetting, Receipt, pending
from revetl.plan import Confirmations
from tests.bars import Bar
from tests.suites.test_protocol import ONE_TRY, fault
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World


def forgetting(world: World, act: str, *keys: str, settings: Any = FAST) -> Receipt:
    warehouse = world.connect()
    try:
        work = Forgetting(
            warehouse, schema=SCHEMA, syncs=world.compiled(), settings=settings, clock=RealClock(),
            connect=lambda: SandboxDestination(world.box), rng=random.Random(7), owner="forget-test",
        )  # fmt: skip
        if act == "free":
            return work.free(IdentifierKind.ID, keys)
        return work.forget(IdentifierKind.ID, keys, reason="ticket 1")
    finally:
        warehouse.close()


def rows_of(world: World, key: str) -> int:
    """Rows in any of revetl's tables that hold this text."""
    found = 0
    for table, column in world.state_columns():
        found += world.ask(f"SELECT count(*) FROM {SCHEMA}.\"{table}\" WHERE CAST(\"{column}\" AS varchar) = '{key}'")[0][0]
    return int(found)


class Counting(SandboxDestination):
    """Keeps the bodies that go out."""

    bodies: list[bytes]

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
        Counting.bodies.append(body)
        return super().send(body, deadline_s=deadline_s, path=path)


def test_a_forgotten_person_is_deleted_and_no_later_run_sends_them(world: World, bar: Bar) -> None:
    world.people_table(("ann-4711", "ann@example.com", "free", 0), ("b", "bob@example.com", "pro", 12.5))
    world.orders_table(("o1", "ann-4711", 2, 30), ("o2", "b", 1, 12.5))
    world.run(backfill=True)

    receipt = forgetting(world, "forget", "ann-4711")

    assert (receipt.people, receipt.rows) == (1, 2)
    assert "ann" not in "".join(receipt.digests)
    assert world.person("ann-4711") is None
    Counting.bodies = []
    for number in range(20):
        world.sql(f"UPDATE people SET plan = 'v{number}'")
        world.order(f"later-{number}", "ann-4711", 1, 5)
        result = world.run(destination=lambda: Counting(world.box), full_refresh=number % 5 == 4, backfill=True)
        assert result.exit_code == ExitCode.OK
        assert (result.syncs[0].counts.forgotten, result.syncs[1].counts.forgotten) == (1, number + 2)
    assert Counting.bodies
    # the state is lost, and made anew
    warehouse = world.connect()
    for name in ("people", "orders"):
        upkeep.reset(warehouse, SCHEMA, name, f"{name}01")
    warehouse.close()
    world.run(destination=lambda: Counting(world.box), backfill=True, confirmed=Confirmations(first_run=99))
    sent = sum(b"ann-4711" in body for body in Counting.bodies)
    assert sent == 0
    assert rows_of(world, "ann-4711") == 0
    assert rows_of(world, "b") > 0, "the search finds what is there"
    bar(36, "requests with the key in 21 later runs, full refreshes and a lost state", found=sent, goal="0")
    bar(36, "rows with the key in revetl's tables", found=rows_of(world, "ann-4711"), goal="0")


def test_a_diff_counts_the_rows_of_forgotten_people(world: World) -> None:
    world.run("people")
    forgetting(world, "forget", "a")

    [diff] = world.diff("people").syncs

    assert (diff.counts.forgotten, diff.counts.unchanged, diff.counts.model_rows) == (1, 1, 2)


def test_the_tombstone_stands_when_customerio_cannot_be_reached(world: World) -> None:
    world.run("people")
    fault(world, kind="status", status=500, times=1_000)

    with pytest.raises(DestinationDown):
        forgetting(world, "forget", "a", settings=ONE_TRY)

    warehouse = world.connect()
    assert pending(warehouse, SCHEMA) == 1
    warehouse.close()
    fault(world, kind="none")
    world.sql("UPDATE people SET plan = 'new'")
    assert world.run("people").syncs[0].counts.forgotten == 1
    assert (world.person("a") or {})["plan"] == "free", "not deleted yet, and not written any more"
    forgetting(world, "forget", "a")
    assert world.person("a") is None
    warehouse = world.connect()
    assert pending(warehouse, SCHEMA) == 0
    warehouse.close()


def test_forgetting_waits_for_no_running_run(world: World) -> None:
    world.run("people")
    met: list[BaseException] = []

    def during(when: str, word: str) -> None:
        if (when, word) == ("after", "CreateTableAs") and not met:
            try:
                forgetting(world, "forget", "a")
            except LeaseHeld as held:
                met.append(held)

    world.sql("UPDATE people SET plan = 'B'")
    world.run("people", probe=during)

    assert len(met) == 1
    assert forgetting(world, "forget", "a").people == 1


def test_a_forgotten_person_may_be_freed_again(world: World) -> None:
    world.run("people")
    forgetting(world, "forget", "a")

    assert forgetting(world, "free", "a").people == 1
    result = world.run("people")

    assert (result.syncs[0].counts.forgotten, result.syncs[0].acknowledged) == (0, 1)
    assert (world.person("a") or {})["plan"] == "free"


@pytest.mark.parametrize("world", ["postgres"], indirect=True)
def test_people_who_are_forgotten_at_the_same_moment_all_stay_forgotten(world: World) -> None:
    """Two first tombstones with salts of their own would make one of them worthless."""
    world.people_table(*((f"p{i}", None, "free", 0) for i in range(8)))
    world.run("people")

    def one(key: str) -> None:
        with suppress(LeaseHeld):  # the tombstone is there all the same
            forgetting(world, "forget", key)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, [f"p{i}" for i in range(6)]))

    assert world.ask(f"SELECT count(*), count(DISTINCT salt) FROM {SCHEMA}.tomb__all") == [(6, 1)]
    assert world.diff("people").syncs[0].counts.forgotten == 6
