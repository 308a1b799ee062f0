"""A message as a whole: walks its parts, judges each, and sums up what is protected and what is readable.

Guarantees: every leaf is judged by its bytes; the message is as strong as its weakest leaf, and `none` where
its structure can be read in two ways. Only a message that shows nothing beside its encryption is "whole".
Failures: none raised by formats' guard; counts of identifiers, never values.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace

from gateway import tag
from gateway.inspection import header, identifiers, mime, openpgp, text, trial
from gateway.inspection.ciphertext import holds_prose
from gateway.inspection.findings import CONTACT, MALFORMED, UNSCANNED
from gateway.inspection.header import Fields
from gateway.inspection.limits import Context, Lock
from gateway.inspection.mime import Entity
from gateway.model import Counts, Encrypted, HeaderFacts, MessageFacts, PartFacts, Strength

KIND = "message"
_VISIBLE = frozenset({"text/plain", "text/html", "text/enriched", "text/richtext"})
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_FRAGMENTS = frozenset({"message/partial", "message/external-body"})
_NOTHING = frozenset({"key-material", "nothing-to-protect"})
_MARKUP_SHARE = 4  # HTML is read as far as this many times the text that is searched
_READ_FIELDS = (b"subject", b"thread-topic", b"comments", b"keywords", b"content-description")
_TYPE_FIELDS = frozenset({b"content-type", b"content-disposition", b"content-transfer-encoding"})
_SHARING_FIELDS = (b"sharing-purpose", b"sharing-basis", b"sharing-condition", b"sharing-reference")
_MACHINE_FIELDS = frozenset(
    {b"received", b"dkim-signature", b"domainkey-signature", b"message-id", b"references", b"in-reply-to", b"date"}
    | {b"mime-version", b"authentication-results", b"received-spf", b"autocrypt", b"autocrypt-gossip", b"openpgp"}
    | {b"thread-index", b"x-mailer", b"user-agent", b"x-originating-ip", b"x-face", b"face", b"list-unsubscribe"}
    | {b"x-priority", b"importance", b"accept-language", b"x-attachment-id", b"x-universally-unique-identifier"}
)  # programs write them, long and full of digits
_MACHINE_PREFIXES = (b"content-", b"x-ms-", b"x-microsoft-", b"x-forefront-", b"arc-", b"x-google-", b"x-gm-")
_LONG_NAME = 255  # characters of a subject, a file name or the like; the rest counts as visible text
_INSIDE_MOST = 4000  # characters of styles and attributes around an armoured message in HTML
_DIGIT = re.compile(rb"[0-9]")
_ADDRESS = re.compile(r"[^\s<>\"(),;:]*@[^\s<>\"(),;:]*")
_ADDRESS_FIELDS = (b"from", b"to", b"cc", b"reply-to", b"sender", b"return-path", b"disposition-notification-to")

_FIRST_FIELD = re.compile(rb"[!-9;-~]{1,76}:|From ")
_KNOWN_FIELD = re.compile(
    rb"^(?:from|to|subject|date|message-id|received|mime-version|content-type|return-path|delivered-to"
    rb"|dkim-signature)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_SILENT_TAG = re.compile(
    r"(?:!doctype html[^<>]{0,200}|/?[a-z][a-z0-9:]{0,12}"
    r"(?:\s+(?:style|class|dir|lang|http-equiv|charset|content|xmlns|size|face|color|width|align|type)"
    r"\s?=\s?(?:\"[^\"]{0,200}\"|'[^']{0,200}'|[^\s\"']{1,60}))*\s*/?)",
    re.IGNORECASE,
)  # markup in which no program shows words


def recognise(data: bytes) -> bool:
    """True if the data begins with a header field and has a field that messages have near its beginning."""
    return _FIRST_FIELD.match(data) is not None and _KNOWN_FIELD.search(data, 0, 65536) is not None


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a message that is itself a part or a file."""
    return inspect(data, context).root


