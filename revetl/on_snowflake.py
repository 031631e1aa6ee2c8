"""Snowflake: what differs in its SQL, its errors, and how a connection is opened by each method of dbt's profile.

The driver is imported by `snowflake_sql.py` only, which `make_engine` imports when it is used.

Names: what revetl keeps is found without quotes. `state__people` is kept as `STATE__PEOPLE`, the way Snowflake folds a
name that is written without quotes; the columns of models are taken exactly as the model gives them, and a sync finds
`CUSTOMER_ID` by `customer_id` (`diffsql.bind`).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl.dialects import DECIMAL, Dialect, Kind, without_zeros
from revetl.errors import ConfigError
from revetl.folding import swapped
from revetl.profiles import revealed

CONNECT_S = 60  # how long a login is tried, where the target says nothing else
LOCK_S = 600  # how long a statement waits for the lock of another session; Snowflake's own default is 12 hours
READ_ONLY_S = 600  # the longest statement of a diff, where the target says nothing else
LONGEST_PROBLEM = 400
# numbers of errors whose texts may quote values: of data; of the driver where an answer is none
QUOTING = (range(100_000, 200_000), range(252_000, 290_000))
# of the driver: snowflake.connector.constants.FIELD_TYPES
TYPE_CODES = (
    "NUMBER", "FLOAT", "TEXT", "DATE", "TIMESTAMP", "VARIANT", "TIMESTAMP_LTZ", "TIMESTAMP_TZ", "TIMESTAMP_NTZ", "OBJECT",
    "ARRAY", "BINARY", "TIME", "BOOLEAN", "GEOGRAPHY", "GEOMETRY", "VECTOR", "MAP", "FILE", "INTERVAL_YEAR_MONTH",
    "INTERVAL_DAY_TIME",
)  # fmt: skip
OAUTH = ("oauth_client_id", "oauth_client_secret", "oauth_authorization_url", "oauth_token_request_url", "oauth_redirect_uri",
         "oauth_scope")  # fmt: skip
KINDS = {
    "TEXT": Kind.TEXT, "VARCHAR": Kind.TEXT, "CHAR": Kind.TEXT, "CHARACTER": Kind.TEXT, "STRING": Kind.TEXT,
    "FLOAT": Kind.FLOAT, "DOUBLE": Kind.FLOAT, "REAL": Kind.FLOAT, "BOOLEAN": Kind.BOOLEAN, "DATE": Kind.DATE,
    "TIMESTAMP": Kind.TIMESTAMP, "TIMESTAMP_NTZ": Kind.TIMESTAMP, "DATETIME": Kind.TIMESTAMP,
    "TIMESTAMP_LTZ": Kind.TIMESTAMP_TZ, "TIMESTAMP_TZ": Kind.TIMESTAMP_TZ,
    "VARIANT": Kind.NESTED, "OBJECT": Kind.NESTED, "ARRAY": Kind.NESTED, "MAP": Kind.NESTED,
    "NUMBER": Kind.INTEGER, "BIGINT": Kind.INTEGER, "INTEGER": Kind.INTEGER, "INT": Kind.INTEGER,
}  # fmt: skip


def _kind(native: str) -> tuple[Kind, int | None]:
    upper = native.upper()
    if match := DECIMAL.match(upper):
        scale = int(match[2])
        # every integer of Snowflake is a number of 38 digits, so that one family serves them all
        return (Kind.DECIMAL, scale) if scale else (Kind.INTEGER, None)
    return KINDS.get(upper.partition("(")[0], Kind.OTHER), None


def _native(item: Any) -> str:  # noqa: ANN401 the driver's ResultMetadata
    """The name of a type from (name, code, display size, internal size, precision, scale, null)."""
    code = item[1]
    name = TYPE_CODES[code] if isinstance(code, int) and code < len(TYPE_CODES) else f"type {code}"
    return f"NUMBER({item[4]},{item[5]})" if name == "NUMBER" else name


class Ntz(sa.types.UserDefinedType[Any]):
    """TIMESTAMP_NTZ, whatever TIMESTAMP means in the account."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Its name."""
        return "TIMESTAMP_NTZ"


