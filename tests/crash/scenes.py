"""What a run has to do in each scene of the sweep, and what must be true after it was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from revetl.errors import ExitCode
from revetl.sandbox import Fault, Sandbox
from revetl.warehouse import Warehouse
from tests.crash.jobs import Job, perform
from tests.suites.world import SCHEMA

STREAMS = {"people01": "people", "orders01": "orders"}
PEOPLE = 10  # so few may all change at once without a guard
Key = tuple[str, str]


def do(warehouse: Warehouse, *statements: str) -> None:
    """Plain SQL."""
    for statement in statements:
        warehouse.execute(sa.text(statement.replace(":", r"\:")))


def ask(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    """Plain SQL."""
    return warehouse.fetch(sa.text(query.replace(":", r"\:")))


class Journal:
    """Every operation that the workspace took, also an event's repetition that had no effect; and the effects."""

    def __init__(self, box: Sandbox) -> None:
        self.taken: list[tuple[Key, Mapping[str, Any]]] = []
        self.effects: Counter[str] = Counter()
        apply = box.store.apply

        def events() -> int:
            return int(box.store.rows("SELECT count(*) FROM events")[0][0])

        def noted(operation: Any) -> None:
            key = _key(operation)
            self.taken.append((key, operation))
            if operation["action"] != "event":
                apply(operation)
                return
            before = events()
            apply(operation)
            self.effects[key[1]] += events() - before

        box.store.apply = noted  # type: ignore[method-assign]

    def keys(self, since: int) -> Counter[Key]:
        """How often each row came since there were so many."""
        return Counter(key for key, _ in self.taken[since:])

    def plans(self) -> dict[str, set[str]]:
        """Every plan that each person ever had."""
        found: dict[str, set[str]] = {}
        for (stream, key), operation in self.taken:
            if stream == "people" and "plan" in (operation.get("attributes") or {}):
                found.setdefault(key, set()).add(operation["attributes"]["plan"])
        return found


def _key(operation: Mapping[str, Any]) -> Key:
    if operation["action"] == "event":
        return "orders", str(operation["attributes"]["order_id"])
    return "people", str(operation["identifiers"]["id"])


