"""S/MIME: Cryptographic Message Syntax recognised by its object identifiers (RFC 5652, 5083, 3274, 8551).

Guarantees: the verdict comes from the ContentInfo's own OID and the algorithms inside, never from a MIME label
or a file name; every byte up to the end is accounted for. Signed data is looked into: it may wrap encrypted
data. Failures: none raised to callers of `judge` by way of formats; what does not parse raises `BerError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import pybase64

from gateway.inspection.ber import BIT_STRING, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, BerError, Element, Reader
from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.limits import Context
from gateway.model import Encrypted, PartFacts, Strength

KIND = "smime"
_KEY_MATERIAL_MOST = 64 * 1024
_CERTIFICATE_PROSE = 1500  # octets of running words: names of authorities, their terms
_CLEAR_ATTRIBUTES_MOST = 512
_RSA_2048 = 256  # octets
_MAC_MOST = 64
_ORIGINATOR_MOST = 16 * 1024
_IDENTIFIER_MOST = 1024  # of the name and serial number of a recipient's certificate
_ALGORITHM_MOST = 256  # of an AlgorithmIdentifier, parameters included
_SMALL = 32  # of a version or an OID
_RECIPIENT_MOST = 4096  # of a recipient of other kinds
_CONTEXT_0, _CONTEXT_1, _CONTEXT_2, _CONTEXT_3 = 0xA0, 0xA1, 0xA2, 0xA3
_PRIMITIVE_0 = 0x80


def _oid(dotted: str) -> bytes:
    """The contents octets of an OBJECT IDENTIFIER (X.690 section 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    encoded = bytearray([first * 40 + second])
    for arc in rest:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(septets))
    return bytes(encoded)


_DATA = _oid("1.2.840.113549.1.7.1")
_SIGNED = _oid("1.2.840.113549.1.7.2")
_ENVELOPED = _oid("1.2.840.113549.1.7.3")
_ENCRYPTED_DATA = _oid("1.2.840.113549.1.7.6")
_AUTH_ENVELOPED = _oid("1.2.840.113549.1.9.16.1.23")
_COMPRESSED = _oid("1.2.840.113549.1.9.16.1.9")
_TYPES = frozenset({_DATA, _SIGNED, _ENVELOPED, _ENCRYPTED_DATA, _AUTH_ENVELOPED, _COMPRESSED})

_AES = "2.16.840.1.101.3.4.1"
_CIPHERS: dict[bytes, tuple[str, Strength]] = {
    **{
        _oid(f"{_AES}.{base + offset}"): (f"AES-{bits}-{mode}", Strength.STRONG)
        for bits, base in ((128, 0), (192, 20), (256, 40))
        for mode, offset in (("CBC", 2), ("GCM", 6), ("CCM", 7))
    },
    _oid("1.3.14.3.2.7"): ("DES-CBC", Strength.WEAK),
    _oid("1.2.840.113549.3.2"): ("RC2-CBC", Strength.WEAK),
    _oid("1.2.840.113549.3.4"): ("RC4", Strength.WEAK),
    _oid("1.2.840.113549.3.7"): ("3DES-CBC", Strength.WEAK),
}
_RSA = _oid("1.2.840.113549.1.1.1")
_RSA_OAEP = _oid("1.2.840.113549.1.1.7")
_ECDH = frozenset(
    _oid(dotted)
    for dotted in (
        "1.3.133.16.840.63.0.2",  # SHA-1 KDF, standard and cofactor
        "1.3.133.16.840.63.0.3",
        *(f"1.3.132.1.{arc}.{digest}" for arc in (11, 14) for digest in range(4)),  # SHA-2 KDF
        *(f"1.2.840.113549.1.9.16.3.{arc}" for arc in (19, 20, 21)),  # HKDF, for X25519 and X448 (RFC 8418)
    )
)
_AES_WRAPS = frozenset(_oid(f"{_AES}.{arc}") for arc in (5, 8, 25, 28, 45, 48))
_WEAK_WRAPS = frozenset(_oid(f"1.2.840.113549.1.9.16.3.{arc}") for arc in (6, 7))
_PWRI_KEK = _oid("1.2.840.113549.1.9.16.3.9")

