"""The table of values: how each is written in SQL, as which type it is declared, and what must become of it.

A class has a column type and an expression for each engine that can hold such a value at all. What is written for `both`
is for Snowflake too, in its own words: JSON is a VARIANT there, and a backslash in a text is written twice. It ends in one of
three ways, and there is no fourth: `sends` is the exact JSON that goes out, `refused` the reason for which the row
is refused by name, `stops` what the error says that names sync and column before anything is sent.

`then` is a value as near to the first as the type allows: the next run must see the difference and send this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from revetl.contracts import Field, FieldType, OnNull

ENGINES = ("duckdb", "postgres", "snowflake")
SQL = tuple[str, str]  # a column's type, an expression
NOWHERE = ("", "")  # instead of what is written for `both`: the engine has no such value


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One class of values.

    Attributes:
        name: also the field's, the column's and the row's key.
        type: that the contract declares.
        sql: by engine; an engine that is missing has no such value.
        sends: the exact JSON that is sent.
        then: by engine, an expression and the JSON that it is sent as.
        refused: the reason of the row's refusal.
        stops: a part of the error that names the column.
        rules: more of the contract's field.
        before: statements that make a type.
        doc: how docs/types.md tells it; empty if it does not.
    """

    name: str
    type: str
    sql: Mapping[str, SQL]
    sends: str = ""
    then: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    refused: str = ""
    stops: str = ""
    rules: Mapping[str, Any] = field(default_factory=dict)
    before: str = ""
    doc: str = ""

    def field(self) -> Field:
        """The contract's field."""
        return Field(name=self.name, column=self.name, type=FieldType(self.type), **self.rules)


def _one(
    kind: str, name: str, sends: str = "", *, both: SQL | None = None, duckdb: SQL | None = None,
    postgres: SQL | None = None, snowflake: SQL | None = None, then: tuple[str, str] | None = None,
    then_postgres: tuple[str, str] | None = None, then_snowflake: tuple[str, str] | None = None,
    refused: str = "", stops: str = "", before: str = "", doc: str = "", **rules: Any,
) -> Value:  # fmt: skip
    own = snowflake or (both and (("variant" if both[0] == "json" else both[0]), _in_snowflake(both[0], both[1])))
    given = zip(ENGINES, (duckdb or both, postgres or both, own), strict=True)
    sql = {engine: one for engine, one in given if one and one != NOWHERE}
    same = then and (_in_snowflake(both[0] if both else "", then[0]), then[1])
    after = {"duckdb": then, "postgres": then_postgres or then, "snowflake": then_snowflake or same}
    return Value(
        name=name, type=kind, sql=sql, sends=sends, refused=refused, stops=stops, rules=rules, before=before, doc=doc,
        then={engine: value for engine, value in after.items() if value and engine in sql},
    )  # fmt: skip


def _in_snowflake(kind: str, expression: str) -> str:
    doubled = expression.replace("\\", "\\\\")
    return f"parse_json({doubled})" if kind == "json" else doubled


def integer(name: str, *a: Any, **k: Any) -> Value:
    """Declared as integer."""
    return _one("integer", name, *a, **k)


def number(name: str, *a: Any, **k: Any) -> Value:
    """Declared as number."""
    return _one("number", name, *a, **k)


def boolean(name: str, *a: Any, **k: Any) -> Value:
    """Declared as boolean."""
    return _one("boolean", name, *a, **k)


def timestamp(name: str, *a: Any, **k: Any) -> Value:
    """Declared as timestamp."""
    return _one("timestamp", name, *a, **k)


def date(name: str, *a: Any, **k: Any) -> Value:
    """Declared as date."""
    return _one("date", name, *a, **k)


def string(name: str, *a: Any, **k: Any) -> Value:
    """Declared as string."""
    return _one("string", name, *a, **k)


def array(name: str, *a: Any, **k: Any) -> Value:
    """Declared as array."""
    return _one("array", name, *a, **k)


def json_object(name: str, *a: Any, **k: Any) -> Value:
    """Declared as object."""
    return _one("object", name, *a, **k)


def text(value: str) -> str:
    """A text as SQL."""
    return "'" + value.replace("'", "''") + "'"


def hold(value: str) -> SQL:
    """A column of text with this value."""
    return "text", text(value)


BERLIN = {"zone": "Europe/Berlin"}
NINES = "9" * 38
HUGE = 2**127 - 1
NESTED = "[" * 20 + "]" * 20

