"""A plain client: http.client over a real socket, which shows exactly what the sandbox answers."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from revetl.sandbox import Sandbox


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now


@dataclass
class Client:
    """Calls of one sandbox, each over a new connection."""

    box: Sandbox
    clock: Clock = field(default_factory=Clock)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; `body` is JSON unless it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.box.port, timeout=5)
        try:
            payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, payload, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    @property
    def basic(self) -> str:
        """The Authorization header of the Track API."""
        return "Basic " + b64encode(f"{self.box.site_id}:{self.box.api_key}".encode()).decode()

    def track(self, method: str, path: str, body: Any = None) -> Answer:
        """A call of the Track API."""
        return self.call(method, path, body, Authorization=self.basic)

    def app(self, path: str, body: Any = None) -> Answer:
        """A call of the App API, or of `/sandbox`."""
        return self.call("GET" if body is None else "POST", path, body, Authorization=f"Bearer {self.box.app_api_key}")

    def batch(self, *operations: Any) -> Answer:
        """A v2 batch."""
        return self.track("POST", "/api/v2/batch", {"batch": list(operations)})

    def did(self, *operations: Any) -> None:
        """A v2 batch that is accepted whole."""
        answer = self.batch(*operations)
        assert (answer.status, answer.json) == (200, {})

    def profile(self, value: str, kind: str = "id") -> dict[str, Any] | None:
        """A person as the App API shows one; None if there is none."""
        answer = self.app(f"/v1/customers/{value}/attributes?id_type={kind}")
        return None if answer.status == 404 else answer.json["customer"]

    def attributes(self, value: str, kind: str = "id") -> dict[str, str] | None:
        """A person's attributes without those that Customer.io sets."""
        person = self.profile(value, kind)
        own = {"cio_id", "_created_in_customerio_at"}
        return None if person is None else {k: v for k, v in person["attributes"].items() if k not in own}

    def activities(self, kind: str = "", **query: str) -> list[dict[str, Any]]:
        """The activity log, newest first."""
        wanted = "&".join(f"{k}={v}" for k, v in {"type": kind, "limit": "100", **query}.items() if v)
        found: list[dict[str, Any]] = self.app(f"/v1/activities?{wanted}").json["activities"]
        return found

    @property
    def totals(self) -> dict[str, Any]:
        """What there is."""
        found: dict[str, Any] = self.app("/sandbox/summary").json
        return found


def person(action: str, who: str | dict[str, Any] = "1", **fields: Any) -> dict[str, Any]:
    """An operation on a person."""
    return {"type": "person", "action": action, "identifiers": {"id": who} if isinstance(who, str) else who, **fields}


def identify(who: str | dict[str, Any] = "1", at: int | None = None, **attributes: Any) -> dict[str, Any]:
    """An identify."""
    return person("identify", who, attributes=attributes, **({} if at is None else {"timestamp": at}))


def event(who: str | dict[str, Any] = "1", name: str = "purchase", **fields: Any) -> dict[str, Any]:
    """An event."""
    return person("event", who, name=name, **fields)


def merge(primary: dict[str, str], secondary: dict[str, str]) -> dict[str, Any]:
    """A merge."""
    return {"type": "person", "action": "merge", "primary": primary, "secondary": secondary}
