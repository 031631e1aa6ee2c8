"""Customer.io's Track API v2: pack operations into requests, judge replies (pure), and send (the one effect).

Regions, authentication and the kept-alive session are those of the official SDK `customerio`; its retries are
off, and its `batch()` is not used: it loses statuses, counts a 207 as success, follows redirects and puts the
payload into exception texts (`docs/adr/0001-track-v2-batch.md`).
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from customerio import CustomerIO, Regions
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from revetl.destination import Action, Batch, Operation, Outcome, Refusal, Reply, Verdict
from revetl.errors import ConfigError, CredentialsRefused, DestinationDown

BATCH_PATH = "/api/v2/batch"
REGION_PATH = "/api/v1/accounts/region"
MAX_BODY_BYTES = 500_000  # Track API v2, "batch": a request smaller than 500 kB
MAX_REPLY_BYTES = 1_000_000
CONNECT_S = 10.0
LONGEST_MESSAGE = 160
_FRAME = len(b'{"batch":[]}')
# Customer.io's messages may quote what was sent
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\S*@\S*""")


def pack(operations: Sequence[Operation], *, max_operations: int, max_bytes: int) -> Iterator[Batch]:
    """Operations as requests, in order; each body is at most `max_bytes` exact UTF-8 bytes.

    An operation that alone exceeds `max_bytes` gets a request of its own (the encoder refuses those before).
    """
    # bytes up to each operation, with the comma after it
    ends = list(accumulate(len(body) + 1 for _, body in operations))
    start = 0
    while start < len(operations):
        base = ends[start - 1] if start else 0
        end = bisect_right(ends, base + max_bytes - _FRAME + 1, start)  # the last one has no comma
        end = min(max(end, start + 1), start + max_operations)
        yield batch_of(operations[start:end])
        start = end


def batch_of(operations: Iterable[Operation]) -> Batch:
    """One request of these operations."""
    kept = tuple(operations)
    return Batch(operations=kept, body=b'{"batch":[' + b",".join([body for _, body in kept]) + b"]}")


# --- what a reply means ------------------------------------------------------------------------------------------


def judge(reply: Reply, batch: Batch) -> Verdict:
    """The meaning of a reply for a batch: the one place that decides it (`docs/replies.md`).

    Only what is fully understood counts as accepted; everything that is not, after bytes went out, is unknown.
    """
    status = reply.status
    if status == 0:
        outcome = Outcome.UNKNOWN if reply.sent else Outcome.NOT_SENT
        return Verdict(action=Action.RETRY, outcome=outcome, reason=f"no answer ({reply.error or 'connection'})")
    if 200 <= status < 300:  # noqa: PLR2004 the class of success
        return _accepted(reply, batch)
    if 300 <= status < 400:  # noqa: PLR2004 redirects
        host = urlsplit(reply.location).hostname or "another address"
        return Verdict(
            action=Action.STOP_CONFIG, outcome=Outcome.NOT_SENT,
            reason=f"the server redirects to {host}; the region of the destination is wrong",
        )  # fmt: skip
    if status in {401, 403}:
        return Verdict(
            action=Action.STOP_CREDENTIALS, outcome=Outcome.NOT_SENT,
            reason=f"Customer.io refused the credentials (HTTP {status})",
        )  # fmt: skip
    if status in {400, 413, 422}:
        return _whole_refused(reply, batch)
    if status == 429:  # noqa: PLR2004 too many requests
        return Verdict(
            action=Action.PAUSE, outcome=Outcome.NOT_SENT, retry_after_s=reply.retry_after_s, reason="HTTP 429"
        )
    if status == 408 or status >= 500:  # noqa: PLR2004 timeouts and server errors
        return Verdict(
            action=Action.RETRY, outcome=Outcome.UNKNOWN, retry_after_s=reply.retry_after_s, reason=f"HTTP {status}"
        )
    return Verdict(
        action=Action.STOP_CONFIG, outcome=Outcome.NOT_SENT,
        reason=f"the address does not take batches (HTTP {status})",
    )  # fmt: skip


def _not_understood(why: str) -> Verdict:
    return Verdict(action=Action.SPLIT, outcome=Outcome.UNKNOWN, reason=why)


