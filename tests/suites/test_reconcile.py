"""Money sent against money in the models: equal after a clean run, and every difference with its reason."""

from __future__ import annotations

from decimal import Decimal

from revetl.contracts import Initial
from revetl.engine import Engine
from revetl.errors import ExitCode
from revetl.plan import Confirmations
from revetl.reconcile import Day, Money, Reconciled, reconcile, totals
from tests.suites.test_refunds import purchases, refund, refunds, shop
from tests.suites.world import World, people_sync

__all__ = ["shop"]


def reconciled(world: World, *, days: int = 0) -> Reconciled:
    """In a read-only session, as the command does it."""
    warehouse = world.connect(read_only=True)
    try:
        engine: Engine = world.engine(warehouse)
        return reconcile(engine, world.compiled(), days=days)
    finally:
        warehouse.close()


def total(found: Reconciled, currency: str = "EUR") -> Day:
    """All days of a currency."""
    for day in found.days:
        for side in (day.orders, day.refunds):
            assert side.model - side.sent == sum(side.why.values(), Money()), "model = sent + by rule + open"
    return totals(found.days)[currency]


def money(rows: int, value: str) -> Money:
    """So many events."""
    return Money(rows, Decimal(value))


def test_after_a_clean_run_the_difference_is_0_to_the_last_digit(shop: World) -> None:
    shop.sql(f"INSERT INTO orders SELECT 'c' || i, 'a', {shop.ago('i')}, 0.1, 'USD' FROM {shop.numbers(40)}")
    refund(shop, "r1", "o1", value=4.99)
    before = reconciled(shop)
    assert not before.agrees
    assert total(before).orders.why == {"unsent": money(2, "42.50")}

    assert shop.run(backfill=True, confirmed=Confirmations(triggering=42)).exit_code == ExitCode.OK

    found = reconciled(shop)
    assert found.agrees
    assert {day.currency for day in found.days} == {"EUR", "USD"}
    assert (total(found).orders.sent, total(found).refunds.sent) == (money(2, "42.50"), money(1, "4.99"))
    assert total(found).net("sent") == Decimal("37.51")
    assert total(found, "USD").orders.sent == money(40, "4"), "forty times 0.1, which floats do not add up to"
    assert len({day.number for day in found.days if day.currency == "USD"}) >= 2
    assert sum(day.orders.sent.rows for day in reconciled(shop, days=1).days) < 42


def test_every_difference_has_its_reason(shop: World) -> None:
    shop.syncs = [people_sync(), purchases(), refunds()]
    shop.run(backfill=True)
    shop.sql(
        "UPDATE orders SET value = 31 WHERE order_id = 'o1'", "DELETE FROM orders WHERE order_id = 'o2'",
        "INSERT INTO orders VALUES ('bad', 'a', current_timestamp, -1, 'EUR'), "
        "('late', 'a', current_timestamp - interval '80 hours', 7, 'EUR'), "
        "('new', 'nobody yet', current_timestamp, 3, 'EUR'), ('guest', NULL, current_timestamp, 11, 'EUR'), "
        "('soon', 'a', current_timestamp + interval '1 day', 13, 'EUR')",
    )  # fmt: skip
    refund(shop, "r1", "late", value=2)
    refund(shop, "r2", "gone", value=17)
    shop.run()

    found = reconciled(shop)
    orders, given = total(found).orders, total(found).refunds

    assert orders.why == {
        "drifted": money(0, "1"), "gone": money(-1, "-12.50"), "refused": money(1, "-1"), "late": money(1, "7"),
        "waiting": money(1, "3"), "skipped": money(1, "11"), "future": money(1, "13"),
    }  # fmt: skip
    assert given.why == {"waiting": money(1, "2"), "orphan": money(1, "17")}
    assert orders.by_rule == money(1, "11")
    assert not found.agrees


def test_what_a_baseline_recorded_was_never_sent_and_is_no_difference(shop: World) -> None:
    shop.syncs[1:] = [purchases(initial=Initial.BASELINE), refunds(initial=Initial.BASELINE)]
    shop.run()
    shop.sql("INSERT INTO orders VALUES ('o3', 'a', current_timestamp, 5, 'EUR')")
    shop.run()

    found = reconciled(shop)

    assert found.agrees
    assert (total(found).orders.sent, total(found).orders.by_rule) == (money(1, "5"), money(2, "42.50"))


def test_a_killed_run_between_orders_and_refunds_is_seen_and_repaired_by_the_next(shop: World) -> None:
    refund(shop, "r1", "o1", value=4)
    shop.run("people", "orders", backfill=True)

    assert total(reconciled(shop)).refunds.why == {"unsent": money(1, "4")}
    assert total(reconciled(shop)).net("difference") == Decimal(-4)
    shop.run(backfill=True)
    assert reconciled(shop).agrees
