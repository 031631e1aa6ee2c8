"""A row's digest is equal exactly when its canonical payload is: each engine, every pair of what looks alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.contracts import Field, FieldType
from revetl.dialects import Dialect, canonical_type, canonical_value
from revetl.diffsql import row_digest
from revetl.on_duckdb import DUCKDB
from revetl.on_postgres import POSTGRES
from tests.bars import Bar
from tests.suites.world import World

DIALECTS = {"duckdb": DUCKDB, "postgres": POSTGRES}
# what a digest might mistake for the end of a value, for a length, or for another nothing
LOOKALIKES = (
    None, "", "-", ":", "0", "1", "NULL", "null", "0:", "1:", "1:a", "a", "a:", "aa", "2:aa", "1:a1:a", "a1:a", "é", "e\u0301",
    "👍", " ", "0:0:", "-0:", "4:NULL", "1:1", "11", "3:1:a", "10:aaaaaaaaaa", "aaaaaaaaaa",
)  # fmt: skip
SEED = 30


@pytest.fixture(params=DIALECTS)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name."""
    return str(request.param)


def literal(value: Any) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def _engine(dialect: Dialect) -> Any:
    return sa.create_engine("duckdb:///:memory:" if dialect is DUCKDB else "postgresql+psycopg://").dialect


def literal_digest(dialect: Dialect, columns: Sequence[str]) -> str:
    """`row_digest` over some columns, as SQL."""
    statement = row_digest(dialect, [sa.column(name, sa.Text()) for name in columns])
    return str(statement.compile(dialect=_engine(dialect), compile_kwargs={"literal_binds": True}))


def test_all_pairs_of_lookalikes_differ(world: World, engine: str, bar: Bar) -> None:
    """Three columns of every combination: so many rows, so many digests; each is there twice."""
    rows = list(product(LOOKALIKES, repeat=3))
    world.sql("CREATE TABLE parts (x text)", "INSERT INTO parts VALUES " + ", ".join(f"({literal(v)})" for v in LOOKALIKES))
    world.sql(
        "CREATE TABLE payloads AS SELECT a.x AS a, b.x AS b, c.x AS c FROM parts AS a, parts AS b, parts AS c, "
        "(VALUES (1), (2)) AS twice(n)"
    )
    text = literal_digest(DIALECTS[engine], "abc")
    [[total, digests]] = world.ask(f"SELECT count(*), count(DISTINCT {text}) FROM payloads")
    assert (total, digests) == (2 * len(rows), len(rows))
    [[split]] = world.ask(
        f"SELECT count(*) FROM (SELECT 1 FROM payloads GROUP BY a, b, c HAVING count(DISTINCT {text}) <> 1) AS s"
    )
    assert split == 0
    pairs = total * (total - 1) // 2
    bar(30, f"pairs whose digests and payloads disagree ({engine})", found=len(rows) - digests + split,
        goal="0 of 10 million", of=f"all {pairs:,} pairs of {total:,} rows")  # fmt: skip


def test_random_pairs_agree(world: World, engine: str, bar: Bar) -> None:
    """Pairs drawn so that many are equal, and most others nearly."""
    pairs = 1_000_000 if engine == "duckdb" else 100_000
    pick = "abs(hash(i * 8 + {k}) % {n})" if engine == "duckdb" else "abs(hashint8(i * 8 + {k}) % {n})"
    near = LOOKALIKES[:14]
    values = ", ".join(f"({n}, {literal(v)})" for n, v in enumerate(near))
    columns = ", ".join(f"p{k}.x AS x{k}" for k in range(6))
    # the first two columns of a pair are equal, the third is drawn twice
    draws = [pick.format(k=k, n=len(near)) for k in (0, 1, 2, 0, 1, 5)]
    joins = " ".join(f"JOIN parts AS p{k} ON p{k}.n = CAST({draw} AS integer)" for k, draw in enumerate(draws))
    world.sql(
        "CREATE TABLE parts (n integer, x text)", f"INSERT INTO parts VALUES {values}",
        f"CREATE TABLE pairs AS SELECT {columns} FROM generate_series(CAST(1 AS bigint), {pairs}) AS r(i) {joins}",
    )  # fmt: skip
    dialect = DIALECTS[engine]
    one, two = (literal_digest(dialect, [f"x{k}" for k in ks]) for ks in ((0, 1, 2), (3, 4, 5)))
    same = " AND ".join(f"x{k} IS NOT DISTINCT FROM x{k + 3}" for k in range(3))
    [[total, equal, wrong]] = world.ask(
        f"SELECT count(*), sum(CASE WHEN {same} THEN 1 ELSE 0 END), "
        f"sum(CASE WHEN ({same}) <> ({one} = {two}) THEN 1 ELSE 0 END) FROM pairs"
    )
    assert (total, wrong) == (pairs, 0)
    assert pairs // 50 < equal < pairs // 5
    bar(30, f"random pairs whose digests and payloads disagree ({engine})", found=wrong, goal="0 of 10 million",
        of=f"{total:,} pairs, {int(equal):,} of them equal")  # fmt: skip


