"""Snowflake without a server: what the driver is called with, how names fold, what its errors say."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from revetl import folding
from revetl.dialects import CreateTableAs, Kind, source_column
from revetl.errors import ConfigError, WarehouseError
from revetl.grants import Needs, script
from revetl.on_snowflake import SNOWFLAKE, _kind, _native, connect_arguments, hint, problem
from revetl.profiles import Secret
from revetl.project import Source
from revetl.tables import tombs_table
from revetl.warehouse import open_warehouse
from tests.suites.unseen import UNSEEN, UNSEEN_VALUES

BASE = {"account": "my_org-acc", "user": "job", "database": "shop", "schema": "public", "role": "R", "warehouse": "W"}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DER = KEY.private_bytes(
    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)  # fmt: skip
CANARY = "canary-6f1e"
WRITE = os.environ.get("REVETL_GOLDEN") == "write"


def pem(passphrase: str = "") -> str:
    how = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    return KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


def called(root: Path = Path(), *, read_only: bool = False, comment: str = "", **fields: Any) -> dict[str, Any]:
    return connect_arguments({**BASE, **fields}, root, read_only=read_only, comment=comment)


# --- how somebody shows who they are -----------------------------------------------------------------------------


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "password": ({"password": Secret(CANARY)}, {"password": CANARY}),
    "password and MFA": (
        {"password": Secret(CANARY), "authenticator": "username_password_mfa"},
        {"password": CANARY, "authenticator": "username_password_mfa", "client_request_mfa_token": True}),
    "browser": (
        {"authenticator": "externalbrowser"}, {"authenticator": "externalbrowser", "client_store_temporary_credential": True}),
    "Okta": (
        {"authenticator": "https://x.okta.com", "password": Secret(CANARY)},
        {"authenticator": "https://x.okta.com", "password": CANARY}),
    "OAuth": ({"authenticator": "oauth", "token": Secret(CANARY)}, {"authenticator": "oauth", "token": CANARY}),
    "a token of another system": (
        {"authenticator": "jwt", "token": Secret(CANARY)}, {"authenticator": "oauth", "token": CANARY}),
    "OAuth in the browser": (
        {"authenticator": "oauth_authorization_code", "oauth_client_id": "i", "oauth_client_secret": Secret(CANARY)},
        {"authenticator": "OAUTH_AUTHORIZATION_CODE", "oauth_client_id": "i", "oauth_client_secret": CANARY}),
    "programmatic access token": (
        {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": Secret(CANARY)},
        {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": CANARY}),
    "workload identity": (
        {"authenticator": "workload_identity", "workload_identity_provider": "aws"},
        {"authenticator": "WORKLOAD_IDENTITY", "workload_identity_provider": "aws"}),
    "workload identity with a token": (
        {"authenticator": "workload_identity", "workload_identity_provider": "oidc", "token": Secret(CANARY)},
        {"authenticator": "WORKLOAD_IDENTITY", "workload_identity_provider": "oidc", "token": CANARY}),
    "key in PEM": ({"private_key": Secret(pem())}, {"private_key": DER, "authenticator": "snowflake_jwt"}),
    "key in base64": ({"private_key": Secret(b64encode(DER).decode())}, {"private_key": DER}),
    "key in PEM, encrypted": (
        {"private_key": Secret(pem("open")), "private_key_passphrase": Secret("open")}, {"private_key": DER}),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_dbts_profile(way: str) -> None:
    fields, expected = WAYS[way]
    found = called(**fields)
    assert {name: found.get(name) for name in expected} == expected
    assert (found["user"], found["role"], found["warehouse"], found["database"]) == ("job", "R", "W", "shop")
    if "password" not in expected:
        assert "password" not in found
    if way == "password":
        assert "authenticator" not in found, "the driver's own default"


@pytest.mark.parametrize("passphrase", ["", "open"])
def test_a_key_in_a_file(tmp_path: Path, passphrase: str) -> None:
    (tmp_path / "rsa_key.p8").write_text(pem(passphrase))
    more: dict[str, Any] = {"private_key_passphrase": Secret(passphrase)} if passphrase else {}
    assert called(tmp_path, private_key_path="rsa_key.p8", **more)["private_key"] == DER


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no account": ({"account": ""}, "RV421"),
    "no token": ({"authenticator": "oauth"}, "RV421"),
    "no provider": ({"authenticator": "workload_identity"}, "RV421"),
    "two keys": ({"private_key": Secret(pem()), "private_key_path": "x"}, "RV403"),
    "no file": ({"private_key_path": "not-there.p8"}, "cannot be read: No such file"),
    "no key": ({"private_key": Secret(CANARY)}, "no private key"),
    "a key without its passphrase": ({"private_key": Secret(pem("open"))}, "needs `private_key_passphrase`"),
    "another passphrase": ({"private_key": Secret(pem("open")), "private_key_passphrase": Secret(CANARY)}, "not its own"),
    "a passphrase too many": (
        {"private_key": Secret(pem()), "private_key_passphrase": Secret(CANARY)}, "take `private_key_passphrase` out"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_without_the_secret(case: str) -> None:
    fields, expected = WRONG[case]
    with pytest.raises(ConfigError) as raised:
        called(**fields)
    assert expected in str(raised.value)
    assert CANARY not in str(raised.value)
    assert raised.value.code in {"RV403", "RV421"}


@contextmanager
def token_server(status: int, answer: str) -> Iterator[tuple[int, list[tuple[str, str, str]]]]:
    """What Snowflake's address for tokens would answer; what it was asked."""
    asked: list[tuple[str, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refresh(port: int) -> dict[str, Any]:
    return called(
        authenticator="oauth", oauth_client_id="me", oauth_client_secret=Secret(CANARY), token=Secret("old"),
        host="127.0.0.1", port=port, protocol="http",
    )  # fmt: skip


def test_a_refresh_token_gives_an_access_token() -> None:
    with token_server(200, json.dumps({"access_token": "new"})) as (port, asked):
        assert refresh(port)["token"] == "new"
    [(path, login, body)] = asked
    assert path == "/oauth/token-request"
    assert login == "Basic " + b64encode(f"me:{CANARY}".encode()).decode()
    assert "grant_type=refresh_token" in body
    assert "refresh_token=old" in body


@pytest.mark.parametrize(("status", "answer"), [(400, '{"error": "invalid_grant"}'), (200, "{}"), (200, "no JSON"), (302, "")])
def test_no_access_token(status: int, answer: str) -> None:
    with token_server(status, answer) as (port, _), pytest.raises(ConfigError, match="access token") as raised:
        refresh(port)
    assert raised.value.code == "RV404"
    assert CANARY not in str(raised.value)


# --- what the real connector asks with these arguments -----------------------------------------------------------------


@contextmanager
def account(code: str, message: str) -> Iterator[tuple[int, list[tuple[str, dict[str, Any]]]]]:
    """An account that lets nobody in; what each login asked."""
    asked: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            asked.append((self.path.partition("?")[0], json.loads(plain)["data"]))
            answer = json.dumps({"success": False, "code": code, "message": message, "data": {}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tried(fields: dict[str, Any], code: str = "390100", said: str = "No.") -> tuple[str, dict[str, Any], WarehouseError]:
    """The path and the body of the first request of a login, and how it ended."""
    pytest.importorskip("snowflake.sqlalchemy")
    with account(code, said) as (port, asked):
        there = {**BASE, **fields, "host": "127.0.0.1", "port": port, "protocol": "http"}
        warehouse = open_warehouse("snowflake", there, root=Path(), comment="revetl 1 run")
        with pytest.raises(WarehouseError) as raised:
            warehouse.fetch(sa.text("SELECT 1"))
        warehouse.close()
    return *asked[0], raised.value


OVER_THE_WIRE: dict[str, tuple[str, dict[str, Any]]] = {
    "password": ("login-request", {"LOGIN_NAME": "job", "PASSWORD": CANARY}),
    "password and MFA": ("login-request", {"LOGIN_NAME": "job", "PASSWORD": CANARY}),
    "Okta": ("authenticator-request", {"AUTHENTICATOR": "https://x.okta.com"}),
    "browser": ("authenticator-request", {"AUTHENTICATOR": "EXTERNALBROWSER"}),
    "OAuth": ("login-request", {"AUTHENTICATOR": "OAUTH", "TOKEN": CANARY}),
    "a token of another system": ("login-request", {"AUTHENTICATOR": "OAUTH", "TOKEN": CANARY}),
    "programmatic access token": ("login-request", {"AUTHENTICATOR": "PROGRAMMATIC_ACCESS_TOKEN", "TOKEN": CANARY}),
    "key in PEM, encrypted": ("login-request", {"AUTHENTICATOR": "SNOWFLAKE_JWT"}),
}


@pytest.mark.parametrize("way", OVER_THE_WIRE)
def test_each_way_reaches_the_account_as_the_connector_asks(way: str) -> None:
    path, expected = OVER_THE_WIRE[way]
    found, body, error = tried(WAYS[way][0])
    assert found == f"/session/{'v1/' if path == 'login-request' else ''}{path}"
    assert {name: body.get(name) for name in expected} == expected
    assert body["ACCOUNT_NAME"] == "my-org-acc"
    assert CANARY not in str(error)
    if path == "login-request":
        session = body["SESSION_PARAMETERS"]
        assert (session["QUERY_TAG"], session["TIMEZONE"], session["ROWS_PER_RESULTSET"]) == ("revetl 1 run", "UTC", 0)
    if way == "password and MFA":
        assert body["SESSION_PARAMETERS"]["CLIENT_REQUEST_MFA_TOKEN"] is True, "asked once, and kept for the next connections"
    if way == "key in PEM, encrypted":
        claims = pytest.importorskip("jwt").decode(body["TOKEN"], KEY.public_key(), algorithms=["RS256"])
        assert claims["sub"] == "MY-ORG-ACC.JOB"
        assert claims["iss"].startswith("MY-ORG-ACC.JOB.SHA256:")


def test_workload_identity_is_for_snowflakes_own_hosts_only() -> None:
    """So far the connector goes here: it takes the provider and the token, and gives them to no other host."""
    token = pytest.importorskip("jwt").encode({"iss": "https://idp.example", "sub": "job"}, pem(), algorithm="RS256")
    fields = {"authenticator": "workload_identity", "workload_identity_provider": "oidc", "token": Secret(token)}
    there = {**BASE, **fields, "host": "127.0.0.1", "protocol": "http"}
    warehouse = open_warehouse("snowflake", there, root=Path())
    with pytest.raises(WarehouseError, match="WORKLOAD_IDENTITY requires a recognized Snowflake host"):
        warehouse.fetch(sa.text("SELECT 1"))
    warehouse.close()


@pytest.mark.parametrize(("code", "said", "expected"), [
    ("390100", "Incorrect username or password was specified.", "check user, authenticator and key"),
    ("390144", "JWT token is invalid. [0]", "check user, authenticator and key"),
    ("390189", "Role 'R' specified in the connect string does not exist or not authorized. Contact your local system "
     "administrator, or attempt to login with another role, e.g. PUBLIC.", "GRANT ROLE R TO USER job;"),
])  # fmt: skip
def test_a_refused_login_says_what_to_do(code: str, said: str, expected: str) -> None:
    _, _, error = tried({"password": Secret(CANARY)}, code, said)
    assert code in error.message
    assert expected in error.hint
    assert CANARY not in str(error)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith(("snowflake", "revetl.snowflake_sql")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "snowflake", None)
    monkeypatch.delattr("revetl.snowflake_sql", raising=False)
    with pytest.raises(ConfigError) as raised:
        open_warehouse("snowflake", BASE, root=Path())
    assert (raised.value.code, raised.value.hint) == ("RV424", "pip install 'revetl[snowflake]'")


# --- the session ---------------------------------------------------------------------------------------------------


def test_the_session() -> None:
    found = called(password=Secret("x"), comment="revetl 1 run")
    assert found["account"] == "my-org-acc"
    assert found["autocommit"] is True
    session = found["session_parameters"]
    assert (session["QUERY_TAG"], session["TIMEZONE"], session["LOCK_TIMEOUT"]) == ("revetl 1 run", "UTC", 600)
    assert (session["ROWS_PER_RESULTSET"], session["QUOTED_IDENTIFIERS_IGNORE_CASE"]) == (0, False)
    assert "STATEMENT_TIMEOUT_IN_SECONDS" not in session
    read = called(password=Secret("x"), read_only=True, query_tag="team")["session_parameters"]
    assert (read["QUERY_TAG"], read["STATEMENT_TIMEOUT_IN_SECONDS"]) == ("team", 600)
    assert called(password=Secret("x"), statement_timeout=30)["session_parameters"]["STATEMENT_TIMEOUT_IN_SECONDS"] == 30
    assert called(password=Secret("x"))["login_timeout"] == 60, "an account that is not there is told, not waited for"


# --- names -----------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1), st.text(min_size=1))
def test_folding_is_its_own_inverse_and_no_two_names_meet(one: str, other: str) -> None:
    assert folding.swapped(folding.swapped(one)) == one
    assert (folding.swapped(one) == folding.swapped(other)) == (one == other)


def test_names_without_quotes() -> None:
    assert [folding.swapped(n) for n in ("state__people", "firstName", "EMAIL", "e-mail", "_key")] == [
        "STATE__PEOPLE", "firstName", "email", "e-mail", "_KEY"]  # fmt: skip
    assert folding.named("raw", "snowflake") == folding.named("RAW", "snowflake") == folding.named("Raw", "snowflake") == "RAW"
    assert folding.named("raw data", "snowflake") == "raw data"
    assert folding.named("raw", "postgres") == "raw"
    assert folding.folded("REVETL_PROD", "snowflake") == folding.folded("revetl_prod", "snowflake") == "revetl_prod"


# --- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("native", "kind", "scale"),
    [
        ("NUMBER(38,0)", Kind.INTEGER, None), ("NUMBER(10,2)", Kind.DECIMAL, 2), ("FLOAT", Kind.FLOAT, None),
        ("TEXT", Kind.TEXT, None), ("BOOLEAN", Kind.BOOLEAN, None), ("DATE", Kind.DATE, None),
        ("TIMESTAMP_NTZ", Kind.TIMESTAMP, None), ("TIMESTAMP_LTZ", Kind.TIMESTAMP_TZ, None),
        ("TIMESTAMP_TZ", Kind.TIMESTAMP_TZ, None), ("VARIANT", Kind.NESTED, None), ("ARRAY", Kind.NESTED, None),
        ("OBJECT", Kind.NESTED, None), ("BINARY", Kind.OTHER, None), ("TIME", Kind.OTHER, None),
        ("GEOGRAPHY", Kind.OTHER, None), ("VECTOR", Kind.OTHER, None), ("type 99", Kind.OTHER, None),
    ],
)  # fmt: skip
def test_types(native: str, kind: Kind, scale: int | None) -> None:
    assert _kind(native) == (kind, scale)


def test_the_drivers_codes_of_types_are_those_of_the_table() -> None:
    constants = pytest.importorskip("snowflake.connector.constants")
    for code, field in enumerate(constants.FIELD_TYPES):
        expected = {"FIXED": "NUMBER(38,2)", "REAL": "FLOAT"}.get(field.name, field.name)
        if field.name in {"FIXED", "REAL", "TEXT", "DATE", "TIMESTAMP", "VARIANT", "TIMESTAMP_LTZ", "TIMESTAMP_TZ",
                          "TIMESTAMP_NTZ", "OBJECT", "ARRAY", "BINARY", "TIME", "BOOLEAN"}:  # fmt: skip
            assert _native(("c", code, None, None, 38, 2, True)) == expected


# --- errors --------------------------------------------------------------------------------------------------------------


def error(kind: str, number: int, state: str, text: str) -> BaseException:
    errors = pytest.importorskip("snowflake.connector.errors")
    made: BaseException = getattr(errors, kind)(msg=text, errno=number, sqlstate=state, send_telemetry=False)
    return made


def test_errors_about_data_keep_their_values_to_themselves() -> None:
    for number, text in (
        (100038, f"Numeric value '{CANARY}' is not recognized"), (100078, f"String '{CANARY}' is too long"),
        (100069, f"Error parsing JSON: {CANARY}"), (261000, f"sql_text={CANARY}"),
    ):  # fmt: skip
        said, line = problem(error("ProgrammingError", number, "22018", text), "")
        assert CANARY not in said
        assert f"{number:06d}" in said
        assert not line


def test_errors_about_names_say_which_and_where() -> None:
    text = "SQL compilation error: error line 3 at position 7\ninvalid identifier 'EMIAL'"
    said, line = problem(error("ProgrammingError", 904, "42000", text), "")
    assert said == (
        "ProgrammingError (000904, 42000): SQL compilation error: error line 3 at position 7 invalid identifier 'EMIAL'"
    )
    assert line == 3


HINTS = {
    "missing grant on a schema": (
        3001, "42501", "SQL access control error:\nInsufficient privileges to operate on schema 'REVETL_PROD'.",
        "GRANT USAGE, CREATE TABLE ON SCHEMA REVETL_PROD TO ROLE LOADER"),
    "missing grant on a table": (
        3001, "42501", "SQL access control error:\nInsufficient privileges to operate on table 'CTL__PEOPLE'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE CTL__PEOPLE TO ROLE LOADER"),
    "missing grant on a database": (
        3001, "42501", "SQL access control error:\nInsufficient privileges to operate on database 'SHOP'.",
        "GRANT USAGE, CREATE SCHEMA ON DATABASE SHOP TO ROLE LOADER"),
    "a table that is not there or not seen": (
        2003, "42S02", "SQL compilation error:\nObject 'SHOP.RAW.CUSTOMERS' does not exist or not authorized.",
        "GRANT SELECT ON TABLE SHOP.RAW.CUSTOMERS TO ROLE LOADER"),
    "a table with a name in quotes": (
        2003, "42S02", "SQL compilation error:\nObject 'SHOP.RAW.\"my table\"' does not exist or not authorized.",
        'GRANT SELECT ON TABLE SHOP.RAW."my table" TO ROLE LOADER'),
    "a database that is not there or not seen": (
        90105, "22000", "Cannot perform SELECT. This session does not have a current database. Call 'USE DATABASE', or use a "
        "qualified name.", "GRANT USAGE ON DATABASE SHOP TO ROLE LOADER"),
    "a schema of the target that is not there": (
        90106, "22000", "Cannot perform SELECT. This session does not have a current schema. Call 'USE SCHEMA', or use a "
        "qualified name.", "GRANT USAGE ON SCHEMA"),
    "a schema that is not there or not seen": (
        2003, "02000", "SQL compilation error:\nSchema 'SHOP.RAW' does not exist or not authorized.",
        "GRANT USAGE ON SCHEMA SHOP.RAW TO ROLE LOADER"),
    "no warehouse": (
        606, "57P03", "No active warehouse selected in the current session.", "GRANT USAGE ON WAREHOUSE"),
    "a wrong role": (
        390189, "08001", "Role 'LOADER' specified in the connect string does not exist or not authorized.",
        "GRANT ROLE LOADER TO USER job"),
    "a wrong password": (390100, "08001", "Incorrect username or password was specified.", "check user, authenticator and key"),
    "a wrong key": (390144, "08001", "JWT token is invalid. [e1b2]", "check user, authenticator and key"),
    "an account that is not there": (290404, "08001", "404 Not Found: post x.snowflakecomputing.com", "is `account` right"),
    "no network": (250001, "08001", "Could not connect to Snowflake backend after 2 attempt(s).Aborting", "is `account` right"),
    "a lock": (625, "57014", "Statement '01' has locked table 'T' in transaction 1", "another session keeps"),
}  # fmt: skip


@pytest.mark.parametrize("case", HINTS)
def test_what_to_do_about_it(case: str) -> None:
    number, state, text, expected = HINTS[case]
    said, _ = problem(error("ProgrammingError", number, state, text), "")
    assert expected in hint(said, role="LOADER", user="job", database="SHOP")


def test_the_documentation_lists_what_fakesnow_cannot_show() -> None:
    page = (Path(__file__).parents[2] / "docs" / "snowflake.md").read_text(encoding="utf-8")
    listed = page.partition("<!-- unseen -->\n")[2].partition("<!-- /unseen -->")[0]
    assert listed == "".join(f"- `{name}`: {reason}\n" for name, reason in sorted((UNSEEN | UNSEEN_VALUES).items()))


def test_the_dialect_says_what_it_cannot() -> None:
    assert not SNOWFLAKE.transactional_ddl
    assert not SNOWFLAKE.endless
    assert not SNOWFLAKE.server_cursor


def compiled(statement: sa.Executable, **options: Any) -> str:
    sql = pytest.importorskip("revetl.snowflake_sql")
    return " ".join(str(statement.compile(dialect=sql.RevetlDialect(), **options)).split())  # type: ignore[attr-defined]  # all can


def test_rows_with_expressions_are_inserted_by_select() -> None:
    table = tombs_table("revetl_test")
    now = sa.func.current_timestamp()
    one = compiled(sa.insert(table).values(digest="d", buried_at=now))
    assert one.endswith('("DIGEST", "BURIED_AT") SELECT %(digest)s, CURRENT_TIMESTAMP')
    several = sa.insert(table).values([{"digest": "d", "buried_at": now}, {"digest": "e", "buried_at": now}])
    assert compiled(several).count(" UNION ALL SELECT ") == 1
    assert "VALUES" not in compiled(several)
    sql = pytest.importorskip("revetl.snowflake_sql")
    assert sorted(several.compile(dialect=sql.RevetlDialect()).params.values()) == ["d", "e"]
    plain = compiled(sa.insert(table).values([{"digest": "d"}, {"digest": "e"}]))
    assert plain.endswith("VALUES (%(digest_m0)s), (%(digest_m1)s)")


def test_what_snowflake_says_in_another_way() -> None:
    a: Any = sa.column("a")
    said = {
        a.op("&")(4): 'BITAND("A", 4)',
        sa.collate(a, "utf8"): '"A"',
        sa.func.strpos(a, "."): """CHARINDEX('.', "A")""",
        sa.func.to_json(a): 'TO_JSON(TO_VARIANT("A"))',
        sa.func.regexp_replace(a, "x", "", "g"): """REGEXP_REPLACE("A", 'x', '')""",
        sa.cast(sa.cast(a, sa.JSON).op("->>")(sa.literal_column("0")), sa.Text): 'CAST(PARSE_JSON("A")[0] AS TEXT)',
        sa.func.sum(a).over(rows=(None, 0)): 'sum("A") OVER (ORDER BY 1 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)',
        sa.func.sum(a).over(partition_by=a): 'sum("A") OVER (PARTITION BY "A")',
        source_column("a"): '"a"',
    }  # fmt: skip
    for expression, expected in said.items():
        text = compiled(sa.select(expression.label("found")), compile_kwargs={"literal_binds": True})
        assert text == f'SELECT {expected} AS "FOUND"'


def test_literals_keep_backslashes_and_percent_signs() -> None:
    text = CreateTableAs(sa.table("t"), sa.select(sa.literal("a\\b'c%d").label("x")))
    assert compiled(text) == """CREATE TRANSIENT TABLE "T" AS SELECT 'a\\\\b''c%%d' AS "X\""""


# --- rights ----------------------------------------------------------------------------------------------------------------


def test_the_script_of_grants() -> None:
    """For review: no role has more than it needs, and each statement takes one role (REVETL_GOLDEN=write writes it anew)."""
    sources = (Source(name="customers", schema="raw", identifier="customers"),
               Source(name="orders", schema="Sales Data", identifier="orders", database="erp"))  # fmt: skip
    needs = Needs(
        database="shop", schema="analytics", state_schema="revetl_prod", sources=sources, unknown=(), built=("dim_people",)
    )
    found = script(needs, "snowflake")
    path = Path(__file__).parents[1] / "golden" / "sql" / "snowflake" / "grants.sql"
    if WRITE:
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")
    statements = [line for line in found.splitlines() if line and not line.startswith("--")]
    rights = {role: [s for s in statements if s.endswith(f" TO ROLE REVETL_{role};")] for role in ("PLAN", "RUN", "ADMIN")}
    assert not [s for s in rights["PLAN"] if re.search(r"INSERT|UPDATE|DELETE|CREATE|OWNERSHIP|\bALL (PRIVILEGES )?ON", s)]
    assert not [s for s in rights["RUN"] if re.search("OWNERSHIP|CREATE SCHEMA|MANAGE", s)]
    for which in ("ALL", "FUTURE"):  # what the administrator made, a list of forgotten people first of all
        rows = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {which} TABLES"
        assert f'{rows} IN SCHEMA "SHOP"."REVETL_PROD" TO ROLE REVETL_RUN;' in statements
