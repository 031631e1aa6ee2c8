"""Projects in a temporary folder: one that is right, and what a test changes in it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from revetl.compiler import Compiled, compile_project
from revetl.contracts import Sync
from revetl.errors import ConfigError, ProjectErrors
from revetl.project import Project, load

PROFILES = """\
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb}
  destinations:
    dev: {type: sandbox}
"""
PEOPLE = """\
version: 1
syncs:
  - name: people
    uid: people01
    model: ref('people')
    type: person
    identify_by: {id: customer_id}
    attributes:
      email: {type: string, format: email}
      orders_count: integer
"""
ORDERS = """\
version: 1
syncs:
  - name: orders
    uid: orders01
    model: ref('orders')
    type: event
    event: Order Completed
    person: {id: customer_id, sync: people}
    key: order_id
    occurred_at: ordered_at
    properties:
      order_id: {type: string, required: true}
"""
SHOP: Mapping[str, str] = {
    "pyproject.toml": '[tool.revetl]\nname = "shop"\n',
    "profiles.yml": PROFILES,
    "models/people.sql": "select 1 as customer_id, 'a@example.com' as email, 2 as orders_count\n",
    "models/orders.sql": "select 7 as order_id, 1 as customer_id, now() as ordered_at\n",
    "syncs/people.yml": PEOPLE,
    "syncs/orders.yml": ORDERS,
}


def write(root: Path, files: Mapping[str, str | None]) -> Path:
    """Write files; None leaves one out."""
    for name, text in files.items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
    return root


def shop(root: Path, changes: Mapping[str, str | None] | None = None, **options: Any) -> Project:
    """The right project with some files changed, loaded."""
    write(root, {**SHOP, **(changes or {})})
    return load(root, **{"environ": {"HOME": str(root)}, "cwd": root, **options})


def compiled(root: Path, changes: Mapping[str, str | None] | None = None, environ: Mapping[str, str] | None = None) -> Compiled:
    """The right project with some files changed, compiled."""
    return compile_project(shop(root, changes), environ=environ or {})


def problems(action: Any, *args: Any, **options: Any) -> list[ConfigError]:
    """What a load or compile complains about; an empty list if nothing."""
    try:
        action(*args, **options)
    except ProjectErrors as found:
        return list(found.problems)
    except ConfigError as found:
        return [found]
    return []


def said(found: list[ConfigError]) -> list[str]:
    """Each problem without its hint: `file:line:column: message [code]`."""
    return [str(problem).split("\n", 1)[0] for problem in found]


def person(root: Path, attributes: str, **extra: str) -> Sync:
    """A person sync with these attributes (inline YAML) and more keys."""
    return shop(root, {"syncs/people.yml": person_yaml(attributes, **extra)}).syncs["people"]


def person_yaml(attributes: str, **extra: str) -> str:
    """Its file."""
    keys = {
        "name": "people", "uid": "people01", "model": "ref('people')", "type": "person",
        "identify_by": "{id: customer_id}", "attributes": attributes, **extra,
    }  # fmt: skip
    return "version: 1\nsyncs:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in keys.items()) + "\n"


def event_yaml(**extra: str) -> str:
    """The file of an event sync."""
    keys = {
        "name": "orders", "uid": "orders01", "model": "ref('orders')", "type": "event", "event": "Order Completed",
        "person": "{id: customer_id}", "key": "order_id", "occurred_at": "ordered_at", **extra,
    }  # fmt: skip
    return "version: 1\nsyncs:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in keys.items()) + "\n"
