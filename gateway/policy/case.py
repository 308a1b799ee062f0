"""What a step of the decision may look at, what it may answer, and what the steps share.

Guarantees: frozen data and pure functions. Failures: none raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from gateway import rewriting
from gateway.directory.destination import DestinationFacts
from gateway.directory.model import Partner, Policy, Route, Service
from gateway.model import (
    Assurance,
    Client,
    Counts,
    Envelope,
    Limb,
    MessageFacts,
    Method,
    NextHop,
    PartFacts,
    Reason,
    Requirement,
    Strength,
    Verdict,
)
from gateway.policy.purpose import Resolved

EMAIL_CLAUSE = "5.3.4"
COUNTRY_CLAUSE = "5.3.7"
RECORD_CLAUSE = "5.3.10"

ANY_TRANSPORT = Requirement(Assurance.OPPORTUNISTIC, published=False)  # delays nothing


@dataclass(frozen=True, slots=True)
class Case:
    """All that a step may look at."""

    facts: MessageFacts
    envelope: Envelope
    client: Client
    destination: DestinationFacts
    policy: Policy
    today: date
    declared: Resolved
    agency: Partner | None = None  # the one that sends

    @property
    def partner(self) -> Partner | None:
        return self.destination.partner


@dataclass(frozen=True, slots=True)
class Match:
    """A step applies: the share is decided."""

    verdict: Verdict
    reason: Reason
    limb: Limb | None = None
    method: Method | None = None
    requirement: Requirement = ANY_TRANSPORT
    next_hop: NextHop | None = None
    keys: tuple[str, ...] = ()
    advice: str = ""
    strength: Strength | None = None  # of the evidence; None: whatever the message has
    scheme: str = ""
    wire_recipient: str = ""
    subject_tag: str = ""


Passed = tuple[Reason, ...]
Judge = Callable[[Case], Match | Passed]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the order: its number, the limb it may find satisfied, and how it judges."""

    number: int
    limb: Limb | None
    judge: Judge


def over(route: Route | None, least: Assurance) -> Requirement:
    """The transport to ask for: `least`, raised by what the route says. A pinned route is an authenticated one."""
    if route is None:
        return Requirement(least)
    assurance = max(least, Assurance[route.tls.upper()], Assurance.AUTHENTICATED if route.pins else Assurance.NONE)
    if assurance < Assurance.AUTHENTICATED:
        return Requirement(assurance)
    return Requirement(assurance, route.names or (route.host,), route.pins)


def hop(route: Route | None) -> NextHop | None:
    """The next hop that a route names, None for the MX."""
    return NextHop(route.host, route.port, route.implicit_tls) if route is not None else None


@dataclass(frozen=True, slots=True)
class Way:
    """How a share travels: what must be proven, where to, and the address that is written there ("": its own)."""

    requirement: Requirement
    next_hop: NextHop | None
    wire_recipient: str = ""


def through(service: Service, recipient: str) -> Way:
    """By an encrypted service: always its own route, whose server must prove who it is, whatever the route says."""
    written = rewriting.wire(recipient, service.address_suffix)
    return Way(over(service.route, Assurance.AUTHENTICATED), hop(service.route), written)


def to_partner(partner: Partner | None, recipient: str, least: Assurance) -> Way:
    """To the partner's service, which is never passed by; else its route or MX, over `least` at least."""
    if partner is not None and partner.service is not None:
        return through(partner.service, recipient)
    route = partner.route if partner is not None else None
    return Way(over(route, least), hop(route))


def relayed(case: Case, limb: Limb, reason: Reason, strength: Strength, scheme: str) -> Match:
    """Allowed as it is, to the partner's service, route or MX, over the least transport of the policy."""
    way = to_partner(case.partner, case.destination.recipient, case.policy.least_transport)
    return Match(
        Verdict.ALLOW,
        reason,
        limb,
        requirement=way.requirement,
        next_hop=way.next_hop,
        strength=strength,
        scheme=scheme,
        wire_recipient=way.wire_recipient,
    )


def weakest(parts: tuple[PartFacts, ...]) -> PartFacts | None:
    """The part of least strength, None where there is none."""
    return min(parts, key=lambda part: part.strength, default=None)


def types(counts: Counts) -> str:
    """Types and numbers in words: "nhs-number (2), nino (1)"."""
    return ", ".join(f"{name} ({count})" for name, count in counts)
