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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import accumulate, chain
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from revetl.contracts import MAX_DEPTH, NOW, TOO_WIDE, Bound, Field, FieldType, OnNull, OnViolation
from revetl.formats import INVISIBLE, rule_of
from revetl.outline import outline

MAX_EMAIL_BYTES = 254  # RFC 3696, erratum 1690
NOW_SLACK_S = 300  # what the model reads while the plan is made may be a little younger than the plan
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
    """Why a value or a row is refused, or what a row that is sent all the same breaks.

    Attributes:
        reason: a stable word.
        message: one sentence without values.
        rule: the key of the contract that is broken; empty for what Customer.io or JSON cannot take.
        policy: what the contract says of it.
        outline: what the value looks like.
        path: of the value inside an array or object, such as `sku`.
    """

    reason: str
    message: str
    rule: str = ""
    policy: OnViolation = OnViolation.REFUSE
    outline: str = ""
    path: str = ""

    def inside(self, place: str, name: str = "") -> Problem:
        """The same, seen from the array or object that holds the value."""
        path = f"{name}.{self.path}" if name and self.path else name or self.path
        return self._replace(message=place + self.message, path=path)


Problems = dict[int, Problem]
Warnings = list[tuple[int, Problem]]


def note(problems: Problems, row: int, problem: Problem) -> None:
    """Keep the first problem of each row; one that stops the sync goes before one that refuses the row."""
    known = problems.get(row)
    if known is None or (problem.policy is OnViolation.FAIL and known.policy is not OnViolation.FAIL):
        problems[row] = problem


