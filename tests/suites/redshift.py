"""Redshift for the scenarios: its driver and dialect before a PostgreSQL server, or a live account.

The first shows that the protocol holds in the statements that revetl writes for Redshift, and that the driver brings them over as
they are written. It does not show that Redshift takes them. The second does, and nobody has done it yet:
`make test-redshift ENV=redshift.env`, made from `tests/redshift.env.example`.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl.on_redshift import described
from revetl.profiles import Secret
from revetl.warehouse import Probe, Warehouse, open_warehouse
from tests.suites.world import SCHEMA, World, postgres_world

Connect = Callable[..., Warehouse]
# functions of Redshift that PostgreSQL lacks, by what Amazon's manual says of them
FUNCTIONS = (
    "CREATE FUNCTION getdate() RETURNS timestamp LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() AT TIME ZONE 'UTC' $$",
    "CREATE FUNCTION sha2(text, int) RETURNS text LANGUAGE sql IMMUTABLE AS "
    "$$ SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex') $$",
    "CREATE FUNCTION strtol(text, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS "
    "$$ SELECT ('x' || lpad($1, 16, '0'))::bit(64)::bigint $$",
)


def with_digits(cursor: Any) -> list[tuple[str, str]]:
    """Every decimal of Redshift has a number of digits, which the scenarios' tables leave out."""
    return [(name, "numeric(38,9)" if native == "numeric" else native) for name, native in described(cursor)]


@contextmanager
def door(server: str) -> Iterator[int]:
    """The port of a door to a PostgreSQL server, for Redshift's driver: it takes away what only Redshift knows of a login."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if source.family == socket.AF_INET and hasattr(socket, "TCP_QUICKACK"):  # the driver writes in small pieces
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    ends: set[socket.socket] = set()

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                there = socket.socket(socket.AF_UNIX)
                there.connect(server)
                ends.update((client, there))
                size = struct.unpack("!i", client.recv(4, socket.MSG_WAITALL))[0]
                first = client.recv(size - 4, socket.MSG_WAITALL)
                words = first[4:].rstrip(b"\0").split(b"\0")
                known = [pair for pair in zip(words[::2], words[1::2], strict=False) if pair[0] in {b"user", b"database"}]
                login = first[:4] + b"".join(name + b"\0" + value + b"\0" for name, value in known) + b"\0"
                there.sendall(struct.pack("!i", len(login) + 4) + login)
                for pair in ((client, there), (there, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for end in ends:
            end.close()


@contextmanager
def on_postgres(uri: str, name: str) -> Iterator[Connect]:
    """Redshift's own driver and dialect, and a real PostgreSQL server behind them."""
    place = sa.engine.make_url(uri)
    with postgres_world(uri, name) as plain, door(f"{place.query['host']}/.s.PGSQL.5432") as port:
        warehouse = plain()
        for statement in FUNCTIONS:
            warehouse.execute(sa.text(statement.replace(":", r"\:")))
        warehouse.close()
        fields = {"host": "127.0.0.1", "port": port, "user": place.username, "password": Secret("none"), "dbname": name,
                  "schema": "public", "sslmode": "disable"}  # fmt: skip

        def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
            made = open_warehouse("redshift", fields, root=Path(), read_only=read_only, probe=probe)
            made.dialect = replace(made.dialect, describe=with_digits)
            return made

        yield connect


@contextmanager
def live(file: str, name: str) -> Iterator[Connect]:
    """A schema of its own in the database that a file of `REDSHIFT_<FIELD>=value` names; the role may create schemas."""
    fields = target_of(Path(file).read_text(encoding="utf-8"))

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        warehouse = open_warehouse("redshift", fields, root=Path(), read_only=read_only, probe=probe)
        here = f"SET search_path TO {name}"
        sa.event.listen(warehouse.engine, "connect", lambda connection, _: connection.cursor().execute(here))
        return warehouse

    warehouse = connect()
    try:
        warehouse.execute(sa.text(f"CREATE SCHEMA {name}"))
        yield connect
    finally:
        for schema in (name, SCHEMA):
            warehouse.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        warehouse.close()


def target_of(text: str) -> Mapping[str, Any]:
    """The fields of a target by dbt's names."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    found = {name.strip().removeprefix("REDSHIFT_").lower(): value.strip() for name, _, value in pairs if value.strip()}
    return {**found, "is_serverless": found["is_serverless"] == "true"} if "is_serverless" in found else found


def filled(world: World) -> World:
    """The scenarios' two tables."""
    world.people_table(("a", "ann@example.com", "free", 0), ("b", "bob@example.com", "pro", 12.5))
    world.orders_table(("o1", "a", 2, 30), ("o2", "b", 1, 12.5))
    return world