def _accepted(reply: Reply, batch: Batch) -> Verdict:
    if not reply.complete:
        return Verdict(action=Action.RETRY, outcome=Outcome.UNKNOWN, reason="the answer was cut short")
    try:
        # the standard library's parser sees repeated keys, which could hide an error list
        body = json.loads(reply.body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return _not_understood("the answer is no JSON")
    if not isinstance(body, dict):
        return _not_understood("the answer is no JSON object")
    errors = body.get("errors")
    if errors is None and reply.status == 200:  # noqa: PLR2004 the documented success
        return Verdict(action=Action.DONE, outcome=Outcome.ACCEPTED)
    if not isinstance(errors, list) or (not errors and reply.status == 207):  # noqa: PLR2004 partial failure
        return _not_understood("the answer has no list of errors")
    found: dict[int, list[dict[str, Any]]] = {}
    for error in errors:
        index = error.get("batch_index") if isinstance(error, dict) else None
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(batch.operations):
            return _not_understood("the answer names a row that was not in the request")
        found.setdefault(index, []).append(error)
    refusals = tuple(_refused(batch.operations[i].seq, found[i], reply.status) for i in sorted(found))
    return Verdict(action=Action.DONE, outcome=Outcome.ACCEPTED, refusals=refusals)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refused(seq: int, errors: list[dict[str, Any]], status: int) -> Refusal:
    first = errors[0]
    message = _scrubbed(first.get("message"))
    if len(errors) > 1:
        message += f" (and {len(errors) - 1} more)"
    return Refusal(
        seq=seq, reason=_scrubbed(first.get("reason")) or "invalid", field=_scrubbed(first.get("field")),
        message=message, status=status,
    )  # fmt: skip


def _scrubbed(text: Any) -> str:  # noqa: ANN401 whatever the server sent
    """A server's word without anything that may repeat a value, on one line."""
    if not isinstance(text, str):
        return ""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return _QUOTED.sub("…", plain)[:LONGEST_MESSAGE]


def _whole_refused(reply: Reply, batch: Batch) -> Verdict:
    if len(batch.operations) > 1:
        return Verdict(action=Action.SPLIT, outcome=Outcome.NOT_SENT, reason=f"HTTP {reply.status}")
    refusal = Refusal(
        seq=batch.operations[0].seq, reason="too_large" if reply.status == 413 else "invalid",  # noqa: PLR2004
        message=f"Customer.io refused the row (HTTP {reply.status})", status=reply.status,
    )  # fmt: skip
    try:
        errors = orjson.loads(reply.body).get("errors")
        named = [e for e in errors if isinstance(e, dict)]
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        named = []
    if named:
        refusal = _refused(batch.operations[0].seq, named, reply.status)
    return Verdict(action=Action.DONE, outcome=Outcome.ACCEPTED, refusals=(refusal,))


# --- sending -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What Customer.io says about the credentials (GET /api/v1/accounts/region)."""

    environment_id: int
    region: str
    url: str


class TrackSender:
    """Posts batches; one SDK client, session and connection for each thread.

    Args:
        region: `us` or `eu`; the host comes from the SDK.
        base_url: a sandbox on loopback instead of a region.
        ca_file: for a sandbox with a certificate of its own.
        version: for the User-Agent.

    Raises:
        ConfigError: `base_url` is not on loopback.
    """

    def __init__(  # noqa: PLR0913 each is a plain fact of the destination
        self, *, site_id: str, api_key: str, region: str = "us", base_url: str = "", ca_file: str = "",
        concurrency: int = 4, version: str = "0",
    ) -> None:  # fmt: skip
        if base_url:
            _loopback_only(base_url)
        self._site_id = site_id
        self._api_key = api_key
        self._region = region
        self._ca_file = ca_file
        self._agent = f"revetl/{version}"
        self._free: list[_Line] = []
        self._lock = threading.Lock()
        self._concurrency = concurrency
        self._base = base_url.rstrip("/") or f"https://{_region(region).track_host}"

    def send(self, body: bytes, *, deadline_s: float) -> Reply:
        """Post one batch; see `destination.Sender`."""
        return self._exchange("POST", BATCH_PATH, body, deadline_s)

    def workspace(self) -> Workspace:
        """Which workspace the credentials belong to; nothing is changed there.

        Raises:
            CredentialsRefused, ConfigError (another region), DestinationDown.
        """
        reply = self._exchange("GET", REGION_PATH, None, 30.0)
        where = urlsplit(self._base).netloc
        if reply.status in {401, 403}:
            raise CredentialsRefused(
                f"{where} refused the credentials (HTTP {reply.status}); no row was sent",
                hint="check site_id and api_key of the destination: `revetl debug` shows where they come from",
            )
        if reply.error == "SSLError":
            raise ConfigError(
                f"the certificate of {where} could not be verified; nothing was sent",
                hint="is a proxy between? There is no switch that turns the verification off",
            )
        try:
            body = orjson.loads(reply.body)
            found = Workspace(environment_id=int(body["environment_id"]), region=str(body["region"]), url=str(body["url"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            said = f"HTTP {reply.status}" if reply.status else reply.error or "no answer"
            raise DestinationDown(
                f"{where} could not be asked for its workspace ({said}); nothing was sent",
                hint="is the address right and reachable? try: revetl debug",
            ) from None
        ours = urlsplit(self._base).hostname or ""
        if found.region != self._region and not _is_loopback(ours):
            raise ConfigError(
                f"the workspace is in region {found.region!r}, and the destination says {self._region!r}",
                hint=f"set `region: {found.region}` for this destination in profiles.yml",
            )
        return found

    def workspace_id(self) -> str:
        """The workspace's stable id, to which the state is bound."""
        return str(self.workspace().environment_id)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            lines, self._free = self._free, []
        for line in lines:
            line.close()

    def _exchange(self, method: str, path: str, body: bytes | None, deadline_s: float) -> Reply:
        with self._lock:
            line = self._free.pop() if self._free else None
        if line is None:
            line = _Line(self._client(), self._ca_file, self._agent)
        try:
            return line.exchange(method, self._base + path, body, deadline_s)
        finally:
            with self._lock:
                self._free.append(line)

    def _client(self) -> CustomerIO:
        return CustomerIO(self._site_id, self._api_key, region=_region(self._region), retries=0)


def _region(name: str) -> Any:  # noqa: ANN401 the SDK's untyped value
    return {"us": Regions.US, "eu": Regions.EU}[name]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _loopback_only(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or parts.username or not _is_loopback(parts.hostname or ""):
        raise ConfigError(
            "the address of a sandbox must be http(s) on this machine (127.0.0.1)",
            hint="for Customer.io itself set `type: customerio` and `region`; its hosts are known",
        )


class _Line:
    """One client with one connection, whose socket can be shut when the deadline passes."""

    def __init__(self, client: CustomerIO, ca_file: str, agent: str) -> None:
        self._client = client
        self._wire = _Wire()
        session: requests.Session = client.http
        adapter = _Adapter(self._wire)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.trust_env = False  # no proxy, netrc or certificate bundle from the environment
        session.verify = ca_file or True
        session.headers.update({"User-Agent": agent, "Accept-Encoding": "identity"})
        self._session = session

    def close(self) -> None:
        self._client.close()

    def exchange(self, method: str, url: str, body: bytes | None, deadline_s: float) -> Reply:
        """One request and its reply within `deadline_s`, whatever the server does."""
        wire = self._wire
        wire.begin()
        began = time.monotonic()
        # the timeout of a socket is between bytes, so a dripping answer never meets it: the socket is shut instead
        watch = threading.Timer(deadline_s, wire.cut)
        watch.daemon = True
        watch.start()
        status, got, headers = 0, b"", {}
        try:
            with self._session.request(
                method, url, data=body, headers={"Content-Type": "application/json"} if body else None, stream=True,
                timeout=(min(CONNECT_S, deadline_s), deadline_s), allow_redirects=False,
                auth=(self._client.site_id, self._client.api_key),
            ) as answer:  # fmt: skip
                status, headers = answer.status_code, dict(answer.headers)
                got, whole = _read(answer.raw)
            complete = whole and not wire.was_cut
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # texts of these errors may repeat the payload: only the class is kept
            name = "Deadline" if wire.was_cut else type(error).__name__
            return Reply(status=status, complete=False, sent=wire.sent, error=name, seconds=time.monotonic() - began,
                         retry_after_s=_retry_after(headers))  # fmt: skip
        finally:
            watch.cancel()
        return Reply(
            status=status, body=got, complete=complete, retry_after_s=_retry_after(headers),
            location=headers.get("Location", headers.get("location", "")), seconds=time.monotonic() - began,
        )  # fmt: skip


def _read(raw: Any) -> tuple[bytes, bool]:  # noqa: ANN401 urllib3's response
    """The body as it came, at most `MAX_REPLY_BYTES`, and whether that was all of it."""
    parts: list[bytes] = []
    size = 0
    while part := raw.read(65_536, decode_content=False):
        size += len(part)
        if size > MAX_REPLY_BYTES:
            return b"".join(parts), False
        parts.append(part)
    return b"".join(parts), True


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds that a server asks to wait: a number, or a date (RFC 9110, 10.2.3); nonsense is no wish."""
    text = next((v for k, v in headers.items() if k.lower() == "retry-after"), "").strip()
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class _Wire:
    """What happens on the socket of one request."""

    def __init__(self) -> None:
        self.sent = False
        self.was_cut = False
        self._connection: Any = None

    def begin(self) -> None:
        self.sent = self.was_cut = False

    def uses(self, connection: Any) -> None:  # noqa: ANN401 urllib3's connection
        self._connection = connection

    def cut(self) -> None:
        """Shut the socket from another thread, so that a blocked read or write ends."""
        self.was_cut = True
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            try:
                # not through SSLSocket.shutdown, which would drop the TLS state under the reader
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return  # it was closed in the same moment


class _Adapter(HTTPAdapter):
    """One pooled connection, no retries, and connections that report to the wire."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 requests' signature
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _watched(HTTPConnectionPool, HTTPConnection, self._wire),
            "https": _watched(HTTPSConnectionPool, HTTPSConnection, self._wire),
        }


def _watched(pool: Any, connection: Any, wire: _Wire) -> Callable[..., Any]:  # noqa: ANN401 urllib3's classes
    class Connection(connection):  # type: ignore[misc]  # a class made for one wire
        def send(self, data: Any) -> None:  # noqa: ANN401 http.client's signature
            wire.uses(self)
            if self.sock is None:
                self.connect()
            wire.sent = True  # from here on the server may have something
            super().send(data)

    class Pool(pool):  # type: ignore[misc]  # a class made for one wire
        ConnectionCls = Connection

    made: Callable[..., Any] = Pool
    return made
