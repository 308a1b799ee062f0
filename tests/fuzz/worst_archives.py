"""Archives that are the worst of their kind: bombs, overlaps, counts and lengths that lie."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

from tests.fuzz.worst_cases import SIZE, case, filled


def zip_entry(
    name: bytes, data: bytes, *, flags: int = 0, method: int = 0, size: int | None = None, at: int = 0
) -> tuple[bytes, bytes]:
    """Local header with data, and central header."""
    fields = struct.pack(
        "<HHHHHIII", 20, flags, method, 0, 0x21, zlib.crc32(data), len(data), len(data) if size is None else size
    )
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
    return gzip.compress(bytes(400_000_000), 1)[: SIZE - 8] + bytes(8)


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
    return (
        b"\xfd7zXZ\0\0\1"
        + struct.pack("<I", zlib.crc32(b"\0\1"))
        + block
        + struct.pack("<I", zlib.crc32(block))
        + filled(b"\x01")
    )


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
    return seven_zip(
        b"\x17\x06\0\x01\x09\x01\0\x07\x0b\x01\0\x01\x21\x21\x01\x01\x28\x0c" + seven_number(2**40) + b"\0",
        filled(b"\x01"),
    )


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
