"""Runs in processes of their own, without paying for a start of Python each time.

`python -m tests.crash.zygote` imports everything once, has no thread and no connection, and forks a child for each
run that it is asked for. `Zygote` is the other end of its pipes.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from revetl.delivery import RealClock
from tests.crash.jobs import Job, perform

ROOT = Path(__file__).parents[2]
DEATHS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
POLL_S = 0.002
# what a run imports only when it connects
DRIVERS = ("psycopg", "sqlalchemy.dialects.postgresql.psycopg", "duckdb", "duckdb_sqlalchemy", "revetl.on_duckdb",
           "revetl.on_postgres")  # fmt: skip
SLEEP_S = 300.0  # a process that stood still thinks that so much time has passed


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What happened to a child.

    Attributes:
        state: `exit`, `signal` (it is dead) or `stop` (it stands still).
        code: the exit code or the signal's number.
        at: seconds of this machine's monotonic clock.
    """

    pid: int
    state: str
    code: int
    at: float


class Zygote:
    """The pipes to the process that forks."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def _ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self, job: Job, *, out: Path, at: int = 0, how: str = "kill", where: tuple[str, str] | None = None,
        count: int = 1, hold: tuple[str, str] | None = None, limit_bytes: int = 0,
    ) -> list[int]:  # fmt: skip
        """Fork; the numbers of the new processes. They wait until `go`, if there are several.

        Args:
            out: a child says there where it is and how it ended.
            at: of the boundaries, the one at which it dies or stands still; 0 for none.
            where: counts only boundaries of this name.
            hold: at this boundary it waits for `let_go`.
            limit_bytes: no file may grow beyond.
        """
        orders = {"at": at, "how": how, "where": where, "hold": hold, "out": str(out), "limit_bytes": limit_bytes}
        return list(self._ask(do="start", job=job.text(), count=count, **orders))

    def go(self) -> float:
        """All that were started together run now; when that was, by the machine's monotonic clock."""
        return float(self._ask(do="go"))

    def let_go(self) -> None:
        """All that hold go on."""
        self._ask(do="let_go")

    def next(self, seconds: float = 60.0) -> News | None:
        """The next child that ended or stands still; None if none does in that time."""
        found = self._ask(do="next", seconds=seconds)
        return None if found is None else News(**found)

    def wait(self, pid: int, seconds: float = 60.0) -> News:
        """The same for one child, while no other one is at work."""
        found = self.next(seconds)
        assert found is not None, "the process neither ended nor stood still"
        assert found.pid == pid
        return found


class Asleep(RealClock):
    """The machine's clock, which a stopped process finds to have gone on for longer than a lease."""

    slept_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept_s


# --- the other side ----------------------------------------------------------------------------------------------


class _Mother:
    """Forks children and reports on them."""

    def __init__(self) -> None:
        self.start_gate = self.hold_gate = (-1, -1)

    def serve(self) -> None:
        for line in sys.stdin:
            order = json.loads(line)
            print(json.dumps(getattr(self, order.pop("do"))(**order)), flush=True)

    def start(self, *, job: str, count: int, **orders: Any) -> list[int]:
        read = Job.read(job)
        self.start_gate, self.hold_gate = os.pipe(), os.pipe()
        pids = []
        for i in range(count):
            pid = os.fork()
            if pid == 0:
                os.close(self.start_gate[1])
                os.close(self.hold_gate[1])
                _child(replace(read, owner=f"{read.owner}-{i}"), self.start_gate[0], self.hold_gate[0], i, **orders)
            pids.append(pid)
        if count == 1:
            self.go()
        return pids

    def go(self) -> float:
        now = time.monotonic()
        for end in self.start_gate:
            os.close(end)
        return now

    def let_go(self) -> None:
        for end in self.hold_gate:
            os.close(end)

    def next(self, *, seconds: float) -> dict[str, Any] | None:
        until = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            now = time.monotonic()
            if pid:
                break
            if now > until:
                return None
            time.sleep(POLL_S)
        if os.WIFSTOPPED(status):
            return {"pid": pid, "state": "stop", "code": os.WSTOPSIG(status), "at": now}
        if os.WIFSIGNALED(status):
            return {"pid": pid, "state": "signal", "code": os.WTERMSIG(status), "at": now}
        return {"pid": pid, "state": "exit", "code": os.WEXITSTATUS(status), "at": now}


def _child(
    job: Job, start: int, held: int, number: int, *, at: int, how: str, where: list[str] | None,
    hold: list[str] | None, out: str, limit_bytes: int,
) -> None:  # fmt: skip
    """One run; does not come back."""
    report = os.open(f"{out}.{number}" if number else out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    code = 70
    tempfile.tempdir = job.tmp or None
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(report, 2)
        os.read(start, 1)  # until `go`
        calls, seen, clock = itertools.count(1), [0], Asleep()

        def probe(when: str, what: str) -> None:
            if hold == [when, what]:
                os.write(report, b"holds\n")
                os.read(held, 1)
            if where is not None and [when, what] != where:
                return
            seen[0] = n = next(calls)
            if n == at:
                os.write(report, json.dumps({"died": [when, what], "n": n}).encode() + b"\n")
                os.kill(os.getpid(), DEATHS[how])
                clock.slept_s = SLEEP_S

        if limit_bytes:
            import resource  # noqa: PLC0415 only where it is asked for

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        result = perform(job, probe, clock=clock)
        errors = [str(e) for e in (result.error, *(s.error for s in result.syncs)) if e is not None]
        facts = {"boundaries": seen[0], "requests": result.requests, "errors": errors}
        os.write(report, json.dumps(facts).encode() + b"\n")
        code = int(result.exit_code)
    except BaseException:  # noqa: BLE001 nothing may unwind into the mother's loop
        os.write(report, traceback.format_exc().encode())
    finally:
        os._exit(code)


if __name__ == "__main__":
    for driver in DRIVERS:
        importlib.import_module(driver)
    gc.freeze()  # a child that collects garbage would copy every page of its mother
    _Mother().serve()
