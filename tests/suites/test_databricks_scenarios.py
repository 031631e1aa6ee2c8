"""The scenarios of people and events with the rows in Spark and the state in DuckDB, or the rows on a live Databricks."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from revetl.sandbox import Sandbox

LIVE = os.environ.get("REVETL_TEST_DATABRICKS", "")
pytest.importorskip("databricks.sqlalchemy", reason="pip install 'revetl[databricks]'")
if not LIVE:
    pytest.importorskip("pyspark", reason="pip install pyspark (400 MB, and Java 17) shows them on this machine")

from tests.suites.databricks import Live, live, mirrored  # noqa: E402
from tests.suites.redshift import filled  # noqa: E402
from tests.suites.test_events import *  # noqa: E402, F403 the scenarios
from tests.suites.test_people import *  # noqa: E402, F403
from tests.suites.world import World  # noqa: E402

pytestmark = [] if LIVE else [pytest.mark.more]


@pytest.fixture
def world(tmp_path: Path, box: Sandbox) -> Iterator[World]:
    """Instead of the one of `conftest`."""
    if not LIVE:
        yield filled(mirrored(tmp_path, box))
        return
    with live(LIVE, f"t_{uuid.uuid4().hex[:12]}", partial(Live, box=box), tmp_path) as made:
        yield filled(made)
