"""A private PostgreSQL cluster with default durability (fsync on).

Guarantees: the cluster listens on 127.0.0.1 and a socket in its own folder, belongs to an unprivileged user, and
is stopped and removed at the end. Failures: RuntimeError with the program's words.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import folder, free_port


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running cluster."""

    port: int
    data: Path
    _user: str
    _bin: Path

    def create_database(self, name: str) -> str:
        """A new, empty database; returns its SQLAlchemy URL."""
        self._run(str(self._bin / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "gateway", name)
        return f"postgresql+psycopg://gateway@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """Stops the cluster without waiting for its clients."""
        self._run(str(self._bin / "pg_ctl"), "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def start(self) -> None:
        """Starts the cluster and returns once it takes connections."""
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data}"
        log = str(self.data / "server.log")
        self._run(str(self._bin / "pg_ctl"), "-D", str(self.data), "-l", log, "-o", options, "-w", "start")

    def _run(self, *command: str) -> None:
        run_as(self._user, self.data, *command)


def run_as(user: str, cwd: Path, *command: str) -> None:
    """Runs a program as `user` (as ourselves where we are not root); RuntimeError with its output where it fails."""
    prefix = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, *command], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout.decode(errors='replace')}")


def _programs() -> Path:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = str(installed[-1]) if installed else shutil.which("pg_ctl")
    if not found:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    return Path(found).parent


def _unprivileged() -> str:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A cluster for the length of the block."""
    with folder("gw-pg") as home:
        user, programs = _unprivileged(), _programs()
        entry = pwd.getpwnam(user)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        data = home / "data"
        run_as(user, home, str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "gateway", "-E", "UTF8")
        server = Postgres(free_port(), data, user, programs)
        server.start()
        try:
            yield server
        finally:
            server.stop()
