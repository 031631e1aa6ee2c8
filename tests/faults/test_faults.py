"""F16 to F43: what can go wrong between revetl and Customer.io, each by whole runs.

Every test names its fault, asserts the run's exit code, and then heals it: one clean run makes the workspace equal
the source, no event counts twice, and no acknowledged row goes out again.
"""

from __future__ import annotations

import gzip
import random
import socket
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from cryptography import x509

from revetl.contracts import WhenMissing
from revetl.errors import ExitCode
from tests.bars import Bar
from tests.faults.authority import LOCAL, Authority
from tests.faults.runs import QUICK, Destination, FakeClock, Scene, Sent, people
from tests.faults.server import HONEST, Answer, FaultServer, Seen, http, say
from tests.faults.workspace import Workspace, row_of
from tests.suites.world import SCHEMA, people_sync

IMPATIENT = replace(QUICK, attempts=2, request_deadline_s=0.3)
SILENT = Answer(effect="apply", delay_s=60)
LOST = Answer(effect="apply", then="reset")


def first(*answers: Answer) -> list[Answer]:
    """These, and then a server that is well."""
    return [*answers, HONEST]


# --- no connection ------------------------------------------------------------------------------------------------


def test_f16_a_refused_connection_at_the_start(shop: Scene, bar: Bar) -> None:
    shop.server.down()
    result = shop.run()
    shop.server.up()

    shop.ended(result, ExitCode.DESTINATION, fault="F16 refused", bar=bar)
    assert (result.requests, shop.server.seen) == (0, [])
    shop.heals()


def test_f16_a_server_that_goes_away_in_mid_run(shop: Scene, bar: Bar) -> None:
    def gone(seen: Seen) -> Answer:
        if seen.number == 2:
            shop.server.down()
        return HONEST

    shop.server.script = gone
    result = shop.run(settings=replace(IMPATIENT, concurrency=1))
    shop.server.up()

    shop.ended(result, ExitCode.DESTINATION, fault="F16 gone in mid-run", bar=bar)
    assert len(shop.claims()) == 20
    shop.heals()


