"""A real PostgreSQL server of the test's own: Debian's binaries, a new cluster, a free port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

UNPRIVILEGED = ("postgres", "nobody")
START_TIMEOUT_S = 60


class PostgresServer:
    """One cluster in `directory`. PostgreSQL refuses to run as root: then it runs as another user."""

    def __init__(self, directory: Path) -> None:
        self._binaries = _binaries()
        self._directory = directory
        self._data = directory / "data"
        self._as_user = _as_user()
        self.port = _free_port()
        if self._as_user:
            os.chown(directory, *self._as_user)
        options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust", "--username=tristar"]
        self._run("initdb", "--pgdata", str(self._data), *options)

    @property
    def pid_file(self) -> Path:
        """There as long as the server runs."""
        return self._data / "postmaster.pid"

    def url_of(self, database: str = "postgres") -> str:
        """The URL of a database on this server; `postgres` is always there."""
        return f"postgresql://tristar@127.0.0.1:{self.port}/{database}"

    def start(self, *, durable: bool = False, shared_buffers: str = "64MB") -> None:
        """Start, and return once connections are taken; `durable`: a commit waits for the disk."""
        settings = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._directory} "
            f"-c max_connections=200 -c shared_buffers={shared_buffers} -c fsync={'on' if durable else 'off'}"
        )
        log = str(self._directory / "log")
        self._control("-t", str(START_TIMEOUT_S), "-l", log, "-o", settings, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop, and return once it is gone. `immediate` is a crash."""
        self._control("-m", mode, "stop")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--pgdata", str(self._data), "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        user, group = self._as_user or (None, None)
        said = self._directory / f"{program}.out"
        # A file, not a pipe: the server inherits it, and a pipe would never end.
        with said.open("wb") as output:
            done = subprocess.run(
                [self._binaries / program, *arguments],
                user=user,
                group=group,
                extra_groups=[] if self._as_user else None,
                cwd=self._directory,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=2 * START_TIMEOUT_S,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {said.read_text(errors='replace')}")


@contextmanager
def new_postgres() -> Iterator[PostgresServer]:
    """A server that is not started yet; stopped, if need be, and removed at the end.

    Not under pytest's own directory, which is closed to other users.
    """
    with tempfile.TemporaryDirectory(prefix="tristar-postgres-") as directory:
        server = PostgresServer(Path(directory))
        try:
            yield server
        finally:
            with suppress(RuntimeError):  # it may not be running
                server.stop("immediate")


_RUNNING = pytest.StashKey[PostgresServer]()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> PostgresServer:
    """One running server for the whole run, whoever asks; each test empties its database."""
    running = pytestconfig.stash.get(_RUNNING, None)
    if running is None:
        exits = ExitStack()
        pytestconfig.add_cleanup(exits.close)
        running = exits.enter_context(new_postgres())
        running.start()
        pytestconfig.stash[_RUNNING] = running
    return running


def _binaries() -> Path:
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    installed = sorted(debian, key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    found = shutil.which("postgres")
    if found is None:
        pytest.fail("No PostgreSQL server is installed: apt-get install --no-install-recommends postgresql")
    return Path(found).resolve().parent


def _as_user() -> tuple[int, int] | None:
    if os.getuid() != 0:
        return None
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    pytest.fail(f"Running as root, and there is no user of {UNPRIVILEGED} to run PostgreSQL as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
