"""State that is kept elsewhere: the warehouse is only read, and its rows are compared in another engine.

The engine works with one `Warehouse`, that of the state. A sync's SQL is a SELECT over a temporary table in it, which
is filled when the engine first asks for the model's columns, before the lease is taken: the model runs once, in the
warehouse, and only the columns that the sync reads leave it, in pages, each value as a text that gives the same value
again. The table is this session's alone and ends with it. From there on all is as in one engine, so what
`docs/protocol.md` promises holds in the state's.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl import on_duckdb, on_postgres
from revetl.contracts import Sync
from revetl.dialects import DECIMAL, MAX_DECIMAL_DIGITS, Column, Dialect, Kind, source_column, subquery_text
from revetl.engine import CompiledSync
from revetl.errors import ConfigError, ContractBroken
from revetl.profiles import Elsewhere
from revetl.tables import quoted
from revetl.warehouse import Probe, Warehouse, open_warehouse

PAGE_ROWS = 20_000
LOOSE_SCALE = 18  # digits behind the point of a PostgreSQL numeric without a scale, in an engine whose decimals have one
TRIED = frozenset({"duckdb", "postgres"})  # warehouses whose values are known to arrive as they are
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
        text: the SQL that gives its values as texts, in the warehouse.
        type: in the state's engine.
        digits: how many stand behind its point there, where the warehouse does not say; None elsewhere.
    """

    column: Column
    text: Any
    type: sa.types.TypeEngine[Any]
    digits: int | None = None


