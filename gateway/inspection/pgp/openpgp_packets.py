"""OpenPGP packets: the framing of binary data (RFC 9580 section 4.2, RFC 4880).

Guarantees: packets come whole, partial lengths joined, and the data is read to its end; whatever does not follow
the framing is an error. Cost: linear in the size; the body of each packet is copied once.
Failures: PacketError.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PKESK, SIGNATURE, SKESK, ONE_PASS, SECRET_KEY, PUBLIC_KEY, SECRET_SUBKEY, COMPRESSED = 1, 2, 3, 4, 5, 6, 7, 8
SED, MARKER, LITERAL, USER_ID, PUBLIC_SUBKEY, SEIPD, GNUPG_AEAD, PADDING = 9, 10, 11, 13, 14, 18, 20, 21

ENCRYPTED_DATA = frozenset({SED, SEIPD, GNUPG_AEAD})
SECRET_KEYS = frozenset({SECRET_KEY, SECRET_SUBKEY})
PUBLIC_KEYS = frozenset({PUBLIC_KEY, PUBLIC_SUBKEY})
READABLE = frozenset({SIGNATURE, ONE_PASS, COMPRESSED, LITERAL})
_PARTIAL_ALLOWED = ENCRYPTED_DATA | {COMPRESSED, LITERAL}
_FIRST_PARTIAL_LEAST = 512
_BLANK = b"\r\n\0 \t"
_BLANK_MOST = 16  # octets of these that transport may have put after binary data; they carry nothing

# What the first octet of a body can be, for the packets that data may begin with (versions, algorithms, formats).
_FIRST_OCTETS: dict[int, bytes] = {
    PKESK: b"\2\3\6",
    SIGNATURE: b"\2\3\4\5\6",
    SKESK: b"\4\5\6",
    ONE_PASS: b"\3\6",
    SECRET_KEY: b"\2\3\4\5\6",
    PUBLIC_KEY: b"\2\3\4\5\6",
    SECRET_SUBKEY: b"\2\3\4\5\6",
    PUBLIC_SUBKEY: b"\2\3\4\5\6",
    COMPRESSED: b"\0\1\2\3",
    MARKER: b"P",
    LITERAL: b"bmtul1",
    SEIPD: b"\1\2",
    GNUPG_AEAD: b"\1",
}


class PacketError(ValueError):
    """Off the packet grammar."""


@dataclass(frozen=True, slots=True)
class Packet:
    """`open_ended`: the packet gives no length of its own but ends where the data ends (section 4.2.2.4)."""

    tag: int
    body: bytes
    open_ended: bool = False


def packets(data: bytes, most: int) -> Iterator[Packet]:
    """The packets of `data` to its end. Raises PacketError off the framing, and past the number `most`."""
    at, end = 0, len(data)
    while at < end:
        most -= 1
        if most < 0:
            raise PacketError("too many packets")
        octet = data[at]
        if not octet & 0x80:
            if at and end - at <= _BLANK_MOST and not data[at:].strip(_BLANK):
                return
            raise PacketError("not a packet")
        tag, at = _tag(octet), at + 1
        if tag == 0:
            raise PacketError("reserved packet type")
        if octet & 0x40:
            body, at = _new_body(data, at, tag)
            yield Packet(tag, body)
        elif octet & 3 == 3:
            if tag not in _PARTIAL_ALLOWED:
                raise PacketError("indeterminate length")
            yield Packet(tag, data[at:], open_ended=True)
            return
        else:
            body, at = _old_body(data, at, octet & 3)
            yield Packet(tag, body)


def begins(data: bytes) -> bool:
    """True if the first packet of `data` can be the first of OpenPGP data, by its type and its first octet."""
    if not data or not data[0] & 0x80:
        return False
    tag = _tag(data[0])
    if tag in (SED, PADDING):  # nothing in these tells them from other data, so everything after them must fit
        try:
            return all(True for _ in packets(data, 1000))
        except PacketError:
            return False
    at = 1 + _length_octets(data)
    return tag in _FIRST_OCTETS and data[at : at + 1] != b"" and data[at] in _FIRST_OCTETS[tag]


def take(body: bytes, start: int, length: int) -> bytes:
    """body[start : start + length], all of it. Raises PacketError where it runs over the end."""
    if start + length > len(body):
        raise PacketError("runs over the end")
    return body[start : start + length]


def octet(body: bytes, at: int) -> int:
    """The octet at `at`. Raises PacketError where there is none."""
    return take(body, at, 1)[0]


def _tag(first: int) -> int:
    return first & 0x3F if first & 0x40 else first >> 2 & 0x0F


def _length_octets(data: bytes) -> int:
    """How many octets the first packet's length takes."""
    if not data[0] & 0x40:
        return (1, 2, 4, 0)[data[0] & 3]
    first = data[1] if len(data) > 1 else 0
    return 1 if first < 192 or 224 <= first < 255 else 5 if first == 255 else 2


def _old_body(data: bytes, at: int, length_type: int) -> tuple[bytes, int]:
    octets = 1 << length_type
    length = int.from_bytes(take(data, at, octets), "big")
    return take(data, at + octets, length), at + octets + length


def _new_body(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    pieces: list[bytes] = []
    while True:
        first = octet(data, at)
        if 224 <= first < 255:
            length = 1 << (first & 0x1F)
            if tag not in _PARTIAL_ALLOWED or (not pieces and length < _FIRST_PARTIAL_LEAST):
                raise PacketError("partial length where none may be")
            pieces.append(take(data, at + 1, length))
            at += 1 + length
            continue
        if first < 192:
            length, at = first, at + 1
        elif first == 255:
            length, at = int.from_bytes(take(data, at + 1, 4), "big"), at + 5
        else:
            length, at = (first - 192 << 8) + octet(data, at + 1) + 192, at + 2
        last = take(data, at, length)
        return (b"".join((*pieces, last)) if pieces else last), at + length
