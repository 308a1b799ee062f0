"""KeePass databases are encrypted only if every field of their header is what it must be, built from the layout."""

from __future__ import annotations

import hashlib
import hmac
import random
import struct

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues
from gateway.model import Encrypted, Strength

noise = random.Random(10).randbytes
WORD = "Heron-41-tarn"
SIGNATURE = bytes.fromhex("03d9a29a67fb4bb5")
AES256, CHACHA20 = bytes.fromhex("31c1f2e6bf714350be5805216afc5aff"), bytes.fromhex("d6038a2b8b6f4cb5a524339a31dbb59a")
TWOFISH = bytes.fromhex("ad68f29f576f4bb9a36ad47af965346c")
AES_KDF, ARGON2D = bytes.fromhex("c9d9f39a628a4460bf740d08c18a4fea"), bytes.fromhex("ef636ddf8c29444b91f7a9a403e30a0c")
ARGON2ID = bytes.fromhex("9e298b1956db4773b23dfc3ec6f0a1e6")
SEED, SALT, IV = noise(32), noise(32), noise(16)
COMPOSITE = hashlib.sha256(hashlib.sha256(WORD.encode()).digest()).digest()


def dictionary(*items: tuple[int, str, bytes]) -> bytes:
    packed = b"\0\1"
    for kind, name, value in items:
        packed += bytes([kind]) + struct.pack("<I", len(name)) + name.encode() + struct.pack("<I", len(value)) + value
    return packed + b"\0"


def argon2(kind: bytes = ARGON2ID, passes: int = 2, kibibytes: int = 1024, *more: tuple[int, str, bytes]) -> bytes:
    numbers = ((5, "I", passes), (5, "M", kibibytes * 1024))
    items = [(0x42, "$UUID", kind), (0x42, "S", SALT)]
    items += [(4, "P", struct.pack("<I", 1)), (4, "V", struct.pack("<I", 0x13))]
    return dictionary(*items, *((code, name, struct.pack("<Q", number)) for code, name, number in numbers), *more)


def aes_kdf(rounds: int) -> bytes:
    return dictionary((0x42, "$UUID", AES_KDF), (0x42, "S", SALT), (5, "R", struct.pack("<Q", rounds)))


def header(version: int, fields: dict[int, bytes]) -> bytes:
    form = "<BH" if version < 4 else "<BI"
    ended = {number: value for number, value in fields.items() if number} | {0: fields.get(0, b"\r\n\r\n")}
    rows = (struct.pack(form, number, len(value)) + value for number, value in ended.items())
    return SIGNATURE + struct.pack("<HH", 1, version) + b"".join(rows)


def aes_rounds(rounds: int, key: bytes = COMPOSITE) -> bytes:
    encryptor = Cipher(AES(SALT), ECB()).encryptor()
    for _ in range(rounds):
        key = encryptor.update(key)
    return hashlib.sha256(key).digest()


def kdbx4(kdf: bytes, transformed: bytes = b"", content: bytes = b"", **change: bytes) -> bytes:
    fields = {2: AES256, 3: b"\1\0\0\0", 4: SEED, 7: IV, 11: kdf}
    fields |= {int(name[1:]): value for name, value in change.items()}
    top = header(4, {number: value for number, value in fields.items() if value})
    key = hashlib.sha512(SEED + transformed + b"\1").digest()
    tag = hmac.digest(hashlib.sha512(b"\xff" * 8 + key).digest(), top, "sha256")
    blocks = b"".join(noise(32) + struct.pack("<I", len(data)) + data for data in (content or noise(900), b""))
    return top + hashlib.sha256(top).digest() + tag + blocks


def kdbx3(rounds: int = 6000, *, transformed: bytes = b"", content: bytes = b"", **change: bytes) -> bytes:
    start = noise(32)
    fields = {2: AES256, 3: b"\1\0\0\0", 4: SEED, 5: SALT, 6: struct.pack("<Q", rounds), 7: IV, 8: noise(32)}
    fields |= {9: start, 10: b"\2\0\0\0"} | {int(name[1:]): value for name, value in change.items()}
    key = hashlib.sha256(SEED + transformed).digest()
    sealed = content or Cipher(AES(key), CBC(IV)).encryptor().update(start + noise(864))
    return header(3, {number: value for number, value in fields.items() if value}) + sealed


def kdb(rounds: int = 600, flags: int = 3, content: bytes = b"") -> bytes:
    clear, seed = noise(700), noise(16)
    key = hashlib.sha256(seed + aes_rounds(rounds, hashlib.sha256(WORD.encode()).digest())).digest()
    sealed = content or Cipher(AES(key), CBC(IV)).encryptor().update(clear + b"\4" * 4)
    digest = hashlib.sha256(clear).digest()
    first = bytes.fromhex("03d9a29a65fb4bb5")
    return struct.pack("<8sII16s16sII32s32sI", first, flags, 0x30003, seed, IV, 1, 1, digest, SALT, rounds) + sealed


