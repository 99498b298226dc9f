"""The systems that are compared, behind one interface. Each measures only the time in which it works."""

from __future__ import annotations

import concurrent.futures
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb
import psycopg

from harness import flights
from harness.servers import POSTGRES_PROGRAMS, OutcropServer, PostgresServer, Server, program

SINGLE_SECONDS = 5
# Statements of one client, as pgbench has them.
POINT_READ = "\\set id random(0, {last})\nSELECT * FROM events WHERE id = :id;\n"
POINT_UPSERT = (
    "\\set id random(0, {last})\n\\set user random(0, 9999)\n"
    "INSERT INTO events VALUES (:id, '2024-06-01 00:00:00+00', :user, 'view', 1.5, 0.5, 'a payload of about forty bytes, as others')\n"
    "ON CONFLICT (id) DO UPDATE SET user_id = EXCLUDED.user_id, amount = events.amount + EXCLUDED.amount;\n"
)


class System:
    """A database with an empty directory of its own."""

    name: str

    def version(self) -> str:
        raise NotImplementedError

    def open(self, directory: Path) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def load(self, table: str, columns: str, csv_path: Path) -> float:
        """Seconds of loading a CSV file with a header into a new table."""
        raise NotImplementedError

    def run(self, statements: Iterable[str]) -> float:
        """Seconds of executing statements one after the other, each committed."""
        raise NotImplementedError

    def rows(self, query: str) -> tuple[list[tuple], float]:
        """The result of a query, and the seconds until it was there."""
        raise NotImplementedError

    def upsert_staged(self, stage: str, rows: bytes, upsert: str) -> float:
        """Seconds of bringing rows into an empty table `stage`, upserting from it, and emptying it."""
        raise NotImplementedError

    def rate(self, script: str, rows: int, clients: int) -> float | None:
        """Statements a second of so many clients at once; `None` if the system has no such thing."""
        raise NotImplementedError

    def run_for(self, statements: Callable[[int], Iterator[bytes]], clients: int, seconds: float) -> list[float]:
        """Executes the statements of each client for so long; when each was done, in seconds from the begin."""
        raise NotImplementedError

    def load_parquet(self, table: str, columns: str, path: Path) -> float | None:
        """Seconds of loading a Parquet file into a new table; `None` if the system reads none."""
        raise NotImplementedError

    def settle(self) -> None:
        """What a careful user of this system runs after a load; not measured."""

    def bytes_on_disk(self) -> int:
        raise NotImplementedError


