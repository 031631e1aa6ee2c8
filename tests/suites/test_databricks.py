"""What revetl asks of Databricks, run by run: golden files, parsed, analyzed and answered by Apache Spark.

The rows are in Spark, the state is in a DuckDB file (`databricks.py`). `UPDATE_GOLDEN=1` writes the files anew.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from revetl.sandbox import Sandbox

pytest.importorskip("databricks.sqlalchemy", reason="pip install 'revetl[databricks]'")
pytest.importorskip("pyspark", reason="pip install pyspark (400 MB, and Java 17) shows what Spark makes of the statements")

from revetl import elsewhere
from revetl.databricks_sql import Dialect, written
from revetl.dialects import Column, Kind
from revetl.diffsql import row_digest
from revetl.engine import CompiledSync
from revetl.identity import email_sql, normal_email
from revetl.on_databricks import DATABRICKS
from tests.suites.databricks import mirrored, on_spark, parse, spark, values
from tests.suites.redshift import filled
from tests.suites.world import World, people_sync

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "sql" / "databricks"
pytestmark = pytest.mark.more


@pytest.fixture
def told(tmp_path: Path, box: Sandbox) -> tuple[World, list[str]]:
    """A world, and what was asked of its warehouse."""
    statements: list[str] = []
    world = filled(mirrored(tmp_path, box, statements.append))
    statements.clear()
    return world, statements


def golden(name: str, statements: list[str]) -> None:
    """Compare with the kept file."""
    text = ";\n\n".join("\n".join(line.rstrip() for line in s.strip().splitlines()) for s in statements) + ";\n"
    text = re.sub(r"(?<!\d)1[789]\d{8,11}(?!\d)", "<time>", text)
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_the_statements_of_two_runs_with_the_state_elsewhere(told: tuple[World, list[str]]) -> None:
    world, statements = told
    world.run(backfill=True)
    golden("1_first_load.sql", statements)
    assert world.held()["people"] == 2
    statements.clear()
    world.sql("UPDATE people SET plan = 'team' WHERE id = 'a'")
    world.run()
    golden("2_changed.sql", statements)
    assert (world.person("a") or {})["plan"] == "team"
    for statement in statements:
        parse(statement)
        assert statement.startswith(("SELECT", "DESCRIBE QUERY SELECT"))
    with pytest.raises(Exception, match="PARSE_SYNTAX_ERROR"):
        parse("SELEC 1")


def sql_of(clause: Any) -> str:
    """An expression as it is sent."""
    return str(clause.compile(dialect=Dialect()))


def lit(text: str) -> Any:
    """SQL of Spark."""
    return sa.literal_column(text)


CASES: list[tuple[Any, Any]] = [
    (DATABRICKS.digest(sa.literal("ann@example.com")), hashlib.md5(b"ann@example.com").hexdigest()),  # noqa: S324 no secret
    (DATABRICKS.sha256(sa.literal("é")), hashlib.sha256("é".encode()).hexdigest()),
    (DATABRICKS.octets(sa.literal("é")), 2),
    (sa.func.length(sa.literal("é😀")), 2),
    (DATABRICKS.strip_zeros(lit("CAST(42.50 AS DECIMAL(38, 9))")), "42.5"),
    (DATABRICKS.strip_zeros(lit("CAST(0 AS DECIMAL(38, 18))")), "0.0"),
    (DATABRICKS.strip_zeros(lit("CAST(-0.000000000000000001 AS DECIMAL(38, 18))")), "-0.000000000000000001"),
    (DATABRICKS.seconds(lit("TIMESTAMP '1969-12-31 23:59:59.999999+00:00'")), -1),
    (DATABRICKS.seconds(lit("TIMESTAMP '2026-03-29 01:30:00.9+00:00'")), 1774747800),
    (DATABRICKS.seconds(DATABRICKS.at_zone(lit("TIMESTAMP_NTZ '2026-01-01 12:00:00'"), "Europe/Paris")), 1767265200),
    (DATABRICKS.seconds(DATABRICKS.at_zone(sa.cast(lit("DATE '2026-07-01'"), sa.TIMESTAMP), "America/New_York")), 1782878400),
    (DATABRICKS.iso_date(lit("TIMESTAMP_NTZ '0987-01-02 03:04:05'")), "0987-01-02"),
    (DATABRICKS.json_text(lit("named_struct('a', 'é\"', 'b', array(1, 2), 'c', CAST(NULL AS INT))"),
                          Column(name="v", kind=Kind.NESTED, native="struct")), '{"a":"é\\"","b":[1,2],"c":null}'),
    (sa.cast(lit("true"), sa.Text), "true"),
    (sa.func.trim(sa.literal("xx'a'x"), "x'"), "a"),
    (sa.func.trim(sa.literal("\t a ")), "\t a"),
    (sa.func.regexp_replace(sa.literal("+1 (2)"), "[^0-9]", "", "g"), "12"),
    (sa.func.regexp_replace(sa.literal("0042.00"), "^([0-9]+)[.]0+$", "\\1"), "0042"),
    (sa.cast(sa.func.to_json(sa.literal('a"\\é')), sa.Text), '"a\\"\\\\é"'),
    (sa.cast(sa.literal('["a","b"]'), sa.JSON).op("->>")(lit("1")), "b"),
    (sa.func.strpos(sa.literal("añb"), "b"), 3),
    (sa.literal("a").is_distinct_from(sa.cast(sa.null(), sa.Text)), True),
    (sa.cast(lit("0.1D + 0.2D"), sa.Text), "0.30000000000000004"),
    (sa.cast(lit("CAST(1.5 AS DECIMAL(38, 2))"), sa.Text), "1.50"),
]  # fmt: skip


def test_values_are_those_of_the_other_engines() -> None:
    found = values([sql_of(clause) for clause, _ in CASES])
    texts = [sql_of(clause) for clause, _ in CASES]
    assert list(zip(texts, found, strict=True)) == list(zip(texts, (wanted for _, wanted in CASES), strict=True))


def test_addresses_texts_and_digests() -> None:
    addresses = [" Ann@Example.COM ", "\u00a0É.Ü@ÄÖ.de\u200b", "ΑΣ@x.gr", "100%@x", "it's\\n@x", ""]
    found = values([sql_of(email_sql(DATABRICKS, sa.literal(one))) for one in addresses])
    assert found == [normal_email(one) for one in addresses]
    texts = ["it's", "a\\b", "\n\r\t", "\x01\x1f\x85\xa0", "\u200b\ufeff", "😀", '"`', "%s %% ${x} :y"]
    assert values([written(one) for one in texts]) == texts
    null = sa.cast(sa.null(), sa.Text)
    rows = [("a", "b"), ("ab", ""), ("ab", None), ("", "ab"), (None, "ab"), ("1:a", "b")]
    digests = values([sql_of(row_digest(DATABRICKS, [null if v is None else sa.literal(v) for v in row])) for row in rows])
    assert len(set(digests)) == len(rows)


# a value in Spark, and what DuckDB, where the state is, must have of it
CARRIED = [
    ("CAST(-9223372036854775808 AS BIGINT)", "CAST(v AS VARCHAR)", "-9223372036854775808"),
    ("CAST('12345678901234567890123456789.123456789' AS DECIMAL(38, 9))", "CAST(v AS VARCHAR)",
     "12345678901234567890123456789.123456789"),
    ("CAST(0 AS DECIMAL(38, 18))", "CAST(v AS VARCHAR)", "0.000000000000000000"),
    ("CAST('1e-300' AS DOUBLE)", "v = 1e-300", True),
    ("CAST('0.1' AS FLOAT)", "v = CAST(CAST(0.1 AS FLOAT) AS DOUBLE)", True),
    ("CAST('NaN' AS DOUBLE)", "isnan(v)", True),
    ("CAST('-Infinity' AS DOUBLE)", "v = '-Infinity'::DOUBLE", True),
    ("true", "v", True),
    ("DATE '0001-02-03'", "CAST(v AS VARCHAR)", "0001-02-03"),
    ("TIMESTAMP '2026-03-29 01:30:00.123456+02:00'", "epoch_us(v)", 1774740600123456),
    ("TIMESTAMP '1969-12-31 23:59:59.000001+00:00'", "epoch_us(v)", -999999),
    ("TIMESTAMP_NTZ '2026-03-29 02:30:00.5'", "CAST(v AS VARCHAR)", "2026-03-29 02:30:00.5"),
    ("'tab\\t and \\\\ and 😀'", "v", "tab\t and \\ and 😀"),
    ("array(1, NULL)", "v", "[1,null]"),
    ("map('k', named_struct('x', CAST(NULL AS STRING)))", "v", '{"k":{"x":null}}'),
    ("CAST(NULL AS STRING)", "v IS NULL", True),
]


def test_every_type_arrives_as_it_is(tmp_path: Path) -> None:
    """Out of Spark, and into the engine of the state."""
    from revetl.profiles import Elsewhere  # noqa: PLC0415
    from tests.suites.world import attribute  # noqa: PLC0415

    model = "SELECT 'k' AS id, " + ", ".join(f"{value} AS c{i}" for i, (value, _, _) in enumerate(CARRIED))
    sync = people_sync(fields=tuple(attribute(f"c{i}") for i in range(len(CARRIED))))
    state = Elsewhere(kind="duckdb", fields={"path": "s.duckdb"})
    warehouse = elsewhere.open_elsewhere(on_spark(), state, root=tmp_path, read_only=False)
    try:
        made = warehouse.adopt(CompiledSync(sync=sync, sql=model, locate=lambda _: sync.where))
        warehouse.columns(made.sql)
        asked = ", ".join(check.replace("v", f'"c{i}"', 1) if check.startswith("v") else re.sub(r"\bv\b", f'"c{i}"', check)
                          for i, (_, check, _) in enumerate(CARRIED))  # fmt: skip
        (found,) = warehouse.fetch(sa.text(f'SELECT {asked} FROM "stage__people01"'.replace(":", r"\:")))
        assert list(found) == [wanted for _, _, wanted in CARRIED]
    finally:
        warehouse.close()


@pytest.mark.parametrize(
    ("expression", "kind", "scale"),
    [("'a'", Kind.TEXT, None), ("1", Kind.INTEGER, None), ("1L", Kind.INTEGER, None), ("1.5", Kind.DECIMAL, 1),
     ("CAST(1 AS DECIMAL(38, 0))", Kind.DECIMAL, 0), ("1.5D", Kind.FLOAT, None), ("CAST(1 AS FLOAT)", Kind.FLOAT, None),
     ("true", Kind.BOOLEAN, None), ("current_timestamp()", Kind.TIMESTAMP_TZ, None), ("localtimestamp()", Kind.TIMESTAMP, None),
     ("DATE '2026-01-01'", Kind.DATE, None), ("array('a')", Kind.NESTED, None), ("map('a', 1)", Kind.NESTED, None),
     ("named_struct('a', 1)", Kind.NESTED, None), ("X'00'", Kind.OTHER, None), ("INTERVAL '1' DAY", Kind.OTHER, None),
     ("NULL", Kind.OTHER, None)],
)  # fmt: skip
def test_types_by_describe_query(expression: str, kind: Kind, scale: int | None) -> None:
    """A time with a zone is told from one without; a type without a place is no guess."""
    (column,) = on_spark().columns(f"SELECT {expression} AS v -- the end")
    assert (column.name, column.kind, column.scale) == ("v", kind, scale)


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    spark().stop()
    spark.cache_clear()
