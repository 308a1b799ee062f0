"""What the directory adds to the inspection of a message: passwords that anybody would guess, words to watch for.

Guarantees: pure; the same snapshot, envelope and day give the same clues. Failures: none.
"""

from __future__ import annotations

from datetime import date

from gateway import rewriting
from gateway.directory.model import Snapshot
from gateway.inspection import Clues
from gateway.model import Envelope
from gateway.policy.guesses import guesses


def clues(snapshot: Snapshot, envelope: Envelope, day: date) -> Clues:
    """The clues for a message between the parties of an envelope on a day."""
    domains = dict.fromkeys((envelope.sender_domain.lower(), *(each.domain.lower() for each in envelope.recipients)))
    owners = (rewriting.partner_at(snapshot, domain)[0] for domain in domains)
    partners = {found.id: found for found in owners if found is not None}
    return Clues(guesses(snapshot.policy, tuple(partners.values()), day), snapshot.policy.watched)
