"""Google's own analyzer and reference implementation of GoogleSQL (ZetaSQL, as WebAssembly), for statements and values.

It resolves names, types and functions as BigQuery's front end does, and knows nothing of BigQuery's own rules: quotas, what may
stand inside a transaction, which joins it can run. The first use compiles it, a minute or two; the result is cached
(`~/.cache/wasmtime`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import wasmtime
from zetasql import types as zt
from zetasql.api import CatalogBuilder, TableBuilder
from zetasql.core import ZetaSqlLocalService, wasm_client

TRANSACTION = re.compile(r"(BEGIN|COMMIT|ROLLBACK) TRANSACTION$")
KINDS = {"STRING": zt.TypeKind.TYPE_STRING, "INT64": zt.TypeKind.TYPE_INT64, "BIGNUMERIC": zt.TypeKind.TYPE_BIGNUMERIC,
         "TIMESTAMP": zt.TypeKind.TYPE_TIMESTAMP, "BOOL": zt.TypeKind.TYPE_BOOL, "FLOAT64": zt.TypeKind.TYPE_DOUBLE,
         "NUMERIC": zt.TypeKind.TYPE_NUMERIC, "DATE": zt.TypeKind.TYPE_DATE, "DATETIME": zt.TypeKind.TYPE_DATETIME}  # fmt: skip
# which ZetaSQL still calls unfinished, and BigQuery has
MORE = ("FEATURE_ANNOTATION_FRAMEWORK", "FEATURE_COLLATION_SUPPORT")


class _Cached(wasmtime.Config):  # type: ignore[misc]  # a package without types
    def __init__(self) -> None:
        super().__init__()
        self.cache = True


@cache
def service() -> Any:
    """The analyzer."""
    wasm_client.Config = _Cached
    return ZetaSqlLocalService.get_instance()


@cache
def language() -> Any:
    """The features that BigQuery has, as far as ZetaSQL's own choice tells."""
    service()
    made = zt.LanguageOptions.maximum_features()
    made.product_mode = zt.ProductMode.PRODUCT_EXTERNAL
    made.enabled_language_features = [*made.enabled_language_features, *(getattr(zt.LanguageFeature, one) for one in MORE)]
    made.supported_statement_kinds = []  # all
    return made


class Analyzer:
    """Statements in the order in which they run: each sees the tables that those before it have made.

    Args:
        tables: of the models: column → type.
        home: project of the tables.
    """

    def __init__(self, tables: Mapping[str, Mapping[str, str]], *, home: str) -> None:
        self.home = home
        self.tables: dict[tuple[str, ...], dict[str, Any]] = {
            (name,): {column: zt.Type(type_kind=KINDS[kind]) for column, kind in columns.items()}
            for name, columns in tables.items()
        }

    def see(self, sql: str) -> None:
        """Analyze a statement, and remember what it makes.

        Raises:
            zetasql.core.ServerError: it is not GoogleSQL, or a name or type in it is wrong.
        """
        sql = re.sub(r"\s*/\*[^*]*\*/\s*$", "", sql).strip()
        if TRANSACTION.fullmatch(sql) or "INFORMATION_SCHEMA" in sql:
            parse(sql)
            return
        options = zt.AnalyzerOptions(language_options=language(), allow_undeclared_parameters=True)
        found = service().analyze(sql_statement=sql, options=options, simple_catalog=self.catalog()).resolved_statement
        name = type(found).__name__
        if name in {"ResolvedCreateTableStmt", "ResolvedCreateTableAsSelectStmt"}:
            self.tables.setdefault(
                tuple(found.name_path), {one.name: one.type for one in found.column_definition_list}
            )
        elif name == "ResolvedDropStmt":
            self.tables.pop(tuple(found.name_path), None)
        elif name == "ResolvedAlterTableStmt":
            for action in found.alter_action_list:
                if hasattr(action, "column_definition") and action.column_definition is not None:
                    self.tables[tuple(found.name_path)][action.column_definition.name] = action.column_definition.type
                else:
                    self.tables[tuple(found.name_path)].pop(action.name)

    def catalog(self) -> Any:
        """What is there now."""
        root = CatalogBuilder("root").with_builtin_functions(
            zt.ZetaSQLBuiltinFunctionOptions(language_options=language())
        ).build()  # fmt: skip
        inner: dict[tuple[str, ...], Any] = {(): root}
        for path, columns in self.tables.items():
            for depth in range(1, len(path)):
                if path[:depth] not in inner:
                    inner[path[:depth]] = zt.SimpleCatalog(name=path[depth - 1])
                    inner[path[: depth - 1]].catalog.append(inner[path[:depth]])
            table = TableBuilder(path[-1])
            for name, kind in columns.items():
                table.add_column(name, kind)
            inner[path[:-1]].table.append(table.build())
        return root


def parse(sql: str) -> None:
    """Parse a statement."""
    service().parse(sql_statement=sql, options=language(), allow_script=False)


def value(expression: str) -> Any:
    """What an expression gives, by the reference implementation."""
    found = service().evaluate(sql=expression, options=zt.AnalyzerOptions(language_options=language())).value
    return plain(found)


def plain(found: Any) -> Any:
    """A value as Python has it."""
    given = [name for name in ("string_value", "int64_value", "bool_value", "double_value") if getattr(found, name) is not None]
    return getattr(found, given[0]) if given else None


def values(expressions: Sequence[str]) -> list[Any]:
    """Of each expression."""
    return [value(one) for one in expressions]
