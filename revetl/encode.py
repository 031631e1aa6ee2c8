"""Rows of a frozen plan to operations of the Track API v2: the one canonical encoder, and the contract's row checks.

Works on pages of rows: `values.py` turns each column into JSON texts, and the texts of a row are filled into a
template. A row that breaks its contract becomes a `Refusal` (reason, field, sizes; never a value), the others become
exact UTF-8 bytes, the same for the same row whatever page it is in. Sources of the limits: Track API v2 and "Limits"
of the Customer.io documentation, as kept in `docs/limits.md`.

Row layouts (`diffsql.to_send`):

    person  _seq, _op, _key, mask..., one value a field        (bit i of mask i // 62: field i changed)
    event   _seq, _key, _person, _anonymous, _occurred_at, _variant, (_name, where it is a column), one value a field (and
            whether it is late, if flagged)
    merge   _seq, _key (the secondary), _person (the primary)

What is written (compact; keys in this order, attributes in the contract's order):

    {"type":"person","identifiers":{"id":"..."},"action":"identify",["timestamp":...,]"attributes":{...}}
    {"type":"person","identifiers":{"id":"..."},"action":"delete"}                               (or "suppress")
    {"type":"person","identifiers":{"id":"..."},"action":"identify","attributes":{"_update":true,"plan":null,...}}
                                                                       (clear: all that can be; release: the address)
    {"type":"person","identifiers":{"id":"..."},"action":"event","name":"...","id":"...","timestamp":...,
     "attributes":{...}}
    {"type":"person","action":"merge","primary":{"id":"..."},"secondary":{"id":"..."}}

Numbers keep their digits: a double is written as the shortest text that gives the same double (-0.0 stays -0.0),
a decimal or a large integer as its own digits. Reasons of a refusal: `required`, `null`, `type`, `control_character`,
`too_short`, `too_long`, `enum`, `pattern`, `format`, `minimum`, `maximum`, `min_items`, `max_items`, `not_finite`,
`out_of_range`, `not_unix_seconds`, `json`, `too_deep`, `blank`, `event_name`, `too_many`, `too_large`. Beside it stands
the rule of the contract that the row breaks, if it is one (`docs/contract.md`). A rule that only warns lets the row pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import orjson

from revetl.contracts import IdentifierKind, OnViolation, Sync
from revetl.destination import Operation, Refusal, Warned
from revetl.errors import ConfigError
from revetl.formats import EMAIL
from revetl.identity import clearable
from revetl.ids import EventIds
from revetl.outline import outline
from revetl.values import (
    ANY_CONTROL,
    BLANK,
    EARLIEST_S,
    LATEST_S,
    NULL,
    QUOTES,
    VISIBLE_ASCII,
    Codec,
    Problem,
    Shapes,
    number_texts,
    string_texts,
)

MASK_BITS = 62
MAX_OPERATION_BYTES = 32_000
MAX_IDENTIFIER_BYTES = 150
MAX_NAME_BYTES = 150  # names of people's attributes
MAX_EVENT_NAME_BYTES = 100
MAX_ATTRIBUTES = 300  # of one identify
MAX_VALUE_BYTES = 1_000  # attributes of people; event properties are bounded by the operation only
_SENDING = frozenset({"create", "update", "redrive"})


class Encoded(NamedTuple):
    """A page: what can be sent, what cannot, and what breaks a rule and is sent; each in plan order."""

    operations: list[Operation]
    refusals: list[Refusal]
    warnings: list[Warned]


class SnapshotEncoder:
    """Encodes rows of a sync whose state keeps values; the types differ in their templates and in the texts of their heads.

    Args:
        sync: the sync.
        codecs: one for each field.
        shapes: the template of an upsert.
        erase: the template of a row without its values, by the plan's operation: it goes, or is emptied.
        whole: whether an update is sent with all its attributes.
        leading: how many of the first fields stand in the head of the template (`led`).
    """

    def __init__(  # noqa: PLR0913 each is a part of the template
        self, sync: Sync, *, codecs: Sequence[Codec], shapes: Shapes, erase: Mapping[str, bytes], whole: bool = False,
        leading: int = 0,
    ) -> None:  # fmt: skip
        self.sync = sync
        self._codecs = codecs
        self._shapes = shapes
        self._erasing = erase
        self._whole = whole
        self._leading = leading
        self._words = max(1, -(-len(sync.fields) // MASK_BITS))

    def heads(self, keys: Sequence[Any], found: Found) -> list[list[bytes]]:
        """The texts that a page's keys give to the template's head."""
        raise NotImplementedError

    def led(self, texts: Sequence[list[bytes]], rows: int) -> list[list[bytes]]:
        """The texts that the leading fields give to the template's head, after those of the keys."""
        del rows
        return list(texts)

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> Encoded:
        """Operations and refusals of a page of rows.

        Raises:
            ValueError: a row has an operation that is none of create, update, redrive, and what the type erases by.
        """
        out = Encoded([], [], [])
        ops, erasing = {row[1] for row in rows}, self._erasing.keys()
        if not ops <= _SENDING | erasing:
            raise ValueError(f"unknown operations in the plan: {sorted(map(str, ops - _SENDING - erasing))}")
        if not ops & erasing:
            self._upsert(rows, out)
            return out
        # a plan ends with what it erases, so there are at most a few such groups in a page
        for op, group in groupby(rows, lambda row: row[1] if row[1] in erasing else ""):
            if op:
                self._erase(op, list(group), out)
            else:
                self._upsert(list(group), out)
        return out

    def _upsert(self, rows: Sequence[tuple[Any, ...]], out: Encoded) -> None:
        if not rows:
            return
        seqs, ops, keys, *rest = zip(*rows, strict=True)
        found = Found()
        heads = self.heads(keys, found)
        texts, nulls = _texts(self._codecs, rest[self._words :], found)
        if self._leading:
            heads += self.led(texts[: self._leading], len(rows))
            texts, nulls = texts[self._leading :], [i - self._leading for i in nulls if i >= self._leading]
        elif self._whole:
            heads += self.led([], len(rows))
        masks = None
        if "update" in ops and not self._whole:
            words = rest[: self._words]
            changed: Iterable[int] = words[0]
            for i, word in enumerate(words[1:], 1):
                changed = [low | (high << (MASK_BITS * i)) for low, high in zip(changed, word, strict=True)]
            everything = self._shapes.everything
            masks = [m if op == "update" else everything for op, m in zip(ops, changed, strict=True)]
        bodies = self._shapes.fill([*heads, *texts], masks, nulls)
        if len(self._codecs) > MAX_ATTRIBUTES:
            for i, body in enumerate(bodies):
                if i not in found and (n := len(attributes_of(body))) > MAX_ATTRIBUTES:
                    message = f"the row has {n} attributes, more than {MAX_ATTRIBUTES}"
                    found.add(i, "", Problem("too_many", message))
        appended(out, seqs, bodies, found)

    def _erase(self, op: str, rows: Sequence[tuple[Any, ...]], out: Encoded) -> None:
        found = Found()
        heads = self.heads([row[2] for row in rows], found)
        template = self._erasing[op]
        appended(out, [row[0] for row in rows], [template % texts for texts in zip(*heads, strict=True)], found)


