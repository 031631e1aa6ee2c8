"""Templates of strangers: none gets out of its process, none takes long, and each is named by file and line."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import jinja2
import pytest

from revetl.errors import ConfigError
from revetl.profiles import rendered
from revetl.render import MAX_RENDERED, Job, Rendering, loose_end, readable, render
from tests.bars import Bar
from tests.security.hostile import BOMBS, ESCAPES
from tests.unit.project_files import compiled, problems, said


def job(*templates: str, **more: object) -> Job:
    """One model for each template."""
    models = {f"m{i}": (f"models/m{i}.sql", text) for i, text in enumerate(templates)}
    return Job(models=models, relations=dict.fromkeys(models, "r"), target={"name": "dev"}, **more)  # type: ignore[arg-type]


def texts(found: Rendering) -> str:
    """Everything that was made or said."""
    return "\n".join([*(t.sql for t in found.texts.values()), *map(str, found.problems)])


def test_no_published_way_out_of_the_sandbox_works(tmp_path: Path, bar: Bar) -> None:
    mark = tmp_path / "mark"
    found = render(job(*(text.replace("{mark}", str(mark)) for text in ESCAPES)))
    assert not mark.exists()
    made = texts(found)
    words = ("<class 'type'", "<class 'object'", "subprocess", "root:x:0", "posix", "<module", "<cell", "co_code")
    outside = [word for word in words if word in made]
    assert outside == []
    # every one of them was looked at: rendered to nothing of interest, or refused with its file
    refused = {problem.where.file for problem in found.problems if problem.where}
    assert len(refused) + len(found.texts) >= len(ESCAPES)
    assert len(refused) > len(ESCAPES) * 0.8
    assert len(ESCAPES) >= 60
    bar(39, "templates that ran something", found=int(mark.exists()) + len(outside), goal="0",
        of=f"{len(ESCAPES)} ways out of the sandbox")  # fmt: skip
    bar(39, "hostile inputs tried: templates", found=len({*ESCAPES, *BOMBS}), goal=">= 100")


@pytest.mark.parametrize("event", ["open('/etc/passwd')", "__import__('os').system('true')", "__import__('socket').socket()",
                                   "__import__('subprocess').Popen(['true'])", "__import__('os').listdir('/')",
                                   "__import__('ctypes').CDLL(None)"])  # fmt: skip
def test_whoever_gets_out_finds_the_door_shut(tmp_path: Path, event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in the sandbox, made on purpose: an object of the job whose attribute runs code in the child."""
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "hole.py").write_text(
        "class Hole:\n    def __str__(self):\n        return str(eval(self.code))\n    def __init__(self, code):\n"
        "        self.code = code\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    from hole import Hole  # type: ignore[import-not-found]  # noqa: PLC0415 made above

    monkeypatch.setattr("revetl.render._places", lambda: [*map(str, sys.path)])
    found = render(job("select 1\n\nfrom {{ var('hole') }}", vars={"hole": Hole(event)}))
    assert found.texts == {}
    (problem,) = found.problems
    assert str(problem).startswith("models/m0.sql:3: the template does what no template may: ")


@pytest.mark.parametrize("address_space", [True, False], ids=["limited", "watched"])
def test_bombs_are_stopped_in_time(bar: Bar, *, address_space: bool) -> None:
    slowest, largest = 0.0, 0
    # every eighth where the system's own limit is not used: that is how macOS works
    bombs = BOMBS if address_space else BOMBS[::8]
    for bomb in bombs:
        times = []
        for _ in range(3):  # the machine may have been busy: the best of three says what the limit does
            began = time.monotonic()
            found = render(job("select 1\nfrom " + bomb), address_space=address_space)
            times.append(time.monotonic() - began)
            if times[-1] <= 1.5:
                break
        slowest = max(slowest, min(times))
        largest = max(largest, *(len(t.sql) for t in found.texts.values()), 0)
        for problem in found.problems:
            assert problem.where is not None
            assert problem.where.file == "models/m0.sql", bomb
            assert problem.where.line in {0, *range(2, 3 + bomb.count("\n"))}, (bomb, str(problem))
            assert problem.code in {"RV060", "RV061", "RV069"}, bomb
        assert found.problems or largest <= MAX_RENDERED, bomb
    assert slowest <= 1.5
    assert largest <= MAX_RENDERED
    how = "with the system's memory limit" if address_space else "with the watching thread"
    bar(39, "seconds until the slowest bomb was stopped", found=f"{slowest:.2f}", goal="<= 1.5", of=f"{len(bombs)} bombs, {how}")
    bar(39, "characters of the largest text that a bomb gave", found=f"{largest:,}", goal="<= 16,000,000",
        of=f"{len(bombs)} bombs, {how}")  # fmt: skip


def test_a_bomb_in_a_macro_is_named_where_it_stands() -> None:
    forever = "{% for a in range(99999) %}\n{% for b in range(99999) %}{% endfor %}{% endfor %}"
    files = job("select 1", "select\n{{ slow() }}", "select {{ no }}")
    macros = (("macros/a.sql", "{# x #}\n{% macro slow() %}\n" + forever + "{% endmacro %}"),)
    found = render(Job(models=files.models, relations=files.relations, macros=macros))
    assert [str(p).split("\n")[0] for p in found.problems] == [
        "models/m2.sql:1: 'no' is not defined [RV060]",
        "macros/a.sql:4: the template takes longer than 0.8 s (called in models/m1.sql) [RV069]",
    ]
    assert found.texts["m0"].sql == "select 1"


def test_memory_is_watched_where_the_system_does_not_limit_it() -> None:
    grows = "{% set l = [] %}\n{% for a in range(99999) %}{% do l.append('x' * 100000 ~ a) %}{% endfor %}"
    for address_space in (True, False):
        (problem,) = render(job(grows), address_space=address_space, memory=100_000_000).problems
        assert str(problem).startswith("models/m0.sql:2: the template takes too much memory [RV069]")


def test_only_so_many_children_are_spent_on_bombs() -> None:
    began = time.monotonic()
    found = render(job(*["{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"] * 20), limit_s=0.1)
    assert time.monotonic() - began < 10
    assert len(found.problems) == 3


def test_a_long_template_without_a_bomb_is_rendered() -> None:
    text = "select\n" + "".join(f"  {{{{ {i} }}}} as column_{i},\n" for i in range(3000)) + "  1 as last"
    found = render(job(text))
    assert found.problems == ()
    assert "2999 as column_2999" in found.texts["m0"].sql


def test_every_filter_and_test_of_jinja_works_behind_the_shut_door() -> None:
    """None of them imports or opens something when it is first used."""
    plain = jinja2.Environment(autoescape=True)
    values = ("'a b'", "[3, 1]", "{'a': 1}", "1.5")
    templates = [f"{{{{ {v} | {f} }}}}" for f in sorted(plain.filters) for v in values]
    templates += [f"{{{{ {v} is {t} }}}}" for t in sorted(plain.tests) for v in values]
    found = render(job(*templates))
    assert [str(p) for p in found.problems if p.code == "RV069"] == []
    assert len(found.texts) > len(templates) / 3


def test_the_child_has_no_variable_and_no_argument_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at from outside, while it renders something that takes all of its time."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("only Linux shows a process's environment as a file")
    monkeypatch.setenv("DBT_ENV_SECRET_X", "canary-in-environment")
    slow = job("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", vars={"key": "canary-in-vars"})
    worker = threading.Thread(target=render, args=(slow,))
    worker.start()
    seen: set[tuple[bytes, bytes]] = set()
    while worker.is_alive():
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if b"revetl.render" in line and int((entry / "stat").read_text().rsplit(")")[1].split()[1]) == os.getpid():
                    seen.add((line, (entry / "environ").read_bytes()))
    worker.join()
    ((line, environ),) = [pair for pair in seen if pair[1]]
    assert b"canary" not in line + environ
    kept = {f"{k}={v}".encode() for k, v in os.environ.items() if k in {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}}
    assert set(environ.split(b"\0")) <= {b"MALLOC_ARENA_MAX=1", b""} | kept


# --- secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "DBT_ENV_SECRET_A", "REVETL_ENV_SECRET_A", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "PGPASSWORD",
    "SHOP_PG_PASSWORD", "CIO_TRACK_API_KEY", "CIO_APP_APIKEY", "NPM_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "PRIVATE_KEY",
    "SSH_PRIVATE_KEY", "ACTIONS_RUNTIME_TOKEN", "db_passwd", "KEY_PASSPHRASE", "OAUTH_CLIENT_SECRET", "PGPASSFILE",
])  # fmt: skip
def test_a_template_reads_no_variable_that_is_a_key(name: str) -> None:
    environ, denied = readable({name: "canary-secret", "PLAIN": "fine"}, ())
    (problem,) = render(job(f"select '{{{{ env_var('{name}', 'x') }}}}'", environ=environ, denied=denied)).problems
    assert problem.code == "RV067"
    assert "canary" not in str(problem)


