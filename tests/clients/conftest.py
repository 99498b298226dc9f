"""Client tests: real programs and real data against a real server process.

`cargo xtask test` runs them. By hand, with the packages of `requirements.txt`:

    OUTCROP_BINARY=target/debug/outcrop pytest tests/clients
    pytest tests/clients --target postgres     # the expectations themselves, checked on PostgreSQL 15
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import flights
from harness.servers import SERVERS, OutcropServer, PostgresServer, Server, serving

# What tests measured and nobody should have to assert: shown after the results.
MEASURED: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--target", choices=["outcrop", "postgres"], default="outcrop", help="the server under test")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "outcrop_only: asks for what PostgreSQL does not have, or does otherwise")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--target") == "postgres":
        for item in items:
            if item.get_closest_marker("outcrop_only"):
                item.add_marker(pytest.mark.skip(reason="Outcrop only"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in MEASURED:
        terminalreporter.write_line(f"measured: {line}")


@pytest.fixture(scope="session")
def files() -> dict[str, Path]:
    """The five tables of the flights as CSV files."""
    return flights.files()


@pytest.fixture(scope="session")
def measured() -> Callable[[str], None]:
    """Reports a figure at the end of the run."""
    return MEASURED.append


@pytest.fixture(scope="session")
def new_server(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Server]:
    """Makes a server that is not started, on a directory of its own. `config` is the text of an Outcrop TOML file."""

    def make(*, config: str = "", arguments: list[str] | None = None) -> Server:
        directory = tmp_path_factory.mktemp("server")
        if pytestconfig.getoption("--target") == "postgres":
            return PostgresServer(directory)
        return OutcropServer(directory, config=config, arguments=arguments)

    return make


@pytest.fixture(autouse=True)
def no_undeclared_alarm() -> Iterator[None]:
    """A warning or an error in the log of any server fails the test in which it comes, unless that declared it."""
    yield
    for running in list(SERVERS):
        running.settle_log()


@pytest.fixture(scope="module")
def server(new_server: Callable[..., Server]) -> Iterator[Server]:
    """A running server that the tests of one file share."""
    with serving(new_server()) as running:
        yield running


@pytest.fixture
def own_server(new_server: Callable[..., Server]) -> Iterator[Server]:
    """A running server for one test, which may kill it."""
    with serving(new_server()) as running:
        yield running
