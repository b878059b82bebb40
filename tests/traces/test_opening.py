"""Whether there are traces at all is decided by OpenTelemetry's own variables, at start."""

import subprocess
import sys
from pathlib import Path

import pytest

from tristar.errors import SettingsInvalid
from tristar.settings import load
from tristar.traces import opening
from tristar.traces.opening import check_tracing, is_traced

HEAVY = ("opentelemetry.sdk", "opentelemetry.exporter", "grpc")
AT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("variables", "traced"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        (AT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (AT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (AT | {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_an_endpoint_or_an_exporter_turns_it_on(variables: dict[str, str], *, traced: bool) -> None:
    """And the two standard switches turn it off."""
    assert is_traced(variables) is traced


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_TRACES_EXPORTER", "zipkin")],
)
def test_what_cannot_be_done_is_named_at_the_start(tmp_path: Path, name: str, value: str) -> None:
    """With all other faults of the configuration."""
    with pytest.raises(SettingsInvalid) as raised:
        load(AT | {name: value}, tmp_path)

    assert [fault.key for fault in raised.value.faults] == [name]


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that silently go nowhere would be found out on the day they are needed."""
    monkeypatch.setattr(opening, "find_spec", lambda _: None)

    with pytest.raises(SettingsInvalid, match=r"pip install 'tristar\[otel\]'"):
        check_tracing(AT)
    check_tracing({})


def test_the_variables_may_stand_in_the_env_file_and_show_in_no_repr(tmp_path: Path) -> None:
    """Headers carry credentials."""
    (tmp_path / ".env").write_text("OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer abc\n")
    settings = load(AT, tmp_path)

    assert settings.otel == AT | {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer abc"}
    assert "abc" not in repr(settings)


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    """Off costs nothing: neither SDK nor exporter, no thread, no ledger in between."""
    code = (
        "import sys, tristar.serving, tristar.traces.opening as o\n"
        "assert o.open_tracer({}, '1') is None\n"
        f"sys.exit(any(name.startswith({HEAVY}) for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
