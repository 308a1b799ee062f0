"""RAR 4 and 5: block by block, with an independent writer of both; everything beside the ciphertext counts."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import time
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection import inspect_file
from gateway.inspection.archives.rar4 import derive
from gateway.inspection.archives.rar5 import blake2sp
from gateway.inspection.limits import Clues
from gateway.model import Encrypted, PartFacts, Strength

FILES = Path(__file__).parents[3] / "attachments" / "files"
SECRET = "lantern-7"
TEXT = b"Jane is at risk. " * 60
MARK4, MARK5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"


def encrypt(data: bytes, key: bytes, vector: bytes) -> bytes:
    machine = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return machine.update(data + bytes(-len(data) % 16)) + machine.finalize()


def judged(data: bytes, *passwords: str) -> PartFacts:
    return inspect_file(data, clues=Clues(passwords=passwords))


# ---------------------------------------------------------------- RAR 5


def vint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def header5(body: bytes) -> bytes:
    sized = vint(len(body)) + body
    return struct.pack("<L", zlib.crc32(sized)) + sized


def main5(extra: bytes = b"") -> bytes:
    return header5(b"\x01\x01" + vint(len(extra)) + b"\0" + extra if extra else b"\x01\x00\x00")


END5 = header5(b"\x05\x00\x00")


def keys5(power: int, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """Key, key of checksums, and check value with its checksum."""
    rounds = 1 << min(power, 20)
    key, tweak, basis = (hashlib.pbkdf2_hmac("sha256", SECRET.encode(), salt, rounds + more) for more in (0, 16, 32))
    check = bytes(a ^ b ^ c ^ d for a, b, c, d in zip(*(basis[at : at + 8] for at in (0, 8, 16, 24)), strict=True))
    return key, tweak, check + hashlib.sha256(check).digest()[:4]


def file5(
    content: bytes,
    power: int = 15,
    check: bool = True,
    digest: bool = False,
    name: bytes = b"a.bin",
    records: bytes = b"",
    sealed: bool = True,
    shown: bytes | None = None,
) -> bytes:
    """A stored member. `shown` stands where its ciphertext should."""
    salt, vector = b"saltsaltsaltsalt", os.urandom(16)
    key, tweak, value = keys5(power, salt)
    crc, flags, hashed = zlib.crc32(content), 4, b""
    if digest:
        flags = 0
        hashed = b"\x22\x02\x00" + (hmac.digest(tweak, blake2sp(content), "sha256") if sealed else blake2sp(content))
    elif sealed:
        words = struct.unpack("<8L", hmac.digest(tweak, struct.pack("<L", crc), "sha256"))
        crc = 0
        for word in words:
            crc ^= word
    crypt = b"\x01\x00" + bytes([3 if check else 2, power]) + salt + vector + (value if check else b"")
    extra = (vint(len(crypt)) + crypt if sealed else b"") + hashed + records
    data = (encrypt(content, key, vector) if sealed else content) if shown is None else shown
    fields = vint(flags) + vint(len(content)) + b"\0" + (struct.pack("<L", crc) if flags else b"") + b"\0\0"
    body = b"\x02\x03" + vint(len(extra)) + vint(len(data)) + fields + vint(len(name)) + name + extra
    return header5(body) + data


def service5(name: bytes, data: bytes) -> bytes:
    return header5(b"\x03\x02" + vint(len(data)) + b"\0" + vint(len(data)) + b"\0\0\0" + vint(len(name)) + name) + data


def rar5(*blocks: bytes) -> bytes:
    return MARK5 + main5() + b"".join(blocks) + END5


def hidden5(*blocks: tuple[bytes, bytes], check: bool = True) -> bytes:
    """An archive whose headers are encrypted. Each block is a header, and data as it stands in the file."""
    salt = b"saltsaltsaltsalt"
    key, _, value = keys5(15, salt)
    out = MARK5 + header5(b"\x04\x00\x00" + bytes([check, 15]) + salt + (value if check else b""))
    for head, data in blocks:
        vector = os.urandom(16)
        out += vector + encrypt(head, key, vector) + data
    return out


def test_blake2sp_gives_the_published_values() -> None:
    assert blake2sp(b"").hex() == "dd0e891776933f43c7d032b08a917e25741f8aa9a12c12e1cac8801500f2ca4f"
    assert blake2sp(b"abc" * 999).hex() == "b06039f41c4ee2898830ada2b27895de41b3e77f033ac62c1f50b1a7dcdce91b"


@pytest.mark.parametrize(
    ("power", "strength"),
    [(16, Strength.STRONG), (15, Strength.STRONG), (14, Strength.ACCEPTABLE), (9, Strength.WEAK), (25, Strength.NONE)],
)
def test_the_strength_of_rar5_goes_by_the_rounds(power: int, strength: Strength) -> None:
    found = judged(rar5(file5(os.urandom(900), power)))
    assert found.strength is strength
    assert found.scheme.startswith("AES-256, RAR 5 (2^") is (strength > Strength.NONE)


@pytest.mark.parametrize(("check", "digest"), [(True, False), (False, False), (False, True)])
def test_only_the_password_opens_rar5(check: bool, digest: bool) -> None:
    data = rar5(file5(TEXT, check=check, digest=digest))
    found = judged(data, "lantern-8")
    assert (found.strength, found.findings) == (Strength.STRONG, ())
    assert "password-opens-it" in judged(data, SECRET).findings


@pytest.mark.parametrize("check", [True, False])
def test_only_the_password_opens_hidden_headers(check: bool) -> None:
    member = file5(TEXT)
    split = len(member) - len(TEXT) - (-len(TEXT) % 16)
    data = hidden5((main5(), b""), (member[:split], member[split:]), (END5, b""), check=check)
    found = judged(data, "lantern-8")
    assert (found.strength, found.scheme) == (Strength.STRONG, "AES-256, RAR 5 (2^15 rounds), names hidden")
    assert "password-opens-it" in judged(data, SECRET).findings


def test_a_clear_member_under_hidden_headers_shows_by_its_length() -> None:
    data = hidden5((main5(), b""), (file5(TEXT, sealed=False, shown=b""), os.urandom(501)), (END5, b""))
    found = judged(data)
    assert (found.strength, found.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert "clear-member" in found.findings


def test_text_behind_hidden_headers_is_found() -> None:
    good = hidden5((main5(), b""), (END5, b""))
    assert judged(good).strength is Strength.STRONG
    assert judged(good + bytes(18)).strength is Strength.STRONG  # zeros fill a volume
    for extra in (
        b"Jane is at risk.",
        b"x",
        b"Jane is at risk of harm. Please call.   ",
        "Jane is ".encode("utf-16-le"),
    ):
        assert judged(good + extra).strength is Strength.NONE


def test_one_clear_member_makes_rar5_none() -> None:
    found = judged(rar5(file5(os.urandom(900)), file5(TEXT, sealed=False, name=b"b.txt")))
    assert (found.strength, found.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert "clear-member" in found.findings


def test_stored_members_are_looked_into() -> None:
    inner = rar5(file5(os.urandom(900)))
    assert judged(rar5(file5(inner, sealed=False))).strength is Strength.STRONG
    deep = inner
    for _ in range(40):
        deep = rar5(file5(deep, sealed=False))
    assert judged(deep).strength is Strength.NONE


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (rar5(file5(os.urandom(900))) + b"x", "trailing-bytes"),
        (b"MZ" + bytes(500) + rar5(file5(os.urandom(900))), "leading-bytes"),
        (rar5(file5(os.urandom(900)), service5(b"CMT", b"Jane is at risk")), "archive-comment"),
        (rar5(file5(os.urandom(900)), service5(b"STM", b"Jane is at risk")), "clear-metadata"),
        (rar5(file5(os.urandom(900)), service5(b"RR", b"Jane is at risk")), "clear-metadata"),
        (rar5(file5(os.urandom(900)), service5(b"QO", header5(b"\0\0\x0fJane is at risk"))), "clear-metadata"),
        (rar5(file5(os.urandom(900), records=b"\x06\x11hello")), "clear-metadata"),
        (rar5(file5(os.urandom(900), name=b"Jane is at risk " * 30)), "long-name"),
        (rar5(file5(TEXT, shown=(TEXT * 2)[:1024])), "looks-readable"),
        (rar5(file5(os.urandom(900), shown=os.urandom(912 + 64))), "trailing-bytes"),
        (rar5(file5(os.urandom(900), shown=os.urandom(901))), "unreadable"),
        (rar5(header5(b"\x09\x00Jane is at risk"), file5(os.urandom(900))), "clear-metadata"),
        (MARK5 + main5(b"\x10\x09Jane is at risk") + file5(os.urandom(900)) + END5, "clear-metadata"),
    ],
)
def test_what_stands_beside_the_ciphertext_of_rar5_counts(data: bytes, finding: str) -> None:
    found = judged(data)
    assert found.strength is Strength.NONE
    assert finding in found.findings


def test_a_quick_open_record_that_copies_headers_is_no_finding() -> None:
    member = file5(os.urandom(900))
    head = member[: len(member) - 912]
    record = header5(b"\0" + vint(len(member)) + vint(len(head)) + head)
    assert judged(rar5(member, service5(b"QO", record))).strength is Strength.STRONG


def test_identifiers_in_names_of_rar5_are_counted() -> None:
    found = judged(rar5(file5(os.urandom(900), name=b"NHS number 943 476 5919.pdf")))
    assert found.strength is Strength.STRONG
    assert dict(found.identifiers) == {"nhs-number": 1}


# ---------------------------------------------------------------- RAR 4


def slow_derive(password: str, salt: bytes) -> tuple[bytes, bytes]:
    """As RAR 3 derives key and vector, one round at a time."""
    secret = password.encode("utf-16-le") + salt
    digest = hashlib.sha1()
    vector = bytearray()
    for number in range(1 << 18):
        digest.update(secret + number.to_bytes(3, "little"))
        if number % (1 << 14) == 0:
            vector.append(digest.copy().digest()[19])
    key = digest.digest()[:16]
    return b"".join(key[at : at + 4][::-1] for at in range(0, 16, 4)), bytes(vector)


KEY4 = slow_derive(SECRET, b"saltsalt")


def header4(kind: int, flags: int, fields: bytes) -> bytes:
    rest = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
    return struct.pack("<H", zlib.crc32(rest) & 0xFFFF) + rest


END4 = header4(0x7B, 0x4000, b"")


def main4(flags: int = 0, fields: bytes = bytes(6)) -> bytes:
    return header4(0x73, flags, fields)


def file4(
    content: bytes,
    version: int = 29,
    method: int = 0x30,
    flags: int = 0x8404,
    name: bytes = b"a.bin",
    kind: int = 0x74,
    shown: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    data = (encrypt(content, *KEY4) if flags & 4 else content) if shown is None else shown
    fields = struct.pack(
        "<LLBLLBBHL", len(data), len(content), 3, zlib.crc32(content), 0, version, method, len(name), 0
    )
    return header4(kind, flags, fields + name + (b"saltsalt" if flags & 0x400 else b"") + more) + data


def rar4(*blocks: bytes) -> bytes:
    return MARK4 + main4() + b"".join(blocks) + END4


def hidden4(*blocks: tuple[bytes, bytes]) -> bytes:
    return MARK4 + main4(0x80) + b"".join(b"saltsalt" + encrypt(head, *KEY4) + data for head, data in blocks)


def test_the_fast_derivation_is_the_slow_one() -> None:
    assert derive(SECRET, b"saltsalt") == KEY4
    assert derive("päss", b"") == slow_derive("päss", b"")


def test_rar4_is_acceptable_and_only_its_password_opens_it() -> None:
    data = rar4(file4(TEXT))
    found = judged(data, "lantern-8")
    assert (found.strength, found.scheme, found.findings) == (Strength.ACCEPTABLE, "AES-128, RAR 3/4", ())
    assert "password-opens-it" in judged(data, SECRET).findings


def test_compressed_members_of_rar4_cannot_be_tried() -> None:
    found = judged(rar4(file4(TEXT, method=0x33)), SECRET)
    assert (found.strength, found.findings) == (Strength.ACCEPTABLE, ("password-untested",))


def test_hidden_headers_of_rar4() -> None:
    member = file4(TEXT)
    split = len(member) - len(TEXT) - (-len(TEXT) % 16)
    data = hidden4((member[:split], member[split:]), (END4, b""))
    found = judged(data, "lantern-8")
    assert (found.strength, found.scheme) == (Strength.ACCEPTABLE, "AES-128, RAR 3/4, names hidden")
    assert "password-opens-it" in judged(data, SECRET).findings
    assert judged(data + b"Jane is at risk ").strength is Strength.NONE
    clear = hidden4((file4(TEXT, flags=0x8000, shown=b""), os.urandom(501)), (END4, b""))
    assert "clear-member" in judged(clear).findings


@pytest.mark.parametrize(
    ("version", "strength"), [(36, "acceptable"), (26, "weak"), (20, "weak"), (15, "weak"), (13, "none"), (50, "none")]
)
def test_the_cipher_goes_by_the_version(version: int, strength: str) -> None:
    data = rar4(file4(os.urandom(900), version=version, flags=0x8404 if version > 28 else 0x8004))
    assert judged(data).strength.label == strength


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (rar4(file4(os.urandom(900))) + b"x", "trailing-bytes"),
        (b"\x7fELF" + bytes(500) + rar4(file4(os.urandom(900))), "leading-bytes"),
        (rar4(file4(os.urandom(900)), file4(TEXT, flags=0x8000, name=b"b.txt")), "clear-member"),
        (rar4(file4(os.urandom(900)), file4(b"Jane", flags=0x8000, kind=0x7A, name=b"CMT")), "archive-comment"),
        (rar4(file4(os.urandom(900)), file4(b"Jane", flags=0x8000, kind=0x7A, name=b"STM")), "clear-metadata"),
        (rar4(file4(os.urandom(900)), file4(b"Jane", flags=0x8000, kind=0x7A, name=b"RR")), "clear-metadata"),
        (rar4(file4(os.urandom(900), more=b"Jane is at risk")), "clear-metadata"),
        (rar4(file4(os.urandom(900)), header4(0x79, 0, b"Jane is at risk")), "clear-metadata"),
        (rar4(file4(os.urandom(900)), header4(0x75, 0, b"Jane is at risk")), "archive-comment"),
        (MARK4 + main4(0, bytes(6) + b"Jane") + file4(os.urandom(900)) + END4, "clear-metadata"),
        (MARK4 + main4() + file4(os.urandom(900)) + header4(0x7B, 0x4000, b"Jane is at risk"), "clear-metadata"),
        (rar4(file4(TEXT, shown=(TEXT * 2)[:1024])), "looks-readable"),
        (rar4(file4(os.urandom(900), shown=os.urandom(912 + 64))), "trailing-bytes"),
        (rar4(file4(os.urandom(900), shown=os.urandom(901))), "unreadable"),
    ],
)
def test_what_stands_beside_the_ciphertext_of_rar4_counts(data: bytes, finding: str) -> None:
    found = judged(data)
    assert found.strength is Strength.NONE
    assert finding in found.findings


def test_both_readings_of_a_name_are_searched() -> None:
    packed = (
        b"NHS number ????????\0"
        + b"\0"
        + b"".join(b"\0" + b"NHS number 943 476 5919"[at : at + 4] for at in range(0, 24, 4))
    )
    found = judged(rar4(file4(os.urandom(900), flags=0x8604, name=packed)))
    assert dict(found.identifiers) == {"nhs-number": 1}


def test_a_checksum_that_tells_a_short_member_is_said() -> None:
    assert judged(rar4(file4(b"4821"))).findings == ("checksum-tells",)
    assert judged(rar5(file5(b"4821"))).findings == ()  # RAR 5 keys its checksums


# ---------------------------------------------------------------- both


@pytest.mark.parametrize("data", [b"RE\x7e\x5e" + os.urandom(900), rar4(), rar5(), MARK4, MARK5])
def test_what_holds_no_sound_encryption_is_none(data: bytes) -> None:
    assert judged(data).strength is Strength.NONE


@pytest.mark.parametrize("name", ["rar5-names-hidden-recovery-record.rar", "rar4-names-hidden-recovery-record.rar"])
def test_a_recovery_record_must_be_what_it_seems(name: str) -> None:
    data = (FILES / name).read_bytes()
    assert judged(data).strength > Strength.NONE
    told = (TEXT * 2)[:700]
    assert judged(data[:-1500] + told + data[-800:]).strength is Strength.NONE


@pytest.mark.parametrize("data", [rar5(file5(os.urandom(300))), rar4(file4(os.urandom(300)))])
def test_damage_in_a_header_is_never_read_over(data: bytes) -> None:
    size = len(data)
    body = size - 304 - (len(END5) if data.startswith(MARK5) else len(END4))
    for at in (*range(7, body), *range(body + 304, size)):
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        assert judged(changed).strength is Strength.NONE, at
    for end in range(body + 304):
        assert judged(data[:end]).strength is Strength.NONE, end


@pytest.mark.parametrize(
    "data",
    [
        MARK5 + main5() + header5(b"\x02\x03\x05" + b"\xff" * 9 + b"\x01\0\0"),  # 2^64 octets of data
        MARK5 + struct.pack("<L", 0) + b"\xff\xff\xff\xff\x7f",  # a header without end
        MARK5 + main5() + header5(b"\x02\x01\x05\0\0\0\0\0\x80\x80\x80"),
        MARK5 + header5(b"\x04\x00\x00\x01\x0f"),
        MARK4 + main4() + header4(0x74, 0x8104, b"\xff" * 33),  # 2^64 octets of data
        MARK4 + struct.pack("<HBHH", 0, 0x73, 0, 0),  # a block of no length
        MARK4 + main4() + header4(0x75, 0x8000, b"\xff" * 4),
        MARK4 + main4(0x80) + b"x",
    ],
)
def test_lying_lengths_are_unreadable(data: bytes) -> None:
    started = time.perf_counter()
    found = judged(data)
    assert (found.strength, found.findings) == (Strength.NONE, ("unreadable",))
    assert time.perf_counter() - started < 0.5


def test_many_blocks_cost_little() -> None:
    started = time.perf_counter()
    assert judged(rar4(*[header4(0x79, 0, b"")] * 100_000)).strength is Strength.NONE
    assert judged(rar5(*[header5(b"\x09\x00\x00")] * 100_000)).strength is Strength.NONE
    assert time.perf_counter() - started < 2
