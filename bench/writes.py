"""Writes beside PostgreSQL and DuckDB: sustained upserts, single-row commits of many clients, and bulk loads from Parquet.

`cargo xtask bench upsert`, `… commits` and `… load` run it and it writes `bench/results/<suite>.md`. The defaults take
minutes; the numbers that are promised are those of `--rows 20000000 --seconds 600`.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "clients"))

from report import WORK, Results, machine, table  # noqa: E402
from systems import Outcrop, System, WireSystem, available  # noqa: E402

SEED = 42
BATCH_ROWS = 1_000
# Lists of values made before the clock runs; the keys beside them are drawn for each statement.
TEMPLATES = 64
SINGLE_ROW = (
    "\\set id random(0, {last})\n\\set user random(0, 9999)\n"
    "INSERT INTO accounts VALUES (:id, '2024-06-01 00:00:00+00', :user, 'view', 1.50, 0.5)\n"
    "ON CONFLICT (id) DO UPDATE SET seen = EXCLUDED.seen, owner = EXCLUDED.owner, kind = EXCLUDED.kind,"
    " amount = EXCLUDED.amount, score = EXCLUDED.score;\n"
)


@dataclass(frozen=True)
class Key:
    """A type of key: how DuckDB and Python write the one of the number `i`."""

    sql_type: str
    sql: str
    text: Callable[[int], str]


def scattered(i: int) -> str:
    return f"'{i * 2654435761 % 4294967296:08x}-0000-4000-8000-{i:012x}'"


KEYS = {
    "bigint": Key("bigint", "i", str),
    # As long as a UUID in text, and as scattered.
    "text": Key("text", "format('{:08x}-0000-4000-8000-{:012x}', i * 2654435761 % 4294967296, i)", scattered),
}


def accounts(key: Key) -> str:
    return f"""CREATE TABLE accounts (id {key.sql_type} PRIMARY KEY, seen timestamptz NOT NULL, owner int NOT NULL,
               kind text NOT NULL, amount numeric(12,2) NOT NULL, score double precision)"""


def account(key: Key, salt: int) -> str:
    """The columns of one account, from the number `i` and a salt: for every system the same."""
    return f"""{key.sql} AS id,
        CAST(TIMESTAMP '2024-01-01' + to_milliseconds(CAST(i * 500 + hash(i, {salt}) % 500 AS bigint)) AS varchar) || '+00' AS seen,
        hash(i, {salt} + 1) % 10000 AS owner,
        ['view', 'click', 'cart', 'purchase'][CAST(1 + hash(i, {salt} + 2) % 4 AS int)] AS kind,
        CAST((hash(i, {salt} + 3) % 100000) / 100.0 AS decimal(12, 2)) AS amount,
        round((hash(i, {salt} + 4) % 1000000) / 1000000.0, 6) AS score"""


class Upserts:
    """Statements of `BATCH_ROWS` different accounts, drawn uniformly; a client of its own makes each as it goes."""

    def __init__(self, system: System, key: Key, rows: int) -> None:
        self.key, self.rows = key, rows
        query = f"""SELECT n, string_agg(format(', ''{{}}'', {{}}, ''{{}}'', {{}}, {{}})', seen, owner, kind, amount, score), '|')
                    FROM (SELECT i // {BATCH_ROWS} AS n, * FROM (SELECT i, {account(key, 1)}
                          FROM range({TEMPLATES * BATCH_ROWS}) AS t(i))) GROUP BY n"""
        self.templates = [values.split("|") for _, values in duckdb.connect().execute(query).fetchall()]
        columns = ("seen", "owner", "kind", "amount", "score")
        assigned = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns)
        wire = ("INSERT INTO accounts VALUES ", f" ON CONFLICT (id) DO UPDATE SET {assigned}")
        self.head, self.tail = wire if isinstance(system, WireSystem) else ("INSERT OR REPLACE INTO accounts VALUES ", "")

    def __call__(self, client: int) -> Iterator[bytes]:
        chance, text = random.Random(SEED + client), self.key.text
        while True:
            for values in self.templates:
                step = chance.randrange(self.rows)
                while math.gcd(step, self.rows) != 1:
                    step += 1
                start = chance.randrange(self.rows)
                # Sorted, because PostgreSQL would deadlock otherwise.
                keys = sorted((start + place * step) % self.rows for place in range(BATCH_ROWS))
                rows = ", ".join(["(" + text(key) + value for key, value in zip(keys, values, strict=True)])
                yield (self.head + rows + self.tail).encode()


def measure_upserts(system: System, scratch: Path, options: argparse.Namespace, results: Results) -> None:
    key = KEYS[options.key]
    path = scratch / "accounts.csv"
    if not path.exists():
        query = f"SELECT {account(key, 0)} FROM range({options.rows}) AS t(i)"
        duckdb.connect().execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER)")
    seconds = system.load("accounts", accounts(key), path)
    results.add("load of the keys (COPY)", "rows/s", system, options.rows / seconds)
    system.settle()
    measure_engine(system, "before", options.rows, results)
    done = system.run_for(Upserts(system, key, options.rows), options.connections, options.seconds)
    quarter = options.seconds / 4
    rates = {
        f"upserts of {BATCH_ROWS:,} rows, {options.key} key": len(done) * BATCH_ROWS / options.seconds,
        "… in the first quarter of the time": sum(at < quarter for at in done) * BATCH_ROWS / quarter,
        "… in the last quarter of the time": sum(at >= 3 * quarter for at in done) * BATCH_ROWS / quarter,
    }
    for measure, rate in rates.items():
        results.add(measure, "rows/s", system, rate)
    measure_engine(system, "after", options.rows, results)
    found, _ = system.rows("SELECT count(*), count(DISTINCT id) FROM accounts")
    assert found == [(options.rows, options.rows)], found
    results.add("disk at the end", "MiB", system, system.bytes_on_disk() / (1 << 20))
    if isinstance(system, WireSystem):
        results.add("memory at the end", "MiB", system, system.resident_bytes() / (1 << 20))


def measure_engine(system: System, when: str, rows: int, results: Results) -> None:
    """What only Outcrop tells of itself."""
    if not isinstance(system, Outcrop):
        return
    results.add(f"compaction debt {when}", "MiB", system, system.metric("outcrop_compaction_debt_bytes") / (1 << 20))
    results.add(f"key index in memory {when}", "bytes/row", system, system.metric("outcrop_key_index_bytes") / rows)


def measure_commits(system: System, scratch: Path, options: argparse.Namespace, results: Results) -> None:
    path = scratch / "accounts.csv"
    if not path.exists():
        query = f"SELECT {account(KEYS['bigint'], 0)} FROM range({options.rows}) AS t(i)"
        duckdb.connect().execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER)")
    system.load("accounts", accounts(KEYS["bigint"]), path)
    system.settle()
    for clients in (1, 32):
        rate = system.rate(SINGLE_ROW, options.rows, clients) if isinstance(system, WireSystem) or clients == 1 else None
        results.add(f"upsert of one row, committed, {clients} client{'s' * (clients > 1)}", "commits/s", system, rate)


LINEITEM = {
    "l_orderkey": "bigint",
    "l_partkey": "bigint",
    "l_suppkey": "bigint",
    "l_linenumber": "int",
    "l_quantity": "numeric(15,2)",
    "l_extendedprice": "numeric(15,2)",
    "l_discount": "numeric(15,2)",
    "l_tax": "numeric(15,2)",
    "l_returnflag": "text",
    "l_linestatus": "text",
    "l_shipdate": "date",
    "l_commitdate": "date",
    "l_receiptdate": "date",
    "l_shipinstruct": "text",
    "l_shipmode": "text",
    "l_comment": "text",
}
# In the shape and the value ranges of TPC-H's table: four lines an order, in the order of their keys.
LINEITEMS = """SELECT CAST(i // 4 * 4 + 1 AS bigint) AS l_orderkey, CAST(1 + hash(i, 1) % 200000 AS bigint) AS l_partkey,
    CAST(1 + hash(i, 2) % 10000 AS bigint) AS l_suppkey, CAST(1 + i % 4 AS int) AS l_linenumber,
    CAST(1 + hash(i, 3) % 50 AS decimal(15,2)) AS l_quantity,
    CAST(900 + (hash(i, 4) % 10000000) / 100.0 AS decimal(15,2)) AS l_extendedprice,
    CAST((hash(i, 5) % 11) / 100.0 AS decimal(15,2)) AS l_discount, CAST((hash(i, 6) % 9) / 100.0 AS decimal(15,2)) AS l_tax,
    ['A', 'N', 'R'][CAST(1 + hash(i, 7) % 3 AS int)] AS l_returnflag, ['F', 'O'][CAST(1 + hash(i, 8) % 2 AS int)] AS l_linestatus,
    DATE '1992-01-02' + CAST(hash(i, 9) % 2500 AS int) AS l_shipdate,
    DATE '1992-01-31' + CAST(hash(i, 10) % 2460 AS int) AS l_commitdate,
    DATE '1992-01-04' + CAST(hash(i, 11) % 2550 AS int) AS l_receiptdate,
    ['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'][CAST(1 + hash(i, 12) % 4 AS int)] AS l_shipinstruct,
    ['AIR', 'MAIL', 'SHIP', 'TRUCK', 'RAIL', 'FOB', 'REG AIR'][CAST(1 + hash(i, 13) % 7 AS int)] AS l_shipmode,
    substr(md5(CAST(i AS varchar)) || ' ' || md5(CAST(i + 1 AS varchar)), 1, CAST(10 + hash(i, 14) % 34 AS int)) AS l_comment
    FROM range({rows}) AS t(i)"""


def measure_loads(system: System, scratch: Path, options: argparse.Namespace, results: Results) -> None:
    parquet, csv = scratch / "lineitem.parquet", scratch / "lineitem.csv"
    if not parquet.exists():
        connection = duckdb.connect()
        connection.execute(f"COPY ({LINEITEMS.format(rows=options.rows)}) TO '{parquet}' (FORMAT parquet)")
        connection.execute(f"COPY (FROM '{parquet}') TO '{csv}' (FORMAT csv, HEADER)")
    columns = ", ".join(f"{name} {kind}" for name, kind in LINEITEM.items())
    definition = f"CREATE TABLE lineitem ({columns}, PRIMARY KEY (l_orderkey, l_linenumber))"
    seconds = system.load_parquet("lineitem", definition, parquet)
    measure = "load of lineitem from Parquet (PostgreSQL: COPY of CSV)"
    if seconds is None:
        seconds = system.load("lineitem", definition, csv)
    results.add(measure, "rows/s", system, options.rows / seconds)
    question = "SELECT count(*), sum(l_extendedprice * (1 - l_discount)), max(l_comment) FROM lineitem"
    rows, _ = system.rows(question)
    results.agree(question, system, rows)
    results.add("disk", "MiB", system, system.bytes_on_disk() / (1 << 20))


SUITES: dict[str, Callable[[System, Path, argparse.Namespace, Results], None]] = {
    "upsert": measure_upserts,
    "commits": measure_commits,
    "load": measure_loads,
}
TITLES = {
    "upsert": "Sustained upserts",
    "commits": "Single rows, each committed",
    "load": "Bulk load",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table")
    parser.add_argument("--seconds", type=int, default=30, help="length of the upserts")
    parser.add_argument("--connections", type=int, default=4, help="connections that upsert")
    parser.add_argument("--key", choices=KEYS, default="bigint", help="type of the key that is upserted")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", help="measure only this system; may be given more than once")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    systems, notes = available()
    if options.only:
        systems = [system for system in systems if system.name in options.only]
    results, facts = Results(), machine()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-", dir=WORK) as scratch:
        for number in range(options.runs):
            for system in systems:
                print(f"run {number + 1} of {options.runs}: {system.name}", flush=True)
                directory = Path(scratch) / f"{system.name}-{number}"
                directory.mkdir()
                try:
                    system.open(directory)
                    SUITES[options.suite](system, Path(scratch), options, results)
                finally:
                    system.close()
                    shutil.rmtree(directory)
    for system in systems:
        facts[system.name] = system.version()
    output = options.output or HERE / "results" / f"{options.suite}{'-text' * (options.key == 'text')}.md"
    output.parent.mkdir(exist_ok=True)
    output.write_text(report(options, results, facts, notes))
    print(f"written: {output}")


def report(options: argparse.Namespace, results: Results, facts: dict[str, str], notes: list[str]) -> str:
    arguments = f"--rows {options.rows} --runs {options.runs}"
    if options.suite == "upsert":
        arguments += f" --seconds {options.seconds} --connections {options.connections} --key {options.key}"
    lines = [
        f"# {TITLES[options.suite]}",
        "",
        f"Medians of {options.runs} run{'s' * (options.runs > 1)} on {options.rows:,} rows, all systems in turn on the same machine. The ratios say how",
        "many times better Outcrop is.",
        "",
        "```sh",
        f"cargo xtask bench {options.suite} -- {arguments}",
        "```",
        "",
        *table(results),
        "",
        "## How it was measured",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        *(f"- {note}" for note in notes),
        "- Every commit is synced to disk. Clients run on the same cores as the server.",
    ]
    if options.suite == "upsert":
        lines += [
            f"- Statements of {BATCH_ROWS:,} different rows, their keys drawn uniformly from all, over {options.connections} connections to the servers (`ON",
            "  CONFLICT DO UPDATE` of all columns), over one to DuckDB (`INSERT OR REPLACE`), which has no more than one writer. The whole",
            "  interval counts, with whatever flushes and merges fall into it.",
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
