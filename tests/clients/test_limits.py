"""Limits of connections and files: clients without manners never take from the engine what it needs."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from harness.servers import OutcropServer, serving

pytestmark = pytest.mark.outcrop_only

FILES_MAX = 256
SOCKETS = 400
PATIENCE_SECONDS = 60
# Small generations, so that each statement is followed by new files; clients may be silent for the whole test.
CONFIG = """
http_idle_timeout = "10min"
startup_timeout = "10min"
[engine]
flush_rows_max = 1000
"""


def test_the_limit_of_open_files_is_raised_at_start(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    server.prefix = ["prlimit", f"--nofile={FILES_MAX}:4096"]
    with serving(server):
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert re.search(r"^Max open files +4096 +4096 ", limits, re.MULTILINE), limits


def test_too_few_files_are_refused_with_a_reason(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    server.prefix = ["prlimit", "--nofile=64:64"]
    with pytest.raises(Exception, match="may open 64 files, a server needs 256"):
        server.start()


def test_idle_sockets_never_stop_the_writes(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server(config=CONFIG)
    server.prefix = ["prlimit", f"--nofile={FILES_MAX}:{FILES_MAX}"]
    server.expect_log("WARN .* fewer connections than configured")
    with serving(server), contextlib.ExitStack() as sockets:
        server.sql("CREATE TABLE w (id int PRIMARY KEY, s text)")
        writer = sockets.enter_context(server.connect())
        for port in (server.http_port, server.pg_port):
            for _ in range(SOCKETS):
                # Those beyond the limits are answered and closed by the server; here all of them stay open.
                sockets.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS))
        for batch in range(10):
            first, last = batch * 2000, batch * 2000 + 1999
            writer.execute(f"INSERT INTO w SELECT g, repeat(md5(g::text), 10) FROM generate_series({first}, {last}) t(g)")
        assert writer.execute("SELECT count(*) FROM w").fetchone() == (20_000,)
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            server.connect(sslmode="disable", gssencmode="disable")
        when_refused(server)
        sockets.close()
        when_connected(server)
        server.sql("INSERT INTO w VALUES (-1, 'after')")
        assert server.sql("SELECT count(*) FROM w") == [(20_001,)]
        assert "Too many open files" not in server.log_path.read_text()


def when_refused(server: OutcropServer) -> None:
    """Waits for an answer: the server talks to few of those beyond its limit at once, and drops others unheard."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with socket.create_connection(("127.0.0.1", server.http_port), timeout=PATIENCE_SECONDS) as refused:
            if refused.recv(64).startswith(b"HTTP/1.1 503 "):
                return
        assert time.monotonic() < deadline, "nobody was told"
        time.sleep(0.05)


def when_connected(server: OutcropServer) -> None:
    """Waits until the server has noticed that clients are gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return server.connect().close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "no place became free"
            time.sleep(0.05)