class PersonEncoder(SnapshotEncoder):
    """Encodes rows of a person sync.

    Args:
        sync: the sync.
        timestamp: Unix seconds for identify's `timestamp`, which orders our own writes; None leaves it out.
        now_s: what the bound `now` of a contract means, Unix seconds.

    Raises:
        ConfigError: an attribute's name cannot be sent.
    """

    def __init__(self, sync: Sync, *, timestamp: int | None = None, now_s: int = 0) -> None:
        for field in sync.fields:
            require_name(sync, field.name, "attribute", MAX_NAME_BYTES)
        person = b'{"type":"person","identifiers":{"%b":%%b},"action":' % sync.identifier.encode()
        stamp = b"" if timestamp is None else b'"timestamp":%d,' % timestamp
        tails = {op: b'"%b"}' % op.encode() for op in ("delete", "suppress")}
        second = sync.second
        for op, names in (
            ("clear", [f.name for f in sync.fields if clearable(f)]), ("release", [second.name] if second else []),
        ):  # fmt: skip
            nulls = b"".join(b",%b:null" % orjson.dumps(name) for name in names)
            # `_update`: who is not there any more is not made again by it
            tails[op] = (b'"identify",' + stamp + b'"attributes":{"_update":true' + nulls + b"}}").replace(b"%", b"%%")
        super().__init__(
            sync, codecs=[Codec(field, limit=MAX_VALUE_BYTES, now_s=now_s) for field in sync.fields],
            shapes=Shapes(person + b'"identify",' + stamp + b'"attributes":{', 1, sync.fields, b"}}", nulls=True),
            erase={op: person + tail for op, tail in tails.items()},
        )  # fmt: skip

    def heads(self, keys: Sequence[Any], found: Found) -> list[list[bytes]]:
        """The identifier."""
        return [identifier_texts(keys, self.sync.identifier, found)]


