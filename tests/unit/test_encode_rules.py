"""From rows of a plan to the exact bytes of operations, or to a refusal that names the field and no value."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revetl.contracts import Field, FieldType, IdentifierKind, OnNull, Sync, SyncType
from revetl.destination import Operation, Refusal
from revetl.encode import Encoded, EventEncoder, PersonEncoder
from revetl.errors import ConfigError
from revetl.formats import rule_of
from revetl.ids import event_id

GOLDEN = Path(__file__).parent.parent / "golden" / "payloads"
STRING, INTEGER, NUMBER, BOOLEAN = FieldType.STRING, FieldType.INTEGER, FieldType.NUMBER, FieldType.BOOLEAN
TIMESTAMP, DATE, ARRAY, OBJECT = FieldType.TIMESTAMP, FieldType.DATE, FieldType.ARRAY, FieldType.OBJECT
SKIP, CLEAR, REFUSE = OnNull.SKIP, OnNull.CLEAR, OnNull.REFUSE
NOW = 1_700_000_000


def field(name: str, kind: FieldType = STRING, **rules: Any) -> Field:
    return Field(name=name, column=name, type=kind, **rules)


EACH_TEXT, EACH_INTEGER = field("", STRING, required=True), field("", INTEGER, required=True)


def people(*fields: Field, identifier: IdentifierKind = IdentifierKind.ID) -> Sync:
    return Sync(
        name="people", uid="p01", type=SyncType.PERSON, model="people", relation="ref('people')",
        identifier=identifier, key="customer_id", fields=fields,
    )  # fmt: skip


def events(
    *fields: Field, event: str = "Order Completed", identifier: IdentifierKind = IdentifierKind.ID
) -> Sync:
    return Sync(
        name="orders", uid="e01", type=SyncType.EVENT, model="orders", relation="ref('orders')",
        identifier=identifier, key="order_id", fields=fields, event=event,
    )  # fmt: skip


def in_order(encoded: Encoded) -> list[Operation | Refusal]:
    """One entry a row, by its number; both lists must be in order."""
    for part in encoded:
        assert [item.seq for item in part] == sorted(item.seq for item in part)
    return sorted([*encoded.operations, *encoded.refusals], key=lambda item: item.seq)


def person(
    sync: Sync, *values: Any, op: str = "create", key: Any = "42", mask: int = -1, seq: int = 1
) -> tuple[Any, ...]:
    words = max(1, -(-len(sync.fields) // 62))
    mask = (1 << len(sync.fields)) - 1 if mask < 0 else mask
    return (seq, op, key, *((mask >> (62 * w)) & ((1 << 62) - 1) for w in range(words)), *values)


def event(
    *values: Any, key: Any = "o1", who: Any = "42", anonymous: Any = None, at: Any = NOW, variant: str = ""
) -> Any:
    return (1, key, who, anonymous, at, variant, *values)


def attributes(fields: Sequence[Field], *values: Any, **row: Any) -> Any:
    """What one person's row sends; a refusal fails the test."""
    sync = people(*fields)
    [item] = in_order(PersonEncoder(sync).encode([person(sync, *values, **row)]))
    assert isinstance(item, Operation), item
    return item.body.decode().partition('"attributes":')[2][:-1]


def refusal(fields: Sequence[Field], *values: Any, **row: Any) -> Refusal:
    sync = people(*fields)
    [item] = in_order(PersonEncoder(sync).encode([person(sync, *values, **row)]))
    assert isinstance(item, Refusal), item
    return item


def property_refusal(fields: Sequence[Field], *values: Any, **row: Any) -> Refusal:
    [item] = in_order(EventEncoder(events(*fields)).encode([event(*values, **row)]))
    assert isinstance(item, Refusal), item
    return item


# --- exact bytes -----------------------------------------------------------------------------------------------


def test_identify_has_its_keys_and_attributes_in_a_fixed_order() -> None:
    sync = people(field("b"), field("a", INTEGER))
    [operation] = PersonEncoder(sync).encode([person(sync, "x", 1, seq=7)]).operations
    assert operation == Operation(
        7, b'{"type":"person","identifiers":{"id":"42"},"action":"identify","attributes":{"b":"x","a":1}}'
    )


def test_a_timestamp_is_written_only_when_asked_for() -> None:
    sync = people(field("a"))
    [operation] = PersonEncoder(sync, timestamp=NOW).encode([person(sync, "x")]).operations
    assert operation.body == (
        b'{"type":"person","identifiers":{"id":"42"},"action":"identify","timestamp":1700000000,"attributes":{"a":"x"}}'
    )


@pytest.mark.parametrize("action", ["delete", "suppress"])
def test_erasing_needs_no_values(action: str) -> None:
    sync = people(field("a", required=True))
    [operation] = PersonEncoder(sync, timestamp=NOW).encode([person(sync, None, op=action)]).operations
    assert operation.body == b'{"type":"person","identifiers":{"id":"42"},"action":"%b"}' % action.encode()


def test_an_event_has_its_id_and_leaves_null_properties_out() -> None:
    sync = events(field("value", NUMBER), field("note", on_null=CLEAR), field("currency"))
    [operation] = EventEncoder(sync).encode([event("12.50", None, "GBP")]).operations
    assert operation.body.decode() == (
        '{"type":"person","identifiers":{"id":"42"},"action":"event","name":"Order Completed",'
        f'"id":"{event_id("e01", "o1")}","timestamp":1700000000,'
        '"attributes":{"value":12.50,"currency":"GBP"}}'
    )


def test_an_event_without_a_person_carries_the_anonymous_id() -> None:
    encoder = EventEncoder(events(identifier=IdentifierKind.EMAIL))
    rows = [
        event(who=None, anonymous="guest 1"),
        event(who="ann@example.com", anonymous="guest 1"),
        event(who=None),
    ]
    with_guest, with_person, nobody = (in_order(encoder.encode([row]))[0] for row in rows)
    assert isinstance(with_guest, Operation)
    assert isinstance(with_person, Operation)
    assert b'"identifiers":{"anonymous_id":"guest 1"}' in with_guest.body
    assert b'"identifiers":{"email":"ann@example.com"}' in with_person.body
    assert isinstance(nobody, Refusal)
    assert (nobody.reason, nobody.field) == ("required", "")


def test_a_variant_is_sent_under_its_own_name_with_an_id_of_its_own() -> None:
    encoder = EventEncoder(events())
    body = json.loads(encoder.encode([event(variant="order_completed")]).operations[0].body)
    assert (body["name"], body["id"]) == ("order_completed", event_id("e01", "o1", "order_completed"))
    [refused] = encoder.encode([event(variant="x" * 101)]).refusals
    assert refused.reason == "event_name"


