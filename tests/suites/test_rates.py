"""One rate for a workspace: runs at the same time share it, a backfill stands back, and nobody takes what others hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from revetl.delivery import RealClock
from revetl.errors import ExitCode
from revetl.rates import HELD_MS, Lane, Share
from revetl.sandbox.faults import Fault
from revetl.state import Stream, read_catalog
from revetl.tables import StreamTables
from revetl.warehouse import Warehouse
from tests.suites.world import FAST, SCHEMA, World

SLOW = replace(FAST, requests_per_second=10, max_batch_operations=1)
PEOPLE = 40


class Elsewhere(RealClock):
    """A clock whose waits pass at once; something else happens during each."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._ahead = 0.0
        self._meanwhile = meanwhile
        self.waited = 0.0

    def monotonic(self) -> float:
        """Real time and what was waited."""
        return super().monotonic() + self._ahead

    def wait(self, seconds: float) -> None:
        """Skip it."""
        self._ahead += seconds
        self.waited += seconds
        if seconds > 1:
            self._meanwhile()


@contextmanager
def other_run(world: World, name: str = "other") -> Iterator[Share]:
    """Another process that sends to the same workspace."""
    with closing(world.connect()) as warehouse:
        yield share_of(warehouse, name)


def share_of(warehouse: Warehouse, name: str) -> Share:
    """Its part of the rate."""
    workspace = Stream(warehouse, StreamTables(schema=SCHEMA, uid="ws"), read_catalog(warehouse, SCHEMA))
    return Share(warehouse, workspace, schema=SCHEMA, owner=name)


def ready(world: World) -> None:
    """A state schema exists, and there are some changes to send."""
    world.run("people")
    world.people_table(*((f"n{i}", f"n{i}@example.com", "free", i) for i in range(PEOPLE)), ("a", "a@example.com", "x", 0))


def test_a_run_waits_while_others_have_the_whole_rate_and_leaves_nothing_behind(world: World) -> None:
    ready(world)
    with other_run(world) as other:
        assert other.ask("live") == 1
        requests = world.held()["requests"]

        def meanwhile() -> None:
            assert world.held()["requests"] <= requests + 1, "only the workspace was asked for"
            other.give_back()

        assert world.run("people", clock=Elsewhere(meanwhile)).exit_code == ExitCode.OK

    assert any("waiting for other runs" in note for note in world.observer.notes)
    assert world.held()["people"] == PEOPLE + 2
    assert world.ask(f"SELECT count(*) FROM {SCHEMA}.rates") == [(0,)]


@pytest.mark.parametrize(("others", "share"), [("live", 0.5), ("backfill", 0.9), ("", 1.0)])
def test_a_run_sends_at_its_part_of_the_rate(world: World, others: Lane, share: float) -> None:
    ready(world)
    with other_run(world) as other:
        if others == "backfill":  # one that has met a live run before
            with other_run(world, "third") as third:
                assert (other.ask(others), third.ask("live"), other.ask(others)) == (0.5, 0.5, 0.1)
                third.give_back()
        clock = Elsewhere((lambda: other.ask("live")) if others == "live" else (lambda: None))
        clock.wait(2)

        assert world.run("people", settings=SLOW, clock=clock).exit_code == ExitCode.OK

        waited = clock.waited - 2 - 5 * any("waiting for other runs" in note for note in world.observer.notes)
        rate = 10 * share  # a second, and the first second's worth is there at once
        assert waited == pytest.approx((PEOPLE + 1 - rate) / rate, rel=0.1)


def test_a_backfill_gets_a_tenth_beside_a_live_run(world: World) -> None:
    ready(world)
    world.run()
    with other_run(world) as live, other_run(world, "third") as back:
        assert back.ask("backfill") == 0.5
        assert live.ask("live") == 0.5, "what others hold is not taken from them"
        assert back.ask("backfill") == pytest.approx(0.1)
        assert live.ask("live") == pytest.approx(0.9)
        live.give_back()
        assert back.ask("backfill") == 0.5


def test_the_part_of_a_run_that_died_is_free_after_a_while(world: World) -> None:
    ready(world)
    with other_run(world, "dead") as dead, other_run(world) as other:
        dead.ask("live")
        world.sql(f"UPDATE {SCHEMA}.rates SET until = until - {HELD_MS - 5_000}")
        assert other.ask("live") == 0
        world.sql(f"UPDATE {SCHEMA}.rates SET until = until - 5000 WHERE owner = 'dead'")
        assert other.ask("live") == 1


def test_a_run_that_fails_gives_its_part_back(world: World) -> None:
    ready(world)
    world.box.faults = [Fault(kind="status", status=401)]
    assert world.run("people").exit_code != ExitCode.OK
    assert world.ask(f"SELECT count(*) FROM {SCHEMA}.rates") == [(0,)]


@pytest.mark.parametrize("world", ["postgres"], indirect=True)
def test_runs_that_ask_at_the_same_moment_never_hold_more_than_the_whole(world: World) -> None:
    """Each looks at the sum right after its own asking. (A DuckDB file has one process, so one run, at a time.)"""
    ready(world)

    def one(number: int) -> float:
        most = 0.0
        with other_run(world, f"run {number}") as mine:
            for _ in range(15):
                mine.ask("backfill" if number % 3 == 0 else "live")
                [(total,)] = world.ask(f"SELECT coalesce(sum(part), 0) FROM {SCHEMA}.rates")
                most = max(most, total)
        return most

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(6)))
    assert max(found) <= 1 + 1e-9
    assert max(found) > 0.5
