"""A project beside a dbt project: what `ref` and `source` mean, what stops, and what is told."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl import api
from revetl.artifacts import manifest
from revetl.compiler import compile_project
from revetl.errors import ConfigError
from revetl.project import load
from revetl.selection import select
from tests.unit.project_files import PEOPLE, PROFILES, problems, said, write

TOML = '[tool.revetl]\nname = "shop"\n\n[tool.revetl.dbt]\nproject = "dbt"\n'
SYNC = PEOPLE.replace("ref('people')", "ref('customers')")


def node(name: str, kind: str = "model", **more: Any) -> dict[str, Any]:
    """A node of a manifest, as v12 has it."""
    return {
        "unique_id": f"{kind}.jaffle.{name}", "name": name, "resource_type": kind, "package_name": "jaffle", "database": "shop",
        "schema": "main", "alias": name, "relation_name": f'"shop"."main"."{name}"', "original_file_path": f"models/{name}.sql",
        "config": {"enabled": True, "materialized": "table"}, "depends_on": {"nodes": [], "macros": []}, "columns": {},
        "checksum": {"name": "sha256", "checksum": name}, "unrendered_config": {}, **more,
    }  # fmt: skip


def ephemeral(name: str, code: str | None, **more: Any) -> dict[str, Any]:
    """A model that becomes a CTE."""
    return node(name, relation_name=None, compiled_code=code, config={"materialized": "ephemeral"}, **more)


def version(name: str, number: int, **more: Any) -> dict[str, Any]:
    """One version of a model whose latest one is 2."""
    made = node(name, version=number, latest_version=2, relation_name=f'"shop"."main"."{name}_v{number}"', **more)
    return {**made, "unique_id": f"model.jaffle.{name}.v{number}", "alias": f"{name}_v{number}"}


def source(group: str, table: str) -> dict[str, Any]:
    """A table that dbt reads."""
    return {
        "unique_id": f"source.jaffle.{group}.{table}", "name": table, "source_name": group, "resource_type": "source",
        "package_name": "jaffle", "database": "shop", "schema": "raw", "identifier": f"{table}_1", "columns": {},
        "relation_name": f'"shop"."raw"."{table}_1"', "original_file_path": "models/sources.yml", "config": {"enabled": True},
    }  # fmt: skip


def check(name: str, of: str, **more: Any) -> dict[str, Any]:
    """A test of a node."""
    made = node(name, "test", depends_on={"nodes": [of], "macros": []}, attached_node=of, **more)
    return {**made, "unique_id": f"test.jaffle.{name}.0a1b2c"}


NODES = (
    node("customers", depends_on={"nodes": ["source.jaffle.lake.landed"], "macros": []}),
    ephemeral("frequent", "select 1 as customer_id, 'a@example.com' as email, 2 as orders_count;"),
    ephemeral("never_compiled", None),
    version("loyalty", 1, deprecation_date="2026-06-30"), version("loyalty", 2),
    node("secret_sums", access="private", group="finance"),
    node("shared"), {**node("shared"), "unique_id": "model.tools.shared", "package_name": "tools"},
    {**node("lent"), "unique_id": "model.tools.lent", "package_name": "tools"},
    {**node("lent"), "unique_id": "model.other.lent", "package_name": "other"},
    check("not_null_customers_id", "model.jaffle.customers"),
)  # fmt: skip


def document(*nodes: Mapping[str, Any], number: int = 12, **more: Any) -> dict[str, Any]:
    """A manifest."""
    return {
        "metadata": {"dbt_schema_version": f"https://schemas.getdbt.com/dbt/manifest/v{number}.json", "dbt_version": "1.11.0",
                     "project_name": "jaffle", "adapter_type": "duckdb"},
        "nodes": {one["unique_id"]: deepcopy(dict(one)) for one in (nodes or NODES)},
        "sources": {one["unique_id"]: one for one in (source("lake", "landed"),)}, "macros": {},
        "disabled": {"model.jaffle.retired": [node("retired")]},
        "groups": {"group.jaffle.finance": {"name": "finance", "owner": {"name": "Finance", "email": "finance@example.com"}}},
        **more,
    }  # fmt: skip


def results(command: str = "build", **status: str) -> str:
    """run_results.json; names with `__` for `.`."""
    found = [{"unique_id": one.replace("__", "."), "status": what, "message": None} for one, what in status.items()]
    return json.dumps({"metadata": {}, "results": found, "args": {"which": command}})


def files(folder: Path, model: str = "ref('customers')", dbt: Mapping[str, Any] | None = None, **more: str) -> Path:
    """A project whose people read something of dbt's; other files by path with `__` for `/`, without suffix."""
    return write(folder, {
        "pyproject.toml": TOML, "profiles.yml": PROFILES, "syncs/people.yml": SYNC.replace("ref('customers')", model),
        "dbt/target/manifest.json": json.dumps(dbt or document()),
        **{name.replace("__", "/") + (".sql" if name.startswith("models") else ".json"): text for name, text in more.items()},
    })  # fmt: skip


def loaded(folder: Path, **options: Any) -> Any:
    """The project in a folder."""
    return load(folder, environ={"HOME": str(folder)}, cwd=folder, **options)


