"""Recipient in, destination facts out: partner, register entries of both domains, pinned keys.

Guarantees: no I/O of its own and no opinion; what the snapshot does not hold is absent from the facts. Failures:
only those of the key callable (`ProtectionUnavailableError` where gpg cannot be asked), which pass through: the
message is then deferred, never decided as if there were no key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from gateway import rewriting
from gateway.directory.destination import DestinationFacts
from gateway.directory.model import Partner, RegisterEntry, Snapshot
from gateway.model import KeyFacts

KeyLookup = Callable[[str, datetime], KeyFacts]


class Destinations:
    """Looks recipients up. `keys` tells what is known of a fingerprint at a time, and must be cheap.

    `suspensions` gives the domains whose register entries do not count now, and why.
    """

    def __init__(self, keys: KeyLookup, suspensions: Callable[[], Mapping[str, str]] = dict) -> None:
        self._keys = keys
        self._suspensions = suspensions

    def lookup(self, recipient: str, sender_domain: str, snapshot: Snapshot, now: datetime) -> DestinationFacts:
        """The facts about `recipient`, whose domain is in A-labels. `now` is aware and in UTC.

        For a null reverse-path `sender_domain` is the first of the client's own.
        """
        domain = recipient.rpartition("@")[2].lower()
        partner, bare = rewriting.partner_at(snapshot, domain)
        today = now.date()
        entry = snapshot.entry_of(domain, today)
        return DestinationFacts(
            recipient=recipient,
            domain=domain,
            partner=partner,
            entry=entry,
            sender_entry=snapshot.entry_of(sender_domain.lower(), today),
            suspended=self._suspended(entry, domain),
            keys=tuple(self._keys(fingerprint, now) for fingerprint in pinned(partner, _at(recipient, bare))),
        )

    def _suspended(self, entry: RegisterEntry | None, domain: str) -> str:
        """Why the entry does not count for the domain now; an entry for subdomains may be suspended for one of them."""
        if entry is None:
            return ""
        suspensions = self._suspensions()
        return suspensions.get(entry.domain) or suspensions.get(domain, "")


def _at(recipient: str, domain: str) -> str:
    """The recipient's address at the domain by which its partner is known."""
    return f"{recipient.rpartition('@')[0]}@{domain}"


def pinned(partner: Partner | None, recipient: str) -> tuple[str, ...]:
    """Fingerprints pinned to the address; where there are none, those pinned to the partner as a whole.

    Local parts are compared without regard to case, as mail systems do (RFC 5321 section 2.4 permits otherwise).
    """
    if partner is None:
        return ()
    address = recipient.lower()
    own = tuple(key.fingerprint for key in partner.keys if key.address.lower() == address)
    return own or tuple(key.fingerprint for key in partner.keys if not key.address)
