"""Every command with the state beside a warehouse that is only read, and runners that would forget it, as a person types them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from revetl.sandbox import Fault, Sandbox
from tests.e2e.test_commands import Terminal
from tests.suites.conftest import postgres_uri

__all__ = ["postgres_uri"]  # a fixture: it finds its users by name

FILE = "state/kept.duckdb"
TESTS = "models: [{name: people, columns: [{name: person_id, tests: [unique, not_null]}]}]\n"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def shop(tmp_path: Path, box: Sandbox) -> Terminal:
    """The sample shop, its state in a DuckDB file beside the warehouse."""
    revetl = Terminal(tmp_path)
    revetl("init")
    revetl.serve(box)
    kept_in(revetl, FILE)
    return revetl


def kept_in(shop: Terminal, place: str) -> None:
    """Let the state be there."""
    shop.environ["STATE_PLACE"] = place
    text = (shop.folder / "profiles.yml").read_text()
    if "STATE_PLACE" not in text:
        shop.edit("profiles.yml", "      threads: 2\n", "      threads: 2\n      state: {in: \"{{ env_var('STATE_PLACE') }}\"}\n")


@contextmanager
def database(uri: str) -> Iterator[str]:
    """The URL of a new database, as a person writes it."""
    name = f"e_{uuid.uuid4().hex[:12]}"
    url = sa.engine.make_url(uri)
    server = sa.create_engine(uri, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield f"postgresql://{url.username}@/{name}?host={url.query['host']}"
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def results(shop: Terminal, *arguments: str, code: int | None = 0) -> dict[str, dict[str, object]]:
    """What a command says of each sync."""
    said = json.loads(shop("--quiet", *arguments, "--output", "json", code=code).splitlines()[-1])
    return {sync["name"]: {**sync, **(sync.get("counts") or {})} for sync in said["syncs"]}


def digest(shop: Terminal) -> str:
    """Of the warehouse's file."""
    return hashlib.sha256((shop.folder / "target" / "shop.duckdb").read_bytes()).hexdigest()


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("postgres", marks=pytest.mark.more)])
def test_every_command_works_and_the_warehouse_is_not_touched(
    shop: Terminal, box: Sandbox, engine: str, request: pytest.FixtureRequest
) -> None:
    if engine == "duckdb":
        _every_command(shop, box)
        return
    with database(request.getfixturevalue("postgres_uri")) as url:
        kept_in(shop, url)
        _every_command(shop, box)


def _every_command(shop: Terminal, box: Sandbox) -> None:
    before = digest(shop)
    (shop.folder / "models" / "schema.yml").write_text(TESTS)
    planned = results(shop, "diff")
    made_by_diff = (shop.folder / FILE).exists()
    assert "Done. PASS=2" in shop("test")
    assert "Done. OK=6" in shop("run", "--backfill")
    people = box.store.summary()["people"]
    again = results(shop, "run")

    assert not made_by_diff
    assert planned["people"]["to_send"] == people > 2_000
    assert {name: sync["acknowledged"] for name, sync in again.items()} == dict.fromkeys(planned, 0)
    assert all(sync["unchanged"] for sync in again.values())
    assert "people" in shop("status", code=None)
    assert f"{people:,}" in shop("state", "show")
    assert "failed" not in shop("debug")
    assert json.loads(shop("--quiet", "identity", "report", "--output", "json").splitlines()[-1])
    assert "difference 0 in" in shop("reconcile", "--days", "0")
    shop("check", code=None)
    shop("state", "unlock", "--yes", code=None)
    shop("state", "repair", "--yes", code=None)

    (someone,) = box.store.rows("SELECT id FROM people ORDER BY id LIMIT 1")[0]
    shop("forget", str(someone), "--yes", "--reason", "ticket 4711")
    shop("run")
    assert box.store.rows("SELECT count(*) FROM people WHERE id = ?", someone)[0][0] == 0
    assert str(someone) not in shop("status", code=None)

    shop("state", "reset", "--select", "people", "--yes")
    shop("state", "baseline", "--select", "people", "--yes")
    assert results(shop, "run")["people"]["acknowledged"] == 0
    assert digest(shop) == before

    shop("sample", "advance")
    box.faults.append(Fault(kind="status", status=401, times=1))
    shop("run", code=22)
    assert "ERROR=0" in shop("retry")
    assert {name: sync["acknowledged"] for name, sync in results(shop, "run").items()} == dict.fromkeys(planned, 0)


def test_a_model_that_is_to_be_built_is_refused_by_diff_and_run(shop: Terminal, box: Sandbox) -> None:
    """Nothing is written to the warehouse, so there is no view to read."""
    text = (shop.folder / "models" / "people.sql").read_text()
    (shop.folder / "models" / "people.sql").write_text("{{ config(materialized='view') }}\n" + text)

    for command in ("diff", "run"):
        said = shop(command, "--select", "people", code=2)
        assert "models/people.sql: model 'people' is to be a view" in said
        assert "[RV481]" in said
    assert box.store.summary()["people"] == 0


