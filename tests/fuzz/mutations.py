"""Damages files the way a hostile sender would: bits, lengths, splices, repetition, nesting, right checksums.

Guarantees: the same seed and corpus give the same inputs; none is above `MOST` octets. Archives whose headers
have checksums get right ones back after half of the changes, so that readers go on past them; attachments inside
messages are changed below their base64, so that the formats see the damage and not only the decoder.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.fuzz.worst_cases import NUMBERS, TOP, attached

MOST = 1_000_000
_LARGE = 200_000  # octets of an ordinary input: smaller ones are tried faster
TOKENS: tuple[bytes, ...] = (
    *(
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"PK\x07\x08",
        b"\x01\x99\x07\x00",
        b"\x17\x00",
    ),
    *(b"7z\xbc\xaf\x27\x1c", b"\x24\x06\xf1\x07\x01", b"\x17\x06", b"\x01\x04\x06\x00", b"\x01\x05", b"\x21\x21\x01"),
    *(
        b"Rar!\x1a\x07\x01\x00",
        b"Rar!\x1a\x07\x00",
        b"\x73\x00\x00\x0d\x00",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\x00",
        b"ustar\x00",
    ),
    *(
        b"%PDF-1.7\n",
        b"obj<<",
        b"endobj",
        b"stream\r\n",
        b"endstream",
        b"/Encrypt 5 0 R",
        b"/Identity",
        b"/Crypt",
        b"/Filter[",
        b"/ObjStm",
    ),
    *(
        b"trailer<<",
        b"startxref\n0\n%%EOF",
        b"/Prev 0",
        b"/Length 99999999",
        b"/EncryptMetadata false",
        b"/XRef",
        b"/CFM/None",
        b"/EFF",
    ),
    *(
        bytes.fromhex("d0cf11e0a1b11ae1"),
        "EncryptedPackage".encode("utf-16-le"),
        "EncryptionInfo".encode("utf-16-le"),
        b"\x04\x00\x04\x00\x40\x00\x00\x00",
    ),
    *(
        b"<encryption",
        b'spinCount="100000"',
        b"<!ENTITY a 'b'>",
        b"&a;",
        b"<!DOCTYPE",
        b"<![CDATA[",
        b"<manifest:encryption-data>",
    ),
    *(
        b"\x78\x9f\x3e\x22",
        b"\x02\x0f\x80\x06\x00",
        b"\x30\x80",
        b"\x24\x80",
        b"\xa0\x80",
        b"\x00\x00",
        bytes.fromhex("06092a864886f70d010703"),
    ),
    *(
        b"\xd2\xff",
        b"\xc1\xc0\x4c\x03",
        b"\x85\x01\x0c\x03",
        b"\xc3\x0d\x04\x09\x03\x08",
        b"\xcb\x62",
        b"\xa3\x02",
        b"\xd4",
        b"\xc8",
    ),
    *(
        b"-----BEGIN PGP MESSAGE-----\n\n",
        b"-----END PGP MESSAGE-----\n",
        b"-----BEGIN PGP SIGNED MESSAGE-----\n",
        b"Comment: hello world\n",
    ),
    *(
        b"age-encryption.org/v1\n",
        b"-> X25519 ",
        b"--- ",
        bytes.fromhex("03d9a29a67fb4bb5"),
        b"\r\n\r\n",
        b"\r\n--b\r\n",
        b"--",
        b"\n.\n",
    ),
    *(
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
    ),
    *(
        b"begin 644 a\n",
        b"=ybegin line=128 size=1 name=a\n",
        b"=?utf-8?q?a?=",
        b"; name*0*=utf-8''a",
        b"<html>",
        b"<!--",
        b"--!>",
        b"&#",
        b"\0",
    ),
    b"Jane Example is at risk and must be seen by a social worker today. ",
)


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    data: bytes


def changed(samples: list[Sample], seed: int) -> Iterator[Sample]:
    """Damaged samples without end."""
    chance = random.Random(seed)
    number = 0
    while True:
        sample = chance.choice(samples)
        yield Sample(f"{sample.name}-{seed}-{number}", damage(sample.data, samples, chance)[:MOST])
        number += 1


def damage(data: bytes, samples: list[Sample], chance: random.Random) -> bytes:
    """One input, from one sample and whatever else is at hand."""
    if chance.random() < 0.6 and (inner := _attachment(data, chance)):
        start, end, content = inner
        changed_content = base64.encodebytes(_several(content, samples, chance)).replace(b"\n", b"\r\n")
        return data[:start] + changed_content + data[end:]
    data = _several(data, samples, chance)
    return _wrapped(data, chance) if chance.random() < 0.15 else data


def _several(data: bytes, samples: list[Sample], chance: random.Random) -> bytes:
    buffer = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 12))):
        chance.choice(_WAYS)(buffer, samples, chance)
        del buffer[_LARGE if chance.random() < 0.9 else MOST :]
    if chance.random() < 0.5:
        _right_checksums(buffer)
    return bytes(buffer)


_BASE64 = re.compile(rb"base64\r?\n(?:[^\r\n]+\r?\n)*\r?\n((?:[A-Za-z0-9+/=]{4,}\r?\n)+)")


def _attachment(data: bytes, chance: random.Random) -> tuple[int, int, bytes] | None:
    found = list(_BASE64.finditer(data))
    if not found:
        return None
    match = chance.choice(found)
    try:
        return match.start(1), match.end(1), binascii.a2b_base64(match[1])
    except binascii.Error:
        return None


def _wrapped(data: bytes, chance: random.Random) -> bytes:
    """Inside something else."""
    way = chance.randrange(5)
    if way == 0:
        return attached(data[: MOST // 2])
    if way == 1:
        return gzip.compress(data, 1)
    if way == 2:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", data)
        return packed.getvalue()
    if way == 3:
        return TOP + b"Content-Type: message/rfc822\r\n\r\n" + data
    return b"\xc8\xff" + struct.pack(">I", len(packed := zlib.compress(data)) + 1) + b"\x02" + packed


# ---------------------------------------------------------------- single changes

Way = Callable[[bytearray, "list[Sample]", random.Random], None]


def _place(buffer: bytearray, chance: random.Random) -> int:
    """Anywhere, or more often where formats keep their headers: near either end."""
    size = len(buffer)
    where = chance.random()
    if where < 0.4:
        return chance.randint(0, min(size, 600))
    if where < 0.6:
        return size - chance.randint(0, min(size, 600))
    return chance.randint(0, size)


def _bit(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    if buffer:
        buffer[min(_place(buffer, chance), len(buffer) - 1)] ^= 1 << chance.randrange(8)


def _octets(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    at = _place(buffer, chance)
    length = chance.choice((1, 2, 4, 16))
    buffer[at : at + length] = chance.randbytes(length)


def _number(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    """A length, a count or an offset that lies."""
    width = chance.choice((1, 2, 4, 8))
    value = chance.choice((*NUMBERS, len(buffer), len(buffer) // 2)) & (256**width - 1)
    at = _place(buffer, chance)
    buffer[at : at + width] = value.to_bytes(width, chance.choice(("little", "big")))


def _decimal(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    """The same in formats that write numbers as text."""
    found = list(re.finditer(rb"\d+", buffer[:_LARGE]))
    if found:
        match = chance.choice(found)
        buffer[match.start() : match.end()] = b"%d" % chance.choice((*NUMBERS, len(buffer)))


def _cut(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    del buffer[_place(buffer, chance) :]


def _gap(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    at = _place(buffer, chance)
    del buffer[at : at + chance.choice((1, 2, 16, 300))]


def _copy(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    start = _place(buffer, chance)
    block = buffer[start : start + chance.choice((4, 32, 512, 5000))]
    at = _place(buffer, chance)
    buffer[at:at] = block


def _repeat(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    """One block as often as fits."""
    start = _place(buffer, chance)
    block = bytes(buffer[start : start + chance.choice((1, 2, 5, 20, 100, 1000))])
    if block:
        most = _LARGE if chance.random() < 0.9 else MOST
        buffer[start:start] = block * max(0, (most - len(buffer)) // len(block))


def _swap(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    first, second = sorted((_place(buffer, chance), _place(buffer, chance)))
    length = chance.choice((1, 8, 64, 512))
    one, other = bytes(buffer[first : first + length]), bytes(buffer[second : second + length])
    buffer[second : second + length] = one
    buffer[first : first + length] = other


def _token(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    at, token = _place(buffer, chance), chance.choice(TOKENS)
    buffer[at : at + (len(token) if chance.random() < 0.5 else 0)] = token


def _splice(buffer: bytearray, samples: list[Sample], chance: random.Random) -> None:
    """A piece of another file, or all of it."""
    other = chance.choice(samples).data
    start = chance.randint(0, len(other))
    piece = other if chance.random() < 0.3 else other[start : start + chance.choice((16, 200, 3000))]
    at = _place(buffer, chance)
    buffer[at : at + (len(piece) if chance.random() < 0.5 else 0)] = piece[:_LARGE]


def _case(buffer: bytearray, _: list[Sample], chance: random.Random) -> None:
    at = _place(buffer, chance)
    buffer[at : at + 40] = bytes(buffer[at : at + 40]).swapcase()


_WAYS: tuple[Way, ...] = (
    *(_bit, _bit, _octets, _octets, _number, _number, _number, _decimal, _cut, _gap, _gap),
    *(_copy, _copy, _repeat, _swap, _token, _token, _splice, _splice, _case),
)


# ---------------------------------------------------------------- checksums


def _right_checksums(buffer: bytearray) -> None:
    """Puts right the header checksums of 7z, RAR 4 and RAR 5 files."""
    if buffer.startswith(b"7z\xbc\xaf\x27\x1c") and len(buffer) > 32:
        offset, size = struct.unpack_from("<QQ", buffer, 12)
        if offset < MOST and size < MOST:
            struct.pack_into("<I", buffer, 28, zlib.crc32(buffer[32 + offset : 32 + offset + size]))
        struct.pack_into("<I", buffer, 8, zlib.crc32(buffer[12:32]))
    elif buffer.startswith(b"Rar!\x1a\x07\x01\x00"):
        _rar5_checksums(buffer)
    elif buffer.startswith(b"Rar!\x1a\x07\x00"):
        _rar4_checksums(buffer)


def _vint(buffer: bytearray, at: int) -> tuple[int, int]:
    """A number of RAR 5, and where it ends."""
    value = 0
    for step in range(10):
        if at + step >= len(buffer):
            break
        value |= (buffer[at + step] & 0x7F) << (7 * step)
        if buffer[at + step] < 0x80:
            return value, at + step + 1
    return value, len(buffer)


def _rar5_checksums(buffer: bytearray) -> None:
    at = 8
    for _ in range(100):
        if at + 8 > len(buffer):
            return
        size, start = _vint(buffer, at + 4)
        end = start + size
        struct.pack_into("<I", buffer, at, zlib.crc32(buffer[at + 4 : end]))
        _kind, after = _vint(buffer, start)
        flags, after = _vint(buffer, after)
        if flags & 1:
            _extra, after = _vint(buffer, after)
        data = _vint(buffer, after)[0] if flags & 2 else 0
        at = end + data


def _rar4_checksums(buffer: bytearray) -> None:
    at = 7
    for _ in range(100):
        if at + 11 > len(buffer):
            return
        kind, flags, size = struct.unpack_from("<BHH", buffer, at + 2)
        struct.pack_into("<H", buffer, at, zlib.crc32(buffer[at + 2 : at + size]) & 0xFFFF)
        data = struct.unpack_from("<I", buffer, at + 7)[0] if flags & 0x8000 or kind == 0x74 else 0
        if size < 7:
            return
        at += size + data