INTEGERS = (
    integer("int_zero", "0", both=("integer", "0"), then=("1", "1")),
    integer("int_negative", "-1", both=("integer", "-1"), then=("0", "0")),
    integer("int_small", "-32768", both=("smallint", "-32768"), then=("-32767", "-32767")),
    integer("int_tiny_unsigned", "255", duckdb=("utinyint", "255"), then=("254", "254")),
    integer("int_64_highest", "9223372036854775807", both=("bigint", "9223372036854775807"),
            then=("9223372036854775806", "9223372036854775806"), doc="the largest 64-bit integer"),
    integer("int_64_lowest", "-9223372036854775808", both=("bigint", "-9223372036854775807 - 1"),
            then=("-9223372036854775807", "-9223372036854775807")),
    integer("int_2_53", "9007199254740992", both=("bigint", "9007199254740992"),
            then=("9007199254740993", "9007199254740993"), doc="2^53; 2^53 + 1 after it is a change"),
    integer("int_64_unsigned", "18446744073709551615", snowflake=("number(20,0)", "18446744073709551615"),
            duckdb=("ubigint", "18446744073709551615"),
            postgres=("numeric(20,0)", "18446744073709551615"), then=("18446744073709551614", "18446744073709551614")),
    integer("int_128", "99999999999999999999999999999999999998",
            snowflake=("number(38,0)", "99999999999999999999999999999999999998"),
            duckdb=("hugeint", "99999999999999999999999999999999999998"),
            postgres=("numeric(38,0)", "99999999999999999999999999999999999998"),
            then=("99999999999999999999999999999999999997", "99999999999999999999999999999999999997"),
            doc="an integer of 38 digits"),
    integer("int_128_negative", "-12345678901234567890123456789012345678",
            snowflake=("number(38,0)", "-12345678901234567890123456789012345678"),
            duckdb=("hugeint", "-12345678901234567890123456789012345678"),
            postgres=("numeric(38,0)", "-12345678901234567890123456789012345678"),
            then=("-12345678901234567890123456789012345679", "-12345678901234567890123456789012345679")),
    integer("int_128_unsigned", "12345678901234567890123456789012345678",
            duckdb=("uhugeint", "12345678901234567890123456789012345678"),
            then=("12345678901234567890123456789012345679", "12345678901234567890123456789012345679")),
    integer("int_of_decimal", "42", both=("decimal(18,0)", "42"), then=("43", "43")),
    integer("int_38_nines", both=("decimal(38,0)", NINES), refused="out_of_range",
            doc="the integer of 38 nines, which stands for all that are larger"),
    integer("int_128_highest", duckdb=("hugeint", str(HUGE)), refused="out_of_range",
            doc="an integer of more than 38 digits"),
    integer("int_128_lowest", duckdb=("hugeint", f"-{HUGE}"), refused="out_of_range"),
    integer("int_128_unsigned_highest", duckdb=("uhugeint", str(2**128 - 1)), refused="out_of_range"),
    integer("int_nan", postgres=("numeric(10,0)", "'NaN'"), refused="not_finite"),
    integer("int_39_digits", postgres=("numeric(39,0)", "1"), stops="cast it to at most 38 digits"),
    integer("int_of_scale", both=("decimal(10,2)", "42.00"), stops="cast it to an integer",
            doc="a decimal with a scale, declared as integer"),
    integer("int_of_double", both=("double precision", "42"), stops="which is no integer"),
    integer("int_of_text", both=("text", "'42'"), stops="which is no integer"),
    integer("int_of_boolean", both=("boolean", "true"), stops="which is no integer"),
    integer("int_of_any_size", duckdb=("bignum", "42"), postgres=("numeric", "42"), stops="cast it"),
    integer("int_below", both=("integer", "0"), refused="minimum", minimum=1),
)

DECIMALS = (
    number("dec_zero", "0.0", both=("decimal(18,2)", "0.00"), then=("0.01", "0.01")),
    number("dec_trailing_zero", "12.5", both=("decimal(18,2)", "12.50"), then=("12.51", "12.51"),
           doc="a decimal: no zeros at its end"),
    number("dec_negative", "-12.34", both=("decimal(18,2)", "-12.34"), then=("-12.33", "-12.33")),
    number("dec_minus_zero", "0.0", both=("decimal(18,2)", "-0.00"), then=("-0.01", "-0.01")),
    number("dec_scale_1", "0.1", both=("decimal(18,1)", "0.1"), then=("0.2", "0.2")),
    number("dec_fifteen_digits", "99999999999999.9", both=("decimal(18,1)", "99999999999999.9"),
           then=("99999999999999.8", "99999999999999.8")),
    # below 2^53 tenths, and yet its nearest double is written ...149.2
    number("dec_sixteen_digits", "607494891711149.3", both=("decimal(18,1)", "607494891711149.3"),
           then=("607494891711149.2", "607494891711149.2"), doc="a decimal that no double says"),
    number("dec_scale_6", "3.141592", both=("decimal(18,6)", "3.141592"), then=("3.141593", "3.141593")),
    number("dec_scale_18", "1e-18", both=("decimal(38,18)", "0.000000000000000001"),
           then=("0.000000000000000002", "2e-18")),
    number("dec_scale_18_wide", "12345678901234567890.123456789012345678",
           both=("decimal(38,18)", "12345678901234567890.123456789012345678"),
           then=("12345678901234567890.123456789012345679", "12345678901234567890.123456789012345679"),
           doc="a decimal of 38 digits"),
    # 10^30 is no double, so a division by it is not exact
    number("dec_scale_30", "0.000000000000000000000000000031",
           both=("decimal(38,30)", "0.000000000000000000000000000031"),
           then=("0.000000000000000000000000000032", "0.000000000000000000000000000032")),
    number("dec_scale_38", "0.12345678901234567890123456789012345678", snowflake=NOWHERE,
           both=("decimal(38,38)", "'0.12345678901234567890123456789012345678'"),
           then=("'0.12345678901234567890123456789012345679'", "0.12345678901234567890123456789012345679")),
    number("dec_only_places", "0.0", snowflake=NOWHERE, both=("decimal(38,38)", "0"), then=("'0.1'", "0.1")),
    number("dec_only_negative_places", "-1E-16", duckdb=("decimal(38,38)", "'-0.0000000000000001'"),
           then=("'-0.0000000000000002'", "-2E-16")),
    number("dec_38_digits", "-12345678901234567890123456789012345678",
           both=("decimal(38,0)", "-12345678901234567890123456789012345678"),
           then=("-12345678901234567890123456789012345677", "-12345678901234567890123456789012345677")),
    number("dec_no_scale", "1.1", postgres=("numeric", "1.10"),
           then=("1.100000000000000000000000000000000000000001", "1.100000000000000000000000000000000000000001"),
           doc="a numeric of any scale"),
    number("dec_negative_scale", "12300", postgres=("numeric(5,-2)", "12345"), then=("12400", "12400")),
    number("dec_whole", "42.0", both=("decimal(18,2)", "42.00"), then=("43", "43.0")),
    number("dec_whole_wide", "607494891711149.0", both=("decimal(18,1)", "607494891711149.0"),
           then=("607494891711148.0", "607494891711148.0")),
    number("dec_whole_no_scale", "42", both=("decimal(18,0)", "42"), then=("43", "43")),
    number("dec_of_bigint", "9007199254740993", both=("bigint", "9007199254740993"),
           then=("9007199254740992", "9007199254740992")),
    number("dec_of_hugeint", "12345678901234567890123456789012345678",
           duckdb=("hugeint", "12345678901234567890123456789012345678"),
           then=("12345678901234567890123456789012345679", "12345678901234567890123456789012345679")),
    number("dec_of_hugeint_highest", duckdb=("hugeint", str(HUGE)), refused="out_of_range"),
    number("dec_nan", postgres=("numeric(18,2)", "'NaN'"), refused="not_finite", doc="a decimal NaN"),
    number("dec_infinite", postgres=("numeric", "'Infinity'"), refused="not_finite"),
    number("dec_400_digits", postgres=("numeric", "1e400"), refused="out_of_range", doc="a number above any double"),
    number("dec_1100_places", postgres=("numeric", "1e-1100"), refused="too_long"),
    number("dec_50_digits", postgres=("numeric(50,2)", "1"), stops="cast it to at most 38 digits"),
    number("dec_of_text", both=("text", "'12.5'"), stops="which is no number", doc="a text, declared as number"),
    number("dec_of_money", postgres=("money", "12.50"), stops="which is no number"),
    number("dec_above", both=("decimal(18,2)", "10.01"), refused="maximum", maximum=10),
)  # fmt: skip

