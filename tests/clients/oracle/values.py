"""Types, and the values of each that break things."""

from __future__ import annotations

import random

INTEGERS = ("int2", "int4", "int8")
FLOATS = ("float4", "float8")
NUMBERS = (*INTEGERS, "numeric", *FLOATS)
TIMES = ("date", "time", "timestamp", "timestamptz", "interval")
# Types with an order that PostgreSQL and Outcrop share.
ORDERED = (*NUMBERS, "text", "bool", "date", "time", "timestamp", "timestamptz", "interval", "uuid", "bytea")
ARRAYS = ("int4[]", "text[]")
ALL = (*ORDERED, "jsonb", *ARRAYS)

# How a column of a type may be declared.
DECLARED = {
    "numeric": ("numeric(10,2)", "numeric(38,10)", "numeric(5,0)", "numeric(20,6)", "numeric(60,20)", "numeric(4,4)"),
    "text": ("text", "text", "varchar(400)"),
}

BOUNDS = {"int2": 2**15, "int4": 2**31, "int8": 2**63}

WILD: dict[str, tuple[str, ...]] = {
    "bool": ("true", "false"),
    "int2": ("-32768", "32767", "0", "1", "-1", "2", "7", "100"),
    "int4": ("-2147483648", "2147483647", "0", "1", "-1", "2", "7", "65536"),
    "int8": ("-9223372036854775808", "9223372036854775807", "0", "1", "-1", "3", "4294967296", "9007199254740993"),
    "float4": ("NaN", "Infinity", "-Infinity", "0", "-0", "1", "-1", "1.5", "3.4028235e38", "-3.4028235e38", "1e-45", "0.1"),
    "float8": (
        *("NaN", "Infinity", "-Infinity", "0", "-0", "1", "-1", "2.5", "1.7976931348623157e308", "-1.7976931348623157e308"),
        *("5e-324", "0.1", "1e15", "123456789.123456789", "1e-7"),
    ),
    "numeric": ("0", "1", "-1", "0.5", "-0.5", "1.25", "99.99", "-99.99", "0.01", "2.675", "1234.5678"),
    "text": (
        *("", " ", "a", "A", "b", "ab", "abc", "aBc", "é", "É", "ß", "日本語", "𝄞x", "it's", "%", "_", "a%b", "a_b", "\\"),
        *("1", "-5", "1.5", "true", "2024-02-29", "NULL", "  x  ", "x" * 300, "a\tb", "a\nb", "foo bar baz", "a,b,,c", "{1,2}"),
    ),
    "date": (
        "2024-02-29",
        "2023-12-31",
        "2024-01-01",
        "1970-01-01",
        "1969-12-31",
        "0001-01-01",
        "9999-12-31",
        "infinity",
        "-infinity",
        "2000-02-29",
        "0044-03-15 BC",
    ),
    "time": ("00:00:00", "23:59:59.999999", "12:30:00", "24:00:00", "00:00:00.000001"),
    "timestamp": (
        *("2024-02-29 12:34:56.789", "1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00"),
        *(
            "9999-12-31 23:59:59.999999",
            "infinity",
            "-infinity",
            "2024-03-31 02:30:00",
            "2023-12-31 00:00:00",
            "0044-03-15 12:00:00 BC",
        ),
    ),
    "timestamptz": (
        *("2024-02-29 12:34:56.789+00", "1970-01-01 00:00:00+00", "1969-12-31 23:59:59.999999+00", "2024-03-31 01:30:00+02"),
        *("9999-12-31 23:59:59+00", "infinity", "-infinity", "2023-12-31 00:00:00+00", "2024-10-27 00:30:00+00"),
    ),
    "interval": (
        *("0", "1 day", "1 month", "-1 day", "24 hours", "30 days", "1 year", "00:00:00.000001", "-3 hours"),
        *("1 month -1 day", "90 minutes", "-1 month 2 days 3 hours"),
    ),
    "uuid": (
        *("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        *("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "7f000000-0000-0000-0000-000000000000", "80000000-0000-0000-0000-000000000000"),
    ),
    "bytea": ("\\x", "\\x00", "\\xff", "\\x0001", "\\x616263", "\\x80"),
    "jsonb": (
        *(
            "null",
            "true",
            "1",
            "1.50",
            '""',
            '"a"',
            "[]",
            "{}",
            '{"a": 1}',
            '{"a": null, "b": [1, 2.5, "x"]}',
            '[1, null, {"k": "v"}]',
        ),
        *('{"a": {"b": {"c": "deep"}}}', '{"é": "日本", "": 0}', '{"a": "1", "b": true}', "12345678901234567890"),
    ),
    "int4[]": ("{}", "{1}", "{1,2,3}", "{NULL}", "{1,NULL,3}", "{2147483647,-2147483648}", "{3,2,1,1}"),
    "text[]": ("{}", "{a}", "{a,b,c}", '{"",NULL,"NULL"}', '{"a b","c,d","q\\"uote","back\\\\slash"}', "{é,日本}"),
}
# Values that sums add without rounding, in any order, and that overflow nowhere.
TAME: dict[str, tuple[str, ...]] = {
    "int2": tuple(str(n) for n in (-20, -3, -1, 0, 1, 2, 3, 5, 8, 100)),
    "int4": tuple(str(n) for n in (-1000, -7, -1, 0, 1, 2, 3, 10, 42, 999)),
    "int8": tuple(str(n) for n in (-100000, -7, -1, 0, 1, 2, 3, 10, 42, 99999)),
    "float4": ("-2.5", "-1", "0", "0.25", "0.5", "1", "2", "3.75", "100"),
    "float8": ("-1000.5", "-1", "0", "0.25", "0.5", "1", "2", "3.75", "1024", "-0"),
    "text": ("", "a", "b", "c", "A", "ab", "abc", "x y"),
    "date": ("2024-02-29", "2023-12-31", "2024-01-01", "2024-01-31", "1970-01-01", "1999-06-15"),
    "timestamp": ("2024-02-29 12:34:56.789", "1970-01-01 00:00:00", "2024-01-31 23:59:59", "1999-06-15 06:00:00"),
    "timestamptz": ("2024-02-29 12:34:56.789+00", "1970-01-01 00:00:00+00", "2024-01-31 23:59:59+00", "1999-06-15 06:00:00+00"),
}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def value(chance: random.Random, type_name: str, *, wild: bool = True) -> str:
    """The text of a value of a type."""
    pool = WILD[type_name] if wild or type_name not in TAME else TAME[type_name]
    return chance.choice(pool)


