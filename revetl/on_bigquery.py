"""BigQuery, experimental: what differs in its SQL, its errors, and how a client is made by each method of dbt's profile.

The driver is imported where it is used, and its dialect is `bigquery_sql.py`. What holds of transactions, and by which of
Google's pages: `docs/warehouses.md`.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from revetl.dialects import CreateTableAs, Dialect, Kind
from revetl.errors import ConfigError, WarehouseError
from revetl.folding import dotted
from revetl.profiles import revealed, unwrapped

# the three that dbt asks for, so that tables over sheets of Drive can be read
SCOPES = tuple(f"https://www.googleapis.com/auth/{name}" for name in ("bigquery", "cloud-platform", "drive"))
CONNECT_S = 15.0
LONGEST_PROBLEM = 400
KINDS = {
    "STRING": Kind.TEXT, "INT64": Kind.INTEGER, "FLOAT64": Kind.FLOAT, "BOOL": Kind.BOOLEAN, "DATE": Kind.DATE,
    # digits of a decimal belong to a column, not to a value: an expression has none
    "NUMERIC": Kind.DECIMAL, "BIGNUMERIC": Kind.DECIMAL, "DATETIME": Kind.TIMESTAMP, "TIMESTAMP": Kind.TIMESTAMP_TZ,
    "JSON": Kind.NESTED, "STRUCT": Kind.NESTED, "ARRAY": Kind.NESTED,
}  # fmt: skip
# beginnings of messages that name things; the others may quote a value of a row, so they are not repeated
NAMING = re.compile(
    r"(Syntax error|Unrecognized name|Function not found|No matching signature|Not found|Access Denied|Already Exists"
    r"|Quota exceeded|Exceeded rate limits|Transaction is aborted|Query exceeded limit for bytes billed|Resources exceeded"
    r"|Duplicate column names"
    r"|Name \S+ not found|Table \S+ must be qualified|Permission|Job timed out|Job exceeded|Session \S+|Transaction control"
    r"|Invalid project|Query without FROM|The project \S+ has not enabled|Cannot access field|Column \S+ of type|Ambiguous name"
    r"|Type not found|Unexpected)",
)
PREFIX = re.compile(r"^(?:\d{3} )?(?:(?:GET|POST|PUT|PATCH|DELETE) \S+: )?")


def _kind(name: str) -> tuple[Kind, int | None]:
    return KINDS.get(re.split(r"[(<]", name.upper(), maxsplit=1)[0], Kind.OTHER), None


class Datetime(sa.types.UserDefinedType[Any]):
    """A time without a zone."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Its name."""
        return "DATETIME"


def _row_hash(values: Sequence[Any]) -> Any:  # noqa: ANN401 SQL expressions
    # null differs from empty; a sum of INT64 could be too large for one
    parts = [sa.func.coalesce(sa.func.concat("=", sa.cast(value, sa.Text)), "-") for value in values]
    between = [piece for part in parts for piece in (part, sa.literal("\x1f"))]
    return sa.cast(sa.func.farm_fingerprint(sa.func.concat(*between)), sa.Numeric())


def _hex(digest: Any) -> Any:  # noqa: ANN401 SQL expressions
    return sa.func.to_hex(digest)


def catalog(warehouse: Any, schema: str) -> list[tuple[str, str, str, int | None]] | None:  # noqa: ANN401 a `Warehouse`
    """Every table of a dataset with its columns; None where the dataset does not exist."""
    place = warehouse.engine.dialect.identifier_preparer.quote_schema(schema)
    columns = (
        f"SELECT table_name, column_name, data_type, CAST(NULL AS INT64) AS scale FROM {place}.INFORMATION_SCHEMA.COLUMNS "  # noqa: S608
        "ORDER BY table_name, ordinal_position"
    )
    try:
        return list(warehouse.fetch(sa.text(columns)))
    except WarehouseError as error:
        if "Not found: Dataset" in error.message:
            return None
        raise


