"""The whole configuration from its sources."""

from pathlib import Path

import pytest

from tristar.errors import Fault, SettingsInvalid
from tristar.settings import load

SECRET = "canary-6b1f0c52d9e84a77"


def faults_of(
    environ: dict[str, str], directory: Path, flags: dict[str, str | int] | None = None
) -> dict[str, Fault]:
    """The faults that loading finds, by key."""
    with pytest.raises(SettingsInvalid) as caught:
        load(environ, directory, flags=flags)
    return {fault.key: fault for fault in caught.value.faults}


def test_nothing_configured_gives_the_documented_defaults(tmp_path: Path) -> None:
    """With no variable and no file the gateway starts on loopback, strict, with the built-in llm."""
    settings = load({}, tmp_path)

    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 9100, 1)
    assert (settings.audit.dir, settings.audit.mode) == (tmp_path / "logs/audit", "strict")
    assert (settings.audit.retention_days, settings.audit.max_size_mb) == (30, 100)
    assert (settings.metrics.enabled, settings.metrics.path) == (True, "/metrics")
    assert settings.data_dir == tmp_path / "data"
    assert list(settings.catalog.llms) == ["echo"]


def test_every_variable_reaches_its_setting(tmp_path: Path) -> None:
    """What the environment says is what the gateway runs with."""
    settings = load(
        {
            "METRICS_ENABLED": "off",
            "METRICS_PATH": "/internal/metrics",
            "AUDIT_LOG_DIR": "/var/log/tristar",
            "AUDIT_RETENTION_DAYS": "7",
            "AUDIT_MAX_SIZE_MB": "5",
            "AUDIT_TOTAL_SIZE_MB": "50",
            "AUDIT_MODE": "relaxed",
            "REDIS_URL": "rediss://cache:6380/0",
            "DATABASE_URL": "postgresql://db/tristar",
            "TRISTAR_ADMIN_KEY": SECRET,
            "TRISTAR_DATA_DIR": "state",
        },
        tmp_path,
    )

    assert (settings.metrics.enabled, settings.metrics.path) == (False, "/internal/metrics")
    assert (settings.audit.dir, settings.audit.mode) == (Path("/var/log/tristar"), "relaxed")
    assert (settings.audit.retention_days, settings.audit.max_size_mb) == (7, 5)
    assert settings.audit.total_size_mb == 50
    assert settings.redis_url == "rediss://cache:6380/0"
    assert settings.database_url == "postgresql://db/tristar"
    assert settings.auth.admin_key == SECRET
    assert settings.data_dir == tmp_path / "state"


def test_the_file_sets_the_server(tmp_path: Path) -> None:
    """`tristar.toml` in the working directory is read without being named."""
    (tmp_path / "tristar.toml").write_text("[server]\nport = 0\nworkers = 3\n[auth]\nkey_grace_s = 5\n")

    settings = load({}, tmp_path)

    assert (settings.server.port, settings.server.workers) == (0, 3)
    assert settings.auth.key_grace_s == 5.0
    assert settings.config_path == tmp_path / "tristar.toml"


def test_the_named_file_wins_over_the_variable_and_the_variable_over_the_standard_one(tmp_path: Path) -> None:
    """--config, then TRISTAR_CONFIG, then tristar.toml."""
    for name, port in (("tristar.toml", 1001), ("variable.toml", 1002), ("named.toml", 1003)):
        (tmp_path / name).write_text(f"[server]\nport = {port}\n")
    environ = {"TRISTAR_CONFIG": "variable.toml"}

    assert load({}, tmp_path).server.port == 1001
    assert load(environ, tmp_path).server.port == 1002
    assert load(environ, tmp_path, Path("named.toml")).server.port == 1003


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    """What is typed on the command line is what counts."""
    (tmp_path / "tristar.toml").write_text("[server]\nport = 1001\nworkers = 2\n")

    settings = load({}, tmp_path, flags={"port": 2002})

    assert (settings.server.port, settings.server.workers) == (2002, 2)


