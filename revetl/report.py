"""Results as text for a terminal and as JSON for programs (Markdown: `markdown.py`). Pure: values in, text out.

Two promises, tested for arbitrary results:

- The table adds up. Both equations of `plan.py` stand in its header, and a row that no term explains would get
  a column of its own rather than be lost.
- No key and no value of a row is shown, except masked keys and, only with `--show-values`, the samples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from revetl.errors import ConfigError

if TYPE_CHECKING:
    from revetl.contracts import Sync, SyncType
    from revetl.engine import Checked, DiffResult, RunResult, Sample, SyncDiff, SyncResult
    from revetl.errors import Notice, RevetlError
    from revetl.gates import Outcome
    from revetl.latency import Measured
    from revetl.persons import Visitors
    from revetl.plan import Counts
    from revetl.reasons import Reason
    from revetl.renames import DualSend
    from revetl.unsent import Unsent
    from revetl.upkeep import LatencyRow, RunRow, StreamHealth
    from revetl.versions import Difference

JSON_VERSION = 1  # of the JSON results; within it keys are only added
TOP_FIELDS = 12  # attributes shown for each sync in the terminal; the JSON has all of them
VALUE_WIDTH = 40
OLD_PLAN_S = 86_400
OLD_KEY_S = 365 * 86_400
_COLORS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
# control characters that JSON lets through, what changes the direction of writing, and what has no width; and `##[`, which
# CI systems read as a command
_UNSEEN = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|#(?=#(?:\[|vso\[|teamcity\[))",
                     re.IGNORECASE)  # fmt: skip
STATUS = {"success": ("OK", "green"), "partial": ("PARTIAL", "yellow"), "error": ("ERROR", "red"),
           "skipped": ("SKIP", "dim")}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What the terminal can show; `width` in columns."""

    color: bool = False
    unicode: bool = True
    width: int = 200

    def paint(self, text: str, color: str) -> str:
        """The text in a colour, or as it is."""
        return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if self.color and text else text

    @property
    def arrow(self) -> str:
        """Between what was and what will be; before what to do next."""
        return "→" if self.unicode else "->"

    @property
    def times(self) -> str:
        """Between a number and what it counts."""
        return "×" if self.unicode else "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Where a result comes from."""

    project: str
    target: str
    destination: str = ""
    version: str = ""


def plural(count: int, word: str) -> str:
    """`1 row`, `1,204 rows`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """A time as people say it: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:  # noqa: PLR2004 below ten seconds a tenth matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, small, small_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def seconds_of(text: str) -> float:
    """`90m`, `2h`, `1d`, `45s` as seconds.

    Raises:
        ConfigError: it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\w*\s*", text)
    if match is None:
        raise ConfigError(f"{text!r} is no time", hint="write it as 90m, 2h or 1d")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]]


def json_line(value: Mapping[str, Any]) -> str:
    """One compact line, so that an orchestrator which keeps only the last line of a task keeps all of it."""
    return inert(json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str))


def inert(text: str) -> str:
    """JSON in which what a terminal would act on stays what it is, and is written so that it does not."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


# --- the two equations -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """One line of the table.

    Attributes:
        rows: of the model; the sum of `left`.
        planned: the sum of `right`, and of created, updated, re-driven, deleted, released and copies.
    """

    rows: int
    left: Mapping[str, int]
    deleted: int
    released: int
    planned: int
    right: Mapping[str, int]
    copied: int = 0


def sums(counts: Counts, right: Mapping[str, int]) -> Sums:
    """The numbers of one sync; whatever the named terms do not explain stands under `unexplained`."""
    left = {
        "unchanged": counts.unchanged, "created": counts.created, "updated": counts.updated,
        "re-driven": counts.redriven, "skipped": counts.skipped, "forgotten": counts.forgotten,
        "merged": counts.merged, "contradictory": sum(counts.contradictions.values()),
        "quarantined": sum(counts.quarantined.values()), "bad keys": counts.bad_keys,
    }  # fmt: skip
    left["unexplained"] = counts.model_rows - sum(left.values())
    right = dict(right)
    right["unexplained"] = counts.planned - sum(right.values())
    return Sums(
        rows=counts.model_rows, left=left, deleted=counts.deleted, released=counts.released, planned=counts.planned,
        right=right, copied=counts.copied,
    )


def diff_sums(diff: SyncDiff) -> Sums:
    """The plan of a diff: what would be sent, and what would not."""
    c = diff.counts
    here = c.planned - c.refused - c.on_hold - c.waiting - c.left
    first = "to record" if diff.baseline else "to send"
    return sums(c, {first: here, "refused": c.refused, "held": c.on_hold, "waiting": c.waiting, "left": c.left})


def run_sums(result: SyncResult) -> Sums:
    """The outcome of a run; a baseline's rows were recorded and not sent."""
    c = result.counts
    first = "recorded" if result.baseline else "acknowledged"
    return sums(c, {first: result.acknowledged, "refused": result.refused, "held": c.on_hold, "waiting": c.waiting,
                    "left": c.left, "unsent": result.unsent})  # fmt: skip


def _cells(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in numbers)


def _column(cells: Sequence[str], pad: Callable[[str, int], str]) -> list[str]:
    width = max(len(cell) for cell in cells)
    return [pad(cell, width) for cell in cells]


def _joined(rows: Sequence[tuple[str, ...]], between: str) -> list[str]:
    """Rows of cells as lines, each column aligned to the right."""
    columns = [_column(column, str.rjust) for column in zip(*rows, strict=True)]
    return [between.join(cells) for cells in zip(*columns, strict=True)]


def _with_head(lines: Sequence[str], style: Style) -> str:
    return "\n".join([style.paint(lines[0], "dim"), *lines[1:]])


_BESIDE = {"deleted": "deleted", "released": "released", "copies": "copied"}  # planned, and no row of the model


