"""What a step of the decision may look at, what it may answer, and what the steps share.

Guarantees: frozen data and pure functions. Failures: none raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from gateway.directory.destination import DestinationFacts
from gateway.directory.model import Partner, Policy, Route
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

ANY_TRANSPORT = Requirement(Assurance.OPPORTUNISTIC)


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


def relayed(case: Case, limb: Limb, reason: Reason, strength: Strength, scheme: str) -> Match:
    """Allowed as it is, to the partner's route or MX, over the least transport of the policy."""
    route = case.partner.route if case.partner is not None else None
    return Match(
        Verdict.ALLOW,
        reason,
        limb,
        requirement=over(route, case.policy.least_transport),
        next_hop=hop(route),
        strength=strength,
        scheme=scheme,
    )


def weakest(parts: tuple[PartFacts, ...]) -> PartFacts | None:
    """The part of least strength, None where there is none."""
    return min(parts, key=lambda part: part.strength, default=None)


def types(counts: Counts) -> str:
    """Types and numbers in words: "nhs-number (2), nino (1)"."""
    return ", ".join(f"{name} ({count})" for name, count in counts)
