"""Step 6 of the decision: an encrypted e-mail service, the recipient's or the sender's, as the way of a share.

Guarantees: pure and total. The limb is only ever given together with the service's own next hop and the requirement
that its server proves who it is, whatever the directory says. What a message says of itself, such as a tag in its
subject, counts for nothing here. Failures: none raised.
"""

from __future__ import annotations

from gateway.directory.model import Partner, Service
from gateway.model import Limb, Reason, Verdict
from gateway.policy.case import EMAIL_CLAUSE, Case, Match, Passed, through

STEP = 6


def service_between(partner: Partner | None, agency: Partner | None) -> Service | None:
    """The service that a share to the partner travels by: the partner's, else that of the agency which sends."""
    if partner is not None and partner.service is not None:
        return partner.service
    return agency.onward if agency is not None else None


def encrypted_service(case: Case) -> Match | Passed:
    """Step 6: the partner is reached through an encrypted service, or the sending agency reaches everybody by one."""
    service = service_between(case.partner, case.agency)
    if service is None:
        text = "The partner is reached through no encrypted service, and the sending agency relays through none."
        return (Reason(STEP, "no-service", text, EMAIL_CLAUSE),)
    way = through(service, case.destination.recipient)
    if case.partner is not None and case.partner.service is not None:
        code, text = "encrypted-service", f"The partner is reached through {service.name}."
    else:
        code, text = "onward-service", f"The sending agency relays onward through {service.name}."
    if way.wire_recipient:
        text += f" {service.address_suffix} is put behind the address."
    if service.subject_tag:
        text += f" {service.subject_tag} is put before the subject."
    return Match(
        Verdict.ALLOW,
        Reason(STEP, code, text, EMAIL_CLAUSE),
        Limb.ENCRYPTED_SERVICE,
        requirement=way.requirement,
        next_hop=way.next_hop,
        wire_recipient=way.wire_recipient,
        subject_tag=service.subject_tag,
    )