def table(lines: Sequence[tuple[str, Sums | None, Sequence[str]]], tail: Sequence[str], style: Style) -> str:
    """A table whose header is the two equations; terms that are zero everywhere are left out.

    It is one line a sync, or two tables below each other where the terminal is too narrow for that.

    Args:
        lines: name, numbers (None where there is no plan) and the cells of the `tail` columns.
        tail: titles of more columns.
        style: the terminal.
    """
    found = [sum_ for _, sum_, _ in lines if sum_ is not None]

    def used(side: str, always: tuple[str, ...]) -> list[str]:
        names = list(dict.fromkeys(name for sum_ in found for name in getattr(sum_, side)))
        return [n for n in names if n in always or any(getattr(sum_, side).get(n) for sum_ in found)]

    left = used("left", ("unchanged", "created", "updated"))
    right = used("right", ("acknowledged", "to send"))
    beside = {name: [getattr(s, attribute) for s in found] for name, attribute in _BESIDE.items()}
    shown = [name for name, numbers in beside.items() if any(numbers)]

    def signed(names: Sequence[str]) -> list[str]:
        return [("= " if i == 0 else "+ ") + name for i, name in enumerate(names)]

    one = [("rows", *signed(left))]
    two = [(*shown, "planned", *signed(right))]
    for _, sum_, _ in lines:
        if sum_ is None:
            one.append(("-",) * len(one[0]))
            two.append(("-",) * len(two[0]))
            continue
        more = [getattr(sum_, _BESIDE[name]) for name in shown]
        one.append(_cells(sum_.rows, *(sum_.left.get(name, 0) for name in left)))
        two.append(_cells(*more, sum_.planned, *(sum_.right.get(name, 0) for name in right)))
    names = _column(["sync", *(name for name, _, _ in lines)], str.ljust)
    first, second = _joined(one, " "), _joined(two, " ")
    extra = _joined([tuple(tail), *(tuple(cells) for _, _, cells in lines)], "  ")
    whole = [f"{name}  {a} | {b} | {c}" for name, a, b, c in zip(names, first, second, extra, strict=True)]
    if len(whole[0]) <= style.width:
        return _with_head(whole, style)
    upper = [f"{name}  {part}" for name, part in zip(names, first, strict=True)]
    lower = [f"{name}  {part} | {last}" for name, part, last in zip(names, second, extra, strict=True)]
    return _with_head(upper, style) + "\n\n" + _with_head(lower, style)


# --- what the numbers mean, and what to type next ------------------------------------------------------------


def held_back(quarantine: Sequence[Reason]) -> list[tuple[str, str]]:
    """A sentence for each reason why rows are not sent that would collide with others."""
    return [
        (f"{plural(one.rows, 'row')} quarantined ({one.reason}): {one.message}"
         + (f" (one key: {one.example})" if one.example else ""),
         "correct the rows, or choose what happens to such rows in `identity:` (docs/identity.md); then: revetl run")
        for one in quarantine
    ]  # fmt: skip


def alike(found: Sequence[Reason]) -> list[tuple[str, str]]:
    """A sentence for each way in which new ids look like other ids."""
    return [
        (f"{plural(one.rows, 'new id')} looking like another id: {one.message}; sent as they are"
         + (f" (one pair: {one.example})" if one.example else ""), "revetl identity report")
        for one in found
    ]  # fmt: skip


def visits(found: Visitors) -> list[tuple[str, str]]:
    """What the rules of 30 days and of 72 hours mean for anonymous events."""
    out: list[tuple[str, str]] = []
    if found.tied or found.stale:
        out.append((f"visitors who become known: {found.tied:,} of their anonymous events are tied to them, {found.hot:,} of "
                    f"these can still trigger campaigns (72 hours); {found.stale:,} are older than 30 days and stay "
                    "anonymous", ""))  # fmt: skip
    if found.known:
        out.append((f"{plural(found.known, 'anonymous event')} to be sent of visitors who are known already: they would stay "
                    "anonymous; give their person in the model", ""))  # fmt: skip
    return out


def _of_merges(counts: Counts, *, ran: bool) -> tuple[list[tuple[str, str]], Counts]:
    """What only pairs to merge need to be told, and the numbers that are left to explain."""
    out: list[tuple[str, str]] = []
    if counts.sendable and not ran:
        who = "person is merged into another" if counts.sendable == 1 else "people are merged into others"
        out.append((f"{counts.sendable:,} {who}: that cannot be undone", ""))
    if counts.waiting:
        out.append((f"{plural(counts.waiting, 'pair')} waiting: Customer.io has not acknowledged both people yet, or the "
                    "secondary is the primary of a pair that goes first", "revetl run"))  # fmt: skip
    if counts.skipped:
        out.append((f"{plural(counts.skipped, 'pair')} skipped: the secondary was never sent, or is merged already", ""))
    if counts.drifted:
        out.append((f"{plural(counts.drifted, 'pair')} changed after the merge, which cannot be undone", ""))
    return out, replace(counts, waiting=0, unbought=0, skipped=0, drifted=0, gone=0, late=0, future=0)


