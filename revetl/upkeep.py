"""Looking at the state, and the few changes a person makes to it by hand. Uses the tables of `tables.py` only.

Reading (`health`, `recent_runs`) works in a read-only session. The changes refuse while a run holds the stream's
lease, and none of them can make a later run send an event twice or forget that a request may be under way.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from revetl.errors import ConfigError, LeaseHeld
from revetl.latency import latency_table
from revetl.state import DRAIN_MS, RESET, Catalog, Stream, read_catalog, schema_exists
from revetl.tables import StreamTables, quoted, runs_table, sync_log_table
from revetl.warehouse import Warehouse

WORKSPACE = "ws"
TREND = 5  # runs


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGroup:
    """Rows without an acknowledgement, by outcome (refused, held, unknown), reason, rule and field.

    Attributes:
        outline: what one of the values looks like.
    """

    outcome: str
    reason: str
    field: str
    rows: int
    rule: str = ""
    outline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """What one run measured of a stream's events, in seconds."""

    events: int
    p50_s: int
    p95_s: int
    max_s: int
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """One stream as the warehouse knows it; times in seconds, -1 where there is none.

    Attributes:
        exists: whether the stream ever ran.
        rows: people or events that Customer.io has acknowledged.
        damaged: what is wrong with its tables, or an empty string.
        owner: the run that holds the lease, or the last one that did not give it back.
        lease_left_s: until the lease ends by itself; 0 or less when it has ended.
        drain_left_s: until no request of an earlier run can still be applied.
        unfinished: an earlier run began to send and did not finish; the next one settles it.
        success_age_s: since the last run that ended without an error.
        last_status: of the last logged run of this sync.
        last_age_s: since then.
        latency: of the last runs that measured it, the oldest first.
        plan_age_s: of a plan that no run has settled; it holds the values of rows.
        key_age_s: of the workspace: since its credentials were first used.
    """

    name: str
    uid: str
    exists: bool = False
    initialised: bool = False
    rows: int = 0
    damaged: str = ""
    fence: int = 0
    owner: str = ""
    lease_left_s: float = 0.0
    drain_left_s: float = 0.0
    unfinished: bool = False
    success_age_s: float = -1.0
    key_kind: str = ""
    workspace_id: str = ""
    open: tuple[OpenGroup, ...] = ()
    last_status: str = ""
    last_age_s: float = -1.0
    latency: tuple[LatencyRow, ...] = ()
    plan_age_s: float = -1.0
    key_age_s: float = -1.0

    @property
    def busy(self) -> bool:
        """Whether a run holds the lease now."""
        return bool(self.owner) and self.lease_left_s > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One line of the warehouse's run log; `started_at` in Unix seconds, `seconds` its duration."""

    run_id: str
    command: str
    started_at: float
    seconds: float
    exit_code: int
    message: str


def _now(warehouse: Warehouse) -> int:
    return int(warehouse.fetch(sa.select(warehouse.dialect.now_ms()))[0][0])


def health(warehouse: Warehouse, schema: str, streams: Sequence[tuple[str, str]]) -> tuple[StreamHealth, ...]:
    """The state of each stream, given as (name, uid); at most three small statements a stream."""
    catalog = read_catalog(warehouse, schema)
    now = _now(warehouse)
    last = _last_results(warehouse, schema, catalog)
    trends = _latencies(warehouse, schema, catalog)
    return tuple(
        replace(_health(warehouse, schema, catalog, now, name, uid, last.get(uid)), latency=trends.get(uid, ()))
        for name, uid in streams
    )


