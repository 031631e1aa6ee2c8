"""`syncs/*.yml`: what a key becomes, what is refused, and that the editors' schema says the same."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from revetl.contracts import (
    Alike,
    Drift,
    DriftAction,
    DuplicateRule,
    FieldType,
    Guards,
    IdentifierKind,
    Jump,
    Late,
    Latency,
    Limit,
    NoPerson,
    OnNull,
    OnViolation,
    Rename,
    SyncType,
    WhenMissing,
)
from revetl.errors import ConfigError, Where
from revetl.project import load, schema
from revetl.syncfile import (
    DRIFT_KEYS,
    DUPLICATE_KEYS,
    EVENT_RENAME_KEYS,
    FIELD_KEYS,
    FIELD_RENAME_KEYS,
    FILE_KEYS,
    GUARD_KEYS,
    IDENTIFY_KEYS,
    IDENTITY_KEYS,
    JUMP_KEYS,
    LATENCY_KEYS,
    PERSON_KEYS,
    POLICY_KEYS,
    SYNC_KEYS,
    TIME_KEYS,
    SyncReader,
)
from revetl.taxonomyfile import EVENT_TERM_KEYS, TAXONOMY_KEYS, TERM_KEYS
from revetl.yamlfile import Node
from tests.unit.project_files import event_yaml, person, person_yaml, problems, said, shop

# --- what keys become --------------------------------------------------------------------------------------------


def test_every_rule_of_a_field(tmp_path: Path) -> None:
    found = person(tmp_path, """
      mail: {type: string, column: email, format: email, normalize: email, max_length: 90, pattern: '.+@.+', on_null: clear}
      plan: {type: string, enum: [free, paid], required: true, description: what they pay}
      score: {type: number, minimum: -1.5, maximum: 10, on_null: refuse}
      seen: {type: timestamp, zone: Europe/Berlin}
      tags: {type: array, items: string}
      lines: {type: array, items: {sku: string, amount: {type: number, minimum: 0}}}""")
    mail, plan, score, seen, tags, lines = found.fields
    assert (mail.name, mail.column, mail.format, mail.normalize, mail.max_length, mail.pattern, mail.on_null) == (
        "mail", "email", "email", "email", 90, ".+@.+", OnNull.CLEAR,
    )  # fmt: skip
    assert (plan.enum, plan.required, plan.description) == (("free", "paid"), True, "what they pay")
    assert (score.minimum, score.maximum, score.on_null) == (-1.5, 10, OnNull.REFUSE)
    assert (seen.type, seen.zone) == (FieldType.TIMESTAMP, "Europe/Berlin")
    assert tags.item is not None
    assert (tags.item.type, tags.item.required, tags.items) == (FieldType.STRING, True, ())
    assert [(f.name, f.type, f.minimum) for f in lines.items] == [("sku", "string", None), ("amount", "number", 0)]


def test_every_key_of_a_person_sync(tmp_path: Path) -> None:
    found = person(
        tmp_path, "{plan: string}", when_missing="suppress", initial="baseline", tags="[a, b]", owner="me", description="d",
        guards="{max_deletes: 1%, max_changes: 200, empty_source: allow, max_first_run: 1000}",
    )  # fmt: skip
    assert found.guards == Guards(
        max_deletes=Limit(share=0.01), max_changes=Limit(rows=200), empty_source=False, max_first_run=1000
    )
    assert (found.when_missing, found.initial) == (WhenMissing.SUPPRESS, "baseline")
    assert (found.tags, found.owner, found.description, found.enabled) == (("a", "b"), "me", "d", True)


def test_rules_for_duplicates(tmp_path: Path) -> None:
    rules = "[{name: one, columns: [a, b]}, {name: two, columns: [c], normalize: form}]"
    found = person(tmp_path, "{plan: string}", duplicates=rules)
    assert found.duplicates == (
        DuplicateRule(name="one", columns=("a", "b"), normalize=Alike.TRIM),
        DuplicateRule(name="two", columns=("c",), normalize=Alike.FORM),
    )
    assert person(tmp_path, "{plan: string}", duplicates="[]").duplicates == ()
    assert person(tmp_path, "{plan: string}").duplicates is None


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ("[{name: a}]", "RV082"), ("[{columns: [a]}]", "RV082"), ("[{name: a, columns: []}]", "RV082"), ("[a]", "RV011"),
        ("[{name: a, columns: [x]}, {name: a, columns: [y]}]", "RV082"), ("[{name: a, columns: [1]}]", "RV011"),
        ("[{name: a, columns: [x], normalise: email}]", "RV010"), ("[{name: a, columns: [x], normalize: mail}]", "RV011"),
        ("{a: b}", "RV011"),
    ],
)  # fmt: skip
def test_rules_for_duplicates_that_are_refused(tmp_path: Path, rules: str, code: str) -> None:
    found = problems(person, tmp_path, "{plan: string}", duplicates=rules)
    assert [p.code for p in found] == [code], said(found)


def merge_yaml(**changes: str) -> str:
    keys = {"name": "merges", "uid": "merges01", "model": "ref('people')", "type": "merge", "primary": "{id: kept}",
            "secondary": "{id: gone}"} | changes  # fmt: skip
    return "version: 1\nsyncs:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in keys.items() if value) + "\n"


def test_every_key_of_a_merge_sync(tmp_path: Path) -> None:
    text = merge_yaml(people="people", guards="{max_merges: 7}", tags="[a]", owner="me", description="d", enabled="false")
    found = shop(tmp_path, {"syncs/merges.yml": text}).syncs["merges"]
    assert (found.type, found.identifier, found.person, found.key, found.person_sync) == (
        SyncType.MERGE, IdentifierKind.ID, "kept", "gone", "people",
    )  # fmt: skip
    assert (found.guards.max_merges, found.tags, found.owner, found.description, found.enabled) == (7, ("a",), "me", "d", False)
    default = shop(tmp_path, {"syncs/merges.yml": merge_yaml()}).syncs["merges"]
    assert (default.person_sync, default.guards.max_merges, default.enabled, default.initial) == ("people", 100, True, "send")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"primary": ""}, "RV013"), ({"secondary": ""}, "RV013"), ({"primary": "{id: a, email: b}"}, "RV034"),
        ({"primary": "{email: a}"}, "RV083"), ({"primary": "{email: a}", "secondary": "{email: b}"}, "RV083"),
        ({"secondary": "{id: kept}"}, "RV083"), ({"primary": "{phone: a}"}, "RV010"), ({"people": "orders"}, "RV016"),
        ({"people": "peple"}, "RV016"), ({"attributes": "{a: string}"}, "RV031"), ({"when_missing": "delete"}, "RV031"),
        ({"event": "x"}, "RV031"), ({"initial": "send"}, "RV031"), ({"guards": "{max_deletes: 1%}"}, "RV084"),
        ({"guards": "{max_merges: many}"}, "RV011"),
    ],
)  # fmt: skip
def test_merges_that_are_refused(tmp_path: Path, changes: dict[str, str], code: str) -> None:
    found = problems(shop, tmp_path, {"syncs/merges.yml": merge_yaml(**changes)})
    assert [p.code for p in found] == [code], said(found)


def test_merges_belong_to_no_other_sync(tmp_path: Path) -> None:
    assert [p.code for p in problems(person, tmp_path, "{plan: string}", primary="{id: a}")] == ["RV031"]
    assert [p.code for p in problems(person, tmp_path, "{plan: string}", guards="{max_merges: 3}")] == ["RV084"]


def test_every_key_of_an_event_sync(tmp_path: Path) -> None:
    text = event_yaml(
        model='source("raw", "orders")', person="{id: who, sync: people, anonymous_id: visitor}", no_person="anonymous",
        occurred_at="{column: at, zone: UTC}", late="send", initial="send", latency="{warn: 90s, error: 1 hour}",
        properties="{order_id: string}", enabled="false",
    )  # fmt: skip
    sources = "sources: [{name: raw, tables: [{name: orders}]}]"
    found = shop(tmp_path, {"syncs/orders.yml": text, "models/s.yml": sources}).syncs["orders"]
    assert (found.model, found.relation) == ("raw.orders", 'source("raw", "orders")')
    assert (found.person, found.person_sync, found.anonymous, found.no_person) == (
        "who", "people", "visitor", NoPerson.ANONYMOUS,
    )  # fmt: skip
    assert (found.occurred_at, found.zone, found.late, found.initial) == ("at", "UTC", Late.SEND, "send")
    assert found.latency == Latency(warn_s=90, error_s=3600)
    assert not found.enabled


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1 second", 1), ("5 minutes", 300), ("15min", 900), ("1 hour", 3600), ("2h", 7200), ("3 Days", 259_200)],
)
def test_durations(tmp_path: Path, text: str, seconds: int) -> None:
    found = shop(tmp_path, {"syncs/orders.yml": event_yaml(latency=f"{{warn: {text}}}")}).syncs["orders"]
    assert found.latency.warn_s == seconds


@pytest.mark.parametrize("model", ["ref('people')", 'ref("people")', "ref( 'shop' , 'people' )", " ref('people') "])
def test_a_model_is_named_as_in_dbt(tmp_path: Path, model: str) -> None:
    quoted = model.replace("'", "''")
    found = person(tmp_path, "{plan: string}", model=f"'{quoted}'")
    assert found.model == "people"


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ("{id: string}", "RV039"), ("{cio_id: string}", "RV039"), ("{_update: boolean}", "RV039"),
        ("{timezone_valid: boolean}", "RV039"), ("{cio_subscription_preferences: object}", "RV039"),
        ("{'': string}", "RV037"), (f"{{{'x' * 151}: string}}", "RV037"), (f"{{'{'ä' * 76}': string}}", "RV037"),
        ("{a: string, A: string}", "RV038"), ("{a: text}", "RV040"), ("{a: {}}", "RV040"), ("{a: [string]}", "RV011"),
        ("{a: 3}", "RV011"), ("{a: $b}", "RV041"), ("{a: {use: b}}", "RV041"), ("{a: {type: integer, format: email}}", "RV042"),
        ("{a: {type: date, zone: UTC}}", "RV042"), ("{a: {type: string, items: string}}", "RV042"),
        ("{a: {type: array, items: strin}}", "RV040"), ("{a: {type: array, items: {b: strin}}}", "RV040"),
        ("{a: {type: string, pattern: '('}}", "RV043"), ("{a: {type: string, pattern: 'a{99999999999}'}}", "RV043"),
        ("{a: {type: string, required: true, on_null: skip}}", "RV044"), ("{unsubscribed: string}", "RV045"),
        ("{a: {type: timestamp, zone: /etc/passwd}}", "RV035"), ("{a: {type: timestamp, zone: ''}}", "RV035"),
        ("{a: {type: string, enum: [1]}}", "RV085"), ("{a: {type: string, max_length: -1}}", "RV011"),
        ("{a: {type: string, required: 'yes'}}", "RV011"), ("{a: {type: string, column: ''}}", "RV011"),
        ("{a: {type: number, enum: [x]}}", "RV085"), ("{a: {type: boolean, enum: [1]}}", "RV085"),
        ("{a: {type: string, enum: []}}", "RV011"), ("{a: {type: array, enum: [x]}}", "RV042"),
        ("{a: {type: date, minimum: 1}}", "RV085"), ("{a: {type: date, maximum: soon}}", "RV085"),
        ("{a: {type: timestamp, minimum: yesterday}}", "RV085"), ("{a: {type: number, minimum: '1'}}", "RV085"),
        ("{a: {type: integer, maximum: now}}", "RV085"), ("{a: {type: string, minimum: 1}}", "RV042"),
        ("{a: {type: date, minimum: 2025-01-02, maximum: 2025-01-01}}", "RV042"),
        ("{a: {type: string, min_length: 3, max_length: 2}}", "RV042"), ("{a: {type: string, max_items: 2}}", "RV042"),
        ("{a: {type: array, min_items: 3, max_items: 2}}", "RV042"), ("{a: {type: object, items: {b: string}}}", "RV042"),
        ("{a: {type: array, properties: {b: string}}}", "RV042"),
        ("{a: {type: array, items: {type: strin, b: string}}}", "RV040"),
        ("{a: {type: array, items: {type: string, b: string}}}", "RV010"),
        ("{a: {type: object, properties: {b: {type: string, normalize: trim}}}}", "RV086"),
        ("{a: {type: object, properties: {b: {type: timestamp, zone: UTC}}}}", "RV086"),
        ("{a: {type: object, properties: {b: {type: string, on_null: clear}}}}", "RV044"),
        ("{a: {type: object, properties: {b: {type: array, items: {c: {type: integer, format: email}}}}}}", "RV042"),
        ("{a: {type: string, on_violation: ignore}}", "RV011"), ("{a: {type: string, on_violation: {typ: fail}}}", "RV010"),
        ("{a: {type: string, on_violation: {type: warn}}}", "RV011"),
        ("{a: {type: string, on_violation: {format: warn}}}", "RV087"),
        ("{a: {type: string, required: false, on_violation: {required: warn}}}", "RV087"),
        ("{a: {type: string, on_violation: {on_null: warn}}}", "RV087"),
    ],
)  # fmt: skip
def test_attributes_that_are_refused(tmp_path: Path, attributes: str, code: str) -> None:
    found = problems(person, tmp_path, attributes)
    assert [p.code for p in found] == [code]
    assert found[0].where is not None
    assert str(found[0].where).startswith("syncs/people.yml:8:")


@pytest.mark.parametrize(
    "attributes",
    [
        "{email: string, phone: string, created_at: timestamp, unsubscribed: boolean}", f"{{{'x' * 150}: string}}",
        "{cio_subscription_preferences.topics.topic_1: boolean, a.b: string, 'Größe 2': number}",
        "{recipient: string}", "{a: {type: string, required: true, on_null: refuse}}", "{}",
        "{a: {type: boolean, enum: [true]}, b: {type: date, enum: ['2025-01-01'], minimum: 2025-01-01, maximum: now}}",
        "{a: {type: array, items: {type: string, enum: [x], on_violation: warn}, min_items: 1, max_items: 1}}",
        "{a: {type: array, items: {type: array, items: {type: object, properties: {b: {type: object, properties: {}}}}}}}",
    ],
)  # fmt: skip
def test_attributes_that_are_fine(tmp_path: Path, attributes: str) -> None:
    assert problems(person, tmp_path, attributes) == []


def test_the_identifier_may_be_an_attribute_only_where_it_is_another_one(tmp_path: Path) -> None:
    def codes(attributes: str) -> list[str]:
        people = person_yaml(attributes, identify_by="{email: email}")
        return [p.code for p in problems(shop, tmp_path, {"syncs/people.yml": people, "syncs/orders.yml": None})]

    assert codes("{id: string}") == []
    assert codes("{email: string}") == ["RV039"]


def test_too_many_attributes(tmp_path: Path) -> None:
    several = "{" + ", ".join(f"a{i}: string" for i in range(301)) + "}"
    assert [p.code for p in problems(person, tmp_path, several)] == ["RV037"]


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"event": "x" * 101}, "RV036"), ({"event": "' x'"}, "RV036"), ({"event": "'x\t'"}, "RV036"), ({"event": "''"}, "RV011"),
        ({"properties": "{reply_to: string}"}, "RV039"), ({"properties": "{from_address: string}"}, "RV039"),
        ({"properties": "{_x: string}"}, "RV039"), ({"properties": "{a: {type: string, on_null: clear}}"}, "RV044"),
        ({"person": "{id: a, email: b}"}, "RV034"), ({"person": "{sync: people}"}, "RV034"), ({"person": "{}"}, "RV034"),
        ({"no_person": "anonymous"}, "RV013"), ({"identify_by": "{id: x}"}, "RV031"), ({"when_missing": "delete"}, "RV031"),
        ({"latency": "{warn: 2 hours, error: 1 hour}"}, "RV042"), ({"latency": "{warn: 15}"}, "RV011"),
        ({"latency": "{warn: soon}"}, "RV011"), ({"occurred_at": "{zone: UTC}"}, "RV013"), ({"occurred_at": "''"}, "RV011"),
        ({"occurred_at": "[x]"}, "RV011"), ({"occurred_at": "{column: x, zone: [UTC]}"}, "RV011"),
        ({"renamed_from": "{event: a}"}, "RV013"), ({"guards": "{max_deletes: 101%}"}, "RV011"),
        ({"guards": "{max_deletes: -1}"}, "RV011"), ({"guards": "{max_first_run: 1%}"}, "RV011"),
        ({"name": "a/b"}, "RV046"), ({"name": "../x"}, "RV046"), ({"name": "-x"}, "RV046"), ({"uid": "abc"}, "RV019"),
        ({"uid": "ABCDEF1"}, "RV019"), ({"uid": "12345678"}, "RV011"), ({"model": "orders"}, "RV032"),
        ({"model": "source('orders')"}, "RV032"), ({"model": "ref('a')"}, "RV033"), ({"model": "source('a', 'b')"}, "RV033"),
        ({"tags": "x"}, "RV011"), ({"enabled": "no"}, "RV011"),
    ],
)  # fmt: skip
def test_events_that_are_refused(tmp_path: Path, extra: dict[str, str], code: str) -> None:
    found = problems(shop, tmp_path, {"syncs/orders.yml": event_yaml(**extra)})
    assert [p.code for p in found] == [code], said(found)


def test_what_was_called_otherwise_keeps_its_old_name_and_its_last_day(tmp_path: Path) -> None:
    found = person(tmp_path, "{lifetime_value: {type: number, renamed_from: {name: ltv, dual_send_until: 2027-03-01}}}")
    assert found.fields[0].renamed_from == Rename(name="ltv", until=date(2027, 3, 1))
    text = event_yaml(renamed_from="{event: order_completed, dual_send_until: 2027-03-01}")
    event = shop(tmp_path / "b", {"syncs/orders.yml": text}).syncs["orders"]
    assert event.renamed_from == Rename(name="order_completed", until=date(2027, 3, 1))


@pytest.mark.parametrize(
    ("attributes", "codes"),
    [
        ("{a: {type: string, renamed_from: {name: a, dual_send_until: 2027-03-01}}}", ["RV090"]),
        ("{a: {type: string, renamed_from: {name: A, dual_send_until: 2027-03-01}}}", []),  # only its case was wrong
        ("{b: string, a: {type: string, renamed_from: {name: b, dual_send_until: 2027-03-01}}}", ["RV091"]),
        ("{B: string, a: {type: string, renamed_from: {name: b, dual_send_until: 2027-03-01}}}", ["RV091"]),
        ("{a: {type: string, renamed_from: {name: c, dual_send_until: 2027-03-01}}, "
         "b: {type: string, renamed_from: {name: c, dual_send_until: 2027-03-01}}}", ["RV091"]),
        ("{a: {type: string, renamed_from: {name: cio_x, dual_send_until: 2027-03-01}}}", ["RV039"]),
        ("{a: {type: string, renamed_from: {name: c, dual_send_until: 2027-02-30}}}", ["RV093"]),
        ("{a: {type: string, renamed_from: {name: c}}}", ["RV013"]),
        ("{a: {type: string, renamed_from: c}}", ["RV011"]),
        ("{a: {type: array, items: {b: {type: string, renamed_from: {name: c, dual_send_until: 2027-03-01}}}}}", ["RV092"]),
    ],
)  # fmt: skip
def test_renames_of_attributes_that_are_refused(tmp_path: Path, attributes: str, codes: list[str]) -> None:
    found = problems(person, tmp_path, attributes)
    assert [p.code for p in found] == codes, said(found)


def test_what_is_watched_for_drift(tmp_path: Path) -> None:
    drift = "{types: stop, columns: off, null_rate: {warn: 5%, stop: 20%}, row_count: off, window: 3}"
    assert person(tmp_path, "{a: string}", drift=drift).drift == Drift(
        types=DriftAction.STOP, columns=DriftAction.OFF, null_rate=Jump(warn=0.05, stop=0.2), row_count=Jump(), window=3
    )
    assert person(tmp_path, "{a: string}", drift="{}").drift == Drift()
    assert person(tmp_path, "{a: string}").drift is None


@pytest.mark.parametrize(
    ("drift", "code"),
    [("{null_rate: 5%}", "RV011"), ("{null_rate: {warn: 5}}", "RV011"), ("{null_rate: {warn: 20%, stop: 5%}}", "RV042"),
     ("{types: yes}", "RV011"), ("{type: warn}", "RV010"), ("{window: 0}", "RV011")],
)  # fmt: skip
def test_drift_that_is_refused(tmp_path: Path, drift: str, code: str) -> None:
    found = problems(person, tmp_path, "{a: string}", drift=drift)
    assert [p.code for p in found] == [code], said(found)


def test_a_definition_has_no_old_name(tmp_path: Path) -> None:
    text = person_yaml("{a: $money}") + (
        "definitions:\n  money: {type: number, renamed_from: {name: m, dual_send_until: 2027-03-01}}\n"
    )
    assert [p.code for p in problems(shop, tmp_path, {"syncs/people.yml": text})] == ["RV092"]


def test_an_old_name_of_an_event_belongs_to_one_sync(tmp_path: Path) -> None:
    one = event_yaml(renamed_from="{event: order_done, dual_send_until: 2027-03-01}")
    two = event_yaml(name="others", uid="others01", event="order_done").partition("syncs:\n")[2]
    found = problems(shop, tmp_path, {"syncs/orders.yml": one + two})
    assert [p.code for p in found] == ["RV018"], said(found)


def test_only_people_are_cleared(tmp_path: Path) -> None:
    assert person(tmp_path, "{plan: string}", when_missing="clear").when_missing is WhenMissing.CLEAR


def test_a_definition_that_is_wrong_is_wrong_once(tmp_path: Path) -> None:
    text = person_yaml("{a: $bad, b: {use: bad}, c: $worse, d: $chain}") + (
        "definitions:\n  bad: {type: string, pattern: '('}\n  worse: {typ: string}\n  chain: {use: bad, type: string}\n"
    )
    found = problems(shop, tmp_path, {"syncs/people.yml": text})
    assert said(found) == [
        "syncs/people.yml:8:45: 'c' needs a type [RV040]",
        "syncs/people.yml:10:32: the pattern of 'bad' is no regular expression: missing ), unterminated subpattern [RV043]",
        "syncs/people.yml:11:11: unknown key 'typ'; did you mean 'type'? [RV010]",
        "syncs/people.yml:12:16: a definition does not use another one [RV041]",
    ]


def test_nested_fields_bounds_of_times_and_what_becomes_of_rows(tmp_path: Path) -> None:
    text = person_yaml("""
      address: {type: object, on_violation: warn, properties: {city: {type: string, required: true}, at: $place}}
      tags: {type: array, items: {type: string, enum: [a, b], required: false}, min_items: 1}
      baskets: {type: array, items: $basket}
      since: {type: timestamp, zone: Europe/Berlin, minimum: 2015-01-01, maximum: 2030-01-01T00:00:00+01:00}
      born: {type: date, minimum: 1900-01-01, maximum: now}
      level: {type: integer, enum: [1, 2], on_violation: {enum: fail}}""", on_violation="warn") + (
        "definitions:\n  place: {type: object, properties: {lat: number}}\n"
        "  basket: {type: array, items: {sku: string}, on_violation: refuse}\n"
    )  # fmt: skip
    address, tags, baskets, since, born, level = shop(tmp_path, {"syncs/people.yml": text}).syncs["people"].fields
    city, place = address.items
    assert (city.policy("required"), place.items[0].type, address.item) == (OnViolation.WARN, "number", None)
    assert tags.item is not None
    assert (tags.item.enum, tags.item.required, tags.min_items, tags.items) == (("a", "b"), False, 1, ())
    assert baskets.item is not None
    assert (baskets.item.required, baskets.item.policy("required"), baskets.policy("type")) == (True, "refuse", "refuse")
    assert (since.minimum, since.maximum) == (1_420_070_400, 1_893_452_400)
    assert (born.minimum, born.maximum) == ("1900-01-01", "now")
    assert (level.policy("enum"), level.policy("minimum"), level.policy("type")) == ("fail", "warn", "refuse")


def test_fields_are_nested_at_most_as_deep_as_values(tmp_path: Path) -> None:
    def nested(depth: int) -> str:
        return "string" if not depth else "{type: array, items: " + nested(depth - 1) + "}"

    assert problems(person, tmp_path, f"{{a: {nested(20)}}}") == []
    assert [p.code for p in problems(person, tmp_path, f"{{a: {nested(21)}}}")] == ["RV086"]


# --- the schema for editors ------------------------------------------------------------------------------------------

FULL = """\
version: 1
identity:
  primary: id
