"""A run as a value that another process can make: which warehouse, which workspace, which syncs, how fast, how big."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from revetl import engine as engine_module
from revetl.contracts import Guards, Initial, Sync, WhenMissing
from revetl.customerio import TrackSender
from revetl.delivery import DeliverySettings
from revetl.elsewhere import open_elsewhere
from revetl.engine import RunOptions, RunResult
from revetl.errors import RevetlError
from revetl.profiles import Elsewhere
from revetl.sandbox import Sandbox
from revetl.warehouse import Probe, Warehouse, open_warehouse
from tests.suites.world import SandboxDestination, World, attribute, orders_sync, people_sync


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run.

    Attributes:
        kind, fields: of the warehouse, as `open_warehouse` takes them.
        state: `kind` and `fields` of the engine where the state is, if it is another one.
        tmp: the folder for temporary files, where it is not the system's.
        box: the workspace's address and keys.
        deletes: people who vanish from the model are deleted.
        more: one more attribute of this name, made from this column (`plan` or `spent`); empty for none.
        only: the syncs to run; empty for all.
        chunk: rows of a chunk; 0 leaves revetl's own numbers.
        batch, threads, attempts, deadline_s: of the delivery.
        options: of the run.
        own_uid: a stream of events of its own, named by the owner.
        baseline: the first run records people as sent.
        stamped: identify carries a `timestamp`.
    """

    kind: str
    fields: dict[str, Any]
    box: dict[str, str]
    deletes: bool = False
    more: str = ""
    only: tuple[str, ...] = ()
    chunk: int = 3
    batch: int = 2
    threads: int = 2
    attempts: int = 5
    deadline_s: float = 5.0
    options: dict[str, Any] = field(default_factory=lambda: {"backfill": True})
    own_uid: bool = False
    baseline: bool = False
    stamped: bool = False
    owner: str = "job"
    state: dict[str, Any] = field(default_factory=dict)
    tmp: str = ""

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Job:
        """From JSON."""
        facts = json.loads(text)
        return cls(**{**facts, "only": tuple(facts["only"])})

    def syncs(self) -> list[Sync]:
        """The people and the orders."""
        rule: dict[str, Any] = {"when_missing": WhenMissing.DELETE} if self.deletes else {}
        if self.baseline:
            rule["initial"] = Initial.BASELINE
        fields = [attribute("email"), attribute("plan"), attribute("spent", "number")]
        if self.more:
            fields.append(attribute("more", "number" if self.more == "spent" else "string", column=self.more))
        events = orders_sync(guards=Guards(max_triggering=10**6))
        if self.own_uid:
            events = replace(events, uid=self.owner.replace("-", ""))
        return [people_sync(fields=tuple(fields), **rule), events]

    def open(self, *, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        """Where the state is: the warehouse, or an engine beside it."""
        if not self.state:
            return self.source(read_only=read_only, probe=probe)
        source = self.source(read_only=True, probe=probe)
        return open_elsewhere(source, Elsewhere(**self.state), root=Path("/"), read_only=read_only, probe=probe)

    def source(self, *, read_only: bool = False, probe: Probe | None = None) -> Warehouse:
        """The warehouse."""
        return open_warehouse(self.kind, self.fields, root=Path("/"), read_only=read_only, probe=probe)

    def world(self) -> World:
        """The warehouse and the workspace with this job's syncs."""
        box: Any = SimpleNamespace(**self.box)
        return World(connect=self.open, box=box, syncs=self.syncs(), source=self.source if self.state else None)


def address(box: Sandbox) -> dict[str, str]:
    """What another process needs of a workspace."""
    return {name: getattr(box, name) for name in ("url", "site_id", "api_key", "app_api_key")}


class Watched(SandboxDestination):
    """The real sender, whose socket is watched."""

    def __init__(self, box: Any, probe: Probe | None) -> None:
        watch = {} if probe is None else {"probe": probe}
        self.sender = TrackSender(
            site_id=box.site_id, api_key=box.api_key, base_url=box.url, concurrency=4, **watch  # type: ignore[arg-type]
        )


def perform(
    job: Job, probe: Probe | None = None, socket_probe: Probe | None = None, warehouse: Warehouse | None = None,
    clock: Any = None, stopping: Callable[[Callable[[RevetlError], None]], None] = lambda _: None,
) -> RunResult:  # fmt: skip
    """One whole run of a job, as `revetl run` makes it; `socket_probe` is `probe` where it is not given."""
    world = job.world()
    people, events = engine_module.SNAPSHOT_CHUNK_ROWS, engine_module.LEDGER_CHUNK_ROWS
    if job.chunk:
        engine_module.SNAPSHOT_CHUNK_ROWS = engine_module.LEDGER_CHUNK_ROWS = job.chunk
    mine = warehouse or job.open(probe=probe)
    settings = DeliverySettings(
        requests_per_second=100_000, operations_per_second=10_000_000, max_batch_operations=job.batch,
        request_deadline_s=job.deadline_s, attempts=job.attempts, concurrency=job.threads,
        backoff_first_s=0.01, backoff_longest_s=0.05,
    )  # fmt: skip
    try:
        engine = world.engine(mine)
        if clock is not None:
            engine.clock = clock
        return engine.run(
            world.compiled(job.only), RunOptions(**job.options), settings=settings, rng=random.Random(7),
            connect=lambda: Watched(world.box, socket_probe or probe), owner=job.owner, stopping=stopping,
            identify_timestamp=job.stamped,
        )  # fmt: skip
    finally:
        engine_module.SNAPSHOT_CHUNK_ROWS, engine_module.LEDGER_CHUNK_ROWS = people, events
        if warehouse is None:
            mine.close()
