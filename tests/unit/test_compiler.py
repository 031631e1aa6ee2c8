"""Models to SQL: what each function gives, how models are put together, and where a mistake stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.compiler import Compiled, compile_project, write_compiled
from revetl.errors import ConfigError
from revetl.render import MAX_RENDERED
from tests.unit.project_files import ORDERS, SHOP, compiled, problems, said, shop

VIEW = "{{ config(materialized='view') }}"
TABLE = '{{ config(materialized="table") }}'


def model(folder: Path, sql: str, environ: dict[str, str] | None = None, **files: str) -> str:
    """What one model renders to; other files by path with `__` for `/` and without suffix."""
    others = {f"{name.replace('__', '/')}.sql": text for name, text in files.items()}
    return compiled(folder, {"models/people.sql": sql, **others}, environ).model_sql("people")


def rows(found: Compiled, sync: str) -> list[Any]:
    """What a sync's statement gives in a DuckDB."""
    connection = duckdb.connect()
    for build in found.builds:
        connection.execute("CREATE SCHEMA IF NOT EXISTS main")
        connection.execute(f"CREATE {build.materialized.upper()} {build.relation} AS {build.sql}")
    return connection.execute(found.sql(sync)).fetchall()


# --- one model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("select {{ var('since') }}", "select 3"),
        ("select {{ var('none', 'x') }}{{ var('none', none) }}", "select xNone"),
        ("select '{{ env_var('E') }}{{ env_var('F', 'f') }}'", "select 'ef'"),
        ("select {{ target.name }} {{ target.type }} {{ target['schema'] }}", "select dev duckdb main"),
        ("from {{ source('raw', 'a') }}", 'from "raw"."a"'),
        ("from {{ source('raw', 'b') }}", 'from "lake"."layer"."B2"'),
        ("from {{ source('files', 'csv') }}", "from read_csv('{root}/it''s/csv.csv')"),
        ("from {{ source('files', 'gz') }}", "from read_json('{root}/x.jsonl.gz')"),
        ("from {{ source('files', 's3') }}", "from read_parquet('s3://b/x.parquet')"),
        ("from {{ source('files', 'call') }}", "from read_csv('{root}/x', header=true)"),
        ("from {{ source('files', 'odd') }}", "from '{root}/x.shp'"),
        ("from {{ this }}", 'from "main"."people"'),
        ("select 1{{ log('x', info=True) }}{{ config(tags=['a']) }}", "select 1"),
        ("select {% if is_incremental() or execute %}1{% else %}2{% endif %}", "select 2"),
        ("{% set l = [] %}{% do l.append(1) %}select {{ l | length }}", "select 1"),
        ("{% for i in range(9) %}{% if i > 1 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("select {{ fromjson('[1, 2]')[1] }} {{ tojson({'a': 1}) }}", 'select 2 {"a": 1}'),
        ("select 1;  \n", "select 1"),
        ("select 1; -- done\n/* really */\n", "select 1"),
        ("select ';' as a -- not; this\n", "select ';' as a -- not; this"),
        ("select 1 {# ; #}", "select 1"),
        ("{% macro one(a, b=2) %}{{ a + b }}{% endmacro %}select {{ one(1) }}", "select 3"),
    ],
)
def test_functions_of_templates(tmp_path: Path, sql: str, wanted: str) -> None:
    sources = """\
        sources:
          - {name: raw, tables: [{name: a}]}
          - {name: files, tables: [
              {name: csv, external_location: "it's/csv.csv"}, {name: gz, external_location: x.jsonl.gz},
              {name: s3, external_location: "s3://b/x.parquet"}, {name: odd, external_location: x.shp},
              {name: call, external_location: "read_csv('x', header=true)"}]}
        """.replace("[{name: a}]}", "[{name: a}]}\n          - {name: layer, tables: []}")
    sources = sources.replace("- {name: layer, tables: []}", "- {name: more, schema: layer, database: lake, tables: [{name: b}]}")
    sources = sources.replace("tables: [{name: b}]", "tables: [{name: b, identifier: B2}]")
    wanted_sql = sql.replace("source('raw', 'b')", "source('more', 'b')")
    settings = '[tool.revetl]\nname="shop"\nvars={since=3}\n'
    found = compiled(
        tmp_path, {"models/people.sql": wanted_sql, "models/s.yml": sources, "pyproject.toml": settings}, {"E": "e"}
    )
    assert found.model_sql("people") == wanted.replace("{root}", str(tmp_path))


