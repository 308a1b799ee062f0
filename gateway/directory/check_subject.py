"""What the judges of the configuration share: what is being judged, and the judging of domain names and pins.

Guarantees: as `gateway.directory.check`: every mistake with file and line. Failures: none of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gateway.configuration import Document, Findings, Key
from gateway.directory import domains
from gateway.directory.check_node import KnownPartners
from gateway.directory.load import Directory
from gateway.directory.model import Snapshot
from gateway.settings import Settings

PIN_FORMS = ("spki", "cert", "ca")  # see `gateway.model.Requirement`
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is being judged: the documents (for line numbers), what was made of them, and the day."""

    node: Document
    directory: Directory
    settings: Settings
    snapshot: Snapshot
    today: date

    @property
    def partners(self) -> KnownPartners:
        """The partners, for looking up what names them."""
        return KnownPartners(self.directory.partners, self.snapshot)


def refuse_shared_name(document: Document, path: Key, given: str, domain: str, findings: Findings) -> bool:
    """Adds a fault where strangers have names under `domain`, or it is a retired network; True then."""
    if domains.is_public_suffix(domain):
        which = "it" if given == domain else f"`{domain}`"
        problem = f"`{given}` is not one organisation's: {which} is a public suffix, under which many have names"
        findings.fault(document, path, problem, f"Write the agency's own domain in full: its-name.{domain}.")
        return True
    retired = domains.retired_family(domain)
    if retired:
        problem = f"`{given}` is of the retired network {retired}, which proves nothing any more"
        findings.fault(document, path, problem, "Ask the agency for its present domain and write that.")
    return bool(retired)


def judge_pins(document: Document, path: Key, pins: tuple[str, ...], findings: Findings) -> None:
    """Pins that are no SHA-256 digest, or of no form that is known, or stand twice. `path` is that of the list."""
    seen: set[str] = set()
    for place, pin in enumerate(pins):
        where, (form, colon, digest) = (*path, place), pin.rpartition(":")
        if colon and form not in PIN_FORMS:
            problem = f"pin {place + 1} is a digest of `{form}`, which is not known"
            findings.fault(document, where, problem, "Write `spki:`, `cert:` or `ca:` before the digest, or nothing.")
        elif len(digest) != 64 or not _HEX.issuperset(digest):
            problem = f"pin {place + 1} is no SHA-256 digest: it has {len(digest)} characters"
            if len(digest) == 64:
                problem = f"pin {place + 1} is no SHA-256 digest: it has other characters than 0-9 and a-f"
            findings.fault(document, where, problem, f"Write the 64 hexadecimal digits of the SHA-256 of {_of(form)}.")
        elif (plain := with_form(pin)) in seen:
            findings.fault(document, where, f"pin {place + 1} stands twice", "Keep it once.")
        else:
            seen.add(plain)


def with_form(pin: str) -> str:
    """The pin with its form in front: "spki:" where it has none."""
    return pin if ":" in pin else f"spki:{pin}"


def _of(form: str) -> str:
    """What a pin is the digest of."""
    if form == "cert":
        return "the server's certificate (DER)"
    return f"the {'authority' if form == 'ca' else 'server'}'s SubjectPublicKeyInfo"


def judge_names(document: Document, path: Key, names: tuple[str, ...], findings: Findings) -> None:
    """Names for certificates under which strangers get certificates, too. `path` is the list's."""
    for place, name in enumerate(names):
        domain = name.removeprefix(".")
        if domains.is_public_suffix(domain):
            problem = f"`{name}` is a public suffix: anybody can get a certificate for a name below it"
            findings.fault(document, (*path, place), problem, "Write the name of the server, or of its operator.")
