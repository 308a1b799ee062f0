"""Step 7 of the decision: the gateway makes the share compliant, by the first method of the partner's that is possible.

Guarantees: pure and total. A method is possible only with what it needs for this recipient now: a usable key, a usable
certificate, or a password that can reach people without mail. What is not possible says why and the next method is
looked at. Failures: none raised.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.model import Limb, Method, Reason, Verdict
from gateway.policy.case import EMAIL_CLAUSE, Case, Judge, Match, Passed, to_partner

STEP = 7


def protect(case: Case) -> Match | Passed:
    """Step 7: the first method in the partner's order of preference that is possible now."""
    partner = case.partner
    if partner is None or not partner.protection:
        return _not_possible("no-method", "No method of protection is configured for the partner.")
    passed: list[Reason] = []
    for method in partner.protection:
        found = METHODS[method](case)
        if isinstance(found, Match):
            return replace(found, reason=replace(found.reason, text=_told(passed, found.reason.text)))
        passed.extend(found)
    return tuple(passed)


def _told(passed: list[Reason], text: str) -> str:
    return " ".join([*(reason.text for reason in passed), text])


def openpgp(case: Case) -> Match | Passed:
    """Encrypt to every usable key that is pinned or trusted for the recipient."""
    known = case.destination.keys
    usable = tuple(key.fingerprint for key in known if key.usable)
    unusable = " ".join(
        f"Key {key.fingerprint} cannot be used: {_sentence(key.problem)}" for key in known if not key.usable
    )
    if not known:
        return _not_possible("no-key", "No OpenPGP key is pinned for the recipient.")
    if not usable:
        return _not_possible("no-usable-key", unusable)
    text = f"Will be encrypted with OpenPGP to {len(usable)} pinned key{'s' if len(usable) > 1 else ''}. {unusable}"
    return _protected(case, Method.OPENPGP, Limb.ENCRYPTED_SERVICE, usable, text)


def smime(case: Case) -> Match | Passed:
    """Encrypt to every usable certificate that is pinned or trusted for the recipient."""
    known = case.destination.certificates
    usable = tuple(each.fingerprint for each in known if each.usable)
    unusable = " ".join(
        f"Certificate {each.fingerprint[:16]} cannot be used: {_sentence(each.problem)}"
        for each in known
        if not each.usable
    )
    if not known:
        return _not_possible("no-certificate", "No S/MIME certificate is pinned for the recipient.")
    if not usable:
        return _not_possible("no-usable-certificate", unusable)
    text = f"Will be encrypted with S/MIME to {len(usable)} certificate{'s' if len(usable) > 1 else ''}. {unusable}"
    return _protected(case, Method.SMIME, Limb.ENCRYPTED_SERVICE, usable, text)


def password(case: Case) -> Match | Passed:
    """Turn text and attachments into files encrypted by a password that reaches the recipient by another way."""
    facts, partner = case.destination.password, case.partner
    if facts is None or partner is None:
        return _not_possible("no-password", "No way to give the recipient a password is configured.")
    if not facts.usable:
        return _not_possible("no-usable-password", f"The password cannot be used: {_sentence(facts.problem)}")
    shared = facts.mode == "shared"
    key = f"shared:{facts.secret}" if shared else f"message:{partner.id}"
    known = "that the recipient's agency has" if shared else "made for this message"
    text = f"Text and attachments will be encrypted by a password {known}."
    return _protected(case, Method.PASSWORD, Limb.ENCRYPTED_ATTACHMENT, (key,), text)


def _not_possible(code: str, text: str) -> Passed:
    return (Reason(STEP, code, text, EMAIL_CLAUSE),)


def _protected(case: Case, method: Method, limb: Limb, keys: tuple[str, ...], text: str) -> Match:
    way = to_partner(case.partner, case.destination.recipient, case.policy.least_transport)
    return Match(
        Verdict.PROTECT,
        Reason(STEP, method.value, text.rstrip(), EMAIL_CLAUSE),
        limb,
        method,
        requirement=way.requirement,
        next_hop=way.next_hop,
        keys=keys,
        wire_recipient=way.wire_recipient,
    )


def _sentence(problem: str) -> str:
    return f"{(problem or 'no reason known').rstrip('.')}."


METHODS: dict[Method, Judge] = {Method.OPENPGP: openpgp, Method.SMIME: smime, Method.PASSWORD: password}
