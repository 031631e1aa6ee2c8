"""What a sync promises about each row: names, types and rules. Pure values; no I/O, no SQL.

A *field* is one attribute of a person or one property of an event. Its type says how the value leaves the
warehouse (the canonical form that the plan casts to and the state keeps) and how it is written as JSON:

    type        canonical form in the warehouse     in Python            as JSON
    string      text                                str                  "text"
    integer     64-bit integer, else decimal(38,0)  int                  123
    number      double, or decimal as it is         float, or str (*)    12.5
    boolean     boolean                             bool                 true
    timestamp   64-bit integer, Unix seconds        int                  1700000000
    date        text YYYY-MM-DD                     str                  "2026-11-23"
    array       JSON text                           str                  [...]
    object      JSON text                           str                  {...}

(*) a decimal that a double cannot hold exactly arrives as its digits and is written as a JSON number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from revetl.errors import Where

NOWHERE = Where(file="")
CAMPAIGN_HORIZON_S = 72 * 3600  # older events cannot trigger campaigns (Track API, "track" > timestamp)
TOO_WIDE = 10**38 - 1  # what the plan says of an integer with more digits, or its negative; always refused
ENDLESS_S = 2**62  # what the plan says of the time "infinity", or its negative; no time in Unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """A finding of `revetl lint` that is accepted in one place, and why."""

    code: str
    reason: str
    where: Where = field(default=NOWHERE, compare=False)
PLATFORM = "device.platform"  # fields of a device that are no attributes of it
LAST_USED = "device.last_used"


class FieldType(StrEnum):
    """The types of a contract; see the table in this module's docstring."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"
    ARRAY = "array"
    OBJECT = "object"


class OnViolation(StrEnum):
    """What becomes of a row that breaks a rule of the contract."""

    REFUSE = "refuse"  # that row is not sent, the others are (the default)
    FAIL = "fail"  # the sync stops before its first request
    WARN = "warn"  # the row is sent, and counted


# the rules of a field, by the keys that declare them; `on_violation` may name each
RULES = ("type", "required", "on_null", "enum", "pattern", "format", "minimum", "maximum", "min_length", "max_length",
         "min_items", "max_items")  # fmt: skip
NOW = "now"  # as a bound: the moment of the plan
MAX_DEPTH = 20  # of nested values, and so of nested declarations

Bound = float | str | None


class OnNull(StrEnum):
    """What a NULL of the model means. A null that is sent erases the value in Customer.io."""

    SKIP = "skip"  # leave what Customer.io has (the default)
    CLEAR = "clear"  # send null: erase
    REFUSE = "refuse"  # the row breaks the contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """A name that was used before; the same is sent under it too, until a day.

    Attributes:
        name: the old one.
        until: the last day, inclusive, in UTC by the warehouse's clock.
    """

    name: str
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One attribute or property of a contract.

    Attributes:
        name: as Customer.io sees it, case-sensitive.
        column: the model's column; the name unless told otherwise.
        format: a name of `formats.NAMES`, or an empty string.
        normalize: `email` (trim, lower case), `trim`, `lower` or an empty string; done in SQL, before comparing.
        minimum, maximum: inclusive bounds: of numbers; of timestamps in Unix seconds, of dates as text, or `NOW`.
        min_length, max_length: in UTF-8 bytes; a `max_length` of 0 means the destination's limit only.
        min_items, max_items: of an array; a `max_items` of 0 means any number.
        pattern: a Python regular expression that the whole string must match.
        enum: the allowed values, of the field's type.
        items: the declared properties of an object, or of each object of an array; the others are not sent.
        item: the contract of each item of an array that does not hold such objects.
        on_violation: what becomes of a row that breaks one of the rules.
        by_rule: the same for single rules, which wins.
        zone: IANA zone of a naive timestamp or of a date that is sent as a timestamp.
        renamed_from: the name that it had before.
        may_resubscribe: of `unsubscribed`: whether false is sent, which subscribes people again.
        pii: whether the column is marked as personal data in dbt; nothing of what is sent depends on it.
    """

    name: str
    column: str
    type: FieldType
    required: bool = False
    on_null: OnNull = OnNull.SKIP
    format: str = ""
    normalize: str = ""
    minimum: Bound = None
    maximum: Bound = None
    min_length: int = 0
    max_length: int = 0
    min_items: int = 0
    max_items: int = 0
    pattern: str = ""
    enum: tuple[str | float, ...] = ()
    items: tuple[Field, ...] = ()
    item: Field | None = None
    on_violation: OnViolation = OnViolation.REFUSE
    by_rule: tuple[tuple[str, OnViolation], ...] = ()
    zone: str = ""
    renamed_from: Rename | None = None
    may_resubscribe: bool = False
    description: str = ""
    pii: bool = field(default=False, compare=False, repr=False)
    ignore: tuple[Ignore, ...] = field(default=(), compare=False, repr=False)
    where: Where = field(default=NOWHERE, compare=False)

    def policy(self, rule: str) -> OnViolation:
        """What becomes of a row that breaks a rule; a value of another type cannot be written, whatever was asked."""
        found = dict(self.by_rule).get(rule, self.on_violation)
        return OnViolation.REFUSE if rule == "type" and found is OnViolation.WARN else found

    def keeps_on_null(self) -> bool:
        """Whether a null leaves what Customer.io has: neither erases it nor breaks a rule that keeps the row back."""
        if self.required or self.on_null is OnNull.REFUSE:
            return self.policy("required" if self.required else "on_null") is OnViolation.WARN
        return self.on_null is OnNull.SKIP

    def fails(self) -> bool:
        """Whether a row that breaks one of the rules, here or inside, stops the sync."""
        own = OnViolation.FAIL in {self.on_violation, *dict(self.by_rule).values()}
        return own or any(one.fails() for one in (*self.items, *((self.item,) if self.item else ())))

    def written(self) -> list[Any]:
        """What decides how a nested value is written: names and types, all the way down."""
        inner = [one.written() for one in self.items]
        return [self.name, self.column, self.type, inner, self.item.written() if self.item else None]

    def digest(self) -> str:
        """Eight hex digits that change when the bytes sent for the same column value may change."""
        facts: list[Any] = [self.name, self.type, self.on_null, self.normalize, self.zone]
        if self.items:
            facts.append(self.written()[3:])
        if self.may_resubscribe:
            facts.append("may_resubscribe")
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]