def complaint(folder: Path, *args: Any, **more: Any) -> tuple[str, str]:
    """The one thing that a load or a compile complains about, with its hint."""
    files(folder, *args, **more)
    (found,) = problems(loaded, folder) or problems(lambda: compile_project(loaded(folder), environ={}))
    return said([found])[0], found.hint


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("ref('customers')", '"shop"."main"."customers"'),
        ("ref('jaffle', 'customers')", '"shop"."main"."customers"'),
        ("ref('loyalty')", '"shop"."main"."loyalty_v2"'),
        ("ref('loyalty', v=1)", '"shop"."main"."loyalty_v1"'),
        ("ref('jaffle', 'loyalty', version='2')", '"shop"."main"."loyalty_v2"'),
        ("ref('tools', 'lent')", '"shop"."main"."lent"'),
        ("ref('shared')", '"shop"."main"."shared"'),
        ("source('lake', 'landed')", '"shop"."raw"."landed_1"'),
    ],
)
def test_a_sync_reads_the_relation_that_dbt_built(tmp_path: Path, model: str, wanted: str) -> None:
    found = compile_project(loaded(files(tmp_path, model)), environ={})
    assert found.sql("people") == f"SELECT * FROM {wanted}"
    assert [found.dbt.node(one).relation for one in found.upstream("people") if found.dbt] == [wanted]


@pytest.mark.parametrize("number", [10, 11, 12])
def test_models_of_the_project_read_it_as_well(tmp_path: Path, number: int) -> None:
    text = "select * from {{ ref('customers') }} join {{ source('lake', 'landed') }} using (id) join {{ ref('loyalty', v=1) }} x"
    files(tmp_path, "ref('mine')", document(number=number), models__mine=text)
    found = compile_project(loaded(tmp_path), environ={})
    wanted = 'select * from "shop"."main"."customers" join "shop"."raw"."landed_1" using (id) join "shop"."main"."loyalty_v1" x'
    assert found.model_sql("mine") == wanted
    assert found.upstream("people") == ("model.jaffle.customers", "source.jaffle.lake.landed", "model.jaffle.loyalty.v1")


def test_an_ephemeral_model_becomes_a_cte_and_runs(tmp_path: Path) -> None:
    direct = compile_project(loaded(files(tmp_path / "a", "ref('frequent')")), environ={}).sql("people")
    inside = "select customer_id, email, orders_count + 1 as orders_count from {{ ref('frequent') }}"
    files(tmp_path / "b", "ref('mine')", models__mine=inside)
    through = compile_project(loaded(tmp_path / "b"), environ={}).sql("people")
    assert duckdb.execute(direct).fetchall() == [(1, "a@example.com", 2)]
    assert duckdb.execute(through).fetchall() == [(1, "a@example.com", 3)]


def test_sql_that_a_later_command_left_out_is_taken_from_the_compiled_files(tmp_path: Path) -> None:
    """Each command of dbt writes a manifest with the SQL of what it selected only."""
    raw = document(
        ephemeral("above", None, depends_on={"nodes": ["model.jaffle.base"], "macros": []}), node("base"),
        ephemeral("frequent", None, depends_on={"nodes": ["model.jaffle.above"], "macros": ["macro.jaffle.cents"]}),
        macros={"macro.jaffle.cents": {"package_name": "jaffle", "original_file_path": "macros/cents.sql"}},
    )  # fmt: skip
    files(tmp_path, "ref('frequent')", raw)
    sql = 'with a as (select * from "shop"."main"."base") select * from a'
    compiled = tmp_path / "dbt/target/compiled/jaffle/models/frequent.sql"
    sources = [f"dbt/{name}.sql" for name in ("models/frequent", "models/above", "macros/cents")]

    def code(text: str = sql, newer: str = "") -> str:
        write(tmp_path, {**dict.fromkeys(sources, "x"), str(compiled.relative_to(tmp_path)): text})
        for name in sources:
            os.utime(tmp_path / name, (1000, 3000 if name == newer else 1000))
        os.utime(compiled, (2000, 2000))
        found = problems(loaded, tmp_path)
        return found[0].code if found else compile_project(loaded(tmp_path), environ={}).sql("people")

    assert sql in code()
    assert [code(newer=name) for name in sources] == ["RV444"] * 3
    assert code(sql.replace('"main"', '"ci"')) == "RV444"  # compiled for another target
    assert code("") == "RV444"
    (tmp_path / sources[0]).unlink()
    assert [p.code for p in problems(loaded, tmp_path)] == ["RV444"]  # nothing says how old it is


def test_compiled_sql_that_is_not_one_select_is_refused_where_it_is_read(tmp_path: Path) -> None:
    raw = document(node("customers"), ephemeral("odd", "select 1); drop table x; --"))
    assert compile_project(loaded(files(tmp_path / "a", dbt=raw)), environ={}).order == ("people",)
    files(tmp_path / "b", "ref('odd')", raw)
    with pytest.raises(ConfigError) as caught:
        compile_project(loaded(tmp_path / "b"), environ={})
    assert (caught.value.code, str(caught.value.where)) == ("RV073", "models/odd.sql")


def test_a_line_of_a_model_is_found_below_a_cte_of_dbt(tmp_path: Path) -> None:
    files(tmp_path, "ref('mine')", models__mine="select *\nfrom {{ ref('frequent') }}\nwhere nonsense")
    found = compile_project(loaded(tmp_path), environ={})
    line = found.sql("people").split("\n").index("where nonsense") + 1
    assert str(found.locate("people", line)) == "models/mine.sql:3"


