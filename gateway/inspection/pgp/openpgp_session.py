"""OpenPGP session keys: to whom a message is encrypted, and how well that is done (RFC 9580 sections 5.1 and 5.3).

Guarantees: every octet of a session key packet is accounted for; what should be an encrypted key looks random; an
algorithm that is not known makes the message count as clear. Failures: PacketError off the layout of a packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.inspection.ciphertext import gives_key_away, looks_random
from gateway.inspection.pgp import openpgp_s2k
from gateway.inspection.pgp.openpgp_packets import PacketError, octet, take
from gateway.model import Strength

ANONYMOUS = "openpgp:anonymous"
_LISTED_MOST = 200

RSA_SHORTEST = 248  # octets: a 2048-bit key gives fewer than this once in 2^64 messages
_CURVE_SHORTEST = 32  # octets of a point; a curve of 256 bits has 33 and more
_WRAPPED_LEAST = 24  # octets of a session key under AES key wrap (RFC 3394)
# X25519, X448, ML-KEM-768+X25519, ML-KEM-1024+X448 (draft-ietf-openpgp-pqc): octets that stand before the wrapped key.
_ENCAPSULATED = {25: 32, 26: 56, 35: 32 + 1088, 36: 56 + 1568}
_KYBER = 8  # of LibrePGP, as GnuPG 2.5 writes it: a point, then the octets of the Kyber ciphertext after their number
_KYBER_CIPHERTEXTS = frozenset({768, 1088, 1568})

CIPHERS = {
    1: ("IDEA", True),
    2: ("3DES", True),
    3: ("CAST5", True),
    4: ("Blowfish", True),
    7: ("AES-128", False),
    8: ("AES-192", False),
    9: ("AES-256", False),
    10: ("Twofish-256", False),
    11: ("Camellia-128", False),
    12: ("Camellia-192", False),
    13: ("Camellia-256", False),
}  # name, and whether its 64-bit block makes it weak
KEY_OCTETS = {1: 16, 2: 24, 3: 16, 4: 16, 7: 16, 8: 24, 9: 32, 10: 32, 11: 16, 12: 24, 13: 32}
AEAD_MODES = {1: ("EAX", 16), 2: ("OCB", 15), 3: ("GCM", 12)}  # name, octets of the nonce
AEAD_TAG = 16


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What an SKESK packet says. `esk`: the encrypted session key, with the tag where the version has one."""

    version: int
    cipher: int
    s2k: openpgp_s2k.S2K
    aead: int = 0
    nonce: bytes = b""
    esk: bytes = b""


@dataclass(slots=True)
class Reading:
    """What has been found so far in one message."""

    strength: Strength = Strength.STRONG
    findings: list[str] = field(default_factory=list)
    ciphers: list[str] = field(default_factory=list)
    keys: int = 0
    recipients: dict[str, None] = field(default_factory=dict)
    passphrases: list[Passphrase] = field(default_factory=list)
    by_passphrase: int = 0
    versions: set[int] = field(default_factory=set)  # of the encrypted data, that the session keys belong to

    def lower(self, strength: Strength, finding: str = "") -> None:
        self.strength = min(self.strength, strength)
        if finding and finding not in self.findings:
            self.findings.append(finding)

    def recipient(self, name: str) -> None:
        if len(self.recipients) < _LISTED_MOST:
            self.recipients[name] = None
        elif name not in self.recipients:
            self.lower(Strength.STRONG, "recipients-not-all-listed")

    def cipher(self, number: int) -> None:
        if number not in CIPHERS:
            self.lower(Strength.NONE, "unknown-algorithm")
            return
        name, weak = CIPHERS[number]
        if name not in self.ciphers:
            self.ciphers.append(name)
        if weak:
            self.lower(Strength.WEAK, "short-block-cipher")

    def secret(self, octets: bytes) -> None:
        """What a session key is wrapped in looks random, or it is something else."""
        if not looks_random(octets):
            self.lower(Strength.NONE, "looks-readable")


    def share(self, point: bytes) -> None:
        """An ephemeral public key on Curve25519 or Curve448."""
        if gives_key_away(point):
            self.lower(Strength.NONE, "predictable-key")


# ---------------------------------------------------------------- to public keys


def public_key(body: bytes, reading: Reading) -> None:
    """PKESK (RFC 9580 section 5.1)."""
    reading.keys += 1
    version = octet(body, 0)
    if version in (2, 3):
        recipient, at = take(body, 1, 8), 9
        reading.versions.add(1)
    elif version == 6:
        recipient, at = _fingerprint(body)
        reading.versions.add(2)
    else:
        raise PacketError("version of a session key packet")
    reading.recipient(f"openpgp:{recipient.hex().upper()}" if any(recipient) else ANONYMOUS)
    if _encrypted_session_key(body, at + 1, octet(body, at), version, reading) != len(body):
        raise PacketError("octets after a session key")


