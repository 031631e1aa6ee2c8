"""Every class of values ends in the exact JSON it says, or in a refusal that names it; nothing changes silently."""

from __future__ import annotations

import json
import math
import os
import random
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from revetl.contracts import Field, FieldType, Guards, Limit, OnNull, Sync
from revetl.dialects import Column, type_problem
from revetl.engine import masked
from revetl.errors import ContractBroken
from revetl.on_duckdb import DUCKDB
from revetl.on_postgres import POSTGRES
from revetl.on_snowflake import SNOWFLAKE
from tests.bars import Bar
from tests.suites.conftest import LIVE
from tests.suites.unseen import UNSEEN_VALUES
from tests.suites.world import World, attribute, orders_sync, people_sync
from tests.values.classes import ENGINES, VALUES, Value
from tests.values.conftest import Send

REASONS = 5  # that a result tells of one sync, each with a masked key
GOAL = "0 silent changes in >= 80 classes"


def table_sync(name: str, fields: Sequence[Field], **changes: Any) -> Sync:
    """A sync whose model is the table of its name, with the key `id`."""
    return people_sync(
        name=name, uid=name, model=name, relation=f"ref('{name}')", fields=tuple(fields),
        guards=Guards(max_changes=Limit(share=1.0)), **changes,
    )  # fmt: skip


def prepare(world: World, values: Sequence[Value]) -> None:
    """The types that these classes need."""
    world.sql(*dict.fromkeys(value.before for value in values if value.before))


def identified(key: str, attributes: str) -> bytes:
    """The bytes of one identify."""
    head = f'{{"type":"person","identifiers":{{"id":"{key}"}},"action":"identify","attributes":'
    return (head + attributes + "}").encode()


def each(engine: str, outcome: str) -> list[Value]:
    """The classes of an engine with this outcome, but for those that fakesnow cannot show."""
    hidden = UNSEEN_VALUES if engine == "snowflake" and not LIVE else {}
    return [value for value in VALUES if engine in value.sql and getattr(value, outcome) and value.name not in hidden]


def insert(table: str, columns: str, *values: str) -> str:
    """A row of expressions: Snowflake takes only constants in VALUES."""
    return f"INSERT INTO {table} ({columns}) SELECT {', '.join(values)}"


def tables_of(world: World, engine: str, values: Sequence[Value], most: int) -> list[list[Value]]:
    """A table and a sync for every few classes, with a row for each class that has nothing but its value."""
    prepare(world, values)
    # what does not take NULL cannot stand beside others
    alone = [[v] for v in values if v.rules.keys() & {"required", "on_null"}]
    rest = [v for v in values if [v] not in alone]
    groups = alone + [rest[i : i + most] for i in range(0, len(rest), most)]
    made = []
    for n, group in enumerate(groups):
        columns = ", ".join(f'"{v.name}" {v.sql[engine][0]}' for v in group)
        made.append(f"CREATE TABLE t{n} (id text, {columns})")
        made += [insert(f"t{n}", f'id, "{v.name}"', f"'key of {v.name}'", v.sql[engine][1]) for v in group]
    world.sql(*made)
    world.syncs = [table_sync(f"t{n}", [v.field() for v in group]) for n, group in enumerate(groups)]
    return groups


def test_the_table_is_large_enough_and_says_one_outcome_each() -> None:
    assert len({value.name for value in VALUES}) == len(VALUES)
    for engine in ENGINES:
        assert len([v for v in VALUES if engine in v.sql]) >= 110
    for value in VALUES:
        assert bool(value.sends) + bool(value.refused) + bool(value.stops) == 1, value.name
        assert set(value.then) == (set(value.sql) if value.sends else set()), value.name