class EventEncoder:
    """Encodes rows of an event, page or screen sync; the event's id comes from the stream, the key and the variant (`ids.py`).

    A row with a variant is a copy of the event under that (old) name. A null property is left out: what was never
    there cannot be cleared. A row without a person needs an anonymous id.

    Raises:
        ConfigError: the event's name or a property's name cannot be sent.
    """

    def __init__(self, sync: Sync, *, now_s: int = 0) -> None:
        if not sync.event_column:
            require_name(sync, sync.event, "event", MAX_EVENT_NAME_BYTES)
        for field in sync.sent_fields:
            require_name(sync, field.name, "property", MAX_OPERATION_BYTES)
        self._sync = sync
        self._codecs = [Codec(field, limit=MAX_OPERATION_BYTES, now_s=now_s) for field in sync.sent_fields]
        self._ids = EventIds(sync.uid)
        # the identifiers and the name are texts of the row, too
        head = b'{"type":"person","identifiers":{%%b},"action":"%b","name":%%b,"id":"%%b","timestamp":%%b,"attributes":{'
        self._shapes = Shapes(head % sync.type.encode(), 4, sync.sent_fields, b"}}", nulls=False)

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> Encoded:
        """Operations and refusals of a page of rows."""
        out = Encoded([], [], [])
        if not rows:
            return out
        seqs, keys, people, anonymous, times, variants, *columns = zip(*rows, strict=True)
        found = Found()
        facts = _event_keys(keys, found)
        owners = self._owners(people, anonymous, found)
        if self._sync.event_column:
            given, *columns = columns
            names = _name_texts(given, found)
        else:
            names = self._names(variants, found)
        moments = _moments(times, found)
        texts, nulls = _texts(self._codecs, columns, found)
        ids = [text.encode() for text in self._ids.ids(facts, variants)]
        appended(out, seqs, self._shapes.fill([owners, names, ids, moments, *texts], None, nulls), found)
        return out

    def _owners(self, people: Sequence[Any], anonymous: Sequence[Any], found: Found) -> list[bytes]:
        """The inside of `identifiers` for each row: the person, else the anonymous id."""
        kind = self._sync.identifier
        known, guest = b'"%b":' % kind.encode(), b'"anonymous_id":'
        if None not in people:
            return [known + text for text in identifier_texts(people, kind, found)]
        owners = []
        for i, (person, other) in enumerate(zip(people, anonymous, strict=True)):
            if person is None and other is None:
                problem: Problem | None = Problem("required", "there is neither a person nor an anonymous id")
            elif person is None:  # an anonymous id has no form
                problem = _identifier_problem(other, email=False)
            else:
                problem = _identifier_problem(person, email=kind is IdentifierKind.EMAIL)
            if problem:
                found.add(i, "", problem._replace(outline=outline(other if person is None else person)))
                owners.append(b"")
            else:
                owners.append(guest + orjson.dumps(other) if person is None else known + orjson.dumps(person))
        return owners

    def _names(self, variants: Sequence[str], found: Found) -> list[bytes]:
        texts, problems = {}, {}
        for variant in set(variants):
            name = variant or self._sync.event
            problem = _name_problem(name, MAX_EVENT_NAME_BYTES)
            if problem:
                problems[variant] = Problem("event_name", f"the event's other name {problem}")
            texts[variant] = b"" if problem else orjson.dumps(name)
        if problems:
            for i, variant in enumerate(variants):
                if variant in problems:
                    found.add(i, "", problems[variant])
        return [texts[variant] for variant in variants]


