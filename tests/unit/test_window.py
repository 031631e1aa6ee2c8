"""The window as what it is: a machine that is told times and replies. A small event simulation plays destination."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.delivery import DeliverySettings, Request, Window
from revetl.destination import Operation, Reply
from revetl.errors import ConfigError, DestinationDown, Interrupted

OK = Reply(status=200, body=b"{}")
DOWN = Reply(status=503)
HTML = Reply(status=200, body=b"<html>")
SLOW_DOWN = Reply(status=429)
LOST = Reply(status=0, sent=True, complete=False, error="Deadline")
UNREACHED = Reply(status=0, sent=False, complete=False, error="gaierror")
FAST = {"requests_per_second": 1e6, "operations_per_second": 1e9, "max_batch_operations": 10}


def named(*indexes: int) -> Reply:
    """A partial refusal."""
    return Reply(status=207, body=json.dumps({"errors": [{"batch_index": i, "reason": "invalid"} for i in indexes]}).encode())


@dataclass
class Launch:
    """One request that went out: when, which rows, as which bytes, and what came back when."""

    at: float
    rows: list[int]
    body: bytes
    reply: Reply
    until: float


Answers = Callable[[int, list[int], float], tuple[float, Reply]]


@dataclass
class Play:
    """What happened: rows by outcome, and all launches."""

    window: Window
    now: float = 0.0
    accepted: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    not_sent: list[int] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    most_under_way: int = 0

    def chunk(self, rows: range, answers: Answers, *, until: float = 1e6) -> None:
        """Deliver these rows; `answers(n, rows, now)` gives seconds and reply of the n-th request."""
        window = self.window
        window.open([Operation(i, b'{"n":%d}' % i) for i in rows], [], self.now)
        flying: list[tuple[float, int, Request, Reply]] = []
        numbers = count(len(self.launches) + 1)
        while True:
            window.check(self.now)
            if not flying and window.over():
                break
            assert self.now < until, "it hangs"
            pause = window.wait_for(self.now)
            if pause == 0:
                request, n = window.launch(self.now), next(numbers)
                sent = [operation.seq for operation in request.batch.operations]
                seconds, reply = answers(n, sent, self.now)
                heapq.heappush(flying, (self.now + seconds, n, request, reply))
                self.launches.append(Launch(self.now, sent, request.batch.body, reply, self.now + seconds))
                self.most_under_way = max(self.most_under_way, window.under_way)
                continue
            landing = flying[0][0] if flying else float("inf")
            # the driver looks at least once a second, as the real one does
            self.now = min(landing, self.now + min(max(pause, 1e-6), 1.0))
            if flying and landing <= self.now:
                _, _, request, reply = heapq.heappop(flying)
                window.land(request, reply, self.now)
                self.collect()
        window.check(self.now)
        self.collect()

    def collect(self) -> None:
        settled = self.window.settled()
        if settled is None:
            return
        for ranges, into in (
            (settled.accepted, self.accepted), (settled.unknown, self.unknown), (settled.not_sent, self.not_sent),
        ):  # fmt: skip
            for low, high in ranges:
                into.extend(range(low, high + 1))
        self.refused.extend(r.seq for r in settled.refusals)

    @property
    def in_budget(self) -> bool:
        stats = self.window.stats
        return stats.requests <= 1.1 * stats.first_attempts + 10


def playing(seed: int = 1, **settings: Any) -> Play:
    return Play(Window(DeliverySettings(**{**FAST, **settings}), rng=random.Random(seed), now=0.0))


# --- outages ------------------------------------------------------------------------------------------------------


def test_an_outage_of_ten_minutes_in_a_large_run_is_survived_within_the_budget() -> None:
    play = playing(requests_per_second=10)

    play.chunk(range(10_000), lambda _, __, now: (0.2, DOWN if 60 <= now < 660 else OK))

    assert play.window.stopped is None
    assert len(play.accepted) == len(set(play.accepted)) == 10_000
    assert play.window.stats.first_attempts == 1_000
    assert play.in_budget
    within = [a.at for a in play.launches if 70 <= a.at < 660]
    assert len(within) <= 600 / 30 + 1, "one probe every half minute"
    assert min(b - a for a, b in pairwise(within)) >= 29


def test_an_outage_at_the_start_of_a_small_run_costs_no_more_than_the_budget_and_loses_nothing() -> None:
    play = playing(requests_per_second=10)

    play.chunk(range(100), lambda *_: (0.2, DOWN))

    assert sorted(play.unknown) == list(range(100))
    assert play.in_budget
    assert play.window.gave_up == "HTTP 503"
    assert play.now < 1_000


def test_an_outage_that_does_not_end_stops_the_run_at_its_deadline() -> None:
    play = playing(requests_per_second=10)

    play.chunk(range(100_000), lambda _, __, now: (0.2, OK if now < 30 else DOWN))

    assert isinstance(play.window.stopped, DestinationDown)
    assert "HTTP 503" in play.window.stopped.message
    assert 930 <= play.now <= 935
    assert play.in_budget


@pytest.mark.parametrize("reply", [SLOW_DOWN, Reply(status=400), named(0)], ids=["429", "400", "207"])
def test_any_answer_to_a_probe_shows_that_the_destination_is_back(reply: Reply) -> None:
    """A breaker that waits for a probe's success only would wait for ever."""
    play = playing(refused_share=1.0)
    # failures open the breaker; the fifteenth request is a probe
    poison = {7} if reply.status == 400 else set()

    def answers(n: int, rows: list[int], _: float) -> tuple[float, Reply]:
        return 0.1, DOWN if n <= 14 else reply if n == 15 or poison & set(rows) else OK

    play.chunk(range(1_000), answers, until=200)

    assert play.window.stopped is None
    assert len(play.accepted) >= 999