def test_names_are_written_as_json_whatever_they_hold() -> None:
    fields = [field('100% "sure"'), field("%b"), field("é\\")]
    assert json.loads(attributes(fields, "a", "b", "c")) == {'100% "sure"': "a", "%b": "b", "é\\": "c"}


def golden_people() -> tuple[Sync, list[tuple[Any, ...]]]:
    items = (field("sku", required=True), field("quantity", INTEGER), field("price", NUMBER))
    sync = people(
        field("email", format="email", required=True), field("name"), field("orders", INTEGER, minimum=0),
        field("value", NUMBER), field("last_order_at", TIMESTAMP, on_null=CLEAR), field("consent", BOOLEAN),
        field("born", DATE), field("plan", enum=("free", "pro"), on_null=CLEAR), field("tags", ARRAY, item=EACH_TEXT),
        field("basket", ARRAY, items=items), field("address", OBJECT),
    )  # fmt: skip
    full = (
        "ann@example.com", 'Zoë "Z" 👩‍👧\n2nd line', 2**63, "1234567890.12345678901", NOW, True, "1990-02-28", "pro",
        '["a", "ü"]', '[{"sku":"A","quantity":2,"price":12.50,"secret":1},{"sku":"B"}]', '{"city":"Łódź","n":1e2}',
    )  # fmt: skip
    empty = ("bob@example.com", *[None] * 10)
    other = (
        "c@example.com",
        "",
        -1,
        float("nan"),
        1_700_000_000_000,
        True,
        "28.02.1990",
        "gold",
        "[1]",
        "[{}]",
        "[]",
    )
    rows: list[tuple[Any, dict[str, Any]]] = [
        (full, {}), (empty, {}), (full, {"op": "update", "mask": 0b1001}), (full, {"op": "update", "mask": 0}),
        (empty, {"op": "update", "mask": 0b10010000}), (full, {"op": "redrive", "key": "küche-7"}), (other, {}),
        (("d@example.com", "x" * 1001, *[None] * 9), {}), (full, {"key": "\u200b"}), (full, {"key": "é" * 76}),
        ([None] * 11, {"op": "delete"}), ([None] * 11, {"op": "suppress", "key": "a@b"}),
    ]  # fmt: skip
    return sync, [person(sync, *values, seq=i, **how) for i, (values, how) in enumerate(rows, 1)]


def golden_events() -> tuple[Sync, list[tuple[Any, ...]]]:
    items = (field("sku", required=True), field("quantity", INTEGER, required=True), field("price", NUMBER))
    sync = events(
        field("order_id", required=True), field("value", NUMBER, required=True),
        field("currency", pattern="^[A-Z]{3}$"), field("items", ARRAY, items=items), field("note"),
    )  # fmt: skip
    basket = '[{"sku":"A","quantity":2,"price":12.5},{"sku":7,"quantity":1,"price":0.10000000000000000001}]'
    rows = [
        event("o1", "25.00", "GBP", basket, None), event("o1", 25.0, "GBP", "[]", "x" * 1001, variant="order_completed"),
        event("o2", 1.5e300, None, None, None, key='["o2","refund"]', who=None, anonymous="guest-1"),
        event(None, "1E+3", "gbp", basket, None), event("o3", 1, None, '[{"sku":"A","quantity":1},{"sku":"B"}]', None),
        event("o4", 1.0, None, None, "n" * 32_000), event("o5", 1.0, None, None, None, at=NOW * 1000),
    ]  # fmt: skip
    return sync, [(i, *row[1:]) for i, row in enumerate(rows, 1)]


@pytest.mark.parametrize("name", ["people", "events"])
def test_payloads_are_those_of_the_golden_files(name: str) -> None:
    if name == "people":
        sync, rows = golden_people()
        encoded = PersonEncoder(sync, timestamp=NOW).encode(rows)
    else:
        sync, rows = golden_events()
        encoded = EventEncoder(sync).encode(rows)
    lines = [
        f"{item.seq} {item.body.decode()}" if isinstance(item, Operation)
        else f"{item.seq} refused {item.reason} {item.rule or '-'} {item.field or '-'}: {item.message}: {item.outline}"
        for item in in_order(encoded)
    ]  # fmt: skip
    path = GOLDEN / f"{name}.txt"
    text = "\n".join(lines) + "\n"
    if os.environ.get("REVETL_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


# --- which attributes are sent ---------------------------------------------------------------------------------

THREE = [field("a"), field("b", on_null=CLEAR), field("c")]


@pytest.mark.parametrize(("op", "mask", "expected"), [
    ("create", 0b111, {"a": "1", "b": None}), ("redrive", 0, {"a": "1", "b": None}), ("update", 0b001, {"a": "1"}),
    ("update", 0b010, {"b": None}), ("update", 0b100, {}), ("update", 0, {}),
])  # fmt: skip
def test_what_is_sent_depends_on_the_operation_the_mask_and_the_null_policy(
    op: str, mask: int, expected: dict[str, Any]
) -> None:
    assert json.loads(attributes(THREE, "1", None, None, op=op, mask=mask)) == expected


@pytest.mark.parametrize("changed", [0, 61, 62, 123, 124, 130])
def test_masks_have_62_bits_a_word(changed: int) -> None:
    fields = [field(f"f{i}", INTEGER) for i in range(131)]
    sent = attributes(fields, *range(131), op="update", mask=1 << changed)
    assert sent == f'{{"f{changed}":{changed}}}'


def test_an_unknown_operation_is_a_bug_and_not_a_row_s_fault() -> None:
    sync = people(field("a"))
    with pytest.raises(ValueError, match="unknown operations"):
        PersonEncoder(sync).encode([person(sync, "x", op="merge")])


def test_an_empty_page_is_empty() -> None:
    assert PersonEncoder(people(field("a"))).encode([]) == ([], [], [])
    assert EventEncoder(events()).encode([]) == ([], [], [])


# --- the checks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rules", "value", "reason"), [
    ({"required": True}, None, "required"),
    ({"on_null": REFUSE}, None, "null"),
    ({"required": True}, "", "required"), ({}, "", ""),
    ({}, "x" * 1000, ""), ({}, "x" * 1001, "too_long"), ({}, "é" * 500, ""), ({}, "é" * 500 + "x", "too_long"),
    ({}, "👩" * 250, ""), ({}, "👩" * 250 + "x", "too_long"), ({}, '"' * 1000, ""), ({}, "\n" * 1001, "too_long"),
    ({"max_length": 3}, "abc", ""), ({"max_length": 3}, "abcd", "too_long"), ({"max_length": 3}, "éé", "too_long"),
    ({"max_length": 5000}, "x" * 1001, "too_long"),
    ({"pattern": "[A-Z]{3}"}, "GBP", ""), ({"pattern": "[A-Z]{3}"}, "GBPx", "pattern"),
    ({"pattern": "^[A-Z]{3}$"}, "GBP\n", "pattern"),
    ({"enum": ("a", "b")}, "b", ""), ({"enum": ("a", "b")}, "c", "enum"),
    ({}, "a\tb\r\nc", ""), ({}, "a\0b", "control_character"), ({}, "a\x1bb", "control_character"),
    ({}, "a\x7fb", "control_character"), ({}, "a\x9bb", "control_character"), ({}, "a\ud800", "control_character"),
    ({}, "\u00a0\u202e\ufeff", ""), ({}, 5, "type"), ({}, b"x", "type"),
])  # fmt: skip
def test_texts(rules: dict[str, Any], value: Any, reason: str) -> None:
    check([field("f", **rules)], value, reason)


