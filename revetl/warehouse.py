"""The one door to the warehouse: an SQLAlchemy engine, statements, pages of rows, transactions, errors.

Every statement is committed by itself (autocommit) unless it stands in `transaction()`, so no transaction is
open while revetl waits for a network. Text of models goes through `model_text`, which keeps colons and
percent signs as they were written on every driver.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from revetl.dialects import DUCKDB, POSTGRES, Column, Dialect, driver_problem, subquery_text
from revetl.errors import ConfigError, WarehouseError

Probe = Callable[[str, str], None]


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
        self._probe = probe
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection, opened at first use."""
        if self._connection is None:
            with self._mapped("connect"):
                self._connection = self.engine.connect()
        return self._connection

    def close(self) -> None:
        """Close the connection and the engine's pool."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.engine.dispose()

    def execute(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """Run one statement; the number of rows it changed (-1 where the engine does not say)."""
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
        if self.dialect.name != "postgres":
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

    def columns(self, sql: str) -> tuple[Column, ...]:
        """Names and types of the columns that a SELECT gives; no row is read."""
        statement = sa.select(sa.text("*")).select_from(subquery_text(sql, "m")).limit(0)
        with self._statement(statement):
            result = self.connection.execute(statement)
            found = tuple(self._column(item) for item in result.cursor.description)
            result.close()
            return found

    def _column(self, item: Any) -> Column:  # noqa: ANN401 a driver's description tuple
        native = str(getattr(item, "type_display", None) or item[1])
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

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            problem, line = driver_problem(error.orig or error, error.statement or "")
            raise WarehouseError(
                f"the warehouse refused {doing}: {problem}", hint=_hint(problem), line=line,
                statement=error.statement or "",
            ) from None  # fmt: skip
        except SQLAlchemyError as error:
            raise WarehouseError(f"{doing} could not be run: {type(error).__name__}") from None


def _hint(problem: str) -> str:
    lowered = problem.lower()
    if "could not set lock" in lowered:
        return "another process has this DuckDB file open (see the PID above): close it, then run again"
    if any(word in lowered for word in ("connection refused", "could not connect", "connection failed", "no such file")):
        return "is the server up, and are host and port right? `revetl debug` shows what is used"
    if "password authentication" in lowered or "28p01" in lowered:
        return "check user and password of the target in profiles.yml; `revetl debug` shows which file is used"
    return ""


def _duckdb_engine(fields: Mapping[str, Any], root: Path, *, read_only: bool) -> sa.Engine:
    path = str(fields.get("path") or ":memory:")
    if path != ":memory:" and not path.startswith(("md:", "motherduck:")):
        file = root / path
        if read_only and not file.exists():
            raise ConfigError(
                f"the DuckDB file {path} does not exist",
                hint="build it first; in the sample project: `revetl sample`, or `make demo`",
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        path = str(file)
    config: dict[str, Any] = {str(k): v for k, v in dict(fields.get("settings") or {}).items()}
    config.setdefault("threads", int(fields.get("threads") or os.cpu_count() or 1))
    engine = sa.create_engine(
        sa.URL.create("duckdb", database=path),
        connect_args={"read_only": read_only, "config": config},
        isolation_level="AUTOCOMMIT",
    )
    # naive and zoned values must mean the same on every machine
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("SET TimeZone = 'UTC'"))
    return engine


def _postgres_engine(fields: Mapping[str, Any], *, read_only: bool) -> sa.Engine:
    try:
        import psycopg  # noqa: F401, PLC0415 an extra: imported when used
    except ImportError:
        raise ConfigError(
            "the target is PostgreSQL and psycopg is not installed", hint="pip install 'revetl[postgres]'"
        ) from None
    query = {
        key: str(fields[key])
        for key in ("sslmode", "sslcert", "sslkey", "sslrootcert", "application_name", "connect_timeout")
        if fields.get(key)
    }
    host = str(fields.get("host") or "")
    if host.startswith("/"):  # a socket's folder cannot stand in a URL's host
        query["host"], host = host, ""
    options = ["-c TimeZone=UTC"]
    if read_only:
        options.append("-c default_transaction_read_only=on")
    if fields.get("search_path"):
        options.append(f"-c search_path={fields['search_path']}")
    url = sa.URL.create(
        "postgresql+psycopg",
        username=str(fields.get("user") or "") or None,
        password=_reveal(fields.get("password")),
        host=host or None,
        port=int(fields["port"]) if fields.get("port") and host else None,
        database=str(fields.get("dbname") or "") or None,
        query={**query, "options": " ".join(options)},
    )
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", hide_parameters=True)
    if fields.get("role"):
        role = engine.dialect.identifier_preparer.quote(str(fields["role"]))
        sa.event.listen(engine, "connect", lambda connection, _: connection.execute(f"SET ROLE {role}"))
    return engine


def _reveal(value: Any) -> str | None:  # noqa: ANN401 a Secret or a plain text
    reveal = getattr(value, "reveal", None)
    text = reveal() if callable(reveal) else value
    return str(text) if text else None


def open_warehouse(  # noqa: PLR0913 one call site; each is a plain fact
    kind: str,
    fields: Mapping[str, Any],
    *,
    root: Path,
    read_only: bool = False,
    comment: str = "",
    probe: Probe | None = None,
) -> Warehouse:
    """Prepare the warehouse of a target; the connection opens with the first statement.

    Args:
        kind: the adapter's name, as in profiles.yml.
        fields: the target's connection fields by dbt's names.
        root: the project's folder; relative DuckDB paths start there.
        read_only: by open mode on DuckDB, by `default_transaction_read_only` on PostgreSQL.

    Raises:
        ConfigError: an engine that is not supported yet, or whose driver is not installed.
    """
    if kind == "duckdb":
        engine, dialect = _duckdb_engine(fields, root, read_only=read_only), DUCKDB
    elif kind == "postgres":
        engine, dialect = _postgres_engine(fields, read_only=read_only), POSTGRES
    else:
        raise ConfigError(
            f"targets of type {kind!r} are not supported yet: duckdb and postgres are",
            hint="choose another target with --target",
        )
    if comment:
        text = f" /* {comment.replace('*/', '').replace('%', '')} */"

        def tag(_c: object, _k: object, statement: str, parameters: object, *_: object) -> tuple[str, object]:
            return statement + text, parameters

        sa.event.listen(engine, "before_cursor_execute", tag, retval=True)
    return Warehouse(engine, dialect, probe=probe)
