"""A small model of the commit protocol, and a search through everything that can happen in it.

`docs/protocol.md` has the argument; this is its check. It is not the code of revetl: it has the same steps, the
same durable facts and the same assumptions, with one or two people, one event, two processes and a few runs.
`search` visits every state that any order of events can reach: a kill before any step, a lease that ends at any
moment, a request that is applied at any later time or never, an answer that never comes, a statement that fails,
a signal. In each state it asks whether a promise is broken; where all processes rest and nothing is under way, it
makes one run without faults and asks whether Customer.io then equals the source.

A `Variant` says what is in the small world, and which parts of the protocol are left out. As built is
`Variant()`; leaving one part out must break a promise, which shows that the search can see (`WEAKENED`).

What stands for what:

- A run works off its streams as `revetl/engine.py` does: people's upserts, events, people's deletes. Each row
  of a plan is a chunk of its own, so the intent mark rises row by row.
- One `Stream` is `ctl__`, `plan__`, `ack__`, `open__` and `state__` of a stream. A step of a run is one statement or one
  transaction of `revetl/state.py`; statements with nothing durable between them are one step.
- Time is only order. A lease may end at any moment. `drain_until` is the set of requests under way that it waits for:
  by assumption A2 these are applied or lost when it is over. `day` counts spans of more than 20 hours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

T = TypeVar("T")

PEOPLE, EVENTS = 0, 1
NOBODY = -1
GONE = 0  # as a value: the person does not exist; in a plan: delete it
GHOST = 9  # as a value: a person that an event made after the deletion

# outcomes of a plan's row, in the order of the plan
NONE, ACCEPTED, REFUSED, NOT_SENT = ".", "A", "R", "N"


class Row(NamedTuple):
    """One row of a plan: person number `key` gets `value`, or (stream EVENTS) the event of person `key`."""

    key: int
    value: int


class Plan(NamedTuple):
    """What the warehouse has of a run that began to send: `plan__`, `hwm` and the run's rows in `ack__`."""

    fence: int
    rows: tuple[Row, ...]
    hwm: int
    outcomes: str
    intent_day: int


class Open(NamedTuple):
    """A row of `open__`; `value` is the one that was refused."""

    unknown: bool
    value: int
    first_day: int


class Stream(NamedTuple):
    """The durable facts of a stream.

    Attributes:
        fence: of the last run that took the lease.
        owner: the process with the lease, or NOBODY.
        ended: the lease's time is over.
        plan: not folded yet.
        state: the acknowledged value of each person (GONE: none), or 1 for an event in the ledger.
        open: by key.
    """

    fence: int
    owner: int
    ended: bool
    plan: Plan | None
    state: tuple[int, ...]
    open: tuple[Open | None, ...]


class Request(NamedTuple):
    """A request under way. `awaited`: its stream's `drain_until` lasts until it is applied or lost."""

    stream: int
    fence: int
    process: int
    attempt: int
    row: Row
    awaited: bool


class Person(NamedTuple):
    """A person in Customer.io: the value, the `timestamp` it came with, and every value it ever had (bits)."""

    value: int
    stamp: int
    ever: int


class Workspace(NamedTuple):
    """Customer.io: people, how often the event was counted, and the event ids it remembers with the day."""

    people: tuple[Person, ...]
    effects: int
    ids: tuple[tuple[int, int], ...]
    orphan: bool


class Job(NamedTuple):
    """A run's own memory of one stream.

    Attributes:
        upserts: how many of the rows go before the deletes.
        hwm: rows up to here may be sent.
        outcomes: since the plan was frozen; `?` for an unknown one.
        doubt: some request had no answer, or had none at first.
        gave_up: some row stays without an answer.
    """

    fence: int
    rows: tuple[Row, ...] = ()
    upserts: int = 0
    hwm: int = 0
    outcomes: str = ""
    doubt: bool = False
    gave_up: bool = False


class Process(NamedTuple):
    """A process: where it stands, and the jobs it holds.

    Attributes:
        at: the next step: rest, enter, settle, plan, intend, send, wait, checkpoint, fold.
        stage: 0 people's upserts, 1 events, 2 people's deletes.
        attempt: of the request that it waits for.
        fresh: no request since the last intent.
    """

    at: str
    stage: int
    attempt: int
    fresh: bool
    people: Job | None
    events: Job | None


