"""profiles.yml as dbt reads it, with destinations beside its outputs; and no secret in any message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.errors import ConfigError
from revetl.profiles import SECRET_KEYS, MissingVariable, Profile, Secret, find, load_profile, rendered
from tests.unit.project_files import said, write

SECRETS = {
    "DBT_ENV_SECRET_PG": "hunter22", "CIO_SITE_ID": "site-0123", "CIO_TRACK_API_KEY": "track-4567", "CIO_APP_API_KEY": "app-89",
}  # fmt: skip
BOTH = """\
shop:
  target: "{{ env_var('WHERE', 'dev') }}"
  outputs:
    dev: {type: duckdb, path: shop.duckdb, threads: 2}
    prod:
      type: postgres
      host: "{{ env_var('PG_HOST') }}"
      port: "{{ env_var('PG_PORT', '5432') | int }}"
      user: "{{ env_var('DBT_ENV_SECRET_USER', 'revetl') }}"
      pass: "{{ env_var('DBT_ENV_SECRET_PG') }}"
      database: crm
      schema: analytics
  destinations:
    dev: {type: sandbox}
    prod:
      type: customerio
      region: eu
      site_id: "{{ env_var('CIO_SITE_ID') }}"
      api_key: "{{ env_var('CIO_TRACK_API_KEY') }}"
      app_api_key: "{{ env_var('CIO_APP_API_KEY', '') }}"
      requests_per_second: "{{ env_var('RATE', '5') }}"
      concurrency: 2
      identify_timestamp: true
