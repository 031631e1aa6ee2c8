"""A real dbt project, built by dbt-core with dbt-duckdb in an environment of its own, and revetl beside it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from tests.e2e.test_commands import Terminal

ROOT = Path(__file__).resolve().parent.parent.parent
JAFFLE = Path(__file__).resolve().parent / "jaffle"
PLACE = Path(os.environ.get("REVETL_DBT_ENV") or ROOT / "target" / f"dbt-beside-duckdb-{duckdb.__version__}")
pytestmark = pytest.mark.more
SYNCS = """\
version: 1
syncs:
  - name: people
    uid: people01
    model: ref('customers')
    type: person
    identify_by: {id: customer_id}
    attributes:
      first_name: string
      orders_count: integer
  - name: orders
    uid: orders01
    model: ref('mine')
    type: event
    event: Order Completed
    person: {id: customer_id, sync: people}
    key: order_id
    occurred_at: {column: ordered_at, zone: UTC}
    late: send
    properties:
      amount: number
  - name: points
    uid: points01
    model: ref('loyalty', v=1)
    type: person
    identify_by: {id: customer_id}
    attributes:
      points: integer
"""


@pytest.fixture(scope="session")
def dbt_command() -> Path:
    """dbt, installed once for all processes and later runs."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{PLACE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (PLACE / "bin" / "dbt").exists() or "REVETL_DBT_ENV" not in os.environ:
            done = subprocess.run([ROOT / "scripts/dbt_env.sh", PLACE, duckdb.__version__], check=False, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
            if done.returncode:
                pytest.skip(f"dbt cannot be installed here: {done.stdout.strip().splitlines()[-1][:200]}")
    return PLACE / "bin" / "dbt"


class Shop:
    """The dbt project, and revetl's beside it."""

    def __init__(self, folder: Path, command: Path, source: Path) -> None:
        self.jaffle = folder / "jaffle"
        shutil.copytree(source, self.jaffle)
        self.folder = folder / "revetl"
        self.folder.mkdir()
        self.revetl = Terminal(self.folder)
        self.command = command

    def dbt(self, *words: str, code: int = 0) -> str:
        """One command of dbt's."""
        done = subprocess.run(
            [self.command, *words, "--profiles-dir", "."], check=False, cwd=self.jaffle, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**self.revetl.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "0"},
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of dbt's."""
        path = self.jaffle / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def sent(self) -> dict[str, int]:
        """How many rows the last run sent, by sync."""
        document = json.loads((self.folder / "target/run_results.json").read_text())
        return {r["unique_id"].rsplit(".", 1)[1]: r["adapter_response"].get("acknowledged", 0) for r in document["results"]}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, dbt_command: Path) -> Path:
    """The dbt project as it is after its first build; each test has a copy."""
    made = Shop(tmp_path_factory.mktemp("dbt"), dbt_command, JAFFLE)
    made.dbt("build")
    return made.jaffle


@pytest.fixture
def shop(tmp_path: Path, dbt_command: Path, built: Path) -> Shop:
    return Shop(tmp_path, dbt_command, built)


def ours(shop: Shop) -> None:
    """A project beside it that reads a table, a version, and an ephemeral model through a model of its own."""
    shop.revetl("init", "--from-dbt", "../jaffle")
    (shop.folder / "syncs/customers.yml").unlink()
    (shop.folder / "syncs/all.yml").write_text(SYNCS)
    (shop.folder / "models").mkdir()
    (shop.folder / "models/mine.sql").write_text("select * from {{ ref('stg_orders') }} where amount > 8")


def test_what_init_proposes_runs_as_soon_as_it_is_enabled(shop: Shop) -> None:
    said = shop.revetl("init", "--from-dbt", "../jaffle")
    assert "wrote syncs/customers.yml" in said
    assert "not proposed: orders: it looks like events" in said
    assert shop.revetl("ls") == ""
    shop.revetl.edit("syncs/customers.yml", "enabled: false", "enabled: true")
    shop.revetl("run")
    assert shop.sent() == {"customers": 4}
    assert "4           4         0" in shop.revetl("run")


