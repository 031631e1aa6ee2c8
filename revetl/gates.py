"""Tests of models and sources, and the freshness of sources, before anything is sent.

Each is one statement that gives one number, so no value of a row leaves the warehouse; whoever wants to see the rows
runs the SQL in `target/compiled`. The SQL is dbt's, and so is what counts as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from revetl.compiler import Compiled, reads, relation_of, write_sql
from revetl.contracts import Sync
from revetl.datatests import DataTest, Freshness
from revetl.dialects import subquery_text
from revetl.errors import ConfigError, GuardTripped, Notice, RevetlError, WarehouseError
from revetl.project import Project
from revetl.render import loose_end
from revetl.warehouse import Warehouse

SHOWN = 3  # failing tests that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one test, or one source's freshness, ended.

    Attributes:
        name: of the test; `raw.orders` of a source.
        node: what was looked at: `model.people`, `source.raw.orders`.
        status: pass | warn | fail | error; of a source that is too old, `fail`.
        failures: how many rows fail, as the test counts them; of a source, 0.
        told: what there is to say: `3 results, configured to fail if != 0`, `12.5 hours old, …`.
        age_s: of the newest row of a source; None for a test, and for a source without rows.
        now_s: the warehouse's time when a source was looked at.
        compiled: the file with the SQL, from the project's folder, where it was written.
    """

    name: str
    node: str
    test: DataTest | None = None
    freshness: Freshness | None = None
    status: str = "pass"
    failures: int = 0
    told: str = ""
    age_s: float | None = None
    now_s: float = 0.0
    seconds: float = 0.0
    compiled: str = ""
    problem: RevetlError | None = None

    @property
    def unique_id(self) -> str:
        """Without the kind and the project."""
        return self.name if self.test is not None else self.node.partition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the tests before a sync say of it.

    Attributes:
        problems: what stops it.
        notices: what is only told.
    """

    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[RevetlError, ...] = ()
    notices: tuple[Notice, ...] = ()


NOTHING = Judged()


class Gate:
    """The tests and the freshness of a project, each asked once and only if somebody wants to know.

    Args:
        warehouse: where the models and sources are.
        monotonic: seconds that only grow.
    """

    def __init__(
        self, warehouse: Warehouse, project: Project, compiled: Compiled, *, monotonic: Callable[[], float]
    ) -> None:
        self.warehouse = warehouse
        self.project = project
        self.compiled = compiled
        self.monotonic = monotonic
        self._found: dict[str, Outcome] = {}

    # --- before a sync -------------------------------------------------------------------------------------------

    def judge(self, sync: Sync) -> Judged:
        """The tests of all that a sync reads, and how old its sources are; nothing where it does not ask."""
        mode = sync.tests or self.project.tests_mode
        if mode == "off":
            return NOTHING
        nodes = self._read(sync)
        outcomes = [*map(self.tested, tests_of(self.project, nodes)), *map(self.aged, aging(self.project, nodes))]
        problems = list(self._problems(sync, outcomes)) if mode == "gate" else []
        failed = {"warn"} if mode == "gate" else {"warn", "fail", "error"}
        notices = tuple(
            Notice(code="RV474" if one.test else "RV476", message=f"sync {sync.name!r}: {_said(one)}", hint=_look(one))
            for one in outcomes if one.status in failed
        )  # fmt: skip
        return Judged(outcomes=tuple(outcomes), problems=tuple(problems), notices=notices)

    def seen(self, sync: Sync) -> tuple[Outcome, ...]:
        """What was asked for a sync already."""
        mode = sync.tests or self.project.tests_mode
        if mode == "off" or not self._found:
            return ()
        nodes = self._read(sync)
        names = [test.name for test in tests_of(self.project, nodes)] + [f"source.{name}" for name in aging(self.project, nodes)]
        return tuple(self._found[name] for name in names if name in self._found)

    def _read(self, sync: Sync) -> set[str]:
        """All that a sync reads; the syncs that it waits for have tests of their own."""
        parents = self.compiled.parents.get(f"sync.{sync.name}", ())
        return above(self.compiled, [node for node in parents if not node.startswith("sync.")])

    @staticmethod
    def _problems(sync: Sync, outcomes: Iterable[Outcome]) -> Iterable[RevetlError]:
        failed = [one for one in outcomes if one.status == "fail" and one.test is not None]
        old = [one for one in outcomes if one.status == "fail" and one.test is None]
        for one in outcomes:
            if one.problem is not None:
                yield one.problem
        then = f"then: revetl run --select {sync.name}"
        if failed:
            named = ", ".join(f"{one.name} ({one.failures:,})" for one in failed[:SHOWN])
            more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
            what = "a test of what it reads fails" if len(failed) == 1 else f"{len(failed)} tests of what it reads fail"
            yield GuardTripped(
                f"sync {sync.name!r}: {what}: {named}{more}; nothing of it was sent",
                hint=f"{_look(failed[0])}; {then}", where=failed[0].test.where if failed[0].test else None, code="RV473",
            )  # fmt: skip
        if old:
            named = "; ".join(_said(one) for one in old[:SHOWN])
            yield GuardTripped(
                f"sync {sync.name!r}: what it reads is too old: {named}; nothing of it was sent",
                hint=f"load the source, {then}", where=old[0].freshness.where if old[0].freshness else None, code="RV475",
            )  # fmt: skip

    # --- one statement -------------------------------------------------------------------------------------------

    def tested(self, test: DataTest) -> Outcome:
        """Run a test, unless it was run already."""
        found = self._found.get(test.name)
        if found is None:
            found = self._found[test.name] = self._test(test)
        return found

    def _test(self, test: DataTest) -> Outcome:
        began, made = self.monotonic(), Outcome(name=test.name, node=test.node, test=test)
        try:
            sql = failing_rows(self.project, self.compiled, test)
            made = replace(made, compiled=self._kept(_file(test), sql))
            number: Any = sa.literal_column(f"({test.fail_calc})")
            count = sa.select(number).select_from(subquery_text(sql, "dbt_internal_test"))
            failures = int(self.warehouse.fetch(count)[0][0] or 0)
        except (ConfigError, WarehouseError) as error:
            return replace(made, status="error", problem=_located(error, test.name, test.where), told=error.message,
                           seconds=self.monotonic() - began)  # fmt: skip
        status = test.status(failures)
        asked = {"fail": test.error_if, "warn": test.warn_if}.get(status, "")
        told = f"Got {failures} result{'' if failures == 1 else 's'}, configured to {status} if {asked}" if asked else ""
        return replace(made, status=status, failures=failures, told=told, seconds=self.monotonic() - began)

    def aged(self, name: str) -> Outcome:
        """Look how old a source is, unless that was done already."""
        found = self._found.get(f"source.{name}")
        if found is None:
            found = self._found[f"source.{name}"] = self._aged(name)
        return found

    def _aged(self, name: str) -> Outcome:
        source = self.project.sources[name]
        rule = source.freshness
        assert rule is not None  # noqa: S101 chosen for it
        began, made = self.monotonic(), Outcome(name=name, node=f"source.{name}", freshness=rule)
        try:
            sql = loaded_at(relation_of(source), rule)
            made = replace(made, compiled=self._kept(f"{rule.where.file}/freshness_{name}.sql", sql))
            dialect = self.warehouse.dialect
            newest = sa.cast(sa.func.max(sa.column("loaded_at")), sa.TIMESTAMP(timezone=True))
            asked = sa.select(dialect.seconds(newest), dialect.now_ms()).select_from(subquery_text(sql, "newest"))
            [(newest_s, now_ms)] = self.warehouse.fetch(asked)
        except (ConfigError, WarehouseError) as error:
            return replace(made, status="error", problem=_located(error, f"the freshness of {name}", rule.where),
                           told=error.message, seconds=self.monotonic() - began)  # fmt: skip
        now_s = int(now_ms) / 1000
        age_s = None if newest_s is None else now_s - int(newest_s)
        word = {"error": "fail"}.get(rule.status(age_s), rule.status(age_s))
        old = "without rows" if age_s is None else f"{hours(age_s)} old"
        limit = rule.error_after if word == "fail" else rule.warn_after
        told = f"{old}, and {limit} are allowed" if word != "pass" else old
        return replace(made, status=word, age_s=age_s, now_s=now_s, told=told, seconds=self.monotonic() - began)

    def _kept(self, file: str, sql: str) -> str:
        """Write the SQL for a person; a folder that cannot be written is no reason not to test."""
        try:
            path = write_sql(self.project, file, sql)
        except ConfigError:
            return ""
        root: Path = self.project.root
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


# --- which --------------------------------------------------------------------------------------------------------


def above(compiled: Compiled, nodes: Iterable[str]) -> set[str]:
    """Some models and sources, and all that they read."""
    found: set[str] = set()
    front = set(nodes)
    while front:
        found |= front
        front = {parent for node in front for parent in compiled.parents.get(node, ())} - found
    return found


def tests_of(project: Project, nodes: set[str]) -> list[DataTest]:
    """The tests of some models and sources."""
    return [test for test in project.tests if test.node in nodes]


def aging(project: Project, nodes: set[str]) -> list[str]:
    """The sources among some nodes that have a freshness."""
    return [name for name, source in project.sources.items() if source.freshness is not None and f"source.{name}" in nodes]


# --- SQL ----------------------------------------------------------------------------------------------------------


def failing_rows(project: Project, compiled: Compiled, test: DataTest) -> str:
    """The SELECT that gives what a test finds fault with, as dbt writes it.

    Raises:
        ConfigError: a piece of the project's SQL in it is no expression.
    """
    for what, piece in (("the column", test.column), ("`where`", test.condition), ("`fail_calc`", test.fail_calc),
                        ("`field`", test.to_column)):  # fmt: skip
        _whole(piece, what, test)
    ctes, (tested, *other) = reads(project, compiled, test.nodes)
    column = test.column
    source = tested
    if test.condition:
        source = f"(\n  SELECT * FROM {tested}\n  WHERE {test.condition}\n) AS dbt_subquery"  # noqa: S608 the project's own SQL
    if test.kind == "not_null":
        sql = f"SELECT {column}\nFROM {source}\nWHERE {column} IS NULL"
    elif test.kind == "unique":
        sql = (f"SELECT {column} AS unique_field, count(*) AS n_records\nFROM {source}\nWHERE {column} IS NOT NULL\n"
               f"GROUP BY {column}\nHAVING count(*) > 1")  # fmt: skip
    elif test.kind == "accepted_values":
        values = f"SELECT {column} AS value_field, count(*) AS n_records\n  FROM {source}\n  GROUP BY {column}"  # noqa: S608
        sql = (f"SELECT value_field, n_records FROM (\n  {values}\n) AS all_values\n"  # noqa: S608
               f"WHERE value_field NOT IN ({', '.join(test.values)})")  # fmt: skip
    else:
        child = f"SELECT {column} AS from_field FROM {source}\n  WHERE {column} IS NOT NULL"  # noqa: S608
        parent = f"SELECT {test.to_column} AS to_field FROM {other[0]}"  # noqa: S608
        sql = (f"SELECT from_field FROM (\n  {child}\n) AS child\nLEFT JOIN (\n  {parent}\n) AS parent\n"  # noqa: S608
               "  ON child.from_field = parent.to_field\nWHERE parent.to_field IS NULL")  # fmt: skip
    return ctes + sql + (f"\nLIMIT {test.limit}" if test.limit else "")


def loaded_at(relation: str, rule: Freshness) -> str:
    """The SELECT of the times at which a source's rows came.

    Raises:
        ConfigError: a piece of the project's SQL in it is no expression.
    """
    for what, piece in (("`loaded_at_field`", rule.loaded_at), ("`filter`", rule.condition)):
        _whole(piece, what, rule)
    where = f"\nWHERE {rule.condition}" if rule.condition else ""
    return f"SELECT {rule.loaded_at} AS loaded_at\nFROM {relation}{where}"


def _whole(piece: str, what: str, of: DataTest | Freshness) -> None:
    loose = loose_end(piece)
    if loose is not None:
        raise ConfigError(f"{what} is no expression of SQL: it has {loose[0]}", where=of.where, code="RV471")


def _file(test: DataTest) -> str:
    return f"{test.where.file}/{test.file_name}.sql"


# --- words --------------------------------------------------------------------------------------------------------


def hours(seconds: float) -> str:
    """An age as people say it: `12 minutes`, `30.5 hours`, `4.2 days`."""
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {word}"
    return f"{max(0, round(seconds))} seconds"


def _said(one: Outcome) -> str:
    if one.test is None:
        return f"source {one.name} is {one.told}" if one.problem is None else f"the freshness of {one.name}: {one.told}"
    return f"test {one.name}: {one.told}"


def _look(one: Outcome) -> str:
    return f"the SQL that finds the rows: {one.compiled}" if one.compiled else "revetl test writes the SQL that finds the rows"


def _located(error: RevetlError, what: str, where: Any) -> RevetlError:  # noqa: ANN401 a `Where`
    """The error with the place of the test; SQL that the engine points at is the project's mistake."""
    if isinstance(error, WarehouseError) and error.line:
        return ConfigError(f"{what} does not run: {error.message}", hint=error.hint or "revetl test", where=where, code="RV477")
    if not error.message.startswith(what):
        error.message = f"{what}: {error.message}"
    error.where = error.where or where
    return error


def selected(project: Project, compiled: Compiled, nodes: Mapping[str, bool] | None) -> tuple[list[DataTest], list[str]]:
    """Tests and sources to look at by hand.

    Args:
        nodes: that were selected; those with True stand for all that they read. None is everything.
    """
    if nodes is None:
        every = {test.node for test in project.tests} | {f"source.{name}" for name in project.sources}
        return tests_of(project, every), aging(project, every)
    wanted = set(nodes) | above(compiled, [node for node, whole in nodes.items() if whole])
    return tests_of(project, wanted), aging(project, wanted)


def worst(outcomes: Sequence[Outcome]) -> bool:
    """Whether any failed, or could not be run."""
    return any(one.status in {"fail", "error"} for one in outcomes)
