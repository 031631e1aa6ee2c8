"""`syncs/**/*.yml`: strict YAML to typed `Sync` values, and the JSON Schema that editors use, from one set of tables.

Every problem of every file is collected with its place; nothing stops at the first.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from revetl import formats
from revetl.contracts import (
    CAMPAIGN_HORIZON_S,
    LAST_USED,
    MAX_DEPTH,
    NOW,
    PLATFORM,
    RULES,
    Alike,
    Bound,
    Drift,
    DriftAction,
    DuplicateRule,
    Field,
    FieldType,
    Guards,
    IdentifierKind,
    Identity,
    Initial,
    Jump,
    Late,
    Latency,
    Limit,
    NoPerson,
    OnChange,
    OnMoved,
    OnNull,
    OnShared,
    OnViolation,
    Rename,
    Role,
    Sync,
    SyncType,
    UnknownPerson,
    WhenMissing,
)
from revetl.datatests import MODES
from revetl.dbt import Names
from revetl.errors import ConfigError, Where
from revetl.nearest import near
from revetl.taxonomy import Taxonomy, role_of_event
from revetl.taxonomyfile import TaxonomyReader, ignore_schema, taxonomy_schema
from revetl.yamlfile import Node

UID = re.compile(r"[a-z0-9]{6,32}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")  # it names a file of target/, and is typed in selectors
_QUOTED = r"\s*(?:'([^'\"]+)'|\"([^'\"]+)\")\s*"
RELATION = re.compile(rf"(ref|source)\({_QUOTED}(?:,{_QUOTED})?(?:,\s*(?:v|version)\s*=\s*(?:(\d+)|{_QUOTED})\s*)?\)")
MAX_NAME_BYTES = 150
MAX_EVENT_BYTES = 100
MAX_FIELDS = 300
RESERVED_OF_OBJECTS = frozenset({"cio_object_id", "object_id", "objectId", "relationship", "_relationship"})
OBJECT_TYPE = re.compile("[1-9][0-9]{0,8}")  # "string-formatted integers from 1" (Track API, "object_type_id")
TOPICS = "cio_subscription_preferences.topics."
PLATFORMS = ("ios", "android")
RESERVED_PROPERTIES = frozenset({"recipient", "from_address", "reply_to"})  # they redirect messages (Track API, "event")
# a definition that is wrong is wrong once, not in every use
ONCE = frozenset({"RV014", "RV035", "RV042", "RV043", "RV044", "RV074", "RV340", "RV341"})
READ_ONLY = frozenset({"timezone_valid"})  # made by Customer.io itself (as are all names with cio_ or an underscore)
UNITS = {"s": 1, "second": 1, "minute": 60, "min": 60, "hour": 3600, "h": 3600, "day": 86_400, "d": 86_400}
TYPES = [kind.value for kind in FieldType]

# what a key may hold, by JSON Schema; validation and `revetl schema` read the same tables
TEXT: dict[str, Any] = {"type": "string"}
WORD: dict[str, Any] = {"type": "string", "minLength": 1}  # names of things: an empty one is never meant
BOOLEAN: dict[str, Any] = {"type": "boolean"}
BOUND: dict[str, Any] = {"type": ["number", "string"]}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
ANY_OBJECT: dict[str, Any] = {"type": "object"}
FIELD_KEYS: dict[str, dict[str, Any]] = {
    "use": WORD, "type": {"enum": TYPES}, "column": WORD, "required": BOOLEAN,
    "on_null": {"enum": [v.value for v in OnNull]}, "format": {"enum": list(formats.NAMES)},
    "normalize": {"enum": ["email", "trim", "lower"]}, "minimum": BOUND, "maximum": BOUND, "min_length": COUNT,
    "max_length": COUNT, "min_items": COUNT, "max_items": COUNT, "pattern": TEXT,
    "enum": {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
    "properties": ANY_OBJECT, "items": {"type": ["object", "string"]}, "on_violation": {"type": ["object", "string"]},
    "zone": TEXT, "renamed_from": ANY_OBJECT, "description": TEXT, "ignore": ANY_OBJECT, "may_resubscribe": BOOLEAN,
}  # fmt: skip
POLICY: dict[str, Any] = {"enum": [v.value for v in OnViolation]}
POLICY_KEYS: dict[str, dict[str, Any]] = {
    rule: {"enum": ["refuse", "fail"]} if rule == "type" else POLICY for rule in RULES
}
_TEXTS, _NUMBERS = frozenset({FieldType.STRING}), frozenset({FieldType.INTEGER, FieldType.NUMBER})
_ARRAYS = frozenset({FieldType.ARRAY})
FITTING: dict[str, frozenset[FieldType]] = {  # the types that a key is for; the others are for all
    "format": _TEXTS, "normalize": _TEXTS, "min_length": _TEXTS, "max_length": _TEXTS, "pattern": _TEXTS,
    "enum": _TEXTS | _NUMBERS | {FieldType.BOOLEAN, FieldType.DATE},
    "minimum": _NUMBERS | {FieldType.TIMESTAMP, FieldType.DATE}, "maximum": _NUMBERS | {FieldType.TIMESTAMP, FieldType.DATE},
    "zone": frozenset({FieldType.TIMESTAMP}), "items": _ARRAYS, "min_items": _ARRAYS, "max_items": _ARRAYS,
    "properties": frozenset({FieldType.OBJECT}),
}  # fmt: skip
GUARD_KEYS: dict[str, dict[str, Any]] = {
    "max_deletes": {"type": ["string", "integer"]}, "max_changes": {"type": ["string", "integer"]},
    "empty_source": {"enum": ["stop", "allow"]}, "max_first_run": COUNT, "max_growth": COUNT,
    "max_triggering": COUNT,
    "max_merges": COUNT,
}  # fmt: skip
DUPLICATE_KEYS: dict[str, dict[str, Any]] = {
    "name": WORD, "columns": {"type": "array", "items": WORD}, "normalize": {"enum": [v.value for v in Alike]},
}  # fmt: skip
ACTION: dict[str, Any] = {"enum": [v.value for v in DriftAction]}
DRIFT_KEYS: dict[str, dict[str, Any]] = {
    "types": ACTION, "columns": ACTION, "new_values": ACTION, "null_rate": {"type": ["object", "string"]},
    "row_count": {"type": ["object", "string"]}, "window": {"type": "integer", "minimum": 1},
}  # fmt: skip
JUMP_KEYS: dict[str, dict[str, Any]] = {"warn": TEXT, "stop": TEXT}
FIELD_RENAME_KEYS = {"name": WORD, "dual_send_until": TEXT}
EVENT_RENAME_KEYS = {"event": WORD, "dual_send_until": TEXT}
LATENCY_KEYS = {"warn": TEXT, "error": TEXT}
LATE_KEYS = {"policy": {"enum": [v.value for v in Late]}, "property": WORD, "after": TEXT}
MONEY_KEYS = {"amount": WORD, "currency": WORD}
REFUND_KEYS = {"sync": WORD, "key": WORD}
IDENTIFY_KEYS = {kind.value: WORD for kind in IdentifierKind}
PERSON_KEYS = {**IDENTIFY_KEYS, "sync": WORD, "anonymous_id": WORD}
TIME_KEYS = {"column": WORD, "zone": TEXT}
NAME_KEYS = {"column": WORD}
OBJECT_KEYS = {"object_type_id": WORD, "key": WORD, "sync": WORD}
SYNC_KEYS: dict[str, dict[str, Any]] = {
    "name": WORD, "uid": TEXT, "model": WORD, "type": {"enum": [v.value for v in SyncType]}, "identify_by": ANY_OBJECT,
    "attributes": ANY_OBJECT, "event": {"type": ["string", "object"], "minLength": 1}, "person": ANY_OBJECT, "key": WORD,
    "occurred_at": {"type": ["string", "object"], "minLength": 1}, "properties": ANY_OBJECT,
    "when_missing": {"enum": [v.value for v in WhenMissing]}, "no_person": {"enum": [v.value for v in NoPerson]},
    "initial": {"enum": [v.value for v in Initial]}, "late": {"type": ["string", "object"]}, "guards": ANY_OBJECT,
    "drift": ANY_OBJECT, "window": TEXT,
    "unknown_person": {"enum": [v.value for v in UnknownPerson]}, "latency": ANY_OBJECT,
    "renamed_from": ANY_OBJECT, "tags": {"type": "array", "items": TEXT}, "owner": TEXT,
    "description": TEXT, "enabled": BOOLEAN, "ignore": ANY_OBJECT, "duplicates": {"type": "array"},
    "tests": {"enum": list(MODES)},
    "money": ANY_OBJECT, "refund_of": ANY_OBJECT,
    "on_violation": {"enum": [v.value for v in OnViolation]},

    "object_type_id": WORD, "object": ANY_OBJECT, "platform": {"type": ["string", "object"], "minLength": 1},
    "last_used": {"type": ["string", "object"], "minLength": 1}, "segment_id": {"type": "integer", "minimum": 1},
    "primary": ANY_OBJECT, "secondary": ANY_OBJECT, "people": WORD,
}  # fmt: skip
_OF_EVENTS = ("event", "person", "key", "occurred_at")
NEEDED = {
    SyncType.PERSON: ("identify_by", "attributes"), SyncType.EVENT: _OF_EVENTS, SyncType.PAGE: _OF_EVENTS,
    SyncType.SCREEN: _OF_EVENTS, SyncType.OBJECT: ("object_type_id", "key", "attributes"),
    SyncType.RELATIONSHIP: ("person", "object"), SyncType.DEVICE: ("person", "key", "platform"),
    SyncType.SEGMENT: ("person", "segment_id"), SyncType.SUPPRESSION: ("person",), SyncType.MERGE: ("primary", "secondary"),
}  # fmt: skip
_MAY_VIEWS = ("properties", "no_person", "unknown_person", "late", "latency", "window")
MAY: Mapping[SyncType, tuple[str, ...]] = {  # beside what is needed, and what every sync may have
    SyncType.PERSON: ("when_missing", "duplicates"), SyncType.EVENT: (*_MAY_VIEWS, "renamed_from", "money", "refund_of"),
    SyncType.PAGE: _MAY_VIEWS, SyncType.SCREEN: _MAY_VIEWS, SyncType.OBJECT: ("when_missing",),
    SyncType.RELATIONSHIP: ("attributes", "when_missing", "no_person"),
    SyncType.DEVICE: ("attributes", "last_used", "when_missing", "no_person"),
    SyncType.SEGMENT: ("when_missing", "no_person"), SyncType.SUPPRESSION: ("when_missing",), SyncType.MERGE: ("people",),
}  # fmt: skip
MISSING: Mapping[SyncType, tuple[WhenMissing, ...]] = {
    SyncType.PERSON: (WhenMissing.IGNORE, WhenMissing.DELETE, WhenMissing.SUPPRESS, WhenMissing.CLEAR),
    SyncType.SUPPRESSION: (WhenMissing.IGNORE, WhenMissing.UNSUPPRESS),
}
MOMENTS = ("capture", "account", "login", "checkout")
EMAIL_KEYS: dict[str, dict[str, Any]] = {
    "also_identifies": BOOLEAN, "on_shared": {"enum": [v.value for v in OnShared]}, "newest_by": WORD,
    "on_moved": {"enum": [v.value for v in OnMoved]}, "on_change": {"enum": [v.value for v in OnChange]},
}  # fmt: skip
ANONYMOUS_KEYS: dict[str, dict[str, Any]] = {
    "moment": {"enum": list(MOMENTS)}, "on_conflict": {"enum": ["quarantine", "fail"]},
}  # fmt: skip
IDENTITY_KEYS: dict[str, dict[str, Any]] = {
    "primary": {"enum": [v.value for v in IdentifierKind]}, "email": ANY_OBJECT, "anonymous": ANY_OBJECT,
}  # fmt: skip
FILE_KEYS: dict[str, dict[str, Any]] = {
    "version": {"enum": [1]}, "identity": ANY_OBJECT, "definitions": ANY_OBJECT, "taxonomy": ANY_OBJECT,
    "syncs": {"type": "array"},
}  # fmt: skip


def schema() -> dict[str, Any]:
    """JSON Schema (draft 7) of a file in `syncs/`."""
    fields = {"oneOf": [{"enum": TYPES}, {"type": "string", "pattern": r"^\$"}, {"$ref": "#/definitions/field"}]}
    several = {"type": "object", "additionalProperties": fields}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "revetl syncs", **_closed(FILE_KEYS), "required": ["version"],
        "anyOf": [{"required": [name]} for name in ("syncs", "taxonomy", "definitions")],
        "definitions": {
            "field": _closed({
                **FIELD_KEYS, "ignore": ignore_schema(), "properties": several,
                "renamed_from": _rename_schema(FIELD_RENAME_KEYS),
                "on_violation": {"oneOf": [POLICY, _closed(POLICY_KEYS)]},
                # a mapping whose `type` is the name of a type says what an item is, any other one what it has
                "items": {"anyOf": [{"enum": TYPES}, {"type": "string", "pattern": r"^\$"}, several,
                                    {"$ref": "#/definitions/field"}]},
            }),
            "sync": {
                **_closed({
                    **SYNC_KEYS, "identify_by": {**_closed(IDENTIFY_KEYS), "minProperties": 1, "maxProperties": 1},
                    "attributes": several, "properties": several, "person": _closed(PERSON_KEYS),
                    "event": {"oneOf": [WORD, {**_closed(NAME_KEYS), "required": ["column"]}]},
                    "object": {**_closed(OBJECT_KEYS), "required": ["object_type_id", "key"]},
                    "platform": {"oneOf": [{"enum": list(PLATFORMS)}, {**_closed(NAME_KEYS), "required": ["column"]}]},
                    "last_used": {"oneOf": [WORD, {**_closed(TIME_KEYS), "required": ["column"]}]},
                    "occurred_at": {"oneOf": [WORD, {**_closed(TIME_KEYS), "required": ["column"]}]},
                    "guards": _closed(GUARD_KEYS), "ignore": ignore_schema(),
                    "drift": _closed({**DRIFT_KEYS, "null_rate": _jump_schema(), "row_count": _jump_schema()}),
                    "duplicates": {"type": "array", "items": {
                        **_closed({**DUPLICATE_KEYS, "columns": {**DUPLICATE_KEYS["columns"], "minItems": 1}}),
                        "required": ["name", "columns"]}},
                    "renamed_from": _rename_schema(EVENT_RENAME_KEYS),
                    "latency": _closed(LATENCY_KEYS), "uid": {"type": "string", "pattern": f"^{UID.pattern}$"},
                    "late": {"oneOf": [{"enum": ["hold", "send"]}, _closed(LATE_KEYS)]},
                    "money": {**_closed(MONEY_KEYS), "required": ["amount"]},
                    "refund_of": {**_closed(REFUND_KEYS), "required": ["sync", "key"]},
                    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                    **{side: {**_closed(IDENTIFY_KEYS), "minProperties": 1, "maxProperties": 1}
                       for side in NEEDED[SyncType.MERGE]},
                }),
                "required": ["name", "uid", "model", "type"],
                "allOf": [
                    {"if": {"properties": {"type": {"const": str(kind)}}}, "then": {"required": list(keys)}}
                    for kind, keys in NEEDED.items()
                ],
            },
        },
    } | {"properties": {"version": FILE_KEYS["version"], "definitions": several, "taxonomy": taxonomy_schema(),
                        "identity": {**_closed({**IDENTITY_KEYS, "email": _closed(EMAIL_KEYS),
                                                "anonymous": _closed(ANONYMOUS_KEYS)}), "required": ["primary"]},
                        "syncs": {"type": "array", "items": {"$ref": "#/definitions/sync"}}}}  # fmt: skip


def _jump_schema() -> dict[str, Any]:
    share = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}
    return {"oneOf": [{"const": "off"}, _closed(dict.fromkeys(JUMP_KEYS, share))]}


def _rename_schema(keys: Mapping[str, Any]) -> dict[str, Any]:
    day = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
    return {**_closed({**keys, "dual_send_until": day}), "required": list(keys)}


def _closed(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(keys)}


@dataclass(slots=True)
class _Seen:
    """What was met so far, also in syncs that are wrong: they must not make others look wrong as well."""

    names: dict[str, Where] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)
    people: set[str] = field(default_factory=set)
    nodes: dict[str, Node] = field(default_factory=dict)
    definitions: dict[str, Node] = field(default_factory=dict)


class SyncReader:
    """Reads files one after another; problems go to `problems`.

    Args:
        relations: what `model:` may name: models by name, sources as `schema.table`.
        project: the project's name, as `ref('project', 'model')` has it.
        dbt: what `model:` may name of a dbt project.
    """

    def __init__(
        self, relations: Collection[str], problems: list[ConfigError], *, project: str = "", dbt: Names | None = None
    ) -> None:
        self._relations = relations
        self._project = project
        self._dbt = dbt
        self._problems = problems
        self._seen = _Seen()
        self.syncs: dict[str, Sync] = {}
        self._identity_at: Node | None = None
        self._identity = Identity()
        self._taxonomy = TaxonomyReader(self._keys, self.bad)

    @property
    def taxonomy(self) -> Taxonomy:
        """What the files declare of names."""
        return self._taxonomy.taxonomy

    def bad(self, message: str, node: Node, hint: str = "", code: str = "RV011") -> None:
        """Note a problem and go on; what follows from a value that is wrong already is left out."""
        if not any(p.where == node.where and (p.code == "RV011" or p.code == code in ONCE) for p in self._problems):
            self._problems.append(ConfigError(message, hint=hint, where=node.where, code=code))

    def define(self, document: Node) -> None:
        """Note a file's `definitions:` and `identity:`, which hold for every file. `read` does it for its own file."""
        found = document.get("identity")
        if found is not None and isinstance(found.value, dict) and found is not self._identity_at:
            if self._identity_at is not None:
                self.bad(f"the project's `identity` is declared already at {self._identity_at.where}", found, code="RV074",
                         hint="a workspace knows people in one way: keep one of the two blocks")  # fmt: skip
            else:
                self._identity_at, self._identity = found, self._declared(found)
        listed = document.get("definitions")
        for key, node in listed.items() if listed is not None and isinstance(listed.value, dict) else ():
            known = self._seen.definitions.get(key.value)
            if known is None:
                self._seen.definitions[key.value] = node
                self._definition(key.value, node)
            elif known is not node:
                self.bad(f"the definition {key.value!r} exists already at {known.where}", key, code="RV014")

    def read(self, document: Node) -> None:
        """One file."""
        self.define(document)
        self._keys(document, FILE_KEYS, "a file of syncs")
        if not isinstance(document.value, dict):
            return
        if document.get("version") is None:
            self.bad("`version: 1` is missing", document, code="RV013")
        declared, listed = document.get("taxonomy"), document.get("syncs")
        if declared is not None:
            self._taxonomy.read(declared)
        if listed is None and (declared is not None or document.get("definitions") is not None):
            return  # a file of its own for what the others use
        if listed is None or not isinstance(listed.value, list):
            self.bad("`syncs:` must be a list", listed or document, code="RV013")
            return
        for node in listed.value:
            self._names(node)
            sync = self._sync(node)
            if sync is not None:
                self.syncs.setdefault(sync.name, sync)

    def _names(self, node: Node) -> None:
        """Names and uids belong to one sync each."""
        name, uid = self._inner(node, "name"), self._inner(node, "uid")
        if name in self._seen.names:
            first = self._seen.names[name]
            self.bad(f"there are two syncs named {name!r} (the first at {first})", node.get("name") or node, code="RV014")
        elif name:
            if not NAME.fullmatch(name):
                self.bad("a sync's name has letters, digits, `_`, `-` and `.`, and begins with a letter",
                         node.get("name") or node, code="RV046")  # fmt: skip
            self._seen.names[name] = node.where
            self._seen.nodes[name] = node
        if uid in self._seen.uids:
            self.bad(f"uid {uid!r} already belongs to sync {self._seen.uids[uid]!r}; two streams cannot share a state",
                     node.get("uid") or node, hint=f"uid: {new_uid()}", code="RV015")  # fmt: skip
        elif uid:
            self._seen.uids[uid] = name
        if self._is_person(node):
            self._seen.people.add(name)

    def cross_check(self) -> None:
        """What only all files together can show."""
        self._roles()
        events: dict[str, str] = {}
        for name, node in self._seen.nodes.items():
            if name in self.syncs and self.syncs[name].type is SyncType.MERGE:
                self._merging(self.syncs[name], node)
            holder = node.get("person")
            if name in self._seen.people or holder is None or not isinstance(holder.value, dict):
                continue
            owner, place = self._inner(holder, "sync") or "people", holder.get("sync") or holder
            if owner not in self._seen.people:
                self.bad(f"sync {name!r} waits for the people of a sync: {owner!r} is no person sync"
                         f"{near(owner, self._seen.people)}", place, code="RV016",
                         hint="person: {id: customer_id, sync: the name of a person sync}")  # fmt: skip
            sync = self.syncs.get(name)
            if sync is None:
                continue
            self._owner(sync, place)
            self._refunds(sync, node)
            first = events.setdefault(f"{sync.type} {sync.event}", name) if sync.event else name
            old = sync.renamed_from
            if old is not None and (other := events.setdefault(f"{sync.type} {old.name}", name)) != name:
                self.bad(f"syncs {other!r} and {name!r} both send {old.name!r}; one sync sends an event",
                         node.get("renamed_from") or node, code="RV018")  # fmt: skip
            if first != name:
                self.bad(f"syncs {first!r} and {name!r} both send {sync.event!r}; one sync sends an event",
                         node.get("event") or node, code="RV018")  # fmt: skip

        self._objects()
        self._one_suppression()
        self._identify()

    def _objects(self) -> None:
        """A relationship's object sync is there, enabled, and of the same type of object."""
        known = {name: sync for name, sync in self.syncs.items() if sync.type is SyncType.OBJECT}
        for name, sync in self.syncs.items():
            holder = self._seen.nodes[name].get("object")
            if not sync.object_sync or holder is None:
                continue
            owner, place = known.get(sync.object_sync), holder.get("sync") or holder
            wrong = self._seen.nodes.get(sync.object_sync)
            if owner is None and wrong is not None and self._type(wrong) is SyncType.OBJECT:
                continue  # said already
            if owner is None:
                self.bad(f"sync {name!r} waits for the objects of a sync: {sync.object_sync!r} is no object sync"
                         f"{near(sync.object_sync, known)}", place, code="RV231",
                         hint="object: {object_type_id: '1', key: company_id, sync: the name of an object sync}")  # fmt: skip
            elif owner.object_type != sync.object_type:
                self.bad(f"sync {name!r} is about objects of type {sync.object_type}, and sync {owner.name!r} sends type "
                         f"{owner.object_type}", place, code="RV231")  # fmt: skip
            elif sync.enabled and not owner.enabled:
                self.bad(f"sync {name!r} waits for the objects of {owner.name!r}, which is not enabled", place, code="RV231",
                         hint="enable that one, or disable this one as well")  # fmt: skip

    def _one_suppression(self) -> None:
        """Two lists of suppressions could free whom the other one holds; of two segments the same."""
        first: dict[str, str] = {}
        for name, sync in self.syncs.items():
            if sync.type not in {SyncType.SUPPRESSION, SyncType.SEGMENT}:
                continue
            what = f"segment {sync.segment_id}" if sync.segment_id else "suppressions"
            other = first.setdefault(what, name)
            if other != name:
                self.bad(f"syncs {other!r} and {name!r} both send {what}: what one adds, the other would remove",
                         self._seen.nodes[name].get("type") or self._seen.nodes[name], code="RV232",
                         hint="one model with the rows of both")  # fmt: skip

    def _declared(self, node: Node) -> Identity:
        """The block `identity:`."""
        right = self._keys(node, IDENTITY_KEYS, "`identity`")
        if node.get("primary") is None:
            self.bad("`identity` needs `primary`: the one identifier that every sync sends", node, code="RV013",
                     hint=f"primary: one of {', '.join(kind.value for kind in IdentifierKind)}")  # fmt: skip
        if "primary" not in right:
            return Identity()
        email = self._keys(right["email"], EMAIL_KEYS, "`email`") if "email" in right else {}
        anonymous = self._keys(right["anonymous"], ANONYMOUS_KEYS, "`anonymous`") if "anonymous" in right else {}

        def of(keys: Mapping[str, Node], name: str, default: Any) -> Any:  # noqa: ANN401 checked against the tables
            return keys[name].value if name in keys else default

        made = Identity(
            declared=True, primary=IdentifierKind(right["primary"].value),
            also_identifies=of(email, "also_identifies", default=True),
            on_shared=OnShared(of(email, "on_shared", "quarantine")), newest_by=of(email, "newest_by", ""),
            on_moved=OnMoved(of(email, "on_moved", "quarantine")), on_change=OnChange(of(email, "on_change", "quarantine")),
            moment=of(anonymous, "moment", ""), on_anonymous=OnShared(of(anonymous, "on_conflict", "quarantine")),
        )  # fmt: skip
        if (made.on_shared is OnShared.NEWEST) != bool(made.newest_by):
            place = email.get("newest_by") or email["on_shared"]
            self.bad("`on_shared: newest` and `newest_by` belong together", place, code="RV077",
                     hint="email: {on_shared: newest, newest_by: a column of the people's models}")  # fmt: skip
        if made.on_moved is OnMoved.RELEASE and made.primary is IdentifierKind.EMAIL:
            self.bad("`on_moved: release` takes an address from its old holder, who needs another identifier: it goes with "
                     "`primary: id` or `cio_id`", email["on_moved"], code="RV077")  # fmt: skip
        if "anonymous" in right and not made.moment and "moment" not in right["anonymous"].value:
            self.bad("`anonymous` needs `moment`: when a visitor becomes known", right["anonymous"], code="RV013",
                     hint=f"anonymous: {{moment: one of {', '.join(MOMENTS)}}}")  # fmt: skip
        return made

    def _identify(self) -> None:
        """Every sync sends the one identifier that the project declares; person syncs agree in any case."""
        identity, first = self._identity, None
        knows = [sync.name for sync in self.syncs.values() if sync.is_person and sync.named("anonymous_id")]
        for name, sync in self.syncs.items():
            node = self._seen.nodes[name]
            place = node.get("identify_by") or node.get("person") or node
            if identity.declared and sync.names_people and sync.identifier is not identity.primary:
                assert self._identity_at is not None  # noqa: S101 declared there
                self.bad(f"sync {name!r} names people by {sync.identifier}, and the project's identifier is "
                         f"{identity.primary} ({self._identity_at.where})", place, code="RV075",
                         hint=f"{{{identity.primary}: the column with it}}; or change `primary` for all syncs")  # fmt: skip
            elif not identity.declared and sync.is_person:
                first = first or sync
                if sync.identifier is not first.identifier:
                    self.bad(f"sync {name!r} names people by {sync.identifier}, and sync {first.name!r} by {first.identifier}: "
                             "they would make two profiles of one person", place, code="RV076",
                             hint="choose one, and declare it: identity: {primary: id}")  # fmt: skip
            if sync.is_person and name in knows and not identity.moment:
                self.bad(f"sync {name!r} sends anonymous_id, and nothing says when a visitor becomes known", place, code="RV079",
                         hint=f"identity: {{primary: {sync.identifier}, anonymous: {{moment: checkout}}}}")  # fmt: skip
            self.syncs[name] = _identified(sync, identity)
        if identity.moment and not knows and any(sync.is_person for sync in self.syncs.values()):
            assert self._identity_at is not None  # noqa: S101 declared there
            self.bad("a moment is declared when visitors become known, and no person sync sends anonymous_id",
                     self._identity_at.get("anonymous") or self._identity_at, code="RV078",
                     hint="attributes: {anonymous_id: string}, in the sync of the people who become known")  # fmt: skip

    def _merging(self, sync: Sync, node: Node) -> None:
        """The person sync whose people a merge sync merges."""
        place = node.get("people") or node
        if sync.person_sync not in self._seen.people:
            self.bad(f"sync {sync.name!r} merges the people of a sync: {sync.person_sync!r} is no person sync"
                     f"{near(sync.person_sync, self._seen.people)}", place, code="RV016",
                     hint="people: the name of a person sync")  # fmt: skip
            return
        owner = self.syncs.get(sync.person_sync)
        if owner is not None and owner.identifier is not sync.identifier and not self._identity.declared:
            self.bad(f"sync {sync.name!r} names people by {sync.identifier}, and sync {owner.name!r} by {owner.identifier}: both "
                     "sides are looked up among the keys of that sync", node.get("primary") or node, code="RV083")  # fmt: skip
        if owner is not None and sync.enabled and not owner.enabled:
            self.bad(f"sync {sync.name!r} merges the people of {owner.name!r}, which is not enabled", place, code="RV016",
                     hint="enable that one, or disable this one as well")  # fmt: skip

    def _owner(self, sync: Sync, place: Node) -> None:
        """The person sync that an event sync waits for."""
        owner = self.syncs.get(sync.person_sync)
        if owner is not None and owner.identifier is not sync.identifier and not self._identity.declared:
            self.bad(f"sync {sync.name!r} names people by {sync.identifier}, and sync {owner.name!r} by "
                     f"{owner.identifier}: events would go to other people", place, code="RV017")  # fmt: skip
        if owner is not None and sync.enabled and not owner.enabled:
            self.bad(f"sync {sync.name!r} waits for the people of {owner.name!r}, which is not enabled", place, code="RV016",
                     hint="enable that one, or disable this one as well")  # fmt: skip

    # --- one sync ------------------------------------------------------------------------------------------------

    def _keys(self, node: Node, table: Mapping[str, Mapping[str, Any]], what: str) -> dict[str, Node]:
        """The known keys of a mapping that have values of the right kind; the others are problems."""
        if not isinstance(node.value, dict):
            self.bad(f"{what} must be a mapping", node)
            return {}
        for key, value in node.items():
            if key.value not in table:
                meant = near(key.value, table)
                self.bad(f"unknown key {key.value!r}{meant}", key, code="RV010",
                         hint="" if meant else f"{what} takes: {', '.join(table)}")  # fmt: skip
            elif problem := _mismatch(value, table[key.value]):
                self.bad(f"{key.value!r} {problem}", value)
        return _right(node, table)

    def _missing(self, node: Node, name: str, message: str, hint: str = "") -> None:
        """Say that something is missing, unless it is there under a misspelt name, which was said."""
        if not any(key.value not in SYNC_KEYS and near(key.value, [name]) for key, _ in node.items()):
            self.bad(message, node, hint=hint, code="RV013")

    def _type(self, node: Node) -> SyncType:
        """By its type; where that is wrong, by its other keys, so that they are not blamed as well."""
        kind = self._inner(node, "type")
        if kind in set(SyncType):
            return SyncType(kind)
        return SyncType.PERSON if node.get("event") is None else SyncType.EVENT

    def _is_person(self, node: Node) -> bool:
        return self._type(node) is SyncType.PERSON

    def _sync(self, node: Node) -> Sync | None:  # noqa: C901 one key after the other
        before = len(self._problems)
        self._keys(node, SYNC_KEYS, "a sync")
        if not isinstance(node.value, dict):
            return None

        def text(name: str, default: str = "") -> str:
            found = node.get(name)
            return str(found.value) if found is not None and found.value is not None else default

        def need(name: str) -> str:
            if node.get(name) is None:
                self._missing(node, name, f"a sync needs {name!r}")
            return text(name)

        name, kind = need("name"), need("type")
        uid = text("uid")
        if not UID.fullmatch(uid):
            said = "`uid` has 6 to 32 small letters and digits" if uid else (
                "a sync needs a `uid`, which keeps its state through renames")  # fmt: skip
            self.bad(said, node.get("uid") or node, hint=f"add this line: uid: {new_uid()}", code="RV019")
        model = self._model(node, need("model"))
        sort = self._type(node)
        person, ledger = sort is SyncType.PERSON, not sort.keeps_values
        self._wrong_kind(node, sort)
        if kind == SyncType.MERGE:
            made = self._merge(node, Sync(
                name=name, uid=uid, type=SyncType.MERGE, model=model, relation=text("model"), identifier=IdentifierKind.ID,
                key="", fields=(), person_sync=text("people", "people"), description=text("description"),
                owner=text("owner"), tests=text("tests"), where=node.where,
            ))  # fmt: skip
            return made if len(self._problems) == before else None
        if text("when_missing") == WhenMissing.CLEAR and kind and not person:
            self.bad(f"`when_missing: clear` is for people, and this sync is of type {kind}", node.get("when_missing") or node,
                     code="RV030")  # fmt: skip
        owner = anonymous = column = event = event_column = ""
        identifier: IdentifierKind | None = self._identity.primary
        if person:
            identifier, key = self._identifier(node, "identify_by", IDENTIFY_KEYS)
        elif sort.names_people:
            identifier, column = self._identifier(node, "person", PERSON_KEYS)
            holder = node.get("person")
            owner = self._inner(holder, "sync") or "people"
            anonymous = self._inner(holder, "anonymous_id")
            key = column if sort.keyed_by_person else ""
        object_type, object_key, object_sync = self._object(node, sort)
        if sort is SyncType.RELATIONSHIP:
            key = object_key
        elif "key" in NEEDED[sort]:
            key = need("key")
        occurred_at, zone = self._time(node, "occurred_at", needed=ledger)
        if ledger:
            event, event_column = self._name_of(node, sort)
            self._event_name(node, event)
        if ledger:
            self._anonymous(node, anonymous)
        policy = node.get("on_violation")
        default = OnViolation(policy.value) if policy is not None and not _mismatch(policy, POLICY) else OnViolation.REFUSE
        fields = self._fields(node, "properties" if ledger else "attributes", identifier, default, sort)
        platform = ""
        if sort is SyncType.DEVICE:
            platform, own = self._device(node)
            fields = (*own, *fields)
        self._when_missing(node, sort)
        guards, latency = self._guards(node), self._latency(node)
        ignore = self._taxonomy.ignores(node.get("ignore"))
        duplicates = self._duplicates(node)
        told = {} if not ledger else {**self._late(node, fields, latency), **self._money(node, fields), **self._refund(node)}
        window = self._window(node)
        renamed = self._event_rename(node, event) if ledger else None
        drift = self._drift(node)
        if len(self._problems) > before or identifier is None:
            return None
        tags = node.get("tags")
        initial = text("initial") or ("baseline" if ledger else "send")
        return Sync(
            name=name, uid=uid, type=SyncType(kind), model=model, relation=text("model"), identifier=identifier, key=key,
            fields=fields, event=event, person=column, person_sync=owner, anonymous=anonymous, occurred_at=occurred_at,
            zone=zone, event_column=event_column, object_type=object_type, object_sync=object_sync, platform=platform,
            segment_id=int(text("segment_id", "0")), when_missing=WhenMissing(text("when_missing", "ignore")),
            no_person=NoPerson(text("no_person", "skip")), unknown_person=UnknownPerson(text("unknown_person", "hold")),
            initial=Initial(initial), renamed_from=renamed, drift=drift, window_s=window, **told,
            guards=guards, latency=latency, description=text("description"), owner=text("owner"), duplicates=duplicates,
            tests=text("tests"),
            tags=tuple(str(tag.value) for tag in tags.value) if tags is not None else (),
            ignore=ignore, enabled=node.get("enabled") is None or bool(node.get("enabled").value),  # type: ignore[union-attr]  # just tested
            where=node.where,
        )  # fmt: skip

    def _merge(self, node: Node, made: Sync) -> Sync | None:
        """A sync of type merge: pairs of people, named as their sync names them."""
        for name in ("initial", "on_violation"):
            if node.get(name) is not None:
                self.bad(f"{name!r} does not belong to a sync of type merge", node.value[name][0], code="RV031")
        (kind, primary), (other, secondary) = (self._identifier(node, side, IDENTIFY_KEYS) for side in NEEDED[SyncType.MERGE])
        if kind is None or other is None:
            return None
        if kind is not other:
            self.bad(f"the primary is named by {kind}, and the secondary by {other}: both must be named as their sync names them",
                     node.get("secondary") or node, code="RV083", hint=f"secondary: {{{kind}: a column}}")  # fmt: skip
        if primary == secondary:
            self.bad("the primary and the secondary are the same column", node.get("secondary") or node, code="RV083",
                     hint="primary: {id: kept_id}, secondary: {id: merged_id}")  # fmt: skip
        tags, enabled = node.get("tags"), node.get("enabled")
        return replace(
            made, identifier=kind, person=primary, key=secondary, guards=self._guards(node),
            tags=tuple(str(tag.value) for tag in tags.value) if tags is not None else (),
            enabled=enabled is None or bool(enabled.value), ignore=self._taxonomy.ignores(node.get("ignore")),
        )  # fmt: skip

    def _wrong_kind(self, node: Node, sort: SyncType) -> None:
        """Keys that belong to other types of syncs."""
        typed = {name for keys in (*NEEDED.values(), *MAY.values()) for name in keys}
        for key, _ in node.items():  # noqa: PERF102 a node is no dict
            if key.value in typed - {*NEEDED[sort], *MAY[sort]}:
                self.bad(f"{key.value!r} does not belong to a sync of type {sort}", key, code="RV031",
                         hint=f"type {sort} takes: {', '.join((*NEEDED[sort], *MAY[sort]))}")  # fmt: skip

    def _when_missing(self, node: Node, sort: SyncType) -> None:
        given, known = node.get("when_missing"), MISSING.get(sort, (WhenMissing.IGNORE, WhenMissing.DELETE))
        if given is not None and isinstance(given.value, str) and given.value in set(WhenMissing) and given.value not in known:
            self.bad(f"a sync of type {sort} cannot {given.value!r} rows that left the model", given, code="RV233",
                     hint=f"when_missing: {' or '.join(known)}")  # fmt: skip
        if sort.keeps_values and self._inner(node, "no_person") == NoPerson.ANONYMOUS:
            self.bad(f"rows of a sync of type {sort} cannot be anonymous", node.get("no_person") or node, code="RV234",
                     hint="no_person: skip or hold")  # fmt: skip
        if sort.keeps_values and sort.names_people and sort is not SyncType.PERSON:
            holder = node.get("person")
            named = holder.get("anonymous_id") if holder is not None else None
            if named is not None:
                self.bad(f"rows of a sync of type {sort} cannot be anonymous", named, code="RV234")

    def _object(self, node: Node, sort: SyncType) -> tuple[str, str, str]:
        """The type of object, and for relationships the column with its id, and the sync that sends it."""
        if sort is SyncType.OBJECT:
            found, place = self._inner(node, "object_type_id"), node.get("object_type_id")
            if place is None:
                self._missing(node, "object_type_id", "a sync of type object needs 'object_type_id'",
                              hint="object_type_id: '1', as Customer.io shows it under Settings > Objects")  # fmt: skip
            inner = node
        elif sort is SyncType.RELATIONSHIP:
            inner_node = node.get("object")
            hint = "object: {object_type_id: '1', key: company_id}"
            if inner_node is None:
                self._missing(node, "object", "a sync of type relationship needs 'object'", hint=hint)
                return "", "", ""
            self._keys(inner_node, OBJECT_KEYS, "`object`")
            if not isinstance(inner_node.value, dict):
                return "", "", ""
            for name in ("object_type_id", "key"):
                if inner_node.get(name) is None:
                    self._missing(inner_node, name, f"`object` needs {name!r}", hint=hint)
            found, place, inner = self._inner(inner_node, "object_type_id"), inner_node.get("object_type_id"), inner_node
        else:
            return "", "", ""
        if place is not None and isinstance(place.value, str) and not OBJECT_TYPE.fullmatch(found):
            self.bad("an object type's id is the number that Customer.io gave it, as a text", place, code="RV235",
                     hint="object_type_id: '1'")  # fmt: skip
        return found, self._inner(inner, "key"), self._inner(inner, "sync") if sort is SyncType.RELATIONSHIP else ""

    def _name_of(self, node: Node, sort: SyncType) -> tuple[str, str]:
        """The constant name of what a ledger sends, or the column with it."""
        found = node.get("event")
        if found is None:
            self._missing(node, "event", "a sync of this type needs 'event': the name of what happened")
            return "", ""
        if not isinstance(found.value, dict):
            return str(found.value), ""
        if sort is SyncType.EVENT:
            self.bad("an event's name is a constant: its properties are declared for it", found, code="RV236",
                     hint="a sync for each event; pages and screens (`type: page`) may have their name in a column")  # fmt: skip
            return "", ""
        self._keys(found, NAME_KEYS, "`event`")
        if found.get("column") is None:
            self._missing(found, "column", "`event` needs `column`", hint="event: {column: path}")
        return "", self._inner(found, "column")

    def _device(self, node: Node) -> tuple[str, tuple[Field, ...]]:
        """The constant platform, and what stands beside the attributes of a device as fields."""
        constant, own = "", []
        found = node.get("platform")
        if found is None:
            self._missing(node, "platform", "a device needs `platform`", hint="platform: ios, or: {column: platform}")
        elif isinstance(found.value, dict):
            self._keys(found, NAME_KEYS, "`platform`")
            if found.get("column") is None:
                self._missing(found, "column", "`platform` needs `column`", hint="platform: {column: platform}")
            own.append(Field(name=PLATFORM, column=self._inner(found, "column"), type=FieldType.STRING, required=True,
                             normalize="lower", enum=PLATFORMS, where=found.where))  # fmt: skip
        else:
            constant = str(found.value)
            if constant not in PLATFORMS:
                self.bad(f"{constant!r} is no platform{near(constant, PLATFORMS)}", found, code="RV237",
                         hint="platform: ios, or android; or a column: {column: platform}")  # fmt: skip
        column, zone = self._time(node, "last_used", needed=False)
        place = node.get("last_used")
        if place is not None and column:
            own.append(Field(name=LAST_USED, column=column, type=FieldType.TIMESTAMP, zone=zone, where=place.where))
        return constant, tuple(own)

    def _model(self, node: Node, relation: str) -> str:
        match = RELATION.fullmatch(relation.strip())
        place = node.get("model") or node
        parts = [part for part in match.groups()[1:5] if part] if match else []
        version = next((part for part in match.groups()[5:] if part), "") if match else ""
        if not match or (match[1] == "source" and (len(parts) == 1 or version)):
            if relation:
                plain = relation if relation in self._relations else "people"
                self.bad("`model` is ref('model') or source('source', 'table')", place, hint=f"model: ref('{plain}')",
                         code="RV032")  # fmt: skip
            return ""
        kind, name = ("source", ".".join(parts)) if match[1] == "source" else ("model", parts[-1])
        if self._dbt is not None:
            package = parts[0] if len(parts) > 1 and kind == "model" else ""
            if name not in self._relations or package not in {"", self._project}:
                return self._of_dbt(self._dbt, kind, name, package, version, place)
        elif version and f"{name}_v{version}" in self._relations:  # as in a model
            name = f"{name}_v{version}"
        if name not in self._relations:
            self.bad(f"there is no {kind} {name!r}{near(name, self._relations)}", place, code="RV033")
        return name

    def _of_dbt(self, names: Names, kind: str, name: str, package: str, version: str, place: Node) -> str:  # noqa: PLR0913
        """The id of what dbt builds."""
        try:
            found = names.source(*name.split(".", 1)) if kind == "source" else names.ref(name, package, version)
        except ConfigError as problem:
            if problem.code in {"RV442", "RV449"} and (meant := near(name, self._relations)):
                problem.message = problem.message.partition("; did you mean")[0] + meant
            self.bad(problem.message, place, hint=problem.hint, code=problem.code)
            return ""
        return found.id

    def _inner(self, node: Node | None, name: str) -> str:
        found = node.get(name) if node is not None else None
        return str(found.value) if found is not None and found.value is not None else ""

    def _identifier(self, node: Node, name: str, table: Mapping[str, Any]) -> tuple[IdentifierKind | None, str]:
        found = node.get(name)
        if found is None:
            self._missing(node, name, f"a sync of this type needs {name!r}", hint=f"{name}: {{id: customer_id}}")
            return None, ""
        right = self._keys(found, table, f"`{name}`")
        if not isinstance(found.value, dict) or len(right) < len(found.value):
            return None, ""
        kinds = [kind for kind in IdentifierKind if found.get(kind.value) is not None]
        if len(kinds) != 1:
            self.bad(f"{name!r} needs exactly one of id, email, cio_id: Customer.io takes one identifier a request",
                     found, code="RV034")  # fmt: skip
            return None, ""
        return kinds[0], self._inner(found, kinds[0].value)

    def _time(self, node: Node, name: str, *, needed: bool) -> tuple[str, str]:
        found = node.get(name)
        if found is None:
            if needed:
                self._missing(node, name, "an event needs `occurred_at`: the time of the fact, from the server")
            return "", ""
        if not isinstance(found.value, dict):
            return str(found.value), ""
        right = self._keys(found, TIME_KEYS, f"`{name}`")
        if found.get("column") is None:
            self._missing(found, "column", f"`{name}` needs `column`", hint=f"{name}: {{column: ordered_at, zone: UTC}}")
        self._zone(right.get("zone"))
        return self._inner(found, "column"), self._inner(found, "zone")

    def _zone(self, node: Node | None) -> None:
        if node is None:
            return
        try:
            ZoneInfo(node.value)
        except (KeyError, ValueError, OSError):  # not found, not a name, a folder
            known = available_timezones()
            self.bad(f"{node.value!r} is no IANA time zone{near(str(node.value), known)}", node, code="RV035",
                     hint="" if known else "this system has no time zone data: pip install tzdata")  # fmt: skip

    def _event_rename(self, node: Node, event: str) -> Rename | None:
        found = node.get("renamed_from")
        named = node.get("event")
        if found is not None and named is not None and isinstance(named.value, dict):
            self.bad("an event whose name is a column has no old name", found, code="RV092", hint="leave `renamed_from` out")
            return None
        renamed = self._rename(found, EVENT_RENAME_KEYS, event) if found is not None else None
        if found is not None and renamed is not None:
            self._event_name(found, renamed.name)
        return renamed

    def _rename(self, found: Node, table: Mapping[str, Mapping[str, Any]], now: str) -> Rename | None:
        """`renamed_from`; its first key is the old name."""
        first, day = table
        right = self._keys(found, table, "`renamed_from`")
        for key in table:
            if key not in right and found.get(key) is None and isinstance(found.value, dict):
                self.bad(f"`renamed_from` needs {key!r}", found, code="RV013",
                         hint=f"renamed_from: {{{first}: the old name, {day}: 2027-03-01}}")  # fmt: skip
        if len(right) < len(table):
            return None
        try:
            until = date.fromisoformat(str(right[day].value))
        except ValueError:
            self.bad(f"{day!r} is a day like 2027-03-01, the last one on which both names are sent", right[day], code="RV093")
            return None
        old = str(right[first].value)
        if old == now:
            self.bad(f"{old!r} is the new name as well", right[first], code="RV090")
        return Rename(name=old, until=until)

    def _event_name(self, node: Node, event: str) -> None:
        place = node.get("event") or node
        if not event:
            return
        if event != event.strip():
            self.bad("an event's name must not begin or end with a blank: Customer.io trims it", place, code="RV036")
        if len(event.encode()) > MAX_EVENT_BYTES:
            self.bad(f"an event's name has at most {MAX_EVENT_BYTES} bytes", place, code="RV036")

    def _anonymous(self, node: Node, column: str) -> None:
        wanted, holder = node.get("no_person"), node.get("person")
        if holder is not None and not isinstance(holder.value, dict):
            return
        if wanted is not None and wanted.value == NoPerson.ANONYMOUS and not column:
            self.bad("`no_person: anonymous` needs the column of an anonymous id", wanted, code="RV013",
                     hint="person: {..., anonymous_id: anonymous_id}")  # fmt: skip

    # --- fields --------------------------------------------------------------------------------------------------

    def _fields(
        self, node: Node, name: str, identifier: IdentifierKind | None, default: OnViolation, sort: SyncType
    ) -> tuple[Field, ...]:
        listed, person = node.get(name), sort.keeps_values
        if listed is None or not isinstance(listed.value, dict):
            if listed is None and name not in NEEDED[sort]:
                return ()
            if listed is None:
                self._missing(node, name, f"a sync of this type needs {name!r}", hint=f"{name}: {{email: string}}")
            else:
                self.bad(f"{name!r} must map names to types", listed)
            return ()
        if len(listed.value) > MAX_FIELDS:
            self.bad(f"Customer.io takes at most {MAX_FIELDS} attributes", listed, code="RV037")
        made: list[Field] = []
        folded: dict[str, str] = {}
        for key, value in listed.items():
            self._field_name(key, identifier, sort)
            twin = folded.setdefault(key.value.lower(), key.value)
            if twin != key.value:
                self.bad(f"{key.value!r} and {twin!r} differ only in case; segments would see two attributes", key, code="RV038")
            one = self._field(key, value, default, person=person)
            if one is not None and sort is SyncType.DEVICE and (
                one.type not in {FieldType.STRING, FieldType.DATE} or one.on_null is OnNull.CLEAR
            ):
                self.bad(f"{key.value!r} is an attribute of a device, and those are texts in Customer.io", value,
                         code="RV042", hint="cast it to text in the model: push_enabled is 'true' or 'false'")  # fmt: skip
            if one is not None:
                made.append(one)
        return self._renamed(listed, made, identifier, sort)

    def _renamed(
        self, listed: Node, made: list[Field], identifier: IdentifierKind | None, sort: SyncType
    ) -> tuple[Field, ...]:
        """The fields with the names that they had before, which nothing else may have."""
        taken = {key.value.lower(): key.value for key, _ in listed.items()}
        old: dict[str, Rename] = {}
        for key, value in listed.items():
            found = value.get("renamed_from")
            if found is None:
                continue
            renamed = self._rename(found, FIELD_RENAME_KEYS, key.value)
            if renamed is None:
                continue
            place = found.get("name") or found
            self._field_name(place, identifier, sort)
            sender = taken.setdefault(renamed.name.lower(), key.value)
            if sender != key.value:
                self.bad(f"the old name {renamed.name!r} is sent by {sender!r} as well; one field sends a name", place,
                         hint="remove one of the two", code="RV091")  # fmt: skip
            old[key.value] = renamed
        if len(listed.value) + len(old) > MAX_FIELDS >= len(listed.value):
            self.bad(f"Customer.io takes at most {MAX_FIELDS} attributes, old names included", listed, code="RV037")
        return tuple(replace(one, renamed_from=old.get(one.name)) for one in made)

    def _no_rename(self, node: Node | None, what: str) -> None:
        """`renamed_from` belongs to one attribute or property."""
        found = node.get("renamed_from") if node is not None else None
        if found is not None:
            self.bad(f"`renamed_from` does not belong to {what}", found, code="RV092",
                     hint="it belongs to an attribute or property of a sync, or to an event sync")  # fmt: skip

    def _field_name(  # noqa: C901 one rule a line
        self, key: Node, identifier: IdentifierKind | None, sort: SyncType
    ) -> None:
        name = key.value
        if not name.strip():
            self.bad("a name must not be empty", key, code="RV037")
        if len(name.encode()) > MAX_NAME_BYTES:
            self.bad(f"a name has at most {MAX_NAME_BYTES} bytes", key, code="RV037")
        if sort in {SyncType.OBJECT, SyncType.RELATIONSHIP}:
            if name in RESERVED_OF_OBJECTS or name.startswith(("_", "cio_")):
                self.bad(f"{name!r} is reserved by Customer.io for objects", key, code="RV039",
                         hint=f"send it under another name: my_{name.strip('_')}: {{column: {name}, type: string}}")  # fmt: skip
        elif sort is SyncType.DEVICE:
            if name in {PLATFORM, LAST_USED} or name.startswith("_"):
                self.bad(f"{name!r} is no attribute of a device that can be set", key, code="RV039")
        elif sort is SyncType.PERSON:
            preference = name.startswith(TOPICS)
            if (name.startswith(("_", "cio_")) or name in READ_ONLY) and not preference:
                hint = f"send it under another name: my_{name.strip('_')}: {{column: {name}, type: string}}; then: revetl parse"
                if name == "cio_subscription_preferences":
                    hint = f"one topic at a time, so that others stay as they are: {name}.topics.topic_1"
                self.bad(f"{name!r} is reserved by Customer.io", key, code="RV039", hint=hint)
            if identifier is not None and name == identifier.value:
                self.bad(f"{name!r} is the identifier (`identify_by`); it is sent as such", key, code="RV039")
        elif name in RESERVED_PROPERTIES:
            self.bad(f"{name!r} would change who gets a message: Customer.io reads it from events", key,
                     hint=f"send it under another name: {name}_text: {{column: {name}, type: string}}", code="RV039")  # fmt: skip
        elif name.startswith("_"):
            self.bad("a property's name must not begin with an underscore", key, code="RV039")

    def _field(  # noqa: PLR0913 a field and where it stands
        self, key: Node, value: Node, default: OnViolation, *, person: bool, depth: int = 0, item: bool = False
    ) -> Field | None:
        name = key.value
        facts = self._facts(value)
        if facts is None:
            return None
        kind = facts.get("type")
        if kind is None or kind.value not in TYPES:
            given = str(kind.value) if kind is not None else ""
            if kind is None and (value.get("type") is not None or self._broken(value.get("use") or value)):
                return None  # said already
            self.bad(f"{name!r} needs a type{near(given, TYPES)}", kind or value, hint=f"one of: {', '.join(TYPES)}",
                     code="RV040")  # fmt: skip
            return None
        return self._typed(name, FieldType(kind.value), facts, value, default, person=person, depth=depth, item=item)

    def _facts(self, value: Node) -> dict[str, Node] | None:
        """A field's keys with those of the definition below them; None if one of the two is wrong."""
        if isinstance(value.value, str):
            return self._defined(value, value.value[1:]) if value.value.startswith("$") else {"type": value}
        if value.value is None:
            return {}
        facts = self._keys(value, FIELD_KEYS, "a field")
        used = facts.pop("use", None)
        below = self._defined(used, str(used.value)) if used is not None else {}
        return None if below is None else {**below, **facts}

    def _defined(self, place: Node, name: str) -> dict[str, Node] | None:
        """A definition's keys; None if it is wrong, which was said where it stands."""
        found = self._seen.definitions.get(name)
        if found is None:
            self.bad(f"there is no definition {name!r}{near(name, self._seen.definitions)}", place, code="RV041")
            return None
        if isinstance(found.value, str):
            return {"type": found} if found.value in TYPES else None
        return {key: value for key, value in _right(found, FIELD_KEYS).items() if key != "use"}

    def _broken(self, place: Node) -> bool:
        """Whether a definition that is used here has a type that is wrong, which was said where it stands."""
        name = str(place.value).removeprefix("$")
        found = self._seen.definitions.get(name) if isinstance(place.value, str) else None
        return found is not None and (found.get("type") is not None or not isinstance(found.value, dict))

    def _definition(self, name: str, node: Node) -> None:
        """Check a definition once, where it stands."""
        kind: Node | None = node
        facts: dict[str, Node] = {}
        if not isinstance(node.value, str):
            facts = self._keys(node, FIELD_KEYS, "a definition")
            self._no_rename(node, "a definition, whose uses have names of their own")
            if "use" in facts:
                self.bad("a definition does not use another one", facts["use"], code="RV041")
            kind = facts.get("type")
        if kind is not None and kind.value not in TYPES:
            self.bad(f"definition {name!r} needs a type{near(str(kind.value), TYPES)}", kind, hint=f"one of: {', '.join(TYPES)}",
                     code="RV040")  # fmt: skip
        elif kind is not None:
            self._typed(name, FieldType(kind.value), facts, node, OnViolation.REFUSE, person=True)

    def _typed(  # noqa: PLR0913 a field and where it stands
        self, name: str, kind: FieldType, facts: Mapping[str, Node], place: Node, default: OnViolation, *, person: bool,
        depth: int = 0, item: bool = False,
    ) -> Field | None:  # fmt: skip
        def plain(key: str, default: Any = None) -> Any:  # noqa: ANN401 checked against FIELD_KEYS
            return facts[key].value if key in facts else default

        self._fit(name, kind, facts, inside=depth > 0)
        if "pattern" in facts:
            try:
                re.compile(plain("pattern"))
            except (re.error, OverflowError, RecursionError) as error:
                reason = getattr(error, "msg", type(error).__name__)
                self.bad(f"the pattern of {name!r} is no regular expression: {reason}", facts["pattern"], code="RV043")
                return None
        bounds = [self._bound(name, kind, facts.get(key)) for key in ("minimum", "maximum")]
        pairs = [bounds, *([plain(f"min_{what}"), plain(f"max_{what}")] for what in ("length", "items"))]
        for key, (least, most) in zip(("minimum", "min_length", "min_items"), pairs, strict=True):
            self._order(name, facts.get(key), least, most)
        self._zone(facts.get("zone"))
        if plain("required") and plain("on_null", "refuse") != "refuse":
            self.bad(f"{name!r} is required, so `on_null: {plain('on_null')}` never applies", facts["on_null"], code="RV044")
        if name == "unsubscribed" and kind is not FieldType.BOOLEAN:
            self.bad("'unsubscribed' must be a boolean: anything else re-subscribes people", place, code="RV045")
        word, by_rule = self._policies(name, facts, default)
        inner: dict[str, Any] = {"items": (), "item": None}
        if kind in {FieldType.ARRAY, FieldType.OBJECT}:
            array = kind is FieldType.ARRAY
            inner = self._inside(name, facts.get("items" if array else "properties"), word, depth + 1, array=array)
        if name.startswith(TOPICS) and kind is not FieldType.BOOLEAN:
            self.bad(f"{name!r} must be a boolean: whether the person wants messages about this topic", place, code="RV238")
        self._resubscribing(name, facts)
        if not person and plain("on_null") == "clear":
            self.bad("an event's property cannot be cleared: a null property is not sent", facts["on_null"], code="RV044")
        return Field(
            name=name, column=str(plain("column", name)), type=kind, required=bool(plain("required", default=item)),
            on_null=OnNull(plain("on_null", "skip")), format=plain("format", ""), normalize=plain("normalize", ""),
            minimum=bounds[0], maximum=bounds[1], pattern=plain("pattern", ""), enum=self._enum(name, kind, facts.get("enum")),
            **{key: plain(key, 0) for key in ("min_length", "max_length", "min_items", "max_items")}, **inner,
            on_violation=word, by_rule=by_rule, zone=plain("zone", ""), description=plain("description", ""),
            may_resubscribe=bool(plain("may_resubscribe", default=False)),
            ignore=self._taxonomy.ignores(facts.get("ignore")), where=place.where,
        )  # fmt: skip

    def _resubscribing(self, name: str, facts: Mapping[str, Node]) -> None:
        """What sends anything but true for `unsubscribed` subscribes people again, so it is said in so many words."""
        may = facts.get("may_resubscribe")
        if may is not None and name != "unsubscribed":
            self.bad("`may_resubscribe` belongs to the attribute 'unsubscribed'", may, code="RV239")
        if name != "unsubscribed" or (may is not None and may.value):
            return
        needing = [facts[k] for k in ("required", "on_null") if k in facts and facts[k].value not in (False, "skip")]
        for place in needing:
            self.bad("only true is sent for 'unsubscribed': a false or a null would subscribe people again", place, code="RV239",
                     hint="unsubscribed: {type: boolean, may_resubscribe: true}, if that is meant")  # fmt: skip

    def _fit(self, name: str, kind: FieldType, facts: Mapping[str, Node], *, inside: bool) -> None:
        """Keys that are not for a field of this type, or not for one inside another."""
        for key, kinds in FITTING.items():
            if key in facts and kind not in kinds:
                hint = "an object's fields are its `properties`" if key == "items" and kind is FieldType.OBJECT else ""
                self.bad(f"{key!r} does not fit the type {kind} of {name!r}", facts[key], hint=hint, code="RV042")
        for key in ("normalize", "zone") if inside else ():
            if key in facts:
                self.bad(f"{key!r} is done in the warehouse, for whole columns; {name!r} is inside one", facts[key],
                         hint="do it in the model", code="RV086")  # fmt: skip

    def _order(self, name: str, node: Node | None, least: Any, most: Any) -> None:  # noqa: ANN401 bounds of one kind
        if node is not None and least is not None and most is not None and NOW not in {least, most} and least > most:
            self.bad(f"the minimum of {name!r} is above its maximum", node, code="RV042")

    def _bound(self, name: str, kind: FieldType, node: Node | None) -> Bound:
        """A bound as the field's values have it: numbers; times in Unix seconds; dates as YYYY-MM-DD; `now`."""
        if node is None or kind not in FITTING["minimum"]:
            return None
        value, timed = node.value, kind in {FieldType.TIMESTAMP, FieldType.DATE}
        if not isinstance(value, str) and kind is not FieldType.DATE:
            return float(value) if isinstance(value, float) else int(value)
        if isinstance(value, str) and timed:
            if value == NOW:
                return NOW
            try:
                if kind is FieldType.DATE:
                    return date.fromisoformat(value).isoformat()
                moment = datetime.fromisoformat(value)
                return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
            except (ValueError, OverflowError):
                pass
        said = {FieldType.DATE: "a date like 2015-01-01, or now",
                FieldType.TIMESTAMP: "a time like 2015-01-01 or 2015-01-01T12:00:00Z, or now"}.get(kind, "a number")  # fmt: skip
        self.bad(f"a bound of {name!r} must be {said}", node, code="RV085")
        return None

    def _enum(self, name: str, kind: FieldType, node: Node | None) -> tuple[str | float, ...]:
        if node is None or kind not in FITTING["enum"]:
            return ()
        fits = _KINDS[{FieldType.DATE: "string"}.get(kind, str(kind))]
        for one in node.value:
            if not fits(one.value):
                hint = f"in quotes it is one: '{one.raw}'" if kind is FieldType.STRING else ""
                self.bad(f"a value of the enum of {name!r} is no {kind}", one, hint=hint, code="RV085")
        return tuple(one.value for one in node.value)

    def _policies(
        self, name: str, facts: Mapping[str, Node], default: OnViolation
    ) -> tuple[OnViolation, tuple[tuple[str, OnViolation], ...]]:
        """What becomes of rows that break this field's rules: one word for all, and words for single rules."""
        node = facts.get("on_violation")
        if node is None:
            return default, ()
        if isinstance(node.value, str):
            if problem := _mismatch(node, POLICY):
                self.bad(f"'on_violation' {problem}", node)
                return default, ()
            return OnViolation(node.value), ()
        right = self._keys(node, POLICY_KEYS, "`on_violation`")
        for rule, word in right.items():
            declared = facts[rule].value if rule in facts else None
            missing = declared is None or (rule == "required" and not declared) or (rule == "on_null" and declared != "refuse")
            if missing and rule != "type":
                what = "`on_null: refuse`" if rule == "on_null" else f"`{rule}`"
                self.bad(f"{name!r} has no {what} that could be broken", word, code="RV087")
        return default, tuple((rule, OnViolation(word.value)) for rule, word in right.items())

    def _inside(self, name: str, node: Node | None, default: OnViolation, depth: int, *, array: bool) -> dict[str, Any]:
        """The declared properties of an object or of each object of an array, or the contract of each item.

        A mapping whose `type` is the name of a type says what an item is, any other one what it has.
        """
        found: dict[str, Any] = {"items": (), "item": None}
        if node is None:
            return found
        if depth > MAX_DEPTH:
            self.bad(f"{name!r} is nested deeper than {MAX_DEPTH} levels", node, code="RV086")
            return found
        kind = node.get("type")
        if array and (isinstance(node.value, str) or (kind is not None and kind.value in TYPES)):
            key = Node(f"{name}[]", node.where)
            found["item"] = self._field(key, node, default, person=False, depth=depth, item=True)
            return found
        for key, value in node.items():
            self._no_rename(value, f"{key.value!r}, a field inside of another one")
        made = [self._field(key, value, default, person=False, depth=depth) for key, value in node.items()]
        found["items"] = tuple(one for one in made if one is not None)
        return found

    # --- guards --------------------------------------------------------------------------------------------------

    def _guards(self, node: Node) -> Guards:
        found = node.get("guards")
        right = self._keys(found, GUARD_KEYS, "`guards`") if found is not None else {}
        made: dict[str, Any] = {}
        for name in ("max_deletes", "max_changes"):
            if name in right:
                made[name] = self._limit(right[name]) or getattr(Guards(), name)
        if "empty_source" in right:
            made["empty_source"] = right["empty_source"].value == "stop"
        merges = self._inner(node, "type") == SyncType.MERGE
        for name, value in right.items():
            if (name == "max_merges") is not merges:
                what = "only `max_merges` guards a sync of type merge" if merges else "`max_merges` guards syncs of type merge"
                self.bad(what, value, code="RV084")
        for name in ("max_first_run", "max_growth", "max_triggering", "max_merges"):
            if name in right:
                made[name] = int(right[name].value)
        return Guards(**made)

    def _limit(self, node: Node) -> Limit | None:
        text = str(node.value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
        if match and float(match[1]) <= 100:  # noqa: PLR2004 a percentage
            return Limit(share=float(match[1]) / 100)
        if isinstance(node.value, int) and node.value >= 0:
            return Limit(rows=node.value)
        self.bad("a limit is a share like `1%` or a number of rows", node, code="RV011")
        return None

    def _duplicates(self, node: Node) -> tuple[DuplicateRule, ...] | None:
        listed = node.get("duplicates")
        if listed is None or not isinstance(listed.value, list):
            return None
        made: dict[str, DuplicateRule] = {}
        for one in listed.value:
            right = self._keys(one, DUPLICATE_KEYS, "a rule for duplicates")
            name, columns = self._inner(one, "name"), right.get("columns")
            if "name" not in right or columns is None or not columns.value:
                if isinstance(one.value, dict) and len(right) == len(one.value):
                    self.bad("a rule for duplicates needs a `name` and `columns`", one, code="RV082",
                             hint="{name: same e-mail, columns: [email], normalize: email}")  # fmt: skip
                continue
            if name in made:
                self.bad(f"there are two rules for duplicates named {name!r}", one.get("name") or one, code="RV082")
            made[name] = DuplicateRule(
                name=name, columns=tuple(str(column.value) for column in columns.value),
                normalize=Alike(right["normalize"].value) if "normalize" in right else Alike.TRIM,
            )  # fmt: skip
        return tuple(made.values())
    # --- money and time --------------------------------------------------------------------------------------------

    def _late(self, node: Node, fields: Sequence[Field], latency: Latency) -> dict[str, Any]:
        """The policy, and for `flag` its property and the age that counts as late."""
        found = node.get("late")
        if found is None:
            return {}
        if not isinstance(found.value, dict):
            problem = _mismatch(found, LATE_KEYS["policy"])
            if problem:
                self.bad(f"'late' {problem}", found)
            elif found.value == Late.FLAG:
                self.bad("`late: flag` needs the property that says so", found, code="RV095",
                         hint="late: {policy: flag, property: arrived_late}")  # fmt: skip
            return {} if problem else {"late": Late(found.value)}
        right = self._keys(found, LATE_KEYS, "`late`")
        policy, name = self._inner(found, "policy"), self._inner(found, "property")
        if "policy" not in right or ("property" in found.value and "property" not in right):
            if "policy" not in found.value:
                self._missing(found, "policy", "`late` needs a policy", hint="late: {policy: flag, property: arrived_late}")
            return {}
        if policy != Late.FLAG:
            for key in ("property", "after"):
                if key in right:
                    self.bad(f"{key!r} goes with `policy: flag`", right[key], code="RV095")
            return {"late": Late(policy)}
        if "property" not in right:
            self.bad("`policy: flag` needs the property that says so", found, code="RV095",
                     hint="late: {policy: flag, property: arrived_late}")  # fmt: skip
            return {}
        self._field_name(right["property"], None, SyncType.EVENT)
        if name.lower() in {f.name.lower() for f in fields}:
            self.bad(f"{name!r} is a property of the model already", right["property"], code="RV095")
        after = self._seconds(right.get("after")) or latency.error_s or latency.warn_s or CAMPAIGN_HORIZON_S
        return {"late": Late.FLAG, "late_property": name, "late_after_s": after}

    def _window(self, node: Node) -> int:
        """How far back a run looks for events, in seconds."""
        found = node.get("window")
        seconds = self._seconds(found)
        if found is not None and 0 < seconds < CAMPAIGN_HORIZON_S:
            self.bad("a `window` is at least 72 hours: what is younger may start campaigns", found, code="RV098",
                     hint="window: 7 days")  # fmt: skip
        return seconds

    def _money(self, node: Node, fields: Sequence[Field]) -> dict[str, Any]:
        """The properties that carry the amount and the currency."""
        found = node.get("money")
        if found is None:
            return {}
        right = self._keys(found, MONEY_KEYS, "`money`")
        if isinstance(found.value, dict) and "amount" not in found.value:
            self._missing(found, "amount", "`money` needs the property with the amount",
                          hint="money: {amount: value, currency: currency}")  # fmt: skip
        kinds = {f.name: f.type for f in fields}
        for name, allowed in (("amount", (FieldType.NUMBER, FieldType.INTEGER)), ("currency", (FieldType.STRING,))):
            one = right.get(name)
            if one is None or (not kinds and node.get("properties") is not None):
                continue
            if one.value not in kinds:
                self.bad(f"there is no property {one.value!r}{near(str(one.value), kinds)}", one, code="RV096",
                         hint=f"`money` names properties of this event: {', '.join(kinds)}")  # fmt: skip
            elif kinds[one.value] not in allowed:
                self.bad(f"{one.value!r} is a {kinds[one.value]}, and {name!r} needs a {' or '.join(allowed)}", one,
                         code="RV096")  # fmt: skip
        return {"amount": self._inner(found, "amount"), "currency": self._inner(found, "currency")}

    def _refund(self, node: Node) -> dict[str, Any]:
        """Which purchase a refund undoes."""
        found = node.get("refund_of")
        if found is None:
            return {}
        self._keys(found, REFUND_KEYS, "`refund_of`")
        if isinstance(found.value, dict) and not found.value.keys() >= REFUND_KEYS.keys():
            self._missing(found, next(k for k in REFUND_KEYS if k not in found.value),
                          "`refund_of` needs the sync of the purchases and the column with their key",
                          hint="refund_of: {sync: order_completed, key: order_id}")  # fmt: skip
        return {"refund_of": self._inner(found, "sync"), "order": self._inner(found, "key")}

    def _roles(self) -> None:
        """What each event is, now that all names are declared."""
        for name, sync in self.syncs.items():
            role = role_of_event(self.taxonomy, sync.event) if sync.event else None
            self.syncs[name] = replace(sync, role=role or (Role.REFUND if sync.refund_of else None))

    def _refunds(self, sync: Sync, node: Node) -> None:
        """Money and refunds, once all syncs are known."""
        if sync.amount and sync.role not in {Role.PURCHASE, Role.REFUND}:
            self.bad("`money` belongs to purchases and refunds", node.get("money") or node, code="RV096",
                     hint=_declared(sync.event, Role.PURCHASE))  # fmt: skip
        if not sync.refund_of:
            return
        place = node.get("refund_of") or node
        bought = self.syncs.get(sync.refund_of)
        names = [name for name, other in self.syncs.items() if other.role is Role.PURCHASE]
        if sync.role is not Role.REFUND:
            self.bad(f"`refund_of` belongs to a refund, and {sync.event!r} is a {sync.role}", place, code="RV097",
                     hint=_declared(sync.event, Role.REFUND))  # fmt: skip
        elif sync.refund_of not in self._seen.names:
            self.bad(f"there is no sync {sync.refund_of!r}{near(sync.refund_of, names)}", place, code="RV097")
        elif bought is not None and bought.role is not Role.PURCHASE:
            self.bad(f"sync {sync.refund_of!r} sends no purchases", place, code="RV097",
                     hint=_declared(bought.event or "Order Completed", Role.PURCHASE)
                     + (f"; or name {' or '.join(names)}" if names else ""))  # fmt: skip
        elif bought is not None and sync.enabled and not bought.enabled:
            self.bad(f"sync {sync.name!r} waits for the purchases of {bought.name!r}, which is not enabled", place,
                     code="RV097", hint="enable that one, or disable this one as well")  # fmt: skip

    def _drift(self, node: Node) -> Drift | None:
        found = node.get("drift")
        if found is None:
            return None
        right = self._keys(found, DRIFT_KEYS, "`drift`")
        made: dict[str, Any] = {
            name: DriftAction(right[name].value) for name in ("types", "columns", "new_values") if name in right
        }
        for name in ("null_rate", "row_count"):
            if name in right:
                made[name] = self._jump(name, right[name])
        if "window" in right:
            made["window"] = int(right["window"].value)
        return Drift(**made)

    def _jump(self, name: str, node: Node) -> Jump:
        if not isinstance(node.value, dict):
            if node.value != "off":
                self.bad(f"{name!r} is `off`, or shares like {{warn: 5%, stop: 20%}}", node)
            return Jump()
        made: dict[str, float] = {}
        for key, value in self._keys(node, JUMP_KEYS, f"`{name}`").items():
            match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", str(value.value))
            if match is None:
                self.bad(f"{key!r} is a share like 5%", value)
            else:
                made[key] = float(match[1]) / 100
        if made.get("stop", 1e9) < made.get("warn", 0):
            self.bad("`stop` is below `warn`", node, code="RV042")
        return Jump(**made)

    def _latency(self, node: Node) -> Latency:
        found = node.get("latency")
        if found is None:
            return Latency()
        right = self._keys(found, LATENCY_KEYS, "`latency`")
        made = Latency(warn_s=self._seconds(right.get("warn")), error_s=self._seconds(right.get("error")))
        if 0 < made.error_s < made.warn_s:
            self.bad("`warn` is later than `error`", found, code="RV042")
        return made

    def _seconds(self, node: Node | None) -> int:
        if node is None:
            return 0
        match = re.fullmatch(r"(\d+)\s*([a-z]+?)s?", str(node.value).strip().lower())
        unit = UNITS.get(match[2]) if match else None
        if match is None or unit is None:
            self.bad("a duration is like `30s`, `15 minutes` or `1 hour`", node, code="RV011")
            return 0
        return int(match[1]) * unit


def _identified(sync: Sync, identity: Identity) -> Sync:
    """The sync with the project's identity; its e-mail attribute is normalised unless it says otherwise."""
    fields = sync.fields
    if sync.is_person and identity.declared and identity.also_identifies:
        fields = tuple(
            replace(f, normalize="email") if f.name == "email" and f.type is FieldType.STRING and not f.normalize else f
            for f in fields
        )
    return replace(sync, identity=identity, fields=fields)


_CALLED = {"object": "a mapping", "array": "a list", "integer": "a whole number", "string": "a text", "boolean": "true or false"}
_KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}