def check(fields: Sequence[Field], value: Any, reason: str) -> None:
    """One value, alone and between two others that the slow way and the fast way must not confuse with it."""
    if reason:
        found = refusal(fields, value)
        assert (found.reason, found.field) == (reason, "f")
    else:
        sent = attributes(fields, value)
        assert sent == orjson.dumps({"f": value}).decode()


@pytest.mark.parametrize(("value", "fine"), [
    ("ann@example.com", True), ("a.b+c_d'e@sub.example.co.uk", True), ("ü@exämple.de", True), ("A@B.C", True),
    ("a@localhost", False), ("a@@b.c", False), ("a@b@c.de", False), ("a b@c.de", False), (" a@c.de", False),
    ("a@c.de ", False), ("a@c.de\n", False), ("@c.de", False), ("a@.de", False), ("a@c..de", False), ("a@c.de.", False),
    ("", False), ("a@c.de,b@c.de", False), ("a\u200b@c.de", False), ("a\u00a0@c.de", False), ("x" * 64 + "@c.de", True),
    ("x" * 65 + "@c.de", False), ("a@c.de\nb@c.de", False),
])  # fmt: skip
def test_e_mail_addresses(value: str, *, fine: bool) -> None:
    check([field("f", format="email")], value, "" if fine else "format")