def test_values_arrive_exactly_and_their_smallest_change_is_seen(
    world: World, engine: str, send: Send, bar: Bar
) -> None:
    values = each(engine, "sends")
    prepare(world, values)
    columns = ", ".join(f'"{v.name}" {v.sql[engine][0]}' for v in values)
    world.sql(
        f"CREATE TABLE everything (id text, {columns})",
        *(insert("everything", f'id, "{v.name}"', f"'{v.name}'", v.sql[engine][1]) for v in values),
    )
    world.syncs = [table_sync("everything", [v.field() for v in values])]

    first, sent = send()
    assert (first.error, first.syncs[0].error, first.syncs[0].reasons) == (None, None, ())
    assert sent == {v.name: identified(v.name, f'{{"{v.name}":{v.sends}}}') for v in values}
    assert [v.name for v in values if not held(world, v, v.sends)] == []
    assert [v.name for v in values if v.type in {"integer", "number"} and not own_number(world, engine, v)] == []

    unchanged, nothing = send()
    assert (unchanged.syncs[0].counts.updated, nothing) == (0, {})

    world.sql(*(f"UPDATE everything SET \"{v.name}\" = {v.then[engine][0]} WHERE id = '{v.name}'" for v in values))
    _, changes = send()
    assert changes == {v.name: identified(v.name, f'{{"{v.name}":{v.then[engine][1]}}}') for v in values}
    _, nothing = send()
    assert nothing == {}
    bar(29, f"classes of values that arrive exactly, stay unchanged and show their smallest change ({engine})",
        found=len(values), goal=GOAL, of=f"{len(values)} classes")  # fmt: skip


def own_number(world: World, engine: str, value: Value) -> bool:
    """Whether the warehouse's own text of a number says the number that was sent."""
    wide = "CAST(x AS double precision)" if value.sql[engine][0] == "real" and engine != "snowflake" else "x"
    [[text]] = world.ask(
        f"SELECT CAST({wide} AS text) FROM (SELECT \"{value.name}\" AS x FROM everything WHERE id = '{value.name}') AS v"
    )
    if value.sql[engine][0] in {"real", "double", "double precision", "float8"}:
        return float(text) == float(value.sends)  # two texts may say one double
    return Decimal(text) == Decimal(value.sends)


def held(world: World, value: Value, token: str) -> bool:
    """Whether the workspace holds what was sent (its App API gives every value as a text)."""
    got = (world.person(value.name) or {}).get(value.name, "")  # an empty text is no attribute there
    if value.type in {"string", "date"}:
        return bool(got == json.loads(token))
    if value.type in {"integer", "number", "timestamp"} and not set(token) & set(".eE"):
        return got == token
    return True


def test_values_that_cannot_arrive_exactly_are_refused_by_name(
    world: World, engine: str, send: Send, bar: Bar
) -> None:
    values = each(engine, "refused")
    groups = tables_of(world, engine, values, REASONS)

    result, sent = send()

    assert result.error is None
    assert sent == {}
    for group, found in zip(groups, result.syncs, strict=True):
        assert found.error is None, found.sync.name
        reasons = {(r.reason, r.field, r.rows, r.example) for r in found.reasons}
        assert reasons == {(v.refused, v.name, 1, masked(f"key of {v.name}")) for v in group}
        rows = world.ask(f"SELECT _key, _field, _reason FROM revetl_test.open__{found.sync.uid}")
        assert set(rows) == {(f"key of {v.name}", v.name, v.refused) for v in group}

    again, sent = send()
    assert (sum(r.refused for r in again.syncs), sent) == (len(values), {})
    bar(29, f"classes of values that are refused with sync, column and key ({engine})", found=len(values), goal=GOAL,
        of=f"{len(values)} classes")  # fmt: skip


def test_columns_that_cannot_be_exact_stop_their_sync_by_name(
    world: World, engine: str, send: Send, bar: Bar
) -> None:
    values = each(engine, "stops")
    groups = tables_of(world, engine, values, len(values))

    result, sent = send()

    assert sent == {}
    for group, found in zip(groups, result.syncs, strict=True):
        assert isinstance(found.error, ContractBroken)
        told = found.error.message
        assert f"sync {found.sync.name!r}" in told
        problems = {v.name: part for v in group for part in told.split("; ") if f"column {v.name!r} " in part}
        assert [v.name for v in group if v.name not in problems or v.stops not in told] == []
    bar(29, f"classes of columns that stop their sync by name ({engine})", found=len(values), goal=GOAL,
        of=f"{len(values)} classes")  # fmt: skip


# --- what docs/types.md says ------------------------------------------------------------------------------------

WRITE = os.environ.get("REVETL_GOLDEN") == "write"  # the tests themselves see no such variable
PAGE = Path(__file__).parent.parent.parent / "docs" / "types.md"
LONGEST = 45


