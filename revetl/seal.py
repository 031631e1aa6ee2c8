"""A seal over what revetl keeps, so that a change from outside is found before the first request.

The seal of a table is the number of its rows and the sum of a hash of each: the order does not matter, and a fold
changes it by the rows that it changes. The hash is the engine's own and quick one. It may differ between versions
of an engine, so the seal names the version that made it: after an upgrade of the warehouse there is one run
without this check, which makes a new seal. It shows accidents and edits, not an attacker who can write to
the control row as well (`docs/state.md`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from revetl.warehouse import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Rows, and the sum of their hashes over some columns.

    Attributes:
        engine: name and version of the engine that made the hashes.
        columns: what is hashed, in order.
    """

    engine: str
    columns: tuple[str, ...]
    rows: int
    total: int

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """The seal that `text` says; None where there is none yet."""
        if not text:
            return None
        found: dict[str, Any] = json.loads(text)
        return cls(engine=found["engine"], columns=tuple(found["columns"]), rows=int(found["rows"]), total=int(found["sum"]))

    def text(self) -> str:
        """As it is kept."""
        found = {"engine": self.engine, "columns": list(self.columns), "rows": self.rows, "sum": str(self.total)}
        return json.dumps(found, separators=(",", ":"))

    def moved(self, before: Seal, after: Seal) -> Seal | None:
        """This seal after the rows of `before` became those of `after`; None where they cannot be compared."""
        if not self.same_kind(before) or not self.same_kind(after):
            return None
        return Seal(
            engine=self.engine, columns=self.columns, rows=self.rows - before.rows + after.rows,
            total=self.total - before.total + after.total,
        )  # fmt: skip

    def same_kind(self, other: Seal) -> bool:
        """Whether the hashes of both mean the same."""
        return (self.engine, self.columns) == (other.engine, other.columns)


def measure(warehouse: Warehouse, table: sa.Table, columns: Sequence[str], where: Any = None) -> Seal:  # noqa: ANN401
    """The seal over the rows that meet a condition (all without one); one statement."""
    dialect = warehouse.dialect
    hashed = dialect.row_hash([table.c[name] for name in columns])
    total = sa.cast(sa.func.coalesce(sa.func.sum(hashed), 0), sa.Text)
    select = sa.select(dialect.engine_version(), sa.func.count(), total).select_from(table)
    version, rows, found = warehouse.fetch(select if where is None else select.where(where))[0]
    return Seal(engine=f"{dialect.name} {version}", columns=tuple(columns), rows=int(rows), total=int(found))