class SyncType(StrEnum):
    """What one row of the model becomes in Customer.io."""

    PERSON = "person"
    MERGE = "merge"
    EVENT = "event"
    PAGE = "page"
    SCREEN = "screen"
    OBJECT = "object"
    RELATIONSHIP = "relationship"
    DEVICE = "device"
    SEGMENT = "segment"
    SUPPRESSION = "suppression"

    @property
    def keeps_values(self) -> bool:
        """Whether the state keeps the values of each row, and rows are created, changed and deleted (a *snapshot*).

        Else each key is sent once, and the state is a *ledger* of what was acknowledged.
        """
        return self not in {SyncType.EVENT, SyncType.PAGE, SyncType.SCREEN, SyncType.MERGE}

    @property
    def happens(self) -> bool:
        """Whether a row is something that happened at a time: events and views."""
        return self in {SyncType.EVENT, SyncType.PAGE, SyncType.SCREEN}

    @property
    def waits_for_people(self) -> bool:
        """Whether a row belongs to a person, and goes out only once Customer.io has acknowledged that person."""
        return self not in {SyncType.PERSON, SyncType.OBJECT, SyncType.SUPPRESSION}

    @property
    def names_people(self) -> bool:
        """Whether its rows name a person at all."""
        return self is not SyncType.OBJECT

    @property
    def keyed_by_person(self) -> bool:
        """Whether the identifier of a person is the whole key of a row: of a merge the secondary's."""
        return self in {SyncType.PERSON, SyncType.MERGE, SyncType.SEGMENT, SyncType.SUPPRESSION}

    @property
    def keyed_by_pair(self) -> bool:
        """Whether a row's key is a person and something of theirs: a JSON array of two texts."""
        return self in {SyncType.DEVICE, SyncType.RELATIONSHIP}

    @property
    def writes_people(self) -> bool:
        """Whether it makes or deletes profiles, so that a run needs the workspace's lease."""
        return self in {SyncType.PERSON, SyncType.MERGE, SyncType.SUPPRESSION}

    @property
    def phase(self) -> int:
        """When a run sends it: lower numbers first; deletes come last, in the opposite order.

        Suppressions come first, so that nothing is sent of somebody who is suppressed in the same run.
        """
        return {SyncType.SUPPRESSION: 0, SyncType.PERSON: 1, SyncType.MERGE: 2, SyncType.OBJECT: 3}.get(self, 4)

    @property
    def word(self) -> str:
        """What a row of this type is called."""
        return {SyncType.PAGE: "page view", SyncType.SCREEN: "screen view", SyncType.SEGMENT: "member"}.get(self, str(self))

    @property
    def noun(self) -> str:
        """The same in the plural."""
        return "people" if self is SyncType.PERSON else f"{self.word}s"


