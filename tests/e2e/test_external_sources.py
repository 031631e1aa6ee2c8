"""Models over files that dbt's `external_location` declares, from `diff` to the workspace, as a person types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from revetl.sandbox import Sandbox
from tests.e2e.test_commands import Terminal
from tests.unit.project_files import write

PROFILES = """\
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: ":memory:", state: {in: state/kept.duckdb}}
    alone: {type: duckdb, path: ":memory:", destination: dev}
    real: {type: duckdb, path: ":memory:"}
  destinations:
    dev: {type: sandbox, url: "{{ env_var('BOX_URL') }}", site_id: "{{ env_var('BOX_SITE') }}",
          api_key: "{{ env_var('BOX_KEY') }}"}
    real: {type: customerio, region: eu, site_id: "{{ env_var('BOX_SITE') }}", api_key: "{{ env_var('BOX_KEY') }}"}
"""
SOURCES = """\
sources:
  - name: lake
    config: {meta: {external_location: "lake/{name}.parquet"}}
    tables:
      - name: customers
      - name: plans
        identifier: plans_v2
        external_location: "lake/{identifier}.json"
      - name: orders
        meta: {external_location: "lake/orders/*/*.csv"}
      - name: countries
        external_location: "read_csv('lake/{name}.txt', delim='|', header=true)"
"""
MODELS = {
    "models/people.sql": "select c.id as customer_id, c.email, p.plan, n.country, c.spent\n"
                         "from {{ source('lake', 'customers') }} c\n"
                         "join {{ source('lake', 'plans') }} p using (id)\njoin {{ source('lake', 'countries') }} n using (id)\n",
    "models/orders.sql": "select order_id, id as customer_id, moment as ordered_at, day from {{ source('lake', 'orders') }}\n",
    "models/sources.yml": SOURCES,
    "syncs/people.yml": """\
version: 1
syncs:
  - name: people
    uid: people01
    model: ref('people')
    type: person
    identify_by: {id: customer_id}
    attributes: {email: string, plan: string, country: string, spent: number}
  - name: orders
    uid: orders01
    model: ref('orders')
    type: event
    event: Order Completed
    person: {id: customer_id, sync: people}
    key: order_id
    occurred_at: ordered_at
    initial: send
    properties: {day: date}
""",
}  # fmt: skip


def files(folder: Path, statement: str) -> None:
    """Make files as another tool would."""
    with duckdb.connect() as db:
        for one in statement.split(";"):
            db.execute(one.replace("LAKE", str(folder / "lake")))


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def lake(tmp_path: Path, box: Sandbox) -> Terminal:
    """A project over a Parquet file, a JSON file, CSV files in folders by day, and a text file that a function reads."""
    write(tmp_path, {"pyproject.toml": '[tool.revetl]\nname = "shop"\n', "profiles.yml": PROFILES, **MODELS})
    (tmp_path / "lake" / "orders").mkdir(parents=True)
    (tmp_path / "lake" / "countries.txt").write_text("id|country\n1|DE\n2|FR\n")
    files(tmp_path, """
        COPY (SELECT i AS id, 'p' || i || '@example.com' AS email, i * 1.25 AS spent FROM range(1, 3) t(i))
          TO 'LAKE/customers.parquet';
        COPY (SELECT i AS id, 'free' AS plan FROM range(1, 3) t(i)) TO 'LAKE/plans_v2.json';
        COPY (SELECT 'o' || i AS order_id, i AS id, now()::timestamptz AS moment, DATE '2026-11-01' + i::int AS day
              FROM range(1, 3) t(i)) TO 'LAKE/orders' (FORMAT csv, PARTITION_BY day, OVERWRITE)
    """)  # fmt: skip
    terminal = Terminal(tmp_path)
    terminal.environ |= {"BOX_URL": box.url, "BOX_SITE": box.site_id, "BOX_KEY": box.api_key}
    return terminal


def people(box: Sandbox) -> dict[str, dict[str, object]]:
    """Everybody's attributes."""
    found = {}
    for (key,) in box.store.rows("SELECT id FROM people"):
        person = box.store.person("id", key)
        assert person is not None
        found[key] = {"email": person.email, **person.attributes}
    return found


