"""An archive that says one thing in its directory and another in its members is clear."""

from __future__ import annotations

import io
import os
import struct
import zipfile

import pytest
import pyzipper

from gateway.inspection import inspect_file
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