@pytest.mark.parametrize(("name", "fine", "wrong"), [
    ("e164", ("+15550100", "+442079460000", "+123456789012345"),
     ("15550100", "+05550100", "+1 555 0100", "+1-555-0100", "+123456", "+1234567890123456", "0015550100",
      "+1555010\u0660", "+15550100\n")),
    ("iso4217", ("EUR", "USD", "JPY", "XOF", "HRK"), ("eur", "Eur", "EURO", "XXX", "XTS", "ABC", " EUR", "\u20ac", "XAU")),
    ("iso3166", ("DE", "GB", "US", "AX"), ("de", "UK", "EU", "DEU", "XX", "ZZ", "D E", "DE ")),
    ("bcp47", ("en", "pt-BR", "zh-Hant-TW", "de-CH-1996", "es-419", "sl-rozaj-biske", "en-a-bbb-x-a-ccc", "haw", "de-x-lang",
               "EN-us"),
     ("", "e", "en_US", "en-", "-en", "english language", "en--US", "x", "pt-BR ", "en-US-", "abcdefghi")),
])  # fmt: skip
def test_formats(name: str, fine: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    for value in fine:
        check([field("f", format=name)], value, "")
    for value in wrong:
        check([field("f", format=name)], value, "format")


def test_lists_of_codes_are_whole() -> None:
    """249 countries; the currencies of all large economies and those without a usual number of decimals."""
    countries, currencies = rule_of("iso3166")[0], rule_of("iso4217")[0]
    letters = [chr(n) for n in range(65, 91)]
    assert sum(bool(countries(a + b)) for a in letters for b in letters) == 249
    assert sum(bool(currencies(a + b + c)) for a in letters for b in letters for c in letters) == 180
    table = Path("/usr/share/zoneinfo/iso3166.tab")
    if table.is_file():
        lines = table.read_text(encoding="utf-8").splitlines()
        assert all(countries(line[:2]) for line in lines if line and not line.startswith("#"))


def test_an_e_mail_address_has_at_most_254_bytes() -> None:
    longest = "a@" + "x" * 248 + ".com"
    assert len(longest) == 254
    check([field("f", format="email")], longest, "")
    check([field("f", format="email")], "a" + longest, "too_long")


@pytest.mark.parametrize(("value", "reason"), [
    ("2026-11-23", ""), ("0001-01-01", ""), ("9999-12-31", ""), ("2026-13-01", "format"), ("2026-1-1", "format"),
    ("10000-01-01", "format"), ("23.11.2026", "format"), ("2026-11-23 ", "format"), ("٢٠٢٦-11-23", "format"),
])  # fmt: skip
def test_dates(value: str, reason: str) -> None:
    check([field("f", DATE)], value, reason)


@pytest.mark.parametrize(("value", "reason"), [
    (1_000_000_000, ""), (99_999_999_999, ""), (999_999_999, "not_unix_seconds"), (100_000_000_000, "not_unix_seconds"),
    (1_700_000_000_000, "not_unix_seconds"), (-1, "not_unix_seconds"), (1.7e9, "type"), ("1700000000", "type"),
    (True, "type"),
])  # fmt: skip
def test_timestamps_are_integer_unix_seconds(value: Any, reason: str) -> None:
    check([field("f", TIMESTAMP)], value, reason)


@pytest.mark.parametrize(
    ("value", "reason"), [(True, ""), (False, ""), (1, "type"), (0.0, "type"), ("true", "type")]
)
def test_booleans(value: Any, reason: str) -> None:
    check([field("f", BOOLEAN)], value, reason)


@pytest.mark.parametrize(("value", "written"), [
    (0, "0"), (-5, "-5"), (2**53 + 1, "9007199254740993"), (2**63, "9223372036854775808"), (2**64, "18446744073709551616"),
    (-(10**37), "-1" + "0" * 37), ("12345678901234567890123456789012345678",) * 2, ("-0", "0"), ("007", "7"), ("+7", "7"),
    (Decimal("1E+3"), "1000"), (Decimal("12.00"), "12"), (12.0, "12"),
])  # fmt: skip
def test_integers_keep_every_digit(value: Any, written: str) -> None:
    assert attributes([field("f", INTEGER)], value) == f'{{"f":{written}}}'


@pytest.mark.parametrize(("value", "reason"), [
    (1.5, "type"), ("1.5", "type"), (True, "type"), ("x", "type"), ("1_000", "type"), ("٣", "type"), (" 1", "type"),
    (Decimal("1.5"), "type"), (float("nan"), "not_finite"), (float("inf"), "not_finite"), ("NaN", "not_finite"),
    (10**309, "out_of_range"), ("9" * 5000, "out_of_range"), (Decimal("1E+999999999"), "out_of_range"),
])  # fmt: skip
def test_what_is_no_integer_is_refused(value: Any, reason: str) -> None:
    found = refusal([field("f", INTEGER)], value)
    assert (found.reason, found.field) == (reason, "f")


@pytest.mark.parametrize(("value", "written"), [
    (12.5, "12.5"), (0.1, "0.1"), (-0.0, "-0.0"), (1e300, "1e+300"), (5, "5"), (2**70, str(2**70)), ("12.50", "12.50"),
    ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"), ("1E+3", "1E+3"), ("-0.0", "-0.0"),
    ("1e-400", "1e-400"), (".5", "0.5"), ("5.", "5"), ("+5.0", "5.0"), ("007.10", "7.10"),
    (Decimal("12.50"), "12.50"), (Decimal("1E-7"), "1E-7"),
])  # fmt: skip
def test_numbers_keep_every_digit(value: Any, written: str) -> None:
    assert attributes([field("f", NUMBER)], value) == f'{{"f":{written}}}'
    # between others of its type, too, where nothing is looked at one by one
    sync = people(field("f", NUMBER))
    rows = [person(sync, v, seq=i) for i, v in enumerate([type(value)(1), value, type(value)(2)])]
    assert b'"f":%b}' % written.encode() in PersonEncoder(sync).encode(rows).operations[1].body


@pytest.mark.parametrize(("value", "reason"), [
    (float("nan"), "not_finite"), (float("inf"), "not_finite"), (-float("inf"), "not_finite"), ("NaN", "not_finite"),
    ("Infinity", "not_finite"), ("-inf", "not_finite"), (Decimal("NaN"), "not_finite"), ("1e400", "out_of_range"),
    ("1E+99999999999999999999", "out_of_range"), ("9" * 400, "out_of_range"), ("1,5", "type"), ("0x10", "type"), ("", "type"),
    ("1_0", "type"), ("٣.٥", "type"), (True, "type"), ("0." + "1" * 1000, "too_long"),
])  # fmt: skip
def test_what_is_no_number_is_refused(value: Any, reason: str) -> None:
    found = refusal([field("f", NUMBER)], value)
    assert (found.reason, found.field) == (reason, "f")


@pytest.mark.parametrize(("rules", "value", "reason"), [
    ({"minimum": 0}, 0, ""), ({"minimum": 0}, -1, "minimum"), ({"maximum": 10}, 10, ""), ({"maximum": 10}, 11, "maximum"),
    ({"minimum": 0.1}, 0.1, ""), ({"minimum": 0.1}, "0.1", ""), ({"minimum": 0.1}, "0.09999999999999999999", "minimum"),
    ({"maximum": 0.1}, "0.1", ""), ({"maximum": 0.1}, "0.10000000000000000001", "maximum"),
    ({"minimum": float(2**60)}, 2**60, ""), ({"minimum": 0.0}, -0.0, ""),
])  # fmt: skip
def test_bounds_are_inclusive_and_exact(rules: dict[str, Any], value: Any, reason: str) -> None:
    fields = [field("f", NUMBER, **rules)]
    if reason:
        assert refusal(fields, value).reason == reason
    else:
        attributes(fields, value)


# --- arrays and objects ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "value", "written"), [
    (ARRAY, "[]", "[]"), (ARRAY, ' [1, 2.5 ,"x"] ', '[1,2.5,"x"]'), (OBJECT, '{"b":1,"a":{"c":[null]}}', None),
    (ARRAY, "[12345678901234567890]", None), (ARRAY, "[18446744073709551616]", None),
    (ARRAY, "[0.1234567890123456789]", None), (ARRAY, "[1.10, 0.1234567890123456789]", "[1.10,0.1234567890123456789]"),
    # sixteen digits that a double would change
    (ARRAY, "[9.907439150008064]", None), (ARRAY, "[9608377835337407e5]", "[9.608377835337407E+20]"),
    (ARRAY, "[1e-400]", "[1E-400]"), (ARRAY, "[1e2]", "[1E+2]"),
    (ARRAY, "[12.50,2.0,0.0001,0.00001,1.05]", None), (ARRAY, '["1234567890123456789"]', None),
    (ARRAY, '["\\u00e9\\n"]', '["é\\n"]'), (ARRAY, '["\\ud83d\\ude00"]', '["😀"]'),
    (ARRAY, "[" * 20 + "]" * 20, None), (ARRAY, "[-0, -0.0]", "[0,-0.0]"),
])  # fmt: skip
def test_json_is_written_compactly_with_every_digit(kind: FieldType, value: str, written: str | None) -> None:
    assert attributes([field("f", kind)], value) == f'{{"f":{written or value}}}'


@pytest.mark.parametrize(("kind", "value", "reason"), [
    (ARRAY, "{}", "type"), (OBJECT, "[]", "type"), (ARRAY, "null", "type"), (ARRAY, "[1", "json"), (ARRAY, "", "json"),
    (ARRAY, "[1]x", "json"), (ARRAY, "[1],[2]", "json"), (ARRAY, "[NaN]", "not_finite"), (ARRAY, "[-Infinity]", "not_finite"),
    (ARRAY, "[1e400]", "out_of_range"), (ARRAY, '["\\u0000"]', "control_character"), (ARRAY, '["\x7f"]', "control_character"),
    (ARRAY, '["\\ud800"]', "control_character"), (OBJECT, '{"\\u001b":1}', "control_character"), (ARRAY, ["x"], "type"),
    (ARRAY, "[" * 21 + "]" * 21, "too_deep"), (ARRAY, "[" * 100_000, "too_deep"),
    (OBJECT, '{"a":1,"a":2}', "json"), (OBJECT, '{"a":{"b" :1, "b":1}}', "json"), (OBJECT, '{"a":"\\u0041","a":2}', "json"),
    (ARRAY, '["' + "x" * 996 + '"]', ""), (ARRAY, '["' + "x" * 997 + '"]', "too_long"),
])  # fmt: skip
def test_json_that_cannot_be_sent_is_refused(kind: FieldType, value: Any, reason: str) -> None:
    if not reason:
        attributes([field("f", kind)], value)
        return
    assert refusal([field("f", kind)], value).reason == reason


