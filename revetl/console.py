"""What a person or a log sees while revetl works: lines on stderr, one live line on a terminal, the log file.

Results never come from here: they go to stdout, as text, JSON or Markdown of `report.py`. Nothing here raises: a
closed pipe or a full disk must not stop a run that is sending.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from revetl.artifacts import scrub, scrubbed
from revetl.report import Style, duration, json_line, planned_text

if TYPE_CHECKING:
    from revetl.contracts import Sync
    from revetl.plan import Counts

LOG_BYTES = 10_000_000  # dbt's size: a longer file is moved aside when the next command starts
REDRAW_S = 0.1
LINE_EVERY_S = 30.0
LEVELS = ("debug", "info", "warn", "error")


class Log:
    """Lines for people on stderr, and all of them in the log file.

    Args:
        stream: stderr.
        file: of the log; None keeps none.
        json_lines: dbt's shape `{"info": …, "data": …}` on both, instead of text.
        least: the lowest level that is shown on the stream; the file has all but `debug` unless asked for.
        secrets: texts that are never written, whatever a message holds.
        now: the wall clock.
    """

    def __init__(  # noqa: PLR0913 the command's surroundings
        self, stream: TextIO, *, style: Style, file: Path | None = None, json_lines: bool = False, least: str = "info",
        secrets: Sequence[str] = (), invocation_id: str = "", live: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self.stream = stream
        self.style = style
        self.json_lines = json_lines
        self.least = least
        self.secrets = tuple(secrets)
        self.invocation_id = invocation_id
        self.live = live and not json_lines
        self.now = now
        self._file: TextIO | None = None
        self._drawn = False
        # a signal's handler may say something while this thread is inside `say`
        self._lock = threading.RLock()
        if file is not None:
            self.open(file)

    def open(self, file: Path) -> None:
        """Write to this file from now on; a long one is moved aside first."""
        if self._file is not None:
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists() and file.stat().st_size > LOG_BYTES:
                file.replace(file.with_name(file.name + ".1"))
            self._file = file.open("a", encoding="utf-8")
        except OSError as problem:
            # a read-only project is normal under an orchestrator; the lines still go to stderr
            self.say("debug", f"no log file: {file} cannot be written ({type(problem).__name__})")

    def say(
        self, level: str, text: str, *, name: str = "Note", data: Mapping[str, Any] | None = None
    ) -> None:
        """One message; `name` is the kind of event in the JSON form."""
        text = harmless(scrub(text, self.secrets))
        line = self._json(level, text, name, data) if self.json_lines else text
        with self._lock:
            if self._file is not None and (level != "debug" or self.least == "debug"):
                stamped = line if self.json_lines else f"{self.now():%H:%M:%S.%f} [{level:<5}] {plain(text)}"
                with suppress(OSError, ValueError, RuntimeError):
                    self._file.write(stamped + "\n")
                    self._file.flush()
            if LEVELS.index(level) >= LEVELS.index(self.least):
                self._erase()
                self._write(line + "\n")

    def _json(self, level: str, text: str, name: str, data: Mapping[str, Any] | None) -> str:
        info = {
            "ts": self.now().isoformat(), "level": level, "code": "", "name": name, "msg": plain(text),
            "invocation_id": self.invocation_id, "pid": os.getpid(), "thread": threading.current_thread().name,
            "category": "", "extra": {},
        }  # fmt: skip
        return json_line({"info": info, "data": scrubbed(dict(data or {}), self.secrets)})

    def draw(self, text: str) -> None:
        """Replace the live line; does nothing where there is no terminal."""
        if self.live and LEVELS.index("info") >= LEVELS.index(self.least):
            with self._lock:
                self._write("\r\x1b[2K" + harmless(scrub(text, self.secrets)))
                self._drawn = True

    def erase(self) -> None:
        """Take the live line away."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            self._write("\r\x1b[2K")
            self._drawn = False

    def _write(self, text: str) -> None:
        # RuntimeError: a handler wrote while the same stream was being written; that line is in the file
        with suppress(OSError, ValueError, RuntimeError):
            self.stream.write(text)
            self.stream.flush()

    def close(self) -> None:
        """Take the live line away and close the file."""
        self.erase()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


# what a terminal or a log viewer acts on instead of showing it: control characters (of both ranges), what changes the
# direction of writing, and characters without a width; a colour code of ours is one group, to be put back
_ACTIVE = re.compile(
    r"(\x1b\[(?:0|1|2|31|32|33)m)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
# commands of CI systems in a job's log, in any case: GitHub's stand at the beginning of a line or anywhere, Azure's and
# TeamCity's anywhere
_COMMAND = re.compile(
    r"^(?:[^\S\n]|\x1b\[\d+m)*:(?=:[a-z-]+(?: [^\n]*)?::)|#(?=#(?:\[|vso\[|teamcity\[))", re.MULTILINE | re.IGNORECASE
)


def harmless(text: str) -> str:
    """Text in which no name or message of others moves the cursor, hides something, or is a command to a CI system.

    Only the colours that revetl uses itself pass; everything else of that kind becomes a question mark.
    """
    shown = _ACTIVE.sub(lambda match: match[1] or "?", text)
    return _COMMAND.sub(lambda match: f"{match[0]} ", shown)


def plain(text: str) -> str:
    """Text without colour codes: dbt leaves them in its JSON, and every reader has to strip them."""
    out, skipping = [], False
    for char in text:
        if char == "\x1b":
            skipping = True
        elif not skipping:
            out.append(char)
        elif char == "m":
            skipping = False
    return "".join(out)


class Progress:
    """The engine's observer: a live line on a terminal, otherwise a line now and then.

    Args:
        log: takes the lines.
        monotonic: seconds that only grow.
    """

    def __init__(self, log: Log, *, monotonic: Callable[[], float]) -> None:
        self.log = log
        self.monotonic = monotonic
        self._began: dict[str, float] = {}
        self._first: dict[str, int] = {}
        self._drawn_at = 0.0
        self._line_at: dict[str, float] = {}
        self._done: set[str] = set()

    def note(self, text: str) -> None:
        """One line a person may want to know."""
        self.log.say("info", text)

    def planned(self, sync: Sync, counts: Counts) -> None:
        """A line for each frozen plan."""
        now = self.monotonic()
        self._began[sync.name] = self._line_at[sync.name] = now
        data = {"node_info": {"node_name": sync.name, "resource_type": "sync", "node_status": "started"}}
        self.log.say("info", planned_text(sync, counts), name="SyncPlanned", data=data)

    def progress(self, sync: Sync, done: int, total: int, requests: int) -> None:
        """Rows have their outcome: redraw, and a line when all have one or half a minute has passed.

        `requests` counts the whole run's, so the number shown starts where this sync started.
        """
        name, now = sync.name, self.monotonic()
        if name in self._done:
            return
        before = self._first.setdefault(name, max(0, requests - 1))
        took = now - self._began.setdefault(name, now)
        text = self._text(name, done, total, requests - before, took)
        data = {"node_info": {"node_name": name, "resource_type": "sync"}, "done": done, "total": total}
        if done >= total:
            self._done.add(name)
            rows = f"{total:,} row" + ("" if total == 1 else "s")
            self.log.say(
                "info", f"{name}: {rows} answered in {duration(took)}", name="SyncAnswered", data=data
            )
        elif self.log.live:
            if now - self._drawn_at >= REDRAW_S:
                self._drawn_at = now
                self.log.draw(text)
        elif now - self._line_at.setdefault(name, now) >= LINE_EVERY_S:
            self._line_at[name] = now
            self.log.say("info", text, name="SyncProgress", data=data)

    @staticmethod
    def _text(name: str, done: int, total: int, requests: int, took: float) -> str:
        share = done / total if total else 1.0
        text = f"{name}: {done:,} of {total:,} rows ({share:.0%})"
        if took > 0 and done:
            speed = done / took
            text += f", {speed:,.0f} rows/s, {requests:,} request{'' if requests == 1 else 's'}"
            text += f", {duration((total - done) / speed)} left"
        return text