class WireSystem(System):
    """A server that speaks the PostgreSQL protocol: the same client, the same statements."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.connection: psycopg.Connection | None = None

    def make(self, directory: Path) -> Server:
        raise NotImplementedError

    def open(self, directory: Path) -> None:
        self.server = self.make(directory)
        self.server.start()
        self.connection = self.server.connect()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.server is not None:
            self.server.stop()
            self.server.close()
            self.server = None

    def load(self, table: str, columns: str, csv_path: Path) -> float:
        connection = self._connection()
        connection.execute(columns)
        begin = time.perf_counter()
        self._copy(connection, table, csv_path.read_bytes(), "(FORMAT csv, HEADER)")
        return time.perf_counter() - begin

    def run(self, statements: Iterable[str]) -> float:
        prepared = list(statements)
        connection = self._connection()
        begin = time.perf_counter()
        for statement in prepared:
            connection.execute(statement)
        return time.perf_counter() - begin

    def rows(self, query: str) -> tuple[list[tuple], float]:
        begin = time.perf_counter()
        rows = self._connection().execute(query).fetchall()
        return rows, time.perf_counter() - begin

    def upsert_staged(self, stage: str, rows: bytes, upsert: str) -> float:
        connection = self._connection()
        connection.execute(stage)
        begin = time.perf_counter()
        self._copy(connection, "stage", rows, "(FORMAT csv)")
        connection.execute(upsert)
        connection.execute("TRUNCATE stage")
        return time.perf_counter() - begin

    def run_for(self, statements: Callable[[int], Iterator[bytes]], clients: int, seconds: float) -> list[float]:
        assert self.server is not None
        server = self.server
        ready = threading.Barrier(clients)

        def run(client: int) -> list[float]:
            with server.connect(prepare_threshold=None) as connection:
                ready.wait()
                return timed(lambda statement: connection.execute(statement), statements(client), seconds)

        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            return sorted(sum(pool.map(run, range(clients)), []))

    def load_parquet(self, table: str, columns: str, path: Path) -> float | None:
        return None

    def rate(self, script: str, rows: int, clients: int) -> float | None:
        assert self.server is not None
        path = self.server.directory / "script.sql"
        path.write_text(script.format(last=rows - 1))
        outcome = subprocess.run(
            [
                *(str(POSTGRES_PROGRAMS / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={path}"),
                *(f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={SINGLE_SECONDS}", "--random-seed=1"),
                self.server.conninfo(),
            ],
            capture_output=True,
            text=True,
            timeout=SINGLE_SECONDS + 120,
        )
        found = re.search(r"^tps = ([0-9.]+)", outcome.stdout, re.MULTILINE)
        assert outcome.returncode == 0 and found, outcome.stdout + outcome.stderr
        assert "number of failed transactions: 0 " in outcome.stdout, outcome.stdout
        return float(found[1])

    def bytes_on_disk(self) -> int:
        assert self.server is not None
        return directory_bytes(self.server.data)

    def resident_bytes(self) -> int:
        """Memory of the server's processes, shared pages counted once."""
        assert self.server is not None and self.server.process is not None
        main = self.server.process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return sum(proportional_bytes(int(pid)) for pid in [main, *children])

    def _connection(self) -> psycopg.Connection:
        assert self.connection is not None
        return self.connection

    def _copy(self, connection: psycopg.Connection, table: str, data: bytes, options: str) -> None:
        with connection.cursor().copy(f"COPY {table} FROM STDIN WITH {options}") as copy:
            for start in range(0, len(data), 1 << 20):
                copy.write(data[start : start + (1 << 20)])


class Outcrop(WireSystem):
    name = "Outcrop"

    def version(self) -> str:
        return subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def make(self, directory: Path) -> Server:
        return OutcropServer(directory)

    def metric(self, name: str) -> int:
        assert isinstance(self.server, OutcropServer)
        return self.server.metric(name)

    def load_parquet(self, table: str, columns: str, path: Path) -> float | None:
        assert isinstance(self.server, OutcropServer)
        self._connection().execute(columns)
        begin = time.perf_counter()
        outcome = self.server.run("load", str(path), "--table", table, "--pg", self.server.pg_address)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return time.perf_counter() - begin


