"""Addresses: one rule, the same bytes in Python and on every engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from revetl.identity import BLANKS, email_sql, normal_email
from revetl.warehouse import Warehouse
from tests.suites.world import duckdb_world, postgres_world

SPELLINGS = {
    " Ann@Example.COM ": "ann@example.com",
    "\u00a0bo@x.com\u200b\ufeff": "bo@x.com",
    "\tno@x.com\r\n": "no@x.com",
    "A.b+C@Gmail.com": "a.b+c@gmail.com",
    "ANDRE\u0301@CAFE\u0301.FR": "andré@café.fr",
    "André@Café.fr": "andré@café.fr",
    "JÖRG@BÜCHER.DE": "jörg@bücher.de",
    "ΣΊΣΥΦΟΣ@Ελ.gr": "σίσυφοσ@ελ.gr",
    "ИВАН@ПОЧТА.РФ": "иван@почта.рф",
    "I@X.COM": "i@x.com",
    "\u0130@x.com": "\u0130@x.com",  # the small form of the Turkish letter is two characters
    "\u212a@x.com": "k@x.com",  # the Kelvin sign is a K
    "STRASSE@x.de": "strasse@x.de",
    "ﬁ@x.com": "ﬁ@x.com",
    "o'neil@x.com": "o'neil@x.com",
    "a b@x.com": "a b@x.com",
    "": "",
    " \u200b ": "",
}


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    if request.param == "duckdb":
        world = duckdb_world(tmp_path_factory.mktemp("addresses"))
    else:
        world = postgres_world(request.getfixturevalue("postgres_uri"), "addresses")
    with world as connect:
        opened = connect()
        yield opened
        opened.close()


def in_sql(warehouse: Warehouse, texts: list[str]) -> list[str]:
    rows = sa.values(sa.column("n", sa.Integer), sa.column("t", sa.Text), name="v").data(list(enumerate(texts)))
    found = warehouse.fetch(sa.select(email_sql(warehouse.dialect, rows.c.t)).select_from(rows).order_by(rows.c.n))
    return [text for (text,) in found]


@pytest.mark.parametrize(("given_as", "sent_as"), SPELLINGS.items())
def test_an_address_has_one_spelling(given_as: str, sent_as: str) -> None:
    assert normal_email(given_as) == sent_as


def test_sql_and_python_write_the_same_bytes(warehouse: Warehouse) -> None:
    assert in_sql(warehouse, list(SPELLINGS)) == list(SPELLINGS.values())


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\x00", max_codepoint=0x2FFF), max_size=12)


@given(st.lists(TEXT, min_size=1, max_size=30))
def test_sql_and_python_write_the_same_bytes_for_any_text(warehouse: Warehouse, texts: list[str]) -> None:
    assert in_sql(warehouse, texts) == [normal_email(text) for text in texts]


@given(TEXT)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normal_email(text)
    assert normal_email(once) == once
    assert once == once.strip(BLANKS)