# ---------------------------------------------------------------- leaves


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a reader sees in a subtree: characters, and identifiers among them."""

    characters: int = 0
    counts: Counts = ()


@dataclass(frozen=True, slots=True)
class _Leaf:
    part: PartFacts
    attachment: bool
    carries: bool  # something that needs protection
    whole: bool = False  # encryption of the kind that wraps a message
    locks: tuple[Lock, ...] = ()


@dataclass(slots=True)
class _Sum:
    """Collects while the parts are visited."""

    data: bytes
    context: Context
    known: frozenset[str]
    leaves: list[_Leaf] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    names: Counts = ()
    excess: int = 0  # characters of names and the like beyond what such things need
    password: bool = False
    pgp_version: bool = False
    malformed: bool = False

    def find(self, *codes: str) -> None:
        for code in codes:
            self.malformed = self.malformed or code in MALFORMED
            if code not in self.findings:
                self.findings.append(code)

    def name(self, words: list[str]) -> None:
        """Takes note of names and the like that are too long to be only that."""
        self.excess += sum(text.visible_characters(word[_LONG_NAME:]) for word in words if len(word) > _LONG_NAME)

    def scan(self, content: str) -> Counts:
        """Identifiers in a text, within what may be spent on text."""
        room = self.context.budget.text
        self.context.budget.text = max(0, room - len(content))
        if len(content) <= room:
            return self._count(content)
        self.too_long()
        return identifiers.merge(self._count(content[:room]), ((UNSCANNED, 1),))

    def _count(self, content: str) -> Counts:
        return identifiers.count(content, self.known, self.context.clues.watch_words)

    def count_in_name(self, words: str) -> Counts:
        return identifiers.count_in_name(words, self.context.clues.watch_words)

    def too_long(self) -> None:
        self.context.budget.unfinished = True
        self.find("text-too-long")

    def read(self, words: str) -> None:
        """Takes note of what a reader sees, where a password may stand."""
        self.context.budget.words.append(words)


def inspect(data: bytes, context: Context) -> MessageFacts:
    """The facts of the message that fills `data`."""
    root = mime.walk(data, context.limits, context.budget, context.depth)
    known = identifiers.addresses(
        "\n".join(header.raw(v[: context.limits.field_text]) for n, v in root.fields.items if n in _ADDRESS_FIELDS)
    )
    total = _Sum(data, context, known)
    facts, findings = header.facts(root.fields, context.limits, _tags(data, root.fields))
    total.find(*findings)
    subject = _subject_counts(root, total)
    seen = _visit(root, total, context.depth, ())
    if not context.depth:
        _try_passwords(total)
    return _facts(total, facts, subject, seen)


def _try_passwords(total: _Sum) -> None:
    """Tries on what is encrypted whatever in the message could be its password (clause 5.3.4: by another way)."""
    locks = [(at, lock) for at, leaf in enumerate(total.leaves) for lock in leaf.locks]
    if not locks:
        return
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


def _tags(data: bytes, fields: Fields) -> tuple[tag.Tag, ...]:
    """The purpose tags of the outermost header; most subjects cannot hold one."""
    if any(b"[" in value or b"=?" in value for value in fields.all(b"subject")):
        return tag.read(data)
    return ()


def _subject_counts(root: Entity, total: _Sum) -> Counts:
    """Identifiers in the fields that people write text into and that stay readable."""
    most = total.context.limits.field_text
    lines: list[str] = []
    for name, value in root.fields.items:
        if name in _READ_FIELDS or name in _SHARING_FIELDS:
            if len(value) > most:
                total.too_long()
            lines.append(header.plain(value, most))
    total.name(lines)
    joined = "\n".join(lines)
    total.read(joined)
    if text.gives_password(joined):
        total.password = True
    counts = identifiers.merge(total.scan(joined), _other_counts(root, total))
    return identifiers.merge(counts, ((UNSCANNED, 1),)) if "text-too-long" in total.findings else counts


def _other_counts(root: Entity, total: _Sum) -> Counts:
    """Identifiers of people in display names, and in fields that are not known to be a program's."""
    lines: list[str] = []
    for name, value in root.fields.items:
        if name in _READ_FIELDS or name in _SHARING_FIELDS or name in _MACHINE_FIELDS:
            continue
        if name.startswith(_MACHINE_PREFIXES):
            continue
        if len(value) > _LONG_NAME and name not in _ADDRESS_FIELDS and holds_prose(value, _LONG_NAME):
            total.name([header.plain(value, total.context.limits.header_block)])
        if _DIGIT.search(value) is None:
            continue
        words = header.plain(value, total.context.limits.field_text)
        lines.append(_ADDRESS.sub(" ", words) if "@" in words else words)
    return _personal(total.scan("\n".join(lines))) if lines else ()


