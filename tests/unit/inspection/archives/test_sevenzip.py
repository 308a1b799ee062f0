"""7z: what is encrypted is read off each folder's coders, and everything beside the ciphertext counts."""

from __future__ import annotations

import base64
import bz2
import hashlib
import lzma
import os
import struct
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection import inspect_file
from gateway.inspection.archives.sevenzip_coders import Aes, holds_compressed
from gateway.inspection.limits import Clues
from gateway.model import Encrypted, PartFacts, Strength

FILES = Path(__file__).parents[3] / "attachments" / "files"
SECRET = "lantern-7"
COPY, LZMA2, BZIP2, AES = b"\x01\x00", b"\x21\x21\x01\x18", b"\x03\x04\x02\x02", b"\x24\x06\xf1\x07\x01"
TEXT = b"Jane is at risk. " * 60


def slow_key(password: str, power: int, salt: bytes = b"") -> bytes:
    """As 7-Zip derives it, one round at a time."""
    secret = salt + password.encode("utf-16-le")
    if power == 0x3F:
        return secret[:32].ljust(32, b"\0")
    digest = hashlib.sha256()
    for number in range(1 << power):
        digest.update(secret + struct.pack("<Q", number))
    return digest.digest()


def number(value: int) -> bytes:
    """UINT64, in the long form that every reader takes."""
    return bytes([value]) if value < 0x80 else b"\xff" + struct.pack("<Q", value)


@dataclass
class Made:
    """A folder with one packed stream and one member."""

    packed: bytes
    coders: bytes
    sizes: tuple[int, ...]
    content: bytes
    crc: bool = True


def sealed(content: bytes, power: int = 19, compress: bool = False, slack: bytes = b"", key: bytes = b"") -> Made:
    vector = os.urandom(16)
    inner = lzma.compress(content, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}]) if compress else content
    plain = inner + bytes(-len(inner) % 16) + slack
    machine = Cipher(algorithms.AES(key or slow_key(SECRET, min(power, 0x3F))), modes.CBC(vector)).encryptor()
    properties = bytes([power | 0x40, 0x0F]) + vector
    coder = AES + bytes([len(properties)]) + properties
    packed = machine.update(plain) + machine.finalize()
    if compress:  # coder 0 takes what coder 1 gives; the packed stream goes into coder 1
        return Made(packed, b"\x02" + LZMA2 + coder + b"\x00\x01", (len(content), len(inner)), content)
    return Made(packed, b"\x01" + coder, (len(inner),), content)


def plain(content: bytes, coder: bytes = COPY, packed: bytes = b"") -> Made:
    return Made(packed or content, b"\x01" + coder, (len(content),), content)


@dataclass
class Parts:
    """What an archive is put together from."""

    folders: list[Made]
    names: list[str] = field(default_factory=list)
    properties: bytes = b""
    gap: bytes = b""
    extra: bytes = b""


def archive(parts: Parts) -> bytes:
    folders = parts.folders
    names = parts.names or [f"member{position}" for position in range(len(folders))]
    head = b"\x01\x04\x06" + number(len(parts.gap)) + number(len(folders)) + b"\x09"
    head += b"".join(number(len(made.packed)) for made in folders) + b"\0"
    head += b"\x07\x0b" + number(len(folders)) + b"\0" + b"".join(made.coders for made in folders)
    head += b"\x0c" + b"".join(number(size) for made in folders for size in made.sizes)
    known = [made for made in folders if made.crc]
    if len(known) == len(folders):
        head += b"\x0a\x01" + b"".join(struct.pack("<L", zlib.crc32(made.content)) for made in folders)
    head += b"\0\0"
    listed = b"\0" + b"".join(name.encode("utf-16-le") + b"\0\0" for name in names)
    head += b"\x05" + number(len(names)) + b"\x11" + number(len(listed)) + listed + parts.properties + b"\0\0"
    body = parts.gap + b"".join(made.packed for made in folders)
    return framed(body, head + parts.extra)


def framed(body: bytes, head: bytes) -> bytes:
    start = struct.pack("<QQL", len(body), len(head), zlib.crc32(head))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(start)) + start + body + head


def judged(*folders: Made, names: list[str] | None = None, properties: bytes = b"", password: str = "") -> PartFacts:
    data = archive(Parts(list(folders), names or [], properties))
    return inspect_file(data, clues=Clues(passwords=(password,) if password else ()))


def test_the_fast_key_is_the_slow_one() -> None:
    for power, salt, password in ((0, b"", "x"), (5, b"salt", "pass"), (17, b"", "päss"), (18, b"s", "long " * 9)):
        assert Aes(power, salt, bytes(16)).key(password) == slow_key(password, power, salt)
    assert Aes(0x3F, b"ab", bytes(16)).key("pass") == slow_key("pass", 0x3F, b"ab")


