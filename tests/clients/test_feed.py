"""The feed through a driver: a consumer that keeps a copy of a table up to date, and dies in between."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from harness.servers import OutcropServer, serving

pytestmark = pytest.mark.outcrop_only

READ = "SELECT position, table_name, op, old, new FROM outcrop.read_feed(%s, %s)"


class Copy:
    """The rows of a table by key, and the position that they stand for."""

    def __init__(self) -> None:
        self.rows: dict[int, dict] = {}
        self.position: str | None = None

    def take(self, connection: psycopg.Connection, most: int) -> int:
        changes = connection.execute(READ, ("copy", most)).fetchall()
        for position, table, op, old, new in changes:
            assert table == "items"
            if old is not None:
                assert self.rows.pop(old["id"]) == old
            if new is not None:
                assert new["id"] not in self.rows
                self.rows[new["id"]] = new
            assert op == {(True, False): "delete", (False, True): "insert", (True, True): "update"}[old is not None, new is not None]
            self.position = position
        return len(changes)


def test_a_copy_that_follows_the_feed_is_the_table(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server(config='[engine]\nflush_rows_max = 500\ncommit_inline_bytes_max = "64KiB"\n')
    with serving(server):
        server.sql("CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(6,2), tags text[])")
        server.sql("SELECT outcrop.create_feed_cursor('copy', 'items')")
        copy = Copy()
        for turn in range(6):
            server.sql(f"INSERT INTO items SELECT g, 'n' || g, g / 4.0, '{{a,b}}' FROM generate_series({turn * 700}, {turn * 700 + 699}) AS g")
            server.sql(f"UPDATE items SET name = 'turn {turn}', tags = NULL WHERE id % 7 = {turn}")
            server.sql(f"DELETE FROM items WHERE id % 11 = {turn}")
            if turn == 3:
                server.kill9()
                server.start()
            with server.connect() as connection:
                # One commit at a time, then what is left of it; what was not advanced comes again.
                assert copy.take(connection, 1) > 0
                connection.execute("SELECT outcrop.advance_feed_cursor('copy', %s)", (copy.position,))
                while copy.take(connection, 100):
                    connection.execute("SELECT outcrop.advance_feed_cursor('copy', %s)", (copy.position,))
                stored = connection.execute("SELECT id, name, price::float8, tags FROM items ORDER BY id").fetchall()
            copied = [(row["id"], row["name"], row["price"], row["tags"]) for _, row in sorted(copy.rows.items())]
            assert copied == stored
