"""The real engine in a world where time, luck, answers and deaths are made up, so that every run of it can be repeated.

Real: `revetl/engine.py` and all below it, a DuckDB file, and the sandbox's semantics of Customer.io. Made up: the clock (also the
warehouse's, by moving the times that it wrote), the jitter, the transport between the two, and what happens when. A `Sim` is
told step by step what happens; after each step it asks whether an invariant is broken, and `settle` makes one run without
faults and compares Customer.io with the source.

The invariants are numbered as in the design. Not here, because other tests own them: I6 (tests/crash), I8 and I9
(tests/values), I12 (tests/suites/test_forget.py).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl.contracts import Guards, Limit, WhenMissing
from revetl.destination import Reply
from revetl.engine import RunResult
from revetl.errors import ExitCode
from revetl.ids import event_id
from revetl.sandbox import Sandbox
from revetl.sandbox.store import Rules, Store
from revetl.sandbox.validate import decode, encode
from tests.suites.world import FAST, SCHEMA, World, duckdb_world, orders_sync, people_sync

HOUR = 3600.0
REMEMBERED_S = 25 * HOUR  # A1: an event's id, and no longer
LATEST_S = 59.0  # A2: a request that is applied at all
PEOPLE, ORDERS = "people01", "orders01"
STATE = f"table_schema = '{SCHEMA}' AND table_name = 'state__{PEOPLE}'"
SETTINGS = replace(
    FAST, concurrency=1, max_batch_operations=3, attempts=2, retry_share=1.0, retry_floor=1_000, no_progress_s=1e9,
    refused_share=1.0,
)
# what may become of a request; the first is what most do
FATES = ("ok", "lost", "applied", "late", "late", "503", "429", "refused", "dead before", "dead after", "overtaken")


class Killed(BaseException):
    """The process is gone."""


class BrokenInvariantError(AssertionError):
    """An invariant does not hold."""


def hold(condition: object, invariant: str, *facts: object) -> None:
    """Raise unless the condition is true."""
    if not condition:
        raise BrokenInvariantError(f"{invariant}: {facts}")


@dataclass
class Air:
    """Time, Customer.io, and what is on its way between it and revetl."""

    sim: Sim
    store: Store
    now: float = 0.0
    late: list[tuple[float, list[Any]]] = field(default_factory=list)

    # --- the clock that the engine is given ---

    def monotonic(self) -> float:
        """Seconds of the made-up clock."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Nobody waits: time passes, in the warehouse as well."""
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """What is late and due by then is applied."""
        self.now += seconds
        due = sorted((at, i) for i, (at, _) in enumerate(self.late) if at <= self.now)
        for _, i in due:
            self.apply(self.late[i][1])
        self.late = [one for one in self.late if one[0] > self.now]
        if seconds >= 1:
            self.sim.age_warehouse(int(seconds * 1000))

    def apply(self, operations: list[Any]) -> None:
        """Customer.io does what a request says."""
        for op in operations:
            before = self.store.rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")[0][0]
            with self.store.transaction():
                self.store.apply(op)
            after = self.store.rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")[0][0]
            if op["action"] == "event":
                self.sim.effects[op["id"]] += after - before


@dataclass
class Line:
    """The transport of one run."""

    sim: Sim
    fates: deque[str]
    number: int
    lost_lease: bool = False

    def workspace_id(self) -> str:
        """Always the same one."""
        return "1"

    def close(self) -> None:
        """Nothing is open."""

    def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Reply:
        """One request, as its fate has it."""
        sim, air = self.sim, self.sim.air
        del deadline_s
        operations = decode(body)["batch"]
        sim.sent(self, operations)
        air.now += 0.05
        fate = self.fates.popleft() if self.fates else "ok"
        sim.tell(f"  request of run {self.number}: {len(operations)} operations, {fate}")
        if fate == "dead before":
            raise Killed
        if fate == "lost":
            return Reply(status=0, error="TimeoutError", complete=False)
        if fate == "late":
            air.late.append((air.now + 1 + sim.rng.random() * (LATEST_S - 1), operations))
            return Reply(status=0, error="TimeoutError", complete=False)
        if fate == "503":
            return Reply(status=503, body=b"{}")
        if fate == "429":
            return Reply(status=429, body=b"{}", retry_after_s=1.0)
        if fate == "refused":
            air.apply(operations[1:])
            sim.accept(operations[1:])
            error = {"batch_index": 0, "reason": "invalid", "field": "x", "message": "rehearsed"}
            return Reply(status=207, body=json.dumps({"errors": [error]}).encode())
        air.apply(operations)
        if fate == "applied":
            return Reply(status=0, error="ConnectionResetError", complete=False)
        if fate == "overtaken":  # it sleeps so long that another run takes its place
            air.pass_time(400.0)
            sim.run([], tell="meanwhile, ")
            self.lost_lease = True
        sim.accept(operations)
        if fate == "dead after":
            raise Killed
        return Reply(status=200, body=b"{}")