def test_answers_that_are_not_understood_count_as_failures_so_a_captive_portal_costs_little() -> None:
    play = playing(max_batch_operations=500)

    play.chunk(range(100_000), lambda *_: (0.05, HTML))

    assert isinstance(play.window.stopped, DestinationDown)
    assert not play.accepted
    assert len(play.launches) < 100


def test_one_batch_that_always_fails_does_not_hold_up_the_others() -> None:
    play = playing()

    play.chunk(range(1_000), lambda _, rows, __: (0.1, LOST if 500 in rows else OK))

    assert play.window.stopped is None
    assert sorted(play.unknown) == list(range(500, 510))
    assert sum(500 in a.rows for a in play.launches) == 5


# --- too fast -----------------------------------------------------------------------------------------------------


def test_requests_that_meet_the_same_wall_halve_the_rate_once() -> None:
    """Four at once get a 429: the rate is then a half, not a sixteenth."""
    play = playing(requests_per_second=10)

    play.chunk(range(2_000), lambda n, _, __: (0.5, SLOW_DOWN if 17 <= n <= 20 else OK))

    hit = max(a.until for a in play.launches if a.reply is SLOW_DOWN)
    after = [a.at for a in play.launches if a.at > hit][5:25]
    rate = (len(after) - 1) / (after[-1] - after[0])
    assert 3.5 < rate < 8
    assert play.window.stats.retries == 0


def test_nothing_goes_out_while_the_server_asks_to_wait() -> None:
    rng = random.Random(5)
    play = playing(requests_per_second=50, concurrency=8)

    def answers(_: int, __: list[int], ___: float) -> tuple[float, Reply]:
        kind = rng.random()
        wish = rng.choice([0.5, 3.0, 20.0])
        reply = OK if kind > 0.04 else Reply(status=429 if kind > 0.02 else 503, retry_after_s=wish)
        return rng.random(), reply

    play.chunk(range(8_000), answers)

    closed = [(a.until, a.until + a.reply.retry_after_s) for a in play.launches if a.reply.retry_after_s]
    assert len(closed) > 10
    for start, end in closed:
        assert not [a for a in play.launches if start < a.at < end - 1e-6]
    assert len(play.accepted) == 8_000


def test_a_storm_of_429_without_a_wish_grows_quieter() -> None:
    play = playing()

    play.chunk(range(100), lambda *_: (0.01, SLOW_DOWN))

    assert isinstance(play.window.stopped, DestinationDown)
    assert sorted(play.not_sent) == list(range(100))[: len(play.not_sent)], "a 429 is certainly not applied"
    assert not play.unknown
    assert len(play.launches) < 150, "in fifteen minutes"


def test_a_slow_rate_is_no_lack_of_progress() -> None:
    play = playing(operations_per_second=0.005)

    play.chunk(range(30), lambda *_: (0.1, OK))

    assert play.now > 1_000
    assert (play.window.stopped, len(play.accepted)) == (None, 30)


def test_failures_now_and_then_do_not_add_up_to_a_lack_of_progress() -> None:
    play = playing(operations_per_second=0.1)

    play.chunk(range(1_000), lambda n, *_: (0.1, DOWN if n % 20 == 3 else OK))

    assert play.now > 5_000
    assert (play.window.stopped, len(play.accepted)) == (None, 1_000)


def test_time_between_chunks_is_no_lack_of_progress() -> None:
    play = playing(attempts=1)
    play.chunk(range(10), lambda *_: (0.1, DOWN))
    play.now += 10_000  # a long statement of the warehouse

    play.chunk(range(10, 20), lambda *_: (0.1, OK))

    assert play.window.stopped is None
    assert play.accepted == list(range(10, 20))


# --- order and exactness ------------------------------------------------------------------------------------------


