"""Certificates, requests, revocation lists and keys, in DER and PEM; stores of them (PKCS #12).

Guarantees: what has the shape of a certificate (RFC 5280), a request (RFC 2986) or a revocation list, is of a size
that such things have and holds few running words, is key material: it carries nothing to protect. A private key in
the clear never is, and an encrypted one or a PKCS #12 store is no way to send a file: all of them are `none`.
Failures: `BerError` or binascii.Error for what is not what it began as.
"""

from __future__ import annotations

import re

import pybase64

from gateway.inspection.ber import BIT_STRING, INTEGER, OCTET_STRING, OID, SEQUENCE, BerError, Element, Reader
from gateway.inspection.ciphertext import holds_prose
from gateway.inspection.cms_algorithms import oid
from gateway.inspection.limits import Context
from gateway.model import PartFacts

KIND = "certificate"
_STORE = "pkcs12"
_MATERIAL_MOST = 64 * 1024  # octets of certificates and the like in one file
_LIST_MOST = 1024 * 1024  # of a revocation list
_PROSE_MOST = 1500  # octets of running words: names of authorities, their terms
_ELEMENTS_MOST = 20_000
_BLOCKS_MOST = 50
_FAR = 8 * 1024  # how far into a PEM file its first line may stand behind other text
_TIMES = (0x17, 0x18)
_TAG_0, _TAG_1, _TAG_3 = 0xA0, 0xA1, 0xA3
_PKCS7 = oid("1.2.840.113549.1.7.1")[:-1]
_TIMES_OR_SEQUENCE = (*_TIMES, SEQUENCE)

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
    return _material(data, _shape(reader, outer))


def _material(words: bytes, shaped: bool) -> PartFacts:
    """Key material where the shape is right and there is little to read."""
    small = len(words) <= _MATERIAL_MOST or (len(words) <= _LIST_MOST and not holds_prose(words))
    proper = shaped and small and not holds_prose(words, _PROSE_MOST)
    return PartFacts(KIND, findings=("key-material",) if proper else ("clear-text",), size=len(words))


def _shape(reader: Reader, outer: Element) -> bool:
    """A certificate, a request, a revocation list or a public key, each to its end."""
    fields = list(reader.children(outer))
    tags = [field.tag for field in fields]
    if tags == [INTEGER, INTEGER]:
        return fields[1].size <= 8
    if tags == [SEQUENCE, BIT_STRING]:
        return outer.size <= 8192
    return _signed_shape(reader, outer)


def _signed_shape(reader: Reader, outer: Element) -> bool:
    """SIGNED{...}: what is signed, an algorithm and a signature (RFC 5280 section 4.1, RFC 2986 section 4)."""
    try:
        fields = list(reader.children(outer))
        if [field.tag for field in fields] != [SEQUENCE, SEQUENCE, BIT_STRING]:
            return False
        tags = [field.tag for field in reader.children(fields[0])]
    except BerError:
        return False
    certificate = [tag for tag in tags if tag not in (_TAG_0, _TAG_1, 0x81, 0x82, 0xA2, _TAG_3)]
    if certificate == [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE]:
        return fields[2].size <= 8192
    if tags == [INTEGER, SEQUENCE, SEQUENCE, _TAG_0] or tags == [INTEGER, SEQUENCE, SEQUENCE]:
        return fields[2].size <= 8192  # a request
    listed = [tag for tag in tags if tag not in (INTEGER, _TAG_0)]
    return len(listed) >= 3 and listed[:2] == [SEQUENCE, SEQUENCE] and all(t in _TIMES_OR_SEQUENCE for t in listed[2:])


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
