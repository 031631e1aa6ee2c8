"""The id of an event: a ULID that depends on the stream and the key only. Invariant: never change it.

The same fact has the same id in every run, version and on every machine, so a request whose answer was lost can
be repeated: Customer.io ignores an event id that it has seen (Track API v2, "event" > id: must be a ULID).

    ULID(time = 2020-01-01T00:00:00Z, random = first 80 bits of SHA-256("revetl-event-v1" 0 uid 0 key [0 variant]))

A fixed time keeps the id apart from `occurred_at`, which gets corrected. Every id starts with `01DXF6DT00`. The
golden ids are in `tests/golden/event_ids.json`. A key must not hold a NUL, or `key 0 variant` would be ambiguous
(the encoder refuses control characters in keys).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

PREFIX = "01DXF6DT00"  # 2020-01-01T00:00:00Z in milliseconds, as ten characters of Crockford's base 32
_RANDOM_BYTES, _RANDOM_CHARACTERS = 10, 16
_CROCKFORD = bytes.maketrans(bytes(range(32)), b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
# bytes in which a run of bits lies, and bits of its half: each step pushes the halves into lanes of their own
_HALVINGS = ((16, 40), (8, 20), (4, 10), (2, 5))


class EventIds:
    """Ids of one stream's events; holds the hashed prefix so that each id costs one short hash."""

    def __init__(self, uid: str) -> None:
        self._start = hashlib.sha256(b"revetl-event-v1\0" + uid.encode() + b"\0")

    def ids(self, keys: Sequence[str], variants: Sequence[str]) -> list[str]:
        """The ids of the events named `keys`, in order.

        A variant names another event about the same fact, a copy under an old name; '' is the event itself.

        Raises:
            UnicodeEncodeError: a key has half a surrogate pair.
        """
        digests = []
        for key, variant in zip(keys, variants, strict=True):
            digest = self._start.copy()
            digest.update(key.encode())
            if variant:
                digest.update(b"\0" + variant.encode())
            digests.append(digest.digest()[:_RANDOM_BYTES])
        return _ulids(digests)

    def id(self, key: str, variant: str = "") -> str:
        """The id of one event."""
        return self.ids([key], [variant])[0]


def event_id(uid: str, key: str, variant: str = "") -> str:
    """The id of one event of the stream `uid`."""
    return EventIds(uid).id(key, variant)


def _ulids(randoms: Sequence[bytes]) -> list[str]:
    """ULIDs of many 80-bit values at once, five times as fast as one `base64.b32encode` a value.

    All values are one large integer, 16 bytes each. Four times, every run of bits is halved and its upper half
    moved up into a lane of its own, until each byte holds five bits: a digit of base 32.
    """
    if not randoms:
        return []
    gap = bytes(_RANDOM_CHARACTERS - _RANDOM_BYTES)
    number = int.from_bytes(gap + gap.join(randoms), "big")
    for lane, bits in _HALVINGS:
        lanes = len(randoms) * _RANDOM_CHARACTERS // lane
        lower = int.from_bytes(((1 << bits) - 1).to_bytes(lane, "big") * lanes, "big")
        number = (number & lower) | ((number & (lower << bits)) << (lane * 4 - bits))
    size = len(randoms) * _RANDOM_CHARACTERS
    digits = number.to_bytes(size, "big").translate(_CROCKFORD).decode()
    return [PREFIX + digits[i : i + _RANDOM_CHARACTERS] for i in range(0, size, _RANDOM_CHARACTERS)]
