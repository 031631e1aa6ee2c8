"""The crash-safe protocol: unknown outcomes, leases and damage, on every warehouse (kills: tests/crash)."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa

from revetl import state
from revetl.contracts import Sync, WhenMissing
from revetl.delivery import DeliverySettings, RealClock
from revetl.engine import RunOptions
from revetl.errors import DestinationDown, ExitCode, Interrupted, LeaseLost, WarehouseError
from revetl.state import LEASE_MS
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World, attribute, orders_sync, people_sync

ONE_TRY = DeliverySettings(
    requests_per_second=100_000, operations_per_second=10_000_000, max_batch_operations=100, request_deadline_s=5,
    attempts=1,
)  # fmt: skip


def fault(world: World, **spec: Any) -> None:
    world.api("/sandbox/faults", {"faults": [spec]})


def applied_but_not_answered(world: World) -> None:
    """The next request takes effect, and its answer never arrives."""
    fault(world, kind="apply_then_fail", times=1)


def test_a_value_that_went_back_after_an_unanswered_request_is_repaired(world: World) -> None:
    """A-B-A: B is applied but not acknowledged, then the model says A again, which equals the state."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    applied_but_not_answered(world)
    lost = world.run("people", settings=ONE_TRY)
    assert (lost.syncs[0].acknowledged, lost.syncs[0].unsent) == (0, 1)
    assert (world.person("a") or {})["plan"] == "B"
    world.sql("UPDATE people SET plan = 'free' WHERE id = 'a'")
    world.forget_drain()

    result = world.run("people")

    assert result.syncs[0].counts.redriven == 1
    assert (world.person("a") or {})["plan"] == "free"
    assert world.run("people").requests == 0


def test_an_unanswered_delete_whose_row_returned_is_repaired(world: World) -> None:
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE)]
    world.run()
    world.sql("DELETE FROM people WHERE id = 'b'")
    applied_but_not_answered(world)
    world.run(settings=ONE_TRY)
    assert world.person("b") is None
    world.sql("INSERT INTO people VALUES ('b', 'bob@example.com', 'pro', 12.5)")
    world.forget_drain()

    world.run()

    assert world.person("b") == {"email": "bob@example.com", "plan": "pro", "spent": "12.5"}


def test_an_unanswered_create_whose_row_vanished_is_deleted_where_the_sync_deletes(world: World) -> None:
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE)]
    applied_but_not_answered(world)
    world.run(settings=ONE_TRY)
    assert world.person("b") is not None
    world.sql("DELETE FROM people WHERE id = 'b'")
    world.forget_drain()

    world.run()

    assert world.person("b") is None
    assert world.person("a") is not None


def test_an_unanswered_create_whose_row_vanished_is_not_taken_for_a_repeated_key(world: World) -> None:
    """The other people are in the state, and one more is deleted than the state has lost."""
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE)]
    world.run()
    world.sql("INSERT INTO people VALUES ('c', 'cy@example.com', 'new', 1)")
    applied_but_not_answered(world)
    world.run(settings=ONE_TRY)
    world.sql("DELETE FROM people WHERE id = 'c'")
    world.forget_drain()

    assert world.run().exit_code == ExitCode.OK

    assert world.person("c") is None
    assert world.run().requests == 0


def test_an_unanswered_event_is_sent_again_with_the_same_id_and_has_one_effect(world: World) -> None:
    world.run("people")
    applied_but_not_answered(world)
    assert world.run("orders", settings=ONE_TRY, backfill=True).syncs[0].unsent == 2
    world.forget_drain()

    assert world.run("orders", backfill=True).syncs[0].acknowledged == 2
    assert world.held()["events"] == {"Order Completed": 2}


