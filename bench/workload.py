"""What is measured: one generated table, the flights, and the statements that each system gets word for word."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

SEED = 42
USERS = 10_000
BATCH_ROWS = 1_000
# Shares of the rows that are upserted and deleted between the two rounds of scans.
UPSERT_SHARE = 5
DELETE_SHARE = 10

EVENTS = """CREATE TABLE events (id bigint PRIMARY KEY, ts timestamptz NOT NULL, user_id int NOT NULL, kind text NOT NULL,
            amount numeric(12,2) NOT NULL, score double precision, payload text)"""
STAGE = EVENTS.replace("events", "stage")

SET = ", ".join(f"{name} = EXCLUDED.{name}" for name in ("ts", "user_id", "kind", "amount", "score", "payload"))
UPSERT = f"INSERT INTO events VALUES {{rows}} ON CONFLICT (id) DO UPDATE SET {SET}"
UPSERT_STAGED = f"INSERT INTO events SELECT * FROM stage ON CONFLICT (id) DO UPDATE SET {SET}"

# One event as SQL, from the number `i` and a salt. DuckDB computes it, for every system the same.
EVENT = """SELECT {id} AS id,
    CAST(TIMESTAMP '2024-01-01' + to_milliseconds(CAST(i * 500 + hash(i, {salt}) % 500 AS bigint)) AS varchar) || '+00' AS ts,
    hash(i, {salt} + 1) % {users} AS user_id,
    ['view', 'view', 'view', 'view', 'click', 'click', 'cart', 'purchase'][CAST(1 + hash(i, {salt} + 2) % 8 AS int)] AS kind,
    CAST((hash(i, {salt} + 3) % 100000) / 100.0 AS decimal(12, 2)) AS amount,
    round((hash(i, {salt} + 4) % 1000000) / 1000000.0, 6) AS score,
    md5(CAST(hash(i, {salt} + 5) AS varchar)) || ' ' || (i % 1000) AS payload"""


@dataclass(frozen=True)
class Scan:
    """A query over the whole table; `order` says that the order of its rows counts."""

    name: str
    sql: str


SCANS = [
    Scan("count(*)", "SELECT count(*) FROM events"),
    Scan("filter and sum", "SELECT count(*), sum(amount) FROM events WHERE kind = 'purchase' AND score > 0.5"),
    Scan("group by 4 kinds", "SELECT kind, count(*), sum(amount), avg(score) FROM events GROUP BY kind ORDER BY kind"),
    Scan(
        "group by 10,000 users, top 10",
        "SELECT user_id, count(*) AS n, sum(amount) AS total FROM events GROUP BY user_id ORDER BY total DESC, user_id LIMIT 10",
    ),
    Scan("newest 100", "SELECT id, ts, kind, payload FROM events ORDER BY ts DESC, id DESC LIMIT 100"),
    Scan("events of one user", "SELECT count(*), max(ts), sum(amount) FROM events WHERE user_id = 4711"),
    Scan("text search by LIKE", "SELECT count(*) FROM events WHERE payload LIKE '%abc%'"),
    Scan(
        "distinct users by hour",
        "SELECT date_trunc('hour', ts) AS h, count(DISTINCT user_id) AS n FROM events GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10",
    ),
]

FLIGHT_SCANS = [
    Scan(
        "flights: join, group by",
        """SELECT a.name, count(*), avg(f.dep_delay) FROM flights f JOIN airlines a ON a.carrier = f.carrier
           GROUP BY a.name ORDER BY a.name""",
    ),
    Scan(
        "flights: three joins",
        """SELECT p.manufacturer, count(*) AS n, max(w.wind_speed) FROM flights f JOIN planes p ON p.tailnum = f.tailnum
           JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour GROUP BY p.manufacturer ORDER BY n DESC, 1 LIMIT 10""",
    ),
    Scan(
        "flights: window",
        """SELECT count(*) FROM (SELECT row_number() OVER (PARTITION BY origin, month, day ORDER BY dep_delay DESC, carrier, flight) AS place
           FROM flights WHERE dep_delay IS NOT NULL) AS ranked WHERE place <= 3""",
    ),
    Scan(
        "flights: percentiles",
        """SELECT carrier, percentile_cont(0.5) WITHIN GROUP (ORDER BY dep_delay),
                  percentile_cont(0.99) WITHIN GROUP (ORDER BY dep_delay)
           FROM flights GROUP BY carrier ORDER BY carrier""",
    ),
]


class Workload:
    """The data of a run, made once in `directory`."""

    def __init__(self, directory: Path, rows: int) -> None:
        self.rows = rows
        self.events = directory / "events.csv"
        self.changed = directory / "changed.csv"
        chance = random.Random(SEED)
        ids = chance.sample(range(rows), rows // UPSERT_SHARE)
        self.deleted = sorted(chance.sample(range(rows), rows // DELETE_SHARE))
        connection = duckdb.connect()
        write(connection, EVENT.format(id="i", salt=0, users=USERS) + f" FROM range({rows}) AS t(i)", self.events)
        connection.execute("CREATE TABLE changed (place int, i bigint)")
        id_list = directory / "ids.csv"
        id_list.write_text("".join(f"{place},{number}\n" for place, number in enumerate(ids)))
        connection.execute(f"COPY changed FROM '{id_list}' (FORMAT csv)")
        changed = EVENT.format(id="i", salt=100, users=USERS) + " FROM changed ORDER BY place"
        write(connection, changed, self.changed)
        row = "format('({}, ''{}'', {}, ''{}'', {}, {}, ''{}'')', id, ts, user_id, kind, amount, score, payload)"
        rows_of = connection.execute(f"SELECT {row} FROM ({changed})")
        self.changed_rows = [row for (row,) in rows_of.fetchall()]

    def upserts(self) -> Iterator[str]:
        """Statements of `BATCH_ROWS` rows for the first half of the changed rows; the second half goes through a stage."""
        half = self.changed_rows[: len(self.changed_rows) // 2]
        for start in range(0, len(half), BATCH_ROWS):
            yield UPSERT.format(rows=", ".join(half[start : start + BATCH_ROWS]))

    def upserted_rows(self) -> int:
        return len(self.changed_rows) // 2

    def staged(self) -> bytes:
        """CSV of the second half, without header."""
        lines = self.changed.read_bytes().splitlines(keepends=True)[1:]
        return b"".join(lines[len(self.changed_rows) // 2 :])

    def staged_rows(self) -> int:
        return len(self.changed_rows) - len(self.changed_rows) // 2

    def deletes(self) -> Iterator[str]:
        for start in range(0, len(self.deleted), BATCH_ROWS):
            yield f"DELETE FROM events WHERE id IN ({', '.join(map(str, self.deleted[start : start + BATCH_ROWS]))})"


def write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER)")
