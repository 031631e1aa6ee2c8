"""People who may be one person: found in the models by rules, counted, and remembered run by run.

A rule names columns and what is done to their texts before they are compared; rows with different keys and the same
texts are a *group*. One statement a sync finds the groups of all its rules, and reads its model once. Nothing is
decided here: a group is a candidate, and a merge is declared by a person (`type: merge`).

Runs of a person sync that declares `duplicates:` add one row a rule to `identity_log`, so that the numbers can be
seen over time. A project that declares nothing has no such table and makes no such statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Alike, DuplicateRule, Sync
from revetl.dialects import Dialect, source_column, subquery_text
from revetl.diffsql import Shape
from revetl.state import Catalog, create_table
from revetl.tables import IDENTITY_LOG, identity_log_table
from revetl.warehouse import Warehouse

RUNS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """People who are alike by a rule: how many, and the first and the last of their keys."""

    people: int
    first: str
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one rule found.

    Attributes:
        groups: how many groups of people.
        people: in all of them.
        largest: some groups, the largest first.
        before: (groups, people) of the last runs, the oldest first; empty where none was recorded.
    """

    rule: DuplicateRule
    groups: int = 0
    people: int = 0
    largest: tuple[Group, ...] = ()
    before: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the rules of one person sync found in its model."""

    sync: Sync
    found: tuple[Found, ...]

    @property
    def any(self) -> bool:
        """Whether there is a candidate at all."""
        return any(one.groups for one in self.found)


def alike(value: Any, how: Alike) -> Any:  # noqa: ANN401 SQL expressions
    """A text in the form in which a rule compares it; NULL where nothing is left of it."""
    if how is Alike.PHONE:
        value = sa.func.regexp_replace(sa.func.trim(value), "^00", "+")
        value = sa.func.concat(
            sa.case((sa.func.substr(value, 1, 1) == "+", "+"), else_=""), _without(value, "[^0-9]")
        )
    elif how is Alike.FORM:
        value = _without(sa.func.lower(value), "[\\s\u200b\ufeff]")
        value = sa.func.regexp_replace(value, "^([0-9]+)[.]0+$", "\\1")
    else:
        value = sa.func.trim(value)
        value = value if how is Alike.TRIM else sa.func.lower(value)
    return sa.func.nullif(sa.func.nullif(value, ""), "+")


def _without(value: Any, pattern: str) -> Any:  # noqa: ANN401 SQL expressions
    return sa.func.regexp_replace(value, pattern, "", "g")


def groups(dialect: Dialect, shape: Shape, sql: str, most: int) -> sa.Select[Any]:
    """For each rule with groups its `most` largest: rule, people, first and last key, groups and people of the rule."""
    def text(name: str) -> Any:  # noqa: ANN401 a SQL expression
        return sa.collate(sa.cast(source_column(name), sa.Text), dialect.collation)

    words = []
    for rule, columns in zip(shape.sync.duplicate_rules(), shape.duplicates, strict=True):
        parts = [alike(text(column.name), rule.normalize) for column in columns]
        word = parts[0]
        for part in parts[1:]:
            # with `||` one NULL makes all of it NULL: a person of whom a part is not known is like nobody
            size = sa.cast(sa.func.length(word), sa.Text)
            word = size.op("||")(":").op("||")(word).op("||")(part)
        words.append(word)
    model = (
        sa.select(text(shape.key.name).label("_key"), *(word.label(f"_w{i}") for i, word in enumerate(words)))
        .select_from(subquery_text(sql, "m"))
        .subquery("m")
    )
    rules = sa.union_all(*(sa.select(sa.literal(i).label("_r")) for i in range(len(words)))).subquery("r")
    word = sa.case(*((rules.c._r == i, model.c[f"_w{i}"]) for i in range(len(words))))
    each = sa.select(model.c._key, rules.c._r, word.label("_w")).select_from(model.join(rules, sa.true())).subquery("e")
    people = sa.func.count(sa.distinct(each.c._key))
    group = (
        sa.select(each.c._r, people.label("_n"), sa.func.min(each.c._key).label("_a"), sa.func.max(each.c._key).label("_z"))
        .where(each.c._w.is_not(None), each.c._key.is_not(None))
        .group_by(each.c._r, each.c._w)
        .having(sa.func.min(each.c._key) != sa.func.max(each.c._key))
        .subquery("g")
    )
    g = group.c
    ranked = sa.select(
        g._r, g._n, g._a, g._z,
        sa.func.row_number().over(partition_by=g._r, order_by=[g._n.desc(), g._a]).label("_pos"),
        sa.func.count().over(partition_by=g._r).label("_groups"),
        sa.func.sum(g._n).over(partition_by=g._r).label("_people"),
    ).subquery("k")  # fmt: skip
    k = ranked.c
    return sa.select(k._r, k._n, k._a, k._z, k._groups, k._people).where(k._pos <= most).order_by(k._r, k._pos)


def find(  # noqa: PLR0913 where to look, and where what was found before is kept
    warehouse: Warehouse, shape: Shape, sql: str, *, most: int, catalog: Catalog, schema: str
) -> Candidates:
    """What the rules of one person sync find now, and what they found before."""
    rules = shape.sync.duplicate_rules()
    if not rules:
        return Candidates(sync=shape.sync, found=())
    rows = warehouse.fetch(groups(warehouse.dialect, shape, sql, most))
    before = _before(warehouse, schema, shape.sync.uid) if IDENTITY_LOG in catalog else {}
    found = []
    for number, rule in enumerate(rules):
        mine = [row for row in rows if row[0] == number]
        found.append(
            Found(
                rule=rule, groups=int(mine[0][4]) if mine else 0, people=int(mine[0][5]) if mine else 0,
                largest=tuple(Group(people=int(n), first=str(a), last=str(z)) for _, n, a, z, _, _ in mine),
                before=tuple(before.get(rule.name, ())),
            )
        )  # fmt: skip
    return Candidates(sync=shape.sync, found=tuple(found))


def _before(warehouse: Warehouse, schema: str, uid: str) -> dict[str, list[tuple[int, int]]]:
    """By rule: groups and people of the last runs, the oldest first."""
    log = identity_log_table(schema).c
    newest = sa.func.row_number().over(partition_by=log.rule, order_by=log.counted_at.desc())
    last = sa.select(log.rule, log.groups, log.people, newest.label("_pos")).where(log.uid == uid).subquery("l")
    rows = warehouse.fetch(
        sa.select(last.c.rule, last.c.groups, last.c.people).where(last.c._pos <= RUNS_SHOWN).order_by(last.c._pos.desc())
    )
    found: dict[str, list[tuple[int, int]]] = {}
    for rule, count, people in rows:
        found.setdefault(rule, []).append((int(count), int(people)))
    return found


def record(  # noqa: PLR0913 as `find`
    warehouse: Warehouse, shape: Shape, sql: str, *, catalog: Catalog, schema: str, run_id: str
) -> None:
    """Count once more and remember it; reads the model once. Only for a sync that declares `duplicates:`."""
    log = identity_log_table(schema)
    if IDENTITY_LOG not in catalog:
        create_table(warehouse, sa.schema.CreateTable(log, if_not_exists=True), log)
    found = find(warehouse, shape, sql, most=1, catalog={}, schema=schema).found
    now = sa.cast(warehouse.dialect.now_ms(), sa.BigInteger)
    rows: Sequence[dict[str, Any]] = [
        {"run_id": run_id, "uid": shape.sync.uid, "rule": one.rule.name, "groups": one.groups, "people": one.people,
         "counted_at": now}
        for one in found
    ]  # fmt: skip
    if rows:
        warehouse.execute(sa.insert(log).values(rows))
