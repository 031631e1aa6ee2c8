"""The commands as a person types them: a new project in an empty folder, and everything that can be wrong with it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import duckdb
import pytest

from revetl.sandbox import Fault, Sandbox

ENVIRON = {k: v for k, v in os.environ.items() if not k.startswith(("REVETL_", "DBT_", "CIO_"))}


class Terminal:
    """A shell in a project's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**ENVIRON, "HOME": str(folder)}

    def __call__(self, *arguments: str, code: int | None = 0, environ: Mapping[str, str] = MappingProxyType({})) -> str:
        """Run `revetl …`, with more variables; what it printed on both streams."""
        done = subprocess.run(
            [sys.executable, "-m", "revetl", *arguments], check=False, cwd=self.folder, env={**self.environ, **environ},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{done.returncode}: {done.stdout}"
        assert "Traceback" not in done.stdout
        return done.stdout

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file as an editor would."""
        file = self.folder / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Change or read the warehouse."""
        with duckdb.connect(str(self.folder / "target" / "shop.duckdb")) as db:
            return db.execute(statement).fetchall()

    def serve(self, box: Sandbox) -> None:
        """Let the project's destination be a sandbox of the test."""
        self.environ |= {"BOX_URL": box.url, "BOX_SITE": box.site_id, "BOX_KEY": box.api_key}
        text = (self.folder / "profiles.yml").read_text()
        made = ('    dev: {type: sandbox, url: "{{ env_var(\'BOX_URL\') }}", site_id: "{{ env_var(\'BOX_SITE\') }}", '
                'api_key: "{{ env_var(\'BOX_KEY\') }}"}\n')  # fmt: skip
        found = re.sub(r"    dev:\n      type: sandbox.*?(?=    prod:|\Z)", made, text, flags=re.DOTALL)
        (self.folder / "profiles.yml").write_text(found)


@pytest.fixture
def shop(tmp_path: Path) -> Terminal:
    revetl = Terminal(tmp_path)
    revetl("init")
    return revetl


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def test_a_new_project_runs_at_once_and_a_second_run_sends_nothing(shop: Terminal) -> None:
    assert "Done. OK=6" in shop("run")

    again = shop("run", "--output", "json").splitlines()[-1]

    assert json.loads(again)
    results = json.loads((shop.folder / "target" / "run_results.json").read_text())
    assert {r["status"] for r in results["results"]} == {"success"}
    assert sum(r["adapter_response"].get("api_requests", 0) for r in results["results"]) == 0


def test_a_day_later_the_diff_and_the_run_agree(shop: Terminal) -> None:
    shop("run")
    shop("sample", "advance")

    found = json.loads(shop("--quiet", "diff", "--output", "json").splitlines()[-1])
    markdown = shop("diff", "--output", "markdown")
    shop("run")

    planned = {sync["name"]: sync for sync in found["syncs"]}
    done = json.loads((shop.folder / "target" / "run_results.json").read_text())
    for result in done["results"]:
        name = result["unique_id"].rsplit(".", 1)[-1]
        assert planned[name]["to_send"] == result["adapter_response"]["acknowledged"]
    assert markdown.startswith("<!--")
    assert "@example.com" not in markdown


def test_several_mistakes_are_told_at_once_with_their_places(shop: Terminal) -> None:
    shop.edit("syncs/people.yml", "orders_count:       {type: integer,", "orders_count:       {typ: integer,")
    shop.edit("syncs/people.yml", "country:            {type: string,", "country:            {type: strng,")
    shop.edit("syncs/events.yml", "model: ref('order_completed')", "model: ref('order_complete')")

    said = shop("parse", code=2)

    for place in (r"syncs/people\.yml:\d+:\d+", r"syncs/events\.yml:\d+:\d+"):
        assert re.search(place, said)
    for word in ("'typ'", "'type'", "'string'", "'order_complete'", "'order_completed'"):
        assert word in said
    assert re.search(r"\d problems", said)


def test_a_missing_variable_is_named(shop: Terminal) -> None:
    said = shop("run", "--target", "prod", code=2)

    assert "CIO_SITE_ID" in said
    assert "SHOP_PG_HOST" in said
    assert "profiles.yml:" in said


def test_a_secret_in_the_file_is_refused_and_not_repeated(shop: Terminal) -> None:
    shop.edit("profiles.yml", "\"{{ env_var('CIO_TRACK_API_KEY') }}\"", "s3cr3t-canary-value")
    shop.environ |= {"CIO_SITE_ID": "x", "SHOP_PG_HOST": "h", "SHOP_PG_USER": "u", "DBT_ENV_SECRET_SHOP_PG_PASSWORD": "p"}

    said = shop("run", "--target", "prod", code=2)

    assert "api_key" in said
    assert "canary" not in said


def test_wrong_sql_names_the_models_file_and_line(shop: Terminal) -> None:
    shop.edit("models/people.sql", "    accounts.first_name,\n", "    accounts.frist_name,\n")

    said = shop("run", code=2)

    lines = (shop.folder / "models/people.sql").read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "frist_name" in text)
    assert f"models/people.sql:{line}" in said
    assert "frist_name" in said


