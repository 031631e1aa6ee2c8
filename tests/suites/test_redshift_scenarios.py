"""The scenarios of people, events and the protocol in Redshift's words; by its driver, on PostgreSQL or on a live account."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from revetl.sandbox import Sandbox
from tests.suites.redshift import filled, live, on_postgres
from tests.suites.test_events import *  # noqa: F403 the scenarios
from tests.suites.test_people import *  # noqa: F403
from tests.suites.test_protocol import *  # noqa: F403
from tests.suites.world import World

LIVE = os.environ.get("REVETL_TEST_REDSHIFT", "")
pytestmark = [pytest.mark.postgres, *([] if LIVE else [pytest.mark.more])]


@pytest.fixture
def world(request: pytest.FixtureRequest, box: Sandbox) -> Iterator[World]:
    """Instead of the one of `conftest`."""
    if not LIVE and "every_type" in request.node.name:
        pytest.skip("PostgreSQL has no SUPER")
    name = f"t_{uuid.uuid4().hex[:12]}"
    with live(LIVE, name) if LIVE else on_postgres(request.getfixturevalue("postgres_uri"), name) as connect:
        yield filled(World(connect=connect, box=box))