def test_f16_a_blackhole(shop: Scene, bar: Bar) -> None:
    """The listener's queue is full, so that a connection is neither taken nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as hole:
        port = hole.getsockname()[1]
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.settimeout(0)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        well = shop.destination()

        class Swallowed(Destination):
            def workspace_id(self) -> str:
                return str(well.workspace_id())

        shop.destination = lambda: Swallowed(f"http://127.0.0.1:{port}")
        result = shop.run(settings=IMPATIENT)
        shop.destination = lambda: Destination(shop.server.url)
        for one in waiting:
            one.close()
        well.close()

    shop.ended(result, ExitCode.DESTINATION, fault="F16 blackhole", bar=bar)
    assert shop.world.ask(f"SELECT count(*) FROM {SCHEMA}.open__people01") == [(0,)], "nothing left, so nothing is unknown"
    shop.heals()


@pytest.mark.parametrize("heals_after", [3, 10**9])
def test_f17_a_name_that_does_not_resolve(
    shop: Scene, bar: Bar, monkeypatch: pytest.MonkeyPatch, heals_after: int
) -> None:
    real, asked = socket.getaddrinfo, Counter[str]()

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        asked[host] += 1
        if host == "localhost" and 1 < asked[host] <= heals_after:  # the question for the workspace comes through
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return real("127.0.0.1", *rest, **more)

    def no_kept_connection(_: Seen) -> Answer:
        return replace(HONEST, then="close")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    shop.server.script = no_kept_connection
    shop.server.region = Answer(parts=(http(200, shop.workspace.where(), "Connection: close"),), then="close")
    shop.destination = lambda: Destination(f"http://localhost:{shop.server.port}")
    result = shop.run(settings=QUICK)
    well = heals_after < 10

    shop.ended(
        result, ExitCode.OK if well else ExitCode.DESTINATION, fault=f"F17 DNS {'healed' if well else 'down'}", bar=bar
    )
    assert asked["localhost"] >= (9 if well else 5), "asked anew each time"
    assert bool(shop.server.seen) is well
    monkeypatch.undo()
    shop.heals()


@pytest.mark.parametrize("wrong", ["expired", "another host", "unknown authority"])
def test_f18_a_certificate_that_cannot_be_verified(shop: Scene, bar: Bar, tmp_path: Any, wrong: str) -> None:
    authority = Authority(tmp_path)
    tls = authority.server(
        x509.DNSName("example.com") if wrong == "another host" else LOCAL, days=(-3, -2) if wrong == "expired" else (-1, 1)
    )
    ca_file = "" if wrong == "unknown authority" else str(authority.file)
    with FaultServer([HONEST], workspace=shop.workspace, tls=tls) as server:
        shop.destination = lambda: Destination(server.url, ca_file=ca_file)
        result = shop.run()
        connections, seen = server.accepted, list(server.seen)

    shop.ended(result, ExitCode.USAGE, fault=f"F18 TLS, {wrong}", bar=bar)
    assert (seen, shop.workspace.taken, connections) == ([], [], 1), "failed closed, and was not tried again"
    shop.destination = lambda: Destination(shop.server.url)
    shop.heals()


# --- no answer ----------------------------------------------------------------------------------------------------


def test_f19_silence_after_the_request_was_applied(shop: Scene, bar: Bar) -> None:
    shop.server.script = first(HONEST, SILENT, SILENT)
    result = shop.run(settings=replace(QUICK, request_deadline_s=0.3))

    shop.ended(result, ExitCode.OK, fault="F19 silence, then an answer", bar=bar)
    bodies = Counter(seen.body for seen in shop.server.seen)
    assert sorted(bodies.values(), reverse=True)[:2] in ([2, 2], [3, 1]), "the same bytes again"
    shop.heals()


def test_f19_silence_that_lasts(shop: Scene, bar: Bar) -> None:
    shop.server.script = [HONEST, HONEST, SILENT]
    result = shop.run(settings=IMPATIENT)

    shop.ended(result, ExitCode.DESTINATION, fault="F19 silence", bar=bar)
    assert len(shop.claims()) == 20
    assert len(shop.workspace.people) == 40, "the others were applied all the same"
    shop.heals()


def test_f19_silence_that_lasts_on_events(shop: Scene, bar: Bar) -> None:
    """All were applied and none was acknowledged: the next run sends them again, by the same ids."""
    shop.server.script = [HONEST] * 4 + [SILENT]
    result = shop.run(settings=IMPATIENT)

    shop.ended(result, ExitCode.DESTINATION, fault="F19 silence on events", bar=bar)
    assert (len(shop.workspace.people), len(shop.workspace.events())) == (40, 40)
    start = len(shop.workspace.taken)
    shop.heals()
    assert len(shop.workspace.taken) - start == 40, "sent again"
    assert set(shop.workspace.events().values()) == {1}, "with no other effect"


def test_f20_a_reset_at_a_byte_of_the_request_or_of_the_answer(shop: Scene, bar: Bar) -> None:
    """Whole runs, whose first requests meet one each, at other bytes of the answer, then of the request."""
    resets = 0
    answers = [Answer(effect="apply", honest=True, cut_at=n, then="reset") for n in range(0, len(http(200)) + 1, 5)]
    requests = [Answer(read_body=n, then="reset") for n in (0, 1, 100, 300)]
    for number, some in enumerate((answers[:4], answers[4:], requests)):
        shop.change(f"v{number}")
        shop.reload(first(*some))
        result = shop.run()
        resets += len(some)
        assert result.exit_code == ExitCode.OK

    shop.ended(result, ExitCode.OK, fault=f"F20 reset at {resets} places of request and answer", bar=bar)
    shop.heals()


def test_f20_a_reset_at_every_byte_of_the_answer() -> None:
    """One delivery; every other request is applied and reset at byte 0, 1, 2, ... of its answer."""
    length = len(http(200))
    resets = [n for n in range(2 * length) if n % 2 == 0]

    def script(seen: Seen) -> Answer:
        return Answer(effect="apply", honest=True, cut_at=seen.number // 2, then="reset") if seen.number in resets else HONEST

    with FaultServer(script, workspace=Workspace()) as server:
        settings = replace(QUICK, retry_floor=length, attempts=length, concurrency=1)
        sent = Sent(server, people(1_000), settings=settings, clock=FakeClock())
        assert len(server.seen) == 100 + length

    assert sent.accepted == set(range(1_000))
    assert sent.delivery.stats.retries == length, "each was taken for unknown, and repeated"


HALF = http(207, b'{"errors":[{"batch_ind', length=87)
TRUNCATED = {
    "with length": Answer(effect="apply", parts=(HALF,), then="close"),
    "without length": Answer(effect="apply", parts=(b"HTTP/1.0 207 x\r\n\r\n" + HALF.split(b"\r\n\r\n")[1],), then="close"),
}


def test_f21_a_truncated_answer(shop: Scene, bar: Bar) -> None:
    """Once, with and without a length; then for ever."""
    for kind, answer in TRUNCATED.items():
        shop.change(kind)
        shop.reload(first(answer))
        result = shop.run()
        shop.ended(result, ExitCode.OK, fault=f"F21 truncated {kind}, once", bar=bar)
        assert result.retries == 1
    for kind, answer in TRUNCATED.items():
        shop.change(f"{kind}, again")
        shop.reload([answer])
        result = shop.run(settings=IMPATIENT)
        shop.ended(result, ExitCode.DESTINATION, fault=f"F21 truncated {kind}", bar=bar)
        assert result.syncs[0].acknowledged == 0
    shop.heals()


# --- answers that are not understood ------------------------------------------------------------------------------

NONSENSE = {
    "HTML": b"<html>Please sign in</html>", "nothing": b"", "a list": b"[]", "a wrong type": b'{"errors":"none"}',
    "a repeated key": b'{"errors":[],"errors":[]}', "10 MB": b'{"x":"' + b" " * 10_000_000 + b'"}',
    "gzip": gzip.compress(b"{}"), "a bomb": gzip.compress(b" " * 50_000_000, 9),
}  # fmt: skip


def test_f22_200_with_something_else(shop: Scene, bar: Bar) -> None:
    for kind, body in NONSENSE.items():
        more = ["Content-Encoding: gzip"] if kind in {"gzip", "a bomb"} else []
        shop.reload([Answer(effect="apply", parts=(http(200, body, *more),), then="close")])
        result = shop.run("people", settings=IMPATIENT)

        shop.ended(result, ExitCode.DESTINATION, fault=f"F22 200 with {kind}", bar=bar)
        assert not shop.claims()
        assert len(shop.server.seen) <= 4 + 10, "first attempts and the budget of retries"
    shop.heals()


# --- partial and whole refusals -----------------------------------------------------------------------------------


def test_f23_a_207_names_rows(shop: Scene, bar: Bar) -> None:
    bad = {"p3", "p17", "p39"}
    shop.workspace.refuses = lambda op: op["identifiers"]["id"] in bad and op["action"] == "identify"
    result = shop.run("people")

    shop.ended(result, ExitCode.ROWS_REFUSED, fault="F23 207", bar=bar)
    assert shop.claims() == {f"p{i}" for i in range(40)} - bad
    kept = shop.world.ask(f"SELECT _key, _reason FROM {SCHEMA}.open__people01 WHERE _outcome = 'refused' ORDER BY 1")
    assert [key for key, _ in kept] == sorted(bad)
    again = shop.run("people")
    assert (again.requests, again.exit_code) == (0, ExitCode.ROWS_REFUSED), "once a day"
    shop.workspace.refuses = lambda _: False
    shop.world.sql("UPDATE people SET plan = 'changed' WHERE id = 'p17'")
    changed = shop.run("people")
    assert (changed.syncs[0].acknowledged, changed.exit_code) == (1, ExitCode.ROWS_REFUSED), "what changed is tried at once"
    shop.heals(retry_refused=True)


INDEXES = ("10", "-1", '"0"', "null")  # more of them in corpus.py


def test_f24_an_index_that_is_none(shop: Scene, bar: Bar) -> None:
    shop.run()
    for index in INDEXES:
        wrong = Answer(effect="apply", parts=(http(207, b'{"errors":[{"batch_index":%s}]}' % index.encode()),))
        shop.change(f"once {index[0]}")
        shop.reload(first(wrong))
        shop.ended(shop.run("people"), ExitCode.OK, fault=f"F24 index {index}, once", bar=bar)
        shop.change(f"always {index[0]}")
        shop.reload([wrong])
        result = shop.run("people", settings=IMPATIENT)

        shop.ended(result, ExitCode.DESTINATION, fault=f"F24 index {index}", bar=bar)
        assert result.syncs[0].acknowledged == 0
        sizes = {seen.body.count(b'"type"') for seen in shop.server.seen}
        assert {10, 5} <= sizes, "the whole batch, once again, then halves"
    shop.heals()


def test_f25_a_207_that_refuses_all(shop: Scene, bar: Bar) -> None:
    shop.fill(1000)
    shop.workspace.refuses = lambda _: True
    result = shop.run("people")

    shop.ended(result, ExitCode.GUARD, fault="F25 everything refused", bar=bar)
    assert not shop.claims()
    assert len(shop.server.seen) <= 20 + QUICK.concurrency, "200 rows are enough to see it"
    shop.workspace.refuses = lambda _: False
    shop.heals(retry_refused=True)


def test_f26_one_poison_row_in_a_request_that_is_refused_as_a_whole(shop: Scene, bar: Bar) -> None:
    shop.server.script = lambda seen: say(400) if b'"p7"' in seen.body else HONEST
    result = shop.run("people")

    shop.ended(result, ExitCode.ROWS_REFUSED, fault="F26 poison row", bar=bar)
    assert shop.claims() == {f"p{i}" for i in range(40)} - {"p7"}
    shop.heals(retry_refused=True)


def test_f27_413_above_a_limit_of_the_servers_own(shop: Scene, bar: Bar) -> None:
    """Limit 40 kB; and one row that alone is above another one's limit is refused with its size and widest field."""
    shop.workspace.max_body = 40_000
    shop.fill(300)
    shop.world.sql("UPDATE people SET email = repeat('x', 900) || id")
    wide = replace(QUICK, max_batch_operations=500)
    shop.ended(shop.run("people", settings=wide), ExitCode.OK, fault="F27 413", bar=bar)
    assert max(len(seen.body) for seen in shop.server.seen) > 250_000

    shop.workspace.max_body = 600
    shop.world.sql("UPDATE people SET email = CASE id WHEN 'p9' THEN repeat('y', 900) ELSE 'short' END "
                   "WHERE CAST(substr(id, 2) AS int) < 150")  # fmt: skip
    result = shop.run("people", settings=wide)
    shop.ended(result, ExitCode.ROWS_REFUSED, fault="F27 413 for a single row", bar=bar)
    [reason] = result.syncs[0].reasons
    assert (reason.reason, reason.field, reason.rows) == ("too_large", "email", 1)
    assert "9" in reason.message
    assert "bytes" in reason.message
    shop.workspace.max_body = 500_000
    shop.heals(retry_refused=True)


