"""What to tell a sender: for each code of a reason, what is wrong and what to do, in plain English.

Guarantees: ASCII, bounded length, no value taken from a message; every refusal and hold has a next step and, for
urgent cases, somebody to ring (clauses 3.4.1, 5.3.9). One table serves the decision (which stores the advice) and
`explain` (which puts it into a sentence), so that they cannot disagree.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.directory.model import Partner
from gateway.model import Reason


@dataclass(frozen=True, slots=True)
class Guidance:
    """`problem` completes "Not sent: ..."; `action` is an imperative; `status` is the RFC 3463 code of a refusal."""

    problem: str
    action: str
    status: str = "5.7.1"


_ENCRYPT = (
    "put the information in a PDF, Office or ZIP file encrypted with AES, keep personal details out of subject and "
    "body, and tell the password by phone"
)

# The order is that of step 8: what the sender has nearly got right comes first.
GUIDANCE: dict[str, Guidance] = {
    "sender-domain": Guidance(
        "your mail system may not send for this sender's domain",
        "send from your own agency address, or ask your e-mail administrator to register the domain with the gateway",
    ),
    "header-from": Guidance(
        "the From address is not of your own agency",
        "send again with only your own agency address as From",
    ),
    "unknown-recipient": Guidance(
        "the recipient is not at an agency of the protocol",
        "check the address, or ask your Data Protection Officer to have the recipient's agency added to the gateway",
    ),
    "country": Guidance(
        "the recipient's agency is in a country that sharing by e-mail is not agreed for",
        "ask your Data Protection Officer about the rules for transfers abroad",
    ),
    "no-purpose": Guidance(
        "the message does not say why the information is shared",
        "send again with [purpose: CODE] at the end of the subject, where CODE is one of {purposes}",
    ),
    "unknown-purpose": Guidance(
        "the purpose it states is not one of the protocol",
        "send again with [purpose: CODE] at the end of the subject, where CODE is one of {purposes}",
    ),
    "conflicting-purpose": Guidance(
        "the message says in different ways why the information is shared",
        "send again with one [purpose: CODE] at the end of the subject, where CODE is one of {purposes}",
    ),
    "unknown-basis": Guidance(
        "the legal basis it states is not one of the protocol",
        "send again with a basis of clause 4.1 such as {bases}, or without one",
    ),
    "unknown-condition": Guidance(
        "the special-category condition it states is not one of the protocol",
        "send again with a condition of clause 5.4 such as {conditions}, or without one",
    ),
    "unproven": Guidance(
        "the recipient's mail server could not prove in time that it is the right one",
        _ENCRYPT,
    ),
    "suspended": Guidance(
        "the recipient's mail server can no longer prove that it is the right one",
        _ENCRYPT,
    ),
    "encrypted-malformed": Guidance(
        "the encrypted message is built in a way that mail programs read differently",
        "write it anew in your mail program, encrypt it and send it again",
    ),
    "encrypted-subject": Guidance(
        "the message is encrypted but its subject, which anybody can read, holds personal details",
        "send it again with a subject that has no names, numbers or dates in it",
    ),
    "encrypted-name": Guidance(
        "the message is encrypted but a file name, which anybody can read, holds personal details",
        "rename the file so that its name has no names, numbers or dates in it, and send it again",
    ),
    "encrypted-to-others": Guidance(
        "it is encrypted, but not to a key of the recipient's agency",
        "encrypt it to the key that the agency's single point of contact confirms, and send it again",
        "5.7.5",
    ),
    "encrypted-weak": Guidance(
        "the message is encrypted with a method that is too weak",
        "have your mail program encrypt with AES and send it again",
        "5.7.6",
    ),
    "clear-attachment": Guidance("at least one attachment is not encrypted", _ENCRYPT),
    "weak-attachment": Guidance(
        "an attachment is encrypted with a method that is too weak",
        "encrypt it anew with AES-256 (7-Zip, or save as a protected PDF or Office file) and send it again",
        "5.7.6",
    ),
    "password-in-clear": Guidance(
        "the password of the attachment stands in the message",
        "encrypt the file with a new password, send it without it, and tell the password by phone",
    ),
    "clear-subject": Guidance(
        "the subject, which anybody can read, holds personal details",
        "send it again with a subject that has no names, numbers or dates in it",
    ),
    "clear-name": Guidance(
        "the name of a file, which anybody can read, holds personal details",
        "rename the file, and what is in it if it is an archive, encrypt it anew and send it again",
    ),
    "clear-body": Guidance(
        "the attachment is encrypted but the text of the message holds personal details",
        "move them into the encrypted attachment and send it again",
    ),
    "many-contacts": Guidance(
        "the text of the message holds more telephone numbers, postcodes and e-mail addresses than a signature has",
        "move them into the encrypted attachment and send it again",
    ),
    "long-body": Guidance(
        "the text of the message, which is not encrypted, is longer than a covering note",
        "move the text into the encrypted attachment and send it again",
    ),
    "malformed": Guidance(
        "the message is built in a way that mail programs read differently",
        "write it anew in your mail program and send it again with the information in an encrypted attachment",
    ),
    "no-attachment": Guidance("the message is not encrypted", _ENCRYPT),
}
FALLBACK = Guidance("the message is not protected in a way the protocol allows", _ENCRYPT)
NO_KEY_STATUS = "5.7.5"


def closest(reasons: Iterable[Reason]) -> str:
    """The code, of those among the reasons, whose guidance the sender needs most; "" where none has any."""
    codes = {reason.code for reason in reasons}
    return next((code for code in GUIDANCE if code in codes), "")


def guidance(code: str) -> Guidance:
    """What to say for a code; something useful even for one that has no entry."""
    return GUIDANCE.get(code, FALLBACK)


def advise(code: str, partner: Partner | None, *, purposes: str = "", bases: str = "", conditions: str = "") -> str:
    """One sentence: what to do next, and whom to ring if it cannot wait. At most 285 ASCII characters."""
    action = guidance(code).action.format(purposes=purposes, bases=bases, conditions=conditions)
    return clip(action[0].upper() + action[1:], 150) + "; " + urgent(partner) + "."


def urgent(partner: Partner | None) -> str:
    """Whom to ring when a child is at risk now (3.4.1): the partner's single point of contact, else the recipient."""
    if partner is None:
        return "if a child is at risk now, ring the recipient or their agency"
    where = f" on {clip(partner.spoc.telephone, 20)}" if partner.spoc.telephone else ""
    return f"if a child is at risk now, ring {clip(partner.name, 40)} ({clip(partner.spoc.role, 32)}){where}"


def codes(catalogue: Iterable[str], most: int = 48) -> str:
    """A catalogue's codes for a sentence; cut to whole codes where there are too many."""
    text = ""
    for code in catalogue:
        longer = f"{text}, {code}" if text else code
        if len(longer) > most:
            return f"{text} ..." if text else clip(code, most)
        text = longer
    return clip(text, most)


def clip(text: str, most: int) -> str:
    """Printable ASCII of a text, on one line, at most `most` characters, "..." at the end where it was longer."""
    plain = ascii_only(text)
    return plain if len(plain) <= most else plain[: most - 3].rstrip() + "..."


def ascii_only(text: str) -> str:
    """Accents dropped, anything else beyond printable ASCII (line ends too) a question mark."""
    if text.isascii() and text.isprintable():
        return text
    folded = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in folded.replace("\u2019", "'").replace("\u2013", "-"))
