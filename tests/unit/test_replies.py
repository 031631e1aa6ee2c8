"""What of a reply may be shown, and the rows of the table that are easy to get wrong."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.customerio import LONGEST_MESSAGE, batch_of, judge, pack
from revetl.destination import Action, Batch, Operation, Outcome, Refusal, Reply

PERSON = {
    "type": "person", "action": "identify", "identifiers": {"id": "u-4711"},
    "attributes": {"email": "Jane.Doe@example.com", "first_name": "Jane", "note": "likes long walks", "score": 98123, "vip": True,
                   "tags": ["Weybridge", {"deep": "Kensington"}]},
}  # fmt: skip
VALUES = ("u-4711", "jane", "doe", "example.com", "likes", "walks", "98123", "weybridge", "kensington")


def refused(message: object, person: dict[str, Any] | None = None, **rest: object) -> Refusal:
    """The refusal of a row whose error said `message`."""
    sent = batch_of([Operation(1, orjson.dumps(person or PERSON))])
    error = {"batch_index": 0, "reason": "invalid", "field": "attributes.note", "message": message, **rest}
    verdict = judge(Reply(status=207, body=json.dumps({"errors": [error]}).encode()), sent)
    assert verdict.action is Action.DONE
    [refusal] = verdict.refusals
    return refusal


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("property value cannot exceed 1000 bytes", "property value cannot exceed 1000 bytes"),
        ("Kensington: property value cannot exceed 1000 bytes", "property value cannot exceed 1000 bytes"),
        ("is required", "is required"),
        ("primary.id must be a string or a number", "must be a string or a number"),
        ("Jane is not a known city", "… is not a known city"),
        ("cannot store (98123)", "cannot store …"),
        ("got Weybridge/Kensington here", "got … here"),
        ("likes long walks is no number", "… is no number"),
        ('unexpected "Jane "the" Doe" there', "unexpected … there"),
        ('unexpected "half open', "unexpected …"),
        ("unexpected 'O'Brien' there", "unexpected … there"),
        ("unexpected `x` there", "unexpected … there"),
        ("somebody@else.org is taken", "… is taken"),
        ("one\ntwo\x1b[31mthree", "one two [31mthree"),
        (None, ""), (17, ""), (["Jane"], ""), ("", ""),
    ],
)  # fmt: skip
def test_a_message_keeps_its_sense_and_loses_the_rows_values(said: object, shown: str) -> None:
    assert refused(said).message == shown


@given(
    st.lists(st.text(st.characters(categories=["L", "N"]), min_size=3, max_size=12), min_size=1, max_size=6),
    st.lists(st.sampled_from(["the", "value", "{}", "is", "({})", "<{}>", "x={},", "'{}'", "bad", "{}.", "{}{}"]), max_size=25),
    st.booleans(),
)
def test_no_value_of_a_row_is_ever_repeated(values: list[str], frame: list[str], upper: bool) -> None:
    said, left = [], iter(values * 50)
    for part in frame:
        made = part
        while "{}" in made:
            made = made.replace("{}", next(left), 1)
        said.append(made.upper() if upper else made)
    person = {"type": "person", "action": "identify", "identifiers": {"id": values[0]}, "attributes": {"all": values}}

    shown = refused(" ".join(said), person).message

    words = {"the", "value", "is", "bad"}
    plain = " ".join(w for w in shown.casefold().split() if w.strip("…") not in words)
    assert len(shown) <= LONGEST_MESSAGE
    for value in values:
        if not any(value.casefold() in word for word in words):
            assert value.casefold() not in plain


def test_a_long_message_is_cut() -> None:
    assert len(refused("word " * 200).message) == LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("required", "required"), ("too_long", "too_long"), ("Jane Doe", "invalid"), ("", "invalid"), (None, "invalid")],
)
def test_a_reason_is_a_stable_word(reason: object, shown: str) -> None:
    assert refused("x", reason=reason).reason == shown


def test_a_field_is_a_name_on_one_line() -> None:
    assert refused("x", field="attributes.a\nb").field == "attributes.a b"
    assert refused("x", field={"a": 1}).field == ""
    assert "@" not in refused("x", field="who jane@example.com").field


def test_several_errors_of_a_row_are_one_refusal_that_names_their_fields() -> None:
    errors = [{"batch_index": 0, "reason": "invalid", "field": f"attributes.f{i}", "message": "is required"} for i in range(6)]
    sent = batch_of([Operation(1, orjson.dumps(PERSON)), Operation(2, b"{}")])

    verdict = judge(Reply(status=207, body=json.dumps({"errors": errors}).encode()), sent)

    [refusal] = verdict.refusals
    assert refusal.message == "is required (also: attributes.f1, attributes.f2, attributes.f3, …)"
    assert verdict.outcome is Outcome.ACCEPTED, "of the other row"


def test_an_operation_that_is_no_json_still_hides_its_words() -> None:
    sent = batch_of([Operation(1, b"not json but Kensington")])
    body = b'{"errors":[{"batch_index":0,"message":"Kensington is bad"}]}'

    assert judge(Reply(status=207, body=body), sent).refusals[0].message == "… is bad"


# --- the table ----------------------------------------------------------------------------------------------------


def batch(rows: int) -> Batch:
    return batch_of(Operation(i, b'{"n":%d}' % i) for i in range(rows))


@pytest.mark.parametrize(
    ("reply", "action", "outcome"),
    [
        (Reply(status=0, sent=False, complete=False, error="SSLError"), Action.STOP_CONFIG, Outcome.NOT_SENT),
        (Reply(status=0, sent=True, complete=False, error="SSLError"), Action.RETRY, Outcome.UNKNOWN),
        (Reply(status=0, sent=False), Action.RETRY, Outcome.NOT_SENT),
        (Reply(status=103), Action.RETRY, Outcome.UNKNOWN),
        (Reply(status=201, body=b"{}"), Action.SPLIT, Outcome.UNKNOWN),
        (Reply(status=200, body=b'{"errors":[]}'), Action.DONE, Outcome.ACCEPTED),
        (Reply(status=200, body=b'{"errors":null}'), Action.DONE, Outcome.ACCEPTED),
        (Reply(status=200, body=b'{"request_id":"x"}'), Action.DONE, Outcome.ACCEPTED),
        (Reply(status=200, body=b'{"error":"blocked"}'), Action.SPLIT, Outcome.UNKNOWN),
        (Reply(status=200, body=b'{"meta":{"errors":["x"]}}'), Action.SPLIT, Outcome.UNKNOWN),
        (Reply(status=200, body=b'{"errors":false}'), Action.SPLIT, Outcome.UNKNOWN),
        (Reply(status=207, body=b'{"errors":[{"batch_index":0},{"batch_index":9}]}'), Action.SPLIT, Outcome.UNKNOWN),
        (Reply(status=207, body=b'{"errors":[],"errors":[{"batch_index":0}]}'), Action.SPLIT, Outcome.UNKNOWN),
        (Reply(status=207, body=b'{"errors":[{"batch_index":1,"batch_index":0}]}'), Action.SPLIT, Outcome.UNKNOWN),
        (Reply(status=302, location="https://[bad"), Action.STOP_CONFIG, Outcome.UNKNOWN),
        (Reply(status=405), Action.STOP_CONFIG, Outcome.UNKNOWN),
        (Reply(status=410), Action.STOP_CONFIG, Outcome.UNKNOWN),
        (Reply(status=418), Action.STOP_CONFIG, Outcome.UNKNOWN),
        (Reply(status=422), Action.SPLIT, Outcome.NOT_SENT),
        (Reply(status=425), Action.RETRY, Outcome.UNKNOWN),
        (Reply(status=400, complete=False), Action.SPLIT, Outcome.NOT_SENT),
        (Reply(status=999), Action.RETRY, Outcome.UNKNOWN),
    ],
)  # fmt: skip
def test_what_is_easy_to_get_wrong(reply: Reply, action: Action, outcome: Outcome) -> None:
    found = judge(reply, batch(3))

    assert (found.action, found.outcome, found.refusals) == (action, outcome, ())


@given(st.integers(0, 999), st.binary(max_size=60), st.booleans(), st.booleans())
def test_only_401_403_429_a_whole_refusal_or_silence_mean_not_applied(status: int, body: bytes, sent: bool, whole: bool) -> None:
    found = judge(Reply(status=status, body=body, sent=sent or status > 0, complete=whole), batch(2))

    if found.outcome is Outcome.NOT_SENT:
        assert status in {401, 403, 429, 400, 413, 422} or (status == 0 and not sent)
    if found.outcome is Outcome.ACCEPTED:
        assert status in {200, 207} and whole  # noqa: PT018 one statement


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("https://track-eu.customer.io/x", "set `region: eu`"),
        ("https://track.customer.io/x", "set `region: us`"),
        ("https://login.example.com/?token=s3cret", "login.example.com"),
        ("/elsewhere", "another address"),
    ],
)
def test_a_redirect_says_which_region_to_set_and_nothing_of_its_query(location: str, says: str) -> None:
    reason = judge(Reply(status=301, location=location), batch(1)).reason

    assert says in reason
    assert "s3cret" not in reason


def test_a_single_row_that_is_too_large_says_its_size() -> None:
    [refusal] = judge(Reply(status=413), batch_of([Operation(5, b"x" * 40_000)])).refusals

    assert (refusal.seq, refusal.reason, refusal.status) == (5, "too_large", 413)
    assert "40,000 bytes" in refusal.message


# --- packing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "size"), [(0, 1_000), (-1, 1_000), (1, 0), (1, 500_001)])
def test_bounds_that_customer_io_would_refuse_are_a_bug(most: int, size: int) -> None:
    with pytest.raises(ValueError, match="500000 bytes"):
        next(pack([Operation(1, b"{}")], max_operations=most, max_bytes=size))


def test_a_body_may_be_exactly_as_large_as_allowed_counted_in_bytes() -> None:
    snow = orjson.dumps({"s": "☃" * 10})  # three bytes each
    two = len(b'{"batch":[]}') + 2 * len(snow) + 1

    exact = list(pack([Operation(1, snow), Operation(2, snow)], max_operations=9, max_bytes=two))
    below = list(pack([Operation(1, snow), Operation(2, snow)], max_operations=9, max_bytes=two - 1))

    assert [len(b.body) for b in exact] == [two]
    assert len(below) == 2
    assert json.loads(exact[0].body) == {"batch": [{"s": "☃" * 10}] * 2}


def test_nothing_to_pack_is_no_request() -> None:
    assert list(pack([], max_operations=1, max_bytes=100)) == []