# --- the whole run is refused -------------------------------------------------------------------------------------


def test_f28_401_at_the_start(shop: Scene, bar: Bar) -> None:
    shop.workspace.key_is_good = False
    result = shop.run()

    shop.ended(result, ExitCode.CREDENTIALS, fault="F28 401 at the start", bar=bar)
    assert (shop.server.seen, result.syncs[0].refused) == ([], 0)
    shop.workspace.key_is_good = True
    shop.heals()


@pytest.mark.parametrize("status", [401, 403])
def test_f29_a_key_that_is_revoked_in_mid_run(shop: Scene, bar: Bar, status: int) -> None:
    shop.fill(500)
    shop.server.script = [HONEST] * 7 + [say(status)]
    result = shop.run("people")

    shop.ended(result, ExitCode.CREDENTIALS, fault=f"F29 {status} after request 7 of 50", bar=bar)
    assert len(shop.claims()) == len(shop.workspace.people) == 70, "what was accepted is kept"
    assert (result.syncs[0].refused, len(shop.server.seen) <= 7 + QUICK.concurrency) == (0, True)
    shop.heals()


REDIRECTS = (301, 302, 307, 308)


def test_f30_a_redirect(shop: Scene, bar: Bar) -> None:
    """At the start, then in mid-run; the other server is never spoken to."""
    with FaultServer() as elsewhere:
        for status in REDIRECTS:
            shop.server.region = say(status, b"", f"Location: {elsewhere.url}/api/v1/accounts/region")
            shop.ended(shop.run(), ExitCode.USAGE, fault=f"F30 {status} at the start", bar=bar)
            assert shop.server.seen == []
        shop.server.region = None
        for status in (301, 307):
            shop.change(f"v{status}")
            shop.reload([HONEST, say(status, b"", f"Location: {elsewhere.url}/api/v2/batch")])
            shop.ended(shop.run(), ExitCode.USAGE, fault=f"F30 {status} in mid-run", bar=bar)
        assert elsewhere.accepted == 0
    shop.heals()


