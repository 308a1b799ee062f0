"""Takes a job to its destination: finds the hosts, proves the requirement, transmits, says what happened per share.

Guarantees: `deliver` gives one result per share, in order, within nine tenths of `delivery.lease`, and raises
nothing but `CancelledError`. No MAIL FROM is written on a connection that has not proven the job's requirement; no
path leads from a requirement for TLS to clear text. What cannot be understood is deferred, never sent another way.
Failures: `StartupError` from the constructor where trust anchors or resolvers cannot be used.
"""

from __future__ import annotations

import asyncio

import structlog

from gateway.delivery.destination import MOST_TARGETS, Destinations, Route, Target
from gateway.delivery.expectation import Expectation
from gateway.delivery.faults import (
    ConnectionLost,
    Dropped,
    HostFault,
    RequireTlsRefused,
    RouteRefused,
    RouteUnknown,
    TurnedAway,
    Unproven,
    Unreachable,
)
from gateway.delivery.pool import Key, Pool, Slot
from gateway.delivery.published import Policies, Publications
from gateway.delivery.seen import Seen, Sessions
from gateway.delivery.session import Session, Terms, open_session
from gateway.delivery.tls import Contexts, references
from gateway.delivery.transaction import LARGE, Attempt, Refusal, refusal_by_content, transact
from gateway.errors import StartupError
from gateway.model import Assurance, AttemptResult, Job, Outcome
from gateway.settings import Settings
from gateway.transport.names import normal_name
from gateway.transport.resolver import Resolver
from gateway.transport.sts_policies import StsFinding

SHARE_OF_LEASE = 0.9  # the attempt ends before another worker may take the shares
SHARE_OF_REST = 0.5  # of the attempt's time, for one connection to prove itself

_log = structlog.get_logger(__name__)


class Deliverer:
    """One per process and event loop. Connections are kept between jobs; `close` ends the idle ones."""

    def __init__(
        self,
        settings: Settings,
        resolver: Resolver | None = None,
        policies: Policies | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        """`policies` knows MTA-STS policies, `sessions` counts what was seen; without them neither is done."""
        delivery = settings.delivery
        hostname = normal_name(settings.hostname)
        if not hostname:
            raise StartupError(f"hostname {settings.hostname!r} is not a host name; EHLO needs one")
        self._terms = Terms(hostname, Contexts(delivery.ca_file), delivery.connect_timeout, delivery.reply_timeout)
        resolver = resolver or Resolver(delivery.resolvers, delivery.dnssec)
        self._destinations = Destinations(hostname, resolver)
        self._publications = Publications(resolver, policies)
        self._seen = Seen(sessions, delivery.ca_file)
        self._most_time = delivery.lease * SHARE_OF_LEASE
        self._pool = Pool(
            delivery.connections,
            delivery.connections_per_destination,
            delivery.messages_per_connection,
            delivery.idle_timeout,
        )

    async def deliver(self, job: Job) -> tuple[AttemptResult, ...]:
        """Tries once. One result per share, in order."""
        attempt = Attempt(job, ends=asyncio.get_running_loop().time() + self._most_time)
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
        route = await self._destinations.route(job.domain, job.next_hop)
        finding = await self._publications.policy(job.domain, job.requirement, route)
        self._seen.policy(job, finding)
        faults = await self._through(slot, attempt, route, finding)
        if any(isinstance(fault, Unproven) for fault in faults) and attempt.open_shares:
            # Before a policy of MTA-STS holds mail up, DNS is asked for a newer one (RFC 8461 section 5.1).
            newer = await self._publications.newer_policy(job.domain, finding)
            if newer is not None:
                faults = await self._through(slot, attempt, route, newer)
        if attempt.open_shares:
            self._give_up(attempt, faults, route)

    async def _through(
        self, slot: Slot, attempt: Attempt, route: Route, finding: StsFinding | None
    ) -> list[HostFault]:
        """Tries the hosts in order until nothing is open; what was wrong with those that did not serve."""
        job, faults, left = attempt.job, list[HostFault](), MOST_TARGETS
        wanted = references(job.requirement, job.next_hop.host if job.next_hop else "", job.domain)
        for host in route.hosts:
            try:
                addresses = await self._destinations.addresses(host)
                published = await self._publications.of_host(
                    host, job.domain, route, addresses, job.requirement, finding
                )
            except RouteUnknown as unknown:
                faults.append(Unreachable(unknown.status, unknown.text, host.name))
                continue
            except Unproven as fault:
                faults.append(fault)
                self._seen.refused(job, route, host, finding, fault)
                continue
            expected = Expectation(job.requirement, host.name, wanted, published)
            for address in addresses.addresses[:left]:
                left -= 1
                target = Target(host.name, address, host.port, host.implicit_tls)
                try:
                    await self._transact(slot, await self._open(target, expected, attempt, route), attempt)
                except HostFault as fault:
                    faults.append(fault)
                if not attempt.open_shares:
                    return faults
        return faults

    async def _open(self, target: Target, expected: Expectation, attempt: Attempt, route: Route) -> Session:
        job = attempt.job
        try:
            session = await self._opened_in_time(target, expected, attempt)
        except HostFault as fault:
            self._seen.failed(job, route, target, expected, fault)
            raise
        self._seen.opened(job, route, target, expected, session)
        return session

    async def _opened_in_time(self, target: Target, expected: Expectation, attempt: Attempt) -> Session:
        """A host that hangs has half of the time that is left, so that those behind it have their turn."""
        limit = (attempt.ends - asyncio.get_running_loop().time()) * SHARE_OF_REST
        try:
            async with asyncio.timeout(limit):
                return await open_session(target, expected, self._terms)
        except TimeoutError as error:
            text = f"{target.host}[{target.address}] was not ready for mail within {limit:.0f} s"
            raise ConnectionLost("4.4.2", text, target.host) from error

    async def _transact(self, slot: Slot, session: Session, attempt: Attempt) -> None:
        try:
            await transact(session, attempt, attempt.job.requirement, self._terms.reply_timeout)
        except BaseException:
            session.abort()
            raise
        slot.keep = session

    def _give_up(self, attempt: Attempt, faults: list[HostFault], route: Route) -> None:
        """No host took the job. The most telling fault is reported; the share fails only where all hosts said so."""
        job = attempt.job
        if not faults:
            if route.configured:
                raise RouteUnknown("4.4.4", f"the configured next hop {route.hosts[0].name} has no address")
            raise RouteRefused("5.4.4", f"no mail server of {job.domain} has an address")
        fault = max(faults, key=_weight)
        if job.requiretls and all(isinstance(each, RequireTlsRefused) for each in faults):
            attempt.settle_open(Outcome.FAILED, "5.7.30", fault.text, fault.remote)
            return
        refused = all(isinstance(each, TurnedAway) and each.reply.permanent for each in faults)
        # A refusal in the clear proves nothing about the peer: anybody on the path could have said it.
        final = refused and job.requirement.assurance <= Assurance.OPPORTUNISTIC
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