def test_an_event_whose_unknown_outcome_is_old_is_held_for_a_person(world: World) -> None:
    """Customer.io publishes no time for which it remembers an id, so an old one is not trusted."""
    world.run("people")
    applied_but_not_answered(world)
    world.run("orders", settings=ONE_TRY, backfill=True)
    world.forget_drain()
    world.sql(f"UPDATE {SCHEMA}.open__orders01 SET _first_at = _first_at - 21 * 3600 * 1000")

    result = world.run("orders", backfill=True)

    assert (result.requests, result.syncs[0].counts.held, result.exit_code) == (0, 2, ExitCode.ROWS_REFUSED)
    assert world.run("orders").syncs[0].counts.held == 2


def capped(maximum: int) -> list[Sync]:
    fields = (attribute("order_id", required=True), attribute("value", "number", maximum=maximum))
    return [people_sync(), orders_sync(fields=fields)]


def unanswered_then_refused(world: World) -> None:
    """o2 takes effect without an answer; then its value breaks the contract."""
    world.syncs = capped(1_000)
    world.run("people")
    applied_but_not_answered(world)
    world.run("orders", settings=ONE_TRY, backfill=True)
    assert world.held()["events"] == {"Order Completed": 2}
    world.forget_drain()
    world.sql("UPDATE orders SET value = 5000 WHERE order_id = 'o2'")
    assert world.run("orders", backfill=True).syncs[0].refused_now == 1


def test_a_refusal_does_not_cover_that_an_event_may_have_arrived(world: World) -> None:
    """Soon after, the same id keeps it from counting twice; later on a person must say what to do."""
    unanswered_then_refused(world)
    world.sql(f"UPDATE {SCHEMA}.open__orders01 SET _first_at = _first_at - 21 * 3600 * 1000")
    still = world.run("orders", backfill=True)
    assert (still.syncs[0].counts.refused, still.syncs[0].counts.held, still.requests) == (1, 0, 0)
    world.sql("UPDATE orders SET value = 50 WHERE order_id = 'o2'")

    late = world.run("orders", backfill=True)

    assert (late.syncs[0].counts.held, late.requests, late.exit_code) == (1, 0, ExitCode.ROWS_REFUSED)
    [why] = world.ask(f"SELECT _outcome, _reason, _rule, _message FROM {SCHEMA}.open__orders01")
    assert why == ("held", "unknown_outcome", "", "")


def test_an_event_that_was_refused_after_it_had_no_answer_has_one_effect(world: World) -> None:
    unanswered_then_refused(world)
    world.sql("UPDATE orders SET value = 50 WHERE order_id = 'o2'")

    assert world.run("orders", backfill=True).syncs[0].acknowledged == 1

    assert world.held()["events"] == {"Order Completed": 2}
    assert world.ask(f"SELECT count(*) FROM {SCHEMA}.open__orders01") == [(0,)]


def test_an_event_refused_at_an_attempt_after_one_without_an_answer_may_have_arrived(world: World) -> None:
    world.run("people")
    world.api("/sandbox/faults", {"faults": [{"kind": "apply_then_fail"}, {"kind": "reject", "key": "a"}]})
    result = world.run("orders", backfill=True, settings=replace(FAST, attempts=3, backoff_first_s=0.001))
    refused = result.syncs[0].refused_now
    assert refused >= 1
    rows = world.ask(f"SELECT _outcome, _op FROM {SCHEMA}.open__orders01")
    assert rows == [("refused", "doubt")] * refused


def test_the_age_of_an_unanswered_event_does_not_count_from_an_earlier_refusal(world: World) -> None:
    """It was refused long ago, corrected, and has no answer since today: its id is still remembered."""
    world.syncs = capped(1)
    world.run("people")
    assert world.run("orders", backfill=True).syncs[0].refused_now == 2
    world.sql(f"UPDATE {SCHEMA}.open__orders01 SET _first_at = _first_at - 21 * 3600 * 1000")
    world.syncs = capped(1_000)
    applied_but_not_answered(world)
    assert world.run("orders", settings=ONE_TRY, backfill=True).syncs[0].unsent == 2
    world.forget_drain()

    assert world.run("orders", backfill=True).syncs[0].acknowledged == 2

    assert world.held()["events"] == {"Order Completed": 2}


