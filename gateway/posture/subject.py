"""What is to be looked at: the domains of the register, and any other that somebody names.

Guarantees: each domain once; what an entry requires is what the policy would require of a delivery. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date

from gateway.directory.model import RegisterEntry, Route, Snapshot
from gateway.model import Assurance, NextHop, Proof, Requirement
from gateway.policy.case import hop
from gateway.policy.decide import required_by
from gateway.transport.names import address_of


@dataclass(frozen=True, slots=True)
class Subject:
    """A domain, the register entry that covers it, and its partner's route and id, where there are any."""

    domain: str
    entry: RegisterEntry | None = None
    route: Route | None = None
    partner: str = ""

    @property
    def next_hop(self) -> NextHop | None:
        """Where its mail goes instead of its MX."""
        return hop(self.route)

    @property
    def required(self) -> Requirement | None:
        """What the entry asks of a delivery."""
        return required_by(self.entry, self.route) if self.entry is not None else None

    def wanted(self) -> dict[str, Requirement]:
        """The requirements to try: "entry" for all that the entry asks, and each proof alone by its name."""
        required = self.required
        plain = Requirement(Assurance.AUTHENTICATED, required.names if required is not None else ())
        tried = {proof.value: replace(plain, proof=proof) for proof in Proof}
        if self.entry is not None:
            tried[Proof.PIN.value] = replace(tried[Proof.PIN.value], pins=(*self.entry.pins, *self.entry.next_pins))
        if required is not None:
            tried["entry"] = required
        return tried

    @property
    def by_dns(self) -> bool:
        """True where DNS has a say in where its mail goes."""
        return self.route is None or address_of(self.route.host) is None

    @property
    def demand(self) -> str:
        """Changes whenever what must be proven changes: what was found before says nothing of the new demand."""
        return hashlib.sha256(repr((self.required, self.next_hop)).encode()).hexdigest()[:16]


def of_register(snapshot: Snapshot, today: date) -> tuple[Subject, ...]:
    """The partners' domains that an entry in force covers, in order of the alphabet."""
    found: dict[str, Subject] = {}
    for partner in snapshot.partners:
        for domain in partner.domains:
            entry = snapshot.entry_of(domain, today)
            if entry is not None:
                found.setdefault(domain, Subject(domain, entry, partner.route, partner.id))
    return tuple(found[domain] for domain in sorted(found))


def of_domain(domain: str, snapshot: Snapshot | None, today: date) -> Subject:
    """A domain by name (lower-case A-labels), with what is known of it."""
    if snapshot is None:
        return Subject(domain)
    partner = snapshot.partner_of(domain)
    return Subject(
        domain,
        snapshot.entry_of(domain, today),
        partner.route if partner is not None else None,
        partner.id if partner is not None else "",
    )
