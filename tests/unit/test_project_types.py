"""`syncs/*.yml` of the types beside people and events: what a key becomes, what is refused, and the order of work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from revetl.compiler import compile_project
from revetl.contracts import LAST_USED, PLATFORM, FieldType, Initial, NoPerson, Sync, SyncType, WhenMissing
from revetl.project import schema
from tests.unit.project_files import person_yaml, problems, said, shop

TYPES = {
    "companies": "{type: object, object_type_id: '1', key: company_id, attributes: {name: string}, when_missing: delete}",
    "works_at": "{type: relationship, person: {id: customer_id}, object: {object_type_id: '1', key: company_id, "
    "sync: companies}, attributes: {role: string}, no_person: hold}",
    "devices": "{type: device, person: {id: customer_id, sync: people}, key: token, platform: {column: os}, "
    "last_used: {column: seen, zone: UTC}, attributes: {app_version: string}}",
    "vips": "{type: segment, segment_id: 12, person: {id: customer_id}, when_missing: delete}",
    "blocked": "{type: suppression, person: {id: customer_id}, when_missing: unsuppress}",
    "views": "{type: page, event: {column: path}, person: {id: customer_id}, key: view_id, occurred_at: seen}",
    "screens": "{type: screen, event: Home, person: {id: customer_id}, key: view_id, occurred_at: seen, initial: send}",
}


def text(**changes: str) -> str:
    """A file with one sync of every type, some of them changed."""
    syncs = []
    for i, (name, keys) in enumerate({**TYPES, **changes}.items()):
        body = {"name": name, "uid": f"stream0{i}", "model": "ref('orders')", **yaml.safe_load(keys)}
        syncs.append(body)
    return yaml.safe_dump({"version": 1, "syncs": syncs}, sort_keys=False)


def loaded(root: Path) -> dict[str, Sync]:
    return dict(shop(root, {"syncs/more.yml": text()}).syncs)


def test_every_key_of_every_type(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    company, works, device = found["companies"], found["works_at"], found["devices"]
    assert (company.type, company.object_type, company.key) == (SyncType.OBJECT, "1", "company_id")
    assert (company.when_missing, company.initial, company.owners) == (WhenMissing.DELETE, Initial.SEND, ())
    assert (works.person, works.key, works.object_type, works.no_person) == ("customer_id", "company_id", "1", NoPerson.HOLD)
    assert works.belongs_to == {"_person": "people", "_object": "companies"}
    assert [(f.name, f.column, f.type) for f in device.fields] == [
        (PLATFORM, "os", FieldType.STRING), (LAST_USED, "seen", FieldType.TIMESTAMP),
        ("app_version", "app_version", FieldType.STRING),
    ]  # fmt: skip
    assert device.fields[0].required
    assert device.fields[0].enum == ("ios", "android")
    assert (found["vips"].segment_id, found["vips"].key) == (12, "customer_id")
    assert (found["blocked"].when_missing, found["blocked"].owners) == (WhenMissing.UNSUPPRESS, ())
    assert (found["views"].event, found["views"].event_column, found["views"].initial) == ("", "path", Initial.BASELINE)
    assert (found["screens"].event, found["screens"].initial) == ("Home", Initial.SEND)


def test_the_schema_takes_every_type() -> None:
    assert [e.message for e in Draft7Validator(schema()).iter_errors(yaml.safe_load(text()))] == []


def test_the_order_of_work(tmp_path: Path) -> None:
    order = compile_project(shop(tmp_path, {"syncs/a_more.yml": text()}), environ={}).order
    kinds = ["blocked", "people", "companies"]
    assert [name for name in order if name in kinds] == kinds
    assert set(order[:3]) == set(kinds), "what belongs to them comes after"


@pytest.mark.parametrize(
    ("name", "keys", "code"),
    [
        ("companies", "{type: object, key: company_id, attributes: {name: string}}", "RV013"),
        ("companies", "{type: object, object_type_id: company, key: company_id, attributes: {name: string}}", "RV235"),
        ("companies", "{type: object, object_type_id: '1', key: company_id, attributes: {object_id: string}}", "RV039"),
        ("companies", "{type: object, object_type_id: '1', key: c, attributes: {n: string}, person: {id: x}}", "RV031"),
        ("companies", "{type: object, object_type_id: '1', key: c, attributes: {n: string}, when_missing: suppress}", "RV233"),
        ("works_at", "{type: relationship, person: {id: customer_id}}", "RV013"),
        ("works_at", "{type: relationship, person: {id: c}, object: {object_type_id: '1', key: k, sync: people}}", "RV231"),
        ("works_at", "{type: relationship, person: {id: c}, object: {object_type_id: '2', key: k, sync: companies}}", "RV231"),
        ("works_at", "{type: relationship, person: {id: c}, object: {object_type_id: '1', key: k}, no_person: anonymous}",
         "RV234"),
        ("devices", "{type: device, person: {id: c}, key: token}", "RV013"),
        ("devices", "{type: device, person: {id: c}, key: token, platform: windows}", "RV237"),
        ("devices", "{type: device, person: {id: c}, key: token, platform: ios, attributes: {opens: integer}}", "RV042"),
        ("devices", "{type: device, person: {id: c}, key: token, platform: ios, attributes: {_last_status: string}}", "RV039"),
        ("devices", "{type: device, person: {id: c}, key: token, platform: ios, properties: {a: string}}", "RV031"),
        ("devices", "{type: device, person: {id: c, sync: nobody}, key: token, platform: ios}", "RV016"),
        ("vips", "{type: segment, person: {id: c}, segment_id: 0}", "RV011"),
        ("vips", "{type: segment, person: {id: c}, segment_id: 3, attributes: {a: string}}", "RV031"),
        ("blocked", "{type: suppression, person: {id: c}, when_missing: delete}", "RV233"),
        ("also", "{type: suppression, person: {id: c}}", "RV232"),
        ("again", "{type: segment, person: {id: c}, segment_id: 12}", "RV232"),
        ("views", "{type: event, event: {column: path}, person: {id: c}, key: k, occurred_at: seen}", "RV236"),
        ("views", "{type: page, event: {col: path}, person: {id: c}, key: k, occurred_at: seen}", "RV010"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, name: str, keys: str, code: str) -> None:
    found = problems(shop, tmp_path, {"syncs/more.yml": text(**{name: keys})})
    assert [p.code for p in found] == [code], said(found)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ("{unsubscribed: {type: boolean, on_null: clear}}", "RV239"),
        ("{unsubscribed: {type: boolean, required: true}}", "RV239"),
        ("{plan: {type: boolean, may_resubscribe: true}}", "RV239"),
        ("{cio_subscription_preferences.topics.topic_1: string}", "RV238"),
    ],
)  # fmt: skip
def test_subscriptions_that_are_refused(tmp_path: Path, attributes: str, code: str) -> None:
    found = problems(shop, tmp_path, {"syncs/people.yml": person_yaml(attributes)})
    assert [p.code for p in found] == [code], said(found)


def test_subscribing_again_is_said_in_so_many_words(tmp_path: Path) -> None:
    attributes = "{unsubscribed: {type: boolean, may_resubscribe: true, on_null: clear}}"
    [field] = shop(tmp_path, {"syncs/people.yml": person_yaml(attributes)}).syncs["people"].fields
    assert field.may_resubscribe
