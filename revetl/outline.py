"""The outline of a value: what is wrong with it can be seen, what it says cannot. Pure.

a text      Aaa.aaaa99@aaaaaaa.aaa    letters a or A, digits 9, what is neither as it is if it is ASCII; 20 characters
a number    -10^3                     its sign and how many digits it has before the point (or zeros after it)
others      null, empty, boolean, array of 3, object of 2, NaN
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from functools import lru_cache

MOST = 20  # characters of a text that are outlined


def outline(value: object) -> str:
    """What a value looks like; no letter, no digit and no number of it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | dict | bytes):
        kind = "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "bytes"
        return f"{kind} of {len(value):,}"
    return "value"


def _text(value: str) -> str:
    if not value:
        return "empty"
    seen = "".join(map(_class, value[:MOST]))
    return f"{seen}… ({len(value):,} characters)" if len(value) > MOST else seen


@lru_cache(4096)
def _class(character: str) -> str:
    """A character as its class."""
    if " " <= character < "\x7f":
        if character.isalpha():
            return "A" if character.isupper() else "a"
        return "9" if character.isdigit() else character
    kind = unicodedata.category(character)
    if kind[0] in "LM":
        return "A" if kind in {"Lu", "Lt"} else "a"
    return "9" if kind[0] == "N" else "?"


def _number(value: float | Decimal) -> str:
    exact = Decimal(value)
    if exact.is_nan():
        return "NaN"
    sign = "-" if exact.is_signed() else ""
    if exact.is_infinite():
        return f"{sign}infinity"
    return f"{sign}10^{exact.adjusted()}" if exact else "0"
