"""Tests and freshness in dbt's spelling: every way to write them, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.datatests import Age, DataTest, Freshness, dbt_name, met
from tests.unit.project_files import problems, shop

SOURCES = """\
sources:
  - name: raw
    loaded_at_field: loaded_at
    freshness: {warn_after: {count: 12, period: hour}, error_after: {count: 1, period: day}}
    tables:
      - name: orders
        columns:
          - name: id
            data_tests: [unique]
      - name: old
        freshness: null
      - name: own
        loaded_at_field: "_synced::timestamp"
        freshness: {error_after: {count: 2, period: day}, filter: "shop = '{{ var(\\"shop\\") }}'"}
"""
MODELS = """\
models:
  - name: people
    data_tests:
      - unique: {column_name: "lower(email)", name: one_email}
    columns:
      - name: customer_id
        tests:
          - unique
          - not_null:
              config: {severity: warn, where: "email is not null", warn_if: "> 10", error_if: ">100", limit: 500}
      - name: plan
        data_tests:
          - accepted_values: {arguments: {values: [free, "it's", 3, true]}}
          - accepted_values: {values: [1, 2.50], quote: false, severity: WARN, name: numbers}
          - dbt_utils.not_constant
          - unique: {enabled: false}
  - name: orders
    columns:
      - name: customer_id
        quote: true
        data_tests:
          - relationships: {to: ref('people'), field: customer_id}
          - test_name: not_null
            name: "an order's person"
            config: {store_failures: true}
