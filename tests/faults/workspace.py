"""Customer.io's contract in a hundred lines, for the fault server: what a batch does, and a list of all that it did.

It shares nothing with revetl or with its sandbox. Facts are those of reliability.md, 1.1: people whose attributes keep
the newest timestamp, events counted once for each id, a 207 that names each refused row, limits of size, suppression.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BODY_BYTES, MAX_OPERATION_BYTES = 500_000, 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something that changed.

    Attributes:
        what: `set`, `delete`, `suppress` or `event`.
        who: the person.
        values: the attributes that were set, or the event's.
        event_id: of an event.
        request: the number of the request that did it.
        at: when, by the server's clock.
    """

    what: str
    who: str
    values: Mapping[str, Any]
    event_id: str
    request: int
    at: float


@dataclass(kw_only=True)
class Workspace:
    """One workspace in memory.

    Attributes:
        honours_timestamps: an older `timestamp` loses against the attribute's own.
        max_body, oversize_status: a request of that many bytes is refused as a whole.
        refuses: operations that it takes for invalid.
        suppressed: people of whom everything is accepted and nothing is done.
        key_is_good: whether it takes the credentials.
        people: their attributes.
        effects: everything that changed, in that order.
        taken: every operation that came, with its request's number, also an event's repetition.
    """

    environment_id: int = 77
    region: str = "us"
    honours_timestamps: bool = True
    max_body: int = MAX_BODY_BYTES
    oversize_status: int = 413
    refuses: Callable[[Mapping[str, Any]], bool] = lambda _: False
    key_is_good: bool = True
    clock: Callable[[], float] = time.monotonic
    suppressed: set[str] = field(default_factory=set)
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    taken: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[tuple[str, str], float] = {}
        self._seen: set[str] = set()

    def where(self) -> bytes:
        """Its answer to the question for its region."""
        found = {"url": "https://track.customer.io", "region": self.region, "environment_id": self.environment_id}
        return json.dumps(found).encode()

    def take(self, body: bytes, request: int = 0) -> tuple[int, bytes]:
        """Do what a batch says; status and body of the answer. Invalid rows are named, all others are applied."""
        with self._lock:
            if not self.key_is_good:
                return 401, b'{"meta":{"error":"Unauthorized"}}'
            if len(body) >= self.max_body:
                return self.oversize_status, b'{"errors":[{"reason":"invalid","field":"batch","message":"too large"}]}'
            errors = []
            for index, operation in enumerate(json.loads(body)["batch"]):
                size = len(json.dumps(operation, ensure_ascii=False, separators=(",", ":")).encode())
                if size > MAX_OPERATION_BYTES or self.refuses(operation):
                    errors.append({"batch_index": index, "reason": "invalid", "field": "attributes", "message": "is required"})
                else:
                    self._apply(operation, request)
            return (207, json.dumps({"errors": errors}).encode()) if errors else (200, b"{}")

    def _apply(self, operation: Mapping[str, Any], request: int) -> None:
        self.taken.append((request, operation))
        who, what = key_of(operation), operation["action"]
        values: dict[str, Any] = dict(operation.get("attributes") or {})
        event_id = str(operation.get("id", ""))
        if who in self.suppressed:
            return
        if what == "event":
            if event_id in self._seen:
                return
            self._seen.add(event_id)
            self.people.setdefault(who, {})
        elif what == "identify":
            what, values = "set", self._newer(who, values, operation.get("timestamp"))
            self.people.setdefault(who, {}).update(values)
        else:  # delete, suppress
            self.people.pop(who, None)
            if what == "suppress":
                self.suppressed.add(who)
        self.effects.append(Effect(what=what, who=who, values=values, event_id=event_id, request=request, at=self.clock()))

    def _newer(self, who: str, values: Mapping[str, Any], stamp: float | None) -> dict[str, Any]:
        if stamp is None or not self.honours_timestamps:
            return dict(values)
        kept = {name: value for name, value in values.items() if stamp >= self._times.get((who, name), float("-inf"))}
        self._times.update({(who, name): stamp for name in kept})
        return kept

    # --- questions -----------------------------------------------------------------------------------------------

    def events(self) -> Counter[str]:
        """Effects for each event id."""
        with self._lock:
            return Counter(e.event_id for e in self.effects if e.what == "event")

    def history(self, who: str, name: str) -> list[Any]:
        """Every value that an attribute of a person had, in that order."""
        with self._lock:
            return [e.values[name] for e in self.effects if e.what == "set" and e.who == who and name in e.values]

    def rows(self, since: int = 0) -> Counter[str]:
        """How often each row came in requests with a number of at least `since`: by event id, else by person."""
        with self._lock:
            return Counter(row_of(operation) for request, operation in self.taken if request >= since)


def key_of(operation: Mapping[str, Any]) -> str:
    """The person of an operation."""
    return str(next(iter(operation["identifiers"].values())))


def row_of(operation: Mapping[str, Any]) -> str:
    """What the row of an operation is: the event by its id, else the person."""
    return str(operation.get("id") or key_of(operation))
