"""Real input: a shop's invoice lines, from the file to a workspace, against counts made in plain SQL.

The data lies beside the project, never in it; without it the tests skip. What is expected is counted over the file
itself and shares nothing with the models: the figures of the data's own README, then every person and every event.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from revetl.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("REVETL_SHARED_DATA", ROOT.parent / "shared" / "data"))
LINES = SHARED / "online_retail" / "online_retail_dev_0b.parquet"

pytestmark = pytest.mark.skipif(
    not LINES.is_file(), reason=f"the Online Retail data is not there ({LINES.name}); REVETL_SHARED_DATA names its folder"
)

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
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a shop did, whoever says it: people by id, orders and refunds by invoice."""

    people: Mapping[str, Mapping[str, Any]]
    orders: Mapping[str, Mapping[str, Any]]
    refunds: Mapping[str, Mapping[str, Any]]

    def money(self) -> tuple[Decimal, Decimal, Decimal]:
        """Ordered, paid back, and what is left by the people's own attribute; to the cent."""
        amounts = (
            sum((o["value"] for o in self.orders.values()), Decimal()),
            sum((r["value"] for r in self.refunds.values()), Decimal()),
            sum((p["lifetime_value"] for p in self.people.values()), Decimal()),
        )
        return amounts[0].quantize(CENT), amounts[1].quantize(CENT), amounts[2].quantize(CENT)


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

    def run(self) -> Mapping[str, Mapping[str, int]]:
        """`revetl run --backfill` in the project's folder; the counts of each sync."""
        done = subprocess.run(
            [sys.executable, "-m", "revetl", "run", "--backfill"], cwd=self.folder, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self.folder), "ONLINE_RETAIL": str(self.lines), "BOX_URL": self.box.url,
                 "BOX_SITE": self.box.site_id, "BOX_KEY": self.box.api_key},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        results = json.loads((self.folder / "target" / "run_results.json").read_text())["results"]
        return {r["unique_id"].rsplit(".", 1)[-1]: r["adapter_response"] for r in results}

    def ask(self, path: str) -> Any:
        """The workspace's own answer, with exact numbers."""
        headers = {"Authorization": f"Bearer {self.box.app_api_key}"}
        request = urllib.request.Request(self.box.url + path, headers=headers)  # noqa: S310 loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 loopback
            return json.loads(answer.read(), parse_float=Decimal)

    def events(self) -> list[Any]:
        """All events of the workspace."""
        found: list[Any] = self.ask("/sandbox/events?limit=100000")["events"]
        return found

    def held(self) -> Facts:
        """What the workspace holds."""
        events: dict[str, dict[str, Any]] = {"Order Completed": {}, "Order Refunded": {}}
        for e in self.events():
            key = e["attributes"]["order_id" if e["name"] == "Order Completed" else "refund_id"]
            assert key not in events[e["name"]], "an event was counted twice"
            events[e["name"]][key] = {"person": e["id"], "at": int(e["timestamp"]), "value": Decimal(e["attributes"]["value"])}
        people = {p["id"]: as_person(p["attributes"]) for p in self.ask("/sandbox/people?limit=100000")["people"]}
        return Facts(people=people, orders=events["Order Completed"], refunds=events["Order Refunded"])


def as_person(attributes: Mapping[str, str]) -> dict[str, Any]:
    """A profile's attributes, which the App API gives as texts."""
    times = {name: int(attributes[name]) if name in attributes else None for name in ("first_order_at", "last_order_at")}
    return {"country": attributes["country"], **{n: Decimal(attributes[n]).normalize() for n in NUMBERS}, **times}


NUMBERS = ("orders_count", "refunds_count", "gross_value", "refunded_amount", "lifetime_value")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Sandbox() as box:
        yield Shop(tmp_path, box)


