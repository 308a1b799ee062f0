"""Framing, session keys and what else an OpenPGP file can be, built octet by octet from RFC 9580."""

from __future__ import annotations

import base64
import os
import random

import pytest

from gateway.inspection import inspect_file
from gateway.inspection.pgp.openpgp_packets import PacketError, begins, packets
from gateway.model import Encrypted, Strength

KEY_ID = bytes.fromhex("0123456789ABCDEF")
FINGERPRINT_4 = bytes(range(20, 40))
FINGERPRINT_6 = bytes(range(32, 64))
noise = random.Random(7).randbytes


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def old(tag: int, body: bytes, length_type: int) -> bytes:
    octets = b"" if length_type == 3 else len(body).to_bytes(1 << length_type, "big")
    return bytes([0x80 | tag << 2 | length_type]) + octets + body


def integer(octets: bytes) -> bytes:
    return (len(octets) * 8 - 8 + octets[0].bit_length()).to_bytes(2, "big") + octets


def v3(algorithm: int, fields: bytes, key_id: bytes = KEY_ID) -> bytes:
    return packet(1, b"\3" + key_id + bytes([algorithm]) + fields)


def v6(algorithm: int, fields: bytes, recipient: bytes = b"\x21\6" + FINGERPRINT_6) -> bytes:
    return packet(1, b"\6" + recipient + bytes([algorithm]) + fields)


def wrapped(octets: int = 40, cipher: bytes = b"") -> bytes:
    return bytes([octets + len(cipher)]) + cipher + noise(octets)


RSA = integer(b"\xff" + noise(255))
POINT = integer(b"\x40" + noise(32))
SEIPD1 = packet(18, b"\1" + noise(400))
SEIPD2 = packet(18, b"\2\x09\2\6" + noise(400))


@pytest.mark.parametrize(
    ("data", "strength"),
    [
        (v3(18, POINT + wrapped(48)) + SEIPD1, Strength.STRONG),
        (v3(18, integer(b"\4" + noise(64)) + wrapped(48)) + SEIPD1, Strength.STRONG),
        (v3(18, integer(b"\4" + noise(24)) + wrapped(48)) + SEIPD1, Strength.WEAK),  # a curve of 96 bits
        (v3(16, RSA + integer(b"\x80" + noise(255))) + SEIPD1, Strength.STRONG),
        (v3(16, integer(b"\x80" + noise(127)) * 2) + SEIPD1, Strength.WEAK),
        (v3(25, noise(32) + wrapped(cipher=b"\x09")) + SEIPD1, Strength.STRONG),
        (v3(25, noise(32) + wrapped(cipher=b"\0")) + SEIPD1, Strength.NONE),
        (v3(25, bytes(32) + wrapped(cipher=b"\x09")) + SEIPD1, Strength.NONE),
        (v3(25, (1).to_bytes(32, "little") + wrapped(cipher=b"\x09")) + SEIPD1, Strength.NONE),
        (v3(35, noise(1120) + wrapped(cipher=b"\x09")) + SEIPD1, Strength.STRONG),
        (v3(8, POINT + (1088).to_bytes(4, "big") + noise(1088) + b"\x09" + wrapped()) + SEIPD1, Strength.STRONG),
        (v3(8, POINT + (9).to_bytes(4, "big") + noise(9) + b"\x09" + wrapped()) + SEIPD1, Strength.NONE),
        (v6(25, noise(32) + wrapped()) + SEIPD2, Strength.STRONG),
        (v6(26, noise(56) + wrapped()) + SEIPD2, Strength.STRONG),
        (v6(35, noise(32 + 1088) + wrapped()) + SEIPD2, Strength.STRONG),
        (v6(36, noise(56 + 1568) + wrapped()) + SEIPD2, Strength.STRONG),
        (v6(36, noise(56 + 1567) + wrapped()) + SEIPD2, Strength.NONE),
        (v6(25, noise(32) + wrapped(), b"\x15\4" + FINGERPRINT_4) + SEIPD2, Strength.STRONG),
        (v6(25, noise(32) + wrapped(), b"\x15\6" + FINGERPRINT_4) + SEIPD2, Strength.NONE),
        (v6(25, noise(32) + wrapped(41)) + SEIPD2, Strength.NONE),
        (v3(100, noise(300)) + SEIPD1, Strength.NONE),
        (v3(1, RSA) + packet(18, b"\2\x09\2\x11" + noise(400)), Strength.NONE),
    ],
)
def test_session_keys_of_every_kind(data: bytes, strength: Strength) -> None:
    assert inspect_file(data).strength is strength