REST = Process("rest", 0, 0, False, None, None)  # noqa: FBT003 a named tuple


class World(NamedTuple):
    """Everything. `moment` is the position in the source's history."""

    moment: int
    streams: tuple[Stream, Stream]
    under_way: frozenset[Request]
    workspace: Workspace
    processes: tuple[Process, ...]
    faults: int
    day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A small world, and what of the protocol is left out.

    Attributes:
        history: the values that the source has of every person, one after the other; GONE for none.
        synced: everything is delivered already at the beginning.
        people, events, processes, runs: how many; `runs` counts for each stream.
        faults: kills, signals and failing statements in all.
        statements_fail: they count among the faults.
        signals: they count among the faults.
        retries: of a request within a run.
        refused: values that Customer.io refuses.
        days: spans of more than 20 hours that may pass; it may forget an id in the second of them.
        timestamps: identify carries the run's number, and Customer.io keeps the higher one.
        intent: what will be sent is recorded before.
        record_first: the state moves before the request.
        ids_by_key: an event's id depends on its key alone; else on the run as well.
        fenced: a run that lost its lease writes nothing.
        lease_check: no request is sent after the lease.
        clock_first: the lease is counted from before the statement that renews it.
        drain: after a run that died.
        drain_after_unknown: after a run that left a row without an answer.
        drain_after_retry: after a run in which an accepted request had no answer at first.
        drain_after_failure: after a run that ended by a failing statement.
        keep_unknown: settling puts rows without outcome into `open`.
        doubt_survives_refusal: a refusal does not cover that an earlier request had no answer.
        not_sent_is_not_sent: else it counts as accepted.
        deletes_after_events: people are deleted only by a run that could send their events before.
        wait_for_person: events go only to people in the state without an unknown outcome.
        hold: events whose unknown outcome is old are held.
        held_since_sent: counted from the intent; else from when a later run settles it.
    """

    history: tuple[int, ...] = (1, 2, 1)
    synced: bool = False
    people: int = 1
    events: int = 1
    processes: int = 2
    runs: int = 2
    faults: int = 1
    statements_fail: bool = False
    signals: bool = False
    retries: int = 0
    refused: tuple[int, ...] = ()
    days: int = 0
    timestamps: bool = False
    intent: bool = True
    record_first: bool = False
    ids_by_key: bool = True
    fenced: bool = True
    lease_check: bool = True
    clock_first: bool = True
    drain: bool = True
    drain_after_unknown: bool = True
    drain_after_retry: bool = True
    drain_after_failure: bool = True
    keep_unknown: bool = True
    doubt_survives_refusal: bool = True
    not_sent_is_not_sent: bool = True
    deletes_after_events: bool = True
    wait_for_person: bool = True
    hold: bool = True
    held_since_sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found.

    Attributes:
        broken: the promise that can be broken; empty if none can.
        states: that were visited.
        exhausted: whether these are all.
        trace: how it comes to that, one step a line.
    """

    broken: str
    states: int
    exhausted: bool = True
    trace: tuple[str, ...] = ()


def search(variant: Variant, *, trace: bool = False, limit: int | None = None) -> Found:
    """Visit every state, nearest first, until a promise is broken, all are visited, or `limit` are.

    Without `trace` only 64-bit hashes of the states are kept: among ten million states, the chance that two
    share one is below one in 300,000.
    """
    first = beginning(variant)
    came: dict[World, tuple[str, World] | None] = {first: None}
    hashes = {hash(first)}
    todo = deque([first])
    states = 0
    while todo:
        world = todo.popleft()
        states += 1
        if broken := broken_promise(world, variant):
            return Found(broken=broken, states=states, trace=_way(came, world) if trace else ())
        if limit is not None and states >= limit:
            return Found(broken="", states=states, exhausted=False)
        for label, after in steps(world, variant):
            if trace:
                if after not in came:
                    came[after] = (label, world)
                    todo.append(after)
            elif (mark := hash(after)) not in hashes:
                hashes.add(mark)
                todo.append(after)
    return Found(broken="", states=states)


