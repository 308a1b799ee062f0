"""A message as a whole: walks its parts, judges each, and sums up what is protected and what is readable.

Guarantees: every leaf is judged by its bytes and has its place in the tree of parts; the message is as strong as
its weakest leaf, and `none` where its structure can be read in two ways. Only a message that shows nothing beside
its encryption is "whole". Failures: none raised by formats' guard; counts of identifiers, never values.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from gateway import tag
from gateway.inspection import identifiers, trial
from gateway.inspection.findings import MALFORMED
from gateway.inspection.limits import Context
from gateway.inspection.mail import header, mime, said, text, visible
from gateway.inspection.mail.header import Fields
from gateway.inspection.mail.leaves import LONG_NAME, Leaf, Node, Seen, Sum, add, most, protection, unprotected
from gateway.inspection.mail.mime import Entity
from gateway.model import Counts, HeaderFacts, MessageFacts, PartFacts, Strength

KIND = "message"
_VISIBLE = frozenset({"text/plain", "text/html", "text/enriched", "text/richtext"})
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_FRAGMENTS = frozenset({"message/partial", "message/external-body"})
_MULTIPARTS = frozenset(
    f"multipart/{subtype}"
    for subtype in ("mixed", "alternative", "related", "signed", "encrypted", "report", "digest", "parallel")
)  # named in the facts; other subtypes are the sender's own words
_NOTHING = frozenset({"key-material", "nothing-to-protect"})

_FIRST_FIELD = re.compile(rb"[!-9;-~]{1,76}[ \t]*:|>?From ")
_KNOWN_FIELD = re.compile(
    rb"^(?:from|to|cc|sender|reply-to|subject|date|message-id|received|mime-version|content-type|return-path"
    rb"|delivered-to|dkim-signature|content-transfer-encoding)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)


def recognise(data: bytes) -> bool:
    """True if the data begins with a header field and has a field that messages have near its beginning."""
    return _FIRST_FIELD.match(data) is not None and _KNOWN_FIELD.search(data, 0, 65536) is not None


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a message that is itself a part or a file."""
    return inspect(data, context).root


def inspect(data: bytes, context: Context) -> MessageFacts:
    """The facts of the message that fills `data`."""
    root = mime.walk(data, context.limits, context.budget, context.depth)
    addressed = (header.raw(v[: context.limits.field_text]) for n, v in root.fields.items if b"@" in v and n in _KNOWN)
    total = Sum(data, context, identifiers.addresses("\n".join(addressed)))
    facts, findings = header.facts(root.fields, context.limits, _tags(data, root.fields))
    total.find(*findings)
    subject = said.of_message(root, total)
    seen = _visit(root, total, context.depth, ())
    if total.excess:
        code = "header-text" if "header-text" in total.findings else "long-name"
        total.node.inside.insert(0, len(total.leaves))
        total.leaves.append(Leaf(PartFacts("text", findings=(code,), size=total.excess), False, True))
    if not context.depth:
        _try_passwords(total)
    return _facts(total, facts, subject, seen)


_KNOWN = said.KNOWN_ADDRESS_FIELDS


def _tags(data: bytes, fields: Fields) -> tuple[tag.Tag, ...]:
    """The purpose tags of the outermost header; most subjects cannot hold one."""
    if any(b"[" in value or b"=?" in value for value in fields.all(b"subject")):
        return tag.read(data)
    return ()


def _try_passwords(total: Sum) -> None:
    """Tries on what is encrypted whatever in the message could be its password (clause 5.3.4: by another way)."""
    locks = [(at, lock) for at, leaf in enumerate(total.leaves) for lock in leaf.locks]
    if not locks:
        return
    total.context.budget.pool(total.context.limits.effort_most)
    passwords = trial.candidates(total.context.budget.words, total.context.clues)
    opened, untried = trial.opens([lock for _, lock in locks], passwords, total.context.budget)
    opened_leaves = {locks[position][0] for position in opened}
    untried_leaves = {locks[position][0] for position in untried}
    for at in opened_leaves | untried_leaves:
        leaf = total.leaves[at]
        part = trial.verdict(leaf.part, at in opened_leaves, at in untried_leaves)
        total.leaves[at] = replace(leaf, part=part)
    if opened:
        total.password = True


# ---------------------------------------------------------------- visiting


