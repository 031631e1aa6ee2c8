"""How requests go out: a window of a few at a time, two rates, one layer of retries, a breaker, and a deadline.

`Delivery.deliver` takes operations and gives outcomes. Threads only send; every decision is made in the calling
thread, by the values of `customerio.judge` and the small machines below (`_Bucket`, `_Breaker`), with clock and
randomness from outside. It yields only while no request is under way, so that the caller may open a transaction.

The rules and their numbers are in `docs/delivery.md`.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from tenacity import RetryCallState, stop_after_attempt, wait_exponential

from revetl.customerio import batch_of, judge, pack
from revetl.destination import Action, Batch, Operation, Outcome, Refusal, Reply, Sender, Verdict
from revetl.errors import ConfigError, CredentialsRefused, DestinationDown, GuardTripped, LeaseLost, RevetlError

DRAIN_ON_STOP_S = 20.0
BREAKER_FAILURES = 10
BREAKER_WINDOW_S = 30.0
BREAKER_SHARE = 0.5
PROBE_EVERY_S = 30.0
SLOWEST = 0.02  # the learnt rate never falls below this share of the declared one
CREEP = 0.02
REFUSED_ROWS_MIN = 200
LONGEST_SLEEP_S = 1.0  # so that a signal is noticed soon


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
        refused_share: more refused rows than this end the run: something is wrong with all of them.
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
    refused_share: float = 0.2


Range = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is known now about some rows; ranges of plan numbers, inclusive."""

    accepted: tuple[Range, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unknown: tuple[Range, ...] = ()
    not_sent: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is under way: the moment for a checkpoint."""


@dataclass(slots=True)
class Stats:
    """Totals of a run."""

    requests: int = 0
    first_attempts: int = 0
    retries: int = 0
    bytes: int = 0
    rows: int = 0
    refused: int = 0
    paused_s: float = 0.0


@dataclass(slots=True)
class _Request:
    batch: Batch
    attempts: int = 0
    maybe_applied: bool = False
    misread: int = 0
    not_before: float = 0.0


class _Bucket:
    """A token bucket that holds one second's worth; `factor` is the learnt share of the declared rate."""

    def __init__(self, per_second: float, now: float) -> None:
        self._rate = per_second
        self._tokens = max(1.0, per_second)
        self._at = now
        self.factor = 1.0

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

    def flush(self) -> Settled | None:
        if not (self.accepted or self.refusals or self.unknown or self.not_sent):
            return None
        found = Settled(accepted=tuple(self.accepted), refusals=tuple(self.refusals), unknown=tuple(self.unknown),
                        not_sent=tuple(self.not_sent))  # fmt: skip
        self.accepted, self.refusals, self.unknown, self.not_sent = [], [], [], []
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


class Delivery:
    """Sends chunks of a run; rates, breaker and budget last over all of them.

    Args:
        may_send: asked before each request; False means that the lease is nearly over.
    """

    def __init__(
        self, sender: Sender, settings: DeliverySettings, *, clock: Clock, rng: random.Random,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self.stats = Stats()
        self.stopped: RevetlError | None = None
        self.gave_up = ""
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._may_send = may_send
        now = clock.monotonic()
        self._requests = _Bucket(settings.requests_per_second, now)
        self._operations = _Bucket(settings.operations_per_second, now)
        self._breaker = _Breaker()
        self._pause_until = now
        self._last_good = now
        self._width = settings.concurrency

    def stop(self, error: RevetlError) -> None:
        """Send nothing new; what is under way may finish. Safe to call from a signal's handler."""
        self.stopped = self.stopped or error

    def deliver(
        self, operations: Sequence[Operation], refusals: Sequence[Refusal] = (), *, idle_every_s: float,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Settled | Idle]:  # fmt: skip
        """Send the operations in order, and say what became of each.

        Yields only while nothing is under way: outcomes, and `Idle` at least every `idle_every_s` seconds. After
        a stop, operations that were not yet taken are not reported: they were not sent.

        Args:
            refusals: rows of the same chunk that our own checks refused; they count and are passed through.
            progress: told the number of rows that got an outcome, as soon as they do.
        """
        if self.stopped:
            return
        self._last_good = self._clock.monotonic()
        known = _Outcomes()
        known.refusals.extend(refusals)
        self.stats.rows += len(refusals)
        self.stats.refused += len(refusals)
        source = pack(
            operations, max_operations=self._settings.max_batch_operations, max_bytes=self._settings.max_batch_bytes
        )
        waiting: deque[_Request] = deque()
        flying: dict[Future[Reply], _Request] = {}
        idle_at = self._clock.monotonic() + idle_every_s
        exhausted = False
        with ThreadPoolExecutor(max_workers=self._settings.concurrency, thread_name_prefix="revetl") as pool:
            while True:
                now = self._clock.monotonic()
                self._check(now)
                pause = 0.0
                while not self.stopped and len(flying) < self._width and now < idle_at:
                    if not exhausted and not any(r.not_before <= now for r in waiting):
                        batch = next(source, None)
                        exhausted = batch is None
                        if batch is not None:
                            waiting.append(_Request(batch=batch))
                    ready = next((r for r in waiting if r.not_before <= now), None)
                    if ready is None:
                        pause = min((r.not_before - now for r in waiting), default=0.0)
                        break
                    pause = self._hold(ready, now)
                    if pause > 0:
                        break
                    if not self._may_send():
                        self.stop(LeaseLost("the lease is about to end, so nothing more is sent by this run",
                                            hint="run again: the next run sends the rest"))  # fmt: skip
                        break
                    waiting.remove(ready)
                    flying[self._launch(pool, ready)] = ready
                if flying:
                    self._land(flying, waiting, known, progress)
                    continue
                if settled := known.flush():
                    yield settled
                if self.stopped or (exhausted and not waiting):
                    break
                if now >= idle_at:
                    yield Idle()
                    idle_at = self._clock.monotonic() + idle_every_s
                    continue
                self._clock.wait(min(max(pause, 0.001), LONGEST_SLEEP_S, max(idle_at - now, 0.001)))
                self.stats.paused_s += pause and min(pause, LONGEST_SLEEP_S)
        for request in waiting:
            self._leave(request, known)
        if settled := known.flush():
            yield settled

    # --- one request -----------------------------------------------------------------------------------------

    def _hold(self, request: _Request, now: float) -> float:
        """Seconds that this request has to wait yet, by pause, breaker and rates; spends the rates if none."""
        rows = len(request.batch.operations)
        pause = max(
            self._pause_until - now, self._breaker.wait_for(now), self._requests.wait_for(1, now),
            self._operations.wait_for(rows, now),
        )  # fmt: skip
        if pause <= 0:
            self._requests.take(1)
            self._operations.take(rows)
            self._breaker.probing = self._breaker.open_until is not None
        return pause

    def _launch(self, pool: ThreadPoolExecutor, request: _Request) -> Future[Reply]:
        stats = self.stats
        stats.requests += 1
        stats.bytes += len(request.batch.body)
        if request.attempts:
            stats.retries += 1
        else:
            stats.first_attempts += 1
        request.attempts += 1
        return pool.submit(self._sender.send, request.batch.body, deadline_s=self._settings.request_deadline_s)

    def _land(
        self, flying: dict[Future[Reply], _Request], waiting: deque[_Request], known: _Outcomes,
        progress: Callable[[int], None],
    ) -> None:  # fmt: skip
        """Take in replies that are there; after a stop wait no longer than the drain time for them."""
        done, _ = wait(flying, timeout=DRAIN_ON_STOP_S if self.stopped else LONGEST_SLEEP_S, return_when=FIRST_COMPLETED)
        if not done and self.stopped:
            for request in flying.values():
                request.maybe_applied = True
                self._leave(request, known)
            flying.clear()
        for future in done:
            request = flying.pop(future)
            before = self.stats.rows
            self._settle(request, future.result(), waiting, known)
            if self.stats.rows > before:
                progress(self.stats.rows)

    def _settle(self, request: _Request, reply: Reply, waiting: deque[_Request], known: _Outcomes) -> None:
        now = self._clock.monotonic()
        verdict = judge(reply, request.batch)
        if verdict.action is Action.DONE:
            self._done(request, verdict, known, now)
        elif verdict.action is Action.PAUSE:
            self._slow_down(verdict, now)
            request.attempts -= 1  # a wish for patience is not a failed attempt
            self.stats.first_attempts -= 0 if request.attempts else 1
            waiting.appendleft(request)
        elif verdict.action in {Action.STOP_CREDENTIALS, Action.STOP_CONFIG}:
            kind = CredentialsRefused if verdict.action is Action.STOP_CREDENTIALS else ConfigError
            self.stop(kind(f"{verdict.reason}; the run stopped, and no row is blamed",
                           hint="`revetl debug` checks the destination without sending anything"))  # fmt: skip
            self._leave(request, known)
        elif verdict.action is Action.SPLIT:
            self._split(request, verdict, waiting, known, now)
        else:
            self._again(request, verdict, waiting, known, now)

    def _done(self, request: _Request, verdict: Verdict, known: _Outcomes, now: float) -> None:
        operations = request.batch.operations
        known.accepted.extend(_ranges(operations, (r.seq for r in verdict.refusals)))
        known.refusals.extend(verdict.refusals)
        stats = self.stats
        stats.rows += len(operations)
        stats.refused += len(verdict.refusals)
        self._last_good = now
        self._breaker.note(ok=True, now=now)
        for bucket in (self._requests, self._operations):
            bucket.factor = min(1.0, bucket.factor + CREEP)
        self._width = min(self._settings.concurrency, self._width + 1)
        if stats.rows >= REFUSED_ROWS_MIN and stats.refused > self._settings.refused_share * stats.rows:
            self.stop(GuardTripped(
                f"{stats.refused:,} of {stats.rows:,} rows were refused (more than {self._settings.refused_share:.0%}), "
                "so the rest was not sent",
                hint="look at the reasons below, cure the commonest, and run again",
            ))  # fmt: skip

    def _slow_down(self, verdict: Verdict, now: float) -> None:
        asked = verdict.retry_after_s
        pause = asked if asked is not None else self._backoff(1)
        if pause > self._settings.no_progress_s:
            self.stop(DestinationDown(
                f"Customer.io asks to wait {pause:,.0f} s, longer than a run lasts", hint="run again after that"
            ))  # fmt: skip
        self._pause_until = max(self._pause_until, now + pause)
        for bucket in (self._requests, self._operations):
            bucket.factor = max(SLOWEST, bucket.factor / 2)
        self._width = max(1, self._width // 2)

    def _split(
        self, request: _Request, verdict: Verdict, waiting: deque[_Request], known: _Outcomes, now: float
    ) -> None:
        """Halve a request that was refused as a whole; one that was not understood is first repeated once."""
        operations = request.batch.operations
        if verdict.outcome is Outcome.UNKNOWN:
            request.maybe_applied = True
            request.misread += 1
            if request.misread == 1 or len(operations) == 1:
                self._again(request, verdict, waiting, known, now)
                return
        middle = len(operations) // 2
        for half in (operations[middle:], operations[:middle]):
            waiting.appendleft(
                _Request(batch=batch_of(half), maybe_applied=request.maybe_applied, misread=request.misread)
            )

    def _again(
        self, request: _Request, verdict: Verdict, waiting: deque[_Request], known: _Outcomes, now: float
    ) -> None:
        request.maybe_applied = request.maybe_applied or verdict.outcome is Outcome.UNKNOWN
        self._breaker.note(ok=False, now=now)
        stats, settings = self.stats, self._settings
        if stats.retries >= settings.retry_share * stats.first_attempts + settings.retry_floor:
            self.stop(DestinationDown(
                f"too many requests had to be repeated ({stats.retries} of {stats.requests}; last: {verdict.reason})",
                hint="run again later: what was not acknowledged is sent then",
            ))  # fmt: skip
        if self.stopped or stop_after_attempt(settings.attempts)(_attempt(request.attempts)):
            self.gave_up = verdict.reason
            self._leave(request, known)
            return
        pause = self._backoff(request.attempts)
        if verdict.retry_after_s is not None:
            pause = max(pause, min(verdict.retry_after_s, settings.no_progress_s))
        request.not_before = now + pause
        waiting.append(request)

    def _backoff(self, attempt: int) -> float:
        """Full jitter: any time below an exponential curve, so that many clients do not return together."""
        curve = wait_exponential(multiplier=self._settings.backoff_first_s, max=self._settings.backoff_longest_s)
        return self._rng.uniform(0, curve(_attempt(attempt)))

    def _leave(self, request: _Request, known: _Outcomes) -> None:
        """Give a request up: unknown if any attempt may have been applied, else certainly not sent."""
        ranges = _ranges(request.batch.operations)
        (known.unknown if request.maybe_applied else known.not_sent).extend(ranges)

    def _check(self, now: float) -> None:
        if not self.stopped and now - self._last_good > self._settings.no_progress_s:
            self.stop(DestinationDown(
                f"no request was accepted for {self._settings.no_progress_s:,.0f} s",
                hint="run again later: what was not acknowledged is sent then",
            ))  # fmt: skip


def _attempt(number: int) -> RetryCallState:
    """What tenacity's rules look at."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # rules read the number only
    state.attempt_number = number
    return state
