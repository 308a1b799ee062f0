"""Recipient in, destination facts out: partner, register entries of both domains, pinned keys.

Guarantees: no I/O of its own and no opinion; what the snapshot does not hold is absent from the facts. Failures:
only those of the key callable (`ProtectionUnavailableError` where gpg cannot be asked), which pass through: the
message is then deferred, never decided as if there were no key.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from gateway.directory.destination import DestinationFacts
from gateway.directory.model import Partner, Snapshot
from gateway.model import KeyFacts

KeyLookup = Callable[[str, datetime], KeyFacts]


class Destinations:
    """Looks recipients up. `keys` tells what is known of a fingerprint at a time, and must be cheap."""

    def __init__(self, keys: KeyLookup) -> None:
        self._keys = keys

    def lookup(self, recipient: str, sender_domain: str, snapshot: Snapshot, now: datetime) -> DestinationFacts:
        """The facts about `recipient`, whose domain is in A-labels. `now` is aware and in UTC.

        For a null reverse-path `sender_domain` is the first of the client's own.
        """
        domain = recipient.rpartition("@")[2].lower()
        partner = snapshot.partner_of(domain)
        today = now.date()
        return DestinationFacts(
            recipient=recipient,
            domain=domain,
            partner=partner,
            entry=snapshot.entry_of(domain, today),
            sender_entry=snapshot.entry_of(sender_domain.lower(), today),
            keys=tuple(self._keys(fingerprint, now) for fingerprint in pinned(partner, recipient)),
        )


def pinned(partner: Partner | None, recipient: str) -> tuple[str, ...]:
    """Fingerprints pinned to the address; where there are none, those pinned to the partner as a whole.

    Local parts are compared without regard to case, as mail systems do (RFC 5321 section 2.4 permits otherwise).
    """
    if partner is None:
        return ()
    address = recipient.lower()
    own = tuple(key.fingerprint for key in partner.keys if key.address.lower() == address)
    return own or tuple(key.fingerprint for key in partner.keys if not key.address)
