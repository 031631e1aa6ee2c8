"""`make reliability`: docs/reliability.md from what the tests measured.

    python scripts/reliability.py [FILE]...

Each FILE holds figures as `pytest --bars FILE` writes them. They are merged into docs/reliability.json, in which a test
has the figures of its newest run only, and the page is made of that and of the promises in docs/reliability.toml.
Without a FILE the page is made anew. `--print` shows it and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE, RESULTS, PAGE = ROOT / "docs/reliability.toml", ROOT / "docs/reliability.json", ROOT / "docs/reliability.md"
BARS = range(1, 41)
FEW = 4  # more tests than this in one file are repeated by the file's name
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
PART = re.compile(r"(\d[\d,]*)/(\d[\d,]*)")  # so many of so many
GOAL = re.compile(r"(?P<sign>≤|<=|≥|>=)?\s*(?P<number>\d[\d,]*(?:\.\d+)?)(?:\s*\(.*\)|,.*)?")
HEAD = """\
# What was measured

revetl promises that a sync survives everything: whatever fails, and whenever, nothing is lost, nothing is doubled, and
one clean run repairs it. Each promise has a number, a figure that it asks for, and tests that measure it. This page
is made from their results (`make reliability`, which publishes nothing unless every test passes); figures come from
the tests' own counting, never from the code under test.

**met**: every figure that the promise needs was measured and is as good as asked. **partly**: some are. **not yet**:
nothing was measured, and the reason is given. How a run is made so that this can hold is explained in
[the commit protocol](protocol.md); what can go wrong, one by one, is listed in [the catalogue of faults](faults.md).
"""

Figure = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A part of a promise: these figures have to be so."""

    what: str
    of: str = ".*"
    says: str = ""
    equals: str | float | None = None
    at_most: float | None = None
    at_least: float | None = None
    sum_at_least: float | None = None
    kinds_at_least: int = 1
    soak: bool = False

    def covers(self, figure: Figure) -> bool:
        """Whether it speaks of this figure, wherever that was measured."""
        return re.fullmatch(self.what, figure["what"]) is not None

    def chosen(self, figures: Iterable[Figure]) -> list[Figure]:
        """The figures that count."""
        return [f for f in figures if self.covers(f) and re.fullmatch(self.of, f["of"]) and (f["soak"] or not self.soak)]

    def holds(self, figures: Sequence[Figure]) -> bool:
        """Whether the chosen ones are enough, and as good as asked."""
        chosen = self.chosen(figures)
        if len({f["what"] for f in chosen}) < self.kinds_at_least:
            return False
        if self.sum_at_least is not None:
            return sum(sum(numbers(f["found"])) for f in chosen) >= self.sum_at_least
        return all(self.good(f) for f in chosen)

    def good(self, figure: Figure) -> bool:
        """Whether one figure is as asked: by this need's own limit, else by the test's goal."""
        found = numbers(figure["found"])
        part = PART.fullmatch(figure["found"])
        if part and part[1] != part[2]:
            return False
        if isinstance(self.equals, str):
            return str(figure["found"]) == self.equals
        if self.equals is not None:
            return bool(found) and all(n == self.equals for n in found)
        if self.at_most is not None:
            return bool(found) and all(n <= self.at_most for n in found)
        if self.at_least is not None:
            return bool(found) and all(n >= self.at_least for n in found)
        return judged(figure["found"], figure["goal"]) is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One row of the table."""

    number: int
    promise: str
    goal: str
    missing: str = ""
    needs: tuple[Need, ...] = ()

    def status(self, figures: Sequence[Figure]) -> str:
        """met, partly or not yet."""
        if not figures:
            return "not yet"
        return "met" if self.needs and all(need.holds(figures) for need in self.needs) else "partly"


@dataclass(slots=True)
class Line:
    """Figures with the same name, told together."""

    what: str
    figures: list[Figure] = field(default_factory=list)


def numbers(text: str) -> list[float]:
    """The numbers in a figure."""
    return [float(n.replace(",", "")) for n in NUMBER.findall(text)]


def judged(found: str, goal: str) -> bool | None:
    """Whether a figure reaches a goal like `0`, `≤ 20` or `≥ 4 (why)`; None where that is not for a program to say."""
    if found == goal:
        return True
    match, have = GOAL.fullmatch(goal), numbers(found)
    if match is None or not have:
        return None
    wanted = float(match["number"].replace(",", ""))
    if match["sign"] in {"≤", "<="}:
        return all(n <= wanted for n in have)
    if match["sign"] in {"≥", ">="}:
        return all(n >= wanted for n in have)
    return all(n == wanted for n in have)


# --- reading ---------------------------------------------------------------------------------------------------------


def promises(path: Path = TABLE) -> list[Promise]:
    """The table, which has every number once."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["bar"]
    found = [Promise(**{**row, "needs": tuple(Need(**need) for need in row.get("needs", ()))}) for row in rows]
    if [one.number for one in found] != list(BARS):
        raise SystemExit(f"{path} must have the numbers {BARS[0]} to {BARS[-1]} once each, in that order")
    return found


