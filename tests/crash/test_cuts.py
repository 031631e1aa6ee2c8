"""The warehouse goes away, is locked, is slow, takes rights away, is full (F09, F13, F46 to F49, F53, F55)."""

from __future__ import annotations

import gc
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from revetl.errors import ExitCode
from tests.bars import Bar
from tests.crash.jobs import Job, perform
from tests.crash.proxy import WHEN, Proxy, Rule
from tests.crash.scenes import Stage, ask, do
from tests.crash.zygote import Zygote
from tests.suites.world import SCHEMA


@pytest.fixture
def wired(stage_on: Callable[[str], Stage]) -> Iterator[tuple[Stage, Job, Proxy]]:
    """A stage on PostgreSQL, a job whose connection can be cut, and what cuts it."""
    stage = stage_on("postgres")
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:  # a socket's path must be short
        proxy = Proxy(Path(folder), stage.base.fields["host"])
        job = replace(stage.base, fields={**stage.base.fields, "host": folder})
        yield stage, job, proxy
        proxy.close()


def cut(stage: Stage, job: Job, proxy: Proxy, rule: Rule) -> int | None:
    """A run whose connection is cut, and all the oracles; its exit code, or None if it got through."""
    stage.round += 1
    stage.change(f"UPDATE people SET plan = 'v{stage.round}'", stage.orders("p1", "p2", "p3", "p4"))
    proxy.rule = rule
    mark = len(stage.journal.taken)
    result = perform(job)
    sent = stage.journal.keys(mark)
    if not rule.done:
        assert result.exit_code == ExitCode.OK
        return None
    stage.heal(stage.base, sent, label=f"cut {rule.when} message {rule.n} {rule.word!r}, exit {result.exit_code}")
    return int(result.exit_code)


def sweep(wired: tuple[Stage, Job, Proxy], word: bytes, step: int, bar: Bar, name: str) -> None:
    stage, job, proxy = wired
    assert perform(stage.base).exit_code == ExitCode.OK
    codes: Counter[int] = Counter()
    for when in WHEN:
        n = 1
        while (code := cut(stage, job, proxy, Rule(n=n, when=when, word=word))) is not None:
            codes[code] += 1
            n += step
    of = f"{sum(codes.values())} cuts before, within and after {name} on PostgreSQL"
    bar(1, "rows lost or wrong after the connection was cut and one clean run", found=stage.wrong, goal="0", of=of)
    bar(2, "most rows sent again after a cut", found=stage.most_resent, goal=f"≤ {stage.base.chunk}, one chunk", of=of)
    assert (stage.wrong, stage.doubled, stage.acknowledged_resent) == (0, 0, 0)
    assert stage.most_resent <= stage.base.chunk
    # a run whose work is done and that only could not write its log is a success
    assert set(codes) <= {ExitCode.WAREHOUSE, ExitCode.OK}, codes
    assert codes[ExitCode.WAREHOUSE] > 10 * codes[ExitCode.OK]


def test_a_connection_that_is_cut_at_a_commit(wired: tuple[Stage, Job, Proxy], bar: Bar) -> None:
    """F09, F47: a sample of the commits."""
    sweep(wired, b"COMMIT", 9, bar, "a COMMIT")


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("word", [b"COMMIT", b""])
def test_a_connection_that_is_cut_at_any_message(wired: tuple[Stage, Job, Proxy], word: bytes, bar: Bar) -> None:
    """F09, F46, F47: all of them."""
    sweep(wired, word, 1, bar, word.decode() or "any message")


# SQLAlchemy leaves a cursor that could not be opened, since its connection is gone, to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_connection_that_is_cut_while_the_plan_is_read(wired: tuple[Stage, Job, Proxy]) -> None:
    """F46."""
    stage, job, proxy = wired
    assert perform(stage.base).exit_code == ExitCode.OK
    for n, when in ((1, "after"), (2, "within"), (3, "before")):
        assert cut(stage, job, proxy, Rule(n=n, when=when, word=b"DECLARE")) == ExitCode.WAREHOUSE
    gc.collect()


def test_a_lock_that_another_session_keeps(stage_on: Callable[[str], Stage]) -> None:
    """F48: the run leaves when the warehouse says so; what it sent is not lost."""
    stage = stage_on("postgres")
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.change(f"ALTER DATABASE {stage.base.fields['dbname']} SET lock_timeout = '200ms'", "UPDATE people SET plan = 'B'")
    with closing(stage.base.open()) as other:
        do(other, "BEGIN", f"LOCK TABLE {SCHEMA}.ack__people01 IN ACCESS EXCLUSIVE MODE")
        mark = len(stage.journal.taken)
        locked = perform(stage.base)
        do(other, "ROLLBACK")
    assert locked.exit_code == ExitCode.WAREHOUSE
    assert locked.error is not None or any(sync.error is not None for sync in locked.syncs)
    stage.heal(stage.base, stage.journal.keys(mark), label="locked")


