"""Where the state may be kept, and what is said where it would not stay."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from revetl import ci
from revetl.carried import fits as kept_whole
from revetl.elsewhere import open_elsewhere, read_columns
from revetl.errors import ConfigError, WarehouseError, Where
from revetl.profiles import Elsewhere, Secret, keys_of, state_fields
from revetl.warehouse import open_warehouse
from tests.suites.world import orders_sync, people_sync
from tests.unit.project_files import PROFILES, problems, shop

URL = "postgresql://me:s3cret%21@db.example.com:6432/kept?sslmode=require"


def profile(state: str) -> dict[str, str]:
    return {"profiles.yml": PROFILES.replace("path: shop.duckdb}", f"path: shop.duckdb, state: {state}}}")}


def test_a_file_and_a_url_from_the_environment_are_read(tmp_path: Path) -> None:
    file = shop(tmp_path, profile("{in: state/kept.duckdb}")).target.state
    project = shop(tmp_path, profile("{in: \"{{ env_var('URL') }}\"}"), environ={"HOME": str(tmp_path), "URL": URL})
    kept = project.target.state

    assert file is not None
    assert (file.kind, dict(file.fields)) == ("duckdb", {"path": "state/kept.duckdb"})
    assert kept is not None
    assert kept.kind == "postgres"
    assert dict(kept.fields) == {
        "host": "db.example.com", "port": 6432, "user": "me", "dbname": "kept", "sslmode": "require",
        "password": Secret("s3cret!"),
    }  # fmt: skip
    assert "s3cret" not in repr(project)
    assert "s3cret!" in keys_of(project.target, project.destination)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (f"{{in: '{URL}'}}", "RV026"), ("{in: ':memory:'}", "RV480"), ("{in: shop.duckdb}", "RV480"),
        ("{in: 'mysql://x/y'}", "RV480"),
        ("{in: 'postgresql://host'}", "RV480"), ("{in: 'postgresql://h/d?sslmod=x'}", "RV480"), ("{}", "RV480"),
        ("{in: a.duckdb, schema: x}", "RV010"), ("a.duckdb", "RV011"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_keep_it_is_refused_without_its_password(tmp_path: Path, state: str, code: str) -> None:
    found = problems(shop, tmp_path, profile(state))

    assert [problem.code for problem in found] == [code]
    assert "s3cret" not in str(found[0])
    assert found[0].where is not None
    assert found[0].where.line == 4


def test_a_url_that_is_none_is_no_crash() -> None:
    assert state_fields("postgresql://h:port/d")[2]


def test_runners_that_forget_are_told_before_anything_is_sent() -> None:
    runner = {"GITHUB_ACTIONS": "true", "CI": "true"}
    on = ci.vanishing(runner, container=Path("/none"))

    with pytest.raises(ConfigError) as refused:
        ci.may_begin("state.duckdb", runner, memory=False, real=True, on=on)

    assert refused.value.code == "RV482"
    assert "GitHub Actions" in refused.value.message
    assert ci.NEW_STATE in refused.value.hint
    assert "send everything again" in ci.may_begin("state.duckdb", runner, memory=False, real=False, on=on)
    assert ci.may_begin("state.duckdb", {**runner, ci.NEW_STATE: "1"}, memory=False, real=True, on=on) == ""
    assert ci.vanishing({"CI": "false"}, container=Path("/none")) == ""
    assert ci.vanishing({}, container=Path("/")) == "a container"
    with pytest.raises(ConfigError):  # in memory nothing stays anywhere
        ci.may_begin(":memory:", {ci.NEW_STATE: "1"}, memory=True, real=True)


def test_a_place_that_cannot_be_reached_is_told_where_it_is_declared(tmp_path: Path) -> None:
    source = open_warehouse("duckdb", {"path": ":memory:"}, root=tmp_path)
    nowhere = Elsewhere(kind="postgres", fields={"host": "127.0.0.1", "port": 1, "user": "me", "dbname": "kept"},
                        where=Where(file="profiles.yml", line=7, column=9))  # fmt: skip
    with closing(open_elsewhere(source, nowhere, root=tmp_path, read_only=True)) as opened, pytest.raises(WarehouseError) as told:
        opened.fetch(sa.text("SELECT 1"))
    assert "profiles.yml:7:9: the warehouse refused connect" in str(told.value)
    assert told.value.hint


def test_only_columns_that_a_sync_reads_leave_the_warehouse() -> None:
    assert read_columns(people_sync()) == {"id", "email", "plan", "spent"}
    assert read_columns(orders_sync()) == {"order_id", "person", "bought_at", "value"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [("0", True), ("-12.5", True), ("1.000000000000000000000", True), ("0.1234567890123456789", False), ("9" * 20, True),
     ("9" * 21, False), ("NaN", False), ("Infinity", False)],
)  # fmt: skip
def test_a_decimal_is_never_rounded(text: str, fits: bool) -> None:
    assert kept_whole(text, 18) is fits
