"""Events: once each, after their person, in time; on every warehouse."""

from __future__ import annotations

from contextlib import closing

from revetl import upkeep
from revetl.contracts import Initial, NoPerson, UnknownPerson
from revetl.errors import ExitCode
from tests.suites.world import SCHEMA, World, orders_sync, people_sync


def sent(world: World) -> int:
    return int(world.held()["events"].get("Order Completed", 0))


def test_events_follow_their_people_and_are_sent_once(world: World) -> None:
    first = world.run(backfill=True)

    assert first.exit_code == ExitCode.OK
    assert sent(world) == 2
    assert world.held()["people"] == 2, "no shadow profile"
    second = world.run()
    assert (second.requests, second.exit_code) == (0, ExitCode.OK)
    assert world.statements <= 2 * (8 + world.staging) + 6


def test_a_full_refresh_never_doubles_an_event(world: World) -> None:
    world.run(backfill=True)

    result = world.run(full_refresh=True)

    assert result.syncs[1].acknowledged == 0
    assert sent(world) == 2


def test_an_event_waits_for_its_person_and_goes_when_the_person_has_arrived(world: World) -> None:
    world.run(backfill=True)
    world.order("o3", "new", 1, 5)

    waiting = world.run()
    assert (waiting.syncs[1].counts.waiting, waiting.exit_code) == (1, ExitCode.ROWS_REFUSED)
    assert world.held()["people"] == 2

    world.sql("INSERT INTO people VALUES ('new', 'n@example.com', 'free', 0)")
    assert world.run().exit_code == ExitCode.OK
    assert sent(world) == 3


def test_an_event_of_a_refused_person_waits(world: World) -> None:
    world.sql(f"UPDATE people SET email = '{'x' * 1001}' WHERE id = 'b'")

    result = world.run(backfill=True)

    assert result.syncs[1].counts.waiting == 1
    assert sent(world) == 1
    assert world.held()["people"] == 1, "the event of b would have made a shadow profile"


def test_the_first_run_does_not_send_the_past_by_accident(world: World) -> None:
    result = world.run()

    assert result.exit_code == ExitCode.GUARD
    assert sent(world) == 0
    assert "--backfill" in (result.syncs[1].error.hint if result.syncs[1].error else "")


def test_a_baseline_sends_only_what_comes_later(world: World) -> None:
    world.syncs = [people_sync(), orders_sync(initial=Initial.BASELINE)]
    assert world.run().exit_code == ExitCode.OK
    assert sent(world) == 0
    world.order("o3", "a", 0.1, 5)

    world.run()

    assert sent(world) == 1


def test_a_baseline_does_not_swallow_an_event_that_has_no_person_yet(world: World) -> None:
    """A refund that arrives before its order has nobody; with the order it becomes somebody's, and is sent."""
    world.syncs = [people_sync(), orders_sync(initial=Initial.BASELINE)]
    world.order("early", None, 1, 5)
    first = world.run()
    assert (first.syncs[1].acknowledged, first.syncs[1].counts.skipped) == (2, 1)

    world.sql("UPDATE orders SET person = 'a' WHERE order_id = 'early'")
    world.run()

    assert sent(world) == 1


def test_an_event_that_can_no_longer_trigger_a_campaign_is_held_until_it_is_confirmed(world: World) -> None:
    world.run(backfill=True)
    world.order("late", "a", 72.1, 5)
    world.order("just in time", "a", 71.9, 5)

    held = world.run()
    assert (held.syncs[1].counts.late, held.exit_code) == (1, ExitCode.ROWS_REFUSED)
    assert sent(world) == 3

    assert world.run(backfill=True).exit_code == ExitCode.OK
    assert sent(world) == 4


def test_an_event_of_the_future_is_held(world: World) -> None:
    world.run(backfill=True)
    world.order("tomorrow", "a", -24, 5)

    assert world.run().syncs[1].counts.future == 1
    assert sent(world) == 2


