"""The bytes that leave, and the rows that do not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.contracts import Field, FieldType, IdentifierKind, OnNull, Sync, SyncType
from revetl.destination import Operation, Refusal
from revetl.encode import EventEncoder, PersonEncoder
from revetl.ids import event_id


def field(name: str, kind: str, **rules: Any) -> Field:
    return Field(name=name, column=name, type=FieldType(kind), **rules)


def people(*fields: Field, **rules: Any) -> Sync:
    return Sync(name="people", uid="people01", type=SyncType.PERSON, model="people", relation="", key="id",
                identifier=rules.pop("identifier", IdentifierKind.ID), fields=fields, **rules)  # fmt: skip


def events(*fields: Field) -> Sync:
    return Sync(name="orders", uid="orders01", type=SyncType.EVENT, model="orders", relation="", key="order_id",
                identifier=IdentifierKind.ID, event="Order Completed", person="p", fields=fields)  # fmt: skip


def one(sync: Sync, *values: Any, op: str = "create", key: str = "k1", masks: tuple[int, ...] = (0,)) -> Operation | Refusal:
    made = PersonEncoder(sync).encode([(1, op, key, *masks, *values)])
    return (made.operations or made.refusals)[0]


def sent(sync: Sync, *values: Any, **row: Any) -> dict[str, Any]:
    made = one(sync, *values, **row)
    assert isinstance(made, Operation), made
    attributes: dict[str, Any] = json.loads(made.body, parse_float=Decimal)["attributes"]
    return attributes


def refused(sync: Sync, *values: Any, **row: Any) -> tuple[str, str]:
    made = one(sync, *values, **row)
    assert isinstance(made, Refusal), made
    return made.reason, made.field


def test_a_person_in_one_golden_line() -> None:
    sync = people(field("email", "string"), field("n", "integer"), field("spent", "number"), field("ok", "boolean"),
                  field("at", "timestamp"))  # fmt: skip

    row = (7, "create", "a/b", 0, "ü@example.com", 3, 12.5, True, 1_600_000_000)
    made = PersonEncoder(sync, timestamp=1_700_000_000).encode([row])

    assert made.operations == [Operation(7, (
        '{"type":"person","identifiers":{"id":"a/b"},"action":"identify","timestamp":1700000000,"attributes":'
        '{"email":"ü@example.com","n":3,"spent":12.5,"ok":true,"at":1600000000}}').encode())]  # fmt: skip


def test_an_event_in_one_golden_line() -> None:
    sync = events(field("value", "number"), field("items", "array", items=(field("sku", "string"), field("price", "number"))))

    made = EventEncoder(sync).encode([(1, "o1", "p1", None, 1_700_000_000, "", "12.50", '[{"sku":"A","price":1.50,"secret":1}]')])

    assert made.operations[0].body.decode() == (
        '{"type":"person","identifiers":{"id":"p1"},"action":"event","name":"Order Completed",'
        f'"id":"{event_id("orders01", "o1")}","timestamp":1700000000,"attributes":'
        '{"value":12.50,"items":[{"sku":"A","price":1.50}]}}'
    )


def test_an_update_carries_only_what_changed() -> None:
    sync = people(field("a", "string"), field("b", "string"), field("c", "string"))

    assert sent(sync, "1", "2", "3", op="update", masks=(0b101,)) == {"a": "1", "c": "3"}
    assert sent(sync, "1", "2", "3", op="redrive", masks=(0b101,)) == {"a": "1", "b": "2", "c": "3"}


def test_fields_beyond_the_first_mask_word_are_found() -> None:
    sync = people(*(field(f"f{i}", "integer") for i in range(70)))

    assert sent(sync, *range(70), op="update", masks=(1 << 61, 1 << 7)) == {"f61": 61, "f69": 69}


@pytest.mark.parametrize(("policy", "expected"), [(OnNull.SKIP, {"b": "x"}), (OnNull.CLEAR, {"a": None, "b": "x"})])
def test_a_null_is_an_instruction_only_where_the_contract_says_so(policy: OnNull, expected: dict[str, Any]) -> None:
    sync = people(field("a", "string", on_null=policy), field("b", "string"))

    assert sent(sync, None, "x") == expected


def test_deletes_carry_no_attributes() -> None:
    made = one(people(field("a", "string", required=True)), None, op="delete")

    assert isinstance(made, Operation)
    assert json.loads(made.body) == {"type": "person", "identifiers": {"id": "k1"}, "action": "delete"}


@pytest.mark.parametrize(
    ("rules", "value", "reason"),
    [
        (field("x", "string", required=True), None, "required"),
        (field("x", "string", required=True), "", "required"),
        (field("x", "string", on_null=OnNull.REFUSE), None, "null"),
        (field("x", "string"), "y" * 1001, "too_long"),
        (field("x", "string"), "€" * 334, "too_long"),
        (field("x", "string", max_length=3), "four", "too_long"),
        (field("x", "string"), "nul\0", "control_character"),
        (field("x", "string"), "\ud800", "control_character"),
        (field("x", "string", pattern="[A-Z]{3}"), "eur", "pattern"),
        (field("x", "string", pattern="[A-Z]{3}"), "EUR\n", "pattern"),
        (field("x", "string", enum=("a", "b")), "c", "enum"),
        (field("x", "string", format="email"), "nobody", "format"),
        (field("x", "string", format="email"), "a b@example.com", "format"),
        (field("x", "number"), float("nan"), "not_finite"),
        (field("x", "number"), float("-inf"), "not_finite"),
        (field("x", "number"), "NaN", "not_finite"),
        (field("x", "number", minimum=0), -0.01, "minimum"),
        (field("x", "number", maximum=10), "10.01", "maximum"),
        (field("x", "integer"), "1.5", "type"),
        (field("x", "timestamp"), 1_700_000_000_000, "not_unix_seconds"),
        (field("x", "timestamp"), 12, "not_unix_seconds"),
        (field("x", "array"), '{"a":1}', "type"),
        (field("x", "object"), "[1]", "type"),
        (field("x", "array"), "[1,", "json"),
        (field("x", "array"), "[NaN]", "not_finite"),
        (field("x", "array"), "[" * 30 + "]" * 30, "too_deep"),
        (field("x", "array"), "[" * 100_000 + "]" * 100_000, "too_deep"),
        (field("x", "array", items=(field("q", "integer", required=True),)), '[{"q":1},{}]', "required"),
        (field("x", "array", item=field("", "string", required=True)), '["a",1]', "type"),
    ],
)  # fmt: skip
def test_a_value_that_breaks_the_contract_names_field_and_rule_and_never_the_value(
    rules: Field, value: Any, reason: str
) -> None:
    made = one(people(rules), value)

    assert isinstance(made, Refusal)
    assert (made.reason, made.field.partition(".")[0]) == (reason, "x")
    if isinstance(value, str) and len(value) > 4:
        assert value not in made.message


@pytest.mark.parametrize("size", [999, 1000])
def test_exactly_the_limit_is_sent(size: int) -> None:
    assert sent(people(field("x", "string")), "y" * size) == {"x": "y" * size}


def test_digits_are_never_rounded() -> None:
    sync = people(field("a", "number"), field("b", "integer"), field("c", "array"))
    digits = "12345678901234567890.123456789"

    made = one(sync, digits, 2**70, f"[{digits},{2**70}]")

    assert isinstance(made, Operation)
    assert f'"a":{digits},"b":{2**70},"c":[{digits},{2**70}]'.encode() in made.body


@pytest.mark.parametrize(
    ("key", "reason"), [(" ", "blank"), ("\u200b", "blank"), ("x" * 151, "too_long"), ("a\0b", "control_character")]
)
def test_keys(key: str, reason: str) -> None:
    assert refused(people(field("x", "string")), "v", key=key) == (reason, "")


def test_an_email_identifier_must_be_one() -> None:
    assert refused(people(identifier=IdentifierKind.EMAIL), key="nobody") == ("format", "")


def test_a_row_over_the_limit_of_an_operation_says_its_widest_field() -> None:
    sync = people(*(field(f"f{i}", "string") for i in range(40)))

    assert refused(sync, *["y" * 999] * 39, "y" * 1000) == ("too_large", "f39")


def test_one_bad_row_does_not_touch_its_neighbours() -> None:
    made = PersonEncoder(people(field("x", "number"))).encode(
        [(1, "create", "a", 0, 1.0), (2, "create", "b", 0, float("nan")), (3, "create", "c", 0, 3.0)]
    )

    assert [op.seq for op in made.operations] == [1, 3]
    assert [r.seq for r in made.refusals] == [2]


def test_further_problems_are_counted() -> None:
    made = one(people(field("a", "string"), field("b", "number")), "\0", float("nan"))

    assert isinstance(made, Refusal)
    assert "1 more problem" in made.message


texts = st.text(max_size=30)
cells = {
    FieldType.STRING: st.none() | texts, FieldType.INTEGER: st.none() | st.integers(-(2**66), 2**66),
    FieldType.NUMBER: st.none() | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False, places=4).map(lambda d: format(d, "f")),
    FieldType.BOOLEAN: st.none() | st.booleans(), FieldType.TIMESTAMP: st.none() | st.integers(0, 10**13),
    FieldType.ARRAY: st.none() | st.lists(st.integers() | texts, max_size=3).map(json.dumps),
}  # fmt: skip


@given(st.data())
def test_a_page_is_encoded_as_its_rows_are_one_by_one(data: st.DataObject) -> None:
    """The fast tests of whole columns may never change an answer."""
    kinds = data.draw(st.lists(st.sampled_from(sorted(cells)), min_size=1, max_size=4))
    sync = people(*(field(f"f{i}", kind, on_null=data.draw(st.sampled_from([OnNull.SKIP, OnNull.CLEAR])))
                    for i, kind in enumerate(kinds)))  # fmt: skip
    rows = data.draw(st.lists(st.tuples(st.sampled_from(["create", "update", "redrive", "delete"]), texts, st.integers(0, 15),
                                        *(cells[kind] for kind in kinds)), min_size=1, max_size=6))  # fmt: skip
    page = [(i, *row) for i, row in enumerate(rows)]
    encoder = PersonEncoder(sync)

    together, apart = encoder.encode(page), [encoder.encode([row]) for row in page]

    assert together.operations == [op for made in apart for op in made.operations]
    assert together.refusals == [r for made in apart for r in made.refusals]
    for operation in together.operations:
        orjson.loads(operation.body)
        assert len(operation.body) <= 32_000


@given(st.text(min_size=1), st.text())
def test_an_event_id_depends_on_stream_and_key_only_and_is_a_ulid(key: str, variant: str) -> None:
    key = key.encode(errors="replace").decode()
    variant = variant.encode(errors="replace").decode()
    made = event_id("orders01", key, variant)

    assert made == event_id("orders01", key, variant)
    assert made.startswith("01DXF6DT00")
    assert len(made) == 26
    assert set(made) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert made != event_id("orders02", key, variant)


def test_event_ids_follow_their_definition() -> None:
    """Recomputed by integer arithmetic from the definition in reliability terms: these may never change."""
    import hashlib  # noqa: PLC0415

    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    for key in ("o1", "order-1001", "ü", "a\x00b", "x" * 500):
        bits = int.from_bytes(hashlib.sha256(b"revetl-event-v1\0orders01\0" + key.encode()).digest()[:10], "big")
        number = (1_577_836_800_000 << 80) | bits
        expected = "".join(alphabet[(number >> (5 * i)) & 31] for i in reversed(range(26)))
        assert event_id("orders01", key) == expected
    assert event_id("orders01", "o1") == "01DXF6DT00" + event_id("orders01", "o1")[10:]
