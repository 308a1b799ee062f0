"""Certificates, requests, revocation lists and keys, in DER and PEM; stores of them (PKCS #12).

Guarantees: what has the shape of a certificate (RFC 5280), a request (RFC 2986) or a revocation list, is of a size
that such things have and holds few running words, is key material: it carries nothing to protect. A private key in
the clear never is, and an encrypted one or a PKCS #12 store is no way to send a file: all of them are `none`.
Failures: `BerError` or binascii.Error for what is not what it began as.
"""

from __future__ import annotations

import re

import pybase64

from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.limits import Context
from gateway.inspection.smime import cms_names
from gateway.inspection.smime.ber import BIT_STRING, INTEGER, OCTET_STRING, OID, SEQUENCE, BerError, Element, Reader
from gateway.inspection.smime.cms_algorithms import algorithm, oid, wordy
from gateway.model import PartFacts

KIND = "certificate"
_STORE = "pkcs12"
_MATERIAL_MOST = 64 * 1024  # octets of certificates and the like in one file
_LIST_MOST = 1024 * 1024  # of a revocation list
_PROSE_MOST = 1500  # octets of running words: names of authorities, their terms
_ELEMENTS_MOST = 100_000
_BLOCKS_MOST = 50
_FAR = 8 * 1024  # how far into a PEM file its first line may stand behind other text
_TIMES = (0x17, 0x18)
_TAG_0, _TAG_1, _TAG_3 = 0xA0, 0xA1, 0xA3
_PKCS7 = oid("1.2.840.113549.1.7.1")[:-1]
_BOOLEAN = 0x01
_UNIQUE_IDENTIFIERS = (0x81, 0x82, 0xA1, 0xA2)
_SIGNATURE_MOST = 64 * 1024  # octets; SLH-DSA has signatures of 50,000
_KEY_MOST = 8192
_PARAMETERS_SEARCHED = 256  # a group that is spelt out comes behind
_SERIAL_MOST, _TIME_MOST, _OID_MOST = 64, 20, 32

_BLOCK = re.compile(
    rb"\s*-----BEGIN ([A-Z0-9 #]{3,40})-----[ \t]*\r?\n((?:[A-Za-z-]{1,20}: [^\r\n]{0,100}\r?\n){0,4}"
    rb"(?:[ \t]*\r?\n)?)([A-Za-z0-9+/=\s]*)-----END \1-----\s*"
)
_PUBLIC = {
    b"CERTIFICATE",
    b"X509 CERTIFICATE",
    b"CERTIFICATE REQUEST",
    b"NEW CERTIFICATE REQUEST",
    b"X509 CRL",
    b"PUBLIC KEY",
    b"RSA PUBLIC KEY",
}
_LABEL = re.compile(
    rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE|(?:NEW )?CERTIFICATE REQUEST|X509 CRL|(?:RSA )?PUBLIC KEY"
    rb"|(?:RSA |EC |DSA |ENCRYPTED |OPENSSH |SSH2 ENCRYPTED )?PRIVATE KEY)-----"
)


def recognise(data: bytes) -> bool:
    """True if the data begins as one of these in DER, or holds one in PEM near its beginning."""
    if data[:1] == b"\x30":
        return _form(data) != ""
    return b"-----BEGIN " in data[:_FAR] and _LABEL.search(data, 0, _FAR) is not None


def judge(data: bytes, context: Context) -> PartFacts:
    """Key material, or a finding that says what it is; always `none`."""
    if data[:1] == b"\x30":
        return _binary(data)
    return _armoured(data)


def public_only(reader: Reader, items: list[Element]) -> bool:
    """True if the elements have the shape of certificates or revocation lists, with few words in all of them."""
    words = b"".join(reader.contents(item) for item in items)
    if len(words) > _MATERIAL_MOST or holds_prose(words, _PROSE_MOST):
        return False
    return all(item.tag == SEQUENCE and _signed_shape(reader, item) for item in items)


