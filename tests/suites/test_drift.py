"""A model that still fits its contract, and is not what it was: warned of or stopped; on every warehouse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from revetl.contracts import Drift, DriftAction, Jump
from revetl.drift import Profile
from revetl.errors import ExitCode
from tests.suites.world import SCHEMA, World, attribute, people_sync

DRIFT = Drift(types=DriftAction.STOP, null_rate=Jump(warn=0.05, stop=0.5), row_count=Jump(warn=0.3, stop=0.8))


@pytest.fixture
def watched(world: World) -> World:
    """Forty people, two of them without a plan, seen by one run."""
    world.people_table(*((f"p{i}", f"p{i}@example.com", None if i < 2 else "free", 0) for i in range(40)))
    world.syncs = [people_sync(drift=DRIFT)]
    assert world.run().syncs[0].warnings == ()
    return world


def warned(world: World) -> list[str]:
    looked = world.diff().syncs[0]
    result = world.run()
    assert result.exit_code == ExitCode.OK
    assert [w.message for w in looked.warnings] == [w.message for w in result.syncs[0].warnings]
    return [w.code for w in result.syncs[0].warnings]


def test_nothing_is_said_where_nothing_changed(watched: World) -> None:
    assert warned(watched) == []
    assert watched.ask(f"SELECT count(*) FROM {SCHEMA}.profiles") == [(2,)]


def test_a_new_value_is_a_warning_and_is_not_shown(watched: World) -> None:
    watched.sql("UPDATE people SET plan = 'secret-plan' WHERE id = 'p9'")
    assert warned(watched) == ["RV266"]
    said = watched.ask(f"SELECT count(*) FROM {SCHEMA}.sync_log WHERE warnings LIKE '%no earlier run saw%'")
    assert said == [(1,)]
    for table, column in (("sync_log", "warnings"), ("profiles", "profile")):
        assert watched.ask(f"SELECT count(*) FROM {SCHEMA}.{table} WHERE {column} LIKE '%secret%'") == [(0,)]
    assert warned(watched) == [], "it has been seen now"


def test_an_enum_is_watched_however_many_values_there_are(world: World) -> None:
    rows = [(f"p{i}", f"p{i}@example.com", f"plan{i}", 0) for i in range(60)]
    world.people_table(*rows)
    plan = attribute("plan", enum=tuple(f"plan{i}" for i in range(61)))
    world.syncs = [people_sync(drift=DRIFT, fields=(attribute("email"), plan))]
    world.run()
    [(text,)] = world.ask(f"SELECT profile FROM {SCHEMA}.profiles")
    assert list(Profile.read(text, accepted=False).values) == ["plan"], "addresses are no list of choices"
    world.sql("UPDATE people SET plan = 'plan60' WHERE id = 'p7'")
    assert [w.code for w in world.run().syncs[0].warnings] == ["RV266"]


def test_nulls_warn_and_stop(watched: World) -> None:
    watched.sql("UPDATE people SET email = NULL WHERE id IN ('p1', 'p2', 'p3', 'p4')")
    assert warned(watched) == ["RV267"]
    before = watched.held()["requests"]
    watched.sql("UPDATE people SET email = NULL")

    (problem,) = watched.diff().syncs[0].problems
    stopped = watched.run().syncs[0]

    assert stopped.error is not None
    assert (stopped.error.code, stopped.error.exit_code) == ("RV269", ExitCode.GUARD)
    assert stopped.error.hint == problem.hint
    assert watched.held()["requests"] == before
    code = stopped.error.hint.split()[-1]
    assert watched.run(confirm_drift="00000000").exit_code == ExitCode.GUARD
    assert watched.run(confirm_drift=code).exit_code == ExitCode.OK
    assert warned(watched) == [], "it is the new normal"


def test_rows_that_vanish_stop(watched: World) -> None:
    watched.sql("DELETE FROM people WHERE id NOT IN ('p1', 'p2', 'p3')")
    assert [p.code for p in watched.diff().syncs[0].problems] == ["RV269"]
    assert watched.run().exit_code == ExitCode.GUARD
    assert watched.ask(f"SELECT count(*) FROM {SCHEMA}.profiles") == [(1,)], "what was stopped is not the normal"


def test_columns_that_change_or_go(watched: World) -> None:
    watched.sql("ALTER TABLE people ADD COLUMN note text")
    watched.run()
    watched.sql("ALTER TABLE people DROP COLUMN note")
    assert warned(watched) == ["RV265"]
    watched.retype("people", "spent", "decimal(18,3)")
    assert [p.code for p in watched.diff().syncs[0].problems] == ["RV269"]
    watched.syncs = [people_sync(drift=replace(DRIFT, types=DriftAction.OFF))]
    assert watched.diff().syncs[0].problems == ()


def test_a_sync_without_drift_pays_no_statement_and_one_with_it_three(world: World) -> None:
    found = {}
    for drift in (None, Drift(new_values=DriftAction.OFF)):
        world.syncs = [people_sync(drift=drift)]
        world.run("people")
        world.run("people")
        found[drift is not None] = world.statements
    assert found[True] - found[False] == 3
