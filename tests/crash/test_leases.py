"""Who may write: many starters, a holder that dies, and a holder that sleeps longer than its lease."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from revetl.delivery import RealClock
from revetl.errors import ExitCode
from revetl.state import DRAIN_MS, LEASE_MS
from tests.bars import Bar
from tests.crash.jobs import perform
from tests.crash.scenes import Stage, ask, do
from tests.crash.zygote import News, Zygote
from tests.suites.world import SCHEMA

SEED = 7
FREEZE = ("before", "CreateTableAs")  # where a run has its lease and has read nothing of the model yet
SQL_NOW = "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)"


def starts(stage: Stage, zygote: Zygote, folder: Path, starters: int) -> tuple[list[News], News, float]:
    """Processes that start at once: those that left, the one that had the lease, and what the slowest loser took."""
    stage.change(f"UPDATE people SET plan = 'v{stage.round}'")
    pids = zygote.start(replace(stage.base, only=("people",)), out=folder / "c", count=starters, hold=FREEZE)
    began = zygote.go()
    left: list[News] = []
    while len(left) < starters - 1:
        news = zygote.next(30.0)
        assert news is not None, f"{starters - len(left)} processes neither have the lease nor leave"
        left.append(news)
    zygote.let_go()
    last = zygote.next(30.0)
    assert last is not None
    assert {news.pid for news in (*left, last)} == set(pids)
    return left, last, max(news.at for news in left) - began


def rounds(stage: Stage, zygote: Zygote, folder: Path, bar: Bar, *, starters: int, count: int) -> None:
    assert perform(stage.base).exit_code == ExitCode.OK
    owners, slowest = [], 0.0
    for _ in range(count):
        stage.round += 1
        losers, owner, took = starts(stage, zygote, folder, starters)
        assert Counter(news.code for news in losers) == {ExitCode.LEASE_HELD: starters - 1}
        assert owner.code == ExitCode.OK
        owners.append(starters - sum(news.code == ExitCode.LEASE_HELD for news in (*losers, owner)))
        slowest = max(slowest, took)
        stage.compare(stage.base, f"round {stage.round}")
    of = f"{starters} processes × {count} rounds on PostgreSQL, all in the same moment"
    bar(7, "rounds with another number of owners than one", found=sum(n != 1 for n in owners), goal="0", of=of)
    bar(7, "seconds until the slowest loser had left", found=f"{slowest:.1f}", goal="≤ 10", of=of)
    assert set(owners) == {1}
    assert slowest <= 10


def test_of_many_runs_that_start_at_once_one_owns_the_stream(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """Fewer processes than in the soak: other tests share the cores, and the time of the slowest is measured."""
    rounds(stage_on("postgres"), zygote, tmp_path, bar, starters=24, count=2)


@pytest.mark.soak
def test_of_many_runs_that_start_at_once_one_owns_the_stream_every_time(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    rounds(stage_on("postgres"), zygote, tmp_path, bar, starters=64, count=200)


def test_the_first_runs_of_all_may_start_at_once(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """F62, before any table is there: schema, tables and control rows are made by whoever comes first."""
    stage = stage_on("postgres")
    zygote.start(stage.base, out=tmp_path / "c", count=16)
    zygote.go()
    codes = Counter(ExitCode(news.code).name for news in (zygote.next() for _ in range(16)) if news)
    said = {line for file in tmp_path.glob("c*") for line in file.read_text().splitlines() if "refused" in line}
    assert set(codes) <= {"OK", "LEASE_HELD"}, (codes, said)
    assert codes["OK"] >= 1
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.compare(stage.base, "after the first runs")


def test_thirty_syncs_in_one_schema_do_not_disturb_each_other(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """F56: event streams of their own in one state schema, all at once (people are written by one run at a time)."""
    stage = stage_on("postgres")
    assert perform(stage.base).exit_code == ExitCode.OK
    zygote.start(replace(stage.base, own_uid=True, only=("orders",)), out=tmp_path / "c", count=30)
    zygote.go()
    codes = Counter(ExitCode(news.code).name for news in (zygote.next() for _ in range(30)) if news)
    said = {line for file in tmp_path.glob("c*") for line in file.read_text().splitlines() if '"errors": []' not in line}
    assert codes == {"OK": 30}, (codes, said)
    assert set(stage.journal.effects.values()) == {31}, "each stream's event once"


def test_two_processes_on_one_duckdb_file(stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path) -> None:
    """One process owns the file; the other one says so, and what to do."""
    stage = stage_on("duckdb")
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.change("UPDATE people SET plan = 'B'")
    [pid] = zygote.start(stage.base, at=1, how="stop", where=("before", "write"), out=tmp_path / "c")
    assert zygote.wait(pid).state == "stop"

    second = perform(stage.base)

    assert second.exit_code == ExitCode.WAREHOUSE
    assert second.error is not None
    assert "another process has this DuckDB file open" in second.error.hint
    os.kill(pid, signal.SIGCONT)
    assert zygote.wait(pid).code == ExitCode.OK
    stage.compare(stage.base, "the first one ended")


def test_a_holder_that_dies_is_followed_by_the_next_run_without_a_person(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """F60: times are read by the warehouse's clock, then moved back by just so much."""
    stage = stage_on("postgres")
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.change("UPDATE people SET plan = 'B'")
    [pid] = zygote.start(stage.base, at=3, where=("after", "read"), out=tmp_path / "c")
    assert zygote.wait(pid).code == signal.SIGKILL
    assert perform(stage.base).exit_code == ExitCode.LEASE_HELD
    lease_s = left(stage, "lease_until")
    assert 0 < lease_s <= LEASE_MS / 1000

    forward(stage, lease_s - 1)
    assert perform(stage.base).exit_code == ExitCode.LEASE_HELD
    forward(stage, 1.1)
    clock = Waits(lambda seconds: forward(stage, seconds))
    assert perform(stage.base, clock=clock).exit_code == ExitCode.OK

    stage.compare(stage.base, "after the takeover")
    assert clock.waited > 0, "it waited for the requests of the dead one"
    total = lease_s + clock.waited + 0.1
    bar(8, "seconds from SIGKILL to the takeover", found=f"{total:.0f}", goal="≤ 240", of="PostgreSQL, warehouse's clock")
    assert total <= (LEASE_MS + DRAIN_MS) / 1000 + 0.5


