"""Labels of archives and compressed streams, by zipfile, 7z, rarfile, bsdtar and Python's own readers."""

from __future__ import annotations

import binascii
import re
import tempfile
from pathlib import Path
from typing import Any

from labels import Label, kept, label, run, weakest


def zipped(data: bytes, depth: int) -> Label:
    """By the flags and extra fields of the central directory; plain members are looked into."""
    import zipfile

    with kept(data, ".zip") as name:
        try:
            archive = zipfile.ZipFile(name)
        except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
            return _other_zip(name, data, type(fault).__name__)
        with archive:
            members = [info for info in archive.infolist() if not info.is_dir() and info.file_size]
            names = set(archive.namelist())
            if "META-INF/manifest.xml" in names and "mimetype" in names:
                return _open_document(archive, members)
            if not members:
                return Label("zip", "unclear", "nothing in it")
            found = [_zip_member(archive, info, depth) for info in members[:200]]
            return weakest("zip", found, _zip_extras(data, archive))


def _other_zip(name: str, data: bytes, fault: str) -> Label:
    _, said = run("7z", "l", "-slt", "-pwrong", name)
    marks = re.findall(r"^Encrypted = ([+-])", said, re.MULTILINE)
    if "-" in marks and b"PK\x01\x02" in data:
        return Label("zip", "clear", "7z lists a member that is not encrypted")
    return Label("zip", "unclear", f"not opened: {fault}")


def _zip_extras(data: bytes, archive: Any) -> str:
    """What else in the file can be read, as far as zipfile sees it."""
    extras = []
    if not data.startswith(b"PK"):
        extras.append("prefixed data")
    if len(archive.comment) > 0:
        extras.append("comment")
    if any(info.comment for info in archive.infolist()):
        extras.append("member comment")
    return ", ".join(extras)


def _zip_member(archive: Any, info: Any, depth: int) -> Label:
    if not info.flag_bits & 1:
        try:
            with archive.open(info) as member:
                return label(member.read(16 << 20), depth + 1)
        except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
            return Label("zip", "clear", f"not encrypted, not expanded ({type(fault).__name__})")
    if info.flag_bits & 0x40:
        return Label("zip", "unclear", "PKWARE strong encryption")
    extra = info.extra
    while len(extra) >= 4:
        code, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if code == 0x9901 and info.compress_type == 99:
            return Label("zip", "acceptable", "WinZip AES")
        extra = extra[4 + size :]
    return Label("zip", "weak" if info.compress_type != 99 else "unclear", "ZipCrypto")


def _open_document(archive: Any, members: list[Any]) -> Label:
    try:
        manifest = archive.read("META-INF/manifest.xml").decode("utf-8", "replace")
    except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
        return Label("odf", "unclear", type(fault).__name__)
    entries = re.split(r"<(?:\w+:)?file-entry\b", manifest)[1:]
    sealed = {
        match[1]: entry
        for entry in entries
        if "encryption-data" in entry and (match := re.search(r'full-path="([^"]*)"', entry))
    }
    if not sealed:
        return Label("odf", "clear", "no entry is encrypted")
    beside = {"mimetype", "META-INF/manifest.xml"}
    clear = [info.filename for info in members if info.filename not in sealed and info.filename not in beside]
    if any(name in ("content.xml", "styles.xml") or name.startswith("Pictures/") for name in clear):
        return Label("odf", "clear", "content is not encrypted")
    if clear:
        return Label("odf", "unclear", f"{len(clear)} other members are clear")
    algorithms = set(re.findall(r'algorithm-name="([^"]*)"', " ".join(sealed.values())))
    if any("lowfish" in name for name in algorithms):
        return Label("odf", "weak", "Blowfish")
    if any("aes256-gcm" in name for name in algorithms) and "rgon2" in manifest:
        return Label("odf", "strong", "AES-256-GCM, Argon2id")
    if any("aes256" in name for name in algorithms):
        return Label("odf", "acceptable", "AES-256")
    return Label("odf", "unclear", str(algorithms))


