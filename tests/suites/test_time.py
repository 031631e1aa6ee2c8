"""Events in time: flagged when they come late, measured, and filled in from the past."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from revetl import upkeep
from revetl.contracts import Initial, Late, Latency, NoPerson
from revetl.delivery import RealClock
from revetl.errors import ExitCode
from revetl.plan import Confirmations
from revetl.report import Style, status_text
from revetl.unsent import unsent
from tests.bars import Bar
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World, attribute, orders_sync, people_sync


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
    assert "latency" not in world.state_tables()


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


# --- history ---------------------------------------------------------------------------------------------------------


def history(world: World, young: int, old: int) -> None:
    """Events of the last two days, and older ones; and one of tomorrow."""
    world.orders_table()
    world.sql(
        *([f"INSERT INTO orders SELECT 'y' || i, 'a', {world.ago('i')}, 1 FROM {world.numbers(young)}"] if young else []),
        f"INSERT INTO orders SELECT 'o' || i, 'b', {world.ago('80 + i')}, 1 FROM {world.numbers(old)}",
        "INSERT INTO orders VALUES ('next', 'a', current_timestamp + interval '1 day', 1)",
    )


def test_a_backfill_asks_before_it_sends_what_may_start_campaigns(world: World) -> None:
    history(world, 20, 30)
    planned = world.diff(backfill=True).syncs[1]
    assert (planned.counts.triggering, planned.counts.untriggering, planned.counts.future) == (20, 30, 1)
    assert [p.code for p in planned.problems] == ["RV274"]

    stopped = world.run(backfill=True)

    error = stopped.syncs[1].error
    assert (stopped.exit_code, error and error.code) == (ExitCode.GUARD, "RV274")
    assert error is not None
    assert "20 events" in error.message
    assert "--confirm-triggering 20" in error.hint
    assert world.held()["events"] == {}
    assert world.run(backfill=True, confirmed=Confirmations(triggering=19)).exit_code == ExitCode.GUARD
    sent = world.run(backfill=True, confirmed=Confirmations(triggering=20)).syncs[1]
    assert (sent.acknowledged, sent.counts.future) == (50, 1)


def test_a_backfill_of_only_what_is_older_leaves_the_rest_to_an_ordinary_run_or_a_baseline(world: World) -> None:
    history(world, 20, 30)

    first = world.run(backfill=True, older_only=True).syncs[1]
    assert (first.acknowledged, first.counts.left, first.unsent, first.status) == (30, 20, 0, "partial"), "one is of tomorrow"
    assert world.diff().syncs[1].counts.triggering == 0, "what an ordinary run sends is meant to start them"
    assert world.diff().syncs[1].counts.sendable == 20
    recorded = world.run("orders", baseline=True).syncs[0]

    assert recorded.acknowledged == 21
    assert world.run().requests == 0
    assert world.held()["events"] == {"Order Completed": 30}


def test_a_backfill_whose_first_run_only_records_says_so(world: World) -> None:
    history(world, 4, 30)
    world.syncs[1] = orders_sync(initial=Initial.BASELINE)
    assert [w.code for w in world.diff(backfill=True).syncs[1].warnings] == ["RV276"]
    assert world.diff().syncs[1].warnings == ()

    recorded = world.run(backfill=True).syncs[1]

    assert [w.code for w in recorded.warnings] == ["RV276"]
    assert (recorded.acknowledged, world.held()["events"]) == (35, {}), "with that of tomorrow"
    assert world.run(backfill=True).syncs[1].warnings == (), "it is no first run any more"


def test_a_backfill_before_a_day(world: World) -> None:
    history(world, 4, 30)
    before_s = int(time.time() - 90.5 * 3600)

    found = world.run(backfill=True, backfill_before_s=before_s).syncs[1]

    assert found.acknowledged == 20
    assert found.counts.left == 14


class Dies(SandboxDestination):
    """The process is gone after some requests."""

    def __init__(self, world: World, after: int) -> None:
        super().__init__(world.box)
        self.left = after

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
        """Post a batch, or die."""
        self.left -= 1
        if self.left < 0:
            raise SystemExit
        return super().send(body, deadline_s=deadline_s, path=path)


def test_a_resumed_backfill_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    history(world, 0, 60)
    monkeypatch.setattr("revetl.engine.LEDGER_CHUNK_ROWS", 20)
    few = replace(FAST, max_batch_operations=10, concurrency=1)
    with pytest.raises(SystemExit):
        world.run(backfill=True, settings=few, destination=lambda: Dies(world, 4))
    world.forget_drain()

    again = world.run(backfill=True).syncs[1]

    assert again.counts.unchanged + again.acknowledged == 60
    assert again.counts.unchanged >= 20, "the first chunk was acknowledged before the process died"
    assert world.held()["events"] == {"Order Completed": 60}


def test_anonymous_history_may_start_campaigns_as_well(world: World) -> None:
    history(world, 0, 3)
    world.sql(f"INSERT INTO orders SELECT 'g' || i, NULL, {world.ago('i')}, 1 FROM {world.numbers(12)}")
    world.syncs[1] = orders_sync(no_person=NoPerson.ANONYMOUS, anonymous="order_id")

    planned = world.diff(backfill=True).syncs[1]

    assert (planned.counts.triggering, [p.code for p in planned.problems]) == (12, ["RV274"])


def test_a_time_of_a_person_in_the_future_is_told(world: World) -> None:
    world.sql("ALTER TABLE people ADD COLUMN seen timestamp with time zone",
              "UPDATE people SET seen = current_timestamp + interval '3 days' WHERE id = 'a'",
              "UPDATE people SET seen = current_timestamp WHERE id = 'b'")  # fmt: skip
    world.syncs = [people_sync(fields=(attribute("email"), attribute("seen", "timestamp")))]

    assert world.diff().syncs[0].counts.ahead == {"seen": 1}
    assert world.run().syncs[0].counts.ahead == {"seen": 1}
    assert world.diff().syncs[0].counts.ahead == {"seen": 0}
