"""dbt's six adapters field by field: the example profiles of dbt's own pages load, and what they lack is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl import artifacts
from revetl.adapters import ADAPTERS, Kind, taken
from revetl.errors import ConfigError
from revetl.profiles import Profile, Secret, is_secret, keys_of, load_profile, unwrapped
from tests.unit.project_files import said, write

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"DBT_ENV_SECRET_A": "hunter-2222", "DBT_ENV_SECRET_B": "swordfish-9", "REFRESH": "refresh-token-1"}
A, B = "\"{{ env_var('DBT_ENV_SECRET_A') }}\"", "\"{{ env_var('DBT_ENV_SECRET_B') }}\""
SNOW = {"account": "abc_123.eu-west-1", "database": "db", "warehouse": "wh", "schema": "s", "role": "r", "threads": "4"}
SNOW_MORE = {
    "client_session_keep_alive": "False", "query_tag": "anything", "connect_retries": "0", "connect_timeout": "10",
    "retry_on_database_errors": "False", "retry_all": "False", "reuse_connections": "True",
}  # fmt: skip
BIG = {"project": "abc-123", "dataset": "my_dataset", "threads": "4"}
RED = {"host": "h.eu-west-1.redshift.amazonaws.com", "dbname": "analytics", "schema": "analytics", "port": "5439"}
RED_MORE = {"sslmode": "prefer", "role": "None", "ra3_node": "true", "autocommit": "true", "connect_timeout": "None"}
BRICKS = {"catalog": "main", "schema": "s", "host": "org.databrickshost.com", "http_path": "/sql/your/path", "threads": "1"}
PG = {"host": "h", "user": "u", "port": "5432", "dbname": "d", "schema": "s"}
KEYFILE = (
    "{type: service_account, project_id: x, private_key_id: x, private_key: " + A + ", client_email: x, client_id: x, "
    "auth_uri: x, token_uri: x, auth_provider_x509_cert_url: x, client_x509_cert_url: x}"
)
OKTA = "{type: okta, request_url: 'https://x.okta.com/token', idp_auth_credentials: " + A + ", request_data: " + B + "}"

# the examples of docs.getdbt.com, "Connect data platform": one for each way to authenticate that they show, and those
# that the adapters know beside them
EXAMPLES: dict[str, tuple[str, dict[str, str]]] = {
    "snowflake, password": ("snowflake", {**SNOW, **SNOW_MORE, "user": "u", "password": A}),
    "snowflake, password and Duo": (
        "snowflake", {**SNOW, **SNOW_MORE, "user": "u", "password": A, "authenticator": "username_password_mfa"}),
    "snowflake, key file": (
        "snowflake", {**SNOW, "user": "u", "private_key_path": "path/to/private.key", "private_key_passphrase": A}),
    "snowflake, key": ("snowflake", {**SNOW, "user": "u", "private_key": A}),
    "snowflake, key named jwt": ("snowflake", {**SNOW, "user": "u", "private_key": A, "authenticator": "SNOWFLAKE_JWT"}),
    "snowflake, browser": ("snowflake", {**SNOW, "user": "u", "authenticator": "externalbrowser"}),
    "snowflake, Okta": ("snowflake", {**SNOW, "user": "u", "password": A, "authenticator": "'https://x.okta.com'"}),
    "snowflake, OAuth refresh token": (
        "snowflake", {**SNOW, "authenticator": "oauth", "oauth_client_id": "i", "oauth_client_secret": A, "token": B}),
    "snowflake, OAuth token": ("snowflake", {**SNOW, "authenticator": "oauth", "token": A}),
    "snowflake, OAuth code": (
        "snowflake",
        {**SNOW, "user": "u", "authenticator": "OAUTH_AUTHORIZATION_CODE", "oauth_client_id": "i", "oauth_client_secret": A}),
    "snowflake, jwt": ("snowflake", {**SNOW, "authenticator": "jwt", "token": A}),
    "snowflake, programmatic access token": (
        "snowflake", {**SNOW, "authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": A}),
    "snowflake, workload identity": (
        "snowflake", {**SNOW, "authenticator": "workload_identity", "workload_identity_provider": "aws"}),
    "bigquery, gcloud": ("bigquery", {**BIG, "method": "oauth"}),
    "bigquery, default project": ("bigquery", {"method": "oauth", "schema": "my_dataset"}),
    "bigquery, refresh token": (
        "bigquery",
        {**BIG, "method": "oauth-secrets", "refresh_token": A, "client_id": "i", "client_secret": B, "token_uri": "https://x"}),
    "bigquery, temporary token": ("bigquery", {**BIG, "method": "oauth-secrets", "token": A}),
    "bigquery, key file": ("bigquery", {**BIG, "method": "service-account", "keyfile": "/path/to/keyfile.json"}),
    "bigquery, key file inline": ("bigquery", {**BIG, "method": "service-account-json", "keyfile_json": KEYFILE}),
    "bigquery, key file as text": ("bigquery", {**BIG, "method": "service-account-json", "keyfile_json": A}),
    "bigquery, workload identity": (
        "bigquery", {**BIG, "method": "external-oauth-wif", "workload_pool_provider_path": "//iam/x", "token_endpoint": OKTA}),
    "bigquery, impersonation": (
        "bigquery", {**BIG, "method": "oauth", "impersonate_service_account": "dbt-runner@p.iam.gserviceaccount.com"}),
    "bigquery, everything optional": (
        "bigquery",
        {**BIG, "method": "oauth", "priority": "interactive", "job_creation_timeout_seconds": "30",
         "job_execution_timeout_seconds": "600", "job_retries": "5", "job_retry_deadline_seconds": "1200", "location": "US",
         "maximum_bytes_billed": "1000000000", "scopes": "['https://www.googleapis.com/auth/bigquery']",
         "execution_project": "buck-stops-here-456", "quota_project": "q", "gcs_bucket": "dbt-python",
         "dataproc_region": "us-central1", "submission_method": "serverless", "dataproc_batch": "{labels: {role: dev}}"}),
    "bigquery, old names": ("bigquery", {**BIG, "method": "oauth", "timeout_seconds": "300", "retries": "0"}),
    "redshift, password": ("redshift", {**RED, **RED_MORE, "user": "u", "password": A}),
    "redshift, pass and database": (
        "redshift", {"host": "h", "database": "d", "schema": "s", "user": "u", "pass": A, "method": "database"}),
    "redshift, IAM": (
        "redshift",
        {**RED, **RED_MORE, "method": "iam", "cluster_id": "c", "user": "alice", "iam_profile": "analyst", "region": "us-east-1",
         "autocreate": "true", "db_groups": "['ANALYSTS']", "retries": "1"}),
    "redshift, IAM with keys": (
        "redshift",
        {**RED, "method": "iam", "cluster_id": "c", "user": "alice", "access_key_id": "AKIA", "secret_access_key": A}),
    "redshift, serverless": (
        "redshift",
        {**RED, "host": "wg.123.us-east-1.redshift-serverless.amazonaws.com", "method": "iam_role", "region": "us-east-1"}),
    "redshift, serverless behind a name": ("redshift", {**RED, "method": "iam_role", "is_serverless": "true"}),
    "redshift, browser": (
        "redshift", {**RED, "method": "browser_identity_center", "idc_region": "us-east-1", "issuer_url": "https://x"}),
    "redshift, identity centre": ("redshift", {**RED, "method": "oauth_token_identity_center", "token_endpoint": OKTA}),
    "databricks, token": ("databricks", {**BRICKS, "token": A}),
    "databricks, OAuth of a service": ("databricks", {**BRICKS, "auth_type": "oauth", "client_id": "i", "client_secret": A}),
    "databricks, OAuth in a browser": ("databricks", {**BRICKS, "auth_type": "oauth"}),
    "databricks, Azure": (
        "databricks", {**BRICKS, "auth_type": "oauth", "azure_client_id": "i", "azure_client_secret": A}),
    "databricks, OIDC from a file": (
        "databricks", {**BRICKS, "auth_type": "file-oidc", "client_id": "i", "oidc_token_filepath": "/run/token"}),
    "databricks, everything optional": (
        "databricks",
        {**BRICKS, "token": A, "connect_retries": "3", "connect_timeout": "1000", "session_properties": "{ansi_mode: true}",
         "connection_parameters": "{_socket_timeout: 60}", "compute": "{big: {http_path: /x}}", "retry_all": "true"}),
    "postgres": (
        "postgres",
        {**PG, "password": A, "threads": "4", "keepalives_idle": "0", "connect_timeout": "10", "retries": "1",
         "search_path": "public", "role": "r", "sslmode": "require", "sslcert": "c", "sslkey": "k", "sslrootcert": "rc"}),
    "duckdb": ("duckdb", {"path": "'file_path/database_name.duckdb'", "schema": "main", "threads": "4"}),
    "duckdb, extensions": (
        "duckdb",
        {"path": "x.duckdb", "extensions": "[httpfs, parquet]",
         "settings": "{s3_region: r, s3_access_key_id: AKIA, s3_secret_access_key: " + A + "}",
         "config_options": "{allow_unsigned_extensions: false}", "retries": "{connect_attempts: 2}", "keep_open": "true",
         "external_root": "out", "disable_transactions": "false", "module_paths": "[x]"}),
}  # fmt: skip


def profile(kind: str, fields: dict[str, str]) -> str:
    lines = "".join(f"      {key}: {value}\n" for key, value in {"type": kind, **fields}.items())
    return f"shop:\n  target: dev\n  outputs:\n    dev:\n{lines}  destinations:\n    dev: {{type: sandbox}}\n"


def loaded(folder: Path, kind: str, fields: dict[str, str]) -> tuple[Profile | None, list[ConfigError]]:
    path = write(folder, {"profiles.yml": profile(kind, fields)}) / "profiles.yml"
    problems: list[ConfigError] = []
    return load_profile(path, "shop", None, SECRETS, problems), problems


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_dbts_pages_load(tmp_path: Path, name: str) -> None:
    kind, fields = EXAMPLES[name]
    found, problems = loaded(tmp_path, kind, fields)
    assert said(problems) == []
    assert found is not None
    assert [w for w in found.warnings if "is experimental: never tried" not in w] == []
    assert len(found.warnings) == ADAPTERS[kind].experimental
    assert found.target.type == kind
    target = found.target
    assert set(target.fields) <= set(ADAPTERS[kind].fields)
    assert not any(value in f"{found!r} {dict(target.fields)}" for value in SECRETS.values())
    used = {value for key, value in SECRETS.items() if any(key in text for text in fields.values())}
    assert keys_of(target, None) == used  # no model reads them, wherever in the fields they are
    assert all(artifacts.scrub(f"error: {value}!", tuple(used)) == "error: *****!" for value in used)


def test_every_way_to_authenticate_has_an_example() -> None:
    shown = {(kind, str(fields.get(ADAPTERS[kind].chooser, "")).strip("'").lower()) for kind, fields in EXAMPLES.values()}
    shown |= {(kind, "https://<account>.okta.com") for kind, way in shown if way.startswith("https://")}
    known = {(kind, way) for kind, adapter in ADAPTERS.items() for way in adapter.ways}
    assert known - shown == {("snowflake", "snowflake"), ("databricks", "token"), ("databricks", "env-oidc")}


def test_values_have_their_types(tmp_path: Path) -> None:
    fields = {**EXAMPLES["bigquery, old names"][1], "job_creation_timeout_seconds": "\"{{ env_var('N', '30') }}\""}
    found, problems = loaded(tmp_path, "bigquery", fields)
    assert said(problems) == []
    assert found is not None
    assert dict(found.target.fields) == {
        "type": "bigquery", "database": "abc-123", "schema": "my_dataset", "threads": 4, "method": "oauth",
        "job_execution_timeout_seconds": 300, "job_retries": 0, "job_creation_timeout_seconds": 30,
    }  # fmt: skip
    assert (found.target.database, found.target.schema) == ("abc-123", "my_dataset")
    shown = found.target.shown()
    assert (shown["project"], shown["dataset"]) == ("abc-123", "my_dataset")
    redshift, _ = loaded(tmp_path, "redshift", EXAMPLES["redshift, password"][1])
    assert redshift is not None
    assert "role" not in redshift.target.fields  # dbt's pages write `role: None`
    assert redshift.target.fields["ra3_node"] is True
    snowflake, _ = loaded(tmp_path, "snowflake", EXAMPLES["snowflake, password"][1])
    assert snowflake is not None
    assert snowflake.target.fields["account"] == "abc-123.eu-west-1"


def test_secrets_inside_mappings_are_secrets(tmp_path: Path) -> None:
    found, _ = loaded(tmp_path, "bigquery", EXAMPLES["bigquery, key file inline"][1])
    assert found is not None
    keyfile = found.target.fields["keyfile_json"]
    assert isinstance(keyfile["private_key"], Secret)
    assert unwrapped(keyfile)["private_key"] == "hunter-2222"
    assert unwrapped([{"a": Secret("x")}]) == [{"a": "x"}]
    for kind, fields in (
        ("bigquery", {**BIG, "method": "service-account-json", "keyfile_json": "{private_key: written-here}"}),
        ("duckdb", {"settings": "{s3_secret_access_key: written-here}"}),
        ("redshift", {**RED, "method": "oauth_token_identity_center", "token_endpoint": "{request_data: written-here}"}),
    ):
        found, problems = loaded(tmp_path, kind, fields)
        assert found is None
        assert [problem.code for problem in problems] == ["RV026"]
        assert "written-here" not in "".join(str(p) + p.hint for p in problems)


def without(name: str, *gone: str, **more: str) -> tuple[str, dict[str, str]]:
    """An example without some of its fields, or with others."""
    kind, fields = EXAMPLES[name]
    return kind, {**{key: value for key, value in fields.items() if key not in gone}, **more}


@pytest.mark.parametrize(
    ("example", "code", "wanted"),
    [
        (without("snowflake, password", "account"), "RV024", "target 'dev' (snowflake) needs 'account'"),
        (without("snowflake, password", "user"), "RV421", "snowflake without 'authenticator' needs 'user'"),
        (without("snowflake, password", "password"), "RV421",
         "snowflake without 'authenticator' needs 'password', or 'private_key', or 'private_key_path'"),
        (without("snowflake, password and Duo", "password"), "RV421",
         "authenticator 'username_password_mfa' needs 'password'"),
        (without("snowflake, Okta", "password"), "RV421", "authenticator 'https://x.okta.com' needs 'password'"),
        (without("snowflake, OAuth token", "token"), "RV421", "authenticator 'oauth' needs 'token'"),
        (without("snowflake, OAuth refresh token", "oauth_client_secret"), "RV421",
         "'oauth_client_id' needs 'oauth_client_secret' beside it"),
        (without("snowflake, workload identity", "workload_identity_provider"), "RV421",
         "authenticator 'workload_identity' needs 'workload_identity_provider'"),
        (without("snowflake, browser", authenticator="externalbrowsr"), "RV420",
         "'externalbrowsr' is no 'authenticator' of snowflake; did you mean 'externalbrowser'?"),
        (without("snowflake, key file", private_key=A), "RV422",
         "'private_key' and 'private_key_path' are given; only one of them can count"),
        (without("bigquery, gcloud", "method"), "RV024", "target 'dev' (bigquery) needs 'method'"),
        (without("bigquery, gcloud", "dataset"), "RV024", "target 'dev' (bigquery) needs 'schema'"),
        (without("bigquery, gcloud", method="service_account"), "RV420",
         "'service_account' is no 'method' of bigquery; did you mean 'service-account'?"),
        (without("bigquery, key file", "keyfile"), "RV421", "method 'service-account' needs 'keyfile'"),
        (without("bigquery, key file inline", "keyfile_json"), "RV421", "method 'service-account-json' needs 'keyfile_json'"),
        (without("bigquery, refresh token", "client_id", "token_uri"), "RV421",
         "method 'oauth-secrets' needs 'client_id' and 'token_uri' beside 'refresh_token' and 'client_secret'"),
        (without("bigquery, temporary token", "token"), "RV421",
         "method 'oauth-secrets' needs 'token', or 'refresh_token' and 'client_id' and 'client_secret' and 'token_uri'"),
        (without("redshift, password", "password"), "RV421", "redshift without 'method' needs 'password'"),
        (without("redshift, IAM", "user"), "RV421", "method 'iam' needs 'user'"),
        (without("redshift, IAM", "cluster_id"), "RV421", "method 'iam' needs 'cluster_id', or a serverless host"),
        (without("redshift, IAM with keys", "secret_access_key"), "RV421",
         "'access_key_id' needs 'secret_access_key' beside it"),
        (without("redshift, browser", "idc_region"), "RV421", "method 'browser_identity_center' needs 'idc_region'"),
        (without("databricks, token", "token"), "RV421",
         "databricks without 'auth_type' needs 'token', or 'client_id' and 'client_secret', or 'azure_client_id' and "
         "'azure_client_secret'"),
        (without("databricks, token", "http_path"), "RV024", "target 'dev' (databricks) needs 'http_path'"),
        (without("databricks, OAuth of a service", "client_id"), "RV421", "'client_secret' needs 'client_id' beside it"),
        (without("databricks, OIDC from a file", "oidc_token_filepath"), "RV421",
         "auth_type 'file-oidc' needs 'oidc_token_filepath'"),
        (without("duckdb", attach="[{path: x.db}]"), "RV423",
         "'attach' is dbt's, and revetl does not do it: other databases are not attached"),
        (without("duckdb", settings="[a]"), "RV011", "'settings' must be a mapping"),
        (without("snowflake, password", retry_all="maybe"), "RV011", "'retry_all' must be true or false"),
        (without("postgres", retries="-1"), "RV011", "'retries' must be a whole number, 0 or above"),
        (without("bigquery, gcloud", scopes="x"), "RV011", "'scopes' must be a list"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(
    tmp_path: Path, example: tuple[str, dict[str, str]], code: str, wanted: str
) -> None:
    found, problems = loaded(tmp_path, *example)
    assert found is None
    assert [(problem.code, wanted in problem.message) for problem in problems] == [(code, True)], said(problems)
    assert not any(value in f"{problem} {problem.hint}" for problem in problems for value in SECRETS.values())


@pytest.mark.parametrize("kind", ADAPTERS)
def test_unknown_fields_get_the_nearest_name(tmp_path: Path, kind: str) -> None:
    """dbt's adapters gain fields with every release, so an unknown one is told and stops nothing."""
    name = next(name for name, (of, _) in EXAMPLES.items() if of == kind)
    found, problems = loaded(tmp_path, *without(name, thread="4"))
    assert said(problems) == []
    assert found is not None
    warning = found.warnings[0]
    assert warning.endswith(f"'thread' is not a field of {kind}; did you mean 'threads'?")


