"""The examples are what they say: a DAG for two lines of Airflow, and workflows that cannot be turned against a user."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from revetl.cli import cli
from revetl.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent
DAG = ROOT / "examples" / "airflow" / "revetl_dag.py"
WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("examples/github/*.yml")])
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """A call's named arguments."""
    return {word.arg: word.value for word in call.keywords if word.arg}


def calls(name: str) -> list[dict[str, ast.expr]]:
    """The DAG file's calls of one class."""
    tree = ast.parse(DAG.read_text())
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == name]
    return [keywords(call) for call in found]


def literal(node: ast.expr) -> Any:
    """A constant's value."""
    return ast.literal_eval(node)


def test_the_dag_runs_one_at_a_time_and_keeps_the_workers_environment() -> None:
    (dag,) = calls("DAG")
    assert literal(dag["max_active_runs"]) == 1
    assert literal(dag["catchup"]) is False
    (task,) = calls("BashOperator")
    assert literal(task["append_env"]) is True
    assert literal(task["skip_on_exit_code"]) == 99
    assert {"cwd", "pool", "execution_timeout"} <= set(task)


def test_the_dags_command_has_only_options_that_there_are() -> None:
    (line,) = [line for line in DAG.read_text().splitlines() if line.startswith("SYNC = ")]
    words = line.replace('"', "").split()
    command = cli.commands["run"]
    known = {name for parameter in command.params for name in parameter.opts}
    flags = {word for word in words if word.startswith("--")}
    assert flags
    assert flags <= known
    assert words[words.index("--skip-code") + 1] == "99"


def test_the_dags_environment_has_only_settings_that_there_are() -> None:
    (task,) = calls("BashOperator")
    env = task["env"]
    assert isinstance(env, ast.Dict)
    twins = {p.envvar for p in cli.params if p.envvar}
    assert {literal(key) for key in env.keys if key is not None} <= twins


def test_the_readme_explains_every_exit_code() -> None:
    text = (DAG.parent / "README.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ") and line[2:3].isdigit()]
    explained = {int(number) for cell in rows for number in re.findall(r"\d+", cell)}
    assert explained == {int(code) for code in ExitCode} - {130} | {99}


@pytest.mark.skipif(importlib.util.find_spec("airflow") is None, reason="Airflow is not installed here")
def test_airflow_takes_the_dag(tmp_path: Path) -> None:
    """Where Airflow is there, it imports the file without an error."""
    code = f"import runpy; dag = runpy.run_path({str(DAG)!r})['dag']; assert [t.task_id for t in dag.tasks] == ['sync']"
    environ = {"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """All steps of all jobs."""
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_gives_nothing_away(path: Path) -> None:
    """No rights by default, actions pinned by commit, and nothing of an event or a secret inside a script."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    triggers = workflow[True]  # YAML 1.1 reads `on` as true
    assert "pull_request_target" not in triggers
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"]
    for step in steps(workflow):
        if "uses" in step:
            assert PINNED.fullmatch(step["uses"]), step["uses"]
        assert "${{" not in step.get("run", "")


def test_the_projects_own_workflows_run_make_targets_only() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in ROOT.glob(".github/workflows/*.yml"):
        for step in steps(yaml.safe_load(path.read_text())):
            if "run" in step and not step["run"].startswith("test "):
                words = step["run"].split()
                assert words[0] == "make"
                assert set(words[1:]) <= targets


def test_the_diff_of_a_pull_request_gets_no_key_of_customer_io() -> None:
    path = ROOT / "examples" / "github" / "revetl-diff.yml"
    workflow = yaml.safe_load(path.read_text())
    assert list(workflow[True]) == ["pull_request"]
    assert workflow["jobs"]["diff"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert not re.search(r"secrets\.(CIO|CUSTOMER)", path.read_text())
    with_secrets = [step for step in steps(workflow) if "secrets." in str(step.get("env", {}))]
    assert [step["name"] for step in with_secrets] == ["revetl diff"]
