"""The starter for shops on Shopify: what a workspace holds after a run, against counts in plain Python, on both warehouses.

The made-up shop is counted row by row here, in nothing of the models' SQL. Fivetran's own samples of its tables, of the REST
and of the GraphQL version of its connector, lie beside the project, never in it; without them their tests skip.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
import yaml

import revetl
from revetl import api, shopify_sample
from revetl.engine import RunOptions, SyncResult
from revetl.errors import ConfigError
from revetl.sandbox import Sandbox
from tests.suites.conftest import postgres_uri

__all__ = ["postgres_uri"]  # a fixture: it finds its users by name

ROOT = Path(__file__).parents[2]
EXAMPLE, STARTER = ROOT / "examples" / "shopify", ROOT / "revetl" / "templates" / "shopify"
SHARED = Path(os.environ.get("REVETL_SHARED_DATA", ROOT.parent / "shared" / "data"))
SEEDS = SHARED / "fivetran_shopify_seeds"
SAMPLED = ("customer", "order", "order_line", "order_discount_code", "order_shipping_line", "refund", "order_line_refund",
           "order_adjustment", "abandoned_checkout")  # fmt: skip
EVENTS = {"order_completed": "Order Completed", "order_refunded": "Order Refunded", "added_to_cart": "Added to Cart",
          "checkout_started": "Checkout Started"}  # fmt: skip
PRODUCTION = {"WAREHOUSE_HOST": "h", "WAREHOUSE_USER": "u", "WAREHOUSE_DATABASE": "d",
              "DBT_ENV_SECRET_WAREHOUSE_PASSWORD": "p", "CIO_SITE_ID": "s", "CIO_TRACK_API_KEY": "k"}  # fmt: skip

Row = dict[str, Any]


def address(text: str | None) -> str | None:
    """One spelling of an address."""
    return (text or "").strip().lower() or None


def unix(moment: datetime) -> int:
    """Whole seconds."""
    return int(moment.timestamp())


# --- a project, its warehouse, its workspace -----------------------------------------------------------------------------


class Shop:
    """The starter's own files over a warehouse, and the workspace that they fill.

    Attributes:
        raw: a DuckDB file with Fivetran's tables; the warehouse itself, or what is copied to it.
    """

    def __init__(self, folder: Path, box: Sandbox, *, postgres: sa.engine.URL | None = None) -> None:
        self.folder, self.box, self.postgres = folder / "shop", box, postgres
        self.raw = folder / "raw.duckdb"
        self.environ = {"HOME": str(folder), "PATH": os.environ["PATH"]}
        for name, text in api._template_files(STARTER, ""):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        fields: Row = {"type": "duckdb", "path": str(self.raw), "schema": "main"}
        if postgres is not None:
            fields = {"type": "postgres", "host": postgres.query["host"], "user": postgres.username, "dbname": postgres.database,
                      "schema": "public"}  # fmt: skip
        keys = {"site_id": "{{ env_var('BOX_SITE') }}", "api_key": "{{ env_var('BOX_KEY') }}"}
        destination = {"type": "sandbox", "url": box.url, **keys}
        profile = {"target": "dev", "outputs": {"dev": fields}, "destinations": {"dev": destination}}
        (self.folder / "profiles.yml").write_text(yaml.safe_dump({"shopify": profile}))
        self.environ |= {"BOX_SITE": box.site_id, "BOX_KEY": box.api_key}

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file of the project as its owner would."""
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    def send_history(self) -> None:
        """Let the first run send the past, too."""
        history = "    initial: send\n    guards: {max_triggering: 100000}\n    occurred_at:"
        self.edit("syncs/events.yml", "    occurred_at:", history)

    def run(self, **variables: Any) -> Mapping[str, SyncResult]:
        """`revetl run --backfill`; what it did for each sync."""
        if self.postgres is not None:
            self.copy_to_postgres(self.postgres)
        project = revetl.load(self.folder, variables=variables, environ=self.environ)
        result = revetl.run(project, options=RunOptions(backfill=True), environ=self.environ)
        problems = [str(one.error) for one in result.syncs if one.error is not None]
        assert not problems
        return {one.sync.name: one for one in result.syncs}

    def copy_to_postgres(self, url: sa.engine.URL) -> None:
        """The tables as they are now."""
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        kinds = {"VARCHAR": "text", "DOUBLE": "double precision", "TIMESTAMP WITH TIME ZONE": "timestamptz"}
        with duckdb.connect(str(self.raw), read_only=True) as db, engine.connect() as there:
            db.execute("SET TimeZone = 'UTC'")
            there.execute(sa.text("DROP SCHEMA IF EXISTS shopify CASCADE; CREATE SCHEMA shopify"))
            cursor = there.connection.cursor()
            tables = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'shopify' ORDER BY 1"
            for (table,) in db.execute(tables).fetchall():
                found = db.execute(f'SELECT * FROM shopify."{table}"')
                columns = ", ".join(f'"{c[0]}" {kinds.get(str(c[1]), str(c[1]))}' for c in found.description or ())
                there.execute(sa.text(f'CREATE TABLE shopify."{table}" ({columns})'))
                text = io.StringIO()
                csv.writer(text).writerows(found.fetchall())
                with cursor.copy(f'COPY shopify."{table}" FROM STDIN (FORMAT csv)') as copy:
                    copy.write(text.getvalue())
        engine.dispose()

    def rows(self, table: str) -> list[Row]:
        """A table of Fivetran's, row by row."""
        with duckdb.connect(str(self.raw), read_only=True) as db:
            db.execute("SET TimeZone = 'UTC'")
            found = db.execute(f'SELECT * FROM shopify."{table}" ORDER BY ALL')
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def ask(self, path: str) -> Any:
        """The workspace's own answer, with exact numbers."""
        headers = {"Authorization": f"Bearer {self.box.app_api_key}"}
        request = urllib.request.Request(self.box.url + path, headers=headers)  # noqa: S310 loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 loopback
            return json.loads(answer.read(), parse_float=Decimal)

    def events(self, name: str) -> list[Row]:
        """All events of a name that the workspace holds."""
        return [e for e in self.ask("/sandbox/events?limit=100000")["events"] if e["name"] == name]

    def people(self) -> dict[str, Row]:
        """The attributes of all people, by id."""
        return {p["id"]: p["attributes"] | ({"email": p["email"]} if p["email"] else {})
                for p in self.ask("/sandbox/people?limit=100000")["people"]}  # fmt: skip

    def held(self) -> Facts:
        """What the workspace holds; a person is named by the address, or by the id where there is none."""
        people = self.people()
        name = {key: str(attributes.get("email") or key) for key, attributes in people.items()}
        assert len(set(name.values())) == len(name), "one person is two profiles"
        events: dict[str, dict[str, Row]] = {}
        for event, key in (("Order Completed", "order_id"), ("Order Refunded", "refund_id"), ("Added to Cart", "cart_id"),
                           ("Checkout Started", "checkout_id")):  # fmt: skip
            found = self.events(event)
            events[event] = {e["attributes"][key]: {
                "person": name[e["id"]], "at": int(e["timestamp"]), "value": Decimal(e["attributes"]["value"]),
                "currency": e["attributes"]["currency"]} for e in found}  # fmt: skip
            assert len(events[event]) == len(found), "an event was counted twice"
        return Facts(people={name[key]: person(attributes) for key, attributes in people.items()}, events=events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a shop did, whoever says it: people by address, events by name and key."""

    people: Mapping[str, Row]
    events: Mapping[str, Mapping[str, Row]]


def person(attributes: Mapping[str, str]) -> Row:
    """A profile's attributes, which the App API gives as texts."""
    numbers = ("orders_count", "lifetime_value", "refunded_amount")
    times = ("created_at", "first_order_at", "last_order_at")
    return {
        **{name: Decimal(attributes[name]).normalize() for name in numbers},
        **{name: int(attributes[name]) if name in attributes else None for name in times},
        "email_consent": {"true": True, "false": False}.get(attributes.get("email_consent", "")),
        "phone": attributes.get("phone"), "country": attributes.get("country"),
    }  # fmt: skip


def cents(amount: float | None) -> Decimal:
    """A double of Fivetran's as money."""
    return Decimal(str(round(amount or 0, 2)))


def truth(shop: Shop) -> Facts:  # noqa: C901 one rule after another, as a person would count
    """The same facts from the raw tables, in plain Python."""
    customers = {row["id"]: row for row in shop.rows("customer")}
    orders = [o for o in shop.rows("order") if not o["test"] and not o["_fivetran_deleted"]]
    checkouts = [c for c in shop.rows("abandoned_checkout") if not c["_fivetran_deleted"]]

    def who(row: Row) -> str | None:
        if row["customer_id"] is None:
            return address(row["email"])
        account = customers.get(row["customer_id"], {"email": row["email"]})
        return address(account["email"]) or str(row["customer_id"])

    accounts: dict[str, list[Row]] = defaultdict(list)
    for row in customers.values():
        accounts[address(row["email"]) or str(row["id"])].append(row)
    contacts: dict[str, list[Row]] = defaultdict(list)
    for row in (*orders, *checkouts):
        if (name := who(row)) is not None:
            contacts[name].append(row)

    unpaid = {"pending", "authorized"}
    purchases = {o["id"]: o for o in orders if o["financial_status"] != "voided"
                 and not (o["cancelled_at"] and o["financial_status"] in unpaid)}  # fmt: skip
    back: dict[int, Decimal] = defaultdict(Decimal)
    for line in shop.rows("order_line_refund"):
        back[line["refund_id"]] += cents(line["subtotal"]) + cents(line["total_tax"])
    for adjustment in shop.rows("order_adjustment"):
        back[adjustment["refund_id"]] -= cents(adjustment["amount"]) + cents(adjustment["tax_amount"])
    refunds = [r for r in shop.rows("refund") if r["order_id"] in purchases and back[r["id"]] > 0]

    people: dict[str, Row] = {}
    for name in {*accounts, *contacts}:
        mine = sorted(accounts[name], key=lambda a: (a["created_at"], str(a["id"])))
        seen = sorted(contacts[name], key=lambda c: c["created_at"])
        bought = [o for o in purchases.values() if who(o) == name]
        refunded = sum((back[r["id"]] for r in refunds if who(purchases[r["order_id"]]) == name), Decimal())
        states = [(a["email_marketing_consent_state"], a["accepts_marketing"]) for a in mine]
        says = [state == "subscribed" if state else older for state, older in states]
        countries = [c["shipping_address_country_code"] for c in seen]
        phone = mine[0]["phone"] if mine else None
        times = [unix(o["processed_at"]) for o in bought]
        people[name] = {
            "orders_count": Decimal(len(bought)).normalize(), "refunded_amount": refunded.normalize(),
            "lifetime_value": (sum((cents(o["total_price"]) for o in bought), Decimal()) - refunded).normalize(),
            "created_at": unix(min(row["created_at"] for row in (*mine, *seen))),
            "first_order_at": min(times, default=None), "last_order_at": max(times, default=None),
            "email_consent": all(says) if says else seen[-1]["buyer_accepts_marketing"],
            "phone": phone if phone and re.fullmatch(r"\+[0-9]+", phone) else None,
            "country": next((country for country in reversed(countries) if country), None),
        }  # fmt: skip

    events: dict[str, dict[str, Row]] = {name: {} for name in EVENTS.values()}
    for o in purchases.values():
        if who(o) is not None:
            events["Order Completed"][str(o["id"])] = {"person": who(o), "at": unix(o["processed_at"]), "currency": o["currency"],
                                                       "value": cents(o["total_price"])}  # fmt: skip
    for r in refunds:
        order = purchases[r["order_id"]]
        if who(order) is not None:
            events["Order Refunded"][str(r["id"])] = {"person": who(order), "at": unix(r["processed_at"]), "value": back[r["id"]],
                                                      "currency": order["currency"]}  # fmt: skip
    for c in checkouts:
        about = {"person": who(c), "at": unix(c["created_at"]), "currency": c["presentment_currency"]}
        events["Checkout Started"][c["token"]] = {**about, "value": cents(c["total_price"])}
        events["Added to Cart"][c["cart_token"]] = {**about, "value": cents(c["subtotal_price"])}
    return Facts(people=people, events=events)


def differing(held: Facts, wanted: Facts) -> list[tuple[str, str, Any, Any]]:
    """What is not the same: kind, key, what is held, what is wanted."""
    pairs = [("people", held.people, wanted.people), *((name, held.events[name], wanted.events[name]) for name in wanted.events)]
    return [(kind, key, ours.get(key), theirs.get(key)) for kind, ours, theirs in pairs for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)]  # fmt: skip


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def small(tmp_path: Path, box: Sandbox) -> Shop:
    """On DuckDB."""
    return Shop(tmp_path, box)


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, box: Sandbox) -> Iterator[Shop]:
    if request.param == "duckdb":
        yield Shop(tmp_path, box)
        return
    url = sa.engine.make_url(request.getfixturevalue("postgres_uri"))
    name = f"t_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    try:
        yield Shop(tmp_path, box, postgres=url.set(database=name))
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        engine.dispose()


