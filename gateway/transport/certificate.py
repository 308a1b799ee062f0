"""What is read from a certificate, and which of its names is wanted.

Guarantees: the CN is never read; what cannot be read stays empty and therefore proves nothing. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from asn1crypto import x509 as asn1_x509
from cryptography import x509

from gateway.transport.chain import UNREADABLE
from gateway.transport.names import address_of, name_matches

PIN_KINDS = ("spki", "cert", "ca")


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
    except (*UNREADABLE, KeyError):
        return Leaf(fingerprint, "")
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(extension.get_values_for_type(x509.DNSName))
        addresses = tuple(str(address) for address in extension.get_values_for_type(x509.IPAddress))
    except (*UNREADABLE, x509.ExtensionNotFound):
        names = addresses = ()
    return Leaf(fingerprint, hashlib.sha256(spki).hexdigest(), names, addresses, issuer, not_after)


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


def split_pin(pin: str) -> tuple[str, str]:
    """What a pin is of ("spki", "cert" or "ca") and its digest in lower-case hexadecimal; see `Requirement.pins`."""
    kind, _, digest = pin.partition(":")
    if kind.lower() not in PIN_KINDS:
        kind, digest = "spki", pin
    return kind.lower(), digest.replace(":", "").lower()