ITEMS = (
    field("sku", required=True), field("quantity", INTEGER, minimum=1), field("price", NUMBER), field("gift", BOOLEAN),
    field("tags", ARRAY, item=EACH_TEXT), field("at", TIMESTAMP),
)  # fmt: skip


@pytest.mark.parametrize(("value", "written"), [
    ('[{"quantity":2,"sku":"A","price":1.50,"colour":"red"}]', '[{"sku":"A","quantity":2,"price":1.50}]'),
    ('[{"sku":"A","gift":null},{"sku":"B","gift":true}]', '[{"sku":"A"},{"sku":"B","gift":true}]'),
    ('[{"sku":123,"tags":["x"]},{"sku":12345678901234567890123}]',
     '[{"sku":"123","tags":["x"]},{"sku":"12345678901234567890123"}]'),
    ('[{"sku":"A","price":0.1234567890123456789,"quantity":12345678901234567890123}]',
     '[{"sku":"A","quantity":12345678901234567890123,"price":0.1234567890123456789}]'),
    ("[]", "[]"),
])  # fmt: skip
def test_items_send_what_their_contract_names(value: str, written: str) -> None:
    assert attributes([field("f", ARRAY, items=ITEMS)], value) == f'{{"f":{written}}}'


@pytest.mark.parametrize(("value", "reason", "place"), [
    ('[{"sku":"A"},{"quantity":1}]', "required", "item 2: sku: "), ('[{"sku":null}]', "required", "item 1: sku: "),
    ('[{"sku":"A","quantity":"x"}]', "type", "item 1: quantity: "), ('[{"sku":"A","quantity":0}]', "minimum", "item 1: quantity"),
    ('[{"sku":"A"},5]', "type", "item 2: "), ('[{"sku":1.5}]', "type", "item 1: sku"), ('[{"sku":true}]', "type", "item 1: sku"),
    ('[{"sku":"A","tags":"x"}]', "type", "item 1: tags: "), ('[{"sku":"A","tags":["x",{}]}]', "type", "item 1: tags: item 2: "),
    ('[{"sku":"A","at":"2026-11-23"}]', "type", "item 1: at: "), ('[{"sku":"A","gift":1}]', "type", "item 1: gift: "),
    ('[{"sku":"A"},{"price":"x"},{}]', "required", "item 2: sku: "),
])  # fmt: skip
def test_items_that_break_their_contract_are_named_by_place(value: str, reason: str, place: str) -> None:
    found = refusal([field("f", ARRAY, items=ITEMS)], value)
    assert found.reason == reason
    assert found.field == ".".join(["f", *(part for part in place.rstrip(": ").split(": ") if not part.startswith("item"))])
    assert found.message.startswith(place)


def test_a_broken_item_refuses_its_own_row_only() -> None:
    sync = events(field("items", ARRAY, items=ITEMS))
    values = ["[]", '[{"sku":"A"}]', '[{"sku":"A"},{}]', None, '[{"sku":"B"}]']
    rows = [(i, f"o{i}", "42", None, NOW, "", value) for i, value in enumerate(values)]
    encoded = EventEncoder(sync).encode(rows)
    assert [operation.seq for operation in encoded.operations] == [0, 1, 3, 4]
    assert [json.loads(operation.body)["attributes"] for operation in encoded.operations] == [
        {"items": []}, {"items": [{"sku": "A"}]}, {}, {"items": [{"sku": "B"}]}
    ]  # fmt: skip
    [refused] = encoded.refusals
    assert (refused.seq, refused.message[:7]) == (2, "item 2:")


def test_an_array_of_scalars_has_items_of_its_type() -> None:
    fields = [field("f", ARRAY, item=field("", INTEGER, required=True))]
    assert attributes(fields, "[1,2]") == '{"f":[1,2]}'
    assert refusal(fields, '[1,"x"]').message.startswith("item 2: ")
    assert refusal(fields, "[null]").reason == "required"
    assert refusal([field("f", ARRAY, item=field("", STRING, required=True))], '["a",1]').reason == "type"


def test_an_object_may_have_a_contract_of_its_properties() -> None:
    fields = [field("f", OBJECT, items=(field("city", required=True),))]
    assert attributes(fields, '{"zip":"1","city":"Łódź"}') == '{"f":{"city":"Łódź"}}'
    assert refusal(fields, '{"zip":"1"}').message.startswith("city: ")


# --- identifiers, times, sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "reason"), [
    ("42", ""), ("x" * 150, ""), ("x" * 151, "too_long"), ("é" * 75, ""), ("é" * 76, "too_long"), ('a"b\\c', ""), ("a b", ""),
    ("", "blank"), (" \t", "blank"), ("\u200b", "blank"), ("\ufeff\u00a0", "blank"), ("a\nb", "control_character"),
    ("a\0", "control_character"), ("a\x85", "control_character"), ("\udfff", "control_character"), (None, "required"),
    (42, "type"),
])  # fmt: skip
def test_identifiers(key: Any, reason: str) -> None:
    sync = people()
    for row in (person(sync, key=key), person(sync, key=key, op="delete")):
        [found] = in_order(PersonEncoder(sync).encode([row]))
        if reason:
            assert isinstance(found, Refusal)
            assert (found.reason, found.field) == (reason, "")
        else:
            assert isinstance(found, Operation)
            assert json.loads(found.body)["identifiers"] == {"id": key}


@pytest.mark.parametrize(
    ("key", "fine"), [("ann@example.com", True), ("ü@x.de", True), ("ann", False), ("a b@x.de", False)]
)
def test_an_e_mail_identifier_looks_like_one(key: str, *, fine: bool) -> None:
    sync = people(identifier=IdentifierKind.EMAIL)
    [found] = in_order(PersonEncoder(sync).encode([person(sync, key=key)]))
    assert isinstance(found, Operation) is fine
    if isinstance(found, Refusal):
        assert found.reason == "format"