def seven(data: bytes, depth: int) -> Label:
    """By 7z's listing; what cannot even be listed has encrypted names."""
    with kept(data, ".7z") as name:
        status, said = run("7z", "l", "-slt", "-pwrong", name)
        if "Cannot open encrypted archive" in said:
            return Label("7z", "strong", "names encrypted")
        if status and "Encrypted = " not in said:
            return Label("7z", "unclear", "7z cannot open it")
        blocks = [block for block in said.split("\n\n") if "\nSize = " in block and "Encrypted = " in block]
        marks = [block for block in blocks if "\nSize = 0\n" not in block]
        clear = [block for block in marks if "Encrypted = -" in block]
        if clear and len(clear) == len(marks):
            return _expanded("7z", name, depth)
        if clear:
            return Label("7z", "clear", "a member is not encrypted")
        if not marks:
            return Label("7z", "unclear", "nothing in it")
        if "ERROR" in said or "WARNING" in said:
            return Label("7z", "unclear", "damaged, or bytes after the archive")
        return Label("7z", "strong", "7zAES")


def _expanded(kind: str, name: str, depth: int) -> Label:
    """A plain archive is as readable as what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        run("bsdtar", "-x", "-f", name, "-C", folder, "--no-same-owner", "--no-same-permissions")
        files = [path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]
        found = [label(path.read_bytes()[: 16 << 20], depth + 1) for path in files[:50] if path.stat().st_size]
    return weakest(kind, found) if found else Label(kind, "clear", "not encrypted")


def rar(data: bytes, depth: int) -> Label:
    """By rarfile's reading of the headers, with unrar as a second opinion on what opens."""
    import rarfile

    with kept(data, ".rar") as name:
        try:
            archive = rarfile.RarFile(name, part_only=True)
        except rarfile.PasswordRequired:
            return Label(
                "rar", "strong" if b"Rar!\x1a\x07\x01" in data[: 1 << 20] else "acceptable", "headers encrypted"
            )
        except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
            return Label("rar", "unclear", f"rarfile: {type(fault).__name__}")
        five = b"Rar!\x1a\x07\x01" in data[: 1 << 20]
        if archive.needs_password() and not archive.infolist():
            return Label("rar", "strong" if five else "acceptable", "headers encrypted")
        members = [info for info in archive.infolist() if not info.is_dir() and info.file_size]
        if not members:
            return Label("rar", "unclear", "nothing in it")
        clear = [info for info in members if not info.needs_password()]
        if clear:
            return Label("rar", "clear", "a member is not encrypted")
        if archive.comment or not data.startswith(b"Rar!"):
            return Label("rar", "unclear", "comment or prefixed data beside encrypted members")
        old = any((getattr(info, "extract_version", 50) or 50) < 29 for info in members)
        return Label("rar", "weak" if old else "strong" if five else "acceptable", "all members encrypted")


def packed(data: bytes, depth: int) -> Label:
    """gzip, bzip2, xz, tar and what else bsdtar opens."""
    with kept(data) as name:
        return _expanded("archive", name, depth)


def uuencoded(data: bytes, depth: int) -> Label:
    """A file written as text."""
    start = re.search(rb"^begin [0-7]{3,4} .*\n", data, re.MULTILINE)
    if start is None or data[: start.start()].strip():
        return Label("text", "clear", "text before the encoded file")
    decoded = bytearray()
    for line in data[start.end() :].splitlines():
        if line == b"end":
            return label(bytes(decoded), depth + 1)
        try:
            decoded += binascii.a2b_uu(line)
        except binascii.Error:
            decoded += binascii.a2b_uu(line[: 1 + -(-((line[0] - 32) & 63) // 3) * 4] if line else b"")
    return Label("text", "unclear", "the encoded file has no end")


def stream(data: bytes, depth: int) -> Label:
    """One compressed stream."""
    import bz2
    import lzma
    import zlib

    for unpack in (
        lambda: zlib.decompressobj(31).decompress(data, 16 << 20),
        lambda: bz2.BZ2Decompressor().decompress(data, 16 << 20),
        lambda: lzma.LZMADecompressor().decompress(data, 16 << 20),
    ):
        try:
            inner = label(unpack(), depth + 1)
        except Exception:  # noqa: BLE001 - the next kind is tried
            continue
        return Label("stream", inner.level, inner.why)
    return Label("stream", "clear", "a damaged stream, not encrypted")