class _Broken(Exception):  # noqa: N818 it never leaves this module
    """A value that cannot be written, or that nothing more can be said of."""

    def __init__(self, reason: str, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(reason, message, rule)


class Page(NamedTuple):
    """A column's JSON texts (of a value with a problem: null), whether one is null, and problems by row.

    Rows in `warnings` keep their text: they break a rule that only warns.
    """

    texts: list[bytes]
    nulls: bool
    problems: Problems = MappingProxyType({})  # type: ignore[assignment]  # of a page without any: nobody adds one
    warnings: Warnings = ()  # type: ignore[assignment]  # the same


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
        now_s: what the bound `now` means, Unix seconds; 0: nothing.
    """

    def __init__(
        self, field: Field, *, limit: int, nested: bool = False, casts: bool = False, now_s: int = 0
    ) -> None:
        self.field = field
        self._nested, self._casts = nested, casts
        self._limit = limit
        self._most_bytes = min(limit, field.max_length or limit, MAX_EMAIL_BYTES if field.format == "email" else limit)
        self._nulls = not field.required and field.on_null is not OnNull.REFUSE
        self._enum: frozenset[Any] = frozenset(field.enum)
        self._exact_enum = frozenset(Decimal(repr(v)) for v in field.enum if not isinstance(v, str | bool))
        self._pattern = re.compile(field.pattern) if field.pattern else None
        self._rules: list[Callable[[str], object]] = []
        self._format = rule_of(field.format) if field.format else None
        if self._format:
            self._rules.append(self._format[0])
        self._rules += [form.fullmatch for form in (_DATE if field.type is FieldType.DATE else None, self._pattern) if form]
        kind = field.type
        self._least, self._most = _bound(field, field.minimum, now_s), _bound(field, field.maximum, now_s)
        # a bound is what was written in the file: 0.1 allows the decimal 0.1, though the double is a little above it
        numeric = kind in {FieldType.INTEGER, FieldType.NUMBER}
        self._low = None if field.minimum is None or not numeric else Decimal(repr(field.minimum))
        self._high = None if field.maximum is None or not numeric else Decimal(repr(field.maximum))
        self._json = _Json(field, limit, now_s) if kind in {FieldType.ARRAY, FieldType.OBJECT} else None
        self._fast: Callable[[Sequence[Any]], Page | None]
        self._slow: Callable[[Any, list[Problem]], bytes]
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
        page = Page([NULL] * len(column), nulls=None in column, problems={}, warnings=[])
        present = []
        for i, value in enumerate(column):
            if value is not None:
                present.append(i)
            elif not self._nulls:
                self._settle(page, i, None, [self._missing()])
        (self._write if self._json is None else self._write_json)(page, column, present)
        return page

    def _write(self, page: Page, column: Sequence[Any], present: Sequence[int]) -> None:
        """Check and write what is not null, a value at a time."""
        for i in present:
            found: list[Problem] = []
            try:
                page.texts[i] = self._slow(column[i], found)
            except _Broken as broken:
                problem = broken.problem
                found.append(problem._replace(policy=self.field.policy(problem.rule)) if problem.rule else problem)
            if found:
                self._settle(page, i, column[i], found)

    def _write_json(self, page: Page, column: Sequence[Any], present: Sequence[int]) -> None:
        """Check and write arrays or objects."""
        assert self._json is not None  # noqa: S101 of this type
        written, broken, warned = self._json.page([column[i] for i in present], nested=self._nested)
        for i, text in zip(present, written, strict=True):
            page.texts[i] = text
            if len(text) > self._limit:
                message = f"the JSON text has {len(text):,} bytes, more than {self._limit:,}"
                page.problems[i] = Problem("too_long", message, outline=outline(column[i]))
                page.texts[i] = NULL
        page.problems.update((present[local], problem) for local, problem in broken.items())
        page.warnings.extend((present[local], problem) for local, problem in warned)

    def _settle(self, page: Page, row: int, value: Any, found: Sequence[Problem]) -> None:  # noqa: ANN401 a warehouse's value
        """What becomes of a value with these problems: those that only warn let it pass."""
        for problem in found:
            seen = problem._replace(outline=self._outline(value))
            if problem.policy is OnViolation.WARN:
                page.warnings.append((row, seen))
            else:
                note(page.problems, row, seen)
                page.texts[row] = NULL

    def _missing(self) -> Problem:
        policy = self.field.policy
        if self.field.required:
            return Problem("required", "the value is null and the contract requires it", "required", policy("required"))
        return Problem("null", "the value is null and the contract refuses that", "on_null", policy("on_null"))

    def _say(self, found: list[Problem], reason: str, message: str, rule: str) -> None:
        found.append(Problem(reason, message, rule, self.field.policy(rule)))

    def _outline(self, value: Any) -> str:  # noqa: ANN401 a warehouse's value
        if isinstance(value, str) and self.field.type in {FieldType.INTEGER, FieldType.NUMBER} and not self._nested:
            try:
                return outline(Decimal(value))
            except InvalidOperation:
                pass
        return outline(value)

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
        if max(map(len, texts)) - QUOTES > self._most_bytes or not self._all_fit(present):
            return None
        return Page(texts, nulls)

    def _all_fit(self, texts: Collection[str]) -> bool:
        """Whether texts have no control characters beyond ASCII and fit the contract's rules."""
        joined = "".join(texts)
        if not joined.isascii() and _WIDE_CONTROL.search(joined):
            return False
        field = self.field
        if self._rules or self._enum:
            texts = set(texts)  # columns that have rules repeat their values
        if (field.required and "" in texts) or (self._enum and not self._enum.issuperset(texts)):
            return False
        if field.min_length and min(map(len, texts), default=field.min_length) < field.min_length:
            return False  # of characters, which are at least as many bytes
        if (self._least is not None or self._most is not None) and not (
            self._least is None or min(texts, default=self._least) >= self._least
        ) & (self._most is None or max(texts, default=self._most) <= self._most):
            return False
        return all(all(map(rule, texts)) for rule in self._rules)

    def _string(self, value: Any, found: list[Problem]) -> bytes:  # noqa: ANN401 a warehouse's value
        if self._casts and (
            type(value) is int or (isinstance(value, Decimal) and not value.as_tuple().exponent)
        ):
            value = str(value)  # as the plan's cast does outside of JSON
        if not isinstance(value, str):
            raise _Broken("type", "the value is not a text", "type")
        field = self.field
        if _CONTROL.search(value):
            raise _Broken("control_character", "the text has a control character or half a surrogate pair")
        size = len(value.encode())
        if size > self._most_bytes:
            message = f"the text has {size:,} bytes, more than {self._most_bytes:,}"
            if size > self._limit:
                raise _Broken("too_long", message)
            self._say(found, "too_long", message, "max_length" if size > (field.max_length or size) else "format")
        if field.type is FieldType.DATE and not _DATE.fullmatch(value):
            raise _Broken("format", "the text is not a date as YYYY-MM-DD", "type")
        self._text_rules(value, size, found)
        if field.type is FieldType.DATE:
            self._bounds(value, self._least, self._most, found, "the date is {} {}", ("before", "after"))
        return orjson.dumps(value)

    def _text_rules(self, value: str, size: int, found: list[Problem]) -> None:
        field = self.field
        if field.required and not value:
            self._say(found, "required", "the text is empty and the contract requires a value", "required")
        elif size < field.min_length:
            self._say(found, "too_short", f"the text has {size:,} bytes, fewer than {field.min_length:,}", "min_length")
        if self._enum and value not in self._enum:
            self._say(found, "enum", "the text is none of the contract's values", "enum")
        if self._pattern and not self._pattern.fullmatch(value):
            self._say(found, "pattern", f"the text does not match {field.pattern}", "pattern")
        if self._format and not self._format[0](value):
            self._say(found, "format", f"the text is not {self._format[1]}", "format")

    # --- booleans and times

    def _booleans(self, column: Sequence[Any]) -> Page | None:
        present = self._only({bool}, column)
        if present is None or (self._enum and not self._enum.issuperset(present)):
            return None
        return Page(number_texts(column), len(present) < len(column))

    def _boolean(self, value: Any, found: list[Problem]) -> bytes:  # noqa: ANN401 a warehouse's value
        if not isinstance(value, bool):
            raise _Broken("type", "the value is not a boolean", "type")
        if self._enum and value not in self._enum:
            self._say(found, "enum", "the value is none of the contract's values", "enum")
        return orjson.dumps(value)

    def _timestamps(self, column: Sequence[Any]) -> Page | None:
        present = self._only({int}, column)
        if present is None:
            return None
        low, high = min(present), max(present)
        if not (low > EARLIEST_S and high < LATEST_S) or not self._within(low, high):
            return None
        return Page(number_texts(column), len(present) < len(column))

    def _timestamp(self, value: Any, found: list[Problem]) -> bytes:  # noqa: ANN401 a warehouse's value
        if type(value) is not int:
            raise _Broken("type", "the value is not a time in Unix seconds", "type")
        if not EARLIEST_S < value < LATEST_S:
            raise _Broken("not_unix_seconds", "the value is no time in Unix seconds (milliseconds?)")
        self._bounds(value, self._least, self._most, found, "the time is {} {}", ("before", "after"))
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
        return (self._least is None or low >= self._least) and (self._most is None or high <= self._most)

    def _in_enum(self, present: Sequence[Any]) -> bool:
        return not self._enum or self._enum.issuperset(present)

    def _integers(self, column: Sequence[Any]) -> Page | None:
        present = self._only({int}, column)
        if present is None:
            return None
        low, high = min(present), max(present)
        if low < _LOWEST or high > _HIGHEST or not self._within(low, high) or not self._in_enum(present):
            return None
        return Page(number_texts(column), len(present) < len(column))

    def _numbers(self, column: Sequence[Any]) -> Page | None:
        if (present := self._only({float}, column)) is not None:
            # a NaN hides from min and max, but not from a sum
            fine = math.isfinite(sum(present)) and self._within(min(present), max(present)) and self._in_enum(present)
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
        inside = (self._least is None or low > self._least) and (self._most is None or high < self._most)
        if not inside or math.isinf(low) or math.isinf(high):
            return None
        if self._enum and not self._exact_enum.issuperset(map(Decimal, present)):
            return None
        texts = [NULL if value is None else value.encode() for value in column]
        return Page(texts, len(present) < len(column))

    def _integer(self, value: Any, found: list[Problem]) -> bytes:  # noqa: ANN401 a warehouse's value
        if isinstance(value, str) and not self._nested:
            if _NOT_A_NUMBER.fullmatch(value):
                raise _not_finite()
            if not _LOOSE_INTEGER.fullmatch(value):
                raise _Broken("type", "the value is not an integer", "type")
            value = Decimal(value)
        if isinstance(value, float | Decimal):
            exact = Decimal(value)
            if not exact.is_finite():
                raise _not_finite()
            if exact != exact.to_integral_value():
                raise _Broken("type", "the number is not an integer", "type")
            if exact.adjusted() > _MAX_DIGITS:
                raise _out_of_range()
            value = int(exact)
        if type(value) is not int:
            raise _Broken("type", "the value is not an integer", "type")
        if value.bit_length() > _MAX_INTEGER_BITS or (abs(value) == TOO_WIDE and not self._nested):
            raise _out_of_range()
        self._number_rules(value, self._least, self._most, self._enum, found)
        return b"%d" % value

    def _number(self, value: Any, found: list[Problem]) -> bytes:  # noqa: ANN401 a warehouse's value
        if type(value) is int:
            return self._integer(value, found)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise _not_finite()
            self._number_rules(value, self._least, self._most, self._enum, found)
            return orjson.dumps(value)
        text = str(value) if isinstance(value, Decimal) else value
        if not isinstance(text, str) or (self._nested and isinstance(value, str)):
            raise _Broken("type", "the value is not a number", "type")
        if _NOT_A_NUMBER.fullmatch(text):
            raise _not_finite()
        if not _LOOSE_NUMBER.fullmatch(text):
            raise _Broken("type", "the value is not a number", "type")
        if text in _TOO_WIDE_TEXTS and not self._nested:
            raise _out_of_range()
        if len(text) > self._limit:
            raise _Broken("too_long", f"the number has {len(text):,} digits, more than {self._limit:,}")
        exact = _decimal(text)
        self._number_rules(exact, self._low, self._high, self._exact_enum, found)
        return text.encode() if _JSON_NUMBER.fullmatch(text) else str(exact).encode()

    def _number_rules(
        self, value: Any, low: Any, high: Any, enum: frozenset[Any], found: list[Problem]  # noqa: ANN401 numbers
    ) -> None:
        self._bounds(value, low, high, found, "the number is {} {}", ("below", "above"))
        if enum and value not in enum:
            self._say(found, "enum", "the number is none of the contract's values", "enum")

    def _bounds(  # noqa: PLR0913 one value and its bounds
        self, value: Any, low: Any, high: Any, found: list[Problem], text: str, words: tuple[str, str]  # noqa: ANN401
    ) -> None:
        """Bounds of one kind with the value, or of two that compare."""
        for rule, wrong, bound, word in (
            ("minimum", low is not None and value < low, self.field.minimum, words[0]),
            ("maximum", high is not None and value > high, self.field.maximum, words[1]),
        ):
            if wrong:
                self._say(found, rule, text.format(word, _bound_text(self.field, bound)), rule)


def _bound(field: Field, bound: Bound, now_s: int) -> Any:  # noqa: ANN401 what the field's values compare with
    """A bound as the values compare with it; None: there is none."""
    if bound != NOW:
        return bound
    if not now_s:
        return None
    if field.type is FieldType.DATE:  # today, wherever the model's clock stands
        return (datetime.fromtimestamp(now_s, UTC) + timedelta(hours=14)).date().isoformat()
    return now_s + NOW_SLACK_S


def _bound_text(field: Field, bound: Bound) -> str:
    """A bound as it may have been written in the file."""
    if field.type is FieldType.TIMESTAMP and not isinstance(bound, str) and bound is not None:
        return datetime.fromtimestamp(bound, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return bound if isinstance(bound, str) else repr(bound)


def _never(_: Sequence[Any]) -> Page | None:
    return None


def _no_value(_: Any, __: list[Problem]) -> bytes:  # noqa: ANN401 arrays and objects are written by `_Json`
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
    """Arrays and objects: from JSON text (or parsed JSON, inside others) to canonical JSON text.

    Properties that the contract does not name are not sent, nulls neither. The items of a whole page are checked
    and written like rows: a property is a column.
    """

    def __init__(self, field: Field, limit: int, now_s: int) -> None:
        self._field = field
        self._object = field.type is FieldType.OBJECT
        self._names = [item.column for item in field.items]
        self._codecs = [Codec(item, limit=limit, nested=True, casts=True, now_s=now_s) for item in field.items]
        self._shapes = Shapes(b"{", 0, field.items, b"}", nulls=False)
        self._item = Codec(field.item, limit=limit, nested=True, now_s=now_s) if field.item and not field.items else None

    def page(self, column: Sequence[Any], *, nested: bool) -> tuple[list[bytes], Problems, Warnings]:
        """Texts (of a value with a problem: null) and problems by row; there is no null among the values."""
        problems: Problems = {}
        warnings: Warnings = []
        wanted: type = dict if self._object else list
        values = []
        for i, value in enumerate(column if nested else _parsed(column)):
            problem = value if isinstance(value, Problem) else None
            if problem is None and not isinstance(value, wanted):
                problem = Problem("type", f"the value is not a JSON {'object' if self._object else 'array'}", "type")
            if problem is not None:
                policy = self._field.policy("type") if problem.rule else OnViolation.REFUSE
                problems[i] = problem._replace(policy=policy, outline=outline(column[i]))
            values.append(wanted() if i in problems else value)
        if not self._object:
            self._count(values, problems, warnings)
        if not self._codecs and self._item is None:
            texts = [orjson.dumps(value, default=_written) for value in values]
        elif self._object:
            kept = set(problems)
            texts, broken, warned = self._items(values)
            for row, problem in broken.items():
                if row not in kept:
                    note(problems, row, problem)
            warnings += warned
        else:
            texts = self._arrays(values, problems, warnings)
        for i in problems:
            texts[i] = NULL
        return texts, problems, warnings

    def _count(self, values: Sequence[list[Any]], problems: Problems, warnings: Warnings) -> None:
        least, most = self._field.min_items, self._field.max_items
        if not least and not most:
            return
        for i, value in enumerate(values):
            n = len(value)
            if i in problems or (n >= least and n <= (most or n)):
                continue
            rule, bound, word = ("min_items", least, "fewer") if n < least else ("max_items", most, "more")
            policy = self._field.policy(rule)
            problem = Problem(rule, f"the array has {n:,} items, {word} than {bound:,}", rule, policy, outline(value))
            if policy is OnViolation.WARN:
                warnings.append((i, problem))
            else:
                problems[i] = problem

    def _arrays(self, values: Sequence[list[Any]], problems: Problems, warnings: Warnings) -> list[bytes]:
        flat = list(chain.from_iterable(values))
        ends = list(accumulate(map(len, values)))
        broken: Mapping[int, Problem]
        warned: Sequence[tuple[int, Problem]]
        if self._item is not None:
            page = self._item.page(flat)
            written, broken, warned = page.texts, page.problems, page.warnings
        else:
            written, broken, warned = self._items(flat)

        def placed(i: int, problem: Problem) -> tuple[int, Problem]:
            row = bisect_right(ends, i)
            return row, problem.inside(f"item {i - (ends[row - 1] if row else 0) + 1}: ")

        for i in sorted(broken):
            note(problems, *placed(i, broken[i]))
        warnings += [placed(i, problem) for i, problem in warned]
        return [
            b"[" + b",".join(written[end - len(value) : end]) + b"]"
            for value, end in zip(values, ends, strict=True)
        ]  # fmt: skip

    def _items(self, flat: Sequence[Any]) -> tuple[list[bytes], Problems, Warnings]:
        """Texts of objects, with the first problem of each."""
        if not flat:
            return [], {}, []
        broken: Problems = {}
        warned: Warnings = []
        if not set(map(type, flat)) <= {dict}:
            policy = self._field.policy("type")
            broken = {
                i: Problem("type", "not a JSON object", "type", policy, outline(item))
                for i, item in enumerate(flat)
                if not isinstance(item, dict)
            }
            flat = [item if isinstance(item, dict) else {} for item in flat]
        texts, nulls, not_objects = [], [], set(broken)
        for i, (name, codec) in enumerate(zip(self._names, self._codecs, strict=True)):
            page = codec.page([item.get(name) for item in flat])
            label = codec.field.name
            for place, problem in page.problems.items():
                if place not in not_objects:
                    note(broken, place, problem.inside(f"{label}: ", label))
            warned += [(place, problem.inside(f"{label}: ", label)) for place, problem in page.warnings]
            texts.append(page.texts)
            if page.nulls:
                nulls.append(i)
        return self._shapes.fill(texts, None, nulls), broken, warned


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
        return Problem("type", "the value is not JSON text", "type")
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
        return Problem("json", "the text is not valid JSON", "type")
    return found


def _exact_integer(digits: str) -> int | Decimal:
    exact = _decimal(digits)
    return int(exact) if _LOWEST <= exact <= _HIGHEST else exact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Broken("json", "an object of the JSON names a property twice", "type")
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