def attributes_of(body: bytes) -> dict[str, Any]:
    """The attributes of an operation, wherever its type keeps them."""
    found = json.loads(body)
    for part in ("device", "cio_relationships"):
        inner = found.get(part, found)
        found = inner[0] if isinstance(inner, list) else inner
    given = found.get("attributes", found.get("relationship_attributes", {}))
    return given if isinstance(given, dict) else {}


# --- rows ------------------------------------------------------------------------------------------------------


class Found:
    """The worst problem of each row of a page, the first of its kind, with its field; how many more; and the warnings."""

    def __init__(self) -> None:
        self._worst: dict[int, tuple[str, Problem]] = {}
        self._more: dict[int, int] = {}
        self.warned: list[tuple[int, str, Problem]] = []

    def __bool__(self) -> bool:
        return bool(self._worst) or bool(self.warned)

    def __contains__(self, row: int) -> bool:
        return row in self._worst

    def add(self, row: int, field: str, problem: Problem) -> None:
        """Note a problem of a row."""
        known = self._worst.get(row)
        if known is not None:
            self._more[row] = self._more.get(row, 0) + 1
        if known is None or (problem.policy is OnViolation.FAIL and known[1].policy is not OnViolation.FAIL):
            self._worst[row] = (field, problem)

    def refusal(self, row: int, seq: int) -> Refusal:
        """What is told of a row that has one."""
        field, problem = self._worst[row]
        more = self._more.get(row, 0)
        message = problem.message
        if more:
            message += f" (and {more} more problem{'s' if more > 1 else ''} in this row)"
        return Refusal(seq=seq, reason=problem.reason, rule=problem.rule, field=field, message=message,
                       outline=problem.outline, fails=problem.policy is OnViolation.FAIL)  # fmt: skip


def _texts(
    codecs: Sequence[Codec], columns: Sequence[Sequence[Any]], found: Found
) -> tuple[list[list[bytes]], list[int]]:
    """The texts of each column, and which columns have a null."""
    texts, nulls = [], []
    for i, (codec, column) in enumerate(zip(codecs, columns, strict=True)):
        page = codec.page(column)
        name = codec.field.name
        for row, problem in page.problems.items():
            found.add(row, f"{name}.{problem.path}" if problem.path else name, problem)
        for row, problem in page.warnings:
            found.warned.append((row, f"{name}.{problem.path}" if problem.path else name, problem))
        texts.append(page.texts)
        if page.nulls:
            nulls.append(i)
    return texts, nulls


def appended(out: Encoded, seqs: Sequence[int], bodies: Sequence[bytes], found: Found) -> None:
    """Add the rows of a page: each as an operation, or as a refusal."""
    if not found and max(map(len, bodies)) <= MAX_OPERATION_BYTES:
        # `Operation(seq, body)`, at half the cost
        out.operations.extend(map(partial(tuple.__new__, Operation), zip(seqs, bodies, strict=True)))
        return
    sent = set()
    for i, (seq, body) in enumerate(zip(seqs, bodies, strict=True)):
        if i in found:
            out.refusals.append(found.refusal(i, seq))
        elif len(body) > MAX_OPERATION_BYTES:
            out.refusals.append(_too_large(seq, body))
        else:
            out.operations.append(Operation(seq, body))
            sent.add(i)
    for row, field, problem in sorted(found.warned, key=lambda one: one[0]):
        if row in sent:
            out.warnings.append(
                Warned(seqs[row], problem.reason, problem.rule, field, problem.message, problem.outline)
            )


def _too_large(seq: int, body: bytes) -> Refusal:
    attributes = attributes_of(body)
    sizes = {
        name: len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        for name, value in attributes.items()
    }
    widest = max(sizes, key=lambda name: sizes[name], default="")
    return Refusal(
        seq=seq, reason="too_large", field=widest,
        message=f"the operation has {len(body):,} bytes, more than {MAX_OPERATION_BYTES:,}; "
        f"its widest field has {sizes.get(widest, 0):,}",
    )  # fmt: skip


# --- identifiers, names, times ---------------------------------------------------------------------------------


