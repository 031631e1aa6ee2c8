"""The real engine against the real sandbox in random schedules: values that return, and requests that arrive late.

Every person is a request of its own, or one of a few in a request, so each has its own order of sending, losing and applying.
A schedule is one person in one episode: some runs with faults while the source changes, then a clean run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from revetl.contracts import Guards, Limit, WhenMissing
from revetl.delivery import DeliverySettings
from revetl.engine import Engine, RunOptions, RunResult
from revetl.errors import ExitCode
from revetl.sandbox import Sandbox
from revetl.sandbox.faults import Fault
from revetl.sandbox.store import Rules
from tests.bars import Bar
from tests.suites.world import FAST, SCHEMA, SandboxDestination, World, duckdb_world, people_sync

SEED = 20_260_801
# a run's rates, breaker and budget are tested elsewhere; here every request is to go out
ONE_TRY = replace(FAST, attempts=1, retry_share=1.0, retry_floor=10_000, backoff_first_s=0.001, no_progress_s=1e9)
NEVER = 1_000_000


@dataclass
class Tide:
    """A clock that does not wait: in a drain wait, all that is late arrives, as assumption A2 has it."""

    box: Sandbox
    rng: random.Random
    passed: float = 0.0
    drains: int = 0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        if seconds > 30:  # no pause within a delivery is that long
            self.drains += 1
            self.arrive()

    def arrive(self) -> None:
        """Apply what was to be applied late, in any order."""
        late, self.box.late = self.box.late, []
        self.rng.shuffle(late)
        for _, operations in late:
            for operation in operations:
                self.box.store.apply(operation)


@dataclass
class Stage:
    """One warehouse, one workspace, and many people `k0`, `k1`, ... whose `plan` the episodes change."""

    world: World
    rng: random.Random
    tide: Tide
    keys: list[str]
    stamped: bool = False

    def run(self, settings: DeliverySettings) -> RunResult:
        """One run; time has passed since the one before, if no drain wait is due."""
        before = self.now()
        with closing(self.world.connect()) as warehouse:
            engine = Engine(warehouse, schema=SCHEMA, syncs=self.world.compiled(), clock=self.tide, observer=self.world.observer)
            result = engine.run(
                self.world.compiled(("people",)), RunOptions(), settings=settings, rng=self.rng,
                connect=lambda: SandboxDestination(self.world.box), owner=f"run-{self.rng.random()}",
                identify_timestamp=self.stamped,
            )  # fmt: skip
            # the drain wait that this run found is over, and with it the minute; the one that it left is not
            warehouse.execute(sa.text(
                f"UPDATE {SCHEMA}.ctl__people01 SET drain_until = 1 WHERE drain_until < {before + 60_000}"
            ))  # fmt: skip
        return result

    def now(self) -> int:
        """The warehouse's clock."""
        return int(self.world.ask("SELECT CAST(floor(extract(epoch FROM current_timestamp) * 1000) AS bigint)")[0][0])

    def source(self, values: dict[str, str]) -> None:
        """What the model says."""
        rows = ", ".join(f"('{key}', '{key}@example.com', '{value}', 0)" for key, value in values.items())
        self.world.sql("DELETE FROM people", f"INSERT INTO people VALUES {rows}")

    def trouble(self, requests: int, share: float, kinds: list[str]) -> None:
        """Faults for a random share of the next requests."""
        struck = [i for i in range(requests) if self.rng.random() < share]
        self.world.box.faults = [
            # those before have struck then, and a request that one strikes is not counted by the later ones
            Fault(kind=self.rng.choice(kinds), after=at - done, late_by=self.rng.choice([1, 2, 5, 30, NEVER]))
            for done, at in enumerate(struck)
        ]

    def differs(self, values: dict[str, str]) -> list[tuple[str, str, str]]:
        """People whom Customer.io has otherwise than the model says."""
        store = self.world.box.store
        held = {}
        for (key,) in store.rows("SELECT id FROM people"):
            person = store.person("id", key)
            assert person is not None
            held[key] = person.attributes.get("plan", "")
        return sorted((k, held.get(k, "-"), values.get(k, "-")) for k in held.keys() | values if held.get(k) != values.get(k))


@contextmanager
def stage(folder: Path, people: int, seed: int, *, rules: Rules, stamped: bool = False, **contract: Any) -> Iterator[Stage]:
    rng = random.Random(seed)
    folder.mkdir(exist_ok=True)
    free = Guards(max_deletes=Limit(share=1.0), max_changes=Limit(share=1.0))
    with Sandbox(rules=rules) as box, duckdb_world(folder) as connect:
        world = World(connect=connect, box=box, syncs=[people_sync(guards=free, **contract)])
        world.people_table()
        yield Stage(world, rng, Tide(box, rng), [f"k{i}" for i in range(people)], stamped)


