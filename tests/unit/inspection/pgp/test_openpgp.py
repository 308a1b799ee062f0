"""OpenPGP data is encrypted only if the packet grammar says so, to the last byte."""

from __future__ import annotations

import base64
import os

import pytest

from gateway.inspection import inspect_file
from gateway.model import Encrypted, Strength


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def rsa(octets: int = 256, key: bytes = b"\1" * 8) -> bytes:
    return packet(1, b"\3" + key + b"\1" + (octets * 8).to_bytes(2, "big") + b"\xff" + os.urandom(octets - 1))


def skesk(s2k: int = 3, cipher: int = 9) -> bytes:
    salt = {0: b"", 1: b"12345678", 3: b"12345678\xff", 4: b"1234567890123456\3\4\x15"}[s2k]
    return packet(3, bytes([4, cipher, s2k]) + (b"\x0a" + salt if s2k != 4 else salt))


SEIPD1 = packet(18, b"\1" + os.urandom(400))
SEIPD2 = packet(18, b"\2\x09\2\6" + os.urandom(400))
X25519_V6 = packet(1, b"\6\x15\4" + b"\2" * 20 + b"\x19" + os.urandom(32) + b"\x28" + os.urandom(40))


@pytest.mark.parametrize(
    ("data", "strength"),
    [
        (rsa() + SEIPD1, Strength.STRONG),
        (rsa(key=bytes(8)) + SEIPD1, Strength.STRONG),
        (X25519_V6 + SEIPD2, Strength.STRONG),
        (packet(10, b"PGP") + rsa() + SEIPD1, Strength.STRONG),
        (rsa() + skesk() + SEIPD1, Strength.ACCEPTABLE),
        (skesk() + SEIPD1, Strength.ACCEPTABLE),
        (skesk(4) + SEIPD1, Strength.ACCEPTABLE),
        (skesk(0) + SEIPD1, Strength.WEAK),
        (skesk(1) + SEIPD1, Strength.WEAK),
        (skesk(cipher=3) + SEIPD1, Strength.WEAK),
        (rsa(128) + SEIPD1, Strength.WEAK),
        (rsa() + rsa(128) + SEIPD1, Strength.WEAK),
        (rsa() + packet(9, os.urandom(400)), Strength.WEAK),
        (rsa() + packet(20, b"\1\x09\2\x10" + os.urandom(400)), Strength.ACCEPTABLE),
    ],
)
def test_encrypted_data_has_the_strength_of_its_weakest_link(data: bytes, strength: Strength) -> None:
    assert inspect_file(data).strength is strength


@pytest.mark.parametrize(
    "data",
    [
        SEIPD1,  # no session key for anybody
        rsa(),
        rsa() + SEIPD2,  # versions that do not belong together
        X25519_V6 + SEIPD1,
        rsa() + SEIPD1 + SEIPD1,
        rsa() + SEIPD1 + packet(11, b"t\0\0\0\0\0Jane is at risk"),
        packet(11, b"t\0\0\0\0\0Jane is at risk") + rsa() + SEIPD1,
        rsa() + SEIPD1 + b"Jane is at risk",
        packet(8, b"\1" + os.urandom(100)),
        packet(4, b"\3\0\x08\1" + bytes(9)) + packet(11, b"t\0\0\0\0\0x"),
        packet(10, b"Jane is at risk") + rsa() + SEIPD1,
        rsa() + packet(21, b"Jane is at risk and must be seen today, said the duty officer, at home") + SEIPD1,
        rsa()[:-1] + b"" + SEIPD1,
        packet(1, b"\3" + bytes(8) + b"\1\x08\0" + os.urandom(256) + b"Jane is at risk") + SEIPD1,
        packet(1, b"\3" + bytes(8) + b"\x63" + os.urandom(50)) + SEIPD1,
        rsa() + packet(18, b"\1" + b"Jane is at risk and must be seen today. " * 20),
        rsa() + packet(18, b"\1" + "Jane is at risk".encode("utf-16") * 20),
        rsa() + packet(18, b"\3" + os.urandom(400)),
        rsa() + packet(18, b"\1short"),
        skesk(cipher=0) + SEIPD1,
        rsa() + SEIPD1[:-1],
        packet(5, os.urandom(100)),
    ],
)
def test_everything_else_is_clear(data: bytes) -> None:
    found = inspect_file(data)
    assert found.strength is Strength.NONE
    assert "key-material" not in found.findings


def test_partial_lengths_are_followed() -> None:
    body = b"\1" + os.urandom(1023)
    chunk = bytes([0xC0 | 18, 0xE0 | 9]) + body[:512] + bytes([0xE0 | 8]) + body[512:768] + b"\xc0\x40" + body[768:]
    assert inspect_file(rsa() + chunk).strength is Strength.STRONG


def test_a_first_partial_length_below_512_is_off_the_grammar() -> None:
    body = b"\1" + os.urandom(511)
    chunk = bytes([0xC0 | 18, 0xE0 | 8]) + body[:256] + b"\xc0\x40" + body[256:]
    assert inspect_file(rsa() + chunk).strength is Strength.NONE


def test_a_key_with_a_picture_or_long_names_is_no_mere_key_material() -> None:
    key = packet(6, b"\4" + os.urandom(50))
    assert "key-material" in inspect_file(key + packet(13, b"Duty <duty@council.example>")).findings
    assert "key-material" not in inspect_file(key + packet(13, b"x" * 5000)).findings
    assert "key-material" not in inspect_file(key + packet(17, b"x" * 50)).findings


@pytest.mark.parametrize(
    "comment", [b"Session key: 01FE16BBACFD1E7B78EF3B865187374F", b"the password is Heron", b"ab" * 20]
)
def test_a_comment_that_opens_the_message_is_text(comment: bytes) -> None:
    body = base64.b64encode(rsa() + SEIPD1)
    lines = b"\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    made = b"-----BEGIN PGP MESSAGE-----\nComment: %s\n\n%s\n-----END PGP MESSAGE-----\n"
    part = inspect_file(made % (comment, lines))
    assert (part.strength, part.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert "armour-text" in part.findings
    assert inspect_file(made % (b"made by a mail program", lines)).strength is Strength.STRONG
