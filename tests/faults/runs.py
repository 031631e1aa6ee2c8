"""Whole runs, by the real engine over real sockets against a fault server, and what must be true after each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import sqlalchemy as sa

from revetl.contracts import Guards
from revetl.customerio import TrackSender
from revetl.delivery import Clock, Delivery, DeliverySettings, RealClock, Settled
from revetl.destination import Operation, Reply
from revetl.engine import RunOptions, RunResult
from revetl.errors import ExitCode, RevetlError
from revetl.warehouse import Probe
from tests.bars import Bar
from tests.faults.server import HONEST, FaultServer, Script
from tests.faults.workspace import Workspace
from tests.suites.world import SCHEMA, World, duckdb_world

UNBOUND = {"requests_per_second": 1e6, "operations_per_second": 1e9}
# everything as by default, but quick: a test has no time to wait for half a second
QUICK = DeliverySettings(
    requests_per_second=1e6, operations_per_second=1e9, max_batch_operations=10, request_deadline_s=5.0,
    backoff_first_s=0.005, backoff_longest_s=0.01,
)  # fmt: skip


class FakeClock:
    """A clock that only goes on when somebody waits."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """Its time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let that much time pass, at once."""
        self.waits.append(seconds)
        self.now += seconds


def rows_of(ranges: Sequence[tuple[int, int]]) -> set[int]:
    """Ranges of plan numbers as a set."""
    return {row for low, high in ranges for row in range(low, high + 1)}


class Sent:
    """One delivery of some operations over sockets, and all that it told."""

    def __init__(
        self, server: FaultServer, operations: Sequence[Operation], *, settings: DeliverySettings = QUICK,
        clock: Clock | None = None, seed: int = 1,
    ) -> None:  # fmt: skip
        sender = TrackSender(site_id="s", api_key="k", base_url=server.url, concurrency=settings.concurrency)
        self.delivery = Delivery(sender, settings, clock=clock or RealClock(), rng=random.Random(seed))
        self.settled: list[Settled] = []
        try:
            for told in self.delivery.deliver(operations, idle_every_s=1e9):
                if isinstance(told, Settled):
                    self.settled.append(told)
        finally:
            sender.close()
        self.accepted = set[int]().union(*(rows_of(s.accepted) for s in self.settled))
        self.unknown = set[int]().union(*(rows_of(s.unknown) for s in self.settled))
        self.not_sent = set[int]().union(*(rows_of(s.not_sent) for s in self.settled))
        self.refused = {r.seq for s in self.settled for r in s.refusals}


def person(number: int, **attributes: Any) -> Operation:
    """An identify of one person."""
    operation = {
        "type": "person", "identifiers": {"id": f"p{number}"}, "action": "identify",
        "attributes": {"n": number, **attributes},
    }  # fmt: skip
    return Operation(number, orjson.dumps(operation))


def people(count: int, **attributes: Any) -> list[Operation]:
    """Identifies of so many."""
    return [person(number, **attributes) for number in range(count)]


class Destination:
    """The real sender, to a fault server."""

    def __init__(self, url: str, *, ca_file: str = "", concurrency: int = 4) -> None:
        self.sender = TrackSender(
            site_id="site", api_key="key", base_url=url, ca_file=ca_file, concurrency=concurrency
        )

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Reply:
        """Post a batch."""
        return self.sender.send(body, deadline_s=deadline_s, path=path)

    def workspace_id(self) -> str:
        """As the server says."""
        return self.sender.workspace_id()

    def close(self) -> None:
        """Close the connections."""
        self.sender.close()


@dataclass
class Scene:
    """A warehouse with people and orders, a workspace behind a fault server, and revetl between them.

    Attributes:
        destination: makes what a run connects to.
        names: the syncs of the last run; none stands for all.
    """

    world: World
    server: FaultServer
    workspace: Workspace
    destination: Callable[[], Any] = field(init=False)
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.destination = lambda: Destination(self.server.url)
        # these runs send history that is an hour old, and mean it
        free = Guards(max_triggering=10**6)
        self.world.syncs = [s if s.is_person else replace(s, guards=free) for s in self.world.syncs]

    def fill(self, people: int, orders: int = 40) -> None:
        """So many people p0, p1, ... and orders of them."""
        self.world.people_table(*((f"p{i}", f"p{i}@example.com", "free", i) for i in range(people)))
        self.world.sql(
            "DROP TABLE IF EXISTS orders",
            f"CREATE TABLE orders AS SELECT 'o' || i AS order_id, 'p' || (i % {people}) AS person, "
            f"current_timestamp - interval '1 hour' AS bought_at, CAST(i AS decimal(18,2)) AS value FROM range({orders}) t(i)",
        )  # fmt: skip

    def change(self, plan: str) -> None:
        """Another plan for every other person: as many as the guard lets pass."""
        self.world.sql(f"UPDATE people SET plan = '{plan}' WHERE CAST(substr(id, 2) AS int) % 2 = 0")

    def run(
        self, *names: str, settings: DeliverySettings = QUICK, clock: Clock | None = None, stamped: bool = False,
        probe: Probe | None = None, stopping: Callable[[Callable[[RevetlError], None]], None] = lambda _: None,
        seed: int = 7, **options: Any,
    ) -> RunResult:  # fmt: skip
        """One whole run; events of the past are sent. Unless told otherwise, waits take no time."""
        self.names = names
        warehouse = self.world.connect(probe=probe)
        try:
            engine = self.world.engine(warehouse)
            engine.clock = clock or FakeClock()
            return engine.run(
                self.world.compiled(names), RunOptions(**{"backfill": True, **options}), settings=settings,
                rng=random.Random(seed), connect=self.destination, owner=f"run-{seed}", stopping=stopping,
                identify_timestamp=stamped,
            )  # fmt: skip
        finally:
            warehouse.close()

    def reload(self, script: Script) -> None:
        """A new script, from its beginning; the journal is emptied."""
        self.server.seen.clear()
        self.server.script = script

    # --- what must be true ---------------------------------------------------------------------------------------

    def ask(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """Read the warehouse, on one connection."""
        warehouse = self.world.connect()
        try:
            return [warehouse.fetch(sa.text(query)) for query in queries]
        finally:
            warehouse.close()

    def truth(self) -> tuple[dict[str, str], int]:
        """Each person's plan as the source has it, and how many orders there are."""
        plans, orders = self.ask("SELECT id, plan FROM people", "SELECT count(*) FROM orders")
        return dict(plans), orders[0][0]

    def found(self) -> tuple[dict[str, str], int]:
        """The same, as the workspace has it."""
        return {key: values.get("plan", "") for key, values in self.workspace.people.items()}, len(self.workspace.events())

    def _complete(self, result: RunResult) -> None:
        """The workspace has all that a run says it sent."""
        people, orders = zip(self.found(), self.truth(), strict=True)
        assert people[0] == people[1], "exit 0 and something is missing"
        assert len(result.syncs) == 1 or orders[0] == orders[1], "exit 0 and something is missing"

    def claims(self) -> set[str]:
        """People that the state says were acknowledged."""
        return self._keys(("state", "true"))[0]

    def _current(self) -> tuple[set[str], set[str]]:
        """Those of them who have not changed since; and those of whom something is not known, or was refused."""
        current, unsettled = self._keys(
            ("state", "(_key, plan, email) IN (SELECT (id, plan, email) FROM people)"), ("open", "true")
        )
        return current, unsettled

    def _keys(self, *wanted: tuple[str, str]) -> list[set[str]]:
        tables = f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'"
        if ("state__people01",) not in self.ask(tables)[0]:
            return [set() for _ in wanted]
        found = self.ask(*(f"SELECT _key FROM {SCHEMA}.{kind}__people01 WHERE {condition}" for kind, condition in wanted))
        return [{key for (key,) in rows} for rows in found]

    def ended(self, result: RunResult, expected: ExitCode, *, fault: str, bar: Bar) -> None:
        """The run's exit code is the promised one; 0 is only said with nothing left; the state claims nothing untrue."""
        assert result.exit_code == expected, (result.exit_code, result.error, [s.error for s in result.syncs])
        left = sum(s.unsent + s.refused for s in result.syncs)
        if expected == ExitCode.OK:
            assert left == 0
            self._complete(result)
        assert self.claims() <= set(self.workspace.people) | self.workspace.suppressed, "the state claims what never arrived"
        assert all(count == 1 for count in self.workspace.events().values())
        bar(32, f"{fault}: exit code", found=int(result.exit_code), goal=str(int(expected)))

    def heals(self, **options: Any) -> RunResult:
        """The fault is over: one clean run repairs everything and leaves nothing to do; no acknowledged row goes out again."""
        current, unsettled = self._current()
        self.reload([HONEST])
        start = len(self.workspace.taken)
        result = self.run(*self.names, **options)
        assert result.exit_code == ExitCode.OK, (result.error, [s.error for s in result.syncs])
        again = {str(op["identifiers"]["id"]) for _, op in self.workspace.taken[start:] if op["action"] == "identify"}
        assert not again & (current - unsettled), "acknowledged rows were sent again"
        self._complete(result)
        assert all(count == 1 for count in self.workspace.events().values())
        assert self._current() == (set(self.workspace.people), set()), "a third run would have something to do"
        return result


@contextmanager
def scene(folder: Path, **facts: Any) -> Iterator[Scene]:
    """A small world over DuckDB: 40 people, 40 orders, a server that is well."""
    workspace = Workspace(**facts)
    with duckdb_world(folder) as connect, FaultServer([HONEST], workspace=workspace) as server:
        box: Any = SimpleNamespace(url=server.url, site_id="site", api_key="key", app_api_key="")
        made = Scene(world=World(connect=connect, box=box), server=server, workspace=workspace)
        made.fill(40, 40)
        yield made