def _way(came: dict[World, tuple[str, World] | None], world: World) -> tuple[str, ...]:
    lines: list[str] = []
    while step := came[world]:
        lines.append(step[0])
        world = step[1]
    return tuple(reversed(lines))


def beginning(v: Variant) -> World:
    """Nothing runs; Customer.io is empty, or has what the source has."""
    value = v.history[0] if v.synced else GONE
    people = Stream(0, NOBODY, False, None, (value,) * v.people, (None,) * v.people)  # noqa: FBT003
    events = Stream(0, NOBODY, False, None, (int(v.synced),) * v.events, (None,) * v.events)  # noqa: FBT003
    person = Person(value, 0, 1 << value if value else 0)
    workspace = Workspace((person,) * v.people, int(v.synced and v.events), ((0, 0),) if v.synced and v.events else (), False)  # noqa: FBT003
    return World(0, (people, events), frozenset(), workspace, (REST,) * v.processes, 0, 0)


# --- Customer.io -----------------------------------------------------------------------------------------------------


def applied(workspace: Workspace, request: Request, v: Variant, day: int) -> Workspace:
    """What Customer.io holds after a request; the same for one that is delivered late."""
    row = request.row
    person = workspace.people[row.key]
    if request.stream == EVENTS:
        known = 0 if v.ids_by_key else request.fence
        if any(known == one for one, _ in workspace.ids):
            return workspace
        people, orphan = workspace.people, workspace.orphan
        if person.value == GONE:
            orphan = orphan or not person.ever
            people = _put(people, row.key, Person(GHOST, 0, person.ever))
        return Workspace(people, workspace.effects + 1, tuple(sorted((*workspace.ids, (known, day)))), orphan)
    if row.value in v.refused:
        return workspace
    stamp = request.fence if v.timestamps else 0
    if row.value == GONE:
        after = Person(GONE, 0, person.ever)  # a deletion has no time, and forgets those of the person
    elif stamp >= person.stamp or not v.timestamps:
        after = Person(row.value, stamp, person.ever | 1 << row.value)
    else:
        after = Person(person.value, person.stamp, person.ever | 1 << row.value)
    return workspace._replace(people=_put(workspace.people, row.key, after))


# --- the warehouse -----------------------------------------------------------------------------------------------------


def folded(stream: Stream, plan: Plan, v: Variant, day: int) -> Stream:
    """Acknowledged rows of a plan go into the state, the others that may have been sent into `open`."""
    state, opened = list(stream.state), list(stream.open)
    for row, outcome in zip(plan.rows[: plan.hwm], plan.outcomes, strict=False):
        before = opened[row.key]
        first = before.first_day if before else (plan.intent_day if v.held_since_sent else day)
        if outcome == ACCEPTED:
            state[row.key], opened[row.key] = row.value, None
        elif outcome == REFUSED:
            doubt = v.doubt_survives_refusal and before is not None and before.unknown
            opened[row.key] = Open(doubt, row.value, first)
        elif outcome == NONE and v.keep_unknown and v.intent:
            opened[row.key] = Open(True, 0, first)  # noqa: FBT003
    return stream._replace(state=tuple(state), open=tuple(opened))


def planned(world: World, which: int, v: Variant) -> tuple[tuple[Row, ...], int]:
    """The frozen plan: upserts before deletes, or the events that may go; and how many of them are no deletes."""
    source = v.history[world.moment]
    people, stream = world.streams[PEOPLE], world.streams[which]
    rows: list[Row] = []
    if which == EVENTS:
        for key, (sent, left) in enumerate(zip(stream.state, stream.open, strict=True)):
            held = v.hold and left is not None and left.unknown and left.first_day < world.day
            doubt = people.open[key]
            ready = people.state[key] != GONE and not (doubt and doubt.unknown)
            if not sent and not held and (ready or not v.wait_for_person):
                rows.append(Row(key, 1))
        return tuple(rows), len(rows)
    deletes = 0
    for key, (known, left) in enumerate(zip(stream.state, stream.open, strict=True)):
        unknown = left is not None and left.unknown
        if source == GONE:
            if known != GONE or unknown:
                rows.append(Row(key, GONE))
                deletes += 1
        elif unknown or (known != source and not (left is not None and left.value == source)):
            rows.append(Row(key, source))
    return tuple(rows), len(rows) - deletes


