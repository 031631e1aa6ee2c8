"""BigQuery without an account: what the client is called with, and what it says to a server of a few routes.

The server answers as Google's REST reference says (bigquery/docs/reference/rest); it keeps no data.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from revetl.errors import ConfigError, WarehouseError
from revetl.profiles import Secret
from revetl.warehouse import Warehouse, open_warehouse

pytest.importorskip("sqlalchemy_bigquery", reason="pip install 'revetl[bigquery]'")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from revetl.on_bigquery import client, credentials, hint, labels, problem

BASE = {"method": "oauth-secrets", "token": Secret("t0ken"), "database": "shop-1", "schema": "marts", "location": "EU"}


class Google(BaseHTTPRequestHandler):
    """The few routes of BigQuery's REST API that a query needs."""

    jobs: dict[str, dict[str, Any]]
    seen: list[tuple[str, dict[str, Any]]]
    fails: dict[str, tuple[int, str, str]]

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _error(self, status: int, reason: str, message: str) -> None:
        one = {"message": message, "reason": reason, "domain": "global"}
        self._answer(status, {"error": {"code": status, "message": message, "errors": [one]}})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/datasets/marts"):
            if failure := self.fails.get("dataset"):
                self._error(*failure)
                return
            reference = {"projectId": "shop-1", "datasetId": "marts"}
            self._answer(200, {"id": "shop-1:marts", "datasetReference": reference, "location": "europe-west1"})
            return
        job = self.jobs[path.rsplit("/", 1)[1]]
        if "/queries/" in path:
            schema = {"fields": [{"name": "a", "type": "INTEGER", "mode": "NULLABLE"}]}
            self._answer(200, {"jobComplete": True, "jobReference": job["jobReference"], "schema": schema, "totalRows": "1",
                               "rows": [{"f": [{"v": "7"}]}], "numDmlAffectedRows": "1"})  # fmt: skip
            return
        self._answer(200, job)

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        query = sent["configuration"]["query"]["query"]
        self.seen.append((query, sent))
        for part, failure in self.fails.items():
            if part in query:
                self._error(*failure)
                return
        session = sent["configuration"]["query"]
        statistics: dict[str, Any] = {"query": {"schema": {"fields": [{"name": "tags", "type": "STRING", "mode": "REPEATED"}]}}}
        if session.get("createSession"):
            statistics["sessionInfo"] = {"sessionId": "the-session"}
        job = {**sent, "id": "x", "status": {"state": "DONE"}, "statistics": statistics}
        job["configuration"]["query"]["destinationTable"] = {"projectId": "shop-1", "datasetId": "_a", "tableId": "b"}
        self.jobs[sent["jobReference"]["jobId"]] = job
        self._answer(200, job)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def google() -> Iterator[tuple[str, type[Google]]]:
    """The address of the server, and what it saw."""
    handler = type("Handler", (Google,), {"jobs": {}, "seen": [], "fails": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture
def opened(google: tuple[str, type[Google]]) -> Iterator[Warehouse]:
    """A warehouse on it."""
    comment = "revetl 0.1.0 run project=Shop target=dev"
    warehouse = open_warehouse("bigquery", {**BASE, "api_endpoint": google[0]}, root=Path(), comment=comment)
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="module")
def key() -> dict[str, str]:
    """A key of a service account, as Google gives it."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"type": "service_account", "project_id": "of-the-key", "private_key_id": "1", "private_key": made.decode(),
            "client_email": "job@of-the-key.iam.gserviceaccount.com", "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token"}  # fmt: skip


# --- who asks ------------------------------------------------------------------------------------------------------


def test_a_token_and_a_refresh_token() -> None:
    found, project = credentials(BASE, Path())
    assert (found.token, found.refresh_token, project) == ("t0ken", None, "shop-1")
    more = {"refresh_token": Secret("r"), "client_id": "i", "client_secret": Secret("s"), "token_uri": "https://oauth2.googleapis.com/token"}
    found, _ = credentials({"method": "oauth-secrets", "database": "p", "schema": "s", **more}, Path())
    assert (found.token, found.refresh_token, found.client_id, found.client_secret) == (None, "r", "i", "s")


def test_a_key_in_a_file_beside_the_project_and_inline(tmp_path: Path, key: dict[str, str]) -> None:
    (tmp_path / "key.json").write_text(json.dumps(key))
    inline = {**key, "private_key": Secret(key["private_key"].replace("\n", "\\n"))}
    for fields in (
        {"method": "service-account", "keyfile": "key.json"},
        {"method": "service-account-json", "keyfile_json": inline},
        {"method": "service-account-json", "keyfile_json": Secret(json.dumps(key))},
        {"method": "service-account-json", "keyfile_json": Secret(b64encode(json.dumps(key).encode()).decode())},
    ):
        found, project = credentials({**fields, "schema": "s"}, tmp_path)
        assert (found.service_account_email, project) == (key["client_email"], "of-the-key")
        assert "https://www.googleapis.com/auth/bigquery" in found.scopes


def test_impersonation_and_the_project_whose_quota_counts(key: dict[str, str]) -> None:
    more = {"impersonate_service_account": "r@p.iam.gserviceaccount.com", "quota_project": "q", "scopes": ["https://x/only"]}
    found, _ = credentials({"method": "service-account-json", "keyfile_json": key, "schema": "s", **more}, Path())
    assert (found.service_account_email, found.quota_project_id) == ("r@p.iam.gserviceaccount.com", "q")
    assert found._target_scopes == ["https://x/only"]


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"method": "service-account", "keyfile": "nowhere.json"}, "RV501", "the key in nowhere.json cannot be read"),
        ({"method": "service-account", "keyfile": "bad.json"}, "RV501", "bad.json is no key of a service account"),
        ({"method": "service-account-json", "keyfile_json": Secret("not:base64:s3cret")}, "RV501", "`keyfile_json`"),
        ({"method": "service-account-json", "keyfile_json": {"private_key": Secret("s3cret")}}, "RV501", "`keyfile_json`"),
        ({"method": "external-oauth-wif"}, "RV500", "asks another service for a token"),
    ],
)  # fmt: skip
def test_a_key_that_is_none_is_told_without_a_part_of_it(tmp_path: Path, fields: dict[str, Any], code: str, said: str) -> None:
    (tmp_path / "bad.json").write_text("s3cret")
    with pytest.raises(ConfigError, match=said) as caught:
        credentials({**fields, "schema": "s"}, tmp_path)
    assert caught.value.code == code
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_without_a_login_the_command_that_makes_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(ConfigError, match="found no login") as caught:
        credentials({"method": "oauth", "schema": "s"}, Path())
    assert "gcloud auth application-default login" in caught.value.hint


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "revetl.bigquery_sql", raising=False)
    monkeypatch.delattr("revetl.bigquery_sql", raising=False)
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)
    with pytest.raises(ConfigError) as caught:
        open_warehouse("bigquery", BASE, root=Path())
    assert (caught.value.code, caught.value.hint) == ("RV424", "pip install 'revetl[bigquery]'")


# --- how jobs run ----------------------------------------------------------------------------------------------------


def test_jobs_carry_what_the_target_says() -> None:
    more = {"execution_project": "payer", "priority": "batch", "maximum_bytes_billed": 10, "job_execution_timeout_seconds": 300,
            "reservation": "projects/a/locations/eu/reservations/r"}  # fmt: skip
    found, project = credentials(BASE, Path())
    made = client({**BASE, **more}, found, project, comment="revetl 0.1.0 run project=Shop target=dev")
    config = made.default_query_job_config
    assert (made.project, made.location) == ("payer", "EU")
    assert (config.priority, config.maximum_bytes_billed, config.job_timeout_ms) == ("BATCH", 10, "300000")
    assert str(config.default_dataset) == "shop-1.marts"
    assert config.reservation == more["reservation"]
    assert config.labels == {"app": "revetl", "revetl_command": "run", "revetl_project": "shop", "revetl_target": "dev"}


def test_labels_are_such_as_google_takes() -> None:
    assert labels("revetl 0.1.0 run project=Käse-Shop.1 target=" + "x" * 99)["revetl_project"] == "k_se-shop_1"
    assert len(labels("target=" + "x" * 99)["revetl_target"]) == 63


def test_a_location_that_is_not_given_is_that_of_the_dataset(google: tuple[str, type[Google]]) -> None:
    found, project = credentials(BASE, Path())
    fields = {name: value for name, value in BASE.items() if name != "location"} | {"api_endpoint": google[0]}
    assert client(fields, found, project).location == "europe-west1"
    google[1].fails["dataset"] = (404, "notFound", "Not found: Dataset shop-1:marts")
    assert client(fields, found, project).location is None


def test_a_statement_is_a_job_with_labels_and_location(opened: Warehouse, google: tuple[str, type[Google]]) -> None:
    assert opened.fetch(sa.select(sa.literal("100%").label("a"))) == [(7,)]
    query, sent = google[1].seen[0]
    assert query.startswith("SELECT '100%' AS `a`")
    assert sent["configuration"]["labels"]["revetl_project"] == "shop"
    assert sent["jobReference"]["location"] == "EU"
    assert "connectionProperties" not in sent["configuration"]["query"]


def test_a_transaction_is_one_session_and_nothing_else_is(opened: Warehouse, google: tuple[str, type[Google]]) -> None:
    table = sa.table("t", sa.column("a", sa.BigInteger), schema="state")
    for _ in range(2):
        with opened.transaction():
            assert opened.execute(sa.update(table).values(a=1)) == 1
    opened.fetch(sa.select(sa.literal(1)))
    opened.close()
    told = [(query.split(" /*")[0], sent["configuration"]["query"]) for query, sent in google[1].seen]
    assert [query.split("\n")[0] for query, _ in told] == [
        "BEGIN TRANSACTION", "UPDATE `shop-1`.`state`.`t` SET `a`=1 WHERE true", "COMMIT TRANSACTION",
        "BEGIN TRANSACTION", "UPDATE `shop-1`.`state`.`t` SET `a`=1 WHERE true", "COMMIT TRANSACTION",
        "SELECT 1 AS `anon_1`", "CALL BQ.ABORT_SESSION()",
    ]  # fmt: skip
    in_session = [query.get("connectionProperties") == [{"key": "session_id", "value": "the-session"}] for _, query in told]
    assert told[0][1]["createSession"] is True
    assert in_session == [False, True, True, True, True, True, False, True]


def test_a_failed_statement_is_not_run_again_by_the_client(opened: Warehouse, google: tuple[str, type[Google]]) -> None:
    """The transaction is gone by then: a second try would be committed alone, without the guard before it."""
    google[1].fails["UPDATE"] = (400, "jobInternalError", "An internal error occurred and the request could not be completed")
    with pytest.raises(WarehouseError), opened.transaction():
        opened.execute(sa.update(sa.table("t", sa.column("a", sa.BigInteger))).values(a=1))
    assert [query.split()[0] for query, _ in google[1].seen] == ["BEGIN", "UPDATE", "ROLLBACK"]


def test_the_columns_of_a_model_are_asked_for_nothing_and_a_list_is_no_text(
    opened: Warehouse, google: tuple[str, type[Google]]
) -> None:
    found = opened.columns("SELECT tags FROM raw.people")
    assert [(column.name, column.native) for column in found] == [("tags", "ARRAY<STRING>")]
    assert google[1].seen[0][1]["configuration"]["dryRun"] is True


def test_several_rows_are_one_job(opened: Warehouse, google: tuple[str, type[Google]]) -> None:
    table = sa.table("t", sa.column("a", sa.BigInteger), sa.column("b", sa.Text))
    opened.execute_many(sa.insert(table), [{"a": 1, "b": "x%"}, {"a": 2, "b": None}])
    query, sent = google[1].seen[0]
    assert query.startswith("INSERT INTO `t` (`a`, `b`) VALUES (@`a__0`, @`b__0`), (@`a__1`, @`b__1`)")
    given = {p["name"]: p["parameterValue"]["value"] for p in sent["configuration"]["query"]["queryParameters"]}
    assert given == {"a__0": "1", "b__0": "x%", "a__1": "2", "b__1": None}


def test_what_only_reads_sends_nothing_else(google: tuple[str, type[Google]]) -> None:
    warehouse = open_warehouse("bigquery", {**BASE, "api_endpoint": google[0]}, root=Path(), read_only=True)
    with pytest.raises(WarehouseError, match="would have run DROP") as caught:
        warehouse.execute(sa.text("DROP TABLE t"))
    assert (caught.value.code, google[1].seen) == ("RV405", [])
    warehouse.close()


# --- what went wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "message", "said", "hinted"),
    [
        (403, "accessDenied", "Access Denied: Table shop-1:marts.people: User does not have permission to query table "
         "shop-1:marts.people, or perhaps it does not exist.", "Forbidden (accessDenied): Access Denied: Table shop-1:marts.pe",
         'GRANT `roles/bigquery.dataViewer` ON TABLE `shop-1.marts.people` TO "user:<you>"'),
        (403, "accessDenied", "Access Denied: Dataset shop-1:revetl_dev: Permission bigquery.tables.create denied on dataset "
         "shop-1:revetl_dev (or it may not exist).", "Access Denied: Dataset",
         "GRANT `roles/bigquery.dataEditor` ON SCHEMA `shop-1.revetl_dev`"),
        (403, "accessDenied", "Access Denied: Project shop-1: User does not have bigquery.jobs.create permission.",
         "jobs.create", "gcloud projects add-iam-policy-binding shop-1 --member=user:<you> --role=roles/bigquery.jobUser"),
        (403, "accessDenied", "Access Denied: Project shop-1: User does not have bigquery.datasets.create permission.",
         "datasets.create", "--role=roles/bigquery.user"),
        (404, "notFound", "Not found: Dataset shop-1:marts was not found in location US", "Not found: Dataset shop-1:marts",
         "a dataset is only found in its own"),
        (400, "invalidQuery", "Unrecognized name: emial at [3:8]", "Unrecognized name: emial", ""),
        (400, "invalidQuery", "Bad int64 value: ann@example.com", "BadRequest (invalidQuery)", ""),
        (400, "invalidQuery", "Query error: Could not cast literal 'ann@example.com'", "BadRequest (invalidQuery)", ""),
        (400, "invalid", "Transaction is aborted due to concurrent update against table shop-1:st.ctl__x.",
         "concurrent update", "revetl run"),
        (400, "bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: 10.", "bytes billed",
         "raise `maximum_bytes_billed`"),
        (401, "authError", "Invalid credentials", "RefreshError", "gcloud auth application-default login"),
    ],
)  # fmt: skip
def test_errors_name_what_to_do_and_never_a_value(
    google: tuple[str, type[Google]], opened: Warehouse, status: int, reason: str, message: str, said: str, hinted: str
) -> None:
    google[1].fails["SELECT"] = (status, reason, message)
    with pytest.raises(WarehouseError) as caught:
        opened.fetch(sa.select(sa.literal(1)))
    assert said in caught.value.message
    assert hinted.lower() in caught.value.hint.lower()
    assert "ann@" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.line == (3 if "[3:8]" in message else 0)


def test_a_host_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    fields = {**BASE, "api_endpoint": address, "job_retry_deadline_seconds": 1}
    warehouse = open_warehouse("bigquery", fields, root=Path())
    with pytest.raises(WarehouseError) as caught:
        warehouse.fetch(sa.select(sa.literal(1)))
    assert address in caught.value.hint
    warehouse.close()


def test_what_holds_a_table_is_named_with_the_statements_that_end_it() -> None:
    said = hint("BadRequest (stopped): Job timed out after 600000ms", who="user:x", host="h", region="region-eu")
    assert "`region-eu`.INFORMATION_SCHEMA.SESSIONS_BY_USER" in said
    assert "CALL BQ.ABORT_SESSION" in said


def test_an_error_that_is_none_of_googles_has_its_name_only() -> None:
    assert problem(RuntimeError("ann@example.com"), "") == ("RuntimeError", 0)
