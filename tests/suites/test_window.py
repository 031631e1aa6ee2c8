"""Events with a `window`: an old history is not compared at every run, nothing late is lost, and nothing counts twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.contracts import Late
from revetl.errors import ExitCode
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World, attribute, orders_sync, people_sync

HOUR, DAY = 3600, 86_400


def windowed(**changes: Any) -> list[Any]:
    """Events that are sent however late they come, and compared three days back."""
    return [people_sync(), orders_sync(window_s=3 * DAY, late=Late.SEND, **changes)]


@pytest.fixture
def shop(world: World) -> World:
    """Two orders of today and two of last month were sent, and everything was compared once."""
    world.order("old1", "a", 24 * 30, 5)
    world.order("old2", "b", 24 * 31, 5)
    world.syncs = windowed()
    assert world.run(backfill=True).exit_code == ExitCode.OK
    return world


def sent(world: World) -> dict[str, int]:
    """How often each order counts."""
    found: dict[str, int] = {}
    for person in ("a", "b"):
        for one in world.api(f"/v1/activities?type=event&customer_id={person}&id_type=id")["activities"]:
            found[one["data"]["order_id"]] = found.get(one["data"]["order_id"], 0) + 1
    return found


def test_a_run_looks_at_the_window_only(shop: World) -> None:
    shop.order("new", "a", 1, 5)
    diff = shop.diff().syncs[1]
    run = shop.run().syncs[1]
    for one in (diff, run):
        assert (one.counts.model_rows, one.counts.unchanged, one.counts.created, one.counts.gone) == (3, 2, 1, 0)
        assert one.counts.compared_since_s is not None
    assert sent(shop)["new"] == 1
    assert shop.run().syncs[1].counts.planned == 0


@pytest.mark.parametrize(
    ("column", "zone"),
    [("bought_at AT TIME ZONE 'Pacific/Kiritimati'", "Pacific/Kiritimati"), ("bought_at AT TIME ZONE 'Etc/GMT+12'", "Etc/GMT+12"),
     ("CAST(bought_at AT TIME ZONE 'Pacific/Kiritimati' AS date)", "Pacific/Kiritimati"),
     ("CAST(extract(epoch FROM bought_at) AS bigint)", "")],
)  # fmt: skip
def test_the_window_is_the_same_whatever_the_type_of_the_time(shop: World, column: str, zone: str) -> None:
    """The bare column is asked before its moment in time is known."""
    if shop.kind == "snowflake":
        pytest.skip("AT TIME ZONE is written otherwise there; the window itself is in the other tests")
    edge = 24 * 3  # hours ago; a date is its first moment
    for hours in (edge - 25, edge - 1, edge + 1, edge + 25, edge + 49):
        shop.order(f"h{hours}", "a", hours, 5)
    shop.sql("ALTER TABLE orders RENAME TO kept",
             f"CREATE VIEW orders AS SELECT order_id, person, {column} AS bought_at, value FROM kept",
             "INSERT INTO kept VALUES ('never', 'a', NULL, 5)")  # fmt: skip
    shop.syncs = windowed(zone=zone)
    shop.run(backfill=True)

    found = shop.diff().syncs[1].counts

    assert found.compared_since_s is not None
    young = shop.ask(f"SELECT count(*) FROM {SCHEMA}.state__orders01 WHERE _occurred_at >= {found.compared_since_s}")
    assert found.unchanged == young[0][0] >= 3
    assert found.model_rows == found.unchanged + 1, "what has no time is looked at"


def test_what_comes_late_is_sent_within_a_day(shop: World) -> None:
    shop.order("late", "a", 24 * 10, 5)
    assert shop.run().syncs[1].counts.created == 0
    assert "late" not in sent(shop)
    shop.ahead_s = DAY + HOUR
    found = shop.run().syncs[1]
    assert (found.counts.compared_since_s, found.counts.created, found.counts.model_rows) == (None, 1, 5)
    assert sent(shop)["late"] == 1
    assert shop.run().syncs[1].counts.compared_since_s is not None, "the day begins anew"


def test_an_old_event_whose_time_is_corrected_is_not_sent_again(shop: World) -> None:
    """It is young in the model and old in the ledger; its id may be forgotten by now."""
    shop.sql("UPDATE orders SET bought_at = current_timestamp - interval '1 hour' WHERE order_id = 'old1'")
    found = shop.run().syncs[1]
    assert (found.counts.created, found.counts.drifted) == (0, 1)
    assert sent(shop)["old1"] == 1


def test_an_event_that_grows_old_is_neither_sent_again_nor_missed(shop: World) -> None:
    shop.ahead_s = 2 * DAY
    shop.run()
    shop.ahead_s = 4 * DAY  # the orders of today are outside of the window now
    shop.run()
    shop.ahead_s += HOUR
    quiet = shop.run()
    found = quiet.syncs[1]
    assert (quiet.exit_code, found.counts.model_rows, found.counts.planned) == (ExitCode.OK, 0, 0), "no empty source"
    assert found.counts.compared_since_s is not None
    assert set(sent(shop).values()) == {1}


@pytest.mark.parametrize("options", [{"backfill": True}, {"retry_refused": True}])
def test_who_asks_for_more_gets_a_look_at_everything(shop: World, options: dict[str, Any]) -> None:
    assert shop.run(**options).syncs[1].counts.compared_since_s is None


def test_another_contract_tries_refused_rows_again_however_old(shop: World) -> None:
    strict = (attribute("order_id", required=True), attribute("value", "number", maximum=10))
    shop.syncs = windowed(fields=strict)
    shop.order("dear", "a", 24 * 10, 500)
    assert shop.run().syncs[1].refused_now == 1
    assert shop.run().syncs[1].counts.compared_since_s is not None
    shop.syncs = windowed(fields=(strict[0], attribute("value", "number", maximum=1_000)))

    assert shop.run().syncs[1].acknowledged == 1

    assert sent(shop)["dear"] == 1


def test_what_had_no_answer_is_sent_again_at_once_however_old(shop: World) -> None:
    shop.order("late", "a", 24 * 10, 5)
    shop.ahead_s = DAY + HOUR
    shop.api("/sandbox/faults", {"faults": [{"kind": "apply_then_fail"}]})
    assert shop.run(settings=replace(FAST, attempts=1)).syncs[1].unsent == 1
    shop.forget_drain()

    again = shop.run().syncs[1]

    assert (again.counts.compared_since_s, again.acknowledged) == (None, 1)
    assert sent(shop)["late"] == 1


class Revoked(SandboxDestination):
    """The key is revoked before the first request."""

    def __init__(self, world: World) -> None:
        super().__init__(world.box)
        self.box = world.box

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
        """Be refused."""
        self.box.api_key = "another one"
        return super().send(body, deadline_s=deadline_s, path=path)


def test_a_whole_look_that_was_not_finished_is_taken_again(shop: World) -> None:
    shop.order("late", "a", 24 * 10, 5)
    shop.ahead_s = DAY + HOUR
    key = shop.box.api_key
    assert shop.run(destination=lambda: Revoked(shop)).exit_code == ExitCode.CREDENTIALS
    shop.box.api_key = key
    assert shop.ask(f"SELECT count(*) FROM {SCHEMA}.open__orders01") == [(0,)]
    assert "late" not in sent(shop)

    assert shop.run().syncs[1].acknowledged == 1

    assert sent(shop)["late"] == 1


def test_a_window_that_is_new_begins_with_a_look_at_everything(world: World) -> None:
    assert world.run(backfill=True).exit_code == ExitCode.OK
    world.syncs = windowed()
    assert world.run().syncs[1].counts.compared_since_s is None
    assert world.run().syncs[1].counts.compared_since_s is not None


def test_a_ledger_that_lost_rows_is_noticed_without_a_look_at_everything(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one so large that its seal is read once a day only, the rows are counted at every run."""
    monkeypatch.setattr("revetl.state.CHECK_ALWAYS_ROWS", 0)
    before = sent(shop)
    shop.sql(f"DELETE FROM {SCHEMA}.state__orders01 WHERE _key = 'o1'")

    stopped = shop.run()

    assert stopped.exit_code == ExitCode.STATE
    assert sent(shop) == before