def _part(name: str, value: Any) -> Any:  # noqa: ANN401 SQL expressions
    return sa.func.date_part(sa.literal_column(name), value)


def _seconds(value: Any) -> Any:  # noqa: ANN401 a SQL expression
    # cut towards the past, as `floor` would; exact also where an engine divides as doubles
    micros = _part("EPOCH_MICROSECOND", value)
    rest = sa.func.mod(sa.func.mod(micros, 1_000_000) + 1_000_000, 1_000_000)
    return sa.cast((micros - rest) / 1_000_000, sa.BigInteger)


def _at_zone(value: Any, zone: str) -> Any:  # noqa: ANN401 SQL expressions
    return sa.func.convert_timezone(zone, "UTC", sa.cast(value, Ntz()))


SNOWFLAKE = Dialect(
    name="snowflake",
    kind_of=_kind,
    seconds=_seconds,
    at_zone=_at_zone,
    json_text=lambda value, _: sa.func.to_json(value),
    iso_date=lambda value: sa.func.to_varchar(sa.cast(value, sa.Date), "YYYY-MM-DD"),
    collation="utf8",  # the compiler leaves it out: docs/snowflake.md
    any_value=sa.func.any_value,
    digest=sa.func.md5,
    now_ms=lambda: _part("EPOCH_MILLISECOND", sa.func.current_timestamp()),
    row_hash=lambda values: sa.cast(sa.func.hash(*values), sa.BigInteger),
    engine_version=sa.func.current_version,
    sha256=lambda text: sa.func.sha2(text, 256),
    octets=sa.func.octet_length,
    nfc=lambda text: text,  # Snowflake has no function for it: docs/limits.md
    ascii_lower=sa.func.lower,
    strip_zeros=lambda value: without_zeros(sa.cast(value, sa.Text)),
    trim_scale=lambda value: value,  # every number has one
    transactional_ddl=False,
    endless=False,
    alters_scale=False,
    fold=swapped,
    native=_native,
)


# --- errors ----------------------------------------------------------------------------------------------------


def problem(error: BaseException, _statement: str) -> tuple[str, int]:
    """What the driver's error says, safe to show, and the line of the statement (0 if unknown).

    Errors about data (numbers of six digits that begin with 100) quote values of rows, so their texts are dropped; those
    of compiling, rights, sessions, warehouses and logins name things.
    """
    name, number = type(error).__name__, getattr(error, "errno", None)
    if not isinstance(number, int) or number < 0:
        return name, 0
    state = str(getattr(error, "sqlstate", "") or "")
    text = f"{name} ({number:06d}{f', {state}' if state not in {'', 'n/a'} else ''})"
    if any(number in quoting for quoting in QUOTING):
        return text, 0
    said = " ".join(str(getattr(error, "raw_msg", None) or error).split())
    said = re.sub(rf"^{number:06d}( \(\w+\))?: (\w{{8}}-[\w-]+: )?", "", said)
    place = re.search(r"\bline (\d+) at position", said)
    return f"{text}: {said[:LONGEST_PROBLEM]}", int(place[1]) if place else 0