class StateElsewhere(Warehouse):
    """The engine of the state, with the rows of models that live in another one.

    Args:
        source: the warehouse, opened to read.
        state: where the state is, just opened; this takes its place.
        folder: for pages on their way into DuckDB; it goes when this is closed.
    """

    def __init__(
        self, source: Warehouse, state: Warehouse, *, folder: tempfile.TemporaryDirectory[str], probe: Probe | None = None
    ) -> None:
        super().__init__(state.engine, state.dialect, probe=probe)
        self.source = source
        self.folder = folder
        self._adopted: dict[str, CompiledSync] = {}
        self._staged: dict[str, tuple[Column, ...]] = {}

    def close(self) -> None:
        """Close both, and remove what is left of pages."""
        try:
            super().close()
        finally:
            self.source.close()
            self.folder.cleanup()

    def adopt(self, compiled: CompiledSync) -> CompiledSync:
        """The sync as the engine of the state runs it; its rows come when its columns are asked for."""
        made = placed(compiled)
        self._adopted[made.sql] = compiled
        return made

    def columns(self, sql: str) -> tuple[Column, ...]:
        """As `Warehouse.columns`; of a model that is elsewhere, after its rows were staged here."""
        compiled = self._adopted.get(sql)
        if compiled is None:
            return super().columns(sql)
        if sql not in self._staged:
            self._staged[sql] = self._stage(compiled, sql)
        return self._staged[sql]

    def _stage(self, compiled: CompiledSync, sql: str) -> tuple[Column, ...]:
        given = self.source.columns(compiled.sql)
        wanted = {name.lower() for name in read_columns(compiled.sync)}
        carried = [one for column in given if column.name.lower() in wanted for one in [self._carry(column)] if one]
        if not carried:
            return given  # the contract says what is missing
        stage = sa.Table(
            f"stage__{compiled.sync.uid}", sa.MetaData(), *(sa.Column(quoted(c.column.name), c.type) for c in carried),
            prefixes=["TEMPORARY"],
        )  # fmt: skip
        select = sa.select(*(c.text.label(quoted(c.column.name)) for c in carried)).select_from(subquery_text(compiled.sql, "m"))
        # closed at once if the rows do not fit: a reader of PostgreSQL stands in a transaction
        read: Any = self.source.pages(select, PAGE_ROWS)
        with closing(read):
            pages = _fitting(read, carried, compiled.sync)
            if self.dialect.name == "postgres":
                self._into_postgres(stage, pages)
            else:
                self._into_duckdb(stage, pages)
        made = {column.name: column for column in super().columns(sql)}
        return tuple(_described(column, made) for column in given)

    def _into_postgres(self, stage: sa.Table, pages: Iterable[list[tuple[Any, ...]]]) -> None:
        names = ", ".join(quoted_text(column.name) for column in stage.columns)
        connection = self.connection.connection.driver_connection
        # a temporary table may be written in a session that is otherwise read-only, if its transaction says so
        self.execute(sa.text("BEGIN READ WRITE"))
        try:
            self.execute(sa.schema.CreateTable(stage))
            self.statements += 1
            on_postgres.copy_in(connection, f"COPY {quoted_text(stage.name)} ({names}) FROM STDIN", pages)
        except BaseException:
            self._rollback()
            raise
        self.execute(sa.text("COMMIT"))
        self.execute(sa.text(f"ANALYZE {quoted_text(stage.name)}"))  # nothing else looks at temporary tables

    def _into_duckdb(self, stage: sa.Table, pages: Iterable[list[tuple[Any, ...]]]) -> None:
        self.execute(sa.schema.CreateTable(stage))
        file = Path(self.folder.name) / "rows.json"
        types = [column.type.compile(dialect=self.engine.dialect) for column in stage.columns]
        insert = on_duckdb.insert_from(quoted_text(stage.name), types, file)
        for page in pages:
            try:
                on_duckdb.write_rows(file, page)
                self.execute(sa.text(insert.replace(":", r"\:")))
            finally:
                file.unlink(missing_ok=True)

    def _carry(self, column: Column) -> Carried | None:
        """How a column travels; None for one that no field can read."""
        value: Any = source_column(column.name)
        dialect, kind = self.source.dialect, column.kind
        text: Any = sa.cast(value, sa.Text)
        here_duckdb = self.dialect.name == "duckdb"
        digits = DECIMAL.match(column.native)
        if kind is Kind.OTHER or (kind is Kind.DECIMAL and digits and int(digits[1]) > MAX_DECIMAL_DIGITS):
            return None
        if kind is Kind.DECIMAL and column.scale is None and here_duckdb:
            kept: Any = sa.Numeric(MAX_DECIMAL_DIGITS, LOOSE_SCALE)
            return Carried(column=column, text=text, type=kept, digits=LOOSE_SCALE)
        types: Mapping[Kind, sa.types.TypeEngine[Any]] = {
            Kind.INTEGER: sa.BigInteger(), Kind.FLOAT: sa.Double(), Kind.BOOLEAN: sa.Boolean(), Kind.DATE: sa.Date(),
            Kind.TIMESTAMP: sa.TIMESTAMP(), Kind.TIMESTAMP_TZ: sa.TIMESTAMP(timezone=True),
            Kind.BIG_INTEGER: Hugeint() if here_duckdb else sa.Numeric(MAX_DECIMAL_DIGITS, 0),
            Kind.DECIMAL: sa.Numeric() if column.scale is None else sa.Numeric(MAX_DECIMAL_DIGITS, column.scale),
        }  # fmt: skip
        if kind is Kind.FLOAT:  # a single is told by fewer digits than the double that it is
            text = sa.cast(sa.cast(value, sa.Double), sa.Text)
        elif kind in {Kind.TIMESTAMP, Kind.TIMESTAMP_TZ}:
            text = _iso_time(dialect, value, column)
        elif kind is Kind.DATE:
            text = dialect.iso_date(value)
        elif kind is Kind.NESTED:
            text = dialect.json_text(value, column)
        return Carried(column=column, text=text, type=types.get(kind, sa.Text()))


def _iso_time(dialect: Dialect, value: Any, column: Column) -> Any:  # noqa: ANN401 SQL expressions
    """A timestamp as ISO text with all its microseconds, whatever the style of the session."""
    if dialect.name == "postgres":
        return sa.func.to_jsonb(value).op("#>>")(sa.literal_column("'{}'"))
    zoned = column.kind is Kind.TIMESTAMP_TZ
    return sa.cast(sa.cast(value, sa.TIMESTAMP(timezone=zoned)), sa.Text)  # nanoseconds are cut here, not rounded there


