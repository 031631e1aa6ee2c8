"""Results as Markdown for a pull request or a job's summary page. Pure.

It holds counts, names of columns and types, never a key or a value. Names are escaped, so that none of them can
link, mention, or break a table. The size is bounded by leaving out whole sections.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from revetl.report import (
    STATUS,
    Heading,
    alike,
    contract_title,
    duration,
    explained,
    held_back,
    plural,
    run_errors,
    tally,
    visits,
)

if TYPE_CHECKING:
    from revetl.engine import DiffResult, RunResult, SyncDiff
    from revetl.errors import RevetlError
    from revetl.reasons import Reason

MARKDOWN_BYTES = (
    60_000  # GitHub refuses a comment above 65,536 characters, and tools count bytes or characters
)


def escaped(text: str) -> str:
    """A name that Markdown shows as it is: no link, mention, table cell or markup comes out of it."""
    return _entities(re.sub(r"([\\`*_\[\]~])", r"\\\1", _apart(text))).replace("|", "&#124;")


def _apart(text: str) -> str:
    """On one line, with zero-width spaces: GitHub looks for mentions, issues and hosts in the text that it shows."""
    return re.sub(r"([@#]|www(?=\.)|gh(?=-))", "\\1\u200b", " ".join(text.split()), flags=re.IGNORECASE)


def _entities(text: str) -> str:
    """Without tags and addresses."""
    flat = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return flat.replace("://", ":&#47;&#47;")


def _marker(kind: str, heading: Heading) -> str:
    """Lets a bot find its own comment again; two hyphens would end the HTML comment."""

    def plain(text: str) -> str:
        return re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9_.-]+", "_", text)).strip("-")

    return f"<!-- revetl:{kind} project={plain(heading.project)} target={plain(heading.target)} -->"


def fitted(head: str, sections: Sequence[str], foot: str, limit: int) -> str:
    """Head, sections and foot in at most `limit` UTF-8 bytes; whole sections are dropped, from the end."""
    note = "\n\n<sub>{} left out to fit; `revetl diff` shows all of it.</sub>"
    room = (
        limit
        - len(head.encode())
        - len(foot.encode())
        - len(note.format(plural(len(sections), "section")).encode())
        - 4
    )
    kept: list[str] = []
    for section in sections:
        size = len(section.encode()) + 2
        if size > room:
            break
        kept.append(section)
        room -= size
    dropped = len(sections) - len(kept)
    parts = [head, *kept]
    text = "\n\n".join(parts)
    if dropped:
        text += note.format(plural(dropped, "section"))
    return text + "\n\n" + foot + "\n"


def _rows_within(rows: Sequence[str], limit: int) -> list[str]:
    """Table rows in at most `limit` bytes, then one that says how many are missing."""
    kept: list[str] = []
    for row in rows:
        limit -= len(row.encode()) + 1
        if limit < 0:
            return [*kept, f"| … and {len(rows) - len(kept):,} more |"]
        kept.append(row)
    return kept


def diff_markdown(result: DiffResult, heading: Heading, *, limit: int = MARKDOWN_BYTES) -> str:
    """A diff for a pull request, at most `limit` UTF-8 bytes; without keys and values, whatever the names hold."""
    changing = [
        d for d in result.syncs
        if d.counts.planned or d.counts.quarantined or d.problems or d.contract.changes or d.warnings
    ]  # fmt: skip
    stopped = sum(1 for d in result.syncs if d.problems)
    title = "### revetl diff: " + (
        f"{len(changing)} of {plural(len(result.syncs), 'sync')} would change something"
        if changing
        else "no changes"
    )
    if stopped:
        title += f", {stopped} would be stopped"
    foot = _foot(heading, result.fingerprint)
    marker = _marker("diff", heading)
    if not changing:
        unchanged = plural(sum(d.counts.unchanged for d in result.syncs), "row")
        return f"{marker}\n{title} ({unchanged} in {plural(len(result.syncs), 'sync')})\n\n{foot}\n"
    order = sorted(
        result.syncs,
        key=lambda d: (
            -len(d.problems),
            -d.counts.deleted,
            -d.counts.updated,
            -d.counts.planned,
            d.sync.name,
        ),
    )
    rows = [_diff_row(d) for d in order if d in changing]
    quiet = len(result.syncs) - len(changing)
    head = "\n".join(
        [
            marker,
            title,
            "",
            "| Sync | Create | Update | Re-drive | Delete | Unchanged | Refused | Held | Waiting "
            "| To send | Requests ≥ |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *_rows_within(rows, limit // 2),
        ]
    )
    if quiet:
        head += f"\n\n{plural(quiet, 'sync')} without changes."
    warnings = ["\n>\n".join(_warning(problem) for problem in d.problems) for d in order if d.problems]
    return fitted(head, [*warnings, *(s for d in order for s in _diff_sections(d))], foot, limit)


def _warning(problem: RevetlError) -> str:
    hint = f"<br>→ {escaped(problem.hint)}" if problem.hint else ""
    return f"> ⚠️ {escaped(problem.message)}{hint}"


def _diff_row(diff: SyncDiff) -> str:
    c = diff.counts
    mark = "⚠️ " if diff.problems else ""
    send = 0 if diff.baseline else c.sendable
    share = ""
    if c.updated and c.state_rows:
        part = c.updated / c.state_rows
        share = f" ({part:.0%})" if part >= 0.01 else " (&lt;1%)"  # noqa: PLR2004 below it rounds to nothing
    takes = f" (≈ {duration(diff.seconds)})" if diff.requests else ""
    numbers = [f"+{c.created:,}" if c.created else "0", f"~{c.updated:,}{share}" if c.updated else "0",
               f"{c.redriven:,}", f"−{c.deleted:,}" if c.deleted else "0", f"{c.unchanged:,}", f"{c.refused:,}",
               f"{c.on_hold:,}", f"{c.waiting:,}", f"{send:,}", f"{diff.requests:,}{takes}"]  # fmt: skip
    return f"| {mark}{escaped(diff.sync.name)} | " + " | ".join(numbers).replace("~", "\\~") + " |"


def _diff_sections(diff: SyncDiff) -> list[str]:
    c = diff.counts
    out: list[str] = []
    hits = sorted(((n, field) for field, n in c.changed.items() if n), key=lambda pair: (-pair[0], pair[1]))
    if hits:
        types = {field.name: str(field.type) for field in diff.sync.fields}
        lines = [f"| {escaped(field)} | {types.get(field, '')} | {n:,} |" for n, field in hits]
        out.append("\n".join([f"<details><summary>{_html(diff.sync.name)}: attributes of {plural(c.updated, 'update')}"
                              "</summary>", "", "| Attribute | Type | Rows changed |", "|---|---|---:|",
                              *_rows_within(lines, 12_000), "", "</details>"]))  # fmt: skip
    if diff.checked is not None and diff.checked.reasons:
        found = diff.checked
        title = f"{_html(diff.sync.name)}: of {plural(found.rows, 'row')} to send"
        title += f" {found.refused:,} would be refused, {found.warned:,} sent with a warning" if found.whole else ""
        out.append(_reasons(title, found.reasons))
    if diff.contract.changes:
        lines = [f"| {escaped(x.name)} | {escaped(x.text)} | {x.kind}{' ⚠️' if x.breaks else ''} |" for x in diff.contract.changes]
        title = f"{_html(diff.sync.name)}: {contract_title(diff.contract)}"
        out.append("\n".join([f"<details open><summary>{title}</summary>", "", "| Field | Change | Kind |", "|---|---|---|",
                              *_rows_within(lines, 12_000), "", "</details>"]))  # fmt: skip
    notes = held_back([replace(one, example="") for one in diff.quarantine])
    notes += [*alike([replace(one, example="") for one in diff.lookalikes]), *visits(diff.visitors)]
    notes += explained(diff.sync, c, refused=c.refused, baseline=diff.baseline, ran=False)
    notes += [(str(dual), "") for dual in diff.dual_sends]
    notes += [(f"warning: {w.message} [{w.code}]", w.hint) for w in diff.warnings]
    if diff.first_run and not diff.baseline and c.planned:
        notes.insert(0, ("first run: nothing of this sync was ever sent", ""))
    if notes:
        lines = [
            f"- {escaped(text)}" + (f" → {escaped(command)}" if command else "") for text, command in notes
        ]
        out.append(
            "\n".join(
                [f"<details><summary>{_html(diff.sync.name)}: notes</summary>", "", *lines, "", "</details>"]
            )
        )
    return out


def _reasons(title: str, reasons: Sequence[Reason]) -> str:
    """What rows break, by rule and field; without keys."""
    lines = [
        f"| {escaped(x.reason)} | {escaped(x.rule)} | {escaped(x.field)} | {escaped(x.message)} | {escaped(x.outline)} "
        f"| {x.policy} | {x.rows:,} |"
        for x in reasons
    ]
    return "\n".join([f"<details><summary>{title}</summary>", "",
                      "| Reason | Rule | Field | Message | Looks like | Policy | Rows |", "|---|---|---|---|---|---|---:|",
                      *_rows_within(lines, 12_000), "", "</details>"])  # fmt: skip


def _html(name: str) -> str:
    """A name inside `<summary>`, where no Markdown is read."""
    return _entities(_apart(name))


def _foot(heading: Heading, plan: str = "") -> str:
    version = f" · revetl {escaped(heading.version)}" if heading.version else ""
    where = f"project {escaped(heading.project)} · target {escaped(heading.target)}"
    number = f" · plan {plan}" if plan else ""
    return f"<sub>{where}{version}{number} · values hidden</sub>"


def run_markdown(result: RunResult, heading: Heading, *, limit: int = MARKDOWN_BYTES) -> str:
    """A run for a job's summary page, at most `limit` UTF-8 bytes; without keys and values."""
    rows: list[str] = []
    worst = {"error": 0, "partial": 1, "skipped": 2, "success": 3}
    order = sorted(result.syncs, key=lambda r: (worst[r.status], r.sync.name))
    for r in order:
        c = r.counts
        numbers = (c.model_rows, c.unchanged, c.created, c.updated, c.deleted, c.planned, r.acknowledged, r.refused,
                   c.on_hold, c.waiting, r.unsent)  # fmt: skip
        rows.append(
            f"| {escaped(r.sync.name)} | {STATUS[r.status][0]} | "
            + " | ".join(f"{n:,}" for n in numbers)
            + " |"
        )
    head = "\n".join(
        [
            _marker("run", heading),
            f"### revetl run: {tally(result)}",
            "",
            "| Sync | Status | Rows | Unchanged | Created | Updated | Deleted | Planned | Acknowledged | Refused | Held "
            "| Waiting | Unsent |",
            "|---|---|" + "---:|" * 11,
            *_rows_within(rows, limit // 2),
        ]
    )
    sections = [_warning(error) for error in run_errors(result)]
    for r in order:
        if r.reasons:
            warned = f", {r.warned:,} sent with a warning" if r.warned else ""
            sections.append(_reasons(f"{_html(r.sync.name)}: {plural(r.refused, 'row')} refused{warned}", r.reasons))
        if r.warnings:
            lines = [f"- {escaped(w.message)} \\[{w.code}\\]" + (f" → {escaped(w.hint)}" if w.hint else "") for w in r.warnings]
            title = f"{_html(r.sync.name)}: {plural(len(r.warnings), 'warning')}"
            sections.append("\n".join([f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]))
    cost = f"{plural(result.requests, 'request')}, {duration(result.seconds)}"
    foot = f"{_foot(heading).removesuffix('</sub>')} · run {escaped(result.run_id)} · {cost}</sub>"
    return fitted(head, sections, foot, limit)
