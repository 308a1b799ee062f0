"""`gateway serve`: opens store and sockets, starts the workers, replaces those that die, reloads on SIGHUP.

Guarantees: two gateways never run on one state folder; the sockets stay open while a worker is replaced, so
clients wait instead of being refused; the leases of a dead worker are freed at once; ready is said only when
every worker takes mail. Failures: `StartupError` or `ConfigurationError` with everything that is wrong.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway import health, log
from gateway.audit.records import applied_row
from gateway.configuration import load_settings
from gateway.directory.check import examine
from gateway.directory.load import load_snapshot
from gateway.directory.model import Snapshot
from gateway.errors import ConfigurationError, GatewayError, StartupError
from gateway.notify import Notifier, watchdog_interval
from gateway.protection.openpgp import OpenPgp
from gateway.settings import Listener
from gateway.store import Store, domains
from gateway.store import queue as stored

_LOCK_WAIT = 15.0  # seconds for a predecessor's orphaned workers to end
_START_WAIT = 60.0
_SILENCE = 60.0  # a worker that has not beaten for so long hangs, and is killed
_STOP_WAIT = 35.0
_ORPHAN_AGE = 3600.0  # seconds: longer than any commit may be under way
_HOUSEKEEPING = 600.0
_LISTEN_FDS_START = 3  # sd_listen_fds(3)
# glibc gives each thread a heap of its own, and megabytes freed in one are not there for the next; one heap for all
# makes 5 MB messages a third faster in less memory, and costs nothing where threads take turns anyway.
_ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}

_log = log.get_logger("supervisor")


@dataclass(slots=True)
class _Child:
    index: int
    owner: str
    process: subprocess.Popen[bytes]
    beat: int
    started: float
    last_beat: float
    ready: bool = False
    quick_deaths: int = field(default=0)


@dataclass(frozen=True, slots=True)
class _Due:
    """When a dead worker is to be replaced: at once, or later where it died soon after its start."""

    at: float
    quick_deaths: int


class Supervisor:
    """Runs one node."""

    def __init__(self, config: Path) -> None:
        self._config = config.resolve()
        self._settings = load_settings(self._config)
        self._notifier = Notifier.from_environment()
        self._children: dict[int, _Child] = {}
        self._due: dict[int, _Due] = {}
        self._lifeline: tuple[int, int] = (-1, -1)
        self._sockets: list[list[socket.socket]] = []
        self._worker_ended: Callable[[], object] = int

    def run(self) -> int:
        """Serves until SIGTERM or SIGINT. Returns the exit code."""
        settings = self._settings
        log.configure(settings.logging.level)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # taken one by one in the loop below
        with self._state_lock():
            self._check_configuration()
            health.prepare(settings.state / "metrics")
            self._worker_ended = _exit_counter()
            with Store.open(settings, create=True) as store:
                self._prepare(store)
                self._bind()
                monitoring = self._monitoring(store)
                self._lifeline = os.pipe()
                for index in range(settings.workers):
                    self._start(index)
                self._await_ready()
                _log.info("ready", hostname=settings.hostname, workers=settings.workers, ports=self._ports())
                self._notifier.ready("taking mail")
                try:
                    return self._watch(store)
                finally:
                    if monitoring:
                        monitoring.close()

    # ---- before the first mail

    @contextmanager
    def _state_lock(self) -> Iterator[None]:
        """Held by this process and inherited by its workers: free only when all of them are gone."""
        path = self._settings.state / "gateway.lock"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"the state folder {path.parent} cannot be used: {error.strerror}") from error
        deadline = time.monotonic() + _LOCK_WAIT
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise StartupError(f"another gateway is running on {path.parent}: stop it first") from None
                time.sleep(0.1)
        try:
            yield
        finally:
            os.close(self._lock)

    def _check_configuration(self) -> None:
        """Everything that would stop mail later stops the start now."""
        keys = OpenPgp(self._settings.openpgp, self._settings.key_ring)
        now = datetime.now(UTC)
        found = examine(self._config, now.date(), lambda _: lambda fingerprint: keys.key_facts(fingerprint, now))
        # What lapsed by the passing of time is heeded by the decisions; it must not keep the relay down.
        wrong = tuple(fault for fault in found.faults if fault not in found.lapsed)
        if wrong:
            raise ConfigurationError(wrong)
        for warning in (*found.lapsed, *found.warnings):
            _log.warning("configuration", warning=str(warning))

    def _prepare(self, store: Store) -> None:
        in_force, configured = store.in_force(), load_snapshot(self._settings)
        if in_force is None:
            self._activate(store, configured, "", "gateway serve", "first start")
        elif in_force != configured:
            _log.warning("the files differ from the directory in force: run gateway apply", snapshot=in_force.id[:12])
        with store.writing() as connection:
            freed = stored.release(connection, f"{self._settings.hostname}/")
        orphans = store.remove_orphans(_ORPHAN_AGE)
        _log.info("store open", freed=freed, orphans=orphans, snapshot=store.in_force_id()[:12])

    @staticmethod
    def _activate(store: Store, snapshot: Snapshot, replaced: str, who: str, why: str) -> None:
        record = applied_row(snapshot.id, replaced, who, why, time.time())
        store.activate(snapshot, who, why, replacing=replaced, records=(record,))

    def _bind(self) -> None:
        """One socket per worker and listener, sharing the port; or those that the service manager passed."""
        passed = _passed_sockets()
        if passed and len(passed) != len(self._settings.listeners):
            raise StartupError(
                f"the service manager passed {len(passed)} sockets for {len(self._settings.listeners)} listeners"
            )
        for number, listener in enumerate(self._settings.listeners):
            if passed:
                self._sockets.append([passed[number]] * self._settings.workers)
            else:
                self._sockets.append(_listen(listener, self._settings.workers))

    def _ports(self) -> list[int]:
        return [int(sockets[0].getsockname()[1]) for sockets in self._sockets]

    def _monitoring(self, store: Store) -> health.Listener | None:
        settings = self._settings.monitoring
        if settings.port is None:
            return None
        listener = health.Listener(
            settings.address, settings.port, health.Pages(self._reasons, lambda: _queue_facts(store))
        )
        listener.start()
        return listener

    def _reasons(self) -> tuple[str, ...]:
        missing = self._settings.workers - sum(child.ready for child in self._children.values())
        return (f"{missing} of {self._settings.workers} workers are not ready",) if missing else ()

    # ---- workers

    def _start(self, index: int, quick_deaths: int = 0) -> None:
        owner = f"{self._settings.hostname}/{index}/{time.time_ns():x}"
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        sockets = [sockets[index].fileno() for sockets in self._sockets]
        orders = {
            "config": str(self._config),
            "owner": owner,
            "sockets": sockets,
            "beat": write_end,
            "lifeline": self._lifeline[0],
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "worker", json.dumps(orders)],
            pass_fds=(*sockets, write_end, self._lifeline[0], self._lock),
            stdin=subprocess.DEVNULL,
            env=_ONE_ARENA | os.environ,
        )
        os.close(write_end)
        now = time.monotonic()
        self._children[index] = _Child(index, owner, process, read_end, now, now, quick_deaths=quick_deaths)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_WAIT
        while not all(child.ready for child in self._children.values()):
            self._listen_to_beats()
            dead = [child for child in self._children.values() if child.process.poll() is not None]
            if dead or time.monotonic() > deadline:
                self._end_all()
                raise StartupError("a worker did not start; its own message says why")
            time.sleep(0.02)

    def _listen_to_beats(self) -> None:
        for child in self._children.values():
            try:
                beat = os.read(child.beat, 4096)
            except BlockingIOError:
                continue
            if beat:
                child.last_beat = time.monotonic()
                child.ready = True

    def _replace_dead(self, store: Store) -> None:
        for child in list(self._children.values()):
            code = child.process.poll()
            if code is None:
                continue
            quick = child.quick_deaths + 1 if time.monotonic() - child.started < 5 else 0
            _log.error("worker died", owner=child.owner, code=code)
            self._worker_ended()
            try:
                with store.writing() as connection:
                    stored.release(connection, child.owner)
            except GatewayError as error:  # the leases end by themselves; the worker is needed now
                _log.error("leases not freed", owner=child.owner, reason=str(error))
            os.close(child.beat)
            del self._children[child.index]
            wait = min(0.1 * 2 ** min(quick, 7) - 0.1, 10.0)
            self._due[child.index] = _Due(time.monotonic() + wait, quick)
        self._start_due()

    def _start_due(self) -> None:
        for index, due in list(self._due.items()):
            if due.at <= time.monotonic():
                del self._due[index]
                self._start(index, due.quick_deaths)

    def _kill_hanging(self) -> None:
        for child in self._children.values():
            if time.monotonic() - child.last_beat > _SILENCE:
                _log.error("worker hangs", owner=child.owner)
                child.process.kill()

    # ---- while serving

    def _watch(self, store: Store) -> int:
        beat_every = watchdog_interval() or 5.0
        beaten = housekept = time.monotonic()
        while True:
            received = signal.sigtimedwait(_SIGNALS, min(1.0, beat_every))
            number = received.si_signo if received else 0
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._stop()
            try:
                self._listen_to_beats()
                if number == signal.SIGHUP:
                    self._reload(store)
                self._replace_dead(store)
                self._kill_hanging()
                if time.monotonic() - housekept > _HOUSEKEEPING:
                    store.remove_orphans(_ORPHAN_AGE)
                    store.remove_spent_bodies()
                    housekept = time.monotonic()
            except GatewayError as error:
                _log.error("supervision failed, tried again soon", reason=str(error))
            if time.monotonic() - beaten >= beat_every:
                self._notifier.watchdog()
                beaten = time.monotonic()

    def _reload(self, store: Store) -> None:
        """SIGHUP: what `gateway apply` does, and the TLS certificate anew."""
        self._notifier.reloading("reading the directory")
        for child in self._children.values():
            child.process.send_signal(signal.SIGHUP)
        try:
            self._check_configuration()
            snapshot = load_snapshot(self._settings)
            in_force = store.in_force()
            if snapshot != in_force:
                self._activate(store, snapshot, in_force.id if in_force else "", "SIGHUP", "reload requested")
            _log.info("reloaded", snapshot=snapshot.id[:12])
        except ConfigurationError as error:
            for fault in error.faults:
                _log.error("not reloaded", fault=str(fault))
        finally:
            self._notifier.ready("taking mail")

    def _stop(self) -> int:
        self._notifier.stopping("finishing what is under way")
        _log.info("stopping")
        self._end_all()
        _log.info("stopped")
        return 0

    def _end_all(self) -> None:
        for child in self._children.values():
            child.process.terminate()
        for listening in self._sockets:  # the workers close theirs: who connects now is refused, and tries again
            for each in listening:
                each.close()
        deadline = time.monotonic() + _STOP_WAIT
        for child in self._children.values():
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _exit_counter() -> Callable[[], None]:
    """Counts workers that end unasked. Metrics may only be imported once their folder is prepared."""
    from gateway import metrics

    metrics.allocate()
    return metrics.worker_ended


def _listen(listener: Listener, workers: int) -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
    port, sockets = listener.port, []
    for number in range(-1, workers):
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if number >= 0:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            made.bind((listener.address, port))
            if number < 0:  # a trial: sharing would hide that another gateway listens there
                made.close()
                continue
            made.listen(512)
        except OSError as error:
            raise StartupError(
                f"cannot listen on {listener.address} port {port}: {error.strerror}. "
                "Stop what listens there, or choose another listener"
            ) from error
        port = made.getsockname()[1]
        sockets.append(made)
    return sockets


def _passed_sockets() -> list[socket.socket]:
    """The sockets of socket activation (sd_listen_fds(3)), if any."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=_LISTEN_FDS_START + number) for number in range(count)]


def _queue_facts(store: Store) -> health.QueueFacts:
    with store.reading() as connection:
        counts = stored.counts(connection)
        overdue = stored.oldest_due(connection, time.time())
        suspended = len(domains.suspensions(connection))
    return health.QueueFacts(counts.get("queued", 0), counts.get("held", 0), overdue, suspended)