@pytest.mark.parametrize(("row", "reason"), [
    ({"at": None}, "required"), ({"at": NOW * 1000}, "not_unix_seconds"), ({"at": 5}, "not_unix_seconds"),
    ({"at": 1.5}, "type"), ({"at": True}, "type"), ({"key": None}, "required"), ({"key": " "}, "blank"),
    ({"key": "a\0b"}, "control_character"), ({"key": "\ud800"}, "control_character"), ({"key": 7}, "type"),
    ({"who": ""}, "blank"), ({"who": None, "anonymous": " "}, "blank"), ({"who": "x" * 151}, "too_long"),
])  # fmt: skip
def test_an_event_needs_a_key_a_time_and_somebody(row: dict[str, Any], reason: str) -> None:
    found = property_refusal([], **row)
    assert (found.reason, found.field) == (reason, "")


def test_an_event_key_may_be_longer_than_an_identifier() -> None:
    assert EventEncoder(events()).encode([event(key='["' + "x" * 500 + '"]')]).operations


def test_property_values_are_bounded_by_the_operation_only() -> None:
    encoder = EventEncoder(events(field("a"), field("b")))
    empty = len(encoder.encode([event("", "")]).operations[0].body)
    room = 32_000 - empty
    [full] = encoder.encode([event("x", "y" * (room - 1))]).operations
    assert len(full.body) == 32_000
    [refused] = encoder.encode([event("x", "y" * room)]).refusals
    assert (refused.reason, refused.field) == ("too_large", "b")
    assert "32,001 bytes" in refused.message


def test_a_person_s_operation_is_bounded_too() -> None:
    fields = [field(f"f{i}") for i in range(40)]
    found = refusal(fields, *["x" * 900] * 39, "é" * 480)
    assert (found.reason, found.field) == ("too_large", "f39")


def test_a_person_has_at_most_300_attributes_in_one_operation() -> None:
    fields = [field(f"f{i}", INTEGER) for i in range(301)]
    assert refusal(fields, *range(301)).reason == "too_many"
    assert len(json.loads(attributes(fields, *range(300), None))) == 300
    assert len(json.loads(attributes(fields, *range(301), op="update", mask=(1 << 300) - 1))) == 300


@pytest.mark.parametrize("name", ["", " ", "Order Completed ", "a\nb", "x" * 101, "é" * 51, "\u200b"])
def test_an_event_name_that_cannot_be_sent_is_the_project_s_fault(name: str) -> None:
    with pytest.raises(ConfigError, match="event name"):
        EventEncoder(events(event=name))
    EventEncoder(events(event="é" * 50))


def test_an_attribute_name_has_at_most_150_bytes() -> None:
    PersonEncoder(people(field("x" * 150)))
    with pytest.raises(ConfigError, match="attribute name has 151 bytes"):
        PersonEncoder(people(field("x" * 151)))


def test_a_refusal_tells_the_first_problem_in_contract_order_and_counts_the_others() -> None:
    fields = [field("a"), field("b", INTEGER), field("c", enum=("x",)), field("d", required=True)]
    found = refusal(fields, "fine", "many", "y", None)
    assert (found.reason, found.field) == ("type", "b")
    assert found.message == "the value is not an integer (and 2 more problems in this row)"
    with_key = refusal(fields, "fine", 1, "y", "d", key="")
    assert (with_key.reason, with_key.field) == ("blank", "")
    assert with_key.message.endswith("(and 1 more problem in this row)")


SECRET = "Zebra7391"


@pytest.mark.parametrize("one", [
    field("f", enum=("a",)), field("f", pattern="[0-9]"), field("f", format="email"), field("f", max_length=3),
    field("f", INTEGER), field("f", NUMBER), field("f", BOOLEAN), field("f", TIMESTAMP), field("f", DATE),
    field("f", ARRAY), field("f", OBJECT), field("f", ARRAY, items=(field("sku", INTEGER),)),
], ids=lambda f: f"{f.type}-{f.format or f.pattern or f.enum or f.max_length}")  # fmt: skip
def test_no_refusal_shows_a_value(one: Field) -> None:
    values: list[Any] = [SECRET, SECRET + "\0", f'["{SECRET}', f'{{"{SECRET}":1', f'[{{"sku":"{SECRET}"}}]']
    sync = people(one)
    rows = [person(sync, value, key=SECRET * n, seq=i) for i, value in enumerate(values) for n in (1, 20)]
    encoded = PersonEncoder(sync).encode(rows)
    assert len(encoded.refusals) >= len(values)
    assert SECRET not in repr(encoded.refusals)


# --- the fast way and the plain way ----------------------------------------------------------------------------

NASTY = [
    "",
    "a",
    "é",
    "👩‍👧",
    '"',
    "\\",
    "\n",
    "\x7f",
    "\0",
    "\x85",
    "\ud800",
    "x" * 999,
    "é" * 501,
    ",",
    '","',
    "null",
    "%b",
]
some_text = st.one_of(st.sampled_from(NASTY), st.text(max_size=8), st.just("a@b.de"))
some_decimal = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.from_regex(r"[+-]?[0-9]{0,20}\.?[0-9]{0,5}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
some_integer = st.one_of(
    st.integers(-20, 20), st.integers(), st.sampled_from([2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400])
)
some_json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), some_text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(some_text, inner, max_size=3)),
    max_leaves=6,
)
some_item = st.fixed_dictionaries(
    {},
    optional={
        "sku": st.one_of(some_text, st.integers()),
        "n": st.one_of(st.integers(0, 5), some_json_value),
        "x": st.none(),
    },
)
some_json = st.one_of(
    some_json_value.map(json.dumps),
    st.lists(some_item, max_size=3).map(json.dumps),
    st.lists(some_item, max_size=3).map(lambda v: json.dumps(v, ensure_ascii=False)),
    some_decimal.map(lambda digits: f"[{digits}]"),
    st.sampled_from(["", "[", "[1],[2]", "1],[2", "[" * 21 + "]" * 21]),
)
SOME_VALUE: dict[FieldType, st.SearchStrategy[Any]] = {
    STRING: some_text,
    DATE: st.one_of(st.dates().map(str), some_text),
    BOOLEAN: st.one_of(st.booleans(), st.just(1)),
    INTEGER: st.one_of(some_integer, st.integers().map(str), some_decimal),
    NUMBER: st.one_of(st.floats(), st.floats(-5, 5), some_integer, some_decimal, st.decimals()),
    TIMESTAMP: st.one_of(st.integers(10**9, 10**10), st.integers(), st.floats()),
    ARRAY: some_json,
    OBJECT: some_json,
}
# what a warehouse gives in the usual case: one Python type a column, nothing wrong with it
USUAL_VALUE: dict[FieldType, list[st.SearchStrategy[Any]]] = {
    STRING: [st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)],
    DATE: [st.dates().map(str)],
    BOOLEAN: [st.booleans()],
    INTEGER: [st.integers(-(2**63), 2**63 - 1), st.integers(-(10**30), 10**30).map(str)],
    NUMBER: [st.floats(allow_nan=False, allow_infinity=False), st.integers(-99, 99),
             st.decimals(-(10**20), 10**20, places=2).map(str)],
    TIMESTAMP: [st.integers(10**9, 10**11 - 1)],
    ARRAY: [st.lists(st.integers(0, 9), max_size=3).map(json.dumps)],
    OBJECT: [st.dictionaries(st.text("abc", max_size=3), st.floats(0, 1), max_size=3).map(json.dumps)],
}  # fmt: skip