# --- the made-up shop ----------------------------------------------------------------------------------------------------


def test_the_workspace_holds_what_the_tables_say_and_a_changed_day_sends_only_that(shop: Shop) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    shopify_sample.build(shop.raw, customers=120, now=now - timedelta(days=2))
    shop.send_history()

    first = shop.run()

    was = truth(shop)
    assert not (wrong := differing(shop.held(), was)), wrong[:3]
    assert all(len(keys) > 5 for keys in was.events.values())
    assert sum(one.refused + one.counts.waiting + one.counts.held for one in first.values()) == 0
    assert {name: one.acknowledged for name, one in first.items()} == {
        "people": len(was.people), **{sync: len(was.events[name]) for sync, name in EVENTS.items()}}  # fmt: skip
    assert first["order_completed"].counts.skipped > 0, "orders of the till are nobody's"
    assert first["order_refunded"].counts.skipped == 1, "its order has not arrived"

    books = api.reconcile(revetl.load(shop.folder, environ=shop.environ), days=0, environ=shop.environ)
    assert books.agrees
    for side, name in (("orders", "Order Completed"), ("refunds", "Order Refunded")):
        sent = sum((getattr(day, side).sent.value for day in books.days), Decimal())
        assert sent == sum(event["value"] for event in was.events[name].values())

    again = shop.run()

    assert sum(one.counts.planned + one.acknowledged for one in again.values()) == 0

    shopify_sample.advance(shop.raw, now=now)
    third = shop.run()

    new = truth(shop)
    assert not (wrong := differing(shop.held(), new)), wrong[:3]
    assert third["people"].acknowledged == sum(was.people.get(name) != facts for name, facts in new.people.items()) > 5
    for sync, name in EVENTS.items():
        assert third[sync].acknowledged == len(set(new.events[name]) - set(was.events[name]))
    arrived = set(new.events["Order Refunded"]) - set(was.events["Order Refunded"])
    assert any(key for key in arrived if int(key) < 5_010_000_000), "a refund goes out when its order has come"


