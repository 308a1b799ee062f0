"""PDF passwords: does one open a document of the standard security handler (ISO 32000-2 section 7.6.4)?

Guarantees: the user and the owner password of revisions 2 to 7 are checked against the values the document carries
for that (16 octets and more), in every encoding that programs use; work is bounded by the algorithms, not by the
document. Failures: PdfSyntaxError for values too short to be checked against.
"""

from __future__ import annotations

import hashlib
import stringprep
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection.pdf.pdf_syntax import Name, PdfSyntaxError, Value, number

# Algorithm 2, step a: what a shorter password is filled up with.
_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
_LONGEST_OLD = 32
_BLOCK = 16
_IDENTIFIERS_MOST = 4
_LONGEST_NEW = 127
_HASHED_REVISIONS = (5, 6, 7)
_ARC4_OCTETS = frozenset({5, 7, 8, 10, 16, 20, 24, 32})

# Nominal microseconds of one trial as user and as owner, one encoding, measured.
_COST = {2: 100, 3: 400, 4: 750, 5: 20, 6: 2_500, 7: 2_500}

# Where PDFDocEncoding differs from ISO 8859-1 (ISO 32000-2 annex D.2).
_PDF_DOC = {
    ord(character): octet
    for octet, character in (
        *enumerate("\u02d8\u02c7\u02c6\u02d9\u02dd\u02db\u02da\u02dc", 0x18),
        *enumerate("\u2022\u2020\u2021\u2026\u2014\u2013\u0192\u2044\u2039\u203a\u2212\u2030\u201e\u201c\u201d", 0x80),
        *enumerate("\u2018\u2019\u201a\u2122\ufb01\ufb02\u0141\u0152\u0160\u0178\u017d\u0131\u0142\u0153", 0x8F),
        *enumerate("\u0161\u017e", 0x9D),
        (0xA0, "\u20ac"),
    )
}


@dataclass(frozen=True, slots=True)
class Keeper:
    """What a document keeps to check passwords against. `identifiers`: the first /ID of every trailer."""

    revision: int
    user: bytes
    owner: bytes
    permissions: int
    key_octets: tuple[int, ...]  # lengths of the file key that readers may take, revisions 2 to 4
    identifiers: tuple[bytes, ...]
    wrapped: tuple[bytes, bytes] = (b"", b"")  # the file key under the user's and the owner's password, from revision 5
    permissions_sealed: bytes = b""  # /Perms: under the file key, with fixed octets in it

    @property
    def cost(self) -> int:
        """Nominal microseconds of one trial."""
        cost = _COST[self.revision]
        return cost if self.revision in _HASHED_REVISIONS else cost * len(self.key_octets) * len(self.identifiers)

    def opens(self, password: str) -> bool:
        """True if the password opens the document, as that of the user or of the owner."""
        if self.revision in _HASHED_REVISIONS:
            return any(self._opens_hashed(octets) for octets in _new_encodings(password))
        return any(self._opens_old(octets) for octets in _old_encodings(password))

    def _opens_hashed(self, password: bytes) -> bool:
        """Algorithms 11 and 12; revision 7 checks as revision 6 does (ISO/TS 32003)."""
        digest = _hash_2b if self.revision != 5 else _hash_r5
        user, owner = self.user[:48], self.owner[:48]
        if digest(password, user[32:40], b"") == user[:32]:
            return True
        return digest(password, owner[32:40], user) == owner[:32]

    def unlocks_nevertheless(self) -> bool:
        """True if the empty password yields the file key although what it is checked against is damaged (/Perms)."""
        if self.revision not in _HASHED_REVISIONS or len(self.permissions_sealed) < _BLOCK:
            return False
        digest = _hash_2b if self.revision != 5 else _hash_r5
        for salt, user, wrapped in (
            (self.user[40:48], b"", self.wrapped[0]),
            (self.owner[40:48], self.user[:48], self.wrapped[1]),
        ):
            if len(wrapped) < 2 * _BLOCK:
                continue
            unwrap = Cipher(algorithms.AES(digest(b"", salt, user)), modes.CBC(bytes(_BLOCK))).decryptor()
            key = unwrap.update(wrapped[: 2 * _BLOCK])
            sealed = self.permissions_sealed[:_BLOCK]
            if Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(sealed)[9:12] == b"adb":
                return True
        return False

    def _opens_old(self, password: bytes) -> bool:
        """Algorithms 6 and 7."""
        candidates = dict.fromkeys((_padded(password),))
        for octets in self.key_octets:
            candidates[self._user_from_owner(_padded(password), octets)] = None
        return any(
            self._is_user(padded, octets, identifier, metadata_clear=clear)
            for padded in candidates
            for octets in self.key_octets
            for identifier in self.identifiers
            for clear in ((False, True) if self.revision >= 4 else (False,))
        )

    def _user_from_owner(self, padded: bytes, octets: int) -> bytes:
        """Algorithm 7, steps a and b: the user password that /O keeps under the owner password."""
        key = hashlib.md5(padded, usedforsecurity=False).digest()
        if self.revision == 2:
            return _rc4(key[:5], self.owner[:32])
        for _ in range(50):
            key = hashlib.md5(key, usedforsecurity=False).digest()
        return _rc4_rounds(key[:octets], self.owner[:32], range(19, -1, -1))

    def _is_user(self, padded: bytes, octets: int, identifier: bytes, *, metadata_clear: bool) -> bool:
        """Algorithm 2 for the file key, then algorithm 4 or 5 for what /U must be."""
        seed = padded + self.owner[:32] + (self.permissions & 0xFFFFFFFF).to_bytes(4, "little") + identifier
        key = hashlib.md5(seed + (b"\xff" * 4 if metadata_clear else b""), usedforsecurity=False).digest()
        if self.revision == 2:
            return _rc4(key[:5], _PADDING) == self.user[:32]
        for _ in range(50):
            key = hashlib.md5(key[:octets], usedforsecurity=False).digest()
        check = hashlib.md5(_PADDING + identifier, usedforsecurity=False).digest()
        return _rc4_rounds(key[:octets], check, range(20)) == self.user[:16]


