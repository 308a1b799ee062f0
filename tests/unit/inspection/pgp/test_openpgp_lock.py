"""A passphrase opens what was encrypted with it, in every version, and nothing else does."""

from __future__ import annotations

import hashlib
import os

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5, IDEA, Blowfish, TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESOCB3
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues
from gateway.inspection.pgp import openpgp_s2k
from gateway.model import Strength

WORD = "Heron-41-tarn"
LITERAL = b"\xcb\x3ab\0\0\0\0\0" + b"The child was seen at home on Thursday, and was well."
CIPHERS = {1: (IDEA, 16), 2: (TripleDES, 24), 3: (CAST5, 16), 4: (Blowfish, 16)}
CIPHERS |= {7: (AES, 16), 8: (AES, 24), 9: (AES, 32)}
HASHES = {1: "md5", 2: "sha1", 3: "ripemd160", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224", 12: "sha3_256"}


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def feedback(cipher: BlockCipherAlgorithm, register: bytes, clear: bytes) -> bytes:
    """Cipher feedback as RFC 9580 section 12.9 tells it, block by block."""
    encryptor, sealed = Cipher(cipher, ECB()).encryptor(), b""
    for at in range(0, len(clear), len(register)):
        stream = encryptor.update(register)
        register = bytes(a ^ b for a, b in zip(clear[at : at + len(register)], stream, strict=False))
        sealed += register
    return sealed


def cipher_of(number: int, key: bytes) -> BlockCipherAlgorithm:
    return CIPHERS[number][0](key)


def seipd1(number: int, key: bytes, clear: bytes = LITERAL) -> bytes:
    cipher = cipher_of(number, key)
    block = cipher.block_size // 8
    prefix = os.urandom(block)
    whole = prefix + prefix[-2:] + clear + b"\xd3\x14"
    return packet(18, b"\1" + feedback(cipher, bytes(block), whole + hashlib.sha1(whole).digest()))


def sed(number: int, key: bytes) -> bytes:
    cipher = cipher_of(number, key)
    block = cipher.block_size // 8
    prefix = os.urandom(block)
    head = feedback(cipher, bytes(block), prefix + prefix[-2:])
    return packet(9, head + feedback(cipher, head[2:], LITERAL))


def s2k(kind: int, number: int = 8, coded: int = 0x60) -> bytes:
    salt = os.urandom(8)
    return {0: bytes([0, number]), 1: bytes([1, number]) + salt, 3: bytes([3, number]) + salt + bytes([coded])}[kind]


def derive(specifier: bytes, octets: int) -> bytes:
    """RFC 9580 section 3.7.1, hashed in the plainest way."""
    salt, count = specifier[2:10], 0
    if specifier[0] == 3:
        count = (16 + (specifier[10] & 15)) << ((specifier[10] >> 4) + 6)
    unit, key, zeros = salt + WORD.encode(), b"", b""
    text = (unit * (count // len(unit) + 1))[: max(count, len(unit))]
    while len(key) < octets:
        key += hashlib.new(HASHES[specifier[1]], zeros + text).digest()
        zeros += b"\0"
    return key[:octets]


def check(data: bytes) -> None:
    right = inspect_file(data, clues=Clues(passwords=("Kettle", WORD)))
    assert (right.strength, right.findings[-1]) == (Strength.NONE, "password-opens-it")
    wrong = inspect_file(data, clues=Clues(passwords=("Kettle", WORD + "s")))
    assert wrong.strength is not Strength.NONE
    assert not {"password-opens-it", "passwords-partly-tried"} & set(wrong.findings)


@pytest.mark.parametrize("number", CIPHERS)
@pytest.mark.parametrize("kind", [0, 1, 3])
def test_every_cipher_and_specifier_of_version_4(number: int, kind: int) -> None:
    specifier = s2k(kind)
    key = derive(specifier, CIPHERS[number][1])
    head = packet(3, bytes([4, number]) + specifier)
    check(head + seipd1(number, key))
    check(head + sed(number, key))


@pytest.mark.parametrize("number", HASHES)
def test_every_hash(number: int) -> None:
    specifier = s2k(3, number)
    check(packet(3, b"\4\x09" + specifier) + seipd1(9, derive(specifier, 32)))


@pytest.mark.parametrize("length", [1, 7, 32, 200])
def test_counts_that_are_no_multiple_of_the_passphrase(length: int) -> None:
    word = "y" * length
    salt = b"12345678"
    for coded in (0, 0x1F, 0x60, 0x77):
        count = (16 + (coded & 15)) << ((coded >> 4) + 6)
        unit = salt + word.encode()
        text = (unit * (count // len(unit) + 1))[: max(count, len(unit))]
        found, _ = openpgp_s2k.read(b"\3\x02" + salt + bytes([coded]), 0)
        assert found is not None
        assert found.derive(word.encode(), 20) == hashlib.sha1(text).digest()


@pytest.mark.parametrize("inner", [7, 9])
def test_a_session_key_inside_the_passphrase_packet(inner: int) -> None:
    specifier = s2k(3)
    session = os.urandom(CIPHERS[inner][1])
    sealed = feedback(AES(derive(specifier, 32)), bytes(16), bytes([inner]) + session)
    check(packet(3, b"\4\x09" + specifier + sealed) + seipd1(inner, session))


def test_a_large_message_is_verified_to_its_end() -> None:
    specifier = s2k(3)
    key = derive(specifier, 32)
    whole = packet(3, b"\4\x09" + specifier) + seipd1(9, key, os.urandom(300_001))
    check(whole)
    spoilt = whole[:200_000] + bytes([whole[200_000] ^ 1]) + whole[200_001:]
    found = inspect_file(spoilt, clues=Clues(passwords=(WORD,)))
    assert "password-opens-it" not in found.findings


@pytest.mark.parametrize("version", [5, 6])
@pytest.mark.parametrize(("mode", "nonce"), [(2, 15), (3, 12)])
def test_authenticated_session_keys(version: int, mode: int, nonce: int) -> None:
    specifier, iv, session = s2k(3), os.urandom(nonce), os.urandom(32)
    about = bytes([0xC3, version, 9, mode])
    key = derive(specifier, 32)
    if version == 6:
        key = HKDF(SHA256(), 32, None, about).derive(key)
    sealed = (AESOCB3 if mode == 2 else AESGCM)(key).encrypt(iv, session, about)
    if version == 6:
        body = bytes([6, 3 + len(specifier) + nonce, 9, mode, len(specifier)]) + specifier + iv + sealed
        check(packet(3, body) + packet(18, b"\2\x09\2\6" + os.urandom(400)))
    else:
        data = packet(20, b"\1\x09\2\x10" + os.urandom(400))
        check(packet(3, bytes([5, 9, mode]) + specifier + iv + sealed) + data)


def test_the_eax_mode_by_its_published_vector() -> None:
    """RFC 9580 appendix A.9: AES-128, EAX, passphrase "password"."""
    head = bytes.fromhex(
        "c340061e07010b0308a5ae579d1fc5d82bff69224f919993b3506fa3b59a6a73cff8"
        "c5efc5f41c57fb54e1c226815d7828f5f92c454eb65ebe00ab5986c68e6e7c55"
    )
    data = head + packet(18, b"\2\7\1\6" + os.urandom(400))
    opened = inspect_file(data, clues=Clues(passwords=("password",)))
    assert "password-opens-it" in opened.findings
    assert "password-opens-it" not in inspect_file(data, clues=Clues(passwords=("passwort",))).findings


def argon2(passes: int, lanes: int, memory: int, salt: bytes) -> bytes:
    return b"\4" + salt + bytes([passes, lanes, memory])


def test_argon2_within_its_bounds() -> None:
    salt = os.urandom(16)
    key = hash_secret_raw(WORD.encode(), salt, 1, 1 << 10, 4, 32, Type.ID)
    check(packet(3, b"\4\x09" + argon2(1, 4, 10, salt)) + seipd1(9, key))


@pytest.mark.parametrize(("passes", "lanes", "memory"), [(1, 4, 21), (1, 255, 16), (255, 1, 17)])
def test_costly_argon2_is_not_tried(passes: int, lanes: int, memory: int) -> None:
    data = packet(3, b"\4\x09" + argon2(passes, lanes, memory, b"1" * 16)) + seipd1(9, os.urandom(32))
    assert inspect_file(data).findings == ("passwords-partly-tried",)


@pytest.mark.parametrize(("passes", "lanes", "memory"), [(0, 1, 16), (1, 0, 16), (1, 1, 2), (1, 1, 32), (1, 200, 9)])
def test_impossible_argon2_is_off_the_grammar(passes: int, lanes: int, memory: int) -> None:
    data = packet(3, b"\4\x09" + argon2(passes, lanes, memory, b"1" * 16)) + seipd1(9, os.urandom(32))
    assert inspect_file(data).strength is Strength.NONE


def test_little_iteration_is_told() -> None:
    for coded, told in ((0, True), (0x5F, True), (0x60, False), (0xFF, False)):
        found = inspect_file(packet(3, b"\4\x09" + s2k(3, coded=coded)) + seipd1(9, os.urandom(32)))
        assert ("few-iterations" in found.findings) is told
        assert found.strength is Strength.ACCEPTABLE
