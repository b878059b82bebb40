"""The sinks and anchors of the configuration file."""

import re
from pathlib import Path

import pytest
from tests.settings.test_load import SECRET, faults_of

from tristar.settings import Settings, load
from tristar.settings.sinktable import ANCHORS, SINKS

ROOT = Path(__file__).resolve().parents[2]


def _loaded(toml: str, directory: Path, environ: dict[str, str] | None = None) -> Settings:
    (directory / "tristar.toml").write_text(toml)
    return load(environ or {}, directory)


def test_a_sink_is_read_whole(tmp_path: Path) -> None:
    """Every key reaches its field, files are found beside the configuration, the secret by its variable."""
    for name in ("ca.pem", "own.pem", "own.key"):
        (tmp_path / name).write_text("")
    settings = _loaded(
        """
        [audit.sinks.siem]
        type = "splunk"
        url = "https://splunk.example:8088"
        token_env = "SPLUNK_TOKEN"
        index = "audit"
        acknowledge = true
        mandatory = true
        start = "now"
        batch_records = 100
        linger_s = 2
        timeout_s = 5
        ca_file = "ca.pem"
        cert_file = "own.pem"
        key_file = "own.key"
        format = "ocsf"
        """,
        tmp_path,
        {"SPLUNK_TOKEN": SECRET},
    )
    (sink,) = settings.audit.sinks

    assert (sink.name, sink.type, sink.url, sink.secret) == (
        "siem", "splunk", "https://splunk.example:8088", SECRET,
    )  # fmt: skip
    assert (sink.index, sink.acknowledge, sink.mandatory, sink.start) == ("audit", True, True, "now")
    assert (sink.records, sink.pause_s, sink.timeout_s, sink.format) == (100, 2.0, 5.0, "ocsf")
    assert sink.ca_file == tmp_path / "ca.pem"
    assert SECRET not in repr(settings)


def test_an_anchor_is_read_whole(tmp_path: Path) -> None:
    """Paths count from the directory of the start."""
    (tmp_path / "tsa.pem").write_text("")
    toml = """
        [audit.anchors.tsa]
        type = "timestamp"
        url = "https://tsa.example/tsr"
        tsa_ca_file = "tsa.pem"
        path = "stamps"
        interval_s = 600
        """
    (anchor,) = _loaded(toml, tmp_path).audit.anchors

    assert (anchor.name, anchor.type, anchor.url) == ("tsa", "timestamp", "https://tsa.example/tsr")
    assert (anchor.interval_s, anchor.tsa_ca_file) == (600.0, tmp_path / "tsa.pem")
    assert anchor.path == tmp_path / "stamps"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("siem.example", ("siem.example", 6514)),
        ("siem.example:1514", ("siem.example", 1514)),
        ("192.0.2.7:10514", ("192.0.2.7", 10514)),
        ("[2001:db8::7]:10514", ("2001:db8::7", 10514)),
        ("2001:db8::7", ("2001:db8::7", 6514)),
    ],
)
def test_an_address_may_leave_the_port_out(text: str, address: tuple[str, int], tmp_path: Path) -> None:
    """Syslog over TLS has a port of its own."""
    settings = _loaded(f'[audit.sinks.s]\ntype = "syslog"\naddress = "{text}"\n', tmp_path)

    assert settings.audit.sinks[0].address == address


@pytest.mark.parametrize(
    ("toml", "key", "problem"),
    [
        ('[audit.sinks.s]\naddress = "h"', "audit.sinks.s.type", "is missing"),
        ('[audit.sinks.s]\ntype = "kafka"', "audit.sinks.s.type", "is not a known type"),
        ('[audit.sinks.s]\ntype = "syslog"', "audit.sinks.s.address", "is missing"),
        ('[audit.sinks.s]\ntype = "syslog"\naddress = "h:0"', "audit.sinks.s.address", "must be a host name"),
        (
            '[audit.sinks.s]\ntype = "syslog"\naddress = "h"\nindex = "x"',
            "audit.sinks.s.index",
            "not a known key",
        ),
        ('[audit.sinks."a b"]\ntype = "syslog"\naddress = "h"', 'audit.sinks."a b"', "not a usable name"),
        (
            '[audit.sinks.s]\ntype = "syslog"\naddress = "h"\nca_file = "none.pem"',
            "audit.sinks.s.ca_file",
            "cannot be read",
        ),
        (
            '[audit.sinks.s]\ntype = "splunk"\nurl = "https://h"\ntoken_env = "NOT_SET"',
            "audit.sinks.s.token_env",
            "names a variable that is not set",
        ),
        (
            '[audit.sinks.s]\ntype = "webhook"\nurl = "https://u:p@h"\nsecret_env = "HOOK"',
            "audit.sinks.s.url",
            "must not hold a user",
        ),
        (
            '[audit.sinks.s]\ntype = "nats"\nurl = "nats://h"\ntoken_env = "HOOK"\npassword_env = "HOOK"',
            "audit.sinks.s.password_env",
            "goes not with token_env",
        ),
        ('[audit.anchors.a]\ntype = "file"', "audit.anchors.a.path", "is missing"),
        (
            '[audit.anchors.a]\ntype = "timestamp"\nurl = "https://h"',
            "audit.anchors.a.tsa_ca_file",
            "is missing",
        ),
        ('[audit.anchors.a]\ntype = "s3"', "audit.anchors.a.type", "is not a known type"),
        ('[audit]\nsinks = "x"', "audit.sinks", "must be a table"),
        ("[audit.sink.s]", "audit.sink", "is not a known key"),
    ],
)
def test_what_is_wrong_with_a_sink_is_named(toml: str, key: str, problem: str, tmp_path: Path) -> None:
    """With the key to look at; several faults at once, as for every other setting."""
    (tmp_path / "tristar.toml").write_text(toml)
    faults = faults_of({"HOOK": SECRET}, tmp_path)

    assert problem in faults[key].problem
    assert SECRET not in str(faults[key])


def test_a_secret_in_the_place_of_its_variable_is_not_shown(tmp_path: Path) -> None:
    """It was pasted into the file: the fault must not spread it."""
    toml = f'[audit.sinks.s]\ntype = "otlp"\nurl = "https://h"\ntoken_env = "{SECRET.replace("-", "_")}"\n'
    (tmp_path / "tristar.toml").write_text(toml)
    faults = faults_of({}, tmp_path)

    assert SECRET.replace("-", "_") not in str(faults["audit.sinks.s.token_env"])


def test_every_example_of_the_page_is_valid(tmp_path: Path) -> None:
    """What docs/audit-sinks.md shows can be copied."""
    page = (ROOT / "docs/audit-sinks.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    variables = {name: SECRET for example in examples for name in re.findall(r'_env = "(\w+)"', example)}
    for name in re.findall(r'_file = "([^"]+)"', "".join(examples)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    loaded = [_loaded(example, tmp_path, variables).audit for example in examples]

    assert {sink.type for audit in loaded for sink in audit.sinks} == set(SINKS)
    assert {anchor.type for audit in loaded for anchor in audit.anchors} == set(ANCHORS)