BIGQUERY = Dialect(
    name="bigquery",
    kind_of=_kind,
    seconds=sa.func.unix_seconds,  # cut towards the past
    # a date comes as the TIMESTAMP of its midnight in UTC, whose DATETIME is that midnight again
    at_zone=lambda value, zone: sa.func.timestamp(sa.cast(value, Datetime()), zone),
    json_text=lambda value, _: sa.func.to_json_string(value),
    iso_date=lambda value: sa.cast(sa.cast(value, sa.Date), sa.Text),
    collation="binary",  # `Compiler` says it in BigQuery's way
    any_value=sa.func.any_value,
    digest=lambda text: _hex(sa.func.md5(text)),
    now_ms=lambda: sa.func.unix_millis(sa.func.current_timestamp()),
    row_hash=_row_hash,
    engine_version=lambda: sa.literal("farm"),  # its hash never changes
    sha256=lambda text: _hex(sa.func.sha256(text)),
    octets=sa.func.byte_length,
    nfc=lambda text: sa.func.normalize(text, sa.literal_column("NFC")),
    ascii_lower=sa.func.lower,
    strip_zeros=lambda value: sa.cast(value, sa.Text),  # there are none
    trim_scale=lambda value: value,
    transactional_ddl=False,
    endless=False,
    alters_scale=False,
    fold=dotted,
    native=lambda item: str(item[1]),
    frame_needs_order=True,
    catalog=catalog,
)


@compiles(CreateTableAs, "bigquery")
def _create_table_as(element: CreateTableAs, compiler: SQLCompiler, **_: object) -> str:
    """A plan is clustered by the numbers by which it is read; an ordered result cannot be."""
    create = "CREATE OR REPLACE TABLE" if element.replace else "CREATE TABLE"
    cluster = " CLUSTER BY `_seq`" if "_seq" in element.select.selected_columns else ""
    rows = compiler.process(element.select.order_by(None), literal_binds=True)
    return f"{create} {compiler.preparer.format_table(element.table)}{cluster} AS {rows}"


# --- errors ------------------------------------------------------------------------------------------------------


def problem(error: BaseException, _statement: str) -> tuple[str, int]:
    """What an error of the driver says, safe to show, and the line of the statement (0 if unknown)."""
    cause = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    name = type(cause).__name__
    told = getattr(cause, "errors", None) or [{}]
    reason = str(told[0].get("reason") or "") if isinstance(told[0], dict) else ""
    text = f"{name} ({reason})" if reason else name
    inner = getattr(cause, "cause", None)  # of RetryError: what happened until it was given up
    said = PREFIX.sub("", " ".join(str(getattr(cause, "message", "") or "").split()))
    place = re.search(r" at \[(\d+):\d+\]", said)
    if isinstance(inner, BaseException):
        text += f": {type(inner).__name__}"
    elif NAMING.match(said):
        text += f": {said[:LONGEST_PROBLEM]}"
    return text, int(place[1]) if place else 0


def hint(said: str, *, who: str, host: str, region: str) -> str:
    """What to do about it, with the statement that gives a missing right."""
    lowered = said.lower()
    if "accessdenied" in lowered or "access denied" in lowered or said.startswith("Forbidden"):
        return _grant(said, who)
    if "Not found: Dataset" in said:
        return ("is the name right, and the `location` of the target? A dataset is only found in its own: "
                "leave `location` out, and that of the target's dataset is taken")  # fmt: skip
    if "Not found: Table" in said:
        return "is the name right? Sources are looked for in the `project` of the target, unless they name a `database`"
    if "aborted due to concurrent" in lowered:
        return "another run wrote the same tables in that moment, and nothing of this transaction was kept. Then: revetl run"
    if "timed out" in lowered or "timeout" in lowered:
        sessions = f"SELECT session_id FROM `{region}`.INFORMATION_SCHEMA.SESSIONS_BY_USER WHERE is_active"  # noqa: S608
        return (
            "another transaction may hold the table, or the statement took longer than `timeout_seconds`. That of a run which "
            f"was killed ends after 24 hours, or by: {sessions}; CALL BQ.ABORT_SESSION('<session_id>'); nothing is lost. "
            "Then: revetl run"
        )
    if "bytes billed" in lowered:
        return "raise `maximum_bytes_billed` of the target in profiles.yml, or make the model read less"
    if "quota exceeded" in lowered or "rate limits" in lowered:
        return "nothing is lost. Wait, or run less often (cloud.google.com/bigquery/quotas); then: revetl run"
    if "Resources exceeded" in said:
        return "the plan of this sync is too large for one sort: send it in parts, by a `where` in the model that moves on"
    if any(word in said for word in ("RefreshError", "DefaultCredentialsError", "Unauthorized")):
        return "log in again (gcloud auth application-default login), or check the key of the target in profiles.yml"
    if any(word in said for word in ("RetryError", "TransportError", "ConnectionError", "ConnectTimeout", "ReadTimeout")):
        return f"may this machine reach {host}? `revetl debug` tries again"
    return ""


