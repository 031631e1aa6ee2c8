"""The commit protocol holds in every order of events of a small world, and without any one of its parts it does not."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.bars import Bar
from tests.model.protocol import HOLDS, LARGE, WEAKENED, search

PAGE = Path(__file__).parent.parent.parent / "docs" / "protocol.md"
ENOUGH = 4_000_000


def published() -> dict[str, tuple[str, int]]:
    """The table of docs/protocol.md: by variant, what is broken and how many states were visited."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([\d,]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (found, int(states.replace(",", ""))) for name, found, states in rows}


@pytest.mark.parametrize("name", WEAKENED)
def test_without_one_of_its_parts_the_protocol_breaks_a_promise(name: str) -> None:
    found = search(WEAKENED[name])
    assert (found.broken, found.states) == published()[name]


@pytest.mark.parametrize("name", HOLDS)
def test_the_protocol_keeps_its_promises(name: str) -> None:
    found = search(HOLDS[name])
    assert found.exhausted
    assert (found.broken or "holds", found.states) == published()[name]


def test_every_part_that_is_left_out_is_missed(bar: Bar) -> None:
    missed, slowest = [], 0.0
    for name, variant in WEAKENED.items():
        began = time.process_time()
        if not search(variant).broken:
            missed.append(name)
        slowest = max(slowest, time.process_time() - began)
    of = f"{len(WEAKENED)} protocols with one part left out, each searched from the beginning"
    bar(4, "weakened protocols that are not noticed", found=len(missed), goal="0", of=of)
    bar(4, "CPU seconds of the slowest of them", found=f"{slowest:.1f}", goal="< 60", of=of)
    assert missed == []


@pytest.mark.soak
def test_the_protocol_keeps_its_promises_in_a_larger_world(bar: Bar) -> None:
    states, broken = 0, []
    for name, variant in LARGE.items():
        found = search(variant)
        assert found.exhausted
        states += found.states
        broken += [name] * bool(found.broken)
    bar(4, "violations in the model of the whole size", found=len(broken), goal="0", of=f"{states:,} states, all that there are")
    assert broken == []
    assert states >= ENOUGH
