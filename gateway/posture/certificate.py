"""The certificate that a mail server shows: its chain, its names, and the days that are left of it.

Guarantees: whether the chain leads to a trust anchor is what OpenSSL said in the handshake; names are compared as
delivery compares them. Pure.
"""

from __future__ import annotations

from datetime import datetime

from gateway.posture.lines import Line
from gateway.posture.model import Check, Outcome
from gateway.transport.certificate import Leaf, matched_name

NAME = "certificate"
SOON = 30  # days


def judge(line: Line, now: datetime, *, judged_by_chain: bool) -> Check:
    """The certificate at one address. `judged_by_chain`: nothing else (DANE, a pin) stands in for a trusted chain."""
    host, handshake = line.peer.host, line.talk.handshake
    if handshake is None:
        return Check(NAME, Outcome.FAILED, f"No certificate was seen: {line.talk.problem or 'no TLS'}.", host)
    if not handshake.certificates:
        text = f"{host} shows no certificate"
        return Check(NAME, Outcome.ABSENT, f"{text}.", host, wrong=(text,))
    leaf = handshake.leaf
    days, named = days_left(leaf, now), bool(matched_name(leaf, (host,)))
    wrong = []
    if judged_by_chain and line.untrusted:
        wrong.append(line.untrusted)
    if days is not None and days < 0:
        wrong.append(f"the certificate of {host} ended {-days} days ago")
    elif days is not None and days <= SOON:
        wrong.append(f"the certificate of {host} ends in {days} days")
    if judged_by_chain and not named:
        wrong.append(f"the certificate of {host} does not carry that name")
    carried = ", ".join((leaf.names + leaf.addresses)[:5]) or "no name"
    until = f"ends in {days} days" if days is not None else "has no end that can be read"
    facts = {
        "address": line.peer.address,
        "sha256": leaf.sha256,
        "spki_sha256": leaf.spki_sha256,
        "names": list((leaf.names + leaf.addresses)[:20]),
        "issuer": leaf.issuer,
        "not_after": leaf.not_after,
        "days": days,
        "trusted": handshake.trusted,
        "names_host": named,
    }
    trust = "leads to a trust anchor" if handshake.trusted else "leads to no trust anchor"
    return Check(NAME, Outcome.FOUND, f"It carries {carried}, {trust} and {until}.", host, facts, tuple(wrong))


def days_left(leaf: Leaf, now: datetime) -> int | None:
    """Whole days until the certificate ends, negative once it has; None where its end cannot be read."""
    if not leaf.not_after:
        return None
    return (datetime.fromisoformat(leaf.not_after) - now).days