def test_an_order_has_every_amount_as_shopify_says_it(shop: Shop) -> None:
    shopify_sample.build(shop.raw, customers=60)
    shop.send_history()
    shop.run()
    raw = {str(o["id"]): o for o in shop.rows("order")}
    lines: dict[str, list[Row]] = defaultdict(list)
    for line in sorted(shop.rows("order_line"), key=lambda row: row["index"]):
        lines[str(line["order_id"])].append(line)
    shipping = {str(row["order_id"]): row["discounted_price"] for row in shop.rows("order_shipping_line")}
    codes = {str(row["order_id"]): [row["code"]] for row in shop.rows("order_discount_code")}

    sent = {e["attributes"]["order_id"]: e["attributes"] for e in shop.events("Order Completed")}

    assert any(o["total_shipping_price_set"] is None for key, o in raw.items() if key in sent)
    for key, order in sent.items():
        o = raw[key]
        told = [Decimal(order[name]) for name in ("subtotal", "discount", "shipping", "tax", "value")]
        raw_ones = (o["subtotal_price"], o["total_discounts"], shipping[key], o["total_tax"], o["total_price"])
        assert told == [cents(amount) for amount in raw_ones]
        assert sum(told[:1]) + told[2] + (0 if order["taxes_included"] else told[3]) == told[4]
        presentment = json.loads(o["total_price_set"])["presentment_money"]
        assert (order["presentment_currency"], Decimal(order["presentment_value"])) == (
            presentment["currency_code"], Decimal(presentment["amount"]))  # fmt: skip
        assert order.get("discount_codes", []) == codes.get(key, [])
        assert [(i["name"], i["quantity"], Decimal(i["price"]), i["gift_card"]) for i in order["items"]] == [
            (line["title"], line["quantity"], cents(line["price"]), line["gift_card"]) for line in lines[key]]  # fmt: skip
        assert all(i["sku"] for i in order["items"])
        assert order["items_count"] == len(lines[key])
        assert Decimal(order["gift_card_value"]) == sum(cents(line["price"]) for line in lines[key] if line["gift_card"])
    assert any(Decimal(order["gift_card_value"]) for order in sent.values())
    carts = {e["attributes"]["cart_id"] for e in shop.events("Checkout Started")}
    assert carts & {order.get("cart_id") for order in sent.values()}, "who came back is found by the cart"


