"""The report of duplicates, as text and as JSON: counts and masked keys; whole keys only where they were asked for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from revetl.duplicates import Candidates, Found, Group
from revetl.engine import masked
from revetl.report import JSON_VERSION, Heading, Style, unique_id

GROUPS = 3  # shown of each rule


def as_text(found: Sequence[Candidates], style: Style, *, show_values: bool = False) -> str:
    """For a terminal.

    Args:
        show_values: whole keys.
    """
    out: list[str] = []
    for one in found:
        if not one.found:
            out.append(f"{one.sync.name}: no rule tells duplicates; declare some with `duplicates:`")
            continue
        rules = [("rule", "groups", "people", "in the last runs"), *(_line(each, style) for each in one.found)]
        widths = [max(len(line[i]) for line in rules) for i in range(3)]
        lines = [
            f"  {name:<{widths[0]}}  {groups:>{widths[1]}}  {people:>{widths[2]}}  {before}".rstrip()
            for name, groups, people, before in rules
        ]
        out.append(f"{one.sync.name}: people of the model {one.sync.model!r} who may be one person")
        out += [style.paint(lines[0], "dim"), *lines[1:]]
        for each in one.found:
            out += [_group(each, group, style, show_values=show_values) for group in each.largest]
        if one.sync.duplicates is None and one.any:
            out.append("  runs do not count them; to see the numbers over time, add to the sync: duplicates: []")
    if any(one.any for one in found):
        out.append("Correct them where they come from, or let Customer.io merge them: a sync of `type: merge`.")
    else:
        out.append("No duplicates were found by these rules.")
    return "\n".join(out)


def _line(one: Found, style: Style) -> tuple[str, str, str, str]:
    between = f" {style.arrow} "
    return one.rule.name, f"{one.groups:,}", f"{one.people:,}", between.join(f"{groups:,}" for groups, _ in one.before)


def _group(one: Found, group: Group, style: Style, *, show_values: bool) -> str:
    keys = [_printable(key) if show_values else masked(key) for key in (group.first, group.last)]
    rest = group.people - len(keys)
    also = f" and {rest:,} more" if rest else ""
    return style.paint(f"    {one.rule.name}: ", "dim") + ", ".join(keys) + also


def _printable(key: str) -> str:
    return repr(key) if key != key.strip() or not key.isprintable() else key


def as_json(found: Sequence[Candidates], heading: Heading) -> dict[str, Any]:
    """For programs; without keys."""
    return {
        "schema_version": JSON_VERSION,
        "command": "identity report",
        "project": heading.project,
        "target": heading.target,
        "syncs": [
            {
                "name": one.sync.name,
                "unique_id": unique_id(heading.project, one.sync.name),
                "model": one.sync.model,
                "rules": [
                    {
                        "name": each.rule.name, "columns": list(each.rule.columns), "normalize": str(each.rule.normalize),
                        "groups": each.groups, "people": each.people,
                        "before": [{"groups": groups, "people": people} for groups, people in each.before],
                    }
                    for each in one.found
                ],
            }
            for one in found
        ],
        "duplicates": sum(each.groups for one in found for each in one.found),
    }  # fmt: skip

