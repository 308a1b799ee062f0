"""Passwords tried on an encrypted OpenDocument member (ODF 1.3 part 2, section 4.8; LibreOffice for Argon2id and GCM).

Guarantees: a password opens a member only if the checksum of its first kibibyte fits (20 or 32 octets), or the GCM
tag does, or a long stretch of it inflates. Argon2id takes at most 128 MiB. Failures: none raised by making a lock.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish, TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection.limits import Lock

ARGON2_MEMORY_MOST = 128 * 1024  # KiB
_ARGON2_COST = 1.5  # microseconds for each KiB and pass
_PBKDF2_COST = 0.28  # microseconds for each round and block of 20 octets
_DIGESTED = 1024  # octets of a member that its checksum is of
_DECRYPTED = _DIGESTED + 32  # and the padding behind them, where the member ends there
_GCM_MOST = 8 * 1024 * 1024
_PROOF = 4096
_INFLATED_LEAST = 256
_TAG, _NONCE = 16, 12
_DIGESTS: dict[str, Callable[[bytes], hashlib._Hash]] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a member is encrypted, in terms of this module."""

    cipher: str  # "aes-cbc", "aes-gcm", "blowfish-cfb", "3des-cbc"
    key_size: int  # octets
    iv: bytes
    salt: bytes
    start_key: str  # "sha1" or "sha256"
    derivation: str  # "pbkdf2" or "argon2id"
    rounds: int
    memory: int = 0  # KiB
    lanes: int = 0
    checksum: bytes = b""
    checksum_type: str = ""  # "sha1" or "sha256", of the first kibibyte


def lock(data: bytes, span: tuple[int, int], encryption: Encryption) -> Lock | None:
    """None where a trial would take more memory than inspection may."""
    if encryption.derivation == "argon2id":
        if not 8 <= encryption.memory <= ARGON2_MEMORY_MOST or not 1 <= encryption.lanes <= 16 or encryption.rounds < 1:
            return None
        cost = int(encryption.rounds * encryption.memory * _ARGON2_COST)
    else:
        blocks = -(-encryption.key_size // 20)
        cost = int(max(1, encryption.rounds) * blocks * _PBKDF2_COST)
    return Lock(cost + 20, lambda password: _opens(data, span, encryption, password))


def _opens(data: bytes, span: tuple[int, int], encryption: Encryption, password: str) -> bool:
    words = [password.encode("utf-8", "surrogatepass")]
    if encryption.start_key == "sha1" and not password.isascii():  # early versions took the code page of Windows
        words.append(password.encode("cp1252", "replace"))
    return any(_fits(data, span, encryption, _derive(encryption, word)) for word in words)


def _derive(encryption: Encryption, password: bytes) -> bytes:
    start = _DIGESTS[encryption.start_key](password).digest()
    if encryption.derivation == "pbkdf2":
        return hashlib.pbkdf2_hmac("sha1", start, encryption.salt, encryption.rounds, encryption.key_size)
    return hash_secret_raw(
        start,
        encryption.salt,
        encryption.rounds,
        encryption.memory,
        encryption.lanes,
        encryption.key_size,
        Type.ID,
    )


def _fits(data: bytes, span: tuple[int, int], encryption: Encryption, key: bytes) -> bool:
    start, end = span
    if encryption.cipher == "aes-gcm":
        if data[start : start + _NONCE] == encryption.iv:  # LibreOffice puts it in front, as XML Encryption says
            start += _NONCE
        return _tag_fits(data, start, end, encryption.iv, key)
    octets = data[start : min(end, start + (_DECRYPTED if encryption.checksum else _PROOF))]
    whole = start + len(octets) == end
    if encryption.cipher == "blowfish-cfb":
        clear = Cipher(Blowfish(key), CFB(encryption.iv)).decryptor().update(octets)
    else:
        block = algorithms.AES(key) if encryption.cipher == "aes-cbc" else TripleDES(key)
        octets = octets[: len(octets) // 16 * 16]
        clear = Cipher(block, modes.CBC(encryption.iv)).decryptor().update(octets)
        if whole and clear and 1 <= clear[-1] <= 16:
            clear = clear[: -clear[-1]]
    if encryption.checksum:
        return _DIGESTS[encryption.checksum_type](clear[:_DIGESTED]).digest() == encryption.checksum
    return _inflates(clear)


def _tag_fits(data: bytes, start: int, end: int, iv: bytes, key: bytes) -> bool:
    """By the tag where that is not too long; else by what the beginning inflates to."""
    if end - start < _TAG:
        return False
    decryptor = Cipher(algorithms.AES(key), modes.GCM(iv, data[end - _TAG : end])).decryptor()
    if end - start > _GCM_MOST:
        return _inflates(decryptor.update(data[start : start + _PROOF]))
    decryptor.update(memoryview(data)[start : end - _TAG])
    try:
        decryptor.finalize()
    except InvalidTag:
        return False
    return True


def _inflates(clear: bytes) -> bool:
    """True if this begins as DEFLATE of some length: random octets do so once in thousands of millions."""
    try:
        content = zlib.decompressobj(-15).decompress(clear, 1024 * 1024)
    except zlib.error:
        return False
    return len(content) >= max(_INFLATED_LEAST, len(clear) // 2)
