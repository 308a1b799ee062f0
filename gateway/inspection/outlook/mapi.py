"""Outlook items, from whatever they are stored in: judged like a message, by their weakest leaf.

Guarantees: every property is looked at once; body in any form, attachments and attached items are leaves; what a
reader sees of an item is kept as a place where passwords may stand. Failures: none raised; facts hold no text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.inspection import identifiers, trial
from gateway.inspection.ciphertext import holds_prose
from gateway.inspection.findings import CONTACT, UNSCANNED
from gateway.inspection.limits import Context
from gateway.inspection.mail import text
from gateway.inspection.outlook import rtf
from gateway.model import Counts, Encrypted, PartFacts, Strength

STRING8, UNICODE, BINARY, OBJECT = 0x001E, 0x001F, 0x0102, 0x000D
MESSAGE_CLASS, SUBJECT, BODY, HTML, RTF_COMPRESSED = 0x001A, 0x0037, 0x1000, 0x1013, 0x1009
ATTACH_DATA, ATTACH_METHOD = 0x3701, 0x3705
_CODE_PAGES = (0x3FDE, 0x3FFD)  # of the body, of the other strings
_SUBJECTS = (SUBJECT, 0x0070, 0x0E1D)  # subject, conversation topic, normalised subject
_NAMES = (0x3707, 0x3704, 0x3001)  # of an attachment: long and short file name, display name
_BODIES = ((BODY, "text"), (HTML, "html"), (RTF_COMPRESSED, "rtf"))
_TRANSPORT_HEADER = 0x007D
_MACHINE = frozenset(
    {0x0064, 0x0065, 0x0075, 0x0076, 0x0077, 0x0078, 0x0C1E, 0x0C1F, 0x1035, 0x1039, 0x1042, 0x1046, 0x370E, 0x3712}
    | {0x001A, 0x0040, 0x0042, 0x0044, 0x0E02, 0x0E03, 0x0E04, 0x0C1A, 0x3702, 0x3709, 0x3FF8, 0x3FFA, 0x5D01, 0x5D02}
    | {0x39FE, 0x3003, 0x3002, 0x5FF6, 0x5FE5, 0x5FF7, 0x0FFE}
)  # addresses, identifiers of messages and the like: programs write them
_LONG = 255  # characters that a subject or name may have; more is text
_NOTHING = frozenset({"key-material", "nothing-to-protect"})
_BY_VALUE = frozenset({0, 1, 5, 6})  # ways of attaching that put the content here (PidTagAttachMethod)
_SHOWN = 50

Properties = dict[int, list[tuple[int, bytes]]]
"""By property identifier: types and values, strings as they are stored."""


@dataclass(slots=True)
class Attachment:
    """One attachment: its properties, and its content in one of three forms, or none of them."""

    properties: Properties = field(default_factory=dict)
    content: bytes | None = None
    item: Item | None = None
    is_object: bool = False  # an OLE object, kept as a storage


@dataclass(slots=True)
class Item:
    """A message or other item. `findings` are those of its storage; `size` in octets."""

    properties: Properties = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    size: int = 0


def judge(kind: str, item: Item, context: Context) -> PartFacts:
    """The verdict on an item: as strong as its weakest leaf that carries something."""
    findings = list(dict.fromkeys(item.findings))
    counts = _subject(item, context)
    if counts:
        findings.append("identifier-in-subject")
    counts = identifiers.merge(counts, _other_strings(item, context))
    leaves = [*_bodies(item, context), *_long_properties(item.properties)]
    for attachment in item.attachments:
        leaves += _long_properties(attachment.properties)
    leaves += [_attachment(attachment, context) for attachment in item.attachments]
    for leaf in leaves:
        counts = identifiers.merge(counts, leaf.identifiers)
    carrying = [leaf for leaf in leaves if _carries(leaf)]
    shown = tuple(leaves[:_SHOWN])
    if not carrying:
        found = (*findings, "nothing-to-protect") if not item.findings else tuple(findings)
        return PartFacts(kind, findings=found, parts=shown, identifiers=counts, size=item.size)
    weakest = min(carrying, key=lambda leaf: leaf.strength)
    recipients = tuple(dict.fromkeys(name for leaf in carrying for name in leaf.recipients))
    if weakest.strength > Strength.NONE and not item.findings:
        scheme, found = weakest.scheme, tuple(findings)
        return PartFacts(
            kind, weakest.strength, scheme, Encrypted.YES, found, shown, counts, item.size, recipients=recipients
        )
    some = any(leaf.encrypted is not Encrypted.NO for leaf in carrying)
    state = Encrypted.PARTIAL if some else Encrypted.NO
    scheme = "" if some else "Outlook item, not encrypted"
    return PartFacts(kind, Strength.NONE, scheme, state, tuple(findings), shown, counts, item.size)


def _carries(leaf: PartFacts) -> bool:
    return leaf.strength > Strength.NONE or not _NOTHING.intersection(leaf.findings) or bool(leaf.identifiers)


# ---------------------------------------------------------------- strings


def _subject(item: Item, context: Context) -> Counts:
    lines = dict.fromkeys(string for number in _SUBJECTS for string in strings(item.properties, number))
    joined = "\n".join(lines)[: context.limits.field_text]
    context.budget.words.append(joined)
    return _scan(joined, context)


def _other_strings(item: Item, context: Context) -> Counts:
    """Identifiers of people in the properties that are neither body nor subject nor a program's."""
    known = _MACHINE.union(_SUBJECTS, {BODY, HTML, RTF_COMPRESSED, _TRANSPORT_HEADER})
    lines = [
        string[: context.limits.field_text]
        for number in item.properties
        if number not in known
        for string in strings(item.properties, number)
    ]
    found = _scan("\n".join(lines), context)
    return tuple(count for count in found if count[0] not in CONTACT)


