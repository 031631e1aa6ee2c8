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
import ssl
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from customerio import CustomerIO, Regions
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from revetl.destination import BATCH, Action, Batch, Operation, Outcome, Refusal, Reply, Route, Verdict
from revetl.errors import ConfigError, CredentialsRefused, DestinationDown

REGION_PATH = "/api/v1/accounts/region"
MAX_BODY_BYTES = 500_000  # Track API v2, "batch": a request smaller than 500 kB
MAX_REPLY_BYTES = 1_000_000
CONNECT_S = 10.0
REGIONS = ("us", "eu")
LONGEST_MESSAGE = 120
LONGEST_TEXT = 1_000  # of a server's sentence, that is looked at
MOST_ERRORS = 20  # of one row, that are looked at
LONGEST_FIELD = 160  # an attribute's name has at most 150 bytes
TLS_REFUSED = "SSLError"  # `Reply.error` of a connection whose certificate or protocol was not acceptable
_REASON = re.compile(r"[a-z][a-z_]{0,39}")
# Customer.io's messages may repeat what was sent: in quotes (which may hold quotes), or as an address
_QUOTED = re.compile(r"""".*"|".*|`.*`|`.*|(?<!\w)'.*?'(?!\w)|(?<!\w)'.*|\S*@\S*""")
# sentences that say everything and repeat nothing
_PLAIN = re.compile(
    r"(property |attribute )?(name |value )?(cannot|can not|must not) exceed \d{1,6} (bytes|characters)"
    r"|is required|must be a string or a number|must be a (string|number|boolean)", re.IGNORECASE
)  # fmt: skip
_LOCAL = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)


Probe = Callable[[str, str], None]


def _no_probe(_when: str, _what: str) -> None:
    """Outside of tests nobody watches the socket."""


def pack(
    operations: Sequence[Operation], *, max_operations: int, max_bytes: int, route: Route = BATCH
) -> Iterator[Batch]:
    """Operations as requests, in order, made one by one; each body is at most `max_bytes` exact UTF-8 bytes.

    An operation that alone exceeds `max_bytes` gets a request of its own (the encoder refuses those before).

    Raises:
        ValueError: a bound is below 1, or `max_bytes` is above what Customer.io takes (500,000).
    """
    if max_operations < 1 or not 1 <= max_bytes <= MAX_BODY_BYTES:
        raise ValueError(f"a request has 1 or more operations and 1 to {MAX_BODY_BYTES} bytes")
    frame, most = len(route.head) + len(route.tail), route.most or max_operations
    # bytes up to each operation, with the comma after it
    ends = list(accumulate(len(body) + 1 for _, body in operations))
    start = 0
    while start < len(operations):
        base = ends[start - 1] if start else 0
        end = bisect_right(ends, base + max_bytes - frame + 1, start)  # the last one has no comma
        end = min(max(end, start + 1), start + most)
        yield batch_of(operations[start:end], route)
        start = end


def batch_of(operations: Iterable[Operation], route: Route = BATCH) -> Batch:
    """One request of these operations."""
    kept = tuple(operations)
    body = route.head + b",".join([body for _, body in kept]) + route.tail
    return Batch(operations=kept, body=body, route=route)


# --- what a reply means ------------------------------------------------------------------------------------------


