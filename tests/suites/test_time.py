"""Events in time: flagged when they come late, measured, and filled in from the past."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from revetl import upkeep
from revetl.contracts import Initial, Late, Latency
from revetl.delivery import RealClock
from revetl.errors import ExitCode
from revetl.report import Style, status_text
from revetl.unsent import unsent
from tests.bars import Bar
from tests.suites.world import SCHEMA, World, orders_sync, people_sync


def data(world: World, person: str) -> dict[str, Any]:
    """What each event of a person carries, by its order."""
    activities = world.api(f"/v1/activities?type=event&customer_id={person}&id_type=id")["activities"]
    return {a["data"]["order_id"]: a["data"] for a in activities}


def test_an_event_that_comes_late_is_sent_and_says_so(world: World) -> None:
    flagged = orders_sync(late=Late.FLAG, late_property="arrived_late", late_after_s=3 * 3600)
    world.syncs = [people_sync(), flagged]
    world.run(backfill=True)
    world.order("slow", "a", 4, 5)
    world.order("ancient", "a", 100, 5)

    assert world.run().exit_code == ExitCode.OK

    found = {order: facts["arrived_late"] for order, facts in data(world, "a").items()}
    assert found == {"o1": False, "slow": True, "ancient": True}
    assert world.run().requests == 0


class Slow(RealClock):
    """Each look is ten seconds later than the last one."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic() + 10 * self.looks


def measured(world: World, latency: Latency, **surroundings: Any) -> Any:
    """The events' result of a run with a declared latency."""
    world.syncs = [people_sync(), orders_sync(latency=latency, initial=Initial.BASELINE)]
    return world.run(**surroundings).syncs[1]


def test_latency_is_measured_from_the_time_of_the_fact_to_the_answer(world: World) -> None:
    declared = Latency(warn_s=2 * 3600, error_s=6 * 3600)
    assert measured(world, declared).latency is None, "a baseline sends nothing"
    for n, hours in enumerate((1, 1, 1, 3)):
        world.order(f"n{n}", "a", hours, 5)

    found = measured(world, declared)

    m = found.latency
    assert (m.events, m.late, m.verdict, m.late_share) == (4, 1, "warn", 0.25)
    assert 3600 <= m.p50_s < 3700
    assert 3 * 3600 <= m.p95_s == m.max_s < 3 * 3600 + 100
    assert world.run().exit_code == ExitCode.OK
    rows = world.ask(f"SELECT name, events, p95_s, late, warn_s, error_s FROM {SCHEMA}.latency")
    assert rows == [("orders", 4, m.p95_s, 1, 7200, 21_600)]


def test_a_run_counts_its_own_time_and_an_error_fails_it_after_everything_is_sent(world: World) -> None:
    measured(world, Latency(error_s=60))
    world.order("n1", "a", 0, 5)
    world.order("n2", "b", 0, 5)
    world.syncs = [people_sync(), orders_sync(latency=Latency(error_s=60), initial=Initial.BASELINE)]

    result = world.run(clock=Slow())

    assert (result.syncs[1].acknowledged, result.exit_code, result.syncs[1].status) == (2, ExitCode.ROWS_REFUSED, "success")
    assert result.syncs[1].latency is not None
    assert (result.syncs[1].latency.verdict, result.syncs[1].latency.late) == ("error", 2)
    assert world.run().exit_code == ExitCode.OK


def test_a_backfill_is_not_measured(world: World) -> None:
    declared = Latency(warn_s=60)
    measured(world, declared)
    world.order("old", "a", 100, 5)
    assert measured(world, declared, backfill=True).latency is None
    assert world.ask(f"SELECT count(*) FROM information_schema.tables WHERE table_schema = '{SCHEMA}' "
                     "AND table_name = 'latency'") == [(0,)]  # fmt: skip


def test_status_tells_the_trend_and_the_oldest_unsent_event(world: World, bar: Bar) -> None:
    declared = Latency(warn_s=2 * 3600)
    measured(world, declared)
    for hours in (1, 2, 4):
        world.order(f"t{hours}", "a", hours, 5)
        measured(world, declared)
    for order, who, hours in (("w1", "new", 50), ("w2", "new", 10), ("w3", "a", 90), ("w4", "a", -24), ("w5", None, 60)):
        world.order(order, who, hours, 5)
    before = world.held()["operations"]
    world.run()
    bar(27, "events older than 72 h sent without `--backfill`", found=world.held()["operations"] - before, goal="0",
        of="an event of 90 h, and one of a person who is not there yet, on each engine")  # fmt: skip
    assert world.held()["operations"] == before

    with closing(world.connect(read_only=True)) as warehouse:
        engine = world.engine(warehouse)
        engine.look()
        found = unsent(engine, world.compiled(["orders"])[0])
        [health] = upkeep.health(warehouse, SCHEMA, [("orders", "orders01")])

    assert [row.p95_s // 3600 for row in health.latency] == [1, 2, 4]
    assert (found.events, found.at_risk, found.problem) == (3, 1, "")
    assert found.oldest_s // 3600 == 90
    assert found.in_time_s // 3600 == 50
    bar(27, "oldest unsent events that `revetl status` tells wrong", goal="0", of="the oldest, and the oldest in time, of three",
        found=(found.oldest_s // 3600 != 90) + (found.in_time_s // 3600 != 50))  # fmt: skip
    text = status_text([health], [], Style(unicode=False), None, {"orders": found})
    assert "3 events not sent, the oldest of 3 d 18 h ago" in text
    assert "1 event older than 48 hours" in text
    assert "within 1 h -> 2 h -> 4 h" in text
