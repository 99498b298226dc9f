"""Kills a server again and again while actors write, and compares what is there with what they know.

A round is one life of the server: start, check, load, kill. `soak.py kill` does nothing else for as long as it is told.
"""

from __future__ import annotations

import collections
import random
import signal
import statistics
import subprocess
from pathlib import Path

import psycopg

from harness import kill_points
from harness.actors import TABLES, Actor, Load, all_actors, schema
from harness.servers import STOP_SECONDS_MAX, OutcropServer, ServerFailed, program

# Longest life of a server under load, and longest wait for a point.
LIFE_SECONDS = 0.5
POINT_SECONDS = 1.0
WANTED_POINT_SECONDS = 120.0
# So often everything is checked by `outcrop check`, and so often the directory is a new one.
CHECK_ROUNDS = 20
DIRECTORY_ROUNDS = 60
START_KILL_SECONDS = 0.15

# Small limits, so that a short life meets flushes, checkpoints, merges, rotation of the log and staged statements.
CONFIG = """
drain_timeout = "1s"
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
        self.has_kill_points = kill_points.in_binary(program())
        self.round = 0
        self.kills: collections.Counter[str] = collections.Counter()
        """How servers ended: at random, in a start, in a stop, or by the name of a point."""
        self.restarts: list[float] = []
        self.acknowledged = 0
        self._chance = random.Random(seed)
        self._new_directory()

    def run_round(self, point: str | None = None) -> None:
        """One life, which ends at `point` if that comes, else as drawn."""
        self.round += 1
        if self.round % DIRECTORY_ROUNDS == 0 or point in kill_points.CREATING:
            self._new_directory()
            if point is None and self.has_kill_points and self._chance.random() < 0.5:
                point = self._chance.choice(kill_points.CREATING)
        end = point or self._draw_end()
        nth = 1 + int(self._chance.expovariate(0.5)) if point is None else 1
        settings, writers = kill_points.SOON.get(end.partition("/")[0], ({}, []))
        self._configure(settings)
        actors = [actor for actor in self.actors if point is None or not writers or actor.name in writers]
        if end == "start":
            end = self._die_in_start()
        elif self._start(f"{end}:{nth}" if "/" in end else None) and self._check():
            end = self._die(end, actors, POINT_SECONDS if point is None else WANTED_POINT_SECONDS)
        self.kills[end] += 1
        self.acknowledged = sum(actor.acknowledged for actor in self.actors) + self._acknowledged_before
        self.server.assert_log_is_clean()
        # A start that was killed at once may have made nothing.
        if (self.round % CHECK_ROUNDS == 0 or end in kill_points.CREATING) and (self.server.data / "FORMAT").exists():
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
        at_points = sum(count for end, count in self.kills.items() if "/" in end)
        return (
            f"{self.total} kills ({at_points} at {sum('/' in end for end in self.kills)} kill points, {self.kills['start']} in a start, "
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
        if self.has_kill_points:
            ends += ["working", "starting", "stopping"]
            weights += [8, 2, 1]
        match self._chance.choices(ends, weights)[0]:
            case "working":
                return self._chance.choice(kill_points.WORKING)
            case "starting":
                return self._chance.choice(kill_points.STARTING)
            case "stopping":
                return self._chance.choice(kill_points.STOPPING)
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

    def _start(self, point: str | None) -> bool:
        """Starts; false if the server came to the point in its start."""
        self.server.environment = {"OUTCROP_KILL_AT": point} if point else {}
        try:
            self.restarts.append(self.server.start())
        except ServerFailed as failure:
            if point and failure.code == ABORTED:
                return False
            raise
        return True

    def _check(self) -> bool:
        """Compares everything; false if the server came to its point meanwhile."""
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
            if error.sqlstate is None and self._is_gone(POINT_SECONDS):
                return False
            raise
        return True

    def _create_tables(self, connection: psycopg.Connection) -> None:
        for statement in filter(None, (part.strip() for part in schema().split(";"))):
            connection.execute(statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        self._has_tables = True

    def _die(self, end: str, actors: list[Actor], point_seconds: float) -> str:
        """Loads the server until it is gone; says what ended it."""
        load = Load(self.server, actors, f"{self.seed}/{self.round}")
        stops = end == "stop" or end in kill_points.STOPPING
        load.start(allowed=STOPPED if stops else frozenset())
        if end in kill_points.WORKING:
            is_gone = self._is_gone(point_seconds)
        else:
            is_gone = self._is_gone(self._chance.uniform(0.01, LIFE_SECONDS))
            if not is_gone and stops:
                self.server.allow_log("WARN .* (cancelling what still runs|dropping connections that do not end)")
                self._process().terminate()
                is_gone = self._is_gone(self._chance.uniform(0, 0.1) if end == "stop" else STOP_SECONDS_MAX)
        if not is_gone:
            self.server.kill9()
            # What did not come to its point was killed at random.
            end = "random" if "/" in end else end
        load.join()
        self.server.settle_log()
        return end

    def _die_in_start(self) -> str:
        self.server.environment = {}
        self.server.spawn()
        if not self._is_gone(self._chance.uniform(0, START_KILL_SECONDS)):
            self.server.kill9()
        return "start"

    def _is_gone(self, seconds: float) -> bool:
        """Whether within this time the server ends, which it may do at its point and after SIGTERM only."""
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
# A session that is told that the server stops, and a statement that did not end in time then.
STOPPED = frozenset({"57P01", "57014"})
