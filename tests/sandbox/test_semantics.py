"""What operations do: the published rules of identify, event, merge, delete and suppress, read back by the App API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sandbox.client import Client, event, identify, merge, person

DAY = 86_400
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
Serve = Callable[..., Client]


# --- identify ----------------------------------------------------------------------------------------------------


def test_identify_creates_then_updates_and_keeps_what_is_not_named(client: Client) -> None:
    client.did(identify(plan="free", city="Oslo"))
    client.did(identify(plan="pro"))

    assert client.attributes("1") == {"id": "1", "plan": "pro", "city": "Oslo"}
    assert client.totals["people"] == 1


def test_values_are_read_back_as_strings_with_their_digits(client: Client) -> None:
    body = b'{"batch":[{"type":"person","action":"identify","identifiers":{"id":"1"},"attributes":{"yes":true,'
    body += b'"n":3,"big":12345678901234567890.123456789,"list":[1,"a"],"map":{"a":1.50}}}]}'
    assert client.track("POST", "/api/v2/batch", body).status == 200

    assert client.attributes("1") == {
        "id": "1", "yes": "true", "n": "3", "big": "12345678901234567890.123456789", "list": '[1,"a"]',
        "map": '{"a":1.50}',
    }  # fmt: skip


def test_an_email_is_the_same_in_any_case_and_an_id_is_not(client: Client) -> None:
    client.did(identify({"email": "Ann@Example.com"}, n=1), identify({"email": "ann@example.COM"}, n=2))
    client.did(identify("a"), identify("A"))

    assert client.totals["people"] == 3
    assert client.attributes("ANN@example.com", "email") == {"email": "Ann@Example.com", "n": "2"}
    assert client.activities("failed_attribute_change") == []


def test_an_unknown_id_with_a_known_email_is_given_to_the_person_of_the_email(client: Client) -> None:
    client.did(identify({"email": "ann@example.com"}, plan="free"))
    client.did(identify("1", email="ann@example.com", plan="pro"))

    assert client.totals["people"] == 1
    assert client.attributes("1") == {"id": "1", "email": "ann@example.com", "plan": "pro"}


def test_an_unknown_id_with_the_email_of_someone_who_has_an_id_takes_that_person_over(client: Client) -> None:
    """The tip in the reference: who reuses an e-mail under new ids updates one person again and again."""
    client.did(identify("old", email="ann@example.com"), identify("new", email="ann@example.com"))

    assert client.totals["people"] == 1
    assert client.attributes("old") is None
    assert client.attributes("new") == {"id": "new", "email": "ann@example.com"}


def test_two_known_identifiers_of_different_people_fail_in_the_log_only(client: Client) -> None:
    client.did(identify("1", email="ann@example.com"), identify("2", email="bob@example.com"))
    client.did(identify("1", email="bob@example.com", plan="pro"))

    assert client.attributes("1") == {"id": "1", "email": "ann@example.com", "plan": "pro"}
    assert client.attributes("2") == {"id": "2", "email": "bob@example.com"}
    [failure] = client.activities("failed_attribute_change")
    assert failure["customer_id"] == "1"


@pytest.mark.parametrize(("allowed", "email"), [(True, "new@example.com"), (False, "ann@example.com")])
def test_a_changed_email_is_the_workspaces_setting(serve: Serve, *, allowed: bool, email: str) -> None:
    client = serve(rules={"change_email_by_id": allowed})
    client.did(identify(email="ann@example.com"), identify(email="new@example.com", plan="pro"))

    assert client.attributes("1") == {"id": "1", "email": email, "plan": "pro"}
    assert len(client.activities("failed_attribute_change")) == (0 if allowed else 1)


def test_an_id_that_is_set_changes_by_cio_id_only(client: Client) -> None:
    client.did(identify("1", email="ann@example.com"))
    cio_id = (client.profile("1") or {})["identifiers"]["cio_id"]

    client.did(identify({"email": "ann@example.com"}, id="2"))
    assert client.attributes("2") is None
    client.did(identify({"cio_id": cio_id}, id="2", email="new@example.com"))
    assert client.attributes("2") == {"id": "2", "email": "new@example.com"}
    assert client.attributes("1") is None


def test_an_unknown_cio_id_is_dropped(client: Client) -> None:
    client.did(identify({"cio_id": "a3ffffff"}, plan="x"), event({"cio_id": "a3ffffff"}))

    assert client.totals["people"] == 0
    assert len(client.activities("failed_attribute_change")) == len(client.activities("failed_event")) == 1


def test_update_only_never_creates(client: Client) -> None:
    client.did(identify(_update=True, plan="pro"))
    assert client.totals["people"] == 0
    assert len(client.activities("failed_attribute_change")) == 1

    client.did(identify(plan="free"), identify(_update=True, plan="pro"))
    assert client.attributes("1") == {"id": "1", "plan": "pro"}


@pytest.mark.parametrize("empty", [None, ""])
def test_null_and_the_empty_text_remove(client: Client, empty: str | None) -> None:
    client.did(identify(plan="free", city="Oslo"), identify(plan=empty))

    assert client.attributes("1") == {"id": "1", "city": "Oslo"}


def test_null_is_ignored_where_the_rule_says_so(serve: Serve) -> None:
    client = serve(rules={"null_clears": False})
    client.did(identify(plan="free"), identify(plan=None))

    assert client.attributes("1") == {"id": "1", "plan": "free"}


@pytest.mark.parametrize(
    ("policy", "expected", "skips"),
    [
        ("attribute", {"id": "1", "plan": "new", "city": "Bergen"}, 1),
        ("profile", {"id": "1", "plan": "new", "city": "Oslo"}, 1),
        ("ignore", {"id": "1", "plan": "old", "city": "Bergen"}, 0),
    ],
)
def test_an_older_timestamp_loses_what_the_policy_says(
    serve: Serve, policy: str, expected: dict[str, str], skips: int
) -> None:
    client = serve(rules={"timestamp_policy": policy})
    client.did(identify(at=100, city="Oslo"), identify(at=300, plan="new"))
    client.did(identify(at=200, plan="old", city="Bergen"))

    assert client.attributes("1") == expected
    assert len(client.activities("skipped_update")) == skips


def test_an_equal_timestamp_is_not_older(client: Client) -> None:
    client.did(identify(at=100, plan="a"), identify(at=100, plan="b"))

    assert client.attributes("1") == {"id": "1", "plan": "b"}


def test_an_older_update_does_not_bring_back_a_removed_attribute(client: Client) -> None:
    client.did(identify(at=100, plan="a"), identify(at=300, plan=None), identify(at=200, plan="b"))

    assert client.attributes("1") == {"id": "1"}


def test_each_attribute_has_the_time_it_was_set(client: Client) -> None:
    client.did(identify(at=100, plan="a", city="Oslo"), identify(at=200, plan="b"))

    times = (client.profile("1") or {})["timestamps"]
    assert (times["plan"], times["city"]) == (200, 100)


def test_one_topic_keeps_the_others(client: Client) -> None:
    client.did(identify(cio_subscription_preferences={"topics": {"topic_1": True}}))
    client.did(person("identify", attributes={"cio_subscription_preferences.topics.topic_2": False}))

    found = (client.attributes("1") or {})["cio_subscription_preferences"]
    assert found == '{"topics":{"topic_1":true,"topic_2":false}}'


def test_a_change_is_logged_with_old_and_new(client: Client) -> None:
    client.did(identify(plan="free"), identify(plan="pro"), identify(plan="pro"))

    [change] = client.activities("attribute_change")
    assert "free" in str(change["data"])
    assert "pro" in str(change["data"])


# --- events ------------------------------------------------------------------------------------------------------


def test_an_event_for_an_unknown_person_makes_one(client: Client) -> None:
    client.did(event("9"))

    assert client.attributes("9") == {"id": "9"}
    assert len(client.activities("profile_create")) == 1


def test_an_event_for_an_unknown_person_is_dropped_where_the_rule_says_so(serve: Serve) -> None:
    client = serve(rules={"create_on_event": False})
    client.did(event("9"))

    assert (client.totals["people"], client.totals["events"]) == (0, {})
    assert len(client.activities("failed_event")) == 1


def test_an_id_counts_once_in_the_whole_workspace_for_ever(client: Client) -> None:
    client.did(event("1", id=ULID))
    client.clock.now += 1000 * DAY
    client.did(event("1", id=ULID), event("2", "other", id=ULID.lower()))

    assert client.totals["events"] == {"purchase": 1}
    assert client.totals["people"] == 1


def test_an_id_is_forgotten_after_the_window(serve: Serve) -> None:
    client = serve(rules={"dedupe_window_s": 60})
    client.did(event(id=ULID))
    client.clock.now += 60
    client.did(event(id=ULID))
    assert client.totals["events"] == {"purchase": 1}

    client.clock.now += 61
    client.did(event(id=ULID))
    assert client.totals["events"] == {"purchase": 2}


def test_names_are_trimmed_and_a_missing_time_is_the_receipt(client: Client) -> None:
    client.did(event(name="  purchase "), event(timestamp=0))

    found = client.activities("event", name="purchase", customer_id="1")
    assert [a["timestamp"] for a in found] == [client.clock.now, 0]


def test_pages_and_screens_are_kept_apart(client: Client) -> None:
    client.did(person("page", name="/home"), person("screen", name="Home"), event())

    totals = client.totals
    assert (totals["events"], totals["pages"], totals["screens"]) == ({"purchase": 1}, {"/home": 1}, {"Home": 1})


def test_anonymous_events_of_thirty_days_follow_the_person(client: Client) -> None:
    anonymous = {"anonymous_id": "cookie"}
    client.did(
        event(anonymous, "old", timestamp=int(client.clock.now) - 31 * DAY),
        event(anonymous, "recent", timestamp=int(client.clock.now) - 29 * DAY),
    )
    assert client.totals["people"] == 0

    client.did(identify(anonymous_id="cookie"))
    client.clock.now += 300
    client.did(event(anonymous, "late"))
    client.clock.now += 1
    client.did(event(anonymous, "too late"))

    assert {a["name"] for a in client.activities("event", customer_id="1")} == {"recent", "late"}


def test_an_anonymous_id_belongs_to_one_person(client: Client) -> None:
    client.did(identify("1", anonymous_id="cookie"), identify("2", anonymous_id="cookie"))

    assert client.attributes("2") == {"id": "2"}
    assert len(client.activities("failed_attribute_change")) == 1


# --- delete, suppress, merge, devices ----------------------------------------------------------------------------


def test_delete_takes_everything_and_lets_the_identifier_be_used_again(client: Client) -> None:
    client.did(identify(email="ann@example.com", plan="pro"), event(), person("delete"))
    assert (client.totals["people"], client.totals["events"]) == (0, {})

    client.did(identify(city="Oslo"))
    assert client.attributes("1") == {"id": "1", "city": "Oslo"}


def test_deleting_nobody_is_no_error(client: Client) -> None:
    client.did(person("delete", "nobody"))


def test_suppress_blocks_every_identifier_and_unsuppress_frees_them(client: Client) -> None:
    client.did(identify(email="ann@example.com"), person("suppress"))
    client.did(identify({"email": "ANN@example.com"}), event("1"), identify("2", email="ann@example.com"))
    assert client.totals["people"] == 0

    client.did(person("unsuppress", {"email": "ann@example.com"}), identify("1", plan="back"))
    assert client.attributes("1") == {"id": "1", "plan": "back"}


def test_suppressing_a_stranger_blocks_the_identifier(client: Client) -> None:
    client.did(person("suppress", "x"), identify("x"))

    assert client.totals["people"] == 0


def test_merge_fills_the_gaps_of_the_primary_and_deletes_the_secondary(client: Client) -> None:
    client.did(
        identify("1", plan="pro", city=""),
        identify("2", plan="free", city="Oslo", email="bob@example.com"),
        event("2", "recent", timestamp=int(client.clock.now) - 29 * DAY),
        event("2", "old", timestamp=int(client.clock.now) - 31 * DAY),
        merge({"id": "1"}, {"id": "2"}),
    )

    assert client.attributes("1") == {"id": "1", "plan": "pro", "city": "Oslo", "email": "bob@example.com"}
    assert client.attributes("2") is None
    assert client.totals["events"] == {"recent": 1}


@pytest.mark.parametrize("sides", [("ghost", "1"), ("1", "ghost"), ("1", "1")])
def test_a_merge_that_cannot_be_done_changes_nothing(client: Client, sides: tuple[str, str]) -> None:
    client.did(identify("1", plan="pro"), merge({"id": sides[0]}, {"id": sides[1]}))

    assert client.attributes("1") == {"id": "1", "plan": "pro"}
    assert len(client.activities("skipped_update")) == 1


def test_devices_come_and_go(client: Client) -> None:
    client.did(person("add_device", device={"token": "t1", "platform": "ios", "last_used": 5}))
    assert [(d["id"], d["platform"], d["last_used"]) for d in (client.profile("1") or {})["devices"]] == [("t1", "ios", 5)]

    client.did(person("delete_device", device={"token": "t1"}))
    assert (client.profile("1") or {})["devices"] == []


def test_objects_and_relationships_are_kept(client: Client) -> None:
    company = {"object_type_id": "1", "object_id": "acme"}
    client.did(
        {"type": "object", "action": "identify", "identifiers": company, "attributes": {"seats": 50}},
        person("add_relationships", cio_relationships=[{"identifiers": company}]),
    )
    assert (client.totals["objects"], client.totals["relationships"]) == (1, 1)

    client.did({"type": "object", "action": "delete", "identifiers": company})
    assert (client.totals["objects"], client.totals["relationships"]) == (0, 0)


def test_a_workspace_lives_on_in_its_file(serve: Serve, tmp_path: object) -> None:
    path = f"{tmp_path}/box.db"
    first = serve(path)
    first.did(identify(plan="pro"))
    first.box.close()

    again = serve(path)
    assert again.box.api_key == first.box.api_key
    assert again.attributes("1") == {"id": "1", "plan": "pro"}
