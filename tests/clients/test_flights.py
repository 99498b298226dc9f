"""Real data: the flights, loaded as a user loads them, changed while readers run, killed, and asked again.

Every answer is compared with DuckDB's over the same files and the same changes; at each stage also every single row.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from harness import flights
from harness.changes import FINGERPRINT, KEY, Changes
from harness.oracle import Oracle, assert_same_rows
from harness.servers import OutcropServer, Server, serving
from questions import QUESTIONS, SHORT

READERS = 2
READ_PAUSE = 0.1
FLUSHES_MIN = 20
# Of these rows a fifth is updated, which is more than FLUSHES_MIN generations of FLUSH_ROWS.
MANY_FLUSHES_ROWS = 120_000
FLUSH_ROWS = 500
SINGLE_COMMIT_ROWS = 2_000
FLUSH_SECONDS_MAX = 60
# The same rows counted in different ways within one statement, so by one snapshot (Q1).
COUNTS = """SELECT (SELECT count(*) FROM flights), (SELECT sum(n) FROM (SELECT origin, count(*) AS n FROM flights GROUP BY origin) AS o),
                   (SELECT count(*) FROM flights WHERE month <= 6) + (SELECT count(*) FROM flights WHERE month > 6)"""


def test_answers_before_and_after_changes_kill_and_flush(
    new_server: Callable[..., Server], files: dict[str, Path], tmp_path: Path, measured: Callable[[str], None]
) -> None:
    oracle = Oracle(files)
    server = new_server()
    with serving(server):
        begin = time.monotonic()
        load(server, files)
        measured(f"five tables of the flights loaded: {time.monotonic() - begin:.1f} s")
        ask(server, oracle, "as loaded", are_known=True)
        assert_same_table(server, oracle, tmp_path, "as loaded")

        changes = Changes(files["flights"])
        change(server, changes)
        changes.apply_to_oracle(oracle)
        ask(server, oracle, "after the changes")
        assert_same_table(server, oracle, tmp_path, "after the changes")

        server.kill9()
        measured(f"restart after kill -9, all flights changed: {server.start():.2f} s")
        ask(server, oracle, "after kill -9", only=SHORT)
        assert_same_table(server, oracle, tmp_path, "after kill -9")
        flush(server)
        ask(server, oracle, "after a flush", only=SHORT)
        assert_same_table(server, oracle, tmp_path, "after a flush")
        server.restart()
        ask(server, oracle, "after a restart")
        server.stop()
        check(server)


@pytest.mark.outcrop_only
def test_many_flushes(new_server: Callable[..., OutcropServer], files: dict[str, Path], tmp_path: Path) -> None:
    part = head(files["flights"], MANY_FLUSHES_ROWS, tmp_path)
    oracle = Oracle({"flights": part}, ["flights"])
    changes = Changes(part, batch_rows_max=FLUSH_ROWS * 2)
    server = new_server()
    with serving(server):
        server.load(part, "flights", KEY)
        server.stop()
        server.environment = {"OUTCROP_ENGINE_FLUSH_ROWS_MAX": str(FLUSH_ROWS)}
        server.start()
        change(server, changes)
        changes.apply_to_oracle(oracle)
        assert_same_table(server, oracle, tmp_path, "after the changes")
        # Compaction leaves few segments, so files tell nothing.
        flushes = server.metric("outcrop_flushes_total")
        assert flushes >= FLUSHES_MIN, f"{flushes} flushes: the rows hardly left the memtable"
        server.kill9()
        server.start()
        assert_same_table(server, oracle, tmp_path, "after kill -9")
        server.stop()
        check(server)


def test_one_row_per_commit(new_server: Callable[..., Server], files: dict[str, Path], tmp_path: Path) -> None:
    part = head(files["flights"], SINGLE_COMMIT_ROWS, tmp_path)
    oracle = Oracle({"flights": part}, ["flights"])
    # Every statement changes a row or two, with a flush in between now and then.
    changes = Changes(part, batch_rows_max=2)
    server = new_server(config="[engine]\nflush_rows_max = 100\n")
    with serving(server):
        columns = ", ".join(f'"{name}" {kind}' for name, kind in flights.COLUMNS["flights"].items())
        server.sql(f"CREATE TABLE flights ({columns}, PRIMARY KEY ({', '.join(KEY)}))")
        insert_one_by_one(server, part)
        assert_same_table(server, oracle, tmp_path, "inserted row by row")
        change(server, changes)
        changes.apply_to_oracle(oracle)
        assert_same_table(server, oracle, tmp_path, "changed row by row")
        server.kill9()
        server.start()
        assert_same_table(server, oracle, tmp_path, "after kill -9")
        server.stop()
        check(server)


def head(csv_path: Path, rows: int, directory: Path) -> Path:
    """The first rows of a CSV file without quoted line ends, with its header."""
    path = directory / f"first-{rows}.csv"
    with csv_path.open() as whole, path.open("w") as part:
        part.writelines(itertools.islice(whole, rows + 1))
    return path


def load(server: Server, files: dict[str, Path]) -> None:
    for table, key in flights.KEYS.items():
        server.load(files[table], table, key)
    with server.connect() as connection:
        for table, columns in flights.COLUMNS.items():
            found = connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
                [table],
            ).fetchall()
            long_names = {"timestamptz": "timestamp with time zone"}
            kinds = {name: kind.partition("(")[0] for name, kind in columns.items()}
            assert found == [(name, long_names.get(kind, kind)) for name, kind in kinds.items()], table


def ask(server: Server, oracle: Oracle, stage: str, *, are_known: bool = False, only: frozenset[str] | None = None) -> None:
    with server.connect() as connection:
        for question in QUESTIONS:
            if only is not None and question.name not in only:
                continue
            found = connection.execute(question.sql).fetchall()
            assert_same_rows(found, oracle.rows(question.sql), f"{question.name}, {stage}")
            if are_known and question.known is not None:
                assert_same_rows(found, question.known, f"{question.name}, known answer, {stage}")


def assert_same_table(server: Server, oracle: Oracle, directory: Path, stage: str) -> None:
    """Every row, through COPY TO STDOUT, is what the oracle has."""
    path = directory / "copied.csv"
    with server.connect() as connection, path.open("wb") as file:
        with connection.cursor().copy(
            f"COPY flights ({', '.join(flights.COLUMNS['flights'])}) TO STDOUT (FORMAT csv, HEADER)"
        ) as copy:
            for data in copy:
                file.write(data)
    missing, added = oracle.difference("flights", path)
    assert not missing and not added, f"{stage}: missing {missing}, added {added}"


def change(server: Server, changes: Changes) -> None:
    """Applies all changes while readers assert that each statement of theirs sees a state between two of them, in order."""
    assert server.sql(FINGERPRINT) == [changes.states[0]]
    with readers(server, changes) as failures, server.connect() as connection:
        for _ in changes.apply(connection):
            if failures:
                break
    assert not failures, failures[0]
    assert server.sql(FINGERPRINT) == [changes.states[-1]]


@contextmanager
def readers(server: Server, changes: Changes) -> Iterator[list[str]]:
    """Threads that read until the block ends. What one of them finds wrong is in the list."""
    states = {state: number for number, state in enumerate(changes.states)}
    assert len(states) == len(changes.states), "two states look alike to a reader"
    failures: list[str] = []
    is_done = threading.Event()
    reads = [0] * READERS

    def read(reader: int) -> None:
        newest = 0
        with server.connect() as connection:
            while not is_done.is_set():
                state = tuple(connection.execute(FINGERPRINT).fetchone() or ())
                number = states.get(state)
                if number is None:
                    failures.append(f"a reader saw {state}, which is the state after no batch")
                    return
                if number < newest:
                    failures.append(f"a reader saw the state after {number} batches, having seen {newest}")
                    return
                newest = number
                counts = connection.execute(COUNTS).fetchone() or ()
                if len(set(counts)) != 1:
                    failures.append(f"one statement counted {counts}")
                    return
                reads[reader] += 1
                # Two cores serve everyone; the writer must get on too.
                is_done.wait(READ_PAUSE)

    def read_and_report(reader: int) -> None:
        try:
            read(reader)
        except psycopg.Error as error:
            failures.append(f"a reader failed: {error}")

    threads = [threading.Thread(target=read_and_report, args=[reader]) for reader in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        is_done.set()
        for thread in threads:
            thread.join()
    if not failures:
        assert all(count > 0 for count in reads), f"a reader never came to read: {reads}"


def insert_one_by_one(server: Server, csv_path: Path) -> None:
    """Each row is a commit of its own, over several connections; a line of the file is the text of its values."""
    lines = csv_path.read_text().splitlines()[1:]
    marks = ", ".join(["%s"] * len(flights.COLUMNS["flights"]))
    failures: list[BaseException] = []

    def insert(part: list[str]) -> None:
        try:
            with server.connect() as connection:
                for line in part:
                    row = [field or None for field in line.split(",")]
                    connection.execute(f"INSERT INTO flights VALUES ({marks})", row)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=insert, args=[lines[start::4]]) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def flush(server: Server) -> None:
    """Brings every row out of the memtables into segments."""
    if not isinstance(server, OutcropServer):
        server.sql("CHECKPOINT")
        return
    server.stop()
    server.environment = {"OUTCROP_ENGINE_FLUSH_AGE_MAX": "100ms"}
    server.start()
    deadline = time.monotonic() + FLUSH_SECONDS_MAX
    while server.metric("outcrop_memtable_bytes") > 0:
        assert time.monotonic() < deadline, "nothing was flushed"
        time.sleep(0.1)
    server.environment = {}


def check(server: Server) -> None:
    if server.is_outcrop:
        server.assert_check_is_clean()