def test_a_key_of_the_profile_is_hidden_under_any_name(tmp_path: Path) -> None:
    """The site id of the destination, in a variable that does not look like a secret; also in YAML beside the models."""
    files = {
        "profiles.yml": "shop:\n  target: dev\n  outputs: {dev: {type: duckdb, path: x.duckdb}}\n  destinations:\n"
                        "    dev: {type: customerio, site_id: \"{{ env_var('WHERE') }}\", api_key: \"{{ env_var('WHAT') }}\"}\n",
        "models/people.sql": "select '{{ env_var('WHERE') }}'",
        "models/s.yml": "sources: [{name: raw, schema: \"{{ env_var('PLAIN') }}\", tables: [{name: t}]}]",
    }  # fmt: skip
    environ = {"HOME": str(tmp_path), "WHERE": "canary-site", "WHAT": "canary-key", "PLAIN": "fine"}
    from revetl.compiler import compile_project  # noqa: PLC0415
    from tests.unit.project_files import shop  # noqa: PLC0415

    project = shop(tmp_path, files, environ=environ)
    assert project.sources["raw.t"].schema == "fine"
    assert said(problems(compile_project, project, environ=environ)) == [
        "models/people.sql:1: env_var('WHERE'): a secret may be used in profiles.yml only [RV067]"
    ]
    files["models/s.yml"] = files["models/s.yml"].replace("PLAIN", "WHAT")
    (problem,) = problems(shop, tmp_path, files, environ=environ)
    assert problem.code == "RV067"
    assert "canary" not in str(problem)


