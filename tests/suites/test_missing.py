"""What each warehouse says of something that is not there, which decides whether dbt has to build it."""

from __future__ import annotations

import pytest

from revetl.dbtchecks import is_missing
from revetl.errors import WarehouseError
from tests.suites.world import World


@pytest.mark.parametrize("relation", ["absent", "nowhere.absent"])
def test_a_relation_that_is_not_there_is_told_from_other_problems(world: World, relation: str) -> None:
    warehouse = (world.source or world.connect)()
    try:
        with pytest.raises(WarehouseError) as caught:
            warehouse.columns(f"SELECT * FROM {relation}")
    finally:
        warehouse.close()
    assert is_missing(caught.value.message)
    assert relation.partition(".")[0] in caught.value.message.lower(), "by which it is found among dbt's models"


def test_a_column_that_is_not_there_is_no_missing_relation(world: World) -> None:
    warehouse = (world.source or world.connect)()
    try:
        with pytest.raises(WarehouseError) as caught:
            warehouse.columns("SELECT absent FROM people")
    finally:
        warehouse.close()
    assert not is_missing(caught.value.message)
