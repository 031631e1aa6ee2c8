"""BigQuery's SQLAlchemy dialect as revetl uses it, and a connection whose transactions live in a session.

Imported by `on_bigquery.make_engine` only, for it needs the extra. What `sqlalchemy-bigquery` does otherwise, and why it is
not taken: NUMERIC has 29 digits before the point and 9 behind it, so every decimal is BIGNUMERIC; texts are written as Python
writes them, whose escapes are not all GoogleSQL's; an UPDATE without WHERE is an error; dots in names of columns are read as
paths; and a statement that failed is run once more by the client, inside a transaction that BigQuery has rolled back by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from google.api_core import exceptions as api_errors
from google.auth import exceptions as auth_errors
from google.cloud import bigquery
from google.cloud.bigquery import dbapi
from google.cloud.bigquery.dbapi import _helpers
from google.cloud.bigquery.dbapi.cursor import Cursor as _Cursor
from google.cloud.bigquery.retry import DEFAULT_RETRY
from requests import exceptions as http_errors
from sqlalchemy.dialects import registry
from sqlalchemy_bigquery.base import (
    FIELD_ILLEGAL_CHARACTERS,
    BigQueryCompiler,
    BigQueryDDLCompiler,
    BigQueryDialect,
    BigQueryIdentifierPreparer,
    BigQueryTypeCompiler,
)

from revetl.dialects import escaped, refuse_writes
from revetl.errors import ConfigError
from revetl.folding import dotted
from revetl.tables import Exact

FIRST = re.compile(r"\s*(\w+)")
NO_ROWS = re.compile(r"\bLIMIT 0\s*(?:/\*[^*]*\*/)?\s*$")
LONG_NUMBER = re.compile(r"-?\d{19,}")
VALUES = re.compile(r"\bVALUES\s*(\(.*\))", re.DOTALL)
CONTROL_MS = 600_000  # how long a change of few rows may wait: for another run, or for the transaction of one that was killed
NETWORK_S = 60.0  # how long a lost connection is tried again
ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
NETWORK = (api_errors.GoogleAPIError, auth_errors.GoogleAuthError, http_errors.RequestException)


def cannot(what: str) -> ConfigError:
    """What BigQuery has no way to do."""
    return ConfigError(
        f"revetl cannot do it on BigQuery: {what}", hint="docs/warehouses.md says what is left out there, and why", code="RV500",
    )  # fmt: skip


def written(text: str) -> str:
    """A text as GoogleSQL writes it; percent signs are doubled for the driver."""
    return escaped(text.replace("%", "%%"), ESCAPES)


class Text(sa.String):
    """A STRING."""

    def literal_processor(self, dialect: Any) -> Callable[[str], str]:  # noqa: ANN401, ARG002 of SQLAlchemy
        """How a constant is written."""
        return written


class Preparer(BigQueryIdentifierPreparer):
    """Every name in backticks; tables with their project, which is not always the one that pays."""

    def quote(self, ident: str, force: Any = None, column: bool = False) -> str:  # noqa: ANN401, ARG002, FBT002 as it is called
        """A name."""
        name = str(ident) if isinstance(ident, Exact) else dotted(str(ident))
        if FIELD_ILLEGAL_CHARACTERS.search(name) or "`" in name:
            raise cannot(f"a column named {str(ident)!r}; its columns have no such character")
        return f"`{name}`"

    def quote_schema(self, schema: str, force: Any = None) -> str:  # noqa: ANN401, ARG002
        """A dataset, in its project."""
        project, _, dataset = str(schema).rpartition(".")
        project = project or getattr(self.dialect, "home", "")
        return ".".join(f"`{part.replace('`', '')}`" for part in (project, dataset) if part)

    def format_schema(self, name: str) -> str:
        """As above, where one is made."""
        return self.quote_schema(name)

    def format_label(self, label: Any, name: str | None = None) -> str:  # noqa: ANN401
        """The name of a column of a result."""
        return self.quote(name or label.name)


class Compiler(BigQueryCompiler):
    """What BigQuery says in another way."""

    def visit_bindparam(self, bindparam: Any, *args: Any, **kw: Any) -> str:  # noqa: ANN401
        """Constants are written out, but for values that are inserted.

        By parameters, what is grouped by is not seen to be what is selected; and some functions take constants only.
        """
        inserted = isinstance(self.statement, sa.sql.dml.Insert) and self.statement.select is None
        if not inserted and bindparam.value is not None:
            kw["literal_binds"] = True
        return str(super().visit_bindparam(bindparam, *args, **kw))

    def visit_column(self, column: Any, *args: Any, **kw: Any) -> str:  # noqa: ANN401
        """A constant of more digits than INT64 has is a BIGNUMERIC."""
        if column.is_literal and LONG_NUMBER.fullmatch(str(column.name)):
            return f"BIGNUMERIC '{column.name}'"
        return str(super().visit_column(column, *args, **kw))

    def visit_update(self, update_stmt: Any, **kw: Any) -> str:  # noqa: ANN401
        """An UPDATE must have a WHERE."""
        text = str(super().visit_update(update_stmt, **kw))
        return text if update_stmt._where_criteria else f"{text} WHERE true"

    def visit_delete(self, delete_stmt: Any, **kw: Any) -> str:  # noqa: ANN401
        """And so must a DELETE."""
        text = str(super().visit_delete(delete_stmt, **kw))
        return text if delete_stmt._where_criteria else f"{text} WHERE true"

    def visit_cte(self, cte: Any, *args: Any, **kw: Any) -> Any:  # noqa: ANN401
        """One that refers to itself may only repeat by UNION ALL."""
        if cte.recursive and "UNION_ALL" not in str(getattr(cte.element, "keyword", "UNION_ALL")).upper().replace(" ", "_"):
            raise cannot("syncs of merges, and `on_moved: release`: both follow chains of people, which may be circles")
        return super().visit_cte(cte, *args, **kw)

    def visit_tuple(self, clauselist: Any, **kw: Any) -> str:  # noqa: ANN401
        """Rows are not compared with rows."""
        if len(clauselist.clauses) > 1:
            raise cannot("`state repair` of what is sent once; `revetl state reset` begins anew")
        return str(super().visit_tuple(clauselist, **kw))

    def visit_collate_binary(self, binary: Any, _operator: Any, **kw: Any) -> str:  # noqa: ANN401
        """Texts by their characters, whatever collation a column has."""
        return f"COLLATE({self.process(binary.left, **kw)}, '')"

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401
        """`->>` of a text that is cast to JSON."""
        if operator.opstring == "->>":
            return f"JSON_VALUE({self.process(element.left.clause, **kw)}, '$[{self.process(element.right, **kw)}]')"
        return str(super().visit_custom_op_binary(element, operator, **kw))

    def visit_to_json_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """JSON as a text."""
        return f"TO_JSON_STRING({self.process(func.clauses, **kw)})"

    def visit_trim_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """Without a second text all white space would go, not only blanks."""
        parts = [self.process(part, **kw) for part in func.clauses]
        return f"TRIM({', '.join(parts if len(parts) > 1 else [*parts, chr(39) + ' ' + chr(39)])})"

    def visit_bool_or_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """Whether any is true."""
        return f"LOGICAL_OR({self.process(func.clauses, **kw)})"

    def visit_regexp_replace_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """Every match is replaced without a flag."""
        return f"REGEXP_REPLACE({', '.join(self.process(part, **kw) for part in list(func.clauses)[:3])})"


class Types(BigQueryTypeCompiler):
    """Types by their GoogleSQL names."""

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002, N802 of SQLAlchemy
        """BIGNUMERIC: 38 digits on each side of the point; NUMERIC has 29 and 9."""
        return "BIGNUMERIC" if type_.precision is None else f"BIGNUMERIC({type_.precision}, {type_.scale or 0})"

    visit_DECIMAL = visit_NUMERIC  # noqa: N815

    def visit_TIMESTAMP(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002, N802
        """A moment; a DATETIME has no zone."""
        return "TIMESTAMP"


class DdlCompiler(BigQueryDDLCompiler):
    """Tables of ours are clustered by what they are read by."""

    def post_create_table(self, table: Any) -> str:  # noqa: ANN401
        """CLUSTER BY."""
        names = [name for name in ("_occurred_at", "_key") if name in table.c]
        return f" CLUSTER BY {', '.join(f'`{name}`' for name in names)}" if names else ""


class Dialect(BigQueryDialect):
    """Autocommit; transactions are the statements of `Warehouse.transaction`, inside a session."""

    preparer = Preparer
    statement_compiler = Compiler
    type_compiler = Types
    ddl_compiler = DdlCompiler
    supports_statement_cache = False
    default_paramstyle = "pyformat"
    colspecs = {**BigQueryDialect.colspecs, sa.String: Text}  # noqa: RUF012 as SQLAlchemy has it
    home = ""  # the project of the tables

    @classmethod
    def import_dbapi(cls) -> Any:  # noqa: ANN401 the driver's module
        """The driver."""
        return dbapi

    def create_connect_args(self, url: Any) -> tuple[list[Any], dict[str, Any]]:  # noqa: ANN401, ARG002
        """Nothing: the connection is made by `on_bigquery`."""
        return [], {}

    def initialize(self, connection: Any) -> None:  # noqa: ANN401
        """Ask the server nothing."""

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:  # noqa: ANN401, ARG002
        """BEGIN alone would open a block of a script."""
        cursor.execute(re.sub(r"^(BEGIN|COMMIT|ROLLBACK)\b", r"\1 TRANSACTION", statement), parameters)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:  # noqa: ANN401
        """One INSERT of all rows: the driver would make one job for each."""
        found = VALUES.search(statement)
        if found is None:
            super().do_executemany(cursor, statement, parameters, context)
            return
        rows: list[str] = []
        given: dict[str, Any] = {}
        for i, row in enumerate(parameters):
            rows.append(re.sub(r"%\((\w+)(:[^)]*)?\)s", rf"%(\g<1>__{i}\2)s", found[1]))
            given |= {f"{name}__{i}": value for name, value in row.items()}
        cursor.execute(f"{statement[: found.start(1)]}{', '.join(rows)}{statement[found.end(1) :]}", given)


registry.register("bigquery.revetl", __name__, "Dialect")


class Cursor(_Cursor):
    """The driver's cursor, whose statements run as the connection says."""

    def _execute(
        self, formatted_operation: str, parameters: Any, job_id: Any, job_config: Any, parameter_types: Any  # noqa: ANN401, ARG002
    ) -> None:
        self._query_data = None
        given = _helpers.to_query_parameters(parameters, parameter_types)
        try:
            rows = self.connection.run(formatted_operation, given, self.arraysize)
        except NETWORK as error:
            raise dbapi.DatabaseError(error) from error
        self._query_rows = rows
        self._set_description(rows.schema)
        self._set_rowcount(rows)


