"""Faults of disk and directory: a flipped byte in each kind of file, a full disk, a directory not ours (P7, P9, P11)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from harness.servers import OutcropServer, ServerFailed, serving

pytestmark = pytest.mark.outcrop_only

ROWS = 6_000
FLUSH_SECONDS_MAX = 30
# Far more than the small disk holds.
FILLING_ROWS_MAX = 10_000
FILLING_BYTES = 20_000
# The kinds of files of a data directory, as patterns.
KINDS = ["FORMAT", "manifest/*.manifest", "log/*", "segments/*.meta", "segments/*.vortex", "segments/*.keys"]


@pytest.fixture(scope="module")
def stored(new_server: Callable[..., OutcropServer]) -> tuple[OutcropServer, list[tuple]]:
    """A stopped server whose directory has files of every kind, and the rows in it."""
    server = new_server(config='[engine]\nflush_rows_max = 2000\nlog_file_bytes = "1MiB"\n')
    with serving(server):
        server.sql("CREATE TABLE kept (id int PRIMARY KEY, name text NOT NULL, payload text)")
        server.sql(f"INSERT INTO kept SELECT g, 'name ' || g, repeat('p', g % 50) FROM generate_series(1, {ROWS}) AS s(g)")
        wait_for_files(server, "segments/*.meta")
        # What no flush has taken yet is in the log alone.
        server.sql("UPDATE kept SET name = 'changed' WHERE id % 100 = 0")
        server.sql("DELETE FROM kept WHERE id % 100 = 1")
        rows = server.sql("SELECT * FROM kept ORDER BY id")
        server.stop()
        server.assert_check_is_clean()
    return server, rows


@pytest.mark.parametrize("place", ["start", "middle"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte(
    stored: tuple[OutcropServer, list[tuple]], new_server: Callable[..., OutcropServer], kind: str, place: str
) -> None:
    """`check` finds it and names the file; the server refuses to start, or fails the query, or answers right: never wrong."""
    original, rows = stored
    server = new_server()
    shutil.copytree(original.data, server.data)
    path = max(server.data.glob(kind), key=lambda found: len(found.read_bytes().rstrip(b"\0")))
    flip(path, place)
    # Whether it is noticed in the start, by the query, or by neither, depends on what needs the byte.
    server.allow_log(f"(WARN|ERROR) .*{re.escape(path.name)} is corrupt")
    server.allow_log("WARN .* its key run is built anew")
    outcome = server.check()
    assert outcome.returncode == 1, f"check ended with {outcome.returncode}:\n{outcome.stdout}{outcome.stderr}"
    assert path.name in outcome.stdout + outcome.stderr, f"check does not name {path.name}:\n{outcome.stdout}{outcome.stderr}"
    try:
        server.start()
    except ServerFailed as failure:
        assert path.name in str(failure), f"the refusal does not name {path.name}: {failure}"
    else:
        try:
            assert server.sql("SELECT * FROM kept ORDER BY id") == rows
        except psycopg.Error as error:
            assert error.sqlstate == "XX001", f"{error.sqlstate}: {error}"
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["segments/*.meta", "segments/*.vortex", "segments/*.keys", "log/*"])
def test_a_missing_file(stored: tuple[OutcropServer, list[tuple]], new_server: Callable[..., OutcropServer], kind: str) -> None:
    original, rows = stored
    server = new_server()
    shutil.copytree(original.data, server.data)
    # The oldest log file may already be unneeded, the newest may be prepared for later: the fullest is neither.
    path = max(server.data.glob(kind), key=lambda found: len(found.read_bytes().rstrip(b"\0")))
    path.unlink()
    server.allow_log(f"(WARN|ERROR) .*{re.escape(path.name)} is corrupt .*: the file is missing")
    server.allow_log("WARN .* its key run is built anew")
    outcome = server.check()
    # Of a missing log file it is the neighbour that tells.
    named = ".log" if kind == "log/*" else path.name
    assert outcome.returncode == 1 and named in outcome.stdout + outcome.stderr, outcome.stdout + outcome.stderr
    try:
        server.start()
        # The manifest has a copy of what a meta file says.
        assert server.sql("SELECT * FROM kept ORDER BY id") == rows
    except ServerFailed as failure:
        assert "corrupt" in str(failure) or path.name in str(failure), failure
    except psycopg.Error as error:
        assert error.sqlstate in ("XX001", "58030"), f"{error.sqlstate}: {error}"
    finally:
        server.close()


def test_a_directory_of_another_version(
    stored: tuple[OutcropServer, list[tuple]], new_server: Callable[..., OutcropServer]
) -> None:
    original, _ = stored
    server = new_server()
    shutil.copytree(original.data, server.data)
    identity = server.data / "FORMAT"
    identity.write_text(identity.read_text().replace("version 1", "version 3"))
    with pytest.raises(ServerFailed, match="format version 3, this build reads versions 1 and 2"):
        server.start()
    outcome = server.check()
    assert outcome.returncode != 0 and "version 3" in outcome.stdout + outcome.stderr
    assert "version 3" in identity.read_text(), "the directory was changed"


def test_a_directory_in_use(own_server: OutcropServer, new_server: Callable[..., OutcropServer]) -> None:
    second = new_server()
    second.data = own_server.data
    with pytest.raises(ServerFailed, match="in use"):
        second.start()
    outcome = second.run("check", "--data", str(own_server.data))
    assert outcome.returncode != 0 and "in use" in outcome.stdout + outcome.stderr, outcome.stdout + outcome.stderr
    assert own_server.sql("SELECT 1") == [(1,)]


def test_a_directory_of_something_else(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    server.data.mkdir()
    (server.data / "holiday.jpg").write_bytes(b"not a database")
    with pytest.raises(ServerFailed, match=r"holiday\.jpg|not empty"):
        server.start()
    # The lock comes first, so that two processes cannot both find a directory empty.
    found = {path.name for path in server.data.iterdir()}
    assert found <= {"holiday.jpg", "LOCK"}, f"files were added to somebody's directory: {found}"


def test_a_full_disk(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    server = new_server(
        config='[engine]\nlog_file_bytes = "1MiB"\nlog_bytes_max = "4MiB"\nflush_bytes_max = "1MiB"\nmemtable_bytes_max = "8MiB"\n'
    )
    with small_disk(tmp_path / "disk", 16) as disk:
        server.data = disk / "data"
        allow_full_disk(server)
        with serving(server):
            server.sql("CREATE TABLE filling (id int PRIMARY KEY, payload text)")
            acked = 0
            with server.connect() as connection:
                with pytest.raises(psycopg.Error) as failure:
                    for row in range(FILLING_ROWS_MAX):
                        connection.execute("INSERT INTO filling VALUES (%s, %s)", [row, os.urandom(FILLING_BYTES).hex()])
                        acked += 1
                assert failure.value.sqlstate == "53100", f"{failure.value.sqlstate}: {failure.value}"
                assert failure.value.diag.message_hint
                assert acked > 0
                # Reads go on, on the same session too, and nothing acknowledged is lost.
                assert connection.execute("SELECT count(*), count(DISTINCT id) FROM filling").fetchall() == [(acked, acked)]
                # Deletes come from the reserve.
                connection.execute("DELETE FROM filling WHERE id < 10")
            subprocess.run(["mount", "-o", "remount,size=96m", str(disk)], check=True)
            wait_until_written(server, acked)
            assert server.sql("SELECT count(*) FROM filling") == [(acked - 10 + 1,)]
            server.kill9()
            server.start()
            assert server.sql("SELECT count(*), min(id), max(id) FROM filling") == [(acked - 9, 10, acked)]
            server.stop()
            server.assert_check_is_clean()


def test_truncate_frees_a_full_disk(new_server: Callable[..., OutcropServer], tmp_path: Path) -> None:
    """Space comes back without a restart and without a bigger disk."""
    server = new_server(
        config='[engine]\nlog_file_bytes = "1MiB"\nlog_bytes_max = "4MiB"\nflush_bytes_max = "1MiB"\nmemtable_bytes_max = "8MiB"\n'
    )
    with small_disk(tmp_path / "disk", 16) as disk:
        server.data = disk / "data"
        allow_full_disk(server)
        with serving(server):
            server.sql("CREATE TABLE filling (id int PRIMARY KEY, payload text)")
            with server.connect() as connection, pytest.raises(psycopg.Error) as failure:
                for row in range(FILLING_ROWS_MAX):
                    connection.execute("INSERT INTO filling VALUES (%s, %s)", [row, os.urandom(FILLING_BYTES).hex()])
            assert failure.value.sqlstate == "53100", failure.value
            server.sql("TRUNCATE filling")
            wait_until_written(server, 1)
            assert server.sql("SELECT id FROM filling") == [(1,)]


def flip(path: Path, place: str) -> None:
    """Changes one byte. The middle is that of the written part: log files are zero-filled ahead."""
    data = bytearray(path.read_bytes())
    at = 3 if place == "start" else len(bytes(data).rstrip(b"\0")) // 2
    data[at] ^= 0x40
    path.write_bytes(data)


def wait_for_files(server: OutcropServer, pattern: str) -> None:
    deadline = time.monotonic() + FLUSH_SECONDS_MAX
    while not list(server.data.glob(pattern)):
        assert time.monotonic() < deadline, f"no {pattern} after {FLUSH_SECONDS_MAX} s"
        time.sleep(0.05)


def wait_until_written(server: OutcropServer, row: int) -> None:
    """Writes resume by themselves once there is space."""
    deadline = time.monotonic() + FLUSH_SECONDS_MAX
    while True:
        try:
            server.sql("INSERT INTO filling VALUES (%s, 'resumed')", [row])
        except psycopg.Error as error:
            assert error.sqlstate in ("53100", "53400"), error
            assert time.monotonic() < deadline, f"no write went through after space was free: {error}"
            time.sleep(0.2)
        else:
            return


def allow_full_disk(server: OutcropServer) -> None:
    """What is said of a full disk, once until there is space again."""
    server.allow_log("WARN .* no log file could be prepared error=no space left")
    server.allow_log("WARN .* (a flush or checkpoint must wait|a compaction found the disk full) error=.*(No space left|no space left)")


@contextmanager
def small_disk(path: Path, mib: int) -> Iterator[Path]:
    """A file system of a few MiB; mounting one needs root."""
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(path)], capture_output=True).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_clean_stop_leaves_nothing_to_replay(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    with serving(server):
        server.sql("CREATE TABLE r (id int PRIMARY KEY)")
        server.sql("INSERT INTO r SELECT generate_series(1, 1000)")
        server.restart()
        assert server.metric("outcrop_replayed_records") == 0
        server.sql("INSERT INTO r VALUES (0)")
        server.kill9()
        server.start()
        assert server.metric("outcrop_replayed_records") == 1
        assert server.sql("SELECT count(*) FROM r") == [(1001,)]
