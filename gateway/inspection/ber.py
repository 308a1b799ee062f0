"""A bounded reader of BER elements (ITU-T X.690), definite and indefinite lengths.

Guarantees: reads only within the given span, never recurses, stops at a limit of elements.
Failures: `BerError` for anything that is not well-formed or too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
SEQUENCE = 0x30
SET = 0x31


class BerError(ValueError):
    """Not well-formed BER, or more of it than is read."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: identifier octet, span of the contents, and where the next element begins."""

    tag: int
    start: int
    end: int
    next: int

    @property
    def constructed(self) -> bool:
        return bool(self.tag & 0x20)


class Reader:
    """Reads elements of `data`; counts them against `most`."""

    __slots__ = ("_data", "_left")

    def __init__(self, data: bytes, most: int) -> None:
        self._data = data
        self._left = most

    def read(self, at: int, end: int) -> Element:
        """The element at `at`, which must end at or before `end`."""
        tag, start, length = self._head(at, end)
        if length >= 0:
            if start + length > end:
                raise BerError("element runs over its container")
            return Element(tag, start, start + length, start + length)
        if not tag & 0x20:
            raise BerError("indefinite length of a primitive")
        stop = self._end_of_contents(start, end)
        return Element(tag, start, stop, stop + 2)

    def children(self, element: Element) -> Iterator[Element]:
        """The elements inside a constructed one, in order; they fill it exactly."""
        at = element.start
        while at < element.end:
            child = self.read(at, element.end)
            yield child
            at = child.next

    def contents(self, element: Element) -> bytes:
        return self._data[element.start : element.end]

    def octets(self, element: Element) -> bytes:
        """The value of an OCTET STRING, joined where it came in pieces (one level, as producers write it)."""
        if not element.constructed:
            return self.contents(element)
        pieces: list[bytes] = []
        for child in self.children(element):
            if child.tag != OCTET_STRING:
                raise BerError("not a piece of an octet string")
            pieces.append(self.contents(child))
        return b"".join(pieces)

    def _head(self, at: int, end: int) -> tuple[int, int, int]:
        self._left -= 1
        if self._left < 0:
            raise BerError("too many elements")
        if at + 2 > end:
            raise BerError("cut short")
        tag = self._data[at]
        if tag & 0x1F == 0x1F:
            raise BerError("long tag")
        first = self._data[at + 1]
        if first < 0x80:
            return tag, at + 2, first
        if first == 0x80:
            return tag, at + 2, -1
        count = first & 0x7F
        if count > 8 or at + 2 + count > end:
            raise BerError("odd length")
        return tag, at + 2 + count, int.from_bytes(self._data[at + 2 : at + 2 + count], "big")

    def _end_of_contents(self, at: int, end: int) -> int:
        open_elements = 1
        while True:
            if self._data[at : at + 2] == b"\0\0" and at + 2 <= end:
                open_elements -= 1
                if not open_elements:
                    return at
                at += 2
                continue
            tag, start, length = self._head(at, end)
            if length < 0:
                if not tag & 0x20:
                    raise BerError("indefinite length of a primitive")
                open_elements += 1
                at = start
            else:
                at = start + length
                if at > end:
                    raise BerError("element runs over its container")
