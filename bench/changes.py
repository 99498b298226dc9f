"""What changes cost: how soon they are seen, what dead rows cost scans, how long a start takes, what space is kept.

`cargo xtask bench visible`, `… dead-rows`, `… recovery` and `… space` run it and it writes `bench/results/<suite>.md`.
Promises of Outcrop to itself: there is no peer here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import psycopg

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "clients"))

from harness.servers import POSTGRES_PROGRAMS, OutcropServer  # noqa: E402
from report import WORK, Results, machine, table  # noqa: E402
from systems import Outcrop, directory_bytes  # noqa: E402
from writes import KEYS, SINGLE_ROW, Upserts, account, accounts  # noqa: E402

MIB = 1 << 20
SEED = 42


class Run:
    """One server with an empty directory, and where its figures go."""

    def __init__(self, directory: Path, options: argparse.Namespace, results: Results, config: str = "") -> None:
        self.system = Outcrop()
        self.results = results
        self.options = options
        self.server = OutcropServer(directory, config=config)
        self.system.server = self.server

    def __enter__(self) -> Run:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.server.is_running():
            self.server.stop()
        self.server.close()

    def add(self, measure: str, unit: str, value: float) -> None:
        self.results.add(measure, unit, self.system, value)

    def load_accounts(self, rows: int) -> None:
        path = self.server.directory / "accounts.csv"
        duckdb.connect().execute(f"COPY (SELECT {account(KEYS['bigint'], 0)} FROM range({rows}) AS t(i)) TO '{path}' (FORMAT csv, HEADER)")
        with self.server.connect() as connection:
            connection.execute(accounts(KEYS["bigint"]))
        outcome = self.server.run("load", str(path), "--table", "accounts", "--pg", self.server.pg_address)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        path.unlink()

    def settle(self) -> None:
        """Waits until no rewrite of segments is due or under way."""
        done, quiet = -1, 0
        while quiet < 3:
            time.sleep(1)
            debt, now = (self.server.metric(f"outcrop_{name}") for name in ("compaction_debt_bytes", "compactions_total"))
            quiet = quiet + 1 if debt == 0 and now == done else 0
            done = now


# How soon a change is seen.

COMMIT_ROWS = 200
COMMITS_A_SECOND = 100
WRITERS = 2


def measure_visible(directory: Path, options: argparse.Namespace, results: Results) -> None:
    with Run(directory, options, results) as run:
        run.load_accounts(options.rows)
        run.settle()
        probe(run, 1_000_000, "")
        script = run.server.directory / "single.sql"
        script.write_text(SINGLE_ROW.format(last=options.rows - 1))
        load = subprocess.Popen(
            [
                *(str(POSTGRES_PROGRAMS / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={script}", "--client=32"),
                *("--jobs=2", f"--time={options.seconds + 3}", "--rate=5000", "--random-seed=1", run.server.conninfo()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        probe(run, 2_000_000, ", beside 5,000 single-row commits/s")
        output, _ = load.communicate()
        found = next(line for line in output.splitlines() if line.startswith("tps = "))
        run.add("single-row commits beside it, in truth", "commits/s", float(found.split()[2]))


def probe(run: Run, base: int, beside: str) -> None:
    """Commits at fixed times, whatever the answers take; a reader asks for the row that the next one changes.

    Each writer numbers its commits from `base` in a row of its own, so that those of an earlier probe are not taken for new.
    """
    commits = run.options.seconds * COMMITS_A_SECOND
    context = multiprocessing.get_context("fork")
    begin = time.perf_counter() + 1
    processes, ends = [], []
    for number in range(WRITERS):
        end, other = context.Pipe()
        work = (run.server.conninfo(), range(number, commits, WRITERS), base, begin, run.options.rows, other)
        processes.append(context.Process(target=write_on_time, args=work))
        ends.append(end)
    end, other = context.Pipe()
    processes.append(context.Process(target=see_each, args=(run.server.conninfo(), commits, base, other)))
    ends.append(end)
    for process in processes:
        process.start()
    *answers, seen = [end.recv() for end in ends]
    for process in processes:
        process.join()
    acknowledged = {number: at for answer in answers for number, at in answer}
    due = [begin + number / COMMITS_A_SECOND for number in range(commits)]
    times = {
        "due → acknowledged": [acknowledged[number] - due[number] for number in range(commits)],
        "due → seen by a reader": [seen[number] - due[number] for number in range(commits)],
        "acknowledged → seen by a reader": [seen[number] - acknowledged[number] for number in range(commits)],
    }
    for name, values in times.items():
        for percent in (50, 99):
            run.add(f"{name}{beside}: p{percent}", "ms", statistics.quantiles(values, n=100)[percent - 1] * 1000)


def write_on_time(conninfo: str, numbers: range, base: int, begin: float, rows: int, answer: Connection) -> None:
    chance = random.Random(SEED + numbers.start)
    done = []
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for number in numbers:
            keys = [numbers.start, *(key + WRITERS for key in chance.sample(range(rows - WRITERS), COMMIT_ROWS - 1))]
            values = ", ".join(f"({key}, '2024-06-01 00:00:00+00', 1, 'view', 1.50, {base + number})" for key in keys)
            statement = (
                f"INSERT INTO accounts VALUES {values} ON CONFLICT (id) DO UPDATE SET seen = EXCLUDED.seen, owner = EXCLUDED.owner,"
                " kind = EXCLUDED.kind, amount = EXCLUDED.amount, score = EXCLUDED.score"
            )
            time.sleep(max(0.0, begin + number / COMMITS_A_SECOND - time.perf_counter()))
            connection.execute(statement.encode())
            done.append((number, time.perf_counter()))
    answer.send(done)


def see_each(conninfo: str, commits: int, base: int, answer: Connection) -> None:
    seen = []
    with psycopg.connect(conninfo, autocommit=True, prepare_threshold=0) as connection:
        last = [0.0] * WRITERS
        for number in range(commits):
            writer = number % WRITERS
            while last[writer] < base + number:
                row = connection.execute("SELECT score FROM accounts WHERE id = %s", (writer,)).fetchone()
                assert row is not None
                last[writer] = row[0]
            seen.append(time.perf_counter())
    answer.send(seen)


# What dead rows cost.

SCANS = {
    "sum of a numeric": "SELECT count(*), sum(amount) FROM accounts",
    "groups of a text": "SELECT kind, count(*), avg(score) FROM accounts GROUP BY kind ORDER BY kind",
    "filter on an integer": "SELECT count(*), max(seen) FROM accounts WHERE owner BETWEEN 1000 AND 1999",
    "groups of an integer": "SELECT owner, sum(amount) FROM accounts GROUP BY owner ORDER BY 2 DESC, 1 LIMIT 5",
}
REPEATS = 11


def measure_dead_rows(directory: Path, options: argparse.Namespace, results: Results) -> None:
    with Run(directory, options, results, "[engine]\ncompaction_bytes_target = '24MiB'\n") as run:
        run.load_accounts(options.rows)
        run.settle()
        segments = run.server.metric("outcrop_segments")
        run.add("rows of a segment", "rows", run.server.metric("outcrop_segment_rows") / segments)
        before = scan_times(run)
        run.server.sql("DELETE FROM accounts WHERE id % 10 = 3")
        run.settle()
        dead = run.server.metric("outcrop_dead_rows") / run.server.metric("outcrop_segment_rows")
        assert run.server.metric("outcrop_segments") == segments, "a compaction has taken dead rows out"
        run.add("dead rows", "%", 100 * dead)
        after = scan_times(run)
        for name in SCANS:
            run.add(f"{name}: clean", "ms", before[name])
            run.add(f"{name}: with dead rows", "ms", after[name])
            run.add(f"{name}: slow-down", "%", 100 * (after[name] / before[name] - 1))


def scan_times(run: Run) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in SCANS}
    with run.server.connect() as connection:
        for _ in range(REPEATS):
            for name, query in SCANS.items():
                begin = time.perf_counter()
                connection.execute(query).fetchall()
                times[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


# How long a start takes.

SEGMENT_TABLES = 200


def measure_recovery(directory: Path, options: argparse.Namespace, results: Results) -> None:
    # The one row of an idle table holds the whole log back; what is beside it is flushed as always.
    config = f"[engine]\nlog_bytes_max = '{2 * options.log_mib}MiB'\nflush_age_max = '1h'\n"
    with Run(directory, options, results, config) as run:
        run.server.sql("CREATE TABLE idle (id int PRIMARY KEY)")
        run.server.sql("INSERT INTO idle VALUES (1)")
        run.load_accounts(options.rows)
        statements = Upserts(run.system, KEYS["bigint"], options.rows)
        while run.server.metric("outcrop_log_bytes") < options.log_mib * MIB:
            run.system.run_for(statements, 4, 5)
        run.add("log to replay", "MiB", run.server.metric("outcrop_log_bytes") / MIB)
        run.add("rows in memory", "MiB", run.server.metric("outcrop_memtable_bytes") / MIB)
        run.server.kill9()
        run.add("start after kill -9", "s", run.server.start())
        assert run.server.sql("SELECT count(*) FROM accounts") == [(options.rows,)]
        run.server.stop()
        run.add("start after a clean stop", "s", run.server.start())
    shutil.rmtree(directory)
    directory.mkdir()
    with Run(directory, options, results, "[engine]\nflush_rows_max = 5000\n") as run:
        with run.server.connect() as connection:
            for number in range(SEGMENT_TABLES):
                connection.execute(f"CREATE TABLE t{number} (id int PRIMARY KEY, note text)")
                connection.execute(f"INSERT INTO t{number} SELECT i, 'note ' || i FROM generate_series(1, 10000) AS g(i)")
        while run.server.metric("outcrop_segments") < SEGMENT_TABLES:
            time.sleep(0.1)
        run.server.stop()
        seconds = run.server.start()
        assert run.server.metric("outcrop_segments") == SEGMENT_TABLES
        run.add(f"start with {SEGMENT_TABLES} tables and as many segments after a clean stop", "s", seconds)


# What space is kept.

REWRITES = 5


def measure_space(directory: Path, options: argparse.Namespace, results: Results) -> None:
    with Run(directory, options, results) as run:
        run.load_accounts(options.rows)
        run.settle()
        run.add("loaded", "MiB", space(run))
        for salt in range(1, REWRITES + 1):
            rewrite(run, salt)
        run.add(f"after {REWRITES} rewrites", "MiB", space(run))
        run.settle()
        settled = space(run)
        run.add("settled", "MiB", settled)
        assert run.server.sql("SELECT count(*), count(DISTINCT id) FROM accounts") == [(options.rows, options.rows)]
        run.server.sql("SELECT outcrop.compact('accounts')")
        run.settle()
        live = space(run)
        run.add("live rows alone", "MiB", live)
        run.add("settled, to live rows alone", "×", settled / live)


def rewrite(run: Run, salt: int) -> None:
    """Every row once, in random order, in statements of 1,000."""
    statements = Upserts(run.system, KEYS["bigint"], run.options.rows)
    step, start = 7_368_787, salt * 1_000_003
    assert run.options.rows % step and run.options.rows % 1000 == 0
    with run.server.connect() as connection:
        for number in range(run.options.rows // 1000):
            keys = [(start + place * step) % run.options.rows for place in range(number * 1000, number * 1000 + 1000)]
            values = statements.templates[(number + salt) % len(statements.templates)]
            rows = ", ".join([f"({key}{value}" for key, value in zip(keys, values, strict=True)])
            connection.execute((statements.head + rows + statements.tail).encode())


def space(run: Run) -> float:
    data = run.server.data
    return (directory_bytes(data) - directory_bytes(data / "log")) / MIB


SUITES: dict[str, Callable[[Path, argparse.Namespace, Results], None]] = {
    "visible": measure_visible,
    "dead-rows": measure_dead_rows,
    "recovery": measure_recovery,
    "space": measure_space,
}
TITLES = {
    "visible": "How soon a change is seen",
    "dead-rows": "What dead rows cost scans",
    "recovery": "How long a start takes",
    "space": "Space after rewrites",
}
NOTES = {
    "visible": [
        f"{COMMITS_A_SECOND} statements a second of {COMMIT_ROWS} upserted rows, at fixed times whatever the answers take (open loop), over {WRITERS} connections; a reader asks for one row by its key",
        "until the version of the next commit is there. An answer comes after the sync that carried its commit, so \"acknowledged → seen\" is the time since that sync, less the way of the answer;",
        "below zero: the reader had the row before the writer had its answer.",
    ],
    "dead-rows": [f"Medians of {REPEATS} repetitions in each run; every tenth row was deleted, evenly over all segments."],
    "recovery": ["An idle table with one row in memory holds the log back; the other table is upserted and flushed as always. A start ends with the ready line."],
    "space": ["All files but the log, whose size `engine.log_bytes_max` bounds. Every rewrite upserts all rows in another random order."],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the table")
    parser.add_argument("--seconds", type=int, default=20, help="length of each probe of the suite visible")
    parser.add_argument("--log-mib", type=int, default=2048, help="log that the suite recovery replays")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    results, facts = Results(), machine()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-", dir=WORK) as scratch:
        for number in range(options.runs):
            print(f"run {number + 1} of {options.runs}", flush=True)
            directory = Path(scratch) / str(number)
            directory.mkdir()
            SUITES[options.suite](directory, options, results)
            shutil.rmtree(directory)
    facts["Outcrop"] = Outcrop().version()
    output = options.output or HERE / "results" / f"{options.suite}.md"
    output.parent.mkdir(exist_ok=True)
    output.write_text(report(options, results, facts))
    print(f"written: {output}")


def report(options: argparse.Namespace, results: Results, facts: dict[str, str]) -> str:
    arguments = f"--rows {options.rows} --runs {options.runs}"
    if options.suite == "visible":
        arguments += f" --seconds {options.seconds}"
    if options.suite == "recovery":
        arguments += f" --log-mib {options.log_mib}"
    return "\n".join([
        f"# {TITLES[options.suite]}",
        "",
        f"Medians of {options.runs} run{'s' * (options.runs > 1)} on {options.rows:,} rows.",
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
        "- Every commit is synced to disk. Clients run on the same cores as the server.",
        *(f"{'- ' if index == 0 else '  '}{line}" for index, line in enumerate(NOTES[options.suite])),
        "",
    ])


if __name__ == "__main__":
    main()
