"""Who is who: how e-mail addresses are written, and which rows would collide in Customer.io. Pure rules and their SQL.

E-mail addresses are normalised by one rule, before anything is compared (`docs/identity.md`):

    trim      blanks and characters without a width go from both ends
    unicode   NFC: one form of each letter with an accent, in the domain as well
    case      capital letters of Latin, Greek, Cyrillic and Armenian become small ones

Dots and plus-tags stay, and no domain is translated to its `xn--` form. `normal_email` is the rule in Python,
`email_sql` the same in SQL: both give the same bytes on every engine and under every collation (tested). An
address of ASCII only takes a shorter way through SQL. Ids are texts, byte for byte, and never normalised.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from revetl.contracts import Field, Identity, OnMoved, OnShared

if TYPE_CHECKING:
    from revetl.dialects import Dialect

_ASCII_BLANKS = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f "
# white space of Unicode, and what has no width
_WIDE_BLANKS = "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x2010))) + "\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
BLANKS = _ASCII_BLANKS + _WIDE_BLANKS
# letters whose small form is one letter too: engines disagree about the others, and about younger letters
_CAPITALS = "".join(
    chr(code)
    for low, high in ((0x41, 0x24F), (0x370, 0x52F), (0x531, 0x556), (0x1E00, 0x1EFF))
    for code in range(low, high + 1)
    if len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)
)
_SMALL = "".join(letter.lower() for letter in _CAPITALS)  # not of the whole text: a final sigma is another letter
_LOWER = str.maketrans(_CAPITALS, _SMALL)


def normal_email(text: str) -> str:
    """An address as it is compared and sent."""
    return unicodedata.normalize("NFC", text.strip(BLANKS)).translate(_LOWER)


def email_sql(dialect: Dialect, value: Any) -> Any:  # noqa: ANN401 SQL expressions
    """`normal_email` in SQL."""
    # both branches of the CASE with one collation: PostgreSQL takes two explicit ones for a mistake
    plain = sa.collate(dialect.ascii_lower(sa.func.trim(value, _ASCII_BLANKS)), dialect.collation)
    other = sa.func.translate(dialect.nfc(sa.func.trim(value, BLANKS)), _CAPITALS, _SMALL)
    return sa.collate(sa.case((dialect.octets(value) == sa.func.length(value), plain), else_=other), dialect.collation)


def clearable(attribute: Field) -> bool:
    """Whether `when_missing: clear` erases it: not what says who somebody is, since when, and what they agreed to.

    A null of `unsubscribed` would subscribe people again.
    """
    kept = {"id", "anonymous_id", "created_at", "unsubscribed"}
    return attribute.name not in kept and not attribute.name.startswith("cio_subscription_preferences")


# --- rows that would collide -----------------------------------------------------------------------------------

# why a row is not sent although it differs: its `_op` in the plan, and what is said of it
QUARANTINED = {
    "collision": "their keys are one address in different spellings",
    "shared": "other rows of the model have the same address",
    "taken": "another person has the address, and keeps it",
    "leaving": "the address belongs to somebody who is deleted at the end of this run: the next run sends them",
    "changed": "a known person gets another address, which Customer.io takes only where the workspace allows it",
    "anonymous_shared": "other rows of the model have the same anonymous id",
    "anonymous_taken": "the anonymous id belongs to another person, and cannot be used twice",
}
UPSERTS = ("create", "update", "redrive")
EARLY, NORMAL, LATER, LAST = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What the rows of a person sync must not have in common, and what happens where they do.

    The rows have `_addr` and `_was` (the address by the model and by the state), `_rank` for `on_shared: newest`,
    `_anon` and `_anon_was` for anonymous ids. An address is whatever identifies a person besides the primary
    identifier.

    Attributes:
        rules: the project's identity.
        column: of the address in the rows; empty where no attribute is one.
        changes: whether Customer.io takes another address for a known person.
        anonymous: whether people have anonymous ids.
        state: where the holders are looked up; None where nothing was ever sent.
        held, held_anonymous: the address and the anonymous id in `state` as they are compared; None: it has none.
        kept: what `state` has for each column of the rows.
    """

    rules: Identity
    column: str = ""
    changes: bool = False
    anonymous: bool = False
    state: Any = None
    held: Any = None
    held_anonymous: Any = None
    kept: Mapping[str, Any] = field(default_factory=dict)


