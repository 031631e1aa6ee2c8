"""What the warehouse keeps of a sync from run to run, besides its state: versions of its contract, profiles of its model.

A version is written when a run meets a contract that the control row does not have, in one transaction with that row. A
run whose contract is the known one makes no statement here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from revetl.drift import Profile
from revetl.state import Lease, Stream, create_table
from revetl.tables import CONTRACTS, PROFILES, contracts_table, profiles_table
from revetl.versions import Recorded
from revetl.warehouse import Warehouse


def keep_contract(stream: Stream, lease: Lease, version: Recorded, run_id: str) -> Recorded:
    """Write down a version that the control row does not have yet; it, with its number.

    After `revetl state reset` the control row has none, and the numbers go on.
    """
    warehouse, table = stream.warehouse, contracts_table(stream.tables.schema)
    uid = stream.tables.uid
    if CONTRACTS not in stream.catalog:
        create_table(warehouse, sa.schema.CreateTable(table, if_not_exists=True), table)
    elif version.number == 1:
        last = sa.select(sa.func.coalesce(sa.func.max(table.c.version), 0)).where(table.c.uid == uid)
        version = replace(version, number=int(warehouse.fetch(last)[0][0]) + 1)
    row: dict[str, Any] = {
        "uid": uid, "version": version.number, "digest": version.digest, "contract": version.contract_text(),
        "first_run_id": run_id, "first_seen_at": sa.cast(warehouse.dialect.now_ms(), sa.BigInteger),
    }  # fmt: skip
    with warehouse.transaction():
        warehouse.execute(sa.insert(table).values(**row))
        stream.keep(lease, contract=version.text())
    return version


def profiles(warehouse: Warehouse, schema: str, catalog: Mapping[str, Any], uid: str, window: int) -> list[Profile]:
    """The last profiles of a sync's model, the latest first."""
    if PROFILES not in catalog:
        return []
    t = profiles_table(schema).c
    rows = warehouse.fetch(
        sa.select(t.profile, t.accepted).where(t.uid == uid).order_by(t.fence.desc(), t.seen_at.desc()).limit(window)
    )
    return [Profile.read(str(text), accepted=bool(accepted)) for text, accepted in rows]


def keep_profile(stream: Stream, lease: Lease, profile: Profile, run_id: str) -> None:
    """Write down what this run saw."""
    warehouse, table = stream.warehouse, profiles_table(stream.tables.schema)
    if PROFILES not in stream.catalog:
        create_table(warehouse, sa.schema.CreateTable(table, if_not_exists=True), table)
    now = sa.cast(warehouse.dialect.now_ms(), sa.BigInteger)
    warehouse.execute(sa.insert(table).values(
        uid=stream.tables.uid, run_id=run_id, fence=lease.fence, seen_at=now, accepted=int(profile.accepted),
        profile=profile.text(),
    ))  # fmt: skip
