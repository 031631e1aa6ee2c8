"""What a workspace holds and how operations change it: the documented semantics of the Track API, over SQLite.

`Store.apply` takes operations that `validate.check` found nothing wrong with; the caller opens one `transaction` per
request. Nothing is refused here: what Customer.io answers with 200 and then does not do becomes an activity
(`failed_attribute_change`, `failed_event`, `skipped_update`: the published types).

Sources of the rules, in the published reference of the Track API: identify ("If the identifier in the path does not
belong to a person but you use an identifier in your request body that does ..."), merge ("If the primary profile
doesn't exist, your request won't do anything"; attributes "not set, or empty, on the primary"; 30 days of events),
events ("If an event repeats a value we've already received, we ignore the duplicate"; names are trimmed), anonymous
events (30 days back, five minutes on). What is not published is a field of `Rules`.

The file is disposable: it is not synced to the disk, and a file of another version is refused, not migrated.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from revetl.sandbox.validate import MAX_ATTRIBUTES, MAX_ID_BYTES, Json, Operation, decode, encode, is_email

VERSION = "2"
FIRST_CIO_ID = 0xA3000001  # the shape of the published example, "a3000001"; a number is never given again
HISTORY_S = 30 * 86_400  # of events that a merge and an anonymous_id bring along
LATE_ANONYMOUS_S = 300
JOURNAL_ROWS = 1000
EVENTS = frozenset({"event", "page", "screen"})
IDENTIFIERS = ("id", "email")
OWN = frozenset({"cio_id", "_created_in_customerio_at"})  # Customer.io's, immutable
PREFERENCES = "cio_subscription_preferences"

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE people (
    cio_id TEXT PRIMARY KEY, id TEXT UNIQUE, email TEXT, email_key TEXT UNIQUE, attributes TEXT NOT NULL,
    times TEXT NOT NULL, made REAL NOT NULL, changed REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX people_changed ON people (changed);
CREATE TABLE events (
    n INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT, cio_id TEXT, anonymous_id TEXT, kind TEXT NOT NULL,
    name TEXT NOT NULL, at REAL NOT NULL, data TEXT NOT NULL
);
CREATE INDEX events_person ON events (cio_id, at);
CREATE INDEX events_name ON events (kind, name);
CREATE INDEX events_anonymous ON events (anonymous_id) WHERE anonymous_id IS NOT NULL;
CREATE INDEX events_at ON events (at);
CREATE TABLE seen (id TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE activities (
    n INTEGER PRIMARY KEY AUTOINCREMENT, cio_id TEXT, type TEXT NOT NULL, name TEXT NOT NULL, at REAL NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX activities_person ON activities (cio_id, at);
CREATE INDEX activities_type ON activities (type);
CREATE INDEX activities_at ON activities (at);
CREATE TABLE anonymous (id TEXT PRIMARY KEY, cio_id TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX anonymous_person ON anonymous (cio_id);
CREATE TABLE suppressed (kind TEXT, value TEXT, together TEXT NOT NULL, PRIMARY KEY (kind, value)) WITHOUT ROWID;
CREATE INDEX suppressed_together ON suppressed (together);
CREATE TABLE devices (
    token TEXT PRIMARY KEY, cio_id TEXT NOT NULL, platform TEXT NOT NULL, last_used INTEGER NOT NULL,
    attributes TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX devices_person ON devices (cio_id);
CREATE TABLE objects (n INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT, id TEXT, attributes TEXT, UNIQUE (type, id));
CREATE TABLE relationships (cio_id TEXT, object INTEGER, attributes TEXT, PRIMARY KEY (cio_id, object)) WITHOUT ROWID;
CREATE INDEX relationships_object ON relationships (object);
CREATE TABLE segments (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, description TEXT NOT NULL);
CREATE TABLE members (segment INTEGER, cio_id TEXT, PRIMARY KEY (segment, cio_id)) WITHOUT ROWID;
CREATE INDEX members_person ON members (cio_id);
CREATE TABLE journal (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, method TEXT, path TEXT, status INTEGER, operations INTEGER,
    bytes INTEGER, note TEXT
);
"""
_CONTENT = (
    "people", "events", "seen", "activities", "anonymous", "suppressed", "devices", "objects", "relationships", "segments",
    "members", "journal",
)  # fmt: skip
_BELONGING = ("events", "activities", "anonymous", "devices", "relationships", "members")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What differs between workspaces, or is not published.

    Attributes:
        null_clears: null or "" removes a person's attribute. Published for objects only; known from practice.
        timestamp_policy: what an identify with an older `timestamp` loses: the attributes set later (`attribute`),
            all of them if any was (`profile`), or nothing (`ignore`).
        create_on_event: an event for an unknown person creates the person.
        change_email_by_id: the workspace setting "Allow updates to email using ID".
        reassign_id: an unknown id with the e-mail of a person who has another id: that person gets the new id, as
            the tip in the reference of PUT /customers says. False: a new person without the e-mail, and a failure.
        dedupe_window_s: how long an event's id is remembered; None is for ever.
        reverse_batches: the operations of one request are applied from the last to the first: no order is promised.
        attributes_of_person: the 300 attributes are counted per person, not per call: what is beyond fails.
        limit_event_values: the 1000 bytes of a person's value hold for an event's, too.
        suppress_keeps: the profile of a suppressed person stays, and is not changed any more.
        devices_merge: add_device keeps the attributes of a known device that it does not name.
        link_creates_object: a relationship with an unknown object makes the object.
        segments_by_id: manual segments take no other `id_type` than `id` (a note at the endpoints says so).
        unknown_segment: the status for a segment that does not exist, or is not manual.
    """

    null_clears: bool = True
    timestamp_policy: str = "attribute"
    create_on_event: bool = True
    change_email_by_id: bool = True
    reassign_id: bool = True
    dedupe_window_s: float | None = None
    reverse_batches: bool = False
    attributes_of_person: bool = False
    limit_event_values: bool = False
    suppress_keeps: bool = False
    devices_merge: bool = False
    link_creates_object: bool = True
    segments_by_id: bool = False
    unknown_segment: int = 400

    def __post_init__(self) -> None:
        """Refuse a policy that does not exist.

        Raises:
            ValueError: it does not.
        """
        if self.timestamp_policy not in {"attribute", "profile", "ignore"}:
            raise ValueError(f"timestamp_policy is attribute, profile or ignore, not {self.timestamp_policy!r}")


@dataclass(slots=True, kw_only=True)
class Person:
    """A profile. `times` holds when each attribute was set, also of removed ones while a change is made."""

    cio_id: str
    id: str | None = None
    email: str | None = None
    attributes: dict[str, Json] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    made: float = 0.0
    devices: list[dict[str, Any]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What people would call this person."""
        return self.id or self.email or f"cio_{self.cio_id}"


