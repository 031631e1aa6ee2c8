"""Every other type of sync: what Customer.io holds after runs, changes and runs again; on every warehouse."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from typing import Any

import pytest

from revetl.contracts import (
    LAST_USED,
    PLATFORM,
    Guards,
    IdentifierKind,
    Initial,
    Limit,
    NoPerson,
    Sync,
    SyncType,
    WhenMissing,
)
from revetl.delivery import RealClock
from revetl.errors import ExitCode
from revetl.forget import Forgetting
from revetl.sandbox.faults import Fault
from revetl.sandbox.server import Limits
from revetl.sandbox.store import Rules
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World, attribute, orders_sync, people_sync

EVERYTHING = Guards(max_deletes=Limit(share=1.0), max_changes=Limit(share=1.0), empty_source=False)


def sync(kind: SyncType, table: str, **changes: Any) -> Sync:
    """A sync of the table of its name, about people by id."""
    base: dict[str, Any] = {
        "name": table, "uid": f"{table}01", "type": kind, "model": table, "relation": f"ref('{table}')",
        "identifier": IdentifierKind.ID, "fields": (), "guards": EVERYTHING,
    }  # fmt: skip
    if kind.names_people:
        base |= {"person": "person", "person_sync": "people"}
    if kind.keyed_by_person:
        base["key"] = "person"
    return Sync(**(base | changes))


def companies(**changes: Any) -> Sync:
    """Table `companies` (company, name, seats)."""
    return sync(SyncType.OBJECT, "companies", **{
        "key": "company", "object_type": "1", "fields": (attribute("name"), attribute("seats", "integer")),
        "when_missing": WhenMissing.DELETE, **changes,
    })  # fmt: skip


def works(**changes: Any) -> Sync:
    """Table `works` (person, company, role)."""
    return sync(SyncType.RELATIONSHIP, "works", **{
        "key": "company", "object_type": "1", "object_sync": "companies", "fields": (attribute("role"),),
        "when_missing": WhenMissing.DELETE, **changes,
    })  # fmt: skip


def devices(**changes: Any) -> Sync:
    """Table `devices` (person, token, platform, used, model)."""
    own = (
        attribute(PLATFORM, column="platform", required=True, enum=("ios", "android")),
        attribute(LAST_USED, "timestamp", column="used"),
    )
    return sync(SyncType.DEVICE, "devices", **{
        "key": "token", "fields": (*own, attribute("device_model")), "when_missing": WhenMissing.DELETE, **changes,
    })  # fmt: skip


def table(world: World, name: str, columns: str, *rows: str) -> None:
    """(Re)create a table."""
    world.sql(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} ({columns})")
    for row in rows:
        world.sql(f"INSERT INTO {name} VALUES ({row})")


def related(world: World, person: str) -> dict[str, dict[str, str]]:
    """The objects of a person, with the attributes of each relationship."""
    found = world.api(f"/v1/customers/{person}/relationships")["cio_relationships"]
    return {one["identifiers"]["object_id"]: one["relationship_attributes"] for one in found}


def devices_of(world: World, person: str) -> dict[str, tuple[str, int, dict[str, str]]]:
    """The devices of a person by token."""
    found = world.api("/v1/customers/attributes", {"ids": [person]})["customers"]
    return {d["id"]: (d["platform"], d["last_used"], d["attributes"]) for one in found for d in one["devices"]}


def members(world: World, segment: int = 1) -> list[str]:
    """The people of a manual segment."""
    return sorted(world.api(f"/v1/segments/{segment}/membership")["ids"])


def by_name(result: Any) -> dict[str, Any]:
    """The results of a run or a diff by sync."""
    return {one.sync.name: one for one in result.syncs}


# --- objects and relationships -----------------------------------------------------------------------------------------


@pytest.fixture
def office(world: World) -> World:
    """Two companies, and who works where."""
    world.syncs = [people_sync(when_missing=WhenMissing.DELETE, guards=EVERYTHING), companies(), works()]
    table(world, "companies", "company text, name text, seats integer", "'acme', 'Acme', 5", "'bolt', 'Bolt', 7")
    table(world, "works", "person text, company text, role text", "'a', 'acme', 'admin'", "'b', 'acme', 'user'")
    return world


def test_objects_and_relationships_are_created_changed_and_deleted(office: World) -> None:
    assert office.run().exit_code == ExitCode.OK
    assert office.api("/v1/objects/1/acme/attributes")["object"]["attributes"] == {"name": "Acme", "seats": "5"}
    assert related(office, "a") == {"acme": {"role": "admin"}}
    assert office.run().requests == 0

    office.sql("UPDATE companies SET seats = 6 WHERE company = 'acme'", "UPDATE works SET role = 'owner' WHERE person = 'b'",
               "DELETE FROM works WHERE person = 'a'", "DELETE FROM companies WHERE company = 'bolt'")  # fmt: skip
    diff = by_name(office.diff())
    assert (diff["companies"].counts.updated, diff["companies"].counts.deleted) == (1, 1)
    assert (diff["works"].counts.updated, diff["works"].counts.deleted) == (1, 1)
    result = office.run()

    assert result.exit_code == ExitCode.OK
    assert office.api("/v1/objects/1/acme/attributes")["object"]["attributes"] == {"name": "Acme", "seats": "6"}
    assert related(office, "a") == {}
    assert related(office, "b") == {"acme": {"role": "owner"}}
    assert office.held()["objects"] == 1
    assert office.run().requests == 0


def test_a_relationship_waits_for_its_person_and_its_object(office: World) -> None:
    office.sql("INSERT INTO works VALUES ('c', 'acme', 'user')", "INSERT INTO works VALUES ('a', 'corp', 'user')")
    result = office.run()

    assert by_name(result)["works"].counts.waiting == 2
    assert result.exit_code == ExitCode.ROWS_REFUSED
    assert related(office, "a") == {"acme": {"role": "admin"}}
    assert office.held()["people"] == 2, "a relationship makes nobody"

    office.sql("INSERT INTO people VALUES ('c', 'c@example.com', 'free', 0)", "INSERT INTO companies VALUES ('corp', 'Corp', 1)")
    diff = by_name(office.diff())
    assert diff["works"].counts.waiting == 0, "the run would create them first"
    assert office.run().exit_code == ExitCode.OK
    assert set(related(office, "a")) == {"acme", "corp"}
    assert set(related(office, "c")) == {"acme"}


def test_what_goes_with_a_person_or_an_object_is_sent_again_when_they_return(office: World) -> None:
    office.run()
    office.sql("DELETE FROM people WHERE id = 'b'", "DELETE FROM companies WHERE company = 'acme'")
    result = office.run()
    assert result.exit_code == ExitCode.OK
    assert by_name(office.run())["works"].counts.waiting == 2

    office.sql("INSERT INTO people VALUES ('b', 'bob@example.com', 'pro', 1)", "INSERT INTO companies VALUES ('acme', 'Acme', 5)")
    assert office.run().exit_code == ExitCode.OK
    assert related(office, "a") == {"acme": {"role": "admin"}}
    assert related(office, "b") == {"acme": {"role": "user"}}


def test_a_delete_without_an_answer_loses_nothing_of_somebody_who_returns(office: World) -> None:
    """The profile went with all that belonged to it; the run did not learn it; and then the person is back."""
    office.run()
    office.sql("DELETE FROM people WHERE id = 'b'")
    office.box.faults = [Fault(kind="apply_then_fail", times=20)]
    assert office.run(settings=replace(FAST, attempts=1)).exit_code == ExitCode.DESTINATION
    office.box.faults = []
    assert office.person("b") is None
    office.sql("INSERT INTO people VALUES ('b', 'bob@example.com', 'pro', 1)")
    office.forget_drain()
    assert office.run().exit_code == ExitCode.OK
    assert (office.person("b") or {})["plan"] == "pro"
    assert related(office, "b") == {"acme": {"role": "user"}}


def test_rows_wait_while_the_last_request_of_their_person_has_no_answer(office: World) -> None:
    office.run()
    office.sql("UPDATE people SET plan = 'gold' WHERE id = 'a'", "INSERT INTO works VALUES ('a', 'bolt', 'user')")
    office.box.faults = [Fault(kind="reset", times=20)]
    office.run("people", settings=replace(FAST, attempts=1))
    office.box.faults = []
    office.forget_drain()
    assert by_name(office.run("works"))["works"].counts.waiting == 1
    assert set(related(office, "a")) == {"acme"}
    assert office.run().exit_code == ExitCode.OK
    assert set(related(office, "a")) == {"acme", "bolt"}


def test_a_workspace_that_takes_fewer_operations_gets_halves(office: World) -> None:
    office.box.limits = Limits(max_operations=1)
    assert office.run().exit_code == ExitCode.OK
    assert office.held()["people"] == office.held()["objects"] == office.held()["relationships"] == 2


def test_a_key_of_two_parts_is_exact(office: World) -> None:
    """Quotes, commas, brackets and letters of any alphabet in both parts."""
    hostile = ['x","y', "[1,2]", "ü\\n", "' '"]
    for key in map(office.text, hostile):
        office.sql(f"INSERT INTO companies VALUES ({key}, 'H', 1)", f"INSERT INTO works VALUES ('a', {key}, 'h')")
    assert office.run().exit_code == ExitCode.OK
    assert set(related(office, "a")) == {"acme", *hostile}
    assert office.run().requests == 0


def test_a_repeated_relationship_stops_its_sync_only(office: World) -> None:
    office.sql("INSERT INTO works VALUES ('a', 'acme', 'twice')")
    result = by_name(office.run())
    assert result["works"].error.code == "RV201"
    assert result["people"].status == result["companies"].status == "success"


def test_rows_without_a_person_are_skipped_or_held(office: World) -> None:
    office.sql("INSERT INTO works VALUES (NULL, 'acme', 'nobody')")
    assert by_name(office.run())["works"].counts.skipped == 1
    office.syncs = [*office.syncs[:2], works(no_person=NoPerson.HOLD)]
    assert by_name(office.run())["works"].counts.nobody == 1


# --- devices -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def phones(world: World) -> World:
    """Two devices of two people."""
    world.syncs = [people_sync(), devices()]
    table(world, "devices", "person text, token text, platform text, used bigint, device_model text",
          "'a', 'tok-1', 'ios', 1700000000, 'X'", "'b', 'tok-2', 'android', NULL, NULL")  # fmt: skip
    return world


def test_devices_are_added_changed_and_removed(phones: World) -> None:
    assert phones.run().exit_code == ExitCode.OK
    assert devices_of(phones, "a") == {"tok-1": ("ios", 1_700_000_000, {"device_model": "X"})}
    assert devices_of(phones, "b")["tok-2"][0] == "android"
    assert phones.run().requests == 0

    phones.sql("UPDATE devices SET used = 1700009999 WHERE token = 'tok-1'", "DELETE FROM devices WHERE token = 'tok-2'")
    assert phones.run().exit_code == ExitCode.OK
    assert devices_of(phones, "a") == {"tok-1": ("ios", 1_700_009_999, {"device_model": "X"})}, "sent whole"
    assert devices_of(phones, "b") == {}


def test_a_device_that_changes_hands_ends_with_its_new_owner(phones: World) -> None:
    phones.run()
    phones.sql("UPDATE devices SET person = 'b' WHERE token = 'tok-1'")
    assert phones.run().exit_code == ExitCode.OK
    assert devices_of(phones, "a") == {}
    assert set(devices_of(phones, "b")) == {"tok-1", "tok-2"}
    assert phones.run().requests == 0


def test_a_device_of_another_platform_is_refused_alone(phones: World) -> None:
    phones.sql("INSERT INTO devices VALUES ('a', 'tok-3', 'windows', NULL, NULL)")
    result = by_name(phones.run())["devices"]
    assert (result.acknowledged, result.refused) == (2, 1)
    assert result.reasons[0].field == PLATFORM


def test_a_lost_answer_leaves_no_device_behind(phones: World) -> None:
    """The request was applied and not answered; then the row vanishes, so the next run must remove what it may have made."""
    phones.run("people")
    phones.box.faults = [Fault(kind="apply_then_fail", times=20)]
    once = replace(FAST, attempts=1)
    assert phones.run("devices", settings=once).exit_code == ExitCode.DESTINATION
    phones.box.faults = []
    assert devices_of(phones, "a")
    phones.sql("DELETE FROM devices WHERE token = 'tok-1'")
    phones.forget_drain()
    assert phones.run().exit_code == ExitCode.OK
    assert devices_of(phones, "a") == {}
    assert set(devices_of(phones, "b")) == {"tok-2"}


# --- manual segments ---------------------------------------------------------------------------------------------------


@pytest.fixture
def club(world: World) -> World:
    """A manual segment with one member to come."""
    world.api("/v1/segments", {"segment": {"name": "VIP"}})
    world.syncs = [people_sync(), sync(SyncType.SEGMENT, "vips", segment_id=1, when_missing=WhenMissing.DELETE)]
    table(world, "vips", "person text", "'a'")
    return world


def test_members_are_added_and_removed(club: World) -> None:
    assert club.run().exit_code == ExitCode.OK
    assert members(club) == ["a"]
    assert club.run().requests == 0
    club.sql("DELETE FROM vips", "INSERT INTO vips VALUES ('b')", "INSERT INTO vips VALUES ('ghost')")
    result = club.run()
    assert members(club) == ["b"]
    assert by_name(result)["vips"].counts.waiting == 1


def test_a_thousand_ids_go_in_one_call(club: World) -> None:
    club.people_table(*((f"p{i}", f"p{i}@example.com", "free", 0) for i in range(1_501)))
    club.sql("DELETE FROM vips", "INSERT INTO vips SELECT id FROM people")
    club.run("people")
    result = club.run("vips")
    assert result.requests == 2
    calls = [r for r in club.api("/sandbox/journal")["requests"] if r["path"].startswith("/api/v1/segments")]
    assert sorted(r["operations"] for r in calls) == [501, 1_000], "sent side by side: either may arrive first"
    assert len(members(club)) == 1_501


def test_one_id_that_is_refused_is_found_by_halving(club: World) -> None:
    club.sql("INSERT INTO vips VALUES ('b')")
    club.run("people")
    club.box.faults = [Fault(kind="reject", key="b", times=9)]
    result = by_name(club.run("vips"))["vips"]
    assert (result.acknowledged, result.refused) == (1, 1)
    assert members(club) == ["a"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_segment_that_does_not_exist_is_told_whatever_the_status(club: World, status: int) -> None:
    club.box.store.rules = Rules(unknown_segment=status)
    club.syncs = [club.syncs[0], sync(SyncType.SEGMENT, "vips", segment_id=7)]
    result = by_name(club.run())["vips"]
    assert result.acknowledged == 0
    assert result.refused == 1 if status == 400 else result.error.exit_code == ExitCode.USAGE
    assert by_name(club.run("vips"))["vips"].counts.created == 1, "it is planned again"


# --- suppressions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def blocked(world: World) -> World:
    """`b` is to be suppressed."""
    suppression = sync(SyncType.SUPPRESSION, "blocked", when_missing=WhenMissing.UNSUPPRESS, person="", person_sync="people")
    world.syncs = [people_sync(), orders_sync(initial=Initial.SEND), devices(), suppression]
    table(world, "blocked", "person text", "'b'")
    table(world, "devices", "person text, token text, platform text, used bigint, device_model text",
          "'b', 'tok-2', 'android', NULL, NULL")  # fmt: skip
    return world


def in_order(world: World) -> World:
    """Syncs in the order of work, as the compiler gives them."""
    world.syncs.sort(key=lambda one: one.type.phase)
    return world


@pytest.mark.parametrize("keeps", [False, True])
def test_nothing_is_sent_of_suppressed_people_until_they_are_freed(blocked: World, keeps: bool) -> None:
    blocked.box.store.rules = Rules(suppress_keeps=keeps)
    suppression = blocked.syncs.pop()
    blocked.run("people")
    blocked.run("devices")
    assert devices_of(blocked, "b")
    blocked.syncs.append(suppression)
    in_order(blocked)
    result = by_name(blocked.run(backfill=True))
    assert result["blocked"].acknowledged == 1
    assert result["people"].counts.forgotten == result["orders"].counts.forgotten == 1
    assert blocked.held()["suppressed"] > 0
    assert blocked.ask(f"SELECT _key FROM {SCHEMA}.state__people01") == [("a",)]
    assert blocked.ask(f"SELECT count(*) FROM {SCHEMA}.state__devices01") == [(0,)]
    assert (blocked.person("b") is not None) is keeps
    assert blocked.run(backfill=True).requests == 0

    blocked.sql("DELETE FROM blocked")
    assert by_name(blocked.run(backfill=True))["blocked"].counts.deleted == 1
    assert blocked.held()["suppressed"] == 0
    assert blocked.run(backfill=True).exit_code == ExitCode.OK
    found = blocked.person("b")
    assert found is not None
    assert found["plan"] == "pro"
    assert set(devices_of(blocked, "b")) == {"tok-2"}


def test_many_suppressions_are_asked_for_by_their_exact_number(blocked: World) -> None:
    blocked.people_table(*((f"p{i}", f"p{i}@example.com", "free", 0) for i in range(40)))
    suppression = sync(SyncType.SUPPRESSION, "blocked", person_sync="people", guards=Guards())
    blocked.syncs = [suppression, people_sync()]
    blocked.run("people")
    blocked.sql("DELETE FROM blocked", "INSERT INTO blocked SELECT id FROM people WHERE id < 'p2'")
    [problem] = by_name(blocked.diff())["blocked"].problems
    count = by_name(blocked.diff())["blocked"].counts.created
    assert (problem.code, count) == ("RV230", 12)
    assert f"--confirm-deletes {count}" in problem.hint
    assert by_name(blocked.run())["blocked"].error.code == "RV230"
    assert blocked.held()["people"] == 40
    from revetl.plan import Confirmations  # noqa: PLC0415

    result = blocked.run(confirmed=Confirmations(deletes=count))
    assert by_name(result)["blocked"].acknowledged == 12
    assert blocked.held()["people"] == 28


def test_a_forgotten_person_is_left_out_of_every_type(blocked: World) -> None:
    """Tombstones hold for what belongs to somebody, too; and what the state kept of it goes."""
    blocked.syncs = [people_sync(), devices(when_missing=WhenMissing.DELETE)]
    blocked.run()
    assert devices_of(blocked, "b")
    warehouse = blocked.connect()
    try:
        Forgetting(
            warehouse, schema=SCHEMA, syncs=blocked.compiled(), settings=FAST, clock=RealClock(), rng=random.Random(1),
            connect=lambda: SandboxDestination(blocked.box), owner="test",
        ).forget(IdentifierKind.ID, ["b"], reason="test")  # fmt: skip
    finally:
        warehouse.close()
    assert blocked.ask(f"SELECT count(*) FROM {SCHEMA}.state__devices01") == [(0,)]
    result = blocked.run()
    assert [r.counts.forgotten for r in result.syncs] == [1, 1]
    assert result.requests == 0
    assert blocked.person("b") is None


def test_a_uid_of_another_type_stops_before_anything_is_sent(world: World) -> None:
    world.run("people")
    world.syncs = [people_sync(), sync(SyncType.SEGMENT, "vips", uid="people01", segment_id=1)]
    table(world, "vips", "person text", "'a'")
    result = by_name(world.run("vips"))["vips"]
    assert result.error.exit_code == ExitCode.STATE
    assert "state reset" in result.error.hint


# --- both readings of what is not published ----------------------------------------------------------------------------

READINGS = [
    Rules(reverse_batches=True), Rules(devices_merge=True), Rules(link_creates_object=False), Rules(attributes_of_person=True),
    Rules(limit_event_values=True), Rules(create_on_event=False), Rules(null_clears=False),
]  # fmt: skip


@pytest.mark.parametrize("rules", READINGS, ids=lambda one: next(k for k, v in asdict(one).items() if v != asdict(Rules())[k]))
def test_the_outcome_is_the_same_in_every_reading_of_the_reference(office: World, rules: Rules) -> None:
    office.box.store.rules = rules
    office.syncs = [*office.syncs, devices(), orders_sync()]
    table(office, "devices", "person text, token text, platform text, used bigint, device_model text",
          "'a', 'tok-1', 'ios', 1700000000, 'X'")  # fmt: skip
    office.run(backfill=True)
    office.sql("UPDATE works SET role = 'owner'", "UPDATE companies SET seats = 9", "UPDATE devices SET used = 1700009999",
               "UPDATE people SET plan = 'gold'")  # fmt: skip
    assert office.run(backfill=True).exit_code == ExitCode.OK
    assert office.api("/v1/objects/1/acme/attributes")["object"]["attributes"] == {"name": "Acme", "seats": "9"}
    assert related(office, "a") == {"acme": {"role": "owner"}}
    assert devices_of(office, "a") == {"tok-1": ("ios", 1_700_009_999, {"device_model": "X"})}
    assert (office.person("a") or {})["plan"] == "gold"
    assert office.held()["events"] == {"Order Completed": 2}


@pytest.mark.parametrize("by_id", [False, True])
def test_members_named_by_id_are_taken_in_both_readings(club: World, by_id: bool) -> None:
    club.box.store.rules = Rules(segments_by_id=by_id)
    club.run()
    club.sql("DELETE FROM vips")
    assert club.run().exit_code == ExitCode.OK
    assert members(club) == []


# --- pages and screens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SyncType.PAGE, SyncType.SCREEN])
def test_views_are_sent_once_under_the_name_of_their_row(world: World, kind: SyncType) -> None:
    views = sync(kind, "views", key="view", occurred_at="seen_at", event_column="path", fields=(attribute("referrer"),),
                 initial=Initial.SEND)  # fmt: skip
    world.syncs = [people_sync(), views]
    table(world, "views", "view text, person text, path text, seen_at timestamp with time zone, referrer text",
          "'1', 'a', ' /pricing ', current_timestamp - interval '1 hour', 'ad'",
          "'2', 'b', '/', current_timestamp - interval '1 hour', NULL",
          "'3', 'b', NULL, current_timestamp - interval '1 hour', NULL",
          "'4', 'ghost', '/', current_timestamp - interval '1 hour', NULL")  # fmt: skip
    result = by_name(world.run(backfill=True))["views"]
    assert (result.acknowledged, result.refused, result.counts.waiting) == (2, 1, 1)
    assert world.held()[f"{kind}s"] == {"/": 1, "/pricing": 1}
    events = world.api("/sandbox/events")["events"]
    assert {e["kind"] for e in events} == {str(kind)}
    world.sql("UPDATE views SET path = '/other' WHERE view = '2'")
    assert by_name(world.run(backfill=True))["views"].counts.drifted == 1
    assert world.held()[f"{kind}s"] == {"/": 1, "/pricing": 1}


def test_views_of_the_past_want_a_backfill_too(world: World) -> None:
    views = sync(SyncType.PAGE, "views", key="view", occurred_at="seen_at", event_column="path", initial=Initial.SEND)
    world.syncs = [people_sync(), views]
    table(world, "views", "view text, person text, path text, seen_at timestamp with time zone",
          "'1', 'a', '/pricing', current_timestamp - interval '1 hour'")  # fmt: skip
    stopped = by_name(world.run())["views"]
    assert stopped.error.code == "RV214"
    assert world.held()["pages"] == {}
    assert by_name(world.run(backfill=True))["views"].acknowledged == 1


# --- unsubscribed, and preferences -------------------------------------------------------------------------------------


def test_false_subscribes_nobody_again_unless_the_contract_says_so(world: World) -> None:
    topic = "cio_subscription_preferences.topics.topic_1"
    table(world, "people", "id text, unsubscribed boolean, topic boolean", "'a', true, true", "'b', false, false")
    fields = (attribute("unsubscribed", "boolean"), attribute(topic, "boolean", column="topic"))
    world.syncs = [people_sync(fields=fields)]
    world.run()
    assert world.person("a") == {"unsubscribed": "true", "cio_subscription_preferences": '{"topics":{"topic_1":true}}'}
    assert world.person("b") == {"cio_subscription_preferences": '{"topics":{"topic_1":false}}'}

    world.sql("UPDATE people SET unsubscribed = false WHERE id = 'a'")
    assert world.run().requests == 0
    assert (world.person("a") or {})["unsubscribed"] == "true"

    world.syncs = [people_sync(fields=(attribute("unsubscribed", "boolean", may_resubscribe=True), fields[1]))]
    world.run()
    assert (world.person("a") or {})["unsubscribed"] == "false"