def results(path: Path = RESULTS) -> list[Figure]:
    """What was published last."""
    return list(json.loads(path.read_text(encoding="utf-8"))["figures"]) if path.exists() else []


def measured(path: Path) -> list[Figure]:
    """What a run of the tests wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def exists(node: str, root: Path = ROOT) -> bool:
    """Whether there is such a test: its file, and its function in it."""
    file, _, name = node.partition("::")
    name = name.split("[")[0].rsplit("::", 1)[-1]
    path = root / file
    return path.is_file() and (not name or re.search(rf"\b{re.escape(name)}\b", path.read_text(encoding="utf-8")) is not None)


def merge(old: Iterable[Figure], new: Iterable[Figure]) -> list[Figure]:
    """A test's newest run replaces all that it measured before; what no test measures any more goes."""
    new = list(new)
    again = {f["test"] for f in new}
    kept = [f for f in old if f["test"] not in again and exists(f["test"])]
    unique = {(f["bar"], f["what"], f["of"], f["test"]): f for f in [*kept, *new]}
    return sorted(unique.values(), key=lambda f: (f["bar"], f["what"], f["test"], f["of"]))


# --- the page --------------------------------------------------------------------------------------------------------


def page(table: Sequence[Promise], figures: Sequence[Figure]) -> str:
    """docs/reliability.md."""
    of = {one.number: [f for f in figures if f["bar"] == one.number] for one in table}
    status = {one.number: one.status(of[one.number]) for one in table}
    count = {word: sum(s == word for s in status.values()) for word in ("met", "partly", "not yet")}
    out = [HEAD, f"Of {len(table)} promises, {count['met']} are met, {count['partly']} partly, and {count['not yet']} "
           "not yet.", "", "| | promise | |", "| ---: | --- | --- |"]  # fmt: skip
    out += [
        f"| [{one.number}](#bar-{one.number}) | {one.promise} | {mark(status[one.number])} |" for one in table
    ]
    for one in table:
        out += ["", f"## Bar {one.number}", "", *section(one, of[one.number], status[one.number])]
    return "\n".join(out) + "\n"


def mark(status: str) -> str:
    """Bold where it is good."""
    return f"**{status}**" if status == "met" else status


def section(one: Promise, figures: Sequence[Figure], status: str) -> list[str]:
    """A promise with its figures."""
    out = [f"{one.promise}", "", f"Asked: {one.goal}.", ""]
    missing = one.missing or ("" if figures else "the tests that measure it did not run for this page")
    why = f": {missing}" if missing and status != "met" else ""
    out.append(f"**{status.capitalize()}**{why}.")
    if not figures:
        return out
    out += ["", "| measured | found | asked | of | seed |", "| --- | ---: | ---: | --- | ---: |"]
    out += [row(line) for line in lines(one, figures)]
    open_needs = [need for need in one.needs if not need.holds(figures)]
    if open_needs:
        out += ["", "Still open: " + "; ".join(_open(need, figures) for need in open_needs) + "."]
    out += ["", "To repeat:", "", "```sh", *commands(figures), "```"]
    return out


