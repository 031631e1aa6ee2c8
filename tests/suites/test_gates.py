"""Tests and freshness as gates: what fails stops what reads it, and nothing else; only counts are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from revetl.compiler import compile_project
from revetl.elsewhere import StateElsewhere
from revetl.errors import ExitCode, GuardTripped
from revetl.gates import Gate
from revetl.warehouse import Warehouse
from tests.suites.world import SCHEMA, World, people_sync
from tests.unit.project_files import shop

MODELS = """\
models:
  - name: people
    columns:
      - name: id
        data_tests: [not_null, unique]
      - name: plan
        data_tests:
          - accepted_values: {values: [free, pro]}
      - name: email
        data_tests:
          - not_null: {severity: warn}
  - name: orders
    columns:
      - name: person
        data_tests:
          - relationships: {to: ref('people'), field: id}
"""
FRESH = """\
sources:
  - name: raw
    schema: SCHEMA
    tables:
      - name: orders
        loaded_at_field: bought_at
        freshness: {warn_after: {count: 3, period: hour}, error_after: {count: 1, period: day}}
"""


@pytest.fixture
def gated(world: World, tmp_path: Path) -> Callable[..., World]:
    """The world, with the tests of some schema files before its syncs."""

    def make(models: str = MODELS, sources: str = "", **project: str) -> World:
        [(schema,)] = world.ask("SELECT current_schema()")
        files = {
            "models/people.sql": "select * from people\n",
            "models/orders.sql": "select * from {{ source('raw', 'orders') }}\n" if sources else "select * from orders\n",
            "models/schema.yml": models or None, "models/sources.yml": sources.replace("SCHEMA", schema) or None,
            "pyproject.toml": "[tool.revetl]\nname = 'shop'\n" + "".join(f"{k} = '{v}'\n" for k, v in project.items()),
        }  # fmt: skip
        found = shop(tmp_path, files)
        compiled = compile_project(found, environ={})

        def gate(warehouse: Warehouse) -> Gate:
            asked = warehouse.source if isinstance(warehouse, StateElsewhere) else warehouse  # where the models are
            return Gate(asked, found, compiled, monotonic=time.monotonic)

        world.gate = gate
        return world

    return make


def test_what_passes_sends_and_is_written_down(gated: Callable[..., World]) -> None:
    world = gated()

    result = world.run(backfill=True)

    assert result.exit_code == ExitCode.OK
    assert [one.status for one in result.syncs[0].tests] == ["pass"] * 4
    assert len(result.syncs[1].tests) == 1
    rows = world.ask(f"SELECT name, status, failures FROM {SCHEMA}.test_log ORDER BY name")
    assert len(rows) == 5
    assert {status for _, status, _ in rows} == {"pass"}


def test_a_failing_test_stops_its_sync_and_what_waits_for_it_and_says_counts_only(
    gated: Callable[..., World], tmp_path: Path
) -> None:
    world = gated()
    world.people_table(("a", "ann@example.com", "free", 0), ("b", "b@example.com", "gold", 0), ("c", "c@example.com", "gold", 0))

    problem = world.diff("people").syncs[0].problems[0]
    result = world.run()

    assert isinstance(problem, GuardTripped)
    assert problem.code == "RV473"
    assert result.exit_code == ExitCode.GUARD
    assert [sync.status for sync in result.syncs] == ["error", "skipped"]
    assert world.held()["people"] == 0
    [failed] = [one for one in result.syncs[0].tests if one.status == "fail"]
    assert failed.failures == 1  # one value, on two rows
    assert "gold" not in f"{problem} {failed.told}"
    sql = (tmp_path / failed.compiled).read_text()
    assert "NOT IN ('free', 'pro')" in sql
    assert world.ask(sql) == [("gold", 2)]


def test_a_test_that_warns_stops_nothing(gated: Callable[..., World]) -> None:
    world = gated()
    world.people_table(("a", None, "free", 0), ("b", "bob@example.com", "pro", 0))

    result = world.run("people")

    assert result.exit_code == ExitCode.OK
    [warning] = result.syncs[0].warnings
    assert warning.code == "RV474"
    assert "Got 1 result" in warning.message
    assert world.held()["people"] == 2


def test_relationships_counts_children_without_a_parent(gated: Callable[..., World]) -> None:
    world = gated()
    world.orders_table(("o1", "a", 1, 1), ("o2", "nobody", 1, 1), ("o3", None, 1, 1))

    diff = world.diff("orders").syncs[0]

    assert [(one.status, one.failures) for one in diff.tests] == [("fail", 1)]


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_a_sync_may_only_be_warned_or_ask_for_nothing(gated: Callable[..., World], mode: str) -> None:
    world = gated()
    world.people_table(("a", "a@example.com", "gold", 0))
    world.syncs[0] = people_sync(tests=mode)

    result = world.run("people")

    assert result.exit_code == ExitCode.OK
    assert [warning.code for warning in result.syncs[0].warnings] == (["RV474"] if mode == "warn" else [])


def test_a_project_may_choose_for_all_its_syncs(gated: Callable[..., World]) -> None:
    world = gated(tests="warn")
    world.people_table(("a", "a@example.com", "gold", 0))

    assert world.run("people").exit_code == ExitCode.OK


def test_a_test_that_does_not_run_stops_its_sync_and_names_its_place(gated: Callable[..., World]) -> None:
    world = gated(MODELS.replace("name: plan", "name: no_such_column"))

    result = world.run("people")

    assert result.exit_code == ExitCode.USAGE
    error = result.syncs[0].error
    assert error is not None
    assert error.code == "RV477"
    assert str(error.where).startswith("models/schema.yml:8")


def test_a_source_that_is_too_old_stops_what_reads_it(gated: Callable[..., World]) -> None:
    world = gated(models="", sources=FRESH)
    assert world.diff("orders", backfill=True).syncs[0].problems == ()
    world.orders_table(("o1", "a", 5, 1))

    warned = world.diff("orders", backfill=True).syncs[0]
    world.orders_table(("o1", "a", 30, 1))
    stopped = world.diff("orders", backfill=True).syncs[0]
    world.orders_table()
    empty = world.diff("orders", backfill=True).syncs[0]

    assert [w.code for w in warned.warnings] == ["RV476"]
    assert [p.code for p in stopped.problems] == ["RV475"]
    assert "30.0 hours old, and 1 day are allowed" in stopped.problems[0].message
    assert "without rows" in " ".join(p.message for p in empty.problems)


def test_tests_are_one_statement_each_and_nothing_where_there_are_none(gated: Callable[..., World], world: World) -> None:
    world.run("people")
    world.run("people")
    without = world.statements
    gated()
    world.run("people")  # it makes the table of the log
    world.run("people")

    # four tests, and one row each in the log by one statement
    assert world.statements == without + (5 if world.source is None else 1)  # the tests are asked where the models are
    gated(models="")
    world.gate = None
    world.run("people")
    assert world.statements == without


def test_a_baseline_is_not_held_up_as_nothing_is_sent(gated: Callable[..., World]) -> None:
    world = gated()
    world.people_table(("a", "a@example.com", "gold", 0))

    assert world.run("people", baseline=True).exit_code == ExitCode.OK


def test_what_stands_before_two_syncs_is_asked_once(gated: Callable[..., World]) -> None:
    world = gated()
    warehouse = world.connect()
    assert world.gate is not None
    gate = world.gate(warehouse)

    gate.judge(people_sync())
    gate.judge(people_sync())
    asked = gate.warehouse.statements
    warehouse.close()

    assert asked == 4