def identifier_texts(keys: Sequence[Any], kind: IdentifierKind, found: Found) -> list[bytes]:
    """JSON texts of identifiers; of one with a problem, anything."""
    email = kind is IdentifierKind.EMAIL
    texts = string_texts(keys, VISIBLE_ASCII)
    if texts is not None and (not email or all(map(EMAIL.fullmatch, keys))):
        shortest, longest = min(map(len, texts)), max(map(len, texts))
        if shortest > QUOTES >= longest - MAX_IDENTIFIER_BYTES:
            return texts
    texts = []
    for i, key in enumerate(keys):
        problem = _identifier_problem(key, email=email)
        if problem:
            found.add(i, "", problem._replace(outline=outline(key)))
        texts.append(NULL if problem else orjson.dumps(key))
    return texts


def _identifier_problem(key: Any, *, email: bool) -> Problem | None:  # noqa: ANN401 a warehouse's value
    if key is None:
        return Problem("required", "the identifier is null")
    if not isinstance(key, str):
        return Problem("type", "the identifier is not a text")
    if BLANK.fullmatch(key):
        return Problem("blank", "the identifier is blank")
    if ANY_CONTROL.search(key):
        return Problem("control_character", "the identifier has a control character or half a surrogate pair")
    size = len(key.encode())
    if size > MAX_IDENTIFIER_BYTES:
        return Problem("too_long", f"the identifier has {size:,} bytes, more than {MAX_IDENTIFIER_BYTES}")
    if email and not EMAIL.fullmatch(key):
        return Problem("format", "the identifier is not an e-mail address")
    return None


def _name_texts(names: Sequence[Any], found: Found) -> list[bytes]:
    """JSON texts of names that come with the rows."""
    texts = []
    for i, name in enumerate(names):
        said = _name_problem(name, MAX_EVENT_NAME_BYTES) if isinstance(name, str) else "is null"
        if said:
            found.add(i, "", Problem("event_name", f"the name {said}"))
        texts.append(NULL if said else orjson.dumps(name))
    return texts


def _event_keys(keys: Sequence[Any], found: Found) -> Sequence[str]:
    """Keys that can be hashed. A NUL in one could make it look like a key and a variant."""
    with suppress(TypeError, UnicodeEncodeError):
        if not "".join(keys).encode().translate(None, VISIBLE_ASCII + b'"\\') and "" not in keys:
            return keys
    usable = list(keys)
    for i, key in enumerate(keys):
        if key is None:
            problem = Problem("required", "the event's key is null")
        elif not isinstance(key, str):
            problem = Problem("type", "the event's key is not a text")
        elif BLANK.fullmatch(key):
            problem = Problem("blank", "the event's key is blank")
        elif ANY_CONTROL.search(key):
            problem = Problem(
                "control_character", "the event's key has a control character or half a surrogate pair"
            )
        else:
            continue
        found.add(i, "", problem._replace(outline=outline(key)))
        usable[i] = ""
    return usable


def _moments(times: Sequence[Any], found: Found) -> list[bytes]:
    if set(map(type, times)) == {int} and min(times) > EARLIEST_S and max(times) < LATEST_S:
        return number_texts(times)
    texts = []
    for i, seconds in enumerate(times):
        problem = None
        if seconds is None:
            problem = Problem("required", "the event has no time")
        elif type(seconds) is not int:
            problem = Problem("type", "the event's time is not an integer")
        elif not EARLIEST_S < seconds < LATEST_S:
            problem = Problem(
                "not_unix_seconds", "the event's time is no time in Unix seconds (milliseconds?)"
            )
        if problem:
            found.add(i, "", problem._replace(outline=outline(seconds)))
        texts.append(NULL if problem else b"%d" % seconds)
    return texts


def _name_problem(name: str, limit: int) -> str:
    """What keeps a name from being sent, or an empty string."""
    if BLANK.fullmatch(name):
        return "is blank"
    if name != name.strip():
        return "starts or ends with a blank"
    if ANY_CONTROL.search(name):
        return "has a control character"
    size = len(name.encode())
    return f"has {size:,} bytes, more than {limit:,}" if size > limit else ""


def require_name(sync: Sync, name: str, what: str, limit: int) -> None:
    """Refuse a name that cannot be sent.

    Raises:
        ConfigError: it cannot.
    """
    problem = _name_problem(name, limit)
    if problem:
        raise ConfigError(
            f"sync {sync.name!r}: the {what} name {problem}",
            hint="rename it in the sync's file",
            where=next((f.where for f in sync.fields if f.name == name and f.where.file), sync.where),
        )  # fmt: skip
