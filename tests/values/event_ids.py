"""100,000 event ids that must never change, made the same way on every Python: run it to get their SHA-256.

    python -m tests.values.event_ids

Only the standard library and `revetl.ids`; what is random comes from SHA-256, so no version of `random` matters.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from revetl.ids import PREFIX, EventIds

GOLDEN = Path(__file__).parent.parent / "golden" / "event_ids_100000.sha256"
NUMBER = 100_000
STREAMS = ("orders01", "refunds_2", "0", "strom-ä")
VARIANTS = ("", "", "", "Order Completed", "Ordre terminé", "旧")
LETTERS = "aB0 .-_:/|,'\"\\[]{}%é中👍\u0301\u200f\u00df\u0130"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Vector = tuple[str, str, str]  # uid, key, variant


def vectors(number: int = NUMBER) -> Iterator[Vector]:
    """Streams, keys and variants as they occur, and as they should not; sorted by stream."""
    per_stream = number // len(STREAMS)
    for uid in STREAMS:
        for i in range(per_stream):
            bits = hashlib.sha256(f"{uid} {i}".encode()).digest()
            yield uid, _key(i, bits), VARIANTS[bits[31] % len(VARIANTS)]


def _key(i: int, bits: bytes) -> str:
    shape, size = i % 10, bits[0]
    text = "".join(LETTERS[b % len(LETTERS)] for b in bits[1 : 2 + size % 28])
    shapes = (
        str(i), f"{i:012}", bits.hex(), f"order-{i}", json.dumps([f"order-{i}", "refund", text]), text + str(i),
        f"{i!s}:{text}", f"{i}@{bits[:3].hex()}.example", f"{text * 5}{i}", f"{i}" + "x" * (size % 100),
    )  # fmt: skip
    return shapes[shape]


def ids(facts: list[Vector]) -> list[str]:
    """Their ids as revetl computes them, a stream at a time."""
    found: list[str] = []
    for uid, group in groupby(facts, lambda fact: fact[0]):
        rows = list(group)
        found += EventIds(uid).ids([key for _, key, _ in rows], [variant for _, _, variant in rows])
    return found


def digest(found: list[str]) -> str:
    """The SHA-256 of the ids, one a line."""
    return hashlib.sha256("".join(f"{one}\n" for one in found).encode()).hexdigest()


def hashed(uid: str, key: str, variant: str) -> str:
    """The definition: the first twenty hex digits of a hash."""
    text = "revetl-event-v1\0" + uid + "\0" + key + ("\0" + variant if variant else "")
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def tail(event_id: str) -> str:
    """The twenty hex digits that an id says, read digit by digit."""
    number = 0
    for digit in event_id.removeprefix(PREFIX):
        number = number * 32 + ALPHABET.index(digit)
    return f"{number:020x}"


if __name__ == "__main__":
    print(f"{digest(ids(list(vectors())))} {platform.python_version()} {sys.platform}-{platform.machine()}")
