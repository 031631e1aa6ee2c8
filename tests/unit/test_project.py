"""Loading a project: what it becomes, and what is said about every mistake, all of them at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from revetl.contracts import FieldType, IdentifierKind, Initial, SyncType
from revetl.errors import ConfigError, ProjectErrors
from revetl.project import CODES, find_root, load
from revetl.syncfile import new_uid
from tests.unit.project_files import ORDERS, PEOPLE, PROFILES, problems, said, shop, write

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "project"

# --- what a project becomes --------------------------------------------------------------------------------------


def test_a_project_without_any_setting(tmp_path: Path) -> None:
    """A folder with syncs/ and a profile of the folder's name is enough."""
    root = tmp_path / "shop"
    found = shop(root, {"pyproject.toml": None})
    assert (found.name, found.root, found.target.name, found.target.type) == ("shop", root, "dev", "duckdb")
    assert (found.target_path, found.log_path) == (root / "target", root / "logs")
    assert found.state_schema == "revetl_dev"
    assert (found.destination.name, found.destination.type) == ("dev", "sandbox")
    assert set(found.models) == {"people", "orders"}
    assert found.models["people"].path == "models/people.sql"
    assert found.warnings == ()
    people, orders = found.syncs["people"], found.syncs["orders"]
    assert (people.type, people.identifier, people.key, people.initial) == (
        SyncType.PERSON, IdentifierKind.ID, "customer_id", Initial.SEND,
    )  # fmt: skip
    assert [(f.name, f.type) for f in people.fields] == [("email", FieldType.STRING), ("orders_count", FieldType.INTEGER)]
    assert (orders.type, orders.key, orders.person, orders.person_sync, orders.occurred_at, orders.initial) == (
        SyncType.EVENT, "order_id", "customer_id", "people", "ordered_at", Initial.BASELINE,
    )  # fmt: skip
    assert str(people.where) == "syncs/people.yml:3:5"
    assert str(people.fields[0].where) == "syncs/people.yml:9:14"


def test_settings_of_the_project(tmp_path: Path) -> None:
    settings = """\
        [tool.revetl]
        name = "crm"
        profile = "shop"
        model-paths = ["sql"]
        sync_paths = ["out"]
        target-path = "build"
        log_path = "/var/log/x"
        state_schema = "sync_state"
        vars = {since = "2026-01-01", limit = 3}
        """
    found = shop(tmp_path, {
        "pyproject.toml": settings, "sql/a.sql": "select 1", "out/people.yml": PEOPLE.replace("'people'", "'a'"),
    }, cli_vars={"limit": 4})  # fmt: skip
    assert (found.name, found.target.profile_name, set(found.models), set(found.syncs)) == ("crm", "shop", {"a"}, {"people"})
    assert (found.target_path, found.log_path) == (tmp_path / "build", Path("/var/log/x"))
    assert found.state_schema == "sync_state"
    assert found.vars == {"since": "2026-01-01", "limit": 4}


def test_the_state_schema_of_a_target_wins(tmp_path: Path) -> None:
    profiles = PROFILES.replace("path: shop.duckdb", "path: shop.duckdb, state_schema: mine")
    found = shop(tmp_path, {"profiles.yml": profiles, "pyproject.toml": '[tool.revetl]\nname="shop"\nstate_schema="ours"\n'})
    assert found.state_schema == "mine"


@pytest.mark.parametrize("inside", ["", "models", "syncs/deep/er"])
def test_a_project_is_found_from_within(tmp_path: Path, inside: str) -> None:
    root = write(tmp_path, {"pyproject.toml": "[project]\n[tool.revetl.vars]\na = 1\n"})
    (root / inside).mkdir(parents=True, exist_ok=True)
    assert find_root(root / inside) == root


def test_another_tools_settings_are_no_project(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "[tool.revetlish]\n# [tool.revetl]\n"})
    with pytest.raises(ConfigError, match="no project was found") as caught:
        find_root(tmp_path)
    assert caught.value.code == "RV050"
    assert "revetl init" in caught.value.hint
    (found,) = problems(load, tmp_path / "none", environ={})
    assert "there is no folder" in found.message


