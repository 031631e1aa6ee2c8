"""A destination that refuses the key, asks to wait, or is away (bars 13, 14, 15).

Long times pass on a clock that only waits move; the sockets, the threads and the server are real.
"""

from __future__ import annotations

import datetime
import random
import time
from collections import Counter
from dataclasses import replace
from email.utils import format_datetime
from itertools import pairwise

import pytest

from revetl.destination import Reply
from revetl.errors import CredentialsRefused, DestinationDown, ExitCode
from tests.bars import Bar
from tests.faults.runs import QUICK, FakeClock, Scene, Sent, people
from tests.faults.server import HONEST, Answer, FaultServer, Seen, say
from tests.faults.workspace import Workspace
from tests.unit.test_window import Play, playing

NORMAL = replace(QUICK, requests_per_second=10.0, backoff_first_s=0.5, backoff_longest_s=30.0)


# --- bar 13: the key ----------------------------------------------------------------------------------------------


def test_a_revoked_key_ends_the_run_at_once(shop: Scene, bar: Bar) -> None:
    """F29: after any of the requests, by 401 and by 403; whole runs."""
    rng = random.Random(13)
    further, seconds, blamed, codes = 0, 0.0, 0, set[int]()
    rounds = [(7, 401), (7, 403), *((rng.randrange(9), rng.choice([401, 403])) for _ in range(4))]
    shop.fill(200)
    shop.run("people")
    for number, (good, status) in enumerate(rounds):
        shop.change(f"v{number}")
        shop.reload([HONEST] * good + [say(status)])
        result = shop.run("people")
        seconds = max(seconds, time.monotonic() - shop.server.seen[good].at)
        further = max(further, len(shop.server.seen) - good)
        blamed += result.syncs[0].refused
        codes.add(int(result.exit_code))
        assert result.syncs[0].acknowledged == 10 * good

    assert further <= QUICK.concurrency
    assert (blamed, seconds < 5, codes) == (0, True, {int(ExitCode.CREDENTIALS)})
    of = f"{len(rounds)} runs, the key revoked after 0 to 8 requests"
    bar(13, "requests that met the revoked key", found=further, goal=f"≤ {QUICK.concurrency} (the concurrency)", of=of, seed=13)
    bar(13, "exit code", found=", ".join(map(str, codes)), goal="22", of=of, seed=13)
    bar(13, "seconds from the first 401 to the end of the run", found=f"{seconds:.1f}", goal="≤ 5", of=of, seed=13)
    bar(13, "rows blamed", found=blamed, goal="0", of=of, seed=13)
    shop.heals()


def test_with_many_requests_under_way_only_those_meet_a_revoked_key(bar: Bar) -> None:
    with FaultServer([HONEST] * 7 + [say(401)], workspace=Workspace()) as server:
        sent = Sent(server, people(500), settings=replace(QUICK, concurrency=16))
        further = len(server.seen) - 7

    assert isinstance(sent.delivery.stopped, CredentialsRefused)
    assert further <= 16
    assert (len(sent.accepted), sent.refused, sent.unknown) == (70, set(), set())
    bar(13, "requests that met the revoked key", found=further, goal="≤ 16 (the concurrency)", of="one delivery, 16 at once")


# --- bar 14: Retry-After ------------------------------------------------------------------------------------------


def closed_times(server: FaultServer, seconds: float, crossing_s: float = 0.0) -> tuple[int, int]:
    """How often the server asked to wait, and how many requests came within such a time.

    Args:
        crossing_s: after the answer was written; what comes so soon was on its way when the answer was, too.
    """
    asked = [seen for seen in server.seen if seen.answer is not HONEST]
    return len(asked), sum(
        len(server.within(seen.answered + crossing_s, seen.answered + seconds - 1e-6)) for seen in asked
    )


WISHES: list[tuple[str, float, float]] = [
    ("7", 7, 7), ("60", 60, 60), ("600", 600, 600), ("1.5", 1.5, 1.5), ("0", 0, 0), ("-5", 0, 0), ("soon", 0, 0), ("1e9", 0, 0),
    ("9" * 400, 0, 0), ("Wed, 99 Foo 2026 00:00:00 GMT", 0, 0), ("Wed, 01 Jan 2020 00:00:00 GMT", 0, 0),
]  # fmt: skip


