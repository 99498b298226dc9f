"""A block that holds an old snapshot gives it back, so that files can go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psycopg
import pytest

from harness.servers import OutcropServer, serving

pytestmark = pytest.mark.outcrop_only


def test_an_idle_block_gives_its_snapshot_back_and_is_told_so(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server(config='[engine]\nsnapshot_age_max = "300ms"\n')
    with serving(server):
        server.sql("CREATE TABLE t (id bigint PRIMARY KEY)")
        with server.connect() as idle:
            idle.execute("BEGIN")
            assert idle.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
            time.sleep(1.5)
            with pytest.raises(psycopg.Error) as failure:
                idle.execute("SELECT count(*) FROM t")
            assert failure.value.sqlstate == "72000"
            assert "engine.snapshot_age_max" in (failure.value.diag.message_hint or "")
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                idle.execute("SELECT 1")
            idle.execute("ROLLBACK")
            assert idle.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
        # Sessions outside of blocks are not affected by the time between statements.
        with server.connect() as session:
            session.execute("SELECT 1")
            time.sleep(0.8)
            assert session.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


def test_a_client_that_stops_reading_does_not_keep_its_snapshot(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server(config='[engine]\nsnapshot_age_max = "500ms"\n')
    with serving(server):
        server.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
        server.sql("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 60000) AS i")
        with contextlib.closing(server.connect()) as stuck:
            connections = server.metric("outcrop_pg_connections")
            # Thirty megabytes, more than the buffers of both sides, and nobody takes them.
            stuck.pgconn.send_query(b"SELECT * FROM t")
            deadline = time.monotonic() + 60
            while server.metric("outcrop_pg_connections") == connections:
                assert time.monotonic() < deadline, "the session is still there"
                time.sleep(0.2)
            # Its snapshot went with it: only the newest version is held.
            assert server.metric("outcrop_pins") <= 1
