"""Rows of a frozen plan to operations of the Track API v2: the one canonical encoder, and the contract's row checks.

Works on pages of rows, a column at a time: for each field one test at C speed shows that a whole column is
fine; only a column that fails it is looked at value by value. A row that breaks its contract becomes a `Refusal`
(reason, field, sizes; never a value), the others become exact UTF-8 bytes. Sources of the limits: Track API v2
and "Limits" of the Customer.io documentation, as kept in `docs/limits.md`.

Row layouts (`diffsql.to_send`):

    person  _seq, _op, _key, mask..., one value a field        (bit i of mask i // 62: field i changed)
    event   _seq, _key, _person, _anonymous, _occurred_at, _variant, one value a field
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import orjson

from revetl.contracts import Field, FieldType, IdentifierKind, OnNull, Sync
from revetl.destination import Operation, Refusal
from revetl.ids import EventIds

MASK_BITS = 62
MAX_OPERATION_BYTES = 32_000
MAX_IDENTIFIER_BYTES = 150
MAX_VALUE_BYTES = 1_000  # attributes of people; event properties are bounded by the operation only
MAX_DEPTH = 20
EARLIEST_S, LATEST_S = 999_999_999, 100_000_000_000  # outside: milliseconds, or not Unix seconds at all
MAX_BYTES_PER_CHARACTER = 4
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@.<>,;:\"()\[\]\\]+(\.[^\s@.<>,;:\"()\[\]\\]+)+")
_BLANK = re.compile("[\\s\u200b\u200c\u200d\u2060\ufeff]*")
MAX_EMAIL_BYTES = 254
Problem = tuple[str, str]  # a stable word, and one sentence without values


class Encoded(NamedTuple):
    """A page: what can be sent, and what cannot; each in plan order."""

    operations: list[Operation]
    refusals: list[Refusal]


class _Broken(Exception):  # noqa: N818 it never leaves this module
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.problem: Problem = (reason, message)


class PersonEncoder:
    """Encodes rows of a person sync.

    Args:
        timestamp: Unix seconds for identify's `timestamp`, which orders our own writes; None leaves it out.
    """

    def __init__(self, sync: Sync, *, timestamp: int | None = None) -> None:
        self._sync = sync
        self._fields = [_FieldCodec(field, person=True) for field in sync.fields]
        self._names = [field.name for field in sync.fields]
        self._words = max(1, -(-len(sync.fields) // MASK_BITS))
        self._timestamp = timestamp
        self._clears = any(field.on_null is OnNull.CLEAR for field in sync.fields)

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> Encoded:
        """Operations and refusals of a page of rows."""
        out = Encoded([], [])
        if not rows:
            return out
        columns = list(zip(*rows, strict=True))
        seqs, ops, keys = columns[:3]
        sending = [op not in {"delete", "suppress"} for op in ops]
        values, problems, holes = _checked(self._fields, columns[3 + self._words :], sending)
        key_problems = _key_problems(keys, self._sync.identifier)
        bodies = self._bodies(columns, values, holes=holes, plain=not problems)
        if not problems and not key_problems and max(map(len, bodies)) <= MAX_OPERATION_BYTES:
            out.operations.extend(map(Operation, seqs, bodies))
            return out
        for i, (seq, body) in enumerate(zip(seqs, bodies, strict=True)):
            if i in key_problems or (i in problems and sending[i]):
                out.refusals.append(_refusal(seq, key_problems.get(i), problems.get(i)))
            elif len(body) > MAX_OPERATION_BYTES:
                out.refusals.append(_too_large(seq, body))
            else:
                out.operations.append(Operation(seq, body))
        return out

    def _bodies(
        self, columns: Sequence[Any], values: Sequence[Sequence[Any]], *, holes: bool, plain: bool
    ) -> list[bytes]:
        """The JSON of each row; of a row that is refused anyway it may be nothing."""
        ops, keys = columns[1], columns[2]
        kind, names, dumps = self._sync.identifier.value, self._names, orjson.dumps
        # the same bytes as a dump of the nested operation, without building it for each row
        head = b'{"type":"person","identifiers":{"%b":' % kind.encode()
        middle = b'},"action":"identify",'
        if self._timestamp is not None:
            middle += b'"timestamp":%d,' % self._timestamp
        middle += b'"attributes":'
        rows = zip(*values, strict=True) if values else iter([()] * len(keys))
        join, creates = b"".join, set(ops) == {"create"}
        if creates and plain and not holes:
            return [
                join((head, dumps(key), middle, dumps(dict(zip(names, row))), b"}"))  # noqa: B905 same length by construction
                for key, row in zip(keys, rows, strict=True)
            ]
        if creates and plain and not self._clears:
            return [
                join((head, dumps(key), middle, dumps({n: v for n, v in zip(names, row) if v is not None}), b"}"))  # noqa: B905
                for key, row in zip(keys, rows, strict=True)
            ]
        bodies = []
        for i, (op, key, row) in enumerate(zip(ops, keys, rows, strict=True)):
            if op in {"delete", "suppress"}:
                bodies.append(dumps({"type": "person", "identifiers": {kind: key}, "action": op}))
                continue
            attributes = self._attributes(op, [columns[3 + w][i] for w in range(self._words)], row)
            try:
                bodies.append(join((head, dumps(key), middle, dumps(attributes), b"}")))
            except TypeError:  # a row with a problem holds what JSON does not have
                bodies.append(b"")
        return bodies

    def _attributes(self, op: str, masks: Sequence[int], row: Sequence[Any]) -> dict[str, Any]:
        """Update: what changed. Create and re-drive: everything. Nulls only where the contract clears."""
        attributes = {}
        for i, (codec, value) in enumerate(zip(self._fields, row, strict=True)):
            if op == "update" and not masks[i // MASK_BITS] >> (i % MASK_BITS) & 1:
                continue
            if value is None and codec.field.on_null is not OnNull.CLEAR:
                continue
            attributes[codec.field.name] = value
        return attributes


class EventEncoder:
    """Encodes rows of an event sync; the event's id comes from the stream and the key (`ids.py`)."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync
        self._fields = [_FieldCodec(field, person=False) for field in sync.fields]
        self._ids = EventIds(sync.uid)

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> Encoded:
        """Operations and refusals of a page of rows."""
        out = Encoded([], [])
        if not rows:
            return out
        columns = list(zip(*rows, strict=True))
        seqs, keys, people, anonymous, times, variants = columns[:6]
        values, problems, _ = _checked(self._fields, columns[6:], [True] * len(rows))
        person_problems = _key_problems(people, self._sync.identifier)
        names = [field.name for field in self._sync.fields]
        ready = zip(*values, strict=True) if values else iter([()] * len(rows))
        for i, row in enumerate(ready):
            found = problems.get(i)
            if problem := person_problems.get(i) or _nobody(people[i], anonymous[i]) or _time_problem(times[i]):
                out.refusals.append(_refusal(seqs[i], problem, found))
                continue
            if found:
                out.refusals.append(_refusal(seqs[i], None, found))
                continue
            kind = self._sync.identifier.value if people[i] is not None else "anonymous_id"
            attributes = {name: value for name, value in zip(names, row, strict=True) if value is not None}
            body = orjson.dumps({
                "type": "person", "identifiers": {kind: people[i] if people[i] is not None else anonymous[i]},
                "action": "event", "name": self._sync.event, "id": self._ids.id(keys[i], variants[i]),
                "timestamp": times[i], "attributes": attributes,
            })  # fmt: skip
            if len(body) > MAX_OPERATION_BYTES:
                out.refusals.append(_too_large(seqs[i], body))
            else:
                out.operations.append(Operation(seqs[i], body))
        return out