def test_the_projects_own_model_comes_first_and_reads_dbts(tmp_path: Path) -> None:
    files(tmp_path, models__customers="select 1 as own from {{ ref('jaffle', 'customers') }}")
    found = compile_project(loaded(tmp_path), environ={})
    assert 'select 1 as own from "shop"."main"."customers"' in found.sql("people")


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("ref('custmers')", "there is no such model, neither here nor in dbt's manifest.json; did you mean 'customers'? [RV442]",
         "if dbt has it by now: dbt build --select custmers --project-dir dbt"),
        ("ref('retired')", "dbt's model 'retired' is disabled (models/retired.sql) [RV443]",
         "take `enabled: false` away, then: dbt build --select retired --project-dir dbt"),
        ("ref('never_compiled')", "is ephemeral, and manifest.json does not have its compiled SQL [RV444]",
         "dbt compile --project-dir dbt"),
        ("ref('lent')", "the packages other, tools each have such a model in dbt [RV445]", "say which: ref('other', 'lent')"),
        ("ref('loyalty', v=3)", "dbt's model 'loyalty' has no version 3 [RV446]", "it has: 1, 2"),
        ("ref('customers', v=1)", "dbt's model 'customers' has no version 1 [RV446]", "it has no versions: ref('customers')"),
        ("ref('secret_sums')", "is private to the group 'finance' [RV447]",
         "read a public model, or set `access: protected` in dbt, then: dbt parse --project-dir dbt"),
        ("source('lake', 'lnded')", "is declared neither here nor in dbt; did you mean 'lake.landed'? [RV449]",
         "if dbt declares it by now: dbt parse --project-dir dbt"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why_and_what_to_type(tmp_path: Path, model: str, message: str, hint: str) -> None:
    text, help_ = complaint(tmp_path / "sync", model)
    assert text.startswith("syncs/people.yml:5:")
    assert message in text
    assert help_ == hint
    inside, help_ = complaint(tmp_path / "model", "ref('mine')", models__mine="select *\nfrom {{ " + model + " }}")
    assert inside.startswith("models/mine.sql:2: ")
    assert message in inside
    assert help_ == hint


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_manifest_that_is_not_there_or_not_read(tmp_path: Path) -> None:
    files(tmp_path)
    path = tmp_path / "dbt" / "target" / "manifest.json"

    def told() -> str:
        (found,) = problems(loaded, tmp_path)
        assert str(found).startswith("pyproject.toml:4: ")
        return str(found)

    for text, code in (("{", "RV440"), ("[]", "RV440"), ('{"metadata": {}}', "RV441"), (json.dumps(document(number=9)), "RV441")):
        path.write_text(text)
        assert code in told()
    path.unlink()
    assert "RV440" in (missing := told())
    assert missing.endswith("→ dbt build --project-dir dbt")
    path.write_text(json.dumps(document(number=20)))
    assert ["newer than 12" in one for one in loaded(tmp_path).warnings] == [True]


def test_settings_that_are_wrong(tmp_path: Path) -> None:
    def told(dbt: str) -> str:
        files(tmp_path)
        write(tmp_path, {"pyproject.toml": f'[tool.revetl]\nname = "shop"\ndbt = {dbt}\n'})
        return "\n".join(map(str, problems(loaded, tmp_path)))

    assert "unknown key 'projct'; did you mean 'project'?" in told('{projct = "dbt"}')
    assert "needs `project`" in told('{target_path = "x"}')
    assert "tests = 'maybe'; one of: stop, warn, ignore" in told('{project = "dbt", tests = "maybe"}')
    assert "must be a table of texts" in told("{project = 1}")
    assert "RV461" in told('{project = ".", target_path = "target"}')
    assert told('{project = "dbt", target_path = "target", freshness = "warn"}') == ""


def test_another_warehouse_than_dbts(tmp_path: Path) -> None:
    raw = document()
    raw["metadata"]["adapter_type"] = "postgres"
    text, hint = complaint(tmp_path, dbt=raw)
    assert "dbt built it on postgres, and target 'dev' is duckdb [RV448]" in text
    assert "dbt build --project-dir dbt --target dev" in hint


def test_inside_a_dbt_project_its_models_are_not_taken_for_revetls(tmp_path: Path) -> None:
    files(tmp_path)
    write(tmp_path, {
        "dbt_project.yml": "name: jaffle\n", "pyproject.toml": TOML.replace('"dbt"', '"."'),
        "target/manifest.json": json.dumps(document()), "models/customers.sql": "select {{ nobody_knows() }}",
    })  # fmt: skip
    found = loaded(tmp_path)
    assert compile_project(found, environ={}).sql("people") == 'SELECT * FROM "shop"."main"."customers"'
    assert found.target_path == tmp_path / "target/revetl"


def test_a_project_without_dbt_reads_nothing_of_it(tmp_path: Path) -> None:
    files(tmp_path, "ref('mine')", models__mine="select 1 as customer_id, 'x' as email, 1 as orders_count")
    write(tmp_path, {"pyproject.toml": '[tool.revetl]\nname = "shop"\n', "dbt/target/manifest.json": "{"})
    found = loaded(tmp_path)
    assert found.dbt is None
    assert compile_project(found, environ={}).upstream("people") == ()


# --- what is inherited, and what dbt promises ------------------------------------------------------------------------


def documented(**column: Any) -> dict[str, Any]:
    """A model with a contract."""
    columns = {"CUSTOMER_ID": {"data_type": "integer"}, "email": {"data_type": "varchar", **column},
               "orders_count": {"data_type": "bigint"}}  # fmt: skip
    return node("customers", description="People.", meta={"owner": {"email": "crm@example.com"}}, columns=columns,
                contract={"enforced": True}, primary_key=["CUSTOMER_ID"])  # fmt: skip


@pytest.mark.parametrize("mark", [{"tags": ["pii"]}, {"meta": {"contains_pii": True}}, {"config": {"meta": {"pii": "email"}}}])
def test_owner_descriptions_and_marks_are_inherited(tmp_path: Path, mark: dict[str, Any]) -> None:
    found = loaded(files(tmp_path, dbt=document(documented(description="Where to write.", **mark))))
    sync = found.syncs["people"]
    email = sync.named("email")
    assert (sync.owner, sync.description) == ("crm@example.com", "People.")
    assert email is not None
    assert (email.description, email.pii) == ("Where to write.", True)
    columns = next(iter(manifest(found, compile_project(found, environ={}), head={})["syncs"].values()))["columns"]
    assert columns["email"]["pii"] is True
    assert "pii" not in columns["orders_count"]


def test_what_the_sync_says_itself_wins_and_a_group_has_an_owner(tmp_path: Path) -> None:
    raw = document(node("customers", description="Dbt's.", group="finance"))
    own = SYNC.replace("    type: person", "    type: person\n    description: Mine.")
    files(tmp_path, dbt=raw)
    write(tmp_path, {"syncs/people.yml": own})
    sync = loaded(tmp_path).syncs["people"]
    assert (sync.description, sync.owner) == ("Mine.", "finance@example.com")


def test_columns_and_types_of_an_enforced_contract(tmp_path: Path) -> None:
    raw = documented(data_type="boolean")
    raw["columns"]["order_count"] = raw["columns"].pop("orders_count")
    raw["columns"].pop("CUSTOMER_ID")
    files(tmp_path, dbt=document(raw))
    found = said(problems(loaded, tmp_path))
    assert [one.partition(": ")[2] for one in found] == [
        "'key' reads the column 'customer_id', which the contract of dbt's 'customers' does not have [RV455]",
        "'orders_count' reads the column 'orders_count', which the contract of dbt's 'customers' does not have; "
        "did you mean 'order_count'? [RV455]",
    ]
    raw["columns"]["email"]["data_type"] = "DATE"
    raw["columns"]["orders_count"] = {"data_type": "timestamp_ntz"}
    raw["columns"]["customer_id"] = {"data_type": "integer"}
    files(tmp_path, dbt=document(raw))
    assert "'orders_count' is an integer, and the contract of dbt's 'customers' says orders_count: timestamp_ntz [RV456]" in said(
        problems(loaded, tmp_path)
    )[0]
    raw["contract"] = {"enforced": False}
    assert problems(loaded, files(tmp_path, dbt=document(raw))) == []


# --- gates -----------------------------------------------------------------------------------------------------------


def standing(folder: Path, model: str = "ref('customers')", **more: str) -> tuple[list[str], list[str]]:
    """What stops the sync, and what it is warned of."""
    (found,) = api.compile(loaded(files(folder, model, None, **more)), environ={})
    return [f"{one.message} [{one.code}] → {one.hint}" for one in found.stops], [f"{n.message} [{n.code}]" for n in found.notices]


TEST = "test__jaffle__not_null_customers_id__0a1b2c"


def test_failed_tests_stop_a_sync(tmp_path: Path) -> None:
    stops, notices = standing(tmp_path, dbt__target__run_results=results(**{TEST: "fail"}))
    assert stops == [
        "sync 'people': tests of dbt's 'customers' failed: not_null_customers_id; nothing was sent [RV451] → correct it, then: "
        "dbt build --select customers --project-dir dbt"
    ]
    assert notices == []


@pytest.mark.parametrize(
    ("command", "status", "stops", "warns"),
    [
        ("build", "pass", "", ""), ("test", "warn", "", "RV451"), ("build", "error", "RV451", ""),
        ("compile", "fail", "", "RV462"),  # no outcome: dbt did not look at rows
    ],
)  # fmt: skip
def test_other_outcomes_of_tests(tmp_path: Path, command: str, status: str, stops: str, warns: str) -> None:
    found = standing(tmp_path, dbt__target__run_results=results(command, **{TEST: status}))
    assert [stops in " ".join(found[0]), warns in " ".join(found[1])] == [True, True]
    assert [len(found[0]), len(found[1])] == [bool(stops), bool(warns)]


def test_a_run_without_tests_is_told(tmp_path: Path) -> None:
    stops, notices = standing(tmp_path, dbt__target__run_results=results("run", model__jaffle__customers="success"))
    assert stops == []
    assert notices == ["sync 'people': dbt's last command (run) did not try the test of 'customers' [RV462]"]


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_a_model_that_dbt_could_not_build_has_old_rows(tmp_path: Path, status: str) -> None:
    done = results(**{TEST: "pass", "model__jaffle__customers": status})
    stops, _ = standing(tmp_path, dbt__target__run_results=done)
    assert "RV452" in stops[0]
    assert stops[0].endswith("dbt build --select +customers --project-dir dbt")


def test_a_source_that_is_not_fresh_stops_what_is_made_of_it(tmp_path: Path) -> None:
    one = {"unique_id": "source.jaffle.lake.landed", "status": "error", "max_loaded_at": "2026-11-01T10:00:00Z",
           "snapshotted_at": "2026-11-28T10:00:00Z"}  # fmt: skip
    text = json.dumps({"metadata": {}, "results": [one]})
    stops, _ = standing(tmp_path / "a", dbt__target__sources=text)
    assert "dbt's source:lake.landed is not fresh: its newest row is of 2026-11-01T10:00" in stops[0]
    assert stops[0].endswith("dbt source freshness --select source:lake.landed --project-dir dbt")
    assert standing(tmp_path / "b", "ref('frequent')", dbt__target__sources=text) == ([], [])
    stops, notices = standing(tmp_path / "c", dbt__target__sources=text.replace('"error"', '"warn"'))
    assert (stops, [one[-7:] for one in notices]) == ([], ["[RV462]", "[RV453]"])


def test_tests_of_what_a_model_is_made_of_do_not_stop_it(tmp_path: Path) -> None:
    """dbt itself skips a model below a failed test; then the model has no result of its own, or `skipped`."""
    above = {**node("raw"), "unique_id": "model.jaffle.raw"}
    customers = node("customers", depends_on={"nodes": ["model.jaffle.raw"], "macros": []})
    raw = document(above, customers, check("unique_raw", "model.jaffle.raw"))
    done = results(test__jaffle__unique_raw__0a1b2c="fail")
    files(tmp_path, dbt=raw, dbt__target__run_results=done)
    (found,) = api.compile(loaded(tmp_path), environ={})
    assert (found.stops, found.notices) == ((), ())


def test_gates_can_be_opened(tmp_path: Path) -> None:
    files(tmp_path, dbt__target__run_results=results(**{TEST: "fail"}))
    for what, wanted in (("warn", (0, 1)), ("ignore", (0, 0))):
        write(tmp_path, {"pyproject.toml": TOML + f'tests = "{what}"\n'})
        (found,) = api.compile(loaded(tmp_path), environ={})
        assert (len(found.stops), len(found.notices)) == wanted


def test_a_deprecated_version_is_warned_about(tmp_path: Path) -> None:
    stops, notices = standing(tmp_path, "ref('loyalty', v=1)")
    assert stops == []
    assert notices == ["sync 'people': dbt's 'loyalty.v1' is deprecated since 2026-06-30 [RV454]"]


def test_the_diff_and_the_run_stop_before_anything_is_sent(tmp_path: Path) -> None:
    files(tmp_path, dbt__target__run_results=results(**{TEST: "fail"}))
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as db:
        db.execute("create table customers as select 1 as customer_id, 'a@example.com' as email, 2 as orders_count")
    found = loaded(tmp_path)
    (one,) = api.diff(found, environ={}).syncs
    assert [p.code for p in one.problems] == ["RV451"]
    assert one.counts.created == 1
    result = api.run(found, environ={})
    assert (result.exit_code, result.requests) == (11, 0)


# --- a relation that is not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "wanted", "hint"),
    [
        ("ref('customers')", "dbt's model 'customers' (\"shop\".\"main\".\"customers\") is not in the warehouse",
         "dbt build --select customers --project-dir dbt"),
        ("source('lake', 'landed')", "dbt's source:lake.landed", "dbt does not build sources"),
    ],
)  # fmt: skip
def test_a_relation_that_is_not_built_names_the_command(tmp_path: Path, model: str, wanted: str, hint: str) -> None:
    files(tmp_path, model)
    duckdb.connect(str(tmp_path / "shop.duckdb")).close()
    with pytest.raises(ConfigError) as caught:
        api.diff(loaded(tmp_path), environ={})
    assert wanted in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code == "RV450"


