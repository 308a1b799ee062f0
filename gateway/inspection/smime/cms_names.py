"""Who a CMS recipient is: issuer and serial number, or a key identifier, as text (RFC 5652 section 10.2.4, RFC 4514).

Guarantees: the text is bounded in length and holds no control characters; the same name gives the same text.
Failures: `BerError` for anything that is not a name.
"""

from __future__ import annotations

import hashlib

from gateway.inspection.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, BerError, Element, Reader
from gateway.inspection.smime.cms_algorithms import dotted, oid, wordy

_NAME_MOST = 1024  # octets of an issuer's name
_TEXT_MOST = 512  # characters of a name; of a longer one its digest is given
_SERIAL_MOST = 64
_KEY_IDENTIFIER_MOST = 64
_PARTS_MOST = 64
_KIND_MOST = 32

_SHORT = {
    oid("2.5.4.3"): "CN",
    oid("2.5.4.7"): "L",
    oid("2.5.4.8"): "ST",
    oid("2.5.4.10"): "O",
    oid("2.5.4.11"): "OU",
    oid("2.5.4.6"): "C",
    oid("2.5.4.9"): "STREET",
    oid("0.9.2342.19200300.100.1.25"): "DC",
    oid("0.9.2342.19200300.100.1.1"): "UID",
}  # RFC 4514 section 3
_CHARSETS = {0x0C: "utf-8", 0x12: "ascii", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1C: "utf-32-be"}
_BMP_STRING = 0x1E
_KEY_TAG = 0x80


def recipient(reader: Reader, element: Element) -> str:
    """The text of a RecipientIdentifier: "smime:issuer=...;serial=..." or "smime:ski=..."."""
    if element.tag == SEQUENCE:
        return issuer_and_serial(reader, element)
    if element.tag in (_KEY_TAG, OCTET_STRING):
        return key_identifier(reader, element)
    raise BerError("odd recipient identifier")


def issuer_and_serial(reader: Reader, element: Element) -> str:
    """The text of an IssuerAndSerialNumber."""
    fields = list(reader.children(element))
    if [field.tag for field in fields] != [SEQUENCE, INTEGER] or not 0 < fields[1].size <= _SERIAL_MOST:
        raise BerError("odd issuer and serial number")
    if wordy(reader.contents(fields[1])):
        raise BerError("words for a serial number")
    serial = reader.contents(fields[1]).lstrip(b"\0").hex().upper() or "00"
    return f"smime:issuer={name(reader, fields[0])};serial={serial}"


def key_identifier(reader: Reader, element: Element) -> str:
    """The text of a SubjectKeyIdentifier."""
    if not 0 < element.size <= _KEY_IDENTIFIER_MOST or wordy(reader.contents(element)):
        raise BerError("odd key identifier")
    return f"smime:ski={reader.contents(element).hex().upper()}"


def name(reader: Reader, element: Element) -> str:
    """A Name as RFC 4514 writes it, the last part first; the digest of one that is too long for a record."""
    if element.size > _NAME_MOST:
        raise BerError("long name")
    parts: list[str] = []
    for group in reader.children(element):
        if group.tag != SET or len(parts) > _PARTS_MOST:
            raise BerError("not a name")
        parts.append("+".join(_attribute(reader, item) for item in reader.children(group)))
    text = ",".join(reversed(parts))
    if len(text) > _TEXT_MOST:
        return f"sha256:{hashlib.sha256(reader.contents(element)).hexdigest()}"
    return text


def _attribute(reader: Reader, item: Element) -> str:
    fields = list(reader.children(item))
    if item.tag != SEQUENCE or len(fields) != 2 or fields[0].tag != OID:
        raise BerError("not a name")
    kind = reader.contents(fields[0])
    if len(kind) > _KIND_MOST or wordy(kind):
        raise BerError("words for an attribute's type")
    value = reader.contents(fields[1])
    text = _text(fields[1].tag, value)
    if kind not in _SHORT or text is None:
        header = bytes((fields[1].tag,)) + _length(len(value))
        return f"{_SHORT.get(kind, dotted(kind))}=#{(header + value).hex()}"
    return f"{_SHORT[kind]}={_escape(text)}"


def _text(tag: int, value: bytes) -> str | None:
    try:
        return value.decode("utf-16-be" if tag == _BMP_STRING else _CHARSETS[tag])
    except (KeyError, UnicodeDecodeError):
        return None


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def _escape(text: str) -> str:
    """RFC 4514 section 2.4; control characters as their octets."""
    escaped = []
    for at, character in enumerate(text):
        if not character.isprintable():
            escaped.append("".join(f"\\{octet:02x}" for octet in character.encode("utf-8", "surrogatepass")))
        elif (
            character in '"+,;<>\\' or (character == " " and at in (0, len(text) - 1)) or (character == "#" and not at)
        ):
            escaped.append("\\" + character)
        else:
            escaped.append(character)
    return "".join(escaped)