def as_text(value: Json) -> str:
    """A value as the App API gives it back: "attributes are all stored as strings"."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return encode(value).decode()


class Store:
    """The database: one connection, one request at a time.

    Args:
        path: of the file, or `:memory:`.
        clock: seconds since 1970; every time that a request does not give.

    Raises:
        ValueError: the file is no sandbox, or one of another version.
    """

    def __init__(self, path: str, *, rules: Rules, clock: Callable[[], float]) -> None:
        self.rules = rules
        self._clock = clock
        self._lock = threading.RLock()
        self._requests = self._operations = 0
        if path != ":memory:":
            Path(path).touch(mode=0o600)  # it holds the keys
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            for pragma in ("journal_mode = WAL", "synchronous = OFF", "cache_size = -65536"):
                self._db.execute(f"PRAGMA {pragma}")
            self._prepare()
        except (sqlite3.DatabaseError, ValueError) as problem:
            self._db.close()
            raise ValueError(f"{path} cannot be used: {problem}; remove it, or give another --db") from problem
        self.meta: dict[str, str] = dict(self.rows("SELECT name, value FROM meta"))

    def _prepare(self) -> None:
        tables = {row[0] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            self._db.executescript(_SCHEMA)
            fresh = {
                "version": VERSION,
                "environment_id": str(100_000 + secrets.randbelow(900_000)),
                "site_id": secrets.token_hex(10),
                "api_key": secrets.token_hex(10),
                "app_api_key": secrets.token_hex(16),
                "next_cio_id": str(FIRST_CIO_ID),
            }
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", fresh.items())
        elif "meta" not in tables or self.rows("SELECT value FROM meta WHERE name = 'version'") != [(VERSION,)]:
            raise ValueError("it is no sandbox of this version")

    def close(self) -> None:
        """Close the database; nothing may follow."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and alone."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, sql: str, *values: Any) -> list[Any]:  # noqa: ANN401 what SQLite takes
        """The rows of a query."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _write(self, sql: str, *values: Any) -> int:  # noqa: ANN401 what SQLite takes
        return self._db.execute(sql, values).rowcount

    def clean(self) -> None:
        """Forget everything but the credentials."""
        with self.transaction():
            for table in _CONTENT:
                self._write(f"DELETE FROM {table}")  # noqa: S608 our own names
            self._requests = self._operations = 0

    def note_request(self, method: str, path: str, status: int, operations: int, size: int, note: str) -> None:  # noqa: PLR0913
        """Add to the journal; writes of the Track API count as requests."""
        with self.transaction():
            if path.startswith("/api/") and method != "GET":
                self._requests += 1
                self._operations += operations
            self._write(
                "INSERT INTO journal (at, method, path, status, operations, bytes, note) VALUES (?, ?, ?, ?, ?, ?, ?)",
                self._clock(), method, path, status, operations, size, note,
            )  # fmt: skip
            self._write("DELETE FROM journal WHERE n <= (SELECT max(n) FROM journal) - ?", JOURNAL_ROWS)

    def summary(self) -> dict[str, Any]:
        """Totals; requests and operations since this server started or was emptied."""
        names: dict[str, dict[str, int]] = {kind: {} for kind in EVENTS}
        for kind, name, count in self.rows("SELECT kind, name, count(*) FROM events GROUP BY kind, name ORDER BY 1, 2"):
            names[kind][name] = count
        tables = ("people", "suppressed", "devices", "objects", "relationships", "members")
        counts = {t: self.rows(f"SELECT count(*) FROM {t}")[0][0] for t in tables}  # noqa: S608 our own names
        return {
            **counts, "events": names["event"], "pages": names["page"], "screens": names["screen"],
            "activities": dict(self.rows("SELECT type, count(*) FROM activities GROUP BY type ORDER BY 1")),
            "requests": self._requests, "operations": self._operations,
        }  # fmt: skip

    def person(self, kind: str, value: str) -> Person | None:
        """The person of an identifier: `id` as it is, `email` in any case, `cio_id` with or without `cio_`."""
        person = self._find(kind, value)
        if person is None:
            return None
        person.times = {k: t for k, t in person.times.items() if k in person.attributes or k in IDENTIFIERS}
        devices = self.rows(
            "SELECT token, platform, last_used, attributes FROM devices WHERE cio_id = ? ORDER BY token", person.cio_id
        )
        person.devices = [{"id": t, "platform": p, "last_used": u, "attributes": decode(a.encode())} for t, p, u, a in devices]
        return person

    def _find(self, kind: str, value: str) -> Person | None:
        columns = {"id": "id", "email": "email_key", "cio_id": "cio_id"}
        if kind not in columns:
            return None
        found = self.rows(
            f"SELECT cio_id, id, email, attributes, times, made FROM people WHERE {columns[kind]} = ?",  # noqa: S608
            _key(kind, value),
        )
        if not found:
            return None
        cio_id, identifier, email, attributes, times, made = found[0]
        return Person(
            cio_id=cio_id, id=identifier, email=email, attributes=decode(attributes.encode()),
            times={k: float(t) for k, t in decode(times.encode()).items()}, made=made,
        )  # fmt: skip

    def apply_all(self, operations: Iterable[Operation]) -> None:
        """Apply the valid operations of one request, within the caller's transaction."""
        for operation in reversed(list(operations)) if self.rules.reverse_batches else operations:
            self.apply(operation)

    # --- operations ----------------------------------------------------------------------------------------------

    def apply(self, operation: Operation) -> None:
        """Apply one valid operation, within the caller's transaction."""
        kind, action = operation["type"], operation["action"]
        if kind == "object":
            self._object(operation)
        elif kind == "segment":  # a call of v1
            self._members(operation)
        elif kind == "person":
            getattr(self, f"_{'event' if action in EVENTS else action}")(operation)
        # a delivery's metric belongs to a message, and none is sent from here

    def _identify(self, op: Operation) -> None:
        given = dict(op.get("attributes") or {})
        update_only, in_body = given.pop("_update", False), given.pop("_timestamp", None)
        at = in_body if op.get("timestamp") is None else op["timestamp"]
        kind, value = _only(op["identifiers"])
        others = {k: str(given[k]) for k in IDENTIFIERS if k != kind and given.get(k) not in (None, "")}
        if any(self._is_suppressed(k, v) for k, v in [(kind, value), *others.items()]):
            self._note("skipped_update", None, value, {"reason": "suppressed"})
            return
        person, by = self._find(kind, value), kind
        unknown = person is None
        for other, its in others.items() if unknown and kind != "cio_id" else ():
            if person is None:
                person, by = self._find(other, its), other
        if person is None and (kind == "cio_id" or update_only):
            why = "no person has this cio_id" if kind == "cio_id" else "_update is set and nobody matches"
            self._note("failed_attribute_change", None, value, {"reason": why})
            return
        changes = {**given}
        if kind != "cio_id" and (unknown or _key(kind, _text(given.get(kind))) in {"", _key(kind, value)}):
            changes = {kind: value, **{k: v for k, v in given.items() if k != kind}}
        created = person is None
        person = person or self._create()
        assigned = kind if unknown and not created else ""
        self._change(person, changes, at, by=by, assigned=assigned, created=created)
        for one in op.get("cio_relationships") or ():
            self._link(person, self._object_number(one["identifiers"], create=True), one.get("relationship_attributes"))

    def _create(self) -> Person:
        [(number,)] = self._db.execute(
            "UPDATE meta SET value = value + 1 WHERE name = 'next_cio_id' RETURNING value - 1"
        ).fetchall()
        person = Person(cio_id=f"{int(number):08x}", made=self._clock())
        self._write(
            "INSERT INTO people (cio_id, attributes, times, made, changed) VALUES (?, '{}', '{}', ?, ?)",
            person.cio_id, person.made, person.made,
        )  # fmt: skip
        return person

    def _change(  # noqa: C901, PLR0913 how the person was found decides what may change
        self, person: Person, changes: Mapping[str, Json], at: int | None, *, by: str, assigned: str = "",
        created: bool = False,
    ) -> None:  # fmt: skip
        """Set each attribute by its rule; log what was done, what failed, and what came too late.

        Args:
            by: the kind of identifier that found the person.
            assigned: the kind that nobody had, where the person was found by another one.
        """
        when = self._clock() if at is None else at
        policy = "ignore" if at is None else self.rules.timestamp_policy
        last_edit = max(person.times.values(), default=0)
        done: dict[str, tuple[str, str]] = {}
        late: dict[str, tuple[str, str]] = {}
        failed: dict[str, tuple[str, str]] = {}
        reasons: dict[str, str] = {}
        for name, value in _whole_preferences(person, changes).items():
            if value is None and not self.rules.null_clears:
                continue
            cleared = value is None or (value == "" and self.rules.null_clears)
            old, new = _text(self._value(person, name)), "" if cleared else as_text(value)
            too_late = when < (last_edit if policy == "profile" else person.times.get(name, 0))
            if policy != "ignore" and too_late:
                if old != new:
                    late[name] = (old, new)
            elif reason := self._refusal(person, name, new, by=by, assigned=assigned) or self._beyond(person, name):
                failed[name], reasons[name] = (old, new), reason
            elif name in OWN or (name in IDENTIFIERS and old and _key(name, old) == _key(name, new)):
                pass
            else:
                self._set(person, name, None if cleared else value, when)
                if old != new or (not cleared and old == "" and value != ""):
                    done[name] = (old, new)
        self._save(person)
        if created:
            self._note("profile_create", person, "", {"attributes": done})
        elif done:
            self._note("attribute_change", person, "", {"attributes": done}, when)
        if failed:
            self._note("failed_attribute_change", person, "", {"attributes": failed, "reason": _joined(reasons)}, when)
        if late:
            self._note("skipped_update", person, "", {"attributes": late, "reason": "older than what is stored"}, when)
        if done.get("anonymous_id", ("", ""))[1]:
            self._recognise(person, done["anonymous_id"][1])

    def _beyond(self, person: Person, name: str) -> str:
        full = self.rules.attributes_of_person and len(person.attributes) >= MAX_ATTRIBUTES
        new = name not in person.attributes and name not in {*IDENTIFIERS, *OWN}
        return f"the person has {MAX_ATTRIBUTES} attributes" if full and new else ""

    @staticmethod
    def _value(person: Person, name: str) -> Json:
        return getattr(person, name) if name in {*IDENTIFIERS, "cio_id"} else person.attributes.get(name)

    @staticmethod
    def _set(person: Person, name: str, value: Json, at: float) -> None:
        person.times[name] = at  # also of a removed one: an older update must not bring it back
        if name in IDENTIFIERS:
            setattr(person, name, None if value is None else _text(value))
        elif value is None:
            person.attributes.pop(name, None)
        else:
            person.attributes[name] = value

    def _refusal(self, person: Person, name: str, text: str, *, by: str, assigned: str) -> str:
        """Why an attribute cannot be set to this text; "" if it can."""
        if name == "anonymous_id" and text:
            owner = self.rows("SELECT cio_id FROM anonymous WHERE id = ?", text)
            return "belongs to another person" if owner and owner[0][0] != person.cio_id else ""
        if name in OWN:
            return "" if name == "cio_id" and _key(name, text) == person.cio_id else "cannot be changed"
        if name not in IDENTIFIERS:
            return ""
        current: str | None = getattr(person, name)
        if not text:
            other = person.email if name == "id" else person.id
            return "" if current is None or (name == "email" and other) else "the identifier cannot be removed"
        if current is not None and _key(name, current) == _key(name, text):
            return ""
        if name == "email" and not is_email(text):
            return "is no valid e-mail address"
        if len(text.encode()) > MAX_ID_BYTES:
            return f"exceeds {MAX_ID_BYTES} bytes"
        owner_now = self._find(name, text)
        if owner_now is not None and owner_now.cio_id != person.cio_id:
            return "belongs to another person"
        allowed = (
            current is None
            or by == "cio_id"
            or (name == "email" and by == "id" and self.rules.change_email_by_id)
            or (name == "id" and assigned == "id" and self.rules.reassign_id)
        )
        return "" if allowed else "an identifier that is set changes by cio_id only"

    def _save(self, person: Person) -> None:
        self._write(
            "UPDATE people SET id = ?, email = ?, email_key = ?, attributes = ?, times = ?, changed = ? WHERE cio_id = ?",
            person.id, person.email, None if person.email is None else person.email.lower(),
            encode(person.attributes).decode(), encode(person.times).decode(), self._clock(), person.cio_id,
        )  # fmt: skip

    # --- events --------------------------------------------------------------------------------------------------

    def _event(self, op: Operation) -> None:
        kind, value = _only(op["identifiers"])
        now, name, data = self._clock(), op["name"].strip(), op.get("attributes") or {}
        anonymous = value if kind == "anonymous_id" else None
        person = self._recognised(value, now) if anonymous else self._find(kind, value)
        if not anonymous and self._is_suppressed(kind, value):
            self._note("failed_event", None, value, {"reason": "suppressed", "event": name})
            return
        refused = ""
        if person is None and not anonymous and (kind == "cio_id" or not self.rules.create_on_event):
            refused = "nobody has this identifier"
        elif op.get("id") and not self._is_first(op["id"].upper(), now):
            refused = "an event with this id was received before"
        if refused:
            self._note("failed_event", person, name if person else value, {"reason": refused, "event": name})
            return
        if person is None and not anonymous:
            person = self._shadow(kind, value)
        self._write(
            "INSERT INTO events (event_id, cio_id, anonymous_id, kind, name, at, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            op.get("id"), person.cio_id if person else None, anonymous, op["action"], name,
            now if op.get("timestamp") is None else op["timestamp"], encode(data).decode(),
        )  # fmt: skip

    def _shadow(self, kind: str, value: str) -> Person:
        """A person of whom only the identifier of an event is known."""
        person = self._create()
        self._change(person, {kind: value}, None, by=kind, created=True)
        return person

    def _is_first(self, event_id: str, now: float) -> bool:
        window = self.rules.dedupe_window_s
        if self._write("INSERT OR IGNORE INTO seen VALUES (?, ?)", event_id, now):
            return True
        oldest = -1.0 if window is None else now - window
        return bool(self._write("UPDATE seen SET at = ? WHERE id = ? AND at < ?", now, event_id, oldest))

    def _recognise(self, person: Person, anonymous_id: str) -> None:
        now = self._clock()
        self._write("INSERT OR REPLACE INTO anonymous VALUES (?, ?, ?)", anonymous_id, person.cio_id, now)
        moved = self._write(
            "UPDATE events SET cio_id = ? WHERE anonymous_id = ? AND cio_id IS NULL AND at >= ?",
            person.cio_id, anonymous_id, now - HISTORY_S,
        )  # fmt: skip
        if moved:
            self._note("anon_merge", person, "", {"anonymous_id": anonymous_id, "events": moved})

    def _recognised(self, anonymous_id: str, now: float) -> Person | None:
        known = self.rows("SELECT cio_id FROM anonymous WHERE id = ? AND since >= ?", anonymous_id, now - LATE_ANONYMOUS_S)
        return self._find("cio_id", known[0][0]) if known else None

    # --- delete, suppress, merge ---------------------------------------------------------------------------------

    def _delete(self, op: Operation) -> None:
        person = self._find(*_only(op["identifiers"]))
        if person is not None:
            self._forget(person)

    def _forget(self, person: Person) -> None:
        """Everything but one line in the log, which names no person that is still there."""
        self._write("DELETE FROM people WHERE cio_id = ?", person.cio_id)
        for table in _BELONGING:
            self._write(f"DELETE FROM {table} WHERE cio_id = ?", person.cio_id)  # noqa: S608 our own names
        self._note("profile_delete", None, person.label, {})

    def _suppress(self, op: Operation) -> None:
        kind, value = _only(op["identifiers"])
        person, blocked = self._find(kind, value), {kind: value}
        if person is not None:
            blocked |= {k: v for k in (*IDENTIFIERS, "cio_id") if (v := getattr(person, k))}
            if not self.rules.suppress_keeps:
                self._forget(person)
        together = secrets.token_hex(8)
        for each, text in blocked.items():
            self._write("INSERT OR IGNORE INTO suppressed VALUES (?, ?, ?)", each, _key(each, text), together)

    def _unsuppress(self, op: Operation) -> None:
        kind, value = _only(op["identifiers"])
        self._write(
            "DELETE FROM suppressed WHERE together IN (SELECT together FROM suppressed WHERE kind = ? AND value = ?)",
            kind, _key(kind, value),
        )  # fmt: skip

    def _is_suppressed(self, kind: str, value: str) -> bool:
        return bool(self.rows("SELECT 1 FROM suppressed WHERE kind = ? AND value = ?", kind, _key(kind, value)))

    def _merge(self, op: Operation) -> None:
        primary, secondary = self._find(*_only(op["primary"])), self._find(*_only(op["secondary"]))
        if primary is None or secondary is None or primary.cio_id == secondary.cio_id:
            missing = "primary" if primary is None else "secondary"
            why = "both are the same person" if primary and secondary else f"nobody is the {missing}"
            self._note("skipped_update", primary, _only(op["secondary"])[1], {"reason": f"merge: {why}"})
            return
        to, away = primary.cio_id, secondary.cio_id
        self._write("UPDATE events SET cio_id = ? WHERE cio_id = ? AND at >= ?", to, away, self._clock() - HISTORY_S)
        for table in ("devices", "anonymous"):
            self._write(f"UPDATE {table} SET cio_id = ? WHERE cio_id = ?", to, away)  # noqa: S608 our own names
        for table in ("relationships", "members"):
            self._write(f"UPDATE OR IGNORE {table} SET cio_id = ? WHERE cio_id = ?", to, away)  # noqa: S608 our own names
        self._write("DELETE FROM people WHERE cio_id = ?", away)
        for table in _BELONGING:
            self._write(f"DELETE FROM {table} WHERE cio_id = ?", away)  # noqa: S608 our own names
        for name in (*IDENTIFIERS, *secondary.attributes):
            value = self._value(secondary, name)
            if value not in (None, "") and self._value(primary, name) in (None, ""):
                self._set(primary, name, value, secondary.times.get(name, secondary.made))
        self._save(primary)
        self._note("profile_merge", primary, "", {"merged": secondary.label})

    # --- devices, objects, relationships -------------------------------------------------------------------------

    def _known(self, op: Operation) -> Person | None:
        """The person of an operation, created as for an event where that is possible."""
        kind, value = _only(op["identifiers"])
        if self._is_suppressed(kind, value):
            self._note("skipped_update", None, value, {"reason": "suppressed"})
            return None
        person = self._find(kind, value)
        if person is None and kind != "cio_id" and self.rules.create_on_event:
            return self._shadow(kind, value)
        if person is None:
            self._note("skipped_update", None, value, {"reason": f"{op['action']}: nobody has this identifier"})
        return person

    def _add_device(self, op: Operation) -> None:
        person, device = self._known(op), op["device"]
        if person is not None:
            held = self.rows("SELECT attributes FROM devices WHERE token = ? AND cio_id = ?", device["token"], person.cio_id)
            before = decode(held[0][0].encode()) if held and self.rules.devices_merge else {}
            self._write(
                "INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?)", device["token"], person.cio_id,
                device["platform"], device.get("last_used") or int(self._clock()),
                encode({**before, **(device.get("attributes") or {})}).decode(),
            )  # fmt: skip
            self._note("device_change", person, "", {"added": device["token"], "platform": device["platform"]})

    def _delete_device(self, op: Operation) -> None:
        person, token = self._find(*_only(op["identifiers"])), op["device"]["token"]
        if person and self._write("DELETE FROM devices WHERE cio_id = ? AND token = ?", person.cio_id, token):
            self._note("device_change", person, "", {"removed": token})

    def _add_relationships(self, op: Operation) -> None:
        person = self._known(op)
        for one in op["cio_relationships"] if person else ():
            number = self._object_number(one["identifiers"], create=self.rules.link_creates_object)
            self._link(person, number, one.get("relationship_attributes"))

    def _delete_relationships(self, op: Operation) -> None:
        person = self._find(*_only(op["identifiers"]))
        for one in op["cio_relationships"] if person else ():
            self._unlink(person, self._object_number(one["identifiers"], create=False))

    def _link(self, person: Person | None, number: int | None, given: Mapping[str, Json] | None) -> None:
        if person is None or number is None:
            return
        held = self.rows("SELECT attributes FROM relationships WHERE cio_id = ? AND object = ?", person.cio_id, number)
        merged = _without_empty(decode((held[0][0] if held else "{}").encode()), given or {})
        self._write("INSERT OR REPLACE INTO relationships VALUES (?, ?, ?)", person.cio_id, number, merged)
        if not held:
            self._note("add_relationship", person, "", {"cio_object_id": f"ob{number}"})

    def _unlink(self, person: Person | None, number: int | None) -> None:
        if person and self._write("DELETE FROM relationships WHERE cio_id = ? AND object = ?", person.cio_id, number):
            self._note("delete_relationship", person, "", {"cio_object_id": f"ob{number}"})

    def _object_number(self, identifiers: Mapping[str, Json], *, create: bool) -> int | None:
        if "cio_object_id" in identifiers:
            number = str(identifiers["cio_object_id"]).removeprefix("ob")
            found = self.rows("SELECT n FROM objects WHERE n = ?", number)
            return int(found[0][0]) if found else None
        key = (str(identifiers["object_type_id"]), str(identifiers["object_id"]))
        if create:
            self._write("INSERT OR IGNORE INTO objects (type, id, attributes) VALUES (?, ?, '{}')", *key)
        found = self.rows("SELECT n FROM objects WHERE type = ? AND id = ?", *key)
        return int(found[0][0]) if found else None

    def _object(self, op: Operation) -> None:
        """All operations on objects; a relationship with an anonymous person is accepted and not kept."""
        action = op["action"]
        number = self._object_number(op["identifiers"], create=action != "delete")
        if number is None:
            return
        if action == "delete":
            self._write("DELETE FROM relationships WHERE object = ?", number)
            self._write("DELETE FROM objects WHERE n = ?", number)
            return
        if op.get("attributes"):
            [(held,)] = self.rows("SELECT attributes FROM objects WHERE n = ?", number)
            self._write(
                "UPDATE objects SET attributes = ? WHERE n = ?",
                _without_empty(decode(held.encode()), op["attributes"]), number,
            )  # fmt: skip
        for one in (op.get("cio_relationships") or ()) if action != "identify_anonymous" else ():
            person = self._find(*_only(one["identifiers"]))
            if action == "delete_relationships":
                self._unlink(person, number)
            else:
                self._link(person, number, one.get("relationship_attributes"))

    def object(self, kind: str, identifier: str) -> dict[str, Any] | None:
        """An object of a type: its attributes, and the people who are related to it with theirs."""
        found = self.rows("SELECT n, attributes FROM objects WHERE type = ? AND id = ?", kind, identifier)
        if not found:
            return None
        number, attributes = found[0]
        rows = self.rows(
            "SELECT p.cio_id, p.id, p.email, r.attributes FROM relationships r JOIN people p ON p.cio_id = r.cio_id"
            " WHERE r.object = ? ORDER BY p.cio_id", number,
        )  # fmt: skip
        people = [{"cio_id": c, "id": i, "email": e, "attributes": decode(a.encode())} for c, i, e, a in rows]
        return {"cio_object_id": f"ob{number}", "attributes": decode(attributes.encode()), "people": people}

    def related(self, person: Person) -> list[dict[str, Any]]:
        """The objects of a person, with the attributes of each relationship."""
        rows = self.rows(
            "SELECT o.type, o.id, o.n, r.attributes FROM relationships r JOIN objects o ON o.n = r.object"
            " WHERE r.cio_id = ? ORDER BY o.n", person.cio_id,
        )  # fmt: skip
        return [{"object_type_id": t, "object_id": i, "cio_object_id": f"ob{n}", "attributes": decode(a.encode())}
                for t, i, n, a in rows]  # fmt: skip

    # --- manual segments -----------------------------------------------------------------------------------------

    def make_segment(self, name: str, description: str) -> dict[str, Any]:
        """A new manual segment, empty."""
        self._write("INSERT INTO segments (name, description) VALUES (?, ?)", name, description)
        return self.segments()[-1]

    def segments(self, cio_id: str = "") -> list[dict[str, Any]]:
        """All manual segments, or those of one person."""
        rows = self.rows(
            "SELECT id, name, description FROM segments WHERE ? = '' OR id IN"
            " (SELECT segment FROM members WHERE cio_id = ?) ORDER BY id", cio_id, cio_id,
        )  # fmt: skip
        return [{"id": i, "name": n, "description": d, "state": "finished", "progress": None, "type": "manual", "tags": None}
                for i, n, d in rows]  # fmt: skip

    def members(self, segment: int) -> list[Person]:
        """The people of a manual segment."""
        rows = self.rows("SELECT cio_id FROM members WHERE segment = ? ORDER BY cio_id", segment)
        return [person for (cio_id,) in rows if (person := self._find("cio_id", cio_id)) is not None]

    def _members(self, op: Operation) -> None:
        """Add people to a manual segment, or remove them; values of nobody are ignored."""
        for value in op["ids"]:
            person = self._find(op["kind"], value)
            if person is not None and op["action"] == "add":
                self._write("INSERT OR IGNORE INTO members VALUES (?, ?)", op["segment"], person.cio_id)
            elif person is not None:
                self._write("DELETE FROM members WHERE segment = ? AND cio_id = ?", op["segment"], person.cio_id)

    def _note(
        self, kind: str, person: Person | None, name: str, data: Mapping[str, Any], at: float | None = None
    ) -> None:
        """Add to the activity log; `name` is the identifier where there is no person."""
        self._write(
            "INSERT INTO activities (cio_id, type, name, at, data) VALUES (?, ?, ?, ?, ?)",
            person.cio_id if person else None, kind, name, self._clock() if at is None else at, encode(data).decode(),
        )  # fmt: skip


