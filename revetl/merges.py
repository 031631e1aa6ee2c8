"""Merging people: which pairs are sent, and the tombstones that keep a merged person from ever coming back.

A row of the model is a pair: the *secondary* goes into the *primary*. Its key is the secondary, as nobody can be merged
twice. What Customer.io does with it cannot be undone, so nothing is left to chance:

    plan     both are in the people's state, neither has a request without an answer, neither is forgotten; a pair whose
             secondary is the primary of another pair waits for that one; contradictions stop the sync
    bury     a tombstone for each secondary, before the first byte: from here on no plan of any sync sends it
    send     while no other run sends anything of these people
    settle   acknowledged: the tombstone stays for ever. Refused or not sent: it goes. No answer: it stays, and the merge is
             sent again (merging twice does nothing: the secondary is gone)
    withdraw the next run of the people's sync forgets the secondary's row, and sends the primary once more where a null of
             the model clears (Customer.io has filled what was empty)

Tombstones hold keys, not digests: whose profile it is now must be known, so that events of a merged person go to the one
they live on in. They survive every reset; `revetl forget` of any of these keys forgets all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from revetl.contracts import OnNull, Sync, SyncType
from revetl.dialects import Dialect, subquery_text
from revetl.diffsql import (
    REFUSED_RETRY_MS,
    REGAINED,
    Known,
    Options,
    Owner,
    Shape,
    blank,
    key_of,
    merged_into,
    not_wanted,
    numbered,
    open_rows,
    person_of,
    row_digest,
)
from revetl.errors import ContractBroken
from revetl.plan import CONTRADICTIONS, Counts
from revetl.state import Catalog, Lease, Stream, create_table
from revetl.tables import MERGED, StreamTables, merged_table
from revetl.warehouse import Warehouse

LONGEST_CHAIN = 50
SAID = {
    "itself": "merge a person with itself",
    "rival": "give a secondary that another row gives too",
    "circle": "lead back to where they began",
}


# --- the plan ----------------------------------------------------------------------------------------------------


def merge_changes(  # noqa: PLR0913 each is one part of the question
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, known: Known, options: Options, owner: Owner
) -> sa.Select[Any]:
    """The changes of a merge sync.

    `_op` is event for pairs to send; summary rows are same, drift, gone, waiting, skipped, refused, forgotten, bad_key, and
    those of `CONTRADICTIONS`. A primary that was merged itself stands for the one it lives on in.
    """
    pairs = _pairs(dialect, shape, sql, tables, known, options, owner)
    payload = ["_person", "_occurred_at", "_variant", "_digest"]
    rows = sa.select(_op(pairs), pairs.c._key, *(pairs.c[name] for name in payload)).subquery("r")
    return numbered(rows, payload, None, dialect)


def contradictions(  # noqa: PLR0913 as `merge_changes`
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, known: Known, options: Options, owner: Owner, most: int
) -> sa.Select[Any]:
    """Secondaries of some pairs that cannot be right."""
    pairs = _pairs(dialect, shape, sql, tables, known, options, owner)
    rows = sa.select(_op(pairs), pairs.c._key).subquery("r")
    return sa.select(rows.c._key).where(rows.c._op.in_(CONTRADICTIONS)).distinct().order_by(rows.c._key).limit(most)


def broken(shape: Shape, counts: Counts, keys: Sequence[str] = ()) -> ContractBroken:
    """A model of merges must not contradict itself; `keys` are secondaries of some rows that do, masked."""
    sync, found = shape.sync, counts.contradictions
    said = " and ".join(f"{found[kind]:,} rows {text}" for kind, text in SAID.items() if found.get(kind))
    return ContractBroken(
        f"sync {sync.name!r}: {said} (model {sync.model!r}); a merge cannot be undone, so nothing was sent",
        hint="correct the model, so that each secondary has one primary and no pair leads back; then look again: "
        f"revetl diff --select {sync.name}",
        where=sync.where,
        code="RV250",
        keys=keys,
    )


def _pairs(  # noqa: PLR0913 as `merge_changes`
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, known: Known, options: Options, owner: Owner
) -> sa.CTE:
    """Each pair of the model, and what would be done with it if there were no other pairs (`_base`)."""
    sync = shape.sync
    inner = (
        sa.select(sa.literal(1).label("_m"), key_of(dialect, shape).label("_key"), person_of(dialect, shape).label("_said"))
        .select_from(subquery_text(sql, "m"))
        .subquery("m")
    )
    joined: Any = inner
    person: Any = inner.c._said
    cases: list[tuple[Any, Any]] = []
    key: Any = inner.c._key
    matched: Any = sa.false()
    pending: Any = sa.false()
    digest = row_digest(dialect, [inner.c._said])
    if known.has_state:
        t, o = tables.state.alias("t"), open_rows(tables)
        joined = joined.join(t, t.c._key == inner.c._key, full=True).join(o, o.c._key == inner.c._key, isouter=True)
        key, matched = sa.func.coalesce(inner.c._key, t.c._key), t.c._key.is_not(None)
    if known.merged is not None:
        into = merged_into(known.merged, sync)
        mine = known.merged.alias("mine")
        other = known.merged.alias("other")
        kind = sync.identifier.value
        joined = (
            joined.join(into, into.c.secondary == inner.c._said, isouter=True)
            .join(mine, sa.and_(mine.c.kind == kind, mine.c.secondary == inner.c._key), isouter=True)
            .join(other, sa.and_(other.c.kind == kind, other.c.secondary == inner.c._said, other.c.done_at.is_(None)),
                  isouter=True)
        )  # fmt: skip
        # a merge without an answer is sent again as it was, whatever the model says now
        begun = sa.case((sa.and_(mine.c.done_at.is_(None), mine.c.uid == sync.uid), mine.c.primary))
        person = sa.func.coalesce(begun, into.c.primary, inner.c._said)
        digest = row_digest(dialect, [sa.func.coalesce(begun, inner.c._said)])
        elsewhere = sa.and_(mine.c.secondary.is_not(None), mine.c.done_at.is_(None), mine.c.uid != sync.uid)
        pending = sa.or_(other.c.secondary.is_not(None), elsewhere)
    if known.has_state:
        cases.append((inner.c._m.is_(None), sa.literal("gone")))
    for one in (inner.c._key, person):
        cases += [(wrong, sa.literal("forgotten")) for wrong in not_wanted(dialect, known, sync.identifier.value, one)]
    if known.has_state:
        cases.append((sa.and_(matched, t.c._digest != digest), sa.literal("drift")))
        cases.append((matched, sa.literal("same")))
    cases.append((sa.or_(blank(inner.c._key), person.is_(None)), sa.literal("bad_key")))
    if known.merged is not None:
        cases.append((mine.c.done_at.is_not(None), sa.literal("skipped")))  # merged before: the state was reset since
    cases.append((inner.c._key == person, sa.literal("itself")))
    if options.baseline:
        cases.append((sa.true(), sa.literal("event")))
    live = {}
    for name, one in (("secondary", inner.c._key), ("primary", person)):
        there = owner.live.alias(f"live_{name}")
        joined = joined.join(there, there.c._key == one, isouter=True)
        live[name] = there.c._key.is_not(None)
        if owner.doubtful is not None:
            doubtful = owner.doubtful.alias(f"doubtful_{name}")
            joined = joined.join(doubtful, doubtful.c._key == one, isouter=True)
            pending = sa.or_(pending, doubtful.c._key.is_not(None))
    cases.append((sa.and_(sa.not_(live["secondary"]), sa.not_(pending)), sa.literal("skipped")))  # never sent
    cases.append((sa.or_(pending, sa.not_(live["secondary"]), sa.not_(live["primary"])), sa.literal("waiting")))
    if known.has_state and not options.retry_refused:
        cases.append((sa.and_(o.c._outcome == "refused", o.c._contract == sync.contract_digest(), o.c._values == digest,
                              o.c._last_try > options.now_s * 1000 - REFUSED_RETRY_MS), sa.literal("refused")))  # fmt: skip
    base = sa.case(*cases, else_=sa.literal("event"))
    return sa.select(
        base.label("_base"),
        key.label("_key"),
        person.label("_person"),
        sa.cast(sa.null(), sa.BigInteger).label("_occurred_at"),
        sa.literal("").label("_variant"),
        digest.label("_digest"),
        sa.func.count().over(partition_by=key).label("_rows"),
    ).select_from(joined).cte("pairs")


def _op(pairs: sa.CTE) -> Any:  # noqa: ANN401 a SQL expression
    """What is done with a pair, seeing the others."""
    c = pairs.c
    sent = sa.select(c._key, c._person).where(c._base == "event").cte("sent")
    linked = sa.select(sent).where(sent.c._person.in_(sa.select(sent.c._key))).cte("linked")
    # along the chain of each pair whose primary is a secondary; UNION keeps each place once, so it ends
    walk = sa.select(linked.c._key.label("_from"), linked.c._person.label("_at")).cte("walk", recursive=True)
    step = sa.select(walk.c._from, sent.c._person).join_from(walk, sent, sent.c._key == walk.c._at)
    walk = walk.union(step)
    circles = sa.select(walk.c._from).where(walk.c._from == walk.c._at)
    open_ = c._base.in_(["event", "waiting", "refused"])
    return sa.case(
        (sa.and_(open_, c._rows > 1), "rival"),
        (sa.and_(c._base == "event", c._key.in_(circles)), "circle"),
        (sa.and_(c._base == "event", c._key.in_(sa.select(sent.c._person))), "waiting"),
        else_=c._base,
    ).label("_op")


# --- tombstones --------------------------------------------------------------------------------------------------


def prepare(warehouse: Warehouse, schema: str, catalog: Catalog) -> bool:
    """Make the table of tombstones where it is missing; whether it was.

    It is there a run before the first merge, as that run asks for a confirmation: so no other run that is at work then
    has looked for it in vain.
    """
    if MERGED in catalog:
        return False
    table = merged_table(schema)
    create_table(warehouse, sa.schema.CreateTable(table, if_not_exists=True), table)
    return True


def bury(stream: Stream, lease: Lease, plan: sa.Table, sync: Sync) -> None:
    """A tombstone for the secondary of every pair that may be sent, before any is."""
    merged, c = merged_table(stream.tables.schema), plan.c
    kind = sync.identifier.value
    there = sa.select(merged.c.secondary).where(merged.c.kind == kind)
    values = {
        "kind": sa.literal(kind), "secondary": c._key, "primary": c._person, "uid": sa.literal(sync.uid),
        "buried_at": sa.cast(stream.dialect.now_ms(), sa.BigInteger),
    }  # fmt: skip
    rows = sa.select(*values.values()).where(c._op == "event", c._seq.is_not(None), c._key.not_in(there))
    with stream.warehouse.transaction():
        stream.renew(lease)
        stream.warehouse.execute(sa.insert(merged).from_select(list(values), rows))


def under_way(schema: str, sync: Sync) -> sa.Select[Any]:
    """`_key` of people of whom it is not known whether they are merged."""
    merged = merged_table(schema).c
    return sa.select(merged.secondary.label("_key")).where(merged.kind == sync.identifier.value, merged.done_at.is_(None))


def catch_up(stream: Stream, lease: Lease, sync: Sync) -> None:
    """Before a plan: what earlier runs have left for this stream to do."""
    if sync.type is SyncType.MERGE:
        if stream.warehouse.fetch(sa.select(sa.func.count()).select_from(_pending(stream, sync)))[0][0]:
            settle(stream, lease, sync)
    elif sync.is_person or "_person" in stream.tables.owned_by:
        withdraw(stream, lease, sync)


def _pending(stream: Stream, sync: Sync) -> sa.Subquery:
    merged = merged_table(stream.tables.schema).c
    return sa.select(merged.secondary).where(merged.uid == sync.uid, merged.done_at.is_(None)).subquery("p")


def settle(stream: Stream, lease: Lease, sync: Sync) -> None:
    """Tombstones by the outcomes, once all of them are in the ledger or the open rows; doing it twice does no harm."""
    merged, state, opened = merged_table(stream.tables.schema), stream.tables.state.c, stream.tables.open.c
    warehouse, kind = stream.warehouse, sync.identifier.value
    mine = sa.and_(merged.c.uid == sync.uid, merged.c.done_at.is_(None))
    unknown = sa.select(opened._key).where(opened._outcome == "unknown")
    further = merged.alias("further")
    final = (
        sa.select(sa.func.max(further.c.primary))
        .where(further.c.kind == kind, further.c.secondary == merged.c.primary, further.c.done_at.is_not(None))
        .scalar_subquery()
    )
    away = sa.select(further.c.secondary).where(further.c.kind == kind, further.c.done_at.is_not(None))
    with warehouse.transaction():
        stream.renew(lease)
        warehouse.execute(
            sa.update(merged)
            .where(mine, merged.c.secondary.in_(sa.select(state._key)))
            .values(done_at=sa.cast(stream.dialect.now_ms(), sa.BigInteger))
        )
        warehouse.execute(sa.delete(merged).where(mine, merged.c.secondary.not_in(unknown)))
        for _ in range(LONGEST_CHAIN):  # whoever went into a person that goes on into another lives on there
            moved = sa.update(merged).where(merged.c.kind == kind, merged.c.primary.in_(away)).values(primary=final)
            if not warehouse.execute(moved):
                break


def withdraw(stream: Stream, lease: Lease, sync: Sync) -> None:
    """Forget what the state has of merged people, and send their primaries once more where a null clears."""
    merged, state = merged_table(stream.tables.schema).c, stream.tables.state
    column = state.c._key if sync.is_person else state.c._person
    done = sa.and_(merged.kind == sync.identifier.value, merged.done_at.is_not(None))
    away = sa.select(merged.secondary).where(done)
    if not stream.warehouse.fetch(sa.select(sa.func.count()).where(column.in_(away)))[0][0]:
        return
    first = []
    if sync.is_person and any(field.on_null is OnNull.CLEAR for field in sync.fields):
        kept = sa.select(state.c._key)
        gained = sa.select(merged.primary).where(done, merged.secondary.in_(kept))
        first.append(sa.update(state).where(state.c._key.in_(gained)).values(_contract=REGAINED))
    opened = stream.tables.open.c._key.in_(away) if sync.is_person else sa.false()
    stream.purge(lease, state=column.in_(away), open_rows=opened, first=first)
    stream.read()


def moved_on(stream: Stream, plan: sa.Table, people: StreamTables, last: int) -> bool:
    """Whether a pair to send names somebody who, since the plan, has left the people's state or has no answer."""
    c = plan.c
    live = sa.select(people.state.c._key)
    doubt = sa.select(people.open.c._key).where(people.open.c._outcome == "unknown")
    wrong = [condition for one in (c._key, c._person) for condition in (one.not_in(live), one.in_(doubt))]
    count = sa.select(sa.func.count()).where(c._seq.between(1, last), sa.or_(*wrong))
    return bool(stream.warehouse.fetch(count)[0][0])


# --- people who are forgotten ------------------------------------------------------------------------------------


def same_people(warehouse: Warehouse, schema: str, catalog: Catalog, kind: str, keys: Sequence[str]) -> list[str]:
    """All keys of the people with these keys, by the merges that are acknowledged or under way."""
    if MERGED not in catalog:
        return list(keys)
    merged = merged_table(schema).c
    found = dict.fromkeys(keys)
    while True:
        rows = warehouse.fetch(
            sa.select(merged.secondary, merged.primary).where(
                merged.kind == kind, sa.or_(merged.secondary.in_(list(found)), merged.primary.in_(list(found)))
            )
        )
        more = [key for row in rows for key in row if key not in found]
        if not more:
            return list(found)
        found |= dict.fromkeys(more)


def forget(warehouse: Warehouse, schema: str, catalog: Catalog, kind: str, keys: Sequence[str]) -> int:
    """Delete the tombstones of people whose keys are buried otherwise; how many."""
    if MERGED not in catalog:
        return 0
    merged = merged_table(schema)
    theirs = sa.or_(merged.c.secondary.in_(keys), merged.c.primary.in_(keys))
    return warehouse.execute(sa.delete(merged).where(merged.c.kind == kind, theirs))