def judge(reply: Reply, batch: Batch) -> Verdict:
    """The meaning of a reply for a batch: the one place that decides it (`docs/replies.md`).

    Only what is fully understood counts as accepted. Not applied, for certain, are only: nothing went out, 401,
    403 and 429. Everything else that came after the first byte went out is unknown.
    """
    status = reply.status
    if status == 0:
        return _no_answer(reply)
    if 200 <= status < 300:  # noqa: PLR2004 the class of success
        return _accepted(reply, batch)
    if 300 <= status < 400:  # noqa: PLR2004 redirects
        host = _host_of(reply.location)
        return Verdict(
            action=Action.STOP_CONFIG, outcome=Outcome.UNKNOWN,
            reason=f"the server redirects to {host}{_region_hint(host)}; redirects are never followed",
        )  # fmt: skip
    if status in {401, 403}:
        return Verdict(
            action=Action.STOP_CREDENTIALS, outcome=Outcome.NOT_SENT,
            reason=f"Customer.io refused the credentials (HTTP {status})",
        )  # fmt: skip
    if status == 404 and not batch.route.by_row:  # noqa: PLR2004 what the path names is not there
        return Verdict(
            action=Action.STOP_CONFIG, outcome=Outcome.NOT_SENT,
            reason=f"Customer.io does not have what {batch.route.path.split('?')[0]} names (HTTP 404)",
        )  # fmt: skip
    if status in {400, 413, 422}:
        return _whole_refused(reply, batch)
    if status == 429:  # noqa: PLR2004 too many requests
        return Verdict(
            action=Action.PAUSE, outcome=Outcome.NOT_SENT, retry_after_s=reply.retry_after_s, reason="HTTP 429"
        )
    if status in {408, 425} or status >= 500 or status < 200:  # noqa: PLR2004 time-outs, server errors, no final answer
        return Verdict(
            action=Action.RETRY, outcome=Outcome.UNKNOWN, retry_after_s=reply.retry_after_s, reason=f"HTTP {status}"
        )
    return Verdict(
        action=Action.STOP_CONFIG, outcome=Outcome.UNKNOWN,
        reason=f"the address does not take batches (HTTP {status})",
    )  # fmt: skip


def _no_answer(reply: Reply) -> Verdict:
    if not reply.sent and reply.error == TLS_REFUSED:
        return Verdict(
            action=Action.STOP_CONFIG, outcome=Outcome.NOT_SENT,
            reason="the server's certificate could not be verified (there is no switch that turns this off)",
        )  # fmt: skip
    outcome = Outcome.UNKNOWN if reply.sent else Outcome.NOT_SENT
    return Verdict(action=Action.RETRY, outcome=outcome, reason=f"no answer ({reply.error or 'connection'})")


def _host_of(location: str) -> str:
    try:
        return urlsplit(location).hostname or "another address"
    except ValueError:
        return "another address"


def _region_hint(host: str) -> str:
    """Which region to set, where the redirect goes to one of Customer.io's."""
    for name in REGIONS:
        if host == _region(name).track_host:
            return f": set `region: {name}` for this destination in profiles.yml"
    return "; is the destination's region right"


def _not_understood(why: str) -> Verdict:
    return Verdict(action=Action.SPLIT, outcome=Outcome.UNKNOWN, reason=why)


