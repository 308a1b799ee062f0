"""The service manager's notification protocol (sd_notify(3)): ready, reloading, stopping, watchdog, status.

Guarantees: without NOTIFY_SOCKET every call does nothing; no call blocks or raises. Failures: a manager that does
not take a datagram is logged once per process and otherwise ignored, since it will act on the missing watchdog.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field

from gateway.log import get_logger

_log = get_logger("notify")


@dataclass(slots=True)
class Notifier:
    """Speaks to the manager at `address` (a path, or "@" and an abstract name); "" speaks to nobody."""

    address: str = ""
    _complained: bool = field(default=False, init=False)

    @classmethod
    def from_environment(cls) -> Notifier:
        """The notifier that NOTIFY_SOCKET asks for. Only paths and abstract names are supported, not vsock."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        return cls(address if address[:1] in ("/", "@") else "")

    def ready(self, status: str = "") -> None:
        """Start-up or reload has finished."""
        self._send("READY=1", status)

    def reloading(self, status: str = "") -> None:
        """A reload has begun; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", status)

    def stopping(self, status: str = "") -> None:
        """The service is on its way down."""
        self._send("STOPPING=1", status)

    def watchdog(self) -> None:
        """The service is alive; due every `watchdog_interval` seconds."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("", text)

    def _send(self, state: str, status: str = "") -> None:
        if not self.address:
            return
        lines = [state] if state else []
        if status:
            lines.append("STATUS=" + " ".join(status.split()))
        target = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(lines).encode(), target)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("the service manager does not listen", error=type(error).__name__)


def watchdog_interval() -> float | None:
    """Seconds between two `watchdog` calls (half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises).

    None where no watchdog is set, or where it is meant for another process (WATCHDOG_PID).
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
