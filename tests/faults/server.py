"""A server of raw sockets that does what a script says, however wrong, and keeps a journal of what it got.

It knows nothing of HTTP libraries: every byte of an answer is written by the test, or is what the workspace says of
the request. Nothing happens by time alone unless the script says so: what is applied late is applied when the test asks.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.faults.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What happens to one request.

    Attributes:
        effect: on the workspace, before the answer: `apply`; `twice`, as a proxy does that delivers it twice; `late`,
            when the test calls `apply_late`; or none.
        parts: written one after the other.
        honest: what the workspace says of the request is written instead.
        cut_at: only so many bytes of the honest answer are written.
        every_s: time between parts, or between the bytes of an honest answer; with `repeat`, the last part is written
            for ever.
        delay_s: before the first part.
        then: `keep` the connection, `close` it, or `reset` it.
        read_body: bytes of the request's body that are read first; None reads all.
    """

    effect: str = ""
    parts: tuple[bytes, ...] = ()
    honest: bool = False
    cut_at: int | None = None
    every_s: float = 0.0
    delay_s: float = 0.0
    repeat: bool = False
    then: str = "keep"
    read_body: int | None = None


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as it came.

    Attributes:
        number: of all requests that the script decides on, from 0.
        connection: from 1.
        body: as much as was read of it.
        whole: whether that is as much as was announced.
        at: when it was read, by the server's clock.
        answered: when the first byte of the answer was about to be written; `inf` before.
        answer: what the script said.
    """

    number: int
    connection: int
    line: str
    headers: dict[str, str]
    body: bytes
    whole: bool
    at: float
    answered: float = float("inf")
    answer: Answer | None = None


Script = Sequence[Answer] | Callable[[Seen], Answer]


def http(status: int, body: bytes = b"{}", *headers: str, length: int | None = None) -> bytes:
    """A whole answer with its length, right or wrong."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def say(status: int, body: bytes = b"{}", *headers: str, length: int | None = None) -> Answer:
    """An answer in one piece."""
    return Answer(parts=(http(status, body, *headers, length=length),))


HONEST = Answer(effect="apply", honest=True)


class _Incoming:
    """The bytes of a connection, all of which are kept."""

    def __init__(self, connection: socket.socket, kept: bytearray) -> None:
        self._connection = connection
        self._kept = kept
        self._at = 0

    def line(self) -> str:
        while (end := self._kept.find(b"\n", self._at)) < 0:
            if not self._more(65_536):
                return ""
        text, self._at = self._kept[self._at : end], end + 1
        return text.decode().strip()

    def read(self, size: int) -> bytes:
        while len(self._kept) - self._at < size and self._more(min(65_536, size)):
            pass
        start, self._at = self._at, min(self._at + size, len(self._kept))
        return bytes(self._kept[start : self._at])

    def _more(self, size: int) -> bool:
        try:
            got = self._connection.recv(size)
        except OSError:
            return False
        self._kept += got
        return bool(got)