# --- selection and artifacts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "term",
    ["customers", "+people", "customers+", "jaffle.customers", "model.jaffle.customers", "path:models/customers.sql",
     "file:customers.sql", "lake.landed+", "source:lake+", "source:lake.landed+", "resource_type:model"],
)  # fmt: skip
def test_nodes_of_dbt_can_be_selected(tmp_path: Path, term: str) -> None:
    found = compile_project(loaded(files(tmp_path)), environ={})
    assert select(found, [term]) == ("people",)


def test_the_manifest_has_what_is_above_a_sync(tmp_path: Path) -> None:
    found = loaded(files(tmp_path))
    made = manifest(found, compile_project(found, environ={}), head={})
    assert set(made["nodes"]) == {"model.jaffle.customers", "source.jaffle.lake.landed"}
    assert made["parent_map"]["sync.shop.people"] == ["model.jaffle.customers"]
    assert made["nodes"]["model.jaffle.customers"]["relation_name"] == '"shop"."main"."customers"'


# --- another state ---------------------------------------------------------------------------------------------------


def kept(folder: Path, **more: str) -> Path:
    """A project, and the state folder that a run of it would leave."""
    found = loaded(files(folder, dbt=None, **more))
    own = manifest(found, compile_project(found, environ={}), head={"revetl_schema_version": "revetl/manifest/v1"})
    write(folder, {"state/manifest.json": json.dumps(own)})
    write(folder, {"state/dbt/manifest.json": (folder / "dbt/target/manifest.json").read_text()})
    return folder / "state"


