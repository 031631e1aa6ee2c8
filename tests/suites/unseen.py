"""Scenarios that fakesnow cannot show, and why: skipped there, run on a live account, and listed in `docs/snowflake.md`."""

from __future__ import annotations

UNSEEN: dict[str, str] = {}

# classes of values (tests/values/classes.py)
WIDE = "an integer of more than 64 bits: fakesnow keeps NUMBER(38,0) as BIGINT"
UNSEEN_VALUES: dict[str, str] = dict.fromkeys(
    ("int_64_unsigned", "int_128", "int_128_negative", "int_38_nines", "dec_38_digits"), WIDE
)