def _described(column: Column, made: Mapping[str, Column]) -> Column:
    """A column of the model as the state's engine has it; one that was left behind as it is in the warehouse."""
    here = made.get(column.name)
    if here is None:
        return column
    return replace(here, kind=Kind.JSON, native=column.native) if column.kind in _JSON else here


def _fitting(pages: Iterator[list[tuple[Any, ...]]], carried: Sequence[Carried], sync: Sync) -> Iterator[list[tuple[Any, ...]]]:
    """The pages, once it is sure that no decimal would be rounded.

    Raises:
        ContractBroken: one would be.
    """
    loose = [(i, one) for i, one in enumerate(carried) if one.digits is not None]
    for page in pages:
        for i, one in loose:
            if not all(row[i] is None or _fits(row[i], one.digits or 0) for row in page):
                raise ContractBroken(
                    f"sync {sync.name!r}: column {one.column.name!r} is {one.column.native} without a scale, and a value has "
                    f"more digits than the state's engine keeps ({MAX_DECIMAL_DIGITS}, {one.digits} of them behind the point)",
                    hint=f"cast it in model {sync.model!r}, for example: cast({one.column.name} as numeric(18, 2))",
                    where=sync.where, code="RV484",
                )  # fmt: skip
        yield page


def _fits(text: str, digits: int) -> bool:
    whole, _, rest = text.lstrip("-").partition(".")
    return whole.isdigit() and len(whole) <= MAX_DECIMAL_DIGITS - digits and len(rest.rstrip("0")) <= digits


def placed(compiled: CompiledSync) -> CompiledSync:
    """A sync that reads its rows from where they are staged."""
    table = quoted_text(f"stage__{compiled.sync.uid}")
    # another model is another plan, also where nothing else has changed (`--expect`)
    sql = f"SELECT * FROM {table} /* {hashlib.sha256(compiled.sql.encode()).hexdigest()[:16]} */"  # noqa: S608 a uid
    return replace(compiled, sql=sql, source=compiled.sql)


def read_columns(sync: Sync) -> set[str]:
    """The columns of its model that a sync reads; no other leaves the warehouse."""
    rules = sync.duplicate_rules()
    return {
        name
        for name in (
            sync.key, sync.person, sync.anonymous, sync.occurred_at, sync.event_column, sync.order, sync.identity.newest_by,
            *(one.column for one in sync.fields), *(name for rule in rules for name in rule.columns),
        )
        if name
    }  # fmt: skip


def quoted_text(name: str) -> str:
    """A name in quotes, as both engines write it."""
    return '"' + name.replace('"', '""') + '"'


def open_elsewhere(  # noqa: PLR0913 as `open_warehouse`
    source: Warehouse, state: Elsewhere, *, root: Path, read_only: bool, comment: str = "", probe: Probe | None = None
) -> StateElsewhere:
    """Open the state's engine beside a warehouse; both connect with their first statement.

    Args:
        source: the warehouse, opened to read.
        state: where the state is kept.
        root: the project's folder; a relative file starts there.
        read_only: nothing but temporary tables is written.

    Raises:
        ConfigError: values of this warehouse were never tried on their way.
    """
    if source.dialect.name not in TRIED:
        raise ConfigError(
            f"the state of a {source.dialect.name} warehouse cannot be kept elsewhere yet",
            hint="keep it in the warehouse: take `state:` out of the target in profiles.yml", where=state.where, code="RV485",
        )  # fmt: skip
    folder = tempfile.TemporaryDirectory(prefix="revetl-", ignore_cleanup_errors=True)
    fields = dict(state.fields)
    if state.kind == "duckdb" and read_only and not _remote(fields["path"]) and not (root / fields["path"]).exists():
        fields["path"] = ":memory:"  # nothing was ever acknowledged, and a diff leaves nothing behind
    opened = open_warehouse(
        state.kind, fields, root=root, read_only=read_only, files=[f"{folder.name}/"] if state.kind == "duckdb" else (),
        comment=comment,
    )  # fmt: skip
    return StateElsewhere(source, opened, folder=folder, probe=probe)


def _remote(path: str) -> bool:
    return path.startswith(("md:", "motherduck:"))