@dataclass(slots=True, kw_only=True)
class Autopsy:
    """What a dead run left.

    Attributes:
        acknowledged: rows that the warehouse says were accepted in its plan.
        plans: plan tables that are there.
        early: rows that went out above the mark of intent.
        false: state rows with a value that the workspace never took.
    """

    acknowledged: set[Key] = field(default_factory=set)
    plans: int = 0
    early: set[Key] = field(default_factory=set)
    false: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Stage:
    """One warehouse and one workspace on which a scene is played again and again.

    Attributes:
        base: the job that a clean run does.
        seen: boundaries at which a run died.
        most_resent: the largest number of rows that went out again after a kill.
        acknowledged_resent: rows that went out again though the warehouse knew them as accepted.
        doubled: events with more or less than one effect.
        wrong: rows that the workspace has not as the source has them, after one clean run.
        kills: how many.
        pages_left: kills that left a page of rows in a file.
        kill: runs a job in a process of its own and kills it at the n-th boundary of a name.
        fences: of each stream, before the run that is killed.
    """

    base: Job
    box: Sandbox
    journal: Journal
    round: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    most_resent: int = 0
    acknowledged_resent: int = 0
    doubled: int = 0
    wrong: int = 0
    kills: int = 0
    pages_left: int = 0
    kill: Callable[[Job, tuple[str, str], int], None] = lambda *_: None
    fences: dict[str, int] = field(default_factory=dict)

    # --- the source ------------------------------------------------------------------------------------------

    def build(self) -> None:
        """The two tables, full."""
        rows = ", ".join(f"('p{i}', 'p{i}@example.com', 'v0', {i})" for i in range(PEOPLE))
        orders = ", ".join(f"('o0-{i}', 'p{i}', current_timestamp, {i})" for i in range(4))
        self.change(
            "CREATE TABLE people (id varchar(200), email text, plan text, spent decimal(18,2))",
            "CREATE TABLE orders (order_id text, person text, bought_at timestamp with time zone, value decimal(18,2))",
            f"INSERT INTO people VALUES {rows}", f"INSERT INTO orders VALUES {orders}",
        )  # fmt: skip

    def change(self, *statements: str) -> None:
        """Change the source, or the state where a statement names it."""
        for of_state, some in groupby(statements, lambda statement: SCHEMA in statement):
            with closing(self.base.open() if of_state else self.base.source()) as warehouse:
                do(warehouse, *some)

    def orders(self, *people: str) -> str:
        """An INSERT of one more order for each of these people."""
        values = (f"('o{self.round}-{who}', '{who}', current_timestamp, {i})" for i, who in enumerate(people))
        return f"INSERT INTO orders VALUES {', '.join(values)}"

    # --- after a death ---------------------------------------------------------------------------------------

    def autopsy(self, sent: Counter[Key]) -> Autopsy:
        """Look at what is there, and let leases and drain wait pass."""
        found = Autopsy()
        warehouse = self.base.open()
        try:
            tables = {n for (n,) in ask(
                warehouse, f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'"
            )}  # fmt: skip
            ever = self.journal.plans()
            for uid, stream in STREAMS.items():
                found.plans = max(found.plans, sum(name.startswith(f"plan__{uid}__") for name in tables))
                if f"ctl__{uid}" in tables:
                    self._look(warehouse, uid, stream, tables, sent, found)
            if "state__people01" in tables and "plan" in _columns(warehouse, "state__people01"):
                rows = ask(warehouse, f"SELECT _key, plan FROM {SCHEMA}.state__people01")
                found.false = {key for key, plan in rows if plan is not None and plan not in ever.get(key, ())}
            self.let_time_pass(warehouse, tables)
        finally:
            warehouse.close()
        return found

    def remember(self) -> None:
        """Which runs there were before the one that is killed."""
        with closing(self.base.open()) as warehouse:
            there = {n for (n,) in ask(
                warehouse, f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'"
            )}  # fmt: skip
            self.fences = {uid: int(ask(warehouse, f"SELECT fence FROM {SCHEMA}.ctl__{uid}")[0][0])
                           for uid in STREAMS if f"ctl__{uid}" in there}  # fmt: skip

    def _look(
        self, warehouse: Warehouse, uid: str, stream: str, tables: set[str], sent: Counter[Key], found: Autopsy
    ) -> None:
        fence, plan_fence, hwm = ask(warehouse, f"SELECT fence, plan_fence, hwm FROM {SCHEMA}.ctl__{uid}")[0]
        plan = f"plan__{uid}__{plan_fence}"
        if plan not in tables or plan_fence != fence or fence == self.fences.get(uid):
            return  # it sent nothing yet, or all is folded and dropped
        rows = ask(
            warehouse, f"SELECT p._key, p._seq, max(CASE WHEN a.outcome = 'accepted' THEN 1 ELSE 0 END), "
            f"max(CASE WHEN a.outcome = 'refused' THEN 1 ELSE 0 END) "
            f"FROM {SCHEMA}.{plan} p LEFT JOIN {SCHEMA}.ack__{uid} a "
            f"ON a.fence = {fence} AND p._seq BETWEEN a.seq_from AND a.seq_to WHERE p._seq IS NOT NULL GROUP BY 1, 2"
        )  # fmt: skip
        found.acknowledged |= {(stream, str(key)) for key, _, accepted, refused in rows if accepted and not refused}
        found.early |= {(stream, str(key)) for key, seq, _, _ in rows if seq > hwm and (stream, str(key)) in sent}
        if f"state__{uid}" in tables:
            kept = ask(warehouse, f"SELECT _key FROM {SCHEMA}.state__{uid} WHERE _fence = {fence}")
            found.acknowledged |= {(stream, str(key)) for (key,) in kept}

    def let_time_pass(self, warehouse: Warehouse, tables: set[str]) -> None:
        """Leases end and no request is under way any more, as after four minutes."""
        for name in sorted(tables):
            if name.startswith("ctl__"):
                do(warehouse, f'UPDATE {SCHEMA}."{name}" SET lease_until = 1, drain_until = 1')
        if "rates" in tables:
            do(warehouse, f"UPDATE {SCHEMA}.rates SET until = 1")

    def heal(self, job: Job, sent: Counter[Key], *, label: str) -> None:
        """Faults end, time passes, one clean run; then all the oracles."""
        found = self.autopsy(sent)
        self.box.faults = []
        mark = len(self.journal.taken)
        clean = perform(replace(job, options={**job.options, "retry_refused": True}))
        again = self.journal.keys(mark)
        assert clean.exit_code == ExitCode.OK, (label, clean.error, [s.error for s in clean.syncs])
        assert not found.early, f"{label}: rows above the mark of intent went out"
        claimed = found.acknowledged - set(sent)
        assert not claimed, f"{label}: rows are acknowledged that were never sent: {claimed}"
        assert not found.false, f"{label}: the state claims values that were never accepted"
        assert found.plans <= 2, label
        resent = sum((sent & again).values())
        self.most_resent = max(self.most_resent, resent)
        self.acknowledged_resent += len(found.acknowledged & set(again))
        self.compare(job, label)
        mark = len(self.journal.taken)
        assert perform(job).requests == 0, f"{label}: one clean run was not enough"
        assert len(self.journal.taken) == mark

    def compare(self, job: Job, label: str) -> None:
        """Source, state and workspace hold the same."""
        with closing(self.base.source()) as warehouse:
            people = {k: (e, p, f"{s:.2f}") for k, e, p, s in ask(warehouse, "SELECT id, email, plan, spent FROM people")}
            orders = {k for (k,) in ask(warehouse, "SELECT order_id FROM orders")}
        warehouse = self.base.open()
        try:
            kept = dict(ask(warehouse, f"SELECT _key, plan FROM {SCHEMA}.state__people01"))
            ledger = [k for (k,) in ask(warehouse, f"SELECT _key FROM {SCHEMA}.state__orders01")]
            left = ask(warehouse, "SELECT count(*) FROM information_schema.tables "
                       f"WHERE table_schema = '{SCHEMA}' AND table_name LIKE 'plan%'")[0][0]  # fmt: skip
            opened = sum(ask(warehouse, f"SELECT count(*) FROM {SCHEMA}.open__{uid}")[0][0] for uid in STREAMS)
        finally:
            warehouse.close()
        there = {p["id"]: (p["email"], p["attributes"].get("plan"), f"{float(p['attributes'].get('spent', 'nan')):.2f}")
                 for p in profiles(self.box)}  # fmt: skip
        effects = self.journal.effects
        self.wrong += len(set(people.items()) ^ set(there.items())) + len(set(orders) ^ set(effects))
        self.doubled += sum(n != 1 for n in effects.values())
        assert there == people, label
        if job.more == "plan":
            assert {p["id"]: p["attributes"]["more"] for p in profiles(self.box)} == {k: v[1] for k, v in people.items()}, label
        elif job.more:
            assert {p["id"]: f"{p['attributes']['more']:.2f}" for p in profiles(self.box)} == {
                k: v[2] for k, v in people.items()}, label  # fmt: skip
        assert effects == dict.fromkeys(orders, 1), label
        assert kept == {key: plan for key, (_, plan, _) in people.items()}, label
        assert sorted(ledger) == sorted(orders), label
        assert (left, opened) == (0, 0), label