def explained(  # noqa: C901 one sentence a number
    sync: Sync, counts: Counts, *, refused: int, baseline: bool, ran: bool
) -> list[tuple[str, str]]:
    """(sentence, command) for every number that a person may ask about."""
    name, word = sync.name, sync.type.word
    out: list[tuple[str, str]] = []
    if sync.type == "merge":
        out, counts = _of_merges(counts, ran=ran)
    if counts.released:
        who = "person gives" if counts.released == 1 else "people give"
        out.append((f"{counts.released:,} {who} up an address before another one gets it (on_moved: release)", ""))
    if counts.cleared:
        who = "person" if counts.cleared == 1 else "people"
        out.append((f"{counts.cleared:,} {who} left the model: the attributes are cleared, the profiles stay", ""))
    if baseline:
        rows = plural(counts.planned, "row")
        out.append((f"baseline: {rows} {'recorded' if ran else 'would be recorded'} as already synced; "
                    f"nothing {'was' if ran else 'is'} sent", ""))  # fmt: skip
    if counts.compared_since_s is not None:
        since = datetime.fromtimestamp(counts.compared_since_s, UTC)
        out.append((f"compared: what happened since {since:%Y-%m-%d %H:%M} UTC (window); once a day it is all", ""))
    if counts.late:
        out.append((f"{plural(counts.late, 'event')} held: older than 72 hours, so they can't trigger campaigns",
                    f"revetl run --select {name} --backfill"))  # fmt: skip
    if counts.future:
        out.append((f"{plural(counts.future, 'event')} held: their time is in the future; they go out when it has come",
                    ""))  # fmt: skip
    if counts.held:
        out.append((f"{plural(counts.held, 'event')} held: sent without an answer too long ago to send again unasked",
                    f"revetl resolve --resend --select {name}"))  # fmt: skip
    if counts.nobody:
        out.append((f"{plural(counts.nobody, 'event')} held: without a person (no_person: hold)", ""))
    if counts.orphans:
        out.append((f"{plural(counts.orphans, 'refund')} held: their order is neither sent nor in its model; they go out once "
                    "it has come", ""))  # fmt: skip
    if counts.waiting > counts.unbought:
        out.append((f"{plural(counts.waiting - counts.unbought, word)} waiting: Customer.io does not have their person "
                    "yet; sent once it does", "revetl run"))  # fmt: skip
    if counts.unbought:
        out.append((f"{plural(counts.unbought, 'refund')} waiting: Customer.io does not have their order yet; sent once it "
                    "does", "revetl run"))  # fmt: skip
    if counts.over_refunded:
        out.append((f"{plural(counts.over_refunded, 'refund')} of orders that are refunded by more than they cost", ""))
    if counts.early_refunds:
        out.append((f"{plural(counts.early_refunds, 'refund')} with a time before that of their order", ""))
    if counts.shadows:
        who = "person" if counts.shadow_people == 1 else "people"
        out.append((f"{plural(counts.shadows, 'event')} of {counts.shadow_people:,} {who} whom Customer.io does not have: each "
                    f"{'was made' if ran else 'is made'} a profile without attributes, which counts for the bill "
                    "(unknown_person: create)", ""))  # fmt: skip
    if counts.skipped:
        out.append((f"{plural(counts.skipped, word)} skipped: without a person (no_person: skip)", ""))
    if counts.forgotten:
        out.append((f"{plural(counts.forgotten, 'row')} of people who were forgotten, or are suppressed: never sent", ""))
    if counts.copied:
        of = plural(counts.copied, "copy").replace("copys", "copies")
        out.append((f"{of} of events under the old name (renamed_from), counted apart from the model's rows", ""))
    if counts.merged:
        out.append((f"{plural(counts.merged, 'row')} of people who were merged into others are never sent", ""))
    if counts.untriggering and not baseline:
        out.append((f"events older than 72 hours can't trigger campaigns: {counts.untriggering:,}", ""))
    if counts.triggering:
        out.append((f"{plural(counts.triggering, 'event')} of this backfill {'may have started' if ran else 'may start'} "
                    f"campaigns: younger than 72 hours{counts.triggering_since}",
                    "" if ran else f"revetl run --select {name} --older-only"))  # fmt: skip
    if counts.left:
        out.append((f"{plural(counts.left, 'event')} left to a run without --backfill, which sends them and may start campaigns",
                    f"revetl run --select {name}"))  # fmt: skip
    for attribute, people in counts.ahead.items():
        if people:
            out.append((f"{attribute} is in the future for {people:,} to be sent: until then, Customer.io starts no campaign of "
                        "a segment with it", ""))  # fmt: skip
    if counts.drifted:
        out.append(
            (f"{plural(counts.drifted, word)} changed after being sent: an event is never sent twice", "")
        )
    if counts.gone:
        stays = "stays" if counts.gone == 1 else "stay"
        out.append((f"{plural(counts.gone, 'row')} left the model and {stays} in Customer.io", ""))
    if counts.fresh:
        out.append((f"{plural(counts.fresh, 'update')} only because of a new attribute", ""))
    if refused and not ran:
        out.append((f"{plural(refused, 'row')} refused before, tried again once a day or when the row changes",
                    f"revetl run --select {name} --retry-refused"))  # fmt: skip
    return out


def _advice(items: Iterable[tuple[str, str]], style: Style, indent: str = "  ") -> list[str]:
    out: list[str] = []
    for text, command in items:
        out.append(indent + text)
        if command:
            out.append(f"{indent}  {style.arrow} {style.paint(command, 'bold')}")
    return out


def _reason_lines(result: SyncResult, style: Style) -> list[str]:
    out: list[str] = []
    if result.refused:
        told = _violations(result.reasons, "refuse", style)
        out.append(f"  {plural(result.refused, 'row')} refused" + ("" if told else " before, not yet due again"))
        out += told
        command = f"revetl run --select {result.sync.name} --retry-refused"
        out.append(f"    {style.arrow} correct the rows: they go out with the next run; or "
                   f"{style.paint(command, 'bold')}")  # fmt: skip
    if result.warned:
        out.append(f"  {plural(result.warned, 'row')} sent with a warning (on_violation: warn)")
        out += _violations(result.reasons, "warn", style)
    if stopping := _violations(result.reasons, "fail", style):
        out += ["  what stopped it (on_violation: fail):", *stopping]
    return out


def _violations(reasons: Sequence[Reason], policy: str, style: Style) -> list[str]:
    """A line for each kind of violation that ended so."""
    return [
        f"    {one.rows:,} {style.times} {_broken(one.reason, one.rule, one.field)}: {one.message}{_one_row(one)}"
        for one in reasons
        if one.policy == policy
    ]


