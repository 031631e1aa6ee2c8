"""Names that change: both are sent for a while, each once, whatever happens in between; on every warehouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from revetl import repair, upkeep
from revetl.contracts import Initial, OnNull, Rename, Sync
from revetl.destination import BATCH, Reply
from revetl.engine import SyncResult
from revetl.errors import ExitCode
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World, attribute, orders_sync, people_sync

NEW, OLD = "Order Completed", "order_completed"
DAY = 86_400


def in_days(days: int) -> date:
    return datetime.now(UTC).date() + timedelta(days=days)


def renamed(days: int = 30, **changes: Any) -> Sync:
    return orders_sync(renamed_from=Rename(name=OLD, until=in_days(days)), **changes)


def sent(world: World) -> dict[str, int]:
    return {name: int(n) for name, n in world.held()["events"].items() if name in {NEW, OLD}}


def adds_up(result: SyncResult) -> None:
    c = result.counts
    assert c.model_rows == c.unchanged + c.created + c.updated + c.redriven + c.skipped + c.forgotten
    planned = c.created + c.updated + c.redriven + c.deleted + c.copied
    assert planned == result.acknowledged + result.refused + c.on_hold + c.waiting + result.unsent


@pytest.fixture
def before(world: World) -> World:
    """Two events were sent before the rename, under the old name."""
    world.syncs = [people_sync(), orders_sync(event=OLD)]
    assert world.run(backfill=True).exit_code == ExitCode.OK
    assert sent(world) == {OLD: 2}
    world.syncs = [people_sync(), renamed()]
    return world


def test_only_new_events_are_sent_under_both_names(before: World) -> None:
    quiet = before.run()
    assert (quiet.exit_code, quiet.requests) == (ExitCode.OK, 0)
    before.order("o3", "a", 0.1, 5)

    looked = before.diff().syncs[1]
    result = before.run()

    assert sent(before) == {OLD: 3, NEW: 1}
    orders = result.syncs[1]
    assert (orders.counts.created, orders.counts.copied, orders.counts.unchanged, orders.acknowledged) == (1, 1, 2, 2)
    assert replace(looked.counts, rows_hash=0) == orders.counts
    adds_up(orders)
    again = before.run()
    assert (again.exit_code, again.requests, again.syncs[1].counts.unchanged) == (ExitCode.OK, 0, 3)
    assert before.diff().syncs[1].counts.planned == 0


def test_the_first_diff_of_a_rename_is_what_its_first_run_does(before: World) -> None:
    before.order("o3", "a", 0.1, 5)
    looked = before.diff().syncs[1]
    assert replace(looked.counts, rows_hash=0) == before.run().syncs[1].counts
    assert (looked.counts.created, looked.counts.copied) == (1, 1)


def test_both_names_carry_the_same_fact_under_ids_of_their_own(before: World) -> None:
    before.order("o3", "a", 0.1, 5)
    before.run()

    found = [a for a in before.api("/v1/activities?type=event&customer_id=a&id_type=id")["activities"]
             if a["data"].get("order_id") == "o3"]  # fmt: skip

    assert sorted(a["name"] for a in found) == [NEW, OLD]
    assert found[0]["data"] == found[1]["data"]
    assert found[0]["timestamp"] == found[1]["timestamp"]
    assert before.ask(f"SELECT _variant FROM {SCHEMA}.state__orders01 WHERE _key = 'o3' ORDER BY _variant") == [("",), (OLD,)]


def test_after_the_last_day_only_the_new_name_is_sent(before: World) -> None:
    before.order("o3", "a", 0.1, 5)
    before.run()
    before.ahead_s = 30 * DAY
    before.order("o4", "a", -30 * 24 + 0.1, 5)
    assert before.run().exit_code == ExitCode.OK, "the last day is included"
    assert sent(before) == {OLD: 4, NEW: 2}

    before.ahead_s = 31 * DAY
    before.order("o5", "a", -31 * 24 + 0.1, 5)
    result = before.run()

    assert (result.exit_code, result.syncs[1].counts.copied) == (ExitCode.OK, 0)
    assert sent(before) == {OLD: 4, NEW: 3}
    assert [w.code for w in result.syncs[1].warnings] == ["RV263"]
    before.syncs[1] = orders_sync()
    assert (before.run().exit_code, before.run().requests) == (ExitCode.OK, 0)
    before.sql("INSERT INTO orders SELECT * FROM orders WHERE order_id = 'o5'")
    assert before.run().exit_code == ExitCode.CONTRACT, "a repeated key is still seen beside the ledger's copies"


def test_an_event_that_waits_and_its_copy_go_together(before: World) -> None:
    before.order("o3", "new", 0.1, 5)
    waiting = before.run().syncs[1]
    assert (waiting.counts.waiting, waiting.counts.created, waiting.counts.copied) == (2, 1, 1)
    adds_up(waiting)

    before.sql("INSERT INTO people VALUES ('new', 'n@example.com', 'free', 0)")
    assert before.run().exit_code == ExitCode.OK
    assert sent(before) == {OLD: 3, NEW: 1}


def test_a_baseline_records_both(world: World) -> None:
    world.syncs = [people_sync(), renamed(initial=Initial.BASELINE)]
    assert world.run().exit_code == ExitCode.OK
    world.order("o3", "a", 0.1, 5)
    assert world.run().exit_code == ExitCode.OK
    assert sent(world) == {OLD: 1, NEW: 1}


class Cut(SandboxDestination):
    """Answers and their loss, chosen for each request by what it carries."""

    def __init__(self, box: Any, lose: Callable[[bytes], str]) -> None:
        super().__init__(box)
        self.lose = lose

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
        fate = self.lose(body)
        if fate == "before":
            return Reply(status=0, sent=True, error="cut before")
        answer = super().send(body, deadline_s=deadline_s, path=path)
        return Reply(status=0, sent=True, error="cut after") if fate == "after" else answer


@pytest.mark.parametrize("lost", [OLD, NEW])
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_one_of_two_that_had_no_answer_is_sent_again_alone(before: World, lost: str, when: str) -> None:
    settings = replace(FAST, max_batch_operations=1, attempts=1)
    before.order("o3", "a", 0.1, 5)
    name = f'"name":"{lost}"'.encode()
    result = before.run(settings=settings, destination=lambda: Cut(before.box, lambda body: when if name in body else ""))
    assert result.exit_code == ExitCode.DESTINATION
    adds_up(result.syncs[1])
    before.forget_drain()

    clean = before.run()

    assert clean.exit_code == ExitCode.OK
    assert clean.syncs[1].acknowledged == 1, "only the one without an answer"
    assert sent(before) == {OLD: 3, NEW: 1}
    assert before.run().requests == 0


@pytest.mark.parametrize("sent_before", [0, 1])
def test_a_run_that_dies_between_the_two_is_repaired_by_a_clean_one(
    before: World, sent_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(SandboxDestination):
        def __init__(self, box: Any) -> None:
            super().__init__(box)
            self.left = sent_before

        def send(self, body: bytes, *, deadline_s: float, path: str = BATCH.path) -> Any:
            if not self.left:
                raise MemoryError
            self.left -= 1
            return super().send(body, deadline_s=deadline_s, path=path)

    monkeypatch.setattr("revetl.engine.LEDGER_CHUNK_ROWS", 1)
    before.order("o3", "a", 0.1, 5)
    with pytest.raises(MemoryError):
        before.run("orders", settings=replace(FAST, max_batch_operations=1), destination=lambda: Dies(before.box))
    before.forget_drain()

    assert before.run().exit_code == ExitCode.OK
    assert sent(before) == {OLD: 3, NEW: 1}
    assert before.run().requests == 0


def test_a_repair_sends_no_copy_again(before: World) -> None:
    before.order("o3", "a", 0.1, 5)
    before.run()
    before.sql(f"UPDATE {SCHEMA}.ctl__orders01 SET state_rows = 99")
    assert before.run().exit_code == ExitCode.STATE
    warehouse = before.connect()
    engine = before.engine(warehouse)
    (orders,) = before.compiled(["orders"])
    shape, tables = engine.described(orders)
    repair.repair(warehouse, shape, orders.sql, tables)
    warehouse.close()
    before.forget_drain()

    for _ in range(2):
        assert before.run().syncs[1].counts.planned == 0
    assert before.ask(f"SELECT count(*) FROM {SCHEMA}.state__orders01") == [(4,)], "both rows of o3 are still there"
    before.order("o4", "a", 0.1, 5)
    before.run()
    assert sent(before) == {OLD: 4, NEW: 2}


def test_an_event_without_an_answer_from_before_the_rename_is_not_sent_under_the_old_name_again(before: World) -> None:
    before.syncs[1] = orders_sync(event=OLD)
    before.order("o3", "a", 0.1, 5)
    lost = lambda: Cut(before.box, lambda body: "after" if b'"o3"' in body else "")  # noqa: E731 one use
    before.run(settings=replace(FAST, attempts=1), destination=lost)
    assert sent(before) == {OLD: 3}
    before.syncs[1] = renamed()
    before.forget_drain()

    assert before.diff().syncs[1].counts.copied == 0
    for _ in range(3):
        assert before.run().exit_code == ExitCode.OK

    assert sent(before)[OLD] == 3


def test_an_event_that_had_no_answer_and_was_then_refused_is_not_sent_under_the_old_name_again(before: World) -> None:
    """It arrived before the rename, broke the contract afterwards, and is corrected after the rename."""
    fields = (attribute("order_id", required=True), attribute("value", "number", maximum=100))
    before.syncs[1] = orders_sync(event=OLD, fields=fields)
    before.order("o3", "a", 0.1, 5)
    lost = lambda: Cut(before.box, lambda body: "after" if b'"o3"' in body else "")  # noqa: E731 one use
    before.run(settings=replace(FAST, attempts=1), destination=lost)
    before.forget_drain()
    before.sql("UPDATE orders SET value = 500 WHERE order_id = 'o3'")
    assert before.run().syncs[1].refused_now == 1
    before.sql("UPDATE orders SET value = 50 WHERE order_id = 'o3'")
    before.syncs[1] = renamed(fields=fields)

    assert before.diff().syncs[1].counts.copied == 0
    for _ in range(2):
        assert before.run().exit_code == ExitCode.OK

    assert sent(before)[OLD] == 3


def test_a_refused_copy_is_a_matter_of_its_own(before: World) -> None:
    before.syncs[1] = renamed(fields=(attribute("order_id", required=True), attribute("value", "number", maximum=100)))
    before.order("o3", "a", 0.1, 500)
    refused = before.run().syncs[1]
    assert (refused.refused_now, refused.counts.copied) == (2, 1)
    adds_up(refused)
    later = before.run().syncs[1]
    assert (later.counts.refused, later.refused_now) == (2, 0)
    adds_up(later)

    before.sql("UPDATE orders SET value = 50 WHERE order_id = 'o3'")
    assert before.run().exit_code == ExitCode.OK
    assert sent(before) == {OLD: 3, NEW: 1}
    assert before.ask(f"SELECT count(*) FROM {SCHEMA}.open__orders01") == [(0,)]


def test_what_is_open_of_copies_is_given_up_when_their_time_is_over(before: World) -> None:
    before.syncs[1] = renamed(fields=(attribute("order_id", required=True), attribute("value", "number", maximum=100)))
    before.order("o3", "a", 0.1, 500)
    before.run()
    assert before.ask(f"SELECT count(*) FROM {SCHEMA}.open__orders01") == [(2,)]

    before.ahead_s = 31 * DAY
    before.run()

    assert before.ask(f"SELECT _variant FROM {SCHEMA}.open__orders01") == [("",)]


# --- attributes ------------------------------------------------------------------------------------------------------


def people(days: int = 30) -> Sync:
    spent = attribute("total_spent", "number", column="spent", renamed_from=Rename(name="spent", until=in_days(days)))
    return people_sync(fields=(attribute("email"), attribute("plan"), spent))


def test_an_attribute_is_sent_under_both_names_until_its_last_day(world: World) -> None:
    world.run("people")
    world.syncs[0] = people()

    first = world.run("people")

    assert (first.exit_code, first.syncs[0].counts.updated, first.syncs[0].counts.fresh) == (ExitCode.OK, 2, 2)
    assert world.person("b") == {"email": "bob@example.com", "plan": "pro", "spent": "12.5", "total_spent": "12.5"}
    world.sql("UPDATE people SET spent = 20 WHERE id = 'b'")
    assert world.run("people").syncs[0].counts.changed == {"email": 0, "plan": 0, "total_spent": 1, "spent": 1}
    found = world.person("b") or {}
    assert (found["spent"], found["total_spent"]) == ("20", "20")

    world.ahead_s = 31 * DAY
    world.sql("UPDATE people SET spent = 30 WHERE id = 'b'")
    assert world.run("people").exit_code == ExitCode.OK
    found = world.person("b") or {}
    assert (found["spent"], found["total_spent"]) == ("20", "30"), "the old attribute stays as it was"
    assert world.run("people").requests == 0


def test_the_old_attribute_is_cleared_by_sending_it_as_null_once(world: World) -> None:
    world.syncs[0] = people(0)
    world.run("people")
    world.ahead_s = DAY
    world.sql("UPDATE people SET plan = 'new' WHERE id = 'b'", "ALTER TABLE people ADD COLUMN always_null numeric")
    world.run("people")
    spent = attribute("spent", "number", column="always_null", on_null=OnNull.CLEAR)
    world.syncs[0] = people_sync(fields=(*people(0).fields, spent))

    assert world.run("people", full_refresh=True).exit_code == ExitCode.OK

    assert [sorted(world.person(who) or {}) for who in ("a", "b")] == [["email", "plan", "total_spent"]] * 2


def test_a_property_is_sent_under_both_names(world: World) -> None:
    value = attribute("total", "number", column="value", renamed_from=Rename(name="value", until=in_days(0)))
    world.syncs[1] = orders_sync(fields=(attribute("order_id"), value))
    world.run(backfill=True)
    data = [a["data"] for a in world.api("/v1/activities?type=event&customer_id=b&id_type=id")["activities"]]
    assert data == [{"order_id": "o2", "value": 12.5, "total": 12.5}]

    world.ahead_s = DAY
    world.order("o3", "b", -24, 3)
    assert (world.run().exit_code, world.run().requests) == (ExitCode.OK, 0)
    data = [a["data"] for a in world.api("/v1/activities?type=event&customer_id=b&id_type=id")["activities"]]
    assert {"order_id": "o3", "total": 3} in data


# --- an early end, and versions of the contract -----------------------------------------------------------------------


@pytest.mark.parametrize("sooner", [orders_sync(), renamed(2)])
def test_an_old_name_does_not_end_before_its_day(before: World, sooner: Sync) -> None:
    before.run()
    before.order("o3", "a", 0.1, 5)
    before.syncs[1] = sooner

    assert [p.code for p in before.diff().syncs[1].problems] == ["RV260"]
    stopped = before.run().syncs[1]
    assert stopped.error is not None
    assert (stopped.error.code, stopped.error.exit_code) == ("RV260", ExitCode.CONTRACT)
    assert "--accept-contract" in stopped.error.hint
    assert sent(before) == {OLD: 2}

    assert before.run(accept_contract=True).exit_code == ExitCode.OK
    before.order("o4", "a", 0.1, 5)
    assert before.run().exit_code == ExitCode.OK, "it was accepted once, and is the contract now"
    assert sent(before)[NEW] == 2


def test_it_may_end_after_its_day(before: World) -> None:
    before.run()
    before.ahead_s = 31 * DAY
    before.syncs[1] = orders_sync()
    assert before.run().exit_code == ExitCode.OK


def test_an_attribute_does_not_end_before_its_day(world: World) -> None:
    world.syncs[0] = people()
    world.run("people")
    world.syncs[0] = people_sync(fields=(attribute("email"), attribute("total_spent", "number", column="spent")))
    assert [p.code for p in world.diff("people").syncs[0].problems] == ["RV260"]
    assert world.run("people").exit_code == ExitCode.CONTRACT


def test_every_version_of_a_contract_is_kept_once_with_its_run(world: World) -> None:
    first = world.run("people")
    world.run("people")
    world.syncs[0] = people_sync(fields=(attribute("email"), attribute("plan"), attribute("spent", "number", minimum=0)))
    looked = world.diff("people").syncs[0].contract
    assert (looked.old, looked.new, [str(c) for c in looked.changes]) == (1, 2, ["spent minimum none → 0 (narrowed)"])
    assert looked.breaks
    third = world.run("people")

    kept = world.ask(f"SELECT version, first_run_id FROM {SCHEMA}.contracts WHERE uid = 'people01' ORDER BY version")
    assert kept == [(1, first.run_id), (2, third.run_id)]
    logged = world.ask(f"SELECT contract_version FROM {SCHEMA}.sync_log ORDER BY finished_at")
    assert logged == [(1,), (1,), (2,)]
    assert [r.syncs[0].contract_version for r in (first, third)] == [1, 2]
    assert world.diff("people").syncs[0].contract.changes == ()


def test_the_numbers_go_on_after_a_reset(world: World) -> None:
    world.run("people")
    warehouse = world.connect()
    upkeep.reset(warehouse, SCHEMA, "people", "people01")
    warehouse.close()
    assert world.run("people").syncs[0].contract_version == 2


def test_what_ends_soon_is_a_warning_and_names_its_journeys(before: World) -> None:
    before.journeys = {("event", OLD): ("Win-back",)}
    (dual,) = before.diff().syncs[1].dual_sends
    assert (dual.left, dual.journeys) == (31, ("Win-back",))
    assert before.diff().syncs[1].warnings == ()

    before.ahead_s = 17 * DAY
    (notice,) = before.run().syncs[1].warnings

    assert notice.code == "RV262"
    assert "14 days left" in notice.message
    assert "Win-back" in notice.hint
    [(said,)] = before.ask(f"SELECT warnings FROM {SCHEMA}.sync_log WHERE uid = 'orders01' ORDER BY finished_at DESC LIMIT 1")
    assert "14 days left" in said
