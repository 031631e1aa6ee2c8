"""SIGTERM while requests are under way: the real command against the fault server (bar 9, F11)."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bars import Bar
from tests.e2e.test_commands import Terminal
from tests.faults.server import HONEST, Answer, FaultServer, Seen, say
from tests.faults.workspace import Workspace, row_of

LONGEST_S = 20.0
HANG = Answer(effect="apply", delay_s=120)
# what the server does from the request on at which the signal comes
TROUBLE: dict[str, Answer] = {
    "answers that come": replace(HONEST, delay_s=0.05),
    "answers that hang": HANG,
    "a server that asks to wait": say(429, b"{}", "Retry-After: 300"),
    "answers that drip": replace(HONEST, every_s=2.0),
    "a server that fails": say(503),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one run ended.

    Attributes:
        seconds: from the signal to the end of the process.
        again: rows that were acknowledged and went out again in the next run.
        missing: rows that were not in the workspace after it.
    """

    kind: str
    code: int
    seconds: float
    again: int
    missing: int


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, of which each round gets a copy."""
    folder = tmp_path_factory.mktemp("project")
    Terminal(folder)("init")
    box: Any = SimpleNamespace(url="", site_id="s", api_key="k")
    shop = Terminal(folder)
    shop.serve(box)
    key = "api_key: \"{{ env_var('BOX_KEY') }}\""
    shop.edit("profiles.yml", key + "}", key + ", max_batch_operations: 20, requests_per_second: 50}")
    return folder


def one_round(project: Path, folder: Path, kind: str, after: int) -> Ended:
    """Run, let trouble begin with request number `after`, send SIGTERM there, wait; then a clean run."""
    shutil.copytree(project, folder)
    workspace, reached = Workspace(), threading.Event()

    def script(seen: Seen) -> Answer:
        if seen.number >= after:
            reached.set()
            return TROUBLE[kind]
        return HONEST

    with FaultServer(script, workspace=workspace) as server:
        shop = Terminal(folder)
        shop.environ |= {"BOX_URL": server.url, "BOX_SITE": "s", "BOX_KEY": "k"}
        command = [sys.executable, "-m", "revetl", "--quiet", "run", "--select", "people"]
        process = subprocess.Popen(
            command, cwd=folder, env=shop.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            assert reached.wait(120)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code = process.wait(LONGEST_S + 30)
            seconds = time.monotonic() - began
        finally:
            process.kill()
            process.wait()
        uid = next(line.split()[-1] for line in (folder / "syncs/people.yml").read_text().splitlines() if "uid:" in line)
        acknowledged = {key for (key,) in shop.sql(f"SELECT _key FROM revetl_dev.state__{uid}")}
        honest = {str(row_of(op)) for number, op in workspace.taken if _answered(server, number)}
        assert honest <= acknowledged, "what was answered is kept"
        shop.sql(f"UPDATE revetl_dev.ctl__{uid} SET drain_until = 1")
        start = len(server.seen)
        server.script = [HONEST]
        shop("--quiet", "run", "--select", "people")
        sent = {row for row, count in workspace.rows(start).items() if count}
        rows = {str(key) for (key,) in shop.sql(f"SELECT _key FROM revetl_dev.state__{uid}")}  # it ended with 0: all
        return Ended(
            kind=kind, code=code, seconds=seconds, again=len(sent & acknowledged),
            missing=len(rows - workspace.people.keys()),
        )  # fmt: skip


def _answered(server: FaultServer, number: int) -> bool:
    """Whether a request got a whole and good answer before anything was cut."""
    return server.seen[number].answer in {HONEST, TROUBLE["answers that come"]}


def judged(found: list[Ended], bar: Bar, seed: int) -> None:
    """Every round ended in time, by the right code, and lost and repeated nothing."""
    for one in found:
        print(f"{one.kind}: {one.seconds:.1f} s, code {one.code}, {one.again} again, {one.missing} missing")
    slowest, again = max(one.seconds for one in found), sum(one.again for one in found)
    codes = {one.code for one in found}
    assert codes == {143}
    assert slowest <= LONGEST_S
    assert (again, sum(one.missing for one in found)) == (0, 0)
    kinds = ", ".join(sorted({one.kind for one in found}))
    of = f"{len(found)} runs of the command, several at once: {kinds}"
    bar(9, "seconds from SIGTERM to the exit, at most", found=f"{slowest:.1f}", goal="≤ 20", of=of, seed=seed)
    bar(9, "exit code", found=", ".join(map(str, codes)), goal="143", of=of, seed=seed)
    bar(9, "acknowledged rows sent again by the next run", found=again, goal="0", of=of, seed=seed)


def rounds(project: Path, folder: Path, kinds: list[str], seed: int, at_once: int) -> list[Ended]:
    """So many, some at a time."""
    rng = random.Random(seed)
    jobs = [(kind, rng.randrange(1, 60)) for kind in kinds]
    with ThreadPoolExecutor(at_once) as pool:
        made = [pool.submit(one_round, project, folder / f"round{i}", *job) for i, job in enumerate(jobs)]
        return [future.result() for future in made]


def test_sigterm_ends_a_run_in_twenty_seconds_whatever_the_server_does(project: Path, tmp_path: Path, bar: Bar) -> None:
    """F11: a sample: one round each of three kinds of trouble."""
    judged(rounds(project, tmp_path, list(TROUBLE)[:3], seed=9, at_once=3), bar, 9)


@pytest.mark.soak
def test_sigterm_ends_a_hundred_runs_in_twenty_seconds(project: Path, tmp_path: Path, bar: Bar) -> None:
    """F11."""
    judged(rounds(project, tmp_path, list(TROUBLE) * 20, seed=99, at_once=8), bar, 99)