def test_one_answer_switches_the_carts_to_the_websites_events(small: Shop) -> None:
    shopify_sample.build(small.raw, customers=40)
    small.send_history()
    small.edit("syncs/events.yml", "    enabled: false ", "    enabled: true ")
    small.edit("pyproject.toml", "web_events = false", "web_events = true")

    did = small.run()

    with duckdb.connect(str(small.raw)) as db:
        known = "user_id IS NOT NULL"
        viewed, added = (db.execute(f"SELECT count(*) FROM web.{t} WHERE {known}").fetchall()[0][0]
                         for t in ("product_viewed", "product_added"))  # fmt: skip
    assert len(small.events("Product Viewed")) == did["product_viewed"].acknowledged == viewed > 0
    carts = small.events("Added to Cart")
    assert len(carts) == did["added_to_cart"].acknowledged == added
    assert {e["attributes"]["source"] for e in carts} == {"web"}
    assert all(len(e["attributes"]["items"]) == 1 and e["attributes"]["cart_id"] for e in carts)


def test_another_schema_is_one_line(small: Shop) -> None:
    shopify_sample.build(small.raw, customers=20)
    people = len(truth(small).people)
    with duckdb.connect(str(small.raw)) as db:
        db.execute("CREATE SCHEMA fivetran_shopify")
        for table in [*SAMPLED, "abandoned_checkout_line"]:
            db.execute(f'CREATE TABLE fivetran_shopify."{table}" AS FROM shopify."{table}"')
        db.execute("DROP SCHEMA shopify CASCADE")
    small.edit("pyproject.toml", 'shopify_schema = "shopify"', 'shopify_schema = "fivetran_shopify"')

    assert small.run()["people"].acknowledged == people


