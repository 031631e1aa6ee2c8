"""What revetl writes for Redshift, run by run, as `sqlalchemy-redshift` writes it: golden files for review.

The runs are real ones, through Redshift's driver to a PostgreSQL server (`redshift.on_postgres`); each of their statements is
compiled once more by the dialect, which needs no connection. `UPDATE_GOLDEN=1` writes the files anew.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from revetl.dialects import QUESTION, subquery_text
from revetl.redshift_dialect import Redshift
from revetl.sandbox import Sandbox
from tests.suites.redshift import filled, on_postgres
from tests.suites.world import World

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "sql" / "redshift"
pytestmark = pytest.mark.postgres


@pytest.fixture
def written(postgres_uri: str, box: Sandbox) -> Iterator[tuple[World, list[str]]]:
    """A world, and what was written to its warehouse."""
    statements: list[str] = []
    dialect = Redshift()

    def keep(_connection: Any, statement: Any, *_: Any) -> None:
        statements.append(str(statement.compile(dialect=dialect)))

    with on_postgres(postgres_uri, f"t_{uuid.uuid4().hex[:12]}") as connect:
        def listening(**options: Any) -> Any:
            warehouse = connect(**options)
            sa.event.listen(warehouse.engine, "before_execute", keep)
            return warehouse

        world = filled(World(connect=listening, box=box))
        statements.clear()
        yield world, statements


def golden(name: str, statements: list[str]) -> None:
    """Compare with the kept file."""
    text = ";\n\n".join(" \n".join(line.rstrip() for line in s.strip().splitlines()) for s in statements) + ";\n"
    text = re.sub(r" +$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<!\d)1[789]\d{8,11}(?!\d)", "<time>", text)  # seconds or milliseconds since 1970
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "<run>", text)
    text = re.sub(r"test-\d+-\d+", "<owner>", text)
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_the_statements_of_three_runs(written: tuple[World, list[str]]) -> None:
    world, statements = written
    world.run()
    golden("1_first_load.sql", statements)
    statements.clear()
    world.run()
    golden("2_unchanged.sql", statements)
    statements.clear()
    world.sql("UPDATE people SET plan = 'team' WHERE id = 'a'", "INSERT INTO people VALUES ('c', 'cy@example.com', NULL, 1)")
    statements.clear()
    world.run()
    golden("3_changed.sql", statements)


def test_nothing_is_written_that_redshift_does_not_know(written: tuple[World, list[str]]) -> None:
    """By Amazon's manual: no IS DISTINCT FROM, no MERGE from a subquery, no collation, no bare TEXT or NUMERIC."""
    world, statements = written
    world.run()
    world.sql("DELETE FROM people WHERE id = 'b'", "UPDATE people SET spent = 3 WHERE id = 'a'")
    world.run()
    everything = "\n".join(statements)
    for word in (r"DISTINCT FROM", r"\bMERGE INTO", "COLLATE", r"\bTEXT[,)\s]", r"NUMERIC(?! ?\()", r"\bconcat\(", "to_json",
                 r"\bnow\(", "clock_timestamp", "trim_scale", r"OVER \(ROWS"):  # fmt: skip
        assert not re.search(word, everything), word
    assert re.search("CREATE TEMP TABLE", everything)
    assert "DELETE FROM" in everything


def test_a_diff_only_reads(written: tuple[World, list[str]]) -> None:
    """Redshift has no read-only session: what is no SELECT is not sent, so a diff must have nothing else."""
    world, statements = written
    world.diff()
    assert [s for s in statements if not QUESTION.match(s)] == []
    assert not QUESTION.match("/* x */ DROP TABLE t")
    assert QUESTION.match("-- a comment\nSELECT 1")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a%b'", "a%b"), ("'100%'", "100%"), ("'x%sy %% %(n)s'", "x%sy %% %(n)s"), ("'at :noon'", "at :noon"), ("'a?b'", "a?b"),
        ("""'{"a":1, "b": ":c"}'""", '{"a":1, "b": ":c"}'), ("'1'::int", 1), ("7 % 4", 3), ("7%4", 3), ("'it''s :x'", "it's :x"),
        ("/* :y ? % it's */ 'z'", "z"), ("'z' -- :x, 100% 'sure'", "z"),
    ],
)  # fmt: skip
def test_the_text_of_a_model_arrives_as_it_was_written(written: tuple[World, list[str]], text: str, value: Any) -> None:
    """By the driver itself, which reads colons, question marks and percent signs in its own way."""
    warehouse = written[0].connect()
    column = f"SELECT {text}" if "--" not in text else f"SELECT {text}\n"
    try:
        found = warehouse.fetch(sa.select(sa.text("*")).select_from(subquery_text(column, "m")))
        assert found == [(value,)]
    finally:
        warehouse.close()