def keeper(encrypt: dict[bytes, Value], identifiers: Iterable[bytes]) -> Keeper:
    """What the encryption dictionary keeps. Raises PdfSyntaxError where it is incomplete."""
    revision = number(encrypt.get(b"R"))
    user, owner = encrypt.get(b"U"), encrypt.get(b"O")
    if revision not in _COST or not isinstance(user, bytes) or not isinstance(owner, bytes):
        raise PdfSyntaxError("no passwords to check against")
    least = 48 if revision in _HASHED_REVISIONS else 32
    if isinstance(user, Name) or isinstance(owner, Name) or len(user) < least or len(owner) < least:
        raise PdfSyntaxError("passwords cut short")
    lengths = _key_octets(encrypt, revision) if revision in (3, 4) else (5,)
    known = tuple(dict.fromkeys(identifiers))
    if len(known) > _IDENTIFIERS_MOST:
        raise PdfSyntaxError("too many file identifiers")
    wrapped = (_octets(encrypt.get(b"UE")), _octets(encrypt.get(b"OE")))
    permissions = number(encrypt.get(b"P"))
    return Keeper(revision, user, owner, permissions, lengths, known, wrapped, _octets(encrypt.get(b"Perms")))


def _octets(value: Value) -> bytes:
    return value if isinstance(value, bytes) and not isinstance(value, Name) else b""


def _key_octets(encrypt: dict[bytes, Value], revision: int) -> tuple[int, ...]:
    """/Length is in bits, in octets where a program errs, or missing: every length that some reader may take."""
    stated = number(encrypt.get(b"Length"))
    found = [stated // 8] if stated >= 40 else [stated] if 5 <= stated <= 16 else []
    found += [16] if revision == 4 or stated > 128 else []
    found += [] if found else [5, 16]
    return tuple(dict.fromkeys(min(max(octets, 5), 16) for octets in found))


# ---------------------------------------------------------------- encodings of passwords


def _old_encodings(password: str) -> Iterator[bytes]:
    """PDFDocEncoding as prescribed, and UTF-8 as many programs write; one encoding for a plain word."""
    octets = [_PDF_DOC.get(ord(character), ord(character)) for character in password]
    utf8 = password.encode("utf-8", "replace")
    if max(octets, default=0) < 256:
        yield bytes(octets)
        latin = password.encode("latin-1", "ignore")
        if len(latin) == len(octets) and latin != bytes(octets):
            yield latin
    if utf8 != bytes(octet & 0xFF for octet in octets):
        yield utf8


def _new_encodings(password: str) -> Iterator[bytes]:
    """UTF-8 after SASLprep (RFC 4013), and without it where that differs; 127 octets count."""
    plain = password.encode("utf-8", "replace")[:_LONGEST_NEW]
    yield plain
    if password.isascii():
        return
    kept = (
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.normalize("NFKC", "".join(kept)).encode("utf-8", "replace")[:_LONGEST_NEW]
    if prepared != plain:
        yield prepared


def _padded(password: bytes) -> bytes:
    return (password[:_LONGEST_OLD] + _PADDING)[:32]


# ---------------------------------------------------------------- hashes and ciphers


def _hash_r5(password: bytes, salt: bytes, user: bytes) -> bytes:
    return hashlib.sha256(password + salt + user).digest()


def _hash_2b(password: bytes, salt: bytes, user: bytes) -> bytes:
    """Algorithm 2.B: 64 rounds and more; bounded because a round's last octet ends it but for 1 in 8 past the 64th."""
    key = hashlib.sha256(password + salt + user).digest()
    round_number, last = 0, 0
    while round_number < 64 or last > round_number - 32:
        encryptor = Cipher(algorithms.AES(key[:16]), modes.CBC(key[16:32])).encryptor()
        block = encryptor.update((password + key + user) * 64)
        key = (hashlib.sha256, hashlib.sha384, hashlib.sha512)[sum(block[:16]) % 3](block).digest()
        last = block[-1]
        round_number += 1
    return key[:32]


def _rc4_rounds(key: bytes, data: bytes, rounds: Iterable[int]) -> bytes:
    for mask in rounds:
        data = _rc4(bytes(octet ^ mask for octet in key), data)
    return data


def _rc4(key: bytes, data: bytes) -> bytes:
    if len(key) in _ARC4_OCTETS:
        return Cipher(ARC4(key), None).encryptor().update(data)
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 0xFF
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for octet in data:
        i = (i + 1) & 0xFF
        j = (j + state[i]) & 0xFF
        state[i], state[j] = state[j], state[i]
        out.append(octet ^ state[(state[i] + state[j]) & 0xFF])
    return bytes(out)
