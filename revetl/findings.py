"""Findings of the lint and answers of the checklist as text and JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from revetl.checklist import Answer, Verdict
from revetl.errors import ConfigError, Where
from revetl.lint import Finding, open_findings
from revetl.nearest import near
from revetl.report import JSON_VERSION, Heading, Style, plural
from revetl.rules import CHECKS, RULES, Severity

COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "bold"}
MARKS = {Verdict.MET: ("met", "green"), Verdict.NOT_MET: ("not met", "red"), Verdict.UNKNOWN: ("cannot tell", "yellow")}
PLACES = 3
WARNINGS = 5  # shown before a diff or run; the lint shows all


def lint_text(findings: Sequence[Finding], style: Style, *, silenced: bool = False) -> str:
    """Findings for a terminal; those that are silenced only where asked for, and always counted."""
    lines: list[str] = []
    for finding in findings:
        if finding.ignored is not None and not silenced:
            continue
        word = "ignored" if finding.ignored is not None else str(finding.severity)
        color = "dim" if finding.ignored is not None else COLORS[finding.severity]
        lines.append(f"{finding.where}: {style.paint(word, color)}: {finding.message} [{finding.code}]")
        if finding.ignored is not None:
            lines.append(f"  because: {finding.ignored.reason}")
        elif finding.hint:
            lines.append(f"  {style.arrow} {finding.hint}")
    return "\n".join([*lines, *([""] if lines else []), lint_tally(findings)])


def lint_tally(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning; 3 ignored`."""
    counts = Counter(finding.severity for finding in open_findings(findings))
    parts = [plural(counts[severity], str(severity)) if severity is not Severity.INFO else f"{counts[severity]:,} info"
             for severity in Severity if counts[severity]]  # fmt: skip
    ignored = sum(1 for finding in findings if finding.ignored is not None)
    return (", ".join(parts) or "nothing found") + (f"; {ignored:,} ignored" if ignored else "")


def worse(findings: Sequence[Finding], fail_on: str) -> bool:
    """Whether there are open findings as bad as `fail_on` or worse; `never` is as bad as nothing."""
    return fail_on != "never" and bool(open_findings(findings, Severity(fail_on)))


def warnings(findings: Sequence[Finding], names: Collection[str] | None = None) -> list[str]:
    """A few lines for stderr about errors and warnings of some syncs (None: of all, and of declared terms)."""
    found = [f for f in open_findings(findings, Severity.WARNING) if names is None or f.sync in names]
    lines = [f"warning: {f.where}: {f.message} [{f.code}]" for f in found[:WARNINGS]]
    more = f"{plural(len(found) - WARNINGS, 'more finding')}" if len(found) > WARNINGS else ""
    return [*lines, f"warning: {more}: revetl lint"] if more else lines


def lint_json(findings: Sequence[Finding], heading: Heading) -> dict[str, Any]:
    """Findings for programs, the silenced ones with their reasons."""
    return {"schema_version": JSON_VERSION, "command": "lint", **_heading(heading),
            "findings": [_finding(finding) for finding in findings], "totals": _totals(findings)}  # fmt: skip


def check_text(answers: Sequence[Answer], style: Style) -> str:
    """The checklist for a terminal, line by line, as a retention lead reads it."""
    lines: list[str] = []
    for number, answer in enumerate(answers, 1):
        word, color = MARKS[answer.verdict]
        mark = f"{style.paint(f'{word:<11}', color)}"
        lines.append(f"{number:>2}. {mark}  {answer.line.title} [{answer.code}]")
        lines.append(f"    {answer.reason}" + (f" ({_places(answer.places)})" if answer.places else ""))
        if answer.ignored is not None and answer.verdict is not Verdict.MET:
            lines.append(f"    accepted, because: {answer.ignored.reason}")
        elif answer.verdict is not Verdict.MET:
            lines.append(f"    why it matters: {answer.line.why}")
            lines += [f"    {style.arrow} {answer.command}"] if answer.command else []
        elif answer.ignored is not None:
            lines.append(f"    its `ignore` is not needed any more ({answer.ignored.where})")
    return "\n".join([*lines, "", check_tally(answers)])


