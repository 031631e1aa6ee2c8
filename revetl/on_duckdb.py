"""DuckDB: what differs in its SQL, and how its database is opened so that models reach nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl.dialects import DECIMAL, Dialect, Kind, driver_problem, without_zeros
from revetl.errors import ConfigError
from revetl.profiles import unwrapped

SYSTEM = ("/proc/", "/sys/", "/dev/")
# of DuckDB's own repository: what reads addresses of these kinds
EXTENSIONS = {
    "http": "httpfs", "https": "httpfs", "s3": "httpfs", "gcs": "httpfs", "gs": "httpfs", "r2": "httpfs", "hf": "httpfs",
    "az": "azure", "azure": "azure", "abfss": "azure",
}  # fmt: skip


def _duckdb_kind(native: str) -> tuple[Kind, int | None]:
    upper = native.upper()
    if upper.endswith("]") or upper.startswith(("STRUCT", "MAP", "UNION")):
        return Kind.NESTED, None
    if match := DECIMAL.match(upper):
        return Kind.DECIMAL, int(match[2])
    if upper.startswith("TIMESTAMP"):  # also TIMESTAMP_S, _MS, _NS
        return (Kind.TIMESTAMP_TZ if "WITH TIME ZONE" in upper else Kind.TIMESTAMP), None
    if upper.startswith("ENUM"):
        return Kind.TEXT, None
    table = {
        "VARCHAR": Kind.TEXT, "JSON": Kind.JSON, "UUID": Kind.UUID, "BOOLEAN": Kind.BOOLEAN, "DATE": Kind.DATE,
        "DOUBLE": Kind.FLOAT, "FLOAT": Kind.FLOAT, "TINYINT": Kind.INTEGER, "SMALLINT": Kind.INTEGER,
        "INTEGER": Kind.INTEGER, "BIGINT": Kind.INTEGER, "UTINYINT": Kind.INTEGER, "USMALLINT": Kind.INTEGER,
        "UINTEGER": Kind.INTEGER, "UBIGINT": Kind.BIG_INTEGER, "HUGEINT": Kind.BIG_INTEGER,
        "UHUGEINT": Kind.BIG_INTEGER,
    }  # fmt: skip
    return table.get(upper, Kind.OTHER), None


def _now_ms_duckdb() -> Any:  # noqa: ANN401 a SQL expression
    return sa.func.epoch_ms(sa.func.now())


def _seconds_duckdb(value: Any) -> Any:  # noqa: ANN401 a SQL expression
    # microseconds are exact, `extract(epoch)` is a double; and // cuts towards zero
    micros = sa.func.epoch_us(value)
    return micros.op("//")(1_000_000) - sa.case((sa.func.mod(micros, 1_000_000) < 0, 1), else_=0)


def hint(said: str) -> str:
    """What to do about an extension that this machine does not have."""
    found = re.search(r'(?i)(?:download|install|load) extension "(\w+)"|extension "(\w+)" (?:not found|could not be)', said)
    if not found:
        return ""
    name = found[1] or found[2]
    return (f"let this machine reach extensions.duckdb.org once, or install the extension where it can be had: "
            f"python -c \"import duckdb; duckdb.sql('INSTALL {name}')\"; then: revetl debug")  # fmt: skip


DUCKDB = Dialect(
    name="duckdb",
    kind_of=_duckdb_kind,
    seconds=_seconds_duckdb,
    at_zone=lambda value, zone: sa.func.timezone(zone, value),
    json_text=lambda value, _: sa.cast(sa.func.to_json(value), sa.Text),
    iso_date=lambda value: sa.cast(sa.cast(value, sa.Date), sa.Text),
    collation="binary",
    any_value=sa.func.any_value,
    digest=sa.func.md5,
    now_ms=_now_ms_duckdb,
    row_hash=lambda values: sa.func.hash(*values),
    engine_version=sa.func.version,
    sha256=sa.func.sha256,
    octets=sa.func.strlen,
    nfc=sa.func.nfc_normalize,
    ascii_lower=sa.func.lower,
    strip_zeros=lambda value: without_zeros(sa.cast(value, sa.Text)),
    trim_scale=lambda value: value,  # every decimal has one
    ordered_scan=True,
    hint=hint,
)


def make_engine(fields: Mapping[str, Any], root: Path, *, read_only: bool, files: Sequence[str]) -> sa.Engine:
    """The engine of a file, of memory, or of MotherDuck; arguments as in `open_warehouse`."""
    path = str(fields.get("path") or ":memory:")
    if path != ":memory:" and not path.startswith(("md:", "motherduck:")):
        file = root / path
        if read_only and not file.exists():
            raise ConfigError(
                f"the DuckDB file {path} does not exist",
                hint="build it first; in the sample project: `revetl sample`, or `make demo`",
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        path = str(file)
    config: dict[str, Any] = unwrapped({**(fields.get("config_options") or {}), **(fields.get("settings") or {})})
    if fields.get("motherduck_token") and path.startswith(("md:", "motherduck:")):
        config["motherduck_token"] = unwrapped(fields["motherduck_token"])
    config.setdefault("threads", int(fields.get("threads") or os.cpu_count() or 1))
    engine = sa.create_engine(
        sa.URL.create("duckdb", database=path),
        # what is only in memory cannot be opened to read, and nothing of it stays
        connect_args={"read_only": read_only and path != ":memory:", "config": config},
        isolation_level="AUTOCOMMIT",
    )
    settings = ["SET GLOBAL TimeZone = 'UTC'"]  # naive and zoned values must mean the same on every machine
    if not (path.startswith(("md:", "motherduck:")) or opened(config)):
        settings += _closed([*files, *_declared(fields, root)], _extensions(fields))
    sa.event.listen(engine, "connect", lambda connection, _: _configure(connection, settings))
    return engine


def write_rows(file: Path, page: Sequence[Sequence[Any]]) -> int:
    """Rows of texts as a file for `insert_from`; its size. JSON keeps every character and tells null from an empty text."""
    import orjson  # noqa: PLC0415 only where rows come from elsewhere

    return file.write_bytes(orjson.dumps([{f"c{i}": value for i, value in enumerate(row)} for row in page]))


def insert_from(table: str, types: Sequence[str], file: Path, size: int) -> str:
    """The statement that reads a file of `write_rows` into a table, each text as its column's type.

    No row is larger than the file; DuckDB sets twice that much memory aside.
    """
    values = ", ".join(f"CAST(c{i} AS {kind})" for i, kind in enumerate(types))
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(types)))
    place = str(file).replace("'", "''")
    return (f"INSERT INTO {table} SELECT {values} FROM read_json('{place}', format = 'array', columns = {{{columns}}}, "  # noqa: S608
            f"maximum_object_size = {size + 1})")  # fmt: skip


def insert_batch(table: str, types: Sequence[str], batch: str) -> str:
    """The statement that reads a registered batch of columns c0, c1, … into a table, each as its column's type."""
    values = ", ".join(f"CAST(c{i} AS {kind})" for i, kind in enumerate(types))
    return f"INSERT INTO {table} SELECT {values} FROM {batch}"  # noqa: S608 names of ours