# --- the starter ---------------------------------------------------------------------------------------------------------


def test_a_new_project_runs_at_once(tmp_path: Path) -> None:
    def revetl_(*words: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "revetl", *words], cwd=cwd, env={**os.environ, "HOME": str(tmp_path)}, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    revetl_("init", "--from", "shopify", "shop")
    revetl_("diff", cwd=tmp_path / "shop")
    said = revetl_("run", cwd=tmp_path / "shop")

    assert "OK=5 PARTIAL=0 ERROR=0" in said
    assert "0 acknowledged" not in said
    later = revetl_("sample", "advance", cwd=tmp_path / "shop")
    assert "customer" in later
    assert "abandoned checkout" in later


def test_a_starter_has_uids_of_its_own_and_a_production_that_loads(tmp_path: Path) -> None:
    made = [api.init(tmp_path / name, starter="shopify", environ={}).folder for name in "ab"]

    projects = [revetl.load(folder, target="prod", environ=PRODUCTION) for folder in made]

    uids = [sync.uid for project in projects for sync in project.syncs.values()]
    assert len(set(uids)) == len(uids) == 12
    assert projects[0].target.type == "postgres"
    assert not projects[0].syncs["product_viewed"].enabled
    assert all(sync.description and sync.owner for sync in projects[0].syncs.values())
    assert all(sync.latency.warn_s for sync in projects[0].syncs.values() if not sync.is_person and sync.enabled)
    assert revetl.compile(projects[0], environ=PRODUCTION)
    assert [finding.code for finding in api.lint(projects[0]) if not finding.ignored] == []


