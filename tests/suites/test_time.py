"""Events in time: flagged when they come late, measured, and filled in from the past."""

from __future__ import annotations

from typing import Any

from revetl.contracts import Late
from revetl.errors import ExitCode
from tests.suites.world import World, orders_sync, people_sync


def data(world: World, person: str) -> dict[str, Any]:
    """What each event of a person carries, by its order."""
    activities = world.api(f"/v1/activities?type=event&customer_id={person}&id_type=id")["activities"]
    return {a["data"]["order_id"]: a["data"] for a in activities}


def test_an_event_that_comes_late_is_sent_and_says_so(world: World) -> None:
    flagged = orders_sync(late=Late.FLAG, late_property="arrived_late", late_after_s=3 * 3600)
    world.syncs = [people_sync(), flagged]
    world.run(backfill=True)
    world.order("slow", "a", 4, 5)
    world.order("ancient", "a", 100, 5)

    assert world.run().exit_code == ExitCode.OK

    found = {order: facts["arrived_late"] for order, facts in data(world, "a").items()}
    assert found == {"o1": False, "slow": True, "ancient": True}
    assert world.run().requests == 0
