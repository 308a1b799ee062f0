"""Takes a job to its destination: finds the hosts, proves the requirement, transmits, says what happened per share.

Guarantees: `deliver` gives one result per share, in order, within nine tenths of `delivery.lease`, and raises
nothing but `CancelledError`. No MAIL FROM is written on a connection that has not proven the job's requirement; no
path leads from a requirement for TLS to clear text. What cannot be understood is deferred, never sent another way.
Failures: `StartupError` from the constructor where trust anchors or resolvers cannot be used.
"""

from __future__ import annotations

import asyncio

import structlog

from gateway.delivery.destination import Destinations, Target
from gateway.delivery.faults import Dropped, HostFault, RouteRefused, RouteUnknown, TurnedAway, Unproven
from gateway.delivery.pool import Key, Pool, Slot
from gateway.delivery.session import Session, Terms, open_session
from gateway.delivery.tls import contexts, references
from gateway.delivery.transaction import LARGE, Attempt, Refusal, refusal_by_content, transact
from gateway.errors import StartupError
from gateway.model import Assurance, AttemptResult, Job, Outcome
from gateway.settings import Settings
from gateway.transport.names import normal_name
from gateway.transport.resolver import Resolver

SHARE_OF_LEASE = 0.9  # the attempt ends before another worker may take the shares

_log = structlog.get_logger(__name__)


class Deliverer:
    """One per process and event loop. Connections are kept between jobs; `close` ends the idle ones."""

    def __init__(self, settings: Settings) -> None:
        delivery = settings.delivery
        hostname = normal_name(settings.hostname)
        if not hostname:
            raise StartupError(f"hostname {settings.hostname!r} is not a host name; EHLO needs one")
        self._terms = Terms(hostname, contexts(delivery.ca_file), delivery.connect_timeout, delivery.reply_timeout)
        self._destinations = Destinations(hostname, Resolver(delivery.resolvers, delivery.dnssec))
        self._most_time = delivery.lease * SHARE_OF_LEASE
        self._pool = Pool(
            delivery.connections,
            delivery.connections_per_destination,
            delivery.messages_per_connection,
            delivery.idle_timeout,
        )

    async def deliver(self, job: Job) -> tuple[AttemptResult, ...]:
        """Tries once. One result per share, in order."""
        attempt = Attempt(job)
        try:
            async with asyncio.timeout(self._most_time):
                await self._deliver(attempt)
        except TimeoutError:
            what = "after the message was sent; it may arrive twice" if attempt.committed else "before it was sent"
            attempt.settle_open(
                Outcome.DEFERRED, "4.4.7", f"the attempt took {self._most_time:g} s and was ended {what}"
            )
        except RouteRefused as fault:
            attempt.settle_open(Outcome.FAILED, fault.status, fault.text)
        except (RouteUnknown, HostFault) as fault:
            attempt.settle_open(Outcome.DEFERRED, fault.status, fault.text, fault.remote)
        except Exception as error:  # noqa: BLE001  a fault of our own must not lose the share: it is tried again
            _log.error("delivery fault", message=job.message_id, error=type(error).__name__, exc_info=True)
            attempt.settle_open(Outcome.DEFERRED, "4.3.0", "a fault of the gateway; the share is tried again")
        attempt.settle_open(Outcome.DEFERRED, "4.3.0", "a fault of the gateway; the share is tried again")
        return attempt.results()

    async def close(self) -> None:
        """Ends idle connections; jobs under way finish on theirs, which are then closed."""
        await self._pool.close()

    async def _deliver(self, attempt: Attempt) -> None:
        job = attempt.job
        refusal = await _refusal(job)
        if refusal is not None:
            attempt.settle_open(Outcome.FAILED, refusal.status, refusal.text)
            return
        if job.next_hop is None and any(share.recipient.domain != job.domain for share in job.shares):
            # The identity to prove is the domain's: a share of another domain must not ride on it.
            attempt.settle_open(Outcome.DEFERRED, "4.3.5", "the job mixes recipients of different domains")
            return
        async with self._pool.slot(Key(job.next_hop or job.domain, job.requirement)) as slot:
            if slot.session is not None and await self._on_kept(slot, slot.session, attempt):
                return
            await self._on_new(slot, attempt)

    async def _on_kept(self, slot: Slot, session: Session, attempt: Attempt) -> bool:
        """True where the kept connection settled the job; False where it had gone stale and nothing was sent."""
        try:
            await self._transact(slot, session, attempt)
        except HostFault:
            return not attempt.open_shares
        return True

    async def _on_new(self, slot: Slot, attempt: Attempt) -> None:
        job = attempt.job
        targets = await self._destinations.targets(job.domain, job.next_hop)
        wanted = references(job.requirement, job.next_hop.host if job.next_hop else "", job.domain)
        faults: list[HostFault] = []
        for target in targets:
            try:
                session = await self._open(target, attempt, wanted)
                await self._transact(slot, session, attempt)
            except HostFault as fault:
                faults.append(fault)
            if not attempt.open_shares:
                return
        self._give_up(attempt, faults)

    async def _open(self, target: Target, attempt: Attempt, wanted: tuple[str, ...]) -> Session:
        return await open_session(target, attempt.job.requirement, wanted, self._terms)

    async def _transact(self, slot: Slot, session: Session, attempt: Attempt) -> None:
        try:
            await transact(session, attempt, attempt.job.requirement, self._terms.reply_timeout)
        except BaseException:
            session.abort()
            raise
        slot.keep = session

    def _give_up(self, attempt: Attempt, faults: list[HostFault]) -> None:
        """No host took the job. The most telling fault is reported; the share fails only where all hosts said so."""
        fault = max(faults, key=_weight)
        refused = all(isinstance(each, TurnedAway) and each.reply.permanent for each in faults)
        # A refusal in the clear proves nothing about the peer: anybody on the path could have said it.
        final = refused and attempt.job.requirement.assurance <= Assurance.OPPORTUNISTIC
        status = fault.status if final else f"4{fault.status[1:]}"
        attempt.settle_open(Outcome.FAILED if final else Outcome.DEFERRED, status, fault.text, fault.remote)


def _weight(fault: HostFault) -> int:
    if isinstance(fault, Unproven):
        return 3
    return 2 if isinstance(fault, TurnedAway | Dropped) else 1


async def _refusal(job: Job) -> Refusal | None:
    if len(job.body) <= LARGE:
        return refusal_by_content(job)
    return await asyncio.to_thread(refusal_by_content, job)
