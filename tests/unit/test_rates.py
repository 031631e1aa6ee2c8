"""The arithmetic of sharing a rate: whatever order runs come, ask and go in, they never hold more than all of it."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.rates import BESIDE_LIVE, LEAST, fair, granted

LANES = st.sampled_from(["live", "backfill"])
STEPS = st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["live", "backfill", "gone"])), max_size=60)
Lane = Literal["live", "backfill"]


@given(st.lists(LANES, min_size=1, max_size=40))
def test_fair_parts_make_at_most_the_whole(lanes: list[str]) -> None:
    assert sum(fair(lane, lanes) for lane in lanes) <= 1 + 1e-9


@given(STEPS)
def test_what_is_held_never_exceeds_the_whole(steps: list[tuple[int, str]]) -> None:
    held: dict[int, tuple[str, float]] = {}
    for who, lane in steps:
        held.pop(who, None) if lane == "gone" else None
        if lane != "gone":
            held[who] = (lane, granted(lane, [part for other, part in held.items() if other != who]))
        assert sum(part for _, part in held.values()) <= 1 + 1e-9


@given(st.lists(LANES, min_size=1, max_size=12))
def test_everybody_has_a_fair_part_once_all_have_asked_twice(lanes: list[str]) -> None:
    held: dict[int, tuple[str, float]] = {}
    for _ in range(2):
        for who, lane in enumerate(lanes):
            held[who] = (lane, granted(lane, [part for other, part in held.items() if other != who]))
    for who, (lane, part) in held.items():
        assert part == pytest.approx(fair(lane, lanes)), who
        assert part >= LEAST / 2


def test_the_lanes() -> None:
    assert fair("live", ["live"]) == 1
    assert fair("backfill", ["backfill"]) == 0.5, "a backfill leaves room for the live runs to come"
    assert fair("backfill", ["backfill", "live"]) == BESIDE_LIVE
    assert fair("live", ["backfill", "live"]) == 1 - BESIDE_LIVE
    assert fair("live", ["live", "live"]) == 0.5
