"""What really differs between warehouses, as one small frozen value each and a few functions.

Everything that SQLAlchemy Core can say is said with Core in `plan.py` and `state.py`; this module holds the
rest: how a driver names column types, how a value is cast to the canonical form of its contract
(`contracts.py`), MERGE, CREATE TABLE AS, and how an error of the driver is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from revetl.contracts import ENDLESS_S, TOO_WIDE, Field, FieldType
from revetl.errors import WarehouseError
from revetl.identity import email_sql
from revetl.tables import Exact

MAX_DECIMAL_DIGITS = 38
# classes of PostgreSQL's errors whose texts name things and never quote a row: connections, transactions, rights, names and
# syntax, resources, operators (PostgreSQL's manual, appendix A)
SAFE_SQLSTATES = frozenset({"08", "0A", "25", "28", "3B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"})
DOUBLE_EXACT = 2**53  # integers up to here are exact in a double
# a decimal of 15 digits is what the shortest text of its nearest double says, one of 16 need not be (0.1 above 2^49);
# and 10^22 is the largest power of ten that is a double, so beyond it DuckDB divides by another number
DOUBLE_DIGITS, DOUBLE_SCALE = 15, 22
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
QUESTION = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:SELECT|WITH|DESCRIBE)\b", re.IGNORECASE)
WIDE = 0x10000  # from here on a character has eight hexadecimal digits


class Kind(StrEnum):
    """Families of column types, the same for every engine."""

    TEXT = "text"
    INTEGER = "integer"
    BIG_INTEGER = "big integer"  # wider than 64 bits
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp without time zone"
    TIMESTAMP_TZ = "timestamp with time zone"
    DATE = "date"
    JSON = "json"
    NESTED = "nested"  # lists, structs, maps, arrays, records
    UUID = "uuid"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a model or table as the engine describes it.

    Attributes:
        name: exactly as the engine gives it.
        kind: its family.
        native: the engine's own name of the type, for messages.
        scale: digits behind the point of a decimal; None if the engine does not fix it.
    """

    name: str
    kind: Kind
    native: str
    scale: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """How one field is kept in stage, plan and state, and read back.

    Attributes:
        type: the SQLAlchemy type of the column.
        family: a word that changes only when kept values stop being comparable.
        scale: of decimals.
    """

    type: sa.types.TypeEngine[Any]
    family: str
    scale: int | None = None


def driver_problem(error: BaseException, statement: str) -> tuple[str, int]:
    """What a driver's error says, safe to show, and the line of the statement (0 if unknown).

    Errors about data (casts, constraints) quote values of rows, so their texts are dropped; errors about
    names and syntax are kept.
    """
    diag = getattr(error, "diag", None)  # psycopg.Error.diag; the classes of SQLSTATE are in the PostgreSQL manual
    if diag is not None and getattr(diag, "sqlstate", None):
        # what a function of the warehouse raises (it has a context) may hold anything, whatever class it gives itself
        about_names = diag.sqlstate[:2] in SAFE_SQLSTATES and not diag.context
        text = f"{type(error).__name__} ({diag.sqlstate})"
        if about_names and diag.message_primary:
            text += f": {diag.message_primary}"
        position = int(diag.statement_position or 0)
        return text, statement.count("\n", 0, position) + 1 if position else 0
    name = type(error).__name__
    first = str(error).split("\n", 1)[0]
    line = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    safe = {"BinderException", "CatalogException", "ParserException", "SyntaxException", "IOException",
            "PermissionException", "NotImplementedException", "TransactionException", "ConnectionException"}  # fmt: skip
    return (f"{name}: {first}" if name in safe or name == "OperationalError" else name), int(line[1]) if line else 0


