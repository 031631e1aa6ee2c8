"""Each engine's world, as in tests/suites, with a destination that keeps the bytes it sends."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from revetl.sandbox import Sandbox
from tests.suites.conftest import box, postgres_uri, snowflake_target  # noqa: F401 fixtures
from tests.suites.world import SandboxDestination, World, duckdb_world, postgres_world, snowflake_world
from tests.values.classes import ENGINES


class Recorder:
    """The real sender, which also keeps the bodies of its requests."""

    def __init__(self, workspace: Sandbox) -> None:
        self.sender = SandboxDestination(workspace)
        self.bodies: list[bytes] = []

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
        """Post a batch, and keep it."""
        self.bodies.append(body)
        return self.sender.send(body, deadline_s=deadline_s, path=path)

    def workspace_id(self) -> str:
        """The sandbox's id."""
        return self.sender.workspace_id()

    def close(self) -> None:
        """Close the connections."""
        self.sender.close()

    def operations(self) -> dict[str, bytes]:
        """The exact bytes of each operation by its person's id, as they stood in the requests."""
        found: dict[str, bytes] = {}
        mark = b'{"type":"person","identifiers":{"id":'
        for body in self.bodies:
            batch = json.loads(body)["batch"]
            texts = body.removeprefix(b'{"batch":[').removesuffix(b"]}").split(mark)[1:]
            assert len(texts) == len(batch)
            for text, operation in zip(texts, batch, strict=True):
                key = operation["identifiers"]["id"]
                assert key not in found, "sent twice"
                found[key] = (mark + text).removesuffix(b",")
        return found


Send = Callable[..., tuple[Any, dict[str, bytes]]]


@pytest.fixture
def send(world: World) -> Send:
    """Runs the world's syncs; gives the result and the bytes of each person's operation."""

    def run(**options: Any) -> tuple[Any, dict[str, bytes]]:
        recorder = Recorder(world.box)
        result = world.run(destination=lambda: recorder, **options)
        return result, recorder.operations()

    return run


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.more) if name == "snowflake" else name for name in ENGINES])
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name."""
    return str(request.param)


@pytest.fixture
def world(request: pytest.FixtureRequest, engine: str, tmp_path: Path, box: Sandbox) -> Iterator[World]:  # noqa: F811
    """An empty warehouse of that engine and an empty workspace."""
    if engine == "duckdb":
        context = duckdb_world(tmp_path)
    elif engine == "snowflake":
        context = snowflake_world(request.getfixturevalue("snowflake_target"), f"V_{uuid.uuid4().hex[:12]}".upper())
    else:
        context = postgres_world(request.getfixturevalue("postgres_uri"), f"v_{uuid.uuid4().hex[:12]}")
    with context as connect:
        yield World(connect=connect, box=box, syncs=[], kind=engine)
