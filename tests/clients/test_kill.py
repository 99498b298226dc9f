"""kill -9 while clients write: what was acknowledged is there, and no statement is there in part (P1–P3).

Each writer notes an acknowledgement only after it came over the wire. A statement in flight at the kill may be there or not,
but whole or not at all.
"""

from __future__ import annotations

import csv
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from harness.changes import KEY
from harness.flights import COLUMNS
from harness.servers import OutcropServer, Server, clean_environment, program, serving

SEED = 9
CYCLES = 6
SINGLE_WRITERS = 3
STATEMENT_ROWS = 50
COPY_ROWS = 5_000
RESTART_SECONDS_MAX = 30.0

TABLES = """
CREATE TABLE singles (writer int, seq int, payload text NOT NULL, PRIMARY KEY (writer, seq));
CREATE TABLE counters (id int PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE statements (seq int, row int, PRIMARY KEY (seq, row));
CREATE TABLE copies (seq int, row int, payload text NOT NULL, PRIMARY KEY (seq, row));
CREATE TABLE moving (id int PRIMARY KEY, generation int NOT NULL);
INSERT INTO counters VALUES (1, 0);
INSERT INTO moving SELECT i, 0 FROM generate_series(1, 200) AS s(i);
"""


@dataclass
class Progress:
    """What clients know: the number of acknowledged steps of each writer, and of those tried."""

    acked: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def test_acknowledged_writes_survive_kill9(new_server: Callable[..., Server], measured: Callable[[str], None]) -> None:
    chance = random.Random(SEED)
    # Small files and generations, so that kills also meet flushes, checkpoints and log rotation.
    server = new_server(config="[engine]\nflush_rows_max = 3000\nlog_file_bytes = 4194304\nlog_bytes_max = 16777216\n")
    with serving(server):
        server.psql(TABLES, "-v", "ON_ERROR_STOP=1")
        progress = Progress()
        restarts = []
        for cycle in range(CYCLES):
            with writers(server, progress):
                time.sleep(chance.uniform(0.5, 2.5))
                server.kill9()
            assert not progress.failures, progress.failures[0]
            check(server)
            restarts.append(server.start())
            verify(server, progress, f"cycle {cycle}")
        rows = sum(progress.acked.values())
        measured(f"restarts after kill -9 during writes: {max(restarts):.2f} s at most of {CYCLES}, {rows} acknowledged steps")
        assert max(restarts) < RESTART_SECONDS_MAX
        server.stop()
        check(server)