def _accepted(reply: Reply, batch: Batch) -> Verdict:
    if not reply.complete:
        return Verdict(action=Action.RETRY, outcome=Outcome.UNKNOWN, reason="the answer was cut short or too long")
    try:
        # the standard library's parser sees repeated keys, which could hide an error list
        body = json.loads(reply.body, object_pairs_hook=_unique, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return _not_understood("the answer is no JSON")
    if not isinstance(body, dict):
        return _not_understood("the answer is no JSON object")
    if "error" in body or "meta" in body:  # how the older endpoints, and proxies, say that something failed
        return _not_understood("the answer speaks of an error and does not say which row")
    errors = body.get("errors")
    if not batch.route.by_row and (errors is not None or reply.status != 200):  # noqa: PLR2004 the documented success
        return _not_understood("the answer speaks of an error and does not say which row")
    if errors is None and reply.status == 200:  # noqa: PLR2004 the documented success
        return Verdict(action=Action.DONE, outcome=Outcome.ACCEPTED)
    if not isinstance(errors, list) or (not errors and reply.status != 200):  # noqa: PLR2004 partial failure
        return _not_understood("the answer has no list of errors")
    found: dict[int, list[dict[str, Any]]] = {}
    for error in errors:
        index = error.get("batch_index") if isinstance(error, dict) else None
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(batch.operations):
            return _not_understood("the answer names a row that was not in the request")
        found.setdefault(index, []).append(error)
    refusals = tuple(_refused(batch.operations[i], found[i], reply.status) for i in sorted(found))
    return Verdict(action=Action.DONE, outcome=Outcome.ACCEPTED, refusals=refusals)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_json(_constant: str) -> None:
    """NaN and the infinities, which Python's parser would take."""
    raise ValueError


def _whole_refused(reply: Reply, batch: Batch) -> Verdict:
    if len(batch.operations) > 1:
        return Verdict(action=Action.SPLIT, outcome=Outcome.NOT_SENT, reason=f"HTTP {reply.status}")
    operation = batch.operations[0]
    size = len(operation.body)
    if reply.status == 413:  # noqa: PLR2004 too large: whatever the answer says besides
        name, bytes_ = _widest(operation.body)
        message = f"Customer.io refused the row's {size:,} bytes (HTTP 413); its widest field has {bytes_:,}"
        refusal = Refusal(seq=operation.seq, reason="too_large", field=name, message=message, status=413)
        return Verdict(action=Action.DONE, outcome=Outcome.ACCEPTED, refusals=(refusal,))
    refusal = Refusal(
        seq=operation.seq, reason="invalid", message=f"Customer.io refused the row (HTTP {reply.status}, {size:,} bytes)",
        status=reply.status,
    )  # fmt: skip
    try:
        said = json.loads(reply.body)
        listed = said["errors"] if batch.route.by_row else [{"message": text} for text in said["meta"]["errors"]]
        named = [e for e in listed if isinstance(e, dict)]
    except (ValueError, RecursionError, LookupError, TypeError):
        named = []
    if named:
        refusal = _refused(operation, named, reply.status)
    return Verdict(action=Action.DONE, outcome=Outcome.ACCEPTED, refusals=(refusal,))


# --- what may be shown of an answer ------------------------------------------------------------------------------


def _refused(operation: Operation, errors: list[dict[str, Any]], status: int) -> Refusal:
    """One refusal for all that was said about a row: the first in full, of the others the fields."""
    first = errors[0]
    fields = list(dict.fromkeys(_field(e.get("field"), operation.body) for e in errors[:MOST_ERRORS]))
    message = _message(first.get("message"), operation.body)
    others = [name for name in fields[1:] if name]
    if others:
        message += f" (also: {', '.join(others[:3])}{', …' if len(others) > 3 else ''})"  # noqa: PLR2004 enough to see
    reason = first.get("reason")
    known = isinstance(reason, str) and _REASON.fullmatch(reason) is not None
    return Refusal(
        seq=operation.seq, reason=str(reason) if known else "invalid", field=fields[0], message=message, status=status
    )


def _widest(body: bytes) -> tuple[str, int]:
    """The attribute of an operation with the longest text, and its bytes."""
    try:
        attributes = orjson.loads(body).get("attributes") or {}
    except (orjson.JSONDecodeError, AttributeError):
        return "", 0
    sizes = {name: len(orjson.dumps(value)) for name, value in attributes.items()}
    return max(sizes.items(), key=itemgetter(1), default=("", 0))


def _one_line(text: Any) -> str:  # noqa: ANN401 whatever the server sent
    # cut first: what follows looks at every character more than once, and an answer may have a million
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_TEXT]) if isinstance(text, str) else ""


def _field(text: Any, body: bytes) -> str:  # noqa: ANN401 whatever the server sent
    """The name of what was refused; a server that puts a value there is not repeated."""
    line = _QUOTED.sub("…", _one_line(text))[:LONGEST_FIELD]
    last = line.rpartition(".")[2]
    # a name that is also a value somewhere in the row is still a name
    return line if f'"{last}":'.encode() in body else _message(line, body)


