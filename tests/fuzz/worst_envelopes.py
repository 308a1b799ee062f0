"""OpenPGP, CMS, age and KeePass files that are the worst of their kind: packets, depth, fields without end."""

from __future__ import annotations

import bz2
import struct
import zlib

from tests.fuzz.worst_cases import SIZE, case, filled


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
    return (
        b"\x30\x80"
        + oid
        + b"\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80"
        + bytes.fromhex("06092a864886f70d010701a0802480")
        + filled(b"\x04\x01a")
    )


@case
def cms_of_pieces_in_pieces() -> bytes:
    oid = bytes.fromhex("06092a864886f70d010702")
    return (
        b"\x30\x80"
        + oid
        + b"\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80"
        + bytes.fromhex("06092a864886f70d010701a080")
        + filled(b"\x24\x80")
    )


@case
def cms_of_a_long_identifier() -> bytes:
    return b"\x30\x80\x06\x83\x0e\x00\x00" + filled(b"\x81", 0x0E0000)


@case
def signed_in_signed_in_signed() -> bytes:
    start = bytes.fromhex("308006092a864886f70d010702a08030800201013100308006092a864886f70d010702a080")
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
    return (
        b"\xc1\x0d\x03"
        + bytes(8)
        + b"\x01\x00\x08\xff"
        + b"\xd2\xe9"
        + b"\x01"
        + bytes(511)
        + filled(b"\xe0x", 900_000)
        + b"\x00"
    )


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
