"""Purchases and refunds over several runs: one order is sent once, and a refund follows its order."""

from __future__ import annotations

import pytest

from revetl.contracts import Guards, Initial, Role, Sync
from revetl.errors import ExitCode
from tests.suites.test_events import sent
from tests.suites.world import SCHEMA, World, attribute, orders_sync, people_sync

MONEY = (attribute("order_id", required=True), attribute("value", "number", required=True, minimum=0), attribute("currency"))


def purchases(**changes: object) -> Sync:
    """The orders, with their money."""
    return orders_sync(**{"role": Role.PURCHASE, "amount": "value", "currency": "currency", "fields": MONEY, **changes})


def refunds(**changes: object) -> Sync:
    """Table `refunds` (refund_id, order_id, person, at, value, currency)."""
    return orders_sync(**{
        "name": "refunds", "uid": "refunds1", "model": "refunds", "event": "Order Refunded", "key": "refund_id",
        "role": Role.REFUND, "refund_of": "orders", "order": "order_id", "amount": "value", "currency": "currency",
        "fields": MONEY, "guards": Guards(empty_source=False), **changes,
    })  # fmt: skip


@pytest.fixture
def shop(world: World) -> World:
    """The scenarios' two orders in EUR, and no refund yet."""
    world.syncs = [people_sync(), purchases(), refunds()]
    world.sql(
        "ALTER TABLE orders ADD COLUMN currency text", "UPDATE orders SET currency = 'EUR'",
        "CREATE TABLE refunds (refund_id text, order_id text, person text, bought_at timestamp with time zone, "
        "value decimal(18,2), currency text)",
    )  # fmt: skip
    return world


def refund(world: World, key: str, order: str, person: str = "a", *, hours: float = 0.5, value: float = 5) -> None:
    """One more refund."""
    world.sql(f"INSERT INTO refunds SELECT '{key}', '{order}', '{person}', {world.ago(hours)}, {value}, 'EUR'")


def refunded(world: World) -> int:
    """How many refunds Customer.io holds."""
    return int(world.held()["events"].get("Order Refunded", 0))


def test_a_refund_goes_out_with_its_order_and_the_ledger_keeps_the_money_as_sent(shop: World) -> None:
    refund(shop, "r1", "o1")

    assert shop.diff(backfill=True).syncs[2].counts.sendable == 1, "the run sends the order before"
    assert shop.run(backfill=True).exit_code == ExitCode.OK
    assert (sent(shop), refunded(shop)) == (2, 1)
    rows = shop.ask(f"SELECT _key, _amount, _currency, _recorded FROM {SCHEMA}.state__orders01 ORDER BY _key")
    assert [(k, f"{a:.2f}", c, r) for k, a, c, r in rows] == [("o1", "30.00", "EUR", 0), ("o2", "12.50", "EUR", 0)]
    assert (shop.run().requests, shop.diff().syncs[2].counts.sendable) == (0, 0)


def test_a_refund_waits_while_its_order_is_refused_and_follows_it_once_it_is_corrected(shop: World) -> None:
    shop.sql("UPDATE orders SET value = -1 WHERE order_id = 'o1'")
    refund(shop, "r1", "o1")

    first = shop.run(backfill=True)
    assert (first.syncs[1].refused_now, first.syncs[2].counts.unbought, first.exit_code) == (1, 1, ExitCode.ROWS_REFUSED)
    assert refunded(shop) == 0

    shop.sql("UPDATE orders SET value = 30 WHERE order_id = 'o1'")
    assert shop.run(backfill=True).exit_code == ExitCode.OK
    assert (sent(shop), refunded(shop)) == (2, 1)


def test_a_refund_of_no_known_order_is_held_and_goes_out_when_the_order_comes(shop: World) -> None:
    refund(shop, "r0", "o2", "b")
    refund(shop, "r9", "o9")
    shop.run(backfill=True)
    held = shop.run()
    counts = held.syncs[2].counts
    assert (counts.orphans, counts.on_hold, counts.planned, held.exit_code) == (1, 1, 1, ExitCode.ROWS_REFUSED)
    assert shop.diff().syncs[2].counts.orphans == 1
    assert refunded(shop) == 1

    shop.sql("INSERT INTO orders VALUES ('o9', 'a', current_timestamp - interval '2 hours', 9, 'EUR')")
    assert shop.run().exit_code == ExitCode.OK
    assert refunded(shop) == 2


