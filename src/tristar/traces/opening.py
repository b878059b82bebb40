"""The tracer, if the environment asks for one; the one place that loads OpenTelemetry."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from tristar.errors import Fault, SettingsInvalid

if TYPE_CHECKING:
    from tristar.traces.otlp import OtlpTracer

PROTOCOLS: Final = ("http/protobuf", "grpc")
EXPORTERS: Final = ("otlp", "none")

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"


def is_traced(variables: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces: an endpoint or exporter is named, and nothing turns it off."""
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true" or variables.get(_EXPORTER) == "none":
        return False
    return _EXPORTER in variables or any(name in variables for name in _ENDPOINTS)


def protocol_of(variables: Mapping[str, str]) -> str:
    """How spans are sent: `http/protobuf` or `grpc`."""
    return next((variables[name] for name in _PROTOCOLS if name in variables), PROTOCOLS[0])


def check_tracing(variables: Mapping[str, str]) -> None:
    """See to it that `open_tracer` will do.

    Raises:
        SettingsInvalid: there is no such protocol or exporter, or OpenTelemetry is not installed.
    """
    faults = [
        Fault(name, variables[name][:80], f"must be one of {', '.join(allowed)}", f"Correct or unset {name}.")
        for names, allowed in ((_PROTOCOLS, PROTOCOLS), ((_EXPORTER,), EXPORTERS))
        for name in names
        if name in variables and variables[name] not in allowed
    ]
    if is_traced(variables) and not _is_installed():
        named = next(name for name in (*_ENDPOINTS, _EXPORTER) if name in variables)
        problem = "is set, but OpenTelemetry is not installed"
        fix = f"Install it with the extra `otel` (pip install 'tristar[otel]'), or unset {named}."
        faults.append(Fault(named, "", problem, fix))
    if faults:
        raise SettingsInvalid(faults)


def open_tracer(variables: Mapping[str, str], version: str) -> "OtlpTracer | None":
    """The tracer that the checked variables describe, running; None where they ask for none."""
    if not is_traced(variables):
        return None
    from tristar.traces.otlp import OtlpTracer  # noqa: PLC0415 - an optional extra, and heavy

    return OtlpTracer(variables, version)


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.sdk") is not None
    except ModuleNotFoundError:  # not even the package above it
        return False
