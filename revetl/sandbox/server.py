"""The HTTP face of the sandbox: Track v1 and v2, the App API's reads, its own `/sandbox` calls, and the pages.

It listens on loopback only and answers only requests whose Host header names it (a page in a browser could
otherwise be pointed at it by DNS). Paths and bodies follow the published OpenAPI documents of Customer.io.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import socket
import ssl
import tempfile
import threading
import time
import traceback
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from revetl.sandbox.faults import Fault, parsed
from revetl.sandbox.page import Pages
from revetl.sandbox.store import Rules, Store, as_text
from revetl.sandbox.tls import make_certificate
from revetl.sandbox.validate import MAX_BODY_BYTES, ULID, check, decode, encode, identifier_kind

MAX_PAGE = 100
MAX_SEGMENT_IDS = 1_000
MAX_READ_BYTES = 10_000_000
ACTIVITY_TYPES = {"event": "event", "screen": "screen", "page": "page"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How the server treats its callers.

    Attributes:
        oversize_status: of a batch of 500 kB or more (not documented: 400 or 413).
        requests_per_second: above it 429; 0 means no limit.
        max_operations: of one batch (not documented); above it 400; 0 means no limit.
    """

    oversize_status: int = 400
    requests_per_second: float = 0.0
    max_operations: int = 0


def error(reason: str, field: str, message: str) -> dict[str, str]:
    """One entry of an `errors` list."""
    return {"reason": reason, "field": field, "message": message}


class _Answer(Exception):  # noqa: N818 control flow of one request
    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:  # noqa: ANN401
        super().__init__(status)
        self.status = status
        self.body = {} if body is None else body
        self.headers = headers or {}


class _Dropped(Exception):  # noqa: N818 control flow of one request
    """Close the connection without an answer."""


