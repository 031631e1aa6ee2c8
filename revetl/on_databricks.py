"""Databricks, experimental and only read: what differs in its SQL, its errors, and how the driver is called by dbt's profile.

Each statement commits by itself there, on one table (https://docs.databricks.com/aws/en/optimizations/isolation-level): several
commit together only in a preview. What Customer.io has acknowledged, the state and the lease change together or not at all, so
they are kept elsewhere; why no order of statements will do: `docs/warehouses.md`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from revetl.dialects import Dialect, Kind, without_zeros
from revetl.errors import ConfigError
from revetl.profiles import revealed

CONNECT_S = 60
LONGEST_PROBLEM = 400
EARLY_S = 120  # a token is fetched anew so long before it ends
KINDS = {
    **dict.fromkeys(("tinyint", "smallint", "int", "integer", "bigint"), Kind.INTEGER), "float": Kind.FLOAT, "double": Kind.FLOAT,
    **dict.fromkeys(("string", "varchar", "char"), Kind.TEXT), "boolean": Kind.BOOLEAN, "date": Kind.DATE,
    "timestamp": Kind.TIMESTAMP_TZ, "timestamp_ntz": Kind.TIMESTAMP,
    **dict.fromkeys(("array", "map", "struct", "variant"), Kind.NESTED),
}  # fmt: skip
# classes of errors that name things and never quote a row (https://docs.databricks.com/aws/en/error-messages/error-classes)
NAMING = re.compile(
    r"\[(TABLE_OR_VIEW_NOT_FOUND|UNRESOLVED_\w+|PARSE_SYNTAX_ERROR|SCHEMA_NOT_FOUND|INSUFFICIENT_PERMISSIONS|PERMISSION_DENIED|"
    r"NO_SUCH_CATALOG\w*|MISSING_AGGREGATION|DATATYPE_MISMATCH\w*|AMBIGUOUS_\w+|UNSUPPORTED_\w+|WRONG_NUM_ARGS\w*|ROUTINE_NOT_FOUND)"
    r"[.\w]*\]"
)  # fmt: skip
# what comes behind the sentence: where it is, then the statement itself or its plan, with the constants in it
REST = re.compile(r"\s*(?:SQLSTATE: |;\s*line \d|== SQL)")


def _kind(native: str) -> tuple[Kind, int | None]:
    name, _, rest = native.lower().partition("(")
    if name in {"decimal", "numeric", "dec"}:
        scale = re.search(r",\s*(\d+)\)", rest)
        return Kind.DECIMAL, int(scale[1]) if scale else 0
    return KINDS.get(name.partition("<")[0], Kind.OTHER), None


def _row_hash(values: Sequence[Any]) -> Any:  # noqa: ANN401 SQL expressions
    # 60 bits of a digest, so that a sum of them fits; null differs from empty
    parts = [sa.func.coalesce(sa.func.concat("=", sa.cast(value, sa.Text)), "-") for value in values]
    digits = sa.func.substr(sa.func.md5(sa.func.concat_ws("\x1f", *parts)), 1, 15)
    return sa.cast(sa.func.conv(digits, 16, 10), sa.Numeric(38, 0))


DATABRICKS = Dialect(
    name="databricks",
    kind_of=_kind,
    seconds=sa.func.unix_seconds,
    at_zone=sa.func.to_utc_timestamp,
    # by default a null inside would be left out, without a word
    json_text=lambda value, _: sa.func.nested_json(value),
    iso_date=lambda value: sa.cast(sa.cast(value, sa.Date), sa.Text),
    collation="binary",  # left out by the compiler
    any_value=sa.func.any_value,
    digest=sa.func.md5,
    now_ms=lambda: sa.func.unix_millis(sa.func.current_timestamp()),
    row_hash=_row_hash,
    engine_version=lambda: sa.literal("md5"),
    sha256=lambda text: sa.func.sha2(text, 256),
    octets=sa.func.octet_length,
    nfc=lambda text: text,  # Databricks has no function for it; the state's engine does it
    ascii_lower=sa.func.lower,
    strip_zeros=lambda value: without_zeros(sa.cast(value, sa.Text)),
    trim_scale=lambda value: value,  # every decimal has one
    transactional_ddl=False,
    endless=False,
    alters_scale=False,
    native=lambda item: str(item[1]),
    frame_needs_order=True,
    catalog=lambda _warehouse, _schema: None,  # nothing of ours is there
)


# --- errors --------------------------------------------------------------------------------------------------------


def problem(error: BaseException, _statement: str) -> tuple[str, int]:
    """What the driver's error says, safe to show, and the line of the statement (0 if unknown)."""
    name, said = type(error).__name__, " ".join(str(getattr(error, "message", "") or error).split())
    status = re.search(r"\b(?:HTTP|http-code|Error code)\D{0,12}(40[0-9]|50[0-9])", said)
    text = f"{name} (HTTP {status[1]})" if status else name
    found = NAMING.search(said)
    if found:
        text += f": {REST.split(said[found.start() :])[0][:LONGEST_PROBLEM]}"
    place = re.search(r"\bline (\d+),? pos", said)
    return text, int(place[1]) if place else 0


