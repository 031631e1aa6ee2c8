"""The catalogue of faults as values, and docs/faults.md as text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.catalogue.told import Told

ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = """\
# What can go wrong

97 faults, and what revetl does in each. Those with a text were provoked by a test, which compares the exit code and
every word of the message, its notes and summary included, with a file; the link leads to it (times, ports and names that
differ from machine to machine stand there as `TIME`, `PORT`, `OWNER`). When a run does not end with 0, its message should
say which sync, the file and line where a file is to blame, the key (masked) where a row is, the reason, and the next
command to type; where one of these is missing, this page says so. A killed process says nothing, so its text is that of the
next run; there the first run ends by an exception at the same place, while the tests in `tests/crash` kill a real
process with SIGKILL. Exit codes are explained in [exit codes](exit-codes.md), what was measured is on
[the page of results](reliability.md).
"""
# what a person can type or put into a file next
COMMAND = re.compile(r"→ .*(?:revetl [a-z]+|pip install|add this line|set `|on: pull_request)")
PLACE = re.compile(r"[\w/]+\.(?:yml|sql):\d+")
KEY = re.compile(r"\S{2}…\S \(\d+ characters\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row; see faults.toml."""

    name: str
    wrong: str
    does: str
    code: int
    part: str = ""
    died: bool = False
    tests: tuple[str, ...] = ()
    blames: tuple[str, ...] = ()
    of: str = "sync"
    lacks: tuple[str, ...] = ()
    no_text: str = ""
    not_yet: str = ""

    def missing(self, told: Told) -> set[str]:
        """Parts that the message of this fault should have and has not."""
        if told.code == 0:
            return set()
        found = {"next": COMMAND, "file": PLACE, "key": KEY, "sync": re.compile(r"\b(?:people|orders)\b")}
        wanted = {"next", *self.blames, *(["sync"] if self.of == "sync" else [])}
        return {part for part in wanted if not found[part].search(told.text)}


def faults() -> dict[str, Fault]:
    """The table, in its order."""
    rows = tomllib.loads((Path(__file__).parent / "faults.toml").read_text(encoding="utf-8"))
    lists = ("tests", "blames", "lacks")

    def fault(name: str, row: dict[str, Any]) -> Fault:
        values: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in row.items()}
        return Fault(name=name, **values)

    return {name: fault(name, row) for name, row in rows.items()}


def page(found: Iterable[Fault], texts: Collection[str]) -> str:
    """docs/faults.md; `texts` are the faults whose message is kept."""
    out = [HEAD]
    found = list(found)
    kept, tried = len(texts), sum(not f.not_yet for f in found)
    failed = [f for f in found if f.name in texts and f.code]
    whole = sum(not f.lacks for f in failed)
    out.append(f"Of {len(found)}, {tried} are injected by tests, and {kept} have their whole message in a file. Of these, "
               f"{len(failed)} end with another code than 0, and {whole} of their messages have every part.")  # fmt: skip
    for fault in found:
        if fault.part:
            out += ["", f"## {fault.part}", "", "| | what goes wrong | what revetl does | exit code | message |",
                    "| --- | --- | --- | --- | --- |"]  # fmt: skip
        code = f"killed; then {fault.code}" if fault.died else str(fault.code)
        out.append(f"| {fault.name} | {fault.wrong} | {fault.does} | {code} | {_message(fault, texts)} |")
    out += ["", "## Where each is tested", ""]
    for fault in found:
        nodes = [*fault.tests, *([f"tests/catalogue/test_messages.py ({fault.name})"] if fault.name in texts else [])]
        out.append(f"- {fault.name}: " + ("; ".join(f"`{node}`" for node in nodes) or "not yet"))
    return "\n".join(out) + "\n"


def _message(fault: Fault, texts: Collection[str]) -> str:
    if fault.not_yet:
        return f"not yet: {fault.not_yet}"
    if fault.name not in texts:
        return fault.no_text
    words = {"next": "the next command to type", "file": "file and line", "key": "the key", "sync": "the sync"}
    lacks = f"; it lacks {' and '.join(words[part] for part in fault.lacks)}" if fault.lacks else ""
    return f"[text](../tests/golden/faults/{fault.name}.txt){lacks}"