def test_definitions_are_shared_by_all_files(tmp_path: Path) -> None:
    """In both spellings, with the use's own keys above the definition's."""
    people = PEOPLE + "      spent: $money\n      owed: {use: money, minimum: 5, column: debt}\n      plan: $plan\n"
    shared = "version: 1\nsyncs: []\ndefinitions:\n  money: {type: number, minimum: 0, maximum: 9}\n  plan: string\n"
    found = shop(tmp_path, {"syncs/people.yml": people, "syncs/z_shared.yml": shared})
    spent, owed, plan = found.syncs["people"].fields[2:]
    assert (spent.type, spent.minimum, spent.maximum, spent.column) == (FieldType.NUMBER, 0, 9, "spent")
    assert (owed.type, owed.minimum, owed.maximum, owed.column) == (FieldType.NUMBER, 5, 9, "debt")
    assert plan.type is FieldType.STRING


def test_sources_are_dbts(tmp_path: Path) -> None:
    sources = """\
        version: 2
        models: [{name: people, columns: [{name: a, data_tests: [unique]}]}]
        sources:
          - name: raw
            schema: "{{ var('layer') }}_{{ target.name }}"
            database: lake
            loader: x
            tables:
              - {name: a}
              - {name: b, identifier: B2, data_tests: [x]}
          - name: files
            meta: {external_location: "data/{name}.parquet"}
            tables:
              - {name: one}
              - {name: two, external_location: "s3://bucket/two.csv"}
              - {name: three, config: {meta: {external_location: "read_csv('x.csv', header=true)"}}}
              - {name: four, meta: {external_location: "{{ env_var('FOUR') }}"}}
        """
    found = shop(tmp_path, {
        "models/sources.yml": sources, "pyproject.toml": '[tool.revetl]\nname="shop"\nvars={layer="l1"}\n',
    }, environ={"HOME": "/", "FOUR": "/abs/four.json"}).sources  # fmt: skip
    a, b = found["raw.a"], found["raw.b"]
    assert (a.database, a.schema, a.identifier) == ("lake", "l1_dev", "a")
    assert (b.database, b.schema, b.identifier) == ("lake", "l1_dev", "B2")
    assert found["files.one"].external_location == str(tmp_path / "data" / "one.parquet")
    assert found["files.two"].external_location == "s3://bucket/two.csv"
    assert found["files.three"].external_location == f"read_csv('{tmp_path}/x.csv', header=true)"
    assert found["files.four"].external_location == "/abs/four.json"
    assert str(found["raw.b"].where) == "models/sources.yml:10:9"


def test_mistakes_in_sources(tmp_path: Path) -> None:
    sources = """\
        sources:
          - name: raw
            schema: "{{ var('layr') }}"
            tables: [{name: a}, {name: a}, {identifier: b}]
          - name: more
            schema: "{{ env_var('NOT_SET') }}"
            database: "{{ env_var('DBT_ENV_SECRET_X') }}"
            tables: [{name: a}]
        """
    found = problems(shop, tmp_path, {
        "models/s.yml": sources, "pyproject.toml": '[tool.revetl]\nname="shop"\nvars={layer="l1"}\n',
    }, environ={"HOME": "/", "DBT_ENV_SECRET_X": "hunter22"})  # fmt: skip
    assert {(p.code, str(p.where)) for p in found} >= {
        ("RV066", "models/s.yml:3:13"), ("RV053", "models/s.yml:4:25"), ("RV013", "models/s.yml:4:36"),
        ("RV027", "models/s.yml:6:13"), ("RV067", "models/s.yml:7:15"),
    }  # fmt: skip
    assert not any("hunter22" in str(p) for p in found)


# --- what is said about mistakes -----------------------------------------------------------------------------------

