"""The gateway as its own processes, with a complete configuration in a temporary folder.

Guarantees: `start` returns once the log says "ready"; `stop` is SIGTERM, `kill` is SIGKILL of supervisor and
workers; nothing of it runs after `close`. What it stored is read from its database by the tests' own connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy
import tomlkit
from sqlalchemy.pool import NullPool

from gateway.store import tables
from tests.support.ca import Authority
from tests.support.openpgp import KeyRing
from tests.support.ports import free_port, wait_for

Table = dict[str, Any]
CONTACT = {"role": "Data Protection Officer", "email": "dpo@partner.test", "telephone": "01234 567890"}
NAMES = ("police", "school", "probation", "charity", "health")


def route(port: int, name: str, tls: str = "encrypted") -> Table:
    """A next hop on loopback whose certificate must carry `name`."""
    return {"host": "127.0.0.1", "port": port, "tls": tls, "names": [name]}


def partner(identifier: str, port: int | None, **more: Any) -> Table:
    """A partner with the domain IDENTIFIER.test, reached at that port of loopback (by MX where None)."""
    entry: Table = {
        "id": identifier,
        "name": identifier.capitalize(),
        "domains": [f"{identifier}.test"],
        "spoc": {**CONTACT, "email": f"dpo@{identifier}.test"},
    }
    if port is not None:
        entry["route"] = route(port, f"mx.{identifier}.test")
    return entry | more


def secure(identifier: str) -> Table:
    """A register entry in force for IDENTIFIER.test, to be proven by a certificate for mx.IDENTIFIER.test."""
    today = datetime.now(UTC).date()
    return {
        "domain": f"{identifier}.test",
        "partner": identifier,
        "basis": "contract",
        "evidence": "certificate seen at onboarding",
        "owner": "Information Governance Lead",
        "valid_from": (today - timedelta(days=30)).isoformat(),
        "valid_until": (today + timedelta(days=300)).isoformat(),
        "mx": [f"mx.{identifier}.test"],
    }


@dataclass
class Directory:
    """The partnership of the tests; each test may change it before the gateway starts.

    council.test sends (as does nopurpose.test, for which no default purpose exists) and police.test is secure;
    school.test has an OpenPGP key; probation.test is reached through a service; charity.test has nothing.
    """

    partners: list[Table]
    register: list[Table]
    policy: Table = field(default_factory=dict)

    @classmethod
    def partnership(cls, port: int, *, council: int | None = None, key: str = "") -> Directory:
        """Everybody behind one `port`; bounces for council.test go to the port `council` (else the same)."""
        home = partner("council", council or port)
        home["domains"] = ["council.test", "nopurpose.test"]
        school = partner("school", port)
        if key:
            school |= {"protection": ["openpgp"], "keys": [{"fingerprint": key}]}
        probation = partner("probation", None)
        probation["service"] = {"name": "CJSM", "route": route(port, "mx.probation.test", "authenticated")}
        return cls(
            [home, partner("police", port), school, probation, partner("charity", port)],
            [secure("council"), {**secure("council"), "domain": "nopurpose.test"}, secure("police")],
        )

    def entry(self, identifier: str) -> Table:
        """The partner with that id, to be changed in place."""
        return next(entry for entry in self.partners if entry["id"] == identifier)


POLICY: Table = {
    "require_purpose": True,
    "transport": "encrypted",
    "proof_deadline_minutes": 60,
    "retry_deadline_minutes": 120,
    "delay_notice_minutes": 90,
    "purposes": {"3.5.1": "To safeguard and promote the welfare of children"},
    "bases": {"4.1.2": "Children Act 2004, section 11"},
    "conditions": {"5.4(h)": "Health or social care"},
    "rule": [{"sender": "@council.test", "purpose": "3.5.1", "basis": "4.1.2", "condition": "5.4(h)"}],
}


class Gateway:
    """One gateway: its configuration folder, its processes, its store."""

    def __init__(
        self,
        home: Path,
        directory: Directory,
        *,
        authority: Authority | None = None,
        tls: bool = True,
        state: Path | None = None,
        database_url: str = "",
        workers: int = 2,
        enforcement: str = "enforce",
        delivery: Table | None = None,
        limits: Table | None = None,
        listener: Table | None = None,
        client: Table | None = None,
        openpgp: Table | None = None,
        posture: Table | None = None,
        public_keys: tuple[bytes, ...] = (),
    ) -> None:
        self.home, self.port = home, free_port()
        self.config = home / "config" / "gateway.toml"
        self.state = state or home / "state"
        self.log_file = home / "gateway.log"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.config.parent.mkdir()
        self.temporary = home / "tmp"  # TMPDIR of its processes
        self.temporary.mkdir()
        seal_key = home / "config" / "seal.key"
        seal_key.write_bytes(secrets.token_bytes(32))
        seal_key.chmod(0o600)
        settings: Table = {
            "hostname": "gateway.test",
            "state": str(self.state),
            "workers": workers,
            "postmaster": "postmaster@council.test",
            "partners": "partners.toml",
            "secure_domains": "secure-domains.toml",
            "policy": "policy.toml",
            "store": {"seal_key": str(seal_key), **({"url": database_url} if database_url else {})},
            "openpgp": {"home": str(self.state / "gnupg"), **(openpgp or {})},
            "delivery": {
                "retry_first": 1.0, "retry_most": 2.0, "connect_timeout": 3.0, "reply_timeout": 10.0, "lease": 20.0,
                **({"ca_file": str(authority.root)} if authority else {}), **(delivery or {}),
            },
            "limits": limits or {},
            "posture": posture or {"enabled": False},
            "listeners": [
                {"address": "127.0.0.1", "port": self.port, "tls": "starttls" if authority and tls else "none",
                 **(listener or {})}
            ],
            "clients": [
                {"name": "council-mail", "agency": "council", "networks": ["127.0.0.1/32"],
                 "sender_domains": ["council.test", "nopurpose.test"], "enforcement": enforcement, **(client or {})}
            ],
        }  # fmt: skip
        if authority and tls:
            leaf = authority.issue(["gateway.test"])
            settings["tls"] = {"certificate": str(leaf.certificate), "key": str(leaf.key)}
        self.config.write_text(tomlkit.dumps(settings))
        self.write_directory()
        ring = KeyRing(self.state / "gnupg")
        for key in public_keys:
            ring.import_key(key)
        ring.close()
        self.database_url = database_url or f"sqlite:///{self.state / 'gateway.db'}"
        self._engine = sqlalchemy.create_engine(self.database_url, poolclass=NullPool)

    # ------------------------------------------------------------ configuration

    def write_directory(self) -> None:
        """Writes partners.toml, secure-domains.toml and policy.toml from the directory as it now is."""
        where = self.config.parent
        (where / "partners.toml").write_text(tomlkit.dumps({"partner": self._directory.partners}))
        dates = "\n".join(_dated(entry) for entry in self._directory.register)
        (where / "secure-domains.toml").write_text(dates)
        (where / "policy.toml").write_text(tomlkit.dumps({**POLICY, **self._directory.policy}))

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a `gateway` command with this configuration."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"gateway {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    # ------------------------------------------------------------ processes

    def launch(self) -> int:
        """Starts `gateway serve` without waiting; returns where its log begins."""
        before = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "TMPDIR": str(self.temporary)},
            )  # fmt: skip
        return before

    def start(self, seconds: float = 40.0) -> Gateway:
        """Starts `gateway serve` and waits; AssertionError with its log where it does not get ready."""
        before = self.launch()

        def ready() -> bool:
            if not self.running:
                raise AssertionError("gateway serve ended")
            return any(event.get("event") == "ready" for event in self.events(before))

        try:
            wait_for(ready, seconds, "the gateway is ready")
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from error
        return self

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; returns the exit code. AssertionError where it does not end in time."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(f"did not stop within {seconds:g} s of SIGTERM\n{self.log[-2000:]}") from error
        finally:
            self._process = None

    def kill(self) -> None:
        """SIGKILL to the supervisor and everything that it started, at once."""
        if self._process is None:
            return
        family = self._family()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        self._process = None

    def kill_worker(self, source: random.Random) -> None:
        """SIGKILL to one worker chosen by `source`; the supervisor must start another."""
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            source.choice(self.workers()).kill()

    def workers(self) -> list[psutil.Process]:
        """The worker processes (Python children of the supervisor)."""
        if self._process is None:
            return []
        children: list[psutil.Process] = psutil.Process(self._process.pid).children()
        return [child for child in children if "python" in child.name() or "gateway" in child.name()]

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    @property
    def running(self) -> bool:
        """True while the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Ends everything, gracefully where possible."""
        try:
            if self.running:
                self.stop()
            else:
                self.kill()
        finally:
            KeyRing(self.state / "gnupg").close()
            self._engine.dispose()

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ what it said and stored

    @property
    def log(self) -> str:
        """Standard output and error so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def events(self, offset: int = 0) -> list[Table]:
        """The JSON log lines from that byte on; lines that are not JSON appear as {"raw": ...}."""
        if not self.log_file.exists():
            return []
        with self.log_file.open("rb") as log:
            log.seek(offset)
            lines = log.read().decode(errors="replace").splitlines()
        found = []
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            found.append(event if isinstance(event, dict) else {"raw": line})
        return found

    def query(self, statement: sqlalchemy.Executable) -> list[sqlalchemy.Row[Any]]:
        """Rows of a statement on the gateway's database."""
        with self._engine.connect() as connection:
            return list(connection.execute(statement))

    def execute(self, statement: sqlalchemy.Executable) -> None:
        """Changes the gateway's database behind its back (to make time pass)."""
        with self._engine.begin() as connection:
            connection.execute(statement)

    def shares(self) -> list[sqlalchemy.Row[Any]]:
        """Every share with the sender and Message-ID of its message."""
        joined = tables.share.join(tables.message, tables.message.c.id == tables.share.c.message)
        return self.query(
            sqlalchemy.select(tables.share, tables.message.c.header_id, tables.message.c.sender).select_from(joined)
        )

    def records(self) -> list[sqlalchemy.Row[Any]]:
        """Every audit record, in order."""
        return self.query(sqlalchemy.select(tables.record).order_by(tables.record.c.seq))

    def states(self) -> dict[str, int]:
        """How many shares are in each state."""
        counted = sqlalchemy.select(tables.share.c.state, sqlalchemy.func.count()).group_by(tables.share.c.state)
        return dict(tuple(row) for row in self.query(counted))

    def wait_until_drained(self, seconds: float = 60.0) -> None:
        """Returns once no share is queued."""
        try:
            wait_for(lambda: not self.states().get("queued"), seconds, "the queue is empty", every=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.states()}\n{self.log[-3000:]}") from error


def _dated(entry: Table) -> str:
    dates = {"valid_from", "valid_until", "review"}
    rest = tomlkit.dumps({"domain": [{name: value for name, value in entry.items() if name not in dates}]})
    return rest + "".join(f"{name} = {value}\n" for name, value in entry.items() if name in dates)
