"""The words in which a case of the table is written: hosts, policies, requirements, expectations.

Guarantees: frozen data, no I/O. `tests.transport.world` builds what these words describe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.model import Assurance, Outcome, Proof, Requirement

OPPORTUNISTIC = Requirement()
ENCRYPTED = Requirement(Assurance.ENCRYPTED)
DANE = Requirement(Assurance.AUTHENTICATED, proof=Proof.DANE)
MTA_STS = Requirement(Assurance.AUTHENTICATED, proof=Proof.MTA_STS)
REQUIRETLS = Requirement(Assurance.ENCRYPTED, requiretls=True)

# The state of a DNS zone. insecure: unsigned, and the parent says so. bogus: signed with another key than the parent's
# DS names. expired: its signatures have lapsed. servfail: its name servers say so. silent: they never answer.
State = Literal["secure", "insecure", "bogus", "expired", "servfail", "silent"]

FACES = (
    "good", "rooted", "next", "expired", "self-signed", "untrusted", "wrong-name", "by-domain", "cn-only", "wildcard",
    "cn-only-2", "leaf-only", "no-starttls", "tls11", "tls12", "tls13",
)  # fmt: skip
TRICKS = (
    "454", "501", "inject", "reset", "garbage", "requiretls", "requiretls-in-the-clear", "drop-at-connect",
    "550-greeting",
)  # fmt: skip
EXTRA = ("requiretls-self-signed", "closed")  # a server with REQUIRETLS, and an address where nothing listens


@dataclass(frozen=True, slots=True)
class Host:
    """An MX host. `face` is the server behind its address: one of FACES, TRICKS or EXTRA.

    `tlsa`: "USAGE SELECTOR MATCHING WHOSE" each, WHOSE one of leaf (the face's own), next, issuing, root, other.
    `zone` is the state of the zone of the host's name, `tlsa_zone` that of its TLSA records where it is another.
    `alias`: the name is a CNAME to a host in a zone of that state. `tlsa_at_alias`: the records are at the alias.
    `address`: False leaves the name without one. `deep`: its name has one label more.
    """

    face: str
    tlsa: tuple[str, ...] = ()
    zone: State | None = None  # None: that of the domain
    tlsa_zone: State | None = None
    alias: State | None = None
    tlsa_at_alias: bool = False
    address: bool = True
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """An MTA-STS policy as the domain publishes it. In `mx`, {mx1}, {mx2} and {domain} stand for names.

    `fetch`: "ok", or "404". `record`: the TXT record is there. `cached`: the mode of a policy in the cache, with
    `cached_mx`, fetched before and still in its max_age.
    """

    mode: str = "enforce"
    mx: tuple[str, ...] = ("{mx1}",)
    fetch: Literal["ok", "404"] = "ok"
    record: bool = True
    cached: str = ""
    cached_mx: tuple[str, ...] = ("{mx1}",)


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a case. `host` counts from 1; 0: no host took the mail."""

    outcome: Outcome
    status: str = "2.0.0"
    host: int = 0
    assurance: Assurance = Assurance.NONE
    by: str = ""
    also: tuple[str, ...] = ()
    tlsa: str = ""  # the first three fields of the record that matched
    dnssec: str = ""
    sts: str = ""  # the mode of the policy that was heeded
    pin: str = ""  # as in the requirement
    requiretls: bool = False
    tls: str = ""  # the version, where the case is about it


def clear(dnssec: str, *, host: int = 1, sts: str = "") -> Expected:
    """Delivered without TLS."""
    return Expected(Outcome.DELIVERED, host=host, dnssec=dnssec, sts=sts)


def encrypted(dnssec: str, *, host: int = 1, sts: str = "", tls: str = "") -> Expected:
    """Delivered by TLS to a peer that nothing authenticates."""
    return Expected(Outcome.DELIVERED, host=host, assurance=Assurance.ENCRYPTED, dnssec=dnssec, sts=sts, tls=tls)


def by(
    proof: str, dnssec: str, *, also: Sequence[str] = (), host: int = 1, tlsa: str = "", sts: str = "", pin: str = "",
    requiretls: bool = False, tls: str = "",
) -> Expected:  # fmt: skip
    """Delivered to a peer that `proof` authenticates."""
    return Expected(
        Outcome.DELIVERED, host=host, assurance=Assurance.AUTHENTICATED, by=proof, also=tuple(also), tlsa=tlsa,
        dnssec=dnssec, sts=sts, pin=pin, requiretls=requiretls, tls=tls,
    )  # fmt: skip


def dane(tlsa: str = "3 1 1", *, host: int = 1, sts: str = "", also: Sequence[str] = ()) -> Expected:
    """Delivered to a peer that a TLSA record authenticates."""
    return by("dane", "secure", host=host, tlsa=tlsa, sts=sts, also=also)


def deferred(status: str) -> Expected:
    """Not one byte of the envelope sent; tried again later."""
    return Expected(Outcome.DEFERRED, status)


def failed(status: str) -> Expected:
    """Not one byte of the envelope sent; the sender is told."""
    return Expected(Outcome.FAILED, status)


@dataclass(frozen=True, slots=True)
class Peer:
    """What Postfix does with the same destination under the TLS policy `level`.

    `does`: "same", or "sent" with the word that it has for the session (Verified, Trusted, Untrusted, clear) and the
    host, "deferred", "bounced". Where that is not "same", `why` explains it and begins with the section.
    """

    level: str
    does: str = "same"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table. `name` is a DNS label. `hosts` are in order of preference.

    `zone` is the state of the domain's zone. `mail`: "mx", "implicit" (no MX record: the domain itself is the only
    host), "null" (RFC 7505), "nothing" (the domain does not exist). `peer` None: `no_peer` says why.
    """

    name: str
    section: str
    why: str
    expected: Expected
    hosts: tuple[Host, ...] = ()
    requirement: Requirement = OPPORTUNISTIC
    zone: State = "secure"
    mail: Literal["mx", "implicit", "null", "nothing"] = "mx"
    policy: Policy | None = None
    peer: Peer | None = None
    no_peer: str = ""
    asked: bool = False  # the client asked for REQUIRETLS; else the register entry does


def pkix(*names: str, tls_versions: tuple[str, ...] = ()) -> Requirement:
    """PKIX by these names; {mx1}, {mx2}, {parent} and {domain} stand for names. None: by the domain."""
    return Requirement(Assurance.AUTHENTICATED, names=names, proof=Proof.PKIX, tls_versions=tls_versions)


def pinned(*pins: str, names: tuple[str, ...] = ()) -> Requirement:
    """Pins, written KIND:WHOSE with WHOSE a face, issuing, root or other."""
    return Requirement(Assurance.AUTHENTICATED, pins=pins, names=names, proof=Proof.PIN)


def versions(requirement: Requirement, *allowed: str) -> Requirement:
    """The same with these TLS versions alone."""
    return replace(requirement, tls_versions=allowed)


# ---------------------------------------------------------------- Postfix

P_DANE, P_ONLY, P_ENCRYPT = Peer("dane"), Peer("dane-only"), Peer("encrypt")
P_SECURE = Peer("secure match={mx1}")
