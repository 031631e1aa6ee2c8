"""How a run reaches its destination: Customer.io itself, a sandbox that is running, or one started for the run.

The sandbox is a program of its own (`python -m revetl.sandbox`); nothing of it is imported here. One that is
started for a run ends with it, however the run ends: it watches a pipe that the system closes for a dead process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from revetl.customerio import TrackSender, loopback_only
from revetl.destination import BATCH, Reply
from revetl.errors import ConfigError, DestinationDown

START_S = 20.0
STOP_S = 5.0
# what a Python process needs to start; credentials of the warehouse or of Customer.io are no business of a sandbox
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "SYSTEMROOT", "PYTHONPATH", "VIRTUAL_ENV")
_TIED = """
import os, runpy, signal, threading
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
runpy.run_module("revetl.sandbox", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxInfo:
    """Address and credentials of a sandbox; they open nothing but that sandbox."""

    url: str
    site_id: str
    api_key: str
    ca_file: str = ""


def info_file(db: Path) -> Path:
    """Where `revetl sandbox` says how to reach the workspace in this file."""
    return db.with_name(db.name + ".info.json")


def read_info(path: Path) -> SandboxInfo | None:
    """What a running sandbox wrote, or None if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return SandboxInfo(url=str(found["url"]), site_id=str(found["site_id"]), api_key=str(found["api_key"]),
                           ca_file=str(found.get("ca_file") or ""))  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(db: Path) -> SandboxInfo | None:
    """The sandbox that serves this workspace now; a file left by one that was killed does not count."""
    found = read_info(info_file(db))
    if found is None:
        return None
    try:
        loopback_only(found.url)  # the file lies in the project, where anybody may have put it
        parts = urlsplit(found.url)
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), timeout=1):
            return found
    except (OSError, ConfigError):
        return None


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a sandbox."""
    return {name: environ[name] for name in PASSED if name in environ}


def command(db: Path, *, info: Path, options: Sequence[str] = ()) -> list[str]:
    """The command that serves a workspace in the foreground."""
    return [sys.executable, "-m", "revetl.sandbox", "--db", str(db), "--info", str(info), *options]


class OwnSandbox:
    """A sandbox that lives as long as this run.

    Args:
        db: the file of the workspace; made if it does not exist.
        environ: of this process.

    Raises:
        DestinationDown: it did not start.
    """

    def __init__(self, db: Path, *, environ: Mapping[str, str]) -> None:
        db.parent.mkdir(parents=True, exist_ok=True)
        # not beside the workspace: another run must not borrow a sandbox that ends with this one
        self._folder = tempfile.TemporaryDirectory(prefix="revetl-")
        note, errors = Path(self._folder.name) / "info.json", Path(self._folder.name) / "stderr"
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 our own interpreter and module
                [sys.executable, "-c", _TIED, "--db", str(db), "--port", "0", "--info", str(note), "--quiet"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, env=environment(environ),
                start_new_session=True,  # Ctrl-C is for the run, which still needs the sandbox to finish cleanly
            )  # fmt: skip
        until = time.monotonic() + START_S
        while (found := read_info(note)) is None:
            if self._process.poll() is not None or time.monotonic() > until:
                said = errors.read_text(errors="replace").strip().split("\n")[-1]
                self.stop()
                raise DestinationDown(
                    f"the sandbox did not start: {said or 'no answer'}", hint="try: revetl sandbox"
                )
            time.sleep(0.02)
        self.info = found

    def stop(self) -> None:
        """End it; it has written everything that it has answered."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


class _WithSandbox:
    """A sender whose sandbox is stopped when it is closed."""

    def __init__(self, sender: TrackSender, sandbox: OwnSandbox) -> None:
        self._sender = sender
        self._sandbox = sandbox

    def send(self, body: bytes, *, deadline_s: float, path: str = BATCH.path) -> Reply:
        return self._sender.send(body, deadline_s=deadline_s, path=path)

    def workspace_id(self) -> str:
        return self._sender.workspace_id()

    def close(self) -> None:
        self._sender.close()
        self._sandbox.stop()


def to_sandbox(  # noqa: PLR0913 the run's surroundings
    db: Path,
    *,
    concurrency: int,
    version: str,
    environ: Mapping[str, str],
    note: Callable[[str], None],
    on_kill: Callable[[Callable[[], None]], None] = lambda _: None,
) -> Any:  # noqa: ANN401 a sender, with or without a sandbox of its own
    """A sender to the workspace in this file.

    Args:
        note: is told in one line which sandbox it is.
        on_kill: is given what must be done if the process ends at once.
    """
    found = running(db)
    own = None
    if found is None:
        own = OwnSandbox(db, environ=environ)
        on_kill(own.stop)
        found = own.info
        note(
            f"sandbox: started for this run, over {os.path.relpath(db)} (a page to look at it: revetl sandbox)"
        )
    else:
        note(f"sandbox: using the one at {found.url}/")
    sender = TrackSender(
        site_id=found.site_id, api_key=found.api_key, base_url=found.url, ca_file=found.ca_file,
        concurrency=concurrency, version=version,
    )  # fmt: skip
    return _WithSandbox(sender, own) if own else sender