def _latencies(warehouse: Warehouse, schema: str, catalog: Catalog) -> dict[str, tuple[LatencyRow, ...]]:
    """By uid: the last runs that measured it; no statement where none ever did."""
    table = latency_table(schema)
    if table.name not in catalog:
        return {}
    c = table.c
    place = sa.func.row_number().over(partition_by=c.uid, order_by=c.finished_at.desc()).label("place")
    recent = sa.select(c.uid, c.finished_at, c.events, c.p50_s, c.p95_s, c.max_s, c.late, place).subquery("recent").c
    rows = warehouse.fetch(
        sa.select(recent.uid, recent.events, recent.p50_s, recent.p95_s, recent.max_s, recent.late)
        .where(recent.place <= TREND).order_by(recent.uid, recent.finished_at)
    )  # fmt: skip
    found: dict[str, tuple[LatencyRow, ...]] = {}
    for uid, events, p50_s, p95_s, max_s, late in rows:
        one = LatencyRow(events=int(events), p50_s=int(p50_s), p95_s=int(p95_s), max_s=int(max_s), late=int(late))
        found[uid] = (*found.get(uid, ()), one)
    return found


def _last_results(warehouse: Warehouse, schema: str, catalog: Catalog) -> dict[str, tuple[str, int]]:
    """By uid: status and time of the last logged result."""
    if "sync_log" not in catalog:
        return {}
    log = sync_log_table(schema).c
    latest = sa.select(log.uid, sa.func.max(log.finished_at).label("at")).group_by(log.uid).subquery("latest")
    rows = warehouse.fetch(
        sa.select(log.uid, log.status, log.finished_at).join_from(
            log.uid.table, latest, sa.and_(latest.c.uid == log.uid, latest.c.at == log.finished_at)
        )
    )
    return {uid: (status, int(at)) for uid, status, at in rows}


def _health(  # noqa: PLR0913 one question
    warehouse: Warehouse,
    schema: str,
    catalog: Catalog,
    now: int,
    name: str,
    uid: str,
    last: tuple[str, int] | None,
) -> StreamHealth:
    tables = StreamTables(schema=schema, uid=uid)
    if tables.ctl.name not in catalog:
        return StreamHealth(name=name, uid=uid, damaged=Stream(warehouse, tables, catalog).absent())
    have = [column for column in tables.ctl.columns if column.name in catalog[tables.ctl.name]]
    found = warehouse.fetch(sa.select(*have))
    if len(found) != 1:
        return StreamHealth(
            name=name, uid=uid, exists=True, damaged=f"{tables.ctl.name} holds {len(found)} rows"
        )
    control: dict[str, Any] = dict.fromkeys(column.name for column in tables.ctl.columns)
    control |= dict(zip((column.name for column in have), found[0], strict=True))
    gone = [
        t.name for t in (tables.state, tables.open, tables.ack) if t.name not in catalog and uid != WORKSPACE
    ]
    rows = 0
    if tables.state.name in catalog:
        rows = int(warehouse.fetch(sa.select(sa.func.count()).select_from(tables.state))[0][0])
    damaged = f"missing: {', '.join(gone)}" if gone else ""
    if not damaged and uid != WORKSPACE and rows != (control["state_rows"] or 0):
        damaged = f"{rows:,} rows where the last run left {control['state_rows'] or 0:,}"
    success, keyed = control["last_success_at"] or 0, control["key_since"] or 0
    planned = control["intent_at"] or 0 if any(table.startswith(f"plan__{uid}__") for table in catalog) else 0
    return StreamHealth(
        name=name, uid=uid, exists=True, initialised=bool(control["initialised"]), rows=rows, damaged=damaged,
        fence=int(control["fence"] or 0), owner=control["owner"] or "",
        lease_left_s=((control["lease_until"] or 0) - now) / 1000 if control["owner"] else 0.0,
        drain_left_s=max(0.0, ((control["drain_until"] or 0) - now) / 1000),
        unfinished=(control["plan_fence"] or 0) > (control["folded_fence"] or 0),
        success_age_s=(now - success) / 1000 if success else -1.0,
        key_kind=control["key_kind"] or "", workspace_id=control["workspace_id"] or "",
        open=_open_groups(warehouse, tables, catalog[tables.open.name]) if tables.open.name in catalog else (),
        last_status=last[0] if last else "", last_age_s=(now - last[1]) / 1000 if last else -1.0,
        plan_age_s=(now - planned) / 1000 if planned else -1.0, key_age_s=(now - keyed) / 1000 if keyed else -1.0,
    )  # fmt: skip


