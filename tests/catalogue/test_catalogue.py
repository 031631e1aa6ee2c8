"""The catalogue of faults is whole, names tests that there are, and docs/faults.md is made of it."""

from __future__ import annotations

import os
import re

from tests.bars import Bar
from tests.catalogue.commands import COMMANDS
from tests.catalogue.on_postgres import POSTGRES
from tests.catalogue.scenarios import SCENARIOS
from tests.catalogue.table import ROOT, Fault, faults, page
from tests.catalogue.test_messages import GOLDEN
from tests.catalogue.told import Told, level

TEXTS = {*SCENARIOS, *POSTGRES, *COMMANDS}
PAGE = ROOT / "docs" / "faults.md"


def test_every_fault_stands_there_once() -> None:
    assert list(faults()) == [f"F{n:02}" for n in range(1, 98)]


def test_every_test_that_is_named_exists() -> None:
    wrong = []
    for fault in faults().values():
        for node in fault.tests:
            file, _, name = node.partition("::")
            path = ROOT / file
            if not path.is_file() or (name and not re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)):
                wrong.append((fault.name, node))
    assert not wrong


def test_what_is_not_tried_or_has_no_text_says_why() -> None:
    """And only that."""
    for fault in faults().values():
        tried = bool(fault.tests) or fault.name in TEXTS
        assert tried is not bool(fault.not_yet), fault.name
        assert (fault.name in TEXTS) is not bool(fault.no_text or fault.not_yet), fault.name


def test_there_is_a_file_for_each_text_and_none_besides(bar: Bar) -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == TEXTS
    failed = [faults()[name] for name in TEXTS if faults()[name].code]  # a run that ends with 0 needs to say nothing
    whole = sum(not fault.lacks for fault in failed)
    bar(31, "faults whose whole message is kept in a file", found=len(TEXTS), goal="≥ 97", of="97 faults")
    bar(31, "messages with sync, place, key and next command where they should be", found=f"{whole}/{len(failed)}", goal="all",
        of="the faults with a text whose run does not end with 0")  # fmt: skip
    bar(32, "faults whose exit code is asserted with their text", found=len(TEXTS), goal="≥ 97", of="97 faults")


def test_the_page_is_made_of_the_catalogue() -> None:
    """`GOLDEN=write` writes it."""
    text = page(faults().values(), TEXTS)
    if os.environ.get("GOLDEN") == "write":
        PAGE.write_text(text, encoding="utf-8")
    assert text == PAGE.read_text(encoding="utf-8")


def test_a_missing_part_of_a_message_is_seen() -> None:
    fault = Fault(name="F00", wrong="w", does="d", code=10, blames=("file", "key"))
    whole = "error: syncs/people.yml:3: sync 'people': no (one key: cu…3 (13 characters))\n  → revetl run --select people"
    assert fault.missing(Told(code=10, text=whole)) == set()
    for part, text in {"next": whole.partition("\n")[0], "file": whole.replace(":3", ""), "key": whole.replace("…", ""),
                       "sync": whole.replace("people", "x")}.items():  # fmt: skip
        assert fault.missing(Told(code=10, text=text)) == {part}


def test_only_what_varies_is_levelled() -> None:
    said = "127.0.0.1:8080 in /tmp/pytest-1/x.duckdb, 12.5 s, wait 3 min 2 s (PID 44): 40 rows, run 3 of 17 requests, 0.1 s"
    assert level(said) == "127.0.0.1:PORT in /…/x.duckdb, TIME, wait TIME (PID n): 40 rows, run 3 of some requests, TIME"
