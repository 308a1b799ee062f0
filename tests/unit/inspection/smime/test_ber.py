"""The reader of BER elements: what it reads, and what it refuses because readers could take it for different things."""

from __future__ import annotations

import time

import pytest

from gateway.inspection.smime.ber import OCTET_STRING, SEQUENCE, BerError, Reader
from tests.attachments.cms_writer import endless, integer, octets, sequence, tlv


def read(data: bytes, most: int = 1000) -> list[bytes]:
    """The octets of every element inside the one that fills the data."""
    reader = Reader(data, most)
    outer = reader.read(0, len(data))
    assert outer.next == len(data)
    return [reader.octets(child) for child in reader.children(outer)]


@pytest.mark.parametrize(
    "inner",
    [
        octets(b"abcdef"),
        endless(0x24, octets(b"abc"), octets(b"def")),
        tlv(0x24, octets(b"ab"), endless(0x24, octets(b"cd"), tlv(0x24, octets(b"ef")))),
        b"\x04\x81\x06abcdef",
        b"\x04\x84\0\0\0\x06abcdef",
    ],
)
@pytest.mark.parametrize("wrap", [sequence, lambda *parts: endless(0x30, *parts)])
def test_one_value_in_all_its_spellings(inner: bytes, wrap: object) -> None:
    assert callable(wrap)
    assert read(wrap(inner, octets(b"z"))) == [b"abcdef", b"z"]


def test_lengths_of_every_form() -> None:
    for size in (0, 1, 127, 128, 255, 256, 65535, 65536):
        assert read(sequence(octets(b"x" * size))) == [b"x" * size]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x03\x04\x02a",  # runs over its container
        b"\x30\x05\x04\x04abc",
        b"\x30\x80\x04\x01a",  # no end
        b"\x30\x80\x04\x01a\0",
        b"\x30\x80\x04\x01a\0\x01\0\0",  # an end with contents
        b"\x30\x04\0\0\x04\0",  # an end where none is due
        b"\x30\x04\x04\x80\0\0",  # a primitive without end
        b"\x30\x04\x1f\x81\x01\0",  # a tag in several octets
        b"\x30\x85\0\0\0\0\x03\x04\x01a",  # a length in five octets
        b"\x30\xff\x04\x01a",
        b"\x30\x84\xff\xff\xff\xff\x04\x01a",
        b"\x30\x0a\x24\x08\x24\x06\x24\x04\x24\x02\x24\x00"[:-2] + b"\x0c\x00",  # text in an octet string
    ],
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(BerError):
        read(data)


def test_octet_strings_are_not_nested_without_end() -> None:
    data = octets(b"deep")
    for _ in range(6):
        data = tlv(0x24, data)
    with pytest.raises(BerError, match="piece"):
        read(sequence(data))


def test_the_number_of_elements_is_bounded() -> None:
    data = sequence(*[octets(b"")] * 100)
    assert len(read(data, 101)) == 100
    with pytest.raises(BerError, match="too many"):
        read(data, 100)


def test_elements_without_end_are_looked_at_once_however_deep_they_lie() -> None:
    depth = 20_000
    data = b"\x30\x80" * depth + b"\0\0" * depth
    reader = Reader(data, 100_000)
    began = time.perf_counter()
    at, end = 0, len(data)
    for _ in range(depth - 1):
        element = reader.read(at, end)
        at, end = element.start, element.end
    assert time.perf_counter() - began < 2


def test_an_end_beyond_the_container_is_refused() -> None:
    inner = endless(0x30, octets(b"abc"))
    assert read(endless(0x30, inner[:-2] + b"\0\0"))
    reader = Reader(b"\x30\x80" + b"\xa0\x05" + b"\x30\x80\x04\x01a" + b"\0\0\0\0", 50)
    outer = reader.read(0, 13)
    group = reader.read(outer.start, outer.end)
    with pytest.raises(BerError):
        reader.only(group)


def test_numbers() -> None:
    for value in (0, 1, 127, 128, 2**64):
        reader = Reader(integer(value), 5)
        assert reader.number(reader.read(0, len(integer(value)))) == value
    with pytest.raises(BerError):
        Reader(octets(b"a"), 5).number(Reader(octets(b"a"), 5).read(0, 3))


def test_one_element_and_no_other() -> None:
    reader = Reader(sequence(octets(b"a")), 9)
    outer = reader.read(0, 5)
    assert outer.tag == SEQUENCE
    assert reader.only(outer).tag == OCTET_STRING
    two = sequence(octets(b"a"), octets(b"b"))
    reader = Reader(two, 9)
    with pytest.raises(BerError, match="exactly one"):
        reader.only(reader.read(0, len(two)))
