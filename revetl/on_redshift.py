"""Redshift, experimental: what differs in its SQL from what revetl writes elsewhere, and how a connection is opened.

It has no IS DISTINCT FROM, its MERGE takes no subquery and either deletes or updates, TEXT means 256 characters,
CONCAT takes two texts, a boolean cannot be cast to text, and a running sum needs an order. `Forms` writes each of these
in words that Redshift takes (and PostgreSQL, where the tests run them); the rest is `sqlalchemy-redshift`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGTypeCompiler
from sqlalchemy.ext.compiler import compiles

from revetl.dialects import SAFE_SQLSTATES, CreateTableAs, Dialect, Kind, Merge, refuse_writes, without_zeros
from revetl.errors import ConfigError
from revetl.profiles import revealed
from revetl.tables import quoted

NAME = "revetl_redshift"  # not `redshift`: the package's own DELETE for that name loses correlation inside EXISTS
PARAMETERS = "named"
WIDEST = 65_535  # bytes of a VARCHAR
TYPES = {
    16: "boolean", 20: "bigint", 21: "smallint", 23: "integer", 25: "text", 700: "real", 701: "double precision", 1042: "char",
    1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz", 1266: "timetz", 1700: "numeric",
    3000: "geometry", 4000: "super", 6551: "varbyte",
}  # fmt: skip
KINDS = {
    "boolean": Kind.BOOLEAN, "bool": Kind.BOOLEAN, "smallint": Kind.INTEGER, "integer": Kind.INTEGER, "bigint": Kind.INTEGER,
    "int2": Kind.INTEGER, "int4": Kind.INTEGER, "int8": Kind.INTEGER, "real": Kind.FLOAT, "float4": Kind.FLOAT,
    "float8": Kind.FLOAT, "double precision": Kind.FLOAT, "date": Kind.DATE, "super": Kind.NESTED,
    "timestamptz": Kind.TIMESTAMP_TZ, "timestamp with time zone": Kind.TIMESTAMP_TZ, "timestamp": Kind.TIMESTAMP,
    "timestamp without time zone": Kind.TIMESTAMP,
    **dict.fromkeys(("text", "varchar", "character varying", "char", "character", "bpchar", "name"), Kind.TEXT),
}  # fmt: skip


def _kind(native: str) -> tuple[Kind, int | None]:
    name, _, digits = native.lower().partition("(")
    if name in {"numeric", "decimal"}:
        scale = re.search(r",\s*(\d+)\)", digits)
        return Kind.DECIMAL, int(scale[1]) if scale else None
    return KINDS.get(name, Kind.OTHER), None


def described(cursor: Any) -> list[tuple[str, str]]:  # noqa: ANN401 a cursor of redshift_connector
    """Names and types of a result's columns; the description of the driver has no digits of decimals."""
    found = []
    for item, more in zip(cursor.description, cursor.ps["row_desc"], strict=True):
        name, digits = TYPES.get(item[1], f"type {item[1]}"), int(more.get("type_modifier", -1)) - 4
        if name == "numeric" and digits >= 0:
            name = f"numeric({digits >> 16},{digits & 0xFFFF})"
        found.append((item[0], name))
    return found


def _text(value: Any) -> Any:  # noqa: ANN401 SQL expressions
    if isinstance(value.type, sa.Boolean):
        return sa.case((value, "true"), (sa.not_(value), "false"))
    return sa.cast(value, sa.Text)


def _row_hash(values: Sequence[Any]) -> Any:  # noqa: ANN401 SQL expressions
    # 60 bits of a digest, so that a sum of them fits; null differs from empty
    parts = [sa.func.coalesce(sa.func.concat("=", _text(value)), "-") for value in values]
    return sa.cast(sa.func.strtol(sa.func.substring(sa.func.md5(sa.func.concat(*parts, "")), 1, 15), 16), sa.Numeric(38, 0))


