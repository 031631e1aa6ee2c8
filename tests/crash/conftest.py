"""Processes that are killed, stopped and started together; warehouses as in tests/suites."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from revetl.sandbox import Sandbox
from tests.crash.jobs import Job, address
from tests.crash.scenes import Journal, Stage
from tests.crash.zygote import Zygote
from tests.suites.conftest import box, postgres_uri  # noqa: F401 fixtures


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """The process that forks runs."""
    with Zygote() as made:
        yield made


@pytest.fixture
def database(postgres_uri: str) -> Iterator[Job]:  # noqa: F811 pytest's way
    """A database of its own on the real server, as a job without a workspace."""
    name = f"c_{uuid.uuid4().hex[:12]}"
    url = sa.engine.make_url(postgres_uri)
    server = sa.create_engine(postgres_uri, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        # what a client's death leaves does not depend on when the server writes its log to the disk
        connection.execute(sa.text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    yield Job(kind="postgres", fields={"host": url.query["host"], "user": url.username, "dbname": name}, box={})
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def stage_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Stage]]:
    """Makes a stage on `duckdb` or `postgres`, or on one of them with the state in the other (`duckdb > postgres`).

    The two tables, full, and an empty workspace.
    """
    with ExitStack() as stack:

        def make(engine: str) -> Stage:
            workspace = stack.enter_context(Sandbox())
            jobs = []
            for kind in engine.split(" > "):
                if kind == "duckdb":
                    jobs.append(Job(kind="duckdb", fields={"path": str(tmp_path / "warehouse.duckdb")}, box={}))
                else:
                    jobs.append(request.getfixturevalue("database"))
            state = {"kind": jobs[1].kind, "fields": jobs[1].fields} if len(jobs) > 1 else {}
            job = replace(jobs[0], box=address(workspace), state=state)
            stage = Stage(base=job, box=workspace, journal=Journal(workspace))
            stage.build()
            return stage

        yield make
