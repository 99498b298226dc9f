"""No statement's rows or results are held whole in memory, whatever their number (P12, W10)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from harness.servers import OutcropServer, serving

pytestmark = pytest.mark.outcrop_only

MIB = 1 << 20
# Far above what one statement may hold, far below what the data take.
GROWTH_BYTES_MAX = 160 * MIB
PAYLOAD = "x" * 1000
ROWS = 400_000
SMALL = """
[engine]
memtable_bytes_max = "32MiB"
flush_bytes_max = "8MiB"
page_cache_bytes = "16MiB"
[query]
memory_bytes = "64MiB"
"""


def resident_peak(server: OutcropServer) -> int:
    """The most memory that the process has held since its start or since `forget_peak`."""
    assert server.process is not None
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def forget_peak(server: OutcropServer) -> None:
    assert server.process is not None
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


def test_a_result_larger_than_memory_streams(server: OutcropServer, measured: Callable[[str], None]) -> None:
    measured(f"resident memory of an idle server: {resident_peak(server) / MIB:.0f} MiB at most since its start")
    forget_peak(server)
    before = resident_peak(server)
    with server.connect() as connection, connection.cursor() as cursor:
        count = 0
        for _ in cursor.stream(f"SELECT g, '{PAYLOAD}' AS payload FROM generate_series(1, {ROWS}) AS s(g)"):
            count += 1
    assert count == ROWS
    measured(f"memory for a result of {ROWS / 1000:.0f} MB: {(resident_peak(server) - before) / MIB:.0f} MiB")
    assert_growth(server, before, f"a result of {ROWS / 1000:.0f} MB")


def test_a_copy_and_an_update_larger_than_memory_are_atomic(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server(config=SMALL)
    rows = ROWS // 2
    with serving(server):
        server.sql("CREATE TABLE large (id bigint PRIMARY KEY, payload text NOT NULL)")
        forget_peak(server)
        before = resident_peak(server)
        with pytest.raises(psycopg.errors.UniqueViolation) as failure, server.connect() as connection:
            copy_rows(connection, rows, last="1\trepeated\n")
        assert failure.value.diag.message_detail == "Key (id)=(1) already exists."
        assert server.sql("SELECT count(*) FROM large") == [(0,)], "a statement that failed left rows"
        with server.connect() as connection:
            copy_rows(connection, rows)
        assert server.sql("SELECT count(*), sum(id), max(length(payload)) FROM large") == [
            (rows, rows * (rows + 1) // 2, len(PAYLOAD))
        ]
        assert_growth(server, before, f"COPY of {rows / 1000:.0f} MB")
        forget_peak(server)
        before = resident_peak(server)
        server.sql("UPDATE large SET payload = payload || id")
        assert server.sql("SELECT count(*), min(length(payload)) FROM large") == [(rows, len(PAYLOAD) + 1)]
        assert_growth(server, before, f"UPDATE of {rows / 1000:.0f} MB")
        server.kill9()
        server.start()
        assert server.sql("SELECT count(*), sum(id) FROM large") == [(rows, rows * (rows + 1) // 2)]
        server.stop()
        server.assert_check_is_clean()


def assert_growth(server: OutcropServer, before: int, what: str) -> None:
    growth = resident_peak(server) - before
    assert growth < GROWTH_BYTES_MAX, f"{growth / MIB:.0f} MiB of memory for {what}"


def copy_rows(connection: psycopg.Connection, rows: int, last: str = "") -> None:
    with connection.cursor().copy("COPY large FROM STDIN") as copy:
        for start in range(1, rows + 1, 1000):
            copy.write("".join(f"{row}\t{PAYLOAD}\n" for row in range(start, min(start + 1000, rows + 1))))
        if last:
            copy.write(last)