def hint(said: str, *, role: str, user: str, database: str = "") -> str:
    """What to do about it, with the statement that gives a missing right."""
    lowered, who = said.lower(), role or "<the role of this target>"
    missing = re.search(r"insufficient privileges to operate on (\w[\w ]*?) '?([^\s'.]+(?:\.[^\s'.]+)*)'?", lowered)
    if missing:
        kind, name = missing[1], said[missing.start(2) : missing.end(2)]
        right = {
            "schema": "USAGE, CREATE TABLE", "database": "USAGE, CREATE SCHEMA", "warehouse": "USAGE", "account": "<the right>",
        }.get(kind, "SELECT" if kind == "view" else "SELECT, INSERT, UPDATE, DELETE")  # fmt: skip
        return (
            f"let an owner run: GRANT {right} ON {kind.upper()} {name} TO ROLE {who}; "
            "or all of them at once: revetl grants --dialect snowflake"
        )
    unseen = re.search(r"(\w+) (?:'([^']+)'|(\S+)) does not exist or not authorized", said)
    if "role" in lowered and ("not granted" in lowered or "does not exist or not authorized" in lowered):
        return f"correct `role:` of the target in profiles.yml, or let an administrator run: GRANT ROLE {who} TO USER {user};"
    if unseen:
        kind = {"schema": "USAGE ON SCHEMA", "database": "USAGE ON DATABASE", "warehouse": "USAGE ON WAREHOUSE"}.get(
            unseen[1].lower(), "SELECT ON TABLE"
        )
        return (
            f"is the name right, and the target's database? If it is there: GRANT {kind} {unseen[2] or unseen[3]} TO ROLE {who}; "
            "`revetl grants --dialect snowflake` prints all that is needed"
        )
    if "does not have a current database" in lowered:  # a login takes any name, whether it is there or not
        return (f"is `database: {database}` of the target right? If it is there, let an owner run: "
                f"GRANT USAGE ON DATABASE {database or '<it>'} TO ROLE {who};")  # fmt: skip
    if "does not have a current schema" in lowered:
        return (f"is `schema:` of the target right? If it is there, let an owner run: GRANT USAGE ON SCHEMA <it> TO ROLE {who}; "
                "or name the schema in the model")  # fmt: skip
    if "no active warehouse" in lowered or "(000606" in said:
        return f"name a `warehouse:` in the target, and let an owner run: GRANT USAGE ON WAREHOUSE <it> TO ROLE {who};"
    if any(sign in said for sign in ("(000625", "(000630", "(000604")):
        return ("another session keeps what this needs, or the statement took too long (`statement_timeout` of the target, in "
                "seconds); nothing is lost. Then: revetl run")  # fmt: skip
    if re.search(r"\(39\d{4}|incorrect username or password|jwt token is invalid", lowered):
        return "check user, authenticator and key of the target in profiles.yml; `revetl debug` shows which file is used"
    if re.search(r"\(25\d{4}|\(290\d{3}", said):
        return ("is `account` right (the part before .snowflakecomputing.com), and may this machine reach it? `revetl debug` "
                "tries again")  # fmt: skip
    return ""


# --- connection --------------------------------------------------------------------------------------------------


def make_engine(
    fields: Mapping[str, Any], root: Path, *, read_only: bool, comment: str = ""
) -> tuple[sa.Engine, Dialect]:
    """The engine of an account; arguments as in `open_warehouse`.

    Raises:
        ConfigError: the driver is missing, or fields of the target do not go together.
    """
    try:
        from revetl import snowflake_sql  # noqa: PLC0415 an extra: imported when used
    except ImportError as error:
        raise ConfigError(
            f"the target is Snowflake and its driver is not installed ({error.name} is missing)",
            hint="pip install 'revetl[snowflake]'", code="RV424",
        ) from None  # fmt: skip
    engine = snowflake_sql.engine(connect_arguments(fields, root, read_only=read_only, comment=comment), read_only=read_only)
    who = {name: str(fields.get(name) or "") for name in ("role", "user", "database")}
    return engine, replace(SNOWFLAKE, problem=problem, hint=lambda said: hint(said, **who))


