"""An independent answer to every question: DuckDB over the same files and the same changes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb

from . import flights

# Sums of floats depend on the order of addition.
RELATIVE_ERROR_MAX = 1e-9


class Oracle:
    """The five tables in DuckDB, in memory."""

    def __init__(self, files: dict[str, Path], tables: Iterable[str] = tuple(flights.KEYS)) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        for table in tables:
            self.create(table)
            self.connection.execute(f"COPY {table} FROM '{files[table]}' (FORMAT csv, HEADER)")

    def create(self, table: str, like: str | None = None) -> None:
        """Creates an empty table with the columns of one of the five."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in flights.COLUMNS[like or table].items())
        self.connection.execute(f"CREATE TABLE {table} ({columns})")

    def rows(self, query: str) -> list[tuple]:
        return self.connection.execute(query).fetchall()

    def difference(self, table: str, copied: Path, like: str | None = None) -> tuple[list[tuple], list[tuple]]:
        """Rows that only the oracle has, and rows that only `copied` has: a CSV file that `COPY table TO STDOUT` wrote."""
        kinds = flights.COLUMNS[like or table]
        names = ", ".join(f'"{name}"' for name in kinds)
        self.connection.execute("DROP TABLE IF EXISTS copied")
        self.create("copied", like=like or table)
        self.connection.execute(f"COPY copied ({names}) FROM '{copied}' (FORMAT csv, HEADER)")
        text = ", ".join(f'CAST("{name}" AS varchar)' if kind == "timestamptz" else f'"{name}"' for name, kind in kinds.items())
        missing = self.rows(f"SELECT {text} FROM (SELECT {names} FROM {table} EXCEPT ALL SELECT {names} FROM copied) LIMIT 5")
        added = self.rows(f"SELECT {text} FROM (SELECT {names} FROM copied EXCEPT ALL SELECT {names} FROM {table}) LIMIT 5")
        return missing, added


def assert_same_rows(found: list[tuple], expected: list[tuple], what: str) -> None:
    """The same rows in the same order; numbers are compared as numbers, whatever type carries them."""
    assert len(found) == len(expected), f"{what}: {len(found)} rows, expected {len(expected)}\n{found[:5]}\n{expected[:5]}"
    for number, (left, right) in enumerate(zip(found, expected, strict=True)):
        is_same = len(left) == len(right) and all(is_same_value(a, b) for a, b in zip(left, right, strict=True))
        assert is_same, f"{what}: row {number} is\n{left}, expected\n{right}"


def is_same_value(found: object, expected: object) -> bool:
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, float) or isinstance(expected, float):
        if not isinstance(found, int | float | Decimal) or not isinstance(expected, int | float | Decimal):
            return False
        return math.isclose(float(found), float(expected), rel_tol=RELATIVE_ERROR_MAX, abs_tol=RELATIVE_ERROR_MAX)
    if isinstance(found, datetime) and isinstance(expected, datetime):
        return in_utc(found) == in_utc(expected)
    return found == expected


def in_utc(time: datetime) -> datetime:
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
