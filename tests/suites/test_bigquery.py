"""What revetl writes for BigQuery, run by run, as its driver gets it: golden files, read by Google's own analyzer.

The runs go on in DuckDB (`bigquery.py`); the statements are those that BigQuery would get, with the parameters beside them.
`UPDATE_GOLDEN=1` writes the files anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from revetl.sandbox import Sandbox

pytest.importorskip("sqlalchemy_bigquery", reason="pip install 'revetl[bigquery]'")
sqlglot = pytest.importorskip("sqlglot", reason="pip install 'revetl[dev]' brings it")

from google.cloud.bigquery.dbapi.cursor import _format_operation  # noqa: E402

from revetl.bigquery_sql import Dialect, written  # noqa: E402
from revetl.contracts import WhenMissing  # noqa: E402
from revetl.dialects import Canonical, Column, Kind, canonical_value, subquery_text  # noqa: E402
from revetl.grants import Needs, script  # noqa: E402
from revetl.on_bigquery import BIGQUERY  # noqa: E402
from revetl.project import Source  # noqa: E402
from tests.suites.bigquery import HOME, told_world  # noqa: E402
from tests.suites.redshift import filled  # noqa: E402
from tests.suites.world import World, attribute, orders_sync, people_sync  # noqa: E402

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "sql" / "bigquery"
NESTED = Column(name="v", kind=Kind.NESTED, native="STRUCT")
MODELS = {
    "people": {"id": "STRING", "email": "STRING", "plan": "STRING", "spent": "NUMERIC"},
    "orders": {"order_id": "STRING", "person": "STRING", "bought_at": "TIMESTAMP", "value": "NUMERIC"},
}


@pytest.fixture
def told(tmp_path: Path, box: Sandbox) -> tuple[World, list[str]]:
    """A world, and what was written to its warehouse."""
    statements: list[str] = []
    world = filled(told_world(tmp_path, box, statements.append))
    statements.clear()
    return world, statements


def golden(name: str, statements: list[str]) -> None:
    """Compare with the kept file."""
    text = ";\n\n".join("\n".join(line.rstrip() for line in s.strip().splitlines()) for s in statements) + ";\n"
    text = re.sub(r"(?<!\d)1[789]\d{8,11}(?!\d)", "<time>", text)  # seconds or milliseconds since 1970
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "<run>", text)
    text = re.sub(r"test-\d+-\d+", "<owner>", text)
    text = re.sub(r"`workspace_id`='\d+'", "`workspace_id`='<workspace>'", text)
    text = re.sub(r'"sum":"-?\d+"', '"sum":"<sum>"', text)  # of a hash that here is DuckDB's
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def three_runs(world: World, statements: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A first load, a run in which nothing has changed, and one in which something has."""
    world.run(backfill=True)
    yield "1_first_load.sql", list(statements)
    statements.clear()
    world.run()
    yield "2_unchanged.sql", list(statements)
    world.sql("UPDATE people SET plan = 'team' WHERE id = 'a'", "INSERT INTO people VALUES ('c', 'cy@example.com', NULL, 1)")
    world.order("o3", "c", 1, 7)
    statements.clear()
    world.run()
    yield "3_changed.sql", list(statements)


def test_the_statements_of_three_runs(told: tuple[World, list[str]]) -> None:
    for name, statements in three_runs(*told):
        golden(name, statements)


def test_nothing_is_written_that_bigquery_refuses(told: tuple[World, list[str]]) -> None:
    """What its analyzer takes and BigQuery does not run, by Google's manual."""
    everything = [statement for _, statements in three_runs(*told) for statement in statements]
    told[0].syncs = [people_sync(when_missing=WhenMissing.DELETE), orders_sync(window_s=3600)]
    told[0].sql("DELETE FROM people WHERE id = 'b'")
    told[0].run()
    everything += told[1]
    inside = False
    for statement in everything:
        (tree,) = sqlglot.parse(statement, read="bigquery", error_level=sqlglot.ErrorLevel.RAISE)
        assert tree is not None
        inside = statement.startswith("BEGIN") or (inside and not statement.startswith(("COMMIT", "ROLLBACK")))
        assert not (inside and statement.startswith(("CREATE", "DROP", "ALTER"))), "DDL inside a transaction"
        for join in tree.find_all(sqlglot.exp.Join):
            if join.side in {"LEFT", "FULL", "RIGHT"}:
                assert any(len({c.table for c in eq.find_all(sqlglot.exp.Column)}) > 1 for eq in join.find_all(sqlglot.exp.EQ)), (
                    f"an outer join without an equality of both sides: {join.sql('bigquery')}"
                )
        if statement.startswith(("UPDATE", "DELETE")):
            assert " WHERE " in statement
        assert not re.search(r"\bNUMERIC\(|CREATE TABLE.*CLUSTER BY.* ORDER BY `_seq`|'\\x", statement)
    assert sum(statement.startswith("BEGIN TRANSACTION") for statement in everything) > 5


