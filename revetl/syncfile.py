"""`syncs/**/*.yml`: strict YAML to typed `Sync` values, and the JSON Schema that editors use, from one set of tables.

Every problem of every file is collected with its place; nothing stops at the first.
"""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any
from zoneinfo import available_timezones

from revetl.contracts import (
    Field,
    FieldType,
    Guards,
    IdentifierKind,
    Initial,
    Late,
    Latency,
    Limit,
    NoPerson,
    OnNull,
    Sync,
    SyncType,
    WhenMissing,
)
from revetl.errors import ConfigError
from revetl.yamlfile import Node

UID = re.compile(r"[a-z0-9]{6,32}")
RELATION = re.compile(r"ref\(\s*'([^']+)'(?:\s*,\s*'([^']+)')?\s*\)|source\(\s*'([^']+)'\s*,\s*'([^']+)'\s*\)")
MAX_NAME_BYTES = 150
MAX_EVENT_BYTES = 100
MAX_FIELDS = 300
RESERVED_PROPERTIES = frozenset({"recipient", "from_address", "reply_to"})  # they redirect messages (Track API, "event")
UNITS = {"s": 1, "second": 1, "minute": 60, "min": 60, "hour": 3600, "h": 3600, "day": 86_400, "d": 86_400}
TYPES = [kind.value for kind in FieldType]

# what a key may hold, by JSON Schema; validation and `revetl schema` read the same tables
TEXT: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
NUMBER: dict[str, Any] = {"type": "number"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
ANY_OBJECT: dict[str, Any] = {"type": "object"}
FIELD_KEYS: dict[str, dict[str, Any]] = {
    "use": TEXT, "type": {"enum": TYPES}, "column": TEXT, "required": BOOLEAN,
    "on_null": {"enum": [v.value for v in OnNull]}, "format": {"enum": ["email"]},
    "normalize": {"enum": ["email", "trim", "lower"]}, "minimum": NUMBER, "maximum": NUMBER, "max_length": COUNT,
    "pattern": TEXT, "enum": {"type": "array", "items": TEXT}, "items": {"type": ["object", "string"]}, "zone": TEXT,
    "description": TEXT,
}  # fmt: skip
GUARD_KEYS: dict[str, dict[str, Any]] = {
    "max_deletes": {"type": ["string", "integer"]}, "max_changes": {"type": ["string", "integer"]},
    "empty_source": {"enum": ["stop", "allow"]}, "max_first_run": COUNT,
}  # fmt: skip
LATENCY_KEYS = {"warn": TEXT, "error": TEXT}
IDENTIFY_KEYS = {kind.value: TEXT for kind in IdentifierKind}
PERSON_KEYS = {**IDENTIFY_KEYS, "sync": TEXT, "anonymous_id": TEXT}
TIME_KEYS = {"column": TEXT, "zone": TEXT}
SYNC_KEYS: dict[str, dict[str, Any]] = {
    "name": TEXT, "uid": TEXT, "model": TEXT, "type": {"enum": [v.value for v in SyncType]}, "identify_by": ANY_OBJECT,
    "attributes": ANY_OBJECT, "event": TEXT, "person": ANY_OBJECT, "key": TEXT,
    "occurred_at": {"type": ["string", "object"]}, "properties": ANY_OBJECT,
    "when_missing": {"enum": [v.value for v in WhenMissing]}, "no_person": {"enum": [v.value for v in NoPerson]},
    "initial": {"enum": [v.value for v in Initial]}, "late": {"enum": [v.value for v in Late]}, "guards": ANY_OBJECT,
    "latency": ANY_OBJECT, "renamed_from": ANY_OBJECT, "tags": {"type": "array", "items": TEXT}, "owner": TEXT,
    "description": TEXT, "enabled": BOOLEAN,
}  # fmt: skip
FILE_KEYS: dict[str, dict[str, Any]] = {
    "version": {"enum": [1]}, "definitions": ANY_OBJECT, "syncs": {"type": "array"},
}  # fmt: skip


def schema() -> dict[str, Any]:
    """JSON Schema (draft 7) of a file in `syncs/`."""
    fields = {"oneOf": [{"enum": TYPES}, {"type": "string", "pattern": r"^\$"}, {"$ref": "#/definitions/field"}]}
    several = {"type": "object", "additionalProperties": fields}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "revetl syncs", **_closed(FILE_KEYS), "required": ["version", "syncs"],
        "definitions": {
            "field": {**_closed({**FIELD_KEYS, "items": {"oneOf": [{"enum": TYPES}, several]}})},
            "sync": {
                **_closed({
                    **SYNC_KEYS, "identify_by": {**_closed(IDENTIFY_KEYS), "minProperties": 1, "maxProperties": 1},
                    "attributes": several, "properties": several, "person": _closed(PERSON_KEYS),
                    "occurred_at": {"oneOf": [TEXT, _closed(TIME_KEYS)]}, "guards": _closed(GUARD_KEYS),
                    "latency": _closed(LATENCY_KEYS), "uid": {"type": "string", "pattern": f"^{UID.pattern}$"},
                }),
                "required": ["name", "uid", "model", "type"],
            },
        },
    } | {"properties": {"version": FILE_KEYS["version"], "definitions": several,
                        "syncs": {"type": "array", "items": {"$ref": "#/definitions/sync"}}}}  # fmt: skip


