"""Backups of a running server, and databases made from them.

Writers note what was acknowledged and the number of its commit, outside of the database: a backup must have exactly what was there at
its last commit, whatever goes on while it is taken, and nothing half-made may pass for a backup or for a database.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from harness.servers import OutcropServer, clean_environment, program, serving

pytestmark = pytest.mark.outcrop_only

SEED = 11
KILLS = 6
# Everything happens often: flushes, checkpoints, compactions, new log files.
SMALL = "[engine]\nflush_rows_max = 2000\nlog_file_bytes = 1048576\nlog_bytes_max = 4194304\n"
TAKEN = re.compile(r"commits (\d+) to (\d+), times (\S+ \S+) to (\S+ \S+)")


@dataclass
class Counter:
    """One client that counts up, with the commit of each step."""

    acked: list[tuple[int, int]] = field(default_factory=list)
    """Commit and the value that it set, in order."""
    tried: int = 0

    def value_at(self, commit: int) -> int:
        return max((value for seq, value in self.acked if seq <= commit), default=0)


@contextmanager
def counting(server: OutcropServer, *, clients: int = 3) -> Iterator[list[Counter]]:
    """Clients that write until the end of the block or of the server: each step is one statement over three tables' worth of rows."""
    stop = threading.Event()
    counters = [Counter() for _ in range(clients)]

    def write(number: int, counter: Counter) -> None:
        try:
            with server.connect() as connection:
                while not stop.is_set():
                    counter.tried += 1
                    value = counter.tried
                    connection.execute(
                        "INSERT INTO steps (client, slot, value, note) SELECT %s, i, %s, repeat('x', 100)"
                        " FROM generate_series(1, 20) AS s(i)"
                        " ON CONFLICT (client, slot) DO UPDATE SET value = EXCLUDED.value",
                        (number, value),
                    )
                    position = connection.info.parameter_status("outcrop.commit_seq")
                    counter.acked.append((int(position.rsplit("-", 1)[-1], 16), value))
        except psycopg.OperationalError:
            pass

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(counters)]
    for thread in threads:
        thread.start()
    try:
        yield counters
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def churn(server: OutcropServer) -> Iterator[None]:
    """Tables that come, are filled, compacted, emptied and dropped."""
    stop = threading.Event()

    def work() -> None:
        try:
            with server.connect() as connection:
                for number in range(10_000):
                    if stop.is_set():
                        return
                    connection.execute("CREATE TABLE passing (id int PRIMARY KEY, t text)")
                    connection.execute("INSERT INTO passing SELECT i, repeat('y', 50) FROM generate_series(1, 3000) AS s(i)")
                    connection.execute("ALTER TABLE passing ADD COLUMN n int DEFAULT 7")
                    connection.execute("SELECT outcrop.compact('passing')")
                    connection.execute("SELECT outcrop.compact('steps')")
                    if number % 2:
                        connection.execute("TRUNCATE passing")
                    connection.execute("DROP TABLE passing")
        except psycopg.OperationalError:
            pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def prepare(server: OutcropServer) -> None:
    server.sql("CREATE TABLE steps (client int, slot int, value bigint NOT NULL, note text, PRIMARY KEY (client, slot))")


def backup(server: OutcropServer, to: Path, *more: str) -> tuple[int, int, str, str]:
    """Takes a backup with the command, and gives the range of commits and of times that it says."""
    outcome = server.run("backup", "--to", str(to), "--pg", server.pg_address, *more)
    assert outcome.returncode == 0, outcome.stderr
    first, last, first_time, last_time = TAKEN.search(outcome.stdout).groups()
    return int(first), int(last), first_time, last_time


def restored(server: OutcropServer, of: Path, new_server: Callable[..., OutcropServer], *until: str) -> OutcropServer:
    """A server, not started, on what a backup becomes."""
    other = new_server(config=SMALL)
    outcome = server.run("restore", "--from", str(of), "--to", str(other.data), *until)
    assert outcome.returncode == 0, outcome.stderr
    other.assert_check_is_clean()
    return other


