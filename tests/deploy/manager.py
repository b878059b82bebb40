"""A service manager of a test's own: the socket that a `Type=notify` service talks to."""

import contextlib
import socket
import time
from pathlib import Path
from typing import Final

WITHIN_S: Final = 60.0


class Manager:
    """Takes notifications; `told` has them all, in order, as dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify.sock")
        self.told: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def hear(self, name: str, value: str = "1") -> dict[str, str]:
        """The next message that says this; fails if none comes."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            message = self._socket.recv(4096).decode()
            fields = dict(line.split("=", 1) for line in message.splitlines())
            self.told.append(fields)
            if fields.get(name) == value:
                return fields

    def is_silent(self, for_s: float) -> bool:
        """Whether nothing comes for so long, what had come before left aside."""
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)
        self._socket.settimeout(for_s)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
