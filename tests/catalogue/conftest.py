"""The scene of the fault suite, and the server of the suites."""

from __future__ import annotations

from tests.faults.conftest import shop  # noqa: F401 a fixture
from tests.suites.conftest import postgres_uri  # noqa: F401 a fixture
