"""Hand-made inputs of at most 1 MB, each the worst of its kind that is known for its format.

Guarantees: built from nothing but the standard library, the same bytes every time; none is above `SIZE`.
They are what a hostile sender would try: loops, bombs, depth, counts and lengths that lie.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

SIZE = 1_000_000
Builder = Callable[[], bytes]
CASES: dict[str, Builder] = {}
TOP = b"From: a@agency.example\r\nTo: b@partner.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
NOWHERE = 0xFFFFFFFF  # no entry, in a compound file
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 2**64 - 1)


def case(build: Builder) -> Builder:
    CASES[build.__name__] = build
    return build


def filled(unit: bytes, size: int = SIZE - 1000) -> bytes:
    """The unit again and again, as often as fits."""
    return unit * (size // len(unit))


def attached(*parts: bytes, body: bytes = b"Please find the report attached.\r\n") -> bytes:
    """A message with the given attachments, as base64."""
    lines = [TOP, b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n', body]
    for number, part in enumerate(parts):
        lines.append(b"\r\n--b\r\nContent-Type: application/octet-stream; name=f%d\r\n" % number)
        lines.append(b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(part).replace(b"\n", b"\r\n"))
    return b"".join((*lines, b"\r\n--b--\r\n"))


def _text_message(body: bytes, kind: bytes = b"text/plain") -> bytes:
    return TOP + b"Content-Type: " + kind + b"; charset=utf-8\r\n\r\n" + body


# ---------------------------------------------------------------- messages


@case
def mail_of_ten_thousand_parts() -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    return TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 10_000 + b"--b--\r\n"


@case
def mail_of_empty_parts() -> bytes:
    return TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"--b\r\n\r\n") + b"--b--\r\n"


def _nested(kind: bytes) -> bytes:
    opened = b"".join(
        b'Content-Type: multipart/%s; boundary="b%d"\r\n\r\n--b%d\r\n' % (kind, level, level) for level in range(1000)
    )
    return TOP + opened + b"\r\nhello\r\n" + b"".join(b"--b%d--\r\n" % level for level in reversed(range(1000)))


@case
def mail_of_depth_1000() -> bytes:
    return _nested(b"mixed")


@case
def mail_of_alternatives_1000_deep() -> bytes:
    return _nested(b"alternative")


@case
def mail_in_mail_in_mail() -> bytes:
    return filled(TOP + b"Content-Type: message/rfc822\r\n\r\n")


@case
def mail_in_base64_in_base64() -> bytes:
    inner = _text_message(b"hello")
    while len(inner) < SIZE // 2:
        inner = attached(inner)
    return inner


@case
def header_of_one_field() -> bytes:
    return b"Subject: " + filled(b"x ") + b"\r\n\r\nhello"


@case
def header_of_many_fields() -> bytes:
    return TOP + filled(b"X: y\r\n") + b"\r\nhello"


@case
def header_of_continuations() -> bytes:
    return TOP + b"X: y\r\n" + filled(b" z\r\n") + b"\r\nhello"


@case
def header_of_encoded_words() -> bytes:
    return b"Subject: " + filled(b"=?utf-8?q?=41=42?=\r\n ") + b"\r\n\r\nhello"


@case
def header_of_encoded_word_starts() -> bytes:
    return b"Subject: " + filled(b"=?a?b?") + b"\r\n\r\nhello"


@case
def header_of_quotes() -> bytes:
    return TOP + b"Content-Type: text/plain; name=" + filled(b'"\\"(') + b"\r\n\r\nhello"


@case
def header_of_comments() -> bytes:
    return TOP + b"Content-Type: text/plain" + filled(b"(") + b"\r\n\r\nhello"


@case
def header_of_parameters() -> bytes:
    pieces = b"".join(b";\r\n name*%d*=%%41%%42" % number for number in range(40_000))
    return TOP + b"Content-Disposition: attachment" + pieces + b"\r\n\r\nhello"


@case
def header_of_addresses() -> bytes:
    return b"To: " + filled(b"a@b.example,\r\n ") + b"\r\nSubject: x\r\n\r\nhello"


@case
def lines_like_boundaries() -> bytes:
    return TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"--bb\r\n--b \r\n--b-\r\n")


@case
def boundary_of_dashes() -> bytes:
    return TOP + b'Content-Type: multipart/mixed; boundary="------------------"\r\n\r\n' + filled(b"-")


@case
def boundaries_that_begin_one_another() -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=" + b"b" * level + b"\r\n\r\n--" + b"b" * level + b"\r\n"
        for level in range(1, 70)
    )
    return TOP + opened + filled(b"--" + b"b" * 35 + b"\r\n", SIZE - 20_000)


@case
def base64_of_junk() -> bytes:
    return TOP + b"Content-Transfer-Encoding: base64\r\n\r\n" + filled(b"!=A\n")


@case
def quoted_printable_of_equals() -> bytes:
    return TOP + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + filled(b"=\r\n=3D= \t")


@case
def uuencode_beginnings() -> bytes:
    return _text_message(filled(b"begin 644 a\r\n"))


@case
def yenc_beginnings() -> bytes:
    return _text_message(filled(b"=ybegin line=128 size=1 name=a\r\n=ypart begin=1 end=1\r\n"))


@case
def armour_beginnings() -> bytes:
    return _text_message(filled(b"-----BEGIN PGP MESSAGE-----\r\n\r\n"))


@case
def armour_headers() -> bytes:
    return _text_message(b"-----BEGIN PGP MESSAGE-----\r\n" + filled(b"Comment: x\r\n"))


@case
def certificates_beginnings() -> bytes:
    return _text_message(filled(b"-----BEGIN CMS-----\n-----BEGIN PKCS7-----\n-----BEGIN AGE ENCRYPTED FILE-----\n"))


TEXTS = {
    "digits": b"9",
    "digits_apart": b"1 2-3.4/",
    "nhs_numbers": b"943 476 5919 ",
    "addresses": b"a@",
    "long_addresses": b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
    "postcodes": b"SW1A 1AA,",
    "phones": b"+44 (0)20 7946 0",
    "dates": b"1/2/03 May ",
    "told_passwords": b"the password is password: is ",
    "pin_pin": b"pin pw pwd ",
    "quotation_marks": b"\"'`",
    "letters": b"A",
    "spaces": b" \t",
    "line_ends": b"\r\n",
    "bare_ends": b"\r\n\n\r",
    "nulls": b"\0",
    "utf7": b"+AGEAYg-",
    "escapes": b"\x1b$B",
    "high_octets": b"\xff\xfe",
    "joiners": "\u200b\u00ad".encode(),
    "accents": "e\u0301\u0301\u0301".encode(),
    "ligatures": "\ufdfa".encode(),
    "dashes": b"-",
    "equals": b"=",
}
MARKUP = {
    "angles": b"<",
    "tags": b"<a href='",
    "comments": b"<!--",
    "comment_ends": b"<!---->--!>",
    "ampersands": b"&",
    "entities": b"&#x41;&amp&lt",
    "large_entities": b"&#99999999999;",
    "deep_tags": b"<div>",
    "styles": b"<style>",
    "scripts": b"<script>x</scrip",
    "declarations": b"<![CDATA[<!DOCTYPE ",
    "attributes": b"<p a=b c='d' e=\"f",
    "tables": b"<table><tr><td>",
    "titles": b"<title><textarea><noscript>",
    "instructions": b"<?x ",
}


def _of_text(unit: bytes) -> Builder:
    return lambda: _text_message(filled(unit))


def _of_markup(unit: bytes) -> Builder:
    return lambda: _text_message(filled(unit), b"text/html")


CASES.update({f"text_of_{name}": _of_text(unit) for name, unit in TEXTS.items()})
CASES.update({f"html_of_{name}": _of_markup(unit) for name, unit in MARKUP.items()})


# ---------------------------------------------------------------- archives


def zip_entry(name: bytes, data: bytes, *, flags: int = 0, method: int = 0, size: int | None = None, at: int = 0) -> tuple[bytes, bytes]:
    """Local header with data, and central header."""
    fields = struct.pack("<HHHHHIII", 20, flags, method, 0, 0x21, zlib.crc32(data), len(data), len(data) if size is None else size)
    local = b"PK\x03\x04" + fields + struct.pack("<HH", len(name), 0) + name + data
    central = b"PK\x01\x02\x14\x00" + fields + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, at) + name
    return local, central


def zip_end(count: int, size: int, at: int) -> bytes:
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, size, at, 0)


@case
def zip_of_overlapping_members() -> bytes:
    """Every entry of the directory names the same local header, whose data expands a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(bytes(400_000_000 // 4)) + packer.flush()
    local, central = zip_entry(b"a", data, method=8, size=100_000_000)
    directory = central * 9000
    return local + directory + zip_end(9000, len(directory), len(local))


@case
def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", bytes(50_000_000))
    return packed.getvalue()


@case
def zip_in_zip_in_zip() -> bytes:
    data = bytes(1_000_000)
    for _ in range(40):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.zip", data)
        data = packed.getvalue()
    return data


@case
def zip_of_many_zips() -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(60):
            archive.writestr(str(number), bytes(100_000))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(60):
            archive.writestr(f"{number}.zip", inner.getvalue())
    return packed.getvalue()


@case
def zip_of_60000_members() -> bytes:
    local, central = zip_entry(b"a", b"")
    return (local + central * 20_000 + zip_end(20_000, 20_000 * len(central), len(local)))[:SIZE]


@case
def zip_of_local_headers() -> bytes:
    return filled(zip_entry(b"a", b"x")[0])


@case
def zip_of_directory_ends() -> bytes:
    return b"PK\x03\x04" + filled(zip_end(0, 0, 0))


@case
def zip_of_long_names() -> bytes:
    local, central = zip_entry(b"n" * 60_000, b"x", flags=1)
    return local + central * 14 + zip_end(14, 14 * len(central), len(local))


@case
def zip_of_extra_fields() -> bytes:
    extra = struct.pack("<HH", 0x9901, 0) * 16_000
    central = b"PK\x01\x02\x14\x00" + struct.pack("<HHHHHIII", 20, 1, 99, 0, 33, 0, 1, 1)
    central += struct.pack("<HHHHHII", 1, len(extra), 0, 0, 0, 0, 0) + b"a" + extra
    return b"PK\x03\x04" + bytes(40) + central * 14 + zip_end(14, 14 * len(central), 44)


@case
def gzip_in_gzip_in_gzip() -> bytes:
    return gzip.compress(gzip.compress(gzip.compress(bytes(200_000_000), 9), 9), 9)


@case
def gzip_bomb() -> bytes:
    return gzip.compress(bytes(400_000_000), 1)[:SIZE] + bytes(8)


@case
def gzip_of_many_members() -> bytes:
    return filled(gzip.compress(b""))


@case
def gzip_of_a_long_name() -> bytes:
    return b"\x1f\x8b\x08\x08\0\0\0\0\0\0" + b"n" * (SIZE - 100)


@case
def bzip2_bomb() -> bytes:
    return filled(bz2.compress(bytes(45_000_000)), 3000)


@case
def bzip2_of_many_members() -> bytes:
    return filled(bz2.compress(b""))


@case
def xz_bomb() -> bytes:
    return lzma.compress(bytes(300_000_000), preset=0)


@case
def xz_of_many_streams() -> bytes:
    return filled(lzma.compress(b""))


@case
def xz_of_a_large_dictionary() -> bytes:
    """The block header asks for a dictionary of 4 GiB less one octet."""
    block = bytes((2, 0, 0x21, 1, 40, 0, 0, 0))
    return b"\xfd7zXZ\0\0\1" + struct.pack("<I", zlib.crc32(b"\0\1")) + block + struct.pack("<I", zlib.crc32(block)) + filled(b"\x01")


@case
def lzma_alone_of_a_large_dictionary() -> bytes:
    return b"\x5d\xff\xff\xff\xff" + b"\xff" * 8 + filled(b"\0\x10")


def _tar(members: int, kind: bytes, data: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(members):
            info = tarfile.TarInfo(f"file-{number}")
            info.type, info.size = kind, len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


@case
def tar_of_2000_members() -> bytes:
    return _tar(1900, tarfile.REGTYPE)


@case
def tar_of_long_names() -> bytes:
    return _tar(900, tarfile.GNUTYPE_LONGNAME, b"n" * 511)


@case
def tar_of_pax_headers() -> bytes:
    return _tar(900, tarfile.XHDTYPE, b"20 path=aaaaaaaaaaa\n" * 25)


@case
def tar_of_lying_sizes() -> bytes:
    header = bytearray(_tar(1, tarfile.REGTYPE)[:512])
    header[124:136] = b"\x80" + bytes(3) + (2**63).to_bytes(8, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return filled(bytes(header))


def seven_zip(header: bytes, packed: bytes = b"") -> bytes:
    """A 7z file with this header, its checksums right."""
    start = struct.pack("<QQI", len(packed), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start + packed + header


def seven_number(value: int) -> bytes:
    return b"\xff" + value.to_bytes(8, "little")


@case
def seven_zip_of_many_folders() -> bytes:
    return seven_zip(b"\x01\x04\x06\0\x01\x09\x10\0\x07\x0b" + seven_number(2**31) + b"\0" + filled(b"\x01\x01\0"))


@case
def seven_zip_of_many_files() -> bytes:
    return seven_zip(b"\x01\x05" + seven_number(2**40) + b"\x0e" + seven_number(2**37) + filled(b"\xff"))


@case
def seven_zip_of_many_coders() -> bytes:
    return seven_zip(b"\x01\x04\x07\x0b\x01\0" + seven_number(2**32) + filled(b"\x11\0\xff\xff"))


@case
def seven_zip_of_many_streams() -> bytes:
    return seven_zip(b"\x01\x04\x06\0" + seven_number(2**62) + b"\x09" + filled(b"\x01"))


@case
def seven_zip_of_encoded_headers() -> bytes:
    return seven_zip(b"\x17\x06\0\x01\x09\x01\0\x07\x0b\x01\0\x01\x21\x21\x01\x01\x28\x0c" + seven_number(2**40) + b"\0", filled(b"\x01"))


@case
def seven_zip_of_properties() -> bytes:
    return seven_zip(b"\x01\x02" + filled(b"\x19\x01\0"))


def rar5_block(kind: bytes, rest: bytes = b"") -> bytes:
    body = kind + rest
    sized = bytes((len(body),)) + body
    return struct.pack("<I", zlib.crc32(sized)) + sized


@case
def rar5_of_tiny_blocks() -> bytes:
    return b"Rar!\x1a\x07\x01\0" + rar5_block(b"\x01\0\0") + filled(rar5_block(b"\x03\0"))


@case
def rar5_of_endless_numbers() -> bytes:
    return b"Rar!\x1a\x07\x01\0" + bytes(4) + filled(b"\x80")


@case
def rar5_of_encryption_blocks() -> bytes:
    return b"Rar!\x1a\x07\x01\0" + filled(rar5_block(b"\x04\0", b"\0\0\x7f" + bytes(range(16))))


@case
def rar5_signatures() -> bytes:
    return filled(b"Rar!\x1a\x07\x01\0")


@case
def rar4_of_tiny_blocks() -> bytes:
    body = b"\x74\x04\0\x07\0"
    return b"Rar!\x1a\x07\0" + filled(struct.pack("<H", zlib.crc32(body) & 0xFFFF) + body)


@case
def rar4_of_empty_blocks() -> bytes:
    return b"Rar!\x1a\x07\0" + filled(bytes(7))


# ---------------------------------------------------------------- PDF

PDF = b"%PDF-1.7\n"
LOCKED = b"5 0 obj<</Filter/Standard/V 5/R 6/Length 256/P -4/CF<</StdCF<</CFM/AESV3/Length 32>>>>/StmF/StdCF/StrF/StdCF" + (
    b"/O<%s>/U<%s>/OE<%s>/UE<%s>/Perms<%s>>>endobj\n" % (b"41" * 48, b"42" * 48, b"43" * 32, b"44" * 32, b"45" * 16)
)
TRAILER = b"trailer<</Root 1 0 R/Encrypt 5 0 R/Size 9/ID[<00><00>]>>\nstartxref\n9\n%%EOF\n"


def _in_pdf(unit: bytes) -> Builder:
    return lambda: PDF + LOCKED + filled(unit, SIZE - 2000) + b"\n" + TRAILER


PDF_UNITS = {
    "objects": b"1 0 obj<<>>endobj\n",
    "trailers": b"trailer<</Prev 9/Encrypt 5 0 R>>\n",
    "loops": b"xref\n0 1\n0000000009 00000 n \ntrailer<</Prev 9/Root 1 0 R/Encrypt 5 0 R/Size 9>>\nstartxref\n9\n%%EOF\n",
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
    table = b"7 0 obj<</Type/XRef/Size 2147483647/W[1 8 8]/Index[0 2147483647]/Root 1 0 R/Encrypt 5 0 R/Length 900000>>stream\n"
    return PDF + LOCKED + table + filled(b"\1\0", 900_000) + b"\nendstream endobj\nstartxref\n%d\n%%%%EOF\n" % (len(PDF + LOCKED))


@case
def pdf_of_bombs() -> bytes:
    packed = zlib.compress(bytes(20_000_000), 9)
    unit = b"<</Filter/FlateDecode/Type/ObjStm/N 1/First 1/Length %d>>stream\n%s\nendstream endobj\n" % (len(packed), packed)
    objects = b"".join(b"%d 0 obj" % number + unit for number in range(10, 55))
    return (PDF + LOCKED + objects + TRAILER)[:SIZE]


@case
def pdf_of_filters() -> bytes:
    filters = filled(b"/FlateDecode", 800_000)
    return PDF + LOCKED + b"1 0 obj<</Filter[" + filters + b"]/Length 9>>stream\n123456789\nendstream endobj\n" + TRAILER


# ---------------------------------------------------------------- Office


def compound(fat: bytes, directory: bytes, *, shift: int = 9, difat: int = 0xFFFFFFFE, difats: int = 0, fats: int = 1) -> bytes:
    """A compound file of 512-octet sectors: sector 0 is the FAT, sector 1 onward the directory."""
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    header += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, shift, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, fats, 1, 0, 4096, 0xFFFFFFFE, 0, difat, difats)
    header += struct.pack("<I", 0) + b"\xff" * (108 * 4)
    return header + fat.ljust(512, b"\xff")[:512] + directory


def directory_entry(name: str, kind: int = 2, start: int = 2, size: int = 100_000, left: int = NOWHERE, child: int = NOWHERE, right: int = NOWHERE) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    entry = text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text), kind, 1, left, right, child) + bytes(36)
    return entry + struct.pack("<IQ", start, size)


def _fat(*entries: int) -> bytes:
    return struct.pack(f"<{len(entries)}I", *entries)


@case
def compound_fat_cycle() -> bytes:
    directory = directory_entry("Root Entry", 5, child=1) + directory_entry("EncryptedPackage", size=2**31) + directory_entry("EncryptionInfo")
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
    return office_package(
        b'<encryption xmlns="http://schemas.microsoft.com/office/2006/encryption"><keyData saltSize="16" blockSize="16" keyBits="256"'
        b' hashSize="64" cipherAlgorithm="AES" cipherChaining="ChainingModeCBC" hashAlgorithm="SHA512" saltValue="AAAAAAAAAAAAAAAAAAAAAA=="/>'
        b'<keyEncryptors><keyEncryptor uri="http://schemas.microsoft.com/office/2006/keyEncryptor/password"><p:encryptedKey'
        b' xmlns:p="http://schemas.microsoft.com/office/2006/keyEncryptor/password" spinCount="2147483647" saltSize="16" blockSize="16"'
        b' keyBits="256" hashSize="64" cipherAlgorithm="AES" cipherChaining="ChainingModeCBC" hashAlgorithm="SHA512"'
        b' saltValue="AAAAAAAAAAAAAAAAAAAAAA==" encryptedVerifierHashInput="AAAAAAAAAAAAAAAAAAAAAA==" encryptedVerifierHashValue='
        b'"AAAAAAAAAAAAAAAAAAAAAA==" encryptedKeyValue="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="/></keyEncryptor></keyEncryptors></encryption>'
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
    return _open_document(laughs + b"]><manifest:manifest xmlns:manifest='urn:oasis:names:tc:opendocument:xmlns:manifest:1.0'>&a11;</manifest:manifest>")


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


# ---------------------------------------------------------------- keys and envelopes


@case
def ber_of_depth() -> bytes:
    return filled(b"\x30\x80")


@case
def ber_of_definite_depth() -> bytes:
    data = b""
    while len(data) < 200_000:
        length = len(data)
        data = b"\x30" + (bytes((length,)) if length < 128 else b"\x83" + length.to_bytes(3, "big")) + data
        if length > 4000:
            data += bytes(5000)
    return data


@case
def cms_of_many_recipients() -> bytes:
    oid = bytes.fromhex("06092a864886f70d010703")
    return b"\x30\x80" + oid + b"\xa0\x80\x30\x80\x02\x01\x00\x31\x80" + filled(bytes.fromhex("30060201003001a0"))


@case
def cms_of_octet_pieces() -> bytes:
    oid = bytes.fromhex("06092a864886f70d010702")
    return b"\x30\x80" + oid + b"\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + bytes.fromhex("06092a864886f70d010701a0802480") + filled(b"\x04\x01a")


@case
def cms_of_pieces_in_pieces() -> bytes:
    oid = bytes.fromhex("06092a864886f70d010702")
    return b"\x30\x80" + oid + b"\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + bytes.fromhex("06092a864886f70d010701a080") + filled(b"\x24\x80")


@case
def cms_of_a_long_identifier() -> bytes:
    return b"\x30\x80\x06\x83\x0e\x00\x00" + filled(b"\x81", 0x0E0000)


@case
def signed_in_signed_in_signed() -> bytes:
    start = bytes.fromhex("308006092a864886f70d010702a080308002010131003080" "06092a864886f70d010702a080")
    return filled(start)


@case
def openpgp_of_markers() -> bytes:
    return filled(b"\xca\x03PGP")


@case
def openpgp_of_empty_packets() -> bytes:
    return b"\xc1\x00" + filled(b"\xca\x00")


@case
def openpgp_of_session_keys() -> bytes:
    return filled(b"\xc1\x0d\x03" + bytes(8) + b"\x01\x00\x08\xff")


@case
def openpgp_of_passphrases() -> bytes:
    return filled(b"\xc3\x0d\x04\x09\x03\x08" + b"saltsalt" + b"\xff") + b"\xd2\x20\x01" + bytes(range(31))


@case
def openpgp_of_partial_lengths() -> bytes:
    return b"\xc1\x0d\x03" + bytes(8) + b"\x01\x00\x08\xff" + b"\xd2\xe9" + b"\x01" + bytes(511) + filled(b"\xe0x", 900_000) + b"\x00"


@case
def openpgp_compressed_in_compressed() -> bytes:
    data = b"\xcb\x08b\0\0\0\0\0hi"
    for _ in range(300):
        packed = zlib.compress(data, 9)
        data = b"\xc8\xff" + struct.pack(">I", len(packed) + 1) + b"\x02" + packed
    return data


@case
def openpgp_compressed_bomb() -> bytes:
    packed = zlib.compress(b"\xca\x03PGP" * 60_000_000, 1)[: SIZE - 100]
    return b"\xc8\xff" + struct.pack(">I", len(packed) + 1) + b"\x02" + packed


@case
def openpgp_bzip2_bomb() -> bytes:
    packed = bz2.compress(bytes(200_000_000))
    return b"\xc8\xff" + struct.pack(">I", len(packed) + 1) + b"\x03" + packed


@case
def openpgp_key_of_subpackets() -> bytes:
    return filled(b"\xc2\xff\x00\x00\x10\x00\x04\x13\x01\x08\x0f\xf0" + b"\x01\x00" * 2042)


@case
def armour_of_short_lines() -> bytes:
    return b"-----BEGIN PGP MESSAGE-----\n\n" + filled(b"hQ\n") + b"-----END PGP MESSAGE-----\n"


@case
def armour_without_lines() -> bytes:
    return b"-----BEGIN PGP MESSAGE-----\n\n" + filled(b"A") + b"\n-----END PGP MESSAGE-----\n"


@case
def age_of_many_stanzas() -> bytes:
    return b"age-encryption.org/v1\n" + filled(b"-> X a\n\n") + b"--- " + b"A" * 43 + b"\n" + bytes(range(40))


@case
def age_of_a_long_stanza() -> bytes:
    return b"age-encryption.org/v1\n-> X a\n" + filled(b"A" * 64 + b"\n")


@case
def age_of_arguments() -> bytes:
    return b"age-encryption.org/v1\n-> X" + filled(b" a") + b"\n"


@case
def keepass_of_empty_fields() -> bytes:
    return bytes.fromhex("03d9a29a67fb4bb500000400") + filled(b"\x01\0\0\0\0")


@case
def keepass_of_settings() -> bytes:
    settings = b"\0\1" + filled(b"\x42\x01\0\0\0a\0\0\0\0", 900_000)
    return bytes.fromhex("03d9a29a67fb4bb500000400") + b"\x0b" + struct.pack("<I", len(settings)) + settings


@case
def keepass_of_old_fields() -> bytes:
    return bytes.fromhex("03d9a29a67fb4bb500000300") + filled(b"\x01\0\0")


# ---------------------------------------------------------------- passwords


def _note() -> bytes:
    """A body in which every word could be a password."""
    return b" ".join(b"Word%dx password: Secret-%d" % (number, number) for number in range(4000))


@case
def a_hundred_office_documents_and_a_long_note() -> bytes:
    rounds = CASES["office_of_endless_rounds"]().replace(b'"2147483647"', b'"100000"    ')
    return attached(*(rounds[:6000] + bytes((number,)) * 100 for number in range(60)), body=_note())


@case
def a_hundred_zips_and_a_long_note() -> bytes:
    packed = []
    for number in range(100):
        data = bytes((number * 7 + octet * 13) & 255 for octet in range(120))
        extra = struct.pack("<HHHHBH", 0x9901, 7, 2, 0x4541, 3, 8)
        fields = struct.pack("<HHHHHIII", 51, 1, 99, 0, 0x21, 0, len(data), 100)
        local = b"PK\x03\x04" + fields + struct.pack("<HH", 1, len(extra)) + b"a" + extra + data
        central = b"PK\x01\x02\x33\x00" + fields + struct.pack("<HHHHHII", 1, len(extra), 0, 0, 0, 0, 0) + b"a" + extra
        packed.append(local + central + zip_end(1, len(central), len(local)))
    return attached(*packed, body=_note())


@case
def passphrase_messages_and_a_long_note() -> bytes:
    sealed = b"\xc3\x0d\x04\x09\x03\x08saltsalt\xff" + b"\xd2\x80\x01" + bytes((i * 37 + 11) & 255 for i in range(127))
    return attached(*(sealed[:-1] + bytes((number,)) for number in range(100)), body=_note())