# --- what can happen ---------------------------------------------------------------------------------------------------


def steps(world: World, v: Variant) -> Iterator[tuple[str, World]]:
    """Every next state, each with what happened, in words."""
    yield from _around(world, v)
    for request in sorted(world.under_way):
        yield from _arrivals(world, request, v)
    for number, process in enumerate(world.processes):
        yield from _process(world, number, process, v)
        if process.at != "rest" and world.faults < v.faults:
            after = world._replace(faults=world.faults + 1)
            yield f"process {number} is killed (before: {process.at})", _stands(after, number, REST)


def _around(world: World, v: Variant) -> Iterator[tuple[str, World]]:
    if world.moment + 1 < len(v.history):
        now = v.history[world.moment + 1]
        yield f"the source says {_said(now)}", world._replace(moment=world.moment + 1)
    for which, stream in enumerate(world.streams):
        if stream.owner != NOBODY and not stream.ended:
            yield f"the lease on {_name(which)} ends", _put_stream(world, which, stream._replace(ended=True))
    if world.day < v.days and not world.under_way and all(p.at == "rest" for p in world.processes):
        yield "more than 20 hours pass", world._replace(day=world.day + 1)
    for one in world.workspace.ids:
        if world.day - one[1] > 1:
            ids = tuple(other for other in world.workspace.ids if other != one)
            yield "Customer.io forgets an event's id", world._replace(workspace=world.workspace._replace(ids=ids))


def _arrivals(world: World, request: Request, v: Variant) -> Iterator[tuple[str, World]]:
    what = f"{_what(request.stream, request.row)} (run {request.fence})"
    lost = world._replace(under_way=world.under_way - {request})
    done = lost._replace(workspace=applied(world.workspace, request, v, world.day))
    yield f"the request for {what} is lost", lost
    yield f"Customer.io applies {what}; nobody learns of it", done
    process = world.processes[request.process]
    if process.at != "wait" or process.attempt != request.attempt:
        return
    job = _job(process)
    if job.fence == request.fence and _current(process) == request.stream and job.rows[len(job.outcomes)] == request.row:
        refused = request.stream == PEOPLE and request.row.value in v.refused
        word = "refuses" if refused else "accepts"
        doubt = job.doubt or (v.drain_after_retry and process.attempt > 1)
        yield (
            f"Customer.io {word} {what}; process {request.process} has the answer",
            _stands(done, request.process, _decided(process, job._replace(doubt=doubt), REFUSED if refused else ACCEPTED)),
        )


def _process(world: World, number: int, process: Process, v: Variant) -> Iterator[tuple[str, World]]:  # noqa: C901 one case a step
    if process.at == "rest":
        yield from _enter(world, number, Process("enter", 0, 0, False, None, None), v)  # noqa: FBT003
        return
    if process.at == "enter":
        yield from _enter(world, number, process, v)
        return
    which = _current(process)
    stream, job = world.streams[which], _job(process)
    who = f"process {number} (run {job.fence} of {_name(which)})"
    mine = stream.owner == number and stream.fence == job.fence
    if process.at == "settle":
        if mine and stream.plan is not None:
            after = folded(stream, stream.plan, v, world.day)._replace(plan=None, ended=False)
            yield f"{who} settles run {stream.plan.fence}", _put_stream(
                _stands(world, number, process._replace(at="plan")), which, after)  # fmt: skip
        else:
            yield f"{who} has lost its lease, and stops", _stands(world, number, REST)
    elif process.at == "plan":
        rows, upserts = planned(world, which, v)
        job = job._replace(rows=rows, upserts=upserts)
        yield f"{who} freezes its plan: {', '.join(_what(which, r) for r in rows) or 'nothing'}", _onward(
            _stands(world, number, _with(process, job)), number, v)  # fmt: skip
    elif process.at == "intend":
        if v.drain and job.hwm == 0 and any(r.awaited and r.stream == which for r in world.under_way):
            return  # the drain wait
        if not mine:
            yield f"{who} has lost its lease, and stops", _stands(world, number, REST)
            return
        after = _write(stream, number, job._replace(hwm=job.hwm + 1), v, world.day)
        if v.record_first:
            rows = job.rows[job.hwm : job.hwm + 1]
            after = folded(after, Plan(job.fence, rows, 1, ACCEPTED, 0), v, world.day)
        going = _with(process, job._replace(hwm=job.hwm + 1))._replace(at="send", attempt=0, fresh=True)
        yield f"{who} records that row {job.hwm + 1} may be sent", _put_stream(_stands(world, number, going), which, after)
    elif process.at == "send":
        yield from _send(world, number, process, v, who)
    elif process.at == "wait":
        row = _what(which, job.rows[len(job.outcomes)])
        if process.attempt <= v.retries:
            yield f"{who} has no answer for {row}, and tries again", _stands(world, number, process._replace(at="send"))
        else:
            unanswered = job._replace(doubt=job.doubt or v.drain_after_unknown, gave_up=True)
            yield f"{who} gives up waiting for {row}", _stands(world, number, _decided(process, unanswered, "?"))
    elif process.at == "checkpoint":
        yield from _checkpoint(world, number, process, v, who)
    elif process.at == "fold":
        if mine or not v.fenced:
            yield f"{who} folds", _folds(world, number, process, v)
        else:
            yield f"{who} has lost its lease, and stops", _stands(world, number, REST)


