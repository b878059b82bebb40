"""Debian's rsyslog with TLS (gnutls), as a test's own process."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.audit.sinks.papers import Authority, Pair

_START_S = 30.0


class Rsyslog:
    """Writes every message, as it came, as a line of `received`. Keeps its port over restarts.

    Its main queue is `Direct`: a message is in the file before the next one is read, as a receiver that must
    not lose anything is configured.
    """

    def __init__(self, folder: Path, authority: Authority, pair: Pair, *, mutual: bool = False) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.received = folder / "received.log"
        self.received.touch()
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._pid_file = Path(tempfile.mkdtemp(prefix="rsyslog-")) / "pid"
        (folder / "rsyslog.conf").write_text(self._config(authority, pair, mutual=mutual))
        self._process: subprocess.Popen[bytes] | None = None

    def _config(self, authority: Authority, pair: Pair, *, mutual: bool) -> str:
        return f"""
global(workDirectory="{self._folder}" maxMessageSize="256k" DefaultNetstreamDriver="gtls"
    DefaultNetstreamDriverCAFile="{authority.cert}"
    DefaultNetstreamDriverCertFile="{pair.cert}" DefaultNetstreamDriverKeyFile="{pair.key}")
main_queue(queue.type="Direct")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1"
    StreamDriver.AuthMode="{"x509/certvalid" if mutual else "anon"}")
template(name="whole" type="string" string="%rawmsg%\\n")
input(type="imtcp" address="127.0.0.1" port="{self.port}")
action(type="omfile" file="{self.received}" template="whole")
"""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return once it listens."""
        command = ["rsyslogd", "-n", "-f", str(self._folder / "rsyslog.conf"), "-i", str(self._pid_file)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("rsyslogd does not listen")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)
            self._pid_file.unlink(missing_ok=True)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and start it again."""
        self.stop(how)
        self.start()

    def messages(self) -> list[bytes]:
        """Every message so far, in the order of arrival; a last one without its end is left out."""
        return self.received.read_bytes().split(b"\n")[:-1]

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and os.path.exists(f"/proc/{self._process.pid}")  # noqa: PTH110 - a process