def profiles(box: Sandbox) -> list[dict[str, Any]]:
    """Everybody in the workspace, as the App API writes their attributes."""
    found = []
    for (key,) in box.store.rows("SELECT id FROM people"):
        person = box.store.person("id", key)
        assert person is not None
        found.append({"id": key, "email": person.email, "attributes": person.attributes})
    return found


def _columns(warehouse: Warehouse, table: str) -> set[str]:
    return {n for (n,) in ask(
        warehouse, "SELECT column_name FROM information_schema.columns "
        f"WHERE table_schema = '{SCHEMA}' AND table_name = '{table}'"
    )}  # fmt: skip


# --- the scenes --------------------------------------------------------------------------------------------------
# Each changes the source (and what else it needs) and gives the job that is killed.


def first_load(stage: Stage) -> Job:
    """Nothing was ever synced: every table is made."""
    stage.box.store.clean()
    stage.journal.effects.clear()
    stage.change(
        f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", "DELETE FROM orders WHERE order_id NOT LIKE 'o0-%'",
        f"UPDATE people SET plan = 'v{stage.round}'",
    )  # fmt: skip
    return stage.base


def steady(stage: Stage) -> Job:
    """Everybody changes, and there are a few new orders."""
    stage.change(f"UPDATE people SET plan = 'v{stage.round}'", stage.orders("p1", "p2", "p3", "p4"))
    return stage.base