class Sim:
    """One world; every method that changes it is one step."""

    def __init__(self, folder: Path, seed: int, *, show: Callable[[str], None] | None = None) -> None:
        self.rng = random.Random(seed)
        self.journal = hashlib.sha256()
        self.steps = 0
        self.effects: Counter[str] = Counter()
        self.accepted: dict[str, set[tuple[str, Any]]] = {}
        self.fences: dict[str, int] = {}
        self.runs = 0
        self.values: dict[str, str | None] = {}
        self.orders: dict[str, str] = {}
        self.open_transactions = 0
        self.operations_sent = 0
        self._show = show
        self._stack = ExitStack()
        # its semantics without its server: no thread answers, and its clock is the made-up one
        box = Sandbox(rules=Rules(dedupe_window_s=REMEMBERED_S), clock=lambda: 1_700_000_000 + self.air.now)
        self._stack.callback(box.close)
        self.air = Air(self, box.store)
        free = Guards(max_deletes=Limit(share=1.0), max_changes=Limit(share=1.0), empty_source=False, max_triggering=10**6)
        self.world = World(
            connect=self._stack.enter_context(duckdb_world(folder)), box=box,
            syncs=[people_sync(guards=free, when_missing=WhenMissing.DELETE), orders_sync(guards=free)],
        )  # fmt: skip
        self._eye = self.world.connect()
        self.values = dict.fromkeys(("p0", "p1", "p2", "p3", "p4"), "A")
        self.world.orders_table()
        self.world.people_table()
        self._write_people()
        self.run([])

    def close(self) -> None:
        """Give everything back."""
        self._eye.close()
        self._stack.close()

    def tell(self, text: str) -> None:
        """A line of the journal; two runs of a seed have the same."""
        self.journal.update(text.encode() + b"\n")
        if self._show:
            self._show(text)

    # --- steps: the source ---------------------------------------------------------------------------------------

    def change(self, key: str, value: str | None) -> None:
        """A person has another value, or vanishes."""
        self._step(f"{key} = {value}")
        self.values[key] = value
        self._write_people()

    def back_and_forth(self, key: str, first: str | None, then: str | None, fates: Sequence[str]) -> None:
        """A value changes, a run has trouble with it, it changes again (often back), and the next run comes at once."""
        before = self.values[key]
        self.change(key, first)
        self.run(fates)
        self.change(key, before if then == "back" else then)
        self.run([])

    def order(self, person: str) -> None:
        """One more order."""
        name = f"o{len(self.orders)}"
        self._step(f"order {name} of {person}")
        self.orders[name] = person
        self._do(f"INSERT INTO orders VALUES ('{name}', '{person}', current_timestamp - interval '1 hour', 9.5)")

    def let_pass(self, seconds: float) -> None:
        """Nothing happens for a while."""
        self._step(f"{seconds:g} s pass")
        self.air.pass_time(seconds)

    # --- steps: runs -----------------------------------------------------------------------------------------------

    def run(self, fates: Sequence[str], *, dies_at: int = 0, tell: str = "") -> RunResult | None:
        """A run whose requests have these fates; None if it died (`dies_at`: before that statement of the warehouse)."""
        self.runs += 1
        line = Line(self, deque(fates), self.runs)
        death = f", dies at statement {dies_at}" if dies_at else ""
        self._step(f"{tell}run {self.runs}: {' '.join(fates) or 'no faults'}{death}")
        seen = 0

        def probe(when: str, word: str) -> None:
            nonlocal seen
            if when == "before":
                seen += 1
                if seen == dies_at:
                    raise Killed
            if (when, word) == ("after", "BEGIN"):
                self.open_transactions += 1
            if when == "after" and word in {"COMMIT", "ROLLBACK"}:
                self.open_transactions = 0

        number, result = self.runs, None
        try:
            result = self.world.run(
                settings=SETTINGS, destination=lambda: line, clock=self.air, seed=self.rng.randrange(10**9), backfill=True,
                probe=probe,
            )  # fmt: skip
        except Killed:
            self.open_transactions = 0
        self.tell(f"  run {number} " + ("died" if result is None else f"ended with {int(result.exit_code)}"))
        if result is not None and result.exit_code == ExitCode.OK:
            for uid in (PEOPLE, ORDERS):  # I13
                hold(self.rows(f"open__{uid}") == 0, "I13: exit 0 although rows are open", uid)
        self.check()
        return result

    def guarded(self) -> None:
        """The model is empty by mistake for the time of one run."""
        self._step("the model is empty by mistake")
        kept = self.world.syncs
        self.world.syncs = [replace(sync, guards=Guards(max_triggering=10**6)) for sync in kept]
        self._do("DELETE FROM people")
        line = Line(self, deque(), self.runs)
        before = self.operations_sent
        result = self.world.run(settings=SETTINGS, destination=lambda: line, clock=self.air, backfill=True)
        if self.rows("state__" + PEOPLE):
            hold(result.exit_code in {ExitCode.GUARD, ExitCode.LEASE_HELD}, "I11: the guard was not tripped", result.exit_code)
            hold(self.operations_sent == before, "I11: a guard tripped, and something was sent")
        self.world.syncs = kept
        self._write_people()

    def settle(self) -> None:
        """Faults end, time passes, and one run later Customer.io has what the source has, but for what is held or refused."""
        self._step("settle")
        self.air.pass_time(400.0)
        self._dry_run()
        last = self.run([])
        hold(last is not None and last.exit_code in {ExitCode.OK, ExitCode.ROWS_REFUSED}, "a clean run fails", last)
        self._dry_run()
        before = self.operations_sent
        again = self.run([])
        hold(self.operations_sent == before, "a run after a clean run sent something", again)
        held = {k for (k,) in self._ask(f"SELECT _key FROM {SCHEMA}.open__{ORDERS}")}
        waiting = {k for (k,) in self._ask(f"SELECT _key FROM {SCHEMA}.open__{PEOPLE}")}
        for key, value in self.values.items():  # I1
            person = self.air.store.person("id", key)
            found = None if person is None else person.attributes.get("plan")
            hold(found == value or key in waiting, "I1: Customer.io has another value", key, found, value)
        for name, who in self.orders.items():  # I2
            count = self.effects[event_id(ORDERS, name)]
            wanted = self.values.get(who) is not None and name not in held and who not in waiting
            hold(count == 1 or (count == 0 and not wanted), "I2: effects of an event", name, count)

    # --- invariants ------------------------------------------------------------------------------------------------

    def sent(self, line: Line, operations: list[Any]) -> None:
        """What must be true at the moment when bytes go out."""
        self.operations_sent += len(operations)
        self.steps += 1
        for op in operations:
            shown = {k: op[k] for k in ("action", "identifiers", "attributes", "id") if k in op}
            self.tell("    " + encode(shown).decode())
        hold(not line.lost_lease, "I7: a run sends after its lease was taken over")
        hold(self.open_transactions == 0, "I14: a transaction is open while a socket is in use")
        people = [op["identifiers"]["id"] for op in operations if op["action"] != "event"]
        events = {op["id"]: op["identifiers"]["id"] for op in operations if op["action"] == "event"}
        allowed = self._intended(PEOPLE if people else ORDERS)
        if people:  # I5
            hold(set(people) <= allowed, "I5: sent before the intent was written", people)
        if events:
            ids = {event_id(ORDERS, key): key for key in self.orders}
            hold({ids[i] for i in events} <= allowed, "I5: sent before the intent was written", events)
            known = {key for (key,) in self._ask(f"SELECT _key FROM {SCHEMA}.state__{PEOPLE}")}
            hold(set(events.values()) <= known, "I10: an event before its person", events)
            ledger = {key for (key,) in self._ask(f"SELECT _key FROM {SCHEMA}.state__{ORDERS}")}
            hold(not {ids[i] for i in events} & ledger, "I2: an acknowledged event is sent again", events)

    def accept(self, operations: list[Any]) -> None:
        """Customer.io answers that it took these."""
        for op in operations:
            if op["action"] == "identify":
                self.accepted.setdefault(op["identifiers"]["id"], set()).update(op["attributes"].items())
            elif op["action"] == "event":
                self.accepted.setdefault(op["id"], set())

    def check(self) -> None:
        """What must be true between runs."""
        if not self._has(f"state__{PEOPLE}"):
            return
        if self._ask(f"SELECT count(*) FROM information_schema.columns WHERE {STATE} AND column_name = 'plan'")[0][0]:
            rows = self._ask(f"SELECT _key, plan FROM {SCHEMA}.state__{PEOPLE}")
            hold(len(rows) == len({key for key, _ in rows}), "I15: a key is twice in the state")
            for key, plan in rows:
                accepted = ("plan", plan) in self.accepted.get(key, ())
                hold(plan is None or accepted, "I3: the state has what was never accepted", key, plan)
        for (key,) in self._ask(f"SELECT _key FROM {SCHEMA}.state__{ORDERS}") if self._has(f"state__{ORDERS}") else ():
            hold(event_id(ORDERS, key) in self.accepted, "I3: the ledger has what was never accepted", key)
        for uid in (PEOPLE, ORDERS, "ws"):
            if self._has(f"ctl__{uid}"):
                fence = self._ask(f"SELECT fence FROM {SCHEMA}.ctl__{uid}")[0][0]
                hold(fence >= self.fences.get(uid, 0), "I4: the fence went back", uid)
                self.fences[uid] = fence
            plans = sum(name.startswith(f"plan__{uid}__") for name in self.tables())
            hold(plans <= 2, "I15: plans are left over", uid, plans)
        for identity, count in self.effects.items():
            hold(count <= 1, "I2: an event had two effects", identity, count)

    def _dry_run(self) -> None:
        before, sent = self._ask(f"SELECT sum(fence) FROM {SCHEMA}.ctl__{PEOPLE}"), self.operations_sent
        self._eye.close()  # DuckDB opens a file either to read or to write
        self.world.diff(backfill=True)
        self._eye = self.world.connect()
        after = self._ask(f"SELECT sum(fence) FROM {SCHEMA}.ctl__{PEOPLE}")
        hold((before, sent) == (after, self.operations_sent), "I16: a dry run wrote or sent")

    # --- the warehouse ---------------------------------------------------------------------------------------------

    def age_warehouse(self, ms: int) -> None:
        """Its clock goes on: the times that it wrote are so much older."""
        tables, statements = self.tables(), []
        for uid in (PEOPLE, ORDERS, "ws"):
            if f"ctl__{uid}" in tables:
                statements.append(
                    f"UPDATE {SCHEMA}.ctl__{uid} SET lease_until = lease_until - {ms}, drain_until = drain_until - {ms}, "
                    f"intent_at = intent_at - {ms}"
                )
            if f"open__{uid}" in tables:
                statements.append(f"UPDATE {SCHEMA}.open__{uid} SET _first_at = _first_at - {ms}, _last_try = _last_try - {ms}")
        if "rates" in tables:
            statements.append(f"UPDATE {SCHEMA}.rates SET until = until - {ms}")
        self._do(*statements)

    def _intended(self, uid: str) -> set[str]:
        plan, hwm = self._ask(f"SELECT plan_fence, hwm FROM {SCHEMA}.ctl__{uid}")[0]
        return {key for (key,) in self._ask(f"SELECT _key FROM {SCHEMA}.plan__{uid}__{plan} WHERE _seq <= {hwm}")}

    def _write_people(self) -> None:
        rows = ", ".join(f"('{k}', '{k}@example.com', '{v}', 0)" for k, v in self.values.items() if v is not None)
        self._do("DELETE FROM people", *([f"INSERT INTO people VALUES {rows}"] if rows else []))

    def _do(self, *statements: str) -> None:
        for statement in statements:
            self._eye.execute(sa.text(statement))

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return self._eye.fetch(sa.text(query))

    def tables(self) -> set[str]:
        """Those of the state."""
        found = self._ask(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'")
        return {name for (name,) in found}

    def _has(self, table: str) -> bool:
        return table in self.tables()

    def rows(self, table: str) -> int:
        """Of a table of the state; 0 where it does not exist."""
        return int(self._ask(f"SELECT count(*) FROM {SCHEMA}.{table}")[0][0]) if self._has(table) else 0

    def _step(self, text: str) -> None:
        self.steps += 1
        self.tell(text)


@contextmanager
def world(folder: Path, seed: int, show: Callable[[str], None] | None = None) -> Iterator[Sim]:
    """A sim that is closed at the end."""
    sim = Sim(folder, seed, show=show)
    try:
        yield sim
    finally:
        sim.close()


def live(sim: Sim, steps: int) -> None:
    """Let things happen by the sim's own luck, and settle every now and then."""
    rng = sim.rng
    for _ in range(steps):
        what = rng.random()
        key = rng.choice(sorted(sim.values))
        if what < 0.3:
            sim.change(key, rng.choice(["A", "B", "C", None]))
        elif what < 0.45:
            sim.order(key)
        elif what < 0.55:
            sim.let_pass(rng.choice([5.0, 70.0, 400.0, 21 * HOUR, 26 * HOUR]))
        elif what < 0.68:
            then = rng.choice(["back", "back", "A", "C", None])
            sim.back_and_forth(key, rng.choice(["A", "B", "C", None]), then, [rng.choice(FATES) for _ in range(2)])
        elif what < 0.93:
            fates = [rng.choice(FATES) if rng.random() < 0.5 else "ok" for _ in range(rng.randint(0, 5))]
            sim.run(fates, dies_at=rng.randint(1, 60) if rng.random() < 0.25 else 0)
        elif what < 0.96:
            sim.guarded()
        else:
            sim.settle()
    sim.settle()
