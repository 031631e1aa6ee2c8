"""Faults that only a server can have: lost connections, locks, limits, rights."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from revetl.warehouse import Probe, Warehouse
from tests.catalogue.told import Told, told
from tests.faults.runs import Scene
from tests.faults.server import HONEST, FaultServer
from tests.faults.workspace import Workspace
from tests.suites.world import SCHEMA, World, people_sync, postgres_world


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


POSTGRES: dict[str, Scenario] = {
    "F46": while_reading, "F47": at_a_commit, "F48": locked, "F49": too_slow, "F53": without_the_right,
}  # fmt: skip
