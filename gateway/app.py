"""Composition root: builds the objects of one worker in the order of the journey. No logic.

Failures: `StartupError` or `ConfigurationError`, before any mail is accepted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from gateway import metrics
from gateway.delivery.deliverer import Deliverer
from gateway.destinations.lookup import Destinations
from gateway.directory.model import Snapshot
from gateway.dispatch import Dispatcher
from gateway.duties import PostureDuty
from gateway.errors import StartupError
from gateway.examiner import Examiners
from gateway.intake.clients import Clients
from gateway.intake.limits import Load
from gateway.intake.listener import Listeners, server_context
from gateway.intake.session import Intake
from gateway.judge import Judge
from gateway.log import get_logger
from gateway.model import Client
from gateway.notices import Notices
from gateway.pipeline import Journey
from gateway.protection.openpgp import OpenPgp
from gateway.reports.collect import Sessions
from gateway.reports.send import Sender
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store import Store, Unit, Writer
from gateway.store.domains import suspensions
from gateway.store.sts import StsShelf
from gateway.transport.resolver import Resolver
from gateway.transport.sts_fetch import Fetcher
from gateway.transport.sts_policies import StsPolicies


class InForce:
    """The snapshot that decides now, kept fresh from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        snapshot = store.in_force()
        if snapshot is None:
            raise StartupError("no directory is in force: run gateway apply")
        self._snapshot = snapshot
        self._suspended = self._read_suspended()

    def __call__(self) -> Snapshot:
        return self._snapshot

    def suspended(self) -> Mapping[str, str]:
        """The domains whose register entries do not count now, and why."""
        return self._suspended

    def _read_suspended(self) -> Mapping[str, str]:
        with self._store.reading() as connection:
            return suspensions(connection)

    def refresh(self) -> bool:
        """Reads the store; True where another snapshot is in force than before."""
        self._suspended = self._read_suspended()
        current = self._store.in_force_id()
        if current == self._snapshot.id:
            return False
        snapshot = self._store.snapshot(current)
        if snapshot is not None:
            self._snapshot = snapshot
        return snapshot is not None


class Certificates:
    """The server's TLS context, renewed in place on reload: every listener has the new certificate without restart."""

    def __init__(self, settings: Settings) -> None:
        self._files = settings.tls
        self._context: ssl.SSLContext | None = None
        self.reload()

    def __call__(self) -> ssl.SSLContext | None:
        return self._context

    def reload(self) -> None:
        """Reads certificate and key again. Raises `StartupError`, and keeps the old ones, where they are unusable."""
        if self._files is None:
            return
        fresh = server_context(self._files)
        if self._context is None:
            self._context = fresh
        else:  # a listener with implicit TLS keeps the context that it was started with
            self._context.load_cert_chain(self._files.certificate, self._files.key)


@dataclass(frozen=True, slots=True)
class Office:
    """What every command that decides about stored shares needs: store, judge, notices, settlement."""

    store: Store
    in_force: InForce
    judge: Judge
    notices: Notices
    settlement: Settlement


def office(settings: Settings, store: Store, examiner: Examiners | None = None) -> Office:
    """Stages 2 to 5 and the settlement of shares, on an open store. A command inspects by itself, without examiner."""
    in_force = InForce(store)
    openpgp = OpenPgp(settings.openpgp, settings.key_ring)
    # Without the checks nobody would ever lift a suspension.
    destinations = Destinations(openpgp.key_facts, in_force.suspended if settings.posture.enabled else dict)
    judge = Judge(in_force, destinations, openpgp, settings.limits, settings.openpgp.processes, examiner)
    notices = Notices(settings.hostname, settings.postmaster, store, in_force)
    settlement = Settlement(settings.delivery, store, judge, notices, _clients(settings))
    return Office(store, in_force, judge, notices, settlement)


def _clients(settings: Settings) -> Mapping[str, Client]:
    return {
        rule.name: Client(rule.name, rule.agency, rule.sender_domains, rule.enforcement, rule.check_header_from)
        for rule in settings.clients
    }


def _answer(committed: asyncio.Future[None], error: Exception | None) -> None:
    """Wakes whoever waits for the commit; nobody does where the client has gone away."""
    if committed.done():
        return
    if error is None:
        committed.set_result(None)
    else:
        committed.set_exception(error)


@dataclass(frozen=True, slots=True)
class Worker:
    """Everything that one worker process runs."""

    store: Store
    in_force: InForce
    certificates: Certificates
    examiner: Examiners
    policies: StsPolicies
    sessions: Sessions
    reports: Sender | None
    writer: Writer
    deliverer: Deliverer
    dispatcher: Dispatcher
    listeners: Listeners
    checks: PostureDuty


def worker(settings: Settings, owner: str) -> Worker:
    """Builds a worker named `owner`; call it inside the event loop that will run it."""
    store = Store.open(settings)
    examiner = Examiners()
    examiner.start()
    parts = office(settings, store, examiner)
    loop = asyncio.get_running_loop()
    writer = store.writer(metrics.commit_messages.observe, loop.call_soon_threadsafe)

    async def commit(unit: Unit) -> None:
        committed = loop.create_future()
        writer.queue(unit, partial(_answer, committed))
        await committed

    certificates = Certificates(settings)
    resolver = Resolver(settings.delivery.resolvers, settings.delivery.dnssec)
    policies = StsPolicies(resolver, Fetcher(resolver, settings.delivery.ca_file), StsShelf(store))
    sessions = Sessions(store if settings.tls_reports.enabled else None)
    reports = Sender.of(settings, store, parts.in_force, resolver)
    deliverer = Deliverer(settings, resolver, policies, sessions if settings.tls_reports.enabled else None)
    dispatcher = Dispatcher(settings.delivery, store, commit, deliverer, parts.settlement.settle, owner)
    journey = Journey(parts.judge, store, commit, dispatcher, parts.notices)
    intake = Intake(
        hostname=settings.hostname,
        clients=Clients(settings.clients),
        limits=settings.limits,
        load=Load(settings.limits),
        tls=certificates,
        accept=journey.accept,
        log=get_logger("intake"),
        refused=metrics.command_refused,
    )
    return Worker(
        store=store,
        in_force=parts.in_force,
        certificates=certificates,
        examiner=examiner,
        policies=policies,
        sessions=sessions,
        reports=reports,
        writer=writer,
        deliverer=deliverer,
        dispatcher=dispatcher,
        listeners=Listeners(intake),
        checks=PostureDuty(settings, store, parts.in_force, parts.notices, owner),
    )