def test_events_wait_while_their_persons_last_outcome_is_unknown(world: World) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    applied_but_not_answered(world)
    world.run("people", settings=ONE_TRY)

    result = world.run("orders", backfill=True)

    assert (result.syncs[0].acknowledged, result.syncs[0].counts.waiting) == (1, 1)


def test_after_an_unanswered_request_the_next_run_waits_before_it_sends(world: World) -> None:
    world.sql("DELETE FROM people WHERE id = 'b'")
    applied_but_not_answered(world)
    world.run("people", settings=ONE_TRY)

    assert 30_000 < drain_left(world) <= 60_000


def test_wrong_credentials_stop_at_the_first_answer_and_blame_no_row(world: World) -> None:
    result = world.run("people", destination=lambda: SandboxDestination(world.box, site_id="someone-else"))

    assert result.exit_code == ExitCode.CREDENTIALS
    assert result.syncs[0].refused == 0
    assert world.run("people").exit_code == ExitCode.OK


def test_a_key_that_is_revoked_in_the_middle_keeps_what_was_accepted(world: World) -> None:
    world.people_table(*((f"p{i}", f"p{i}@example.com", "y", i) for i in range(1000)))
    fault(world, kind="status", status=401, after=4, times=1_000_000)

    result = world.run("people")

    assert result.exit_code == ExitCode.CREDENTIALS
    assert result.syncs[0].refused == 0
    assert result.requests <= 4 + FAST.concurrency
    accepted = result.syncs[0].acknowledged
    assert accepted == world.held()["people"] == world.ask(f"SELECT count(*) FROM {SCHEMA}.state__people01")[0][0]
    fault(world, kind="none")
    assert world.run("people").syncs[0].acknowledged == 1000 - accepted


def test_an_unreachable_destination_sends_nothing_and_loses_nothing(world: World) -> None:
    class Gone(SandboxDestination):
        def workspace_id(self) -> str:
            raise DestinationDown("nobody answers at this address")

    assert world.run("people", destination=lambda: Gone(world.box)).exit_code == ExitCode.DESTINATION
    assert world.run("people").exit_code == ExitCode.OK


def test_a_second_run_while_one_is_running_leaves_at_once(world: World) -> None:
    """The first run is asked to plan, and before its first statement after taking the lease the second one starts."""
    found: list[Any] = []

    def second(when: str, word: str) -> None:
        if (when, word) == ("before", "CreateTableAs") and not found and held:
            found.append(None)
            found[0] = world.run("people", seed=8)

    held: list[bool] = []
    world.run("people")
    held.append(True)
    # two processes cannot open one DuckDB file; two connections of one process can
    if world.source is not None and world.kind == "postgres":
        pytest.skip("of two runs in one process, the second cannot stage rows in a DuckDB state (docs/state-elsewhere.md)")
    world.run("people", probe=second)

    assert found[0].exit_code == ExitCode.LEASE_HELD
    assert "revetl state unlock" in found[0].syncs[0].error.hint


def test_a_run_that_lost_its_lease_stops_and_moves_nothing(world: World) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    stolen: list[bool] = []

    def steal(when: str, word: str) -> None:
        # just before the fold's transaction: the answers are in, the state is not moved yet
        if (when, word) == ("before", "Merge") and not stolen:
            stolen.append(True)
            raise LeaseLost("stolen by the test")

    result = world.run("people", probe=steal)

    kept = f"SELECT plan FROM {SCHEMA}.state__people01 WHERE _key = 'a'"
    assert result.exit_code == ExitCode.LEASE_LOST
    assert world.ask(kept) == [("free",)]
    world.forget_drain()
    assert world.run("people").exit_code == ExitCode.OK
    assert world.ask(kept) == [("B",)]


