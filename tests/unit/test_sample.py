"""The made-up shop: the same every time, as messy as promised, and right where a real shop is right."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revetl import sample

ROOT = Path(__file__).parents[2]
INIT = ROOT / "revetl" / "templates" / "init"
NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
SIZE = 300
DAY = timedelta(days=1)


def ask(path: Path, sql: str, values: Sequence[Any] = ()) -> list[Any]:
    """Rows of the schema `raw`; of one column, its values."""
    with duckdb.connect(str(path)) as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute("USE raw")
        rows = db.execute(sql, values).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def count(path: Path, sql: str) -> int:
    """How many rows a query gives."""
    return len(ask(path, sql))


def fingerprint(path: Path) -> str:
    """Everything in the shop."""
    every = {table: ask(path, f"SELECT * FROM {table} ORDER BY ALL") for table in sample.TABLES}
    return hashlib.sha256(repr(every).encode()).hexdigest()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "it's a shop" / "shop.duckdb"
    sample.build(path, customers=SIZE, now=NOW)
    return path


# --- the same every time ---------------------------------------------------------------------------------------------


def test_seed_size_and_time_decide_everything(shop: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "same.duckdb", tmp_path / "other.duckdb"
    sample.build(same, customers=SIZE, now=NOW)
    sample.build(other, customers=SIZE, now=NOW, seed=8)
    assert fingerprint(same) == fingerprint(shop) != fingerprint(other)

    for path in (shop, same, other):
        sample.advance(path, now=NOW + 2 * DAY)
    assert fingerprint(same) == fingerprint(shop) != fingerprint(other)


def test_build_begins_anew_and_leaves_other_schemas_alone(shop: Path) -> None:
    before = fingerprint(shop)
    sample.advance(shop, now=NOW + 2 * DAY)
    ask(shop, "CREATE TABLE main.mine AS SELECT 1 AS x")

    sample.build(shop, customers=SIZE, now=NOW)

    assert fingerprint(shop) == before
    assert ask(shop, "SELECT x FROM main.mine") == [1]


def test_what_is_told_is_what_is_there(shop: Path) -> None:
    told = sample.build(shop, customers=SIZE, now=NOW)
    assert told == {name: ask(shop, f"SELECT count(*) FROM {name}")[0] for name in sample.TABLES if name != "shop_meta"}
    assert all(told.values())

    new = sample.advance(shop, now=NOW + 2 * DAY)
    orders = ask(shop, "SELECT count(*) FROM orders")[0]
    customers = ask(shop, "SELECT count(*) FROM customers")[0]
    assert orders == told["orders"] + new["orders"]
    assert customers == told["customers"] + new["customers"] - new["erased customers"]


# --- as messy as promised --------------------------------------------------------------------------------------------

MESS = {
    "guests": "SELECT 1 FROM orders WHERE customer_id IS NULL AND guest_email IS NOT NULL",
    "guests without an address": "SELECT 1 FROM orders WHERE customer_id IS NULL AND guest_email IS NULL",
    "guests with an account's address": "SELECT 1 FROM orders o JOIN customers c "
    "ON lower(trim(o.guest_email)) = lower(trim(c.email))",
    "guests who came again, spelled otherwise": "SELECT lower(trim(guest_email)) e FROM orders GROUP BY e "
    "HAVING count(DISTINCT guest_email) > 1",
    "accounts that share an address": "SELECT lower(trim(email)) e FROM customers WHERE trim(email) <> '' GROUP BY e "
    "HAVING count(*) > 1",
    "addresses with capitals": "SELECT 1 FROM customers WHERE email <> lower(email)",
    "addresses with blanks": "SELECT 1 FROM customers WHERE trim(email) <> '' AND email <> trim(email)",
    "accounts without an address": "SELECT 1 FROM customers WHERE email IS NULL OR trim(email) = ''",
    "an address that changed hands": "SELECT 1 FROM customers g JOIN customers t ON g.email = 'new.' || "
    "lower(g.customer_id) || '@example.com' AND t.email LIKE '%.' || CAST(substr(g.customer_id, 2) AS INT) || '@%'",
    "carts that are never bought": "SELECT 1 FROM carts ANTI JOIN orders USING (cart_id)",
    "carts of nobody": "SELECT 1 FROM carts WHERE customer_id IS NULL AND anonymous_id IS NOT NULL",
    "partial refunds": "SELECT 1 FROM refunds r JOIN orders o USING (order_id) WHERE r.amount < o.total",
    "full refunds": "SELECT 1 FROM refunds r JOIN orders o USING (order_id) WHERE r.amount = o.total",
    "refunds before their order": "SELECT 1 FROM refunds ANTI JOIN orders USING (order_id)",
    "orders that arrived late": "SELECT 1 FROM orders WHERE loaded_at - ordered_at > INTERVAL 4 HOUR",
    "orders edited after the fact": "SELECT 1 FROM orders WHERE status = 'edited'",
    "events of the last day": "SELECT 1 FROM product_views WHERE viewed_at > (SELECT now - INTERVAL 1 DAY FROM shop_meta)",
}  # fmt: skip


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop as `revetl init` makes it, at another time."""
    path = tmp_path_factory.mktemp("standard") / "shop.duckdb"
    sample.build(path, now=NOW)
    return path