def _enter(world: World, number: int, process: Process, v: Variant) -> Iterator[tuple[str, World]]:
    """Take the lease of the next stream."""
    which = _current(process)
    stream = world.streams[which]
    if stream.fence >= v.runs and process.at == "enter" and process.stage == 0:
        return
    if (stream.owner != NOBODY and not stream.ended) or stream.fence >= v.runs:
        if process.stage == 1:  # another run sends the events
            if process.people and not v.deletes_after_events:
                after = _stands(world, number, process._replace(stage=2, at="intend"))
            else:
                after = _release_all(world, number, process)
            yield f"process {number} leaves the events to another run", after
        return
    if stream.owner != NOBODY and v.drain:
        world = _await(world, which)
    fence = stream.fence + 1
    taken = stream._replace(fence=fence, owner=number, ended=False)
    at = "settle" if stream.plan is not None else "plan"
    going = _with(process, Job(fence))._replace(at=at)
    yield f"process {number} takes the lease on {_name(which)}: run {fence}", _put_stream(
        _stands(world, number, going), which, taken)  # fmt: skip


def _send(world: World, number: int, process: Process, v: Variant, who: str) -> Iterator[tuple[str, World]]:
    which = _current(process)
    stream, job = world.streams[which], _job(process)
    row = job.rows[len(job.outcomes)]
    valid = stream.owner == number and stream.fence == job.fence and not stream.ended
    asleep = not v.clock_first and process.fresh  # it slept in the statement, and then counted the lease from now
    if v.signals and process.attempt == 0 and world.faults < v.faults:
        after = world._replace(faults=world.faults + 1)
        yield f"{who} gets a signal before it sends {_what(which, row)}", _stands(after, number, _unsent(process, job))
    if v.lease_check and not valid and not asleep:
        stops = _unsent(process, job) if process.attempt == 0 else _decided(
            process, job._replace(doubt=job.doubt or v.drain_after_unknown, gave_up=True), "?")  # fmt: skip
        yield f"{who} sees that its lease ends, and sends no more", _stands(world, number, stops)
        return
    request = Request(which, job.fence, number, process.attempt + 1, row, False)  # noqa: FBT003
    going = process._replace(at="wait", attempt=process.attempt + 1, fresh=False)
    yield f"{who} sends {_what(which, row)}", _stands(world._replace(under_way=world.under_way | {request}), number, going)


