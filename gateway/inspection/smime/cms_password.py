"""Trying a password on a CMS message that was encrypted for one (RFC 3211, RFC 8018, RFC 7914).

Guarantees: a password opens only where the check octets of the wrapped key agree, the key has the length of its
cipher, and the content's padding or authentication tag is right: less than one chance in 2^39. The cost of a trial
follows from the parameters alone; parameters that ask for much memory make the lock too dear to be tried.
Failures: none raised by `locks`; `opens` may raise on hostile data, as its caller expects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher as Machine
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from gateway.inspection.limits import Lock
from gateway.inspection.smime.cms_algorithms import PBKDF2, Cipher, oid
from gateway.inspection.smime.cms_recipients import Password

_HASHES: dict[bytes, tuple[str, int, float]] = {  # name, octets of a block, microseconds of one iteration
    b"": ("sha1", 20, 0.4),
    oid("1.2.840.113549.2.7"): ("sha1", 20, 0.4),
    oid("1.2.840.113549.2.8"): ("sha224", 28, 0.45),
    oid("1.2.840.113549.2.9"): ("sha256", 32, 0.45),
    oid("1.2.840.113549.2.10"): ("sha384", 48, 1.1),
    oid("1.2.840.113549.2.11"): ("sha512", 64, 1.1),
}
_SCRYPT_MEMORY = 64 * 1024 * 1024
_SCRYPT_COST = 0.004  # microseconds for each octet of memory and each p
_UNWRAP = 30  # microseconds besides the derivation
_NEVER = 1 << 62  # more than any account holds
_TAG_CHECKED_MOST = 32 * 1024 * 1024  # of a larger content the key alone is checked
_PADDING_MOST = 16


@dataclass(frozen=True, slots=True)
class Content:
    """What the content key would decrypt. `associated`: what the tag covers beside it."""

    cipher: Cipher
    vector: bytes
    data: bytes
    associated: bytes = b""
    tag: bytes = b""


def locks(passwords: list[Password], content: Content) -> list[Lock]:
    """A lock for every recipient whose password can be tried."""
    return [Lock(_cost(known), _opener(known, content)) for known in passwords if _triable(known, content)]


def _triable(known: Password, content: Content) -> bool:
    aes = known.cipher.name.startswith("AES") and known.cipher.key > 0
    return (
        (aes or known.cipher.name == "3DES-CBC")
        and len(known.wrapped) % known.cipher.block == 0
        and (content.cipher.key > 0 and known.prf in _HASHES and len(known.wrapped) >= 2 * known.cipher.block)
    )


def _cost(known: Password) -> int:
    if known.derivation == PBKDF2:
        _, block, microseconds = _HASHES[known.prf]
        rounds = known.numbers[0] if known.numbers else 0
        if not 0 < rounds < 1 << 31:
            return _NEVER
        return _UNWRAP + int(rounds * microseconds * -(-known.cipher.key // block))
    if len(known.numbers) < 3 or any(not 0 < number < 1 << 31 for number in known.numbers):
        return _NEVER
    cost, block_size, parallel = known.numbers[:3]
    memory = 128 * cost * block_size
    if memory > _SCRYPT_MEMORY:
        return _NEVER
    return _UNWRAP + int(memory * parallel * _SCRYPT_COST)


def _opener(known: Password, content: Content) -> Callable[[str], bool]:
    def opens(password: str) -> bool:
        key = _unwrap(known, _derive(known, password.encode("utf-8", "surrogatepass")))
        return key is not None and len(key) == content.cipher.key and _fits(content, key)

    return opens


def _derive(known: Password, password: bytes) -> bytes:
    size = known.cipher.key
    if known.derivation == PBKDF2:
        name = _HASHES[known.prf][0]
        return hashlib.pbkdf2_hmac(name, password, known.salt, known.numbers[0], size)
    n, r, p = known.numbers[:3]
    return hashlib.scrypt(password, salt=known.salt, n=n, r=r, p=p, maxmem=2 * _SCRYPT_MEMORY, dklen=size)


def _unwrap(known: Password, key: bytes) -> bytes | None:
    """RFC 3211 section 2.3.2: the last block is the vector of the first pass, which gives that of the second."""
    if known.cipher.mode == "wrap":
        return _unwrap_checked(known.wrapped, key)
    size = known.cipher.block
    made = TripleDES(key) if known.cipher.name == "3DES-CBC" else algorithms.AES(key)
    wrapped = known.wrapped
    first = Machine(made, modes.CBC(wrapped[-2 * size : -size])).decryptor()
    last = first.update(wrapped[-size:]) + first.finalize()
    inner = Machine(made, modes.CBC(last)).decryptor()
    head = inner.update(wrapped[:-size]) + inner.finalize() + last
    outer = Machine(made, modes.CBC(known.iv)).decryptor()
    plain = outer.update(head) + outer.finalize()
    length = plain[0]
    if length < 8 or 4 + length > len(plain) or len(plain) - 4 - length >= 2 * size:
        return None
    if any(plain[1 + at] ^ plain[4 + at] != 0xFF for at in range(3)):
        return None
    return plain[4 : 4 + length]


def _unwrap_checked(wrapped: bytes, key: bytes) -> bytes | None:
    """RFC 3394, whose check value has 64 bits."""
    try:
        return aes_key_unwrap(key, wrapped)
    except InvalidUnwrap:
        return None


def _fits(content: Content, key: bytes) -> bool:
    """Does the key decrypt the content? A cipher that cannot be tried here is taken at the key's word."""
    mode = content.cipher.mode
    aes = content.cipher.name.startswith("AES")
    if mode == "cbc" and (aes or content.cipher.name == "3DES-CBC"):
        return _padding_fits(content, algorithms.AES(key) if aes else TripleDES(key))
    if len(content.data) > _TAG_CHECKED_MOST:
        return True
    try:
        if mode == "gcm":
            given = modes.GCM(content.vector, content.tag, min_tag_length=4)
            machine = Machine(algorithms.AES(key), given).decryptor()
            machine.authenticate_additional_data(content.associated)
            machine.update(content.data)
            machine.finalize()
        elif mode == "ccm":
            sealed = content.data + content.tag
            AESCCM(key, len(content.tag)).decrypt(content.vector, sealed, content.associated)
        elif mode == "chacha":
            ChaCha20Poly1305(key).decrypt(content.vector, content.data + content.tag, content.associated)
    except InvalidTag:
        return False
    return True


def _padding_fits(content: Content, made: algorithms.AES | TripleDES) -> bool:
    size = content.cipher.block
    before = content.data[-2 * size : -size] or content.vector
    machine = Machine(made, modes.CBC(before)).decryptor()
    last = machine.update(content.data[-size:]) + machine.finalize()
    count = last[-1]
    return 0 < count <= min(size, _PADDING_MOST) and last.endswith(bytes((count,)) * count)