def test_another_owner_in_the_control_row_refuses_every_write(world: World) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    taken: list[bool] = []
    engine_of: dict[str, Any] = {}

    def take_over(when: str, word: str) -> None:
        if (when, word) == ("after", "CreateTableAs") and not taken:
            taken.append(True)
            engine_of["warehouse"].execute(
                sa.text(f"UPDATE {SCHEMA}.ctl__people01 SET owner = 'thief', fence = fence + 1")
            )

    warehouse = world.connect(probe=take_over)
    engine_of["warehouse"] = warehouse
    result = world.engine(warehouse).run(
        world.compiled(("people",)), RunOptions(), settings=FAST, rng=random.Random(7),
        connect=lambda: SandboxDestination(world.box), owner="victim",
    )  # fmt: skip
    warehouse.close()

    assert result.exit_code == ExitCode.LEASE_LOST
    assert (world.person("a") or {})["plan"] == "free", "intent could not be written, so no byte was sent"


def test_a_signal_stops_cleanly_and_the_next_run_sends_the_rest(world: World) -> None:
    world.people_table(*((f"p{i}", f"p{i}@example.com", "y", i) for i in range(1000)))
    stop: list[Any] = []

    class Stopping(SandboxDestination):
        sent = 0

        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
            Stopping.sent += 1
            if Stopping.sent == 3:
                stop[0](Interrupted("stopped by SIGTERM", signal_number=15))
            return super().send(body, deadline_s=deadline_s, path=path)

    warehouse = world.connect()
    result = world.engine(warehouse).run(
        world.compiled(("people",)), RunOptions(), settings=FAST, rng=random.Random(7),
        connect=lambda: Stopping(world.box), owner="me", stopping=stop.append,
    )  # fmt: skip
    warehouse.close()

    assert result.exit_code == ExitCode.TERMINATED
    assert 0 < result.syncs[0].acknowledged < 1000
    assert result.syncs[0].acknowledged == world.held()["people"]
    again = world.run("people")
    assert again.syncs[0].acknowledged == 1000 - result.syncs[0].acknowledged
    assert again.syncs[0].counts.redriven == 0, "a clean stop leaves nothing unknown"


def test_a_failure_before_the_deletes_leaves_nothing_damaged_and_the_next_run_deletes(world: World) -> None:
    """Deletes of people go last; a run that ends between the upserts and them must close its plan all the same."""
    world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    world.run(backfill=True)
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'", "DELETE FROM people WHERE id = 'b'")
    applied_but_not_answered(world)
    failed = world.run(settings=ONE_TRY)
    assert failed.exit_code == ExitCode.DESTINATION
    assert world.person("b") is not None
    world.forget_drain()

    assert world.run().exit_code == ExitCode.OK
    assert world.person("b") is None
    assert (world.person("a") or {})["plan"] == "B"
    assert world.run().requests == 0


def test_a_signal_between_events_and_deletes_leaves_the_deletes_to_the_next_run(world: World) -> None:
    world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    world.run(backfill=True)
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'", "DELETE FROM people WHERE id = 'b'")
    world.order("o3", "a", 1, 5)
    stop: list[Any] = []

    class Stopping(SandboxDestination):
        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
            if b"Order Completed" in body:
                stop[0](Interrupted("stopped by SIGTERM", signal_number=15))
            return super().send(body, deadline_s=deadline_s, path=path)

    warehouse = world.connect()
    result = world.engine(warehouse).run(
        world.compiled(), RunOptions(), settings=FAST, rng=random.Random(7),
        connect=lambda: Stopping(world.box), owner="me", stopping=stop.append,
    )  # fmt: skip
    warehouse.close()

    assert result.exit_code == ExitCode.TERMINATED
    assert world.person("b") is not None
    again = world.run()
    assert (again.exit_code, again.syncs[0].acknowledged, again.syncs[0].counts.redriven) == (ExitCode.OK, 1, 0)
    assert world.person("b") is None


def test_left_over_tables_go_away(world: World) -> None:
    world.run("people")
    world.sql(f"CREATE TABLE {SCHEMA}.plan__people01__1 AS SELECT 1 AS _seq")

    world.run("people")

    assert not [table for table in world.state_tables() if table.startswith("plan")]


