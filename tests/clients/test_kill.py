"""kill -9 and ends at named moments while clients write: what was acknowledged is there, and no statement is there in part (P1–P3).

The clients know what must be there (`harness/actors.py`); `harness/kill_loop.py` goes on without end.
"""

from __future__ import annotations

import csv
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from harness import marks
from harness.actors import Load, all_actors, schema
from harness.changes import KEY
from harness.flights import COLUMNS
from harness.kill_loop import KillLoop
from harness.servers import OutcropServer, Server, clean_environment, program, serving

SEED = 9
LIVES = 2
RANDOM_KILLS = 8
# The moments of victims files need a statement of many thousand rows each: here one stands for them.
MARKS = [mark for mark in marks.ALL if not mark.startswith("staged/") or mark == "staged/renamed"]


def test_acknowledged_writes_survive_kill9(new_server: Callable[..., Server]) -> None:
    """The same on PostgreSQL: what the actors expect is what a database does."""
    chance = random.Random(SEED)
    server = new_server()
    with serving(server):
        actors = all_actors(is_outcrop=server.is_outcrop)
        server.psql(schema(is_outcrop=server.is_outcrop), "-v", "ON_ERROR_STOP=1")
        for life in range(LIVES):
            load = Load(server, actors, f"{SEED}/{life}")
            # PostgreSQL tells its sessions that it was killed.
            load.start(allowed=frozenset() if server.is_outcrop else frozenset({"57P01"}))
            time.sleep(chance.uniform(0.5, 1.5))
            server.kill9()
            load.join()
            server.start()
            with server.connect() as connection:
                for actor in actors:
                    actor.check(connection)
        assert all(actor.acknowledged for actor in actors if actor.name.startswith("rows"))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, measured: Callable[[str], None]) -> Iterator[KillLoop]:
    """Lives that follow each other on one directory; at the end everything is there."""
    kill_loop = KillLoop(tmp_path_factory.mktemp("kill"), SEED)
    try:
        yield kill_loop
        kill_loop.finish()
        measured(kill_loop.summary())
    finally:
        kill_loop.close()


@pytest.mark.outcrop_only
@pytest.mark.parametrize("mark", MARKS)
def test_an_end_at_a_mark(loop: KillLoop, mark: str) -> None:
    if not loop.marked:
        pytest.skip("the binary has no marks: it was built without debug assertions")
    before = loop.kills[mark]
    loop.run_round(mark)
    assert loop.kills[mark] == before + 1, f"the server never came to {mark}"


@pytest.mark.outcrop_only
@pytest.mark.parametrize("number", range(RANDOM_KILLS))
def test_an_end_at_random(loop: KillLoop, number: int) -> None:
    loop.run_round()


@pytest.mark.outcrop_only
def test_kill9_during_load(new_server: Callable[..., OutcropServer], files: dict[str, Path]) -> None:
    server = new_server()
    with serving(server):
        command = ["load", str(files["flights"]), "--table", "flights", "--key", ",".join(KEY), "--pg", server.pg_address]
        loader = subprocess.Popen(
            [program(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
        )
        wait_for_rows(server, loader)
        server.kill9()
        output = loader.communicate(timeout=60)[0].decode(errors="replace")
        assert loader.returncode != 0, f"the load says that it succeeded:\n{output}"
        server.assert_check_is_clean()
        server.start()
        found = set()
        if server.sql("SELECT count(*) FROM information_schema.tables WHERE table_name = 'flights'") == [(1,)]:
            found = set(server.sql(f"SELECT {', '.join(KEY)} FROM flights"))
        with files["flights"].open(newline="") as file:
            rows = csv.DictReader(file)
            first = {
                tuple(int(row[name]) if COLUMNS["flights"][name] == "bigint" else row[name] for name in KEY)
                for row, _ in zip(rows, found, strict=False)
            }
        assert found == first, "what is there is not the beginning of the file"
        server.stop()
        server.assert_check_is_clean()


def wait_for_rows(server: Server, loader: subprocess.Popen) -> None:
    """Returns when the first rows are stored; the load is then in its middle."""
    with server.connect() as connection:
        connection.autocommit = True
        while loader.poll() is None:
            try:
                if connection.execute("SELECT count(*) FROM flights").fetchall() != [(0,)]:
                    return
            except psycopg.errors.UndefinedTable:
                pass
            time.sleep(0.01)