MISTAKES: dict[str, str] = {
    "pyproject.toml": """\
        [project]
        name = "shop"

        [tool.revetl]
        name = "shop"
        model-path = ["models"]
        sync_paths = "syncs"
        target-path = 3
        """,
    "profiles.yml": """\
        shop:
          target: prod
          outputs:
            dev: {type: duckdb}
            prod:
              type: postgres
              host: "{{ env_var('PG_HOST') }}"
              port: abc
              user: revetl
              password: hunter22
              dbnme: shop
              schema: analytics
          destinations:
            prod:
              type: customerio
              regin: eu
              site_id: "1a2b3c4d"
              api_key: "{{ env_var('CIO_API_KEY') }}"
              concurrency: 0
        """,
    "models/people.sql": "select 1 as customer_id",
    "models/orders.sql": "select 1 as order_id",
    "models/marts/people.sql": "select 2 as customer_id",
    "models/b@d.sql": "select 1",
    "models/sources.yml": "sources:\n  - name: raw\n    tables: [{name: orders}]\n",
    "syncs/a_people.yml": """\
        version: 1
        definitions:
          money: {type: nummber}
          unused: {type: integer, pattern: x}
        syncs:
          - name: people
            model: ref('poeple')
            type: person
            identify_by: {id: customer_id, email: email}
            attributs:
              email: string
          - name: people_two
            uid: Ab
            model: people
            type: person
            identify_by: {id: customer_id}
            attributes:
              id: string
              cio_score: integer
              _hidden: string
              Plan: string
              plan: string
              age: {type: integer, minimun: 0}
              score: {type: number, minimum: 5, maximum: 1}
              born: {type: dat}
              code: {type: string, pattern: '[A-'}
              seen: {type: timestamp, zone: Europe/Berln}
              note: {type: string, required: true, on_null: clear}
              unsubscribed: integer
              spent: $money
              owed: $mony
              twice: {type: string, minimum: 1}
              nothing:
            when_missing: remove
            guards: {max_deletes: 150%, max_change: 1%, empty_source: yes}
            when_missing: ignore
        """,
    "syncs/b_events.yml": """\
        version: 2
        syncs:
          - name: orders
            uid: orders01
            model: source('raw', 'order')
            type: event
            event: " Order Completed"
            person: {id: customer_id, sync: poeple}
            key: order_id
            occurred_at: {colum: ordered_at}
            attributes: {order_id: string}
            properties: {recipient: string, order_id: {type: string, on_null: clear}}
            latency: {warn: 2 hours, error: soon}
          - name: orders
            uid: orders01
            model: ref("orders")
            type: evnt
            event: Order Refunded
            person: customer_id
            occurred_at: {column: refunded_at, zone: Mars/Base}
            no_person: anonymous
            enabled: 'false'
          - name: re/funds
            uid: refunds01
            model: ref('orders')
            type: event
            event: ''
            renamed_from: {event: x}
        """,
    "syncs/c_broken.yml": "version: 1\nsyncs: [\n",
    "syncs/d_list.yml": "- version: 1\n",
}


def test_many_mistakes_are_said_at_once(tmp_path: Path) -> None:
    """A golden file: `GOLDEN=write` writes it, for a look at the difference in git."""
    with pytest.raises(ProjectErrors) as caught:
        load(write(tmp_path, MISTAKES), environ={"HOME": "/"}, cwd=tmp_path)
    text = re.sub(r"uid: [0-9a-f]{8}\b", "uid: 00000000", str(caught.value)) + "\n"
    path = GOLDEN / "mistakes.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    assert "hunter22" not in text
    assert "1a2b3c4d" not in text
    assert all(p.where and p.code in CODES for p in caught.value.problems)


def test_problems_come_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    found = problems(load, write(tmp_path, MISTAKES), environ={"HOME": "/"}, cwd=tmp_path)
    places = [(p.where.file, p.where.line, p.where.column) for p in found if p.where]
    assert places == sorted(places)
    assert len({str(p) for p in found}) == len(found)