@pytest.mark.parametrize("mess", MESS)
def test_the_mess_is_there(standard: Path, mess: str) -> None:
    assert count(standard, MESS[mess]) > 0


# --- right where a shop is right -------------------------------------------------------------------------------------

WRONG = {
    "an amount that does not add up": "SELECT 1 FROM orders WHERE total <> subtotal - discount + shipping + tax OR total <= 0",
    "lines that are not the subtotal": "SELECT order_id FROM orders LEFT JOIN order_items USING (order_id) "
    "GROUP BY order_id, subtotal HAVING subtotal IS DISTINCT FROM sum(quantity * price)",
    "an empty cart": "SELECT 1 FROM carts WHERE cart_id NOT IN (SELECT cart_id FROM cart_items)",
    "more money back than was paid": "SELECT order_id FROM orders JOIN refunds USING (order_id) "
    "GROUP BY order_id, total HAVING sum(amount) > total",
    "an id given twice": " UNION ALL ".join(
        f"SELECT CAST({key} AS VARCHAR) FROM {table} GROUP BY {key} HAVING count(*) > 1"
        for table, key in {"customers": "customer_id", "orders": "order_id", "refunds": "refund_id", "carts": "cart_id",
                           "checkouts": "checkout_id", "product_views": "view_id", "order_items": "(order_id, line)"}.items()
    ),
    "an address of a real domain": "SELECT 1 FROM customers WHERE trim(email) <> '' AND trim(email) NOT ILIKE '%@example.com' "
    "UNION ALL SELECT 1 FROM orders WHERE trim(guest_email) NOT ILIKE '%@example.com'",
    "somebody with an account and without": "SELECT 1 FROM orders WHERE customer_id IS NOT NULL AND guest_email IS NOT NULL",
    "an order of an unknown account": "SELECT customer_id FROM orders ANTI JOIN customers USING (customer_id) "
    "WHERE customer_id IS NOT NULL",
    "a refund before its order was made": "SELECT 1 FROM refunds JOIN orders USING (order_id) WHERE refunded_at < ordered_at",
    "a checkout before its cart": "SELECT 1 FROM checkouts JOIN carts USING (cart_id) WHERE started_at < created_at",
    "a row loaded before it was made": "SELECT 1 FROM orders WHERE loaded_at < ordered_at "
    "UNION ALL SELECT 1 FROM refunds WHERE loaded_at < refunded_at",
    "two currencies of one address": "SELECT lower(trim(coalesce(guest_email, email))) e FROM orders "
    "LEFT JOIN customers USING (customer_id) WHERE e <> '' GROUP BY e HAVING count(DISTINCT currency) > 1",
}  # fmt: skip
TIMES = {"customers": "created_at", "orders": "ordered_at", "refunds": "refunded_at", "carts": "created_at",
         "checkouts": "started_at", "product_views": "viewed_at"}  # fmt: skip


