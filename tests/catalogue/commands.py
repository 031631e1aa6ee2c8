"""Faults of files, versions and pull requests, by the command as a person types it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import duckdb

from revetl.sandbox import Sandbox
from tests.catalogue.told import Told, level
from tests.e2e.test_commands import ENVIRON
from tests.unit.project_files import SHOP, write

Scenario = Callable[[Path], Told]
MOST_KIB = 500_000
PROFILES = """\
shop:
  target: prod
  outputs:
    prod: {type: duckdb, path: shop.duckdb}
    pr: {type: duckdb, path: shop.duckdb, state_schema: revetl_prod}
  destinations:
    pr: {type: sandbox}
    prod: {type: customerio, region: eu, site_id: "{{ env_var('CIO_SITE') }}", api_key: "{{ env_var('CIO_KEY') }}"}
"""


def project(folder: Path, **changes: str) -> Path:
    """A small project with some files changed; its database is there."""
    write(folder, {**SHOP, **{name.replace("__", "/"): text for name, text in changes.items()}})
    duckdb.connect(str(folder / "shop.duckdb")).close()
    return folder


def typed(folder: Path, *words: str, **environ: str) -> Told:
    """What a command says on both streams."""
    return _said(folder, [sys.executable, "-m", "revetl", *words], environ)


def _said(folder: Path, words: Sequence[str], environ: Mapping[str, str]) -> Told:
    done = subprocess.run(
        words, check=False, cwd=folder, env={**ENVIRON, "HOME": str(folder), **environ},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stdout, done.stdout
    return Told(code=done.returncode, text=level(done.stdout))


def edited(folder: Path, old: str, new: str, file: str = "syncs/people.yml") -> Path:
    """A project with one change in a file."""
    text = SHOP[file]
    assert old in text
    return project(folder, **{file.replace("/", "__"): text.replace(old, new, 1)})


def never_ran(folder: Path) -> Told:
    return typed(project(folder), "status", "--max-age", "2h")


def reserved(folder: Path) -> Told:
    return typed(edited(folder, "orders_count: integer", "cio_score: integer\n      _private: string"), "run")


def without_uid(folder: Path) -> Told:
    return typed(edited(folder, "    uid: people01\n", ""), "run")


def without_keys(folder: Path) -> Told:
    """With a target for pull requests, as docs/diff.md has it; the real one cannot even be opened without its keys."""
    project(folder, **{"profiles.yml": PROFILES})
    place = {"GITHUB_EVENT_NAME": "pull_request"}
    assert typed(folder, "run", **place).code == 2
    return typed(folder, "diff", "--target", "pr", **place)


def run_in_a_pull_request(folder: Path) -> Told:
    """A diff of the same project works there; a run is refused."""
    project(folder, **{"profiles.yml": PROFILES})
    place = {"GITHUB_EVENT_NAME": "pull_request", "CIO_SITE": "site", "CIO_KEY": "key"}
    assert typed(folder, "diff", **place).code == 0
    return typed(folder, "run", **place)


def target(folder: Path) -> Told:
    return typed(project(folder), "diff", GITHUB_EVENT_NAME="pull_request_target")


def huge(folder: Path) -> Told:
    """200,000 changes in 60 attributes."""
    names = [f"a{i}" for i in range(60)]
    people = SHOP["syncs/people.yml"]
    assert people is not None
    columns = ", ".join(f"i AS {name}" for name in names)
    project(folder, **{
        "models__people.sql": f"select i as customer_id, {columns} from range(200000) t(i)\n",
        "syncs__people.yml": people.split("      email:")[0] + "".join(f"      {name}: integer\n" for name in names),
    })  # fmt: skip
    found = typed(folder, "--quiet", "diff", "--output", "markdown")
    assert len(found.text.encode()) <= 60_000
    first = [line for line in found.text.splitlines() if line][:6]
    return Told(code=found.code, text="\n".join([*first, "…"]))


def sandboxed(folder: Path, box: Sandbox) -> Path:
    """A project over a workspace on this machine, after a good run; its people come from a table that a test can change."""
    profiles = (
        "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: shop.duckdb}\n  destinations:\n"
        f"    dev: {{type: sandbox, url: '{box.url}', site_id: \"{{{{ env_var('S') }}}}\", "
        "api_key: \"{{ env_var('K') }}\"}\n"
    )
    project(folder, **{"profiles.yml": profiles, "models__people.sql": "select * from shop_people\n"})
    with duckdb.connect(str(folder / "shop.duckdb")) as own:
        own.execute("CREATE TABLE shop_people AS SELECT 'p' || i AS customer_id, 'p' || i || '@example.com' AS email, "
                    "i AS orders_count FROM range(20) t(i)")  # fmt: skip
    return folder


def out_of_memory(folder: Path) -> Told:
    """The model takes more and more; this test is the system's killer, and takes the signal that it would take."""
    with Sandbox() as box:
        sandboxed(folder, box)
        greedy = (
            "select customer_id, email, orders_count from shop_people where orders_count < "
            "(select sum(len(l)) from (select i, list(j) as l from range(1000000) a(i), range(1000) b(j) group by i))\n"
        )
        plain = (folder / "models/people.sql").read_text(encoding="utf-8")
        (folder / "models/people.sql").write_text(greedy, encoding="utf-8")
        keys = {"S": box.site_id, "K": box.api_key}
        words = [sys.executable, "-m", "revetl", "--quiet", "run", "--select", "people"]
        process = subprocess.Popen(words, cwd=folder, env={**ENVIRON, "HOME": str(folder), **keys})
        while process.poll() is None:
            size = subprocess.run(["ps", "-o", "rss=", "-p", str(process.pid)], check=False, capture_output=True, text=True)
            if int(size.stdout.strip() or 0) > MOST_KIB:
                process.kill()
        assert process.wait() == -signal.SIGKILL, "a shell says 137"
        (folder / "models/people.sql").write_text(plain, encoding="utf-8")
        with duckdb.connect(str(folder / "shop.duckdb")) as own:  # the lease of the dead run ends by itself
            own.execute("UPDATE revetl_dev.ctl__people01 SET lease_until = 1")
        return typed(folder, "run", "--select", "people", **keys)


def no_room(folder: Path) -> Told:
    """No file may grow: the run ends with what the engine says; with room again the next one is enough."""
    with Sandbox() as box:
        sandboxed(folder, box)
        keys = {"S": box.site_id, "K": box.api_key}
        limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", sys.executable, "-m", "revetl", "run", "--select", "people"]
        found = _said(folder, limited, keys)
        assert typed(folder, "run", "--select", "people", **keys).code == 0
    said = re.compile(r"(refused \w+|cannot open [^:]*): .*")
    return Told(code=found.code, text=said.sub(r"\1: what the engine says", found.text))


COMMANDS: Mapping[str, Scenario] = {
    "F12": out_of_memory, "F13": no_room, "F15": never_ran, "F81": reserved, "F92": without_uid, "F94": without_keys,
    "F95": run_in_a_pull_request, "F96": target, "F97": huge,
}  # fmt: skip
