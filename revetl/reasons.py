"""Why rows were refused, stop their sync, or were sent with a warning: counted by rule and field. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from revetl.contracts import OnViolation
from revetl.destination import Refusal, Warned

MOST = 5  # reasons of refusals that a result tells; rules that warn or stop are all told


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One kind of violation: a word, the rule and the field, one message, how many rows, and one of them.

    Attributes:
        rule: the key of the contract; empty for a limit of Customer.io and for its own answer.
        policy: what became of the rows: refused, sent all the same (`warn`), or the sync stopped (`fail`).
        example: a key, masked.
        outline: what its value looks like.
    """

    reason: str
    field: str
    message: str
    rows: int
    rule: str = ""
    policy: OnViolation = OnViolation.REFUSE
    example: str = ""
    outline: str = ""


class Kind(NamedTuple):
    """What is counted together."""

    policy: OnViolation
    reason: str
    rule: str
    field: str


class _Example(NamedTuple):
    message: str
    outline: str
    seq: int
    key: str


@dataclass(slots=True)
class Tally:
    """Counts violations; keeps the first of each kind."""

    _rows: Counter[Kind] = field(default_factory=Counter)
    _first: dict[Kind, _Example] = field(default_factory=dict)

    def add(self, item: Refusal | Warned, key: str = "") -> None:
        """One row; `key` (masked) if it is known already."""
        policy = OnViolation.WARN if isinstance(item, Warned) else OnViolation.FAIL if item.fails else OnViolation.REFUSE
        kind = Kind(policy, item.reason, item.rule, item.field)
        self._rows[kind] += 1
        if kind not in self._first:
            self._first[kind] = _Example(item.message, item.outline, item.seq, key)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._rows)

    def _told(self) -> list[Kind]:
        refused = [kind for kind in self._rows if kind.policy is OnViolation.REFUSE]
        top = set(sorted(refused, key=lambda kind: -self._rows[kind])[:MOST])
        return [kind for kind, _ in self._rows.most_common() if kind.policy is not OnViolation.REFUSE or kind in top]

    def seqs(self) -> list[int]:
        """Numbers in the plan of the rows whose keys are to be told and not known yet."""
        return [self._first[kind].seq for kind in self._told() if not self._first[kind].key]

    def reasons(self, keys: Mapping[int, str] | None = None) -> tuple[Reason, ...]:
        """The kinds, the commonest first, each with one row.

        Args:
            keys: by number in the plan, masked.
        """
        return tuple(
            Reason(reason=kind.reason, rule=kind.rule, field=kind.field, policy=kind.policy, rows=self._rows[kind],
                   message=one.message, outline=one.outline, example=one.key or (keys or {}).get(one.seq, ""))
            for kind in self._told()
            for one in [self._first[kind]]
        )  # fmt: skip


def listed(reasons: Iterable[Reason], most: int = 3) -> str:
    """`currency: format in 2 rows, value: minimum in 1 row`."""
    found = list(reasons)
    parts = [f"{one.field or 'key'}: {one.rule or one.reason} in {one.rows:,} row{'' if one.rows == 1 else 's'}"
             for one in found[:most]]  # fmt: skip
    return ", ".join([*parts, *([f"and {len(found) - most} more rules"] if len(found) > most else [])])
