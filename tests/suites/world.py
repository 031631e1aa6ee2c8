"""A small world for scenarios: a real warehouse, a real sandbox workspace over HTTP, and revetl between them.

A scenario changes tables with plain SQL, runs, and asks what Customer.io holds afterwards. Nothing is mocked;
time passes by moving the control row's times back.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Field, FieldType, IdentifierKind, Initial, Sync, SyncType
from revetl.customerio import TrackSender
from revetl.delivery import Clock, DeliverySettings, RealClock
from revetl.elsewhere import StateElsewhere, open_elsewhere, placed
from revetl.engine import CompiledSync, DiffResult, Engine, RunOptions, RunResult
from revetl.errors import Where
from revetl.gates import Gate
from revetl.plan import Counts
from revetl.profiles import Elsewhere
from revetl.sandbox import Sandbox
from revetl.warehouse import Probe, Warehouse, open_warehouse

SCHEMA = "revetl_test"
FAST = DeliverySettings(
    requests_per_second=100_000, operations_per_second=10_000_000, max_batch_operations=100, request_deadline_s=5
)


def attribute(name: str, kind: str = "string", **rules: Any) -> Field:
    """A field whose column has its name."""
    return Field(name=name, column=rules.pop("column", name), type=FieldType(kind), **rules)


def people_sync(**changes: Any) -> Sync:
    """The people of most scenarios: table `people` (id, email, plan, spent)."""
    base = Sync(
        name="people", uid="people01", type=SyncType.PERSON, model="people", relation="ref('people')",
        identifier=IdentifierKind.ID, key="id",
        fields=(attribute("email"), attribute("plan"), attribute("spent", "number")),
        where=Where(file="syncs/people.yml", line=3),
    )  # fmt: skip
    return replace(base, **changes)


def orders_sync(**changes: Any) -> Sync:
    """The events of most scenarios: table `orders` (order_id, person, at, value)."""
    base = Sync(
        name="orders", uid="orders01", type=SyncType.EVENT, model="orders", relation="ref('orders')",
        identifier=IdentifierKind.ID, key="order_id", event="Order Completed", person="person", person_sync="people",
        occurred_at="bought_at", initial=Initial.SEND,
        fields=(attribute("order_id", required=True), attribute("value", "number", required=True)),
        where=Where(file="syncs/events.yml", line=3),
    )  # fmt: skip
    return replace(base, **changes)


class Quiet:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.plans: dict[str, Counts] = {}

    def note(self, text: str) -> None:
        """Keep a line."""
        self.notes.append(text)

    def planned(self, sync: Sync, counts: Counts) -> None:
        """Keep a plan."""
        self.plans[sync.name] = counts

    def progress(self, sync: Sync, done: int, total: int, requests: int) -> None:
        """Nothing to keep."""


class SandboxDestination:
    """The real sender, with the one more question that a run asks."""

    def __init__(self, box: Sandbox, site_id: str | None = None) -> None:
        self.sender = TrackSender(
            site_id=site_id or box.site_id, api_key=box.api_key, base_url=box.url, concurrency=4
        )

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
        """Post a batch."""
        return self.sender.send(body, deadline_s=deadline_s, path=path)

    def workspace_id(self) -> str:
        """The sandbox's id."""
        return str(self.sender.workspace().environment_id)

    def close(self) -> None:
        """Close the connections."""
        self.sender.close()