def test_f31_an_address_that_takes_no_batches(shop: Scene, bar: Bar) -> None:
    for status in (404, 405, 410):
        shop.change(f"v{status}")
        shop.reload([HONEST, say(status)])
        shop.ended(shop.run(), ExitCode.USAGE, fault=f"F31 {status}", bar=bar)
        assert len(shop.server.seen) <= 1 + QUICK.concurrency
    shop.heals()


# --- trouble that passes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "expected"),
    [("30", ExitCode.OK), ("0", ExitCode.OK), ("-5", ExitCode.OK), ("soon", ExitCode.OK), ("36000", ExitCode.DESTINATION)],
)
def test_f32_429_with_retry_after(shop: Scene, bar: Bar, wish: str, expected: ExitCode) -> None:
    clock = FakeClock()
    shop.server.clock = clock.monotonic
    shop.server.script = first(HONEST, say(429, b"{}", f"Retry-After: {wish}"))
    result = shop.run("people", clock=clock, settings=replace(QUICK, concurrency=1))

    shop.ended(result, expected, fault=f"F32 Retry-After: {wish}", bar=bar)
    closed = shop.server.seen[1].answered
    assert not shop.server.within(closed, closed + (30 if wish == "30" else 0))
    shop.heals()


def test_f33_429_without_a_wish(shop: Scene, bar: Bar) -> None:
    shop.server.script = first(*[say(429)] * 6)
    result = shop.run()

    shop.ended(result, ExitCode.OK, fault="F33 429 without Retry-After", bar=bar)
    assert result.retries == 0, "a pause is no failure"
    shop.heals()