@st.composite
def a_field(draw: st.DrawFn, name: str) -> Field:
    kind = draw(st.sampled_from(list(FieldType)))
    rules: dict[str, Any] = {"required": draw(st.booleans()), "on_null": draw(st.sampled_from(list(OnNull)))}
    if kind is STRING:
        rules |= draw(st.sampled_from([
            {}, {}, {"format": "email"}, {"format": "e164"}, {"pattern": "[a-z]?"}, {"enum": ("a", "é", "\x7f")},
            {"max_length": 2},
        ]))  # fmt: skip
    if kind in {INTEGER, NUMBER}:
        rules |= draw(
            st.sampled_from([{}, {"minimum": 0.0}, {"maximum": 0.1}, {"minimum": -3.0, "maximum": 3.0}])
        )
    if kind is ARRAY:
        rules |= draw(st.sampled_from([
            {}, {"items": (field("sku", required=True), field("n", INTEGER))}, {"item": EACH_INTEGER}, {"item": EACH_TEXT},
        ]))  # fmt: skip
    return field(name, kind, **rules)


@st.composite
def a_page(draw: st.DrawFn) -> tuple[Sync, list[tuple[Any, ...]]]:
    """Contracts and rows with columns that are usual, sparse or full of odd values."""
    fields = [draw(a_field(name)) for name in ("a", "%b", 'ü"')[: draw(st.integers(0, 3))]]
    count = draw(st.integers(1, 5))
    columns = []
    for one in fields:
        usual = st.one_of([st.just(s) for s in USUAL_VALUE[one.type]])
        style = draw(st.sampled_from(["usual", "sparse", "odd"]))
        values = draw(usual) if style != "odd" else SOME_VALUE[one.type]
        values = values if style == "usual" else st.one_of(values, st.none())
        columns.append(draw(st.lists(values, min_size=count, max_size=count)))
    sync = people(*fields, identifier=draw(st.sampled_from(list(IdentifierKind))))
    usual_key = (
        st.just("a@b.de")
        if sync.identifier is IdentifierKind.EMAIL
        else st.text("abc-1é", min_size=1, max_size=9)
    )
    keys = draw(st.lists(st.one_of(usual_key, usual_key, some_text), min_size=count, max_size=count))
    ops = draw(st.one_of(
        st.just(["create"] * count),
        st.lists(st.sampled_from(["create", "update", "redrive", "delete", "suppress"]), min_size=count, max_size=count),
    ))  # fmt: skip
    rows = [
        person(sync, *(c[i] for c in columns), op=ops[i], key=keys[i], mask=draw(st.integers(0, 7)), seq=i)
        for i in range(count)
    ]
    return sync, rows


@settings(max_examples=400)
@given(a_page())
def test_a_row_is_encoded_alike_in_whatever_page_it_is(given: tuple[Sync, list[tuple[Any, ...]]]) -> None:
    """A column is checked as a whole where it can be, a value at a time where not: nobody may see which."""
    sync, rows = given
    encoder = PersonEncoder(sync)
    assert in_order(encoder.encode(rows)) == [in_order(encoder.encode([row]))[0] for row in rows]
    filler: dict[FieldType, Any] = {STRING: 5, BOOLEAN: "x", ARRAY: "[", OBJECT: "["}
    broken = person(sync, *(filler.get(f.type, "x") for f in sync.fields), key="\0", seq=99)
    assert in_order(encoder.encode([*rows, broken]))[:-1] == in_order(encoder.encode(rows))


@settings(max_examples=400)
@given(a_page())
def test_an_encoded_page_is_what_the_plain_reference_says(given: tuple[Sync, list[tuple[Any, ...]]]) -> None:
    sync, rows = given
    found = in_order(PersonEncoder(sync, timestamp=NOW).encode(rows))
    for row, item in zip(rows, found, strict=True):
        expected = reference(sync, row)
        if isinstance(expected, bytes):
            assert item == Operation(row[0], expected)
        else:
            assert isinstance(item, Refusal)
            assert item.field.partition(".")[0] == expected


@settings(max_examples=200)
@given(a_page())
def test_an_encoded_page_of_events_is_what_the_plain_reference_says(
    given: tuple[Sync, list[tuple[Any, ...]]],
) -> None:
    """The same rows as events: nulls are left out whatever their policy, values may be long."""
    sync, rows = given
    order = events(*sync.fields, identifier=sync.identifier)
    facts = [(row[0], f"o{row[0]}", row[2], None, NOW, "", *row[4:]) for row in rows]
    found = in_order(EventEncoder(order).encode(facts))
    assert found == [in_order(EventEncoder(order).encode([fact]))[0] for fact in facts]
    for fact, item in zip(facts, found, strict=True):
        expected = reference(order, fact)
        if isinstance(expected, bytes):
            assert item == Operation(fact[0], expected)
        else:
            assert isinstance(item, Refusal)
            assert item.field.partition(".")[0] == expected


