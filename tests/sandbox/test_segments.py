"""Manual segments by their v1 calls, objects and relationships read back, and the switches of what is not published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from revetl.sandbox.store import Rules
from tests.sandbox.client import Client, event, identify, person

Serve = Callable[..., Client]


def made(client: Client) -> int:
    """A manual segment and three people."""
    client.did(identify("1", email="ann@example.com"), identify("2"), identify("3"))
    answer = client.app("/v1/segments", {"segment": {"name": "VIP"}})
    assert answer.status == 200
    return int(answer.json["segment"]["id"])


def change(client: Client, segment: int, action: str, ids: Any, query: str = "") -> int:
    return client.track("POST", f"/api/v1/segments/{segment}/{action}_customers{query}", {"ids": ids}).status


def count(client: Client, segment: int) -> int:
    return int(client.app(f"/v1/segments/{segment}/customer_count").json["count"])


def test_people_are_added_and_removed_by_any_kind_of_identifier(client: Client) -> None:
    segment = made(client)
    assert change(client, segment, "add", ["1", "2", "nobody"]) == 200
    assert change(client, segment, "add", ["1"]) == 200
    assert count(client, segment) == 2
    assert client.app(f"/v1/segments/{segment}/membership").json["ids"] == ["1", "2"]
    assert client.app("/v1/customers/1/segments").json["segments"][0]["name"] == "VIP"
    assert change(client, segment, "remove", ["ann@example.com"], "?id_type=email") == 200
    assert client.app(f"/v1/segments/{segment}/membership").json["ids"] == ["2"]
    client.did(person("delete", "2"))
    assert count(client, segment) == 0


@pytest.mark.parametrize("ids", [[], ["x"] * 1_001, [1], "1", None])
def test_a_call_holds_one_to_a_thousand_texts(client: Client, ids: Any) -> None:
    segment = made(client)
    assert change(client, segment, "add", ids) == 400
    assert count(client, segment) == 0
    assert change(client, segment, "add", [str(i) for i in range(1_000)]) == 200


def test_a_segment_that_is_not_there(client: Client) -> None:
    made(client)
    assert change(client, 99, "add", ["1"]) == 400
    client.box.store.rules = Rules(unknown_segment=404)
    assert change(client, 99, "add", ["1"]) == 404


def test_kinds_of_identifiers_by_the_note_at_the_endpoints(client: Client) -> None:
    segment = made(client)
    client.box.store.rules = Rules(segments_by_id=True)
    assert change(client, segment, "add", ["ann@example.com"], "?id_type=email") == 400
    assert change(client, segment, "add", ["1"], "?id_type=id") == 200


def test_objects_and_relationships_are_read_back(client: Client) -> None:
    acme = {"object_type_id": "1", "object_id": "acme"}
    client.did(identify("1"), {"type": "object", "action": "identify", "identifiers": acme, "attributes": {"seats": 5}})
    client.did(person("add_relationships", cio_relationships=[{"identifiers": acme, "relationship_attributes": {"role": "x"}}]))
    found = client.app("/v1/objects/1/acme/attributes").json["object"]
    assert (found["identifiers"]["object_id"], found["attributes"]) == ("acme", {"seats": "5"})
    [related] = client.app("/v1/customers/1/relationships").json["cio_relationships"]
    assert (related["identifiers"]["object_id"], related["relationship_attributes"]) == ("acme", {"role": "x"})
    [other] = client.app("/v1/objects/1/acme/relationships").json["cio_relationships"]
    assert other["identifiers"]["id"] == "1"
    assert client.app("/v1/objects/1/corp/attributes").status == 404


def test_switches_of_what_is_not_published(client: Client) -> None:
    rules = client.box.store
    rules.rules = Rules(suppress_keeps=True)
    client.did(identify("1", plan="a"), person("suppress"), identify("1", plan="b"))
    assert client.attributes("1") == {"id": "1", "plan": "a"}
    rules.rules = Rules(reverse_batches=True)
    client.did(identify("2", plan="a"), identify("2", plan="b"))
    assert client.attributes("2") == {"id": "2", "plan": "a"}
    rules.rules = Rules(limit_event_values=True)
    assert client.batch(event("2", text="x")).status == 200
    assert client.batch({**event("2"), "attributes": {"text": "x" * 1_001}}).status == 207
    rules.rules = Rules(attributes_of_person=True)
    client.did(identify("3", **{f"a{i}": 1 for i in range(300)}))
    client.did(identify("3", one_more=1, a0=2))
    held = client.attributes("3")
    assert held is not None
    assert "one_more" not in held
    assert held["a0"] == "2"
    rules.rules = Rules(link_creates_object=False)
    links = [{"identifiers": {"object_type_id": "1", "object_id": "none"}}]
    client.did(person("add_relationships", "2", cio_relationships=links))
    assert client.totals["objects"] == 0


@pytest.mark.parametrize("merges", [False, True])
def test_a_device_is_replaced_or_merged(client: Client, merges: bool) -> None:
    client.box.store.rules = Rules(devices_merge=merges)
    client.did(identify("1"))
    for attributes in ({"a": "1"}, {"b": "2"}):
        client.did(person("add_device", device={"token": "t", "platform": "ios", "attributes": attributes}))
    profile = client.profile("1")
    assert profile is not None
    assert profile["devices"][0]["attributes"] == ({"a": "1", "b": "2"} if merges else {"b": "2"})
