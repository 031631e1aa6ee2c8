"""The id of an event is the same for ever: golden ids, and the definition computed in another way."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from revetl.ids import PREFIX, EventIds, event_id

GOLDEN = Path(__file__).parent.parent / "golden" / "event_ids.json"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MILLISECONDS_2020 = 1_577_836_800_000


def by_definition(uid: str, key: str, variant: str) -> str:
    """A ULID is one number of 128 bits, written in 26 digits of base 32: 48 bits of time, 80 of a hash."""
    hashed = "revetl-event-v1\0" + uid + "\0" + key + ("\0" + variant if variant else "")
    number = (MILLISECONDS_2020 << 80) + int(hashlib.sha256(hashed.encode()).hexdigest()[:20], 16)
    digits = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits = ALPHABET[digit] + digits
    return digits


def vectors() -> list[list[str]]:
    """Streams, keys and variants as they occur: numbers, UUIDs, composed keys, other scripts, long ones."""
    rng = random.Random(20260101)
    found = [
        ["u1", "order-1001", ""],
        ["u1", "order-1001", "Order Completed (old)"],
        ["u2", "order-1001", ""],
    ]
    found += [["u1", '["order-1001","purchase"]', ""], ["u1", '["order-1001","refund","re_77"]', ""]]
    found += [["u1", key, ""] for key in ("0", "Ärger", "注文", "👩‍👧", "e\u0301", "é", " x ", "x" * 150)]
    for i in range(300):
        uid = f"stream{rng.randrange(5)}"
        shape = i % 3
        if shape == 0:
            key = str(rng.randrange(10**12))
        elif shape == 1:
            key = f"{rng.getrandbits(128):032x}"
        else:
            key = "".join(rng.choice("abcé中-_:/ ") for _ in range(rng.randrange(1, 60))) + str(i)
        found.append([uid, key, rng.choice(["", "", "order_completed", "Ordre terminé"])])
    return found


def test_ids_are_those_of_the_golden_file() -> None:
    if os.environ.get("REVETL_GOLDEN") == "write":
        lines = [json.dumps([*v, by_definition(*v)], ensure_ascii=False) for v in vectors()]
        GOLDEN.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(golden) > 300
    for uid, key, variant, expected in golden:
        assert event_id(uid, key, variant) == expected, (uid, key, variant)


def test_the_golden_file_follows_the_definition() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden == [[*v, by_definition(*v)] for v in vectors()]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@given(uid=texts, facts=st.lists(st.tuples(texts, texts), max_size=12))
def test_a_page_of_ids_is_the_definition_row_by_row(uid: str, facts: list[tuple[str, str]]) -> None:
    ids = EventIds(uid).ids([key for key, _ in facts], [variant for _, variant in facts])
    assert ids == [by_definition(uid, key, variant) for key, variant in facts]


@given(uid=texts, key=texts, variant=texts)
def test_an_id_is_a_ulid_of_the_first_moment_of_2020(uid: str, key: str, variant: str) -> None:
    found = event_id(uid, key, variant)
    assert len(found) == 26
    assert found.startswith(PREFIX)
    assert set(found) <= set(ALPHABET)
    assert sum(ALPHABET.index(c) * 32 ** (9 - i) for i, c in enumerate(found[:10])) == MILLISECONDS_2020


def test_stream_key_and_variant_all_count() -> None:
    ids = {event_id(u, k, v) for u in ("a", "b") for k in ("k", "l") for v in ("", "v")}
    assert len(ids) == 8