def connect_arguments(fields: Mapping[str, Any], root: Path, *, read_only: bool, comment: str = "") -> dict[str, Any]:
    """What the driver is called with, from the fields of dbt's profile.

    Raises:
        ConfigError: fields that do not go together.
    """
    account = str(fields.get("account") or "").replace("_", "-")  # no host has an underscore
    if not account:
        raise ConfigError("a target of type snowflake needs `account`", hint="account: myorg-myaccount", code="RV421")
    limit_s = fields.get("statement_timeout") or (READ_ONLY_S if read_only else 0)
    session = {
        "QUERY_TAG": str(fields.get("query_tag") or comment or "revetl"),
        "TIMEZONE": "UTC",  # naive and zoned values mean the same on every machine
        "LOCK_TIMEOUT": LOCK_S,
        "ABORT_DETACHED_QUERY": True,  # a statement of a process that died does not go on
        "ROWS_PER_RESULTSET": 0,  # an account's limit would cut off the catalog and the plan
        "QUOTED_IDENTIFIERS_IGNORE_CASE": False,  # names of ours are quoted, and two may differ in case only
        **({"STATEMENT_TIMEOUT_IN_SECONDS": int(limit_s)} if limit_s else {}),
        **(fields.get("session_parameters") or {}),
    }
    found: dict[str, Any] = {
        "account": account,
        "autocommit": True,
        "application": "revetl",
        "login_timeout": int(fields.get("connect_timeout") or CONNECT_S),
        "client_session_keep_alive": bool(fields.get("client_session_keep_alive")),
        "session_parameters": session,
        "platform_detection_timeout_seconds": 0,  # asks the cloud that this runs in, and nothing here needs to know
        **_auth(fields, root, account),
    }
    for name in ("user", "role", "warehouse", "database", "schema", "host", "protocol", "proxy_host"):
        if fields.get(name):
            found[name] = str(revealed(fields[name]))
    for name in ("port", "proxy_port"):
        if fields.get(name):
            found[name] = int(str(fields[name]))
    if fields.get("network_timeout"):
        found["network_timeout"] = int(str(fields["network_timeout"]))
    if fields.get("insecure_mode"):
        found["disable_ocsp_checks"] = True
    return found


