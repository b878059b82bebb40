"""The whole configuration from its sources, or every fault in them at once."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tristar.edge.tls import CertificateInvalid
from tristar.edge.tls import load as load_certificate
from tristar.errors import ModelNotFound, SettingsInvalid
from tristar.routing.catalog import Catalog
from tristar.settings.catalog import read_catalog
from tristar.settings.document import read_table, table_at
from tristar.settings.environment import Values, read_environment, read_variables
from tristar.settings.faults import Faults, key_path, shown, suggestion
from tristar.settings.kinds import Rejected
from tristar.settings.model import Audit, Auth, Dependencies, Logs, Memory, Metrics, Server, Settings, Slo
from tristar.settings.outlets import read_anchors, read_sinks
from tristar.settings.source import is_there, read_document
from tristar.settings.table import AUTH, DEPENDENCIES, LOGS, MEMORY, SERVER, SLO
from tristar.traces.opening import check_tracing

CONFIG_NAME: Final = "tristar.toml"
OTEL_PREFIX: Final = "OTEL_"

_TABLES: Final = ("server", "auth", "dependencies", "audit", "slo", "logs", "memory", "providers", "llms")
_OUTLETS: Final = ("sinks", "anchors")


def load(
    environ: Mapping[str, str],
    directory: Path,
    config: Path | None = None,
    flags: Mapping[str, str | int] | None = None,
) -> Settings:
    """The settings of a gateway that is started in `directory`.

    Sources, the stronger first: `flags` (`host`, `port`, `workers`, as the command line has
    them), `environ`, `.env` in `directory`, the configuration file. The file is `config`, else
    what TRISTAR_CONFIG names, else `tristar.toml` in `directory` if there is one. Relative
    paths count from `directory`. Reads files; creates and changes nothing.

    Raises:
        SettingsInvalid: with one fault for each bad value found, secrets masked.
    """
    faults = Faults()
    variables = read_environment(environ, directory, faults)
    values = read_variables(variables, faults)
    path = _config_path(directory, config, values)
    document = (read_document(path, faults) if path else None) or {}
    _read_document_tables(document, values, faults)
    _read_flags(flags or {}, values, faults)
    catalog = read_catalog(document, variables, faults)
    values.setdefault(Audit, {}).update(
        sinks=read_sinks(document, variables, directory, faults),
        anchors=read_anchors(document, variables, directory, faults),
    )
    _check_binding(values, variables, faults)
    _check_tls(values, directory, faults)
    _check_audit(values, faults)
    _check_memory(values, catalog, faults)
    otel = {name: value for name, value in variables.items() if name.startswith(OTEL_PREFIX)}
    _check_tracing(otel, faults)
    faults.check()
    return _assemble(values, catalog, directory, path, otel)


def _config_path(directory: Path, config: Path | None, values: Values) -> Path | None:
    named = config or values.get(Settings, {}).get("config_path")
    if named is not None:
        return directory / named
    standard = directory / CONFIG_NAME
    return standard if is_there(standard) else None


def _read_document_tables(document: Mapping[str, Any], values: Values, faults: Faults) -> None:
    for name in document.keys() - set(_TABLES):
        faults.add(key_path(name), "", "is not a known table", suggestion(name, _TABLES))
    sections = (
        ("server", Server, SERVER),
        ("auth", Auth, AUTH),
        ("dependencies", Dependencies, DEPENDENCIES),
        ("slo", Slo, SLO),
        ("logs", Logs, LOGS),
        ("memory", Memory, MEMORY),
    )
    for name, owner, rows in sections:
        found = read_table(table_at(document, name, (), faults), rows, (name,), faults)
        values.setdefault(owner, {}).update(found)
    read_table(table_at(document, "audit", (), faults), (), ("audit",), faults, tables=_OUTLETS)


def _read_flags(flags: Mapping[str, str | int], values: Values, faults: Faults) -> None:
    rows = {row.name: row for row in SERVER}
    for name, value in flags.items():
        row = rows[name]
        try:
            values[Server][row.field] = row.kind.from_toml(value)
        except Rejected as reason:
            faults.reject(f"--{name}", value, row, reason)


def _check_binding(values: Values, variables: Mapping[str, str], faults: Faults) -> None:
    server = Server(**values[Server])
    if not server.loopback and "TRISTAR_ADMIN_KEY" not in variables:
        faults.add(
            "server.host",
            server.host,
            "is reachable from other machines while no admin key is set",
            "Set TRISTAR_ADMIN_KEY to 16 random characters or more, or listen on 127.0.0.1.",
        )


def _check_tls(values: Values, directory: Path, faults: Faults) -> None:
    server = Server(**values[Server])
    cert, key = server.tls_cert, server.tls_key
    if cert is None and key is None:
        return
    if cert is None or key is None:
        named, other = ("tls_key", "tls_cert") if cert is None else ("tls_cert", "tls_key")
        problem = f"needs server.{other} beside it"
        faults.add(f"server.{named}", str(cert or key), problem, f"Set {other} too.")
        return
    try:
        load_certificate(directory / cert, directory / key)
    except CertificateInvalid as invalid:
        fix = "Name a PEM certificate chain and its own private key, both readable and not encrypted."
        faults.add("server.tls_cert", str(cert), f"cannot be used: {invalid}", fix)


def _check_audit(values: Values, faults: Faults) -> None:
    audit = Audit(**values.get(Audit, {}))
    floor = audit.min_retention_days
    if floor is not None and audit.retention_days < floor:
        faults.add(
            "AUDIT_RETENTION_DAYS",
            str(audit.retention_days),
            f"is less than AUDIT_MIN_RETENTION_DAYS = {floor}",
            f"Set it to {floor} or more, or lower the floor if nothing requires it.",
        )
    if audit.total_size_mb is not None and audit.total_size_mb < audit.max_size_mb:
        faults.add(
            "AUDIT_TOTAL_SIZE_MB",
            str(audit.total_size_mb),
            f"is less than AUDIT_MAX_SIZE_MB = {audit.max_size_mb}",
            "Give the directory room for at least one segment.",
        )


def _check_memory(values: Values, catalog: Catalog, faults: Faults) -> None:
    name = values[Memory].get("embedding_llm")
    if name is None:
        return
    key = key_path("memory", "embedding_llm")
    try:
        if name not in catalog.pools:
            catalog.find(str(name))
    except ModelNotFound:
        faults.add(key, shown(name), "is not a configured llm", suggestion(str(name), catalog.names))
    if find_spec("numpy") is None:
        faults.add(key, shown(name), "needs NumPy", "Install it: pip install 'tristar[vector]'.")


def _check_tracing(otel: Mapping[str, str], faults: Faults) -> None:
    try:
        check_tracing(otel)
    except SettingsInvalid as invalid:
        for fault in invalid.faults:
            faults.add(fault.key, shown(fault.value), fault.problem, fault.fix)


def _placed(server: Server, directory: Path) -> Server:
    if server.tls_cert is None or server.tls_key is None:
        return server
    return replace(server, tls_cert=directory / server.tls_cert, tls_key=directory / server.tls_key)


def _assemble(
    values: Values, catalog: Catalog, directory: Path, path: Path | None, otel: Mapping[str, str]
) -> Settings:
    audit = Audit(**values.get(Audit, {}))
    top = {"data_dir": Settings.data_dir, **values.get(Settings, {}), "config_path": path}
    top["data_dir"] = directory / top["data_dir"]
    return Settings(
        catalog=catalog,
        server=_placed(Server(**values[Server]), directory),
        audit=replace(audit, dir=directory / audit.dir),
        metrics=Metrics(**values.get(Metrics, {})),
        auth=Auth(**values[Auth]),
        dependencies=Dependencies(**values[Dependencies]),
        slo=Slo(**values[Slo]),
        logs=Logs(**values[Logs]),
        memory=Memory(**values[Memory]),
        otel=otel,
        **top,
    )