def truth(file: Path) -> Facts:
    """The same facts line by line from the file: plain SQL reads it, and sums are made in Python."""
    lines = duckdb.sql(f"""
        SELECT InvoiceNo, InvoiceDate, CAST(CAST(CustomerID AS DOUBLE) AS INTEGER), Country, Quantity,
               CAST(UnitPrice AS DECIMAL(12,3))
        FROM '{file}' WHERE CustomerID IS NOT NULL ORDER BY InvoiceDate, row_id
    """).fetchall()
    people: dict[str, dict[str, Any]] = {}
    orders: dict[str, dict[str, Any]] = {}
    refunds: dict[str, dict[str, Any]] = {}
    for invoice, local, customer, country, quantity, price in lines:
        at = int(local.replace(tzinfo=ZoneInfo("Europe/London")).timestamp())
        back = invoice.startswith("C")
        amount = abs(quantity) * price
        known = (refunds if back else orders).setdefault(invoice, {"person": str(customer), "at": at, "value": Decimal()})
        known["value"] += amount
        nothing = {**dict.fromkeys(NUMBERS, Decimal()), "first_order_at": None, "last_order_at": None}
        person = people.setdefault(str(customer), nothing)
        person["country"] = country  # the latest line's
        person["refunded_amount" if back else "gross_value"] += amount
        person["lifetime_value"] += -amount if back else amount
        if not back:
            person["first_order_at"] = person["first_order_at"] or at
            person["last_order_at"] = at
    for kind, column in ((orders, "orders_count"), (refunds, "refunds_count")):
        for event in kind.values():
            people[event["person"]][column] += 1
    for person in people.values():
        person |= {name: person[name].normalize() for name in NUMBERS}
    return Facts(people=people, orders=orders, refunds=refunds)


def one(sql: str) -> Any:
    """The single value of a query."""
    row = duckdb.sql(sql).fetchone()
    assert row is not None
    return row[0]


def test_the_workspace_holds_what_the_file_says_and_a_second_run_sends_nothing(shop: Shop) -> None:
    shop.give()

    first = shop.run()

    held = shop.held()
    assert held == truth(shop.lines)
    assert (len(held.people), len(held.orders), len(held.refunds)) == (3344, 14_325, 2764)
    skipped = {name: counts["skipped"] for name, counts in first.items()}
    assert skipped == {"people": 0, "order_completed": 2688, "order_refunded": 137}, "guests are counted, and not sent"
    ordered, back, left = held.money()
    assert (ordered, back, left) == (Decimal("6797721.40"), Decimal("367863.47"), Decimal("6429857.93"))

    again = shop.run()

    assert sum(counts["planned"] + counts["acknowledged"] for counts in again.values()) == 0
    assert shop.held() == held


def test_the_figures_of_the_datas_readme_are_these_and_what_nobody_can_be_blamed_for(shop: Shop) -> None:
    """3,344 customers, 17,013 orders, 2,901 cancellations, 2,826 guest invoices, net 7,520,780.65."""
    mine = truth(LINES)
    guests = f"FROM '{LINES}' WHERE CustomerID IS NULL"
    amount = "sum(CAST(Quantity AS DECIMAL(12,0)) * CAST(UnitPrice AS DECIMAL(12,3)))"

    orders, refunds, debts = (one(f"SELECT count(DISTINCT InvoiceNo) {guests} AND {kind}") for kind in (
        "left(InvoiceNo, 1) NOT IN ('C', 'A')", "InvoiceNo LIKE 'C%'", "InvoiceNo LIKE 'A%'"))  # fmt: skip
    assert (len(mine.orders) + orders, len(mine.refunds) + refunds) == (17_013, 2901)
    assert (orders, refunds, debts, orders + refunds + debts) == (2688, 137, 1, 2826)
    ordered, back, left = mine.money()
    assert ordered - back == left
    nobodys = one(f"SELECT {amount} {guests}")
    assert nobodys == Decimal("1312605.510") - Decimal("232744.850") + Decimal("11062.060")
    assert (left + nobodys).quantize(CENT) == Decimal("7520780.65")