def test_diff_writes_nothing_and_says_what_the_run_then_does(world: World) -> None:
    world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    world.run(backfill=True)
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'", "DELETE FROM people WHERE id = 'b'",
              "INSERT INTO people VALUES ('c', 'c@example.com', 'new', 1)")  # fmt: skip
    world.order("o3", "c", 1, 5)
    before, requests = world.state_columns(), world.held()["requests"]

    diff = world.diff()

    assert (world.state_columns(), world.held()["requests"]) == (before, requests)
    result = world.run()
    assert [d.counts for d in diff.syncs] == [world.observer.plans[d.sync.name] for d in diff.syncs]
    assert [d.counts.sendable for d in diff.syncs] == [s.acknowledged for s in result.syncs] == [3, 1]


def test_diff_before_the_first_run_counts_everything(world: World) -> None:
    diff = world.diff(backfill=True)

    assert [d.counts.created for d in diff.syncs] == [2, 2]
    assert world.run(backfill=True).exit_code == ExitCode.OK


def test_diff_shows_old_and_new_values_where_asked(world: World) -> None:
    world.run("people")
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")

    [diff] = world.diff("people", show=10).syncs

    [sample] = diff.samples
    assert (sample.op, sample.key, dict(sample.changes)) == ("update", "a", {"plan": ("free", "B")})


def test_a_refusal_does_not_cover_an_earlier_request_without_an_answer(world: World) -> None:
    """B is applied and not answered, C is refused, then the model says A again, which equals the state."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    applied_but_not_answered(world)
    world.run("people", settings=ONE_TRY)
    world.forget_drain()
    world.sql("UPDATE people SET plan = 'C' WHERE id = 'a'")
    fault(world, kind="reject", key="a", times=1)
    assert world.run("people").exit_code == ExitCode.ROWS_REFUSED
    assert (world.person("a") or {})["plan"] == "B"
    world.sql("UPDATE people SET plan = 'free' WHERE id = 'a'")
    world.api("/sandbox/faults", {"faults": []})

    assert world.run("people").syncs[0].counts.redriven == 1

    assert (world.person("a") or {})["plan"] == "free"
    assert world.run("people").requests == 0


def test_the_age_of_an_unanswered_event_counts_from_the_run_that_sent_it(world: World) -> None:
    """It died, and the run that settles it comes a day later: the event is not taken for a fresh one."""
    world.run("people")

    class Died(BaseException):
        """The process is gone."""

    def die(when: str, word: str) -> None:
        if (when, word.upper()) == ("before", "INSERT") and next(inserts) == 3 + world.pages:  # rate, contract, acknowledgement
            raise Died

    inserts = count(1)
    with pytest.raises(Died):
        world.run("orders", backfill=True, probe=die)
    assert world.held()["events"] == {"Order Completed": 2}
    world.sql(f"UPDATE {SCHEMA}.ctl__orders01 SET intent_at = intent_at - 21 * 3600 * 1000")
    world.forget_drain()

    result = world.run("orders", backfill=True)

    assert (result.requests, result.syncs[0].counts.held) == (0, 2)


def test_nobody_is_deleted_while_another_run_sends_events(world: World) -> None:
    world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    world.run(backfill=True)
    world.sql("DELETE FROM people WHERE id = 'b'", "DELETE FROM orders")
    world.sql(f"UPDATE {SCHEMA}.ctl__orders01 SET owner = 'other', lease_until = {world.now_ms() + 100_000}")

    assert world.run("people").exit_code == ExitCode.ROWS_REFUSED
    assert world.person("b") is not None
    assert "left to the next run" in world.observer.notes[-1]

    world.forget_drain()
    world.sql(f"UPDATE {SCHEMA}.ctl__orders01 SET owner = NULL")
    assert world.run("people").exit_code == ExitCode.OK
    assert world.person("b") is None
    assert world.ask(f"SELECT count(*) FROM {SCHEMA}.ctl__orders01 WHERE owner IS NOT NULL") == [(0,)]


def test_after_a_checkpoint_that_failed_the_next_run_still_waits(world: World) -> None:
    """The run knows of a request that may be applied late, could not write it down, and gives the lease back."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'")

    def fails(when: str, word: str) -> None:
        if (when, word.upper()) == ("before", "INSERT") and next(inserts) == 2 + world.pages:
            raise WarehouseError("the warehouse refused Insert: a lock")

    inserts = count(1)
    fault(world, kind="reset", times=1)
    patient = replace(FAST, attempts=3, backoff_first_s=0.001)
    assert world.run("people", settings=patient, probe=fails).exit_code == ExitCode.WAREHOUSE

    assert world.ask(f"SELECT owner FROM {SCHEMA}.ctl__people01") == [(None,)]
    assert drain_left(world) > 50_000