def _open_groups(warehouse: Warehouse, tables: StreamTables, have: Collection[str]) -> tuple[OpenGroup, ...]:
    o = tables.open.c
    count = sa.func.count()
    kept = "_rule" in have  # else no run of this version was here yet
    by = [o._outcome, o._reason, o._field, *([o._rule] if kept else [])]
    outline = sa.func.min(o._outline) if kept else sa.literal("")
    rows = warehouse.fetch(sa.select(count, outline, *by).group_by(*by).order_by(count.desc(), *by))
    return tuple(
        OpenGroup(outcome=outcome or "", reason=reason or "", field=field or "", rows=int(n), outline=seen or "",
                  rule=(rule[0] or "") if rule else "")
        for n, seen, outcome, reason, field, *rule in rows
    )  # fmt: skip


def recent_runs(warehouse: Warehouse, schema: str, limit: int) -> tuple[RunRow, ...]:
    """The last runs, newest first; empty where nothing ever ran."""
    if "runs" not in read_catalog(warehouse, schema):
        return ()
    r = runs_table(schema).c
    rows = warehouse.fetch(
        sa.select(r.run_id, r.command, r.started_at, r.finished_at, r.exit_code, r.message)
        .order_by(r.started_at.desc())
        .limit(limit)
    )
    return tuple(
        RunRow(run_id=run_id, command=command, started_at=started / 1000, seconds=max(0, finished - started) / 1000,
               exit_code=int(code), message=message or "")
        for run_id, command, started, finished, code, message in rows
    )  # fmt: skip


# --- changes by hand -------------------------------------------------------------------------------------------


def _idle(warehouse: Warehouse, schema: str, name: str, uid: str, *, drained: bool = False) -> StreamHealth:
    """The stream's health, if no run is at work on it.

    Raises:
        ConfigError: it has no state.
        LeaseHeld: a run holds it, or (with `drained`) a request of a dead run may still be applied.
    """
    found = health(warehouse, schema, [(name, uid)])[0]
    if not found.exists and not found.damaged:
        raise ConfigError(f"sync {name!r} has no state in {schema}", hint="it has never run on this target")
    if found.busy:
        raise LeaseHeld(
            f"a run ({found.owner}) is at work on {name!r}",
            hint=f"wait for it; if it is dead, its lease ends by itself in {found.lease_left_s:.0f} s, "
            f"or now with: revetl state unlock --select {name}",
        )
    left = found.drain_left_s
    if found.owner:  # a run that died: its last request may be applied until the drain wait is over
        left = max(left, found.lease_left_s + DRAIN_MS / 1000)
    if drained and left > 0:
        raise LeaseHeld(
            f"a request of an earlier run of {name!r} may still be applied in the next {left:.0f} s",
            hint="wait so long, then type the same command again",
        )
    return found


def reset(warehouse: Warehouse, schema: str, name: str, uid: str) -> None:
    """Drop a stream's tables; the next run is its first again. Customer.io keeps what it has.

    One transaction where the engine has transactional DDL; otherwise it may be typed again after a failure. When
    the last stream goes, the schema is no longer bound to a workspace.

    Raises:
        ConfigError, LeaseHeld: nothing was changed.
    """
    _idle(warehouse, schema, name, uid, drained=True)
    tables = StreamTables(schema=schema, uid=uid)
    catalog = read_catalog(warehouse, schema)
    plans = [t for t in catalog if t.startswith(f"plan__{uid}__")]
    # DDL inside a transaction is none on Snowflake, and an error on BigQuery
    with warehouse.transaction() if warehouse.dialect.transactional_ddl else nullcontext():
        for plan in plans:
            fence = plan.removeprefix(f"plan__{uid}__")
            warehouse.execute(sa.schema.DropTable(tables.plan(int(fence)), if_exists=True))
        # the control row goes last: without it a left-over state would look like damage, and reset cures that too
        for table in (tables.ack, tables.open, tables.state, tables.ctl):
            warehouse.execute(sa.schema.DropTable(table, if_exists=True))
        if "sync_log" in catalog:  # so that the missing tables are not taken for damage
            warehouse.execute(
                sa.insert(sync_log_table(schema)).values(
                    run_id=RESET, uid=uid, name=name, fence=0, status=RESET, finished_at=int(time.time() * 1000)
                )
            )
        workspace = StreamTables(schema=schema, uid=WORKSPACE).ctl
        others = [t for t in catalog if t.startswith("ctl__") and t not in {tables.ctl.name, workspace.name}]
        if not others and workspace.name in catalog:
            warehouse.execute(sa.update(workspace).values(workspace_id=sa.null()))