@pytest.mark.parametrize(
    ("data", "recipients"),
    [
        (v3(1, RSA) + SEIPD1, ("openpgp:0123456789ABCDEF",)),
        (v3(1, RSA, bytes(8)) + SEIPD1, ("openpgp:anonymous",)),
        (v3(1, RSA) + v3(1, RSA) + v3(1, RSA, bytes(8)) + SEIPD1, ("openpgp:0123456789ABCDEF", "openpgp:anonymous")),
        (v6(25, noise(32) + wrapped()) + SEIPD2, (f"openpgp:{FINGERPRINT_6.hex().upper()}",)),
        (
            v6(25, noise(32) + wrapped(), b"\x15\4" + FINGERPRINT_4) + SEIPD2,
            (f"openpgp:{FINGERPRINT_4.hex().upper()}",),
        ),
        (v6(25, noise(32) + wrapped(), b"\0") + SEIPD2, ("openpgp:anonymous",)),
        (packet(3, b"\4\x09\3\x0a12345678\xff") + SEIPD1, ()),
    ],
)
def test_the_recipients_that_session_keys_name(data: bytes, recipients: tuple[str, ...]) -> None:
    assert inspect_file(data).recipients == recipients


def test_a_list_of_recipients_without_end_is_cut_and_told() -> None:
    many = b"".join(v3(25, noise(32) + wrapped(cipher=b"\x09"), noise(8)) for _ in range(500))
    found = inspect_file(many + SEIPD1)
    assert (len(found.recipients), found.findings) == (200, ("recipients-not-all-listed",))


@pytest.mark.parametrize("length_type", [0, 1, 2, 3])
def test_old_lengths_are_read_and_the_open_one_ends_with_the_data(length_type: int) -> None:
    body = b"\1" + noise(200)
    assert inspect_file(v3(1, RSA) + old(9, body, length_type)).strength is Strength.WEAK
    assert next(iter(packets(old(9, body, length_type), 1))).open_ended is (length_type == 3)


@pytest.mark.parametrize("text", [b"See you on Friday.", b"Jane is at risk, said the duty officer.\r\n\r\n"])
def test_text_after_a_packet_without_a_length_is_found(text: bytes) -> None:
    found = inspect_file(v3(1, RSA) + old(9, noise(200), 3) + text)
    assert found.strength is Strength.NONE
    assert {"trailing-bytes", "looks-readable"} & set(found.findings)


@pytest.mark.parametrize("more", [b"Jane", SEIPD1, packet(11, b"t\0\0\0\0\0x"), b"\xff\xff\xff", b" " * 17, v3(1, RSA)])
def test_whatever_follows_the_message_makes_it_partly_encrypted(more: bytes) -> None:
    found = inspect_file(v3(1, RSA) + SEIPD1 + more)
    assert (found.strength, found.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert "trailing-bytes" in found.findings


@pytest.mark.parametrize("blank", [b"\r\n", b"\n\n", b"\0" * 16, b" \t"])
def test_a_little_white_space_after_the_message_is_nothing(blank: bytes) -> None:
    assert inspect_file(v3(1, RSA) + SEIPD1 + blank).strength is Strength.STRONG


@pytest.mark.parametrize("tag", [5, 7])
def test_a_secret_key_is_no_key_material(tag: int) -> None:
    key = packet(tag, b"\4" + noise(300))
    public = packet(6, b"\4" + noise(50))
    for data in (key, public + key, packet(2, b"\4" + noise(90)) + key):
        found = inspect_file(data)
        assert (found.strength, found.findings) == (Strength.NONE, ("secret-key",))
    assert inspect_file(public).findings == ("key-material",)


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (packet(8, b"\1" + noise(90)), ("not-encrypted-pgp", "compressed-only")),
        (old(8, b"\1" + noise(90), 3), ("not-encrypted-pgp", "compressed-only")),
        (packet(4, b"\3\0\x08\1" + bytes(9)) + packet(11, b"t\0\0\0\0\0x"), ("not-encrypted-pgp", "signed-only")),
        (packet(2, b"\4" + noise(90)) + packet(11, b"t\0\0\0\0\0x"), ("not-encrypted-pgp", "signed-only")),
        (packet(11, b"t\0\0\0\0\0x"), ("not-encrypted-pgp",)),
        (packet(2, b"\4" + noise(90)), ("key-material",)),
        (packet(2, b"\4" + b"Please come to the school on Thursday and bring it. " * 9), ("not-encrypted-pgp",)),
    ],
)
def test_what_is_not_encrypted_is_told_apart(data: bytes, codes: tuple[str, ...]) -> None:
    found = inspect_file(data)
    assert found.strength is Strength.NONE
    assert set(codes) <= set(found.findings)


