"""What changed between two contracts: a table of cases, and that `widened` is exactly what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from revetl.contracts import Field, FieldType, IdentifierKind, OnNull, OnViolation, Rename, Sync, SyncType
from revetl.errors import Where
from revetl.values import Codec
from revetl.versions import Recorded, classify, early_ends


def made(name: str, kind: str = "string", **rules: Any) -> Field:
    return Field(name=name, column=rules.pop("column", name), type=FieldType(kind), **rules)


def sync(*fields: Field, **changes: Any) -> Sync:
    base = Sync(
        name="people", uid="people01", type=SyncType.PERSON, model="people", relation="ref('people')",
        identifier=IdentifierKind.ID, key="id", fields=fields,
    )  # fmt: skip
    return replace(base, **changes)


UNTIL = date(2027, 3, 1)
LTV = Rename(name="ltv", until=UNTIL)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([], [made("tier")], ["+ tier (added)"]),
        ([], [made("tier", required=True)], ["+ tier required (added) !"]),
        ([made("tier")], [], ["- tier (removed) !"]),
        ([made("ltv", "number")], [made("value", "number", renamed_from=LTV)],
         ["value was ltv; both are sent until 2027-03-01 (renamed)"]),
        ([made("ltv", "number")], [made("value", "number", renamed_from=LTV, minimum=0)],
         ["value was ltv; both are sent until 2027-03-01 (renamed)", "value minimum none → 0 (narrowed) !"]),
        ([made("value", renamed_from=LTV)], [made("value")], ["- ltv the old name of value, sent until 2027-03-01 (removed)"]),
        ([made("value", renamed_from=LTV)], [made("value", renamed_from=Rename(name="ltv", until=date(2027, 4, 1)))],
         ["value is sent as ltv too until 2027-03-01 → 2027-04-01 (changed)"]),
        ([made("a", "integer")], [made("a", "number")], ["a integer → number (widened)"]),
        ([made("a", "number")], [made("a", "integer")], ["a number → integer (retyped) !"]),
        ([made("a", "date")], [made("a", "string", required=True)], ["a date → string (retyped) !"]),
        ([made("a", "integer", minimum=0)], [made("a", "integer", minimum=1)], ["a minimum 0 → 1 (narrowed) !"]),
        ([made("a", "integer", minimum=0.2)], [made("a", "integer", minimum=0.7)], ["a minimum 0.2 → 0.7 (changed)"]),
        ([made("a", "number", minimum=0, maximum=5)], [made("a", "number", maximum=4)],
         ["a minimum 0 → none (widened)", "a maximum 5 → 4 (narrowed) !"]),
        ([made("a", enum=("x", "y"))], [made("a", enum=("y", "z"))], ["a enum +z -x (narrowed) !"]),
        ([made("a", enum=("x",))], [made("a", enum=("x", "y"))], ["a enum +y (widened)"]),
        ([made("a", enum=("x", "y"))], [made("a", enum=("y", "x"))], ["a enum in another order (changed)"]),
        ([made("a")], [made("a", enum=("x", "y"))], ["a enum none → 2 values (narrowed) !"]),
        ([made("a", enum=("x", "y"))], [made("a", pattern="[xyz]")],
         ["a pattern none → [xyz] (widened)", "a enum 2 → none values (widened)"]),
        ([made("a")], [made("a", pattern="x+")], ["a pattern none → x+ (narrowed) !"]),
        ([made("a", pattern="x+")], [made("a")], ["a pattern x+ → none (widened)"]),
        ([made("a", pattern="x+")], [made("a", pattern="x*")], ["a pattern x+ → x* (narrowed) !"]),  # nobody can tell
        ([made("a", max_length=3)], [made("a", max_length=5)], ["a max_length 3 → 5 (widened)"]),
        ([made("a", format="iso4217")], [made("a", format="iso4217", max_length=3)], ["a max_length none → 3 (changed)"]),
        ([made("a", format="email")], [made("a")], ["a format email → none (widened)"]),
        ([made("a")], [made("a", required=True)], ["a on_null skip → required (narrowed) !"]),
        ([made("a", required=True)], [made("a", on_null=OnNull.REFUSE)], ["a required → on_null refuse (widened)"]),
        ([made("a")], [made("a", on_null=OnNull.CLEAR)], ["a on_null skip → on_null clear (changed)"]),
        ([made("a")], [made("a", column="b", normalize="trim")],
         ["a column a → b (changed)", "a normalize none → trim (changed)"]),
        ([made("ltv")], [made("value", column="ltv", renamed_from=LTV)],
         ["value was ltv; both are sent until 2027-03-01 (renamed)"]),
        ([made("l", "array", items=(made("sku"),))], [made("l", "array", items=(made("sku", required=True), made("n")))],
         ["l.sku on_null skip → required (narrowed) !", "+ l.n (added)"]),
        ([made("l", "array", item=made("l[]", "integer"))], [made("l", "array", item=made("l[]", "number", minimum=0))],
         ["l[] integer → number (widened)", "l[] minimum none → 0 (narrowed) !"]),
        ([made("l", "array", min_items=1)], [made("l", "array", max_items=3)],
         ["l min_items 1 → none (widened)", "l max_items none → 3 (narrowed) !"]),
        ([made("a", min_length=2)], [made("a", min_length=1)], ["a min_length 2 → 1 (widened)"]),
        ([made("a", "date", maximum="now")], [made("a", "date", maximum="2030-01-01")],
         ["a maximum now → 2030-01-01 (narrowed) !"]),  # one day it is
        ([made("a", "date", maximum="2029-01-01")], [made("a", "date", maximum="2030-01-01")],
         ["a maximum 2029-01-01 → 2030-01-01 (widened)"]),
        ([made("a", "integer", enum=(1, 2))], [made("a", "number", maximum=2)],
         ["a integer → number (widened)", "a maximum none → 2 (widened)", "a enum 2 → none values (widened)"]),
        ([made("a", minimum=None, pattern="x", on_violation=OnViolation.WARN)], [made("a", pattern="x")],
         ["a on_violation warn → refuse (narrowed) !"]),
        ([made("a", pattern="x")], [made("a", pattern="x", by_rule=(("pattern", OnViolation.WARN),))],
         ["a on_violation refuse → refuse, pattern: warn (widened)"]),
        ([made("a", pattern="x", by_rule=(("pattern", OnViolation.WARN),))], [made("a", pattern="y",
          by_rule=(("pattern", OnViolation.WARN),))], ["a pattern x → y (changed)"]),  # neither refuses
        ([made("l", "array")], [made("l", "array", items=(made("sku"),))], ["l items any → with fields (narrowed) !"]),
    ],
)  # fmt: skip
def test_the_kinds_of_changes(old: list[Field], new: list[Field], said: list[str]) -> None:
    found = classify(sync(*old).contract(), sync(*new).contract())
    assert [str(change) + (" !" if change.breaks else "") for change in found] == said


def test_an_event_that_is_renamed() -> None:
    old = sync(type=SyncType.EVENT, event="order_completed")
    new = sync(type=SyncType.EVENT, event="Order Completed", renamed_from=Rename(name="order_completed", until=UNTIL))
    assert [str(c) for c in classify(old.contract(), new.contract())] == [
        "event order_completed → Order Completed (renamed)", "event is sent as order_completed too until 2027-03-01 (changed)",
    ]  # fmt: skip


def test_the_place_in_the_file_is_no_part_of_a_contract() -> None:
    one = sync(made("a", description="x", where=Where(file="a.yml", line=1)))
    other = sync(made("a", description="y", where=Where(file="b.yml", line=9)))
    assert one.contract_digest() == other.contract_digest()
    assert one.contract_digest() != sync(made("a", minimum=1)).contract_digest()


def test_a_version_is_counted_only_where_the_contract_is_another() -> None:
    first = Recorded().next(sync(made("a")))
    again = Recorded.read(first.text())
    assert (first.number, again, again.next(sync(made("a")))) == (1, first, again)
    assert again.next(sync(made("b"))).number == 2


# --- early ends --------------------------------------------------------------------------------------------------

EVENT = {"type": SyncType.EVENT, "event": "Order Completed"}
OLD_EVENT = Rename(name="order_completed", until=UNTIL)


@pytest.mark.parametrize(
    ("old", "new", "day", "ended"),
    [
        (sync(made("value", renamed_from=LTV)), sync(made("value")), date(2027, 3, 1), ["ltv"]),
        (sync(made("value", renamed_from=LTV)), sync(made("value")), date(2027, 3, 2), []),
        (sync(made("value", renamed_from=LTV)), sync(), date(2027, 1, 1), ["ltv"]),
        (sync(made("value", renamed_from=LTV)), sync(made("ltv")), date(2027, 1, 1), []),  # it is sent again
        (sync(made("value", renamed_from=LTV)), sync(made("worth", renamed_from=LTV)), date(2027, 1, 1), []),
        (sync(made("value", renamed_from=LTV)), sync(made("value", renamed_from=Rename(name="ltv", until=date(2027, 2, 1)))),
         date(2027, 1, 1), ["ltv"]),
        (sync(made("value", renamed_from=LTV)), sync(made("value", renamed_from=Rename(name="ltv", until=date(2028, 1, 1)))),
         date(2027, 1, 1), []),
        (sync(**EVENT, renamed_from=OLD_EVENT), sync(**EVENT), date(2027, 1, 1), ["order_completed"]),
        (sync(**EVENT, renamed_from=OLD_EVENT), sync(type=SyncType.EVENT, event="order_completed"), date(2027, 1, 1), []),
        (sync(made("order_completed"), **EVENT, renamed_from=OLD_EVENT), sync(made("order_completed"), **EVENT),
         date(2027, 1, 1), ["order_completed"]),  # a property of that name is another thing
    ],
)  # fmt: skip
def test_an_old_name_that_ends_before_its_day(old: Sync, new: Sync, day: date, ended: list[str]) -> None:
    assert [end.name for end in early_ends(old.contract(), new.contract(), day)] == ended


# --- widening, by what the encoder really accepts ------------------------------------------------------------------

TEXTS = ("", "a", "b", "ab", "abc", "EUR", "US", "x@y.de", "ä", "abcdefgh")
NUMBERS = tuple(range(-3, 5))
WORDS = st.lists(st.sampled_from(TEXTS), max_size=3, unique=True).map(tuple)
RULES: list[dict[str, Any]] = [{}, {"on_null": OnNull.CLEAR}, {"on_null": OnNull.REFUSE}, {"required": True}]
NULLS = st.sampled_from(RULES)


@st.composite
def strings(draw: st.DrawFn) -> Field:
    return made(
        "f", enum=draw(WORDS), max_length=draw(st.sampled_from([0, 1, 2, 3, 6, 8])),
        format=draw(st.sampled_from(["", "", "email", "iso4217"])), pattern=draw(st.sampled_from(["", "", "[ab]*"])),
        **draw(NULLS),
    )  # fmt: skip


@st.composite
def numbers(draw: st.DrawFn) -> Field:
    bound = st.none() | st.sampled_from([-2, -1, -0.5, 0, 0.2, 0.7, 1, 2])
    low, high = draw(bound), draw(bound)
    assume(low is None or high is None or low + 1 <= high)
    return made("f", draw(st.sampled_from(["integer", "number"])), minimum=low, maximum=high, **draw(NULLS))


def accepted(field: Field) -> set[Any]:
    values: list[Any] = [None, *(TEXTS if field.type == "string" else NUMBERS)]
    if field.type == "number":
        values += [n + part for n in NUMBERS for part in (0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.9)]
    codec = Codec(field, limit=1000)
    return {value for value in values if not codec.page([value]).problems}


@given(old=strings(), new=strings())
def test_a_string_that_is_not_narrowed_accepts_all_that_it_did(old: Field, new: Field) -> None:
    breaks = any(c.breaks for c in classify(sync(old).contract(), sync(new).contract()))
    if not breaks:
        assert accepted(old) <= accepted(new)


@given(old=strings(), new=strings())
def test_a_list_of_texts_is_narrowed_only_if_a_value_is_refused(old: Field, new: Field) -> None:
    assume(old.enum and accepted(old) - {None})
    breaks = any(c.breaks for c in classify(sync(old).contract(), sync(new).contract()))
    assert breaks == (not accepted(old) <= accepted(new))


@given(old=numbers(), new=numbers())
def test_a_number_is_narrowed_exactly_if_a_value_is_refused(old: Field, new: Field) -> None:
    retyped = (old.type, new.type) == ("number", "integer")
    breaks = any(c.breaks for c in classify(sync(old).contract(), sync(new).contract()))
    assert breaks == (retyped or not accepted(old) <= accepted(new))