def _open(need: Need, figures: Sequence[Figure]) -> str:
    name = need.says or need.what.replace(".*", "…")
    bad = [f["found"] for f in need.chosen(figures) if need.sum_at_least is None and not need.good(f)]
    if bad:
        return f"{name} (found {', '.join(bad[:FEW])})"
    return name + (" (by the long test)" if need.soak else "")


def lines(one: Promise, figures: Sequence[Figure]) -> list[Line]:
    """The figures by name, or by the name that the table has for several."""
    found: dict[str, Line] = {}
    for figure in figures:
        need = next((n for n in one.needs if n.says and n.covers(figure)), None)
        name = need.says if need else figure["what"]
        found.setdefault(name, Line(name)).figures.append(figure)
    return list(found.values())


def row(line: Line) -> str:
    """One row of the table of a promise."""
    some = line.figures
    names = len({f["what"] for f in some})
    if line.what != some[0]["what"] or names > 1:
        wrong = sum(judged(f["found"], f["goal"]) is not True for f in some)
        cells = [line.what, f"{wrong}", "0", f"{names} of them", seeds(some)]
    else:
        cells = [line.what, spread([f["found"] for f in some]), spread([f["goal"] for f in some]), tried(some), seeds(some)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def spread(texts: Sequence[str]) -> str:
    """One text, or the lowest and the highest."""
    unique = list(dict.fromkeys(texts))
    if len(unique) == 1:
        return unique[0]
    if all(NUMBER.fullmatch(text) for text in unique):
        ordered = sorted(unique, key=lambda text: numbers(text)[0])
        return f"{ordered[0]} to {ordered[-1]}"
    return "; ".join(unique) if len(unique) <= FEW else f"{unique[0]}; … ({len(unique)} different)"


def tried(figures: Sequence[Figure]) -> str:
    """How much was tried."""
    unique = list(dict.fromkeys(f["of"] for f in figures if f["of"]))
    if len(unique) <= FEW:
        return "; ".join(unique)
    return f"{unique[0]}; and {len(unique) - 1} more like it"


def seeds(figures: Sequence[Figure]) -> str:
    """Of the randomness."""
    return ", ".join(dict.fromkeys(f["seed"] for f in figures if f["seed"]))


def commands(figures: Sequence[Figure]) -> list[str]:
    """What to type to measure it again; long tests apart."""
    out = []
    for soak, target in ((False, "test"), (True, "soak")):
        by_file: dict[str, list[str]] = {}
        for node in dict.fromkeys(f["test"].split("[")[0] for f in figures if f["soak"] is soak):
            by_file.setdefault(node.partition("::")[0], []).append(node)
        for file, nodes in by_file.items():
            if file.startswith("benchmarks/"):
                out.append(f".venv/bin/python -m {file.removesuffix('.py').replace('/', '.')}")
            else:
                out += [f"make {target} ARGS='{node}'" for node in (nodes if len(nodes) <= FEW else [file])]
    return out


def main() -> None:
    """Merge, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--print", action="store_true", dest="show")
    options = parser.parse_args()
    table, found = promises(), merge(results(), [f for file in options.files for f in measured(file)])
    text = page(table, found)
    if options.show:
        print(text, end="")
        return
    lines = ",\n".join("  " + json.dumps(f, ensure_ascii=False) for f in found)
    RESULTS.write_text('{"figures": [\n' + lines + "\n]}\n", encoding="utf-8")
    PAGE.write_text(text, encoding="utf-8")
    status = [one.status([f for f in found if f["bar"] == one.number]) for one in table]
    print(f"{len(found)} figures: {', '.join(f'{status.count(word)} {word}' for word in ('met', 'partly', 'not yet'))}")


if __name__ == "__main__":
    main()