@pytest.mark.outcrop_only
def test_kill9_during_load(new_server: Callable[..., OutcropServer], files: dict[str, Path]) -> None:
    server = new_server()
    with serving(server):
        command = ["load", str(files["flights"]), "--table", "flights", "--key", ",".join(KEY), "--pg", server.pg_address]
        loader = subprocess.Popen(
            [program(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
        )
        wait_for_rows(server, loader)
        server.kill9()
        output = loader.communicate(timeout=60)[0].decode(errors="replace")
        assert loader.returncode != 0, f"the load says that it succeeded:\n{output}"
        check(server)
        server.start()
        found = set()
        if server.sql("SELECT count(*) FROM information_schema.tables WHERE table_name = 'flights'") == [(1,)]:
            found = set(server.sql(f"SELECT {', '.join(KEY)} FROM flights"))
        with files["flights"].open(newline="") as file:
            rows = csv.DictReader(file)
            first = {
                tuple(int(row[name]) if COLUMNS["flights"][name] == "bigint" else row[name] for name in KEY)
                for row, _ in zip(rows, found, strict=False)
            }
        assert found == first, "what is there is not the beginning of the file"
        server.stop()
        check(server)


def wait_for_rows(server: Server, loader: subprocess.Popen) -> None:
    """Returns when the first rows are stored; the load is then in its middle."""
    with server.connect() as connection:
        connection.autocommit = True
        while loader.poll() is None:
            try:
                if connection.execute("SELECT count(*) FROM flights").fetchall() != [(0,)]:
                    return
            except psycopg.errors.UndefinedTable:
                pass
            time.sleep(0.01)


@contextmanager
def writers(server: Server, progress: Progress) -> Iterator[None]:
    """Runs every kind of writer until the server is gone."""
    jobs = [
        (f"single {writer}", lambda c, step, writer=writer: insert_single(c, writer, step)) for writer in range(SINGLE_WRITERS)
    ]
    jobs += [("counter", count_up), ("statement", insert_statement), ("copy", copy_rows), ("moving", move_keys)]
    threads = [threading.Thread(target=write_until_killed, args=[server, progress, *job]) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def write_until_killed(server: Server, progress: Progress, name: str, write: Callable[[psycopg.Connection, int], None]) -> None:
    """Steps are numbered from 1 and go on where the acknowledged ones ended; `verify` removes what was in flight."""
    try:
        connection = server.connect()
    except psycopg.OperationalError:
        return
    try:
        while True:
            step = progress.acked.get(name, 0) + 1
            write(connection, step)
            progress.acked[name] = step
    except psycopg.OperationalError:
        # The kill: only a lost connection may end a writer.
        if not connection.closed:
            progress.failures.append(f"{name} failed on an open connection")
    except psycopg.Error as error:
        progress.failures.append(f"{name}: {error}")
    finally:
        connection.close()


def insert_single(connection: psycopg.Connection, writer: int, step: int) -> None:
    connection.execute("INSERT INTO singles VALUES (%s, %s, %s)", [writer, step, "x" * (step % 300)])


def count_up(connection: psycopg.Connection, step: int) -> None:
    cursor = connection.execute("UPDATE counters SET n = n + 1 WHERE id = 1 RETURNING n")
    assert cursor.fetchone() == (step,)


def insert_statement(connection: psycopg.Connection, step: int) -> None:
    values = ", ".join(f"({step}, {row})" for row in range(STATEMENT_ROWS))
    connection.execute(f"INSERT INTO statements VALUES {values}")


def copy_rows(connection: psycopg.Connection, step: int) -> None:
    with connection.cursor().copy("COPY copies FROM STDIN") as copy:
        for row in range(COPY_ROWS):
            copy.write(f"{step}\t{row}\tpayload {step * row}\n")


def move_keys(connection: psycopg.Connection, step: int) -> None:
    """An update of every key at once: ids go up by 1,000 with each generation."""
    connection.execute("UPDATE moving SET id = id + 1000, generation = generation + 1")


def verify(server: Server, progress: Progress, when: str) -> None:
    """Compares what is there with what was acknowledged, and takes what was in flight and made it as acknowledged."""

    def settle(name: str, found: int) -> None:
        acked = progress.acked.get(name, 0)
        assert acked <= found <= acked + 1, f"{when}, {name}: {acked} steps were acknowledged, {found} are there"
        progress.acked[name] = found

    with server.connect() as connection:
        for writer in range(SINGLE_WRITERS):
            rows = connection.execute(
                "SELECT count(*), coalesce(max(seq), 0), count(*) FILTER (WHERE length(payload) <> seq %% 300) FROM singles WHERE writer = %s",
                [writer],
            ).fetchone()
            assert rows is not None and rows[0] == rows[1] and rows[2] == 0, (
                f"{when}, writer {writer}: rows, newest, damaged: {rows}"
            )
            settle(f"single {writer}", rows[0])
        (counter,) = connection.execute("SELECT n FROM counters").fetchall()
        settle("counter", counter[0])
        settle("statement", whole_steps(connection, "statements", STATEMENT_ROWS, when))
        settle("copy", whole_steps(connection, "copies", COPY_ROWS, when))
        damaged = connection.execute(
            "SELECT count(*) FROM copies WHERE payload <> 'payload ' || CAST(seq * row AS text)"
        ).fetchone()
        assert damaged == (0,), f"{when}: {damaged} copied rows are damaged"
        moved = connection.execute("SELECT min(generation), max(generation), count(*), min(id), max(id) FROM moving").fetchone()
        assert moved is not None and moved[0] == moved[1], f"{when}: an update is there in part: {moved}"
        assert moved[2:] == (200, 1 + 1000 * moved[0], 200 + 1000 * moved[0]), f"{when}: {moved}"
        settle("moving", moved[0])


def whole_steps(connection: psycopg.Connection, table: str, rows: int, when: str) -> int:
    """The number of steps, all of them whole and without a gap."""
    torn = connection.execute(f"SELECT seq, count(*) FROM {table} GROUP BY seq HAVING count(*) <> {rows}").fetchall()
    assert not torn, f"{when}: statements in {table} that are there in part: {torn}"
    count, newest = connection.execute(f"SELECT count(DISTINCT seq), coalesce(max(seq), 0) FROM {table}").fetchone() or (0, 0)
    assert count == newest, f"{when}: {table} has {count} statements, the newest is {newest}"
    return count


def check(server: Server) -> None:
    if server.is_outcrop:
        server.assert_check_is_clean()