# --- any history ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What happens in a shop, and then a run.

    Attributes:
        hours: since the last step.
        arrives: ages of new orders, in hours.
        moved: which order's time is corrected, and how old it is then.
        lost: the run's first request takes effect and has no answer.
    """

    hours: int
    arrives: tuple[int, ...]
    moved: tuple[int, int] | None
    lost: bool


AGES = st.sampled_from([0, 1, 30, 71, 73, 100, 24 * 40])
STEPS = st.builds(
    Step, hours=st.sampled_from([1, 5, 25]), arrives=st.lists(AGES, max_size=2).map(tuple),
    moved=st.none() | st.tuples(st.integers(0, 5), AGES), lost=st.booleans(),
)  # fmt: skip


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=2, max_size=4))
def test_each_event_counts_once_whatever_comes_when(world: World, steps: list[Step]) -> None:
    """After a day without faults, Customer.io has each order of the model exactly once."""
    fresh(world)
    names: list[str] = []
    for step in steps:
        world.ahead_s += step.hours * HOUR
        for age in step.arrives:
            names.append(f"n{len(names)}")
            world.order(names[-1], "a", age - world.ahead_s / HOUR, 5)
        if step.moved and names:
            which, hours = names[step.moved[0] % len(names)], step.moved[1] - world.ahead_s / HOUR
            world.sql(f"UPDATE orders SET bought_at = {world.ago(hours)} WHERE order_id = '{which}'")
        if step.lost:
            world.api("/sandbox/faults", {"faults": [{"kind": "apply_then_fail"}]})
        world.run(settings=replace(FAST, attempts=1))
        world.api("/sandbox/faults", {"faults": []})
        assert all(count == 1 for count in sent(world).values())
    for _ in range(2):
        world.ahead_s += 13 * HOUR
        world.forget_drain()
        world.run(settings=replace(FAST, attempts=1))
    assert sent(world) == dict.fromkeys(["first", *names], 1)


def fresh(world: World) -> None:
    """As if nothing had ever been sent."""
    world.api("/sandbox/reset", {})
    world.ahead_s = 0
    world.sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    world.orders_table(("first", "b", 1, 5))
    world.syncs = windowed()
    assert world.run(backfill=True).exit_code == ExitCode.OK
