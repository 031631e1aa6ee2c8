"""A synthetic Shopify shop as Fivetran loads it: seeded, with the mess of a real one. No person or order in it exists.

`build` makes Fivetran's tables in a DuckDB file (schema `shopify`), and those of a website's events (schema `web`);
`advance` lets time pass in it. E-mail addresses end in example.com, telephone numbers begin with +1555. What real shops
have is here on purpose: two accounts of one address in two spellings, guests at the checkout and at the till, orders of
accounts that were erased, test orders, orders that were cancelled before and after they were paid, customers who pay in other
money than the shop's, gift cards, products without a SKU, refunds of lines, of shipping and of nothing, refunds that arrive
before their order, deleted rows, and columns that are not there because nothing was ever in them.
"""

from __future__ import annotations

import csv
import json
import random
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from revetl.sample import FIRST, LAST, MIN_CUSTOMERS, PRODUCTS

SHOP_CURRENCY = "EUR"
# a country, its language, what its customers pay in, and how much of it is one euro
MARKETS = (("DE", "de-DE", "EUR", 1.0), ("FR", "fr-FR", "EUR", 1.0), ("GB", "en-GB", "GBP", 0.86),
           ("US", "en-US", "USD", 1.08), ("CH", "de-CH", "CHF", 0.95))  # fmt: skip
LONG, DOUBLE, TEXT, BOOL, INSTANT = "BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "TIMESTAMPTZ"

