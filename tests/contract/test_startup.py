"""A start that cannot succeed ends at once with exit code 2 and a message that says what to do."""

import socket
from pathlib import Path

import pytest
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.process import NotReady

GOOD = provider("p", "http://127.0.0.1:1/v1")


def refusal(
    folder: Path, *, toml: str | None = None, env: dict[str, str] | None = None, args: tuple[str, ...] = ()
) -> str:
    """What a gateway prints that refuses to start; asserts exit code 2 and no traceback."""
    gateway = Gateway(folder, toml=toml, env=env, args=args)
    try:
        with pytest.raises(NotReady):
            gateway.start()
        code = gateway.process.wait(10)
        printed = gateway.output()
    finally:
        gateway.close()

    assert code == 2, printed
    assert "Traceback" not in printed
    return printed


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[server\n", ["tristar.toml"]),
        ("[server]\nport = 'http'\n", ["port", "http"]),
        ("[server]\nprot = 9100\n", ["prot"]),
        (document(GOOD, llm("fast", "nobody")), ["fast", "nobody"]),
        (document(GOOD, llm("fast", "p", fallbacks=["gone"])), ["fast", "gone"]),
        (document(GOOD, llm("fast", "p", timeout_s=-1)), ["timeout_s", "-1"]),
        (document(provider("p", "ftp://x")), ["base_url", "ftp://x"]),
    ],
    ids=["syntax", "type", "unknown-key", "unknown-provider", "unknown-fallback", "range", "url"],
)
def test_a_bad_file_is_named_with_key_and_value(tmp_path: Path, toml: str, named: list[str]) -> None:
    """Nothing was started; the message names what is wrong."""
    printed = refusal(tmp_path / "g", toml=toml)

    assert [word for word in named if word not in printed] == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUDIT_MODE", "sometimes"),
        ("AUDIT_RETENTION_DAYS", "-3"),
        ("AUDIT_MAX_SIZE_MB", "lots"),
        ("METRICS_PATH", "no-slash"),
        ("METRICS_ENABLED", "perhaps"),
        ("DATABASE_URL", "mysql://root@localhost/x"),
    ],
)
def test_a_bad_variable_is_named(tmp_path: Path, variable: str, value: str) -> None:
    """Variable and problem; a secret's value is not shown."""
    printed = refusal(tmp_path / "g", env={variable: value})

    assert variable in printed


@pytest.mark.parametrize("variable", ["AUDIT_LOG_DIR", "TRISTAR_DATA_DIR"])
def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, variable: str) -> None:
    """A file stands where the directory should go."""
    (tmp_path / "file").write_text("")
    printed = refusal(tmp_path / "g", env={variable: str(tmp_path / "file" / "below")})

    assert variable in printed


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """With the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        printed = refusal(tmp_path / "g", args=("--port", port))

    assert port in printed


def test_it_does_not_listen_to_the_world_without_an_admin_key(tmp_path: Path) -> None:
    """Bound elsewhere than loopback: refused, naming the variable."""
    printed = refusal(tmp_path / "g", args=("--host", "0.0.0.0"))

    assert "TRISTAR_ADMIN_KEY" in printed


def test_two_gateways_do_not_share_an_audit_directory(gateway: StartGateway, tmp_path: Path) -> None:
    """The second is refused; the first goes on."""
    first = gateway()
    printed = refusal(tmp_path / "second", env={"AUDIT_LOG_DIR": str(first.audit_folder)})

    assert str(first.audit_folder) in printed
    assert first.request("GET", "/health/ready").status_code == 200


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    """Asked for by name, it has to be there."""
    printed = refusal(tmp_path / "g", args=("--config", "elsewhere.toml"))

    assert "elsewhere.toml" in printed
