"""No key and no person's value in anything that revetl writes for others, whatever goes wrong. Real processes only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pytest
import sqlalchemy as sa

from revetl.cli import _bug
from revetl.sandbox import Fault, Sandbox
from tests.bars import Bar
from tests.security.canaries import ENCODINGS, Hit, encoded, search

PEOPLE = [
    ("ann.canary7731@example.com", "Zoë Çanary-7731", "+49 170 7731 4242", "Musterstraße 7731", 1.5),
    ("bob.canary8842@example.com", "Bob \"Canary\" O'Neil8842", "+1 555 8842 0001", "Canary Road 8842", 2.5),
    ("eve.canary9953@example.com", "Eve<Canary>9953", "+44 20 9953 1234", "9953 Canary Wharf", 3.5),
]
PERSONAL = {
    f"person {i} {what}": str(value)
    for i, row in enumerate(PEOPLE)
    for what, value in zip(("email", "name", "phone", "street"), row, strict=False)
}
PROFILES = """\
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: target/shop.duckdb, state_schema: revetl_dev}
    pg:
      type: postgres
      host: "{{ env_var('PG_HOST', 'x') }}"
      user: "{{ env_var('PG_USER', 'x') }}"
      password: "{{ env_var('PG_PASSWORD', '') }}"
      dbname: "{{ env_var('PG_DB', 'x') }}"
      schema: public
      state_schema: revetl_dev
      destination: dev
    cloud: {type: duckdb, path: target/shop.duckdb, state_schema: revetl_cloud}
  destinations:
    dev: &box
      type: sandbox
      url: "{{ env_var('BOX_URL') }}"
      site_id: "{{ env_var('BOX_SITE') }}"
      api_key: "{{ env_var('BOX_KEY') }}"
      app_api_key: "{{ env_var('BOX_APP_KEY') }}"
      attempts: 2
      request_deadline_s: 1
      no_progress_s: 2
    cloud:
      type: customerio
      site_id: "{{ env_var('BOX_SITE') }}"
      api_key: "{{ env_var('BOX_KEY') }}"
"""
SYNCS = """\
version: 1
syncs:
  - name: people
    uid: people01
    model: ref('people')
    type: person
    identify_by: {email: email}
    attributes:
      name: {type: string, max_length: 60}
      phone: {type: string}
      street: {type: string}
      spent: {type: number}
    when_missing: delete
    guards: {max_deletes: 1%, max_changes: 40%}
  - name: orders
    uid: orders01
    model: ref('orders')
    type: event
    event: Order Completed
    person: {email: email, sync: people}
    key: order_id
    occurred_at: ordered_at
    initial: send
    properties:
      order_id: {type: string, required: true}
      street: {type: string}