def test_dotenv_is_read_and_the_real_environment_wins(tmp_path: Path) -> None:
    """A `.env` beside the configuration sets what the environment does not."""
    (tmp_path / ".env").write_text("# comment\nAUDIT_MODE=relaxed\nexport METRICS_PATH='/m'\n")

    settings = load({"METRICS_PATH": "/scrape"}, tmp_path)

    assert (settings.audit.mode, settings.metrics.path) == ("relaxed", "/scrape")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    """`NAME=` in a `.env` template changes nothing."""
    settings = load({"AUDIT_TOTAL_SIZE_MB": "", "OPENAI_API_KEY": " ", "AUDIT_MODE": ""}, tmp_path)

    assert settings == load({}, tmp_path) or settings.audit.total_size_mb is None
    assert settings.audit.mode == "strict"
    assert list(settings.catalog.llms) == ["echo"]


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    """One start names all that is wrong: variables, file, flags."""
    (tmp_path / "tristar.toml").write_text("[server]\nworkers = 0\nprot = 1\n[llms.a]\nprovider = 'x'\n")

    faults = faults_of({"AUDIT_MODE": "lax", "METRICS_PATH": "metrics"}, tmp_path, {"port": 70_000})

    assert set(faults) == {
        "AUDIT_MODE",
        "METRICS_PATH",
        "server.workers",
        "server.prot",
        "--port",
        "llms.a.provider",
    }


def test_a_fault_names_key_value_range_and_fix(tmp_path: Path) -> None:
    """The line is enough to mend the configuration at night."""
    fault = faults_of({"AUDIT_RETENTION_DAYS": "0"}, tmp_path)["AUDIT_RETENTION_DAYS"]

    assert str(fault) == (
        "AUDIT_RETENTION_DAYS = 0: must be a whole number from 1 to 36500. "
        "Correct it, or leave it out for the default 30."
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_ENABLED", "maybe"),
        ("METRICS_PATH", "metrics"),
        ("METRICS_PATH", "/"),
        ("METRICS_PATH", "/v1"),
        ("METRICS_PATH", "/health/metrics"),
        ("METRICS_PATH", "/a b"),
        ("METRICS_PATH", "/../x"),
        ("AUDIT_RETENTION_DAYS", "-1"),
        ("AUDIT_RETENTION_DAYS", "1.5"),
        ("AUDIT_RETENTION_DAYS", "9" * 400),
        ("AUDIT_MAX_SIZE_MB", "ten"),
        ("AUDIT_TOTAL_SIZE_MB", "99"),
        ("AUDIT_MODE", "STRICT"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://host:99999"),
        ("DATABASE_URL", "mysql://host/db"),
        ("TRISTAR_ADMIN_KEY", "fifteen-chars-x"),
        ("TRISTAR_ADMIN_KEY", "sixteen chars in"),
        ("OLLAMA_HOST", "ftp://host"),
        ("OPENAI_API_KEY", "two words"),
    ],
)
def test_a_bad_variable_is_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    """The fault's key is the variable that the operator set."""
    faults = faults_of({name: value}, tmp_path)

    assert list(faults) == [name]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("TRISTAR_ADMIN_KY", "TRISTAR_ADMIN_KEY"),
        ("AUDIT_LOGDIR", "AUDIT_LOG_DIR"),
        ("METRICS_ENABLE", "METRICS_ENABLED"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_right_name(tmp_path: Path, written: str, meant: str) -> None:
    """A slip must not leave the gateway open, or its audit log in another place."""
    fault = faults_of({written: "something"}, tmp_path)[written]

    assert meant in fault.fix


def test_a_foreign_variable_is_left_alone(tmp_path: Path) -> None:
    """Orchestrators inject variables of their own beside ours."""
    settings = load({"TRISTAR_SERVICE_HOST": "10.0.0.1", "TRISTAR_PORT": "tcp://10.0.0.1:9100"}, tmp_path)

    assert settings.server.port == 9100


def test_binding_beyond_loopback_needs_an_admin_key(tmp_path: Path) -> None:
    """An open gateway on a network refuses to start, and says how to close it."""
    fault = faults_of({}, tmp_path, {"host": "0.0.0.0"})["server.host"]

    assert "TRISTAR_ADMIN_KEY" in fault.fix
    assert load({"TRISTAR_ADMIN_KEY": SECRET}, tmp_path, flags={"host": "0.0.0.0"}).server.host == "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_admin_key(tmp_path: Path, host: str) -> None:
    """On this machine alone the gateway is open."""
    assert load({}, tmp_path, flags={"host": host}).server.loopback


@pytest.mark.parametrize("host", ["", "a b", "host:9100", "[::1]", "-x", "300.1.1.1", "http://host"])
def test_what_is_not_a_host_is_refused(tmp_path: Path, host: str) -> None:
    """The address is an IP address or a name, nothing more."""
    assert "--host" in faults_of({"TRISTAR_ADMIN_KEY": SECRET}, tmp_path, {"host": host})


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    """Settings can be printed without giving a key away."""
    settings = load(
        {
            "TRISTAR_ADMIN_KEY": SECRET,
            "OPENAI_API_KEY": SECRET,
            "REDIS_URL": f"redis://:{SECRET}@cache",
            "DATABASE_URL": f"postgresql://user:{SECRET}@db/tristar",
        },
        tmp_path,
    )

    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.catalog.find("openai/gpt"))
    assert [key.secret for key in settings.catalog.find("openai/gpt").provider.keys] == [SECRET]


