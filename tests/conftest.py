"""What every test may rely on: no setting of the developer's shell, and a generator of examples without a clock."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.bars import Bar, Figure, append

# the machine may be busy, so an example's time says nothing
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("default"), max_examples=2_000)
# what is checked before a change is taken does not depend on luck; people's machines and the soak look further
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

# DuckDB looks for pandas at each statement with parameters; where there is none, a tenth of all time went into that
if find_spec("pandas") is None:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # which says that there is none

PASSED = pytest.StashKey[bool]()
OURS = ("REVETL_", "DBT_", "CIO_")
TERMINAL = {"CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS"}


@pytest.fixture(autouse=True)
def plain_environment() -> Iterator[None]:
    """Flags, profiles and colours of the shell that started the tests do not decide what a test sees."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(OURS) or name in TERMINAL:
                patch.delenv(name)
        yield


# what takes longest, beside the scenarios of tests/suites on one more warehouse: in CI, not in every `make test`
LONGEST = (
    "tests/catalogue/test_messages.py", "tests/crash/test_cuts.py", "tests/e2e/test_every_type.py",
    "tests/e2e/test_external_sources.py", "tests/e2e/test_online_retail.py", "tests/e2e/test_shopify.py",
    "tests/e2e/test_state_elsewhere.py", "tests/faults/test_faults.py", "tests/faults/test_outages.py",
    "tests/faults/test_signals.py", "tests/model/test_schedules.py", "tests/security/test_canaries.py",
    "tests/security/test_names.py", "tests/security/test_screens.py", "tests/simulation", "tests/suites/test_guard_bars.py",
    "tests/suites/test_merges.py", "tests/suites/test_window.py::test_each_event",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the figures of docs/reliability.md go."""
    parser.addoption("--bars", metavar="FILE", help="append the figures of the reliability bars to FILE (JSON lines)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test itself passed."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def bar(request: pytest.FixtureRequest) -> Iterator[Bar]:
    """Says the figure of a bar; kept only if the test passes."""
    figures: list[Figure] = []
    node = request.node.nodeid
    soak = request.node.get_closest_marker("soak") is not None

    def say(number: int, what: str, *, found: object, goal: str, of: object = "", seed: object = "") -> None:
        figures.append(
            Figure(bar=number, what=what, found=str(found), goal=goal, of=str(of), seed=str(seed), test=node, soak=soak)
        )

    yield say
    path = request.config.getoption("--bars")
    if path and request.node.stash.get(PASSED, False):
        append(Path(path), figures)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks follow from what a test uses; without a browser its tests say why they are left out."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    for item in items:
        if item.nodeid.startswith(LONGEST):
            item.add_marker("more")
        case = getattr(item, "callspec", None)
        if "postgres_uri" in getattr(item, "fixturenames", ()) or (case and "postgres" in case.params.values()):
            item.add_marker("postgres")
        if item.get_closest_marker("browser") and not browser:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: apt-get install chromium"))