def returns(folder: Path, wanted: int, bar: Bar, *, people: int = 1_000) -> None:
    """Values and people that return after a request that was applied and not answered."""
    cases = {"a value went A, B, A": 0, "a person was deleted and returned": 0}
    wrong: list[tuple[str, str, str]] = []
    settings = replace(ONE_TRY, max_batch_operations=5)
    with stage(folder, people, SEED, rules=Rules(), when_missing=WhenMissing.DELETE) as one:
        episode = 0
        while min(cases.values()) < wanted / 2:
            base = dict.fromkeys(one.keys, f"a{episode}")
            one.source(base)
            assert one.run(settings).exit_code == ExitCode.OK
            # a run whose upserts had no answer does not go on to its deletes, so each has its own episodes
            chosen = {key for key in one.keys if one.rng.random() < 0.8}
            if episode % 2:
                one.source({key: value for key, value in base.items() if key not in chosen})
            else:
                one.source({key: f"b{episode}" if key in chosen else value for key, value in base.items()})
            one.trouble(people, 0.9, ["apply_then_fail"])
            one.run(settings)
            one.world.box.faults = []
            after = {k: v if one.rng.random() < 0.9 else f"c{episode}" for k, v in base.items()}
            one.source(after)
            for what, gone in (("a value went A, B, A", False), ("a person was deleted and returned", True)):
                [(found,)] = one.world.ask(
                    f"SELECT count(*) FROM {SCHEMA}.open__people01 o JOIN {SCHEMA}.state__people01 s USING (_key) "
                    "JOIN people p ON p.id = o._key WHERE o._outcome = 'unknown' AND p.plan = s.plan "
                    f"AND {'' if gone else 'NOT '} o._op = 'delete'"
                )
                cases[what] += found
            assert one.run(settings).exit_code == ExitCode.OK
            wrong += one.differs(after)
            episode += 1
    for what, found in cases.items():
        bar(22, f"not repaired by the next run: {what}", found=len(wrong), goal="0", of=f"{found:,} cases", seed=SEED)
    assert not wrong, wrong[:5]


def late(folder: Path, wanted: int, bar: Bar, *, attempts: int, stamped: bool, policy: str, people: int = 300) -> None:
    """Requests that are applied later than others of the same person, or never."""
    schedules, drains = 0, 0
    wrong: list[tuple[str, str, str]] = []
    settings = replace(ONE_TRY, max_batch_operations=1, attempts=attempts)
    rules = Rules(timestamp_policy=policy)
    with stage(folder, people, SEED, rules=rules, stamped=stamped, when_missing=WhenMissing.DELETE) as one:
        values: dict[str, str] = {}
        episode = 0
        while schedules < wanted:
            for change in range(one.rng.randint(1, 3)):
                values = {k: one.rng.choice([f"v{episode}", f"w{episode}", values.get(k, "x")]) for k in one.keys
                          if one.rng.random() < 0.9}  # fmt: skip
                one.source(values)
                # not all runs have faults, so that requests of one may arrive in the next
                share = one.rng.choice([0.05, 0.1, 0.4]) if change != 1 else 0.0
                one.trouble(people * attempts, share, ["apply_late", "apply_late", "apply_then_fail", "reset"])
                one.run(settings)
                schedules += sum(not fault.times for fault in one.world.box.faults if fault.kind == "apply_late")
            one.world.box.faults = []
            for _ in range(2):  # a run that ends before its deletes leaves them to the next
                last = one.run(settings)
            assert last.exit_code == ExitCode.OK, last
            one.tide.arrive()
            wrong += one.differs(values)
            episode += 1
        drains = one.tide.drains
    assert drains, "no run ever waited"
    how = ("identify carries its time, and Customer.io " + ("goes by it" if policy != "ignore" else "ignores it")
           if stamped else "identify carries no time")  # fmt: skip
    bar(23, f"people with another value after a clean run; {how}", found=len(wrong), goal="0",
        of=f"{schedules:,} late requests of one person each, up to {attempts} attempts", seed=SEED)  # fmt: skip
    assert not wrong, wrong[:5]


WAYS = pytest.mark.parametrize(
    ("stamped", "policy"), [(False, "attribute"), (True, "attribute"), (True, "ignore")],
    ids=["no-times", "times", "times-ignored"],
)  # fmt: skip


def test_what_returns_after_an_unanswered_request_is_repaired(tmp_path: Path, bar: Bar) -> None:
    returns(tmp_path, 1_000, bar)


@WAYS
def test_late_requests_do_not_win(tmp_path: Path, bar: Bar, *, stamped: bool, policy: str) -> None:
    late(tmp_path, 200, bar, attempts=3, stamped=stamped, policy=policy, people=100)


@pytest.mark.soak
def test_ten_thousand_values_and_people_that_return_are_repaired(tmp_path: Path, bar: Bar) -> None:
    returns(tmp_path, 10_000, bar)


@WAYS
@pytest.mark.soak
@pytest.mark.parametrize("attempts", [1, 3])
def test_ten_thousand_late_requests_do_not_win(
    tmp_path: Path, bar: Bar, *, attempts: int, stamped: bool, policy: str
) -> None:
    late(tmp_path, 1_700, bar, attempts=attempts, stamped=stamped, policy=policy)