def settle(rows: sa.CTE, contest: Contest, payload: Sequence[str]) -> sa.Subquery:
    """The rows with those that would collide taken out: their `_op` is a word of `QUARANTINED`.

    `_phase` is the order of sending: what frees an address first, who takes a freed address after that, deletes last.
    With `on_moved: release` there are rows more, `release`, which take an address from its old holder.

    Only rows that claim an address are asked about; their holders are found in the state.
    """
    c, state = rows.c, contest.state
    verdicts: list[tuple[Any, Any]] = []
    source: Any = rows
    holder: Any = sa.cast(sa.null(), sa.Text)
    if contest.column:
        if not contest.changes:
            known = sa.and_(c._op.in_(["update", "redrive"]), c._was.is_not(None), c._addr != c._was)
            verdicts.append((known, sa.literal("changed")))
        claims = _claims(rows, "_addr", "_was", "claims")
        losers = _losers(claims, "_addr", newest=contest.rules.on_shared is OnShared.NEWEST)
        source = source.outerjoin(losers, losers.c._key == c._key)
        verdicts.append((losers.c._key.is_not(None), sa.literal("shared")))
        if contest.held is not None:
            holders = _holders(claims, "_addr", state, contest.held).cte("holders")
            source = source.outerjoin(holders, holders.c._key == c._key)
            verdicts.append((holders.c._several > 1, sa.literal("taken")))
            holder = holders.c._holder
    if contest.anonymous:
        visitors = _claims(rows, "_anon", "_anon_was", "visitors")
        twice = _losers(visitors, "_anon", newest=False)
        source = source.outerjoin(twice, twice.c._key == c._key)
        verdicts.append((twice.c._key.is_not(None), sa.literal("anonymous_shared")))
        if contest.held_anonymous is not None:
            visited = _holders(visitors, "_anon", state, contest.held_anonymous).cte("visited")
            source = source.outerjoin(visited, visited.c._key == c._key)
            verdicts.append((visited.c._key.is_not(None), sa.literal("anonymous_taken")))
    own: Any = sa.case(*verdicts) if verdicts else sa.cast(sa.null(), sa.Text)
    judged = sa.select(*c, own.label("_own"), holder.label("_holder")).select_from(source).cte("judged")
    return _moved(judged, contest, payload)


def _claims(rows: sa.CTE, value: str, was: str, name: str) -> sa.CTE:
    """Rows that would give somebody a value that the state does not have for them."""
    c = rows.c
    new = sa.or_(c._op.in_(["create", "redrive"]), c[value].is_distinct_from(c[was]))
    return (
        sa.select(c._key, c[value], *([c._rank] if "_rank" in c else []))
        .where(c._op.in_(UPSERTS), c[value].is_not(None), new)
        .cte(name)
    )


def _losers(claims: sa.CTE, value: str, *, newest: bool) -> sa.CTE:
    """Keys of claims that share their value with another one; with `newest` all but the best of them."""
    double = sa.select(claims.c[value]).group_by(claims.c[value]).having(sa.func.count() > 1).subquery()
    both = sa.select(claims.c._key).select_from(claims.join(double, double.c[value] == claims.c[value]))
    if not newest:
        return both.cte(f"shared{value}")
    order = [claims.c._rank.desc().nulls_last(), claims.c._key]
    place = sa.func.row_number().over(partition_by=claims.c[value], order_by=order)
    ranked = both.add_columns(place.label("_place")).subquery()
    return sa.select(ranked.c._key).where(ranked.c._place > 1).cte(f"shared{value}")