def opened(settings: Mapping[str, Any]) -> bool:
    """Whether the owner of profiles.yml lets models read and write any file and address."""
    return str(settings.get("enable_external_access", "")).lower() in {"true", "1", "on"}


def _configure(connection: Any, settings: Sequence[str]) -> None:  # noqa: ANN401 a DuckDB connection
    """Once for each open database: a second connection of this process finds it done, and locked."""
    if str(connection.execute("SELECT current_setting('lock_configuration')").fetchone()[0]).lower() == "true":
        return
    for setting in settings:
        try:
            connection.execute(setting)
        except Exception as error:  # noqa: BLE001 the driver has no common class for what an extension can raise
            word = " ".join(setting.split(None, 2)[:2])
            said = driver_problem(error, "")[0]
            raise ConfigError(f"DuckDB refused `{word}`: {said}", hint=hint(said)) from None


def _closed(files: Sequence[str], extensions: Sequence[str]) -> list[str]:
    """The statements after which SQL reaches nothing but the database and these files; none of them can be undone."""
    folders = [folder for file in files if (folder := _folder(file))]
    single = [file for file in files if not _folder(file)]
    needed = dict.fromkeys([*extensions, *(EXTENSIONS[f.split("://")[0]] for f in single if f.split("://")[0] in EXTENSIONS)])
    return [
        *(f"{verb} {name}" for name in needed for verb in ("INSTALL", "LOAD")),
        # a name of a Python variable must not become a table
        "SET python_enable_replacements = false",
        "SET autoinstall_known_extensions = false", "SET autoload_known_extensions = false",
        f"SET allowed_paths = {_texts(single)}", f"SET allowed_directories = {_texts(folders)}",
        "SET enable_external_access = false", "SET lock_configuration = true",
    ]  # fmt: skip


def _texts(values: Sequence[str]) -> str:
    quoted = ("'" + value.replace("'", "''") + "'" for value in dict.fromkeys(values))
    return f"[{', '.join(quoted)}]"


def _folder(file: str) -> str:
    """The folder that a pattern, or a name that ends with a slash, means; nothing for a single file.

    Raises:
        ConfigError: it is the whole disk, or a file of the system that is no data.
    """
    literal = re.split(r"[*?\[]", file, maxsplit=1)[0]
    folder = literal[: literal.rfind("/") + 1] if literal != file or file.endswith("/") else ""
    system = file.startswith(SYSTEM) and not file.startswith("/dev/shm/")  # noqa: S108 temporary files may be in memory
    if (folder == "/" or system) and "://" not in file:
        raise ConfigError(
            f"a model may not read {file!r}: it is no file of data",
            hint="name the files, or a folder of data, in `external_location` or `external_files`",
        )
    return folder


def _declared(fields: Mapping[str, Any], root: Path) -> list[str]:
    """`external_files` of the target: files, patterns, and folders, from the project's folder."""
    found = []
    for file in _listed(fields.get("external_files")):
        place = file if "://" in file else str((root / file).resolve())
        found.append(place + "/" if file.endswith("/") or ("://" not in file and Path(place).is_dir()) else place)
    return found


def _extensions(fields: Mapping[str, Any]) -> list[str]:
    """`extensions` of the target, as dbt writes them: names, or mappings with a `name`."""
    found = [str(one.get("name", "")) if isinstance(one, Mapping) else str(one) for one in fields.get("extensions") or []]
    for name in found:
        if not re.fullmatch(r"\w+", name):
            raise ConfigError(f"{name!r} is no name of a DuckDB extension", hint="extensions: [httpfs]")
    return found


def _listed(value: Any) -> list[str]:  # noqa: ANN401 any YAML value
    return [value] if isinstance(value, str) else [str(one) for one in value or []]
