"""Names that change: for a while the same is sent under the old name and the new one. Pure.

A field with `renamed_from` is, until its last day, two fields of the contract with one column: `today` makes them.
An event with `renamed_from` is sent twice, as a *copy* with an id of its own (`diffsql.event_changes`). After the last day
`today` gives the sync without the old names. Days are those of UTC by the warehouse's clock, the last one included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from revetl.contracts import Field, Rename, Sync
from revetl.errors import Notice

SOON_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class DualSend:
    """An old name of a sync.

    Attributes:
        kind: event, property or attribute.
        new: the name of today.
        old: the name that it had before.
        until: the last day on which both are sent.
        left: days on which both are still sent, today included; 0 after the end.
        journeys: of Customer.io that use the old name, as the taxonomy says.
    """

    kind: str
    new: str
    old: str
    until: date
    left: int
    journeys: tuple[str, ...] = ()

    @property
    def ends_soon(self) -> bool:
        """Whether somebody should look at what uses the old name now."""
        return self.left <= SOON_DAYS

    def __str__(self) -> str:
        """One line for a report."""
        days = f"{self.left} day{'' if self.left == 1 else 's'} left" if self.left else "over"
        users = f"; used by {', '.join(self.journeys)}" if self.journeys else ""
        return f"{self.kind} {self.new!r}: also sent as {self.old!r} until {self.until} ({days}){users}"


def day_of(now_s: int) -> date:
    """The day in UTC of a time in Unix seconds."""
    return datetime.fromtimestamp(now_s, UTC).date()


def renames(sync: Sync) -> list[tuple[str, str, Rename]]:
    """Kind, new name and old one of every rename that a sync declares, whether or not its time is over."""
    kind = "attribute" if sync.keeps_values else "property"
    of_event = [("event", sync.event, sync.renamed_from)] if sync.renamed_from is not None else []
    return of_event + [(kind, f.name, f.renamed_from) for f in sync.fields if f.renamed_from is not None]


def dual_sends(sync: Sync, day: date, journeys: Mapping[tuple[str, str], Sequence[str]]) -> tuple[DualSend, ...]:
    """Every rename that a sync declares, as it is on a day.

    Args:
        journeys: that use a name, by (kind, name).
    """
    return tuple(
        DualSend(kind=kind, new=new, old=renamed.name, until=renamed.until, left=max(0, (renamed.until - day).days + 1),
                 journeys=tuple(journeys.get((kind, renamed.name), ())))
        for kind, new, renamed in renames(sync)
    )  # fmt: skip


def notices(sync: Sync, sent: Sequence[DualSend]) -> list[Notice]:
    """What to warn of: old names that end soon, or have ended."""
    found = []
    for one in sent:
        users = ", ".join(one.journeys) or f"what reads {one.old!r}"
        if 0 < one.left <= SOON_DAYS:
            found.append(Notice(
                code="RV262", message=f"sync {sync.name!r}: {one}",
                hint=f"let {users} read {one.new!r} before; or give it more time by a later `dual_send_until`",
            ))  # fmt: skip
        elif not one.left:
            clear = "" if one.kind != "attribute" else (
                f"; people keep the old attribute: to clear it, send {one.old} as null once (docs/changes.md)")
            found.append(Notice(
                code="RV263", message=f"sync {sync.name!r}: the old name {one.old!r} ended on {one.until} and is no longer sent",
                hint=f"remove `renamed_from` of {one.new!r}{clear}",
            ))  # fmt: skip
    return found


def today(sync: Sync, day: date) -> Sync:
    """The sync as it is sent on a day: with a second field for each old name that is still sent."""
    copies = [_copy(field, field.renamed_from) for field in sync.fields
              if field.renamed_from is not None and day <= field.renamed_from.until]  # fmt: skip
    event = sync.renamed_from if sync.renamed_from is not None and day <= sync.renamed_from.until else None
    return replace(sync, fields=(*sync.fields, *copies), renamed_from=event)


def _copy(field: Field, renamed: Rename) -> Field:
    """The field under its old name. What it may be was tried under the new one, so it is not tried (and told) twice.

    What makes its digest stays: nobody is sent again only because the name has a successor.
    """
    return Field(
        name=renamed.name, column=field.column, type=field.type, on_null=field.on_null, normalize=field.normalize,
        items=field.items, item=field.item, zone=field.zone, where=field.where,
        on_violation=field.on_violation, by_rule=field.by_rule,
    )  # fmt: skip
