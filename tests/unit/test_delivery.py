"""The delivery machine with a clock that jumps and a destination that plays a script."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.delivery import Delivery, DeliverySettings, Idle, Settled
from revetl.destination import Operation, Refusal, Reply
from revetl.errors import CredentialsRefused, DestinationDown, ExitCode, GuardTripped, Interrupted, LeaseLost


class FakeClock:
    """Time passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.waited: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


class Scripted:
    """Answers by a function of the request's number and its rows; a request takes no time."""

    def __init__(self, clock: FakeClock, answer: Callable[[int, list[int]], Reply]) -> None:
        self.clock = clock
        self.answer = answer
        self.requests: list[tuple[float, list[int]]] = []
        self.bodies: list[bytes] = []

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Reply:
        del deadline_s
        rows = [int(part) for part in body.removeprefix(b'{"batch":[').removesuffix(b"]}").split(b",")]
        self.requests.append((self.clock.now, rows))
        self.bodies.append(body)
        return self.answer(len(self.requests), rows)

    def close(self) -> None:
        """Nothing is open."""


OK = Reply(status=200, body=b"{}")
ONE_AT_A_TIME: dict[str, Any] = {
    "concurrency": 1, "requests_per_second": 1e6, "operations_per_second": 1e9, "max_batch_operations": 10,
}  # fmt: skip


class Outcome:
    def __init__(self, found: Iterable[Settled | Idle]) -> None:
        self.accepted: set[int] = set()
        self.unknown: set[int] = set()
        self.not_sent: set[int] = set()
        self.refused: dict[int, Refusal] = {}
        self.idles = 0
        for item in found:
            if isinstance(item, Idle):
                self.idles += 1
                continue
            for ranges, into in ((item.accepted, self.accepted), (item.unknown, self.unknown), (item.not_sent, self.not_sent)):
                for low, high in ranges:
                    into.update(range(low, high + 1))
            self.refused |= {r.seq: r for r in item.refusals}


def deliver(
    rows: int, answer: Callable[[int, list[int]], Reply], **settings: Any
) -> tuple[Outcome, Delivery, Scripted, FakeClock]:
    clock = FakeClock()
    sender = Scripted(clock, answer)
    made = Delivery(sender, DeliverySettings(**{**ONE_AT_A_TIME, **settings}), clock=clock, rng=random.Random(1))
    operations = [Operation(i, b"%d" % i) for i in range(1, rows + 1)]
    return Outcome(made.deliver(operations, idle_every_s=60)), made, sender, clock


def test_everything_is_sent_once_and_in_order() -> None:
    out, made, sender, _ = deliver(95, lambda *_: OK)

    assert out.accepted == set(range(1, 96))
    assert [row for _, rows in sender.requests for row in rows] == list(range(1, 96))
    assert (made.stats.requests, made.stats.retries, made.stopped) == (10, 0, None)


def test_the_rates_hold() -> None:
    _, _, sender, clock = deliver(
        10_000, lambda *_: OK, requests_per_second=10, operations_per_second=1_000, max_batch_operations=100
    )

    seconds = clock.now - 1_000
    assert seconds == pytest.approx(9, abs=0.5), "10,000 rows at 1,000 a second, the first second's worth at once"
    for start in range(int(seconds)):
        inside = [rows for at, rows in sender.requests if start <= at - 1_000 < start + 1]
        assert len(inside) <= 20


def test_an_unanswered_request_is_repeated_with_the_same_bytes() -> None:
    out, made, sender, _ = deliver(10, lambda n, _: Reply(status=0, sent=True, error="ReadTimeout") if n < 3 else OK)

    assert out.accepted == set(range(1, 11))
    assert len(set(sender.bodies)) == 1
    assert made.stats.retries == 2


def test_after_the_last_attempt_the_outcome_is_unknown_and_other_requests_go_on() -> None:
    out, made, _, _ = deliver(30, lambda _, rows: OK if 11 not in rows else Reply(status=500))

    assert out.unknown == set(range(11, 21))
    assert len(out.accepted) == 20
    assert made.gave_up == "HTTP 500"


def test_what_certainly_never_left_is_not_unknown() -> None:
    out, _, _, _ = deliver(10, lambda *_: Reply(status=0, sent=False, error="ConnectTimeout"))

    assert (out.not_sent, out.unknown) == (set(range(1, 11)), set())


