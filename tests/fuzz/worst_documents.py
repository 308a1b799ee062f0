"""Documents that are the worst of their kind: loops, depth, entities, sizes that lie."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from tests.fuzz.worst_cases import CASES, NOWHERE, NUMBERS, SIZE, Builder, case, filled

# ---------------------------------------------------------------- PDF

PDF = b"%PDF-1.7\n"
LOCKED = (
    b"5 0 obj<</Filter/Standard/V 5/R 6/Length 256/P -4/CF<</StdCF<</CFM/AESV3/Length 32>>>>/StmF/StdCF/StrF/StdCF"
    + (b"/O<%s>/U<%s>/OE<%s>/UE<%s>/Perms<%s>>>endobj\n" % (b"41" * 48, b"42" * 48, b"43" * 32, b"44" * 32, b"45" * 16))
)
TRAILER = b"trailer<</Root 1 0 R/Encrypt 5 0 R/Size 9/ID[<00><00>]>>\nstartxref\n9\n%%EOF\n"


def _in_pdf(unit: bytes) -> Builder:
    return lambda: PDF + LOCKED + filled(unit, SIZE - 2000) + b"\n" + TRAILER


PDF_UNITS = {
    "objects": b"1 0 obj<<>>endobj\n",
    "trailers": b"trailer<</Prev 9/Encrypt 5 0 R>>\n",
    "loops": b"xref\n0 1\n0000000009 00000 n \ntrailer<</Prev 9/Root 1 0 R/Encrypt 5 0 R>>\nstartxref\n9\n%%EOF\n",
    "arrays": b"[",
    "dictionaries": b"<<",
    "dictionary_keys": b"<</A ",
    "strings": b"(",
    "escaped_strings": b"(\\",
    "hexadecimal": b"<4",
    "names": b"/#",
    "references": b"1 0 R ",
    "streams": b"1 0 obj<</Length 9>>stream\nxxx\n",
    "stream_ends": b"endstream endobj ",
    "lengths": b"1 0 obj<</Length 1 0 R>>stream\nxxx\nendstream endobj\n",
    "xref_starts": b"startxref\n9\n%%EOF\n",
    "comments": b"%",
    "object_streams": b"1 0 obj<</Type/ObjStm/N 99999999/First 9/Length 9>>stream\nxxxxxxxxx\nendstream endobj\n",
    "encryptions": b"/Encrypt 5 0 R ",
    "pages": b"1 0 obj<</Kids[1 0 R]/Parent 1 0 R/Type/Pages/Count 9>>endobj\n",
    "headers": b"%PDF-1.7\n",
    "nulls": b"\0",
}
CASES.update({f"pdf_of_{name}": _in_pdf(unit) for name, unit in PDF_UNITS.items()})


@case
def pdf_of_a_large_cross_reference() -> bytes:
    table = b"7 0 obj<</Type/XRef/Size 2147483647/W[1 8 8]/Index[0 2147483647]/Root 1 0 R/Encrypt 5 0 R"
    table += b"/Length 900000>>stream\n"
    return (
        PDF
        + LOCKED
        + table
        + filled(b"\1\0", 900_000)
        + b"\nendstream endobj\nstartxref\n%d\n%%%%EOF\n" % (len(PDF + LOCKED))
    )


@case
def pdf_of_bombs() -> bytes:
    packed = zlib.compress(bytes(20_000_000), 9)
    unit = b"<</Filter/FlateDecode/Type/ObjStm/N 1/First 1/Length %d>>stream\n%s\nendstream endobj\n" % (
        len(packed),
        packed,
    )
    objects = b"".join(b"%d 0 obj" % number + unit for number in range(10, 55))
    return (PDF + LOCKED + objects + TRAILER)[:SIZE]


@case
def pdf_of_filters() -> bytes:
    filters = filled(b"/FlateDecode", 800_000)
    return (
        PDF + LOCKED + b"1 0 obj<</Filter[" + filters + b"]/Length 9>>stream\n123456789\nendstream endobj\n" + TRAILER
    )


# ---------------------------------------------------------------- Office


def compound(
    fat: bytes, directory: bytes, *, shift: int = 9, difat: int = 0xFFFFFFFE, difats: int = 0, fats: int = 1
) -> bytes:
    """A compound file of 512-octet sectors: sector 0 is the FAT, sector 1 onward the directory."""
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    header += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, shift, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, fats, 1, 0, 4096, 0xFFFFFFFE, 0, difat, difats)
    header += struct.pack("<I", 0) + b"\xff" * (108 * 4)
    return header + fat.ljust(512, b"\xff")[:512] + directory


def directory_entry(
    name: str,
    kind: int = 2,
    start: int = 2,
    size: int = 100_000,
    left: int = NOWHERE,
    child: int = NOWHERE,
    right: int = NOWHERE,
) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    entry = text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text), kind, 1, left, right, child) + bytes(36)
    return entry + struct.pack("<IQ", start, size)


def _fat(*entries: int) -> bytes:
    return struct.pack(f"<{len(entries)}I", *entries)


@case
def compound_fat_cycle() -> bytes:
    directory = (
        directory_entry("Root Entry", 5, child=1)
        + directory_entry("EncryptedPackage", size=2**31)
        + directory_entry("EncryptionInfo")
    )
    return compound(_fat(0xFFFFFFFD, 0xFFFFFFFE, 3, 2), directory.ljust(512, b"\0") + filled(b"x"))


@case
def compound_directory_cycle() -> bytes:
    directory = directory_entry("Root Entry", 5, child=1) + directory_entry("A", 1, left=1, child=1, right=1) * 3
    return compound(_fat(0xFFFFFFFD, 1), directory.ljust(512, b"\0") + filled(b"x"))


@case
def compound_of_many_entries() -> bytes:
    sectors = 1900
    chain = [0xFFFFFFFD, *range(2, sectors), 0xFFFFFFFE]
    entries = directory_entry("Root Entry", 5, child=1) + directory_entry("EncryptionInfo", left=3, child=2) * 7000
    return compound(_fat(*chain[:128]), entries)


@case
def compound_difat_cycle() -> bytes:
    return compound(_fat(*([0xFFFFFFFC] * 128)), filled(struct.pack("<I", 1)), difat=1, difats=2**31, fats=2**31)


@case
def compound_of_odd_sector_sizes() -> bytes:
    return compound(_fat(0xFFFFFFFD, 0xFFFFFFFE), filled(b"\0"), shift=31)


@case
def compound_of_no_sector_size() -> bytes:
    return compound(_fat(0xFFFFFFFD, 0xFFFFFFFE), filled(b"\0"), shift=0)


def office_package(xml: bytes) -> bytes:
    """An encrypted Office document whose description is this."""
    info = struct.pack("<HHI", 4, 4, 0x40) + xml
    sectors = max(9, -(-len(info) // 512))
    first = 2 + 0
    fat = [0xFFFFFFFD, 0xFFFFFFFE, *range(first + 1, first + sectors), 0xFFFFFFFE]
    package = 2 + sectors
    fat += [*range(package + 1, package + 20), 0xFFFFFFFE]
    directory = directory_entry("Root Entry", 5, start=0xFFFFFFFE, size=0, child=1)
    directory += directory_entry("EncryptionInfo", start=2, size=max(len(info), 4097), left=2)
    directory += directory_entry("EncryptedPackage", start=package, size=20 * 512)
    body = info.ljust(sectors * 512, b" ") + bytes(range(256)) * 40
    return compound(_fat(*fat[:128]), directory.ljust(512, b"\0") + body)


@case
def office_of_entities() -> bytes:
    laughs = b"<!DOCTYPE e [<!ENTITY a0 'ha'>" + b"".join(
        b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 12)
    )
    return office_package(laughs + b"]><encryption>&a11;</encryption>")


@case
def office_of_endless_rounds() -> bytes:
    office = b"http://schemas.microsoft.com/office/2006/"
    zeros = b"A" * 22 + b"=="
    common = b' saltSize="16" blockSize="16" keyBits="256" hashSize="64" cipherAlgorithm="AES" hashAlgorithm="SHA512"'
    common += b' cipherChaining="ChainingModeCBC" saltValue="%s"' % zeros
    verifier = b' encryptedVerifierHashInput="%s" encryptedVerifierHashValue="%s" encryptedKeyValue="%sA="' % (
        zeros,
        zeros,
        b"A" * 42,
    )
    return office_package(
        b'<encryption xmlns="%sencryption"><keyData%s/><keyEncryptors>' % (office, common)
        + b'<keyEncryptor uri="%skeyEncryptor/password"><p:encryptedKey' % office
        + b' xmlns:p="%skeyEncryptor/password" spinCount="2147483647"%s%s/>' % (office, common, verifier)
        + b"</keyEncryptor></keyEncryptors></encryption>"
    )


def _open_document(manifest: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr(zipfile.ZipInfo("META-INF/manifest.xml"), manifest, zipfile.ZIP_DEFLATED)
        archive.writestr("content.xml", bytes(range(256)) * 10)
    return packed.getvalue()


@case
def open_document_of_entities() -> bytes:
    laughs = b"<!DOCTYPE e [<!ENTITY a0 'ha'>" + b"".join(
        b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 12)
    )
    return _open_document(
        laughs
        + b"]><manifest:manifest xmlns:manifest='urn:oasis:names:tc:opendocument:xmlns:manifest:1.0'>"
        + b"&a11;</manifest:manifest>"
    )


@case
def open_document_of_depth() -> bytes:
    return _open_document(b"<a>" * 1_000_000)


@case
def open_document_of_many_entries() -> bytes:
    start = b"<manifest:manifest xmlns:manifest='urn:oasis:names:tc:opendocument:xmlns:manifest:1.0'>"
    entry = b"<manifest:file-entry manifest:full-path='content.xml'><manifest:encryption-data/></manifest:file-entry>"
    return _open_document(start + entry * 200_000 + b"</manifest:manifest>")


@case
def open_document_of_an_external_entity() -> bytes:
    return _open_document(b"<!DOCTYPE e [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><e>&x;</e>")


TNEF = b"\x78\x9f\x3e\x22\x01\x00"


def _tnef(level: int, attribute: int, data: bytes, length: int | None = None) -> bytes:
    start = struct.pack("<BII", level, attribute, len(data) if length is None else length)
    return start + data + struct.pack("<H", sum(data) & 0xFFFF)


@case
def tnef_of_tiny_attributes() -> bytes:
    return TNEF + filled(_tnef(1, 0x00069007, b""))


@case
def tnef_of_attachments() -> bytes:
    return TNEF + filled(_tnef(2, 0x00069002, bytes(14)) + _tnef(2, 0x0006800F, b"hello"))


@case
def tnef_of_properties() -> bytes:
    properties = struct.pack("<I", 0xFFFFFFFF) + filled(struct.pack("<HHI", 0x101F, 0x3001, 0xFFFFFFFF), 900_000)
    return TNEF + _tnef(1, 0x00069003, properties)


@case
def tnef_of_counts() -> bytes:
    return TNEF + _tnef(1, 0x00069003, struct.pack("<I", 200_000) + filled(struct.pack("<HHI", 0x1003, 1, 0), 900_000))


def _tnef_lengths() -> Iterator[tuple[str, Builder]]:
    for number in NUMBERS:
        data = TNEF + _tnef(2, 0x0006800F, filled(b"x", 500_000), number & 0xFFFFFFFF)
        yield f"tnef_length_{number:x}", lambda data=data: data


CASES.update(_tnef_lengths())