def test_a_diff_only_reads(told: tuple[World, list[str]]) -> None:
    told[0].diff()
    assert [s for s in told[1] if not s.startswith(("SELECT", "WITH"))] == []


@pytest.mark.parametrize(
    "text", ["'a%b'", "'100%'", "'x%sy %% %(n)s'", "'at :noon'", "'a?b'", "7", "'it''s :x'", "/* :y ? % it's */ 'z'", "r'\\d %'"]
)  # fmt: skip
@pytest.mark.parametrize("given", [{}, {"p": 1}])
def test_the_text_of_a_model_arrives_as_it_was_written(text: str, given: dict[str, Any]) -> None:
    """Through SQLAlchemy and the driver's own reading of percent signs."""
    query: Any = sa.select(sa.text("*")).select_from(subquery_text(f"SELECT {text}", "m"))
    if given:
        query = query.where(sa.column("p") == sa.bindparam("p", type_=sa.BigInteger))
    sql, _ = _format_operation(str(query.compile(dialect=Dialect())), given)
    assert f"SELECT {text}\n" in sql


def test_the_rights_are_statements_of_bigquery() -> None:
    source = Source(name="raw.people", schema="raw", identifier="people", database="")
    found = Needs(database="shop-1", schema="marts", state_schema="revetl_prod", sources=(source,), unknown=(), built=("m",))
    text = script(found, "bigquery")
    statements = [line for line in text.splitlines() if line and not line.startswith("--")]
    assert statements[0] == (
        "GRANT `roles/bigquery.dataViewer` ON TABLE `shop-1`.`raw`.`people` TO "
        '"serviceAccount:revetl-plan@shop-1.iam.gserviceaccount.com", "serviceAccount:revetl-run@shop-1.iam.gserviceaccount.com";'
    )
    assert "CREATE SCHEMA IF NOT EXISTS `shop-1`.`revetl_prod`;" in statements
    for statement in statements:
        sqlglot.parse(statement, read="bigquery", error_level=sqlglot.ErrorLevel.RAISE)


# --- by Google's own analyzer and reference implementation -------------------------------------------------------------


@pytest.fixture
def google() -> Any:
    """The module of the analyzer."""
    pytest.importorskip("zetasql", reason="pip install 'revetl[dev]' brings it")
    from tests.suites import googlesql  # noqa: PLC0415

    return googlesql


@pytest.mark.more
def test_every_statement_is_googlesql_with_the_right_names_and_types(told: tuple[World, list[str]], google: Any) -> None:
    analyzer = google.Analyzer(MODELS, home=HOME)
    for _, statements in three_runs(*told):
        for statement in statements:
            analyzer.see(statement)
    from zetasql.core import ServerError  # noqa: PLC0415

    assert len(analyzer.tables) > 8
    for wrong, why in (("SELECT nobody FROM people", "Unrecognized name"), ("SELECT id + 1 FROM people", "No matching signature"),
                       ("SELEC 1", "Syntax error"), ("SELECT * FROM nowhere", "Table not found")):  # fmt: skip
        with pytest.raises(ServerError, match=why):
            analyzer.see(wrong)


def sql_of(clause: Any) -> str:
    """An expression as the driver would send it."""
    return str(_format_operation(str(clause.compile(dialect=Dialect())), {})[0])


