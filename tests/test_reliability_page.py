"""docs/reliability.md is made of docs/reliability.json, and both name tests that there are."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "reliability.py"


@pytest.fixture(scope="module")
def script() -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("reliability_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it
    spec.loader.exec_module(module)
    return module


def figure(**facts: Any) -> dict[str, Any]:
    base = {"bar": 1, "what": "rows lost", "found": "0", "goal": "0", "of": "9 kills", "seed": "7", "soak": False,
            "test": "tests/test_reliability_page.py::test_a"}  # fmt: skip
    return base | facts


# --- what is published -----------------------------------------------------------------------------------------------


def test_the_page_is_what_the_results_give() -> None:
    made = subprocess.run([sys.executable, str(SCRIPT), "--print"], check=True, capture_output=True, text=True).stdout
    assert made == (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists(script: Any) -> None:
    nodes = {one["test"] for one in script.results()}
    assert {node for node in nodes if not script.exists(node)} == set()


def test_every_bar_stands_there_once(script: Any) -> None:
    headings = re.findall(r"^## Bar (\d+)$", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(n) for n in headings] == list(range(1, 41)) == [one.number for one in script.promises()]


def test_what_is_not_met_says_why(script: Any) -> None:
    """Where it is not clear what would meet it, the table says what is missing; else the page says what is still open."""
    for one in script.promises():
        assert one.needs or one.missing, f"bar {one.number}"
        for some in ([], [f for f in script.results() if f["bar"] == one.number]):
            status = one.status(some)
            text = "\n".join(script.section(one, some, status))
            reason = re.search(r"^\*\*(Not yet|Partly)\*\*: |^Still open: ", text, re.MULTILINE)
            assert status == "met" or reason, f"bar {one.number}"


# --- how it is made --------------------------------------------------------------------------------------------------


def test_without_figures_nothing_is_met(script: Any) -> None:
    assert {one.status([]) for one in script.promises()} == {"not yet"}


def test_a_figure_alone_is_not_enough(script: Any) -> None:
    """Only a table that says what is needed makes a bar met."""
    one = script.Promise(number=1, promise="p", goal="g")
    assert one.status([figure()]) == "partly"


@pytest.mark.parametrize(
    ("need", "facts", "expected"),
    [
        ({"equals": 0}, {"found": "0"}, True),
        ({"equals": 0}, {"found": "1"}, False),
        ({"equals": "10/10"}, {"found": "10/10"}, True),
        ({"equals": "10/10"}, {"found": "9/10"}, False),
        ({"at_least": 10}, {"found": "11/11"}, True),
        ({"at_least": 10}, {"found": "10/11"}, False),
        ({"at_most": 20}, {"found": "20.0"}, True),
        ({"at_most": 20}, {"found": "20.1"}, False),
        ({"at_most": 20}, {"found": "[13, 21]"}, False),
        ({"at_most": 20}, {"found": "few"}, False),
        ({"at_least": 1_000}, {"found": "1,000"}, True),
        ({"at_least": 1_000}, {"found": "999"}, False),
        ({"sum_at_least": 10}, {"found": "9"}, False),
        ({"kinds_at_least": 2, "equals": 0}, {"found": "0"}, False),
        ({"equals": 0, "soak": True}, {"found": "0"}, False),
        ({"equals": 0, "soak": True}, {"found": "0", "soak": True}, True),
        ({"equals": 0, "of": "10 kills"}, {"found": "0"}, False),
        ({}, {"found": "4", "goal": "≤ 4 (the concurrency)"}, True),
        ({}, {"found": "5", "goal": "≤ 4 (the concurrency)"}, False),
        ({}, {"found": "5", "goal": "as few as can be"}, False),
        ({}, {"found": "1,200", "goal": "≥ 1,000"}, True),
        ({}, {"found": "21", "goal": "21"}, True),
        ({}, {"found": "0", "goal": "21"}, False),
    ],
)
def test_a_need_is_held_to_its_limit(script: Any, need: dict[str, Any], facts: dict[str, Any], *, expected: bool) -> None:
    one = script.Promise(number=1, promise="p", goal="g", needs=(script.Need(what="rows lost", **need),))
    assert (one.status([figure(**facts)]) == "met") is expected


def test_one_bad_figure_among_good_ones_is_seen(script: Any) -> None:
    one = script.Promise(number=1, promise="p", goal="g", needs=(script.Need(what="rows lost", equals=0),), missing="m")
    some = [figure(), figure(found="3", test="tests/test_reliability_page.py::test_b")]
    assert one.status(some) == "partly"
    text = "\n".join(script.section(one, some, "partly"))
    assert "found 3" in text
    assert "| rows lost | 0 to 3 |" in text


def test_a_newer_run_of_a_test_replaces_all_it_said_before(script: Any) -> None:
    here = "tests/test_reliability_page.py::test_without_figures_nothing_is_met"
    other = "tests/test_reliability_page.py::test_a_figure_alone_is_not_enough"
    old = [figure(what="gone now", test=here), figure(what="stays", test=other), figure(test="tests/no_such.py::test_x")]
    found = script.merge(old, [figure(what="new", test=here)])
    assert [(f["what"], f["test"]) for f in found] == [("new", here), ("stays", other)]


def test_commands_name_the_long_tests_apart(script: Any) -> None:
    some = [figure(), figure(test="tests/a.py::test_b[x]", soak=True), figure(test="benchmarks/safety.py")]
    assert script.commands(some) == [
        "make test ARGS='tests/test_reliability_page.py::test_a'",
        ".venv/bin/python -m benchmarks.safety",
        "make soak ARGS='tests/a.py::test_b'",
    ]