# --- values of profiles.yml and of sources -------------------------------------------------------------------------------


def test_values_take_no_more_jinja_than_they_need(tmp_path: Path, bar: Bar) -> None:
    """They are rendered where the keys are, so nothing that loops, multiplies or looks inside is rendered at all."""
    mark = tmp_path / "mark"
    went = []
    for template in (*ESCAPES, *BOMBS):
        began = time.monotonic()
        try:
            made = str(rendered(template.replace("{mark}", str(mark)), {"A": "a"}, {"target": {"name": "dev"}}))
        except (ConfigError, jinja2.TemplateError, TypeError, ValueError, RecursionError):
            made = ""
        if len(made) > 100_000 or "class" in made or time.monotonic() - began > 1.5:
            went.append(template)
    assert not mark.exists()
    assert went == []
    bar(39, "values of profiles.yml and sources that ran or grew", found=len(went), goal="0",
        of=f"{len(ESCAPES) + len(BOMBS)} templates")  # fmt: skip


@pytest.mark.parametrize("value", [
    "{{ env_var('A') }}", "{{ env_var('A') | upper }}-{{ var('x') }}", "{{ env_var('N', 'd') | replace('d', 'e') }}",
    "{% if target.name == 'dev' %}a{% else %}b{% endif %}", "{{ 'a' if env_var('A') == 'a' else 'b' }}",
    "{{ target['name'] ~ '_x' }}",
    "{{ env_var('A').upper() }}", "{{ env_var('A', 'x') | default('y') | trim }}", "{{ env_var('A').split(',')[0] }}",
])  # fmt: skip
def test_usual_values_are_rendered(value: str) -> None:
    functions = {"var": lambda _: "v", "target": {"name": "dev"}}
    assert rendered(value, {"A": "a"}, functions)


def test_a_source_with_a_bomb_is_named(tmp_path: Path) -> None:
    from tests.unit.project_files import shop  # noqa: PLC0415

    files = {"models/s.yml": 'sources:\n  - name: raw\n    schema: "{{ \'x\' * 10 ** 10 }}"\n    tables: [{name: t}]\n'}
    (problem,) = problems(shop, tmp_path, files)
    assert str(problem).startswith("models/s.yml:3:13: 'schema' holds more Jinja than a value may: `mul` [RV060]")


# --- one model, one SELECT -----------------------------------------------------------------------------------------------


SEMICOLON, BRACKET, NEVER = "a `;` in the middle", "a `)` without its `(`", "a quote or comment that never ends"


@pytest.mark.parametrize(("sql", "wanted"), [
    ("select 1; drop table x", (SEMICOLON, 1)), ("select 1\n) as m; delete from x; select * from (select 1", (BRACKET, 2)),
    ("select 1 -- ok\r; drop table x", (SEMICOLON, 1)), ("select E'\\'; drop table x --'", None),
    ("select E'\\\\'; drop table x --'", (SEMICOLON, 1)), ("select '\\'; drop table x --'", (SEMICOLON, 1)),
    ("select 'a''; b'", None), ('select "a""; b"', None), ("select $$;$$, $a$ ; $$ ; $a$", None), ("select $$ ; $a$", (NEVER, 1)),
    ("select a$b$c from (select 1 as a$b$c) x", None), ("select 1 /* ; /* ; */ ; */", None),
    ("select 1 /* ; */ ; select 2", (SEMICOLON, 1)), ("select 1\n/* never", (NEVER, 2)),
    ("select (1", ("a `(` without its `)`", 1)), ("select 'it''s' -- it's; fine", None),
    ("with a as (select ')' as b) select * from a", None), ("select typeE'\\'; drop table x --'", (SEMICOLON, 1)),
    ("select 1 as \"it's\" ; x", (SEMICOLON, 1)),
])  # fmt: skip
def test_what_is_more_than_one_select(sql: str, wanted: tuple[str, int] | None) -> None:
    assert loose_end(sql) == wanted


def test_a_model_with_two_statements_is_refused_with_its_line(tmp_path: Path) -> None:
    found = problems(compiled, tmp_path, {"models/people.sql": "{# x #}\nselect 1\n) as m; drop table raw.people; --"})
    assert said(found) == ["models/people.sql:3: the model is not one SELECT: it has a `)` without its `(` [RV073]"]
