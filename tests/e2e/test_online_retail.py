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
from dataclasses import dataclass, replace
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

    def revetl(self, *words: str, stderr: int = subprocess.STDOUT) -> subprocess.CompletedProcess[str]:
        """A command in the project's folder."""
        return subprocess.run(
            [sys.executable, "-m", "revetl", *words], cwd=self.folder, check=False, text=True,
            stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self.folder), "ONLINE_RETAIL": str(self.lines), "BOX_URL": self.box.url,
                 "BOX_SITE": self.box.site_id, "BOX_KEY": self.box.api_key},
        )  # fmt: skip

    def run(self, *, refused: int = 0) -> Mapping[str, Mapping[str, Any]]:
        """`revetl run --backfill` in the project's folder; the counts of each sync. Orphans may be held, nothing else."""
        done = self.revetl("run", "--backfill")
        assert done.returncode in {0, 1}, done.stdout
        results = json.loads((self.folder / "target" / "run_results.json").read_text())["results"]
        counts = {r["unique_id"].rsplit(".", 1)[-1]: r["adapter_response"] for r in results}
        assert sum(c["unsent"] for c in counts.values()) == 0, done.stdout
        assert sum(c["refused"] for c in counts.values()) == refused, done.stdout
        assert sum(c["held"] for c in counts.values()) == counts["order_refunded"]["orphans"], done.stdout
        return counts

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
    return {"country_name": attributes["country_name"], **{n: Decimal(attributes[n]).normalize() for n in NUMBERS}, **times}


NUMBERS = ("orders_count", "refunds_count", "gross_value", "refunded_amount", "lifetime_value")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Sandbox() as box:
        yield Shop(tmp_path, box)


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """The whole file, sent once.

    Attributes:
        counts: of each sync of that run.
        held: what the workspace held then.
    """

    shop: Shop
    counts: Mapping[str, Mapping[str, Any]]
    held: Facts


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    with Sandbox() as box:
        shop = Shop(tmp_path_factory.mktemp("year"), box)
        shop.give()
        counts = shop.run()
        yield Year(shop=shop, counts=counts, held=shop.held())


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
        person["country_name"] = country  # the latest line's
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


def linkable(file: Path) -> dict[str, set[str]]:
    """For each cancellation of a customer: earlier orders of theirs that have a product of it in at least that quantity."""
    bought: dict[tuple[str, str], list[tuple[str, datetime, int]]] = {}
    back: dict[str, list[tuple[str, str, datetime, int]]] = {}
    for invoice, code, customer, at, quantity in duckdb.sql(
        f"SELECT InvoiceNo, upper(trim(StockCode)), replace(CustomerID, '.0', ''), InvoiceDate, Quantity FROM '{file}' "
        "WHERE CustomerID IS NOT NULL"
    ).fetchall():
        if invoice.startswith("C"):
            back.setdefault(invoice, []).append((code, customer, at, -quantity))
        else:
            bought.setdefault((customer, code), []).append((invoice, at, quantity))
    return {
        refund: {invoice for code, customer, at, quantity in lines if code[:5].isdigit() or code.startswith("PADS")
                 for invoice, then, many in bought.get((customer, code), []) if then <= at and many >= quantity}
        for refund, lines in back.items()
    }  # fmt: skip


def without_orphans(facts: Facts, links: Mapping[str, set[str]]) -> Facts:
    """Refunds whose order is not in the file are held; people's amounts count them all the same."""
    return replace(facts, refunds={key: refund for key, refund in facts.refunds.items() if links[key]})


