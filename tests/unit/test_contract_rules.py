"""Rules, nested values and what becomes of a row, against a plain checker that looks at one value after another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from revetl.contracts import Field, FieldType, IdentifierKind, OnNull, OnViolation, Sync, SyncType
from revetl.destination import Operation, Refusal
from revetl.dialects import Column, Kind, canonical_type, type_problem
from revetl.encode import EventEncoder, PersonEncoder
from revetl.outline import MOST, outline

REFUSE, FAIL, WARN = OnViolation.REFUSE, OnViolation.FAIL, OnViolation.WARN
STRING, INTEGER, NUMBER, BOOLEAN = FieldType.STRING, FieldType.INTEGER, FieldType.NUMBER, FieldType.BOOLEAN
TIMESTAMP, DATE, ARRAY, OBJECT = FieldType.TIMESTAMP, FieldType.DATE, FieldType.ARRAY, FieldType.OBJECT
NOW = 1_800_000_000


class Broken(NamedTuple):
    """What a plain look finds: where, which rule ("" for what cannot be sent), and what becomes of the row."""

    path: str
    rule: str
    policy: OnViolation


# --- the plain checker -------------------------------------------------------------------------------------------------


def checked(one: Field, value: Any, path: str, *, nested: bool) -> Iterator[Broken]:  # noqa: C901 one rule after another
    """Every violation of one value."""

    def breaks(rule: str) -> Broken:
        return Broken(path, rule, one.policy(rule) if rule else REFUSE)

    if value is None:
        if one.required:
            yield breaks("required")
        elif one.on_null is OnNull.REFUSE:
            yield breaks("on_null")
        return
    if one.type in {ARRAY, OBJECT}:
        yield from inside(one, value, path, nested=nested)
        return
    if nested and one.type is STRING and type(value) is int and not path.endswith("[]"):
        value = str(value)
    kinds: dict[FieldType, Any] = {STRING: str, DATE: str, BOOLEAN: bool, INTEGER: int, TIMESTAMP: int, NUMBER: (int, float)}
    if not isinstance(value, kinds[one.type]) or (isinstance(value, bool) and one.type is not BOOLEAN):
        whole = one.type is INTEGER and isinstance(value, float) and value.is_integer()
        if not whole:
            yield breaks("type")
            return
    if isinstance(value, str):
        size = len(value.encode())
        if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", value) or size > 1000:
            yield breaks("")
            return
        if one.type is DATE and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", value, re.ASCII):
            yield breaks("type")
            return
        if one.required and not value:
            yield breaks("required")
        elif size < one.min_length:
            yield breaks("min_length")
        if one.max_length and size > one.max_length:
            yield breaks("max_length")
        if one.pattern and not re.fullmatch(one.pattern, value):
            yield breaks("pattern")
        if one.format == "iso4217" and value not in {"GBP", "EUR"}:
            yield breaks("format")
    if one.type is TIMESTAMP and not 999_999_999 < value < 100_000_000_000:
        yield breaks("")
        return
    if one.enum and value not in one.enum:
        yield breaks("enum")
    if one.minimum is not None and value < one.minimum:
        yield breaks("minimum")
    most = NOW + 300 if one.maximum == "now" else one.maximum
    if most is not None and value > most:
        yield breaks("maximum")


def inside(one: Field, value: Any, path: str, *, nested: bool) -> Iterator[Broken]:
    """Arrays and objects."""
    if not nested:
        value = json.loads(value)
    if not isinstance(value, list if one.type is ARRAY else dict):
        yield Broken(path, "type", one.policy("type"))
        return
    if isinstance(value, dict):
        for part in one.items:
            yield from checked(part, value.get(part.name), f"{path}.{part.name}", nested=True)
        return
    if len(value) < one.min_items:
        yield Broken(path, "min_items", one.policy("min_items"))
    if one.max_items and len(value) > one.max_items:
        yield Broken(path, "max_items", one.policy("max_items"))
    for item in value:
        if one.item is not None:
            for found in checked(one.item, item, f"{path}[]", nested=True):
                yield found._replace(path=found.path.replace("[]", ""))
        elif one.items and not isinstance(item, dict):
            yield Broken(path, "type", one.policy("type"))
        else:
            for part in one.items:
                yield from checked(part, item.get(part.name), f"{path}.{part.name}", nested=True)


def sent(one: Field, value: Any, *, nested: bool) -> Any:
    """What is sent of a value, as Python has it."""
    if one.type in {ARRAY, OBJECT} and not nested and value is not None:
        value = json.loads(value)
    if value is None:
        return None
    if one.type is OBJECT and one.items:
        found = {part.name: sent(part, value.get(part.name), nested=True) for part in one.items}
        return {name: part for name, part in found.items() if part is not None}
    if one.type is ARRAY and one.item is not None:
        return [sent(one.item, item, nested=True) for item in value]
    if one.type is ARRAY and one.items:
        return [sent(Field(name="", column="", type=OBJECT, items=one.items), item, nested=True) for item in value]
    if one.type is STRING and type(value) is int:
        return str(value)
    return value


# --- any contract, any row ---------------------------------------------------------------------------------------------

POLICIES = st.sampled_from(list(OnViolation))
PLAIN_RULES: dict[FieldType, list[dict[str, Any]]] = {
    STRING: [{}, {"pattern": "[a-c]*"}, {"enum": ("a", "bb")}, {"min_length": 2}, {"max_length": 2}, {"format": "iso4217"},
             {"pattern": "a.*", "min_length": 2, "max_length": 3, "enum": ("abc",)}],
    INTEGER: [{}, {"minimum": 0}, {"maximum": 3}, {"enum": (1, 2)}], NUMBER: [{}, {"minimum": -1.5}, {"enum": (0.5, 2)}],
    BOOLEAN: [{}, {"enum": (True,)}], TIMESTAMP: [{}, {"minimum": 1_500_000_000}, {"maximum": "now"}],
    DATE: [{}, {"minimum": "2015-01-01"}, {"maximum": "2020-12-31", "enum": ("2020-02-02", "2024-01-01")}],
}  # fmt: skip
PLAIN_VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    STRING: st.sampled_from(["", "a", "bb", "abc", "abcd", "é", "GBP", "x\x01", "x" * 1001]),
    INTEGER: st.integers(-1, 4), NUMBER: st.sampled_from([-2.0, -1.5, 0.5, 2, 2.5, 7]), BOOLEAN: st.booleans(),
    TIMESTAMP: st.sampled_from([5, 1_400_000_000, 1_600_000_000, NOW + 300, NOW + 301]),
    DATE: st.sampled_from(["2014-12-31", "2015-01-01", "2020-02-02", "2024-01-01", "1.2.2020"]),
}  # fmt: skip


@st.composite
def a_field(draw: st.DrawFn, name: str, depth: int) -> Field:
    kind = draw(st.sampled_from([*PLAIN_RULES, *([ARRAY, OBJECT] if depth else [])]))
    rules: dict[str, Any] = {"required": draw(st.booleans()), "on_violation": draw(POLICIES)}
    if not rules["required"]:
        rules["on_null"] = draw(st.sampled_from([OnNull.SKIP, OnNull.REFUSE]))
    if kind in PLAIN_RULES:
        rules |= draw(st.sampled_from(PLAIN_RULES[kind]))
    else:
        names = ["p", "q"][: draw(st.integers(0, 2))]
        if kind is ARRAY:
            rules |= draw(st.sampled_from([{}, {"min_items": 1}, {"max_items": 1}]))
        if kind is ARRAY and draw(st.booleans()):
            rules["item"] = draw(a_field(f"{name}[]", depth - 1))
        else:
            rules["items"] = tuple([draw(a_field(part, depth - 1)) for part in names])
    declared = [rule for rule in ("required", "enum", "pattern", "minimum", "type") if rules.get(rule) or rule == "type"]
    rules["by_rule"] = tuple((rule, draw(POLICIES)) for rule in draw(st.sets(st.sampled_from(declared))))
    return Field(name=name, column=name, type=kind, **rules)


def a_value(one: Field) -> st.SearchStrategy[Any]:
    """Values that mostly fit, as parsed JSON."""
    fits: st.SearchStrategy[Any]
    if one.type is OBJECT:
        fits = st.fixed_dictionaries({}, optional={part.name: a_value(part) for part in one.items} | {"other": st.just(1)})
    elif one.type is ARRAY and one.item is not None:
        fits = st.lists(a_value(one.item), max_size=2)
    elif one.type is ARRAY:
        fits = st.lists(st.fixed_dictionaries({}, optional={part.name: a_value(part) for part in one.items}), max_size=2)
    else:
        fits = PLAIN_VALUES[one.type]
    return st.one_of(fits, fits, fits, st.none(), st.sampled_from(["a", 1, True, [], {}]))


def a_column(one: Field) -> st.SearchStrategy[Any]:
    """What a warehouse gives for a field: JSON as text, else its type or null."""
    if one.type in {ARRAY, OBJECT}:
        return a_value(one).map(lambda value: None if value is None else json.dumps(value))
    return st.one_of(PLAIN_VALUES[one.type], PLAIN_VALUES[one.type], st.none())


@st.composite
def a_page(draw: st.DrawFn) -> tuple[Sync, list[tuple[Any, ...]]]:
    fields = tuple([draw(a_field(name, 2)) for name in ("a", "b")[: draw(st.integers(1, 2))]])
    sync = Sync(
        name="people", uid="p01", type=SyncType.PERSON, model="people", relation="ref('people')",
        identifier=IdentifierKind.ID, key="id", fields=fields, event="Bought",
    )  # fmt: skip
    rows = [
        (seq, "create", f"k{seq}", 3, *(draw(a_column(one)) for one in fields)) for seq in range(1, draw(st.integers(2, 5)))
    ]
    return sync, rows


@settings(max_examples=300)
@given(a_page())
def test_rows_end_as_the_plain_checker_says(given: tuple[Sync, list[tuple[Any, ...]]]) -> None:
    sync, rows = given
    encoded = PersonEncoder(sync, now_s=NOW).encode(rows)
    events = EventEncoder(sync, now_s=NOW).encode([(seq, key, "42", None, NOW, "", *v) for seq, _, key, _, *v in rows])
    ended: list[Operation | Refusal] = [*encoded.operations, *encoded.refusals]
    items = {one.seq: one for one in ended}
    assert len(items) == len(rows)
    for seq, _, _, _, *values in rows:
        found = [b for one, value in zip(sync.fields, values, strict=True) for b in checked(one, value, one.name, nested=False)]
        worst = next((p for p in (FAIL, REFUSE, WARN) if any(b.policy is p for b in found)), None)
        warned = {(w.field, w.rule) for w in encoded.warnings if w.seq == seq}
        item = items[seq]
        if worst in {FAIL, REFUSE}:
            assert isinstance(item, Refusal), (item, found)
            assert item.fails == (worst is FAIL), (item, found)
            assert Broken(item.field, item.rule, worst) in found
            assert warned == set()
        else:
            assert isinstance(item, Operation), (item, found)
            assert warned == {(b.path, b.rule) for b in found}
            expected = {one.name: sent(one, value, nested=False) for one, value in zip(sync.fields, values, strict=True)}
            assert json.loads(item.body)["attributes"] == {k: v for k, v in expected.items() if v is not None}
    # a page of one row says the same, and so do events, but for the limit of a text
    for row in rows:
        alone = PersonEncoder(sync, now_s=NOW).encode([row])
        assert [*alone.operations, *alone.refusals] == [items[row[0]]]
        assert alone.warnings == [w for w in encoded.warnings if w.seq == row[0]]
    if "x" * 1001 not in repr(rows):
        assert [(r.seq, r.field, r.rule, r.fails) for r in events.refusals] == [
            (r.seq, r.field, r.rule, r.fails) for r in encoded.refusals
        ]
        assert events.warnings == encoded.warnings


def one_row(value: Any, *fields: Field) -> tuple[list[Refusal], list[tuple[str, str]]]:
    sync = Sync(
        name="people", uid="p01", type=SyncType.PERSON, model="people", relation="ref('people')",
        identifier=IdentifierKind.ID, key="id", fields=fields,
    )  # fmt: skip
    encoded = PersonEncoder(sync).encode([(1, "create", "k", 1, *([value] * len(fields)))])
    return encoded.refusals, [(w.field, w.rule) for w in encoded.warnings]


P = Field(name="p", column="p", type=STRING, required=True)
Q = Field(name="q", column="q", type=STRING, required=True, on_violation=FAIL)


@pytest.mark.parametrize(("fields", "value", "where", "rule"), [
    ((Field(name="a", column="a", type=STRING, min_length=2, pattern="a.*", by_rule=(("pattern", FAIL),)),), "b", "a", "pattern"),
    ((Field(name="a", column="a", type=STRING, min_length=2), Field(name="b", column="b", type=STRING, enum=("x",),
      on_violation=FAIL)), "b", "b", "enum"),
    ((Field(name="a", column="a", type=OBJECT, items=(P, Q)),), "{}", "a.q", "required"),
    ((Field(name="a", column="a", type=ARRAY, items=(P, Q)),), '[{"q":"x"},{"p":"x"}]', "a.q", "required"),
    ((Field(name="a", column="a", type=ARRAY, items=(P, Q), min_items=3),), '[{"p":"x"}]', "a.q", "required"),
    ((Field(name="a", column="a", type=ARRAY, item=Field(name="", column="", type=INTEGER, minimum=1, enum=(2,),
      by_rule=(("enum", FAIL),))),), "[2,0]", "a", "enum"),
])  # fmt: skip
def test_a_rule_that_stops_the_sync_goes_before_one_that_refuses_the_row(
    fields: tuple[Field, ...], value: str, where: str, rule: str
) -> None:
    [found], warned = one_row(value, *fields)
    assert (found.field, found.rule, found.fails, warned) == (where, rule, True, [])


def test_a_row_that_is_not_sent_warns_of_nothing() -> None:
    fields = (replace(P, name="a", column="a", required=False, pattern="x", on_violation=WARN), replace(P, enum=("x",)))
    assert one_row("x", *fields) == ([], [])
    assert one_row("y", fields[0]) == ([], [("a", "pattern")])
    [refused], warned = one_row("y", *fields)
    assert (refused.rule, warned) == ("enum", [])


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("declared", list(FieldType))
def test_each_type_takes_a_column_or_says_what_would(declared: FieldType, kind: Kind) -> None:
    one = Field(name="f", column="c", type=declared, zone="UTC" if declared is TIMESTAMP else "")
    column = Column(name="c", kind=kind, native="NATIVE", scale=0)
    problem = type_problem(one, column)
    if not problem:
        assert canonical_type(one, column).family in {"text", "integer", "decimal", "double", "boolean"}
        return
    assert problem.startswith(f"column 'c' is NATIVE, which is no {declared}; ")
    advice = re.search(r"declare it ([a-z ]+), or cast it in the model$", problem)
    assert advice or problem.endswith("; cast it in the model, to text or to what it should be")
    for other in advice[1].split(" or ") if advice else []:
        assert not type_problem(Field(name="f", column="c", type=FieldType(other), zone="UTC"), column)


# --- outlines ----------------------------------------------------------------------------------------------------------


@given(st.text())
@example("Ann Müller +49 30 1234567")
@example("９Ⅷ٣ʰßǅ漢字あ")
def test_the_outline_of_a_text_has_none_of_its_letters_and_digits(text: str) -> None:
    seen = outline(text)
    body, _, size = seen.partition("… (")
    assert (size == f"{len(text):,} characters)") == (len(text) > MOST)
    if not text:
        assert seen == "empty"
        return
    assert len(body) == min(len(text), MOST)
    assert body.isascii()
    for shown, real in zip(body, text, strict=False):
        if shown.isalnum():
            assert shown in "aA9"
            assert real.isalpha() == (shown in "aA") or not real.isascii()
        else:
            assert shown == real or (shown == "?" and not ("!" <= real <= "~"))


@given(st.one_of(st.integers(), st.floats(), st.decimals()))
def test_the_outline_of_a_number_is_its_sign_and_magnitude(number: float | Decimal) -> None:
    seen = outline(number)
    assert re.fullmatch(r"-?10\^-?\d+|0|NaN|-?infinity", seen)
    if seen.lstrip("-").startswith("10^"):
        power = Decimal(10) ** int(seen.partition("^")[2])
        assert power <= abs(Decimal(number)) < power * 10
        assert (Decimal(number) < 0) == seen.startswith("-")


def test_outlines_of_other_values() -> None:
    found = [outline(value) for value in (None, True, [1, 2], {"a": 1}, b"secret", object(), "0049 30 123")]
    assert found == ["null", "boolean", "array of 2", "object of 1", "bytes of 6", "value", "9999 99 999"]
