"""Does a password open a KeePass database? (KDBX 4: by the HMAC of the header; KDBX 3: by the octets that begin the
content; KeePass 1: by the digest of the content.)

Guarantees: yes only for certain, for databases that need a password and nothing else; what Argon2 may take is
bounded by 128 MiB, and larger ones are not tried. Failures: none beyond what hostile numbers provoke in `opens`,
which the trial takes for no.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from gateway.inspection.limits import Lock

AES_KDF = bytes.fromhex("c9d9f39a628a4460bf740d08c18a4fea")
AES_KDFS = frozenset({AES_KDF, bytes.fromhex("7c02bb8279a74ac0927d114a00648238")})
ARGON2 = {
    bytes.fromhex("ef636ddf8c29444b91f7a9a403e30a0c"): ("Argon2d", Type.D),
    bytes.fromhex("9e298b1956db4773b23dfc3ec6f0a1e6"): ("Argon2id", Type.ID),
}
CHACHA20 = bytes.fromhex("d6038a2b8b6f4cb5a524339a31dbb59a")
_AES_256 = bytes.fromhex("31c1f2e6bf714350be5805216afc5aff")
CIPHERS = {
    _AES_256: "AES-256",
    bytes.fromhex("61ab05a1946441c38d743a563df8dd35"): "AES-128",
    bytes.fromhex("ad68f29f576f4bb9a36ad47af965346c"): "Twofish-256",
    CHACHA20: "ChaCha20",
}

_UNTRIED = 10**12  # nominal microseconds: more than any budget
_MEMORY_MOST = 128 * 1024  # kibibytes
_LANES_MOST = 16
_ARGON2_COST = 1.5  # nominal microseconds for a kibibyte and a pass
_ROUNDS_MOST = 10**8
_ROUND_COST = 0.1  # nominal microseconds for both halves
_STEP = 1 << 16  # rounds at a time
_CONTENT_MOST = 64 * 1024 * 1024
_DECRYPTED = 500  # octets for a nominal microsecond


class KeePassError(ValueError):
    """Off the layout of a KeePass database."""


@dataclass(frozen=True, slots=True)
class Kdf:
    """How a password becomes a key. `rounds`: of AES, or passes of Argon2; `memory` in kibibytes."""

    kind: bytes
    salt: bytes
    rounds: int
    memory: int = 0
    lanes: int = 0
    version: int = 0
    secret: bool = False  # with a secret or associated data, which no password supplies

    @property
    def work(self) -> int:
        return self.memory * self.rounds

    @property
    def words(self) -> str:
        if self.kind not in ARGON2:
            return f"AES-KDF, {self.rounds:,} rounds"
        return f"{ARGON2[self.kind][0]}, {self.rounds:,} passes over {self.memory:,} KiB"

    def cost(self) -> int:
        """Nominal microseconds of one derivation."""
        if self.kind not in ARGON2:
            return 20 + int(self.rounds * _ROUND_COST) if self.rounds <= _ROUNDS_MOST else _UNTRIED
        if self.secret or self.memory > _MEMORY_MOST or not 0 < self.lanes <= _LANES_MOST:
            return _UNTRIED
        return 100 + int(self.work * _ARGON2_COST)

    def derive(self, composite: bytes) -> bytes:
        if self.kind in ARGON2:
            kind = ARGON2[self.kind][1]
            return hash_secret_raw(
                composite, self.salt, self.rounds, self.memory, self.lanes, 32, kind, version=self.version
            )
        return _aes_kdf(composite, self.salt, self.rounds)


@dataclass(frozen=True, slots=True)
class KdbHeader:
    """What the header of a KeePass 1 database says."""

    seed: bytes
    start: bytes
    digest: bytes
    salt: bytes
    rounds: int
    aes: bool


def kdbx4(kdf: Kdf, seed: bytes, header: bytes, tag: bytes) -> Lock:
    """The lock of a KDBX 4 database: the HMAC of its header is made with the password's key."""

    def opens(password: str) -> bool:
        for composite in _composites(password):
            key = hashlib.sha512(seed + kdf.derive(composite) + b"\1").digest()
            key = hashlib.sha512(b"\xff" * 8 + key).digest()
            if hmac.compare_digest(hmac.digest(key, header, "sha256"), tag):
                return True
        return False

    return Lock(kdf.cost(), opens)


def kdbx3(kdf: Kdf, seed: bytes, cipher: bytes, iv: bytes, head: bytes, expected: bytes) -> Lock:
    """The lock of a KDBX 3 database: the first 32 octets of its content stand in the header too."""
    if cipher != _AES_256 or len(iv) != 16:
        return Lock(_UNTRIED, lambda _: False)

    def opens(password: str) -> bool:
        for composite in _composites(password):
            key = hashlib.sha256(seed + kdf.derive(composite)).digest()
            if hmac.compare_digest(Cipher(AES(key), CBC(iv)).decryptor().update(head), expected):
                return True
        return False

    return Lock(kdf.cost(), opens)


def kdb(header: KdbHeader, content: bytes) -> Lock:
    """The lock of a KeePass 1 database: the digest of its content stands in the header."""
    if not header.aes or len(content) > _CONTENT_MOST or header.rounds > _ROUNDS_MOST:
        return Lock(_UNTRIED, lambda _: False)

    def opens(password: str) -> bool:
        composite = hashlib.sha256(password.encode("cp1252", "replace")).digest()
        key = hashlib.sha256(header.seed + _aes_kdf(composite, header.salt, header.rounds)).digest()
        plain = Cipher(AES(key), CBC(header.start)).decryptor().update(content)
        padding = plain[-1]
        return 1 <= padding <= 16 and hashlib.sha256(plain[:-padding]).digest() == header.digest

    return Lock(20 + int(header.rounds * _ROUND_COST) + len(content) // _DECRYPTED, opens)


def _composites(password: str) -> tuple[bytes, ...]:
    """The composite key of a password alone; for the empty one also that of no key at all."""
    alone = hashlib.sha256(hashlib.sha256(password.encode("utf-8", "surrogateescape")).digest()).digest()
    return (alone,) if password else (alone, hashlib.sha256(b"").digest())


def _aes_kdf(composite: bytes, salt: bytes, rounds: int) -> bytes:
    """Both halves encrypted so many times. Zeros in CBC mode make the chain: each block encrypts the one before."""
    halves = []
    for half in (composite[:16], composite[16:]):
        left = rounds
        while left:
            step = min(left, _STEP)
            half = Cipher(AES(salt), CBC(half)).encryptor().update(bytes(16 * step))[-16:]
            left -= step
        halves.append(half)
    return hashlib.sha256(b"".join(halves)).digest()
