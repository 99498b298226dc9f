"""Clients that write all the time and know, outside of the database, what it must hold.

Each actor is alone in changing its rows. It notes what a statement will make before it sends it, and takes that for the
truth once the server has acknowledged it. A statement whose answer never came may be there or not, but whole or not at all:
`check` compares what is there with both, and settles the doubt.
"""

from __future__ import annotations

import datetime
import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from harness.servers import Server

LONG_AGO = datetime.datetime(2001, 2, 3, tzinfo=datetime.UTC)
ROWS_MAX = 300
LARGE_ROWS = 400
TABLES_MAX = 3
# More than a record of the log names one by one.
CROWD_ROWS = 16_500


TABLES = ["mixed", "large", "crowd", "aging"]


def schema(*, is_outcrop: bool = True) -> str:
    """The tables of all actors."""
    ordered, aged = ("CLUSTER BY (n)", "WITH (retention = '1 day', time_column = at)") if is_outcrop else ("", "")
    return f"""
        CREATE TABLE mixed (actor int, id int, n bigint NOT NULL, s text, PRIMARY KEY (actor, id));
        CREATE TABLE large (id int PRIMARY KEY, n bigint NOT NULL, s text NOT NULL) {ordered};
        CREATE TABLE crowd (id int PRIMARY KEY, n int NOT NULL);
        CREATE TABLE aging (id int PRIMARY KEY, at timestamptz NOT NULL) {aged};
    """


class WrongContents(AssertionError):
    """The database holds what no acknowledged statement and none in flight could have made."""


class _Anything:
    """A value that the server chose: known only once it was read."""

    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "ANYTHING"

    __hash__ = None  # type: ignore[assignment]


ANYTHING = _Anything()

Rows = dict[object, tuple]