def changed(folder: Path, term: str = "state:modified") -> list[str]:
    """The syncs that a selector means, compared with the state folder."""
    found = api.load(folder, environ={"HOME": str(folder)}, state=folder / "state")
    return [sync.name for sync in api.selected(found, select=[term], environ={})]


ORDERS = """\
version: 1
syncs:
  - name: orders
    uid: orders01
    model: ref('mine')
    type: event
    event: Order Completed
    person: {id: customer_id, sync: people}
    key: order_id
    occurred_at: ordered_at
"""
MINE = "select {{ cents('a') }} as order_id, 1 as customer_id, now() as ordered_at"


def two(folder: Path) -> Path:
    """People of dbt's customers, and events of a model of the project that uses a macro; and their state."""
    write(folder, {"syncs/orders.yml": ORDERS, "macros/money.sql": "{% macro cents(a) %}{{ half(a) }}{% endmacro %}",
                   "macros/more.sql": "{% macro half(a) %}{{ a }} / 2{% endmacro %}"})  # fmt: skip
    kept(folder, models__mine=MINE)
    return folder


def test_nothing_has_changed(tmp_path: Path) -> None:
    two(tmp_path)
    assert changed(tmp_path) == []
    assert changed(tmp_path, "state:unmodified") == ["people", "orders"]