# --- a page, column by column ----------------------------------------------------------------------------------


def _checked(
    codecs: Sequence[_FieldCodec], columns: Sequence[tuple[Any, ...]], sending: Sequence[bool]
) -> tuple[list[Sequence[Any]], dict[int, tuple[Problem, str, int]], bool]:
    """Columns ready for JSON, the first problem of each row (with its field and how many more), and whether any
    value is null.
    """
    ready: list[Sequence[Any]] = []
    problems: dict[int, tuple[Problem, str, int]] = {}
    holes = False
    for codec, column in zip(codecs, columns, strict=True):
        null = None in column
        holes = holes or null
        if codec.fine(column, null=null):
            ready.append(column)
            continue
        converted = list(column)
        for i, value in enumerate(column):
            if not sending[i]:
                continue
            try:
                converted[i] = codec.value(value)
            except _Broken as broken:
                first = problems.get(i)
                problems[i] = (first[0], first[1], first[2] + 1) if first else (broken.problem, codec.field.name, 0)
        ready.append(converted)
    return ready, problems, holes


def _refusal(seq: int, first: Problem | None, found: tuple[Problem, str, int] | None) -> Refusal:
    """The refusal of a row: a problem of the row as a whole before those of its fields."""
    if first is not None:
        return Refusal(seq=seq, reason=first[0], message=first[1])
    assert found is not None  # noqa: S101 a refusal has a reason
    (reason, message), field, more = found
    if more:
        message += f" (and {more} more problem{'s' if more > 1 else ''} in this row)"
    return Refusal(seq=seq, reason=reason, field=field, message=message)


