"""Servers under test: Outcrop, and PostgreSQL as the reference that checks the expectations themselves.

Both offer the same interface, so that a test body that only speaks SQL runs on either
(`pytest tests/clients --target postgres`). A server keeps its data directory and its ports over `kill9` and `start`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psycopg

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 600
READY = re.compile(r"^ready: postgres on (?P<pg>\S+:\d+), http on (?P<http>\S+:\d+)$", re.MULTILINE)
POSTGRES_PROGRAMS = Path("/usr/lib/postgresql/15/bin")


# A line of the server's log that somebody should look at.
ALARM = re.compile(r"^\S+ +(WARN|ERROR) .*", re.MULTILINE)
# Every Outcrop server of this run, so that each test can look at all logs when it ends.
SERVERS: weakref.WeakSet[OutcropServer] = weakref.WeakSet()


class ServerFailed(Exception):
    """The server ended or never became ready; the text carries the end of its log."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Server:
    """A server process over a data directory."""

    is_outcrop: ClassVar[bool]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log_path = directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.pg_port = 0
        atexit.register(self._kill_if_running)

    # What differs between the two.

    def start(self) -> float:
        """Starts the server, waits until it serves, and returns the seconds that this took."""
        raise NotImplementedError

    def kill9(self) -> None:
        """Kills every process of the server without notice, and waits until they are gone."""
        raise NotImplementedError

    def load(self, csv_path: Path, table: str, key: list[str]) -> None:
        """Creates `table` from a CSV file with a header and loads it."""
        raise NotImplementedError

    # What is the same.

    def stop(self) -> None:
        """Asks the server to stop and asserts that it does so cleanly."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_SECONDS_MAX)
        self.process = None
        assert code == 0, f"the server ended with code {code}:\n{self.log_tail()}"
        self.assert_log_is_clean()

    def restart(self) -> float:
        """Stops if needed, starts, and returns the seconds until it served."""
        if self.process is not None:
            self.stop()
        return self.start()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def conninfo(self, **more: object) -> str:
        options = {"host": "127.0.0.1", "port": self.pg_port, "user": "tester", "dbname": "outcrop", "connect_timeout": 10}
        return psycopg.conninfo.make_conninfo("", **(options | more))

    def connect(self, **more: object) -> psycopg.Connection:
        """A connection on which each statement commits by itself."""
        return psycopg.connect(self.conninfo(**more), autocommit=True)

    def sql(self, query: str, parameters: object = None) -> list[tuple]:
        """Runs one statement on a connection of its own and returns its rows."""
        with self.connect() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def psql(self, script: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a script in psql, the way a user does."""
        outcome = subprocess.run(
            ["psql", "-X", "-d", self.conninfo(), *arguments],
            input=script,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            env=os.environ | {"PSQLRC": "/dev/null", "PAGER": "cat", "LC_ALL": "C.UTF-8"},
        )
        if check:
            assert outcome.returncode == 0, f"psql ended with {outcome.returncode}:\n{outcome.stdout}\n{outcome.stderr}"
        return outcome

    def log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:] if self.log_path.exists() else ""

    def assert_log_is_clean(self) -> None:
        """The server said nothing that the test did not expect."""

    def close(self) -> None:
        """Ends the process if a test left it running."""
        self._kill_if_running()
        atexit.unregister(self._kill_if_running)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "the server is not running"
        return self.process

    def _kill_if_running(self) -> None:
        if self.is_running():
            self.kill9()

    def _wait(self, is_ready: object, what: str) -> None:
        process = self._running()
        deadline = time.monotonic() + START_SECONDS_MAX
        while not is_ready():
            if process.poll() is not None:
                self.process = None
                raise ServerFailed(f"{what} ended with code {process.returncode}:\n{self.log_tail()}", process.returncode)
            if time.monotonic() > deadline:
                self.kill9()
                raise ServerFailed(f"{what} was not ready after {START_SECONDS_MAX} s:\n{self.log_tail()}")
            time.sleep(0.005)