def merge_parts(merge: Merge) -> tuple[sa.Executable, ...]:
    """A MERGE as statements that mean the same inside one transaction.

    The source is frozen first: it reads the table that is changed.
    """
    target = merge.target
    columns: list[sa.Column[Any]] = [sa.Column(quoted(name)) for name in dict.fromkeys([*merge.on, *merge.insert, *merge.update])]
    gone_column: list[sa.Column[Any]] = [sa.Column(quoted(merge.delete_when))] if merge.delete_when else []
    source = sa.Table(f"merge__{target.name}"[:120], sa.MetaData(), *columns, *gone_column)
    same = sa.and_(*(target.c[name] == source.c[name] for name in merge.on))
    gone = sa.type_coerce(source.c[merge.delete_when], sa.Boolean()) if merge.delete_when else sa.false()
    stays = (sa.not_(gone),) if merge.delete_when else ()
    new = sa.select(*(source.c[name] for name in merge.insert)).where(
        *stays, ~sa.exists().where(same).correlate(source)
    )
    return (
        TempTableAs(source, merge.source),
        *([sa.delete(target).where(same, gone)] if merge.delete_when else []),
        *([sa.update(target).where(same, *stays).values({n: source.c[n] for n in merge.update})] if merge.update else []),
        sa.insert(target).from_select(list(merge.insert), new),
        sa.schema.DropTable(source),
    )


class TempTableAs(CreateTableAs):
    """`CREATE TEMP TABLE t AS select`."""

    inherit_cache = False


@compiles(TempTableAs)
def _temp_table_as(element: TempTableAs, compiler: Any, **_: object) -> str:  # noqa: ANN401 a compiler
    table = compiler.preparer.format_table(element.table)
    return f"CREATE TEMP TABLE {table} AS {compiler.process(element.select, literal_binds=True)}"


def _cannot(what: str) -> NoReturn:
    raise ConfigError(
        f"revetl cannot do it on Redshift: {what}", hint="docs/warehouses.md says what is left out there, and why", code="RV425",
    )  # fmt: skip