def refuse_writes(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    """For engines whose sessions cannot only read: what is no question is not sent (listens to `before_cursor_execute`).

    Raises:
        WarehouseError: it is none.
    """
    if not QUESTION.match(statement):
        raise WarehouseError(f"a command that only reads would have run {statement.split(None, 1)[0]}", code="RV405")


def escaped(text: str, escapes: Mapping[str, str]) -> str:
    """A text in single quotes, for engines that read escapes in it; what does not print is written as its number.

    Args:
        escapes: how characters are written that the engine would take for something else.
    """
    parts = []
    for sign in text:
        number, shown = ord(sign), escapes.get(sign)
        plain = sign == " " or (sign.isprintable() and not sign.isspace())
        parts.append(shown or (sign if plain else f"\\u{number:04x}" if number < WIDE else f"\\U{number:08x}"))
    return "'" + "".join(parts) + "'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine.

    Attributes:
        name: dbt's adapter name.
        kind_of: the family of a native type name.
        seconds: since 1970 of a timestamp with time zone, cut towards the past to a 64-bit integer; null if infinite.
        at_zone: a naive timestamp read in a zone, as a timestamp with time zone.
        json_text: a nested value as JSON text; a number that is not finite shows as one.
        iso_date: a date as text, whatever the session's style of dates.
        collation: the one under which texts are equal if their characters are.
        any_value: one value of a group.
        digest: 32 hex digits of a text.
        now_ms: the warehouse's clock, milliseconds since 1970.
        row_hash: a quick hash of some values as an integer; may change with the engine's version.
        engine_version: of the engine, for what `row_hash` gives.
        sha256: 64 hex digits of a text.
        octets: the bytes of a text.
        nfc: a text in the composed form of Unicode.
        ascii_lower: small letters of a text that is ASCII, whatever the language of the session.
        strip_zeros: a decimal as text without zeros at its end, but for one behind the point.
        trim_scale: a decimal of any scale without trailing zeros.
        ordered_scan: whether a scan gives the rows of a table in the order in which they were written.
        server_cursor: whether a result is read by pages only through a cursor of the server, inside a transaction.
        indexes: whether a few rows of a large table are found by an index, and else by reading all of it.
        transactional_ddl: whether CREATE and ALTER roll back.
        endless: whether a timestamp can be infinite.
        alters_scale: whether ALTER gives a column more digits behind the point.
        fold: a name of ours as the engine's catalog has it; its own inverse.
        native: the name of a column's type, from what the driver says of the column.
        problem: what an error of the driver says, safe to show, and the line of the statement (0 if unknown).
        hint: what to do about it, by what `problem` gave; empty where there is nothing of this engine to say.
        frame_needs_order: whether a running sum needs an order of rows.
        fence: a subquery whose columns are computed once a row, for an engine that would write their expressions into each
            place where they are used.
        describe: (name, type) of each column of a result, from a cursor of the driver.
        merge_parts: the statements that together are a MERGE, for an engine that has none; in one transaction.
        catalog: (table, column, type, digits) of a schema, for an engine that keeps them elsewhere than in `information_schema`;
            None where there is no such schema.
    """

    name: str
    kind_of: Callable[[str], tuple[Kind, int | None]]
    seconds: Callable[[Any], Any]
    at_zone: Callable[[Any, str], Any]
    json_text: Callable[[Any, Column], Any]
    iso_date: Callable[[Any], Any]
    collation: str
    any_value: Callable[[Any], Any]
    digest: Callable[[Any], Any]
    now_ms: Callable[[], Any]
    row_hash: Callable[[Sequence[Any]], Any]
    engine_version: Callable[[], Any]
    sha256: Callable[[Any], Any]
    octets: Callable[[Any], Any]
    nfc: Callable[[Any], Any]
    ascii_lower: Callable[[Any], Any]
    strip_zeros: Callable[[Any], Any]
    trim_scale: Callable[[Any], Any]
    server_cursor: bool = False
    indexes: bool = False
    ordered_scan: bool = False
    transactional_ddl: bool = True
    endless: bool = True
    alters_scale: bool = True
    fold: Callable[[str], str] = str
    native: Callable[[Any], str] = lambda item: str(getattr(item, "type_display", None) or item[1])
    problem: Callable[[BaseException, str], tuple[str, int]] = driver_problem
    hint: Callable[[str], str] = lambda _: ""
    frame_needs_order: bool = False
    fence: Callable[[sa.Select[Any]], sa.Select[Any]] = lambda select: select
    describe: Callable[[Any], Sequence[Any]] = lambda cursor: tuple(cursor.description)
    merge_parts: Callable[[Merge], Sequence[sa.Executable]] | None = None
    catalog: Callable[[Any, str], Sequence[Any] | None] | None = None


def family_of(column: Column) -> str:
    """The word by which kept values of a column are comparable; the same words as `Canonical.family`."""
    words = {Kind.TEXT: "text", Kind.FLOAT: "double", Kind.BOOLEAN: "boolean", Kind.DECIMAL: "decimal",
             Kind.INTEGER: "integer"}  # fmt: skip
    return words.get(column.kind, "other")


class CreateTableAs(Executable, ClauseElement):
    """`CREATE TABLE t AS select`, with every constant written out (DDL takes no parameters)."""

    inherit_cache = False

    def __init__(self, table: sa.Table | sa.TableClause, select: sa.Select[Any], *, replace: bool = False) -> None:
        self.table = table
        self.select = select
        self.replace = replace


@compiles(CreateTableAs)
def _create_table_as(element: CreateTableAs, compiler: SQLCompiler, **_: object) -> str:
    table = compiler.preparer.format_table(element.table)
    create = "CREATE OR REPLACE TABLE" if element.replace else "CREATE TABLE"
    return f"{create} {table} AS {compiler.process(element.select, literal_binds=True)}"


@compiles(CreateTableAs, "snowflake")
def _create_transient_table_as(element: CreateTableAs, compiler: SQLCompiler, **_: object) -> str:
    # transient: no copy of people's data stays for a week after the table is dropped
    table = compiler.preparer.format_table(element.table)
    create = f"CREATE OR REPLACE TRANSIENT TABLE {table} COPY GRANTS" if element.replace else f"CREATE TRANSIENT TABLE {table}"
    return f"{create} AS {compiler.process(element.select, literal_binds=True)}"


class Merge(Executable, ClauseElement):
    """MERGE, which Core lacks; the one form that PostgreSQL 15+, DuckDB 1.4+ and Snowflake share.

    Args:
        target: the table, aliased `t`.
        source: a select, aliased `s`; at most one row for each key.
        on: columns that identify a row.
        update: columns to overwrite when matched; none means that a matched row is left alone.
        insert: columns of a new row.
        delete_when: column of the source (boolean) that deletes a matched row and inserts nothing.
    """

    inherit_cache = False

    def __init__(  # noqa: PLR0913 the parts of one statement
        self,
        target: sa.Table,
        source: sa.Select[Any],
        *,
        on: Sequence[str],
        update: Sequence[str],
        insert: Sequence[str],
        delete_when: str = "",
    ) -> None:
        self.target = target
        self.source = source
        self.on = tuple(on)
        self.update = tuple(update)
        self.insert = tuple(insert)
        self.delete_when = delete_when


@compiles(Merge)
def _merge(element: Merge, compiler: SQLCompiler, **_: object) -> str:
    quote = compiler.preparer.quote
    names = {name: quote(sa.quoted_name(name, quote=True)) for name in {*element.on, *element.update, *element.insert}}
    gone = f"s.{quote(sa.quoted_name(element.delete_when, quote=True))}" if element.delete_when else ""
    parts = [
        f"MERGE INTO {compiler.preparer.format_table(element.target)} AS t",
        f"USING ({compiler.process(element.source, literal_binds=True)}) AS s",
        "ON " + " AND ".join(f"t.{names[c]} = s.{names[c]}" for c in element.on),
    ]
    if gone:
        parts.append(f"WHEN MATCHED AND {gone} THEN DELETE")
    if element.update:
        sets = ", ".join(f"{names[c]} = s.{names[c]}" for c in element.update)
        parts.append(f"WHEN MATCHED THEN UPDATE SET {sets}")
    columns = ", ".join(names[c] for c in element.insert)
    values = ", ".join(f"s.{names[c]}" for c in element.insert)
    unless = f" AND NOT {gone}" if gone else ""
    parts.append(f"WHEN NOT MATCHED{unless} THEN INSERT ({columns}) VALUES ({values})")  # noqa: S608 quoted names
    return " ".join(parts)


DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|NUMBER)\((\d+),\s*(\d+)\)", re.IGNORECASE)




def without_zeros(text: Any) -> Any:  # noqa: ANN401 a SQL expression
    """The text of a decimal without zeros at its end, but for one behind the point."""
    trimmed = sa.func.rtrim(text, "0")
    # 42.0 as the shortest text of a double is, so that one column has one form
    whole = sa.case((sa.func.right(trimmed, 1) == ".", sa.func.concat(trimmed, "0")), else_=trimmed)
    return sa.case((sa.func.strpos(text, ".") > 0, whole), else_=text)


def source_column(name: str) -> sa.ColumnClause[Any]:
    """A column of a model, by its exact name."""
    return sa.column(Exact(name, quote=True))


def subquery_text(sql: str, alias: str) -> sa.TextClause:
    """A model's SELECT in brackets, to select from, with its colons and percent signs as they were written.

    A colon would be read as a bind parameter. The newline keeps a trailing `--` comment from eating the bracket.
    """
    return sa.text(f"(\n{sql}\n) AS {alias}".replace(":", r"\:"))


_ACCEPTED: dict[FieldType, frozenset[Kind]] = {
    FieldType.STRING: frozenset({Kind.TEXT, Kind.UUID, Kind.INTEGER, Kind.BIG_INTEGER, Kind.DATE}),
    FieldType.INTEGER: frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.DECIMAL}),
    FieldType.NUMBER: frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.DECIMAL, Kind.FLOAT}),
    FieldType.BOOLEAN: frozenset({Kind.BOOLEAN}),
    FieldType.TIMESTAMP: frozenset({Kind.TIMESTAMP, Kind.TIMESTAMP_TZ, Kind.DATE, Kind.INTEGER, Kind.BIG_INTEGER}),
    FieldType.DATE: frozenset({Kind.DATE, Kind.TIMESTAMP}),
    FieldType.ARRAY: frozenset({Kind.NESTED, Kind.JSON, Kind.TEXT}),
    FieldType.OBJECT: frozenset({Kind.NESTED, Kind.JSON, Kind.TEXT}),
}


def type_problem(field: Field, column: Column) -> str:
    """Why a column cannot give a field's type exactly, or an empty string.

    A decimal with a scale is refused as an integer, a naive timestamp needs the field's `zone`: both would
    change values silently.
    """
    if column.kind not in _ACCEPTED[field.type]:
        # PostgreSQL's driver knows a type that an extension or a user made (an enum) by its number only
        native = "of a type of its own" if column.native.isdigit() else column.native
        fitting = " or ".join(kind for kind, kinds in _ACCEPTED.items() if column.kind in kinds)
        also = f"declare it {fitting}, or cast it in the model" if fitting else (
            "cast it in the model, to text or to what it should be")  # fmt: skip
        return f"column {column.name!r} is {native}, which is no {field.type}; {also}"
    digits = DECIMAL.match(column.native)
    if column.kind is Kind.DECIMAL and digits and int(digits[1]) > MAX_DECIMAL_DIGITS:
        return f"column {column.name!r} is {column.native}; cast it to at most {MAX_DECIMAL_DIGITS} digits in the model"
    if field.type is FieldType.INTEGER and column.kind is Kind.DECIMAL and column.scale != 0:
        return f"column {column.name!r} is {column.native}; cast it to an integer in the model, or declare a number"
    if field.type is FieldType.TIMESTAMP and column.kind in {Kind.TIMESTAMP, Kind.DATE} and not field.zone:
        return f"column {column.name!r} is {column.native} and no `zone` is declared, so its moment is not known"
    return ""


def canonical_type(field: Field, column: Column) -> Canonical:
    """The type in which a field is staged, planned and kept (see the table in `contracts.py`)."""
    if field.type is FieldType.NUMBER and column.kind is Kind.FLOAT:
        return Canonical(type=sa.Double(), family="double")
    if field.type is FieldType.NUMBER and column.kind is Kind.DECIMAL:
        if column.scale is None:
            return Canonical(type=sa.Numeric(), family="decimal")
        return Canonical(type=sa.Numeric(MAX_DECIMAL_DIGITS, column.scale), family="decimal", scale=column.scale)
    if field.type in {FieldType.INTEGER, FieldType.NUMBER}:
        if column.kind is Kind.INTEGER:
            return Canonical(type=sa.BigInteger(), family="integer")
        return Canonical(type=sa.Numeric(MAX_DECIMAL_DIGITS, 0), family="decimal", scale=0)
    if field.type is FieldType.TIMESTAMP:
        return Canonical(type=sa.BigInteger(), family="integer")
    if field.type is FieldType.BOOLEAN:
        return Canonical(type=sa.Boolean(), family="boolean")
    return Canonical(type=sa.Text(), family="text")


def unix_seconds(dialect: Dialect, value: Any, column: Column, zone: str) -> Any:  # noqa: ANN401 SQL expressions
    """A point in time as whole Unix seconds; a fraction is cut towards the past.

    What has none, an infinite time, is `ENDLESS_S` or its negative: a null would say that there is no value.
    """
    if column.kind is Kind.BIG_INTEGER:
        return _clamped(value, column, ENDLESS_S, sa.BigInteger())
    if column.kind is Kind.INTEGER:
        return sa.cast(value, sa.BigInteger)
    if column.kind is Kind.DATE:
        value = sa.cast(value, sa.TIMESTAMP)
    if column.kind in {Kind.DATE, Kind.TIMESTAMP}:
        value = dialect.at_zone(value, zone)
    if not dialect.endless:
        return sa.cast(dialect.seconds(value), sa.BigInteger)
    future = value > sa.literal_column("TIMESTAMP WITH TIME ZONE '1970-01-01 00:00:00+00'")
    endless = sa.case((future, sa.literal_column(str(ENDLESS_S))), (sa.not_(future), sa.literal_column(str(-ENDLESS_S))))
    return sa.cast(sa.func.coalesce(dialect.seconds(value), endless), sa.BigInteger)


def _clamped(value: Any, column: Column, most: int, kind: sa.types.TypeEngine[Any]) -> Any:  # noqa: ANN401
    """An integer of more than 64 bits, where it is too large `most` or its negative: a cast would end the run."""

    def bound(number: int) -> Any:  # noqa: ANN401 a SQL expression
        return sa.literal_column(f"CAST({number} AS {column.native})")  # mixed with another type: compared as doubles

    high: tuple[Any, Any] = (value >= bound(most), sa.literal_column(str(most)))
    low: tuple[Any, Any] = (value <= bound(-most), sa.literal_column(str(-most)))
    cases = [high] if column.native.upper().startswith("U") else [high, low]
    return sa.cast(sa.case(*((when, sa.cast(then, kind)) for when, then in cases), else_=sa.cast(value, kind)), kind)


def normalized(dialect: Dialect, value: Any, rule: str) -> Any:  # noqa: ANN401 SQL expressions
    """A text by a field's `normalize` rule."""
    if rule == "email":
        return email_sql(dialect, value)
    if rule == "trim":
        value = sa.func.trim(value)
    if rule == "lower":
        value = sa.func.lower(value)
    return value


def canonical_value(dialect: Dialect, field: Field, column: Column, canonical: Canonical) -> Any:  # noqa: ANN401
    """The SQL expression that gives a model's column in its canonical form."""
    value: Any = source_column(column.name)
    if field.type is FieldType.TIMESTAMP:
        return unix_seconds(dialect, value, column, field.zone)
    if field.type is FieldType.DATE:
        return dialect.iso_date(value)
    if field.type in {FieldType.ARRAY, FieldType.OBJECT}:
        if column.kind is Kind.NESTED:
            return dialect.json_text(value, column)
        return sa.collate(sa.cast(value, sa.Text), dialect.collation)
    if field.type is FieldType.STRING:
        if column.kind is Kind.DATE:
            return normalized(dialect, dialect.iso_date(value), field.normalize)
        # a cast ends the padding of char(n); a collation that ignores case would hide a change of case
        return normalized(dialect, sa.collate(sa.cast(value, sa.Text), dialect.collation), field.normalize)
    if field.type is FieldType.BOOLEAN:
        return sa.type_coerce(value, sa.Boolean())  # any_value needs to know
    if column.kind is Kind.BIG_INTEGER and column.native.upper() != "UBIGINT":
        return _clamped(value, column, TOO_WIDE, canonical.type)
    if canonical.family == "decimal" and canonical.scale is None:
        return dialect.trim_scale(sa.cast(value, canonical.type))
    return sa.cast(value, canonical.type)


def readable(dialect: Dialect, column: Any, canonical: Canonical, widest: float | None) -> Any:  # noqa: ANN401
    """The SQL expression by which a canonical decimal is read for encoding: a double where that is exact, else digits.

    Args:
        widest: the largest absolute value among the rows to read, if it is known.
    """
    if canonical.family != "decimal":
        return column
    if canonical.scale is None or widest is None:
        return dialect.strip_zeros(column)
    if canonical.scale == 0 and widest < DOUBLE_EXACT:
        return sa.cast(column, sa.BigInteger())
    if canonical.scale <= DOUBLE_SCALE and widest * 10**canonical.scale < 10**DOUBLE_DIGITS:
        return sa.cast(column, sa.Double())
    return dialect.strip_zeros(column)