class Postgres(WireSystem):
    name = "PostgreSQL"

    def version(self) -> str:
        return subprocess.run(
            [POSTGRES_PROGRAMS / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[2]

    def make(self, directory: Path) -> Server:
        return PostgresServer(directory)

    def settle(self) -> None:
        self._connection().execute("VACUUM ANALYZE")

    def settings(self) -> dict[str, str]:
        names = ["shared_buffers", "max_wal_size", "work_mem", "synchronous_commit", "fsync", "max_parallel_workers_per_gather"]
        return {name: self.rows(f"SHOW {name}")[0][0][0] for name in names}


class DuckDb(System):
    name = "DuckDB"

    def __init__(self) -> None:
        self.connection: duckdb.DuckDBPyConnection | None = None
        self.directory = Path()

    def version(self) -> str:
        return duckdb.__version__

    def open(self, directory: Path) -> None:
        self.directory = directory
        self.connection = duckdb.connect(str(directory / "duck.db"))
        self.connection.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def load(self, table: str, columns: str, csv_path: Path) -> float:
        connection = self._connection()
        connection.execute(columns)
        begin = time.perf_counter()
        connection.execute(f"COPY {table} FROM '{csv_path}' (FORMAT csv, HEADER)")
        return time.perf_counter() - begin

    def run(self, statements: Iterable[str]) -> float:
        prepared = list(statements)
        connection = self._connection()
        begin = time.perf_counter()
        for statement in prepared:
            connection.execute(statement)
        return time.perf_counter() - begin

    def rows(self, query: str) -> tuple[list[tuple], float]:
        begin = time.perf_counter()
        rows = self._connection().execute(query).fetchall()
        return rows, time.perf_counter() - begin

    def upsert_staged(self, stage: str, rows: bytes, upsert: str) -> float:
        connection = self._connection()
        connection.execute(stage)
        path = self.directory / "stage.csv"
        path.write_bytes(rows)
        begin = time.perf_counter()
        connection.execute(f"COPY stage FROM '{path}' (FORMAT csv, HEADER false)")
        connection.execute(upsert)
        connection.execute("DELETE FROM stage")
        return time.perf_counter() - begin

    def run_for(self, statements: Callable[[int], Iterator[bytes]], clients: int, seconds: float) -> list[float]:
        """In process, over one connection: there is one writer."""
        connection = self._connection()
        return timed(lambda statement: connection.execute(statement.decode()), statements(0), seconds)

    def load_parquet(self, table: str, columns: str, path: Path) -> float | None:
        connection = self._connection()
        connection.execute(columns)
        begin = time.perf_counter()
        connection.execute(f"INSERT INTO {table} FROM '{path}'")
        connection.execute("CHECKPOINT")
        return time.perf_counter() - begin

    def rate(self, script: str, rows: int, clients: int) -> float | None:
        """In process, and with one writer: only one client is comparable."""
        if clients > 1:
            return None
        statement = script.splitlines()[-1] if "SELECT" in script else " ".join(script.splitlines()[2:])
        statement = statement.replace(":id", "$id").replace(":user", "$user").rstrip(";")
        connection = self._connection()
        state = 1
        done = 0
        stop = threading.Event()
        timer = threading.Timer(SINGLE_SECONDS, stop.set)
        timer.start()
        begin = time.perf_counter()
        while not stop.is_set():
            state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            values = {"id": (state >> 33) % rows} | ({"user": (state >> 20) % 10000} if "$user" in statement else {})
            connection.execute(statement, values).fetchall()
            done += 1
        return done / (time.perf_counter() - begin)

    def bytes_on_disk(self) -> int:
        self._connection().execute("CHECKPOINT")
        return sum(path.stat().st_size for path in self.directory.glob("duck.db*"))

    def _connection(self) -> duckdb.DuckDBPyConnection:
        assert self.connection is not None
        return self.connection


def timed(execute: Callable[[bytes], object], statements: Iterator[bytes], seconds: float) -> list[float]:
    """When each statement was done that was done in time."""
    done: list[float] = []
    begin = time.perf_counter()
    for statement in statements:
        execute(statement)
        at = time.perf_counter() - begin
        if at > seconds:
            break
        done.append(at)
    return done


def directory_bytes(directory: Path) -> int:
    """What the directory takes on disk; log files are there before they are used."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def proportional_bytes(pid: int) -> int:
    """Memory of a process; 0 if it has just ended, as workers of PostgreSQL do."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def flight_table(table: str) -> str:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in flights.COLUMNS[table].items())
    return f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({', '.join(flights.KEYS[table])}))"


def available() -> tuple[list[System], list[str]]:
    """The systems on this machine, and a note for each that is missing."""
    systems: list[System] = [Outcrop()]
    notes = []
    if (POSTGRES_PROGRAMS / "postgres").exists() and (POSTGRES_PROGRAMS / "pgbench").exists():
        systems.append(Postgres())
    else:
        notes.append(
            f"PostgreSQL is missing ({POSTGRES_PROGRAMS}): its columns are empty. Debian: `apt-get install postgresql-15`."
        )
    systems.append(DuckDb())
    return systems, notes