def test_an_answer_at_the_second_attempt_makes_the_next_run_wait(world: World) -> None:
    """The first attempt may still be on its way, with a value that is old by then."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'")
    fault(world, kind="reset", times=1)
    patient = replace(FAST, attempts=3, backoff_first_s=0.001)

    assert world.run("people", settings=patient).exit_code == ExitCode.OK

    assert drain_left(world) > 50_000
    world.forget_drain()
    world.sql("UPDATE people SET plan = 'C'")
    assert world.run("people").exit_code == ExitCode.OK
    assert drain_left(world) < 0


def drain_left(world: World) -> int:
    """Milliseconds by the warehouse's clock until a next run may send."""
    return int(world.ask(f"SELECT drain_until FROM {SCHEMA}.ctl__people01")[0][0]) - world.now_ms()


class Slow(RealClock):
    """A clock that jumps while a statement is on its way."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Real time, and what the statement took."""
        return super().monotonic() + self.ahead


def test_a_lease_counts_from_before_the_statement_that_renews_it(world: World) -> None:
    """The statement took longer than the lease lasts, so another run may have taken over: nothing is sent."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B'")
    clock, before = Slow(), world.held()["operations"]

    def slow(when: str, word: str) -> None:
        # the lease, the workspace's, the rate's; then the intent
        if (when, word.upper()) == ("after", "UPDATE") and next(updates) == 4:
            clock.ahead = LEASE_MS / 1000

    updates = count(1)
    assert world.run("people", clock=clock, probe=slow).exit_code == ExitCode.LEASE_LOST
    assert world.held()["operations"] == before


def test_a_refusal_does_not_cover_an_attempt_before_it_in_the_same_run(world: World) -> None:
    """The first attempt is applied and not answered, the second is refused; then the model says A again, as the state does."""
    world.run("people")
    world.sql("UPDATE people SET plan = 'B' WHERE id = 'a'")
    world.api("/sandbox/faults", {"faults": [{"kind": "apply_then_fail"}, {"kind": "reject", "key": "a"}]})
    assert world.run("people", settings=replace(FAST, attempts=3, backoff_first_s=0.001)).exit_code == ExitCode.ROWS_REFUSED
    assert (world.person("a") or {})["plan"] == "B"
    world.sql("UPDATE people SET plan = 'free' WHERE id = 'a'")
    world.forget_drain()

    assert world.run("people").exit_code == ExitCode.OK

    assert (world.person("a") or {})["plan"] == "free"
    assert world.ask(f"SELECT count(*) FROM {SCHEMA}.open__people01") == [(0,)], "nothing is refused any more"


def test_many_ranges_are_folded_through_the_table_of_acknowledgements(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More ranges than stand in one statement; here already one is too many."""
    monkeypatch.setattr(state, "FEW_RANGES", 0)
    assert world.run("people").exit_code == ExitCode.OK
    assert world.ask(f"SELECT count(*) FROM {SCHEMA}.state__people01") == [(2,)]
    world.sql("UPDATE people SET plan = 'new' WHERE id = 'a'", "INSERT INTO people VALUES ('c', NULL, 'free', 1)")
    assert world.run("people").exit_code == ExitCode.OK
    assert set(world.ask("SELECT id FROM people")) == set(world.ask(f"SELECT _key FROM {SCHEMA}.state__people01"))
    counts = world.run("people").syncs[0].counts
    assert counts is not None
    assert counts.unchanged == 3
