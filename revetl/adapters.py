"""The fields of dbt's six adapters: their types, other names, and what each way to authenticate needs.

The tables follow the classes of dbt's own adapters, field by field, so that one profiles.yml serves both tools:
`BigQueryCredentials` (dbt-bigquery, credentials.py), `RedshiftCredentials`, `SnowflakeCredentials` and
`PostgresCredentials` (dbt-redshift, dbt-snowflake, dbt-postgres, connections.py; all in dbt-labs/dbt-adapters),
`DatabricksCredentials` (databricks/dbt-databricks, credentials.py) and `DuckDBCredentials` (duckdb/dbt-duckdb,
credentials.py). Some fields matter to dbt alone (how often it tries again, Python models): they are read and left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from revetl.nearest import near

NOTHING = frozenset({"", "none", "null"})  # dbt's pages write `connect_timeout: None`
DIGITS = re.compile(r"[0-9]{1,18}")


class Kind(StrEnum):
    """What a field takes."""

    TEXT = "text"
    COUNT = "whole number above 0"
    WHOLE = "whole number"
    FLAG = "true or false"
    LIST = "list"
    MAPPING = "mapping"
    DOCUMENT = "mapping or text"


_TAKEN: Mapping[Kind, tuple[tuple[type, ...], str]] = MappingProxyType({
    Kind.TEXT: ((str, int, float), "a text"), Kind.LIST: ((list,), "a list"), Kind.MAPPING: ((dict,), "a mapping"),
    Kind.DOCUMENT: ((str, dict), "a mapping or a text"),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to authenticate.

    Attributes:
        needs: fields that must be given.
        one_of: sets of fields of which one must be given whole.
    """

    needs: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One of dbt's adapters.

    Attributes:
        fields: by dbt's main names; those that only revetl knows are in `own`.
        aliases: other names that dbt takes, to the main ones.
        required: whatever the way to authenticate.
        chooser: the field that names the way to authenticate.
        ways: by the chooser's value in small letters; the one named '' counts where the chooser is not given.
        together: fields that need others beside them.
        apart: pairs of fields of which only one may be given.
        experimental: the engine runs, and has never been tried on a live account.
        refused: fields that change what models see, and that revetl does not do: why.
    """

    fields: Mapping[str, Kind]
    own: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    chooser: str = ""
    ways: Mapping[str, Way] = field(default_factory=dict)
    together: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    apart: tuple[tuple[str, str], ...] = ()
    experimental: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the fields of a target, and with which."""

    field: str
    message: str
    hint: str
    code: str


def _fields(**names: str) -> Mapping[str, Kind]:
    """`text="host user"` as {"host": Kind.TEXT, "user": Kind.TEXT}; every output has a type, a schema and threads."""
    names = {**names, "text": f"type schema {names.get('text', '')}", "count": f"threads {names.get('count', '')}"}
    return MappingProxyType({name: Kind[kind.upper()] for kind, words in names.items() for name in words.split()})


POSTGRES = Adapter(
    fields=_fields(
        text="host user password dbname role search_path sslmode sslcert sslkey sslrootcert application_name",
        count="port connect_timeout statement_timeout", whole="keepalives_idle retries",
    ),
    own=frozenset({"statement_timeout"}),
    aliases={"pass": "password", "database": "dbname"},
    required=("host", "user", "dbname", "schema"),
)  # fmt: skip

DUCKDB = Adapter(
    fields=_fields(
        text="path database motherduck_token external_root use_credential_provider",
        flag="disable_transactions keep_open",
        list="extensions external_files attach secrets filesystems plugins module_paths",
        mapping="settings config_options remote retries",
    ),
    own=frozenset({"external_files", "motherduck_token"}),
    refused={
        "attach": "other databases are not attached",
        "secrets": "DuckDB's secrets are not created; `settings` takes the keys of a store, e.g. s3_secret_access_key",
        "filesystems": "fsspec's file systems are not loaded",
        "plugins": "dbt-duckdb's plugins run inside dbt",
        "remote": "a remote DuckDB is reached by dbt-duckdb alone",
        "use_credential_provider": "the provider chain of a cloud is not asked",
    },
)  # fmt: skip

