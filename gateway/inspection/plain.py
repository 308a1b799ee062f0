"""What data is that no format reader knows: named by its first bytes, for the auditor's sake. All of it is clear.

Guarantees: always `none`, whatever the name; a name decides nothing. Cost: a few microseconds, whatever the size.
Volumes of disk encryption and data that merely looks random are told apart from readable files, but cannot be
certified. Failures: none raised.
"""

from __future__ import annotations

import re

from gateway.inspection.ciphertext import looks_random
from gateway.model import PartFacts

_HEAD = 2048
_RANDOM_LEAST = 128  # octets below which chance makes things look random

_TEXT = bytes(range(32, 127)) + b"\t\r\n\f\x1b" + bytes(range(128, 256))

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"\0\0\x01\0", "icon"),
    (b"8BPS", "photoshop"),
    (b"\x76\x2f\x31\x01", "openexr"),
    (b"\xd7\xcd\xc6\x9a", "wmf"),
    (b"ID3", "audio"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"MThd", "audio"),
    (b"#!AMR", "audio"),
    (b"\xff\xfb", "audio"),
    (b"\xff\xf3", "audio"),
    (b"\xff\xf1", "audio"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"FLV\x01", "video"),
    (b"\0\0\x01\xba", "video"),
    (b"\0\0\x01\xb3", "video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video"),
    (b"MZ", "executable"),
    (b"\x7fELF", "executable"),
    (b"\xca\xfe\xba\xbe", "executable"),
    (b"\xcf\xfa\xed\xfe", "executable"),
    (b"\xce\xfa\xed\xfe", "executable"),
    (b"\0asm", "executable"),
    (b"dex\n", "executable"),
    (b"#!", "script"),
    (b"SQLite format 3\0", "sqlite"),
    (b"\0\x01\0\0Standard Jet DB", "access"),
    (b"\0\x01\0\0Standard ACE DB", "access"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "onenote"),
    (b"!BDN", "outlook-store"),
    (b"\xcf\xad\x12\xfe", "outlook-express-store"),
    (b"MSCF", "cab"),
    (b"ISc(", "cab"),
    (b"ITSF", "chm"),
    (b"xar!", "xar"),
    (b"!<arch>\n", "ar"),
    (b"070701", "cpio"),
    (b"070707", "cpio"),
    (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", "shortcut"),
    (b"conectix", "disk-image"),
    (b"vhdxfile", "disk-image"),
    (b"KDMV", "disk-image"),
    (b"QFI\xfb", "disk-image"),
    (b"hsqs", "disk-image"),
    (b"encrcdsa", "encrypted-disk-image"),
    (b"cdsaencr", "encrypted-disk-image"),
    (b"LUKS\xba\xbe", "luks"),
    (b"SKUL\xba\xbe", "luks"),
    (b"\xeb\x58\x90-FVE-FS-", "bitlocker"),
    (b"\xeb\x52\x90-FVE-FS-", "bitlocker"),
    (b"Salted__", "openssl-enc"),
    (b"U2FsdGVkX1", "openssl-enc"),
    (b"%!PS", "postscript"),
    (b"{\\rtf", "rtf"),
    (b"BLENDER", "blender"),
    (b"AC10", "dwg"),
    (b"wOFF", "font"),
    (b"wOF2", "font"),
    (b"OTTO\0", "font"),
    (b"\0\x01\0\0\0", "font"),
    (b"ADIF", "audio"),
    (b"PAR1", "parquet"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress"),
    (b"LZIP", "lzip"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"(This file must be converted with BinHex", "binhex"),
    (b"=ybegin ", "yenc"),
    (b"begin ", "uuencode"),
    (b"begin-base64 ", "uuencode"),
)
_BY_FIRST: dict[int, tuple[tuple[bytes, str], ...]] = {
    first: tuple(pair for pair in _SIGNATURES if pair[0][0] == first) for first in {pair[0][0] for pair in _SIGNATURES}
}
_VOLUMES = frozenset({"luks", "bitlocker", "encrypted-disk-image", "openssl-enc"})
_BRANDS: tuple[tuple[bytes, str], ...] = (
    (b"heic", "heic"),
    (b"heix", "heic"),
    (b"mif1", "heic"),
    (b"avif", "avif"),
    (b"M4A ", "audio"),
)
_RIFF = {b"WEBP": "webp", b"WAVE": "audio", b"AVI ": "video"}
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "html"),
    (b"<html", "html"),
    (b"<svg", "svg"),
    (b"<?xml", "xml"),
    (b"begin:vcalendar", "calendar"),
    (b"begin:vcard", "vcard"),
    (b"from ", "mbox"),
)
_JSON = re.compile(rb'\s*(?:\{\s*(?:"[^"\r\n]{0,100}"\s*:|\})|\[\s*(?:[\]{\["0-9-]|true|false|null))')
_MARKS = (b"\xff\xfe", b"\xfe\xff")


def judge(data: bytes) -> PartFacts:
    """The verdict on data that no format recognises."""
    if not data.strip():
        return PartFacts("unknown", findings=("nothing-to-protect",), size=len(data))
    kind = _named(data)
    if kind in _VOLUMES:
        return PartFacts(kind, findings=("unknown-encryption",), size=len(data))
    if not kind and len(data) >= _RANDOM_LEAST and looks_random(data):
        return PartFacts("unknown", findings=("random-bytes",), size=len(data))
    return PartFacts(kind or "unknown", findings=("clear-text",), size=len(data))


def _named(data: bytes) -> str:
    """The kind that the first bytes tell, "" where they tell none."""
    head = data[:_HEAD]
    for signature, kind in _BY_FIRST.get(head[0], ()):
        if head.startswith(signature):
            return kind
    if b"\0" not in head and not head.translate(None, _TEXT):
        return _text(head)
    if head.startswith(_MARKS):
        return "text"
    return _binary(head, data)


def _text(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:15].lower()
    for beginning, kind in _BEGINNINGS:
        if start.startswith(beginning):
            return "svg" if kind == "xml" and b"<svg" in head else kind
    if start[:1] in (b"{", b"[") and _JSON.match(head):
        return "json"
    return "csv" if _is_table(head) else "text"


def _is_table(head: bytes) -> bool:
    """True if the first three lines have the same number of one separator, two at the least."""
    lines = head.splitlines()[:4]
    if len(lines) == 4:
        del lines[3]
    if len(lines) < 2:
        return False
    for separator in b",;\t":
        counts = {line.count(separator) for line in lines}
        if len(counts) == 1 and min(counts) >= 2:
            return True
    return False


def _binary(head: bytes, data: bytes) -> str:
    """Kinds whose signature is not at the very beginning."""
    if head[4:8] == b"ftyp":
        return next((kind for brand, kind in _BRANDS if head[8:12] == brand), "video")
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], "")
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "bmp"
    if data[32769:32774] == b"CD001":
        return "iso"
    if data[-512:-508] == b"koly":
        return "disk-image"
    if head[510:512] == b"\x55\xaa" and not looks_random(head):
        return "disk-image"
    return "tar" if head[257:262] == b"ustar" else ""