def _right(node: Node, table: Mapping[str, Mapping[str, Any]]) -> dict[str, Node]:
    """The keys of a mapping that its table knows, with values of the right kind."""
    if not isinstance(node.value, dict):
        return {}
    pairs = [(key.value, value) for key, value in node.items() if key.value in table]
    return {key: value for key, value in pairs if not _mismatch(value, table[key])}


def _mismatch(node: Node, rule: Mapping[str, Any]) -> str:
    """How a value breaks its small schema, or an empty string."""
    if "enum" in rule:
        if node.value in rule["enum"]:
            return ""
        known = [str(v) for v in rule["enum"]]
        return f"must be {'one of ' if len(known) > 1 else ''}{', '.join(known)}{near(str(node.value), known)}"
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    if not any(_KINDS[kind](node.value) for kind in kinds):
        return f"must be {' or '.join(_CALLED.get(kind, f'a {kind}') for kind in kinds)}"
    if isinstance(node.value, str) and len(node.value) < rule.get("minLength", 0):
        return "must not be empty"
    if "minimum" in rule and node.value < rule["minimum"]:
        return f"must be at least {rule['minimum']}"
    if isinstance(node.value, list) and len(node.value) < rule.get("minItems", 0):
        return "must not be empty"
    if "items" in rule:
        return next((problem for item in node.value if (problem := _mismatch(item, rule["items"]))), "")
    return ""


def _declared(event: str, role: Role) -> str:
    return f"declare it: taxonomy: {{events: {{{event}: {{role: {role}}}}}}}"


def new_uid() -> str:
    """A uid that nobody has. It begins with a letter, as YAML reads `12345678` and `1e234567` as numbers."""
    return secrets.choice("abcdef") + secrets.token_hex(4)[1:]