def test_orders_that_a_baseline_recorded_count_as_sent(shop: World) -> None:
    shop.syncs[1:] = [purchases(initial=Initial.BASELINE), refunds(initial=Initial.BASELINE)]
    assert shop.run().exit_code == ExitCode.OK
    refund(shop, "r1", "o1")

    assert shop.run().exit_code == ExitCode.OK

    assert (sent(shop), refunded(shop)) == (0, 1)
    assert shop.ask(f"SELECT _recorded FROM {SCHEMA}.state__orders01") == [(1,), (1,)]


def test_refunds_above_their_order_and_before_it_are_counted_and_sent(shop: World) -> None:
    refund(shop, "r1", "o1", value=20)
    refund(shop, "r2", "o1", value=10.01)
    refund(shop, "r3", "o2", "b", hours=3, value=12.5)

    planned = shop.diff(backfill=True).syncs[2].counts
    found = shop.run(backfill=True).syncs[2]

    assert (found.counts.over_refunded, found.counts.early_refunds, found.acknowledged) == (2, 1, 3)
    assert (planned.over_refunded, planned.early_refunds) == (2, 1)


def test_a_run_without_the_orders_leaves_their_refunds_waiting(shop: World) -> None:
    refund(shop, "r1", "o1")
    shop.run("people")

    assert shop.run("refunds", backfill=True).syncs[0].counts.unbought == 1
    assert shop.run(backfill=True).exit_code == ExitCode.OK
    assert refunded(shop) == 1


def test_an_order_that_two_syncs_give_stops_both_before_the_first_request(shop: World) -> None:
    shop.sql("CREATE TABLE more AS SELECT * FROM orders WHERE order_id = 'o1'")
    other = purchases(name="more", uid="more0001", model="more", event="Subscription Renewed")
    shop.syncs = [people_sync(), purchases(), other]

    stopped = shop.run(backfill=True)

    assert [s.error.code if s.error else None for s in stopped.syncs] == [None, "RV270", "RV270"]
    assert stopped.exit_code == ExitCode.CONTRACT
    assert "1 of its orders" in str(stopped.syncs[1].error)
    assert "o1" not in str(stopped.syncs[1].error)
    assert shop.held()["events"] == {}
    assert [p.code for p in shop.diff(backfill=True).syncs[2].problems] == ["RV270"]

    shop.sql("UPDATE more SET order_id = 'o3'")
    assert shop.run(backfill=True).exit_code == ExitCode.OK


def test_an_order_that_another_sync_has_sent_is_found_although_its_model_lost_it(shop: World) -> None:
    shop.run(backfill=True)
    shop.sql("CREATE TABLE more AS SELECT * FROM orders", "DELETE FROM orders WHERE order_id = 'o1'",
             "DELETE FROM more WHERE order_id = 'o2'")  # fmt: skip
    shop.syncs.append(purchases(name="more", uid="more0001", model="more", event="Subscription Renewed"))

    assert shop.run("more", backfill=True).exit_code == ExitCode.CONTRACT
    assert shop.held()["events"] == {"Order Completed": 2}


def test_money_that_is_declared_later_is_kept_from_then_on(shop: World) -> None:
    shop.syncs = [people_sync(), orders_sync()]
    shop.run(backfill=True)
    shop.syncs = [people_sync(), purchases()]
    shop.sql("INSERT INTO orders VALUES ('o3', 'a', current_timestamp, 1234567890123.45, 'EUR')")

    assert shop.run().exit_code == ExitCode.OK
    assert shop.run().exit_code == ExitCode.OK, "the seal fits"

    rows = shop.ask(f"SELECT _key, CAST(_amount AS text) FROM {SCHEMA}.state__orders01 ORDER BY _key")
    assert [(k, a and a.rstrip("0")) for k, a in rows] == [("o1", None), ("o2", None), ("o3", "1234567890123.45")]