def test_macros_of_all_files_see_each_other_and_the_model(tmp_path: Path) -> None:
    """Whatever their order; `ref` and `config` in a macro are the model's that called it."""
    found = compiled(tmp_path, {
        "macros/a.sql": "{% macro outer(x) %}[{{ inner(x) }} {{ _hidden() }} {{ this }}]{% endmacro %}"
                        "{% macro base() %}{{ config(tags=['from_macro']) }}{{ ref('base') }}{% endmacro %}",
        "macros/deep/b.sql": "{% macro inner(x) %}<{{ x }}>{% endmacro %}{% macro _hidden() %}h{% endmacro %}",
        "models/base.sql": "select 1",
        "models/people.sql": "select {{ outer(3) }} from {{ base() }}",
        "models/orders.sql": "select {{ outer(4) }}",
    })  # fmt: skip
    assert found.model_sql("people") == 'select [<3> h "main"."people"] from __revetl__cte__base'
    assert found.model_sql("orders") == 'select [<4> h "main"."orders"]'
    assert found.parents["model.people"] == ("model.base",)
    assert found.models["people"].tags == ("from_macro",)
    assert found.parents["model.orders"] == ()


def test_macros_return_values_as_in_dbt(tmp_path: Path) -> None:
    """`return` leaves the innermost macro, with any value, also when macros of one file call each other."""
    sql = "{% for c in columns() %}{{ c }}{% if not loop.last %}, {% endif %}{% endfor %} {{ wrapped() }}"
    found = model(
        tmp_path, sql, macros__m="{% macro columns() %}{% do return(['a', 'b']) %}never{% endmacro %}"
        "{% macro wrapped() %}({{ columns() | length }}){% endmacro %}",
    )  # fmt: skip
    assert found == "a, b (2)"