# columns as Fivetran names and types them; of each table those that shops use most
TABLES: dict[str, dict[str, str]] = {
    "shopify.customer": {
        "id": LONG, "email": TEXT, "phone": TEXT, "first_name": TEXT, "last_name": TEXT, "state": TEXT, "created_at": INSTANT,
        "updated_at": INSTANT, "accepts_marketing": BOOL, "email_marketing_consent_state": TEXT, "_fivetran_synced": INSTANT,
    },
    "shopify.order": {
        "id": LONG, "name": TEXT, "order_number": LONG, "customer_id": LONG, "email": TEXT, "created_at": INSTANT,
        "processed_at": INSTANT, "updated_at": INSTANT, "cancelled_at": INSTANT, "financial_status": TEXT,
        "fulfillment_status": TEXT, "currency": TEXT, "presentment_currency": TEXT, "taxes_included": BOOL,
        "total_line_items_price": DOUBLE, "total_discounts": DOUBLE, "subtotal_price": DOUBLE, "total_tax": DOUBLE,
        "total_price": DOUBLE, "total_price_set": TEXT, "total_shipping_price_set": TEXT, "cart_token": TEXT,
        "checkout_token": TEXT, "source_name": TEXT, "customer_locale": TEXT, "shipping_address_country_code": TEXT,
        "buyer_accepts_marketing": BOOL, "test": BOOL, "_fivetran_deleted": BOOL, "_fivetran_synced": INSTANT,
    },
    "shopify.order_line": {
        "id": LONG, "order_id": LONG, "index": LONG, "sku": TEXT, "variant_id": LONG, "title": TEXT, "name": TEXT,
        "quantity": LONG, "price": DOUBLE, "total_discount": DOUBLE, "gift_card": BOOL, "_fivetran_synced": INSTANT,
    },
    "shopify.order_discount_code": {
        "order_id": LONG, "index": LONG, "code": TEXT, "type": TEXT, "amount": DOUBLE, "_fivetran_synced": INSTANT,
    },
    "shopify.order_shipping_line": {
        "id": LONG, "order_id": LONG, "title": TEXT, "price": DOUBLE, "discounted_price": DOUBLE, "_fivetran_synced": INSTANT,
    },
    "shopify.refund": {
        "id": LONG, "order_id": LONG, "created_at": INSTANT, "processed_at": INSTANT, "note": TEXT, "restock": BOOL,
        "_fivetran_synced": INSTANT,
    },
    "shopify.order_line_refund": {
        "id": LONG, "refund_id": LONG, "order_line_id": LONG, "quantity": DOUBLE, "restock_type": TEXT, "subtotal": DOUBLE,
        "total_tax": DOUBLE, "_fivetran_synced": INSTANT,
    },
    "shopify.order_adjustment": {
        "id": LONG, "order_id": LONG, "refund_id": LONG, "amount": DOUBLE, "tax_amount": DOUBLE, "kind": TEXT, "reason": TEXT,
        "_fivetran_synced": INSTANT,
    },
    "shopify.abandoned_checkout": {
        "id": LONG, "token": TEXT, "cart_token": TEXT, "customer_id": LONG, "email": TEXT, "created_at": INSTANT,
        "updated_at": INSTANT, "completed_at": INSTANT, "currency": TEXT, "presentment_currency": TEXT,
        "total_line_items_price": DOUBLE, "subtotal_price": DOUBLE, "total_discounts": DOUBLE, "total_tax": DOUBLE,
        "total_price": DOUBLE, "abandoned_checkout_url": TEXT, "customer_locale": TEXT, "shipping_address_country_code": TEXT,
        "buyer_accepts_marketing": BOOL, "_fivetran_deleted": BOOL, "_fivetran_synced": INSTANT,
    },
    "shopify.abandoned_checkout_line": {
        "checkout_id": LONG, "index": LONG, "sku": TEXT, "variant_id": LONG, "title": TEXT, "quantity": LONG, "price": DOUBLE,
        "_fivetran_synced": INSTANT,
    },
    "web.product_viewed": {
        "id": TEXT, "user_id": TEXT, "anonymous_id": TEXT, "sku": TEXT, "name": TEXT, "category": TEXT, "price": DOUBLE,
        "currency": TEXT, "timestamp": INSTANT,
    },
    "web.product_added": {
        "id": TEXT, "user_id": TEXT, "anonymous_id": TEXT, "cart_id": TEXT, "sku": TEXT, "name": TEXT, "category": TEXT,
        "price": DOUBLE, "currency": TEXT, "quantity": LONG, "timestamp": INSTANT,
    },
    "shopify.sample_meta": {"seed": LONG, "day": LONG, "now": INSTANT},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Buyer:
    """Somebody in the shop: with an account, or with an address only, or nobody that one could write to."""

    market: tuple[str, str, str, float]
    customer_id: int | None = None
    email: str | None = None
    consent: bool = False


@dataclass(slots=True)
class _Shop:
    """Rows made so far by table, and what later rows depend on; nothing is later than `now`."""

    rng: random.Random
    now: datetime
    number: int = 0
    rows: dict[str, list[list[Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def id(self) -> int:
        """The next of Shopify's ids, which are unique in the whole shop here."""
        self.number += 1
        return 5_000_000_000 + self.number

    def token(self) -> str:
        return f"{self.rng.getrandbits(128):032x}"

    def add(self, table: str, **values: Any) -> None:  # noqa: ANN401 a row
        """A row by the names of its columns; what is not named is NULL."""
        columns = TABLES[table]
        if unknown := set(values) - set(columns):
            raise KeyError(f"{table} has no column {sorted(unknown)}")
        if "_fivetran_synced" in columns:
            values.setdefault("_fivetran_synced", self.now)
        self.rows[table].append([values.get(name) for name in columns])


def build(path: str | Path, *, seed: int = 7, customers: int = 600, now: datetime | None = None) -> dict[str, int]:
    """(Re)create the schemas `shopify` and `web` in a DuckDB file, in one transaction; rows by table.

    Args:
        seed: the same seed, size and `now` give the same shop.
        customers: accounts; about as many orders and half as many abandoned checkouts come with them.
        now: the shop's present. Two days ago unless given, so that it can be advanced twice.

    Raises:
        ValueError: fewer than twenty customers, which leaves no room for the mess.
    """
    if customers < MIN_CUSTOMERS:
        raise ValueError(f"a shop has at least {MIN_CUSTOMERS} customers, not {customers}")
    at = (now or datetime.now(UTC) - timedelta(days=2)).astimezone(UTC).replace(microsecond=0)
    shop = _Shop(random.Random(seed), at)  # noqa: S311 sample data
    buyers = [_account(shop, at - timedelta(days=shop.rng.uniform(1, 500))) for _ in range(customers)]
    _second_accounts(shop, buyers)
    # accounts that Shopify erased: their orders are still there
    buyers += [_Buyer(market=shop.rng.choice(MARKETS), customer_id=shop.id()) for _ in range(max(1, customers // 100))]
    for buyer in buyers:
        for _ in range(shop.rng.choices((0, 1, 2, 3), (35, 40, 15, 10))[0]):
            _visit(shop, buyer, at - timedelta(days=shop.rng.uniform(0, 300)))
    for _ in range(customers // 8):
        _visit(shop, _guest(shop), at - timedelta(days=shop.rng.uniform(0, 200)))
    _refund_without_order(shop)
    shop.add("shopify.sample_meta", seed=seed, day=0, now=at)
    _store(Path(path), shop, fresh=True)
    return _counted(shop)


def advance(
    path: str | Path, *, seed: int | None = None, hours: float = 24, now: datetime | None = None
) -> dict[str, int]:
    """Let time pass in a shop; new rows by table, and rows that changed. All or nothing.

    Args:
        hours: how far; never beyond the present, and a shop that nobody opened for days goes on in the last day.
        seed: of the changes; by default the shop's own and the number of times it was advanced.
        now: the present, by this machine's clock unless given.
    """
    import duckdb  # noqa: PLC0415 the engine is loaded by the commands that use it

    with duckdb.connect(str(path), read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        found = db.execute("SELECT seed, day, now FROM shopify.sample_meta").fetchone()
        assert found is not None  # noqa: S101 build wrote it
        known = db.execute("SELECT id, lower(trim(email)) FROM shopify.customer ORDER BY id").fetchall()
        early = db.execute("SELECT order_id FROM shopify.refund WHERE order_id NOT IN (SELECT id FROM shopify.order)").fetchall()
    first, day = int(found[0]), int(found[1]) + 1
    was: datetime = found[2].astimezone(UTC)
    present = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    at = min(max(was + timedelta(hours=hours), present - timedelta(days=1)), max(was, present))
    start = at - timedelta(hours=hours)
    rng = random.Random(seed if seed is not None else first * 1_000 + day)  # noqa: S311 sample data
    shop = _Shop(rng, at, number=10_000_000 * day)

    def moment() -> datetime:
        return (start + (at - start) * rng.random()).replace(microsecond=0)

    def known_buyer() -> _Buyer:
        customer_id, email = rng.choice(known)
        return _Buyer(market=rng.choice(MARKETS), customer_id=customer_id, email=email)

    for _ in range(max(2, len(known) // 100)):
        _visit(shop, _account(shop, moment()), at)
    for _ in range(max(5, len(known) // 30)):
        _visit(shop, known_buyer(), moment())
    for _ in range(max(2, len(known) // 200)):
        _visit(shop, _guest(shop), moment())
    for (order_id,) in early:  # the order of a refund that came first
        _order(shop, known_buyer(), _bag(shop), start, order_id=order_id)
    _refund_without_order(shop)
    shop.add("shopify.sample_meta", seed=first, day=day, now=at)
    changed = [(at, row[0]) for row in rng.sample(known, max(3, len(known) // 100))]
    _store(Path(path), shop, fresh=False, unsubscribed=changed)
    return {**_counted(shop), "changed rows": len(changed)}


def _counted(shop: _Shop) -> dict[str, int]:
    return {name.partition(".")[2]: len(rows) for name, rows in shop.rows.items() if not name.endswith("sample_meta")}


def _account(shop: _Shop, created: datetime) -> _Buyer:
    rng, customer_id = shop.rng, shop.id()
    first, last = rng.choice(FIRST), rng.choice(LAST)
    email: str | None = f"{first}.{last}.{customer_id % 100_000_000}@example.com".lower()
    consent = rng.random() < 0.6  # noqa: PLR2004
    phone = rng.choices((f"+1555{rng.randrange(10**7):07d}", "(555) 010 99", None), (30, 5, 65))[0]
    if rng.random() < 0.02:  # noqa: PLR2004 an account made by telephone
        email, phone = None, f"+1555{rng.randrange(10**7):07d}"
    # an older account has the old column only, some of the newer ones have not confirmed yet
    state = rng.choices(("subscribed" if consent else "not_subscribed", "pending", None), (70, 5, 25))[0]
    created = created.replace(microsecond=0)
    shop.add(
        "shopify.customer", id=customer_id, email=email, phone=phone, first_name=first, last_name=last, created_at=created,
        state=rng.choice(("enabled", "disabled", "invited")), updated_at=created, accepts_marketing=consent,
        email_marketing_consent_state=state,
    )  # fmt: skip
    return _Buyer(market=rng.choice(MARKETS), customer_id=customer_id, email=email, consent=consent)


def _second_accounts(shop: _Shop, buyers: list[_Buyer]) -> None:
    """Accounts that have the address of another one, in capitals and with a blank behind it, and that want no letters."""
    originals = [buyer for buyer in buyers if buyer.email and buyer.consent]
    for original in shop.rng.sample(originals, max(2, len(buyers) // 80)):
        buyers.append(_account(shop, shop.now - timedelta(days=shop.rng.uniform(0.1, 20))))
        account = shop.rows["shopify.customer"][-1]
        names = list(TABLES["shopify.customer"])
        account[names.index("email")] = f"{(original.email or '').upper()} "
        account[names.index("email_marketing_consent_state")] = "unsubscribed"


def _guest(shop: _Shop) -> _Buyer:
    """Somebody without an account: most give an address, some of them that of an account; at the till nobody does."""
    rng, kind = shop.rng, shop.rng.random()
    email: str | None = f"guest.{rng.getrandbits(32):08x}@example.com"
    accounts = [row[1] for row in shop.rows["shopify.customer"] if row[1]]
    if kind < 0.15 and accounts:  # noqa: PLR2004
        email = str(rng.choice(accounts)).upper()
    elif kind > 0.85:  # noqa: PLR2004
        email = None
    return _Buyer(market=rng.choice(MARKETS), email=email, consent=rng.random() < 0.5)  # noqa: PLR2004


Bag = list[tuple[str | None, str, int, float, bool]]


def _bag(shop: _Shop) -> Bag:
    """SKU, name, quantity, price, and whether it is a gift card."""
    rng = shop.rng
    bag: Bag = [(sku if rng.random() > 0.05 else None, name, rng.randint(1, 3), float(price), False)  # noqa: PLR2004
                for sku, name, _, price in rng.sample(PRODUCTS, rng.randint(1, 4))]  # fmt: skip
    if rng.random() < 0.05:  # noqa: PLR2004
        bag.append((None, "Gift card", 1, 50.0, True))
    return bag


def _visit(shop: _Shop, who: _Buyer, at: datetime) -> None:
    """Views, a cart, perhaps a checkout that is left, perhaps an order, perhaps a refund: nothing after the present."""
    rng, at = shop.rng, min(at, shop.now).replace(microsecond=0)
    bag, cart, user = _bag(shop), shop.token(), str(who.customer_id) if who.customer_id else None
    anonymous = None if user else shop.token()[:16]
    for sku, name, quantity, price, _ in bag:
        about = {"user_id": user, "anonymous_id": anonymous, "sku": sku or name, "name": name, "price": price,
                 "category": name.split()[0].lower(), "currency": SHOP_CURRENCY, "timestamp": at}  # fmt: skip
        shop.add("web.product_viewed", id=shop.token(), **about)
        shop.add("web.product_added", id=shop.token(), cart_id=cart, quantity=quantity, **about)
    started, ordered = at + timedelta(minutes=rng.randint(3, 30)), at + timedelta(minutes=40)
    if ordered > shop.now:
        return
    left = rng.random() < 0.45 and (who.customer_id is not None or who.email is not None)  # noqa: PLR2004
    back = rng.random() < 0.35  # noqa: PLR2004
    checkout = shop.token()
    if left:
        _checkout(shop, who, bag, started, (cart, checkout), ordered if back else None)
    if not left or back:
        _order(shop, who, bag, ordered, tokens=(cart, checkout))


def _checkout(  # noqa: PLR0913 a checkout's parts
    shop: _Shop, who: _Buyer, bag: Bag, at: datetime, tokens: tuple[str, str], completed: datetime | None
) -> None:  # fmt: skip
    """A checkout that was left: its amounts are in what the customer would pay in."""
    checkout_id, (country, locale, currency, rate) = shop.id(), who.market
    lines = round(sum(quantity * round(price * rate, 2) for _, _, quantity, price, _ in bag), 2)
    tax = round(lines * 0.2, 2)
    shop.add(
        "shopify.abandoned_checkout", id=checkout_id, token=tokens[1], cart_token=tokens[0], customer_id=who.customer_id,
        email=who.email, created_at=at, updated_at=at, completed_at=completed, currency=SHOP_CURRENCY,
        presentment_currency=currency, total_line_items_price=lines, subtotal_price=lines, total_discounts=0.0, total_tax=tax,
        total_price=round(lines + tax, 2), abandoned_checkout_url=f"https://shop.example.com/checkouts/{tokens[1]}/recover",
        customer_locale=locale, shipping_address_country_code=country, buyer_accepts_marketing=who.consent,
        _fivetran_deleted=shop.rng.random() < 0.02,  # noqa: PLR2004
    )  # fmt: skip
    for index, (sku, name, quantity, price, _) in enumerate(bag, 1):
        shop.add("shopify.abandoned_checkout_line", checkout_id=checkout_id, index=index, sku=sku, variant_id=_variant(name),
                 title=name, quantity=quantity, price=round(price * rate, 2))  # fmt: skip


def _variant(name: str) -> int:
    return 40_000_000 + sum(map(ord, name))


def _order(  # noqa: PLR0913 an order's parts
    shop: _Shop, who: _Buyer, bag: Bag, at: datetime, *, tokens: tuple[str, str] | None = None, order_id: int | None = None
) -> None:  # fmt: skip
    """An order, with its lines, codes and shipping, and what becomes of it."""
    rng, plain = shop.rng, order_id is not None
    order_id = order_id or shop.id()
    country, locale, presentment, rate = who.market
    till = who.customer_id is None and who.email is None
    lines = round(sum(quantity * price for _, _, quantity, price, _ in bag), 2)
    discount = round(lines * 0.1, 2) if rng.random() < 0.25 else 0.0  # noqa: PLR2004
    subtotal = round(lines - discount, 2)
    shipping = 0.0 if subtotal > 100 or till else 4.9  # noqa: PLR2004
    included = rng.random() < 0.7  # noqa: PLR2004
    tax = round(subtotal / 6 if included else subtotal * 0.2, 2)
    total = round(subtotal + shipping + (0 if included else tax), 2)
    fate = "paid" if plain else rng.choices(
        ("paid", "refunded", "part", "nothing", "voided", "cancelled", "test", "deleted", "pending"), (78, 4, 5, 2, 3, 2, 2, 2, 2)
    )[0]  # fmt: skip
    status = {"refunded": "refunded", "part": "partially_refunded", "voided": "voided", "pending": "pending",
              "cancelled": "refunded"}.get(fate, "paid")  # fmt: skip
    later = min(at + timedelta(hours=rng.uniform(1, 100)), shop.now)
    shop.add(
        "shopify.order", id=order_id, name=f"#{order_id % 1_000_000_000}", order_number=order_id % 1_000_000_000,
        customer_id=who.customer_id, email=who.email, created_at=at, processed_at=at, updated_at=at,
        cancelled_at=later if fate in {"voided", "cancelled"} else None, financial_status=status, currency=SHOP_CURRENCY,
        presentment_currency=presentment, taxes_included=included, total_line_items_price=lines, total_discounts=discount,
        subtotal_price=subtotal, total_tax=tax, total_price=total, total_price_set=_set(total, presentment, rate),
        # some orders were loaded before Shopify had this column: their shipping is in the lines of it only
        total_shipping_price_set=_set(shipping, presentment, rate) if rng.random() < 0.9 else None,  # noqa: PLR2004
        cart_token=tokens[0] if tokens and not till else None, checkout_token=tokens[1] if tokens and not till else None,
        source_name="pos" if till else "web", customer_locale=locale, shipping_address_country_code=None if till else country,
        buyer_accepts_marketing=who.consent, test=fate == "test", _fivetran_deleted=fate == "deleted",
    )  # fmt: skip
    for index, (sku, name, quantity, price, card) in enumerate(bag, 1):
        shop.add("shopify.order_line", id=shop.id(), order_id=order_id, index=index, sku=sku, title=name, name=name,
                 variant_id=None if card else _variant(name), quantity=quantity, price=price, total_discount=0.0,
                 gift_card=card)  # fmt: skip
    shop.add("shopify.order_shipping_line", id=shop.id(), order_id=order_id, title="Standard", price=4.9,
             discounted_price=shipping)  # fmt: skip
    if discount:
        shop.add("shopify.order_discount_code", order_id=order_id, index=1, code="WELCOME10", type="percentage", amount=discount)
    if fate in {"refunded", "cancelled"}:
        _refund(shop, order_id, later, bag, subtotal, 0.0 if included else tax, shipping)
    elif fate == "part":
        _refund(shop, order_id, later, bag[:1], round(bag[0][3] * 0.5, 2), 0.0, 0.0)
    elif fate == "nothing":  # only put back on the shelf
        _refund(shop, order_id, later, bag[:1], 0.0, 0.0, 0.0)
    elif fate == "test":
        _refund(shop, order_id, later, bag, subtotal, 0.0, 0.0)


def _set(amount: float, presentment: str, rate: float) -> str:
    """An amount as Shopify's REST API has it: in the shop's money, and in the customer's."""
    return json.dumps({
        "shop_money": {"amount": f"{amount:.2f}", "currency_code": SHOP_CURRENCY},
        "presentment_money": {"amount": f"{amount * rate:.2f}", "currency_code": presentment},
    })


def _refund(  # noqa: PLR0913 a refund's parts
    shop: _Shop, order_id: int, at: datetime, bag: Bag, subtotal: float, tax: float, shipping: float
) -> None:  # fmt: skip
    refund_id, at = shop.id(), at.replace(microsecond=0)
    shop.add("shopify.refund", id=refund_id, order_id=order_id, created_at=at, processed_at=at, restock=True)
    shop.add("shopify.order_line_refund", id=shop.id(), refund_id=refund_id, quantity=float(sum(line[2] for line in bag)),
             restock_type="return", subtotal=subtotal, total_tax=tax)  # fmt: skip
    if shipping:
        shop.add("shopify.order_adjustment", id=shop.id(), order_id=order_id, refund_id=refund_id, amount=-shipping,
                 tax_amount=0.0, kind="shipping_refund", reason="Shipping refund")  # fmt: skip


def _refund_without_order(shop: _Shop) -> None:
    """A refund whose order has its number already and arrives a day later."""
    _refund(shop, shop.id(), shop.now - timedelta(hours=3), _bag(shop), 7.0, 0.0, 0.0)


def _store(path: Path, shop: _Shop, *, fresh: bool, unsubscribed: list[tuple[datetime, int]] | None = None) -> None:
    """Write the rows in one transaction, through CSV files: one by one would take a hundred times as long."""
    import duckdb  # noqa: PLC0415 the engine is loaded by the commands that use it

    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as db, tempfile.TemporaryDirectory() as folder:
        db.execute("SET TimeZone = 'UTC'")
        db.execute("BEGIN")
        if fresh:
            for schema in ("shopify", "web"):
                db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
                db.execute(f"CREATE SCHEMA {schema}")
            for name, columns in TABLES.items():
                typed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
                db.execute(f"CREATE TABLE {_quoted(name)} ({typed})")
        else:
            db.execute("DELETE FROM shopify.sample_meta")
        if unsubscribed:
            db.executemany("UPDATE shopify.customer SET email_marketing_consent_state = 'unsubscribed', updated_at = $1, "
                           "accepts_marketing = false, _fivetran_synced = $1 WHERE id = $2", unsubscribed)  # fmt: skip
        for name, rows in shop.rows.items():
            if rows:
                file = Path(folder) / f"{name}.csv"
                with file.open("w", newline="") as out:
                    csv.writer(out).writerows([_text(value) for value in row] for row in rows)
                quoted = str(file).replace("'", "''")
                db.execute(f"COPY {_quoted(name)} FROM '{quoted}' (HEADER false, NULLSTR '', QUOTE '\"', ESCAPE '\"')")
        db.execute("COMMIT")


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


def _text(value: Any) -> Any:  # noqa: ANN401 a value of a row
    return "" if value is None else value.isoformat() if isinstance(value, datetime) else value