def test_an_event_that_changes_after_it_was_sent_is_reported_and_not_sent_again(world: World) -> None:
    world.run(backfill=True)
    world.sql("UPDATE orders SET value = 99 WHERE order_id = 'o1'")

    result = world.run()

    assert (result.requests, result.syncs[1].counts.drifted) == (0, 1)
    assert sent(world) == 2


def test_guests_are_skipped_held_or_sent_anonymously_as_the_sync_says(world: World) -> None:
    world.order("guest", None, 1, 5)

    skipped = world.run(backfill=True)
    assert (skipped.syncs[1].counts.skipped, skipped.exit_code, sent(world)) == (1, ExitCode.OK, 2)

    world.syncs[1] = orders_sync(no_person=NoPerson.HOLD)
    held = world.run().syncs[1].counts
    assert (held.nobody, held.waiting) == (1, 0), "nobody's event is no event of somebody who is missing"

    world.syncs[1] = orders_sync(no_person=NoPerson.ANONYMOUS, anonymous="order_id")
    assert world.run().exit_code == ExitCode.OK
    assert sent(world) == 3
    assert world.held()["people"] == 2


def test_events_keep_the_time_of_the_fact(world: World) -> None:
    world.run(backfill=True)
    [(seconds,)] = world.ask("SELECT _occurred_at FROM revetl_test.state__orders01 WHERE _key = 'o1'")

    activities = world.api("/v1/activities?type=event&customer_id=a&id_type=id")["activities"]

    assert [a["timestamp"] for a in activities] == [seconds]


def test_state_loss_of_the_ledger_does_not_double_events_because_ids_come_from_the_key(world: World) -> None:
    world.run(backfill=True)
    world.sql(*(f"DROP TABLE revetl_test.{name}__orders01" for name in ("ctl", "state", "ack", "open")))
    assert world.run(backfill=True).exit_code == ExitCode.STATE
    with closing(world.connect()) as warehouse:
        upkeep.reset(warehouse, SCHEMA, "orders", "orders01")

    result = world.run(backfill=True)

    assert result.syncs[1].acknowledged == 2
    assert sent(world) == 2


def test_an_event_of_somebody_unknown_waits_and_makes_no_profile(world: World) -> None:
    world.order("o3", "stranger", 1, 5)

    result = world.run(backfill=True)

    assert (result.syncs[1].counts.waiting, result.syncs[1].counts.shadows) == (1, 0)
    assert (sent(world), world.held()["people"], world.person("stranger")) == (2, 2, None)


def test_an_event_may_make_its_person_and_the_plan_says_what_that_costs(world: World) -> None:
    world.syncs[1] = orders_sync(unknown_person=UnknownPerson.CREATE)
    world.order("o3", "stranger", 1, 5)
    world.order("o4", "stranger", 2, 5)

    [_, planned] = world.diff(backfill=True).syncs
    assert (planned.counts.shadows, planned.counts.shadow_people, planned.counts.sendable) == (2, 1, 4)
    assert world.run(backfill=True).exit_code == ExitCode.OK
    assert (sent(world), world.held()["people"], world.person("stranger")) == (4, 3, {})

    world.sql("INSERT INTO people VALUES ('stranger', 's@example.com', 'free', 0)")
    assert world.run().exit_code == ExitCode.OK
    assert world.person("stranger") == {"email": "s@example.com", "plan": "free", "spent": "0"}
    assert world.run().requests == 0


def test_a_plan_of_many_chunks_is_sent_in_the_order_of_its_numbers(world: World) -> None:
    """Several threads write it, and none has to wait for the other."""
    world.sql(
        f"INSERT INTO people SELECT 'p' || i, 'p' || i || '@example.com', 'free', 0 FROM {world.numbers(300)}",
        f"INSERT INTO orders SELECT 'x' || i, 'p' || (1 + i % 300), {world.ago('100 + i / 3600.0')}, 1 "
        f"FROM {world.numbers(20_000)}",
    )

    result = world.run(backfill=True)

    assert [one.error for one in result.syncs] == [None, None]
    assert sent(world) == 20_002
