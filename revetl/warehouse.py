"""The one door to the warehouse: an SQLAlchemy engine, statements, pages of rows, transactions, errors.

Every statement is committed by itself (autocommit) unless it stands in `transaction()`, so no transaction is
open while revetl waits for a network. Text of models goes through `model_text`, which keeps colons and
percent signs as they were written on every driver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from revetl.dialects import Column, Dialect, Merge, subquery_text
from revetl.errors import ConfigError, WarehouseError, Where

Probe = Callable[[str, str], None]
LOST = "nothing is lost: the next run settles what this one left. Is the server well? `revetl debug` asks it; then: revetl run"


class Warehouse:
    """One connection to one engine.

    Args:
        engine: made by `open_warehouse`.
        dialect: what differs for this engine.
        probe: called before and after each statement with ("before"|"after", first word); tests crash there.

    Not thread-safe: one run, one warehouse, one thread.
    """

    def __init__(self, engine: sa.Engine, dialect: Dialect, *, probe: Probe | None = None) -> None:
        self.engine = engine
        self.dialect = dialect
        self.statements = 0
        self.place: Where | None = None  # of the target, to be told where no connection can be opened
        self._probe = probe
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection, opened at first use."""
        if self._connection is None:
            try:
                with self._mapped("connect"):
                    self._connection = self.engine.connect()
            except WarehouseError as error:
                error.where = self.place
                raise
        return self._connection

    def close(self) -> None:
        """Close the connection and the engine's pool."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.engine.dispose()

    def execute(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """Run one statement; the number of rows it changed (-1 where the engine does not say)."""
        if isinstance(statement, Merge) and self.dialect.merge_parts is not None:
            if self._probe:
                self._probe("before", "Merge")
            return sum(max(0, self.execute(part)) for part in self.dialect.merge_parts(statement))
        with self._statement(statement):
            return int(self.connection.execute(statement, parameters or {}).rowcount)

    def execute_many(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one INSERT with several rows (few: acks and logs, never data)."""
        with self._statement(statement):
            self.connection.execute(statement, list(rows))

    def fetch(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._statement(statement):
            return [tuple(row) for row in self.connection.execute(statement, parameters or {}).all()]

    def pages(self, statement: sa.Executable, rows: int) -> Iterator[list[tuple[Any, ...]]]:
        """The result in pages of at most `rows` tuples, without holding more than a few pages.

        Nothing else may run on this warehouse until the iterator ends or is closed. PostgreSQL reads through a
        server-side cursor, which lives in a transaction of its own.
        """
        if not self.dialect.server_cursor:
            with self._statement(statement):
                result: CursorResult[Any] = self.connection.execute(statement)
                try:
                    # the driver's own tuples: SQLAlchemy's rows cost as much again as reading them
                    while page := result.cursor.fetchmany(rows):
                        yield list(page)
                finally:
                    result.close()
            return
        with self.transaction(), self._statement(statement):
            result = self.connection.execute(statement, execution_options={"yield_per": rows})
            try:
                for part in result.partitions():
                    yield [tuple(row) for row in part]
            finally:
                result.close()

    def batches(self, statement: sa.Executable) -> Iterator[Any]:
        """The result as Arrow tables, one for each part that Snowflake's driver gets; it needs pyarrow."""
        with self._statement(statement):
            result: CursorResult[Any] = self.connection.execute(statement)
            try:
                yield from result.cursor.fetch_arrow_batches()
            finally:
                result.close()

    def columns(self, sql: str) -> tuple[Column, ...]:
        """Names and types of the columns that a SELECT gives; no row is read."""
        statement = sa.select(sa.text("*")).select_from(subquery_text(sql, "m")).limit(0)
        with self._statement(statement):
            result = self.connection.execute(statement)
            found = tuple(self._column(item) for item in self.dialect.describe(result.cursor))
            result.close()
            return found

    def _column(self, item: Any) -> Column:  # noqa: ANN401 a driver's description tuple
        native = self.dialect.native(item)
        kind, scale = self.dialect.kind_of(native)
        return Column(name=item[0], kind=kind, native=native, scale=scale)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several statements that commit together or not at all."""
        self.execute(sa.text("BEGIN"))
        try:
            yield
        except GeneratorExit:  # a reader that has seen enough
            self.execute(sa.text("COMMIT"))
            raise
        except BaseException:
            self._rollback()
            raise
        self.execute(sa.text("COMMIT"))

    def _rollback(self) -> None:
        try:
            self.execute(sa.text("ROLLBACK"))
        except WarehouseError:
            return  # the connection is gone, and with it the transaction; the first error is the one to tell

    @contextmanager
    def _statement(self, statement: sa.Executable) -> Iterator[None]:
        word = str(getattr(statement, "text", type(statement).__name__)).split(None, 1)[0]
        self.statements += 1
        if self._probe:
            self._probe("before", word)
        with self._mapped(word):
            yield
        if self._probe:
            self._probe("after", word)

    @property
    def _driver_error(self) -> type[Exception]:
        found: type[Exception] = getattr(self.engine.dialect.loaded_dbapi, "Error", DBAPIError)
        return found

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, self._driver_error) as error:  # its own while pages are read, for they come from it
            statement = (error.statement or "") if isinstance(error, DBAPIError) else ""
            problem, line = self.dialect.problem((error.orig or error) if isinstance(error, DBAPIError) else error, statement)
            line = line or _line_of_file(problem, statement)
            raise WarehouseError(
                f"the warehouse refused {doing}: {problem}", hint=self.dialect.hint(problem) or _hint(problem), line=line,
                statement=statement,
            ) from None  # fmt: skip
        except PendingRollbackError:  # what came before has lost the connection, and has said so
            raise WarehouseError(f"the connection to the warehouse is lost, so {doing} could not be run", hint=LOST) from None
        except SQLAlchemyError as error:
            raise WarehouseError(f"{doing} could not be run: {type(error).__name__}") from None


def _line_of_file(problem: str, statement: str) -> int:
    """The line of a statement that names a file which DuckDB may not open: it says which, and not where."""
    found = re.search(r'Cannot access (?:file|directory) "(.+?)" - ', problem)
    at = statement.find(found[1].replace("'", "''")) if found else -1
    return statement.count("\n", 0, at) + 1 if at >= 0 else 0


def _hint(problem: str) -> str:
    lowered = problem.lower()
    if "disabled by configuration" in lowered:
        return (
            "models reach no file or address that is not declared: make it a source with `external_location`, "
            "or list it under `external_files` of the target in profiles.yml"
        )
    if "disabled through configuration" in lowered or "extension that is not" in lowered:
        return "models load no extension: list it under `extensions` of the target in profiles.yml"
    if "with name getenv" in lowered:
        return "a model reads a variable of the environment by {{ env_var('NAME') }}"
    if "(57014)" in problem:
        return ("raise `statement_timeout` (seconds) of the target in profiles.yml, or make the model cheaper; then run again: "
                "revetl run")  # fmt: skip
    if "(55P03)" in problem or "(40P01)" in problem:
        return "another session keeps what this needs; nothing is lost. When it is done: revetl run"
    gone = ("(57P01)", "(57P02)", "(57P03)", "(08", "closed the connection", "connection is closed")
    if any(sign in problem for sign in gone):
        return LOST
    if any(sign in lowered for sign in ("(53100)", "no space left", "file too large", "could not write file")):
        return "the disk of the warehouse is full, or a file may not grow; nothing is lost. With room again: revetl run"
    if "(42501)" in problem:
        return "the role of this target has no right to it; `revetl grants` prints what its roles need"
    if "could not set lock" in lowered:
        return "another process has this DuckDB file open (see the PID above): close it, then: revetl run"
    if any(word in lowered for word in ("connection refused", "could not connect", "connection failed", "no such file")):
        return "is the server up, and are host and port right? `revetl debug` shows what is used"
    if "password authentication" in lowered or "28p01" in lowered:
        return "check user and password of the target in profiles.yml; `revetl debug` shows which file is used"
    return ""


def open_warehouse(  # noqa: PLR0913 one call site; each is a plain fact
    kind: str,
    fields: Mapping[str, Any],
    *,
    root: Path,
    read_only: bool = False,
    files: Sequence[str] = (),
    comment: str = "",
    probe: Probe | None = None,
) -> Warehouse:
    """Prepare the warehouse of a target; the connection opens with the first statement.

    Args:
        kind: the adapter's name, as in profiles.yml.
        fields: the target's connection fields by dbt's names.
        root: the project's folder; relative DuckDB paths start there.
        read_only: by open mode on DuckDB, by `default_transaction_read_only` on PostgreSQL; on Snowflake, which has no
            such session, whatever is no SELECT is refused before it is sent.
        files: that models may read on DuckDB, absolute paths or addresses, besides the target's `external_files`:
            no other file or address can be reached from SQL, and no setting changes that afterwards.

    Raises:
        ConfigError: an engine that is not supported yet, or whose driver is not installed.
    """
    if kind == "duckdb":
        from revetl import on_duckdb  # noqa: PLC0415 one warehouse's driver, never another's

        engine, dialect = on_duckdb.make_engine(fields, root, read_only=read_only, files=files), on_duckdb.DUCKDB
    elif kind == "postgres":
        from revetl import on_postgres  # noqa: PLC0415

        engine, dialect = on_postgres.make_engine(fields, read_only=read_only), on_postgres.POSTGRES
    elif kind == "snowflake":
        from revetl import on_snowflake  # noqa: PLC0415

        engine, dialect = on_snowflake.make_engine(fields, root, read_only=read_only, comment=comment)
    elif kind == "redshift":
        from revetl import on_redshift  # noqa: PLC0415

        engine, dialect = on_redshift.make_engine(fields, read_only=read_only), on_redshift.REDSHIFT
    elif kind == "bigquery":
        from revetl import on_bigquery  # noqa: PLC0415

        engine, dialect = on_bigquery.make_engine(fields, root, read_only=read_only, comment=comment)
    elif kind == "databricks":
        from revetl import on_databricks  # noqa: PLC0415

        engine, dialect = on_databricks.make_engine(fields, read_only=read_only, comment=comment)
    else:
        raise ConfigError(
            f"targets of type {kind!r} are not supported yet: duckdb, postgres and snowflake are",
            hint="choose another target with --target",
        )
    if comment:
        # letters only: taking `*/` out of a name can leave another one, and PostgreSQL's comments nest
        plain = re.sub(r"[^\w .=+-]", "_", comment, flags=re.ASCII)
        text = f" /* {plain} */"

        def tag(_c: object, _k: object, statement: str, parameters: object, *_: object) -> tuple[str, object]:
            return statement + text, parameters

        sa.event.listen(engine, "before_cursor_execute", tag, retval=True)
    return Warehouse(engine, dialect, probe=probe)
