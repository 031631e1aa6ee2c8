"""Faults of files, versions and pull requests, by the command as a person types it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from tests.catalogue.told import Told, level
from tests.e2e.test_commands import ENVIRON
from tests.unit.project_files import SHOP, write

Scenario = Callable[[Path], Told]
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
    done = subprocess.run(
        [sys.executable, "-m", "revetl", *words], check=False, cwd=folder, env={**ENVIRON, "HOME": str(folder), **environ},
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


COMMANDS: Mapping[str, Scenario] = {
    "F15": never_ran, "F81": reserved, "F92": without_uid, "F94": without_keys, "F95": run_in_a_pull_request, "F96": target,
    "F97": huge,
}  # fmt: skip
