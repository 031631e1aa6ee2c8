"""Values of one field to JSON texts, a column of a page at a time: exact, or a problem by name.

For each type one test at C speed proves that a whole column is fine, and one call turns it into texts; only a column
that fails its test is looked at value by value. Both ways let the same values pass and write the same bytes.
`encode.py` fills the texts of a row into a template (`Shapes`). What is exact and what is refused: `docs/types.md`.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import accumulate, chain
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from revetl.contracts import TOO_WIDE, Field, FieldType, OnNull
from revetl.formats import INVISIBLE, rule_of

MAX_EMAIL_BYTES = 254  # RFC 3696, erratum 1690
MAX_DEPTH = 20
EARLIEST_S, LATEST_S = 999_999_999, 100_000_000_000  # outside: milliseconds, or not Unix seconds at all
NULL = b"null"
QUOTES = 2  # around a JSON text
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1  # what orjson writes as an integer
_MAX_INTEGER_BITS, _MAX_DIGITS = 1024, 309  # of a double; more would be infinite for most readers of JSON
_TOO_WIDE_DIGITS = len(str(TOO_WIDE))
_TOO_WIDE_TEXTS = frozenset({str(TOO_WIDE), str(-TOO_WIDE)})
_SHAPES = 4096  # templates kept at most, one for each set of attributes that is sent together

# text may have tabs and line ends; \x80-\x9f and the surrogates exist only outside ASCII
_CONTROL_BYTES = bytes([*range(9), 11, 12, *range(14, 32), 127])
_WIDE_CONTROL = re.compile("[\x80-\x9f\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
ANY_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
BLANK = re.compile(f"[{INVISIBLE}]*")
VISIBLE_ASCII = bytes(set(range(0x21, 0x7F)) - {*b'"\\'})
_PLAIN = bytes(set(range(0x20, 0x100)) - {*b'"\\\x7f'})  # of UTF-8 text: what JSON writes as it is
_DATE = re.compile("[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
_JSON_NUMBER = re.compile("-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LOOSE_NUMBER = re.compile("[+-]?(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LOOSE_INTEGER = re.compile("[+-]?[0-9]+")
_NOT_A_NUMBER = re.compile("[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
# numbers of JSON text that do not come back from a double as they were (up to 15 digits do): with more digits, an
# exponent, a zero at the end of a fraction (but .0), or so small that they would get an exponent
_UNLIKE_DOUBLE = re.compile("[0-9.]{16}|[0-9][eE]|\\.[0-9]+0(?![0-9])|\\.000")


class Problem(NamedTuple):
    """Why a value or a row is refused: a stable word, and one sentence without values."""

    reason: str
    message: str


class _Broken(Exception):  # noqa: N818 it never leaves this module
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message)


class Page(NamedTuple):
    """A column's JSON texts (of a value with a problem: null), whether one is null, and the problems by row."""

    texts: list[bytes]
    nulls: bool
    problems: Mapping[int, Problem] = MappingProxyType({})


def number_texts(numbers: Sequence[Any]) -> list[bytes]:
    """JSON texts of numbers, booleans and nulls, by one call (none of them has a comma)."""
    return orjson.dumps(numbers)[1:-1].split(b",")


def string_texts(values: Sequence[Any], plain: bytes) -> list[bytes] | None:
    """JSON texts of strings, by one join and one split; None unless all are strings of these bytes only."""
    try:
        data = ('"' + '"\0"'.join(values) + '"').encode()
    except (TypeError, UnicodeEncodeError):
        return None
    if data.translate(None, plain) != b'"' + b'"\0"' * (len(values) - 1) + b'"':
        return None
    return data.split(b"\0")


