"""Syncs as dbt's exposures, so that dbt's own documentation and `dbt build -s +exposure:people` know them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from revetl.compiler import Compiled
from revetl.contracts import Sync
from revetl.report import Heading

HEAD = "# written by: revetl ls --output exposures\n"


def exposures(compiled: Compiled, names: Iterable[str], heading: Heading) -> str:
    """The YAML of a file for dbt's `models/`."""
    import yaml  # noqa: PLC0415 not for `revetl --help`

    taken: set[str] = set()
    found = [_exposure(compiled, compiled.syncs[name], heading, taken) for name in names]
    text = yaml.safe_dump({"version": 2, "exposures": found}, sort_keys=False, allow_unicode=True, width=120)
    return HEAD + str(text)


def _exposure(compiled: Compiled, sync: Sync, heading: Heading, taken: set[str]) -> dict[str, Any]:
    # dbt allows letters, digits and `_`
    name = re.sub(r"\W", "_", sync.name)
    name += f"_{sync.uid}" if name in taken else ""
    taken.add(name)
    owner = sync.owner or heading.project
    dbt = compiled.dbt
    facts = {
        "project": heading.project, "sync": sync.name, "uid": sync.uid, "type": str(sync.type), "event": sync.event,
        "destination": heading.destination, "pii": [one.name for one in sync.fields if one.pii],
    }  # fmt: skip
    return {
        "name": name, "label": f"Customer.io: {sync.event or sync.name}", "type": "application",
        "owner": {"email": owner} if "@" in owner else {"name": owner},
        **({"description": sync.description} if sync.description else {}),
        "depends_on": [dbt.reference(one) for one in compiled.upstream(sync.name)] if dbt is not None else [],
        **({"tags": list(sync.tags)} if sync.tags else {}),
        "meta": {"revetl": {key: value for key, value in facts.items() if value}},
    }  # fmt: skip
