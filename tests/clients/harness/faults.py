"""Calls of the kernel that fail under the real server: each n-th sync, write, rename and creation of a short life fails once.

`faults.c` is loaded in front of the server. Whatever fails: nothing acknowledged is lost, reads go on, and the server either
goes on or refuses every write from then on. After a failed sync of the log it must refuse.

By hand, every call of the life, or for some minutes:

    cd tests/clients && OUTCROP_BINARY=... python -m harness.faults --minutes 10
"""

from __future__ import annotations

import argparse
import collections
import copy
import errno
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from harness.actors import Actor, CursorsActor, LargeActor, RowsActor, ShapesActor, schema
from harness.kill_loop import CONFIG
from harness.servers import OutcropServer, ServerFailed

# Which calls fail, and how.
FAULTS = [
    ("fdatasync", errno.EIO),
    ("fsync", errno.EIO),
    ("pwrite64", errno.EIO),
    ("pwrite64", errno.ENOSPC),
    ("rename", errno.EIO),
    ("rename", errno.ENOSPC),
    ("open64", errno.EIO),
    ("open64", errno.ENOSPC),
    ("unlink", errno.EIO),
]
STEPS = 25
# What a statement may be told: writes have stopped, a file could not be written or read, or the disk is full.
REFUSED = frozenset({"58P02", "58030", "53100"})
STOPPED = "58P02"


def missing() -> str | None:
    """What this machine lacks; `None` when calls can be made to fail."""
    return None if shutil.which("cc") else "faults need a C compiler"


def compile_shim(directory: Path) -> Path:
    """Builds the library that is loaded in front of the server."""
    library = directory / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


class FaultRun:
    """One life on a copy of a prepared directory, with one call that fails."""

    def __init__(self, faults: Faults, call: str, error: int, nth: int) -> None:
        self.faults = faults
        self.name = f"{call} {nth} {errno.errorcode[error]}"
        self.directory = Path(tempfile.mkdtemp(prefix="run-", dir=faults.directory))
        self.report = self.directory / "failed"
        self.server = OutcropServer(self.directory, config=faults.config)
        shutil.copytree(faults.prepared, self.server.data)
        self.fault = {
            "LD_PRELOAD": str(faults.library),
            "FAULT_CALL": call,
            "FAULT_ERROR": str(error),
            "FAULT_AT": str(nth),
            "FAULT_BELOW": str(self.server.data),
            "FAULT_REPORT": str(self.report),
        }
        self.actors = faults.copy_of_actors()

    def run(self) -> str | None:
        """The file of the call that failed; `None` when the life was over before."""
        try:
            self.server.environment = self.fault
            self.server.allow_log(".")
            if self._start():
                self._live()
            failed = self._failed()
            if self.server.is_running():
                self.server.kill9()
            self.server.settle_log()
            self.server.environment = {}
            self.server.start()
            with self.server.connect() as connection:
                for actor in self.actors:
                    actor.check(connection)
                # And it works again.
                for actor in self.actors:
                    actor.step(connection, random.Random(self.name))
                    actor.check(connection)
            self.server.stop()
            self.server.assert_check_is_clean()
        except BaseException:
            print(f"{self.name} at {self._failed()}: see {self.directory}")
            raise
        finally:
            self.server.close()
        shutil.rmtree(self.directory)
        return failed

    def _start(self) -> bool:
        try:
            self.server.start()
        except ServerFailed as failure:
            # A start that cannot do what it must says so and ends.
            assert self._failed() is not None, failure
            assert failure.code == 1, f"{failure.code}: {failure}"
            return False
        return True

    def _live(self) -> None:
        chance = random.Random(self.faults.seed)
        refused: list[str] = []
        with self.server.connect() as connection:
            for actor in itertools.islice(itertools.cycle(self.actors), STEPS):
                before = actor.state
                try:
                    if actor.doubt is None:
                        actor.step(connection, chance)
                except psycopg.Error as error:
                    assert error.sqlstate in REFUSED, f"{actor.name}: {error.sqlstate}: {error}"
                    refused.append(error.sqlstate or "")
                else:
                    assert STOPPED not in refused or actor.state == before, f"{actor.name} may write after writes stopped"
            self._check_reads(connection)
        failed = self._failed()
        if failed is not None and self._must_stop(failed):
            assert STOPPED in refused or self._is_refused(), f"writes go on although {self.name} failed on {failed}"

    def _check_reads(self, connection: psycopg.Connection) -> None:
        """Reads go on."""
        for actor in self.actors:
            if actor.doubt is None:
                actor.check(connection)

    def _is_refused(self) -> bool:
        try:
            self.server.sql("CREATE TABLE after (id int PRIMARY KEY)")
        except psycopg.Error as error:
            return error.sqlstate == STOPPED
        return False

    def _must_stop(self, path: str) -> bool:
        """Whether nobody can know any more what the disk holds of the log."""
        return self.fault["FAULT_CALL"] == "fdatasync" and path.endswith(".log")

    def _failed(self) -> str | None:
        return self.report.read_text().strip() if self.report.exists() else None


class Faults:
    """A directory with some data, of which each run gets a copy."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.seed = seed
        self.library = compile_shim(directory)
        self.config = CONFIG.format(rows=100, age=50, inline=16, dead=30, retention=1000)
        self.injected: collections.Counter[str] = collections.Counter()
        """Calls that failed, by kind of file."""
        self.prepared = directory / "prepared"
        server = OutcropServer(directory, config=self.config)
        self.actors: list[Actor] = [RowsActor(1), LargeActor(), ShapesActor(is_outcrop=True), CursorsActor()]
        chance = random.Random(seed)
        server.start()
        server.psql(schema(), "-v", "ON_ERROR_STOP=1")
        with server.connect() as connection:
            for actor in self.actors * 4:
                actor.step(connection, chance)
            for actor in self.actors:
                actor.check(connection)
        server.kill9()
        server.data.rename(self.prepared)

    def run(self, call: str, error: int, nth: int) -> bool:
        """One life; false when it has fewer such calls."""
        failed = FaultRun(self, call, error, nth).run()
        if failed is None:
            return False
        self.injected[f"{call} {errno.errorcode[error]}"] += 1
        return True

    def copy_of_actors(self) -> list[Actor]:
        """The actors as they were when the directory was prepared."""
        copies = [copy.copy(actor) for actor in self.actors]
        for actor in copies:
            actor.state = dict(actor.state)
        return copies

    def summary(self) -> str:
        """Figures of all runs."""
        return f"{sum(self.injected.values())} calls failed: {dict(self.injected)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="stop then; without it every call fails once")
    parser.add_argument("--only", default=None, help="one run, such as 'fsync 3 EIO'")
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(f"soak faults: skipped, {reason}")
        return 0
    faults = Faults(Path(tempfile.mkdtemp(prefix="outcrop-faults-")), options.seed)
    if options.only:
        call, nth, error = options.only.split()
        print(faults.run(call, getattr(errno, error), int(nth)), faults.summary())
        return 0
    deadline = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    left = list(FAULTS)
    try:
        for nth in itertools.count(1):
            # The calls of two lives differ a little: threads are as fast as they are.
            left = [fault for fault in left if time.monotonic() < deadline and faults.run(*fault, nth)]
            if not left:
                break
    except BaseException:
        print(f"soak faults: {faults.summary()}, 1 failed")
        print(f"repeat: python -m harness.faults --seed {options.seed} --only '<the line above>'")
        raise
    print(f"soak faults: {faults.summary()}, 0 failed, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
