"""How the columns of a model travel from the warehouse to the engine of its state, so that every value arrives as it was.

Almost all go as texts that the warehouse makes and the other engine casts back, column by column. Snowflake writes a FLOAT with
fewer digits than it has, so its doubles go as doubles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Sync
from revetl.dialects import DECIMAL, MAX_DECIMAL_DIGITS, Column, Dialect, Kind, source_column
from revetl.errors import ContractBroken

TRIED = frozenset({"duckdb", "postgres", "snowflake", "databricks"})  # warehouses whose values are known to arrive as they are
LOOSE_SCALE = 18  # digits behind the point of a PostgreSQL numeric without a scale, in an engine whose decimals have one
BIGINT_DIGITS = 18  # that many fit 64 bits, whichever they are
Page = list[tuple[Any, ...]]
_JSON = frozenset({Kind.JSON, Kind.NESTED})


class Hugeint(sa.types.UserDefinedType[Any]):
    """DuckDB's integer of 128 bits."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Its name."""
        return "HUGEINT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A column on its way.

    Attributes:
        value: the SQL that gives its values, in the warehouse.
        type: in the state's engine.
        digits: how many stand behind its point there, where the warehouse does not say; None elsewhere.
        double: its values are no texts but doubles.
    """

    column: Column
    value: Any
    type: sa.types.TypeEngine[Any]
    digits: int | None = None
    double: bool = False


def carry(column: Column, source: Dialect, state: Dialect) -> Carried | None:
    """How a column travels between two engines; None for one that no field can read."""
    value: Any = source_column(column.name)
    kind, here_duckdb = column.kind, state.name == "duckdb"
    digits = DECIMAL.match(column.native)
    if kind is Kind.OTHER or (kind is Kind.DECIMAL and digits and int(digits[1]) > MAX_DECIMAL_DIGITS):
        return None
    text: Any = sa.cast(value, sa.Text)
    if kind is Kind.FLOAT and source.name == "snowflake":
        return Carried(column=column, value=value, type=sa.Double(), double=True)
    if kind is Kind.DECIMAL and column.scale is None and here_duckdb:
        kept: Any = sa.Numeric(MAX_DECIMAL_DIGITS, LOOSE_SCALE)
        return Carried(column=column, value=text, type=kept, digits=LOOSE_SCALE)
    if kind is Kind.INTEGER and digits and int(digits[1]) > BIGINT_DIGITS:
        kind = Kind.BIG_INTEGER
    types: Mapping[Kind, sa.types.TypeEngine[Any]] = {
        Kind.INTEGER: sa.BigInteger(), Kind.FLOAT: sa.Double(), Kind.BOOLEAN: sa.Boolean(), Kind.DATE: sa.Date(),
        Kind.TIMESTAMP: sa.TIMESTAMP(), Kind.TIMESTAMP_TZ: sa.TIMESTAMP(timezone=True),
        Kind.BIG_INTEGER: Hugeint() if here_duckdb else sa.Numeric(MAX_DECIMAL_DIGITS, 0),
        Kind.DECIMAL: sa.Numeric() if column.scale is None else sa.Numeric(MAX_DECIMAL_DIGITS, column.scale),
    }  # fmt: skip
    if kind is Kind.FLOAT:  # a single is told by fewer digits than the double that it is
        text = sa.cast(sa.cast(value, sa.Double), sa.Text)
    elif kind in {Kind.TIMESTAMP, Kind.TIMESTAMP_TZ}:
        text = _iso_time(source, value, column)
    elif kind is Kind.DATE:
        text = source.iso_date(value)
    elif kind is Kind.NESTED:
        text = source.json_text(value, column)
    return Carried(column=column, value=text, type=types.get(kind, sa.Text()))


def _iso_time(source: Dialect, value: Any, column: Column) -> Any:  # noqa: ANN401 SQL expressions
    """A timestamp as ISO text with all its microseconds, whatever the style of the session."""
    zoned = column.kind is Kind.TIMESTAMP_TZ
    if source.name == "postgres":
        return sa.func.to_jsonb(value).op("#>>")(sa.literal_column("'{}'"))
    if source.name == "snowflake":
        from revetl.on_snowflake import Ntz  # noqa: PLC0415 one warehouse's, never another's

        plain = sa.cast(sa.func.convert_timezone("UTC", value) if zoned else value, Ntz())
        text = sa.func.to_varchar(plain, "YYYY-MM-DD HH24:MI:SS.FF6")  # nanoseconds are cut
        return sa.func.concat(text, "+00:00") if zoned else text
    if source.name == "databricks":  # whose sessions are in UTC
        text = sa.func.date_format(value, "yyyy-MM-dd HH:mm:ss.SSSSSS")
        return sa.func.concat(text, "+00") if zoned else text
    return sa.cast(sa.cast(value, sa.TIMESTAMP(timezone=zoned)), sa.Text)  # nanoseconds are cut here, not rounded there


def described(column: Column, made: Mapping[str, Column]) -> Column:
    """A column of the model as the state's engine has it; one that was left behind as it is in the warehouse."""
    here = made.get(column.name)
    if here is None:
        return column
    if column.kind in _JSON:
        return replace(here, kind=Kind.JSON, native=column.native)
    whole = column.kind in {Kind.INTEGER, Kind.BIG_INTEGER}  # also where the other engine's widest integer is a decimal
    return replace(here, kind=Kind.BIG_INTEGER, scale=None) if whole and here.kind is Kind.DECIMAL else here


def fitting(pages: Iterator[Page], carried: Sequence[Carried], sync: Sync) -> Iterator[Page]:
    """The pages as texts, once it is sure that no decimal would be rounded.

    Raises:
        ContractBroken: one would be.
    """
    loose = [(i, one) for i, one in enumerate(carried) if one.digits is not None]
    doubles = {i for i, one in enumerate(carried) if one.double}
    for page in pages:
        for i, one in loose:
            if not all(row[i] is None or fits(row[i], one.digits or 0) for row in page):
                raise ContractBroken(
                    f"sync {sync.name!r}: column {one.column.name!r} is {one.column.native} without a scale, and a value has "
                    f"more digits than the state's engine keeps ({MAX_DECIMAL_DIGITS}, {one.digits} of them behind the point)",
                    hint=f"cast it in model {sync.model!r}, for example: cast({one.column.name} as numeric(18, 2))",
                    where=sync.where, code="RV484",
                )  # fmt: skip
        yield [_told(row, doubles) for row in page] if doubles else page


def _told(row: tuple[Any, ...], doubles: set[int]) -> tuple[Any, ...]:
    """A row with its doubles as the shortest texts that mean them."""
    return tuple(repr(value) if i in doubles and value is not None else value for i, value in enumerate(row))


def fits(text: str, digits: int) -> bool:
    """Whether a decimal keeps all its digits with so many behind the point."""
    whole, _, rest = text.lstrip("-").partition(".")
    return whole.isdigit() and len(whole) <= MAX_DECIMAL_DIGITS - digits and len(rest.rstrip("0")) <= digits