class Sandbox:
    """A workspace that serves until closed.

    Args:
        db: the SQLite file; None keeps everything in memory.
        port: 0 takes a free one.
        host: a loopback address.
        tls: serve https with a certificate made on the spot.
        certificate_dir: for the certificate; by default a private folder that goes away with the sandbox.
        clock: seconds since 1970.

    Raises:
        ValueError: `host` is not a loopback address.
    """

    def __init__(  # noqa: PLR0913 each is an independent switch of the workspace
        self, db: Path | str | None = None, *, port: int = 0, host: str = "127.0.0.1", tls: bool = False,
        certificate_dir: Path | None = None, rules: Rules | None = None, limits: Limits | None = None,
        faults: list[Fault] | None = None, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the sandbox listens on loopback only: it has no rights of its own to protect data")
        if db is not None:
            Path(db).parent.mkdir(parents=True, exist_ok=True)
        self.store = Store(str(db) if db is not None else ":memory:", rules=rules or Rules(), clock=clock)
        self.limits = limits or Limits()
        self.clock = clock
        self.faults = list(faults or [])
        self.late: list[tuple[int, list[Any]]] = []
        self.lock = threading.Lock()
        self.tokens = (self.limits.requests_per_second, time.monotonic())
        self._server = _Server((host, port), _Handler)
        self._server.sandbox = self
        self.ca_file = ""
        self.closing = threading.Event()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if tls:
            if certificate_dir is None:
                self._folder = tempfile.TemporaryDirectory(prefix="revetl-sandbox-")
                certificate_dir = Path(self._folder.name)
            certificate, key = make_certificate(certificate_dir, host)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self._server.context = context
            self.ca_file = str(certificate)
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        meta = self.store.meta
        self.site_id, self.api_key, self.app_api_key = meta["site_id"], meta["api_key"], meta["app_api_key"]
        self.environment_id = int(meta["environment_id"])
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def serve(self) -> None:
        """Serve in this thread until `stop`."""
        self._server.serve_forever(0.2)

    def stop(self) -> None:
        """End `serve`; callable from a signal's handler or another thread."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()

    def close(self) -> None:
        """Stop and close the database."""
        self.closing.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self.store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        """Serve in a thread."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    # --- faults --------------------------------------------------------------------------------------------------

    def strike(self) -> Fault | None:
        """The fault that hits this Track request, if one does."""
        with self.lock:
            for fault in self.faults:
                if fault.after > 0:
                    fault.after -= 1
                elif fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def due(self) -> list[list[Any]]:
        """Requests that were to be applied late, and are due before this one."""
        with self.lock:
            self.late = [(left - 1, operations) for left, operations in self.late]
            ready = [operations for left, operations in self.late if left <= 0]
            self.late = [(left, operations) for left, operations in self.late if left > 0]
        return ready

    def throttled(self) -> bool:
        """Whether this request is above the workspace's rate."""
        rate = self.limits.requests_per_second
        if not rate:
            return False
        with self.lock:
            tokens, at = self.tokens
            now = time.monotonic()
            tokens = min(max(rate, 1.0), tokens + (now - at) * rate)
            self.tokens = (tokens - 1 if tokens >= 1 else tokens, now)
            return tokens < 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    sandbox: Sandbox
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 socketserver's signature
        # the handshake belongs to the connection's own thread, so that a slow client holds up nobody
        if self.context is None:
            _Handler(request, client_address, self)
            return
        request.settimeout(10)
        # wrapping takes the socket over: the base class's own cannot close it any more
        with self.context.wrap_socket(request, server_side=True) as secured:
            secured.settimeout(None)
            _Handler(secured, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 socketserver's signature
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        """Requests are in the journal; the terminal stays quiet."""

    def do_GET(self) -> None:
        """Reads and pages."""
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET

    @property
    def box(self) -> Sandbox:
        return self.server.sandbox

    def _serve(self) -> None:
        self.operations, self.note = 0, ""
        self.fault: Fault | None = None
        parts = urlsplit(self.path)
        size, raw = 0, b""

        def journal(status: int) -> None:
            # before the answer goes out: whoever has it finds it in the journal
            if parts.path.startswith(("/api/", "/v1/")):
                self.box.store.note_request(self.command, _masked_path(parts.path), status, self.operations, size, self.note)

        try:
            try:
                size = self._length()
                raw = self.rfile.read(size) if size else b""
                self._check_host()
                self._route(parts.path, parse_qs(parts.query), raw)
            except _Answer as answer:
                journal(answer.status)
                self._reply(answer)
            except _Dropped:
                journal(0)
                raise
        except _Dropped:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception:  # noqa: BLE001 the thread's boundary: a mistake of ours is an answer, not a silent hang-up
            self.close_connection = True
            self.note = "a mistake of the sandbox; the terminal shows it"
            traceback.print_exc()
            journal(500)
            with suppress(OSError):
                self._reply(_Answer(500, {"errors": [error("internal", "", "the sandbox failed; see its terminal")]}))

    def _length(self) -> int:
        """Bytes of the body; one that cannot be told, or is far beyond every limit, is not read."""
        given = self.headers.get("Content-Length") or "0"
        if "Transfer-Encoding" in self.headers or not given.isdecimal() or int(given) > MAX_READ_BYTES:
            self.close_connection = True
            status = 413 if given.isdecimal() and int(given) > MAX_READ_BYTES else 411
            raise _Answer(status, {"errors": [error("invalid", "Content-Length", "must say how long the body is")]})
        return int(given)

    def _check_host(self) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0].strip("[]")
        if host not in {"127.0.0.1", "localhost", "::1"}:
            raise _Answer(403, {"errors": [error("invalid", "Host", "this server answers to its loopback name only")]})

    def _reply(self, answer: _Answer) -> None:
        page = isinstance(answer.body, str)
        body: bytes = str(answer.body).encode() if page else encode(answer.body) + b"\n"
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if page:
            policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
            self.send_header("Content-Security-Policy", policy)
            self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(body)

    def _write(self, body: bytes) -> None:
        fault = self.fault
        if fault is not None and fault.kind == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            raise _Dropped
        if fault is not None and fault.kind == "drip":
            for i in range(len(body)):
                self.wfile.write(body[i : i + 1])
                self.wfile.flush()
                self.box.closing.wait(fault.seconds)
            return
        self.wfile.write(body)
        self.wfile.flush()

    # --- routes --------------------------------------------------------------------------------------------------

    def _route(self, path: str, query: dict[str, list[str]], raw: bytes) -> None:
        if path.startswith("/api/"):
            self._track(path, query, raw)
        elif path.startswith("/v1/"):
            self._need_app_key()
            self._app(path, query, raw)
        elif path.startswith("/sandbox/"):
            self._need_app_key()
            self._own(path, query, raw)
        elif self.command == "GET":
            page = Pages(self.box.store, self.box.environment_id, self.box.clock()).render(path, query)
            raise _Answer(200, page) if page is not None else _Answer(404, "<!doctype html><h1>Not found</h1>")
        raise _Answer(404, {"errors": [error("invalid", "path", "not found")]})

    def _need_app_key(self) -> None:
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not hmac.compare_digest(given, self.box.app_api_key):
            raise _Answer(401, {"errors": [{"detail": "unauthorized", "status": "401"}]})

    def _need_track_key(self) -> None:
        wanted = f"{self.box.site_id}:{self.box.api_key}".encode()
        try:
            given = b64decode((self.headers.get("Authorization") or "").removeprefix("Basic "))
        except ValueError:
            given = b""
        if not hmac.compare_digest(given, wanted):
            raise _Answer(401, {"meta": {"error": "Unauthorized"}})

    def _track(self, path: str, query: dict[str, list[str]], raw: bytes) -> None:  # noqa: C901 one fault or route a line
        self._need_track_key()
        if path == "/api/v1/accounts/region" and self.command == "GET":
            raise _Answer(200, {"url": self.box.url, "region": "us", "environment_id": self.box.environment_id})
        if self.box.throttled():
            raise _Answer(429, {"errors": [error("invalid", "", "too many requests")]}, {"Retry-After": "1"})
        store = self.box.store
        for operations in self.box.due():
            with store.transaction():
                store.apply_all(operations)
        fault = self.fault = self.box.strike()
        if fault is not None:
            self.note = f"fault: {fault.kind}"
            if fault.kind == "status":
                extra = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
                raise _Answer(fault.status, {"errors": [error("invalid", "", "rehearsed failure")]}, extra)
            if fault.kind == "reset":
                raise _Dropped
            if fault.kind == "html":
                raise _Answer(200, "<!doctype html><title>maintenance</title>")
            if fault.kind in {"slow", "hang"}:
                self.box.closing.wait(fault.seconds if fault.kind == "slow" else 3_600)
                if self.box.closing.is_set():
                    raise _Dropped
        body = self._json(raw)
        if path == "/api/v2/batch" and self.command == "POST":
            self._batch(body, raw, fault)
        if path == "/api/v2/entity" and self.command == "POST":
            self._entity(body, fault)
        if not isinstance(body, dict):
            raise _Answer(400, {"meta": {"errors": ["the body must be an object"]}})
        match = re.fullmatch(r"/api/v1/segments/([0-9]{1,9})/(add|remove)_customers", path)
        if match and self.command == "POST":
            self._segment(int(match[1]), match[2] == "add", (query.get("id_type") or ["id"])[0], body, fault)
        self._track_v1(path, body, fault)

    def _json(self, raw: bytes) -> Any:  # noqa: ANN401 JSON
        if not raw:
            return {}
        try:
            return decode(raw)
        except (ValueError, RecursionError):
            raise _Answer(400, {"errors": [error("invalid", "", "the body is not valid JSON")]}) from None

    def _batch(self, body: Any, raw: bytes, fault: Fault | None) -> None:  # noqa: ANN401 JSON
        if len(raw) >= MAX_BODY_BYTES:
            raise _Answer(self.box.limits.oversize_status, {"errors": [error("invalid", "batch", "request too large")]})
        operations = body.get("batch") if isinstance(body, dict) else None
        if not isinstance(operations, list) or not operations:
            raise _Answer(400, {"errors": [error("required", "batch", "a list of operations")]})
        if 0 < self.box.limits.max_operations < len(operations):
            raise _Answer(400, {"errors": [error("invalid", "batch", "too many operations")]})
        self.operations = len(operations)
        errors: list[dict[str, Any]] = []
        good = []
        for i, operation in enumerate(operations):
            found = [problem._asdict() for problem in self._checked(operation)]
            found = found or _rehearsed(operation, fault)
            errors += [{"batch_index": i, **problem} for problem in found]
            if not found:
                good.append(operation)
        self._apply(good, fault)
        if fault is not None and fault.kind == "bad_207":
            raise _Answer(207, {"errors": [{"batch_index": len(operations), **error("invalid", "", "rehearsed")}]})
        raise _Answer(207, {"errors": errors}) if errors else _Answer(200)

    def _entity(self, body: Any, fault: Fault | None) -> None:  # noqa: ANN401 JSON
        found = [problem._asdict() for problem in self._checked(body)] or _rehearsed(body, fault)
        if found:
            raise _Answer(400, {"errors": found})
        self.operations = 1
        self._apply([body], fault)
        raise _Answer(200)

    def _apply(self, operations: list[Any], fault: Fault | None) -> None:
        if fault is not None and fault.kind == "apply_late":
            with self.box.lock:
                self.box.late.append((fault.late_by, operations))
            raise _Dropped
        for _ in range(2 if fault is not None and fault.kind == "duplicate" else 1):
            with self.box.store.transaction():
                self.box.store.apply_all(operations)
        if fault is not None and fault.kind == "apply_then_fail":
            raise _Dropped

    def _checked(self, operation: Any) -> list[Any]:  # noqa: ANN401 JSON
        return check(operation, event_values=self.box.store.rules.limit_event_values)

    def _segment(self, number: int, add: bool, kind: str, body: Any, fault: Fault | None) -> None:  # noqa: ANN401 JSON
        """Manual segments: 1 to 1000 ids of one kind."""
        store = self.box.store

        def no(message: str, status: int = 400) -> _Answer:
            return _Answer(status, {"meta": {"errors": [message]}})

        ids = body.get("ids")
        if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_SEGMENT_IDS or not all(isinstance(i, str) for i in ids):
            raise no(f"ids must hold 1 to {MAX_SEGMENT_IDS} strings")
        if kind not in {"id", "email", "cio_id"} or (store.rules.segments_by_id and kind != "id"):
            raise no("id_type is not supported")
        if not any(one["id"] == number for one in store.segments()):
            raise no("there is no manual segment with this id", store.rules.unknown_segment)
        if fault is not None and fault.kind == "reject" and any(fault.refuses(i) for i in ids):
            raise no("rehearsed refusal")
        self.operations = len(ids)
        action = "add" if add else "remove"
        self._apply([{"type": "segment", "action": action, "segment": number, "kind": kind, "ids": ids}], fault)
        raise _Answer(200)

    # --- Track v1 ------------------------------------------------------------------------------------------------

    def _track_v1(self, path: str, body: Any, fault: Fault | None) -> None:  # noqa: ANN401 JSON
        def do(operation: dict[str, Any]) -> None:
            found = [problem._asdict() for problem in self._checked(operation)] or _rehearsed(operation, fault)
            if found:
                raise _Answer(400, {"meta": {"errors": [f"{e['field']}: {e['message']}" for e in found]}})
            self.operations = 1
            self._apply([operation], fault)
            raise _Answer(200)

        if path == "/api/v1/merge_customers" and self.command == "POST":
            do({"type": "person", "action": "merge", **{k: body.get(k) for k in ("primary", "secondary")}})
        if path == "/api/v1/events" and self.command == "POST":
            do(_v1_event({"anonymous_id": body.get("anonymous_id", "")}, body))
        match = re.fullmatch(r"/api/v1/customers/([^/]+)(?:/(\w+)(?:/([^/]+))?)?", path)
        if not match:
            raise _Answer(404, {"meta": {"error": "not found"}})
        who, what, part = unquote(match[1]), match[2], unquote(match[3] or "")
        person: dict[str, Any] = {"type": "person", "identifiers": dict([identifier_kind(who)])}
        call = (self.command, what)
        if call == ("PUT", None):
            attributes = {k: v for k, v in body.items() if k != "_timestamp"}
            stamp = {"timestamp": body["_timestamp"]} if "_timestamp" in body else {}
            do({**person, "action": "identify", "attributes": attributes, **stamp})
        if call == ("DELETE", None):
            do({**person, "action": "delete"})
        if call == ("POST", "events"):
            do(_v1_event(person["identifiers"], body))
        if call in {("POST", "suppress"), ("POST", "unsuppress")}:
            do({**person, "action": what})
        if call == ("PUT", "devices"):
            device = body.get("device") or {}
            do({**person, "action": "add_device", "device": {**device, "token": device.get("id")}})
        if call == ("DELETE", "devices"):
            do({**person, "action": "delete_device", "device": {"token": part}})
        raise _Answer(405, {"meta": {"error": "method not allowed"}})

    # --- App API -------------------------------------------------------------------------------------------------

    def _app(self, path: str, query: dict[str, list[str]], raw: bytes) -> None:
        store = self.box.store
        kind = (query.get("id_type") or ["id"])[0]
        if path == "/v1/customers" and self.command == "GET":
            person = store.person("email", (query.get("email") or [""])[0])
            found = [] if person is None else [{"email": person.email, "id": person.id, "cio_id": person.cio_id}]
            raise _Answer(200, {"results": found})
        if path == "/v1/customers/attributes" and self.command == "POST":
            body = self._json(raw)
            ids = body.get("ids") if isinstance(body, dict) else None
            if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_PAGE:
                raise _Answer(400, {"errors": [{"detail": "ids must hold 1 to 100 values", "status": "400"}]})
            people = (store.person(kind, str(i)) for i in ids)
            raise _Answer(200, {"customers": [_profile(p) for p in people if p is not None]})
        if path == "/v1/activities" and self.command == "GET":
            self._activities(query, None)
        if path.startswith("/v1/segments"):
            self._segments(path, raw)
        match = re.fullmatch(r"/v1/objects/([^/]+)/([^/]+)/(attributes|relationships)", path)
        if match and self.command == "GET":
            self._read_object(unquote(match[1]), unquote(match[2]), match[3])
        match = re.fullmatch(r"/v1/customers/([^/]+)/(attributes|activities|segments|relationships)", path)
        if match and self.command == "GET":
            person = store.person(kind, unquote(match[1]))
            if person is None:
                raise _Answer(404, {"errors": [{"detail": "not found", "status": "404"}]})
            if match[2] == "attributes":
                raise _Answer(200, {"customer": _profile(person)})
            if match[2] == "segments":
                raise _Answer(200, {"segments": store.segments(person.cio_id)})
            if match[2] == "relationships":
                raise _Answer(200, {"cio_relationships": [_relationship(one) for one in store.related(person)], "next": ""})
            self._activities(query, person.cio_id)
        raise _Answer(404, {"errors": [{"detail": "not found", "status": "404"}]})

    def _segments(self, path: str, raw: bytes) -> None:
        """Manual segments: make, list, count, members."""
        store = self.box.store
        if path == "/v1/segments" and self.command == "POST":
            body = self._json(raw)
            given = body.get("segment") if isinstance(body, dict) else None
            if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"]:
                raise _Answer(422, {"errors": [{"detail": "segment.name is required", "status": "422"}]})
            with store.transaction():
                made = store.make_segment(given["name"], str(given.get("description") or ""))
            raise _Answer(200, {"segment": made})
        if path == "/v1/segments" and self.command == "GET":
            raise _Answer(200, {"segments": store.segments()})
        match = re.fullmatch(r"/v1/segments/([0-9]{1,9})(?:/(customer_count|membership))?", path)
        known = [one for one in store.segments() if match and one["id"] == int(match[1])]
        if not match or not known or self.command != "GET":
            raise _Answer(404, {"errors": [{"detail": "not found", "status": "404"}]})
        people = store.members(int(match[1]))
        if match[2] == "customer_count":
            raise _Answer(200, {"count": len(people)})
        if match[2] == "membership":
            raise _Answer(200, {
                "ids": [p.id or "" for p in people], "next": "",
                "identifiers": [{"cio_id": p.cio_id, "id": p.id, "email": p.email} for p in people],
            })  # fmt: skip
        raise _Answer(200, {"segment": known[0]})

    def _read_object(self, kind: str, identifier: str, what: str) -> None:
        found = self.box.store.object(kind, identifier)
        if found is None:
            raise _Answer(404, {"errors": [{"detail": "not found", "status": "404"}]})
        own = {"cio_object_id": found["cio_object_id"], "object_id": identifier, "object_type_id": kind}
        if what == "attributes":
            attributes = {name: as_text(value) for name, value in found["attributes"].items()}
            raise _Answer(200, {"object": {"identifiers": own, "attributes": attributes}})
        related = [
            {"object_type_id": "0", "identifiers": {"cio_id": p["cio_id"], "id": p["id"], "email": p["email"]},
             "relationship_attributes": {k: as_text(v) for k, v in p["attributes"].items()}}
            for p in found["people"]
        ]  # fmt: skip
        raise _Answer(200, {"cio_relationships": related, "next": ""})

    def _activities(self, query: dict[str, list[str]], cio_id: str | None) -> None:
        def first(name: str) -> str:
            return (query.get(name) or [""])[0]

        store = self.box.store
        limit = max(1, min(_number(first("limit"), 10), MAX_PAGE))
        start = _number(first("start"), 0)
        if first("customer_id"):
            person = store.person(first("id_type") or "id", first("customer_id"))
            cio_id = person.cio_id if person is not None else "nobody"
        rows = store.rows(
            "SELECT a.type, a.name, a.data, a.at, a.cio_id, p.id, p.email, a.n FROM ("
            " SELECT kind AS type, name, data, at, cio_id, n FROM events"
            " UNION ALL SELECT type, name, data, at, cio_id, -n FROM activities) a"
            " LEFT JOIN people p ON p.cio_id = a.cio_id"
            " WHERE (? = '' OR a.type = ?) AND (? = '' OR a.name = ?) AND (? IS NULL OR a.cio_id = ?)"
            " ORDER BY a.at DESC, a.n DESC LIMIT ? OFFSET ?",
            first("type"), first("type"), first("name"), first("name"), cio_id, cio_id, limit + 1, start,
        )  # fmt: skip
        found = [
            {"id": f"act_{n}", "type": kind, "name": name, "data": _published(kind, decode(data.encode())),
             "timestamp": int(at), "customer_id": person_id,
             **({"customer_identifiers": {"cio_id": cio, "id": person_id, "email": email}} if cio else {})}
            for kind, name, data, at, cio, person_id, email, n in rows[:limit]
        ]  # fmt: skip
        raise _Answer(200, {"activities": found, "next": str(start + limit) if len(rows) > limit else ""})

    # --- the sandbox's own calls ---------------------------------------------------------------------------------

    def _own(self, path: str, query: dict[str, list[str]], raw: bytes) -> None:
        store = self.box.store
        if path == "/sandbox/summary" and self.command == "GET":
            raise _Answer(200, store.summary())
        if path == "/sandbox/people" and self.command == "GET":
            limit = min(_number((query.get("limit") or [""])[0], 1000), 100_000)
            start = _number((query.get("start") or [""])[0], 0)
            rows = store.rows("SELECT id, email, attributes FROM people ORDER BY cio_id LIMIT ? OFFSET ?", limit, start)
            people = [
                {"id": i, "email": e, "attributes": {k: as_text(v) for k, v in decode(a.encode()).items()}}
                for i, e, a in rows
            ]
            raise _Answer(200, {"people": people})
        if path == "/sandbox/events" and self.command == "GET":
            limit = min(_number((query.get("limit") or [""])[0], 1000), 100_000)
            start = _number((query.get("start") or [""])[0], 0)
            rows = store.rows(
                "SELECT e.event_id, e.kind, e.name, e.at, e.data, p.id, p.email, e.anonymous_id FROM events e"
                " LEFT JOIN people p ON p.cio_id = e.cio_id ORDER BY e.n LIMIT ? OFFSET ?", limit, start,
            )  # fmt: skip
            events = [{"event_id": i, "kind": k,
                       "name": n, "timestamp": at, "attributes": decode(d.encode()), "id": pid, "email": email,
                       "anonymous_id": anonymous} for i, k, n, at, d, pid, email, anonymous in rows]  # fmt: skip
            raise _Answer(200, {"events": events})
        if path == "/sandbox/journal" and self.command == "GET":
            rows = store.rows("SELECT at, method, path, status, operations, bytes, note FROM journal ORDER BY n")
            names = ("at", "method", "path", "status", "operations", "bytes", "note")
            raise _Answer(200, {"requests": [dict(zip(names, row, strict=True)) for row in rows]})
        if path == "/sandbox/faults" and self.command == "POST":
            try:
                self.box.faults = parsed(self._json(raw).get("faults", []))
            except (AttributeError, TypeError, ValueError) as problem:
                raise _Answer(400, {"errors": [error("invalid", "faults", str(problem))]}) from None
            raise _Answer(200)
        if path == "/sandbox/reset" and self.command == "POST":
            store.clean()
            raise _Answer(200)


def _rehearsed(operation: dict[str, Any], fault: Fault | None) -> list[dict[str, str]]:
    """What a `reject` fault says about an operation."""
    if fault is None or fault.kind != "reject":
        return []
    values = (operation.get("identifiers") or operation.get("primary") or {}).values()
    return [error("invalid", "identifiers", "rehearsed refusal") for v in values if fault.refuses(str(v))]


def _relationship(one: dict[str, Any]) -> dict[str, Any]:
    """A relationship of a person as the App API shows it."""
    own = {name: one[name] for name in ("cio_object_id", "object_id", "object_type_id")}
    attributes = {name: as_text(value) for name, value in one["attributes"].items()}
    return {"object_type_id": one["object_type_id"], "identifiers": own, "relationship_attributes": attributes}


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else default  # noqa: PLR2004 what SQLite can count


def _published(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """An activity's data in the published shape: attribute to from and to."""
    if not kind.endswith(("attribute_change", "skipped_update", "profile_create")) or "attributes" not in data:
        return data
    return {name: {"from": old, "to": new} for name, (old, new) in data["attributes"].items()}


def _masked_path(path: str) -> str:
    """A path without the identifier in it."""
    return re.sub(r"(/customers/)(?!attributes)[^/]+", r"\1…", path)


def _v1_event(identifiers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    operation = {
        "type": "person", "identifiers": identifiers,
        "action": body.get("type") if body.get("type") in ACTIVITY_TYPES else "event",
        "name": body.get("name"), "attributes": body.get("data") or {},
    }  # fmt: skip
    if body.get("timestamp") is not None:
        operation["timestamp"] = body["timestamp"]
    # clients of v1 send other ids too; those do not deduplicate
    if isinstance(body.get("id"), str) and ULID.fullmatch(body["id"]):
        operation["id"] = body["id"]
    return operation


def _profile(person: Any) -> dict[str, Any]:  # noqa: ANN401 a Person
    """A person as the App API shows one: values are strings (`getPersonAttributes`)."""
    own = {"id": person.id or "", "email": person.email or "", "cio_id": person.cio_id}
    attributes = {name: as_text(value) for name, value in person.attributes.items()}
    return {
        "id": person.id or "",
        "identifiers": {k: v or None for k, v in own.items()},
        "attributes": {**attributes, **{k: v for k, v in own.items() if v}, "_created_in_customerio_at": str(int(person.made))},
        "timestamps": {**{k: int(v) for k, v in person.times.items()}, "cio_id": int(person.made)},
        "unsubscribed": attributes.get("unsubscribed", "").lower() in {"true", "1"},
        "devices": person.devices,
    }


def info(sandbox: Sandbox, pid: int) -> str:
    """What a program needs to reach a sandbox, as JSON."""
    return json.dumps({
        "url": sandbox.url, "page": sandbox.url + "/", "site_id": sandbox.site_id, "api_key": sandbox.api_key,
        "app_api_key": sandbox.app_api_key, "environment_id": sandbox.environment_id, "pid": pid,
        "tls": bool(sandbox.ca_file), "ca_file": sandbox.ca_file,
    })  # fmt: skip
