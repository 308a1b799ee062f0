"""What lookup found about a recipient: partner, register entries, keys. Facts, no opinion."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.directory.model import Partner, RegisterEntry
from gateway.model import CertificateFacts, KeyFacts, PasswordFacts


@dataclass(frozen=True, slots=True)
class DestinationFacts:
    """Everything policy may know about one recipient. Absent entries mean "not trusted", never "unknown"."""

    recipient: str
    domain: str
    partner: Partner | None = None
    entry: RegisterEntry | None = None  # of the recipient's domain, in force today
    sender_entry: RegisterEntry | None = None  # of the sender's domain, in force today
    certificates: tuple[CertificateFacts, ...] = ()  # pinned or trusted, for the address, else for the partner
    password: PasswordFacts | None = None
    suspended: str = ""  # why the entry of the recipient's domain does not count now, one sentence; "" where it does
    keys: tuple[KeyFacts, ...] = ()  # pinned to the address, else to the partner