def test_one_unanswered_attempt_keeps_a_row_unknown_whatever_comes_after() -> None:
    out, _, _, _ = deliver(10, lambda n, _: Reply(status=500) if n == 1 else Reply(status=0, sent=False, error="ConnectTimeout"))

    assert out.unknown == set(range(1, 11))


def test_a_poison_row_among_a_thousand_is_found_in_few_requests_and_the_others_arrive() -> None:
    def answer(_: int, rows: list[int]) -> Reply:
        return Reply(status=400, body=b"{}") if 617 in rows else OK

    out, made, _, _ = deliver(1_000, answer, max_batch_operations=1_000)

    assert set(out.refused) == {617}
    assert len(out.accepted) == 999
    assert made.stats.requests <= 1 + 22


@given(st.sets(st.integers(1, 200), max_size=20))
def test_several_poison_rows(poison: set[int]) -> None:
    out, _, _, _ = deliver(200, lambda _, rows: Reply(status=413) if poison & set(rows) else OK,
                           max_batch_operations=64, refused_share=1.0)  # fmt: skip

    assert set(out.refused) == poison
    assert out.accepted == set(range(1, 201)) - poison


def test_a_garbled_answer_is_repeated_once_and_then_halved() -> None:
    out, _, sender, _ = deliver(8, lambda _, rows: Reply(status=200, body=b"<html>") if len(rows) > 2 else OK)

    assert out.accepted == set(range(1, 9))
    assert [len(rows) for _, rows in sender.requests][:3] == [8, 8, 4]


def test_wrong_credentials_stop_at_once_and_blame_no_row() -> None:
    out, made, sender, _ = deliver(100, lambda n, _: OK if n < 4 else Reply(status=401))

    assert isinstance(made.stopped, CredentialsRefused)
    assert len(sender.requests) == 4
    assert out.accepted == set(range(1, 31))
    assert not out.refused
    assert set(range(31, 41)) <= out.not_sent


def test_a_redirect_is_never_followed() -> None:
    _, made, sender, _ = deliver(10, lambda *_: Reply(status=307, location="https://track-eu.customer.io/api/v2/batch"))

    assert len(sender.requests) == 1
    assert made.stopped is not None
    assert made.stopped.exit_code == ExitCode.USAGE
    assert "track-eu.customer.io" in made.stopped.message


def test_retry_after_is_honoured_by_all_and_costs_no_attempt() -> None:
    out, made, sender, _ = deliver(
        100, lambda n, _: Reply(status=429, retry_after_s=40) if n in {3, 4, 5, 6, 7, 8, 9, 10} else OK, concurrency=1, attempts=2
    )

    assert out.accepted == set(range(1, 101))
    times = [at for at, _ in sender.requests]
    for i in range(2, 10):
        assert times[i + 1] - times[i] >= 40
    assert made.stats.retries == 0


def test_a_wish_longer_than_a_run_ends_it() -> None:
    out, made, _, _ = deliver(20, lambda *_: Reply(status=429, retry_after_s=36_000))

    assert isinstance(made.stopped, DestinationDown)
    assert not out.unknown


def test_too_many_requests_lower_the_rate_which_creeps_up_again() -> None:
    rates = {"requests_per_second": 10, "operations_per_second": 1e9, "max_batch_operations": 10}

    _, _, even, clock = deliver(3_000, lambda *_: OK, **rates)
    _, _, hit, slower = deliver(3_000, lambda n, _: Reply(status=429, retry_after_s=0) if n in {20, 21} else OK, **rates)

    assert slower.now > clock.now + 2
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(hit.requests)]
    assert max(gaps[21:40]) > 2 * max(gaps[-20:])
    assert len(even.requests) == len(hit.requests) - 2


def test_an_outage_of_ten_minutes_costs_few_requests() -> None:
    clock = FakeClock()

    def answer(_: int, __: list[int]) -> Reply:
        return Reply(status=503) if clock.now - 1_000 < 600 else OK

    sender = Scripted(clock, answer)
    made = Delivery(sender, DeliverySettings(**{**ONE_AT_A_TIME, "attempts": 100, "max_batch_operations": 100}), clock=clock,
                    rng=random.Random(1))  # fmt: skip
    out = Outcome(made.deliver([Operation(i, b"%d" % i) for i in range(1, 30_001)], idle_every_s=60))

    assert made.stopped is None or isinstance(made.stopped, DestinationDown)
    assert made.stats.retries <= 0.1 * made.stats.first_attempts + 11
    assert out.idles >= 5, "the caller can renew its lease meanwhile"


