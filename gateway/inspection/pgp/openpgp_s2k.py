"""How OpenPGP turns a passphrase into a key (RFC 9580 section 3.7, RFC 4880): what it is worth, and what it costs.

Guarantees: a specifier is read without computing anything; `derive` is bounded where `cost` is below UNTRIED, and
never called otherwise. Failures: PacketError where the specifier runs over the end, or its numbers are impossible.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret_raw

from gateway.inspection.pgp.openpgp_packets import PacketError, octet, take

SIMPLE, SALTED, ITERATED, ARGON2 = 0, 1, 3, 4
UNTRIED = 10**12  # nominal microseconds: more than any budget

# Number of the hash: its name, and nominal microseconds for a mebibyte of it.
_HASHES = {
    1: ("md5", 1500),
    2: ("sha1", 600),
    3: ("ripemd160", 3500),
    8: ("sha256", 700),
    9: ("sha384", 1300),
    10: ("sha512", 1300),
    11: ("sha224", 700),
    12: ("sha3_256", 2100),
    14: ("sha3_512", 5000),
}
_LENGTHS = {SIMPLE: 2, SALTED: 10, ITERATED: 11, ARGON2: 20}  # octets of a specifier
_BUFFER = 64 * 1024  # so that hashing runs at its full speed
# What GnuPG, BouncyCastle and others wrote by default for two decades; less iteration is hardly any.
_OCTETS_LEAST = 65536
_ARGON2_LEAST = 1024  # kibibytes times passes
_ARGON2_MEMORY_MOST = 17  # 2^17 KiB = 128 MiB
_ARGON2_LANES_MOST = 16
_ARGON2_COST = 1.5  # nominal microseconds for a kibibyte and a pass


@dataclass(frozen=True, slots=True)
class S2K:
    """A string-to-key specifier. `count`: octets hashed (iterated), or kibibytes of memory times passes (Argon2)."""

    kind: int
    hash: int = 0
    salt: bytes = b""
    count: int = 0
    passes: int = 0
    lanes: int = 0
    memory: int = 0  # the power of two that is the number of kibibytes

    @property
    def known(self) -> bool:
        return self.kind == ARGON2 or self.hash in _HASHES

    @property
    def is_simple(self) -> bool:
        return self.kind in (SIMPLE, SALTED)

    @property
    def is_short(self) -> bool:
        """True where there is iteration, but less than programs have ever done by default."""
        return not self.is_simple and self.count < (_ARGON2_LEAST if self.kind == ARGON2 else _OCTETS_LEAST)

    def cost(self, octets: int) -> int:
        """Nominal microseconds of one derivation of a key of so many octets; UNTRIED where it is not to be done."""
        if self.kind == ARGON2:
            if self.memory > _ARGON2_MEMORY_MOST or self.lanes > _ARGON2_LANES_MOST:
                return UNTRIED
            return 100 + int(self.count * _ARGON2_COST)
        if self.hash not in _HASHES:
            return UNTRIED
        name, speed = _HASHES[self.hash]
        if name not in hashlib.algorithms_available:
            return UNTRIED
        rounds = -(-octets // hashlib.new(name, usedforsecurity=False).digest_size)
        return 20 + rounds * (5 + self.count * speed // 1_048_576)

    def derive(self, password: bytes, octets: int) -> bytes:
        """The key for a password (RFC 9580 sections 3.7.1.1 to 3.7.1.4)."""
        if self.kind == ARGON2:
            memory = 1 << self.memory
            return hash_secret_raw(password, self.salt, self.passes, memory, self.lanes, octets, Type.ID)
        unit = self.salt + password
        total = max(self.count, len(unit))
        key = b""
        zeros = 0
        while len(key) < octets:
            hasher = hashlib.new(_HASHES[self.hash][0], bytes(zeros), usedforsecurity=False)
            _feed(hasher, unit, total)
            key += hasher.digest()
            zeros += 1
        return key[:octets]


def _feed(hasher: hashlib._Hash, unit: bytes, total: int) -> None:
    """Hashes `unit` over and over, until `total` octets are hashed."""
    if not unit:
        return
    buffer = unit * (min(total, _BUFFER) // len(unit) + 1)
    for _ in range(total // len(buffer)):
        hasher.update(buffer)
    hasher.update(memoryview(buffer)[: total % len(buffer)])


def read(body: bytes, at: int) -> tuple[S2K | None, int]:
    """(the specifier at `at`, None where its kind is not known; where the next thing begins)."""
    kind = octet(body, at)
    if kind not in _LENGTHS:
        return None, at + 1
    given = take(body, at, _LENGTHS[kind])
    after = at + len(given)
    if kind == ARGON2:
        passes, lanes, memory = given[17], given[18], given[19]
        if not passes or not lanes or memory > 31 or 1 << memory < 8 * lanes:
            raise PacketError("Argon2 parameters")
        salt = given[1:17]
        return S2K(kind, 0, salt, passes << memory, passes, lanes, memory), after
    if kind == SIMPLE:
        return S2K(kind, given[1]), after
    coded = given[10] if kind == ITERATED else 0
    count = (16 + (coded & 15)) << ((coded >> 4) + 6) if kind == ITERATED else 0
    return S2K(kind, given[1], given[2:10], count), after
