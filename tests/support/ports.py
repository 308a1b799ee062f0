"""Free loopback ports and folders that other users may enter.

Guarantees: a port is handed out once per process, lies below the kernel's ephemeral range so that no outgoing
connection takes it meanwhile, and was free when handed out.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_given: set[int] = set()
_random = random.Random(os.getpid() ^ time.time_ns())


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on."""
    while True:
        port = _random.randrange(20000, 32000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def wait_for(condition: Callable[[], object], seconds: float, what: str, every: float = 0.05) -> None:
    """Returns once `condition()` is true; AssertionError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """True where a TCP connection to the port is accepted."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A temporary folder with a short path (for Unix sockets) that every user may enter; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