"""


def loaded(
    folder: Path, text: str = BOTH, target: str | None = None, profile: str = "shop", **environ: str
) -> tuple[Profile | None, list[ConfigError]]:
    path = write(folder, {"profiles.yml": text}) / "profiles.yml"
    problems: list[ConfigError] = []
    return load_profile(path, profile, target, environ, problems), problems


def fine(folder: Path, text: str = BOTH, target: str | None = None, **environ: str) -> Profile:
    found, problems = loaded(folder, text, target, **environ)
    assert said(problems) == []
    assert found is not None
    return found


def output(**fields: str) -> str:
    """A profile whose one target has these fields (inline YAML)."""
    inside = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return f"shop:\n  target: dev\n  outputs:\n    dev: {{{inside}}}\n  destinations:\n    dev: {{type: sandbox}}\n"


def destination(**fields: str) -> str:
    """A profile whose one destination has these fields."""
    inside = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return f"shop:\n  target: dev\n  outputs:\n    dev: {{type: duckdb}}\n  destinations:\n    dev: {{{inside}}}\n"


# --- where it is -------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    names = ("flag", "revetl", "engine", "dbt", "cwd", "root", "home/.dbt")
    for name in names:
        write(tmp_path / name, {"profiles.yml": "x: {}"})
    return {name: tmp_path / name for name in names}


def test_the_search_order_is_dbts(places: dict[str, Path]) -> None:
    environ = {
        "REVETL_PROFILES_DIR": str(places["revetl"]), "DBT_ENGINE_PROFILES_DIR": str(places["engine"]),
        "DBT_PROFILES_DIR": str(places["dbt"]), "HOME": str(places["home/.dbt"].parent),
    }  # fmt: skip

    def found(flag: Path | None = None) -> Path:
        return find(flag, environ, places["cwd"], places["root"]).parent

    assert found(places["flag"]) == places["flag"]
    for name, place in (("REVETL_PROFILES_DIR", "revetl"), ("DBT_ENGINE_PROFILES_DIR", "engine"), ("DBT_PROFILES_DIR", "dbt")):
        assert found() == places[place]
        del environ[name]
    for place in ("cwd", "root", "home/.dbt"):
        assert found() == places[place]
        (places[place] / "profiles.yml").unlink()
    with pytest.raises(ConfigError) as caught:
        found()
    assert caught.value.code == "RV020"
    assert all(str(places[place]) in caught.value.message for place in ("cwd", "root", "home/.dbt"))


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_an_explicit_folder_is_the_only_place(places: dict[str, Path], tmp_path: Path, how: str) -> None:
    empty = tmp_path / "empty"
    environ = {"DBT_PROFILES_DIR": str(empty)} if how == "variable" else {}
    with pytest.raises(ConfigError, match=str(empty)):
        find(empty if how == "flag" else None, environ, places["cwd"], places["root"])


# --- which target --------------------------------------------------------------------------------------------------


def test_the_order_of_targets(tmp_path: Path) -> None:
    everything = {**SECRETS, "PG_HOST": "db"}

    def name(target: str | None = None, **environ: str) -> str:
        return fine(tmp_path, BOTH, target, **everything, **environ).target.name

    assert name() == "dev"
    assert name(WHERE="prod") == "prod"
    assert name(DBT_TARGET="dev", WHERE="prod") == "dev"
    assert name(REVETL_TARGET="prod", DBT_TARGET="dev") == "prod"
    assert name("dev", REVETL_TARGET="prod") == "dev"
    nothing_said = output(type="duckdb").replace("  target: dev\n", "").replace("dev:", "default:")
    assert fine(tmp_path, nothing_said).target.name == "default"


def test_only_the_chosen_target_is_rendered(tmp_path: Path) -> None:
    """A variable that prod needs does not break dev."""
    found = fine(tmp_path, BOTH, "dev")
    assert (found.target.type, found.target.fields["path"], found.target.threads) == ("duckdb", "shop.duckdb", 2)
    assert (found.destination.type, found.destination.path) == ("sandbox", "target/dev-sandbox.db")
    _, problems = loaded(tmp_path, BOTH, "prod")
    assert [(p.code, str(p.where)) for p in problems] == [
        ("RV027", "profiles.yml:7:13"), ("RV027", "profiles.yml:10:13"), ("RV027", "profiles.yml:18:16"),
        ("RV027", "profiles.yml:19:16"),
    ]  # fmt: skip


def test_a_target_and_its_destination(tmp_path: Path) -> None:
    found = fine(tmp_path, BOTH, "prod", **SECRETS, PG_HOST="db", PG_PORT="6543", DBT_ENV_SECRET_USER="joe")
    target, sent_to = found.target, found.destination
    assert (target.type, target.schema, target.database, target.threads) == ("postgres", "analytics", "crm", 1)
    assert {k: v for k, v in target.fields.items() if k != "password"} == {
        "type": "postgres", "host": "db", "port": 6543, "user": "joe", "dbname": "crm", "schema": "analytics",
    }  # fmt: skip
    assert target.fields["password"].reveal() == "hunter22"
    assert (sent_to.type, sent_to.region) == ("customerio", "eu")
    assert [s.reveal() for s in (sent_to.site_id, sent_to.api_key, sent_to.app_api_key) if s] == [
        "site-0123", "track-4567", "app-89",
    ]  # fmt: skip
    assert sent_to.settings == {"requests_per_second": 5.0, "concurrency": 2, "identify_timestamp": True}
    assert str(target.where) == "profiles.yml:6:7"
    shown = f"{found!r} {target} {target.fields}"
    assert not any(secret in shown for secret in SECRETS.values())
    assert "joe" not in repr(found)  # a plain field from a secret variable
    assert target.shown() == {
        "name": "prod", "target_name": "prod", "profile_name": "shop", "type": "postgres", "schema": "analytics",
        "database": "crm", "dbname": "crm", "threads": 1,
    }  # fmt: skip


def test_a_target_may_name_another_destination(tmp_path: Path) -> None:
    text = BOTH.replace("threads: 2", "destination: shared")
    text = text.replace("    dev: {type: sandbox}", "    shared: {type: sandbox, path: x.db}")
    found = fine(tmp_path, text, "dev")
    assert (found.destination.name, found.destination.path, found.warnings) == ("shared", "x.db", ())


def test_merge_keys_as_many_profiles_have_them(tmp_path: Path) -> None:
    text = """\
        base: &base {type: duckdb, threads: 3}
        shop:
          target: dev
          outputs:
            dev: {<<: *base, path: a.duckdb}
          destinations:
            dev: {type: sandbox}
        """
    found = fine(tmp_path, text).target
    assert (found.type, found.threads, found.fields["path"]) == ("duckdb", 3, "a.duckdb")


def test_an_unknown_field_is_a_warning(tmp_path: Path) -> None:
    found = fine(tmp_path, output(type="duckdb", pth="x.duckdb"))
    assert found.warnings == ("profiles.yml:4:25: 'pth' is not a field of duckdb; did you mean 'path'?",)


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "profiles.yml: there is no profile 'shop' [RV021]"),
        ("- a\n", "profiles.yml:1:1: there is no profile 'shop' [RV021]"),
        ("shop: 3\n", "profiles.yml:1:7: profile 'shop' must be a mapping [RV011]"),
        ("shop: {outputs: {}}\n", "profiles.yml:1:17: profile 'shop' has no target 'default' [RV022]"),
        ("shop: {target: a}\n", "profiles.yml:1:7: profile 'shop' has no target 'a' [RV022]"),
        (output(type="duckdb").replace("target: dev", "target: dve"),
         "profiles.yml:4:5: profile 'shop' has no target 'dve'; did you mean 'dev'? [RV022]"),
        (output(type="duckdb").replace("target: dev", "target: \"{{ env_var('NO') }}\""),
         "profiles.yml:2:11: the environment variable NO is not set, and 'target' needs it [RV027]"),
        (output(type="duckdbb"),
         "profiles.yml:4:17: target 'dev' has no known `type`; did you mean 'duckdb'? [RV023]"),
        (output(path="x"), "profiles.yml:4:10: target 'dev' has no known `type` [RV023]"),
        (output(type="postgres", host="h", user="u", dbnam="d", schema="s"),
         "profiles.yml:4:10: target 'dev' (postgres) needs 'dbname'; it has 'dbnam' [RV024]"),
        (output(type="postgres", host="", user="u", dbname="d", schema="s"),
         "profiles.yml:4:33: target 'dev' (postgres) needs 'host' [RV024]"),
        (output(type="postgres", host="[a]", user="u", dbname="d", schema="s"),
         "profiles.yml:4:33: 'host' must be a text [RV011]"),
        (output(type="postgres", host="h", user="u", dbname="d", database="e", schema="s"),
         "profiles.yml:4:56: 'database' is another name of 'dbname', which is given too [RV029]"),
        (output(type="duckdb", threads="many"),
         "profiles.yml:4:34: 'threads' must be a whole number above 0 [RV011]"),
        (output(type="duckdb", threads="true"),
         "profiles.yml:4:34: 'threads' must be a whole number above 0 [RV011]"),
        (output(type="duckdb", path="\"{{ env_var('X' }}\""),
         "profiles.yml:4:31: 'path' cannot be rendered (TemplateSyntaxError) [RV028]"),
        (output(type="duckdb", path='"{{ nope }}"'),
         "profiles.yml:4:31: 'path' cannot be rendered (UndefinedError) [RV028]"),
        (output(type="duckdb").replace("dev: {type: sandbox}", "dve: {type: sandbox}"),
         "profiles.yml:6:5: target 'dev' needs a destination 'dev'; did you mean 'dve'? [RV025]"),
        (output(type="duckdb").partition("  destinations:")[0],
         "profiles.yml:4:10: target 'dev' needs a destination 'dev' [RV025]"),
        (destination(type="sandbx"),
         "profiles.yml:6:17: a destination's `type` is `sandbox` or `customerio` [RV023]"),
        (destination(type="[sandbox]"),
         "profiles.yml:6:17: a destination's `type` is `sandbox` or `customerio` [RV023]"),
        (destination(path="x"),
         "profiles.yml:6:10: a destination's `type` is `sandbox` or `customerio` [RV023]"),
        (destination(type="sandbox", regio="us"),
         "profiles.yml:6:26: unknown key 'regio' of a destination; did you mean 'region'? [RV010]"),
        (destination(type="sandbox", path="[x]"), "profiles.yml:6:32: 'path' must be a text [RV011]"),
        (destination(type="sandbox", concurrency="1.5"),
         "profiles.yml:6:39: 'concurrency' must be a whole number above 0 [RV011]"),
        (destination(type="sandbox", requests_per_second="0"),
         "profiles.yml:6:47: 'requests_per_second' must be a number above 0 [RV011]"),
        (destination(type="sandbox", requests_per_second="nan"),
         "profiles.yml:6:47: 'requests_per_second' must be a number above 0 [RV011]"),
        (destination(type="sandbox", identify_timestamp="yes"),
         "profiles.yml:6:46: 'identify_timestamp' must be true or false [RV011]"),
        (destination(type="customerio", region="de", site_id="\"{{ env_var('A') }}\"", api_key="\"{{ env_var('A') }}\""),
         "profiles.yml:6:37: `region` is `us` or `eu` [RV011]"),
        (destination(type="customerio", site_id="\"{{ env_var('A') }}\""),
         "profiles.yml:6:10: destination 'dev' needs 'api_key' [RV024]"),
        (destination(type="customerio", site_id="\"{{ env_var('A') }}\"", api_key="\"{{ env_var('EMPTY') }}\""),
         "profiles.yml:6:69: 'api_key' of destination 'dev' is empty [RV024]"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, text: str, wanted: str) -> None:
    found, problems = loaded(tmp_path, text, A="value-of-a", EMPTY="")
    assert said(problems) == [wanted]
    assert found is None
    assert "value-of-a" not in "".join(map(str, problems))


def test_messages_name_the_file_as_the_caller_does(tmp_path: Path) -> None:
    path = write(tmp_path, {"profiles.yml": "a: 1\na: 2\n"}) / "profiles.yml"
    problems: list[ConfigError] = []
    load_profile(path, "shop", None, {}, problems, name="conf/profiles.yml")
    assert [str(p.where) for p in problems] == ["conf/profiles.yml:2:1", "conf/profiles.yml:1:1"]


# --- secrets ---------------------------------------------------------------------------------------------------------

WORD = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=30)


@given(key=st.sampled_from(sorted(SECRET_KEYS)), word=WORD)
def test_a_secret_in_the_file_is_an_error_that_does_not_repeat_it(
    tmp_path_factory: pytest.TempPathFactory, key: str, word: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for written in (f"'{word}'", f"'env_var {word}'", f"'{{{{ \"{word}\" }}}}'", f"['{word}']"):
        where = destination if key in {"site_id", "api_key", "app_api_key"} else output
        fields = {"type": "sandbox" if where is destination else "redshift", key: written}
        found, problems = loaded(folder, where(**fields))
        assert found is None
        assert problems[0].code == "RV026"
        assert {p.code for p in problems} <= {"RV026", "RV011", "RV024", "RV421"}  # and a host and more is missing
        assert word not in "".join(str(p) + p.hint for p in problems)


@pytest.mark.parametrize("sign", ["!", "*", "&", "%", "@", "!!", "'", "{", "`"])
def test_a_password_that_is_no_yaml_is_not_repeated(tmp_path: Path, sign: str) -> None:
    text = f"shop:\n  target: dev\n  outputs:\n    dev:\n      type: postgres\n      password: {sign}hunter22\n"
    found, problems = loaded(tmp_path, text)
    assert found is None
    assert problems
    assert "hunter22" not in "".join(map(str, problems))


def test_a_secret_shows_stars_only() -> None:
    secret = Secret("hunter22")
    assert {repr(secret), str(secret), f"{secret}", f"{[secret]}"} == {"*****", "[*****]"}
    assert secret.reveal() == "hunter22"
    assert secret == Secret("hunter22")
    assert secret != Secret("hunter2")
    assert secret != "hunter22"
    assert len({secret, Secret("hunter22")}) == 1


def test_secret_variables_are_put_in_after_filters(tmp_path: Path) -> None:
    """No filter takes a part of one, and none changes it."""
    environ = {"DBT_ENV_SECRET_A": "Hunter22", "REVETL_ENV_SECRET_B": "Second99", "PLAIN": "Plain"}
    assert rendered("{{ env_var('DBT_ENV_SECRET_A') }}-{{ env_var('REVETL_ENV_SECRET_B') }}", environ) == "Hunter22-Second99"
    for template in ("{{ env_var('DBT_ENV_SECRET_A')[:4] }}", "{{ env_var('DBT_ENV_SECRET_A') | lower }}",
                     "{{ env_var('DBT_ENV_SECRET_A') | list }}"):  # fmt: skip
        assert "unter" not in str(rendered(template, environ))
    assert rendered("{{ env_var('PLAIN') | lower }}", environ) == "plain"


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ env_var('N') }}", "42"), ("{{ env_var('N') | int }}", 42), ("{{ env_var('N') | as_number }}", 42),
        ("{{ env_var('F') | as_number }}", 1.5), ("{{ env_var('T') | as_bool }}", True),
        ("{{ env_var('NO', 'false') | as_bool }}", False),
        ("{{ env_var('L') | as_native }}", ["a", 1]), ("{{ env_var('N') | as_native }}", 42),
        ("{{ env_var('X') | as_native }}", "{{ nope }}"),
        ("x{{ env_var('N') | int }}", "x42"), ("{{ env_var('X') }}", "{{ nope }}"), ("{{ env_var('NO', 'd') }}", "d"),
    ],
)  # fmt: skip
def test_values_are_typed_by_filters(template: str, value: Any) -> None:
    environ = {"N": "42", "F": "1.5", "T": "True", "L": "['a', 1]", "X": "{{ nope }}"}
    found = rendered(template, environ)
    assert found == value
    assert type(found) is type(value)


def test_templates_are_sandboxed_and_variables_must_be_set() -> None:
    with pytest.raises(MissingVariable):
        rendered("{{ env_var('NO') }}", {})
    for template in ("{{ env_var.__globals__ }}", "{{ ''.__class__.__mro__ }}", "{{ env_var('T') | as_bool }}"):
        with pytest.raises(Exception, match=r"unsafe|^$|undefined|more Jinja"):
            rendered(template, {"T": "maybe"})
