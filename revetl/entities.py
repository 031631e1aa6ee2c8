"""Rows of snapshots other than people to operations: objects, relationships, devices, members of segments, suppressions.

As in `encode.py`: pages in, exact bytes or refusals out. Rows are (`_seq`, `_op`, `_key`, mask..., one value a field); the
key of a device or a relationship is the JSON array of the person and the token or object.

    object        {"type":"object","identifiers":{"object_type_id":"1","object_id":...},"action":"identify","attributes":{...}}
    relationship  {"type":"person","identifiers":{...},"action":"add_relationships","cio_relationships":[{"identifiers":
                  {"object_type_id":"1","object_id":...},"relationship_attributes":{...}}]}
    device        {"type":"person","identifiers":{...},"action":"add_device","device":{"token":...,"platform":...,
                  ["last_used":...,]"attributes":{...}}}
    suppression   {"type":"person","identifiers":{...},"action":"suppress"}
    segment       one text of `{"ids":[...]}`, which goes to an address of its own (`route_of`)

and the same for rows that left the model: `delete`, `delete_relationships`, `delete_device`, `unsuppress`. A device is
sent whole, because what Customer.io does with attributes that are left out is not published; of objects and
relationships only what changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from revetl.contracts import LAST_USED, PLATFORM, IdentifierKind, Sync, SyncType
from revetl.destination import BATCH, Route
from revetl.encode import (
    MAX_NAME_BYTES,
    MAX_OPERATION_BYTES,
    MAX_VALUE_BYTES,
    Encoded,
    EventEncoder,
    Found,
    PersonEncoder,
    SnapshotEncoder,
    appended,
    identifier_texts,
    require_name,
)
from revetl.values import ANY_CONTROL, BLANK, NULL, Codec, Problem, Shapes

MAX_SEGMENT_IDS = 1_000  # of one call (Track API, "Track Segments")


class Encoder(Protocol):
    """Turns pages of a plan's rows into operations."""

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> Encoded:
        """Operations and refusals of a page of rows."""


def encoder_for(sync: Sync, *, timestamp: int | None = None, now_s: int = 0) -> Encoder:
    """The encoder of a sync's rows.

    Args:
        sync: of any type.
        timestamp: Unix seconds for identify's `timestamp`; None leaves it out.
        now_s: what the bound `now` of a contract means, Unix seconds.
    """
    kind = sync.type
    if kind is SyncType.PERSON:
        return PersonEncoder(sync, timestamp=timestamp, now_s=now_s)
    if kind is SyncType.MERGE:
        return MergeEncoder(sync)
    if not kind.keeps_values:
        return EventEncoder(sync, now_s=now_s)
    if kind is SyncType.OBJECT:
        return ObjectEncoder(sync, now_s=now_s)
    if kind is SyncType.RELATIONSHIP:
        return RelationshipEncoder(sync, now_s=now_s)
    return DeviceEncoder(sync, now_s=now_s) if kind is SyncType.DEVICE else PlainEncoder(sync)


class MergeEncoder:
    """Encodes pairs of a merge sync: the secondary goes into the primary."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync
        kind = sync.identifier.encode()
        self._template = b'{"type":"person","action":"merge","primary":{"%b":%%b},"secondary":{"%b":%%b}}' % (kind, kind)

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> Encoded:
        """Operations and refusals of a page of rows."""
        out = Encoded([], [], [])
        if not rows:
            return out
        seqs, secondaries, primaries = zip(*rows, strict=True)
        found = Found()
        texts = [identifier_texts(keys, self._sync.identifier, found) for keys in (primaries, secondaries)]
        appended(out, seqs, [self._template % pair for pair in zip(*texts, strict=True)], found)
        return out


def route_of(sync: Sync, *, erasing: bool) -> Route:
    """Where the operations of a sync go: its creates and changes, or what it erases."""
    if sync.type is not SyncType.SEGMENT:
        return BATCH
    action = "remove_customers" if erasing else "add_customers"
    return Route(
        path=f"/api/v1/segments/{sync.segment_id}/{action}?id_type={sync.identifier}", head=b'{"ids":[', tail=b"]}",
        most=MAX_SEGMENT_IDS, by_row=False,
    )  # fmt: skip


def _type_of(sync: Sync) -> bytes:
    return orjson.dumps(sync.object_type).replace(b"%", b"%%")


class ObjectEncoder(SnapshotEncoder):
    """Encodes rows of an object sync."""

    def __init__(self, sync: Sync, *, now_s: int = 0) -> None:
        for field in sync.fields:
            require_name(sync, field.name, "attribute", MAX_NAME_BYTES)
        start = b'{"type":"object","identifiers":{"object_type_id":%b,"object_id":%%b},"action":' % _type_of(sync)
        codecs = [Codec(field, limit=MAX_VALUE_BYTES, now_s=now_s) for field in sync.fields]
        shapes = Shapes(start + b'"identify","attributes":{', 1, sync.fields, b"}}", nulls=True)
        super().__init__(sync, codecs=codecs, shapes=shapes, erase={"delete": start + b'"delete"}'})

    def heads(self, keys: Sequence[Any], found: Found) -> list[list[bytes]]:
        """The object's id."""
        return [identifier_texts(keys, IdentifierKind.ID, found)]