@pytest.mark.parametrize("status", [429, 503])
def test_nothing_is_sent_while_the_server_asks_to_wait(bar: Bar, status: int) -> None:
    """F32: eleven wishes; the times are the server's own, from the end of its answer on."""
    inside = wishes = 0
    in_an_hour = format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=300), usegmt=True)
    for wish, seconds, _ in [*WISHES, (in_an_hour, 290.0, 300.0)]:
        clock = FakeClock()
        wait = say(status, b"{}", f"Retry-After: {wish}")
        script = [*[HONEST] * 5, wait, HONEST, HONEST, wait, HONEST]
        with FaultServer(script, workspace=Workspace(), clock=clock.monotonic) as server:
            sent = Sent(server, people(300), settings=NORMAL, clock=clock)
            asked, came = closed_times(server, seconds)
        assert (asked, sent.accepted) == (2, set(range(300))), wish
        wishes, inside = wishes + asked, inside + came

    assert inside == 0
    of = f"{wishes} answers of {status}: seconds, dates, 0, negative, nonsense; four requests at once"
    bar(14, "requests within the closed time", found=inside, goal="0", of=of)


@pytest.mark.parametrize("status", [429, 503])
def test_a_wish_longer_than_a_run_ends_it(bar: Bar, status: int) -> None:
    """F32: ten hours. What was accepted is kept, the rest was not sent, and nothing waits."""
    clock = FakeClock()
    script = [HONEST] * 5 + [say(status, b"{}", "Retry-After: 36000")]
    with FaultServer(script, workspace=Workspace(), clock=clock.monotonic) as server:
        sent = Sent(server, people(300), settings=NORMAL, clock=clock)
        _, came = closed_times(server, 36_000)

    assert isinstance(sent.delivery.stopped, DestinationDown)
    assert (came, len(sent.accepted)) == (0, 50)
    assert clock.now - 1_000 < 60
    bar(14, "requests within the closed time", found=came, goal="0", of=f"a {status} that asks to wait 10 h: the run ends")


def test_a_short_wish_by_the_real_clock(bar: Bar) -> None:
    with FaultServer([HONEST] * 3 + [say(429, b"{}", "Retry-After: 1"), HONEST], workspace=Workspace()) as server:
        began = time.monotonic()
        sent = Sent(server, people(200), settings=QUICK)
        seconds = time.monotonic() - began
        _, came = closed_times(server, 1.0, crossing_s=0.2)

    assert (came, sent.accepted) == (0, set(range(200)))
    assert 1 <= seconds < 4
    bar(14, "requests within the closed time", found=came, goal="0", of="a 429 that asks for 1 s, by the real clock")


# --- bar 15: outages ----------------------------------------------------------------------------------------------


def away(start: float, end: float, clock: FakeClock, fail: Answer) -> tuple[FaultServer, Workspace]:
    """A server that is away for a while."""
    workspace = Workspace()

    def script(seen: Seen) -> Answer:
        return fail if start <= seen.at < end else HONEST

    return FaultServer(script, workspace=workspace, clock=clock.monotonic), workspace


@pytest.mark.parametrize("kind", ["503", "500 after applying", "reset", "HTML"])
def test_ten_minutes_without_customer_io(bar: Bar, kind: str) -> None:
    """F34: it goes away in the 30th second of a delivery of 1,000 requests, for ten minutes; nobody helps."""
    clock = FakeClock()
    fail = {
        "503": say(503), "500 after applying": replace(say(500), effect="apply"), "reset": Answer(then="reset"),
        "HTML": say(200, b"<html>Down for maintenance</html>"),
    }[kind]  # fmt: skip
    server, workspace = away(clock.now + 30, clock.now + 630, clock, fail)
    with server:
        sent = Sent(server, people(10_000), settings=NORMAL, clock=clock)
        total = len(server.seen)
        within = [seen.at for seen in server.within(1_060, 1_630)]

    firsts = sent.delivery.stats.first_attempts
    assert sent.accepted == set(range(10_000)), "recovered without a person"
    assert (sent.delivery.stopped, firsts) == (None, 1_000)
    assert total <= 1.1 * firsts + 10
    assert len(within) <= 600 / 30, "one probe each half minute"
    assert all(b - a >= 29 for a, b in pairwise(within))
    assert all(values["n"] >= 0 for values in workspace.people.values())
    of = f"10 min of {kind} in a delivery of {firsts:,} requests; floor of the budget: 10"
    bar(15, "requests for each first attempt", found=f"{total / firsts:.3f}", goal="≤ 1.1 (and 10)", of=of)
    bar(15, "rows left", found=10_000 - len(sent.accepted), goal="0", of=of)


