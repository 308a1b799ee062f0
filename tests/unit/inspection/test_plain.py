"""Kinds of clear data are named by their bytes, cheaply, and never called encrypted."""

from __future__ import annotations

import os
import time

import pytest

from gateway.inspection import inspect_file
from gateway.inspection.plain import judge
from gateway.model import Encrypted, Strength

BEGINNINGS = [
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "jpeg"),
    (b"GIF89a\x01\0\x01\0", "gif"),
    (b"II*\0\x08\0\0\0", "tiff"),
    (b"BM\x36\0\0\0\0\0\0\0", "bmp"),
    (b"RIFF\x10\0\0\0WEBPVP8 ", "webp"),
    (b"RIFF\x10\0\0\0WAVEfmt ", "audio"),
    (b"\0\0\0\x18ftypheic\0\0\0\0", "heic"),
    (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
    (b"ID3\x04\0", "audio"),
    (b"MZ\x90\0\x03", "executable"),
    (b"\x7fELF\x02\x01", "executable"),
    (b"#!/bin/sh\necho\n", "script"),
    (b"SQLite format 3\0\x10\0", "sqlite"),
    (b"!BDN\x01\x02", "outlook-store"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "onenote"),
    (b"MSCF\0\0\0\0", "cab"),
    (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", "shortcut"),
    (b"{\\rtf1\\ansi Note\\par}", "rtf"),
    (b"<!DOCTYPE html><p>Note", "html"),
    (b"\xef\xbb\xbf <HTML><p>Note", "html"),
    (b'<?xml version="1.0"?><note/>', "xml"),
    (b'<?xml version="1.0"?>\n<svg/>', "svg"),
    (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "calendar"),
    (b"BEGIN:VCARD\r\nVERSION:4.0\r\n", "vcard"),
    (b'{"name": "value"}', "json"),
    (b"[1, 2, 3]", "json"),
    (b"[Note] see below", "text"),
    (b"{curly} words", "text"),
    (b"a,b,c\n1,2,3\n4,5,6\n", "csv"),
    (b"a;b;c\r\n1;2;3\r\n", "csv"),
    (b"Dear all,\nsee, below,\nthanks\n", "text"),
    ("Grüße".encode("latin-1"), "text"),
    ("Visit".encode("utf-16"), "text"),
    (b"(This file must be converted with BinHex 4.0)\n:abc", "binhex"),
    (b"\0\x01\x02\x03", "unknown"),
]


@pytest.mark.parametrize(("data", "kind"), BEGINNINGS)
def test_kinds_by_their_bytes(data: bytes, kind: str) -> None:
    part = judge(data)
    assert (part.kind, part.findings, part.size) == (kind, ("clear-text",), len(data))
    assert (part.strength, part.encrypted) == (Strength.NONE, Encrypted.NO)


def test_kinds_that_stand_further_in() -> None:
    disc = bytearray(40_000)
    disc[32769:32774] = b"CD001"
    assert judge(bytes(disc)).kind == "iso"
    disk = bytearray(1024)
    disk[510:512] = b"\x55\xaa"
    assert judge(bytes(disk)).kind == "disk-image"
    assert judge(os.urandom(4000) + b"koly" + bytes(508)).kind == "disk-image"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"LUKS\xba\xbe\0\x02", "luks"),
        (b"\xeb\x58\x90-FVE-FS-\0\x02", "bitlocker"),
        (b"encrcdsa\0\0\0\x02", "encrypted-disk-image"),
        (b"Salted__" + os.urandom(64), "openssl-enc"),
    ],
)
def test_volumes_are_outside_the_scale(data: bytes, kind: str) -> None:
    part = judge(data)
    assert (part.kind, part.strength, part.findings) == (kind, Strength.NONE, ("unknown-encryption",))


def test_random_octets_cannot_be_certified() -> None:
    for size in (200, 5000, 1_000_000):
        data = b"\x07" + os.urandom(size)
        part = inspect_file(data)
        assert (part.kind, part.strength, part.findings) == ("unknown", Strength.NONE, ("random-bytes",))
    assert judge(b"\x07" + os.urandom(20)).findings == ("clear-text",)
    assert judge(b"\x07" + os.urandom(500) + bytes(500)).findings == ("clear-text",)


def test_nothing_at_all() -> None:
    assert judge(b"").findings == ("nothing-to-protect",)
    assert judge(b" \r\n").findings == ("nothing-to-protect",)


def test_it_is_cheap() -> None:
    text = b"Dear colleague, the report on the visit is ready for you to read today.\n" * 70
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(100):
            judge(text)
        best = min(best, (time.perf_counter() - began) / 100)
    assert best < 100e-6