@dataclass
class World:
    """One warehouse and one workspace.

    Attributes:
        connect: opens the warehouse (`read_only`, `probe`).
        kind: of warehouse.
        box: the workspace.
        ahead_s: how far the warehouse's clock has gone on.
        journeys: what the taxonomy says of them.
        gate: makes the tests that stand before the syncs.
        source: opens the warehouse to write, where `connect` opens that of the state beside it.
        state: the engine of the state, where it is another one.
    """

    connect: Callable[..., Warehouse]
    box: Sandbox
    kind: str = "duckdb"
    syncs: list[Sync] = field(default_factory=lambda: [people_sync(), orders_sync()])
    observer: Quiet = field(default_factory=Quiet)
    statements: int = 0
    ahead_s: int = 0
    journeys: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    gate: Callable[[Warehouse], Gate] | None = None
    source: Callable[[], Warehouse] | None = None
    state: str = ""

    def sql(self, *statements: str) -> None:
        """Change the warehouse as its users would."""
        for side, of_it in groupby(statements, self.side):
            warehouse = side()
            try:
                for statement in of_it:
                    warehouse.execute(sa.text(statement.replace(":", r"\:")))
            finally:
                warehouse.close()

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Read the warehouse."""
        warehouse = self.side(query)()
        try:
            return warehouse.fetch(sa.text(query.replace(":", r"\:")))
        finally:
            warehouse.close()

    def side(self, statement: str) -> Callable[[], Warehouse]:
        """Where a statement belongs: the state's tables may be in another engine than the models'."""
        return self.connect if self.source is None or SCHEMA in statement else self.source

    def people_table(self, *rows: tuple[Any, ...]) -> None:
        """(Re)create `people` (id, email, plan, spent)."""
        self.sql(
            "DROP TABLE IF EXISTS people",
            "CREATE TABLE people (id varchar(200), email text, plan text, spent decimal(18,2))",
        )
        if rows:
            self.sql("INSERT INTO people VALUES " + ", ".join(_row(row) for row in rows))

    def orders_table(self, *rows: tuple[Any, ...]) -> None:
        """(Re)create `orders` (order_id, person, hours ago, value)."""
        self.sql(
            "DROP TABLE IF EXISTS orders",
            "CREATE TABLE orders (order_id text, person text, bought_at timestamp with time zone, value decimal(18,2))",
        )
        for order, person, hours, value in rows:
            self.order(order, person, hours, value)

    def order(self, order: str, person: str | None, hours: float, value: float) -> None:
        """One more order."""
        who = "NULL" if person is None else f"'{person}'"
        self.sql(f"INSERT INTO orders SELECT '{order}', {who}, {self.ago(hours)}, {value}")

    # --- what each engine says in its own way ----------------------------------------------------------------------

    def ago(self, hours: float | str) -> str:
        """A time so many hours ago, which may be an expression."""
        if self.kind == "snowflake":
            return f"dateadd('second', CAST(-3600 * ({hours}) AS integer), current_timestamp)"
        return f"current_timestamp - ({hours}) * interval '1 hour'"

    def numbers(self, last: int) -> str:
        """A table `t` with 1 to `last` in its column `i`."""
        if self.kind == "snowflake":  # seq4() may leave numbers out
            return f"(SELECT row_number() OVER (ORDER BY 1) AS i FROM table(generator(rowcount => {last}))) AS t"
        return f"generate_series(1, {last}) AS t(i)"

    def now_ms(self) -> int:
        """The clock of the state's warehouse."""
        now = "date_part(epoch_millisecond, current_timestamp)" if self.kind == "snowflake" else (
            "floor(extract(epoch FROM current_timestamp) * 1000)")  # fmt: skip
        return int(self.ask(f"SELECT CAST({now} AS bigint) FROM {SCHEMA}.ctl__ws")[0][0])

    def retype(self, table: str, column: str, kind: str) -> None:
        """Give a column of a model's table another type."""
        if self.kind == "snowflake":  # its ALTER changes neither the family of a type nor its scale
            self.sql(f"CREATE OR REPLACE TABLE {table} AS SELECT * REPLACE (CAST({column} AS {kind}) AS {column}) FROM {table}")
        else:
            self.sql(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}")

    def text(self, value: str) -> str:
        """A text as SQL: a backslash escapes in Snowflake."""
        plain = value.replace("\\", "\\\\") if self.kind == "snowflake" else value
        return "'" + plain.replace("'", "''") + "'"

    def own(self, name: str) -> str:
        """A name of the state's that has to be quoted."""
        return f'"{name.upper() if self.kind == "snowflake" else name}"'

    def state_columns(self) -> list[tuple[str, str]]:
        """(table, column) of every column in the state's schema, as the catalog has them."""
        found = self.ask("SELECT table_name, column_name FROM information_schema.columns "
                         f"WHERE lower(table_schema) = '{SCHEMA}'")  # fmt: skip
        return sorted((str(table), str(column)) for table, column in found)

    def state_tables(self) -> set[str]:
        """The tables of the state's schema."""
        return {table.lower() for table, _ in self.state_columns()}

    def compiled(self, names: Sequence[str] = ()) -> list[CompiledSync]:
        """The world's syncs; each reads the table of its name."""
        written = self.written(names)
        return [placed(one) for one in written] if self.source is not None else written

    @property
    def pages(self) -> int:
        """The INSERTs of a run of one sync that bring its rows, fewer than a page, to a state that is elsewhere."""
        return 1 if self.state == "duckdb" else 0

    @property
    def staging(self) -> int:
        """The most statements that a model's rows need on their way to a state that is elsewhere."""
        return 6 if self.source is not None else 0

    def written(self, names: Sequence[str] = ()) -> list[CompiledSync]:
        """The syncs with their models' own SQL."""
        return [
            CompiledSync(sync=sync, sql=f"SELECT * FROM {sync.model}", locate=lambda line: Where(file="m.sql", line=line))
            for sync in self.syncs
            if not names or sync.name in names
        ]

    def adopted(self, warehouse: Warehouse) -> Warehouse:
        """The state's warehouse, which knows the syncs."""
        if isinstance(warehouse, StateElsewhere):
            for one in self.written():
                warehouse.adopt(one)
        return warehouse

    def engine(self, warehouse: Warehouse, clock: Clock | None = None) -> Engine:
        """An engine over it."""
        return Engine(
            self.later(self.adopted(warehouse)), schema=SCHEMA, syncs=self.compiled(),
            clock=clock or RealClock(), observer=self.observer,
            journeys=self.journeys, gate=self.gate(warehouse) if self.gate is not None else None,
        )  # fmt: skip

    def later(self, warehouse: Warehouse) -> Warehouse:
        """The warehouse with its clock moved on."""
        if self.ahead_s:
            now, ahead = warehouse.dialect.now_ms, self.ahead_s * 1000
            warehouse.dialect = replace(warehouse.dialect, now_ms=lambda: now() + ahead)
        return warehouse

    def run(
        self,
        *names: str,
        settings: DeliverySettings = FAST,
        probe: Probe | None = None,
        destination: Callable[[], Any] | None = None,
        clock: Clock | None = None,
        seed: int = 7,
        key_print: str = "",
        **options: Any,
    ) -> RunResult:
        """One whole run, as `revetl run` makes it."""
        warehouse = self.connect(probe=probe)
        try:
            result = self.engine(warehouse, clock).run(
                self.compiled(names), RunOptions(**options), settings=settings, rng=random.Random(seed),
                connect=destination or (lambda: SandboxDestination(self.box)), owner=f"test-{os.getpid()}-{seed}",
                key_print=key_print,
            )  # fmt: skip
            self.statements = warehouse.statements
            return result
        finally:
            warehouse.close()

    def diff(self, *names: str, show: int = 0, check: bool = False, **options: Any) -> DiffResult:
        """A diff in a read-only session."""
        warehouse = self.connect(read_only=True)
        try:
            return self.engine(warehouse).diff(
                self.compiled(names), RunOptions(**options), settings=FAST, show=show, check=check
            )
        finally:
            warehouse.close()

    def forget_drain(self) -> None:
        """Let the drain wait and every lease pass, as time would."""
        for (table,) in self.ask(
            f"SELECT table_name FROM information_schema.tables WHERE lower(table_schema) = '{SCHEMA}' "
            "AND lower(table_name) LIKE 'ctl^_^_%' ESCAPE '^'"
        ):
            self.sql(f'UPDATE {SCHEMA}."{table}" SET lease_until = 1, drain_until = 1')
        self.sql(f"DELETE FROM {SCHEMA}.rates")

    # --- what Customer.io holds ------------------------------------------------------------------------------

    def api(self, path: str, body: Any = None) -> Any:
        """Call the sandbox's App API."""
        request = urllib.request.Request(self.box.url + path)  # noqa: S310 loopback
        request.add_header("Authorization", f"Bearer {self.box.app_api_key}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 loopback
            return json.loads(answer.read() or b"{}")

    def track(self, path: str, body: Any) -> None:
        """Call the Track API as another writer would."""
        request = urllib.request.Request(self.box.url + path, data=json.dumps(body).encode())  # noqa: S310 loopback
        key = b64encode(f"{self.box.site_id}:{self.box.api_key}".encode()).decode()
        request.add_header("Authorization", f"Basic {key}")
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 loopback

    def person(self, identifier: str) -> dict[str, str] | None:
        """Attributes of one person as the App API reads them back, or None."""
        found = self.api("/v1/customers/attributes", {"ids": [identifier]})["customers"]
        if not found:
            return None
        return {k: v for k, v in found[0]["attributes"].items() if k not in {"id", "cio_id", "_created_in_customerio_at"}}

    def held(self) -> Mapping[str, Any]:
        """Totals of the workspace."""
        found: Mapping[str, Any] = self.api("/sandbox/summary")
        return found


def _row(values: tuple[Any, ...]) -> str:
    return "(" + ", ".join("NULL" if v is None else str(v) if isinstance(v, int | float) else f"'{v}'" for v in values) + ")"


def postgres_fields(uri: str, name: str) -> dict[str, Any]:
    """The fields of a connection to a database of the tests' server."""
    url = sa.engine.make_url(uri)
    return {"host": url.query["host"], "user": url.username, "dbname": name}


@contextmanager
def duckdb_world(folder: Path) -> Iterator[Callable[..., Warehouse]]:
    """A DuckDB file of its own."""
    path = folder / "warehouse.duckdb"

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        return open_warehouse("duckdb", {"path": str(path)}, root=folder, read_only=read_only, probe=probe)

    yield connect


@contextmanager
def snowflake_server() -> Iterator[dict[str, Any]]:
    """Fakesnow's server; the fields of a target that reaches it. Its temporary folders go with it."""
    with tempfile.TemporaryDirectory(prefix="revetl-snowflake-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-W", "ignore", "-m", "tests.suites.snowflake_server"]
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            cwd=Path(__file__).parents[2], env={**os.environ, "TMPDIR": folder},
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            yield {"account": "fake", "user": "test", "password": "none", "host": "127.0.0.1", "port": port, "protocol": "http",
                   "network_timeout": 300}  # fmt: skip
        finally:
            server.stdin.close()
            server.wait(30)
            server.stdout.close()


@contextmanager
def snowflake_world(target: Mapping[str, Any], name: str) -> Iterator[Callable[..., Warehouse]]:
    """A database of its own (on a live account: a schema of its own for the scenario's tables)."""
    live = bool(target.get("database"))
    fields = {**target, "schema": name} if live else {**target, "database": name, "schema": "PUBLIC"}

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        return open_warehouse("snowflake", fields, root=Path(), read_only=read_only, probe=probe)

    if not live:  # the server keeps it in memory
        yield connect
        return
    warehouse = connect()
    try:
        warehouse.execute(sa.text(f"CREATE TRANSIENT SCHEMA {name}"))
        yield connect
    finally:
        for schema in (name, SCHEMA):
            warehouse.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema}"))
        warehouse.close()


@contextmanager
def elsewhere(
    world: World, source: Callable[..., Warehouse], state: Elsewhere, folder: Path
) -> Iterator[World]:
    """The world with its state in another engine; the warehouse is only read."""

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        opened = source(read_only=True)
        return world.adopted(open_elsewhere(opened, state, root=folder, read_only=read_only, probe=probe))

    world.source, world.connect, world.state = source, connect, state.kind
    yield world


@contextmanager
def postgres_world(uri: str, name: str) -> Iterator[Callable[..., Warehouse]]:
    """A database of its own on a real server."""
    engine = sa.create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    fields = postgres_fields(uri, name)

    def connect(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        return open_warehouse("postgres", fields, root=Path(), read_only=read_only, probe=probe)

    try:
        yield connect
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        engine.dispose()
