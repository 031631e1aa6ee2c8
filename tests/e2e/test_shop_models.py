"""The models of this repository's own project, over the made-up shop: who is who, and that the money adds up.

What is expected is counted here in other SQL than the models'. Both warehouses give the same rows.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl import api, sample
from tests.suites.conftest import postgres_uri

__all__ = ["postgres_uri"]  # a fixture: it finds its users by name

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
PRODUCTION = {"SHOP_PG_HOST": "h", "SHOP_PG_USER": "u", "DBT_ENV_SECRET_SHOP_PG_PASSWORD": "p", "CIO_SITE_ID": "s",
              "CIO_TRACK_API_KEY": "k"}  # fmt: skip


Rows = list[dict[str, Any]]


def statements(target: str) -> dict[str, tuple[str, str]]:
    """For each sync of this repository: its key column and its SQL."""
    project = api.load(ROOT, profiles_dir=ROOT, target=target, environ=PRODUCTION)
    return {c.sync.name: (c.sync.key, c.sql) for c in api.compile(project, environ=PRODUCTION)}


class Shop:
    """A DuckDB file with the raw tables, and what the models make of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.models = statements("dev")
        sample.build(path, customers=300, now=NOW)

    def sql(self, statement: str, *values: Any) -> Any:
        """The first column of the first row."""
        with duckdb.connect(str(self.path)) as db:
            row = db.execute(f"SET TimeZone = 'UTC'; {statement}", values or None).fetchone()
        return row[0] if row else None

    def rows(self, name: str) -> Rows:
        """What the model of a sync gives."""
        key, sql = self.models[name]
        with duckdb.connect(str(self.path)) as db:
            db.execute("SET TimeZone = 'UTC'")
            found = db.execute(f"SELECT * FROM ({sql}\n) ORDER BY {key}")
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def person(self, key: str) -> dict[str, Any]:
        """One row of people."""
        (found,) = [row for row in self.rows("people") if row["person_id"] == key]
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop.duckdb")


def test_one_person_is_one_row_with_one_address(shop: Shop) -> None:
    people = shop.rows("people")
    ids = [p["person_id"] for p in people]
    addresses = [p["email"] for p in people if p["email"] is not None]

    assert len(set(ids)) == len(ids)
    assert len(set(addresses)) == len(addresses)
    assert all(address == address.strip().lower() != "" for address in addresses)
    accounts = shop.sql("SELECT count(DISTINCT coalesce(nullif(trim(lower(email)), ''), customer_id)) FROM raw.customers")
    guests = shop.sql(
        "SELECT count(DISTINCT trim(lower(guest_email))) FROM raw.orders WHERE customer_id IS NULL AND "
        "trim(lower(guest_email)) NOT IN (SELECT trim(lower(email)) FROM raw.customers WHERE email > '')"
    )
    assert len(ids) == accounts + guests < shop.sql("SELECT count(*) FROM raw.customers") + guests


@pytest.mark.parametrize("days", [0, 2])
def test_orders_and_money_add_up(shop: Shop, days: int) -> None:
    for day in range(days):
        sample.advance(shop.path, now=NOW + timedelta(days=day + 1))
    people, orders, refunds = shop.rows("people"), shop.rows("order_completed"), shop.rows("order_refunded")
    known = "(customer_id IS NOT NULL OR guest_email IS NOT NULL)"

    assert sum(p["orders_count"] for p in people) == shop.sql(f"SELECT count(*) FROM raw.orders WHERE {known}")
    paid = shop.sql(f"SELECT sum(total) FROM raw.orders WHERE {known}")
    back = shop.sql(f"SELECT sum(amount) FROM raw.refunds JOIN raw.orders USING (order_id) WHERE {known}")
    assert sum(p["lifetime_value"] for p in people) == paid - back
    assert sum(p["refunded_amount"] for p in people) == back > 0
    assert sum(o["value"] for o in orders if o["person_id"]) == paid
    assert sum(r["value"] for r in refunds if r["person_id"]) == back
    for o in orders:
        assert o["value"] == o["subtotal"] - o["discount"] + o["shipping"] + o["tax"]
        assert o["subtotal"] == sum(Decimal(str(i["price"])) * i["quantity"] for i in json.loads(o["items"]))
    ids = {p["person_id"] for p in people}
    for name in shop.models:
        assert {row["person_id"] for row in shop.rows(name) if row["person_id"]} <= ids, name


