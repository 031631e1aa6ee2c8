"""A scene for each test that makes whole runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.runs import Scene, scene


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Scene]:
    """40 people and 40 orders, and a workspace that is well."""
    with scene(tmp_path) as made:
        yield made
