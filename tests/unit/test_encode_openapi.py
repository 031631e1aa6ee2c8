"""What the encoder writes is valid by the OpenAPI document that Customer.io publishes for the Track API."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from revetl.contracts import IdentifierKind
from revetl.encode import EventEncoder, PersonEncoder
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
