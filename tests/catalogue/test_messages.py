"""Every fault that can be provoked on one machine: its exit code, and the whole message against a file."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from tests.bars import Bar
from tests.catalogue.commands import COMMANDS
from tests.catalogue.on_postgres import POSTGRES, server
from tests.catalogue.scenarios import SCENARIOS
from tests.catalogue.table import faults
from tests.catalogue.told import Told
from tests.faults.runs import Scene

GOLDEN = Path(__file__).parent.parent / "golden" / "faults"


def judged(name: str, found: Told, bar: Bar) -> None:
    """Its exit code is the promised one, 0 only with nothing left, and the message is the known one with all its parts.

    `GOLDEN=write` writes the file, for a look at the difference in git.
    """
    fault = faults()[name]
    text = f"exit code {found.code}\n\n{found.text}\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert found.code == fault.code, found.text
    assert found.code != 0 or found.left == 0, "exit code 0 and rows that are not acknowledged"
    assert text == path.read_text(encoding="utf-8")
    assert fault.missing(found) == set(fault.lacks), "what the message lacks stands in faults.toml"
    bar(32, f"{name} in the catalogue: exit code", found=found.code, goal=str(fault.code))
    if found.code == 0:
        bar(32, "rows unsent at exit code 0", found=found.left, goal="0")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_message_of_a_run(name: str, shop: Scene, bar: Bar) -> None:
    judged(name, SCENARIOS[name](shop), bar)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", POSTGRES)
def test_the_message_of_a_run_on_a_server(name: str, postgres_uri: str, bar: Bar) -> None:
    with server(postgres_uri) as on:
        found = POSTGRES[name](on)
        gc.collect()  # a cursor of a lost connection complains when it goes
    judged(name, found, bar)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_message_of_a_command(name: str, tmp_path: Path, bar: Bar) -> None:
    judged(name, COMMANDS[name](tmp_path), bar)