DOUBLES = (
    number("dbl_zero", "0.0", both=("double precision", "0"), then=("5e-324", "5e-324")),
    number("dbl_minus_zero", "-0.0", duckdb=("double", "'-0.0'::double"), postgres=("float8", "'-0'"),
           then=("1", "1.0"), doc="minus zero"),
    number("dbl_tenths", "0.30000000000000004", both=("double precision", "0.1::float8 + 0.2::float8"),
           then=("0.3::float8", "0.3"), doc="the double 0.1 + 0.2; 0.3 after it is a change"),
    number("dbl_highest", "1.7976931348623157e+308", both=("double precision", "1.7976931348623157e+308"),
           then=("1.7976931348623155e308", "1.7976931348623155e+308")),
    number("dbl_1e308", "-1e+308", both=("double precision", "-1e+308"), then=("1e308", "1e+308")),
    number("dbl_smallest", "5e-324", both=("double precision", "5e-324"), then=("1e-323", "1e-323"),
           doc="the smallest double"),
    number("dbl_subnormal", "2.225073858507201e-308", both=("double precision", "2.225073858507201e-308"),
           then=("2.2250738585072014e-308", "2.2250738585072014e-308")),
    number("dbl_1e16", "1e+16", both=("double precision", "1e+16"), then=("1.0000000000000002e16", "1.0000000000000002e+16")),
    number("dbl_1e23", "1e+23", both=("double precision", "1e+23"), then=("9.999999999999997e22", "9.999999999999997e+22")),
    number("dbl_whole", "17850.0", both=("double precision", "17850"), then=("17851", "17851.0")),
    number("dbl_of_float", "0.10000000149011612", snowflake=NOWHERE, both=("real", "0.1"),
           then=("0.10000001", "0.10000000894069672"),
           doc="the 32-bit float nearest to 0.1, as the double that equals it"),
    number("dbl_of_float_highest", "3.4028234663852886e+38", snowflake=NOWHERE, both=("real", "3.4028234663852886e+38"),
           then=("-3.4028234663852886e38", "-3.4028234663852886e+38")),
    number("dbl_of_real", "0.1", snowflake=("real", "0.1"), then_snowflake=("0.10000000000000002", "0.10000000000000002"),
           doc="a REAL, which has 64 bits there"),
    number("dbl_nan", both=("double precision", "'NaN'"), refused="not_finite", doc="NaN"),
    number("dbl_infinite", snowflake=("double precision", "'inf'"), both=("double precision", "'Infinity'"),
           refused="not_finite", doc="infinity"),
    number("dbl_minus_infinite", snowflake=("double precision", "'-inf'"), both=("double precision", "'-Infinity'"),
           refused="not_finite"),
    number("dbl_of_float_nan", snowflake=NOWHERE, both=("real", "'NaN'"), refused="not_finite"),
    number("dbl_1e400", duckdb=("double", "1e400"), refused="not_finite"),
)  # fmt: skip

BOOLEANS = (
    boolean("bool_true", "true", both=("boolean", "true"), then=("false", "false")),
    boolean("bool_false", "false", both=("boolean", "false"), then=("true", "true")),
    boolean("bool_of_integer", both=("integer", "1"), stops="which is no boolean", doc="1, declared as boolean"),
    boolean("bool_of_text", both=("text", "'true'"), stops="which is no boolean"),
    boolean("bool_of_bit", snowflake=NOWHERE, both=("bit", "'1'"), stops="which is no boolean"),
)  # fmt: skip

