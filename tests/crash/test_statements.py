"""How many statements a run needs, and that no transaction is open while a socket is in use (bars 19 and 20)."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from revetl.delivery import RealClock
from revetl.errors import ExitCode
from tests.bars import Bar
from tests.crash.jobs import perform
from tests.crash.scenes import Stage, ask
from tests.suites.world import SCHEMA

# as they are today; docs/adr/0012-statements-of-a-run.md says what they are for
UNCHANGED = {"duckdb": 12, "postgres": 12}  # one stream of people
UNCHANGED_BOTH = {"duckdb": 20, "postgres": 20}  # people and events
CHANGED_FIXED = 35  # of a run that sends one stream of people, besides its checkpoints; 7 are for its part of the rate
A_CHECKPOINT = {"duckdb": 6, "postgres": 8}  # PostgreSQL reads through a cursor, which needs a transaction of its own


def fill(stage: Stage, rows: int) -> None:
    stage.change("DELETE FROM people", "INSERT INTO people SELECT CAST(i AS varchar(200)), NULL, 'v', 1 "
                 f"FROM generate_series(1, {rows}) AS t(i)")  # fmt: skip


@pytest.mark.parametrize("rows", [100_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_the_number_of_statements_does_not_depend_on_the_number_of_rows(
    engine: str, rows: int, stage_on: Callable[[str], Stage], bar: Bar
) -> None:
    stage = stage_on(engine)
    # the rows are recorded and not sent: what is measured is the run that finds them unchanged
    job = replace(stage.base, chunk=0, batch=500, threads=4, only=("people",), baseline=True)
    found = {}
    for size in (1_000, rows):
        stage.change(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        fill(stage, size)
        first = perform(job)
        assert first.exit_code == ExitCode.OK, first
        assert first.syncs[0].acknowledged == size
        again = perform(job)
        assert (again.exit_code, again.requests, again.syncs[0].counts.unchanged) == (ExitCode.OK, 0, size)
        found[size] = again.statements
    of = f"one stream of people with 1,000 and {rows:,} rows on {engine}, nothing changed"
    bar(19, "statements of a run without changes", found=sorted(set(found.values())), of=of,
        goal="the same for every number of rows; ≤ 8 per stream + 6 per run")  # fmt: skip
    assert set(found.values()) == {UNCHANGED[engine]}
    assert UNCHANGED[engine] <= 8 + 6


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_the_statements_of_both_streams_and_of_each_checkpoint(
    engine: str, stage_on: Callable[[str], Stage], bar: Bar
) -> None:
    stage = stage_on(engine)
    assert perform(stage.base).exit_code == ExitCode.OK
    both = perform(stage.base).statements
    bar(19, "statements of a run without changes", found=both, goal="≤ 8 per stream + 6 per run: 22",
        of=f"people and events on {engine}")  # fmt: skip
    assert both == UNCHANGED_BOTH[engine]
    found = {}
    for chunks in (1, 2, 5, 10):
        fill(stage, 100)
        perform(replace(stage.base, chunk=0))
        stage.change(f"UPDATE people SET plan = 'w{chunks}' WHERE CAST(id AS int) <= 30")
        result = perform(replace(stage.base, only=("people",), chunk=-(-30 // chunks)))
        assert result.exit_code == ExitCode.OK
        found[chunks] = result.statements
    each = (found[10] - found[1]) / 9
    fixed = found[1] - each
    of = f"people on {engine}, 1 to 10 checkpoints"
    bar(19, "statements for each checkpoint", found=f"{each:g}", goal="≤ 8", of=of)
    bar(19, "statements of a run that sends, besides its checkpoints", found=f"{fixed:g}", goal="≤ 36", of=of)
    assert found[5] - found[2] == 3 * each
    assert each == A_CHECKPOINT[engine]
    assert fixed <= CHANGED_FIXED


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_no_transaction_is_open_while_a_socket_is_in_use(
    engine: str, stage_on: Callable[[str], Stage], bar: Bar
) -> None:
    stage = stage_on(engine)
    lock, depth, overlaps, steps = threading.Lock(), [0], [0], [0]
    began, longest, idle = [0.0], [0.0], [0]
    watcher = stage.base.open() if engine == "postgres" else None

    def statement(when: str, word: str) -> None:
        with lock:
            if (when, word) == ("before", "BEGIN"):
                depth[0], began[0] = 1, time.monotonic()
            if when == "after" and word in {"COMMIT", "ROLLBACK"}:
                depth[0] = 0
                longest[0] = max(longest[0], time.monotonic() - began[0])

    def step(when: str, what: str) -> None:
        with lock:
            steps[0] += 1
            overlaps[0] += depth[0]
            if watcher is not None:
                idle[0] += ask(
                    watcher, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND (xact_start IS NOT NULL OR state LIKE 'idle in transaction%')"
                )[0][0]  # fmt: skip

    for job in (stage.base, replace(stage.base, deletes=True)):
        stage.round += 1
        stage.change(f"UPDATE people SET plan = 'v{stage.round}'", stage.orders("p1", "p2"), "DELETE FROM people WHERE id = 'p6'")
        assert perform(job, statement, step).exit_code == ExitCode.OK
    if watcher is not None:
        watcher.close()
    of = f"{steps[0]} steps of sockets in 2 runs on {engine}"
    bar(20, "steps of a socket while a transaction was open", found=overlaps[0], goal="0", of=of)
    if engine == "postgres":
        bar(20, "transactions that the server saw open at a step of a socket", found=idle[0], goal="0", of=of)
    bar(20, "longest transaction, seconds", found=f"{longest[0]:.3f}", goal="≤ 2", of=of)
    assert steps[0] > 50
    assert (overlaps[0], idle[0]) == (0, 0)
    assert 0 < longest[0] <= 2


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_the_longest_transaction_of_a_large_load(engine: str, stage_on: Callable[[str], Stage], bar: Bar) -> None:
    """The fold of a whole stream is one transaction; here all its rows are recorded at once."""
    stage = stage_on(engine)
    fill(stage, 100_000)
    began, longest = [0.0], [0.0]

    def statement(when: str, word: str) -> None:
        if (when, word) == ("before", "BEGIN"):
            began[0] = time.monotonic()
        if (when, word) == ("after", "COMMIT"):
            longest[0] = max(longest[0], time.monotonic() - began[0])

    job = replace(stage.base, chunk=0, batch=500, threads=4, only=("people",), baseline=True)
    assert perform(job, statement, lambda *_: None).syncs[0].acknowledged == 100_000
    bar(20, "longest transaction, seconds", found=f"{longest[0]:.3f}", goal="≤ 2", of=f"100,000 rows in one fold on {engine}")
    assert longest[0] <= 2


class Jumps(RealClock):
    """A runner that was suspended once for a day."""

    def __init__(self, at: int) -> None:
        self.at, self.looks = at, 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic() + (86_400 if self.looks >= self.at else 0)


@pytest.mark.parametrize("at", [2, 6, 9, 14])
def test_a_runner_whose_clock_jumps_loses_nothing(at: int, stage_on: Callable[[str], Stage]) -> None:
    """F44: it thinks that its lease is over and sends nothing more; the next run sends the rest."""
    stage = stage_on("duckdb")
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.change("UPDATE people SET plan = 'B'")
    mark, clock = len(stage.journal.taken), Jumps(at)
    odd = perform(stage.base, clock=clock)
    assert clock.looks > at
    assert odd.exit_code in {ExitCode.OK, ExitCode.LEASE_LOST, ExitCode.DESTINATION}
    stage.heal(stage.base, stage.journal.keys(mark), label=f"the runner's clock jumped, exit {odd.exit_code}")


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_a_warehouse_whose_clock_went_back_still_counts_up(engine: str, stage_on: Callable[[str], Stage]) -> None:
    """F45: fences and plan times grow by the control row; here its times are a year ahead of the clock."""
    stage = stage_on(engine)
    job = replace(stage.base, stamped=True)
    assert perform(job).exit_code == ExitCode.OK
    year = 365 * 86_400
    stage.change(f"UPDATE {SCHEMA}.ctl__ws SET plan_ts = plan_ts + {year}")
    seen = []
    for n in range(3):
        stage.change(f"UPDATE people SET plan = 'v{n}'")
        assert perform(job).exit_code == ExitCode.OK
        with closing(stage.base.open()) as warehouse:
            seen.append((
                ask(warehouse, f"SELECT plan_ts FROM {SCHEMA}.ctl__ws")[0][0],
                ask(warehouse, f"SELECT fence FROM {SCHEMA}.ctl__people01")[0][0],
            ))  # fmt: skip
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(seen))
    assert seen[0][0] > time.time() + year / 2
    sent = [o["timestamp"] for _, o in stage.journal.taken if o["action"] == "identify"]
    assert sent == sorted(sent)
    stage.compare(stage.base, "after the clock went back")
