"""What revetl needs of a destination: a batch goes out, a reply comes back, each row gets a verdict.

The values here are the seam between the pure parts (encode, pack, judge in `customerio.py`; the window in
`delivery.py`) and the one effect (`Sender.send`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol


class Outcome(StrEnum):
    """What is known about one planned row after its request. Only ACCEPTED ever reaches the state."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # the destination (or our own check before sending) named this row as invalid
    UNKNOWN = "unknown"  # bytes went out and no answer that can be understood came back
    NOT_SENT = "not_sent"  # certainly not applied: never written to a socket, or answered 401/403/429


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where operations of one kind go, and how they become a request's body.

    Attributes:
        path: of the address, with its query.
        head, tail: around the operations, which commas separate.
        most: operations of one request; 0 where only the settings bound them.
        by_row: whether an answer may name single rows; else it is about the whole request.
    """

    path: str
    head: bytes
    tail: bytes
    most: int = 0
    by_row: bool = True


BATCH = Route(path="/api/v2/batch", head=b'{"batch":[', tail=b"]}")


class Operation(NamedTuple):
    """One encoded operation of a batch (a tuple, since a run makes one for every row).

    Attributes:
        seq: its number in the frozen plan.
        body: the exact UTF-8 bytes of its JSON object.
    """

    seq: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why one row was not accepted. Never holds a value of the row.

    Attributes:
        seq: its number in the plan.
        reason: a stable word: `invalid`, `required`, `too_long`, `not_finite`, `pattern`, ...
        rule: the key of the contract that the row breaks; empty for a limit of Customer.io and for its own answer.
        field: the attribute or property, `items.sku` for one inside another, or an empty string.
        message: one sentence for a person.
        outline: what the value looks like (`outline.py`), where our own check refused.
        status: HTTP status of the answer, 0 where our own check refused before sending.
        fails: the contract says that such a row stops the sync.
        unsure: an earlier attempt of the same run had no answer, so the row may have arrived all the same.
    """

    seq: int
    reason: str
    rule: str = ""
    field: str = ""
    message: str = ""
    outline: str = ""
    status: int = 0
    fails: bool = False
    unsure: bool = False


class Warned(NamedTuple):
    """A row that breaks a rule and is sent all the same (`on_violation: warn`); as a `Refusal`."""

    seq: int
    reason: str
    rule: str
    field: str
    message: str
    outline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One HTTP request's worth of operations, in plan order.

    Attributes:
        operations: one or more.
        body: the whole request body; built once, so that a retry sends the same bytes.
        route: where it goes.
    """

    operations: tuple[Operation, ...]
    body: bytes
    route: Route = BATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back for one request, or the fact that nothing did.

    Attributes:
        status: HTTP status; 0 when no complete status line was read.
        body: at most 1 MB of it.
        complete: whether the body ended as announced (length or chunks), within the cap and the deadline.
        retry_after_s: parsed `Retry-After` in seconds, if the answer had one.
        location: the `Location` header of a redirect (only its host is ever shown).
        sent: whether any byte of the request may have reached the server.
        error: the name of the network error's class, without any text of it.
        seconds: from the first byte out to the end of the reply, by a monotonic clock.
    """

    status: int
    body: bytes = b""
    complete: bool = True
    retry_after_s: float | None = None
    location: str = ""
    sent: bool = True
    error: str = ""
    seconds: float = 0.0


class Action(StrEnum):
    """What the delivery does with the request as a whole after its verdict."""

    DONE = "done"  # every row has its outcome
    SPLIT = "split"  # halve and send again; a batch of one is refused
    RETRY = "retry"  # outcome unknown or not applied: the same bytes again, within the budget
    PAUSE = "pause"  # 429: nothing goes out for a while; not an attempt
    STOP_CREDENTIALS = "stop_credentials"
    STOP_CONFIG = "stop_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The meaning of one reply (table in `docs/replies.md`).

    Attributes:
        action: what to do with the request.
        outcome: of the rows that are not refused: ACCEPTED after DONE, otherwise UNKNOWN or NOT_SENT.
        refusals: rows that the destination named, at most one a row (reasons joined).
        retry_after_s: for PAUSE and RETRY, what the server asked for.
        reason: for stops and splits, one sentence for a person, without values.
    """

    action: Action
    outcome: Outcome
    refusals: tuple[Refusal, ...] = field(default=())
    retry_after_s: float | None = None
    reason: str = ""


class Sender(Protocol):
    """The effect: one request out, one reply back. Thread-safe; never raises for network trouble."""

    def send(self, body: bytes, *, deadline_s: float, path: str = BATCH.path) -> Reply:
        """Post one batch body to its path; the whole exchange takes at most `deadline_s` seconds by our own clock."""

    def close(self) -> None:
        """Close the connections."""
