"""What `revetl reconcile` found, as text and as JSON. Pure; sums only, exact to the last digit."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from revetl.reconcile import BY_RULE, Day, Money, Reconciled, Side, totals
from revetl.report import JSON_VERSION, Heading, Style, grid, plural

EPOCH = date(1970, 1, 1)
WORDS = {
    "baseline": "recorded by a baseline, never sent", "skipped": "without a person, never sent",
    "forgotten": "of forgotten people, never sent", "unsent": "sent by the next run",
    "waiting": "waiting for their person or their order", "late": "held: older than 72 hours",
    "future": "held: in the future", "held": "held", "orphan": "held: refunds of an unknown order", "refused": "refused",
    "bad_key": "without a key", "drifted": "changed after they were sent", "gone": "sent, and left the model",
    "unpriced": "sent before `money` was declared: their amount was not kept",
}  # fmt: skip


def as_text(found: Reconciled, style: Style) -> str:
    """For a terminal."""
    if not found.days:
        return "no order and no refund, neither in the models nor sent" + ("" if found.since is None else " in these days")
    lines = [_line(day, _date(day.number)) for day in found.days]
    lines += [_line(day, "together") for _, day in sorted(totals(found.days).items())] if len(found.days) > 1 else []
    titles = ("day (UTC)", "currency", *(word for kind in ("orders", "refunds") for word in (kind, "value", "sent", "value")),
              "net", "difference")  # fmt: skip
    out = [grid(titles, lines, style, right=frozenset(range(2, 12)))]
    for day in found.days:
        out += [f"  {_date(day.number)} {text}" for text in _reasons(day, by_rule=False)]
    out += [f"  together {text}" for _, day in sorted(totals(found.days).items()) for text in _reasons(day, by_rule=True)]
    differ = sum(1 for day in found.days if not day.agrees)
    out.append(style.paint("difference 0", "green") + f" in {plural(len(found.days), 'line')}" if not differ else
               style.paint(f"{plural(differ, 'line')} of {len(found.days):,} differ", "yellow"))  # fmt: skip
    return "\n".join(out)


def _line(day: Day, name: str) -> tuple[str, ...]:
    numbers: list[str] = []
    for side in (day.orders, day.refunds):
        numbers += [f"{side.model.rows:,}", amount(side.model.value), f"{side.sent.rows:,}", amount(side.sent.value)]
    return (name, day.currency or "-", *numbers, amount(day.net("model")), amount(day.net("difference")))


def _reasons(day: Day, *, by_rule: bool) -> list[str]:
    return [
        f"{day.currency or '-'}: {name}: {plural_of(money)} {amount(money.value)} {WORDS[why]}"
        for name, side in (("orders", day.orders), ("refunds", day.refunds))
        for why, money in sorted(side.why.items())
        if (why in BY_RULE) is by_rule
    ]


def plural_of(money: Money) -> str:
    """How many events."""
    return plural(abs(money.rows), "event") if money.rows else "values of"


def amount(value: Decimal) -> str:
    """All digits, at least two after the point."""
    whole, _, cents = f"{value:,f}".partition(".")
    return f"{whole}.{cents.rstrip('0').ljust(2, '0')}"


def _date(number: int | None) -> str:
    try:
        return "?" if number is None else (EPOCH + timedelta(days=number)).isoformat()
    except OverflowError:
        return "?"


def as_json(found: Reconciled, heading: Heading) -> dict[str, Any]:
    """For programs; amounts are texts, so that no reader makes floats of them."""
    return {
        "schema_version": JSON_VERSION, "command": "reconcile", "project": heading.project, "target": heading.target,
        "version": heading.version, "seconds": round(found.seconds, 3),
        "since": None if found.since is None else _date(found.since), "agrees": found.agrees,
        "days": [{"day": _date(day.number), **_day(day)} for day in found.days],
        "totals": [_day(day) for _, day in sorted(totals(found.days).items())],
    }  # fmt: skip


def _day(day: Day) -> dict[str, Any]:
    return {
        "currency": day.currency, "agrees": day.agrees, "orders": _side(day.orders), "refunds": _side(day.refunds),
        "net": {which: _plain(day.net(which)) for which in ("model", "sent", "by_rule", "difference")},
    }  # fmt: skip


def _side(side: Side) -> dict[str, Any]:
    return {
        "model": _money(side.model), "sent": _money(side.sent), "difference": _money(side.difference),
        "by_rule": {why: _money(money) for why, money in sorted(side.why.items()) if why in BY_RULE},
        "open": {why: _money(money) for why, money in sorted(side.why.items()) if why not in BY_RULE},
    }  # fmt: skip


def _money(money: Money) -> dict[str, Any]:
    return {"rows": money.rows, "value": _plain(money.value)}


def _plain(value: Decimal) -> str:
    return amount(value).replace(",", "")
