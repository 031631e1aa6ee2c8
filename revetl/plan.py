"""What a run would do, as values: counts, the equation that always adds up, and the guards. Pure.

rows of the model = unchanged + created + updated + re-driven + skipped + forgotten + merged + quarantined
planned = created + updated + re-driven + deleted + released + copies = acknowledged + refused + held + waiting + left + unsent

A copy is an event's second row, under its old name (`renamed_from`). The model has no row for it, so it stands in the
second equation only, where it is refused, held, waiting, left or sent by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from revetl.contracts import Initial, OnChange, OnMoved, OnShared, SyncType, UnknownPerson
from revetl.diffsql import COPY, SEND_FIRST, SEND_LAST, Shape, times_of
from revetl.errors import ContractBroken, GuardTripped, RevetlError
from revetl.identity import QUARANTINED

SETTLED = frozenset({"same", "before", "gone", "drift", "skipped", "bad_key", "forgotten", "merged", "stray"})  # not planned
CONTRADICTIONS = ("itself", "rival", "circle")  # pairs to merge that cannot be right (`merges.py`)
DELETE_FLOOR = 10  # fewer deletes than this are never a reason to stop
GROWTH_FLOOR = 200  # a state of fewer rows is counted as so many


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """One sync's plan in numbers.

    Attributes:
        model_rows: rows that the model gave.
        unchanged: rows that equal what was acknowledged.
        created, updated, redriven: changes, whether or not they can be sent now.
        deleted: what left the model and are deleted, suppressed or cleared.
        cleared: those of them whose attributes are cleared; the profiles stay.
        released: people who give up an address before another one gets it.
        quarantined: rows that would collide with others in Customer.io, by reason (`identity.QUARANTINED`).
        freeing, later: the highest number of the rows that free an address, and how many rows need a freed one.
        copied: second rows of events under an old name, whether or not they can be sent now.
        skipped: rows without a person, by the sync's own rule.
        forgotten: rows of people who were forgotten on request; they are never sent.
        merged: rows of people who were merged into others, or are about to be; they are never sent.
        waiting: rows whose person (or, of a refund, whose purchase) Customer.io does not have yet.
        nobody: events without a person, held by the sync's own rule.
        unbought: those of them that wait for their purchase.
        orphans: refunds held because their purchase is neither in its ledger nor in its model.
        over_refunded, early_refunds: refunds to be sent of orders that are refunded by more than they cost; and
            refunds older than their order.
        late, future: events held because of their time.
        left: events that a backfill leaves to a run without it, because they are younger than was asked.
        triggering, triggering_since_s: of a backfill: events to be sent that may start campaigns, and the oldest of them.
        ahead: for each time of people, how many to be sent are in the future.
        held: events whose earlier outcome is unknown for too long to send them again.
        refused: rows refused before, not yet due for another try.
        drifted: events whose row changed after it was sent (never sent again).
        gone: rows in the state that the model no longer has, and that stay.
        fresh: updates whose only change is an attribute that is new in the contract.
        state_rows: rows in the state before this run.
        first, last: sendable rows of phase one, then of the delete phase: highest numbers in the plan.
        changed: for each field, how many updates change it.
        widest: for each field kept as a decimal, the largest absolute value to be sent.
        oldest_event_s: the earliest event to be sent, Unix seconds.
        shadows, shadow_people: events to be sent of people whom Customer.io does not have, and how many people they make.
        untriggering: events to be sent that can no longer trigger a campaign (older than 72 hours).
        bad_keys, duplicate_keys: rows and keys that break the contract.
        rows_hash: over the rows to send, in any order; 0 unless it was asked for.
        compared_since_s: only events from this time on were looked at (Unix seconds); None: all of them.
        contradictions: pairs of a merge sync that cannot be right, by kind (`CONTRADICTIONS`).
    """

    model_rows: int = 0
    unchanged: int = 0
    created: int = 0
    updated: int = 0
    redriven: int = 0
    deleted: int = 0
    copied: int = 0
    cleared: int = 0
    released: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    freeing: int = 0
    later: int = 0
    skipped: int = 0
    forgotten: int = 0
    merged: int = 0
    waiting: int = 0
    nobody: int = 0
    unbought: int = 0
    orphans: int = 0
    over_refunded: int = 0
    early_refunds: int = 0
    left: int = 0
    triggering: int = 0
    triggering_since_s: int | None = None
    ahead: Mapping[str, int] = field(default_factory=dict)
    late: int = 0
    future: int = 0
    held: int = 0
    refused: int = 0
    drifted: int = 0
    gone: int = 0
    fresh: int = 0
    state_rows: int = 0
    first: int = 0
    last: int = 0
    held_new: int = 0
    changed: Mapping[str, int] = field(default_factory=dict)
    widest: Mapping[str, float] = field(default_factory=dict)
    contradictions: Mapping[str, int] = field(default_factory=dict)
    oldest_event_s: int | None = None
    shadows: int = 0
    shadow_people: int = 0
    untriggering: int = 0
    bad_keys: int = 0
    duplicate_keys: int = 0
    rows_hash: int = field(default=0, compare=False)
    compared_since_s: int | None = None

    @property
    def triggering_since(self) -> str:
        """In words, since when there are events that may start campaigns."""
        at = self.triggering_since_s
        return "" if at is None else f" (the oldest is of {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC)"

    @property
    def planned(self) -> int:
        """Rows that differ from what was acknowledged."""
        return self.created + self.updated + self.redriven + self.deleted + self.released + self.copied

    @property
    def sendable(self) -> int:
        """Rows that this run sends."""
        return self.last

    @property
    def on_hold(self) -> int:
        """Rows that need a person's decision before they are sent."""
        return self.late + self.future + self.held + self.nobody + self.orphans