def reference(sync: Sync, row: tuple[Any, ...]) -> bytes | str:
    """The operation of one row with fewer than 62 fields, or the name of the first broken field ("": the key)."""
    key, values = row[2], row[4 if sync.is_person else 6 :]
    email = re.compile(r"[^\s@<>,;:\"()\[\]\\\u200b-\u200f\u2060\ufeff]{1,64}@"
                       r"[^\s@.<>,;:\"()\[\]\\\u200b-\u200f\u2060\ufeff]+"
                       r"(\.[^\s@.<>,;:\"()\[\]\\\u200b-\u200f\u2060\ufeff]+)+")  # fmt: skip
    if (
        not "".join(key.split()).strip("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
        or any(bad(c) or c in "\t\n\r" for c in key) or len(key.encode()) > 150
        or (sync.identifier is IdentifierKind.EMAIL and not email.fullmatch(key))
    ):  # fmt: skip
        return ""
    operation: dict[str, Any] = {
        "type": "person",
        "identifiers": {str(sync.identifier): key},
        "action": "identify",
    }
    if sync.is_person and row[1] in {"delete", "suppress"}:
        return orjson.dumps(operation | {"action": row[1]})
    sent: dict[str, Any] = {}
    for i, (one, value) in enumerate(zip(sync.fields, values, strict=True)):
        if value is None:
            if one.required or one.on_null is REFUSE:
                return one.name
            if one.on_null is not CLEAR or not sync.is_person:
                continue
            ready: Any = None
        else:
            try:
                ready = plain_value(one, value, 1000 if sync.is_person else 32_000, email)
            except (ValueError, TypeError, ArithmeticError, RecursionError):
                return one.name
        if not sync.is_person or row[1] != "update" or row[3] >> i & 1:
            sent[one.name] = ready
    if sync.is_person:
        return orjson.dumps(operation | {"timestamp": NOW, "attributes": sent})
    return orjson.dumps(
        operation
        | {
            "action": "event",
            "name": sync.event,
            "id": event_id(sync.uid, row[1]),
            "timestamp": NOW,
            "attributes": sent,
        }
    )


def bad(character: str) -> bool:
    """Control characters other than tab and line ends, and surrogates."""
    code = ord(character)
    return (code < 32 and character not in "\t\n\r") or 127 <= code < 160 or 0xD800 <= code < 0xE000


def plain_value(one: Field, value: Any, limit: int, email: re.Pattern[str]) -> Any:
    """One value as orjson writes it; any exception means that it is refused."""
    if one.type in {STRING, DATE}:
        require(isinstance(value, str) and not any(map(bad, value)))
        require(len(value.encode()) <= min(limit, one.max_length or limit, 254 if one.format else limit))
        require((value or not one.required) and (not one.enum or value in one.enum))
        require(not one.pattern or re.fullmatch(one.pattern, value))
        require(one.format != "email" or email.fullmatch(value))
        digits = value[1:]
        phone = value[:1] == "+" and digits.isascii() and digits.isdigit() and digits[0] != "0" and 7 <= len(digits) <= 15
        require(one.format != "e164" or phone)
        require(
            one.type is STRING
            or re.fullmatch(r"\d{4}-(0[1-9]|1[012])-(0[1-9]|[12]\d|3[01])", value, re.ASCII)
        )
        return value
    if one.type is BOOLEAN:
        require(isinstance(value, bool))
        return value
    if one.type is TIMESTAMP:
        require(type(value) is int and 999_999_999 < value < 100_000_000_000)
        return value
    if one.type in {INTEGER, NUMBER}:
        return plain_number(one, value, limit)
    parsed = json.loads(value, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
    require(isinstance(parsed, list if one.type is ARRAY else dict))
    text = plain_json(one, parsed, 0)
    require(len(text.encode()) <= limit)
    return orjson.Fragment(text)


def plain_number(one: Field, value: Any, limit: int) -> Any:
    require(not isinstance(value, bool))
    if isinstance(value, str):
        number = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?" if one.type is NUMBER else r"[+-]?\d+"
        require(re.fullmatch(number, value, re.ASCII) and (one.type is INTEGER or len(value) <= limit))
    exact = Decimal(value)
    require(exact.is_finite() and abs(exact) < Decimal(2) ** 1024 and not math.isinf(float(exact)))
    for bound, sign in ((one.minimum, 1), (one.maximum, -1)):
        as_written = (
            Decimal(repr(bound))
            if bound is not None and not isinstance(value, float)
            else Decimal(bound or 0)
        )
        require(bound is None or (exact - as_written) * sign >= 0)
    if one.type is INTEGER:
        require(exact == exact.to_integral_value())
        return orjson.Fragment(str(int(exact)))
    if isinstance(value, str | Decimal):
        require(len(str(value)) <= limit)
        json_already = re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", str(value), re.ASCII)
        return orjson.Fragment(str(value) if json_already else str(exact))
    return value if isinstance(value, float) else orjson.Fragment(str(value))


def plain_json(one: Field | None, value: Any, depth: int) -> str:
    """Parsed JSON (numbers as Decimal) as text, with only what the contract names."""
    if isinstance(value, dict | list):
        require(depth < 20)
    if isinstance(value, list):
        inner = None
        if one is not None and one.items:
            inner = field("", OBJECT, items=one.items)
        parts = []
        for item in value:
            if one is not None and one.item is not None:
                parts.append(plain_scalar(one.item, item))
                continue
            require(inner is None or isinstance(item, dict))
            parts.append(plain_json(inner, item, depth + 1))
        return "[" + ",".join(parts) + "]"
    if isinstance(value, dict) and one is not None and one.items:
        for name, item in value.items():  # what is not sent must be clean, too
            plain_json(None, name, depth)
            plain_json(None, item, depth + 1)
        found = {item.name: value.get(item.name) for item in one.items}
        require(not any(item.required and found[item.name] is None for item in one.items))
        pairs = [
            (item.name, plain_scalar(item, found[item.name]))
            for item in one.items
            if found[item.name] is not None
        ]
    elif isinstance(value, dict):
        require(not any(map(bad, "".join(value))))
        pairs = [(name, plain_json(None, item, depth + 1)) for name, item in value.items()]
    elif isinstance(value, Decimal):
        require(value.is_finite() and not math.isinf(float(value)))
        if value == value.to_integral_value() and value.as_tuple().exponent == 0:
            return str(int(value))
        return str(value)
    else:
        require(not isinstance(value, str) or not any(map(bad, value)))
        return (
            json.dumps(value, ensure_ascii=False)
            if not isinstance(value, str)
            else orjson.dumps(value).decode()
        )
    return "{" + ",".join(f"{orjson.dumps(name).decode()}:{text}" for name, text in pairs) + "}"


def plain_scalar(one: Field, value: Any) -> str:
    """A text or an integer inside an item."""
    require(value is not None)
    whole = isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value()
    if one.type is STRING:
        if isinstance(value, Decimal):
            require(one.name and whole and value.as_tuple().exponent == 0)
            value = str(int(value))
        require(isinstance(value, str) and not any(map(bad, value)) and (value or not one.required))
        return orjson.dumps(value).decode()
    if isinstance(value, str):
        require(re.fullmatch(r"[+-]?\d+", value, re.ASCII) and abs(int(value)) < 2**1024)
        return str(int(value))
    require(whole and abs(value) < Decimal(2) ** 1024)
    return str(int(value))


def require(condition: object) -> None:
    if not condition:
        raise ValueError
