"""Outcrop beside PostgreSQL and DuckDB: the same data, statements and machine, in one run.

`cargo xtask bench` runs it and it writes `bench/results/compare.md`. Every answer is compared between the systems before
its time counts: a wrong answer ends the run.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "clients"))

from harness import flights  # noqa: E402
from report import WORK, Results, machine, table  # noqa: E402
from systems import POINT_READ, POINT_UPSERT, System, WireSystem, available, flight_table  # noqa: E402
from workload import EVENTS, FLIGHT_SCANS, SCANS, STAGE, UPSERT_STAGED, Scan, Workload  # noqa: E402

# Each query is asked so often in a run; the first time warms caches and does not count.
ASKS = 4

def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "compare.md")
    parser.add_argument("--only", action="append", help="measure only this system; may be given more than once")
    options = parser.parse_args()
    systems, notes = available()
    if options.only:
        systems = [system for system in systems if system.name in options.only]
    results = Results()
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-", dir=WORK) as scratch:
        workload = Workload(Path(scratch), options.rows)
        files = flights.files()
        for number in range(options.runs):
            for system in systems:
                print(f"run {number + 1} of {options.runs}: {system.name}", flush=True)
                directory = Path(scratch) / f"{system.name}-{number}"
                directory.mkdir()
                try:
                    system.open(directory)
                    measure(system, workload, files, results, facts)
                finally:
                    system.close()
                    shutil.rmtree(directory)
    for system in systems:
        facts[system.name] = system.version() + (f" ({facts.pop(system.name)})" if system.name in facts else "")
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(report(results, facts, notes, options))
    print(f"written: {options.output}")


def measure(system: System, workload: Workload, files: dict[str, Path], results: Results, facts: dict[str, str]) -> None:
    """One run of one system, from an empty directory to the end."""
    if isinstance(system, WireSystem):
        results.add("memory, idle after start", "MiB", system, system.resident_bytes() / (1 << 20))
    if system.name == "PostgreSQL":
        facts[system.name] = "Debian's default settings: " + ", ".join(
            f"{name} {value}" for name, value in system.settings().items()
        )
    seconds = system.load("events", EVENTS, workload.events)
    results.add("load events (COPY)", "rows/s", system, workload.rows / seconds)
    seconds = sum(system.load(table, flight_table(table), files[table]) for table in flights.KEYS)
    results.add("load the flights, five tables", "rows/s", system, sum(flights.ROWS.values()) / seconds)
    system.settle()
    results.add("disk, loaded", "MiB", system, system.bytes_on_disk() / (1 << 20))
    for scan in SCANS + FLIGHT_SCANS:
        ask(system, scan, "", results)
    for clients in (1, 8):
        rate = system.rate(POINT_READ, workload.rows, clients)
        results.add(f"point read by key, {clients} client{'s' * (clients > 1)}", "reads/s", system, rate)

    seconds = system.run(workload.upserts())
    results.add("upsert by key, 1,000 rows a statement", "rows/s", system, workload.upserted_rows() / seconds)
    seconds = system.upsert_staged(STAGE, workload.staged(), UPSERT_STAGED)
    results.add("upsert by key, one statement", "rows/s", system, workload.staged_rows() / seconds)
    seconds = system.run(workload.deletes())
    results.add("delete by key, 1,000 rows a statement", "rows/s", system, len(workload.deleted) / seconds)
    for scan in SCANS:
        ask(system, scan, ", 20 % updated and 10 % deleted", results)
    results.add("disk, changed", "MiB", system, system.bytes_on_disk() / (1 << 20))
    # The last, because how many rows they change depends on the speed.
    for clients in (1, 8):
        rate = system.rate(POINT_UPSERT, workload.rows, clients)
        results.add(f"upsert of one row, committed, {clients} client{'s' * (clients > 1)}", "rows/s", system, rate)
    if isinstance(system, WireSystem):
        results.add("memory, at the end", "MiB", system, system.resident_bytes() / (1 << 20))


def ask(system: System, scan: Scan, stage: str, results: Results) -> None:
    times = []
    for _ in range(ASKS):
        rows, seconds = system.rows(scan.sql)
        times.append(seconds)
    results.agree(scan.name + stage, system, rows)
    results.add(scan.name + stage, "ms", system, statistics.median(times[1:]) * 1000)


def report(results: Results, facts: dict[str, str], notes: list[str], options: argparse.Namespace) -> str:
    lines = [
        "# Outcrop beside PostgreSQL and DuckDB",
        "",
        f"Medians of {options.runs} run{'s' * (options.runs > 1)} on {options.rows:,} events and the flights of New York City 2013;",
        "all systems in turn on the same machine, each from an empty directory. The ratios say how many times better Outcrop is:",
        "above 1 it is ahead, below 1 behind.",
        "",
        "Repeat it with",
        "",
        "```sh",
        f"cargo xtask bench -- --rows {options.rows} --runs {options.runs}",
        "```",
        "",
        *table(results),
    ]
    lines += ["", "## How it was measured", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- {note}" for note in notes]
    lines += [
        "- Every commit is synced to disk in all three systems, as they do by default.",
        "- Outcrop and PostgreSQL are servers and have the same clients: psycopg for loads, scans and batches, `pgbench` with prepared",
        "  statements for single rows. DuckDB runs inside the client: no bytes cross a socket, and there is one client.",
        "- All tables have their primary key in all systems. PostgreSQL gets `VACUUM ANALYZE` after the load, nothing after the changes;",
        "  the other two have no such step.",
        f"- Each query is asked {ASKS} times in a run; the first does not count, the median of the others does. Every answer is compared",
        "  between the systems.",
        "- `–`: the system has no such thing.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
