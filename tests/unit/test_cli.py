"""The command line as a user meets it: real files, a real DuckDB warehouse, a real sandbox."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
import duckdb
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import revetl
from revetl import artifacts, cli
from revetl.cli import main, spread

PROFILES = """\
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: warehouse.duckdb}
    other: {type: duckdb, path: other.duckdb, destination: cloud}
  destinations:
    dev: {type: sandbox}
    cloud: {type: customerio, site_id: "{{ env_var('SITE') }}", api_key: "{{ env_var('KEY') }}"}
"""
SYNCS = """\
version: 1
syncs:
  - name: people
    uid: people01
    model: ref('people')
    type: person
    identify_by: {id: customer_id}
    attributes:
      email: {type: string}
      plan: {type: string}
    when_missing: delete
    guards: {max_deletes: 1%}
  - name: orders
    uid: orders01
    model: ref('orders')
    type: event
    event: Order Completed
    tags: [nightly]
    person: {id: customer_id, sync: people}
    key: order_id
    occurred_at: ordered_at
    properties:
      value: {type: number, required: true}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project, and the current folder in it."""
    folder = tmp_path / "shop"
    (folder / "models").mkdir(parents=True)
    (folder / "syncs").mkdir()
    (folder / "profiles.yml").write_text(PROFILES)
    (folder / "pyproject.toml").write_text('[tool.revetl]\nname = "shop"\n')
    (folder / "syncs" / "shop.yml").write_text(SYNCS)
    (folder / "models" / "people.sql").write_text("select customer_id, email, plan from raw_people")
    (folder / "models" / "orders.sql").write_text("select * from raw_orders")
    monkeypatch.chdir(folder)
    sql("CREATE TABLE raw_people AS SELECT 'c' || i AS customer_id, 'secret' || i || '@example.com' AS email, "
        "'free' AS plan FROM range(100) t(i)")  # fmt: skip
    sql("CREATE TABLE raw_orders AS SELECT 'o' || i AS order_id, 'c' || i AS customer_id, now() AS ordered_at, "
        "i * 1.5 AS value FROM range(20) t(i)")  # fmt: skip
    return folder


def sql(statement: str) -> None:
    """Change the warehouse."""
    with duckdb.connect("warehouse.duckdb") as connection:
        connection.execute(statement)


def last_json(text: str) -> dict[str, object]:
    """What an orchestrator keeps: the last line."""
    found = json.loads(text.rstrip("\n").split("\n")[-1])
    assert isinstance(found, dict)
    return found


# --- arguments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "meant"),
    [
        (["run", "--select", "a", "b"], ["run", "--select", "a", "--select", "b"]),
        (
            ["run", "-s", "a", "b", "-t", "x", "--exclude", "c"],
            ["run", "-s", "a", "-s", "b", "-t", "x", "--exclude", "c"],
        ),
        (["run", "--select=a", "b"], ["run", "--select=a", "--select", "b"]),
        (["run", "-q", "a"], ["run", "-q", "a"]),
        (["x", "--", "--select", "a", "b"], ["x", "--", "--select", "a", "b"]),
        (["diff", "-m", "a", "b", "-"], ["diff", "-m", "a", "-m", "b", "-m", "-"]),
    ],
)
def test_a_selection_takes_values_until_the_next_option(given_: list[str], meant: list[str]) -> None:
    assert spread(given_) == meant


@given(st.lists(st.sampled_from(["--select", "-x", "a", "b", "--exclude", "--", "-t"])))
def test_nothing_of_the_arguments_is_lost(args: list[str]) -> None:
    rest = list(spread(args))
    for arg in args:
        rest = rest[rest.index(arg) + 1 :]


def test_global_options_stand_before_or_after_the_command(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for args in (["-t", "nope", "ls"], ["ls", "-t", "nope"], ["-t", "dev", "ls", "-t", "nope"]):
        assert main(args) == 2
        assert "has no target 'nope'" in capsys.readouterr().err
    assert main(["-t", "nope", "ls", "-t", "dev"]) == 0


def test_every_global_option_has_an_environment_twin(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in cli.cli.params:
        if option.name not in {"version", "help"}:
            assert isinstance(option, click.Option)
            assert option.envvar is not None
    monkeypatch.setenv("REVETL_TARGET", "nope")
    assert main(["ls"]) == 2
    assert main(["ls", "--target", "dev"]) == 0
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(shop))
    monkeypatch.chdir("/")
    assert main(["ls", "--target", "dev"]) == 0
    assert capsys.readouterr().out == "people\norders\n" * 2


def test_help_is_quick_and_imports_no_engine() -> None:
    code = (
        "import sys, time; from revetl.cli import main; main(['--help']); "
        "print(time.process_time(), 'sqlalchemy' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, loaded = out.rstrip("\n").split("\n")[-1].split()
    assert loaded == "False"
    assert float(seconds) < 0.25


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    def walk(group: click.Group, path: list[str]) -> Iterator[list[str]]:
        for name, command in group.commands.items():
            yield [*path, name]
            if isinstance(command, click.Group):
                yield from walk(command, [*path, name])

    paths = list(walk(cli.cli, []))
    assert len(paths) > 18
    for path in paths:
        assert main([*path, "--help"]) == 0
        assert "Usage: revetl " + " ".join(path) in capsys.readouterr().out


def test_a_typo_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rn"]) == 2
    assert "run" in capsys.readouterr().err
    assert main(["run", "--selct", "x"]) == 2
    assert "--select" in capsys.readouterr().err


# --- a new project ---------------------------------------------------------------------------------------------


def test_a_new_project_runs_without_an_account_or_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "my shop"]) == 0
    out, err = capsys.readouterr()
    assert "cd 'my shop' && revetl diff" in out
    assert "wrote syncs/people.yml" in err
    monkeypatch.chdir(tmp_path / "my shop")
    assert main(["diff"]) == 0
    assert main(["run"]) in {0, 1}
    assert "ERROR=0 SKIP=0" in capsys.readouterr().out
    assert main(["run", "--output", "json"]) in {0, 1}
    assert last_json(capsys.readouterr().out)["requests"] == 0
    assert main(["sample", "advance"]) == 0
    assert main(["run"]) in {0, 1}
    assert "ERROR=0 SKIP=0" in capsys.readouterr().out


def test_init_never_overwrites_and_gives_each_project_its_own_uids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "a"]) == 0
    assert main(["init", "b"]) == 0
    first, second = ((tmp_path / name / "syncs" / "people.yml").read_text() for name in "ab")
    assert first != second
    pattern = r"uid: [a-z][a-z0-9]{9}\n"
    assert re.sub(pattern, "", first) == re.sub(pattern, "", second)
    (tmp_path / "a" / "syncs" / "people.yml").write_text(first + "# mine\n")
    capsys.readouterr()
    assert main(["init", "a"]) == 0
    assert "kept syncs/people.yml: it was there already" in capsys.readouterr().err
    assert (tmp_path / "a" / "syncs" / "people.yml").read_text() == first + "# mine\n"


def test_init_in_a_project_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles.yml").write_text("other: {target: x, outputs: {x: {type: duckdb}}}\n")
    assert main(["init"]) == 2
    err = capsys.readouterr().err
    assert "kept profiles.yml" in err
    assert "there is no profile 'shop'" in err
    assert (tmp_path / "profiles.yml").read_text().startswith("other:")


def test_ls_in_its_forms(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--output", "path", "-s", "tag:nightly"]) == 0
    assert capsys.readouterr().out == "syncs/shop.yml\n"
    assert main(["ls", "--output", "selector", "--exclude", "orders"]) == 0
    assert capsys.readouterr().out == "sync:people\n"
    assert main(["ls", "--output", "json"]) == 0
    assert [json.loads(line)["unique_id"] for line in capsys.readouterr().out.splitlines()] == [
        "sync.shop.people", "sync.shop.orders",
    ]  # fmt: skip
    assert main(["ls", "-s", "peple"]) == 2
    assert "did you mean 'people'" in capsys.readouterr().err


def test_parse_writes_a_valid_manifest(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parse"]) == 0
    assert capsys.readouterr().out == "2 syncs and 2 models are in order\n"
    manifest = json.loads((shop / "target" / "manifest.json").read_text())
    jsonschema.validate(manifest, artifacts.json_schema("manifest"))
    assert manifest["parent_map"]["sync.shop.people"] == ["model.shop.people"]
    before = manifest["syncs"]["sync.shop.orders"]["checksum"]
    text = (shop / "syncs" / "shop.yml").read_text()
    (shop / "syncs" / "shop.yml").write_text("# a comment moves every line\n" + text)
    main(["parse"])
    again = json.loads((shop / "target" / "manifest.json").read_text())
    assert again["syncs"]["sync.shop.orders"]["checksum"] == before
    (shop / "syncs" / "shop.yml").write_text(text.replace("value: {type: number", "value: {type: integer"))
    main(["parse"])
    changed = json.loads((shop / "target" / "manifest.json").read_text())["syncs"]
    assert changed["sync.shop.orders"]["checksum"] != before
    assert changed["sync.shop.people"]["checksum"] == manifest["syncs"]["sync.shop.people"]["checksum"]


def test_compile_prints_one_sync_and_writes_all(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "-s", "people"]) == 0
    assert "from raw_people" in capsys.readouterr().out
    assert main(["compile"]) == 0
    assert capsys.readouterr().out == ""
    assert "raw_orders" in (shop / "target" / "compiled" / "shop" / "syncs" / "orders.sql").read_text()


def test_all_problems_of_a_project_at_once(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = SYNCS.replace("uid: people01", "uidd: people01").replace("type: number", "type: nubmer")
    (shop / "syncs" / "shop.yml").write_text(wrong)
    assert main(["parse"]) == 2
    err = capsys.readouterr().err
    assert "syncs/shop.yml:4:" in err
    assert "did you mean 'uid'" in err
    assert "number" in err
    assert "problems in the project" in err


def test_debug_tries_everything_and_keeps_nothing(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["debug"]) == 0
    out = capsys.readouterr().out
    assert "warehouse: ok" in out
    assert "right to write the state: ok" in out
    assert "sandbox: ok" in out
    with duckdb.connect("warehouse.duckdb") as connection:
        found = connection.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
    assert "revetl_dev" not in [name for (name,) in found]
    monkeypatch.setenv("SITE", "site-1")
    monkeypatch.setenv("KEY", "k3y-of-the-workspace")
    (shop / "profiles.yml").write_text(
        PROFILES.replace("type: customerio,", "type: sandbox, url: 'http://127.0.0.1:9',")
    )
    assert main(["debug", "-t", "other"]) == 1
    out, err = capsys.readouterr()
    assert "warehouse: failed: the DuckDB file other.duckdb does not exist" in out
    assert "sandbox: failed" in out
    assert "k3y-of-the-workspace" not in out + err


def test_values_are_for_a_terminal_only(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["diff", "--show-values"]) == 2
    assert "on a terminal only" in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for environ, code in (({}, 0), ({"CI": "true"}, 2)):
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert main(["diff", "--show-values", "--no-use-colors"]) == code
        assert ("secret0@example.com" in screen.getvalue()) is (code == 0)
        assert main(["diff", "--show-values", "--output", "json"]) == 2


def test_the_identity_report_writes_nothing_and_its_gate(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identity", "report", "--fail-on", "duplicates"]) == 0
    assert "No duplicates were found" in capsys.readouterr().out
    sql("INSERT INTO raw_people VALUES ('C 7', 'SECRET9@example.com', 'free')")

    assert main(["identity", "report"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[:4] == [
        "people: people of the model 'people' who may be one person",
        "  rule                groups  people  in the last runs",
        "  id in another form       1       2",
        "  same email               1       2",
    ]
    assert "secret" not in out.lower()
    assert main(["identity", "report", "--output", "json", "--fail-on", "duplicates"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["duplicates"], found["syncs"][0]["rules"][1]["people"]) == (2, 2)
    with duckdb.connect("warehouse.duckdb") as db:
        assert "revetl_dev" not in str(db.execute("SELECT schema_name FROM information_schema.schemata").fetchall())
    assert main(["identity", "report", "--select", "orders"]) == 2


def test_diff_writes_nothing_and_its_gates(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "--output", "json"]) == 0
    out, err = capsys.readouterr()
    assert last_json(out)["totals"] == {
        "created": 120, "updated": 0, "redriven": 0, "deleted": 0, "planned": 120, "unchanged": 0, "to_send": 100,
        "requests": 1, "problems": 0,
    }  # fmt: skip
    assert main(["diff", "--output", "markdown"]) == 0
    markdown = capsys.readouterr().out
    assert markdown.startswith("<!-- revetl:diff project=shop target=dev -->")
    assert "example.com" not in out + err + markdown
    assert main(["diff", "--fail-on", "changes"]) == 1
    assert main(["diff", "--fail-on", "deletes"]) == 0
    assert main(["run", "--dry-run"]) == 0
    with duckdb.connect("warehouse.duckdb") as connection:
        assert connection.execute("SELECT count(*) FROM information_schema.tables").fetchone() == (2,)
    assert not (shop / "target" / "dev-sandbox.db").exists()


# --- running ---------------------------------------------------------------------------------------------------


def test_the_first_day(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run, run again, change, see, be stopped by a guard, confirm, break a row, retry, look."""
    assert main(["run"]) == 0
    out, err = capsys.readouterr()
    assert "Done. OK=2 PARTIAL=0 ERROR=0 SKIP=0 TOTAL=2 | 100 acknowledged, 20 recorded" in out
    assert "baseline: 20 rows recorded as already synced; nothing was sent" in out
    assert "sandbox: started for this run" in err
    assert "people: 100 rows answered" in err

    assert main(["run", "--skip-code", "99", "--output", "json"]) == 99
    summary = last_json(capsys.readouterr().out)
    assert (summary["requests"], summary["exit_code"]) == (0, 0)

    sql("DELETE FROM raw_people WHERE customer_id IN (SELECT 'c' || (80 + i) FROM range(20) t(i))")
    assert main(["diff"]) == 0
    out = capsys.readouterr().out
    assert "would stop: syncs/shop.yml:3:5: sync 'people': 20 of 100 people would be deleted" in out
    assert main(["run", "-s", "people"]) == 11
    out, err = capsys.readouterr()
    assert "→ if this is right: revetl run --select people --confirm-deletes 20" in err
    assert "ERROR=1" in out
    assert main(["run", "-s", "people", "--confirm-deletes", "19"]) == 11
    assert main(["run", "-s", "people", "--confirm-deletes", "20"]) == 0

    sql("UPDATE raw_people SET email = repeat('x', 2000) WHERE customer_id = 'c7'")
    capsys.readouterr()
    assert main(["run"]) == 1
    out, err = capsys.readouterr()
    assert "1 × too_long in email" in out
    assert "xxx" not in out + err
    results = json.loads((shop / "target" / "run_results.json").read_text())
    jsonschema.validate(results, artifacts.json_schema("run_results"))
    assert [r["status"] for r in results["results"]] == ["partial success", "success"]

    sql("UPDATE raw_people SET email = 'x@example.com' WHERE customer_id = 'c7'")
    assert main(["retry"]) == 0
    out, err = capsys.readouterr()
    assert "again: people" in err
    assert "TOTAL=1 | 1 acknowledged" in out
    assert main(["retry", "--skip-code", "99"]) == 99

    assert main(["status"]) == 0
    assert re.search(r"people +success .* 80 +0 +0 +0", capsys.readouterr().out)
    assert main(["status", "--max-age", "2h"]) == 0
    assert main(["status", "--max-age", "0s"]) == 11
    assert main(["status", "--max-age", "soon"]) == 2
    capsys.readouterr()
    assert main(["state", "show", "--output", "json"]) == 0
    assert [s["acknowledged"] for s in last_json(capsys.readouterr().out)["syncs"]] == [80, 20]  # type: ignore[attr-defined]
    log = (shop / "logs" / "revetl.log").read_text()
    assert "people: 100 rows, 100 created; 100 to send" in log
    assert "example.com" not in log