class IdentifierKind(StrEnum):
    """The one identifier that is sent as `identifiers` (Track API v2, "person" schema)."""

    ID = "id"
    EMAIL = "email"
    CIO_ID = "cio_id"


class WhenMissing(StrEnum):
    """What happens in Customer.io when a row left the model of a snapshot."""

    IGNORE = "ignore"
    DELETE = "delete"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    CLEAR = "clear"


class NoPerson(StrEnum):
    """What happens to an event without a person."""

    SKIP = "skip"
    ANONYMOUS = "anonymous"
    HOLD = "hold"


class UnknownPerson(StrEnum):
    """What happens to an event of a person that Customer.io does not have."""

    HOLD = "hold"
    CREATE = "create"


class OnShared(StrEnum):
    """What happens to rows that would be one person in Customer.io: one address in two rows."""

    QUARANTINE = "quarantine"
    NEWEST = "newest"
    FAIL = "fail"


class OnMoved(StrEnum):
    """What happens to a row whose address another person still has."""

    QUARANTINE = "quarantine"
    RELEASE = "release"
    FAIL = "fail"


class OnChange(StrEnum):
    """What happens to a known person who gets another address."""

    QUARANTINE = "quarantine"
    SEND = "send"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How the workspace knows a person: the block `identity:` of the project (`docs/identity.md`).

    Attributes:
        declared: whether the project has the block.
        primary: the one identifier that every sync sends.
        also_identifies: whether the workspace takes e-mail addresses for identifiers, too.
        newest_by: the model's column that decides, for `on_shared: newest`.
        moment: when a visitor becomes known: capture, account, login, checkout; empty if not declared.
        on_anonymous: what happens to rows whose anonymous id is another person's: quarantine or fail.
    """

    declared: bool = False
    primary: IdentifierKind = IdentifierKind.ID
    also_identifies: bool = True
    on_shared: OnShared = OnShared.QUARANTINE
    newest_by: str = ""
    on_moved: OnMoved = OnMoved.QUARANTINE
    on_change: OnChange = OnChange.QUARANTINE
    moment: str = ""
    on_anonymous: OnShared = OnShared.QUARANTINE


class Initial(StrEnum):
    """What the first run of a stream does."""

    SEND = "send"
    BASELINE = "baseline"


class Late(StrEnum):
    """What happens to an event that comes late: for `hold` and `send`, older than 72 hours (it starts no campaign)."""

    HOLD = "hold"
    SEND = "send"
    FLAG = "flag"  # send every event with a boolean property that says whether it came late


class Role(StrEnum):
    """What an event is in a shop, whatever it is called."""

    PURCHASE = "purchase"
    REFUND = "refund"
    CART = "cart"
    CHECKOUT = "checkout"
    VIEW = "view"
    OTHER = "other"


class Alike(StrEnum):
    """What a rule for duplicates does to texts before it compares them."""

    TRIM = "trim"  # spaces around (the default)
    LOWER = "lower"  # and case
    EMAIL = "email"  # as `lower`
    PHONE = "phone"  # digits and a leading plus only; 00 is a plus
    FORM = "form"  # no blanks, no case, 17850.0 as 17850


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRule:
    """People with different keys who have the same texts in all of these columns may be one person."""

    name: str
    columns: tuple[str, ...]
    normalize: Alike = Alike.TRIM


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A guard's bound: a share of the known rows (0..1), or a number of rows; exactly one is set."""

    share: float | None = None
    rows: int | None = None

    def allows(self, count: int, of: int) -> bool:
        """Whether `count` of `of` rows are within the bound (equal is within)."""
        if self.share is not None:
            return count <= self.share * of
        return count <= (self.rows or 0)

    def __str__(self) -> str:
        """As it is written in YAML: `1%` or `100`."""
        return f"{self.share * 100:g}%" if self.share is not None else str(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """When a run must stop and ask (`docs/guards.md`).

    Attributes:
        max_deletes: of the people in the state. A few (`delete_floor`) are always allowed.
        max_changes: updates, of the people in the state; rows that only gain a new attribute do not count.
        empty_source: whether a model without rows stops the run.
        max_first_run: rows that a first run may send without confirmation; 0 means any number.
        max_triggering: events of a backfill that may start campaigns; 0 always asks.
        max_growth: new rows, in times of what the state has (200 at least); 0 means any number.
        max_merges: pairs that a run may merge without confirmation; the first merges of a sync always need one.
    """

    max_deletes: Limit = Limit(share=0.05)
    max_changes: Limit = Limit(share=0.5)
    empty_source: bool = True
    max_first_run: int = 0
    max_growth: int = 5
    max_merges: int = 100
    max_triggering: int = 10


class DriftAction(StrEnum):
    """What a kind of drift does."""

    OFF = "off"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """Shares (0..1) above which a change is worth a warning, or a stop; None for never."""

    warn: float | None = None
    stop: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What is watched of a model that still fits its contract, compared with the last runs (`docs/changes.md`).

    Attributes:
        types: native types of the model's columns.
        columns: columns that are gone, also those that no field reads.
        new_values: values that no earlier run saw, of fields with an `enum` or with few values.
        null_rate: the share of nulls of a field grows by so much.
        row_count: the number of rows changes by so much.
        window: how many earlier runs are compared with.
    """

    types: DriftAction = DriftAction.WARN
    columns: DriftAction = DriftAction.WARN
    new_values: DriftAction = DriftAction.WARN
    null_rate: Jump = Jump(warn=0.05)
    row_count: Jump = Jump(warn=0.3)
    window: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The declared age of an event when it is acknowledged, in seconds; 0 means not declared."""

    warn_s: int = 0
    error_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """One entry of `syncs/*.yml`, checked and typed.

    Attributes:
        name: unique in the project; may change.
        uid: the stream's identity over time; names its tables in the warehouse; must not change.
        model: name of the model, or `source.table` of a source, that gives the rows.
        relation: the model as written, e.g. `ref('people')`.
        identifier: the one identifier that is sent.
        key: the model's column that names the row: the identifier of a person, the fact of an event, the secondary of
            a merge.
        fields: attributes or properties, in the order of the file.
        event: name of the event.
        person: for events: the column with the person's identifier; for merges: the column with the primary's.
        person_sync: for events: the sync whose people the events wait for.
        anonymous: for events: the column with an anonymous id (`no_person: anonymous`).
        occurred_at: for events: the column with the time of the fact.
        zone: for events: IANA zone of a naive `occurred_at`.
        event_column: for page and screen views: the column with the name, where it is not always the same.
        object_type: of objects and relationships: the id of the type in Customer.io.
        object_sync: for relationships: the sync whose objects they wait for, if there is one.
        platform: for devices: `ios` or `android`, where it is not a column.
        segment_id: of a manual segment.
        duplicates: for people: declared rules that tell duplicates; None where nothing is declared.
        role: for events: what they are, by the taxonomy or by a common name.
        amount, currency: of purchases and refunds: the properties with the money, which the ledger keeps as sent.
        refund_of: of refunds: the sync of the purchases; `order` is the column with the purchase's key.
        late_property, late_after_s: for `late: flag`: the property, and the age in seconds that counts as late.
        window_s: for events: how far back a run looks, seconds; once a day it looks at all of them. 0: always at all.
        renamed_from: for events: the name that the event had before.
        drift: what is watched from run to run; None where nothing is.
        tests: what failing tests of what it reads do: gate | warn | off; the project's own unless given.
    """

    name: str
    uid: str
    type: SyncType
    model: str
    relation: str
    identifier: IdentifierKind
    key: str
    fields: tuple[Field, ...]
    event: str = ""
    person: str = ""
    person_sync: str = ""
    anonymous: str = ""
    occurred_at: str = ""
    zone: str = ""
    event_column: str = ""
    object_type: str = ""
    object_sync: str = ""
    platform: str = ""
    segment_id: int = 0
    when_missing: WhenMissing = WhenMissing.IGNORE
    no_person: NoPerson = NoPerson.SKIP
    unknown_person: UnknownPerson = UnknownPerson.HOLD
    identity: Identity = Identity()
    initial: Initial = Initial.SEND
    late: Late = Late.HOLD
    late_property: str = ""
    late_after_s: int = 0
    window_s: int = 0
    role: Role | None = None
    amount: str = ""
    currency: str = ""
    refund_of: str = ""
    order: str = ""
    renamed_from: Rename | None = None
    guards: Guards = Guards()
    latency: Latency = Latency()
    duplicates: tuple[DuplicateRule, ...] | None = None
    drift: Drift | None = None
    tests: str = ""
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    enabled: bool = True
    ignore: tuple[Ignore, ...] = field(default=(), compare=False)
    where: Where = field(default=NOWHERE, compare=False)

    @property
    def is_person(self) -> bool:
        """Whether rows become profiles: the people that other syncs wait for."""
        return self.type is SyncType.PERSON

    def duplicate_rules(self) -> tuple[DuplicateRule, ...]:
        """The declared rules, then those that follow from the contract and are not declared in other words."""
        found = list(self.duplicates or ())
        if self.is_person and self.identifier is not IdentifierKind.CIO_ID:
            found.append(DuplicateRule(name=f"{self.identifier} in another form", columns=(self.key,), normalize=Alike.FORM))
        for one in self.fields if self.is_person else ():
            if one.name == "email" or "email" in {one.format, one.normalize}:
                found.append(DuplicateRule(name=f"same {one.name}", columns=(one.column,), normalize=Alike.EMAIL))
            elif one.name == "phone" or one.format == "e164":
                found.append(DuplicateRule(name=f"same {one.name}", columns=(one.column,), normalize=Alike.PHONE))
        by_columns = {rule.columns: rule for rule in reversed(found)}
        return tuple(rule for rule in found if by_columns[rule.columns] is rule)

    def named(self, name: str) -> Field | None:
        """The attribute or property of a name."""
        return next((one for one in self.fields if one.name == name), None)

    @property
    def second(self) -> Field | None:
        """The attribute of a person that Customer.io takes for an identifier as well, where there is one."""
        if not self.is_person or not self.identity.also_identifies:
            return None
        if self.identifier is IdentifierKind.EMAIL:
            return self.named("id")
        email = self.named("email")
        declared = email is not None and (email.format == "email" or self.identity.declared)
        return email if declared else None

    @property
    def sent_fields(self) -> tuple[Field, ...]:
        """The contract's fields, and the one that `late: flag` adds."""
        if not self.late_property:
            return self.fields
        return (*self.fields, Field(name=self.late_property, column="", type=FieldType.BOOLEAN))

    @property
    def keeps_values(self) -> bool:
        """As `SyncType.keeps_values`: a snapshot, else a ledger."""
        return self.type.keeps_values

    @property
    def waits_for_people(self) -> bool:
        """As `SyncType.waits_for_people`."""
        return self.type.waits_for_people

    @property
    def names_people(self) -> bool:
        """As `SyncType.names_people`."""
        return self.type.names_people

    @property
    def belongs_to(self) -> dict[str, str]:
        """To whom its rows belong: names of syncs, by the column of the plan with the owner's key; rows wait for them.

        The name is empty where no sync sends the owners: then nothing is waited for.
        """
        found = {"_person": self.person_sync} if self.waits_for_people else {}
        return found | ({"_object": self.object_sync} if self.type is SyncType.RELATIONSHIP else {})

    @property
    def owners(self) -> tuple[str, ...]:
        """Names of the syncs whose rows it waits for."""
        return tuple(name for name in self.belongs_to.values() if name)

    def contract(self) -> dict[str, Any]:
        """What decides whether a row is accepted and how it is sent, as JSON; what has its default is left out.

        Where it stands in the file and what is said about it are no part of it.
        """
        own: dict[str, Any] = _plain(self, (
            "type", "identifier", "event", "renamed_from", "event_column", "object_type", "platform", "segment_id",
        ))  # fmt: skip
        return {**own, "fields": [_plain(one) for one in self.sent_fields]}

    def contract_digest(self) -> str:
        """Sixteen hex digits over everything that decides whether a row is accepted and how it is sent."""
        return hashlib.sha256(json.dumps(self.contract()).encode()).hexdigest()[:16]


_SAID = frozenset({"where", "description", "ignore"})  # for people


def _plain(value: Any, names: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 any value of a contract
    """A value of a contract as JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {f.name: getattr(value, f.name) for f in fields(value) if f.name not in _SAID}
        default = {f.name: f.default for f in fields(value) if f.default is not MISSING}
        if isinstance(value, Field):
            default["column"] = value.name
        return {name: _plain(one) for name, one in found.items()
                if (not names or name in names) and (name not in default or one != default[name])}  # fmt: skip
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, StrEnum) else value
