"""One mail server of a domain: its addresses, its TLS, its records, and which proofs a delivery to it would bring.

Guarantees: what must be proven comes from `gateway.delivery.published` and is judged by `gateway.delivery.proof`, as in
a delivery. What was not answered makes a proof unknown; only what was answered makes it impossible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.delivery.destination import Addresses, Destinations, MailHost, Route
from gateway.delivery.expectation import Expectation
from gateway.delivery.faults import PolicyMismatch, RouteUnknown, Unproven
from gateway.delivery.proof import Peer, prove
from gateway.delivery.published import Publications
from gateway.delivery.tls import references
from gateway.model import Proof, Requirement
from gateway.posture import certificate, dane, mta_sts, mx, starttls
from gateway.posture.lines import Line, Lines
from gateway.posture.model import Assured, Check, Outcome, Provable, of_addresses
from gateway.posture.questions import outcome_of
from gateway.transport.resolver import Failure, LookupFailed, Resolver
from gateway.transport.sts_policies import StsFinding

MOST_ADDRESSES = 3  # of one host
ADDRESSES = "addresses"
DNSSEC = "address-dnssec"


@dataclass(frozen=True, slots=True)
class Way:
    """How mail reaches the domain, and what is known of its MTA-STS policy."""

    domain: str
    next_hop: str  # the configured host, "" where mail goes by MX
    route: Route
    finding: StsFinding | None
    sts_record: Outcome


@dataclass(frozen=True, slots=True)
class Tools:
    """What looking takes."""

    resolver: Resolver
    destinations: Destinations
    publications: Publications
    lines: Lines


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found at one host: the checks, and for each requirement by its key whether it is met."""

    checks: tuple[Check, ...]
    answers: Mapping[str, Assured]


async def look(host: MailHost, way: Way, wanted: Mapping[str, Requirement], tools: Tools, now: datetime) -> Seen:
    """Looks at one host. `wanted` are the requirements to try, by a key of the caller's."""
    try:
        addresses = await tools.destinations.addresses(host)
    except RouteUnknown as fault:
        return _unresolved(host, wanted, fault)
    checks = _address_checks(host, way, addresses, tools.resolver.trusted)
    if not addresses.addresses:
        why = f"{host.name} has no address"
        return Seen(checks, {key: Assured(_proof(each), Provable.NO, why) for key, each in wanted.items()})
    found = await dane.look(host, addresses, tools.resolver)
    peers = [Peer(host.name, address, host.port) for address in addresses.addresses[:MOST_ADDRESSES]]
    lines = await asyncio.gather(
        *(tools.lines.visit(peer, implicit_tls=host.implicit_tls, name=found.base) for peer in peers)
    )
    names = tuple(dict.fromkeys((found.base or host.name, host.name, way.domain, *way.route.aliases)))
    checks += _line_checks(lines, found, names, wanted.values(), now)
    answers = {}
    for key, requirement in wanted.items():
        answers[key] = await _answer(host, way, addresses, requirement, lines, tools, now)
    return Seen(checks, answers)


def _unresolved(host: MailHost, wanted: Mapping[str, Requirement], fault: RouteUnknown) -> Seen:
    cause = fault.__cause__
    outcome = outcome_of(cause) if isinstance(cause, LookupFailed) else Outcome.FAILED
    provable = Provable.NO if outcome is Outcome.BOGUS else Provable.UNKNOWN
    check = Check(ADDRESSES, outcome, f"{fault.text}.", host.name, wrong=(fault.text,))
    return Seen(
        (check, replace(check, name=DNSSEC, wrong=())),
        {key: Assured(_proof(each), provable, fault.text) for key, each in wanted.items()},
    )


