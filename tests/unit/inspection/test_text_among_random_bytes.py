"""Text among random bytes is found wherever it stands and however it is encoded; random bytes hardly ever alarm."""

from __future__ import annotations

import base64
import math
import random

import pytest

from gateway.inspection import ciphertext
from gateway.inspection.ciphertext import ends_in_text, looks_random, without_repeats

PROSE = b"The child was seen at home on Thursday and spoke of what had happened there. " * 20
GERMAN = "Das Kind wurde am Donnerstag zu Hause gesehen und erzählte, was dort geschehen war – müde, ängstlich. " * 20
RUSSIAN = "Ребёнок был осмотрен дома в четверг и рассказал о том, что там произошло. " * 30
ARABIC = "تمت رؤية الطفل في المنزل يوم الخميس وتحدث عما حدث هناك. " * 30
CHINESE = (
    "星期四在家里见到了那个孩子，他讲述了那里发生的事情。母亲表示担心，"
    "社工将于下周再次访问。警方已获通知，学校也将参加会议。"
) * 30
ENCODED = {
    "german utf-8": GERMAN.encode(),
    "german latin-1": GERMAN.replace("–", "-").encode("latin-1"),
    "german utf-16": GERMAN.encode("utf-16-le"),
    "german utf-32": GERMAN.encode("utf-32-be"),
    "ebcdic": PROSE.decode().encode("cp500"),
    "russian utf-8": RUSSIAN.encode(),
    "russian iso-8859-5": RUSSIAN.encode("iso8859-5"),
    "russian koi8-r": RUSSIAN.encode("koi8-r"),
    "russian utf-16": RUSSIAN.encode("utf-16-be"),
    "arabic utf-8": ARABIC.encode(),
    "arabic windows-1256": ARABIC.encode("cp1256"),
    "chinese utf-8": CHINESE.encode(),
    "chinese utf-16": CHINESE.encode("utf-16-le"),
    "chinese gb18030": CHINESE.encode("gb18030"),
    "base64": base64.b64encode(random.Random(9).randbytes(2000)),
    "shifted": bytes(octet + 42 & 255 for octet in PROSE),
    "one value": b"\xcc" * 2000,
}


@pytest.mark.parametrize("size", [600, 4_000, 5_000, 16_384, 70_000, 1_000_000, 3_000_000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.63, 0.9, 1.0])
def test_half_a_hundred_characters_of_text_are_found_anywhere(size: int, share: float) -> None:
    noise = random.Random(1).randbytes(size)
    at = int(share * (size - 50))
    assert looks_random(noise)
    assert not looks_random(noise[:at] + PROSE[:50] + noise[at + 50 :])


def test_text_on_the_border_of_two_pieces_is_found() -> None:
    noise = random.Random(2).randbytes(200_000)
    for at in range(65_536 - 60, 65_536 + 10):
        assert not looks_random(noise[:at] + PROSE[:50] + noise[at + 50 :])


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize(("size", "length"), [(20_000, 600), (2_000_000, 1200)])
def test_text_in_any_encoding_is_found_anywhere(name: str, size: int, length: int) -> None:
    chance = random.Random(3)
    noise = chance.randbytes(size)
    assert looks_random(noise)
    for _ in range(20):
        at, of = chance.randrange(size - length), chance.randrange(len(ENCODED[name]) - length)
        assert not looks_random(noise[:at] + ENCODED[name][of : of + length] + noise[at + length :])


def test_offsets_bound_what_is_looked_at() -> None:
    noise = random.Random(4).randbytes(5_000)
    data = PROSE[:300] + noise + PROSE[:300]
    assert looks_random(data, 300, 5_300)
    assert not looks_random(data, 200, 5_300)
    assert not looks_random(data, 300)


def _fewer_values(octets: int, least: int) -> float:
    """The chance that among so many random octets fewer than `least` values occur."""
    chances = [1.0] + [0.0] * 256
    for _ in range(octets):
        chances = [
            chances[number] * number / 256 + (chances[number - 1] * (257 - number) / 256 if number else 0.0)
            for number in range(257)
        ]
    return sum(chances[:least])


def test_fifty_megabytes_of_random_octets_alarm_less_than_once_in_a_thousand_million() -> None:
    size = 50 * 1024 * 1024
    shares = {ord("p"): 98 / 256, ord("0"): 1 / 256, ord("c"): 64 / 256, ord("2"): 30 / 256, ord("3"): 16 / 256}
    runs = sum(size * math.prod(shares[place] for place in run) for run in ciphertext._RUNS)
    windows = sum(
        _fewer_values(window, least) * (size / 1024 if window == 1024 else 2048)
        for window, least in ciphertext._DISTINCT_LEAST
    )
    assert runs + windows < 1e-9


def test_text_at_the_very_end_is_told_from_ciphertext() -> None:
    noise = random.Random(5).randbytes(1_000)
    assert not ends_in_text(noise)
    assert ends_in_text(noise + b"See you at 10\r\n\0")
    assert not ends_in_text(noise + b"short")
    assert not ends_in_text(b"")


def test_repeated_blocks_of_a_cipher_are_looked_at_once() -> None:
    chance = random.Random(6)
    blocks = b"".join(chance.randbytes(16) * 40 for _ in range(200))
    assert not looks_random(blocks)
    assert looks_random(without_repeats(blocks))
    assert not looks_random(without_repeats(PROSE))
