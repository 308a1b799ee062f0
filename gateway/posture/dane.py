"""The TLSA records of a mail server (RFC 7672): there or not, usable or not, matching or not.

Guarantees: asked for only where DNSSEC secures the way to them (section 2.2.2), at the names where delivery asks; what
matches is what `gateway.transport.tlsa` says. A look that failed is never the lack of records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from gateway.delivery.destination import Addresses, MailHost
from gateway.posture.lines import Line
from gateway.posture.model import Check, Outcome
from gateway.posture.questions import unanswered
from gateway.transport import tlsa
from gateway.transport.names import address_of
from gateway.transport.resolver import LookupFailed, Resolver

NAME = "tlsa"


@dataclass(frozen=True, slots=True)
class Found:
    """The records of one host. `base` is the name that they are at, "" without any."""

    check: Check
    base: str = ""
    usable: tuple[tlsa.Tlsa, ...] = ()


async def look(host: MailHost, addresses: Addresses, resolver: Resolver) -> Found:
    """The secure TLSA records of the host."""
    if address_of(host.name) is not None or not resolver.trusted or not addresses.secure:
        text = f"TLSA records of {host.name} are not asked for: DNSSEC does not secure the way to them."
        return Found(Check(NAME, Outcome.ABSENT, text, host.name, {"asked": False}))
    for base in dict.fromkeys((addresses.name, host.name)):
        try:
            answer = await resolver.lookup(f"_{host.port}._tcp.{base}", "TLSA")
        except LookupFailed as error:
            return Found(unanswered(NAME, error, host.name))
        if answer.records and answer.secure:
            return _read(host.name, base, answer.records)
    return Found(Check(NAME, Outcome.ABSENT, f"{host.name} has no TLSA record.", host.name, {"asked": True}))


def _read(host: str, base: str, records: tuple[str, ...]) -> Found:
    usable = tlsa.usable(tlsa.parse(records))
    facts = {"asked": True, "base": base, "records": [record[:200] for record in records[:20]], "usable": len(usable)}
    if not usable:
        text = f"none of the TLSA records of {host} is usable"
        return Found(Check(NAME, Outcome.FOUND, f"{text[0].upper()}{text[1:]}.", host, facts, (text,)), base)
    shown = ", ".join(f"{each.usage} {each.selector} {each.matching}" for each in usable[:4])
    return Found(Check(NAME, Outcome.FOUND, f"TLSA {shown}.", host, facts), base, usable)


def compared(found: Found, line: Line | None, names: tuple[str, ...], now: datetime) -> Check:
    """The check, with what the certificate at one address says to the records."""
    if line is None or line.talk.handshake is None or not found.usable:
        return found.check
    matched = tlsa.match(found.usable, line.talk.handshake.certificates, names, now)
    if isinstance(matched, str):
        text = f"the certificate of {line.peer.host} is not what its TLSA records say: {matched}"
        facts = {**found.check.facts, "matches": False}
        return replace(found.check, facts=facts, wrong=(*found.check.wrong, text))
    return replace(found.check, facts={**found.check.facts, "matches": True, "matched": matched.record})