@pytest.mark.parametrize(
    ("variable", "system"),
    [("GITHUB_ACTIONS", "GitHub Actions"), ("KUBERNETES_SERVICE_HOST", "Kubernetes"), ("CI", "CI")],
)
def test_a_runner_that_forgets_is_told_before_anything_is_sent(
    shop: Terminal, box: Sandbox, variable: str, system: str
) -> None:
    shop.edit("profiles.yml", "    dev: {type: sandbox,", "    dev: {type: customerio, region: eu,")
    shop.edit("profiles.yml", "url: \"{{ env_var('BOX_URL') }}\", ", "")
    shop.environ[variable] = "true"

    said = shop("run", code=2)

    assert f"the state's file {FILE} does not exist yet, and this is {system}, whose disk may be gone after the run" in said
    assert "the next run would send everything again; nothing was sent [RV482]" in said
    assert "REVETL_NEW_STATE=1 revetl run" in said
    assert "`state: {in: …}` in profiles.yml keeps it in PostgreSQL (docs/state-elsewhere.md)" in said
    assert not (shop.folder / FILE).exists()
    shop("diff")  # reads only, so it may
    assert not (shop.folder / FILE).exists()


def test_a_runner_that_brings_its_state_back_or_begins_on_purpose_runs(shop: Terminal, box: Sandbox) -> None:
    """To a sandbox there is a warning only; once the file is there, not a word."""
    shop.environ["CI"] = "true"

    first = shop("run", "--select", "people")
    second = shop("run", "--select", "people")
    (shop.folder / FILE).unlink()
    on_purpose = shop("run", "--select", "people", environ={"REVETL_NEW_STATE": "1"})

    assert "warning: the state's file" in first
    assert "the next run will send everything again" in first
    assert "warning: the state's file" not in second
    assert "warning: the state's file" not in on_purpose


def test_a_second_process_on_the_states_file_or_the_warehouse_ends_with_a_clear_message(shop: Terminal, box: Sandbox) -> None:
    """Two real processes: one is in the middle of its run, the others end at once, and the first one ends well."""
    shop.edit("profiles.yml", "api_key: \"{{ env_var('BOX_KEY') }}\"", "api_key: \"{{ env_var('BOX_KEY') }}\", concurrency: 1, "
              "max_batch_operations: 100")  # fmt: skip
    box.faults.append(Fault(kind="slow", after=1, times=10_000, seconds=0.3))
    first = subprocess.Popen(
        [sys.executable, "-m", "revetl", "run", "--select", "people"], cwd=shop.folder, env=shop.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not box.store.summary()["people"] and time.monotonic() < deadline:
        assert first.poll() is None
        os.sched_yield()

    said = {command: shop(command, code=30) for command in ("run", "diff", "status")}
    assert first.poll() is None, "it ended before the others tried"
    box.faults.clear()
    told, _ = first.communicate(timeout=60)

    for text in said.values():
        assert f"PID {first.pid}" in text
        assert "another process has this DuckDB file open (see the PID above): close it, then: revetl run" in text
    assert first.returncode == 0, told
    assert results(shop, "run", "--select", "people")["people"]["acknowledged"] == 0


def test_motherduck_without_its_extension_is_told_and_no_token_with_it(shop: Terminal) -> None:
    """By each way that dbt has for a token; and one that is written in the file is refused."""
    ways = {
        "\"md:shop?motherduck_token={{ env_var('MD') }}\"": "MD",
        "md:shop\n      motherduck_token: \"{{ env_var('DBT_ENV_SECRET_MD') }}\"": "DBT_ENV_SECRET_MD",
        "md:shop": "MOTHERDUCK_TOKEN",
    }
    text = (shop.folder / "profiles.yml").read_text()
    shop.environ["HOME"] = str(shop.folder)  # where no extension was installed
    shop.environ |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    for path, variable in ways.items():
        (shop.folder / "profiles.yml").write_text(text.replace("path: target/shop.duckdb", f"path: {path}"))
        for command, code in (("diff", 30), ("debug", 1)):
            said = shop(command, code=code, environ={variable: "canary0token9"})
            assert "motherduck" in said
            assert "python -c \"import duckdb; duckdb.sql('INSTALL motherduck')\"; then: revetl debug" in said
            assert "canary" not in said
    (shop.folder / "profiles.yml").write_text(text.replace("target/shop.duckdb", "md:shop?motherduck_token=canary0token9"))
    written = shop("diff", code=2)
    state = shop("diff", code=2, environ={"STATE_PLACE": "ftp://canary@x"})
    artifacts = [file.read_text(errors="replace") for folder in ("logs", "target") for file in (shop.folder / folder).rglob("*.*")
                 if file.suffix in {".log", ".json"}]  # fmt: skip

    assert "[RV026]" in written
    assert "canary" not in written + state
    assert artifacts
    assert not [text for text in artifacts if "canary" in text]