_PASSWORD = Way(needs=("user", "password"))
SNOWFLAKE = Adapter(
    fields=_fields(
        text="account user password database warehouse role authenticator private_key private_key_path "
        "private_key_passphrase token oauth_client_id oauth_client_secret oauth_authorization_url "
        "oauth_token_request_url oauth_redirect_uri oauth_scope workload_identity_provider "
        "workload_identity_entra_resource query_tag host proxy_host protocol s3_stage_vpce_dns_name",
        count="port proxy_port connect_timeout statement_timeout network_timeout", whole="connect_retries",
        flag="client_session_keep_alive reuse_connections retry_on_database_errors retry_all insecure_mode "
        "oauth_disable_pkce oauth_enable_refresh_token oauth_enable_single_use_refresh_tokens",
        mapping="session_parameters",
    ),
    own=frozenset({"statement_timeout", "network_timeout", "session_parameters"}),
    required=("account", "database", "schema"),
    chooser="authenticator",
    ways={
        "": Way(needs=("user",), one_of=(("password",), ("private_key",), ("private_key_path",))),
        "snowflake": Way(needs=("user",), one_of=(("password",), ("private_key",), ("private_key_path",))),
        "snowflake_jwt": Way(needs=("user",), one_of=(("private_key",), ("private_key_path",))),
        "externalbrowser": Way(needs=("user",)),
        "username_password_mfa": _PASSWORD,
        "https://<account>.okta.com": _PASSWORD,
        "oauth": Way(needs=("token",)),  # with oauth_client_id and oauth_client_secret it is a refresh token
        "oauth_authorization_code": Way(needs=("user", "oauth_client_id", "oauth_client_secret")),
        "jwt": Way(needs=("token",)),
        "programmatic_access_token": Way(needs=("token",)),
        "workload_identity": Way(needs=("workload_identity_provider",)),
    },
    together={
        "oauth_client_id": ("oauth_client_secret",), "oauth_client_secret": ("oauth_client_id",),
        "proxy_host": ("proxy_port",), "proxy_port": ("proxy_host",),
    },
    apart=(("private_key", "private_key_path"),),
)  # fmt: skip

BIGQUERY = Adapter(
    fields=_fields(
        text="method database execution_project quota_project location api_endpoint priority reservation "
        "impersonate_service_account keyfile token refresh_token client_id client_secret token_uri "
        "workload_pool_provider_path service_account_impersonation_url compute_region dataproc_cluster_name gcs_bucket "
        "submission_method notebook_template_id",
        count="maximum_bytes_billed job_retry_deadline_seconds job_creation_timeout_seconds "
        "job_execution_timeout_seconds",
        whole="job_retries", flag="job_link_info_level_log", list="scopes", mapping="token_endpoint dataproc_batch",
        document="keyfile_json",
    ),
    aliases={
        "project": "database", "dataset": "schema", "retries": "job_retries",
        "timeout_seconds": "job_execution_timeout_seconds", "dataproc_region": "compute_region",
    },
    required=("method", "schema"),
    chooser="method",
    ways={
        "oauth": Way(),
        "oauth-secrets": Way(one_of=(("token",), ("refresh_token", "client_id", "client_secret", "token_uri"))),
        "service-account": Way(needs=("keyfile",)),
        "service-account-json": Way(needs=("keyfile_json",)),
        "external-oauth-wif": Way(needs=("workload_pool_provider_path", "token_endpoint")),
    },
    experimental=True,
)  # fmt: skip

REDSHIFT = Adapter(
    fields=_fields(
        text="host method user password dbname cluster_id iam_profile role sslmode region access_key_id secret_access_key "
        "idc_region issuer_url idc_client_display_name query_group serverless_work_group serverless_acct_id",
        count="port connect_timeout idp_listen_port tcp_keepalive_idle tcp_keepalive_interval tcp_keepalive_count",
        whole="retries idp_response_timeout",
        flag="autocreate ra3_node autocommit is_serverless datasharing tcp_keepalive", list="db_groups",
        mapping="token_endpoint",
    ),
    aliases={"pass": "password", "database": "dbname"},
    required=("host", "dbname", "schema"),
    chooser="method",
    ways={
        "": _PASSWORD,
        "database": _PASSWORD,
        "iam": Way(needs=("user",)),
        "iam_role": Way(),
        "browser_identity_center": Way(needs=("idc_region", "issuer_url")),
        "oauth_token_identity_center": Way(needs=("token_endpoint",)),
    },
    together={"access_key_id": ("secret_access_key",), "secret_access_key": ("access_key_id",)},
    experimental=True,
)  # fmt: skip

DATABRICKS = Adapter(
    fields=_fields(
        text="host http_path database token auth_type client_id client_secret azure_client_id azure_client_secret "
        "oauth_redirect_url oidc_token_filepath",
        count="connect_timeout connect_max_idle", whole="connect_retries", flag="retry_all", list="oauth_scopes",
        mapping="session_properties connection_parameters compute query_tags",
    ),
    aliases={"catalog": "database"},
    required=("host", "http_path", "schema"),
    chooser="auth_type",
    ways={
        "": Way(one_of=(("token",), ("client_id", "client_secret"), ("azure_client_id", "azure_client_secret"))),
        "token": Way(needs=("token",)),
        "oauth": Way(),  # alone it opens a browser
        "env-oidc": Way(needs=("client_id",)),
        "file-oidc": Way(needs=("client_id", "oidc_token_filepath")),
    },
    together={
        "client_secret": ("client_id",), "azure_client_id": ("azure_client_secret",),
        "azure_client_secret": ("azure_client_id",),
    },
    apart=(("client_secret", "azure_client_secret"),),
    experimental=True,
)  # fmt: skip

