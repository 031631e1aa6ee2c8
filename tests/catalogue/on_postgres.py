"""Faults that only a server can have: lost connections, locks, limits, rights."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from revetl.engine import RunResult
from revetl.warehouse import Probe, Warehouse, open_warehouse
from tests.catalogue.told import Told, told
from tests.crash.proxy import Proxy, Rule
from tests.faults.runs import Scene, scene
from tests.faults.server import HONEST, FaultServer
from tests.faults.workspace import Workspace
from tests.suites.world import SCHEMA, World, orders_sync, people_sync, postgres_world


@dataclass(frozen=True, slots=True)
class Server:
    """A scene over a database of its own; `name` is the database's."""

    shop: Scene
    name: str


Scenario = Callable[[Server], Told]


@contextmanager
def server(uri: str) -> Iterator[Server]:
    """20 people on PostgreSQL."""
    name = f"f_{uuid.uuid4().hex[:12]}"
    workspace = Workspace()
    with postgres_world(uri, name) as connect, FaultServer([HONEST], workspace=workspace) as fault_server:
        box: Any = SimpleNamespace(url=fault_server.url, site_id="site", api_key="key", app_api_key="")
        shop = Scene(world=World(connect=connect, box=box), server=fault_server, workspace=workspace)
        shop.world.people_table(*((f"p{i}", f"p{i}@example.com", "free", i) for i in range(20)))
        yield Server(shop, name)


def ran(on: Server) -> None:
    """A good run, and a change."""
    on.shop.run("people")
    on.shop.world.sql("UPDATE people SET plan = 'B' WHERE id IN ('p1', 'p2')")


def cut_off(on: Server, at: tuple[str, str], nth: int) -> Probe:
    """The server ends every other session at the n-th boundary of this name."""
    left = [nth]

    def cut(when: str, word: str) -> None:
        if (when, word) == at:
            left[0] -= 1
            if not left[0]:
                on.shop.world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                  "WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip

    return cut


def healed(on: Server) -> None:
    """The fault is over, and time has passed: one clean run is enough."""
    on.shop.world.forget_drain()
    assert on.shop.run("people").exit_code == 0
    assert on.shop.found()[0] == dict(on.shop.world.ask("SELECT id, plan FROM people"))


def while_reading(on: Server) -> Told:
    ran(on)
    return told(on.shop, on.shop.run("people", probe=cut_off(on, ("after", "BEGIN"), 2)))


def at_a_commit(on: Server) -> Told:
    ran(on)
    return told(on.shop, on.shop.run("people", probe=cut_off(on, ("before", "COMMIT"), 3)))


def locked(on: Server) -> Told:
    ran(on)
    on.shop.world.sql(f"ALTER DATABASE {on.name} SET lock_timeout = '100ms'")
    other: Warehouse
    with closing(on.shop.world.connect()) as other:
        other.execute(sa.text("BEGIN"))
        other.execute(sa.text(f"LOCK TABLE {SCHEMA}.ack__people01 IN ACCESS EXCLUSIVE MODE"))
        return told(on.shop, on.shop.run("people"))


def too_slow(on: Server) -> Told:
    ran(on)
    on.shop.world.sql(f"ALTER DATABASE {on.name} SET statement_timeout = '200ms'",
                      "CREATE VIEW slow AS SELECT *, CAST(pg_sleep(1) AS text) AS slept FROM people")  # fmt: skip
    on.shop.world.syncs[0] = people_sync(model="slow", relation="ref('slow')")
    return told(on.shop, on.shop.run("people"))


def without_the_right(on: Server) -> Told:
    role = f"r_{on.name}"
    world = on.shop.world
    world.sql(f"CREATE ROLE {role} LOGIN", f"GRANT CREATE ON DATABASE {on.name} TO {role}", f"GRANT SELECT ON people TO {role}")
    as_owner = world.connect

    def as_role(**options: Any) -> Warehouse:
        warehouse = as_owner(**options)
        warehouse.execute(sa.text(f"SET ROLE {role}"))
        return warehouse

    world.connect = as_role
    on.shop.run("people")
    world.connect = as_owner
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'p1'", f"REVOKE INSERT ON {SCHEMA}.ack__people01 FROM {role}")
    world.connect = as_role
    found = told(on.shop, on.shop.run("people"))
    world.connect = as_owner
    world.sql(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")
    return found


def suspended(on: Server) -> Told:
    """The provider lets nobody in any more: what a hosted server does when its compute sleeps or a quota is used up."""
    ran(on)
    world, name = on.shop.world, on.name
    warehouse: Warehouse = world.connect()
    fields, host = dict(warehouse.engine.url.translate_connect_args()), warehouse.engine.url.query.get("host")
    warehouse.close()
    admin = {"host": host or fields["host"], "user": fields["username"], "dbname": "postgres"}

    def switch(state: str) -> None:
        with closing(open_warehouse("postgres", admin, root=Path(), read_only=False)) as server_itself:
            server_itself.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {state}'))
            server_itself.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))

    asleep = [False]

    def sleep(when: str, word: str) -> None:
        if (when, word) == ("before", "Merge") and not asleep[0]:
            asleep[0] = True
            switch("false")

    try:
        found = told(on.shop, on.shop.run("people", probe=sleep))
    finally:
        switch("true")
    assert asleep[0]
    healed(on)
    return found


