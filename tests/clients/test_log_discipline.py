"""What makes every other test fail on a line of the server's log that it did not declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.servers import OutcropServer

pytestmark = pytest.mark.outcrop_only

INFO = "2026-01-02T03:04:05.000006Z  INFO outcrop_engine::recovery::open: database recovered\n"
WARNING = "2026-01-02T03:04:05.000006Z  WARN outcrop_log::prepare: no log file could be prepared error=no space left\n"
ERROR = "2026-01-02T03:04:05.000006Z ERROR outcrop_engine::node: writes stop reason=a sync failed\n"


@pytest.fixture
def server(tmp_path: Path) -> OutcropServer:
    return OutcropServer(tmp_path)


def say(server: OutcropServer, *lines: str) -> None:
    with server.log_path.open("a") as log:
        log.writelines(lines)


@pytest.mark.parametrize("line", [WARNING, ERROR])
def test_an_undeclared_line_fails_once(server: OutcropServer, line: str) -> None:
    say(server, INFO, line)
    with pytest.raises(AssertionError, match="nobody declared this line"):
        server.assert_log_is_clean()
    server.assert_log_is_clean()


def test_a_declared_line_is_fine_until_the_test_ends(server: OutcropServer) -> None:
    server.allow_log("WARN .*no space left")
    say(server, WARNING)
    server.settle_log()
    say(server, WARNING)
    with pytest.raises(AssertionError, match="nobody declared"):
        server.settle_log()


def test_a_declaration_names_its_line(server: OutcropServer) -> None:
    server.allow_log("WARN .*no space left")
    say(server, ERROR)
    with pytest.raises(AssertionError, match="writes stop"):
        server.assert_log_is_clean()


def test_an_expected_line_must_come(server: OutcropServer) -> None:
    server.expect_log("writes stop")
    say(server, INFO)
    with pytest.raises(AssertionError, match="never had"):
        server.settle_log()
    server.expect_log("writes stop")
    say(server, ERROR)
    server.settle_log()


def test_half_a_line_is_looked_at_when_it_is_whole(server: OutcropServer) -> None:
    say(server, ERROR[:40])
    server.assert_log_is_clean()
    say(server, ERROR[40:])
    with pytest.raises(AssertionError, match="nobody declared"):
        server.assert_log_is_clean()


def test_a_panic_fails_whatever_is_declared(server: OutcropServer) -> None:
    server.allow_log(".")
    say(server, "thread 'main' panicked at src/main.rs:1:1:\n")
    with pytest.raises(AssertionError, match="the server panicked"):
        server.assert_log_is_clean()
