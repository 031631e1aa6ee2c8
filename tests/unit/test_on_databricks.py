"""Databricks without an account: what the driver is called with, tokens over HTTP, errors, and what is refused."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import sqlalchemy as sa

from revetl.dialects import Kind
from revetl.errors import ConfigError, WarehouseError
from revetl.on_databricks import DATABRICKS, Machine, connect_arguments, hint, problem
from revetl.profiles import Secret
from revetl.warehouse import open_warehouse

BASE = {"host": "dbc-1.cloud.databricks.com", "http_path": "/sql/1.0/warehouses/a", "database": "main", "schema": "marts",
        "token": Secret("dapi")}  # fmt: skip


def test_the_driver_is_called_with_what_the_target_says() -> None:
    more = {"session_properties": {"statement_timeout": 60}, "query_tags": {"team": "growth"}, "connect_timeout": 9,
            "connect_retries": 1, "connection_parameters": {"use_cloud_fetch": False}}  # fmt: skip
    found = connect_arguments({**BASE, **more}, comment="revetl 0.1.0 run project=shop target=dev")
    assert (found["server_hostname"], found["http_path"]) == (BASE["host"], BASE["http_path"])
    assert (found["catalog"], found["schema"], found["access_token"]) == ("main", "marts", "dapi")
    assert found["session_configuration"] == {"timezone": "UTC", "ansi_mode": "true", "statement_timeout": "60"}
    assert found["query_tags"] == {"app": "revetl", "project": "shop", "target": "dev", "team": "growth"}
    assert (found["user_agent_entry"], found["enable_telemetry"], found["use_cloud_fetch"]) == ("revetl", False, False)
    assert (found["_socket_timeout"], found["_retry_stop_after_attempts_count"]) == (9, 2)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"token": None, "auth_type": "oauth"}, {"auth_type": "databricks-oauth"}),
        ({"token": None, "auth_type": "oauth", "client_id": "i"}, {"auth_type": "databricks-oauth", "oauth_client_id": "i"}),
        ({"token": None, "azure_client_id": "i", "azure_client_secret": Secret("s")},
         {"auth_type": "azure-sp-m2m", "azure_client_id": "i", "azure_client_secret": "s"}),
    ],
)  # fmt: skip
def test_ways_to_log_in(fields: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = connect_arguments({**BASE, **fields})
    assert {name: found[name] for name in wanted} == wanted
    assert "access_token" not in found


@pytest.mark.parametrize("how", ["env-oidc", "file-oidc"])
def test_a_token_of_another_service_is_refused(how: str) -> None:
    with pytest.raises(ConfigError, match="exchanges a token") as caught:
        connect_arguments({**BASE, "auth_type": how, "token": None, "client_id": "i"})
    assert caught.value.code == "RV500"


@pytest.fixture
def tokens() -> Iterator[tuple[str, list[tuple[str, dict[str, list[str]]]], list[tuple[int, dict[str, Any]]]]]:
    """A server that gives the answers of the last list, in order."""
    seen: list[tuple[str, dict[str, list[str]]]] = []
    answers: list[tuple[int, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append((str(self.headers["Authorization"]), parse_qs(body)))
            status, given = answers.pop(0)
            data = json.dumps(given).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", seen, answers
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_a_service_principal_gets_a_token_and_keeps_it_while_it_is_good(tokens: Any) -> None:
    host, seen, answers = tokens
    answers += [(200, {"access_token": "one", "expires_in": 3600}), (200, {"access_token": "two", "expires_in": 60})]
    given = connect_arguments({**BASE, "host": host, "token": None, "client_id": "i", "client_secret": Secret("s3cret")})
    headers = given["credentials_provider"]()
    assert headers() == headers() == {"Authorization": "Bearer one"}
    assert len(seen) == 1
    assert seen[0][1] == {"grant_type": ["client_credentials"], "scope": ["all-apis"]}
    assert seen[0][0].startswith("Basic ")
    other = Machine(f"http://{host}/oidc/v1/token", "i", "s3cret")
    assert other.headers() == {"Authorization": "Bearer two"}
    answers.append((401, {"error": "invalid_client"}))
    with pytest.raises(ConfigError, match=r"no access token \(HTTP 401\)") as caught:  # the second one ended early enough
        other.headers()
    assert (caught.value.code, "s3cret" in str(caught.value)) == ("RV501", False)


def test_it_is_only_read_and_the_hint_says_where_the_state_goes() -> None:
    with pytest.raises(ConfigError, match="nothing commits together") as caught:
        open_warehouse("databricks", BASE, root=Path())
    assert caught.value.code == "RV500"
    assert "state: {in:" in caught.value.hint


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "revetl.databricks_sql", raising=False)
    monkeypatch.delattr("revetl.databricks_sql", raising=False)
    monkeypatch.setitem(sys.modules, "databricks", None)
    with pytest.raises(ConfigError) as caught:
        open_warehouse("databricks", BASE, root=Path(), read_only=True)
    assert (caught.value.code, caught.value.hint) == ("RV424", "pip install 'revetl[databricks]'")


def test_an_unreachable_host_is_named() -> None:
    pytest.importorskip("databricks.sqlalchemy", reason="pip install 'revetl[databricks]'")
    fields = {**BASE, "host": "127.0.0.1", "connection_parameters": {"_port": 9, "_retry_stop_after_attempts_count": 1},
              "connect_timeout": 2}  # fmt: skip
    warehouse = open_warehouse("databricks", fields, root=Path(), read_only=True)
    with pytest.raises(WarehouseError) as caught:
        warehouse.fetch(sa.select(sa.literal(1)))
    assert "127.0.0.1" in caught.value.hint
    assert "dapi" not in f"{caught.value} {caught.value.hint}"


class Failure(Exception):  # noqa: N818 as it reads in a message
    """As the driver raises it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@pytest.mark.parametrize(
    ("message", "said", "hinted"),
    [
        ("[TABLE_OR_VIEW_NOT_FOUND] The table or view `raw`.`x` cannot be found. SQLSTATE: 42P01; line 3 pos 14",
         "Failure: [TABLE_OR_VIEW_NOT_FOUND] The table or view `raw`.`x`", "`catalog` of the target"),
        ("[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have SELECT on Table 'main.raw.people'.",
         "INSUFFICIENT_PERMISSIONS", "GRANT SELECT ON TABLE main.raw.people TO `job`"),
        ("[CAST_INVALID_INPUT] The value 'ann@example.com' of the type STRING cannot be cast to INT", "Failure", ""),
        ("[PARSE_SYNTAX_ERROR] Syntax error at or near 'FORM'. SQLSTATE: 42601 (line 3, pos 9) == SQL == "
         "SELECT * FORM people WHERE email = 'ann@example.com' ---------^^^", "at or near 'FORM'.", ""),
        ("[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `x` cannot be resolved. SQLSTATE: 42703; line 3 pos 7; "
         "'Project ['x] +- Filter (email = ann@example.com)", "`x` cannot be resolved.", ""),
        ("Error during request to server: HTTP 403: Invalid access token", "Failure (HTTP 403)", "check token"),
    ],
)  # fmt: skip
def test_errors_name_things_and_never_a_value(message: str, said: str, hinted: str) -> None:
    text, line = problem(Failure(message), "")
    assert said in text
    assert line == (3 if "line 3" in message else 0)
    assert "ann@" not in text
    assert hinted in hint(text, who="job", host="h")


@pytest.mark.parametrize(
    ("native", "kind", "scale"),
    [("decimal(18,2)", Kind.DECIMAL, 2), ("decimal(10,0)", Kind.DECIMAL, 0), ("timestamp", Kind.TIMESTAMP_TZ, None),
     ("timestamp_ntz", Kind.TIMESTAMP, None), ("array<string>", Kind.NESTED, None), ("struct<a:int>", Kind.NESTED, None),
     ("variant", Kind.NESTED, None), ("varchar(10)", Kind.TEXT, None), ("binary", Kind.OTHER, None), ("void", Kind.OTHER, None)],
)  # fmt: skip
def test_types(native: str, kind: Kind, scale: int | None) -> None:
    assert DATABRICKS.kind_of(native) == (kind, scale)
