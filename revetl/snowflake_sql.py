"""Snowflake's SQLAlchemy dialect as revetl uses it: names that fold, SQL that Snowflake lacks said in its own words.

Imported by `on_snowflake.make_engine` only, for it needs the extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from snowflake.sqlalchemy.base import SnowflakeCompiler, SnowflakeDDLCompiler, SnowflakeIdentifierPreparer
from snowflake.sqlalchemy.snowdialect import SnowflakeDialect
from sqlalchemy.dialects import registry

from revetl.dialects import refuse_writes
from revetl.folding import swapped
from revetl.tables import Exact


class Preparer(SnowflakeIdentifierPreparer):
    """Every name in quotes; our own as Snowflake would fold it without them, those of models exactly."""

    def quote(self, ident: str, force: Any = None) -> str:  # noqa: ANN401, ARG002 as SQLAlchemy calls it
        """A name."""
        return str(self.quote_identifier(str(ident) if isinstance(ident, Exact) else swapped(str(ident))))

    def quote_schema(self, schema: str, force: Any = None) -> str:  # noqa: ANN401
        """A schema's name, which may have a dot in it."""
        return self.quote(schema, force)

    def format_label(self, label: Any, name: str | None = None) -> str:  # noqa: ANN401
        """The name of a column of a result."""
        return self.quote(name or label.name)


class Compiler(SnowflakeCompiler):
    """What Snowflake says in another way."""

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401
        """`&` and `->>`."""
        if operator.opstring == "&":
            return f"BITAND({self.process(element.left, **kw)}, {self.process(element.right, **kw)})"
        if operator.opstring == "->>":  # of a text that is cast to JSON, a type that Snowflake lacks
            return f"PARSE_JSON({self.process(element.left.clause, **kw)})[{self.process(element.right, **kw)}]"
        return str(super().visit_custom_op_binary(element, operator, **kw))

    def visit_collate_binary(self, element: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002
        """Nothing: a text of Snowflake is equal if its characters are, unless its column has a collation."""
        return str(self.process(element.left, **kw))

    def visit_strpos_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """Where a text stands in another."""
        text, part = func.clauses
        return f"CHARINDEX({self.process(part, **kw)}, {self.process(text, **kw)})"

    def visit_to_json_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """JSON of a text, which must be a VARIANT first; nested values are one."""
        (value,) = func.clauses
        return f"TO_JSON(TO_VARIANT({self.process(value, **kw)}))"

    def visit_regexp_replace_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """Every match is replaced without a flag."""
        return f"REGEXP_REPLACE({', '.join(self.process(part, **kw) for part in list(func.clauses)[:3])})"

    def visit_over(self, over: Any, **kw: Any) -> str:  # noqa: ANN401
        """A window with a frame needs an order; where any will do, a constant is one."""
        text = str(super().visit_over(over, **kw))
        return text if over.order_by is not None and len(over.order_by) else text.replace(" OVER (ROWS", " OVER (ORDER BY 1 ROWS")

    def visit_insert(self, insert_stmt: Any, visited_bindparam: Any = None, visiting_cte: Any = None, **kw: Any) -> str:  # noqa: ANN401
        """Rows with expressions by SELECT: VALUES takes constants only."""
        rows = insert_stmt._multi_values[0] if insert_stmt._multi_values else []
        if any(isinstance(value, sa.ClauseElement) for row in rows for value in row.values()):
            # several rows are never cached by SQLAlchemy, so their values may become parameters of another statement
            parts = [sa.select(*(_value(column, value) for column, value in row.items())) for row in rows]
            by_select = sa.insert(insert_stmt.table).from_select(list(rows[0]), sa.union_all(*parts))
            return str(super().visit_insert(by_select, visited_bindparam=visited_bindparam, visiting_cte=visiting_cte, **kw))
        text = str(super().visit_insert(insert_stmt, visited_bindparam=visited_bindparam, visiting_cte=visiting_cte, **kw))
        values = getattr(insert_stmt, "_values", None) or {}
        if any(not isinstance(value, sa.BindParameter) for value in values.values()):
            head, found, row = text.partition(") VALUES (")
            if found and row.endswith(")"):
                return f"{head}) SELECT {row[:-1]}"
        return text


def _value(column: Any, value: Any) -> Any:  # noqa: ANN401 SQL expressions
    return value if isinstance(value, sa.ClauseElement) else sa.literal(value, getattr(column, "type", None))


class DdlCompiler(SnowflakeDDLCompiler):
    """Tables of ours are transient: no copy of people's data stays for a week after they are dropped."""

    def visit_create_table(self, create: Any, **kw: Any) -> str:  # noqa: ANN401
        """CREATE TRANSIENT TABLE."""
        return str(super().visit_create_table(create, **kw)).replace("CREATE TABLE", "CREATE TRANSIENT TABLE", 1)


class RevetlDialect(SnowflakeDialect):
    """Autocommit; transactions are the statements BEGIN and COMMIT of `Warehouse.transaction`."""

    preparer = Preparer
    statement_compiler = Compiler
    ddl_compiler = DdlCompiler
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:  # noqa: ANN401 the driver's module
        """The driver."""
        from snowflake import connector  # noqa: PLC0415 as SQLAlchemy asks for it

        return connector

    def initialize(self, connection: Any) -> None:  # noqa: ANN401
        """Ask the server nothing: neither its version nor its schema matters here."""

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:  # noqa: ANN401
        """Autocommit is an argument of the connection, so it costs no statement."""

    def do_rollback(self, dbapi_connection: Any) -> None:  # noqa: ANN401
        """Nothing is open."""

    def do_commit(self, dbapi_connection: Any) -> None:  # noqa: ANN401
        """Nothing is open."""


registry.register("snowflake.revetl", __name__, "RevetlDialect")


def engine(arguments: Mapping[str, Any], *, read_only: bool) -> sa.Engine:
    """The engine for these arguments of the driver."""
    made = sa.create_engine(
        "snowflake+revetl://", connect_args=dict(arguments), isolation_level="AUTOCOMMIT", hide_parameters=True,
        force_div_is_floordiv=False,
    )  # fmt: skip
    if read_only:
        sa.event.listen(made, "before_cursor_execute", refuse_writes)
    else:
        sa.event.listen(made, "before_cursor_execute", _note_schema)
        sa.event.listen(made, "after_cursor_execute", _keep_schema)
    return made


def _note_schema(connection: Any, _k: object, statement: str, *_: object) -> None:  # noqa: ANN401
    if statement.startswith("CREATE SCHEMA"):
        connection.info["schema"] = connection.connection.dbapi_connection.schema


def _keep_schema(connection: Any, cursor: Any, statement: str, *_: object) -> None:  # noqa: ANN401
    """CREATE SCHEMA makes the new schema the session's: names of models without a schema would mean others."""
    if statement.startswith("CREATE SCHEMA") and (before := connection.info.pop("schema", None)):
        name = str(before).replace('"', '""')
        cursor.execute(f'USE SCHEMA "{name}"')