def _too_large(seq: int, body: bytes) -> Refusal:
    attributes = orjson.loads(body)["attributes"]
    sizes = {name: len(orjson.dumps(value)) for name, value in attributes.items()}
    widest = max(sizes, key=lambda name: sizes[name], default="")
    return Refusal(
        seq=seq, reason="too_large", field=widest,
        message=f"the operation has {len(body):,} bytes, more than {MAX_OPERATION_BYTES:,}; "
        f"its widest field has {sizes.get(widest, 0):,}",
    )  # fmt: skip


def _nobody(person: str | None, anonymous: str | None) -> Problem | None:
    if person is None and anonymous is None:
        return ("required", "there is neither a person nor an anonymous id")
    return None


def _key_problems(keys: Sequence[str | None], kind: IdentifierKind) -> dict[int, Problem]:
    """Problems of identifiers by row; None is the caller's business."""
    texts = [key for key in keys if key is not None]
    if (
        kind is not IdentifierKind.EMAIL
        and max(map(len, texts), default=1) * MAX_BYTES_PER_CHARACTER <= MAX_IDENTIFIER_BYTES
        and "" not in texts
        and "".join(texts).isalnum()
    ):
        return {}
    found: dict[int, Problem] = {}
    for i, key in enumerate(keys):
        if key is None:
            continue
        size = len(key.encode(errors="surrogatepass"))
        if _BLANK.fullmatch(key):
            found[i] = ("blank", "the identifier is blank")
        elif size > MAX_IDENTIFIER_BYTES:
            found[i] = ("too_long", f"the identifier has {size} bytes, more than {MAX_IDENTIFIER_BYTES}")
        elif _CONTROL.search(key):
            found[i] = ("control_character", "the identifier has a control character or half a surrogate pair")
        elif kind is IdentifierKind.EMAIL and not _EMAIL.fullmatch(key):
            found[i] = ("format", "the identifier is not an e-mail address")
    return found


def _time_problem(seconds: Any) -> Problem | None:  # noqa: ANN401 a warehouse's value
    if seconds is None:
        return ("required", "the event has no time")
    if not EARLIEST_S < seconds < LATEST_S:
        return ("not_unix_seconds", "the event's time is no time in Unix seconds (milliseconds?)")
    return None


# --- one field -------------------------------------------------------------------------------------------------


