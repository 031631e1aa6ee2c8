"""One purchase, one event: the same order must not be sent twice, and a refund follows its order. SQL only.

`overlaps` finds orders that two purchase syncs give, or that one gives and another has sent already; `purchases`
says what a refund's plan knows of the orders that it may undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from revetl.dialects import Dialect
from revetl.diffsql import Options, Purchases, Shape, model_keys, purchases_due
from revetl.tables import AMOUNT, StreamTables


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A sync of purchases: its model, and its ledger where it has one."""

    shape: Shape
    sql: str
    tables: StreamTables
    has_state: bool
    money: bool


def overlaps(parts: Sequence[tuple[str, sa.Select[Any]]]) -> sa.Select[Any]:
    """Orders of more than one sync: two names, how many orders, and two of their keys. One row a pair.

    Args:
        parts: the keys (`_key`) that a sync's model gives, or that its ledger has, with the sync's name.
    """
    named = [(sa.literal(name).label("_sync"), keys.subquery()) for name, keys in parts]
    every = sa.union(*(sa.select(name, keys.c._key).where(keys.c._key.is_not(None)) for name, keys in named)).subquery("e")
    first, last = sa.func.min(every.c._sync).label("_first"), sa.func.max(every.c._sync).label("_last")
    twice = sa.select(every.c._key, first, last).group_by(every.c._key).having(sa.func.count() > 1).subquery("d")
    columns = (twice.c._first, twice.c._last, sa.func.count(), sa.func.min(twice.c._key), sa.func.max(twice.c._key))
    return sa.select(*columns).group_by(twice.c._first, twice.c._last).order_by(twice.c._first, twice.c._last)


def purchases(dialect: Dialect, stream: Stream, options: Options, *, planned: bool) -> Purchases:
    """What the plan of a refund compares with.

    Args:
        planned: of a diff: what the run would send before the refunds counts as sent.
    """
    state = stream.tables.state.c
    nothing = sa.cast(sa.null(), AMOUNT)
    sent: list[sa.Select[Any]] = []
    if stream.has_state:
        amount = state._amount if stream.money else nothing
        sent.append(
            sa.select(state._key, amount.label("_amount"), state._occurred_at).where(state._variant == "")
        )
    if planned:
        due = purchases_due(dialect, stream.shape, stream.sql, options).subquery("due")
        new = sa.select(due.c._key, due.c._amount, due.c._occurred_at)
        sent.append(new.where(due.c._key.not_in(sa.select(state._key))) if stream.has_state else new)
    if not sent:
        none = (sa.cast(sa.null(), sa.Text).label("_key"), nothing.label("_amount"),
                sa.cast(sa.null(), sa.BigInteger).label("_occurred_at"))  # fmt: skip
        sent.append(sa.select(*none).where(sa.false()))
    keys = model_keys(dialect, stream.shape, stream.sql).distinct()
    return Purchases(sent=(sa.union_all(*sent) if len(sent) > 1 else sent[0]).subquery("bought"), model=keys.subquery("given"))