"""
VARS = '[tool.revetl]\nname = "shop"\n[tool.revetl.vars]\nshop = "main"\n'


def test_every_spelling_of_dbt_is_read(tmp_path: Path) -> None:
    project = shop(tmp_path, {"models/schema.yml": MODELS})

    by_name = {test.name: test for test in project.tests}
    assert list(by_name) == [
        "one_email", "unique_people_customer_id", "not_null_people_customer_id",
        "accepted_values_people_plan__free__it_s__3__True", "numbers",
        "relationships_orders_customer_id__customer_id__ref_people_", "an_order_s_person",
    ]  # fmt: skip
    assert by_name["one_email"].column == "lower(email)"
    strict = by_name["not_null_people_customer_id"]
    assert (strict.severity, strict.condition, strict.warn_if, strict.error_if, strict.limit) == (
        "warn", "email is not null", "> 10", ">100", 500,
    )  # fmt: skip
    assert by_name["accepted_values_people_plan__free__it_s__3__True"].values == ("'free'", "'it''s'", "'3'", "'true'")
    assert by_name["numbers"].values == ("1", "2.50")
    assert by_name["numbers"].severity == "warn"
    child = by_name["relationships_orders_customer_id__customer_id__ref_people_"]
    assert (child.column, child.to, child.to_column) == ('"customer_id"', "model.people", "customer_id")
    assert child.where.line == 22
    said = " ".join(project.warnings)
    assert "dbt_utils.not_constant" in said
    assert "stores no failing rows" in said


def test_a_source_inherits_its_freshness_and_a_table_may_have_its_own_or_none(tmp_path: Path) -> None:
    project = shop(tmp_path, {"models/sources.yml": SOURCES, "pyproject.toml": VARS})

    orders, own = project.sources["raw.orders"].freshness, project.sources["raw.own"].freshness
    assert orders is not None
    assert own is not None
    assert (orders.loaded_at, str(orders.warn_after), str(orders.error_after)) == ("loaded_at", "12 hours", "1 day")
    assert (own.loaded_at, own.condition, str(own.error_after)) == ("_synced::timestamp", "shop = 'main'", "2 days")
    assert project.sources["raw.old"].freshness is None
    assert [test.name for test in project.tests] == ["source_unique_raw_orders_id"]


def test_a_freshness_without_the_time_of_its_rows_is_said_to_be_none(tmp_path: Path) -> None:
    sources = SOURCES.replace("    loaded_at_field: loaded_at\n", "")

    project = shop(tmp_path, {"models/sources.yml": sources, "pyproject.toml": VARS})

    assert project.sources["raw.orders"].freshness is None
    assert "loaded_at_field" in " ".join(project.warnings)


@pytest.mark.parametrize(
    ("column", "code", "word"),
    [
        ("tests: [not_nul]", "RV470", "'not_null'"),
        ("tests: [unique]\n        data_tests: [unique]", "RV471", "old name"),
        ("tests: unique", "RV471", "list"),
        ("tests: [unique, unique]", "RV014", "exists already"),
        ("tests: [{unique: {}, not_null: {}}]", "RV471", "one level deeper"),
        ("tests: [{unique: {severty: warn}}]", "RV010", "'severity'"),
        ("tests: [{unique: {config: {severty: warn}}}]", "RV010", "'severity'"),
        ("tests: [{unique: {severity: warn, config: {severity: warn}}}]", "RV471", "twice"),
        ("tests: [{unique: {severity: maybe}}]", "RV471", "`error` or `warn`"),
        ("tests: [{unique: {warn_if: many}}]", "RV471", "number"),
        ("tests: [{unique: {limit: -1}}]", "RV471", "whole number"),
        ("tests: [{unique: {enabled: perhaps}}]", "RV471", "true or false"),
        ("tests: [accepted_values]", "RV013", "'values'"),
        ("tests: [{accepted_values: {values: []}}]", "RV471", "list of values"),
        ("tests: [{relationships: {to: people, field: id}}]", "RV032", "ref('model')"),
        ("tests: [{relationships: {to: ref('peple'), field: id}}]", "RV033", "'people'"),
    ],
)
def test_what_is_wrong_with_a_test_is_said_with_its_place(tmp_path: Path, column: str, code: str, word: str) -> None:
    text = f"models:\n  - name: people\n    columns:\n      - name: customer_id\n        {column}\n"

    found = problems(shop, tmp_path, {"models/schema.yml": text})

    assert [problem.code for problem in found] == [code]
    assert word in str(found[0])
    assert found[0].where is not None
    assert found[0].where.file == "models/schema.yml"


def test_tests_of_no_model_and_a_wrong_freshness_and_a_wrong_mode_are_mistakes(tmp_path: Path) -> None:
    found = problems(shop, tmp_path, {
        "models/schema.yml": "models:\n  - name: peple\n    columns:\n      - {name: x, tests: [unique]}\n  - name: other\n",
        "models/sources.yml": SOURCES.replace("period: hour", "period: hours"),
        "pyproject.toml": VARS.replace("[tool.revetl]\n", '[tool.revetl]\ntests = "gates"\n'),
    })  # fmt: skip

    assert {problem.code for problem in found} == {"RV472", "RV478", "RV011"}
    assert "'people'" in " ".join(map(str, found))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["=", "!=", "<>", "<", ">", "<=", ">="]))
def test_conditions_compare_as_sql_does(number: int, than: int, word: str) -> None:
    python = {"=": "==", "<>": "!="}.get(word, word)
    assert met(f"{word} {than}", number) == eval(f"{number} {python} {than}")  # noqa: S307 two numbers
    assert met(f"between {than} and {than + 5}", number) == (than <= number <= than + 5)


def test_severity_decides_what_the_thresholds_mean() -> None:
    test = DataTest(name="t", kind="unique", node="model.people", column="id", warn_if="> 1", error_if="> 10")
    warning = DataTest(name="t", kind="unique", node="model.people", column="id", warn_if="> 1", severity="warn")

    assert [test.status(n) for n in (1, 2, 11)] == ["pass", "warn", "fail"]
    assert [warning.status(n) for n in (1, 2, 11)] == ["pass", "warn", "warn"]


def test_a_source_without_rows_is_as_old_as_can_be() -> None:
    rule = Freshness(loaded_at="at", warn_after=Age(count=1, period="hour"), error_after=Age(count=1, period="day"))

    assert [rule.status(age) for age in (0, 3_600, 3_601, 86_401, None)] == ["pass", "pass", "warn", "error", "error"]


def test_names_and_files_are_dbts() -> None:
    values = ["placed", "shipped", "completed", "returned"]
    long = dbt_name("accepted_values", "orders", {"column_name": "status", "values": values})

    assert long == "accepted_values_orders_status__placed__shipped__completed__returned"
    test = DataTest(name=long, kind="accepted_values", node="model.orders", column="status")
    # as dbt-core 1.11 names it: the first 30 characters and the MD5 of the whole
    assert test.file_name.startswith("accepted_values_orders_status_")
    assert len(test.file_name) == 30 + 1 + 32
