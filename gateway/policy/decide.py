"""Facts and directory in, one decision out: the eight steps of docs/flow.md, per share, first match wins.

Guarantees: pure (no clock, no I/O, no state) and total: same arguments, same decision, never an exception for
any facts. Nothing is allowed without a limb of clause 5.3.4 or protected without a usable key. What is absent,
malformed or of an unknown type counts against a limb, never for it. Every step passed over leaves a `Reason`.
Reasons hold codes, counts and types, never a value, a file name or text of the message.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from gateway.directory.destination import DestinationFacts
from gateway.directory.model import Partner, RegisterAssurance, RegisterEntry, Route, Snapshot
from gateway.model import (
    Assurance,
    Client,
    Decision,
    Enforcement,
    Envelope,
    Limb,
    MessageFacts,
    Proof,
    Purpose,
    Reason,
    Requirement,
    Strength,
    Verdict,
)
from gateway.policy.advice import advise, closest, codes
from gateway.policy.case import (
    ANY_TRANSPORT,
    COUNTRY_CLAUSE,
    EMAIL_CLAUSE,
    RECORD_CLAUSE,
    Case,
    Match,
    Passed,
    Step,
    hop,
    to_partner,
    weakest,
)
from gateway.policy.encrypted import encrypted_attachments, encrypted_whole
from gateway.policy.protect import protect
from gateway.policy.purpose import resolve
from gateway.policy.service import encrypted_service


def decide(
    facts: MessageFacts,
    envelope: Envelope,
    client: Client,
    destination: DestinationFacts,
    snapshot: Snapshot,
    today: date,
    *,
    without: frozenset[Limb] = frozenset(),
    purpose: Purpose | None = None,
) -> Decision:
    """What is to be done with one share (clause 5.3.4).

    `without` leaves limbs out: a share whose secure-domain proof kept failing is decided again without that one.
    `purpose` is what a person declared for a held share; it outranks what the message says. `today` is the date
    on which register entries must be in force. A decision for an observed client has the verdict it would have,
    but is not enforced and asks no more of the transport than opportunistic TLS, so that observing delays nothing.
    """
    policy = snapshot.policy
    asked = not _exempt(facts, envelope)
    declared = resolve(facts.headers, envelope.sender, destination.partner, policy, purpose, implied=asked)
    case = Case(facts, envelope, client, destination, policy, today, declared, snapshot.partner(client.agency))
    match, passed = _first_match(case, without)
    strength, scheme = _evidence(facts) if match.strength is None else (match.strength, match.scheme)
    requirement = match.requirement
    if envelope.requiretls:  # RFC 8689: on every path, whatever else is required
        requirement = replace(requirement, requiretls=True)
    decision = Decision(
        verdict=match.verdict,
        step=match.reason.step,
        snapshot=snapshot.id,
        recipient=destination.recipient,
        partner=destination.partner.id if destination.partner is not None else "",
        limb=match.limb,
        method=match.method,
        requirement=requirement,
        next_hop=match.next_hop,
        keys=match.keys,
        reasons=(*passed, match.reason),
        advice=match.advice,
        purpose=declared.purpose,
        strength=strength,
        scheme=scheme,
        wire_recipient=match.wire_recipient,
        subject_tag=match.subject_tag,
    )
    return decision if client.enforcement is Enforcement.ENFORCE else _observed(decision, destination.partner)


def _first_match(case: Case, without: frozenset[Limb]) -> tuple[Match, Passed]:
    passed: list[Reason] = []
    for step in STEPS:
        if step.limb is not None and step.limb in without:
            text = f"The limb {step.limb} is left out: it was tried and could not be proven."
            passed.append(Reason(step.number, "unproven", text, EMAIL_CLAUSE))
            continue
        found = step.judge(case)
        if isinstance(found, Match):
            return found, tuple(passed)
        passed.extend(found)
    return otherwise(case, tuple(passed)), tuple(passed)


def _observed(decision: Decision, partner: Partner | None) -> Decision:
    """The same decision for a client that is only observed: relayed unchanged, delayed by nothing."""
    would = f"would be: {decision.verdict}"
    if decision.sends:
        would += f" over {decision.requirement.assurance.label} transport"
    reason = Reason(decision.step, "observed", f"The client is observed, nothing is enforced; enforced it {would}.")
    next_hop, written = decision.next_hop, decision.wire_recipient
    if decision.verdict is not Verdict.ALLOW:
        way = to_partner(partner, decision.recipient, ANY_TRANSPORT.assurance)
        next_hop, written = way.next_hop, way.wire_recipient
    return replace(
        decision,
        enforced=False,
        requirement=replace(ANY_TRANSPORT, requiretls=decision.requirement.requiretls),
        next_hop=next_hop,
        reasons=(*decision.reasons, reason),
        wire_recipient=written,
        subject_tag="",  # it is relayed unchanged
    )


# ---------------------------------------------------------------- step 1: who may send, who may receive


def parties(case: Case) -> Match | Passed:
    """Step 1: the client may use this sender domain; the recipient's agency is a partner in a country agreed on."""
    step, allowed = 1, case.client.sender_domains
    if case.envelope.sender and case.envelope.sender_domain.lower() not in allowed:
        text = "The reverse-path's domain is none that the client may send for."
        return _stop(case, Verdict.REFUSE, Reason(step, "sender-domain", text, EMAIL_CLAUSE))
    if case.client.check_header_from and any(name not in allowed for name in case.facts.headers.from_domains):
        text = "A From address in the header is of a domain that the client may not send for."
        return _stop(case, Verdict.REFUSE, Reason(step, "header-from", text, EMAIL_CLAUSE))
    partner = case.partner
    if partner is None:
        text = "The recipient's domain belongs to no partner."
        verdict = Verdict.HOLD if case.policy.unknown_recipient == "hold" else Verdict.REFUSE
        return _stop(case, verdict, Reason(step, "unknown-recipient", text, "5.1"))
    if partner.country not in case.policy.countries:
        text = f"The partner is in {partner.country}, for which no rules on transfer are agreed."
        return _stop(case, Verdict.REFUSE, Reason(step, "country", text, COUNTRY_CLAUSE))
    return (Reason(step, "parties", "The client may send for this domain; the recipient's agency is a partner."),)