def test_no_secret_is_in_a_fault(tmp_path: Path) -> None:
    """Refused values that may hold a credential are shown masked."""
    (tmp_path / "tristar.toml").write_text(
        f"""
        [providers.a]
        base_url = "https://user:{SECRET}@host/v1"
        api_key = "{SECRET}"
        [providers.b]
        api_key_env = "{SECRET.replace("-", "_")}"
        """
    )
    with pytest.raises(SettingsInvalid) as caught:
        load(
            {
                "TRISTAR_ADMIN_KEY": f"{SECRET} with a space",
                "OPENAI_API_KEY": f"{SECRET}\n",
                "GROQ_API_KEY": f"{SECRET} {SECRET}",
                "REDIS_URL": f"http://:{SECRET}@cache",
                "DATABASE_URL": f"mysql://user:{SECRET}@db",
                "OLLAMA_HOST": f"http://user:{SECRET}@host",
            },
            tmp_path,
        )

    assert len(caught.value.faults) >= 8
    assert SECRET not in str(caught.value)
    assert SECRET.replace("-", "_") not in str(caught.value)


def test_the_total_size_holds_at_least_one_segment(tmp_path: Path) -> None:
    """A directory smaller than its own active segment would be full at once."""
    faults = faults_of({"AUDIT_MAX_SIZE_MB": "200", "AUDIT_TOTAL_SIZE_MB": "199"}, tmp_path)

    assert "AUDIT_MAX_SIZE_MB = 200" in faults["AUDIT_TOTAL_SIZE_MB"].problem


def test_loading_creates_nothing(tmp_path: Path) -> None:
    """Reading the configuration leaves the disk as it was."""
    load({"AUDIT_LOG_DIR": "a/b", "TRISTAR_DATA_DIR": "c"}, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_retention_below_its_floor_is_a_fault(tmp_path: Path) -> None:
    """AUDIT_MIN_RETENTION_DAYS is what a law asks: nobody undercuts it by an environment variable."""
    floor = {"AUDIT_MIN_RETENTION_DAYS": "183"}

    with pytest.raises(
        SettingsInvalid, match=r"AUDIT_RETENTION_DAYS.* is less than AUDIT_MIN_RETENTION_DAYS = 183"
    ):
        load(floor, tmp_path)

    assert load(floor | {"AUDIT_RETENTION_DAYS": "183"}, tmp_path).audit.retention_days == 183


def test_a_directory_that_cannot_be_entered_is_a_fault_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's home, say: both files that are looked for there are named."""

    def closed(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", closed)
    monkeypatch.setattr(Path, "open", closed)
    faults = faults_of({}, tmp_path)

    assert {Path(key).name for key in faults} == {".env", "tristar.toml"}
