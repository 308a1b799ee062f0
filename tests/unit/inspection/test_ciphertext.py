"""Ciphertext looks random; text in any encoding does not."""

from __future__ import annotations

import base64
import os

import pytest

from gateway.inspection.ciphertext import looks_random

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
