"""Names of strangers: of tables, columns, keys, attributes, schemas. Each is refused, or it is a name and nothing more."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from revetl import api
from revetl.engine import RunOptions, RunResult
from revetl.errors import RevetlError
from revetl.project import Project, load
from revetl.sandbox import Sandbox
from revetl.warehouse import Warehouse, open_warehouse
from tests.bars import Bar
from tests.security.hostile import NAMES
from tests.suites.world import World, duckdb_world, people_sync, postgres_world
from tests.unit.project_files import SHOP, problems, write

LONGEST_COLUMN = 63  # bytes; PostgreSQL cuts what is longer
IDS = 100  # that the App API takes in one request
WORDS = "wrong, or taken for more than a name"


def unsendable(name: str) -> bool:
    """What Customer.io would change, or keep for itself, as the name of an attribute."""
    return name != name.strip() or name.startswith("_") or any(unicodedata.category(c) == "Cc" for c in name)


GOOD = tuple(name for name in NAMES if not unsendable(name))


def text(name: str) -> str:
    """A name in YAML, whatever it holds."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in name) + '"'


def literal(name: str) -> str:
    """A name in YAML where Jinja is rendered, as that name."""
    if "{" not in name:
        return text(name)
    return text("{{ '" + name.replace("\\", "\\\\").replace("'", "\\'") + "' }}")


def quoted(name: str) -> str:
    """A name in SQL, written here and not by the code under test."""
    return '"' + name.replace('"', '""') + '"'


def apart(names: Sequence[str]) -> list[list[str]]:
    """Groups in which no two names differ only in case, or only behind the 63rd byte."""
    groups: list[dict[str, str]] = []
    for name in names:
        short = name.encode()[:LONGEST_COLUMN].decode(errors="ignore").casefold()
        group = next((g for g in groups if short not in g), None)
        if group is None:
            groups.append(group := {})
        group[short] = name
    return [list(group.values()) for group in groups]