def test_a_starter_that_is_not_there_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shopify") as caught:
        api.init(tmp_path / "x", starter="shopfy", environ={})

    assert caught.value.code == "RV280"
    assert not (tmp_path / "x").exists()


def test_the_example_is_the_starter() -> None:
    """One project, so that a fix of one is a fix of the other."""
    theirs = dict(api._template_files(STARTER, ""))
    ours = {p.relative_to(EXAMPLE).as_posix(): p.read_text() for p in EXAMPLE.rglob("*") if p.is_file()
            and not {"target", "logs"} & set(p.relative_to(EXAMPLE).parts)}  # fmt: skip
    assert ours == theirs != {}


def test_the_sample_is_the_same_for_the_same_seed_and_nobody_in_it_exists(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    found = []
    for name in "ab":
        shopify_sample.build(tmp_path / name, customers=40, seed=3, now=now)
        shopify_sample.advance(tmp_path / name, now=now + timedelta(days=1))
        with duckdb.connect(str(tmp_path / name)) as db:
            found.append({t: db.execute(f'SELECT * FROM shopify."{t}" ORDER BY ALL').fetchall() for t in SAMPLED})
            mails = db.execute("SELECT email FROM shopify.customer UNION SELECT email FROM shopify.order").fetchall()
    assert found[0] == found[1]
    assert {mail.strip().lower().rpartition("@")[2] for (mail,) in mails if mail} == {"example.com"}
    with pytest.raises(ValueError, match="at least 20"):
        shopify_sample.build(tmp_path / "c", customers=19)


# --- Fivetran's own samples ----------------------------------------------------------------------------------------------

DIGEST = re.compile(r"[0-9a-f]{32}")
needs_seeds = pytest.mark.skipif(
    not SEEDS.is_dir(), reason=f"Fivetran's samples are not there ({SEEDS.name}); REVETL_SHARED_DATA names their folder"
)


def kind(name: str, texts: Sequence[str]) -> str:
    """The type that Fivetran gives such a column."""
    if name.endswith(("_at", "_synced")) and "-" in texts[0]:
        return "TIMESTAMPTZ"
    if all(text.upper() in {"TRUE", "FALSE"} for text in texts):
        return "BOOLEAN"
    if re.search("(^|_)(id|index)$", name) and all(text.isdigit() for text in texts):
        return "BIGINT"
    money = re.search("price|amount|total|subtotal|tax|quantity|discount|spent", name)
    return "DOUBLE" if money and all(re.fullmatch(r"-?\d+(\.\d+)?", text) for text in texts) else "VARCHAR"


def load_seeds(shop: Shop, version: str, *, readable: bool) -> None:
    """Fivetran's samples as tables; a column without a value is not made, as Fivetran does not make it.

    Args:
        version: `` for the REST tables, `gql_` for the GraphQL ones.
        readable: addresses and countries, which the samples have as digests only, become valid ones.
    """
    with duckdb.connect(str(shop.raw)) as db:
        db.execute("SET TimeZone = 'UTC'; CREATE SCHEMA shopify")
        db.execute('CREATE TABLE shopify.abandoned_checkout_line (checkout_id BIGINT, "index" BIGINT)')
        for table in SAMPLED:
            text = (SEEDS / f"shopify_{version}{table}_data.csv").read_text(encoding="utf-8-sig")
            rows = [{name: (value or "").strip() for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]
            for row in rows if readable else ():
                if DIGEST.fullmatch(row.get("email", "")):
                    row["email"] += "@example.com"
                if DIGEST.fullmatch(row.get("shipping_address_country_code", "")):
                    row["shipping_address_country_code"] = "GB"
            used = {name: kind(name, found) for name in rows[0] if (found := [row[name] for row in rows if row[name]])}
            typed = ", ".join(f'"{name}" {its}' for name, its in used.items())
            db.execute(f'CREATE TABLE shopify."{table}" ({typed})')
            marks = ", ".join("?" * len(used))
            for row in rows:
                db.execute(f'INSERT INTO shopify."{table}" VALUES ({marks})', [row[name] or None for name in used])


def said(did: Mapping[str, SyncResult]) -> dict[str, tuple[int, int, int, int, int]]:
    """Of each sync: rows of the model, and how many of them were accepted, refused, wait, or are nobody's."""
    return {
        name: (one.counts.model_rows, one.acknowledged, one.refused, one.counts.waiting, one.counts.skipped)
        for name, one in did.items()
    }


def why(one: SyncResult) -> dict[tuple[str, str], int]:
    """Why rows were refused: rule, field, rows."""
    return {(reason.reason, reason.field): reason.rows for reason in one.reasons}


@needs_seeds
@pytest.mark.parametrize(("version", "people", "orders"), [("", 3, 8), ("gql_", 10, 4)])
def test_a_digest_is_no_address_and_nothing_follows_from_it(small: Shop, version: str, people: int, orders: int) -> None:
    """Addresses of the samples are digests: those people are refused, and their orders wait."""
    load_seeds(small, version, readable=False)
    small.send_history()

    did = small.run()

    assert why(did["people"]) == {("format", "email"): people}
    assert did["order_completed"].counts.waiting == orders
    assert small.events("Order Completed") == []
    assert all("@" in person["email"] for person in small.people().values())


@needs_seeds
def test_each_trap_of_the_rest_sample_has_its_outcome(small: Shop) -> None:
    load_seeds(small, "", readable=True)
    small.send_history()

    did = small.run()

    assert said(did) == {
        "people": (6, 6, 0, 0, 0), "order_completed": (8, 3, 5, 0, 0), "order_refunded": (5, 0, 0, 0, 5),
        "added_to_cart": (3, 0, 3, 0, 0), "checkout_started": (3, 0, 3, 0, 0),
    }  # fmt: skip
    for sync in ("order_completed", "added_to_cart", "checkout_started"):
        assert set(why(did[sync])) == {("required", "items")}, "lines that have not arrived"
    people = small.people()
    # two accounts of one address, and five orders of accounts that are not there but with that address: one person
    assert set(people) == {"3584045351009", "3588998496353", "3589760876641", "121", "366525", "160363"}
    one = people["3584045351009"]
    money = (one["orders_count"], one["currency"], one["lifetime_value"])
    assert money == ("7", "USD", "615.03"), "pounds are not added to dollars"
    assert one["country"] == "GB", "the latest order says no country"
    assert one["email_consent"] == "false"
    assert people["3588998496353"]["orders_count"] == "0"
    assert "first_order_at" not in people["3588998496353"]
    assert "phone" not in people["121"], "(115) 061-1012 can not be texted"
    orders = {e["attributes"]["order_id"]: e["attributes"] for e in small.events("Order Completed")}
    assert set(orders) == {"2669509541985", "2669516488801", "2674098602081"}
    assert all("shipping" not in order for order in orders.values()), "nobody says it, and it is not guessed from the rest"
    assert orders["2674098602081"]["discount_codes"] == ["GIFTCARD", "SHIPPING2022", "FIXED"]
    assert "cart_id" not in orders["2674098602081"], "an app's order has no cart"

    with duckdb.connect(str(small.raw)) as db:  # what was missing arrives
        db.execute("ALTER TABLE shopify.abandoned_checkout_line ADD COLUMN title VARCHAR")
        db.execute("ALTER TABLE shopify.abandoned_checkout_line ADD COLUMN quantity BIGINT")
        db.execute("ALTER TABLE shopify.abandoned_checkout_line ADD COLUMN price DOUBLE")
        db.execute("INSERT INTO shopify.abandoned_checkout_line SELECT id, 1, 'A hat', 1, 9.5 FROM shopify.abandoned_checkout")
        db.execute("UPDATE shopify.refund SET order_id = 2669516488801")
        its = "(SELECT min(id) FROM shopify.refund)"
        db.execute(f"UPDATE shopify.order_line_refund SET refund_id = {its} WHERE total_tax = 19.74")

    did = small.run()

    assert (did["added_to_cart"].acknowledged, did["checkout_started"].acknowledged) == (3, 3)
    carts = {e["attributes"]["cart_id"]: e["attributes"] for e in small.events("Checkout Started")}
    assert Decimal(carts["aaaa211622dfb133"]["value"]) == Decimal("501.36"), "less than its lines: as Shopify says it"
    (refund,) = small.events("Order Refunded")
    assert (refund["attributes"]["order_id"], Decimal(refund["attributes"]["value"])) == ("2669516488801", Decimal("434.74"))
    assert why(did["order_refunded"]) == {("required", "value"): 4}, "refunds that say no amount yet"


@needs_seeds
def test_each_trap_of_the_graphql_sample_has_its_outcome(small: Shop) -> None:
    load_seeds(small, "gql_", readable=True)
    small.send_history()

    did = small.run()

    assert said(did) == {
        "people": (10, 10, 0, 0, 0), "order_completed": (4, 0, 4, 0, 0), "order_refunded": (10, 0, 0, 0, 10),
        "added_to_cart": (5, 0, 5, 0, 0), "checkout_started": (5, 0, 5, 0, 0),
    }  # fmt: skip
    people = small.people()
    subscribed = {key for key, person in people.items() if person["email_consent"] == "true"}
    assert subscribed == {"1001", "1003", "1005", "1007", "1009"}
    assert not any("phone" in person for person in people.values()), "1111111111 says no country"

    with duckdb.connect(str(small.raw)) as db:  # the lines of the orders, and refunds of one of them
        db.execute("UPDATE shopify.order_line SET order_id = order_id - 1000")
        db.execute("UPDATE shopify.refund SET order_id = 4001 WHERE id = 7001")

    did = small.run()

    orders = {e["attributes"]["order_id"]: e["attributes"] for e in small.events("Order Completed")}
    assert set(orders) == {"4001", "4003", "4005", "4009"}, "five are deleted or tests; who paid and cancelled has bought"
    first = orders["4001"]
    names = ("value", "subtotal", "discount", "shipping", "tax", "presentment_value")
    assert [Decimal(first[name]) for name in names] == [Decimal(a) for a in ("55", "49.99", "5", "2", "3", "55")]
    assert (first["currency"], first["presentment_currency"], first["items"][0]["quantity"]) == ("USD", "USD", 1)
    assert Decimal(first["items"][0]["price"]) == Decimal("19.99")
    assert Decimal(orders["4003"]["value"]) == 2000, "which its other amounts contradict: as Shopify says it"
    (refund,) = small.events("Order Refunded")
    assert (refund["attributes"]["order_id"], Decimal(refund["attributes"]["value"])) == ("4001", Decimal("19.99"))
    assert refund["attributes"]["full_refund"] is False
    assert Decimal(small.people()["1001"]["lifetime_value"]) == Decimal("35.01")
