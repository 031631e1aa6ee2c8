"""The flows, each readable from top to bottom: `diff` and `run`. The only module that knows warehouse and destination.

    run   open → for people, then what belongs to them: acquire → settle → plan → check → send in chunks → fold → release
          → deletes last, in the opposite order
    diff  open read-only → the same plan as a SELECT → counts; no sender is ever built

Both give plain values (`DiffResult`, `RunResult`); nothing here prints. A stream that cannot be planned does not
stop the others, except with `fail_fast`; what depends on it is skipped.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Protocol

import sqlalchemy as sa

from revetl import merges, renames
from revetl.contracts import (
    CAMPAIGN_HORIZON_S,
    IdentifierKind,
    Initial,
    Latency,
    NoPerson,
    OnViolation,
    Role,
    Sync,
    SyncType,
)
from revetl.delivery import Clock, Delivery, DeliverySettings, Idle
from revetl.destination import Refusal, Sender, Warned
from revetl.diffsql import (
    MASK_BITS,
    SEND_LAST,
    Known,
    Options,
    Owner,
    Purchases,
    Shape,
    bind,
    changes,
    event_rows,
    model_keys,
    repeated_keys,
    samples,
    summary,
    to_send,
)
from revetl.drift import Finding, Profile, confirm_hint, confirmed, findings, profile_of, stated
from revetl.duplicates import Candidates, find, record
from revetl.encode import Encoded
from revetl.entities import Encoder, encoder_for, route_of
from revetl.errors import (
    ConfigError,
    ContractBroken,
    CredentialsRefused,
    DestinationDown,
    ExitCode,
    GuardTripped,
    LeaseHeld,
    LeaseLost,
    Notice,
    RevetlError,
    StateDamaged,
    WarehouseError,
    Where,
)
from revetl.gates import NOTHING, Gate, Judged, Outcome
from revetl.history import keep_contract, keep_profile, profiles
from revetl.identity import QUARANTINED
from revetl.latency import Ages, Measured, latency_table
from revetl.persons import NO_VISITORS, Visitors, asks_for_lookalikes, lookalikes, reasons, visitors
from revetl.plan import Confirmations, Counts, broken, collisions, guards, read_counts
from revetl.purchases import Stream as PurchaseStream
from revetl.purchases import overlaps, purchases
from revetl.rates import EVERY_S, Lane, Share
from revetl.reasons import Reason, Tally, listed
from revetl.state import (
    LEASE_MS,
    Acks,
    Catalog,
    Lease,
    PlanTable,
    Range,
    Stream,
    changed_meanwhile,
    create_table,
    ensure_schema,
    gaps,
    merged,
    read_catalog,
)
from revetl.tables import (
    CONTRACTS,
    MERGED,
    PROFILES,
    SHARED,
    StreamTables,
    field_column,
    runs_table,
    stream_tables,
    sync_log_table,
    test_log_table,
)
from revetl.versions import SAME, Difference, Recorded, early_ends
from revetl.warehouse import Warehouse

PAGE_ROWS = 5_000
SNAPSHOT_CHUNK_ROWS = 50_000
LEDGER_CHUNK_ROWS = 5_000  # at most so many events are open if the process dies (reliability.md, 3.2)
CHUNK_BYTES = 32_000_000
CHECKPOINT_S = 60.0
ASK_AGAIN_S = 5.0
EXAMPLES = 3
OCCURRED_AT = 4  # its place in a ledger's row to send (`encode.py`)
# rows and operations are tuples and bytes without cycles; looking for cycles among a million of them again and again
# took a fifth of a first load's CPU
ALLOCATIONS = 200_000
SEND_MARGIN_S = 35.0  # the longest request and some: none starts later than this before the lease ends


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledSync:
    """A sync and its model's SQL, ready to run.

    Attributes:
        sql: one SELECT.
        locate: the place in the project of a line of the model's SQL.
        source: the model's own SQL, where `sql` reads its rows after they were staged elsewhere.
        stops: what is known, before the warehouse is asked, to stop the sync.
        notices: what is known to be worth a word.
        missing: of a warehouse's message: the relation that another tool should have built, with its command.
    """

    sync: Sync
    sql: str
    locate: Callable[[int], Where | None] = lambda _: None
    source: str = ""
    stops: tuple[RevetlError, ...] = ()
    notices: tuple[Notice, ...] = ()
    missing: Callable[[str], ConfigError | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the user asked of a run or a diff.

    Attributes:
        full_refresh: send every person again.
        retry_refused: try refused rows now.
        backfill: send events that can no longer trigger campaigns.
        backfill_before_s: of a backfill: leave events from this time on (Unix seconds) to a run without it.
        older_only: of a backfill: leave all that may start campaigns to a run without it.
        fail_fast: stop at the first sync that fails.
        baseline: send nothing; record what the models say as acknowledged (`revetl state baseline`).
        expect: the fingerprint of the diff that was approved.
        accept_contract: let an old name end before the day that was promised.
        confirm_drift: the code of the drift that is right.
        confirmed: exact numbers.
    """

    full_refresh: bool = False
    retry_refused: bool = False
    backfill: bool = False
    backfill_before_s: int | None = None
    older_only: bool = False
    fail_fast: bool = False
    baseline: bool = False
    expect: str = ""
    accept_contract: bool = False
    confirm_drift: str = ""
    confirmed: Confirmations = Confirmations()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One change with values; only ever made for a terminal."""

    op: str
    key: str
    rows: int
    changes: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The rows that would be sent, read and encoded as the run would, and not sent.

    Attributes:
        rows: that were read.
        refused, warned: rows that the run would refuse, and that it would send with a warning.
        whole: all rules were tried; else only those that stop the sync.
    """

    rows: int
    refused: int
    warned: int
    reasons: tuple[Reason, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncDiff:
    """What a run would do for one sync now.

    Attributes:
        counts: the plan in numbers.
        problems: what would stop the run before the first request, each with its flag or its cure.
        first_run: nothing was ever synced for this stream.
        baseline: the first run records the rows as already sent.
        requests: a lower bound.
        seconds: that the declared rates need at least.
        fingerprint: of the SQL, the contract, the state and the rows to send.
        checked: what the rows to be sent break; None where they were not read.
        contract: what a run would change of the recorded contract.
        dual_sends: names that changed, and until when the old ones are sent as well.
        warnings: what nobody has to act on now.
        tests: of what the sync reads.
    """

    sync: Sync
    counts: Counts
    problems: tuple[RevetlError, ...] = ()
    first_run: bool = False
    baseline: bool = False
    requests: int = 0
    seconds: float = 0.0
    samples: tuple[Sample, ...] = ()
    fingerprint: str = ""
    checked: Checked | None = None
    contract: Difference = SAME
    dual_sends: tuple[renames.DualSend, ...] = ()
    warnings: tuple[Notice, ...] = ()
    quarantine: tuple[Reason, ...] = ()
    lookalikes: tuple[Reason, ...] = ()
    visitors: Visitors = NO_VISITORS
    tests: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffResult:
    """The diffs in the order in which the run would work."""

    syncs: tuple[SyncDiff, ...]
    seconds: float = 0.0

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that differ where anything else would be sent; empty where a sync could not be compared."""
        found = [diff.fingerprint for diff in self.syncs]
        return hashlib.sha256("".join(found).encode()).hexdigest()[:12] if found and all(found) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a run did for one sync.

    Attributes:
        status: success | partial | error | skipped.
        acknowledged: rows that Customer.io accepted in this run (or that a baseline recorded).
        refused_now: rows that the contract or Customer.io refused in this run.
        warned: acknowledged rows that break a rule which only warns.
        unsent: planned rows without an outcome: not sent, or sent without an answer.
        latency: of the events acknowledged in this run, where the sync declares one; not of a backfill.
        contract_version: of the sync's contract; 0 where none was recorded.
        warnings: what nobody has to act on now.
        tests: of what the sync reads.
    """

    sync: Sync
    status: str
    counts: Counts = Counts()
    acknowledged: int = 0
    refused_now: int = 0
    warned: int = 0
    unsent: int = 0
    baseline: bool = False
    fence: int = 0
    reasons: tuple[Reason, ...] = ()
    quarantine: tuple[Reason, ...] = ()
    lookalikes: tuple[Reason, ...] = ()
    error: RevetlError | None = None
    seconds: float = 0.0
    latency: Measured | None = None
    contract_version: int = 0
    dual_sends: tuple[renames.DualSend, ...] = ()
    warnings: tuple[Notice, ...] = ()
    tests: tuple[Outcome, ...] = ()

    @property
    def refused(self) -> int:
        """Rows that are refused now: those of this run and those not due for another try."""
        return self.refused_now + self.counts.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A run as a value.

    Attributes:
        error: what stopped the whole run, if anything did.
    """

    run_id: str
    started_at: float
    seconds: float
    syncs: tuple[SyncResult, ...]
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    statements: int = 0
    error: RevetlError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """What the process says: the first thing that went wrong, else 1 if rows are left, else 0."""
        if self.error is not None:
            return self.error.exit_code
        for result in self.syncs:
            if result.error is not None:
                return result.error.exit_code
        if any(
            r.refused or r.counts.on_hold or r.counts.waiting or r.counts.quarantined or r.unsent for r in self.syncs
        ):
            return ExitCode.ROWS_REFUSED
        if any(r.latency is not None and r.latency.verdict == "error" for r in self.syncs):
            return ExitCode.ROWS_REFUSED
        return ExitCode.OK


class Destination(Sender, Protocol):
    """A sender that can also say which workspace it writes to."""

    def workspace_id(self) -> str:
        """The workspace's stable id.

        Raises:
            CredentialsRefused, DestinationDown, ConfigError: before anything was sent.
        """


class Observer(Protocol):
    """Told what happens, to show it; must not raise."""

    def note(self, text: str) -> None:
        """One line a person may want to know."""

    def planned(self, sync: Sync, counts: Counts) -> None:
        """A sync's plan is frozen."""

    def progress(self, sync: Sync, done: int, total: int, requests: int) -> None:
        """Some rows have their outcome."""


@dataclass(slots=True)
class _Job:
    """One stream's work in this run."""

    compiled: CompiledSync
    declared: Sync
    stream: Stream
    lease: Lease
    shape: Shape
    plan: PlanTable
    counts: Counts
    contracts: str
    first_run: bool
    started: float
    key_kind: str
    now_s: int = 0
    baseline: bool = False
    version: int = 0
    dual_sends: tuple[renames.DualSend, ...] = ()
    warnings: list[Notice] = field(default_factory=list)
    sent_intent: bool = False
    resolved: bool = False
    acknowledged: int = 0
    refused: int = 0
    warned: int = 0
    folded: int = 0
    hwm: int = 0
    doubt: bool = False
    lease_until: float = 0.0
    covered: list[Range] = field(default_factory=list)
    not_sent: list[Range] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    ages: Ages | None = None
    moments: list[int | None] = field(default_factory=list)
    planned_s: float = 0.0
    quarantine: tuple[Reason, ...] = ()
    lookalikes: tuple[Reason, ...] = ()

    @property
    def sync(self) -> Sync:
        return self.compiled.sync

    def take_acks(self) -> Acks:
        acks = Acks(covered=tuple(self.covered), not_sent=tuple(self.not_sent), refusals=tuple(self.refusals))
        self.covered, self.not_sent, self.refusals = [], [], []
        return acks


class Engine:
    """Plans and runs the syncs of one project against one warehouse.

    Args:
        warehouse: opened read-only for a diff.
        schema: where the state is kept.
        syncs: every sync of the project, selected or not: events look up their people there.
        clock: real, or a test's.
        observer: is told what happens.
        journeys: of Customer.io that use a name, by (kind, name), as the taxonomy says.
        gate: the tests that stand before each sync, where there are any.
    """

    def __init__(  # noqa: PLR0913 the run's surroundings, each injected
        self,
        warehouse: Warehouse,
        *,
        schema: str,
        syncs: Sequence[CompiledSync],
        clock: Clock,
        observer: Observer,
        version: str = "",
        journeys: Mapping[tuple[str, str], Sequence[str]] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.gate = gate
        self.warehouse = warehouse
        self.schema = schema
        self.syncs = {compiled.sync.name: compiled for compiled in syncs}
        self.clock = clock
        self.observer = observer
        self.version = version
        self.journeys = journeys or {}
        self.catalog: Catalog = {}
        self._day: date | None = None

    # --- diff ------------------------------------------------------------------------------------------------

    def diff(
        self, syncs: Sequence[CompiledSync], options: RunOptions, *, settings: DeliverySettings, show: int = 0,
        check: bool = False,
    ) -> DiffResult:  # fmt: skip
        """What a run would do now. Writes nothing, and opens no connection to the destination.

        Args:
            show: how many changes to read with their values, for each sync.
            check: read the rows that would be sent, and count what they break.
        """
        began = self.clock.monotonic()
        self.catalog = read_catalog(self.warehouse, self.schema)
        twice = self.sent_twice(syncs)
        results = [self._diff_one(c, options, settings, show, twice.get(c.sync.name), check=check) for c in syncs]
        return DiffResult(syncs=tuple(results), seconds=self.clock.monotonic() - began)

    def _diff_one(  # noqa: PLR0913 what a diff may be asked
        self, compiled: CompiledSync, options: RunOptions, settings: DeliverySettings, show: int,
        twice: RevetlError | None = None, *, check: bool = False,
    ) -> SyncDiff:  # fmt: skip
        declared, compiled = compiled.sync, self._today(compiled)
        sync = compiled.sync
        try:
            shape = self._bind(compiled)
            stream = self._stream(shape)
            stream.read()
        except (ContractBroken, StateDamaged) as error:
            return SyncDiff(sync=declared, counts=Counts(), problems=(error,))
        shape = stream.fitted(shape)
        known, _ = stream.known(shape)
        first_run = not stream.control.initialised
        only_record = options.baseline or (first_run and sync.initial is Initial.BASELINE)
        asked = replace(self._windowed(declared, stream, options, baseline=only_record), fingerprint=True)
        try:
            plan = self._changes(compiled, shape, stream, known, asked, planned=True).cte("plan")
        except ContractBroken as error:  # of the people's model, which events are compared with
            return SyncDiff(sync=declared, counts=Counts(), problems=(error,))
        counts = self._counts(compiled, shape, plan, asked, stream.state_rows - stream.copy_rows())
        if self.spelled(shape, counts):
            asked = replace(asked, spellings=True)
            plan = self._changes(compiled, shape, stream, known, asked, planned=True).cte("plan")
            counts = self._counts(compiled, shape, plan, asked, stream.state_rows - stream.copy_rows())
        judged = self.judged(declared, options)
        problems = [*judged.problems, *self._promises(declared, stream, options)]
        problems += self._problems(compiled, shape, counts, options, stream, first_run=first_run)
        problems = [*compiled.stops, *([twice] if twice is not None else []), *problems]
        drift = self._drift(compiled, shape, options)
        problems += self._drift_problems(declared, drift[1]) if drift else []
        try:
            stream.check(asked.now_s * 1000, sends=bool(counts.sendable))
        except StateDamaged as error:
            problems.append(error)
        count = 0 if asked.baseline else counts.sendable
        requests = -(-count // settings.max_batch_operations)
        seconds = max(requests / settings.requests_per_second, count / settings.operations_per_second)
        found = self._samples(shape, plan, stream, known, show) if show else ()
        checked = None if asked.baseline else self._checked(compiled, shape, plan, counts, asked.now_s, check=check)
        if checked is not None and (stopping := [r for r in checked.reasons if r.policy is OnViolation.FAIL]):
            problems.append(stops(sync, stopping, sent=False))
        dual = self._dual_sends(declared)
        held_back = self.quarantine(plan, counts)
        alike = self.lookalikes(shape, plan, stream, counts)
        visits = self._visitors(compiled, shape, stream, asked.now_s)
        return SyncDiff(
            sync=declared, counts=counts, problems=tuple(problems), first_run=first_run, baseline=asked.baseline,
            requests=requests, seconds=seconds, samples=found, fingerprint=_fingerprint(compiled, stream, counts, asked),
            checked=checked, quarantine=held_back, lookalikes=alike, visitors=visits, tests=judged.outcomes,
            contract=Difference.of(Recorded.read(stream.control.contract), declared), dual_sends=dual,
            warnings=(*compiled.notices, *judged.notices, *renames.notices(declared, dual),
                      *_only_recorded(sync, options, first_run=first_run),
                      *(self._drift_notices(declared, drift[1]) if drift else ())),
        )  # fmt: skip

    def _samples(self, shape: Shape, plan: Any, stream: Stream, known: Known, show: int) -> tuple[Sample, ...]:  # noqa: ANN401
        names = [f.name for f in shape.sync.fields]
        out = []
        for row in self.warehouse.fetch(samples(shape, plan, stream.tables, known, show)):
            op, key, rows, *rest = row
            masks = [int(rest.pop(0)) for _ in range(shape.words)] if shape.sync.keeps_values else []
            new, old = rest[: len(names)], rest[len(names) :]
            changes = {
                name: (old[i], new[i])
                for i, name in enumerate(names)
                if (masks[i // MASK_BITS] >> (i % MASK_BITS) & 1 if op == "update" else new[i] is not None)
            }
            out.append(Sample(op=op, key=key, rows=int(rows), changes=changes))
        return tuple(out)

    def candidates(self, syncs: Sequence[CompiledSync], *, show: int) -> tuple[Candidates, ...]:
        """People who may be one person, by the rules of each person sync; writes nothing.

        Args:
            show: how many groups of each rule to read with two keys.
        """
        self.catalog = read_catalog(self.warehouse, self.schema)
        found = []
        for compiled in syncs:
            if compiled.sync.is_person:
                shape = self._bind(compiled)
                with self._located(compiled):
                    found.append(
                        find(self.warehouse, shape, compiled.sql, most=show, catalog=self.catalog, schema=self.schema)
                    )
        return tuple(found)

    # --- what diff and run share ---------------------------------------------------------------------------------

    def judged(self, sync: Sync, options: RunOptions) -> Judged:
        """What the tests of all that a sync reads say; a baseline sends nothing, so nothing stands before it."""
        return self.gate.judge(sync) if self.gate is not None and not options.baseline else NOTHING

    def _today(self, compiled: CompiledSync) -> CompiledSync:
        """The sync as it is sent today: old names whose last day has not passed are sent as well."""
        if not renames.renames(compiled.sync):
            return compiled
        return replace(compiled, sync=renames.today(compiled.sync, self._day_of_warehouse()))

    def _day_of_warehouse(self) -> date:
        """One day for the whole run, even if it runs over midnight."""
        if self._day is None:
            now = self.warehouse.fetch(sa.select(self.warehouse.dialect.now_ms()))[0][0]
            self._day = renames.day_of(int(now) // 1000)
        return self._day

    def _dual_sends(self, declared: Sync) -> tuple[renames.DualSend, ...]:
        if not renames.renames(declared):
            return ()
        return renames.dual_sends(declared, self._day_of_warehouse(), self.journeys)

    def _promises(self, declared: Sync, stream: Stream, options: RunOptions) -> list[RevetlError]:
        """Old names that were promised until a day which has not come yet (recorded with the contract)."""
        recorded = Recorded.read(stream.control.contract)
        if options.accept_contract or recorded.contract is None or recorded.digest == declared.contract_digest():
            return []
        kinds = {"renamed_from"}
        if not any(kinds & set(facts) for facts in (recorded.contract, *recorded.contract.get("fields", ()))):
            return []
        out: list[RevetlError] = []
        for end in early_ends(recorded.contract, declared.contract(), self._day_of_warehouse()):
            now = f"it would be sent until {end.now} only" if end.now else "it would no longer be sent"
            out.append(ContractBroken(
                f"sync {declared.name!r}: the old name {end.name!r} was promised until {end.until}, and {now}; nothing was sent",
                hint=f"put `renamed_from` with `dual_send_until: {end.until}` back; or, if nothing reads {end.name!r} any more: "
                f"revetl run --select {declared.name} --accept-contract",
                where=declared.where, code="RV260",
            ))  # fmt: skip
        return out

    def _drift(self, compiled: CompiledSync, shape: Shape, options: RunOptions) -> tuple[Profile, list[Finding]] | None:
        """How the model differs from the last runs; None, without a statement, where the sync does not ask."""
        drift, uid = shape.sync.drift, shape.sync.uid
        if drift is None:
            return None
        before = profiles(self.warehouse, self.schema, self.catalog, uid, drift.window)
        with self._located(compiled):
            now = profile_of(self.warehouse, shape, compiled.sql, before)
        found = findings(drift, now, before)
        if confirmed(options.confirm_drift, found):
            return replace(now, accepted=True), []
        return now, found

    @staticmethod
    def _drift_problems(sync: Sync, found: Sequence[Finding]) -> list[RevetlError]:
        stops = [one for one in found if one.stop]
        if not stops:
            return []
        return [GuardTripped(f"{stated(sync.name, stops)}; nothing was sent", hint=confirm_hint(sync.name, found),
                             where=sync.where, code="RV269")]  # fmt: skip

    @staticmethod
    def _drift_notices(sync: Sync, found: Sequence[Finding]) -> list[Notice]:
        return [Notice(code=one.code, message=stated(sync.name, [one]), hint=confirm_hint(sync.name, found))
                for one in found if not one.stop]  # fmt: skip

    def _options(self, options: RunOptions, *, baseline: bool) -> Options:
        now = self.warehouse.fetch(sa.select(self.warehouse.dialect.now_ms()))[0][0]
        now_s = int(now) // 1000
        before = [options.backfill_before_s] if options.backfill_before_s is not None else []
        before += [now_s - CAMPAIGN_HORIZON_S] if options.older_only else []
        return Options(
            full_refresh=options.full_refresh, retry_refused=options.retry_refused, backfill=options.backfill,
            before_s=min(before, default=None) if options.backfill and not baseline else None,
            baseline=baseline, now_s=now_s,
        )  # fmt: skip

    def _windowed(self, sync: Sync, stream: Stream, options: RunOptions, *, baseline: bool) -> Options:
        """What is asked of a stream; of a ledger with a `window` of its young part only, where that is enough."""
        asked = self._options(options, baseline=baseline)
        if not sync.window_s or baseline or options.backfill or options.retry_refused or options.full_refresh:
            return asked
        return replace(asked, since_s=stream.compared_from(sync, asked.now_s))

    def _located(self, compiled: CompiledSync) -> AbstractContextManager[None]:
        return _Located(compiled)

    def _bind(self, compiled: CompiledSync) -> Shape:
        with self._located(compiled):
            return bind(compiled.sync, self.warehouse.columns(compiled.sql))

    def _tables(self, shape: Shape) -> StreamTables:
        kinds = zip(shape.sync.fields, shape.canonical, strict=True)
        return self.tables_of(shape.sync, [(field_column(f.name), c.type) for f, c in kinds])

    def tables_of(self, sync: Sync, fields: Sequence[tuple[str, Any]] = ()) -> StreamTables:
        """The tables of a sync's stream; without the columns of its fields unless they are given."""
        return stream_tables(self.schema, sync, fields)

    def followers(self, name: str) -> list[Sync]:
        """The syncs whose rows belong to those of a sync."""
        return [compiled.sync for compiled in self.syncs.values() if name in compiled.sync.owners]

    def touching(self, merging: Sync) -> list[Sync]:
        """The other syncs that send people of the kind of a merge sync, or what belongs to them."""
        people = [
            compiled.sync for compiled in self.syncs.values()
            if compiled.sync.is_person and compiled.sync.identifier is merging.identifier
        ]  # fmt: skip
        belonging = {sync.name: sync for one in people for sync in self.followers(one.name) if sync.name != merging.name}
        return [*people, *belonging.values()]

    def described(self, compiled: CompiledSync) -> tuple[Shape, StreamTables]:
        """A sync's contract bound to its model's columns, and its stream's tables.

        Raises:
            ContractBroken, ConfigError, WarehouseError: the model does not give what the contract needs.
        """
        shape = self._bind(self._today(compiled))
        return shape, self._tables(shape)

    def _stream(self, shape: Shape) -> Stream:
        tables = self._tables(shape)
        kept = self.catalog.get(tables.state.name)
        if kept is not None and (("_variant" in kept) == tables.keeps_values or not set(tables.owned_by) <= set(kept)):
            raise StateDamaged(
                f"the state of {shape.sync.name!r} was kept for a sync of another type than {shape.sync.type}; nothing was sent",
                hint="give the sync a uid of its own; or forget what the old one sent: "
                f"revetl state reset --select {shape.sync.name}",
                where=shape.sync.where,
            )
        return Stream(self.warehouse, tables, self.catalog)

    def _changes(  # noqa: PLR0913 the parts of one question
        self, compiled: CompiledSync, shape: Shape, stream: Stream, known: Known, asked: Options, *, planned: bool
    ) -> sa.Select[Any]:
        sync = compiled.sync
        owners = [
            Owner(column=column, **self._owner(name, planned=planned, merging=sync.type is SyncType.MERGE))
            for column, name in sync.belongs_to.items() if name
        ]
        known = replace(known, suppressed=self._suppressed(sync))
        if sync.type is SyncType.MERGE:
            [people] = owners
            return merges.merge_changes(
                self.warehouse.dialect, shape, compiled.sql, stream.tables, known, asked, people
            )
        return changes(
            self.warehouse.dialect, shape, compiled.sql, stream.tables, known, asked, owners,
            purchases=self._purchases_of(sync, asked, planned=planned),
        )  # fmt: skip

    def look(self) -> None:
        """See which tables the state has now."""
        self.catalog = read_catalog(self.warehouse, self.schema)

    def asked(self, options: RunOptions) -> Options:
        """What the user asked, at the warehouse's time."""
        return self._options(options, baseline=False)

    def classified(
        self, compiled: CompiledSync, asked: Options, *, planned: bool = True
    ) -> tuple[Shape, Known, sa.Subquery]:
        """Each row of an event sync's model and ledger with its `_op` and what the ledger keeps of it.

        Args:
            planned: count on what a run would send before it, as a diff does.

        Raises:
            ContractBroken, ConfigError, StateDamaged, WarehouseError: the model or the state cannot be read.
        """
        compiled = self._today(compiled)
        sync, shape = compiled.sync, self._bind(compiled)
        stream = self._stream(shape)
        stream.read()
        shape = stream.fitted(shape)
        known, _ = stream.known(shape)
        owners = [Owner(column=column, **self._owner(name, planned=planned)) for column, name in sync.belongs_to.items()]
        rows = event_rows(
            self.warehouse.dialect, shape, compiled.sql, stream.tables, known, asked, owners,
            purchases=self._purchases_of(sync, asked, planned=planned), ledger=True,
        )  # fmt: skip
        return shape, known, rows

    def _purchases_of(self, sync: Sync, asked: Options, *, planned: bool) -> Purchases | None:
        """What a refund may undo; None for any other event."""
        if not sync.refund_of:
            return None
        return purchases(self.warehouse.dialect, self._purchase_stream(self.syncs[sync.refund_of]), asked, planned=planned)

    def _purchase_stream(self, compiled: CompiledSync) -> PurchaseStream:
        shape = self._bind(compiled)
        tables = self._tables(shape)
        kept = self.catalog.get(tables.state.name)
        return PurchaseStream(shape=shape, sql=compiled.sql, tables=tables, has_state=kept is not None,
                              money=kept is not None and "_amount" in kept)  # fmt: skip

    def sent_twice(self, syncs: Sequence[CompiledSync]) -> dict[str, RevetlError]:
        """The purchase syncs among `syncs` that give an order of another one; one statement, where there are two."""
        every = [one for one in self.syncs.values() if one.sync.role is Role.PURCHASE]
        chosen = {one.sync.name for one in syncs if one.sync.role is Role.PURCHASE}
        if len(every) < 2 or not chosen:  # noqa: PLR2004 two of them can have the same order
            return {}
        parts: list[tuple[str, sa.Select[Any]]] = []
        for one in every:
            with suppress(ContractBroken, ConfigError):  # said where the sync itself is planned
                parts.append((one.sync.name, model_keys(self.warehouse.dialect, self._bind(one), one.sql)))
            state = self.tables_of(one.sync).state
            if state.name in self.catalog:
                parts.append((one.sync.name, sa.select(state.c._key)))
        try:
            rows = self.warehouse.fetch(overlaps(parts)) if parts else []
        except WarehouseError as error:
            return dict.fromkeys(chosen, error)
        found: dict[str, RevetlError] = {}
        for first, last, orders, *keys in rows:
            for name in sorted({first, last} & chosen):
                other = last if name == first else first
                found.setdefault(name, ContractBroken(
                    f"sync {name!r}: {orders:,} of its orders are those of sync {other!r} too, and would count twice; "
                    "nothing of it was sent",
                    hint=f"let one of the two models leave them out; if they are other orders with the same number, "
                    f"put the shop into the key. Then: revetl diff --select {name} {other}",
                    where=self.syncs[name].sync.where, code="RV270",
                    keys=[masked(str(key)) for key in dict.fromkeys(keys)],
                ))  # fmt: skip
        return found

    def _suppressed(self, sync: Sync) -> sa.Select[Any] | None:
        """Keys of people of whom nothing is sent: those that a suppression sync has sent, or is to send."""
        if not sync.names_people or sync.type is SyncType.SUPPRESSION:
            return None
        found = next((c for c in self.syncs.values() if c.sync.type is SyncType.SUPPRESSION), None)
        if found is None or found.sync.identifier is not sync.identifier:
            return None
        keys = model_keys(self.warehouse.dialect, self._bind(found), found.sql).subquery("suppressing").c._key
        listed: list[sa.Select[Any]] = [sa.select(keys).where(keys.is_not(None))]
        state = self.tables_of(found.sync).state
        if state.name in self.catalog:
            listed.append(sa.select(state.c._key))
        return sa.select(sa.union_all(*listed).subquery("suppressed").c._key)

    def _owner(self, name: str, *, planned: bool, merging: bool = False) -> dict[str, Any]:
        """Those to whom a row may belong: what is in their state, and in a diff what the run would create."""
        owner = self.syncs[name]
        tables = self.tables_of(owner.sync)
        known: list[sa.Select[Any]] = []
        if tables.state.name in self.catalog:
            known.append(sa.select(tables.state.c._key))
        if planned:
            shape = self._bind(owner)
            known.append(model_keys(self.warehouse.dialect, shape, owner.sql))
        if not known:
            known.append(sa.select(sa.cast(sa.null(), sa.Text).label("_key")).where(sa.false()))
        live = (sa.union(*known) if len(known) > 1 else known[0]).subquery("live")
        doubts: list[sa.Select[Any]] = []
        if tables.open.name in self.catalog:
            o = tables.open.c
            doubts.append(sa.select(o._key).where(o._outcome == "unknown", o._variant == ""))
        if MERGED in self.catalog and not merging:
            doubts.append(merges.under_way(self.schema, owner.sync))
        return {"live": live, "doubtful": sa.union(*doubts).subquery("doubtful") if doubts else None}

    def _counts(self, compiled: CompiledSync, shape: Shape, plan: Any, asked: Options, state_rows: int) -> Counts:  # noqa: ANN401
        with self._located(compiled):
            rows = self.warehouse.fetch(summary(self.warehouse.dialect, shape, plan, asked))
        counts = read_counts(shape, rows, max(0, state_rows), fingerprint=asked.fingerprint)
        counts = replace(counts, compared_since_s=asked.since_s)
        if asked.backfill and not asked.baseline:
            return counts
        return replace(counts, triggering=0, triggering_since_s=None)  # what an ordinary run sends is meant to start them

    def read_violations(
        self, sync: Sync, rows: sa.Select[Any], tally: Tally, *, now_s: int, failing: bool = False
    ) -> tuple[int, int, int]:
        """Encode rows as a run does and send none: how many there are, would be refused, and would warn.

        Args:
            failing: only violations that stop the sync are counted.
        """
        encoder = encoder_for(sync, now_s=now_s)
        at = 2 if sync.keeps_values else 1
        found = [0, 0, 0]
        for page in self.warehouse.pages(rows, PAGE_ROWS):
            encoded = encoder.encode(page)
            broken = [r for r in encoded.refusals if r.fails or not failing]
            warned = [] if failing else encoded.warnings
            keys = {row[0]: row[at] for row in page} if broken or warned else {}
            told: list[Refusal | Warned] = [*broken, *warned]
            for one in told:
                tally.add(one, masked(str(keys[one.seq])))
            for i, more in enumerate((len(page), len(broken), len({one.seq for one in warned}))):
                found[i] += more
        return found[0], found[1], found[2]

    def _checked(  # noqa: PLR0913 the parts of one question
        self, compiled: CompiledSync, shape: Shape, plan: Any, counts: Counts, now_s: int, *, check: bool  # noqa: ANN401
    ) -> Checked | None:
        """What the rows that would be sent break; the rules that stop the sync are always tried."""
        if not check:
            shape = failing(shape)
        if not counts.first or not shape.sync.fields:
            return Checked(rows=0, refused=0, warned=0, reasons=()) if check else None
        tally = Tally()
        with self._located(compiled):
            rows = to_send(self.warehouse.dialect, shape, plan, counts.widest, 1, counts.first)
            read, refused, warned = self.read_violations(shape.sync, rows, tally, now_s=now_s, failing=not check)
        return Checked(rows=read, refused=refused, warned=warned, reasons=tally.reasons(), whole=check)

    def quarantine(self, plan: Any, counts: Counts) -> tuple[Reason, ...]:  # noqa: ANN401 a table or a CTE
        """Why rows are held back that would collide, each with one masked key; asked only where there are some."""
        if not counts.quarantined:
            return ()
        c = plan.c
        query = sa.select(c._op, sa.func.min(c._key)).where(c._op.in_(list(counts.quarantined))).group_by(c._op)
        keys = {op: masked(str(key)) for op, key in self.warehouse.fetch(query)}
        return tuple(
            Reason(reason=word, field="", message=QUARANTINED[word], rows=rows, example=keys.get(word, ""))
            for word, rows in counts.quarantined.items()
        )

    def lookalikes(self, shape: Shape, plan: Any, stream: Stream, counts: Counts) -> tuple[Reason, ...]:  # noqa: ANN401
        """New ids that look like other ids; asked only where somebody is new."""
        if not asks_for_lookalikes(shape, counts):
            return ()
        state = stream.tables.state if stream.tables.state.name in stream.catalog else None
        return reasons(self.warehouse.fetch(lookalikes(plan, state)), masked)

    def _visitors(self, compiled: CompiledSync, shape: Shape, stream: Stream, now_s: int) -> Visitors:
        """What becomes of anonymous events; asked only of a sync that sends them, for people who have anonymous ids."""
        sync = compiled.sync
        people = self.syncs.get(sync.person_sync)
        if shape.anonymous is None or sync.no_person is not NoPerson.ANONYMOUS or people is None:
            return NO_VISITORS
        if people.sync.named("anonymous_id") is None:
            return NO_VISITORS
        state = self.tables_of(people.sync).state
        kept = sa.Table(state.name, sa.MetaData(), sa.Column("anonymous_id", sa.Text), schema=state.schema)
        query = visitors(
            self.warehouse.dialect, shape, compiled.sql, stream.tables if stream.exists else None, self._bind(people),
            people.sql, kept if "anonymous_id" in self.catalog.get(state.name, {}) else None, now_s,
        )  # fmt: skip
        [(tied, stale, hot, known)] = self.warehouse.fetch(query)
        return Visitors(tied=int(tied), stale=int(stale), hot=int(hot), known=int(known))

    @staticmethod
    def spelled(shape: Shape, counts: Counts) -> bool:
        """Whether repeated keys may be one address in different spellings, so that the plan is made again without them."""
        return bool(counts.duplicate_keys) and shape.sync.is_person and shape.sync.identifier is IdentifierKind.EMAIL

    def _problems(  # noqa: PLR0913 all that a guard may look at
        self, compiled: CompiledSync, shape: Shape, counts: Counts, options: RunOptions, stream: Stream, *, first_run: bool
    ) -> list[RevetlError]:
        sync = shape.sync
        problems: list[RevetlError] = []
        keys: list[str] = []
        if counts.duplicate_keys:
            rows = self.warehouse.fetch(repeated_keys(self.warehouse.dialect, shape, compiled.sql, EXAMPLES))
            keys = [masked(str(key)) for (key,) in rows]
        if wrong := broken(shape, counts, keys):
            problems.append(wrong)
        if wrong := collisions(shape, counts):
            problems.append(wrong)
        if counts.contradictions:
            problems.append(self._contradiction(compiled, shape, counts, stream))
        was = stream.control.key_kind
        if was and was != str(shape.key.kind):
            problems.append(
                ContractBroken(
                    f"sync {sync.name!r}: the key column {sync.key!r} was {was} and is {shape.key.kind} now, so every "
                    "key may be written differently; nothing was sent",
                    hint="cast the key back in the model; or, if its texts are the same, cast it to text once and "
                    f"run: revetl state accept-key --select {sync.name}",
                    where=sync.where,
                    code="RV202",
                )
            )
        if options.baseline:
            return problems  # nothing is sent, so no guard has anything to guard
        if first_run and sync.type.happens and sync.initial is Initial.SEND and not options.backfill:
            problems.append(
                GuardTripped(
                    f"sync {sync.name!r}: the first run would send {counts.sendable + counts.late:,} {sync.type.noun} of the "
                    f"past ({counts.late:,} of them can no longer trigger campaigns); nothing was sent",
                    hint=f"revetl run --select {sync.name} --backfill; or set `initial: baseline` to start from now",  # noqa: S608 no SQL
                    where=sync.where,
                    code="RV214",
                )
            )
        # the first load may take several runs, if one was stopped: it is complete when one has ended well
        loading = not stream.control.last_success_at or (options.backfill and not sync.keeps_values)
        people = self._people_known(sync) if sync.type is SyncType.SUPPRESSION else None
        problems.extend(guards(shape, counts, options.confirmed, first_run=first_run, loading=loading, people=people))
        return problems

    def _people_known(self, sync: Sync) -> int:
        """How many people the state of a sync's people has."""
        owner = self.syncs.get(sync.person_sync)
        state = self.tables_of(owner.sync).state if owner is not None else None
        if state is None or state.name not in self.catalog:
            return 0
        return int(self.warehouse.fetch(sa.select(sa.func.count()).select_from(state))[0][0])
    def _contradiction(self, compiled: CompiledSync, shape: Shape, counts: Counts, stream: Stream) -> RevetlError:
        people = Owner(column="_person", **self._owner(shape.sync.person_sync, planned=True, merging=True))
        known, _ = stream.known(shape)
        rows = self.warehouse.fetch(
            merges.contradictions(
                self.warehouse.dialect, shape, compiled.sql, stream.tables, known, Options(now_s=0), people, EXAMPLES
            )
        )
        return merges.broken(shape, counts, [masked(str(key)) for (key,) in rows])

    # --- run -------------------------------------------------------------------------------------------------

    def expect(self, syncs: Sequence[CompiledSync], options: RunOptions, *, settings: DeliverySettings) -> None:
        """Compare what a run would do now with the diff that was approved.

        Raises:
            GuardTripped: it is not the same.
        """
        found = self.diff(syncs, options, settings=settings).fingerprint
        if found != options.expect:
            raise GuardTripped(
                f"the approved plan is {options.expect}, and what would be sent now is {found or 'not known'}: rows, a model, "
                "a contract or the state have changed since; nothing was sent",
                hint="look at it again and approve that: revetl diff",
                code="RV217",
            )

    def run(  # noqa: PLR0913 the run's surroundings, each injected
        self,
        syncs: Sequence[CompiledSync],
        options: RunOptions,
        *,
        connect: Callable[[], Destination],
        settings: DeliverySettings,
        rng: random.Random,
        owner: str,
        stopping: Callable[[Callable[[RevetlError], None]], None] = lambda _: None,
        identify_timestamp: bool = False,
        key_print: str = "",
    ) -> RunResult:
        """Plan and deliver. Never raises for what a run can meet: it is in the result.

        Args:
            syncs: in the order of work: people before what belongs to them.
            connect: makes the destination when the first row has to be sent.
            owner: who this run is, shown to runs that find the lease taken.
            stopping: is given a function that ends the run cleanly (for signals).
            key_print: a digest of the credentials, by which `revetl status` tells how old they are.
        """
        work = _Run(self, options, connect=connect, settings=settings, rng=rng, owner=owner,
                    identify_timestamp=identify_timestamp, key_print=key_print)  # fmt: skip
        stopping(work.stop)
        return work.run(syncs)


class _Run:
    """The state of one run in memory; everything durable is in `Stream`."""

    def __init__(  # noqa: PLR0913 the run's surroundings
        self, engine: Engine, options: RunOptions, *, connect: Callable[[], Destination], settings: DeliverySettings,
        rng: random.Random, owner: str, identify_timestamp: bool, key_print: str,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.warehouse = engine.warehouse
        self.clock = engine.clock
        self.observer = engine.observer
        self.options = options
        self.settings = settings
        self.rng = rng
        self.owner = owner
        self.connect = connect
        self.identify_timestamp = identify_timestamp
        self.key_print = key_print
        self.run_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        self.destination: Destination | None = None
        self.delivery: Delivery | None = None
        self.share: Share | None = None
        self.share_until = 0.0
        self.workspace: Stream | None = None
        self.workspace_lease: Lease | None = None
        self.held: list[_Job] = []
        self.kept: list[tuple[Stream, Lease]] = []  # of what belongs to people, while they are deleted
        self.stopped: RevetlError | None = None
        self.sending: _Job | None = None
        self.plan_ts: int | None = None

    def stop(self, error: RevetlError) -> None:
        """End the run cleanly at the next safe point (called from a signal handler)."""
        self.stopped = self.stopped or error
        if self.delivery is not None:
            self.delivery.stop(error)

    def run(self, syncs: Sequence[CompiledSync]) -> RunResult:
        wall, began = time.time(), self.clock.monotonic()
        results: dict[str, SyncResult] = {}
        error: RevetlError | None = None
        try:
            self._open()
            self._work(syncs, results)
        except RevetlError as problem:
            error = problem
        finally:
            if self.destination is not None:
                self.destination.close()
        for leave in (self._release_workspace, self.share.give_back if self.share else lambda: None):
            try:
                leave()
            except RevetlError as problem:
                error = error or problem
        for compiled in syncs:
            results.setdefault(compiled.sync.name, SyncResult(sync=compiled.sync, status="skipped"))
        stats = self.delivery.stats if self.delivery else None
        result = RunResult(
            run_id=self.run_id, started_at=wall, seconds=self.clock.monotonic() - began,
            syncs=tuple(self._with_tests(results[c.sync.name]) for c in syncs),
            requests=stats.requests if stats else 0, retries=stats.retries if stats else 0,
            bytes_sent=stats.bytes if stats else 0, statements=self.warehouse.statements,
            error=error or self.stopped,
        )  # fmt: skip
        self._log(result)
        return replace(result, statements=self.warehouse.statements)

    def _with_tests(self, result: SyncResult) -> SyncResult:
        gate = self.engine.gate
        return replace(result, tests=gate.seen(result.sync)) if gate is not None else result

    def _open(self) -> None:
        engine = self.engine
        engine.catalog = read_catalog(self.warehouse, engine.schema)
        new = not engine.catalog.keys() >= set(SHARED)
        ensure_schema(self.warehouse, engine.schema, engine.catalog)
        if new:
            engine.catalog = read_catalog(self.warehouse, engine.schema)
        self.workspace = Stream(self.warehouse, StreamTables(schema=engine.schema, uid="ws"), engine.catalog)
        self.workspace.create("the workspace")
        engine.catalog = self.workspace.catalog
        self.workspace.read()

    def _work(self, syncs: Sequence[CompiledSync], results: dict[str, SyncResult]) -> None:
        """People's upserts, then what belongs to them, then deletes, in the opposite order."""
        deletes: list[_Job] = []
        try:
            self._upserts_and_events(syncs, results, deletes)
            self._release_workspace()
            deletes.sort(key=lambda job: -job.sync.type.phase)
            while deletes and not self.stopped:
                job = deletes.pop(0)
                try:
                    self._delete(job)
                    results[job.sync.name] = self._finish(job)
                except RevetlError as problem:
                    results[job.sync.name] = self._failed(job.compiled, job, self._cause(job, problem))
        finally:
            for job in deletes:
                # the run ends before its time: what was sent is folded, the deletes are planned again by the next run
                results[job.sync.name] = self._failed(job.compiled, job, None)

    def _delete(self, job: _Job) -> None:
        """Send a stream's deletes, while no other run sends what belongs to its people.

        An event that comes after its person was deleted would make the person again, and no run would see it. Where
        another run is at work on the events, the deletes are left to the next run.
        """
        engine = self.engine
        try:
            for sync in engine.followers(job.sync.name):
                self._keep(sync, job.sync.name)
            for theirs, lease in self.kept:
                self._disown(job, theirs, lease)
            self._send_upto(job, job.counts.last)
        except LeaseHeld as busy:
            self.observer.note(f"{job.sync.name}: the deletes are left to the next run: {busy.message}")
        finally:
            self._release_kept()

    def _merge(self, job: _Job) -> None:
        """Send a stream's merges, while no other run sends anything of these people.

        What comes for a secondary after its merge would make it again. Where another run is at work on these people, the
        merges are left to the next run.
        """
        if not job.counts.sendable and not job.sent_intent:
            return
        try:
            if not job.sent_intent:  # else a baseline, which sends nothing
                self._hold_still(job)
            merges.bury(job.stream, job.lease, job.plan.table, job.sync)
            try:
                self._send_upto(job, job.counts.first)
            finally:
                if job.folded >= job.hwm:  # else the next run settles the plan, and then these
                    merges.settle(job.stream, job.lease, job.sync)
        except LeaseHeld as busy:
            self.observer.note(f"{job.sync.name}: the merges are left to the next run: {busy.message}")
        finally:
            self._release_kept()

    def _hold_still(self, job: _Job) -> None:
        """Take the leases of all that sends anything of the people to merge, unless this run has them.

        Raises:
            LeaseHeld: another run has one; or the people are others than when the plan was made.
        """
        engine, mine = self.engine, {one.sync.uid for one in self.held}
        for sync in engine.touching(job.sync):
            if sync.uid not in mine:
                self._keep(sync, job.sync.name)
        people = engine.tables_of(engine.syncs[job.sync.person_sync].sync)
        if merges.moved_on(job.stream, job.plan.table, people, job.counts.first):
            raise LeaseHeld("the people have changed since the plan was made")

    def _keep(self, sync: Sync, for_whom: str) -> None:
        """Take the lease of a stream that this run does not send now, so that no other run does."""
        engine = self.engine
        theirs = Stream(self.warehouse, engine.tables_of(sync), engine.catalog)
        if not theirs.exists:
            return
        lease = theirs.acquire(self.owner)
        self.kept.append((theirs, lease))
        self._wait_for_drain(theirs, for_whom)
        if sync.keeps_values and (left := theirs.left_over()):
            # what an earlier run left would come back into the state after it was forgotten
            whole = engine._stream(engine._bind(engine.syncs[sync.name]))
            whole.read()
            whole.fold(lease, left, hwm=whole.control.hwm)
            engine.catalog = theirs.catalog = whole.catalog
            theirs.read()

    def _release_kept(self) -> None:
        kept, self.kept = self.kept, []
        for theirs, lease in kept:
            with suppress(RevetlError):  # what went wrong before is the thing to tell; the lease ends by itself
                theirs.release(lease, success=False)

    def _forget_suppressed(self, job: _Job) -> None:
        """Forget what was acknowledged of people who are suppressed now, as Customer.io does.

        Before anything is sent, as in `_disown`. Ledgers stay: what was sent once is not sent again to somebody who
        is freed later.
        """
        plan = job.plan.table.c
        theirs = sa.select(plan._key).where(plan._seq <= job.counts.first)
        try:
            for compiled in self.engine.syncs.values():
                sync = compiled.sync
                if sync.names_people and sync.keeps_values and sync.type is not SyncType.SUPPRESSION and (
                    sync.identifier is job.sync.identifier
                ):
                    self._keep(sync, job.sync.name)
            for stream, lease in self.kept:
                state = stream.tables.state.c
                whose = state["_person"] if "_person" in state else state["_key"]
                stream.purge(lease, state=whose.in_(theirs), open_rows=sa.false())
        finally:
            self._release_kept()

    def _disown(self, job: _Job, theirs: Stream, lease: Lease) -> None:
        """Forget what was acknowledged of rows whose owner is deleted now: it goes with the owner.

        Before the deletes are sent: were it forgotten afterwards, a run that dies between the two would leave rows that
        look acknowledged when their owner returns.
        """
        column = next((c for c, name in theirs.tables.owned_by.items() if name == job.sync.name), "")
        if not column:
            return
        plan = job.plan.table.c
        gone = sa.select(plan._key).where(plan._op.in_(SEND_LAST))
        theirs.purge(lease, state=theirs.tables.state.c[column].in_(gone), open_rows=sa.false())

    def _upserts_and_events(
        self, syncs: Sequence[CompiledSync], results: dict[str, SyncResult], deletes: list[_Job]
    ) -> None:
        failed: set[str] = set()
        twice = self.engine.sent_twice(syncs)
        for compiled in syncs:
            sync = compiled.sync
            if self.stopped:
                return
            if broken_owners := failed & set(sync.owners):
                results[sync.name] = SyncResult(sync=sync, status="skipped")
                self.observer.note(f"{sync.name}: skipped, because {min(broken_owners)} failed")
                continue
            job: _Job | None = None
            try:
                if sync.name in twice:
                    raise twice[sync.name]
                judged = self.engine.judged(sync, self.options)
                if judged.problems:
                    raise judged.problems[0]
                job = self._prepare(compiled)
                job.warnings[:0] = judged.notices
                self._begin(job)
                if sync.type is SyncType.SUPPRESSION and job.counts.first:
                    self._forget_suppressed(job)
                if sync.type is SyncType.MERGE:
                    self._merge(job)
                else:
                    self._send_upserts(job)
                if job.counts.last > job.counts.first and not self.stopped:
                    deletes.append(job)
                    continue
                results[sync.name] = self._finish(job)
            except RevetlError as error:
                problem = self._cause(job, error)
                failed.add(sync.name)
                results[sync.name] = self._failed(compiled, job, problem)
                if self.options.fail_fast or isinstance(problem, LeaseLost | CredentialsRefused | DestinationDown):
                    raise problem from None
                if self.stopped:
                    return

    # --- one stream --------------------------------------------------------------------------------------------

    def _prepare(self, compiled: CompiledSync) -> _Job:
        """Acquire, settle, plan, check. Leaves nothing behind but the lease if it raises."""
        engine, declared = self.engine, compiled.sync
        started = self.clock.monotonic()
        if compiled.stops:
            raise compiled.stops[0]
        compiled = engine._today(compiled)
        sync = compiled.sync
        shape = engine._bind(compiled)
        if sync.type is SyncType.MERGE and merges.prepare(self.warehouse, engine.schema, engine.catalog):
            engine.catalog = read_catalog(self.warehouse, engine.schema)
        stream = engine._stream(shape)
        stream.create(sync.name)
        engine.catalog = stream.catalog
        lease_until = self.clock.monotonic() + LEASE_MS / 1000
        lease = stream.acquire(self.owner)
        try:
            self._same_workspace(stream)
            if left := stream.left_over():
                self.observer.note(f"{sync.name}: settling what run {left.fence} left")
                stream.fold(lease, left, hwm=stream.control.hwm)
                stream.read()  # the state has other rows now
            stream.drop_plans(keep=lease.fence)
            if MERGED in stream.catalog:
                merges.catch_up(stream, lease, sync)
            engine.catalog = stream.catalog
            first_run = not stream.control.initialised
            shape = stream.fitted(shape)
            self._copies(stream, lease, sync)
            known, contracts = stream.known(shape)
            only_record = self.options.baseline or (first_run and sync.initial is Initial.BASELINE)
            asked = engine._windowed(declared, stream, self.options, baseline=only_record)
            select = engine._changes(compiled, shape, stream, known, asked, planned=False)
            with engine._located(compiled):
                plan = stream.freeze(lease, shape, select, known.contract)
            counts = engine._counts(compiled, shape, plan.table, asked, stream.state_rows - stream.copy_rows())
            if engine.spelled(shape, counts):
                asked = replace(asked, spellings=True)
                stream.drop_plan(lease.fence)
                select = engine._changes(compiled, shape, stream, known, asked, planned=False)
                with engine._located(compiled):
                    plan = stream.freeze(lease, shape, select, known.contract)
                counts = engine._counts(compiled, shape, plan.table, asked, stream.state_rows - stream.copy_rows())
            plan = replace(plan, released=counts.freeing if counts.released else 0)
            problems = engine._promises(declared, stream, self.options)
            problems += engine._problems(compiled, shape, counts, self.options, stream, first_run=first_run)
            drift = engine._drift(compiled, shape, self.options)
            problems += engine._drift_problems(declared, drift[1]) if drift else []
            if problems:
                raise problems[0]
            stream.check(asked.now_s * 1000, sends=bool(counts.sendable or counts.held_new), lease=lease)
            version = self._version(stream, lease, declared)
            if drift:
                keep_profile(stream, lease, drift[0], self.run_id)
                engine.catalog = {**engine.catalog, PROFILES: {}}
        except RevetlError:
            self._give_back(stream, lease)
            raise
        dual = engine._dual_sends(declared)
        job = _Job(
            compiled=compiled, declared=declared, version=version.number, dual_sends=dual,
            warnings=[*compiled.notices, *renames.notices(declared, dual),
                      *_only_recorded(sync, self.options, first_run=first_run),
                      *(engine._drift_notices(declared, drift[1]) if drift else ())],
            stream=stream,
            lease=lease, shape=shape, plan=plan, counts=counts, contracts=contracts,
            first_run=first_run, started=started, key_kind=str(shape.key.kind), lease_until=lease_until,
            now_s=asked.now_s, baseline=asked.baseline,
            ages=Ages() if sync.latency != Latency() and not self.options.backfill else None,
            planned_s=asked.now_s - self.clock.monotonic(),
        )  # fmt: skip
        self.held.append(job)
        self.observer.planned(sync, counts)
        return job

    def _copies(self, stream: Stream, lease: Lease, sync: Sync) -> None:
        """Write down where the second name of an event begins and ends."""
        known = stream.control.known_copies()
        name = sync.renamed_from.name if sync.renamed_from is not None else ""
        if name and not known.get(name):
            stream.begin_copies(lease, name)
        for other, since in known.items():
            if since and other != name:
                stream.end_copies(lease, other)

    def _version(self, stream: Stream, lease: Lease, declared: Sync) -> Recorded:
        """The version of the contract of this run, kept if it is a new one."""
        recorded = Recorded.read(stream.control.contract)
        version = recorded.next(declared)
        if version is recorded:
            return recorded
        version = keep_contract(stream, lease, version, self.run_id)
        self.engine.catalog = {**self.engine.catalog, CONTRACTS: {}}
        return version

    def _begin(self, job: _Job) -> None:
        """What comes between the plan and its first row; a failure here is one of the job, which gives its lease back."""
        if job.baseline:
            self._baseline(job)
        elif job.counts.sendable:
            job.stream.index(job.plan)
            self._stop_on_violations(job)
        if job.counts.held_new:
            job.stream.hold_expired(job.lease, job.plan.table)

    def _stop_on_violations(self, job: _Job) -> None:
        """Read the whole plan before its first row goes out, where the contract has rules that stop the sync.

        Raises:
            ContractBroken: a row breaks one.
        """
        last, narrow = job.counts.first, failing(job.shape)
        if not narrow.sync.fields or not last:
            return
        renew_at = self.clock.monotonic() + CHECKPOINT_S / 2
        for low in range(1, last + 1, SNAPSHOT_CHUNK_ROWS):
            high = min(last, low + SNAPSHOT_CHUNK_ROWS - 1)
            rows = to_send(self.warehouse.dialect, narrow, job.plan.table, job.counts.widest, low, high)
            self.engine.read_violations(narrow.sync, rows, job.tally, now_s=job.now_s, failing=True)
            if self.clock.monotonic() >= renew_at:
                with self._renewing(job):
                    job.stream.renew(job.lease)
                self._renew_others(job)
                renew_at = self.clock.monotonic() + CHECKPOINT_S / 2
        if job.tally:
            raise stops(job.sync, job.tally.reasons(), sent=True)

    def _cause(self, job: _Job | None, problem: RevetlError) -> RevetlError:
        """The reason to tell.

        A run whose place was taken may find its plan gone before it finds its lease gone; and what the warehouse says of a
        table that somebody has changed does not tell whose it is.
        """
        if job is None or not isinstance(problem, WarehouseError | StateDamaged):
            return problem
        with suppress(RevetlError):
            try:
                job.stream.renew(job.lease)
            except LeaseLost as lost:
                return lost
            if isinstance(problem, WarehouseError) and (gone := job.stream.lost()):
                return changed_meanwhile(job.sync.name, gone)
        return problem

    def _give_back(self, stream: Stream, lease: Lease) -> None:
        try:
            stream.drop_plan(lease.fence)
            stream.release(lease, success=False)
        except LeaseLost:
            raise  # another run has dropped what this one looked for
        except RevetlError:
            return  # the first error is the one to tell; the lease ends by itself

    def _same_workspace(self, stream: Stream) -> None:
        """The state belongs to one workspace (checked before the first request of a run that sends)."""
        assert self.workspace is not None  # noqa: S101 opened in `_open`
        mine, its = stream.control.workspace_id, self.workspace.control.workspace_id
        if mine and its and mine != its:
            raise StateDamaged(
                f"the state of {stream.control.name!r} belongs to another workspace than the rest of {self.engine.schema}",
                hint="use one state_schema for each workspace",
            )

    def _baseline(self, job: _Job) -> None:
        """Record every row as already synced; nothing is sent."""
        self._ensure_destination(job)
        rows = job.counts.sendable
        job.hwm = rows
        self._intend(job, rows)
        if rows:
            job.covered.append((1, rows))
            job.stream.checkpoint(job.lease, job.take_acks())
            job.acknowledged = rows
        job.counts = replace(job.counts, first=0, last=0)

    def _intend(self, job: _Job, hwm: int) -> None:
        assert self.workspace is not None  # noqa: S101 opened in `_open`
        workspace = self.workspace.control.workspace_id
        with self._renewing(job):
            job.stream.intend(
                job.lease, job.plan, hwm, contracts=job.contracts, key_kind=job.key_kind, workspace_id=workspace,
                name=job.sync.name, plan_rows=job.counts.sendable,
            )  # fmt: skip
        job.sent_intent, job.hwm = True, hwm

    @contextmanager
    def _renewing(self, job: _Job) -> Iterator[None]:
        """Around a statement that renews the lease: it counts from before, as the statement may have taken long."""
        began = self.clock.monotonic()
        yield
        job.lease_until = began + LEASE_MS / 1000

    def _checkpoint(self, job: _Job, *, hwm: int | None = None) -> None:
        with self._renewing(job):
            job.stream.checkpoint(job.lease, job.take_acks(), hwm=hwm, doubt=job.doubt)

    def _ensure_destination(self, job: _Job) -> Delivery:
        """Connect once, and refuse a workspace that the state does not belong to."""
        assert self.workspace is not None  # noqa: S101 opened in `_open`
        if self.destination is None:
            self.destination = self.connect()
            found = self.destination.workspace_id()
            pinned = self.workspace.control.workspace_id
            if pinned and pinned != found:
                raise StateDamaged(
                    f"the state in {self.engine.schema} belongs to workspace {pinned}, and these credentials are of "
                    f"workspace {found}; nothing was sent",
                    hint="use the credentials of the right workspace, or another state_schema for this one "
                    "(for a sandbox that was emptied: revetl state reset)",
                )
            if not pinned:
                self.workspace.pin(found)
            if self.key_print:
                self.workspace.note_key(self.key_print)
            self.delivery = Delivery(
                self.destination, self.settings, clock=self.clock, rng=self.rng, may_send=self._may_send
            )
            if self.stopped:
                self.delivery.stop(self.stopped)
        assert self.delivery is not None  # noqa: S101 made with the destination
        del job
        return self.delivery

    def _may_send(self) -> bool:
        job = self.sending
        return job is None or self.clock.monotonic() < job.lease_until - SEND_MARGIN_S

    # --- sending ---------------------------------------------------------------------------------------------

    def _send_upto(self, job: _Job, last: int) -> None:
        """Send the plan's rows up to number `last` that are not sent yet, in chunks, and fold them."""
        low = job.hwm + 1
        if job.sent_intent and not job.counts.sendable:
            self._fold(job, final=True)  # a baseline
            return
        if low > last or self.stopped:
            return
        delivery = self._ensure_destination(job)
        if job.sync.type.writes_people:
            self._take_workspace()
        encoder = encoder_for(job.sync, timestamp=self.plan_ts, now_s=job.now_s)
        if not job.sent_intent:
            self._wait_for_drain(job.stream, job.sync.name)
        self._wait_for_share(job, delivery)
        self.sending = job
        collect_every = gc.get_threshold()
        gc.set_threshold(ALLOCATIONS, *collect_every[1:])
        try:
            while low <= last and not delivery.stopped:
                high, chunk = self._read_chunk(job, encoder, low, last)
                if job.sent_intent:
                    self._checkpoint(job, hwm=high)
                    job.hwm = high
                else:
                    self._intend(job, high)
                self._renew_others(job)
                self._wait_for_share(job, delivery)
                self._deliver(job, delivery, chunk, low, high)
                low = high + 1
        finally:
            gc.set_threshold(*collect_every)
            self.sending = None
        self._checkpoint(job)
        self._fold(job, final=job.hwm >= job.counts.last)
        if delivery.stopped:
            raise delivery.stopped
        if delivery.gave_up:
            reason, delivery.gave_up = delivery.gave_up, ""
            raise DestinationDown(
                f"sync {job.sync.name!r}: some requests got no usable answer in {self.settings.attempts} attempts "
                f"({reason}); what they carried is not lost",
                hint=f"unanswered rows are sent again, with the same event ids: revetl run --select {job.sync.name}",
            )

    def _send_upserts(self, job: _Job) -> None:
        """Send the phase before the events: where an address changes hands, who gives it up goes first."""
        counts = job.counts
        if counts.freeing and (counts.later or counts.redriven) and not job.baseline:
            self._send_upto(job, counts.freeing)
            if job.refused and counts.later and not self.stopped:
                # some address may not be free, and Customer.io would drop it for its new owner without a word
                self._send_upto(job, counts.first - counts.later)
                job.not_sent = merged([*job.not_sent, (counts.first - counts.later + 1, counts.first)])
                self._checkpoint(job, hwm=counts.first)
                job.hwm = counts.first
                self._fold(job, final=counts.first == counts.last)
                return
        self._send_upto(job, counts.first)

    def _fold(self, job: _Job, *, final: bool) -> None:
        """Move what is known into the state; a final fold closes the plan, so that its table may go."""
        job.stream.fold(job.lease, job.plan, hwm=job.hwm, above=job.folded, final=final)
        job.folded, job.resolved = job.hwm, final
        self.engine.catalog = job.stream.catalog

    def _wait_for_drain(self, stream: Stream, name: str) -> None:
        left = stream.drain_left_s() if stream.control.drain_until else 0.0
        if left > 0:
            self.observer.note(f"{name}: waiting {left:.0f} s, so that no unanswered request of an earlier run arrives later")
            self.clock.wait(left)

    def _wait_for_share(self, job: _Job, delivery: Delivery) -> None:
        """Ask again for a part of the workspace's rate, if it is time; wait while other runs have all of it."""
        assert self.workspace is not None  # noqa: S101 opened in `_open`
        if self.clock.monotonic() < self.share_until:
            return
        self.share = self.share or Share(
            self.warehouse, self.workspace, schema=self.engine.schema, owner=self.owner, backfill=self.settings.backfill_share
        )
        lane: Lane = "backfill" if self.options.backfill and not job.sync.keeps_values else "live"
        told = False
        while not delivery.stopped:
            if part := self.share.ask(lane):
                delivery.share(part)
                self.share_until = self.clock.monotonic() + EVERY_S
                return
            if not told:
                self.observer.note(f"{job.sync.name}: waiting for other runs to leave a part of the workspace's rate")
                told = True
            self.clock.wait(ASK_AGAIN_S)
            with self._renewing(job):
                job.stream.renew(job.lease)
            self._renew_others(job)

    def _read_chunk(
        self, job: _Job, encoder: Encoder, low: int, last: int
    ) -> tuple[int, Encoded]:
        """Rows of the frozen plan as operations, bounded by rows and bytes; the cursor is closed before any is sent."""
        most = SNAPSHOT_CHUNK_ROWS if job.sync.keeps_values else LEDGER_CHUNK_ROWS
        select = to_send(
            self.warehouse.dialect, job.shape, job.plan.table, job.counts.widest, low, min(last, low + most - 1)
        )
        chunk = Encoded([], [], [])
        job.moments = []
        high, size = low - 1, 0
        for page in self.warehouse.pages(select, PAGE_ROWS):
            encoded = encoder.encode(page)
            chunk.operations.extend(encoded.operations)
            chunk.refusals.extend(encoded.refusals)
            chunk.warnings.extend(encoded.warnings)
            if job.ages is not None:
                job.moments.extend(row[OCCURRED_AT] for row in page)
            if page[0][0] != high + 1 or page[-1][0] != high + len(page):
                high = low - 1
                break
            high += len(page)
            size += sum(len(body) for _, body in encoded.operations)
            if size > CHUNK_BYTES:
                break
        if high < low:
            raise StateDamaged(
                f"the frozen plan of {job.sync.name!r} has changed: rows from {low:,} on were expected next",
                hint="nothing of this chunk was sent, and a new plan is made by: revetl run",
                where=job.sync.where,
            )
        return high, chunk

    def _deliver(
        self, job: _Job, delivery: Delivery, chunk: Encoded, low: int, high: int
    ) -> None:
        known: list[Range] = []
        accepted: list[Range] = []
        checkpoint_at = self.clock.monotonic() + CHECKPOINT_S
        before = delivery.stats.rows - job.acknowledged - job.refused

        def progress(rows: int) -> None:
            self.observer.progress(job.sync, rows - before, job.counts.sendable, delivery.stats.requests)

        for settled in delivery.deliver(
            chunk.operations, chunk.refusals, idle_every_s=EVERY_S, progress=progress,
            route=route_of(job.sync, erasing=low > job.counts.first),
        ):  # fmt: skip
            if isinstance(settled, Idle):
                if self.clock.monotonic() >= checkpoint_at:
                    self._checkpoint(job)
                    checkpoint_at = self.clock.monotonic() + CHECKPOINT_S
                    self._renew_others(job)
                self._wait_for_share(job, delivery)
                continue
            refused = [(r.seq, r.seq) for r in settled.refusals]
            covered = [*settled.accepted, *refused]
            job.covered = merged([*job.covered, *covered])
            job.not_sent = merged([*job.not_sent, *settled.not_sent])
            job.refusals.extend(settled.refusals)
            job.acknowledged += sum(b - a + 1 for a, b in settled.accepted)
            if job.ages is not None:
                now_s = job.planned_s + self.clock.monotonic()
                for a, b in settled.accepted:
                    job.ages.add(job.moments[a - low : b - low + 1], now_s)
            job.refused += len(settled.refusals)
            job.doubt = job.doubt or settled.doubt
            for refusal in settled.refusals:
                job.tally.add(refusal)
            accepted += settled.accepted
            known = merged([*known, *covered, *settled.not_sent, *settled.unknown])
        # what a stopped delivery did not take from the list was never sent
        rest = [(max(a, low), b) for a, b in gaps(known, high) if b >= low]
        job.not_sent = merged([*job.not_sent, *rest])
        self._warn(job, chunk.warnings, accepted)

    def _warn(self, job: _Job, warnings: Sequence[Warned], accepted: Sequence[Range]) -> None:
        """Count the warnings of rows that were acknowledged."""
        ranges = iter(merged(accepted))
        low, high = next(ranges, (0, 0))
        last = 0
        for one in warnings:  # in the order of the plan
            while high and one.seq > high:
                low, high = next(ranges, (0, 0))
            if low <= one.seq <= high:
                job.tally.add(one)
                job.warned += one.seq != last
                last = one.seq

    def _renew_others(self, job: _Job) -> None:
        for other in self.held:
            if other is not job:
                with self._renewing(other):
                    other.stream.renew(other.lease)
        for theirs, lease in self.kept:
            theirs.renew(lease)
        if self.workspace is not None and self.workspace_lease is not None:
            self.workspace.renew(self.workspace_lease)

    def _take_workspace(self) -> None:
        """Only one run at a time writes people, so that no two requests for one person are under way."""
        assert self.workspace is not None  # noqa: S101 opened in `_open`
        if self.workspace_lease is not None:
            return
        self.workspace_lease = self.workspace.acquire(self.owner)
        if self.identify_timestamp:
            self.plan_ts = self.workspace.next_plan_time(self.workspace_lease)

    def _release_workspace(self) -> None:
        if self.workspace is not None and self.workspace_lease is not None:
            lease, self.workspace_lease = self.workspace_lease, None
            self.workspace.release(lease, success=True)

    # --- the end of a stream -----------------------------------------------------------------------------------

    def _finish(self, job: _Job) -> SyncResult:
        """Drop the plan, release, and say what happened."""
        reasons = self._reasons(job)
        job.lookalikes = self.engine.lookalikes(job.shape, job.plan.table, job.stream, job.counts)
        job.quarantine = self.engine.quarantine(job.plan.table, job.counts)
        if job.sent_intent and not job.resolved:
            self._fold(job, final=True)
        job.stream.drop_plan(job.plan.fence)
        # what is waiting or on hold is looked at again within a day, as is what came late
        whole = job.sync.window_s and job.counts.compared_since_s is None and not job.baseline
        job.stream.release(job.lease, success=True, compared_at=job.now_s * 1000 if whole else None)
        self.held.remove(job)
        if job.sync.duplicates is not None:
            self._count_duplicates(job)
        return self._result(job, reasons, None)

    def _count_duplicates(self, job: _Job) -> None:
        """For the report over time; a run that sent everything is no failure because it could not count."""
        engine = self.engine
        try:
            record(
                self.warehouse, job.shape, job.compiled.sql, catalog=engine.catalog, schema=engine.schema,
                run_id=self.run_id,
            )  # fmt: skip
        except RevetlError as problem:
            self.observer.note(f"{job.sync.name}: its duplicates could not be counted: {problem.message}")

    def _failed(self, compiled: CompiledSync, job: _Job | None, problem: RevetlError | None) -> SyncResult:
        if job is None:
            return SyncResult(sync=compiled.sync, status="error", error=problem)
        reasons: tuple[Reason, ...] = ()
        try:
            reasons = self._reasons(job)
            job.quarantine = self.engine.quarantine(job.plan.table, job.counts)
            if job.folded >= job.hwm:  # else the fold itself failed: the next run settles this plan
                if job.sent_intent and not job.resolved:
                    self._fold(job, final=True)
                job.stream.drop_plan(job.plan.fence)
            job.stream.release(job.lease, success=False, doubt=job.doubt)
        except RevetlError:
            pass  # the first error is the one to tell; lease and plan are settled by the next run
        if job in self.held:
            self.held.remove(job)
        return self._result(job, reasons, problem)

    def _result(self, job: _Job, reasons: tuple[Reason, ...], error: RevetlError | None) -> SyncResult:
        counts = job.counts
        unsent = counts.planned - job.acknowledged - job.refused - counts.refused - counts.on_hold - counts.waiting - counts.left
        left = job.refused or counts.refused or counts.on_hold or counts.waiting or counts.quarantined or unsent
        status = "error" if error else "partial" if left else "success"
        return SyncResult(
            sync=job.declared, contract_version=job.version, dual_sends=job.dual_sends, warnings=tuple(job.warnings),
            status=status, counts=counts, acknowledged=job.acknowledged, refused_now=job.refused,
            warned=job.warned, unsent=unsent, baseline=job.baseline, fence=job.lease.fence,
            reasons=reasons, quarantine=job.quarantine, lookalikes=job.lookalikes, error=error,
            seconds=self.clock.monotonic() - job.started,
            latency=job.ages.measured(job.sync.latency) if job.ages is not None else None,
        )  # fmt: skip

    def _reasons(self, job: _Job) -> tuple[Reason, ...]:
        """The commonest reasons of refusals, and all others, each with one masked key."""
        if not (seqs := job.tally.seqs()):
            return job.tally.reasons()
        c = job.plan.table.c
        rows = self.warehouse.fetch(sa.select(c._seq, c._key).where(c._seq.in_(seqs)))
        return job.tally.reasons({int(seq): masked(str(key)) for seq, key in rows})

    def _log_latency(self, result: RunResult, now: int) -> None:
        rows = [_latency_row(result.run_id, r.sync.name, r.sync.uid, r.latency, now) for r in result.syncs if r.latency]
        if not rows:
            return
        table = latency_table(self.engine.schema)
        if table.name not in self.engine.catalog:
            create_table(self.warehouse, sa.schema.CreateTable(table, if_not_exists=True), table)
        self.warehouse.execute(sa.insert(table).values(rows))

    def _log_tests(self, result: RunResult, now: int) -> None:
        seen = {one.unique_id: one for sync in result.syncs for one in sync.tests}
        if not seen:
            return
        table = test_log_table(self.engine.schema)
        if table.name not in self.engine.catalog:
            create_table(self.warehouse, sa.schema.CreateTable(table, if_not_exists=True), table)
        rows = [{"run_id": result.run_id, "name": one.name, "node": one.node, "status": one.status, "failures": one.failures,
                 "finished_at": now} for one in seen.values()]  # fmt: skip
        self.warehouse.execute(sa.insert(table).values(rows))

    def _log(self, result: RunResult) -> None:
        """One row a run and one a sync, in the warehouse; a run that could not open it has none."""
        try:
            now = int(time.time() * 1000)
            runs, log = runs_table(self.engine.schema), sync_log_table(self.engine.schema)
            message = result.error.message if result.error else ""
            self.warehouse.execute(
                sa.insert(runs).values(
                    run_id=result.run_id, command="run", started_at=int(result.started_at * 1000), finished_at=now,
                    exit_code=int(result.exit_code), version=self.engine.version, message=message,
                )
            )  # fmt: skip
            self._log_latency(result, now)
            self._log_tests(result, now)
            rows = [_log_row(result.run_id, sync, now) for sync in result.syncs]
            if rows:
                self.warehouse.execute(sa.insert(log).values(rows))
        except RevetlError as problem:
            self.observer.note(f"the run could not be logged in the warehouse: {problem.message}")


def _only_recorded(sync: Sync, options: RunOptions, *, first_run: bool) -> list[Notice]:
    """What to say where somebody asks for the past, and the sync's first run only writes it down."""
    if not (first_run and options.backfill and sync.type.happens and sync.initial is Initial.BASELINE):
        return []
    return [Notice(
        code="RV276", message=f"sync {sync.name!r}: --backfill sends nothing of it: this is its first run, and "
        "`initial: baseline` records the past as already sent",
        hint=f"to send the past after all: set `initial: send`, then: revetl state reset --select {sync.name}, "
        f"and: revetl run --select {sync.name} --backfill",
    )]  # fmt: skip


def _fingerprint(compiled: CompiledSync, stream: Stream, counts: Counts, asked: Options) -> str:
    sync = compiled.sync
    facts = [sync.uid, sync.contract_digest(), compiled.sql, stream.control.folded_fence, asked.baseline, counts.sendable,
             str(counts.rows_hash)]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _latency_row(run_id: str, name: str, uid: str, m: Measured, now: int) -> dict[str, Any]:
    return {
        "run_id": run_id, "uid": uid, "name": name, "finished_at": now, "events": m.events, "p50_s": m.p50_s,
        "p95_s": m.p95_s, "max_s": m.max_s, "late": m.late, "warn_s": m.declared.warn_s, "error_s": m.declared.error_s,
    }  # fmt: skip


def _log_row(run_id: str, result: SyncResult, now: int) -> dict[str, Any]:
    c = result.counts
    return {
        "run_id": run_id, "uid": result.sync.uid, "name": result.sync.name, "fence": result.fence,
        "status": result.status, "contract": result.sync.contract_digest(), "finished_at": now,
        "unchanged": c.unchanged, "created": c.created, "updated": c.updated, "redriven": c.redriven,
        "deleted": c.deleted, "skipped": c.skipped, "acknowledged": result.acknowledged, "refused": result.refused,
        "held": c.on_hold, "waiting": c.waiting, "unsent": result.unsent, "drifted": c.drifted, "copied": c.copied,
        "contract_version": result.contract_version, "warnings": "; ".join(w.message for w in result.warnings) or None,
    }  # fmt: skip


def failing(shape: Shape) -> Shape:
    """The shape with the fields only whose rules stop the sync."""
    kept = [i for i, one in enumerate(shape.sync.fields) if one.fails()]
    return replace(
        shape, sync=replace(shape.sync, fields=tuple(shape.sync.fields[i] for i in kept)),
        columns=tuple(shape.columns[i] for i in kept), canonical=tuple(shape.canonical[i] for i in kept),
    )  # fmt: skip


def stops(sync: Sync, reasons: Sequence[Reason], *, sent: bool) -> ContractBroken:
    """The error for rows that break a rule with `on_violation: fail`."""
    rows = sum(one.rows for one in reasons)
    named = reasons[0].field + "."
    first = next((f.where for f in sync.fields if named.startswith(f"{f.name}.") and f.where.file), sync.where)
    return ContractBroken(
        f"sync {sync.name!r}: {rows:,} row{' breaks a rule that stops' if rows == 1 else 's break rules that stop'} it "
        f"(on_violation: fail): {listed(reasons)}" + ("; nothing was sent" if sent else ""),
        hint=f"correct the rows in model {sync.model!r}, then: revetl diff --check --select {sync.name}",
        where=first,
        code="RV255",
        keys=[one.example for one in reasons if one.example][:EXAMPLES],
    )


def masked(key: str) -> str:
    """A key as it may be shown in a log: enough to recognise one's own row, too little to be a personal value."""
    return f"{key[:2]}…{key[-1:]} ({len(key)} characters)" if len(key) > 4 else "…"  # noqa: PLR2004


class _Located(AbstractContextManager[None]):
    """Turns a warehouse error inside a model's SQL into one that names the model's file and line."""

    def __init__(self, compiled: CompiledSync) -> None:
        self.compiled = compiled
        self._sql = compiled.source or compiled.sql

    def _place(self, message: str) -> Where | None:
        """Where the model names a column that a message names, else its last line."""
        named = re.findall(r"column '([^']+)'", message)
        lines = list(enumerate(self._sql.split("\n"), 1))[::-1]  # a model stands below those it reads
        naming = [number for number, line in lines if any(name in line for name in named)]
        found = (self.compiled.locate(number) for number in (*naming, *(number for number, _ in lines)))
        return next((where for where in found if where is not None), None)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ContractBroken) and error.code == "RV200" and (model := self._place(error.message)):
            error.message += f"; the model: {model}"
        if isinstance(error, WarehouseError) and "(57014)" in error.message:
            error.where = self.compiled.locate(1)  # no line is at fault, but the model is what took so long
        if isinstance(error, WarehouseError) and (absent := self.compiled.missing(error.message)) is not None:
            absent.where = absent.where or self.compiled.sync.where
            raise absent from None
        if isinstance(error, WarehouseError) and (line := error.line_in(self._sql)):
            where = self.compiled.locate(line)
            if where is not None:
                raise ConfigError(
                    f"the SQL of model {self.compiled.sync.model!r} does not run: {error.message}",
                    hint=error.hint or f"revetl compile --select {self.compiled.sync.name} shows the SQL that was sent",
                    where=where,
                    code="RV220",
                ) from None