def unlock(warehouse: Warehouse, schema: str, name: str, uid: str) -> float:
    """Clear the lease of a run that died; the seconds that the next run will wait before it sends.

    A run that is alive after all stops at its next checkpoint. It could send until its lease would have ended, so
    the drain wait is counted from there, as after an automatic take-over.

    Raises:
        ConfigError: no run holds the stream.
    """
    found = health(warehouse, schema, [(name, uid)])[0]
    if not found.owner:
        raise ConfigError(f"no run holds sync {name!r}: there is nothing to unlock", hint="revetl state show")
    now = warehouse.dialect.now_ms()
    catalog = read_catalog(warehouse, schema)
    for one in (one for one in dict.fromkeys((uid, WORKSPACE)) if f"ctl__{one}" in catalog):
        ctl = StreamTables(schema=schema, uid=one).ctl
        until = ctl.c.lease_until + DRAIN_MS
        warehouse.execute(
            sa.update(ctl)
            .where(ctl.c.owner == found.owner)
            .values(
                owner=sa.null(),
                lease_until=0,
                drain_until=sa.case((until > ctl.c.drain_until, until), else_=ctl.c.drain_until),
            )
        )
    drain = StreamTables(schema=schema, uid=uid).ctl.c.drain_until
    return max(0.0, float(warehouse.fetch(sa.select(drain - now))[0][0]) / 1000)


def accept_key(warehouse: Warehouse, schema: str, name: str, uid: str) -> None:
    """Accept that the key column has another type now: the next run records it.

    Raises:
        ConfigError, LeaseHeld: nothing was changed.
    """
    _idle(warehouse, schema, name, uid)
    ctl = StreamTables(schema=schema, uid=uid).ctl
    warehouse.execute(sa.update(ctl).where(ctl.c.owner.is_(None)).values(key_kind=sa.null()))


def resend_held(warehouse: Warehouse, schema: str, name: str, uid: str) -> int:
    """Let held events go out with the next run, under the same event ids; how many there are.

    Customer.io keeps events of one id apart only as long as it remembers the id, so this needs a person's word.

    Raises:
        ConfigError, LeaseHeld, StateDamaged: nothing was changed.
    """
    stream = _whole(warehouse, schema, name, uid)
    o, ctl = stream.tables.open, stream.tables.ctl
    with warehouse.transaction():
        rows = warehouse.execute(
            sa.update(o)
            .where(o.c._outcome == "held")
            .values(_outcome="unknown", _first_at=sa.cast(warehouse.dialect.now_ms(), sa.BigInteger))
        )
        warehouse.execute(sa.update(ctl).values(open_seal=stream.open_seal()))
    return rows