def test_an_order_lists_its_products_and_adds_up(shop: Shop) -> None:
    shop.give("InvoiceDate BETWEEN '2011-11-01' AND '2011-11-18'")
    shop.run()
    orders = {e["attributes"]["order_id"]: e["attributes"] for e in shop.events() if e["name"] == "Order Completed"}

    for order in orders.values():
        assert Decimal(order["value"]) == order["subtotal"] + order["shipping"] - order["discount"] + order["other"]
        amounts = [item["quantity"] * Decimal(item["price"]) for item in order["items"]]
        assert amounts == sorted(amounts, reverse=True)
        assert len(order["items"]) == min(order["items_count"], 200)
        assert order["items_truncated"] is (order["items_count"] > 200)
        if not order["items_truncated"]:
            assert sum(amounts) == order["subtotal"]
        assert not {"POST", "DOT", "C2", "M", "D", "BANK CHARGES"} & {item["sku"].upper() for item in order["items"]}
    assert any(order["items_truncated"] for order in orders.values())
    assert max(len(json.dumps(order, default=str)) for order in orders.values()) < 30_000


def test_a_refund_is_linked_to_an_order_that_can_have_been_it(shop: Shop) -> None:
    shop.give()
    shop.run()
    bought: dict[tuple[str, str], list[tuple[str, datetime, int]]] = {}
    back: dict[str, list[tuple[str, str, datetime, int]]] = {}
    for invoice, code, customer, at, quantity in duckdb.sql(
        f"SELECT InvoiceNo, upper(trim(StockCode)), CustomerID, InvoiceDate, Quantity FROM '{LINES}' WHERE CustomerID IS NOT NULL"
    ).fetchall():
        if invoice.startswith("C"):
            back.setdefault(invoice, []).append((code, customer, at, -quantity))
        else:
            bought.setdefault((customer, code), []).append((invoice, at, quantity))

    linked = 0
    for e in shop.events():
        if e["name"] != "Order Refunded":
            continue
        refund = e["attributes"]
        possible = {
            invoice
            for code, customer, at, quantity in back[refund["refund_id"]]
            if code[:5].isdigit() or code.startswith("PADS")
            for invoice, then, many in bought.get((customer, code), [])
            if then <= at and many >= quantity
        }
        assert refund["linked"] is bool(possible), refund["refund_id"]
        assert (refund.get("order_id") in possible) is refund["linked"]
        assert ("unlinked_because" in refund) is not refund["linked"]
        linked += refund["linked"]
    assert linked == 2301


def test_after_a_day_of_new_lines_only_that_days_changes_are_sent(shop: Shop) -> None:
    shop.give("InvoiceDate < TIMESTAMP '2011-12-08'")
    shop.run()
    before = shop.held()
    shop.give("InvoiceDate < TIMESTAMP '2011-12-09'")

    done = shop.run()

    after = shop.held()
    assert after == truth(shop.lines)
    of_the_day = f"FROM '{shop.lines}' WHERE InvoiceDate >= TIMESTAMP '2011-12-08' AND CustomerID IS NOT NULL"
    assert done["people"]["acknowledged"] == one(f"SELECT count(DISTINCT CustomerID) {of_the_day}"), "and nobody else"
    new = len(after.orders) + len(after.refunds) - len(before.orders) - len(before.refunds)
    assert done["order_completed"]["acknowledged"] + done["order_refunded"]["acknowledged"] == new > 0
    assert new == one(f"SELECT count(DISTINCT InvoiceNo) {of_the_day}")


def test_an_id_with_and_without_its_decimal_is_one_person(shop: Shop) -> None:
    """`17850.0` in the file, `17850` beside it: as another reader of the same export writes it."""
    shop.give(f"CustomerID = (SELECT min(CustomerID) FROM '{LINES}')")
    spoiled = shop.lines.with_name("spoiled.parquet")
    mixed = "CASE WHEN row_id % 2 = 0 THEN replace(CustomerID, '.0', '') ELSE CustomerID END AS CustomerID"
    duckdb.sql(f"COPY (SELECT * REPLACE ({mixed}) FROM '{shop.lines}') TO '{spoiled}' (FORMAT parquet)")
    shutil.move(spoiled, shop.lines)
    assert one(f"SELECT count(DISTINCT CustomerID) FROM '{shop.lines}'") == 2

    shop.run()

    assert len(shop.held().people) == 1
    assert shop.held() == truth(shop.lines)