@pytest.mark.parametrize("without", ["", "state/dbt/manifest.json"])
def test_an_upstream_node_of_dbt_changes_its_syncs(tmp_path: Path, without: str) -> None:
    two(tmp_path)
    if without:
        (tmp_path / without).unlink()
    raw = document()
    raw["nodes"]["model.jaffle.customers"]["checksum"]["checksum"] = "other"
    raw["nodes"]["model.jaffle.shared"]["checksum"]["checksum"] = "other"  # that nothing reads
    write(tmp_path, {"dbt/target/manifest.json": json.dumps(raw)})
    assert changed(tmp_path) == ["people"]
    raw = document()
    raw["sources"]["source.jaffle.lake.landed"]["identifier"] = "other"
    write(tmp_path, {"dbt/target/manifest.json": json.dumps(raw)})
    assert changed(tmp_path) == ["people"]


def test_another_target_changes_nothing(tmp_path: Path) -> None:
    two(tmp_path)
    text = (tmp_path / "dbt/target/manifest.json").read_text().replace('"main"', '"pr_7"')
    write(tmp_path, {"dbt/target/manifest.json": text.replace('\\"main\\"', '\\"pr_7\\"')})
    assert changed(tmp_path) == []


def test_a_sync_a_model_or_a_macro_of_the_project_changes(tmp_path: Path) -> None:
    def edit(name: str, old: str, new: str) -> list[str]:
        two(tmp_path)
        text = (tmp_path / name).read_text()
        assert old in text
        write(tmp_path, {name: text.replace(old, new)})
        return changed(tmp_path)

    assert edit("models/mine.sql", "now()", "today()") == ["orders"]
    assert edit("macros/more.sql", "/ 2", "/ 3") == ["orders"]
    assert edit("syncs/orders.yml", "Completed", "Placed") == ["orders"]
    assert edit("syncs/orders.yml", "key: order_id", "key: order_id\n    description: Only words.") == []
    assert edit("syncs/orders.yml", "uid: orders01", "uid: orders02") == ["orders"]
    assert changed(tmp_path, "state:new") == ["orders"]


def test_macros_and_settings_of_dbt_count_but_not_its_own(tmp_path: Path) -> None:
    def with_macros(text: str, own: str, **config: str) -> dict[str, Any]:
        macros = {"macro.jaffle.a": {"macro_sql": "x", "depends_on": {"macros": ["macro.jaffle.b", "macro.dbt.c"]}},
                  "macro.jaffle.b": {"macro_sql": text}, "macro.dbt.c": {"macro_sql": own}}  # fmt: skip
        one = node("customers", depends_on={"nodes": [], "macros": ["macro.jaffle.a"]}, unrendered_config=config)
        return document(one, macros=macros)

    files(tmp_path, dbt=with_macros("1", "1", schema="{{ x }}"))
    found = loaded(tmp_path)
    own = manifest(found, compile_project(found, environ={}), head={"revetl_schema_version": "revetl/manifest/v1"})
    write(tmp_path, {"state/manifest.json": json.dumps(own)})
    for raw, wanted in (
        (with_macros("1", "2", schema="{{ x }}"), []), (with_macros("2", "1", schema="{{ x }}"), ["people"]),
        (with_macros("1", "1", schema="y"), ["people"]), (with_macros("1", "1", schema="{{ x }}", meta="y"), []),
    ):  # fmt: skip
        write(tmp_path, {"dbt/target/manifest.json": json.dumps(raw)})
        assert changed(tmp_path) == wanted


