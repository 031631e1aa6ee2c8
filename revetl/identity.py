"""Who is who: how e-mail addresses are written, and which rows would collide in Customer.io. Pure rules and their SQL.

E-mail addresses are normalised by one rule, before anything is compared (`docs/identity.md`):

    trim      blanks and characters without a width go from both ends
    unicode   NFC: one form of each letter with an accent, in the domain as well
    case      capital letters of Latin, Greek, Cyrillic and Armenian become small ones

Dots and plus-tags stay, and no domain is translated to its `xn--` form. `normal_email` is the rule in Python,
`email_sql` the same in SQL: both give the same bytes on every engine and under every collation (tested). An
address of ASCII only takes a shorter way through SQL. Ids are texts, byte for byte, and never normalised.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from revetl.dialects import Dialect

_ASCII_BLANKS = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f "
# white space of Unicode, and what has no width
_WIDE_BLANKS = "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x2010))) + "\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
BLANKS = _ASCII_BLANKS + _WIDE_BLANKS
# letters whose small form is one letter too: engines disagree about the others, and about younger letters
_CAPITALS = "".join(
    chr(code)
    for low, high in ((0x41, 0x24F), (0x370, 0x52F), (0x531, 0x556), (0x1E00, 0x1EFF))
    for code in range(low, high + 1)
    if len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)
)
_SMALL = "".join(letter.lower() for letter in _CAPITALS)  # not of the whole text: a final sigma is another letter
_LOWER = str.maketrans(_CAPITALS, _SMALL)


def normal_email(text: str) -> str:
    """An address as it is compared and sent."""
    return unicodedata.normalize("NFC", text.strip(BLANKS)).translate(_LOWER)


def email_sql(dialect: Dialect, value: Any) -> Any:  # noqa: ANN401 SQL expressions
    """`normal_email` in SQL."""
    # both branches of the CASE with one collation: PostgreSQL takes two explicit ones for a mistake
    plain = sa.collate(dialect.ascii_lower(sa.func.trim(value, _ASCII_BLANKS)), dialect.collation)
    other = sa.func.translate(dialect.nfc(sa.func.trim(value, BLANKS)), _CAPITALS, _SMALL)
    return sa.collate(sa.case((dialect.octets(value) == sa.func.length(value), plain), else_=other), dialect.collation)