def _message(text: Any, body: bytes) -> str:  # noqa: ANN401 whatever the server sent
    """A server's sentence without anything that repeats a value of the row, on one line."""
    line = _one_line(text)
    if plain := _PLAIN.search(line):
        return plain[0]
    sent = _values(body)
    everything = "\0".join(sent)
    longer = [value for value in sent if len(value) > 2]  # noqa: PLR2004 shorter ones are in every word
    words = []
    for word in _QUOTED.sub("…", line).split():
        bare = word.strip(".,:;!?()[]{}<>=").casefold()
        repeats = bare in sent or (len(bare) > 2 and bare in everything) or any(v in bare for v in longer)  # noqa: PLR2004
        words.append("…" if repeats else word)
    short = re.sub(r"…( …)+", "…", " ".join(words))
    return short if len(short) <= LONGEST_MESSAGE else short[: LONGEST_MESSAGE - 1] + "…"


def _values(body: bytes) -> set[str]:
    """Everything of an operation that is a value and not a name, in lower case, whole and by its words."""
    try:
        top = orjson.loads(body)
    except orjson.JSONDecodeError:
        top = body.decode(errors="replace")
    found: set[str] = set()
    left = [top]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
        elif node is not None and not isinstance(node, bool):
            text = str(node).casefold()
            found.update([text, *text.split(), *re.findall(r"\w+", text)])
    found.discard("")
    return found


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
        concurrency: how many idle connections are kept; a thread more than that gets one for the while.
        version: for the User-Agent.
        probe: called with ("before"|"after", "connect"|"write"|"read"|"body") at each step of a socket, in the
            thread that sends; tests crash there.

    Raises:
        ConfigError: the region is unknown, `base_url` is not on loopback, or `ca_file` does not exist.
    """

    def __init__(  # noqa: PLR0913 each is a plain fact of the destination
        self, *, site_id: str, api_key: str, region: str = "us", base_url: str = "", ca_file: str = "",
        concurrency: int = 4, version: str = "0", probe: Probe = _no_probe,
    ) -> None:  # fmt: skip
        if base_url:
            loopback_only(base_url)
        if region not in REGIONS:
            raise ConfigError("the region of a destination is `us` or `eu`", hint="which one: Customer.io, Settings, Account")
        if ca_file and not Path(ca_file).is_file():
            raise ConfigError("`ca_file` of the destination does not exist", hint="the path is relative to where revetl runs")
        self._site_id = site_id
        self._api_key = api_key
        self._region = region
        self._ca_file = ca_file
        self._agent = f"revetl/{version}"
        self._probe = probe
        self._free: list[_Line] = []
        self._busy: set[_Line] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._concurrency = concurrency
        self._base = base_url.rstrip("/") or f"https://{_region(region).track_host}"

    def send(self, body: bytes, *, deadline_s: float, path: str = BATCH.path) -> Reply:
        """Post one batch; see `destination.Sender`."""
        return self._exchange("POST", path, body, deadline_s)

    def workspace(self) -> Workspace:
        """Which workspace the credentials belong to; nothing is changed there.

        Raises:
            CredentialsRefused: HTTP 401 or 403.
            ConfigError: another region, a redirect, or a certificate that cannot be verified.
            DestinationDown: no answer, or one that cannot be understood.
        """
        reply = self._exchange("GET", REGION_PATH, None, 30.0)
        where = urlsplit(self._base).netloc
        if reply.status in {401, 403}:
            raise CredentialsRefused(
                f"{where} refused the credentials (HTTP {reply.status}); no row was sent",
                hint="check site_id and api_key of the destination: `revetl debug` shows where they come from",
            )
        if reply.status == 0 and reply.error == TLS_REFUSED:
            raise ConfigError(
                f"the certificate of {where} could not be verified; nothing was sent",
                hint="is a proxy between? There is no switch that turns the verification off; to try it again: revetl debug",
            )
        if 300 <= reply.status < 400:  # noqa: PLR2004 redirects
            host = _host_of(reply.location)
            raise ConfigError(
                f"{where} redirects to {host}, and redirects are never followed; nothing was sent",
                hint=_region_hint(host).strip(":; "),
            )
        try:
            body = orjson.loads(reply.body if reply.status == 200 and reply.complete else b"")  # noqa: PLR2004 success
            found = Workspace(environment_id=int(body["environment_id"]), region=str(body["region"]), url=str(body["url"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            said = f"HTTP {reply.status}" if reply.status else reply.error or "no answer"
            raise DestinationDown(
                f"{where} could not be asked for its workspace ({said}); nothing was sent",
                hint="is the address right and reachable? try: revetl debug",
            ) from None
        if found.region != self._region and not _is_loopback(urlsplit(self._base).hostname or ""):
            raise ConfigError(
                f"the workspace is in another region than {self._region!r}, which the destination says; nothing was sent",
                hint=f"set `region: {found.region}` for this destination in profiles.yml" if found.region in REGIONS else "",
            )
        return found

    def workspace_id(self) -> str:
        """The workspace's stable id, to which the state is bound."""
        return str(self.workspace().environment_id)

    def close(self) -> None:
        """Close all connections, also those in use: their requests end at once, with an unknown outcome. Final."""
        with self._lock:
            self._closed = True
            idle, self._free = self._free, []
            busy = list(self._busy)
        for line in busy:
            line.cut()
        for line in idle:
            line.close()

    def _exchange(self, method: str, path: str, body: bytes | None, deadline_s: float) -> Reply:
        with self._lock:
            if self._closed:
                return Reply(status=0, sent=False, complete=False, error="Closed")
            line = self._free.pop() if self._free else _Line(self._client(), self._ca_file, self._agent, self._probe)
            self._busy.add(line)
        try:
            return line.exchange(method, self._base + path, body, deadline_s)
        finally:
            with self._lock:
                self._busy.discard(line)
                keep = len(self._free) < self._concurrency and not self._closed
                if keep:
                    self._free.append(line)
            if not keep:
                line.close()

    def _client(self) -> CustomerIO:
        return CustomerIO(self._site_id, self._api_key, region=_region(self._region), retries=0)


