"""The whole delivery over real sockets: threads, deadlines and stops."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

import pytest

from revetl.customerio import TrackSender
from revetl.delivery import Delivery, DeliverySettings, Idle, RealClock, Settled
from revetl.destination import Operation, Reply
from revetl.errors import CredentialsRefused, Interrupted
from tests.faults.server import Answer, FaultServer, http, say

FAST = {"requests_per_second": 1e6, "operations_per_second": 1e9, "max_batch_operations": 10, "request_deadline_s": 10.0}


def rows(ranges: Sequence[tuple[int, int]]) -> set[int]:
    return {row for low, high in ranges for row in range(low, high + 1)}


def operations(count: int) -> list[Operation]:
    return [Operation(i, b'{"n":%d}' % i) for i in range(count)]


class Sent:
    """What a delivery over HTTP told, all together."""

    def __init__(self, server: FaultServer, count: int, *, stop_after_s: float | None = None, **settings: float) -> None:
        self.sender = TrackSender(site_id="s", api_key="k", base_url=server.url)
        made = DeliverySettings(**{**FAST, **settings})  # type: ignore[arg-type]
        self.delivery = Delivery(self.sender, made, clock=RealClock(), rng=random.Random(1))
        if stop_after_s is not None:
            threading.Timer(stop_after_s, self.delivery.stop, (Interrupted("stopped", signal_number=15),)).start()
        began = time.monotonic()
        found = [s for s in self.delivery.deliver(operations(count), idle_every_s=60) if isinstance(s, Settled)]
        self.seconds = time.monotonic() - began
        self.sender.close()
        self.accepted, self.unknown, self.not_sent = (
            set().union(*(rows(getattr(s, name)) for s in found)) for name in ("accepted", "unknown", "not_sent")
        )
        self.refused = {r.seq for s in found for r in s.refusals}


def test_a_key_that_is_revoked_in_mid_run_ends_it_within_the_requests_under_way() -> None:
    with FaultServer([say(200)] * 7 + [say(401)]) as server:
        sent = Sent(server, 500)

    assert isinstance(sent.delivery.stopped, CredentialsRefused)
    assert len(server.seen) <= 7 + 4
    assert len(sent.accepted) == 70
    assert not sent.refused
    assert not sent.unknown
    assert sent.seconds < 5


def test_broken_and_slow_answers_end_in_every_row_accepted_once_the_server_is_well() -> None:
    sick = [
        Answer(read_body=3, then="reset"), Answer(parts=(http(200)[:30],), then="close"), say(503), say(200, b"<html>"),
        Answer(parts=(http(200),), delay_s=5), Answer(parts=(http(207, b'{"errors":[', length=50),), then="close"),
    ]  # fmt: skip
    with FaultServer([*sick, say(200)]) as server:
        sent = Sent(server, 200, request_deadline_s=0.4, backoff_first_s=0.05)

    assert sent.accepted == set(range(200))
    assert len(server.seen) == 20 + len(sick)


def test_a_stop_waits_no_longer_than_the_drain_for_an_answer_that_does_not_come() -> None:
    with FaultServer([say(200), Answer(delay_s=60)]) as server:
        sent = Sent(server, 100, stop_after_s=0.3, drain_s=0.3, request_deadline_s=30)

    assert sent.seconds < 3
    assert len(sent.unknown) == 40, "the four requests that were under way"
    assert len(sent.accepted) == 10
    assert len(server.seen) == 5


def test_a_stop_takes_in_the_answers_that_come_in_time() -> None:
    with FaultServer([say(200), Answer(parts=(http(200),), delay_s=0.6)]) as server:
        sent = Sent(server, 100, stop_after_s=0.3)

    assert len(sent.accepted) == 50
    assert not sent.unknown


def test_a_slow_answer_does_not_slow_the_others_down() -> None:
    with FaultServer([Answer(parts=(http(200),), delay_s=1.5), say(200)]) as server:
        sent = Sent(server, 140, requests_per_second=10)

    assert sent.accepted == set(range(140))
    assert max(seen.at for seen in server.seen) - min(seen.at for seen in server.seen) < 1.2, "ten at once, then one each 0.1 s"


@pytest.mark.parametrize("idle_every_s", [0.0, 0.02, 60.0])
def test_nothing_is_under_way_while_the_caller_has_the_word(idle_every_s: float) -> None:
    class Counting:
        """A destination that knows how many requests it is working on."""

        def __init__(self) -> None:
            self.busy, self.most, self.lock = 0, 0, threading.Lock()

        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Reply:
            with self.lock:
                self.busy += 1
                self.most = max(self.most, self.busy)
            threading.Event().wait(0.005)
            with self.lock:
                self.busy -= 1
            return Reply(status=200, body=b"{}")

        def close(self) -> None:
            """Nothing is open."""

    sender = Counting()
    made = Delivery(sender, DeliverySettings(**FAST), clock=RealClock(), rng=random.Random(1))  # type: ignore[arg-type]
    idles = done = 0
    for item in made.deliver(operations(400), idle_every_s=idle_every_s):
        assert sender.busy == 0
        idles += isinstance(item, Idle)
        done += len(rows(item.accepted)) if isinstance(item, Settled) else 0
        if idle_every_s == 0 and idles > 3:
            break
    assert sender.most == (4 if idle_every_s else 0)
    assert done == 400 or idle_every_s == 0


def test_a_request_that_cannot_even_be_cut_is_left_and_its_rows_are_unknown() -> None:
    free = threading.Event()

    class Stuck:
        """A destination within a call that nothing ends, as a resolver may be."""

        closed = 0

        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Reply:
            free.wait(20)
            return Reply(status=200, body=b"{}")

        def close(self) -> None:
            """Ask it to end."""
            self.closed += 1

    sender = Stuck()
    made = Delivery(sender, DeliverySettings(**FAST, drain_s=0.1), clock=RealClock(), rng=random.Random(1))  # type: ignore[arg-type]
    threading.Timer(0.1, made.stop, (Interrupted("stopped", signal_number=2),)).start()
    began = time.monotonic()
    found = [s for s in made.deliver(operations(100), idle_every_s=60) if isinstance(s, Settled)]
    seconds = time.monotonic() - began
    free.set()

    assert seconds < 4
    assert sender.closed == 1
    assert set().union(*(rows(s.unknown) for s in found)) == set(range(40))
    assert not any(s.accepted for s in found)
    assert list(made.deliver(operations(10), idle_every_s=60)) == [], "a stopped delivery takes nothing more"