def _only(identifiers: Mapping[str, Json]) -> tuple[str, str]:
    [(kind, value)] = identifiers.items()
    return kind, str(value)


def _text(value: Json) -> str:
    return "" if value is None else as_text(value)


def _key(kind: str, value: str) -> str:
    """An identifier in the form in which it is compared."""
    if kind == "cio_id":
        return value.removeprefix("cio_")
    return value.lower() if kind == "email" else value


def _joined(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {reason}" for name, reason in reasons.items())


def _whole_preferences(person: Person, changes: Mapping[str, Json]) -> dict[str, Json]:
    """Changes with `cio_subscription_preferences.topics.topic_N` put into the whole, which other topics keep."""
    prefix = f"{PREFERENCES}.topics."
    topics = {name.removeprefix(prefix): value for name, value in changes.items() if name.startswith(prefix)}
    if not topics:
        return dict(changes)
    held = person.attributes.get(PREFERENCES)
    whole = dict(held) if isinstance(held, dict) else {}
    whole["topics"] = {**(whole.get("topics") or {}), **topics}
    return {**{k: v for k, v in changes.items() if not k.startswith(prefix)}, PREFERENCES: whole}


def _without_empty(held: Mapping[str, Json], given: Iterable[Any] | Mapping[str, Json]) -> str:
    """Attributes of an object or relationship after an update; null and "" remove (published for these)."""
    return encode({k: v for k, v in {**held, **dict(given)}.items() if v is not None and v != ""}).decode()