def hint(said: str, *, who: str, host: str) -> str:
    """What to do about it, with the statement that gives a missing right."""
    if "PERMISSION" in said:
        found = re.search(r"\b([A-Z_ ]+) on (Table|Schema|Catalog|View) '?([\w.`]+)'?", said)
        right, kind, name = (found[1].strip(), found[2].upper(), found[3]) if found else ("SELECT", "TABLE", "<the table>")
        return f"let an owner run: GRANT {right} ON {kind} {name} TO `{who}`; and USE CATALOG, USE SCHEMA above it"
    if "NOT_FOUND" in said or "NO_SUCH_CATALOG" in said:
        return "is the name right, and the `catalog` of the target? What may not be seen is not found either"
    if "HTTP 401" in said or "HTTP 403" in said:
        return "check token, or client_id and client_secret, of the target; `revetl debug` shows which profiles.yml is used"
    if "RequestError" in said or "MaxRetry" in said or "OperationalError" in said:
        return f"are host ({host}) and http_path right, and may this machine reach it? `revetl debug` tries again"
    return ""


# --- connection ----------------------------------------------------------------------------------------------------


def make_engine(fields: Mapping[str, Any], *, read_only: bool, comment: str = "") -> tuple[sa.Engine, Dialect]:
    """The engine of a warehouse or cluster, only to read; arguments as in `open_warehouse`.

    Raises:
        ConfigError: it would be written, the driver is missing, or the target's way to log in is not built.
    """
    if not read_only:
        raise ConfigError(
            "on Databricks nothing commits together with another table, so no state can be kept there",
            hint="keep it elsewhere: state: {in: …} of the target (docs/state-elsewhere.md), and Databricks is only read",
            code="RV500",
        )  # fmt: skip
    try:
        from revetl import databricks_sql  # noqa: PLC0415 an extra: imported when used
    except ImportError as error:
        raise ConfigError(
            f"the target is Databricks and its driver is not installed ({error.name} is missing)",
            hint="pip install 'revetl[databricks]'", code="RV424",
        ) from None  # fmt: skip
    engine = databricks_sql.engine(connect_arguments(fields, comment=comment))
    who, host = str(fields.get("client_id") or "<the user of this token>"), str(fields.get("host") or "")
    return engine, replace(
        DATABRICKS, problem=problem, hint=lambda said: hint(said, who=who, host=host), describe=databricks_sql.described
    )


