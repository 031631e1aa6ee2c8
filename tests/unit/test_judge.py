"""What replies mean, and how operations become requests."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.customerio import batch_of, judge, pack
from revetl.destination import Action, Batch, Operation, Outcome, Reply, Route


def batch(size: int = 3) -> Batch:
    return batch_of(Operation(i, b'{"n":%d}' % i) for i in range(1, size + 1))


def reply(status: int, body: Any = None, **rest: Any) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return Reply(status=status, body=raw, **rest)


def error(index: Any, **rest: Any) -> dict[str, Any]:
    return {"batch_index": index, "reason": "invalid", "field": "attributes.x", "message": "too long", **rest}


def test_an_empty_200_accepts_all() -> None:
    verdict = judge(reply(200), batch())

    assert (verdict.action, verdict.outcome, verdict.refusals) == (Action.DONE, Outcome.ACCEPTED, ())


@pytest.mark.parametrize("status", [200, 207])
def test_named_rows_are_refused_and_the_others_accepted(status: int) -> None:
    verdict = judge(reply(status, {"errors": [error(1), error(1, field="attributes.y"), error(2)]}), batch())

    assert verdict.action is Action.DONE
    assert [(r.seq, r.field) for r in verdict.refusals] == [(2, "attributes.x"), (3, "attributes.x")]
    assert "attributes.y" in verdict.refusals[0].message


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"<html>", b'{"errors":[{"batch_', b'"ok"', b"{}{}", b'{"errors":[],"errors":[]}',
        {"errors": {}}, {"errors": [error(3)]}, {"errors": [error(-1)]}, {"errors": [error("1")]}, {"errors": [error(None)]},
        {"errors": [error(bool(1))]}, {"errors": [error(1.0)]}, {"errors": ["x"]}, {"errors": [{}]}, b"[" * 100_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 207])
def test_what_is_not_fully_understood_is_never_accepted(status: int, body: Any) -> None:
    verdict = judge(reply(status, body), batch())

    assert verdict.action is not Action.DONE
    assert verdict.outcome is Outcome.UNKNOWN


def test_a_207_without_errors_is_not_understood() -> None:
    assert judge(reply(207), batch()).outcome is Outcome.UNKNOWN


def test_a_cut_answer_is_unknown_even_if_it_parses() -> None:
    assert judge(reply(200, complete=False), batch()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("answer", "action", "outcome"),
    [
        (reply(0, sent=False, error="ConnectTimeout"), Action.RETRY, Outcome.NOT_SENT),
        (reply(0, sent=True, error="ReadTimeout"), Action.RETRY, Outcome.UNKNOWN),
        (reply(301, location="https://track-eu.customer.io/x"), Action.STOP_CONFIG, Outcome.UNKNOWN),
        (reply(401), Action.STOP_CREDENTIALS, Outcome.NOT_SENT),
        (reply(403), Action.STOP_CREDENTIALS, Outcome.NOT_SENT),
        (reply(404), Action.STOP_CONFIG, Outcome.UNKNOWN),
        (reply(408), Action.RETRY, Outcome.UNKNOWN),
        (reply(400), Action.SPLIT, Outcome.NOT_SENT),
        (reply(413), Action.SPLIT, Outcome.NOT_SENT),
        (reply(429, retry_after_s=7), Action.PAUSE, Outcome.NOT_SENT),
        (reply(500), Action.RETRY, Outcome.UNKNOWN),
        (reply(503, retry_after_s=2), Action.RETRY, Outcome.UNKNOWN),
        (reply(522), Action.RETRY, Outcome.UNKNOWN),
    ],
)  # fmt: skip
def test_the_other_rows_of_the_table(answer: Reply, action: Action, outcome: Outcome) -> None:
    verdict = judge(answer, batch())

    assert (verdict.action, verdict.outcome, verdict.refusals) == (action, outcome, ())
    assert verdict.retry_after_s == (answer.retry_after_s if action in {Action.PAUSE, Action.RETRY} else None)


@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors":1}', b'{"errors":[{"field":"attributes.x"}]}'])
def test_a_refused_batch_of_one_is_a_refused_row(status: int, body: bytes) -> None:
    verdict = judge(reply(status, body), batch(1))

    assert verdict.action is Action.DONE
    assert [r.seq for r in verdict.refusals] == [1]


def test_messages_of_the_server_are_stripped_of_what_may_be_a_value() -> None:
    said = "value 'jane' of \"Jane Doe\" <jane@example.com> cannot exceed 1000 bytes\x1b[31m"

    [refusal] = judge(reply(207, {"errors": [error(0, message=said, field="attributes.x", reason="x" * 500)]}), batch()).refusals

    assert "jane" not in refusal.message.lower()
    assert "cannot exceed 1000 bytes" in refusal.message
    assert "\x1b" not in refusal.message
    assert len(refusal.reason) <= 160


def test_ten_thousand_partial_answers_never_acknowledge_a_named_row() -> None:
    rng = random.Random(7)
    sent = batch(40)
    for _ in range(10_000):
        named = [rng.randrange(40) for _ in range(rng.randint(1, 60))]
        verdict = judge(reply(207, {"errors": [error(i) for i in named]}), sent)
        assert verdict.action is Action.DONE
        assert {r.seq for r in verdict.refusals} == {i + 1 for i in set(named)}


@given(st.binary(max_size=200), st.sampled_from([200, 207, 400, 413]))
def test_any_answer_gets_a_verdict(body: bytes, status: int) -> None:
    judge(Reply(status=status, body=body), batch())


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=60), st.integers(1, 9), st.integers(40, 200))
def test_packing_keeps_order_and_limits(bodies: list[bytes], most: int, size: int) -> None:
    operations = [Operation(i, body) for i, body in enumerate(bodies)]

    batches = list(pack(operations, max_operations=most, max_bytes=size))

    assert [op for b in batches for op in b.operations] == operations
    for made in batches:
        assert made.body == b'{"batch":[' + b",".join(op.body for op in made.operations) + b"]}"
        assert len(made.operations) <= most
        assert len(made.body) <= size or len(made.operations) == 1
    for a, b in itertools.pairwise(batches):
        # greedy: the next operation would not have fitted
        assert len(a.operations) == most or len(a.body) + 1 + len(b.operations[0].body) > size


# --- calls that are about the whole request ----------------------------------------------------------------------------

CALL = Route(path="/api/v1/segments/12/add_customers?id_type=id", head=b'{"ids":[', tail=b"]}", most=1_000, by_row=False)


def call(size: int = 3) -> Batch:
    return batch_of((Operation(i, b'"%d"' % i) for i in range(1, size + 1)), CALL)


def test_a_call_of_the_older_kind_is_accepted_by_a_plain_200_only() -> None:
    assert call().body == b'{"ids":["1","2","3"]}'
    assert judge(reply(200), call()).action is Action.DONE
    wrong = {"errors": [error(1)]}
    for status, body in ((200, wrong), (207, wrong), (202, {}), (200, {"meta": {"error": "x"}})):
        verdict = judge(reply(status, body), call())
        assert verdict.action is not Action.DONE, (status, body)
        assert verdict.outcome is Outcome.UNKNOWN


def test_a_call_that_is_refused_is_halved_down_to_the_row() -> None:
    answer = reply(400, {"meta": {"errors": ["somebody@example.com is unknown"]}})
    assert judge(answer, call()).action is Action.SPLIT
    [refusal] = judge(answer, call(1)).refusals
    assert (refusal.seq, refusal.reason, refusal.status) == (1, "invalid", 400)
    assert "somebody" not in refusal.message
    unknown = reply(400, {"meta": {"errors": ["there is no segment 7 for ghost-17"]}})
    [refusal] = judge(unknown, batch_of([Operation(1, b'"ghost-17"')], CALL)).refusals
    assert refusal.message.startswith("there is no segment 7")
    assert "ghost" not in refusal.message
    unreadable: tuple[Any, ...] = ({"meta": {}}, {"meta": {"errors": "x"}}, b"<html>")
    for body in unreadable:
        assert len(judge(reply(400, body), call(1)).refusals) == 1


def test_a_segment_that_is_not_there_stops_and_blames_no_row() -> None:
    verdict = judge(reply(404), call())
    assert (verdict.action, verdict.outcome) == (Action.STOP_CONFIG, Outcome.NOT_SENT)
    assert "/api/v1/segments/12/add_customers names" in verdict.reason


@given(st.integers(1, 3_000), st.integers(1, 200))
def test_a_call_holds_at_most_its_own_number(rows: int, settings: int) -> None:
    operations = [Operation(i, b'"%d"' % i) for i in range(rows)]
    batches = list(pack(operations, max_operations=settings, max_bytes=450_000, route=CALL))
    assert all(len(one.operations) <= CALL.most and one.route is CALL for one in batches)
    assert [o for one in batches for o in one.operations] == operations
    assert len(batches) == -(-rows // CALL.most)