def answer_lost(on: Server) -> Told:
    """The COMMIT of a fold reaches the server, whose answer does not come back."""
    ran(on)
    world = on.shop.world
    warehouse: Warehouse = world.connect()
    url = warehouse.engine.url
    warehouse.close()
    host = str(url.query.get("host") or url.host)
    fields = {"user": url.username, "dbname": on.name}
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:  # a socket's path must be short
        proxy = Proxy(Path(folder), host)
        proxy.rule = Rule(n=4, when="after", word=b"COMMIT")
        direct = world.connect

        def wired(*, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
            return open_warehouse("postgres", {**fields, "host": folder}, root=Path(), read_only=read_only, probe=probe)

        world.connect = wired
        try:
            result = on.shop.run("people")
        finally:
            world.connect = direct
            proxy.close()
        assert proxy.rule.done
        found = told(on.shop, result)
    healed(on)
    # a driver words a lost connection as the system reports it: reset, broken or closed
    text = re.sub(r"refused COMMIT: .*", "refused COMMIT: what the driver says", found.text)
    return Told(code=found.code, text=text, left=found.left)


def thirty(on: Server) -> Told:
    """30 streams in one schema, each run by a thread of its own with its own connection."""
    on.shop.run("people")
    world = on.shop.world
    world.orders_table(("o1", "p1", 1, 10))
    world.syncs[1:] = [orders_sync(name=f"orders_{n:02}", uid=f"orders{n:02}") for n in range(30)]
    # people are written by one run at a time, and these runs are of events alone
    with ThreadPoolExecutor(30) as pool:
        results = list(pool.map(lambda n: _alone(on.shop, f"orders_{n:02}"), range(30)))
    assert [int(result.exit_code) for result in results] == [0] * 30
    assert len(on.shop.workspace.events()) == 30
    world.observer.notes.clear()  # who waited for a part of the rate differs from time to time
    return told(on.shop, results[7])


def _alone(shop: Scene, name: str) -> RunResult:
    return replace(shop).run(name, seed=int(name[-2:]) + 100)


ODD = (
    ("a", "NULL", "NULL"), ("A", "''", "0"), ("B", "' '", "-0.0"), ("b", "'NaN'", "1e-300"), ("\u00e9", "'null'", "1e300"),
    ("e\u0301", "'\u00c4'", "0.1"), ("z", "'ss'", "100"), ("\u00df", "'\u00df'", "1e16"),
    ("_", "'a '", "3"), ("\U0001f600", "'A'", "2.5"),
)


def odd_values(on: Server) -> Told:
    """The same rows on both engines, by two runs with a change between them: the same changes, the same people."""
    rows = ", ".join(f"('{key}', NULL, {plan}, CAST({spent} AS double precision))" for key, plan, spent in ODD)
    turn = "UPDATE odd SET plan = CASE plan WHEN '' THEN ' ' WHEN ' ' THEN '' WHEN 'A' THEN 'a' ELSE plan END"

    def twice(shop: Scene) -> tuple[Any, RunResult]:
        shop.world.sql("CREATE TABLE odd (id varchar(200), email text, plan text, spent double precision)",
                       f"INSERT INTO odd VALUES {rows}, ('nan', NULL, 'x', CAST('NaN' AS double precision))")  # fmt: skip
        shop.world.syncs[0] = people_sync(model="odd", relation="ref('odd')")
        first = shop.run("people")
        shop.world.sql(turn)
        second = shop.run("people")
        counted = [(s.counts.created, s.counts.updated, s.counts.unchanged, s.refused) for r in (first, second) for s in r.syncs]
        return (counted, dict(shop.workspace.people)), second

    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as other:
        there, _ = twice(other)
    here, second = twice(on.shop)
    assert here == there
    assert len(here[1]) == len(ODD)
    return told(on.shop, second)


POSTGRES: dict[str, Scenario] = {
    "F09": answer_lost, "F46": while_reading, "F47": at_a_commit, "F48": locked, "F49": too_slow, "F53": without_the_right,
    "F54": suspended, "F56": thirty, "F57": odd_values,
}  # fmt: skip