class Codec:
    """How one field is checked and written, a column at a time or, where that fails, a value at a time.

    The test of a column is one-sided: whatever it lets pass, the test of each value lets pass, too, and both write
    the same bytes.

    Args:
        limit: the destination's, in bytes of a text or of the JSON of an array or object.
        nested: the values come from parsed JSON, not from the warehouse.
        casts: a text may be an integer, which is written as its digits.
    """

    def __init__(self, field: Field, *, limit: int, nested: bool = False, casts: bool = False) -> None:
        self.field = field
        self._nested, self._casts = nested, casts
        self._limit = min(
            limit, field.max_length or limit, MAX_EMAIL_BYTES if field.format == "email" else limit
        )
        self._nulls = not field.required and field.on_null is not OnNull.REFUSE
        self._enum = frozenset(field.enum)
        self._pattern = re.compile(field.pattern) if field.pattern else None
        self._rules: list[Callable[[str], object]] = []
        self._format = rule_of(field.format) if field.format else None
        if self._format:
            self._rules.append(self._format[0])
        self._rules += [form.fullmatch for form in (_DATE if field.type is FieldType.DATE else None, self._pattern) if form]
        # a bound is what was written in the file: 0.1 allows the decimal 0.1, though the double is a little above it
        self._low = None if field.minimum is None else Decimal(repr(field.minimum))
        self._high = None if field.maximum is None else Decimal(repr(field.maximum))
        kind = field.type
        self._json = _Json(field, limit) if kind in {FieldType.ARRAY, FieldType.OBJECT} else None
        self._fast: Callable[[Sequence[Any]], Page | None]
        self._slow: Callable[[Any], bytes]
        self._fast, self._slow = {
            FieldType.STRING: (self._strings, self._string), FieldType.DATE: (self._strings, self._string),
            FieldType.BOOLEAN: (self._booleans, self._boolean), FieldType.INTEGER: (self._integers, self._integer),
            FieldType.NUMBER: (self._numbers, self._number), FieldType.TIMESTAMP: (self._timestamps, self._timestamp),
            FieldType.ARRAY: (_never, _no_value), FieldType.OBJECT: (_never, _no_value),
        }[kind]  # fmt: skip

    def page(self, column: Sequence[Any]) -> Page:
        """The texts of a column."""
        fine = self._fast(column) if column else Page([], nulls=False)
        if fine is not None:
            return fine
        problems: dict[int, Problem] = {}
        texts = [NULL] * len(column)
        rest = []
        for i, value in enumerate(column):
            if value is not None:
                rest.append(i)
            elif self.field.required:
                problems[i] = Problem("required", "the value is null and the contract requires it")
            elif self.field.on_null is OnNull.REFUSE:
                problems[i] = Problem("null", "the value is null and the contract refuses that")
        if self._json is not None:
            written, broken = self._json.page([column[i] for i in rest], nested=self._nested)
            for i, text in zip(rest, written, strict=True):
                texts[i] = text
            problems.update((rest[local], problem) for local, problem in broken.items())
            for i in rest:
                size = len(texts[i])
                if size > self._limit and i not in problems:
                    problems[i] = Problem(
                        "too_long", f"the JSON text has {size:,} bytes, more than {self._limit:,}"
                    )
            return Page(texts, len(rest) < len(column), problems)
        for i in rest:
            try:
                texts[i] = self._slow(column[i])
            except _Broken as broken_value:
                problems[i] = broken_value.problem
        return Page(texts, len(rest) < len(column), problems)

    # --- texts and dates

    def _strings(self, column: Sequence[Any]) -> Page | None:
        present, texts = column, string_texts(column, _PLAIN)
        if texts is None:
            present = [value for value in column if value is not None]
            if len(present) < len(column) and not self._nulls:
                return None
            try:
                data = "".join(present).encode()
            except (TypeError, UnicodeEncodeError):
                return None
            if len(data.translate(None, _CONTROL_BYTES)) != len(data):
                return None
            texts = list(map(orjson.dumps, column))
        nulls = len(present) < len(column)
        if max(map(len, texts)) - QUOTES > self._limit or not self._all_fit(present):
            return None
        return Page(texts, nulls)

    def _all_fit(self, texts: Sequence[str]) -> bool:
        """Whether texts have no control characters beyond ASCII and fit the contract's rules."""
        joined = "".join(texts)
        if not joined.isascii() and _WIDE_CONTROL.search(joined):
            return False
        if (self.field.required and "" in texts) or (self._enum and not set(texts) <= self._enum):
            return False
        return all(all(map(rule, texts)) for rule in self._rules)

    def _string(self, value: Any) -> bytes:  # noqa: ANN401 a warehouse's value
        if self._casts and (
            type(value) is int or (isinstance(value, Decimal) and not value.as_tuple().exponent)
        ):
            value = str(value)  # as the plan's cast does outside of JSON
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
        if self._format and not self._format[0](value):
            raise _Broken("format", f"the text is not {self._format[1]}")
        if field.type is FieldType.DATE and not _DATE.fullmatch(value):
            raise _Broken("format", "the text is not a date as YYYY-MM-DD")
        return orjson.dumps(value)

    # --- booleans and times

    def _booleans(self, column: Sequence[Any]) -> Page | None:
        present = self._only({bool}, column)
        return None if present is None else Page(number_texts(column), len(present) < len(column))

    def _boolean(self, value: Any) -> bytes:  # noqa: ANN401 a warehouse's value
        if not isinstance(value, bool):
            raise _Broken("type", "the value is not a boolean")
        return orjson.dumps(value)

    def _timestamps(self, column: Sequence[Any]) -> Page | None:
        present = self._only({int}, column)
        if present is None or not (min(present) > EARLIEST_S and max(present) < LATEST_S):
            return None
        return Page(number_texts(column), len(present) < len(column))

    def _timestamp(self, value: Any) -> bytes:  # noqa: ANN401 a warehouse's value
        if type(value) is not int:
            raise _Broken("type", "the value is not a time in Unix seconds")
        if not EARLIEST_S < value < LATEST_S:
            raise _Broken("not_unix_seconds", "the value is no time in Unix seconds (milliseconds?)")
        return b"%d" % value

    # --- numbers

    def _only(self, kinds: set[type], column: Sequence[Any]) -> Sequence[Any] | None:
        """What is not null, if it is all of these types and nulls are allowed where there are some; else None."""
        seen = set(map(type, column))
        if seen == kinds:
            return column
        if self._nulls and seen == kinds | {type(None)}:
            return [value for value in column if value is not None]
        return None

    def _within(self, low: float, high: float) -> bool:
        """Whether numbers from `low` to `high` are within the bounds of the contract."""
        field = self.field
        return (field.minimum is None or low >= field.minimum) and (
            field.maximum is None or high <= field.maximum
        )

    def _integers(self, column: Sequence[Any]) -> Page | None:
        present = self._only({int}, column)
        if present is None:
            return None
        low, high = min(present), max(present)
        if low < _LOWEST or high > _HIGHEST or not self._within(low, high):
            return None
        return Page(number_texts(column), len(present) < len(column))

    def _numbers(self, column: Sequence[Any]) -> Page | None:
        if (present := self._only({float}, column)) is not None:
            # a NaN hides from min and max, but not from a sum
            fine = math.isfinite(sum(present)) and self._within(min(present), max(present))
            return Page(number_texts(column), len(present) < len(column)) if fine else None
        if self._only({Decimal}, column) is not None:
            return self._digits([None if value is None else str(value) for value in column])
        if not self._nested and self._only({str}, column) is not None:
            return self._digits(column)
        return self._integers(column)

    def _digits(self, column: Sequence[Any]) -> Page | None:
        """Decimals as their digits."""
        present = self._only({str}, column)
        if present is None:
            return None
        longest = max(map(len, present))
        if not all(map(_JSON_NUMBER.fullmatch, present)) or longest > self._limit:
            return None
        if longest >= _TOO_WIDE_DIGITS and not _TOO_WIDE_TEXTS.isdisjoint(present):
            return None
        near = list(map(float, present))
        low, high = min(near), max(near)
        # rounding keeps the order, so a double strictly within the bounds proves it of the digits, too
        inside = (self.field.minimum is None or low > self.field.minimum) and (
            self.field.maximum is None or high < self.field.maximum
        )
        if not inside or math.isinf(low) or math.isinf(high):
            return None
        texts = [NULL if value is None else value.encode() for value in column]
        return Page(texts, len(present) < len(column))

    def _integer(self, value: Any) -> bytes:  # noqa: ANN401 a warehouse's value
        if isinstance(value, str) and not self._nested:
            if _NOT_A_NUMBER.fullmatch(value):
                raise _not_finite()
            if not _LOOSE_INTEGER.fullmatch(value):
                raise _Broken("type", "the value is not an integer")
            value = Decimal(value)
        if isinstance(value, float | Decimal):
            exact = Decimal(value)
            if not exact.is_finite():
                raise _not_finite()
            if exact != exact.to_integral_value():
                raise _Broken("type", "the number is not an integer")
            if exact.adjusted() > _MAX_DIGITS:
                raise _out_of_range()
            value = int(exact)
        if type(value) is not int:
            raise _Broken("type", "the value is not an integer")
        if value.bit_length() > _MAX_INTEGER_BITS or (abs(value) == TOO_WIDE and not self._nested):
            raise _out_of_range()
        self._bounds(value, self.field.minimum, self.field.maximum)
        return b"%d" % value

    def _number(self, value: Any) -> bytes:  # noqa: ANN401 a warehouse's value
        if type(value) is int:
            return self._integer(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise _not_finite()
            self._bounds(value, self.field.minimum, self.field.maximum)
            return orjson.dumps(value)
        text = str(value) if isinstance(value, Decimal) else value
        if not isinstance(text, str) or (self._nested and isinstance(value, str)):
            raise _Broken("type", "the value is not a number")
        if _NOT_A_NUMBER.fullmatch(text):
            raise _not_finite()
        if not _LOOSE_NUMBER.fullmatch(text):
            raise _Broken("type", "the value is not a number")
        if text in _TOO_WIDE_TEXTS and not self._nested:
            raise _out_of_range()
        if len(text) > self._limit:
            raise _Broken("too_long", f"the number has {len(text):,} digits, more than {self._limit:,}")
        exact = _decimal(text)
        self._bounds(exact, self._low, self._high)
        return text.encode() if _JSON_NUMBER.fullmatch(text) else str(exact).encode()

    def _bounds(self, value: Any, low: Any, high: Any) -> None:  # noqa: ANN401 numbers of one kind, or of two that compare
        if low is not None and value < low:
            raise _Broken("minimum", f"the number is below {self.field.minimum!r}")
        if high is not None and value > high:
            raise _Broken("maximum", f"the number is above {self.field.maximum!r}")


def _never(_: Sequence[Any]) -> Page | None:
    return None


def _no_value(_: Any) -> bytes:  # noqa: ANN401 arrays and objects are written by `_Json`
    raise AssertionError


def _not_finite() -> _Broken:
    return _Broken("not_finite", "the number is NaN or infinite, which JSON does not have")


def _out_of_range() -> _Broken:
    return _Broken("out_of_range", "the number has more digits than can be kept, or is larger than a double")


def _decimal(text: str) -> Decimal:
    """The exact number; its text is valid JSON, too.

    Raises:
        _Broken: it is larger than a double.
    """
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent of more than eighteen digits
        raise _out_of_range() from None
    if math.isinf(float(text)):
        raise _out_of_range()
    return exact


# --- arrays and objects ----------------------------------------------------------------------------------------


class _Json:
    """Arrays and objects: from JSON text (or parsed JSON, inside items) to canonical JSON text.

    Properties that the contract of the items does not name are not sent, nulls neither. The items of a whole page
    are checked and written like rows: a property is a column.
    """

    def __init__(self, field: Field, limit: int) -> None:
        self._object = field.type is FieldType.OBJECT
        self._names = [item.column for item in field.items]
        self._codecs = [Codec(item, limit=limit, nested=True, casts=True) for item in field.items]
        self._shapes = Shapes(b"{", 0, field.items, b"}", nulls=False)
        self._scalar: Codec | None = None
        if field.item_type is not None and not field.items and not self._object:
            scalar = Field(name="", column="", type=field.item_type, required=True)
            self._scalar = Codec(scalar, limit=limit, nested=True)

    def page(self, column: Sequence[Any], *, nested: bool) -> tuple[list[bytes], dict[int, Problem]]:
        """Texts (of a value with a problem: null) and problems by row; there is no null among the values."""
        problems: dict[int, Problem] = {}
        wanted: type = dict if self._object else list
        values = []
        for i, value in enumerate(column if nested else _parsed(column)):
            if isinstance(value, Problem):
                problems[i] = value
            elif not isinstance(value, wanted):
                problems[i] = Problem(
                    "type", f"the value is not a JSON {'object' if self._object else 'array'}"
                )
            values.append(wanted() if i in problems else value)
        if not self._codecs and self._scalar is None:
            texts = [orjson.dumps(value, default=_written) for value in values]
        elif self._object:
            texts, broken = self._items(values)
            for row, (name, problem) in broken.items():
                problems.setdefault(row, Problem(problem.reason, name + problem.message))
        else:
            texts = self._arrays(values, problems)
        for i in problems:
            texts[i] = NULL
        return texts, problems

    def _arrays(self, values: Sequence[list[Any]], problems: dict[int, Problem]) -> list[bytes]:
        flat = list(chain.from_iterable(values))
        ends = list(accumulate(map(len, values)))
        if self._scalar is not None:
            page = self._scalar.page(flat)
            written, broken = page.texts, {i: ("", problem) for i, problem in page.problems.items()}
        else:
            written, broken = self._items(flat)
        for i in sorted(broken):
            row = bisect_right(ends, i)
            name, problem = broken[i]
            place = f"item {i - (ends[row - 1] if row else 0) + 1}: {name}"
            problems.setdefault(row, Problem(problem.reason, place + problem.message))
        return [
            b"[" + b",".join(written[end - len(value) : end]) + b"]"
            for value, end in zip(values, ends, strict=True)
        ]  # fmt: skip

    def _items(self, flat: Sequence[Any]) -> tuple[list[bytes], dict[int, tuple[str, Problem]]]:
        """Texts of items, and for each with a problem the first one with `name: `."""
        if not flat:
            return [], {}
        broken: dict[int, tuple[str, Problem]] = {}
        if not set(map(type, flat)) <= {dict}:
            broken = {
                i: ("", Problem("type", "not a JSON object"))
                for i, item in enumerate(flat)
                if not isinstance(item, dict)
            }
            flat = [item if isinstance(item, dict) else {} for item in flat]
        texts, nulls = [], []
        for i, (name, codec) in enumerate(zip(self._names, self._codecs, strict=True)):
            page = codec.page([item.get(name) for item in flat])
            for place, problem in page.problems.items():
                broken.setdefault(place, (f"{codec.field.name}: ", problem))
            texts.append(page.texts)
            if page.nulls:
                nulls.append(i)
        return self._shapes.fill(texts, None, nulls), broken


def _parsed(column: Sequence[Any]) -> list[Any]:
    """JSON texts as Python values, Decimals where doubles would change the digits; Problems where that fails."""
    try:
        joined = "\n".join(column)
        data = joined.encode()
    except (TypeError, UnicodeEncodeError):
        return [_parsed_value(text, plain=False) for text in column]
    plain = not (
        "\\" in joined  # an escape can hide anything
        or len(data.translate(None, _CONTROL_BYTES)) != len(data)
        or _WIDE_CONTROL.search(joined)
        or _UNLIKE_DOUBLE.search(joined)
    )
    values = [_parsed_value(text, plain=plain) for text in column]
    if plain and "{" in joined:
        # every name and every text stands between two quotes, so a name that was given twice leaves fewer of them
        try:
            kept = orjson.dumps(values).count(b'"')
        except TypeError:  # a problem, or a number that is no double
            kept = -1
        if kept != data.count(b'"'):
            return [_parsed_value(text, plain=False) for text in column]
    return values


def _parsed_value(text: Any, *, plain: bool) -> Any:  # noqa: ANN401 a warehouse's value, then parsed JSON
    if plain and text.count("[") + text.count("{") <= MAX_DEPTH:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # the slow way says what is wrong
    if not isinstance(text, str):
        return Problem("type", "the value is not JSON text")
    try:
        found = json.loads(
            text, parse_float=_decimal, parse_int=_exact_integer, parse_constant=_constant, object_pairs_hook=_object
        )
        _look_inside(found, MAX_DEPTH)
    except _Broken as broken:
        return broken.problem
    except RecursionError:
        return Problem("too_deep", f"the JSON is nested deeper than {MAX_DEPTH}")
    except ValueError:
        return Problem("json", "the text is not valid JSON")
    return found


def _exact_integer(digits: str) -> int | Decimal:
    exact = _decimal(digits)
    return int(exact) if _LOWEST <= exact <= _HIGHEST else exact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Broken("json", "an object of the JSON names a property twice")
    return found


def _constant(_: str) -> Any:  # noqa: ANN401 never returns
    raise _Broken("not_finite", "the JSON holds NaN or Infinity, which JSON does not have")


def _look_inside(value: Any, left: int) -> None:  # noqa: ANN401 parsed JSON
    if isinstance(value, str):
        if _CONTROL.search(value):
            raise _Broken("control_character", "the JSON holds a control character or half a surrogate pair")
    elif isinstance(value, dict | list):
        if not left:
            raise _Broken("too_deep", f"the JSON is nested deeper than {MAX_DEPTH}")
        for inner in chain(value, value.values()) if isinstance(value, dict) else value:
            _look_inside(inner, left - 1)


def _written(value: Any) -> Any:  # noqa: ANN401 what orjson cannot write
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    raise TypeError


# --- templates -----------------------------------------------------------------------------------------------


class Shapes:
    """Fills the texts of rows into templates: one for each set of attributes that is sent together.

    Args:
        head: the template up to the first attribute.
        leading: how many texts of a row belong to the head.
        nulls: whether a null of a field with `on_null: clear` is written (else every null is left out).
    """

    def __init__(
        self, head: bytes, leading: int, fields: Sequence[Field], tail: bytes, *, nulls: bool
    ) -> None:
        self._head, self._leading, self._tail = head, leading, tail
        self._labels = [orjson.dumps(field.name).replace(b"%", b"%%") + b":%b" for field in fields]
        self._optional = [not (nulls and field.on_null is OnNull.CLEAR) for field in fields]
        self.everything = (1 << len(fields)) - 1
        self._shape = lru_cache(_SHAPES)(self._build)

    def fill(
        self, columns: Sequence[Sequence[bytes]], masks: Sequence[int] | None, nulls: Iterable[int]
    ) -> list[bytes]:
        """One text a row.

        Args:
            columns: the texts of the head, then those of each field.
            masks: bit i set: field i is wanted; None: every field of every row.
            nulls: the fields that are null in some row.
        """
        holes = [(self._leading + i, 1 << i) for i in nulls if self._optional[i]]
        rows = zip(*columns, strict=True)
        if masks is None and not holes:
            template, _ = self._shape(self.everything)
            return [template % row for row in rows]
        out = []
        for row, mask in zip(rows, masks or [self.everything] * len(columns[0]), strict=True):
            for position, bit in holes:
                if row[position] == NULL:
                    mask &= ~bit  # noqa: PLW2901 the shape of this row
            template, pick = self._shape(mask)
            out.append(template % pick(row))
        return out

    def _build(self, mask: int) -> tuple[bytes, Callable[[tuple[bytes, ...]], Any]]:
        wanted = [i for i in range(len(self._labels)) if mask >> i & 1]
        template = self._head + b",".join([self._labels[i] for i in wanted]) + self._tail
        positions = [*range(self._leading), *(self._leading + i for i in wanted)]
        return template, itemgetter(*positions) if positions else lambda _: ()
