"""Reads just enough of an OpenPGP message to know that it is encrypted, and to which keys.

An independent check of what the gpg program returned (RFC 4880 sections 4.2, 5.1, 5.13, 6.2). Guarantees: what
passes is one block of armour with nothing around it and no armour header, holding one or more session keys
encrypted to public keys and then exactly one integrity-protected encrypted packet, to the last byte.
Failures: `NotEncryptedError` for everything else.
"""

from __future__ import annotations

import binascii

import pybase64

from gateway.errors import ProtectionRefusedError

_BEGIN = b"-----BEGIN PGP MESSAGE-----\n\n"
_END = b"-----END PGP MESSAGE-----\n"
_CHECKSUM = 6  # "=", four characters, LF
_PKESK = 1
_ENCRYPTED = (18, 20)  # SEIPD; the OCB packet of newer gpg versions. Both protect integrity, packet 9 does not


class NotEncryptedError(ProtectionRefusedError):
    """What the gpg program returned is not an OpenPGP message encrypted to public keys."""


def recipients_of(armour: bytes) -> tuple[str, ...]:
    """The key ids, 16 upper-case hexadecimal digits each, that an armoured message is encrypted to.

    Line ends are LF. Raises `NotEncryptedError` where it is anything but such a message.
    """
    data = memoryview(_decoded(armour))
    found: list[str] = []
    position = 0
    while position < len(data):
        tag, start = _header(data, position)
        if tag in _ENCRYPTED:
            if not found or _end_of_body(data, start, tag) != len(data):
                raise NotEncryptedError("The gpg program returned a message with no recipient or with data behind it.")
            return tuple(found)
        if tag != _PKESK:
            raise NotEncryptedError("The gpg program returned data that is not encrypted to a public key.")
        body, end = _whole_body(data, start)
        if len(body) < 10 or body[0] != 3:
            raise NotEncryptedError("The gpg program returned an encrypted session key of an unknown version.")
        found.append(bytes(body[1:9]).hex().upper())
        position = end
    raise NotEncryptedError("The gpg program returned no encrypted data.")


def _decoded(armour: bytes) -> bytes:
    """The bytes under the armour; nothing may stand before, behind or beside it."""
    if not armour.startswith(_BEGIN) or not armour.endswith(_END):
        raise NotEncryptedError("The gpg program returned something that is not an armoured message.")
    end = len(armour) - len(_END) - _CHECKSUM
    if armour[end - 1 : end + 1] != b"\n=" or armour[end + _CHECKSUM - 1 : end + _CHECKSUM] != b"\n":
        raise NotEncryptedError("The gpg program returned armour without a checksum.")
    try:
        pybase64.b64decode(armour[end + 1 : end + _CHECKSUM - 1], validate=True)
        return pybase64.b64decode(armour[len(_BEGIN) : end].replace(b"\n", b""), validate=True)
    except (binascii.Error, ValueError):
        raise NotEncryptedError("The gpg program returned damaged armour.") from None


def _header(data: memoryview, position: int) -> tuple[int, int]:
    """Packet tag, and where its length starts; the low two bits of an old header stay in `data[position]`."""
    octet = data[position]
    if not octet & 0x80:
        raise NotEncryptedError("The gpg program returned data that is not made of OpenPGP packets.")
    tag = octet & 0x3F if octet & 0x40 else (octet >> 2) & 0x0F
    return tag, position


def _length(data: memoryview, position: int) -> tuple[int, int, bool]:
    """Length of a body, where it starts, and whether another length follows it (RFC 4880 section 4.2.2)."""
    try:
        first = data[position]
        if first < 192:
            return first, position + 1, False
        if first < 224:
            return ((first - 192) << 8) + data[position + 1] + 192, position + 2, False
        if first < 255:
            return 1 << (first & 0x1F), position + 1, True
        return int.from_bytes(_octets(data, position + 1, 4), "big"), position + 5, False
    except IndexError:
        raise NotEncryptedError("The gpg program returned a truncated message.") from None


def _octets(data: memoryview, position: int, count: int) -> memoryview:
    part = data[position : position + count]
    if len(part) != count:
        raise NotEncryptedError("The gpg program returned a truncated message.")
    return part


def _whole_body(data: memoryview, position: int) -> tuple[memoryview, int]:
    """The body of a packet of one piece, and where the next packet starts."""
    octet = data[position]
    if octet & 0x40:
        size, start, more = _length(data, position + 1)
        if more:
            raise NotEncryptedError("The gpg program returned a session key in pieces.")
    else:
        width = (1, 2, 4, 0)[octet & 3]
        if not width:
            raise NotEncryptedError("The gpg program returned a session key of no stated length.")
        size, start = int.from_bytes(_octets(data, position + 1, width), "big"), position + 1 + width
    return _octets(data, start, size), start + size


def _end_of_body(data: memoryview, position: int, tag: int) -> int:
    """Where the encrypted packet ends. Its version must be one that protects integrity."""
    if not data[position] & 0x40:
        body, end = _whole_body(data, position)
        return end if _sound(tag, body[:1]) else -1
    size, start, more = _length(data, position + 1)
    if not _sound(tag, data[start : start + 1]):
        return -1
    while more:
        _octets(data, start, size)
        size, start, more = _length(data, start + size)
    _octets(data, start, size)
    return start + size


def _sound(tag: int, version: memoryview) -> bool:
    """SEIPD version 1 (MDC) or 2 (AEAD); the OCB packet has only version 1."""
    return len(version) == 1 and version[0] in ((1, 2) if tag == 18 else (1,))
