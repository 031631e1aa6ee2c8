"""Forgetting people on request: deleted and suppressed in Customer.io, and never sent again by any sync.

    bury     a tombstone for each: a salted digest of the key, which every later plan looks up
    send     delete, then suppress (Track API v2, "person"), after the drain wait of earlier runs
    purge    their rows in the state, the ledger and the open rows of every stream
    done     the tombstone is marked

The tombstone comes first, so that a kill at any point leaves nobody who is sent again; the command may be typed
again until it says that it is done. Tombstones survive every reset and full refresh. What it cannot reach: the
models' own tables, and backups of the warehouse.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from revetl import merges
from revetl.contracts import IdentifierKind, SyncType
from revetl.delivery import Clock, Delivery, DeliverySettings
from revetl.destination import Operation
from revetl.diffsql import bind, keys_of
from revetl.engine import CompiledSync, Destination
from revetl.errors import DestinationDown, RevetlError, StateDamaged
from revetl.identity import normal_email
from revetl.state import Lease, Stream, create_table, ensure_schema, read_catalog
from revetl.tables import TOMBS, StreamTables, stream_tables, tombs_table
from revetl.warehouse import Warehouse

IDLE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was done, without a personal value.

    Attributes:
        people: how many keys.
        digests: of each, as in the table of tombstones.
        rows: deleted from revetl's tables.
        requests: sent to Customer.io.
    """

    people: int
    digests: tuple[str, ...]
    rows: int
    requests: int


def normal(kind: IdentifierKind, key: str) -> str:
    """The key as plans write it."""
    return normal_email(key) if kind is IdentifierKind.EMAIL else key


def digest(salt: str, kind: IdentifierKind, key: str) -> str:
    """What a tombstone keeps of a key: SHA-256 with the salt of this state schema."""
    return hashlib.sha256(f"{salt}{kind.value}:{key}".encode()).hexdigest()


