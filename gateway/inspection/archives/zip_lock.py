"""Passwords tried on members of a ZIP archive: WinZip AES (AE-1, AE-2) and the original ZIP encryption.

Guarantees: a password opens a member only if the HMAC over all of its ciphertext fits (WinZip AES), or all of it
decrypts and expands to what its CRC-32 says (ZipCrypto). Costs are fixed beforehand. Failures: none raised.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Callable, Iterable

from gateway.inspection.archives.zip_directory import Member
from gateway.inspection.limits import Lock

_ROUNDS = 1000
_TRIAL_COST = {1: 750, 2: 800, 3: 1050}  # microseconds by key size: PBKDF2 of 34, 50 or 66 octets
_HMAC_RATE = 500  # octets that HMAC-SHA1 takes in a microsecond
_CHANCE = 65536  # the check value lets one wrong password in so many through to the HMAC
_CRYPTO_MOST = 32 * 1024  # octets of a ZipCrypto member that is decrypted
_EXPANDED_MOST = 1024 * 1024  # octets that it expands to
_MEMBERS_MOST = 16


def _crc_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ 0xEDB88320 * (octet & 1)
        table.append(octet)
    return tuple(table)


_CRC_TABLE = _crc_table()


def spellings(password: str) -> tuple[bytes, ...]:
    """The octets that programs make of a password: UTF-8, or the code page of a DOS or Windows system."""
    found = [password.encode("utf-8", "surrogatepass")]
    if not password.isascii():
        found += [password.encode(page) for page in ("cp437", "cp1252") if _fits(password, page)]
    return tuple(dict.fromkeys(found))


def _fits(password: str, page: str) -> bool:
    return password == password.encode(page, "ignore").decode(page)


def locks(data: bytes, members: Iterable[tuple[Member, tuple[int, int], int]]) -> list[Lock]:
    """Locks for an archive's encrypted members, given with their span and AES key size (1 to 3; 0 for ZipCrypto).

    The smallest member is tried with every candidate, up to 15 others together with what effort is left.
    """
    ordered = sorted(members, key=lambda entry: (entry[1][1] - entry[1][0], entry[0].offset))
    single = [lock for entry in ordered if (lock := _lock(data, *entry))][:_MEMBERS_MOST]
    if len(single) < 2:
        return single
    rest = [lock.opens for lock in single[1:]]
    return [single[0], Lock(sum(lock.cost for lock in single[1:]), _any(rest))]


def _any(tests: list[Callable[[str], bool]]) -> Callable[[str], bool]:
    return lambda password: any(test(password) for test in tests)


def _lock(data: bytes, member: Member, span: tuple[int, int], key_size: int) -> Lock | None:
    octets = span[1] - span[0]
    if key_size:
        cost = _TRIAL_COST[key_size] + octets // _HMAC_RATE // _CHANCE
        return Lock(cost, lambda password: any(_aes_opens(data, span, key_size, word) for word in spellings(password)))
    if not 12 <= octets <= _CRYPTO_MOST or member.method not in (0, 8) or member.size > _EXPANDED_MOST:
        return None
    cost = 30 + octets // 128  # an octet a microsecond, where one of the two values that are checked fits
    return Lock(cost, lambda password: any(_crypto_opens(data, member, span, word) for word in spellings(password)))


def _aes_opens(data: bytes, span: tuple[int, int], key_size: int, password: bytes) -> bool:
    """WinZip AES: salt, check value of two octets, ciphertext, ten octets of HMAC-SHA1 over the ciphertext."""
    key, salt = 8 + 8 * key_size, 4 + 4 * key_size
    start, end = span
    derived = hashlib.pbkdf2_hmac("sha1", password, data[start : start + salt], _ROUNDS, 2 * key + 2)
    if derived[2 * key :] != data[start + salt : start + salt + 2]:
        return False
    code = hmac.new(derived[key : 2 * key], memoryview(data)[start + salt + 2 : end - 10], hashlib.sha1).digest()
    return code[:10] == data[end - 10 : end]


def _crypto_opens(data: bytes, member: Member, span: tuple[int, int], password: bytes) -> bool:
    """The original encryption (APPNOTE 6.1): three keys, a header of twelve octets, the last of which is checked."""
    cipher = _ZipCrypto(password)
    header = cipher.decrypt(data[span[0] : span[0] + 12])
    if header[11] not in (member.crc >> 24, member.time >> 8):  # the time where bit 3 is set (APPNOTE 6.1.6)
        return False
    content = cipher.decrypt(data[span[0] + 12 : span[1]])
    if member.method == 8:
        inflater = zlib.decompressobj(-15)
        try:
            content = inflater.decompress(content, member.size + 1)
        except zlib.error:
            return False
    return len(content) == member.size and zlib.crc32(content) == member.crc


class _ZipCrypto:
    """The three keys of the original ZIP encryption."""

    def __init__(self, password: bytes) -> None:
        self._keys = (0x12345678, 0x23456789, 0x34567890)
        self._advance(password)

    def _advance(self, octets: bytes) -> None:
        first, second, third = self._keys
        for octet in octets:
            first = _CRC_TABLE[(first ^ octet) & 255] ^ first >> 8
            second = ((second + (first & 255)) * 134775813 + 1) & 0xFFFFFFFF
            third = _CRC_TABLE[(third ^ second >> 24) & 255] ^ third >> 8
        self._keys = (first, second, third)

    def decrypt(self, octets: bytes) -> bytes:
        first, second, third = self._keys
        table = _CRC_TABLE
        clear = bytearray()
        for octet in octets:
            mixed = third & 0xFFFF | 2
            plain = octet ^ (mixed * (mixed ^ 1) >> 8 & 255)
            clear.append(plain)
            first = table[(first ^ plain) & 255] ^ first >> 8
            second = ((second + (first & 255)) * 134775813 + 1) & 0xFFFFFFFF
            third = table[(third ^ second >> 24) & 255] ^ third >> 8
        self._keys = (first, second, third)
        return bytes(clear)
