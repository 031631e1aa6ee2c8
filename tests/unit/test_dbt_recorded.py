"""Files that dbt 1.6, 1.7 and 1.11 wrote for one project (manifest.json of version 10, 11 and 12): all mean the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from revetl import api
from revetl.dbt import read
from revetl.project import load
from tests.unit.project_files import write

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "dbt"
VERSIONS = pytest.mark.parametrize("version", ["v10", "v11", "v12"])
PROFILES = "jaffle:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: jaffle.duckdb}\n"
SYNC = """\
  - name: %s
    uid: %s01
    model: %s
    type: person
    identify_by: {id: customer_id}
    attributes:
      %s
"""
MODELS = {
    "people": ("ref('customers')", "email: string"), "points": ("ref('loyalty', v=1)", "points: integer"),
    "latest": ("ref('loyalty')", "points: integer"), "frequent": ("ref('frequent')", "orders: integer"),
    "seed": ("ref('raw_customers')", "email: string"), "lake": ("source('lake', 'landed_orders')", "amount_cents: integer"),
    "arrivals": ("ref('arrivals')", "order_id: integer"),
}  # fmt: skip


def beside(folder: Path, version: str) -> Path:
    """A new project beside a dbt project that left these files."""
    shutil.copytree(GOLDEN / version, folder / "dbt" / "target")
    write(folder, {"dbt/dbt_project.yml": "name: jaffle\nprofile: jaffle\n", "dbt/profiles.yml": PROFILES})
    api.init_from_dbt(folder / "new", folder / "dbt", environ={"HOME": str(folder)})
    return folder / "new"


@VERSIONS
def test_what_init_proposes_is_the_same(tmp_path: Path, version: str) -> None:
    new = beside(tmp_path, version)
    sync = load(new, environ={"HOME": "/"}, cwd=new).syncs["customers"]
    assert (sync.owner, sync.description, sync.key) == ("crm@example.com", "One row for each customer.", "customer_id")
    assert [(one.name, str(one.type), one.pii, one.description) for one in sync.fields] == [
        ("first_name", "string", True, "As they wrote it."), ("email", "string", True, ""),
        ("orders_count", "integer", False, "Orders so far."),
    ]  # fmt: skip


@VERSIONS
def test_names_mean_the_same(tmp_path: Path, version: str) -> None:
    new = beside(tmp_path, version)
    text = "".join(SYNC % (name, name, model, field) for name, (model, field) in MODELS.items())
    write(new, {"syncs/customers.yml": "version: 1\nsyncs:\n" + text})
    found = {one.sync.name: one for one in api.compile(load(new, environ={"HOME": "/"}, cwd=new), environ={})}
    assert {name: one.sql.partition("FROM ")[2] for name, one in found.items() if name != "frequent"} == {
        "people": '"jaffle"."main"."customers"', "points": '"jaffle"."main"."loyalty_v1"',
        "latest": '"jaffle"."main"."loyalty_v2"',
        "seed": '"jaffle"."main"."raw_customers"', "lake": '"jaffle"."main"."raw_orders"',
        "arrivals": '"jaffle"."main"."arrivals"',
    }  # fmt: skip
    assert "with __dbt__cte__stg_orders as (" in found["frequent"].sql
    assert {name: [*(p.code for p in one.stops), *(n.code for n in one.notices)] for name, one in found.items()} == {
        "people": [], "latest": [], "frequent": [], "seed": [], "points": ["RV454"], "lake": ["RV453"], "arrivals": ["RV453"],
    }  # fmt: skip


@VERSIONS
def test_what_cannot_be_read_is_the_same(version: str) -> None:
    names = read(GOLDEN / version).names
    assert set(names.disabled) == {"retired"}
    problems = {one.name: one.problem.code for many in names.models.values() for one in many if one.problem}
    assert problems == {"inner_sums": "RV447"}


def test_digests_do_not_depend_on_the_version_of_dbt() -> None:
    made = [read(GOLDEN / version) for version in ("v10", "v11")]
    for name in ("model.jaffle.orders", "model.jaffle.loyalty.v2", "seed.jaffle.raw_customers"):
        assert len({one.digest(name) for one in made}) == 1, name
