"""Making a damaged state usable again, without losing anything and without sending an event twice unasked.

What the rows say can no longer be believed, so it is not. People are sent again with all their attributes: that
repeats what Customer.io has, and changes nothing where it was right. An event that is not in the ledger may have
been sent or not, and nobody can know: it is held until a person says which (`revetl resolve`). `examine` says
what is wrong and what would be done; `repair` does it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from revetl.contracts import Sync, SyncType
from revetl.dialects import Dialect
from revetl.diffsql import Shape, model_keys
from revetl.errors import StateDamaged
from revetl.state import DRAIN_MS, LEASE_MS, Stream, read_catalog
from revetl.tables import SCHEMA_VERSION, StreamTables, sync_log_table
from revetl.warehouse import Warehouse

REPAIRED = "state_repaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is wrong with a stream, and what a repair would do.

    Attributes:
        problem: an empty string where nothing is wrong.
        steps: sentences, in their order.
    """

    name: str
    problem: str = ""
    steps: tuple[str, ...] = ()


def _stream(warehouse: Warehouse, tables: StreamTables) -> Stream:
    return Stream(warehouse, tables, read_catalog(warehouse, tables.schema))


def examine(warehouse: Warehouse, tables: StreamTables, sync: Sync) -> Findings:
    """Look for damage; reads only.

    Raises:
        StateDamaged: it was written by a newer revetl, which is nothing to repair.
    """
    stream = _stream(warehouse, tables)
    try:
        stream.read()
        if stream.exists:
            stream.left_over()
            stream.verify()
    except StateDamaged as found:
        if stream.control.schema_version > SCHEMA_VERSION:
            raise
        return Findings(name=sync.name, problem=found.message, steps=_steps(stream, tables, sync))
    return Findings(name=sync.name)


def _steps(stream: Stream, tables: StreamTables, sync: Sync) -> tuple[str, ...]:
    name = sync.name
    have = [t.name for t in (tables.ctl, tables.state, tables.open, tables.ack) if t.name in stream.catalog]
    steps = [
        "make the missing tables, empty"
        if len(have) < 4  # noqa: PLR2004 a stream's tables
        else "keep its four tables",
        "drop plans and acknowledgements of unfinished runs, and rows whose key is there twice",
        "take a new fence, so that a run that is still alive stops",
    ]
    if tables.keeps_values:
        steps.append("believe no value: the next run sends every person of the model again, with all attributes "
                     f"(revetl diff --select {name} counts them)")  # fmt: skip
    elif sync.type is SyncType.MERGE:
        steps.append("believe the tombstones of merged people: no pair is held, and those that are not merged are sent")
    else:
        steps.append("hold every event of the model that is not in the ledger: it may have been sent, or not; decide with "
                     f"revetl resolve --select {name} --mark-sent (or --resend)")  # fmt: skip
    return tuple(steps)


