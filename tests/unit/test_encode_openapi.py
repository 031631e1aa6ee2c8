"""What the encoder writes is valid by the OpenAPI document that Customer.io publishes for the Track API."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from revetl.contracts import LAST_USED, PLATFORM, FieldType, IdentifierKind, OnNull, Sync, SyncType
from revetl.customerio import pack
from revetl.encode import EventEncoder, PersonEncoder
from revetl.entities import encoder_for, route_of
from tests.unit.test_encode_rules import events, field, golden_events, golden_people, people, person

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("REVETL_REFERENCE") or ROOT.parent / "shared" / "reference")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The published document, where there is a copy."""
    path = REFERENCE / "track-openapi.json"
    if not path.is_file():
        pytest.skip(
            f"no copy of Customer.io's OpenAPI document (track-openapi.json in {REFERENCE}); set REVETL_REFERENCE"
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def validator(document: dict[str, Any], schema: str) -> Any:
    return OAS31Validator({"$ref": f"#/components/schemas/{schema}", "components": document["components"]})


SCHEMAS = {
    "identify": "identify_person", "delete": "person_delete", "suppress": "person_suppress", "event": "person_event",
}  # fmt: skip
KINDS = [kind for kind in SyncType if kind not in {SyncType.PERSON, SyncType.EVENT, SyncType.SEGMENT}]
OTHERS = {
    "page": "person_page", "screen": "person_screen", "add_relationships": "person_add_relationships",
    "delete_relationships": "person_delete_relationships", "add_device": "person_add_device",
    "delete_device": "person_delete_device", "suppress": "person_suppress", "unsuppress": "person_unsuppress",
    "identify": "object_identify", "delete": "object_delete", "merge": "person_merge",
}  # fmt: skip


def of_type(kind: SyncType) -> list[dict[str, Any]]:
    """Operations of a type, whole, changed, and of rows that went."""
    attributes = (field("plan"), field("seats", FieldType.INTEGER, on_null=OnNull.CLEAR))
    if kind is SyncType.DEVICE:  # texts only
        attributes = (field("plan"), field("seats"))
    own = (field(PLATFORM, required=True), field(LAST_USED, FieldType.TIMESTAMP)) if kind is SyncType.DEVICE else ()
    sync = Sync(
        name="s", uid="stream01", type=kind, model="m", relation="ref('m')", identifier=IdentifierKind.ID, key="k",
        fields=(*own, *attributes) if not kind.keyed_by_person else (), event="Home", object_type="1", person="p",
    )  # fmt: skip
    if kind is SyncType.MERGE:
        rows: list[tuple[Any, ...]] = [(1, "b", "a")]
    elif not kind.keeps_values:
        rows = [(1, "k", "a", None, 1_700_000_000, "", "free", 5)]
    else:
        key = '["a","b\\"c"]' if kind.keyed_by_pair else "a"
        values: list[tuple[Any, ...]] = [("ios", 1_700_000_000), ("android", None)] if own else [(), ()]
        last = "x" if own else 5
        tails = [(*values[0], "free", last), (*values[1], None, None)] if not kind.keyed_by_person else [(), ()]
        rows = [(1, "create", key, 0, *tails[0]), (2, "update", key, 1, *tails[1]), (3, "redrive", key, 0, *tails[0]),
                (4, "delete", key, 0, *tails[1])]  # fmt: skip
    encoded = encoder_for(sync).encode(rows)
    assert not encoded.refusals
    return [json.loads(operation.body) for operation in encoded.operations]


@pytest.mark.parametrize("kind", KINDS)
def test_operations_of_every_type_are_valid_by_their_own_schema(document: dict[str, Any], kind: SyncType) -> None:
    for operation in of_type(kind):
        problems = list(validator(document, OTHERS[operation["action"]]).iter_errors(operation))
        assert not problems, (operation, problems[0].message)


def test_every_operation_that_can_be_sent_was_tried() -> None:
    assert {operation["action"] for kind in KINDS for operation in of_type(kind)} == set(OTHERS)


def test_the_calls_of_a_segment_are_valid(document: dict[str, Any]) -> None:
    sync = Sync(name="s", uid="stream01", type=SyncType.SEGMENT, model="m", relation="ref('m')", identifier=IdentifierKind.ID,
                key="k", fields=(), segment_id=12)  # fmt: skip
    rows = [(i, "create", f"p{i}", 0) for i in range(1, 2_502)]
    operations = encoder_for(sync).encode(rows).operations
    for erasing, action in ((False, "add"), (True, "remove")):
        route = route_of(sync, erasing=erasing)
        path = f"/api/v1/segments/{{segment_id}}/{action}_customers"
        assert route.path == path.replace("{segment_id}", "12") + "?id_type=id"
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        check = OAS31Validator({**schema, "components": document["components"]})
        batches = list(pack(operations, max_operations=100, max_bytes=450_000, route=route))
        assert [len(batch.operations) for batch in batches] == [1_000, 1_000, 501]
        for batch in batches:
            check.validate(json.loads(batch.body))


def operations() -> list[dict[str, Any]]:
    sync, rows = golden_people()
    bodies = [
        operation.body for operation in PersonEncoder(sync, timestamp=1_700_000_000).encode(rows).operations
    ]
    order, facts = golden_events()
    # an anonymous id is what official integrations send, but the document does not have it
    known = [fact for fact in facts if fact[2] is not None]
    bodies += [operation.body for operation in EventEncoder(order).encode(known).operations]
    by_email = people(field("plan"), identifier=IdentifierKind.EMAIL)
    bodies += [
        o.body
        for o in PersonEncoder(by_email).encode([person(by_email, "x", key="a@example.com")]).operations
    ]
    by_cio_id = events(identifier=IdentifierKind.CIO_ID)
    bodies += [
        o.body
        for o in EventEncoder(by_cio_id).encode([(1, "k", "a3000001", None, 1_700_000_000, "")]).operations
    ]
    return [json.loads(body) for body in bodies]


def test_every_kind_of_operation_is_valid_by_its_own_schema(document: dict[str, Any]) -> None:
    found = operations()
    assert {operation["action"] for operation in found} == set(SCHEMAS)
    for operation in found:
        problems = list(validator(document, SCHEMAS[operation["action"]]).iter_errors(operation))
        assert not problems, (operation, problems[0].message)


def test_the_whole_batch_is_valid(document: dict[str, Any]) -> None:
    batch = document["paths"]["/api/v2/batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    check = OAS31Validator({**batch, "components": document["components"]})
    assert not list(check.iter_errors({"batch": operations()}))


def test_the_document_can_tell_a_wrong_operation(document: dict[str, Any]) -> None:
    identify = validator(document, "identify_person")
    right = {"type": "person", "identifiers": {"id": "1"}, "action": "identify", "attributes": {}}
    assert identify.is_valid(right)
    assert not identify.is_valid(right | {"timestamp": "1700000000"})
    assert not identify.is_valid(right | {"identifiers": {}})
    assert not identify.is_valid(right | {"attributes": []})
