"""SQLAlchemy's dialect of Redshift with the forms of `on_redshift`; imported, with its package, where one is opened.

Parameters have names: with the percent signs that the package uses, its driver would leave every `%` of a text in a model
doubled, without a word.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy_redshift.dialect import RedshiftDialect_redshift_connector as _Base

from revetl.on_redshift import NAME, PARAMETERS, Forms, Types


class Compiler(Forms, _Base.statement_compiler):  # type: ignore[misc]  # a package without types
    """Statements."""


class TypeNames(Types, _Base.type_compiler):  # type: ignore[misc]
    """Types."""


class Context(_Base.execution_ctx_cls):  # type: ignore[misc]
    """How a statement is executed."""

    def create_cursor(self) -> Any:  # noqa: ANN401 of the driver
        """A cursor that takes these parameters."""
        cursor = super().create_cursor()
        cursor.paramstyle = PARAMETERS
        return cursor


class Redshift(_Base):  # type: ignore[misc]
    """The dialect that `on_redshift.make_engine` opens."""

    name = NAME
    default_paramstyle = PARAMETERS
    statement_compiler = Compiler
    type_compiler = TypeNames
    execution_ctx_cls = Context
    supports_statement_cache = False