class _FieldCodec:
    """How one field is tested, a column or a value at a time, and turned into what orjson writes."""

    def __init__(self, field: Field, *, person: bool) -> None:
        self.field = field
        limit = MAX_VALUE_BYTES if person else MAX_OPERATION_BYTES
        self._limit = min(limit, field.max_length or limit)
        self._json_limit = limit
        self._enum = frozenset(field.enum)
        self._pattern = re.compile(field.pattern) if field.pattern else None
        self._nulls = not field.required and field.on_null is not OnNull.REFUSE
        self._value: Callable[[Any], Any] = {
            FieldType.STRING: self._string, FieldType.DATE: self._string, FieldType.BOOLEAN: self._boolean,
            FieldType.INTEGER: self._integer, FieldType.NUMBER: self._number, FieldType.TIMESTAMP: self._timestamp,
            FieldType.ARRAY: self._json, FieldType.OBJECT: self._json,
        }[field.type]  # fmt: skip

    def fine(self, column: Sequence[Any], *, null: bool) -> bool:
        """Whether every value of a column is certainly fine and needs no conversion (a cheap, one-sided test)."""
        kind = self.field.type
        if null:
            if not self._nulls:
                return False
            column = [value for value in column if value is not None]
        if not column or kind is FieldType.BOOLEAN:
            return all(value is True or value is False for value in set(column))
        if kind in {FieldType.STRING, FieldType.DATE}:
            return self._strings_fine(column)
        if kind is FieldType.TIMESTAMP:
            return bool(EARLIEST_S < min(column) and max(column) < LATEST_S)
        if kind in {FieldType.INTEGER, FieldType.NUMBER}:
            return self._numbers_fine(column)
        return False

    def _strings_fine(self, column: Sequence[Any]) -> bool:
        if self._pattern or self.field.format or (self.field.required and "" in column):
            return False
        if self._enum:
            return set(column) <= self._enum
        longest = max(map(len, column))
        return longest * MAX_BYTES_PER_CHARACTER <= self._limit and not _CONTROL.search("\n".join(column))

    def _numbers_fine(self, column: Sequence[Any]) -> bool:
        kinds = set(map(type, column))
        if kinds != {int} and (kinds != {float} or self.field.type is FieldType.INTEGER):
            return False
        low, high = min(column), max(column)
        # a NaN hides from min and max, but not from a sum
        if kinds == {float} and not math.isfinite(math.fsum(column) if high < 1e300 > -low else math.inf):  # noqa: PLR2004
            return False
        above = self.field.minimum is None or low >= self.field.minimum
        below = self.field.maximum is None or high <= self.field.maximum
        return bool(above and below and -(2**63) <= low <= high < 2**63)

    def value(self, value: Any) -> Any:  # noqa: ANN401 a warehouse's value
        """One value as orjson writes it.

        Raises:
            _Broken: it breaks the contract.
        """
        if value is None:
            if self.field.required:
                raise _Broken("required", "the value is null and the contract requires it")
            if self.field.on_null is OnNull.REFUSE:
                raise _Broken("null", "the value is null and the contract refuses that")
            return None
        return self._value(value)

    def _string(self, value: Any) -> str:  # noqa: ANN401 a warehouse's value
        if not isinstance(value, str):
            raise _Broken("type", "the value is not a text")
        field = self.field
        if _CONTROL.search(value):
            raise _Broken("control_character", "the text has a control character or half a surrogate pair")
        size = len(value.encode())
        if size > self._limit:
            raise _Broken("too_long", f"the text has {size:,} bytes, more than {self._limit:,}")
        if field.required and not value:
            raise _Broken("required", "the text is empty and the contract requires a value")
        if self._enum and value not in self._enum:
            raise _Broken("enum", "the text is none of the contract's values")
        if self._pattern and not self._pattern.fullmatch(value):
            raise _Broken("pattern", f"the text does not match {field.pattern}")
        if field.format == "email" and (not _EMAIL.fullmatch(value) or size > MAX_EMAIL_BYTES):
            raise _Broken("format", "the text is not an e-mail address")
        return value

    def _boolean(self, value: Any) -> bool:  # noqa: ANN401 a warehouse's value
        if not isinstance(value, bool):
            raise _Broken("type", "the value is not a boolean")
        return value

    def _timestamp(self, value: Any) -> int:  # noqa: ANN401 a warehouse's value
        if not EARLIEST_S < value < LATEST_S:
            raise _Broken("not_unix_seconds", "the value is no time in Unix seconds (milliseconds?)")
        return int(value)

    def _integer(self, value: Any) -> Any:  # noqa: ANN401 a warehouse's value
        try:
            number = int(value)
        except (ValueError, OverflowError):
            raise _Broken("type", "the value is not an integer") from None
        self._bounds(Decimal(number))
        return number if -(2**63) <= number < 2**63 else orjson.Fragment(str(number).encode())

    def _number(self, value: Any) -> Any:  # noqa: ANN401 a warehouse's value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise _Broken("not_finite", "the number is NaN or infinite, which JSON does not have")
            self._bounds(value)
            return value
        try:
            exact = Decimal(value)
        except (InvalidOperation, TypeError, ValueError):
            raise _Broken("type", "the value is not a number") from None
        if not exact.is_finite():
            raise _Broken("not_finite", "the number is NaN or infinite, which JSON does not have")
        self._bounds(exact)
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        return orjson.Fragment(format(exact, "f").encode())

    def _bounds(self, value: Decimal | float) -> None:
        if self.field.minimum is not None and value < self.field.minimum:
            raise _Broken("minimum", f"the number is below {self.field.minimum:g}")
        if self.field.maximum is not None and value > self.field.maximum:
            raise _Broken("maximum", f"the number is above {self.field.maximum:g}")

    def _json(self, value: Any) -> Any:  # noqa: ANN401 a warehouse's value
        found = _parsed(value)
        if self.field.type is FieldType.OBJECT:
            if not isinstance(found, dict):
                raise _Broken("type", "the value is not a JSON object")
            if self.field.items:
                found = _item(self.field.items, found, "")
        else:
            if not isinstance(found, list):
                raise _Broken("type", "the value is not a JSON array")
            if self.field.items:
                found = [_item(self.field.items, item, f"item {i + 1}: ") for i, item in enumerate(found)]
            elif self.field.item_type is not None:
                codec = _FieldCodec(_scalar(self.field), person=False)
                found = [codec.value(item) for item in found]
        text = _dumped(found)
        if len(text) > self._json_limit:
            raise _Broken("too_long", f"the JSON text has {len(text):,} bytes, more than {self._json_limit:,}")
        return orjson.Fragment(text)