definitions:
  money: {type: number, minimum: 0}
taxonomy:
  events:
    Order Completed: {role: purchase, description: d, owner: o, journeys: [j], synonyms: [s], sent_by: web, ignore: {RV315: why}}
    Order Refunded:
  properties:
    value: {description: d, owner: o, journeys: [j], synonyms: [s], ignore: {RV315: why}}
  attributes: {ltv: {description: d}}
  ignore: {RV316: why}
syncs:
  - name: people
    uid: people01
    model: ref('people')
    type: person
    ignore: {RV316: why}
    identify_by: {id: customer_id}
    attributes:
      email: {type: string, column: mail, format: email, normalize: email, max_length: 9, pattern: x, enum: [x], description: d}
      spent: {use: money, ignore: {RV303: why}}
      plan: {type: string, renamed_from: {name: tier, dual_send_until: '2027-03-01'}}
      more: {use: money, maximum: 3, required: true}
      tags: {type: array, items: string, min_items: 1, max_items: 3}
      names: {type: array, items: {type: string, min_length: 2}}
      born: {type: date, minimum: '1900-01-01', maximum: now, on_violation: warn}
      address: {type: object, properties: {city: {type: string, required: true, on_violation: {required: fail}}}}
    on_violation: refuse
    when_missing: ignore
    initial: send
    guards: {max_deletes: 1%, max_changes: 3, empty_source: stop, max_first_run: 3}
    drift: {types: stop, columns: 'off', new_values: warn, null_rate: {warn: 5%, stop: 20%}, row_count: 'off', window: 3}
    duplicates: [{name: same mail, columns: [mail, plan], normalize: email}]
    tags: [a]
    owner: me
    description: d
    enabled: true
  - name: orders
    uid: orders01
    model: source('raw', 'orders')
    type: event
    event: Order Completed
    person: {id: customer_id, sync: people, anonymous_id: visitor}
    key: order_id
    occurred_at: {column: at, zone: UTC}
    properties: {lines: {type: array, items: {sku: string}}, at: {type: timestamp, zone: UTC, on_null: refuse}}
    no_person: skip
    late: hold
    latency: {warn: 1 hour, error: 2 hours}
    renamed_from: {event: order_completed, dual_send_until: '2027-03-01'}
  - name: merges
    uid: merges01
    model: ref('people')
    type: merge
    primary: {id: kept}
    secondary: {id: gone}
    people: people
    guards: {max_merges: 10}