"""
FILES = {
    "pyproject.toml": '[tool.revetl]\nname = "shop"\n', "profiles.yml": PROFILES, "syncs/all.yml": SYNCS,
    "models/people.sql": "select * from {{ source('raw', 'people') }}\n",
    "models/orders.sql": "select order_id, email, street, current_timestamp - interval '1 hour' as ordered_at\n"
                         "from {{ source('raw', 'orders') }}\n",
    "models/raw.yml": "sources: [{name: raw, schema: raw, tables: [{name: people}, {name: orders}]}]\n",
}  # fmt: skip


class Echo(BaseHTTPRequestHandler):
    """A destination that puts whatever it was sent into its answers, as no friendly server would."""

    mode: ClassVar[str] = "207"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""

    def answer(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Echo", "1")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.answer(200, json.dumps({"url": "x", "region": "us", "environment_id": 1}))

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        batch = json.loads(sent)["batch"]
        if self.mode != "207":
            self.answer(int(self.mode), json.dumps({"meta": {"error": sent}, "error": sent}))
            return
        errors = []
        for i, one in enumerate(batch):
            who = next(iter(one.get("identifiers", {"email": "?"}).values()))
            attributes = one.get("attributes") or {}
            value = str(next(iter(attributes.values()), who))
            texts = [f"value {value} is wrong", f"'{value}' is no name", f'"{who}" was not found', f"user {who}: bad {value}"]
            errors.append(
                {"batch_index": i, "reason": f"invalid {value}", "field": f"attributes.{value}", "message": texts[i % 4]}
            )
        self.answer(207, json.dumps({"errors": errors}))


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Watched:
    """A project whose every output is kept, by kind."""

    def __init__(
        self, folder: Path, box: Sandbox, ask: Callable[[str], list[tuple[Any, ...]]], environ: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.box = box
        self.ask = ask
        self.kept: dict[str, list[str]] = defaultdict(list)
        self.codes: list[int] = []
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("REVETL_", "DBT_", "CIO_"))}, "HOME": str(folder),
            "BOX_URL": box.url, "BOX_SITE": box.site_id, "BOX_KEY": box.api_key, "BOX_APP_KEY": box.app_api_key,
            "PG_PASSWORD": "pgCanary/pass+4411", "DBT_ENV_SECRET_OTHER": "envCanary=secret&5522", **environ,
        }  # fmt: skip
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    @property
    def secrets(self) -> dict[str, str]:
        pair = f"{self.box.site_id}:{self.box.api_key}"
        return {"site id": self.box.site_id, "track key": self.box.api_key, "app key": self.box.app_api_key, "site:key": pair,
                "password": self.environ["PG_PASSWORD"], "secret variable": self.environ["DBT_ENV_SECRET_OTHER"]}  # fmt: skip

    def __call__(
        self, *arguments: str, environ: Mapping[str, str] | None = None, kill_after: Callable[[], bool] | None = None
    ) -> int:
        """Run a command, keep all that it wrote, and give its exit code."""
        child = subprocess.Popen(
            [sys.executable, "-m", "revetl", *arguments], cwd=self.folder, env={**self.environ, **(environ or {})}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if kill_after is not None:
            until = time.monotonic() + 20
            while not kill_after() and time.monotonic() < until:
                child.poll()
            child.send_signal(signal.SIGKILL)
        out, err = child.communicate(timeout=60)
        shape = "json" if "json" in arguments else "markdown" if "markdown" in arguments else "text"
        self.kept[f"stdout of {arguments[-1] if arguments[0] == 'state' else arguments[0]} ({shape})"].append(out)
        self.kept[f"stderr ({'json' if '--log-format' in arguments else 'text'})"].append(err)
        self.codes.append(child.returncode)
        self.keep_files()
        return child.returncode

    def keep_files(self) -> None:
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix not in {".duckdb", ".wal", ".sql", ".yml", ".toml"}:
                kind = "log file" if "logs" in path.parts else path.name
                self.kept[kind].append(path.read_text(errors="replace"))
            elif path.is_file() and "compiled" in path.parts:
                self.kept["compiled SQL"].append(path.read_text())

    def keep_tables(self) -> None:
        for table in ("runs", "sync_log"):
            self.kept[f"table {table}"] += [repr(row) for row in self.ask(f"SELECT * FROM revetl_dev.{table}")]


def shop_tables(run: Callable[[str], object]) -> None:
    """Tables with the canaries."""
    run("CREATE SCHEMA raw")
    run("CREATE TABLE raw.people (email text, name text, phone text, street text, spent double precision)")
    run("CREATE TABLE raw.orders (order_id text, email text, street text)")
    for i, (email, name, phone, street, spent) in enumerate(PEOPLE):
        quoted = ["'" + value.replace("'", "''") + "'" for value in (email, name, phone, street)]
        run(f"INSERT INTO raw.people VALUES ({', '.join(quoted)}, {spent})")
        run(f"INSERT INTO raw.orders VALUES ('o{i}', {quoted[0]}, {quoted[3]})")


def outcomes(revetl: Watched, sql: Callable[[str], object], echo: str, target: str, *, brief: bool) -> None:
    """Everything that can come of a command, one after the other; `brief` leaves out most of what is much alike."""
    on = ("--target", target)
    everyone = ("--confirm-first-run", "6", "--confirm-changes", "3", "--backfill")
    shapes = ("text",) if brief else ("text", "json", "markdown")

    def run(*more: str, environ: Mapping[str, str] | None = None) -> int:
        return revetl("run", *on, *everyone, *more, environ=environ)

    def afresh() -> None:
        """No run waits for the one before it."""
        sql("DROP SCHEMA IF EXISTS revetl_dev CASCADE")

    for line in ("compile", "debug") if brief else ("parse", "compile", "ls --output json", "debug", "grants --dialect postgres"):
        revetl(*line.split(), *on)
    # what the destination says, from friendly to hostile
    statuses = (400,) if brief else (400, 401, 500)
    for fault in (Fault(kind="html", times=99), *(Fault(kind="status", status=code, times=99) for code in statuses)):
        afresh()
        revetl.box.faults[:] = [fault]
        assert run("--log-format", "json", "--debug") in {1, 21, 22}
    revetl.box.faults[:] = []
    for mode in ("401", "207") if brief else ("400", "401", "500", "302", "207"):
        Echo.mode = mode
        afresh()
        assert run(environ={"BOX_URL": echo}) in {1, 2, 21, 22}
    for line in ("status --output json", "retry"):
        revetl(*line.split(), *on, environ={"BOX_URL": echo})
    afresh()
    revetl.box.store.clean()
    # a run that dies in the middle, and the one after it
    revetl.box.faults[:] = [Fault(kind="hang", seconds=30, times=1)]
    revetl("run", *on, *everyone, kill_after=lambda: revetl.box.faults[0].times == 0)
    revetl.box.faults[:] = []
    assert run() == 40
    revetl("state", "unlock", *on, "--yes")
    sql("UPDATE revetl_dev.ctl__people01 SET lease_until = 1, drain_until = 1")
    sql("UPDATE revetl_dev.ctl__ws SET lease_until = 1, drain_until = 1")
    sql("UPDATE revetl_dev.rates SET until = 1")
    assert run("--output", "json") == 0
    # rows that the contract refuses, keys that are not unique, a model without rows
    sql(f"UPDATE raw.people SET name = repeat(name, 40), spent = 9 WHERE email = '{PEOPLE[0][0]}'")
    assert run("--output", "markdown", "--debug") == 1
    for shape in shapes:
        assert revetl("run", *on, "--retry-refused", "--output", shape) == 1
    for shape in ("text", "json", "markdown"):
        assert revetl("diff", *on, "--output", shape, "--debug") == 0
    sql(f"INSERT INTO raw.people SELECT * FROM raw.people WHERE email = '{PEOPLE[1][0]}'")
    assert run() == 10
    sql(f"DELETE FROM raw.people WHERE email = '{PEOPLE[1][0]}'")
    # SQL that fails on a value, or is wrong
    model = revetl.folder / "models" / "people.sql"
    before = model.read_text()
    wrongs = ("select cast(email as integer) as email, * from raw.people", "select *, cast(name as date) as d from raw.people",
              "select email as name from raw.people", "select * from {{ sourc('raw', 'people') }}")  # fmt: skip
    for wrong in wrongs[:2] if brief else wrongs:
        model.write_text(wrong)
        for command in ("run",) if brief else ("diff", "run"):
            revetl(command, *on, "--debug", "--log-format", "json")
    model.write_text(before)
    sql("DELETE FROM raw.people")
    assert revetl("run", *on, "--debug") == 11
    # what is remembered is damaged
    sql("DELETE FROM revetl_dev.state__people01")
    assert run("--debug") == 12
    for line in ("status", "state show --output json"):
        revetl(*line.split(), *on)
    # a pull request's job
    assert revetl("run", "--target", "cloud", environ={"GITHUB_EVENT_NAME": "pull_request"}) == 2
    assert revetl("diff", *on, environ={"GITHUB_EVENT_NAME": "pull_request_target"}) == 2
    revetl.keep_tables()


def judged(revetl: Watched, bar: Bar, name: str) -> None:
    """Both bars over all that was kept."""
    secrets = search(revetl.kept, revetl.secrets)
    personal = search(revetl.kept, PERSONAL)
    kinds = len(revetl.kept)
    size = sum(len(text) for texts in revetl.kept.values() for text in texts)
    assert size > 50_000, "there was nothing to search"
    assert kinds >= 12, sorted(revetl.kept)
    assert secrets == []
    assert personal == []
    what = f"{len(revetl.codes)} commands, {kinds} kinds of artifact, {len(ENCODINGS)} encodings, {size / 1e6:.1f} MB, {name}"
    for number, word, found, canaries in ((34, "secrets", secrets, revetl.secrets), (35, "personal values", personal, PERSONAL)):
        bar(number, f"{word} found in what revetl writes", found=len(found), goal="0", of=f"{len(canaries)} canaries in {what}")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(params=[pytest.param(True, id="brief"), pytest.param(False, id="full", marks=pytest.mark.soak)])
def brief(request: pytest.FixtureRequest) -> bool:
    """Whether most of what is much alike is left out."""
    return bool(request.param)


def test_nothing_of_a_person_or_a_key_gets_out_duckdb(
    tmp_path: Path, box: Sandbox, echo: str, bar: Bar, *, brief: bool
) -> None:
    def sql(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(tmp_path / "target" / "shop.duckdb")) as db:
            return db.execute(statement).fetchall()

    (tmp_path / "target").mkdir()
    shop_tables(sql)
    revetl = Watched(tmp_path, box, sql, {})
    outcomes(revetl, sql, echo, "dev", brief=brief)
    judged(revetl, bar, "DuckDB")


@pytest.fixture
def database(postgres_uri: str) -> Iterator[sa.Engine]:
    """A database of its own."""
    name = f"canary_{uuid.uuid4().hex[:8]}"
    server = sa.create_engine(postgres_uri, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    url = sa.make_url(postgres_uri).set(database=name)
    yield sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def on_postgres(database: sa.Engine) -> tuple[Callable[[str], list[tuple[Any, ...]]], dict[str, str]]:
    """A way to ask the database, and the variables that lead to it."""

    def sql(statement: str) -> list[tuple[Any, ...]]:
        with database.connect() as connection:
            result = connection.exec_driver_sql(statement.replace("%", "%%"))
            return [tuple(row) for row in result] if result.returns_rows else []

    url = database.url
    return sql, {"PG_HOST": str(url.query["host"]), "PG_USER": str(url.username), "PG_DB": str(url.database)}


@pytest.mark.soak
def test_nothing_of_a_person_or_a_key_gets_out_postgres(
    tmp_path: Path, box: Sandbox, echo: str, bar: Bar, database: sa.Engine
) -> None:
    sql, environ = on_postgres(database)
    shop_tables(sql)
    revetl = Watched(tmp_path, box, sql, environ)
    outcomes(revetl, sql, echo, "pg", brief=False)
    judged(revetl, bar, "PostgreSQL")


def test_no_error_of_postgres_shows_a_value(tmp_path: Path, box: Sandbox, database: sa.Engine) -> None:
    """Its messages quote rows: casts and constraints by themselves, functions whatever they like."""
    sql, environ = on_postgres(database)
    shop_tables(sql)
    sql("CREATE FUNCTION raw.angry(t text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no good: %', t USING HINT = t, DETAIL = t; END $$")  # fmt: skip
    sql("CREATE FUNCTION raw.sly(t text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no good: %', t USING ERRCODE = '42P01', HINT = t; END $$")  # fmt: skip
    revetl = Watched(tmp_path, box, sql, environ)
    for column in ("raw.angry(email)", "cast(name as integer)::text", "raw.sly(name)"):
        model = f"select {column} as email, name, phone, street, spent from raw.people"
        (tmp_path / "models" / "people.sql").write_text(model)
        assert revetl("diff", "--target", "pg", "--select", "people", "--debug", "--log-format", "json") in {2, 30}
    assert search(revetl.kept, PERSONAL) == []
    assert search(revetl.kept, revetl.secrets) == []


def test_a_bug_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What Python would print of an exception may be a row."""

    def fails(value: str) -> None:
        raise KeyError(value)

    for debug in (False, True):
        try:
            fails(PEOPLE[0][0])
        except KeyError as error:
            _bug(error, debug=debug)
        said = capsys.readouterr().err
        assert "KeyError" in said
        assert search({"traceback": [said]}, PERSONAL) == []


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", '{"x":"'])
@pytest.mark.parametrize("value", ["ann.canary7731@example.com", "Zoë Çanary-7731", "pg/pass+1"])
def test_the_search_would_find_them(before: str, value: str) -> None:
    from base64 import b64encode  # noqa: PLC0415
    from urllib.parse import quote  # noqa: PLC0415

    for text in (before + value + "z", b64encode((before + value + "z").encode()).decode(), before + quote(value),
                 json.dumps(before + value), json.dumps(before + value, ensure_ascii=False)):  # fmt: skip
        hits: list[Hit] = search({"x": [text]}, {"canary": value})
        assert hits, text
    assert {encoding for encoding, _ in encoded(value)} == set(ENCODINGS)