def _closed(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(keys)}


class SyncReader:
    """Reads files one after another; problems go to `problems`.

    Args:
        relations: what `model:` may name: models by name, sources as `schema.table`.
    """

    def __init__(self, relations: Collection[str], problems: list[ConfigError]) -> None:
        self._relations = relations
        self._problems = problems
        self.syncs: dict[str, Sync] = {}

    def bad(self, message: str, node: Node, hint: str = "", code: str = "RV012") -> None:
        """Note a problem and go on."""
        self._problems.append(ConfigError(message, hint=hint, where=node.where, code=code))

    def read(self, document: Node) -> None:
        """One file."""
        if not self._keys(document, FILE_KEYS, "a file of syncs"):
            return
        version = document.get("version")
        if version is None or version.value != 1:
            self.bad("`version: 1` is missing", version or document, code="RV013")
        definitions = document.get("definitions")
        known = definitions.value if definitions is not None and isinstance(definitions.value, dict) else {}
        listed = document.get("syncs")
        if listed is None or not isinstance(listed.value, list):
            self.bad("`syncs:` must be a list", listed or document, code="RV013")
            return
        for node in listed.value:
            sync = self._sync(node, {name: pair[1] for name, pair in known.items()})
            if sync is None:
                continue
            if sync.name in self.syncs:
                first = self.syncs[sync.name].where
                self.bad(f"there are two syncs named {sync.name!r} (the first at {first})", node, code="RV014")
            twin = next((s for s in self.syncs.values() if s.uid == sync.uid), None)
            if twin is not None:
                self.bad(f"uid {sync.uid!r} already belongs to sync {twin.name!r}; two streams cannot share a state",
                         node.get("uid") or node, hint=f"uid: {secrets.token_hex(4)}", code="RV015")  # fmt: skip
            self.syncs[sync.name] = sync

    def cross_check(self) -> None:
        """What only all files together can show."""
        people = {name: s for name, s in self.syncs.items() if s.is_person}
        for sync in self.syncs.values():
            if sync.is_person:
                continue
            owner = people.get(sync.person_sync)
            place = Node(None, sync.where)
            if owner is None:
                self.bad(f"sync {sync.name!r}: `person.sync` names {sync.person_sync!r}, which is no person sync"
                         f"{near(sync.person_sync, people)}", place, code="RV016")  # fmt: skip
            elif owner.identifier is not sync.identifier:
                self.bad(f"sync {sync.name!r} names people by {sync.identifier}, and sync {owner.name!r} by "
                         f"{owner.identifier}: events would go to other people", place, code="RV017")  # fmt: skip
            twin = next((s for s in self.syncs.values()
                         if s is not sync and not s.is_person and s.event == sync.event and s.name < sync.name), None)  # fmt: skip
            if twin is not None:
                self.bad(f"syncs {twin.name!r} and {sync.name!r} both send {sync.event!r}; one source sends an event",
                         place, code="RV018")  # fmt: skip

    # --- one sync ------------------------------------------------------------------------------------------------

    def _keys(self, node: Node, table: Mapping[str, Mapping[str, Any]], what: str) -> bool:
        """Whether a mapping has only known keys with values of the right kind."""
        if not isinstance(node.value, dict):
            self.bad(f"{what} must be a mapping", node)
            return False
        fine = True
        for key, value in node.items():
            if key.value not in table:
                self.bad(f"unknown key {key.value!r}{near(key.value, table)}", key,
                         hint=f"{what} takes: {', '.join(table)}", code="RV010")  # fmt: skip
                fine = False
                continue
            if problem := _mismatch(value, table[key.value]):
                self.bad(f"{key.value!r} {problem}", value, code="RV011")
                fine = False
        return fine

    def _sync(self, node: Node, definitions: Mapping[str, Node]) -> Sync | None:
        before = len(self._problems)
        self._keys(node, SYNC_KEYS, "a sync")
        if not isinstance(node.value, dict):
            return None

        def text(name: str, default: str = "") -> str:
            found = node.get(name)
            return str(found.value) if found is not None and found.value is not None else default

        def need(name: str) -> str:
            if node.get(name) is None:
                self.bad(f"a sync needs {name!r}", node, code="RV013")
            return text(name)

        name, kind = need("name"), need("type")
        uid = text("uid")
        if not UID.fullmatch(uid):
            said = "a sync needs a `uid`, which keeps its state through renames" if not uid else "uid must match [a-z0-9]{6,32}"
            self.bad(said, node.get("uid") or node, hint=f"add this line: uid: {secrets.token_hex(4)}", code="RV019")
        model = self._model(node, need("model"))
        person = kind == SyncType.PERSON
        self._wrong_kind(node, person=person)
        if node.get("renamed_from") is not None:
            self.bad("`renamed_from` is not supported yet", node.get("renamed_from") or node, code="RV030")
        if text("when_missing") == WhenMissing.CLEAR:
            self.bad("`when_missing: clear` is not supported yet", node.get("when_missing") or node, code="RV030")
        if person:
            identifier, key = self._identifier(node, "identify_by", IDENTIFY_KEYS)
            owner = anonymous = column = ""
        else:
            identifier, column = self._identifier(node, "person", PERSON_KEYS)
            holder = node.get("person")
            owner = self._inner(holder, "sync") or "people"
            anonymous = self._inner(holder, "anonymous_id")
            key = need("key")
        occurred_at, zone = self._time(node, person=person)
        event = text("event")
        if not person and kind == SyncType.EVENT:
            self._event_name(node, need("event"))
        fields = self._fields(node, "attributes" if person else "properties", definitions, identifier, person=person)
        guards, latency = self._guards(node), self._latency(node)
        if len(self._problems) > before or identifier is None:
            return None
        tags = node.get("tags")
        initial = text("initial") or ("send" if person else "baseline")
        return Sync(
            name=name, uid=uid, type=SyncType(kind), model=model, relation=text("model"), identifier=identifier, key=key,
            fields=fields, event=event, person=column, person_sync=owner, anonymous=anonymous, occurred_at=occurred_at,
            zone=zone, when_missing=WhenMissing(text("when_missing", "ignore")),
            no_person=NoPerson(text("no_person", "skip")), initial=Initial(initial), late=Late(text("late", "hold")),
            guards=guards, latency=latency, description=text("description"), owner=text("owner"),
            tags=tuple(str(tag.value) for tag in tags.value) if tags is not None else (),
            enabled=node.get("enabled") is None or bool(node.get("enabled").value),  # type: ignore[union-attr]  # just tested
            where=node.where,
        )  # fmt: skip

    def _wrong_kind(self, node: Node, *, person: bool) -> None:
        """Keys that belong to the other type of sync."""
        others = ("event", "person", "key", "occurred_at", "properties", "no_person", "late", "latency") if person else (
            "identify_by", "attributes", "when_missing")  # fmt: skip
        for name in others:
            found = node.get(name)
            if found is not None:
                self.bad(f"{name!r} does not belong to a sync of type {'person' if person else 'event'}", found, code="RV031")

    def _model(self, node: Node, relation: str) -> str:
        match = RELATION.fullmatch(relation.strip())
        place = node.get("model") or node
        if not match:
            if relation:
                self.bad("`model` is ref('model') or source('source', 'table')", place, hint=f"model: ref('{relation}')",
                         code="RV032")  # fmt: skip
            return ""
        name = match[2] or match[1] or f"{match[3]}.{match[4]}"
        if name not in self._relations:
            kind = "source" if match[3] else "model"
            self.bad(f"there is no {kind} {name!r}{near(name, self._relations)}", place, code="RV033")
        return name

    def _inner(self, node: Node | None, name: str) -> str:
        found = node.get(name) if node is not None else None
        return str(found.value) if found is not None else ""

    def _identifier(self, node: Node, name: str, table: Mapping[str, Any]) -> tuple[IdentifierKind | None, str]:
        found = node.get(name)
        if found is None:
            self.bad(f"a sync of this type needs {name!r}", node, hint=f"{name}: {{id: customer_id}}", code="RV013")
            return None, ""
        if not self._keys(found, table, f"`{name}`"):
            return None, ""
        kinds = [kind for kind in IdentifierKind if found.get(kind.value) is not None]
        if len(kinds) != 1:
            self.bad(f"{name!r} needs exactly one of id, email, cio_id: Customer.io takes one identifier a request",
                     found, code="RV034")  # fmt: skip
            return None, ""
        return kinds[0], self._inner(found, kinds[0].value)

    def _time(self, node: Node, *, person: bool) -> tuple[str, str]:
        found = node.get("occurred_at")
        if found is None:
            if not person:
                self.bad("an event needs `occurred_at`: the time of the fact, from the server", node, code="RV013")
            return "", ""
        if isinstance(found.value, dict):
            self._keys(found, TIME_KEYS, "`occurred_at`")
            self._zone(found.get("zone"))
            return self._inner(found, "column"), self._inner(found, "zone")
        return str(found.value), ""

    def _zone(self, node: Node | None) -> None:
        if node is not None and node.value not in available_timezones():
            self.bad(f"{node.value!r} is no IANA time zone{near(str(node.value), available_timezones())}", node, code="RV035")

    def _event_name(self, node: Node, event: str) -> None:
        place = node.get("event") or node
        if event != event.strip():
            self.bad("an event's name must not begin or end with a blank: Customer.io trims it", place, code="RV036")
        if len(event.encode()) > MAX_EVENT_BYTES:
            self.bad(f"an event's name has at most {MAX_EVENT_BYTES} bytes", place, code="RV036")

    # --- fields --------------------------------------------------------------------------------------------------

    def _fields(
        self, node: Node, name: str, definitions: Mapping[str, Node], identifier: IdentifierKind | None, *, person: bool
    ) -> tuple[Field, ...]:
        listed = node.get(name)
        if listed is None or not isinstance(listed.value, dict):
            if listed is None and not person:
                return ()
            self.bad(f"`{name}:` must map names to types", listed or node, code="RV013")
            return ()
        if len(listed.value) > MAX_FIELDS:
            self.bad(f"Customer.io takes at most {MAX_FIELDS} attributes", listed, code="RV037")
        made: list[Field] = []
        folded: dict[str, str] = {}
        for key, value in listed.items():
            self._field_name(key, identifier, person=person)
            twin = folded.setdefault(key.value.lower(), key.value)
            if twin != key.value:
                self.bad(f"{key.value!r} and {twin!r} differ only in case; segments would see two attributes", key, code="RV038")
            field = self._field(key, value, definitions, person=person)
            if field is not None:
                made.append(field)
        return tuple(made)

    def _field_name(self, key: Node, identifier: IdentifierKind | None, *, person: bool) -> None:
        name = key.value
        if len(name.encode()) > MAX_NAME_BYTES:
            self.bad(f"a name has at most {MAX_NAME_BYTES} bytes", key, code="RV037")
        if person:
            preference = name.startswith("cio_subscription_preferences.topics.")
            if name.startswith(("_", "cio_")) and not preference:
                self.bad(f"{name!r} is reserved by Customer.io", key, code="RV039")
            if identifier is not None and name == identifier.value:
                self.bad(f"{name!r} is the identifier (`identify_by`); it is sent as such", key, code="RV039")
        elif name in RESERVED_PROPERTIES:
            self.bad(f"{name!r} would change who gets a message: Customer.io reads it from events", key,
                     hint=f"send it under another name: {name}_text: {{column: {name}, type: string}}", code="RV039")  # fmt: skip
        elif name.startswith("_"):
            self.bad("a property's name must not begin with an underscore", key, code="RV039")

    def _field(self, key: Node, value: Node, definitions: Mapping[str, Node], *, person: bool) -> Field | None:
        name, facts = key.value, dict[str, Node]()
        if isinstance(value.value, str):
            if value.value.startswith("$"):
                facts = self._defined(value, value.value[1:], definitions)
            else:
                facts = {"type": value}
        elif isinstance(value.value, dict):
            if not self._keys(value, FIELD_KEYS, "a field"):
                return None
            facts = {k.value: v for k, v in value.items()}
            if used := facts.pop("use", None):
                facts = {**self._defined(used, str(used.value), definitions), **facts}
        kind = facts.get("type")
        if kind is None or kind.value not in TYPES:
            given = str(kind.value) if kind is not None else ""
            self.bad(f"{name!r} needs a type{near(given, TYPES)}", kind or value, hint=f"one of: {', '.join(TYPES)}", code="RV040")
            return None
        return self._typed(name, FieldType(kind.value), facts, value, person=person)

    def _defined(self, place: Node, name: str, definitions: Mapping[str, Node]) -> dict[str, Node]:
        found = definitions.get(name)
        if found is None:
            self.bad(f"there is no definition {name!r}{near(name, definitions)}", place, code="RV041")
            return {}
        if isinstance(found.value, str):
            return {"type": found}
        return {k.value: v for k, v in found.items()} if self._keys(found, FIELD_KEYS, "a definition") else {}

    def _typed(self, name: str, kind: FieldType, facts: Mapping[str, Node], place: Node, *, person: bool) -> Field | None:
        def plain(key: str, default: Any = None) -> Any:  # noqa: ANN401 checked against FIELD_KEYS
            return facts[key].value if key in facts else default

        texts, numbers = {FieldType.STRING}, {FieldType.INTEGER, FieldType.NUMBER}
        for keys, kinds in (
            (("format", "normalize", "max_length", "pattern", "enum"), texts), (("minimum", "maximum"), numbers),
            (("zone",), {FieldType.TIMESTAMP}), (("items",), {FieldType.ARRAY, FieldType.OBJECT}),
        ):  # fmt: skip
            for key in keys:
                if key in facts and kind not in kinds:
                    self.bad(f"{key!r} does not fit the type {kind} of {name!r}", facts[key], code="RV042")
        if "pattern" in facts:
            try:
                re.compile(plain("pattern"))
            except re.error as error:
                self.bad(f"the pattern of {name!r} is no regular expression: {error.msg}", facts["pattern"], code="RV043")
                return None
        self._zone(facts.get("zone"))
        if plain("required") and plain("on_null", "refuse") != "refuse":
            self.bad(f"{name!r} is required, so `on_null: {plain('on_null')}` never applies", facts["on_null"], code="RV044")
        if name == "unsubscribed" and kind is not FieldType.BOOLEAN:
            self.bad("'unsubscribed' must be a boolean: anything else re-subscribes people", place, code="RV045")
        items, item_type = self._items(facts.get("items"))
        if not person and plain("on_null") == "clear":
            self.bad("an event's property cannot be cleared: a null property is not sent", facts["on_null"], code="RV044")
        return Field(
            name=name, column=str(plain("column", name)), type=kind, required=bool(plain("required", default=False)),
            on_null=OnNull(plain("on_null", "skip")), format=plain("format", ""), normalize=plain("normalize", ""),
            minimum=plain("minimum"), maximum=plain("maximum"), max_length=plain("max_length", 0),
            pattern=plain("pattern", ""), enum=tuple(str(n.value) for n in plain("enum", ())), items=items,
            item_type=item_type, zone=plain("zone", ""), description=plain("description", ""), where=place.where,
        )  # fmt: skip

    def _items(self, node: Node | None) -> tuple[tuple[Field, ...], FieldType | None]:
        if node is None:
            return (), None
        if isinstance(node.value, str):
            if node.value not in TYPES:
                self.bad(f"{node.value!r} is no type{near(node.value, TYPES)}", node, code="RV040")
                return (), None
            return (), FieldType(node.value)
        made = [self._field(key, value, {}, person=False) for key, value in node.items()]
        return tuple(field for field in made if field is not None), None

    # --- guards --------------------------------------------------------------------------------------------------

    def _guards(self, node: Node) -> Guards:
        found = node.get("guards")
        if found is None or not self._keys(found, GUARD_KEYS, "`guards`"):
            return Guards()
        made: dict[str, Any] = {}
        for name in ("max_deletes", "max_changes"):
            value = found.get(name)
            if value is not None:
                made[name] = self._limit(value) or getattr(Guards(), name)
        if (empty := found.get("empty_source")) is not None:
            made["empty_source"] = empty.value == "stop"
        if (first := found.get("max_first_run")) is not None:
            made["max_first_run"] = int(first.value)
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

    def _latency(self, node: Node) -> Latency:
        found = node.get("latency")
        if found is None or not self._keys(found, LATENCY_KEYS, "`latency`"):
            return Latency()
        return Latency(warn_s=self._seconds(found.get("warn")), error_s=self._seconds(found.get("error")))

    def _seconds(self, node: Node | None) -> int:
        if node is None:
            return 0
        match = re.fullmatch(r"(\d+)\s*([a-z]+?)s?", str(node.value).strip().lower())
        unit = UNITS.get(match[2]) if match else None
        if match is None or unit is None:
            self.bad("a duration is like `30s`, `15 minutes` or `1 hour`", node, code="RV011")
            return 0
        return int(match[1]) * unit


_KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}


def _mismatch(node: Node, rule: Mapping[str, Any]) -> str:
    """How a value breaks its small schema, or an empty string."""
    if "enum" in rule:
        if node.value in rule["enum"]:
            return ""
        known = [str(v) for v in rule["enum"]]
        return f"must be one of {', '.join(known)}{near(str(node.value), known)}"
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    if not any(_KINDS[kind](node.value) for kind in kinds):
        return f"must be {' or '.join(f'a {kind}' if kind != 'array' else 'a list' for kind in kinds)}"
    if "minimum" in rule and node.value < rule["minimum"]:
        return f"must be at least {rule['minimum']}"
    if "items" in rule:
        return next((problem for item in node.value if (problem := _mismatch(item, rule["items"]))), "")
    return ""


def near(name: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
