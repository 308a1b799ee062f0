"""Why something is shared: which declaration counts, and whether the protocol knows its codes.

Guarantees: pure. The order is fixed: a person, the Sharing-* header fields or subject tag, a rule for the sender's
address, for its domain, for the recipient's partner, the partner's default, the policy's default. A `Purpose` that
comes out holds only codes of the snapshot's catalogues, in the catalogues' own spelling, so that no free text
apart from the case reference reaches the record. What is declared but unknown is a fault, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.directory.model import Partner, Policy, PurposeRule
from gateway.model import HeaderFacts, Purpose

REFERENCE_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Resolved:
    """The purpose that goes into the record, and what was declared but is in no catalogue.

    `unknown` names fields ("purpose", "basis", "condition"), never what was written in them. `conflict`: the message
    declares different values for one of them, so that nothing of it counts and no rule stands in for it.
    """

    purpose: Purpose | None = None
    unknown: tuple[str, ...] = ()
    conflict: bool = False


def resolve(
    headers: HeaderFacts,
    sender: str,
    partner: Partner | None,
    policy: Policy,
    person: Purpose | None = None,
    *,
    implied: bool = True,
) -> Resolved:
    """The purpose of one share (clause 5.3.10). `person` is what somebody with authority over held shares said.

    `implied` False leaves rules and defaults out: they speak of what people write, not of automatic messages.
    """
    if person is None and headers.conflict:
        return Resolved(conflict=True)
    claimed = _claimed(headers) if person is None else replace(person, source=person.source or "person")
    if implied and not claimed.purpose:
        rule = _implied(sender, partner, policy)
        if rule is not None:
            claimed = Purpose(
                rule.purpose,
                claimed.basis or rule.basis,
                claimed.condition or rule.condition,
                claimed.reference,
                rule.source,
            )
    return _checked(claimed, policy)


def _claimed(headers: HeaderFacts) -> Purpose:
    return Purpose(headers.purpose, headers.basis, headers.condition, headers.reference, headers.source or "header")


def _implied(sender: str, partner: Partner | None, policy: Policy) -> Purpose | None:
    """What a rule or the partner's default says where the message declares no purpose."""
    address = sender.lower()
    domain = "@" + address.rpartition("@")[2]
    partner_id = partner.id if partner is not None else ""
    best: PurposeRule | None = None
    best_rank = (-1, -1)
    for rule in policy.rules:
        rank = _rank(rule, address, domain, partner_id)
        if rank is not None and rank > best_rank:  # of equals the first in the file wins
            best, best_rank = rule, rank
    if partner is not None and partner.default_purpose and best_rank < (0, 1):
        return Purpose(partner.default_purpose, source="partner-rule")
    if best is None:
        return None
    source = "sender-rule" if best_rank[0] else "partner-rule" if best_rank[1] else "policy-default"
    return Purpose(best.purpose, best.basis, best.condition, source=source)


def _rank(rule: PurposeRule, address: str, domain: str, partner_id: str) -> tuple[int, int] | None:
    """How closely a rule fits: (sender 2, its domain 1, any 0; partner 1, any 0). None where it does not."""
    if rule.partner and rule.partner != partner_id:
        return None
    if not rule.sender:
        return 0, int(bool(rule.partner))
    wanted = rule.sender.lower()
    if wanted.startswith("@"):
        return (1, int(bool(rule.partner))) if wanted == domain else None
    return (2, int(bool(rule.partner))) if wanted == address else None


def _checked(claimed: Purpose, policy: Policy) -> Resolved:
    purpose = known(claimed.purpose, policy.purposes)
    basis = known(claimed.basis, policy.bases)
    condition = known_condition(claimed.condition, policy.conditions)
    pairs = (
        ("purpose", claimed.purpose, purpose),
        ("basis", claimed.basis, basis),
        ("condition", claimed.condition, condition),
    )
    unknown = tuple(name for name, said, code in pairs if said and not code)
    if not purpose:
        return Resolved(None, unknown)
    return Resolved(Purpose(purpose, basis, condition, _reference(claimed.reference), claimed.source), unknown)


def known(code: str, catalogue: Iterable[str]) -> str:
    """The catalogue's spelling of a code, "" where it has none. Case and a final full stop do not matter."""
    wanted = code.strip().rstrip(".").lower()
    return next((entry for entry in catalogue if entry.lower() == wanted), "") if wanted else ""


def known_condition(code: str, catalogue: Iterable[str]) -> str:
    """As `known`, for clause 5.4: "5.4(h)", "5.4.h", "(h)" and "h" are the same condition."""
    wanted = _letter(code)
    return next((entry for entry in catalogue if _letter(entry) == wanted), "") if wanted else ""


def _letter(condition: str) -> str:
    return condition.strip().lower().removeprefix("5.4").strip(" .()")


def _reference(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:REFERENCE_LENGTH]