ADAPTERS: Mapping[str, Adapter] = MappingProxyType({
    "duckdb": DUCKDB, "postgres": POSTGRES, "snowflake": SNOWFLAKE, "bigquery": BIGQUERY, "redshift": REDSHIFT,
    "databricks": DATABRICKS,
})  # fmt: skip


def taken(kind: Kind, value: Any) -> tuple[Any, str]:  # noqa: ANN401 any YAML value
    """A value as its field takes it, and what it must be instead if it cannot; a variable gives everything as text."""
    if value is None:
        return None, ""
    text = str(value).strip().lower()
    if kind in {Kind.COUNT, Kind.WHOLE}:
        least = 1 if kind is Kind.COUNT else 0
        if isinstance(value, str) and text in NOTHING:
            return None, ""
        if isinstance(value, int | str) and DIGITS.fullmatch(text) and int(text) >= least:
            return int(text), ""
        return None, "a whole number above 0" if least else "a whole number, 0 or above"
    if kind is Kind.FLAG:
        if text in {"true", "false"}:
            return text == "true", ""
        return None, "" if text in NOTHING else "true or false"
    types, words = _TAKEN[kind]
    return (value, "") if isinstance(value, types) else (None, words)


def troubles(kind: str, given: Mapping[str, Any]) -> Iterator[Trouble]:
    """What the fields of a target lack, or have too much, for the way to authenticate that it names.

    Args:
        kind: the adapter.
        given: fields that have a value, by their main names; a secret's value is not looked at.
    """
    adapter = ADAPTERS[kind]
    for name, why in adapter.refused.items():
        if name in given:
            yield Trouble(name, f"{name!r} is dbt's, and revetl does not do it: {why}",
                          "leave it out of the target that revetl uses", "RV423")  # fmt: skip
    if not adapter.chooser:
        return
    chosen = str(given.get(adapter.chooser) or "").lower()
    way, known = _way(adapter, chosen)
    if way is None:
        if chosen:
            yield Trouble(adapter.chooser, f"{given[adapter.chooser]!r} is no {adapter.chooser!r} of {kind}{near(chosen, known)}",
                          f"known: {', '.join(known)}", "RV420")  # fmt: skip
        return
    yield from _lacking(adapter, kind, chosen, way, given)
    if kind == "redshift" and chosen in {"iam", "iam_role"} and not _serverless(given) and "cluster_id" not in given:
        yield Trouble("cluster_id", f"method {chosen!r} needs 'cluster_id', or a serverless host",
                      "cluster_id: the name of the cluster; for serverless: is_serverless: true", "RV421")  # fmt: skip
    for one, other in adapter.apart:
        if one in given and other in given:
            yield Trouble(other, f"{one!r} and {other!r} are given; only one of them can count", f"leave out {other!r}", "RV422")


def _way(adapter: Adapter, chosen: str) -> tuple[Way | None, list[str]]:
    known = [name for name in adapter.ways if name]
    if chosen.startswith("https://"):
        return next((way for name, way in adapter.ways.items() if name.startswith("https://")), None), known
    return adapter.ways.get(chosen), known


def _lacking(adapter: Adapter, kind: str, chosen: str, way: Way, given: Mapping[str, Any]) -> Iterator[Trouble]:
    how = f"{adapter.chooser} {chosen!r}" if chosen else f"{kind} without {adapter.chooser!r}"
    for name in way.needs:
        if name not in given:
            yield Trouble(name, f"{how} needs {name!r}", _ways(adapter), "RV421")
    if way.one_of and not any(given.keys() >= set(names) for names in way.one_of):
        begun = next((names for names in way.one_of if given.keys() & set(names)), None)
        if begun:
            left = [name for name in begun if name not in given]
            yield Trouble(left[0], f"{how} needs {_and(left)} beside {_and([n for n in begun if n in given])}", "", "RV421")
        else:
            yield Trouble(adapter.chooser, f"{how} needs {', or '.join(map(_and, way.one_of))}", _ways(adapter), "RV421")
    for name, others in adapter.together.items():
        left = [other for other in others if other not in given and other not in way.needs]
        if name in given and left and not any({name, *left} <= set(names) for names in way.one_of):
            yield Trouble(left[0], f"{name!r} needs {_and(left)} beside it", "", "RV421")


def _ways(adapter: Adapter) -> str:
    return f"{adapter.chooser}: {', '.join(name for name in adapter.ways if name)}"


def _and(names: Any) -> str:  # noqa: ANN401 names of fields
    return " and ".join(repr(name) for name in names)


def _serverless(given: Mapping[str, Any]) -> bool:
    """As dbt-redshift tells it."""
    return "serverless" in str(given.get("host", "")) or given.get("is_serverless") is True