class Forms(PGCompiler):
    """What Redshift has no word for, in words that it has."""

    def visit_is_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002 of SQLAlchemy
        """Null-safe inequality."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"(CASE WHEN {left} IS NULL THEN {right} IS NOT NULL WHEN {right} IS NULL THEN TRUE ELSE {left} <> {right} END)"

    def visit_is_not_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401
        """Null-safe equality."""
        return f"(NOT {self.visit_is_distinct_from_binary(binary, operator, **kw)})"

    def visit_truediv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002 of SQLAlchemy
        """Division by a whole number that is not cut; here it only ever is one."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"{left} / CAST({right} AS NUMERIC(18, 0))"

    def visit_mod_binary(self, binary: Any, operator: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002 of SQLAlchemy
        """A percent sign is one: no parameter begins with it."""
        return f"{self.process(binary.left, **kw)} % {self.process(binary.right, **kw)}"

    def post_process_text(self, text: str) -> str:
        """Text of models as it was written."""
        return text

    def visit_bindparam(self, bindparam: Any, **kw: Any) -> str:  # type: ignore[override]  # noqa: ANN401 of SQLAlchemy
        """A question has its constants written out: by parameters, what is grouped by is not seen to be what is selected."""
        if isinstance(self.statement, sa.Select) and bindparam.value is not None:
            kw["literal_binds"] = True
        return str(super().visit_bindparam(bindparam, **kw))  # type: ignore[no-untyped-call]

    def visit_collate_binary(self, binary: Any, _operator: Any, **kw: Any) -> str:  # noqa: ANN401 of SQLAlchemy
        """Redshift's own collation tells small letters from capital ones, unless the database was made otherwise."""
        return str(self.process(binary.left, **kw))

    def visit_trim_func(self, function: Any, **kw: Any) -> str:  # noqa: ANN401 of SQLAlchemy
        """`TRIM(text, characters)` is BTRIM."""
        return f"BTRIM({self.process(function.clauses, **kw)})"

    def visit_concat_func(self, function: Any, **kw: Any) -> str:  # noqa: ANN401 of SQLAlchemy
        """Any number of texts; null where one is, which every use of it here takes for what it is."""
        return "(" + " || ".join(self.process(part, **kw) for part in function.clauses) + ")"

    def visit_regexp_replace_func(self, function: Any, **kw: Any) -> str:  # noqa: ANN401 of SQLAlchemy
        """All matches are replaced without being told."""
        return "REGEXP_REPLACE(" + ", ".join(self.process(part, **kw) for part in list(function.clauses)[:3]) + ")"

    def visit_to_json_func(self, _function: Any, **_: Any) -> str:  # noqa: ANN401 of SQLAlchemy
        """The pair that names a relationship or a member needs a JSON text of a text."""
        _cannot("syncs of relationships, devices and members of segments, whose rows are named by two texts")

    def visit_cast(self, cast: Any, **kw: Any) -> str:  # noqa: ANN401 of SQLAlchemy
        """A boolean as text."""
        if isinstance(cast.type, sa.String) and isinstance(cast.clause.type, sa.Boolean):
            value = self.process(cast.clause, **kw)
            return f"(CASE WHEN {value} THEN 'true' WHEN NOT {value} THEN 'false' END)"
        return str(super().visit_cast(cast, **kw))  # type: ignore[no-untyped-call]


class Types(PGTypeCompiler):
    """Types by their Redshift names."""

    def visit_TEXT(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, ARG002, N802 of SQLAlchemy
        """TEXT would be cut at 256 characters."""
        return f"VARCHAR({WIDEST})"

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 of SQLAlchemy
        """NUMERIC alone would be NUMERIC(18, 0), and round."""
        if type_.precision is None:
            _cannot("a decimal whose digits are not known; cast it in the model, e.g. to numeric(38, 6)")
        return str(super().visit_NUMERIC(type_, **kw))


def problem(error: BaseException, _statement: str) -> tuple[str, int]:
    """What an error of the driver says, safe to show; only classes whose texts name things are repeated."""
    said = error.args[0] if error.args else None
    if not isinstance(said, dict):
        return type(error).__name__, 0
    state, text = str(said.get("C", "")), str(said.get("M", ""))
    return f"{type(error).__name__} ({state})" + (f": {text}" if state[:2] in SAFE_SQLSTATES else ""), 0


REDSHIFT = Dialect(
    name="redshift",
    kind_of=_kind,
    seconds=lambda value: sa.cast(sa.func.floor(sa.func.date_part("epoch", value)), sa.BigInteger),
    at_zone=lambda value, zone: sa.func.timezone(zone, value),
    json_text=lambda value, _: sa.func.json_serialize(value),
    iso_date=lambda value: sa.func.to_char(sa.cast(value, sa.Date), "YYYY-MM-DD"),
    collation="default",  # left out by `Forms`
    any_value=sa.func.any_value,
    digest=sa.func.md5,
    # whole seconds: Redshift's clock that goes on inside a transaction has no more
    now_ms=lambda: sa.cast(sa.func.floor(sa.func.date_part("epoch", sa.func.getdate())), sa.BigInteger) * 1000,
    row_hash=_row_hash,
    engine_version=lambda: sa.literal("md5"),  # `version()` cannot stand beside a table; and the hash is the same in all
    sha256=lambda text: sa.func.sha2(text, 256),
    octets=sa.func.octet_length,
    nfc=lambda text: text,  # Redshift has no function for it: docs/warehouses.md
    ascii_lower=sa.func.lower,
    strip_zeros=lambda value: without_zeros(sa.cast(value, sa.Text)),
    trim_scale=lambda value: value,  # every decimal has one
    endless=False,
    problem=problem,
    frame_needs_order=True,
    describe=described,
    merge_parts=merge_parts,
)


def missing(error: ImportError) -> ConfigError:
    """What to install."""
    return ConfigError(
        f"the target is Redshift and its driver is not installed ({error.name} is missing)",
        hint="pip install 'revetl[redshift]'", code="RV424",
    )  # fmt: skip


def make_engine(fields: Mapping[str, Any], *, read_only: bool) -> sa.Engine:
    """The engine of a cluster or a workgroup; arguments as in `open_warehouse`."""
    try:
        import redshift_connector  # noqa: PLC0415 an extra: imported when used
    except ImportError as error:
        raise missing(error) from None
    given = connect_arguments(fields)
    role = str(fields.get("role") or "")

    def connect() -> Any:  # noqa: ANN401 a connection of a package without types
        connection = redshift_connector.connect(**given)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SET timezone TO 'UTC'")  # naive and zoned values mean the same on every machine
        if fields.get("query_group"):
            cursor.execute(f"SET query_group TO '{str(fields['query_group']).replace(chr(39), '')}'")
        if role:
            cursor.execute('SET ROLE "' + role.replace('"', '""') + '"')
        cursor.close()
        return connection

    sa.dialects.registry.register("redshift.revetl", "revetl.redshift_dialect", "Redshift")
    engine = sa.create_engine(
        "redshift+revetl://", creator=connect, isolation_level="AUTOCOMMIT", hide_parameters=True, paramstyle=PARAMETERS
    )
    if read_only:
        sa.event.listen(engine, "before_cursor_execute", refuse_writes)
    return engine


def connect_arguments(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What `redshift_connector.connect` is called with, from the fields of dbt's profile, by dbt-redshift's rules."""
    host, method = str(fields.get("host") or ""), str(fields.get("method") or "database").lower()
    serverless = "serverless" in host or fields.get("is_serverless") is True
    sslmode = str(fields.get("sslmode") or "prefer")
    found: dict[str, Any] = {
        "host": host, "port": int(fields.get("port") or 5439), "database": str(fields.get("dbname") or ""),
        "region": fields.get("region"), "auto_create": bool(fields.get("autocreate")), "db_groups": fields.get("db_groups") or [],
        "timeout": fields.get("connect_timeout"), "is_serverless": serverless, "ssl": sslmode != "disable",
        "sslmode": "verify-full" if sslmode == "verify-full" else "verify-ca", "application_name": "revetl",
    }  # fmt: skip
    for name in ("tcp_keepalive", "tcp_keepalive_idle", "tcp_keepalive_interval", "tcp_keepalive_count",
                 "serverless_work_group", "serverless_acct_id"):  # fmt: skip
        if fields.get(name) is not None:
            found[name] = fields[name]
    if method == "database":
        return {**found, "user": revealed(fields.get("user")), "password": revealed(fields.get("password"))}
    if method == "oauth_token_identity_center":
        _cannot("method oauth_token_identity_center, which asks another service for a token; use iam_role or iam")
    found |= {"iam": method in {"iam", "iam_role"}, "user": "", "password": "",
              "cluster_identifier": None if serverless else fields.get("cluster_id")}  # fmt: skip
    if method == "browser_identity_center":
        return {
            **found, "cluster_identifier": None, "credentials_provider": "BrowserIdcAuthPlugin",
            "issuer_url": fields.get("issuer_url"), "idc_region": fields.get("idc_region"),
            "listen_port": int(fields.get("idp_listen_port") or 7890),
            "idc_client_display_name": fields.get("idc_client_display_name") or "Amazon Redshift driver",
            "idp_response_timeout": fields.get("idp_response_timeout", 60),
        }  # fmt: skip
    if method == "iam_role":
        found |= {"db_user": None, "group_federation": not serverless}
        return {**found, "profile": fields["iam_profile"]} if fields.get("iam_profile") else found
    keys = {"access_key_id": fields.get("access_key_id"), "secret_access_key": revealed(fields.get("secret_access_key"))}
    return {**found, **(keys if fields.get("access_key_id") else {"profile": fields.get("iam_profile")}),
            "db_user": fields.get("user")}  # fmt: skip