def _personal(counts: Counts) -> Counts:
    """Without contact details, which fields that programs write are full of."""
    return tuple(count for count in counts if count[0] not in CONTACT)


# ---------------------------------------------------------------- visiting


def _visit(entity: Entity, total: _Sum, depth: int, around: tuple[str, ...]) -> _Seen:
    """Judges a subtree; returns what a reader sees of it."""
    total.find(*entity.faults)
    if not entity.is_multipart:
        return _leaf_with_locks(entity, total, depth, around)
    _describe(_part_words(entity, total, depth), total)
    kind = entity.type.value
    inside = (*around, kind)
    if kind == "multipart/encrypted" and not _is_pgp_mime(entity, total):
        total.find("pgp-mime-odd")
        inside = (*around, "multipart/mixed")
    parts = [_visit(child, total, depth + 1, inside) for child in entity.children if not child.loose]
    loose = [_visit(child, total, depth + 1, inside) for child in entity.children if child.loose]
    if kind == "multipart/alternative":
        kinds: dict[str, list[_Seen]] = {}
        shown = (child for child in entity.children if not child.loose)
        for child, seen in zip(shown, parts, strict=True):
            kinds.setdefault(child.type.value, []).append(seen)
        parts = [_most([_add(alike) for alike in kinds.values()])]  # two texts of one type are no alternatives
    return _add(parts + loose)


def _describe(words: list[str], total: _Sum) -> None:
    """Takes note of what a header says about a part that is no attachment."""
    if not words:
        return
    total.name(words)
    joined = "\n".join(words)[: total.context.limits.field_text]
    total.names = identifiers.merge(total.names, _personal(total.count_in_name(joined)))
    total.read(joined)
    if text.gives_password(joined):
        total.password = True


def _most(parts: list[_Seen]) -> _Seen:
    """Alternatives show the same thing: the longest counts, and of each identifier the largest number."""
    largest: dict[str, int] = {}
    for part in parts:
        for kind, number in part.counts:
            largest[kind] = max(number, largest.get(kind, 0))
    return _Seen(max((part.characters for part in parts), default=0), tuple(sorted(largest.items())))


def _add(parts: list[_Seen]) -> _Seen:
    counts: Counts = ()
    for part in parts:
        counts = identifiers.merge(counts, part.counts)
    return _Seen(sum(part.characters for part in parts), counts)


def _is_pgp_mime(entity: Entity, total: _Sum) -> bool:
    """Exactly the two parts of RFC 3156 section 4, and nothing around them; the second is judged later."""
    if len(entity.children) != 2 or any(child.loose or child.is_multipart for child in entity.children):
        return False
    first, second = entity.children
    return _is_version_part(first, total.data) and second.type.value == "application/octet-stream"


def _is_version_part(entity: Entity, data: bytes) -> bool:
    if entity.type.value != "application/pgp-encrypted" or entity.end - entity.start > 1000:
        return False
    return mime.decode(data, entity).strip() == b"Version: 1"


def _leaf_with_locks(entity: Entity, total: _Sum, depth: int, around: tuple[str, ...]) -> _Seen:
    """Judges a leaf; what it holds that a password would open is kept with it."""
    locks, before = total.context.budget.locks, len(total.leaves)
    first = len(locks)
    seen = _leaf(entity, total, depth, around)
    if len(locks) > first:
        for at in range(before, len(total.leaves)):
            total.leaves[at] = replace(total.leaves[at], locks=tuple(locks[first:]))
    return seen


def _leaf(entity: Entity, total: _Sum, depth: int, around: tuple[str, ...]) -> _Seen:
    content = mime.decode(total.data, entity)
    total.find(*entity.faults)
    kind = entity.type.value
    names = header.names(entity.type, entity.disposition)
    words = _part_words(entity, total, depth)
    if kind in _VISIBLE and not names and entity.disposition.value in ("", "inline"):
        _describe(words, total)
        return _body(entity, content, total)
    total.name([*names, *words])
    for name in names:
        total.read(trial.name_words(name[:_LONG_NAME]))
    described = "\n".join((*names, *words))
    if kind in _MESSAGES and mime.transfer_encoding(entity) not in ("", "7bit", "8bit", "binary"):
        total.find("multipart-encoded")
    if not content or content.isspace():
        part = PartFacts("unknown", findings=("nothing-to-protect",), size=len(content))
    elif _is_version_part(entity, total.data):
        total.pgp_version = True
        part = PartFacts("pgp-version", findings=("nothing-to-protect",), size=len(content))
    elif kind in _MESSAGES:
        part = _nested(content, total, depth)
    else:
        part = total.context.judge(content, replace(total.context, depth=depth + 1))
        total.find(*(code for code in _all_findings(part) if code in MALFORMED))
    if kind in _FRAGMENTS:
        state = Encrypted.NO if part.encrypted is Encrypted.NO else Encrypted.PARTIAL
        part = replace(part, strength=Strength.NONE, encrypted=state, findings=(*part.findings, "partial-message"))
    _attach(part, content, described, total, around)
    return _Seen()


