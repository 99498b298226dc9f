"""`run_oracle.py --seed 1 --seconds 600`: runs cases until the time is over, prints what failed and what ran."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from harness.servers import OutcropServer, PostgresServer, serving

from . import CONFIG
from .campaign import Case, Finding
from .engines import Engine
from .judges import Counts, Engines


def main() -> int:
    options = argparse.ArgumentParser(prog="oracle", description=__doc__)
    options.add_argument("--seed", type=int, default=1, help="the first seed")
    options.add_argument("--cases", type=int, default=0, help="how many seeds; 0 for as many as there is time")
    options.add_argument("--seconds", type=float, default=0, help="how long; one case without")
    options.add_argument("--only", default="", help="the one query of the case to run, such as 2.q7")
    options.add_argument("--findings", type=int, default=50, help="stop after so many")
    options.add_argument("--no-reduce", action="store_true")
    options.add_argument("--restart-percent", type=int, default=5, help="cases in which the server restarts")
    chosen = options.parse_args()
    cases = chosen.cases or (0 if chosen.seconds else 1)
    with tempfile.TemporaryDirectory() as directory:
        outcrop = OutcropServer(made(directory, "outcrop"), config=CONFIG)
        postgres = PostgresServer(made(directory, "postgres"))
        with serving(outcrop), serving(postgres):
            return run(outcrop, postgres, chosen, cases)


def made(directory: str, name: str) -> Path:
    path = Path(directory) / name
    path.mkdir()
    return path


def run(outcrop: OutcropServer, postgres: PostgresServer, chosen: argparse.Namespace, cases: int) -> int:
    counts = Counts()
    engines = Engines(Engine(outcrop.conninfo()), Engine(postgres.conninfo()))
    findings: list[Finding] = []
    begin = time.monotonic()
    seed = chosen.seed
    seen: set[str] = set()

    def restart() -> None:
        engines.outcrop.close()
        outcrop.restart()
        engines.outcrop = Engine(outcrop.conninfo())

    while (cases == 0 or seed < chosen.seed + cases) and (not chosen.seconds or time.monotonic() - begin < chosen.seconds):
        may_restart = restart if seed % 100 < chosen.restart_percent else None
        case = Case(seed, engines, counts, may_restart, chosen.only, not chosen.no_reduce, seen)
        for finding in case.run():
            findings.append(finding)
            print(finding, flush=True)
        counts["cases"] += 1
        seed += 1
        if len(findings) >= chosen.findings:
            break
    seconds = time.monotonic() - begin
    for name, count in sorted(counts.items()):
        print(f"{count:>10} {name}")
    ran = f"{counts['oracle queries']} queries and {counts['changes']} changes explored in {seconds:.0f} s"
    print(f"soak oracles: {ran}, seeds {chosen.seed} to {seed - 1}, {len(findings)} failed")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
