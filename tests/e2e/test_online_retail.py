"""Real input: a shop's invoice lines, from the file to a workspace, against counts made in plain SQL.

The data lies beside the project, never in it; without it the tests skip.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl import api
from revetl.engine import RunOptions, RunResult
from revetl.errors import ExitCode
from revetl.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("REVETL_SHARED_DATA", ROOT.parent / "shared" / "data"))
LINES = SHARED / "online_retail" / "online_retail_dev_0b.parquet"

pytestmark = pytest.mark.skipif(not LINES.is_file(), reason="the Online Retail data is not beside this checkout")

PROFILE = """
online_retail:
  target: dev
  outputs: {dev: {type: duckdb, path: target/online_retail.duckdb}}
  destinations:
    dev:
      type: sandbox
      url: "{{ env_var('BOX_URL') }}"
      site_id: "{{ env_var('BOX_SITE') }}"
      api_key: "{{ env_var('BOX_KEY') }}"
"""


class Shop:
    """The example project over some lines, and the workspace that it fills."""

    def __init__(self, folder: Path, box: Sandbox) -> None:
        self.folder = folder / "project"
        self.box = box
        self.lines = folder / "lines.parquet"
        shutil.copytree(ROOT / "examples" / "online_retail", self.folder, ignore=shutil.ignore_patterns("target", "logs"))
        (self.folder / "profiles.yml").write_text(PROFILE)

    def give(self, where: str = "true") -> None:
        """Let the shop have the lines that meet a condition."""
        duckdb.sql(f"COPY (SELECT * FROM '{LINES}' WHERE {where}) TO '{self.lines}' (FORMAT parquet)")

    def run(self) -> RunResult:
        """`revetl run --backfill`."""
        environ = {**os.environ, "ONLINE_RETAIL": str(self.lines), "BOX_URL": self.box.url,
                   "BOX_SITE": self.box.site_id, "BOX_KEY": self.box.api_key}  # fmt: skip
        project = api.load(self.folder, environ=environ)
        return api.run(project, options=RunOptions(backfill=True), environ=environ)

    def ask(self, path: str) -> Any:
        """The workspace's own answer."""
        headers = {"Authorization": f"Bearer {self.box.app_api_key}"}
        request = urllib.request.Request(self.box.url + path, headers=headers)  # noqa: S310 loopback
        with urllib.request.urlopen(request) as answer:  # noqa: S310 loopback
            return json.loads(answer.read())

    def holds(self) -> Mapping[str, Any]:
        """People, events and money in the workspace."""
        people = self.ask("/sandbox/people?limit=100000")["people"]
        events = self.ask("/sandbox/events?limit=100000")["events"]
        money = {name: round(sum(e["attributes"]["value"] for e in events if e["name"] == name), 2)
                 for name in ("Order Completed", "Order Refunded")}  # fmt: skip
        orders = {e["attributes"]["order_id"] for e in events if e["name"] == "Order Completed"}
        refunds = {e["attributes"]["refund_id"] for e in events if e["name"] == "Order Refunded"}
        return {
            "people": {p["id"] for p in people}, "orders": orders, "refunds": refunds, "events": len(events),
            "gross": money["Order Completed"], "refunded": money["Order Refunded"],
            "lifetime": round(sum(float(p["attributes"]["lifetime_value"]) for p in people), 2),
            "shadows": sum(1 for p in people if not p["attributes"].get("orders_count")),
        }  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Sandbox() as box:
        yield Shop(tmp_path, box)


def truth(lines: Path) -> Mapping[str, Any]:
    """The same facts in plain SQL over the file, sharing nothing with the models."""
    db = duckdb.connect()
    db.execute(f"""CREATE VIEW l AS SELECT "InvoiceNo" i, replace("CustomerID", '.0', '') c,
                   CAST("Quantity" * CAST("UnitPrice" AS DECIMAL(12,3)) AS DECIMAL(18,3)) a FROM '{lines}'
                   WHERE "CustomerID" IS NOT NULL""")

    def ids(sql: str) -> set[str]:
        return {str(row[0]) for row in db.execute(sql).fetchall()}

    def money(sql: str) -> float:
        found = db.execute(sql).fetchone()
        assert found is not None
        return round(float(found[0]), 2)

    orders = ids("SELECT DISTINCT i FROM l WHERE left(i, 1) NOT IN ('C', 'A')")
    refunds = ids("SELECT DISTINCT i FROM l WHERE i LIKE 'C%'")
    return {
        "people": ids("SELECT DISTINCT c FROM l"), "orders": orders, "refunds": refunds, "events": len(orders) + len(refunds),
        "gross": money("SELECT sum(a) FROM l WHERE left(i, 1) NOT IN ('C', 'A')"),
        "refunded": money("SELECT -sum(a) FROM l WHERE i LIKE 'C%'"), "lifetime": money("SELECT sum(a) FROM l"), "shadows": 0,
    }  # fmt: skip


def test_the_workspace_holds_what_the_file_says_and_a_second_run_sends_nothing(shop: Shop) -> None:
    shop.give()

    first = shop.run()

    assert first.exit_code == ExitCode.OK, first.error
    held = shop.holds()
    assert held == truth(shop.lines)
    assert (len(held["people"]), len(held["orders"]), len(held["refunds"])) == (3344, 14325, 2764)
    guests = {r.sync.name: r.counts.skipped for r in first.syncs}
    assert guests == {"people": 0, "order_completed": 2688, "order_refunded": 137}, "with them: 17,013 and 2,901"

    assert shop.run().requests == 0
    assert shop.holds() == held


def test_after_a_day_of_new_lines_only_that_days_changes_are_sent(shop: Shop) -> None:
    shop.give("\"InvoiceDate\" < TIMESTAMP '2011-12-08'")
    shop.run()
    before = shop.holds()
    shop.give("\"InvoiceDate\" < TIMESTAMP '2011-12-09'")

    result = shop.run()

    assert shop.holds() == truth(shop.lines)
    customers = duckdb.sql(
        f"SELECT count(DISTINCT \"CustomerID\") FROM '{shop.lines}' WHERE \"InvoiceDate\" >= TIMESTAMP '2011-12-08'"
    ).fetchone()
    assert customers is not None
    assert result.syncs[0].acknowledged == customers[0], "each customer of that day, and nobody else"
    new = shop.holds()["events"] - before["events"]
    assert sum(r.acknowledged for r in result.syncs[1:]) == new > 0
