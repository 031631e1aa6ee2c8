"""dbt's selection grammar: which syncs a selector means."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.compiler import Compiled
from revetl.errors import ConfigError, ExitCode
from revetl.selection import select
from tests.unit.project_files import compiled, event_yaml, person_yaml

# raw.orders -> base -> people    -> sync people (tag daily)
#                    -> orders    -> sync purchases (tags daily, money), waits for people
#               other -> guests   -> sync guests
ALL = ("guests", "people", "purchases")  # people first, and in the order of files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compiled(tmp_path_factory.mktemp("shop"), {
        "models/raw.yml": "sources:\n  - name: raw\n    tables: [{name: orders}]\n",
        "models/base.sql": "select * from {{ source('raw', 'orders') }}",
        "models/people.sql": "select * from {{ ref('base') }}",
        "models/orders.sql": None,
        "models/marts/orders.sql": "{{ config(tags=['mart']) }}select * from {{ ref('base') }}",
        "models/other.sql": "select 1 as customer_id",
        "models/guests.sql": "select * from {{ ref('other') }}",
        "syncs/people.yml": person_yaml("{email: string}", tags="[daily]"),
        "syncs/orders.yml": None,
        "syncs/money/purchases.yml": event_yaml(name="purchases", tags="[daily, money]"),
        "syncs/guests.yml": person_yaml("{email: string}", name="guests", uid="guests01", model="ref('guests')"),
        "syncs/off.yml": person_yaml("{email: string}", name="off", uid="offoff01", model="ref('guests')", enabled="false"),
    })  # fmt: skip


def test_without_a_selector_all_enabled_syncs_in_the_order_of_work(made: Compiled) -> None:
    assert select(made) == ALL


@pytest.mark.parametrize(
    ("term", "wanted"),
    [
        ("people", "people"),
        ("sync:people", "people"),
        ("sync:p*", "people purchases"),
        ("guests", "guests"),
        ("orders", "purchases"),  # a model stands for the syncs that read it
        ("base", ""),  # nobody reads it directly
        ("base+", "people purchases"),
        ("base+1", ""),  # its children are models
        ("base+2", "people purchases"),
        ("raw.orders+", "people purchases"),
        ("source:raw+", "people purchases"),
        ("+purchases", "people purchases"),  # its people go before it
        ("people+", "people purchases"),
        ("other+", "guests"),
        ("@other", "guests"),
        ("@base", "people purchases"),
        ("p*", "people purchases"),
        ("nothing*", ""),
        ("tag:daily", "people purchases"),
        ("tag:money", "purchases"),
        ("tag:mart", "purchases"),
        ("tag:dai*", "people purchases"),
        ("path:syncs/money", "purchases"),
        ("syncs/money/", "purchases"),
        ("path:models/marts", "purchases"),
        ("path:syncs/*.yml", "people guests purchases"),
        ("file:purchases.yml", "purchases"),
        ("file:purchases", "purchases"),
        ("type:person", "people guests"),
        ("type:event", "purchases"),
        ("path:syncs/people.yml", "people"),  # not the events that wait for them
        ("tag:daily,path:syncs/people.yml", "people"),
        ("tag:daily,type:event", "purchases"),
        ("tag:money,type:person", ""),
        ("guests purchases", "guests purchases"),
        ("tag:daily,type:event guests", "guests purchases"),
    ],
)
def test_what_a_selector_means(made: Compiled, term: str, wanted: str) -> None:
    assert select(made, [term]) == tuple(name for name in ALL if name in wanted.split())


def test_a_name_that_is_a_syncs_means_that_sync_and_not_its_models_other_readers(tmp_path: Path) -> None:
    vips = person_yaml("{email: string}", name="vips", uid="vips0001")
    both = compiled(tmp_path, {"syncs/vips.yml": vips})
    assert select(both, ["people"]) == ("people",)
    assert select(both, ["sync:people"]) == ("people",)
    assert select(both, ["path:models/people.sql"]) == ("people", "vips")


def test_flags_are_a_union_and_exclude_takes_away(made: Compiled) -> None:
    assert select(made, ["purchases", "people"]) == ("people", "purchases")
    assert select(made, [], ["guests"]) == ("people", "purchases")
    assert select(made, ["tag:daily"], ["type:event"]) == ("people",)
    assert select(made, ["people"], ["people", "guests"]) == ()


@pytest.mark.parametrize(
    ("term", "wanted"),
    [
        ("poeple", "did you mean 'people'?"),
        ("+purchase+", "did you mean 'purchases'?"),
        ("tag:dialy", "did you mean 'daily'?"),
        ("path:syncs/mony", "matches nothing"),
        ("file:nobody.yml", "matches nothing"),
        ("type:persons", "did you mean 'person'?"),
        ("tga:daily", "there is no method 'tga'; did you mean 'tag'?"),
        ("people poeple", "did you mean 'people'?"),
        ("people,poeple", "did you mean 'people'?"),
        ("", "the selector is empty"),
        ("  ", "the selector is empty"),
        ("+", "is no selector"),
        ("off", "is not enabled"),
    ],
)
@pytest.mark.parametrize("exclude", [False, True])
def test_what_is_written_out_and_not_there_is_a_mistake(made: Compiled, term: str, wanted: str, *, exclude: bool) -> None:
    with pytest.raises(ConfigError) as found:
        select(made, [] if exclude else [term], [term] if exclude else [])
    assert wanted in str(found.value)
    assert found.value.exit_code is ExitCode.USAGE


TERMS = ("people", "guests", "purchases", "base+", "tag:daily", "type:event", "p*", "@other")


@given(chosen=st.lists(st.sampled_from(TERMS), min_size=1, max_size=4), away=st.lists(st.sampled_from(TERMS), max_size=3))
def test_selections_are_sets(made: Compiled, chosen: list[str], away: list[str]) -> None:
    each = {term: set(select(made, [term])) for term in TERMS}
    wanted = set().union(*(each[term] for term in chosen))
    gone = set().union(*(each[term] for term in away))
    got = select(made, chosen, away)
    assert got == tuple(name for name in ALL if name in wanted - gone)
    assert got == select(made, [" ".join(chosen)], away)


def test_a_comma_is_an_intersection(made: Compiled) -> None:
    for one, other in product(TERMS[:6], repeat=2):
        both = set(select(made, [one])) & set(select(made, [other]))
        assert set(select(made, [f"{one},{other}"])) == both


@given(term=st.text(alphabet="+@:,*0123 peoltagbs./", max_size=12))
def test_any_text_is_a_selector_or_a_mistake(made: Compiled, term: str) -> None:
    try:
        assert set(select(made, [term])) <= set(ALL)
    except ConfigError as mistake:
        assert mistake.code in {"RV070", "RV071"}  # noqa: PT017 one of two ends


def test_the_files_stay_as_they_are(tmp_path: Path, made: Compiled) -> None:
    before = dict(made.parents)
    select(made, ["base+"], ["@other"])
    assert dict(made.parents) == before
