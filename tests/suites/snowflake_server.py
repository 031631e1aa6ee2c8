"""A Snowflake for tests: fakesnow's HTTP server in a process of its own.

    python -m tests.suites.snowflake_server    prints its port, and serves until its standard input ends

It speaks the real connector's protocol and runs the SQL in DuckDB. What it does otherwise than Snowflake, and is needed here,
is mended: HASH is a signed number, SUM of integers is exact, OCTET_LENGTH takes a text, MERGE is DuckDB's own (fakesnow's parts
of it write two databases, which no transaction may), and what it cannot do is a refused statement (a plain 500 would be tried
again for a minute). What it cannot show is in `docs/snowflake.md`.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any


def mended(expression: Any) -> Any:
    """A function as DuckDB has it."""
    from sqlglot import exp  # noqa: PLC0415 slow, and only the server needs it

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


def main() -> None:
    """Serve."""
    import uvicorn  # noqa: PLC0415
    from fakesnow import cursor, transforms  # noqa: PLC0415

    fake: Any = cursor.FakeSnowflakeCursor
    server: Any = importlib.import_module("fakesnow.server")  # a function hides the module
    logging.disable(logging.CRITICAL)
    before = fake._transform
    transforms.numeric_agg_implicit_cast = lambda expression: expression
    transforms.merge = lambda expression: [expression]
    fake._transform = lambda self, expression, params: before(self, expression.transform(mended), params)
    fake.execute = refused(fake.execute)
    fake._execute = merging(fake._execute)
    server.describe_as_rowtype = refused(server.describe_as_rowtype)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    uvicorn.Server(uvicorn.Config(server.app, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    main()