def _broken(reason: str, rule: str, field: str) -> str:
    """What is wrong, the rule where it has another name, and the field."""
    return reason + (f" ({rule})" if rule and rule != reason else "") + (f" in {field}" if field else "")


def _one_row(reason: Reason) -> str:
    parts = [f"one key: {reason.example}" if reason.example else "", f"looks like {reason.outline}" if reason.outline else ""]
    told = ", ".join(part for part in parts if part)
    return f" ({told})" if told else ""


def _checked_lines(checked: Checked, style: Style) -> list[str]:
    """What the rows that would be sent break, for a diff that read them."""
    if not checked.whole:
        return []
    counts = f"{checked.refused:,} would be refused, {checked.warned:,} sent with a warning"
    out = [f"  checked {plural(checked.rows, 'row')} of those to send: {counts}"]
    for policy in ("fail", "refuse", "warn"):
        lines = _violations(checked.reasons, policy, style)
        out += [line + ("" if policy == "refuse" else f" [{policy}]") for line in lines]
    return out


def error_text(error: RevetlError, style: Style, *, name: str = "") -> str:
    """An error for stderr: what, where, what to do."""
    head = f"error: {name}: " if name and name not in error.message else "error: "
    text = str(error)
    if not style.unicode:
        text = text.replace("→", "->")
    first, *rest = text.split("\n")
    return "\n".join([style.paint(head, "red") + first, *rest])


# --- diff ------------------------------------------------------------------------------------------------------


def diff_text(result: DiffResult, style: Style, heading: Heading) -> str:
    """What a run would do now, for a terminal."""
    if not result.syncs:
        return "no sync is selected: nothing to compare"
    lines = [
        (
            d.sync.name,
            None if _unplanned(d) else diff_sums(d),
            (f"{d.requests:,}", duration(d.seconds) if d.requests else "-"),
        )
        for d in result.syncs
    ]
    out = [table(lines, ("requests", "takes at least"), style)]
    for diff in result.syncs:
        details = _diff_details(diff, style)
        if details:
            out += ["", style.paint(diff.sync.name, "bold"), *details]
    out += ["", _diff_end(result, style, heading)]
    return "\n".join(out)


def _unplanned(diff: SyncDiff) -> bool:
    """The model could not be read at all: there are no numbers."""
    return bool(diff.problems) and diff.counts.model_rows == 0 and diff.counts.planned == 0


def _diff_details(diff: SyncDiff, style: Style) -> list[str]:
    c = diff.counts
    out: list[str] = []
    for problem in diff.problems:
        first, *rest = str(problem).split("\n")
        out.append("  " + style.paint("would stop: ", "red") + first)
        out.extend("  " + line for line in rest)
    if diff.first_run and not diff.baseline and c.planned:
        out.append("  first run: nothing of this sync was ever sent")
    hits = sorted(((n, name) for name, n in c.changed.items() if n), key=lambda pair: (-pair[0], pair[1]))
    if hits:
        out.append(f"  attributes that change, in {plural(c.updated, 'update')}:")
        width = max(len(name) for _, name in hits[:TOP_FIELDS])
        out += [f"    {name.ljust(width)}  {n:,}" for n, name in hits[:TOP_FIELDS]]
        if len(hits) > TOP_FIELDS:
            out.append(f"    and {len(hits) - TOP_FIELDS} more (--output json has them all)")
    out += _contract_lines(diff.contract, style)
    out += [f"  {dual}" for dual in diff.dual_sends]
    out += _advice([*held_back(diff.quarantine), *alike(diff.lookalikes), *visits(diff.visitors)], style)
    out += _advice(explained(diff.sync, c, refused=c.refused, baseline=diff.baseline, ran=False), style)
    if diff.checked is not None:
        out += _checked_lines(diff.checked, style)
    out += _warning_lines(diff.warnings, style)
    if diff.samples:
        out.append(f"  the first {plural(len(diff.samples), 'change')}, with values:")
        for sample in diff.samples:
            out += _sample_lines(sample, style)
    return out


def contract_title(contract: Difference, arrow: str = "→") -> str:
    """Between which versions the contract changes."""
    return f"contract v{contract.old} {arrow} v{contract.new}"


def _contract_lines(contract: Difference, style: Style) -> list[str]:
    if not contract.changes:
        return []
    lines = [style.paint(text, "yellow") if change.breaks else text
             for change in contract.changes for text in [str(change).replace("→", style.arrow)]]  # fmt: skip
    return [f"  {contract_title(contract, style.arrow)}:", *(f"    {line}" for line in lines)]


def _warning_lines(warnings: Sequence[Notice], style: Style) -> list[str]:
    out = []
    for warning in warnings:
        out.append("  " + style.paint("warning: ", "yellow") + f"{warning.message} [{warning.code}]")
        if warning.hint:
            out.append(f"    {style.arrow} {warning.hint}")
    return out


def _sample_lines(sample: Sample, style: Style) -> list[str]:
    sign = {"update": "~", "delete": "-", "suppress": "-", "clear": "-", "release": "-"}.get(sample.op, "+")
    rows = f" ({sample.rows} rows have this key)" if sample.rows > 1 else ""
    out = [f"    {sign} {_shown(sample.key)}{rows}"]
    width = max((len(name) for name in sample.changes), default=0)
    for name, (old, new) in sample.changes.items():
        was = f"{_shown(old)} {style.arrow} " if sample.op == "update" else ""
        out.append(f"        {name.ljust(width)}  {was}{_shown(new)}")
    return out


def _shown(value: object) -> str:
    """A value on one line of a terminal, without control characters that could move the cursor."""
    text = "null" if value is None else str(value)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= VALUE_WIDTH else text[: VALUE_WIDTH - 1] + "…"


