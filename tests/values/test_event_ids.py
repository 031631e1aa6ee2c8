"""Event ids: the same on every engine and Python, equal to the golden hash, and never twice."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from revetl.dialects import Column, Kind
from revetl.diffsql import Shape, model_keys
from revetl.ids import EventIds
from tests.bars import Bar
from tests.suites.world import World, orders_sync
from tests.values import event_ids
from tests.values.event_ids import GOLDEN, NUMBER, STREAMS, digest, hashed, ids, tail, vectors

ROOT = Path(__file__).parent.parent.parent
FACTS = list(vectors())
PAGE = 5_000


def golden() -> str:
    """The SHA-256 that must never change."""
    return GOLDEN.read_text(encoding="ascii").strip()


def test_ids_are_the_golden_ones_and_follow_the_definition(bar: Bar) -> None:
    found = ids(FACTS)
    assert (len(FACTS), len(set(FACTS)), len(set(found))) == (NUMBER, NUMBER, NUMBER)
    assert digest(found) == golden()
    wrong = sum(tail(one) != hashed(*fact) for one, fact in zip(found, FACTS, strict=True))
    assert wrong == 0
    bar(28, "golden event ids that differ", found=wrong, goal="0 of 100,000", of=f"{NUMBER:,} ids, Python "
        f"{platform.python_version()}, {sys.platform}-{platform.machine()}")  # fmt: skip


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_every_python_of_this_machine_makes_the_same_ids(version: str, bar: Bar) -> None:
    python = shutil.which(f"python{version}")
    found = python and subprocess.run(
        [python, "-B", "-m", event_ids.__name__], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYENV_VERSION": _pyenv(version), "PYTHONPATH": ""},
    )  # fmt: skip
    if not found or found.returncode == 127 or "command not found" in found.stderr:
        pytest.skip(f"no Python {version} on this machine")
    assert found.returncode == 0, found.stderr
    made, real, place = found.stdout.split()
    assert made == golden()
    bar(28, f"golden event ids that differ on Python {version}", found=0, goal="0 of 100,000",
        of=f"{NUMBER:,} ids, Python {real}, {place}")  # fmt: skip


@pytest.mark.parametrize("machine", ["aarch64", "s390x"])
def test_other_processors_make_the_same_ids(machine: str, bar: Bar) -> None:
    """One of them is big-endian. `scripts/platforms.sh` fetches their Pythons."""
    qemu, root = shutil.which(f"qemu-{machine}-static"), ROOT / "target/platforms" / machine
    if qemu is None or not (root / "usr/bin/python3").exists():
        pytest.skip(f"no Python of {machine} on this machine: scripts/platforms.sh")
    found = subprocess.run(
        [qemu, "-L", str(root), str(root / "usr/bin/python3"), "-S", "-B", "-m", event_ids.__name__], cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    made, real, place = found.stdout.split()
    assert made == golden()
    assert place == f"linux-{machine}"
    bar(28, f"golden event ids that differ on {machine}", found=0, goal="0 of 100,000",
        of=f"{NUMBER:,} ids, Python {real}, {place}")  # fmt: skip


def _pyenv(version: str) -> str:
    """The exact version that pyenv has installed, if pyenv is what gives this Python."""
    folder = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    return max((path.name for path in folder.glob(f"{version}.*")), default="")


def test_keys_that_a_warehouse_gives_have_the_golden_ids(world: World, engine: str, bar: Bar) -> None:
    """The keys go into a table and come back as a run reads them; the engine's own hash agrees with each id."""
    if engine == "snowflake":
        pytest.skip("fakesnow would translate a hundred thousand texts; the ids are made in Python")
    world.sql("CREATE TABLE facts (n integer, uid text, fact text, variant text)")
    rows = [f"({n}, {', '.join(map(_text, fact))})" for n, fact in enumerate(FACTS)]
    world.sql(*("INSERT INTO facts VALUES " + ", ".join(rows[i : i + PAGE]) for i in range(0, NUMBER, PAGE)))
    shape = Shape(
        sync=orders_sync(key="fact"), key=Column(name="fact", kind=Kind.TEXT, native="text"), canonical=(), columns=()
    )
    warehouse = world.connect(read_only=True)
    found: list[str] = []
    try:
        for uid in STREAMS:
            model = f"SELECT fact, variant FROM facts WHERE uid = {_text(uid)} ORDER BY n"
            keys = [key for page in warehouse.pages(model_keys(warehouse.dialect, shape, model), PAGE) for (key,) in page]
            variants = [variant for uid_, _, variant in FACTS if uid_ == uid]
            found += EventIds(uid).ids(keys, variants)
    finally:
        warehouse.close()
    assert digest(found) == golden()

    own = world.ask(f"SELECT n, {SHA256[engine]} FROM facts ORDER BY n")
    wrong = sum(tail(one) != text for one, (_, text) in zip(found, own, strict=True))
    assert wrong == 0
    bar(28, f"golden event ids that differ with keys from {engine}", found=wrong, goal="0 of 100,000",
        of=f"{NUMBER:,} keys read back, and hashed by {engine} itself")  # fmt: skip


SHA256 = {
    "duckdb": "substr(sha256('revetl-event-v1' || chr(0) || uid || chr(0) || fact || "
    "CASE WHEN variant = '' THEN '' ELSE chr(0) || variant END), 1, 20)",
    # a text of PostgreSQL has no NUL, its bytes may
    "postgres": "substr(encode(sha256(convert_to('revetl-event-v1', 'UTF8') || '\\x00'::bytea || convert_to(uid, 'UTF8') || "
    "'\\x00'::bytea || convert_to(fact, 'UTF8') || CASE WHEN variant = '' THEN ''::bytea "
    "ELSE '\\x00'::bytea || convert_to(variant, 'UTF8') END), 'hex'), 1, 20)",
}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def test_a_million_keys_have_a_million_ids(bar: Bar) -> None:
    number = 1_000_000
    made = EventIds(STREAMS[0])
    seen: set[str] = set()
    for start in range(0, number, 50_000):
        keys = [f"order-{i}" for i in range(start, start + 50_000)]
        seen.update(made.ids(keys, [""] * len(keys)))
    assert len(seen) == number
    bar(28, "collisions of event ids", found=number - len(seen), goal="0 in 10^8", of=f"{number:,} ids")


@pytest.mark.soak
def test_a_hundred_million_keys_have_as_many_ids(tmp_path: Path, bar: Bar) -> None:
    """By the definition in SQL, which the golden ids agree with; the first 64 of the 80 bits are different already."""
    number = 100_000_000
    with duckdb.connect(str(tmp_path / "ids.duckdb")) as connection:
        connection.execute("SET memory_limit = '4GB'")
        connection.execute(
            "CREATE TABLE ids AS SELECT CAST('0x' || substr(sha256('revetl-event-v1' || chr(0) || 'orders01' || chr(0) || "
            f"'order-' || i), 1, 16) AS ubigint) AS id FROM range({number}) AS r(i)"
        )
        [first] = connection.execute("SELECT id FROM ids LIMIT 1").fetchone() or (0,)
        assert f"{first:016x}" == tail(EventIds("orders01").id("order-0"))[:16]
        [same] = connection.execute("SELECT count(*) - count(DISTINCT id) FROM ids").fetchone() or (-1,)
    assert same == 0
    bar(28, "collisions of event ids", found=same, goal="0 in 10^8", of=f"{number:,} ids")
