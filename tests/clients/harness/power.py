"""Power cuts of a real file system: ext4 in a file, shut down under a server that writes.

The shutdown ioctl of ext4 stops it at once: what was not synced is lost, later calls fail, and the next mount replays the
journal, as after a power cut. It loses what is above the disk; it is no test of a disk. Needs root, loop devices and ext4.

By hand, for some minutes:

    cd tests/clients && OUTCROP_BINARY=... python -m harness.power --seed 7 --minutes 10
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.actors import TABLES, Load, all_actors, schema
from harness.kill_loop import CONFIG
from harness.servers import OutcropServer

IMAGE_BYTES = 192 << 20
LOAD_SECONDS = 0.6
# How long after the cut every writer must have been refused.
REFUSAL_SECONDS = 20
# What a writer is told after a cut: writes stopped, or what it needed could not be read.
REFUSED = frozenset({"58P02", "58030"})
IOC_SHUTDOWN = 0x8004587D
# Nothing that the journal has not written yet survives; or the journal is written first: names survive their contents.
LOSE_JOURNAL, KEEP_JOURNAL = 2, 1
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 0x4000, 1 << 18
CHECK_ROUNDS = 10
DIRECTORY_ROUNDS = 40


def missing() -> str | None:
    """What this machine lacks for a power cut; `None` when it can have one."""
    if os.geteuid() != 0:
        return "power cuts need root"
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program) is None:
            return f"power cuts need {program}"
    if not Path("/dev/loop-control").exists():
        return "power cuts need loop devices"
    if "ext4" not in Path("/proc/filesystems").read_text():
        return "power cuts need ext4"
    return None


def enter_own_mounts() -> None:
    """Mounts of this process and its children are seen by nobody else from here on, and go with the last of them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot have own mounts")