cells = st.one_of(
    st.none(), st.sampled_from(LOOKALIKES),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    st.text("0123456789:-", max_size=4),
)  # fmt: skip


@pytest.fixture
def open_world(world: World) -> Any:
    """One connection for all examples."""
    warehouse = world.connect()
    yield warehouse
    warehouse.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(rows=st.lists(st.tuples(cells, cells), min_size=2, max_size=40))
def test_digests_part_rows_as_their_values_do(open_world: Any, engine: str, rows: list[tuple[Any, Any]]) -> None:
    dialect = DIALECTS[engine]
    values = sa.values(sa.column("n", sa.Integer), sa.column("a", sa.Text), sa.column("b", sa.Text), name="v").data(
        [(n, a, b) for n, (a, b) in enumerate(rows)]
    )
    cast = [sa.cast(values.c[name], sa.Text) for name in ("a", "b")]
    found = dict(open_world.fetch(sa.select(values.c.n, row_digest(dialect, cast)).select_from(values)))
    by_digest, by_value = defaultdict(list), defaultdict(list)
    for n, row in enumerate(rows):
        by_digest[found[n]].append(n)
        by_value[row].append(n)
    assert sorted(by_digest.values()) == sorted(by_value.values())


TYPED = {
    "decimal(18,2)": ("number", ["12.50", "12.5", "12.51", "0", "-0.00", "NULL", "1250"]),
    "double precision": ("number", ["12.5", "0.1", "0.30000000000000004", "0.3", "5e-324", "1e308", "NULL", "0"]),
    "bigint": ("integer", ["9007199254740992", "9007199254740993", "0", "-1", "NULL"]),
    "boolean": ("boolean", ["true", "false", "NULL"]),
    "date": ("date", ["'2025-01-31'", "'2025-02-01'", "NULL"]),
    "timestamptz": ("timestamp", ["'2025-01-01 00:00:00+02'", "'2024-12-31 22:00:00+00'", "'2025-01-01 00:00:00+00'", "NULL"]),
    "text": ("string", ["'NULL'", "NULL", "''", "'0'", "'12.5'", "' '"]),
    "numeric": ("number", ["1.10", "1.1", "1.100000000000000000000000001", "100", "1e2", "NULL"]),
}


def test_digests_of_typed_columns_part_rows_as_their_values_do(world: World, engine: str, bar: Bar) -> None:
    """A digest covers canonical values: 12.50 and 12.5 are one, and a text never looks like a number."""
    dialect, pairs = DIALECTS[engine], 0
    warehouse = world.connect()
    try:
        for i, (native, (kind, some)) in enumerate(TYPED.items()):
            if native == "numeric" and engine == "duckdb":
                continue  # a DECIMAL(18,3) there
            table = f"typed{i}"
            world_sql = [f"CREATE TABLE {table} (n integer, x {native})"]
            world_sql += [f"INSERT INTO {table} VALUES ({n}, {value})" for n, value in enumerate(some * 2)]
            for statement in world_sql:
                warehouse.execute(sa.text(statement.replace(":", r"\:")))
            column = warehouse.columns(f"SELECT x FROM {table}")[0]
            field = Field(name="x", column="x", type=FieldType(kind))
            value = canonical_value(dialect, field, column, canonical_type(field, column))
            inner = sa.select(value.label("v")).select_from(sa.text(table)).subquery("m")
            found = warehouse.fetch(sa.select(inner.c.v, row_digest(dialect, [inner.c.v])))
            pairs += len(found) * (len(found) - 1) // 2
            for a, one in found:
                for b, two in found:
                    assert (a == b) == (one == two), (native, a, b)
    finally:
        warehouse.close()
    bar(30, f"pairs of typed values whose digests and values disagree ({engine})", found=0, goal="0 of 10 million",
        of=f"{pairs:,} pairs of {len(TYPED)} types")  # fmt: skip


@pytest.mark.parametrize("columns", [0, 1, 99, 100, 101, 300])
def test_a_digest_has_as_many_parts_as_a_sync_may_have(world: World, engine: str, columns: int) -> None:
    """A function of PostgreSQL takes a hundred arguments, a person has up to 300 attributes."""
    names = [f"c{i}" for i in range(columns)]
    text = literal_digest(DIALECTS[engine], names)
    values = ", ".join(f"CAST('{i}' AS text) AS {name}" for i, name in enumerate(names)) or "1 AS c"
    last = f"CAST('x' AS text) AS {names[-1]}" if names else "2 AS c"
    others = values.rpartition(", CAST")[0]
    changed = f"{others}, {last}" if others else last
    [[one]] = world.ask(f"SELECT {text} FROM (SELECT {values}) AS v")
    [[two]] = world.ask(f"SELECT {text} FROM (SELECT {changed}) AS v")
    assert (one == two) == (columns == 0)