def test_an_outage_within_a_small_delivery_is_bounded_by_the_floor(bar: Bar) -> None:
    """Twenty batches that all fail: the tenth is two, so the floor of ten is what may be repeated."""
    with FaultServer([say(503)]) as server:
        sent = Sent(server, people(200), settings=NORMAL, clock=FakeClock())
        total = len(server.seen)

    firsts = sent.delivery.stats.first_attempts
    assert sent.accepted == set()
    assert sent.unknown == set(range(200))
    assert total <= 1.1 * firsts + 10
    over = max(0, round(total - 1.1 * firsts))
    bar(15, "requests over 1.1 × first attempts", found=over, goal="≤ 10 (the floor)", of=f"{firsts} batches that all fail")


def test_an_outage_longer_than_a_run_is_left_to_the_next_one(shop: Scene, bar: Bar) -> None:
    """Whole runs: 30 minutes away; the first run gives up after 15, the second one sends the rest. No person."""
    clock = FakeClock()
    shop.server.clock = clock.monotonic
    shop.fill(1_000)
    start, end = clock.now + 5, clock.now + 1_805
    shop.server.script = lambda seen: say(503) if start <= seen.at < end else HONEST
    slow = replace(NORMAL, requests_per_second=5.0)
    first = shop.run("people", settings=slow, clock=clock)
    gave_up = clock.now
    clock.now += 900  # the orchestrator's next turn
    second = shop.run("people", settings=slow, clock=clock)

    assert (first.exit_code, second.exit_code) == (ExitCode.DESTINATION, ExitCode.OK)
    assert 900 <= gave_up - start <= 935
    assert shop.found()[0] == shop.truth()[0]
    rows = Counter(shop.workspace.rows())
    assert max(rows.values()) == 1, "a 503 was not applied, so nothing was applied twice"
    runs = [first, second]
    bar(15, "runs until everything is there", found=len(runs), goal="2 (the first ends with 21)", of="an outage of 30 min")


# --- how fast -----------------------------------------------------------------------------------------------------


def under_way(play: Play, start: float, end: float) -> int:
    """The most requests at once that went out between two times."""
    launches = play.launches
    return max(sum(a.at <= one.at < a.until for a in launches) for one in launches if start <= one.at < end)


def test_f33_a_429_halves_what_is_under_way_and_it_grows_back_by_one() -> None:
    """AIMD: eight at once; a 429; then four, and one more with each answer, up to eight again."""
    play = playing(concurrency=8)
    slow_down = Reply(status=429)
    play.chunk(range(3_000), lambda n, *_: (0.1, slow_down if n == 41 else Reply(status=200, body=b"{}")))

    hit = next(a for a in play.launches if a.reply is slow_down)
    after = [a for a in play.launches if a.at > hit.until]
    assert under_way(play, 0.0, hit.at) == 8
    for one in after[:30]:
        answers = sum(a.until <= one.at for a in after)
        assert sum(a.at <= one.at < a.until for a in play.launches) <= 4 + answers
    assert under_way(play, after[-200].at, after[-1].at) == 8, "and back"
    assert (len(play.accepted), play.window.stats.retries) == (3_000, 0)


def test_f43_a_limit_of_one_request_a_second_is_learnt() -> None:
    """Above its limit the server says 429 and how long to wait; in ten minutes nearly every second is used."""
    clock = FakeClock()
    opens = [clock.now]

    def script(seen: Seen) -> Answer:
        if seen.at < opens[0]:
            return say(429, b"{}", f"Retry-After: {opens[0] - seen.at:.3f}")
        opens[0] = seen.at + 1
        return HONEST

    with FaultServer(script, workspace=Workspace(), clock=clock.monotonic) as server:
        sent = Sent(server, people(4_000), settings=replace(NORMAL, max_batch_operations=10), clock=clock)
        refused = sum(seen.answer is not HONEST for seen in server.seen)

    assert sent.accepted == set(range(4_000))
    assert clock.now - 1_000 < 1.6 * 400
    assert refused < 400
