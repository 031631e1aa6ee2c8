"""`money`, `refund_of` and `late` of event syncs: what they become, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from revetl.contracts import Late, Role, Sync
from tests.unit.project_files import event_yaml, problems, said, shop

PROPERTIES = "{order_id: string, value: number, currency: string, items: {type: array, items: string}}"
MONEY = "{amount: value, currency: currency}"


def syncs(tmp_path: Path, orders: dict[str, str], refunds: dict[str, str], taxonomy: str = "") -> dict[str, Sync]:
    """Orders and their refunds."""
    bought = event_yaml(**{"properties": PROPERTIES, **orders})
    given = event_yaml(**{"name": "refunds", "uid": "refunds1", "event": "Order Refunded", "properties": PROPERTIES, **refunds})
    return dict(shop(tmp_path, {"syncs/orders.yml": bought, "syncs/refunds.yml": given + taxonomy}).syncs)


def test_purchases_and_refunds_are_known_by_their_names_and_by_the_taxonomy(tmp_path: Path) -> None:
    found = syncs(tmp_path, {"money": MONEY}, {"money": "{amount: value}", "refund_of": "{sync: orders, key: order_id}"})
    assert (found["orders"].role, found["orders"].amount, found["orders"].currency) == (Role.PURCHASE, "value", "currency")
    refunds = found["refunds"]
    assert (refunds.role, refunds.refund_of, refunds.order, refunds.currency) == (Role.REFUND, "orders", "order_id", "")
    named = syncs(tmp_path, {"event": "Bezahlt", "money": MONEY}, {"event": "Zurück", "refund_of": "{sync: orders, key: a}"},
                  "taxonomy: {events: {Bezahlt: {role: purchase}}}\n")  # fmt: skip
    assert (named["orders"].role, named["refunds"].role) == (Role.PURCHASE, Role.REFUND)


@pytest.mark.parametrize(
    ("orders", "refunds", "code"),
    [
        ({"event": "Seen", "money": MONEY}, {}, "RV096"), ({"money": "{amount: valu}"}, {}, "RV096"),
        ({"money": "{amount: order_id}"}, {}, "RV096"), ({"money": "{amount: value, currency: value}"}, {}, "RV096"),
        ({"money": "{currency: currency}"}, {}, "RV013"), ({"money": "value"}, {}, "RV011"),
        ({}, {"refund_of": "{sync: order, key: order_id}"}, "RV097"), ({}, {"refund_of": "{sync: orders}"}, "RV013"),
        ({}, {"refund_of": "{sync: people, key: order_id}"}, "RV097"), ({}, {"refund_of": "orders"}, "RV011"),
        ({"event": "Seen"}, {"refund_of": "{sync: orders, key: order_id}"}, "RV097"),
        ({"enabled": "false"}, {"refund_of": "{sync: orders, key: order_id}"}, "RV097"),
        ({"refund_of": "{sync: refunds, key: order_id}"}, {}, "RV097"),
    ],
)  # fmt: skip
def test_money_that_is_refused(tmp_path: Path, orders: dict[str, str], refunds: dict[str, str], code: str) -> None:
    found = problems(syncs, tmp_path, orders, refunds)
    assert [p.code for p in found] == [code], said(found)


def test_late_events_may_be_flagged_by_the_declared_latency_or_an_age_of_its_own(tmp_path: Path) -> None:
    flag = "{policy: flag, property: arrived_late}"
    found = syncs(tmp_path, {"late": flag, "latency": "{warn: 1 hour}"}, {"late": "{policy: send}"})
    assert (found["orders"].late, found["orders"].late_property, found["orders"].late_after_s) == (
        Late.FLAG, "arrived_late", 3600,
    )  # fmt: skip
    assert [f.name for f in found["orders"].sent_fields][-1] == "arrived_late"
    assert (found["refunds"].late, found["refunds"].late_after_s) == (Late.SEND, 0)
    ages = [({"late": flag}, 72 * 3600), ({"late": flag, "latency": "{warn: 1h, error: 2h}"}, 7200),
            ({"late": "{policy: flag, property: old, after: 1 day}", "latency": "{error: 2h}"}, 86_400)]  # fmt: skip
    for keys, seconds in ages:
        assert syncs(tmp_path, keys, {})["orders"].late_after_s == seconds


@pytest.mark.parametrize(
    ("late", "code"),
    [
        ("flag", "RV095"), ("{policy: flag}", "RV095"), ("{property: a}", "RV013"), ("{policy: hold, property: a}", "RV095"),
        ("{policy: send, after: 1h}", "RV095"), ("{policy: flag, property: Value}", "RV095"), ("never", "RV011"),
        ("{policy: flag, property: recipient}", "RV039"), ("{policy: never, property: a}", "RV011"),
        ("{policy: flag, property: a, after: soon}", "RV011"), ("{policy: flag, propertee: a}", "RV010"),
    ],
)  # fmt: skip
def test_late_policies_that_are_refused(tmp_path: Path, late: str, code: str) -> None:
    found = problems(syncs, tmp_path, {"late": late}, {})
    assert code in [p.code for p in found], said(found)
