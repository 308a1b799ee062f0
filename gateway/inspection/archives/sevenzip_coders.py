"""The coders of a 7z folder that inspection runs itself: Copy, LZMA, LZMA2, Deflate, BZip2, and AES with its key.

Guarantees: what comes out is exactly as long as the header says, and never longer than the caller allows; the
dictionary of LZMA takes no more memory than the output. Failures: `SevenZipError` for data that a coder rejects.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection.archives.sevenzip_header import SevenZipError

COPY, LZMA, LZMA2, DEFLATE, BZIP2 = b"\0", b"\3\1\1", b"\x21", b"\4\1\x08", b"\4\2\2"
KNOWN = frozenset({COPY, LZMA, LZMA2, DEFLATE, BZIP2})
UNHASHED = 0x3F  # instead of a number of rounds: the password itself is the key
ROUNDS_POWER_MOST = 24  # 7-Zip opens nothing above
_DICTIONARY_LEAST = 4096


@dataclass(frozen=True, slots=True)
class Aes:
    """The properties of the AES coder: the key is 2^power rounds of SHA-256 over salt, password and a counter."""

    power: int
    salt: bytes
    vector: bytes

    def key(self, password: str) -> bytes:
        """The key of a password, in one pass over a prepared buffer: a round in Python costs 100 times as much."""
        secret = self.salt + password.encode("utf-16-le", "surrogatepass")
        if self.power == UNHASHED:
            return secret[:32].ljust(32, b"\0")
        digest = hashlib.sha256()
        rounds = 1 << self.power
        stride = len(secret) + 8
        count = min(rounds, 1 << 16)
        buffer = bytearray((secret + bytes(8)) * count)
        at = len(secret)
        buffer[at::stride] = _LOW[:count]
        buffer[at + 1 :: stride] = _SECOND[:count]
        for high in range(rounds >> 16 or 1):
            if high:
                buffer[at + 2 :: stride] = bytes([high & 0xFF]) * count
            digest.update(buffer)
        return digest.digest()


_LOW = bytes(range(256)) * 256  # the two low octets of a counter from 0 to 65,535
_SECOND = b"".join(bytes([octet]) * 256 for octet in range(256))


def read_aes(properties: bytes) -> Aes:
    """The properties of coder 06F10701. Raises where they are cut short."""
    if len(properties) < 2:
        if properties and properties[0] & 0xC0:
            raise SevenZipError("AES properties cut short")
        return Aes(properties[0] & 0x3F if properties else 0, b"", bytes(16))
    first, second = properties[0], properties[1]
    salt = (first >> 7 & 1) + (second >> 4)
    vector = (first >> 6 & 1) + (second & 0x0F)
    if len(properties) != 2 + salt + vector:
        raise SevenZipError("AES properties of another length than they say")
    return Aes(first & 0x3F, properties[2 : 2 + salt], properties[2 + salt :].ljust(16, b"\0"))


def decrypt(data: bytes, key: bytes, vector: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor().update(data)


def run(method: bytes, properties: bytes, data: bytes, size: int) -> bytes:
    """The `size` bytes that the coder makes of `data`. Raises where bytes are left that belong to no content."""
    if method == COPY:
        content, whole = data, True
    elif method == LZMA:
        content, whole = _all_of_lzma(_lzma(method, properties, size), data, size)
    else:
        machine = _machine(method, properties, size)
        content = _decompress(machine, data, size)
        whole = _ended(machine)
    if len(content) != size or not whole:
        raise SevenZipError("coder gives more or less than the header says")
    return content


def begin(method: bytes, properties: bytes, data: bytes, size: int) -> bytes:
    """The first `size` bytes that the coder makes of the beginning of its data."""
    content = data[:size] if method == COPY else _decompress(_machine(method, properties, size), data, size)
    if len(content) != size:
        raise SevenZipError("coder gives less than is asked for")
    return content


def holds_compressed(data: bytes, start: int, end: int) -> bool:
    """True if a stream that only BZip2, LZMA or LZMA2 made begins at a multiple of 16 octets from `start`.

    A header that is itself encrypted hides members that are not, which 7-Zip leaves so when others are added with a
    password. Of random bytes, one in 2^26 passes at `start`, and one place in 2^40 after it. About 2 ms a mebibyte.
    """
    if data.find(_BZIP2_BLOCK, start, end) >= 0:
        return True
    if _decodes(LZMA, data, start, end, _PROVEN_FIRST) or _decodes(LZMA2, data, start, end, _PROVEN_FIRST):
        return True
    # Either begins with a range coder's first octet, 0: that of LZMA2 stands behind the head of its first chunk.
    left = 64 + (end - start) // 512  # random bytes have an eighth as many
    for method, offset in ((LZMA, 0), (LZMA2, 6)):
        for at in _zeros(data, start, end, offset):
            left -= 1
            if left < 0 or _decodes(method, data, at, end, _PROVEN):
                return True
    return False


_PROVEN_FIRST, _PROVEN = 72, 128  # octets of input by which random bytes have failed; each 8 leave a quarter
_SPAN = 1024 * 1024
_BZIP2_BLOCK = b"1AY&SY"


def _zeros(data: bytes, start: int, end: int, offset: int) -> Iterator[int]:
    """The places at multiples of 16 from `start` where the octet at `offset` is 0."""
    for first in range(start, end, _SPAN):
        column = data[first + offset : min(first + _SPAN, end) : 16]
        at = column.find(0)
        while at >= 0:
            yield first + 16 * at
            at = column.find(0, at + 1)


def _decodes(method: bytes, data: bytes, start: int, end: int, proven: int) -> bool:
    """True if the first `proven` octets are read without an error, or a stream ends before."""
    head = data[start : min(start + proven, end)]
    if len(head) < 16 or (head[0] != 0 if method == LZMA else head[0] < 0xE0 or head[6] != 0):
        return False
    machine = _lzma(method, b"\x5d\0\0\1\0" if method == LZMA else b"\x18", 1 << 16)
    try:
        for at in range(0, len(head), 8):
            if len(machine.decompress(head[at : at + 8], 4096)) == 4096 or machine.eof:
                return True
    except lzma.LZMAError:
        return False
    return len(head) == proven


class _Machine(Protocol):
    """What the decompressors of Python have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _machine(method: bytes, properties: bytes, size: int) -> _Machine:
    if method == DEFLATE:
        return zlib.decompressobj(-15)
    if method == BZIP2:
        return bz2.BZ2Decompressor()
    return _lzma(method, properties, size)


