"""Drift: a model that still fits its contract, and is not what it was in the last runs.

A *profile* is what one run saw of the model: rows, types of all columns, nulls of the columns that are sent, and the values of
those that have few. `profile_of` reads one in two statements over the model, `findings` compares it with earlier ones. Values are
kept as digests and never said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Drift, DriftAction, FieldType, Jump
from revetl.dialects import source_column, subquery_text
from revetl.diffsql import Shape
from revetl.warehouse import Warehouse

FEW_VALUES = 50  # a field with more is no list of choices
FEWEST_ROWS = 10  # below, a share means nothing, and so does a change by fewer rows
CODES = {"types": "RV264", "columns": "RV265", "new_values": "RV266", "null_rate": "RV267", "row_count": "RV268"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a run saw of a model.

    Attributes:
        rows: of the model.
        columns: the native type of each column that it gives.
        nulls: of each field.
        values: digests of the values of each field that has few of them.
        accepted: somebody has confirmed that this is right: earlier ones do not count any more.
    """

    rows: int
    columns: Mapping[str, str] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    accepted: bool = False

    @classmethod
    def read(cls, text: str, *, accepted: bool) -> Profile:
        """As `text` has it."""
        found = json.loads(text)
        values = {name: frozenset(digests) for name, digests in found["values"].items()}
        return cls(rows=found["rows"], columns=found["columns"], nulls=found["nulls"], values=values, accepted=accepted)

    def text(self) -> str:
        """As it is kept."""
        values = {name: sorted(digests) for name, digests in self.values.items()}
        found = {"rows": self.rows, "columns": dict(self.columns), "nulls": dict(self.nulls), "values": values}
        return json.dumps(found, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One way in which a model is not what it was.

    Attributes:
        kind: as the key of `drift:` that watches it.
        name: of the column or field; empty for the rows.
        text: one sentence without values.
        stop: whether it stops the sync.
    """

    kind: str
    name: str
    text: str
    stop: bool

    @property
    def code(self) -> str:
        """The stable code of its kind."""
        return CODES[self.kind]


def fingerprint(found: Sequence[Finding]) -> str:
    """Eight hex digits that name exactly these kinds of drift, to confirm them."""
    names = sorted(f"{one.kind}:{one.name}" for one in found)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]


# --- comparing ---------------------------------------------------------------------------------------------------


def findings(drift: Drift, now: Profile, before: Sequence[Profile]) -> list[Finding]:
    """How a profile differs from earlier ones (the latest first); nothing where there is none."""
    latest = next((i for i, one in enumerate(before) if one.accepted), len(before) - 1)
    before = before[: latest + 1][: drift.window]
    if not before:
        return []
    return [*_columns(drift, now, before[0]), *_values(drift, now, before), *_nulls(drift, now, before),
            *_rows(drift, now, before)]  # fmt: skip


def _columns(drift: Drift, now: Profile, last: Profile) -> Iterator[Finding]:
    for name, was in last.columns.items():
        kind = now.columns.get(name)
        if kind is None and drift.columns is not DriftAction.OFF:
            yield Finding(kind="columns", name=name, text=f"column {name!r} is gone from the model",
                          stop=drift.columns is DriftAction.STOP)  # fmt: skip
        elif kind not in {None, was} and drift.types is not DriftAction.OFF:
            yield Finding(kind="types", name=name, text=f"column {name!r} was {was} and is {kind}",
                          stop=drift.types is DriftAction.STOP)  # fmt: skip


def _values(drift: Drift, now: Profile, before: Sequence[Profile]) -> Iterator[Finding]:
    for name, values in now.values.items() if drift.new_values is not DriftAction.OFF else ():
        seen = [one.values[name] for one in before if name in one.values]
        if seen and (new := len(values - frozenset().union(*seen))):
            more = "more than " if new > FEW_VALUES else ""
            text = f"{name!r} has {more}{min(new, FEW_VALUES)} value{'' if new == 1 else 's'} that no earlier run saw"
            yield Finding(kind="new_values", name=name, text=text, stop=drift.new_values is DriftAction.STOP)


def _nulls(drift: Drift, now: Profile, before: Sequence[Profile]) -> Iterator[Finding]:
    for name, nulls in now.nulls.items() if now.rows >= FEWEST_ROWS else ():
        rates = [one.nulls[name] / one.rows for one in before if name in one.nulls and one.rows]
        usual, rate = median(rates) if rates else 1.0, nulls / now.rows
        if over(drift.null_rate, rate - usual):
            yield Finding(
                kind="null_rate", name=name, text=f"{name!r} is null in {rate:.1%} of the rows, where {usual:.1%} were usual",
                stop=_stops(drift.null_rate, rate - usual),
            )  # fmt: skip


def _rows(drift: Drift, now: Profile, before: Sequence[Profile]) -> Iterator[Finding]:
    usual = median(one.rows for one in before)
    jump = abs(now.rows - usual) / usual if usual else 0.0
    if abs(now.rows - usual) >= FEWEST_ROWS and over(drift.row_count, jump):
        text = f"the model has {now.rows:,} rows, where {usual:,.0f} were usual ({now.rows / usual - 1:+.0%})"
        yield Finding(kind="row_count", name="", text=text, stop=_stops(drift.row_count, jump))


def over(jump: Jump, share: float) -> bool:
    """Whether a share is above what is worth a word."""
    bounds = [bound for bound in (jump.warn, jump.stop) if bound is not None]
    return bool(bounds) and share > min(bounds)


def _stops(jump: Jump, share: float) -> bool:
    return jump.stop is not None and share > jump.stop


# --- reading -----------------------------------------------------------------------------------------------------


def profile_of(warehouse: Warehouse, shape: Shape, sql: str, before: Sequence[Profile]) -> Profile:
    """What the model is now: one statement over it, and a second one where fields with few values are watched.

    The first profile of a sync also counts the different values of its texts, to know which have few.
    """
    drift = shape.sync.drift
    assert drift is not None  # noqa: S101 asked only of syncs that declare it
    columns: dict[str, tuple[str, bool, bool]] = {}  # by column: the field, whether it is a text, whether it has an enum
    for one, column in zip(shape.sync.fields, shape.columns, strict=True):
        columns.setdefault(column.name, (one.name, one.type is FieldType.STRING, bool(one.enum)))
    known = {name for profile in before for name in profile.values}
    wants = drift.new_values is not DriftAction.OFF
    first = [column for column, (_, text, enum) in columns.items() if wants and text and not enum and not before]
    counts = [sa.func.count(source_column(column)) for column in columns]
    distinct = [sa.func.count(sa.distinct(sa.cast(source_column(column), sa.Text))) for column in first]
    rows, *found = warehouse.fetch(sa.select(sa.func.count(), *counts, *distinct).select_from(subquery_text(sql, "m")))[0]
    present, different = found[: len(columns)], found[len(columns) :]
    few = {column for column, n in zip(first, different, strict=True) if n <= FEW_VALUES}
    watched = [(column, name) for column, (name, _, enum) in columns.items()
               if wants and (enum or name in known or column in few)]  # fmt: skip
    return Profile(
        rows=int(rows), columns={column.name: column.native for column in shape.model},
        nulls={name: int(rows) - int(n) for (name, _, _), n in zip(columns.values(), present, strict=True)},
        values=_read_values(warehouse, sql, watched) if watched else {},
    )  # fmt: skip


def _read_values(warehouse: Warehouse, sql: str, watched: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
    texts = [sa.cast(source_column(column), sa.Text).label(f"v{i}") for i, (column, _) in enumerate(watched)]
    model = sa.select(*texts).select_from(subquery_text(sql, "m")).cte("m")
    parts = []
    for i in range(len(watched)):
        value = model.c[f"v{i}"]
        some = sa.select(value.label("v")).where(value.is_not(None)).distinct().limit(4 * FEW_VALUES).subquery()
        parts.append(sa.select(sa.literal_column(str(i)).label("i"), warehouse.dialect.digest(some.c.v).label("v")))
    found: dict[str, set[str]] = {name: set() for _, name in watched}
    for i, digest in warehouse.fetch(sa.union_all(*parts)):
        found[watched[int(i)][1]].add(str(digest)[:16])
    return {name: frozenset(digests) for name, digests in found.items()}


def stated(name: str, found: Sequence[Finding]) -> str:
    """What an error or a warning says of a sync."""
    return f"sync {name!r}: the data has drifted: " + "; ".join(one.text for one in found)


def confirm_hint(name: str, found: Sequence[Finding]) -> str:
    """The flag that takes exactly this drift for the new normal."""
    return f"if this is right: revetl run --select {name} --confirm-drift {fingerprint(found)}"


def confirmed(code: str | None, found: Sequence[Any]) -> bool:
    """Whether a code of the command line names this drift."""
    return bool(found) and code == fingerprint(found)