def wrongs(path: Path) -> dict[str, int]:
    """What is wrong, and how often."""
    found = {name: count(path, sql) for name, sql in WRONG.items()}
    for table, column in TIMES.items():
        found[f"{table} of the future"] = count(path, f"SELECT 1 FROM {table} WHERE {column} > (SELECT now FROM shop_meta)")
    return {name: n for name, n in found.items() if n}


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), size=st.integers(sample.MIN_CUSTOMERS, 120), days=st.integers(0, 2))
def test_no_shop_is_wrong(tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, days: int) -> None:
    path = tmp_path_factory.mktemp("any") / "shop.duckdb"
    sample.build(path, seed=seed, customers=size, now=NOW)
    for day in range(1, days + 1):
        sample.advance(path, now=NOW + day * DAY)
    assert wrongs(path) == {}


def test_the_standard_shop_is_not_wrong(standard: Path) -> None:
    assert wrongs(standard) == {}


# --- a day passes ----------------------------------------------------------------------------------------------------


def test_a_day_brings_news_of_every_kind(shop: Path) -> None:
    before = {table: set(ask(shop, f"SELECT {column} FROM {table}")) for table, column in
              {"customers": "customer_id", "orders": "order_id", "refunds": "refund_id", "carts": "cart_id",
               "checkouts": "checkout_id", "product_views": "view_id"}.items()}  # fmt: skip
    sample.advance(shop, now=NOW + 2 * DAY)

    for table, column in TIMES.items():
        key = ask(shop, "SELECT column_name FROM information_schema.columns WHERE table_schema = 'raw' AND table_name = ? "
                        "AND ordinal_position = 1", [table])[0]  # fmt: skip
        new = [at for row, at in ask(shop, f"SELECT {key}, {column} FROM {table}") if row not in before[table]]
        assert new, table
        assert all(at.astimezone(UTC) <= NOW + DAY for at in new)
        if table in {"customers", "carts", "checkouts", "product_views"}:
            assert all(at.astimezone(UTC) >= NOW for at in new)


def test_rows_arrive_late_but_not_too_late_to_trigger_a_campaign(shop: Path) -> None:
    known = set(ask(shop, "SELECT order_id FROM orders"))
    sample.advance(shop, now=NOW + 2 * DAY)

    new = [(at.astimezone(UTC), loaded - at) for o, at, loaded in ask(shop, "SELECT order_id, ordered_at, loaded_at FROM orders")
           if o not in known]  # fmt: skip
    assert any(delay >= timedelta(hours=20) for _, delay in new)
    assert all(at > NOW + 2 * DAY - timedelta(hours=72) for at, _ in new)


def test_an_order_arrives_after_its_refund(shop: Path) -> None:
    orphans = set(ask(shop, MESS["refunds before their order"].replace("SELECT 1", "SELECT order_id", 1)))
    sample.advance(shop, now=NOW + 2 * DAY)

    assert orphans <= set(ask(shop, "SELECT order_id FROM orders"))
    assert count(shop, MESS["refunds before their order"]) > 0, "and the next day's is there"


def test_an_address_changes_hands(shop: Path) -> None:
    before = dict(ask(shop, "SELECT customer_id, lower(trim(email)) FROM customers WHERE trim(email) <> ''"))
    sample.advance(shop, now=NOW + 2 * DAY)
    after = dict(ask(shop, "SELECT customer_id, lower(trim(email)) FROM customers"))

    moved = {c for c in before if c in after and after[c] != before[c]}
    assert len(moved) == 2
    giver, taker = sorted(moved)
    assert after[taker] == before[giver]
    assert after[giver].startswith("moved.")
    assert list(after.values()).count(after[giver]) == 1


def test_who_is_erased_leaves_no_name_behind(shop: Path) -> None:
    before = {c: (email or "").strip().lower() for c, email in ask(shop, "SELECT customer_id, email FROM customers")}
    done = sample.advance(shop, now=NOW + 2 * DAY)
    gone = set(before) - set(ask(shop, "SELECT customer_id FROM customers"))

    assert len(gone) == done["erased customers"] > 0
    for table in ("orders", "carts", "product_views"):
        assert not gone & set(ask(shop, f"SELECT customer_id FROM {table}"))
    guests = {email.strip().lower() for email in ask(shop, "SELECT guest_email FROM orders WHERE guest_email IS NOT NULL")}
    assert not guests & {before[c] for c in gone}