class Actor:
    """The only writer of some rows: what they are, and what they are if the statement in flight counts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged = 0
        self.state: Rows = {}
        self.doubt: Rows | None = None

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        """Runs one statement."""
        raise NotImplementedError

    def read(self, connection: psycopg.Connection) -> Rows:
        """What is there."""
        raise NotImplementedError

    def check(self, connection: psycopg.Connection) -> None:
        """Compares what is there with what must be, and takes it for the truth."""
        found = self.read(connection)
        if found != self.state and (self.doubt is None or found != self.doubt):
            raise WrongContents(f"{self.name}: {self._difference(found)}")
        self.state, self.doubt = found, None

    def run(self, connection: psycopg.Connection, statement: str, after: Rows, parameters: object = None) -> None:
        """Runs a statement that makes the state `after`."""
        with self.changing(after):
            connection.execute(statement, parameters)

    @contextmanager
    def changing(self, after: Rows) -> Iterator[None]:
        """From here on `after` may be the state; after the block it is."""
        self.doubt = after
        yield
        self.state, self.doubt = after, None
        self.acknowledged += 1

    def _difference(self, found: Rows) -> str:
        text = f"{len(found)} rows are there, {len(self.state)} were acknowledged\n"
        wanted = [("acknowledged", self.state)] + ([("with the statement in flight", self.doubt)] if self.doubt is not None else [])
        for name, state in wanted:
            missing = {key: row for key, row in state.items() if key not in found}
            other = {key: (row, found[key]) for key, row in state.items() if key in found and found[key] != row}
            extra = {key: row for key, row in found.items() if key not in state}
            text += f"against {name}: missing {_some(missing)}, different (wanted, found) {_some(other)}, extra {_some(extra)}\n"
        return text


def _some(rows: dict) -> str:
    shown = dict(list(rows.items())[:5])
    return f"{len(rows)} {shown}" if rows else "none"


class RowsActor(Actor):
    """Small statements of every kind on its part of a table that several actors share."""

    def __init__(self, number: int) -> None:
        super().__init__(f"rows {number}")
        self.number = number

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        kinds = [self._insert, self._upsert, self._skip, self._update, self._update_many, self._move, self._delete, self._copy]
        if len(self.state) > ROWS_MAX:
            kinds = [self._delete_many]
        chance.choice(kinds)(connection, chance)

    def read(self, connection: psycopg.Connection) -> Rows:
        rows = connection.execute("SELECT id, n, s FROM mixed WHERE actor = %s", [self.number]).fetchall()
        found = {row[0]: row[1:] for row in rows}
        if len(found) != len(rows):
            raise WrongContents(f"{self.name}: a key is there twice")
        # The key path must say the same as the scan.
        for key in list(found)[:3]:
            by_key = connection.execute("SELECT n, s FROM mixed WHERE actor = %s AND id = %s", [self.number, key]).fetchall()
            if by_key != [found[key]]:
                raise WrongContents(f"{self.name}: row {key} is {found[key]} by a scan, {by_key} by key")
        return found

    def _new(self, chance: random.Random, most: int) -> Rows:
        fresh = chance.sample(range(10_000), chance.randint(1, most))
        return {key: (chance.randrange(1 << 40), _text(chance)) for key in fresh}

    def _values(self, rows: Rows) -> tuple[str, list]:
        places = ", ".join(["(%s, %s, %s, %s)"] * len(rows))
        return places, [value for key, row in rows.items() for value in (self.number, key, *row)]

    def _insert(self, connection: psycopg.Connection, chance: random.Random) -> None:
        rows = {key: row for key, row in self._new(chance, 20).items() if key not in self.state}
        if rows:
            places, values = self._values(rows)
            self.run(connection, f"INSERT INTO mixed VALUES {places}", self.state | rows, values)

    def _upsert(self, connection: psycopg.Connection, chance: random.Random) -> None:
        rows = self._new(chance, 10)
        rows |= {key: (chance.randrange(1 << 40), _text(chance)) for key in self._some_keys(chance)}
        after = dict(self.state)
        for key, (n, s) in rows.items():
            after[key] = (after[key][0] + n, s) if key in after else (n, s)
        places, values = self._values(rows)
        conflict = "ON CONFLICT (actor, id) DO UPDATE SET n = mixed.n + EXCLUDED.n, s = EXCLUDED.s"
        self.run(connection, f"INSERT INTO mixed VALUES {places} {conflict}", after, values)

    def _skip(self, connection: psycopg.Connection, chance: random.Random) -> None:
        rows = self._new(chance, 5) | {key: (0, None) for key in self._some_keys(chance)}
        places, values = self._values(rows)
        self.run(connection, f"INSERT INTO mixed VALUES {places} ON CONFLICT DO NOTHING", rows | self.state, values)

    def _update(self, connection: psycopg.Connection, chance: random.Random) -> None:
        for key in self._some_keys(chance)[:1]:
            row = (chance.randrange(1 << 40), _text(chance))
            self.run(
                connection,
                "UPDATE mixed SET n = %s, s = %s WHERE actor = %s AND id = %s",
                self.state | {key: row},
                [*row, self.number, key],
            )

    def _update_many(self, connection: psycopg.Connection, chance: random.Random) -> None:
        low = chance.randrange(10_000)
        after = {key: (n + 1, s) if key >= low else (n, s) for key, (n, s) in self.state.items()}
        self.run(connection, "UPDATE mixed SET n = n + 1 WHERE actor = %s AND id >= %s", after, [self.number, low])

    def _move(self, connection: psycopg.Connection, chance: random.Random) -> None:
        """Other keys for some rows: the old ones become free."""
        low = chance.randrange(10_000)
        moved = {key: key + 10_000 for key in self.state if low <= key < low + 1_000}
        if any(key in self.state for key in moved.values()):
            return
        after = {moved.get(key, key): row for key, row in self.state.items()}
        statement = "UPDATE mixed SET id = id + 10000 WHERE actor = %s AND id >= %s AND id < %s"
        self.run(connection, statement, after, [self.number, low, low + 1_000])

    def _delete(self, connection: psycopg.Connection, chance: random.Random) -> None:
        for key in self._some_keys(chance)[:1]:
            after = {other: row for other, row in self.state.items() if other != key}
            self.run(connection, "DELETE FROM mixed WHERE actor = %s AND id = %s", after, [self.number, key])

    def _delete_many(self, connection: psycopg.Connection, chance: random.Random) -> None:
        rest = chance.randrange(4)
        after = {key: row for key, row in self.state.items() if key % 4 == rest}
        self.run(connection, "DELETE FROM mixed WHERE actor = %s AND id %% 4 <> %s", after, [self.number, rest])

    def _copy(self, connection: psycopg.Connection, chance: random.Random) -> None:
        rows = {key: row for key, row in self._new(chance, 60).items() if key not in self.state}
        with self.changing(self.state | rows), connection.cursor().copy("COPY mixed FROM STDIN") as copy:
            for key, row in rows.items():
                copy.write_row((self.number, key, *row))

    def _some_keys(self, chance: random.Random) -> list:
        return chance.sample(list(self.state), min(len(self.state), chance.randint(1, 8)))


class LargeActor(Actor):
    """Statements that are staged in segments before they are committed: every one is above the limit of the log."""

    def __init__(self) -> None:
        super().__init__("large")
        self.next = 0

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        kinds = [self._insert, self._insert, self._upsert, self._update, self._delete]
        chance.choice(kinds if len(self.state) < 4 * LARGE_ROWS else [self._delete, self._truncate])(connection, chance)

    def read(self, connection: psycopg.Connection) -> Rows:
        rows = connection.execute("SELECT id, n, md5(s) FROM large").fetchall()
        if len(rows) != len({row[0] for row in rows}):
            raise WrongContents(f"{self.name}: a key is there twice")
        return {row[0]: row[1:] for row in rows}

    def _generated(self, first: int, turn: int) -> tuple[str, Rows]:
        last = first + LARGE_ROWS - 1
        select = f"SELECT g, g * {turn}, repeat(md5(g::text || '/{turn}'), 10) FROM generate_series({first}, {last}) AS t(g)"
        return select, {g: (g * turn, _md5(_md5(f"{g}/{turn}") * 10)) for g in range(first, last + 1)}

    def _insert(self, connection: psycopg.Connection, chance: random.Random) -> None:
        self.next += LARGE_ROWS
        select, rows = self._generated(self.next, chance.randint(1, 99))
        self.run(connection, f"INSERT INTO large {select}", self.state | rows)

    def _upsert(self, connection: psycopg.Connection, chance: random.Random) -> None:
        select, rows = self._generated(max(0, self.next - LARGE_ROWS // 2), chance.randint(1, 99))
        conflict = "ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n, s = EXCLUDED.s"
        self.next += LARGE_ROWS
        self.run(connection, f"INSERT INTO large {select} {conflict}", self.state | rows)

    def _update(self, connection: psycopg.Connection, chance: random.Random) -> None:
        self.run(connection, "UPDATE large SET n = n + 1", {key: (n + 1, s) for key, (n, s) in self.state.items()})

    def _delete(self, connection: psycopg.Connection, chance: random.Random) -> None:
        rest = chance.randrange(3)
        after = {key: row for key, row in self.state.items() if key % 3 == rest}
        self.run(connection, f"DELETE FROM large WHERE id % 3 <> {rest}", after)

    def _truncate(self, connection: psycopg.Connection, chance: random.Random) -> None:
        self.run(connection, "TRUNCATE large", {})


class CrowdActor(Actor):
    """Statements with more victims than a record holds. A state is count, ends and sum of what is there."""

    def __init__(self) -> None:
        super().__init__("crowd")
        self.state = self._rows(0, 0)

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        count, n, *_ = self.state["all"]
        if count == 0:
            n = chance.randrange(1000)
            select = f"SELECT g, {n} FROM generate_series(1, {CROWD_ROWS}) AS t(g)"
            self.run(connection, f"INSERT INTO crowd {select}", self._rows(CROWD_ROWS, n))
        elif chance.random() < 0.7:
            self.run(connection, "UPDATE crowd SET n = n + 1", self._rows(CROWD_ROWS, n + 1))
        else:
            self.run(connection, "DELETE FROM crowd", self._rows(0, 0))

    def read(self, connection: psycopg.Connection) -> Rows:
        columns = "count(*), coalesce(min(n), 0), coalesce(max(n), 0), coalesce(sum(id), 0)::bigint"
        return {"all": connection.execute(f"SELECT {columns} FROM crowd").fetchone() or ()}

    def _rows(self, count: int, n: int) -> Rows:
        return {"all": (count, n, n, count * (count + 1) // 2)}


class ShapesActor(Actor):
    """Tables that are created, altered and dropped. A state is columns and rows of each table by its name."""

    def __init__(self, *, is_outcrop: bool) -> None:
        super().__init__("shapes")
        self.tables = 0
        self._orders = ["", " CLUSTER BY (v)"] if is_outcrop else [""]

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        if not self.state or (len(self.state) < TABLES_MAX and chance.random() < 0.1):
            return self._create(connection, chance)
        table = chance.choice(list(self.state))
        if chance.random() < 0.05:
            after = {name: shape for name, shape in self.state.items() if name != table}
            return self.run(connection, f"DROP TABLE {table}", after)
        kinds = [self._fill, self._fill, self._add, self._add_volatile, self._drop_column, self._rename_column]
        chance.choice([*kinds, self._rename, self._widen, self._empty])(connection, chance, table)

    def read(self, connection: psycopg.Connection) -> Rows:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'shape%'"
        ).fetchall()
        return {name: self._read_table(connection, name) for (name,) in names}

    def _read_table(self, connection: psycopg.Connection, name: str) -> tuple:
        cursor = connection.execute(f"SELECT * FROM {name} ORDER BY id")
        columns = [(column.name, column.type_code) for column in cursor.description or []]
        return (columns, cursor.fetchall())

    def _create(self, connection: psycopg.Connection, chance: random.Random) -> None:
        self.tables += 1
        name = f"shape_{self.tables}"
        statement = f"CREATE TABLE {name} (id int PRIMARY KEY, v int NOT NULL){chance.choice(self._orders)}"
        self.run(connection, statement, self.state | {name: ([("id", INT), ("v", INT)], [])})

    def _fill(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        columns, rows = self.state[table]
        first = rows[-1][0] + 1 if rows else 1
        filled = [column for column, _ in columns if column.startswith(("id", "v"))]
        new = [{"id": first + i} | {column: chance.randrange(1 << 30) for column in filled[1:]} for i in range(5)]
        values = ", ".join("(" + ", ".join(str(row[column]) for column in filled) + ")" for row in new)
        # Columns that were added have a default, which a name tells: c7 has 7.
        made = [tuple(row[column] if column in row else _default(column) for column, _ in columns) for row in new]
        after = self.state | {table: (columns, rows + made)}
        self.run(connection, f"INSERT INTO {table} ({', '.join(filled)}) VALUES {values}", after)

    def _add(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        columns, rows = self.state[table]
        number = chance.randrange(1000)
        if len(columns) > 8 or any(column == f"c{number}" for column, _ in columns):
            return
        after = ([*columns, (f"c{number}", INT)], [(*row, number) for row in rows])
        self.run(connection, f"ALTER TABLE {table} ADD COLUMN c{number} int DEFAULT {number}", self.state | {table: after})

    def _add_volatile(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        """Every row is written anew, each with another value."""
        columns, rows = self.state[table]
        if len(columns) > 8 or any(column.startswith("u") for column, _ in columns):
            return
        after = ([*columns, ("u", UUID)], [(*row, ANYTHING) for row in rows])
        statement = f"ALTER TABLE {table} ADD COLUMN u uuid NOT NULL DEFAULT gen_random_uuid()"
        self.run(connection, statement, self.state | {table: after})

    def _drop_column(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        columns, rows = self.state[table]
        if len(columns) <= 2:
            return
        place = chance.randrange(2, len(columns))
        without = lambda items: [*items[:place], *items[place + 1 :]]  # noqa: E731
        after = (without(columns), [tuple(without(row)) for row in rows])
        self.run(connection, f"ALTER TABLE {table} DROP COLUMN {columns[place][0]}", self.state | {table: after})

    def _rename_column(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        columns, rows = self.state[table]
        old, code = columns[1]
        new = f"v{chance.randrange(1000)}"
        if new == old:
            return
        after = ([columns[0], (new, code), *columns[2:]], rows)
        self.run(connection, f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}", self.state | {table: after})

    def _rename(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        self.tables += 1
        name = f"shape_{self.tables}"
        after = {name if other == table else other: shape for other, shape in self.state.items()}
        self.run(connection, f"ALTER TABLE {table} RENAME TO {name}", after)

    def _widen(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        columns, rows = self.state[table]
        name, code = columns[1]
        if code == INT:
            after = ([columns[0], (name, BIGINT), *columns[2:]], rows)
            self.run(connection, f"ALTER TABLE {table} ALTER COLUMN {name} TYPE bigint", self.state | {table: after})

    def _empty(self, connection: psycopg.Connection, chance: random.Random, table: str) -> None:
        columns, rows = self.state[table]
        if len(rows) > 100:
            self.run(connection, f"DELETE FROM {table} WHERE id > 0", self.state | {table: (columns, [])})


class AgingActor(Actor):
    """Rows that retention lets go. A fresh one must be there; an old one may be gone, and then for good."""

    def __init__(self) -> None:
        super().__init__("aging")
        self.next = 0
        self.old: set[int] = set()
        """Old rows that were there when somebody looked, or that are new since."""

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        if len(self.state) > ROWS_MAX:
            return self.run(connection, "DELETE FROM aging WHERE at > '2010-01-01'", {})
        first, self.next = self.next, self.next + 10
        is_old = chance.random() < 0.5
        at = LONG_AGO if is_old else datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        rows = {key: (at,) for key in range(first, self.next)}
        if is_old:
            self.old |= rows.keys()
        places, values = ", ".join(["(%s, %s)"] * 10), [value for key, row in rows.items() for value in (key, *row)]
        self.run(connection, f"INSERT INTO aging VALUES {places}", self.state if is_old else self.state | rows, values)

    def read(self, connection: psycopg.Connection) -> Rows:
        found = {key: (at,) for key, at in connection.execute("SELECT id, at FROM aging").fetchall()}
        old = {key for key, row in found.items() if row == (LONG_AGO,)}
        if not old <= self.old:
            raise WrongContents(f"{self.name}: rows that retention deleted are back: {sorted(old - self.old)[:10]}")
        self.old = old
        return {key: row for key, row in found.items() if key not in old}


class CursorsActor(Actor):
    """Feed cursors: what a cursor keeps, flushes and compactions must leave on the disk. A state is each one's position."""

    def __init__(self) -> None:
        super().__init__("cursors")
        self.made = 0

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        if len(self.state) < 2:
            self.made += 1
            name = f"cursor_{self.made}"
            tables = chance.choice(["", ", 'mixed'", ", 'large', 'aging'"])
            self.run(connection, f"SELECT outcrop.create_feed_cursor('{name}'{tables})", self.state | {name: (ANYTHING, None)})
        elif chance.random() < 0.2:
            name = chance.choice(list(self.state))
            after = {other: row for other, row in self.state.items() if other != name}
            self.run(connection, f"SELECT outcrop.drop_feed_cursor('{name}')", after)
        else:
            name = chance.choice(list(self.state))
            connection.execute("SELECT count(*) FROM mixed")
            (position,) = connection.execute("SHOW outcrop.commit_seq").fetchone() or ("",)
            after = self.state | {name: (position, None)}
            self.run(connection, "SELECT outcrop.advance_feed_cursor(%s, %s)", after, [name, position])

    def read(self, connection: psycopg.Connection) -> Rows:
        rows = connection.execute("SELECT name, position, ended FROM outcrop.feeds").fetchall()
        return {row[0]: row[1:] for row in rows}


