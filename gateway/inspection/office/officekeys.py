"""The ways in which Office turns passwords into keys (MS-OFFCRYPTO 2.3): CryptoAPI, 40-bit RC4, XOR, agile.

Guarantees: each function does a fixed, small amount of work beside the rounds that it is given. Failures:
`OfficeError` for structures that are cut short or contradict themselves.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection.office.compound import readable

DEFAULT_PASSWORDS = ("VelvetSweatshop", "/01Hannes Ruescher/01")
"""Passwords that Excel and PowerPoint try by themselves (MS-OFFCRYPTO 2.3.7.3 and MS-XLS 2.4.117)."""

AES_BITS = {0x660E: 128, 0x660F: 192, 0x6610: 256}
RC4 = 0x6801
STANDARD_SPINS = 50_000
_SHORT_RC4_COST = 40  # nominal microseconds of one trial: a few digests, and RC4 over two short strings
_PROVIDER = re.compile(r"Microsoft [A-Za-z0-9 ().,/-]{1,100}")

Digest = Callable[[bytes], "hashlib._Hash"]


class OfficeError(ValueError):
    """Not as MS-OFFCRYPTO says."""


@dataclass(frozen=True, slots=True)
class CryptoApi:
    """EncryptionHeader and EncryptionVerifier (MS-OFFCRYPTO 2.3.2, 2.3.3). `end` is where they end in their stream."""

    flags: int
    algorithm: int
    bits: int
    provider: str
    salt: bytes
    verifier: bytes
    verifier_digest: bytes
    end: int

    @property
    def says_more(self) -> bool:
        """True if the provider is none of Microsoft's, or what should be random is text."""
        named = not self.provider or _PROVIDER.fullmatch(self.provider) is not None
        return not named or readable(self.salt + self.verifier + self.verifier_digest)


def read_cryptoapi(info: bytes) -> CryptoApi:
    """Reads what follows the version: flags, header, verifier. `info` begins with the version."""
    if len(info) < 12 + 32:
        raise OfficeError("EncryptionHeader cut short")
    size = struct.unpack_from("<I", info, 8)[0]
    if not 32 <= size <= 4096 or len(info) < 12 + size + 40:
        raise OfficeError("EncryptionHeader cut short")
    flags, _, algorithm, _, bits = struct.unpack_from("<5I", info, 12)
    provider = info[12 + 32 : 12 + size].decode("utf-16-le", "replace").rstrip("\0")
    at = 12 + size
    if struct.unpack_from("<I", info, at)[0] != 16:
        raise OfficeError("size of the salt")
    salt, verifier = info[at + 4 : at + 20], info[at + 20 : at + 36]
    length = struct.unpack_from("<I", info, at + 36)[0]
    stored = 20 if algorithm == RC4 else 32
    if length != 20 or len(info) < at + 40 + stored:
        raise OfficeError("size of the verifier's digest")
    digest = info[at + 40 : at + 40 + stored]
    return CryptoApi(flags, algorithm, bits, provider, salt, verifier, digest, at + 40 + stored)


def spin(digest: Digest, salt: bytes, password: str, rounds: int) -> bytes:
    """The password hashed `rounds` times over (MS-OFFCRYPTO 2.3.4.7, 2.3.4.11)."""
    value = digest(salt + password.encode("utf-16-le", "replace")).digest()
    for number in map(struct.Struct("<I").pack, range(rounds)):
        value = digest(number + value).digest()
    return value


def spin_cost(rounds: int) -> int:
    """Nominal microseconds of `spin`."""
    return _SHORT_RC4_COST + rounds * 8 // 10


# ---------------------------------------------------------------- AES of the standard encryption


