"""A run that sleeps longer than its lease, wakes up, and finds another one at its place (F14, F61)."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ExitCode, WarehouseError
from tests.bars import Bar
from tests.crash.jobs import perform
from tests.crash.scenes import STREAMS, Stage, ask, do, profiles
from tests.crash.zygote import Zygote
from tests.suites.world import SCHEMA

KINDS = ("ctl", "state", "open", "ack")
# OK: it slept between its streams, or had only its log to write; LEASE_HELD: it had not yet read that the lease was its
ENDS = {ExitCode.LEASE_LOST, ExitCode.OK, ExitCode.LEASE_HELD}
DEADLINE_S = 0.5  # of a request; its owner sleeps longer


@dataclass(slots=True, kw_only=True)
class Found:
    """What zombies did.

    Attributes:
        codes: how they ended.
        locked: how many slept within a transaction, so that nobody could take their place.
        late: the most requests of one of them after it had lost its place.
        commits: how many changed a control row or the state.
        stale: people who hold another value than the source, after the next clean run.
    """

    slept: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    locked: int = 0
    late: int = 0
    commits: int = 0
    stale: int = 0
    where: list[str] = field(default_factory=list)


def kept(stage: Stage) -> dict[tuple[str, int], Any]:
    """Everything that a run writes of its streams, by stream and fence."""
    with closing(stage.base.open()) as warehouse:
        return {
            (uid, ask(warehouse, f"SELECT fence FROM {SCHEMA}.ctl__{uid}")[0][0]): [
                ask(warehouse, f"SELECT * FROM {SCHEMA}.{kind}__{uid} ORDER BY 1, 2") for kind in KINDS
            ]
            for uid in STREAMS
        }


def sleep_at(
    stage: Stage, zygote: Zygote, n: int, out: Path, found: Found, where: tuple[str, str] | None = None
) -> bool:
    """One run that stands still at its n-th boundary while another one takes its place; False if it got through."""
    stage.round += 1
    job = replace(stage.base, deadline_s=DEADLINE_S)
    stage.change(f"UPDATE people SET plan = 'v{stage.round}'", stage.orders("p1", "p2"))
    [pid] = zygote.start(job, at=n, how="stop", where=where, out=out)
    news = zygote.wait(pid)
    if news.state != "stop":
        assert news.code == ExitCode.OK, out.read_text()
        return False
    found.slept += 1
    stage.change(f"UPDATE people SET plan = 'w{stage.round}' WHERE id <> 'p0'")
    try:
        stage.autopsy(Counter())
        taken = perform(stage.base).exit_code == ExitCode.OK
    except WarehouseError as error:  # its transaction holds the control row
        if "LockNotAvailable" not in error.message:
            raise
        taken = False
    found.locked += not taken
    while time.monotonic() < news.at + DEADLINE_S + 0.05:
        os.sched_yield()
    before, requests = kept(stage), stage.box.store.summary()["requests"]
    os.kill(pid, signal.SIGCONT)
    ended = zygote.wait(pid)
    if taken:
        found.codes[ended.code] += 1
        found.late = max(found.late, stage.box.store.summary()["requests"] - requests)
        after = kept(stage)
        # under a fence of its own it may write: between two streams it has no lease to lose
        found.commits += any(after[key] != before[key] for key in after.keys() & before.keys())
        if ended.code not in ENDS:
            found.where.append(f"{ended.code} at {n}: {out.read_text()}")
    stage.autopsy(Counter())
    clean = perform(stage.base)
    assert clean.exit_code == ExitCode.OK, (n, clean.error, [s.error for s in clean.syncs])
    with closing(stage.base.open()) as warehouse:
        source = dict(ask(warehouse, "SELECT id, plan FROM people"))
    wrong = sum(person["attributes"]["plan"] != source[person["id"]] for person in profiles(stage.box))
    if wrong:
        found.where.append(f"stale at {n}: {out.read_text()}")
        found.stale += wrong
        stage.change("UPDATE people SET plan = plan || 'x'")
        assert perform(stage.base).exit_code == ExitCode.OK
        return True
    stage.compare(stage.base, f"slept at boundary {n}")
    return True


def ready(stage: Stage) -> None:
    """Nobody waits long for a lock, and one run was made."""
    with closing(stage.base.open()) as warehouse:
        do(warehouse, f"ALTER DATABASE {stage.base.fields['dbname']} SET lock_timeout = '300ms'")
    assert perform(stage.base).exit_code == ExitCode.OK


def play(stage: Stage, zygote: Zygote, folder: Path, bar: Bar, *, step: int) -> None:
    # between a look at the time and the system call that sends, the process may stop as well: nothing here can help
    # then but the destination, which keeps the newer of two values by their times
    stage.base = replace(stage.base, stamped=True)
    ready(stage)
    found = Found()
    n = 1 + step // 2
    while sleep_at(stage, zygote, n, folder / "c", found):
        n += step
    of = f"{found.slept} boundaries at which a run slept, on PostgreSQL; at {found.locked} its own lock kept its place"
    bar(6, "people with a stale value after the next clean run", found=found.stale, goal="0",
        of=of + "; identify carries its time")  # fmt: skip
    bar(6, "zombies that changed a control row, a ledger or the state", found=found.commits, goal="0", of=of)
    bar(6, "most requests of a zombie after it lost its place", found=found.late, goal=f"≤ {stage.base.threads} in flight", of=of)
    assert (found.stale, found.commits) == (0, 0), found.where
    assert found.late <= stage.base.threads
    assert set(found.codes) <= ENDS, found.where


def test_a_run_that_slept_longer_than_its_lease_moves_nothing(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """A sample of the boundaries."""
    play(stage_on("postgres"), zygote, tmp_path, bar, step=37)


def test_what_was_not_written_within_its_time_is_not_written_when_the_run_wakes_up(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """Asleep between the decision to send and the bytes: after its deadline nothing of the request goes out.

    One request at a time, no times in identify.
    """
    stage, found = stage_on("postgres"), Found()
    stage.base = replace(stage.base, threads=1)
    ready(stage)
    for n in (2, 3, 4, 6):  # the first is the question for the workspace; then headers and bodies
        assert sleep_at(stage, zygote, n, tmp_path / "c", found, where=("before", "write"))
    bar(6, "people with a stale value, where a run slept just before it wrote to the socket", found=found.stale, goal="0",
        of=f"{found.slept} runs that slept there on PostgreSQL")  # fmt: skip
    assert (found.stale, found.commits) == (0, 0), found.where


@pytest.mark.soak
def test_a_run_that_sleeps_at_any_boundary_longer_than_its_lease_moves_nothing(
    stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """All of them."""
    play(stage_on("postgres"), zygote, tmp_path, bar, step=1)