def _holders(claims: sa.CTE, value: str, state: Any, held: Any) -> sa.Select[Any]:  # noqa: ANN401 SQL expressions
    """For each claim another person who has the value by the state, and how many have it."""
    on = sa.and_(held == claims.c[value], state.c._key != claims.c._key)
    first, several = sa.func.min(state.c._key).label("_holder"), sa.func.count().label("_several")
    return sa.select(claims.c._key, first, several).select_from(claims.join(state, on)).group_by(claims.c._key)


def _moved(judged: sa.CTE, contest: Contest, payload: Sequence[str]) -> sa.Subquery:
    """What becomes of rows whose address somebody else has, by what that one does in this run."""
    c, h = judged.c, judged.alias("h")
    erased = h.c._op.in_(["delete", "suppress"])
    free = sa.and_(h.c._own.is_(None), h.c._holder.is_(None), h.c._op.in_([*UPSERTS, "clear"]))
    moves: Any = sa.false()
    freed: Any = sa.false()
    if contest.column:
        moves = sa.and_(h.c._key.is_not(None), sa.or_(erased, h.c._op == "clear", h.c._addr.is_distinct_from(c._addr)))
        freed = sa.and_(c._was.is_not(None), sa.or_(c._addr.is_distinct_from(c._was), c._op == "clear"))
    source: Any = judged.outerjoin(h, h.c._key == c._holder)
    cases: list[tuple[Any, Any]] = [(c._own.is_not(None), c._own), (c._holder.is_(None), c._op)]
    release = contest.rules.on_moved is OnMoved.RELEASE and contest.held is not None
    stuck = _stuck(judged, moves, h) if release else None
    if stuck is None:
        cases += [(sa.not_(moves), sa.literal("taken")), (erased, sa.literal("leaving")), (sa.not_(free), sa.literal("taken"))]
    else:
        source = source.outerjoin(stuck, stuck.c._key == c._key)
        cases += [(stuck.c._key.is_not(None), sa.literal("taken"))]
    early = sa.or_(c._op == "redrive", sa.and_(c._op.in_(["update", "clear"]), freed))
    phase = sa.case(
        (c._op.in_(["delete", "suppress"]), LAST), (c._holder.is_not(None), LATER), (early, EARLY), else_=NORMAL
    )
    main = sa.select(
        sa.case(*cases, else_=c._op).label("_op"), c._key, c._n, *(c[name] for name in payload), phase.label("_phase")
    ).select_from(source)  # fmt: skip
    if stuck is None:
        return main.subquery("settled")
    wanted = (
        sa.select(c._holder)
        .select_from(judged.join(h, h.c._key == c._holder).outerjoin(stuck, stuck.c._key == c._key))
        .where(stuck.c._key.is_(None), sa.not_(free))
        .distinct()
        .subquery("wanted")
    )
    state = contest.state
    given = {**contest.kept, contest.column: sa.null()}
    released = sa.select(
        sa.literal("release").label("_op"), state.c._key, sa.literal(1).label("_n"),
        *(given.get(name, sa.false() if name == "_fresh" else sa.literal(0)).label(name) for name in payload),
        sa.literal(EARLY).label("_phase"),
    ).select_from(state.join(wanted, wanted.c._holder == state.c._key))  # fmt: skip
    return sa.union_all(main, released).subquery("settled")


def _stuck(judged: sa.CTE, moves: Any, h: Any) -> sa.CTE:  # noqa: ANN401 SQL expressions
    """Keys of rows that are not sent: held back themselves, or behind a holder who stays or is held back."""
    c = judged.c
    stays = sa.and_(c._holder.is_not(None), sa.not_(moves))
    first = (
        sa.select(c._key)
        .select_from(judged.outerjoin(h, h.c._key == c._holder))
        .where(c._key.is_not(None), sa.or_(c._own.is_not(None), stays))
    )
    found = first.cte("stuck", recursive=True)
    behind = judged.alias("behind")
    return found.union(
        sa.select(behind.c._key).select_from(behind.join(found, found.c._key == behind.c._holder))
    )
