"""What a delivery had to prove, and what a connection did prove, in words for an auditor.

Guarantees: pure; says only what the record says. Records of older versions lack fields, which are then left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_PROOFS = {
    "pkix": "a certificate of a trusted authority",
    "pin": "a key or certificate that the register pins",
    "dane": "DANE: its certificate is the one that its own domain publishes, secured by DNSSEC (RFC 7672)",
    "mta-sts": "MTA-STS: a trusted certificate for a host that the domain's published policy names (RFC 8461)",
}
_DNSSEC = {
    "secure": "DNSSEC proves that this host takes the domain's mail.",
    "insecure": "DNSSEC does not secure which hosts take the domain's mail.",
}
_NEEDED = {
    "pkix": "a certificate of a trusted authority",
    "pin": "a pinned key or certificate",
    "dane": "DANE",
    "mta-sts": "MTA-STS",
}


def required(requirement: Json) -> str:
    """The requirement as the end of a sentence, such as "authenticated by DANE, TLSv1.3 only"; "" for none."""
    text = str(requirement.get("assurance") or "")
    if not text:
        return ""
    if requirement.get("proof"):
        text += f" by {_NEEDED.get(requirement['proof'], requirement['proof'])}"
    if requirement.get("tls_versions"):
        text += f", {' or '.join(requirement['tls_versions'])} only"
    if requirement.get("requiretls"):
        text += ", and TLS on the whole way (REQUIRETLS)"
    return text


def proven(transport: Json) -> list[str]:
    """Sentences about one connection: where to, over what, and who proved to be there."""
    lines = [f"Connected to {transport['host']} ({transport['address']} port {transport['port']})."]
    if not transport.get("tls_version"):
        return [*lines, "The connection was in clear text."]
    lines.append(f"Over {transport['tls_version']} with {transport.get('cipher', '')}.")
    lines += _identity(transport)
    if transport.get("certificate_sha256"):
        lines.append(f"Certificate SHA-256 {transport['certificate_sha256']}{_until(transport)}.")
    lines += [f"Authority in its chain: SHA-256 {digest}." for digest in transport.get("chain_sha256", ())[1:]]
    lines += _published(transport)
    if transport.get("requiretls"):
        lines.append("The server undertook to hand it on over authenticated TLS only (REQUIRETLS, RFC 8689).")
    return lines


def _identity(transport: Json) -> list[str]:
    how = _PROOFS.get(transport.get("authenticated_by", ""))
    if how is None:
        return ["The server's identity was not proven."]
    name = f", for the name {transport['matched_name']}" if transport.get("matched_name") else ""
    lines = [f"The server proved its identity before the message was sent by {how}{name}."]
    lines += [f"It also proved it by {_PROOFS.get(other, other)}." for other in transport.get("also", ())]
    if transport.get("tlsa"):
        lines.append(f"TLSA record that matched: {transport['tlsa']}.")
    if transport.get("matched_pin"):
        lines.append(f"Pin that matched: {transport['matched_pin']}.")
    return lines


def _until(transport: Json) -> str:
    issuer = f", issued by {transport['issuer']}" if transport.get("issuer") else ""
    return f"{issuer}, valid until {transport['not_after'][:10]}" if transport.get("not_after") else issuer


def _published(transport: Json) -> list[str]:
    lines = [_DNSSEC[transport["dnssec"]]] if transport.get("dnssec") in _DNSSEC else []
    if transport.get("sts_id"):
        mode = transport.get("sts_mode", "")
        lines.append(f"MTA-STS policy {transport['sts_id']} of the domain was in force, in mode {mode}.")
    return lines
