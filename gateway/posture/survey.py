"""Looks at many domains at once, each within bounds of its own.

Guarantees: at most so many domains are looked at at the same time, the rest wait; results come as they finish; every
step has a time-out and every domain an end, so that one that answers nothing holds up nobody. What runs out of time
is failed and unknown. A `Survey` remembers what it saw: use a new one for every round, and close it.
Failures: `StartupError` from the constructor where trust anchors or resolvers cannot be used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from gateway.delivery.destination import Destinations
from gateway.delivery.faults import RouteRefused, RouteUnknown
from gateway.delivery.published import Publications
from gateway.delivery.tls import Contexts
from gateway.errors import StartupError
from gateway.log import get_logger
from gateway.model import Proof
from gateway.posture import dmarc, host, mta_sts, mx, spf, tls_rpt
from gateway.posture.conversation import Terms
from gateway.posture.host import Seen, Tools, Way
from gateway.posture.lines import Lines
from gateway.posture.model import Assured, Check, Outcome, Posture, Provable, of_hosts
from gateway.posture.questions import PromptResolver, outcome_of
from gateway.posture.subject import Subject
from gateway.settings import Settings
from gateway.threads import in_thread
from gateway.transport.names import normal_name
from gateway.transport.resolver import LookupFailed
from gateway.transport.sts_fetch import Fetcher
from gateway.transport.sts_policies import Shelf, StsFinding, StsPolicies, StsState

MOST_STEPS = 12.0  # time-outs that one domain may take in all
ENTRY = "entry"
SURVEY = "survey"

_log = get_logger("posture")


class Survey:
    """Looks at domains. Everything that it asks is asked anew."""

    def __init__(self, settings: Settings, shelf: Shelf | None = None, at_once: int | None = None) -> None:
        """`shelf`: where MTA-STS policies are kept; by default one of its own, for as long as it lives.

        `at_once`: domains looked at together, at most those of the settings.
        """
        delivery, posture = settings.delivery, settings.posture
        hostname = normal_name(settings.hostname)
        if not hostname:
            raise StartupError(f"hostname {settings.hostname!r} is not a host name; EHLO needs one")
        self._at_once, self._timeout = min(at_once or posture.at_once, posture.at_once), posture.timeout
        resolver = PromptResolver(delivery.resolvers, delivery.dnssec, posture.timeout)
        self._source = mta_sts.OnceEach(Fetcher(resolver, delivery.ca_file, posture.timeout))
        self._shelf = shelf or mta_sts.Borrowed()
        self._policies = StsPolicies(resolver, self._source, self._shelf)
        self._tools = Tools(
            resolver,
            Destinations(hostname, resolver),
            Publications(resolver, self._policies),
            Lines(Contexts(delivery.ca_file), Terms(hostname, posture.timeout)),
        )

    async def close(self) -> None:
        """Ends what still runs in the background."""
        await self._policies.close()
        await self._source.close()
        await self._tools.lines.close()

    async def postures(self, subjects: Iterable[Subject]) -> AsyncIterator[tuple[Subject, Posture]]:
        """What was found, in the order in which it was."""
        places = asyncio.Semaphore(self._at_once)

        async def one(subject: Subject) -> tuple[Subject, Posture]:
            async with places:
                return subject, await self.look(subject)

        tasks = [asyncio.ensure_future(one(subject)) for subject in subjects]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def resolver_fails(self, domain: str) -> bool:
        """True where DNS, asked anew, does not tell the domain's MX: of many domains, a fault on our side."""
        self._tools.resolver.forget(domain, "MX")
        try:
            await self._tools.resolver.lookup(domain, "MX")
        except LookupFailed:
            return True
        return False

    async def look(self, subject: Subject) -> Posture:
        """Everything about one domain. Never raises for what is found there."""
        now = datetime.now(UTC)
        try:
            async with asyncio.timeout(MOST_STEPS * self._timeout):
                return await self._look(subject, now)
        except TimeoutError:
            why = f"looking at {subject.domain} took longer than {MOST_STEPS * self._timeout:g} seconds"
        except Exception as error:  # noqa: BLE001 - one domain's oddity must not cost the others their look
            _log.error("posture fault", domain=subject.domain, error=type(error).__name__, exc_info=True)
            why = f"a fault of the gateway while looking at {subject.domain}"
        check = Check(SURVEY, Outcome.FAILED, f"{why}.", wrong=(why,))
        return _posture(subject, now, (check,), _all(Provable.UNKNOWN, why))

    async def _look(self, subject: Subject, now: datetime) -> Posture:
        domain, resolver = subject.domain, self._tools.resolver
        async with asyncio.TaskGroup() as together:
            sts = together.create_task(mta_sts.look(domain, resolver, self._source))
            others = [
                together.create_task(each.look(domain, resolver)) for each in (tls_rpt, spf, dmarc)
            ]
            mx_checks = await mx.look(domain, resolver)
            announced = await sts
            finding = await self._finding(subject)
            checks, answers = await self._servers(subject, finding, announced.record.outcome, now)
        record, policy = announced.checks(_hosts(mx_checks[0]))
        policies = (record, await self._kept(policy, domain, finding), *(task.result() for task in others))
        return _posture(subject, now, (*mx_checks, *checks, *policies), answers)

    async def _finding(self, subject: Subject) -> StsFinding | None:
        """What a delivery would know of the domain's MTA-STS policy; None where it would not ask."""
        return None if subject.route is not None else await self._policies.of(subject.domain)

    async def _kept(self, check: Check, domain: str, finding: StsFinding | None) -> Check:
        """The check of the policy; where delivery goes by a kept one that cannot be renewed, until when."""
        if finding is None or finding.state is not StsState.CACHED:
            return check
        kept = await in_thread(self._shelf.load, domain)
        if kept is None:
            return check
        until = datetime.fromtimestamp(kept.expires_at, UTC).isoformat(timespec="seconds")
        return replace(check, facts={**check.facts, "kept_until": until})

    async def _servers(
        self, subject: Subject, finding: StsFinding | None, sts_record: Outcome, now: datetime
    ) -> tuple[tuple[Check, ...], dict[str, Assured]]:
        """The checks of each mail server, and of each requirement whether one of them meets it."""
        wanted = subject.wanted()
        try:
            route = await self._tools.destinations.route(subject.domain, subject.next_hop)
        except RouteRefused as fault:
            return (), {key: Assured(each.proof or Proof.PKIX, Provable.NO, fault.text) for key, each in wanted.items()}
        except RouteUnknown as fault:
            cause = fault.__cause__
            bogus = isinstance(cause, LookupFailed) and outcome_of(cause) is Outcome.BOGUS
            provable = Provable.UNKNOWN if isinstance(cause, LookupFailed) and not bogus else Provable.NO
            return (), {key: Assured(each.proof or Proof.PKIX, provable, fault.text) for key, each in wanted.items()}
        next_hop = subject.next_hop.host if subject.next_hop is not None else ""
        way = Way(subject.domain, next_hop, route, finding, sts_record)
        seen = await asyncio.gather(*(host.look(each, way, wanted, self._tools, now) for each in route.hosts))
        checks = tuple(check for each in seen for check in each.checks)
        return checks, {key: _best(key, seen) for key in wanted}