def test_padding_and_markers_carry_nothing_and_are_few() -> None:
    marker, padding = packet(10, b"PGP"), packet(21, noise(200))
    assert inspect_file(marker + padding + v3(1, RSA) + padding + SEIPD1 + padding).strength is Strength.STRONG
    assert inspect_file(padding * 5 + v3(1, RSA) + SEIPD1).strength is Strength.NONE


def test_framing_errors_are_errors_and_recognition_does_not_raise() -> None:
    whole = v3(1, RSA) + SEIPD1
    for cut in range(1, len(whole)):
        begins(whole[:cut])
        found = inspect_file(whole[:cut])
        assert found.strength is Strength.NONE
    with pytest.raises(PacketError):
        list(packets(packet(10, b"PGP") * 3, 2))
    with pytest.raises(PacketError):
        list(packets(packet(0, b"x"), 9))


# ---------------------------------------------------------------- armour


def armour(data: bytes, *header: bytes, label: bytes = b"MESSAGE", line: bytes = b"\n", crc: bytes = b"=abcd") -> bytes:
    body = base64.b64encode(data)
    rows = [body[at : at + 64] for at in range(0, len(body), 64)]
    parts = [b"-----BEGIN PGP %s-----" % label, *header, b"", *rows, *([crc] if crc else [])]
    return line.join([*parts, b"-----END PGP %s-----" % label, b""])


MESSAGE = v3(1, RSA) + SEIPD1


@pytest.mark.parametrize(
    "text",
    [
        armour(MESSAGE),
        armour(MESSAGE, crc=b""),
        armour(MESSAGE, line=b"\r\n"),
        armour(MESSAGE, line=b"\r"),
        b"\xef\xbb\xbf" + armour(MESSAGE),
        b"\n\n" + armour(MESSAGE) + b"\n \n",
        armour(MESSAGE, b"Version: GnuPG v2", b"Charset: utf-8"),
        armour(MESSAGE).replace(b"\n", b"  \n"),
        armour(MESSAGE) + armour(MESSAGE),
        armour(MESSAGE) + armour(packet(6, b"\4" + noise(50)), label=b"PUBLIC KEY BLOCK"),
        armour(MESSAGE, label=b"ARMORED FILE"),
    ],
)
def test_armour_in_its_forms(text: bytes) -> None:
    found = inspect_file(text)
    assert (found.strength, found.recipients) == (Strength.STRONG, ("openpgp:0123456789ABCDEF",))


@pytest.mark.parametrize(
    "text",
    [
        b"Jane\n" + armour(MESSAGE),
        armour(MESSAGE) + b"Jane",
        armour(MESSAGE) + b"\nJane\n" + armour(MESSAGE),
        armour(MESSAGE, b"Note: Jane is at risk"),
        armour(MESSAGE, b"Comment: " + b"Jane is at risk. " * 20),
        armour(MESSAGE).replace(b"\n\n", b"\n\nJane is at risk\n"),
        armour(MESSAGE) + armour(packet(11, b"t\0\0\0\0\0Jane")),
        armour(MESSAGE)[:-30],
        armour(MESSAGE).replace(b"-----END PGP MESSAGE-----", b"-----END PGP MESSAGE----- Jane"),
        armour(packet(5, b"\4" + noise(300)), label=b"MESSAGE"),
        armour(b"Jane is at risk"),
        armour(MESSAGE, label=b"SIGNED MESSAGE"),
    ],
)
def test_armour_with_anything_readable_is_clear(text: bytes) -> None:
    assert inspect_file(text).strength is Strength.NONE


def test_many_blocks_and_long_headers_cost_little() -> None:
    begins_only = b"-----BEGIN PGP MESSAGE-----\n" * 30_000
    for text in (armour(MESSAGE) * 1000, begins_only, armour(MESSAGE, *[b"a: b"] * 50_000)):
        assert inspect_file(text).strength is Strength.NONE


def test_random_octets_are_hardly_ever_taken_for_packets() -> None:
    assert all(inspect_file(os.urandom(300)).strength is Strength.NONE for _ in range(500))
