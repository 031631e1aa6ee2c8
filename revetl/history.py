"""What the warehouse keeps of a sync from run to run, besides its state: the versions of its contract.

A version is written when a run meets a contract that the control row does not have, in one transaction with that row. A
run whose contract is the known one makes no statement here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from revetl.state import Lease, Stream, create_table
from revetl.tables import CONTRACTS, contracts_table
from revetl.versions import Recorded


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
