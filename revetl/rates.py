"""One rate for a workspace, shared by all runs that send to it.

The declared rates are the workspace's, not a run's. Each run that sends holds a part of them, 0 to 1, in the table
`rates`, and asks again at every pause (at least every 15 seconds). Runs on the live lane share equally; a backfill
gets at most half, and a tenth while a live run is sending. What others hold is never taken from them: a newcomer
gets what is free now, and more once the others have asked again. So the parts together never exceed 1. A run
that dies frees its part after 90 seconds.
"""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from revetl.errors import WarehouseError
from revetl.state import Stream
from revetl.tables import rates_table
from revetl.warehouse import Warehouse

Lane = Literal["live", "backfill"]

EVERY_S = 15.0
HELD_MS = 90_000
BACKFILL = 0.5  # what all backfills get together while no live run sends
BESIDE_LIVE = 0.1  # and while one does; in this proportion where `backfill_share` is another one
TRIES = 5
LEAST = 0.01  # below that a part is as good as none


def fair(lane: str, lanes: list[str], backfill: float = BACKFILL) -> float:
    """The part that a run on `lane` should have, when runs on `lanes` (its own included) are sending. Pure.

    Args:
        backfill: the part of all backfills while no live run sends (`backfill_share`).
    """
    live, back = lanes.count("live"), lanes.count("backfill")
    beside = backfill / BACKFILL * BESIDE_LIVE
    if lane == "backfill":
        return (beside if live else backfill) / back
    return (1.0 - (beside if back else 0.0)) / live


def granted(lane: str, others: list[tuple[str, float]], backfill: float = BACKFILL) -> float:
    """What a run gets now: its fair part, as far as the others have left it. Pure."""
    wanted = fair(lane, [lane, *(other for other, _ in others)], backfill)
    free = max(0.0, 1.0 - sum(part for _, part in others))
    return min(wanted, free)


class Share:
    """A run's part of the workspace's rate.

    Args:
        workspace: whose control row serialises the runs that ask.
        owner: of the run.
        backfill: `backfill_share` of the destination.
    """

    def __init__(self, warehouse: Warehouse, workspace: Stream, *, schema: str, owner: str, backfill: float = BACKFILL) -> None:
        self._warehouse = warehouse
        self._workspace = workspace
        self._table = rates_table(schema)
        self._owner = owner
        self._backfill = backfill
        self._held = False

    def ask(self, lane: Lane) -> float:
        """The part for the next while, above 0 and at most 1; or 0: ask again soon. One transaction.

        Where an engine ends one of two transactions that meet, it is begun again.
        """
        for _ in range(TRIES - 1):
            try:
                return self._ask(lane)
            except WarehouseError as error:
                if "concurrent update" not in error.message:
                    raise
        return self._ask(lane)

    def _ask(self, lane: Lane) -> float:
        t, warehouse = self._table, self._warehouse
        now = warehouse.dialect.now_ms()
        clock = sa.select(now.label("ms"), sa.cast(sa.null(), sa.Text).label("lane"), sa.cast(sa.null(), sa.Double).label("part"))
        others = sa.select(now, t.c.lane, t.c.part).where(t.c.owner != self._owner, t.c.until > now)
        with warehouse.transaction():
            # whoever asks at the same time waits for this row
            warehouse.execute(sa.update(self._workspace.tables.ctl).values(verified_at=warehouse.dialect.now_ms()))
            rows = warehouse.fetch(sa.union_all(clock, others))
            held_by = [(str(other), float(held)) for _, other, held in rows if other is not None]
            part = granted(lane, held_by, self._backfill)
            part = part if part >= LEAST else 0.0
            ms = max(int(row[0]) for row in rows)
            warehouse.execute(sa.delete(t).where(sa.or_(t.c.owner == self._owner, t.c.until <= ms)))
            warehouse.execute(sa.insert(t).values(owner=self._owner, lane=lane, part=part, until=ms + HELD_MS))
        self._held = True
        return part

    def give_back(self) -> None:
        """Leave the rate to the others."""
        if self._held:
            self._held = False
            self._warehouse.execute(sa.delete(self._table).where(self._table.c.owner == self._owner))
