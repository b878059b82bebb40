"""Redis servers of a test's own: one on a Unix socket, or three as a cluster; gone with the test."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

START_S = 20.0
SLOTS = 16_384


class Server:
    """One running `redis-server`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        # By a short path: that of a Unix socket may have 107 bytes only.
        self.path = f"{folder}/redis.sock"
        self.url = f"unix://{self.path}"
        self._options = options
        self._paused = False
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no", "--logfile", "redis.log", *self._options]
        process = subprocess.Popen(command)
        _wait(self._answers)
        return process

    def _answers(self) -> bool:
        with self.client() as client:
            return bool(client.ping())

    def client(self) -> Redis:
        """A plain client, to look at what is there."""
        return Redis(unix_socket_path=self.path)

    def pause(self) -> None:
        """Hang: the sockets stay open, nothing answers. Again: nothing."""
        if self._paused:
            return  # that it stops is told once
        self._paused = True
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop, forget everything, start again."""
        self.stop()
        self._process = self._started()

    def stop(self) -> None:
        """End it, whatever state it is in."""
        self._paused = False
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    """One server."""
    with _folder() as folder:
        running = Server(folder, *options)
        try:
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, Server]]:
    """One server at a TCP port, and its URL."""
    (port,) = _free_ports(1)
    with server("--port", str(port), "--bind", "127.0.0.1") as running:
        yield f"redis://127.0.0.1:{port}", running


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, list[Server]]]:
    """Three primaries that share the slots; the URL is the first one's."""
    with contextlib.ExitStack() as stack:
        ports = _free_ports(6)
        nodes = [
            stack.enter_context(_node(port, bus)) for port, bus in zip(ports[::2], ports[1::2], strict=True)
        ]
        for n, node in enumerate(nodes):
            first, last = SLOTS * n // 3, SLOTS * (n + 1) // 3 - 1
            _tell(node, "ADDSLOTSRANGE", first, last)
            _tell(node, "MEET", "127.0.0.1", ports[0], ports[1])
        _wait(lambda: all(_is_complete(node) for node in nodes))
        yield f"redis://127.0.0.1:{ports[0]}", nodes


def _node(port: int, bus: int) -> contextlib.AbstractContextManager[Server]:
    listen = ("--port", str(port), "--bind", "127.0.0.1", "--cluster-port", str(bus))
    return server(*listen, "--cluster-enabled", "yes")


def _is_complete(node: Server) -> bool:
    told = str(_tell(node, "INFO"))
    return all(
        word in told for word in ("cluster_state:ok", "cluster_known_nodes:3", "cluster_slots_ok:16384")
    )


def _tell(node: Server, *words: str | int) -> object:
    with node.client() as client:
        client.response_callbacks.clear()
        told: object = client.execute_command("CLUSTER", *words)
    return told


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _wait(is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(RedisError):
            if is_ready():
                return
        if time.monotonic() > deadline:
            raise TimeoutError("redis-server does not answer")
        time.sleep(0.02)