def test_files_of_every_kind_reach_the_workspace_and_a_second_run_sends_nothing(lake: Terminal, box: Sandbox) -> None:
    planned = json.loads(lake("--quiet", "diff", "--output", "json").splitlines()[-1])
    left_by_diff = (lake.folder / "state").exists()
    lake("run", "--backfill")
    held = people(box)
    (days,) = zip(*box.store.rows("SELECT json_extract(data, '$.day') FROM events ORDER BY 1"), strict=True)
    again = json.loads(lake("--quiet", "run", "--output", "json").splitlines()[-1])

    assert [sync["to_send"] for sync in planned["syncs"]] == [2, 2]
    assert not left_by_diff
    assert held["2"] == {"email": "p2@example.com", "plan": "free", "country": "FR", "spent": 2.5}
    assert days == ("2026-11-02", "2026-11-03")  # the day is in the folders' names only
    assert [sync["counts"]["acknowledged"] for sync in again["syncs"]] == [0, 0]


def test_files_that_are_replaced_between_two_runs(lake: Terminal, box: Sandbox) -> None:
    """One more file in a folder, a value, a wider type of a column; then a column that is gone."""
    lake("run", "--backfill")
    files(lake.folder, """
        COPY (SELECT i AS id, 'p' || i || '@example.com' AS email, (i * 1.255)::DECIMAL(30, 6) AS spent FROM range(1, 3) t(i))
          TO 'LAKE/customers.parquet';
        COPY (SELECT 'o9' AS order_id, 1 AS id, now()::timestamptz AS moment) TO 'LAKE/orders/day=2026-11-09.csv'
    """)  # fmt: skip
    (lake.folder / "lake" / "orders" / "day=2026-11-09").mkdir()
    (lake.folder / "lake" / "orders" / "day=2026-11-09.csv").rename(lake.folder / "lake" / "orders" / "day=2026-11-09" / "x.csv")

    said = lake("run")
    held = people(box)
    files(lake.folder, "COPY (SELECT i AS id, 1 AS spent FROM range(1, 3) t(i)) TO 'LAKE/customers.parquet'")
    broken = lake("run", "--select", "people", code=None)

    assert "OK=2" in said
    assert float(str(held["2"]["spent"])) == 2.51
    assert box.store.summary()["events"] == {"Order Completed": 3}
    assert "models/people.sql:1" in broken
    assert "email" in broken
    assert people(box) == held


@pytest.mark.parametrize(
    ("gone", "pattern", "source"),
    [("customers.parquet", "customers.parquet", "customers"), ("plans_v2.json", "plans_v2.json", "plans"),
     ("orders", "orders/*/*.csv", "orders"), ("countries.txt", "countries.txt", "countries")],
)  # fmt: skip
def test_a_missing_file_is_told_with_its_place_and_nothing_is_sent(
    lake: Terminal, box: Sandbox, gone: str, pattern: str, source: str
) -> None:
    (lake.folder / "lake" / gone).rename(lake.folder / "moved")

    said = [lake("diff", code=2), lake("run", "--backfill", code=None)]

    line = SOURCES.splitlines().index(f"      - name: {source}") + 1
    for text in said:
        assert f"models/sources.yml:{line}:" in text
        assert f"{lake.folder}/lake/{pattern}, which source('lake', '{source}') reads [RV495]" in text
        assert "disabled by configuration" not in text
    assert box.store.summary()["events"] == {}


def test_a_warehouse_in_memory_without_a_state_elsewhere(lake: Terminal, box: Sandbox) -> None:
    """`diff` always begins anew; a run to a sandbox says so, and one to Customer.io is refused."""
    diff = json.loads(lake("--quiet", "diff", "--target", "alone", "--output", "json").splitlines()[-1])
    warned = lake("run", "--target", "alone", "--backfill")
    refused = lake("run", "--target", "real", code=2)

    assert [sync["to_send"] for sync in diff["syncs"]] == [2, 2]
    assert "warning: the state would be in memory, and gone when this run ends: the next run will send everything again" in warned
    assert len(people(box)) == 2
    assert "[RV482]" in refused
    assert "nothing was sent" in refused
    assert "state: {in: …}" in refused


def test_a_relative_file_starts_at_the_project_wherever_the_command_is_typed(lake: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "somewhere"
    folder.mkdir()
    away = Terminal(folder)
    away.environ = lake.environ

    said = away("--project-dir", str(lake.folder), "--quiet", "diff", "--output", "json")

    assert [sync["to_send"] for sync in json.loads(said.splitlines()[-1])["syncs"]] == [2, 2]
