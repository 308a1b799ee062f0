"""The MX records of a domain: which hosts take its mail (RFC 5321 section 5.1, RFC 7505), and whether DNSSEC says so.

Guarantees: a null MX, the lack of records and a failed look are three things. Targets that are addresses or no host
names are found fault with here; targets that are aliases where their addresses are looked up. Pure apart from one
question.
"""

from __future__ import annotations

from gateway.posture.model import Check, Outcome
from gateway.posture.questions import unanswered
from gateway.transport.names import address_of, normal_name
from gateway.transport.resolver import Answer, LookupFailed, Resolver

NAME = "mx"
DNSSEC = "mx-dnssec"


async def look(domain: str, resolver: Resolver) -> tuple[Check, ...]:
    """Two checks: the records, and whether DNSSEC secures them."""
    try:
        answer = await resolver.lookup(domain, "MX")
    except LookupFailed as error:
        return unanswered(NAME, error), unanswered(DNSSEC, error)
    return judge(domain, answer), secured(DNSSEC, f"the MX records of {domain}", answer.secure, resolver.trusted)


def judge(domain: str, answer: Answer) -> Check:
    """What the answer says."""
    if not answer.exists:
        text = f"the domain {domain} does not exist"
        return Check(NAME, Outcome.ABSENT, f"T{text[1:]}.", facts={"exists": False}, wrong=(text,))
    if not answer.records:
        detail = f"{domain} has no MX record; its own addresses stand in (implicit MX)."
        return Check(NAME, Outcome.ABSENT, detail, facts={"exists": True, "implicit": True})
    pairs = sorted(_pair(record) for record in answer.records)
    facts = {"records": [f"{preference} {host}" for preference, host in pairs], "null": False}
    if any(host == "." for _, host in pairs):
        more = len(pairs) > 1
        text = "a null MX stands beside other MX records" if more else f"{domain} accepts no mail (null MX)"
        return Check(NAME, Outcome.FOUND, f"{text[0].upper()}{text[1:]}.", facts=facts | {"null": True}, wrong=(text,))
    wrong = tuple(fault for _, host in pairs if (fault := _fault(host)))
    shown = ", ".join(host for _, host in pairs[:4])
    return Check(NAME, Outcome.FOUND, f"Mail goes to {shown}.", facts=facts, wrong=wrong)


def _pair(record: str) -> tuple[int, str]:
    preference, _, host = record.partition(" ")
    return (int(preference) if preference.isdigit() else 0), host if host == "." else host.rstrip(".").lower()


def _fault(host: str) -> str:
    if address_of(host) is not None:
        return f"the MX target {host} is an address, not a name"
    return "" if normal_name(host) else f"the MX target {host} is no host name"


def secured(name: str, what: str, secure: bool, trusted: bool, host: str = "") -> Check:
    """The check whether DNSSEC secures `what`. It cannot be known where the resolver's word is not to be believed."""
    if not trusted:
        text = f"Whether DNSSEC secures {what} cannot be known: the resolver is not one whose word is believed."
        return Check(name, Outcome.FAILED, text, host)
    if secure:
        return Check(name, Outcome.FOUND, f"DNSSEC secures {what}.", host)
    return Check(name, Outcome.ABSENT, f"DNSSEC does not secure {what}.", host)
