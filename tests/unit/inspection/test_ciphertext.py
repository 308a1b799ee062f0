"""Ciphertext looks random; text in any encoding does not."""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from gateway.inspection.ciphertext import gives_key_away, looks_random

TEXT = "Jane lives at home; the meeting about her brother is on Friday. Übergabe: 10 Uhr. " * 400


def test_random_bytes_of_any_size_pass() -> None:
    for size in (0, 1, 63, 64, 65, 100, 255, 1000, 1024, 1100, 5000, 20_000, 100_000):
        for _ in range(50):
            assert looks_random(os.urandom(size))


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-32"),
        "今日は良い天気ですね。".encode() * 400,
        base64.b64encode(os.urandom(20_000)),
        bytes(20_000),
        os.urandom(10_000) + TEXT.encode() + os.urandom(10_000),
    ],
)
def test_readable_bytes_do_not(data: bytes) -> None:
    assert not looks_random(data)


def _known_secret(point: bytes) -> bool:
    """What the exchange itself says: cryptography refuses a secret of zeros (RFC 7748 section 6)."""
    try:
        if len(point) == 32:
            X25519PrivateKey.from_private_bytes(b"\x55" * 32).exchange(X25519PublicKey.from_public_bytes(point))
        else:
            X448PrivateKey.from_private_bytes(b"\x55" * 56).exchange(X448PublicKey.from_public_bytes(point))
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("size", [32, 56])
def test_points_of_low_order_are_those_that_the_exchange_refuses(size: int) -> None:
    prime = 2**255 - 19 if size == 32 else 2**448 - 2**224 - 1
    near = [value.to_bytes(size, "little") for value in (*range(5), *range(prime - 3, prime + 4))]
    eight = [
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ]
    points = near + (eight + [point[:31] + bytes([point[31] | 0x80]) for point in near + eight] if size == 32 else [])
    points += [os.urandom(size) for _ in range(50)]
    assert [gives_key_away(point) for point in points] == [_known_secret(point) for point in points]
    assert any(map(gives_key_away, points))
