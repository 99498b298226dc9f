"""Who may connect: users with SCRAM, API keys, TLS, and the refusal to listen beyond loopback without any of them."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from harness.rest import Rest
from harness.servers import OutcropServer, ServerFailed, serving

pytestmark = pytest.mark.outcrop_only

PASSWORD = "correct horse 'battery' ✓"


@pytest.fixture(scope="module")
def guarded(new_server: Callable[..., OutcropServer]) -> Iterator[tuple[OutcropServer, str]]:
    """A server with one user and an API key, TLS with a certificate made for this run."""
    server = new_server()
    certificate, key = make_certificate(server.directory)
    config = server.directory / "outcrop.toml"
    config.write_text(f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    server.arguments += ["--config", str(config)]
    added = server.run("user", "add", "ada", "--data", str(server.data), text=f"{PASSWORD}\n")
    assert added.returncode == 0, added.stdout + added.stderr
    keyed = server.run("user", "add", "ada", "--api-key", "ci", "--data", str(server.data), text=f"{PASSWORD}\n")
    assert keyed.returncode == 0, keyed.stdout + keyed.stderr
    found = re.search(r"outcrop_[0-9a-f]{64}", keyed.stdout)
    assert found is not None, keyed.stdout
    with serving(server):
        yield server, found[0]


def test_the_right_password(guarded: tuple[OutcropServer, str]) -> None:
    with guarded[0].connect(user="ada", password=PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchall() == [("ada",)]


@pytest.mark.parametrize(("user", "password"), [("ada", "wrong"), ("bob", PASSWORD)])
def test_a_wrong_password_or_user(guarded: tuple[OutcropServer, str], user: str, password: str) -> None:
    """A user that does not exist is refused with the same words: names cannot be found out."""
    with pytest.raises(psycopg.OperationalError) as failure:
        guarded[0].connect(user=user, password=password)
    assert f'password authentication failed for user "{user}"' in str(failure.value)


def test_passwords_are_not_stored(guarded: tuple[OutcropServer, str]) -> None:
    server, key = guarded
    path = server.data / "users.toml"
    text = path.read_text()
    assert PASSWORD not in text and key not in text
    assert "SCRAM-SHA-256$" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listed = server.run("user", "list", "--data", str(server.data))
    assert "ada" in listed.stdout and key not in listed.stdout


def test_tls(guarded: tuple[OutcropServer, str]) -> None:
    server, _ = guarded
    certificate = server.directory / "certificate.pem"
    with server.connect(
        user="ada", password=PASSWORD, sslmode="verify-full", sslrootcert=certificate, host="localhost"
    ) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    https = subprocess.run(
        ["curl", "-sS", "--cacert", str(certificate), f"https://localhost:{server.http_port}/"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "GO ROCKSET!" in https.stdout, https.stderr


def test_api_key(guarded: tuple[OutcropServer, str]) -> None:
    server, key = guarded
    certificate = server.directory / "certificate.pem"

    def ask(*headers: str) -> str:
        arguments = ["curl", "-sS", "--cacert", str(certificate), "-w", "%{http_code}", "-H", "Content-Type: application/json"]
        arguments += [word for header in headers for word in ("-H", header)]
        arguments += ["-d", '{"sql":{"query":"SELECT 1 AS one"}}', f"https://localhost:{server.http_port}/v1/orgs/self/queries"]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout

    for scheme in ("ApiKey", "apikey", "APIKEY"):
        answer = ask(f"Authorization: {scheme} {key}")
        assert answer.endswith("200") and '"one":1' in answer.replace(" ", ""), answer
    for header in (
        "X-Nothing: x",
        "Authorization: ApiKey wrong",
        f"Authorization: Bearer {key}",
        f"Authorization: ApiKey {key}0",
    ):
        answer = ask(header)
        assert answer.endswith("401") and "AUTHEXCEPTION" in answer, (header, answer)


def test_a_removed_user_is_refused_after_a_restart(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    for name in ("ada", "bob"):
        assert server.run("user", "add", name, "--data", str(server.data), text="secret\n").returncode == 0
    assert server.run("user", "remove", "bob", "--data", str(server.data)).returncode == 0
    assert server.run("user", "remove", "bob", "--data", str(server.data)).returncode == 1
    with serving(server):
        assert server.connect(user="ada", password="secret").execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            server.connect(user="bob", password="secret")
        with pytest.raises(psycopg.OperationalError):
            server.connect(user="ada")
        Rest(server.http_address).query("SELECT 1").assert_error(401, "AUTHEXCEPTION")


def test_users_and_certificate_are_read_again_at_sighup(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    certificate, key = make_certificate(server.directory)
    config = server.directory / "outcrop.toml"
    config.write_text(f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    server.arguments += ["--config", str(config)]
    assert server.run("user", "add", "ada", "--data", str(server.data), text="secret\n").returncode == 0
    users = server.data / "users.toml"

    def trusted(ca: Path) -> psycopg.Connection:
        return server.connect(user="ada", password="secret", sslmode="verify-ca", sslrootcert=ca)

    with serving(server), trusted(certificate) as open_session:
        first = server.directory / "first.pem"
        first.write_bytes(certificate.read_bytes())
        make_certificate(server.directory)
        assert server.run("user", "add", "bob", "--data", str(server.data), text="other\n").returncode == 0
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            server.connect(user="bob", password="other")
        hang_up(server, "were read again")
        assert server.connect(user="bob", password="other").execute("SELECT 1").fetchall() == [(1,)]
        assert trusted(certificate).execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            trusted(first)
        server.expect_log("ERROR .* users and certificate stay as they were")
        server.expect_log("ERROR .* users_file ")
        server.expect_log("ERROR .* tls")
        good = users.read_text()
        for broken, why in [("[[user]]\nname = 1\n", "users_file"), ("", "the last user cannot be removed")]:
            users.write_text(broken)
            hang_up(server, "stay as they were")
            assert why in server.log_path.read_text()
            assert server.connect(user="bob", password="other").execute("SELECT 1").fetchall() == [(1,)]
            with pytest.raises(psycopg.OperationalError):
                server.connect(user="nobody")
        users.write_text(good)
        key.write_text("rubbish")
        hang_up(server, "stay as they were")
        assert trusted(certificate).execute("SELECT 1").fetchall() == [(1,)]
        assert open_session.execute("SELECT current_user").fetchall() == [("ada",)]


def hang_up(server: OutcropServer, wanted: str) -> None:
    """Sends SIGHUP and waits until the log says so once more."""
    before = server.log_path.read_text().count(wanted)
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while server.log_path.read_text().count(wanted) == before:
        assert time.monotonic() < deadline, server.log_tail()
        time.sleep(0.01)


@pytest.mark.parametrize("flag", ["--pg-listen", "--http-listen"])
def test_no_listening_beyond_loopback_without_users(new_server: Callable[..., OutcropServer], flag: str) -> None:
    server = new_server(arguments=[])
    outcome = server.run("serve", "--data", str(server.data), *own_ports(flag, "0.0.0.0:0"))
    assert outcome.returncode != 0
    assert "authentication" in outcome.stderr and "outcrop user add" in outcome.stderr, outcome.stderr
    assert not (server.data / "FORMAT").exists(), "a server that must not start made a database"


def test_any_name_on_loopback_without_users(new_server: Callable[..., OutcropServer]) -> None:
    with serving(new_server()) as server, server.connect(user="anyone", dbname="anything") as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchall() == [("anyone", "anything")]


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("[engine]\nflush_rowz_max = 1\n", ["flush_rowz_max"]),
        ('[engine]\nflush_rows_max = "many"\n', ["flush_rows_max"]),
        ('[engine]\nflush_rows_max = 0\nlog_file_bytes = "1kB"\n', ["engine.flush_rows_max", "engine.log_file_bytes"]),
        ('pg_listen = "nonsense"\n[log]\nformat = "pink"\n', ["pg_listen", "log.format"]),
        ("not toml at all", ["outcrop.toml"]),
        ('[tls]\ncertificate = "/nowhere.pem"\nkey = "/nowhere.key"\n', ["/nowhere.pem", "/nowhere.key"]),
    ],
)
def test_every_problem_of_a_configuration_is_told_at_once(
    new_server: Callable[..., OutcropServer], config: str, named: list[str]
) -> None:
    server = new_server(config=config)
    outcome = server.run("serve", "--data", str(server.data), "--config", str(server.directory / "outcrop.toml"))
    assert outcome.returncode not in (0, 101), outcome.stderr
    for name in named:
        assert name in outcome.stderr, outcome.stderr


def test_settings_from_the_environment(new_server: Callable[..., OutcropServer]) -> None:
    server = new_server()
    server.environment = {"OUTCROP_ENGINE_FLUSH_ROWS_MAX": "none"}
    with pytest.raises(ServerFailed, match="OUTCROP_ENGINE_FLUSH_ROWS_MAX"):
        server.start()


def own_ports(flag: str, address: str) -> list[str]:
    listen = {"--pg-listen": "127.0.0.1:0", "--http-listen": "127.0.0.1:0"} | {flag: address}
    return [word for pair in listen.items() for word in pair]


def make_certificate(directory: Path) -> tuple[Path, Path]:
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