def connect_arguments(fields: Mapping[str, Any], *, comment: str = "") -> dict[str, Any]:
    """What `databricks.sql.connect` is called with, from the fields of dbt's profile.

    Raises:
        ConfigError: a way to log in that is not built.
    """
    tags = {"app": "revetl", **dict(pair.split("=", 1) for pair in comment.split() if "=" in pair)}
    tags |= {str(name): str(value) for name, value in (fields.get("query_tags") or {}).items()}
    session = {
        "timezone": "UTC",  # naive and zoned values mean the same on every machine
        "ansi_mode": "true",  # a decimal as a text without an exponent, and no cast that gives null
        **{str(name): str(value) for name, value in (fields.get("session_properties") or {}).items()},
    }
    found: dict[str, Any] = {
        "server_hostname": str(fields["host"]).removeprefix("https://").rstrip("/"), "http_path": str(fields["http_path"]),
        "schema": str(fields["schema"]), "user_agent_entry": "revetl", "session_configuration": session, "query_tags": tags,
        "enable_telemetry": False, "_socket_timeout": int(fields.get("connect_timeout") or CONNECT_S),
        "_retry_stop_after_attempts_count": int(fields.get("connect_retries") or 3) + 1,
    }  # fmt: skip
    if fields.get("database"):
        found["catalog"] = str(fields["database"])
    found |= _login(fields, found["server_hostname"])
    return {**found, **(fields.get("connection_parameters") or {})}


def _login(fields: Mapping[str, Any], host: str) -> dict[str, Any]:
    """How somebody shows who they are."""
    how = str(fields.get("auth_type") or "").lower()
    token = revealed(fields.get("token"))
    if how in {"", "token"} and token:
        return {"access_token": token}
    if how in {"env-oidc", "file-oidc"}:
        raise ConfigError(
            f"auth_type {how!r} exchanges a token of another service, which revetl does not do",
            hint="token, or client_id and client_secret", code="RV500",
        )  # fmt: skip
    if fields.get("azure_client_id"):
        return {"auth_type": "azure-sp-m2m", "azure_client_id": str(fields["azure_client_id"]),
                "azure_client_secret": revealed(fields.get("azure_client_secret"))}  # fmt: skip
    client, secret = fields.get("client_id"), revealed(fields.get("client_secret"))
    if client and secret:
        scheme = "http" if re.match(r"(127\.|localhost\b)", host) else "https"
        return {"credentials_provider": Machine(f"{scheme}://{host}/oidc/v1/token", str(client), secret)}
    more = {"oauth_client_id": str(client)} if client else {}
    return {"auth_type": "databricks-oauth", **more}


class Machine:
    """The token of a service principal, fetched when it is needed (OAuth, machine to machine).

    https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m
    """

    def __init__(self, address: str, client: str, secret: str) -> None:
        self._address = address
        self._client = client
        self._secret = secret
        self._token = ""
        self._until = 0.0

    def __call__(self, *_: object) -> Callable[[], dict[str, str]]:
        """The headers of each request, as the driver asks for them."""
        return self.headers

    def auth_type(self) -> str:
        """A word for the driver."""
        return "oauth-m2m"

    def headers(self) -> dict[str, str]:
        """With a token that is good for a while.

        Raises:
            ConfigError: there is none.
        """
        import requests  # noqa: PLC0415 only this method asks over HTTP

        if time.time() > self._until:
            try:
                answer = requests.post(
                    self._address, data={"grant_type": "client_credentials", "scope": "all-apis"},
                    auth=(self._client, self._secret), timeout=CONNECT_S, allow_redirects=False,
                )  # fmt: skip
                given = answer.json() if answer.status_code == requests.codes.ok else {}
            except (requests.RequestException, ValueError) as error:
                raise ConfigError(
                    f"no access token from {self._address}: {type(error).__name__}",
                    hint="is `host` right, and may this machine reach it?", code="RV501",
                ) from None  # fmt: skip
            if not given.get("access_token"):
                raise ConfigError(
                    f"Databricks gave no access token (HTTP {answer.status_code})",
                    hint="check client_id and client_secret of the target in profiles.yml", code="RV501",
                )  # fmt: skip
            self._token, self._until = str(given["access_token"]), time.time() + float(given.get("expires_in", 0)) - EARLY_S
        return {"Authorization": f"Bearer {self._token}"}