# ---------------------------------------------------------------- step 2: why


def purpose_recorded(case: Case) -> Match | Passed:
    """Step 2: the record can say why the information is shared (5.3.10); otherwise the share waits for an answer."""
    step, declared = 2, case.declared
    if _exempt(case.facts, case.envelope):
        text = "No purpose is asked of a delivery report or an automatic message."
        return (Reason(step, "purpose-exempt", text, RECORD_CLAUSE),)
    if declared.conflict:
        text = "The message declares different values for its purpose, basis, condition or reference."
        return _stop(case, Verdict.HOLD, Reason(step, "conflicting-purpose", text, RECORD_CLAUSE))
    if declared.unknown:
        field = declared.unknown[0]
        catalogue = {"purpose": case.policy.purposes, "basis": case.policy.bases, "condition": case.policy.conditions}
        text = f"The {field} declared is none of the catalogue; known are {codes(catalogue[field], 200)}."
        return _stop(case, Verdict.HOLD, Reason(step, f"unknown-{field}", text, RECORD_CLAUSE))
    if declared.purpose is not None:
        text = f"Purpose {declared.purpose.purpose}, from {declared.purpose.source}."
        return (Reason(step, "purpose", text, RECORD_CLAUSE),)
    if case.policy.require_purpose:
        text = "No purpose is declared and no rule implies one."
        return _stop(case, Verdict.HOLD, Reason(step, "no-purpose", text, RECORD_CLAUSE))
    return (Reason(step, "purpose-optional", "No purpose is declared; policy does not ask for one.", RECORD_CLAUSE),)


def _exempt(facts: MessageFacts, envelope: Envelope) -> bool:
    """A delivery report (null reverse-path, RFC 5321 section 4.5.5) or automatic message (RFC 3834) has no purpose."""
    return not envelope.sender or facts.headers.automatic


# ---------------------------------------------------------------- step 5: secure domains


