"""How old events are when Customer.io has acknowledged them, against what their sync declares. Pure but for its table.

Measured in memory, at each answer: from the event's time to the warehouse's clock at the start of the plan plus the
time since then. The ledger would tell less: it knows only when a run folded its answers, minutes later. The figures
of each run are kept in the table `latency`, so that `revetl status` shows a trend; it is made by the first run that
measures anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from revetl.contracts import Latency
from revetl.tables import quoted

TABLE = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The ages of the events that one run had acknowledged, in seconds.

    Attributes:
        p50_s, p95_s: half of the events, and 95 % of them, were not older.
        late: events above the declared `warn` (or `error`, where that is all there is).
    """

    declared: Latency
    events: int
    p50_s: int
    p95_s: int
    max_s: int
    late: int

    @property
    def late_share(self) -> float:
        """0 to 1."""
        return self.late / self.events

    @property
    def verdict(self) -> str:
        """`error` or `warn` where 95 % of the events are not within it, else an empty string."""
        if 0 < self.declared.error_s < self.p95_s:
            return "error"
        return "warn" if 0 < self.declared.warn_s < self.p95_s else ""


@dataclass(slots=True)
class Ages:
    """Ages in whole seconds, counted; so many events take no more room than there are different ages."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, moments: Iterable[int | None], now_s: float) -> None:
        """Events of these times were acknowledged now."""
        self.counts.update(max(0, int(now_s - moment)) for moment in moments if moment is not None)

    def measured(self, declared: Latency) -> Measured | None:
        """Percentiles by the nearest rank; None where nothing was acknowledged."""
        events = self.counts.total()
        if not events:
            return None
        order = sorted(self.counts)
        limit = declared.warn_s or declared.error_s
        return Measured(
            declared=declared, events=events, p50_s=self._rank(order, -(-events * 50 // 100)),
            p95_s=self._rank(order, -(-events * 95 // 100)), max_s=order[-1],
            late=sum(n for age, n in self.counts.items() if age > limit),
        )  # fmt: skip

    def _rank(self, order: list[int], rank: int) -> int:
        for age in order:
            rank -= self.counts[age]
            if rank <= 0:
                return age
        return order[-1]


def latency_table(schema: str) -> sa.Table:
    """One row a sync and run that measured something; ages in seconds."""
    kinds = {"run_id": sa.Text, "uid": sa.Text, "name": sa.Text}
    names = (*kinds, "finished_at", "events", "p50_s", "p95_s", "max_s", "late", "warn_s", "error_s")
    columns = [sa.Column(quoted(name), kinds.get(name, sa.BigInteger)) for name in names]
    return sa.Table(TABLE, sa.MetaData(), *columns, schema=quoted(schema))