def _checkpoint(world: World, number: int, process: Process, v: Variant, who: str) -> Iterator[tuple[str, World]]:
    """Outcomes, and with them the intent of the next row, in one transaction."""
    which = _current(process)
    stream, job = world.streams[which], _job(process)
    last = len(job.outcomes) >= _goal(process)
    if (stream.owner != number or stream.fence != job.fence) and v.fenced:
        yield f"{who} has lost its lease, and stops", _stands(world, number, REST)
        return
    hwm = job.hwm if last else job.hwm + 1
    after = _write(stream, number, job._replace(hwm=hwm), v, world.day)
    done = _await(world, which) if job.doubt and v.drain else world
    going = _with(process, job._replace(hwm=hwm))._replace(at="fold" if last else "send", attempt=0, fresh=True)
    yield f"{who} writes what it knows" + ("" if last else f", and that row {hwm} may be sent"), _put_stream(
        _stands(done, number, going), which, after)  # fmt: skip
    if v.statements_fail and world.faults < v.faults:
        for wrote, word in ((stream, "without effect"), (after, "after its effect")):
            failed = _await(world, which) if v.drain_after_failure and v.drain else world
            failed = _put_stream(failed._replace(faults=world.faults + 1), which, wrote)
            yield f"{who}: writing fails {word}; it releases the lease", _release_all(failed, number, process)


def _write(stream: Stream, number: int, job: Job, v: Variant, day: int) -> Stream:
    """The control row and `ack__` as the run knows them."""
    if stream.owner != number or stream.fence != job.fence:
        return stream  # only where nothing is fenced: its outcomes stand in no plan that anybody settles
    stream = stream._replace(ended=False)  # each of these writes renews the lease
    outcomes = "".join(NONE if one == "?" else one for one in job.outcomes)
    if not v.not_sent_is_not_sent:
        outcomes = outcomes.replace(NOT_SENT, ACCEPTED)
    if not v.intent and not outcomes:
        return stream
    born = stream.plan.intent_day if stream.plan and stream.plan.fence == job.fence else day
    return stream._replace(plan=Plan(job.fence, job.rows, job.hwm, outcomes.ljust(len(job.rows), NONE), born))


def _folds(world: World, number: int, process: Process, v: Variant) -> World:
    """One transaction; then the plan is dropped and the lease released, unless deletes are still to come."""
    which = _current(process)
    stream, job = world.streams[which], _job(process)
    mine = stream.owner == number and stream.fence == job.fence
    plan = stream.plan if mine and stream.plan else Plan(job.fence, job.rows, job.hwm, job.outcomes, world.day)
    after = stream if v.record_first else folded(stream, plan, v, world.day)
    deletes_left = len(job.outcomes) < len(job.rows) and not job.gave_up and NOT_SENT not in job.outcomes
    if process.stage == 0 and deletes_left:
        return _onward(_put_stream(world, which, after), number, v)
    world = _put_stream(world, which, after._replace(owner=NOBODY, ended=False, plan=None) if mine else after)
    if job.gave_up or NOT_SENT in job.outcomes:
        return _release_all(world, number, process)
    return _onward(world, number, v)


def _onward(world: World, number: int, v: Variant) -> World:
    """Where a run goes when it has a plan, or is done with a stage."""
    process = world.processes[number]
    job = _job(process)
    if process.at == "plan" and len(job.outcomes) < (job.upserts if process.stage == 0 else len(job.rows)):
        return _stands(world, number, process._replace(at="intend", attempt=0))
    if process.at == "plan" and len(job.rows) == 0:
        world = _release(world, number, _current(process), job)
    if process.stage == 0:
        people = job if len(job.rows) > job.upserts else None
        if v.events:
            return _stands(world, number, Process("enter", 1, 0, False, people, None))  # noqa: FBT003
        return _stands(world, number, Process("intend", 2, 0, False, people, None) if people else REST)  # noqa: FBT003
    if process.stage == 1 and process.people:
        return _stands(world, number, Process("intend", 2, 0, False, process.people, None))  # noqa: FBT003
    return _stands(world, number, REST)


def _release(world: World, number: int, which: int, job: Job) -> World:
    stream = world.streams[which]
    if stream.owner == number and stream.fence == job.fence:
        return _put_stream(world, which, stream._replace(owner=NOBODY, ended=False))
    return world


