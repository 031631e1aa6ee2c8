"""What the commands do, as functions: they give values, print nothing, and never exit.

    project = load(project_dir="shop", target="prod")
    diff(project)    → DiffResult: what a run would do now; writes nothing
    run(project)     → RunResult: deliver, and remember what was acknowledged
    retry(project)   → RunResult: what the last run left, with its options

They raise `RevetlError` for what keeps them from starting; what a run meets is in its result. SQLAlchemy, the
engine and the HTTP client are imported by the functions that use them, so that `parse` and `ls` stay quick.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import secrets
import shlex
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

from revetl import __version__, artifacts, dbtchecks, previous
from revetl.compiler import Build, Compiled, compile_project, external_files
from revetl.compiler import write_compiled as write_compiled_files
from revetl.errors import ConfigError, RevetlError, WarehouseError, Where
from revetl.nearest import near
from revetl.profiles import Secret, keys_of
from revetl.project import Project
from revetl.project import load as load_project
from revetl.project import schema as sync_schema
from revetl.report import Heading
from revetl.selection import select as select_syncs

if TYPE_CHECKING:
    from revetl.checklist import Answer
    from revetl.contracts import Sync
    from revetl.datatests import DataTest
    from revetl.delivery import DeliverySettings
    from revetl.duplicates import Candidates
    from revetl.elsewhere import StateElsewhere
    from revetl.engine import CompiledSync, Destination, DiffResult, Engine, Observer, RunOptions, RunResult
    from revetl.forget import Receipt
    from revetl.gates import Gate, Outcome
    from revetl.lint import Finding
    from revetl.plan import Counts
    from revetl.reconcile import Reconciled
    from revetl.renames import DualSend
    from revetl.repair import Findings
    from revetl.unsent import Unsent
    from revetl.upkeep import RunRow, StreamHealth
    from revetl.warehouse import Warehouse

__all__ = ["compile", "diff", "load", "retry", "run"]

# on this machine nobody is served worse by more speed
SANDBOX_RATES: Mapping[str, float] = {"requests_per_second": 1_000.0, "operations_per_second": 100_000.0}
RUNS_SHOWN = 5
OF_THE_SOURCE = frozenset({"test", "source freshness", "defer"})  # they ask nothing of the state
ARGS = ("full_refresh", "retry_refused", "backfill", "confirm_deletes", "confirm_changes", "confirm_first_run",
        "confirm_growth", "allow_empty", "accept_contract", "confirm_drift", "warn_error", "fail_fast", "backfill_before",
        "older_only", "confirm_triggering", "confirm_merges")  # fmt: skip


class Silent:
    """An observer that says nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def planned(self, sync: Sync, counts: Counts) -> None:
        """Nothing."""

    def progress(self, sync: Sync, done: int, total: int, requests: int) -> None:
        """Nothing."""


# --- the project ---------------------------------------------------------------------------------------------------


def load(  # noqa: PLR0913 dbt's flags
    project_dir: str | Path | None = None, *, profiles_dir: str | Path | None = None, profile: str | None = None,
    target: str | None = None, variables: str | Mapping[str, Any] | None = None,
    target_path: str | Path | None = None, environ: Mapping[str, str] | None = None, state: str | Path | None = None,
    defer: bool = False, favor_state: bool = False,
) -> Project:  # fmt: skip
    """Read a project: its files, and the chosen target of its profile.

    Args:
        project_dir: the folder; here or the nearest one above unless given.
        profiles_dir: where profiles.yml is.
        profile: the profile's name.
        target: the target's name.
        variables: for `var()`, as a mapping or as YAML text; they win over the project's.
        target_path: for artifacts; a relative one starts at the project.
        environ: instead of `os.environ`.
        state: a folder with another state's manifest.json, of revetl, of dbt, or both: for `state:modified` and `defer`.
        defer: take the relations that dbt has not built from there; asks the warehouse which these are.
        favor_state: take all of them from there, and do not ask.

    Raises:
        ProjectErrors: with every problem found.
    """
    given = parsed_vars(variables) if isinstance(variables, str) else variables
    found = load_project(
        Path(project_dir) if project_dir else None, profiles_dir=Path(profiles_dir) if profiles_dir else None,
        profile=profile or None, target=target or None, cli_vars=given, environ=environ,
    )  # fmt: skip
    found = replace(found, target_path=found.root / target_path) if target_path else found
    found = replace(found, state=previous.read(Path(state))) if state else found
    return _deferred(found, environ, favor=favor_state) if defer else found


def _deferred(project: Project, environ: Mapping[str, str] | None, *, favor: bool) -> Project:
    """The project with relations of another state for what dbt has not built; a compile and a question for each."""
    before, dbt = project.state, project.dbt
    if before is None or dbt is None:
        lacks = "a dbt project in [tool.revetl.dbt]" if dbt is None else "the state to take relations from"
        raise ConfigError(f"--defer needs {lacks}", hint="--defer --state DIR, with dbt's manifest.json in DIR", code="RV459")
    compiled = compile_project(project, environ=environ)
    used = {node for name in compiled.syncs for node in compiled.upstream(name)}
    there = {node: before.relation(node) for node in sorted(used)}
    there = {node: found for node, found in there.items() if found and found != dbt.node(node).relation}
    if not favor:
        there = {node: found for node, found in there.items() if not _exists(project, dbt.node(node).relation)}
    return replace(project, dbt=dbt.defer(there))


def _exists(project: Project, relation: str) -> bool:
    """Whether a relation can be read; in a session of its own, which a failed statement may spoil."""
    with _warehouse(project, "defer", read_only=True) as warehouse:
        try:
            warehouse.columns(f"SELECT * FROM {relation}")  # noqa: S608 as dbt quoted it
        except WarehouseError as problem:
            if dbtchecks.is_missing(problem.message):
                return False
            raise
    return True


def parsed_vars(text: str) -> dict[str, Any]:
    """`--vars` as a mapping.

    Raises:
        ConfigError: it is none.
    """
    import yaml

    try:
        found = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError("--vars must be a YAML or JSON mapping", hint="--vars '{since: 2026-01-01}'")
    return {str(name): value for name, value in found.items()}


