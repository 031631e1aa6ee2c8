"""`make demo`: a made-up shop on this machine, from its tables to a Customer.io workspace, without an account.

Prints each command before it runs it; all of them can be typed by hand. What is sent arrives at a real HTTP server,
the sandbox, and what it holds in the end is asked of that server, not of revetl. The shop's people are invented,
so this is the one place where values are shown without a person at a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MARK = ".revetl-demo"
COLUMNS = 132


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A sandbox that runs: its address, and the key of its App API."""

    url: str
    key: str

    def get(self, path: str) -> Any:  # noqa: ANN401 JSON
        """An answer of the sandbox."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


class Demo:
    """Runs revetl's commands in one folder, each shown before it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # the revetl of this interpreter, whether installed from a wheel or from the source tree
        self.revetl = [sys.executable, "-m", "revetl"]
        self.environ: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("REVETL_", "DBT_"))},
            "PYTHONUNBUFFERED": "1",
        }

    def say(self, text: str) -> None:
        """A line between the commands."""
        mark = ("\033[1;36m", "\033[0m") if sys.stdout.isatty() else ("", "")
        print(f"\n{mark[0]}# {text}{mark[1]}", flush=True)

    def show(self, arguments: Sequence[str]) -> None:
        """A command as a person would type it."""
        print(f"$ {shlex.join(['revetl', *arguments])}", flush=True)

    def run(self, *arguments: str, cwd: Path | None = None, expected: frozenset[int] = frozenset({0})) -> None:
        """Show a command and run it.

        Raises:
            SystemExit: it ended with another code than expected.
        """
        self.show(arguments)
        done = subprocess.run([*self.revetl, *arguments], cwd=cwd or self.folder, env=self.environ, check=False)
        self.expect(arguments, done.returncode, expected)

    def run_on_terminal(self, *arguments: str) -> None:
        """Show a command and run it on a terminal made for it, since values are shown on terminals only."""
        self.show(arguments)
        ours, theirs = pty.openpty()
        environ = {k: v for k, v in self.environ.items() if k != "CI"} | {"COLUMNS": str(COLUMNS)}
        if not sys.stdout.isatty():
            environ |= {"NO_COLOR": "1", "TERM": "dumb"}
        process = subprocess.Popen([*self.revetl, *arguments], cwd=self.folder, env=environ, stdin=subprocess.DEVNULL,
                                   stdout=theirs)  # fmt: skip
        os.close(theirs)
        while part := _read(ours):
            sys.stdout.write(part.decode(errors="replace").replace("\r\n", "\n"))
        sys.stdout.flush()
        os.close(ours)
        self.expect(arguments, process.wait(), frozenset({0}))

    def expect(self, arguments: Sequence[str], code: int, expected: frozenset[int]) -> None:
        """Stop the demo where a command ended otherwise than it should."""
        if code not in expected:
            sys.exit(f"demo: `revetl {shlex.join(arguments)}` ended with {code}, not {sorted(expected)}")

    @contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """A sandbox in the background; it is stopped at the end, and keeps its workspace in a file."""
        # a free port: somebody may look at another workspace at the usual one
        print("$ revetl sandbox --port 0 &", flush=True)
        process = subprocess.Popen([*self.revetl, "sandbox", "--port", "0"], cwd=self.folder, env=self.environ, text=True,
                                   stdout=subprocess.PIPE)  # fmt: skip
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.wait(10)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def _address(process: subprocess.Popen[str]) -> Sandbox:
    """What the sandbox prints when it listens."""
    url = key = ""
    assert process.stdout is not None  # noqa: S101 asked for above
    for line in process.stdout:
        print(f"  {line}", end="", flush=True)
        if "http://" in line or "https://" in line:
            url = next(word for word in line.split() if word.startswith("http")).rstrip("/")
        if "App API key" in line:
            key = line.split()[-1]
        if line.startswith("Stop it"):
            break
    if not url:
        sys.exit("demo: the sandbox did not start")
    return Sandbox(url=url, key=key)


def _emptied(folder: Path) -> Path:
    """The demo's folder, without what an earlier demo left. Never another folder's files."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            sys.exit(f"demo: {folder} is not empty, and was not made by the demo")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _held(box: Sandbox) -> str:
    """What the workspace holds, asked of the workspace."""
    found = box.get("/sandbox/summary")
    events: dict[str, int] = found["events"]
    width = max((len(name) for name in events), default=0)
    lines = [f"  {found['people']:,} people, {sum(events.values()):,} events"]
    lines += [f"    {name:<{width}}  {count:>7,}" for name, count in sorted(events.items())]
    return "\n".join(lines)


def tell(folder: Path, *, keep: bool) -> None:
    """The whole demo."""
    began = time.monotonic()
    demo = Demo(_emptied(folder))

    demo.say("A project with a made-up shop in an embedded warehouse (DuckDB)")
    demo.run("init", os.path.relpath(folder), cwd=Path.cwd())
    (folder / MARK).touch()
    print(f"$ cd {os.path.relpath(folder)}")

    demo.say("What would be sent? A diff writes nothing and connects to nobody")
    demo.run("diff")

    demo.say("A Customer.io workspace on this machine, to send it to")
    with demo.sandbox() as box:
        demo.say("The first run sends everybody; events of the past are only recorded, and new ones sent from now on")
        demo.run("run", expected=frozenset({0, 1}))

        demo.say("A day passes in the shop")
        demo.run("sample", "advance")

        demo.say("Only what changed would go out, old → new")
        demo.run_on_terminal("diff", "--show-values")
        demo.run("run", expected=frozenset({0, 1}))

        demo.say("Again: there is nothing to do")
        demo.run("run", expected=frozenset({0, 1}))

        demo.say(f"What the workspace now holds, after {time.monotonic() - began:.0f} s")
        print(_held(box))
        print(f"\nThe page of this workspace:  {box.url}/", flush=True)
        if keep:
            print("It stays there until Ctrl-C.", flush=True)
            _until_interrupted()
    if not keep:
        again = f"cd {os.path.relpath(folder)} && revetl sandbox"
        if folder == ROOT / "target" / "demo":
            again = "make sandbox"
        print(f"It was stopped with the demo; its data stays in {os.path.relpath(folder)}. To open the page:  {again}")


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print()


def main() -> None:
    """The demo, or the sandbox that it left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "target" / "demo", help="where the project is made")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox running until Ctrl-C")
    parser.add_argument("--only-sandbox", action="store_true", help="serve what an earlier demo left")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    if not options.only_sandbox:
        tell(folder, keep=options.keep)
        return
    if not (folder / MARK).exists():
        sys.exit("there is no demo yet: make demo")
    demo = Demo(folder)
    with demo.sandbox() as box:
        print(f"\nThe page of this workspace:  {box.url}/", flush=True)
        _until_interrupted()


if __name__ == "__main__":
    main()