def _region(name: str) -> Any:  # noqa: ANN401 the SDK's untyped value
    return {"us": Regions.US, "eu": Regions.EU}[name]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def loopback_only(url: str) -> None:
    """Let the address of a sandbox be on this machine only.

    Raises:
        ConfigError: it is not, or it is no plain address at all.
    """
    try:
        parts = urlsplit(url)
        plain = parts.scheme in {"http", "https"} and _is_loopback(parts.hostname or "") and parts.port != 0
        # parsers disagree about what stands around a host
        whole = _LOCAL.fullmatch(parts.netloc) and parts.netloc in url
        good = plain and whole and not (parts.query or parts.fragment or "\\" in url)
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            "the address of a sandbox must be http(s) on this machine (127.0.0.1)",
            hint="for Customer.io itself set `type: customerio` and `region`; its hosts are known",
        )


class _Line:
    """One client with one connection, whose socket can be shut when the deadline passes."""

    def __init__(self, client: CustomerIO, ca_file: str, agent: str, probe: Probe) -> None:
        self._client = client
        self._probe = probe
        self._wire = _Wire(probe)
        # as bytes: requests would write text as Latin-1, and fail for anything else
        self._auth = (str(client.site_id).encode(), str(client.api_key).encode())
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
        self._wire.release()

    def cut(self) -> None:
        self._wire.cut()

    def exchange(self, method: str, url: str, body: bytes | None, deadline_s: float) -> Reply:
        """One request and its reply within `deadline_s`, whatever the server does."""
        wire = self._wire
        began = time.monotonic()
        turn = wire.begin(began + deadline_s)
        # the timeout of a socket is between bytes, so a dripping answer never meets it: the socket is shut instead
        watch = threading.Timer(deadline_s, wire.cut, (turn,))
        watch.daemon = True
        watch.start()
        status, got, retry_after, location, whole, failure = 0, b"", None, "", False, ""
        try:
            with self._session.request(
                method, url, data=body, headers={"Content-Type": "application/json"} if body else None, stream=True,
                timeout=(min(CONNECT_S, deadline_s), deadline_s), allow_redirects=False,
                auth=self._auth,  # type: ignore[arg-type]  # bytes are taken as they are
            ) as answer:  # fmt: skip
                status = answer.status_code
                retry_after, location = _retry_after(answer.headers), answer.headers.get("Location", "")
                self._probe("before", "body")
                got, whole = _read(answer.raw)
                self._probe("after", "body")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # texts of these errors may repeat the payload: only the class is kept
            failure = _name_of(error)
        finally:
            watch.cancel()
            wire.end()
        if wire.was_cut or (failure and time.monotonic() - began >= deadline_s):
            failure, whole = "Deadline", False
        return Reply(
            status=status, body=got, complete=whole, retry_after_s=retry_after, location=location,
            sent=wire.sent, error=failure, seconds=time.monotonic() - began,
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


def _name_of(error: BaseException) -> str:
    """The class of what went wrong at the bottom; `TLS_REFUSED` where trying again cannot help."""
    chain = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    for one in chain:
        # a connection that ends within the handshake is trouble of the network; all else is a refusal
        if isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return TLS_REFUSED
    return type(chain[-1]).__name__


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: a number, or a date (RFC 9110, 10.2.3); nonsense is no wish."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class _Wire:
    """The socket of one line: whether anything went out on it, and the power to shut it from another thread.

    It holds a second handle of the socket, since the first one is out of reach in a TLS handshake and while an
    answer is read that ends with the connection.
    """

    def __init__(self, probe: Probe = _no_probe) -> None:
        self.probe = probe
        self.sent = False
        self.was_cut = False
        self._lock = threading.Lock()
        self._turn = 0
        self._until = 0.0
        self._connection: HTTPConnection | None = None
        self._handle: socket.socket | None = None

    def begin(self, until: float = float("inf")) -> int:
        """A new exchange, which ends at `until` (monotonic); its number is what a watch may cut."""
        with self._lock:
            self._turn += 1
            self._until = until
            self.sent = self.was_cut = False
            return self._turn

    def end(self) -> None:
        """The exchange is over: a watch that comes too late must not hit the next one."""
        with self._lock:
            self._turn += 1
            if self._connection is not None and self._connection.sock is None:
                self._drop()  # urllib3 has closed it; without this the server would not see that

    def opened(self, connection: HTTPConnection, sock: socket.socket) -> None:
        """A connection was made; after the deadline it is not used."""
        with self._lock:
            self._refuse()
            self._drop()
            self._connection, self._handle = connection, sock.dup()

    def sending(self) -> None:
        """Bytes go out now: from here on the server may have something."""
        with self._lock:
            self._refuse()
            self.sent = True

    def release(self) -> None:
        """Let the system close the connection."""
        with self._lock:
            self._drop()

    def cut(self, turn: int | None = None) -> None:
        """Shut the socket, so that a blocked read or write ends; in a given exchange only, or whatever it does."""
        with self._lock:
            if turn is not None and turn != self._turn:
                return
            self.was_cut = True
            if self._handle is not None:
                with suppress(OSError):  # the other side was quicker
                    self._handle.shutdown(socket.SHUT_RDWR)

    def _refuse(self) -> None:
        # the watch is late where the whole process stood still, and then another run may be at work
        self.was_cut = self.was_cut or time.monotonic() >= self._until
        if self.was_cut:
            raise TimeoutError

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()


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
        def _new_conn(self) -> socket.socket:
            wire.probe("before", "connect")
            sock: socket.socket = super()._new_conn()
            wire.probe("after", "connect")
            try:
                wire.opened(self, sock)
            except OSError:
                sock.close()
                raise
            return sock

        def send(self, data: Any) -> None:  # noqa: ANN401 http.client's signature
            if self.sock is None:
                self.connect()
            wire.probe("before", "write")
            wire.sending()
            super().send(data)
            wire.probe("after", "write")

        def getresponse(self) -> Any:  # noqa: ANN401 http.client's answer
            wire.probe("before", "read")
            answer = super().getresponse()
            wire.probe("after", "read")
            return answer

    class Pool(pool):  # type: ignore[misc]  # a class made for one wire
        ConnectionCls = Connection

    made: Callable[..., Any] = Pool
    return made
