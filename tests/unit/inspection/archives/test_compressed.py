"""A compressed stream is worth what it holds, and nothing where anything stands beside that."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import time
import zlib

import pytest
import pyzipper

from gateway.inspection import inspect_file
from gateway.inspection.limits import AT_ONCE, Limits
from gateway.model import Encrypted, Strength


def sealed() -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"correct horse")
        archive.writestr("a.txt", os.urandom(700))
    return out.getvalue()


GOOD = sealed()
FORMS = {
    "gzip": gzip.compress(GOOD, mtime=0),
    "bzip2": bz2.compress(GOOD),
    "xz": lzma.compress(GOOD),
    "lzma": lzma.compress(GOOD, lzma.FORMAT_ALONE),
}


def with_field(flag: int, content: bytes) -> bytes:
    packed = FORMS["gzip"]
    return packed[:3] + bytes([flag]) + packed[4:10] + content + packed[10:]


@pytest.mark.parametrize("kind", FORMS)
def test_a_stream_is_as_strong_as_its_content(kind: str) -> None:
    found = inspect_file(FORMS[kind])
    assert (found.kind, found.strength, found.encrypted) == (kind, Strength.ACCEPTABLE, Encrypted.YES)
    assert found.scheme == f"WinZip AES-256 (AE-2), in {kind}"
    assert found.findings == ()


@pytest.mark.parametrize("kind", FORMS)
def test_a_stream_of_text_is_clear(kind: str) -> None:
    pack = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
    data = pack.get(kind, lambda d: lzma.compress(d, lzma.FORMAT_ALONE))(b"Jane is at risk. " * 3000)
    found = inspect_file(data)
    assert (found.kind, found.strength, found.findings) == (kind, Strength.NONE, ("clear-text",))


@pytest.mark.parametrize("kind", FORMS)
def test_what_follows_a_stream_is_read_too(kind: str) -> None:
    assert inspect_file(FORMS[kind] + b"Jane is at risk").strength is Strength.NONE
    assert inspect_file(FORMS[kind] + FORMS[kind]).strength is Strength.NONE  # two archives one behind the other


def test_streams_one_behind_the_other_are_one_content() -> None:
    half = len(GOOD) // 2
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        found = inspect_file(pack(GOOD[:half]) + pack(GOOD[half:]))
        assert found.strength is Strength.ACCEPTABLE


@pytest.mark.parametrize("kind", FORMS)
def test_every_cut_is_clear(kind: str) -> None:
    for at in range(len(FORMS[kind])):
        assert inspect_file(FORMS[kind][:at]).strength is Strength.NONE, at


def test_a_gzip_name_is_only_a_name_and_is_searched() -> None:
    assert inspect_file(with_field(8, b"report.zip\0")).strength is Strength.ACCEPTABLE
    found = inspect_file(with_field(8, b"NHS 9434765919.zip\0"))
    assert (found.findings, dict(found.identifiers)) == (("identifier-in-name",), {"nhs-number": 1})


def test_a_gzip_comment_or_extra_field_is_clear() -> None:
    for data in (with_field(16, b"Jane\0"), with_field(4, struct.pack("<H", 4) + b"Jane")):
        found = inspect_file(data)
        assert (found.strength, found.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
        assert "archive-comment" in found.findings
    blocked = with_field(4, struct.pack("<H", 6) + b"BC\2\0\0\0")  # as bgzip writes it
    assert inspect_file(blocked).strength is Strength.ACCEPTABLE


def test_a_wrong_checksum_or_unknown_flag_is_unreadable() -> None:
    packed = FORMS["gzip"]
    for data in (packed[:-8] + b"\0\0\0\0" + packed[-4:], packed[:3] + b"\x80" + packed[4:], packed[:-4] + b"\1\0\0\0"):
        assert inspect_file(data).findings == ("unreadable",)


def test_zstd_is_named_but_not_looked_into() -> None:
    found = inspect_file(b"\x28\xb5\x2f\xfd" + os.urandom(200))
    assert (found.kind, found.strength, found.findings) == ("zstd", Strength.NONE, ("not-examined",))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb_costs_little(pack: object) -> None:
    bomb = pack(b"%PDF-" + bytes(80_000_000))  # type: ignore[operator]
    start = time.perf_counter()
    found = inspect_file(bomb)
    assert time.perf_counter() - start < 2
    assert found.strength is Strength.NONE
    assert "expansion-limit" in found.findings


def test_small_limits_leave_it_unfinished_and_clear() -> None:
    data = gzip.compress(b"%PDF-" + os.urandom(2_000_000))
    assert "expansion-limit" in inspect_file(data, AT_ONCE).findings
    assert "expansion-limit" not in inspect_file(data).findings


def test_streams_inside_streams_end_at_the_depth() -> None:
    data = GOOD
    for _ in range(Limits().depth + 4):
        data = gzip.compress(data, mtime=0)
    assert inspect_file(data).strength is Strength.NONE


def test_a_stream_without_checksum_at_its_end_is_cut_short() -> None:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    bare = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + machine.compress(GOOD) + machine.flush()
    assert inspect_file(bare).findings == ("unreadable",)