def diff_totals(result: DiffResult) -> dict[str, int]:
    """Sums over the syncs; `to_send` and `requests` without those that would be stopped."""
    names = ("created", "updated", "redriven", "deleted", "planned", "unchanged")
    total = {name: sum(getattr(d.counts, name) for d in result.syncs) for name in names}
    sending = would_send(result)
    total["to_send"] = sum(d.counts.sendable for d in sending)
    total["requests"] = sum(d.requests for d in sending)
    total["problems"] = sum(len(d.problems) for d in result.syncs)
    return total


def would_send(result: DiffResult) -> list[SyncDiff]:
    """The syncs that a run would send for: not those that are stopped, nor those whose owners are."""
    stopped = {d.sync.name for d in result.syncs if d.problems}
    return [
        d for d in result.syncs
        if not d.baseline and d.sync.name not in stopped and not stopped & set(d.sync.owners)
    ]  # fmt: skip


def _diff_end(result: DiffResult, style: Style, heading: Heading) -> str:
    total = diff_totals(result)
    seconds = sum(d.seconds for d in would_send(result))
    text = f"A run on target {heading.target} would "
    if total["problems"]:
        stopped = sum(1 for d in result.syncs if d.problems)
        text = style.paint(f"{plural(stopped, 'sync')} would be stopped. ", "red") + text
    changes = f"+{total['created']:,} ~{total['updated']:,} -{total['deleted']:,}"
    if not total["to_send"]:
        return text + f"send nothing ({changes}); nothing was sent or written by this diff."
    return text + (f"send {plural(total['to_send'], 'row')} ({changes}) in {plural(total['requests'], 'request')} or "
                   f"more, at least {duration(seconds)}; nothing was sent or written by this diff."
                   + (f"\nOnly this, or nothing: revetl run --expect {result.fingerprint}" if result.fingerprint else "")
                   )  # fmt: skip


def error_json(error: RevetlError) -> dict[str, Any]:
    """An error for programs."""
    return {"type": type(error).__name__, "code": error.code, "message": error.message, "hint": error.hint,
            "where": str(error.where) if error.where else "", "exit_code": int(error.exit_code)}  # fmt: skip


def counts_json(counts: Counts) -> dict[str, int]:
    """Every number of a plan, by the names that all JSON of revetl uses."""
    names = ("model_rows", "unchanged", "created", "updated", "redriven", "skipped", "forgotten", "merged", "deleted", "copied",
             "planned", "waiting", "nobody", "late", "future", "drifted", "gone", "fresh", "untriggering", "shadows",
             "shadow_people", "unbought", "orphans", "over_refunded", "early_refunds", "left", "triggering",
             "bad_keys", "duplicate_keys", "state_rows", "cleared", "released")  # fmt: skip
    return {name: int(getattr(counts, name)) for name in names} | {
        "held": counts.on_hold,
        "refused": counts.refused,
        "quarantined": sum(counts.quarantined.values()),
        "compared_since": counts.compared_since_s or 0,
    }


def diff_json(result: DiffResult, heading: Heading) -> dict[str, Any]:
    """A diff for programs; without keys and values."""
    return {
        "schema_version": JSON_VERSION,
        "command": "diff",
        **_where_json(heading),
        "seconds": round(result.seconds, 3),
        "plan": result.fingerprint or None,
        "syncs": [
            {
                "name": d.sync.name,
                "unique_id": unique_id(heading.project, d.sync.name),
                "type": str(d.sync.type),
                "first_run": d.first_run,
                "baseline": d.baseline,
                "to_send": 0 if d.baseline else d.counts.sendable,
                "requests": d.requests,
                "seconds": round(d.seconds, 3),
                "counts": counts_json(d.counts),
                "changed": {name: n for name, n in d.counts.changed.items() if n},
                "checked": _checked_json(d.checked) if d.checked else None,
                "quarantine": [_reason_json(reason) for reason in d.quarantine],
                "lookalikes": [_reason_json(reason) for reason in d.lookalikes],
                "visitors": {name: getattr(d.visitors, name) for name in ("tied", "stale", "hot", "known")},
                "problems": [error_json(problem) for problem in d.problems],
                "contract": _contract_json(d.contract),
                "dual_sends": [dual_json(dual) for dual in d.dual_sends],
                "warnings": [_notice_json(warning) for warning in d.warnings],
                "tests": [outcome_json(one) for one in d.tests],
            }
            for d in result.syncs
        ],
        "totals": diff_totals(result),
    }


def _contract_json(contract: Difference) -> dict[str, Any]:
    return {
        "from": contract.old or None, "to": contract.new or None,
        "changes": [{"kind": c.kind, "name": c.name, "text": c.text, "breaks": c.breaks} for c in contract.changes],
    }  # fmt: skip


def dual_json(dual: DualSend) -> dict[str, Any]:
    """A name that changed, for programs."""
    return {"kind": dual.kind, "new": dual.new, "old": dual.old, "until": dual.until.isoformat(), "days_left": dual.left,
            "journeys": list(dual.journeys)}  # fmt: skip


def outcome_json(one: Outcome) -> dict[str, Any]:
    """How a test or a source's freshness ended, for programs; without a value."""
    return {
        "name": one.name, "kind": one.test.kind if one.test else "freshness", "node": one.node, "status": one.status,
        "failures": one.failures, "message": one.told or None, "seconds": round(one.seconds, 6), "compiled": one.compiled or None,
    }  # fmt: skip


def _notice_json(notice: Notice) -> dict[str, str]:
    return {"code": notice.code, "message": notice.message, "hint": notice.hint}


def _where_json(heading: Heading) -> dict[str, str]:
    return {"project": heading.project, "target": heading.target, "destination": heading.destination,
            "version": heading.version}  # fmt: skip


def unique_id(project: str, name: str) -> str:
    """A sync's id in artifacts, in the form of dbt's."""
    return f"sync.{project}.{name}"


# --- run ---------------------------------------------------------------------------------------------------------


