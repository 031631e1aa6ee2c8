"""PostgreSQL's indexes on the state, which `docs/state.md` names."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from revetl.errors import ExitCode
from revetl.sandbox import Sandbox
from tests.suites.world import SCHEMA, World, postgres_world

INDEXES = {"ix_state__people01", "ix_state__orders01", "ix_state__orders01__time"}


@pytest.fixture
def shop(postgres_uri: str, box: Sandbox) -> Iterator[World]:
    """The scenarios' tables on PostgreSQL."""
    with postgres_world(postgres_uri, f"t_{uuid.uuid4().hex[:12]}") as connect:
        world = World(connect=connect, box=box, kind="postgres")
        world.people_table(*((one, None, "free", 0) for one in "abc"))
        world.orders_table(("o1", "a", 2, 30))
        yield world


def of_the_state(world: World) -> set[str]:
    return {name for (name,) in world.ask(f"SELECT indexname FROM pg_indexes WHERE schemaname = '{SCHEMA}'")}


def test_the_first_load_makes_them_and_no_later_run_does(shop: World) -> None:
    assert shop.run(backfill=True).exit_code == ExitCode.OK
    assert of_the_state(shop) == INDEXES, "and the plans' own are gone with the plans"
    shop.sql("UPDATE people SET plan = 'pro' WHERE id = 'a'")
    assert shop.run().exit_code == ExitCode.OK
    assert of_the_state(shop) == INDEXES


def test_a_state_of_an_older_revetl_gets_them(shop: World) -> None:
    shop.run(backfill=True)
    shop.sql(*(f"DROP INDEX {SCHEMA}.{name}" for name in INDEXES),
             *(f"ALTER TABLE {SCHEMA}.ctl__{uid} DROP COLUMN compared_at" for uid in ("people01", "orders01")),
             *(f"UPDATE {SCHEMA}.ctl__{uid} SET schema_version = 2" for uid in ("people01", "orders01")))  # fmt: skip
    assert shop.run().exit_code == ExitCode.OK
    assert of_the_state(shop) == INDEXES
