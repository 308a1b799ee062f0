"""Steps 3 and 4: has the sender protected the information, as a whole or in its attachments?

Guarantees: pure; what is absent, malformed or of an unknown type counts against a limb, never for it. A message that
is encrypted to keys of which none is the recipient's does not satisfy a limb for that recipient.
Failures: none raised.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.directory.model import Policy
from gateway.model import Counts, KeyFacts, Limb, PartFacts, Reason, Strength
from gateway.policy.case import EMAIL_CLAUSE, Case, Match, Passed, relayed, types, weakest

# A signature block holds these; in the subject they count like any other. Every other type, known or not, is personal.
TOLERATED_IN_BODY = frozenset({"phone", "postcode", "email"})

# Findings by which inspection says that a clear part holds nothing to protect (a signature, an empty part).
NOTHING_TO_PROTECT = frozenset({"key-material", "nothing-to-protect"})

_OPENPGP = "openpgp:"
_ANONYMOUS = "openpgp:anonymous"


def encrypted_whole(case: Case) -> Match | Passed:
    """Step 3: the message is encrypted end to end as a whole and its subject carries nothing personal."""
    step, facts, least = 3, case.facts, case.policy.strength
    if facts.whole is Strength.NONE:
        return (Reason(step, "not-encrypted", "The message is not encrypted as a whole.", EMAIL_CLAUSE),)
    if facts.whole < least:
        text = f"The whole is encrypted, but {facts.whole.label} where policy asks for {least.label}."
        return (Reason(step, "encrypted-weak", text, EMAIL_CLAUSE),)
    faults: list[Reason] = []
    if facts.malformed:
        text = "The message is malformed: readers may differ about what is encrypted."
        faults.append(Reason(step, "encrypted-malformed", text, EMAIL_CLAUSE))
    if facts.subject_identifiers:
        text = f"The subject is visible and holds {types(facts.subject_identifiers)}."
        faults.append(Reason(step, "encrypted-subject", text, EMAIL_CLAUSE))
    named = _visible_in(facts.attachments)
    if named:
        text = f"A visible name or comment holds {types(named)}."
        faults.append(Reason(step, "encrypted-name", text, EMAIL_CLAUSE))
    fault, compared = _other_keys(facts.whole_recipients, case.destination.keys)
    if fault:
        faults.append(Reason(step, "encrypted-to-others", fault, EMAIL_CLAUSE))
    if faults:
        return tuple(faults)
    text = f"The message is encrypted end to end as a whole: {facts.whole_scheme or facts.whole.label}.{compared}"
    reason = Reason(step, "encrypted-whole", text, EMAIL_CLAUSE)
    return relayed(case, Limb.ENCRYPTED_SERVICE, reason, facts.whole, facts.whole_scheme)


def encrypted_attachments(case: Case) -> Match | Passed:
    """Step 4: every attachment is encrypted well enough; what is visible is a covering note without personal data."""
    step, facts, least = 4, case.facts, case.policy.strength
    attachments = tuple(part for part in facts.attachments if not _nothing_in(part, case.policy))
    worst = weakest(attachments)
    faults: list[tuple[str, str]] = []
    if worst is None:
        faults.append(("no-attachment", "There is no attachment."))
    elif worst.strength < least:
        count = sum(part.strength < least for part in attachments)
        code = "clear-attachment" if worst.strength is Strength.NONE else "weak-attachment"
        text = f"{count} of {len(attachments)} attachments are below {least.label}; the weakest is"
        faults.append((code, f"{text} {worst.strength.label}."))
    told = (_other_keys(named, case.destination.keys)[0] for part in attachments for named in _recipients(part))
    fault = next(filter(None, told), "")
    if fault:
        faults.append(("encrypted-to-others", fault))
    faults += _visible_faults(case)
    if faults or worst is None:
        return tuple(Reason(step, code, text, EMAIL_CLAUSE) for code, text in faults)
    text = f"Every attachment is encrypted, the weakest with {worst.scheme or worst.strength.label}."
    reason = Reason(step, "encrypted-attachment", text, EMAIL_CLAUSE)
    return relayed(case, Limb.ENCRYPTED_ATTACHMENT, reason, worst.strength, worst.scheme)


def _recipients(part: PartFacts) -> Iterator[tuple[str, ...]]:
    """Whom a part is encrypted to; where the part is a container, whom each of its parts is encrypted to."""
    inner = [names for each in part.parts for names in _recipients(each)]
    yield from inner or ([part.recipients] if part.recipients else [])


def _other_keys(named: tuple[str, ...], pinned: tuple[KeyFacts, ...]) -> tuple[str, str]:
    """(what is wrong with the OpenPGP keys that content is encrypted to, a sentence where they were not compared).

    Key ids are compared with those of every key pinned for the recipient, usable or not: whoever has the key can read.
    """
    keys = [name.removeprefix(_OPENPGP) for name in named if name.startswith(_OPENPGP) and name != _ANONYMOUS]
    if not any(name.startswith(_OPENPGP) for name in named):
        return "", ""
    own = {key_id for key in pinned for key_id in key.key_ids}
    if not own:
        return "", " No OpenPGP key is known for the recipient, so the keys were not compared."
    if any(_key_id(key) in own for key in keys):
        return "", " A key pinned for the recipient is among those that it is encrypted to."
    if _ANONYMOUS in named:
        return "", " It hides whom it is encrypted to, so the keys were not compared."
    count = f"{len(keys)} OpenPGP key{'' if len(keys) == 1 else 's'}"
    return f"It is encrypted to {count}, none of which is pinned for the recipient.", ""


def _key_id(name: str) -> str:
    """The key id in a key id or fingerprint (RFC 9580 section 5.5.4): the end of a v4 one, the start of a v6 one."""
    return name[:16] if len(name) == 64 else name[-16:]


def _visible_faults(case: Case) -> list[tuple[str, str]]:
    """What forbids to call the visible rest of the message a mere covering note: codes and sentences."""
    facts, most = case.facts, case.policy.covering_note_characters
    faults: list[tuple[str, str]] = []
    if facts.password_in_clear:
        faults.append(("password-in-clear", "A password stands in the clear text."))
    if facts.subject_identifiers:
        faults.append(("clear-subject", f"The subject holds {types(facts.subject_identifiers)}."))
    named = _visible_in(facts.attachments)
    if named:
        faults.append(("clear-name", f"The name or comment of an attachment holds {types(named)}."))
    personal = _personal(facts.body_identifiers)
    if personal:
        faults.append(("clear-body", f"The visible text holds {types(personal)}."))
    contacts = sum(number for kind, number in facts.body_identifiers if kind in TOLERATED_IN_BODY)
    if contacts > case.policy.covering_note_contacts:
        text = f"The visible text holds {contacts} contact details, more than a signature has."
        faults.append(("many-contacts", text))
    if facts.body_characters > most:
        text = f"The visible text has {facts.body_characters} characters, above the {most} of a covering note."
        faults.append(("long-body", text))
    if facts.malformed:
        faults.append(("malformed", "The message is malformed: readers may differ about what is visible."))
    return faults


def _nothing_in(part: PartFacts, policy: Policy) -> bool:
    """True for a part that holds nothing to protect: inspection says so, or policy knows the very file."""
    if part.identifiers:
        return False
    if part.sha256 and part.sha256 in policy.signature_files:
        return True
    return not part.parts and not NOTHING_TO_PROTECT.isdisjoint(part.findings)


def _visible_in(parts: tuple[PartFacts, ...]) -> Counts:
    """Personal identifiers that attachments show without a password: in file names, member names, comments."""
    found: dict[str, int] = {}
    waiting = list(parts)
    while waiting:
        part = waiting.pop()
        waiting.extend(part.parts)
        for name, count in _personal(part.identifiers):
            found[name] = found.get(name, 0) + count
    return tuple(sorted(found.items()))


def _personal(counts: Counts) -> Counts:
    return tuple(count for count in counts if count[0] not in TOLERATED_IN_BODY)
