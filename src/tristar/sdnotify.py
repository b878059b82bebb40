"""Telling a service manager how the gateway is: the protocol of sd_notify(3), without its library.

The gateway was started by one if NOTIFY_SOCKET is set; otherwise nothing is sent. Every message is one
datagram; a manager that does not read is no reason to wait.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Final

from tristar.clock import Clock, SystemClock

TICKS: Final = 3
"""Signs of life per watchdog period: one may come late."""


class ServiceManager:
    """The manager that started this process, or nobody. Event-loop thread only."""

    def __init__(self, address: str, watchdog_s: float | None, clock: Clock) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._clock = clock
        self.watchdog_s = watchdog_s
        """How long the manager waits for a sign of life; None if it does not."""

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int, clock: Clock) -> "ServiceManager":
        """The manager that these variables name; a watchdog of another process is none."""
        period = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watched = ours and period.isdecimal() and int(period) > 0
        return cls(environ.get("NOTIFY_SOCKET", ""), int(period) / 1e6 if watched else None, clock)

    def ready(self, status: str) -> None:
        """Requests are answered; `systemctl start` and `reload` return."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def stopping(self, within_s: float) -> None:
        """No new requests; those in flight may take this long, whatever the unit's TimeoutStopSec says."""
        self._send(f"STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    async def show_life(self) -> None:
        """Say again and again that the event loop turns, until cancelled; at once if nobody watches."""
        while self.watchdog_s is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / TICKS)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)  # noqa: FBT003 - the standard library's signature
            with contextlib.suppress(OSError):
                sender.sendto(message.encode(), self._address)


NOBODY: Final = ServiceManager("", None, SystemClock())
"""No manager: everything that is said goes nowhere."""
