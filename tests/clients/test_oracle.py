"""A few cases of the query oracles. `cargo xtask soak` and `run_oracle.py` run them without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness.servers import POSTGRES_PROGRAMS, OutcropServer, PostgresServer, serving
from oracle import CONFIG
from oracle.campaign import Case
from oracle.engines import Engine, Outcome
from oracle.judges import Counts, Engines

pytestmark = [
    pytest.mark.outcrop_only,
    pytest.mark.skipif(not POSTGRES_PROGRAMS.exists(), reason="PostgreSQL 15 is the judge"),
]

SEEDS = (1, 2, 3, 5)
STAGES = 2
QUERIES = 6


@pytest.fixture(scope="module")
def servers(
    new_server: Callable[..., OutcropServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OutcropServer, PostgresServer]]:
    with serving(new_server(config=CONFIG)) as outcrop, serving(PostgresServer(tmp_path_factory.mktemp("judge"))) as judge:
        yield outcrop, judge


def test_the_oracles_find_nothing(servers: tuple[OutcropServer, PostgresServer], measured: Callable[[str], None]) -> None:
    counts = Counts()
    engines = Engines(*(Engine(server.conninfo()) for server in servers))
    findings = []
    for seed in SEEDS:
        findings += Case(seed, engines, counts, stages=STAGES, queries=QUERIES).run()
    assert not findings, "\n".join(map(str, findings))
    measured(f"query oracles: {counts['oracle queries']} queries, {counts['changes']} changes")
    assert counts["oracle queries"] > 50


def test_a_wrong_answer_is_found_and_cut_down(servers: tuple[OutcropServer, PostgresServer]) -> None:
    """An engine that takes `<` for `<=`."""
    engines = Engines(*(Engine(server.conninfo()) for server in servers))

    class Wrong(Engine):
        def run(self, sql: str) -> Outcome:
            return super().run(sql.replace(" < ", " <= ")) if sql.startswith("SELECT") else super().run(sql)

    engines.outcrop = Wrong(servers[0].conninfo())
    counts = Counts()
    findings = []
    seed = 0
    while not findings and seed < 20:
        findings += Case(seed, engines, counts, stages=1, queries=20).run()
        seed += 1
    assert any(" < " in finding.script and len(finding.script) < 1_500 for finding in findings), f"{findings}"