def _release_all(world: World, number: int, process: Process) -> World:
    """The run ends before its time; a plan that is folded as far as it went is closed."""
    for which, job in ((PEOPLE, process.people), (EVENTS, process.events)):
        if job is None:
            continue
        stream = world.streams[which]
        if stream.owner == number and stream.fence == job.fence:
            closed = which == PEOPLE and process.stage == 1
            stream = stream._replace(owner=NOBODY, ended=False, plan=None if closed else stream.plan)
            world = _put_stream(world, which, stream)
    return _stands(world, number, REST)


def _await(world: World, which: int) -> World:
    """Set `drain_until`: nothing of the stream that is under way now will be applied after it."""
    return world._replace(
        under_way=frozenset(r._replace(awaited=True) if r.stream == which else r for r in world.under_way)
    )


def _goal(process: Process) -> int:
    job = _job(process)
    return job.upserts if process.stage == 0 else len(job.rows)


def _decided(process: Process, job: Job, outcome: str) -> Process:
    return _with(process, job._replace(outcomes=job.outcomes + outcome))._replace(at="checkpoint", attempt=0, fresh=False)


def _unsent(process: Process, job: Job) -> Process:
    missing = _goal(process) - len(job.outcomes)
    return _decided(process, job, NOT_SENT * missing)


def _current(process: Process) -> int:
    return EVENTS if process.stage == 1 else PEOPLE


def _job(process: Process) -> Job:
    job = process.events if process.stage == 1 else process.people
    assert job is not None  # only asked where a job is held
    return job


def _with(process: Process, job: Job) -> Process:
    return process._replace(events=job) if process.stage == 1 else process._replace(people=job)


def _stands(world: World, number: int, process: Process) -> World:
    return world._replace(processes=_put(world.processes, number, process))


def _put_stream(world: World, which: int, stream: Stream) -> World:
    people, events = world.streams
    return world._replace(streams=(stream, events) if which == PEOPLE else (people, stream))


def _put(items: tuple[T, ...], at: int, item: T) -> tuple[T, ...]:
    return (*items[:at], item, *items[at + 1 :])


def _name(which: int) -> str:
    return "people" if which == PEOPLE else "events"


def _said(value: int) -> str:
    return "that the people are gone" if value == GONE else f"{value}"


def _what(which: int, row: Row) -> str:
    person = "PQ"[row.key]
    if which == EVENTS:
        return f"the event of {person}"
    return f"the deletion of {person}" if row.value == GONE else f"{person} = {row.value}"


# --- the promises ------------------------------------------------------------------------------------------------------


def broken_promise(world: World, v: Variant) -> str:
    """Which promise is broken in this state, in words; an empty string if none is."""
    workspace = world.workspace
    if workspace.effects > v.events:
        return "an event has two effects"
    if workspace.orphan:
        return "an event came before its person"
    if any(world.streams[EVENTS].state) and not workspace.effects:
        return "the ledger claims an event that Customer.io does not have"
    for known, person in zip(world.streams[PEOPLE].state, workspace.people, strict=True):
        if known != GONE and not person.ever >> known & 1:
            return "the state claims a value that Customer.io never had"
    if world.under_way or any(process.at != "rest" for process in world.processes):
        return ""
    return _after_a_clean_run(world, v)


def _after_a_clean_run(world: World, v: Variant) -> str:
    """Nothing is under way and nobody works: one run without faults must bring everything into order."""
    source = v.history[world.moment]
    held = False
    for which, deletes in ((PEOPLE, False), (EVENTS, False), (PEOPLE, True)):
        stream = world.streams[which]
        if stream.plan is not None:
            world = _put_stream(world, which, folded(stream, stream.plan, v, world.day)._replace(plan=None))
        rows, upserts = planned(world, which, v)
        left = world.streams[which].open
        if which == EVENTS:
            held = v.hold and any(one is not None and one.unknown and one.first_day < world.day for one in left)
        rows = rows[upserts:] if deletes else rows[:upserts]
        workspace = world.workspace
        for row in rows:
            workspace = applied(workspace, Request(which, v.runs + 1, 0, 1, row, False), v, world.day)  # noqa: FBT003
        stream = world.streams[which]
        outcomes = "".join(REFUSED if which == PEOPLE and r.value in v.refused else ACCEPTED for r in rows)
        stream = folded(stream, Plan(v.runs + 1, rows, len(rows), outcomes, world.day), v, world.day)
        world = _put_stream(world, which, stream)._replace(workspace=workspace)
    if world.workspace.effects > v.events:
        return "an event has two effects after a clean run"
    if source in v.refused:
        return ""
    if any(person.value == GHOST for person in world.workspace.people):
        return "an event made a person again who was deleted, and a clean run does not see it"
    if any(person.value != source for person in world.workspace.people):
        return "an update is lost: a clean run does not repair it"
    if v.events and source != GONE and not world.workspace.effects and not held:
        return "an event is lost"
    return ""


