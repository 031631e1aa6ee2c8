"""How requests go out: a window of a few at a time, two rates, one layer of retries, a breaker, and a deadline.

`Window` decides: it is told the time and the replies, and says which request goes next and what became of each
row; no clock, thread or socket is in it. `Delivery.deliver` drives it: its threads only send, everything else is
done in the calling thread, and it yields only while no request is under way, so that the caller may open a
transaction.

The rules and their numbers are in `docs/delivery.md`.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Protocol

from tenacity import RetryCallState, stop_after_attempt, wait_exponential

from revetl.customerio import MAX_BODY_BYTES, batch_of, judge, pack
from revetl.destination import (
    BATCH,
    Action,
    Batch,
    Operation,
    Outcome,
    Refusal,
    Reply,
    Route,
    Sender,
    Verdict,
)
from revetl.errors import (
    ConfigError,
    CredentialsRefused,
    DestinationDown,
    GuardTripped,
    LeaseLost,
    RevetlError,
)

ABANDONED_S = 1.0  # in which a request ends whose socket was shut
BREAKER_FAILURES = 10
BREAKER_WINDOW_S = 30.0
BREAKER_SHARE = 0.5
PROBE_EVERY_S = 30.0
SLOWEST = 0.02  # the learnt rate never falls below this share of the declared one
CREEP = 0.02
REFUSED_ROWS_MIN = 200
LONGEST_SLEEP_S = 1.0  # so that a signal is noticed soon
SHORTEST_SLEEP_S = 0.001


class Clock(Protocol):
    """Time, injected."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""

    def wait(self, seconds: float) -> None:
        """Let that much time pass."""


class RealClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep; a signal's handler runs meanwhile."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How fast and how patiently to send.

    Attributes:
        concurrency: requests under way at once. No figure is published; few are enough, as a batch carries many rows.
        requests_per_second, operations_per_second: published limits range from 30 to 1,000 requests a second, and
            nothing says whether a batch counts once or by its rows: both are bounded, and low (fact sheet, 10.1).
        max_batch_operations: no limit is published; large customers had to go below the byte limit.
        max_batch_bytes: of the 500,000 allowed, with head-room.
        request_deadline_s: for one request in all, by our own clock.
        attempts: for one request.
        backoff_first_s, backoff_longest_s: full jitter below an exponential curve.
        retry_share, retry_floor: retries may be this share of first attempts, and some.
        no_progress_s: without an accepted request for so long, the run ends (and the next one goes on).
        slow_answer_s: an answer that takes longer is a sign of strain: the rate is lowered as for a 429, without
            a pause.
        backfill_share: the part of the rates that events of the past take together while nothing else is sent.
        refused_share: more refused rows than this end the run: something is wrong with all of them.
        drain_s: after a stop, requests under way get so long for their answers.

    Raises:
        ConfigError: a number is out of its bounds.
    """

    concurrency: int = 4
    requests_per_second: float = 10.0
    operations_per_second: float = 1_000.0
    max_batch_operations: int = 500
    max_batch_bytes: int = 450_000
    request_deadline_s: float = 30.0
    attempts: int = 5
    backoff_first_s: float = 0.5
    backoff_longest_s: float = 30.0
    retry_share: float = 0.1
    retry_floor: int = 10
    no_progress_s: float = 900.0
    slow_answer_s: float = 10.0
    backfill_share: float = 0.5
    refused_share: float = 0.2
    drain_s: float = 16.0  # of the 20 s in which a run ends: the rest is for what it folds

    def __post_init__(self) -> None:
        for name in ("concurrency", "max_batch_operations", "attempts", "requests_per_second", "operations_per_second",
                     "request_deadline_s"):  # fmt: skip
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name!r} of the destination must be a number above 0", hint="change it in profiles.yml")
        if not 0 < self.backfill_share <= 1:
            raise ConfigError(
                "'backfill_share' of the destination must be above 0 and at most 1", hint="change it in profiles.yml"
            )
        if not 0 < self.max_batch_bytes <= MAX_BODY_BYTES:
            raise ConfigError(
                f"'max_batch_bytes' of the destination must be above 0 and at most {MAX_BODY_BYTES:,}, Customer.io's limit",
                hint="change it in profiles.yml",
            )


Range = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is known now about some rows; ranges of plan numbers, inclusive.

    Attributes:
        doubt: some attempt had no answer, so it may still be applied, even where a later one was accepted.
    """

    accepted: tuple[Range, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unknown: tuple[Range, ...] = ()
    not_sent: tuple[Range, ...] = ()
    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is under way: the moment for a checkpoint."""


@dataclass(slots=True)
class Stats:
    """Totals of a run.

    Attributes:
        requests: all that went out.
        first_attempts: batches that went out at least once, as they were packed.
        retries: repetitions after a failure or an answer that was not understood (what the budget bounds);
            neither the halves of a refused batch, nor what was sent again after a 429.
        bytes: of request bodies.
        rows: rows that were accepted or refused.
        refused: of these, by us or by Customer.io.
        paused_s: time in which nothing was under way.
    """

    requests: int = 0
    first_attempts: int = 0
    retries: int = 0
    bytes: int = 0
    rows: int = 0
    refused: int = 0
    paused_s: float = 0.0


@dataclass(slots=True, eq=False)
class Request:
    """One batch on its way.

    Attributes:
        attempts: that failed; those by which a breaker probes do not count.
        maybe_applied: whether any attempt may have had an effect.
        misread: answers that were not understood, of it and of the batches that it was halved from.
        not_before: when it may go, by the clock of the delivery.
        launched_at: when it last went.
        fresh: it never went out, nor did a batch that it is a half of.
        retrying: its next launch is a retry, which needs budget.
        probe: it went out to see whether the destination is back.
        reason: of its last failure.
    """

    batch: Batch
    attempts: int = 0
    maybe_applied: bool = False
    misread: int = 0
    not_before: float = 0.0
    launched_at: float = 0.0
    fresh: bool = True
    retrying: bool = False
    probe: bool = False
    reason: str = ""


class _Bucket:
    """A token bucket that holds one second's worth; `factor` is the learnt share of the declared rate."""

    def __init__(self, per_second: float, now: float) -> None:
        self._declared = self._rate = per_second
        self._tokens = max(1.0, per_second)
        self._at = now
        self.factor = 1.0

    def share(self, part: float) -> None:
        """Use this part of the declared rate from now on; what others may use is not saved up."""
        self._rate = self._declared * part
        self._tokens = min(self._tokens, max(1.0, self._rate))

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until `amount` may go; an amount above a second's worth goes when the bucket is full."""
        rate, full = self._rate * self.factor, max(1.0, self._rate * self.factor)
        self._tokens = min(full, self._tokens + (now - self._at) * rate)
        self._at = now
        missing = min(amount, full) - self._tokens
        return 0.0 if missing <= 1e-9 else missing / rate  # noqa: PLR2004 rounding

    def take(self, amount: float) -> None:
        """Spend; a large amount leaves a debt that later ones wait for."""
        self._tokens -= amount


class _Breaker:
    """Opens after failures in a row or half of the last half minute; then one probe every half minute."""

    def __init__(self) -> None:
        self._row = 0
        self._recent: deque[tuple[float, bool]] = deque()
        self.open_until: float | None = None
        self.probing = False

    def note(self, *, ok: bool, now: float) -> None:
        self.probing = False
        self._recent.append((now, ok))
        while self._recent and self._recent[0][0] < now - BREAKER_WINDOW_S:
            self._recent.popleft()
        if ok:
            self._row, self.open_until = 0, None
            return
        self._row += 1
        failed = sum(not good for _, good in self._recent)
        half = len(self._recent) >= BREAKER_FAILURES and failed >= BREAKER_SHARE * len(self._recent)
        if self.open_until is not None or self._row >= BREAKER_FAILURES or half:
            self.open_until = now + PROBE_EVERY_S

    def wait_for(self, now: float) -> float:
        """Seconds until a request may go; `inf` while the probe is under way."""
        if self.open_until is None:
            return 0.0
        return float("inf") if self.probing else max(0.0, self.open_until - now)


@dataclass(slots=True)
class _Outcomes:
    accepted: list[Range] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    unknown: list[Range] = field(default_factory=list)
    not_sent: list[Range] = field(default_factory=list)
    doubt: bool = False

    def flush(self) -> Settled | None:
        if not (self.accepted or self.refusals or self.unknown or self.not_sent):
            return None
        found = Settled(accepted=tuple(self.accepted), refusals=tuple(self.refusals), unknown=tuple(self.unknown),
                        not_sent=tuple(self.not_sent), doubt=self.doubt)  # fmt: skip
        self.accepted, self.refusals, self.unknown, self.not_sent, self.doubt = [], [], [], [], False
        return found


def _ranges(operations: Sequence[Operation], without: Iterable[int] = ()) -> list[Range]:
    left_out, out = set(without), list[Range]()
    if not left_out and operations and operations[-1].seq - operations[0].seq == len(operations) - 1:
        return [(operations[0].seq, operations[-1].seq)]
    for operation in operations:
        seq = operation.seq
        if seq in left_out:
            continue
        if out and out[-1][1] == seq - 1:
            out[-1] = (out[-1][0], seq)
        else:
            out.append((seq, seq))
    return out


class Window:
    """Which request goes next, and what its reply means for the rows: all decisions of a delivery.

    Pure: times come in as arguments (seconds of a clock that never goes back), randomness from outside. The driver
    asks `wait_for`, sends what `launch` gives, and tells `land` the reply; `settled` gives what became known.
    Rates, breaker, budget and totals last over all the chunks of a run.

    Attributes:
        stats: totals.
        stopped: why nothing more is sent.
        gave_up: the last reason why a request was given up without an answer.
        under_way: number of requests between `launch` and `land`.
    """

    def __init__(self, settings: DeliverySettings, *, rng: random.Random, now: float) -> None:
        self.stats = Stats()
        self.stopped: RevetlError | None = None
        self.gave_up = ""
        self.under_way = 0
        self._settings = settings
        self._rng = rng
        self._requests = _Bucket(settings.requests_per_second, now)
        self._operations = _Bucket(settings.operations_per_second, now)
        self._breaker = _Breaker()
        self._pause_until = now
        self._pauses = 0  # 429s since the last answer of another kind
        self._slowed_at = float("-inf")
        self._trouble_at: float | None = None  # the first failure or pause since something was accepted
        self._width = settings.concurrency
        self._source: Iterator[Batch] = iter(())
        self._exhausted = True
        self._waiting: deque[Request] = deque()
        self._known = _Outcomes()

    def open(
        self, operations: Sequence[Operation], refusals: Sequence[Refusal], now: float, route: Route = BATCH
    ) -> None:
        """A chunk to send, and rows of it that our own checks refused. The one before must be over."""
        self._source = pack(
            operations, max_operations=self._settings.max_batch_operations, max_bytes=self._settings.max_batch_bytes,
            route=route,
        )  # fmt: skip
        self._exhausted = False
        self._known.refusals.extend(refusals)
        self.stats.rows += len(refusals)
        self.stats.refused += len(refusals)
        if self._trouble_at is not None:
            self._trouble_at = now  # time between chunks is not time without an answer

    def share(self, part: float) -> None:
        """Use this part (above 0, at most 1) of the declared rates: the rest is other runs'."""
        for bucket in (self._requests, self._operations):
            bucket.share(part)

    def stop(self, error: RevetlError) -> None:
        """Launch nothing more. The first reason stays."""
        self.stopped = self.stopped or error

    # --- what goes next --------------------------------------------------------------------------------------

    def wait_for(self, now: float) -> float:
        """Seconds until `launch` may be called; 0 for now; `inf` where only a reply can change that."""
        if self.stopped or self.under_way >= self._width:
            return float("inf")
        request = self._next(now)
        if request is None:
            return min((r.not_before - now for r in self._waiting if not self._over_budget(r)), default=float("inf"))
        rows = len(request.batch.operations)
        return max(
            0.0, self._pause_until - now, self._breaker.wait_for(now), self._requests.wait_for(1, now),
            self._operations.wait_for(rows, now),
        )  # fmt: skip

    def launch(self, now: float) -> Request:
        """The next request, which goes out now; only after `wait_for` gave 0 for the same `now`."""
        request = self._next(now)
        assert request is not None  # noqa: S101 `wait_for` has found it
        self._waiting.remove(request)
        self._requests.take(1)
        self._operations.take(len(request.batch.operations))
        stats = self.stats
        stats.requests += 1
        stats.bytes += len(request.batch.body)
        stats.first_attempts += request.fresh
        stats.retries += request.retrying
        request.fresh = request.retrying = False
        request.launched_at = now
        request.probe = self._breaker.probing = self._breaker.open_until is not None
        self.under_way += 1
        return request

    def over(self) -> bool:
        """Whether nothing is under way and nothing more will go."""
        return self.under_way == 0 and (self.stopped is not None or self._hopeless())

    def _hopeless(self) -> bool:
        """Whether all that is left are retries without budget, and nothing can come that makes some."""
        return self._exhausted and all(self._over_budget(r) for r in self._waiting)

    def _next(self, now: float) -> Request | None:
        request = next((r for r in self._waiting if r.not_before <= now and not self._over_budget(r)), None)
        if request is None and not self._exhausted:
            batch = next(self._source, None)
            self._exhausted = batch is None
            if batch is not None:
                request = Request(batch=batch)
                self._waiting.append(request)
        return request

    def _over_budget(self, request: Request) -> bool:
        """Whether it is a retry for which there is no budget; first attempts of others make some."""
        stats, settings = self.stats, self._settings
        return request.retrying and stats.retries + 1 > settings.retry_share * stats.first_attempts + settings.retry_floor

    # --- what a reply means ----------------------------------------------------------------------------------

    def land(self, request: Request, reply: Reply, now: float) -> None:
        """The reply of a launched request."""
        self.under_way -= 1
        verdict = judge(reply, request.batch)
        request.maybe_applied |= verdict.outcome is Outcome.UNKNOWN
        request.reason = verdict.reason
        failed = verdict.outcome is Outcome.UNKNOWN or verdict.action is Action.RETRY
        self._breaker.note(ok=not failed, now=now)
        if verdict.action is not Action.PAUSE:
            self._pauses = 0
        if reply.seconds > self._settings.slow_answer_s:
            self._lower(request, now)
        if verdict.action is Action.DONE:
            self._done(request, verdict)
        elif verdict.action is Action.PAUSE:
            self._slow_down(request, verdict, now)
        elif verdict.action in {Action.STOP_CREDENTIALS, Action.STOP_CONFIG}:
            kind = CredentialsRefused if verdict.action is Action.STOP_CREDENTIALS else ConfigError
            self.stop(kind(f"{verdict.reason}; the run stopped, and no row is blamed",
                           hint="`revetl debug` checks the destination without sending anything"))  # fmt: skip
            self._leave(request)
        elif verdict.action is Action.SPLIT:
            self._split(request, verdict, now)
        else:
            self._again(request, verdict, now)

    def abandon(self, request: Request) -> None:
        """Nobody waits for the reply of this launched request any more."""
        self.under_way -= 1
        request.maybe_applied = True
        self._leave(request)

    def check(self, now: float) -> None:
        """Ends what cannot go on: a run without any success for too long, and retries without budget at the end."""
        no_progress_s = self._settings.no_progress_s
        if self._trouble_at is not None and now - self._trouble_at > no_progress_s:
            self.stop(DestinationDown(
                f"no request was accepted for {no_progress_s:,.0f} s (last: {self._last_reason()})",
                hint="later again; what was not acknowledged is sent then: revetl run",
            ))  # fmt: skip
        if self.over():
            for request in self._waiting:
                self._leave(request)
            self._waiting.clear()

    def settled(self) -> Settled | None:
        """What became known since the last call."""
        return self._known.flush()

    def _last_reason(self) -> str:
        return next((r.reason for r in self._waiting if r.reason), "no answer")

    def _done(self, request: Request, verdict: Verdict) -> None:
        operations = request.batch.operations
        self._known.doubt |= request.maybe_applied
        self._known.accepted.extend(_ranges(operations, (r.seq for r in verdict.refusals)))
        self._known.refusals.extend(replace(refusal, unsure=request.maybe_applied) for refusal in verdict.refusals)
        stats = self.stats
        stats.rows += len(operations)
        stats.refused += len(verdict.refusals)
        self._trouble_at = None
        if request.launched_at > self._slowed_at:  # what went out before says nothing of what is bearable now
            for bucket in (self._requests, self._operations):
                bucket.factor = min(1.0, bucket.factor + CREEP)
            self._width = min(self._settings.concurrency, self._width + 1)
        if stats.rows >= REFUSED_ROWS_MIN and stats.refused > self._settings.refused_share * stats.rows:
            self.stop(GuardTripped(
                f"{stats.refused:,} of {stats.rows:,} rows were refused (more than {self._settings.refused_share:.0%}), "
                "so the rest was not sent",
                hint="look at the reasons below, cure the commonest, then: revetl run",
            ))  # fmt: skip

    def _slow_down(self, request: Request, verdict: Verdict, now: float) -> None:
        """Everybody waits, and the rate is lowered."""
        self._pauses += 1
        pause = max(self._backoff(self._pauses), verdict.retry_after_s or 0.0)
        self._pause(pause, now)
        self._lower(request, now)
        self._waiting.appendleft(request)

    def _lower(self, request: Request, now: float) -> None:
        """Half the learnt rate and half the width; once for all requests that were under way together."""
        if request.launched_at > self._slowed_at:
            self._slowed_at = now
            for bucket in (self._requests, self._operations):
                bucket.factor = max(SLOWEST, bucket.factor / 2)
            self._width = max(1, self._width // 2)

    def _pause(self, seconds: float, now: float) -> None:
        self._pause_until = max(self._pause_until, now + seconds)
        if self._pause_until > self._in_trouble(now) + self._settings.no_progress_s:
            self.stop(DestinationDown(
                f"Customer.io asks to wait {seconds:,.0f} s, longer than a run lasts", hint="after that: revetl run"
            ))  # fmt: skip

    def _split(self, request: Request, verdict: Verdict, now: float) -> None:
        """Halve a request that was refused as a whole; one that was not understood is first repeated once."""
        operations = request.batch.operations
        misread = verdict.outcome is Outcome.UNKNOWN
        request.misread += misread
        if misread and (request.misread == 1 or len(operations) == 1):
            self._again(request, verdict, now)
            return
        if misread:
            self._in_trouble(now)
        middle = len(operations) // 2
        for half in (operations[middle:], operations[:middle]):
            self._waiting.appendleft(Request(
                batch=batch_of(half, request.batch.route), maybe_applied=request.maybe_applied, misread=request.misread,
                fresh=False, retrying=misread, reason=verdict.reason,
            ))  # fmt: skip

    def _again(self, request: Request, verdict: Verdict, now: float) -> None:
        self._in_trouble(now)
        request.attempts += not request.probe
        if stop_after_attempt(self._settings.attempts)(_attempt(request.attempts)):
            self._leave(request)
            return
        if verdict.retry_after_s is not None:
            self._pause(verdict.retry_after_s, now)
        request.not_before = now + self._backoff(request.attempts)
        request.retrying = True
        self._waiting.append(request)

    def _in_trouble(self, now: float) -> float:
        """Since when nothing was accepted any more."""
        self._trouble_at = now if self._trouble_at is None else self._trouble_at
        return self._trouble_at

    def _backoff(self, attempt: int) -> float:
        """Full jitter: any time below an exponential curve, so that many clients do not return together."""
        curve = wait_exponential(multiplier=self._settings.backoff_first_s, max=self._settings.backoff_longest_s)
        return self._rng.uniform(0, curve(_attempt(max(1, attempt))))

    def _leave(self, request: Request) -> None:
        """Give a request up: unknown if any attempt may have been applied, else certainly not sent."""
        if request.reason:
            self.gave_up = request.reason
        self._known.doubt |= request.maybe_applied
        (self._known.unknown if request.maybe_applied else self._known.not_sent).extend(_ranges(request.batch.operations))


class Delivery:
    """Sends chunks of a run; rates, breaker and budget last over all of them.

    Args:
        may_send: asked before each request; False means that the lease is nearly over.
    """

    def __init__(
        self, sender: Sender, settings: DeliverySettings, *, clock: Clock, rng: random.Random,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._may_send = may_send
        self._window = Window(settings, rng=rng, now=clock.monotonic())
        self._drain_until: float | None = None
        self._abandoned = False

    @property
    def stats(self) -> Stats:
        """Totals of the run so far."""
        return self._window.stats

    @property
    def stopped(self) -> RevetlError | None:
        """Why nothing more is sent."""
        return self._window.stopped

    @property
    def gave_up(self) -> str:
        """The last reason why a request was given up without an answer; may be cleared."""
        return self._window.gave_up

    @gave_up.setter
    def gave_up(self, reason: str) -> None:
        """Forget it, once it has been told."""
        self._window.gave_up = reason

    def share(self, part: float) -> None:
        """Use this part of the declared rates; see `Window.share`."""
        self._window.share(part)

    def stop(self, error: RevetlError) -> None:
        """Send nothing new; what is under way may finish. Safe to call from a signal's handler."""
        self._window.stop(error)

    def deliver(
        self, operations: Sequence[Operation], refusals: Sequence[Refusal] = (), *, idle_every_s: float,
        progress: Callable[[int], None] = lambda _: None, route: Route = BATCH,
    ) -> Iterator[Settled | Idle]:  # fmt: skip
        """Send the operations in order, and say what became of each.

        Yields only while nothing is under way: outcomes, and `Idle` at least every `idle_every_s` seconds. After
        a stop, operations that were not yet taken are not reported: they were not sent. (A request whose answer
        does not come within `drain_s` after a stop is cut off by closing the sender.)

        Args:
            operations: with growing numbers.
            refusals: rows of the same chunk that our own checks refused; they count and are passed through.
            idle_every_s: see above.
            progress: told the number of rows of the run that have an outcome, as soon as they do.
            route: where they go.
        """
        window, clock = self._window, self._clock
        if window.stopped:
            return
        window.open(operations, refusals, clock.monotonic(), route)
        flying: dict[Future[Reply], Request] = {}
        idle_at = clock.monotonic() + idle_every_s
        pool = ThreadPoolExecutor(max_workers=self._settings.concurrency, thread_name_prefix="revetl")
        try:
            while True:
                now = clock.monotonic()
                window.check(now)
                pause = self._launch(pool, flying, now) if now < idle_at else float("inf")
                if flying:
                    self._land(flying, pause, progress)
                    continue
                if settled := window.settled():
                    yield settled
                if window.over():
                    break
                if now >= idle_at:
                    yield Idle()
                    idle_at = clock.monotonic() + idle_every_s
                    continue
                pause = min(max(pause, SHORTEST_SLEEP_S), LONGEST_SLEEP_S, max(idle_at - now, SHORTEST_SLEEP_S))
                clock.wait(pause)
                window.stats.paused_s += pause
        finally:
            # nothing is under way, unless the sender itself failed or a request hangs in spite of all
            pool.shutdown(wait=not self._abandoned, cancel_futures=True)
        window.check(clock.monotonic())
        if settled := window.settled():
            yield settled

    def _launch(self, pool: ThreadPoolExecutor, flying: dict[Future[Reply], Request], now: float) -> float:
        """Send all that may go now; seconds until the next one may."""
        window = self._window
        while (pause := window.wait_for(now)) <= 0:
            if not self._may_send():
                window.stop(LeaseLost("the lease is about to end, so nothing more is sent by this run",
                                      hint="the next run sends the rest: revetl run"))  # fmt: skip
                continue
            request = window.launch(now)
            batch = request.batch
            future = pool.submit(
                self._sender.send, batch.body, deadline_s=self._settings.request_deadline_s, path=batch.route.path
            )
            flying[future] = request
        return pause

    def _land(self, flying: dict[Future[Reply], Request], pause: float, progress: Callable[[int], None]) -> None:
        """Take in the replies that are there; after a stop, wait no longer than the drain time for the last."""
        window = self._window
        self._take(flying, max(min(pause, LONGEST_SLEEP_S), SHORTEST_SLEEP_S), progress)
        if window.stopped and flying:
            now = self._clock.monotonic()
            self._drain_until = self._drain_until or now + self._settings.drain_s
            if now >= self._drain_until:
                self._sender.close()
                self._take(flying, ABANDONED_S, progress, everything=True)
                self._abandoned = bool(flying)
                for request in flying.values():
                    window.abandon(request)
                flying.clear()

    def _take(
        self, flying: dict[Future[Reply], Request], timeout: float, progress: Callable[[int], None], *,
        everything: bool = False,
    ) -> None:  # fmt: skip
        done, _ = wait(flying, timeout=timeout, return_when=ALL_COMPLETED if everything else FIRST_COMPLETED)
        now, before = self._clock.monotonic(), self._window.stats.rows
        for future in done:
            self._window.land(flying.pop(future), future.result(), now)
        if self._window.stats.rows > before:
            progress(self._window.stats.rows)


def _attempt(number: int) -> RetryCallState:
    """What tenacity's rules look at."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # rules read the number only
    state.attempt_number = number
    return state