def test_an_unreachable_warehouse(shop: Terminal) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shop.environ |= {"CIO_SITE_ID": "x", "CIO_TRACK_API_KEY": "y", "SHOP_PG_HOST": "127.0.0.1", "SHOP_PG_PORT": str(port),
                     "SHOP_PG_USER": "u", "DBT_ENV_SECRET_SHOP_PG_PASSWORD": "canary-password"}  # fmt: skip

    said = shop("run", "--target", "prod", code=30)

    lines = (shop.folder / "profiles.yml").read_text().splitlines()
    assert f"error: profiles.yml:{lines.index('    prod:') + 2}:7: the warehouse refused connect" in said
    assert "revetl debug" in said
    assert "canary-password" not in said


def test_a_warehouse_that_another_process_has_open(shop: Terminal) -> None:
    with duckdb.connect(str(shop.folder / "target" / "shop.duckdb")):
        said = shop("run", code=30)

    assert "another process has this DuckDB file open" in said


def test_wrong_credentials_blame_no_row(shop: Terminal, box: Sandbox) -> None:
    shop.serve(box)
    shop.environ["BOX_KEY"] = "wrong-canary-key"

    said = shop("run", code=22)

    assert "canary" not in said
    assert box.store.summary()["people"] == 0


def test_duplicate_keys_name_model_and_column_and_nothing_is_sent(shop: Terminal, box: Sandbox) -> None:
    shop.serve(box)
    twice = "(select * from accounts union all select * from accounts) as accounts"
    shop.edit("models/people.sql", "from accounts\nleft join order_facts", f"from {twice}\nleft join order_facts")

    said = shop("run", "--select", "people", code=10)

    assert "repeat the key" in said
    assert "person_id" in said
    assert box.store.summary()["people"] == 0


def test_a_wrong_selector_is_an_error_with_the_nearest_name(shop: Terminal) -> None:
    said = shop("run", "--select", "poeple", code=2)

    assert "people" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_cleanly_and_the_next_one_sends_the_rest(
    shop: Terminal, box: Sandbox, number: signal.Signals
) -> None:
    shop.serve(box)
    key = "api_key: \"{{ env_var('BOX_KEY') }}\""
    shop.edit("profiles.yml", key + "}", key + ", max_batch_operations: 20, concurrency: 1}")
    box.faults.append(Fault(kind="slow", after=3, times=10_000, seconds=0.2))
    process = subprocess.Popen(
        [sys.executable, "-m", "revetl", "run", "--select", "people"], cwd=shop.folder, env=shop.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while box.store.summary()["people"] < 70 and time.monotonic() < deadline:
        assert process.poll() is None
        os.sched_yield()
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)

    assert process.returncode == 128 + number, said
    kept = box.store.summary()["people"]
    assert 0 < kept < 2_000
    acknowledged = shop.sql("SELECT count(*) FROM revetl_dev.state__" + _uid(shop))[0][0]
    assert acknowledged == kept
    box.faults.clear()
    shop("run", "--select", "people")
    rows = shop.sql("SELECT count(*) FROM revetl_dev.state__" + _uid(shop))[0][0]
    assert rows == box.store.summary()["people"]


def _uid(shop: Terminal) -> str:
    found = re.search(r"uid: (\w+)", (shop.folder / "syncs/people.yml").read_text())
    assert found is not None
    return found[1]


def test_retry_sends_what_a_failed_run_left(shop: Terminal, box: Sandbox) -> None:
    shop.serve(box)
    box.faults.append(Fault(kind="status", status=401, times=1))
    shop("run", code=22)

    said = shop("retry")

    assert box.store.summary()["people"] > 2_000
    assert "ERROR=0" in said


def test_status_says_what_is_refused_and_what_to_do(shop: Terminal) -> None:
    shop.edit("syncs/people.yml", "pattern: '[A-Z]{2}'", "pattern: '[A-Z]{3}'")
    shop("run", "--select", "people", code=11)

    said = shop("status", code=None)

    assert "pattern" in said


def test_values_are_refused_where_nobody_looks(shop: Terminal) -> None:
    assert "terminal" in shop("diff", "--show-values", code=2)
