"""Text among random bytes is found anywhere in a small packet, and in each stretch looked at in a large one."""

import random

import pytest

from gateway.inspection.ciphertext import looks_random

PROSE = b"The child was seen at home on Thursday and spoke of what had happened there. " * 20


@pytest.mark.parametrize("size", [600, 4_000, 5_000, 16_384])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.63, 0.9, 1.0])
def test_half_a_kilobyte_of_text_is_found_anywhere_in_a_small_packet(size: int, share: float) -> None:
    noise = random.Random(1).randbytes(size)
    at = int(share * (size - 512))
    assert looks_random(noise)
    assert not looks_random(noise[:at] + PROSE[:512] + noise[at + 512 :])


@pytest.mark.parametrize("number", range(16))
def test_a_large_packet_is_looked_at_in_sixteen_stretches_of_a_kilobyte(number: int) -> None:
    noise = random.Random(2).randbytes(1_000_000)
    at = number * ((len(noise) - 1024) // 15) + 300
    assert looks_random(noise)
    assert not looks_random(noise[:at] + PROSE[:512] + noise[at + 512 :])