def test_macros_with_a_call_block(tmp_path: Path) -> None:
    found = model(
        tmp_path, "{% call twice() %}x{% endcall %}", macros__m="{% macro twice() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    )
    assert found == "xx"


# --- several models ------------------------------------------------------------------------------------------------


def test_ephemeral_models_become_ctes_once_and_in_order(tmp_path: Path) -> None:
    found = compiled(tmp_path, {
        "models/z_base.sql": "with x as (select 1 as id) select * from x -- end",
        "models/left.sql": "select id as l from {{ ref('z_base') }}",
        "models/marts/right.sql": "select id as r from {{ ref('shop', 'z_base') }};",
        "models/unused.sql": "select nothing",
        "models/people.sql": "with a as (select * from {{ ref('left') }}) select * from a join {{ ref('right') }} on l = r",
    })  # fmt: skip
    sql = found.sql("people")
    assert sql.count("__revetl__cte__z_base AS (") == 1
    names = ["z_base", "left", "right", "people"]
    assert [sql.index(f"__revetl__cte__{name} AS (") for name in names] == sorted(
        sql.index(f"__revetl__cte__{name} AS (") for name in names
    )
    assert "nothing" not in sql
    assert rows(found, "people") == [(1, 1)]
    assert found.builds == ()
    assert found.parents["model.people"] == ("model.left", "model.right")
    assert found.parents["sync.people"] == ("model.people",)


def test_views_and_tables_are_built_in_order(tmp_path: Path) -> None:
    """What ref() gives follows from config(), even where a macro says it, and whatever the files' order."""
    found = compiled(tmp_path, {
        "macros/m.sql": "{% macro as_view() %}{{ config(materialized='view') }}{% endmacro %}",
        "models/a_last.sql": TABLE + "select v + 1 as v from {{ ref('b_eph') }}",
        "models/b_eph.sql": "select v + 1 as v from {{ ref('c_first') }}",
        "models/c_first.sql": "{{ as_view() }}select v from {{ ref('d_eph') }}",
        "models/d_eph.sql": "select 1 as v",
        "models/people.sql": "select v + 1 as v from {{ ref('a_last') }}",
        "models/orders.sql": VIEW + "select 1 as one",
    })  # fmt: skip
    assert [(b.name, b.materialized, b.relation) for b in found.builds] == [
        ("c_first", "view", '"main"."c_first"'), ("a_last", "table", '"main"."a_last"'), ("orders", "view", '"main"."orders"'),
    ]  # fmt: skip
    assert found.model_sql("b_eph") == 'select v + 1 as v from "main"."c_first"'
    assert found.sql("orders") == 'SELECT * FROM "main"."orders"'
    assert rows(found, "people") == [(4,)]
    assert rows(found, "orders") == [(1,)]


def test_a_sync_of_a_source(tmp_path: Path) -> None:
    found = compiled(tmp_path, {
        "models/s.yml": "sources: [{name: raw, tables: [{name: orders}]}]",
        "syncs/orders.yml": ORDERS.replace("ref('orders')", "source('raw', 'orders')"),
    })  # fmt: skip
    assert found.sql("orders") == 'SELECT * FROM "raw"."orders"'
    assert found.parents["sync.orders"] == ("source.raw.orders", "sync.people")


def test_people_come_first_and_disabled_syncs_not_at_all(tmp_path: Path) -> None:
    more = ORDERS.replace("name: orders", "name: off").replace("orders01", "orders02").replace("Order Completed", "Off")
    found = compiled(tmp_path, {"syncs/a.yml": more + "    enabled: false\n"})
    assert found.order == ("people", "orders")


def test_names_with_a_hyphen_are_quoted(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"models/my-base.sql": "select 5", "models/people.sql": "select * from {{ ref('my-base') }}"})
    assert rows(found, "people") == [(5,)]


def test_versions_of_a_model(tmp_path: Path) -> None:
    found = model(tmp_path, "from {{ ref('dim', v=2) }} {{ ref('dim', version=9) }}", models__dim="x", models__dim_v2="y")
    assert found == "from __revetl__cte__dim_v2 __revetl__cte__dim"