class RelationshipEncoder(SnapshotEncoder):
    """Encodes rows of a relationship sync."""

    def __init__(self, sync: Sync, *, now_s: int = 0) -> None:
        for field in sync.fields:
            require_name(sync, field.name, "attribute", MAX_NAME_BYTES)
        person = b'{"type":"person","identifiers":{"%b":%%b},"action":' % sync.identifier.encode()
        other = b'"cio_relationships":[{"identifiers":{"object_type_id":%b,"object_id":%%b}' % _type_of(sync)
        codecs = [Codec(field, limit=MAX_VALUE_BYTES, now_s=now_s) for field in sync.fields]
        head = person + b'"add_relationships",' + other
        if sync.fields:
            shapes = Shapes(head + b',"relationship_attributes":{', 2, sync.fields, b"}}]}", nulls=True)
        else:
            shapes = Shapes(head, 2, (), b"}]}", nulls=True)
        erase = {"delete": person + b'"delete_relationships",' + other + b"}]}"}
        super().__init__(sync, codecs=codecs, shapes=shapes, erase=erase)

    def heads(self, keys: Sequence[Any], found: Found) -> list[list[bytes]]:
        """The person and the object."""
        people, objects = _halves(keys)
        return [identifier_texts(people, self.sync.identifier, found), identifier_texts(objects, IdentifierKind.ID, found)]


class DeviceEncoder(SnapshotEncoder):
    """Encodes rows of a device sync; every row is sent whole."""

    def __init__(self, sync: Sync, *, now_s: int = 0) -> None:
        own = [field for field in sync.fields if field.name in {PLATFORM, LAST_USED}]
        attributes = sync.fields[len(own) :]
        for field in attributes:
            require_name(sync, field.name, "attribute", MAX_NAME_BYTES)
        self._own = [field.name for field in own]
        person = b'{"type":"person","identifiers":{"%b":%%b},"action":' % sync.identifier.encode()
        # the platform and the time of the last use are texts of the row, too; the time may be missing, with its label
        head = person + b'"add_device","device":{"token":%b,"platform":%b,%b"attributes":{'
        super().__init__(
            sync, codecs=[Codec(field, limit=MAX_VALUE_BYTES, now_s=now_s) for field in sync.fields],
            shapes=Shapes(head, 4, attributes, b"}}}", nulls=True),
            erase={"delete": person + b'"delete_device","device":{"token":%b}}'}, whole=True, leading=len(own),
        )  # fmt: skip

    def heads(self, keys: Sequence[Any], found: Found) -> list[list[bytes]]:
        """The person and the token."""
        people, tokens = _halves(keys)
        return [identifier_texts(people, self.sync.identifier, found), _plain(tokens, "the token", found)]

    def led(self, texts: Sequence[list[bytes]], rows: int) -> list[list[bytes]]:
        """The platform, and the last use with its label."""
        given = dict(zip(self._own, texts, strict=True))
        platform = given.get(PLATFORM) or [orjson.dumps(self.sync.platform)] * rows
        used = given.get(LAST_USED) or [NULL] * rows
        return [platform, [b"" if text == NULL else b'"last_used":' + text + b"," for text in used]]


class PlainEncoder:
    """Encodes rows that are nothing but a person: members of a segment, suppressions."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync
        if sync.type is SyncType.SEGMENT:
            self._add = self._erase = b"%b"
        else:
            start = b'{"type":"person","identifiers":{"%b":%%b},"action":' % sync.identifier.encode()
            self._add, self._erase = start + b'"suppress"}', start + b'"unsuppress"}'

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> Encoded:
        """Operations and refusals of a page of rows."""
        out, found = Encoded([], [], []), Found()
        if rows:
            texts = identifier_texts([row[2] for row in rows], self._sync.identifier, found)
            bodies = [(self._erase if row[1] == "delete" else self._add) % text for row, text in zip(rows, texts, strict=True)]
            appended(out, [row[0] for row in rows], bodies, found)
        return out


def _halves(keys: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The two texts of each pair."""
    pairs = orjson.loads("[" + ",".join(keys) + "]")
    return [first for first, _ in pairs], [second for _, second in pairs]


def _plain(texts: Sequence[str], what: str, found: Found) -> list[bytes]:
    """JSON texts of what has no form but must be visible and short enough for a row."""
    for i, text in enumerate(texts):
        if BLANK.fullmatch(text):
            found.add(i, "", Problem("blank", f"{what} is blank"))
        elif ANY_CONTROL.search(text):
            found.add(i, "", Problem("control_character", f"{what} has a control character"))
        elif len(text) > MAX_OPERATION_BYTES:
            found.add(i, "", Problem("too_long", f"{what} has {len(text):,} characters"))
    return [NULL if i in found else orjson.dumps(text) for i, text in enumerate(texts)]