def test_a_guest_who_opens_an_account_stays_the_same_person(shop: Shop) -> None:
    guest = next(p for p in shop.rows("people") if p["person_id"].startswith("G"))
    assert "@" not in guest["person_id"]
    address = f" {guest['email'].upper()}"
    shop.sql("INSERT INTO raw.customers VALUES ('C900000', ?, 'Ada', 'GB', ?, true, true, ?)", address, NOW, NOW)

    now = shop.person(guest["person_id"])

    assert (now["first_name"], now["orders_count"], now["created_at"]) == ("Ada", guest["orders_count"], guest["created_at"])
    assert not [p for p in shop.rows("people") if p["person_id"] == "C900000"]


def test_a_second_account_changes_nothing_but_consent(shop: Shop) -> None:
    first = next(p for p in shop.rows("people") if p["email"] and p["sms_consent"] and p["email_consent"])
    shop.sql("INSERT INTO raw.customers VALUES ('C900000', ?, 'Zoe', 'US', ?, false, true, ?)", first["email"].title(), NOW, NOW)

    now = shop.person(first["person_id"])

    assert now == first | {"sms_consent": False}, "who said no anywhere said no"


def test_an_old_order_that_arrives_late_renames_nobody(shop: Shop) -> None:
    account = next(p for p in shop.rows("people") if p["email"] and p["person_id"].startswith("C"))
    shop.sql("INSERT INTO raw.orders SELECT 'O900000', NULL, NULL, ?, TIMESTAMPTZ '2001-01-01 00:00:00Z', 'GBP', 1, 0, 0, 0, 1, "
             "'completed', ?", account["email"], NOW)  # fmt: skip

    now = shop.person(account["person_id"])

    assert now["orders_count"] == account["orders_count"] + 1
    assert now["first_order_at"].year == now["created_at"].year == 2001


def test_a_refund_has_a_person_once_its_order_is_there(shop: Shop) -> None:
    early = {r["refund_id"] for r in shop.rows("order_refunded") if r["currency"] is None}
    assert early
    assert all(r["person_id"] is None for r in shop.rows("order_refunded") if r["refund_id"] in early)

    sample.advance(shop.path, now=NOW + timedelta(days=2))

    assert all(r["person_id"] and not r["full_refund"] for r in shop.rows("order_refunded") if r["refund_id"] in early)


def test_an_order_whose_lines_are_missing_is_seen(shop: Shop) -> None:
    order = shop.sql("SELECT min(order_id) FROM raw.orders")
    shop.sql("DELETE FROM raw.order_items WHERE order_id = ?", order)

    assert [o["items"] for o in shop.rows("order_completed") if o["order_id"] == order] == [None]


def plain(value: Any) -> Any:
    """A value without what the drivers add."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and value.startswith("["):
        return json.loads(value, parse_float=lambda text: Decimal(text).normalize())
    if isinstance(value, list):  # PostgreSQL's driver reads JSON
        return json.loads(json.dumps(value), parse_float=lambda text: Decimal(text).normalize())
    if isinstance(value, Decimal | int | float) and not isinstance(value, bool):
        return Decimal(str(value)).normalize()
    return value


def test_postgresql_gives_the_same_rows(shop: Shop, postgres_uri: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    sample.advance(shop.path, now=NOW + timedelta(days=2))
    database = f"shop_{uuid.uuid4().hex[:8]}"
    address = postgres_uri.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {database}")
    with psycopg.connect(address, dbname=database) as db, duckdb.connect(str(shop.path)) as source:
        source.execute("SET TimeZone = 'UTC'")
        db.execute("CREATE SCHEMA raw")
        for table, columns in sample.TABLES.items():
            db.execute(f"CREATE TABLE raw.{table} ({columns})")
            with db.cursor().copy(f"COPY raw.{table} FROM STDIN") as copy:
                for row in source.execute(f"SELECT * FROM raw.{table}").fetchall():
                    copy.write_row(row)

        for name, (key, sql) in statements("prod").items():
            found = db.execute(f'SELECT * FROM ({sql}\n) AS m ORDER BY {key} COLLATE "C"')
            names = [column.name for column in found.description or ()]
            theirs = [{n: plain(v) for n, v in zip(names, row, strict=True)} for row in found.fetchall()]
            ours = [{n: plain(v) for n, v in row.items()} for row in shop.rows(name)]
            assert theirs == ours, name
            assert ours