"""
VALIDATOR = Draft7Validator(schema())
PLACES: tuple[tuple[tuple[str | int, ...], dict[str, Any]], ...] = (
    ((), FILE_KEYS), (("identity",), IDENTITY_KEYS), (("taxonomy",), TAXONOMY_KEYS),
    (("taxonomy", "events", "Order Completed"), EVENT_TERM_KEYS),
    (("taxonomy", "properties", "value"), TERM_KEYS),
    (("definitions", "money"), FIELD_KEYS), (("syncs", 0), SYNC_KEYS), (("syncs", 1), SYNC_KEYS),
    (("syncs", 0, "identify_by"), IDENTIFY_KEYS), (("syncs", 0, "attributes", "email"), FIELD_KEYS),
    (("syncs", 0, "guards"), GUARD_KEYS), (("syncs", 0, "drift"), DRIFT_KEYS), (("syncs", 0, "drift", "null_rate"), JUMP_KEYS),
    (("syncs", 1, "person"), PERSON_KEYS), (("syncs", 1, "occurred_at"), TIME_KEYS),
    (("syncs", 1, "latency"), LATENCY_KEYS), (("syncs", 1, "properties", "at"), FIELD_KEYS),
    (("syncs", 0, "attributes", "address", "properties", "city"), FIELD_KEYS),
    (("syncs", 0, "attributes", "address", "properties", "city", "on_violation"), POLICY_KEYS),
    (("syncs", 0, "duplicates", 0), DUPLICATE_KEYS),
    (("syncs", 0, "attributes", "plan", "renamed_from"), FIELD_RENAME_KEYS), (("syncs", 1, "renamed_from"), EVENT_RENAME_KEYS),
)  # fmt: skip
KEYS = sorted({key for _, table in PLACES for key in table} | {"bogus"})
VALUES: tuple[Any, ...] = (
    "x", "", 1, -1, 1.5, True, None, [], ["x"], [1], {}, {"id": "x"}, {"a": "string"}, "string", "stop", "event", "person",
)  # fmt: skip


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        document = document[part]
    return document


def nodes(value: Any, lines: Iterator[int]) -> Node:
    """What the YAML reader makes of a value, each on a line of its own."""
    where = Where(file="x.yml", line=next(lines), column=1)
    if isinstance(value, dict):
        return Node({k: (nodes(k, lines), nodes(v, lines)) for k, v in value.items()}, where)
    return Node([nodes(one, lines) for one in value] if isinstance(value, list) else value, where, str(value))


def complaints(document: Any) -> list[ConfigError]:
    """What our own reader says."""
    found: list[ConfigError] = []
    reader = SyncReader({"people", "raw.orders"}, found)
    reader.read(nodes(document, count(1)))
    reader.cross_check()
    return found


def test_the_schema_is_one_and_takes_what_the_reader_takes() -> None:
    Draft7Validator.check_schema(schema())
    document = yaml.safe_load(FULL)
    assert said(complaints(document)) == []
    assert [e.message for e in VALIDATOR.iter_errors(document)] == []


def probes() -> Iterator[tuple[tuple[str | int, ...], dict[str, Any], str]]:
    for path, table in PLACES:
        for key in KEYS:
            yield path, table, key


def test_each_key_is_known_to_both_or_to_neither() -> None:
    full = yaml.safe_load(FULL)
    for path, table, key in probes():
        document = deepcopy(full)
        at(document, path).setdefault(key, "x")
        unknown = any(p.code == "RV010" for p in complaints(document))
        refused = any(e.validator == "additionalProperties" for e in deep(document))
        assert unknown == (key not in table), (path, key)
        assert refused == unknown, (path, key)


def deep(document: Any) -> Iterator[Any]:
    """All errors of the schema, those inside alternatives too."""
    front = list(VALIDATOR.iter_errors(document))
    while front:
        error = front.pop()
        yield error
        front.extend(error.context or ())


@given(place=st.sampled_from(PLACES), key=st.sampled_from(KEYS), value=st.sampled_from(VALUES), drop=st.booleans())
def test_what_the_schema_refuses_the_reader_refuses(place: Any, key: str, value: Any, *, drop: bool) -> None:
    """An editor's red line is always a problem of the load; the load finds more (names, patterns, zones)."""
    document = deepcopy(yaml.safe_load(FULL))
    holder = at(document, place[0])
    if drop:
        holder.pop(key, None)
    else:
        holder[key] = value
    found = complaints(document)
    if not VALIDATOR.is_valid(document):
        assert found
    elif any(p.code == "RV010" for p in found):
        pytest.fail(f"the schema takes {key!r}, and the reader does not know it")


JSON = st.recursive(
    st.sampled_from([None, True, False, 1, -5, 0, 1.5, "x", "", "string", "1%", "ref('people')", "$money"]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=10,
)


@given(value=JSON, place=st.sampled_from([path for path, _ in PLACES[1:]]))
def test_no_document_breaks_the_reader(value: Any, place: tuple[str | int, ...]) -> None:
    document = deepcopy(yaml.safe_load(FULL))
    at(document, place[:-1])[place[-1]] = value
    for problem in complaints(document):
        assert problem.where is not None
        assert problem.where.line


def test_types_of_the_schema_are_the_readers() -> None:
    kinds = schema()["definitions"]["field"]["properties"]["type"]["enum"]
    assert kinds == [str(kind) for kind in FieldType]
    assert schema()["definitions"]["sync"]["properties"]["type"]["enum"] == [str(kind) for kind in SyncType]


def test_the_files_of_the_repository_load() -> None:
    """Its own project, which is also the demo."""
    root = Path(__file__).resolve().parent.parent.parent
    assert len(load(root, target="dev", environ={"HOME": "/"}).syncs) > 1
