"""Looking at the state and changing it by hand, on a real DuckDB file and a real PostgreSQL server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from revetl import upkeep
from revetl.errors import ConfigError, LeaseHeld, LeaseLost
from revetl.state import DRAIN_MS, LEASE_MS, Lease, Stream, ensure_schema, read_catalog
from revetl.tables import StreamTables, runs_table, sync_log_table
from revetl.warehouse import Warehouse
from tests.suites.conftest import postgres_uri  # noqa: F401 a fixture
from tests.suites.world import duckdb_world, postgres_world

SCHEMA = "revetl_test"
PEOPLE = ("people", "p01")


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse with the state schema."""
    if request.param == "duckdb":
        context = duckdb_world(tmp_path)
    else:
        context = postgres_world(request.getfixturevalue("postgres_uri"), f"u_{uuid.uuid4().hex[:12]}")
    with context as connect:
        found = connect()
        ensure_schema(found, SCHEMA, {})
        yield found
        found.close()


def stream(warehouse: Warehouse, uid: str = "p01", name: str = "people") -> Stream:
    """A stream with tables."""
    one = Stream(
        warehouse,
        StreamTables(schema=SCHEMA, uid=uid, keeps_values=uid != "o01"),
        read_catalog(warehouse, SCHEMA),
    )
    one.create(name)
    return one


def tables(warehouse: Warehouse) -> set[str]:
    """The tables of the state schema."""
    return set(read_catalog(warehouse, SCHEMA))


def died(warehouse: Warehouse, one: Stream, *, ago_ms: int = 0) -> Lease:
    """A run that took the lease `ago_ms` before its end would come, and was killed."""
    lease = one.acquire("host/17")
    if ago_ms:
        ctl = one.tables.ctl
        warehouse.execute(sa.update(ctl).values(lease_until=ctl.c.lease_until - ago_ms))
    return lease


def test_a_stream_that_never_ran(warehouse: Warehouse) -> None:
    found = upkeep.health(warehouse, SCHEMA, [PEOPLE])[0]
    assert (found.exists, found.rows, found.success_age_s, found.busy) == (False, 0, -1.0, False)
    with pytest.raises(ConfigError, match="has no state"):
        upkeep.reset(warehouse, SCHEMA, *PEOPLE)


def test_what_is_shown(warehouse: Warehouse) -> None:
    one = stream(warehouse)
    one.release(one.acquire("host/17"), success=True)
    row = {"_key": "a", "_variant": "", "_op": "create", "_message": "", "_status": 0, "_fence": 1}
    for i, (outcome, reason) in enumerate(
        [("refused", "too_long"), ("refused", "too_long"), ("held", "no_answer")]
    ):
        warehouse.execute(
            sa.insert(one.tables.open).values(
                **row | {"_key": f"k{i}", "_outcome": outcome, "_reason": reason, "_field": "e"}
            )
        )
    log = sync_log_table(SCHEMA)
    for at, status in ((1_000, "error"), (2_000, "partial")):
        warehouse.execute(
            sa.insert(log).values(run_id="r", uid="p01", name="people", status=status, finished_at=at)
        )
    found = upkeep.health(warehouse, SCHEMA, [PEOPLE])[0]
    assert (found.exists, found.fence, found.last_status, found.damaged) == (True, 1, "partial", "")
    assert 0 <= found.success_age_s < 60
    assert [(g.outcome, g.reason, g.field, g.rows) for g in found.open] == [
        ("refused", "too_long", "e", 2), ("held", "no_answer", "e", 1)
    ]  # fmt: skip


def test_a_missing_table_is_told(warehouse: Warehouse) -> None:
    one = stream(warehouse)
    warehouse.execute(sa.schema.DropTable(one.tables.open))
    assert upkeep.health(warehouse, SCHEMA, [PEOPLE])[0].damaged == "missing: open__p01"


def test_reset_drops_the_streams_tables_only(warehouse: Warehouse) -> None:
    stream(warehouse), stream(warehouse, "o01", "orders"), stream(warehouse, "ws", "the workspace")
    warehouse.execute(sa.text(f'CREATE TABLE {SCHEMA}."plan__p01__3" AS SELECT 1 AS a'))
    warehouse.execute(sa.text(f"UPDATE {SCHEMA}.\"ctl__ws\" SET workspace_id = '42'"))
    upkeep.reset(warehouse, SCHEMA, *PEOPLE)
    left = tables(warehouse)
    assert not [name for name in left if "p01" in name]
    assert {"ctl__o01", "state__o01", "ctl__ws", "runs", "sync_log"} <= left
    assert upkeep.health(warehouse, SCHEMA, [("ws", "ws")])[0].workspace_id == "42"

    upkeep.reset(warehouse, SCHEMA, "orders", "o01")
    workspace = upkeep.health(warehouse, SCHEMA, [("ws", "ws")])[0]
    assert (workspace.exists, workspace.workspace_id) == (True, "")