@given(edges=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14))
def test_any_graph_without_a_circle_compiles_to_sql_that_runs(
    tmp_path_factory: pytest.TempPathFactory, edges: list[tuple[int, int]]
) -> None:
    """Model n is 1 plus the sum of its parents; every third is a view."""
    parents: dict[int, list[int]] = {n: sorted({a for a, b in edges if b == n and a < b}) for n in range(8)}

    def text(n: int) -> str:
        sums = "".join(f' + (select v from {{{{ ref("m{p}") }}}})' for p in parents[n])
        return (VIEW if n % 3 == 1 else "") + f"select 1{sums} as v"

    files = {f"models/m{n}.sql": text(n) for n in parents}
    found = compiled(tmp_path_factory.mktemp("any"), {**files, "models/people.sql": "select v from {{ ref('m7') }}"})
    values: dict[int, int] = {}
    for n in range(8):
        values[n] = 1 + sum(values[p] for p in parents[n])
    assert rows(found, "people") == [(values[7],)]


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("select 1\nfrom {{ ref('poeple') }}",
         "models/people.sql:2: ref('poeple'): there is no such model; did you mean 'people'? [RV064]"),
        ("{{ ref() }}", "models/people.sql:1: ref() takes a model, or a project and a model [RV064]"),
        ("\n\n{{ source('raw', 'order') }}",
         "models/people.sql:3: source('raw', 'order') is not declared; did you mean 'raw.orders'? [RV065]"),
        ("{{ var('sinc') }}",
         "models/people.sql:1: var('sinc') has no value and no default; did you mean 'since'? [RV066]"),
        ("{{ env_var('NO') }}", "models/people.sql:1: the environment variable NO is not set [RV027]"),
        ("{{ env_var('DBT_ENV_SECRET_A', 'x') }}",
         "models/people.sql:1: env_var('DBT_ENV_SECRET_A'): a secret may be used in profiles.yml only [RV067]"),
        ("select\n{{ reff('a') }}", "models/people.sql:2: 'reff' is not defined; did you mean 'ref'? [RV060]"),
        ("{{ helpr() }}", "models/people.sql:1: 'helpr' is not defined; did you mean 'helper'? [RV060]"),
        ("{{ target.nam }}", "models/people.sql:1: the template fails: 'dict object' has no attribute 'nam' [RV060]"),
        ("select 1\n{% if %}",
         "models/people.sql:2: the template is wrong: Expected an expression, got 'end of statement block' [RV060]"),
        ("{% for %}", None),
        ("{{ 1 / 0 }}", "models/people.sql:1: the template fails: ZeroDivisionError: division by zero [RV060]"),
        ("{{ exceptions.raise_compiler_error('no rows') }}", "models/people.sql:1: the model stops: no rows [RV060]"),
        ("{{ return(1) }}", "models/people.sql:1: return() belongs into a macro [RV060]"),
        ("a\n{{ helper() }}", "macros/m.sql:2: ref('no'): there is no such model (called in models/people.sql:2) [RV064]"),
        ("{{ config(materialized='incremental') }}select 1",
         "models/people.sql:1: materialized='incremental' is not supported [RV062]"),
        ("{{ config(materialized='tabel') }}select 1",
         "models/people.sql:1: materialized='tabel' is not supported; did you mean 'table'? [RV062]"),
        ("{{ config(materialized='view', schema='x') }}select 1",
         "models/people.sql:1: config(schema=…) is not supported: a view is built in the target's schema under its own name "
         "[RV062]"),
        ("-- nothing\n/* at all */", "models/people.sql:1: the model gives no SQL [RV068]"),
        ("", "models/people.sql:1: the model gives no SQL [RV068]"),
        ("{{ ''.__class__ }}", None), ("{{ ref.__globals__ }}", None),
        ("{{ 'a' * 10 ** 9 }}", f"models/people.sql:1: the template gives more than {MAX_RENDERED:,} characters [RV061]"),
        ("{{ [1] * 10 ** 9 }}", f"models/people.sql:1: the template gives more than {MAX_RENDERED:,} characters [RV061]"),
        ("{{ 10 ** (10 ** 8) }}", f"models/people.sql:1: the template gives more than {MAX_RENDERED:,} characters [RV061]"),
        ("{% for i in range(5000) %}{{ 'a' * 10000 }}{% endfor %}",
         f"models/people.sql: the template gives more than {MAX_RENDERED:,} characters [RV061]"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", None),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, sql: str, wanted: str | None) -> None:
    files = {
        "models/people.sql": sql, "models/s.yml": "sources: [{name: raw, tables: [{name: orders}]}]",
        "pyproject.toml": '[tool.revetl]\nname="shop"\nvars={since=3}\n',
        "macros/m.sql": "\n{% macro helper() %}{{ ref('no') }}{% endmacro %}",
    }  # fmt: skip
    found = problems(compiled, tmp_path, files, {"DBT_ENV_SECRET_A": "hunter22"})
    assert len(found) == 1
    assert "hunter22" not in str(found[0])
    assert wanted is None or said(found) == [wanted]
    assert str(found[0].where).startswith(("models/people.sql", "macros/m.sql:"))


def test_problems_of_all_models_are_said_at_once(tmp_path: Path) -> None:
    found = problems(compiled, tmp_path, {
        "models/people.sql": "{{ ref('a') }}", "models/orders.sql": "\n{{ var('b') }}",
        "models/third.sql": "{{ broken() }}",
        "macros/m.sql": "{% macro broken() %}{% if %}{% endmacro %}",
        "macros/n.sql": "{% macro broken() %}select 1{% endmacro %}",
    })  # fmt: skip
    assert [(str(p.where), p.code) for p in found] == [
        ("macros/m.sql:1", "RV060"), ("macros/n.sql", "RV054"), ("models/orders.sql:2", "RV066"),
        ("models/people.sql:1", "RV064"),
    ]  # fmt: skip


def test_a_circle_is_shown_as_a_path(tmp_path: Path) -> None:
    found = problems(compiled, tmp_path, {
        "models/a.sql": "{{ ref('b') }}", "models/b.sql": "{{ ref('c') }}", "models/c.sql": "{{ ref('a') }}",
        "models/d.sql": VIEW + "{{ ref('d') }}", "models/people.sql": "{{ ref('a') }}",
    })  # fmt: skip
    assert said(found) == [
        "models/a.sql:1: models read each other in a circle: a -> b -> c -> a [RV063]",
        "models/d.sql:1: models read each other in a circle: d -> d [RV063]",
    ]


# --- places and files ------------------------------------------------------------------------------------------------


def located(found: Compiled, text: str, sync: str = "people") -> str:
    """Where the first line of a statement with this text comes from."""
    lines = found.sql(sync).split("\n")
    return str(found.locate(sync, next(i for i, line in enumerate(lines, 1) if text in line)))


def test_a_line_of_the_statement_leads_to_its_model(tmp_path: Path) -> None:
    found = compiled(tmp_path, {
        "models/base.sql": "{{ config(tags='a') }}\n\nselect\n    1 as one,\n    nope as two\n",
        "models/people.sql": "{#\n long\n comment\n#}\nselect\n{% for c in ['a', 'b', 'c'] %}\n    one as {{ c }},\n"
                             "{% endfor %}\n    two\nfrom {{ ref('base') }}\nwhere wrong = 1\n",
    })  # fmt: skip
    assert located(found, "nope") == "models/base.sql:5"
    assert located(found, "wrong = 1") == "models/people.sql:11"
    assert located(found, "one as b") in {"models/people.sql:7", "models/people.sql:6", "models/people.sql:8"}
    assert located(found, "from __revetl__cte__base") == "models/people.sql:10"
    lines = found.sql("people").count("\n") + 1
    assert found.locate("people", lines) is None
    assert found.locate("people", 1) is None
    assert found.locate("people", 0) is None
    assert found.locate("people", lines + 5) is None


@given(lines=st.lists(st.sampled_from(["select", "a,", "b,", "", "-- c", "from t"]), min_size=1, max_size=12).filter(any))
def test_lines_of_plain_sql_are_exact(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """Without Jinja, every line leads to itself, however often its text occurs."""
    folder = tmp_path_factory.mktemp("any")
    sql = "\n".join(["select 1", *lines])
    found = compiled(folder, {"models/people.sql": sql})
    for number in range(1, len(sql.rstrip().split("\n")) + 1):
        assert str(found.locate("people", number + 1)) == f"models/people.sql:{number}"


def test_compiled_files(tmp_path: Path) -> None:
    project = shop(tmp_path, {"models/marts/deep.sql": "select {{ 1 + 1 }}"})
    found = compile_project(project, environ={})
    for _ in range(2):  # a second time replaces
        write_compiled(found, project)
    base = tmp_path / "target" / "compiled" / "shop"
    assert sorted(str(p.relative_to(base)) for p in base.rglob("*") if p.is_file()) == [
        "models/marts/deep.sql", "models/orders.sql", "models/people.sql", "syncs/orders.sql", "syncs/people.sql",
    ]  # fmt: skip
    assert (base / "models/marts/deep.sql").read_text() == "select 2\n"
    assert (base / "syncs/people.sql").read_text() == found.sql("people") + "\n"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    project = shop(tmp_path, {"target": "a file"})
    with pytest.raises(ConfigError, match="cannot write") as caught:
        write_compiled(compile_project(project, environ={}), project)
    assert "--target-path" in caught.value.hint


def test_the_right_project_compiles(tmp_path: Path) -> None:
    found = compiled(tmp_path)
    assert found.model_sql("people") == SHOP["models/people.sql"].strip()
    assert rows(found, "people") == [(1, "a@example.com", 2)]
