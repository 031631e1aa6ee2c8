"""What a person reads of a run, with everything that differs from machine to machine taken out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from revetl.engine import RunResult, SyncResult
from revetl.report import Style, error_text, run_text
from tests.faults.runs import Scene

PLAIN = Style()
# in this order: the first ones hold what the later ones would find
VARYING = (
    (re.compile(r"/[\w./-]*?/(?=[\w.-]+\.(?:duckdb|log|sql|yml|sock)\b)"), "/…/"),
    (re.compile(r"/tmp/[\w./-]+"), "/…"),
    (re.compile(r"127\.0\.0\.1:\d+|localhost:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\brun-\d+\b|\btest-\d+-\d+\b|[\w.-]+/\d+/\d{9,}"), "OWNER"),
    (re.compile(r"uid: [0-9a-f]{8}$", re.MULTILINE), "uid: UID"),
    (re.compile(r"\(PID \d+\)"), "(PID n)"),
    (re.compile(r"the oldest is of \d{4}-\d\d-\d\d \d\d:\d\d UTC"), "the oldest is of DATE"),
    (re.compile(r"--expect [0-9a-f]{12}\b"), "--expect DIGEST"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "RUN"),
    (re.compile(r"\b\d[\d,]*(?:\.\d+)? (?:s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?"), "TIME"),
    (re.compile(r"\d+ requests?\b(, TIME)(?:, \d+ retr(?:y|ies))?"), r"some requests\1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was told.

    Attributes:
        code: the exit code.
        text: all that a person sees, made equal for every machine.
        left: planned rows that were not acknowledged.
    """

    code: int
    text: str
    left: int = 0


def level(text: str) -> str:
    """A text without what varies."""
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def left_of(syncs: Sequence[SyncResult]) -> int:
    """Rows that are not acknowledged."""
    return sum(s.unsent + s.refused + s.counts.on_hold + s.counts.waiting for s in syncs)


def told(shop: Scene, result: RunResult) -> Told:
    """A run as the command line tells it: notes and errors, then the summary."""
    lines = list(shop.world.observer.notes)
    lines += [
        error_text(s.error, PLAIN, name=s.sync.name) for s in result.syncs if s.error is not None and s.error is not result.error
    ]
    if result.error is not None:
        lines.append(error_text(result.error, PLAIN))
    shop.world.observer.notes.clear()
    text = level("\n".join([*lines, "", run_text(result, PLAIN)]))
    return Told(code=int(result.exit_code), text=text, left=left_of(result.syncs))