def check_tally(answers: Sequence[Answer]) -> str:
    """`6 of 10 met, 3 not met, 1 cannot be told`."""
    counts = Counter(answer.verdict for answer in answers)
    rest = [f"{counts[verdict]} {text}" for verdict, text in
            ((Verdict.NOT_MET, "not met"), (Verdict.UNKNOWN, "cannot be told")) if counts[verdict]]  # fmt: skip
    accepted = sum(1 for answer in answers if answer.ignored is not None and answer.verdict is not Verdict.MET)
    return ", ".join([f"{counts[Verdict.MET]} of {len(answers)} met", *rest]) + (f" ({accepted} accepted)" if accepted else "")


def check_json(
    answers: Sequence[Answer], findings: Sequence[Finding], heading: Heading, *, passed: bool
) -> dict[str, Any]:
    """The checklist and the findings for programs."""
    return {
        "schema_version": JSON_VERSION, "command": "check", **_heading(heading), "passed": passed,
        "checklist": [
            {"code": a.code, "title": a.line.title, "why": a.line.why, "verdict": str(a.verdict).replace(" ", "_"),
             "reason": a.reason, "places": [_where(place) for place in a.places], "next": a.command, "gate": a.gate,
             "ignored": a.ignored.reason if a.ignored else None}
            for a in answers
        ],
        "findings": [_finding(finding) for finding in findings],
        "totals": {**_totals(findings), "met": sum(1 for a in answers if a.verdict is Verdict.MET), "lines": len(answers)},
    }  # fmt: skip


def explained(code: str, style: Style) -> str:
    """One rule or line of the checklist, or all of them for an empty code.

    Raises:
        ConfigError: there is no such code.
    """
    if not code:
        rows = [f"{rule.code}  {rule.severity:<8} {rule.title}" for rule in RULES.values()]
        return "\n".join([*rows, *(f"{line.code}  {'check':<8} {line.title}" for line in CHECKS.values())])
    if code in RULES:
        rule = RULES[code]
        return "\n".join([
            f"{style.paint(code, 'bold')} ({rule.severity}): {rule.title}", "", rule.why, rule.fix, "",
            f"To accept it in one place, on the field, the sync or the term:  ignore: {{{code}: why this is right here}}",
        ])  # fmt: skip
    if code in CHECKS:
        line = CHECKS[code]
        return "\n".join([f"{style.paint(code, 'bold')} (a line of revetl check): {line.title}", "", line.why, "",
                          f"To accept it as it is:  taxonomy: {{ignore: {{{code}: why}}}}"])  # fmt: skip
    known = [*RULES, *CHECKS]
    raise ConfigError(f"there is no finding {code!r}{near(code, known)}", hint="all of them: revetl lint --explain all")


def _places(places: Sequence[Where]) -> str:
    more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
    return ", ".join(f"{place.file}:{place.line}" for place in places[:PLACES]) + more


def _finding(finding: Finding) -> dict[str, Any]:
    return {"code": finding.code, "severity": str(finding.severity), "title": finding.rule.title, "message": finding.message,
            "hint": finding.hint, **_where(finding.where), "sync": finding.sync, "field": finding.field,
            "ignored": finding.ignored.reason if finding.ignored else None}  # fmt: skip


def _totals(findings: Sequence[Finding]) -> dict[str, int]:
    counts = Counter(finding.severity for finding in open_findings(findings))
    return {**{str(severity): counts[severity] for severity in Severity},
            "ignored": sum(1 for finding in findings if finding.ignored is not None)}  # fmt: skip


def _where(where: Where) -> dict[str, Any]:
    return {"file": where.file, "line": where.line, "column": where.column}


def _heading(heading: Heading) -> dict[str, str]:
    return {"project": heading.project, "version": heading.version}
