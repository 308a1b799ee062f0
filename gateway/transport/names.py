"""Names of mail servers: their one form, and which names of a certificate stand for them (RFC 6125).

Guarantees: names come from the subjectAltName alone; a wildcard is the whole left-most label and stands for one label.
Pure. Failures: none; what is no name matches nothing.
"""

from __future__ import annotations

import ipaddress

import idna


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
