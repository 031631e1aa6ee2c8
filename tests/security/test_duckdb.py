"""DuckDB's SQL reaches the database and the declared files, and nothing else: no file, address, extension, variable."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from revetl import api
from revetl.compiler import compile_project, external_files
from revetl.errors import ConfigError, WarehouseError
from revetl.warehouse import Warehouse, open_warehouse
from tests.bars import Bar
from tests.unit.project_files import shop

OUTSIDE = (
    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd.csv'", "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')", "SELECT * FROM glob('/etc/*')", "SELECT * FROM read_json('/etc/x.json')",
    "SELECT * FROM read_parquet('/etc/x.parquet')", "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/x')", "SELECT * FROM read_csv('{root}/data/../../secret.csv')",
    "SELECT * FROM read_csv('{root}/link.csv')", "SELECT * FROM read_csv('https://example.com/x.csv')",
    "SELECT * FROM 's3://bucket/x.parquet'", "SELECT getenv('HOME')", "ATTACH '{root}/other.duckdb'",
    "ATTACH 'https://example.com/x.duckdb'", "COPY (SELECT 1) TO '{root}/out.csv'", "COPY t TO '/tmp/out.parquet'",
    "EXPORT DATABASE '{root}/dump'", "IMPORT DATABASE '{root}/dump'", "INSTALL httpfs", "LOAD httpfs",
    "LOAD '{root}/x.duckdb_extension'", "PRAGMA enable_external_access=true",
    "SET enable_external_access = true", "SET lock_configuration = false", "RESET enable_external_access",
    "SET allowed_directories = ['/']", "SET temp_directory = '/tmp'", "SET home_directory = '/'",
    "SET autoload_known_extensions = true", "SET allow_community_extensions = true", "CREATE SECRET (TYPE s3)",
    "SELECT * FROM some_frame", "SET profiling_output = '/tmp/x'", "SELECT * FROM read_csv('\\\\host\\share\\x.csv')",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder beside a file that is none of its business."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    for name in ("data/a.csv", "data/b.csv", "one's.csv", "../secret.csv"):
        (folder / name).write_text("x\n1\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    with duckdb.connect(str(folder / "w.duckdb")) as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a")
        db.execute(f"COPY t TO '{folder / 'data' / 'p.parquet'}'")
    return folder


def opened(
    root: Path, *, read_only: bool = False, path: str = "w.duckdb", files: tuple[str, ...] = (), **fields: object
) -> Warehouse:
    return open_warehouse("duckdb", {"path": path, "threads": 1, **fields}, root=root, read_only=read_only, files=files)


def asked(warehouse: Warehouse, query: str) -> list[tuple[object, ...]]:
    try:
        return warehouse.fetch(sa.text(query.replace(":", r"\:")))
    finally:
        warehouse.close()


@pytest.mark.parametrize(("read_only", "path"), [(True, "w.duckdb"), (False, "w.duckdb"), (False, ":memory:")])
def test_nothing_outside_can_be_reached(root: Path, bar: Bar, *, read_only: bool, path: str) -> None:
    some_frame = [1]  # a variable of Python is no table either
    assert some_frame
    reached: list[str] = []
    refused: list[WarehouseError] = []
    before = sorted(p.name for p in root.rglob("*"))
    warehouse = opened(root, read_only=read_only, path=path, files=(str(root / "data" / "a.csv"),))
    if path == ":memory:":
        warehouse.execute(sa.text("CREATE TABLE t AS SELECT 1 AS a"))
    for query in OUTSIDE:
        try:
            warehouse.execute(sa.text(query.replace("{root}", str(root)).replace(":", r"\:")))
            reached.append(query)
        except WarehouseError as error:
            refused.append(error)
    for problem in refused:
        declares = "external_location" in problem.hint and "external_files" in problem.hint
        assert declares or "disabled by configuration" not in problem.message
    assert reached == []
    assert warehouse.fetch(sa.text("SELECT a FROM t")) == [(1,)]
    warehouse.close()
    assert sorted(p.name for p in root.rglob("*") if p.suffix != ".wal") == before
    bar(39, "statements of DuckDB that reached a file, an address or a setting", found=len(reached), goal="0",
        of=f"{len(OUTSIDE)} statements, {'read-only' if read_only else 'writable'} {path}")  # fmt: skip


@pytest.mark.parametrize(("query", "wanted"), [
    ("SELECT * FROM read_csv('/etc/passwd')", "external_location"), ("LOAD httpfs", "`extensions`"),
    ("SELECT getenv('HOME')", "env_var"),
])  # fmt: skip
def test_the_refusal_says_how_to_declare_it(root: Path, query: str, wanted: str) -> None:
    with pytest.raises(WarehouseError) as caught:
        asked(opened(root), query)
    assert wanted in caught.value.hint


def test_declared_files_stay_readable(root: Path) -> None:
    """A file, several, a folder, a pattern; by source or by profile; nothing beside them."""
    a, quoted = f"SELECT x FROM '{root}/data/a.csv'", f"SELECT x FROM read_csv('{root}/one''s.csv')"
    assert asked(opened(root, files=(str(root / "data" / "a.csv"),)), a) == [(1,)]
    assert asked(opened(root, files=(str(root / "one's.csv"),)), quoted) == [(1,)]
    for declared in ("data", "data/", "data/*.csv", "data/[ab].csv", "d*/a.csv"):
        files = (str(root / declared),) if "*" in declared or "[" in declared else ()
        assert asked(opened(root, files=files, external_files=[declared]), a) == [(1,)], declared
    assert asked(opened(root, external_files=["data/*.csv"]), f"SELECT count(*) FROM '{root}/data/*.csv'") == [(2,)]
    with pytest.raises(WarehouseError):
        asked(opened(root, external_files=["data/*.csv"]), quoted)
    with pytest.raises(WarehouseError):
        asked(opened(root, files=(str(root / "data" / "a.csv"),)), f"SELECT x FROM '{root}/data/b.csv'")


@pytest.mark.parametrize("file", ["/proc/self/environ", "/dev/stdin", "/sys/x.csv", "/*", "/*/self/environ", "/"])
def test_the_system_is_no_data(root: Path, file: str) -> None:
    with pytest.raises(ConfigError, match="no file of data"):
        opened(root, files=(file,))


def test_a_link_to_something_else_does_not_help(root: Path) -> None:
    """The declared name leads elsewhere: what counts is where."""
    with pytest.raises(WarehouseError, match="disabled by configuration"):
        asked(opened(root, external_files=["data/*.csv"]), f"SELECT * FROM '{root}/link.csv'")


def test_the_owner_of_the_profile_can_open_it(root: Path, tmp_path: Path) -> None:
    assert asked(opened(root, settings={"enable_external_access": True}), f"SELECT x FROM '{tmp_path}/secret.csv'") == [(1,)]
    profile = ("shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: x.duckdb\n      settings: "
               "{enable_external_access: true}\n  destinations: {dev: {type: sandbox}}\n")  # fmt: skip
    (warning,) = shop(tmp_path / "p", {"profiles.yml": profile}).warnings
    assert "profiles.yml:7" in warning
    assert "external_files" in warning


def test_extensions_are_names(root: Path) -> None:
    with pytest.raises(ConfigError, match="no name of a DuckDB extension"):
        opened(root, extensions=["httpfs; ATTACH 'x'"])


def test_a_second_connection_of_this_process_is_as_closed_as_the_first(root: Path) -> None:
    one, two = opened(root), opened(root)
    try:
        for warehouse in (one, two):
            assert warehouse.fetch(sa.text("SELECT current_setting('TimeZone')")) == [("UTC",)]
            with pytest.raises(WarehouseError):
                warehouse.fetch(sa.text("SELECT * FROM read_text('/etc/passwd')"))
    finally:
        one.close()
        two.close()


def test_large_sorts_still_spill_to_the_database_own_folder(root: Path) -> None:
    query = "SELECT count(*) FROM (SELECT md5(i::varchar) m FROM range(400000) t(i) ORDER BY m)"
    assert asked(opened(root, settings={"memory_limit": "20MB"}), query) == [(400_000,)]


def test_sources_of_a_project(root: Path) -> None:
    """In every way that `external_location` takes; a model may read them, and no other file."""
    project = shop(root, {
        "models/s.yml": """\
            sources:
              - {name: f, tables: [{name: plain, external_location: data/a.csv}, {name: some, external_location: "data/[ab].csv"},
                 {name: call, external_location: "read_csv(['data/a.csv', 'data/b.csv'], header=true)"},
                 {name: p, external_location: data/p.parquet}, {name: s3, external_location: "s3://b/x.parquet"},
                 {name: table, identifier: t}]}
            """,
        "models/people.sql": "select x as customer_id, 'a@b.cd' as email, 2 as orders_count from {{ source('f', 'some') }}",
        "models/orders.sql": "select * from read_csv('/etc/passwd')",
    })  # fmt: skip
    assert external_files(project) == (
        str(root / "data/a.csv"), str(root / "data/[ab].csv"), str(root / "data/b.csv"), str(root / "data/p.parquet"),
        "s3://b/x.parquet",
    )  # fmt: skip
    no_address = tuple(file for file in external_files(project) if "://" not in file)  # which would load an extension
    warehouse = opened(root, files=no_address)
    compiled = compile_project(project, environ={})
    assert len(warehouse.fetch(sa.text(compiled.sql("people")))) == 2
    with pytest.raises(WarehouseError):
        warehouse.columns(compiled.sql("orders"))
    warehouse.close()


def test_a_diff_names_the_model_that_reads_a_file_it_may_not(root: Path) -> None:
    sql = "select 1 as customer_id,\n  2 as orders_count, column0 as email\nfrom '/etc/passwd.csv'"
    project = shop(root, {"models/people.sql": sql})
    warehouse = opened(root, path="shop.duckdb")
    warehouse.execute(sa.text("SELECT 1"))
    warehouse.close()
    with pytest.raises(ConfigError) as caught:
        api.diff(project, environ={})
    assert "disabled by configuration" in caught.value.message
    assert "external_location" in caught.value.hint
    assert str(caught.value.where) == "models/people.sql:3"


def test_memory_may_hold_temporary_files_and_no_other_part_of_the_system_may(root: Path) -> None:
    """As a CI has it that puts them there by TMPDIR."""
    assert asked(opened(root, files=("/dev/shm/pages/",)), "SELECT 1") == [(1,)]
    for place in ("/dev/pages/", "/proc/self/environ", "/sys/class/"):
        with pytest.raises(ConfigError, match="no file of data"):
            opened(root, files=(place,))
