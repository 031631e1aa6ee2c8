"""The tables that revetl keeps in the warehouse, as SQLAlchemy tables; their meaning is in `docs/state.md`.

Every stream has its own four, so that streams never wait for each other's locks; `<uid>` is the sync's uid.

    ctl__<uid>           one row: lease, fence, intent mark, contracts, counters (`ctl__ws` the same for the workspace)
    plan__<uid>__<fence> the frozen, numbered plan of one run; dropped when it is resolved
    ack__<uid>           ranges of plan numbers with their outcome, appended at checkpoints
    open__<uid>          refused, held and unknown rows that outlive their plan
    state__<uid>         what Customer.io has acknowledged: a snapshot by value (people), or a ledger by key (events)
    rates                one row a run that is sending: its part of the workspace's rate
    tomb__all            digests of people who were forgotten; made by the first `revetl forget`
    merged__all          one row a person who was merged into another, and into whom; made by the first merge sync
    identity_log         groups of duplicates that a run found, by rule; made by the first run that counts them
    contracts            every version of a sync's contract; made by the first run that keeps one
    profiles             what runs saw of the models of syncs with `drift:`; made by the first of them
    test_log             what a run's tests found, before it sent; made by the first run that has tests
    runs, sync_log       one row a run, one row a sync and run
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Sync

SCHEMA_VERSION = 3
TOMBS = "tomb__all"
MERGED = "merged__all"
IDENTITY_LOG = "identity_log"
CONTRACTS = "contracts"
PROFILES = "profiles"
RATES = "rates"
TEST_LOG = "test_log"
SHARED = ("runs", "sync_log", RATES)  # made by the first run
AMOUNT = sa.Numeric(38, 9)  # of purchases and refunds, as sent
DOUBT = "doubt"  # the `_op` in `open` of an event that had no answer once, whatever happened to it since
MONEY = ("_amount", "_currency", "_recorded")  # the ledger's columns of streams that declare `money:`
LONGEST_NAME = 60  # PostgreSQL cuts names at 63 bytes without a word


def field_column(name: str) -> str:
    """The column of a field: its name, or a shortened name with a digest where an engine would cut it."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return name.encode()[:45].decode(errors="ignore") + "~" + digest


class Exact(sa.quoted_name):
    """A name of somebody else's column: never folded as the engine folds our own names (`Dialect.fold`)."""


def quoted(name: str) -> sa.quoted_name:
    """A name that is always written in quotes, so that its case survives every engine."""
    return sa.quoted_name(name, quote=True)


def _columns(*pairs: tuple[str, Any]) -> list[sa.Column[Any]]:
    return [sa.Column(quoted(name), kind) for name, kind in pairs]


