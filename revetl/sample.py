"""A synthetic shop to try revetl on: seeded, with the mess of a real one. No person or order in it exists.

`build` makes the raw tables of a shop in a DuckDB file (schema `raw`); `advance` lets time pass in it. Names come
from small lists, e-mail addresses end in example.com. What a real shop gets wrong is here on purpose: guests (some
with the address of an account), one address in several spellings on several accounts, accounts without an address,
an address that changes hands, carts of nobody, carts that are never bought, partial refunds, refunds that arrive
before their order, rows that arrive days late, an order edited after the fact, accounts erased on request.

    python -m revetl.sample build target/shop.duckdb
    python -m revetl.sample advance target/shop.duckdb --hours 24
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
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
MIN_CUSTOMERS = 20
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
    "carts": "cart_id VARCHAR, customer_id VARCHAR, anonymous_id VARCHAR, created_at TIMESTAMPTZ, "
    "updated_at TIMESTAMPTZ, currency VARCHAR",
    "cart_items": "cart_id VARCHAR, line INTEGER, sku VARCHAR, name VARCHAR, quantity INTEGER, price DECIMAL(12,2)",
    "checkouts": "checkout_id VARCHAR, cart_id VARCHAR, started_at TIMESTAMPTZ",
    "product_views": "view_id VARCHAR, customer_id VARCHAR, anonymous_id VARCHAR, sku VARCHAR, name VARCHAR, "
    "category VARCHAR, price DECIMAL(12,2), viewed_at TIMESTAMPTZ",
    "shop_meta": "seed BIGINT, day BIGINT, now TIMESTAMPTZ",
}  # fmt: skip


# the letters of ids, and whose ids they are
NUMBERED = {"c": "customers", "o": "orders", "k": "carts", "h": "checkouts", "r": "refunds", "v": "product_views"}

# what is left of somebody who asked to be erased: orders, without a name
ERASE = (
    "UPDATE raw.orders SET customer_id = NULL, guest_email = NULL "
    "WHERE customer_id = $id OR lower(trim(guest_email)) = $email",
    "UPDATE raw.carts SET customer_id = NULL WHERE customer_id = $id",
    "DELETE FROM raw.product_views WHERE customer_id = $id",
    "DELETE FROM raw.customers WHERE customer_id = $id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visitor:
    """Somebody in the shop, with an account or without."""

    country: str
    customer_id: str | None = None
    anonymous_id: str | None = None
    guest_email: str | None = None

    @property
    def currency(self) -> str:
        return dict(COUNTRIES)[self.country]


@dataclass(slots=True)
class _Shop:
    """Rows made so far, by table, and what later rows depend on.

    Attributes:
        now: nothing in the shop is later.
        numbers: the last number given, by letter.
    """

    rng: random.Random
    now: datetime
    rows: dict[str, list[list[Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})
    numbers: dict[str, int] = field(default_factory=dict)

    def next(self, kind: str) -> int:
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return self.numbers[kind]

    def add(self, table: str, *values: Any) -> None:  # noqa: ANN401 a row
        self.rows[table].append(list(values))


def build(path: str | Path, *, seed: int = 7, customers: int = 2_000, now: datetime | None = None) -> dict[str, int]:
    """(Re)create the schema `raw` in a DuckDB file, in one transaction; rows by table.

    Args:
        seed: the same seed, size and `now` give the same shop.
        customers: accounts; half as many orders and twice as many product views come with them.
        now: the shop's present; its last days lie just before it. Two days ago unless given, so that it can be
            advanced twice without reaching the future.

    Raises:
        ValueError: fewer than twenty customers, which leaves no room for the mess.
    """
    if customers < MIN_CUSTOMERS:
        raise ValueError(f"a shop has at least {MIN_CUSTOMERS} customers, not {customers}")
    at = (now or datetime.now(UTC) - timedelta(days=2)).astimezone(UTC).replace(microsecond=0)
    shop = _Shop(random.Random(seed), at)  # noqa: S311 sample data
    for _ in range(customers):
        _account(shop, at - timedelta(days=shop.rng.uniform(0.02, 700)))
    _mess_of_accounts(shop)
    for customer_id, _, _, country, since, *_ in list(shop.rows["customers"]):
        for _ in range(shop.rng.choices((0, 1, 2, 3), (45, 30, 15, 10))[0]):
            _visit(shop, _Visitor(customer_id=customer_id, country=country), _moment(shop, since, at))
    for _ in range(customers // 10):
        _visit(shop, _guest(shop), _moment(shop, at - timedelta(days=200), at))
    _mess_of_orders(shop)
    shop.add("shop_meta", seed, 0, at)
    _store(Path(path), shop)
    return _counted(shop)


def advance(
    path: str | Path, *, seed: int | None = None, hours: float = 24, now: datetime | None = None
) -> dict[str, int]:
    """Let time pass in a shop; rows that are new, by table, and rows changed and erased. All or nothing.

    New accounts, visits, orders and refunds; accounts that change, and two of them by an address that changes hands;
    orders that arrive hours late or after their refund; an order edited after the fact; accounts erased on request,
    with what names them.

    Args:
        hours: how far; never beyond the present, and a shop that nobody opened for days goes on in the last day, since
            older events could not trigger anything.
        seed: of the changes; by default the shop's own and the number of times it was advanced.
        now: the present, by this machine's clock unless given.
    """
    import duckdb  # noqa: PLC0415 the engine is loaded by the commands that use it

    with duckdb.connect(str(path)) as db:
        db.execute("SET TimeZone = 'UTC'")
        found = db.execute("SELECT seed, day, now FROM raw.shop_meta").fetchone()
        assert found is not None  # noqa: S101 build wrote it
        first, day, was = int(found[0]), int(found[1]) + 1, found[2].astimezone(UTC)
        present = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
        at = min(max(was + timedelta(hours=hours), present - timedelta(days=1)), max(was, present))
        start = at - timedelta(hours=hours)
        shop = _Shop(random.Random(seed if seed is not None else first * 1_000 + day), at)  # noqa: S311 sample data
        # above every number that was given before
        shop.numbers = {kind: 100_000 * day + _count(db, table) for kind, table in NUMBERED.items()}
        shop.add("shop_meta", first, day, at)
        db.execute("BEGIN")
        changed, erased = _changes(db, shop, at)
        _news(db, shop, start)
        db.execute("DELETE FROM raw.shop_meta")
        _fill(db, shop)
        db.execute("COMMIT")
    return {**_counted(shop), "changed rows": changed, "erased customers": erased}


def _changes(db: Any, shop: _Shop, at: datetime) -> tuple[int, int]:  # noqa: ANN401 DuckDB's connection
    """Accounts and orders that are not what they were; how many rows were changed, and accounts erased."""
    known = db.execute(
        "SELECT customer_id, lower(trim(email)) AS address, address IN (SELECT lower(trim(guest_email)) FROM raw.orders "
        "WHERE guest_email <> '') FROM raw.customers WHERE trim(email) <> '' "
        "QUALIFY count(*) OVER (PARTITION BY address) = 1 ORDER BY customer_id"
    ).fetchall()
    erased, changed = max(1, len(known) // 1_000), max(4, len(known) // 200)
    chosen = shop.rng.sample(known, erased + changed)
    for customer_id, email, _ in chosen[:erased]:
        for statement in ERASE:
            db.execute(statement, {"id": customer_id, "email": email} if "$email" in statement else {"id": customer_id})
    customers = [[at, row[0]] for row in chosen[erased:]]
    db.executemany("UPDATE raw.customers SET sms_consent = NOT sms_consent, updated_at = ? WHERE customer_id = ?", customers)
    # somebody moves to another address, and somebody else gets the old one (without orders that it made as a guest)
    *givers, (taker, _, _) = sorted(chosen[erased:])
    for giver, address in [row[:2] for row in givers if not row[2]][:1]:
        new = f"moved.{shop.rng.getrandbits(32):08x}@example.com"
        for customer_id, email in ((giver, new), (taker, address)):
            db.execute("UPDATE raw.customers SET email = ? WHERE customer_id = ?", [email, customer_id])
    orders = db.execute("SELECT order_id FROM raw.orders WHERE status <> 'edited' ORDER BY order_id").fetchall()
    edited = [[at, row[0]] for row in shop.rng.sample(orders, min(len(orders), max(1, len(orders) // 1_000)))]
    if edited:
        db.executemany("UPDATE raw.orders SET total = total + 5, shipping = shipping + 5, status = 'edited', "
                       "loaded_at = ? WHERE order_id = ?", edited)  # fmt: skip
    return len(customers) + len(edited), erased


def _news(db: Any, shop: _Shop, start: datetime) -> None:  # noqa: ANN401 DuckDB's connection
    """What happened since `start`, and what arrives only now."""
    rng, at = shop.rng, shop.now
    early = db.execute("SELECT order_id, refunded_at FROM raw.refunds WHERE order_id NOT IN "
                       "(SELECT order_id FROM raw.orders) ORDER BY order_id").fetchall()  # fmt: skip
    orders = db.execute("SELECT order_id, total, ordered_at FROM raw.orders WHERE order_id NOT IN "
                        "(SELECT order_id FROM raw.refunds) ORDER BY order_id").fetchall()  # fmt: skip
    known = db.execute("SELECT customer_id, country, created_at FROM raw.customers ORDER BY customer_id").fetchall()

    def visitor(row: tuple[Any, ...]) -> _Visitor:
        return _Visitor(customer_id=row[0], country=row[1])

    for _ in range(max(3, len(known) // 100)):
        _account(shop, _moment(shop, start, at))
    for row in rng.sample(known, min(len(known), max(5, len(known) // 40))):
        _visit(shop, visitor(row), _moment(shop, max(start, row[2].astimezone(UTC)), at))
    for _ in range(max(2, len(known) // 400)):
        _visit(shop, _guest(shop), _moment(shop, start, at))
    for order_id, total, ordered_at in rng.sample(orders, min(len(orders), max(1, len(orders) // 200))):
        _refund(shop, order_id, _moment(shop, max(start, ordered_at.astimezone(UTC)), at), float(total))
    for order_id, refunded_at in early:
        ordered_at = refunded_at.astimezone(UTC) - timedelta(hours=1)
        _order(shop, visitor(rng.choice(known)), _bag(shop), ordered_at, order_id=order_id, loaded=at)
    for row in rng.sample(known, max(1, len(known) // 2_000)):
        # late, but not yet too late to trigger a campaign
        _order(shop, visitor(row), _bag(shop), start - timedelta(minutes=rng.randint(4 * 60, 20 * 60)), loaded=at)
    _early_refund(shop)


def _count(db: Any, table: str) -> int:  # noqa: ANN401 DuckDB's connection
    return int(db.execute(f"SELECT count(*) FROM raw.{table}").fetchone()[0])  # noqa: S608 names of our own


def _counted(shop: _Shop) -> dict[str, int]:
    return {name: len(rows) for name, rows in shop.rows.items() if name != "shop_meta"}


def _moment(shop: _Shop, since: datetime, until: datetime) -> datetime:
    """Some second between two times, more often a late one."""
    span = max(0.0, (until - since).total_seconds())
    return (since + timedelta(seconds=span * shop.rng.random() ** 0.6)).replace(microsecond=0)


def _account(shop: _Shop, created: datetime) -> None:
    rng, number = shop.rng, shop.next("c")
    first, last = rng.choice(FIRST), rng.choice(LAST)
    customer_id = f"C{number:06d}"
    email: str | None = f"{first}.{last}.{number}@example.com".lower()
    spelling = rng.random()
    if spelling < 0.1:  # noqa: PLR2004 a tenth writes its address with capitals, some with a blank behind it
        email = f"{first}.{last}.{number}@Example.com" + " " * (spelling < 0.03)  # noqa: PLR2004
    elif spelling > 0.99:  # noqa: PLR2004 and some have none
        email = None if spelling > 0.995 else "  "  # noqa: PLR2004
    country = rng.choice(COUNTRIES)[0]
    created = created.replace(microsecond=0)
    shop.add("customers", customer_id, email, first, country, created, rng.random() < 0.4, rng.random() < 0.7, created)  # noqa: PLR2004


def _guest(shop: _Shop) -> _Visitor:
    """Somebody without an account: most give an address at the checkout, some of them that of an account."""
    rng, kind = shop.rng, shop.rng.random()
    email: str | None = f"guest.{rng.getrandbits(32):08x}@example.com"
    country = "GB"
    if kind < 0.1 and (accounts := shop.rows["customers"]):  # noqa: PLR2004
        account = rng.choice(accounts)
        email, country = (account[1] or "").strip().upper() or None, account[3]
    elif kind < 0.2 and (before := [(row[3], row[5]) for row in shop.rows["orders"] if row[3]]):  # noqa: PLR2004
        address, currency = rng.choice(before)
        email = " " + address.strip().capitalize()
        country = next(name for name, money in COUNTRIES if money == currency)
    elif kind > 0.8:  # noqa: PLR2004
        email = None
    return _Visitor(country=country, anonymous_id=f"A{rng.getrandbits(48):012x}", guest_email=email)


def _visit(shop: _Shop, who: _Visitor, at: datetime) -> None:
    """Views, perhaps a cart, perhaps a checkout, perhaps an order, perhaps a refund: nothing after the present."""
    rng, now = shop.rng, shop.now
    seen = rng.sample(PRODUCTS, rng.randint(1, 4))
    for i, (sku, name, category, price) in enumerate(seen):
        moment = min(at + timedelta(seconds=40 * i), now)
        shop.add("product_views", f"V{shop.next('v'):07d}", who.customer_id, who.anonymous_id, sku, name, category, price, moment)
    if rng.random() > 0.75:  # noqa: PLR2004 only looked
        return
    cart_id = f"K{shop.next('k'):06d}"
    bag = [(*product, rng.randint(1, 3)) for product in rng.sample(seen, rng.randint(1, len(seen)))]
    filled = min(at + timedelta(minutes=2), now)
    checkout = at + timedelta(minutes=rng.randint(3, 30))
    shop.add("carts", cart_id, who.customer_id, who.anonymous_id, filled, min(checkout, now), who.currency)
    for line, (sku, name, _, price, quantity) in enumerate(bag, 1):
        shop.add("cart_items", cart_id, line, sku, name, quantity, price)
    if rng.random() < 0.8 and checkout <= now:  # noqa: PLR2004 the others leave their cart
        shop.add("checkouts", f"H{shop.next('h'):06d}", cart_id, checkout)
        ordered = checkout + timedelta(minutes=2)
        if rng.random() < 0.8 and ordered <= now:  # noqa: PLR2004 the others leave the checkout
            order_id, total = _order(shop, who, bag, ordered, cart_id=cart_id)
            if rng.random() < 0.08:  # noqa: PLR2004
                _refund(shop, order_id, ordered + timedelta(hours=rng.uniform(1, 200)), total)


def _bag(shop: _Shop) -> list[tuple[Any, ...]]:
    return [(*product, shop.rng.randint(1, 3)) for product in shop.rng.sample(PRODUCTS, shop.rng.randint(1, 3))]


def _order(  # noqa: PLR0913 an order's parts
    shop: _Shop, who: _Visitor, bag: Sequence[tuple[Any, ...]], at: datetime, *,
    cart_id: str | None = None, order_id: str | None = None, loaded: datetime | None = None,
) -> tuple[str, float]:  # fmt: skip
    """An order and its lines, loaded five minutes later unless told otherwise; its id and total."""
    rng, order_id = shop.rng, order_id or f"O{shop.next('o'):06d}"
    subtotal = sum(price * quantity for *_, price, quantity in bag)
    discount = round(subtotal * 0.1, 2) if rng.random() < 0.2 else 0.0  # noqa: PLR2004
    shipping = 0.0 if subtotal > 100 else 4.9  # noqa: PLR2004
    tax = round((subtotal - discount) * 0.2, 2)
    total = round(subtotal - discount + shipping + tax, 2)
    loaded = loaded or min(at + timedelta(minutes=5), shop.now)
    shop.add("orders", order_id, cart_id, who.customer_id, who.guest_email, at, who.currency, subtotal, discount,
             shipping, tax, total, "completed", loaded)  # fmt: skip
    for line, (sku, name, category, price, quantity) in enumerate(bag, 1):
        shop.add("order_items", order_id, line, sku, name, category, quantity, price)
    return order_id, total


def _refund(shop: _Shop, order_id: str, at: datetime, total: float) -> None:
    """Money back, half of the time only a part of it; nothing where the present has not come to it."""
    rng, at = shop.rng, at.replace(microsecond=0)
    amount = total if rng.random() < 0.5 else round(total * rng.uniform(0.2, 0.8), 2)  # noqa: PLR2004
    if at <= shop.now:
        loaded = min(at + timedelta(minutes=5), shop.now)
        shop.add("refunds", f"R{shop.next('r'):06d}", order_id, at, amount, rng.choice(REASONS), loaded)


def _early_refund(shop: _Shop) -> None:
    """A refund whose order has its number already and arrives a day later."""
    moment = shop.now - timedelta(hours=3)
    shop.add("refunds", f"R{shop.next('r'):06d}", f"O{shop.next('o'):06d}", moment, 5.0, "damaged", moment)


def _mess_of_accounts(shop: _Shop) -> None:
    """Several accounts of one address in other spellings, and an address that changed hands."""
    accounts = shop.rows["customers"]
    named = [row for row in accounts if row[1] and row[1].strip()]
    giver, taker, *others = named
    for original in shop.rng.sample(others, max(2, len(others) // 80)):
        _account(shop, shop.now - timedelta(days=shop.rng.uniform(0.1, 90)))
        accounts[-1][1] = original[1].strip().upper()
        accounts[-1][3] = original[3]  # one person, one country: their orders are in one currency
    taker[1], giver[1] = giver[1], f"new.{giver[0].lower()}@example.com"


def _mess_of_orders(shop: _Shop) -> None:
    """Refunds whose order has not arrived, orders that arrived hours or days late, and orders edited after the fact."""
    orders = shop.rows["orders"]
    for order in shop.rng.sample(orders, max(1, len(orders) // 100)):
        order[12] = min(order[4] + timedelta(minutes=shop.rng.randint(4 * 60, 120 * 60)), shop.now)
    for order in shop.rng.sample(orders, max(1, len(orders) // 300)):
        order[11] = "edited"
    for _ in range(max(1, len(orders) // 500)):
        _early_refund(shop)


def _store(path: Path, shop: _Shop) -> None:
    """Make the schema anew, with these rows."""
    import duckdb  # noqa: PLC0415 the engine is loaded by the commands that use it

    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute("BEGIN")
        db.execute("DROP SCHEMA IF EXISTS raw CASCADE")
        db.execute("CREATE SCHEMA raw")
        for name, columns in TABLES.items():
            db.execute(f"CREATE TABLE raw.{name} ({columns})")
        _fill(db, shop)
        db.execute("COMMIT")


def _fill(db: Any, shop: _Shop) -> None:  # noqa: ANN401 DuckDB's connection
    """Load through CSV files: row-by-row inserts would take a hundred times as long."""
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in shop.rows.items():
            if rows:
                file = Path(folder) / f"{name}.csv"
                _write(file, rows)
                quoted = str(file).replace("'", "''")
                db.execute(f"COPY raw.{name} FROM '{quoted}' (HEADER false, NULLSTR '')")


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
    if o.command == "build" and o.customers < MIN_CUSTOMERS:
        parser.error(f"a shop has at least {MIN_CUSTOMERS} customers")
    if o.command == "build":
        counts = build(o.path, seed=o.seed, customers=o.customers)
    else:
        counts = advance(o.path, seed=o.seed, hours=o.hours)
    sys.stdout.write(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