def test_a_model_that_runs_too_long(stage_on: Callable[[str], Stage]) -> None:
    """F49."""
    stage = stage_on("postgres")
    assert perform(stage.base).exit_code == ExitCode.OK
    stage.change(
        f"ALTER DATABASE {stage.base.fields['dbname']} SET statement_timeout = '300ms'",
        "ALTER TABLE people RENAME TO people_table",
        "CREATE VIEW people AS SELECT *, CAST(pg_sleep(1) AS text) AS slept FROM people_table",
    )
    mark = len(stage.journal.taken)

    slow = perform(replace(stage.base, only=("people",)))

    assert slow.exit_code == ExitCode.WAREHOUSE
    assert slow.syncs[0].error is not None
    assert "57014" in slow.syncs[0].error.message
    assert len(stage.journal.taken) == mark
    stage.change("DROP VIEW people", "ALTER TABLE people_table RENAME TO people")
    assert perform(stage.base).exit_code == ExitCode.OK


def test_a_right_that_is_taken_away_within_the_run(stage_on: Callable[[str], Stage]) -> None:
    """F53: before the outcomes of the second chunk can be written."""
    stage = stage_on("postgres")
    role = f"r_{stage.base.fields['dbname']}"
    with closing(stage.base.open()) as owner:
        do(owner, f"CREATE ROLE {role} LOGIN", f"GRANT CREATE ON DATABASE {stage.base.fields['dbname']} TO {role}",
           f"GRANT SELECT ON people, orders TO {role}")  # fmt: skip
        job = replace(stage.base, fields={**stage.base.fields, "user": role})
        assert perform(job).exit_code == ExitCode.OK
        do(owner, "UPDATE people SET plan = 'B'")
        seen = [0]

        def revoke(when: str, word: str) -> None:
            seen[0] += (when, word) == ("before", "Insert")
            if seen[0] == 2:
                do(owner, f"REVOKE INSERT ON {SCHEMA}.ack__people01 FROM {role}")

        mark = len(stage.journal.taken)
        refused = perform(job, revoke, lambda *_: None)
        assert refused.exit_code == ExitCode.WAREHOUSE, refused
        do(owner, f"GRANT INSERT ON {SCHEMA}.ack__people01 TO {role}")
        stage.heal(job, stage.journal.keys(mark), label="revoked")
        do(owner, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


def test_a_disk_that_is_full(stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path) -> None:
    """F13: the warehouse's file cannot grow; with room again one clean run is enough."""
    stage = stage_on("duckdb")
    assert perform(stage.base).exit_code == ExitCode.OK
    size = Path(stage.base.fields["path"]).stat().st_size
    for room in (0, 8_000, 40_000):
        stage.round += 1
        stage.change(f"UPDATE people SET plan = 'v{stage.round}'", stage.orders("p1", "p2"))
        mark = len(stage.journal.taken)
        [pid] = zygote.start(stage.base, out=tmp_path / "c", limit_bytes=max(room, 1) if room < 10_000 else size + room)
        code = zygote.wait(pid).code
        assert code in {ExitCode.WAREHOUSE, ExitCode.OK}, (tmp_path / "c").read_text()
        stage.heal(stage.base, stage.journal.keys(mark), label=f"room for {room} bytes, exit {code}")


@pytest.mark.parametrize("crashes", [6, pytest.param(50, marks=pytest.mark.soak)])
def test_many_crashes_leave_no_tables(
    crashes: int, stage_on: Callable[[str], Stage], zygote: Zygote, tmp_path: Path, bar: Bar
) -> None:
    """F55: no clean run between them."""
    stage, most = stage_on("postgres"), 0
    assert perform(stage.base).exit_code == ExitCode.OK
    tables = f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'"
    for n in range(crashes):
        stage.round += 1
        stage.change(f"UPDATE people SET plan = 'v{n}'")
        [pid] = zygote.start(stage.base, at=20 + n * 100 // crashes, out=tmp_path / "c")
        zygote.wait(pid)
        with closing(stage.base.open()) as warehouse:
            names = {name for (name,) in ask(warehouse, tables)}
            most = max(most, sum(name.startswith("plan__people01") for name in names))
            stage.let_time_pass(warehouse, names)
    bar(2, "plan tables of a stream left over, at most", found=most, goal="≤ 2", of=f"{crashes} crashes without a clean run")
    assert most <= 2
    stage.remember()
    stage.heal(stage.base, Counter(), label=f"after {crashes} crashes")