def test_a_reset_needs_a_word_and_makes_a_first_run(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "-q"])
    capsys.readouterr()
    assert main(["state", "reset", "-s", "people"]) == 2
    out, err = capsys.readouterr()
    assert "forget that Customer.io has acknowledged 100 rows" in out
    assert "add --yes" in err
    assert main(["diff", "-s", "people"]) == 0
    assert "send nothing" in capsys.readouterr().out
    assert main(["state", "reset", "-s", "people", "--yes"]) == 0
    assert main(["diff", "-s", "people"]) == 0
    assert "would send 100 rows" in capsys.readouterr().out


def test_a_full_refresh_needs_a_word(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--full-refresh"]) == 2
    assert "add --yes" in capsys.readouterr().err
    main(["run", "-q", "-s", "people"])
    capsys.readouterr()
    assert main(["run", "--full-refresh", "--yes", "-s", "people"]) == 0
    assert "100 re-driven" in capsys.readouterr().err


def test_quiet_says_nothing_but_errors(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    sql("DROP TABLE raw_orders")
    assert main(["-q", "run"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: models/orders.sql:1: ")


def test_json_lines_on_stderr_and_one_line_on_stdout(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--log-format", "json", "--output", "json"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert all(set(json.loads(line)) == {"info", "data"} for line in err.splitlines())


def test_paths_can_be_moved(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-q", "--target-path", str(tmp_path / "t"), "--log-path", str(tmp_path / "l")]) == 0
    assert (tmp_path / "t" / "run_results.json").exists()
    assert (tmp_path / "l" / "revetl.log").exists()
    assert not (shop / "logs").exists()


def test_secrets_among_the_variables_are_not_kept(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_ENV_SECRET_X", "hunter2hunter2")
    sql("UPDATE raw_people SET email = repeat('x', 2000) WHERE customer_id = 'c7'")
    assert main(["run", "--vars", "{a: hunter2hunter2, b: 1}"]) == 1
    text = (shop / "target" / "run_results.json").read_text()
    assert "hunter2" not in text
    assert "*****" in text
    capsys.readouterr()
    assert main(["retry"]) == 2
    assert "give --vars again" in capsys.readouterr().err
    assert main(["retry", "--vars", "{a: hunter2hunter2}"]) == 1


# --- the process -----------------------------------------------------------------------------------------------


def background(*args: str) -> subprocess.Popen[str]:
    """revetl as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "revetl", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def wait_for(stream: IO[str] | None, text: str) -> str:
    """Read lines until one has the text."""
    assert stream is not None
    seen = ""
    while text not in seen:
        line = stream.readline()
        assert line, f"{text!r} did not come: {seen}"
        seen += line
    return seen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_cleanly(shop: Path, number: signal.Signals, code: int) -> None:
    """What was acknowledged is kept, the lease is free, and the next run sends the rest."""
    slow = "dev: {type: sandbox, max_batch_operations: 5, requests_per_second: 8, operations_per_second: 40}"
    (shop / "profiles.yml").write_text(PROFILES.replace("dev: {type: sandbox}", slow))
    process = background("run", "-s", "people", "--output", "json")
    wait_for(process.stderr, "sandbox: started")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"stopped by {number.name}" in err
    summary = last_json(out)
    counts = summary["totals"]
    assert isinstance(counts, dict)
    assert counts["acknowledged"] + counts["unsent"] == 100
    (shop / "profiles.yml").write_text(PROFILES)
    assert main(["diff", "-s", "people", "--fail-on", "violations"]) == 0
    assert main(["run", "-s", "people"]) == 0


def test_a_reader_that_leaves_is_no_error(shop: Path) -> None:
    process = background("ls")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(20) == 0
    process.stderr.close()


def test_a_bug_shows_no_values(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("ann@example.com")

    monkeypatch.setattr("revetl.api.schema", broken)
    assert main(["schema"]) == 3
    err = capsys.readouterr().err
    assert "a bug in revetl" in err
    assert "KeyError" in err
    assert main(["schema", "--debug"]) == 3
    err += capsys.readouterr().err
    assert "test_cli.py" in err
    assert "ann@" not in err


def test_colors(shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for environ, args, colored in (
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1"}, ["--no-use-colors"], False),
        ({"NO_COLOR": "1"}, ["--use-colors"], True),
    ):
        for name in ("FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert main(["diff", *args]) == 0
        assert ("\x1b[" in capsys.readouterr().out) is colored


# --- Python ----------------------------------------------------------------------------------------------------


def test_the_same_in_python(shop: Path) -> None:
    project = revetl.load(shop)
    assert [c.sync.name for c in revetl.compile(project, select=["people"])] == ["people"]
    assert revetl.diff(project).syncs[0].counts.created == 100
    result = revetl.run(project)
    assert (int(result.exit_code), result.syncs[0].acknowledged) == (0, 100)
    with pytest.raises(revetl.errors.ConfigError, match="nothing was run yet"):
        revetl.retry(project)
    assert set(revetl.__all__) <= {*dir(revetl), "load", "compile", "diff", "run", "retry"}


def test_nobody_is_forgotten_by_a_kind_that_no_sync_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The person's address would be gone, and the next run would send them again under their id."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "shop"]) == 0
    monkeypatch.chdir(tmp_path / "shop")
    capsys.readouterr()

    assert main(["forget", "ann@example.com", "--by", "email", "--reason", "ticket 1", "--yes"]) == 2

    said = capsys.readouterr().err
    assert "no sync identifies people by email, so the next run would send them again under their id" in said
    assert "revetl forget --by id" in said
    assert "ann@example.com" not in said


# --- changes of names and contracts --------------------------------------------------------------------------------

RENAMED = SYNCS.replace("    event: Order Completed\n", "    event: Order Completed\n"
                        "    renamed_from: {event: order_completed, dual_send_until: 2999-03-01}\n")  # fmt: skip
TAXONOMY = """\
taxonomy:
  events: {order_completed: {journeys: [Winback]}}
"""


def test_a_rename_from_the_first_diff_to_the_last_run(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--backfill", "-q"]) == 0
    (shop / "syncs" / "shop.yml").write_text(RENAMED + TAXONOMY)
    sql("INSERT INTO raw_orders VALUES ('o20', 'c1', now(), 3)")

    assert main(["diff", "-s", "orders"]) == 0
    out = capsys.readouterr().out
    assert "contract v1 → v2:\n    event is sent as order_completed too until 2999-03-01 (changed)" in out
    assert "event 'Order Completed': also sent as 'order_completed' until 2999-03-01 (" in out
    assert "used by Winback" in out
    assert re.search(r"copies\s+planned", out), out
    assert main(["diff", "-s", "orders", "-o", "markdown"]) == 0
    assert "orders: contract v1 → v2" in capsys.readouterr().out
    assert main(["diff", "-o", "json"]) == 0
    orders = last_json(capsys.readouterr().out)["syncs"][1]  # type: ignore[index]
    assert (orders["contract"]["from"], orders["contract"]["to"], orders["counts"]["copied"]) == (1, 2, 1)
    assert orders["dual_sends"][0]["journeys"] == ["Winback"]
    assert main(["ls", "--output", "renames"]) == 0
    assert capsys.readouterr().out.startswith("orders: event 'Order Completed': also sent as 'order_completed'")

    assert main(["run", "-q", "--warn-error"]) == 0
    results = json.loads((shop / "target" / "run_results.json").read_text())
    assert results["results"][1]["adapter_response"]["contract_version"] == 2
    schema = json.loads((Path(revetl.__file__).parent / "schemas" / "run_results-v1.json").read_text())
    jsonschema.validate(results, schema)
    (shop / "syncs" / "shop.yml").write_text(SYNCS)
    assert main(["run", "-q"]) == 10
    assert "--accept-contract" in capsys.readouterr().err
    assert main(["run", "-q", "--accept-contract"]) == 0


def test_what_a_contract_breaks_fails_where_that_is_asked(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--backfill", "-q"]) == 0
    assert main(["diff", "--fail-on", "narrowed"]) == 0
    wider = SYNCS.replace("plan: {type: string}", "plan: {type: string}\n      tier: {type: string, column: plan}")
    (shop / "syncs" / "shop.yml").write_text(wider)
    assert main(["diff", "--fail-on", "narrowed"]) == 0
    (shop / "syncs" / "shop.yml").write_text(SYNCS.replace("plan: {type: string}", "plan: {type: string, enum: [free, pro]}"))
    assert main(["diff", "--fail-on", "narrowed"]) == 1
    assert "plan enum none → 2 values (narrowed)" in capsys.readouterr().out


def test_a_warning_fails_only_where_that_is_asked(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watched = SYNCS.replace("    when_missing: delete\n", "    drift: {}\n")
    (shop / "syncs" / "shop.yml").write_text(watched)
    assert main(["run", "--backfill", "-q"]) == 0
    sql("UPDATE raw_people SET plan = 'classified' WHERE customer_id = 'c1'")
    assert main(["diff", "--fail-on", "warnings"]) == 1
    assert main(["run", "--warn-error"]) == 1
    out = capsys.readouterr().out
    assert "warning: sync 'people': the data has drifted: 'plan' has 1 value that no earlier run saw [RV266]" in out
    assert "classified" not in out + (shop / "target" / "run_results.json").read_text()
    results = json.loads((shop / "target" / "run_results.json").read_text())
    assert [w["code"] for w in results["results"][0]["adapter_response"]["warnings"]] == ["RV266"]
    assert main(["run", "-q"]) == 0
