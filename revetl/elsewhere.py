"""State that is kept elsewhere: the warehouse is only read, and its rows are compared in another engine.

The engine works with one `Warehouse`, that of the state. A sync's SQL is a SELECT over a temporary table in it, which
is filled when the engine first asks for the model's columns, before the lease is taken: the model runs once, in the
warehouse, and only the columns that the sync reads leave it, in pages, each value as a text that gives the same value
again. The table is this session's alone and ends with it. From there on all is as in one engine, so what
`docs/protocol.md` promises holds in the state's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl import on_duckdb, on_postgres
from revetl.carried import TRIED, Page, carry, described, fitting
from revetl.contracts import Sync
from revetl.dialects import Column, subquery_text
from revetl.engine import CompiledSync
from revetl.errors import ConfigError
from revetl.pages import PageFolder
from revetl.profiles import Elsewhere
from revetl.tables import quoted
from revetl.warehouse import Probe, Warehouse, open_warehouse

PAGE_ROWS = 20_000
ARROW_PAGE = "revetl_page"
WHY = {"redshift": "its driver holds a whole result in memory"}  # what keeps a warehouse from being one of TRIED


class StateElsewhere(Warehouse):
    """The engine of the state, with the rows of models that live in another one.

    Args:
        source: the warehouse, opened to read.
        state: where the state is, just opened; this takes its place.
        folder: for pages on their way into DuckDB; it goes when this is closed.
    """

    def __init__(
        self, source: Warehouse, state: Warehouse, *, folder: PageFolder | None = None, probe: Probe | None = None
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
            if self.folder is not None:
                self.folder.close()

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
        chosen = [column for column in given if column.name.lower() in wanted]
        carried = [made for column in chosen if (made := carry(column, self.source.dialect, self.dialect)) is not None]
        if not carried:
            return given  # the contract says what is missing
        stage = sa.Table(
            f"stage__{compiled.sync.uid}", sa.MetaData(), *(sa.Column(quoted(c.column.name), c.type) for c in carried),
            prefixes=["TEMPORARY"],
        )  # fmt: skip
        select = sa.select(*(c.value.label(quoted(c.column.name)) for c in carried)).select_from(subquery_text(compiled.sql, "m"))
        columnar = self.source.dialect.name == "snowflake" and self.dialect.name == "duckdb" and find_spec("pyarrow") is not None
        # closed at once if the rows do not fit: a reader of PostgreSQL stands in a transaction
        read: Any = self.source.batches(select) if columnar else self.source.pages(select, PAGE_ROWS)
        with closing(read):
            if columnar:
                self._by_columns(stage, read)
            elif self.dialect.name == "postgres":
                self._into_postgres(stage, fitting(read, carried, compiled.sync))
            else:
                self._into_duckdb(stage, fitting(read, carried, compiled.sync))
        here = {column.name: column for column in super().columns(sql)}
        return tuple(described(column, here) for column in given)

    def _into_postgres(self, stage: sa.Table, pages: Iterable[Page]) -> None:
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

    def _into_duckdb(self, stage: sa.Table, pages: Iterable[Page]) -> None:
        self.execute(sa.schema.CreateTable(stage))
        assert self.folder is not None  # noqa: S101 `open_elsewhere` makes it
        file = self.folder.path / "rows.json"
        types = self._types(stage)
        for page in pages:
            try:
                size = on_duckdb.write_rows(file, page)
                insert = on_duckdb.insert_from(quoted_text(stage.name), types, file, size)
                self.execute(sa.text(insert.replace(":", r"\:")))
            finally:
                file.unlink(missing_ok=True)

    def _by_columns(self, stage: sa.Table, batches: Iterable[Any]) -> None:
        self.execute(sa.schema.CreateTable(stage))
        connection: Any = self.connection.connection.driver_connection
        insert = on_duckdb.insert_batch(quoted_text(stage.name), self._types(stage), ARROW_PAGE)
        for batch in batches:
            connection.register(ARROW_PAGE, batch.rename_columns([f"c{i}" for i in range(batch.num_columns)]))
            try:
                self.execute(sa.text(insert))
            finally:
                connection.unregister(ARROW_PAGE)

    def _types(self, stage: sa.Table) -> list[str]:
        return [column.type.compile(dialect=self.engine.dialect) for column in stage.columns]


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
        why = WHY.get(source.dialect.name, "its values were never tried on their way")
        raise ConfigError(
            f"the state of a {source.dialect.name} warehouse cannot be kept elsewhere yet: {why}",
            hint="keep it in the warehouse: take `state:` out of the target in profiles.yml", where=state.where, code="RV485",
        )  # fmt: skip
    fields = dict(state.fields)
    if state.kind == "duckdb" and read_only and not _remote(fields["path"]) and not (root / fields["path"]).exists():
        fields["path"] = ":memory:"  # nothing was ever acknowledged, and a diff leaves nothing behind
    folder = PageFolder() if state.kind == "duckdb" else None
    files = [f"{folder.path}/"] if folder is not None else []
    try:
        opened = open_warehouse(state.kind, fields, root=root, read_only=read_only, files=files, comment=comment)
    except BaseException:
        if folder is not None:
            folder.close()
        raise
    made = StateElsewhere(source, opened, folder=folder, probe=probe)
    made.place = state.where
    return made


def _remote(path: str) -> bool:
    return path.startswith(("md:", "motherduck:"))

