"""A sandbox for each test, with a clock that the test moves, on a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from revetl.sandbox import Rules, Sandbox
from tests.sandbox.client import Client, Clock


@pytest.fixture
def serve() -> Iterator[Callable[..., Client]]:
    """Starts sandboxes with other rules than the default."""
    with ExitStack() as stack:

        def start(db: Any = None, *, rules: dict[str, Any] | None = None, **options: Any) -> Client:
            clock = Clock()
            box = Sandbox(db, rules=Rules(**(rules or {})), clock=clock, **options)
            return Client(stack.enter_context(box), clock)

        yield start


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    """An empty workspace with the default rules."""
    return serve()
