"""Bad input over the wire and in files to load: each kind has its own clear error, nothing is lost, nothing panics.

The SQLSTATEs are PostgreSQL's, so most of this runs against PostgreSQL too.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness import wire
from harness.servers import OutcropServer, Server
from harness.wire import Wire

SEED = 4
FUZZ_ROUNDS = 150


@pytest.fixture(scope="module", autouse=True)
def tables(server: Server) -> Iterator[None]:
    server.psql(
        """
        CREATE TABLE things (id int PRIMARY KEY, name text NOT NULL, small smallint, amount numeric(5,2), short varchar(3), day date);
        INSERT INTO things VALUES (1, 'one', 1, 1.00, 'a', '2024-01-01'), (2, 'two', 2, 2.00, 'b', '2024-01-02');
        """,
        *("-v", "ON_ERROR_STOP=1"),
    )
    yield


@pytest.fixture(autouse=True)
def nothing_is_lost(server: Server) -> Iterator[None]:
    yield
    assert server.is_running(), f"the server is gone:\n{server.log_tail()}"
    assert server.sql("SELECT count(*), sum(id) FROM things") == [(2, 3)]
    server.assert_log_is_clean()


@pytest.mark.parametrize(
    ("state", "statement"),
    [
        ("42601", "SELEC 1"),
        ("42601", "SELECT 'open"),
        ("42601", "SELECT (1"),
        ("42P01", "SELECT * FROM nowhere"),
        ("42703", "SELECT colour FROM things"),
        ("42703", "INSERT INTO things (id, colour) VALUES (3, 'red')"),
        ("42703", "UPDATE things SET colour = 'red'"),
        ("42704", "CREATE TABLE t (a unheard_of PRIMARY KEY)"),
        ("42704", "SELECT 1::unheard_of"),
        ("42883", "SELECT unheard_of(1)"),
        ("42803", "SELECT id, count(*) FROM things"),
        ("42701", "CREATE TABLE t (a int, a int)"),
        ("42703", "CREATE TABLE t (a int, PRIMARY KEY (b))"),
        ("42P07", "CREATE TABLE things (id int PRIMARY KEY)"),
        ("42P01", "DROP TABLE nowhere"),
        ("3F000", "CREATE TABLE nowhere.t (a int PRIMARY KEY)"),
        ("42P10", "INSERT INTO things VALUES (1, 'x') ON CONFLICT (name) DO NOTHING"),
        ("42601", "INSERT INTO things (id, name) VALUES (3)"),
        ("42601", "INSERT INTO things VALUES (3, 'x', 1, 1, 'x', NULL, 'too many')"),
        ("22003", "INSERT INTO things VALUES (99999999999, 'x')"),
        ("22003", "INSERT INTO things VALUES (3, 'x', 40000)"),
        ("22003", "INSERT INTO things (id, name, amount) VALUES (3, 'x', 1000)"),
        ("22003", "SELECT 2147483647::int + 1::int"),
        ("22003", "SELECT 9223372036854775807::bigint + 1"),
        ("22003", "SELECT 1e400::double precision"),
        ("22001", "INSERT INTO things (id, name, short) VALUES (3, 'x', 'long')"),
        ("22P02", "INSERT INTO things (id, name) VALUES ('three', 'x')"),
        ("22P02", "SELECT 'abc'::int"),
        ("22P02", "SELECT 'x'::uuid"),
        ("22P02", "SELECT '{'::jsonb"),
        ("22007", "SELECT 'yesterday-ish'::date"),
        ("22008", "SELECT '2024-02-30'::date"),
        ("22012", "SELECT 1/0"),
        ("22012", "SELECT id / (id - 1) FROM things"),
        ("23502", "INSERT INTO things VALUES (3, NULL)"),
        ("23505", "INSERT INTO things VALUES (3, 'x'), (3, 'y')"),
        ("23505", "INSERT INTO things VALUES (1, 'x')"),
        ("23505", "UPDATE things SET id = 7"),
        ("21000", "INSERT INTO things VALUES (3, 'x'), (3, 'y') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name"),
        ("21000", "SELECT (SELECT id FROM things)"),
        ("42704", "SET unheard_of = 1"),
        ("22023", "SET timezone = 'Nowhere/City'"),
        ("25P02", "BEGIN; SELECT 1/0"),
    ],
)
def test_a_wrong_statement_has_its_sqlstate(server: Server, state: str, statement: str) -> None:
    with server.connect() as connection:
        if state == "25P02":
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute(statement)
            statement = "SELECT 1"
        with pytest.raises(psycopg.Error) as failure:
            connection.execute(statement)
        assert failure.value.sqlstate == state, f"{failure.value.sqlstate}: {failure.value}"
        assert failure.value.diag.message_primary
        if state == "25P02":
            connection.execute("ROLLBACK")
        assert connection.execute("SELECT 1").fetchall() == [(1,)], "the session goes on"


def test_wrong_parameters(server: Server) -> None:
    with Wire(server.pg_port) as connection:
        for values, state in [([], "08P01"), ([b"1", b"2"], "08P01"), ([b"one"], "22P02"), ([b"99999999999"], "22003")]:
            connection.send(wire.parse("SELECT $1::int") + wire.bind(values) + wire.execute() + wire.SYNC)
            assert connection.error()["C"] == state, values
            assert connection.until("Z")[-1].kind == "Z"
        # Three bytes are no binary int4.
        connection.send(wire.parse("SELECT $1::int") + wire.bind([b"abc"], format_code=1) + wire.execute() + wire.SYNC)
        assert connection.error()["C"] in ("22P03", "08P01")
        connection.until("Z")
        connection.send(wire.parse("SELECT $1::int") + wire.bind([b"7"]) + wire.execute() + wire.SYNC)
        assert b"7" in [message.body[-1:] for message in connection.until("Z") if message.kind == "D"]


def test_text_that_is_no_text(server: Server) -> None:
    with Wire(server.pg_port) as connection:
        connection.send(wire.query(b"SELECT '\xff\xfe'"))
        assert connection.error()["C"] == "22021"
        connection.until("Z")
        for value in (b"a\x00b", b"\xc3\x28", b"\xed\xa0\x80"):
            connection.send(wire.parse("SELECT $1::text") + wire.bind([value]) + wire.execute() + wire.SYNC)
            assert connection.error()["C"] == "22021", value
            connection.until("Z")


def test_names_that_nobody_prepared(server: Server) -> None:
    with Wire(server.pg_port) as connection:
        connection.send(wire.bind([], statement="never") + wire.execute() + wire.SYNC)
        assert connection.error()["C"] == "26000"
        connection.until("Z")
        connection.send(wire.execute("never") + wire.SYNC)
        assert connection.error()["C"] == "34000"
        connection.until("Z")


def test_after_an_error_everything_up_to_sync_is_skipped(server: Server) -> None:
    with Wire(server.pg_port) as connection:
        connection.send(
            wire.parse("SELECT 1/0")
            + wire.bind([])
            + wire.execute()
            + wire.parse("INSERT INTO things VALUES (8, 'skipped')")
            + wire.bind([])
            + wire.execute()
            + wire.SYNC
        )
        # A ParameterStatus may come at any time.
        assert [message.kind for message in connection.until("Z") if message.kind != "S"][-2:] == ["E", "Z"]


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        struct.pack("!I", 4),
        struct.pack("!II", 8, 12345),
        struct.pack("!II", 0x7FFFFFFF, wire.PROTOCOL_3_0),
        struct.pack("!II", 0xFFFFFFFF, wire.PROTOCOL_3_0),
        struct.pack("!II", 12, wire.PROTOCOL_3_0) + b"user",
        wire.startup(protocol=131072),
        wire.startup(protocol=0x00040000),
    ],
    ids=["http", "zeros", "ones", "short", "unknown code", "2 GiB", "4 GiB", "no end", "protocol 2", "protocol 4"],
)
def test_a_malformed_start(server: Server, opening: bytes) -> None:
    with Wire(server.pg_port, is_started=False) as connection:
        connection.send(opening)
        connection.socket.shutdown(1)
        assert connection.is_closed()


@pytest.mark.parametrize(
    "garbage",
    [
        wire.message("?", b"what"),
        wire.message("Q", b"no end"),
        wire.message("P", b"only"),
        wire.parse("SELECT $1::int") + wire.message("B", b"\0\0\xff\xff"),
        wire.parse("SELECT $1::int") + wire.message("B", b"\0\0\0\0\0\1\x7f\xff\xff\xff"),
        wire.message("E", b"\0"),
        wire.message("D", b"?\0"),
        wire.message("C", b""),
    ],
    ids=["type", "text", "parse", "formats", "value of 2 GiB", "execute", "describe", "close"],
)
def test_a_malformed_message(server: Server, garbage: bytes) -> None:
    with Wire(server.pg_port) as connection:
        connection.send(garbage + wire.SYNC)
        error = connection.error()
        assert error["C"] == "08P01", error


@pytest.mark.parametrize("length", [0, 3, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_that_cannot_be(server: Server, length: int) -> None:
    """Where the next message begins is unknown from here on, so the connection ends."""
    with Wire(server.pg_port) as connection:
        connection.send(b"Q" + struct.pack("!I", length) + b"x" * 100)
        # PostgreSQL tells its log only.
        if server.is_outcrop:
            assert connection.error()["C"] == "08P01"
        assert connection.is_closed()


@pytest.mark.outcrop_only
def test_an_oversized_message_is_refused_before_it_arrives(server: Server) -> None:
    with Wire(server.pg_port) as connection:
        connection.send(b"Q" + struct.pack("!I", (64 << 20) + 100))
        assert connection.error()["C"] == "08P01"
        assert connection.is_closed()


@pytest.mark.outcrop_only
def test_limits_of_a_statement(server: Server) -> None:
    with Wire(server.pg_port) as connection:
        connection.send(wire.query("SELECT '" + "x" * (17 << 20) + "'"))
        assert connection.error()["C"] == "54000"
    with server.connect() as connection:
        depth = 20_000
        with pytest.raises(psycopg.Error) as failure:
            connection.execute("SELECT " + "(" * depth + "1" + ")" * depth)
        assert failure.value.sqlstate in ("54001", "42601"), failure.value
        with pytest.raises(psycopg.Error) as failure:
            connection.execute(f'CREATE TABLE "{"n" * 200}" (a int PRIMARY KEY)')
        assert failure.value.sqlstate == "42622"


def test_random_messages(server: Server) -> None:
    """A conversation with bytes changed, cut and inserted. Whatever is answered, the next session works."""
    chance = random.Random(SEED)
    good = [
        wire.startup(),
        wire.query("SELECT * FROM things"),
        wire.parse("SELECT $1::text, $2::int", types=(25, 23)),
        wire.bind([b"hello", b"42"]),
        wire.message("D", b"P\0"),
        wire.execute(rows_max=1),
        wire.SYNC,
        wire.query("COPY (SELECT 1) TO STDOUT"),
        wire.TERMINATE,
    ]
    for _ in range(FUZZ_ROUNDS):
        with Wire(server.pg_port, is_started=False) as connection:
            data = bytearray(b"".join(good))
            start = len(good[0]) if chance.random() < 0.8 else 0
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(start, len(data))
                match chance.randrange(3):
                    case 0:
                        data[at] = chance.randrange(256)
                    case 1:
                        del data[at : at + chance.randint(1, 8)]
                    case _:
                        data[at:at] = chance.randbytes(chance.randint(1, 8))
            try:
                connection.send(bytes(data))
                connection.socket.shutdown(1)
            except OSError:
                pass
            assert connection.is_closed(), "the server waits for more from a client that hung up"
        assert server.is_running(), server.log_tail()


def test_a_client_that_vanishes_in_the_middle(server: Server) -> None:
    for data in [wire.query("SELECT * FROM things")[:-4], wire.query("SELECT count(*) FROM generate_series(1, 10000000)")]:
        with Wire(server.pg_port) as connection:
            connection.send(data)
    with Wire(server.pg_port) as connection:
        connection.send(wire.query("COPY things (id, name) FROM STDIN"))
        assert connection.until("G")[-1].kind == "G"
        connection.send(wire.message("d", b"50\tfifty\n"))
    assert server.sql("SELECT count(*) FROM things WHERE id = 50") == [(0,)]


@pytest.mark.parametrize(
    ("data", "options", "state", "where"),
    [
        ("3\tthree\t3\t3\tx\t2024-01-01\n4\n", "", "22P04", "line 2"),
        ("3\tthree\t3\t3\tx\t2024-01-01\textra\n", "", "22P04", "line 1"),
        ("3,three,1,1,x,2024-01-01\n4,four,1\n", "WITH (FORMAT csv)", "22P04", "line 2"),
        ("3,three,1,1,x,2024-01-01,more\n", "WITH (FORMAT csv)", "22P04", "line 1"),
        ('3,"open,1,1,x,2024-01-01\n', "WITH (FORMAT csv)", "22P04", "line"),
        ("3,x,1,1,x,2024-01-01\nfour,x,1,1,x,\n", "WITH (FORMAT csv)", "22P02", "line 2, column id"),
        ("3,x,1,1,x,2024-13-01\n", "WITH (FORMAT csv)", "22008", "line 1, column day"),
        ("3,x,1,1,long,\n", "WITH (FORMAT csv)", "22001", "line 1, column short"),
        ("3,x,1,1,x,\n3,y,1,1,x,\n", "WITH (FORMAT csv)", "23505", "line 2"),
        ("3,x,1,1,x,\n1,y,1,1,x,\n", "WITH (FORMAT csv)", "23505", "line 2"),
        ("3,,1,1,x,\n", "WITH (FORMAT csv)", "23502", "line 1"),
    ],
)
def test_copy_of_bad_lines_changes_nothing(server: Server, data: str, options: str, state: str, where: str) -> None:
    with server.connect() as connection, pytest.raises(psycopg.Error) as failure:
        with connection.cursor().copy(f"COPY things FROM STDIN {options}") as copy:
            copy.write(data)
    assert failure.value.sqlstate == state, failure.value
    # A duplicate is found when the rows are together, where lines are no longer known to Outcrop.
    if not state.startswith("23") or not server.is_outcrop:
        assert where in (failure.value.diag.context or ""), failure.value.diag.context


def test_copy_of_broken_utf8_changes_nothing(server: Server) -> None:
    with server.connect() as connection, pytest.raises(psycopg.Error) as failure:
        with connection.cursor().copy("COPY things (id, name) FROM STDIN") as copy:
            copy.write(b"3\tok\n4\t\xff\xfe\n")
    assert failure.value.sqlstate == "22021", failure.value


@pytest.mark.outcrop_only
def test_load_reports_each_rejected_line(server: OutcropServer, tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("id,name,amount\n1,one,1.5\n2,two\n3,three,3.5,more\n4,four,4.5\nfive,five,5.5\n6,six,6.5\n")
    server.sql("CREATE TABLE ragged (id bigint PRIMARY KEY, name text, amount double precision)")
    outcome = server.run("load", str(path), "--table", "ragged", "--pg", server.pg_address)
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    assert server.sql("SELECT id FROM ragged ORDER BY id") == [(1,), (4,), (6,)]
    report = outcome.stdout + outcome.stderr
    rejects = [rejected.read_text() for rejected in tmp_path.glob("ragged.csv.rejects*")]
    for line in (3, 4, 6):
        assert any(str(line) in text for text in [report, *rejects]), report
    assert "3" in report, "the number of rejected rows"
    server.sql("DROP TABLE ragged")


@pytest.mark.outcrop_only
def test_load_of_what_is_no_table(server: OutcropServer, tmp_path: Path) -> None:
    missing = server.run("load", str(tmp_path / "missing.csv"), "--table", "missing", "--pg", server.pg_address)
    assert missing.returncode == 1 and "missing.csv" in missing.stderr, missing.stderr
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    outcome = server.run("load", str(empty), "--table", "empty", "--pg", server.pg_address)
    assert outcome.returncode != 0 and "panicked" not in outcome.stderr, outcome.stderr
    good = tmp_path / "good.csv"
    good.write_text("id\n1\n")
    outcome = server.run("load", str(good), "--table", "good", "--pg", "127.0.0.1:1")
    assert outcome.returncode == 1 and "127.0.0.1:1" in outcome.stderr, outcome.stderr
