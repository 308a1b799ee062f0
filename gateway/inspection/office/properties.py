"""The summaries of a compound file: which of their properties say something that a person wrote (MS-OLEPS).

Guarantees: bounded; what cannot be read but holds words counts as written. Failures: none raised.
"""

from __future__ import annotations

import re
import struct

from gateway.inspection.office.compound import readable

_STRING8, _STRING, _VECTOR, _VARIANT = 0x1E, 0x1F, 0x1000, 0x000C
_SECTIONS_MOST, _PROPERTIES_MOST, _STRINGS_MOST = 2, 200, 1000
_SUMMARY = bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9")
_DOCUMENT = bytes.fromhex("02d5cdd59c2e1b10939708002b2cf9ae")
# What programs fill in by themselves: author, template, last author, revision and program; format, headings of the
# list of parts, company, version and the like.
_BY_PROGRAM = {_SUMMARY: frozenset({4, 7, 8, 9, 18}), _DOCUMENT: frozenset({3, 12, 15, 21, 23, 26, 27, 28, 29})}
_PARTS = (_DOCUMENT, 13)
_NUMBERED = re.compile(r"[^\W\d_]{1,16} ?[0-9]{1,3}")  # "Sheet1" in any language
_STUB_MOST = 64
_WORDS = re.compile(rb"[A-Za-z0-9]{4}|(?:[A-Za-z0-9]\0){4}")


def read(stream: bytes) -> tuple[list[str], bool]:
    """(short strings that programs write, whether anything else is said)."""
    try:
        return _read(stream)
    except (struct.error, ValueError):
        return [], _WORDS.search(stream[28:]) is not None


def _read(stream: bytes) -> tuple[list[str], bool]:
    sections = struct.unpack_from("<I", stream, 24)[0]
    if not 1 <= sections <= _SECTIONS_MOST:
        raise ValueError("sections")
    said: list[str] = []
    written = False
    rest = bytearray(stream)
    for number in range(sections):
        identity, offset = struct.unpack_from("<16sI", stream, 28 + 20 * number)
        for key, value, start, end in _strings(stream, offset):
            value = value.strip("\0 \r\n\t")
            rest[start:end] = bytes(end - start)
            if not value:
                continue
            by_program = key in _BY_PROGRAM.get(identity, frozenset()) and len(value) <= _STUB_MOST
            by_program = by_program or ((identity, key) == _PARTS and _NUMBERED.fullmatch(value) is not None)
            said.append(value[:_STUB_MOST])
            written = written or not by_program
    return said, written or readable(bytes(rest))


def _strings(stream: bytes, section: int) -> list[tuple[int, str, int, int]]:
    """The strings of a section: the numbers of their properties, their text and where they stand."""
    count = struct.unpack_from("<I", stream, section + 4)[0]
    if count > _PROPERTIES_MOST:
        raise ValueError("properties")
    found: list[tuple[int, str, int, int]] = []
    length = 0
    for number in range(count):
        key, offset = struct.unpack_from("<II", stream, section + 8 + 8 * number)
        at = section + offset
        kind = struct.unpack_from("<H", stream, at)[0]
        at += 4
        many = 1
        if kind & _VECTOR:
            many, at, kind = struct.unpack_from("<I", stream, at)[0], at + 4, kind & ~_VECTOR
        if key == 0 and kind not in (_STRING8, _STRING):
            found.append((key, "dictionary", at, at))  # names that a person gave to properties
            continue
        for _ in range(min(many, _STRINGS_MOST)):
            start = at
            at, value = _value(stream, at, kind)
            length += at - start
            if length > len(stream):
                raise ValueError("strings overlap")
            found.append((key, value, start, at))
    return found


def _value(stream: bytes, at: int, kind: int) -> tuple[int, str]:
    """Where the value at `at` ends, and its text: empty for numbers and dates."""
    if kind == _VARIANT:
        kind, at = struct.unpack_from("<H", stream, at)[0], at + 4
    if kind not in (_STRING8, _STRING):
        return at + 4, ""
    length = struct.unpack_from("<I", stream, at)[0] * (2 if kind == _STRING else 1)
    value = stream[at + 4 : at + 4 + length]
    if len(value) < length:
        raise ValueError("string cut short")
    end = min(at + 4 + length + (-length & 3 if kind == _STRING else 0), len(stream))
    return end, value.decode("utf-16-le" if kind == _STRING else "latin-1", "replace")
