"""The block `identity:`: declared once, and every sync sends what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from revetl.contracts import IdentifierKind, Identity, UnknownPerson
from tests.unit.project_files import ORDERS, PEOPLE, event_yaml, problems, said, shop

ID = "identity: {primary: id}\n"


def test_a_project_without_the_block_has_the_defaults(tmp_path: Path) -> None:
    sync = shop(tmp_path).syncs["people"]
    assert sync.identity == Identity()
    assert sync.second is sync.named("email")


def test_the_block_of_one_file_holds_for_the_syncs_of_all(tmp_path: Path) -> None:
    found = shop(tmp_path, {"syncs/orders.yml": ORDERS + ID})
    assert [s.identity.primary for s in found.syncs.values()] == [IdentifierKind.ID] * 2
    assert all(s.identity.declared for s in found.syncs.values())


def test_the_e_mail_of_people_is_normalised_unless_its_field_says_otherwise(tmp_path: Path) -> None:
    assert shop(tmp_path, {"syncs/people.yml": PEOPLE + ID}).syncs["people"].fields[0].normalize == "email"
    own = PEOPLE.replace("format: email}", "format: email, normalize: trim}") + ID
    assert shop(tmp_path, {"syncs/people.yml": own}).syncs["people"].fields[0].normalize == "trim"


def test_two_blocks_are_one_too_many(tmp_path: Path) -> None:
    found = problems(shop, tmp_path, {"syncs/people.yml": PEOPLE + ID, "syncs/orders.yml": ORDERS + ID})
    assert said(found) == [
        "syncs/people.yml:11:11: the project's `identity` is declared already at syncs/orders.yml:13:11 [RV074]"
    ]


def test_every_sync_sends_exactly_the_declared_identifier(tmp_path: Path) -> None:
    found = problems(shop, tmp_path, {
        "syncs/people.yml": PEOPLE.replace("identify_by: {id:", "identify_by: {cio_id:") + ID,
        "syncs/orders.yml": ORDERS.replace("{id: customer_id,", "{email: customer_id,"),
    })  # fmt: skip
    assert said(found) == [
        "syncs/orders.yml:8:13: sync 'orders' names people by email, and the project's identifier is id "
        "(syncs/people.yml:11:11) [RV075]",
        "syncs/people.yml:7:18: sync 'people' names people by cio_id, and the project's identifier is id "
        "(syncs/people.yml:11:11) [RV075]",
    ]


def test_without_the_block_person_syncs_agree_at_least(tmp_path: Path) -> None:
    other = PEOPLE.replace("name: people", "name: others").replace("people01", "others01").replace("{id:", "{cio_id:")
    found = problems(shop, tmp_path, {"syncs/zz.yml": other})
    assert said(found) == [
        "syncs/zz.yml:7:18: sync 'others' names people by cio_id, and sync 'people' by id: they would make two profiles of "
        "one person [RV076]"
    ]


@pytest.mark.parametrize(("block", "line"), [
    ("identity: {}", "11:11: `identity` needs `primary`: the one identifier that every sync sends [RV013]"),
    ("identity: {primry: id}", "11:12: unknown key 'primry'; did you mean 'primary'? [RV010]"),
    ("identity: {primary: phone}", "11:21: 'primary' must be one of id, email, cio_id [RV011]"),
    ("identity: id", "11:11: 'identity' must be a mapping [RV011]"),
])  # fmt: skip
def test_what_is_wrong_in_the_block_is_said_with_its_place(tmp_path: Path, block: str, line: str) -> None:
    assert f"syncs/people.yml:{line}" in said(problems(shop, tmp_path, {"syncs/people.yml": PEOPLE + block + "\n"}))


def test_events_may_create_their_people_where_the_sync_says_so(tmp_path: Path) -> None:
    assert shop(tmp_path).syncs["orders"].unknown_person is UnknownPerson.HOLD
    orders = event_yaml(unknown_person="create")
    assert shop(tmp_path, {"syncs/orders.yml": orders}).syncs["orders"].unknown_person is UnknownPerson.CREATE
