"""The oldest event of a stream that Customer.io does not have yet, read from its model and its ledger: `revetl status`.

An event starts a campaign only within 72 hours of its time. So one that is still unsent after 48 hours is *at risk*:
there is a day left to do something about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from revetl.contracts import CAMPAIGN_HORIZON_S
from revetl.engine import CompiledSync, Engine, RunOptions
from revetl.errors import RevetlError

ALARM_S = 48 * 3600
# not those that are never sent, nor those whose time has not come
UNSENT = ("event", "shadow", "waiting", "unbought", "orphan", "nobody", "late", "held", "held_before", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """What of a stream is in its model and not at Customer.io.

    Attributes:
        events: how many.
        oldest_s: age of the oldest; -1 where there is none.
        in_time_s: age of the oldest that can still start a campaign; -1 where there is none.
        at_risk: how many of those are older than 48 hours.
        problem: why it is not known.
    """

    events: int = 0
    oldest_s: float = -1.0
    in_time_s: float = -1.0
    at_risk: int = 0
    problem: str = ""


def unsent(engine: Engine, compiled: CompiledSync) -> Unsent:
    """Read it, in one statement over the model (and one that asks for its columns)."""
    try:
        asked = engine.asked(RunOptions())
        _, _, rows = engine.classified(compiled, asked, planned=False)
        at = rows.c._occurred_at
        horizon, alarm = asked.now_s - CAMPAIGN_HORIZON_S, asked.now_s - ALARM_S
        events, oldest, in_time, at_risk = engine.warehouse.fetch(
            sa.select(
                sa.func.count(), sa.func.min(at), sa.func.min(sa.case((at >= horizon, at))),
                sa.func.count(sa.case((sa.and_(at >= horizon, at <= alarm), 1))),
            ).where(rows.c._op.in_(UNSENT), rows.c._variant == "")
        )[0]  # fmt: skip
    except RevetlError as error:
        return Unsent(problem=error.message)

    def age(moment: int | None) -> float:
        return -1.0 if moment is None else float(max(0, asked.now_s - int(moment)))

    return Unsent(events=int(events), oldest_s=age(oldest), in_time_s=age(in_time), at_risk=int(at_risk))