@pytest.mark.more
@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (BIGQUERY.digest(sa.literal("ann@example.com")), "257c57037d384ae37ea27a07e8a01665"),
        (BIGQUERY.sha256(sa.literal("é")), "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"),
        (BIGQUERY.octets(sa.literal("é")), 2),
        (BIGQUERY.nfc(sa.literal("e\u0301")), "é"),
        (BIGQUERY.strip_zeros(sa.literal_column("BIGNUMERIC '42.500'")), "42.5"),
        (BIGQUERY.strip_zeros(sa.literal_column("BIGNUMERIC '-0.00000000000000000000000000000000000001'")),
         "-0.00000000000000000000000000000000000001"),
        (BIGQUERY.seconds(sa.literal_column("TIMESTAMP '1969-12-31 23:59:59.999999+00'")), -1),
        (BIGQUERY.seconds(sa.literal_column("TIMESTAMP '2026-03-29 01:30:00.9+00'")), 1774747800),
        (BIGQUERY.seconds(BIGQUERY.at_zone(sa.literal_column("DATETIME '2026-01-01 12:00:00'"), "Europe/Paris")), 1767265200),
        (BIGQUERY.seconds(BIGQUERY.at_zone(sa.cast(sa.literal_column("DATE '2026-07-01'"), sa.TIMESTAMP), "America/New_York")),
         1782878400),
        (BIGQUERY.iso_date(sa.literal_column("DATETIME '0987-01-02 03:04:05'")), "0987-01-02"),
        (BIGQUERY.json_text(sa.literal_column("STRUCT('é\"' AS a, [1, 2] AS b, NULL AS c)"), NESTED),
         '{"a":"é\\"","b":[1,2],"c":null}'),
        (sa.collate(sa.literal("x"), "binary"), "x"),
        (sa.cast(sa.literal_column("true"), sa.Text), "true"),
        (sa.func.trim(sa.literal("\t a \n")), "\t a \n".strip(" ")),
        (sa.func.regexp_replace(sa.literal("+1 (2)"), "[^0-9]", "", "g"), "12"),
        (sa.cast(sa.func.to_json(sa.literal('a"\\é')), sa.Text), '"a\\"\\\\é"'),
        (sa.cast(sa.literal('["a","b"]'), sa.JSON).op("->>")(sa.literal_column("1")), "b"),
        (sa.func.strpos(sa.literal("añb"), "b"), 3),
    ],
)  # fmt: skip
def test_values_are_those_of_the_other_engines(clause: Any, expected: Any, google: Any) -> None:
    """By ZetaSQL's reference implementation, which runs what BigQuery's functions are said to give."""
    assert google.value(sql_of(clause)) == expected


@pytest.mark.more
def test_addresses_are_normal_as_in_python(google: Any) -> None:
    from revetl.identity import email_sql, normal_email  # noqa: PLC0415

    for text in (" Ann@Example.COM ", "\u00a0É.Ü@ÄÖ.de\u200b", "ΑΣ@x.gr", "İ@x.tr", "e\u0301@x.fr", "100%@x", "it's\\n@x", ""):
        assert google.value(sql_of(email_sql(BIGQUERY, sa.literal(text)))) == normal_email(text), text


@pytest.mark.more
def test_a_text_is_written_so_that_it_is_read_again(google: Any) -> None:
    for text in ("it's", "a\\b", "\n\r\t", "\x00\x1f\x85\xa0", "\u200b\ufeff", "😀\U000e0001", '"`', "%s %% %(x)s", "\ud7ff"):
        assert google.value(_format_operation(written(text), {})[0]) == text, repr(text)


@pytest.mark.more
def test_equal_digests_are_equal_values(google: Any) -> None:
    """Null, empty, a delimiter that moves: three rows and three digests, the same as DuckDB's."""
    from revetl.diffsql import row_digest  # noqa: PLC0415

    rows = [("a", "b"), ("ab", ""), ("ab", None), ("", "ab"), (None, "ab"), ("1:a", "b")]
    null = sa.cast(sa.null(), sa.Text)
    digests = [row_digest(BIGQUERY, [null if v is None else sa.literal(v) for v in row]) for row in rows]
    found = [google.value(sql_of(digest)) for digest in digests]
    assert len(set(found)) == len(rows)


@pytest.mark.parametrize(
    ("native", "kind"),
    [("STRING", Kind.TEXT), ("STRING(10)", Kind.TEXT), ("INT64", Kind.INTEGER), ("NUMERIC(10, 2)", Kind.DECIMAL),
     ("BIGNUMERIC", Kind.DECIMAL), ("FLOAT64", Kind.FLOAT), ("BOOL", Kind.BOOLEAN), ("DATETIME", Kind.TIMESTAMP),
     ("TIMESTAMP", Kind.TIMESTAMP_TZ), ("DATE", Kind.DATE), ("JSON", Kind.NESTED), ("ARRAY<STRING>", Kind.NESTED),
     ("STRUCT", Kind.NESTED), ("BYTES", Kind.OTHER), ("GEOGRAPHY", Kind.OTHER), ("INTERVAL", Kind.OTHER), ("TIME", Kind.OTHER)],
)  # fmt: skip
def test_a_type_without_a_place_is_no_guess(native: str, kind: Kind) -> None:
    assert BIGQUERY.kind_of(native) == (kind, None)


def test_a_decimal_keeps_all_its_digits() -> None:
    column = Column(name="v", kind=Kind.DECIMAL, native="NUMERIC")
    text = sql_of(canonical_value(BIGQUERY, attribute("v", "number"), column, Canonical(type=sa.Numeric(), family="decimal")))
    assert text == "CAST(`v` AS BIGNUMERIC)"