def _scalar(field: Field) -> Field:
    assert field.item_type is not None  # noqa: S101 the caller has looked
    return Field(name=field.name, column=field.column, type=field.item_type, on_null=OnNull.REFUSE, required=True)


def _item(fields: Sequence[Field], item: Any, place: str) -> dict[str, Any]:  # noqa: ANN401 parsed JSON
    """The named properties of one item; what is not named is not sent."""
    if not isinstance(item, dict):
        raise _Broken("type", f"{place}not a JSON object")
    out: dict[str, Any] = {}
    for field in fields:
        value = item.get(field.column)
        if isinstance(value, dict | list):
            value = _dumped(value).decode()
        elif value is not None and field.type is FieldType.STRING and isinstance(value, int | Decimal):
            value = str(value)
        try:
            ready = _FieldCodec(field, person=False).value(value)
        except _Broken as broken:
            raise _Broken(broken.problem[0], f"{place}{field.name}: {broken.problem[1]}") from None
        if ready is not None:
            out[field.name] = ready
    return out


def _parsed(value: Any) -> Any:  # noqa: ANN401 a warehouse's value, then parsed JSON
    """JSON text as Python values; fractions as Decimal, so that no digit is lost."""
    if not isinstance(value, str):
        raise _Broken("type", "the value is not JSON text")
    try:
        found = json.loads(value, parse_float=Decimal, parse_int=_integer, parse_constant=_constant)
    except RecursionError:
        raise _Broken("too_deep", f"the JSON is nested deeper than {MAX_DEPTH}") from None
    except ValueError:
        raise _Broken("json", "the text is not valid JSON") from None
    _depth(found, MAX_DEPTH)
    return found


def _integer(digits: str) -> int | Decimal:
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else Decimal(number)


def _constant(_: str) -> Any:  # noqa: ANN401 never returns
    raise _Broken("not_finite", "the JSON holds NaN or Infinity, which JSON does not have")


def _depth(value: Any, left: int) -> None:  # noqa: ANN401 parsed JSON
    if left == 0:
        raise _Broken("too_deep", f"the JSON is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str) and _CONTROL.search(value):
        raise _Broken("control_character", "the JSON holds a control character or half a surrogate pair")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _depth(inner, left - 1)


def _dumped(value: Any) -> bytes:  # noqa: ANN401 parsed JSON
    def fragment(item: Any) -> Any:  # noqa: ANN401 what orjson cannot write
        if isinstance(item, Decimal):
            return orjson.Fragment(format(item, "f").encode())
        raise TypeError

    return orjson.dumps(value, default=fragment)