def _address_checks(host: MailHost, way: Way, addresses: Addresses, trusted: bool) -> tuple[Check, ...]:
    facts = {"addresses": list(addresses.addresses[:20]), "alias_of": "", "by_dns": not host.addresses}
    if not addresses.addresses:
        text = f"{host.name} has no address"
        return (Check(ADDRESSES, Outcome.ABSENT, f"{text}.", host.name, facts, (text,)),)
    wrong: tuple[str, ...] = ()
    if addresses.name not in ("", host.name) and not way.next_hop:
        facts["alias_of"] = addresses.name
        wrong = (f"the MX target {host.name} is an alias (CNAME), which RFC 5321 and RFC 2181 forbid",)
    check = Check(ADDRESSES, Outcome.FOUND, f"At {', '.join(addresses.addresses[:3])}.", host.name, facts, wrong)
    if host.addresses:
        return (check,)
    return check, mx.secured(DNSSEC, f"the addresses of {host.name}", addresses.secure, trusted, host.name)


def _line_checks(
    lines: list[Line], found: dane.Found, names: tuple[str, ...], wanted: Iterable[Requirement], now: datetime
) -> tuple[Check, ...]:
    """The checks of TLS, made at the address that came furthest."""
    best = max(lines, key=lambda line: (line.talk.handshake is not None, line.talk.reached))
    tlsa = dane.compared(found, best, names, now)
    other = bool(found.usable) or any(each.pins for each in wanted)
    return (
        *(starttls.judge(line) for line in lines),
        starttls.versions(best),
        certificate.judge(best, now, judged_by_chain=not other),
        tlsa,
    )


async def _answer(
    host: MailHost,
    way: Way,
    addresses: Addresses,
    requirement: Requirement,
    lines: list[Line],
    tools: Tools,
    now: datetime,
) -> Assured:
    """Whether a delivery under this requirement would succeed with this host."""
    proof = _proof(requirement)
    if proof is Proof.PIN and not requirement.pins:
        return Assured(proof, Provable.NO, "no pin is known")
    if proof is Proof.DANE and not tools.resolver.trusted:
        return Assured(proof, Provable.UNKNOWN, "the DNS resolver is not one whose word on DNSSEC is believed")
    try:
        published = await tools.publications.of_host(
            host, way.domain, way.route, addresses, requirement, way.finding
        )
    except Unproven as fault:
        return Assured(proof, _unpublished(fault, way), fault.text)
    wanted = references(requirement, way.next_hop, way.domain)
    expected = Expectation(requirement, host.name, wanted, published)
    answers = [_on_line(line, expected, now) for line in lines]
    provable = of_addresses(provable for provable, _ in answers)
    return Assured(proof, provable, next((why for answer, why in answers if answer is provable), ""))


def _unpublished(fault: Unproven, way: Way) -> Provable:
    """A host that is ruled out by what is published, or by what could not be learnt of it."""
    cause = fault.__cause__
    if isinstance(cause, LookupFailed):
        return Provable.NO if cause.failure is Failure.BOGUS else Provable.UNKNOWN
    if isinstance(fault, PolicyMismatch) and (way.finding is None or way.finding.policy is None):
        return mta_sts.without_policy(way.finding, way.sts_record)
    return Provable.NO


def _on_line(line: Line, expected: Expectation, now: datetime) -> tuple[Provable, str]:
    """What one address proves, by the handshake that a delivery would have made."""
    talk, requirement = line.talk, expected.requirement
    if talk.handshake is None:
        return (Provable.NO if talk.answered else Provable.UNKNOWN), talk.problem
    if talk.problem:  # after the handshake the server said nothing more
        return Provable.UNKNOWN, talk.problem
    allowed = [each for each in line.handshakes if each.version in requirement.tls_versions]
    accepts = dict(line.accepts)
    if not allowed and any(accepts.get(version) is None for version in requirement.tls_versions):
        versions = " or ".join(requirement.tls_versions)
        return Provable.UNKNOWN, f"whether {line.peer.host} speaks {versions} was not learnt"
    try:
        prove((allowed or line.handshakes)[0], line.peer, expected, now)
    except Unproven as fault:
        return Provable.NO, line.untrusted if line.untrusted and expected.trusted_chain else fault.text
    if requirement.requiretls and not talk.requiretls:
        return Provable.NO, f"{line.peer.host} does not offer REQUIRETLS"
    return Provable.YES, ""


def _proof(requirement: Requirement) -> Proof:
    return requirement.proof or (Proof.PIN if requirement.pins else Proof.PKIX)