def test_reset_waits_for_a_run_and_for_its_last_request(warehouse: Warehouse) -> None:
    """A request of a dead run could otherwise arrive after the first request of the new stream."""
    one = stream(warehouse)
    died(warehouse, one)
    with pytest.raises(LeaseHeld, match="is at work"):
        upkeep.reset(warehouse, SCHEMA, *PEOPLE)
    warehouse.execute(
        sa.update(one.tables.ctl).values(lease_until=one.tables.ctl.c.lease_until - LEASE_MS - 1_000)
    )
    with pytest.raises(LeaseHeld, match="may still be applied"):
        upkeep.reset(warehouse, SCHEMA, *PEOPLE)
    assert "ctl__p01" in tables(warehouse)
    warehouse.execute(sa.update(one.tables.ctl).values(lease_until=1))
    upkeep.reset(warehouse, SCHEMA, *PEOPLE)
    assert "ctl__p01" not in tables(warehouse)


def test_reset_cures_a_state_without_its_control_row(warehouse: Warehouse) -> None:
    one = stream(warehouse)
    warehouse.execute(sa.insert(one.tables.state).values(_key="a"))
    warehouse.execute(sa.schema.DropTable(one.tables.ctl))
    assert "does not" in upkeep.health(warehouse, SCHEMA, [PEOPLE])[0].damaged
    upkeep.reset(warehouse, SCHEMA, *PEOPLE)
    assert not [name for name in tables(warehouse) if "p01" in name]


def test_unlock_frees_the_lease_and_keeps_the_wait(warehouse: Warehouse) -> None:
    """Should the run be alive after all, it may send until its lease would have ended: the next run waits for that."""
    one, workspace = stream(warehouse), stream(warehouse, "ws", "the workspace")
    lease = died(warehouse, one)
    died(warehouse, workspace)
    wait = upkeep.unlock(warehouse, SCHEMA, *PEOPLE)
    assert (LEASE_MS + DRAIN_MS) / 1000 - 30 < wait <= (LEASE_MS + DRAIN_MS) / 1000
    for uid in ("p01", "ws"):
        assert upkeep.health(warehouse, SCHEMA, [("x", uid)])[0].owner == ""
    with pytest.raises(LeaseLost):
        one.renew(lease)
    again = stream(warehouse)
    assert again.acquire("host/18").fence == lease.fence + 1
    assert again.drain_left_s() == pytest.approx(wait, abs=30)
    again.release(Lease(owner="host/18", fence=lease.fence + 1), success=True)
    with pytest.raises(ConfigError, match="nothing to unlock"):
        upkeep.unlock(warehouse, SCHEMA, *PEOPLE)


def test_unlock_never_shortens_a_wait(warehouse: Warehouse) -> None:
    one = stream(warehouse)
    died(warehouse, one)
    far = one.tables.ctl.c.lease_until + 10 * DRAIN_MS
    warehouse.execute(sa.update(one.tables.ctl).values(drain_until=far))
    assert upkeep.unlock(warehouse, SCHEMA, *PEOPLE) > 9 * DRAIN_MS / 1000


def test_accept_key_forgets_the_keys_type(warehouse: Warehouse) -> None:
    one = stream(warehouse)
    warehouse.execute(sa.update(one.tables.ctl).values(key_kind="integer"))
    upkeep.accept_key(warehouse, SCHEMA, *PEOPLE)
    assert upkeep.health(warehouse, SCHEMA, [PEOPLE])[0].key_kind == ""
    died(warehouse, one)
    with pytest.raises(LeaseHeld):
        upkeep.accept_key(warehouse, SCHEMA, *PEOPLE)


def test_release_lets_held_events_be_planned_again(warehouse: Warehouse) -> None:
    one = stream(warehouse, "o01", "orders")
    row = {
        "_key": "a",
        "_variant": "",
        "_op": "event",
        "_reason": "",
        "_field": "",
        "_message": "",
        "_first_at": 5,
    }
    for key, outcome in (("a", "held"), ("b", "refused"), ("c", "held")):
        warehouse.execute(sa.insert(one.tables.open).values(**row | {"_key": key, "_outcome": outcome}))
    assert upkeep.resend_held(warehouse, SCHEMA, "orders", "o01") == 2
    o = one.tables.open.c
    found = warehouse.fetch(sa.select(o._key, o._outcome, o._first_at > 5).order_by(o._key))
    assert found == [("a", "unknown", True), ("b", "refused", False), ("c", "unknown", True)]


def test_recent_runs(warehouse: Warehouse) -> None:
    assert upkeep.recent_runs(warehouse, "nowhere", 3) == ()
    for i in range(4):
        warehouse.execute(
            sa.insert(runs_table(SCHEMA)).values(
                run_id=f"r{i}",
                command="run",
                started_at=i * 1_000,
                finished_at=i * 1_000 + 500,
                exit_code=i,
                message=None,
            )
        )
    found = upkeep.recent_runs(warehouse, SCHEMA, 2)
    assert [(r.run_id, r.exit_code, r.seconds, r.message) for r in found] == [
        ("r3", 3, 0.5, ""),
        ("r2", 2, 0.5, ""),
    ]
