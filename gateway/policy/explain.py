"""A decision in words: one sentence for the sender, one for the auditor, and the 550 reply for a refused message.

Guarantees: pure; what a sender reads is plain English, printable ASCII, below 400 characters, names the clause and
ends with a next step; nothing comes from the message itself. Reply lines fit RFC 5321 section 4.5.3.1.5 and bear
one enhanced status code throughout (RFC 2034 section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.model import Decision, Limb, Method, Verdict
from gateway.policy.advice import NO_KEY_STATUS, closest, guidance

LINE_OCTETS = 450
_DEFAULT_STATUS = "5.7.1"
_LIMBS = {
    Limb.ENCRYPTED_ATTACHMENT: "an encrypted attachment",
    Limb.SECURE_DOMAINS: "secure e-mail domains",
    Limb.ENCRYPTED_SERVICE: "an encrypted e-mail service",
}
_KEYLESS = frozenset({"no-key", "no-usable-key", "protection-failed"})
_METHODS = {Method.OPENPGP: "OpenPGP"}
_WOULD = {Verdict.HOLD: "held", Verdict.REFUSE: "refused", Verdict.PROTECT: "encrypted", Verdict.ALLOW: "sent"}


def for_sender(decision: Decision) -> str:
    """One sentence for the person who sent the message: what happened, under which clause, what to do next."""
    if not decision.enforced:
        would = _WOULD[decision.verdict]
        return f"Sent unchanged, as the gateway only observes this agency; else it would be {would} (clause 5.3.4)."
    if decision.verdict is Verdict.ALLOW:
        if decision.limb is None:  # a person's decision against the policy, or a notification of the gateway's own
            return "Sent: it was released outside the ways of clause 5.3.4, as the record says; nothing needs doing."
        return f"Sent: {_LIMBS[decision.limb]} meets clause 5.3.4 and nothing more needs doing."
    if decision.verdict is Verdict.PROTECT:
        method = _METHODS[decision.method] if decision.method is not None else "no method"
        return f"Sent: the gateway encrypts it for the recipient with {method}, which meets clause 5.3.4."
    opening = "Not sent" if decision.verdict is Verdict.REFUSE else "Held for a person to decide"
    problem = guidance(closest(decision.reasons)).problem
    return f"{opening} (clause {_clause(decision)}): {problem}; {_lower_first(decision.advice)}"


def for_auditor(decision: Decision) -> str:
    """One sentence for a reviewer: the step, the limb and its evidence, or why there is none, and the purpose."""
    words = [f"Step {decision.step}: {decision.verdict}"]
    if decision.limb is not None:
        words.append(f"by limb {decision.limb}")
    if decision.method is not None:
        words.append(f"with {_METHODS[decision.method]}")
    words.append(f"under clause {_clause(decision)}")
    details = [_deciding_text(decision)]
    if decision.verdict is Verdict.REFUSE or decision.verdict is Verdict.HOLD:
        code = closest(decision.reasons)
        if code:
            details.append(guidance(code).problem)
    details.append(f"content protection {decision.strength.label}{f' ({decision.scheme})' if decision.scheme else ''}")
    if decision.sends:
        details.append(f"transport required {decision.requirement.assurance.label}")
    purpose = decision.purpose
    details.append(f"purpose {purpose.purpose} from {purpose.source}" if purpose is not None else "no purpose recorded")
    if not decision.enforced:
        details.append("observed only, relayed unchanged")
    return f"{' '.join(words)}: {'; '.join(details)}."


def status(decision: Decision) -> str:
    """The enhanced code of a refusal (RFC 3463 section 3.8): 5.7.1, 5.7.5 no usable key, 5.7.6 weak algorithm."""
    code = guidance(closest(decision.reasons)).status
    if code == _DEFAULT_STATUS and any(reason.code in _KEYLESS for reason in decision.reasons):
        return NO_KEY_STATUS
    return code


def refused(decision: Decision) -> bool:
    """True where the decision bites and is a refusal."""
    return decision.enforced and decision.verdict is Verdict.REFUSE


def reply_lines(decisions: Sequence[Decision]) -> tuple[str, ...]:
    """The lines, without line ends, of the one 550 reply for a message of which at least one share is refused.

    "550-5.7.1 <recipient>: ..." for each refused recipient, wrapped where it would exceed 450 octets; a last line
    says what became of the other recipients, if any. Empty where nothing is refused.
    """
    refusals = [decision for decision in decisions if refused(decision)]
    if not refusals:
        return ()
    codes = {status(decision) for decision in refusals}
    code = codes.pop() if len(codes) == 1 else _DEFAULT_STATUS
    room = LINE_OCTETS - len(f"550-{code} ")
    texts: list[str] = []
    for decision in refusals:
        texts += _wrap(f"<{_address(decision.recipient)}>: {for_sender(decision)}", room)
    others = len(decisions) - len(refusals)
    if others:
        whom = "the other recipient" if others == 1 else f"the {others} other recipients"
        texts.append(f"Nothing was sent to {whom} either: put this right or leave out those above, and send again.")
    lines = [f"550-{code} {text}" for text in texts[:-1]]
    return (*lines, f"550 {code} {texts[-1]}")


def _clause(decision: Decision) -> str:
    """The clause of the reason that decided."""
    return next((reason.clause for reason in reversed(decision.reasons) if reason.clause), "5.3.4")


def _deciding_text(decision: Decision) -> str:
    told = [reason for reason in decision.reasons if reason.code != "observed"]
    own = [reason for reason in told if reason.step == decision.step] or told
    return _lower_first(own[-1].text.rstrip(".")) if own else "no reason recorded"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _address(address: str) -> str:
    """An address fit for an ASCII reply: other characters as in RFC 6533 section 3, cut where it is absurdly long."""
    text = "".join(c if "!" <= c <= "~" else f"\\x{{{ord(c):X}}}" for c in address)
    return text if len(text) <= 330 else text[:150] + "..." + text[-150:]


def _wrap(text: str, room: int) -> list[str]:
    lines: list[str] = []
    while len(text) > room:
        cut = text.rfind(" ", 1, room + 1)
        cut = cut if cut > 0 else room
        lines.append(text[:cut])
        text = text[cut:].lstrip(" ")
    return [*lines, text]