def fitting(chance: random.Random, declared: str, type_name: str, *, wild: bool) -> str:
    """The text of a value that a column declared like this can hold."""
    if type_name != "numeric":
        return value(chance, type_name, wild=wild)
    precision, scale = (int(part) for part in declared[8:-1].split(","))
    digits = chance.choice((0, 1, 2, precision - scale, precision - scale))
    whole = str(chance.randrange(10 ** min(digits, precision - scale))) if digits else "0"
    if chance.random() < 0.15:
        whole = "9" * (precision - scale) or "0"
    places = chance.choice((0, 1, 2, scale))
    fraction = "".join(chance.choice("0123456789") for _ in range(min(places, scale)))
    sign = chance.choice(("", "", "-"))
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def literal(chance: random.Random, type_name: str, *, wild: bool = True) -> str:
    """SQL for a constant of exactly this type."""
    text = value(chance, type_name, wild=wild)
    if type_name == "bool":
        return text
    if type_name == "int4" and not text.startswith("-") and chance.random() < 0.9:
        return text
    if type_name == "numeric" and "." in text and not text.startswith("-"):
        return text
    return f"{quoted(text)}::{type_name}"


def bare(chance: random.Random, type_name: str, *, wild: bool = True) -> str:
    """A constant without a type of its own: it takes that of the other side."""
    return quoted(value(chance, type_name, wild=wild))
