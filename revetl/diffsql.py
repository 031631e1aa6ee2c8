"""The difference between what a model says and what Customer.io has acknowledged, as one SELECT.

`changes` gives a SELECT with one row for each change, numbered in the order of sending, and one summary row for each
kind of row that needs no sending (`_key` is NULL there and `_n` counts). It has two forms: of a *snapshot*, which keeps
values (people), and of a *ledger*, in which each key is sent once (events).
`run` freezes it with CREATE TABLE AS; `diff` aggregates it in a read-only session: both see the same plan.

The model is read once and nothing is staged; why, and what was measured: `docs/adr/0003-one-statement-plan.md`.

An event that has another name for a while (`renamed_from`) gives two rows, the second one with the old name as its
`_variant`: a *copy*, which is planned, acknowledged and remembered apart.

Columns of the SELECT, in order: `_seq`, `_op`, `_key`, `_n` (rows of the model with this key), then for a snapshot
`_m0`... (masks of changed fields, 62 bits each), `_fresh` (only new attributes changed; of a delete: not in the state),
whose the row is where it belongs to somebody (`_person`), and for a ledger `_person`, `_anonymous`, `_occurred_at` (Unix
seconds), `_variant`, `_digest`, where the sync declares them `_amount`, `_currency`, `_recorded` (money), `_odd` (a refund:
1 more than its order, 2 before it) and `_late`; then one column a field.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from revetl.contracts import (
    CAMPAIGN_HORIZON_S,
    Field,
    FieldType,
    IdentifierKind,
    Late,
    NoPerson,
    OnChange,
    OnNull,
    Sync,
    SyncType,
    UnknownPerson,
    WhenMissing,
)
from revetl.dialects import (
    Canonical,
    Column,
    Dialect,
    Kind,
    canonical_type,
    canonical_value,
    readable,
    source_column,
    subquery_text,
    type_problem,
    unix_seconds,
)
from revetl.errors import ContractBroken
from revetl.identity import EARLY, LATER, Contest, clearable, email_sql, settle
from revetl.tables import AMOUNT, MONEY, StreamTables, doubtful, field_column, quoted

MASK_BITS = 62
MOST_ARGUMENTS = 100  # of a function of PostgreSQL
FUTURE_SLACK_S = 300  # fact sheet section 10, question 11
UNKNOWN_HORIZON_MS = 20 * 3600 * 1000  # reliability: an id is trusted to be remembered this long
REFUSED_RETRY_MS = 24 * 3600 * 1000

ANY_ZONE_S = 2 * 86_400  # more than any two time zones lie apart
REGAINED = -1  # the contract of a state's row whose person gained values by a merge: sent once more with all of them
SEND_FIRST = ("release", "clear", "create", "update", "redrive", "event", "shadow")
SEND_LAST = ("delete", "suppress")
COPY = "copy_"  # before the `_op` of copies, in a summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A sync's contract bound to the columns that its model really gives."""

    sync: Sync
    key: Column
    canonical: tuple[Canonical, ...]
    columns: tuple[Column, ...]
    person: Column | None = None
    anonymous: Column | None = None
    occurred_at: Column | None = None
    order: Column | None = None
    event_name: Column | None = None
    duplicates: tuple[tuple[Column, ...], ...] = ()
    rank: Column | None = None
    model: tuple[Column, ...] = ()

    @property
    def contested(self) -> bool:
        """Whether rows have more than their key that belongs to one person only."""
        return self.sync.second is not None or (self.sync.is_person and self.sync.named("anonymous_id") is not None)

    @property
    def words(self) -> int:
        """How many mask columns the fields need."""
        return max(1, -(-len(self.sync.fields) // MASK_BITS))

    def digests(self) -> dict[str, str]:
        """For each field, a word that changes when its bytes may change for the same value."""
        return {
            field.name: f"{field.digest()}-{canonical.family}"
            for field, canonical in zip(self.sync.fields, self.canonical, strict=True)
        }


def bind(sync: Sync, found: Sequence[Column]) -> Shape:
    """Match a contract with a model's columns: exactly, else ignoring case where that is unambiguous.

    Raises:
        ContractBroken: columns are missing or have types that cannot give the contract's; all at once.
    """
    exact = {column.name: column for column in found}
    folded: dict[str, list[Column]] = {}
    for column in found:
        folded.setdefault(column.name.lower(), []).append(column)
    problems: list[str] = []

    def pick(name: str, role: str) -> Column | None:
        if not name:
            return None
        alike = folded.get(name.lower(), [])
        column = exact.get(name) or (alike[0] if len(alike) == 1 else None)
        if column is None:
            near = difflib.get_close_matches(name, exact, n=1)
            also = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{role} needs column {name!r}, which the model does not give{also}")
        return column

    key = pick(sync.key, "the key")
    if key is not None and key.kind in {Kind.FLOAT, Kind.DECIMAL} and key.scale != 0:
        problems.append(
            f"the key column {key.name!r} is {key.native}: 17850.0 and 17850 would be two people; cast it to text "
            "or to an integer in the model"
        )
    person, anonymous = pick(sync.person, "the person"), pick(sync.anonymous, "the anonymous id")
    occurred_at = pick(sync.occurred_at, "occurred_at")
    event_name = pick(sync.event_column, "the event's name")
    if occurred_at is not None:
        as_field = Field(name="occurred_at", column=sync.occurred_at, type=FieldType.TIMESTAMP, zone=sync.zone)
        if problem := type_problem(as_field, occurred_at):
            problems.append(problem)
    rank = pick(sync.identity.newest_by, "`newest_by`") if sync.is_person else None
    columns = [pick(field.column, f"{field.name!r}") for field in sync.fields]
    alike = [
        tuple(one for name in rule.columns if (one := pick(name, f"the rule for duplicates {rule.name!r}")) is not None)
        for rule in sync.duplicate_rules()
        if rule in (sync.duplicates or ()) or not problems  # the others read what was looked for above
    ]
    for field, source in zip(sync.fields, columns, strict=True):
        if source is not None and (problem := type_problem(field, source)):
            place = f" ({field.where})" if field.where.file else ""
            problems.append(f"{field.name!r}{place} is declared {field.type}, but {problem}")
    amount = next((c for f, c in zip(sync.fields, columns, strict=True) if f.name == sync.amount and sync.amount), None)
    if amount is not None and amount.kind is Kind.FLOAT:
        problems.append(f"the amount {sync.amount!r} is {amount.native}, and money in a float is not exact; cast it to a "
                        "decimal in the model")  # fmt: skip
    order = pick(sync.order, "`refund_of`")
    if problems or key is None:
        raise ContractBroken(
            f"sync {sync.name!r} cannot read its model {sync.model!r}: " + "; ".join(problems),
            hint=f"the model gives: {', '.join(f'{c.name} ({c.native})' for c in found)}; "
            f"correct it or the sync, then look again: revetl diff --select {sync.name}",
            where=sync.where,
            code="RV200",
        )
    bound = tuple(column for column in columns if column is not None)
    return Shape(
        sync=sync,
        key=key,
        columns=bound,
        canonical=tuple(canonical_type(f, c) for f, c in zip(sync.fields, bound, strict=True)),
        person=person,
        anonymous=anonymous,
        occurred_at=occurred_at,
        order=order,
        rank=rank,
        event_name=event_name,
        duplicates=tuple(alike),
        model=tuple(found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the state already knows, as far as the SELECT depends on it.

    Attributes:
        usable: fields whose state column exists with the same family.
        exact: those of them whose decimals have as many digits behind the point.
        none_open: no row is refused, held or unknown, so that nothing need be joined for them.
        contracts: for each contract number found in the state, the digests of its fields.
        contract: the number of today's contract.
        has_state: whether the state's tables exist at all.
        empty: whether nobody is in them.
        tombs: digests of forgotten people, if anybody ever was.
        money: whether the ledger keeps amounts yet.
        copies: for each old name under which events were ever sent a second time, the first fence that did; 0 where
            that is over.
        suppressed: `_key` of people who are suppressed by a sync, or are to be: nothing else is sent of them.
        merged: people who were merged into others, and into whom, where there is a merge sync.
    """

    usable: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()
    none_open: bool = False
    contracts: Mapping[int, Mapping[str, str]]
    contract: int
    has_state: bool
    empty: bool = False
    tombs: sa.Table | None = None
    merged: sa.Table | None = None
    money: bool = False
    copies: Mapping[str, int] = attribute(default_factory=dict)
    suppressed: sa.Select[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchases:
    """What a refund may undo.

    Attributes:
        sent: `_key`, `_amount`, `_occurred_at` of acknowledged purchases (in a diff: also of those a run would send).
        model: `_key` of every purchase that the model gives.
    """

    sent: sa.Subquery
    model: sa.Subquery


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Those to whom rows may belong: what Customer.io has of them, so that rows of the others wait.

    Attributes:
        column: of the plan, with the owner's key: `_person`.
        live: `_key` of every one that Customer.io has (in a diff: or will have after the owners' run).
        doubtful: `_key` of those whose last request has an unknown outcome.
    """

    column: str
    live: sa.Subquery
    doubtful: sa.Subquery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for.

    Attributes:
        full_refresh: send every person again, with all attributes.
        retry_refused: try refused rows now, not once a day.
        backfill: send events that can no longer trigger campaigns.
        before_s: of a backfill: leave younger events to a run without it.
        baseline: this first run only records what the model says.
        fingerprint: hash the rows to send in the summary, so that two plans can be compared.
        spellings: some keys are one address in different spellings: those rows are left out.
        since_s: only events from this time on (Unix seconds) are compared; None: all of them.
        now_s: the warehouse's clock when the run began, Unix seconds.
    """

    full_refresh: bool = False
    retry_refused: bool = False
    backfill: bool = False
    before_s: int | None = None
    since_s: int | None = None
    baseline: bool = False
    fingerprint: bool = False
    spellings: bool = False
    now_s: int


def _text_key(dialect: Dialect, column: Column, rule: str) -> Any:  # noqa: ANN401 a SQL expression
    value: Any = source_column(column.name)
    if column.kind is not Kind.TEXT:
        value = sa.cast(value, sa.Text)
    return email_sql(dialect, value) if rule == "email" else value


def blank(value: Any) -> Any:  # noqa: ANN401 a SQL expression
    """Null, empty, spaces only, or zero-width space only."""
    return sa.func.coalesce(sa.func.trim(sa.func.replace(value, "\u200b", "")), "") == ""


def not_wanted(dialect: Dialect, known: Known, rule: str, person: Any) -> list[Any]:  # noqa: ANN401 SQL expressions
    """The conditions under which nothing is sent of a person: forgotten on request, or suppressed by a sync."""
    found = [] if known.tombs is None else [_forgotten(dialect, known.tombs, rule, person)]
    return found if known.suppressed is None else [*found, person.in_(known.suppressed)]


def _forgotten(dialect: Dialect, tombs: sa.Table, rule: str, key: Any) -> Any:  # noqa: ANN401 SQL expressions
    """Whether a key is that of a forgotten person (`forget.digest` in SQL)."""
    salt = sa.select(sa.func.max(tombs.c.salt)).scalar_subquery()
    return dialect.sha256(sa.func.concat(salt, rule + ":", key)).in_(sa.select(tombs.c.digest))


def merged_away(merged: sa.Table, sync: Sync) -> sa.Select[Any]:
    """Keys of people who were merged into others, or are about to be."""
    return sa.select(merged.c.secondary).where(merged.c.kind == sync.identifier.value)


def merged_into(merged: sa.Table, sync: Sync) -> sa.Subquery:
    """`secondary` → `primary` of people whose merge is acknowledged."""
    c = merged.c
    return sa.select(c.secondary, c.primary).where(c.kind == sync.identifier.value, c.done_at.is_not(None)).subquery("into")


def row_digest(dialect: Dialect, values: Sequence[Any]) -> Any:  # noqa: ANN401 a SQL expression
    """A digest over canonical values: equal exactly when all of them are equal; null differs from empty."""
    parts: list[Any] = []
    for value in values:
        text = sa.cast(value, sa.Text)
        # a length before each value, so that no text can be mistaken for a separator
        size = sa.cast(sa.func.length(text), sa.Text)
        parts.append(sa.func.coalesce(sa.func.concat(size, ":", text), "-"))
    while len(parts) > 1:
        parts = [sa.func.concat(*parts[i : i + MOST_ARGUMENTS]) for i in range(0, len(parts), MOST_ARGUMENTS)]
    return dialect.digest(parts[0] if parts else sa.literal(""))


def key_of(dialect: Dialect, shape: Shape) -> Any:  # noqa: ANN401 a SQL expression
    """The key of a model's row: an identifier in the form in which it is sent, or the text of a fact's key."""
    kind, rule = shape.sync.type, shape.sync.identifier.value
    key = _text_key(dialect, shape.key, rule if kind.keyed_by_person else "")
    if not kind.keyed_by_pair:
        return key
    person = person_of(dialect, shape)
    return sa.case((sa.or_(person.is_(None), blank(key)), sa.cast(sa.null(), sa.Text)), else_=_pair(person, key))


def _pair(first: Any, second: Any) -> Any:  # noqa: ANN401 SQL expressions
    """Two texts as one: the JSON array of both, without blanks."""
    one, two = (sa.cast(sa.func.to_json(text), sa.Text) for text in (first, second))
    return sa.func.concat("[", one, ",", two, "]")


def _half(pair: Any, place: int) -> Any:  # noqa: ANN401 SQL expressions
    """One text of a pair; anything for a key that is none."""
    return sa.cast(sa.cast(pair, sa.JSON).op("->>")(sa.literal_column(str(place))), sa.Text)


def person_of(dialect: Dialect, shape: Shape) -> Any:  # noqa: ANN401 a SQL expression
    """The identifier of a row's person; NULL where there is none."""
    nothing = sa.cast(sa.null(), sa.Text)
    if shape.person is None:
        return nothing
    person = _text_key(dialect, shape.person, shape.sync.identifier.value)
    return sa.case((blank(person), nothing), else_=person)


def _owned(joined: Any, row: Mapping[str, Any], owners: Sequence[Owner]) -> tuple[Any, Any, Any]:  # noqa: ANN401 SQL
    """The rows joined with their owners; whether Customer.io has all of them; and whether nothing is open about any.

    Args:
        row: the key of each owner, by the owner's column.
    """
    known: list[Any] = [sa.true()]
    sure: list[Any] = [sa.true()]
    for owner in owners:
        live = owner.live.alias(f"live{owner.column}")
        joined = joined.join(live, live.c._key == row[owner.column], isouter=True)
        known.append(live.c._key.is_not(None))
        if owner.doubtful is not None:
            doubtful = owner.doubtful.alias(f"doubtful{owner.column}")
            joined = joined.join(doubtful, doubtful.c._key == row[owner.column], isouter=True)
            sure.append(doubtful.c._key.is_(None))
    return joined, sa.and_(*known), sa.and_(*sure)


def _sendable(field: Field, value: Any) -> Any:  # noqa: ANN401 SQL expressions
    """The value of a field; of `unsubscribed` only true, unless the contract says that people may be subscribed again."""
    return sa.case((value, value)) if field.name == "unsubscribed" and not field.may_resubscribe else value


def _model(  # noqa: PLR0913 which rows of the model, and what of them
    dialect: Dialect, shape: Shape, sql: str, extra: Sequence[Any] = (), *, spellings: bool = False, since_s: int | None = None
) -> sa.Subquery:
    fields = [
        _sendable(field, canonical_value(dialect, field, column, canonical)).label(quoted(field_column(field.name)))
        for field, column, canonical in zip(shape.sync.fields, shape.columns, shape.canonical, strict=True)
    ]
    head = [sa.literal(1).label("_m"), key_of(dialect, shape).label("_key"), *extra]
    if not spellings:
        rows = sa.select(*head, *fields).select_from(subquery_text(sql, "m"))
        return dialect.fence(rows if since_s is None else rows.where(*_young(dialect, shape, since_s))).subquery("m")
    raw = sa.cast(source_column(shape.key.name), sa.Text).label("_raw")
    k = sa.select(*head, raw, *fields).select_from(subquery_text(sql, "m")).subquery("k")
    of = k.c._key
    clash: Any = sa.func.min(k.c._raw).over(partition_by=of) != sa.func.max(k.c._raw).over(partition_by=of)
    if shape.rank is not None:
        best = sa.func.row_number().over(partition_by=of, order_by=[k.c._rank.desc().nulls_last(), k.c._raw]) == 1
        clash = sa.and_(clash, sa.not_(best))
    return sa.select(*(column for column in k.c if column.name != "_raw"), clash.label("_clash")).subquery("m")


def model_keys(dialect: Dialect, shape: Shape, sql: str) -> sa.Select[Any]:
    """The keys that a model gives, as they are sent."""
    return sa.select(key_of(dialect, shape).label("_key")).select_from(subquery_text(sql, "k"))


def _too_late(sync: Sync, options: Options, occurred: Any) -> Any:  # noqa: ANN401 SQL expressions
    """Whether an event is held because it can no longer trigger a campaign."""
    if options.backfill or sync.late is not Late.HOLD:
        return sa.false()
    return occurred < options.now_s - CAMPAIGN_HORIZON_S


def amount_of(shape: Shape, source: Any) -> Any:  # noqa: ANN401 SQL expressions
    """The amount of a purchase or refund as the ledger keeps it; null where that would not be exact."""
    index = next((i for i, field in enumerate(shape.sync.fields) if field.name == shape.sync.amount), None)
    if index is None:
        return sa.cast(sa.null(), AMOUNT)
    value, canonical = source.c[field_column(shape.sync.amount)], shape.canonical[index]
    if canonical.family != "decimal":
        return sa.cast(value, AMOUNT)
    digits = min(28, 37 - (canonical.scale or 0))
    fits = [value > sa.literal_column(f"-1{'0' * digits}"), value < sa.literal_column(f"1{'0' * digits}")]
    if canonical.scale is None or canonical.scale > (AMOUNT.scale or 0):
        fits.append(sa.cast(value, AMOUNT) == value)
    return sa.case((sa.and_(*fits), sa.cast(value, AMOUNT)))


def currency_of(sync: Sync, source: Any) -> Any:  # noqa: ANN401 SQL expressions
    """The currency of a purchase or refund, as it is sent."""
    return source.c[field_column(sync.currency)] if sync.currency else sa.cast(sa.null(), sa.Text)


def _occurred(dialect: Dialect, shape: Shape) -> Any:  # noqa: ANN401 a SQL expression
    assert shape.occurred_at is not None  # noqa: S101 an event sync without it does not load
    return unix_seconds(dialect, source_column(shape.occurred_at.name), shape.occurred_at, shape.sync.zone)


def _young(dialect: Dialect, shape: Shape, since_s: int) -> list[Any]:
    """The events from a time on, and those without a time, which are looked at to be refused.

    The bare column is asked as well, generously because its zone may be any: by an expression no engine finds the
    partitions or the part of an index that it needs.
    """
    column = shape.occurred_at
    assert column is not None  # noqa: S101 as in `_occurred`
    bare, occurred = source_column(column.name), _occurred(dialect, shape)
    young = [sa.or_(occurred >= since_s, occurred.is_(None))]
    kinds: dict[Kind, Any] = {
        Kind.TIMESTAMP_TZ: sa.TIMESTAMP(timezone=True), Kind.TIMESTAMP: sa.TIMESTAMP(), Kind.DATE: sa.Date(),
    }  # fmt: skip
    if kind := kinds.get(column.kind):
        day = datetime.fromtimestamp(since_s - ANY_ZONE_S, UTC).date().isoformat()
        young.insert(0, sa.or_(bare >= sa.cast(sa.literal(day), kind), bare.is_(None)))
    return young


def purchases_due(dialect: Dialect, shape: Shape, sql: str, options: Options) -> sa.Select[Any]:
    """The purchases that a run would send if Customer.io had none: `_key`, `_amount`, `_occurred_at`, once a key."""
    extra = [_occurred(dialect, shape).label("_occurred_at"), person_of(dialect, shape).label("_person")]
    m = _model(dialect, shape, sql, extra)
    in_time = sa.and_(sa.not_(_too_late(shape.sync, options, m.c._occurred_at)),
                      m.c._occurred_at <= options.now_s + FUTURE_SLACK_S)  # fmt: skip
    whose = [] if shape.sync.no_person is NoPerson.ANONYMOUS else [m.c._person.is_not(None)]
    columns = (m.c._key, sa.func.max(amount_of(shape, m)).label("_amount"), sa.func.max(m.c._occurred_at).label("_occurred_at"))
    return sa.select(*columns).where(in_time, *whose).group_by(m.c._key)


def repeated_keys(dialect: Dialect, shape: Shape, sql: str, most: int) -> sa.Select[Any]:
    """Some keys that a model gives more than once, the first in the order of text."""
    keys = model_keys(dialect, shape, sql).subquery("m").c._key
    return sa.select(keys).group_by(keys).having(sa.func.count() > 1).order_by(keys).limit(most)


def keys_of(dialect: Dialect, shape: Shape, sql: str, people: Sequence[str]) -> sa.Select[Any]:
    """The keys of some people's rows, as they are sent."""
    theirs: Any = sa.false()
    if shape.person is not None:
        theirs = _text_key(dialect, shape.person, shape.sync.identifier.value).in_(people)
    return sa.select(key_of(dialect, shape).label("_key")).select_from(subquery_text(sql, "k")).where(theirs)


def open_rows(tables: StreamTables, *variants: str, none: bool = False) -> sa.Subquery:
    """What is open of the model's rows, and of their copies under these old names.

    Args:
        none: it is known that nothing is; an engine that is told does not compare a key for it.
    """
    o = tables.open
    return (
        sa.select(o.c._key, o.c._variant, o.c._op, o.c._outcome, o.c._contract, o.c._values, o.c._first_at, o.c._last_try)
        .where(sa.false() if none else o.c._variant.in_(["", *variants]))
        .subquery("o")
    )


def numbered(
    rows: sa.Subquery, payload: Sequence[str], order: Sequence[str] | None, dialect: Dialect, *, copied: bool = False
) -> sa.Select[Any]:
    """Group what needs no sending, count rows a key, and number the rest in the order of sending.

    Args:
        order: columns that order the rows of a phase; None where there is one phase and any order will do.
        copied: rows with another `_variant` are other rows.
    """
    if order is None and dialect.frame_needs_order:
        order = ()
    return _ordered(_grouped(rows, payload, dialect, copied=copied).subquery("g"), payload, order, copied=copied)


def _grouped(rows: sa.Subquery, payload: Sequence[str], dialect: Dialect, *, copied: bool = False) -> sa.Select[Any]:
    """One row for each key that matters, and one for each kind of row that needs no sending."""
    more = (rows.c._variant,) if copied else ()
    sends = sa.case((rows.c._op.in_([*SEND_FIRST, *SEND_LAST, "held", "collision"]), rows.c._key))
    return (
        sa.select(
            rows.c._op.label("_op"),
            sends.label("_key"),
            sa.func.count().label("_n"),
            *(dialect.any_value(rows.c[name]).label(quoted(name)) for name in payload),
        )
        .group_by(rows.c._op, sends, *more)
    )


def _ordered(
    grouped: Any, payload: Sequence[str], order: Sequence[str] | None, *, copied: bool = False  # noqa: ANN401 a FROM
) -> sa.Select[Any]:
    """The rows numbered in the order of sending; those that are not sent have no number.

    Args:
        order: columns that order the rows of a phase; None where there is one phase and any order will do.
    """
    if order is None:
        # one phase and no order among its rows: a running count needs no sort
        one = sa.case((grouped.c._op.in_(SEND_FIRST), 1), else_=0)
        seq = sa.func.sum(one).over(rows=(None, 0))
    else:
        phase = sa.case(
            (grouped.c._op.in_(SEND_FIRST), 1), (grouped.c._op.in_(SEND_LAST), 2), (grouped.c._op == "held", 8), else_=9
        )
        last = (grouped.c._variant,) if copied else ()
        seq = sa.func.row_number().over(order_by=[phase, *(grouped.c[name] for name in order), grouped.c._key, *last])
    return sa.select(
        sa.cast(sa.case((grouped.c._op.in_([*SEND_FIRST, *SEND_LAST, "held"]), seq)), sa.BigInteger).label("_seq"),
        grouped.c._op,
        grouped.c._key,
        sa.cast(grouped.c._n, sa.BigInteger).label("_n"),
        *(grouped.c[name] for name in payload),
    )


def changes(  # noqa: PLR0913 each is one part of the question
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, known: Known, options: Options,
    owners: Sequence[Owner] = (), purchases: Purchases | None = None,
) -> sa.Select[Any]:  # fmt: skip
    """The changes of a sync, by its family.

    Args:
        owners: those whose acknowledgement rows wait for, one for each column of `tables.owned_by` (a ledger: `_person`).
        purchases: of a refund: what it may undo.
    """
    if shape.sync.keeps_values:
        return _snapshot_changes(dialect, shape, sql, tables, known, options, owners)
    return _ledger_changes(dialect, shape, sql, tables, known, options, owners, purchases)


def _snapshot_changes(  # noqa: C901, PLR0913 one question, told in the order in which SQL needs it
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, known: Known, options: Options,
    owners: Sequence[Owner],
) -> sa.Select[Any]:  # fmt: skip
    """The changes of a sync whose state keeps values.

    `_op` is create, update, redrive, clear, delete or suppress for rows to send, release for an address that is taken
    from somebody first, and same, gone, stray, skipped, waiting, refused, refused_update, forgotten, merged or bad_key for
    summary rows. Rows that would collide with others have a word of `identity.QUARANTINED`.

    An attribute with `on_null: skip` counts as changed only if its new value is not null; the row carries the old value
    otherwise, so that the fold keeps it.
    """
    sync = shape.sync
    parts = {"_person": lambda: person_of(dialect, shape), "_object": lambda: _text_key(dialect, shape.key, "")}
    extra = [parts[name]().label(name) for name in tables.owned_by]
    extra += [source_column(shape.rank.name).label("_rank")] if shape.rank is not None else []
    m = _model(dialect, shape, sql, extra, spellings=options.spellings)
    names = [field_column(field.name) for field in sync.fields]
    erasing = sync.when_missing is not WhenMissing.IGNORE
    if known.has_state:
        t, o = tables.state.alias("t"), open_rows(tables, none=known.none_open)
        joined = m.join(t, m.c._key == t.c._key, full=True)
        key = sa.func.coalesce(m.c._key, t.c._key)
        joined = joined.join(o, o.c._key == key, full=erasing, isouter=True)
        key = sa.func.coalesce(m.c._key, t.c._key, o.c._key)
        matched: Any = t.c._key.is_not(None)
        contract: Any = t.c._contract
    else:
        t = o = None  # type: ignore[assignment]  # the columns below become constants
        joined, key, matched, contract = m, m.c._key, sa.false(), sa.null()  # type: ignore[assignment]

    whose: dict[str, Any] = {name: m.c[name] for name in tables.owned_by}
    if o is not None:
        # of a row that is in neither, the request without an answer told whose it is by its key
        of_key = [_half(o.c._key, i) if sync.type.keyed_by_pair else o.c._key for i in range(len(whose))]
        nowhere = sa.and_(m.c._key.is_(None), t.c._key.is_(None))
        whose = {
            name: sa.case((nowhere, told), else_=sa.func.coalesce(m.c[name], t.c[name])) if erasing
            else sa.func.coalesce(m.c[name], t.c[name])
            for name, told in zip(whose, of_key, strict=True)
        }  # fmt: skip
    joined, live, sure = _owned(joined, whose, owners)
    digests = shape.digests()
    values: list[Any] = []
    changed: list[Any] = []
    stale: list[Any] = []
    olds: dict[str, Any] = {}
    clears = sync.when_missing is WhenMissing.CLEAR and known.has_state
    for field, name, canonical in zip(sync.fields, names, shape.canonical, strict=True):
        new = m.c[name]
        usable = known.has_state and field.name in known.usable
        old: Any = t.c[name] if usable else None
        if usable and canonical.scale is not None and field.name not in known.exact:
            # engines would bring two scales to the smaller one, and round without a word
            old = sa.cast(old, canonical.type)
        keeps, erases = field.keeps_on_null(), field.on_null is OnNull.CLEAR
        same = [n for n, fields in known.contracts.items() if fields.get(field.name) == digests[field.name]]
        news = [n for n, fields in known.contracts.items() if field.name not in fields]
        differs = sa.and_(new.is_not(None), new.is_distinct_from(old)) if keeps and usable else (
            new.is_distinct_from(old) if usable else sa.false()
        )
        # a value kept under another encoding is not comparable: send it again if there is one, or if a null erases
        again: Any = new.is_not(None) if not erases else sa.or_(new.is_not(None), contract.not_in(news) if news else sa.true())
        if not known.has_state:
            condition: Any = sa.false()
        elif usable and len(same) == len(known.contracts):
            condition = differs
        elif usable and same:
            condition = sa.case((contract.in_(same), differs), else_=again)
        else:
            condition = again
        olds[field.name] = old
        changed.append(condition)
        stale.append(sa.and_(condition, contract.not_in(news)) if news else condition)
        value: Any = sa.func.coalesce(new, old) if keeps and usable else new
        if clears and clearable(field):
            value = new
            if keeps and usable:
                value = sa.case((m.c._m.is_not(None), sa.func.coalesce(new, old)))
        values.append(value.label(quoted(name)))

    masks: list[Any] = []
    for word in range(shape.words):
        bits = [
            sa.case((condition, sa.literal(1 << (i % MASK_BITS), sa.BigInteger)), else_=sa.literal(0, sa.BigInteger))
            for i, condition in enumerate(changed)
            if i // MASK_BITS == word
        ]
        total: Any = bits[0] if bits else sa.literal(0, sa.BigInteger)
        for bit in bits[1:]:
            total = total + bit
        masks.append(sa.cast(sa.case((matched, total), else_=0), sa.BigInteger).label(f"_m{word}"))
    # only where some rows were kept under a contract without one of today's attributes can a row be "fresh"
    any_new = any(field.name not in fields for fields in known.contracts.values() for field in sync.fields)
    fresh = sa.and_(matched, sa.not_(sa.or_(*stale))) if any_new and known.has_state else sa.false()
    if erasing and known.has_state:  # a delete of somebody whom an unanswered request may have made: not in the state
        fresh = sa.or_(fresh, sa.and_(m.c._m.is_(None), sa.not_(matched)))

    # a person who gained values by a merge: what a null would clear may be there now
    nulls_clear = any(field.on_null is OnNull.CLEAR for field in sync.fields)
    regained = None
    if known.merged is not None and known.has_state and nulls_clear:
        regained = sa.and_(matched, contract == REGAINED)
    level1 = dialect.fence(sa.select(
        key.label("_key"),
        m.c._m,
        *([regained.label("_regained")] if regained is not None else []),
        matched.label("_matched"),
        *([o.c._op.label("_o_op"), o.c._outcome, o.c._contract.label("_o_contract"), o.c._values, o.c._last_try]
          if o is not None else []),
        fresh.label("_fresh"),
        *([sa.and_(live, sure).label("_owned")] if owners else []),
        *(value.label(name) for name, value in whose.items()),
        *masks,
        *values,
        *([_emptied(sync, olds).label("_emptied")] if clears else []),
        *([m.c._clash] if options.spellings else []),
        *_contested(shape, m, olds),
    ).select_from(joined)).subquery("l")  # fmt: skip
    person = level1.c._person if tables.owned_by else level1.c._key

    missing: Any = "gone"
    if sync.when_missing in {WhenMissing.DELETE, WhenMissing.UNSUPPRESS}:
        missing = "delete"
    elif sync.when_missing is WhenMissing.SUPPRESS:
        missing = "suppress"
    cases: list[tuple[Any, Any]] = []
    if options.spellings:
        cases.append((level1.c._clash, sa.literal("collision")))
    unwanted = not_wanted(dialect, known, sync.identifier.value, person) if sync.names_people else []
    cases += [(one, sa.case((level1.c._m.is_(None), "stray"), else_="forgotten")) for one in unwanted]
    if known.merged is not None and sync.names_people and sync.type is not SyncType.SUPPRESSION:
        away = person.in_(merged_away(known.merged, sync))
        cases.append((away, sa.case((level1.c._m.is_(None), "stray"), else_="merged")))
    doubt: Any = sa.false()
    if o is not None:
        # a refusal does not tell what became of an attempt before it, which had no answer: that row is redriven as well,
        # also where it is back at what the state has; a person never acknowledged needs it only after such an attempt
        covered = sa.and_(
            level1.c._outcome == "refused", sa.or_(level1.c._matched, level1.c._o_op.in_(["redrive", "clear", *SEND_LAST]))
        )
        doubt = sa.or_(level1.c._outcome == "unknown", covered)
        if regained is not None:
            doubt = sa.or_(doubt, level1.c._regained)
        if erasing:
            cases.append((sa.and_(level1.c._m.is_(None), sa.not_(level1.c._matched), sa.not_(doubt)),
                          sa.literal("stray")))  # fmt: skip
            if owners:  # what belongs to nobody went with its owner
                cases.append((sa.and_(level1.c._m.is_(None), sa.not_(level1.c._owned)),
                              sa.case((level1.c._matched, "gone"), else_="stray")))  # fmt: skip
        if clears:
            missing = sa.case((sa.and_(level1.c._emptied, sa.func.coalesce(sa.not_(doubt), sa.true())), "gone"), else_="clear")
        cases.append((level1.c._m.is_(None), missing if clears else sa.literal(missing)))
        if not options.full_refresh:
            # first the rows that most runs have most of, so that nothing else is asked of them
            untouched = sa.and_(*(level1.c[f"_m{w}"] == 0 for w in range(shape.words)))
            settled = sa.and_(level1.c._matched, level1.c._outcome.is_(None), untouched)
            if regained is not None:
                settled = sa.and_(settled, sa.not_(level1.c._regained))
            cases.append((settled, sa.literal("same")))
    if owners:
        nobody = "nobody" if sync.no_person is NoPerson.HOLD else "skipped"
        cases.append((level1.c._person.is_(None), sa.literal(nobody)))
    cases.append((blank(level1.c._key), sa.literal("bad_key")))
    if owners:
        cases.append((sa.not_(level1.c._owned), sa.literal("waiting")))
    if o is not None:
        if not options.retry_refused:
            unchanged_since = sa.and_(
                level1.c._outcome == "refused",
                level1.c._o_contract == sync.contract_digest(),
                level1.c._last_try > options.now_s * 1000 - REFUSED_RETRY_MS,
                level1.c._values == sa.case(
                    (level1.c._outcome == "refused", row_digest(dialect, [level1.c[n] for n in names]))
                ),
            )
            cases.append((sa.and_(unchanged_since, level1.c._matched), sa.literal("refused_update")))
            cases.append((unchanged_since, sa.literal("refused")))
        cases.append((doubt, sa.literal("redrive")))
    cases.append((sa.not_(level1.c._matched), sa.literal("create")))
    cases.append((sa.or_(*(level1.c[f"_m{w}"] != 0 for w in range(shape.words))), sa.literal("update")))
    op = sa.case(*cases, else_=sa.literal("redrive" if options.full_refresh else "same"))
    payload = [*(f"_m{w}" for w in range(shape.words)), "_fresh", *tables.owned_by, *names]
    carried = [column.name for column in _contested(shape, m, olds)]
    level2 = sa.select(op.label("_op"), level1.c._key, *(level1.c[name] for name in (*payload, *carried))).subquery("r")
    if not shape.contested:
        return numbered(level2, payload, () if erasing else None, dialect)
    rows = _claiming(dialect, shape, _grouped(level2, (*payload, *carried), dialect).subquery("g"))
    settled_rows = settle(rows, _contest(dialect, shape, tables, known), payload)
    # nobody has an address yet: any order will do
    order = None if known.empty and not erasing else ("_phase",)
    found = _ordered(settled_rows, (*payload, "_phase"), order)
    # after joins a table is not written in the order of its numbers, in which it is read
    return found if order is None else found.order_by(sa.nulls_last(found.selected_columns["_seq"]))


def _contested(shape: Shape, m: sa.Subquery, olds: Mapping[str, Any]) -> list[Any]:
    """What the state has of what only one person can have, and the rank of the row: carried to `_claiming`."""
    sync = shape.sync
    pairs = ((sync.second, "_was"), (sync.named("anonymous_id") if sync.is_person else None, "_anon_was"))
    found = [
        (sa.cast(sa.null(), sa.Text) if olds[field.name] is None else olds[field.name]).label(name)
        for field, name in pairs if field is not None
    ]  # fmt: skip
    return [*found, *([m.c._rank] if shape.rank is not None and sync.second is not None else [])]


def _claiming(dialect: Dialect, shape: Shape, grouped: sa.Subquery) -> sa.CTE:
    """The rows with the values that `identity.settle` compares; by now rows that need no sending are few."""
    sync, c = shape.sync, grouped.c
    values: dict[str, Any] = {}
    for field, new, old in ((sync.second, "_addr", "_was"), (sync.named("anonymous_id"), "_anon", "_anon_was")):
        if field is not None and sync.is_person:
            values[new] = _compared(dialect, sync, field, c[field_column(field.name)])
            values[old] = _compared(dialect, sync, field, c[old])
    same = [column for column in c if column.name not in values]
    return sa.select(*same, *(value.label(name) for name, value in values.items())).cte("rows")


def _compared(dialect: Dialect, sync: Sync, field: Field, value: Any) -> Any:  # noqa: ANN401 SQL expressions
    """An address or id as it is compared; an empty one is none."""
    if field.type is not FieldType.STRING:
        value = sa.cast(value, sa.Text)
    elif field is sync.second and field.name == "email" and field.normalize != "email":
        value = email_sql(dialect, value)
    return sa.func.nullif(value, "")


def _contest(dialect: Dialect, shape: Shape, tables: StreamTables, known: Known) -> Contest:
    sync = shape.sync
    second, visitor = sync.second, sync.named("anonymous_id")
    rules = sync.identity
    by_setting = rules.on_change is OnChange.SEND and sync.identifier is not IdentifierKind.EMAIL
    state = tables.state.alias("holder") if known.has_state and not known.empty else None

    def held(field: Field | None) -> Any:  # noqa: ANN401 a SQL expression
        if field is None or state is None or field.name not in known.usable:
            return None
        return _compared(dialect, sync, field, state.c[field_column(field.name)])

    kept = {
        field_column(f.name): sa.cast(state.c[field_column(f.name)] if f.name in known.usable else sa.null(), canonical.type)
        for f, canonical in zip(sync.fields, shape.canonical, strict=True)
    } if state is not None else {}  # fmt: skip
    return Contest(
        rules=rules, column=field_column(second.name) if second else "", anonymous=visitor is not None,
        changes=sync.identifier is IdentifierKind.CIO_ID or by_setting, state=state, held=held(second),
        held_anonymous=held(visitor), kept=kept,
    )  # fmt: skip


def _emptied(sync: Sync, olds: Mapping[str, Any]) -> Any:  # noqa: ANN401 SQL expressions
    """Whether the state has nothing left of somebody that could be cleared."""
    return sa.and_(sa.true(), *(olds[f.name].is_(None) for f in sync.fields if clearable(f) and olds[f.name] is not None))


def _ledger_changes(  # noqa: PLR0913 each is one part of the question
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, known: Known, options: Options,
    owners: Sequence[Owner], purchases: Purchases | None,
) -> sa.Select[Any]:  # fmt: skip
    """The changes of a sync that sends each key once.

    `_op` is event for rows to send, shadow for those that make their person (`unknown_person: create`), and held for
    rows that wait for a decision; summary rows are same, drift, gone, skipped, nobody, waiting, unbought (a refund waits
    for its purchase), orphan (its purchase is nowhere), late, future, younger (a backfill leaves it to another run),
    held_before, refused, forgotten and bad_key.
    """
    rows = event_rows(dialect, shape, sql, tables, known, options, owners, purchases=purchases)
    names = [field_column(field.name) for field in shape.sync.fields]
    payload = ["_person", "_anonymous", "_occurred_at", "_variant", "_digest", *event_extras(shape), *names]
    return numbered(rows, payload, ("_occurred_at",), dialect, copied=shape.sync.renamed_from is not None)


def event_extras(shape: Shape) -> list[str]:
    """The columns of a plan that only some event syncs have."""
    late = ["_late"] if shape.sync.late_property else []
    late += ["_name"] if shape.event_name is not None else []
    return [*(MONEY if shape.sync.amount else ()), *(["_odd"] if shape.order is not None else []), *late]


def event_rows(  # noqa: C901, PLR0913 one question, told in the order in which SQL needs it
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables, known: Known, options: Options,
    owners: Sequence[Owner], *, purchases: Purchases | None = None, ledger: bool = False,
) -> sa.Subquery:  # fmt: skip
    """Each row of the model and of the ledger with its `_op`, before any is counted or numbered.

    Args:
        ledger: with what the ledger keeps of it: `_t_amount`, `_t_currency`, `_t_recorded`, `_t_occurred_at`.
    """
    sync = shape.sync
    names = [field_column(field.name) for field in sync.fields]
    nothing = sa.cast(sa.null(), sa.Text)
    anonymous: Any = sa.cast(source_column(shape.anonymous.name), sa.Text) if shape.anonymous else nothing
    extra = [person_of(dialect, shape).label("_person"), anonymous.label("_anonymous"),
             _occurred(dialect, shape).label("_occurred_at")]  # fmt: skip
    if shape.order is not None:
        extra.append(_text_key(dialect, shape.order, "").label("_order"))
    if shape.event_name is not None:
        extra.append(sa.func.trim(sa.cast(source_column(shape.event_name.name), sa.Text)).label("_name"))
    summed = shape.order is not None and bool(sync.amount)  # over all refunds of an order, the old ones too
    inner = _model(dialect, shape, sql, extra, since_s=None if summed else options.since_s)
    named = [inner.c._name] if shape.event_name is not None else []
    digest = row_digest(dialect, [inner.c._person, inner.c._occurred_at, *named, *(inner.c[name] for name in names)])
    of_order: list[Any] = []
    if summed:
        total = sa.func.sum(amount_of(shape, inner)).over(partition_by=inner.c._order)
        of_order.append(total.label("_refunded"))
    m: Any = dialect.fence(sa.select(inner, digest.label("_digest"), sa.literal("").label("_variant"), *of_order)).subquery("d")
    old_name = sync.renamed_from.name if sync.renamed_from is not None and not ledger else ""
    if old_name:
        m = _doubled(m, old_name)
    if known.merged is not None:
        # whoever was merged into another lives on as that one; the digest says what the model said
        into = merged_into(known.merged, sync)
        whose = sa.func.coalesce(into.c.primary, m.c._person).label("_person")
        m = (
            sa.select(*(c for c in m.c if c.name != "_person"), whose)
            .select_from(m.join(into, into.c.secondary == m.c._person, isouter=True))
            .subquery("w")
        )

    if options.since_s is not None:
        young = [sa.or_(m.c._occurred_at >= options.since_s, m.c._occurred_at.is_(None))] if summed else []
        m = sa.select(m).where(*young).cte("young")
    joined: Any = m
    matched: Any = sa.false()
    cases: list[tuple[Any, Any]] = []
    key: Any = m.c._key
    kept: list[Any] = []
    cases += [(buried, sa.literal("forgotten")) for buried in not_wanted(dialect, known, sync.identifier.value, m.c._person)]
    if known.has_state:
        variants = [old_name] if old_name else []
        s = tables.state.c
        money = [s[name] for name in MONEY] if known.money and ledger else []
        kept_rows = sa.select(s._key, s._variant, s._contract, s._digest, s._occurred_at, *money).where(
            s._variant.in_(["", *variants]))  # fmt: skip
        t = kept_rows.subquery("t") if options.since_s is None else _recent(m, kept_rows, s, options.since_s)
        o = open_rows(tables, *variants, none=known.none_open)

        def alike(one: sa.Subquery) -> Any:  # noqa: ANN401 a SQL expression
            same_key = m.c._key == one.c._key
            return sa.and_(same_key, m.c._variant == one.c._variant) if old_name else same_key

        joined = m.join(t, alike(t), full=True).join(o, alike(o), isouter=True)
        key, matched = sa.func.coalesce(m.c._key, t.c._key), t.c._key.is_not(None)
        cases.append((m.c._m.is_(None), sa.literal("gone")))
        cases.append((sa.and_(matched, t.c._contract == known.contract, t.c._digest != m.c._digest),
                      sa.literal("drift")))  # fmt: skip
        cases.append((matched, sa.literal("same")))
        if ledger:
            kept = [t.c[name].label(f"_t{name}") for name in (*(MONEY if money else ()), "_occurred_at")]
        if old_name:
            joined, before = _sent_before(joined, m, tables, old_name, known.copies.get(old_name, 0))
            cases.append((before, sa.literal("before")))
    cases.append((blank(m.c._key), sa.literal("bad_key")))
    nobody = {NoPerson.SKIP: "skipped", NoPerson.HOLD: "nobody", NoPerson.ANONYMOUS: "skipped"}[sync.no_person]
    anonymous_ok = sync.no_person is NoPerson.ANONYMOUS
    without: Any = m.c._person.is_(None)
    if anonymous_ok:
        without = sa.and_(without, m.c._anonymous.is_(None))
    if options.baseline:
        # an event of nobody was never anybody's: it is sent once it has a person (a refund before its order)
        cases.append((without, sa.literal(nobody)))
        cases.append((sa.true(), sa.literal("event")))
    if known.has_state:
        old = o.c._first_at < options.now_s * 1000 - UNKNOWN_HORIZON_MS
        cases.append((sa.and_(o.c._outcome == "unknown", old), sa.literal("held")))
        cases.append((o.c._outcome == "held", sa.literal("held_before")))
    cases.append((without, sa.literal(nobody)))
    joined, known_person, sure = _owned(joined, {"_person": m.c._person}, owners)
    shadow: Any = sa.false()
    if owners and sync.unknown_person is UnknownPerson.CREATE:
        known_person, shadow = sa.true(), sa.and_(m.c._person.is_not(None), sa.not_(known_person))
    known_person = sa.and_(known_person, sure)
    if anonymous_ok:
        known_person = sa.or_(m.c._person.is_(None), known_person)
    cases.append((sa.not_(known_person), sa.literal("waiting")))
    odd: Any = sa.literal(0)
    if purchases is not None:
        bought, given = purchases.sent.alias("bought"), purchases.model.alias("given")
        joined = joined.join(bought, bought.c._key == m.c._order, isouter=True)
        joined = joined.join(given, given.c._key == m.c._order, isouter=True)
        unsent = bought.c._key.is_(None)
        cases.append((sa.and_(unsent, given.c._key.is_(None)), sa.literal("orphan")))
        cases.append((unsent, sa.literal("unbought")))
        over: Any = m.c._refunded > bought.c._amount if of_order else sa.false()
        odd = sa.case((over, 1), else_=0) + sa.case((m.c._occurred_at < bought.c._occurred_at, 2), else_=0)
    if known.has_state and not options.retry_refused:
        cases.append((sa.and_(o.c._outcome == "refused", o.c._contract == sync.contract_digest(),
                              o.c._values == m.c._digest,
                              o.c._last_try > options.now_s * 1000 - REFUSED_RETRY_MS), sa.literal("refused")))  # fmt: skip
    if known.has_state:  # it was refused, and may have arrived before that
        cases.append((sa.and_(doubtful(o), old), sa.literal("held")))
    cases.append((_too_late(sync, options, m.c._occurred_at), sa.literal("late")))
    cases.append((m.c._occurred_at > options.now_s + FUTURE_SLACK_S, sa.literal("future")))
    if options.before_s is not None:
        cases.append((m.c._occurred_at >= options.before_s, sa.literal("younger")))
    cases.append((shadow, sa.literal("shadow")))
    found = {
        "_amount": amount_of(shape, m), "_currency": currency_of(sync, m), "_odd": sa.cast(odd, sa.BigInteger),
        "_recorded": sa.cast(sa.literal(int(options.baseline)), sa.BigInteger),
        "_late": sa.func.coalesce(m.c._occurred_at < options.now_s - sync.late_after_s, sa.false()),
    }  # fmt: skip
    if shape.event_name is not None:
        found["_name"] = m.c._name
    return dialect.fence(sa.select(
        sa.case(*cases, else_=sa.literal("event")).label("_op"),
        key.label("_key"),
        m.c._person,
        m.c._anonymous,
        m.c._occurred_at,
        sa.func.coalesce(m.c._variant, t.c._variant).label("_variant") if old_name and known.has_state
        else m.c._variant if old_name else sa.literal("").label("_variant"),
        m.c._digest,
        *(found[name].label(name) for name in event_extras(shape)),
        *kept,
        *(m.c[name] for name in names),
    ).select_from(joined)).subquery("r")  # fmt: skip


def _recent(m: Any, kept: sa.Select[Any], s: Any, since_s: int) -> sa.Subquery:  # noqa: ANN401 a CTE and columns
    """The young rows of a ledger; and of the old ones those whose key a young row of the model has.

    An event whose time has changed, or that was recorded with another one, is not taken for a new one: the old part of
    the ledger is asked for the few keys that the young one does not have.
    """
    young = kept.where(s._occurred_at >= since_s).cte("recent")
    same = sa.and_(young.c._key == m.c._key, young.c._variant == m.c._variant)
    unseen = sa.select(m.c._key).select_from(m.join(young, same, isouter=True)).where(young.c._key.is_(None))
    return sa.union_all(sa.select(young), kept.where(s._occurred_at < since_s, s._key.in_(unseen))).subquery("t")


def _doubled(m: sa.Subquery, old_name: str) -> sa.Subquery:
    """Each row twice: as it is, and as its copy."""
    both = sa.union_all(
        sa.select(sa.literal("").label("_variant")), sa.select(sa.literal(old_name).label("_variant"))
    ).subquery("v")
    columns = [column for column in m.c if column.name != "_variant"]
    return sa.select(*columns, both.c._variant).select_from(m.join(both, sa.true())).subquery("c")


def _sent_before(
    joined: Any, m: sa.Subquery, tables: StreamTables, old_name: str, since: int  # noqa: ANN401 SQL expressions
) -> tuple[Any, Any]:
    """Copies of events that were sent, or may have been, before copies were sent: they had the old name then.

    Args:
        since: the first fence that sent copies; 0 where no run has yet (in a diff; a run writes it down first, and
            takes the copies of unanswered events for sent: `Stream.begin_copies`).
    """
    first = tables.state.alias("e")
    joined = joined.join(first, sa.and_(m.c._variant == old_name, first.c._key == m.c._key, first.c._variant == ""), isouter=True)
    if since:
        return joined, first.c._fence < since
    u = tables.open.alias("u")
    joined = joined.join(
        u, sa.and_(m.c._variant == old_name, u.c._key == m.c._key, u.c._variant == "", doubtful(u)), isouter=True
    )
    return joined, sa.or_(first.c._key.is_not(None), u.c._key.is_not(None))


def times_of(sync: Sync) -> tuple[str, ...]:
    """People's attributes that are times: one in the future delays the campaigns of segments."""
    return tuple(one.name for one in sync.fields if one.type is FieldType.TIMESTAMP) if sync.is_person else ()


def summary(dialect: Dialect, shape: Shape, plan: Any, options: Options) -> sa.Select[Any]:  # noqa: ANN401 a table or subquery
    """One row for each `_op` (with `copy_` before it for copies of events), to be read by `plan.read_counts`.

    Rows of the model, keys, the most rows of one key, the first and last number; then for a snapshot how many updates
    are fresh, how often each field changed, and how often each of `times_of` is in the future, for a ledger the oldest
    time, how many can no longer trigger campaigns, the oldest that can, how many people they would make where they may,
    and of refunds how many are larger than their order, and before it; then the widest value of each decimal; with a
    fingerprint, the sum of the hashes of the rows to send.
    """
    c = plan.c
    op: Any = c._op
    if shape.sync.renamed_from is not None:
        copy = sa.literal_column(f"'{COPY}'", sa.Text)  # no parameter, so that the engine sees that it groups by this
        op = sa.case((c._variant != sa.literal_column("''", sa.Text), copy + c._op), else_=c._op).label("_kind")
    columns: list[Any] = [op, sa.func.sum(c._n), sa.func.count(), sa.func.max(c._n), sa.func.min(c._seq),
                          sa.func.max(c._seq)]  # fmt: skip
    if shape.sync.keeps_values:
        columns.append(sa.func.sum(sa.case((c._fresh, 1), else_=0)))
        if shape.contested:
            columns.append(sa.func.max(sa.case((c._phase == EARLY, c._seq))))
            columns.append(sa.func.sum(sa.case((sa.and_(c._phase == LATER, c._seq.is_not(None)), 1), else_=0)))
        for i in range(len(shape.sync.fields)):
            bit = sa.literal(1 << (i % MASK_BITS), sa.BigInteger)
            hit = c[f"_m{i // MASK_BITS}"].op("&")(bit) != 0
            columns.append(sa.func.sum(sa.case((hit, 1), else_=0)))
        times = [c[field_column(name)] for name in times_of(shape.sync)]
        columns += [sa.func.sum(sa.case((at > options.now_s + FUTURE_SLACK_S, 1), else_=0)) for at in times]
    else:
        old = options.now_s - CAMPAIGN_HORIZON_S
        columns.append(sa.func.min(c._occurred_at))
        columns.append(sa.func.sum(sa.case((c._occurred_at < old, 1), else_=0)))
        columns.append(sa.func.min(sa.case((c._occurred_at >= old, c._occurred_at))))
        if shape.sync.unknown_person is UnknownPerson.CREATE:
            columns.append(sa.func.count(sa.distinct(sa.case((c._op == "shadow", c._person)))))
        if shape.order is not None:
            columns += [sa.func.sum(sa.case((c._odd.in_([bit, 3]), 1), else_=0)) for bit in (1, 2)]
    for field, canonical in zip(shape.sync.fields, shape.canonical, strict=True):
        if canonical.family == "decimal":
            columns.append(sa.func.max(sa.func.abs(c[field_column(field.name)])))
    if options.fingerprint:
        hashed = dialect.row_hash([column for column in c if column.name not in {"_seq", "_n"}])
        total = sa.func.sum(sa.case((c._seq.is_not(None), hashed)))
        columns.append(sa.cast(sa.func.coalesce(total, 0), sa.Text))
    return sa.select(*columns).group_by(op)


def samples(shape: Shape, plan: Any, tables: StreamTables, known: Known, limit: int) -> sa.Select[Any]:  # noqa: ANN401
    """Some changes with their values, for a terminal where the user asked for them.

    `_op`, `_key`, `_n`, masks, each field's new value, then each field's old value (NULL where the state does not
    keep it).
    """
    c = plan.c
    names = [field_column(field.name) for field in shape.sync.fields]
    masks = [c[f"_m{w}"] for w in range(shape.words)] if shape.sync.keeps_values else []
    source: Any = plan
    old: list[Any] = [sa.null() for _ in names]
    if shape.sync.keeps_values and known.has_state:
        t = tables.state.alias("t")
        source = plan.outerjoin(t, t.c._key == c._key)
        old = [
            t.c[name] if field.name in known.usable else sa.null()
            for field, name in zip(shape.sync.fields, names, strict=True)
        ]
    return (
        sa.select(c._op, c._key, c._n, *masks, *(c[name] for name in names), *old)
        .select_from(source)
        .where(c._key.is_not(None))
        .order_by(c._seq)
        .limit(limit)
    )


def to_send(  # noqa: PLR0913 which rows, and how to read them
    dialect: Dialect, shape: Shape, plan: sa.Table, widest: Mapping[str, float], low: int, high: int
) -> sa.Select[Any]:
    """The rows `low..high` of a frozen plan, in order, in the layout that the encoders read (`encode.py`)."""
    c = plan.c
    if shape.sync.keeps_values:
        head = [c._seq, c._op, c._key, *(c[f"_m{w}"] for w in range(shape.words))]
    elif shape.sync.type is SyncType.MERGE:
        head = [c._seq, c._key, c._person]
    else:
        head = [c._seq, c._key, c._person, c._anonymous, c._occurred_at, c._variant]
        head += [c._name] if shape.event_name is not None else []
    values = [
        readable(dialect, c[field_column(field.name)], canonical, widest.get(field.name))
        for field, canonical in zip(shape.sync.fields, shape.canonical, strict=True)
    ] + ([c._late] if shape.sync.late_property else [])
    rows = sa.select(*head, *values).where(c._seq.between(low, high))
    # DuckDB's threads may write what they joined or sorted for its numbers in another order
    streamed = shape.sync.keeps_values and not shape.contested and shape.sync.when_missing is WhenMissing.IGNORE
    return rows if dialect.ordered_scan and streamed else rows.order_by(c._seq)
