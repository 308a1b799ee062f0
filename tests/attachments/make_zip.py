"""Makes the labelled ZIP, tar and compressed files. Run from the project's root; needs Debian's zip, p7zip-full, tar,
gzip, bzip2 and xz-utils, the Python package pyzipper, node 20, and the npm package @zip.js/zip.js in $NODE_MODULES.

No free program writes the strong encryption of PKWARE: write_zip.mjs and this script each write it from APPNOTE 6.3.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import pyzipper
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from tests.attachments.label import keep

PASSWORD = "Throw-away-1"
TEXT = b"Minutes of the planning meeting. The chair opened the meeting.\n" * 12
AE2 = "WinZip AES-256 (AE-2)"
OWN = "make_zip.py, from APPNOTE 6.3"
WRITER = Path(__file__).with_name("write_zip.mjs")


def run(*arguments: str, cwd: Path) -> None:
    subprocess.run(arguments, cwd=cwd, check=True, stdout=subprocess.DEVNULL, timeout=60)


def version_of(*arguments: str, words: slice) -> str:
    out = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    return " ".join(out.split()[words])


# ---------------------------------------------------------------- good ones


def with_programs(home: Path) -> None:
    (home / "minutes.txt").write_bytes(TEXT)
    (home / "annex.txt").write_bytes(TEXT * 2)
    seven = "7z " + version_of("7z", "i", words=slice(2, 3))
    seal = (f"-p{PASSWORD}", "minutes.txt", "annex.txt")
    for bits in (128, 192, 256):
        run("7z", "a", "-tzip", f"-mem=AES{bits}", f"7z{bits}.zip", *seal, cwd=home)
        aes(f"zip-aes{bits}-7z.zip", (home / f"7z{bits}.zip").read_bytes(), seven, f"WinZip AES-{bits} (AE-2)")
    run("7z", "a", "-tzip", "-mem=AES256", "-mx=0", "7zcopy.zip", *seal, cwd=home)
    aes("zip-aes256-7z-stored.zip", (home / "7zcopy.zip").read_bytes(), seven, AE2)
    run("7z", "a", "-tzip", "7zc.zip", *seal, cwd=home)
    crypto("zip-crypto-7z.zip", (home / "7zc.zip").read_bytes(), seven)
    run("zip", "-q", "-P", PASSWORD, "zc.zip", "minutes.txt", "annex.txt", cwd=home)
    info_zip = "zip 3.0 (Info-ZIP)"
    crypto("zip-crypto-infozip.zip", (home / "zc.zip").read_bytes(), info_zip)
    with (home / "annex.txt").open("rb") as source:
        streamed = subprocess.run(
            ["zip", "-q", "-P", PASSWORD, "-", "-"], stdin=source, capture_output=True, check=True
        ).stdout
    crypto("zip-crypto-infozip-streamed.zip", streamed, info_zip)
    run("zip", "-q", "plain.zip", "minutes.txt", cwd=home)
    keep(
        "zip-plain-infozip.zip",
        (home / "plain.zip").read_bytes(),
        row="compressed-only",
        made_by=info_zip,
        kind="zip",
        strength="none",
        scheme="ZIP, not encrypted",
        encrypted="no",
        findings=("clear-member",),
    )
    for cipher in ("aes", "zipcrypto"):
        run("node", str(WRITER), "zipjs", f"js-{cipher}.zip", PASSWORD, cipher, cwd=home)
    aes("zip-aes256-zipjs.zip", (home / "js-aes.zip").read_bytes(), "zip.js", AE2)
    crypto("zip-crypto-zipjs.zip", (home / "js-zipcrypto.zip").read_bytes(), "zip.js")
    run("node", str(WRITER), "pkware", "pk.zip", PASSWORD, cwd=home)
    keep(
        "zip-pkware-3des-node.zip",
        (home / "pk.zip").read_bytes(),
        row="pkware-below-aes",
        made_by="write_zip.mjs, from APPNOTE 6.3 section 7",
        kind="zip",
        strength="weak",
        scheme="PKWARE strong encryption, 3DES",
        encrypted="yes",
        password=PASSWORD,
    )


def aes(name: str, data: bytes, made_by: str, scheme: str) -> None:
    keep(
        name,
        data,
        row="zip-aes",
        made_by=made_by,
        kind="zip",
        strength="acceptable",
        scheme=scheme,
        encrypted="yes",
        password=PASSWORD,
    )


def crypto(name: str, data: bytes, made_by: str) -> None:
    keep(
        name,
        data,
        row="zipcrypto",
        made_by=made_by,
        kind="zip",
        strength="weak",
        scheme="ZipCrypto",
        encrypted="yes",
        findings=("zip-crypto",),
        password=PASSWORD,
    )


def with_pyzipper() -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(PASSWORD.encode())
        archive.writestr("minutes.txt", TEXT)
        archive.writestr("annex.txt", TEXT * 2)
    return out.getvalue()


def with_more(good: bytes, name: str, data: bytes) -> bytes:
    """The archive with a member that is not encrypted."""
    out = io.BytesIO(good)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, data)
    return out.getvalue()


# ---------------------------------------------------------------- PKWARE, in a writer of our own


def derive(octets: bytes, size: int) -> bytes:
    """The key derivation of the CryptoAPI over SHA-1 (APPNOTE 7.2.1)."""
    digest = hashlib.sha1(octets).digest()
    blocks = (
        bytes(pad ^ octet for octet, pad in zip(digest.ljust(64, b"\0"), [fill] * 64, strict=True))
        for fill in (0x36, 0x5C)
    )
    return b"".join(hashlib.sha1(block).digest() for block in blocks)[:size]


def with_pkware(algorithm: int, bits: int) -> bytes:
    """One member, sealed for PASSWORD; RC2 (0x6602) or 3DES (0x6603)."""
    cipher = RC2 if algorithm == 0x6602 else TripleDES
    size = bits // 8 if algorithm == 0x6602 else 24
    iv, random, check = os.urandom(16), os.urandom(32), os.urandom(16)

    def seal(key: bytes, data: bytes) -> bytes:
        padder = padding.PKCS7(64).padder()
        machine = Cipher(cipher(key), modes.CBC(iv[:8])).encryptor()
        return machine.update(padder.update(data) + padder.finalize()) + machine.finalize()

    erd = seal(derive(PASSWORD.encode(), size), random)
    session = derive(iv + random, size)
    validation = seal(session, check + struct.pack("<L", zlib.crc32(check)))
    rest = struct.pack("<5H", 3, algorithm, bits, 1, len(erd)) + erd
    rest += struct.pack("<LH", 0, len(validation)) + validation
    body = struct.pack("<H", 16) + iv + struct.pack("<L", len(rest)) + rest
    body += seal(session, zlib.compress(TEXT)[2:-4])
    name, extra = b"minutes.txt", struct.pack("<6H", 0x0017, 8, 2, algorithm, bits, 1)
    common = struct.pack("<5H3L", 51, 0x41, 8, 0x6000, 0x5821, zlib.crc32(TEXT), len(body), len(TEXT))
    local = b"PK\x03\x04" + common + struct.pack("<2H", len(name), 0) + name + body
    central = b"PK\x01\x02" + struct.pack("<H", 51) + common
    central += struct.pack("<5H2L", len(name), len(extra), 0, 0, 0, 0, 0) + name + extra
    return local + central + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, len(central), len(local), 0)


# ---------------------------------------------------------------- bad ones


def bad(good: bytes) -> None:
    second, directory, end = good.index(b"PK\x03\x04", 4), good.index(b"PK\x01\x02"), good.rindex(b"PK\x05\x06")
    comment = b"The minutes say that the plan was agreed."
    for name, data, findings in (
        ("zip-one-clear-member.zip", with_more(good, "notes.txt", TEXT), ("clear-member",)),
        ("zip-macosx-clear.zip", with_more(good, "__MACOSX/._minutes.txt", b"\0\5\x16\7" + TEXT), ("clear-member",)),
        ("zip-comment.zip", good[:-2] + struct.pack("<H", len(comment)) + comment, ("archive-comment",)),
        ("zip-trailing.zip", good + comment, ("trailing-bytes",)),
        ("zip-prefixed.zip", comment + good, ("leading-bytes",)),
        ("zip-gap.zip", widened(good, second, comment, directory, end), ("archive-gap",)),
        ("zip-local-says-clear.zip", good[:6] + b"\0\0" + good[8:], ("headers-disagree",)),
    ):
        keep(
            name,
            data,
            row="partly-encrypted",
            made_by=OWN,
            kind="zip",
            strength="none",
            scheme=f"partly {AE2}",
            encrypted="partial",
            findings=findings,
        )
    keep(
        "zip-cut-short.zip",
        good[:end],
        row="unknown-format",
        made_by=OWN,
        kind="zip",
        strength="none",
        scheme="",
        encrypted="no",
        findings=("unreadable",),
    )
    told = (TEXT * 2)[: good.index(b"PK\x03\x04", 4) - 41 - 11]
    keep(
        "zip-label-lies.zip",
        good[:52] + told + good[52 + len(told) :],
        row="partly-encrypted",
        made_by=OWN,
        kind="zip",
        strength="none",
        scheme=f"partly {AE2}",
        encrypted="partial",
        findings=("clear-member", "looks-readable"),
    )


def widened(good: bytes, at: int, text: bytes, directory: int, end: int) -> bytes:
    """The archive with text between its two members, and offsets that fit."""
    grown = bytearray(good[:at] + text + good[at:])
    entry = good.index(b"PK\x01\x02", directory + 4) + len(text)
    struct.pack_into("<L", grown, entry + 42, at + len(text))
    struct.pack_into("<L", grown, end + len(text) + 16, directory + len(text))
    return bytes(grown)


# ---------------------------------------------------------------- tar and streams


def tar(form: int, members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def containers(home: Path, good: bytes) -> None:
    (home / "minutes.zip").write_bytes(good)
    run("tar", "-czf", "minutes.tgz", "minutes.zip", cwd=home)
    run("xz", "-k", "minutes.zip", cwd=home)
    run("bzip2", "-k", "minutes.zip", cwd=home)
    gnu = version_of("tar", "--version", words=slice(3, 4))
    for name, data, kind, made_by, scheme in (
        ("tgz-zip-aes.tgz", (home / "minutes.tgz").read_bytes(), "gzip", f"tar {gnu}", f"{AE2}, in gzip"),
        ("xz-zip-aes.zip.xz", (home / "minutes.zip.xz").read_bytes(), "xz", "xz", f"{AE2}, in xz"),
        ("bzip2-zip-aes.zip.bz2", (home / "minutes.zip.bz2").read_bytes(), "bzip2", "bzip2", f"{AE2}, in bzip2"),
        ("lzma-zip-aes.zip.lzma", lzma.compress(good, lzma.FORMAT_ALONE), "lzma", "Python's lzma", f"{AE2}, in lzma"),
        ("tar-pax-zip-aes.tar", tar(tarfile.PAX_FORMAT, {"ü" * 120 + ".zip": good}), "tar", "Python's tarfile", AE2),
        ("tar-gnu-zip-aes.tar", tar(tarfile.GNU_FORMAT, {"a" * 120 + ".zip": good}), "tar", "Python's tarfile", AE2),
    ):
        keep(
            name,
            data,
            row="zip-aes",
            made_by=made_by,
            kind=kind,
            strength="acceptable",
            scheme=scheme,
            encrypted="yes",
            password=PASSWORD,
        )
    mixed = tar(tarfile.USTAR_FORMAT, {"minutes.zip": good, "notes.txt": TEXT})
    packed = gzip.compress(good, mtime=0)
    noted = packed[:3] + b"\x10" + packed[4:10] + b"The plan was agreed.\0" + packed[10:]
    for name, data, kind, scheme, findings in (
        ("tar-mixed.tar", mixed, "tar", f"partly {AE2}", ("clear-member",)),
        ("gzip-comment.gz", noted, "gzip", f"partly {AE2}, in gzip", ("archive-comment",)),
        ("gzip-trailing.gz", packed + b"The plan was agreed.", "gzip", f"partly {AE2}, in gzip", ("trailing-bytes",)),
    ):
        keep(
            name,
            data,
            row="partly-encrypted",
            made_by=OWN.replace("APPNOTE 6.3", "RFC 1952 and ustar"),
            kind=kind,
            strength="none",
            scheme=scheme,
            encrypted="partial",
            findings=findings,
        )
    for name, data, kind in (
        ("plain.txt.gz", gzip.compress(TEXT, mtime=0), "gzip"),
        ("plain.txt.bz2", bz2.compress(TEXT), "bzip2"),
        ("plain.txt.xz", lzma.compress(TEXT), "xz"),
    ):
        keep(
            name,
            data,
            row="compressed-only",
            made_by="Python's zlib, bz2 and lzma",
            kind=kind,
            strength="none",
            scheme=f"{kind}, not encrypted",
            encrypted="no",
            findings=("clear-text",),
        )


def main() -> None:
    good = with_pyzipper()
    aes("zip-aes256-pyzipper.zip", good, f"pyzipper {pyzipper.__version__}", AE2)
    for name, algorithm, bits, words in (("rc2", 0x6602, 128, "RC2"), ("3des", 0x6603, 168, "3DES")):
        keep(
            f"zip-pkware-{name}.zip",
            with_pkware(algorithm, bits),
            row="pkware-below-aes",
            made_by=OWN,
            kind="zip",
            strength="weak",
            scheme=f"PKWARE strong encryption, {words}",
            encrypted="yes",
            password=PASSWORD,
        )
    with tempfile.TemporaryDirectory() as home:
        with_programs(Path(home))
        containers(Path(home), good)
    bad(good)


if __name__ == "__main__":
    main()
