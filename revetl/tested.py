"""How tests and sources ended, as text in dbt's words and as JSON. Pure; counts and names only, never a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from revetl.report import JSON_VERSION, Heading, Style, outcome_json, plural

if TYPE_CHECKING:
    from revetl.gates import Outcome

WIDTH = 80
COLORS = {"pass": "green", "warn": "yellow", "fail": "red", "error": "red"}


def _word(one: Outcome) -> str:
    if one.status in {"pass", "error"}:
        return one.status.upper()
    if one.test is None:
        return "ERROR STALE" if one.status == "fail" else "WARN"
    return f"{one.status.upper()} {one.failures}"


def line(number: int, total: int, one: Outcome, style: Style) -> str:
    """One line as it ends: `1 of 4 PASS not_null_people_id ..... [PASS in 0.02s]`."""
    word, name = _word(one), one.name if one.test else f"freshness of {one.name}"
    head = f"{number} of {total} {word} {name} "
    painted = style.paint(word, COLORS[one.status])
    return f"{head.ljust(WIDTH, '.')} [{painted} in {one.seconds:.2f}s]"


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many ended how."""
    return {status: sum(1 for one in outcomes if one.status == status) for status in ("pass", "warn", "fail", "error")}


def as_text(outcomes: Sequence[Outcome], seconds: float, style: Style, what: str) -> str:
    """The end of `revetl test` and `revetl source freshness`."""
    if not outcomes:
        return "there are no tests" if what != "source" else "no source has a `freshness`"
    out = [f"Finished running {plural(len(outcomes), what)} in {seconds:.2f}s."]
    for one in outcomes:
        if one.status == "pass":
            continue
        named = {"warn": "Warning in", "fail": "Failure in", "error": "Error in"}[one.status]
        where = one.test.where if one.test else one.freshness.where if one.freshness else ""
        kind = "test" if one.test else "freshness of source"
        out += ["", style.paint(f"{named} {kind} {one.name} ({where})", COLORS[one.status]), f"  {one.told}"]
        if one.problem is not None and one.problem.hint:
            out.append(f"  {style.arrow} {one.problem.hint}")
        if one.compiled:
            out += ["", f"  compiled code at {one.compiled}"]
    found = counts(outcomes)
    tail = f"PASS={found['pass']} WARN={found['warn']} ERROR={found['fail'] + found['error']} SKIP=0 TOTAL={len(outcomes)}"
    return "\n".join([*out, "", f"Done. {tail}"])


def as_json(outcomes: Sequence[Outcome], seconds: float, heading: Heading, command: str) -> Mapping[str, Any]:
    """The same for programs."""
    return {
        "schema_version": JSON_VERSION, "command": command, "project": heading.project, "target": heading.target,
        "destination": heading.destination, "version": heading.version, "seconds": round(seconds, 3),
        "results": [outcome_json(one) for one in outcomes], "totals": {**counts(outcomes), "total": len(outcomes)},
    }  # fmt: skip