def run_errors(result: RunResult) -> list[RevetlError]:
    """Every error of a run once: what stopped it, and what stopped single syncs."""
    found = [r.error for r in result.syncs if r.error is not None]
    if result.error is not None and all(error is not result.error for error in found):
        found.append(result.error)
    return found


def planned_text(sync: Sync, counts: Counts) -> str:
    """One line when a plan is frozen."""
    kinds = (("created", counts.created), ("updated", counts.updated), ("re-driven", counts.redriven),
             ("deleted", counts.deleted))  # fmt: skip
    changes = ", ".join(f"{n:,} {word}" for word, n in kinds if n) or "no changes"
    text = f"{sync.name}: {plural(counts.model_rows, 'row')}, {changes}"
    # a first run with `initial: baseline` records its rows and sends none
    if sync.initial == "baseline" and not counts.state_rows:
        return text
    return f"{text}; {counts.sendable:,} to send"


def run_text(result: RunResult, style: Style) -> str:
    """The summary of a run for a terminal; its errors are told apart (`run_errors`), on stderr."""
    out: list[str] = []
    if result.syncs:
        lines = []
        for r in result.syncs:
            word, _ = STATUS[r.status]
            planned = r.counts.model_rows or r.counts.planned or r.status in {"success", "partial"}
            lines.append((r.sync.name, run_sums(r) if planned else None, (word,)))
        out += [_painted(line, style) for line in table(lines, ("status",), style).split("\n")]
    for r in result.syncs:
        details = _reason_lines(r, style)
        details += _advice([*held_back(r.quarantine), *alike(r.lookalikes)], style)
        details += _advice(
            explained(r.sync, r.counts, refused=r.refused, baseline=r.baseline, ran=True), style
        )
        details += _warning_lines(r.warnings, style)
        if r.unsent:
            details.append(f"  {plural(r.unsent, 'row')} without an outcome: the next run sends them again")
        if r.latency is not None:
            details += _latency_lines(r.latency, style)
        if details:
            out += ["", style.paint(r.sync.name, "bold"), *details]
    return "\n".join([*out, "", done_line(result, style)])


def _painted(line: str, style: Style) -> str:
    """A table's line with its status in colour."""
    for word, color in STATUS.values():
        if line.endswith(f" {word}"):
            return line[: -len(word)] + style.paint(word, color)
    return line


def tally(result: RunResult) -> str:
    """How many syncs ended how, in dbt's words."""
    words = {"success": "OK", "partial": "PARTIAL", "error": "ERROR", "skipped": "SKIP"}
    counts = {word: sum(1 for r in result.syncs if r.status == status) for status, word in words.items()}
    return " ".join([*(f"{word}={n}" for word, n in counts.items()), f"TOTAL={len(result.syncs)}"])


def done_line(result: RunResult, style: Style) -> str:
    """The last line, in the form that dbt's users look for."""
    total = run_totals(result)
    recorded = sum(r.acknowledged for r in result.syncs if r.baseline)
    total = {**total, "acknowledged": total["acknowledged"] - recorded, "recorded": recorded}
    order = ("acknowledged", "recorded", "refused", "quarantined", "held", "waiting", "left", "unsent", "warned")
    words = ", ".join(f"{total[name]:,} {name}" for name in order if total[name] or name == "acknowledged")
    if overdue := sum(r.latency is not None and r.latency.verdict == "error" for r in result.syncs):
        words += f", {plural(overdue, 'sync')} above its latency's `error`".replace("syncs above its", "syncs above their")
    speed = f"{plural(result.requests, 'request')}, {duration(result.seconds)}"
    retries = f", {plural(result.retries, 'retry').replace('retrys', 'retries')}" if result.retries else ""
    color = "green" if int(result.exit_code) == 0 else "yellow" if int(result.exit_code) == 1 else "red"
    return style.paint(f"Done. {tally(result)}", color) + f" | {words} | {speed}{retries}"


def run_totals(result: RunResult) -> dict[str, int]:
    """Sums over the syncs."""
    return {
        "planned": sum(r.counts.planned for r in result.syncs),
        "acknowledged": sum(r.acknowledged for r in result.syncs),
        "refused": sum(r.refused for r in result.syncs),
        "held": sum(r.counts.on_hold for r in result.syncs),
        "quarantined": sum(sum(r.counts.quarantined.values()) for r in result.syncs),
        "waiting": sum(r.counts.waiting for r in result.syncs),
        "left": sum(r.counts.left for r in result.syncs),
        "unsent": sum(r.unsent for r in result.syncs),
        "warned": sum(r.warned for r in result.syncs),
    }


def _reason_json(reason: Reason) -> dict[str, Any]:
    return {"reason": reason.reason, "rule": reason.rule, "field": reason.field, "on_violation": str(reason.policy),
            "message": reason.message, "outline": reason.outline, "rows": reason.rows}  # fmt: skip


def _checked_json(checked: Checked) -> dict[str, Any]:
    return {"rows": checked.rows, "refused": checked.refused, "warned": checked.warned, "all_rules": checked.whole,
            "reasons": [_reason_json(reason) for reason in checked.reasons]}  # fmt: skip


def result_json(result: SyncResult) -> dict[str, Any]:
    """One sync's numbers for programs."""
    return counts_json(result.counts) | {
        "acknowledged": result.acknowledged, "refused": result.refused, "refused_now": result.refused_now,
        "warned": result.warned,
        "unsent": result.unsent, "baseline": result.baseline, "fence": result.fence,
        "reasons": [_reason_json(reason) for reason in result.reasons],
        "latency": _latency_json(result.latency) if result.latency else None,
        "contract_version": result.contract_version,
        "dual_sends": [dual_json(dual) for dual in result.dual_sends],
        "warnings": [_notice_json(warning) for warning in result.warnings],
        "quarantine": [_reason_json(reason) for reason in result.quarantine],
        "lookalikes": [_reason_json(reason) for reason in result.lookalikes],
    }  # fmt: skip