def _long_properties(properties: Properties) -> list[PartFacts]:
    """What is too long for a name or address, and is text."""
    skipped = _MACHINE.union({BODY, HTML, RTF_COMPRESSED, _TRANSPORT_HEADER})
    found: list[PartFacts] = []
    for number, values in properties.items():
        if number in skipped:
            continue
        for _, value in values:
            plain = value.translate(None, b"\0") if len(value) > _LONG else b""
            if len(plain) > _LONG and holds_prose(plain):
                found.append(PartFacts("text", findings=("clear-text",), size=len(value)))
    return found


def strings(properties: Properties, number: int) -> list[str]:
    """The values of a property as text."""
    found = []
    for kind, value in properties.get(number, ()):
        if kind == UNICODE:
            found.append(value[: len(value) & ~1].decode("utf-16-le", "replace").rstrip("\0"))
        elif kind == STRING8:
            found.append(value.decode(_codec(properties), "replace").rstrip("\0"))
    return found


def _codec(properties: Properties) -> str:
    """The codec of 8-bit strings, by the code page that the item names."""
    for number in reversed(_CODE_PAGES):
        for _, value in properties.get(number, ()):
            page = int.from_bytes(value[:4], "little")
            if page == 65001:
                return "utf-8"
            if page in range(1250, 1259) or page in (437, 850, 852, 866, 874, 932, 936, 949, 950):
                return f"cp{page}"
    return "cp1252"


def _scan(words: str, context: Context) -> Counts:
    room = context.budget.text
    context.budget.text = max(0, room - len(words))
    counts = identifiers.count_in_name(words[:room], context.clues.watch_words)
    if len(words) > room:
        context.budget.unfinished = True
        counts = identifiers.merge(counts, ((UNSCANNED, 1),))
    return counts


# ---------------------------------------------------------------- bodies


def _bodies(item: Item, context: Context) -> list[PartFacts]:
    leaves: list[PartFacts] = []
    for number, kind in _BODIES:
        for stored, value in item.properties.get(number, ()):
            shown, carries, cut = _visible(number, stored, value, item, context)
            if not carries:
                continue
            context.budget.words.append(shown[: context.budget.text])
            counts = _scan(shown, context)
            if cut:
                context.budget.unfinished = True
                counts = identifiers.merge(counts, ((UNSCANNED, 1),))
            leaves.append(PartFacts(kind, findings=("clear-text",), identifiers=counts, size=len(value)))
    return leaves


def _visible(number: int, stored: int, value: bytes, item: Item, context: Context) -> tuple[str, bool, bool]:
    """(what a reader sees of a body, whether there is anything to see, whether there may be more)."""
    if number == RTF_COMPRESSED:
        try:
            source = rtf.decompress(value, context.limits.text)
        except rtf.RtfError:
            return "", bool(value.strip(b"\0")), False
        shown = rtf.visible(source)
        cut = len(source) >= context.limits.text  # what comes after may be seen, too
        return shown, cut or bool(shown.strip(" \t\r\n\0")) or holds_prose(source), cut
    if stored == BINARY:
        source_text = "\n".join(text.readings(value, "")[0])
    else:
        source_text = "\n".join(strings({number: [(stored, value)], **_pages(item)}, number))
    if number == HTML:
        shown, inside = text.from_html(source_text)
        return shown, bool(shown.strip(" \t\r\n\0\u00a0\ufeff")) or bool(text.hidden_characters(inside)), False
    return source_text, bool(source_text.strip(" \t\r\n\0\u00a0\ufeff")), False


def _pages(item: Item) -> Properties:
    return {number: item.properties[number] for number in _CODE_PAGES if number in item.properties}


# ---------------------------------------------------------------- attachments


def _attachment(attachment: Attachment, context: Context) -> PartFacts:
    """The verdict on an attachment, with the identifiers in its names."""
    names = [name for number in _NAMES for name in strings(attachment.properties, number)]
    for name in dict.fromkeys(names):
        context.budget.words.append(trial.name_words(name[:_LONG]))
    part = _content(attachment, context)
    counts = _scan("\n".join(dict.fromkeys(names))[: context.limits.field_text], context)
    findings = part.findings
    if counts and "identifier-in-name" not in findings:
        findings = (*findings, "identifier-in-name")
    if any(len(name) > _LONG for name in names):
        findings = (*findings, "long-name")
        state = Encrypted.NO if part.encrypted is Encrypted.NO else Encrypted.PARTIAL
        part = replace(part, strength=Strength.NONE, encrypted=state)
    return replace(part, findings=findings, identifiers=identifiers.merge(counts, part.identifiers))


def _content(attachment: Attachment, context: Context) -> PartFacts:
    if attachment.item is not None:
        if context.depth + 1 > context.limits.depth:
            return PartFacts("msg", findings=("too-deep",), size=attachment.item.size)
        if not context.budget.take_part():
            return PartFacts("msg", findings=("too-many-parts",), size=attachment.item.size)
        return judge("msg", attachment.item, context.deeper())
    if attachment.is_object:
        return PartFacts("cfb", scheme="OLE object, not encrypted", findings=("clear-text",))
    method = next((int.from_bytes(value[:4], "little") for _, value in attachment.properties.get(ATTACH_METHOD, ())), 1)
    if attachment.content is None and method not in _BY_VALUE:
        return PartFacts("unknown", findings=("partial-message",))
    content = attachment.content or b""
    if not content.strip() or (len(content) < 1000 and content.strip() == b"Version: 1"):
        return PartFacts("unknown", findings=("nothing-to-protect",), size=len(content))
    return context.judge(content, context.deeper())
