"""Does a stretch of bytes look like ciphertext?

Guarantees: every octet is looked at. Bytes that sound encryption produced pass, but for less than one case in 10^9
in 50 MB; 43 printable characters in a row anywhere fail, and so does a run of text in any other encoding, of base64,
of one repeated value or of sparse binary data from about 600 octets on (1,200 in data above one mebibyte). Compressed
data passes: this is one test of several, against labels that claim encryption around something readable.
Cost: about 4 ms a mebibyte, linear; memory for a copy of 64 KiB. Failures: none raised.
"""

from __future__ import annotations

import re

_SHORTEST = 64  # below this, only text that is printable throughout is told apart
_SHORT = 24  # below this, chance decides
_PIECE = 64 * 1024  # searched for runs at a time, so that the copy stays in the processor's cache
_FINE_MOST = 1024 * 1024  # larger data is judged in windows of 1,024 octets, which costs half as much
_P25519 = 2**255 - 19
_P25519_MASK = 2**255 - 1
_P448 = 2**448 - 2**224 - 1
# The points of low order, as u-coordinates: 0, 1 and -1, the two of order 8, and what is the same modulo the prime.
_EIGHT = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
_LOW_ORDER_25519 = frozenset((0, 1, _P25519 - 1, _P25519, _P25519 + 1, *_EIGHT))
_LOW_ORDER_448 = frozenset((0, 1, _P448 - 1, _P448, _P448 + 1))
_EVERY_OCTET = bytes(range(256))  # taking a window's octets out of it counts them faster than a set does
_PRINTABLE = bytes(range(32, 127)) + b"\t\r\n"

# Of n random octets, fewer than this many values occur less than once in 10^15 windows (exact, by the recurrence of
# the occupancy problem; the tests compute it again). A window of text has 40 to 150, of base64 64.
_DISTINCT_LEAST = ((1024, 229), (512, 183), (384, 158), (256, 122), (192, 99), (128, 70), (96, 54), (64, 36))


def _classes() -> bytes:
    """Each octet's class: printable ASCII, NUL, and the parts of a character in UTF-8 (RFC 3629)."""
    table = bytearray(b"." * 256)
    for octet in range(256):
        if octet in _PRINTABLE:
            table[octet] = ord("p")
        elif 0x80 <= octet <= 0xBF:
            table[octet] = ord("c")
        elif 0xC2 <= octet <= 0xDF:
            table[octet] = ord("2")
        elif 0xE0 <= octet <= 0xEF:
            table[octet] = ord("3")
    table[0] = ord("0")
    return bytes(table)


_CLASSES = _classes()
# Each occurs in 50 MB of random octets less than once in 10^10 files: the share of its classes to its length, times
# the places where it can begin.
_RUNS = (b"p" * 43, b"p0" * 7, b"0" * 8, b"2c" * 12, b"3cc" * 8)
_TAIL = 12
_LONGEST_RUN = max(map(len, _RUNS))


def looks_random(data: bytes, start: int = 0, end: int | None = None) -> bool:
    """True if data[start:end] looks random throughout. Less than 24 octets cannot be told and pass."""
    stop = len(data) if end is None else end
    size = stop - start
    if size < _SHORTEST:
        return size < _SHORT or bool(data[start:stop].translate(None, _PRINTABLE))
    return _values_are_many(data, start, stop) and not _holds_run(data, start, stop)


def _values_are_many(data: bytes, start: int, stop: int) -> bool:
    """True if in every window as many values occur as among random octets. The last window overlaps the one before."""
    size = stop - start
    most = 1024 if size > _FINE_MOST else 512
    window, least = next((window, least) for window, least in _DISTINCT_LEAST if window <= min(size, most))
    missing = 256 - least
    absent = _EVERY_OCTET.translate
    if len(absent(None, data[stop - window : stop])) > missing:
        return False
    return all(len(absent(None, data[at : at + window])) <= missing for at in range(start, stop - window + 1, window))


def _holds_run(data: bytes, start: int, stop: int) -> bool:
    """True if text, UTF-16, UTF-8 outside ASCII or NULs stand somewhere in a row."""
    for at in range(start, stop, _PIECE):
        classes = data[at : min(at + _PIECE + _LONGEST_RUN, stop)].translate(_CLASSES)
        if any(run in classes for run in _RUNS):
            return True
    return False


def ends_in_text(data: bytes) -> bool:
    """True if the last 12 octets, white space and NULs after them apart, are printable: a false alarm in 100,000.

    For formats whose ciphertext runs to the end of the data, so that nothing else tells what was put after it.
    """
    tail = data[-256:].rstrip(b" \t\r\n\0")[-_TAIL:]
    return len(tail) == _TAIL and not tail.translate(None, _PRINTABLE)


def without_repeats(data: bytes, block: int = 16) -> bytes:
    """`data` with each block once. A cipher in ECB mode turns what repeats into blocks that repeat, which would
    not look random although nobody can read them; text hardly ever repeats on block boundaries, and stays.
    """
    return b"".join(dict.fromkeys(data[at : at + block] for at in range(0, len(data), block)))


def gives_key_away(point: bytes) -> bool:
    """True for an ephemeral public key on Curve25519 (32 octets) or Curve448 (56) of low order: every private key
    then gives the same, known secret (RFC 7748 section 6), so that anybody can read what is encrypted with it.
    """
    if len(point) == 32:  # the highest bit is not part of the number (RFC 7748 section 5)
        return (int.from_bytes(point, "little") & _P25519_MASK) in _LOW_ORDER_25519
    return len(point) == 56 and int.from_bytes(point, "little") in _LOW_ORDER_448


_PROSE = re.compile(rb"(?:[A-Za-z',.:;-]{2,30}[ \t\r\n]{1,4}){3,}[A-Za-z]{2,30}")


def holds_prose(data: bytes, most: int = 0, start: int = 0, end: int | None = None) -> bool:
    """True if more than `most` octets of data[start:end] stand in runs of four words and more. Linear in the size."""
    found = 0
    for match in _PROSE.finditer(data, start, len(data) if end is None else end):
        found += match.end() - match.start()
        if found > most:
            return True
    return False
