"""SQLAlchemy's dialect of Redshift with the forms of `on_redshift`; imported, with its package, where one is opened."""

from __future__ import annotations

from sqlalchemy_redshift.dialect import RedshiftDialect_redshift_connector as _Base

from revetl.on_redshift import NAME, Forms, Types


class Compiler(Forms, _Base.statement_compiler):  # type: ignore[misc]  # a package without types
    """Statements."""


class TypeNames(Types, _Base.type_compiler):  # type: ignore[misc]
    """Types."""


class Redshift(_Base):  # type: ignore[misc]
    """The dialect that `on_redshift.make_engine` opens."""

    name = NAME
    statement_compiler = Compiler
    type_compiler = TypeNames
    supports_statement_cache = False