def test_one_mistake_is_said_once(tmp_path: Path) -> None:
    """What follows from it is not said: the events of a person sync that is wrong are not wrong."""
    for number, (old, new) in enumerate((
        ("type: person", "type: persn"), ("{id: customer_id}", "customer_id"), ("ref('people')", "ref('poeple')"),
        ("ref('people')", "people"), ("uid: people01", "uid: P"), ("orders_count: integer", "orders_count: integr"),
        ("attributes:", "attribute:\n      a: string\n    attributes:"), ("format: email", "fromat: email"),
        ("    attributes:", "    tags: growth\n    attributes:"), ("    attributes:", "    guards: 3\n    attributes:"),
    )):  # fmt: skip
        assert old in PEOPLE
        found = problems(shop, tmp_path / str(number), {"syncs/people.yml": PEOPLE.replace(old, new, 1)})
        assert len(found) == 1, (new, said(found))
        assert found[0].where is not None
        assert found[0].where.file == "syncs/people.yml"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"pyproject.toml": "[tool.revetl\n"},
         "pyproject.toml:1:13: is no valid TOML: Expected ']' at the end of a table declaration [RV051]"),
        ({"pyproject.toml": '[tool.revetl]\nname = "../x"\nprofile = "shop"\n'},
         "pyproject.toml:2: 'name' has letters, digits, `_`, `-` and `.` only [RV011]"),
        ({"pyproject.toml": '[tool.revetl]\nname = "shop"\nmodel_paths = [1]\n'},
         "pyproject.toml:3: 'model_paths' must be a list of texts [RV011]"),
        ({"profiles.yml": PROFILES.replace("shop:", "shpo:", 1)},
         "profiles.yml:1:1: there is no profile 'shop'; did you mean 'shpo'? [RV021]"),
        ({"syncs/orders.yml": ORDERS.replace("sync: people", "sync: peopel")},
         "syncs/orders.yml:8:37: sync 'orders' waits for the people of a sync: 'peopel' is no person sync; did you mean "
         "'people'? [RV016]"),
        ({"syncs/orders.yml": ORDERS.replace("{id: customer_id, sync", "{email: customer_id, sync")},
         "syncs/orders.yml:8:40: sync 'orders' names people by email, and sync 'people' by id: events would go to other "
         "people [RV017]"),
        ({"syncs/people.yml": PEOPLE + "    enabled: false\n"},
         "syncs/orders.yml:8:37: sync 'orders' waits for the people of 'people', which is not enabled [RV016]"),
        ({"syncs/orders2.yml": ORDERS.replace("name: orders", "name: more").replace("orders01", "orders02")},
         "syncs/orders2.yml:7:12: syncs 'orders' and 'more' both send 'Order Completed'; one sync sends an event [RV018]"),
        ({"syncs/orders2.yml": ORDERS.replace("orders01", "orders02").replace("Order Completed", "Other")},
         "syncs/orders2.yml:3:11: there are two syncs named 'orders' (the first at syncs/orders.yml:3:5) [RV014]"),
        ({"syncs/x.yml": "version: 1\nsyncs: []\ndefinitions: {m: string}\n", "syncs/y.yml": "version: 1\nsyncs: []\n"
          "definitions: {m: string}\n"}, "syncs/y.yml:3:15: the definition 'm' exists already at syncs/x.yml:3:18 [RV014]"),
    ],
)  # fmt: skip
def test_mistakes_between_files(tmp_path: Path, files: dict[str, str], wanted: str) -> None:
    assert said(problems(shop, tmp_path, files)) == [wanted]


def test_a_disabled_event_may_wait_for_disabled_people(tmp_path: Path) -> None:
    off = "    enabled: false\n"
    assert problems(shop, tmp_path, {"syncs/people.yml": PEOPLE + off, "syncs/orders.yml": ORDERS + off}) == []


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    write(tmp_path, {"models/x.sql": ""})
    (tmp_path / "models" / "x.sql").write_bytes(b"select '\xff'")
    assert said(problems(shop, tmp_path)) == ["models/x.sql: is not UTF-8 text [RV001]"]


def test_the_uid_to_paste_is_a_uid(tmp_path: Path) -> None:
    (found,) = problems(shop, tmp_path, {"syncs/people.yml": PEOPLE.replace("    uid: people01\n", "")})
    assert found.code == "RV019"
    uid = found.hint.partition("uid: ")[2]
    assert all(re.fullmatch(r"[a-f][0-9a-f]{7}", new_uid()) for _ in range(500))  # `12345678` would be a number
    assert problems(shop, tmp_path, {"syncs/people.yml": PEOPLE.replace("people01", uid)}) == []


def test_codes_are_listed() -> None:
    """Every code of the package is in the table, and every code of the table is used."""
    used = {
        code
        for path in (ROOT / "revetl").rglob("*.py")
        if path.name != "project.py"
        for code in re.findall(r'"(RV\d{3})"', path.read_text(encoding="utf-8"))
    }
    own = (ROOT / "revetl" / "project.py").read_text(encoding="utf-8").partition("SECTION =")[2]
    used |= set(re.findall(r'"(RV\d{3})"', own))
    assert used == set(CODES)


# --- cost ------------------------------------------------------------------------------------------------------------


def test_loading_is_quick_and_imports_no_engine(tmp_path: Path) -> None:
    """Two syncs without Jinja: a quarter of a CPU second is allowed, on a slow machine."""
    shop(tmp_path)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom revetl.project import load\n"
        f"found = load(Path({str(tmp_path)!r}), environ={{'HOME': '/'}})\n"
        "heavy = {'sqlalchemy', 'duckdb', 'psycopg', 'jinja2', 'pydantic', 'requests'} & set(sys.modules)\n"
        "print(len(found.syncs), sorted(heavy), time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    count, heavy, seconds = done.stdout.split(" ")
    assert (count, heavy) == ("2", "[]")
    assert float(seconds) < 0.5
