"""`outcrop load`, `outcrop sql` and `outcrop demo` as programs: formats, rejected rows, upserts, pipes, TLS."""

from __future__ import annotations

import csv
import gzip
import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from test_auth import make_certificate

from harness.servers import OutcropServer, clean_environment, program, serving

pytestmark = pytest.mark.outcrop_only

ROWS = 5_000


def outcrop(server: OutcropServer, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[str]:
    outcome = subprocess.run(
        [program(), *arguments, "--pg", f"127.0.0.1:{server.pg_port}"],
        input=data,
        capture_output=True,
        timeout=300,
        env=clean_environment(),
        cwd=server.directory,
    )
    return subprocess.CompletedProcess(outcome.args, outcome.returncode, outcome.stdout.decode(), outcome.stderr.decode())


def documents(count: int = ROWS) -> list[dict]:
    chance = random.Random(7)
    return [
        {"id": number, "name": f"näme {number}", "price": chance.randint(0, 10**6) / 4, "tags": ["a", number % 3], "on": bool(number % 2)}
        for number in range(count)
    ]


def ndjson(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.mark.parametrize("packed", ["plain", "gz", "zst", "pipe", "pipe of gz"])
def test_ndjson(server: OutcropServer, packed: str) -> None:
    table = "ndjson_" + packed.replace(" ", "_")
    text = ndjson(documents())
    path = server.directory / f"{table}.ndjson"
    path.write_bytes(text)
    data = None
    match packed:
        case "gz":
            # Two members, as log rotation makes them.
            path = path.with_suffix(".ndjson.gz")
            path.write_bytes(gzip.compress(text[:1000]) + gzip.compress(text[1000:]))
        case "zst":
            assert shutil.which("zstd"), "zstd is not installed"
            subprocess.run(["zstd", "-q", "-f", str(path)], check=True)
            path = path.with_suffix(".ndjson.zst")
        case "pipe":
            path, data = Path("-"), text
        case "pipe of gz":
            path, data = Path("-"), gzip.compress(text)
    arguments = ["--format", "ndjson"] if data else []
    outcome = outcrop(server, "load", str(path), "--table", table, "--key", "id", *arguments, "--sample", "100", data=data)
    assert outcome.returncode == 0, outcome.stderr
    assert f"{ROWS:,} rows stored" in outcome.stderr
    found = server.sql(f'SELECT id, name, price::float8, tags, "on" FROM {table} ORDER BY id')
    assert found == [tuple(row.values()) for row in documents()]


def test_parquet(server: OutcropServer) -> None:
    path = server.directory / "typed.parquet"
    duckdb.sql(
        f"""COPY (SELECT i::bigint AS id, (i % 100)::smallint AS small, 'n' || i AS name, i / 7.0 AS ratio,
            (i / 4.0)::decimal(12,2) AS price, date '2024-01-01' + (i % 365)::int AS day, i % 2 = 0 AS even,
            timestamptz '2024-01-01 00:00:00+00' + i * interval 1 second AS moment, [i, NULL] AS list,
            {{'a': i, 'b': 'x'}} AS doc, CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS gap
            FROM range({ROWS}) t(i)) TO '{path}' (FORMAT parquet)"""
    )
    outcome = outcrop(server, "load", str(path), "--table", "typed", "--key", "id")
    assert outcome.returncode == 0, outcome.stderr
    types = dict(server.sql("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'typed'"))
    assert types["small"] == "smallint" and types["price"] == "numeric" and types["list"] == "ARRAY" and types["doc"] == "jsonb"
    totals = "count(*), sum(id)::bigint, sum(small)::bigint, max(name), sum(price), max(day), count(gap), max(moment)"
    (expected,) = duckdb.sql(f"SELECT {totals} FROM '{path}'").fetchall()
    assert server.sql(f"SELECT {totals} FROM typed") == [expected]
    assert server.sql("SELECT list, doc, ratio FROM typed WHERE id = 77") == [([77, None], {"a": 77, "b": "x"}, 11.0)]
    refused = outcrop(server, "load", "-", "--format", "parquet", "--table", "typed", data=path.read_bytes())
    assert refused.returncode == 1 and "pipe" in refused.stderr, refused.stderr


def test_rejected_rows_are_kept_with_line_and_reason(server: OutcropServer) -> None:
    server.sql("CREATE TABLE narrow (id int PRIMARY KEY, name varchar(5) NOT NULL, day date)")
    server.sql("INSERT INTO narrow VALUES (1, 'there')")
    path = server.directory / "narrow.csv"
    lines = ["id,name,day", "1,again,", "2,good,2024-01-01", "x,bad,", "3,too long,", "4,,", "5,short", '6,"a\nb",', "7,bad,2024-13-01", "2,twice,"]
    path.write_text("\n".join(lines) + "\n")
    outcome = outcrop(server, "load", str(path), "--table", "narrow")
    assert outcome.returncode == 2, outcome.stderr
    assert server.sql("SELECT id, name FROM narrow ORDER BY id") == [(1, "there"), (2, "good"), (6, "a\nb")]
    with Path(f"{path}.rejects").open(newline="") as file:
        rejects = {int(row["line"]): (row["reason"], row["row"]) for row in csv.DictReader(file)}
    assert sorted(rejects) == [2, 4, 5, 6, 7, 10, 11]
    assert "key is there already" in rejects[2][0] and rejects[2][1] == "1,again,"
    assert "column id" in rejects[4][0] and "too long" in rejects[5][0] and "NULL" in rejects[6][0]
    assert "2 cells" in rejects[7][0] and "column day" in rejects[10][0]
    assert "key is there already" in rejects[11][0]


def test_many_duplicates_are_rejected_at_once(server: OutcropServer) -> None:
    """Every second row is there already: one statement tells, not one for each row."""
    server.sql("CREATE TABLE halves (id int PRIMARY KEY, n int)")
    server.sql("INSERT INTO halves SELECT i, 0 FROM generate_series(0, 39998, 2) g(i)")
    path = server.directory / "halves.csv"
    path.write_text("id,n\n" + "".join(f"{number},1\n" for number in range(40_000)))
    before = newest_commit(server)
    outcome = outcrop(server, "load", str(path), "--table", "halves", "--rejects-max", "20000")
    assert outcome.returncode == 2 and "20,000 rows rejected" in outcome.stderr, outcome.stderr
    assert server.sql("SELECT count(*), sum(n) FROM halves") == [(40_000, 20_000)]
    assert len(Path(f"{path}.rejects").read_text().splitlines()) == 20_001
    assert newest_commit(server) - before == 1
    gave_up = outcrop(server, "load", str(path), "--table", "halves", "--rejects-max", "10")
    assert gave_up.returncode == 1 and "gave up" in gave_up.stderr, gave_up.stderr


def newest_commit(server: OutcropServer) -> int:
    with server.connect() as connection:
        connection.execute("SELECT count(*) FROM halves")
        (position,) = connection.execute("SHOW outcrop.commit_seq").fetchone() or ("",)
    return int(position.rpartition("-")[2])


def test_upsert_replaces_rows(server: OutcropServer) -> None:
    path = server.directory / "upsert.csv"
    path.write_text("id,name\n1,one\n2,two\n")
    assert outcrop(server, "load", str(path), "--table", "upserted", "--key", "id").returncode == 0
    outcome = outcrop(server, "load", "-", "--format", "csv", "--table", "upserted", "--upsert", data=b"id,name\n2,TWO\n3,three\n3,THREE\n")
    assert outcome.returncode == 0, outcome.stderr
    assert server.sql("SELECT * FROM upserted ORDER BY id") == [(1, "one"), (2, "TWO"), (3, "THREE")]
    for data, why in [(b"id\n1\n", 'no column "name"'), (b"id,other\n1,2\n", 'no column "other"')]:
        refused = outcrop(server, "load", "-", "--format", "csv", "--table", "upserted", "--upsert", data=data)
        assert refused.returncode == 1 and why in refused.stderr, refused.stderr
    refused = outcrop(server, "load", str(path), "--table", "keyless", "--upsert")
    assert refused.returncode == 1 and "--key" in refused.stderr, refused.stderr


def test_sql_command(server: OutcropServer) -> None:
    outcome = outcrop(server, "sql", "-c", "SELECT 1 AS one, NULL AS nothing, 'ä' AS text", "-c", "CREATE TABLE by_shell (id int)")
    assert outcome.returncode == 0, outcome.stderr
    assert "one" in outcome.stdout and "ä" in outcome.stdout and "CREATE TABLE" in outcome.stdout
    piped = outcrop(server, "sql", data=b"INSERT INTO by_shell VALUES (1), (2);\nSELECT count(*) AS n FROM by_shell;\n")
    assert piped.returncode == 0 and "2" in piped.stdout, piped.stderr
    failed = outcrop(server, "sql", "-c", "SELECT nothing")
    assert failed.returncode == 1 and 'column "nothing" does not exist' in failed.stderr and "^" in failed.stderr


def test_tls(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    certificate, key = make_certificate(server.directory)
    config = server.directory / "outcrop.toml"
    config.write_text(f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    server.arguments += ["--config", str(config)]
    other = server.directory / "other"
    other.mkdir()
    stranger, _ = make_certificate(other)

    def ask(address: str) -> subprocess.CompletedProcess[str]:
        return server.run("sql", "-c", "SELECT 1 AS one", "--pg", address)

    with serving(server):
        url = f"postgres://localhost:{server.pg_port}/outcrop"
        for good in [
            f"{url}?sslmode=require",
            f"{url}?sslmode=verify-full&sslrootcert={certificate}",
            f"host=127.0.0.1 port={server.pg_port} sslmode=verify-ca sslrootcert={certificate}",
            f"{url}?sslmode=disable",
            f"127.0.0.1:{server.pg_port}",
        ]:
            outcome = ask(good)
            assert outcome.returncode == 0, (good, outcome.stderr)
        for bad, why in [
            (f"{url}?sslmode=verify-full&sslrootcert={stranger}", "certificate"),
            (f"{url}?sslmode=verify-ca&sslrootcert={stranger}", "certificate"),
            (f"host=wrong.example hostaddr=127.0.0.1 port={server.pg_port} sslmode=verify-full sslrootcert={certificate}", "certificate"),
            (f"{url}?sslmode=verify-full", "sslrootcert"),
            (f"{url}?sslmode=sometimes", "sslmode"),
        ]:
            outcome = ask(bad)
            assert outcome.returncode == 1 and why in outcome.stderr, (bad, outcome.stderr)


def test_demo_without_terminal(tmp_path: Path) -> None:
    arguments = ["demo", "--for", "5", "--pg-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    outcome = subprocess.run([program(), *arguments], capture_output=True, text=True, timeout=120, env=clean_environment(), cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "connect with: psql" in outcome.stdout and "\x1b" not in outcome.stdout, outcome.stdout
    assert list(tmp_path.iterdir()) == []
