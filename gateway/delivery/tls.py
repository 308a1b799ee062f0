"""What a TLS connection proves: chain, names, pins (RFC 6125, RFC 5280), and the evidence of it.

Guarantees: TLS 1.2 or later always. Names come from the subjectAltName alone, the CN is never read; a wildcard is
the whole left-most label and stands for one label. A certificate that cannot be read proves nothing. With pins,
one must equal the SHA-256 of the leaf's SubjectPublicKeyInfo and nothing else is consulted.
Failures: `Unproven` with status 4.7.5; `StartupError` where the trust anchors cannot be read.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.delivery.faults import Unproven
from gateway.errors import StartupError
from gateway.model import Assurance, Requirement, TransportEvidence
from gateway.transport.certificate import Leaf, matched_name, read_leaf

VERSIONS = ("TLSv1.2", "TLSv1.3")


@dataclass(frozen=True, slots=True)
class Contexts:
    """`verifying` demands a valid, unexpired chain to the trust anchors; `encrypting` demands none."""

    verifying: ssl.SSLContext
    encrypting: ssl.SSLContext

    def suited_to(self, requirement: Requirement) -> ssl.SSLContext:
        """The context that checks what the requirement leaves to OpenSSL."""
        if requirement.assurance >= Assurance.AUTHENTICATED and not requirement.pins:
            return self.verifying
        return self.encrypting


def contexts(ca_file: Path | None) -> Contexts:
    """Both contexts; trust anchors from `ca_file`, else the system's. Raises StartupError."""
    verifying, encrypting = _context(), _context()
    try:
        if ca_file is not None:
            verifying.load_verify_locations(cafile=ca_file)
        else:
            verifying.load_default_certs(ssl.Purpose.SERVER_AUTH)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"the trust anchors in {ca_file} cannot be read: {error}") from error
    verifying.verify_mode = ssl.CERT_REQUIRED
    return Contexts(verifying, encrypting)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # the names are compared here: OpenSSL knows no ".example.org"
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def references(requirement: Requirement, next_hop_host: str, domain: str) -> tuple[str, ...]:
    """The reference identities: the requirement's, else the next hop's host, else the domain and any host below it."""
    if requirement.names:
        return requirement.names
    return (next_hop_host,) if next_hop_host else (domain, f".{domain}")


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection."""

    host: str
    address: str
    port: int


def clear_evidence(peer: Peer) -> TransportEvidence:
    """The evidence of a connection without TLS."""
    return TransportEvidence(peer.host, peer.address, peer.port, Assurance.NONE)


def prove(
    connection: ssl.SSLObject, peer: Peer, requirement: Requirement, wanted: tuple[str, ...]
) -> TransportEvidence:
    """What this handshake proved. Raises `Unproven` where it is less than the requirement.

    A chain is only taken as valid where the handshake ran under a context that demanded it.
    """
    version = connection.version() or ""
    if version not in VERSIONS:
        said = version or "no TLS version"
        raise Unproven("4.7.5", f"{peer.host} negotiated {said}, TLS 1.2 is the least", peer.host)
    der = connection.getpeercert(binary_form=True)
    leaf = read_leaf(der) if der else Leaf("", "")
    assurance, by, name = Assurance.ENCRYPTED, "", ""
    if requirement.assurance >= Assurance.AUTHENTICATED:
        by, name = _authenticate(connection, leaf, peer, requirement, wanted)
        assurance = Assurance.AUTHENTICATED
    cipher = connection.cipher()
    return TransportEvidence(
        peer.host, peer.address, peer.port, assurance, version, cipher[0] if cipher else "",
        leaf.sha256, leaf.spki_sha256, by, name, leaf.issuer, leaf.not_after,
    )  # fmt: skip


def _authenticate(
    connection: ssl.SSLObject, leaf: Leaf, peer: Peer, requirement: Requirement, wanted: tuple[str, ...]
) -> tuple[str, str]:
    if requirement.pins:
        pins = {pin.replace(":", "").lower() for pin in requirement.pins}
        if leaf.spki_sha256 and leaf.spki_sha256 in pins:
            return "pin", ""
        found = leaf.spki_sha256 or "unreadable"
        raise Unproven("4.7.5", f"the public key of {peer.host} ({found}) is none of the pinned keys", peer.host)
    if connection.context.verify_mode != ssl.CERT_REQUIRED:
        raise Unproven("4.7.5", f"the certificate of {peer.host} was not checked against trust anchors", peer.host)
    name = matched_name(leaf, wanted)
    if not name:
        carried = ", ".join((leaf.names + leaf.addresses)[:5]) or "no name at all"
        raise Unproven(
            "4.7.5", f"the certificate of {peer.host} carries {carried}, not {' or '.join(wanted[:5])}", peer.host
        )
    return "pkix", name