@pytest.mark.parametrize(
    ("power", "strength", "scheme"),
    [
        (19, Strength.STRONG, "AES-256, 7-Zip (2^19 rounds)"),
        (17, Strength.STRONG, "AES-256, 7-Zip (2^17 rounds)"),
        (16, Strength.ACCEPTABLE, "AES-256, 7-Zip (2^16 rounds)"),
        (9, Strength.WEAK, "AES-256, 7-Zip (2^9 rounds)"),
        (0x3F, Strength.WEAK, "AES-256, 7-Zip (password not hashed)"),
    ],
)
def test_the_strength_goes_by_the_rounds(power: int, strength: Strength, scheme: str) -> None:
    found = judged(sealed(os.urandom(900), power))
    assert (found.strength, found.scheme, found.encrypted) == (strength, scheme, Encrypted.YES)
    assert found.findings == ()


def test_rounds_that_nobody_can_run_are_no_encryption() -> None:
    found = judged(sealed(os.urandom(900), 40, key=bytes(32)))
    assert found.strength is Strength.NONE
    assert "unknown-encryption" in found.findings


@pytest.mark.parametrize("compress", [False, True])
def test_only_the_password_opens_it(compress: bool) -> None:
    made = sealed(TEXT, compress=compress)
    assert judged(made, password="lantern-8").strength is Strength.STRONG
    found = judged(made, password=SECRET)
    assert found.strength is Strength.NONE
    assert "password-opens-it" in found.findings


def test_the_names_of_members_are_tried_as_passwords_where_the_archive_is_in_a_message() -> None:
    made = archive(Parts([sealed(TEXT)], ["lantern-7.txt"], b""))
    assert inspect_file(made).strength is Strength.STRONG
    top = b"Subject: Report\r\nMIME-Version: 1.0\r\nContent-Type: application/x-7z-compressed\r\n"
    told = top + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(made).replace(b"\n", b"\r\n")
    assert "password-opens-it" in inspect_file(told).parts[0].findings


@pytest.mark.parametrize("name", ["7z-names-hidden.7z", "7z-py7zr-copy-names-hidden.7z", "7z-bzip2-nonsolid.7z"])
def test_archives_of_other_programs_open_with_their_password(name: str) -> None:
    data = (FILES / name).read_bytes()
    assert inspect_file(data).strength is Strength.STRONG
    found = inspect_file(data, clues=Clues(passwords=("Throwaway-7-lantern",)))
    assert "password-opens-it" in found.findings


def test_one_clear_member_makes_it_none() -> None:
    found = judged(sealed(os.urandom(900)), plain(TEXT))
    assert (found.strength, found.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert "clear-member" in found.findings


def test_clear_folders_are_looked_into() -> None:
    inner = archive(Parts([sealed(os.urandom(900))]))
    packed = lzma.compress(inner, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
    for made in (plain(inner), plain(inner, LZMA2, packed), plain(inner, BZIP2, bz2.compress(inner))):
        assert judged(made).strength is Strength.STRONG
    unknown = plain(inner, b"\x03\x04\x01\x09", inner)  # Deflate64 is not run
    assert judged(unknown).strength is Strength.NONE


def test_readable_bytes_under_an_aes_coder_are_clear() -> None:
    made = sealed(TEXT)
    made.packed = (TEXT * 2)[: len(made.packed)]
    found = judged(made)
    assert (found.strength, found.encrypted) == (Strength.NONE, Encrypted.NO)
    assert "looks-readable" in found.findings


def test_a_packed_stream_that_misses_the_encryption_is_clear() -> None:
    made = sealed(TEXT, compress=True)
    # The same coders, bound the other way round: what is packed goes into LZMA2 first.
    made.coders = made.coders[:-2] + b"\x01\x00"
    made.packed = os.urandom(len(made.packed))
    found = judged(made)
    assert found.strength is Strength.NONE
    assert "unknown-encryption" in found.findings


def test_a_member_longer_or_shorter_than_its_ciphertext_is_clear() -> None:
    assert "trailing-bytes" in judged(sealed(os.urandom(900), slack=b"Jane is at risk.")).findings
    cut = sealed(os.urandom(900))
    cut.packed = cut.packed[:-3]
    assert judged(cut).strength is Strength.NONE


def test_bytes_outside_the_streams_are_findings() -> None:
    good = archive(Parts([sealed(os.urandom(900))]))
    assert inspect_file(good).strength is Strength.STRONG
    for data, finding in (
        (good + b"x", "trailing-bytes"),
        (b"MZ" + bytes(3000) + good, "leading-bytes"),
        (archive(Parts([sealed(os.urandom(900))], gap=b"Jane is at risk.")), "archive-gap"),
        (archive(Parts([sealed(os.urandom(900))], extra=b"Jane is at risk")), "clear-metadata"),
        (archive(Parts([sealed(os.urandom(900))], properties=b"\x16\x05hello")), "clear-metadata"),
        (archive(Parts([sealed(os.urandom(900))], properties=b"\x19\x05hello")), "clear-metadata"),
    ):
        found = inspect_file(data)
        assert found.strength is Strength.NONE, finding
        assert finding in found.findings


@pytest.mark.parametrize("coder", [COPY, LZMA2, BZIP2, b"\x23\x03\x01\x01\x05\x5d\0\0\x10\0"])
def test_text_behind_the_packed_header_is_no_part_of_it(coder: bytes) -> None:
    good = archive(Parts([sealed(os.urandom(900))]))
    at = 32 + struct.unpack_from("<Q", good, 12)[0]
    body, head = good[32:at], good[at:]
    lzma1 = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20}
    packed = {
        COPY: head,
        LZMA2: lzma.compress(head, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}]),
        BZIP2: bz2.compress(head),
    }.get(coder, lzma.compress(head, lzma.FORMAT_RAW, filters=[lzma1]))
    for extra, strength in ((b"", Strength.STRONG), (b"Jane is at risk.", Strength.NONE)):
        outer = b"\x17\x06" + number(len(body)) + b"\x01\x09" + number(len(packed + extra)) + b"\0\x07\x0b\x01\0\x01"
        outer += coder + b"\x0c" + number(len(head)) + b"\x0a\x01" + struct.pack("<L", zlib.crc32(head)) + b"\0\0"
        assert inspect_file(framed(body + packed + extra, outer)).strength is strength