@pytest.mark.parametrize(("seconds", "expected"), [(10, ExitCode.OK), (600, ExitCode.OK), (1_200, ExitCode.DESTINATION)])
def test_f34_a_burst_of_5xx(shop: Scene, bar: Bar, seconds: float, expected: ExitCode) -> None:
    """From the 11th second on; the budget of retries, the breaker and the run's deadline are those of every run."""
    clock = FakeClock()
    start, end = clock.now + 10, clock.now + 10 + seconds
    shop.fill(2_000)
    shop.server.clock = clock.monotonic
    shop.server.script = lambda seen: say(503) if start <= seen.at < end else HONEST
    slow = replace(QUICK, requests_per_second=5.0, backoff_first_s=0.5, backoff_longest_s=30.0)
    result = shop.run("people", clock=clock, settings=slow)

    shop.ended(result, expected, fault=f"F34 503 for {seconds:.0f} s", bar=bar)
    firsts = len({seen.body for seen in shop.server.seen})
    assert len(shop.server.seen) <= 1.1 * firsts + 10
    shop.heals()


def test_f35_500_after_applying(shop: Scene, bar: Bar) -> None:
    shop.server.script = lambda seen: Answer(effect="apply", parts=(http(500),)) if seen.number % 5 == 1 else HONEST
    result = shop.run()

    shop.ended(result, ExitCode.OK, fault="F35 500 after applying", bar=bar)
    assert result.retries >= 2
    shop.heals()


DRIP = Answer(effect="apply", honest=True, every_s=0.25)


@pytest.mark.parametrize("lasting", [False, True])
def test_f36_an_answer_that_drips(shop: Scene, bar: Bar, *, lasting: bool) -> None:
    shop.server.script = [DRIP] if lasting else first(DRIP, DRIP)
    result = shop.run("people", settings=IMPATIENT)

    kind, code = ("F36 dripping answers", ExitCode.DESTINATION) if lasting else ("F36 a dripping answer", ExitCode.OK)
    shop.ended(result, code, fault=kind, bar=bar)
    shop.heals()


