"""What a TLS connection proves: chain, names, pins (RFC 6125, RFC 5280), and the evidence of it.

Guarantees: TLS 1.2 or later always. Names come from the subjectAltName alone, the CN is never read; a wildcard is
the whole left-most label and stands for one label. A certificate that cannot be read proves nothing. With pins,
one must equal the SHA-256 of the leaf's SubjectPublicKeyInfo and nothing else is consulted.
Failures: `Unproven` with status 4.7.5; `StartupError` where the trust anchors cannot be read.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import idna
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from gateway.delivery.faults import Unproven
from gateway.errors import StartupError
from gateway.model import Assurance, Requirement, TransportEvidence

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


def server_name(host: str) -> str | None:
    """The SNI to send (RFC 6066 section 3): the host name, or none for an address."""
    return None if address_of(host) else host.rstrip(".") or None


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` spells, or None where it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def normal_name(name: str) -> str:
    """Lower-case A-labels without the final dot; "" where `name` is no host name. A leading dot stays."""
    name = name.strip().rstrip(".").lower()
    if not name.isascii():
        dot = "." if name.startswith(".") else ""
        try:
            name = dot + idna.encode(name.removeprefix("."), uts46=True).decode()
        except idna.IDNAError:
            return ""
    labels = name.removeprefix(".").split(".")
    return name if all(_is_label(label) for label in labels) else ""


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and label.replace("-", "").replace("_", "").isalnum() and label.isascii()


def name_matches(presented: str, reference: str) -> bool:
    """True where the certificate's DNS-ID `presented` names `reference`; ".example.org" means any host below it."""
    presented = presented.lower()
    wildcard = presented.startswith("*.")
    stem = presented[2:] if wildcard else presented
    reference = normal_name(reference)
    if not reference or stem.startswith(".") or stem.endswith(".") or normal_name(stem) != stem:
        return False
    if wildcard and "." not in stem:
        return False
    if reference.startswith("."):
        # A wildcard directly below the domain names only hosts below it.
        return f".{stem}".endswith(reference) if wildcard else stem.endswith(reference) and stem != reference[1:]
    if wildcard:
        return reference.partition(".")[2] == stem
    return stem == reference


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is read from the peer's certificate."""

    sha256: str
    spki_sha256: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    issuer: str = ""
    not_after: str = ""


def read_leaf(der: bytes) -> Leaf:
    """The certificate's facts. What cannot be read stays empty and therefore proves nothing."""
    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        spki = asn1_x509.Certificate.load(der, strict=True)["tbs_certificate"]["subject_public_key_info"].dump()
        certificate = x509.load_der_x509_certificate(der)
        issuer = certificate.issuer.rfc4514_string()
        not_after = certificate.not_valid_after_utc.isoformat()
    except (ValueError, TypeError, KeyError, x509.UnsupportedGeneralNameType):
        return Leaf(fingerprint, "")
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(extension.get_values_for_type(x509.DNSName))
        addresses = tuple(str(address) for address in extension.get_values_for_type(x509.IPAddress))
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        names = addresses = ()
    return Leaf(fingerprint, hashlib.sha256(spki).hexdigest(), names, addresses, issuer, not_after)


def references(requirement: Requirement, next_hop_host: str, domain: str) -> tuple[str, ...]:
    """The reference identities: the requirement's, else the next hop's host, else the domain and any host below it."""
    if requirement.names:
        return requirement.names
    return (next_hop_host,) if next_hop_host else (domain, f".{domain}")


def matched_name(leaf: Leaf, wanted: tuple[str, ...]) -> str:
    """The first name or address of the certificate that is one of `wanted`, or ""."""
    for reference in wanted:
        address = address_of(reference)
        if address is not None:
            if str(address) in leaf.addresses:
                return str(address)
            continue
        for name in leaf.names:
            if name_matches(name, reference):
                return name
    return ""


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