class PowerCutDisk:
    """An ext4 in a file."""

    def __init__(self, directory: Path) -> None:
        # In memory where there is some: a shutdown loses the same, and a real disk would only be slower.
        memory = Path("/dev/shm")
        self._images = Path(tempfile.mkdtemp(prefix="outcrop-power-", dir=memory if memory.is_dir() else directory))
        self.image = self._images / "image"
        self.mounted_at = directory / "disk"
        self.mounted_at.mkdir()
        with self.image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        run("mkfs.ext4", "-q", "-F", str(self.image))

    def mount(self) -> None:
        run("mount", "-o", "loop,noatime", str(self.image), str(self.mounted_at))

    def cut(self, mode: int) -> None:
        """From now on nothing reaches the disk."""
        directory = os.open(self.mounted_at, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(directory, IOC_SHUTDOWN, struct.pack("I", mode))
        finally:
            os.close(directory)

    def unmount(self) -> None:
        run("umount", str(self.mounted_at))

    def close(self) -> None:
        if os.path.ismount(self.mounted_at):
            subprocess.run(["umount", "-l", str(self.mounted_at)], check=False)
        shutil.rmtree(self._images)


class PowerLoop:
    """Load, cut, mount, start, check, and again."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.seed = seed
        self.round = 0
        self.cuts = 0
        self.acknowledged = 0
        self.refused: collections.Counter[str] = collections.Counter()
        self.restarts: list[float] = []
        self._chance = random.Random(seed)
        self._begin()

    def run_round(self) -> None:
        """One life of the machine, on a disk that stays for some of them."""
        self.round += 1
        if self.round % DIRECTORY_ROUNDS == 0:
            self.close()
            self._begin()
        chance = self._chance
        self._start()
        self._check()
        if chance.random() < 0.3:
            # What the start after a kill has shown must be durable too.
            self._load(self.server.kill9)
            self._start()
            self._check()
        if chance.random() < 0.15:
            self._cut()
        else:
            self._load(self._cut)
        self.server.kill9()
        self.server.settle_log()
        self.disk.unmount()
        self.disk.mount()
        if self.round % CHECK_ROUNDS == 0:
            self.server.assert_check_is_clean()

    def finish(self) -> None:
        """Everything is there, and the directory is sound."""
        self._start()
        self._check()
        self.server.stop()
        self.server.assert_check_is_clean()

    def close(self) -> None:
        self.acknowledged += sum(actor.acknowledged for actor in self.actors)
        self.server.close()
        self.disk.close()

    def summary(self) -> str:
        slowest = max(self.restarts, default=0)
        acknowledged = self.acknowledged + sum(actor.acknowledged for actor in self.actors)
        return (
            f"{self.cuts} power cuts, {acknowledged} acknowledged statements, refusals {dict(self.refused)}, "
            f"start {slowest:.2f} s at most"
        )

    def _begin(self) -> None:
        place = self.directory / f"round-{self.round}"
        place.mkdir()
        self.disk = PowerCutDisk(place)
        self.disk.mount()
        self.server = OutcropServer(place, config="# drawn for each life\n")
        self.server.data = self.disk.mounted_at / "data"
        self.actors = all_actors()
        self._start()
        self.server.psql(schema(), "-v", "ON_ERROR_STOP=1")
        self.server.stop()

    def _start(self) -> None:
        chance = self._chance
        drawn = {"rows": chance.choice([50, 500, 5000]), "age": 200, "inline": chance.choice([1, 64, 4096])}
        text = CONFIG.format(**drawn, dead=chance.choice([1, 30]), retention=100)
        (self.server.directory / "outcrop.toml").write_text(text)
        self.server.pg_port = self.server.http_port = 0
        self.restarts.append(self.server.start())

    def _check(self) -> None:
        with self.server.connect() as connection:
            for actor in self.actors:
                actor.check(connection)
            for table in TABLES:
                problems = connection.execute(f"SELECT outcrop.verify('{table}')").fetchone()
                assert problems == ([],), f"outcrop.verify('{table}') says {problems}"
        # A start after a cut has nothing to complain of.
        self.server.assert_log_is_clean()

    def _load(self, end: Callable[[], None]) -> None:
        """Lets all actors write, and ends it. Each of them must find out that nothing is stored any more."""
        load = Load(self.server, self.actors, f"{self.seed}/{self.round}/{self.cuts}")
        load.start(allowed=REFUSED)
        time.sleep(self._chance.uniform(0.02, LOAD_SECONDS))
        end()
        deadline = time.monotonic() + REFUSAL_SECONDS
        while not load.is_over():
            assert time.monotonic() < deadline, f"writers are not refused after a power cut:\n{self.server.log_tail()}"
            time.sleep(0.005)
        load.join()
        self.refused.update(load.refusals)

    def _cut(self) -> None:
        # The server says that its disk fails.
        self.server.allow_log(".")
        self.disk.cut(self._chance.choice([LOSE_JOURNAL, LOSE_JOURNAL, KEEP_JOURNAL]))
        self.cuts += 1


def run(*command: str) -> None:
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, f"{' '.join(command)} ended with {outcome.returncode}:\n{outcome.stdout}{outcome.stderr}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--cuts", type=int, default=0, help="so many at least")
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(f"soak power: skipped, {reason}")
        return 0
    enter_own_mounts()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    directory = options.directory or Path(tempfile.mkdtemp(prefix="outcrop-power-"))
    loop = PowerLoop(directory, seed)
    deadline = time.monotonic() + options.minutes * 60
    try:
        while loop.cuts < options.cuts or time.monotonic() < deadline:
            loop.run_round()
        loop.finish()
    except BaseException:
        print(f"soak power: {loop.summary()}, 1 failed in round {loop.round}; the logs are in {loop.server.directory}")
        print(f"repeat: python -m harness.power --seed {seed} --cuts {loop.cuts}")
        raise
    finally:
        loop.close()
    print(f"soak power: {loop.summary()}, 0 failed, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