def _grant(said: str, who: str) -> str:
    """The statement that gives the right which an error names."""
    found = re.search(r"Access Denied: (Table|Dataset|Project) ([\w.:-]+?)(?::? |$)", said)
    kind, name = (found[1], found[2].rstrip(":").replace(":", ".")) if found else ("Project", "<project>")
    every = "; all of them at once: revetl grants --dialect bigquery"
    if kind == "Project" or "jobs.create" in said:
        role = "bigquery.user" if "datasets.create" in said else "bigquery.jobUser"
        project = name if kind == "Project" else name.partition(".")[0]
        bind = f"gcloud projects add-iam-policy-binding {project} --member={who} --role=roles/{role}"
        return f"let an administrator run: {bind}{every}"
    writes = re.search(r"tables\.(create|delete|update)", said)
    role = "bigquery.dataEditor" if writes else "bigquery.dataViewer"
    on = "TABLE" if kind == "Table" else "SCHEMA"
    return f'let an owner run: GRANT `roles/{role}` ON {on} `{name}` TO "{who}"{every}'


# --- connection --------------------------------------------------------------------------------------------------


def make_engine(
    fields: Mapping[str, Any], root: Path, *, read_only: bool, comment: str = ""
) -> tuple[sa.Engine, Dialect]:
    """The engine of a project; arguments as in `open_warehouse`.

    Raises:
        ConfigError: the driver is missing, or the target's credentials cannot be read.
    """
    try:
        from revetl import bigquery_sql  # noqa: PLC0415 an extra: imported when used
    except ImportError as error:
        raise ConfigError(
            f"the target is BigQuery and its driver is not installed ({error.name} is missing)",
            hint="pip install 'revetl[bigquery]'", code="RV424",
        ) from None  # fmt: skip
    found, project = credentials(fields, root)
    retry_s = float(fields.get("job_retry_deadline_seconds") or bigquery_sql.NETWORK_S)
    created_s = fields.get("job_creation_timeout_seconds")

    def connect() -> Any:  # noqa: ANN401 a connection of a package without types
        made = client(fields, found, project, comment=comment)
        return bigquery_sql.Connection(made, network_s=retry_s, create_s=float(created_s) if created_s else None)

    home = str(fields.get("database") or "")
    engine = bigquery_sql.engine(connect, home=home, read_only=read_only)
    email = str(getattr(found, "service_account_email", None) or fields.get("impersonate_service_account") or "")
    who = f"serviceAccount:{email}" if "@" in email else "user:<you>"
    region = f"region-{str(fields.get('location') or '<location>').lower()}"
    host = str(fields.get("api_endpoint") or "https://bigquery.googleapis.com")
    return engine, replace(
        BIGQUERY, problem=problem, describe=bigquery_sql.described,
        hint=lambda said: hint(said, who=who, host=host, region=region),
    )  # fmt: skip


def client(fields: Mapping[str, Any], found: Any, project: str, *, comment: str = "") -> Any:  # noqa: ANN401 of Google's package
    """The client of a target: who pays, where, and how its jobs run.

    Without a `location` it is that of the target's dataset, if there is one.
    """
    from google.api_core import exceptions  # noqa: PLC0415
    from google.cloud import bigquery  # noqa: PLC0415
    from google.cloud.bigquery.retry import DEFAULT_RETRY  # noqa: PLC0415

    home = str(fields.get("database") or project)
    config = bigquery.QueryJobConfig(
        priority=str(fields.get("priority") or "interactive").upper(), labels=labels(comment),
        default_dataset=f"{home}.{fields['schema']}", use_legacy_sql=False,
    )  # fmt: skip
    if fields.get("maximum_bytes_billed"):
        config.maximum_bytes_billed = int(fields["maximum_bytes_billed"])
    if fields.get("job_execution_timeout_seconds"):
        config.job_timeout_ms = int(fields["job_execution_timeout_seconds"]) * 1000
    if fields.get("reservation"):
        config.reservation = str(fields["reservation"])
    made = bigquery.Client(
        project=str(fields.get("execution_project") or home), credentials=found, location=fields.get("location"),
        default_query_job_config=config,
        client_options={"api_endpoint": str(fields["api_endpoint"])} if fields.get("api_endpoint") else None,
    )  # fmt: skip
    if not fields.get("location"):
        try:
            patience: Any = {"retry": DEFAULT_RETRY.with_timeout(CONNECT_S), "timeout": CONNECT_S}
            dataset = made.get_dataset(f"{home}.{fields['schema']}", **patience)
            made._location = dataset.location  # the client has no other door for it
        except (exceptions.NotFound, exceptions.Forbidden):
            pass  # the first statement says what is wrong, if anything is
        except Exception as error:
            from google.cloud.bigquery import dbapi  # noqa: PLC0415

            raise dbapi.DatabaseError(error) from error
    return made