def _decompress(machine: _Machine, data: bytes, size: int) -> bytes:
    if not size:
        return b""
    try:
        return machine.decompress(data, size)
    except (lzma.LZMAError, zlib.error, OSError, MemoryError) as error:
        raise SevenZipError("compressed data") from error


def _ended(machine: _Machine) -> bool:
    """True if the data ended with its own end mark, and nothing follows."""
    rest = machine.unconsumed_tail if isinstance(machine, _Inflater) else b""
    return (machine.eof or (not _decompress(machine, rest, 1) and machine.eof)) and not machine.unused_data


_Inflater = type(zlib.decompressobj())


def _all_of_lzma(machine: lzma.LZMADecompressor, data: bytes, size: int) -> tuple[bytes, bool]:
    """The content, and whether all of `data` went into it: LZMA has no end mark as a rule, so the last octets must
    be needed for it.
    """
    content = _decompress(machine, data[:-_LZMA_TAIL], size)
    if len(content) < size:
        return content + _decompress(machine, data[-_LZMA_TAIL:], size - len(content)), True
    return content, not _decompress(machine, data[-_LZMA_TAIL:], 1) and _ended(machine)


_LZMA_TAIL = 6  # octets by which the encoder's last state is written out, of which the decoder may need none


def _lzma(method: bytes, properties: bytes, size: int) -> lzma.LZMADecompressor:
    """A raw decoder. No distance reaches back further than the output, so its dictionary need not either."""
    if method == LZMA:
        if len(properties) != 5:
            raise SevenZipError("LZMA properties")
        packed, dictionary = struct.unpack("<BL", properties)
        rest, lc = divmod(packed, 9)
        pb, lp = divmod(rest, 5)
        chain = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb}
    else:
        if len(properties) != 1 or properties[0] > 40:
            raise SevenZipError("LZMA2 properties")
        dictionary = (2 | properties[0] & 1) << (properties[0] // 2 + 11)
        chain = {"id": lzma.FILTER_LZMA2}
    chain["dict_size"] = max(_DICTIONARY_LEAST, min(dictionary, size))
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain])
    except (lzma.LZMAError, ValueError) as error:
        raise SevenZipError("LZMA properties") from error


def trial_cost(aes: Aes, octets: int) -> int:
    """Nominal microseconds of one trial of a password: the key, and `octets` to decrypt and check."""
    if aes.power == UNHASHED:
        return 50 + octets // 500
    return 50 + ((32 + len(aes.salt)) << min(aes.power, 63)) // 1000 + octets // 500
