"""An archive that says one thing in its directory and another in its members is clear."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pyzipper

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues
from gateway.model import Encrypted, Strength


def aes_zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"correct horse")
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


GOOD = aes_zip(one=b"x" * 900, two=b"y" * 900)
SECOND = GOOD.index(b"PK\x03\x04", 4)
CENTRAL = GOOD.index(b"PK\x01\x02")
END = GOOD.rindex(b"PK\x05\x06")


def patched(at: int, new: bytes, data: bytes = GOOD) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def test_the_untouched_archive_is_acceptable() -> None:
    found = inspect_file(GOOD)
    assert found.strength is Strength.ACCEPTABLE
    assert found.encrypted is Encrypted.YES
    assert found.scheme == "WinZip AES-256 (AE-2)"
    assert len(found.parts) == 2


@pytest.mark.parametrize(
    "data",
    [
        patched(6, b"\0\0"),  # local header: not encrypted
        patched(CENTRAL + 8, b"\0\0"),  # directory: not encrypted
        patched(8, b"\x08\0"),  # local method
        patched(30, b"eno"),  # local name
        patched(CENTRAL + 10, b"\0\0"),  # directory method
        patched(CENTRAL + 42, struct.pack("<L", SECOND)),  # both entries point to one member
        patched(END + 8, b"\1\0\1\0"),  # fewer entries than there are
        patched(END + 16, b"\0\0\0\0"),
        GOOD + b"Jane is at risk",
        b"Jane is at risk" + GOOD,
        GOOD[:SECOND] + b"Jane is at risk" + GOOD[SECOND:],
        GOOD[:-1],
        GOOD[:END],
        aes_zip(a=b"x" * 900, A=b"y" * 900),
        GOOD.replace(b"AE\x03", b"XX\x03"),
        GOOD.replace(b"AE\x03", b"AE\x09"),
    ],
)
def test_an_archive_that_can_be_read_in_two_ways_is_clear(data: bytes) -> None:
    assert inspect_file(data).strength is Strength.NONE


def test_readable_bytes_under_an_aes_label_are_clear() -> None:
    for size in (10, 900, 90_000):
        data = aes_zip(one=os.urandom(size))
        start = 30 + 3 + struct.unpack_from("<H", data, 28)[0]
        told = b"Jane is at risk. " * (size // 17 + 5)
        assert inspect_file(data).strength is Strength.ACCEPTABLE
        assert inspect_file(patched(start, told[: data.index(b"PK\x01\x02") - start], data)).strength is Strength.NONE


def test_a_zip_comment_that_tells_something_is_clear() -> None:
    comment = b"Jane is at risk. " * 30
    data = GOOD[:-2] + struct.pack("<H", len(comment)) + comment
    found = inspect_file(data)
    assert found.strength is Strength.NONE
    assert "archive-comment" in found.findings


def test_identifiers_in_names_and_comments_are_counted() -> None:
    comment = b"NHS 9434765919"
    data = GOOD[:-2] + struct.pack("<H", len(comment)) + comment
    assert dict(inspect_file(data).identifiers) == {"nhs-number": 1}


def test_compressed_archives_inside_archives_are_opened_only_so_deep() -> None:
    data = GOOD
    for _ in range(40):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", data)
        data = out.getvalue()
    assert inspect_file(data).strength is Strength.NONE


def test_folders_and_empty_files_do_not_count() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/inner.zip", GOOD)
        archive.writestr("empty", b"")
    assert inspect_file(out.getvalue()).strength is Strength.ACCEPTABLE


def test_streamed_members_with_descriptors_are_read() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.zip", GOOD)
        archive.writestr("b.zip", GOOD)
    found = inspect_file(out.getvalue())
    assert found.strength is Strength.ACCEPTABLE
    assert found.findings == ()


def test_random_data_with_an_archive_magic_is_clear() -> None:
    assert inspect_file(b"PK\x03\x04" + os.urandom(500)).strength is Strength.NONE


# ---------------------------------------------------------------- a writer that lies where it is told to


@dataclass
class Entry:
    """A member with WinZip AES around random octets, or with whatever else is said."""

    name: bytes = b"a.txt"
    body: bytes = field(default_factory=lambda: os.urandom(28 + 900))
    flags: int = 1
    method: int = 99
    crc: int = 0
    size: int = 900
    extra: bytes = b"\x01\x99\x07\x00\x02\x00AE\x03\x00\x00"
    local_extra: bytes | None = None
    descriptor: str = ""
    comment: bytes = b""


def written(*entries: Entry, zip64: bool = False, behind: bytes = b"") -> bytes:
    out, central = bytearray(), bytearray()
    for e in entries:
        offset = len(out)
        flags = e.flags | (8 if e.descriptor else 0)
        sizes = (0, 0, 0) if e.descriptor else (e.crc, len(e.body), e.size)
        local = e.extra if e.local_extra is None else e.local_extra
        out += struct.pack("<4s5H3L2H", b"PK\3\4", 51, flags, e.method, 0, 33, *sizes, len(e.name), len(local))
        out += e.name + local + e.body
        if e.descriptor:
            signature = (b"PK\x07\x08",) if e.descriptor.startswith("<4s") else ()
            out += struct.pack(e.descriptor, *signature, e.crc, len(e.body), e.size)
        central += struct.pack("<4s6H3L", b"PK\1\2", 51, 51, flags, e.method, 0, 33, e.crc, len(e.body), e.size)
        central += struct.pack("<5H2L", len(e.name), len(e.extra), len(e.comment), 0, 0, 0, offset)
        central += e.name + e.extra + e.comment
    start, count = len(out), len(entries)
    out += central + behind
    end = (count, count, len(central), start)
    if zip64:
        at = len(out)
        out += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *end)
        out += struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
        end = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return bytes(out + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *end, 0))


def test_sixty_four_bit_end_records_are_read() -> None:
    assert inspect_file(written(Entry(), zip64=True)).strength is Strength.ACCEPTABLE
    clear = written(Entry(), Entry(b"b", b"words " * 9, 0, 0, size=54, extra=b""), zip64=True)
    assert inspect_file(clear).findings == ("clear-member",)
    extended = written(Entry(), zip64=True).replace(
        struct.pack("<4sQ", b"PK\6\6", 44), struct.pack("<4sQ", b"PK\6\6", 60)
    )
    assert inspect_file(extended).findings == ("unreadable",)


def test_end_records_that_differ_are_two_archives() -> None:
    data = written(Entry(), Entry(b"b"), zip64=True)
    two_ways = data[:-14] + struct.pack("<2H", 1, 1) + data[-10:]
    assert "archive-directory-odd" in inspect_file(two_ways).findings
    other = written(Entry())
    inner = other[:-2] + struct.pack("<H", len(GOOD))  # its comment is the whole of another archive
    found = inspect_file(inner + GOOD)
    assert found.strength is Strength.NONE
    assert {"leading-bytes", "archive-directory-odd"} <= set(found.findings)


@pytest.mark.parametrize("layout", ["<4sLLL", "<4sLQQ", "<LLL", "<LQQ"])
def test_data_descriptors_of_every_form_belong_to_their_member(layout: str) -> None:
    found = inspect_file(written(Entry(descriptor=layout), Entry(b"b", descriptor=layout)))
    assert (found.strength, found.findings) == (Strength.ACCEPTABLE, ())
    data = written(Entry(descriptor=layout), Entry(b"b"))
    at = data.index(b"PK\3\4", 4) - 4
    assert "archive-gap" in inspect_file(patched(at, b"Jane", data)).findings


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        (Entry(comment=b"Jane"), "archive-comment"),
        (Entry(extra=Entry().extra + b"\x34\x12\x0c\0Jane at risk"), "archive-comment"),
        (Entry(local_extra=Entry().extra + b"\x34\x12\x0c\0Jane at risk"), "archive-comment"),
        (Entry(extra=Entry().extra + b"\x75\x70\x0b\0\1\0\0\0\0other."), "headers-disagree"),
        (Entry(extra=Entry().extra + b"\x75\x63\x09\0\1\0\0\0\0Jane"), "archive-comment"),
        (Entry(local_extra=b"\x01\x99\x07\x00\x02\x00AE\x01\x00\x00"), "headers-disagree"),
        (Entry(name=b"a" * 300), "long-name"),
        (Entry(name=b"a\0.txt"), "archive-directory-odd"),
        (Entry(size=901), "member-size-disagrees"),
        (Entry(body=os.urandom(32), size=4, crc=7), "clear-metadata"),
        (Entry(flags=0x2001), "clear-member"),
        (Entry(flags=0x41), "clear-member"),
        (Entry(flags=0), "clear-member"),
        (Entry(body=b"", size=0), "unreadable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_readable_or_odd_beside_a_member_is_a_finding(entry: Entry, finding: str) -> None:
    found = inspect_file(written(entry, Entry(b"second")))
    assert found.strength is Strength.NONE
    assert finding in found.findings or any(finding in part.findings for part in found.parts)


def test_compressed_text_under_an_aes_label_is_no_ciphertext() -> None:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = machine.compress(os.urandom(300).hex().encode()) + machine.flush()
    body = os.urandom(18) + packed + os.urandom(10)
    found = inspect_file(written(Entry(body=body, extra=Entry().extra[:-2] + b"\x08\0")))
    assert "looks-readable" in found.findings


def test_a_member_without_a_name_counts_like_any_other() -> None:
    assert inspect_file(written(Entry(name=b""))).strength is Strength.ACCEPTABLE
    nameless = Entry(name=b"", body=b"words " * 9, method=0, flags=0, extra=b"", size=54)
    assert inspect_file(written(Entry(), nameless)).findings == ("clear-member",)


def test_both_names_of_a_member_are_searched() -> None:
    unicode_path = b"\1\0\0\0\0" + "é NHS 9434765919".encode()
    extra = Entry().extra + struct.pack("<HH", 0x7075, len(unicode_path)) + unicode_path
    found = inspect_file(written(Entry(extra=extra)))
    assert dict(found.identifiers) == {"nhs-number": 1}
    assert found.strength is Strength.ACCEPTABLE


def test_folders_and_empty_members_named_like_sentences_are_only_names() -> None:
    plain = {"method": 0, "flags": 0, "extra": b"", "size": 0, "body": b""}
    found = inspect_file(written(Entry(), Entry(b"folder/", **plain), Entry(b"To be read with care", **plain)))
    assert found.strength is Strength.ACCEPTABLE


@pytest.mark.parametrize("marker", [b"PK00", b"PK\x07\x08", b"MZ" + bytes(600)])
def test_data_in_front_of_an_archive_is_a_finding(marker: bytes) -> None:
    found = inspect_file(marker + GOOD)
    assert (found.kind, found.strength) == ("zip", Strength.NONE)
    assert "leading-bytes" in found.findings


def test_further_volumes_and_encrypted_directories_are_not_read() -> None:
    several = GOOD[:END] + struct.pack("<4s2H", b"PK\5\6", 1, 1) + GOOD[END + 8 :]
    hidden = GOOD[:CENTRAL] + os.urandom(END - CENTRAL) + GOOD[END:]
    for data in (several, hidden):
        assert inspect_file(data).findings == ("unreadable",)


def strong(algorithm: int, said: int, bits: int = 256) -> Entry:
    rest = struct.pack("<5H", 3, said, bits, 1, 32) + os.urandom(48)
    body = struct.pack("<H", 16) + os.urandom(16) + struct.pack("<L", len(rest)) + rest + os.urandom(600)
    extra = struct.pack("<6H", 0x17, 8, 2, algorithm, bits, 1)
    return Entry(body=body, flags=0x41, method=8, crc=1, extra=extra)


@pytest.mark.parametrize(
    ("entry", "strength", "scheme"),
    [
        (strong(0x6610, 0x6610), Strength.ACCEPTABLE, "PKWARE strong encryption, AES-256"),
        (strong(0x660E, 0x660E, 128), Strength.ACCEPTABLE, "PKWARE strong encryption, AES-128"),
        (strong(0x6801, 0x6801, 128), Strength.WEAK, "PKWARE strong encryption, RC4"),
        (strong(0x6601, 0x6601, 56), Strength.WEAK, "PKWARE strong encryption, DES"),
        (strong(0x6610, 0x6801), Strength.NONE, "PKWARE strong encryption, AES-256"),
        (strong(0xFFFF, 0xFFFF), Strength.NONE, "PKWARE strong encryption, cipher not known"),
    ],
)
def test_pkware_strong_encryption_goes_by_both_of_its_headers(entry: Entry, strength: Strength, scheme: str) -> None:
    found = inspect_file(written(entry))
    assert (found.strength, found.parts[0].scheme) == (strength, scheme)


def test_documents_that_are_archives_have_kinds_of_their_own() -> None:
    for name, kind in (
        ("[Content_Types].xml", "ooxml"),
        ("META-INF/MANIFEST.MF", "jar"),
        ("META-INF/container.xml", "epub"),
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, "words")
        assert (inspect_file(out.getvalue()).kind, inspect_file(out.getvalue()).strength) == (kind, Strength.NONE)


def with_clue(data: bytes, *passwords: str) -> tuple[str, ...]:
    return inspect_file(data, clues=Clues(passwords=passwords)).findings


def test_a_password_opens_what_it_was_made_with_and_nothing_else() -> None:
    assert "password-opens-it" in with_clue(GOOD, "wrong", "correct horse")
    assert "password-opens-it" not in with_clue(GOOD, "wrong", "Correct horse")
    tampered = patched(SECOND - 20, bytes([GOOD[SECOND - 20] ^ 1]))  # then the code does not fit: the other one opens
    assert "password-opens-it" in with_clue(tampered, "correct horse")


def test_any_member_may_be_the_one_that_opens() -> None:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", encryption=pyzipper.WZ_AES) as archive:
        for name, password in (("small", b"hidden elsewhere"), ("large", b"told here")):
            archive.setpassword(password)
            archive.writestr(name, name.encode() * 100)
    assert "password-opens-it" in with_clue(out.getvalue(), "told here")


def test_passwords_outside_ascii_are_tried_as_programs_write_them() -> None:
    for page in ("utf-8", "cp437", "cp1252"):
        out = io.BytesIO()
        with pyzipper.AESZipFile(out, "w", encryption=pyzipper.WZ_AES) as archive:
            archive.setpassword("Schlüssel".encode(page))
            archive.writestr("a", b"x" * 50)
        assert "password-opens-it" in with_clue(out.getvalue(), "Schlüssel")


@pytest.mark.parametrize(
    "name",
    [
        "zip-crypto-7z.zip",
        "zip-crypto-infozip.zip",
        "zip-crypto-infozip-streamed.zip",
        "zip-crypto-zipjs.zip",
        "zip-aes128-7z.zip",
        "zip-aes192-7z.zip",
        "zip-aes256-zipjs.zip",
        "tgz-zip-aes.tgz",
    ],
)
def test_passwords_open_what_other_programs_wrote(name: str) -> None:
    data = (Path(__file__).parents[3] / "attachments/files" / name).read_bytes()
    assert "password-opens-it" in with_clue(data, "Throw-away-1")
    assert "password-opens-it" not in with_clue(data, "Throw-away-2")


def test_every_cut_and_many_changes_are_read_without_fault_and_never_stronger() -> None:
    for at in range(len(GOOD)):
        assert inspect_file(GOOD[:at]).strength is Strength.NONE
        assert "inspection-failed" not in inspect_file(patched(at, bytes([GOOD[at] ^ 0xFF]))).findings


def test_a_bomb_is_not_expanded() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"%PDF-" + bytes(40_000_000))
    assert "expansion-limit" in inspect_file(out.getvalue()).findings
