"""profiles.yml in dbt's format, with `destinations:` beside `outputs:`; only what is chosen is rendered.

Search order, target order, aliases of fields and `env_var` are dbt's. Secrets come from the environment only: a
literal one is an error, and a rendered one is a `Secret`, which no repr or log shows.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from revetl.adapters import ADAPTERS, NOTHING, Kind, taken, troubles
from revetl.errors import ConfigError, Where
from revetl.render import SECRET_PREFIXES
from revetl.yamlfile import Node, read

SECRET_KEYS = frozenset({
    "password", "pass", "token", "private_key", "private_key_passphrase", "oauth_client_secret", "client_secret",
    "azure_client_secret", "secret_access_key", "motherduck_token", "keyfile_json", "api_key", "app_api_key", "site_id",
    "secret", "session_token", "refresh_token", "request_data", "idp_auth_credentials",
})  # fmt: skip
SECRET_ENDINGS = ("_secret", "_password", "_token", "_passphrase", "_access_key")  # e.g. s3_session_token of DuckDB's settings
FROM_ENVIRONMENT = re.compile(r"\{\{.*\benv_var\s*\(", re.DOTALL)
OWN_KEYS = {"destination": Kind.TEXT, "state_schema": Kind.TEXT, "state": Kind.MAPPING}
STATE_OPTIONS = frozenset({"host", "sslmode", "sslcert", "sslkey", "sslrootcert", "connect_timeout", "application_name"})
_TOKEN = re.compile(r"([?&])motherduck_token=([^&]*)(&?)")
SETTINGS = {
    "requests_per_second": float, "operations_per_second": float, "concurrency": int, "max_batch_operations": int,
    "max_batch_bytes": int, "request_deadline_s": float, "attempts": int, "no_progress_s": float,
    "slow_answer_s": float, "backfill_share": float,
    "identify_timestamp": bool,
}  # fmt: skip
MAX_VALUE = 100_000  # characters of one value, before and after Jinja
# what Jinja in a value may be made of; nothing here repeats or multiplies
NODES = frozenset({
    "Template", "Output", "TemplateData", "Const", "Name", "Call", "Keyword", "Filter", "Test", "Getattr", "Getitem",
    "CondExpr", "Compare", "Operand", "And", "Or", "Not", "Concat", "Add", "Neg", "If", "List", "Tuple", "Slice",
})  # fmt: skip
FILTERS = frozenset({
    "as_number", "as_bool", "as_native", "as_text", "int", "float", "string", "upper", "lower", "trim", "capitalize",
    "default", "d", "replace", "length", "first", "last", "abs",
    "list", "tojson",
})  # fmt: skip
METHODS = frozenset({
    "upper", "lower", "strip", "lstrip", "rstrip", "split", "startswith", "endswith", "removeprefix", "removesuffix",
})  # fmt: skip
DESTINATION_KEYS = {"type", "region", "site_id", "api_key", "app_api_key", "path", "url", "ca_file", *SETTINGS}


class Secret:
    """A value that no repr, format or message shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        """Five stars."""
        return "*****"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Equal values."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """By value."""
        return hash(self._value)


def revealed(value: Any) -> str | None:  # noqa: ANN401 a `Secret` or a plain text
    """A text for a driver; None where there is none."""
    text = value.reveal() if isinstance(value, Secret) else value
    return str(text) if text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Where the state is kept, if not in the warehouse.

    Attributes:
        kind: duckdb | postgres.
        fields: of its connection, as those of a target of this type.
    """

    kind: str
    fields: Mapping[str, Any] = field(repr=False)
    where: Where = field(default=Where(file="profiles.yml"), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The chosen output.

    Attributes:
        fields: connection fields by dbt's main names; secrets are `Secret`.
        schema: where views and tables of models go.
        state: where the state is kept; None is in the warehouse.
    """

    name: str
    type: str
    profile_name: str
    schema: str
    database: str
    threads: int
    fields: Mapping[str, Any] = field(repr=False)  # a user or host may come from a secret variable, too
    profiles_path: Path
    state_schema: str = ""
    state: Elsewhere | None = None
    where: Where = field(default=Where(file="profiles.yml"), compare=False)

    def shown(self) -> dict[str, Any]:
        """What templates see as `target`: nothing that could be a secret."""
        also = {"project": self.database, "dataset": self.schema, "catalog": self.database, "dbname": self.database}
        adapter = ADAPTERS[self.type]
        return {
            **{name: value for name, value in also.items() if name in adapter.aliases or name in adapter.fields},
            "name": self.name, "target_name": self.name, "profile_name": self.profile_name, "type": self.type,
            "schema": self.schema, "database": self.database, "threads": self.threads,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The chosen Customer.io workspace, or a sandbox."""

    name: str
    type: str
    region: str = "us"
    site_id: Secret | None = None
    api_key: Secret | None = None
    app_api_key: Secret | None = None
    path: str = ""
    url: str = ""
    ca_file: str = ""
    settings: Mapping[str, float | int | bool] = field(default_factory=dict)
    where: Where = field(default=Where(file="profiles.yml"), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one target of a profile means."""

    target: Target
    destination: Destination
    warnings: tuple[str, ...] = ()


def find(profiles_dir: Path | None, environ: Mapping[str, str], cwd: Path, root: Path) -> Path:
    """The profiles.yml that counts, in dbt's order; an explicit folder is the only place to look.

    Raises:
        ConfigError: there is none; every place that was searched is named.
    """
    return find_all(profiles_dir, environ, cwd, root)[0]


def find_all(
    profiles_dir: Path | None, environ: Mapping[str, str], cwd: Path, root: Path, *, dbt: Path | None = None
) -> tuple[Path, ...]:
    """The profiles.yml that counts; beside a dbt project, then those that may have what it lacks.

    Args:
        dbt: the dbt project that this one reads.

    Raises:
        ConfigError: there is none; every place that was searched is named.
    """
    for name in ("REVETL_PROFILES_DIR", "DBT_ENGINE_PROFILES_DIR", "DBT_PROFILES_DIR"):
        if profiles_dir is None and environ.get(name):
            profiles_dir = Path(environ[name])
    if profiles_dir is not None:
        places = [profiles_dir]
    else:
        home = environ.get("HOME") or str(Path.home())
        places = [cwd, root, *([dbt] if dbt else []), Path(home) / ".dbt"]
    there = [place / "profiles.yml" for place in places if (place / "profiles.yml").is_file()]
    if profiles_dir is not None and dbt is not None and there and (root / "profiles.yml").is_file():
        there.append(root / "profiles.yml")  # it may have the destinations
    if there:
        return tuple(dict.fromkeys(there)) if dbt is not None else (there[0],)
    searched = ", ".join(dict.fromkeys(str(place) for place in places))
    raise ConfigError(
        f"no profiles.yml was found in: {searched}",
        hint="revetl init writes one; or give its folder with --profiles-dir", code="RV020",
    )  # fmt: skip


def load_profile(  # noqa: PLR0913 what decides which target counts
    path: Path, profile: str, target: str | None, environ: Mapping[str, str], problems: list[ConfigError], *,
    name: str = "", others: Mapping[str, Path] = MappingProxyType({}),
) -> Profile | None:  # fmt: skip
    """One target of one profile; problems are added to `problems`, and None is given if it cannot be used.

    Args:
        name: how the file is called in messages; its own name unless given.
        others: files by such names: what the profile lacks in the first one is taken from them.
    """
    name = name or path.name
    try:
        document = read(path, name, problems)
        for also, file in others.items():
            document = _completed(document, read(file, also, problems), profile)
        return _Reader(path, name, environ, problems).profile(document, profile, target)
    except ConfigError as problem:
        problems.append(problem)
        return None


def _completed(document: Node | None, other: Node | None, profile: str) -> Node | None:
    """A document whose profile has the parts of another one's that it lacks: connections here, destinations there."""
    more = other.get(profile) if other is not None else None
    if more is None or not isinstance(more.value, dict) or other is None:
        return document
    if document is None or not isinstance(document.value, dict) or document.get(profile) is None:
        own = document.value if document is not None and isinstance(document.value, dict) else {}
        return Node(value={**own, profile: other.value[profile]}, where=document.where if document is not None else other.where)
    key, mine = document.value[profile]
    if not isinstance(mine.value, dict):
        return document
    merged = Node(value={**more.value, **mine.value}, where=mine.where)
    return Node(value={**document.value, profile: (key, merged)}, where=document.where)


class _Reader:
    def __init__(self, path: Path, name: str, environ: Mapping[str, str], problems: list[ConfigError]) -> None:
        self.path = path
        self.name = name
        self.environ = environ
        self.problems = problems
        self.warnings: list[str] = []

    def bad(self, message: str, node: Node | None, hint: str = "", code: str = "RV021") -> None:
        where = node.where if node is not None else Where(file=self.name)
        if self.spoilt(where):
            return  # what follows from a value that is wrong already helps nobody
        self.problems.append(ConfigError(message, hint=hint, where=where, code=code))

    def spoilt(self, where: Where) -> bool:
        return any(p.where == where and p.code in {"RV011", "RV026", "RV027", "RV028"} for p in self.problems)

    def profile(self, document: Node | None, name: str, target: str | None) -> Profile | None:
        before = len(self.problems)
        profiles = document.value if document is not None and isinstance(document.value, dict) else {}
        entry = profiles.get(name)
        if entry is not None and not isinstance(entry[1].value, dict):
            self.bad(f"profile {name!r} must be a mapping", entry[1], code="RV011")
            return None
        if entry is None:
            self.bad(f"there is no profile {name!r}{_near(name, profiles)}", document,
                     hint=f"it has: {', '.join(k for k in profiles if k != 'config') or 'no profiles'}")  # fmt: skip
            return None
        node = entry[1]
        wanted = target or self.environ.get("REVETL_TARGET") or self.environ.get("DBT_TARGET")
        if not wanted:
            given = node.get("target")
            wanted = str(self.render(given, "target")) if given is not None else "default"
            if len(self.problems) > before:
                return None
        outputs = node.get("outputs")
        found = outputs.get(wanted) if outputs is not None else None
        if found is None or not isinstance(found.value, dict):
            there = list(outputs.value) if outputs is not None and isinstance(outputs.value, dict) else []
            self.bad(f"profile {name!r} has no target {wanted!r}{_near(wanted, there)}", outputs or node,
                     hint=f"it has: {', '.join(there) or 'none'}; choose one with --target", code="RV022")  # fmt: skip
            return None
        made = self.target(found, wanted, name)
        destination = self.destination(node, found, wanted)
        if len(self.problems) > before or made is None or destination is None:
            return None
        return Profile(target=made, destination=destination, warnings=tuple(self.warnings))

    # --- outputs -------------------------------------------------------------------------------------------------

    def target(self, node: Node, name: str, profile: str) -> Target | None:
        values: dict[str, Any] = {}
        nodes: dict[str, Node] = {}
        kind_node = node.get("type")
        kind = str(self.render(kind_node, "type")) if kind_node is not None else ""
        adapter = ADAPTERS.get(kind)
        if adapter is None:
            self.bad(f"target {name!r} has no known `type`{_near(kind, ADAPTERS)}", kind_node or node,
                     hint=f"known: {', '.join(ADAPTERS)}", code="RV023")  # fmt: skip
            return None
        known = {**adapter.fields, **OWN_KEYS}
        for key, value in node.items():
            main = adapter.aliases.get(key.value, key.value)
            if main != key.value and node.get(main) is not None:
                self.bad(f"{key.value!r} is another name of {main!r}, which is given too", key, code="RV029")
            values[main], nodes[main] = self.typed(value, key.value, known.get(main)), value
            if main not in known:
                meant = _near(key.value, [*known, *adapter.aliases])
                self.warnings.append(f"{key.where}: {key.value!r} is not a field of {kind}{meant}")
        values = {name: value for name, value in values.items() if value is not None}
        self.whole_target(node, name, kind, values, nodes)
        if kind == "duckdb":
            self.duckdb(values, nodes)
        if adapter.experimental:
            self.warnings.append(f"{node.where}: {kind} is experimental: never tried on a live account (docs/warehouses.md)")
        elsewhere = self.elsewhere(node.get("state"), values)
        if kind == "snowflake":
            values["account"] = str(values.get("account") or "").replace("_", "-")  # as dbt does
        return Target(
            name=name, type=kind, profile_name=profile, schema=str(values.get("schema") or "main"),
            database=str(values.get("dbname") or values.get("database") or ""), threads=values.get("threads") or 1,
            fields=values, profiles_path=self.path, state_schema=str(values.get("state_schema") or ""), where=node.where,
            state=elsewhere,
        )  # fmt: skip

    def elsewhere(self, node: Node | None, values: Mapping[str, Any]) -> Elsewhere | None:
        """Where the state is kept: `state: {in: a DuckDB file, or a PostgreSQL URL}`."""
        given = node.get("in") if node is not None else None
        if node is None or not isinstance(node.value, dict):
            return None
        for odd in node.value.keys() - {"in"}:
            self.bad(f"`state` has no {odd!r}", node.value[odd][0], "state: {in: state/prod.duckdb}", "RV010")
        made = self.render(given, "in") if given is not None else None
        if given is None or not isinstance(made, str) or not made:
            self.bad("`state` needs `in`: a DuckDB file, or the URL of a PostgreSQL database", given or node,
                     "state: {in: state/prod.duckdb}", "RV480")  # fmt: skip
            return None
        kind, fields, problem = state_fields(made)
        if not problem and fields.get("path") and fields["path"] == values.get("path"):
            problem = "that is the warehouse itself, where the state is kept anyway"
        if problem:  # without the text, which may hold a password
            self.bad(f"the state cannot be kept there: {problem}", given, "state: {in: state/prod.duckdb}", "RV480")
            return None
        if any(isinstance(value, Secret) for value in fields.values()) and not FROM_ENVIRONMENT.search(given.raw):
            self.bad("a password or token is written in the file; a secret comes from the environment", given, code="RV026",
                     hint="in: \"{{ env_var('DBT_ENV_SECRET_STATE_URL') }}\"")  # fmt: skip
            return None
        return Elsewhere(kind=kind, fields=fields, where=given.where)

    def whole_target(
        self, node: Node, name: str, kind: str, values: Mapping[str, Any], nodes: Mapping[str, Node]
    ) -> None:
        """Whether the fields that its adapter needs are all there, for the way to authenticate that is named."""
        adapter = ADAPTERS[kind]
        spoilt = [key for key, value in nodes.items() if self.spoilt(value.where)]
        given = dict.fromkeys(spoilt, "") | {key: value for key, value in values.items() if _filled(value)}
        odd = [key for key in values if key not in adapter.fields and key not in OWN_KEYS]
        hopeless = adapter.chooser in spoilt  # what it would need is not known
        for need in adapter.required:
            if need not in given:
                meant = difflib.get_close_matches(need, odd, n=1)
                hopeless = hopeless or need == adapter.chooser
                self.bad(f"target {name!r} ({kind}) needs {need!r}" + (f"; it has {meant[0]!r}" if meant else ""),
                         nodes.get(need) or node, code="RV024")  # fmt: skip
        for trouble in [] if hopeless else troubles(kind, given):
            self.bad(f"target {name!r}: {trouble.message}", nodes.get(trouble.field) or node, trouble.hint, trouble.code)

    def typed(self, node: Node, key: str, kind: Kind | None) -> Any:  # noqa: ANN401 any YAML value
        """A field's value, rendered, and of the kind that dbt takes."""
        value = self.render(node, key)
        if kind is None or isinstance(value, Secret):
            return value
        made, problem = taken(kind, value)
        if problem:
            self.bad(f"{key!r} must be {problem}", node, code="RV011")
        return None if key == "role" and str(made).lower() in NOTHING else made

    def duckdb(self, values: dict[str, Any], nodes: Mapping[str, Node]) -> None:
        """What models may reach beside the database; and the token of MotherDuck, which dbt lets stand in the path."""
        if (token := nodes.get("path")) is not None and (split := without_token(str(values.get("path") or ""))) is not None:
            values["path"], values["motherduck_token"] = split
            if not FROM_ENVIRONMENT.search(token.raw):
                self.bad("a token is written in the file; a secret comes from the environment", token, code="RV026",
                         hint="motherduck_token: \"{{ env_var('DBT_ENV_SECRET_MOTHERDUCK_TOKEN') }}\"")  # fmt: skip
        files = values.get("external_files")
        if files is not None and not (isinstance(files, list) and all(isinstance(one, str) and one for one in files)):
            self.bad("'external_files' must be a list of texts", nodes["external_files"], code="RV011")
        settings = values.get("settings")
        if isinstance(settings, dict) and str(settings.get("enable_external_access", "")).lower() in {"true", "1", "on"}:
            self.warnings.append(
                f"{nodes['settings'].where}: with enable_external_access models read and write every file and address "
                "that this process can; `external_files` names those that they need"
            )

    def whole(self, node: Node, key: str, value: Any) -> int | None:  # noqa: ANN401 checked here
        """A whole number above 0; a variable gives it as text."""
        if value is None or value == "":
            return None
        made = int(value) if isinstance(value, int | str) and re.fullmatch(r"\d{1,9}", str(value)) else 0
        if made <= 0:
            self.bad(f"{key!r} must be a whole number above 0", node.get(key), code="RV011")
        return made

    # --- destinations --------------------------------------------------------------------------------------------

    def destination(self, profile: Node, output: Node, target: str) -> Destination | None:
        chosen = output.get("destination")
        name = str(self.render(chosen, "destination")) if chosen is not None else target
        group = profile.get("destinations")
        node = group.get(name) if group is not None else None
        if node is None or not isinstance(node.value, dict):
            there = list(group.value) if group is not None and isinstance(group.value, dict) else []
            self.bad(
                f"target {target!r} needs a destination {name!r}{_near(name, there)}", chosen or group or output,
                hint="add `destinations:` beside `outputs:`, e.g. `destinations: {" + name + ": {type: sandbox}}`, "
                "or name one with `destination:` in the output", code="RV025",
            )  # fmt: skip
            return None
        values: dict[str, Any] = {}
        for key, value in node.items():
            if key.value not in DESTINATION_KEYS:
                meant = _near(key.value, DESTINATION_KEYS)
                self.bad(f"unknown key {key.value!r} of a destination{meant}", key, code="RV010",
                         hint="" if meant else f"known: {', '.join(sorted(DESTINATION_KEYS))}")  # fmt: skip
            else:
                values[key.value] = self.render(value, key.value)
        kind = values.get("type")
        if kind not in ("sandbox", "customerio"):  # a list may be no member of a set
            self.bad("a destination's `type` is `sandbox` or `customerio`", node.get("type") or node, code="RV023")
            return None
        for text in ("region", "path", "url", "ca_file"):
            if isinstance(values.get(text), list | dict):
                self.bad(f"{text!r} must be a text", node.get(text), code="RV011")
                values[text] = None
        if kind == "customerio":
            for need in ("site_id", "api_key"):
                given = values.get(need)
                if not isinstance(given, Secret):
                    self.bad(f"destination {name!r} needs {need!r}", node, code="RV024",
                             hint=f"{need}: \"{{{{ env_var('{_example(need)}') }}}}\"")  # fmt: skip
                elif not given.reveal():
                    self.bad(f"{need!r} of destination {name!r} is empty", node.get(need), code="RV024",
                             hint="the environment variable is set, and has no text in it")  # fmt: skip
            if (values.get("region") or "us") not in {"us", "eu"}:
                self.bad("`region` is `us` or `eu`", node.get("region"), code="RV011")
        settings = {k: self.setting(node, k, values[k]) for k in SETTINGS if k in values}
        return Destination(
            name=name, type=str(kind), region=str(values.get("region") or "us"), site_id=_secret(values.get("site_id")),
            api_key=_secret(values.get("api_key")), app_api_key=_secret(values.get("app_api_key")),
            path=str(values.get("path") or f"target/{name}-sandbox.db"), url=str(values.get("url") or ""),
            ca_file=str(values.get("ca_file") or ""), settings=settings, where=node.where,
        )  # fmt: skip

    def setting(self, node: Node, name: str, value: Any) -> Any:  # noqa: ANN401 checked here
        """A delivery setting; a variable gives it as text."""
        kind = SETTINGS[name]
        if kind is bool:
            if not isinstance(value, bool):
                self.bad(f"{name!r} must be true or false", node.get(name), code="RV011")
            return bool(value)
        if kind is int:
            return self.whole(node, name, value) or 1
        try:
            made = 0.0 if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            made = 0.0
        if made <= 0 or not math.isfinite(made):
            self.bad(f"{name!r} must be a number above 0", node.get(name), code="RV011")
            return 1.0
        return made

    # --- values --------------------------------------------------------------------------------------------------

    def render(self, node: Node, key: str) -> Any:  # noqa: ANN401 any YAML value
        """A value with its Jinja rendered; secrets wrapped."""
        if isinstance(node.value, dict):
            return {name: self.render(value, name) for name, (_, value) in node.value.items()}
        if isinstance(node.value, list):
            return [self.render(item, key) for item in node.value]
        secret = is_secret(key)
        if secret and node.value is not None and node.value != "" and not FROM_ENVIRONMENT.search(node.raw):
            self.bad(f"{key!r} is written in the file; a secret comes from the environment", node, code="RV026",
                     hint=f"{key}: \"{{{{ env_var('{_example(key)}') }}}}\"")  # fmt: skip
            return Secret("")
        if not isinstance(node.value, str) or "{" not in node.value:
            return Secret(str(node.value)) if secret and node.value else node.value
        try:
            made = rendered(node.value, self.environ)
        except MissingVariable as missing:
            self.bad(f"the environment variable {missing.name} is not set, and {key!r} needs it", node, code="RV027",
                     hint=f"export {missing.name}=…, or give a default: env_var('{missing.name}', '…')")  # fmt: skip
            return Secret("") if secret else ""
        except ConfigError as problem:
            self.bad(f"{key!r} {problem.message}", node, hint=problem.hint, code="RV028")
            return Secret("") if secret else ""
        except Exception as error:  # noqa: BLE001 whatever a template can raise; its text may hold a value
            self.bad(f"{key!r} cannot be rendered ({type(error).__name__})", node, code="RV028")
            return Secret("") if secret else ""
        return Secret(str(made)) if secret else made


def state_fields(text: str) -> tuple[str, dict[str, Any], str]:
    """The engine that a place for the state means, its fields, and what is wrong with it."""
    if "://" not in text:
        if text == ":memory:":
            return "", {}, "memory is empty again at the next run, which would send everybody again"
        path, token = without_token(text) or (text, None)
        return "duckdb", {"path": path, **({"motherduck_token": token} if token else {})}, ""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return "", {}, "it is no URL"
    if url.scheme not in {"postgresql", "postgres"}:
        return "", {}, "it is neither a file nor a `postgresql://…` URL"
    more = dict(parse_qsl(url.query))
    odd = sorted(set(more) - STATE_OPTIONS)
    if odd or not url.path.strip("/"):
        return "", {}, f"its URL has the option {odd[0]!r}{_near(odd[0], STATE_OPTIONS)}" if odd else "its URL names no database"
    fields: dict[str, Any] = {"host": url.hostname, "port": port, "user": unquote(url.username or ""), **more}
    fields["dbname"] = unquote(url.path.strip("/"))
    if url.password:
        fields["password"] = Secret(unquote(url.password))
    return "postgres", {name: value for name, value in fields.items() if value}, ""


def without_token(path: str) -> tuple[str, Secret] | None:
    """A path of MotherDuck without the token in it, and that token; None where there is none."""
    found = _TOKEN.search(path)
    if found is None:
        return None
    rest = path[: found.start()] + (found[1] if found[3] else "") + path[found.end() :]
    return rest, Secret(unquote(found[2]))


def is_secret(key: str) -> bool:
    """Whether a field of this name holds a secret."""
    return key in SECRET_KEYS or (key.endswith(SECRET_ENDINGS) and "_enable_" not in key)


def unwrapped(value: Any) -> Any:  # noqa: ANN401 any value of a profile
    """A value for a driver, with the secrets inside it in the open."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: unwrapped(inner) for key, inner in value.items()}
    return [unwrapped(inner) for inner in value] if isinstance(value, list) else value


def keys_of(target: Target | None, destination: Destination | None) -> frozenset[str]:
    """The values of all secrets of a target and its destination, which no model may see."""
    values = [*target.fields.values(), *(target.state.fields.values() if target.state else ())] if target else []
    values += [destination.site_id, destination.api_key, destination.app_api_key] if destination else []
    return frozenset(text for value in values for text in _secrets_in(value) if text)


def _secrets_in(value: Any) -> Iterator[str]:  # noqa: ANN401 any value of a profile
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets_in(inner)


def _filled(value: Any) -> bool:  # noqa: ANN401 any value of a profile
    """Whether a value says something; False and 0 do."""
    return bool(value.reveal()) if isinstance(value, Secret) else value not in (None, "", [], {})


class MissingVariable(Exception):  # noqa: N818 named by what happened
    """An environment variable without a value or default."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def rendered(text: str, environ: Mapping[str, str], functions: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 native types
    """A profile's value with `env_var` and its filters, as dbt renders it: natively typed by filter only.

    Variables with a secret's prefix are put in after rendering, so that no filter takes a part of one.

    Args:
        functions: others that the template may call.

    Only what cannot loop, multiply or look inside objects is rendered, so no value takes long or grows: this is done
    in the process that knows the keys (templates of models are rendered in another one, `render.py`).

    Raises:
        MissingVariable: a variable is not set and has no default.
        ConfigError: the value holds more Jinja than that.
    """
    from jinja2 import StrictUndefined  # noqa: PLC0415 only where a value has Jinja
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    made: list[Any] = []
    hidden: dict[str, str] = {}

    def env_var(name: str, default: str | None = None) -> str:
        if name in environ and name.startswith(SECRET_PREFIXES):
            hidden[f"\0{name}\0"] = environ[name]
            return f"\0{name}\0"
        if name in environ:
            return environ[name]
        if default is None:
            raise MissingVariable(name)
        return str(default)

    def keep(value: Any) -> Any:  # noqa: ANN401 a filter's value
        made.append(value)
        return value

    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, optimized=False)
    environment.filters.update(
        as_number=lambda v: keep(float(v) if "." in str(v) else int(v)), as_bool=lambda v: keep(_boolean(v)),
        as_native=lambda v: keep(_native(v)), as_text=str, int=lambda v: keep(int(v)),
        replace=_replaced,
    )  # fmt: skip
    if len(text) > MAX_VALUE:
        raise ConfigError(f"is longer than {MAX_VALUE:,} characters")
    odd = next(_odd(environment.parse(text)), "")
    if odd:
        raise ConfigError(
            f"holds more Jinja than a value may: {odd}",
            hint="values take env_var(), var(), target, conditions and simple filters",
        )
    out = environment.from_string(text).render({**(functions or {}), "env_var": env_var})
    native = made[0] if len(made) == 1 and out == str(made[0]) else out
    if isinstance(native, str):
        for placeholder, value in hidden.items():
            native = native.replace(placeholder, value)
    return native


def _odd(node: Any) -> Iterator[str]:  # noqa: ANN401 a node of Jinja
    """What in a value could loop, multiply, or reach into an object."""
    kind = type(node).__name__
    name = str(getattr(node, "name", None) or getattr(node, "attr", ""))
    if kind not in NODES:
        yield f"`{kind.lower()}`"
    elif kind == "Filter" and name not in FILTERS:
        yield f"the filter {name!r}"
    elif kind == "Getattr" and name.startswith("_"):
        yield f"the attribute {name!r}"
    elif kind == "Call":
        called = node.node
        if type(called).__name__ == "Getattr" and called.attr not in METHODS:
            yield f"a call of {called.attr!r}"
        elif type(called).__name__ == "Name" and called.name not in {"env_var", "var"}:
            yield f"a call of {called.name!r}"
    for inside in node.iter_child_nodes():
        yield from _odd(inside)


def _replaced(text: str, old: str, new: str) -> str:
    """Jinja's `replace`, within bounds."""
    if len(text) + text.count(old) * len(new) > MAX_VALUE:
        raise ConfigError(f"gives more than {MAX_VALUE:,} characters")
    return text.replace(old, new)


def _boolean(value: Any) -> bool:  # noqa: ANN401 a filter's value
    text = str(value).strip().lower()
    if text not in {"true", "false", "1", "0"}:
        raise ValueError
    return text in {"true", "1"}


def _native(value: Any) -> Any:  # noqa: ANN401 a filter's value
    from ast import literal_eval  # noqa: PLC0415

    try:
        return literal_eval(str(value))
    except (ValueError, SyntaxError):
        return value


def _secret(value: Any) -> Secret | None:  # noqa: ANN401 a rendered value
    return value if isinstance(value, Secret) else None


def _example(key: str) -> str:
    return {"site_id": "CIO_SITE_ID", "api_key": "CIO_TRACK_API_KEY", "app_api_key": "CIO_APP_API_KEY"}.get(
        key, f"DBT_ENV_SECRET_{key.upper()}"
    )


def _near(name: str, known: Sequence[str] | Mapping[str, Any] | set[str] | frozenset[str]) -> str:
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
