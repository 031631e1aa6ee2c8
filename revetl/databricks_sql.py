"""Databricks' SQLAlchemy dialect as revetl uses it: only to read.

Imported by `on_databricks.make_engine` only, for it needs the extra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from databricks import sql
from databricks.sqlalchemy import DatabricksDialect
from databricks.sqlalchemy._ddl import DatabricksIdentifierPreparer, DatabricksStatementCompiler
from sqlalchemy.dialects import registry
from sqlalchemy.sql.compiler import GenericTypeCompiler
from urllib3 import exceptions as http_errors

from revetl.dialects import escaped, refuse_writes
from revetl.errors import ConfigError

NO_ROWS = re.compile(r"^SELECT \* \nFROM \((.*)\) AS m\s+LIMIT 0\s*(/\*[^*]*\*/)?\s*$", re.DOTALL)
# `${name}` is replaced inside of texts, too, unless the session says otherwise
ESCAPES = {"$": "\\u0024", "\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def cannot(what: str) -> ConfigError:
    """What Databricks has no way to do."""
    return ConfigError(
        f"revetl cannot do it on Databricks: {what}", hint="docs/warehouses.md says what is left out there", code="RV500",
    )  # fmt: skip


def written(text: str) -> str:
    """A text as Spark writes it."""
    return escaped(text, ESCAPES)


class Text(sa.String):
    """A STRING."""

    def literal_processor(self, dialect: Any) -> Callable[[str], str]:  # noqa: ANN401, ARG002 of SQLAlchemy
        """How a constant is written."""
        return written


class Preparer(DatabricksIdentifierPreparer):
    """Every name in backticks."""

    def _requires_quotes(self, value: str) -> bool:  # noqa: ARG002 of SQLAlchemy
        return True


class Compiler(DatabricksStatementCompiler):
    """What Spark says in another way."""

    def visit_bindparam(self, bindparam: Any, *args: Any, **kw: Any) -> str:  # noqa: ANN401
        """Constants are written out: by parameters, what is grouped by is not seen to be what is selected."""
        if bindparam.value is not None:
            kw["literal_binds"] = True
        return str(super().visit_bindparam(bindparam, *args, **kw))

    def visit_collate_binary(self, binary: Any, _operator: Any, **kw: Any) -> str:  # noqa: ANN401
        """Nothing: a STRING is compared by its bytes, unless its column has a collation."""
        return str(self.process(binary.left, **kw))

    def visit_strpos_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """Where a text stands in another."""
        return f"INSTR({self.process(func.clauses, **kw)})"

    def visit_trim_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """From both ends; TRIM with two texts has them in the other order."""
        return f"BTRIM({self.process(func.clauses, **kw)})"

    def visit_rtrim_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """From the end."""
        text, signs = (self.process(part, **kw) for part in func.clauses)
        return f"TRIM(TRAILING {signs} FROM {text})"

    def visit_to_json_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """JSON of a text, which must be in a list."""
        inside = f"to_json(array({self.process(func.clauses, **kw)}))"
        return f"SUBSTR({inside}, 2, LENGTH({inside}) - 2)"

    def visit_nested_json_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        """JSON of something nested, with its nulls, which would be left out."""
        return f"to_json({self.process(func.clauses, **kw)}, map('ignoreNullFields', 'false'))"

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401
        """`->>` of a text that is cast to JSON."""
        if operator.opstring == "->>":
            return f"GET_JSON_OBJECT({self.process(element.left.clause, **kw)}, '$[{self.process(element.right, **kw)}]')"
        return str(super().visit_custom_op_binary(element, operator, **kw))

    def visit_regexp_replace_func(self, func: Any, **kw: Any) -> str:  # noqa: ANN401
        r"""Every match is replaced without a flag; a group is `$1`, not `\1`."""
        value, pattern, put = list(func.clauses)[:3]
        instead = self.process(put, **kw).replace("\\\\1", "$1")
        return f"REGEXP_REPLACE({self.process(value, **kw)}, {self.process(pattern, **kw)}, {instead})"

    def visit_is_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002 of SQLAlchemy
        """Null-safe inequality."""
        return f"(NOT ({self.process(binary.left, **kw)} <=> {self.process(binary.right, **kw)}))"

    def visit_cte(self, cte: Any, *args: Any, **kw: Any) -> Any:  # noqa: ANN401
        """One that refers to itself may only repeat by UNION ALL."""
        if cte.recursive:
            raise cannot("`on_moved: release` where the state is not elsewhere")
        return super().visit_cte(cte, *args, **kw)


class Types(GenericTypeCompiler):
    """Types by their Spark names."""

    def visit_TEXT(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002, N802 of SQLAlchemy
        """Any text."""
        return "STRING"

    visit_VARCHAR = visit_TEXT  # noqa: N815

    def visit_DOUBLE(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002, N802
        """A double."""
        return "DOUBLE"

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802
        """DECIMAL alone would be DECIMAL(10, 0), and round."""
        if type_.precision is None:
            raise cannot("a decimal whose digits are not known; cast it in the model, e.g. to decimal(38, 6)")
        return str(super().visit_NUMERIC(type_, **kw)).replace("NUMERIC", "DECIMAL")

    def visit_TIMESTAMP(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002, N802
        """A moment, or a time without a zone."""
        return "TIMESTAMP" if type_.timezone else "TIMESTAMP_NTZ"


class Dialect(DatabricksDialect):
    """It reads."""

    preparer = Preparer
    statement_compiler = Compiler
    type_compiler = Types
    supports_statement_cache = False
    colspecs = {sa.String: Text}  # noqa: RUF012 as SQLAlchemy has it

    @classmethod
    def import_dbapi(cls) -> Any:  # noqa: ANN401 the driver's module
        """The driver."""
        return sql

    def create_connect_args(self, url: Any) -> Any:  # noqa: ANN401, ARG002
        """Nothing: the arguments come from `on_databricks`."""
        self._force_paramstyle_to_native_mode()
        return [], {}

    def initialize(self, connection: Any) -> None:  # noqa: ANN401
        """Ask the server nothing."""

    def connect(self, *cargs: Any, **cparams: Any) -> Any:  # noqa: ANN401
        """A connection; where there is none, the driver lets an error through that is none of its own."""
        try:
            return super().connect(*cargs, **cparams)
        except http_errors.HTTPError as error:
            raise sql.OperationalError(type(error).__name__) from error

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:  # noqa: ANN401, ARG002
        """Who asks for no row asks for the columns: the driver's description does not tell one kind of times from the other."""
        if found := NO_ROWS.match(statement):
            statement = f"DESCRIBE QUERY SELECT * FROM ({found[1]}) AS m"  # noqa: S608 the model, as it was given
        try:
            cursor.execute(statement, parameters or None)
        except http_errors.HTTPError as error:
            raise sql.OperationalError(type(error).__name__) from error


registry.register("databricks.revetl", __name__, "Dialect")


def engine(arguments: Mapping[str, Any]) -> sa.Engine:
    """The engine of a warehouse or cluster; it sends nothing but questions."""
    made = sa.create_engine("databricks+revetl://", connect_args=dict(arguments), hide_parameters=True)
    sa.event.listen(made, "before_cursor_execute", refuse_writes)
    return made


def described(cursor: Any) -> list[tuple[str, str]]:  # noqa: ANN401 a cursor
    """Names and types of a result's columns, from DESCRIBE QUERY."""
    return [(str(row[0]), str(row[1])) for row in cursor.fetchall()]