_PEM = re.compile(rb"\s*-----BEGIN (PKCS7|CMS)-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----\s*")


@dataclass(slots=True)
class _Recipients:
    """The weakest of the recipients, and what was found on the way."""

    count: int = 0
    strength: Strength = Strength.STRONG
    findings: list[str] = field(default_factory=list)

    def lower(self, strength: Strength, finding: str = "") -> None:
        self.strength = min(self.strength, strength)
        if finding and finding not in self.findings:
            self.findings.append(finding)


def recognise(data: bytes) -> bool:
    """True if the data begins as a ContentInfo of a known type, or is one in PEM."""
    if data[:1] == b"\x30":
        try:
            reader = Reader(data, 3)
            at, end = data.index(b"\x06", 2, 12), len(data)
            kind = reader.read(at, end)
        except (BerError, ValueError):
            return False
        return reader.contents(kind) in _TYPES
    return data[:64].lstrip().startswith((b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----"))


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a ContentInfo that fills `data`."""
    size = len(data)
    if data[:1] != b"\x30":
        pem = _PEM.fullmatch(data)
        if pem is None:
            return PartFacts(KIND, findings=("unreadable",), size=size)
        data = pybase64.b64decode(b"".join(pem[2].split()), validate=True)
    reader = Reader(data, context.limits.ber_elements)
    outer = reader.read(0, len(data))
    if outer.tag != SEQUENCE:
        raise BerError("not a ContentInfo")
    parts = list(reader.children(outer))
    if not parts or parts[0].tag != OID:
        raise BerError("no content type")
    facts = _judge_type(reader, reader.contents(parts[0]), parts[1:], context)
    if data[outer.next :].strip():
        facts = _spoil(facts, "trailing-bytes")
    return replace(facts, size=size)


def _spoil(facts: PartFacts, finding: str) -> PartFacts:
    encrypted = Encrypted.NO if facts.encrypted is Encrypted.NO else Encrypted.PARTIAL
    return replace(facts, strength=Strength.NONE, encrypted=encrypted, findings=(*facts.findings, finding))


def _judge_type(reader: Reader, kind: bytes, rest: list[Element], context: Context) -> PartFacts:
    if kind == _COMPRESSED:
        return PartFacts(KIND, scheme="S/MIME compressed", findings=("compressed-only",))
    if kind in (_ENVELOPED, _AUTH_ENVELOPED, _SIGNED):
        if len(rest) != 1 or rest[0].tag != _CONTEXT_0:
            raise BerError("content is missing")
        body = reader.read(rest[0].start, rest[0].end)
        if body.next != rest[0].end:
            raise BerError("more than one content")
        if kind == _SIGNED:
            return _signed(reader, body, context)
        return _enveloped(reader, body, authenticated=kind == _AUTH_ENVELOPED)
    if kind == _ENCRYPTED_DATA:
        return PartFacts(KIND, scheme="CMS encryptedData", findings=("no-recipient",))
    return PartFacts(KIND, scheme="CMS data", findings=("clear-text",))


def _signed(reader: Reader, body: Element, context: Context) -> PartFacts:
    """SignedData (RFC 5652 section 5.1): what it wraps is what counts."""
    fields = list(reader.children(body))
    if len(fields) < 4 or fields[2].tag != SEQUENCE:
        raise BerError("not signed data")
    inner = list(reader.children(fields[2]))
    if not inner or inner[0].tag != OID or len(inner) > 2:
        raise BerError("no encapsulated content")
    if len(inner) == 1:
        small = body.end - body.start <= _KEY_MATERIAL_MOST
        small = small and not holds_prose(reader.contents(body), _CERTIFICATE_PROSE)
        return PartFacts(KIND, scheme="S/MIME signature", findings=("key-material",) if small else ("signed-only",))
    wrapped = reader.octets(reader.read(inner[1].start, inner[1].end))
    kind = reader.contents(inner[0])
    if kind in (_ENVELOPED, _AUTH_ENVELOPED):
        nested = Reader(wrapped, context.limits.ber_elements)
        envelope = nested.read(0, len(wrapped))
        if envelope.next != len(wrapped):
            raise BerError("bytes after the envelope")
        return _enveloped(nested, envelope, authenticated=kind == _AUTH_ENVELOPED)
    part = context.judge(wrapped, context.deeper())
    if part.strength is Strength.NONE:
        return PartFacts(
            KIND, scheme="S/MIME signed", encrypted=part.encrypted, findings=("signed-only",), parts=(part,)
        )
    return PartFacts(KIND, part.strength, part.scheme, part.encrypted, (), (part,), part.identifiers)


def _enveloped(reader: Reader, body: Element, *, authenticated: bool) -> PartFacts:
    """EnvelopedData (RFC 5652 section 6.1) and AuthEnvelopedData (RFC 5083 section 2.1)."""
    fields = list(reader.children(body))
    at = 0
    if not fields or fields[0].tag != INTEGER or fields[0].end - fields[0].start > _SMALL:
        raise BerError("no version")
    at += 1
    if at < len(fields) and fields[at].tag == _CONTEXT_0:
        _originator(reader, fields[at])
        at += 1
    if at + 1 >= len(fields) or fields[at].tag != SET or fields[at + 1].tag != SEQUENCE:
        raise BerError("no recipients or content")
    recipients = _recipients(reader, fields[at])
    content = list(reader.children(fields[at + 1]))
    name, strength, finding = _content(reader, content)
    findings = [*recipients.findings]
    strength = min(strength, recipients.strength)
    if finding:
        findings.append(finding)
    if name.endswith("-CBC") and not authenticated:
        findings.append("unauthenticated-cipher")
    attributes = _after_content(fields[at + 2 :], authenticated=authenticated)
    partial = False
    if attributes:
        findings.append("clear-attributes")
        partial = attributes > _CLEAR_ATTRIBUTES_MOST
    plural = "" if recipients.count == 1 else "s"
    scheme = f"S/MIME {name} to {recipients.count} recipient{plural}" if name else "S/MIME"
    if strength is Strength.NONE or partial:
        kind = Encrypted.PARTIAL if partial and strength is not Strength.NONE else Encrypted.NO
        return PartFacts(KIND, Strength.NONE, scheme, kind, tuple(findings))
    return PartFacts(KIND, strength, scheme, Encrypted.YES, tuple(findings))


def _originator(reader: Reader, info: Element) -> None:
    """OriginatorInfo: certificates and revocation lists, which are public, and nothing else."""
    if info.end - info.start > _ORIGINATOR_MOST:
        raise BerError("long originator info")
    for group in reader.children(info):
        for item in reader.children(group) if group.tag in (_CONTEXT_0, _CONTEXT_1) else (group,):
            inner = [child.tag for child in reader.children(item)] if item.tag == SEQUENCE else []
            if inner != [SEQUENCE, SEQUENCE, BIT_STRING]:
                raise BerError("originator info that is no certificate")


def _after_content(rest: list[Element], *, authenticated: bool) -> int:
    """The octets of the attributes behind the content; raises BerError where anything else stands there."""
    tags = [element.tag for element in rest]
    attributes = [element for element in rest if element.tag in (_CONTEXT_1, _CONTEXT_2)]
    if authenticated:
        orders = ([OCTET_STRING], [_CONTEXT_1, OCTET_STRING], [OCTET_STRING, _CONTEXT_2])
        proper = tags in (*orders, [_CONTEXT_1, OCTET_STRING, _CONTEXT_2])
        proper = proper and all(f.end - f.start <= _MAC_MOST for f in rest if f.tag == OCTET_STRING)
    else:
        proper = tags in ([], [_CONTEXT_1])
    if not proper:
        raise BerError("odd elements after the content")
    return sum(element.end - element.start for element in attributes)


def _content(reader: Reader, content: list[Element]) -> tuple[str, Strength, str]:
    """EncryptedContentInfo: cipher name, strength, finding."""
    if len(content) < 2 or content[0].tag != OID or content[1].tag != SEQUENCE:
        raise BerError("no content encryption algorithm")
    if content[0].end - content[0].start > _SMALL:
        raise BerError("odd content type")
    cipher = _algorithm(reader, content[1])
    if cipher not in _CIPHERS:
        return "", Strength.NONE, "unknown-algorithm"
    name, strength = _CIPHERS[cipher]
    if len(content) != 3 or content[2].tag not in (_PRIMITIVE_0, _CONTEXT_0):
        return name, Strength.NONE, "detached-content"
    data = reader.octets(content[2])
    if not data:
        return name, Strength.NONE, "detached-content"
    if not looks_random(data):
        return name, Strength.NONE, "looks-readable"
    return name, strength, ""


def _algorithm(reader: Reader, sequence: Element) -> bytes:
    first = reader.read(sequence.start, sequence.end)
    if first.tag != OID or sequence.end - sequence.start > _ALGORITHM_MOST:
        raise BerError("not an AlgorithmIdentifier")
    return reader.contents(first)


def _recipients(reader: Reader, infos: Element) -> _Recipients:
    found = _Recipients()
    for info in reader.children(infos):
        found.count += 1
        if info.tag != SEQUENCE and info.end - info.start > _RECIPIENT_MOST:
            raise BerError("long recipient")
        fields = list(reader.children(info))
        if info.tag == SEQUENCE:
            _key_transport(reader, fields, found)
        elif info.tag == _CONTEXT_1:
            _key_agreement(reader, fields, found)
        elif info.tag in (_CONTEXT_2, _CONTEXT_3):
            _shared_secret(reader, fields, found)
        else:
            found.lower(Strength.NONE, "unknown-recipient-kind")
    if not found.count:
        found.lower(Strength.NONE, "no-recipient")
    return found


def _key_transport(reader: Reader, fields: list[Element], found: _Recipients) -> None:
    if len(fields) != 4 or fields[2].tag != SEQUENCE or fields[3].tag != OCTET_STRING:
        raise BerError("odd key transport recipient")
    if sum(f.end - f.start for f in fields[:2]) > _IDENTIFIER_MOST:
        raise BerError("long recipient identifier")
    algorithm = _algorithm(reader, fields[2])
    if algorithm not in (_RSA, _RSA_OAEP):
        found.lower(Strength.NONE, "unknown-algorithm")
        return
    if algorithm == _RSA:
        found.lower(Strength.STRONG, "legacy-key-transport")
    if fields[3].end - fields[3].start < _RSA_2048:
        found.lower(Strength.WEAK, "weak-key")
    if not looks_random(reader.contents(fields[3])):
        found.lower(Strength.NONE, "looks-readable")


def _key_agreement(reader: Reader, fields: list[Element], found: _Recipients) -> None:
    sequences = [f for f in fields if f.tag == SEQUENCE]
    if len(sequences) != 2:
        raise BerError("odd key agreement recipient")
    algorithm = list(reader.children(sequences[0]))
    if len(algorithm) != 2 or algorithm[0].tag != OID or algorithm[1].tag != SEQUENCE:
        found.lower(Strength.NONE, "unknown-algorithm")
        return
    wrap = _algorithm(reader, algorithm[1])
    if reader.contents(algorithm[0]) not in _ECDH or wrap not in _AES_WRAPS | _WEAK_WRAPS:
        found.lower(Strength.NONE, "unknown-algorithm")
    elif wrap in _WEAK_WRAPS:
        found.lower(Strength.WEAK)


def _shared_secret(reader: Reader, fields: list[Element], found: _Recipients) -> None:
    """A key known beforehand, or a password: acceptable where the content key is wrapped with AES."""
    sequences = [f for f in fields if f.tag == SEQUENCE]
    if not sequences:
        raise BerError("odd recipient")
    algorithm = list(reader.children(sequences[-1]))
    wrap = reader.contents(algorithm[0]) if algorithm and algorithm[0].tag == OID else b""
    if wrap == _PWRI_KEK and len(algorithm) == 2 and algorithm[1].tag == SEQUENCE:
        cipher, strength = _CIPHERS.get(_algorithm(reader, algorithm[1]), ("", Strength.NONE))
        found.lower(min(strength, Strength.ACCEPTABLE), "" if cipher else "unknown-algorithm")
    elif wrap in _AES_WRAPS:
        found.lower(Strength.ACCEPTABLE)
    elif wrap in _WEAK_WRAPS:
        found.lower(Strength.WEAK)
    else:
        found.lower(Strength.NONE, "unknown-algorithm")
