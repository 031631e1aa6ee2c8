"""What names mean: read from the files, folded, and matched with the common words of shops."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.contracts import Ignore, Role
from revetl.project import load
from revetl.taxonomy import (
    ATTRIBUTE_WORDS,
    EVENT_WORDS,
    PROPERTY_WORDS,
    Meanings,
    Taxonomy,
    Term,
    alike,
    event_meanings,
    fold,
    role_of,
    role_of_event,
    term_of,
    words,
)
from tests.unit.project_files import SHOP, problems, said, shop, write

TAXONOMY = """\
version: 1
taxonomy:
  events:
    Order Completed: {role: purchase, owner: retention, description: d, journeys: [Winback], synonyms: [Bought]}
    Newsletter Opened:
  properties:
    value: {synonyms: [total]}
  attributes:
    lifetime_value: {synonyms: [ltv], ignore: {RV315: the model follows}}
  ignore:
    RV316: owners stand in the wiki
"""


def declared(**events: Term) -> Taxonomy:
    """A taxonomy of events."""
    return Taxonomy(events={term.name: term for term in events.values()})


# --- the files -------------------------------------------------------------------------------------------------------


def test_a_file_of_its_own_declares_the_names(tmp_path: Path) -> None:
    project = shop(tmp_path, {"syncs/taxonomy.yml": TAXONOMY})
    order = project.taxonomy.events["Order Completed"]
    assert (order.role, order.owner, order.journeys, order.synonyms) == (Role.PURCHASE, "retention", ("Winback",), ("Bought",))
    assert str(order.where) == "syncs/taxonomy.yml:4:5"
    assert project.taxonomy.events["Newsletter Opened"] == Term(name="Newsletter Opened")
    assert list(project.taxonomy.properties) == ["value"]
    assert project.taxonomy.attributes["lifetime_value"].ignore == (Ignore(code="RV315", reason="the model follows"),)
    assert project.taxonomy.ignore == (Ignore(code="RV316", reason="owners stand in the wiki"),)
    assert role_of(project, project.syncs["orders"]) is Role.PURCHASE
    assert role_of(project, project.syncs["people"]) is None


def test_several_files_add_up_and_a_project_without_one_is_fine(tmp_path: Path) -> None:
    assert shop(tmp_path).taxonomy == Taxonomy()
    more = "version: 1\ntaxonomy: {events: {Order Refunded: {}}}\n"
    project = shop(tmp_path, {"syncs/taxonomy.yml": TAXONOMY, "syncs/zz.yml": more})
    assert list(project.taxonomy.events) == ["Order Completed", "Newsletter Opened", "Order Refunded"]


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    wrong = """\
    version: 1
    taxonomy:
      events:
        Order Completed: {rolle: purchase, synonyms: [Bought, Checked Out]}
        order_completed: {}
        Cart: {role: trolley}
        Paid: {synonyms: [bought]}
      properties: [value]
      ignore: {RV399: why, RV300: "  ", RV301: 7}
    """
    write(tmp_path, {**SHOP, "syncs/taxonomy.yml": wrong})
    assert said(problems(load, tmp_path, environ={"HOME": str(tmp_path)})) == [
        "syncs/taxonomy.yml:4:23: unknown key 'rolle'; did you mean 'role'? [RV010]",
        "syncs/taxonomy.yml:5:5: 'order_completed' stands for 'Order Completed' already, at syncs/taxonomy.yml:4:5: "
        "a name means one thing [RV342]",
        "syncs/taxonomy.yml:6:18: 'role' must be one of purchase, refund, cart, checkout, view, other [RV011]",
        "syncs/taxonomy.yml:7:23: 'bought' stands for 'Order Completed' already, at syncs/taxonomy.yml:4:51: "
        "a name means one thing [RV342]",
        "syncs/taxonomy.yml:8:15: 'properties' must be a mapping [RV011]",
        "syncs/taxonomy.yml:9:12: there is no finding 'RV399' to ignore here; did you mean 'RV339'? [RV340]",
        "syncs/taxonomy.yml:9:24: RV300 is ignored without a reason [RV341]",
        "syncs/taxonomy.yml:9:37: RV301 is ignored without a reason [RV341]",
    ]


def test_a_name_is_declared_in_one_file(tmp_path: Path) -> None:
    again = "version: 1\ntaxonomy: {attributes: {lifetime_value: {}}}\n"
    write(tmp_path, {**SHOP, "syncs/taxonomy.yml": TAXONOMY, "syncs/zz.yml": again})
    (problem,) = said(problems(load, tmp_path, environ={"HOME": str(tmp_path)}))
    assert problem.startswith("syncs/zz.yml:2:25: 'lifetime_value' stands for 'lifetime_value' already")


def test_an_ignore_does_not_change_what_is_sent_or_kept(tmp_path: Path) -> None:
    """It is for people: no row is sent again because of it."""
    plain = shop(tmp_path / "a").syncs["orders"]
    files = {"syncs/orders.yml": SHOP["syncs/orders.yml"].replace("required: true}", "required: true, ignore: {RV308: x}}")}
    silenced = shop(tmp_path / "b", files).syncs["orders"]
    assert silenced.fields[0].ignore
    assert silenced == plain
    assert silenced.contract_digest() == plain.contract_digest()


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling", ["order_completed", "orderCompleted", "OrderCompleted", "ORDER-COMPLETED", " order  completed"]
)
def test_spellings_of_one_name(spelling: str) -> None:
    assert fold(spelling) == "ordercompleted"
    assert words(spelling) == ("order", "completed")
    assert alike(spelling, "Order Completed")
    assert alike(spelling, "Completed Order")


@pytest.mark.parametrize(("one", "other"), [("value", "values"), ("Order Completed", "Order Refunded"), ("!", "?"), ("a1", "a2")])
def test_names_that_are_two(one: str, other: str) -> None:
    assert not alike(one, other)


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(name: str) -> None:
    assert fold(fold(name)) == fold(name)


@given(st.lists(st.text("abcxyzäöß0189", min_size=1, max_size=8), min_size=1, max_size=5))
def test_case_and_separators_never_matter(parts: list[str]) -> None:
    spellings = {"_".join(parts), "-".join(parts), " ".join(parts), " ".join(parts).upper(), " ".join(parts).title()}
    assert len({fold(spelling) for spelling in spellings}) == 1


@given(st.text("ab_- AB", max_size=12), st.text("ab_- AB", max_size=12))
def test_alike_is_mutual(one: str, other: str) -> None:
    assert alike(one, other) == alike(other, one)


def test_the_common_words_are_each_in_one_group_only() -> None:
    for groups in (tuple(EVENT_WORDS.values()), PROPERTY_WORDS, ATTRIBUTE_WORDS):
        folded = [fold(word) for group in groups for word in group]
        assert sorted(folded) == sorted(set(folded))


def test_what_is_declared_wins_over_the_common_words() -> None:
    assert event_meanings(Taxonomy()).of("Begin Checkout") == "Checkout Started"
    taxonomy = declared(a=Term(name="Checkout Begun"), b=Term(name="Begin Checkout"))
    assert event_meanings(taxonomy).of("Begin Checkout") == "Begin Checkout"
    assert event_meanings(taxonomy).of("checkout_begun") == "Checkout Begun"
    assert event_meanings(declared(a=Term(name="Begin Checkout"))).of("Checkout Started") == "Begin Checkout"
    assert Meanings({}, PROPERTY_WORDS).of("orderTotal") == "value"


def test_roles_by_declaration_by_synonym_and_by_common_name() -> None:
    taxonomy = declared(
        a=Term(name="Paid", role=Role.PURCHASE, synonyms=("Bezahlt",)), b=Term(name="Purchase", role=Role.OTHER),
        c=Term(name="refund"),
    )  # fmt: skip
    assert role_of_event(taxonomy, "Paid") is Role.PURCHASE
    assert role_of_event(taxonomy, "bezahlt") is Role.PURCHASE
    assert role_of_event(taxonomy, "Purchase") is Role.OTHER
    assert role_of_event(taxonomy, "Order Refunded") is Role.REFUND
    assert role_of_event(taxonomy, "Newsletter Opened") is None
    assert role_of_event(Taxonomy(), "placed_order") is Role.PURCHASE
    assert term_of(taxonomy, "BEZAHLT") is taxonomy.events["Paid"]
    assert term_of(taxonomy, "Newsletter Opened") is None