def deletes(stage: Stage) -> Job:
    """People vanish and are deleted, others are new and buy at once."""
    new = [f"n{stage.round}{x}" for x in "abcd"]
    rows = ", ".join(f"('{n}', '{n}@example.com', 'v{stage.round}', 1)" for n in new)
    stage.change(
        "DELETE FROM people WHERE id LIKE 'n%'", f"INSERT INTO people VALUES {rows}",
        f"UPDATE people SET plan = 'v{stage.round}' WHERE id IN ('p1', 'p2')", stage.orders(new[0], "p1"),
    )  # fmt: skip
    return replace(stage.base, deletes=True)


def refusals(stage: Stage) -> Job:
    """The workspace refuses some rows of people and events with a 207."""
    stage.change(f"UPDATE people SET plan = 'v{stage.round}'", stage.orders("p1", "p2", "p3", "p4"))
    stage.box.faults = [Fault(kind="reject", key="p3", times=10**9)]
    return stage.base


def unknown_before(stage: Stage) -> Job:
    """An earlier run got no answer, and then some of the values went back (A-B-A)."""
    stage.change(f"UPDATE people SET plan = 'B{stage.round}'", stage.orders("p1", "p2"))
    stage.box.faults = [Fault(kind="apply_then_fail", times=2, after=1)]
    lost = perform(replace(stage.base, attempts=1, threads=1))
    assert lost.exit_code == ExitCode.DESTINATION
    stage.box.faults = []
    back = "p1", "p2", "p3"
    stage.change(
        f"UPDATE people SET plan = COALESCE((SELECT plan FROM {SCHEMA}.state__people01 s WHERE s._key = people.id), plan) "
        f"WHERE id IN {back}",
        *(f"UPDATE {SCHEMA}.ctl__{uid} SET drain_until = 1" for uid in (*STREAMS, "ws")),
    )  # fmt: skip
    return stage.base


def killed_before(stage: Stage) -> Job:
    """An earlier run was killed within its second chunk: this one has to settle what it left."""
    stage.change(f"UPDATE people SET plan = 'B{stage.round}'", stage.orders("p1", "p2"))
    stage.kill(stage.base, ("after", "read"), 4)
    stage.change(f"UPDATE people SET plan = 'v{stage.round}' WHERE id <> 'p3'")
    stage.autopsy(Counter())
    return stage.base


def contract(stage: Stage) -> Job:
    """An attribute comes, changes its type and goes, so that the state's columns change."""
    stage.change(f"UPDATE people SET plan = 'v{stage.round}' WHERE id IN ('p1', 'p2')", stage.orders("p1"))
    return replace(stage.base, more=("plan", "spent", "")[stage.round % 3])


SCENES = {
    "first load": first_load, "steady": steady, "deletes": deletes, "refusals": refusals,
    "unknown before": unknown_before, "killed before": killed_before, "contract": contract,
}  # fmt: skip
