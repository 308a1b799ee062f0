"""What the owner of the register is told, in plain English.

Guarantees: pure; a letter says what happened, what it means, and what to do. Nothing in it is about a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.directory.model import Partner
from gateway.posture.history import Ending
from gateway.posture.subject import Subject


@dataclass(frozen=True, slots=True)
class Letter:
    """A subject and paragraphs of text."""

    subject: str
    text: str


def suspended(subject: Subject, partner: Partner | None, reason: str, checks: int) -> Letter:
    """The domain no longer counts as secure."""
    asked = _whom(partner)
    return Letter(
        f"Secure domain suspended: {subject.domain}",
        f"{subject.domain} no longer counts as a secure domain.\n\n"
        f"Why: {_sentence(reason)} {_times(checks)} found so.\n\n"
        "What it means: nothing is sent to this domain on the strength of the register any more. Each message goes the "
        "next way that the policy allows: it is encrypted, sent through a service, held or refused, and its sender is "
        "told.\n\n"
        f"What to do: {asked} to mend this. The gateway looks again every hour and restores the domain by itself as "
        f"soon as the proof succeeds. To see every check: gateway domains check {subject.domain}\n",
    )


def many(what: str, subjects: Iterable[Subject]) -> Letter:
    """The same happened to so many domains at once that one letter is enough. `what`: "suspended", "restored"."""
    names = [subject.domain for subject in subjects]
    listed = "\n".join(f"- {name}" for name in names)
    return Letter(
        f"Secure domains {what}: {len(names)}",
        f"{len(names)} secure domains are {what} after the last round of checks:\n\n{listed}\n\n"
        "So many at once may have one cause, and it may be on the gateway's side: the trust anchors "
        "(delivery.ca_file), a firewall that changes SMTP, the clock. For the checks of each: gateway domains check\n",
    )


def restored(subject: Subject) -> Letter:
    """The domain counts again."""
    return Letter(
        f"Secure domain restored: {subject.domain}",
        f"{subject.domain} counts as a secure domain again: the proof that the register asks for succeeds.\n\n"
        "Nothing is to be done.\n",
    )


def ends(warnings: Iterable[Ending]) -> Letter | None:
    """What comes to an end soon; None where nothing does."""
    lines = list(dict.fromkeys(warning.text for warning in warnings))
    if not lines:
        return None
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    listed = "\n".join(f"- {_sentence(line)}" for line in lines)
    return Letter(
        f"Secure domains: {lines[0]}{more}"[:200],
        f"Something that the register of secure domains relies on comes to an end:\n\n{listed}\n\n"
        "What to do: have a certificate or an MTA-STS policy renewed by the agency that it belongs to; renew an entry "
        "of the register yourself, once its evidence has been looked at. After its end mail to the domain can no "
        "longer be sent on the strength of the register.\n",
    )


def doubt(failing: int, asked: int) -> Letter:
    """DNS fails for most domains: the fault is likely here."""
    return Letter(
        "Secure domains could not be checked: DNS fails",
        f"Of {asked} secure domains that were looked up, DNS failed for {failing}. That is more likely a fault of the "
        "gateway's own DNS resolver than of all those domains.\n\n"
        "What it means: these checks do not count, and no domain is suspended because of them. Mail to secure domains "
        "may wait until DNS works.\n\n"
        "What to do: look at the resolver named in delivery.resolvers of gateway.toml (or in /etc/resolv.conf), at its "
        "clock and at its trust anchor. You hear of this once until checks succeed again.\n",
    )


def _whom(partner: Partner | None) -> str:
    if partner is None:
        return "ask the agency that the domain belongs to"
    contact = partner.spoc
    telephone = f", {contact.telephone}" if contact.telephone else ""
    return f"ask {partner.name} ({contact.role}, {contact.email}{telephone})"


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else "The required proof fails."


def _times(checks: int) -> str:
    return "One check" if checks == 1 else f"{checks} checks in a row"