def test_padding_of_the_header_with_zeros_is_no_finding() -> None:
    assert judged(sealed(os.urandom(900)), properties=b"\x19\x04\0\0\0\0").strength is Strength.STRONG


def test_names_are_searched_and_bounded() -> None:
    found = judged(sealed(os.urandom(900)), names=["NHS number 943 476 5919.pdf"])
    assert found.strength is Strength.STRONG
    assert dict(found.identifiers) == {"nhs-number": 1}
    assert "identifier-in-name" in found.findings
    assert judged(sealed(os.urandom(900)), names=["Jane is at risk " * 30]).strength is Strength.NONE


def test_a_checksum_that_tells_a_short_member_is_said() -> None:
    found = judged(sealed(b"4821"))
    assert found.findings == ("checksum-tells",)
    assert judged(sealed(b"48213")).findings == ()


def test_an_archive_without_content_protects_nothing() -> None:
    assert inspect_file(framed(b"", b"")).findings == ("nothing-to-protect",)
    listed = b"\0" + "Jane is at risk".encode("utf-16-le") + b"\0\0"
    only_names = b"\x01\x05\x01\x0e\x01\x80\x11" + number(len(listed)) + listed + b"\0\0"
    assert inspect_file(framed(b"", only_names)).findings == ("clear-text",)


def test_members_left_unencrypted_under_a_hidden_header_are_found() -> None:
    clear = lzma.compress(TEXT + os.urandom(200), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
    clear += bytes(-len(clear) % 16)
    noise = os.urandom(4096)
    assert not holds_compressed(noise, 0, len(noise))
    assert holds_compressed(clear + noise, 0, len(clear) + len(noise))
    assert holds_compressed(noise + clear, 0, len(noise) + len(clear))
    assert holds_compressed(noise + bz2.compress(TEXT), 0, len(noise) + 100)


@pytest.mark.parametrize("name", ["7z-lzma2-solid.7z", "7z-names-hidden.7z", "7z-py7zr-lzma2.7z"])
def test_a_cut_or_damaged_archive_is_never_encrypted_and_never_slow(name: str) -> None:
    data = (FILES / name).read_bytes()
    started = time.perf_counter()
    for end in range(len(data)):
        assert inspect_file(data[:end]).strength is Strength.NONE
    for at in (*range(32), *range(len(data) - 34, len(data))):
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        assert inspect_file(changed).strength is Strength.NONE or at in (6, 7)  # the version is outside the checksum
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    "head",
    [
        b"\x01\x04\x06\0" + b"\xff" * 9 + b"\x09",  # 2^64 packed streams
        b"\x01\x04\x06\0\x01\x09" + b"\xff" * 9 + b"\0\0",  # a packed stream of 2^64 octets
        b"\x01\x04\x07\x0b" + b"\xff" * 9 + b"\0",  # 2^64 folders
        b"\x01\x04\x07\x0b\x01\0\x7f",  # 127 coders
        b"\x01\x05" + b"\xff" * 9,  # 2^64 files
        b"\x01\x05\x01\x11" + b"\xff" * 9,  # a name of 2^64 octets
        b"\x17\x06\0\x01\x09\x01\0\x07\x0b\x01\0\x01\x01\0\x0c\x01\0\0",  # a header packed in itself
        b"\x02",
        b"\x01",
    ],
)
def test_lying_headers_are_unreadable(head: bytes) -> None:
    started = time.perf_counter()
    found = inspect_file(framed(b"\x17", head))
    assert (found.strength, found.findings) == (Strength.NONE, ("unreadable",))
    assert time.perf_counter() - started < 0.5


def test_a_bomb_is_not_expanded() -> None:
    content = bytes(48 * 1024 * 1024)
    packed = lzma.compress(content, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
    started = time.perf_counter()
    found = judged(plain(content, LZMA2, packed))
    assert found.strength is Strength.NONE
    assert "expansion-limit" in found.findings
    assert time.perf_counter() - started < 1


def test_archives_inside_archives_are_opened_only_so_deep() -> None:
    data = archive(Parts([sealed(os.urandom(900))]))
    for _ in range(40):
        data = archive(Parts([plain(data)]))
    assert inspect_file(data).strength is Strength.NONE