@dataclass(frozen=True, slots=False, kw_only=True)
class StreamTables:
    """The tables of one stream.

    Args:
        schema: the state schema.
        uid: of the stream, or `ws` for the workspace (which has only a control row).
        fields: (column, type) of each field in its canonical form.
        keeps_values: the state is a snapshot with a column a field, else a ledger of keys.
        owned_by: for a snapshot of rows that belong to others: the sync of each owner, by the column that names the
            owner (`_person`).
        money: the ledger keeps amount and currency as sent, and whether the row was only recorded (a baseline).
    """

    schema: str
    uid: str
    fields: Sequence[tuple[str, Any]] = ()
    keeps_values: bool = True
    owned_by: Mapping[str, str] = field(default_factory=dict)
    money: bool = False

    def _table(self, name: str, columns: Sequence[sa.Column[Any]]) -> sa.Table:
        return sa.Table(name, sa.MetaData(), *columns, schema=quoted(self.schema))

    @cached_property
    def ctl(self) -> sa.Table:
        """One row: times are milliseconds since 1970 by the warehouse's clock."""
        return self._table(
            f"ctl__{self.uid}",
            _columns(
                ("name", sa.Text), ("schema_version", sa.BigInteger), ("fence", sa.BigInteger), ("owner", sa.Text),
                ("lease_until", sa.BigInteger), ("drain_until", sa.BigInteger), ("plan_fence", sa.BigInteger),
                ("hwm", sa.BigInteger), ("intent_at", sa.BigInteger), ("folded_fence", sa.BigInteger),
                ("plan_ts", sa.BigInteger),
                ("plan_contract", sa.BigInteger), ("initialised", sa.BigInteger), ("state_rows", sa.BigInteger),
                ("key_kind", sa.Text), ("contracts", sa.Text), ("workspace_id", sa.Text), ("id_scheme", sa.BigInteger),
                ("last_success_at", sa.BigInteger),
                # since schema 2
                ("plan_rows", sa.BigInteger), ("ack_rows", sa.BigInteger), ("state_seal", sa.Text),
                ("open_seal", sa.Text), ("verified_at", sa.BigInteger),
                # since schema 3, of the workspace: which key it was last written with (a digest), and since when
                ("key_print", sa.Text), ("key_since", sa.BigInteger),
                # since schema 3
                ("contract", sa.Text), ("copies", sa.Text), ("compared_at", sa.BigInteger),
            ),
        )

    @cached_property
    def state(self) -> sa.Table:
        """A snapshot: key, values, and where they come from. A ledger: what was acknowledged."""
        if self.keeps_values:
            columns = _columns(("_key", sa.Text), *((name, sa.Text) for name in self.owned_by), *self.fields)
        else:
            columns = _columns(("_key", sa.Text), ("_variant", sa.Text), ("_person", sa.Text),
                               ("_occurred_at", sa.BigInteger), ("_digest", sa.Text))  # fmt: skip
            columns += _columns(*zip(MONEY, (AMOUNT, sa.Text, sa.BigInteger), strict=True)) if self.money else []
        tail = _columns(("_contract", sa.BigInteger), ("_fence", sa.BigInteger), ("_acked_at", sa.BigInteger))
        return self._table(f"state__{self.uid}", [*columns, *tail])

    @cached_property
    def ack(self) -> sa.Table:
        """Ranges `seq_from`..`seq_to` (inclusive) of a fence's plan with one outcome."""
        return self._table(
            f"ack__{self.uid}",
            _columns(
                ("fence", sa.BigInteger), ("seq_from", sa.BigInteger), ("seq_to", sa.BigInteger), ("outcome", sa.Text),
                ("status", sa.BigInteger), ("reason", sa.Text), ("field", sa.Text), ("message", sa.Text),
                # since schema 3
                ("rule", sa.Text), ("outline", sa.Text),
            ),
        )

    @cached_property
    def open(self) -> sa.Table:
        """Rows without an acknowledgement that outlive their plan; `_values` is a digest, never the values."""
        return self._table(
            f"open__{self.uid}",
            _columns(
                ("_key", sa.Text), ("_variant", sa.Text), ("_op", sa.Text), ("_outcome", sa.Text), ("_reason", sa.Text),
                ("_field", sa.Text), ("_message", sa.Text), ("_status", sa.BigInteger), ("_contract", sa.Text),
                ("_values", sa.Text), ("_fence", sa.BigInteger), ("_first_at", sa.BigInteger),
                ("_last_try", sa.BigInteger),
                # since schema 3
                ("_rule", sa.Text), ("_outline", sa.Text),
            ),
        )

    def plan(self, fence: int, columns: Sequence[str] = ()) -> sa.Table:
        """The frozen plan of one run; columns as `diffsql` gives them."""
        return self._table(f"plan__{self.uid}__{fence}", [sa.Column(quoted(name), sa.types.NULLTYPE) for name in columns])


def doubtful(open_rows: Any) -> Any:  # noqa: ANN401 SQL
    """Whether an event may have arrived though it is not acknowledged; a refusal does not take that back.

    Args:
        open_rows: the table `open__<uid>`, or a selection of it.
    """
    c = open_rows.c
    return sa.or_(c._outcome.in_(["unknown", "held"]), c._op == DOUBT)


def stream_tables(schema: str, sync: Sync, fields: Sequence[tuple[str, Any]] = ()) -> StreamTables:
    """The tables of a sync's stream; without the columns of its fields unless they are given."""
    owned_by = sync.belongs_to if sync.keeps_values else {}
    return StreamTables(
        schema=schema, uid=sync.uid, fields=fields, keeps_values=sync.keeps_values, owned_by=owned_by, money=bool(sync.amount)
    )  # fmt: skip


def tombs_table(schema: str) -> sa.Table:
    """One row a forgotten person: a salted digest, never the key; survives every reset."""
    return sa.Table(
        TOMBS, sa.MetaData(),
        *_columns(("digest", sa.Text), ("salt", sa.Text), ("reason", sa.Text), ("buried_at", sa.BigInteger),
                  ("done_at", sa.BigInteger)),
        schema=quoted(schema),
    )  # fmt: skip