def test_the_workspace_holds_what_the_file_says_and_a_second_run_sends_nothing(year: Year) -> None:
    held, links = year.held, linkable(LINES)

    assert held == without_orphans(truth(LINES), links)
    assert (len(held.people), len(held.orders), len(held.refunds)) == (3344, 14_325, 2301)
    skipped = {name: counts["skipped"] for name, counts in year.counts.items()}
    assert skipped == {"people": 0, "order_completed": 2688, "order_refunded": 137}, "guests are counted, and not sent"
    assert year.counts["order_refunded"]["orphans"] == 463 == sum(not orders for orders in links.values())
    ordered, back, left = held.money()
    assert (ordered, left) == (Decimal("6797721.40"), Decimal("6429857.93"))
    orphaned = sum((r["value"] for key, r in truth(LINES).refunds.items() if not links[key]), Decimal())
    assert back + orphaned.quantize(CENT) == Decimal("367863.47")

    books = year.shop.revetl("reconcile", "--days", "0", "--output", "json", stderr=subprocess.DEVNULL)
    (total,) = json.loads(books.stdout, parse_float=Decimal)["totals"]
    assert total["orders"]["difference"] == {"rows": 0, "value": "0.00"}
    assert Decimal(total["orders"]["sent"]["value"]).quantize(CENT) == ordered
    assert Decimal(total["refunds"]["sent"]["value"]) == back
    assert total["refunds"]["open"] == {"orphan": {"rows": 463, "value": str(orphaned.quantize(CENT))}}

    again = year.shop.run()

    assert sum(counts["planned"] - counts["held"] + counts["acknowledged"] for counts in again.values()) == 0
    assert year.shop.held() == held


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


def test_a_refund_is_linked_to_an_order_that_can_have_been_it(year: Year) -> None:
    links = linkable(LINES)

    refunds = {e["attributes"]["refund_id"]: e["attributes"] for e in year.shop.events() if e["name"] == "Order Refunded"}

    assert set(refunds) == {key for key, orders in links.items() if orders}
    assert all(refund["order_id"] in links[key] for key, refund in refunds.items())
    assert {refund["order_id"] for refund in refunds.values()} <= set(year.held.orders)


def test_after_a_day_of_new_lines_only_that_days_changes_are_sent(shop: Shop) -> None:
    shop.give("InvoiceDate BETWEEN TIMESTAMP '2011-11-15' AND TIMESTAMP '2011-12-08'")
    first = shop.run()
    before = shop.held()
    shop.give("InvoiceDate BETWEEN TIMESTAMP '2011-11-15' AND TIMESTAMP '2011-12-09'")

    done = shop.run()

    after = shop.held()
    assert after == without_orphans(truth(shop.lines), linkable(shop.lines))
    of_the_day = f"FROM '{shop.lines}' WHERE InvoiceDate >= TIMESTAMP '2011-12-08' AND CustomerID IS NOT NULL"
    assert done["people"]["acknowledged"] == one(f"SELECT count(DISTINCT CustomerID) {of_the_day}"), "and nobody else"
    new = len(after.orders) + len(after.refunds) - len(before.orders) - len(before.refunds)
    assert done["order_completed"]["acknowledged"] + done["order_refunded"]["acknowledged"] == new > 0
    orphans = done["order_refunded"]["orphans"] - first["order_refunded"]["orphans"]
    assert new + orphans == one(f"SELECT count(DISTINCT InvoiceNo) {of_the_day}")


def test_an_invoice_that_is_too_large_to_be_believed_is_refused_and_its_cancellation_waits(shop: Shop) -> None:
    """80,995 pieces for 168,469.60, taken back twelve minutes later: as the whole original has it."""
    shop.give("CustomerID = '12346.0'")
    larger = shop.lines.with_name("larger.parquet")
    duckdb.sql(f"COPY (SELECT * REPLACE (sign(Quantity)::INTEGER * 80995 AS Quantity, 2.08 AS UnitPrice) FROM '{shop.lines}') "
               f"TO '{larger}' (FORMAT parquet)")  # fmt: skip
    shutil.move(larger, shop.lines)

    counts = shop.run(refused=1)

    (reason,) = counts["order_completed"]["reasons"]
    assert (reason["reason"], reason["field"], reason["rows"]) == ("maximum", "value", 1)
    assert (counts["order_refunded"]["unbought"], counts["order_refunded"]["orphans"]) == (1, 0)
    assert shop.events() == []


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
    assert shop.held() == without_orphans(truth(shop.lines), linkable(shop.lines))


# --- each trap, how often, and what became of it -------------------------------------------------------------------------

ROWS = f"(SELECT *, upper(trim(StockCode)) AS sku, InvoiceNo LIKE 'C%' AS back, CustomerID IS NOT NULL AS known FROM '{LINES}')"
PRODUCT = "regexp_matches(sku, '^([0-9]{5}|DCGS|PADS)')"
FEES = ("POST", "DOT", "C2", "D", "M", "BANK CHARGES", "CRUK")
NOWHERE = ("Channel Islands", "European Community", "Unspecified")
OWN = {"EIRE": "IE", "RSA": "ZA", "USA": "US"}
Told = list[tuple[str, str, str]]