def test_f37_answers_in_another_order_than_sent(shop: Scene, bar: Bar) -> None:
    """16 requests under way, random delays, each with refused rows of its own."""
    rng = random.Random(37)
    shop.fill(1_600)
    bad = {f"p{i}" for i in rng.sample(range(1_600), 160)}
    shop.workspace.refuses = lambda op: op["identifiers"]["id"] in bad
    delays = [rng.random() * 0.05 for _ in range(200)]
    shop.server.script = lambda seen: replace(HONEST, delay_s=delays[seen.number % 200])
    shop.destination = lambda: Destination(shop.server.url, concurrency=16)
    result = shop.run("people", settings=replace(QUICK, concurrency=16))

    shop.ended(result, ExitCode.ROWS_REFUSED, fault="F37 answers out of order", bar=bar)
    seen = shop.server.seen
    overtaken = sum(a.answered > b.answered for a, b in pairwise(seen))
    assert overtaken > 20, "the order was another one"
    assert shop.claims() == {f"p{i}" for i in range(1_600)} - bad
    assert len(seen) == 160, "and nothing was sent again"
    shop.workspace.refuses = lambda _: False
    shop.heals(retry_refused=True)


def test_f38_requests_that_a_proxy_delivers_twice(shop: Scene, bar: Bar) -> None:
    shop.server.script = [Answer(effect="twice", honest=True)]
    result = shop.run()

    shop.ended(result, ExitCode.OK, fault="F38 delivered twice", bar=bar)
    ids = [str(op["id"]) for _, op in shop.workspace.taken if op["action"] == "event"]
    assert set(Counter(ids).values()) == {2}
    assert max(shop.workspace.events().values()) == 1
    shop.heals()


# --- late application ---------------------------------------------------------------------------------------------

LATE = Answer(effect="late", then="reset")


def late_update(shop: Scene, *, stamped: bool) -> None:
    """Everything is synced; p0 becomes B, and the request with B is taken and not applied yet."""
    shop.run(stamped=stamped)
    shop.world.sql("UPDATE people SET plan = 'B' WHERE id = 'p0'")
    shop.reload([LATE])
    lost = shop.run("people", settings=replace(QUICK, attempts=1), stamped=stamped)
    assert lost.exit_code == ExitCode.DESTINATION
    shop.world.sql("UPDATE people SET plan = 'C' WHERE id = 'p0'")


def test_f39_a_late_copy_within_the_run(shop: Scene, bar: Bar) -> None:
    """The first attempt takes effect only after its repetition was answered, and after everything else, too."""
    shop.server.script = first(LATE, HONEST, LATE)
    result = shop.run()
    assert shop.server.apply_late() == 2

    shop.ended(result, ExitCode.OK, fault="F39 late copy within the run", bar=bar)
    shop.heals()


def test_f39_applied_after_the_next_runs_write_the_newer_timestamp_wins(shop: Scene, bar: Bar) -> None:
    late_update(shop, stamped=True)
    shop.reload([HONEST])
    shop.world.forget_drain()
    result = shop.run("people", stamped=True)
    assert shop.server.apply_late() == 1

    assert shop.workspace.people["p0"]["plan"] == "C", "the late B is older"
    shop.ended(result, ExitCode.OK, fault="F39 late, with timestamps", bar=bar)
    shop.heals()


class Arriving(FakeClock):
    """While the run waits, what is late arrives."""

    def __init__(self, shop: Scene) -> None:
        super().__init__()
        self.shop = shop
        self.arrived = 0

    def wait(self, seconds: float) -> None:
        """A wait of the drain's length lets it arrive."""
        super().wait(seconds)
        if seconds > 5:
            self.arrived += self.shop.server.apply_late()


def test_f39_without_timestamps_the_next_run_waits_for_what_is_late(shop: Scene, bar: Bar) -> None:
    shop.workspace.honours_timestamps = False
    late_update(shop, stamped=False)
    shop.reload([HONEST])
    clock = Arriving(shop)
    result = shop.run("people", clock=clock)

    assert (clock.arrived, shop.workspace.history("p0", "plan")) == (1, ["free", "B", "C"])
    assert max(clock.waits) > 30
    shop.ended(result, ExitCode.OK, fault="F39 late, without timestamps", bar=bar)
    shop.heals()


