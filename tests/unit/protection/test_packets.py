"""Only an armoured message encrypted to public keys passes the check of the gpg program's result."""

from __future__ import annotations

import base64

import pytest

from gateway.protection.packets import NotEncryptedError, recipients_of

KEY = bytes.fromhex("0123456789ABCDEF")


def packet(tag: int, body: bytes) -> bytes:
    """A packet with a new-format header and a five-octet length (RFC 4880 section 4.2.2.3)."""
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def old_packet(tag: int, body: bytes) -> bytes:
    return bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big") + body


def session_key(key_id: bytes = KEY, version: int = 3) -> bytes:
    return packet(1, bytes([version]) + key_id + b"\x12" + bytes(50))


def armour(data: bytes) -> bytes:
    return b"-----BEGIN PGP MESSAGE-----\n\n" + base64.encodebytes(data) + b"=abcd\n-----END PGP MESSAGE-----\n"


DATA = packet(18, b"\x01" + bytes(600))


def test_the_key_ids_are_told_in_their_order() -> None:
    message = armour(session_key() + session_key(bytes(8)) + DATA)
    assert recipients_of(message) == ("0123456789ABCDEF", "0000000000000000")


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        packet(18, b"\x02" + bytes(600)),
        packet(20, b"\x01" + bytes(600)),
        bytes([0xD2, 200, 0, 1]) + bytes(2239),
        bytes([0xD2, 0xE9, 1]) + bytes(511) + bytes([0xE9]) + bytes(512) + bytes([10]) + bytes(10),
    ],
)
def test_every_form_of_an_integrity_protected_packet_passes(data: bytes) -> None:
    assert recipients_of(armour(session_key() + data)) == ("0123456789ABCDEF",)


def test_an_old_format_session_key_passes() -> None:
    assert recipients_of(armour(old_packet(1, b"\x03" + KEY + bytes(50)) + DATA)) == ("0123456789ABCDEF",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"clear text of a message that must not pass",
        packet(11, b"b\0\0\0\0\0clear text in a literal packet"),
        packet(8, b"\0compressed"),
        packet(3, b"\x04\x09\x03\x08saltsalt\x60") + DATA,
        session_key() + packet(3, b"\x04\x09\x03\x08saltsalt\x60") + DATA,
        DATA,
        session_key(),
        session_key() + packet(9, b"\x01" + bytes(600)),
        session_key() + packet(18, b""),
        session_key() + packet(18, b"\x03" + bytes(600)),
        session_key() + packet(20, b"\x02" + bytes(600)),
        session_key() + packet(11, b"b\0\0\0\0\0clear") + DATA,
        session_key() + DATA + packet(11, b"b\0\0\0\0\0clear"),
        session_key() + DATA + b"clear",
        session_key() + DATA[:-1],
        session_key() + DATA[:3],
        session_key() + DATA[:1],
        session_key(version=6) + DATA,
        packet(1, b"\x03short") + DATA,
        bytes([0x87, 3]) + KEY + DATA,
        bytes([0xC1, 0xE9]) + bytes(512) + b"\0" + DATA,
        session_key() + bytes([0xD2, 0xE9, 1]) + bytes(511) + bytes([0xE9]) + bytes(10),
        session_key()[:-60],
    ],
)
def test_anything_else_is_not_encrypted(data: bytes) -> None:
    with pytest.raises(NotEncryptedError):
        recipients_of(armour(data))


GOOD = armour(session_key() + DATA)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"clear text\n" + GOOD,
        GOOD + b"clear text\n",
        GOOD + GOOD,
        GOOD.replace(b"-----\n\n", b"-----\nComment: clear text\n\n", 1),
        GOOD.replace(b"\n=abcd\n", b"\n"),
        GOOD.replace(b"\n=abcd\n", b"\n=a.cd\n"),
        GOOD.replace(b"\n\n", b"\n\nclear text, with spaces\n", 1),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"PGP MESSAGE", b"PGP SIGNED MESSAGE"),
        GOOD[:-1],
        GOOD[:-40],
        b"-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n",
    ],
)
def test_nothing_may_stand_around_or_in_the_armour(text: bytes) -> None:
    with pytest.raises(NotEncryptedError):
        recipients_of(text)


def test_every_truncation_is_noticed() -> None:
    for cut in range(len(GOOD)):
        with pytest.raises(NotEncryptedError):
            recipients_of(GOOD[:cut])