class CompactionActor(Actor):
    """Asks for compactions all the time. Nothing may change."""

    def step(self, connection: psycopg.Connection, chance: random.Random) -> None:
        table = chance.choice(TABLES)
        self.run(connection, f"SELECT outcrop.compact('{table}')", {})

    def read(self, connection: psycopg.Connection) -> Rows:
        return {}


INT, BIGINT, UUID = 23, 20, 2950


def all_actors(*, is_outcrop: bool = True) -> list[Actor]:
    """One of each kind; those with small rows twice, in one table."""
    of_any = [RowsActor(1), RowsActor(2), LargeActor(), CrowdActor(), ShapesActor(is_outcrop=is_outcrop)]
    return [*of_any, AgingActor(), CursorsActor(), CompactionActor("compaction")] if is_outcrop else of_any


class Load:
    """Runs actors, each on a thread and a connection of its own, until the server is gone or `stop` is set."""

    def __init__(self, server: Server, actors: list[Actor], seed: str) -> None:
        self.stop = threading.Event()
        self.failures: list[str] = []
        """What went wrong otherwise than by a lost connection."""
        self.refusals: list[str] = []
        """SQLSTATEs of refusals that the caller allows."""
        self._allowed: frozenset[str] = frozenset()
        self._threads = [threading.Thread(target=self._run, args=[server, actor, f"{seed}/{actor.name}"]) for actor in actors]

    def start(self, allowed: frozenset[str] = frozenset()) -> None:
        """An actor ends at a refusal with one of the `allowed` SQLSTATEs; its statement is in doubt then."""
        self._allowed = allowed
        for thread in self._threads:
            thread.start()

    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Waits for all; raises what went wrong."""
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise AssertionError("\n".join(self.failures))

    def _run(self, server: Server, actor: Actor, seed: str) -> None:
        chance = random.Random(seed)
        try:
            with server.connect() as connection:
                while not self.stop.is_set():
                    actor.step(connection, chance)
        except psycopg.Error as error:
            if error.sqlstate in self._allowed:
                self.refusals.append(error.sqlstate or "")
            elif not _is_lost(error):
                self.failures.append(f"{actor.name}: {type(error).__name__} {error.sqlstate}: {error}")
        except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
            self.failures.append(f"{actor.name}: {type(error).__name__}: {error}")


def _is_lost(error: psycopg.Error) -> bool:
    """Whether the connection, not the statement, failed."""
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def _default(column: str) -> object:
    return int(column[1:]) if column.startswith("c") else ANYTHING


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _text(chance: random.Random) -> str | None:
    return None if chance.random() < 0.1 else "x" * chance.randrange(40) + str(chance.randrange(1000))
