"""A server of raw sockets that does what a script says, however wrong, and keeps a journal of what it got.

It knows nothing of HTTP libraries: every byte of an answer is written by the test.
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
from io import BufferedReader
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What happens to one request.

    Attributes:
        parts: written one after the other.
        every_s: time between parts; with `repeat`, the last part is written for ever.
        delay_s: before the first part.
        then: `keep` the connection, `close` it, or `reset` it.
        read_body: bytes of the request's body that are read first; None reads all.
    """

    parts: tuple[bytes, ...] = ()
    every_s: float = 0.0
    delay_s: float = 0.0
    repeat: bool = False
    then: str = "keep"
    read_body: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it came."""

    connection: int
    line: str
    headers: dict[str, str]
    body: bytes
    at: float


def http(status: int, body: bytes = b"{}", *headers: str, length: int | None = None) -> bytes:
    """A whole answer with its length, right or wrong."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def say(status: int, body: bytes = b"{}", *headers: str, length: int | None = None) -> Answer:
    """An answer in one piece."""
    return Answer(parts=(http(status, body, *headers, length=length),))


@dataclass
class FaultServer:
    """Listens on loopback; the n-th request gets the n-th answer, later ones the last.

    Attributes:
        script: answers in the order in which requests arrive.
        tls: makes it an HTTPS server.
        greet: instead of HTTP, do this with each new connection.
    """

    script: Sequence[Answer] = (say(200),)
    tls: ssl.SSLContext | None = None
    greet: Callable[[socket.socket, threading.Event], None] | None = None
    seen: list[Seen] = field(default_factory=list)
    accepted: int = 0

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._taken = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(raw)
            thread = threading.Thread(target=self._serve, args=(raw, self.accepted), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket, number: int) -> None:
        connection = raw
        with suppress(OSError, ValueError):
            if self.greet:
                self.greet(raw, self._over)
                return
            if self.tls:
                connection = self.tls.wrap_socket(raw, server_side=True)
                self._open.append(connection)
            reader = connection.makefile("rb")
            while self._one(connection, reader, number):
                pass
        if not self.greet:
            with suppress(OSError):
                connection.close()

    def _one(self, connection: socket.socket, reader: BufferedReader, number: int) -> bool:
        line = reader.readline().decode().strip()
        if not line:
            return False
        headers: dict[str, str] = {}
        while text := reader.readline().decode().strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        with self._lock:
            answer = self.script[min(self._taken, len(self.script) - 1)]
            self._taken += 1
        length = int(headers.get("content-length", "0"))
        wanted = length if answer.read_body is None else min(length, answer.read_body)
        body = reader.read(wanted) if wanted else b""
        self.seen.append(Seen(connection=number, line=line, headers=headers, body=body, at=time.monotonic()))
        self._over.wait(answer.delay_s)
        for part in answer.parts:
            connection.sendall(part)
            self._over.wait(answer.every_s)
        while answer.repeat and not self._over.is_set():
            connection.sendall(answer.parts[-1])
            self._over.wait(answer.every_s)
        if answer.then == "reset":
            # close without the usual goodbye: the client gets a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer.then != "keep":
            reader.close()
            connection.close()
        return answer.then == "keep"
