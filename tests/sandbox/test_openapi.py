"""The judge is Customer.io's published OpenAPI file: its samples are accepted, and every answer has its shape."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.client import Client, event, identify, merge, person

# read here: a fixture of all tests clears the environment
REFERENCE = Path(os.environ.get("REVETL_REFERENCE") or Path(__file__).parents[2].parent / "shared" / "reference")
jsonschema = pytest.importorskip("jsonschema")

PERSON = (
    "identify_person", "person_delete", "person_event", "person_screen", "person_page", "person_add_relationships",
    "person_delete_relationships", "person_add_device", "person_delete_device", "person_merge", "person_suppress",
    "person_unsuppress",
)  # fmt: skip
OTHERS = (
    "object_identify", "object_identify_anonymous", "object_delete", "object_add_relationships",
    "object_delete_relationships", "delivery_operations",
)  # fmt: skip

# "one of" three choices that do not exclude each other: no relationship with a person can satisfy these two
AMBIGUOUS = {"object_add_relationships", "object_delete_relationships"}


@pytest.fixture
def published() -> dict[str, Any]:
    """The document; it is not ours to redistribute."""
    path = REFERENCE / "track-openapi.json"
    if not path.is_file():
        pytest.skip("track-openapi.json is not here; REVETL_REFERENCE names its folder")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def fits(published: dict[str, Any], value: Any, schema: dict[str, Any]) -> None:
    """Raise unless a value has a published schema."""
    whole = {**schema, "components": published["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def named(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def body_of(published: dict[str, Any], path: str, status: int, method: str = "post") -> dict[str, Any]:
    found = published["paths"][path][method]["responses"][str(status)]
    if "$ref" in found:
        found = published["components"]["responses"][found["$ref"].rsplit("/", 1)[1]]
    schema = found.get("content", {}).get("application/json", {}).get("schema", {"type": "object", "maxProperties": 0})
    assert isinstance(schema, dict)
    return schema


@pytest.mark.parametrize("name", [*PERSON, *OTHERS])
def test_every_published_sample_is_accepted(client: Client, published: dict[str, Any], name: str) -> None:
    sample = published["components"]["schemas"][name]["example"]
    if name == "person_merge":
        sample = {"type": "person", "action": "merge", **sample}  # the sample leaves out what its schema requires
    if name not in AMBIGUOUS:
        fits(published, sample, named(name))

    for path, body in (("/api/v2/entity", sample), ("/api/v2/batch", {"batch": [sample]})):
        answer = client.track("POST", path, body)
        assert (answer.status, answer.json) == (200, {})
        fits(published, answer.json, body_of(published, path, 200))


def test_the_published_batch_is_accepted(client: Client, published: dict[str, Any]) -> None:
    schema = published["paths"]["/api/v2/batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert client.track("POST", "/api/v2/batch", schema["example"]).json == {}
    assert client.attributes("42") == {"id": "42", "first_name": "Jane", "last_name": "Doe", "plan": "premium"}


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("identify_person", identify(plan="x", at=5)), ("person_event", event(timestamp=1, attributes={"a": [1]})),
        ("person_delete", person("delete")), ("person_merge", merge({"id": "1"}, {"email": "b@example.com"})),
        ("person_suppress", person("suppress")),
        ("person_add_device", person("add_device", device={"token": "t", "platform": "ios"})),
    ],
)  # fmt: skip
def test_our_own_operations_are_published_ones(
    client: Client, published: dict[str, Any], name: str, operation: dict[str, Any]
) -> None:
    """So that the other tests do not rest on a shape that Customer.io would refuse."""
    fits(published, operation, named(name))
    client.did(operation)


def test_refusals_have_the_published_shape(client: Client, published: dict[str, Any]) -> None:
    partial = client.batch(identify(), event(name=""))
    whole = client.track("POST", "/api/v2/batch", b"{")
    entity = client.track("POST", "/api/v2/entity", event(name=""))

    assert (partial.status, whole.status, entity.status) == (207, 400, 400)
    fits(published, partial.json, body_of(published, "/api/v2/batch", 207))
    fits(published, whole.json, body_of(published, "/api/v2/batch", 400))
    fits(published, entity.json, body_of(published, "/api/v2/entity", 400))
    for answer in (partial, whole, entity):
        assert all({"reason", "field", "message"} <= set(error) for error in answer.json["errors"])


def test_a_profile_has_the_published_shape(client: Client, published: dict[str, Any]) -> None:
    client.did(identify(email="ann@example.com", n=1), person("add_device", device={"token": "t", "platform": "ios"}))

    person_read = client.app("/v1/customers/1/attributes").json
    fits(published, person_read, named("customerAttributesObject"))
    assert all(isinstance(v, str) for v in person_read["customer"]["attributes"].values())


def test_activities_have_the_published_types_and_shape(client: Client, published: dict[str, Any]) -> None:
    client.did(identify(email="a@example.com"), identify("2", email="b@example.com"), event(), person("page", name="/"))
    client.did(identify(plan="x"), identify("2", email="a@example.com"), identify("2", at=1, plan="x"))
    client.did(identify("2", at=2, email="c@example.com"), event({"cio_id": "a3ffffff"}), merge({"id": "1"}, {"id": "2"}))
    client.did(person("suppress", "3"), identify("3"), person("delete", "1"))
    schemas = published["components"]["schemas"]
    # the two choices of `data` overlap, so that no attribute change could satisfy the published oneOf
    choices = schemas["activityObject"]["properties"].pop("data")

    for activity in client.activities():
        fits(published, activity, named("activityObject"))
        if activity["type"].endswith("attribute_change"):
            fits(published, activity["data"], choices["oneOf"][1])
