"""What a TLS handshake proves about its peer, by each of the ways that are known; the evidence of it.

Guarantees: pure; the first thing that does not hold raises, and nothing is made up for by something else. The steps:
1 the TLS version; 2 what the destination publishes by DANE; 3 by MTA-STS; 4 the requirement's own proof;
5 REQUIRETLS. A chain counts as valid only where the handshake ran under a context that demanded it, or where it was
verified here to an authority that the requirement or a TLSA record names.
Failures: `Unproven` with status 4.7.5.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from gateway.delivery.expectation import Expectation
from gateway.delivery.faults import NotAsRequired, PolicyMismatch, Unproven
from gateway.model import Assurance, Proof, TransportEvidence
from gateway.transport import chain, tlsa
from gateway.transport.certificate import Leaf, matched_name, read_leaf, split_pin
from gateway.transport.tlsrpt import ResultType

VERSIONS = ("TLSv1.2", "TLSv1.3")


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection."""

    host: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a handshake showed. `trusted`: it demanded a valid, unexpired chain to the trust anchors."""

    version: str
    cipher: str
    certificates: tuple[bytes, ...] = ()  # DER, as presented, the peer's own first
    trusted: bool = False

    @property
    def leaf(self) -> Leaf:
        """What is read of the peer's own certificate; without one, nothing."""
        return read_leaf(self.certificates[0]) if self.certificates else Leaf("", "")


@dataclass(slots=True)
class _Proven:
    """What was proven so far: each proof with its details."""

    by: dict[Proof, str] = field(default_factory=dict)  # in order, with the name that matched
    pin: str = ""
    tlsa: str = ""

    def add(self, proof: Proof, name: str = "") -> None:
        self.by[proof] = name or self.by.get(proof, "")


def prove(handshake: Handshake, peer: Peer, expected: Expectation, now: datetime) -> TransportEvidence:
    """What this handshake proved. Raises `Unproven` where it is less than what is expected."""
    _version(handshake, peer, expected)  # 1
    leaf, proven = handshake.leaf, _Proven()
    if expected.published.tlsa:  # 2
        _dane(handshake, peer, expected, now, proven)
    if expected.published.enforced:  # 3
        _mta_sts(handshake, leaf, peer, proven)
    _own(handshake, leaf, peer, expected, now, proven)  # 4
    if expected.requirement.requiretls:  # 5
        _requiretls(handshake, leaf, peer, expected, proven)
    return _evidence(handshake, leaf, peer, expected, proven)


def _version(handshake: Handshake, peer: Peer, expected: Expectation) -> None:
    if handshake.version not in VERSIONS:
        said = handshake.version or "no TLS version"
        raise _unproven(peer, f"{peer.host} negotiated {said}, TLS 1.2 is the least")
    allowed = expected.requirement.tls_versions
    if allowed and handshake.version not in allowed:
        raise _not_as_required(peer, f"{peer.host} negotiated {handshake.version}; allowed is {' or '.join(allowed)}")


def _dane(handshake: Handshake, peer: Peer, expected: Expectation, now: datetime, proven: _Proven) -> None:
    published = expected.published
    matched = tlsa.match(published.tlsa, handshake.certificates, published.tlsa_names, now)
    if isinstance(matched, str):
        text = f"the certificate of {peer.host} is not what its TLSA records say: {matched}"
        raise _unproven(peer, text, ResultType.VALIDATION_FAILURE)
    proven.tlsa = matched.record
    proven.add(Proof.DANE, matched.name)


def _mta_sts(handshake: Handshake, leaf: Leaf, peer: Peer, proven: _Proven) -> None:
    """RFC 8461 section 4.2: a valid chain, and the MX host's own name among the certificate's."""
    name = matched_name(leaf, (peer.host,)) if handshake.trusted else ""
    if not name:
        text = f"the certificate of {peer.host} carries {_carried(leaf)}, not its name, as MTA-STS requires"
        raise PolicyMismatch("4.7.5", text, peer.host, ResultType.CERTIFICATE_HOST_MISMATCH)
    proven.add(Proof.MTA_STS, name)


