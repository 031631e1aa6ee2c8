"""The scenarios of people, events and the protocol in what revetl writes for BigQuery; transpiled, or on a live account."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from revetl.sandbox import Sandbox

pytest.importorskip("sqlalchemy_bigquery", reason="pip install 'revetl[bigquery]'")
pytest.importorskip("sqlglot", reason="pip install 'revetl[dev]' brings it")

from tests.suites.bigquery import Live, live, told_world
from tests.suites.redshift import filled
from tests.suites.test_events import *  # noqa: F403 the scenarios
from tests.suites.test_people import *  # noqa: F403
from tests.suites.test_protocol import *  # noqa: F403
from tests.suites.world import World

LIVE = os.environ.get("REVETL_TEST_BIGQUERY", "")
pytestmark = [] if LIVE else [pytest.mark.more]


@pytest.fixture
def world(tmp_path: Path, box: Sandbox) -> Iterator[World]:
    """Instead of the one of `conftest`."""
    if not LIVE:
        yield filled(told_world(tmp_path, box))
        return
    with live(LIVE, f"t_{uuid.uuid4().hex[:12]}") as connect:
        yield filled(Live(connect=connect, box=box, kind="bigquery"))
