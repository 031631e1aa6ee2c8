"""The id of an event: a ULID that depends on the stream and the key only. Invariant: never change it.

The same fact has the same id in every run, version and on every machine, so a request whose answer was lost can
be repeated: Customer.io ignores an event id that it has seen (Track API v2, "event" > id: must be a ULID).

    ULID(time = 2020-01-01T00:00:00Z, random = first 80 bits of SHA-256("revetl-event-v1" 0 uid 0 key [0 variant]))

A fixed time keeps the id apart from `occurred_at`, which gets corrected. Every id starts with `01DXF6DT00`.
"""

from __future__ import annotations

import base64
import hashlib

PREFIX = "01DXF6DT00"  # 2020-01-01T00:00:00Z in milliseconds, as ten characters of Crockford's base 32
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")


class EventIds:
    """Ids of one stream's events; holds the hashed prefix so that each id costs one short hash."""

    def __init__(self, uid: str) -> None:
        self._start = hashlib.sha256(b"revetl-event-v1\0" + uid.encode() + b"\0")

    def id(self, key: str, variant: str = "") -> str:
        """The id of the event named `key`; a variant is another event about the same fact (a dual-sent name)."""
        digest = self._start.copy()
        digest.update(key.encode())
        if variant:
            digest.update(b"\0" + variant.encode())
        return PREFIX + base64.b32encode(digest.digest()[:10]).translate(_TO_CROCKFORD).decode()


def event_id(uid: str, key: str, variant: str = "") -> str:
    """The id of one event."""
    return EventIds(uid).id(key, variant)