def test_a_task_that_is_started_again_while_the_first_still_sends(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path
) -> None:
    """F59: the second one leaves; when the first one's lease has passed, it takes over."""
    stage = stage_on("postgres")
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.change("UPDATE people SET plan = 'B'")
    [pid] = zygote.start(stage.base, at=1, how="stop", where=("before", "read"), out=tmp_path / "c")
    assert zygote.wait(pid).state == "stop"

    second = perform(stage.base)
    assert second.exit_code == ExitCode.LEASE_HELD
    assert second.syncs[0].error is not None
    assert "revetl state unlock" in second.syncs[0].error.hint
    stage.autopsy(Counter())
    assert perform(stage.base).exit_code == ExitCode.OK

    os.kill(pid, signal.SIGCONT)
    assert zygote.wait(pid).code == ExitCode.LEASE_LOST
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.compare(stage.base, "after both")


def left(stage: Stage, column: str) -> float:
    """Seconds until the latest of these times of all control rows, by the warehouse's clock."""
    with closing(stage.base.open()) as warehouse:
        return max(
            float(ask(warehouse, f"SELECT {column} - {SQL_NOW} FROM {SCHEMA}.ctl__{uid}")[0][0]) / 1000
            for uid in ("people01", "orders01", "ws")
        )


def forward(stage: Stage, seconds: float) -> None:
    """Let that much time pass for the leases and the drain wait."""
    with closing(stage.base.open()) as warehouse:
        for uid in ("people01", "orders01", "ws"):
            do(warehouse, f"UPDATE {SCHEMA}.ctl__{uid} SET lease_until = lease_until - {int(seconds * 1000)}, "
                          f"drain_until = drain_until - {int(seconds * 1000)}")  # fmt: skip
        do(warehouse, f"UPDATE {SCHEMA}.rates SET until = until - {int(seconds * 1000)}")


class Waits(RealClock):
    """A clock whose long waits pass at once, in the warehouse too."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        self.passes, self.waited = passes, 0.0

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        self.passes(seconds)


def test_a_baseline_with_wrong_credentials_gives_its_lease_back(stage_on: Callable[[str], Stage]) -> None:
    """The first run asks for the workspace before it records anything; the next one must not find a lease."""
    stage = stage_on("duckdb")
    job = replace(stage.base, only=("people",), baseline=True)

    refused = perform(replace(job, box={**job.box, "api_key": "of-somebody-else"}))

    assert refused.exit_code == ExitCode.CREDENTIALS
    assert perform(job).exit_code == ExitCode.OK
