"""Nothing that may happen, in any order that was tried, breaks an invariant; and a seed tells the same story twice."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.bars import Bar
from tests.simulation.sim import FATES, HOUR, Sim, live, world

KEYS = st.sampled_from(["p0", "p1", "p2", "p3", "p4"])


class Anything(RuleBasedStateMachine):
    """Hypothesis decides what happens, and finds the shortest story of a failure."""

    counts: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.sim = Sim(Path(self.folder.name), 0)

    @rule(key=KEYS, value=st.sampled_from(["A", "B", "C", None]))
    def a_person_changes(self, key: str, value: str | None) -> None:
        self.sim.change(key, value)

    @rule(key=KEYS)
    def somebody_orders(self, key: str) -> None:
        self.sim.order(key)

    @rule(seconds=st.sampled_from([5.0, 70.0, 400.0, 21 * HOUR, 26 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        self.sim.let_pass(seconds)

    @rule(fates=st.lists(st.sampled_from(FATES), max_size=5))
    def a_run(self, fates: list[str]) -> None:
        self.sim.run(fates)

    @rule(fates=st.lists(st.sampled_from(FATES), max_size=3), at=st.integers(1, 60))
    def a_run_dies(self, fates: list[str], at: int) -> None:
        self.sim.run(fates, dies_at=at)

    @rule(key=KEYS, first=st.sampled_from(["A", "B", None]), then=st.sampled_from(["back", "C", None]),
          fates=st.lists(st.sampled_from(FATES), max_size=3))  # fmt: skip
    def back_and_forth(self, key: str, first: str | None, then: str | None, fates: list[str]) -> None:
        self.sim.back_and_forth(key, first, then, fates)

    @rule()
    def the_model_is_empty_by_mistake(self) -> None:
        self.sim.guarded()

    @rule()
    def all_comes_to_rest(self) -> None:
        self.sim.settle()

    def teardown(self) -> None:
        try:
            self.sim.settle()
        finally:
            type(self).counts["steps"] += self.sim.steps
            type(self).counts["runs"] += self.sim.runs
            self.sim.close()
            self.folder.cleanup()


def explore(bar: Bar, *, examples: int, steps: int, shorten: bool) -> None:
    Anything.counts = Counter()
    run_state_machine_as_test(Anything, settings=settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck),
        database=None, print_blob=True, phases=(Phase.generate, Phase.shrink) if shorten else (Phase.generate,),
    ))  # fmt: skip
    bar(3, "invariants broken in worlds that Hypothesis made", found=0, goal="0",
        of=f"{Anything.counts['steps']:,} steps with {Anything.counts['runs']:,} runs in {examples} worlds")  # fmt: skip


def test_whatever_happens_one_clean_run_repairs_it(bar: Bar) -> None:
    explore(bar, examples=5, steps=10, shorten=False)


@pytest.mark.soak
def test_whatever_happens_for_long_one_clean_run_repairs_it(bar: Bar) -> None:
    explore(bar, examples=150, steps=30, shorten=True)


def story(folder: Path, seed: int, steps: int) -> tuple[str, int]:
    lines: list[str] = []
    folder.mkdir()
    with world(folder, seed, lines.append) as sim:
        live(sim, steps)
        return "\n".join(lines), sim.steps


def replay(folder: Path, seeds: int, steps: int, bar: Bar) -> None:
    same = made = 0
    for seed in range(seeds):
        first, count = story(folder / f"{seed}a", seed, steps)
        again, _ = story(folder / f"{seed}b", seed, steps)
        same += first == again
        made += 2 * count
        assert first == again, seed
    bar(3, "seeds that replay byte for byte", found=same, goal=f"{seeds}", of=f"{seeds} seeds, {made:,} steps",
        seed=f"0 to {seeds - 1}")  # fmt: skip


def test_a_seed_tells_the_same_story_twice(tmp_path: Path, bar: Bar) -> None:
    replay(tmp_path, 2, 15, bar)


@pytest.mark.soak
def test_a_hundred_seeds_tell_the_same_story_twice(tmp_path: Path, bar: Bar) -> None:
    replay(tmp_path, 100, 15, bar)


def long_life(folder: Path, runs: int, seed: int, bar: Bar) -> None:
    """Many runs one after the other, a fifth of them with faults."""
    with world(folder, seed) as sim:
        rng = sim.rng
        faulty = 0
        while sim.runs < runs:
            sim.change(rng.choice(sorted(sim.values)), rng.choice(["A", "B", "C", None]))
            if rng.random() < 0.3:
                sim.order(rng.choice(sorted(sim.values)))
            bad = rng.random() < 0.2
            faulty += bad
            sim.run([rng.choice(FATES) for _ in range(rng.randint(1, 4))] if bad else [],
                    dies_at=rng.randint(1, 60) if bad and rng.random() < 0.3 else 0)  # fmt: skip
            sim.air.pass_time(400.0)
        sim.settle()  # compares with the source, and counts the effects of each event
        of = f"{sim.runs:,} runs one after the other, {faulty:,} of them with faults"
        bar(40, "differences between Customer.io and the source at the end", found=0, goal="0", of=of, seed=seed)
        bar(40, "events with more than one effect", found=sum(n > 1 for n in sim.effects.values()), goal="0", of=of, seed=seed)
        bar(40, "left-over plans", found=sum(name.startswith("plan__") for name in sim.tables()), goal="≤ 2", of=of, seed=seed)
        bar(40, "rows of the ledger beyond the events that were ordered", goal="0", of=of, seed=seed,
            found=max(0, sim.rows("state__orders01") - len(sim.orders)))  # fmt: skip


def test_forty_runs_in_a_row(tmp_path: Path, bar: Bar) -> None:
    long_life(tmp_path, 40, 4, bar)


@pytest.mark.soak
def test_ten_thousand_runs_in_a_row(tmp_path: Path, bar: Bar) -> None:
    long_life(tmp_path, 10_000, 5, bar)