@dataclass
class Place:
    """A warehouse with a table that nobody may touch, an empty workspace, and projects that lead from one to the other."""

    world: World
    root: Path
    output: str
    kind: str

    def sql(self, *statements: str) -> None:
        self.world.sql(*statements)

    def project(self, sources: str, syncs: str, state_schema: str = "revetl_dev") -> Project:
        """By the real loader."""
        box = self.world.box
        write(self.root, {
            "pyproject.toml": SHOP["pyproject.toml"], "models/sources.yml": sources, "syncs/all.yml": syncs,
            "profiles.yml": "shop:\n  target: dev\n  outputs:\n    dev: {" + self.output
                            + f", state_schema: {text(state_schema)}}}\n  destinations:\n    dev: {{type: sandbox, "
                            + f"url: '{box.url}', site_id: \"{{{{ env_var('S') }}}}\", api_key: \"{{{{ env_var('K') }}}}\"}}\n",
        })  # fmt: skip
        return load(self.root, environ=self.environ, cwd=self.root)

    @property
    def environ(self) -> dict[str, str]:
        return {"HOME": str(self.root), "S": self.world.box.site_id, "K": self.world.box.api_key}

    def run(self, project: Project, **options: Any) -> RunResult:
        return api.run(project, environ=self.environ, options=RunOptions(**options))

    def people(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The attributes of all people of these that the workspace has."""
        found: dict[str, dict[str, Any]] = {}
        for i in range(0, len(ids), IDS):
            answer = self.world.api("/v1/customers/attributes", {"ids": list(ids[i : i + IDS])})
            for one in answer["customers"]:
                kept = {k: v for k, v in one["attributes"].items() if k not in {"cio_id", "_created_in_customerio_at"}}
                found[kept.pop("id")] = kept
        return found

    def harmed(self, schemas: Sequence[str]) -> list[str]:
        """What is not as it was left: rows of `victim`, tables and schemas that nobody ordered, files."""
        out = [] if self.world.ask("SELECT a FROM victim ORDER BY a") == [(1,), (2,), (3,)] else ["victim"]
        system = {"main", "information_schema", "pg_catalog", "pg_toast", "public", "raw"}
        for (schema,) in self.world.ask("SELECT DISTINCT schema_name FROM information_schema.schemata"):
            out += [] if schema in system or schema in schemas else [schema]
        return out + [p.name for p in self.root.iterdir() if p.name in {"x", "victim"}]


@pytest.fixture
def connected(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Callable[..., Warehouse], str, str]]:
    """(connect, fields of the target, kind) of an empty database."""
    if request.param == "duckdb":
        with duckdb_world(tmp_path) as connect:
            yield connect, "type: duckdb, path: warehouse.duckdb", "DuckDB"
        return
    uri, name = request.getfixturevalue("postgres_uri"), f"names_{uuid.uuid4().hex[:8]}"
    url = sa.make_url(uri)
    with postgres_world(uri, name) as connect:
        server = f"type: postgres, host: '{url.query['host']}', user: {url.username}"
        yield connect, f"{server}, dbname: {name}, schema: public", "PostgreSQL"


@pytest.fixture
def place(
    connected: tuple[Callable[..., Warehouse], str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    connect, output, kind = connected
    monkeypatch.chdir(tmp_path)
    with Sandbox() as box:
        world = World(connect=connect, box=box)
        world.sql("CREATE SCHEMA raw", "CREATE TABLE victim (a int)", "INSERT INTO victim VALUES (1), (2), (3)")
        yield Place(world=world, root=tmp_path, output=output, kind=kind)


both = pytest.mark.parametrize("connected", ["duckdb", "postgres"], indirect=True)


# --- the loader ----------------------------------------------------------------------------------------------------------


SLOTS = {
    "attribute": "attributes: {NAME: string}", "column": "attributes: {a: {type: string, column: NAME}}",
    "name": "name: NAME", "uid": "uid: NAME", "model": "model: NAME", "type": "type: NAME", "key": "identify_by: {id: NAME}",
    "tag": "tags: [NAME]", "owner": "owner: NAME", "pattern": "attributes: {a: {type: string, pattern: NAME}}",
    "zone": "attributes: {a: {type: timestamp, zone: NAME}}", "definition": "attributes: {a: {use: NAME}}",
    "limit": "guards: {max_deletes: NAME}", "unknown key": "NAME: 1",
}  # fmt: skip


def test_every_name_in_every_place_of_a_file_is_taken_or_refused_with_its_place(tmp_path: Path, bar: Bar) -> None:
    """One file with every name: nothing but an error of ours comes out, and an attribute is kept letter by letter."""
    base = {"uid": "", "model": "\"ref('people')\"", "type": "person", "identify_by": "{id: customer_id}",
            "attributes": "{a: string}"}  # fmt: skip
    wrong: list[str] = []
    for slot, given in SLOTS.items():
        key, _, value = given.partition(": ")
        lines, names = ["version: 1", "syncs:"], {}
        for i, name in enumerate(NAMES):
            keys = {"name": f"s{i}", **base, "uid": f"uid{i:05d}", key: value}
            row = ", ".join(f"{k}: {v}".replace("NAME", text(name)) for k, v in keys.items())
            lines.append("  - {" + row + "}")
            names[len(lines)] = i, name
        write(tmp_path, {**SHOP, "syncs/people.yml": "\n".join(lines) + "\n", "syncs/orders.yml": None})
        found = problems(load, tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
        refused = {names[p.where.line] for p in found if p.where is not None and p.where.file == "syncs/people.yml"}
        wrong += [f"{slot}: {p}" for p in found if p.where is None or not p.code or p.where.line not in names]
        if slot in {"attribute", "column"}:
            lines = [line for number, line in enumerate(lines, 1) if number not in names or names[number] not in refused]
            write(tmp_path, {"syncs/people.yml": "\n".join(lines) + "\n"})
            syncs = load(tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path).syncs
            assert len(syncs) == len(NAMES) - len(refused) > 100
            wrong += [name for i, name in names.values() if f"s{i}" in syncs and name not in
                      {getattr(f, "name" if slot == "attribute" else "column") for f in syncs[f"s{i}"].fields}]  # fmt: skip
        if slot in {"uid", "model", "type", "zone", "definition", "limit", "unknown key"}:
            plain = {"limit": r"[0-9]+", "uid": r"[a-z0-9]{6,32}"}.get(slot, "$^")
            fine = {(i, n) for i, n in names.values() if re.fullmatch(plain, n)}
            wrong += [f"{slot}: {name!r} was taken" for i, name in names.values() if (i, name) not in refused | fine]
    assert wrong == []
    bar(39, "names that were taken for what they are not", found=len(wrong), goal="0",
        of=f"{len(NAMES)} names in {len(SLOTS)} places of a file of syncs")  # fmt: skip
    bar(39, "hostile inputs tried: names", found=len(set(NAMES)), goal=">= 100")


# --- attributes, columns, properties ---------------------------------------------------------------------------------------


@both
def test_attributes_and_columns_arrive_under_their_names(place: Place, bar: Bar) -> None:
    """All of them in a few wide models, created and then changed: staged, compared, merged and sent by their names."""
    sources, syncs, columns = "sources:\n  - name: raw\n    tables:\n", "version: 1\nsyncs:\n", dict[int, dict[str, str]]()
    for g, group in enumerate(apart(GOOD)):
        columns[g] = {name: name if len(name.encode()) <= LONGEST_COLUMN else f"long{i}" for i, name in enumerate(group)}
        made = ", ".join(f"{quoted(column)} text" for column in columns[g].values())
        place.sql(f"CREATE TABLE raw.t{g} (_k text, _at timestamptz, {made})")
        for who in "ab":
            values = ", ".join(f"'{who}{i}'" for i in range(len(group)))
            place.sql(f"INSERT INTO raw.t{g} VALUES ('{who}{g}', current_timestamp, {values})")
        fields = ", ".join(f"{text(n)}: {{type: string, column: {text(c)}}}" for n, c in columns[g].items())
        sources += f"      - name: t{g}\n"
        syncs += (f"  - {{name: people{g}, uid: people{g:02d}, model: \"source('raw', 't{g}')\", type: person, "
                  f"identify_by: {{id: _k}}, attributes: {{{fields}}}}}\n"
                  f"  - {{name: events{g}, uid: events{g:02d}, model: \"source('raw', 't{g}')\", type: event, event: Seen {g}, "
                  f"person: {{id: _k, sync: people{g}}}, key: _k, occurred_at: _at, initial: send, "
                  f"properties: {{{fields}}}}}\n")  # fmt: skip
    project = place.project(sources, syncs)
    first = place.run(project, backfill=True)
    assert [(r.status, r.error, r.acknowledged) for r in first.syncs] == [("success", None, 2)] * (2 * len(columns))
    for g, fields_of in columns.items():
        more = ", ".join(f"{quoted(column)} = {quoted(column)} || '!'" for column in fields_of.values())
        place.sql(f"UPDATE raw.t{g} SET {more} WHERE _k = 'a{g}'")
    changed = {d.sync.name: d.counts.changed for d in api.diff(project, environ=place.environ).syncs}
    assert all(changed[f"people{g}"] == dict.fromkeys(names, 1) for g, names in columns.items())
    second = place.run(project)
    assert [r.acknowledged for r in second.syncs if r.sync.is_person] == [1] * len(columns)
    held = place.people([f"{who}{g}" for who in "ab" for g in columns])
    wrong = [
        name
        for g, names in columns.items() for who, end in (("a", "!"), ("b", "")) for i, name in enumerate(names)
        if held[f"{who}{g}"].get(name) != f"{who}{i}{end}"
    ]  # fmt: skip
    wrong += [f"{who}{g} has more" for g, names in columns.items() for who in "ab" if len(held[f"{who}{g}"]) != len(names)]
    harmed = place.harmed(["revetl_dev"])
    assert wrong == []
    assert harmed == []
    bar(39, f"names that came out {WORDS}", found=len(wrong) + len(harmed), goal="0",
        of=f"{len(GOOD)} names of columns, attributes and properties on {place.kind}")  # fmt: skip


# --- tables and keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("connected", "parts"), [
    ("duckdb", 2), ("postgres", 4), pytest.param("duckdb", 4, marks=pytest.mark.soak),
], indirect=["connected"])  # fmt: skip
def test_tables_and_keys_are_names_and_nothing_more(place: Place, bar: Bar, parts: int) -> None:
    """Each name as a table, as its key and as an attribute, in a sync of its own: right, or refused and nothing is sent."""
    refused, wrong, used, tried = 0, list[str](), set[str](), list[str]()
    for part in range(parts):  # a few projects after each other: the more streams one has, the longer each of them takes
        some = [(i, name) for i, name in enumerate(NAMES) if i % 4 == part and not name.startswith("_")]
        tried += [name for _, name in some]
        sources, syncs, made = "sources:\n", "version: 1\nsyncs:\n", list[str]()
        for i, name in some:
            column = name if len(name.encode()) <= LONGEST_COLUMN else f"long{i}"
            schema = "raw"
            if column.casefold() in used:
                made.append(f"CREATE SCHEMA {(schema := f'raw{i}')}")
            used.add(column.casefold())
            table = f"{schema}.{quoted(column)}"
            made += [f"CREATE TABLE {table} ({quoted(column)} text, _v text)", f"INSERT INTO {table} VALUES ('p{i}', 'v{i}')"]
            sources += f"  - {{name: r{i}, schema: {schema}, tables: [{{name: t, identifier: {literal(column)}}}]}}\n"
            syncs += (f"  - {{name: s{i}, uid: uid{i:05d}, model: \"source('r{i}', 't')\", type: person, identify_by: "
                      f"{{id: {text(column)}}}, attributes: {{{text(name)}: {{column: _v, type: string}}, "
                      f"the copy: {{column: {text(column)}, type: string}}}}}}\n")  # fmt: skip
        place.sql(*made)
        state = f"revetl_{part}"
        result = {r.sync.name: r for r in place.run(place.project(sources, syncs, state)).syncs}
        held = place.people([f"p{i}" for i, _ in some])
        for i, name in some:
            one = result[f"s{i}"]
            if one.error is not None:
                refused += 1
                told = one.error.where is not None and one.error.where.file == "syncs/all.yml" and bool(one.error.hint)
                wrong += [] if told and unsendable(name) and f"p{i}" not in held else [f"{name!r}: {one.error}"]
            elif held.get(f"p{i}") != {name: f"v{i}", "the copy": f"p{i}"} or one.acknowledged != 1:
                wrong.append(f"{name!r}: {held.get(f'p{i}')}")
    harmed = place.harmed([*(f"revetl_{part}" for part in range(4)), *(f"raw{i}" for i in range(len(NAMES)))])
    assert wrong == []
    assert harmed == []
    assert refused == sum(unsendable(name) for name in tried) > 2
    bar(39, f"names that came out {WORDS}", found=len(wrong) + len(harmed), goal="0",
        of=f"{len(tried)} names of tables, keys and attributes on {place.kind}, {refused} of them refused")  # fmt: skip


# --- schemas -----------------------------------------------------------------------------------------------------------------


def in_schemas(place: Place, names: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A person sent and then nothing more, with the state in a schema of each name; what was wrong."""
    wrong = []
    for i, name in enumerate(names):
        monkeypatch.setattr("tests.suites.world.SCHEMA", name)
        world = World(connect=place.world.connect, box=place.world.box, syncs=[people_sync()])
        world.people_table((f"s{i}", "a@example.com", "free", 0))
        results = [world.run(), world.run()]
        if [(int(r.exit_code), r.syncs[0].acknowledged) for r in results] != [(0, 1), (0, 0)]:
            wrong.append(f"{name!r}: {results[0].error} {results[0].syncs[0].error}")
        if world.person(f"s{i}") is None:
            wrong.append(f"{name!r}: nobody arrived")
    return wrong


@pytest.mark.parametrize(("connected", "every"), [
    ("postgres", 6), ("duckdb", 18), pytest.param("postgres", 1, marks=pytest.mark.soak),
    pytest.param("duckdb", 1, marks=pytest.mark.soak),
], indirect=["connected"])  # fmt: skip
def test_a_state_schema_may_have_any_name(place: Place, bar: Bar, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    groups = [group[::every] for group in apart(NAMES)]
    wrong = [one for group in groups for one in in_schemas(place, group[: 1 if group is not groups[0] else None], monkeypatch)]
    wrong += place.harmed(NAMES)
    assert wrong == []
    bar(39, f"names that came out {WORDS}", found=len(wrong), goal="0",
        of=f"{len(groups[0])} names of a state schema on {place.kind}")  # fmt: skip


# --- what stands in a comment of each statement ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("names", [NAMES, ("x**//; DROP TABLE victim; --", "x**/**//; DROP TABLE victim; /*", "/*/", "*/*/")],
                         ids=["names", "made for it"])  # fmt: skip
def test_a_name_in_a_comment_ends_no_comment(place: Place, names: Sequence[str]) -> None:
    """Project and target stand in a comment of each statement, so that a database's administrator knows whose it is."""
    url = place.world.connect().engine.url
    fields = {"path": url.database} if place.kind == "DuckDB" else {
        "host": url.query["host"], "user": url.username, "dbname": url.database}  # fmt: skip
    wrong = []
    for name in names:
        warehouse = open_warehouse(
            "duckdb" if place.kind == "DuckDB" else "postgres", fields, root=place.root, comment=f"target={name}"
        )
        try:
            if warehouse.fetch(sa.text("SELECT 7")) != [(7,)]:
                wrong.append(name)
        except RevetlError as error:
            wrong.append(f"{name!r}: {error}")
        finally:
            warehouse.close()
    assert place.harmed([]) == []
    assert wrong == []