def told(value: Value) -> str:
    """A class as a line of the page's table."""
    natives = list(dict.fromkeys(native for native, _ in value.sql.values()))
    only = f" ({NAMES[next(iter(value.sql))]})" if len(value.sql) == 1 else ""
    column = ", ".join(f"`{native}`" for native in natives) + only
    if value.sends:
        token = value.sends.replace("|", "\\|")
        return f"| {value.doc} | {column} | {value.type} | {f'`{token}`' if len(token) <= LONGEST else 'as it is'} |"
    return f"| {value.doc} | {column} | {value.type} | {f'refused: `{value.refused}`' if value.refused else 'stops the sync'} |"


NAMES = {"duckdb": "DuckDB", "postgres": "PostgreSQL", "snowflake": "Snowflake"}


def test_types_md_tells_what_happens() -> None:
    """`REVETL_GOLDEN=write` writes the table anew."""
    start, end = "| value | column | declared | what happens |\n| --- | --- | --- | --- |\n", "\n\n"
    page = PAGE.read_text(encoding="utf-8")
    before, mark, rest = page.partition(start)
    assert mark
    lines = "\n".join(told(value) for value in VALUES if value.doc)
    if WRITE:
        PAGE.write_text(before + mark + lines + end + rest.partition(end)[2], encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8").partition(start)[2].partition(end)[0] == lines


def test_types_md_names_the_columns_that_each_type_takes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [row[0] for row in rows] == [kind.value for kind in FieldType]
    for kind, *engines in rows:
        taken = Field(name="x", column="x", type=FieldType(kind), zone="UTC")
        for dialect, cell in zip((DUCKDB, POSTGRES, SNOWFLAKE), engines, strict=True):
            for native in re.findall("`(.+?)`", cell):
                found, scale = dialect.kind_of(native)
                column = Column(name="x", kind=found, native=native, scale=scale)
                assert type_problem(taken, column) == "", (kind, native)


# --- null, empty, absent ----------------------------------------------------------------------------------------


def test_null_empty_and_absent_are_three_things(world: World, send: Send, bar: Bar) -> None:
    world.sql(
        "CREATE TABLE nothing (id text, skipped text, cleared text)",
        "INSERT INTO nothing VALUES ('null', NULL, NULL), ('empty', '', ''), ('value', 'x', 'x')",
    )
    skipped = attribute("skipped")
    world.syncs = [table_sync("nothing", [skipped])]
    _, sent = send()
    assert sent == {
        "null": identified("null", "{}"), "empty": identified("empty", '{"skipped":""}'),
        "value": identified("value", '{"skipped":"x"}'),
    }  # fmt: skip

    # an attribute that was absent from the contract so far
    world.syncs = [table_sync("nothing", [skipped, attribute("cleared", on_null=OnNull.CLEAR)])]
    _, sent = send()
    assert sent == {"empty": identified("empty", '{"cleared":""}'), "value": identified("value", '{"cleared":"x"}')}

    world.sql("UPDATE nothing SET skipped = NULL, cleared = NULL WHERE id <> 'null'")
    _, sent = send()
    assert sent == {"empty": identified("empty", '{"cleared":null}'), "value": identified("value", '{"cleared":null}')}

    world.sql("UPDATE nothing SET skipped = '', cleared = '' WHERE id <> 'empty'")
    _, sent = send()
    assert sent == {
        "null": identified("null", '{"skipped":"","cleared":""}'), "value": identified("value", '{"skipped":"","cleared":""}')
    }  # fmt: skip
    assert send()[1] == {}
    bar(29, "null, empty and absent, each with its own meaning", found="3 of 3", goal=GOAL)


# --- keys and sizes ---------------------------------------------------------------------------------------------

KEYS = {
    "x" * 149: "", "x" * 150: "", "x" * 151: "too_long", "é" * 75: "", "é" * 75 + "a": "too_long", "👍" * 37: "",
    "NULL": "", "0": "", " a ": "", "a\u0301": "", "\u00e1": "", "👩‍👧": "", '"\\': "", "a\tb": "control_character",
    "a\u0085b": "control_character", "\ufeffx": "", "\u2060": "blank",
}  # fmt: skip


def test_keys_are_sent_byte_for_byte_or_refused(world: World, send: Send, bar: Bar) -> None:
    world.sql("CREATE TABLE keys (id text)", *(f"INSERT INTO keys VALUES ({world.text(key)})" for key in KEYS))
    world.syncs = [table_sync("keys", [])]

    result, sent = send()

    assert sorted(sent) == sorted(key for key, reason in KEYS.items() if not reason)
    assert all(sent[key].startswith(b'{"type":"person","identifiers":{"id":%b}' % dumped(key)) for key in sent)
    refused = dict(world.ask("SELECT _key, _reason FROM revetl_test.open__keys"))
    assert refused == {key: reason for key, reason in KEYS.items() if reason}
    assert result.syncs[0].refused == len(refused)
    assert send()[1] == {}
    bar(29, "classes of keys: sent byte for byte, or refused", found=len(KEYS), goal=GOAL, of=f"{len(KEYS)} classes")


def dumped(key: str) -> bytes:
    return json.dumps(key, ensure_ascii=False).encode()


@pytest.mark.parametrize(("duckdb", "postgres", "snowflake", "value", "key"), [
    ("smallint", "smallint", "smallint", "-7", "-7"), ("bigint", "bigint", "bigint", "9007199254740993", "9007199254740993"),
    ("hugeint", "numeric(38,0)", "", "12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
    ("decimal(18,0)", "decimal(18,0)", "decimal(18,0)", "17850", "17850"), ("date", "date", "date", "'2025-01-31'", "2025-01-31"),
    ("uuid", "uuid", "", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
])  # fmt: skip
def test_keys_of_other_types_are_their_texts(
    world: World, engine: str, send: Send, duckdb: str, postgres: str, snowflake: str, value: str, key: str
) -> None:
    kind = {"duckdb": duckdb, "postgres": postgres, "snowflake": snowflake}[engine]
    if not kind:
        pytest.skip("Snowflake has no UUID, and fakesnow no integer of more than 64 bits")
    world.sql(f"CREATE TABLE keys (id {kind}, x integer)", f"INSERT INTO keys VALUES ({value}, 1)")
    world.syncs = [table_sync("keys", [attribute("x", "integer")])]
    assert send()[1] == {key: identified(key, '{"x":1}')}
    assert send()[1] == {}


def test_an_operation_may_have_32000_bytes_and_not_one_more(world: World, send: Send, bar: Bar) -> None:
    """Event properties have no limit of their own; people's attributes have 1,000 bytes each, and are many."""
    names = [f"a{i:02}" for i in range(31)]
    rest = len(identified("fits", "{" + ",".join(f'"{n}":"{"x" * 1000}"' for n in names) + ',"last":""}'))
    left = 32_000 - rest
    assert 0 < left < 1000
    world.sql(
        f"CREATE TABLE wide (id text, {', '.join(f'{n} text' for n in names)}, last text)",
        *(insert("wide", ", ".join(("id", *names, "last")), f"'{key}'", *["repeat('x', 1000)"] * 31, f"repeat('x', {n})")
          for key, n in (("fits", left), ("more", left + 1), ("less", left - 1))),
    )  # fmt: skip
    world.syncs = [table_sync("wide", [*(attribute(n) for n in names), attribute("last")])]

    result, sent = send()

    assert {key: len(text) for key, text in sent.items()} == {"fits": 32_000, "less": 31_999}
    assert [(r.reason, r.rows) for r in result.syncs[0].reasons] == [("too_large", 1)]
    assert "a00" in result.syncs[0].reasons[0].message + result.syncs[0].reasons[0].field
    bar(29, "bytes of the largest operation that is sent", found=32_000, goal="32,000; 32,001 refused")


# --- events -----------------------------------------------------------------------------------------------------


def test_properties_have_the_same_types_and_no_limit_but_the_operation(world: World, engine: str, send: Send) -> None:
    endless = engine != "snowflake"
    rows = [("long", "current_timestamp", "0.1", "repeat('é', 5000)", "607494891711149.3"),
            ("nan", "current_timestamp", "'NaN'", "NULL", "1"), ("null", "current_timestamp", "1", "NULL", "2")]  # fmt: skip
    if endless:
        rows += [("never", "'infinity'", "1", "NULL", "3"), ("always", "'-infinity'", "1", "NULL", "4")]
    world.sql(
        "CREATE TABLE people (id text)", "INSERT INTO people VALUES ('a')",
        "CREATE TABLE orders (order_id text, person text, bought_at timestamp with time zone, value double precision, "
        "note text, net decimal(18,1))",
        *(insert("orders", "order_id, person, bought_at, value, note, net", f"'{key}'", "'a'", *rest) for key, *rest in rows),
    )  # fmt: skip
    fields = (attribute("value", "number"), attribute("note"), attribute("net", "number"))
    world.syncs = [table_sync("people", []), orders_sync(fields=fields)]
    world.syncs[0] = people_sync(fields=())
    recorder_result = world.run(backfill=True)
    orders = recorder_result.syncs[1]
    assert recorder_result.error is None
    expected = {"nan": "not_finite", **({"always": "not_unix_seconds"} if endless else {})}
    assert {r.reason: r.field for r in orders.reasons} == {
        "not_finite": "value", **({"not_unix_seconds": ""} if endless else {})}  # fmt: skip
    assert (orders.acknowledged, orders.refused_now, orders.counts.future) == (2, len(expected), int(endless))
    found = {r[0]: r[1] for r in world.ask("SELECT _key, _reason FROM revetl_test.open__orders01")}
    assert found == expected


# --- settings of the database -----------------------------------------------------------------------------------


def test_no_setting_of_a_database_changes_what_is_sent(postgres_uri: str, engine: str, world: World, send: Send) -> None:
    if engine != "postgres":
        world.sql("CREATE TABLE styled (id text, d date, s date, x double precision)")
    else:
        [[name]] = world.ask("SELECT current_database()")
        for setting in ("DateStyle = 'SQL, DMY'", "extra_float_digits = -3", "IntervalStyle = 'iso_8601'"):
            world.sql(f'ALTER DATABASE "{name}" SET {setting}')
        world.sql("CREATE TABLE styled (id text, d date, s date, x double precision)")
    day = "date_from_parts(2025, 1, 31)" if engine == "snowflake" else "make_date(2025, 1, 31)"
    world.sql(insert("styled", "id, d, s, x", "'a'", day, day, "0.1::float8 + 0.2::float8"))
    world.syncs = [table_sync("styled", [attribute("d", "date"), attribute("s"), attribute("x", "number")])]
    _, sent = send()
    assert sent == {"a": identified("a", '{"d":"2025-01-31","s":"2025-01-31","x":0.30000000000000004}')}
    assert send()[1] == {}


# --- many values ------------------------------------------------------------------------------------------------

ROWS = 2_000
SEED = 29


def doubles(rng: random.Random) -> Iterator[float]:
    """Finite doubles of every size: any bits, and short decimals."""
    while True:
        value = struct.unpack("<d", rng.randbytes(8))[0]
        if math.isfinite(value):
            yield value
        yield round(rng.uniform(-1e6, 1e6), rng.randint(0, 6))


def decimals(rng: random.Random, digits: int, scale: int) -> Iterator[str]:
    """Decimals of up to this many digits."""
    while True:
        number = rng.randrange(10 ** rng.randint(1, digits))
        yield f"{Decimal(rng.choice((number, -number))).scaleb(-scale):f}"


KINDS = [(15, 2), (16, 1), (18, 2), (18, 6), (38, 0), (38, 10), (38, 18), (16, 18), (16, 22), (16, 23), (38, 30), (38, 38)]


def test_random_numbers_arrive_as_the_warehouse_says_them(world: World, engine: str, send: Send, bar: Bar) -> None:
    """The oracle is the warehouse's own text of each value, and the number from which it was made."""
    rng = random.Random(SEED)
    # 38 digits without a scale are more than the 64 bits that fakesnow has, and a scale of 38 more than Snowflake's 37
    kinds = [kind for kind in KINDS if engine != "snowflake" or kind not in {(38, 0), (38, 38)}]
    floats, wholes = doubles(rng), [rng.randrange(-(2**63), 2**63) >> rng.randrange(64) for _ in range(ROWS)]
    made: list[list[Any]] = [[next(floats) for _ in range(ROWS)], wholes]
    exact: list[Callable[[Any], str]] = ["{:.17g}".format, str]
    columns = ["x0 double precision", "x1 bigint"]
    for i, (digits, scale) in enumerate(kinds, 2):
        source = decimals(rng, digits, scale)
        made.append([next(source) for _ in range(ROWS)])
        exact.append(str)
        columns.append(f"x{i} decimal({38 if scale > 18 or digits > 18 else 18},{min(scale, 38)})")
    world.sql(f"CREATE TABLE many (id text, {', '.join(columns)})")
    rows = [
        f"('{n}', " + ", ".join(f"'{show(column[n])}'" for show, column in zip(exact, made, strict=True)) + ")"
        for n in range(ROWS)
    ]
    for start in range(0, ROWS, 500):
        world.sql("INSERT INTO many VALUES " + ", ".join(rows[start : start + 500]))
    fields = [attribute(f"x{i}", "integer" if i == 1 else "number") for i in range(len(columns))]
    world.syncs = [table_sync("many", fields)]

    result, sent = send()
    assert (result.syncs[0].error, result.syncs[0].reasons) == (None, ())

    as_text = ", ".join(f"CAST(x{i} AS text)" for i in range(len(columns)))
    texts = {r[0]: r[1:] for r in world.ask(f"SELECT id, {as_text} FROM many")}
    changed = 0
    for n in range(ROWS):
        tokens = json.loads(sent[str(n)], parse_float=str, parse_int=str)["attributes"]
        own = texts[str(n)]
        changed += struct.pack("<d", float(tokens["x0"])) != struct.pack("<d", made[0][n])
        changed += float(own[0]) != float(tokens["x0"])
        for i in range(1, len(columns)):
            changed += not Decimal(tokens[f"x{i}"]) == Decimal(own[i]) == Decimal(made[i][n])
    assert changed == 0
    assert send()[1] == {}
    bar(29, "silent changes of random numbers", found=changed, goal="0", of=f"{ROWS * len(columns):,} values", seed=SEED)


def test_random_texts_arrive_as_the_warehouse_says_them(world: World, engine: str, send: Send, bar: Bar) -> None:
    rng = random.Random(SEED)
    planes = [(0x20, 0x7E), (0xA0, 0x2FF), (0x300, 0x36F), (0x590, 0x6FF), (0x2000, 0x206F), (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF)]
    made = [
        "".join(chr(rng.randint(*rng.choice(planes))) for _ in range(rng.randrange(60))) for _ in range(ROWS)
    ]
    world.sql("CREATE TABLE many (id text, x text)")
    for start in range(0, ROWS, 500):
        some = enumerate(made[start : start + 500], start)
        world.sql("INSERT INTO many VALUES " + ", ".join(f"('{n}', {world.text(t)})" for n, t in some))
    world.syncs = [table_sync("many", [attribute("x")])]

    _, sent = send()

    own = {"duckdb": "hex(encode(x))", "postgres": "encode(convert_to(x, 'UTF8'), 'hex')", "snowflake": "hex_encode(x)"}[engine]
    texts = dict(world.ask(f"SELECT id, {own} FROM many"))
    got = {key: json.loads(text)["attributes"]["x"] for key, text in sent.items()}
    changed = sum(got[str(n)] != text or texts[str(n)].lower() != text.encode().hex() for n, text in enumerate(made))
    assert changed == 0
    assert send()[1] == {}
    bar(29, "silent changes of random texts", found=changed, goal="0", of=f"{ROWS:,} texts", seed=SEED)


def test_a_nan_hides_no_digits_of_its_neighbours(postgres_uri: str, engine: str, world: World, send: Send) -> None:
    """How a column's decimals are read depends on the largest of them, and NaN is none."""
    odd = "'NaN'" if engine == "postgres" else "NULL"
    world.sql(
        "CREATE TABLE beside (id text, x decimal(18,1), n decimal(20,0))",
        f"INSERT INTO beside VALUES ('a', 607494891711149.3, 9007199254740993), ('b', {odd}, {odd})",
    )
    world.syncs = [table_sync("beside", [attribute("x", "number"), attribute("n", "integer")])]
    result, sent = send()
    assert sent["a"] == identified("a", '{"x":607494891711149.3,"n":9007199254740993}')
    assert result.syncs[0].refused == (engine == "postgres")


@pytest.mark.parametrize("name", ["a b", 'say "x"', "100 %", "dots.in.it", "ünï 👍", "x" * 150, "é" * 75])
def test_any_name_of_an_attribute_is_sent_as_it_is(world: World, send: Send, name: str) -> None:
    world.sql("CREATE TABLE named (id text, x integer)", "INSERT INTO named VALUES ('a', 1)")
    world.syncs = [table_sync("named", [Field(name=name, column="x", type=FieldType.INTEGER)])]
    _, sent = send()
    assert sent == {"a": identified("a", "{" + json.dumps(name, ensure_ascii=False) + ":1}")}
    world.sql("UPDATE named SET x = 2")
    assert send()[1] == {"a": identified("a", "{" + json.dumps(name, ensure_ascii=False) + ":2}")}