def test_answers_in_any_order_belong_to_their_requests() -> None:
    rng = random.Random(3)
    play = playing(concurrency=16, refused_share=1.0)
    truth: set[int] = set()

    def answers(_: int, rows: list[int], __: float) -> tuple[float, Reply]:
        indexes = rng.sample(range(len(rows)), rng.randint(0, len(rows)))
        truth.update(rows[i] for i in indexes)
        return rng.random() * 10, named(*indexes) if indexes else OK

    play.chunk(range(20_000), answers)

    assert play.most_under_way == 16
    assert set(play.refused) == truth
    assert sorted(play.accepted + play.refused) == list(range(20_000))
    assert len(play.launches) == 2_000, "what was accepted is not sent again"


@pytest.mark.parametrize("poison", [1, 2, 5])
def test_poison_rows_are_found_by_halving(poison: int) -> None:
    rng = random.Random(poison)
    bad = set(rng.sample(range(1_000), poison))
    play = playing(max_batch_operations=1_000)

    play.chunk(range(1_000), lambda _, rows, __: (0.1, Reply(status=400) if bad & set(rows) else OK))

    assert set(play.refused) == bad
    assert len(play.accepted) == 1_000 - poison
    assert len(play.launches) - 1 <= 22 * poison
    assert play.window.stats.retries == 0


SCRIPT = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.1, 3.0, 29.0]),
        st.sampled_from([
            OK, OK, OK, DOWN, HTML, LOST, UNREACHED, SLOW_DOWN, Reply(status=429, retry_after_s=7), Reply(status=400),
            Reply(status=413), named(0), named(0, 0), named(99), Reply(status=200, body=b'{"errors":[', complete=False),
            Reply(status=401), Reply(status=302), Reply(status=503, retry_after_s=3),
        ]),
    ), max_size=80,
)  # fmt: skip


@given(SCRIPT, st.integers(1, 6), st.integers(0, 99), st.integers(1, 120), st.booleans())
def test_every_row_has_one_outcome_which_its_answers_bear_out(
    script: list[tuple[float, Reply]], concurrency: int, seed: int, rows: int, broken: bool
) -> None:
    play = playing(seed, concurrency=concurrency, refused_share=1.0, no_progress_s=300)
    last = (0.1, DOWN if broken else OK)

    for low in range(0, rows, 40):
        if not play.window.stopped:
            play.chunk(range(low, min(rows, low + 40)), lambda n, *_: script[n - 1] if n <= len(script) else last,
                       until=20_000)  # fmt: skip

    accepted, refused, maybe = set[int](), set[int](), set[int]()
    for one in play.launches:
        status = one.reply.status
        if one.reply is OK:
            accepted |= set(one.rows)
        elif status == 207 and b"99" not in one.reply.body:
            refused.add(one.rows[0])
            accepted |= set(one.rows[1:])
        elif status in {400, 413} and len(one.rows) == 1:
            refused |= set(one.rows)
        elif not (status in {400, 401, 413, 429} or one.reply is UNREACHED):
            maybe |= set(one.rows)
    told = [*play.accepted, *play.refused, *play.unknown, *play.not_sent]
    assert len(told) == len(set(told)), "one outcome a row"
    assert set(play.accepted) == accepted
    assert set(play.refused) == refused
    assert set(play.unknown) <= maybe
    assert not set(play.not_sent) & maybe
    untold = set(range(rows)) - set(told)
    assert not untold or play.window.stopped
    assert not untold & {row for one in play.launches for row in one.rows}, "what went out is told"
    assert play.window.stats.retries <= 0.1 * play.window.stats.first_attempts + 10
    assert play.most_under_way <= concurrency
    under_way: dict[int, float] = {}
    for one in play.launches:
        for row in one.rows:
            assert under_way.get(row, -1.0) <= one.at, "a row is in one request at a time"
            under_way[row] = one.until
    once: dict[int, bytes] = {}
    for one in play.launches:
        if len(one.rows) == 1:
            assert once.setdefault(one.rows[0], one.body) == one.body, "a repetition is the same bytes"


def test_a_stop_leaves_what_waits_and_says_what_is_known_of_it() -> None:
    play = playing(concurrency=2)

    def answers(n: int, _: list[int], __: float) -> tuple[float, Reply]:
        if n == 4:
            play.window.stop(Interrupted("stopped", signal_number=2))
        return 0.1, {1: OK, 2: LOST, 3: UNREACHED}.get(n, OK)

    play.chunk(range(100), answers)

    assert play.unknown == list(range(10, 20))
    assert play.not_sent == list(range(20, 30))
    assert sorted(play.accepted) == [*range(10), *range(30, 40)]
    assert len(play.launches) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0}, {"attempts": 0}, {"max_batch_operations": 0}, {"requests_per_second": 0},
        {"operations_per_second": float("nan")}, {"requests_per_second": float("inf")}, {"request_deadline_s": -1},
        {"max_batch_bytes": 0}, {"max_batch_bytes": 500_001},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DeliverySettings(**wrong)