def labels(comment: str) -> dict[str, str]:
    """A comment as labels of jobs: small letters, digits, `-` and `_`, at most 63."""
    words = comment.split()
    pairs = [word.partition("=")[::2] for word in words if "=" in word]
    if len(words) > 2 and words[0] == "revetl":  # noqa: PLR2004 the version stands between
        pairs.append(("command", words[2]))
    plain = {f"revetl_{name}": re.sub(r"[^a-z0-9_-]", "_", value.lower())[:63] for name, value in pairs}
    return {"app": "revetl", **plain}


def credentials(fields: Mapping[str, Any], root: Path) -> tuple[Any, str]:
    """Who asks, by each method that dbt's profile has, and the project of the environment or key.

    Raises:
        ConfigError: they cannot be read; the message has nothing of a key.
    """
    import google.auth  # noqa: PLC0415
    from google.auth import exceptions, impersonated_credentials  # noqa: PLC0415
    from google.oauth2 import credentials as tokens  # noqa: PLC0415
    from google.oauth2 import service_account  # noqa: PLC0415

    scopes = [str(one) for one in fields.get("scopes") or SCOPES]
    project, method = str(fields.get("database") or ""), str(fields.get("method") or "").lower()
    found: Any
    try:
        match method:
            case "oauth":
                found, project = google.auth.default(scopes=scopes)
            case "oauth-secrets":
                names = ("refresh_token", "client_id", "client_secret", "token_uri")
                given = {name: revealed(fields.get(name)) for name in names}
                found = tokens.Credentials(token=revealed(fields.get("token")), scopes=scopes, **given)
            case "service-account":
                file = root / Path(str(fields["keyfile"])).expanduser()
                found = service_account.Credentials.from_service_account_file(str(file), scopes=scopes)
            case "service-account-json":
                found = service_account.Credentials.from_service_account_info(_key(fields["keyfile_json"]), scopes=scopes)
            case _:
                raise ConfigError(
                    f"method {method!r} asks another service for a token, which revetl does not do",
                    hint="method: oauth does the same, with GOOGLE_APPLICATION_CREDENTIALS naming the file of the pool",
                    code="RV500",
                )  # fmt: skip
    except OSError as error:
        raise ConfigError(
            f"the key in {fields.get('keyfile')} cannot be read: {error.strerror}",
            hint="correct `keyfile` of the target", code="RV501",
        ) from None  # fmt: skip
    except (exceptions.GoogleAuthError, ValueError):  # its text may have a part of the key
        if method == "oauth":
            raise ConfigError(
                "method oauth found no login of Google on this machine",
                hint="gcloud auth application-default login; in a job: method: service-account", code="RV501",
            ) from None  # fmt: skip
        raise ConfigError(
            f"{'`keyfile_json`' if method.endswith('json') else fields.get('keyfile')} is no key of a service account",
            hint="it is the JSON that Google gives for one: IAM > Service accounts > Keys", code="RV501",
        ) from None  # fmt: skip
    project = str(getattr(found, "project_id", None) or project or "")
    if fields.get("impersonate_service_account"):
        found = impersonated_credentials.Credentials(
            source_credentials=found, target_principal=str(fields["impersonate_service_account"]), target_scopes=scopes,
        )  # fmt: skip
    if fields.get("quota_project"):
        found = found.with_quota_project(str(fields["quota_project"]))
    if not (fields.get("database") or project):
        said = "the target has no `project`, and neither has the environment"
        raise ConfigError(said, hint="project: my-project", code="RV421")
    return found, project


def _key(given: Any) -> dict[str, Any]:  # noqa: ANN401 a mapping, or a text of JSON or of its base64
    plain = unwrapped(given)
    if isinstance(plain, str):
        text = plain.strip()
        plain = json.loads(text if text.startswith("{") else b64decode(text, validate=True))
    if not isinstance(plain, dict):
        raise ValueError("no mapping")  # noqa: TRY004 as the others that say the same
    # a variable of the environment often has its line ends as two signs
    return {**plain, "private_key": str(plain.get("private_key", "")).replace("\\n", "\n")}