def _auth(fields: Mapping[str, Any], root: Path, account: str) -> dict[str, Any]:
    """How somebody shows who they are, by each method that dbt's profile has."""
    how = str(fields.get("authenticator") or "")
    token, password = revealed(fields.get("token")), revealed(fields.get("password"))
    found: dict[str, Any] = {"password": password} if password else {}
    if key := _private_key(fields, root):
        return {"private_key": key, "authenticator": "snowflake_jwt"}
    if not how:
        return found
    match how.lower():
        case "oauth":
            if fields.get("oauth_client_id") and fields.get("oauth_client_secret"):
                token = _fresh_token(fields, account, token)
            found = {"authenticator": "oauth", "token": _needed(token, how)}
        case "jwt":  # dbt's word for a token that another system has made
            found = {"authenticator": "oauth", "token": _needed(token, how)}
        case "oauth_authorization_code":
            given = {name: revealed(fields.get(name)) for name in OAUTH}
            found = {"authenticator": "OAUTH_AUTHORIZATION_CODE", **{name: value for name, value in given.items() if value}}
        case "programmatic_access_token":
            found = {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": _needed(token, how)}
        case "workload_identity":
            provider = revealed(fields.get("workload_identity_provider"))
            if not provider:
                raise ConfigError(
                    "authenticator workload_identity needs `workload_identity_provider`",
                    hint="workload_identity_provider: aws (or azure, gcp, oidc)", code="RV421",
                )  # fmt: skip
            found = {"authenticator": "WORKLOAD_IDENTITY", "workload_identity_provider": provider}
            if fields.get("workload_identity_entra_resource"):
                found["workload_identity_entra_resource"] = str(fields["workload_identity_entra_resource"])
            if token:
                found["token"] = token
        case _:  # externalbrowser, an Okta address, username_password_mfa, snowflake
            found |= {"authenticator": how}
    # what a person has confirmed in a browser or on a phone holds for the next connections of this machine
    return found | {"client_store_temporary_credential": True, "client_request_mfa_token": True}


def _needed(token: str | None, how: str) -> str:
    if not token:
        raise ConfigError(
            f"authenticator {how} needs `token`", hint="token: \"{{ env_var('DBT_ENV_SECRET_SNOWFLAKE_TOKEN') }}\"", code="RV421"
        )
    return token


def _private_key(fields: Mapping[str, Any], root: Path) -> bytes | None:
    """The key pair's private half as DER, from PEM or base64 in the profile or from a file.

    Raises:
        ConfigError: it cannot be read; the message has nothing of the key.
    """
    inline, path = revealed(fields.get("private_key")), revealed(fields.get("private_key_path"))
    if inline and path:
        raise ConfigError("the target has `private_key` and `private_key_path`: one of them", code="RV403")
    if not inline and not path:
        return None
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 the driver brings it

    what = "`private_key`" if inline else f"the key in {path}"
    secret = revealed(fields.get("private_key_passphrase"))
    try:
        data = inline.encode() if inline else (root / Path(str(path)).expanduser()).read_bytes()
        if b"-----BEGIN" not in data and inline:
            data = b64decode("".join(inline.split()), validate=True)
        load = serialization.load_pem_private_key if b"-----BEGIN" in data else serialization.load_der_private_key
        key = load(data, secret.encode() if secret else None)
    except OSError as error:
        said = f"{what} cannot be read: {error.strerror}"
        raise ConfigError(said, hint="correct `private_key_path` of the target", code="RV403") from None
    except (TypeError, ValueError) as error:
        lowered = str(error).lower()
        wrong = "is encrypted: it needs `private_key_passphrase`" if "was not given" in lowered else (
            "is not encrypted: take `private_key_passphrase` out" if "not encrypted" in lowered
            else "is no private key in PEM or base64 DER, or `private_key_passphrase` is not its own"
        )  # fmt: skip
        tell = "`openssl pkey -in rsa_key.p8 -noout` tells whether a key can be read"
        raise ConfigError(f"{what} {wrong}", hint=tell, code="RV403") from None
    return key.private_bytes(
        encoding=serialization.Encoding.DER, format=serialization.PrivateFormat.PKCS8,
        encryption_algorithm=serialization.NoEncryption(),
    )  # fmt: skip


def _fresh_token(fields: Mapping[str, Any], account: str, refresh: str | None) -> str:
    """An access token for dbt's `oauth_client_id`, `oauth_client_secret` and the refresh token in `token`."""
    import requests  # noqa: PLC0415 only this method asks over HTTP

    host = str(fields.get("host") or f"{account}.snowflakecomputing.com")
    port = f":{fields['port']}" if fields.get("port") else ""
    address = fields.get("oauth_token_request_url") or f"{fields.get('protocol') or 'https'}://{host}{port}/oauth/token-request"
    who = f"{revealed(fields['oauth_client_id'])}:{revealed(fields['oauth_client_secret'])}"
    body = {"grant_type": "refresh_token", "refresh_token": _needed(refresh, "oauth"), "redirect_uri": "http://localhost.com"}
    try:
        answer = requests.post(
            str(address), data=body, timeout=CONNECT_S, allow_redirects=False,
            headers={"Authorization": f"Basic {b64encode(who.encode()).decode()}"},
        )  # fmt: skip
        token = answer.json().get("access_token") if answer.status_code == requests.codes.ok else None
    except (requests.RequestException, ValueError, AttributeError) as error:
        raise ConfigError(
            f"no access token from {host}: {type(error).__name__}", hint="is `account` right, and may this machine reach it?",
            code="RV404",
        ) from None  # fmt: skip
    if not token:
        raise ConfigError(
            f"Snowflake gave no access token (HTTP {answer.status_code})",
            hint="check oauth_client_id and oauth_client_secret, and whether the refresh token in `token` has expired",
            code="RV404",
        )  # fmt: skip
    return str(token)