def test_a_state_that_is_not_there(tmp_path: Path) -> None:
    two(tmp_path)
    found = loaded(tmp_path)
    for action, code in (
        (lambda: api.selected(found, select=["state:modified"], environ={}), "RV458"),
        (lambda: changed(tmp_path / "nowhere"), "RV050"),
        (lambda: api.load(tmp_path, environ={"HOME": "/"}, state=tmp_path / "logs"), "RV458"),
        (lambda: api.load(tmp_path, environ={"HOME": "/"}, defer=True), "RV459"),
    ):
        with pytest.raises(ConfigError) as caught:
            action()
        assert caught.value.code == code
    (tmp_path / "state/manifest.json").unlink()
    with pytest.raises(ConfigError, match=r"no manifest\.json of revetl"):
        changed(tmp_path)
    two(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'modified'"):
        changed(tmp_path, "state:modifed")


@pytest.mark.parametrize("by", ["dbt/manifest.json", "manifest.json"])
def test_defer_reads_what_is_not_built_where_the_state_has_it(tmp_path: Path, by: str) -> None:
    state = kept(tmp_path)
    (state / ({"dbt/manifest.json", "manifest.json"} - {by}).pop()).unlink()
    text = (tmp_path / "dbt/target/manifest.json").read_text()
    write(tmp_path, {"dbt/target/manifest.json": text.replace('\\"main\\"', '\\"pr_7\\"')})
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as db:
        db.execute("create table main.customers as select 1 as customer_id, 'a@example.com' as email, 2 as orders_count")
    options: dict[str, Any] = {"environ": {"HOME": str(tmp_path)}, "state": state}

    def read(**more: Any) -> str:
        return compile_project(api.load(tmp_path, **options, **more), environ={}).sql("people").partition("FROM ")[2]

    with pytest.raises(ConfigError) as caught:
        api.diff(api.load(tmp_path, **options), environ={})
    assert caught.value.code == "RV450"
    assert read() == '"shop"."pr_7"."customers"'
    assert read(defer=True) == '"shop"."main"."customers"'
    (found,) = api.diff(api.load(tmp_path, **options, defer=True), environ={}).syncs
    assert found.counts.created == 1
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as db:
        db.execute("create schema pr_7; create table pr_7.customers as from main.customers")
    assert read(defer=True) == '"shop"."pr_7"."customers"'
    assert read(defer=True, favor_state=True) == '"shop"."main"."customers"'


# --- exposures -------------------------------------------------------------------------------------------------------


def test_syncs_as_exposures(tmp_path: Path) -> None:
    raw = document(documented(tags=["pii"]), version("loyalty", 1), {**node("lent"), "unique_id": "model.tools.lent",
                                                                        "package_name": "tools"})  # fmt: skip
    read = " from {{ ref('loyalty', v=1) }}, {{ ref('lent') }}, {{ source('lake', 'landed') }}"
    files(tmp_path, dbt=raw, models__mine=MINE.replace("{{ cents('a') }}", "1") + read)
    write(tmp_path, {"syncs/orders.yml": ORDERS.replace("name: orders", "name: orders-v2")})
    assert api.exposures(loaded(tmp_path), environ={}) == """\
# written by: revetl ls --output exposures
version: 2
exposures:
- name: people
  label: 'Customer.io: people'
  type: application
  owner:
    email: crm@example.com
  description: People.
  depends_on:
  - ref('customers')
  meta:
    revetl:
      project: shop
      sync: people
      uid: people01
      type: person
      destination: sandbox
      pii:
      - email
- name: orders_v2
  label: 'Customer.io: Order Completed'
  type: application
  owner:
    name: shop
  depends_on:
  - ref('loyalty', v=1)
  - ref('tools', 'lent')
  - source('lake', 'landed')
  meta:
    revetl:
      project: shop
      sync: orders-v2
      uid: orders01
      type: event
      event: Order Completed
      destination: sandbox
"""


# --- the profile, and a new project ----------------------------------------------------------------------------------


def test_connections_are_dbts_and_destinations_the_projects(tmp_path: Path) -> None:
    files(tmp_path)
    write(tmp_path, {
        "profiles.yml": "shop:\n  destinations:\n    dev: {type: sandbox}\n",
        "dbt/profiles.yml": "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: here.duckdb}\n",
    })  # fmt: skip
    found = loaded(tmp_path)
    assert found.target.fields["path"] == str(tmp_path / "dbt/here.duckdb")
    assert (found.destination.type, found.target.schema) == ("sandbox", "main")
    write(tmp_path, {"dbt/profiles.yml": "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: [a]}\n"})
    assert [str(p.where) for p in problems(loaded, tmp_path)] == ["dbt/profiles.yml:4:31"]


def test_a_profile_of_dbt_with_destinations_is_enough(tmp_path: Path) -> None:
    files(tmp_path)
    (tmp_path / "profiles.yml").rename(tmp_path / "dbt" / "profiles.yml")
    found = loaded(tmp_path)
    assert found.target.fields["path"] == str(tmp_path / "dbt/shop.duckdb")
    elsewhere = write(tmp_path / "elsewhere", {"profiles.yml": PROFILES.partition("  destinations")[0]})
    write(tmp_path, {"profiles.yml": "shop:\n  destinations:\n    dev: {type: sandbox}\n"})
    assert loaded(tmp_path, profiles_dir=elsewhere).target.profiles_path == elsewhere / "profiles.yml"


def test_without_dbt_no_other_profile_is_looked_at(tmp_path: Path) -> None:
    files(tmp_path, "ref('mine')", models__mine="select 1")
    write(tmp_path, {"pyproject.toml": '[tool.revetl]\nname = "shop"\n', ".dbt/profiles.yml": PROFILES,
                     "profiles.yml": "shop:\n  outputs:\n    default: {type: duckdb}\n"})  # fmt: skip
    assert [p.code for p in problems(loaded, tmp_path)] == ["RV025"]


def proposed(folder: Path, *nodes: dict[str, Any], into: str = "new", catalog: Mapping[str, Any] | None = None) -> api.Made:
    """A new project from a dbt project with these models."""
    write(folder, {
        "dbt/dbt_project.yml": "name: jaffle\nprofile: shop\n", "dbt/profiles.yml": PROFILES.replace("destinations", "others"),
        "dbt/target/manifest.json": json.dumps(document(*nodes)),
        **({"dbt/target/catalog.json": json.dumps({"metadata": {}, "nodes": catalog})} if catalog else {}),
    })  # fmt: skip
    return api.init_from_dbt(folder / into, folder / "dbt", environ={"HOME": str(folder)})


def without_uids(text: str) -> str:
    """A file with its uids taken out."""
    return re.sub(r"uid: \w{8}", "uid: …", text)


def test_typical_names_become_proposals_that_are_not_enabled(tmp_path: Path) -> None:
    people = documented(tags=["pii"])
    orders = node("fct_orders", primary_key=["order_id"], columns={
        "order_id": {}, "customer_id": {"data_type": "integer"}, "ordered_at": {"data_type": "timestamp"},
        "amount": {"data_type": "decimal(18,2)"},
    })  # fmt: skip
    made = proposed(tmp_path, people, orders, node("events"), node("contacts"), node("stg_things"))
    assert made.written == (".gitignore", "profiles.yml", "pyproject.toml", "syncs/customers.yml", "syncs/fct_orders.yml")
    assert made.notes == (
        "contacts: it looks like people, and no column that names them is known: dbt docs generate writes its columns into "
        "catalog.json",
        "events: it looks like events, and no column that dbt tests as unique and not null, no column that names a person, no "
        "column with a time: dbt docs generate writes its columns into catalog.json",
    )
    new = tmp_path / "new"
    assert without_uids((new / "syncs/customers.yml").read_text()) == """\
version: 1
syncs:
  - name: customers
    uid: …
    enabled: false                                        # a proposal: read it, then set it to true
    model: ref('customers')
    type: person                                          # by the name 'customers'
    identify_by: {id: CUSTOMER_ID}                        # dbt's key: unique and not null
    attributes:
      email: {type: string, format: email}                # pii
      orders_count: integer
"""
    assert without_uids((new / "syncs/fct_orders.yml").read_text()) == """\
version: 1
syncs:
  - name: fct_orders
    uid: …
    enabled: false                                        # a proposal: read it, then set it to true
    model: ref('fct_orders')
    type: event                                           # by the name 'fct_orders'
    event: "Orders"                                       # what it is called in Customer.io: choose it well
    person: {id: customer_id, sync: customers}            # by its name
    key: order_id                                         # dbt's key: unique and not null
    occurred_at: ordered_at                               # by its name
    properties:
      order_id: string                                    # dbt does not say its type
      amount: number
"""
    found = load(new, environ={"HOME": str(tmp_path)}, cwd=new)
    assert found.target.fields["path"] == str(tmp_path / "dbt/shop.duckdb")
    assert compile_project(found, environ={}).order == ()
    for file in new.glob("syncs/*.yml"):
        file.write_text(file.read_text().replace("enabled: false", "enabled: true "))
    assert compile_project(load(new, environ={"HOME": str(tmp_path)}, cwd=new), environ={}).order == ("customers", "fct_orders")


def test_what_meta_declares_is_written_as_it_stands(tmp_path: Path) -> None:
    declared = {"type": "person", "identify_by": {"id": "customer_id"}, "attributes": {"email": {"type": "string"}}}
    made = proposed(tmp_path, node("anything", config={"materialized": "table", "meta": {"revetl": declared}}))
    assert made.notes == ()
    new = tmp_path / "new"
    found = load(new, environ={"HOME": str(tmp_path)}, cwd=new).syncs["anything"]
    assert (found.enabled, found.key, [one.name for one in found.fields]) == (True, "customer_id", ["email"])


def test_columns_of_the_catalog_and_files_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, {"new/syncs/customers.yml": "version: 1\n"})
    one = {"columns": {"id": {"type": "INTEGER"}, "since": {"type": "DATE"}, "extra": {"type": "STRUCT(a INTEGER)"},
                       "_id": {"type": "TEXT"}}}  # fmt: skip
    made = proposed(tmp_path, documented(), node("users"), catalog={"model.jaffle.users": one})
    assert made.kept == ("syncs/customers.yml",)
    assert (tmp_path / "new/syncs/customers.yml").read_text() == "version: 1\n"
    text = (tmp_path / "new/syncs/users.yml").read_text()
    assert re.search(r"identify_by: \{id: id\} +# by its name; no test says that it is unique\n", text)
    assert "      since: date\n      extra: object\n" in text
    assert re.search(r"      my_id: \{column: _id, type: string\} +# its own name means", text)


def test_in_the_folder_of_the_dbt_project(tmp_path: Path) -> None:
    made = proposed(tmp_path, documented(), into="dbt")
    assert made.kept == ("profiles.yml",)
    assert made.notes == ("profiles.yml is dbt's: add `destinations: {dev: {type: sandbox}}` beside `outputs:`",)
    write(tmp_path, {"dbt/profiles.yml": PROFILES})
    assert load(tmp_path / "dbt", environ={"HOME": "/"}, cwd=tmp_path).syncs["customers"].enabled is False


def test_a_folder_that_is_no_dbt_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        api.init_from_dbt(tmp_path / "new", tmp_path, environ={})
    assert caught.value.code == "RV460"
    write(tmp_path, {"dbt_project.yml": "name: jaffle\n"})
    with pytest.raises(ConfigError) as caught:
        api.init_from_dbt(tmp_path / "new", tmp_path, environ={})
    assert (caught.value.code, caught.value.hint) == ("RV440", "dbt build --project-dir ..")
    assert not (tmp_path / "new").exists()