def _form(data: bytes) -> str:
    """What the first elements look like: "public", "secret-key", "encrypted-key", "store" or ""."""
    try:
        reader = Reader(data, 40)
        outer = reader.read(0, len(data))
        first = reader.read(outer.start, outer.end)
        second = reader.read(first.next, outer.end)
    except BerError:
        return ""
    if first.tag == INTEGER:
        return _numbered_form(reader, outer, first, second)
    if first.tag != SEQUENCE or first.end == first.start:
        return ""
    try:
        inner = reader.read(first.start, first.end)
    except BerError:
        return ""
    if inner.tag in (INTEGER, _TAG_0, SEQUENCE) and second.tag == SEQUENCE:
        return "public"
    if inner.tag == OID and second.tag == BIT_STRING:
        return "public"
    if inner.tag == OID and second.tag == OCTET_STRING and second.next == outer.end:
        return "encrypted-key"
    return ""


def _numbered_form(reader: Reader, outer: Element, first: Element, second: Element) -> str:
    """What begins with a version: keys and stores."""
    version = reader.contents(first)
    if version == b"\x03" and second.tag == SEQUENCE:
        inner = reader.read(second.start, second.end)
        return "store" if reader.contents(inner).startswith(_PKCS7) else ""
    if version in (b"\0", b"\1") and second.tag in (SEQUENCE, INTEGER, OCTET_STRING):
        try:
            third = reader.read(second.next, outer.end)
        except BerError:
            return ""
        wanted = {SEQUENCE: (OCTET_STRING,), INTEGER: (INTEGER,), OCTET_STRING: (_TAG_0, _TAG_1)}
        return "secret-key" if third.tag in wanted[second.tag] else ""
    if first.size >= 64 and second.tag == INTEGER and second.next == outer.end:
        return "public"  # an RSA public key: modulus and exponent
    return ""


def _binary(data: bytes) -> PartFacts:
    form = _form(data)
    if form == "store":
        return PartFacts(_STORE, scheme="PKCS #12", findings=("key-store",), size=len(data))
    if form in ("secret-key", "encrypted-key"):
        return PartFacts("private-key", findings=("secret-key",), size=len(data))
    reader = Reader(data, _ELEMENTS_MOST)
    outer = reader.read(0, len(data))
    if outer.next != len(data):
        return PartFacts(KIND, findings=("trailing-bytes",), size=len(data))
    most = _MATERIAL_MOST if len(data) <= _MATERIAL_MOST or not _is_list(reader, outer) else _LIST_MOST
    proper = len(data) <= most and not holds_prose(data, _PROSE_MOST) and _shape(reader, outer)
    return PartFacts(KIND, findings=("key-material",) if proper else ("clear-text",), size=len(data))


def _is_list(reader: Reader, outer: Element) -> bool:
    """True of a revocation list, which may be long: a time stands where a certificate has its dates in a sequence."""
    signed = next(reader.children(outer))
    tags = [field.tag for field, _ in zip(reader.children(signed), range(4), strict=False)]
    return not set(tags[2:]).isdisjoint(_TIMES)


def _shape(reader: Reader, outer: Element) -> bool:
    """A certificate, a request, a revocation list or a public key, each to its end."""
    fields = list(reader.children(outer))
    tags = [field.tag for field in fields]
    if tags == [INTEGER, INTEGER]:
        return fields[1].size <= 8 and outer.size <= _KEY_MOST and looks_random(reader.contents(fields[0]))
    if tags == [SEQUENCE, BIT_STRING]:
        try:
            return _public_key(reader, outer)
        except BerError:
            return False
    return _signed_shape(reader, outer)


def _signed_shape(reader: Reader, outer: Element) -> bool:
    """SIGNED{...}: what is signed, an algorithm and a signature (RFC 5280 sections 4.1 and 5.1, RFC 2986 section 4)."""
    try:
        fields = list(reader.children(outer))
        if [field.tag for field in fields] != [SEQUENCE, SEQUENCE, BIT_STRING]:
            return False
        algorithm(reader, fields[1])
        inner = list(reader.children(fields[0]))
        if fields[2].size > _SIGNATURE_MOST or not _is_noise(reader.contents(fields[2])[1:]):
            return False
        tags = [field.tag for field in inner]
        if tags[:3] == [INTEGER, SEQUENCE, SEQUENCE] and tags[3:] in ([], [_TAG_0]):
            return _request(reader, inner)
        if SEQUENCE in tags[:2] and set(tags[2:4]) & set(_TIMES):
            return _revocation_list(reader, inner)
        return _certificate(reader, inner)
    except BerError:
        return False