def _latency_json(m: Measured) -> dict[str, Any]:
    return {
        "events": m.events, "p50": m.p50_s, "p95": m.p95_s, "max": m.max_s, "late": m.late,
        "late_share": round(m.late_share, 6), "warn": m.declared.warn_s or None, "error": m.declared.error_s or None,
        "verdict": m.verdict or "ok",
    }  # fmt: skip


def _latency_lines(m: Measured, style: Style) -> list[str]:
    text = (f"  latency of {plural(m.events, 'event')}: half within {duration(m.p50_s)}, 95 % within {duration(m.p95_s)}, "
            f"all within {duration(m.max_s)}; late {m.late:,} ({m.late_share:.1%})")  # fmt: skip
    if not m.verdict:
        return [text]
    limit = m.declared.error_s if m.verdict == "error" else m.declared.warn_s
    word = style.paint(f"latency {m.verdict}: ", "red" if m.verdict == "error" else "yellow")
    return [text, f"  {word}95 % of the events should be acknowledged within {duration(limit)}"]


def run_json(result: RunResult, heading: Heading) -> dict[str, Any]:
    """A run for programs; without keys and values."""
    return {
        "schema_version": JSON_VERSION,
        "command": "run",
        **_where_json(heading),
        "run_id": result.run_id,
        "exit_code": int(result.exit_code),
        "seconds": round(result.seconds, 3),
        "requests": result.requests,
        "retries": result.retries,
        "bytes_sent": result.bytes_sent,
        "statements": result.statements,
        "syncs": [
            {
                "name": r.sync.name,
                "unique_id": unique_id(heading.project, r.sync.name),
                "type": str(r.sync.type),
                "status": r.status,
                "seconds": round(r.seconds, 3),
                "counts": result_json(r),
                "tests": [outcome_json(one) for one in r.tests],
                "error": error_json(r.error) if r.error else None,
            }
            for r in result.syncs
        ],
        "totals": run_totals(result),
        "error": error_json(result.error) if result.error else None,
    }


# --- state and status --------------------------------------------------------------------------------------------


def grid(
    titles: Sequence[str], rows: Sequence[Sequence[str]], style: Style, *, right: frozenset[int] = frozenset()
) -> str:
    """A plain table; columns in `right` are aligned to the right."""
    widths = [
        max(len(title), *(len(row[i]) for row in rows)) if rows else len(title)
        for i, title in enumerate(titles)
    ]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    return "\n".join([style.paint(line(titles), "dim"), *(line(row) for row in rows)])


def _age(seconds: float) -> str:
    return "never" if seconds < 0 else f"{duration(seconds)} ago"


def _open_rows(stream: StreamHealth, outcome: str) -> int:
    return sum(group.rows for group in stream.open if group.outcome == outcome)


def open_advice(stream: StreamHealth, style: Style) -> list[str]:
    """Rows without an acknowledgement by reason, each outcome with the command that acts on it."""
    out: list[str] = []
    commands = {
        "refused": f"correct the rows, or: revetl run --select {stream.name} --retry-refused",
        "held": f"revetl resolve --resend --select {stream.name}",
        "unknown": f"revetl run --select {stream.name}",
    }
    words = {"refused": "refused", "held": "held: sent without an answer too long ago",
             "unknown": "sent without an answer; the next run sends them again"}  # fmt: skip
    for outcome, command in commands.items():
        groups = [group for group in stream.open if group.outcome == outcome]
        if not groups:
            continue
        out.append(f"  {plural(sum(group.rows for group in groups), 'row')} {words[outcome]}")
        if outcome == "refused":
            out += [f"    {group.rows:,} {style.times} {_broken(group.reason, group.rule, group.field)}"
                    + (f" (looks like {group.outline})" if group.outline else "") for group in groups]  # fmt: skip
        out.append(f"    {style.arrow} {style.paint(command, 'bold')}")
    return out


def _trend(rows: Sequence[LatencyRow], style: Style) -> str:
    ages = f" {style.arrow} ".join(duration(row.p95_s) for row in rows)
    last = rows[-1]
    return f"  95 % of its events were acknowledged within {ages}; late in the last run: {last.late:,} of {last.events:,}"


def _unsent_lines(found: Unsent, style: Style) -> list[str]:
    if found.problem:
        return [f"  the oldest unsent event is not known: {found.problem}"]
    if not found.events:
        return []
    out = [f"  {plural(found.events, 'event')} not sent, the oldest of {duration(found.oldest_s)} ago"]
    if found.at_risk:
        out.append(style.paint(f"  {plural(found.at_risk, 'event')} older than 48 hours: they start no campaign after 72; the "
                               f"oldest of them is of {duration(found.in_time_s)} ago", "red"))  # fmt: skip
    return out