def test_tables_versions_and_ephemeral_models_are_read_where_dbt_built_them(shop: Shop) -> None:
    ours(shop)
    said = shop.revetl("run")
    assert (shop.sent()["people"], shop.sent()["orders"]) == (4, 3)
    assert "dbt's 'loyalty.v1' is deprecated since 2026-06-30" in said
    shop.edit("seeds/raw_orders.csv", "104,3,", "105,4,2026-11-24 08:00:00,2000\n104,3,")
    shop.edit("models/schema.yml", "[101, 102, 103, 104]", "[101, 102, 103, 104, 105]")
    shop.dbt("build")
    shop.revetl("run")
    assert (shop.sent()["people"], shop.sent()["orders"]) == (1, 1)


def test_a_failed_test_of_dbts_stops_the_sync_and_no_other(shop: Shop) -> None:
    ours(shop)
    shop.edit("seeds/raw_customers.csv", "4,Dov", "4,Eve,eve@example.com\n4,Dov")
    shop.dbt("build", code=1)
    said = shop.revetl("run", "--select", "people", code=11)
    assert "tests of dbt's 'customers' failed: unique_customers_customer_id" in said
    assert "dbt build --select customers --project-dir ../jaffle" in said
    # dbt skipped what stands below the failed test
    assert "dbt skipped 'loyalty' in its last run" in shop.revetl("diff", "--select", "points")


def test_a_relation_that_was_never_built_names_dbts_command(shop: Shop) -> None:
    ours(shop)
    shop.edit("models/schema.yml", "  - name: inner_sums", "  - name: later\n  - name: inner_sums")
    (shop.jaffle / "models/later.sql").write_text("select 1 as customer_id, 2 as points")
    shop.dbt("compile")
    shop.revetl.edit("syncs/all.yml", "ref('loyalty', v=1)", "ref('later')")
    said = shop.revetl("diff", "--select", "points", code=2)
    assert 'dbt\'s model \'later\' ("jaffle"."main"."later") is not in the warehouse' in said
    assert "dbt build --select later --project-dir ../jaffle" in said
    shop.dbt("build", "--select", "later")
    shop.revetl("diff", "--select", "points")


def test_freshness_of_dbts_sources(shop: Shop) -> None:
    ours(shop)
    shop.revetl.edit("syncs/all.yml", "ref('loyalty', v=1)", "ref('arrivals')")
    shop.revetl.edit("syncs/all.yml", "points: integer", "order_id: integer")
    shop.dbt("source", "freshness")
    assert "dbt's source:lake.landed_orders is not fresh: its newest row is of 2026-11-23T18:45" in shop.revetl(
        "diff", "--select", "points"
    )
    shop.edit("models/schema.yml", "count: 3650", "count: 1")
    shop.dbt("source", "freshness", code=1)
    said = shop.revetl("run", "--select", "points", code=11)
    assert "dbt source freshness --select source:lake.landed_orders --project-dir ../jaffle" in said


def test_what_changed_in_dbt_selects_its_syncs_and_a_pull_request_defers(shop: Shop) -> None:
    ours(shop)
    shop.revetl("parse")
    state = shop.folder / "prod"
    (state / "dbt").mkdir(parents=True)
    shutil.copy(shop.folder / "target/manifest.json", state / "manifest.json")
    shutil.copy(shop.jaffle / "target/manifest.json", state / "dbt/manifest.json")
    assert shop.revetl("ls", "--select", "state:modified", "--state", "prod") == ""
    shop.edit("macros/money.sql", "100.0", "1000.0")
    shop.edit("models/loyalty_v1.sql", "as points", "+ 1 as points")
    shop.dbt("compile", "--target", "ci")
    assert shop.revetl("ls", "--select", "state:modified", "--state", "prod").split() == ["people", "points", "orders"]
    assert "main" not in shop.revetl("compile", "--select", "people", "--quiet")
    assert '"jaffle"."main"."customers"' in shop.revetl("compile", "--select", "people", "--state", "prod", "--defer")
    shop.revetl("diff", "--select", "people", "--state", "prod", "--defer")


def test_dbt_takes_the_exposures(shop: Shop) -> None:
    ours(shop)
    (shop.jaffle / "models/revetl_exposures.yml").write_text(shop.revetl("--quiet", "ls", "--output", "exposures"))
    # of what dbt calls deprecated, nothing stands in this file
    assert "revetl_exposures" not in shop.dbt("parse", "--no-partial-parse", "--show-all-deprecations")
    found = shop.dbt("--quiet", "ls", "--select", "+exposure:people", "--resource-type", "model")
    assert set(found.split()) == {"jaffle.customers", "jaffle.stg_orders"}
    assert "exposure:jaffle.orders" in shop.dbt("--quiet", "ls", "--select", "stg_orders+")