def mark_sent(warehouse: Warehouse, schema: str, name: str, uid: str) -> int:
    """Take held events for sent: they go into the ledger, and no run sends them again; how many there are.

    Raises:
        ConfigError, LeaseHeld, StateDamaged: nothing was changed.
    """
    stream = _whole(warehouse, schema, name, uid)
    if stream.tables.keeps_values:
        raise ConfigError(f"sync {name!r} sends values, and only what is sent once is ever held", hint="revetl status")
    o, state, ctl = stream.tables.open, stream.tables.state, stream.tables.ctl
    now = sa.cast(warehouse.dialect.now_ms(), sa.BigInteger)
    number = sa.cast(sa.literal(0), sa.BigInteger)  # of no contract: the row is never compared with the model's
    rows = sa.select(o.c._key, o.c._variant, sa.func.coalesce(o.c._values, ""), number, o.c._fence, now).where(
        o.c._outcome == "held"
    )
    with warehouse.transaction():
        warehouse.execute(
            sa.insert(state).from_select(["_key", "_variant", "_digest", "_contract", "_fence", "_acked_at"], rows)
        )
        moved = warehouse.execute(sa.delete(o).where(o.c._outcome == "held"))
        seal = stream.state_seal()
        warehouse.execute(
            sa.update(ctl).values(state_rows=seal.rows, state_seal=seal.text(), open_seal=stream.open_seal())
        )
    return moved


def _whole(warehouse: Warehouse, schema: str, name: str, uid: str) -> Stream:
    """The stream, if no run is at work on it and its rows are as the last one left them."""
    _idle(warehouse, schema, name, uid)
    catalog = read_catalog(warehouse, schema)
    snapshot = "_variant" not in catalog.get(f"state__{uid}", {})  # the column of a ledger
    stream = Stream(warehouse, StreamTables(schema=schema, uid=uid, keeps_values=snapshot), catalog)
    stream.create(name)
    stream.read()
    stream.verify()
    return stream


# --- models that are views or tables, and checks before a run -----------------------------------------------------


def build(warehouse: Warehouse, relation: str, materialized: str, sql: str) -> None:
    """Make a model's view or table; it replaces the old one whole, or not at all.

    Args:
        warehouse: opened for writing.
        relation: its name, quoted as the engine needs it.
        materialized: `view` or `table`.
        sql: a SELECT, as the model was written.
    """
    text = sql.replace(":", r"\:")  # a colon would be read as a bind parameter
    if not warehouse.dialect.transactional_ddl:  # then one statement must do it
        snowflake = warehouse.dialect.name == "snowflake"
        kind = "VIEW" if materialized != "table" else "TRANSIENT TABLE" if snowflake else "TABLE"
        grants = " COPY GRANTS" if snowflake else ""
        warehouse.execute(sa.text(f"CREATE OR REPLACE {kind} {relation}{grants} AS\n{text}"))
        return
    with warehouse.transaction():
        if materialized == "table":
            warehouse.execute(sa.text(f"DROP TABLE IF EXISTS {relation}"))
            warehouse.execute(sa.text(f"CREATE TABLE {relation} AS\n{text}"))
        else:
            warehouse.execute(sa.text(f"CREATE OR REPLACE VIEW {relation} AS\n{text}"))


def ping(warehouse: Warehouse) -> None:
    """Ask for nothing, to see that the warehouse answers."""
    warehouse.fetch(sa.select(sa.literal(1)))


def try_writing(warehouse: Warehouse, schema: str) -> None:
    """Make the state schema and a table in it, and leave neither.

    Raises:
        WarehouseError: the right is missing.
    """
    if not warehouse.dialect.transactional_ddl:
        made, table = _written(warehouse, schema)
        warehouse.execute(sa.schema.DropTable(table))
        if made:
            warehouse.execute(sa.schema.DropSchema(quoted(schema)))
        return
    warehouse.execute(sa.text("BEGIN"))
    try:
        _written(warehouse, schema)
    finally:
        warehouse.execute(sa.text("ROLLBACK"))


def _written(warehouse: Warehouse, schema: str) -> tuple[bool, sa.Table]:
    """Make a table in the state schema, and the schema where it is missing; whether it was."""
    name = quoted(schema)
    table = sa.Table("revetl_debug", sa.MetaData(), sa.Column("a", sa.BigInteger), schema=name)
    # only where it is missing: PostgreSQL asks for the right to make schemas even if there is nothing to make
    missing = not schema_exists(warehouse, schema)
    if missing:
        warehouse.execute(sa.schema.CreateSchema(name, if_not_exists=True))
    warehouse.execute(sa.schema.CreateTable(table))
    return missing, table