def rates_table(schema: str) -> sa.Table:
    """One row a run that is sending: its part of the workspace's rate, until when, and on which lane."""
    return sa.Table(
        RATES, sa.MetaData(),
        *_columns(("owner", sa.Text), ("lane", sa.Text), ("part", sa.Double), ("until", sa.BigInteger)),
        schema=quoted(schema),
    )  # fmt: skip


def merged_table(schema: str) -> sa.Table:
    """One row a secondary of a merge, never sent again; survives every reset. `done_at` is NULL until it is acknowledged."""
    return sa.Table(
        MERGED, sa.MetaData(),
        *_columns(("kind", sa.Text), ("secondary", sa.Text), ("primary", sa.Text), ("uid", sa.Text),
                  ("buried_at", sa.BigInteger), ("done_at", sa.BigInteger)),
        schema=quoted(schema),
    )  # fmt: skip


def identity_log_table(schema: str) -> sa.Table:
    """One row a run, person sync and rule: how many groups of people may be one person, and how many people."""
    return sa.Table(
        IDENTITY_LOG, sa.MetaData(),
        *_columns(("run_id", sa.Text), ("uid", sa.Text), ("rule", sa.Text), ("groups", sa.BigInteger),
                  ("people", sa.BigInteger), ("counted_at", sa.BigInteger)),
        schema=quoted(schema),
    )  # fmt: skip


def contracts_table(schema: str) -> sa.Table:
    """One row a version of a sync's contract: names, types and rules, never a value of a row."""
    return sa.Table(
        CONTRACTS, sa.MetaData(),
        *_columns(("uid", sa.Text), ("version", sa.BigInteger), ("digest", sa.Text), ("contract", sa.Text),
                  ("first_run_id", sa.Text), ("first_seen_at", sa.BigInteger)),
        schema=quoted(schema),
    )  # fmt: skip


def profiles_table(schema: str) -> sa.Table:
    """One row a run and sync with `drift:`: rows, types, nulls, and digests of values; never a value."""
    return sa.Table(
        PROFILES, sa.MetaData(),
        *_columns(("uid", sa.Text), ("run_id", sa.Text), ("fence", sa.BigInteger), ("seen_at", sa.BigInteger),
                  ("accepted", sa.BigInteger), ("profile", sa.Text)),
        schema=quoted(schema),
    )  # fmt: skip


def test_log_table(schema: str) -> sa.Table:
    """One row a run and test, or source with a freshness: how it ended, and how many rows failed; never a value."""
    return sa.Table(
        TEST_LOG, sa.MetaData(),
        *_columns(("run_id", sa.Text), ("name", sa.Text), ("node", sa.Text), ("status", sa.Text),
                  ("failures", sa.BigInteger), ("finished_at", sa.BigInteger)),
        schema=quoted(schema),
    )  # fmt: skip


def runs_table(schema: str) -> sa.Table:
    """One row a run."""
    return sa.Table(
        "runs", sa.MetaData(),
        *_columns(("run_id", sa.Text), ("command", sa.Text), ("started_at", sa.BigInteger),
                  ("finished_at", sa.BigInteger), ("exit_code", sa.BigInteger), ("version", sa.Text),
                  ("message", sa.Text)),
        schema=quoted(schema),
    )  # fmt: skip


def sync_log_table(schema: str) -> sa.Table:
    """One row a sync and run: the counts of the report."""
    names = ("unchanged", "created", "updated", "redriven", "deleted", "skipped", "acknowledged", "refused", "held",
             "waiting", "unsent", "drifted")  # fmt: skip
    return sa.Table(
        "sync_log", sa.MetaData(),
        *_columns(("run_id", sa.Text), ("uid", sa.Text), ("name", sa.Text), ("fence", sa.BigInteger),
                  ("status", sa.Text), ("contract", sa.Text), ("finished_at", sa.BigInteger),
                  *((name, sa.BigInteger) for name in names),
                  # since schema 3
                  ("contract_version", sa.BigInteger), ("copied", sa.BigInteger), ("warnings", sa.Text)),
        schema=quoted(schema),
    )  # fmt: skip