def secure_domains(case: Case) -> Match | Passed:
    """Step 5: both domains are in the register today; delivery must authenticate the recipient's server."""
    step, entry = 5, case.destination.entry
    if not _in_force(case.destination.sender_entry, case.today):
        text = "The sender's domain is not in force in the register of secure domains."
        return (Reason(step, "sender-not-registered", text, EMAIL_CLAUSE),)
    if entry is None or not _in_force(entry, case.today):
        text = "The recipient's domain is not in force in the register of secure domains."
        return (Reason(step, "recipient-not-registered", text, EMAIL_CLAUSE),)
    if case.destination.suspended:
        text = f"The recipient's domain is suspended in the register: {case.destination.suspended}"
        return (Reason(step, "suspended", f"{text.rstrip('.')}.", EMAIL_CLAUSE),)
    if entry.assurance is RegisterAssurance.PINNED and not entry.pins:
        text = "The register asks for a pinned certificate but names none."
        return (Reason(step, "no-pin", text, EMAIL_CLAUSE),)
    route = case.partner.route if case.partner is not None else None
    requirement = required_by(entry, route)
    text = (
        f"Both domains are in the register ({entry.basis}, until {entry.valid_until}); "
        f"the server must prove itself by {PROOFS[entry.assurance.proof]}."
    )
    return Match(
        Verdict.ALLOW,
        Reason(step, "secure-domains", text, EMAIL_CLAUSE),
        Limb.SECURE_DOMAINS,
        requirement=requirement,
        next_hop=hop(route),
    )


PROOFS = {
    Proof.PKIX: "a certificate of a trusted authority",
    Proof.PIN: "a pinned key or certificate",
    Proof.DANE: "DANE",
    Proof.MTA_STS: "MTA-STS",
}


def required_by(entry: RegisterEntry, route: Route | None) -> Requirement:
    """What a delivery to the entry's domain must prove, by the partner's `route` or, without one, by MX."""
    names = entry.mx
    if route is not None and not names:
        names = route.names or (route.host,)
    return Requirement(
        Assurance.AUTHENTICATED,
        names,
        (*entry.pins, *entry.next_pins) if entry.assurance is RegisterAssurance.PINNED else (),
        entry.assurance.proof,
        entry.tls_versions,
        entry.requiretls,
    )


def _in_force(entry: RegisterEntry | None, today: date) -> bool:
    return entry is not None and entry.in_force(today)


# ---------------------------------------------------------------- step 8: otherwise


def otherwise(case: Case, passed: Passed) -> Match:
    """Step 8: nothing makes the share compliant. Refused, or held for a person where policy says so."""
    verdict = Verdict.HOLD if case.policy.otherwise == "hold" else Verdict.REFUSE
    reason = Reason(8, "no-limb", "No limb of the clause is satisfied and none can be made so.", EMAIL_CLAUSE)
    return Match(verdict, reason, advice=advise(closest(passed), case.partner))


STEPS: tuple[Step, ...] = (
    Step(1, None, parties),
    Step(2, None, purpose_recorded),
    Step(3, Limb.ENCRYPTED_SERVICE, encrypted_whole),
    Step(4, Limb.ENCRYPTED_ATTACHMENT, encrypted_attachments),
    Step(5, Limb.SECURE_DOMAINS, secure_domains),
    Step(6, Limb.ENCRYPTED_SERVICE, encrypted_service),
    Step(7, None, protect),
)


# ---------------------------------------------------------------- shared by the steps


def _stop(case: Case, verdict: Verdict, reason: Reason) -> Match:
    policy = case.policy
    advice = advise(
        reason.code,
        case.partner,
        purposes=codes(policy.purposes),
        bases=codes(policy.bases),
        conditions=codes(policy.conditions),
    )
    return Match(verdict, reason, advice=advice)


def _evidence(facts: MessageFacts) -> tuple[Strength, str]:
    """What protection the message itself has: as a whole, else that of its weakest attachment."""
    if facts.whole is not Strength.NONE:
        return facts.whole, facts.whole_scheme
    worst = weakest(facts.attachments)
    return (worst.strength, worst.scheme) if worst is not None else (Strength.NONE, "")
