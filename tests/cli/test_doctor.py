"""`tristar doctor`: finds what is wrong, says how to mend it, and gives no secret away."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.fixtures import StartGateway
from tests.limits.servers import Server, listening
from tests.storage.fixtures import empty_postgres, postgres_server
from tests.upstream.tls import Authority
from typer.testing import CliRunner

from tristar.cli.root import app
from tristar.doctor import machine
from tristar.doctor.stores import examine_database
from tristar.settings import load
from tristar.settings.table import VARIABLES
from tristar.storage.opening import open_engine

__all__ = ["empty_postgres", "postgres_server"]

KEY = "sk-canary-of-the-doctor-0000"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory, none of the gateway's variables, a port that is free."""
    monkeypatch.chdir(tmp_path)
    for row in VARIABLES:
        monkeypatch.delenv(row.name, raising=False)
    (tmp_path / "tristar.toml").write_text("[server]\nport = 0\n")


def examined(toml: str = "", **environment: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, findings by subject (the worst of each), and everything that was printed."""
    Path("tristar.toml").write_text(f"[server]\nport = 0\n{toml}")
    done = CliRunner(env=environment).invoke(app, ["doctor", "--json"])
    order = ("good", "doubtful", "bad")
    findings = sorted(json.loads(done.stdout)["findings"], key=lambda each: order.index(each["verdict"]))
    return done.exit_code, {each["subject"]: each for each in findings}, done.output


@pytest.fixture
def provider() -> Iterator[str]:
    """The base URL of a provider that takes one key and lists its models."""

    class Models(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == f"Bearer {KEY}" and self.path == "/v1/models"
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Models)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def upstream_at(url: str) -> str:
    """A configuration with one provider and one llm."""
    return f'[providers.p]\nbase_url = "{url}"\napi_key_env = "P_KEY"\n[llms.fast]\nprovider = "p"\n'


def test_a_new_directory_is_healthy_and_stays_empty() -> None:
    """Nothing is made by looking."""
    code, found, _ = examined()

    assert code == 0
    assert {"configuration", "redis", "database", "audit log", "disk", "clock", "port"} <= found.keys()
    assert [path.name for path in Path().iterdir()] == ["tristar.toml"]


def test_a_good_key_is_good_and_a_bad_one_is_named_without_being_shown(provider: str) -> None:
    """By its variable, with what to do."""
    fine, healthy, _ = examined(upstream_at(provider), P_KEY=KEY)
    ill, found, printed = examined(upstream_at(provider), P_KEY="sk-canary-that-is-wrong-0000")
    finding = found["provider p"]

    assert (fine, healthy["provider p"]["verdict"]) == (0, "good")
    assert (ill, finding["verdict"]) == (1, "bad")
    assert "401" in finding["told"]
    assert "P_KEY" in finding["fix"]
    assert "sk-canary" not in printed


def test_a_provider_that_cannot_be_reached_says_where() -> None:
    """Host and port, and which table holds them."""
    code, found, _ = examined(upstream_at("http://127.0.0.1:1/v1"), P_KEY=KEY)

    assert (code, found["provider p"]["verdict"]) == (1, "bad")
    assert "127.0.0.1:1" in found["provider p"]["told"]
    assert "[providers.p]" in found["provider p"]["fix"]


@pytest.fixture(scope="module")
def redis() -> Iterator[tuple[str, Server]]:
    """A Redis at a port."""
    with listening() as running:
        yield running


def test_redis_is_seen_with_version_and_latency(redis: tuple[str, Server]) -> None:
    """And that scripts run in it."""
    _, found, _ = examined(REDIS_URL=redis[0])

    assert found["redis"]["verdict"] == "good"
    assert "scripts allowed" in found["redis"]["told"]
    assert found["redis"]["told"].startswith("Redis ")


def test_a_redis_user_without_scripts_is_found(redis: tuple[str, Server]) -> None:
    """Limits need EVALSHA: an ACL that forbids it makes Redis useless here."""
    url, server = redis
    with server.client() as client:
        client.acl_setuser(
            "poor", enabled=True, passwords=["+secret-canary"], keys=["*"], commands=["+ping", "+hello"]
        )
    code, found, printed = examined(REDIS_URL=url.replace("//", "//poor:secret-canary@"))

    assert (code, found["redis"]["verdict"]) == (1, "bad")
    assert "ACL" in found["redis"]["fix"]
    assert "secret-canary" not in printed


def test_a_redis_that_is_away_is_bad() -> None:
    """At once, not after a minute."""
    code, found, _ = examined(REDIS_URL="redis://127.0.0.1:1/0")

    assert (code, found["redis"]["verdict"]) == (1, "bad")


async def test_an_empty_postgresql_is_good_and_stays_empty(empty_postgres: str) -> None:
    """Its schema is the first start's affair."""
    settings = load({"DATABASE_URL": empty_postgres}, Path.cwd())
    (finding,) = await examine_database(settings)
    database = open_engine(empty_postgres, Path("data"))
    revision = await database.revision()
    await database.close()

    assert (finding.verdict, revision) == ("good", None)
    assert "empty" in finding.told


def test_a_postgresql_that_is_away_is_bad_without_its_password() -> None:
    """The driver's words, never the URL."""
    code, found, printed = examined(DATABASE_URL="postgresql://u:secret-canary@127.0.0.1:1/db")

    assert (code, found["database"]["verdict"]) == (1, "bad")
    assert "secret-canary" not in printed


def test_an_audit_directory_that_others_can_read_is_doubtful() -> None:
    """With the one command that mends it."""
    Path("logs/audit").mkdir(parents=True, mode=0o755)
    Path("logs/audit").chmod(0o755)
    code, found, _ = examined()

    assert (code, found["audit log"]["verdict"]) == (0, "doubtful")
    assert found["audit log"]["fix"].startswith("chmod 700 ")
    assert stat.S_IMODE(Path("logs/audit").stat().st_mode) == 0o755
    assert list(Path("logs/audit").iterdir()) == []


def test_beside_a_running_gateway_everything_is_good(gateway: StartGateway) -> None:
    """The port and the lock that it holds are its own."""
    running = gateway()
    environment = {"AUDIT_LOG_DIR": str(running.audit_folder), "TRISTAR_DATA_DIR": str(running.data_folder)}
    Path("tristar.toml").write_text(f"[server]\nport = {running.port}\n")
    done = CliRunner(env=environment).invoke(app, ["doctor"])

    assert done.exit_code == 0, done.output
    assert f"a gateway answers on 127.0.0.1:{running.port}" in done.stdout
    assert "a running gateway or script writes it" in done.stdout
    assert "is current" in done.stdout


def test_a_gateway_that_speaks_tls_is_known_by_its_certificate(gateway: StartGateway, tmp_path: Path) -> None:
    """The one that is configured here."""
    pem = Authority(tmp_path).pem()
    toml = f'[server]\ntls_cert = "{pem}"\ntls_key = "{pem}"\n'
    running = gateway(toml=toml)
    Path("tristar.toml").write_text(f"{toml}port = {running.port}\n")
    (finding,) = machine.examine_port(load({}, tmp_path))

    assert finding.verdict == "good"
    assert f"a gateway answers on 127.0.0.1:{running.port}" in finding.told


def test_a_port_that_something_else_has_is_bad() -> None:
    """With the command that shows who."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        Path("tristar.toml").write_text(f"[server]\nport = {port}\n")
        done = CliRunner().invoke(app, ["doctor"])

    assert done.exit_code == 1
    assert f"BAD  port: 127.0.0.1:{port} cannot be listened on" in done.stdout
    assert "ss -ltnp" in done.stdout


def test_a_wrong_configuration_is_wrong_use() -> None:
    """As `tristar check` says it; nothing is asked then."""
    Path("tristar.toml").write_text("[server]\nport = 70000\n")
    done = CliRunner().invoke(app, ["doctor"])

    assert done.exit_code == 2
    assert "server.port" in done.stderr


def test_a_certificate_that_ends_soon_is_doubtful_and_one_that_ended_is_bad(tmp_path: Path) -> None:
    """Seen in time, and by the file's name."""
    authority = Authority(tmp_path)
    toml = (
        f'[audit.sinks.siem]\ntype = "webhook"\nurl = "https://siem.example.org/x"\n'
        f'secret_env = "S"\nca_file = "{authority.ca_file}"\n'
    )
    (tmp_path / "tristar.toml").write_text(toml)
    settings = load({"S": "a-secret-of-some-length"}, tmp_path)
    (now,) = machine.examine_certificates(settings)
    (late,) = machine.examine_certificates(settings, datetime.now(UTC) + timedelta(days=36_500))

    assert (now.subject, late.verdict) == ("audit.sinks.siem", "bad")
    assert str(authority.ca_file) in late.told
    assert late.fix == "Renew it."


def test_the_gateways_own_certificate_is_looked_at(tmp_path: Path) -> None:
    """Before clients see that it has ended."""
    pem = Authority(tmp_path).pem()
    (tmp_path / "tristar.toml").write_text(f'[server]\ntls_cert = "{pem}"\ntls_key = "{pem}"\n')
    settings = load({}, tmp_path)
    (now,) = machine.examine_certificates(settings)
    (late,) = machine.examine_certificates(settings, datetime.now(UTC) + timedelta(days=36_500))

    assert (now.subject, now.verdict, now.fix) == ("server.tls_cert", "doubtful", "Renew it before then.")
    assert (late.subject, late.verdict) == ("server.tls_cert", "bad")