TIMES = (
    timestamp("time_with_zone", "1735682400", both=("timestamptz", "'2025-01-01 00:00:00+02:00'"),
              then=("'2024-12-31 22:00:01+00:00'", "1735682401"), doc="2025-01-01 00:00:00+02:00"),
    timestamp("time_naive_with_zone", "1735686000", both=("timestamp", "'2025-01-01 00:00:00'"),
              then=("'2025-01-01 00:00:01'", "1735686001"), **BERLIN, doc="2025-01-01 00:00:00, `zone: Europe/Berlin`"),
    timestamp("time_naive_without_zone", both=("timestamp", "'2025-01-01 00:00:00'"), stops="no `zone` is declared",
              doc="a time without a zone, none declared"),
    timestamp("time_in_gap", "1743298200", both=("timestamp", "'2025-03-30 02:30:00'"),
              then=("'2025-03-30 02:30:01'", "1743298201"), **BERLIN,
              doc="2025-03-30 02:30, which Berlin's clocks skip: by the offset before"),
    timestamp("time_in_fold", "1761442200", both=("timestamp", "'2025-10-26 02:30:00'"),
              then=("'2025-10-26 02:30:01'", "1761442201"), **BERLIN,
              doc="2025-10-26 02:30, which they show twice: the later one"),
    timestamp("time_of_date", "1735686000", both=("date", "'2025-01-01'"), then=("'2025-01-02'", "1735772400"), **BERLIN),
    timestamp("time_of_date_without_zone", both=("date", "'2025-01-01'"), stops="no `zone` is declared"),
    timestamp("time_microsecond", "1735689599", both=("timestamptz", "'2024-12-31 23:59:59.999999+00'"),
              then=("'2025-01-01 00:00:00+00'", "1735689600"), doc="a fraction of a second is cut"),
    # as a double its seconds are those of the next year
    timestamp("time_microsecond_in_2500", "16756761599", both=("timestamptz", "'2500-12-31 23:59:59.999999+00'"),
              then=("'2501-01-01 00:00:00+00'", "16756761600")),
    timestamp("time_nanosecond", "1735689599", duckdb=("timestamp_ns", "'2024-12-31 23:59:59.999999999'"),
              then=("'2025-01-01 00:00:00'", "1735689600"), zone="UTC"),
    timestamp("time_whole_second", "1735689599", duckdb=("timestamp_s", "'2024-12-31 23:59:59'"),
              then=("'2025-01-01 00:00:00'", "1735689600"), zone="UTC"),
    timestamp("time_millisecond", "1735689599", duckdb=("timestamp_ms", "'2024-12-31 23:59:59.999'"),
              then=("'2025-01-01 00:00:00'", "1735689600"), zone="UTC"),
    timestamp("time_leap_second", "1483228800", postgres=("timestamptz", "'2016-12-31 23:59:60+00'"),
              then=("'2016-12-31 23:59:59+00'", "1483228799"), doc="a leap second: PostgreSQL reads it as the next one"),
    timestamp("time_of_the_session", "1735682400", snowflake=("timestamp_ltz", "'2025-01-01 00:00:00 +02:00'::timestamp_tz"),
              then_snowflake=("'2024-12-31 22:00:01 +00:00'::timestamp_tz", "1735682401"),
              doc="2025-01-01 00:00:00 +02:00, kept as TIMESTAMP_LTZ"),
    timestamp("time_earliest", "1000000000", both=("bigint", "1000000000"), then=("1000000001", "1000000001")),
    timestamp("time_latest", "99999999999", both=("bigint", "99999999999"), then=("99999999998", "99999999998")),
    timestamp("time_of_hugeint", "1735689600", duckdb=("hugeint", "1735689600"), then=("1735689601", "1735689601")),
    timestamp("time_too_early", both=("bigint", "999999999"), refused="not_unix_seconds"),
    timestamp("time_too_late", both=("bigint", "100000000000"), refused="not_unix_seconds"),
    timestamp("time_in_milliseconds", both=("bigint", "1735689600000"), refused="not_unix_seconds",
              doc="milliseconds since 1970"),
    timestamp("time_of_hugeint_highest", duckdb=("hugeint", str(HUGE)), refused="not_unix_seconds"),
    timestamp("time_of_uhugeint_highest", duckdb=("uhugeint", str(2**128 - 1)), refused="not_unix_seconds"),
    timestamp("time_of_ubigint_highest", duckdb=("ubigint", str(2**64 - 1)), refused="not_unix_seconds"),
    timestamp("time_before_1970", both=("timestamptz", "'1969-12-31 23:59:59.5+00'"), refused="not_unix_seconds",
              doc="a time before September 2001"),
    timestamp("time_year_1", both=("timestamptz", "'0001-01-01 00:00:00+00'"), refused="not_unix_seconds"),
    timestamp("time_year_9999", both=("timestamptz", "'9999-12-31 23:59:59.999999+00'"), refused="not_unix_seconds",
              doc="the year 9999"),
    timestamp("time_endless", snowflake=NOWHERE, both=("timestamptz", "'infinity'"), refused="not_unix_seconds",
              doc="the time `infinity`"),
    timestamp("time_beginless", snowflake=NOWHERE, both=("timestamptz", "'-infinity'"), refused="not_unix_seconds"),
    timestamp("time_naive_endless", snowflake=NOWHERE, both=("timestamp", "'infinity'"), refused="not_unix_seconds", **BERLIN),
    timestamp("time_of_endless_date", snowflake=NOWHERE, both=("date", "'-infinity'"), refused="not_unix_seconds", **BERLIN),
    timestamp("time_of_text", both=("text", "'2025-01-01'"), stops="which is no timestamp"),
    timestamp("time_of_double", both=("double precision", "1735689600"), stops="which is no timestamp"),
    timestamp("time_of_day", both=("time", "'10:00:00'"), stops="which is no timestamp", doc="a time of day"),
)  # fmt: skip

