"""How reliable the guards are: dangerous plans are all stopped before the first request, and normal days are not."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from revetl.contracts import Initial, WhenMissing
from revetl.errors import ExitCode
from revetl.plan import Confirmations
from revetl.sandbox import Sandbox
from tests.bars import Bar
from tests.suites.world import SCHEMA, World, duckdb_world, orders_sync, people_sync

PEOPLE = 2_000


@pytest.fixture
def shop(tmp_path: Path, box: Sandbox) -> Iterator[World]:
    """Two thousand people and as many orders, all of them acknowledged."""
    with duckdb_world(tmp_path) as connect:
        syncs = [people_sync(when_missing=WhenMissing.DELETE), orders_sync(initial=Initial.BASELINE)]
        world = World(connect=connect, box=box, syncs=syncs)
        world.people_table()
        world.orders_table()
        fill(world)
        assert world.run().exit_code == ExitCode.OK
        yield world


def fill(world: World) -> None:
    """The tables as they were."""
    world.sql(
        "DELETE FROM people", "DELETE FROM orders",
        f"INSERT INTO people SELECT 'k' || i, 'k' || i || '@example.com', 'free', i FROM range({PEOPLE}) t(i)",
        f"INSERT INTO orders SELECT 'o' || i, 'k' || i, TIMESTAMPTZ '2026-01-01 00:00:00+00', i FROM range({PEOPLE}) t(i)",
    )  # fmt: skip


EMPTY = ["DELETE FROM people", "DELETE FROM orders", "UPDATE people SET id = NULL", "DELETE FROM people; DELETE FROM orders"]
DELETES = [f"DELETE FROM people WHERE spent < {share} * {PEOPLE}" for share in
           (0.051, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)]  # fmt: skip
RENAMES = [
    "UPDATE people SET id = upper(id)", "UPDATE people SET id = id || ' '", "UPDATE people SET id = replace(id, 'k', 'K-')",
    "UPDATE people SET id = id || '.0'", "UPDATE people SET id = md5(id)",
]
CHANGES = [f"UPDATE people SET plan = 'x' WHERE spent < {share} * {PEOPLE}" for share in (0.51, 0.6, 0.75, 0.9, 1)]
WRONG = "UPDATE people SET id = 'k0' WHERE id = 'k1'"  # two rows, one key
GROWTH = [
    "INSERT INTO people SELECT id || '-' || n, email || n, plan, spent FROM people, range(9) t(n)",
    "INSERT INTO people SELECT id || '-' || n, email || n, plan, spent FROM people, range(20) t(n)",
    "INSERT INTO orders SELECT order_id || '-' || n, person, current_timestamp - interval '1 hour', 1 FROM orders, range(9) t(n)",
]


def tried(world: World, script: str) -> tuple[bool, int, float]:
    """Whether a guard stopped it, what was sent, and the seconds from the plan to the end."""
    world.sql(*script.split("; "))
    before, began = world.held(), time.monotonic()
    result = world.run()
    after, seconds = world.held(), time.monotonic() - began
    fill(world)
    stopped = any(s.error is not None and s.error.exit_code in {ExitCode.GUARD, ExitCode.CONTRACT} for s in result.syncs)
    return stopped, after["operations"] - before["operations"], seconds


def test_dangerous_plans_are_stopped_before_anything_is_sent(shop: World, bar: Bar) -> None:
    cases = [*EMPTY, *DELETES, *RENAMES, *CHANGES, WRONG]
    found = {script: tried(shop, script) for script in cases}
    missed = [script for script, (stopped, _, _) in found.items() if not stopped]
    sent = sum(operations for _, operations, _ in found.values())
    bar(25, "cases that no guard stopped", found=len(missed), goal="0", of=f"{len(cases)} cases")
    bar(25, "deletes and requests after a guard stopped the run", found=sent, goal="0", of=f"{len(cases)} cases")
    assert len(cases) >= 30
    assert (missed, sent) == ([], 0)


def test_ten_times_the_rows_or_half_of_them_changed_stop_the_run(shop: World, bar: Bar) -> None:
    cases = [*GROWTH, *CHANGES]
    found = [tried(shop, script) for script in cases]
    of = f"{len(GROWTH)} models with ten times the rows and more, {len(CHANGES)} with more than half of {PEOPLE:,} rows changed"
    sent, slowest = sum(operations for _, operations, _ in found), max(seconds for _, _, seconds in found)
    bar(26, "requests of runs with ten times the rows, or with half of them changed", found=sent, goal="0", of=of)
    bar(26, "seconds from the plan to the end", found=f"{slowest:.2f}", goal="≤ 5", of=of + "; the whole run, with its plan")
    assert all(stopped for stopped, _, _ in found)
    assert sent == 0


def test_growth_is_confirmed_by_its_exact_number(shop: World) -> None:
    shop.sql(GROWTH[0])
    said = shop.run("people").syncs[0].error
    assert said is not None
    assert f"--confirm-growth {9 * PEOPLE}" in said.hint
    assert shop.run("people", confirmed=Confirmations(growth=9 * PEOPLE - 1)).exit_code == ExitCode.GUARD
    assert shop.run("people", confirmed=Confirmations(growth=9 * PEOPLE)).exit_code == ExitCode.OK
    assert shop.ask(f"SELECT count(*) FROM {SCHEMA}.state__people01") == [(10 * PEOPLE,)]


def normal_days(world: World, days: int, bar: Bar) -> None:
    """A few new people, a few changes, a few deletions, now and then a campaign that touches a third."""
    rng, stopped, new = random.Random(3), 0, PEOPLE
    for day in range(days):
        new += 20
        touched = 0.33 if day % 30 == 29 else 0.05
        world.sql(
            f"UPDATE people SET plan = 'd{day}' WHERE hash(id || '{day}') % 1000 < {int(touched * 1000)}",
            f"DELETE FROM people WHERE hash(id || '{day}') % 1000 < {rng.randint(0, 8)}",
            f"INSERT INTO people SELECT 'n{day}-' || i, NULL, 'new', i FROM range(20) t(i)",
        )
        stopped += world.run("people").exit_code == ExitCode.GUARD
    bar(25, "normal runs that were stopped without need", found=stopped, goal="≤ 1", seed=3,
        of=f"{days:,} normal days of {PEOPLE:,} people")  # fmt: skip
    assert stopped <= 1


def test_normal_days_are_not_stopped(shop: World, bar: Bar) -> None:
    normal_days(shop, 25, bar)


@pytest.mark.soak
def test_a_thousand_normal_days_are_not_stopped(shop: World, bar: Bar) -> None:
    normal_days(shop, 1_000, bar)