def n(what: str, where: str = "true") -> int:
    """A number over the file."""
    return int(one(f"SELECT {what} FROM {ROWS} WHERE {where}"))


def lines(where: str) -> int:
    """How many lines are such."""
    return n("count(*)", where)


def invoices(where: str) -> int:
    """How many invoices have such a line."""
    return n("count(DISTINCT InvoiceNo)", where)


def groups(by: str, having: str, where: str = "known", what: str = "count(*)") -> int:
    """How many groups of lines are such."""
    return int(one(f"SELECT {what} FROM (SELECT count(*) AS c, count(DISTINCT InvoiceNo) AS invoices FROM {ROWS} WHERE {where} "
                   f"GROUP BY {by} HAVING {having})"))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the workspace holds after the year, with all attributes, and what the run counted."""

    people: Mapping[str, Mapping[str, str]]
    orders: Mapping[str, Any]
    refunds: Mapping[str, Any]
    counts: Mapping[str, Mapping[str, Any]]

    @property
    def items(self) -> list[Any]:
        """Of all orders."""
        return [item for order in self.orders.values() for item in order["attributes"]["items"]]


def evidence(year: Year) -> Evidence:
    """Ask the workspace."""
    events = year.shop.events()
    return Evidence(
        people={p["id"]: p["attributes"] for p in year.shop.ask("/sandbox/people?limit=100000")["people"]},
        orders={e["attributes"]["order_id"]: e for e in events if e["name"] == "Order Completed"},
        refunds={e["attributes"]["refund_id"]: e for e in events if e["name"] == "Order Refunded"}, counts=year.counts,
    )  # fmt: skip


def traps_of_people(seen: Evidence) -> Told:
    """Ids and countries."""
    people, skipped = seen.people, [seen.counts[name]["skipped"] for name in ("order_completed", "order_refunded")]
    ids = duckdb.sql(f"SELECT DISTINCT CustomerID FROM {ROWS} WHERE known").fetchall()
    assert set(people) == {str(int(float(text))) for (text,) in ids}
    assert skipped == [invoices("NOT known AND NOT back AND InvoiceNo NOT LIKE 'A%'"), invoices("NOT known AND back")]
    assert invoices("known") + invoices("NOT known") == n("count(DISTINCT InvoiceNo)"), "never mixed in one invoice"
    several = groups("InvoiceNo", "count(DISTINCT CustomerID) > 1")
    assert several == 0
    nowhere = {key for key, person in people.items() if person["country_name"] in NOWHERE}
    assert {key for key, person in people.items() if "country" not in person} == nowhere
    own = [person for person in people.values() if person["country_name"] in OWN]
    assert own
    assert all(person["country"] == OWN[person["country_name"]] for person in own)
    negative = {key for key, person in people.items() if Decimal(person["lifetime_value"]) < 0}
    only = {key for key, person in people.items() if person["orders_count"] == "0"}
    assert only <= negative
    assert not any("first_order_at" in people[key] for key in only)
    like = lines("CustomerID LIKE '%.0'")
    return [
        ("`CustomerID` reads `17850.0`", f"{like:,} lines",
         f"text without the `.0`: {len(people):,} people, and `17850` is no second one"),
        ("no `CustomerID`", f"{lines('NOT known'):,} lines",
         f"nobody's: {skipped[0]:,} orders and {skipped[1]} cancellations counted as skipped, never sent"),
        ("one invoice of several customers", f"{several}", "none in this file; `max(customer_id)` would take one of them"),
        ("a customer in two countries", f"{groups('CustomerID', 'count(DISTINCT Country) > 1')} people",
         "the country of the latest invoice"),
        (f"names that are no country of ISO 3166: {', '.join(f'`{name}`' for name in NOWHERE)}", f"{len(nowhere)} people",
         "no `country`; `country_name` has the name as it is"),
        (f"names that only the shop uses: {', '.join(f'`{name}`' for name in OWN)}", f"{len(own)} people",
         "`IE`, `ZA`, `US`, checked by `format: iso3166`"),
        ("customers who got back more than they paid",
         f"{len(negative)} people, {len(only)} of them without an order in the file",
         "a negative `lifetime_value`; `first_order_at` and `last_order_at` are left out where there is no order"),
    ]  # fmt: skip


def traps_of_lines(seen: Evidence) -> Told:
    """Quantities, prices, codes, names."""
    items, codes = seen.items, {item["sku"] for item in seen.items}
    debts = lines("InvoiceNo LIKE 'A%'")
    assert not [key for key in (*seen.orders, *seen.refunds) if key.startswith("A")]
    written_off = lines("Quantity < 0 AND NOT back")
    assert written_off == lines("Quantity < 0 AND NOT back AND NOT known AND UnitPrice = 0")
    assert min(item["quantity"] for item in items) == 1
    worthless = sum(Decimal(order["attributes"]["value"]) == 0 for order in seen.orders.values())
    below = lines("UnitPrice < 0")
    assert below == 0
    assert Decimal("0.001") in {Decimal(item["price"]) for item in items}
    largest = seen.people["12346"]
    assert [Decimal(largest[name]) for name in ("gross_value", "refunded_amount", "lifetime_value")] == [
        Decimal("77183.6"), Decimal("77183.6"), Decimal()]  # fmt: skip
    fees = f"known AND sku IN {FEES}"
    assert lines(fees) == lines(f"known AND NOT {PRODUCT}")
    assert not codes & set(FEES)
    bare = sum(not order["attributes"]["items"] for order in seen.orders.values())
    others = "sku IN ('S', 'AMAZONFEE', 'B') OR sku LIKE 'GIFT_0001_%'"
    assert lines(f"known AND ({others})") == 0
    assert all(code == code.upper() for code in codes)
    bytewise = "InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country"
    nameless, junk = "coalesce(trim(Description), '') = ''", "contains(Description, '?')"
    assert lines(f"known AND ({nameless} OR {junk})") == 0
    assert all(item["name"] == item["name"].strip() != "" for item in items)
    junk += " OR lower(Description) IN ('check', 'damaged', 'damages', 'found', 'adjustment')"
    return [
        ("an invoice that begins with `A`: bad debt", f"{debts} line", "no order and no refund"),
        ("a negative quantity without `C`", f"{written_off:,} lines, at price 0 and without a customer",
         "stock written off: nobody's, no refund"),
        ("price 0", f"{lines('UnitPrice = 0'):,} lines, {lines('UnitPrice = 0 AND known')} of customers",
         f"items like others; {worthless} orders are sent with value 0"),
        ("a negative price", f"{below} lines (the whole original has 2, of bad debt)", "would be refused: `minimum: 0`"),
        ("a price of a tenth of a penny", f"{lines('known AND UnitPrice BETWEEN 0.0001 AND 0.0099')} lines",
         "decimals with three places, exact to the end"),
        ("74,215 pieces, and −74,215 sixteen minutes later", f"{lines('abs(Quantity) = 74215')} lines",
         "both are sent: that customer's `lifetime_value` is 0"),
        (f"codes that are no products: {', '.join(FEES)}", f"{lines(fees):,} lines of customers",
         f"amounts (`shipping`, `discount`, `other`), never items; {bare} orders have no items"),
        ("AMAZONFEE, samples, gift vouchers, `B`", f"{lines(others)} lines, none of a customer", "nobody's"),
        ("one product code in two letter cases", f"{groups('sku', 'count(DISTINCT StockCode) > 1', 'true')} codes", "capitals"),
        ("a line that is there twice, to the last byte",
         f"{groups(bytewise, 'count(*) > 1', what='sum(c - 1)'):,} lines of customers",
         "each counts, as in the shop's own totals; one item with the sum"),
        ("one product in several lines of an order",
         f"{groups('InvoiceNo, sku', 'count(*) > 1', f'known AND NOT back AND {PRODUCT}'):,} times", "one item for each price"),
        ("names with outer blanks; without a name; `?`, `check`, `damaged`",
         f"{lines('Description <> trim(Description)'):,}; {lines(nameless):,}; {lines(junk)} lines",
         "trimmed; the others have no customer: nobody's"),
    ]  # fmt: skip


def traps_of_orders(seen: Evidence) -> Told:
    """Times and sizes."""
    assert len(seen.orders) == invoices("known AND NOT back")
    cut = [order["attributes"] for order in seen.orders.values() if order["attributes"]["items_truncated"]]
    assert all(len(order["items"]) == 200 < order["items_count"] for order in cut)
    assert max(len(json.dumps(e["attributes"], default=str)) for e in seen.orders.values()) < 32_000
    summer = "known AND InvoiceDate >= '2011-03-27' AND InvoiceDate < '2011-10-30'"
    assert lines("InvoiceDate::DATE IN ('2011-03-27', '2011-10-30') AND hour(InvoiceDate) IN (1, 2)") == 0
    wall_clock = n("epoch(min(InvoiceDate))", f"InvoiceNo = '{JULY}'")
    assert int(seen.orders[JULY]["timestamp"]) == wall_clock - 3600
    return [
        ("one invoice with two times", f"{groups('InvoiceNo', 'count(DISTINCT InvoiceDate) > 1')} invoices of customers",
         "one event, at the first"),
        ("several invoices of one customer in one minute",
         f"{groups('CustomerID, InvoiceDate', 'count(DISTINCT InvoiceNo) > 1', what='sum(invoices)')} invoices",
         "an event each: its key names it, not its time"),
        ("long invoices", f"up to {groups('InvoiceNo', 'true', 'NOT back', 'max(c)'):,} lines",
         f"the 200 largest items, `items_count`, `items_truncated`: {len(cut)} orders"),
        ("times without a zone", f"all; {invoices(summer):,} invoices of customers in summer",
         "`zone: Europe/London`; none lies in the hour that clocks skip or repeat"),
    ]  # fmt: skip


def traps_of_refunds(seen: Evidence) -> Told:
    """Cancellations name no order."""
    counts, links = seen.counts["order_refunded"], linkable(LINES)
    orphans, without = counts["orphans"], groups("InvoiceNo", f"NOT bool_or({PRODUCT})", "known AND back")
    assert orphans == counts["held"] == sum(not found for found in links.values()) > without
    earlier, later = (f"EXISTS (SELECT 1 FROM {ROWS} AS o WHERE o.CustomerID = c.CustomerID AND o.sku = c.sku AND NOT o.back "
                      f"AND o.InvoiceDate {sign} c.InvoiceDate)" for sign in ("<=", ">"))  # fmt: skip
    such = f"known AND back AND {PRODUCT} AND NOT {earlier} AND {later}"
    before = one(f"SELECT count(DISTINCT InvoiceNo) FROM {ROWS} AS c WHERE {such}")
    for refund in seen.refunds.values():
        assert int(seen.orders[refund["attributes"]["order_id"]]["timestamp"]) <= int(refund["timestamp"])
    assert counts["early_refunds"] == 0
    refused = sum(of["refused"] for of in seen.counts.values())
    return [
        ("cancellations: invoices that begin with `C`", f"{invoices('back'):,} invoices",
         f"{len(seen.refunds):,} `Order Refunded`, {orphans} held, {counts['skipped']} nobody's"),
        ("a cancellation without an order to take back", f"{orphans} invoices",
         f"held as orphans and reported by each run (exit code 1): {without} take back no product, for {orphans - without} there "
         "is no earlier order of it in that quantity. People's `refunded_amount` counts them"),
        ("a product cancelled before it was first bought", f"{before} invoices", "not linked to the later order"),
        ("more refunded than the order cost", f"{counts['over_refunded']} refunds", "sent, and counted as a warning"),
        ("rows that break the contract", f"{refused}",
         "none is refused: types, ranges, patterns and enums hold for all that is sent"),
    ]  # fmt: skip


def traps(year: Year) -> Told:
    """What is wrong with the file, how many rows that is, and what revetl did about it: counted, asserted, and told."""
    seen = evidence(year)
    return [*traps_of_people(seen), *traps_of_lines(seen), *traps_of_orders(seen), *traps_of_refunds(seen)]


JULY = "558638"  # an invoice of July


def test_the_readme_tells_each_trap_and_its_outcome(year: Year) -> None:
    """To write it anew: REVETL_GOLDEN=write."""
    page = ROOT / "examples" / "online_retail" / "README.md"
    rows = [("trap", "rows", "what revetl did"), ("---", "---", "---"), *traps(year)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = page.read_text()
    head, _, rest = text.partition("<!-- traps -->\n")
    tail = rest.partition("<!-- /traps -->")[2]
    wanted = f"{head}<!-- traps -->\n{table}\n<!-- /traps -->{tail}"
    if os.environ.get("REVETL_GOLDEN") == "write":
        page.write_text(wanted)

    assert text == wanted
