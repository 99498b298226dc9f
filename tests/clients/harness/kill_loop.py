"""Kills a server again and again while actors write, and compares what is there with what they know.

A round is one life of the server: start, check, load, kill. By hand, without end or for some minutes:

    cd tests/clients && OUTCROP_BINARY=... python -m harness.kill_loop --seed 7 --minutes 10

The last line says how many kills there were. A failure names the seed and keeps the directory.
"""

from __future__ import annotations

import argparse
import collections
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from harness import marks
from harness.actors import TABLES, Actor, Load, all_actors, schema
from harness.servers import STOP_SECONDS_MAX, OutcropServer, ServerFailed, program

# Longest life of a server under load, and longest wait for a mark.
LIFE_SECONDS = 0.5
MARK_SECONDS = 1.0
WANTED_MARK_SECONDS = 120.0
# So often everything is checked by `outcrop check`, and so often the directory is a new one.
CHECK_ROUNDS = 20
DIRECTORY_ROUNDS = 60
START_KILL_SECONDS = 0.15

# Small limits, so that a short life meets flushes, checkpoints, merges, rotation of the log and staged statements.
CONFIG = """
[engine]
flush_rows_max = {rows}
flush_age_max = "{age}ms"
log_file_bytes = "1MiB"
log_bytes_max = "2MiB"
commit_inline_bytes_max = "{inline}KiB"
compaction_dead_percent = {dead}
retention_interval = "{retention}ms"
"""


