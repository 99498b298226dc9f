"""When two outcomes are the same, and which differences from PostgreSQL are meant."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from .engines import Outcome

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8, VARCHAR = 16, 17, 20, 21, 23, 25, 700, 701, 1043
INTERVAL, NUMERIC, JSONB = 1186, 1700, 3802
FLOAT8_ERROR = 1e-9
FLOAT4_ERROR = 1e-4
LEAK = re.compile(
    r"DataFusion|Arrow error|Internal error|likely caused by a bug|Execution error|Schema error|panicked|Utf8View|type_coercion",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Difference:
    """What is not the same: a kind that the reducer keeps, and words for people."""

    kind: str
    words: str


def difference(
    outcrop: Outcome, postgres: Outcome, sql: str, *, ordered: bool = False, certain: bool = True
) -> Difference | None:
    """How Outcrop's answer differs. Where the order of evaluation is free (not `certain`), only one may raise an error."""
    if outcrop.failed:
        if outcrop.sqlstate[:2] in ("XX", "08", "58", "57"):
            return Difference(f"internal {outcrop.sqlstate}", f"Outcrop: {outcrop}\nPostgreSQL: {postgres}")
        if LEAK.search(outcrop.message):
            return Difference(f"leak {outcrop.sqlstate}", f"Outcrop: {outcrop}\nPostgreSQL: {postgres}")
    if outcrop.failed and postgres.failed:
        if outcrop.sqlstate[:2] == postgres.sqlstate[:2] or not certain:
            return None
        return Difference(f"sqlstate {outcrop.sqlstate} {postgres.sqlstate}", f"Outcrop: {outcrop}\nPostgreSQL: {postgres}")
    if outcrop.failed:
        if outcrop.sqlstate[:2] == "22" and not certain:
            return None
        return Difference(f"error {outcrop.sqlstate}", f"Outcrop: {outcrop}\nPostgreSQL: {postgres}")
    if postgres.failed:
        if postgres.sqlstate[:2] == "22" and not certain:
            return None
        return Difference(f"no error {postgres.sqlstate}", f"Outcrop: {outcrop}\nPostgreSQL: {postgres}")
    if outcrop.types != postgres.types and not same_types(outcrop.types, postgres.types):
        return Difference(f"types {mismatched(outcrop.types, postgres.types)}", f"Outcrop: {outcrop}\nPostgreSQL: {postgres}")
    found = rows_differ(outcrop, postgres, ordered=ordered)
    return Difference("rows", f"{found}\nOutcrop: {outcrop}\nPostgreSQL: {postgres}") if found else None


def same_types(left: list[int], right: list[int]) -> bool:
    # varchar is text with a length.
    return [TEXT if each == VARCHAR else each for each in left] == [TEXT if each == VARCHAR else each for each in right]


def mismatched(left: list[int], right: list[int]) -> str:
    if len(left) != len(right):
        return "count"
    return " ".join(sorted({f"{a}/{b}" for a, b in zip(left, right, strict=True) if a != b}))


def rows_differ(left: Outcome, right: Outcome, *, ordered: bool) -> str:
    """Words about the first rows that are in one only."""
    if len(left.rows) != len(right.rows):
        return f"{len(left.rows)} rows against {len(right.rows)}"
    if left.rows == right.rows:
        return ""
    mine = [canonical(row, left.types) for row in left.rows]
    theirs = [canonical(row, right.types) for row in right.rows]
    if mine == theirs:
        return ""
    if not ordered:
        counted = Counter(mine)
        counted.subtract(Counter(theirs))
        mine = sorted((row for row, times in counted.items() for _ in range(times)), key=sortable)
        theirs = sorted((row for row, times in counted.items() for _ in range(-times)), key=sortable)
    for place, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        for cell, other, kind in zip(a, b, left.types, strict=True):
            if not close(cell, other, kind):
                return f"row {place}: {cell!r} against {other!r}"
    return ""


def sortable(row: tuple) -> tuple:
    return tuple((cell is not None, str(type(cell)), cell if isinstance(cell, (int, Decimal)) else str(cell)) for cell in row)


def canonical(row: tuple[str | None, ...], types: list[int]) -> tuple:
    return tuple(None if cell is None else value(cell, kind) for cell, kind in zip(row, types, strict=True))


def value(text: str, kind: int) -> object:
    """A value that is equal where the values are; the text where there is only one way to write it."""
    if kind in (FLOAT4, FLOAT8):
        number = float(text)
        return "NaN" if math.isnan(number) else number + 0.0
    if kind == NUMERIC:
        try:
            return Decimal(text).normalize() + 0
        except InvalidOperation:
            return text
    if kind == JSONB:
        return json.dumps(
            json.loads(text, parse_float=lambda digits: Decimal(digits).normalize(), parse_int=Decimal),
            sort_keys=True,
            default=str,
        )
    return text


def close(mine: object, other: object, kind: int) -> bool:
    if mine == other:
        return True
    if mine is None or other is None:
        return False
    if kind in (FLOAT4, FLOAT8) and isinstance(mine, float) and isinstance(other, float):
        return math.isclose(mine, other, rel_tol=FLOAT8_ERROR if kind == FLOAT8 else FLOAT4_ERROR, abs_tol=FLOAT8_ERROR)
    if kind == NUMERIC and isinstance(mine, Decimal) and isinstance(other, Decimal):
        # Quotients are cut at another digit.
        return abs(mine - other) <= max(Decimal("1e-9"), abs(other) * Decimal("1e-15"))
    return False


@dataclass(frozen=True)
class Declared:
    """A difference that `docs/guide/postgres-differences.md` declares."""

    sentence: str
    test: Callable[[Difference, Outcome, Outcome, str], bool]


def has(*words: str) -> Callable[[str], bool]:
    pattern = re.compile("|".join(words), re.IGNORECASE)
    return lambda sql: bool(pattern.search(sql))


def leaves_range(found: Difference, _outcrop: Outcome, _postgres: Outcome, sql: str) -> bool:
    return found.kind.startswith("no error 22") and has(r"\b(ln|log|exp|power|sqrt|acos)\(")(sql)


DECLARED: tuple[Declared, ...] = (
    Declared("Where a function leaves the range of doubles the result is infinite, not an error.", leaves_range),
    Declared("The same for a double that is too small for a real.", lambda _, __, postgres, ___: "underflow" in postgres.message),
    Declared("Beyond 76 digits: 22003.", lambda _, outcrop, __, sql: outcrop.sqlstate == "22003" and "numeric" in sql),
    Declared("ANY and ALL over numerics of another scale: 42883.", lambda _, outcrop, __, ___: "array_has" in outcrop.message),
    Declared("Arrays of varchar are arrays of text.", lambda found, *_: found.kind == "types 1009/1015"),
    Declared("sum(real) and avg(real) are double precision.", lambda found, *_: found.kind == "types 700/701"),
)


def declared(found: Difference, outcrop: Outcome, postgres: Outcome, sql: str) -> Declared | None:
    return next((each for each in DECLARED if each.test(found, outcrop, postgres, sql)), None)