def _fingerprint(body: bytes) -> tuple[bytes, int]:
    """(fingerprint, b"" for an anonymous recipient; where the algorithm stands) of a version 6 packet."""
    length = octet(body, 1)
    if not length:
        return b"", 2
    if (length, octet(body, 2)) not in ((21, 4), (33, 6)):
        raise PacketError("fingerprint of a session key packet")
    return take(body, 3, length - 1), 2 + length


def _encrypted_session_key(body: bytes, at: int, algorithm: int, version: int, reading: Reading) -> int:
    """Judges the key that is wrapped; returns where the packet ends."""
    if algorithm in (1, 2, 16):
        return _integers(body, at, algorithm, reading)
    if algorithm in _ENCAPSULATED:
        length = _ENCAPSULATED[algorithm]
        reading.secret(take(body, at, length))
        reading.share(take(body, at, 56 if algorithm in (26, 36) else 32))
        return _wrapped(body, at + length, reading, cipher_inside=version != 6)
    if algorithm == 18:
        return _wrapped(body, _point(body, at, reading), reading, cipher_inside=False)
    if algorithm == _KYBER and version == 3:
        at = _point(body, at, reading)
        length = int.from_bytes(take(body, at, 4), "big")
        if length not in _KYBER_CIPHERTEXTS:
            raise PacketError("length of a Kyber ciphertext")
        reading.secret(take(body, at + 4, length))
        reading.cipher(octet(body, at + 4 + length))
        return _wrapped(body, at + 5 + length, reading, cipher_inside=False)
    reading.lower(Strength.NONE, "unknown-algorithm")
    return len(body)


def _integers(body: bytes, at: int, algorithm: int, reading: Reading) -> int:
    """RSA: one multiprecision integer. ElGamal: two."""
    longest = 0
    for _ in range(2 if algorithm == 16 else 1):
        octets, at = _integer(body, at)
        reading.secret(octets)
        longest = max(longest, len(octets))
    if longest < RSA_SHORTEST:
        reading.lower(Strength.WEAK, "weak-key")
    return at


def _integer(body: bytes, at: int) -> tuple[bytes, int]:
    """(octets of the multiprecision integer at `at`, where the next thing begins)."""
    length = int.from_bytes(take(body, at, 2), "big") + 7 >> 3
    return take(body, at + 2, length), at + 2 + length


def _point(body: bytes, at: int, reading: Reading) -> int:
    """An ephemeral public key on a curve; returns where the next thing begins."""
    point, at = _integer(body, at)
    reading.secret(point)
    if point[:1] == b"\x40" or len(point) in (32, 56):  # Curve25519, Curve448; the prefix is not always there
        reading.share(point.removeprefix(b"\x40") if len(point) in (33, 57) else point)
    if len(point) < _CURVE_SHORTEST:
        reading.lower(Strength.WEAK, "weak-key")
    return at


def _wrapped(body: bytes, at: int, reading: Reading, *, cipher_inside: bool) -> int:
    """A session key under AES key wrap, after its length; X25519 and the like put the cipher before it, in clear."""
    length = octet(body, at)
    wrapped = take(body, at + 1, length)
    if cipher_inside and wrapped:
        reading.cipher(wrapped[0])
        wrapped = wrapped[1:]
    if len(wrapped) < _WRAPPED_LEAST or len(wrapped) % 8:
        raise PacketError("length of a wrapped session key")
    reading.secret(wrapped)
    return at + 1 + length


# ---------------------------------------------------------------- to passphrases


def passphrase(body: bytes, reading: Reading) -> None:
    """SKESK (RFC 9580 section 5.3; version 5 as GnuPG writes it)."""
    reading.by_passphrase += 1
    version = octet(body, 0)
    if version not in (4, 5, 6):
        raise PacketError("version of a passphrase packet")
    reading.versions.add(2 if version == 6 else 1)
    at = 2 if version == 6 else 1
    cipher = octet(body, at)
    reading.cipher(cipher)
    aead = octet(body, at + 1) if version > 4 else 0
    s2k, after = openpgp_s2k.read(body, at + {4: 1, 5: 2, 6: 3}[version])
    reading.lower(Strength.ACCEPTABLE)
    if s2k is None or not s2k.known or cipher not in KEY_OCTETS or (version > 4 and aead not in AEAD_MODES):
        reading.lower(Strength.NONE, "unknown-algorithm")
        return
    nonce = take(body, after, AEAD_MODES[aead][1]) if version > 4 else b""
    if version == 6 and (octet(body, 1) != after + len(nonce) - 2 or octet(body, 4) != after - 5):
        raise PacketError("length of a passphrase packet")
    esk = body[after + len(nonce) :]
    lengths = (0, 17, 25, 33) if version == 4 else (16 + AEAD_TAG, 24 + AEAD_TAG, 32 + AEAD_TAG)
    if len(esk) not in lengths:
        raise PacketError("length of a passphrase packet")
    reading.secret(esk)
    if s2k.is_simple:
        reading.lower(Strength.WEAK, "simple-s2k")
    elif s2k.is_short:
        reading.lower(Strength.ACCEPTABLE, "few-iterations")
    reading.passphrases.append(Passphrase(version, cipher, s2k, aead, nonce, esk))