def _certificate(reader: Reader, fields: list[Element]) -> bool:
    """TBSCertificate: version, serial number, algorithm, issuer, validity, subject, public key, extensions."""
    if fields and fields[0].tag == _TAG_0:
        if reader.only(fields[0]).size != 1:
            return False
        fields = fields[1:]
    if [field.tag for field in fields[:6]] != [INTEGER, *[SEQUENCE] * 5]:
        return False
    serial, kind, issuer, validity, subject, key = fields[:6]
    if serial.size > _SERIAL_MOST or wordy(reader.contents(serial)):
        return False
    algorithm(reader, kind)
    cms_names.name(reader, issuer)
    cms_names.name(reader, subject)
    times = list(reader.children(validity))
    if len(times) != 2 or any(time.tag not in _TIMES or time.size > _TIME_MOST for time in times):
        return False
    return _public_key(reader, key) and all(_extra(reader, extra) for extra in fields[6:])


def _extra(reader: Reader, element: Element) -> bool:
    """Unique identifiers, which nobody uses, and extensions."""
    if element.tag in _UNIQUE_IDENTIFIERS:
        return element.size <= _SERIAL_MOST and not wordy(reader.contents(element))
    return element.tag == _TAG_3 and all(_extension(reader, item) for item in reader.children(reader.only(element)))


def _extension(reader: Reader, item: Element) -> bool:
    fields = list(reader.children(item))
    tags = [field.tag for field in fields]
    if tags not in ([OID, OCTET_STRING], [OID, _BOOLEAN, OCTET_STRING]) or fields[0].size > _OID_MOST:
        return False
    return not wordy(reader.contents(fields[0])) and (len(tags) == 2 or fields[1].size == 1)


def _public_key(reader: Reader, element: Element) -> bool:
    """SubjectPublicKeyInfo; the parameters may spell out a group."""
    fields = list(reader.children(element))
    if [field.tag for field in fields] != [SEQUENCE, BIT_STRING] or element.size > _KEY_MOST:
        return False
    return not wordy(reader.contents(fields[0])[:_PARAMETERS_SEARCHED]) and _is_noise(reader.contents(fields[1])[1:])


def _is_noise(data: bytes) -> bool:
    return looks_random(data) and not holds_prose(data)


def _request(reader: Reader, fields: list[Element]) -> bool:
    cms_names.name(reader, fields[1])
    return fields[0].size == 1 and _public_key(reader, fields[2])


def _revocation_list(reader: Reader, fields: list[Element]) -> bool:
    """TBSCertList; the entries are numbers and dates."""
    if fields[0].tag == INTEGER:
        if fields[0].size != 1:
            return False
        fields = fields[1:]
    if len(fields) < 3 or [field.tag for field in fields[:2]] != [SEQUENCE, SEQUENCE]:
        return False
    algorithm(reader, fields[0])
    cms_names.name(reader, fields[1])
    for field in fields[2:]:
        if field.tag == SEQUENCE and holds_prose(reader.contents(field)):
            return False
        if field.tag not in (*_TIMES, SEQUENCE, _TAG_0) or (field.tag in _TIMES and field.size > _TIME_MOST):
            return False
    return True


def _armoured(data: bytes) -> PartFacts:
    """PEM (RFC 7468): blocks and nothing else. One private key makes all of it a file of secrets."""
    size = len(data)
    if b"PRIVATE KEY-----" in data:
        return PartFacts("private-key", findings=("secret-key",), size=size)
    at = count = total = 0
    shaped = True
    while at < size:
        block = _BLOCK.match(data, at)
        count += 1
        if block is None or block[1] not in _PUBLIC or block[2].strip() or count > _BLOCKS_MOST:
            return PartFacts(KIND, findings=("clear-text",), size=size)
        decoded = pybase64.b64decode(b"".join(block[3].split()), validate=True)
        total += len(decoded)
        shaped = shaped and "key-material" in _binary(decoded).findings
        at = block.end()
    proper = shaped and total <= _LIST_MOST
    return PartFacts(KIND, findings=("key-material",) if proper else ("clear-text",), size=size)
