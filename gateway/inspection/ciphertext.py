"""Does a stretch of bytes look like ciphertext?

Guarantees: bytes that sound encryption produced pass, but for less than one case in a thousand million; plain
text in any encoding, base64, and sparse binary data fail. Compressed data passes: this is one test of several,
against labels that claim encryption around something readable. Cost: a few microseconds, whatever the size.
"""

from __future__ import annotations

import re

_STRETCH = 1024
_STRETCHES = 16  # looked at in a larger packet, spread over it; a smaller one is looked at throughout
_WINDOW = 256  # what is judged at a time: the smaller, the less text can hide among random bytes
_SHORTEST = 64  # below this, only text that is printable throughout is told apart
_SHORT = 24  # below this, chance decides
_MOST_DISTINCT_NEEDED = 112
_EVERY_OCTET = bytes(range(256))  # taking a window's octets out of it counts them faster than a set does
_PRINTABLE = bytes(range(32, 127)) + b"\t\r\n"


def looks_random(data: bytes, start: int = 0, end: int | None = None) -> bool:
    """True if data[start:end] looks random in every window of up to 16 stretches spread over it."""
    stop = len(data) if end is None else end
    size = stop - start
    if size < _SHORTEST:
        return size < _SHORT or bool(data[start:stop].translate(None, _PRINTABLE))
    if size <= _STRETCH * _STRETCHES:
        return _stretch_is_random(data, start, stop)
    step = (size - _STRETCH) // (_STRETCHES - 1)
    return all(_stretch_is_random(data, at, at + _STRETCH) for at in range(start, stop - _STRETCH + 1, step))


def _stretch_is_random(data: bytes, start: int, stop: int) -> bool:
    starts = range(start, stop - _SHORTEST + 1, _WINDOW)
    return all(_window_is_random(data[at : min(at + _WINDOW, stop)]) for at in starts)


def _window_is_random(window: bytes) -> bool:
    size = len(window)
    # Of n random bytes n * (1 - (255/256)^n-ish) differ: 57 of 64, 162 of 256, 251 of 1024. Text has about 60.
    if 256 - len(_EVERY_OCTET.translate(None, window)) < min(size // 2, _MOST_DISTINCT_NEEDED):
        return False
    # 98 of 256 byte values are printable: 38 % of random bytes.
    return size - len(window.translate(None, _PRINTABLE)) < size * 0.75


_PROSE = re.compile(rb"(?:[A-Za-z',.:;-]{2,30}[ \t\r\n]{1,4}){3,}[A-Za-z]{2,30}")


def holds_prose(data: bytes, most: int = 0, start: int = 0, end: int | None = None) -> bool:
    """True if more than `most` octets of data[start:end] stand in runs of four words and more. Linear in the size."""
    found = 0
    for match in _PROSE.finditer(data, start, len(data) if end is None else end):
        found += match.end() - match.start()
        if found > most:
            return True
    return False
