"""The bars of docs/reliability.md: a test that meets one says so with its figure, and the page is made from that.

    def test_something(bar: Bar) -> None:
        ...
        bar(10, "wrong acknowledgements", found=0, goal="0", of="10,000 random 207 patterns", seed=7)

With `--bars FILE` each call appends one JSON line to that file after the test has passed; without it nothing is
written. `scripts/reliability.py` renders the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured figure.

    Attributes:
        bar: its number in docs/reliability.md.
        what: is counted or measured.
        found: the figure, as it is printed.
        goal: what the bar asks, as it is printed.
        of: how much was tried.
        seed: of the randomness, where there is any.
        test: the node id that repeats it.
        soak: whether it only runs with `make soak`.
    """

    bar: int
    what: str
    found: str
    goal: str
    of: str = ""
    seed: str = ""
    test: str = ""
    soak: bool = False


Bar = Callable[..., None]


def append(path: Path, figures: list[Figure]) -> None:
    """Write figures as JSON lines."""
    with path.open("a", encoding="utf-8") as file:
        for figure in figures:
            file.write(json.dumps(asdict(figure), ensure_ascii=False) + "\n")