def _visit(entity: Entity, total: Sum, depth: int, around: tuple[str, ...]) -> Seen:
    """Judges a subtree; returns what a reader sees of it."""
    total.find(*entity.faults)
    if not entity.is_multipart:
        return _leaf_with_locks(entity, total, depth, around)
    said.describe(said.of_part(entity, total, depth, []), total)
    kind = entity.type.value
    if kind == "multipart/encrypted" and not _is_pgp_mime(entity, total):
        entity.fault("pgp-mime-odd")
        total.find("pgp-mime-odd")
        kind = "multipart/mixed"
    name = entity.type.value if entity.type.value in _MULTIPARTS else "multipart"
    node = Node(name, entity.end - entity.start, tuple(entity.faults))
    total.node.inside.append(node)
    outer, total.node = total.node, node
    seen = _children(entity, total, depth, (*around, kind))
    total.node = outer
    return seen


def _children(entity: Entity, total: Sum, depth: int, around: tuple[str, ...]) -> Seen:
    parts: list[Seen] = []
    loose: list[Seen] = []
    kinds: dict[str, list[Seen]] = {}
    for child in entity.children:
        seen = _visit(child, total, depth + 1, around)
        if child.loose:
            loose.append(seen)
        else:
            parts.append(seen)
            kinds.setdefault(child.type.value, []).append(seen)
    if around[-1] == "multipart/alternative":
        parts = [most([add(alike) for alike in kinds.values()])]  # two texts of one type are no alternatives
    return add(parts + loose)


def _is_pgp_mime(entity: Entity, total: Sum) -> bool:
    """Exactly the two parts of RFC 3156 section 4, and nothing around them; the second is judged later."""
    if len(entity.children) != 2 or any(child.loose or child.is_multipart for child in entity.children):
        return False
    first, second = entity.children
    return _is_version_part(first, total.data) and second.type.value == "application/octet-stream"


def _is_version_part(entity: Entity, data: bytes) -> bool:
    if entity.type.value != "application/pgp-encrypted" or entity.end - entity.start > 1000:
        return False
    return mime.decode(data, entity).strip() == b"Version: 1"


def _leaf_with_locks(entity: Entity, total: Sum, depth: int, around: tuple[str, ...]) -> Seen:
    """Judges a leaf; what it holds that a password would open is kept with it."""
    locks, before = total.context.budget.locks, len(total.leaves)
    first = len(locks)
    seen = _leaf(entity, total, depth, around)
    if len(locks) > first:
        for at in range(before, len(total.leaves)):
            total.leaves[at] = replace(total.leaves[at], locks=tuple(locks[first:]))
    return seen


def _leaf(entity: Entity, total: Sum, depth: int, around: tuple[str, ...]) -> Seen:
    content = mime.decode(total.data, entity)
    total.find(*entity.faults)
    kind = entity.type.value
    names = header.names(entity.type, entity.disposition)
    words = said.of_part(entity, total, depth, names)
    if kind in _VISIBLE and not names and entity.disposition.value in ("", "inline"):
        said.describe(words, total)
        return visible.judge(entity, content, total)
    total.name([*names, *words])
    for name in names:
        total.pieces(trial.name_words(name[:LONG_NAME]))
    part = _judged(entity, content, total, depth)
    if kind in _FRAGMENTS:
        part = unprotected(replace(part, findings=(*part.findings, "partial-message")))
    _attach(entity, part, content, (names, words), total, around)
    return Seen()


def _judged(entity: Entity, content: bytes, total: Sum, depth: int) -> PartFacts:
    """The verdict on the bytes of a leaf that is not visible text."""
    if not content or content.isspace():
        return PartFacts("unknown", findings=("nothing-to-protect",), size=len(content))
    if _is_version_part(entity, total.data):
        total.pgp_version = True
        return PartFacts("pgp-version", findings=("nothing-to-protect",), size=len(content))
    if entity.type.value in _MESSAGES:
        if mime.transfer_encoding(entity) == "quoted-printable" and len(content) != entity.end - entity.start:
            entity.fault("multipart-encoded")  # a program that does not decode it may find other parts in it
            total.find("multipart-encoded")
        return _nested(content, total, depth)
    part = total.context.judge(content, replace(total.context, depth=depth + 1))
    total.find(*(code for code in _all_findings(part) if code in MALFORMED))
    return part


