"""What a Customer.io workspace holds and how operations change it, over SQLite.

Semantics as documented (Track API reference; "How to identify people"; "Resolve duplicate people"; "Anonymous
events"; "Deleting users"); where the documentation leaves a question open, `Rules` has a switch, so that users can
rehearse both readings. What Customer.io answers with 200 and then drops becomes an activity here, too.

All methods are serialised by one lock; each request is one transaction.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from revetl.sandbox.validate import decode, encode

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS people (
  cio_id TEXT PRIMARY KEY, id TEXT UNIQUE, email TEXT, folded TEXT UNIQUE, attributes TEXT NOT NULL,
  times TEXT NOT NULL, devices TEXT NOT NULL DEFAULT '[]', relationships TEXT NOT NULL DEFAULT '[]',
  made REAL NOT NULL, changed REAL NOT NULL);
CREATE TABLE IF NOT EXISTS aliases (anonymous_id TEXT PRIMARY KEY, cio_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
  n INTEGER PRIMARY KEY, event_id TEXT UNIQUE, cio_id TEXT, anonymous_id TEXT, kind TEXT, name TEXT,
  at REAL, received REAL, data TEXT);
CREATE INDEX IF NOT EXISTS events_of ON events (cio_id);
CREATE INDEX IF NOT EXISTS events_anonymous ON events (anonymous_id) WHERE anonymous_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS activities (
  n INTEGER PRIMARY KEY, type TEXT, cio_id TEXT, name TEXT, data TEXT, at REAL);
CREATE INDEX IF NOT EXISTS activities_of ON activities (cio_id);
CREATE TABLE IF NOT EXISTS suppressed (kind TEXT, value TEXT, PRIMARY KEY (kind, value));
CREATE TABLE IF NOT EXISTS objects (type_id TEXT, object_id TEXT, attributes TEXT, PRIMARY KEY (type_id, object_id));
CREATE TABLE IF NOT EXISTS journal (
  n INTEGER PRIMARY KEY, at REAL, method TEXT, path TEXT, status INTEGER, operations INTEGER, bytes INTEGER, note TEXT);
"""
JOURNAL_ROWS = 1_000
ANONYMOUS_DAYS = 30
BODY_KEYS = frozenset({"_update", "cio_relationships"})
TABLES = ("people", "aliases", "events", "activities", "suppressed", "objects", "journal")
COLUMNS = {"id": "id", "email": "folded", "cio_id": "cio_id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Open questions of the API as switches.

    Attributes:
        null_clears: whether null or an empty text removes an attribute of a person (documented for objects only).
        timestamp_policy: what an identify with an older `timestamp` than the last edit changes: `attribute` (each
            attribute keeps its newest), `profile` (nothing is changed), `ignore` (everything is changed).
        create_on_event: whether an event for an unknown person makes a profile.
        change_email_by_id: whether a person found by id takes another e-mail (a workspace setting).
        dedupe_window_s: for how long an event's id is remembered; None is for ever.
    """

    null_clears: bool = True
    timestamp_policy: str = "attribute"
    create_on_event: bool = True
    change_email_by_id: bool = True
    dedupe_window_s: float | None = None


@dataclass(slots=True)
class Person:
    """A profile while an operation works on it."""

    cio_id: str
    id: str | None
    email: str | None
    attributes: dict[str, Any]
    times: dict[str, float]
    devices: list[Any]
    relationships: list[Any]
    made: float


def as_text(value: Any) -> str:  # noqa: ANN401 JSON
    """A value as the App API reads it back: always a string."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value) if isinstance(value, int) else encode(value).decode()


class Store:
    """One workspace.

    Args:
        path: of the SQLite file, or `:memory:`.
        clock: seconds since 1970.
    """

    def __init__(self, path: str, *, rules: Rules, clock: Callable[[], float]) -> None:
        self.rules = rules
        self.clock = clock
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # the file is disposable, so it is not synced to the disk at each request
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY;" + SCHEMA)
        self.requests = 0
        self.operations = 0
        with self.transaction():
            for key, made in (
                ("site_id", "site_" + secrets.token_hex(8)),
                ("api_key", "key_" + secrets.token_hex(12)),
                ("app_api_key", "app_" + secrets.token_hex(12)),
                ("environment_id", str(100_000 + secrets.randbelow(900_000))),
            ):
                self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, made))
        self.meta: dict[str, str] = dict(self._db.execute("SELECT key, value FROM meta"))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Serialise, and commit all or nothing."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def clean(self) -> None:
        """Forget everything but the credentials."""
        with self.transaction():
            for table in TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 names of our own
        self.requests = self.operations = 0

    # --- operations ----------------------------------------------------------------------------------------------

    def apply(self, operation: Mapping[str, Any]) -> None:
        """One valid operation of the Track API v2, inside a `transaction()`."""
        self.operations += 1
        if operation["type"] == "object":
            self._object(operation)
            return
        if operation["type"] != "person":
            return
        action = operation["action"]
        if action == "merge":
            self._merge(_one(operation["primary"]), _one(operation["secondary"]))
            return
        kind, value = _one(operation["identifiers"])
        if action != "unsuppress" and self._is_suppressed(kind, value):
            self._activity("suppressed_call", None, action, {"identifier": kind})
            return
        actions: dict[str, Callable[[str, str, Mapping[str, Any]], None]] = {
            "identify": self._identify, "delete": self._delete, "event": self._event, "screen": self._event,
            "page": self._event, "suppress": self._suppress, "unsuppress": self._unsuppress,
            "add_device": self._add_device, "delete_device": self._delete_device,
            "add_relationships": self._add_relationships, "delete_relationships": self._delete_relationships,
        }  # fmt: skip
        actions[action](kind, value, operation)

    def _identify(self, kind: str, value: str, operation: Mapping[str, Any]) -> None:
        now = self.clock()
        given = dict(operation.get("attributes") or {})
        update_only = bool(given.pop("_update", False))
        relations = operation.get("cio_relationships") or given.pop("cio_relationships", None) or []
        person = self._find(kind, value)
        made = False
        if person is None:
            # an unknown identifier with a known one beside it belongs to the person who is known
            others = ((k, str(given[k])) for k in ("id", "email") if k != kind and given.get(k))
            person = next((p for k, v in others if (p := self._find(k, v)) is not None), None)
            if person is None:
                if update_only or kind == "cio_id":
                    self._activity("skipped_update", None, "identify", {"reason": "nobody matches"})
                    return
                person, made = self._new(now), True
            if kind in {"id", "email"}:
                self._set_identifier(person, kind, value, now)
        for name in ("id", "email"):
            wanted = given.pop(name, None)
            if wanted and name != kind:
                self._set_identifier(person, name, str(wanted), now)
            elif wanted and _fold(name, str(wanted)) != _fold(name, value):
                self._failed(person, name, "an identifier is changed through cio_id only")
        if anonymous := given.get("anonymous_id"):
            self._attach(person, str(anonymous), now)
        changed = self._set_attributes(person, given, operation.get("timestamp"), now)
        if relations:
            person.relationships = _joined(person.relationships, relations)
        self._save(person, now)
        if made:
            self._activity("profile_create", person.cio_id, "", {"attributes": sorted(given)})
        elif changed:
            self._activity("attribute_change", person.cio_id, "", {"attributes": changed})

    def _set_attributes(
        self, person: Person, given: Mapping[str, Any], stamp: int | None, now: float
    ) -> dict[str, list[str]]:
        """Apply attributes by the timestamp policy; name -> [old, new] of those that changed."""
        at = float(stamp) if stamp is not None else now
        policy = self.rules.timestamp_policy
        if policy == "profile" and stamp is not None and at < max(person.times.values(), default=0.0):
            self._activity("skipped_update", person.cio_id, "identify", {"reason": "older than the last edit"})
            return {}
        changed: dict[str, list[str]] = {}
        for name, value in given.items():
            if name in BODY_KEYS:
                continue
            if policy == "attribute" and stamp is not None and at < person.times.get(name, 0.0):
                self._activity("skipped_update", person.cio_id, name, {"reason": "older than the last edit"})
                continue
            old = person.attributes.get(name)
            if (value is None or value == "") and self.rules.null_clears:
                person.attributes.pop(name, None)
            elif value is not None:
                person.attributes[name] = value
            person.times[name] = at
            new = person.attributes.get(name)
            if old != new:
                changed[name] = ["" if old is None else as_text(old), "" if new is None else as_text(new)]
        return changed

    def _set_identifier(self, person: Person, name: str, value: str, now: float) -> None:
        has = getattr(person, name)
        if has is not None and _fold(name, has) == _fold(name, value):
            return
        other = self._find(name, value)
        if other is not None and other.cio_id != person.cio_id:
            self._failed(person, name, "the value belongs to another person")
        elif has is not None and not (name == "email" and self.rules.change_email_by_id):
            self._failed(person, name, "an identifier is changed through cio_id only")
        else:
            setattr(person, name, value)
            person.times[name] = now

    def _failed(self, person: Person, name: str, why: str) -> None:
        self._activity("failed_attribute_change", person.cio_id, name, {"reason": why})

    def _attach(self, person: Person, anonymous_id: str, now: float) -> None:
        """Earlier anonymous events become the person's own, if they are not older than 30 days."""
        self._db.execute("INSERT OR IGNORE INTO aliases VALUES (?, ?)", (anonymous_id, person.cio_id))
        moved = self._db.execute(
            "UPDATE events SET cio_id = ? WHERE anonymous_id = ? AND cio_id IS NULL AND at >= ?",
            (person.cio_id, anonymous_id, now - ANONYMOUS_DAYS * 86_400),
        ).rowcount
        if moved:
            self._activity("anon_merge", person.cio_id, "", {"events": moved})

    def _event(self, kind: str, value: str, operation: Mapping[str, Any]) -> None:
        now = self.clock()
        event_id = operation.get("id")
        if event_id is not None and self._seen(event_id, now):
            return
        cio_id = anonymous = None
        if kind == "anonymous_id":
            anonymous = value
            found = self._db.execute("SELECT cio_id FROM aliases WHERE anonymous_id = ?", (value,)).fetchone()
            cio_id = found[0] if found else None
        else:
            cio_id = self._cio_id(kind, value)
            if cio_id is None:
                if not self.rules.create_on_event or kind == "cio_id":
                    self._activity("failed_event", None, operation["name"], {"reason": "nobody matches"})
                    return
                person = self._new(now)
                self._set_identifier(person, kind, value, now)
                self._save(person, now)
                self._activity("profile_create", person.cio_id, "", {"reason": "an event for an unknown person"})
                cio_id = person.cio_id
        at = operation.get("timestamp")
        self._db.execute(
            "INSERT INTO events (event_id, cio_id, anonymous_id, kind, name, at, received, data) VALUES (?,?,?,?,?,?,?,?)",
            (event_id, cio_id, anonymous, operation["action"], operation["name"].strip(),
             now if at is None else at, now, encode(operation.get("attributes") or {}).decode()),
        )  # fmt: skip

    def _seen(self, event_id: str, now: float) -> bool:
        seen = self._db.execute("SELECT received FROM events WHERE event_id = ?", (event_id,)).fetchone()
        window = self.rules.dedupe_window_s
        if seen is None or (window is not None and now - seen[0] > window):
            self._db.execute("UPDATE events SET event_id = NULL WHERE event_id = ?", (event_id,))
            return False
        return True

    def _delete(self, kind: str, value: str, _: Mapping[str, Any]) -> None:
        cio_id = self._cio_id(kind, value)
        if cio_id is None:
            return  # deleting an unknown person is not an error
        for table in ("people", "events", "aliases", "activities"):
            self._db.execute(f"DELETE FROM {table} WHERE cio_id = ?", (cio_id,))  # noqa: S608 names of our own
        self._activity("profile_delete", None, "", {})

    def _suppress(self, kind: str, value: str, operation: Mapping[str, Any]) -> None:
        person = self._find(kind, value)
        names = [(kind, value)]
        if person is not None:
            names += [(n, v) for n, v in (("id", person.id), ("email", person.email)) if v]
        self._delete(kind, value, operation)
        for name, text in names:
            self._db.execute("INSERT OR IGNORE INTO suppressed VALUES (?, ?)", (name, _fold(name, text)))

    def _unsuppress(self, kind: str, value: str, _: Mapping[str, Any]) -> None:
        self._db.execute("DELETE FROM suppressed WHERE kind = ? AND value = ?", (kind, _fold(kind, value)))

    def _merge(self, primary: tuple[str, str], secondary: tuple[str, str]) -> None:
        """The primary keeps its values and gains what it lacks; the secondary is deleted. No primary: nothing."""
        first, second = self._find(*primary), self._find(*secondary)
        if first is None or second is None or first.cio_id == second.cio_id:
            return
        for name, value in second.attributes.items():
            if first.attributes.get(name) in (None, ""):
                first.attributes[name] = value
                first.times[name] = second.times.get(name, self.clock())
        self._db.execute("UPDATE events SET cio_id = ? WHERE cio_id = ?", (first.cio_id, second.cio_id))
        self._db.execute("UPDATE aliases SET cio_id = ? WHERE cio_id = ?", (first.cio_id, second.cio_id))
        self._db.execute("DELETE FROM people WHERE cio_id = ?", (second.cio_id,))
        self._save(first, self.clock())
        self._activity("profile_merge", first.cio_id, "", {})

    def _add_device(self, kind: str, value: str, operation: Mapping[str, Any]) -> None:
        self._edit(kind, value, lambda p: setattr(p, "devices", _joined(p.devices, [operation["device"]], key="token")))

    def _delete_device(self, kind: str, value: str, operation: Mapping[str, Any]) -> None:
        token = operation["device"]["token"]
        self._edit(kind, value, lambda p: setattr(p, "devices", [d for d in p.devices if d.get("token") != token]))

    def _add_relationships(self, kind: str, value: str, operation: Mapping[str, Any]) -> None:
        new = operation["cio_relationships"]
        self._edit(kind, value, lambda p: setattr(p, "relationships", _joined(p.relationships, new)))

    def _delete_relationships(self, kind: str, value: str, operation: Mapping[str, Any]) -> None:
        gone = [r.get("identifiers") for r in operation["cio_relationships"]]
        self._edit(
            kind, value,
            lambda p: setattr(p, "relationships", [r for r in p.relationships if r.get("identifiers") not in gone]),
        )  # fmt: skip

    def _edit(self, kind: str, value: str, change: Callable[[Person], None]) -> None:
        person = self._find(kind, value)
        if person is not None:
            change(person)
            self._save(person, self.clock())

    def _object(self, operation: Mapping[str, Any]) -> None:
        given = operation["identifiers"]
        key = (str(given.get("object_type_id", "")), str(given.get("object_id", given.get("cio_object_id"))))
        if operation["action"] == "delete":
            self._db.execute("DELETE FROM objects WHERE type_id = ? AND object_id = ?", key)
        elif operation["action"] in {"identify", "identify_anonymous"}:
            row = self._db.execute("SELECT attributes FROM objects WHERE type_id = ? AND object_id = ?", key).fetchone()
            merged = {**(decode(row[0].encode()) if row else {}), **(operation.get("attributes") or {})}
            kept = {k: v for k, v in merged.items() if v is not None and v != ""}
            self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", (*key, encode(kept).decode()))

    # --- people --------------------------------------------------------------------------------------------------

    def _new(self, now: float) -> Person:
        return Person(cio_id=secrets.token_hex(8), id=None, email=None, attributes={}, times={}, devices=[],
                      relationships=[], made=now)  # fmt: skip

    def _cio_id(self, kind: str, value: str) -> str | None:
        column = COLUMNS.get(kind)
        if column is None:
            return None
        row = self._db.execute(f"SELECT cio_id FROM people WHERE {column} = ?", (_fold(kind, value),)).fetchone()  # noqa: S608
        return str(row[0]) if row else None

    def _find(self, kind: str, value: str) -> Person | None:
        column = COLUMNS.get(kind)
        if column is None:
            return None
        row = self._db.execute(
            f"SELECT cio_id, id, email, attributes, times, devices, relationships, made FROM people WHERE {column} = ?",  # noqa: S608
            (_fold(kind, value),),
        ).fetchone()
        if row is None:
            return None
        return Person(cio_id=row[0], id=row[1], email=row[2], attributes=decode(row[3].encode()), times=json.loads(row[4]),
                      devices=json.loads(row[5]), relationships=json.loads(row[6]), made=row[7])  # fmt: skip

    def _save(self, person: Person, now: float) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO people VALUES (?,?,?,?,?,?,?,?,?,?)",
            (person.cio_id, person.id, person.email, _fold("email", person.email) if person.email else None,
             encode(person.attributes).decode(), json.dumps(person.times), encode(person.devices).decode(),
             encode(person.relationships).decode(), person.made, now),
        )  # fmt: skip

    def _is_suppressed(self, kind: str, value: str) -> bool:
        query = "SELECT 1 FROM suppressed WHERE kind = ? AND value = ?"
        return self._db.execute(query, (kind, _fold(kind, value))).fetchone() is not None

    def _activity(self, kind: str, cio_id: str | None, name: str, data: Any) -> None:  # noqa: ANN401 JSON
        self._db.execute(
            "INSERT INTO activities (type, cio_id, name, data, at) VALUES (?,?,?,?,?)",
            (kind, cio_id, name, encode(data).decode(), self.clock()),
        )

    # --- reading -------------------------------------------------------------------------------------------------

    def note_request(self, method: str, path: str, status: int, operations: int, size: int, note: str) -> None:
        """Keep the last requests for the page and for tests."""
        with self._lock:
            self.requests += 1
            self._db.execute(
                "INSERT INTO journal (at, method, path, status, operations, bytes, note) VALUES (?,?,?,?,?,?,?)",
                (self.clock(), method, path, status, operations, size, note),
            )
            if self.requests % JOURNAL_ROWS == 0:
                self._db.execute("DELETE FROM journal WHERE n <= (SELECT max(n) FROM journal) - ?", (JOURNAL_ROWS,))

    def summary(self) -> dict[str, Any]:
        """Totals of the workspace."""
        with self._lock:
            one = self._db.execute
            return {
                "people": one("SELECT count(*) FROM people").fetchone()[0],
                "events": dict(one("SELECT name, count(*) FROM events GROUP BY name ORDER BY name")),
                "anonymous_events": one("SELECT count(*) FROM events WHERE cio_id IS NULL").fetchone()[0],
                "activities": dict(one("SELECT type, count(*) FROM activities GROUP BY type ORDER BY type")),
                "suppressed": one("SELECT count(*) FROM suppressed").fetchone()[0],
                "objects": one("SELECT count(*) FROM objects").fetchone()[0],
                "requests": self.requests,
                "operations": self.operations,
            }

    def rows(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 SQL values
        """Read with one of the server's own queries."""
        with self._lock:
            return self._db.execute(sql, arguments).fetchall()

    def person(self, kind: str, value: str) -> Person | None:
        """A profile by one identifier."""
        with self._lock:
            return self._find(kind, value)


def _one(identifiers: Mapping[str, Any]) -> tuple[str, str]:
    [(kind, value)] = identifiers.items()
    return kind, str(value)


def _fold(kind: str, value: str) -> str:
    """E-mails compare without case, ids with it."""
    return value.lower() if kind == "email" else value


def _joined(have: list[Any], new: list[Any], key: str = "identifiers") -> list[Any]:
    names = [item.get(key) for item in new]
    return [item for item in have if item.get(key) not in names] + list(new)
