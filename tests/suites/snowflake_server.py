"""A Snowflake for tests: fakesnow's HTTP server in a process of its own.

    python -m tests.suites.snowflake_server    prints its port, and serves until its standard input ends

It speaks the real connector's protocol and runs the SQL in DuckDB. What it does otherwise than Snowflake, and is needed here,
is mended: HASH is a signed number, SUM of integers is exact, OCTET_LENGTH takes a text, ARRAY_CONSTRUCT gives JSON wherever it
stands, MERGE is DuckDB's own (fakesnow's parts of it write two databases, which no transaction may), and what it cannot do is a
refused statement (a plain 500 would be tried again for a minute). What it cannot show is in `docs/snowflake.md`.

Nine tenths of its time would go into sqlglot: fakesnow walks over each statement seventy-five times and copies it before each
walk. Here it walks over one copy (`in_place`), and as scenarios say the same statements over and over, what was translated once
is kept (`Memory`).
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def mended(expression: Any) -> Any:
    """A function as DuckDB has it."""
    from sqlglot import exp  # noqa: PLC0415 slow, and only the server needs it

    if isinstance(expression, exp.Array):  # an ARRAY is JSON here, as fakesnow has it in a SELECT without a name for it
        return exp.Anonymous(this="JSON_ARRAY", expressions=expression.expressions)
    name = expression.sql_name() if isinstance(expression, exp.Func) else ""
    name = str(expression.this).upper() if isinstance(expression, exp.Anonymous) else name
    if name == "HASH":  # two bits less, so that a sum stays far from its bounds
        half = exp.BitwiseRightShift(this=expression.copy(), expression=exp.Literal.number(2))
        return exp.cast(exp.Paren(this=half), exp.DataType.Type.BIGINT)
    if name in {"OCTET_LENGTH", "BYTE_LENGTH"}:
        return exp.Anonymous(this="STRLEN", expressions=expression.expressions or [expression.this])
    return expression


def refused(call: Callable[..., Any]) -> Callable[..., Any]:
    """What fakesnow cannot do, as a refused statement."""
    from snowflake.connector.errors import Error, ProgrammingError  # noqa: PLC0415

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Error:
            raise
        except Exception as error:  # noqa: BLE001 DuckDB's, sqlglot's, anything's
            text = f"fakesnow cannot do this: {type(error).__name__}: {str(error)[:300]}"
            raise ProgrammingError(msg=text, errno=2, sqlstate="0A000") from None

    return run


def merging(execute: Callable[..., None]) -> Callable[..., None]:
    """MERGE as one statement, with Snowflake's result: the rows that it changed."""
    from sqlglot import exp  # noqa: PLC0415

    def run(self: Any, transformed: Any, params: Any = None) -> None:
        execute(self, transformed, params)
        if isinstance(transformed, exp.Merge):
            self._rowcount = self._arrow_table.column(0)[0].as_py()
            self._last_sql = f'SELECT {self._rowcount} AS "number of rows inserted"'
            self._duck_conn.execute(self._last_sql)
            self._arrow_table = self._duck_conn.to_arrow_table()

    return run


AS_SELECT = r"CREATE (OR REPLACE )?TRANSIENT TABLE \S+( COPY GRANTS)? AS"
KEPT = re.compile(rf"\s*(SELECT|WITH|INSERT INTO|UPDATE|DELETE|MERGE|{AS_SELECT})\b")


class Memory:
    """What became of each statement's text, as a small stand-in that says its DuckDB SQL.

    Of the statements that read and write rows only: what they become does not depend on the session.
    """

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.known: dict[str, Any] = {}
        self.read = lru_cache(maxsize=8)(parse)  # server and cursor read the same text one after the other

    def parse(self, text: str) -> Any:
        """The statement, or its stand-in."""
        return self.known.get(text) or self.read(text)

    def keep(self, text: str, transformed: Any) -> Any:
        """A stand-in for a statement that was translated."""
        from sqlglot import exp  # noqa: PLC0415

        if not KEPT.match(text):
            return transformed
        said = transformed.sql(dialect="duckdb")
        if isinstance(transformed, exp.Query):
            small: Any = exp.Select()
        else:
            small = type(transformed)(**{name: transformed.args.get(name) for name in ("this", "kind")})
        small.sql = lambda **_: said
        small.translated = True
        self.known[text] = small
        return small


def translating(before: Callable[..., Any], memory: Memory) -> Callable[..., Any]:
    """fakesnow's translation, once for each text."""

    def run(self: Any, expression: Any, params: Any) -> Any:
        if getattr(expression, "translated", False):
            return expression
        return memory.keep(self.said, before(self, expression.copy().transform(mended), params))

    return run


def in_place(transform: Callable[..., Any]) -> Callable[..., Any]:
    """A walk over a statement changes it, and not a copy; but for walks within walks."""
    within = threading.local()

    def run(self: Any, fun: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        outermost = not getattr(within, "depth", 0)
        within.depth = getattr(within, "depth", 0) + 1
        try:
            return transform(self, fun, *args, copy=copy and not outermost, **kwargs)
        finally:
            within.depth -= 1

    return run


def described(self: Any) -> Any:
    """The columns of the last result, without reading its SQL again."""
    return self._duck_conn.execute(f"DESCRIBE {self._last_sql}", self._last_params).fetchall()


def noting(execute: Callable[..., Any]) -> Callable[..., Any]:
    """The text of the statement that a cursor runs."""

    def run(self: Any, command: str, *args: Any, **kwargs: Any) -> Any:
        self.said = command
        return execute(self, command, *args, **kwargs)

    return run


def main() -> None:
    """Serve."""
    import uvicorn  # noqa: PLC0415
    from fakesnow import cursor, transforms  # noqa: PLC0415
    from sqlglot import exp  # noqa: PLC0415

    fake: Any = cursor.FakeSnowflakeCursor
    server: Any = importlib.import_module("fakesnow.server")  # a function hides the module
    logging.disable(logging.CRITICAL)
    exp.Expression.transform = in_place(exp.Expression.transform)
    memory = Memory(cursor.parse_one)
    transforms.numeric_agg_implicit_cast = lambda expression: expression
    transforms.merge = lambda expression: [expression]
    cursor.parse_one = server.parse_one = memory.parse
    fake._transform = translating(fake._transform, memory)
    fake._describe_last_sql = described
    fake._inline_variables = lambda _, sql: sql  # it takes a `$` in a text for a variable; scenarios have none
    checked = fake.check_db_and_schema
    # every session has both
    fake.check_db_and_schema = lambda self, it: None if self._conn.schema_set and self._conn.database_set else checked(self, it)
    fake.execute = noting(refused(fake.execute))
    fake._execute = merging(fake._execute)
    server.describe_as_rowtype = refused(server.describe_as_rowtype)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    uvicorn.Server(uvicorn.Config(server.app, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    main()