def test_a_missing_variable_is_one_problem_only(tmp_path: Path) -> None:
    found, problems = loaded(tmp_path, *without("snowflake, password", password="\"{{ env_var('NOT_SET') }}\""))
    assert found is None
    assert [problem.code for problem in problems] == ["RV027"]


@given(kind=st.sampled_from(list(Kind)), value=st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text()),
))  # fmt: skip
def test_a_value_is_taken_or_named_and_never_both(kind: Kind, value: Any) -> None:
    made, problem = taken(kind, value)
    assert not (made is not None and problem)
    if made is not None and kind in {Kind.COUNT, Kind.WHOLE}:
        assert type(made) is int
        assert made >= (1 if kind is Kind.COUNT else 0)
    if made is not None and kind is Kind.FLAG:
        assert isinstance(made, bool)


def test_the_page_names_every_field_and_no_other() -> None:
    """docs/profiles.md has a table for each adapter; `=` marks another name."""
    page = (ROOT / "docs" / "profiles.md").read_text()
    for kind, adapter in ADAPTERS.items():
        table = re.search(rf"^### `{kind}`\n\n(.*?)\n\n", page, re.MULTILINE | re.DOTALL)
        assert table, kind
        rows = [line.split("|")[1] for line in table[1].splitlines()]
        named = {word for row in rows for word in re.findall(r"`([^`]+)`", row)}
        assert named == {*adapter.fields, *adapter.aliases} - {"type"}, kind


def test_secret_fields_are_known_by_name() -> None:
    fields = {name for adapter in ADAPTERS.values() for name in adapter.fields}
    assert {name for name in fields if is_secret(name)} == {
        "password", "private_key", "private_key_passphrase", "token", "oauth_client_secret", "client_secret", "refresh_token",
        "azure_client_secret", "secret_access_key", "keyfile_json", "motherduck_token",
    }  # fmt: skip