def _own(
    handshake: Handshake, leaf: Leaf, peer: Peer, expected: Expectation, now: datetime, proven: _Proven
) -> None:
    if expected.proof is Proof.PKIX:
        proven.add(Proof.PKIX, _pkix(handshake, leaf, peer, expected.wanted))
    elif expected.proof is Proof.PIN:
        proven.pin, name = _pin(handshake, leaf, peer, expected, now)
        proven.add(Proof.PIN, name)
    elif expected.proof is not None and expected.proof not in proven.by:
        raise _not_as_required(peer, f"{peer.host} is not authenticated by {expected.proof}, which is required")


def _pkix(handshake: Handshake, leaf: Leaf, peer: Peer, wanted: tuple[str, ...]) -> str:
    if not handshake.trusted:
        text = f"the certificate of {peer.host} was not checked against trust anchors"
        raise _not_as_required(peer, text)
    name = matched_name(leaf, wanted)
    if not name:
        text = f"the certificate of {peer.host} carries {_carried(leaf)}, not {' or '.join(wanted[:5])}"
        raise _not_as_required(peer, text)
    return name


def _pin(
    handshake: Handshake, leaf: Leaf, peer: Peer, expected: Expectation, now: datetime
) -> tuple[str, str]:
    """The pin that matches, and for an authority the name that the certificate carries."""
    for pin in expected.requirement.pins:
        kind, digest = split_pin(pin)
        name = ""
        if kind == "ca":
            name = _under(digest, handshake, leaf, expected.wanted, now)
            held = bool(name)
        else:
            held = bool(digest) and digest == (leaf.sha256 if kind == "cert" else leaf.spki_sha256)
        if held:
            return pin, name
    found = leaf.spki_sha256 or "unreadable"
    text = f"the public key of {peer.host} ({found}) is none of the pinned keys, nor certified by a pinned authority"
    raise _not_as_required(peer, text)


def _under(digest: str, handshake: Handshake, leaf: Leaf, wanted: tuple[str, ...], now: datetime) -> str:
    """The wanted name that the leaf carries, where it chains to the authority whose public key has that digest."""
    for authority in handshake.certificates[1:]:
        pinned = read_leaf(authority).spki_sha256 == digest
        if pinned and chain.problem(handshake.certificates, (authority,), now) is None:
            return matched_name(leaf, wanted)
    return ""


def _requiretls(handshake: Handshake, leaf: Leaf, peer: Peer, expected: Expectation, proven: _Proven) -> None:
    """RFC 8689 section 4.2.1: the MX name by DNSSEC or MTA-STS, the certificate by PKIX or DANE."""
    published = expected.published
    if published.dnssec == "insecure" and not published.enforced:
        text = f"REQUIRETLS: neither DNSSEC nor MTA-STS proves that {peer.host} takes the domain's mail"
        raise _not_as_required(peer, text)
    if not proven.by:
        proven.add(Proof.PKIX, _pkix(handshake, leaf, peer, (peer.host,)))


def _evidence(
    handshake: Handshake, leaf: Leaf, peer: Peer, expected: Expectation, proven: _Proven
) -> TransportEvidence:
    published = expected.published
    own = expected.proof
    first = own if own is not None else next(iter(proven.by), None)
    return TransportEvidence(
        peer.host,
        peer.address,
        peer.port,
        Assurance.AUTHENTICATED if proven.by else Assurance.ENCRYPTED,
        handshake.version,
        handshake.cipher,
        leaf.sha256,
        leaf.spki_sha256,
        first.value if first is not None else "",
        proven.by.get(first, "") if first is not None else "",
        leaf.issuer,
        leaf.not_after,
        chain_sha256=tuple(hashlib.sha256(certificate).hexdigest() for certificate in handshake.certificates),
        also=tuple(proof.value for proof in proven.by if proof is not first),
        matched_pin=proven.pin,
        tlsa=proven.tlsa,
        dnssec=published.dnssec,
        sts_id=published.sts.id if published.sts is not None else "",
        sts_mode=published.sts.mode if published.sts is not None else "",
    )


def _carried(leaf: Leaf) -> str:
    return ", ".join((leaf.names + leaf.addresses)[:5]) or "no name at all"


def _unproven(peer: Peer, text: str, why: ResultType = ResultType.VALIDATION_FAILURE) -> Unproven:
    return Unproven("4.7.5", text, peer.host, why)


def _not_as_required(peer: Peer, text: str) -> NotAsRequired:
    return NotAsRequired("4.7.5", text, peer.host)
