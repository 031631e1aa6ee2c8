"""The PostgreSQL server of the scenarios, and a way to look at what a hostile project does."""

from __future__ import annotations

from tests.suites.conftest import postgres_uri

__all__ = ["postgres_uri"]