def test_erasing_keeps_the_orders_and_takes_guest_addresses_in_any_spelling(shop: Path) -> None:
    ask(shop, "UPDATE orders SET customer_id = NULL, guest_email = ' ' || upper(c.email) FROM customers c "
              "WHERE c.customer_id = orders.customer_id AND trim(c.email) <> ''")  # fmt: skip
    orders = set(ask(shop, "SELECT order_id FROM orders"))
    for _ in range(3):
        test_who_is_erased_leaves_no_name_behind(shop)
    assert orders <= set(ask(shop, "SELECT order_id FROM orders"))


def test_orders_are_edited_and_still_add_up(shop: Path) -> None:
    before = dict(ask(shop, "SELECT order_id, total FROM orders"))
    sample.advance(shop, now=NOW + 2 * DAY)
    after = dict(ask(shop, "SELECT order_id, total FROM orders"))

    assert any(after[order] != before[order] for order in before)
    assert wrongs(shop) == {}


@settings(max_examples=12)
@given(gap=st.integers(0, 24 * 30), hours=st.integers(1, 72))
def test_time_never_passes_the_present_and_a_forgotten_shop_goes_on_today(
    tmp_path_factory: pytest.TempPathFactory, gap: int, hours: int
) -> None:
    path = tmp_path_factory.mktemp("time") / "shop.duckdb"
    sample.build(path, customers=sample.MIN_CUSTOMERS, now=NOW)
    present = NOW + timedelta(hours=gap)

    sample.advance(path, hours=hours, now=present)

    at = ask(path, "SELECT now FROM shop_meta")[0].astimezone(UTC)
    assert NOW <= at <= present
    assert at == present or at - NOW >= timedelta(hours=hours)
    assert at == present or present - at <= DAY or at - NOW == timedelta(hours=hours)


def test_a_shop_is_of_this_days_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    sample.build(path, customers=SIZE)
    sample.advance(path)
    newest = ask(path, "SELECT max(viewed_at) FROM product_views")[0].astimezone(UTC)
    assert timedelta() <= datetime.now(UTC) - newest < timedelta(hours=48)


def test_a_failed_advance_leaves_the_shop_as_it_was(shop: Path) -> None:
    ask(shop, "ALTER TABLE product_views RENAME COLUMN viewed_at TO seen")
    ask(shop, "ALTER TABLE product_views ADD COLUMN more INTEGER")
    orders = ask(shop, "SELECT * FROM orders ORDER BY ALL")

    with pytest.raises(duckdb.Error):
        sample.advance(shop, now=NOW + 2 * DAY)

    assert ask(shop, "SELECT * FROM orders ORDER BY ALL") == orders
    assert ask(shop, "SELECT day FROM shop_meta") == [0]


# --- the command, and the project that is copied ---------------------------------------------------------------------


def test_the_module_is_a_command(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "revetl.sample", *arguments], capture_output=True, text=True, check=False)

    assert "build" in command("--help").stdout
    built = command("build", str(path), "--customers", "40")
    assert (built.returncode, " customers," in built.stdout) == (0, True)
    later = command("advance", str(path), "--hours", "12")
    assert (later.returncode, "1 erased customers" in later.stdout) == (0, True)
    few = command("build", str(path), "--customers", "3")
    assert (few.returncode, "at least 20" in few.stderr, "Traceback" in few.stderr) == (2, True, False)


def test_a_shop_too_small_for_its_mess_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 20"):
        sample.build(tmp_path / "shop.duckdb", customers=19)


def files(folder: Path, *, below: Path) -> dict[str, str]:
    """The texts of a folder's files."""
    return {p.relative_to(below).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_init_copies_this_repositorys_own_project() -> None:
    """One project, so that a fix of one is a fix of the other; only a new one does not delete before it is told to."""
    for folder in ("models", "macros", "syncs"):
        ours, theirs = files(ROOT / folder, below=ROOT), files(INIT / folder, below=INIT)
        people = "syncs/people.yml"
        if folder == "syncs":
            pairs = zip(ours.pop(people).splitlines(), theirs.pop(people).splitlines(), strict=True)
            differ = [tuple(line.split("#")[0].strip() for line in pair) for pair in pairs if len(set(pair)) > 1]
            assert differ == [("when_missing: delete", "when_missing: ignore")]
        assert ours == theirs != {}
    assert (INIT / "profiles.yml").read_text() == (ROOT / "profiles.yml").read_text()