def compile(  # noqa: A001 the command's name
    project: Project,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> tuple[CompiledSync, ...]:
    """The selected syncs with their SQL, in the order of work. Opens no connection.

    Raises:
        ProjectErrors: with every problem of every model.
        ConfigError: a selector that means nothing.
    """
    compiled = compile_project(project, environ=environ)
    return tuple(_sync(compiled, name) for name in _chosen(project, compiled, select, exclude))


def selected(
    project: Project,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> tuple[Sync, ...]:
    """The selected syncs, in the order of work."""
    compiled = compile_project(project, environ=environ)
    return tuple(compiled.syncs[name] for name in _chosen(project, compiled, select, exclude))


def _chosen(project: Project, compiled: Compiled, select: Sequence[str], exclude: Sequence[str]) -> tuple[str, ...]:
    """The names of the selected syncs; what has changed is worked out only where it is asked for."""
    asked = any("state:" in term for term in (*select, *exclude))
    found = previous.states(project, compiled, project.state) if asked and project.state is not None else None
    return select_syncs(compiled, tuple(select), tuple(exclude), found)


def _sync(compiled: Compiled, name: str) -> CompiledSync:
    from revetl.engine import CompiledSync

    def locate(line: int) -> Where | None:
        return compiled.locate(name, line)

    found = CompiledSync(sync=compiled.syncs[name], sql=compiled.sql(name), locate=locate, missing=compiled.absent)
    dbt, reads = compiled.dbt, compiled.upstream(name)
    if dbt is None or not reads:
        return found
    stops, notices = dbtchecks.standing(dbt, found.sync, reads, datetime.now(UTC).date())

    def missing(said: str) -> ConfigError | None:
        return dbtchecks.not_built(dbt, reads, said) or compiled.absent(said)

    return replace(found, stops=tuple(stops), notices=tuple(notices), missing=missing)


def _syncs(compiled: Compiled, names: Sequence[str], warehouse: Warehouse) -> list[CompiledSync]:
    """Some syncs, as a warehouse runs them."""
    made = [_sync(compiled, name) for name in names]
    return [warehouse.adopt(one) for one in made] if _is_elsewhere(warehouse) else made


def _source(warehouse: Warehouse) -> Warehouse:
    """Where models and sources are."""
    return warehouse.source if _is_elsewhere(warehouse) else warehouse


def _is_elsewhere(warehouse: Warehouse) -> TypeGuard[StateElsewhere]:
    return hasattr(warehouse, "adopt")


def heading(project: Project) -> Heading:
    """Where results of this project come from."""
    kind = project.destination.type
    place = f"customerio ({project.destination.region})" if kind == "customerio" else kind
    return Heading(project=project.name, target=project.target.name, destination=place, version=__version__)


def secrets_of(project: Project, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every secret that this project uses, to be masked wherever text is written."""
    d = project.destination
    found = set(keys_of(project.target, d)) | set(artifacts.secret_values(environ))
    if d.site_id is not None and d.api_key is not None:  # as the header of a request shows them
        found.add(b64encode(f"{d.site_id.reveal()}:{d.api_key.reveal()}".encode()).decode())
    return tuple(
        sorted((s for s in found if len(s) >= artifacts.SHORTEST_SECRET), key=lambda s: (-len(s), s))
    )


# --- warehouse and destination -------------------------------------------------------------------------------------


@contextmanager
def _warehouse(project: Project, command: str, *, read_only: bool) -> Iterator[Warehouse]:
    from revetl.warehouse import open_warehouse

    state = project.target.state
    comment = f"revetl {__version__} {command} project={project.name} target={project.target.name}"
    found = open_warehouse(
        project.target.type, project.target.fields, root=project.root, read_only=read_only or state is not None,
        files=external_files(project), comment=comment,
    )  # fmt: skip
    found.place = project.target.where
    if state is not None and command not in OF_THE_SOURCE:
        from revetl.elsewhere import open_elsewhere

        found = open_elsewhere(found, state, root=project.root, read_only=read_only, comment=comment)
    try:
        yield found
    finally:
        found.close()


def delivery_settings(project: Project) -> DeliverySettings:
    """Rates and patience: the destination's own, else a sandbox's or the careful defaults."""
    from revetl.delivery import DeliverySettings

    given = {
        name: value for name, value in project.destination.settings.items() if name != "identify_timestamp"
    }
    base = SANDBOX_RATES if project.destination.type == "sandbox" else {}
    return DeliverySettings(**{**base, **given})  # type: ignore[arg-type]  # checked when the profile was read


def workspace_file(project: Project) -> Path:
    """The file of the target's sandbox workspace.

    Raises:
        ConfigError: the destination is no sandbox on this machine's disk.
    """
    d = project.destination
    if d.type != "sandbox" or d.url:
        what = "a sandbox at an address of its own" if d.url else "Customer.io itself"
        raise ConfigError(
            f"the destination {d.name!r} is {what}",
            hint="choose a target whose destination is `type: sandbox`",
        )
    return project.root / d.path


def _connect(
    project: Project, settings: DeliverySettings, observer: Observer, environ: Mapping[str, str],
    on_kill: Callable[[Callable[[], None]], None] = lambda _: None,
) -> Destination:  # fmt: skip
    from revetl import connect
    from revetl.customerio import TrackSender

    d = project.destination
    if d.type == "customerio" or d.url:
        return TrackSender(
            site_id=d.site_id.reveal() if d.site_id else "", api_key=d.api_key.reveal() if d.api_key else "",
            region=d.region, base_url=d.url, ca_file=d.ca_file, concurrency=settings.concurrency, version=__version__,
        )  # fmt: skip
    found: Destination = connect.to_sandbox(
        workspace_file(project), concurrency=settings.concurrency, version=__version__, environ=environ,
        note=observer.note, on_kill=on_kill,
    )  # fmt: skip
    return found


# --- diff and run --------------------------------------------------------------------------------------------------


def _engine(project: Project, compiled: Compiled, warehouse: Warehouse, observer: Observer) -> Engine:
    from revetl.delivery import RealClock
    from revetl.engine import Engine

    return Engine(
        warehouse,
        schema=project.state_schema,
        syncs=_syncs(compiled, compiled.order, warehouse),
        clock=RealClock(),
        observer=observer,
        version=__version__,
        journeys=journeys(project),
        gate=_gate(project, compiled, warehouse),
    )


def _gate(project: Project, compiled: Compiled, warehouse: Warehouse) -> Gate | None:
    """The tests before the syncs; None where there are none."""
    from revetl.gates import Gate

    aging = any(source.freshness is not None for source in project.sources.values())
    return Gate(_source(warehouse), project, compiled, monotonic=time.monotonic) if project.tests or aging else None


def journeys(project: Project) -> dict[tuple[str, str], tuple[str, ...]]:
    """Which journeys of Customer.io use a name, by (kind, name), as the project's taxonomy says."""
    t = project.taxonomy
    return {
        (kind, name): term.journeys
        for kind, terms in (("event", t.events), ("property", t.properties), ("attribute", t.attributes))
        for name, term in terms.items()
        if term.journeys
    }


def dual_sends(project: Project, sync: Sync) -> tuple[DualSend, ...]:
    """The names of a sync that changed, by this machine's clock."""
    from revetl import renames

    return renames.dual_sends(sync, datetime.now(UTC).date(), journeys(project))


def diff(  # noqa: PLR0913 the command's options
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (), options: RunOptions | None = None,
    show: int = 0, check: bool = False, observer: Observer | None = None, environ: Mapping[str, str] | None = None,
) -> DiffResult:  # fmt: skip
    """What a run would do now; reads the warehouse, writes nothing, and reaches no destination.

    Args:
        project: from `load`.
        select: selectors of syncs; all of them unless given.
        exclude: selectors of syncs to leave out.
        options: as for the run.
        show: how many changes of each sync to read with their values.
        check: read the rows that would be sent, and count what they break.
        observer: is told what happens.
        environ: instead of `os.environ`.

    Raises:
        ConfigError, WarehouseError: nothing could be compared.
    """
    from revetl import ci
    from revetl.engine import RunOptions

    ci.may_read(os.environ if environ is None else environ)
    compiled = compile_project(project, environ=environ)
    names = _chosen(project, compiled, select, exclude)
    _builds(project, compiled, names)
    with _warehouse(project, "diff", read_only=True) as warehouse:
        engine = _engine(project, compiled, warehouse, observer or Silent())
        syncs = _syncs(compiled, names, warehouse)
        return engine.diff(syncs, options or RunOptions(), settings=delivery_settings(project), show=show, check=check)


def candidates(
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (), show: int = 0,
    environ: Mapping[str, str] | None = None,
) -> tuple[Candidates, ...]:  # fmt: skip
    """People of the models who may be one person, by the rules of each person sync; read-only.

    Args:
        project: from `load`.
        select: selectors of syncs; all person syncs unless given.
        exclude: selectors of syncs to leave out.
        show: how many groups of each rule to read with two of their keys.
        environ: instead of `os.environ`.

    Raises:
        ConfigError: no person sync is selected, or a model does not run.
        ContractBroken: a model does not give a column that a rule reads.
    """
    from revetl import ci

    ci.may_read(os.environ if environ is None else environ)
    compiled = compile_project(project, environ=environ)
    names = _chosen(project, compiled, select, exclude)
    _builds(project, compiled, names)
    if not any(compiled.syncs[name].is_person for name in names):
        raise ConfigError("no person sync is selected", hint="revetl identity report")
    with _warehouse(project, "identity report", read_only=True) as warehouse:
        engine = _engine(project, compiled, warehouse, Silent())
        return engine.candidates(_syncs(compiled, names, warehouse), show=max(1, show))


def reconcile(
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (), days: int = 30,
    environ: Mapping[str, str] | None = None,
) -> Reconciled:  # fmt: skip
    """Money sent against money in the models, by day and currency; read-only.

    Args:
        project: from `load`.
        select: selectors of syncs; all of them unless given.
        exclude: selectors of syncs to leave out.
        days: how many, today included (UTC); 0 means all.
        environ: instead of `os.environ`.

    Raises:
        ConfigError: no selected sync has `money:`, or a model does not run.
        ContractBroken, StateDamaged, WarehouseError: nothing could be compared.
    """
    from revetl import ci
    from revetl.reconcile import reconcile as compare

    ci.may_read(os.environ if environ is None else environ)
    compiled = compile_project(project, environ=environ)
    names = _chosen(project, compiled, select, exclude)
    _builds(project, compiled, names)
    with _warehouse(project, "reconcile", read_only=True) as warehouse:
        engine = _engine(project, compiled, warehouse, Silent())
        return compare(engine, _syncs(compiled, names, warehouse), days=days)


def run(  # noqa: PLR0913 the command's options
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (), options: RunOptions | None = None,
    observer: Observer | None = None, stopping: Callable[[Callable[[RevetlError], None]], None] = lambda _: None,
    on_kill: Callable[[Callable[[], None]], None] = lambda _: None, environ: Mapping[str, str] | None = None,
) -> RunResult:  # fmt: skip
    """Plan and deliver the selected syncs.

    Args:
        project: from `load`.
        select: selectors of syncs; all of them unless given.
        exclude: selectors of syncs to leave out.
        options: what was asked, confirmed and expected.
        observer: is told what happens.
        stopping: is given a function that ends the run cleanly, for a signal's handler.
        on_kill: is given what must be done if the process ends at once.
        environ: instead of `os.environ`.

    Raises:
        ConfigError: nothing was started.
        GuardTripped: what would be sent is not what `options.expect` names.
        WarehouseError: a model that is a view or a table could not be built; nothing was sent.
    """
    from revetl import ci
    from revetl.engine import RunOptions

    environ = os.environ if environ is None else environ
    ci.may_send(environ, real=project.destination.type == "customerio")
    watcher = observer or Silent()
    if said := _new_state(project, environ):
        watcher.note(f"warning: {said}")
    compiled = compile_project(project, environ=environ)
    names = _chosen(project, compiled, select, exclude)
    settings = delivery_settings(project)
    asked = options or RunOptions()
    with _warehouse(project, "run", read_only=False) as warehouse:
        _build(project, compiled, names, warehouse, watcher)
        engine = _engine(project, compiled, warehouse, watcher)
        syncs = _syncs(compiled, names, warehouse)
        if asked.expect:
            engine.expect(syncs, asked, settings=settings)
        return engine.run(
            syncs, asked,
            connect=lambda: _connect(project, settings, watcher, environ, on_kill), settings=settings,
            rng=random.Random(os.urandom(16)),  # noqa: S311 jitter and run ids, no secrets
            owner=f"{socket.gethostname()}/{os.getpid()}/{int(time.time())}", stopping=stopping,
            identify_timestamp=bool(project.destination.settings.get("identify_timestamp", False)),
            key_print=_key_print(project),
        )  # fmt: skip


def _new_state(project: Project, environ: Mapping[str, str]) -> str:
    """What to say where the state would be new in a place that does not stay.

    Raises:
        ConfigError: Customer.io itself would get everything again with the next run.
    """
    from revetl import ci

    target, state = project.target, project.target.state
    kind, fields = (state.kind, state.fields) if state is not None else (target.type, target.fields)
    path = str(fields.get("path") or ":memory:")
    if kind != "duckdb" or path.startswith(("md:", "motherduck:")) or (project.root / path).exists():
        return ""
    real, memory = project.destination.type == "customerio", path == ":memory:"
    return ci.may_begin(path, environ, memory=memory, real=real, on=ci.vanishing(environ))


def _key_print(project: Project) -> str:
    """A digest by which a key is told from the one before; of a sandbox of this machine there is none."""
    d = project.destination
    if d.site_id is None or d.api_key is None:
        return ""
    return hashlib.sha256(f"{d.site_id.reveal()}:{d.api_key.reveal()}".encode()).hexdigest()[:12]


def _builds(project: Project, compiled: Compiled, names: Sequence[str]) -> list[Build]:
    """The views and tables that the selected syncs read, in their order.

    Raises:
        ConfigError: there is one, and nothing is written to this warehouse.
    """
    needed: set[str] = set()
    front = {f"sync.{name}" for name in names}
    while front:
        needed |= front
        front = {parent for node in front for parent in compiled.parents.get(node, ())} - needed
    found = [build for build in compiled.builds if f"model.{build.name}" in needed]
    if found and project.target.state is not None:
        raise ConfigError(
            f"model {found[0].name!r} is to be a {found[0].materialized}, and where the state is kept elsewhere nothing is "
            "written to the warehouse", hint="let it be ephemeral, or let dbt build it and read it by source()",
            where=Where(file=project.models[found[0].name].path), code="RV481",
        )  # fmt: skip
    return found


def _build(
    project: Project, compiled: Compiled, names: Sequence[str], warehouse: Warehouse, observer: Observer
) -> None:
    """Make the views and tables that the selected syncs read, in their order; each replaces the old one whole."""
    from revetl import upkeep

    for build in _builds(project, compiled, names):
        observer.note(f"building {build.materialized} {build.name}")
        try:
            upkeep.build(warehouse, build.relation, build.materialized, build.sql)
        except WarehouseError as problem:
            raise ConfigError(
                f"the {build.materialized} of model {build.name!r} cannot be built: {problem.message}",
                hint=f"revetl compile writes its SQL to {project.target_path}/compiled",
                where=Where(file=project.models[build.name].path), code="RV221",
            ) from None  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How tests, or sources, ended."""

    outcomes: tuple[Outcome, ...]
    seconds: float


def run_tests(  # noqa: PLR0913 the command's options
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (), freshness: bool = False,
    told: Callable[[int, int, Outcome], None] = lambda *_: None, environ: Mapping[str, str] | None = None,
) -> Tested:  # fmt: skip
    """Run the tests of models and sources, each in one statement; read-only.

    Args:
        project: from `load`.
        select: selectors; a sync stands for all that it reads. Everything unless given.
        exclude: selectors to leave out.
        freshness: look how old the sources are instead.
        told: is given each as it ends: its number, how many there are, and how it ended.
        environ: instead of `os.environ`.

    Raises:
        ConfigError, WarehouseError: nothing could be tested.
    """
    from revetl import ci, gates
    from revetl.selection import nodes

    ci.may_read(os.environ if environ is None else environ)
    compiled = compile_project(project, environ=environ)
    wanted = nodes(compiled, tuple(select), tuple(exclude)) if select or exclude else None
    tests, sources = gates.selected(project, compiled, wanted)
    began, outcomes = time.monotonic(), []
    with _warehouse(project, "source freshness" if freshness else "test", read_only=True) as warehouse:
        gate = gates.Gate(warehouse, project, compiled, monotonic=time.monotonic)
        chosen: Sequence[DataTest | str] = sources if freshness else tests
        for number, one in enumerate(chosen, 1):
            outcomes.append(gate.aged(one) if isinstance(one, str) else gate.tested(one))
            told(number, len(chosen), outcomes[-1])
    return Tested(outcomes=tuple(outcomes), seconds=time.monotonic() - began)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """What the last run left, and the options that it had."""

    names: tuple[str, ...]
    args: Mapping[str, Any]


def last_run(project: Project) -> LastRun:
    """Read target/run_results.json.

    Raises:
        ConfigError: nothing was run yet, or a masked secret stands among its variables.
    """
    document = artifacts.read_run_results(project.target_path / "run_results.json")
    if (document.get("args") or {}).get("command") == "test":
        raise ConfigError("the last command was `revetl test`, which sends nothing", hint="revetl test; or: revetl run")
    return LastRun(names=artifacts.failed_syncs(document), args=dict(document.get("args") or {}))


def moment(text: str) -> int:
    """A point in time as Unix seconds: an ISO date or time, UTC unless it says otherwise.

    Raises:
        ConfigError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no time", hint="--backfill-before 2026-11-01, or 2026-11-01T12:00+01:00", code="RV275"
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def run_options(asked: Mapping[str, Any]) -> RunOptions:
    """Options of the command line, or of an earlier run's `args`, as the engine's."""
    from revetl.engine import RunOptions
    from revetl.plan import Confirmations

    return RunOptions(
        full_refresh=bool(asked.get("full_refresh")), retry_refused=bool(asked.get("retry_refused")),
        backfill=bool(asked.get("backfill") or asked.get("backfill_before") or asked.get("older_only")),
        backfill_before_s=moment(asked["backfill_before"]) if asked.get("backfill_before") else None,
        older_only=bool(asked.get("older_only")), fail_fast=bool(asked.get("fail_fast")), expect=asked.get("expect") or "",
        accept_contract=bool(asked.get("accept_contract")), confirm_drift=asked.get("confirm_drift") or "",
        confirmed=Confirmations(
            deletes=asked.get("confirm_deletes"), changes=asked.get("confirm_changes"),
            first_run=asked.get("confirm_first_run"), growth=asked.get("confirm_growth"),
            merges=asked.get("confirm_merges"), triggering=asked.get("confirm_triggering"), empty=bool(asked.get("allow_empty")),
        ),
    )  # fmt: skip


def retry(project: Project, **surroundings: Any) -> RunResult:  # noqa: ANN401 the keyword arguments of `run`
    """Run again the failed, skipped and partial syncs of the last run, with its options.

    Args:
        project: from `load`; its target counts, not the last run's.
        **surroundings: as for `run`.

    Raises:
        ConfigError: nothing was run yet, or nothing is left to do.
    """
    last = last_run(project)
    if not last.names:
        raise ConfigError("the last run left nothing to do", hint="revetl run")
    select = [f"sync:{name}" for name in last.names]
    return run(project, select=select, options=run_options({**last.args, "expect": None}), **surroundings)


# --- artifacts -----------------------------------------------------------------------------------------------------


def write_run(
    project: Project,
    result: RunResult,
    *,
    args: Mapping[str, Any],
    invocation_id: str,
    environ: Mapping[str, str],
) -> Path:
    """Write target/run_results.json; what it says of the arguments is enough for `retry`."""
    head = artifacts.metadata(
        artifacts.RUN_RESULTS,
        heading(project),
        invocation_id=invocation_id,
        now=datetime.now(UTC),
        environ=environ,
    )
    document = artifacts.run_results(
        result, heading(project), head=head, args=args, secrets=secrets_of(project, environ)
    )
    path = project.target_path / "run_results.json"
    artifacts.write_json(path, document)
    return path


def write_tests(  # noqa: PLR0913 what an artifact says
    project: Project, found: Tested, *, args: Mapping[str, Any], freshness: bool, invocation_id: str,
    environ: Mapping[str, str],
) -> Path:  # fmt: skip
    """Write target/run_results.json of tests, or target/sources.json."""
    head = artifacts.metadata(
        artifacts.SOURCES if freshness else artifacts.RUN_RESULTS, heading(project), invocation_id=invocation_id,
        now=datetime.now(UTC), environ=environ,
    )  # fmt: skip
    masked = secrets_of(project, environ)
    if freshness:
        document = artifacts.scrubbed(
            artifacts.sources(found.outcomes, heading(project), head=head, seconds=found.seconds), masked
        )
    else:
        document = artifacts.results_of_tests(
            found.outcomes, heading(project), head=head, args=args, seconds=found.seconds, secrets=masked
        )
    path = project.target_path / ("sources.json" if freshness else "run_results.json")
    artifacts.write_json(path, document)
    return path


def write_manifest(project: Project, *, invocation_id: str, environ: Mapping[str, str]) -> Compiled:
    """Compile everything and write target/manifest.json."""
    compiled = compile_project(project, environ=environ)
    head = artifacts.metadata(
        artifacts.MANIFEST,
        heading(project),
        invocation_id=invocation_id,
        now=datetime.now(UTC),
        environ=environ,
    )
    document = artifacts.manifest(project, compiled, head=head)
    artifacts.write_json(
        project.target_path / "manifest.json", artifacts.scrubbed(document, secrets_of(project, environ))
    )
    return compiled


def write_compiled(
    project: Project,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    compiled: Compiled | None = None,
) -> Iterator[tuple[Path, str]]:
    """Write target/compiled; gives the file and the SQL of each selected sync.

    Args:
        project: from `load`.
        select: selectors of syncs; all of them unless given.
        exclude: selectors of syncs to leave out.
        environ: instead of `os.environ`.
        compiled: the project, if it was compiled already.
    """
    compiled = compiled or compile_project(project, environ=environ)
    names = _chosen(project, compiled, select, exclude)
    write_compiled_files(compiled, project)
    for name in names:
        yield project.target_path / "compiled" / project.name / "syncs" / f"{name}.sql", compiled.sql(name)


def exposures(
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> str:
    """The selected syncs as a file of dbt's exposures."""
    from revetl.exposures import exposures as text

    compiled = compile_project(project, environ=environ)
    return text(compiled, _chosen(project, compiled, select, exclude), heading(project))


def lint(project: Project) -> tuple[Finding, ...]:
    """What is wrong with the project's names, also what it accepts; opens no connection."""
    from revetl.lint import lint as found

    return found(project)


def check(project: Project, *, environ: Mapping[str, str] | None = None) -> tuple[Answer, ...]:
    """The checklist, answered from the project's files, and from what runs measured where the warehouse can be read."""
    from revetl.checklist import checklist

    try:
        streams = status(project, environ=environ).streams
    except RevetlError:
        return checklist(project, lint(project))
    return checklist(project, lint(project), {s.name: s.latency[-1].p95_s for s in streams if s.latency})


def schema() -> str:
    """The JSON Schema of syncs/*.yml."""
    return json.dumps(sync_schema(), indent=2)


def grants(
    project: Project, *, dialect: str | None = None, prefix: str = "revetl", environ: Mapping[str, str] | None = None
) -> str:
    """The script that gives three roles what this project needs in its warehouse, and no more.

    Args:
        project: from `load`.
        dialect: `postgres` or `snowflake`; the target's own unless given.
        prefix: of the roles' names.
        environ: instead of `os.environ`.

    Raises:
        ConfigError: a warehouse without roles.
    """
    from revetl.grants import needs, script

    found = needs(project, compile_project(project, environ=environ))
    return script(found, dialect or project.target.type, prefix=prefix)


# --- looking, and changing by hand ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The health of the selected streams, of the workspace's row, and the last runs."""

    schema: str
    streams: tuple[StreamHealth, ...]
    workspace: StreamHealth
    runs: tuple[RunRow, ...]
    unsent: Mapping[str, Unsent] = field(default_factory=dict)


def status(
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (), models: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Status:  # fmt: skip
    """What the warehouse knows of the selected syncs; read-only.

    Args:
        project: from `load`.
        select: selectors of syncs; all of them unless given.
        exclude: selectors of syncs to leave out.
        models: read the models of events as well, for the oldest that is not sent.
        environ: instead of `os.environ`.
    """
    from revetl import ci, upkeep
    from revetl.unsent import Unsent, unsent

    refused = ""
    try:
        ci.may_read(os.environ if environ is None else environ)
    except ConfigError as problem:  # the rest of the status reads revetl's own tables only
        refused = problem.message
    compiled = compile_project(project, environ=environ)
    chosen = [compiled.syncs[name] for name in _chosen(project, compiled, select, exclude)]
    names = [(sync.name, sync.uid) for sync in chosen]
    schema = project.state_schema
    with _warehouse(project, "status", read_only=True) as warehouse:
        *streams, workspace = upkeep.health(warehouse, schema, [*names, ("the workspace", upkeep.WORKSPACE)])
        runs = upkeep.recent_runs(warehouse, schema, RUNS_SHOWN)
        engine = _engine(project, compiled, warehouse, Silent())
        engine.look()
        events = [sync.name for sync in chosen if sync.event] if models else []
        waiting = {
            name: Unsent(problem=refused) if refused else unsent(engine, *_syncs(compiled, [name], warehouse)) for name in events
        }
    return Status(schema=schema, streams=tuple(streams), workspace=workspace, runs=runs, unsent=waiting)


class Upkeep:
    """Changes of the selected streams by hand; see `upkeep.py` for what each means and refuses."""

    def __init__(self, warehouse: Warehouse, schema: str, syncs: Sequence[Sync]) -> None:
        self._warehouse = warehouse
        self._schema = schema
        self._syncs = tuple(syncs)

    def known(self) -> list[tuple[Sync, StreamHealth]]:
        """The streams that have a state."""
        from revetl import upkeep

        found = upkeep.health(self._warehouse, self._schema, [(s.name, s.uid) for s in self._syncs])
        return [
            (sync, health)
            for sync, health in zip(self._syncs, found, strict=True)
            if health.exists or health.damaged
        ]

    def reset(self) -> Iterator[str]:
        """Drop the tables of each; names as they are done."""
        from revetl import upkeep

        for sync, _ in self.known():
            upkeep.reset(self._warehouse, self._schema, sync.name, sync.uid)
            yield sync.name

    def held(self) -> list[StreamHealth]:
        """The streams whose lease is taken, and the workspace's row where it is."""
        from revetl import upkeep

        workspace = upkeep.health(self._warehouse, self._schema, [("the workspace", upkeep.WORKSPACE)])
        return [health for health in (*(health for _, health in self.known()), *workspace) if health.owner]

    def unlock(self) -> Iterator[tuple[str, float]]:
        """Clear each lease; with the seconds that the next run waits."""
        from revetl import upkeep

        for _, health in self.known():
            if health.owner:
                yield health.name, upkeep.unlock(self._warehouse, self._schema, health.name, health.uid)
        # a run that died while it gave its streams back holds this row only
        for health in self.held():
            if health.uid == upkeep.WORKSPACE:
                upkeep.unlock(self._warehouse, self._schema, health.name, upkeep.WORKSPACE)

    def accept_key(self) -> Iterator[str]:
        """Forget the type of each key column."""
        from revetl import upkeep

        for sync, _ in self.known():
            upkeep.accept_key(self._warehouse, self._schema, sync.name, sync.uid)
            yield sync.name

    def resolve(self, *, resend: bool) -> Iterator[tuple[str, int]]:
        """Let the held events of each go out again, or take them for sent; with their number."""
        from revetl import upkeep

        change = upkeep.resend_held if resend else upkeep.mark_sent
        for sync, health in self.known():
            if any(group.outcome == "held" for group in health.open):
                yield sync.name, change(self._warehouse, self._schema, sync.name, sync.uid)


class Repairs:
    """Repairs of the selected streams; see `repair.py`."""

    def __init__(self, engine: Engine, syncs: Sequence[CompiledSync]) -> None:
        self._engine = engine
        self._syncs = {compiled.sync.name: compiled for compiled in syncs}

    def examine(self) -> list[Findings]:
        """What is wrong with each, and what a repair would do."""
        from revetl import repair

        return [
            repair.examine(self._engine.warehouse, self._engine.described(compiled)[1], compiled.sync)
            for compiled in self._syncs.values()
        ]

    def repair(self, name: str) -> int:
        """Repair one; how many events are held now."""
        from revetl import repair

        compiled = self._syncs[name]
        shape, tables = self._engine.described(compiled)
        return repair.repair(self._engine.warehouse, shape, compiled.sql, tables)


@contextmanager
def repairs(
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Repairs]:  # fmt: skip
    """Repairs of the selected streams, in one session."""
    compiled = compile_project(project, environ=environ)
    names = _chosen(project, compiled, select, exclude)
    with _warehouse(project, "state repair", read_only=False) as warehouse:
        yield Repairs(_engine(project, compiled, warehouse, Silent()), _syncs(compiled, names, warehouse))


def forget(  # noqa: PLR0913 the command's options
    project: Project, keys: Sequence[str], *, kind: str = "", reason: str = "", undo: bool = False,
    observer: Observer | None = None, on_kill: Callable[[Callable[[], None]], None] = lambda _: None,
    environ: Mapping[str, str] | None = None,
) -> Receipt:  # fmt: skip
    """Forget people: deleted and suppressed in Customer.io, and never sent again; or undo that.

    Args:
        project: from `load`.
        keys: identifiers of people.
        kind: of the identifiers; that of the project's people unless given.
        reason: kept beside the tombstones.
        undo: lift the suppression, and let the next run create them again.
        observer: is told what happens.
        on_kill: as for `run`.
        environ: instead of `os.environ`.

    Raises:
        ConfigError, LeaseHeld, DestinationDown, CredentialsRefused, StateDamaged, WarehouseError: not done yet; the
            command may be typed again.
    """
    from revetl import ci
    from revetl.contracts import IdentifierKind
    from revetl.delivery import RealClock
    from revetl.forget import Forgetting

    environ = os.environ if environ is None else environ
    ci.may_send(environ, real=project.destination.type == "customerio")
    watcher = observer or Silent()
    compiled = compile_project(project, environ=environ)
    syncs = [_sync(compiled, name) for name in compiled.order]
    found = {c.sync.identifier for c in syncs if c.sync.is_person}
    if kind not in {"", *IdentifierKind} or (not kind and len(found) != 1):
        raise ConfigError(
            "which kind of identifier is this?" if not kind else f"{kind!r} is no kind of identifier",
            hint=f"--by {' or '.join(sorted(one.value for one in found or IdentifierKind))}",
        )
    by = IdentifierKind(kind) if kind else next(iter(found))
    named = [c.sync for c in syncs if c.sync.names_people]
    others = {sync.identifier.value: sync.name for sync in named if sync.identifier is not by}
    if all(sync.identifier is not by for sync in named):
        raise ConfigError(
            f"no sync identifies people by {by}, so the next run would send them again under their {' or '.join(others)}",
            hint=f"look up their keys, then: revetl forget --by {next(iter(others), by)} --file keys.txt",
        )
    for other, name in others.items():
        watcher.note(f"sync {name!r} identifies people by {other}: forget theirs as well (--by {other})")
    settings = delivery_settings(project)
    with _warehouse(project, "forget", read_only=False) as warehouse:
        work = Forgetting(
            warehouse, schema=project.state_schema, syncs=_syncs(compiled, compiled.order, warehouse), settings=settings,
            clock=RealClock(),
            connect=lambda: _connect(project, settings, watcher, environ, on_kill),
            rng=random.Random(os.urandom(16)),  # noqa: S311 jitter, no secrets
            owner=f"{socket.gethostname()}/{os.getpid()}/{int(time.time())}", note=watcher.note,
        )  # fmt: skip
        return work.free(by, keys) if undo else work.forget(by, keys, reason=reason)


@contextmanager
def hands_on(
    project: Project, *, select: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Iterator[Upkeep]:
    """Changes by hand to the selected streams."""
    syncs = selected(project, select=select, exclude=exclude)
    with _warehouse(project, "state", read_only=False) as warehouse:
        yield Upkeep(warehouse, project.state_schema, syncs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that a run needs; `ok` is None for a plain fact."""

    name: str
    text: str
    ok: bool | None = None
    hint: str = ""


def checks(project: Project, environ: Mapping[str, str]) -> Iterator[Check]:
    """Everything that a run needs, tried without sending or keeping anything."""
    t, d = project.target, project.destination
    yield Check(name="project", text=f"{project.name} in {project.root}")
    yield Check(name="profiles.yml", text=str(t.profiles_path))
    shown = {k: "*****" if isinstance(v, Secret) else v for k, v in t.fields.items() if k != "type"}
    yield Check(
        name=f"target {t.name}", text=f"{t.type}: " + ", ".join(f"{k}={v}" for k, v in sorted(shown.items()))
    )
    if t.state is not None:
        there = {k: "*****" if isinstance(v, Secret) else v for k, v in t.state.fields.items()}
        yield Check(name="state", text=f"{t.state.kind}: " + ", ".join(f"{k}={v}" for k, v in sorted(there.items())))
    yield Check(name="state schema", text=project.state_schema)
    place = f"region {d.region}" if d.type == "customerio" else d.url or d.path
    yield Check(name=f"destination {d.name}", text=f"{d.type}, {place}")
    yield _tried(
        "syncs and models",
        lambda: f"{len(compile(project, environ=environ))} syncs, {len(project.models)} models",
    )
    connection = _tried("warehouse", lambda: _try_warehouse(project))
    yield connection
    if connection.ok:
        yield _tried("right to write the state", lambda: _try_state(project))
    yield _tried(
        "customer.io" if d.type == "customerio" else "sandbox", lambda: _try_destination(project, environ)
    )


def _tried(name: str, action: Callable[[], str]) -> Check:
    try:
        return Check(name=name, text=action(), ok=True)
    except RevetlError as problem:
        return Check(name=name, text=str(problem).split("\n  →", 1)[0], ok=False, hint=problem.hint)


def _try_warehouse(project: Project) -> str:
    from revetl import upkeep

    with _warehouse(project, "debug", read_only=True) as warehouse:
        upkeep.ping(_source(warehouse))
    return "a query was answered"


def _try_state(project: Project) -> str:
    from revetl import upkeep

    with _warehouse(project, "debug", read_only=False) as warehouse:
        upkeep.try_writing(warehouse, project.state_schema)
    return "tried and rolled back"


def _try_destination(project: Project, environ: Mapping[str, str]) -> str:
    found = _connect(project, delivery_settings(project), Silent(), environ)
    try:
        return f"the credentials are accepted; workspace {found.workspace_id()}"
    finally:
        found.close()


# --- the sandbox ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxCommand:
    """The process that serves a workspace."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]


def sandbox_command(
    project: Project, *, options: Sequence[str], environ: Mapping[str, str]
) -> SandboxCommand:
    """The command that serves the target's workspace in the foreground.

    Raises:
        ConfigError: the target has no workspace on this machine, or it is served already.
    """
    from revetl import connect

    db = workspace_file(project)
    found = connect.running(db)
    if found is not None:
        raise ConfigError(
            f"this workspace is served already: {found.url}/", hint="open that page, or stop the other one"
        )
    db.parent.mkdir(parents=True, exist_ok=True)
    argv = connect.command(db, info=connect.info_file(db), options=options)
    return SandboxCommand(argv=tuple(argv), environ=connect.environment(environ))


# --- a new project -------------------------------------------------------------------------------------------------


# what a project can begin as: its folder of templates/
STARTERS: Mapping[str, str] = MappingProxyType({"shop": "init", "shopify": "shopify"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What `init` did.

    Attributes:
        written: files that are new, relative to the folder.
        kept: files that were there already and were not touched.
        tables: rows of the sample by table; empty where its file was there already.
        problem: why the sample was not made: files that were kept do not go with the new ones.
        notes: what a person should know.
    """

    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]
    tables: Mapping[str, int]
    problem: RevetlError | None = None
    notes: tuple[str, ...] = ()


def init(
    directory: str | Path, *, starter: str = "shop", environ: Mapping[str, str] | None = None
) -> Made:
    """Make a project whose first run needs no account; no file that exists is touched.

    Args:
        starter: one of `STARTERS`: what the project begins as.

    Raises:
        ConfigError: the folder cannot be written, or there is no such starter.
    """
    if starter not in STARTERS:
        raise ConfigError(
            f"there is no starter {starter!r}{near(starter, STARTERS)}",
            hint=f"choose one: {', '.join(STARTERS)}", code="RV280",
        )  # fmt: skip
    folder = Path(directory).resolve()
    template = resources.files("revetl").joinpath("templates").joinpath(STARTERS[starter])
    written: list[str] = []
    kept: list[str] = []
    for name, template_text in sorted(_template_files(template, "")):
        if (folder / name).exists():
            kept.append(name)
            continue
        # a uid names the stream's tables for ever, so no two projects share one
        uid = r"^(\s*(?:- )?uid:).*$"
        text = re.sub(uid, lambda m: f"{m[1]} {_new_uid()}", template_text, flags=re.MULTILINE)
        artifacts.write_text(folder / name, text)
        written.append(name)
    made = Made(folder=folder, written=tuple(written), kept=tuple(kept), tables={})
    try:
        project = load(folder, environ=environ)
    except RevetlError as problem:
        if not kept:
            raise
        return replace(made, problem=problem)
    if project.target.type != "duckdb" or _sample_file(project).exists():
        return made
    return replace(made, tables=sample(project, advance=False))


def init_from_dbt(directory: str | Path, project: str | Path, *, environ: Mapping[str, str] | None = None) -> Made:
    """Make a project beside a dbt project, or in its folder; no file that exists is touched.

    Args:
        directory: where the files go.
        project: the folder with dbt_project.yml.
        environ: instead of `os.environ`.

    Raises:
        ConfigError: it is no dbt project, or dbt has written no manifest.json yet.
    """
    from revetl import fromdbt
    from revetl.dbt import document
    from revetl.dbt import read as read_dbt
    from revetl.profiles import find_all
    from revetl.syncfile import new_uid
    from revetl.yamlfile import read as read_yaml

    folder, source = Path(directory).resolve(), Path(project).resolve()
    if not (source / "dbt_project.yml").is_file():
        raise ConfigError(f"{project} is no dbt project: it has no dbt_project.yml", code="RV460",
                          hint="revetl init --from-dbt DIR, with the folder that has one")  # fmt: skip
    facts = read_yaml(source / "dbt_project.yml", "dbt_project.yml")
    plain = facts.plain() if facts is not None and isinstance(facts.value, dict) else {}
    name = str(plain.get("name") or source.name)
    profile, target_path = str(plain.get("profile") or name), str(plain.get("target-path") or "target")
    target_path = "target" if "{{" in target_path else target_path
    inside = folder == source
    place = "." if inside else os.path.relpath(source, folder)
    dbt = read_dbt(source / target_path, home="" if inside else f" --project-dir {shlex.quote(place)}")
    catalog = source / target_path / "catalog.json"
    found = fromdbt.propose(dbt, new_uid, catalog=document(catalog, hint="dbt docs generate") if catalog.is_file() else None)
    files = {"pyproject.toml": fromdbt.settings(name, profile, place, target_path), **found.files}
    files[".gitignore"] = "target/\nlogs/\n"
    notes = list(found.notes)
    try:
        theirs = find_all(None, os.environ if environ is None else environ, folder, source)[0]
        outputs = read_yaml(theirs, str(theirs))
        outputs = outputs.get(profile) if outputs is not None else None
        outputs = outputs.get("outputs") if outputs is not None else None
        targets = list(outputs.value) if outputs is not None and isinstance(outputs.value, dict) else ["dev"]
        shown = os.path.relpath(theirs, folder) if theirs.is_relative_to(source.parent) else str(theirs)
    except ConfigError:
        targets, shown = ["dev"], "none was found: --profiles-dir"
    files["profiles.yml"] = fromdbt.destinations(profile, targets, shown)
    if inside and (folder / "profiles.yml").is_file():
        notes.append(f"profiles.yml is dbt's: add `destinations: {{{targets[0]}: {{type: sandbox}}}}` beside `outputs:`")
    (folder / "syncs").mkdir(parents=True, exist_ok=True)
    written = [one for one in sorted(files) if not (folder / one).exists()]
    for one in written:
        artifacts.write_text(folder / one, files[one])
    kept = tuple(sorted(files.keys() - set(written)))
    return Made(folder=folder, written=tuple(written), kept=kept, tables={}, notes=tuple(notes))


def _template_files(folder: Traversable, above: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _template_files(entry, f"{above}{entry.name}/")
        else:
            # a leading dot is easily lost on the way into a package
            name = re.sub(r"^dot[_.]", ".", entry.name)
            yield above + name, entry.read_text(encoding="utf-8")


def _new_uid() -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return secrets.choice(letters) + "".join(secrets.choice(letters + "0123456789") for _ in range(9))


def _sample_file(project: Project) -> Path:
    if project.target.type != "duckdb":
        raise ConfigError(
            f"the sample shop lives in a DuckDB file, and target {project.target.name!r} is {project.target.type}",
            hint="choose another target with --target",
        )
    return project.root / str(project.target.fields.get("path") or "")


def sample(project: Project, *, advance: bool, hours: float = 24) -> dict[str, int]:
    """Make the sample shop in the target's DuckDB file, or let time pass in it; rows by table.

    A project that reads Shopify's tables gets those of a shop on Shopify.

    Raises:
        ConfigError: the target is no DuckDB file, or there is no shop in it.
    """
    from revetl import sample as plain
    from revetl import shopify_sample

    build, go_on = (
        (shopify_sample.build, shopify_sample.advance)
        if "shopify.order" in project.sources
        else (plain.build, plain.advance)
    )
    path = _sample_file(project)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not advance:
        return build(path)
    if not path.exists():
        raise ConfigError(f"there is no sample shop in {path}", hint="revetl sample build")
    return go_on(path, hours=hours)