# --- what is searched --------------------------------------------------------------------------------------------------

_ONE = Variant(processes=1)
_PEOPLE = Variant(events=0)
_MUCH = Variant(runs=3, faults=2, statements_fail=True, signals=True, retries=1)

HOLDS: dict[str, Variant] = {
    "people and an event, two processes": Variant(),
    "the same, where signals come, statements fail and requests are repeated": replace(_MUCH, runs=2, processes=1),
    "two chunks": replace(_PEOPLE, people=2),
    "the person is deleted and returns": Variant(history=(1, GONE, 1)),
    "values that Customer.io refuses": replace(_ONE, history=(1, 2, 3, 1), refused=(3,), synced=True, runs=3),
    "days pass, and Customer.io forgets ids": replace(_ONE, history=(1,), days=2, runs=3),
    "no drain wait and no look at the lease; identify carries its time": replace(
        _PEOPLE, timestamps=True, drain=False, lease_check=False),
}  # fmt: skip
"""The protocol in small worlds: nothing can be broken; all states in seconds."""

LARGE: dict[str, Variant] = {
    "people and an event, three runs, two faults of any kind": _MUCH,
    "two chunks, three runs, two faults of any kind": replace(_MUCH, people=2, events=0),
    "a deletion, three runs, two faults of any kind": replace(_MUCH, history=(1, GONE, 1)),
}
"""The protocol in larger worlds: all states take minutes (`make soak`)."""

WEAKENED: dict[str, Variant] = {
    "the state moves before the request": replace(_ONE, history=(1,), record_first=True, intent=False),
    "event ids are random": replace(_ONE, history=(1,), ids_by_key=False, intent=False),
    "no record of the intent": replace(_ONE, intent=False),
    "no drain wait, one process": replace(_ONE, drain=False, events=0),
    "no drain wait, two processes": replace(_PEOPLE, drain=False),
    "a run without its lease may write, the last one wins": replace(_PEOPLE, fenced=False, runs=3),
    "old unknown events are sent again": replace(_ONE, history=(1,), days=2, hold=False),
    "no drain wait, identify carries its time, and deletes": replace(
        _ONE, history=(1, GONE, 1), drain=False, timestamps=True, events=0),
    "drain wait only after a run that died": replace(_PEOPLE, drain_after_unknown=False),
    "no drain wait after an answer at the second attempt": replace(
        _PEOPLE, history=(1, 2), retries=1, drain_after_retry=False),
    "no drain wait after a run whose statement failed": replace(
        _ONE, history=(1, 2), events=0, statements_fail=True, drain_after_failure=False),
    "rows without an outcome are dropped when a run is settled": replace(_ONE, events=0, keep_unknown=False),
    "rows that were not sent count as accepted": replace(
        _ONE, history=(1,), events=0, signals=True, not_sent_is_not_sent=False),
    "a refusal covers an unknown outcome": replace(
        _ONE, history=(1, 2, 3, 1), events=0, refused=(3,), synced=True, doubt_survives_refusal=False),
    "events do not wait for their person": replace(_ONE, history=(1,), refused=(1,), wait_for_person=False),
    "the age of an unknown event counts from its settling": replace(
        _ONE, history=(1,), days=2, held_since_sent=False),
    "the lease is counted from after the statement that renews it": replace(
        _PEOPLE, history=(1, 2), clock_first=False),
    "people are deleted while another run sends their events": replace(
        Variant(), history=(1, GONE, 1), deletes_after_events=False),
}  # fmt: skip
"""The protocol without one of its parts: each breaks a promise. The first eight are those of the study."""