DATES = (
    date("date_plain", '"2025-01-31"', both=("date", "'2025-01-31'"), then=("'2025-02-01'", '"2025-02-01"'),
         doc="2025-01-31"),
    date("date_leap_day", '"2024-02-29"', both=("date", "'2024-02-29'"), then=("'2024-02-28'", '"2024-02-28"')),
    date("date_of_time", '"2025-01-31"', both=("timestamp", "'2025-01-31 23:59:59.999999'"),
         then=("'2025-02-01 00:00:00'", '"2025-02-01"'), doc="2025-01-31 23:59: the day of it"),
    date("date_year_1", '"0001-01-01"', both=("date", "'0001-01-01'"), then=("'0001-01-02'", '"0001-01-02"')),
    date("date_year_9999", '"9999-12-31"', both=("date", "'9999-12-31'"), then=("'9999-12-30'", '"9999-12-30"')),
    date("date_year_10000", duckdb=("date", "'10000-01-01'"), postgres=("date", "'10000-01-01'"), refused="format"),
    date("date_before_christ", duckdb=("date", "'0044-03-15 (BC)'"), postgres=("date", "'0044-03-15 BC'"),
         refused="format", doc="44 BC"),
    date("date_endless", snowflake=NOWHERE, both=("date", "'infinity'"), refused="format"),
    date("date_of_zoned_time", both=("timestamptz", "'2025-01-01 00:00:00+02'"), stops="which is no date",
         doc="a time with a zone, declared as date"),
    date("date_of_text", both=("text", "'2025-01-01'"), stops="which is no date"),
)  # fmt: skip

