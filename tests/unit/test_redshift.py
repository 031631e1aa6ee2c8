"""Redshift without a connection: its forms of what others have words for, and what the driver is called with."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from revetl.dialects import Kind, Merge
from revetl.errors import ConfigError
from revetl.on_redshift import REDSHIFT, connect_arguments, described, merge_parts, problem
from revetl.profiles import Secret
from revetl.redshift_dialect import Redshift
from revetl.warehouse import open_warehouse

T = sa.table("t", sa.column("a", sa.Text), sa.column("b", sa.Boolean), sa.column("n", sa.BigInteger))
BASE = {"host": "h.eu-west-1.redshift.amazonaws.com", "port": 5439, "dbname": "d", "schema": "s"}


def written(clause: Any) -> str:
    return " ".join(str(clause.compile(dialect=Redshift(), compile_kwargs={"literal_binds": True})).split())


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        (T.c.a.is_distinct_from(T.c.n),
         "(CASE WHEN t.a IS NULL THEN t.n IS NOT NULL WHEN t.n IS NULL THEN TRUE ELSE t.a <> t.n END)"),
        (sa.cast(T.c.a, sa.Text), "CAST(t.a AS VARCHAR(65535))"),
        (sa.cast(T.c.b, sa.Text), "(CASE WHEN t.b THEN 'true' WHEN NOT t.b THEN 'false' END)"),
        (sa.collate(T.c.a, "default"), "t.a"),
        (sa.func.trim(T.c.a, "x"), "BTRIM(t.a, 'x')"),
        (sa.func.concat(T.c.a, ":", T.c.a), "(t.a || ':' || t.a)"),
        (sa.func.regexp_replace(T.c.a, "x", "", "g"), "REGEXP_REPLACE(t.a, 'x', '')"),
        (T.c.n / 1000, "t.n / CAST(1000 AS NUMERIC(18, 0))"),
    ],
)  # fmt: skip
def test_forms(clause: Any, text: str) -> None:
    assert written(clause) == text


@pytest.mark.parametrize("clause", [sa.cast(T.c.n, sa.Numeric()), sa.func.to_json(T.c.a)])
def test_what_redshift_cannot_do_is_refused(clause: Any) -> None:
    with pytest.raises(ConfigError, match="revetl cannot do it on Redshift") as caught:
        written(clause)
    assert caught.value.code == "RV425"


def test_a_merge_is_four_statements_on_a_frozen_source() -> None:
    target = sa.Table("state__x", sa.MetaData(), sa.Column("_key", sa.Text), sa.Column("v", sa.Text), schema="st")
    source = sa.select(T.c.a.label("_key"), T.c.a.label("v"), T.c.b.label("_gone"))
    merge = Merge(target, source, on=["_key"], update=["v"], insert=["_key", "v"], delete_when="_gone")
    assert [written(part) for part in merge_parts(merge)] == [
        "CREATE TEMP TABLE merge__state__x AS SELECT t.a AS _key, t.a AS v, t.b AS _gone FROM t",
        'DELETE FROM st.state__x USING merge__state__x WHERE st.state__x._key = merge__state__x."_key" '
        'AND merge__state__x."_gone"',
        'UPDATE st.state__x SET v=merge__state__x."v" FROM merge__state__x WHERE st.state__x._key = merge__state__x."_key" '
        'AND NOT merge__state__x."_gone"',
        'INSERT INTO st.state__x (_key, v) SELECT merge__state__x."_key", merge__state__x."v" FROM merge__state__x '
        'WHERE NOT merge__state__x."_gone" AND NOT (EXISTS (SELECT * FROM st.state__x '
        'WHERE st.state__x._key = merge__state__x."_key"))',
        "DROP TABLE merge__state__x",
    ]


def test_types_of_columns_have_their_digits() -> None:
    """The driver's description leaves them out; its row description has them."""
    cursor = SimpleNamespace(
        description=[("a", 1700), ("b", 1043), ("c", 4000), ("d", 9999)],
        ps={"row_desc": [{"type_modifier": ((38 << 16) | 6) + 4}, {"type_modifier": 260}, {}, {"type_modifier": -1}]},
    )
    assert described(cursor) == [("a", "numeric(38,6)"), ("b", "varchar"), ("c", "super"), ("d", "type 9999")]
    kinds = [REDSHIFT.kind_of(native) for _, native in described(cursor)]
    assert kinds == [(Kind.DECIMAL, 6), (Kind.TEXT, None), (Kind.NESTED, None), (Kind.OTHER, None)]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"user": "u", "password": Secret("p")}, {"user": "u", "password": "p", "ssl": True, "sslmode": "verify-ca"}),
        ({"user": "u", "password": Secret("p"), "sslmode": "disable"}, {"ssl": False}),
        ({"user": "u", "password": Secret("p"), "sslmode": "verify-full"}, {"sslmode": "verify-full"}),
        ({"method": "iam", "user": "alice", "cluster_id": "c", "iam_profile": "analyst"},
         {"iam": True, "db_user": "alice", "cluster_identifier": "c", "profile": "analyst", "user": ""}),
        ({"method": "iam", "user": "alice", "cluster_id": "c", "access_key_id": "AK", "secret_access_key": Secret("s")},
         {"access_key_id": "AK", "secret_access_key": "s", "db_user": "alice"}),
        ({"method": "iam_role", "cluster_id": "c"}, {"iam": True, "db_user": None, "group_federation": True}),
        ({"method": "iam_role", "is_serverless": True},
         {"cluster_identifier": None, "group_federation": False, "is_serverless": True}),
        ({"method": "browser_identity_center", "idc_region": "r", "issuer_url": "https://x"},
         {"iam": False, "credentials_provider": "BrowserIdcAuthPlugin", "listen_port": 7890, "cluster_identifier": None}),
    ],
)  # fmt: skip
def test_the_driver_is_called_as_dbt_redshift_calls_it(fields: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = connect_arguments({**BASE, **fields})
    assert {key: found[key] for key in wanted} == wanted
    assert found["database"] == "d"


def test_a_way_that_asks_a_third_party_for_a_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="oauth_token_identity_center"):
        connect_arguments({**BASE, "method": "oauth_token_identity_center", "token_endpoint": {}})


def test_errors_repeat_names_and_no_values() -> None:
    named = {"S": "ERROR", "C": "42P01", "M": 'relation "x" does not exist'}
    valued = {"S": "ERROR", "C": "22P02", "M": "bad 'ann@x'"}
    assert problem(RuntimeError(named), "") == ('RuntimeError (42P01): relation "x" does not exist', 0)
    assert problem(RuntimeError(valued), "") == ("RuntimeError (22P02)", 0)
    assert problem(RuntimeError("ann@x"), "") == ("RuntimeError", 0)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redshift_connector", None)
    with pytest.raises(ConfigError) as caught:
        open_warehouse("redshift", BASE, root=Path())
    assert (caught.value.code, caught.value.hint) == ("RV424", "pip install 'revetl[redshift]'")
