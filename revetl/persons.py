"""What a plan means for who is who, beyond its counts: ids that look like other ids, and visitors who become known.

Both are asked only where they can matter: the first where a project names people by id and somebody is new, the second
in the diff of an event sync with `no_person: anonymous` whose people have anonymous ids. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from revetl.contracts import CAMPAIGN_HORIZON_S, IdentifierKind
from revetl.dialects import Dialect, source_column, subquery_text, unix_seconds
from revetl.diffsql import Shape
from revetl.identity import BLANKS
from revetl.plan import Counts
from revetl.reasons import Reason
from revetl.tables import StreamTables

MERGED_S = 30 * 86_400  # events of an anonymous id are tied to its person for so long (Track API, "anonymous events")
KINDS = {
    "float": "one of the two is written like a fraction (17850.0 beside 17850)",
    "case": "they differ only by capital letters",
    "zeros": "they differ only by zeros at the beginning",
    "blanks": "they differ only by blanks or characters without a width",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitors:
    """Anonymous events of visitors whom the run would identify.

    Attributes:
        tied: not older than 30 days: Customer.io ties them to the person.
        stale: older ones, which stay anonymous.
        hot: those of `tied` that are within 72 hours, so that they can still trigger campaigns.
        known: events not sent yet of visitors who were identified by an earlier run. Customer.io ties what arrives within
            five minutes of that; the others would stay anonymous.
    """

    tied: int = 0
    stale: int = 0
    hot: int = 0
    known: int = 0


NO_VISITORS = Visitors()


def asks_for_lookalikes(shape: Shape, counts: Counts) -> bool:
    """Whether some new id may look like another one."""
    return shape.sync.is_person and shape.sync.identifier is IdentifierKind.ID and counts.created > 0


def lookalikes(plan: Any, state: sa.Table | None) -> sa.Select[Any]:  # noqa: ANN401 a table or a CTE
    """New ids that are another id in another form: the kind, how many, and two keys of one pair."""
    new = sa.select(plan.c._key, sa.literal(1).label("_new")).where(plan.c._op == "create")
    every = new if state is None else sa.union_all(new, sa.select(state.c._key, sa.literal(0)))
    k = every.subquery("k").c
    form = _form(k._key)
    first, last = sa.func.min(k._key), sa.func.max(k._key)
    g = (
        sa.select(first.label("_a"), last.label("_z"), sa.func.sum(k._new).label("_new"))
        .group_by(form)
        .having(first != last, sa.func.sum(k._new) > 0)
        .subquery("g")
        .c
    )
    a, z = g._a, g._z
    bare_a, bare_z = (sa.func.trim(_visible(one), BLANKS) for one in (a, z))
    kind = sa.case(
        (sa.or_(bare_a.like("%.0"), bare_z.like("%.0"), bare_a.like("%.00"), bare_z.like("%.00")), "float"),
        (sa.func.lower(a) == sa.func.lower(z), "case"),
        (sa.func.ltrim(a, "0") == sa.func.ltrim(z, "0"), "zeros"),
        else_="blanks",
    )
    return sa.select(kind, sa.func.sum(g._new), sa.func.min(a), sa.func.min(z)).group_by(kind).order_by(kind)


def _visible(key: Any) -> Any:  # noqa: ANN401 SQL expressions
    return sa.func.replace(sa.func.replace(key, "\u200b", ""), "\ufeff", "")


def _form(key: Any) -> Any:  # noqa: ANN401 SQL expressions
    """What is left of an id without all that a spreadsheet, a form or a float may have added."""
    bare = sa.func.ltrim(sa.func.lower(sa.func.trim(_visible(key), BLANKS)), "0")
    return sa.case((bare.like("%.0%"), sa.func.rtrim(sa.func.rtrim(bare, "0"), ".")), else_=bare)


def reasons(rows: Sequence[tuple[Any, ...]], masked: Any) -> tuple[Reason, ...]:  # noqa: ANN401 a function
    """The rows of `lookalikes`, with masked keys."""
    return tuple(
        Reason(reason=kind, field="", message=KINDS[kind], rows=int(count), example=f"{masked(str(a))} beside {masked(str(z))}")
        for kind, count, a, z in rows
    )


def visitors(  # noqa: PLR0913 two models and what is known of both
    dialect: Dialect, shape: Shape, sql: str, tables: StreamTables | None, people: Shape, people_sql: str,
    people_state: sa.Table | None, now_s: int,
) -> sa.Select[Any]:  # fmt: skip
    """The numbers of `Visitors`, in its order.

    Args:
        tables: of the event stream, if it was ever sent.
        people_state: of the people, if it has their anonymous ids.
    """
    assert shape.anonymous is not None  # noqa: S101 asked only of events with anonymous ids
    assert shape.occurred_at is not None  # noqa: S101 an event sync without it does not load
    anonymous = people.sync.named("anonymous_id")
    assert anonymous is not None  # noqa: S101 the same
    person: Any = sa.literal("") if shape.person is None else sa.cast(source_column(shape.person.name), sa.Text)
    at = unix_seconds(dialect, source_column(shape.occurred_at.name), shape.occurred_at, shape.sync.zone)
    m = (
        sa.select(
            sa.cast(source_column(shape.key.name), sa.Text).label("_key"),
            sa.cast(source_column(shape.anonymous.name), sa.Text).label("_anon"), at.label("_at"),
        )
        .select_from(subquery_text(sql, "m"))
        .where(sa.func.coalesce(sa.func.trim(person), "") == "", source_column(shape.anonymous.name).is_not(None))
        .subquery("e")
    )  # fmt: skip
    column = people.columns[people.sync.fields.index(anonymous)]
    new = (
        sa.select(sa.cast(source_column(column.name), sa.Text).label("_anon"))
        .select_from(subquery_text(people_sql, "p"))
        .where(source_column(column.name).is_not(None))
        .distinct()
        .subquery("new")
    )
    joined: Any = m.outerjoin(new, new.c._anon == m.c._anon)
    before: Any = sa.false()
    if people_state is not None:
        old = sa.select(people_state.c["anonymous_id"].label("_anon")).distinct().subquery("old")
        joined, before = joined.outerjoin(old, old.c._anon == m.c._anon), old.c._anon.is_not(None)
    sent: Any = sa.false()
    if tables is not None:
        t = tables.state.alias("t")
        joined, sent = joined.outerjoin(t, t.c._key == m.c._key), t.c._key.is_not(None)
    now = sa.and_(new.c._anon.is_not(None), sa.not_(before))

    def count(*conditions: Any) -> Any:  # noqa: ANN401 SQL expressions
        return sa.func.coalesce(sa.func.sum(sa.case((sa.and_(*conditions), 1), else_=0)), 0)

    return sa.select(
        count(now, m.c._at >= now_s - MERGED_S), count(now, m.c._at < now_s - MERGED_S),
        count(now, m.c._at >= now_s - CAMPAIGN_HORIZON_S), count(before, sa.not_(sent)),
    ).select_from(joined)  # fmt: skip