TEXTS = (
    string("text_plain", '"free"', both=hold("free"), then=("'Free'", '"Free"')),
    string("text_empty", '""', both=hold(""), then=("' '", '" "'), doc="an empty text"),
    string("text_blank", '"  "', both=hold("  "), then=("'   '", '"   "')),
    string("text_null_word", '"NULL"', both=hold("NULL"), then=("'null'", '"null"')),
    string("text_outer_blanks", '" x "', both=hold(" x "), then=("' x'", '" x"'), doc="outer spaces"),
    string("text_quotes", '"\\"\'\\\\</script>"', both=hold("\"'\\</script>"),
           then=(text("\"'/</script>"), '"\\"\'/</script>"')),
    string("text_lines", '"a\\tb\\nc"', both=("text", "'a' || chr(9) || 'b' || chr(10) || 'c'"),
           then=("'a' || chr(9) || 'b c'", '"a\\tb c"'), doc="tab and line end"),
    string("text_percent", '"100 % :x ?"', both=hold("100 % :x ?"), then=(text("100 %% :x ?"), '"100 %% :x ?"')),
    string("text_emoji", '"👍"', both=hold("👍"), then=(text("👍🏽"), '"👍🏽"'), doc="emoji"),
    string("text_joined_emoji", '"👩\u200d👧"', both=hold("👩\u200d👧"), then=(text("👩👧"), '"👩👧"')),
    string("text_right_to_left", '"\u200fשלום\u200f"', both=hold("\u200fשלום\u200f"),
           then=(text("שלום"), '"שלום"')),
    string("text_composed", '"é"', both=hold("\u00e9"), then=(text("e\u0301"), '"e\u0301"'),
           doc="é as one character; as two it is a change"),
    string("text_decomposed", '"e\u0301"', both=hold("e\u0301"), then=(text("\u00e9"), '"\u00e9"')),
    string("text_byte_order_mark", '"\ufeffx"', both=hold("\ufeffx"), then=(text("x"), '"x"')),
    string("text_line_separator", '"a\u2028b"', both=hold("a\u2028b"), then=(text("a\u2029b"), '"a\u2029b"')),
    string("text_last_character", '"\U0010ffff\uffff"', both=hold("\U0010ffff\uffff"),
           then=(text("\U0010ffff"), '"\U0010ffff"')),
    string("text_999", '"' + "x" * 999 + '"', both=("text", "repeat('x', 999)"),
           then=("repeat('x', 1000)", '"' + "x" * 1000 + '"'), doc="a text of 1,000 bytes"),
    string("text_1000_wide", '"' + "é" * 500 + '"', both=("text", "repeat('é', 500)"),
           then=("repeat('é', 499) || 'ab'", '"' + "é" * 499 + 'ab"')),
    string("text_1000_emoji", '"' + "👍" * 250 + '"', both=("text", "repeat('👍', 250)"),
           then=("repeat('👍', 249)", '"' + "👍" * 249 + '"')),
    string("text_ignoring_case", '"free"', duckdb=("text COLLATE nocase", "'free'"), then=("'Free'", '"Free"'),
           doc="a column that ignores case: the case is kept"),
    string("text_collated", '"free"', postgres=('text COLLATE "C"', "'free'"), then=("'Free'", '"Free"')),
    string("text_padded", '"ab"', postgres=("char(5)", "'ab'"), then=("'ac'", '"ac"'), doc="`char(5)`: without its padding"),
    string("text_short", '"ab"', both=("varchar(5)", "'ab'"), then=("'ab '", '"ab "')),
    string("text_enum", '"free"', duckdb=("plan_kind", "'free'"), then=("'pro'", '"pro"'),
           before="CREATE TYPE plan_kind AS ENUM ('free', 'pro')", doc="an ENUM of DuckDB"),
    string("text_uuid", '"6f9619ff-8b86-d011-b42d-00c04fc964ff"', snowflake=NOWHERE,
           both=("uuid", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'"),
           then=("'6f9619ff-8b86-d011-b42d-00c04fc964fe'", '"6f9619ff-8b86-d011-b42d-00c04fc964fe"'), doc="a UUID"),
    string("text_of_bigint", '"9007199254740993"', both=("bigint", "9007199254740993"),
           then=("9007199254740992", '"9007199254740992"')),
    string("text_of_hugeint", f'"{HUGE}"', duckdb=("hugeint", str(HUGE)), then=(str(HUGE - 1), f'"{HUGE - 1}"')),
    string("text_of_date", '"2025-01-31"', both=("date", "'2025-01-31'"), then=("'2025-02-01'", '"2025-02-01"')),
    string("text_trimmed", '"x"', both=hold("  x "), then=(text(" y"), '"y"'), normalize="trim"),
    string("text_lowered", '"äé"', both=hold("ÄÉ"), then=(text("ÄÈ"), '"äè"'), normalize="lower"),
    string("text_email", '"ann+x@example.com"', both=hold(" Ann+X@Example.com "),
           then=(text("Ann+y@Example.com"), '"ann+y@example.com"'), normalize="email", format="email"),
    string("text_1001", both=("text", "repeat('x', 1001)"), refused="too_long", doc="a text of 1,001 bytes"),
    string("text_1001_wide", both=("text", "repeat('é', 500) || 'a'"), refused="too_long"),
    string("text_nul", duckdb=("text", "'a' || chr(0)"), refused="control_character", doc="NUL and control characters"),
    string("text_escape", both=("text", "'a' || chr(27) || '[31m'"), refused="control_character"),
    string("text_rubout", both=("text", "chr(127)"), refused="control_character"),
    string("text_next_line", both=("text", "chr(133)"), refused="control_character"),
    string("text_no_email", both=hold("ann@"), refused="format", format="email"),
    string("text_no_member", both=hold("Free"), refused="enum", enum=("free", "pro")),
    string("text_no_match", both=hold("EURO"), refused="pattern", pattern="[A-Z]{3}"),
    string("text_required", both=hold(""), refused="required", required=True, doc="an empty text, `required`"),
    string("text_required_null", both=("text", "NULL"), refused="required", required=True),
    string("text_refusing_null", both=("text", "NULL"), refused="null", on_null=OnNull.REFUSE),
    string("text_of_blob", snowflake=("binary", "x'FFFE'"), duckdb=("blob", "'\\xFF\\xFE'::blob"),
           postgres=("bytea", "'\\xfffe'"), stops="which is no string",
           doc="bytes, even if they are UTF-8"),
    string("text_of_valid_blob", snowflake=("binary", "x'616263'"), duckdb=("blob", "'abc'::blob"),
           postgres=("bytea", "'abc'"), stops="which is no string"),
    string("text_of_decimal", both=("decimal(18,2)", "12.50"), stops="which is no string", doc="a decimal, declared as string"),
    string("text_of_double", both=("double precision", "12.5"), stops="which is no string"),
    string("text_of_boolean", both=("boolean", "true"), stops="which is no string"),
    string("text_of_time", both=("timestamptz", "'2025-01-01 00:00:00+02'"), stops="which is no string"),
    string("text_of_interval", snowflake=NOWHERE, both=("interval", "'1 month'"), stops="which is no string",
           doc="an interval"),
    string("text_of_time_of_day", both=("time", "'10:00:00'"), stops="which is no string"),
    string("text_of_json", snowflake=("variant", "parse_json('\"x\"')"), duckdb=("json", "'\"x\"'"),
           postgres=("jsonb", "'\"x\"'"), stops="which is no string"),
    string("text_of_list", snowflake=("array", "array_construct('a')"), duckdb=("text[]", "['a']"),
           postgres=("text[]", "ARRAY['a']"), stops="which is no string"),
    string("text_of_address", postgres=("inet", "'192.0.2.1'"), stops="which is no string"),
    string("text_of_enum", postgres=("plan_kind", "'free'"), stops="cast it in the model",
           before="CREATE TYPE plan_kind AS ENUM ('free', 'pro')", doc="an enum of PostgreSQL"),
)  # fmt: skip

ARRAYS = (
    array("list_empty", "[]", snowflake=("array", "array_construct()"), then_snowflake=("array_construct(0)", "[0]"),
          duckdb=("integer[]", "[]"), postgres=("integer[]", "'{}'"), then=("[0]", "[0]"),
          then_postgres=("'{0}'", "[0]"), doc="an empty list"),
    array("list_null_inside", "[1,null]", duckdb=("integer[]", "[1, NULL]"), postgres=("integer[]", "'{1,NULL}'"),
          then=("[1]", "[1]"), then_postgres=("'{1}'", "[1]"), doc="a null in a list"),
    array("list_texts", '["a,b","","é👍"]', snowflake=("array", "array_construct('a,b', '', 'é👍')"),
          then_snowflake=("array_construct('a', 'b', '', 'é👍')", '["a","b","","é👍"]'), duckdb=("text[]", "['a,b', '', 'é👍']"),
          postgres=("text[]", "ARRAY['a,b', '', 'é👍']"), then=("['a', 'b', '', 'é👍']", '["a","b","","é👍"]'),
          then_postgres=("ARRAY['a', 'b', '', 'é👍']", '["a","b","","é👍"]')),
    array("list_bigints", "[9007199254740993,-9223372036854775807]",
          duckdb=("bigint[]", "[9007199254740993, -9223372036854775807]"),
          postgres=("bigint[]", "ARRAY[9007199254740993, -9223372036854775807]"),
          then=("[9007199254740992, -9223372036854775807]", "[9007199254740992,-9223372036854775807]"),
          then_postgres=("ARRAY[9007199254740992, -9223372036854775807]", "[9007199254740992,-9223372036854775807]")),
    array("list_decimals", "[0.10,12345678901234567890.12]", duckdb=("decimal(38,2)[]", "[0.10, 12345678901234567890.12]"),
          postgres=("numeric(38,2)[]", "ARRAY[0.10, 12345678901234567890.12]"),
          then=("[0.10, 12345678901234567890.13]", "[0.10,12345678901234567890.13]"),
          then_postgres=("ARRAY[0.10, 12345678901234567890.13]", "[0.10,12345678901234567890.13]")),
    array("list_doubles", "[0.30000000000000004,0.5]", duckdb=("double[]", "[0.1::double + 0.2::double, 0.5]"),
          postgres=("float8[]", "ARRAY[0.1::float8 + 0.2::float8, 0.5]"), then=("[0.3, 0.5]", "[0.3,0.5]"),
          then_postgres=("ARRAY[0.3, 0.5]", "[0.3,0.5]")),
    array("list_lists", "[[1,2],[3,4]]", snowflake=("array", "array_construct(array_construct(1, 2), array_construct(3, 4))"),
          then_snowflake=("array_construct(array_construct(1, 2), array_construct(4, 3))", "[[1,2],[4,3]]"),
          duckdb=("integer[][]", "[[1, 2], [3, 4]]"), postgres=("integer[]", "ARRAY[[1,2],[3,4]]"),
          then=("[[1, 2], [4, 3]]", "[[1,2],[4,3]]"), then_postgres=("ARRAY[[1,2],[4,3]]", "[[1,2],[4,3]]")),
    array("list_fixed", "[1,2]", duckdb=("integer[2]", "[1, 2]"), then=("[2, 1]", "[2,1]")),
    array("list_from_zero", "[1,2]", postgres=("integer[]", "'[0:1]={1,2}'"), then=("'{2,1}'", "[2,1]")),
    array("list_uuids", '["6f9619ff-8b86-d011-b42d-00c04fc964ff"]',
          duckdb=("uuid[]", "['6f9619ff-8b86-d011-b42d-00c04fc964ff']"),
          postgres=("uuid[]", "'{6f9619ff-8b86-d011-b42d-00c04fc964ff}'"), then=("[]", "[]"), then_postgres=("'{}'", "[]")),
    array("list_dates", '["2025-01-31"]', duckdb=("date[]", "['2025-01-31']"), postgres=("date[]", "'{2025-01-31}'"),
          then=("['2025-02-01']", '["2025-02-01"]'), then_postgres=("'{2025-02-01}'", '["2025-02-01"]')),
    array("list_structs", '[{"sku":"A","n":1},{"sku":"B","n":null}]',
          duckdb=("STRUCT(sku text, n integer)[]", "[{'sku': 'A', 'n': 1}, {'sku': 'B', 'n': NULL}]"),
          then=("[{'sku': 'A', 'n': 1}]", '[{"sku":"A","n":1}]'), doc="a list of structs"),
    array("list_of_json", "[1,2.5,null,true]", both=("json", "'[1, 2.5, null, true]'"),
          then=("'[1, 2.5, null, false]'", "[1,2.5,null,false]")),
    array("list_of_text", '[{"a":1}]', both=hold(' [ {"a" : 1} ] '), then=(text('[{"a":2}]'), '[{"a":2}]'),
          doc="JSON in a text"),
    array("list_of_digits", "[12345678901234567890,0.1234567890123456789,1E+5]", snowflake=NOWHERE,
          both=("json", "'[12345678901234567890, 0.1234567890123456789, 1E5]'"),
          then=("'[12345678901234567891, 0.1234567890123456789, 1E5]'", "[12345678901234567891,0.1234567890123456789,1E+5]"),
          doc="numbers of JSON with more digits than a double"),
    array("list_deep", NESTED, both=hold(NESTED), then=(text(NESTED[1:-1]), NESTED[1:-1])),
    array("list_items", '[{"sku":"A","n":1},{"sku":"B"}]', both=hold('[{"n":1,"sku":"A","x":0},{"sku":"B","n":null}]'),
          then=(text('[{"n":1,"sku":"A"}]'), '[{"sku":"A","n":1}]'),
          items=(Field(name="sku", column="sku", type=FieldType.STRING), Field(name="n", column="n", type=FieldType.INTEGER))),
    array("list_escaped", '["😀","é\\n"]', both=hold('["\\ud83d\\ude00", "\\u00e9\\n"]'),
          then=(text('["\\ud83d\\ude00"]'), '["😀"]')),
    array("list_too_deep", both=hold(f"[{NESTED}]"), refused="too_deep", doc="JSON nested deeper than 20"),
    array("list_1000_deep", both=hold("[" * 1000 + "]" * 1000), refused="too_deep"),
    array("list_nan", duckdb=("double[]", "['NaN'::double]"), postgres=("float8[]", "'{1,NaN}'"), refused="not_finite",
          doc="NaN in a list"),
    array("list_infinite", duckdb=("real[]", "['-Infinity'::real]"), postgres=("real[]", "'{-Infinity}'"),
          refused="not_finite"),
    array("list_infinite_deep", duckdb=("double[][]", "[['Infinity'::double]]"), postgres=("numeric[]", "'{{Infinity}}'"),
          refused="not_finite"),
    array("list_nul", duckdb=("text[]", "['a' || chr(0)]"), postgres=("json", "'[\"\\u0000\"]'"), refused="control_character"),
    array("list_half_pair", both=hold('["\\ud800"]'), refused="control_character", doc="half a surrogate pair"),
    array("list_1e400", snowflake=NOWHERE, both=("json", "'[1e400]'"), refused="out_of_range"),
    array("list_broken", both=hold("[1,"), refused="json", doc="a text that is not JSON"),
    array("list_twice", both=hold("[1][2]"), refused="json"),
    array("list_json_null", both=("json", "'null'"), refused="type"),
    array("list_object", both=("json", "'{}'"), refused="type"),
    array("list_wrong_items", both=hold('["1"]'), refused="type",
          item=Field(name="", column="", type=FieldType.NUMBER, required=True)),
    array("list_long", both=("text", "'[\"' || repeat('x', 997) || '\"]'"), refused="too_long"),
    array("list_records", postgres=("record_kind", "CAST(ROW(1, CAST('NaN' AS float8)) AS record_kind)"),
          stops="cast it in the model", before="CREATE TYPE record_kind AS (a integer, b float8)",
          doc="a composite type of PostgreSQL"),
    array("list_of_integer", both=("integer", "1"), stops="which is no array"),
    array("list_of_blob", snowflake=("binary", "x'5B5D'"), duckdb=("blob", "'[]'::blob"), postgres=("bytea", "'[]'"),
          stops="which is no array"),
)  # fmt: skip

OBJECTS = (
    json_object("object_empty", "{}", both=("json", "'{}'"), then=("'{\"a\":{}}'", '{"a":{}}')),
    json_object("object_null_inside", '{"a":null,"b":""}', both=("json", "'{\"a\":null,\"b\":\"\"}'"),
                then=("'{\"b\":\"\"}'", '{"b":""}'), doc="a null in an object"),
    json_object("object_nested", '{"b":{"c":[1,{"d":"é"}]},"a":2}', snowflake=NOWHERE,
                both=("json", "'{\"b\": {\"c\": [1, {\"d\": \"é\"}]}, \"a\": 2}'"),
                then=("'{\"b\": {\"c\": [1, {\"d\": \"è\"}]}, \"a\": 2}'", '{"b":{"c":[1,{"d":"è"}]},"a":2}')),
    json_object("object_variant", '{"a":2,"b":{"c":[1,{"d":"é"}]}}',
                snowflake=("variant", "parse_json('{\"a\": 2, \"b\": {\"c\": [1, {\"d\": \"é\"}]}}')"),
                then_snowflake=("parse_json('{\"a\": 2, \"b\": {\"c\": [1, {\"d\": \"è\"}]}}')",
                                '{"a":2,"b":{"c":[1,{"d":"è"}]}}'),
                doc="a VARIANT"),
    json_object("object_constructed", '{"a":1,"c":["x"]}',
                snowflake=("object", "object_construct('a', 1, 'c', array_construct('x'))"),
                then_snowflake=("object_construct('a', 1, 'c', array_construct('y'))", '{"a":1,"c":["y"]}'), doc="an OBJECT"),
    json_object("object_struct", '{"a":1,"b":null,"c":["x"]}',
                duckdb=("STRUCT(a integer, b text, c text[])", "{'a': 1, 'b': NULL, 'c': ['x']}"),
                then=("{'a': 1, 'b': '', 'c': ['x']}", '{"a":1,"b":"","c":["x"]}'), doc="a STRUCT"),
    json_object("object_map", '{"1":"a","2":"b"}', duckdb=("MAP(integer, text)", "MAP {1: 'a', 2: 'b'}"),
                then=("MAP {1: 'a', 3: 'b'}", '{"1":"a","3":"b"}'), doc="a MAP: its keys become texts"),
    json_object("object_map_empty", "{}", duckdb=("MAP(text, integer)", "MAP {}"), then=("MAP {'': 1}", '{"":1}')),
    json_object("object_union", '{"n":1}', duckdb=("UNION(n integer, s text)", "union_value(n := 1)"),
                then=("union_value(s := '1')", '{"s":"1"}')),
    json_object("object_binary", '{"a":2}', postgres=("jsonb", "'{\"a\": 1, \"a\": 2}'"), then=("'{\"a\":3}'", '{"a":3}')),
    json_object("object_same_name_twice", snowflake=NOWHERE, both=("json", "'{\"a\": 1, \"a\": 2}'"), refused="json",
                doc="an object that names a property twice"),
    json_object("object_same_name_deep", both=hold('{"x":[{"é" :1,"é":1}]}'), refused="json"),
    json_object("object_same_name_escaped", both=hold('{"a":1,"\\u0061":1}'), refused="json"),
    json_object("object_nan", duckdb=("STRUCT(a double)", "{'a': 'NaN'::double}"), refused="not_finite"),
    json_object("object_list", both=("json", "'[]'"), refused="type"),
    json_object("object_control_name", both=hold('{"\\u001b":1}'), refused="control_character"),
)  # fmt: skip

VALUES = (*INTEGERS, *DECIMALS, *DOUBLES, *BOOLEANS, *TIMES, *DATES, *TEXTS, *ARRAYS, *OBJECTS)
