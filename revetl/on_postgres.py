"""PostgreSQL: what differs in its SQL, and how a connection is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from revetl.dialects import DECIMAL, NOT_FINITE, Column, Dialect, Kind, driver_problem, without_zeros
from revetl.errors import ConfigError, WarehouseError
from revetl.profiles import revealed

READ_ONLY_S = 600  # the longest statement of a diff on PostgreSQL, where the target says nothing else


def _postgres_kind(native: str) -> tuple[Kind, int | None]:
    lower = native.lower()
    if lower.endswith("[]") and not lower.startswith("record"):  # JSON of a record writes NaN as a text
        return Kind.NESTED, None
    if lower.startswith(("varchar", "character varying", "char", "bpchar", "text", "citext", "name")):
        return Kind.TEXT, None
    if lower.startswith("numeric"):
        match = DECIMAL.match(lower)
        return Kind.DECIMAL, int(match[2]) if match else None
    if lower.startswith("timestamptz") or "with time zone" in lower:
        return Kind.TIMESTAMP_TZ, None
    if lower.startswith("timestamp"):
        return Kind.TIMESTAMP, None
    table = {
        "int2": Kind.INTEGER, "int4": Kind.INTEGER, "int8": Kind.INTEGER, "smallint": Kind.INTEGER,
        "integer": Kind.INTEGER, "bigint": Kind.INTEGER, "float4": Kind.FLOAT, "float8": Kind.FLOAT,
        "real": Kind.FLOAT, "double precision": Kind.FLOAT, "bool": Kind.BOOLEAN, "boolean": Kind.BOOLEAN,
        "date": Kind.DATE, "json": Kind.JSON, "jsonb": Kind.JSON, "uuid": Kind.UUID,
    }  # fmt: skip
    return table.get(lower, Kind.OTHER), None


def _now_ms_postgres() -> Any:  # noqa: ANN401 a SQL expression
    # clock_timestamp, not now(): inside a transaction now() stands still
    return sa.cast(sa.func.floor(sa.extract("epoch", sa.func.clock_timestamp()) * 1000), sa.BigInteger)


def _seconds_postgres(value: Any) -> Any:  # noqa: ANN401 a SQL expression
    whole = sa.cast(sa.func.floor(sa.extract("epoch", value)), sa.BigInteger)
    return sa.case((sa.func.isfinite(value), whole))


def _json_text_postgres(value: Any, column: Column) -> Any:  # noqa: ANN401 SQL expressions
    text = sa.cast(sa.func.to_jsonb(value), sa.Text)
    element = column.native.lower().removesuffix("[]").partition("(")[0]
    if element not in {"float4", "float8", "numeric"}:
        return text
    # to_jsonb would make the text "NaN" of it
    odd: Any = sa.literal_column(f"CAST('{{{','.join(NOT_FINITE)}}}' AS {element}[])")
    return sa.case((value.op("&&")(odd), sa.literal("[NaN]")), else_=text)


def _any_value_postgres(value: Any) -> Any:  # noqa: ANN401 SQL expressions
    # any_value() came with PostgreSQL 16; the groups here have one row, so any aggregate gives that row's value
    if isinstance(value.type, sa.Boolean):
        return sa.func.bool_or(value)
    if isinstance(value.type, sa.String):  # byte by byte: by the rules of a language it would cost more than all the rest
        return sa.collate(sa.func.min(sa.collate(value, "C")), "default")
    return sa.func.min(value)


POSTGRES = Dialect(
    name="postgres",
    kind_of=_postgres_kind,
    seconds=_seconds_postgres,
    at_zone=lambda value, zone: sa.func.timezone(zone, value),
    json_text=_json_text_postgres,
    # JSON knows one style of dates, a cast as many as DateStyle
    iso_date=lambda value: sa.func.jsonb_build_array(sa.cast(value, sa.Date)).op("->>")(0),
    collation="default",
    any_value=_any_value_postgres,
    digest=lambda text: sa.func.md5(text, type_=sa.Text),
    now_ms=_now_ms_postgres,
    row_hash=lambda values: sa.func.hash_record_extended(sa.func.row(*values), 0),  # PostgreSQL 14+
    engine_version=lambda: sa.func.current_setting("server_version_num"),
    sha256=lambda text: sa.func.encode(sa.func.sha256(sa.func.convert_to(text, "UTF8")), "hex"),
    octets=sa.func.octet_length,
    nfc=sa.func.normalize,
    ascii_lower=lambda text: sa.collate(sa.func.lower(sa.collate(text, "C")), "default"),
    strip_zeros=lambda value: without_zeros(sa.cast(value, sa.Text)),
    trim_scale=sa.func.trim_scale,
    server_cursor=True,
    # a subquery with an OFFSET is not merged into the one around it, which would copy its expressions
    fence=lambda select: select.offset(sa.literal_column("0")),
    indexes=True,
)


def make_engine(fields: Mapping[str, Any], *, read_only: bool) -> sa.Engine:
    """The engine of a server; arguments as in `open_warehouse`."""
    try:
        import psycopg  # noqa: F401, PLC0415 an extra: imported when used
    except ImportError:
        raise ConfigError(
            "the target is PostgreSQL and psycopg is not installed", hint="pip install 'revetl[postgres]'"
        ) from None
    query = {
        key: str(fields[key])
        for key in ("sslmode", "sslcert", "sslkey", "sslrootcert", "application_name", "connect_timeout", "keepalives_idle")
        if fields.get(key)
    }
    host = str(fields.get("host") or "")
    if host.startswith("/"):  # a socket's folder cannot stand in a URL's host
        query["host"], host = host, ""
    options = ["-c TimeZone=UTC", "-c extra_float_digits=1"]  # doubles arrive with all their digits
    if read_only:
        options.append("-c default_transaction_read_only=on")
    limit_s = fields.get("statement_timeout") or (READ_ONLY_S if read_only else 0)
    if limit_s:
        options.append(f"-c statement_timeout={int(limit_s) * 1000}")
    if fields.get("search_path"):
        # libpq splits at spaces that have no backslash: one must not begin an option of its own
        path = re.sub(r"([\\\s])", r"\\\1", str(fields["search_path"]))
        options.append(f"-c search_path={path}")
    url = sa.URL.create(
        "postgresql+psycopg",
        username=str(fields.get("user") or "") or None,
        password=revealed(fields.get("password")),
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


def copy_in(connection: Any, statement: str, pages: Iterable[Sequence[Sequence[Any]]]) -> None:  # noqa: ANN401 psycopg's
    """Stream rows of texts into a table by COPY.

    Raises:
        WarehouseError: a value or the table does not fit, or the connection is gone.
    """
    import psycopg  # noqa: PLC0415 an extra: imported when used

    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for page in pages:
                for row in page:
                    copy.write_row(row)
    except psycopg.Error as error:
        raise WarehouseError(f"the engine of the state refused COPY: {driver_problem(error, '')[0]}") from None