def _part_words(entity: Entity, total: _Sum, depth: int) -> list[str]:
    """What else the header of a part says in clear. The other fields of the outermost header are read elsewhere."""
    most = total.context.limits.field_text
    first = entity.fields.first
    words = [
        header.beside_names(first(b"content-type")[:most], entity.type),
        header.beside_names(first(b"content-disposition")[:most], entity.disposition),
    ]
    if depth > total.context.depth:
        words += [header.plain(value, most) for name, value in entity.fields.items if name not in _TYPE_FIELDS]
    return [word for word in words if word]


def _all_findings(part: PartFacts) -> set[str]:
    return set(part.findings).union(*map(_all_findings, part.parts))


def _nested(content: bytes, total: _Sum, depth: int) -> PartFacts:
    """An attached message: as strong as its weakest leaf; its subject is readable whatever is inside."""
    if depth + 1 > total.context.limits.depth:
        total.find("too-deep")
        return PartFacts(KIND, findings=("too-deep",), size=len(content))
    facts = inspect(content, replace(total.context, depth=depth + 1))
    total.find(*(code for code in facts.findings if code in MALFORMED))
    return facts.root


def _attach(part: PartFacts, content: bytes, described: str, total: _Sum, around: tuple[str, ...]) -> None:
    """Records an attachment, with the identifiers that its name and its own readable names hold."""
    counts = total.count_in_name(described[: total.context.limits.field_text]) if described.strip() else ()
    findings = part.findings
    if counts and "identifier-in-name" not in findings:
        findings = (*findings, "identifier-in-name")
    counts = identifiers.merge(counts, part.identifiers)
    total.names = identifiers.merge(total.names, counts)
    if text.gives_password(described):
        total.password = True
    digest = hashlib.sha256(content).hexdigest() if content else ""
    part = replace(part, findings=findings, identifiers=counts, sha256=digest)
    carries = part.strength > Strength.NONE or not _NOTHING.intersection(findings) or bool(counts)
    wrapped_only = set(around) <= {"multipart/signed", "multipart/encrypted"}
    whole = wrapped_only and (part.kind == "smime" or (part.kind == "openpgp" and "multipart/encrypted" in around))
    total.leaves.append(_Leaf(part, attachment=carries, carries=carries, whole=whole))


# ---------------------------------------------------------------- visible text


def _body(entity: Entity, content: bytes, total: _Sum) -> _Seen:
    """A text that a reader sees when the message is opened."""
    is_html = entity.type.value != "text/plain"  # text/enriched and its like have tags as HTML does (RFC 1896)
    kind = "html" if is_html else "text"
    if not content or content.isspace():
        total.leaves.append(_Leaf(PartFacts(kind, findings=("nothing-to-protect",)), False, False))
        return _Seen()
    texts, odd = text.readings(content, _charset(entity))
    if odd:
        total.find(odd)
    armour: PartFacts | None = None
    if not odd and (b"-----BEGIN PGP MESSAGE" in content if is_html else openpgp.has_armour(content)):
        armour, texts = _armour(texts[0], is_html, total)
        if not texts:
            part = replace(armour, findings=("inline-pgp", *armour.findings), size=len(content))
            total.leaves.append(_Leaf(part, False, True, whole=True))
            return _Seen()
    readings = [_read(reading, is_html, total) for reading in texts]
    if odd == "charset-unknown":
        readings.append(_Seen(0, ((UNSCANNED, 1),)))
    seen = _most(readings)
    findings: tuple[str, ...] = ("preamble-text",) if entity.loose else ("clear-text",)
    if any(text.hides_file(reading) for reading in texts):
        hidden = PartFacts("unknown", findings=("encoded-in-text",), size=len(content))
        total.find("encoded-in-text")
        total.leaves.append(_Leaf(hidden, True, True))
    state = Encrypted.PARTIAL if armour and armour.encrypted is not Encrypted.NO else Encrypted.NO
    if armour:
        findings += armour.findings
    part = PartFacts(kind, encrypted=state, findings=findings, identifiers=seen.counts, size=len(content))
    carries = bool(seen.characters or seen.counts or armour)
    total.leaves.append(_Leaf(part if carries else PartFacts(kind, findings=("nothing-to-protect",)), False, carries))
    return seen