def repair(warehouse: Warehouse, shape: Shape, sql: str, tables: StreamTables) -> int:
    """Do what `examine` said; how many events are held now (0 for people). May be typed again after a failure."""
    stream = _stream(warehouse, tables)
    fence = _highest_fence(warehouse, stream, tables)
    for name in stream.catalog:
        if name.startswith(f"plan__{tables.uid}__"):
            stream.drop_plan(int(name.rsplit("__", 1)[1]))
    rows, kept = 0, None
    if tables.ctl.name in stream.catalog:
        count, contracts_of = sa.func.count(), sa.func.max(tables.ctl.c.contracts)
        rows, kept = warehouse.fetch(sa.select(count, contracts_of).select_from(tables.ctl))[0]
    contracts = json.loads(kept or "{}")
    if rows != 1:
        warehouse.execute(sa.schema.DropTable(tables.ctl, if_exists=True))
        stream = _stream(warehouse, tables)
    stream.make(shape.sync.name)
    catalog = stream.catalog
    fields = shape.digests()
    # of no contract that anybody ever had: whatever stands under this number is sent again
    contracts["0"] = dict.fromkeys(fields, "repaired")
    state, opened, ack, ctl = tables.state, tables.open, tables.ack, tables.ctl
    now = sa.cast(warehouse.dialect.now_ms(), sa.BigInteger)
    held = 0
    with warehouse.transaction():
        names = ["_key"] if tables.keeps_values else ["_key", "_variant"]
        twice = sa.select(*(state.c[n] for n in names)).group_by(*(state.c[n] for n in names)).having(sa.func.count() > 1)
        warehouse.execute(sa.delete(state).where(sa.tuple_(*(state.c[n] for n in names)).in_(twice)))
        warehouse.execute(sa.delete(ack))
        if tables.keeps_values:
            warehouse.execute(sa.update(state).values(_contract=0))
        elif shape.sync.type is not SyncType.MERGE:  # merging twice does nothing
            warehouse.execute(_hold(warehouse.dialect, shape, sql, tables, now))
            held = int(warehouse.fetch(sa.select(sa.func.count()).where(opened.c._outcome == "held"))[0][0])
        warehouse.execute(
            sa.update(ctl).values(
                fence=fence + 1, owner=sa.null(), lease_until=0, initialised=1, plan_fence=fence, folded_fence=fence, hwm=0,
                plan_rows=0, ack_rows=0, contracts=json.dumps(contracts, separators=(",", ":")),
                # copies of events that were sent before this are not known to be sent, so none of them is sent
                copies=sa.null(),
                drain_until=now + LEASE_MS + DRAIN_MS, schema_version=SCHEMA_VERSION,
            )
        )  # fmt: skip
        fresh = Stream(warehouse, tables, catalog)
        seal = fresh.state_seal()
        warehouse.execute(
            sa.update(ctl).values(
                state_rows=seal.rows, state_seal=seal.text(), open_seal=fresh.open_seal(), verified_at=now
            )
        )
    return held


def _highest_fence(warehouse: Warehouse, stream: Stream, tables: StreamTables) -> int:
    """Above every fence that any trace of a run shows."""
    found = [0]
    found += [int(n.rsplit("__", 1)[1]) for n in stream.catalog if n.startswith(f"plan__{tables.uid}__")]
    log = sync_log_table(tables.schema).c
    queries: Sequence[sa.Select[tuple[int]]] = (
        *([sa.select(sa.func.max(log.fence)).where(log.uid == tables.uid)] if "sync_log" in stream.catalog else []),
        *([sa.select(sa.func.max(tables.ctl.c.fence))] if tables.ctl.name in stream.catalog else []),
        *([sa.select(sa.func.max(tables.state.c._fence))] if tables.state.name in stream.catalog else []),
    )
    found += [int(warehouse.fetch(query)[0][0] or 0) for query in queries]
    return max(found)


def _hold(dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, now: sa.ColumnElement[int]) -> sa.Executable:
    """Every event of the model that neither the ledger nor the open rows know, as held."""
    m = model_keys(dialect, shape, sql).subquery("m")
    s, o = tables.state, tables.open
    zero = sa.cast(sa.literal(0), sa.BigInteger)
    values = {
        "_key": m.c._key, "_variant": sa.literal(""), "_op": sa.literal("event"), "_outcome": sa.literal("held"),
        "_reason": sa.literal(REPAIRED), "_field": sa.literal(""), "_message": sa.literal(""), "_status": zero,
        "_rule": sa.literal(""), "_outline": sa.literal(""),
        "_contract": sa.literal(""), "_values": sa.literal(""), "_fence": zero, "_first_at": now, "_last_try": now,
    }  # fmt: skip
    names = [column.name for column in o.columns]
    rows = (
        sa.select(*(values[name] for name in names))
        .where(m.c._key.is_not(None), m.c._key.not_in(sa.select(s.c._key).where(s.c._variant == "")),
               m.c._key.not_in(sa.select(o.c._key).where(o.c._variant == "")))
        .distinct()
    )
    return sa.insert(o).from_select(names, rows)
