"""Scenarios that fakesnow cannot show, and why: skipped there, run on a live account, and listed in `docs/snowflake.md`."""

from __future__ import annotations

UNSEEN: dict[str, str] = {}