def assert_is_at(server: OutcropServer, counters: list[Counter], commit: int) -> None:
    """Each client's rows are those of its last step up to the commit, all of them."""
    for number, counter in enumerate(counters):
        rows = server.sql("SELECT value, count(*) FROM steps WHERE client = %s GROUP BY value", (number,))
        value = counter.value_at(commit)
        assert rows == ([(value, 20)] if value else []), f"client {number} at commit {commit}"


def refuses(server: OutcropServer, *arguments: str) -> str:
    outcome = server.run(*arguments)
    assert outcome.returncode == 1, outcome.stdout
    return outcome.stderr


def check(server: OutcropServer, directory: Path) -> str:
    outcome = server.run("check", "--data", str(directory))
    assert outcome.returncode == 0, f"{outcome.stdout}\n{outcome.stderr}"
    return outcome.stdout


def test_a_backup_under_load(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    server = new_server(config=SMALL)
    with serving(server):
        prepare(server)
        with counting(server) as counters, churn(server):
            time.sleep(1.0)
            first = backup(server, tmp_path / "b1")
            time.sleep(0.5)
            second = backup(server, tmp_path / "b2", "--since", str(tmp_path / "b1"))
            time.sleep(0.2)
        assert server.sql("SELECT count(*) FROM steps") == [(60,)]
        assert second[1] > first[1]
        for directory, (low, high, _, _) in [("b1", first), ("b2", second)]:
            assert f"commits {low} to {high}" in check(server, tmp_path / directory)
        server.stop()
        server.assert_check_is_clean()
    for directory, (low, high, _, high_time) in [("b1", first), ("b2", second)]:
        commits = sorted({seq for counter in counters for seq, _ in counter.acked if low <= seq <= high})
        middle = commits[len(commits) // 2]
        moments = [(high, ()), (middle, ("--until", str(middle))), (high, ("--until", high_time))]
        for commit, until in moments:
            with serving(restored(server, tmp_path / directory, new_server, *until)) as other:
                assert_is_at(other, counters, commit)
                other.sql("INSERT INTO steps VALUES (9, 1, 1, 'goes on')")
                assert other.sql("SELECT outcrop.verify('steps')") == [([],)]
                other.stop()
                other.assert_check_is_clean()


def test_a_time_between_two_commits(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    server = new_server()
    with serving(server):
        server.sql("CREATE TABLE t (id int PRIMARY KEY)")
        moments = []
        for number in range(5):
            server.sql("INSERT INTO t VALUES (%s)", (number,))
            time.sleep(0.02)
            moments.append(datetime.now(UTC))
            time.sleep(0.02)
        _, _, first, _ = backup(server, tmp_path / "b")
        assert datetime.fromisoformat(first) < moments[0]
        for number, moment in enumerate(moments):
            with serving(restored(server, tmp_path / "b", new_server, "--until", moment.isoformat(sep=" "))) as other:
                assert other.sql("SELECT count(*) FROM t") == [(number + 1,)]
        said = refuses(server, "restore", "--from", str(tmp_path / "b"), "--to", str(tmp_path / "r"), "--until", "2001-01-01")
        assert "does not hold 2001-01-01 00:00:00+00" in said and f"times {first}" in said
        said = refuses(server, "restore", "--from", str(tmp_path / "b"), "--to", str(tmp_path / "r"), "--until", "999999")
        assert re.search(r"does not hold commit 999999: it can be restored to commits \d+ to \d+", said)
        assert not (tmp_path / "r").exists()


def test_kill9_while_a_backup_is_taken(
    new_server: Callable[..., OutcropServer], tmp_path: Path, measured: Callable[[str], None]
) -> None:
    chance = random.Random(SEED)
    server = new_server(config=SMALL)
    halves = wholes = 0
    with serving(server):
        prepare(server)
        server.sql("CREATE TABLE ballast (id int PRIMARY KEY, t text)")
        server.sql("INSERT INTO ballast SELECT i, md5(i::text) FROM generate_series(1, 20000) AS s(i)")
        server.sql("SELECT outcrop.compact('ballast')")
        begin = time.monotonic()
        backup(server, tmp_path / "measured")
        seconds = time.monotonic() - begin
        for number in range(KILLS):
            to = tmp_path / f"b{number}"
            with counting(server) as counters:
                client = start(server, "backup", "--to", str(to), "--pg", server.pg_address)
                time.sleep(chance.uniform(0, 2.5) * seconds)
                server.kill9()
                client.communicate(timeout=60)
            server.start()
            for client_number, counter in enumerate(counters):
                found = server.sql("SELECT DISTINCT value FROM steps WHERE client = %s", (client_number,))
                assert len(found) <= 1 and (not counter.acked or found[0][0] in (counter.acked[-1][1], counter.tried))
            if (to / "BACKUP").exists():
                wholes += 1
                last = int(re.search(r"commits \d+ to (\d+)", check(server, to))[1])
                with serving(restored(server, to, new_server)) as other:
                    for client_number, counter in enumerate(counters):
                        at_least = counter.value_at(last)
                        rows = other.sql("SELECT value, count(*) FROM steps WHERE client = %s GROUP BY value", (client_number,))
                        # The step in flight may be in it, without an answer; older ones are those of the round before.
                        assert all(count == 20 for _, count in rows)
                        assert not at_least or rows[0][0] in (at_least, counter.tried)
            else:
                halves += 1
                said = refuses(server, "restore", "--from", str(to), "--to", str(tmp_path / "r"))
                assert "incomplete" in said or "not a backup" in said or "there is no directory" in said
        server.stop()
        server.assert_check_is_clean()
    measured(f"{KILLS} kills while a backup was taken: {halves} half, {wholes} whole")


def test_kill9_while_a_backup_is_restored(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    chance = random.Random(SEED)
    server = new_server(config=SMALL)
    with serving(server):
        server.sql("CREATE TABLE ballast (id int PRIMARY KEY, t text)")
        server.sql("INSERT INTO ballast SELECT i, md5(i::text) FROM generate_series(1, 20000) AS s(i)")
        backup(server, tmp_path / "b")
        server.stop()
    begin = time.monotonic()
    with serving(restored(server, tmp_path / "b", new_server)) as other:
        seconds = time.monotonic() - begin
        assert other.sql("SELECT count(*) FROM ballast") == [(20000,)]
    for _ in range(KILLS):
        other = new_server(config=SMALL)
        process = start(server, "restore", "--from", str(tmp_path / "b"), "--to", str(other.data))
        time.sleep(chance.uniform(0, seconds))
        process.kill()
        process.communicate(timeout=60)
        if (other.data / "FORMAT").exists():
            with serving(other):
                assert other.sql("SELECT count(*) FROM ballast") == [(20000,)]
        elif (other.data / "RESTORING").exists():
            said = refuses(server, "serve", "--data", str(other.data), "--pg-listen", "127.0.0.1:0", "--http-listen", "off")
            assert "was not restored completely" in said and "run outcrop restore again" in said
            assert "not restored completely" in refuses(server, "check", "--data", str(other.data))
        else:
            assert not any(path.is_file() for path in other.data.rglob("*"))


def test_bad_targets(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    server = new_server()
    with serving(server), server.connect() as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY)")

        def error(*arguments: str) -> psycopg.errors.Diagnostic:
            places = ", ".join(["%s"] * len(arguments))
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(f"SELECT outcrop.backup({places})", arguments)
            return caught.value.diag

        full = tmp_path / "full"
        full.mkdir()
        (full / "file").write_text("mine")
        found = error(str(full))
        assert (found.sqlstate, found.message_primary) == ("55000", "the directory is not empty")
        assert "full/file" in found.message_detail and "empty or not there yet" in found.message_hint
        assert (full / "file").read_text() == "mine" and len(list(full.iterdir())) == 1

        for path in [server.data, server.data / "backup", server.data / ".." / "data" / "segments"]:
            found = error(str(path))
            assert (found.sqlstate, found.message_primary) == ("22023", f'"{path}" is in the data directory')
        link = tmp_path / "link"
        link.symlink_to(server.data)
        assert error(str(link / "backup")).sqlstate == "22023"
        found = error("relative/path")
        assert (found.sqlstate, found.message_primary) == ("22023", '"relative/path" is not an absolute path')
        found = error(str(full / "file"))
        assert (found.sqlstate, found.message_primary) == ("55000", f'"{full / "file"}" is not a directory')
        found = error("/proc/outcrop-backup")
        assert found.sqlstate in ("58030", "42501"), found.message_primary
        found = error(str(tmp_path / "new"), str(full))
        assert (found.sqlstate, found.message_primary) == ("55000", "the directory is not a backup")
        found = error(str(tmp_path / "new"), str(tmp_path / "nowhere"))
        assert found.sqlstate == "55000" and "there is no directory" in found.message_primary
        assert connection.execute("SELECT outcrop.backup(NULL)").fetchone() == (None,)

        report = connection.execute("SELECT outcrop.backup(%s)", (str(tmp_path / "b"),)).fetchone()[0]
        assert report["last_commit"] >= 1 and report["files"] >= 2
        said = refuses(server, "restore", "--from", str(tmp_path / "b"), "--to", str(tmp_path / "b" / "inside"))
        assert "is in the backup" in said
        said = refuses(server, "restore", "--from", str(tmp_path / "b"), "--to", str(full))
        assert "the directory is not empty" in said
        said = refuses(server, "restore", "--from", str(full), "--to", str(tmp_path / "r"))
        assert "the directory is not a backup" in said
        said = refuses(server, "serve", "--data", str(tmp_path / "b"), "--pg-listen", "127.0.0.1:0", "--http-listen", "off")
        assert "is a backup, not a data directory" in said and "outcrop restore" in said
        assert not (tmp_path / "b" / "LOCK").exists()
        said = refuses(server, "restore", "--from", str(tmp_path / "b"), "--to", str(tmp_path / "r"), "--until", "noon")
        assert "neither a commit nor a time" in said
        connection.execute("INSERT INTO t VALUES (1)")


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write anywhere")
def test_no_permission(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    server = new_server()
    closed = tmp_path / "closed"
    closed.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    if os.geteuid() == 0:
        # Without the right to override permissions, as any other user.
        server.prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search"]
    with serving(server), server.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            connection.execute("SELECT outcrop.backup(%s)", (str(closed / "b"),))
        assert "Permission denied" in caught.value.diag.message_primary
        connection.execute("CREATE TABLE t (id int PRIMARY KEY)")


def test_users_and_a_stopped_server(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    server = new_server()
    server.data.mkdir()
    assert server.run("user", "add", "tester", "--data", str(server.data), text="secret\n").returncode == 0
    server.environment = {"PGPASSWORD": "secret"}
    with serving(server):
        with server.connect(password="secret") as connection:
            connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
            connection.execute("INSERT INTO t SELECT i FROM generate_series(1, 100) AS s(i)")
        assert "in use by another process" in refuses(server, "backup", "--to", str(tmp_path / "x"), "--data", str(server.data))
        server.stop()
    outcome = server.run("backup", "--to", str(tmp_path / "b"), "--data", str(server.data))
    assert outcome.returncode == 0, outcome.stderr
    assert TAKEN.search(outcome.stdout)
    check(server, tmp_path / "b")
    other = restored(server, tmp_path / "b", new_server)
    for directory in [tmp_path / "b", other.data]:
        assert stat.S_IMODE((directory / "users.toml").stat().st_mode) == 0o600
    with serving(other):
        with pytest.raises(psycopg.OperationalError):
            other.connect(password="wrong")
        with other.connect(password="secret") as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (100,)


def test_a_client_that_goes_away_ends_its_backup(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    server = new_server()
    with serving(server):
        server.sql("CREATE TABLE ballast (id int PRIMARY KEY, t text)")
        server.sql("INSERT INTO ballast SELECT i, md5(i::text) FROM generate_series(1, 50000) AS s(i)")
        client = start(server, "backup", "--to", str(tmp_path / "b"), "--pg", server.pg_address)
        client.send_signal(signal.SIGKILL)
        client.communicate(timeout=60)
        server.stop()
        server.assert_check_is_clean()
    # It ended before, was never begun, or its files were removed again.
    files = [path for path in (tmp_path / "b").rglob("*") if path.is_file()] if (tmp_path / "b").exists() else []
    assert not files or (tmp_path / "b" / "BACKUP").exists()


def start(server: OutcropServer, *arguments: str) -> subprocess.Popen[bytes]:
    environment = clean_environment() | server.environment
    return subprocess.Popen(
        [program(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=server.directory
    )