def _all_findings(part: PartFacts) -> set[str]:
    return set(part.findings).union(*map(_all_findings, part.parts))


def _nested(content: bytes, total: Sum, depth: int) -> PartFacts:
    """An attached message: as strong as its weakest leaf; its subject is readable whatever is inside."""
    if depth + 1 > total.context.limits.depth:
        total.find("too-deep")
        return PartFacts(KIND, findings=("too-deep",), size=len(content))
    facts = inspect(content, replace(total.context, depth=depth + 1))
    total.find(*(code for code in facts.findings if code in MALFORMED))
    total.password = total.password or facts.password_in_clear
    return facts.root


def _attach(
    entity: Entity,
    part: PartFacts,
    content: bytes,
    said_of_it: tuple[list[str], list[str]],
    total: Sum,
    around: tuple[str, ...],
) -> None:
    """Records an attachment, with the identifiers that its names, its header and its own readable names hold."""
    counts: Counts = ()
    findings = part.findings
    most_read = total.context.limits.field_text
    names, words = ("\n".join(lines)[:most_read] for lines in said_of_it)
    if names or words:
        # A Content-ID has the form of an address, and fields of parts are written by programs.
        counts = identifiers.merge(total.count_in_name(names), said.personal(total.count_in_name(words)))
        total.password = total.password or text.gives_password(names) or text.gives_password(words)
    if counts and "identifier-in-name" not in findings:
        findings = (*findings, "identifier-in-name")
    counts = identifiers.merge(counts, part.identifiers)
    total.names = identifiers.merge(total.names, counts)
    digest = hashlib.sha256(content).hexdigest() if content else ""
    part = replace(part, findings=findings, identifiers=counts, sha256=digest)
    carries = part.strength > Strength.NONE or not _NOTHING.intersection(findings) or bool(said.personal(counts))
    wrapped_only = set(around) <= {"multipart/signed", "multipart/encrypted"}
    whole = wrapped_only and (part.kind == "smime" or (part.kind == "openpgp" and "multipart/encrypted" in around))
    total.add(Leaf(part, attachment=carries, carries=carries, whole=whole), entity.faults)


# ---------------------------------------------------------------- summing up


def _facts(total: Sum, facts: HeaderFacts, subject: Counts, seen: Seen) -> MessageFacts:
    carrying = [leaf for leaf in total.leaves if leaf.carries]
    whole, scheme = _whole(total, carrying)
    recipients = tuple(dict.fromkeys(name for leaf in carrying for name in leaf.part.recipients))
    body = identifiers.merge(seen.counts, total.names)
    if whole > Strength.NONE:
        subject = identifiers.merge(subject, body)  # names of parts stay readable, as the subject does
    if total.password:
        total.find("password-in-clear")
    findings = tuple(total.findings)
    weakest, words, state = protection(total.leaves, total.malformed)
    root = PartFacts(
        KIND,
        weakest,
        words,
        state,
        findings,
        total.parts(total.node),
        identifiers.merge(subject, total.names),
        len(total.data),
    )
    return MessageFacts(
        root=root,
        headers=facts,
        whole=whole,
        whole_scheme=scheme,
        attachments=tuple(leaf.part for leaf in total.leaves if leaf.attachment),
        subject_identifiers=subject,
        body_identifiers=body,
        body_characters=seen.characters + total.excess,
        password_in_clear=total.password,
        findings=findings,
        malformed=total.malformed,
        whole_recipients=recipients if whole > Strength.NONE else (),
        unfinished=total.context.budget.unfinished,
    )


def _whole(total: Sum, carrying: list[Leaf]) -> tuple[Strength, str]:
    """Strength and scheme if the encryption of the message leaves nothing readable but its header."""
    if total.malformed or not carrying:
        return Strength.NONE, ""
    weakest = min(carrying, key=lambda leaf: leaf.part.strength)
    one = len(carrying) == 1 or all(not leaf.attachment for leaf in carrying)
    # Exchange turns multipart/encrypted into multipart/mixed, and leaves the version part.
    rearranged = total.pgp_version and len(carrying) == 1 and weakest.part.kind == "openpgp"
    if one and (rearranged or all(leaf.whole for leaf in carrying)) and weakest.part.strength > Strength.NONE:
        return weakest.part.strength, weakest.part.scheme
    return Strength.NONE, ""