class KillLoop:
    """One directory after another, one life after another. The same seed draws the same rounds."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.seed = seed
        self.marked = marks.in_binary(program())
        self.round = 0
        self.kills: collections.Counter[str] = collections.Counter()
        """How servers ended: at random, in a start, in a stop, or by the name of a mark."""
        self.restarts: list[float] = []
        self.acknowledged = 0
        self._chance = random.Random(seed)
        self._new_directory()

    def run_round(self, mark: str | None = None) -> None:
        """One life, which ends at `mark` if that comes, else as drawn."""
        self.round += 1
        if self.round % DIRECTORY_ROUNDS == 0 or mark in marks.CREATING:
            self._new_directory()
            if mark is None and self.marked and self._chance.random() < 0.5:
                mark = self._chance.choice(marks.CREATING)
        end = mark or self._draw_end()
        nth = 1 + int(self._chance.expovariate(0.5)) if mark is None else 1
        settings, writers = marks.SOON.get(end.partition("/")[0], ({}, []))
        self._configure(settings)
        actors = [actor for actor in self.actors if mark is None or not writers or actor.name in writers]
        if end == "start":
            end = self._die_in_start()
        elif self._start(f"{end}:{nth}" if "/" in end else None) and self._check():
            end = self._die(end, actors, MARK_SECONDS if mark is None else WANTED_MARK_SECONDS)
        self.kills[end] += 1
        self.acknowledged = sum(actor.acknowledged for actor in self.actors) + self._acknowledged_before
        self.server.assert_log_is_clean()
        if self.round % CHECK_ROUNDS == 0:
            self.server.assert_check_is_clean()

    def finish(self) -> None:
        """A last life that nothing ends, and a look at everything."""
        self._start(None)
        if not self._check():
            raise AssertionError("the server ended by itself")
        self.server.stop()
        self.server.assert_check_is_clean()

    def close(self) -> None:
        self.server.close()

    @property
    def total(self) -> int:
        return sum(self.kills.values())

    def summary(self) -> str:
        """Figures of the loop."""
        slowest = max(self.restarts, default=0)
        median = statistics.median(self.restarts) if self.restarts else 0
        at_marks = sum(count for end, count in self.kills.items() if "/" in end)
        return (
            f"{self.total} kills ({at_marks} at {sum('/' in end for end in self.kills)} marks, {self.kills['start']} in a start, "
            f"{self.kills['stop']} in a stop), {self.acknowledged} acknowledged statements, "
            f"start {median:.2f} s median, {slowest:.2f} s at most"
        )

    def _new_directory(self) -> None:
        if self.round > 0:
            self.finish()
            self._acknowledged_before = self.acknowledged
            self.server.close()
        else:
            self._acknowledged_before = 0
        place = self.directory / f"round-{self.round}"
        place.mkdir()
        self.server = OutcropServer(place, config="# drawn for each life\n")
        self.actors = all_actors()
        self._has_tables = False

    def _draw_end(self) -> str:
        ends, weights = ["random", "start", "stop"], [4, 1, 1]
        if self.marked:
            ends += ["working", "starting", "stopping"]
            weights += [8, 2, 1]
        match self._chance.choices(ends, weights)[0]:
            case "working":
                return self._chance.choice(marks.WORKING)
            case "starting":
                return self._chance.choice(marks.STARTING)
            case "stopping":
                return self._chance.choice(marks.STOPPING)
            case end:
                return end

    def _configure(self, wanted: dict[str, int]) -> None:
        chance = self._chance
        drawn = {
            "rows": chance.choice([50, 200, 1000, 5000]),
            "age": chance.choice([50, 300, 60_000]),
            "inline": chance.choice([1, 16, 64, 4096]),
            "dead": chance.choice([1, 30, 90]),
            "retention": chance.choice([20, 200]),
        }
        text = CONFIG.format(**(drawn | wanted))
        (self.server.directory / "outcrop.toml").write_text(text)
        # Another program may have taken the ports since.
        self.server.pg_port = self.server.http_port = 0

    def _start(self, mark: str | None) -> bool:
        """Starts; false if the server came to the mark in its start."""
        self.server.environment = {"OUTCROP_KILL_AT": mark} if mark else {}
        try:
            self.restarts.append(self.server.start())
        except ServerFailed as failure:
            if mark and failure.code == ABORTED:
                return False
            raise
        return True

    def _check(self) -> bool:
        """Compares everything; false if the server came to its mark meanwhile."""
        try:
            with self.server.connect() as connection:
                if not self._has_tables:
                    self._create_tables(connection)
                for actor in self.actors:
                    actor.check(connection)
                for table in TABLES:
                    problems = connection.execute(f"SELECT outcrop.verify('{table}')").fetchone()
                    assert problems == ([],), f"outcrop.verify('{table}') says {problems}"
        except psycopg.OperationalError as error:
            if error.sqlstate is None and self._is_gone(MARK_SECONDS):
                return False
            raise
        return True

    def _create_tables(self, connection: psycopg.Connection) -> None:
        for statement in filter(None, (part.strip() for part in schema().split(";"))):
            connection.execute(statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        self._has_tables = True

    def _die(self, end: str, actors: list[Actor], mark_seconds: float) -> str:
        """Loads the server until it is gone; says what ended it."""
        load = Load(self.server, actors, f"{self.seed}/{self.round}")
        stops = end == "stop" or end in marks.STOPPING
        load.start(allowed=STOPPED if stops else frozenset())
        if end in marks.WORKING:
            is_gone = self._is_gone(mark_seconds)
        else:
            is_gone = self._is_gone(self._chance.uniform(0.01, LIFE_SECONDS))
            if not is_gone and stops:
                self._process().terminate()
                is_gone = self._is_gone(self._chance.uniform(0, 0.1) if end == "stop" else STOP_SECONDS_MAX)
        if not is_gone:
            self.server.kill9()
            # What did not come to its mark was killed at random.
            end = "random" if "/" in end else end
        load.join()
        return end

    def _die_in_start(self) -> str:
        self.server.environment = {}
        self.server.spawn()
        if not self._is_gone(self._chance.uniform(0, START_KILL_SECONDS)):
            self.server.kill9()
        return "start"

    def _is_gone(self, seconds: float) -> bool:
        """Whether within this time the server ends, which it may do at its mark and after SIGTERM only."""
        try:
            code = self._process().wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.server.process = None
        assert code == 0 or (code == ABORTED and self.server.environment), f"it ended with {code}:\n{self.server.log_tail()}"
        return True

    def _process(self) -> subprocess.Popen[bytes]:
        assert self.server.process is not None
        return self.server.process


ABORTED = -signal.SIGABRT
# A session that is told that the server stops.
STOPPED = frozenset({"57P01"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=1.0)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="outcrop-kill-"))
    loop = KillLoop(directory, seed)
    deadline = time.monotonic() + options.minutes * 60
    try:
        while time.monotonic() < deadline:
            loop.run_round()
        loop.finish()
    except BaseException:
        print(f"soak kill: {loop.summary()}, 1 failed in round {loop.round}; the directory is {loop.server.directory}")
        print(f"repeat: python -m harness.kill_loop --seed {seed} --minutes {options.minutes}")
        raise
    finally:
        loop.close()
    print(f"soak kill: {loop.summary()}, 0 failed, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
