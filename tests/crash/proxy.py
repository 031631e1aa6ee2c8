"""A wire between the client and PostgreSQL that counts the client's messages and can cut the connection at one."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

WHEN = ("before", "within", "after")  # of a message: it does not arrive, half of it does, its answer does not


@dataclass(slots=True)
class Rule:
    """Where to cut: the n-th message that holds this word.

    Attributes:
        seen: messages that held it so far.
        done: the connection was cut.
    """

    n: int = 0
    when: str = "before"
    word: bytes = b""
    seen: int = 0
    done: bool = False


@dataclass(slots=True)
class Proxy:
    """A server in a folder of its own, for the name `host` of a connection.

    Args:
        folder: where its socket is made.
        host: the folder of the real server's socket.
    """

    folder: Path
    host: str
    port: int = 5432
    rule: Rule = field(default_factory=Rule)
    _server: socket.socket = field(init=False)
    _open: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.folder / f".s.PGSQL.{self.port}"))
        self._server.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{self.host}/.s.PGSQL.{self.port}")
                self._open += [client, server]
                wire = _Wire(client, server, self.rule)
                for work in (wire.up, wire.down):
                    threading.Thread(target=work, daemon=True).start()


class _Wire:
    """One connection; `up` is the client's direction, whose messages are looked at one by one."""

    def __init__(self, client: socket.socket, server: socket.socket, rule: Rule) -> None:
        self.client, self.server, self.rule = client, server, rule
        self.swallow = False

    def cut(self) -> None:
        self.rule.done = True
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def up(self) -> None:
        started, left = False, b""
        with suppress(OSError):
            while data := self.client.recv(65_536):
                left += data
                while True:
                    head = 1 if started else 0
                    if len(left) < head + 4:
                        break
                    size = head + struct.unpack("!I", left[head : head + 4])[0]
                    if len(left) < size:
                        break
                    message, left = left[:size], left[size:]
                    # the first message with version 3 begins the session; before it the client asks for encryption
                    begins = not started and message[4:8] == b"\0\3\0\0"
                    if not self.message(message, counts=started):
                        return
                    started = started or begins
        self.cut_quietly()

    def message(self, message: bytes, *, counts: bool) -> bool:
        rule = self.rule
        # Q: a statement without parameters; P: the text of one with parameters; B: one that was prepared before
        if counts and not rule.done and message[:1] in {b"Q", b"P", b"B"} and rule.word in message.upper():
            rule.seen += 1
            if rule.seen == rule.n:
                if rule.when == "before":
                    self.cut()
                    return False
                if rule.when == "within":
                    self.server.sendall(message[: len(message) // 2])
                    self.cut()
                    return False
                self.swallow = True
        self.server.sendall(message)
        return True

    def down(self) -> None:
        with suppress(OSError):
            while data := self.server.recv(65_536):
                # the server has done it (it is ready for the next one), and nobody hears of it
                if self.swallow:
                    if b"Z\0\0\0\5" in data:
                        self.cut()
                        return
                    continue
                self.client.sendall(data)
        self.cut_quietly()

    def cut_quietly(self) -> None:
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