@dataclass
class FaultServer:
    """Listens on loopback; the n-th request gets the n-th answer, later ones the last; or what the function says.

    Attributes:
        script: answers in the order in which requests arrive; with a workspace, only batches count.
        workspace: what batches are applied to; answers the question for the region.
        region: answers that question instead.
        tls: makes it an HTTPS server.
        greet: instead of HTTP, do this with each new connection.
        clock: of the journal.
        seen: the requests of the script.
        received: every byte, by connection.
        accepted: number of connections.
    """

    script: Script = (say(200),)
    workspace: Workspace | None = None
    region: Answer | None = None
    tls: ssl.SSLContext | None = None
    greet: Callable[[socket.socket, threading.Event], None] | None = None
    clock: Callable[[], float] = time.monotonic
    seen: list[Seen] = field(default_factory=list)
    received: dict[int, bytearray] = field(default_factory=dict)
    accepted: int = 0

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._late: list[tuple[int, bytes]] = []
        self._idle: set[socket.socket] = set()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = 0
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.down()
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    # --- what a test may do meanwhile ----------------------------------------------------------------------------

    def up(self) -> None:
        """Listen (again), on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def down(self) -> None:
        """Refuse connections, and end those that are open."""
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def close_idle(self) -> int:
        """Close the connections on which nothing is under way; how many."""
        with self._lock:
            idle = list(self._idle)
            self._idle.clear()
        for one in idle:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        return len(idle)

    def apply_late(self) -> int:
        """Now let the late requests take effect; how many."""
        with self._lock:
            late, self._late = self._late, []
        for number, body in late:
            assert self.workspace is not None
            self.workspace.take(body, number)
        return len(late)

    def within(self, start: float, end: float) -> list[Seen]:
        """Requests that came after `start` and before `end`."""
        with self._lock:
            return [one for one in self.seen if start < one.at < end]

    # --- at work -------------------------------------------------------------------------------------------------

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(raw)
            self._start(self._serve, raw, self.accepted)

    def _serve(self, raw: socket.socket, number: int) -> None:
        connection = raw
        with suppress(OSError, ValueError):
            if self.greet:
                self.greet(raw, self._over)
                return
            if self.tls:
                connection = self.tls.wrap_socket(raw, server_side=True)
                self._open.append(connection)
            incoming = _Incoming(connection, self.received.setdefault(number, bytearray()))
            while self._one(connection, incoming, number):
                pass
        if not self.greet:
            with suppress(OSError):
                connection.close()

    def _one(self, connection: socket.socket, incoming: _Incoming, number: int) -> bool:
        with self._lock:
            self._idle.add(connection)
        line = incoming.line()
        with self._lock:
            self._idle.discard(connection)
        if not line:
            return False
        headers: dict[str, str] = {}
        while text := incoming.line():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if self.workspace is not None and line.startswith("GET "):
            good = self.workspace.key_is_good
            self._say(connection, self.region or say(200 if good else 401, self.workspace.where()), b"")
            return True
        seen = self._decide(line, headers, incoming, number)
        answer = seen.answer
        assert answer is not None
        own = self._effect(seen, answer) if seen.whole else b""
        self._say(connection, answer, own, seen)
        if answer.then == "reset":
            # close without the usual goodbye: the client gets a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer.then != "keep":
            connection.close()
        return answer.then == "keep"

    def _decide(self, line: str, headers: dict[str, str], incoming: _Incoming, number: int) -> Seen:
        """Note a request, and what the script says to it; how much of the body is read may depend on that."""
        length = int(headers.get("content-length", "0"))
        seen = Seen(number=0, connection=number, line=line, headers=headers, body=b"", whole=False, at=0.0)
        if callable(self.script):
            seen.body = incoming.read(length)
        with self._lock:
            seen.number = len(self.seen)
            self.seen.append(seen)
            seen.at = self.clock()
            if not callable(self.script):
                seen.answer = self.script[min(seen.number, len(self.script) - 1)]
        if callable(self.script):
            seen.answer = self.script(seen)
        else:
            wanted = None if seen.answer is None else seen.answer.read_body
            seen.body = incoming.read(length if wanted is None else min(length, wanted))
        seen.whole = len(seen.body) == length
        return seen

    def _effect(self, seen: Seen, answer: Answer) -> bytes:
        """What the workspace does with the request, and says."""
        if self.workspace is None or not answer.effect:
            return b""
        if answer.effect == "late":
            with self._lock:
                self._late.append((seen.number, seen.body))
            return b""
        status, body = self.workspace.take(seen.body, seen.number)
        if answer.effect == "twice":
            status, body = self.workspace.take(seen.body, seen.number)
        return http(status, body)

    def _say(self, connection: socket.socket, answer: Answer, own: bytes, seen: Seen | None = None) -> None:
        self._over.wait(answer.delay_s)
        if seen is not None:
            seen.answered = self.clock()
        parts: Sequence[bytes] = answer.parts
        if answer.honest:
            own = own[: answer.cut_at]
            parts = [own[i : i + 1] for i in range(len(own))] if answer.every_s else [own]
        for part in parts:
            connection.sendall(part)
            self._over.wait(answer.every_s)
        while answer.repeat and not self._over.is_set():
            connection.sendall(parts[-1])
            self._over.wait(answer.every_s)