def _charset(entity: Entity) -> str:
    """The character set of a text; one that is no name where it is given twice or in pieces."""
    given = [(name, value) for name, value in entity.type.parameters if name.partition("*")[0] == "charset"]
    if len({value.lower() for _, value in given}) > 1 or any(name != "charset" for name, _ in given):
        return "ambiguous"
    return given[0][1] if given else ""


def _read(reading: str, is_html: bool, total: _Sum) -> _Seen:
    """What a reader sees of one reading of a text, within what may be spent on text."""
    room = total.context.budget.text
    cut = reading[: room * _MARKUP_SHARE] if is_html else reading
    shown, inside = text.from_html(cut) if is_html else (cut, "")
    if text.gives_password(shown[:room]) or (inside and text.gives_password(inside[:room])):
        total.password = True
    total.read(shown[:room])
    counts = total.scan(f"{shown}\n{inside}" if inside else shown)
    other = text.from_strict_html(cut, shown) if is_html else ""
    if other:
        counts = _most([_Seen(0, counts), _Seen(0, total.scan(other))]).counts
    if len(cut) < len(reading):
        total.too_long()
        counts = identifiers.merge(counts, ((UNSCANNED, 1),))
    hidden = text.hidden_characters(inside) if len(inside) > _LONG_NAME else 0
    return _Seen(text.visible_characters(shown) + hidden + len(reading) - len(cut), counts)


def _armour(reading: str, is_html: bool, total: _Sum) -> tuple[PartFacts, list[str]]:
    """The verdict on the armour in a text, and what is readable beside it: no text where there is nothing else."""
    shown, inside = text.from_html(reading) if is_html else (reading, "")
    content = shown.replace("\u00a0", " ").encode("utf-8")
    part = openpgp.judge_armour(content, total.context)
    comments = openpgp.clear_text(content, total.context).decode("utf-8", "replace")
    telling = is_html and not text.only_tags(reading, _SILENT_TAG)
    telling = telling or len(inside) > _INSIDE_MOST or text.shows_more(inside) or text.hidden_characters(inside) > 0
    if part.strength > Strength.NONE and not telling and not identifiers.count(f"{comments}\n{inside}"):
        return part, []
    return part, [f"{comments}\n{reading if is_html else ''}"]


# ---------------------------------------------------------------- summing up


def _facts(total: _Sum, facts: HeaderFacts, subject: Counts, seen: _Seen) -> MessageFacts:
    if total.excess:
        total.find("long-name")
        total.leaves.append(_Leaf(PartFacts("text", findings=("long-name",), size=total.excess), False, True))
    carrying = [leaf for leaf in total.leaves if leaf.carries]
    whole, scheme = _whole(total, carrying)
    recipients = tuple(dict.fromkeys(name for leaf in carrying for name in leaf.part.recipients))
    body = identifiers.merge(seen.counts, total.names)
    if whole > Strength.NONE:
        subject = identifiers.merge(subject, body)  # names of parts stay readable, as the subject does
    if total.password:
        total.find("password-in-clear")
    findings = tuple(total.findings)
    weakest = min((leaf.part.strength for leaf in carrying), default=Strength.NONE)
    if total.malformed:
        weakest = Strength.NONE
    states = {leaf.part.encrypted for leaf in carrying}
    if weakest > Strength.NONE:
        state, words = Encrypted.YES, min(carrying, key=lambda leaf: leaf.part.strength).part.scheme
    elif states - {Encrypted.NO}:
        state, words = Encrypted.PARTIAL, ""
    else:
        state, words = Encrypted.NO, ""
    root = PartFacts(
        KIND,
        weakest,
        words,
        state,
        findings,
        tuple(leaf.part for leaf in total.leaves),
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


def _whole(total: _Sum, carrying: list[_Leaf]) -> tuple[Strength, str]:
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