def _hosts(check: Check) -> tuple[str, ...]:
    """The MX hosts that the check of MX records names."""
    return tuple(host for record in check.facts.get("records", ()) if (host := record.partition(" ")[2]) != ".")


def _best(key: str, seen: Iterable[Seen]) -> Assured:
    answers = [each.answers[key] for each in seen]
    provable = of_hosts(answer.provable for answer in answers)
    return next(answer for answer in answers if answer.provable is provable)


def _all(provable: Provable, why: str) -> dict[str, Assured]:
    return {proof.value: Assured(proof, provable, why) for proof in Proof}


def _posture(
    subject: Subject, now: datetime, checks: tuple[Check, ...], answers: dict[str, Assured]
) -> Posture:
    assurances = tuple(answers[proof.value] for proof in Proof)
    required = subject.required
    if required is None:
        provable = of_hosts(each.provable for each in assurances)
        why = "" if provable is Provable.YES else next(each.why for each in assurances if each.provable is provable)
        return Posture(subject.domain, now, checks, assurances, provable, why)
    answer = answers.get(ENTRY) or answers[(required.proof or Proof.PKIX).value]
    entry = subject.entry.domain if subject.entry is not None else ""
    return Posture(
        subject.domain, now, checks, assurances, answer.provable, answer.why, entry, required.proof or Proof.PKIX
    )