def test_f39_a_late_delete_comes_before_the_row_that_returned(shop: Scene, bar: Bar) -> None:
    """No timestamp helps against a delete: the drain wait does."""
    shop.world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    shop.run("people")
    shop.world.sql("DELETE FROM people WHERE id = 'p0'")
    shop.reload([LATE])
    assert shop.run("people", settings=replace(QUICK, attempts=1)).exit_code == ExitCode.DESTINATION
    shop.world.sql("INSERT INTO people VALUES ('p0', 'p0@example.com', 'back', 1)")
    shop.reload([HONEST])
    clock = Arriving(shop)
    result = shop.run("people", clock=clock)

    assert (clock.arrived, [e.what for e in shop.workspace.effects if e.who == "p0"][-2:]) == (1, ["delete", "set"])
    assert shop.workspace.people["p0"]["plan"] == "back"
    shop.ended(result, ExitCode.OK, fault="F39 late delete", bar=bar)
    shop.heals()


# --- the rest -----------------------------------------------------------------------------------------------------


def test_f40_an_idle_connection_that_the_server_closed(shop: Scene, bar: Bar) -> None:
    """Between two chunks everything that was kept is closed; the next requests are on new connections."""
    closed: list[int] = []

    def close(when: str, word: str) -> None:
        del when, word
        if not closed and len(shop.server.seen) == 4 and (count := shop.server.close_idle()):
            closed.append(count)  # people are answered, events not yet sent

    result = shop.run(probe=close)

    shop.ended(result, ExitCode.OK, fault="F40 idle connection closed", bar=bar)
    assert closed[0] > 0
    assert (result.retries, len(shop.server.seen)) == (0, 8), "the goodbye was seen, so nothing was unknown"
    assert shop.server.accepted > closed[0]
    shop.heals()


def test_f40_a_connection_that_is_closed_as_the_next_request_arrives(shop: Scene, bar: Bar) -> None:
    """The goodbye crosses the request: bytes went out, so the outcome is unknown, and the request is repeated."""
    shop.server.script = lambda seen: Answer(then="reset") if seen.number in {4, 6} else HONEST
    result = shop.run(settings=replace(QUICK, concurrency=1))

    shop.ended(result, ExitCode.OK, fault="F40 closed under the request", bar=bar)
    assert (result.retries, len(shop.server.seen)) == (2, 10)
    shop.heals()


def test_f41_accepted_and_silently_ignored(shop: Scene, bar: Bar) -> None:
    """A documented limit: a 2xx does not prove an effect. The row counts as acknowledged and is not sent for ever."""
    shop.workspace.suppressed.add("p5")
    result = shop.run()

    assert result.exit_code == ExitCode.OK
    assert "p5" not in shop.workspace.people
    assert "p5" in shop.claims()
    assert len(shop.workspace.people) == 39
    assert shop.run().requests == 0
    bar(32, "F41 ignored for a suppressed person: exit code", found=int(result.exit_code), goal="0")


def test_f42_the_wrong_workspace(shop: Scene, bar: Bar) -> None:
    shop.run()
    shop.change("B")
    shop.workspace.environment_id = 78
    shop.reload([HONEST])
    result = shop.run()

    shop.ended(result, ExitCode.STATE, fault="F42 wrong workspace", bar=bar)
    assert shop.server.seen == []
    shop.workspace.environment_id = 77
    shop.heals()


def test_f43_throughput_cut_to_one_request_a_second(shop: Scene, bar: Bar) -> None:
    """Ten minutes by a clock that only waits move; above one request a second the answer is 429."""
    clock = FakeClock()
    shop.fill(6_000)
    shop.server.clock = clock.monotonic
    opens = [clock.now]

    def one_a_second(seen: Seen) -> Answer:
        if seen.at < opens[0]:
            return say(429, b"{}", f"Retry-After: {opens[0] - seen.at:.3f}")
        opens[0] = seen.at + 1
        return HONEST

    checkpoints: list[float] = []

    def note(when: str, word: str) -> None:
        if (when, word) == ("after", "Update"):
            checkpoints.append(clock.now)

    shop.server.script = one_a_second
    result = shop.run("people", clock=clock, settings=replace(QUICK, requests_per_second=10.0), probe=note)

    shop.ended(result, ExitCode.OK, fault="F43 one request a second for ten minutes", bar=bar)
    assert clock.now - 1_000 >= 599
    gaps = [b - a for a, b in pairwise(checkpoints)]
    assert max(gaps) <= 62, "a checkpoint a minute keeps the lease"
    assert set(Counter(row_of(op) for _, op in shop.workspace.taken).values()) == {1}, "each row applied once"
    shop.heals()