def status_text(
    streams: Sequence[StreamHealth], runs: Sequence[RunRow], style: Style, workspace: StreamHealth | None = None,
    unsent: Mapping[str, Unsent] | None = None,
) -> str:  # fmt: skip
    """The health of each sync and the last runs."""
    rows = [
        (s.name, s.last_status or "-", _age(s.last_age_s), _age(s.success_age_s), f"{s.rows:,}",
         f"{_open_rows(s, 'refused'):,}", f"{_open_rows(s, 'held'):,}", f"{_open_rows(s, 'unknown'):,}")
        for s in streams
    ]  # fmt: skip
    titles = ("sync", "last result", "when", "last success", "acknowledged", "refused", "held", "unknown")
    out = [grid(titles, rows, style, right=frozenset({4, 5, 6, 7}))]
    for stream in streams:
        details = open_advice(stream, style)
        if stream.latency:
            details.append(_trend(stream.latency, style))
        if unsent and stream.name in unsent:
            details += _unsent_lines(unsent[stream.name], style)
        if stream.damaged:
            details.insert(0, style.paint(f"  damaged: {stream.damaged}", "red"))
        if stream.busy:
            details.insert(0, f"  a run is at work: {stream.owner}")
        elif stream.plan_age_s > OLD_PLAN_S:
            details.append(f"  a plan that nobody settled holds values of rows for {duration(stream.plan_age_s)}")
            details.append(f"    {style.arrow} {style.paint(f'revetl run --select {stream.name}', 'bold')}")
        if details:
            out += ["", style.paint(stream.name, "bold"), *details]
    if runs:
        lines = [
            (_utc(run.started_at), duration(run.seconds), str(run.exit_code), run.run_id, run.message)
            for run in runs
        ]
        out += [
            "",
            grid(("last runs (UTC)", "took", "exit", "run", ""), lines, style, right=frozenset({1, 2})),
        ]
    else:
        out += ["", "nothing was run on this target yet"]
    if workspace is not None and workspace.key_age_s >= 0:
        out += ["", f"the API key is in use for {duration(workspace.key_age_s)}" + (
            ": make a new one in Customer.io, and remove this one a day later" if workspace.key_age_s > OLD_KEY_S else "")]
    return "\n".join(out)


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def health_json(stream: StreamHealth) -> dict[str, Any]:
    """One stream for programs; ages in seconds, null where there is none."""
    return {
        "name": stream.name, "uid": stream.uid, "exists": stream.exists, "initialised": stream.initialised,
        "acknowledged": stream.rows, "damaged": stream.damaged, "fence": stream.fence,
        "lease": {"owner": stream.owner, "seconds_left": max(0.0, stream.lease_left_s)} if stream.owner else None,
        "drain_seconds_left": stream.drain_left_s, "unfinished": stream.unfinished,
        "last_success_age": stream.success_age_s if stream.success_age_s >= 0 else None,
        "plan_age": stream.plan_age_s if stream.plan_age_s >= 0 else None,
        "last_status": stream.last_status or None, "last_age": stream.last_age_s if stream.last_age_s >= 0 else None,
        "workspace_id": stream.workspace_id or None, "key_kind": stream.key_kind or None,
        "open": [{"outcome": g.outcome, "reason": g.reason, "rule": g.rule, "field": g.field, "outline": g.outline,
                  "rows": g.rows} for g in stream.open],
        "latency": [{"events": r.events, "p50": r.p50_s, "p95": r.p95_s, "max": r.max_s, "late": r.late} for r in stream.latency],
    }  # fmt: skip


def unsent_json(found: Unsent) -> dict[str, Any]:
    """What is not sent, for programs; ages in seconds, null where there is none."""
    return {
        "events": found.events, "oldest": found.oldest_s if found.oldest_s >= 0 else None, "at_risk": found.at_risk,
        "oldest_in_time": found.in_time_s if found.in_time_s >= 0 else None, "problem": found.problem or None,
    }  # fmt: skip


def status_json(
    streams: Sequence[StreamHealth], runs: Sequence[RunRow], heading: Heading, workspace: StreamHealth | None = None,
    unsent: Mapping[str, Unsent] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Status for programs."""
    waiting = {name: unsent_json(found) for name, found in (unsent or {}).items()}
    return {
        "schema_version": JSON_VERSION, "command": "status", **_where_json(heading),
        "key_age": workspace.key_age_s if workspace is not None and workspace.key_age_s >= 0 else None,
        "syncs": [health_json(stream) | {"unsent": waiting.get(stream.name)} for stream in streams],
        "runs": [
            {"run_id": r.run_id, "command": r.command, "started_at": _utc(r.started_at), "seconds": round(r.seconds, 3),
             "exit_code": r.exit_code, "message": r.message}
            for r in runs
        ],
    }  # fmt: skip


def state_text(streams: Sequence[StreamHealth], workspace: StreamHealth, schema: str, style: Style) -> str:
    """What is kept for each stream."""
    bound = workspace.workspace_id or "none yet"
    out = [f"state schema {schema}, bound to workspace {bound}"]
    if workspace.owner:
        out.append(f"people are written by: {_lease(workspace)}")
    for s in streams:
        out += ["", style.paint(s.name, "bold") + f" (uid {s.uid})"]
        if s.damaged:
            out.append(style.paint(f"  damaged: {s.damaged}", "red"))
        if not s.exists:
            out.append("  nothing yet: it has not run on this target")
            continue
        out.append(f"  {s.rows:,} acknowledged; last success {_age(s.success_age_s)}; fence {s.fence}")
        out.append(f"  lease: {_lease(s)}")
        if s.drain_left_s:
            out.append(
                f"  the next run waits {duration(s.drain_left_s)} before it sends: a request may be under way"
            )
        if s.unfinished:
            out.append("  an earlier run did not finish; the next one settles what it left")
        out += open_advice(s, style)
    return "\n".join(out)


def _lease(stream: StreamHealth) -> str:
    if not stream.owner:
        return "free"
    if stream.busy:
        return f"{stream.owner}, for {duration(stream.lease_left_s)} unless it is renewed"
    return f"{stream.owner}, which did not give it back; the next run takes it over"


def reset_text(stream: StreamHealth, kind: SyncType, style: Style) -> str:
    """What a reset of this stream will mean."""
    what = kind.noun
    later = (
        f"all {what} of the model are sent again, with all their values"
        if kind.keeps_values
        else f"`initial:` decides what is sent; {what} keep their ids, and Customer.io drops those that it remembers"
    )
    lines = [
        f"{stream.name}: forget that Customer.io has acknowledged {plural(stream.rows, 'row')} ({what})",
        f"  {style.arrow} the next run is a first run: {later}",
        f"  {style.arrow} Customer.io keeps what it has; rows that left the model since are not noticed any more",
    ]
    if stream.open:
        lines.append(
            f"  {style.arrow} {plural(sum(g.rows for g in stream.open), 'refused, held or unknown row')} forgotten"
        )
    return "\n".join(lines)
