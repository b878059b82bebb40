"""The machine: audit directory, disk, clock, file limit, port, certificates."""

import ctypes
import os
import resource
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
from cryptography import x509

from tristar.audit.lock import WRITER_LOCK, is_held
from tristar.audit.sinks.receiver import SinkDown
from tristar.audit.sinks.tls import client_context
from tristar.doctor.finding import Finding, bad, doubtful, good
from tristar.edge.tls import CertificateInvalid, end_of
from tristar.errors import SettingsInvalid
from tristar.settings import Settings, check_directories
from tristar.settings.model import Server

SLOW_SYNC_S: Final = 0.02
FEW_FILES: Final = 4096
SOON: Final = timedelta(days=14)
ROUNDS: Final = 9
_MB: Final = 1 << 20
_UNSYNCHRONISED: Final = 0x40
"""STA_UNSYNC of adjtimex(2)."""


def examine_directories(settings: Settings) -> list[Finding]:
    """Can they be made and written?"""
    try:
        check_directories(settings)
    except SettingsInvalid as invalid:
        return [
            bad("directories", f"{each.key} = {each.value} {each.problem}", each.fix)
            for each in invalid.faults
        ]
    return [good("directories", "the audit log's and the data's can be written")]


def examine_audit(settings: Settings) -> list[Finding]:
    """Whose directory it is, how quick, how full, and who writes."""
    directory = settings.audit.dir
    if not directory.is_dir():
        return [good("audit log", f"{directory} is made at the first start"), _space(settings)]
    found = [_privacy(directory), _space(settings)]
    if os.access(directory, os.W_OK | os.X_OK):
        found += [_sync(directory), _writer(directory)]
    return found


def _privacy(directory: Path) -> Finding:
    state = directory.stat()
    if state.st_mode & 0o077:
        told = f"{directory} is open to other users (mode {state.st_mode & 0o777:o})"
        return doubtful("audit log", told, f"chmod 700 {directory}")
    if os.geteuid() not in {state.st_uid, 0}:
        told = f"{directory} belongs to user {state.st_uid}"
        return bad("audit log", told, "Run this, and the gateway, as that user.")
    return good("audit log", f"{directory} is private")


def _space(settings: Settings) -> Finding:
    directory = settings.audit.dir
    present = next(each for each in (directory, *directory.parents) if each.exists())
    free_mb = shutil.disk_usage(present).free // _MB
    segment_mb = settings.audit.max_size_mb
    told = f"{free_mb:,} MB free"
    if free_mb < 2 * segment_mb:
        return bad(
            "disk", told, f"Make room: a segment takes {segment_mb} MB, and a full disk refuses requests."
        )
    if free_mb < 10 * segment_mb:
        fix = "Make room, lower AUDIT_RETENTION_DAYS, or set AUDIT_TOTAL_SIZE_MB to be warned at 80 %."
        return doubtful("disk", told, fix)
    return good("disk", told)


def _sync(directory: Path) -> Finding:
    times = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(ROUNDS):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    middle_s = sorted(times)[ROUNDS // 2]
    told = f"fdatasync takes {middle_s * 1000:.2f} ms (middle of {ROUNDS})"
    if middle_s > SLOW_SYNC_S:
        fix = "Every strict answer waits for it: a local SSD takes about 1 ms; or set AUDIT_MODE=relaxed."
        return doubtful("disk", told, fix)
    return good("disk", told)


def _writer(directory: Path) -> Finding:
    lock = directory / WRITER_LOCK
    if lock.exists() and is_held(lock):
        return good("audit log", "a running gateway or script writes it")
    return good("audit log", "nobody writes it now")


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), up to what is read here; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 256),
    )


def examine_clock() -> list[Finding]:
    """Is the clock kept right by something? The kernel knows, whatever does it."""
    timex = _Timex()
    if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
        fix = "Look with `timedatectl`: records carry this clock's time."
        return [doubtful("clock", "the kernel does not tell whether it is synchronised", fix)]
    if timex.status & _UNSYNCHRONISED:
        fix = "Start a time service (systemd-timesyncd or chrony); in a container, on its host."
        return [doubtful("clock", "the kernel says that nothing synchronises it", fix)]
    return [good("clock", f"synchronised, at most {timex.maxerror / 1e6:.3f} s off")]


def examine_files() -> list[Finding]:
    """How many connections may be open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"{soft} files and connections may be open (hard limit {hard})"
    if soft < FEW_FILES:
        fix = "A request takes two. Raise it: `ulimit -n 65536`, or LimitNOFILE=65536 in the unit."
        return [doubtful("file limit", told, fix)]
    return [good("file limit", told)]


def examine_port(settings: Settings) -> list[Finding]:
    """Is the port free, or a gateway's already?"""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return [_occupant(settings.server, error.strerror or str(error))]
    return [good("port", f"{host}:{port} is free")]


def _occupant(server: Server, reason: str) -> Finding:
    host, port = server.host, server.port
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if server.tls_cert is None else "https"
    try:
        answer = httpx.get(
            f"{scheme}://{shown}:{port}/health/live", timeout=2.0, trust_env=False, verify=_itself(server)
        )
        if answer.json() == {"status": "ok"}:
            return good("port", f"a gateway answers on {host}:{port}")
    except (httpx.HTTPError, ValueError):
        pass  # something else, or nothing that speaks HTTP
    fix = f"Stop what uses it (`ss -ltnp 'sport = :{port}'`), or choose another port."
    return bad("port", f"{host}:{port} cannot be listened on: {reason}", fix)


def _itself(server: Server) -> ssl.SSLContext:
    """Believes the certificate that is configured here, whatever name and whoever's signature it has."""
    context = ssl.create_default_context(cafile=server.tls_cert)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def examine_certificates(settings: Settings, now: datetime | None = None) -> list[Finding]:
    """The TLS files of the server, of sinks and anchors: readable, a pair, not about to end."""
    found: list[Finding] = []
    server = settings.server
    if server.tls_cert is not None:  # that it is readable and fits its key is the configuration's own check
        found += _certificates(
            "server.tls_cert", None, server.tls_cert, server.tls_key, now or datetime.now(UTC)
        )
    for place, outlets in (("sinks", settings.audit.sinks), ("anchors", settings.audit.anchors)):
        for outlet in outlets:
            files = (outlet.ca_file, outlet.cert_file, outlet.key_file)
            if any(files):
                found += _certificates(f"audit.{place}.{outlet.name}", *files, now or datetime.now(UTC))
    return found


def _certificates(
    subject: str, ca_file: Path | None, cert_file: Path | None, key_file: Path | None, now: datetime
) -> Iterable[Finding]:
    try:
        client_context(ca_file, cert_file, key_file)
        ends = {path: _end(path) for path in (ca_file,) if path is not None}
        ends |= {path: datetime.fromtimestamp(end_of(path), UTC) for path in (cert_file,) if path is not None}
    except (SinkDown, CertificateInvalid, OSError, ValueError) as error:
        yield bad(
            subject, str(error), "Name a readable PEM file, and the key that belongs to the certificate."
        )
        return
    for path, end in ends.items():
        told = f"{path} is valid until {end:%Y-%m-%d}"
        if end < now:
            yield bad(subject, told, "Renew it.")
        elif end < now + SOON:
            yield doubtful(subject, told, "Renew it before then.")
        else:
            yield good(subject, told)


def _end(path: Path) -> datetime:
    """When the last of the authorities in this file ends."""
    return max(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(path.read_bytes()))