def standard_key(salt: bytes, password: str, bits: int) -> bytes:
    """The AES key of ECMA-376 standard encryption (MS-OFFCRYPTO 2.3.4.7)."""
    last = hashlib.sha1(spin(hashlib.sha1, salt, password, STANDARD_SPINS) + b"\0\0\0\0").digest()
    padded = last.ljust(64, b"\0")
    inner, outer = (hashlib.sha1(bytes(octet ^ pad for octet in padded)).digest() for pad in (0x36, 0x5C))
    return (inner + outer)[: bits // 8]


def aes_ecb(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(data)


# ---------------------------------------------------------------- RC4


def rc4(key: bytes, data: bytes) -> bytes:
    return Cipher(ARC4(key), None).decryptor().update(data)


def cryptoapi_rc4_key(api: CryptoApi, password: str, block: int = 0) -> bytes:
    """The RC4 key of a block (MS-OFFCRYPTO 2.3.5.2)."""
    first = hashlib.sha1(api.salt + password.encode("utf-16-le", "replace")).digest()
    bits = api.bits or 40
    key = hashlib.sha1(first + struct.pack("<I", block)).digest()[: bits // 8]
    return key.ljust(16, b"\0") if bits == 40 else key


def opens_cryptoapi_rc4(api: CryptoApi, password: str) -> bool:
    """True if the password yields the verifier's SHA-1 digest (MS-OFFCRYPTO 2.3.5.6)."""
    plain = rc4(cryptoapi_rc4_key(api, password), api.verifier + api.verifier_digest)
    return hashlib.sha1(plain[:16]).digest() == plain[16:36]


def short_rc4_key(salt: bytes, password: str, block: int = 0) -> bytes:
    """The key of a block of 40-bit RC4 (MS-OFFCRYPTO 2.3.6.2)."""
    first = hashlib.md5(password.encode("utf-16-le", "replace")).digest()[:5]
    second = hashlib.md5((first + salt) * 16).digest()[:5]
    return hashlib.md5(second + struct.pack("<I", block)).digest()


def opens_short_rc4(header: bytes, password: str) -> bool:
    """`header` holds salt, encrypted verifier and its encrypted MD5 digest, 16 octets each (2.3.6.1, 2.3.6.4)."""
    plain = rc4(short_rc4_key(header[:16], password), header[16:48])
    return hashlib.md5(plain[:16]).digest() == plain[16:32]


RC4_COST = _SHORT_RC4_COST


# ---------------------------------------------------------------- XOR obfuscation

_XOR_INITIAL = bytes.fromhex("e1f01d0fcc9c84c0110c0e10f1ce313e1872e139d40f84f9280ca96a4ec3")
_XOR_MATRIX = bytes.fromhex(
    "aefc4dd99bb227454e8a9d142a097b61f6c2fda5eb6bc6f79dcf2bbf45638ac605ad0b5a16b42d685ad0"
    "037506ea0dd41ba837506ea0dd40d849a0b35147a28e553daa7a44d56f45de8aad354a4b9496390d721a"
    "eb23c6679cef29ff53fea7fc5fd947d38fa60f6d1eda3db47b68f6d0b86160e3c1c693ad377b6ef6ddec"
    "45a08b4006a10d421a8435086a10aa5144838906022d045a08b4116876b4ed68caf185c31ba7374e6e9c"
    "37306e60dcc0a9a1436386c61dad33316662ccc489a9037306e60dcc1021204240848108123124624 8c4".replace(" ", "")
)
_XOR_LONGEST = 15
XOR_COST = 40


def xor_pair(password: str) -> tuple[int, int]:
    """Key and verifier of a password for XOR obfuscation (MS-OFFCRYPTO 2.3.7.1, 2.3.7.2); (-1, -1) if too long."""
    octets = password.encode("cp1252", "replace")
    if not 1 <= len(octets) <= _XOR_LONGEST:
        return -1, -1
    verifier = 0
    for octet in (*reversed(octets), len(octets)):
        verifier = ((verifier >> 14 & 1) | (verifier << 1 & 0x7FFF)) ^ octet
    key = int.from_bytes(_XOR_INITIAL[2 * len(octets) - 2 : 2 * len(octets)], "big")
    element = len(_XOR_MATRIX) // 2
    for octet in reversed(octets):
        for bit in range(7):
            element -= 1
            if octet & (0x40 >> bit):
                key ^= int.from_bytes(_XOR_MATRIX[2 * element : 2 * element + 2], "big")
    return key, verifier ^ 0xCE4B
