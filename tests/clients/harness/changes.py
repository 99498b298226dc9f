"""A fixed sequence of changes to the flights, and every state that a reader may see on the way.

20 % of the rows are updated and 10 % deleted, in batches of random size and order. Each batch is one statement, so a reader
that takes one snapshot must see the sums after some prefix of the batches: nothing torn, nothing out of order.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from . import flights
from .oracle import Oracle

SEED = 20130101
BATCH_ROWS_MAX = 4000
KEY = flights.KEYS["flights"]
# The columns that an update sets.
SET = ["dep_delay", "arr_delay", "tailnum"]
KEY_KINDS = ", ".join(f"{name} {flights.COLUMNS['flights'][name]}" for name in KEY)
SET_KINDS = ", ".join(f"{name} {flights.COLUMNS['flights'][name]}" for name in SET)
SAME_KEY = " AND ".join(f"c.{name} = flights.{name}" for name in KEY)
ASSIGNMENTS = ", ".join(f"{name} = EXCLUDED.{name}" for name in SET)

# What a reader asks for: one row that tells the states of `Changes.states` apart.
FINGERPRINT = "SELECT count(*), sum(dep_delay), sum(arr_delay), count(tailnum) FROM flights"

Key = tuple[int, int, int, str, int, str]
Values = tuple[int | None, int | None, str | None]


@dataclass(frozen=True)
class Batch:
    """One statement: new values of rows, or `None` for rows to delete."""

    rows: dict[Key, Values | None]
    is_delete: bool


class Changes:
    """Batches, and the fingerprint before and after each."""

    def __init__(self, csv_path: Path, *, rows_max: int | None = None, batch_rows_max: int = BATCH_ROWS_MAX) -> None:
        self.random = random.Random(SEED)
        self.current = dict(read(csv_path, rows_max))
        self.final: dict[Key, Values | None] = {}
        self.batches: list[Batch] = []
        self.states: list[tuple[int, int, int, int]] = [self._fingerprint()]
        keys = list(self.current)
        updates = self.random.sample(keys, len(keys) // 5)
        deletes = self.random.sample(keys, len(keys) // 10)
        while updates or deletes:
            is_delete = self.random.random() < len(deletes) / (len(updates) + len(deletes))
            # Some statements change one row, as an application does.
            size = 1 if self.random.random() < 0.4 else self.random.randint(2, batch_rows_max)
            source = deletes if is_delete else updates
            taken, source[:] = source[:size], source[size:]
            self._add(taken, is_delete=is_delete)

    def changed(self, *, is_delete: bool) -> int:
        return sum(len(batch.rows) for batch in self.batches if batch.is_delete == is_delete)

    def apply(self, connection: psycopg.Connection) -> Iterator[int]:
        """Executes the batches in order, each in one of the ways in which SQL can say it; yields after each."""
        connection.execute(f"CREATE TABLE changes ({KEY_KINDS}, {SET_KINDS}, PRIMARY KEY ({', '.join(KEY)}))")
        for number, batch in enumerate(self.batches):
            if len(batch.rows) == 1:
                apply_one(connection, batch)
            elif batch.is_delete:
                (delete_using, delete_where_exists)[number % 2](connection, batch)
            else:
                (upsert_values, update_from, upsert_select)[number % 3](connection, batch)
            yield number
        connection.execute("DROP TABLE changes")

    def apply_to_oracle(self, oracle: Oracle) -> None:
        """The sum of all batches at once: which batch wins was decided when they were made."""
        connection = oracle.connection
        connection.execute(f"CREATE TABLE changes ({KEY_KINDS}, {SET_KINDS}, is_delete boolean)")
        rows = [(*key, *(values or (None, None, None)), values is None) for key, values in self.final.items()]
        for start in range(0, len(rows), 1000):
            part = rows[start : start + 1000]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(part))
            connection.execute(f"INSERT INTO changes VALUES {marks}", [value for row in part for value in row])
        assignments = ", ".join(f"{name} = c.{name}" for name in SET)
        connection.execute(f"UPDATE flights SET {assignments} FROM changes c WHERE NOT c.is_delete AND {SAME_KEY}")
        connection.execute(f"DELETE FROM flights USING changes c WHERE c.is_delete AND {SAME_KEY}")
        connection.execute("DROP TABLE changes")

    def _add(self, keys: list[Key], *, is_delete: bool) -> None:
        # A row that is gone stays gone, so an upsert must not bring it back.
        keys = [key for key in keys if key in self.current]
        if not keys:
            return
        rows: dict[Key, Values | None] = {key: None if is_delete else self._new_values(key) for key in keys}
        count, dep, arr, named = self.states[-1]
        for key, values in rows.items():
            old = self.current.pop(key)
            dep, arr, named = dep - (old[0] or 0), arr - (old[1] or 0), named - (old[2] is not None)
            if values is None:
                count -= 1
            else:
                dep, arr, named = dep + (values[0] or 0), arr + (values[1] or 0), named + (values[2] is not None)
                self.current[key] = values
        self.final.update(rows)
        self.batches.append(Batch(rows, is_delete))
        self.states.append((count, dep, arr, named))

    def _new_values(self, key: Key) -> Values:
        _, arr, tailnum = self.current[key]
        # Never the same sum twice in a row: a delay always grows.
        delay = self.random.randint(10_000, 20_000)
        return (
            delay,
            None if self.random.random() < 0.1 else (arr or 0) + self.random.randint(1, 60),
            None if self.random.random() < 0.1 else tailnum or "N00000",
        )

    def _fingerprint(self) -> tuple[int, int, int, int]:
        rows = self.current.values()
        return (
            len(rows),
            sum(row[0] or 0 for row in rows),
            sum(row[1] or 0 for row in rows),
            sum(row[2] is not None for row in rows),
        )


def read(csv_path: Path, rows_max: int | None) -> Iterator[tuple[Key, Values]]:
    with csv_path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number == rows_max:
                return
            key = (int(row["year"]), int(row["month"]), int(row["day"]), row["carrier"], int(row["flight"]), row["origin"])
            yield (
                key,
                (
                    int(row["dep_delay"]) if row["dep_delay"] else None,
                    int(row["arr_delay"]) if row["arr_delay"] else None,
                    row["tailnum"] or None,
                ),
            )


def apply_one(connection: psycopg.Connection, batch: Batch) -> None:
    ((key, values),) = batch.rows.items()
    where = " AND ".join(f"{name} = %s" for name in KEY)
    if values is None:
        cursor = connection.execute(f"DELETE FROM flights WHERE {where}", key)
    else:
        assignments = ", ".join(f"{name} = %s" for name in SET)
        cursor = connection.execute(f"UPDATE flights SET {assignments} WHERE {where}", [*values, *key])
    assert cursor.rowcount == 1, cursor.statusmessage


def upsert_values(connection: psycopg.Connection, batch: Batch) -> None:
    rows = sql.SQL(", ").join(
        sql.SQL("({})").format(sql.SQL(", ").join(sql.Literal(value) for value in (*key, *(values or ()))))
        for key, values in batch.rows.items()
    )
    statement = sql.SQL("INSERT INTO flights ({}) VALUES {} ON CONFLICT ({}) DO UPDATE SET {}").format(
        names(KEY + SET), rows, names(KEY), sql.SQL(ASSIGNMENTS)
    )
    assert_changed(connection.execute(statement), batch)


def update_from(connection: psycopg.Connection, batch: Batch) -> None:
    copy_changes(connection, batch)
    assignments = ", ".join(f"{name} = c.{name}" for name in SET)
    assert_changed(connection.execute(f"UPDATE flights SET {assignments} FROM changes c WHERE {SAME_KEY}"), batch)


def upsert_select(connection: psycopg.Connection, batch: Batch) -> None:
    copy_changes(connection, batch)
    columns = ", ".join(KEY + SET)
    statement = f"INSERT INTO flights ({columns}) SELECT {columns} FROM changes ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {ASSIGNMENTS}"
    assert_changed(connection.execute(statement), batch)


def delete_using(connection: psycopg.Connection, batch: Batch) -> None:
    copy_changes(connection, batch)
    assert_changed(connection.execute(f"DELETE FROM flights USING changes c WHERE {SAME_KEY}"), batch)


def delete_where_exists(connection: psycopg.Connection, batch: Batch) -> None:
    copy_changes(connection, batch)
    assert_changed(connection.execute(f"DELETE FROM flights WHERE EXISTS (SELECT 1 FROM changes c WHERE {SAME_KEY})"), batch)


def copy_changes(connection: psycopg.Connection, batch: Batch) -> None:
    connection.execute("TRUNCATE changes")
    with connection.cursor().copy(f"COPY changes ({', '.join(KEY + SET)}) FROM STDIN") as copy:
        for key, values in batch.rows.items():
            copy.write_row((*key, *(values or (None, None, None))))


def assert_changed(cursor: psycopg.Cursor, batch: Batch) -> None:
    assert cursor.rowcount == len(batch.rows), f"{cursor.statusmessage}, expected {len(batch.rows)} rows"


def names(columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in columns)