class Forgetting:
    """Forgets people of one project's workspace, or frees them again.

    Args:
        syncs: every sync of the project.
        connect: makes the destination.
        owner: shown to runs that find a lease taken.
    """

    def __init__(  # noqa: PLR0913 the surroundings, each injected
        self, warehouse: Warehouse, *, schema: str, syncs: Sequence[CompiledSync], connect: Callable[[], Destination],
        settings: DeliverySettings, clock: Clock, rng: random.Random, owner: str,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._warehouse = warehouse
        self._schema = schema
        self._syncs = tuple(syncs)
        self._connect = connect
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._owner = owner
        self._note = note
        self._tombs = tombs_table(schema)

    def forget(self, kind: IdentifierKind, keys: Sequence[str], *, reason: str) -> Receipt:
        """Bury, delete, suppress, purge. Idempotent.

        Raises:
            LeaseHeld: a run is at work; the tombstones are there, type the command again.
            DestinationDown, CredentialsRefused: the same.
            StateDamaged: another workspace, or a stream that an earlier run left unfinished.
        """
        catalog = read_catalog(self._warehouse, self._schema)
        named = [normal(kind, key) for key in keys]
        people = merges.same_people(self._warehouse, self._schema, catalog, kind.value, named)
        if len(people) > len(set(named)):
            self._note(f"{len(people) - len(set(named)):,} more keys are of the same people, by merges: forgotten as well")
        digests = self._bury(kind, people, reason)
        with self._leases() as (workspace, streams):
            requests = self._send(workspace, streams, kind, people, ("delete", "suppress"))
            rows = sum(self._purge(stream, lease, compiled, kind, people) for compiled, stream, lease in streams)
            rows += merges.forget(self._warehouse, self._schema, catalog, kind.value, people)
            self._warehouse.execute(
                sa.update(self._tombs)
                .where(self._tombs.c.digest.in_(digests))
                .values(done_at=sa.cast(self._warehouse.dialect.now_ms(), sa.BigInteger))
            )
        return Receipt(people=len(people), digests=tuple(digests), rows=rows, requests=requests)

    def free(self, kind: IdentifierKind, keys: Sequence[str]) -> Receipt:
        """Lift the suppression and take the tombstones away: the next run may create the people again.

        Raises:
            As `forget`; the tombstones stay then.
        """
        people = list(dict.fromkeys(normal(kind, key) for key in keys))
        self._prepare()
        salt = self._salt()
        digests = [digest(salt, kind, key) for key in people]
        with self._leases() as (workspace, streams):
            requests = self._send(workspace, streams, kind, people, ("unsuppress",))
            rows = self._warehouse.execute(sa.delete(self._tombs).where(self._tombs.c.digest.in_(digests)))
        return Receipt(people=len(people), digests=tuple(digests), rows=rows, requests=requests)

    # --- the steps -------------------------------------------------------------------------------------------

    def _prepare(self) -> Stream:
        """The tables that this needs; the workspace's stream."""
        ensure_schema(self._warehouse, self._schema, read_catalog(self._warehouse, self._schema))
        workspace = Stream(
            self._warehouse, StreamTables(schema=self._schema, uid="ws"), read_catalog(self._warehouse, self._schema)
        )
        workspace.create("the workspace")
        create_table(self._warehouse, sa.schema.CreateTable(self._tombs, if_not_exists=True), self._tombs)
        return workspace

    def _salt(self) -> str:
        found = self._warehouse.fetch(sa.select(sa.func.max(self._tombs.c.salt)))[0][0]
        return str(found) if found else secrets.token_hex(16)

    def _bury(self, kind: IdentifierKind, people: Sequence[str], reason: str) -> list[str]:
        """In one transaction, which waits for another one that buries: two salts would make the digests of one worthless."""
        ctl = self._prepare().tables.ctl
        now = sa.cast(self._warehouse.dialect.now_ms(), sa.BigInteger)
        with self._warehouse.transaction():
            self._warehouse.execute(sa.update(ctl).values(verified_at=now))
            salt = self._salt()
            digests = [digest(salt, kind, key) for key in people]
            there = {row[0] for row in self._warehouse.fetch(sa.select(self._tombs.c.digest))}
            rows = [{"digest": one, "salt": salt, "reason": reason} for one in digests if one not in there]
            if rows:
                self._warehouse.execute(sa.insert(self._tombs).values([row | {"buried_at": now} for row in rows]))
        return digests

    @contextmanager
    def _leases(self) -> Iterator[tuple[Stream, list[tuple[CompiledSync, Stream, Lease]]]]:
        """The workspace's lease and that of every stream that has a state; given back at the end."""
        catalog = read_catalog(self._warehouse, self._schema)
        workspace = Stream(self._warehouse, StreamTables(schema=self._schema, uid="ws"), catalog)
        workspace.create("the workspace")
        held: list[tuple[Stream, Lease]] = []
        streams: list[tuple[CompiledSync, Stream, Lease]] = []
        try:
            held.append((workspace, workspace.acquire(self._owner)))
            for compiled in self._syncs:
                stream = Stream(self._warehouse, stream_tables(self._schema, compiled.sync), catalog)
                if not stream.exists:
                    continue
                stream.create(compiled.sync.name)  # brings an older schema up to date
                lease = stream.acquire(self._owner)
                held.append((stream, lease))
                if stream.left_over() is not None:
                    raise StateDamaged(
                        f"an earlier run of {compiled.sync.name!r} did not finish; what it sent must be settled first",
                        hint=f"revetl run --select {compiled.sync.name}, then type the same command again "
                        "(the tombstones are there: the run sends nothing of these people)",
                    )
                stream.drop_plans()
                streams.append((compiled, stream, lease))
            yield workspace, streams
        finally:
            for stream, lease in held:
                self._give_back(stream, lease)

    def _give_back(self, stream: Stream, lease: Lease) -> None:
        try:
            stream.release(lease, success=False)
        except RevetlError:
            self._note("a lease could not be given back; it ends by itself")

    def _send(
        self, workspace: Stream, streams: Sequence[tuple[CompiledSync, Stream, Lease]], kind: IdentifierKind,
        people: Sequence[str], actions: Sequence[str],
    ) -> int:  # fmt: skip
        left = max((s.drain_left_s() for _, s, _ in streams if s.control.drain_until), default=0.0)
        if left > 0:
            self._note(f"waiting {left:.0f} s, so that no unanswered request of an earlier run arrives later")
            self._clock.wait(left)
        destination = self._connect()
        try:
            found, pinned = destination.workspace_id(), workspace.control.workspace_id
            if pinned and pinned != found:
                raise StateDamaged(
                    f"the state in {self._schema} belongs to workspace {pinned}, and these credentials are of workspace "
                    f"{found}; nothing was sent",
                    hint="use the credentials of the right workspace",
                )
            delivery = Delivery(destination, self._settings, clock=self._clock, rng=self._rng)
            for action in actions:
                self._deliver(delivery, kind, people, action)
            return delivery.stats.requests
        finally:
            destination.close()

    def _deliver(self, delivery: Delivery, kind: IdentifierKind, people: Sequence[str], action: str) -> None:
        operations = [
            Operation(number, orjson.dumps({"type": "person", "identifiers": {kind.value: key}, "action": action}))
            for number, key in enumerate(people, 1)
        ]
        accepted = 0
        for settled in delivery.deliver(operations, idle_every_s=IDLE_S):
            accepted += sum(high - low + 1 for low, high in getattr(settled, "accepted", ()))
        if delivery.stopped:
            raise delivery.stopped
        if accepted < len(people):
            raise DestinationDown(
                f"Customer.io accepted {action} for {accepted:,} of {len(people):,} people ({delivery.gave_up or 'refused'})",
                hint="type the same command again: the tombstones are there, so no run sends these people meanwhile",
            )

    def _purge(
        self, stream: Stream, lease: Lease, compiled: CompiledSync, kind: IdentifierKind, people: Sequence[str]
    ) -> int:
        sync = compiled.sync
        if not sync.names_people or sync.identifier is not kind:
            return 0
        state, opened = stream.tables.state.c, stream.tables.open.c
        if sync.type.keyed_by_person:
            return stream.purge(lease, state=state._key.in_(people), open_rows=opened._key.in_(people))
        shape = bind(compiled.sync, self._warehouse.columns(compiled.sql))
        theirs: Any = keys_of(self._warehouse.dialect, shape, compiled.sql, people)
        sent = sa.select(state._key).where(state._person.in_(people))
        if compiled.sync.type is SyncType.MERGE:  # its keys are people, too
            either = sa.or_(state._key.in_(people), state._person.in_(people))
            return stream.purge(lease, state=either, open_rows=sa.or_(opened._key.in_(people), opened._key.in_(theirs)))
        return stream.purge(
            lease, state=state._person.in_(people), open_rows=sa.or_(opened._key.in_(theirs), opened._key.in_(sent))
        )


def pending(warehouse: Warehouse, schema: str) -> int:
    """How many people are buried, and not yet deleted and suppressed."""
    if TOMBS not in read_catalog(warehouse, schema):
        return 0
    tombs = tombs_table(schema)
    return int(warehouse.fetch(sa.select(sa.func.count()).where(tombs.c.done_at.is_(None)))[0][0])