def read_counts(  # noqa: C901 one row kind a line
    shape: Shape, rows: Sequence[tuple[Any, ...]], state_rows: int, *, fingerprint: bool = False
) -> Counts:
    """Counts from the rows of `diffsql.summary`."""
    rows_hash = 0
    if fingerprint:
        rows_hash = sum(int(row[-1]) for row in rows)
        rows = [tuple(row[:-1]) for row in rows]
    n = dict.fromkeys(
        ("create", "update", "redrive", "event", "shadow", "delete", "suppress", "same", "gone", "drift", "skipped",
         "nobody", "waiting", "late", "future", "held", "held_before", "refused", "refused_update", "bad_key", "stray",
         "forgotten", "unbought", "orphan", "younger", "merged", "clear", "release", *QUARANTINED,
         *CONTRADICTIONS), 0
    )  # fmt: skip
    n["before"] = 0  # only ever of copies
    copies = dict.fromkeys(n, 0)
    first = last = fresh = untriggering = duplicates = not_in_state = shadow_people = over = early = freeing = later = 0
    oldest: int | None = None
    since: int | None = None
    ahead = dict.fromkeys(times_of(shape.sync), 0)
    changed = dict.fromkeys((f.name for f in shape.sync.fields), 0)
    decimals = [
        f.name
        for f, c in zip(shape.sync.fields, shape.canonical, strict=True)
        if c.family == "decimal"
    ]
    widest: dict[str, float] = {}
    for row in rows:
        kind, model_rows, keys, most, _, max_seq = row[:6]
        op = kind.removeprefix(COPY)
        (n if op == kind else copies)[op] = int(model_rows)
        sends = op in SEND_FIRST or op in SEND_LAST
        if op in SEND_FIRST:
            first = max(first, int(max_seq or 0))
        if sends:
            last = max(last, int(max_seq or 0))
            if int(most) > 1 and op == kind:
                duplicates += int(model_rows) - int(keys)
        tail = list(row[6:])
        if shape.sync.keeps_values:
            fresh_here, tail = tail[0], tail[1:]
            if shape.contested:
                freeing, later, tail = max(freeing, int(tail[0] or 0)), later + int(tail[1] or 0), tail[2:]
            hits, tail = tail[: len(changed)], tail[len(changed) :]
            if op in SEND_LAST or op == "clear":
                not_in_state += int(fresh_here or 0)
            if op == "update":
                fresh = int(fresh_here or 0)
                changed = {name: int(hit or 0) for name, hit in zip(changed, hits, strict=True)}
            if op in SEND_FIRST:
                ahead = {name: ahead[name] + int(tail[i] or 0) for i, name in enumerate(ahead)}
            tail = tail[len(ahead) :]
        else:
            oldest_here, old, young = tail[:3]
            tail = tail[3:]
            if shape.sync.unknown_person is UnknownPerson.CREATE:
                shadow_people, tail = max(shadow_people, int(tail[0] or 0)), tail[1:]
            if op in SEND_FIRST:
                oldest = min((t for t in (oldest, oldest_here) if t is not None), default=None)
                untriggering += int(old or 0)
                since = min((t for t in (since, young) if t is not None), default=None)
            if shape.order is not None:
                if op in SEND_FIRST and op == kind:
                    over, early = over + int(tail[0] or 0), early + int(tail[1] or 0)
                tail = tail[2:]
        if op in SEND_FIRST:
            for name, wide in zip(decimals, tail, strict=True):
                if wide is not None:
                    # NaN compares with nothing, and must not hide the others
                    widest[name] = max(widest.get(name, 0.0), float(wide) if wide == wide else math.inf)  # noqa: PLR0124
    matched = n["same"] + n["drift"] + n["update"] + n["refused_update"]
    if shape.sync.keeps_values:
        # redriven rows may or may not be in the state, so they are left out of this check
        gone = n["gone"] + n["delete"] + n["suppress"] + n["clear"] - not_in_state
        if not n["redrive"] and matched > state_rows - gone >= 0:
            duplicates += matched - (state_rows - gone)
    elif matched > state_rows - n["gone"] >= 0:
        duplicates += matched - (state_rows - n["gone"])
    waiting = n["waiting"] + n["unbought"]
    waiting_like = n["younger"] + n["nobody"] + waiting + n["orphan"] + n["late"] + n["future"] + n["held"] + n["held_before"]
    created = n["create"] + n["event"] + n["shadow"] + waiting_like + n["refused"]
    both = {op: count + copies[op] for op, count in n.items()}
    copied = sum(count for op, count in copies.items() if op not in SETTLED)
    return Counts(
        model_rows=sum(n.values()) - n["gone"] - n["stray"] - n["delete"] - n["suppress"] - n["clear"] - n["release"],
        unchanged=n["same"] + n["drift"],
        created=created,
        updated=n["update"] + n["refused_update"],
        redriven=n["redrive"],
        deleted=n["delete"] + n["suppress"] + n["clear"],
        cleared=n["clear"],
        released=n["release"],
        quarantined={reason: n[reason] for reason in QUARANTINED if n[reason]},
        freeing=freeing,
        later=later,
        copied=copied,
        skipped=n["skipped"],
        forgotten=n["forgotten"],
        merged=n["merged"],
        contradictions={kind: n[kind] for kind in CONTRADICTIONS if n[kind]},
        waiting=waiting + copies["waiting"] + copies["unbought"],
        nobody=both["nobody"],
        unbought=both["unbought"],
        orphans=both["orphan"],
        over_refunded=over,
        early_refunds=early,
        left=both["younger"],
        triggering=both["event"] + both["shadow"] - untriggering if since is not None else 0,
        triggering_since_s=since,
        ahead=ahead,
        late=both["late"],
        future=both["future"],
        held=both["held"] + both["held_before"],
        held_new=both["held"],
        refused=both["refused"] + n["refused_update"],
        drifted=n["drift"],
        gone=n["gone"],
        fresh=fresh,
        state_rows=state_rows,
        first=first,
        last=last,
        changed=changed,
        widest=widest,
        oldest_event_s=oldest,
        shadows=n["shadow"],
        shadow_people=shadow_people,
        untriggering=untriggering,
        bad_keys=n["bad_key"],
        duplicate_keys=duplicates,
        rows_hash=rows_hash,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmations:
    """What the user confirmed on the command line: exact numbers, so that a surprise is never confirmed by habit."""

    deletes: int | None = None
    changes: int | None = None
    first_run: int | None = None
    growth: int | None = None
    triggering: int | None = None
    merges: int | None = None
    empty: bool = False


def broken(shape: Shape, counts: Counts, keys: Sequence[str] = ()) -> ContractBroken | None:
    """The model's keys must name each row once; `keys` are some that do not, masked."""
    sync = shape.sync
    problems = []
    if counts.bad_keys:
        problems.append(f"{counts.bad_keys:,} rows have a null or blank key")
    if counts.duplicate_keys:
        problems.append(f"{counts.duplicate_keys:,} rows repeat the key of another row")
    if not problems:
        return None
    return ContractBroken(
        f"sync {sync.name!r}: {' and '.join(problems)} (column {sync.key!r} of {sync.model!r}); nothing was sent",
        hint=f"make {sync.key} unique and not null in the model; "
        f"`revetl diff --select {sync.name} --show-values` lists the first of them",
        where=sync.where,
        code="RV201",
        keys=keys,
    )


def collisions(shape: Shape, counts: Counts, keys: Sequence[str] = ()) -> ContractBroken | None:
    """Rows that would collide, where the project says that such a run fails; `keys` are some of them, masked."""
    rules = shape.sync.identity
    policies = {
        "collision": rules.on_shared is OnShared.FAIL, "shared": rules.on_shared is OnShared.FAIL,
        "taken": rules.on_moved is OnMoved.FAIL, "leaving": rules.on_moved is OnMoved.FAIL,
        "changed": rules.on_change is OnChange.FAIL, "anonymous_shared": rules.on_anonymous is OnShared.FAIL,
        "anonymous_taken": rules.on_anonymous is OnShared.FAIL,
    }  # fmt: skip
    found = [f"{counts.quarantined[reason]:,} rows: {text}" for reason, text in QUARANTINED.items()
             if counts.quarantined.get(reason) and policies[reason]]  # fmt: skip
    if not found:
        return None
    return ContractBroken(
        f"sync {shape.sync.name!r}: {'; '.join(found)}; nothing was sent",
        hint="correct the model; or let everything else go out: `quarantine` in `identity` (docs/identity.md)",
        where=shape.sync.where, code="RV240", keys=keys,
    )  # fmt: skip


def guards(  # noqa: C901, PLR0913 all that a guard may look at
    shape: Shape, counts: Counts, confirmed: Confirmations, *, first_run: bool, loading: bool = False,
    people: int | None = None,
) -> list[RevetlError]:  # fmt: skip
    """Every guard that this plan trips, each with the flag that confirms exactly this plan.

    Args:
        people: for suppressions: how many people are known.
        loading: many new rows are no surprise: no run has completed yet, or events of the past were asked for.
    """
    sync = shape.sync
    found: list[RevetlError] = []
    command = f"revetl run --select {sync.name}"

    def trip(text: str, flag: str, code: str) -> None:
        found.append(
            GuardTripped(f"sync {sync.name!r}: {text}; nothing was sent", hint=f"if this is right: {command} {flag}",
                         where=sync.where, code=code)
        )  # fmt: skip

    if sync.type is SyncType.MERGE:
        pairs = counts.sendable
        if pairs and (not counts.state_rows or pairs > sync.guards.max_merges) and confirmed.merges != pairs:
            why = f"max_merges {sync.guards.max_merges:,}" if counts.state_rows else "the first time"
            who = "person would be merged into another" if pairs == 1 else "people would be merged into others"
            trip(f"{pairs:,} {who}, which cannot be undone ({why})",
                 f"--confirm-merges {pairs}", "RV251")  # fmt: skip
        return found
    # nothing may have happened in a window; the look at everything sees an empty model within a day
    looked = counts.model_rows or counts.compared_since_s is not None
    if not looked and sync.guards.empty_source and not confirmed.empty:
        trip(f"the model {sync.model!r} gave no rows", "--allow-empty", "RV210")
    limit = sync.guards.max_deletes
    if people is not None:
        # freeing people again is no smaller thing than suppressing them, so both count
        ended = counts.sendable
        if ended > DELETE_FLOOR and not limit.allows(ended, people) and confirmed.deletes != ended:
            trip(
                f"{counts.first:,} people would be suppressed, which deletes them, and {ended - counts.first:,} freed, "
                f"where {people:,} are known (max_deletes {limit})",
                f"--confirm-deletes {ended}",
                "RV230",
            )
    elif (
        counts.deleted > DELETE_FLOOR
        and not limit.allows(counts.deleted, counts.state_rows)
        and confirmed.deletes != counts.deleted
    ):
        trip(
            f"{counts.deleted:,} of {counts.state_rows:,} {sync.type.noun} would be "
            f"{'cleared' if counts.cleared else 'deleted'} (max_deletes {limit})",
            f"--confirm-deletes {counts.deleted}",
            "RV211",
        )
    changes = counts.updated - counts.fresh
    limit = sync.guards.max_changes
    if changes > DELETE_FLOOR and not limit.allows(changes, counts.state_rows) and confirmed.changes != changes:
        top = sorted(counts.changed.items(), key=lambda item: -item[1])[:3]
        why = ", ".join(f"{name} in {hits:,}" for name, hits in top if hits)
        trip(
            f"{changes:,} of {counts.state_rows:,} {sync.type.noun} would change (max_changes {limit}; {why})",
            f"--confirm-changes {changes}",
            "RV212",
        )
    known = counts.updated + counts.redriven + counts.deleted + counts.released + counts.copied
    times, new = sync.guards.max_growth, counts.sendable - known
    if times and new > times * max(counts.state_rows, GROWTH_FLOOR) and not loading and confirmed.growth != new:
        trip(
            f"{new:,} rows to send are new, where {counts.state_rows:,} are known (max_growth {times})",
            f"--confirm-growth {new}",
            "RV216",
        )
    if counts.triggering > sync.guards.max_triggering and confirmed.triggering != counts.triggering:
        trip(
            f"a backfill would send {counts.triggering:,} events that may start campaigns, as they are younger than 72 hours"
            f"{counts.triggering_since} (max_triggering {sync.guards.max_triggering})",
            f"--backfill --confirm-triggering {counts.triggering}; or --older-only leaves them to a run without --backfill",
            "RV274",
        )
    if first_run and sync.initial is Initial.SEND:
        most = sync.guards.max_first_run
        if most and counts.sendable > most and confirmed.first_run != counts.sendable:
            trip(
                f"the first run would send {counts.sendable:,} rows (max_first_run {most:,})",
                f"--confirm-first-run {counts.sendable}",
                "RV213",
            )
    return found
