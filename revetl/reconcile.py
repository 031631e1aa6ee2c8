"""Money sent against money in the models, by day and currency: `revetl reconcile`. Reads only.

One statement gives, for each event in a model or in its ledger, what the model says and what was sent, and the one
reason why the two differ; their sums always add up (an event that is sent under an old name as well counts once):

    model = sent + by rule + open

*By rule* is never sent, as the project wants it: recorded by a baseline, without a person, forgotten. *Open* is what is
left: it waits, is late, was refused, changed after it was sent, and so on. Amounts are decimals, from the ledger to the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Role
from revetl.diffsql import Known, Options, Shape, amount_of, currency_of
from revetl.engine import CompiledSync, Engine, RunOptions
from revetl.errors import ConfigError
from revetl.tables import AMOUNT

DAY_S = 86_400
BY_RULE = ("baseline", "skipped", "forgotten")
# by `_op` of the plan; what is not here is sent by the next run
_WHY = {
    "skipped": "skipped", "forgotten": "forgotten", "bad_key": "bad_key", "waiting": "waiting", "unbought": "waiting",
    "nobody": "held", "held": "held", "held_before": "held", "orphan": "orphan", "late": "late", "future": "future",
    "refused": "refused",
}  # fmt: skip
_IN_LEDGER = ("same", "drift", "gone")


@dataclass(frozen=True, slots=True)
class Money:
    """So many events, and what they are worth together."""

    rows: int = 0
    value: Decimal = Decimal(0)

    def __add__(self, other: Money) -> Money:
        """Both together."""
        return Money(self.rows + other.rows, self.value + other.value)

    def __sub__(self, other: Money) -> Money:
        """What is left without the other."""
        return Money(self.rows - other.rows, self.value - other.value)

    def __bool__(self) -> bool:
        """Whether there is anything, be it worth nothing."""
        return bool(self.rows or self.value)


@dataclass(slots=True)
class Side:
    """Orders, or refunds, of one day in one currency.

    Attributes:
        why: by reason, what the model has and was not sent (negative: what was sent, and the model does not have).
    """

    model: Money = Money()
    sent: Money = Money()
    why: dict[str, Money] = field(default_factory=dict)

    @property
    def by_rule(self) -> Money:
        """What is never sent, as the project wants it."""
        return sum((money for reason, money in self.why.items() if reason in BY_RULE), Money())

    @property
    def difference(self) -> Money:
        """What was not sent and should be, or was sent and is not in the model."""
        return self.model - self.sent - self.by_rule

    @property
    def agrees(self) -> bool:
        """Whether every event of the model was sent as it is, but for those that are never sent."""
        return not any(reason not in BY_RULE for reason in self.why)


@dataclass(slots=True)
class Day:
    """One day (UTC) in one currency; `number` counts days since 1970."""

    number: int | None
    currency: str
    orders: Side = field(default_factory=Side)
    refunds: Side = field(default_factory=Side)

    @property
    def agrees(self) -> bool:
        """Whether what was sent is what the models say."""
        return self.orders.agrees and self.refunds.agrees

    def net(self, which: str) -> Decimal:
        """Orders less refunds, of `model`, `sent` or `difference`."""
        orders: Money = getattr(self.orders, which)
        refunds: Money = getattr(self.refunds, which)
        return orders.value - refunds.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Each day with an event in the model or in the ledger, the latest first."""

    days: tuple[Day, ...]
    since: int | None
    seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether there is no difference on any day."""
        return all(day.agrees for day in self.days)


def reconcile(engine: Engine, syncs: Sequence[CompiledSync], *, days: int) -> Reconciled:
    """Compare the ledgers of purchases and refunds with their models, in one statement.

    Args:
        engine: over a warehouse that is opened read-only.
        syncs: those without `money:` are left out.
        days: how many, today included; 0 means all.

    Raises:
        ConfigError: none of the syncs has money.
        ContractBroken, StateDamaged, WarehouseError: nothing could be compared.
    """
    began = engine.clock.monotonic()
    chosen = [one for one in syncs if one.sync.amount]
    if not chosen:
        raise ConfigError(
            "no selected sync says where its money is", code="RV271",
            hint="money: {amount: value, currency: currency}, in the syncs of orders and refunds (docs/events.md)",
        )  # fmt: skip
    engine.look()
    asked = engine.asked(RunOptions())
    since = asked.now_s // DAY_S - days + 1 if days else None
    rows = engine.warehouse.fetch(statement([_of(engine, one, asked) for one in chosen], since))
    return Reconciled(days=_days(rows), since=since, seconds=engine.clock.monotonic() - began)


def _of(engine: Engine, compiled: CompiledSync, asked: Options) -> sa.Select[Any]:
    shape, known, rows = engine.classified(compiled, asked)
    return sides(shape, known, rows)


def sides(shape: Shape, known: Known, rows: sa.Subquery) -> sa.Select[Any]:
    """What the model says and what was sent, each on its own day, with the reason why they differ."""
    r, sync = rows.c, shape.sync
    kept = known.money and known.has_state
    nothing = sa.cast(sa.null(), AMOUNT)
    amount, currency = amount_of(shape, rows), currency_of(sync, rows)
    t_amount = r._t_amount if kept else nothing
    t_currency = r._t_currency if kept else sa.cast(sa.null(), sa.Text)
    t_at = r._t_occurred_at if known.has_state else sa.cast(sa.null(), sa.BigInteger)
    recorded = sa.func.coalesce(r._t_recorded, -1) if kept else sa.literal(-1)
    in_ledger = r._op.in_(_IN_LEDGER)
    moved = sa.or_(amount.is_distinct_from(t_amount), currency.is_distinct_from(t_currency), _day(r._occurred_at) != _day(t_at))
    why = sa.case(
        (sa.and_(in_ledger, recorded == 1), "baseline"),
        (sa.and_(in_ledger, recorded == -1), "unpriced"),
        (r._op == "gone", "gone"),
        (sa.and_(in_ledger, moved), "drifted"),
        (in_ledger, "same"),
        *((r._op == op, reason) for op, reason in _WHY.items()),
        else_="unsent",
    )
    role = sa.literal(str(sync.role or Role.PURCHASE)).label("role")
    zero, one, none = sa.cast(sa.literal(0), AMOUNT), sa.literal(1), sa.literal(0)
    model = sa.select(
        role, why.label("why"), _day(r._occurred_at).label("day"), currency.label("currency"), one.label("model_rows"),
        sa.func.coalesce(amount, zero).label("model_value"), none.label("sent_rows"), zero.label("sent_value"),
    ).where(r._op != "gone", r._variant == "")  # fmt: skip
    sent = sa.select(
        role, why.label("why"), _day(sa.func.coalesce(t_at, r._occurred_at)).label("day"),
        (sa.case((recorded == -1, currency), else_=t_currency)).label("currency"), none.label("model_rows"),
        zero.label("model_value"), one.label("sent_rows"), sa.func.coalesce(t_amount, zero).label("sent_value"),
    ).where(in_ledger, recorded != 1, r._variant == "")  # fmt: skip
    both = sa.union_all(model, sent).subquery("both")
    return sa.select(both)


def statement(parts: Sequence[sa.Select[Any]], since: int | None) -> sa.Select[Any]:
    """The sums by kind, reason, day and currency."""
    c = sa.union_all(*parts).subquery("every").c
    by = (c.role, c.why, c.day, c.currency)
    found = sa.select(*by, *(sa.func.sum(c[name]) for name in ("model_rows", "model_value", "sent_rows", "sent_value")))
    return (found.where(c.day >= since) if since is not None else found).group_by(*by)


def _day(seconds: Any) -> Any:  # noqa: ANN401 SQL expressions
    return sa.cast((seconds - sa.func.mod(seconds, DAY_S)) / DAY_S, sa.BigInteger)


def _days(rows: Sequence[tuple[Any, ...]]) -> tuple[Day, ...]:
    found: dict[tuple[int | None, str], Day] = {}
    for role, why, number, currency, model_rows, model_value, sent_rows, sent_value in rows:
        key = (None if number is None else int(number), str(currency or ""))
        day = found.setdefault(key, Day(*key))
        side = day.refunds if role == Role.REFUND else day.orders
        model, sent = Money(int(model_rows), Decimal(model_value)), Money(int(sent_rows), Decimal(sent_value))
        side.model, side.sent = side.model + model, side.sent + sent
        if why != "same":
            side.why[why] = side.why.get(why, Money()) + (model - sent)
    return tuple(sorted(found.values(), key=lambda day: (-(day.number if day.number is not None else -1), day.currency)))


def totals(days: Sequence[Day]) -> Mapping[str, Day]:
    """All days together, by currency."""
    found: dict[str, Day] = {}
    for day in days:
        total = found.setdefault(day.currency, Day(None, day.currency))
        for mine, its in ((total.orders, day.orders), (total.refunds, day.refunds)):
            mine.model, mine.sent = mine.model + its.model, mine.sent + its.sent
            for why, money in its.why.items():
                mine.why[why] = mine.why.get(why, Money()) + money
    return found
