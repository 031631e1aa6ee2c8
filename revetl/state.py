"""What Customer.io has acknowledged, and the crash-safe way to move it forward (`docs/protocol.md`).

One stream's run in the warehouse:

    acquire   compare-and-set of the lease; the fence grows by one
    settle    fold what an earlier run left: acknowledged rows into the state, the others into `open`
    freeze    CREATE TABLE plan AS (diffsql)
    intend    before any byte is sent: the highest plan number that may go out (hwm)
    checkpoint  in one transaction: renew the lease, raise hwm, append outcomes
    fold      in one transaction: MERGE acknowledged rows into the state
    release

Every write is guarded by owner and fence, so that a run which lost its lease cannot move anything. Times are
the warehouse's clock. Recovery has no code of its own: settle and freeze are the recovery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Sync
from revetl.destination import Refusal
from revetl.dialects import (
    MAX_DECIMAL_DIGITS,
    Canonical,
    Column,
    CreateTableAs,
    Dialect,
    Kind,
    Merge,
    family_of,
)
from revetl.diffsql import SEND_LAST, Known, Shape, row_digest
from revetl.errors import LeaseHeld, LeaseLost, StateDamaged, WarehouseError
from revetl.seal import Seal, measure
from revetl.tables import (
    DOUBT,
    MERGED,
    MONEY,
    SCHEMA_VERSION,
    SHARED,
    TOMBS,
    StreamTables,
    doubtful,
    field_column,
    merged_table,
    quoted,
    rates_table,
    runs_table,
    sync_log_table,
    tombs_table,
)
from revetl.warehouse import Warehouse

CHECK_EVERY_MS = 24 * 3600 * 1000
CHECK_ALWAYS_ROWS = 10_000_000
RESET = "reset"  # in the log: a person has dropped the stream's tables by `revetl state reset`
LEASE_MS = 180_000
DRAIN_MS = 60_000  # assumption A2: a request is applied within 60 s of its last byte, or never
ID_SCHEME = 1
UNSURE = "refused_unsure"  # in the acknowledgements: refused, after an attempt that had no answer
REFUSALS = ("refused", UNSURE)
FEW_RANGES = 200

Range = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The control row of a stream; times in milliseconds of the warehouse's clock."""

    name: str = ""
    schema_version: int = SCHEMA_VERSION
    fence: int = 0
    owner: str | None = None
    lease_until: int = 0
    drain_until: int = 0
    plan_fence: int = 0
    hwm: int = 0
    intent_at: int = 0
    folded_fence: int = 0
    plan_ts: int = 0
    plan_contract: int = 0
    initialised: int = 0
    state_rows: int = 0
    key_kind: str | None = None
    contracts: str | None = None
    workspace_id: str | None = None
    id_scheme: int = ID_SCHEME
    last_success_at: int = 0
    plan_rows: int | None = 0
    ack_rows: int | None = 0
    state_seal: str | None = None
    open_seal: str | None = None
    verified_at: int = 0
    key_print: str | None = None
    key_since: int = 0
    contract: str | None = None
    copies: str | None = None
    compared_at: int = 0

    def known_copies(self) -> dict[str, int]:
        """Old names under which events were ever sent a second time → the first fence that did; 0 where it is over."""
        return {str(name): int(fence) for name, fence in json.loads(self.copies or "{}").items()}

    def known_contracts(self) -> dict[int, dict[str, str]]:
        """Number → field → digest, for every contract under which rows were ever kept."""
        return {int(number): fields for number, fields in json.loads(self.contracts or "{}").items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write one stream's tables."""

    owner: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acks:
    """What became known about rows of one plan since the last checkpoint; `seq` ranges are inclusive.

    Attributes:
        covered: ranges whose rows are accepted unless they stand in `refusals`.
        not_sent: ranges that certainly had no effect.
        refusals: rows that the contract or the destination refused.
    """

    covered: tuple[Range, ...] = ()
    not_sent: tuple[Range, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTable:
    """A frozen plan: of this run, or left by an earlier one (then described by the catalog).

    Attributes:
        table: its columns by name.
        fields: the attributes or properties that it carries, with their types in the warehouse.
        contract: the number of the contract it was made under.
        contract_digest: of the sync when it was made; empty for a plan of an earlier run.
        released: the number of the last row that takes an address from somebody, who may have another row after it.
    """

    table: sa.Table
    fence: int
    fields: tuple[Column, ...]
    contract: int
    contract_digest: str = ""
    released: int = 0


Catalog = Mapping[str, Mapping[str, Column]]


def damaged(name: str, problem: str) -> StateDamaged:
    """The error for a state that was changed from outside."""
    return StateDamaged(
        f"the state of {name!r} was changed from outside: {problem}; nothing was sent",
        hint="restore it from a backup of the warehouse; or see what can be saved, and how: "
        f"revetl state repair --select {name}",
    )


def changed_meanwhile(name: str, problem: str) -> StateDamaged:
    """The error for a state that was changed from outside while a run used it."""
    return StateDamaged(
        f"the state of {name!r} was changed from outside while this run used it: {problem}",
        hint=f"let nothing else write there; then see what is left, and go on: revetl state repair --select {name}",
    )


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, with touching and overlapping ones joined."""
    out: list[Range] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out


def gaps(ranges: Iterable[Range], last: int) -> list[Range]:
    """The parts of 1..last that no range covers."""
    out, next_free = [], 1
    for low, high in merged(ranges):
        if low > next_free:
            out.append((next_free, min(low - 1, last)))
        next_free = max(next_free, high + 1)
    if next_free <= last:
        out.append((next_free, last))
    return [(low, high) for low, high in out if low <= high]


def read_catalog(warehouse: Warehouse, schema: str) -> Catalog:
    """Every table of the state schema with its columns; empty where the schema does not exist."""
    fold = warehouse.dialect.fold
    rows: Sequence[Any]
    if warehouse.dialect.catalog is not None:
        rows = warehouse.dialect.catalog(warehouse, schema) or ()
    else:
        rows = warehouse.fetch(
            sa.text(
                "SELECT table_name, column_name, data_type, numeric_scale FROM information_schema.columns "
                "WHERE table_schema = :schema ORDER BY table_name, ordinal_position"
            ),
            {"schema": fold(schema)},
        )
    catalog: dict[str, dict[str, Column]] = {}
    for table, column, name, scale in rows:
        # Snowflake gives the digits apart, and they make an integer of a number
        native = f"NUMBER({MAX_DECIMAL_DIGITS},{scale})" if name == "NUMBER" else str(name)
        kind, scale_of_name = warehouse.dialect.kind_of(native)
        catalog.setdefault(fold(table), {})[fold(column)] = Column(
            name=fold(column), kind=kind, native=native, scale=scale_of_name if scale is None else int(scale)
        )
    return catalog


def schema_exists(warehouse: Warehouse, schema: str) -> bool:
    """Whether there is such a schema."""
    if warehouse.dialect.catalog is not None:
        return warehouse.dialect.catalog(warehouse, schema) is not None
    there = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = :schema"
    return bool(warehouse.fetch(sa.text(there), {"schema": warehouse.dialect.fold(schema)})[0][0])


def ensure_schema(warehouse: Warehouse, schema: str, catalog: Catalog) -> None:
    """Create the state schema and the run tables where they are missing.

    Raises:
        WarehouseError: with the statement that grants the right, where it is missing.
    """
    if catalog.keys() >= set(SHARED):
        log = sync_log_table(schema)
        for column in log.columns:
            if column.name not in catalog[log.name]:  # it was made by an older revetl
                add_column(warehouse, log, column)
        return
    name = warehouse.engine.dialect.identifier_preparer.quote(quoted(schema))
    try:
        warehouse.execute(sa.schema.CreateSchema(quoted(schema), if_not_exists=True))
    except WarehouseError as error:
        # else another run created it in the same moment
        if not schema_exists(warehouse, schema):
            raise WarehouseError(
                f"cannot create the state schema {schema!r}: {error.message}",
                hint=f"let an owner run: CREATE SCHEMA {name}; and grant its use to the role of this target",
            ) from None
    for table in (runs_table(schema), sync_log_table(schema), rates_table(schema)):
        create_table(warehouse, sa.schema.CreateTable(table, if_not_exists=True), table)


def create_table(warehouse: Warehouse, statement: sa.Executable, table: sa.Table) -> None:
    """Create a table of the state, by `statement`; no error where another run does so in the same moment."""
    try:
        warehouse.execute(statement)
    except WarehouseError:
        # another run created it in the same moment (IF NOT EXISTS does not wait for it): then it is there now
        if table.name not in read_catalog(warehouse, str(table.schema)):
            raise


def add_column(warehouse: Warehouse, table: sa.Table, column: sa.Column[Any]) -> None:
    """Add a column that a newer schema has; no error where another run has done so."""
    prepare = warehouse.engine.dialect.identifier_preparer
    kind = column.type.compile(warehouse.engine.dialect)
    name = prepare.quote(quoted(column.name))
    warehouse.execute(sa.text(f"ALTER TABLE {prepare.format_table(table)} ADD COLUMN IF NOT EXISTS {name} {kind}"))


class Stream:
    """One stream's tables; all writes carry the lease.

    Not thread-safe. Statements are autocommitted, except in `checkpoint` and `fold`, which are transactions.
    """

    def __init__(self, warehouse: Warehouse, tables: StreamTables, catalog: Catalog) -> None:
        self.warehouse = warehouse
        self.tables = tables
        self.catalog = catalog
        self.control = Control()
        self.state_rows = 0
        self.open_rows = 0
        self._empty = False
        self._seal: Seal | None = None
        self._logged = 0

    @property
    def dialect(self) -> Dialect:
        """The warehouse's dialect."""
        return self.warehouse.dialect

    @property
    def exists(self) -> bool:
        """Whether an earlier run created the stream's tables."""
        return self.tables.ctl.name in self.catalog

    # --- reading ---------------------------------------------------------------------------------------------

    def read(self) -> Control:
        """The control row and the row counts; a fresh `Control()` where the stream does not exist yet.

        Raises:
            StateDamaged: tables are missing, or the schema is newer than this revetl.
        """
        if not self.exists and (problem := self.absent()):
            raise damaged(self.tables.uid, problem)
        if not self.exists:
            self.control = Control()
            return self.control
        kept = (self.tables.state, self.tables.open, self.tables.ack)
        have = self.catalog[self.tables.ctl.name]
        columns = [column for column in self.tables.ctl.columns if column.name in have]
        counts: list[Any] = [
            sa.select(sa.func.count()).select_from(table).scalar_subquery()
            if table.name in self.catalog else sa.literal(-1)
            for table in kept
        ]  # fmt: skip
        rows = self.warehouse.fetch(
            sa.select(*columns, *counts, self._last_logged_fence()).select_from(self.tables.ctl)
        )
        if len(rows) != 1:
            raise damaged(
                self.tables.uid, f"{self.tables.ctl.fullname} holds {len(rows)} rows; there must be exactly one"
            )
        *values, self.state_rows, self.open_rows, ack_rows, logged = rows[0]
        self._empty = self.state_rows == 0
        nullable = {"owner", "key_kind", "contracts", "workspace_id", "state_seal", "open_seal", "plan_rows", "ack_rows",
                    "key_print", "contract", "copies"}  # fmt: skip
        facts: dict[str, Any] = {
            column.name: value if column.name in nullable or value is not None else 0
            for column, value in zip(columns, values, strict=True)
        }
        self.control = Control(**facts)
        if self.control.schema_version > SCHEMA_VERSION:
            raise StateDamaged(
                f"the state of {self.control.name!r} was written by a newer revetl "
                f"(schema {self.control.schema_version}, this one knows {SCHEMA_VERSION})",
                hint="upgrade revetl here as well: pip install -U revetl",
            )
        if self.control.id_scheme > ID_SCHEME:
            raise StateDamaged(
                f"the event ids of {self.control.name!r} were made in way {self.control.id_scheme}, and this revetl knows "
                f"way {ID_SCHEME}: an event that is sent again would count twice",
                hint="upgrade revetl here as well: pip install -U revetl",
            )
        self._logged = int(logged or 0)
        if self.tables.uid != "ws" and (problem := self._damage(kept, ack_rows)):
            raise damaged(self.control.name, problem)
        return self.control

    def absent(self) -> str:
        """What is wrong where there is no control row: a stream without one must be new, or reset by hand."""
        problem = self._gone()
        if problem:
            fresh = read_catalog(self.warehouse, self.tables.schema)
            if self.tables.ctl.name in fresh:  # another first run has made it since the catalog was read
                self.catalog, problem = fresh, ""
        return problem

    def _gone(self) -> str:
        # the control table is made last: while another first run makes them, or after it was killed, the others are empty
        count = sa.select(sa.func.count()).select_from(self.tables.state)
        if self.tables.state.name in self.catalog and self.warehouse.fetch(count)[0][0]:
            return f"{self.tables.state.fullname} exists but its control table {self.tables.ctl.name} does not"
        if self.tables.uid == "ws" or "sync_log" not in self.catalog:
            return ""
        log = sync_log_table(self.tables.schema).c
        rows = self.warehouse.fetch(
            sa.select(log.status)
            .where(log.uid == self.tables.uid, sa.or_(log.fence > 0, log.status == RESET))
            .order_by(log.finished_at.desc()).limit(1)
        )  # fmt: skip
        return "it ran before, and its tables are gone" if rows and rows[0][0] != RESET else ""

    def _damage(self, kept: Sequence[sa.Table], ack_rows: int) -> str:
        """What is wrong by the counts of the control row; an empty string if nothing is."""
        control = self.control
        if gone := [table.name for table in kept if table.name not in self.catalog]:
            return f"its table {gone[0]} is gone"
        if control.fence < self._logged:
            return f"it is at run {control.fence}, and run {self._logged} is in the log: it is an older copy"
        if control.state_rows != self.state_rows:
            return f"its state has {self.state_rows:,} rows where the last run left {control.state_rows:,}"
        if control.ack_rows is not None and control.ack_rows != ack_rows:
            return f"{self.tables.ack.name} has {ack_rows:,} rows where {control.ack_rows:,} were written"
        return ""

    def lost(self) -> str:
        """What is gone of the stream's tables since they were read; an empty string if nothing is."""
        fresh = read_catalog(self.warehouse, self.tables.schema)
        for table in (self.tables.ctl, self.tables.state, self.tables.open, self.tables.ack):
            if table.name not in fresh:
                return f"the table {table.name} is gone"
            if gone := [column for column in self.catalog.get(table.name, ()) if column not in fresh[table.name]]:
                return f"the column {gone[0]!r} of {table.name} is gone"
        return ""

    def check(self, now_ms: int, *, sends: bool, lease: Lease | None = None) -> None:
        """Compare the rows with their seals before anything is sent, and else once a day.

        A ledger of more than ten million rows is read once a day only. With a lease, the daily check is noted, and
        rows without a seal get one.

        Raises:
            StateDamaged: rows were changed, or replaced by those of an older copy.
        """
        daily = now_ms - self.control.verified_at > CHECK_EVERY_MS
        if daily or (sends and self.state_rows <= CHECK_ALWAYS_ROWS):
            self.verify()
        if daily and lease is not None:
            seals = {} if self.control.state_seal else {"state_seal": self._measure(self.tables.state).text()}
            self._guarded(lease, verified_at=self.dialect.now_ms(), **seals)

    def compared_from(self, sync: Sync, now_s: int) -> int | None:
        """From which time on (Unix seconds) a ledger need be compared with its model; None: all of it.

        All of it once a day, while an event has no answer, and under another contract, by which refused rows may pass.
        """
        control, o = self.control, self.tables.open
        recorded = json.loads(control.contract)["digest"] if control.contract else ""
        if not (sync.window_s and control.initialised and recorded == sync.contract_digest()):
            return None
        if now_s * 1000 - control.compared_at > CHECK_EVERY_MS:
            return None
        if self.open_rows:
            unanswered = sa.select(sa.func.count()).select_from(o).where(o.c._outcome == "unknown")
            if self.warehouse.fetch(unanswered)[0][0]:
                return None
        return now_s - sync.window_s

    def verify(self) -> None:
        """Compare the rows of state and open with their seals; reads both tables once.

        Raises:
            StateDamaged: rows were changed, or replaced by those of an older copy.
        """
        for table, text, what in (
            (self.tables.state, self.control.state_seal, "state"), (self.tables.open, self.control.open_seal, "open rows"),
        ):  # fmt: skip
            seal = Seal.read(text)
            if seal is None and table is self.tables.open and self.control.state_seal and self.open_rows:
                raise damaged(self.control.name, f"its open rows are {self.open_rows:,}, and the last run left none")
            if seal is None or not set(seal.columns) <= set(self.catalog.get(table.name, {})):
                continue
            found = measure(self.warehouse, self._as_kept(table, seal.columns), seal.columns)
            if found.same_kind(seal) and found != seal:
                raise damaged(
                    self.control.name, f"its {what} are not the ones that the last run left "
                    f"({found.rows:,} rows, {seal.rows:,} were left)"
                )  # fmt: skip

    def _as_kept(self, table: sa.Table, columns: Iterable[str]) -> sa.Table:
        """A table with the columns that the warehouse has, which may be more than today's contract names."""
        names = dict.fromkeys(("_key", *columns))
        return sa.Table(table.name, sa.MetaData(), *(sa.Column(quoted(n), sa.types.NULLTYPE) for n in names),
                        schema=quoted(self.tables.schema))  # fmt: skip

    def open_seal(self) -> str:
        """The seal of the open rows as they are now, for the control row."""
        return self._measure(self.tables.open).text()

    def state_seal(self) -> Seal:
        """The seal of the state as it is now."""
        return self._measure(self.tables.state)

    def _measure(self, table: sa.Table, where: Callable[[sa.Table], Any] | None = None) -> Seal:
        # when a row was tried last says nothing of what Customer.io has
        columns = tuple(name for name in self.catalog[table.name] if name not in {"_first_at", "_last_try"})
        kept = self._as_kept(table, columns)
        return measure(self.warehouse, kept, columns, where(kept) if where else None)

    def fitted(self, shape: Shape) -> Shape:
        """The shape with decimals as wide as the state already keeps them, so that none is ever rounded."""
        columns = self.catalog.get(self.tables.state.name, {})
        fitted = []
        for field, canonical in zip(shape.sync.fields, shape.canonical, strict=True):
            column = columns.get(field_column(field.name))
            if canonical.scale is not None and column is not None and (column.scale or 0) > canonical.scale:
                kind = sa.Numeric(MAX_DECIMAL_DIGITS, column.scale)
                canonical = replace(canonical, type=kind, scale=column.scale)  # noqa: PLW2901 the wider one
            fitted.append(canonical)
        return replace(shape, canonical=tuple(fitted))

    def known(self, shape: Shape) -> tuple[Known, str]:
        """What the diff needs to know of the state, and the contracts' JSON including today's contract."""
        contracts = self.control.known_contracts()
        digests = shape.digests()
        number = next((n for n, fields in contracts.items() if fields == digests), 0)
        if not number:
            number = max(contracts, default=0) + 1
        columns = self.catalog.get(self.tables.state.name, {})
        usable, exact = set(), set()
        for field, canonical in zip(shape.sync.fields, shape.canonical, strict=True):
            column = columns.get(field_column(field.name))
            if column is not None and family_of(column) == canonical.family:
                usable.add(field.name)
                if column.scale == canonical.scale:
                    exact.add(field.name)
        known = Known(
            usable=frozenset(usable),
            exact=frozenset(exact),
            none_open=self.exists and self.open_rows == 0,
            contracts=contracts,
            contract=number,
            has_state=self.exists,
            empty=self.state_rows <= 0,
            tombs=tombs_table(self.tables.schema) if TOMBS in self.catalog else None,
            money="_amount" in columns,
            copies=self.control.known_copies(),
            merged=merged_table(self.tables.schema) if MERGED in self.catalog else None,
        )
        return known, json.dumps({**contracts, number: digests}, separators=(",", ":"))

    # --- lease -----------------------------------------------------------------------------------------------

    def create(self, name: str) -> None:
        """Create the stream's tables, or bring older ones up to date; safe when two runs do it at once."""
        if self.exists:
            self._migrate()
            return
        if problem := self.absent():
            raise damaged(name, problem)
        self.make(name)

    def make(self, name: str) -> None:
        """Create the tables that are missing, whatever became of them (for a repair)."""
        if self.exists:
            self._migrate()
        now = self.dialect.now_ms()
        first: dict[str, Any] = {
            column.name: sa.cast(sa.null(), column.type) for column in self.tables.ctl.columns
        } | {
            column.name: sa.cast(sa.literal(0), sa.BigInteger)
            for column in self.tables.ctl.columns
            if isinstance(column.type, sa.BigInteger)
        }
        first |= {
            "name": sa.cast(sa.literal(name), sa.Text),
            "schema_version": sa.cast(sa.literal(SCHEMA_VERSION), sa.BigInteger),
            "id_scheme": sa.cast(sa.literal(ID_SCHEME), sa.BigInteger),
            # plan times and fences of a recreated stream still exceed those of the old one
            "plan_ts": sa.cast(now / 1000, sa.BigInteger),
            "fence": sa.cast(self._last_logged_fence(), sa.BigInteger),
        }
        if self.tables.uid != "ws":
            for table in (self.tables.state, self.tables.ack, self.tables.open):
                create_table(self.warehouse, sa.schema.CreateTable(table, if_not_exists=True), table)
        if self.exists:
            self.catalog = read_catalog(self.warehouse, self.tables.schema)
            return
        # the row comes with the table in one statement, so no other run can see one without the other
        row = sa.select(*(value.label(quoted(key)) for key, value in first.items()))
        create_table(self.warehouse, CreateTableAs(self.tables.ctl, row), self.tables.ctl)
        self.catalog = {**self.catalog, **read_catalog(self.warehouse, self.tables.schema)}

    def _migrate(self) -> None:
        """Add what a newer schema has; each step may be repeated, so a killed migration goes on in the next run.

        The number is raised last, and only from below: a newer revetl's state stays as it is.
        """
        missing = [
            (table, column)
            for table in (self.tables.ctl, *(() if self.tables.uid == "ws" else (self.tables.ack, self.tables.open)))
            for column in table.columns
            if column.name not in self.catalog.get(table.name, {column.name: None})
        ]
        if not missing:
            return
        for table, column in missing:
            add_column(self.warehouse, table, column)
        if self.dialect.indexes and self.tables.state.name in self.catalog:
            self._index_state()
        ctl = self.tables.ctl
        self.warehouse.execute(
            sa.update(ctl)
            .where(ctl.c.schema_version < SCHEMA_VERSION)
            .values(
                schema_version=SCHEMA_VERSION,
                # schema 1 did not count its rows
                plan_rows=sa.case((ctl.c.schema_version > 1, ctl.c.plan_rows)),
                ack_rows=sa.case((ctl.c.schema_version > 1, ctl.c.ack_rows)),
            )
        )
        self.catalog = {**self.catalog, **read_catalog(self.warehouse, self.tables.schema)}

    def _last_logged_fence(self) -> Any:  # noqa: ANN401 a SQL expression
        """The highest fence of this stream in the log of runs; 0 where nothing is logged."""
        if "sync_log" not in self.catalog or self.tables.uid == "ws":
            return sa.literal(0)
        log = sync_log_table(self.tables.schema).c
        return (
            sa.select(sa.func.coalesce(sa.func.max(log.fence), 0)).where(log.uid == self.tables.uid).scalar_subquery()
        )

    def acquire(self, owner: str) -> Lease:
        """Take the lease if it is free or has ended, and read the control row.

        A lease that ended without a release may have requests under way: `drain_until` covers them.

        Raises:
            LeaseHeld: another run holds it.
        """
        ctl, now = self.tables.ctl.c, self.dialect.now_ms()
        abandoned = sa.and_(ctl.owner.is_not(None), ctl.lease_until + DRAIN_MS > ctl.drain_until)
        changed = self.warehouse.execute(
            sa.update(self.tables.ctl)
            # an older copy of the row is not taken: reading it then says what is wrong
            .where(sa.or_(ctl.owner.is_(None), ctl.lease_until < now), ctl.fence >= self._last_logged_fence())
            .values(
                fence=ctl.fence + 1,
                owner=owner,
                lease_until=now + LEASE_MS,
                drain_until=sa.case((abandoned, ctl.lease_until + DRAIN_MS), else_=ctl.drain_until),
            )
        )
        control = self.read()
        if changed != 1 or control.owner != owner:
            remaining = self.warehouse.fetch(sa.select(control.lease_until - now))[0][0]
            who = f" ({control.owner})" if control.owner else ""  # it may have ended since
            raise LeaseHeld(
                f"another run{who} is at work on {control.name!r}",
                hint=f"wait for it; if it is dead, its lease ends by itself in {max(0, int(remaining) // 1000)} s, "
                "or now with: revetl state unlock" + ("" if self.tables.uid == "ws" else f" --select {control.name}"),
            )
        return Lease(owner=owner, fence=control.fence)

    def _guarded(self, lease: Lease, **values: Any) -> None:  # noqa: ANN401 column values or expressions
        changed = self.warehouse.execute(
            sa.update(self.tables.ctl)
            .where(self.tables.ctl.c.owner == lease.owner, self.tables.ctl.c.fence == lease.fence)
            .values(**values)
        )
        if changed != 1:
            raise LeaseLost(
                f"the lease on {self.control.name!r} was taken over by another run; this one stops here",
                hint="nothing is lost: the other run sends what is left (`revetl status` shows it). If this happens often, "
                "look for a second schedule of the same sync",
            )

    def renew(self, lease: Lease) -> None:
        """Extend the lease."""
        self._guarded(lease, lease_until=self.dialect.now_ms() + LEASE_MS)

    def drain_left_s(self) -> float:
        """Seconds until no request of an earlier run can still be applied; 0 when that is now."""
        left = self.warehouse.fetch(sa.select(self.control.drain_until - self.dialect.now_ms()))[0][0]
        return max(0.0, float(left) / 1000)

    def release(self, lease: Lease, *, success: bool, doubt: bool = False, compared_at: int | None = None) -> None:
        """Give the lease back.

        Args:
            doubt: as for `checkpoint`, where the run could not write one.
            compared_at: when the whole ledger was compared, in milliseconds, where nothing of that is left to send.
        """
        done: dict[str, Any] = {"last_success_at": self.dialect.now_ms()} if success else {}
        if compared_at is not None:
            done["compared_at"] = compared_at
        if doubt:
            done["drain_until"] = self.dialect.now_ms() + DRAIN_MS
        self._guarded(lease, owner=sa.null(), lease_until=0, **done)

    def pin(self, workspace_id: str) -> None:
        """Bind the state schema to a workspace; the first run to do so wins.

        Raises:
            StateDamaged: another run has bound it to another workspace in the meantime.
        """
        ctl = self.tables.ctl
        self.warehouse.execute(
            sa.update(ctl).where(ctl.c.workspace_id.is_(None)).values(workspace_id=workspace_id)
        )
        if self.read().workspace_id != workspace_id:
            raise StateDamaged(
                "another run has just bound this state schema to another workspace",
                hint="use one state_schema for each workspace",
            )

    def note_key(self, key_print: str) -> None:
        """Remember since when a key is in use; no statement where it is the one of the last run."""
        if key_print != self.control.key_print:
            values = {"key_print": key_print, "key_since": self.dialect.now_ms()}
            self.warehouse.execute(sa.update(self.tables.ctl).values(**values))

    def next_plan_time(self, lease: Lease) -> int:
        """Unix seconds above every earlier run's, for identify's `timestamp` (decision 2)."""
        now = self.dialect.now_ms() / 1000
        later = self.tables.ctl.c.plan_ts + 1
        self._guarded(lease, plan_ts=sa.cast(sa.case((later > now, later), else_=now), sa.BigInteger))
        return int(self.warehouse.fetch(sa.select(self.tables.ctl.c.plan_ts))[0][0])

    # --- one run ---------------------------------------------------------------------------------------------

    def freeze(self, lease: Lease, shape: Shape, select: sa.Select[Any], contract: int) -> PlanTable:
        """Write the plan table of this run."""
        table = self.tables.plan(lease.fence, [column.name for column in select.selected_columns])
        self.warehouse.execute(CreateTableAs(table, select))
        return PlanTable(
            table=table,
            fence=lease.fence,
            fields=tuple(
                self._column(field_column(f.name), c) for f, c in zip(shape.sync.fields, shape.canonical, strict=True)
            ),
            contract=contract,
            contract_digest=shape.sync.contract_digest(),
        )

    def left_over(self) -> PlanTable | None:
        """The plan that an earlier run began to send and did not finish, if there is one.

        Raises:
            StateDamaged: bytes were sent for a plan whose table is gone.
        """
        control = self.control
        if control.plan_fence <= control.folded_fence:
            return None
        table = self.tables.plan(control.plan_fence)
        columns = self.catalog.get(table.name)
        if columns is None:
            raise damaged(
                control.name, f"the plan of an unfinished run ({table.name}) is gone, so what it sent is not known"
            )
        released = 0
        if control.plan_rows is not None:
            plan = self.tables.plan(control.plan_fence, ["_seq", "_op"]).c
            last = sa.func.coalesce(sa.func.max(sa.case((plan._op == "release", plan._seq))), 0)
            within = plan._seq <= control.plan_rows
            [(found, released)] = self.warehouse.fetch(sa.select(sa.func.count(plan._seq), last).where(within))
            if found != control.plan_rows:
                raise damaged(
                    control.name, f"the plan of an unfinished run ({table.name}) has {found:,} rows where "
                    f"{control.plan_rows:,} were written"
                )  # fmt: skip
        return PlanTable(
            table=self.tables.plan(control.plan_fence, list(columns)),
            fence=control.plan_fence,
            fields=tuple(column for name, column in columns.items() if not name.startswith("_")),
            contract=control.plan_contract,
            released=int(released),
        )

    def _column(self, name: str, canonical: Canonical) -> Column:
        kinds = {"text": Kind.TEXT, "double": Kind.FLOAT, "boolean": Kind.BOOLEAN, "decimal": Kind.DECIMAL}
        return Column(
            name=name,
            kind=kinds.get(canonical.family, Kind.INTEGER),
            native=str(canonical.type.compile(self.warehouse.engine.dialect)),
            scale=canonical.scale,
        )

    def index(self, plan: PlanTable) -> None:
        """An index on the plan's numbers, for engines that would scan the table for every chunk."""
        if self.dialect.indexes:
            name = quoted(f"ix_{plan.table.name}")
            self.warehouse.execute(sa.schema.CreateIndex(sa.Index(name, plan.table.c._seq, unique=True)))

    def _index_state(self) -> None:
        """Indexes for folding a few rows into many, and for the young part of a ledger."""
        name, c = self.tables.state.name, self.tables.state.c
        wanted = [sa.Index(quoted(f"ix_{name}"), c._key)]
        if not self.tables.keeps_values:  # rows lie about in the order of their times
            wanted.append(sa.Index(quoted(f"ix_{name}__time"), c._occurred_at, postgresql_using="brin"))
        for index in wanted:
            self.warehouse.execute(sa.schema.CreateIndex(index, if_not_exists=True))

    def intend(self, lease: Lease, plan: PlanTable, hwm: int, **values: Any) -> None:  # noqa: ANN401 column values
        """Record durably, before the first byte, that rows up to `hwm` of this plan may be sent."""
        now = self.dialect.now_ms()
        self._guarded(
            lease, plan_fence=plan.fence, plan_contract=plan.contract, hwm=hwm, intent_at=now,
            lease_until=now + LEASE_MS, **values,
        )  # fmt: skip

    def checkpoint(self, lease: Lease, acks: Acks, *, hwm: int | None = None, doubt: bool = False) -> None:
        """Append outcomes, renew the lease and raise `hwm`, in one transaction.

        Args:
            doubt: some request of this run may still be applied: later runs wait until it cannot be any more.
        """
        now = self.dialect.now_ms()
        values: dict[str, Any] = {"lease_until": now + LEASE_MS}
        if hwm is not None:
            values["hwm"] = hwm
        if doubt:
            values["drain_until"] = now + DRAIN_MS
        rows = self._ack_rows(lease.fence, acks)
        if rows:
            values["ack_rows"] = self.tables.ctl.c.ack_rows + len(rows)
        with self.warehouse.transaction():
            self._guarded(lease, **values)
            for start in range(0, len(rows), 500):
                self.warehouse.execute(sa.insert(self.tables.ack).values(rows[start : start + 500]))

    def _ack_rows(self, fence: int, acks: Acks) -> list[dict[str, Any]]:
        none = {"status": 0, "reason": "", "rule": "", "field": "", "message": "", "outline": ""}
        rows: list[dict[str, Any]] = [
            {"fence": fence, "seq_from": low, "seq_to": high, "outcome": outcome, **none}
            for outcome, ranges in (("accepted", acks.covered), ("not_sent", acks.not_sent))
            for low, high in merged(ranges)
        ]
        rows += [
            {"fence": fence, "seq_from": r.seq, "seq_to": r.seq, "outcome": UNSURE if r.unsure else "refused", "status": r.status,
             "reason": r.reason, "rule": r.rule, "field": r.field, "message": r.message, "outline": r.outline}
            for r in acks.refusals
        ]  # fmt: skip
        return rows

    def fold(self, lease: Lease, plan: PlanTable, *, hwm: int, above: int = 0, final: bool = True) -> None:
        """Move acknowledged rows `above < seq <= hwm` of a plan into the state, the others into `open`.

        One transaction, guarded by the lease; doing it twice gives the same state.

        Args:
            hwm: the highest number that may have been sent.
            final: the plan is done with: its acks go, and an earlier run's window is closed.
        """
        if above < plan.released < hwm:  # somebody may have a row on both sides
            self.fold(lease, plan, hwm=plan.released, above=above, final=False)
            above = plan.released
        ack = self.tables.ack
        ranges = self.warehouse.fetch(
            sa.select(ack.c.seq_from, ack.c.seq_to, ack.c.outcome).where(
                ack.c.fence == plan.fence, ack.c.outcome.not_in(REFUSALS)
            )
        )
        no = sa.select(sa.func.count()).where(ack.c.fence == plan.fence, ack.c.outcome.in_(REFUSALS))
        refused = bool(self.warehouse.fetch(no)[0][0])
        covered = _clip(merged((low, high) for low, high, outcome in ranges if outcome == "accepted"), above, hwm)
        unknown = _clip(gaps([(low, high) for low, high, _ in ranges], hwm), above, hwm)
        if self.tables.keeps_values and covered:
            self._fit_state(lease, plan)
        elif self.tables.money and covered:
            self._fit_ledger(lease)
        with self.warehouse.transaction():
            self._guarded(lease, lease_until=self.dialect.now_ms() + LEASE_MS)
            seal: Seal | None = None
            if covered:
                accepted = self._accepted(plan, covered, refused=refused)
                seal = self._apply(plan, accepted)
                self._empty = False
                if self.open_rows:
                    self._close_open(plan, accepted)
            if refused:
                self._open_refused(plan, above, hwm)
            if unknown:
                self._open_unknown(plan, unknown)
            self.open_rows += len(unknown) + refused
            counters: dict[str, Any] = {}
            if final:
                self.warehouse.execute(sa.delete(ack).where(ack.c.fence <= plan.fence))
                counters |= {"folded_fence": plan.fence, "ack_rows": 0}
            if seal is not None:
                counters["state_seal"] = seal.text()
                self._seal = seal
            if self.open_rows:
                counters["open_seal"] = self._measure(self.tables.open).text()
            size: Any = seal.rows if seal is not None else (
                sa.select(sa.func.count()).select_from(self.tables.state).scalar_subquery())  # fmt: skip
            self._guarded(lease, state_rows=size, initialised=1, **counters)

    def drop_plans(self, *, keep: int = 0) -> None:
        """Drop plan tables that are resolved or that no byte was sent for."""
        prefix = f"plan__{self.tables.uid}__"
        for name in self.catalog:
            if name.startswith(prefix) and name != f"{prefix}{keep}":
                self.drop_plan(int(name.removeprefix(prefix)))

    def drop_plan(self, fence: int) -> None:
        """Drop one plan table."""
        self.warehouse.execute(sa.schema.DropTable(self.tables.plan(fence), if_exists=True))

    def keep(self, lease: Lease, **values: Any) -> None:  # noqa: ANN401 column values
        """Change the control row."""
        self._guarded(lease, **values)

    def copy_rows(self) -> int:
        """Rows of the ledger that are copies; asked only of streams that ever sent some."""
        if not self.control.known_copies():
            return 0
        t = self.tables.state
        return int(self.warehouse.fetch(sa.select(sa.func.count()).select_from(t).where(t.c._variant != ""))[0][0])

    def begin_copies(self, lease: Lease, name: str) -> None:
        """Write down that events go out under an old name as well from this fence on; before the plan is made.

        An event without an answer may have arrived under the old name already, so that its copy is taken for sent.
        """
        o, t = self.tables.open, self.tables.state
        known = {**self.control.known_copies(), name: lease.fence}
        perhaps = sa.select(
            o.c._key, sa.literal(name), sa.func.coalesce(o.c._values, ""), _big(0), _big(lease.fence), _big(self.dialect.now_ms())
        ).where(o.c._variant == "", doubtful(o), o.c._key.not_in(
            sa.select(t.c._key).where(t.c._variant == name)))  # fmt: skip
        with self.warehouse.transaction():
            values: dict[str, Any] = {"copies": json.dumps(known)}
            if self.open_rows and self.warehouse.execute(
                sa.insert(t).from_select(["_key", "_variant", "_digest", "_contract", "_fence", "_acked_at"], perhaps)
            ):
                self._seal = self._measure(t)
                values |= {"state_rows": self._seal.rows, "state_seal": self._seal.text()}
            self._guarded(lease, **values)
        self.read()

    def end_copies(self, lease: Lease, name: str) -> None:
        """Events go out under an old name no longer: what is open of its copies is given up."""
        o = self.tables.open
        with self.warehouse.transaction():
            self.warehouse.execute(sa.delete(o).where(o.c._variant == name))
            self._guarded(
                lease, copies=json.dumps({**self.control.known_copies(), name: 0}), open_seal=self._measure(o).text()
            )
        self.read()

    def hold_expired(self, lease: Lease, plan: sa.Table) -> None:
        """Mark events as held that may have arrived, and were sent too long ago."""
        o = self.tables.open
        these = sa.exists().where(plan.c._op == "held", plan.c._key == o.c._key, plan.c._variant == o.c._variant)
        with self.warehouse.transaction():
            self.warehouse.execute(
                sa.update(o)
                .where(o.c._outcome != "held", these)
                .values(_outcome="held", _reason="unknown_outcome", _rule="", _field="", _message="", _outline="")
            )
            self._guarded(lease, open_seal=self._measure(self.tables.open).text())

    def purge(
        self, lease: Lease, *, state: sa.ColumnElement[bool], open_rows: sa.ColumnElement[bool],
        first: Sequence[sa.Executable] = (),
    ) -> int:  # fmt: skip
        """Delete rows of forgotten or merged people from state and open, in one transaction; how many.

        Args:
            first: what is done before in the same transaction.
        """
        with self.warehouse.transaction():
            for statement in first:
                self.warehouse.execute(statement)
            # the condition for `open` may look into the state, so it goes first
            gone = self.warehouse.execute(sa.delete(self.tables.open).where(open_rows))
            gone += self.warehouse.execute(sa.delete(self.tables.state).where(state))
            self._seal = self._measure(self.tables.state)
            self._guarded(
                lease, state_rows=self._seal.rows, state_seal=self._seal.text(),
                open_seal=self._measure(self.tables.open).text(),
            )  # fmt: skip
        return gone

    # --- the fold's parts ------------------------------------------------------------------------------------

    def _apply(self, plan: PlanTable, accepted: Any) -> Seal:  # noqa: ANN401 a SQL expression
        """Change the state; the seal of what it is then.

        Where the old seal can be moved, only the changed rows are read for it.
        """
        def touched(state: sa.Table) -> Any:  # noqa: ANN401 a SQL expression
            return state.c._key.in_(sa.select(plan.table.c._key).where(accepted))

        old = self._seal or Seal.read(self.control.state_seal)
        movable = not self._empty and old is not None and set(old.columns) == set(self.catalog[self.tables.state.name])
        before = self._measure(self.tables.state, touched) if movable else None
        self.warehouse.execute(self._state_change(plan, accepted))
        if self._empty and self.dialect.indexes:  # faster after the first load than before it
            self._index_state()
        if old is not None and before is not None and (
            moved := old.moved(before, self._measure(self.tables.state, touched))
        ):
            return moved
        return self._measure(self.tables.state)

    def _accepted(self, plan: PlanTable, covered: Sequence[Range], *, refused: bool) -> Any:  # noqa: ANN401
        seq, ack = plan.table.c._seq, self.tables.ack
        condition: Any = sa.or_(*(seq.between(low, high) for low, high in covered))
        if len(covered) > FEW_RANGES:
            # not correlated: Snowflake knows EXISTS by equality only
            one, within = ack.alias("r"), plan.table.alias("p").c._seq
            these = sa.select(within).where(
                one.c.fence == plan.fence, one.c.outcome == "accepted", within.between(one.c.seq_from, one.c.seq_to)
            )
            condition = sa.and_(seq.in_(these), seq.between(covered[0][0], covered[-1][1]))
        if refused:
            x = ack.alias("x")
            named = sa.exists().where(x.c.fence == plan.fence, x.c.outcome.in_(REFUSALS), x.c.seq_from == seq)
            condition = sa.and_(condition, ~named)
        return condition

    def _state_change(self, plan: PlanTable, accepted: Any) -> sa.Executable:  # noqa: ANN401 a SQL expression
        c = plan.table.c
        snapshot = self.tables.keeps_values
        names = [*self.tables.owned_by, *(f.name for f in plan.fields)] if snapshot else ["_person", "_occurred_at", "_digest"]
        if self.tables.money:  # a plan from before `money:` was declared does not have it
            names += [name for name in MONEY if name in c]
        on = ["_key"] if snapshot else ["_key", "_variant"]
        tail = ["_contract", "_fence", "_acked_at"]
        source = sa.select(
            *(c[name] for name in (*on, *names)),
            _big(plan.contract).label("_contract"),
            _big(plan.fence).label("_fence"),
            _big(self.dialect.now_ms()).label("_acked_at"),
            c._op.in_(SEND_LAST).label("_gone"),
        ).where(accepted)
        if self._empty:  # nothing to match: half the work of a MERGE
            kept = source.where(c._op.not_in(SEND_LAST)).subquery("s")
            columns = [*on, *names, *tail]
            rows = sa.select(*(kept.c[name] for name in columns))
            return sa.insert(self.tables.state).from_select([self.tables.state.c[n] for n in columns], rows)
        return Merge(
            self.tables.state,
            source,
            on=on,
            update=[*names, *tail],
            insert=[*on, *names, *tail],
            delete_when="_gone" if snapshot else "",
        )

    def _close_open(self, plan: PlanTable, accepted: Any) -> None:  # noqa: ANN401 a SQL expression
        c, o = plan.table.c, self.tables.open
        keys: Any = o.c._key.in_(sa.select(c._key).where(accepted))
        if not self.tables.keeps_values:
            keys = sa.exists().where(accepted, c._key == o.c._key, c._variant == o.c._variant)
        self.warehouse.execute(sa.delete(o).where(keys))

    def _merge_open(
        self, plan: PlanTable, facts: Mapping[str, Any], rows: Any, where: Any, sent: Any  # noqa: ANN401 SQL expressions
    ) -> None:
        """Put rows of a plan into `open`.

        Args:
            sent: whether an attempt of this plan had no answer.
        """
        c = plan.table.c
        snapshot = self.tables.keeps_values
        variant = sa.literal("") if snapshot else c._variant
        before = self.tables.open.alias("b")
        doubted = doubtful(before)
        # the age of a row without an answer counts from when it may first have been sent, whoever settles it
        intent = sa.select(self.tables.ctl.c.intent_at).scalar_subquery()
        since = sa.case((sa.or_(doubted, sa.not_(sent)), before.c._first_at))
        values = row_digest(self.dialect, [_typed(c, f) for f in plan.fields]) if snapshot else c._digest
        found = {
            "_key": c._key,
            "_variant": variant,
            "_op": c._op if snapshot else sa.case((sa.or_(doubted, sent), DOUBT), else_=c._op),
            **facts,
            "_contract": sa.literal(plan.contract_digest),
            "_values": values,
            "_fence": _big(plan.fence),
            "_first_at": sa.func.coalesce(since, intent),
            "_last_try": _big(self.dialect.now_ms()),
        }
        names = [column.name for column in self.tables.open.columns]
        joined = rows.join(before, sa.and_(before.c._key == c._key, before.c._variant == variant), isouter=True)
        source = sa.select(*(found[name].label(quoted(name)) for name in names)).select_from(joined).where(where)
        update = [name for name in names if name not in {"_key", "_variant"}]
        self.warehouse.execute(
            Merge(self.tables.open, source, on=["_key", "_variant"], update=update, insert=names)
        )

    def _open_refused(self, plan: PlanTable, above: int, hwm: int) -> None:
        x, seq = self.tables.ack.alias("x"), plan.table.c._seq
        facts = {"_outcome": sa.literal("refused"), "_reason": x.c.reason, "_rule": x.c.rule, "_field": x.c.field,
                 "_message": x.c.message, "_outline": x.c.outline, "_status": x.c.status}  # fmt: skip
        on = sa.and_(x.c.fence == plan.fence, x.c.outcome.in_(REFUSALS), x.c.seq_from == seq)
        self._merge_open(plan, facts, plan.table.join(x, on), sa.and_(seq > above, seq <= hwm), x.c.outcome == UNSURE)

    def _open_unknown(self, plan: PlanTable, unknown: Sequence[Range]) -> None:
        empty = sa.literal("")
        facts = {"_outcome": sa.literal("unknown"), "_reason": sa.literal("no_answer"), "_rule": empty, "_field": empty,
                 "_message": empty, "_outline": empty, "_status": _big(0)}  # fmt: skip
        for start in range(0, len(unknown), FEW_RANGES):
            part = unknown[start : start + FEW_RANGES]
            where = sa.or_(*(plan.table.c._seq.between(low, high) for low, high in part))
            self._merge_open(plan, facts, plan.table, where, sa.true())

    def _unseal(self, lease: Lease) -> None:
        """Before the state's columns change, which is before the fold's transaction: a kill between is no damage."""
        self._guarded(lease, state_seal=sa.null())
        self.control, self._seal = replace(self.control, state_seal=None), None

    def _fit_ledger(self, lease: Lease) -> None:
        """Give a ledger from before `money:` was declared its columns; its old rows keep no amount."""
        have = self.catalog[self.tables.state.name]
        missing = [column for column in self.tables.state.columns if column.name in MONEY and column.name not in have]
        if not missing:
            return
        self._unseal(lease)
        prepare = self.warehouse.engine.dialect.identifier_preparer
        table = prepare.format_table(self.tables.state)
        for column in missing:
            kind = column.type.compile(self.warehouse.engine.dialect)
            add = f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {prepare.quote(column.name)} {kind}"
            self.warehouse.execute(sa.text(add))
        self.catalog = {**self.catalog, **read_catalog(self.warehouse, self.tables.schema)}

    def _fit_state(self, lease: Lease, plan: PlanTable) -> None:
        """Give the state a column of the right type for each attribute of the plan."""
        have = dict(self.catalog.get(self.tables.state.name, {}))
        prepare = self.warehouse.engine.dialect.identifier_preparer
        table = prepare.format_table(self.tables.state)
        for field in plan.fields:
            name, column = prepare.quote(quoted(field.name)), have.get(field.name)
            if column is not None and family_of(column) != family_of(field):
                # kept under another encoding: the diff does not read it, and sends the rows that have a value
                self._unseal(lease)
                self.warehouse.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN {name}"))
                column = None
            if column is None:
                self.warehouse.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {name} {field.native}"))
            elif field.scale is not None and column.scale is not None and column.scale < field.scale:
                self._unseal(lease)
                if self.dialect.alters_scale:
                    self.warehouse.execute(sa.text(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {field.native}"))
                else:
                    self._widen(field, have)
            else:
                continue
            have[field.name] = field
        self.catalog = {**self.catalog, self.tables.state.name: have}

    def _widen(self, field: Column, have: Mapping[str, Column]) -> None:
        """Give a column of the state more digits behind the point where ALTER cannot: the table anew, in one statement."""
        kept = self._as_kept(self.tables.state, have)
        wide = sa.cast(kept.c[field.name], sa.Numeric(MAX_DECIMAL_DIGITS, field.scale)).label(quoted(field.name))
        rows = sa.select(*(wide if column.name == field.name else column for column in kept.c))
        self.warehouse.execute(CreateTableAs(self.tables.state, rows, replace=True))


def _typed(columns: Any, field: Column) -> Any:  # noqa: ANN401 a SQL expression
    """A column of a plan, with its type where a cast depends on it."""
    return sa.type_coerce(columns[field.name], sa.Boolean()) if field.kind is Kind.BOOLEAN else columns[field.name]


def _big(value: Any) -> Any:  # noqa: ANN401 a SQL expression or a number
    return sa.cast(sa.literal(value) if isinstance(value, int) else value, sa.BigInteger)


def _clip(ranges: Iterable[Range], above: int, hwm: int) -> list[Range]:
    clipped = ((max(low, above + 1), min(high, hwm)) for low, high in ranges)
    return [(low, high) for low, high in clipped if low <= high]