@pytest.mark.parametrize(
    ("data", "strength", "scheme"),
    [
        (kdbx4(argon2()), Strength.STRONG, "AES-256, KDBX 4.1 (Argon2id, 2 passes over 1,024 KiB)"),
        (kdbx4(argon2(ARGON2D)), Strength.STRONG, "AES-256, KDBX 4.1 (Argon2d, 2 passes over 1,024 KiB)"),
        (kdbx4(aes_kdf(60_000)), Strength.STRONG, "AES-256, KDBX 4.1 (AES-KDF, 60,000 rounds)"),
        (kdbx4(argon2(), _2=CHACHA20, _7=noise(12)), Strength.STRONG, "ChaCha20, KDBX 4.1"),
        (kdbx4(argon2(), _2=TWOFISH), Strength.STRONG, "Twofish-256, KDBX 4.1"),
        (kdbx3(), Strength.ACCEPTABLE, "AES-256, KDBX 3.1 (AES-KDF, 6,000 rounds)"),
        (kdb(), Strength.WEAK, "AES-256, KeePass 1 (600 rounds)"),
        (kdb(flags=9), Strength.WEAK, "Twofish-256, KeePass 1 (600 rounds)"),
    ],
)
def test_sound_databases(data: bytes, strength: Strength, scheme: str) -> None:
    found = inspect_file(data)
    assert (found.kind, found.strength, found.encrypted) == ("keepass", strength, Encrypted.YES)
    assert found.scheme.startswith(scheme)


SOUND = kdbx4(argon2())


@pytest.mark.parametrize(
    "data",
    [
        SOUND + b"See you",
        SOUND + b"\0",
        SOUND[:-1],
        SOUND[:20] + b"x" + SOUND[21:],
        kdbx4(argon2(), _2=noise(16)),
        kdbx4(argon2(), _4=b""),
        kdbx4(argon2(), _4=b"Jane is at risk, said the doctor"),
        kdbx4(argon2(), _1=b"Jane is at risk and must be seen today"),
        kdbx4(argon2(), _13=b"Jane"),
        kdbx4(argon2(), _0=b"Jane is at risk"),
        kdbx4(argon2(ARGON2ID, 2, 1024, (0x18, "Note", b"Jane is at risk"))),
        kdbx4(argon2(ARGON2ID, 2, 1024, (0x42, "K", noise(65)))),
        kdbx4(argon2()[:-1]),
        kdbx4(argon2() + b"Jane"),
        kdbx4(argon2(noise(16))),
        kdbx4(argon2(), _12=dictionary((0x18, "Note", b"Jane is at risk and must be seen today"))),
        kdbx4(argon2(), _12=dictionary((0x18, "Note", b"x" * 300))),
        kdbx4(argon2(), content=b"Jane is at risk and must be seen today. " * 20),
        kdbx3(content=b"Jane is at risk and must be seen today. " * 20),
        kdbx3() + b"See you at ten o'clock, J.R.",
        kdbx3() + b"x",
        kdbx3(_10=b"Jane is"),
        kdbx3(_9=b""),
        kdb(content=b"Jane is at risk " * 30),
        kdb() + b"x",
        kdb(flags=1),
        SIGNATURE,
        SIGNATURE + b"\0\0\7\0" + noise(300),
    ],
)
def test_everything_else_is_clear(data: bytes) -> None:
    assert inspect_file(data).strength is Strength.NONE


def test_a_public_name_is_told_and_searched() -> None:
    named = kdbx4(argon2(), _12=dictionary((0x18, "KPXC_PUBLIC_NAME", b"School")))
    assert (inspect_file(named).strength, inspect_file(named).findings) == (Strength.STRONG, ("clear-header-data",))
    told = inspect_file(kdbx4(argon2(), _12=dictionary((0x18, "KPXC_PUBLIC_NAME", b"Jo DOB 03/05/2011"))))
    assert dict(told.identifiers) == {"date-of-birth": 1}
    assert "identifier-in-name" in told.findings


def check(data: bytes, word: str = WORD) -> None:
    opened = inspect_file(data, clues=Clues(passwords=("Kettle", word)))
    assert (opened.strength, opened.findings[-1]) == (Strength.NONE, "password-opens-it")
    assert "password-opens-it" not in inspect_file(data, clues=Clues(passwords=("Kettle",))).findings


def test_a_password_opens_its_own_database_only() -> None:
    for kind, code in ((ARGON2ID, Type.ID), (ARGON2D, Type.D)):
        check(kdbx4(argon2(kind), hash_secret_raw(COMPOSITE, SALT, 2, 1024, 1, 32, code)))
    check(kdbx4(aes_kdf(1000), aes_rounds(1000), _2=CHACHA20, _7=noise(12)))
    check(kdbx3(1000, transformed=aes_rounds(1000)))
    check(kdb())


def test_a_database_without_a_key_is_open() -> None:
    none_at_all = aes_rounds(1000, hashlib.sha256(b"").digest())
    assert inspect_file(kdbx4(aes_kdf(1000), none_at_all)).findings == ("password-opens-it",)
    empty = aes_rounds(1000, hashlib.sha256(hashlib.sha256(b"").digest()).digest())
    assert inspect_file(kdbx3(1000, transformed=empty)).findings == ("password-opens-it",)


@pytest.mark.parametrize(
    "kdf",
    [
        aes_kdf(2**63),
        argon2(ARGON2ID, 2, 1 << 30),
        argon2(ARGON2ID, 2**60),
        argon2(ARGON2D, 2, 1024, (0x42, "K", b"key")),
    ],
)
def test_what_would_take_long_is_not_tried(kdf: bytes) -> None:
    found = inspect_file(kdbx4(kdf))
    assert (found.strength, found.findings) == (Strength.STRONG, ("passwords-partly-tried",))


def test_no_truncation_and_no_altered_octet_raises() -> None:
    for data in (SOUND, kdbx3(), kdb()):
        for cut in range(0, len(data), 3):
            if inspect_file(data[:cut]).strength is not Strength.NONE:
                assert data[8] == 1 or data[4] == 0x65  # what ends with the data: whole blocks may be missing
        for at in range(0, 300, 2):
            inspect_file(data[:at] + bytes([data[at] ^ 0x81]) + data[at + 1 :])