@dataclass
class LogLine:
    """A warning or an error that a test declared."""

    pattern: re.Pattern[str]
    is_due: bool


class OutcropServer(Server):
    """`outcrop serve` on ports of the system's choice."""

    is_outcrop = True

    def __init__(self, directory: Path, *, config: str = "", arguments: list[str] | None = None) -> None:
        super().__init__(directory)
        self.arguments = list(arguments or [])
        self.http_port = 0
        self.environment: dict[str, str] = {}
        self.prefix: list[str] = []
        """A program that starts the server, such as `prlimit` with its arguments."""
        self._log_checked = 0
        """Bytes of the log that were looked at."""
        self._expected: list[LogLine] = []
        SERVERS.add(self)
        if config:
            path = directory / "outcrop.toml"
            path.write_text(config)
            self.arguments += ["--config", str(path)]

    def start(self) -> float:
        # Its log is kept over restarts, so only what this start adds may be searched for the ready line.
        seen = self.log_path.stat().st_size if self.log_path.exists() else 0
        begin = time.monotonic()
        self.spawn()
        self._wait(lambda: self._find_ready_line(seen), "outcrop serve")
        return time.monotonic() - begin

    def spawn(self) -> None:
        """Starts the process and does not wait for it."""
        assert self.process is None, "the server is running"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*self.prefix, program(), "serve", "--data", str(self.data)),
                    *("--pg-listen", f"127.0.0.1:{self.pg_port}", "--http-listen", f"127.0.0.1:{self.http_port}"),
                    *self.arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment() | self.environment,
                cwd=self.directory,
            )

    def expect_log(self, pattern: str) -> None:
        """Declares a warning or an error of the log: until this test ends it must come, as often as it likes."""
        self._expected.append(LogLine(re.compile(pattern), is_due=True))

    def allow_log(self, pattern: str) -> None:
        """Declares a warning or an error of the log that may come until this test ends."""
        self._expected.append(LogLine(re.compile(pattern), is_due=False))

    def assert_log_is_clean(self) -> None:
        """No warning, error or panic that was not declared came since somebody last looked."""
        if not self.log_path.exists():
            return
        log = self.log_path.read_bytes()[self._log_checked :]
        # A line that is being written is looked at the next time.
        log = log[: log.rfind(b"\n") + 1]
        self._log_checked += len(log)
        text = log.decode(errors="replace")
        assert "panicked at" not in text, f"the server panicked:\n{text[max(0, text.index('panicked at') - 500) :][:4000]}"
        for alarm in ALARM.finditer(text):
            declared = [line for line in self._expected if line.pattern.search(alarm[0])]
            assert declared, f"nobody declared this line of the server's log:\n{alarm[0][:4000]}"
            for line in declared:
                line.is_due = False

    def settle_log(self) -> None:
        """What was declared about the log is true, and from here on nothing is declared."""
        expected, due = self._expected, []
        try:
            self.assert_log_is_clean()
            due = [line.pattern.pattern for line in expected if line.is_due]
        finally:
            self._expected = []
        assert not due, f"the server's log never had {due}:\n{self.log_tail()}"

    def kill9(self) -> None:
        process = self._running()
        process.kill()
        process.wait(STOP_SECONDS_MAX)
        self.process = None

    def load(self, csv_path: Path, table: str, key: list[str]) -> None:
        outcome = self.run("load", str(csv_path), "--table", table, "--key", ",".join(key), "--pg", self.pg_address)
        assert outcome.returncode == 0, f"outcrop load ended with {outcome.returncode}:\n{outcome.stdout}\n{outcome.stderr}"

    @property
    def pg_address(self) -> str:
        return f"127.0.0.1:{self.pg_port}"

    @property
    def http_address(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    def metric(self, name: str) -> int:
        """The value of a metric without labels."""
        with urllib.request.urlopen(f"http://{self.http_address}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def run(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs another command of the binary to its end."""
        return subprocess.run(
            [program(), *arguments],
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            env=clean_environment() | self.environment,
            cwd=self.directory,
        )

    def check(self) -> subprocess.CompletedProcess[str]:
        """`outcrop check` on the directory of a server that is not running."""
        assert not self.is_running(), "outcrop check is for a directory that no server uses"
        return self.run("check", "--data", str(self.data))

    def assert_check_is_clean(self) -> None:
        outcome = self.check()
        assert outcome.returncode == 0, f"outcrop check ended with {outcome.returncode}:\n{outcome.stdout}\n{outcome.stderr}"

    def _find_ready_line(self, seen: int) -> bool:
        found = READY.search(self.log_path.read_bytes()[seen:].decode(errors="replace"))
        if found is None:
            return False
        self.pg_port = port_of(found["pg"])
        self.http_port = port_of(found["http"])
        return True


class PostgresServer(Server):
    """PostgreSQL 15 with its default settings, but its own directory and port."""

    is_outcrop = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        # Its processes run as another user, who must reach the directory.
        self.home = Path(tempfile.mkdtemp(prefix="outcrop-reference-", dir="/var/tmp"))
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.home, self.user)
        self.data = self.home / "data"

    def start(self) -> float:
        assert self.process is None, "the server is running"
        if not self.data.exists():
            self._initialise()
        self.pg_port = self.pg_port or free_port()
        begin = time.monotonic()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(POSTGRES_PROGRAMS / "postgres"), "-D", str(self.data), "-p", str(self.pg_port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.home}"),
                    *("-c", "timezone=UTC"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self.user,
                start_new_session=True,
            )
        self._wait(self._accepts, "postgres")
        seconds = time.monotonic() - begin
        self._create_database()
        return seconds

    def kill9(self) -> None:
        process = self._running()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS_MAX)
        self.process = None

    def stop(self) -> None:
        # SIGTERM would wait for clients; what Outcrop does on SIGTERM is PostgreSQL's fast shutdown.
        self._running().send_signal(signal.SIGINT)
        super().stop()

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.home, ignore_errors=True)

    def load(self, csv_path: Path, table: str, key: list[str]) -> None:
        from . import flights

        columns = ", ".join(f'"{name}" {kind}' for name, kind in flights.COLUMNS[table].items())
        self.sql(f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({', '.join(key)}))")
        self.psql(f"\\copy {table} FROM '{csv_path}' WITH (FORMAT csv, HEADER)\n", "-v", "ON_ERROR_STOP=1")

    def _initialise(self) -> None:
        subprocess.run(
            [
                str(POSTGRES_PROGRAMS / "initdb"),
                "-D",
                str(self.data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                # As Outcrop: ordered by bytes, and letters beyond ASCII have cases.
                "--locale=C",
                "--lc-ctype=C.UTF-8",
            ],
            check=True,
            capture_output=True,
            user=self.user,
            cwd=self.home,
        )

    def _accepts(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.conninfo(user="postgres", dbname="postgres")).close()
            return True
        return False

    def _create_database(self) -> None:
        with psycopg.connect(self.conninfo(user="postgres", dbname="postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'outcrop'").fetchall():
                connection.execute("CREATE ROLE tester LOGIN SUPERUSER")
                connection.execute("CREATE DATABASE outcrop OWNER tester")


def program() -> str:
    """The binary under test."""
    path = os.environ.get("OUTCROP_BINARY")
    assert path, "set OUTCROP_BINARY to the outcrop program (cargo xtask test does)"
    return str(Path(path).resolve())


def clean_environment() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OUTCROP_", "PG"))}


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Starts a server, and ends it whatever the test did; a test that passed also has a clean log."""
    try:
        server.start()
        yield server
        if server.is_running():
            server.stop()
    finally:
        server.close()