def test_no_progress_ends_the_run() -> None:
    _, made, _, clock = deliver(10, lambda *_: Reply(status=429, retry_after_s=100), no_progress_s=500)

    assert isinstance(made.stopped, DestinationDown)
    assert clock.now - 1_000 < 700


def test_a_signal_stops_new_requests_and_keeps_what_is_known() -> None:
    clock, held = FakeClock(), list[Delivery]()

    def answer(n: int, _: list[int]) -> Reply:
        if n == 3:
            held[0].stop(Interrupted("stopped", signal_number=15))
        return OK

    sender = Scripted(clock, answer)
    held.append(Delivery(sender, DeliverySettings(**ONE_AT_A_TIME), clock=clock, rng=random.Random(1)))
    out = Outcome(held[0].deliver([Operation(i, b"%d" % i) for i in range(1, 101)], idle_every_s=60))

    assert out.accepted == set(range(1, 31))
    assert len(sender.requests) == 3
    assert not out.unknown


def test_no_request_starts_when_the_lease_is_nearly_over() -> None:
    clock = FakeClock()
    sender = Scripted(clock, lambda *_: OK)
    made = Delivery(sender, DeliverySettings(**ONE_AT_A_TIME), clock=clock, rng=random.Random(1),
                    may_send=lambda: len(sender.requests) < 2)  # fmt: skip
    Outcome(made.deliver([Operation(i, b"%d" % i) for i in range(1, 101)], idle_every_s=60))

    assert len(sender.requests) == 2
    assert isinstance(made.stopped, LeaseLost)


def test_a_flood_of_refusals_stops_the_run() -> None:
    def answer(_: int, rows: list[int]) -> Reply:
        errors = [{"batch_index": i, "reason": "invalid"} for i in range(len(rows))]
        return Reply(status=207, body=json.dumps({"errors": errors}).encode())

    out, made, _, _ = deliver(10_000, answer)

    assert isinstance(made.stopped, GuardTripped)
    assert not out.accepted
    assert len(out.refused) < 400


def test_our_own_refusals_pass_through() -> None:
    clock = FakeClock()
    made = Delivery(Scripted(clock, lambda *_: OK), DeliverySettings(**ONE_AT_A_TIME), clock=clock, rng=random.Random(1))

    out = Outcome(made.deliver([Operation(1, b"1"), Operation(3, b"3")], [Refusal(seq=2, reason="pattern")], idle_every_s=60))

    assert (out.accepted, set(out.refused)) == ({1, 3}, {2})


KINDS = [
    OK, Reply(status=500), Reply(status=429), Reply(status=0, sent=True, error="x"), Reply(status=0, sent=False, error="x"),
    Reply(status=200, body=b"<"), Reply(status=200, body=b"{}", complete=False), Reply(status=400),
    Reply(status=207, body=b'{"errors":[{"batch_index":0,"reason":"invalid"}]}'),
]  # fmt: skip


@given(st.lists(st.sampled_from(range(len(KINDS))), max_size=40), st.integers(1, 4))
def test_every_row_gets_exactly_one_outcome_and_accepted_ones_were_answered(script: list[int], concurrency: int) -> None:
    truly: set[int] = set()

    def answer(n: int, rows: list[int]) -> Reply:
        found = KINDS[script[n - 1]] if n <= len(script) else OK
        if found.status == 200 and found.body == b"{}" and found.complete:
            truly.update(rows)
        if found.status == 207:
            truly.update(rows[1:])
        return found

    out, made, _, _ = deliver(45, answer, concurrency=concurrency, refused_share=1.0)

    assert out.accepted <= truly
    reported = [*out.accepted, *out.unknown, *out.not_sent, *out.refused]
    assert len(reported) == len(set(reported)), "one outcome a row"
    if made.stopped is None:
        assert set(reported) == set(range(1, 46))
