"""A synthetic shop to try revetl on: seeded, with the mess of a real one. No person or order in it exists.

`build` makes the raw tables of a shop in a DuckDB file (schema `raw`); `advance` lets time pass in it. Names come
from small lists, e-mail addresses end in example.com. What a real shop gets wrong is here on purpose: guests, one
address in several spellings on several accounts, an address that changes hands, carts that are never bought,
partial refunds, refunds that arrive before their order, rows that arrive late, an order edited after the fact.

    python -m revetl.sample build target/shop.duckdb
    python -m revetl.sample advance target/shop.duckdb --hours 24
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Ida", "Jon", "Kira", "Leo", "Mia", "Nils", "Olga",
         "Paul", "Quin", "Rosa", "Sam", "Tess", "Udo", "Vera", "Will", "Xenia", "Yann", "Zoe")  # fmt: skip
LAST = ("Abbott", "Berger", "Clarke", "Dubois", "Evans", "Fischer", "Garcia", "Hughes", "Ivanov", "Jansen", "Keller",
        "Lopez", "Moreau", "Novak", "Owens", "Petit", "Quist", "Rossi", "Silva", "Tanaka")  # fmt: skip
COUNTRIES = (("GB", "GBP"), ("DE", "EUR"), ("FR", "EUR"), ("US", "USD"), ("NL", "EUR"))
PRODUCTS = tuple(
    (f"{code}-{n:02d}", f"{kind} No. {n}", kind.lower(), price + n)
    for code, kind, price in (("SH", "Shoe", 59), ("HA", "Hat", 19), ("BA", "Bag", 89), ("SO", "Sock", 7), ("JA", "Jacket", 129))
    for n in range(1, 9)
)  # fmt: skip
REASONS = ("damaged", "too small", "too large", "changed mind", "late delivery")

TABLES: dict[str, str] = {
    "customers": "customer_id VARCHAR, email VARCHAR, first_name VARCHAR, country VARCHAR, created_at TIMESTAMPTZ, "
    "sms_consent BOOLEAN, email_consent BOOLEAN, updated_at TIMESTAMPTZ",
    "orders": "order_id VARCHAR, cart_id VARCHAR, customer_id VARCHAR, guest_email VARCHAR, ordered_at TIMESTAMPTZ, "
    "currency VARCHAR, subtotal DECIMAL(12,2), discount DECIMAL(12,2), shipping DECIMAL(12,2), tax DECIMAL(12,2), "
    "total DECIMAL(12,2), status VARCHAR, loaded_at TIMESTAMPTZ",
    "order_items": "order_id VARCHAR, line INTEGER, sku VARCHAR, name VARCHAR, category VARCHAR, quantity INTEGER, "
    "price DECIMAL(12,2)",
    "refunds": "refund_id VARCHAR, order_id VARCHAR, refunded_at TIMESTAMPTZ, amount DECIMAL(12,2), reason VARCHAR, "
    "loaded_at TIMESTAMPTZ",
    "carts": "cart_id VARCHAR, customer_id VARCHAR, created_at TIMESTAMPTZ, currency VARCHAR, checkout_at TIMESTAMPTZ",
    "cart_items": "cart_id VARCHAR, line INTEGER, sku VARCHAR, name VARCHAR, quantity INTEGER, price DECIMAL(12,2)",
    "product_views": "view_id VARCHAR, customer_id VARCHAR, sku VARCHAR, name VARCHAR, category VARCHAR, "
    "price DECIMAL(12,2), viewed_at TIMESTAMPTZ",
    "shop_meta": "seed BIGINT, day BIGINT, now TIMESTAMPTZ",
}  # fmt: skip


@dataclass(slots=True)
class _Shop:
    """Rows made so far, by table, and what later rows depend on."""

    rng: random.Random
    rows: dict[str, list[list[Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})
    numbers: dict[str, int] = field(default_factory=dict)

    def next(self, kind: str) -> int:
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return self.numbers[kind]

    def add(self, table: str, *values: Any) -> None:  # noqa: ANN401 a row
        self.rows[table].append(list(values))


def build(path: str | Path, *, seed: int = 7, customers: int = 2_000, now: datetime | None = None) -> dict[str, int]:
    """(Re)create the schema `raw` in a DuckDB file; rows by table.

    Args:
        seed: the same seed, size and `now` give the same shop.
        customers: accounts; about as many orders and three times as many product views come with them.
        now: the shop's present; its last days lie just before it. Two days ago unless given, so that it can be
            advanced twice without reaching the future.
    """
    at = (now or datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0)
    shop = _Shop(random.Random(seed))  # noqa: S311 sample data
    for _ in range(customers):
        _account(shop, at, at - timedelta(days=shop.rng.uniform(0.02, 700)))
    _mess_of_accounts(shop, at)
    known = [(row[0], row[3], row[4]) for row in shop.rows["customers"]]
    for customer_id, country, since in known:
        for _ in range(shop.rng.choices((0, 1, 2, 3), (45, 30, 15, 10))[0]):
            _visit(shop, at, customer_id, country, _moment(shop, since, at))
    for _ in range(customers // 10):
        _visit(shop, at, None, "GB", _moment(shop, at - timedelta(days=200), at))
    _mess_of_orders(shop, at)
    shop.add("shop_meta", seed, 0, at)
    _store(Path(path), shop, recreate=True)
    return {name: len(rows) for name, rows in shop.rows.items() if name != "shop_meta"}


def advance(path: str | Path, *, seed: int | None = None, hours: float = 24) -> dict[str, int]:
    """Let time pass in a shop: new accounts, visits, orders and refunds, changed accounts; rows by table.

    Args:
        hours: at most up to the present.
        seed: of the changes; by default the shop's own and the number of times it was advanced.
    """
    import duckdb  # noqa: PLC0415 the engine is loaded by the commands that use it

    with duckdb.connect(str(path)) as db:
        found = db.execute("SELECT seed, day, now FROM raw.shop_meta").fetchone()
        assert found is not None  # noqa: S101 build wrote it
        first, day, was = int(found[0]), int(found[1]) + 1, found[2]
        shop = _Shop(random.Random(seed if seed is not None else first * 1_000 + day))  # noqa: S311 sample data
        start = was.astimezone(UTC)
        at = min(start + timedelta(hours=hours), max(start, datetime.now(UTC).replace(microsecond=0)))
        for table, kind in (("customers", "c"), ("orders", "o"), ("carts", "k"), ("refunds", "r"), ("product_views", "v")):
            shop.numbers[kind] = db.execute(f"SELECT count(*) + 100000 * {day} FROM raw.{table}").fetchone()[0]  # type: ignore[index]  # noqa: S608 names of our own
        known = db.execute("SELECT customer_id, country FROM raw.customers ORDER BY customer_id").fetchall()
        for _ in range(max(3, len(known) // 100)):
            _account(shop, at, _moment(shop, start, at))
        for customer_id, country in shop.rng.sample(known, max(5, len(known) // 40)):
            _visit(shop, at, customer_id, country, _moment(shop, start, at), recent=True)
        orders = db.execute("SELECT order_id, total FROM raw.orders ORDER BY order_id").fetchall()
        for order_id, total in shop.rng.sample(orders, max(1, len(orders) // 200)):
            shop.add("refunds", f"R{shop.next('r'):06d}", order_id, _moment(shop, start, at), total, shop.rng.choice(REASONS), at)
        changes = shop.rng.sample(known, max(4, len(known) // 200))
        for i, (customer_id, _) in enumerate(changes):
            value = f"moved.{customer_id.lower()}@example.com" if i == 0 else None
            db.execute(
                "UPDATE raw.customers SET sms_consent = NOT sms_consent, email = coalesce(?, email), updated_at = ? "
                "WHERE customer_id = ?", [value, at, customer_id],
            )  # fmt: skip
        shop.add("shop_meta", first, day, at)
    _store(Path(path), shop, recreate=False)
    return {**{n: len(r) for n, r in shop.rows.items() if n != "shop_meta"}, "changed customers": len(changes)}


def _moment(shop: _Shop, since: datetime, until: datetime) -> datetime:
    """Some second between two times, more often a late one."""
    span = (until - since).total_seconds()
    return (since + timedelta(seconds=span * shop.rng.random() ** 0.6)).replace(microsecond=0)


def _account(shop: _Shop, now: datetime, created: datetime) -> str:
    rng, number = shop.rng, shop.next("c")
    first, last = rng.choice(FIRST), rng.choice(LAST)
    customer_id = f"C{number:06d}"
    email = f"{first}.{last}.{number}@example.com".lower()
    if rng.random() < 0.1:  # noqa: PLR2004 a tenth writes its address with capitals, some with a blank behind it
        email = email.title() + " " * (rng.random() < 0.3)  # noqa: PLR2004
    country = rng.choice(COUNTRIES)[0]
    created = created.replace(microsecond=0)
    shop.add("customers", customer_id, email, first, country, created, rng.random() < 0.4, rng.random() < 0.7, min(now, created))  # noqa: PLR2004
    return customer_id


def _visit(  # noqa: PLR0913 a visit's parts
    shop: _Shop, now: datetime, customer_id: str | None, country: str, at: datetime, *, recent: bool = False
) -> None:
    """Views, perhaps a cart, perhaps a checkout, perhaps an order, perhaps a refund."""
    rng = shop.rng
    currency = dict(COUNTRIES)[country]
    seen = rng.sample(PRODUCTS, rng.randint(1, 4))
    for i, (sku, name, category, price) in enumerate(seen):
        if customer_id is not None:
            moment = at + timedelta(seconds=40 * i)
            shop.add("product_views", f"V{shop.next('v'):07d}", customer_id, sku, name, category, price, min(moment, now))
    if rng.random() > 0.75:  # noqa: PLR2004 only looked
        return
    cart_id = f"K{shop.next('k'):06d}"
    lines = [(*product, rng.randint(1, 3)) for product in rng.sample(seen, rng.randint(1, len(seen)))]
    checkout = at + timedelta(minutes=rng.randint(3, 30))
    started = rng.random() < 0.8 and checkout <= now  # noqa: PLR2004 the others leave their cart
    shop.add("carts", cart_id, customer_id, min(at + timedelta(minutes=2), now), currency, checkout if started else None)
    for line, (sku, name, _, price, quantity) in enumerate(lines, 1):
        shop.add("cart_items", cart_id, line, sku, name, quantity, price)
    if started and rng.random() < 0.8:  # noqa: PLR2004 the others leave the checkout
        _order(shop, now, customer_id, cart_id, currency, lines, checkout + timedelta(minutes=2), recent=recent)


def _order(  # noqa: PLR0913 an order's parts
    shop: _Shop, now: datetime, customer_id: str | None, cart_id: str, currency: str, lines: Sequence[tuple[Any, ...]],
    at: datetime, *, recent: bool,
) -> None:  # fmt: skip
    rng, order_id = shop.rng, f"O{shop.next('o'):06d}"
    at = min(at, now)
    subtotal = sum(price * quantity for _, _, _, price, quantity in lines)
    discount = round(subtotal * 0.1, 2) if rng.random() < 0.2 else 0.0  # noqa: PLR2004
    shipping = 0.0 if subtotal > 100 else 4.9  # noqa: PLR2004
    tax = round((subtotal - discount) * 0.2, 2)
    total = round(subtotal - discount + shipping + tax, 2)
    guest = f"guest.{shop.next('g')}@example.com" if customer_id is None and rng.random() < 0.7 else None  # noqa: PLR2004
    late = timedelta(hours=rng.randint(80, 120)) if rng.random() < 0.01 and not recent else timedelta(minutes=5)  # noqa: PLR2004
    shop.add("orders", order_id, cart_id, customer_id, guest, at, currency, subtotal, discount, shipping, tax, total,
             "completed", min(at + late, now))  # fmt: skip
    for line, (sku, name, category, price, quantity) in enumerate(lines, 1):
        shop.add("order_items", order_id, line, sku, name, category, quantity, price)
    if rng.random() < 0.08:  # noqa: PLR2004 refunded, half of them in part
        amount = total if rng.random() < 0.5 else round(total * rng.uniform(0.2, 0.8), 2)  # noqa: PLR2004
        back = min(at + timedelta(hours=rng.uniform(1, 200)), now)
        shop.add("refunds", f"R{shop.next('r'):06d}", order_id, back, amount, rng.choice(REASONS), back)


def _mess_of_accounts(shop: _Shop, now: datetime) -> None:
    """Several accounts of one address in other spellings, and an address that changed hands."""
    accounts = shop.rows["customers"]
    for original in shop.rng.sample(accounts, max(2, len(accounts) // 80)):
        twin = _account(shop, now, now - timedelta(days=shop.rng.uniform(0.1, 90)))
        accounts[-1][1] = original[1].strip().upper()
        assert accounts[-1][0] == twin  # noqa: S101 the one just added
    giver, taker = accounts[0], accounts[1]
    taker[1], giver[1] = giver[1], f"new.{giver[0].lower()}@example.com"


def _mess_of_orders(shop: _Shop, now: datetime) -> None:
    """A refund whose order has not arrived, and orders edited after the fact."""
    moment = now - timedelta(hours=3)
    shop.add("refunds", f"R{shop.next('r'):06d}", "O999999", moment, 25.0, "damaged", moment)
    for order in shop.rng.sample(shop.rows["orders"], max(1, len(shop.rows["orders"]) // 300)):
        order[11] = "edited"


def _store(path: Path, shop: _Shop, *, recreate: bool) -> None:
    """Load through CSV files: row-by-row inserts would take a hundred times as long."""
    import duckdb  # noqa: PLC0415 the engine is loaded by the commands that use it

    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as db, tempfile.TemporaryDirectory() as folder:
        db.execute("SET TimeZone = 'UTC'")
        db.execute("BEGIN")
        if recreate:
            db.execute("DROP SCHEMA IF EXISTS raw CASCADE")
            db.execute("CREATE SCHEMA raw")
            for name, columns in TABLES.items():
                db.execute(f"CREATE TABLE raw.{name} ({columns})")
        else:
            db.execute("DELETE FROM raw.shop_meta")
        for name, rows in shop.rows.items():
            if rows:
                file = Path(folder) / f"{name}.csv"
                _write(file, rows)
                db.execute(f"COPY raw.{name} FROM '{file}' (HEADER false, NULLSTR '')")
        db.execute("COMMIT")


def _write(file: Path, rows: Iterable[Sequence[Any]]) -> None:
    with file.open("w", newline="") as out:
        csv.writer(out).writerows(
            ["" if v is None else v.isoformat() if isinstance(v, datetime) else v for v in row] for row in rows
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m revetl.sample", description="A synthetic shop in a DuckDB file.")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("build", help="(re)create the shop")
    made.add_argument("path")
    made.add_argument("--seed", type=int, default=7)
    made.add_argument("--customers", type=int, default=2_000)
    later = commands.add_parser("advance", help="let time pass in it")
    later.add_argument("path")
    later.add_argument("--seed", type=int)
    later.add_argument("--hours", type=float, default=24)
    o = parser.parse_args(arguments)
    if o.command == "build":
        counts = build(o.path, seed=o.seed, customers=o.customers)
    else:
        counts = advance(o.path, seed=o.seed, hours=o.hours)
    print(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count))  # noqa: T201 a command's output
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
