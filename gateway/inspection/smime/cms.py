"""S/MIME: Cryptographic Message Syntax recognised by its object identifiers (RFC 5652, 5083, 3274, 8551).

Guarantees: the verdict comes from the ContentInfo's own OID and the algorithms inside, never from a MIME label
or a file name; every byte up to the end is accounted for. Signed and compressed data is looked into: it may wrap
encrypted data. A password recipient leaves a lock, so that passwords in the message are tried on it.
Failures: none raised to callers of `judge` by way of formats; what does not parse raises `BerError`.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace

import pybase64

from gateway.inspection import identifiers
from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.findings import CONTACT
from gateway.inspection.limits import Context
from gateway.inspection.smime import certificates, cms_names, cms_recipients
from gateway.inspection.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, BerError, Element, Reader
from gateway.inspection.smime.cms_algorithms import CIPHERS, ZLIB, Cipher, algorithm, oid, vector
from gateway.inspection.smime.cms_password import Content, locks
from gateway.inspection.smime.cms_recipients import Recipients
from gateway.model import Counts, Encrypted, PartFacts, Strength

KIND = "smime"
_KEY_MATERIAL_MOST = 64 * 1024
_CERTIFICATE_PROSE = 1500  # octets of running words: names of authorities, their terms
_SIGNER_PROSE = 80  # the same of what a signer signs beside the content: the name of one authority
_CLEAR_ATTRIBUTES_MOST = 512
_ATTRIBUTES_DEPTH = 6
_WORDS_LEAST = 5  # different characters of a string among attributes that may say something
_MAC_LEAST, _MAC_MOST = 4, 16
_ORIGINATOR_MOST = 16 * 1024
_NAME_MOST = 16 * 1024  # characters of the names of all recipients' authorities
_SMALL = 32  # of an OID
_PIECE = 256 * 1024  # of compressed data, expanded at a time
_RATIO_FROM = 1024 * 1024
_TAG_0, _TAG_1, _TAG_2 = 0xA0, 0xA1, 0xA2
_PRIMITIVE_0 = 0x80
_STRINGS = frozenset({0x0C, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1A, 0x1B, 0x1C, 0x1E})  # X.680 section 41
_PRINTED = re.compile(rb"[ -~\r\n\t]{12,}")

_PKCS7 = "1.2.840.113549.1.7"
_SMIME = "1.2.840.113549.1.9.16.1"
_DATA = oid(f"{_PKCS7}.1")
_SIGNED = oid(f"{_PKCS7}.2")
_ENVELOPED = oid(f"{_PKCS7}.3")
_SIGNED_AND_ENVELOPED = oid(f"{_PKCS7}.4")
_DIGESTED = oid(f"{_PKCS7}.5")
_ENCRYPTED_DATA = oid(f"{_PKCS7}.6")
_AUTHENTICATED = oid(f"{_SMIME}.2")
_AUTH_ENVELOPED = oid(f"{_SMIME}.23")
_COMPRESSED = oid(f"{_SMIME}.9")
_COLLECTION = oid(f"{_SMIME}.19")
_WITH_ATTRIBUTES = oid(f"{_SMIME}.20")
_LOOKED_INTO = frozenset({_SIGNED, _ENVELOPED, _AUTH_ENVELOPED, _COMPRESSED})
_CLEAR: dict[bytes, tuple[str, str]] = {
    _DATA: ("CMS data", "clear-text"),
    _SIGNED_AND_ENVELOPED: ("PKCS #7 signed and enveloped", "unknown-encryption"),
    _DIGESTED: ("CMS with a digest", "signed-only"),
    _ENCRYPTED_DATA: ("CMS encryptedData", "no-recipient"),
    _AUTHENTICATED: ("CMS with an authentication code", "signed-only"),
    _COLLECTION: ("CMS content collection", "clear-text"),
    _WITH_ATTRIBUTES: ("CMS content with attributes", "clear-text"),
}
_TYPES = _LOOKED_INTO | frozenset(_CLEAR)

_PEM = re.compile(
    rb"\s*-----BEGIN (PKCS7|PKCS #7 SIGNED DATA|CMS)-----[ \t]*\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----\s*"
)
_PEM_BEGIN = tuple(b"-----BEGIN " + label for label in (b"PKCS7-----", b"PKCS #7 SIGNED DATA-----", b"CMS-----"))
_BASE64 = re.compile(rb"MI[A-Za-z0-9+/=\r\n \t]{62}")
_BASE64_HEAD = 64


def recognise(data: bytes) -> bool:
    """True if the data begins as a ContentInfo of a known type, or is one in PEM or base64."""
    if data[:1] == b"\x30":
        return _begins_content_info(data)
    if data[:2] == b"MI" and _BASE64.match(data):
        return _begins_content_info(pybase64.b64decode(b"".join(data[:_BASE64_HEAD].split())[:60] or b""))
    return b"-----BEGIN " in data[:64] and data[:64].lstrip().startswith(_PEM_BEGIN)


def _begins_content_info(data: bytes) -> bool:
    reader = Reader(data, 2)
    try:
        _, start = reader.begins()
        kind = reader.read(start, len(data))
    except BerError:
        return False
    return kind.tag == OID and reader.contents(kind) in _TYPES


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a ContentInfo that fills `data`."""
    size = len(data)
    if data[:1] != b"\x30":
        data = _from_text(data)
    reader = Reader(data, context.limits.ber_elements // (1 + context.depth // 4))
    outer = reader.read(0, len(data))
    if outer.tag != SEQUENCE:
        raise BerError("not a ContentInfo")
    parts = list(reader.children(outer))
    if not parts or parts[0].tag != OID:
        raise BerError("no content type")
    facts = _content_info(reader, reader.contents(parts[0]), parts[1:], context)
    if data[outer.next :].strip(b"\0 \t\r\n"):
        facts = _spoil(facts, "trailing-bytes")
    return replace(facts, size=size)


def _from_text(data: bytes) -> bytes:
    """PEM (RFC 7468) or bare base64, with nothing around it."""
    pem = _PEM.fullmatch(data)
    if pem is None and not data.startswith(b"MI"):
        raise BerError("text around the armour, or an odd one")
    return pybase64.b64decode(b"".join((pem[2] if pem else data).split()), validate=True)


def _spoil(facts: PartFacts, *findings: str) -> PartFacts:
    encrypted = Encrypted.NO if facts.encrypted is Encrypted.NO else Encrypted.PARTIAL
    return replace(facts, strength=Strength.NONE, encrypted=encrypted, findings=(*facts.findings, *findings))


def _content_info(reader: Reader, kind: bytes, rest: list[Element], context: Context) -> PartFacts:
    if kind not in _LOOKED_INTO:
        scheme, finding = _CLEAR[kind]
        return PartFacts(KIND, scheme=scheme, findings=(finding,))
    if len(rest) != 1 or rest[0].tag != _TAG_0:
        raise BerError("content is missing")
    return _typed(reader, kind, reader.only(rest[0]), context)


def _typed(reader: Reader, kind: bytes, body: Element, context: Context) -> PartFacts:
    """The verdict on the content of a type that is looked into."""
    if body.tag != SEQUENCE:
        raise BerError("content of an odd kind")
    if kind == _SIGNED:
        return _signed(reader, body, context)
    if kind == _COMPRESSED:
        return _compressed(reader, body, context)
    return _enveloped(reader, body, context, authenticated=kind == _AUTH_ENVELOPED)


# ---------------------------------------------------------------- wrappers


def _signed(reader: Reader, body: Element, context: Context) -> PartFacts:
    """SignedData (RFC 5652 section 5.1): what it wraps is what counts."""
    fields = list(reader.children(body))
    tags = [field.tag for field in fields]
    if tags[:3] != [INTEGER, SET, SEQUENCE] or tags[-1] != SET or set(tags[3:-1]) - {_TAG_0, _TAG_1}:
        raise BerError("not signed data")
    kind, content = _encapsulated(reader, fields[2])
    beside = [field for field in fields if field is not fields[2]]
    public = _is_public(reader, beside)
    if content is None or not content.size:
        return PartFacts(KIND, scheme="S/MIME signature", findings=("key-material",) if public else ("signed-only",))
    part = _wrapped(reader, kind, content, context)
    if part.strength is Strength.NONE:
        return PartFacts(
            KIND, scheme="S/MIME signed", encrypted=part.encrypted, findings=("signed-only",), parts=(part,)
        )
    facts = PartFacts(
        KIND,
        part.strength,
        _also(part.scheme, "signed"),
        part.encrypted,
        (),
        (part,),
        part.identifiers,
        recipients=_all_recipients(part),
    )
    return facts if public else _spoil(facts, "clear-metadata")


def _is_public(reader: Reader, fields: list[Element]) -> bool:
    """Nothing but certificates, revocation lists and signatures, few words in all of them, and not large."""
    if sum(field.size for field in fields) > _KEY_MATERIAL_MOST or fields[0].size != 1:
        return False
    if holds_prose(b"\0".join(reader.contents(field) for field in fields), _CERTIFICATE_PROSE):
        return False
    try:
        for kind in reader.children(fields[1]):
            algorithm(reader, kind)
        groups = [list(reader.children(field)) for field in fields[2:-1]]
        signers = [_is_signer(reader, list(reader.children(item))) for item in reader.children(fields[-1])]
    except BerError:
        return False
    return all(signers) and all(certificates.public_only(reader, group) for group in groups)


def _is_signer(reader: Reader, fields: list[Element]) -> bool:
    """SignerInfo (RFC 5652 section 5.3): who, the algorithms, attributes that say nothing, and a signature."""
    tags = [field.tag for field in fields]
    if tags[2:] not in (
        [SEQUENCE, *one, SEQUENCE, OCTET_STRING, *two] for one in ([], [_TAG_0]) for two in ([], [_TAG_1])
    ):
        return False
    reader.number(fields[0])
    cms_names.recipient(reader, fields[1])
    for field in fields[2:]:
        contents = reader.contents(field)
        if field.tag == SEQUENCE:
            algorithm(reader, field)
        elif field.tag == OCTET_STRING and not looks_random(contents):
            return False
        elif field.tag in (_TAG_0, _TAG_1):
            if holds_prose(contents, _SIGNER_PROSE if field.tag == _TAG_0 else _CERTIFICATE_PROSE):
                return False
            if not all(_is_attribute(reader, item) for item in reader.children(field)):
                return False
    return True


def _is_attribute(reader: Reader, item: Element) -> bool:
    return item.tag == SEQUENCE and [field.tag for field in reader.children(item)] == [OID, SET]


def _encapsulated(reader: Reader, element: Element) -> tuple[bytes, Element | None]:
    """EncapsulatedContentInfo: the type, and the content where it is there."""
    inner = list(reader.children(element))
    if not inner or inner[0].tag != OID or len(inner) > 2 or inner[0].size > _SMALL:
        raise BerError("no encapsulated content")
    if len(inner) == 1:
        return reader.contents(inner[0]), None
    if inner[1].tag != _TAG_0:
        raise BerError("odd encapsulated content")
    return reader.contents(inner[0]), reader.only(inner[1])


def _wrapped(reader: Reader, kind: bytes, content: Element, context: Context) -> PartFacts:
    """What is inside a wrapper: of a CMS type, or anything."""
    deeper = context.deeper()
    if content.tag & 0xDF != OCTET_STRING:  # PKCS #7 has the content itself there
        if kind not in _LOOKED_INTO:
            return PartFacts("unknown", findings=("clear-text",), size=content.size)
        if deeper.depth > context.limits.depth or not context.budget.take_part():
            return PartFacts("unknown", findings=("too-deep",), size=content.size)
        return replace(_typed(reader, kind, content, deeper), size=content.size)
    return _unwrapped(kind, reader.octets(content), deeper)


def _unwrapped(kind: bytes, octets: bytes, context: Context) -> PartFacts:
    """The content octets of a wrapper. Those of a CMS type hold the type's own structure, without a ContentInfo."""
    if kind not in _LOOKED_INTO or _begins_content_info(octets):
        return context.judge(octets, context)
    if context.depth > context.limits.depth or not context.budget.take_part():
        return PartFacts("unknown", findings=("too-deep",), size=len(octets))
    reader = Reader(octets, context.limits.ber_elements // (1 + context.depth // 4))
    body = reader.read(0, len(octets))
    if body.next != len(octets):
        raise BerError("bytes after the content")
    return replace(_typed(reader, kind, body, context), size=len(octets))


def _also(scheme: str, word: str) -> str:
    """The scheme of what is inside, with what was done to it outside; said once however often it was done."""
    return scheme if f", {word}" in scheme else f"{scheme}, {word}"


def _all_recipients(part: PartFacts) -> tuple[str, ...]:
    names = dict.fromkeys(part.recipients)
    for inner in part.parts:
        names.update(dict.fromkeys(_all_recipients(inner)))
    return tuple(names)


def _compressed(reader: Reader, body: Element, context: Context) -> PartFacts:
    """CompressedData (RFC 3274): expanded within what may be spent, and looked into."""
    fields = list(reader.children(body))
    if [field.tag for field in fields] != [INTEGER, SEQUENCE, SEQUENCE]:
        raise BerError("not compressed data")
    reader.number(fields[0])
    scheme = "S/MIME compressed"
    if algorithm(reader, fields[1]).identifier != ZLIB:
        return PartFacts(KIND, scheme=scheme, findings=("compressed-only", "unknown-algorithm"))
    kind, content = _encapsulated(reader, fields[2])
    if content is None:
        return PartFacts(KIND, scheme=scheme, findings=("compressed-only", "detached-content"))
    expanded, rest = _expand(reader.octets(content), context)
    if expanded is None:
        return PartFacts(KIND, scheme=scheme, findings=("compressed-only", "expansion-limit"))
    part = _unwrapped(kind, expanded, context.deeper())
    if part.strength is Strength.NONE:
        return PartFacts(KIND, scheme=scheme, encrypted=part.encrypted, findings=("compressed-only",), parts=(part,))
    facts = PartFacts(
        KIND,
        part.strength,
        _also(part.scheme, "compressed"),
        part.encrypted,
        (),
        (part,),
        part.identifiers,
        recipients=_all_recipients(part),
    )
    return _spoil(facts, "trailing-bytes") if rest else facts


def _expand(data: bytes, context: Context) -> tuple[bytes | None, bytes]:
    """The data expanded, or None where that is more than may be spent; and what follows the compressed stream."""
    machine = zlib.decompressobj()
    pieces: list[bytes] = []
    total = 0
    most = max(_RATIO_FROM, len(data) * context.limits.ratio)
    while not machine.eof:
        if not context.budget.take_expanded(_PIECE):
            return None, b""
        piece = machine.decompress(machine.unconsumed_tail or (b"" if pieces else data), _PIECE)
        total += len(piece)
        if total > most:
            return None, b""
        if not piece and not machine.eof:
            raise BerError("compressed data ends early")
        pieces.append(piece)
    return b"".join(pieces), machine.unused_data


# ---------------------------------------------------------------- envelopes


@dataclass(frozen=True, slots=True)
class _Sealed:
    """EncryptedContentInfo; `finding` is why it counts as clear, "" where it does not."""

    cipher: Cipher | None = None
    finding: str = ""
    data: bytes = b""
    vector: bytes = b""

    @property
    def strength(self) -> Strength:
        return self.cipher.strength if self.cipher and not self.finding else Strength.NONE


def _enveloped(reader: Reader, body: Element, context: Context, *, authenticated: bool) -> PartFacts:
    """EnvelopedData (RFC 5652 section 6.1) and AuthEnvelopedData (RFC 5083 section 2.1)."""
    fields = list(reader.children(body))
    if not fields or not 0 <= reader.number(fields[0]) <= 9:
        raise BerError("no version")
    at = 1
    if at < len(fields) and fields[at].tag == _TAG_0:
        _originator(reader, fields[at])
        at += 1
    if at + 1 >= len(fields) or fields[at].tag != SET or fields[at + 1].tag != SEQUENCE:
        raise BerError("no recipients or content")
    recipients = cms_recipients.read(reader, fields[at])
    sealed = _content(reader, fields[at + 1], authenticated=authenticated)
    rest = fields[at + 2 :]
    readable = _after_content(reader, rest, authenticated=authenticated)
    findings = [*recipients.findings, *([sealed.finding] if sealed.finding else [])]
    if sealed.cipher and not (authenticated and sealed.cipher.authenticates):
        findings.append("unauthenticated-cipher")
    if any(field.tag in (_TAG_1, _TAG_2) for field in rest):
        findings.append("clear-attributes")
    strength = min(sealed.strength, recipients.strength)
    name = f" {sealed.cipher.name} to {recipients.words}" if sealed.cipher else ""
    counts, named, wordy = _named(recipients, context)
    facts = PartFacts(
        KIND,
        strength,
        f"S/MIME{name}",
        Encrypted.YES if strength else Encrypted.NO,
        (*findings, *named),
        identifiers=counts,
        recipients=tuple(recipients.names),
    )
    if sealed.cipher and strength:
        context.budget.locks.extend(locks(recipients.passwords, _trial(reader, sealed.cipher, sealed, rest)))
    return _spoil(facts) if readable or wordy else facts


def _named(recipients: Recipients, context: Context) -> tuple[Counts, tuple[str, ...], bool]:
    """Identifiers in the names of the recipients' authorities, and whether the names are more than names.

    Addresses stand there as a matter of course.
    """
    names = dict.fromkeys(name.partition(";serial=")[0] for name in recipients.names)
    words = "\n".join(names).replace("smime:issuer=", "")
    counts = identifiers.count_in_name(words[:_NAME_MOST], context.clues.watch_words)
    counts = tuple(count for count in counts if count[0] not in CONTACT)
    wordy = len(words) > _NAME_MOST or holds_prose(words.encode(), _CERTIFICATE_PROSE)
    findings = ("identifier-in-name",) if counts else ()
    return counts, (*findings, "clear-metadata") if wordy else findings, wordy


def _trial(reader: Reader, cipher: Cipher, sealed: _Sealed, rest: list[Element]) -> Content:
    """What a password must open. The tag covers the authenticated attributes as a SET (RFC 5083 section 2.2)."""
    associated = tag = b""
    for element in rest:
        if element.tag == _TAG_1:
            associated = b"\x31" + reader.whole(element)[1:]
        elif element.tag == OCTET_STRING:
            tag = reader.contents(element)
    return Content(cipher, sealed.vector, sealed.data, associated, tag)


def _originator(reader: Reader, info: Element) -> None:
    """OriginatorInfo: certificates and revocation lists, which are public, and nothing else."""
    if info.size > _ORIGINATOR_MOST:
        raise BerError("long originator info")
    for group in reader.children(info):
        items = list(reader.children(group)) if group.tag in (_TAG_0, _TAG_1) else [group]
        if not certificates.public_only(reader, items):
            raise BerError("originator info that is no certificate")


def _after_content(reader: Reader, rest: list[Element], *, authenticated: bool) -> bool:
    """True if the attributes behind the content can be read as words; BerError where anything else stands there."""
    tags = [element.tag for element in rest]
    if authenticated:
        orders = ([OCTET_STRING], [_TAG_1, OCTET_STRING], [OCTET_STRING, _TAG_2], [_TAG_1, OCTET_STRING, _TAG_2])
        codes = [element.size for element in rest if element.tag == OCTET_STRING]
        proper = tags in orders and _MAC_LEAST <= codes[0] <= _MAC_MOST
    else:
        proper = tags in ([], [_TAG_1])
    if not proper:
        raise BerError("odd elements after the content")
    attributes = [element for element in rest if element.tag in (_TAG_1, _TAG_2)]
    if sum(element.size for element in attributes) > _CLEAR_ATTRIBUTES_MOST:
        return True
    return any(_says_something(reader, element, _ATTRIBUTES_DEPTH) for element in attributes)


def _says_something(reader: Reader, element: Element, depth: int) -> bool:
    """True if a string of words stands in a structure, or what might be one."""
    if not element.constructed:
        value = reader.contents(element)
        if len(set(value)) < _WORDS_LEAST:
            return False
        return element.tag in _STRINGS or bool(_PRINTED.search(value))
    if not depth or element.tag & 0x1F in _STRINGS:
        return True
    return any(_says_something(reader, child, depth - 1) for child in reader.children(element))


def _content(reader: Reader, info: Element, *, authenticated: bool) -> _Sealed:
    """EncryptedContentInfo (RFC 5652 section 6.1)."""
    fields = list(reader.children(info))
    if len(fields) < 2 or fields[0].tag != OID or fields[1].tag != SEQUENCE or fields[0].size > _SMALL:
        raise BerError("no content encryption algorithm")
    given = algorithm(reader, fields[1])
    cipher = CIPHERS.get(given.identifier)
    if cipher is None:
        return _Sealed(finding="unknown-algorithm")
    if len(fields) == 2:
        return _Sealed(cipher, "detached-content")
    if len(fields) != 3 or fields[2].tag not in (_PRIMITIVE_0, _TAG_0):
        raise BerError("odd encrypted content")
    if authenticated and not cipher.authenticates:
        return _Sealed(cipher, "unknown-encryption")
    data = reader.octets(fields[2])
    if not data:
        return _Sealed(cipher, "detached-content")
    if len(data) % cipher.block:
        raise BerError("content that is no multiple of the cipher's block")
    if not looks_random(data):
        return _Sealed(cipher, "looks-readable")
    nonce = vector(reader, cipher, given.parameters) if cipher.mode != "other" else b""
    return _Sealed(cipher, "", data, nonce)
