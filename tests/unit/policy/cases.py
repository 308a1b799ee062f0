"""Facts, partners and snapshots for policy tests: one compliant thing of each kind, to be spoilt one way at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from gateway.directory.destination import DestinationFacts
from gateway.directory.model import (
    Contact,
    Partner,
    Policy,
    RegisterEntry,
    Route,
    Service,
    Snapshot,
)
from gateway.model import (
    Client,
    Decision,
    Encrypted,
    Envelope,
    HeaderFacts,
    KeyFacts,
    MessageFacts,
    Method,
    PartFacts,
    Recipient,
    Strength,
)
from gateway.policy.decide import decide

TODAY = date(2026, 3, 2)
FINGERPRINT = "A" * 40
OTHER_FINGERPRINT = "B" * 40
PIN = "c" * 64
RECIPIENT = "jo@health.example"
SENDER = "sam@council.example"

CLIENT = Client("council-mail", "council", ("council.example",))
ENVELOPE = Envelope(SENDER, (Recipient(RECIPIENT),))
SPOC = Contact(role="Data Protection Officer", email="dpo@health.example", telephone="0121 496 0000")
PARTNER = Partner(id="health", name="Health Board", domains=("health.example",), spoc=SPOC)
ROUTE = Route(host="relay.health.example")
SERVICE = Service(name="Secure Mail", route=Route(host="in.secure.example", port=2525))
USABLE = KeyFacts(FINGERPRINT, True)
EXPIRED = KeyFacts(OTHER_FINGERPRINT, False, "It expired on 2026-01-01.", "2026-01-01")

POLICY = Policy(
    purposes={"3.5.1": "Collaboration", "3.5.6": "Audits"},
    bases={"4.1.2": "Children Act 2004", "s.16LA": "Duty to share"},
    conditions={"5.4(g)": "Substantial public interest", "5.4(h)": "Health or social care"},
)


def entry(domain: str, **changes: Any) -> RegisterEntry:
    values: dict[str, Any] = {
        "domain": domain,
        "partner": "health",
        "basis": "DCB1596",
        "evidence": "certificate of conformance",
        "owner": "information governance",
        "valid_from": date(2026, 1, 1),
        "valid_until": date(2026, 12, 31),
    }
    return RegisterEntry(**(values | changes))


SENDER_ENTRY = entry("council.example", partner="council")
ENTRY = entry("health.example")

DECLARED = HeaderFacts(from_domains=("council.example",), purpose="3.5.1")
ZIP = PartFacts("zip", Strength.ACCEPTABLE, "AES-256, WinZip AE-2", Encrypted.YES, size=900, sha256="d" * 64)
STRONG_PDF = PartFacts("pdf", Strength.STRONG, "AES-256, PDF 2.0 (R6)", Encrypted.YES)
WEAK_ZIP = PartFacts("zip", Strength.WEAK, "ZipCrypto", Encrypted.YES, ("zip-crypto",))
CLEAR_DOCUMENT = PartFacts("ooxml")
SIGNATURE = PartFacts("openpgp", findings=("key-material",))
ROOT = PartFacts("message")

CLEAR = MessageFacts(ROOT, DECLARED, body_characters=200)
WHOLE = MessageFacts(ROOT, DECLARED, whole=Strength.STRONG, whole_scheme="OpenPGP SEIPD v1")
ATTACHED = MessageFacts(ROOT, DECLARED, attachments=(ZIP,), body_characters=100)


def destination(partner: Partner | None = PARTNER, **changes: Any) -> DestinationFacts:
    return DestinationFacts(RECIPIENT, "health.example", partner, **changes)


SECURE = destination(entry=ENTRY, sender_entry=SENDER_ENTRY)


def partner(**changes: Any) -> Partner:
    return PARTNER.model_copy(update=changes)


OPENPGP_PARTNER = partner(protection=(Method.OPENPGP,))


def policy(**changes: Any) -> Policy:
    return Policy.model_validate(POLICY.model_dump() | changes)


def snapshot(**changes: Any) -> Snapshot:
    return Snapshot(partners=(PARTNER,), register_=(SENDER_ENTRY, ENTRY), policy=policy(**changes))


SNAPSHOT = snapshot()


def decided(
    facts: MessageFacts = CLEAR, to: DestinationFacts | None = None, under: Snapshot = SNAPSHOT, **changes: Any
) -> Decision:
    """The decision for one share, with what is named in `changes` instead of the defaults."""
    return decide(
        facts,
        changes.pop("envelope", ENVELOPE),
        changes.pop("client", CLIENT),
        to if to is not None else destination(),
        under,
        changes.pop("today", TODAY),
        **changes,
    )


def headed(facts: MessageFacts = ATTACHED, **changes: Any) -> MessageFacts:
    """The facts with another header."""
    return replace(facts, headers=replace(facts.headers, **changes))


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]