class Described:
    """What a dry run tells of a result: its columns, for nothing."""

    num_dml_affected_rows = None
    total_rows = 0
    job_id = None

    def __init__(self, schema: Any) -> None:  # noqa: ANN401
        self.schema = schema

    def __iter__(self) -> Any:  # noqa: ANN401
        """No row."""
        return iter(())

    def _should_use_bqstorage(self, *_: object, **__: object) -> bool:
        return False


class Connection(dbapi.Connection):
    """A client, and the session of its transactions.

    Outside of a transaction each statement is a job of its own. BEGIN opens a session, and all up to COMMIT or ROLLBACK runs
    in it (https://cloud.google.com/bigquery/docs/transactions). No statement that failed is run again by the client: BigQuery
    rolls the transaction back when one fails, and a second try would be committed alone.
    """

    def __init__(self, client: bigquery.Client, *, network_s: float = NETWORK_S, create_s: float | None = None) -> None:
        super().__init__(client, prefer_bqstorage_client=False)
        self._again = DEFAULT_RETRY.with_timeout(network_s)
        self._create_s = create_s
        self._session = ""
        self._inside = False

    def cursor(self) -> Cursor:
        """A cursor."""
        made = Cursor(self)
        self._cursors_created.add(made)
        return made

    def run(self, sql: str, parameters: Any, page_size: int | None) -> Any:  # noqa: ANN401 rows of the driver
        """Run a statement to its end; its rows."""
        config = bigquery.QueryJobConfig(query_parameters=parameters)
        if NO_ROWS.search(sql):  # who asks for no row asks for the columns
            config.dry_run = True
            job = self._client.query(sql, job_config=config, retry=self._again, timeout=self._create_s, job_retry=None)
            return Described(job.schema)
        found = FIRST.match(sql)
        word = found[1].upper() if found else ""
        if word == "UPDATE" and self._client.default_query_job_config.job_timeout_ms is None:
            config.job_timeout_ms = CONTROL_MS
        begins = word == "BEGIN"
        if begins and not self._session:
            config.create_session = True
        elif begins or self._inside:
            config.connection_properties = [bigquery.ConnectionProperty("session_id", self._session)]
        if word in {"COMMIT", "ROLLBACK"}:
            self._inside = False
        job = self._client.query(sql, job_config=config, retry=self._again, timeout=self._create_s, job_retry=None)
        rows = job.result(page_size=page_size)
        if begins:
            if not self._session:
                self._session = job.session_info.session_id
            self._inside = True
        return rows

    def close(self) -> None:
        """End the session, and what is open in it, and the client's connections."""
        if self._session:
            config = bigquery.QueryJobConfig(connection_properties=[bigquery.ConnectionProperty("session_id", self._session)])
            with suppress(*NETWORK):
                self._client.query("CALL BQ.ABORT_SESSION()", job_config=config, retry=None, timeout=10, job_retry=None).result(
                    timeout=10, retry=None
                )
            self._session = ""
        super().close()
        self._client.close()


def engine(connect: Callable[[], Connection], *, home: str, read_only: bool) -> sa.Engine:
    """The engine whose connections `connect` makes.

    Args:
        home: the project of the tables; without one it is the client's.
    """
    made = sa.create_engine("bigquery+revetl://", creator=connect, hide_parameters=True)
    dialect: Any = made.dialect
    dialect.home = home
    if not home:
        sa.event.listen(made, "connect", lambda connection, _: setattr(dialect, "home", connection._client.project))
    if read_only:
        sa.event.listen(made, "before_cursor_execute", refuse_writes)
    return made


def described(cursor: Any) -> list[tuple[str, str]]:  # noqa: ANN401 a cursor
    """Names and types of a result's columns; what the driver describes does not tell a list from its items."""
    return [(field.name, native(field)) for field in cursor._query_rows.schema]


def native(field: Any) -> str:  # noqa: ANN401 a field of a schema
    """The GoogleSQL name of a type; the service has older ones."""
    older: Mapping[str, str] = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
    name = older.get(field.field_type, field.field_type)
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name
